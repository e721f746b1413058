//! The vendors whose licenses can be imported.

use std::sync::Arc;

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::commands::trust_vendor::{DistrustVendor, RecordDistrust, RecordTrust, TrustVendor};
use crate::http::Context;
use crate::http::body::read_json;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::protocol::{ErrorCode, Problem};

/// A vendor in a listing.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VendorRow {
    /// The thumbprint of its key: how license files name it.
    pub kid: String,
    /// The key, PEM.
    pub public_key: String,
    /// The file on the server that says so.
    pub file: String,
    /// How many of its licenses are installed.
    pub licenses: usize,
}

/// A vendor to trust.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct VendorBody {
    /// The text of the vendor's `vendor.pub`.
    pub public_key: String,
}

/// The vendors that are trusted, read anew from their files.
pub async fn rows(context: &Data<Context>) -> Result<Vec<VendorRow>, Failure> {
    let shared = context.clone();
    let row = move |(file, key): (std::path::PathBuf, crate::documents::VerifyingKey)| VendorRow {
        kid: key.kid().to_owned(),
        public_key: key.to_spki_pem(),
        licenses: shared.writer().catalog().licenses().filter(|license| license.vendor_kid == key.kid()).count(),
        file: file.display().to_string(),
    };
    let site = Arc::clone(&context.site);
    let list = actix_web::web::block(move || site.list_vendors()).await.map_err(|_| crate::store::Error::Stopped)?;
    Ok(list.into_iter().map(row).collect())
}

/// Trusts a vendor; tells its thumbprint, and whether it was trusted before.
pub async fn trust(context: &Data<Context>, text: &str, caller: &Caller) -> Result<(String, bool), Failure> {
    let command = Arc::new(TrustVendor::prepare(&context.site, text, &caller.name, &caller.address)?);
    context.writer().submit(RecordTrust(Arc::clone(&command))).await?;
    let (site, finishing) = (Arc::clone(&context.site), Arc::clone(&command));
    let finished = actix_web::web::block(move || finishing.finish(&site)).await.map_err(|_| crate::store::Error::Stopped)?;
    finished.map_err(|error| Failure::new(ErrorCode::NotServing, error.to_string()))?;
    Ok((command.kid().to_owned(), command.was_trusted()))
}

/// Takes the trust in a vendor back.
pub async fn distrust(context: &Data<Context>, kid: &str, caller: &Caller) -> Result<(), Failure> {
    // An import that found the vendor trusted must not end after this.
    let _alone = context.importing.lock().await;
    let command = Arc::new(DistrustVendor::prepare(&context.site, kid, &caller.name, &caller.address)?);
    context.writer().submit(RecordDistrust(Arc::clone(&command))).await??;
    let site = Arc::clone(&context.site);
    let finished = actix_web::web::block(move || command.finish(&site)).await.map_err(|_| crate::store::Error::Stopped)?;
    finished.map_err(|error| Failure::new(ErrorCode::NotServing, error.to_string()))
}

/// `GET /vendors`
#[utoipa::path(get, path = "/api/v1/admin/vendors", tag = "licenses", security(("bearer" = [])), responses(
    (status = 200, description = "The vendors whose licenses can be imported", body = Vec<VendorRow>),
))]
pub async fn list(context: Data<Context>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(rows(&context).await?))
}

/// `POST /vendors`
#[utoipa::path(post, path = "/api/v1/admin/vendors", tag = "licenses", security(("bearer" = [])), request_body = VendorBody, responses(
    (status = 200, description = "The vendor was trusted already", body = VendorRow),
    (status = 201, description = "Licenses of this vendor can be imported now", body = VendorRow),
    (status = 400, description = "It is no public key", body = Problem, content_type = "application/problem+json"),
))]
pub async fn add(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: VendorBody = read_json(&context, &request, payload).await?;
    let (kid, was_trusted) = trust(&context, &body.public_key, &caller).await?;
    let row = rows(&context)
        .await?
        .into_iter()
        .find(|row| row.kid == kid)
        .ok_or_else(|| Failure::new(ErrorCode::NotServing, "the key was written but is not there"))?;
    let mut response = if was_trusted { HttpResponse::Ok() } else { HttpResponse::Created() };
    Ok(response.json(row))
}

/// `DELETE /vendors/{kid}`
#[utoipa::path(delete, path = "/api/v1/admin/vendors/{kid}", tag = "licenses", security(("bearer" = [])), params(("kid" = String, Path, description = "The thumbprint of its key")), responses(
    (status = 204, description = "Licenses of this vendor can be imported no longer"),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn delete(caller: Caller, context: Data<Context>, kid: Path<String>) -> Result<HttpResponse, Failure> {
    distrust(&context, &kid, &caller).await?;
    Ok(HttpResponse::NoContent().finish())
}
