//! Devices: which there are, what they hold, why they were refused (pages, "Devices").

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload, Query};
use askama::Template;
use serde::Deserialize;

use super::chrome::{Chrome, PageResult, go, go_with_error, number, page, page_with};
use super::form::Fields;
use super::shown::{Errors, Tab, When, tabs};
use crate::commands::release_seat::ReleaseByAdmin;
use crate::commands::reset_device::ResetDevice;
use crate::http::Context;
use crate::http::admin_api::devices::{LATEST_MAX, RefusalRow, TriedRow, find, range_of, refusal_row, sort_of, unknown};
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::licensing::{ClientUuid, ItemId};
use crate::protocol::ErrorCode;
use crate::store::catalog::Catalog;
use crate::store::refusals::Refusal;
use crate::store::{Reader, devices, refusals};

/// The link of the navigation.
pub const SECTION: &str = "/admin/devices";
/// The parts of the page.
pub const TABS: &[(&str, &str)] = &[(SECTION, "All devices"), ("/admin/devices/refusals", "Refusals"), ("/admin/devices/offline", "Devices without network")];
/// Devices on one page.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "admin/devices/list.html")]
struct ListPage {
    page: Chrome,
    tabs: Vec<Tab>,
    search: String,
    errors: Errors,
    devices: Vec<DeviceLine>,
    heads: Vec<Head>,
    /// Such as `latest seen first`.
    order: &'static str,
    /// Too many to sort: how many can be.
    too_many: Option<String>,
    is_first: bool,
    next: Option<String>,
    first: String,
}

/// The head of a column that the table can be sorted by.
struct Head {
    title: &'static str,
    href: String,
    /// `ascending`, `descending`, or empty.
    sorted: &'static str,
}

struct DeviceLine {
    uuid: String,
    first_seen: When,
    last_seen: When,
    seats: Vec<SeatLine>,
    refused: String,
}

struct SeatLine {
    item: u64,
    product: String,
    until: When,
    /// Releases by hand that are left, as a number and in words.
    left: u64,
    left_text: String,
}

/// What is looked for, and where the page begins.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    search: String,
    /// In the order of the UUIDs: the last one of the page before.
    after: String,
    /// Another order; empty for that of the UUIDs.
    sort: String,
    /// In another order: which page, from 1.
    page: String,
}

fn query(search: &str, after: &str, sort: &str, page: usize) -> String {
    let page = if page > 1 { page.to_string() } else { String::new() };
    let fields = [("search", search), ("after", after), ("sort", sort), ("page", &page)];
    let query = serde_urlencoded::to_string(fields.iter().filter(|(_, value)| !value.is_empty()).collect::<Vec<_>>()).unwrap_or_default();
    if query.is_empty() { query } else { format!("?{query}") }
}

/// The heads of the columns to sort by. The first click on a time shows the latest.
fn heads(search: &str, sort: &str) -> Vec<Head> {
    let head = |title, name: &str| {
        let (sorted, next) = match sort.strip_prefix('-') {
            Some(by) if by == name => ("descending", name.to_owned()),
            _ if sort == name => ("ascending", format!("-{name}")),
            _ => ("", format!("-{name}")),
        };
        Head { title, sorted, href: format!("{SECTION}{}", query(search, "", &next, 1)) }
    };
    let by_uuid = Head { title: "Device", sorted: if sort.is_empty() { "ascending" } else { "" }, href: format!("{SECTION}{}", query(search, "", "", 1)) };
    vec![by_uuid, head("First seen", "first_seen"), head("Last seen", "last_seen")]
}

