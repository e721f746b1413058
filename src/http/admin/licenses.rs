//! The license items, each item, each license file (pages, "License items").

use actix_web::HttpRequest;
use actix_web::web::{Data, Path, Query};
use askama::Template;

use super::chrome::{Chrome, PageResult, distance, number, page, utc_day, utc_time};
use super::listing::{Column, Pager, Wanted};
use crate::http::Context;
use crate::http::admin_api::items::ItemDetail;
use crate::http::admin_api::{items, licenses, vendors};
use crate::http::caller::Caller;

/// Where the items are.
pub const PATH: &str = "/admin/licenses";

/// An item as a line of a table.
pub struct ItemLine {
    /// Its number.
    pub id: u64,
    /// Its product.
    pub product: String,
    /// How it is charged, in words.
    pub charged: String,
    /// The license it came in.
    pub license_id: u64,
    /// The alias of that license.
    pub alias: String,
    /// What is used.
    pub used: String,
    /// Of how much; `no limit` inside a domain.
    pub quota: String,
    /// How full the bar is, 0 to 100.
    pub percent: u64,
    /// `warn` or `bad` when it is nearly or quite full.
    pub alarm: &'static str,
    /// First day.
    pub from: String,
    /// Last day.
    pub to: String,
    /// The end, to the second, in the site's time.
    pub to_local: String,
    /// How far off the end is, such as `ends in 6 days`.
    pub ends: String,
    /// The kind of tag.
    pub tag: &'static str,
    /// The status, in words.
    pub status: &'static str,
    /// The status, as the API says it.
    key: String,
    end_seconds: i64,
    per_mille: u64,
}

/// The statuses, as the API and as people say them.
const STATUSES: &[(&str, &str, &str)] = &[
    ("active", "active", "good"),
    ("grace", "in grace", "warn"),
    ("not_yet_effective", "not yet effective", ""),
    ("used_up", "used up", "bad"),
    ("expired", "expired", "bad"),
    ("revoked", "revoked", "bad"),
];

/// Seconds since 1970 of a time that the API wrote.
pub fn seconds_of(text: &str) -> i64 {
    crate::clock::parse_rfc3339(text).unwrap_or(0)
}

/// How something is charged, in words: `device, a seat for a quarter`.
pub fn charged(way: &str, period: Option<&str>) -> String {
    let way = way.replace('_', " ");
    period.map_or(way.clone(), |period| format!("{way}, by {period}"))
}

/// When something ends, seen from now, in words.
fn tell_end(from_now: i64) -> String {
    const YEAR: i64 = 365 * 86_400;
    match from_now {
        0.. if from_now >= 2 * YEAR => format!("ends in {} years", from_now / YEAR),
        0.. => format!("ends {}", distance(from_now)),
        _ => format!("ended {}", distance(from_now)),
    }
}

impl ItemLine {
    /// As of `now`, seconds since 1970.
    pub fn of(item: &ItemDetail, now: i64, chrome: &Chrome) -> Self {
        let row = &item.row;
        let (_, status, tag) = STATUSES.iter().find(|(key, ..)| *key == row.status).copied().unwrap_or(("", "unknown", ""));
        let has_quota = row.quota > 0;
        let per_mille = if has_quota { row.used.saturating_mul(1_000) / row.quota } else { 0 };
        let alarm = match per_mille {
            1_000.. => "bad",
            800.. => "warn",
            _ => "",
        };
        let (from, to) = (seconds_of(&row.valid_from), seconds_of(&row.valid_to));
        Self {
            id: row.item_id,
            product: row.product.clone(),
            charged: charged(&row.charge_way, item.period.as_deref()),
            license_id: item.license_id,
            alias: item.alias.clone(),
            used: number(row.used),
            quota: if has_quota { number(row.quota) } else { "no limit".to_owned() },
            percent: (per_mille / 10).min(100),
            alarm,
            from: utc_day(from),
            to: utc_day(to),
            to_local: chrome.local_time(to),
            ends: tell_end(to - now),
            tag,
            status,
            key: row.status.clone(),
            end_seconds: to,
            per_mille,
        }
    }
}

