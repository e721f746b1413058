//! License files and their items.

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::web::{Data, Payload};
use serde::{Deserialize, Serialize};

use crate::commands::import_license::{ImportLicense, Imported};
use crate::commands::revoke_license::{RevokeLicense, Revoked};
use crate::documents::armor::find_label;
use crate::documents::{ActivationRequest, revocation};
use crate::http::Context;
use crate::http::body::read_json;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::http::tls;
use crate::licensing::{LicenseItem, grace};
use crate::protocol::ErrorCode;
use crate::store::catalog::{Catalog, CatalogItem};
use crate::store::{Error, Reader, seats, slots, usage};

/// A license in a listing.
#[derive(Debug, Serialize, Deserialize)]
pub struct LicenseRow {
    /// Its number.
    pub license_id: u64,
    /// Its alias.
    pub alias: String,
    /// Its organization.
    pub organization_id: String,
    /// Its items.
    pub items: Vec<ItemRow>,
}

/// An item in a listing.
#[derive(Debug, Serialize, Deserialize)]
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

/// `GET /licenses`
pub async fn list(context: Data<Context>) -> Result<HttpResponse, Failure> {
    let now = context.clock.now_seconds();
    let rows = context.read(move |reader| read_rows(reader, now)).await?;
    Ok(HttpResponse::Ok().json(rows))
}

fn read_rows(reader: &Reader, now: i64) -> Result<Vec<LicenseRow>, Error> {
    let catalog = Catalog::load(reader)?;
    let mut rows = Vec::new();
    for license in catalog.licenses() {
        let items = catalog.items_of_license(license.license_id).map(|entry| item_row(reader, entry, now)).collect::<Result<_, _>>()?;
        rows.push(LicenseRow { license_id: license.license_id.0, alias: license.alias.clone(), organization_id: license.organization_id.to_string(), items });
    }
    Ok(rows)
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

fn read_spent(reader: &Reader, item: &LicenseItem, now: i64) -> Result<Spent, Error> {
    let id = item.item_id;
    if item.charge_way.is_concurrent() {
        let used = slots::read_peak(reader, id, now - 3_600, now)?;
        let (excess, tolerance) = (slots::read_excess(reader, id, item.quota)?, grace::tolerance(item, now));
        return Ok(Spent {
            used,
            grace_left: tolerance.saturating_sub(excess),
            overuse: excess.saturating_sub(tolerance),
            granted: Some(seats::read_active(reader, id, now)?),
            is_used_up: excess >= tolerance,
        });
    }
    let limit = grace::limit(item);
    let (used, overuse) = if item.charge_way.takes_seats() {
        let seats = seats::read_active(reader, id, now)?;
        (seats, seats.saturating_sub(limit))
    } else {
        usage::read_used(reader, id)?
    };
    Ok(Spent { used, grace_left: grace::left(item, used), overuse, granted: None, is_used_up: used >= limit && item.quota > 0 })
}

/// An item as it stands at `now` (seconds).
pub(in crate::http) fn item_row(reader: &Reader, entry: &CatalogItem, now: i64) -> Result<ItemRow, Error> {
    let item = &entry.item;
    let spent = read_spent(reader, item, now)?;
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
        valid_from: crate::clock::rfc3339(item.starts_at()),
        valid_to: crate::clock::rfc3339(item.valid_to.timestamp()),
        grace_ends: crate::clock::rfc3339(grace::end_at(item)),
        status: status.to_owned(),
        revoked: entry.revoked.as_ref().map(|revoked| revoked.reason.clone()),
    })
}

/// A license file to import.
#[derive(Debug, Serialize, Deserialize)]
pub struct ImportRequest {
    /// The text of the file.
    pub file: String,
    /// The handshake code that shall get the items.
    #[serde(default)]
    pub into: Option<String>,
}

/// What was imported, a license or a revocation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ImportAnswer {
    /// A revocation.
    Revoked(Revoked),
    /// A license.
    License(Imported),
}

/// `POST /licenses`: a license file or a revocation.
pub async fn import(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: ImportRequest = read_json(&context, &request, payload).await?;
    if let Some(sandbox) = &context.sandbox {
        sandbox.check_vendor(&body.file)?;
    }
    if find_label(&body.file) == Some(revocation::LABEL) {
        let revoked = context.writer().submit(RevokeLicense::prepare(&context.site, &body.file, &caller.name)?).await??;
        return Ok(HttpResponse::Ok().json(ImportAnswer::Revoked(revoked)));
    }
    let command = ImportLicense::prepare(&context.site, &body.file, body.into, &caller.name)?;
    let _importing = context.importing.lock().await;
    let imported: Imported = context.writer().submit(command).await??;
    let site = context.site.clone();
    context
        .read(move |reader| {
            ImportLicense::refresh(&site, &Catalog::load(reader)?);
            Ok(())
        })
        .await?;
    Ok(HttpResponse::Ok().json(imported))
}

/// `GET /request`: this server's activation request, as text.
pub async fn activation_request(context: Data<Context>) -> Result<HttpResponse, Failure> {
    let name = tls::host_name().unwrap_or_else(|| "server".to_owned());
    let text = ActivationRequest::seal(context.site.identity(), &name, &[], context.clock.now_seconds())
        .map_err(|error| Failure::new(ErrorCode::NotServing, error.to_string()))?;
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text))
}