/// `GET /admin/devices`
pub async fn list(caller: Caller, context: Data<Context>, request: HttpRequest, wanted: Query<Wanted>) -> PageResult {
    let page_around = Chrome::of(&context, &request, &caller, SECTION, "Devices").await?;
    let Wanted { search, after, sort, page } = wanted.into_inner();
    let (search, now) = (search.trim().to_owned(), context.clock.now_seconds());
    // A whole UUID that is known is what somebody looks for.
    if let Ok(client) = search.parse::<ClientUuid>()
        && find(&context, client).await?.is_some()
    {
        return Ok(super::chrome::send_on(&format!("{SECTION}/{client}"), None));
    }
    let asked = range_of(&search, &after).and_then(|range| Ok((range, sort_of(&sort)?)));
    let (is_sort_asked, errors) = match &asked {
        Ok((_, order)) => (order.is_some(), Errors::default()),
        Err((_, text)) => (false, Errors::one("search", text.clone())),
    };
    let skip = page.parse::<usize>().unwrap_or(1).clamp(1, devices::SORTABLE / PAGE) - 1;
    let find = move |reader: &Reader| {
        let Ok((range, order)) = asked else { return Ok((None, Vec::new())) };
        if let Some(order) = order
            && let Some((count, found)) = devices::list_sorted(reader, &range, order, skip * PAGE, PAGE, now)?
        {
            return Ok((Some(count), found));
        }
        Ok((None, devices::list(reader, &range, PAGE + 1, now)?))
    };
    let (sorted, mut found) = context.read(find).await?;
    let too_many = (is_sort_asked && sorted.is_none()).then(|| number(devices::SORTABLE as u64));
    let sort = if sorted.is_some() { sort } else { String::new() };
    let (is_first, next) = match sorted {
        Some(count) => (skip == 0, ((skip + 1) * PAGE < count).then(|| query(&search, "", &sort, skip + 2))),
        None => (after.is_empty(), found.get(PAGE - 1).filter(|_| found.len() > PAGE).map(|device| query(&search, &device.client.to_string(), "", 1))),
    };
    found.truncate(PAGE);
    let catalog = context.writer().catalog();
    let lines = found.into_iter().map(|device| DeviceLine {
        uuid: device.client.to_string(),
        first_seen: When::of(&page_around, device.first_seen_at, now),
        last_seen: When::of(&page_around, device.last_seen_at, now),
        seats: device.seats.iter().map(|(item, until)| seat_line(&page_around, &catalog, *item, *until, 0, now)).collect(),
        refused: device.refusals.first().map_or_else(String::new, |refusal| refusal.reason.to_string()),
    });
    let template = ListPage {
        devices: lines.collect(),
        page: page_around,
        tabs: tabs(TABS, SECTION),
        heads: heads(&search, &sort),
        order: told(&sort),
        too_many,
        is_first,
        next,
        first: query(&search, "", &sort, 1),
        search,
        errors,
    };
    let status = if template.errors.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok(page_with(status, &template)?)
}

fn told(sort: &str) -> &'static str {
    match sort {
        "first_seen" => "First seen longest ago first",
        "-first_seen" => "Newest first",
        "last_seen" => "Last seen longest ago first",
        "-last_seen" => "Latest seen first",
        _ => "In the order of their UUIDs",
    }
}

fn seat_line(page: &Chrome, catalog: &Catalog, item: ItemId, until: i64, left: u64, now: i64) -> SeatLine {
    let product = catalog.find_item(item).map_or_else(String::new, |entry| entry.item.product.clone());
    SeatLine { item: item.0, product, until: When::of(page, until, now), left, left_text: number(left) }
}

/// A refusal as pages show it.
pub struct RefusalLine {
    at: When,
    device: String,
    code: u16,
    title: &'static str,
    /// The code it was refused under, or what the request named.
    under: String,
    detail: String,
    tried: Vec<TriedRow>,
}

fn refusal_line(page: &Chrome, catalog: &Catalog, refusal: Refusal, now: i64) -> RefusalLine {
    let at = When::of(page, refusal.at, now);
    let RefusalRow { client_uuid, handshake_code, asked, code, detail, tried, .. } = refusal_row(catalog, refusal);
    let named = if asked.is_empty() { "no code".to_owned() } else { format!("unknown '{asked}'") };
    let title = ErrorCode::from_number(code).map_or("", ErrorCode::title);
    RefusalLine { at, device: client_uuid, code, title, under: handshake_code.unwrap_or(named), detail, tried }
}

#[derive(Template)]
#[template(path = "admin/devices/refusals.html")]
struct RefusalsPage {
    page: Chrome,
    tabs: Vec<Tab>,
    refusals: Vec<RefusalLine>,
    is_full: bool,
    most: usize,
}

