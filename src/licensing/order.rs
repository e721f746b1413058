//! Which item of a handshake code is used first (domain §3, "Default order").

use std::cmp::Ordering;

use super::charge_way::ChargeWay;
use super::id::ItemId;
use super::item::LicenseItem;

/// Sorts items into the order of use.
///
/// With an explicit order its items come first, in that order; items it does not name
/// (bought later, say) follow in the default order: nearest expiry, then the most
/// specific permit, then the least restrictive charge way, then the lower number.
pub fn sort(items: &mut [&LicenseItem], explicit: Option<&[ItemId]>) {
    let rank = |item: &LicenseItem| explicit.and_then(|order| order.iter().position(|id| *id == item.item_id)).unwrap_or(usize::MAX);
    items.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| default_order(a, b)));
}

fn default_order(a: &LicenseItem, b: &LicenseItem) -> Ordering {
    a.valid_to
        .cmp(&b.valid_to)
        .then_with(|| breadth(a).cmp(&breadth(b)))
        .then_with(|| restriction(a.charge_way).cmp(&restriction(b.charge_way)))
        .then_with(|| a.item_id.cmp(&b.item_id))
}

/// Why an item is used before the one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The admin's order says so.
    Chosen,
    /// It ends earlier.
    EndsEarlier,
    /// It covers less: what serves everything is kept for everything.
    MoreSpecific,
    /// Its charge way restricts less.
    LessRestrictive,
    /// It has the lower number; nothing else tells them apart.
    LowerNumber,
}

/// Why the first of two neighbours in the order of use comes first.
pub fn why_before(first: &LicenseItem, second: &LicenseItem, explicit: Option<&[ItemId]>) -> Why {
    if explicit.is_some_and(|order| order.contains(&first.item_id)) {
        Why::Chosen
    } else if first.valid_to != second.valid_to {
        Why::EndsEarlier
    } else if breadth(first) != breadth(second) {
        Why::MoreSpecific
    } else if restriction(first.charge_way) != restriction(second.charge_way) {
        Why::LessRestrictive
    } else {
        Why::LowerNumber
    }
}

/// How much a permit covers: modules, editions and deployment types allowed (a product is
/// always one); an empty list, which allows any, counts as the broadest.
fn breadth(item: &LicenseItem) -> usize {
    [item.modules.len(), item.editions.len(), item.deployment_types.len()].into_iter().map(|count| if count == 0 { 1_000 } else { count }).sum()
}

/// From the least restrictive to the most: no limit at all, then limits on machines, on
/// machines at once, and at last on every single use.
fn restriction(way: ChargeWay) -> u8 {
    match way {
        ChargeWay::Domain => 0,
        ChargeWay::Server => 1,
        ChargeWay::Device => 2,
        ChargeWay::ConcurrentDevice => 3,
        ChargeWay::ConcurrentInstance => 4,
        ChargeWay::Page => 5,
        ChargeWay::Scan => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::super::charge_way::Period;
    use super::super::item::tests::scan_item;
    use super::*;

    fn sorted(mut items: Vec<&LicenseItem>, explicit: Option<&[ItemId]>) -> Vec<u64> {
        sort(&mut items, explicit);
        items.iter().map(|item| item.item_id.0).collect()
    }

    #[test]
    fn nearest_expiry_then_most_specific_then_least_restrictive() {
        let late = scan_item(1);
        let mut early = scan_item(2);
        early.valid_to = "2029-01-01T00:00:00Z".parse().expect("time");
        let mut specific = scan_item(3);
        specific.modules = vec!["qr-code".into()];
        let mut device = scan_item(4);
        device.charge_way = ChargeWay::Device;
        device.period = Some(Period::Year);
        assert_eq!(sorted(vec![&late, &device, &specific, &early], None), [2, 3, 4, 1]);
        let why = [(&early, &specific), (&specific, &device), (&device, &late), (&late, &scan_item(9))].map(|(a, b)| why_before(a, b, None));
        assert_eq!(why, [Why::EndsEarlier, Why::MoreSpecific, Why::LessRestrictive, Why::LowerNumber]);
        assert_eq!(why_before(&late, &early, Some(&[ItemId(1)])), Why::Chosen);
    }

    #[test]
    fn an_explicit_order_wins_and_unnamed_items_follow() {
        let (a, b, c) = (scan_item(1), scan_item(2), scan_item(3));
        assert_eq!(sorted(vec![&a, &b, &c], Some(&[ItemId(3), ItemId(2)])), [3, 2, 1]);
    }
}
