//! Which item pays for a usage report (domain §4, last paragraphs).
//!
//! Units go to the items in usage order: first into their quotas, then into their grace,
//! and what is left when nothing is left is overuse on the last of them. Nothing is ever
//! dropped: what is charged is always exactly what was reported.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::grace;
use super::id::ItemId;
use super::item::{LicenseItem, same_word};

/// Counts by type, such as `{"QR Code": 12}`.
pub type Counts = BTreeMap<String, u64>;

/// What one item pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The item.
    pub item_id: ItemId,
    /// Units by type.
    pub counts: Counts,
    /// How many of them lie beyond quota and grace.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub overuse: u64,
    /// The module that the units belong to, for pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Devices or instances that it counts in its slot, for `concurrent_*` items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_use: Option<u32>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An item that may pay, with what is left of it.
#[derive(Debug, Clone, Copy)]
pub struct Purse {
    /// The item.
    pub item_id: ItemId,
    /// Units left in its quota; `None` where use is not limited by units.
    pub quota_left: Option<u64>,
    /// Units left in its grace.
    pub grace_left: u64,
}

impl Purse {
    /// The purse of an item of which `used` units are charged.
    pub fn of(item: &LicenseItem, used: u64) -> Self {
        let limited = item.charge_way.quota_unit().is_some();
        Self {
            item_id: item.item_id,
            quota_left: limited.then(|| item.quota.saturating_sub(used)),
            grace_left: if limited { grace::left(item, used) } else { 0 },
        }
    }

    fn pay(&mut self, counts: &Counts) {
        let units: u64 = counts.values().sum();
        if let Some(left) = &mut self.quota_left {
            let from_quota = units.min(*left);
            *left -= from_quota;
            self.grace_left = self.grace_left.saturating_sub(units - from_quota);
        }
    }
}

/// Whether use of this product and module at this time is covered by the item. Time is the
/// slot's, not today's: a report may come 30 days late.
pub fn covers(item: &LicenseItem, product: &str, module: Option<&str>, slot_start: i64) -> bool {
    same_word(&item.product, product)
        && module.is_none_or(|module| item.permits_module(module))
        && slot_start + super::slot::SLOT_SECONDS > item.starts_at()
        && slot_start <= grace::end_at(item)
}

/// Splits counts over the purses, which are in usage order, and takes from them what they
/// pay. Empty only when there is no purse.
pub fn charge(counts: &Counts, purses: &mut [Purse]) -> Vec<Charge> {
    let Some(last) = purses.len().checked_sub(1) else {
        return Vec::new();
    };
    let total: u64 = counts.values().sum();
    let mut shares = vec![0u64; purses.len()];
    let mut rest = total;
    let take = |share: &mut u64, rest: &mut u64, room: u64| {
        let part = room.min(*rest);
        *share += part;
        *rest -= part;
    };
    for (share, purse) in shares.iter_mut().zip(purses.iter()) {
        take(share, &mut rest, purse.quota_left.unwrap_or(u64::MAX));
    }
    for (share, purse) in shares.iter_mut().zip(purses.iter()) {
        take(share, &mut rest, purse.grace_left);
    }
    shares[last] += rest;

    let mut charges = Vec::new();
    let mut types = counts.iter().map(|(name, count)| (name, *count)).filter(|(_, count)| *count > 0);
    let mut open = types.next();
    for (index, (share, purse)) in shares.into_iter().zip(purses.iter_mut()).enumerate() {
        let mut part = Counts::new();
        let mut left = share;
        while let Some((name, count)) = open.filter(|_| left > 0) {
            let units = count.min(left);
            part.insert(name.clone(), units);
            left -= units;
            open = if units == count { types.next() } else { Some((name, count - units)) };
        }
        // A report without any count still belongs to an item: it shows that the device was at work.
        if !part.is_empty() || (total == 0 && index == 0) {
            purse.pay(&part);
            let overuse = if index == last { rest } else { 0 };
            charges.push(Charge { item_id: purse.item_id, counts: part, overuse, module: None, slot_use: None });
        }
    }
    charges
}

/// A `concurrent_*` item that may count a report in its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotState {
    /// Its quota.
    pub quota: u64,
    /// How much is in use in this slot, by all machines.
    pub active: u64,
    /// How much of that by this machine.
    pub of_machine: u64,
    /// How many devices or instances the report has.
    pub wanted: u64,
    /// What is left of its tolerance.
    pub tolerance_left: u64,
}