/// `GET /admin/devices/refusals`
pub async fn latest(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    let page_around = Chrome::of(&context, &request, &caller, SECTION, "Refusals").await?;
    let now = context.clock.now_seconds();
    let since = now - refusals::KEPT / 1_000_000;
    let found = context.read(move |reader| refusals::list_latest(reader, since, LATEST_MAX)).await?;
    let catalog = context.writer().catalog();
    let is_full = found.len() == LATEST_MAX;
    let refusals = found.into_iter().map(|refusal| refusal_line(&page_around, &catalog, refusal, now)).collect();
    Ok(page(&RefusalsPage { page: page_around, tabs: tabs(TABS, "/admin/devices/refusals"), refusals, is_full, most: LATEST_MAX })?)
}

#[derive(Template)]
#[template(path = "admin/devices/device.html")]
struct DevicePage {
    page: Chrome,
    uuid: String,
    first_seen: When,
    last_seen: When,
    seats: Vec<SeatLine>,
    refusals: Vec<RefusalLine>,
    /// Whether the last thing that happened was a clone alarm.
    is_clone: bool,
    reset: Option<When>,
}

/// `GET /admin/devices/{uuid}`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest, client: Path<String>) -> PageResult {
    let client = parse::<ClientUuid>("uuid", &client)?;
    let (device, left) = find(&context, client).await?.ok_or_else(|| unknown(client))?;
    let page_around = Chrome::of(&context, &request, &caller, SECTION, format!("Device {client}")).await?;
    let now = context.clock.now_seconds();
    let since = now - refusals::KEPT / 1_000_000;
    let (found, reset) =
        context.read(move |reader| Ok((refusals::list(reader, client, since, refusals::KEPT_OF_A_DEVICE)?, devices::find_reset(reader, client)?))).await?;
    let catalog = context.writer().catalog();
    let clone = ErrorCode::Clone.number();
    let is_clone = found.first().is_some_and(|refusal| refusal.reason == clone && reset.is_none_or(|reset| reset < refusal.at));
    let seats = device.seats.iter().zip(left).map(|((item, until), left)| seat_line(&page_around, &catalog, *item, *until, left, now)).collect();
    let template = DevicePage {
        uuid: client.to_string(),
        first_seen: When::of(&page_around, device.first_seen_at, now),
        last_seen: When::of(&page_around, device.last_seen_at, now),
        seats,
        refusals: found.into_iter().map(|refusal| refusal_line(&page_around, &catalog, refusal, now)).collect(),
        is_clone,
        reset: reset.map(|reset| When::of(&page_around, reset, now)),
        page: page_around,
    };
    Ok(page(&template)?)
}

fn parse<T: std::str::FromStr<Err = crate::licensing::id::BadName>>(field: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|bad: T::Err| Failure::malformed(field, bad.to_string()))
}

/// `POST /admin/devices/{uuid}/release`
pub async fn release(caller: Caller, context: Data<Context>, request: HttpRequest, client: Path<String>, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let (client, item) = (parse::<ClientUuid>("uuid", &client)?, parse::<ItemId>("item", fields.trimmed("item"))?);
    let to = format!("{SECTION}/{client}");
    Ok(match context.writer().submit(ReleaseByAdmin { client, item, by: caller.name }).await? {
        Ok(left) => go(&to, format!("The seat of item {item} is free. Its seats may be released {} more times by hand.", number(left))),
        Err(refusal) => go_with_error(&to, format!("Nothing was released: {}", refusal.detail())),
    })
}

/// `POST /admin/devices/{uuid}/reset`
pub async fn reset(caller: Caller, context: Data<Context>, request: HttpRequest, client: Path<String>, payload: Payload) -> PageResult {
    Fields::of_caller(&context, &caller, &request, payload).await?;
    let client = parse::<ClientUuid>("uuid", &client)?;
    let to = format!("{SECTION}/{client}");
    Ok(match context.writer().submit(ResetDevice { client, by: caller.name }).await? {
        Ok(()) => go(&to, "The device is reset: its next request is let in whatever ticket it shows."),
        Err(refusal) => go_with_error(&to, format!("Nothing was reset: {}", refusal.detail())),
    })
}
