//! Devices without network: what is carried here and back by hand (domain §3).

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::chrome::{Chrome, PageResult, page, page_with};
use super::devices::{SECTION, TABS};
use super::form::Fields;
use super::shown::{Errors, Tab, tabs};
use crate::http::Context;
use crate::http::admin_api::carried::{CarriedAnswer, TakenReports, answer_request, take_file};
use crate::http::caller::Caller;
use crate::http::problem::Failure;

const HERE: &str = "/admin/devices/offline";

#[derive(Template)]
#[template(path = "admin/devices/offline.html")]
struct OfflinePage {
    page: Chrome,
    tabs: Vec<Tab>,
    request: String,
    reports: String,
    errors: Errors,
    authorized: Option<CarriedAnswer>,
    taken: Option<TakenReports>,
}

async fn around(caller: &Caller, context: &Context, request: &HttpRequest) -> Result<OfflinePage, Failure> {
    let page = Chrome::of(context, request, caller, SECTION, "Devices without network").await?;
    Ok(OfflinePage { page, tabs: tabs(TABS, HERE), request: String::new(), reports: String::new(), errors: Errors::default(), authorized: None, taken: None })
}

/// `GET /admin/devices/offline`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    Ok(page(&around(&caller, &context, &request).await?)?)
}

/// What was pasted, else what was in the file.
fn given(fields: &Fields, name: &str) -> Result<String, Errors> {
    match [fields.trimmed(name), fields.trimmed(&format!("{name}_file"))].into_iter().find(|text| !text.is_empty()) {
        Some(text) => Ok(text.to_owned()),
        None => Err(Errors::one(name, "is missing: choose the file that the device wrote, or paste its text")),
    }
}

fn told(field: &str, failure: &Failure) -> Result<Errors, Failure> {
    let problem = failure.problem();
    match problem.status {
        400..500 => Ok(Errors::one(field, format!("{} (error {})", problem.detail, problem.code))),
        _ => Err(Failure::from(problem.clone())),
    }
}

/// `POST /admin/devices/offline/authorize`
pub async fn authorize(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let mut template = around(&caller, &context, &request).await?;
    template.request = fields.text("request").to_owned();
    match given(&fields, "request") {
        Ok(text) => match answer_request(&context, &caller, &text).await {
            Ok(answer) => template.authorized = Some(answer),
            Err(failure) => template.errors = told("request", &failure)?,
        },
        Err(errors) => template.errors = errors,
    }
    Ok(page_with(if template.errors.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST }, &template)?)
}

/// `POST /admin/devices/offline/reports`
pub async fn take_reports(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let mut template = around(&caller, &context, &request).await?;
    template.reports = fields.text("reports").to_owned();
    match given(&fields, "reports") {
        Ok(text) => match take_file(&context, &caller, &text).await {
            Ok(taken) => template.taken = Some(taken),
            Err(failure) => template.errors = told("reports", &failure)?,
        },
        Err(errors) => template.errors = errors,
    }
    Ok(page_with(if template.errors.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST }, &template)?)
}

/// `POST /admin/devices/offline/save`: gives back the text that the page shows, as a file.
pub async fn save(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let name = if fields.has("receipt") { "receipt.txt" } else { "authorization.txt" };
    // Browsers send line breaks as CR LF.
    let text = fields.text("text").replace("\r\n", "\n");
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text))
}
