//! Is everything well, and what comes next? (pages, "Home")

use actix_web::HttpRequest;
use actix_web::web::Data;
use askama::Template;

use super::chrome::{Chrome, PageResult, page};
use crate::http::Context;
use crate::http::caller::Caller;

#[derive(Template)]
#[template(path = "admin/home.html")]
struct HomePage {
    page: Chrome,
    server_uuid: String,
    version: &'static str,
}

/// `GET /admin/`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    let page_around = Chrome::of(&context, &request, &caller, "/admin/", "Home").await?;
    Ok(page(&HomePage { page: page_around, server_uuid: context.site.uuid().to_string(), version: env!("CARGO_PKG_VERSION") })?)
}
