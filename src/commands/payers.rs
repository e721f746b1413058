//! Which items a report is for (domain §4). Three things are counted apart: units by `scan`
//! and `page` items, use in the slot by `concurrent_*` items, and seats, which are those of
//! the authorization ([`super::accept_reports`]).

use std::collections::HashMap;

use crate::documents::{AuthorizedItem, Claims};
use crate::licensing::charging::{self, SlotState};
use crate::licensing::item::same_word;
use crate::licensing::{ChargeWay, ClientUuid, ItemId, LicenseItem, Slot, grace};
use crate::protocol::reports::UsageReport;
use crate::store::catalog::Catalog;
use crate::store::handshakes::Handshake;
use crate::store::{Error, Ledger, slots};

/// Who pays for a report.
pub(super) struct Payers<'c> {
    /// Items that its units are charged to, in the order of use.
    pub units: Vec<&'c LicenseItem>,
    /// `concurrent_*` items, of which one counts it in its slot.
    pub concurrent: Vec<&'c LicenseItem>,
}

impl<'c> Payers<'c> {
    /// The items of the code that could have served this device for this use, of the vendor and
    /// in the charge ways that it was authorized for. Revoked items and the public trial pay only for
    /// devices that were authorized with them; what is past its end pays last. When the code
    /// has changed so much that none is left, the items of the authorization pay: use that was
    /// really done is never dropped.
    pub fn find(report: &UsageReport, slot: Slot, code: &Handshake, claims: &Claims, catalog: &'c Catalog) -> Self {
        let module = report.module.as_deref();
        let own: Vec<&AuthorizedItem> = claims.items.iter().filter(|item| same_word(&item.product, &report.product)).collect();
        let is_own = |item: &LicenseItem| own.iter().any(|granted| granted.item_id == item.item_id);
        // Of another code that the device uses, this authorization tells nothing but the device:
        // edition and version are those of another application.
        let is_own_code = code.code_id == claims.hid;
        let fits_device = |item: &LicenseItem| {
            item.permits_deployment(claims.deployment_type)
                && (!is_own_code || item.permits_edition(claims.edition.as_deref()) && item.versions.cover(claims.product_version.as_deref()))
        };
        let mut items: Vec<&'c LicenseItem> = catalog.items_in_order(code);
        items.retain(|item| charging::covers(item, &report.product, module, slot.start()));
        let vendor = claims.items.first().filter(|_| is_own_code).and_then(|granted| catalog.vendor_of(granted.item_id));
        items.retain(|item| {
            let of_vendor = vendor.is_none() || catalog.vendor_of(item.item_id) == vendor;
            is_own(item) || (of_vendor && fits_device(item) && !item.trial && !catalog.is_revoked(item.item_id))
        });
        // An add-on pays for its own modules; what names none is the product's.
        if module.is_none() && items.iter().any(|item| item.depends_on.is_none()) {
            items.retain(|item| item.depends_on.is_none() || item.modules.is_empty());
        }
        items.sort_by_key(|item| slot.start() > item.valid_to.timestamp());
        if is_own_code && !own.is_empty() {
            items.retain(|item| own.iter().any(|granted| granted.charge_way == item.charge_way));
        }
        let found = Self::split(items, report, is_own);
        if !found.is_empty() || !is_own_code {
            return found;
        }
        let permits = |item: &&LicenseItem| module.is_none_or(|module| item.permits_module(module));
        let granted = own.iter().filter_map(|granted| catalog.find_item(granted.item_id)).map(|entry| &entry.item);
        Self::split(granted.filter(permits).collect(), report, is_own)
    }

    /// Units are for items that count them; where there is none, they are shown on an item
    /// that counts something else, the device's own first.
    fn split(items: Vec<&'c LicenseItem>, report: &UsageReport, is_own: impl Fn(&LicenseItem) -> bool) -> Self {
        let concurrent = items.iter().copied().filter(|item| item.charge_way.is_concurrent()).collect();
        let (counting, mut others): (Vec<&LicenseItem>, Vec<&LicenseItem>) = items.into_iter().partition(|item| item.charge_way.quota_unit().is_some());
        let units: Vec<&LicenseItem> = counting.into_iter().filter(|item| item.charge_way.quota_unit() == Some(report.unit)).collect();
        others.sort_by_key(|item| !is_own(item));
        Self { units: if units.is_empty() { others } else { units }, concurrent }
    }

    /// Whether nobody pays.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty() && self.concurrent.is_empty()
    }
}

/// Concurrent use while the reports of one request are taken: what is on disk, and what the
/// request has added to it.
#[derive(Default)]
pub(super) struct SlotTally {
    in_use: HashMap<(ItemId, Slot), (u64, u64)>,
    excess: HashMap<ItemId, u64>,
}

impl SlotTally {
    /// The item that counts a report in its slot, and how many devices or instances. A
    /// machine is counted with what it was authorized for, or with more if it says so itself;
    /// a report of no use at all is not counted.
    pub fn pick<'c>(
        &mut self,
        ledger: &mut Ledger<'_>,
        report: &UsageReport,
        slot: Slot,
        items: &[&'c LicenseItem],
        claims: &Claims,
    ) -> Result<Option<(&'c LicenseItem, u32)>, Error> {
        if report.counts.values().all(|count| *count == 0) && report.instances == Some(0) {
            return Ok(None);
        }
        let mut states = Vec::with_capacity(items.len());
        for item in items {
            states.push(self.state_of(ledger, item, slot, claims, report.instances)?);
        }
        let Some(index) = charging::pick_slot(&states) else { return Ok(None) };
        let (item, state) = (items[index], states[index]);
        let added = state.wanted.saturating_sub(state.of_machine);
        let beyond = |active: u64| active.saturating_sub(item.quota);
        *self.excess.entry(item.item_id).or_default() += beyond(state.active + added) - beyond(state.active);
        self.in_use.insert((item.item_id, slot), (state.active + added, state.of_machine + added));
        Ok(Some((item, u32::try_from(state.wanted).unwrap_or(u32::MAX))))
    }

    fn state_of(&mut self, ledger: &mut Ledger<'_>, item: &LicenseItem, slot: Slot, claims: &Claims, reported: Option<u32>) -> Result<SlotState, Error> {
        let client: ClientUuid = claims.sub;
        let (active, of_machine) = match self.in_use.get(&(item.item_id, slot)) {
            Some(known) => *known,
            None => slots::in_use(ledger, item.item_id, slot, client)?,
        };
        let spent = match self.excess.get(&item.item_id) {
            Some(spent) => *spent,
            None => slots::excess(ledger, item.item_id, item.quota)?,
        };
        self.excess.insert(item.item_id, spent);
        let granted = claims.items.iter().find(|granted| granted.item_id == item.item_id).map_or(1, |granted| granted.instances);
        let wanted = if item.charge_way == ChargeWay::ConcurrentInstance { granted.max(reported.unwrap_or(1)) } else { 1 };
        let tolerance_left = grace::tolerance(item, slot.start()).saturating_sub(spent);
        Ok(SlotState { quota: item.quota, active, of_machine, wanted: u64::from(wanted), tolerance_left })
    }
}
