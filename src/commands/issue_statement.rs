//! A usage statement for the vendor (domain §6): totals of the items that an organization has
//! of this vendor, and where the journal stands. Each names the one before it, so that none
//! can be left out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate};

use super::site::Certified;
use super::{Refusal, Site};
use crate::documents::random_uuid;
use crate::documents::usage_statement::{ChainHead, PreviousStatement, StatementItem, TYPES_MAX, UsageStatement, VERSION};
use crate::licensing::{OrganizationId, ServerUuid};
use crate::store::catalog::CatalogItem;
use crate::store::facts::{Body, Hash, Head, StatementIssued};
use crate::store::usage::Scope;
use crate::store::{Command, Error, Ledger, facts, seats, slots, statements, usage};

/// Types beyond what a statement may list are summed up under this name.
const OTHERS: &str = "(others)";

/// See the module.
pub struct IssueStatement {
    /// The site.
    pub site: Arc<Site>,
    /// The organization; `None`: the only one there is.
    pub organization: Option<OrganizationId>,
    /// The key of the vendor whom it is for; `None`: the only one there is.
    pub vendor: Option<String>,
    /// First day, UTC.
    pub from: NaiveDate,
    /// Last day, UTC.
    pub to: NaiveDate,
    /// Who asks.
    pub by: String,
}

/// A statement that is recorded and still has to be signed, off the writer thread.
pub struct Issued {
    statement: UsageStatement,
    certified: Arc<Certified>,
    site: Arc<Site>,
}

impl Issued {
    /// The signed statement, armored.
    pub fn seal(&self) -> Result<String, Refusal> {
        self.statement.seal(&self.site.identity().key, &self.certified.document).map_err(|error| Refusal::Invalid("statement", error.to_string()))
    }
}

impl Command for IssueStatement {
    type Answer = Result<Box<Issued>, Refusal>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let catalog = ledger.catalog()?;
        let now = ledger.now();
        let today = DateTime::from_timestamp(now, 0).map(|time| time.date_naive()).unwrap_or_default();
        if self.from > self.to {
            return Ok(Err(Refusal::Invalid("from", "the first day (from) is later than the last one (to): exchange them".into())));
        }
        if self.to > today {
            return Ok(Err(Refusal::Invalid("to", format!("the last day (to) is in the future: it is {today} in UTC"))));
        }
        let mut organizations: Vec<&OrganizationId> = catalog.licenses().map(|license| &license.organization_id).collect();
        organizations.dedup();
        organizations.sort();
        organizations.dedup();
        let organization = match (&self.organization, organizations.as_slice()) {
            (Some(wanted), known) if known.contains(&wanted) => wanted.clone(),
            (Some(wanted), _) => return Ok(Err(Refusal::NotFound(format!("no license of organization {wanted} is installed: `license list` shows them")))),
            (None, [only]) => (*only).clone(),
            (None, []) => return Ok(Err(Refusal::Conflict("no license is installed, so there is nothing to state".into()))),
            (None, several) => {
                let names: Vec<&str> = several.iter().map(|id| id.as_str()).collect();
                return Ok(Err(Refusal::Invalid(
                    "organization_id",
                    format!("this server holds licenses of {}: say which one the statement is for (--organization)", names.join(", ")),
                )));
            }
        };
        let of_organization = || catalog.items().filter(|entry| entry.organization_id == organization);
        let vendors: BTreeSet<&str> = of_organization().map(|entry| entry.vendor_kid.as_ref()).collect();
        let vendor = match (&self.vendor, vendors.len()) {
            (Some(wanted), _) if vendors.contains(wanted.as_str()) => wanted.clone(),
            (None, 1) => vendors.iter().map(|vendor| (*vendor).to_owned()).collect(),
            _ => {
                let names: Vec<&str> = vendors.into_iter().collect();
                let detail =
                    format!("organization {organization} has licenses of the vendors {}: say which one the statement is for (--vendor)", names.join(", "));
                return Ok(Err(Refusal::Invalid("vendor", detail)));
            }
        };
        let entries: Vec<&CatalogItem> = of_organization().filter(|entry| *entry.vendor_kid == *vendor).collect();
        let certified = self.site.find_certificate(&organization, &vendor).filter(|certified| certified.certificate.is_valid_at(now));
        let Some(certified) = certified else {
            return Ok(Err(Refusal::Conflict(format!(
                "the vendor's certificate of this server for organization {organization} has ended: import a renewed license"
            ))));
        };
        let mut items = Vec::with_capacity(entries.len());
        for entry in entries {
            items.push(self.state_item(ledger, entry, now)?);
        }
        let own = ledger.origin();
        let head = facts::head(ledger.reading(), own)?;
        let previous = self.previous(ledger, &organization, &vendor)?;
        let mut other_heads = Vec::new();
        for origin in facts::list_origins(ledger.reading())?.into_iter().filter(|origin| *origin != own) {
            other_heads.push(chain_head(origin, facts::head(ledger.reading(), origin)?));
        }
        let statement = UsageStatement {
            statement_version: VERSION.into(),
            statement_id: random_uuid(),
            server_uuid: own,
            organization_id: organization.clone(),
            from: self.from,
            to: self.to,
            issued_at: DateTime::from_timestamp(now, 0).unwrap_or_default(),
            items,
            head: chain_head(own, head),
            other_heads,
            previous,
        };
        // The next one names this one as the one before it: it must be one that can be signed.
        if let Err(error) = statement.validate() {
            return Ok(Err(Refusal::Invalid("statement", error.to_string())));
        }
        ledger.record(&Body::StatementIssued(StatementIssued {
            statement_id: statement.statement_id,
            organization_id: organization,
            vendor_kid: vendor,
            from: self.from,
            to: self.to,
            head_sequence: head.sequence,
            head_hash: head.hash,
            by: self.by.clone(),
        }))?;
        Ok(Ok(Box::new(Issued { statement, certified, site: Arc::clone(&self.site) })))
    }
}

