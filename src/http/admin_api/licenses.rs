//! License files: what is installed, import of files and revocations, this server's activation
//! request.

use actix_web::http::header::{ContentDisposition, DispositionParam, DispositionType};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::items::{ItemDetail, ItemRow, Stock};
use crate::clock::rfc3339;
use crate::commands::Refusal;
use crate::commands::import_license::{ImportLicense, Imported, Target};
use crate::commands::revoke_license::{RevokeLicense, Revoked};
use crate::documents::armor::{armor, find_label};
use crate::documents::{ActivationRequest, LicenseFile, RequestServer, license_file, revocation};
use crate::http::Context;
use crate::http::body::read_json;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::http::tls;
use crate::licensing::{LicenseId, LicenseItem};
use crate::protocol::{ErrorCode, Problem};
use crate::store::Reader;
use crate::store::catalog::Catalog;
use crate::store::licenses::License;

/// A license in a listing.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
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

/// All licenses with their items.
pub async fn read_all(context: &Context) -> Result<Vec<LicenseRow>, Failure> {
    let stock = Stock::take(context).await?;
    let work = move |reader: &Reader| {
        let row = |license: &License| {
            let items = stock.catalog.items_of_license(license.license_id).map(|entry| stock.row(reader, entry)).collect::<Result<_, _>>()?;
            Ok(LicenseRow { license_id: license.license_id.0, alias: license.alias.clone(), organization_id: license.organization_id.to_string(), items })
        };
        stock.catalog.licenses().map(row).collect()
    };
    context.read(work).await
}

/// `GET /licenses`
#[utoipa::path(get, path = "/api/v1/admin/licenses", tag = "licenses", security(("bearer" = [])), responses(
    (status = 200, description = "All licenses with their items", body = Vec<LicenseRow>),
))]
pub async fn list(context: Data<Context>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(read_all(&context).await?))
}

/// Everything about an installed license.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LicenseDetail {
    /// Its number.
    pub license_id: u64,
    /// Its alias.
    pub alias: String,
    /// Its organization.
    pub organization_id: String,
    /// When the vendor made the file.
    pub issued_at: String,
    /// When it was imported.
    pub imported_at: String,
    /// The thumbprint of the key of the vendor who signed it.
    pub vendor_kid: String,
    /// The servers it is bound to.
    pub servers: Vec<String>,
    /// Its items.
    pub items: Vec<ItemDetail>,
}

/// Reads an installed license.
pub async fn read_one(context: &Context, id: &str) -> Result<LicenseDetail, Failure> {
    let stock = Stock::take(context).await?;
    let license = find(&stock.catalog, id)?.clone();
    let payload = LicenseFile::from_jws(&license.document).and_then(|file| file.unverified_license());
    let servers = payload.map(|payload| payload.servers.iter().map(|server| server.uuid.to_string()).collect()).unwrap_or_default();
    let items = context.read(move |reader| stock.catalog.items_of_license(license.license_id).map(|entry| stock.detail(reader, entry)).collect()).await?;
    let license = find(&context.writer().catalog(), id)?.clone();
    Ok(LicenseDetail {
        license_id: license.license_id.0,
        alias: license.alias,
        organization_id: license.organization_id.to_string(),
        issued_at: rfc3339(license.issued_at),
        imported_at: rfc3339(license.imported_at),
        vendor_kid: license.vendor_kid,
        servers,
        items,
    })
}

fn find<'c>(catalog: &'c Catalog, id: &str) -> Result<&'c License, Refusal> {
    let found = id.parse::<LicenseId>().ok().and_then(|id| catalog.find_license(id));
    found.ok_or_else(|| {
        Refusal::NotFound(format!(
            "license {} is not installed: the page 'License items' and `license list` show those that are",
            crate::licensing::id::shorten(id)
        ))
    })
}

/// `GET /licenses/{id}`
#[utoipa::path(get, path = "/api/v1/admin/licenses/{id}", tag = "licenses", security(("bearer" = [])), params(("id" = u64, Path, description = "The license's number")), responses(
    (status = 200, description = "Everything about it", body = LicenseDetail),
    (status = 404, description = "It is not installed", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(context: Data<Context>, id: Path<String>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(read_one(&context, &id).await?))
}

