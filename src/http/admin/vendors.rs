//! The vendors whose licenses can be imported (pages, "License items"): the first visit reaches
//! the first license without a command line.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::chrome::{Chrome, PageResult, go, go_with_error, page_with};
use super::form::Fields;
use super::licenses::PATH;
use crate::http::Context;
use crate::http::admin_api::vendors::{self, VendorRow};
use crate::http::caller::Caller;
use crate::http::problem::Failure;

const HERE: &str = "/admin/licenses/vendors";

#[derive(Template)]
#[template(path = "admin/vendors.html")]
struct VendorsPage {
    page: Chrome,
    vendors: Vec<VendorRow>,
    text: String,
    error: String,
}

async fn page_of(context: &Data<Context>, request: &HttpRequest, caller: &Caller, text: &str, error: String) -> Result<HttpResponse, Failure> {
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let page = Chrome::of(context, request, caller, PATH, "Trusted vendors").await?;
    page_with(status, &VendorsPage { page, vendors: vendors::rows(context).await?, text: text.to_owned(), error })
}

/// `GET /admin/licenses/vendors`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    Ok(page_of(&context, &request, &caller, "", String::new()).await?)
}

/// `POST /admin/licenses/vendors`
pub async fn add(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = match Fields::of_caller(&context, &caller, &request, payload).await {
        Err(failure) if failure.problem().field.as_deref() == Some("file") => {
            return Ok(page_of(&context, &request, &caller, "", "This file is not text: choose the vendor.pub that the vendor sent.".to_owned()).await?);
        }
        fields => fields?,
    };
    let text = if fields.text("file").trim().is_empty() { fields.text("text") } else { fields.text("file") };
    if text.trim().is_empty() {
        return Ok(page_of(&context, &request, &caller, "", "Nothing was chosen: choose the vendor.pub, or paste its text.".to_owned()).await?);
    }
    match vendors::trust(&context, text, &caller).await {
        Ok((kid, true)) => Ok(go(HERE, format!("The vendor with the key {kid} was trusted already."))),
        Ok((kid, false)) => Ok(go(HERE, format!("The vendor with the key {kid} is trusted: its licenses can be imported now."))),
        Err(failure) if failure.problem().status < 500 => {
            // A private key that came here by mistake is not shown again.
            let kept = if text.contains("PRIVATE KEY") { "" } else { text };
            let detail = format!("This {}.", failure.problem().detail);
            Ok(page_of(&context, &request, &caller, kept, detail).await?)
        }
        Err(failure) => Err(failure.into()),
    }
}

/// `POST /admin/licenses/vendors/{kid}/delete`
pub async fn delete(caller: Caller, context: Data<Context>, request: HttpRequest, kid: Path<String>, payload: Payload) -> PageResult {
    Fields::of_caller(&context, &caller, &request, payload).await?;
    match vendors::distrust(&context, &kid, &caller).await {
        Ok(()) => Ok(go(HERE, format!("The vendor with the key {kid} is trusted no longer."))),
        Err(failure) if failure.problem().status < 500 => Ok(go_with_error(HERE, &failure.problem().detail)),
        Err(failure) => Err(failure.into()),
    }
}
