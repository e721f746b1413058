//! What HTTPS shows (architecture §5): the certificate of the site's authority, or the
//! administrator's own.

use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::{Clock as _, SystemClock, rfc3339};
use crate::commands::Refusal;
use crate::http::Context;
use crate::http::body::read_json;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::http::tls::{Standing, TlsError};
use crate::protocol::{ErrorCode, Problem};
use crate::store::Error;
use crate::store::audit::AdminActed;

/// The certificate in use.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CertificateRow {
    /// `site_ca`: issued by the site's own authority. `own`: brought by the administrator.
    /// `own_files`: from the files that the settings name.
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
    /// Names and addresses that license keys lead to and it is not for.
    pub uncovered: Vec<String>,
    /// Why an own certificate is there and not in use.
    pub problem: Option<String>,
    /// SHA-256 of the site's authority, as license keys carry it.
    pub ca_fingerprint: String,
    /// Last moment of the authority's certificate.
    pub ca_not_after: String,
    /// Last moment of the certificate that devices get which trust exactly the site's authority.
    pub site_not_after: String,
}

/// A certificate of one's own.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnCertificateBody {
    /// The server's certificate first, then those of its authorities, each followed by the one that
    /// issued it, PEM.
    pub certificate: String,
    /// Its private key without a passphrase, PEM.
    pub key: String,
}

/// How it stands today.
pub fn standing(context: &Context) -> Result<Standing, Failure> {
    let broken = |error: TlsError| Failure::new(ErrorCode::NotServing, error.to_string());
    context.certificates.standing(SystemClock.now_seconds()).map_err(broken)
}

/// The certificate in use.
pub fn row(context: &Context) -> Result<CertificateRow, Failure> {
    let Standing { source, shown, site, authority_not_after, problem, uncovered, .. } = standing(context)?;
    Ok(CertificateRow {
        source: source.name().to_owned(),
        issuer: shown.issuer,
        names: shown.names,
        not_before: rfc3339(shown.not_before),
        not_after: rfc3339(shown.not_after),
        fingerprint: shown.fingerprint,
        uncovered,
        problem,
        ca_fingerprint: context.ca_fingerprint.clone(),
        ca_not_after: rfc3339(authority_not_after),
        site_not_after: rfc3339(site.not_after),
    })
}

/// `GET /certificate`
#[utoipa::path(get, path = "/api/v1/admin/certificate", tag = "servers", security(("bearer" = [])), responses(
    (status = 200, description = "The HTTPS certificate in use", body = CertificateRow),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(context: Data<Context>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(row(&context)?))
}

fn act(caller: &Caller, action: &str) -> AdminActed {
    let subject = "this server".to_owned();
    AdminActed { by: caller.name.clone(), action: action.to_owned(), subject, detail: String::new(), address: caller.address.clone() }
}

/// Takes a certificate, if everything about it is in order.
///
/// # Errors
/// It cannot be written.
pub async fn take(context: &Context, caller: &Caller, body: OwnCertificateBody) -> Result<Result<(), Refusal>, Failure> {
    let (certificates, by) = (context.certificates.clone(), act(caller, "certificate_set"));
    let taken = actix_web::web::block(move || certificates.set(&body.certificate, &body.key, SystemClock.now_seconds(), by));
    Ok(taken.await.map_err(|_| Error::Stopped)??)
}

/// Goes back to the certificate of the site's authority.
///
/// # Errors
/// It cannot be written.
pub async fn take_away(context: &Context, caller: &Caller) -> Result<Result<(), Refusal>, Failure> {
    let (certificates, by) = (context.certificates.clone(), act(caller, "certificate_removed"));
    let removed = actix_web::web::block(move || certificates.remove(SystemClock.now_seconds(), by));
    Ok(removed.await.map_err(|_| Error::Stopped)??)
}

/// `PUT /certificate`: for this server alone; the partner has its own.
#[utoipa::path(put, path = "/api/v1/admin/certificate", tag = "servers", security(("bearer" = [])), request_body = OwnCertificateBody, responses(
    (status = 200, description = "In use for new connections from now on; open ones go on", body = CertificateRow),
    (status = "4XX", description = "Refused, nothing was changed; `detail` says what is wrong with it", body = Problem, content_type = "application/problem+json"),
))]
pub async fn set(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: OwnCertificateBody = read_json(&context, &request, payload).await?;
    take(&context, &caller, body).await?.map_err(named)?;
    show(context).await
}

/// With the field's name in front, for whoever sees no form.
fn named(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Invalid(field, text) => Refusal::Invalid(field, format!("the {field} {text}")),
        refusal => refusal,
    }
}

/// `DELETE /certificate`
#[utoipa::path(delete, path = "/api/v1/admin/certificate", tag = "servers", security(("bearer" = [])), responses(
    (status = 200, description = "The server uses the certificate of the site's authority", body = CertificateRow),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn remove(caller: Caller, context: Data<Context>) -> Result<HttpResponse, Failure> {
    take_away(&context, &caller).await??;
    show(context).await
}

/// `GET /certificate/ca.pem`: the site's authority, for browsers to trust.
#[utoipa::path(get, path = "/api/v1/admin/certificate/ca.pem", tag = "servers", security(("bearer" = [])), responses(
    (status = 200, description = "The site's authority, PEM", body = String, content_type = "application/x-pem-file"),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn authority(context: Data<Context>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/x-pem-file")
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"tollkeeper-ca.pem\""))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(context.certificates.authority_pem())
}
