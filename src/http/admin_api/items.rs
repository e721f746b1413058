//! License items: what they permit, what of it is used.

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::http::Context;
use crate::http::problem::Failure;
use crate::licensing::item::SeatStarts;
use crate::licensing::{ItemId, LicenseItem, grace};
use crate::protocol::Problem;
use crate::store::catalog::{Catalog, CatalogItem};
use crate::store::{Command, Error, Ledger, Reader, seats, slots, usage};

/// An item in a listing.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ItemRow {
    /// Its number.
    pub item_id: u64,
    /// Its product.
    pub product: String,
    /// How it is charged.
    pub charge_way: String,
    /// How much.
    pub quota: u64,
    /// Units charged; seats held now; for `concurrent_*` items the most in use in one slot
    /// of the last hour.
    pub used: u64,
    /// What is left of the grace beyond the quota; of the tolerance, for `concurrent_*`.
    pub grace_left: u64,
    /// Units, seats or excess slot-uses beyond quota and grace.
    pub overuse: u64,
    /// Instances granted to devices now, for `concurrent_*` items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<u64>,
    /// First moment of validity.
    pub valid_from: String,
    /// Last moment of validity, without grace.
    pub valid_to: String,
    /// Last moment of its days of grace.
    pub grace_ends: String,
    /// `active`, `not_yet_effective`, `grace` (past its end or quota), `expired`, `used_up` or
    /// `revoked`.
    pub status: String,
    /// Why the vendor revoked it, if that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
}

/// Everything about an item.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ItemDetail {
    /// Number, use, dates, status.
    #[serde(flatten)]
    pub row: ItemRow,
    /// The license it came in.
    pub license_id: u64,
    /// The alias of that license.
    pub alias: String,
    /// The organization of that license.
    pub organization_id: String,
    /// The thumbprint of the key of the vendor who signed it.
    pub vendor_kid: String,
    /// Editions permitted; empty: any.
    pub editions: Vec<String>,
    /// Versions permitted, dotted patterns separated by commas; empty: any.
    pub versions: String,
    /// Deployment types permitted; empty: any.
    pub deployment_types: Vec<String>,
    /// Modules permitted; empty: any.
    pub modules: Vec<String>,
    /// For `device` items: how long a seat is held, `year`, `quarter`, `month` or `day`.
    pub period: Option<String>,
    /// How long a device may work offline on one authorization, such as `7d`.
    pub local_license_validity: String,
    /// Units or seats allowed beyond the quota.
    pub grace_units: u64,
    /// When a seat is taken: `authorization` or `first_use`.
    pub seat_starts: String,
    /// How many seats may be freed by hand over the item's life.
    pub release_allowance: u32,
    /// How many were.
    pub releases_used: u64,
    /// The item without which this one is worth nothing.
    pub depends_on: Option<u64>,
    /// The item that this one renews or adds to.
    pub renews: Option<u64>,
    /// Installed items that renew this one or add to it.
    pub renewed_by: Vec<u64>,
    /// Whether it is the public trial.
    pub trial: bool,
    /// For `domain` items: the domain inside which use is unlimited.
    pub domain: Option<String>,
    /// The handshake codes that have it.
    pub handshake_codes: Vec<String>,
}

/// What the writer counts for each item, so that no listing walks over a million seats.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    /// Seats held now, instances granted now.
    held: u64,
    /// The excess of a `concurrent_*` item over all slots.
    excess: u64,
}

/// Asks the writer what it counts.
struct CountHeld;

impl Command for CountHeld {
    type Answer = (Arc<Catalog>, HashMap<ItemId, Counted>);

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let (catalog, now) = (ledger.catalog()?, ledger.now());
        let mut counted = HashMap::new();
        for CatalogItem { item, .. } in catalog.items() {
            let mut count = Counted::default();
            if item.charge_way.is_concurrent() {
                count.excess = slots::excess(ledger, item.item_id, item.quota)?;
            }
            if item.charge_way.is_concurrent() || item.charge_way.takes_seats() {
                count.held = seats::count_active(ledger, item.item_id, now)?;
            }
            counted.insert(item.item_id, count);
        }
        Ok((catalog, counted))
    }
}

/// What is installed, with what the writer counts of it.
pub struct Stock {
    /// Licenses, items, codes.
    pub catalog: Arc<Catalog>,
    counted: HashMap<ItemId, Counted>,
    now: i64,
}

impl Stock {
    /// As of now.
    pub async fn take(context: &Context) -> Result<Self, Failure> {
        let (catalog, counted) = context.writer().submit(CountHeld).await?;
        Ok(Self { catalog, counted, now: context.clock.now_seconds() })
    }

    /// An item in a listing.
    pub fn row(&self, reader: &Reader, entry: &CatalogItem) -> Result<ItemRow, Error> {
        row_of(reader, entry, self.counted.get(&entry.item.item_id).copied().unwrap_or_default(), self.now)
    }

