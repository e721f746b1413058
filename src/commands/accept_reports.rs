//! A device tells what it did (domain §5). Each report is taken once, charged to the
//! items of its code, and one fact holds all the new ones of a request.

use std::collections::HashSet;
use std::sync::Arc;

use super::Site;
use super::authorize::{Refused, check_clock};
use crate::documents::Claims;
use crate::licensing::charging::{self, Purse, SlotState};
use crate::licensing::item::{SeatStarts, same_word};
use crate::licensing::{ChargeWay, LicenseItem, Slot, grace, seat};
use crate::protocol::ErrorCode;
use crate::protocol::reports::{RejectedReport, ReportsRequest, UsageReport};
use crate::store::catalog::Catalog;
use crate::store::facts::{Body, ChargedReport, ItemSeat, ReportsAccepted};
use crate::store::handshakes::Handshake;
use crate::store::{Command, Error, Ledger, devices, reports, seats, slots, usage};

/// See the module.
pub struct AcceptReports {
    /// The site.
    pub site: Arc<Site>,
    /// The request, validated.
    pub request: ReportsRequest,
    /// What its authorization says, verified; its device is the request's.
    pub claims: Claims,
}

/// What became of the reports.
#[derive(Debug, Default)]
pub struct Accepted {
    /// Ids of reports taken now.
    pub accepted: Vec<uuid::Uuid>,
    /// Ids of reports taken before.
    pub duplicate: Vec<uuid::Uuid>,
    /// Reports not taken.
    pub rejected: Vec<RejectedReport>,
    /// The fact that holds the accepted ones; with none accepted, this server's last fact.
    pub sequence: u64,
    /// The server's time, seconds since 1970.
    pub now: i64,
}

impl Command for AcceptReports {
    type Answer = Result<Accepted, Refused>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        if let Err(refused) = check_clock(ledger) {
            return Ok(Err(refused));
        }
        let catalog = ledger.catalog()?;
        let now = ledger.now();
        let mut answer = Accepted { now, ..Accepted::default() };
        let mut charged: Vec<ChargedReport> = Vec::new();
        let mut seen = HashSet::new();
        let mut purses: Vec<Purse> = Vec::new();
        let mut items: Vec<&LicenseItem> = Vec::new();
        for report in &self.request.reports {
            if seen.contains(&report.report_id) || reports::is_known(ledger, report.report_id)? {
                answer.duplicate.push(report.report_id);
                continue;
            }
            match self.prepare(ledger, report, &catalog, now)? {
                Err((code, detail)) => answer.rejected.push(RejectedReport { report_id: report.report_id, code: code.number(), detail }),
                Ok(prepared) => {
                    charged.push(self.charge(ledger, report, &prepared, &mut purses)?);
                    seen.insert(report.report_id);
                    answer.accepted.push(report.report_id);
                    for item in prepared.items {
                        if !items.iter().any(|known| known.item_id == item.item_id) {
                            items.push(item);
                        }
                    }
                }
            }
        }
        if charged.is_empty() {
            answer.sequence = ledger.sequence();
            return Ok(Ok(answer));
        }
        let mut held = Vec::new();
        for item in items.into_iter().filter(|item| charged.iter().any(|report| report.charges.iter().any(|charge| charge.item_id == item.item_id))) {
            if let Some(until) = self.seat_after_use(ledger, item, now)? {
                held.push(ItemSeat { id: item.item_id, until: Some(until), instances: 1 });
            }
        }
        answer.sequence = ledger.record(&Body::ReportsAccepted(ReportsAccepted { client: self.request.client_uuid, reports: charged, seats: held }))?;
        Ok(Ok(answer))
    }
}

struct Prepared<'c> {
    code: &'c Handshake,
    slot: Slot,
    items: Vec<&'c LicenseItem>,
}

