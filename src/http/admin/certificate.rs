//! The HTTPS certificate (pages, "Security"): what is in use, the site's authority, one's own.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::chrome::{Chrome, PageResult, go, go_with_error, page, page_with};
use super::form::Fields;
use super::security::{CERTIFICATE, around, place};
use super::shown::{Errors, Tab, When};
use crate::clock::{Clock as _, SystemClock};
use crate::http::Context;
use crate::http::admin_api::certificate::{self, OwnCertificateBody};
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::http::tls::Source;

const FIELDS: [&str; 2] = ["certificate", "key"];

#[derive(Template)]
#[template(path = "admin/security/certificate.html")]
struct CertificatePage {
    page: Chrome,
    tabs: Vec<Tab>,
    is_own: bool,
    is_brought: bool,
    file: Option<String>,
    problem: Option<String>,
    uncovered: Vec<String>,
    issuer: String,
    names: Vec<String>,
    not_before: When,
    not_after: When,
    fingerprint: String,
    ca_fingerprint: String,
    ca_not_after: When,
    site_not_after: When,
    text: String,
    errors: Errors,
}

async fn template(caller: &Caller, context: &Context, request: &HttpRequest) -> Result<CertificatePage, Failure> {
    let (page, tabs) = around(caller, context, request, CERTIFICATE, "HTTPS certificate").await?;
    let (standing, now) = (certificate::standing(context)?, SystemClock.now_seconds());
    let when = |seconds| When::of(&page, seconds, now);
    Ok(CertificatePage {
        not_before: when(standing.shown.not_before),
        not_after: when(standing.shown.not_after),
        ca_not_after: when(standing.authority_not_after),
        site_not_after: when(standing.site.not_after),
        tabs,
        is_own: standing.source != Source::Site,
        is_brought: standing.is_brought,
        file: standing.file.map(|file| file.display().to_string()),
        problem: standing.problem,
        uncovered: standing.uncovered,
        issuer: standing.shown.issuer,
        names: standing.shown.names,
        fingerprint: standing.shown.fingerprint,
        ca_fingerprint: context.ca_fingerprint.clone(),
        text: String::new(),
        errors: Errors::default(),
        page,
    })
}

/// `GET /admin/security/certificate`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    Ok(page(&template(&caller, &context, &request).await?)?)
}

/// `POST /admin/security/certificate`: files, or their texts.
pub async fn set(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = match Fields::of_caller(&context, &caller, &request, payload).await {
        // A file that is not text: nothing was done, so the form's token need not be known.
        Err(failure) => {
            let field = FIELDS.into_iter().find(|field| failure.problem().field.as_deref() == Some(field)).ok_or(failure)?;
            let mut template = template(&caller, &context, &request).await?;
            let way = "openssl turns a .p12, .pfx or .der file into PEM, which is text: openssl pkcs12 -in FILE -nodes -out both.pem";
            template.errors = Errors::one(field, format!("This file is not text. {way}"));
            return Ok(page_with(StatusCode::BAD_REQUEST, &template)?);
        }
        Ok(fields) => fields,
    };
    let given = |file: &str, text: &str| if fields.trimmed(file).is_empty() { fields.text(text).to_owned() } else { fields.text(file).to_owned() };
    let body = OwnCertificateBody { certificate: given("certificate", "certificate_text"), key: given("key", "key_text") };
    let text = body.certificate.clone();
    if let Err(refusal) = certificate::take(&context, &caller, body).await? {
        let mut template = template(&caller, &context, &request).await?;
        template.errors = place(&mut template.page, &refusal);
        // A key is shown again to nobody, wherever it was put.
        template.text = if text.contains("PRIVATE KEY") { String::new() } else { text };
        return Ok(page_with(StatusCode::BAD_REQUEST, &template)?);
    }
    Ok(go(CERTIFICATE, "The certificate is in use for new connections; those that are open go on."))
}

/// `POST /admin/security/certificate/remove`
pub async fn remove(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    Fields::of_caller(&context, &caller, &request, payload).await?;
    Ok(match certificate::take_away(&context, &caller).await? {
        Ok(()) => go(CERTIFICATE, "The own certificate is removed: new connections get that of the site's authority."),
        Err(refusal) => go_with_error(CERTIFICATE, refusal.detail()),
    })
}

/// `GET /admin/security/ca.pem`
pub async fn authority(context: Data<Context>) -> HttpResponse {
    certificate::authority(context).await
}