/// Which of several `concurrent_*` items, in usage order, counts a report: the one where the
/// machine is counted in this slot already, so that it is counted once; else the first whose
/// quota has room in this slot, else the first whose tolerance has, else the last. Nothing is
/// dropped.
pub fn pick_slot(states: &[SlotState]) -> Option<usize> {
    let beyond = |state: &SlotState| (state.active + state.wanted).saturating_sub(state.quota);
    let grows = |state: &SlotState| beyond(state) - state.active.saturating_sub(state.quota);
    let last = states.len().checked_sub(1)?;
    let counted = states.iter().position(|state| state.of_machine > 0);
    let with_room = || states.iter().position(|state| beyond(state) == 0);
    let with_tolerance = || states.iter().position(|state| grows(state) <= state.tolerance_left);
    Some(counted.or_else(with_room).or_else(with_tolerance).unwrap_or(last))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::item::tests::scan_item;
    use super::*;

    fn counts(list: &[(&str, u64)]) -> Counts {
        list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    fn purse(id: u64, quota: u64, grace: u64) -> Purse {
        Purse { item_id: ItemId(id), quota_left: Some(quota), grace_left: grace }
    }

    #[test]
    fn what_does_not_fit_the_first_item_goes_to_the_next() {
        let mut purses = [purse(1, 10, 1), purse(2, 100, 5)];
        let charges = charge(&counts(&[("A", 8), ("B", 7)]), &mut purses);
        assert_eq!(
            charges,
            [
                Charge { item_id: ItemId(1), counts: counts(&[("A", 8), ("B", 2)]), overuse: 0, module: None, slot_use: None },
                Charge { item_id: ItemId(2), counts: counts(&[("B", 5)]), overuse: 0, module: None, slot_use: None },
            ]
        );
        assert_eq!((purses[0].quota_left, purses[0].grace_left, purses[1].quota_left), (Some(0), 1, Some(95)));
    }

    #[test]
    fn grace_is_spent_only_when_every_quota_is_and_the_rest_is_overuse_on_the_last() {
        let mut purses = [purse(1, 10, 1), purse(2, 10, 1)];
        let charges = charge(&counts(&[("A", 25)]), &mut purses);
        let shares: Vec<_> = charges.iter().map(|c| (c.item_id.0, c.counts["A"], c.overuse)).collect();
        assert_eq!(shares, [(1, 11, 0), (2, 14, 3)]);
        assert_eq!((purses[0].grace_left, purses[1].grace_left), (0, 0));
    }

    #[test]
    fn an_item_without_units_takes_all_and_is_never_empty() {
        let mut purses = [Purse { item_id: ItemId(1), quota_left: None, grace_left: 0 }];
        assert_eq!(
            charge(&counts(&[("A", 7)]), &mut purses),
            [Charge { item_id: ItemId(1), counts: counts(&[("A", 7)]), overuse: 0, module: None, slot_use: None }]
        );
        assert_eq!(charge(&counts(&[]), &mut purses).len(), 1);
    }

    #[test]
    fn a_concurrent_report_counts_where_its_slot_has_room() {
        let state = |active, of_machine, tolerance_left| SlotState { quota: 10, active, of_machine, wanted: 0, tolerance_left };
        for (states, wanted, expected) in [
            (vec![], 1, None),
            (vec![state(9, 0, 0), state(0, 0, 0)], 1, Some(0)),
            (vec![state(10, 0, 0), state(0, 0, 0)], 1, Some(1)),
            (vec![state(10, 4, 0), state(0, 0, 0)], 4, Some(0)),
            (vec![state(10, 4, 0), state(0, 0, 0)], 5, Some(0)),
            (vec![state(10, 0, 5), state(10, 0, 5)], 5, Some(0)),
            (vec![state(10, 0, 4), state(10, 0, 5)], 5, Some(1)),
            (vec![state(10, 0, 0), state(10, 0, 0)], 5, Some(1)),
        ] {
            let states: Vec<_> = states.into_iter().map(|state| SlotState { wanted, ..state }).collect();
            assert_eq!(pick_slot(&states), expected, "{states:?} for {wanted}");
        }
    }

    #[test]
    fn a_late_report_is_matched_by_its_own_time() {
        let item = scan_item(1);
        let end = grace::end_at(&item);
        assert!(covers(&item, "DBR", Some("qr-code"), end));
        assert!(!covers(&item, "dbr", None, end + 1));
        assert!(!covers(&item, "ocr", None, end));
    }

    proptest! {
        #[test]
        fn what_is_charged_is_what_was_reported_and_no_purse_pays_more_than_it_has(
            types in proptest::collection::btree_map("[A-D]", 0u64..50, 0..4),
            sizes in proptest::collection::vec((0u64..40, 0u64..5), 1..4),
        ) {
            let mut purses: Vec<_> = sizes.iter().enumerate().map(|(n, (quota, grace))| purse(n as u64 + 1, *quota, *grace)).collect();
            let charges = charge(&types, &mut purses);
            let mut sum = Counts::new();
            for charge in &charges {
                for (name, units) in &charge.counts {
                    *sum.entry(name.clone()).or_default() += units;
                }
            }
            let mut expected = types.clone();
            expected.retain(|_, units| *units > 0);
            prop_assert_eq!(sum, expected);
            for charge in &charges {
                let (quota, grace) = sizes[charge.item_id.0 as usize - 1];
                let paid: u64 = charge.counts.values().sum();
                prop_assert!(paid - charge.overuse <= quota + grace);
                prop_assert!(charge.overuse == 0 || charge.item_id.0 as usize == sizes.len());
            }
        }

        #[test]
        fn the_order_in_which_reports_come_changes_no_total(
            amounts in proptest::collection::vec(0u64..30, 1..8).prop_shuffle(),
            sizes in proptest::collection::vec((0u64..40, 0u64..5), 1..4),
            seed in 0usize..1_000,
        ) {
            let totals = |order: &[u64]| {
                let mut purses: Vec<_> = sizes.iter().enumerate().map(|(n, (quota, grace))| purse(n as u64 + 1, *quota, *grace)).collect();
                let mut sums: BTreeMap<ItemId, (u64, u64)> = BTreeMap::new();
                for amount in order {
                    for charge in charge(&counts(&[("A", *amount)]), &mut purses) {
                        let sum = sums.entry(charge.item_id).or_default();
                        sum.0 += charge.counts.values().sum::<u64>();
                        sum.1 += charge.overuse;
                    }
                }
                sums.retain(|_, sum| sum.0 > 0);
                sums
            };
            let mut other = amounts.clone();
            other.rotate_left(seed % amounts.len());
            other.reverse();
            prop_assert_eq!(totals(&amounts), totals(&other));
        }
    }
}
