//! How long a seat is held (domain §4, "Seats").

use super::grace;
use super::item::LicenseItem;

/// When a seat taken or refreshed at `now` (seconds) is free again, unless it is
/// refreshed before: `min(now + period, item end)`. The end counts with its grace days,
/// because devices go on working in them and must not escape the count.
///
/// `None`: this kind of item has no seats.
pub fn active_until(item: &LicenseItem, now: i64) -> Option<i64> {
    let end = grace::end_at(item);
    match item.period {
        _ if !item.charge_way.takes_seats() => None,
        Some(period) => Some(end.min(now + period.seconds())),
        None => Some(end),
    }
}

#[cfg(test)]
mod tests {
    use super::super::charge_way::{ChargeWay, Period};
    use super::super::item::tests::scan_item;
    use super::*;

    #[test]
    fn a_seat_lasts_its_period_or_to_the_end_of_the_item() {
        let mut item = scan_item(1);
        assert_eq!(active_until(&item, 0), None);
        item.charge_way = ChargeWay::Device;
        for (period, days) in [(Period::Year, 365), (Period::Quarter, 90), (Period::Month, 30), (Period::Day, 1)] {
            item.period = Some(period);
            let now = item.valid_from.timestamp();
            assert_eq!(active_until(&item, now), Some(now + days * 86_400));
        }
        let last = grace::end_at(&item);
        assert_eq!(active_until(&item, last - 10), Some(last));
    }
}