/// `GET /licenses/{id}/file`: the file as the vendor signed it.
#[utoipa::path(get, path = "/api/v1/admin/licenses/{id}/file", tag = "licenses", security(("bearer" = [])), params(("id" = u64, Path, description = "The license's number")), responses(
    (status = 200, description = "The license file, as it can be imported again", body = String, content_type = "text/plain"),
    (status = 404, description = "It is not installed", body = Problem, content_type = "application/problem+json"),
))]
pub async fn file(context: Data<Context>, id: Path<String>) -> Result<HttpResponse, Failure> {
    let catalog = context.writer().catalog();
    let license = find(&catalog, &id)?;
    // It was verified when it was imported, and the journal keeps it unchanged.
    let payload = LicenseFile::from_jws(&license.document).and_then(|file| file.unverified_license());
    let summary = payload.map(|payload| payload.summary()).unwrap_or_default();
    Ok(download(&format!("license-{}.lic", license.license_id), armor(license_file::LABEL, &license.document, &summary)))
}

/// A text that browsers keep as a file.
pub fn download(name: &str, text: String) -> HttpResponse {
    let disposition = ContentDisposition { disposition: DispositionType::Attachment, parameters: vec![DispositionParam::Filename(name.to_owned())] };
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header(disposition)
        .insert_header(("cache-control", "no-store"))
        .insert_header(("x-content-type-options", "nosniff"))
        .body(text)
}

/// A license file to import.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ImportRequest {
    /// The text of the file, a license or a revocation.
    pub file: String,
    /// The handshake code in use that shall get the items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// The name of a handshake code to be made for the items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_code: Option<String>,
    /// Tells what an import would do, and does nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preview: bool,
}

impl ImportRequest {
    fn target(&self) -> Result<Target, Refusal> {
        match (&self.into, &self.new_code) {
            (Some(_), Some(_)) => Err(Refusal::Invalid("new_code", "stands beside `into`: give one of the two".to_owned())),
            (Some(name), None) => Ok(Target::Existing(name.clone())),
            (None, Some(name)) => {
                let name = name.parse().map_err(|bad: crate::licensing::id::BadName| Refusal::Invalid("new_code", bad.to_string()))?;
                Ok(Target::New(name))
            }
            (None, None) => Ok(Target::Own),
        }
    }
}

/// What was imported, a license or a revocation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ImportAnswer {
    /// A revocation.
    Revoked(Revoked),
    /// A license.
    License(Imported),
}

/// What an import would do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ImportPreview {
    /// Of a license file.
    License(LicensePreview),
    /// Of a revocation.
    Revocation(RevocationPreview),
}

/// What the import of a license would do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LicensePreview {
    /// Its number.
    pub license_id: u64,
    /// Its alias.
    pub alias: String,
    /// Its organization.
    pub organization_id: String,
    /// When the vendor made the file.
    pub issued_at: String,
    /// The thumbprint of the key of the vendor who signed it.
    pub vendor_kid: String,
    /// Whether this very file is installed already.
    pub was_installed: bool,
    /// Whether an earlier issue of this license is installed.
    pub replaces: bool,
    /// Its items.
    pub items: Vec<PreviewItem>,
    /// The handshake code that gets items of its own accord.
    pub handshake_code: Option<String>,
    /// Whether that code is made for them.
    pub makes_code: bool,
    /// The items that this code gets.
    pub added: Vec<u64>,
    /// Codes in use that get an item because it renews one of theirs.
    pub joins: Vec<Join>,
}

/// An item that would join a code in use.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Join {
    /// The code.
    pub handshake_code: String,
    /// The item.
    pub item_id: u64,
}

/// An item of a file that is looked at.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PreviewItem {
    /// Its number.
    pub item_id: u64,
    /// Its product.
    pub product: String,
    /// How it is charged.
    pub charge_way: String,
    /// For `device` items: how long a seat is held.
    pub period: Option<String>,
    /// How much.
    pub quota: u64,
    /// First moment of validity.
    pub valid_from: String,
    /// Last moment of validity, without grace.
    pub valid_to: String,
    /// Modules permitted; empty: any.
    pub modules: Vec<String>,
    /// The item that it renews or adds to.
    pub renews: Option<u64>,
    /// Whether it is not installed yet.
    pub is_new: bool,
}

/// What the import of a revocation would do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RevocationPreview {
    /// The license.
    pub license_id: u64,
    /// The items that are revoked.
    pub revoked_items: Vec<u64>,
    /// Whether all of them are revoked already.
    pub was_installed: bool,
    /// Why, in the vendor's words.
    pub reason: String,
    /// When the vendor did.
    pub issued_at: String,
}

