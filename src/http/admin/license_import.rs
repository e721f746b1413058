//! Import of a license file or a revocation: chosen, dropped or pasted, looked at, confirmed
//! (pages, "License items"). The text travels along in the form, so nothing is kept here between
//! the steps and the page works without a script.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::chrome::{Chrome, PageResult, go, number, page, page_with, utc_day, utc_time};
use super::form::Fields;
use super::licenses::{PATH, charged, seconds_of};
use crate::documents::armor::find_label;
use crate::documents::{LicenseFile, LicenseStatus, RevocationFile};
use crate::http::Context;
use crate::http::admin_api::licenses::{self, ImportAnswer, ImportPreview, ImportRequest, LicensePreview, RevocationPreview};
use crate::http::caller::Caller;
use crate::http::problem::Failure;

/// What to do about a file that was refused.
struct Advice {
    text: &'static str,
    href: &'static str,
    link: &'static str,
}

const REQUEST: Advice = Advice {
    text: "Send the vendor this server’s activation request; the license file that comes back can be imported.",
    href: "/admin/licenses/request",
    link: "Activation request",
};
const VENDOR: Advice = Advice {
    text: "If you trust the vendor who signed it, add the vendor’s public key (vendor.pub), then import the file again.",
    href: "/admin/licenses/vendors",
    link: "Trusted vendors",
};
const KEY: Advice = Advice {
    text: "This is a vendor’s public key, not a license. It belongs among the trusted vendors.",
    href: "/admin/licenses/vendors",
    link: "Trusted vendors",
};

/// What to do about a file that was refused, where a page of this server helps.
fn advise(context: &Context, text: &str) -> Option<Advice> {
    if find_label(text) == Some("PUBLIC KEY") || text.contains("-----BEGIN PUBLIC KEY-----") {
        return Some(KEY);
    }
    let vendors = context.site.vendors();
    let is_known = |kid: &str| vendors.iter().any(|vendor| vendor.kid() == kid);
    if let Ok(file) = RevocationFile::parse(text) {
        return (!is_known(file.kid())).then_some(VENDOR);
    }
    let file = LicenseFile::parse(text).ok()?;
    if !is_known(file.kid()) {
        return Some(VENDOR);
    }
    let license = file.unverified_license().ok()?;
    let is_ours = license.certificate_for(context.site.uuid()).is_some();
    (license.license_status == LicenseStatus::New || !is_ours).then_some(REQUEST)
}

#[derive(Template)]
#[template(path = "admin/license-import.html")]
struct ImportPage {
    page: Chrome,
    text: String,
    error: String,
    advice: Option<Advice>,
    has_vendor: bool,
}

/// An item of the file.
struct Line {
    id: u64,
    product: String,
    charged: String,
    quota: String,
    from: String,
    to: String,
    modules: String,
    renews: Option<u64>,
    is_new: bool,
}

#[derive(Template)]
#[template(path = "admin/license-preview.html")]
struct PreviewPage {
    page: Chrome,
    text: String,
    license: LicensePreview,
    issued: String,
    lines: Vec<Line>,
    added: String,
    codes: Vec<CodeChoice>,
    target: String,
    new_custom: String,
    into_error: String,
    new_error: String,
}

/// A code that may get the items.
struct CodeChoice {
    name: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "admin/revocation-preview.html")]
struct RevocationPage {
    page: Chrome,
    text: String,
    revocation: RevocationPreview,
    issued: String,
}

async fn chrome(context: &Context, request: &HttpRequest, caller: &Caller) -> Result<Chrome, Failure> {
    Chrome::of(context, request, caller, PATH, "Import a license").await
}

/// `GET /admin/licenses/import`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    let (page_around, has_vendor) = (chrome(&context, &request, &caller).await?, !context.site.reload_vendors().is_empty());
    Ok(page(&ImportPage { page: page_around, text: String::new(), error: String::new(), advice: None, has_vendor })?)
}

async fn refuse(context: &Context, request: &HttpRequest, caller: &Caller, text: &str, error: String) -> Result<HttpResponse, Failure> {
    let advice = advise(context, text);
    let error = sentence(&error);
    let (page, has_vendor) = (chrome(context, request, caller).await?, !context.site.vendors().is_empty());
    page_with(StatusCode::BAD_REQUEST, &ImportPage { page, text: text.to_owned(), error, advice, has_vendor })
}

/// With a capital letter at its beginning.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// What the form asks for.
fn asked(fields: &Fields, organization: &str) -> ImportRequest {
    let file = if fields.text("file").trim().is_empty() { fields.text("text") } else { fields.text("file") };
    let mut asked = ImportRequest { file: file.to_owned(), ..ImportRequest::default() };
    match fields.text("target") {
        "existing" => asked.into = Some(fields.trimmed("into").to_owned()),
        "new" => asked.new_code = Some(format!("{organization}-{}", fields.trimmed("custom"))),
        _ => {}
    }
    asked
}

