//! What is allowed beyond quota and end (domain §4, "Grace").

use super::charge_way::ChargeWay;
use super::item::LicenseItem;

/// Days every item goes on after its end, unless its terms say otherwise.
pub const DAYS: u32 = 7;

/// Percent of the quota allowed beyond it, unless the item's terms say otherwise.
pub const fn default_percent(way: ChargeWay) -> u32 {
    match way {
        ChargeWay::Scan | ChargeWay::Page => 5,
        ChargeWay::Device | ChargeWay::Server => 10,
        ChargeWay::ConcurrentDevice | ChargeWay::ConcurrentInstance | ChargeWay::Domain => 0,
    }
}

/// Units or seats allowed beyond the quota: percent of it, rounded half up.
pub fn units(item: &LicenseItem) -> u64 {
    let percent = u64::from(item.grace.percent.unwrap_or(default_percent(item.charge_way)));
    (item.quota * percent + 50) / 100
}

/// Quota and grace together: what may be charged before everybody is refused.
pub fn limit(item: &LicenseItem) -> u64 {
    item.quota + units(item)
}

/// The last second at which the item works, grace included, since 1970.
pub fn end_at(item: &LicenseItem) -> i64 {
    item.valid_to.timestamp() + i64::from(item.grace.days.unwrap_or(DAYS)) * 86_400
}

/// Excess slot-uses allowed for each unit of the quota of a `concurrent_*` item.
pub const TOLERANCE: u32 = 1_000;
/// How much that grows each day, for each unit of the quota.
pub const TOLERANCE_GROWTH: u32 = 10;

/// Excess slot-uses that a `concurrent_*` item has allowed by `now` (seconds): 1000 × quota,
/// and quota × 10 more for every whole day since it began, unless its terms say otherwise.
/// Other items have none.
pub fn tolerance(item: &LicenseItem, now: i64) -> u64 {
    if !item.charge_way.is_concurrent() {
        return 0;
    }
    let days = (now.min(end_at(item)) - item.starts_at()).max(0).unsigned_abs() / 86_400;
    let growth = u64::from(item.grace.growth_per_day.unwrap_or(TOLERANCE_GROWTH)).saturating_mul(days);
    item.quota.saturating_mul(u64::from(item.grace.tolerance.unwrap_or(TOLERANCE)).saturating_add(growth))
}

/// What is left of the grace when this much is used.
pub fn left(item: &LicenseItem, used: u64) -> u64 {
    limit(item).saturating_sub(used.max(item.quota))
}

#[cfg(test)]
mod tests {
    use super::super::charge_way::Period;
    use super::super::item::tests::scan_item;
    use super::*;

    #[test]
    fn scans_have_five_percent_and_devices_ten_rounded_half_up() {
        let mut item = scan_item(1);
        for (quota, grace) in [(100, 5), (9, 0), (10, 1), (29, 1), (30, 2), (1, 0)] {
            item.quota = quota;
            assert_eq!(units(&item), grace, "scan quota {quota}");
        }
        item.charge_way = ChargeWay::Device;
        item.period = Some(Period::Quarter);
        for (quota, grace) in [(10, 1), (4, 0), (5, 1), (14, 1), (15, 2), (200, 20)] {
            item.quota = quota;
            assert_eq!(units(&item), grace, "device quota {quota}");
        }
    }

    #[test]
    fn item_terms_override_the_defaults() {
        let mut item = scan_item(1);
        assert_eq!(end_at(&item), item.valid_to.timestamp() + 7 * 86_400);
        item.grace.percent = Some(0);
        item.grace.days = Some(0);
        assert_eq!((limit(&item), end_at(&item)), (100, item.valid_to.timestamp()));
    }

    #[test]
    fn the_tolerance_of_concurrent_items_is_a_thousand_for_each_unit_and_grows_by_ten_a_day() {
        let mut item = scan_item(1);
        let begin = item.starts_at();
        assert_eq!(tolerance(&item, begin), 0, "scans have none");
        for way in [ChargeWay::ConcurrentDevice, ChargeWay::ConcurrentInstance] {
            item.charge_way = way;
            item.quota = 10;
            for (seconds, expected) in [(-5, 10_000), (0, 10_000), (86_399, 10_000), (86_400, 10_100), (365 * 86_400, 46_500)] {
                assert_eq!(tolerance(&item, begin + seconds), expected, "{seconds} s after the beginning");
            }
            assert_eq!(tolerance(&item, i64::MAX), tolerance(&item, end_at(&item)), "no growth after the end");
        }
        item.grace.tolerance = Some(3);
        item.grace.growth_per_day = Some(0);
        assert_eq!(tolerance(&item, begin + 30 * 86_400), 30);
    }

    #[test]
    fn grace_is_whole_until_the_quota_is_used() {
        let item = scan_item(1);
        for (used, expected) in [(0, 5), (100, 5), (103, 2), (105, 0), (200, 0)] {
            assert_eq!(left(&item, used), expected);
        }
    }
}