impl IssueStatement {
    fn state_item(&self, ledger: &mut Ledger<'_>, entry: &CatalogItem, now: i64) -> Result<StatementItem, Error> {
        let item = &entry.item;
        let id = item.item_id;
        ledger.flush()?;
        let (from_day, to_day) = (i64::from(self.from.to_epoch_days()), i64::from(self.to.to_epoch_days()));
        let used = usage::read(ledger.reading(), Scope { code: None, item: Some(id), from_day, to_day })?;
        let (total, mut overuse) = usage::read_used(ledger.reading(), id)?;
        let mut peak = 0;
        if item.charge_way.takes_seats() {
            peak = seats::count_active(ledger, id, now)?;
        } else if item.charge_way.is_concurrent() {
            peak = slots::read_peak(ledger.reading(), id, from_day * 86_400, to_day * 86_400 + 86_399)?;
            overuse = slots::read_excess(ledger.reading(), id, item.quota)?.saturating_sub(crate::licensing::grace::tolerance(item, now));
        }
        Ok(StatementItem {
            item_id: id,
            license_id: entry.license_id,
            product: item.product.clone(),
            charge_way: item.charge_way,
            period: item.period,
            quota: item.quota,
            in_period: fold(used.by_type),
            overuse,
            total,
            peak,
        })
    }

    fn previous(&self, ledger: &Ledger<'_>, organization: &OrganizationId, vendor: &str) -> Result<Option<PreviousStatement>, Error> {
        let own = ledger.origin();
        let Some(last) = statements::find_latest(ledger.reading(), organization, vendor, own)? else { return Ok(None) };
        let here = statements::hash_at(ledger.reading(), own, last.head_sequence)?;
        Ok(Some(PreviousStatement {
            statement_id: last.id,
            to: last.to,
            head: ChainHead { origin: own, sequence: last.head_sequence, hash: hex(&last.head_hash) },
            journal_hash: hex(&here.unwrap_or([0; 32])),
        }))
    }
}

/// A statement lists so many types; the smallest ones are summed up.
fn fold(by_type: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    if by_type.len() <= TYPES_MAX {
        return by_type;
    }
    let mut sorted: Vec<(String, u64)> = by_type.into_iter().collect();
    sorted.sort_by_key(|(_, units)| std::cmp::Reverse(*units));
    let rest: u64 = sorted.split_off(TYPES_MAX - 1).into_iter().map(|(_, units)| units).sum();
    let mut folded: BTreeMap<String, u64> = sorted.into_iter().collect();
    *folded.entry(OTHERS.to_owned()).or_default() += rest;
    folded
}

fn chain_head(origin: ServerUuid, head: Head) -> ChainHead {
    ChainHead { origin, sequence: head.sequence, hash: hex(&head.hash) }
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
