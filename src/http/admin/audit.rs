//! Who did what when, and whether the journal is in order (pages, "Audit").

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload, Query};
use askama::Template;

use super::chrome::{Chrome, PageResult, count, go, number, page_with};
use super::form::Fields;
use super::shown::{Errors, When, words};
use crate::http::Context;
use crate::http::admin_api::audit::{self as api, PAGE, Question};
use crate::http::caller::Caller;
use crate::http::chain_check::State;
use crate::store::audit::{list_actions, list_actors};

const SECTION: &str = "/admin/audit";

struct Choice {
    value: String,
    text: String,
    is_chosen: bool,
}

struct Line {
    at: When,
    actor: String,
    action: String,
    subject: String,
    detail: String,
    address: String,
}

/// The check of the journal, in words.
struct Check {
    class: &'static str,
    text: String,
    is_running: bool,
    checked: u64,
    total: u64,
}

#[derive(Template)]
#[template(path = "admin/audit.html")]
struct AuditPage {
    page: Chrome,
    question: Question,
    errors: Errors,
    actors: Vec<Choice>,
    actions: Vec<Choice>,
    lines: Vec<Line>,
    is_filtered: bool,
    first: String,
    next: Option<String>,
    export: String,
    check: Check,
}

fn query(question: &Question, before: &str) -> String {
    let Question { actor, action, text, from, to, .. } = question;
    let fields = [("actor", actor.as_str()), ("action", action), ("text", text), ("from", from), ("to", to), ("before", before)];
    let query = serde_urlencoded::to_string(fields.into_iter().filter(|(_, value)| !value.is_empty()).collect::<Vec<_>>()).unwrap_or_default();
    if query.is_empty() { query } else { format!("?{query}") }
}

fn choices(known: Vec<String>, chosen: &str, text: fn(&str) -> String) -> Vec<Choice> {
    known.into_iter().map(|value| Choice { text: text(&value), is_chosen: value == chosen, value }).collect()
}

/// `GET /admin/audit`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest, question: Query<Question>) -> PageResult {
    let page_around = Chrome::of(&context, &request, &caller, SECTION, "Audit").await?;
    let (question, now) = (question.into_inner(), context.clock.now_seconds());
    let (actors, actions) = context.read(|reader| Ok((list_actors(reader)?, list_actions(reader)?))).await?;
    let (filter, errors) = match question.filter() {
        Ok(filter) => (Some(filter), Errors::default()),
        Err(errors) => (None, Errors::all(errors)),
    };
    let (entries, next) = match filter {
        Some(filter) => api::read_page(&context, filter, PAGE).await?,
        None => (Vec::new(), None),
    };
    let line = |entry: crate::store::audit::Entry| Line {
        at: When::of(&page_around, entry.stamp.div_euclid(1_000_000), now),
        actor: entry.actor,
        action: words(&entry.action),
        subject: entry.subject,
        detail: entry.detail,
        address: entry.address,
    };
    let lines = entries.into_iter().map(line).collect();
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let template = AuditPage {
        actors: choices(actors, &question.actor, str::to_owned),
        actions: choices(actions, &question.action, words),
        lines,
        is_filtered: !query(&question, "").is_empty(),
        first: query(&question, ""),
        next: next.map(|before| query(&question, &before)),
        export: query(&question, ""),
        check: told(&page_around, context.chain_check.state(), now),
        errors,
        question,
        page: page_around,
    };
    Ok(page_with(status, &template)?)
}

fn told(page: &Chrome, state: State, now: i64) -> Check {
    let check = |class, text| Check { class, text, is_running: false, checked: 0, total: 0 };
    let at = |seconds| {
        let when = When::of(page, seconds, now);
        format!("{} UTC ({})", when.utc, when.distance)
    };
    match state {
        State::Never => check("", "Not checked since this server started.".to_owned()),
        State::Running { checked, total, .. } => Check {
            class: "",
            text: format!("Checking: {} of {} so far, all in order. It goes on when you leave this page.", number(checked), count(total, "fact")),
            is_running: true,
            checked,
            total: total.max(1),
        },
        State::InOrder { ended_at, checked } => check("good", format!("Checked {} at {}: in order.", count(checked, "fact"), at(ended_at))),
        State::Broken { ended_at, detail } => check(
            "bad",
            format!(
                "Broken, as found at {}: {detail}. Somebody changed the database, or its file is damaged: keep a copy of the data directory and ask for help.",
                at(ended_at)
            ),
        ),
        State::Failed { ended_at, detail } => check("bad", format!("The check at {} could not be done: {detail}.", at(ended_at))),
    }
}

/// `GET /admin/audit/export`
pub async fn export(caller: Caller, context: Data<Context>, question: Query<Question>) -> PageResult {
    Ok(api::export(caller, context, question).await?)
}

/// `POST /admin/audit/check`
pub async fn check(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    Fields::of_caller(&context, &caller, &request, payload).await?;
    api::check(&context, &caller).await?;
    Ok(go(SECTION, "The check of the journal has begun."))
}
