//! Who did what when, and whether the journal is in order.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Bytes, Data, Query};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::{Micros, rfc3339};
use crate::commands::preferences::Remember;
use crate::http::Context;
use crate::http::caller::Caller;
use crate::http::chain_check::{ChainCheck, State};
use crate::http::problem::Failure;
use crate::protocol::Problem;
use crate::store::audit::{self, AdminActed, Entry, Filter};
use crate::store::facts;

/// Lines of one answer.
pub const PAGE: usize = 100;
/// Lines that are read at a time for an export.
const EXPORT_PAGE: usize = 1_000;

/// Which lines are asked for; what is empty does not count.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Question {
    /// Only by this one.
    pub actor: String,
    /// Only this, such as `license_imported`.
    pub action: String,
    /// Only lines that have this text in subject or detail.
    pub text: String,
    /// First day, UTC, `2026-11-22`.
    pub from: String,
    /// Last day.
    pub to: String,
    /// Only lines before this one: `next` of the answer before.
    pub before: String,
}

impl Question {
    /// What the store is asked, or every field that is wrong with what to do.
    pub fn filter(&self) -> Result<Filter, Vec<(&'static str, String)>> {
        let mut errors = Vec::new();
        let text = |value: &str| Some(value.trim().to_owned()).filter(|text| !text.is_empty());
        let mut day = |name: &'static str, value: &str| {
            let value = value.trim();
            let day = value.parse::<NaiveDate>().ok();
            if day.is_none() && !value.is_empty() {
                errors.push((name, "is not a day: write it as 2026-11-22".to_owned()));
            }
            day.map(|day| i64::from(day.to_epoch_days()) * 86_400_000_000)
        };
        let (from, to) = (day("from", &self.from), day("to", &self.to));
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            errors.push(("from", "is later than the last day: exchange them".to_owned()));
        }
        let before = self.before.trim();
        let cursor = read_cursor(before);
        if cursor.is_none() && !before.is_empty() {
            errors.push(("before", "is not what an answer gave as `next`: begin again without it".to_owned()));
        }
        let filter = Filter {
            before: cursor,
            actor: text(&self.actor),
            action: text(&self.action),
            text: text(&self.text),
            from,
            to: to.map(|day| day + 86_400_000_000),
        };
        if errors.is_empty() { Ok(filter) } else { Err(errors) }
    }

    fn checked(&self) -> Result<Filter, Failure> {
        self.filter().map_err(|errors| {
            errors.into_iter().next().map_or_else(|| Failure::malformed("query", "is wrong"), |(field, text)| Failure::malformed(field, text))
        })
    }
}

type Cursor = (Micros, crate::licensing::ServerUuid, u64);

fn read_cursor(text: &str) -> Option<Cursor> {
    let mut parts = text.split('.');
    let cursor = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(cursor)
}

/// What the next question gives as `before`.
pub fn cursor(entry: &Entry) -> String {
    format!("{}.{}.{}", entry.stamp, entry.origin, entry.sequence)
}

/// A line.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EntryRow {
    /// When.
    pub at: String,
    /// Who: a user's name, `token NAME` or `console`.
    pub actor: String,
    /// What.
    pub action: String,
    /// With what.
    pub subject: String,
    /// More, in words.
    pub detail: String,
    /// The network address it came from, where that is known.
    pub address: String,
    /// The server that recorded it.
    pub origin: String,
    /// Its fact number there.
    pub sequence: u64,
}

fn row(entry: Entry) -> EntryRow {
    EntryRow {
        at: rfc3339(entry.stamp.div_euclid(1_000_000)),
        actor: entry.actor,
        action: entry.action,
        subject: entry.subject,
        detail: entry.detail,
        address: entry.address,
        origin: entry.origin.to_string(),
        sequence: entry.sequence,
    }
}

/// Lines of the audit, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditAnswer {
    /// The lines.
    pub entries: Vec<EntryRow>,
    /// What to give as `before` for the ones after these; absent at the end.
    pub next: Option<String>,
}

/// One page of lines, and what leads to the next.
pub async fn read_page(context: &Context, filter: Filter, limit: usize) -> Result<(Vec<Entry>, Option<String>), Failure> {
    let mut entries = context.read(move |reader| audit::list(reader, &filter, limit + 1)).await?;
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| has_more).map(cursor);
    Ok((entries, next))
}

