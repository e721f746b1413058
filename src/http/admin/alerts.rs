//! What is over a threshold now, and where the thresholds are (pages, "Alerts").

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use askama::Template;

use super::chrome::{Chrome, PageResult, go, page, page_with};
use super::form::Fields;
use super::shown::Errors;
use crate::http::Context;
use crate::http::admin_api::alerts::{AlertRow, Severity, current, thresholds};
use crate::http::admin_api::settings::{SettingsChanges, write};
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::licensing::thresholds::Thresholds;

const SECTION: &str = "/admin/alerts";

struct Line {
    is_urgent: bool,
    href: String,
    about: String,
    text: String,
}

/// A list of thresholds in the form.
struct Row {
    name: &'static str,
    label: &'static str,
    unit: &'static str,
    value: String,
    error: String,
}

#[derive(Template)]
#[template(path = "admin/alerts.html")]
struct AlertsPage {
    page: Chrome,
    lines: Vec<Line>,
    rows: Vec<Row>,
    grace_end: bool,
    from_requests: String,
    errors: Errors,
}

/// The lists of the form: name, label, unit.
const LISTS: [(&str, &str, &str); 6] = [
    ("seats", "Device and server items: seats taken", "% of the quota"),
    ("day_seats", "Device items with period 'day': seats taken", "% of the quota"),
    ("units", "Scan and page items: used", "% of the quota"),
    ("tolerance", "Concurrent items: tolerance spent", "% of the tolerance"),
    ("failures", "Handshake codes: failed requests of the last 24 hours", "% of all requests"),
    ("days_to_end", "Every item: the end comes near", "days before the end"),
];

fn list_of<'t>(thresholds: &'t mut Thresholds, name: &str) -> &'t mut Vec<u32> {
    match name {
        "seats" => &mut thresholds.seats,
        "day_seats" => &mut thresholds.day_seats,
        "units" => &mut thresholds.units,
        "tolerance" => &mut thresholds.tolerance,
        "failures" => &mut thresholds.failures,
        _ => &mut thresholds.days_to_end,
    }
}

fn line(row: AlertRow) -> Line {
    let (href, about) = match (row.item_id, &row.handshake_code) {
        (Some(id), _) => (format!("/admin/licenses/items/{id}"), format!("Item {id}")),
        (None, Some(code)) => (format!("/admin/handshakes/{code}"), code.clone()),
        (None, None) => ("/admin/servers".to_owned(), "This server".to_owned()),
    };
    Line { is_urgent: row.severity == Severity::Urgent, href, about, text: row.text }
}

async fn around(caller: &Caller, context: &Context, request: &HttpRequest) -> Result<AlertsPage, Failure> {
    let page = Chrome::of(context, request, caller, SECTION, "Alerts").await?;
    let lines = current(context).await?.into_iter().map(line).collect();
    let mut set = thresholds(context).await?;
    let rows = LISTS
        .iter()
        .map(|(name, label, unit)| {
            let value = list_of(&mut set, name).iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            Row { name, label, unit, value, error: String::new() }
        })
        .collect();
    Ok(AlertsPage { page, lines, rows, grace_end: set.grace_end, from_requests: set.failures_from_requests.to_string(), errors: Errors::default() })
}

/// `GET /admin/alerts`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    Ok(page(&around(&caller, &context, &request).await?)?)
}

/// `POST /admin/alerts`
pub async fn set(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let before = thresholds(&context).await?;
    if fields.has("usual") {
        if before != Thresholds::default() {
            write(&context, &caller, SettingsChanges { alert_thresholds: Some(Thresholds::default()), ..SettingsChanges::default() }).await?;
        }
        return Ok(go(SECTION, "The usual thresholds hold again."));
    }
    let (mut typed, mut errors) = (before.clone(), Errors::default());
    for (name, ..) in LISTS {
        let parts = fields.text(name).split([',', ' ', ';']).filter(|part| !part.is_empty());
        match parts.map(str::parse::<u32>).collect::<Result<Vec<_>, _>>() {
            Ok(list) => *list_of(&mut typed, name) = list,
            Err(_) => errors.add(name, "must be whole numbers, separated by commas; empty raises no alert"),
        }
    }
    typed.grace_end = fields.has("grace_end");
    match fields.trimmed("failures_from_requests").parse() {
        Ok(requests) => typed.failures_from_requests = requests,
        Err(_) => errors.add("failures_from_requests", "must be a whole number"),
    }
    let mut changes = SettingsChanges { alert_thresholds: Some(typed), ..SettingsChanges::default() };
    for (field, text) in changes.check() {
        errors.add(field, text);
    }
    if errors.is_empty() {
        if changes.alert_thresholds.as_ref() != Some(&before) {
            write(&context, &caller, changes).await?;
        }
        return Ok(go(SECTION, "The thresholds are saved and hold from now on."));
    }
    let mut template = around(&caller, &context, &request).await?;
    for row in &mut template.rows {
        row.value = fields.text(row.name).to_owned();
        row.error = errors.at(row.name).to_owned();
    }
    template.grace_end = fields.has("grace_end");
    template.from_requests = fields.text("failures_from_requests").to_owned();
    template.errors = errors;
    Ok(page_with(StatusCode::BAD_REQUEST, &template)?)
}
