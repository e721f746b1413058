//! License files and their items.

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::web::{Data, Payload};
use serde::{Deserialize, Serialize};

use super::CONSOLE;
use crate::commands::import_license::{ImportLicense, Imported};
use crate::documents::ActivationRequest;
use crate::http::Context;
use crate::http::body::read_json;
use crate::http::problem::Failure;
use crate::http::tls;
use crate::licensing::{LicenseItem, grace};
use crate::protocol::ErrorCode;
use crate::store::catalog::Catalog;
use crate::store::{Error, Reader, seats, usage};

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
    /// Units charged, or seats held now.
    pub used: u64,
    /// What is left of the grace beyond the quota.
    pub grace_left: u64,
    /// Units beyond quota and grace.
    pub overuse: u64,
    /// First moment of validity.
    pub valid_from: String,
    /// Last moment of validity, without grace.
    pub valid_to: String,
    /// `active`, `not_yet_effective`, `grace` (past its end or quota), `expired` or `used_up`.
    pub status: String,
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
        let items = catalog.items_of_license(license.license_id).map(|entry| item_row(reader, &entry.item, now)).collect::<Result<_, _>>()?;
        rows.push(LicenseRow { license_id: license.license_id.0, alias: license.alias.clone(), organization_id: license.organization_id.to_string(), items });
    }
    Ok(rows)
}

fn item_row(reader: &Reader, item: &LicenseItem, now: i64) -> Result<ItemRow, Error> {
    let (used, overuse) =
        if item.charge_way.takes_seats() { (seats::read_active(reader, item.item_id, now)?, 0) } else { usage::read_used(reader, item.item_id)? };
    let status = if now < item.starts_at() {
        "not_yet_effective"
    } else if now > grace::end_at(item) {
        "expired"
    } else if used >= grace::limit(item) && item.quota > 0 {
        "used_up"
    } else if now > item.valid_to.timestamp() || (used >= item.quota && item.quota > 0) {
        "grace"
    } else {
        "active"
    };
    Ok(ItemRow {
        item_id: item.item_id.0,
        product: item.product.clone(),
        charge_way: item.charge_way.to_string(),
        quota: item.quota,
        used,
        grace_left: grace::left(item, used),
        overuse,
        valid_from: crate::clock::rfc3339(item.starts_at()),
        valid_to: crate::clock::rfc3339(item.valid_to.timestamp()),
        status: status.to_owned(),
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

/// `POST /licenses`
pub async fn import(context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: ImportRequest = read_json(&context, &request, payload).await?;
    let command = ImportLicense::prepare(&context.site, &body.file, body.into, CONSOLE)?;
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