/// `GET /audit`
#[utoipa::path(get, path = "/api/v1/admin/audit", tag = "audit", security(("bearer" = [])), params(("actor" = Option<String>, Query, description = "Only by this one"), ("action" = Option<String>, Query, description = "Only this, such as `license_imported`"), ("text" = Option<String>, Query, description = "Only lines with this text in subject or detail"), ("from" = Option<String>, Query, description = "First day, UTC, such as 2026-11-22"), ("to" = Option<String>, Query, description = "Last day"), ("before" = Option<String>, Query, description = "`next` of the page before")), responses(
    (status = 200, description = "At most 100 lines, newest first", body = AuditAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(context: Data<Context>, question: Query<Question>) -> Result<HttpResponse, Failure> {
    let (entries, next) = read_page(&context, question.checked()?, PAGE).await?;
    Ok(HttpResponse::Ok().json(AuditAnswer { entries: entries.into_iter().map(row).collect(), next }))
}

/// `GET /audit/export`: all lines that match, as CSV.
#[utoipa::path(get, path = "/api/v1/admin/audit/export", tag = "audit", security(("bearer" = [])), params(("actor" = Option<String>, Query, description = "Only by this one"), ("action" = Option<String>, Query, description = "Only this, such as `license_imported`"), ("text" = Option<String>, Query, description = "Only lines with this text in subject or detail"), ("from" = Option<String>, Query, description = "First day, UTC, such as 2026-11-22"), ("to" = Option<String>, Query, description = "Last day")), responses(
    (status = 200, description = "All lines that match", body = String, content_type = "text/csv"),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn export(caller: Caller, context: Data<Context>, question: Query<Question>) -> Result<HttpResponse, Failure> {
    let filter = question.checked()?;
    remember(&context, &caller, "audit_exported", String::new(), String::new()).await?;
    Ok(csv(context, filter))
}

/// The lines as CSV, sent while they are read.
pub fn csv(context: Data<Context>, filter: Filter) -> HttpResponse {
    let head = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"at,actor,action,subject,detail,address,origin,sequence\r\n"))]);
    let lines = futures_util::stream::unfold(Some(filter), move |filter| {
        let context = context.clone();
        async move {
            let filter = filter?;
            let mut following = filter.clone();
            let page = match read_page(&context, filter, EXPORT_PAGE).await {
                Ok(page) => page,
                // The connection breaks off: half an export must not look like a whole one.
                Err(failure) => return Some((Err(std::io::Error::other(failure.to_string())), None)),
            };
            let (entries, next) = page;
            following.before = next.as_deref().and_then(read_cursor);
            let text: String = entries.into_iter().map(row).map(|row| csv_line(&row)).collect();
            Some((Ok(Bytes::from(text)), next.map(|_| following)))
        }
    });
    HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"audit.csv\""))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .streaming(futures_util::StreamExt::chain(head, lines))
}

fn csv_line(row: &EntryRow) -> String {
    let sequence = row.sequence.to_string();
    let cells = [&row.at, &row.actor, &row.action, &row.subject, &row.detail, &row.address, &row.origin, &sequence].map(|cell| csv_cell(cell));
    cells.join(",") + "\r\n"
}

/// Quoted where it must be. A cell that a spreadsheet would take for a formula is marked as text:
/// names that strangers tried to log in with are among them.
fn csv_cell(text: &str) -> String {
    let marked = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if marked.contains([',', '"', '\n', '\r']) { format!("\"{}\"", marked.replace('"', "\"\"")) } else { marked }
}

/// Puts an act of somebody into the audit that changes nothing else.
///
/// # Errors
/// It cannot be written.
pub async fn remember(context: &Context, caller: &Caller, action: &str, subject: String, detail: String) -> Result<(), Failure> {
    let act = AdminActed { by: caller.name.clone(), action: action.to_owned(), subject, detail, address: caller.address.clone() };
    Ok(context.writer().submit(Remember(act)).await?)
}

/// `GET /audit/check`
#[utoipa::path(get, path = "/api/v1/admin/audit/check", tag = "audit", security(("bearer" = [])), responses(
    (status = 200, description = "How the check of the journal stands", body = State),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show_check(context: Data<Context>) -> HttpResponse {
    HttpResponse::Ok().json(context.chain_check.state())
}

/// Begins a check of the journal, unless one is at work.
///
/// # Errors
/// The act cannot be written.
pub async fn check(context: &Data<Context>, caller: &Caller) -> Result<State, Failure> {
    if !matches!(context.chain_check.state(), State::Running { .. }) {
        remember(context, caller, "journal_check_begun", String::new(), String::new()).await?;
        let total = context.read(|reader| facts::count(reader)).await?;
        ChainCheck::begin(context, total);
    }
    Ok(context.chain_check.state())
}

/// `POST /audit/check`
#[utoipa::path(post, path = "/api/v1/admin/audit/check", tag = "audit", security(("bearer" = [])), responses(
    (status = 202, description = "The check is at work; ask again how it stands", body = State),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn begin_check(caller: Caller, context: Data<Context>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Accepted().json(check(&context, &caller).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        for (text, cell) in [("plain", "plain"), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\""), ("=cmd()", "'=cmd()"), ("", "")] {
            assert_eq!(csv_cell(text), cell);
        }
    }

    #[test]
    fn a_question_names_every_field_that_is_wrong() {
        let question = Question { from: "yesterday".into(), to: "2026-02-30".into(), before: "x".into(), ..Question::default() };
        assert_eq!(question.filter().expect_err("wrong").into_iter().map(|(field, _)| field).collect::<Vec<_>>(), ["from", "to", "before"]);
        let question = Question { from: "2026-11-23".into(), to: "2026-11-22".into(), ..Question::default() };
        assert_eq!(question.filter().expect_err("wrong")[0].0, "from");
        let filter = Question { from: "2026-11-22".into(), to: "2026-11-22".into(), ..Question::default() }.filter().expect("it is there");
        assert_eq!(filter.to.expect("it is there") - filter.from.expect("it is there"), 86_400_000_000);
    }
}
