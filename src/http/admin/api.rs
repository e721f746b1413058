//! What programs can call, and the libraries of applications (pages, "API").

use actix_web::HttpRequest;
use actix_web::web::Data;
use askama::Template;

use super::chrome::{Chrome, PageResult, page};
use super::handshake::examples;
use super::snippets::Snippet;
use crate::http::Context;
use crate::http::assets::Assets;
use crate::http::caller::Caller;
use crate::http::sdk::{self, Library};

/// A path of the admin API.
struct Call {
    method: String,
    path: String,
    text: String,
    changes: bool,
}

#[derive(Template)]
#[template(path = "admin/api.html")]
struct ApiPage {
    page: Chrome,
    server: String,
    libraries: Vec<Library>,
    /// The handshake code whose license key the snippets have, if there is one.
    code: Option<String>,
    snippets: Vec<Snippet>,
    calls: Vec<Call>,
}

/// The admin API, as its description has it.
fn calls() -> Vec<Call> {
    let file = Assets::get("openapi.json");
    let api: serde_json::Value = file.and_then(|file| serde_json::from_slice(&file.data).ok()).unwrap_or_default();
    let mut calls = Vec::new();
    for (path, methods) in api["paths"].as_object().into_iter().flatten().filter(|(path, _)| path.starts_with("/api/v1/admin/")) {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let good =
                operation["responses"].as_object().into_iter().flatten().filter(|(status, _)| status.starts_with('2')).max_by(|one, other| one.0.cmp(other.0));
            let text = good.and_then(|(_, response)| response["description"].as_str()).unwrap_or_default();
            calls.push(Call { method: method.to_uppercase(), path: path.clone(), text: text.to_owned(), changes: method != "get" });
        }
    }
    calls
}

/// `GET /admin/api`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    let page_around = Chrome::of(&context, &request, &caller, "/admin/api", "API").await?;
    let server = context.server_urls.first().cloned().unwrap_or_default();
    let (code, snippets) = examples(&context)?;
    Ok(page(&ApiPage { page: page_around, server, libraries: sdk::libraries(), code, snippets, calls: calls() })?)
}
