//! What HTTPS shows (architecture §5).

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::http::Context;
use crate::http::problem::Failure;
use crate::protocol::Problem;

/// The certificate in use.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CertificateRow {
    /// `site_ca`: issued by the site's own authority.
    pub source: String,
    /// Who issued it.
    pub issuer: String,
    /// DNS names and IP addresses it is for.
    pub names: Vec<String>,
    /// First moment of its validity.
    pub not_before: String,
    /// Last moment of its validity.
    pub not_after: String,
    /// SHA-256 of the certificate.
    pub fingerprint: String,
    /// SHA-256 of the site's authority, as license keys carry it.
    pub ca_fingerprint: String,
}

/// The certificate in use.
pub fn row(context: &Context) -> CertificateRow {
    let certificate = &context.certificate;
    CertificateRow {
        source: "site_ca".to_owned(),
        issuer: certificate.issuer.clone(),
        names: certificate.names.clone(),
        not_before: rfc3339(certificate.not_before),
        not_after: rfc3339(certificate.not_after),
        fingerprint: certificate.fingerprint.clone(),
        ca_fingerprint: context.ca_fingerprint.clone(),
    }
}

/// `GET /certificate`
#[utoipa::path(get, path = "/api/v1/admin/certificate", tag = "servers", security(("bearer" = [])), responses(
    (status = 200, description = "The HTTPS certificate in use", body = CertificateRow),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(context: Data<Context>) -> HttpResponse {
    HttpResponse::Ok().json(row(&context))
}

/// `GET /certificate/ca.pem`: the site's authority, for browsers to trust.
#[utoipa::path(get, path = "/api/v1/admin/certificate/ca.pem", tag = "servers", security(("bearer" = [])), responses(
    (status = 200, description = "The site's authority, PEM", body = String, content_type = "application/x-pem-file"),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn authority(context: Data<Context>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok()
        .content_type("application/x-pem-file")
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"tollkeeper-ca.pem\""))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(context.ca_pem.clone()))
}