/// `POST /licenses`: a license file or a revocation.
#[utoipa::path(post, path = "/api/v1/admin/licenses", tag = "licenses", security(("bearer" = [])), request_body = ImportRequest, responses(
    (status = 200, description = "What was imported; with `preview`, what an import would do (ImportPreview)", body = ImportAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn import(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: ImportRequest = read_json(&context, &request, payload).await?;
    if body.preview {
        return Ok(HttpResponse::Ok().json(look_at(&context, &body).await?));
    }
    Ok(HttpResponse::Ok().json(take(&context, &body, &caller.name).await?))
}

fn is_revocation(text: &str) -> bool {
    find_label(text) == Some(revocation::LABEL)
}

/// Imports a file.
pub async fn take(context: &Data<Context>, body: &ImportRequest, by: &str) -> Result<ImportAnswer, Failure> {
    if let Some(sandbox) = &context.sandbox {
        sandbox.check_vendor(&body.file)?;
    }
    if is_revocation(&body.file) {
        let revoked = context.writer().submit(RevokeLicense::prepare(&context.site, &body.file, by)?).await??;
        return Ok(ImportAnswer::Revoked(revoked));
    }
    let _importing = context.importing.lock().await;
    let command = ImportLicense::prepare(&context.site, &body.file, body.target()?, by)?;
    let imported: Imported = context.writer().submit(command).await??;
    let site = context.site.clone();
    context
        .read(move |reader| {
            ImportLicense::refresh(&site, &Catalog::load(reader)?);
            Ok(())
        })
        .await?;
    Ok(ImportAnswer::License(imported))
}

/// Tells what an import would do.
pub async fn look_at(context: &Data<Context>, body: &ImportRequest) -> Result<ImportPreview, Failure> {
    if let Some(sandbox) = &context.sandbox {
        sandbox.check_vendor(&body.file)?;
    }
    let catalog = context.writer().catalog();
    if is_revocation(&body.file) {
        let command = RevokeLicense::prepare(&context.site, &body.file, "")?;
        let Revoked { license_id, revoked_items, was_installed } = command.plan(&catalog)?;
        let revocation = command.revocation();
        return Ok(ImportPreview::Revocation(RevocationPreview {
            license_id,
            revoked_items,
            was_installed,
            reason: revocation.reason.clone(),
            issued_at: rfc3339(revocation.issued_at.timestamp()),
        }));
    }
    let command = ImportLicense::prepare(&context.site, &body.file, body.target()?, "")?;
    let plan = command.plan(&catalog)?;
    let license = command.license();
    let item = |item: &LicenseItem| PreviewItem {
        item_id: item.item_id.0,
        product: item.product.clone(),
        charge_way: item.charge_way.to_string(),
        period: item.period.map(|period| period.to_string()),
        quota: item.quota,
        valid_from: rfc3339(item.starts_at()),
        valid_to: rfc3339(item.valid_to.timestamp()),
        modules: item.modules.clone(),
        renews: item.renews.map(|id| id.0),
        is_new: catalog.find_item(item.item_id).is_none(),
    };
    Ok(ImportPreview::License(LicensePreview {
        license_id: license.license_id.0,
        alias: license.alias.clone(),
        organization_id: license.organization_id.to_string(),
        issued_at: rfc3339(license.issued_at.timestamp()),
        vendor_kid: command.vendor_kid().to_owned(),
        was_installed: plan.imported.was_installed,
        replaces: !plan.imported.was_installed && catalog.find_license(license.license_id).is_some(),
        items: license.items.iter().map(item).collect(),
        handshake_code: plan.imported.handshake_code,
        makes_code: plan.makes_code,
        added: plan.added.iter().map(|id| id.0).collect(),
        joins: plan.joins.into_iter().map(|(handshake_code, item)| Join { handshake_code, item_id: item.0 }).collect(),
    }))
}

/// This server's activation request, as text.
pub fn make_request(context: &Context) -> Result<String, Failure> {
    let name = tls::host_name().unwrap_or_else(|| "server".to_owned());
    let partner: Vec<RequestServer> = context.keeper.pairing().map(|pairing| pairing.partner.server.clone()).into_iter().collect();
    ActivationRequest::seal(context.site.identity(), &name, &partner, context.clock.now_seconds())
        .map_err(|error| Failure::new(ErrorCode::NotServing, error.to_string()))
}

/// `GET /request`: this server's activation request, as text.
#[utoipa::path(get, path = "/api/v1/admin/request", tag = "licenses", security(("bearer" = [])), responses(
    (status = 200, description = "The activation request, to be sent to the vendor", body = String, content_type = "text/plain"),
))]
pub async fn activation_request(context: Data<Context>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(make_request(&context)?))
}