/// A status to choose.
struct Choice {
    key: &'static str,
    text: &'static str,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "admin/licenses.html")]
struct ItemsPage {
    page: Chrome,
    lines: Vec<ItemLine>,
    columns: Vec<Column>,
    pager: Pager,
    wanted: Wanted,
    statuses: Vec<Choice>,
    is_empty: bool,
    has_vendor: bool,
    told: String,
}

const COLUMNS: &[(&str, &str, bool)] = &[
    ("item", "Item", true),
    ("product", "Product", false),
    ("charged", "Charged by", false),
    ("use", "Use", true),
    ("ends", "Valid", false),
    ("status", "Status", false),
    ("license", "License", false),
];

/// `GET /admin/licenses`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest, wanted: Query<Wanted>) -> PageResult {
    let chrome = Chrome::of(&context, &request, &caller, PATH, "License items").await?;
    let (wanted, now) = (wanted.into_inner(), context.clock.now_seconds());
    let all = items::read_all(&context).await?;
    let is_empty = all.is_empty();
    let mut lines: Vec<ItemLine> = all.iter().map(|item| ItemLine::of(item, now, &chrome)).collect();
    lines.retain(|line| wanted.status.is_empty() || line.key == wanted.status);
    lines.retain(|line| wanted.takes(&[&line.id.to_string(), &line.product, &line.charged, &line.alias, &line.license_id.to_string(), line.status]));
    let (by, is_down) = wanted.order("item");
    match by {
        "product" => lines.sort_by(|a, b| (&a.product, a.id).cmp(&(&b.product, b.id))),
        "charged" => lines.sort_by(|a, b| (&a.charged, a.id).cmp(&(&b.charged, b.id))),
        "use" => lines.sort_by_key(|line| (line.per_mille, line.id)),
        "ends" => lines.sort_by_key(|line| (line.end_seconds, line.id)),
        "status" => lines.sort_by_key(|line| (line.status, line.id)),
        "license" => lines.sort_by_key(|line| (line.license_id, line.id)),
        _ => lines.sort_by_key(|line| line.id),
    }
    if is_down {
        lines.reverse();
    }
    let told = match lines.len() {
        1 => "1 item".to_owned(),
        count => format!("{} items", number(count as u64)),
    };
    let columns = wanted.columns(PATH, "item", COLUMNS);
    let (lines, pager) = wanted.cut(PATH, lines);
    let statuses = STATUSES.iter().map(|(key, text, _)| Choice { key, text, is_chosen: wanted.status == *key }).collect();
    let has_vendor = !is_empty || !vendors::rows(&context).await?.is_empty();
    Ok(page(&ItemsPage { page: chrome, lines, columns, pager, wanted, statuses, is_empty, has_vendor, told })?)
}

/// A fact about an item: its name and what it is.
pub struct Fact {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub value: String,
}

#[derive(Template)]
#[template(path = "admin/item.html")]
struct ItemPage {
    page: Chrome,
    line: ItemLine,
    item: ItemDetail,
    permits: Vec<Fact>,
    terms: Vec<Fact>,
    use_told: String,
    grace_told: String,
}

fn any(list: &[String]) -> String {
    if list.is_empty() { "any".to_owned() } else { list.join(", ") }
}

fn tell_use(item: &ItemDetail) -> String {
    let row = &item.row;
    match row.charge_way.as_str() {
        "scan" => "scans charged so far".to_owned(),
        "page" => "pages charged so far".to_owned(),
        "device" => "devices hold a seat now".to_owned(),
        "server" => "servers hold a seat now".to_owned(),
        "domain" => "use inside the domain is not limited".to_owned(),
        _ => format!("most in use in one slot of the last hour; {} granted now", number(row.granted.unwrap_or(0))),
    }
}

