//! A device tells what it did (domain §5). Each report is taken once, charged to the
//! items of its code, and one fact holds all the new ones of a request.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Site;
use super::authorize::{Refused, check_clock};
use super::payers::{Payers, SlotTally};
use super::restore::notice_loss;
use crate::documents::Claims;
use crate::licensing::charging::{self, Charge, Counts, Purse};
use crate::licensing::item::same_word;
use crate::licensing::{ItemId, LicenseItem, Slot, grace, seat};
use crate::protocol::ErrorCode;
use crate::protocol::reports::{RejectedReport, ReportsRequest, UsageReport};
use crate::store::catalog::Catalog;
use crate::store::facts::{Body, ChargedReport, ItemSeat, ReportsAccepted};
use crate::store::handshakes::Handshake;
use crate::store::{Command, Error, Ledger, devices, reports, seats, trials, usage};

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
        notice_loss(ledger, self.request.client_uuid, &self.request.seen)?;
        let catalog = ledger.catalog()?;
        let now = ledger.now();
        let mut answer = Accepted { now, ..Accepted::default() };
        let mut charged: Vec<ChargedReport> = Vec::new();
        let mut seen = HashSet::new();
        let mut till = Till::default();
        for report in &self.request.reports {
            if seen.contains(&report.report_id) || reports::is_known(ledger, report.report_id)? {
                answer.duplicate.push(report.report_id);
                continue;
            }
            match self.prepare(ledger, report, &catalog, now)? {
                Err((code, detail)) => answer.rejected.push(RejectedReport { report_id: report.report_id, code: code.number(), detail }),
                Ok(prepared) => {
                    charged.push(self.charge(ledger, report, &prepared, &mut till)?);
                    seen.insert(report.report_id);
                    answer.accepted.push(report.report_id);
                }
            }
        }
        if charged.is_empty() {
            answer.sequence = ledger.sequence();
            return Ok(Ok(answer));
        }
        let seats = self.seats_after_use(ledger, &catalog, &charged, now)?;
        answer.sequence = ledger.record(&Body::ReportsAccepted(ReportsAccepted { client: self.request.client_uuid, reports: charged, seats }))?;
        Ok(Ok(answer))
    }
}

/// What is left of the items while the reports of one request are taken.
#[derive(Default)]
struct Till {
    purses: HashMap<ItemId, Purse>,
    slots: SlotTally,
}

struct Prepared<'c> {
    code: &'c Handshake,
    slot: Slot,
    payers: Payers<'c>,
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
        // The name may have gone since the device got its authorization, or lead elsewhere; what
        // was done under it still counts where it was done.
        let own = catalog.find_code(self.claims.hid).filter(|_| report.handshake_code == self.claims.hs.as_str());
        let code = own
            .or_else(|| catalog.find_code_by_name(&report.handshake_code))
            .ok_or_else(|| (ErrorCode::UnknownHandshakeCode, format!("handshake code '{}' does not exist on this server", report.handshake_code)))?;
        if code.organization_id != self.claims.org {
            return Err((
                ErrorCode::ForeignHandshakeCode,
                format!("handshake code '{}' belongs to another organization than the authorization", report.handshake_code),
            ));
        }
        let payers = Payers::find(report, slot, code, &self.claims, catalog);
        if !payers.is_empty() {
            return Ok(Prepared { code, slot, payers });
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

    fn charge(&self, ledger: &mut Ledger<'_>, report: &UsageReport, prepared: &Prepared<'_>, till: &mut Till) -> Result<ChargedReport, Error> {
        let Payers { units, concurrent } = &prepared.payers;
        let counting = till.slots.pick(ledger, report, prepared.slot, concurrent, &self.claims)?;
        let counts = |item: &LicenseItem| counting.is_some_and(|(picked, _)| picked.item_id == item.item_id);
        let mut paying = Vec::with_capacity(units.len());
        for item in units.iter().filter(|item| !item.charge_way.is_concurrent() || counts(item)) {
            paying.push(match till.purses.get(&item.item_id) {
                Some(purse) => *purse,
                None => Purse::of(item, if item.charge_way.quota_unit().is_some() { usage::used(ledger, item.item_id)? } else { 0 }),
            });
        }
        let mut charges = charging::charge(&report.counts, &mut paying);
        if let Some((item, instances)) = counting {
            if !charges.iter().any(|charge| charge.item_id == item.item_id) {
                charges.push(Charge { item_id: item.item_id, counts: Counts::new(), overuse: 0, module: None, slot_use: None });
            }
            let of_item = |charge: &&mut Charge| charge.item_id == item.item_id;
            charges.iter_mut().filter(of_item).for_each(|charge| charge.slot_use = Some(instances));
        }
        charges.iter_mut().for_each(|charge| charge.module.clone_from(&report.module));
        till.purses.extend(paying.into_iter().map(|purse| (purse.item_id, purse)));
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

    /// The seats of the authorization are refreshed by every accepted report, and taken by the
    /// first use where the item says so. A device that worked after its seat had lapsed or was
    /// released holds it again: nobody works without being counted. Use in the slot of the
    /// release was before it, because applications give their seats back when they end.
    fn seats_after_use(&self, ledger: &Ledger<'_>, catalog: &Catalog, charged: &[ChargedReport], now: i64) -> Result<Vec<ItemSeat>, Error> {
        let mut held = Vec::new();
        for granted in self.claims.items.iter().filter(|granted| granted.charge_way.takes_seats()) {
            let last_use = charged.iter().filter(|report| same_word(&report.product, &granted.product)).map(|report| report.slot.start()).max();
            let (Some(last_use), Some(entry)) = (last_use, catalog.find_item(granted.item_id)) else { continue };
            let item = &entry.item;
            let Some(mut until) = seat::active_until(item, now).filter(|_| now <= grace::end_at(item)) else { continue };
            if item.trial {
                until = trials::find(ledger, self.claims.sub)?.map_or(until, |trial| until.min(trial.ends_at));
            }
            let takes = seats::free_since(ledger, self.claims.sub, item.item_id, now)?.is_none_or(|since| last_use >= since);
            if takes && until > now {
                held.push(ItemSeat { id: item.item_id, until: Some(until), instances: 1 });
            }
        }
        Ok(held)
    }
}
