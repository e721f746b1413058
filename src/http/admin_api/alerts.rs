//! What is over a threshold now (domain §7). Alerts are computed from how things stand, whenever
//! somebody looks; sending them, and a history of what was sent, belong to a later version.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::commands::exceptions::{Exception, Trouble};
use crate::commands::preferences::names;
use crate::commands::site::HARDWARE_GRACE_DAYS;
use crate::http::Context;
use crate::http::problem::Failure;
use crate::licensing::thresholds::{AlertKind, CodeFigures, ItemFigures, Snapshot, Subject, Thresholds, crossed};
use crate::licensing::{HandshakeCode, grace};
use crate::protocol::Problem;
use crate::store::{Command, Error, Ledger, preferences, seats, slots, usage};

/// Seconds that the clock may stand behind the latest fact before that is told.
const CLOCK_LAG_SECONDS: i64 = 300;
/// How far back requests of handshake codes are looked at.
const REQUESTS_SECONDS: i64 = 86_400;

/// How much an alert presses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Devices are refused, or will be within a day.
    Urgent,
    /// Something will have to be done.
    Warning,
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertRow {
    /// How much it presses.
    pub severity: Severity,
    /// What it is about: `item`, `handshake_code` or `server`.
    pub about: String,
    /// The item, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<u64>,
    /// The handshake code, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake_code: Option<String>,
    /// What was crossed, such as `seats_80_percent`.
    pub kind: String,
    /// How things stand, what happens next, and what to do.
    pub text: String,
}

/// Reads every figure on the writer thread, which remembers counts that would take a walk over a
/// million seats elsewhere.
struct ReadFigures;

impl Command for ReadFigures {
    /// The figures, and the seconds that the clock stands behind the latest fact.
    type Answer = (Snapshot, i64);

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let (catalog, now) = (ledger.catalog()?, ledger.now());
        let mut items = BTreeMap::new();
        for entry in catalog.items().filter(|entry| entry.revoked.is_none()) {
            let item = &entry.item;
            let used = if item.charge_way.takes_seats() { seats::count_active(ledger, item.item_id, now)? } else { usage::used(ledger, item.item_id)? };
            let mut figures = ItemFigures::of(item, used);
            if item.charge_way.is_concurrent() {
                figures.tolerance = grace::tolerance(item, now);
                figures.tolerance_spent = slots::excess(ledger, item.item_id, item.quota)?;
            }
            items.insert(item.item_id, figures);
        }
        ledger.flush()?;
        let mut codes = BTreeMap::new();
        for code in catalog.codes() {
            let Ok(name) = code.name().parse::<HandshakeCode>() else { continue };
            let (granted, failed) = usage::read_requests_since(ledger.reading(), code.code_id, now - REQUESTS_SECONDS)?;
            codes.insert(code.code_id, CodeFigures { name, requests: granted + failed, failed });
        }
        Ok((Snapshot { at: now, items, codes }, ledger.clock_lag_seconds()))
    }
}

/// The thresholds that hold.
pub async fn thresholds(context: &Context) -> Result<Thresholds, Failure> {
    Ok(context.read(|reader| preferences::read(reader, names::THRESHOLDS)).await?.unwrap_or_default())
}

/// What is over a threshold now, what presses most first.
pub async fn current(context: &Context) -> Result<Vec<AlertRow>, Failure> {
    let thresholds = thresholds(context).await?;
    let (snapshot, lag) = context.writer().submit(ReadFigures).await?;
    let mut rows = about_server(context, lag);
    for alert in crossed(&Snapshot::default(), &snapshot, &thresholds) {
        let (about, item_id, handshake_code) = match alert.subject {
            Subject::Item(id) => ("item", Some(id.0), None),
            Subject::Code(id) => ("handshake_code", None, snapshot.codes.get(&id).map(|code| code.name.as_str().to_owned())),
        };
        let severity = if is_urgent(alert.kind) { Severity::Urgent } else { Severity::Warning };
        rows.push(AlertRow { severity, about: about.to_owned(), item_id, handshake_code, kind: kind_name(alert.kind), text: alert.text });
    }
    rows.sort_by_key(|row| row.severity);
    Ok(rows)
}

fn is_urgent(kind: AlertKind) -> bool {
    match kind {
        AlertKind::Seats { percent } | AlertKind::Units { percent } | AlertKind::Tolerance { percent } => percent >= 100,
        AlertKind::Failures { percent } => percent >= 80,
        AlertKind::EndsIn { days } => days <= 1,
        AlertKind::GraceEnded => true,
    }
}

fn kind_name(kind: AlertKind) -> String {
    match kind {
        AlertKind::Seats { percent } => format!("seats_{percent}_percent"),
        AlertKind::Units { percent } => format!("units_{percent}_percent"),
        AlertKind::Tolerance { percent } => format!("tolerance_{percent}_percent"),
        AlertKind::Failures { percent } => format!("failures_{percent}_percent"),
        AlertKind::EndsIn { days } => format!("ends_in_{days}_days"),
        AlertKind::GraceEnded => "grace_ended".to_owned(),
    }
}

fn about_server(context: &Context, lag: i64) -> Vec<AlertRow> {
    let now = context.clock.now_seconds();
    let row = |severity, kind: &str, text: String| AlertRow {
        severity,
        about: "server".to_owned(),
        item_id: None,
        handshake_code: None,
        kind: kind.to_owned(),
        text,
    };
    let told = |exception: Exception| {
        // There are weeks left to renew a certificate.
        let severity = if exception.trouble == Trouble::Certificate { Severity::Warning } else { Severity::Urgent };
        row(severity, exception.trouble.name(), sentence(&exception.detail))
    };
    let mut rows: Vec<AlertRow> = context.exceptions.list().into_iter().map(told).collect();
    match (context.site.find_hardware_problem(now), context.site.hardware().changed_since) {
        (Some(problem), _) => rows.push(row(Severity::Urgent, "hardware_changed", format!("Nobody is authorized: {problem}."))),
        (None, Some(since)) => rows.push(row(
            Severity::Warning,
            "hardware_changed",
            format!(
                "This server runs on other hardware than it was licensed for. It serves until {}. Before that: download an activation request on the page \
                 'License items', have the vendor activate the license for it, and import that.",
                rfc3339(since + HARDWARE_GRACE_DAYS * 86_400)
            ),
        )),
        (None, None) => {}
    }
    if lag > CLOCK_LAG_SECONDS {
        let text = format!(
            "The clock of this server stands {lag} seconds behind the latest fact it recorded. Until it has caught up, every time is counted as that fact's: set the clock of the machine right."
        );
        rows.push(row(Severity::Urgent, "clock_behind", text));
    }
    rows
}

/// `no backup can be made: …` as a sentence of its own.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str().trim_end_matches('.')))
}

/// What `GET /alerts` answers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AlertsAnswer {
    /// What is over a threshold now.
    pub current: Vec<AlertRow>,
    /// Ways out that are set up, besides the pages and the log: none in this version.
    pub ways_out: Vec<String>,
}

/// `GET /alerts`
#[utoipa::path(get, path = "/api/v1/admin/alerts", tag = "alerts", security(("bearer" = [])), responses(
    (status = 200, description = "What is over a threshold now, what presses most first", body = AlertsAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(context: Data<Context>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(AlertsAnswer { current: current(&context).await?, ways_out: Vec::new() }))
}