impl AcceptReports {
    /// Which code and items a report is for, or why it is not taken.
    fn prepare<'c>(
        &self,
        ledger: &Ledger<'_>,
        report: &UsageReport,
        catalog: &'c Catalog,
        now: i64,
    ) -> Result<Result<Prepared<'c>, (ErrorCode, String)>, Error> {
        let prepared = self.find_payers(report, catalog, now);
        if let Ok(Prepared { code, .. }) = &prepared
            && code.code_id != self.claims.hid
            && devices::find_tickets(ledger, self.request.client_uuid, code.code_id)?.is_none()
        {
            return Ok(Err((ErrorCode::NotAuthorized, format!("this device was never authorized under {}", code.name()))));
        }
        Ok(prepared)
    }

    fn find_payers<'c>(&self, report: &UsageReport, catalog: &'c Catalog, now: i64) -> Result<Prepared<'c>, (ErrorCode, String)> {
        let slot = Slot::containing(report.slot.timestamp());
        slot.check(now).map_err(|error| {
            let code = ErrorCode::from(error);
            (code, format!("slot {slot}, and the server's time is {}: {}", crate::clock::rfc3339(now), code.title().to_lowercase()))
        })?;
        let same_code = report.handshake_code == self.claims.hs.as_str();
        // The name may have gone since the device got its authorization; what was done under it still counts.
        let code = catalog
            .find_code_by_name(&report.handshake_code)
            .or_else(|| catalog.find_code(self.claims.hid).filter(|_| same_code))
            .ok_or_else(|| (ErrorCode::UnknownHandshakeCode, format!("handshake code '{}' does not exist on this server", report.handshake_code)))?;
        if code.organization_id != self.claims.org {
            return Err((
                ErrorCode::ForeignHandshakeCode,
                format!("handshake code '{}' belongs to another organization than the authorization", report.handshake_code),
            ));
        }
        let items = self.payers(report, slot, code, catalog);
        if !items.is_empty() {
            return Ok(Prepared { code, slot, items });
        }
        let product = catalog.items_in_order(code).iter().any(|item| same_word(&item.product, &report.product));
        let authorized = self.claims.items.iter().any(|item| same_word(&item.product, &report.product));
        Err(match (product || authorized, &report.module) {
            (true, Some(module)) => {
                (ErrorCode::ModuleNotCovered, format!("module '{module}' of product '{}' is not covered by an item of {}", report.product, code.name()))
            }
            _ => (ErrorCode::ProductMismatch, format!("no item of {} counts {}s of product '{}'", code.name(), report.unit, report.product)),
        })
    }

    /// The items that may pay, in the order of use. A device that was authorized for one
    /// charge way pays in that charge way. When the code has changed so much that none is
    /// left, the items of the authorization pay: use that was really done is never dropped.
    fn payers<'c>(&self, report: &UsageReport, slot: Slot, code: &Handshake, catalog: &'c Catalog) -> Vec<&'c LicenseItem> {
        let module = report.module.as_deref();
        let matches = |item: &LicenseItem| charging::matches(item, &report.product, module, report.unit, slot.start());
        let authorized: Vec<_> = self.claims.items.iter().filter(|item| same_word(&item.product, &report.product)).collect();
        let mut items: Vec<&LicenseItem> = Vec::new();
        for id in catalog.items_in_order(code).iter().map(|item| item.item_id) {
            items.extend(catalog.find_item(id).map(|entry| &entry.item).filter(|item| matches(item)));
        }
        // The public trial pays for its own devices only; what is past its end pays last.
        items.retain(|item| !item.trial || authorized.iter().any(|granted| granted.item_id == item.item_id));
        items.sort_by_key(|item| slot.start() > item.valid_to.timestamp());
        if code.code_id == self.claims.hid && !authorized.is_empty() {
            items.retain(|item| authorized.iter().any(|granted| granted.charge_way == item.charge_way));
        }
        if items.is_empty() {
            let fits = |item: &&LicenseItem| {
                module.is_none_or(|module| item.permits_module(module)) && item.charge_way.quota_unit().is_none_or(|unit| unit == report.unit)
            };
            items.extend(authorized.iter().filter_map(|granted| catalog.find_item(granted.item_id)).map(|entry| &entry.item).filter(fits));
        }
        items
    }

    fn charge(&self, ledger: &mut Ledger<'_>, report: &UsageReport, prepared: &Prepared<'_>, purses: &mut Vec<Purse>) -> Result<ChargedReport, Error> {
        let counting = self.pick_concurrent(ledger, report, prepared)?;
        let pays = |item: &LicenseItem| !item.charge_way.is_concurrent() || counting.is_some_and(|(picked, _)| picked.item_id == item.item_id);
        let mut paying = Vec::with_capacity(prepared.items.len());
        for item in prepared.items.iter().filter(|item| pays(item)) {
            let purse = match purses.iter().find(|purse| purse.item_id == item.item_id) {
                Some(purse) => *purse,
                None => Purse::of(item, if item.charge_way.quota_unit().is_some() { usage::used(ledger, item.item_id)? } else { 0 }),
            };
            paying.push(purse);
        }
        let mut charges = charging::charge(&report.counts, &mut paying);
        for charge in &mut charges {
            charge.module.clone_from(&report.module);
            charge.slot_use = counting.filter(|(item, _)| item.item_id == charge.item_id).map(|(_, instances)| instances);
        }
        for paid in paying {
            match purses.iter_mut().find(|purse| purse.item_id == paid.item_id) {
                Some(purse) => *purse = paid,
                None => purses.push(paid),
            }
        }
        Ok(ChargedReport {
            id: report.report_id,
            slot: prepared.slot,
            code: prepared.code.code_id,
            product: report.product.clone(),
            unit: report.unit,
            module: report.module.clone(),
            instances: report.instances.unwrap_or(1),
            charges,
        })
    }

    /// The `concurrent_*` item that counts this report in its slot, and how many devices or
    /// instances. A machine is counted with what it was authorized for, or with more if it
    /// says so itself; a report of no use at all is not counted.
    fn pick_concurrent<'c>(&self, ledger: &mut Ledger<'_>, report: &UsageReport, prepared: &Prepared<'c>) -> Result<Option<(&'c LicenseItem, u32)>, Error> {
        if report.counts.values().all(|count| *count == 0) && report.instances == Some(0) {
            return Ok(None);
        }
        let items: Vec<&LicenseItem> = prepared.items.iter().copied().filter(|item| item.charge_way.is_concurrent()).collect();
        let instances_of = |item: &LicenseItem| match item.charge_way {
            ChargeWay::ConcurrentInstance => {
                let granted = self.claims.items.iter().find(|granted| granted.item_id == item.item_id);
                granted.map_or(1, |granted| granted.instances).max(report.instances.unwrap_or(1))
            }
            _ => 1,
        };
        let mut states = Vec::with_capacity(items.len());
        for item in &items {
            let (active, of_machine) = slots::in_use(ledger, item.item_id, prepared.slot, self.request.client_uuid)?;
            let spent = slots::excess(ledger, item.item_id, item.quota)?;
            states.push(SlotState {
                quota: item.quota,
                active,
                of_machine,
                tolerance_left: grace::tolerance(item, prepared.slot.start()).saturating_sub(spent),
            });
        }
        let wanted = items.first().map_or(1, |item| u64::from(instances_of(item)));
        Ok(charging::pick_slot(&states, wanted).map(|index| (items[index], instances_of(items[index]))))
    }

    /// A seat is refreshed by every accepted report, and taken by the first use where the
    /// item says so.
    fn seat_after_use(&self, ledger: &Ledger<'_>, item: &LicenseItem, now: i64) -> Result<Option<i64>, Error> {
        if !item.charge_way.takes_seats() || now > grace::end_at(item) {
            return Ok(None);
        }
        let holds = seats::holds(ledger, self.request.client_uuid, item.item_id, now)?;
        Ok(seat::active_until(item, now).filter(|_| holds || item.seat_starts == SeatStarts::FirstUse))
    }
}