    /// Everything about an item.
    pub fn detail(&self, reader: &Reader, entry: &CatalogItem) -> Result<ItemDetail, Error> {
        let item = &entry.item;
        let codes = self.catalog.codes().into_iter().filter(|code| code.state.items.contains(&item.item_id));
        let renewed_by = self.catalog.items().filter(|other| other.item.renews == Some(item.item_id) && other.vendor_kid == entry.vendor_kid);
        Ok(ItemDetail {
            row: self.row(reader, entry)?,
            license_id: entry.license_id.0,
            alias: self.catalog.find_license(entry.license_id).map(|license| license.alias.clone()).unwrap_or_default(),
            organization_id: entry.organization_id.to_string(),
            vendor_kid: entry.vendor_kid.to_string(),
            editions: item.editions.clone(),
            versions: item.versions.to_string(),
            deployment_types: item.deployment_types.iter().map(ToString::to_string).collect(),
            modules: item.modules.clone(),
            period: item.period.map(|period| period.to_string()),
            local_license_validity: item.local_license_validity.to_string(),
            grace_units: grace::units(item),
            seat_starts: match item.seat_starts {
                SeatStarts::Authorization => "authorization",
                SeatStarts::FirstUse => "first_use",
            }
            .to_owned(),
            release_allowance: item.release_allowance,
            releases_used: seats::count_admin_releases(reader, item.item_id)?,
            depends_on: item.depends_on.map(|id| id.0),
            renews: item.renews.map(|id| id.0),
            renewed_by: renewed_by.map(|other| other.item.item_id.0).collect(),
            trial: item.trial,
            domain: item.domain.clone(),
            handshake_codes: codes.map(|code| code.name()).collect(),
        })
    }
}

/// What an item has spent.
struct Spent {
    used: u64,
    grace_left: u64,
    overuse: u64,
    granted: Option<u64>,
    /// Nobody new is let in.
    is_used_up: bool,
}

fn read_spent(reader: &Reader, item: &LicenseItem, counted: Counted, now: i64) -> Result<Spent, Error> {
    let id = item.item_id;
    let Counted { held, excess } = counted;
    if item.charge_way.is_concurrent() {
        let used = slots::read_peak(reader, id, now - 3_600, now)?;
        let tolerance = grace::tolerance(item, now);
        return Ok(Spent {
            used,
            grace_left: tolerance.saturating_sub(excess),
            overuse: excess.saturating_sub(tolerance),
            granted: Some(held),
            is_used_up: excess >= tolerance,
        });
    }
    let limit = grace::limit(item);
    let (used, overuse) = if item.charge_way.takes_seats() { (held, held.saturating_sub(limit)) } else { usage::read_used(reader, id)? };
    Ok(Spent { used, grace_left: grace::left(item, used), overuse, granted: None, is_used_up: used >= limit && item.quota > 0 })
}

fn row_of(reader: &Reader, entry: &CatalogItem, counted: Counted, now: i64) -> Result<ItemRow, Error> {
    let item = &entry.item;
    let spent = read_spent(reader, item, counted, now)?;
    let status = if entry.revoked.is_some() {
        "revoked"
    } else if now < item.starts_at() {
        "not_yet_effective"
    } else if now > grace::end_at(item) {
        "expired"
    } else if spent.is_used_up {
        "used_up"
    } else if now > item.valid_to.timestamp() || (spent.used >= item.quota && item.charge_way.has_quota()) {
        "grace"
    } else {
        "active"
    };
    Ok(ItemRow {
        item_id: item.item_id.0,
        product: item.product.clone(),
        charge_way: item.charge_way.to_string(),
        quota: item.quota,
        used: spent.used,
        grace_left: spent.grace_left,
        overuse: spent.overuse,
        granted: spent.granted,
        valid_from: rfc3339(item.starts_at()),
        valid_to: rfc3339(item.valid_to.timestamp()),
        grace_ends: rfc3339(grace::end_at(item)),
        status: status.to_owned(),
        revoked: entry.revoked.as_ref().map(|revoked| revoked.reason.clone()),
    })
}

/// All items, by number.
pub async fn read_all(context: &Context) -> Result<Vec<ItemDetail>, Failure> {
    let stock = Stock::take(context).await?;
    context.read(move |reader| stock.catalog.items().map(|entry| stock.detail(reader, entry)).collect()).await
}

/// One item.
pub async fn read_one(context: &Context, id: &str) -> Result<ItemDetail, Failure> {
    let stock = Stock::take(context).await?;
    let missing = || {
        crate::commands::Refusal::NotFound(format!(
            "item {} is not installed: the page 'License items' and `license list` show the items",
            crate::licensing::id::shorten(id)
        ))
    };
    let id: ItemId = id.parse().map_err(|_| missing())?;
    let entry = stock.catalog.find_item(id).ok_or_else(missing)?.clone();
    context.read(move |reader| stock.detail(reader, &entry)).await
}

/// `GET /items`
#[utoipa::path(get, path = "/api/v1/admin/items", tag = "licenses", security(("bearer" = [])), responses(
    (status = 200, description = "All license items, by number", body = Vec<ItemDetail>),
))]
pub async fn list(context: Data<Context>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(read_all(&context).await?))
}

/// `GET /items/{id}`
#[utoipa::path(get, path = "/api/v1/admin/items/{id}", tag = "licenses", security(("bearer" = [])), params(("id" = u64, Path, description = "The item's number")), responses(
    (status = 200, description = "Everything about it", body = ItemDetail),
    (status = 404, description = "It is not installed", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(context: Data<Context>, id: Path<String>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(read_one(&context, &id).await?))
}
