//! What is over a threshold now, where the thresholds are, and what was told (pages, "Alerts").

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use askama::Template;

use super::chrome::{Chrome, PageResult, go, page, page_with};
use super::form::Fields;
use super::shown::{Errors, Tab, When, tabs};
use crate::http::Context;
use crate::http::admin_api::alerts::{AlertRow, HistoryQuery, Severity, ToldRow, WayRow, check_minutes, current, history, thresholds, ways};
use crate::http::admin_api::settings::{CHECK_MINUTES_RANGE, SettingsChanges, write};
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::http::query::Query;
use crate::licensing::thresholds::Thresholds;

/// Where the pages about alerts begin.
pub const SECTION: &str = "/admin/alerts";
/// The page of the ways out.
pub const WAYS: &str = "/admin/alerts/ways";
const HISTORY: &str = "/admin/alerts/history";
/// Lines of one page of the history.
const HISTORY_LINES: usize = 50;

/// The pages about alerts.
pub fn alert_tabs(here: &str) -> Vec<Tab> {
    tabs(&[(SECTION, "Now"), (WAYS, "Ways out"), (HISTORY, "History")], here)
}

struct Line {
    is_urgent: bool,
    href: String,
    about: String,
    text: String,
}

/// How it goes with a way out.
pub struct WayLine {
    /// Its name for people.
    pub name: &'static str,
    /// Where to.
    pub target: String,
    /// Whether alerts go this way.
    pub on: bool,
    /// Whether the last message failed.
    pub is_failing: bool,
    /// How it went the last time, and how many wait.
    pub told: String,
}

impl WayLine {
    /// As the API has it.
    pub fn of(row: WayRow) -> Self {
        let name = match row.way.as_str() {
            "mail" => "Mail",
            "webhook" => "Webhook",
            _ => "Syslog",
        };
        let is_failing = row.is_failing();
        let mut told = match (&row.failed_at, &row.sent_at) {
            (Some(at), _) if is_failing => format!("Failed on {}: {}", readable(at), row.error),
            (_, Some(at)) => format!("Sent on {}: {}", readable(at), row.answer),
            _ => "Nothing was sent yet.".to_owned(),
        };
        if row.waiting > 0 {
            told += &format!(" ({} waiting)", row.waiting);
        }
        Self { name, target: row.target, on: row.on, is_failing, told }
    }
}

/// `2026-11-22T12:00:00Z` as pages show times.
fn readable(at: &str) -> String {
    at.trim_end_matches('Z').replace('T', " ")
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
    tabs: Vec<Tab>,
    lines: Vec<Line>,
    ways: Vec<WayLine>,
    minutes: String,
    least_minutes: u32,
    most_minutes: u32,
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
    let ways = ways(context).await?.into_iter().map(WayLine::of).collect();
    let mut set = thresholds(context).await?;
    let rows = LISTS
        .iter()
        .map(|(name, label, unit)| {
            let value = list_of(&mut set, name).iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            Row { name, label, unit, value, error: String::new() }
        })
        .collect();
    Ok(AlertsPage {
        page,
        tabs: alert_tabs(SECTION),
        lines,
        ways,
        minutes: check_minutes(context).await?.to_string(),
        least_minutes: CHECK_MINUTES_RANGE.0,
        most_minutes: CHECK_MINUTES_RANGE.1,
        rows,
        grace_end: set.grace_end,
        from_requests: set.failures_from_requests.to_string(),
        errors: Errors::default(),
    })
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
    let minutes = fields.trimmed("alert_check_minutes").parse().ok();
    if minutes.is_none() {
        errors.add("alert_check_minutes", "must be a whole number");
    }
    let mut changes = SettingsChanges { alert_check_minutes: minutes, alert_thresholds: Some(typed), ..SettingsChanges::default() };
    for (field, text) in changes.check() {
        errors.add(field, text);
    }
    if errors.is_empty() {
        changes.alert_thresholds = changes.alert_thresholds.filter(|typed| *typed != before);
        let minutes_now = check_minutes(&context).await?;
        changes.alert_check_minutes = changes.alert_check_minutes.filter(|minutes| *minutes != minutes_now);
        write(&context, &caller, changes).await?;
        return Ok(go(SECTION, "The thresholds are saved and hold from now on."));
    }
    let mut template = around(&caller, &context, &request).await?;
    for row in &mut template.rows {
        row.value = fields.text(row.name).to_owned();
        row.error = errors.at(row.name).to_owned();
    }
    template.minutes = fields.text("alert_check_minutes").to_owned();
    template.grace_end = fields.has("grace_end");
    template.from_requests = fields.text("failures_from_requests").to_owned();
    template.errors = errors;
    Ok(page_with(StatusCode::BAD_REQUEST, &template)?)
}

struct ToldLine {
    when: When,
    line: Line,
    server: String,
}

#[derive(Template)]
#[template(path = "admin/alert-history.html")]
struct HistoryPage {
    page: Chrome,
    tabs: Vec<Tab>,
    lines: Vec<ToldLine>,
    older: String,
}

/// `GET /admin/alerts/history`
pub async fn show_history(caller: Caller, context: Data<Context>, request: HttpRequest, query: Query<HistoryQuery>) -> PageResult {
    let page_around = Chrome::of(&context, &request, &caller, SECTION, "Alerts").await?;
    let rows = history(&context, query.into_inner().before, HISTORY_LINES).await?;
    let older = rows.last().filter(|_| rows.len() == HISTORY_LINES).map_or_else(String::new, |row| format!("{HISTORY}?before={}", row.stamp));
    let (now, own) = (context.clock.now_seconds(), context.site.uuid().to_string());
    let told = |row: ToldRow| ToldLine {
        when: When::of(&page_around, row.stamp.div_euclid(1_000_000), now),
        line: line(row.alert),
        server: if row.server_uuid == own { String::new() } else { row.server_uuid },
    };
    let lines = rows.into_iter().map(told).collect();
    Ok(page(&HistoryPage { tabs: alert_tabs(HISTORY), lines, older, page: page_around })?)
}
