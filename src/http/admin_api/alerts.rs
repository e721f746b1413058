//! Alerts (domain §7): what is over a threshold or wrong now, what was told, and how it goes with the
//! ways out.

use actix_web::HttpResponse;
use actix_web::web::{Data, Payload};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::alert_ways::target;
use crate::alerts::ways::find_channel;
use crate::alerts::{Channel, test_alert};
use crate::clock::rfc3339;
use crate::commands::alerts::{CHECK_MINUTES, KeepOutcome, Message, ReadCurrent, Way, list_troubles, read_state, site_name};
use crate::commands::preferences::{Remember, names};
use crate::documents::random_uuid;
use crate::http::Context;
use crate::http::body::read_json;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::http::query::Query;
use crate::licensing::thresholds::Thresholds;
use crate::protocol::Problem;
use crate::store::alerts::Raised;
use crate::store::audit::AdminActed;
use crate::store::{alerts, facts, preferences};

/// Lines of the history in one answer, where nothing else is asked for, and at most.
const HISTORY_LINES: (usize, usize) = (50, 500);

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

impl From<Raised> for AlertRow {
    fn from(raised: Raised) -> Self {
        let severity = if raised.severity == alerts::Severity::Urgent { Severity::Urgent } else { Severity::Warning };
        let about = raised.about().to_owned();
        Self { severity, about, item_id: raised.item.map(|item| item.0), handshake_code: raised.code, kind: raised.kind, text: raised.text }
    }
}

/// An alert that was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToldRow {
    /// When.
    pub at: String,
    /// The same to the microsecond since 1970: ask with `before` for what is older.
    pub stamp: i64,
    /// The server that raised it.
    pub server_uuid: String,
    /// What it told.
    pub alert: AlertRow,
}

/// A way by which alerts leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WayRow {
    /// `mail`, `webhook` or `syslog`.
    pub way: String,
    /// Whether alerts go this way.
    pub on: bool,
    /// Where to.
    pub target: String,
    /// Messages that wait on this server to be sent, or sent again.
    pub waiting: u64,
    /// When this server sent one last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<String>,
    /// What the other side answered then.
    pub answer: String,
    /// When one could not be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<String>,
    /// Why.
    pub error: String,
}

impl WayRow {
    /// Whether the last message failed.
    pub fn is_failing(&self) -> bool {
        self.failed_at > self.sent_at
    }
}

/// The thresholds that hold.
pub async fn thresholds(context: &Context) -> Result<Thresholds, Failure> {
    Ok(context.read(|reader| preferences::read(reader, names::THRESHOLDS)).await?.unwrap_or_default())
}

/// Minutes from one look at the thresholds to the next.
pub async fn check_minutes(context: &Context) -> Result<u32, Failure> {
    Ok(context.read(|reader| preferences::read(reader, names::ALERT_MINUTES)).await?.unwrap_or(CHECK_MINUTES))
}

/// What is over a threshold or wrong now, what presses most first.
pub async fn current(context: &Context) -> Result<Vec<AlertRow>, Failure> {
    let over = context.writer().submit(ReadCurrent).await?;
    let latest = context.read(|reader| facts::latest_stamp(reader)).await?;
    let (now, lag) = (context.clock.now_seconds(), (latest - context.clock.now_micros()).div_euclid(1_000_000));
    let troubles = list_troubles(&context.exceptions, &context.site, now, lag);
    let mut rows: Vec<AlertRow> = troubles.into_iter().chain(over).map(AlertRow::from).collect();
    rows.sort_by_key(|row| row.severity);
    Ok(rows)
}

/// How it goes with the ways out.
pub async fn ways(context: &Context) -> Result<Vec<WayRow>, Failure> {
    let read = |reader: &crate::store::Reader| {
        let row = |way: Way| {
            let (state, waiting) = read_state(reader, way)?;
            let (on, target) = target(reader, way)?;
            let (sent_at, failed_at) = (state.sent_at.map(rfc3339), state.failed_at.map(rfc3339));
            Ok(WayRow { way: way.name().to_owned(), on, target, waiting, sent_at, answer: state.answer, failed_at, error: state.error })
        };
        Way::ALL.into_iter().map(row).collect()
    };
    context.read(read).await
}

/// What was told, newest first.
pub async fn history(context: &Context, before: Option<i64>, limit: usize) -> Result<Vec<ToldRow>, Failure> {
    let entries = context.read(move |reader| alerts::list(reader, before, limit)).await?;
    let row = |entry: alerts::Entry| ToldRow {
        at: rfc3339(entry.stamp.div_euclid(1_000_000)),
        stamp: entry.stamp,
        server_uuid: entry.origin.to_string(),
        alert: entry.alert.into(),
    };
    Ok(entries.into_iter().map(row).collect())
}