/// `POST /admin/licenses/import`: looks at a file; with `confirm`, imports it.
pub async fn post(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = match Fields::of_caller(&context, &caller, &request, payload).await {
        // A file that is not text: nothing was done, so the form's token need not be known.
        Err(failure) if failure.problem().field.as_deref() == Some("file") => {
            return Ok(refuse(&context, &request, &caller, "", "This file is not text: choose the license file that the vendor sent.".to_owned()).await?);
        }
        fields => fields?,
    };
    let plain = ImportRequest { preview: true, ..asked(&Fields::default(), "") };
    let text = asked(&fields, "").file;
    if text.trim().is_empty() {
        return Ok(refuse(&context, &request, &caller, "", "Nothing was chosen: choose a file, or paste its text.".to_owned()).await?);
    }
    // Without any target first: what is refused here is the file itself.
    let first = match licenses::look_at(&context, &ImportRequest { file: text.clone(), ..plain }).await {
        Ok(preview) => preview,
        Err(failure) if failure.problem().status < 500 => return Ok(refuse(&context, &request, &caller, &text, failure.problem().detail.clone()).await?),
        Err(failure) => return Err(failure.into()),
    };
    let license = match first {
        ImportPreview::Revocation(_) if fields.has("confirm") => {
            let answer = licenses::take(&context, &ImportRequest { file: text, ..ImportRequest::default() }, &caller.name).await?;
            return Ok(done(answer));
        }
        ImportPreview::Revocation(revocation) => {
            let issued = utc_time(seconds_of(&revocation.issued_at));
            return Ok(page(&RevocationPage { page: chrome(&context, &request, &caller).await?, text, revocation, issued })?);
        }
        ImportPreview::License(license) => license,
    };
    let wanted = asked(&fields, &license.organization_id);
    let outcome =
        if fields.has("confirm") { licenses::take(&context, &wanted, &caller.name).await.map(Err) } else { licenses::look_at(&context, &wanted).await.map(Ok) };
    let (license, failure) = match outcome {
        Ok(Err(answer)) => return Ok(done(answer)),
        Ok(Ok(ImportPreview::License(fresh))) => (fresh, None),
        Ok(Ok(ImportPreview::Revocation(_))) => (license, None),
        Err(failure) if failure.problem().status < 500 => (license, Some(failure)),
        Err(failure) => return Err(failure.into()),
    };
    Ok(preview(&context, &request, &caller, &fields, text, license, failure).await?)
}

async fn preview(
    context: &Context,
    request: &HttpRequest,
    caller: &Caller,
    fields: &Fields,
    text: String,
    license: LicensePreview,
    failure: Option<Failure>,
) -> Result<HttpResponse, Failure> {
    let (mut into_error, mut new_error) = (String::new(), String::new());
    if let Some(failure) = &failure {
        let place = if fields.text("target") == "new" { &mut new_error } else { &mut into_error };
        failure.problem().detail.clone_into(place);
    }
    let catalog = context.writer().catalog();
    let ours = catalog.codes().into_iter().filter(|code| code.organization_id.as_str() == license.organization_id);
    let lines = license.items.iter().map(|item| Line {
        id: item.item_id,
        product: item.product.clone(),
        charged: charged(&item.charge_way, item.period.as_deref()),
        quota: if item.quota > 0 { number(item.quota) } else { "no limit".to_owned() },
        from: utc_day(seconds_of(&item.valid_from)),
        to: utc_day(seconds_of(&item.valid_to)),
        modules: if item.modules.is_empty() { "any".to_owned() } else { item.modules.join(", ") },
        renews: item.renews,
        is_new: item.is_new,
    });
    let template = PreviewPage {
        page: chrome(context, request, caller).await?,
        text,
        issued: utc_time(seconds_of(&license.issued_at)),
        lines: lines.collect(),
        added: license.added.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        codes: ours.map(|code| CodeChoice { is_chosen: code.name() == fields.text("into"), name: code.name() }).collect(),
        target: fields.text("target").to_owned(),
        new_custom: fields.trimmed("custom").to_owned(),
        into_error,
        new_error,
        license,
    };
    let status = if failure.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    page_with(status, &template)
}

fn done(answer: ImportAnswer) -> HttpResponse {
    match answer {
        ImportAnswer::Revoked(revoked) if revoked.was_installed => {
            go(PATH, format!("The revocation for license {} was imported before: nothing changed.", revoked.license_id))
        }
        ImportAnswer::Revoked(revoked) => {
            let items: Vec<_> = revoked.revoked_items.iter().map(ToString::to_string).collect();
            go(&format!("{PATH}/{}", revoked.license_id), format!("Revoked: item {} of license {}.", items.join(", "), revoked.license_id))
        }
        ImportAnswer::License(imported) => {
            let mut told = if imported.was_installed {
                format!("License {} was installed already.", imported.license_id)
            } else {
                format!("License {} is installed.", imported.license_id)
            };
            let codes: Vec<String> = imported.renewed.iter().cloned().chain(imported.handshake_code.clone()).collect();
            if !codes.is_empty() {
                told += &format!(" Its items are in {}.", codes.join(", "));
            }
            match imported.handshake_code.or_else(|| imported.renewed.first().cloned()) {
                Some(code) if !imported.was_installed => go(&format!("/admin/handshakes/{code}"), told),
                _ => go(&format!("{PATH}/{}", imported.license_id), told),
            }
        }
    }
}

#[derive(Template)]
#[template(path = "admin/license-request.html")]
struct RequestPage {
    page: Chrome,
    text: String,
    server_uuid: String,
}

/// `GET /admin/licenses/request`
pub async fn show_request(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    let page_around = Chrome::of(&context, &request, &caller, PATH, "Activation request").await?;
    let (text, server_uuid) = (licenses::make_request(&context)?, context.site.uuid().to_string());
    Ok(page(&RequestPage { page: page_around, text, server_uuid })?)
}

/// `GET /admin/licenses/request/file`
pub async fn download_request(context: Data<Context>) -> PageResult {
    let short: String = context.site.uuid().to_string().chars().take(8).collect();
    Ok(licenses::download(&format!("activation-{short}.req"), licenses::make_request(&context)?))
}