fn tell_grace(item: &ItemDetail) -> String {
    let row = &item.row;
    let until = utc_day(seconds_of(&row.grace_ends));
    let left = number(row.grace_left);
    let beyond = if row.overuse > 0 { format!("; {} beyond it", number(row.overuse)) } else { String::new() };
    match row.charge_way.as_str() {
        "domain" => format!("works until {until}"),
        way if way.starts_with("concurrent") => format!("{left} slot-uses of the tolerance are left{beyond}; works until {until}"),
        _ => format!("{left} of {} beyond the quota are left{beyond}; works until {until}", number(item.grace_units)),
    }
}

/// `GET /admin/licenses/items/{id}`
pub async fn show_item(caller: Caller, context: Data<Context>, request: HttpRequest, id: Path<String>) -> PageResult {
    let item = items::read_one(&context, &id).await?;
    let chrome = Chrome::of(&context, &request, &caller, PATH, format!("Item {}", item.row.item_id)).await?;
    let line = ItemLine::of(&item, context.clock.now_seconds(), &chrome);
    let fact = |name: &'static str, value: String| Fact { name, value };
    let mut permits = vec![
        fact("Product", item.row.product.clone()),
        fact("Editions", any(&item.editions)),
        fact("Versions", if item.versions.is_empty() { "any".to_owned() } else { item.versions.clone() }),
        fact("Deployment", any(&item.deployment_types)),
        fact("Modules", any(&item.modules)),
    ];
    permits.extend(item.domain.clone().map(|domain| fact("Domain", domain)));
    let mut terms = vec![fact("Charged by", line.charged.clone()), fact("Works offline for", item.local_license_validity.clone())];
    if ["device", "server"].contains(&item.row.charge_way.as_str()) {
        let starts = if item.seat_starts == "first_use" { "with the first use it reports" } else { "with its first authorization" };
        terms.push(fact("A device takes its seat", starts.to_owned()));
        terms.push(fact("Releases by hand", format!("{} of {} used", number(item.releases_used), number(item.release_allowance.into()))));
    }
    if item.trial {
        terms.push(fact("Public trial", "yes: serves devices that name nothing".to_owned()));
    }
    terms.extend(item.row.revoked.clone().map(|reason| fact("Revoked by the vendor", if reason.is_empty() { "no reason given".to_owned() } else { reason })));
    let (use_told, grace_told) = (tell_use(&item), tell_grace(&item));
    Ok(page(&ItemPage { page: chrome, line, item, permits, terms, use_told, grace_told })?)
}

#[derive(Template)]
#[template(path = "admin/license.html")]
struct LicensePage {
    page: Chrome,
    license: licenses::LicenseDetail,
    lines: Vec<ItemLine>,
    issued: String,
    issued_local: String,
    imported: String,
    imported_local: String,
    this_server: String,
}

/// `GET /admin/licenses/{id}`
pub async fn show_license(caller: Caller, context: Data<Context>, request: HttpRequest, id: Path<String>) -> PageResult {
    let license = licenses::read_one(&context, &id).await?;
    let chrome = Chrome::of(&context, &request, &caller, PATH, format!("License {}", license.license_id)).await?;
    let now = context.clock.now_seconds();
    let lines = license.items.iter().map(|item| ItemLine::of(item, now, &chrome)).collect();
    let (issued, imported) = (seconds_of(&license.issued_at), seconds_of(&license.imported_at));
    let (issued_local, imported_local) = (chrome.local_time(issued), chrome.local_time(imported));
    let this_server = context.site.uuid().to_string();
    let (issued, imported) = (utc_time(issued), utc_time(imported));
    Ok(page(&LicensePage { page: chrome, license, lines, issued, issued_local, imported, imported_local, this_server })?)
}

/// `GET /admin/licenses/{id}/file`
pub async fn download(context: Data<Context>, id: Path<String>) -> PageResult {
    Ok(licenses::file(context, id).await?)
}