/// What `GET /alerts` answers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AlertsAnswer {
    /// What is over a threshold or wrong now.
    pub current: Vec<AlertRow>,
    /// By which ways alerts leave, besides the pages and the log.
    pub ways: Vec<WayRow>,
}

/// `GET /alerts`
#[utoipa::path(get, path = "/api/v1/admin/alerts", tag = "alerts", security(("bearer" = [])), responses(
    (status = 200, description = "What is over a threshold or wrong now, what presses most first", body = AlertsAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(context: Data<Context>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(AlertsAnswer { current: current(&context).await?, ways: ways(&context).await? }))
}

/// Which part of the history is asked for.
#[derive(Debug, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Only what was told before this `stamp`.
    pub before: Option<i64>,
    /// Lines, 50 unless said otherwise, at most 500.
    pub limit: Option<usize>,
}

/// `GET /alerts/history`
#[utoipa::path(get, path = "/api/v1/admin/alerts/history", tag = "alerts", security(("bearer" = [])), params(HistoryQuery), responses(
    (status = 200, description = "What was told by either server, newest first", body = Vec<ToldRow>),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list_history(context: Data<Context>, query: Query<HistoryQuery>) -> Result<HttpResponse, Failure> {
    let query = query.into_inner();
    let limit = query.limit.unwrap_or(HISTORY_LINES.0).min(HISTORY_LINES.1);
    Ok(HttpResponse::Ok().json(history(&context, query.before, limit).await?))
}

/// Which ways are tested.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TestBody {
    /// `mail`, `webhook` or `syslog`; absent: every way that is on.
    pub way: Option<String>,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestRow {
    /// The way.
    pub way: String,
    /// Whether the other side took the message.
    pub ok: bool,
    /// What it answered, or why it could not be reached.
    pub answer: String,
}

/// Sends a test now, and tells what the other side answers.
///
/// # Errors
/// No such way, or it is off.
pub async fn test(context: &Context, caller: &Caller, way: Option<Way>) -> Result<Vec<TestRow>, Failure> {
    let site = std::sync::Arc::clone(&context.site);
    let asked = way.map_or(Way::ALL.to_vec(), |way| vec![way]);
    let read = move |reader: &crate::store::Reader| {
        let channels = asked.iter().map(|way| find_channel(reader, site.secret(), *way)).collect::<Result<Vec<_>, _>>()?;
        Ok((channels.into_iter().flatten().collect::<Vec<Channel>>(), site_name(reader)?))
    };
    let (channels, site_name) = context.read(read).await?;
    if channels.is_empty() {
        let what = way.map_or("no way for alerts is".to_owned(), |way| format!("the way '{}' is not", way.name()));
        return Err(Failure::malformed("way", format!("{what} switched on: set it up on the page 'Alerts' first")));
    }
    let now = context.clock.now_seconds();
    let message = Message { id: random_uuid(), made_at: now, server: context.site.uuid(), site: site_name, is_test: true, alerts: vec![test_alert()] };
    let tried = channels.into_iter().map(|channel| {
        let message = message.clone();
        let way = channel.way();
        let trying = actix_web::web::block(move || channel.send(&message, now));
        async move { (way, trying.await.unwrap_or_else(|_| Err("the server is busy: try again".to_owned()))) }
    });
    let mut rows = Vec::new();
    for (way, outcome) in futures_util::future::join_all(tried).await {
        context.writer().submit(KeepOutcome { way, waiting: None, outcome: outcome.clone(), at: now }).await?;
        let (ok, answer) = outcome.map_or_else(|error| (false, error), |answer| (true, answer));
        let (by, address) = (caller.name.clone(), caller.address.clone());
        let detail = if ok { "sent".to_owned() } else { answer.clone() };
        context.writer().submit(Remember(AdminActed { by, action: "alert_tested".to_owned(), subject: way.name().to_owned(), detail, address })).await?;
        rows.push(TestRow { way: way.name().to_owned(), ok, answer });
    }
    Ok(rows)
}

/// `POST /alerts/test`
#[utoipa::path(post, path = "/api/v1/admin/alerts/test", tag = "alerts", security(("bearer" = [])), request_body = TestBody, responses(
    (status = 200, description = "What the other side answered, for each way that was tested", body = Vec<TestRow>),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn send_test(caller: Caller, context: Data<Context>, request: actix_web::HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: TestBody = read_json(&context, &request, payload).await?;
    let way = body.way.map(|name| Way::find(&name).ok_or_else(|| Failure::malformed("way", "must be mail, webhook or syslog"))).transpose()?;
    Ok(HttpResponse::Ok().json(test(&context, &caller, way).await?))
}
