//! The handshake codes, and making a new one (pages, "Handshake codes").

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

use super::chrome::{Chrome, PageResult, go, go_with_error, number, page, page_with};
use super::form::Fields;
use super::handshake::{Choice, Entry, Errors, choices};
use super::listing::{Column, Pager, Wanted};
use crate::commands::handshake::{AddHandshake, Changes, ChooseDefault};
use crate::http::Context;
use crate::http::admin_api::handshakes::{self, HandshakeRow};
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::licensing::HandshakeCode;

/// Where the codes are.
pub const PATH: &str = "/admin/handshakes";

/// A code as a line of the table.
struct Line {
    row: HandshakeRow,
    products: String,
    conditions: String,
    /// Names the license key in the page.
    key_id: String,
}

#[derive(Template)]
#[template(path = "admin/handshakes.html")]
struct ListPage {
    page: Chrome,
    lines: Vec<Line>,
    columns: Vec<Column>,
    pager: Pager,
    wanted: Wanted,
    is_empty: bool,
    has_license: bool,
    told: String,
}

const COLUMNS: &[(&str, &str, bool)] = &[("code", "Handshake code", false), ("items", "Items", true), ("products", "Products", false)];

fn conditions(row: &HandshakeRow) -> String {
    let count = |list: &[String], one: &str, many: &str| match list.len() {
        0 => None,
        1 => Some(format!("{one} {}", list[0])),
        n => Some(format!("{n} {many}")),
    };
    let parts = [
        count(&row.domains, "domain", "domains"),
        count(&row.application_ids, "application ID", "application IDs"),
        count(&row.process_names, "process name", "process names"),
        row.has_session_password.then(|| "session password".to_owned()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// `GET /admin/handshakes`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest, wanted: Query<Wanted>) -> PageResult {
    let chrome = Chrome::of(&context, &request, &caller, PATH, "Handshake codes").await?;
    let wanted = wanted.into_inner();
    let catalog = context.writer().catalog();
    let rows = handshakes::rows(&context).await?;
    let is_empty = rows.is_empty();
    let line = |(n, row): (usize, HandshakeRow)| {
        let mut products: Vec<String> =
            row.items.iter().filter_map(|id| catalog.find_item(crate::licensing::ItemId(*id))).map(|entry| entry.item.product.clone()).collect();
        products.sort();
        products.dedup();
        Line { products: products.join(", "), conditions: conditions(&row), key_id: format!("key-{n}"), row }
    };
    let mut lines: Vec<Line> = rows.into_iter().enumerate().map(line).collect();
    lines.retain(|line| {
        let lists = [&line.row.aliases, &line.row.domains, &line.row.application_ids, &line.row.process_names].map(|list| list.join(" "));
        let items = line.row.items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        wanted.takes(&[&line.row.handshake_code, &line.products, &items, &lists[0], &lists[1], &lists[2], &lists[3]])
    });
    let (by, is_down) = wanted.order("code");
    match by {
        "items" => lines.sort_by_key(|line| line.row.items.len()),
        "products" => lines.sort_by(|a, b| a.products.cmp(&b.products)),
        _ => lines.sort_by(|a, b| a.row.handshake_code.cmp(&b.row.handshake_code)),
    }
    if is_down {
        lines.reverse();
    }
    let told = match lines.len() {
        1 => "1 handshake code".to_owned(),
        count => format!("{} handshake codes", number(count as u64)),
    };
    let columns = wanted.columns(PATH, "code", COLUMNS);
    let (lines, pager) = wanted.cut(PATH, lines);
    let has_license = catalog.licenses().next().is_some();
    Ok(page(&ListPage { page: chrome, lines, columns, pager, wanted, is_empty, has_license, told })?)
}

/// `POST /admin/handshakes/{code}/default`
pub async fn choose_default(caller: Caller, context: Data<Context>, code: Path<String>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let to = if fields.text("from") == "page" { format!("{PATH}/{code}") } else { PATH.to_owned() };
    Ok(match context.writer().submit(ChooseDefault { name: code.into_inner(), by: caller.name }).await? {
        Ok(code) => {
            let told =
                format!("{} is the default of organization {} now: it serves requests that name only the organization.", code.name(), code.organization_id);
            go(&to, told)
        }
        Err(refusal) => go_with_error(PATH, refusal.detail()),
    })
}

/// An organization that a code can belong to.
struct Organization {
    id: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "admin/handshake-new.html")]
struct NewPage {
    page: Chrome,
    organizations: Vec<Organization>,
    organization: String,
    custom: String,
    custom_error: String,
    items: Vec<Choice>,
    entry: Entry,
    errors: Errors,
}

/// Whose code is to be made.
#[derive(Debug, Deserialize)]
pub struct Whose {
    #[serde(default)]
    organization: String,
}

async fn new_page(
    context: &Data<Context>,
    request: &HttpRequest,
    caller: &Caller,
    wanted: &str,
    entry: Entry,
    custom: String,
    errors: Errors,
) -> Result<HttpResponse, Failure> {
    let page = Chrome::of(context, request, caller, PATH, "New handshake code").await?;
    let catalog = context.writer().catalog();
    let mut organizations: Vec<String> = catalog.licenses().map(|license| license.organization_id.to_string()).collect();
    organizations.sort();
    organizations.dedup();
    let organization = organizations.iter().find(|id| *id == wanted).or(organizations.first()).cloned().unwrap_or_default();
    let items = choices(context, &organization, &entry.items).await?;
    let organizations = organizations.into_iter().map(|id| Organization { is_chosen: id == organization, id }).collect();
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    page_with(status, &NewPage { page, organizations, organization, custom, custom_error: errors.of("handshake_code"), items, entry, errors })
}

/// `GET /admin/handshakes/new`
pub async fn show_new(caller: Caller, context: Data<Context>, request: HttpRequest, whose: Query<Whose>) -> PageResult {
    Ok(new_page(&context, &request, &caller, &whose.organization, Entry::default(), String::new(), Errors::default()).await?)
}

/// `POST /admin/handshakes/new`
pub async fn add(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let (organization, custom) = (fields.trimmed("organization").to_owned(), fields.trimmed("custom").to_owned());
    let entry = Entry::read(&fields);
    let outcome = match format!("{organization}-{custom}").parse::<HandshakeCode>() {
        Err(bad) => Err(Errors::at(
            "handshake_code",
            if custom.is_empty() { "Give it a name: letters, digits, dots, underscores or hyphens.".to_owned() } else { bad.to_string() },
        )),
        Ok(name) => {
            let changes = Changes {
                session_password: Some(fields.trimmed("password")).filter(|text| !text.is_empty()).map(|text| Some(text.to_owned())),
                ..entry.changes()
            };
            let command = AddHandshake { site: context.site.clone(), name, changes, by: caller.name.clone() };
            context.writer().submit(command).await?.map_err(Errors::of_refusal)
        }
    };
    match outcome {
        Ok(code) => Ok(go(&format!("{PATH}/{}", code.name()), format!("{} is ready: its license key is below.", code.name()))),
        Err(errors) => Ok(new_page(&context, &request, &caller, &organization, entry, custom, errors).await?),
    }
}
