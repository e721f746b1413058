//! This server and its partner, as they truly stand (pages, "Servers").

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use askama::Template;

use super::backups::PATH as BACKUPS;
use super::chrome::{Chrome, PageFailure, PageResult, count, go, number, page_with};
use super::form::Fields;
use super::shown::{Tab, When, size, tabs};
use crate::http::Context;
use crate::http::admin_api::backups;
use crate::http::admin_api::servers::{NoteRow, PartnerRow, StandbyAnswer, standing};
use crate::http::admin_api::standby::{self, InvitationAnswer, JoinBody};
use crate::http::caller::Caller;
use crate::http::problem::Failure;

/// The link of the navigation.
pub const SECTION: &str = "/admin/servers";
/// The parts of the page.
pub const TABS: &[(&str, &str)] = &[(SECTION, "Servers"), (BACKUPS, "Backups")];

/// The partner, ready to be shown.
struct PartnerCard {
    row: PartnerRow,
    /// In words, and the class of its tag.
    state: String,
    class: &'static str,
    heard: Option<String>,
    lacks: String,
    ahead: String,
    last_sync: Option<String>,
    /// Whether the license lets the two change their roles.
    may_swap: bool,
}

#[derive(Template)]
#[template(path = "admin/servers/servers.html")]
struct ServersPage {
    page: Chrome,
    tabs: Vec<Tab>,
    answer: StandbyAnswer,
    doing: String,
    class: &'static str,
    started: When,
    database_size: String,
    facts: String,
    last_fact: String,
    at_risk: String,
    last_backup: Option<When>,
    partner: Option<PartnerCard>,
    notes: Vec<NoteRow>,
    /// Whether nothing was set up here yet, so that it may join another server.
    may_join: bool,
    invitation: Option<InvitationAnswer>,
    url: String,
    error: String,
}

fn doing_text(doing: &str) -> (String, &'static str) {
    match doing {
        "serving" => ("serving".to_owned(), "good"),
        "following" => ("following".to_owned(), "good"),
        "rehearsing" => ("playing dead: a failover is rehearsed".to_owned(), "warn"),
        other => (other.replace('_', " "), "warn"),
    }
}

fn plain(time: &str) -> String {
    time.replace('T', " ").replace('Z', "")
}

fn card(row: PartnerRow, is_licensed: bool) -> PartnerCard {
    let (state, class) = match (&row.doing, row.heard_seconds_ago) {
        (Some(doing), Some(ago)) if ago < 30 => {
            let (text, class) = doing_text(doing);
            (format!("{}, {text}", row.role.as_deref().unwrap_or("unknown")), class)
        }
        (_, Some(ago)) => (format!("silent for {}", count(ago.max(0) as u64, "second")), "bad"),
        (_, None) => ("not heard since this server started".to_owned(), "bad"),
    };
    let heard = row.heard_seconds_ago.map(|ago| count(ago.max(0) as u64, "second"));
    let last_sync = row.last_sync_at.as_deref().map(plain);
    PartnerCard { state, class, lacks: count(row.lacks, "fact"), heard, ahead: number(row.ahead), last_sync, may_swap: is_licensed && row.is_licensed, row }
}

/// What a form of the page came to.
#[derive(Default)]
struct Outcome {
    invitation: Option<InvitationAnswer>,
    url: String,
    error: String,
}

async fn page_of(context: &Data<Context>, request: &HttpRequest, caller: &Caller, outcome: Outcome) -> PageResult {
    let page_around = Chrome::of(context, request, caller, SECTION, "Servers").await?;
    let (mut answer, now) = (standing(context).await?, context.clock.now_seconds());
    let latest = backups::latest(context).await?;
    let catalog = context.writer().catalog();
    let (doing, class) = match answer.this.doing.as_str() {
        "following" if answer.partner.is_none() => ("left its partner, does not serve".to_owned(), "bad"),
        doing => doing_text(doing),
    };
    let status = if outcome.error.is_empty() { StatusCode::OK } else { StatusCode::CONFLICT };
    let mut notes: Vec<NoteRow> = answer.notes.drain(..).map(|note| NoteRow { at: plain(&note.at), text: note.text }).collect();
    notes.reverse();
    let template = ServersPage {
        tabs: tabs(TABS, SECTION),
        doing,
        class,
        started: When::of(&page_around, context.started_at, now),
        database_size: size(answer.this.database_bytes),
        facts: number(answer.this.facts),
        last_fact: answer.this.last_fact_at.as_deref().map_or_else(String::new, plain),
        at_risk: count(answer.facts_at_risk, "fact"),
        last_backup: latest.map(|copy| When::of(&page_around, copy.made_at, now)),
        partner: answer.partner.clone().map(|row| card(row, context.site.is_licensed(context.site.uuid()))),
        notes,
        may_join: answer.partner.is_none() && catalog.licenses().next().is_none() && catalog.codes().is_empty(),
        invitation: outcome.invitation,
        url: outcome.url,
        error: outcome.error,
        answer,
        page: page_around,
    };
    Ok(page_with(status, &template)?)
}

/// `GET /admin/servers`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    page_of(&context, &request, &caller, Outcome::default()).await
}

/// Tells what was refused on the page; what is broken is broken.
async fn or_told(context: &Data<Context>, request: &HttpRequest, caller: &Caller, url: &str, done: Result<&'static str, Failure>) -> PageResult {
    match done {
        Ok(text) => Ok(go(SECTION, text)),
        Err(failure) if failure.problem().status < 500 => {
            let error = super::backups::told(&failure);
            page_of(context, request, caller, Outcome { url: url.to_owned(), error, ..Outcome::default() }).await
        }
        Err(failure) => Err(PageFailure::from(failure)),
    }
}

/// `POST /admin/servers/invite`
pub async fn invite(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    Fields::of_caller(&context, &caller, &request, payload).await?;
    match standby::make_invitation(&context, &caller).await {
        Ok(invitation) => page_of(&context, &request, &caller, Outcome { invitation: Some(invitation), ..Outcome::default() }).await,
        Err(failure) => or_told(&context, &request, &caller, "", Err(failure)).await,
    }
}

/// `POST /admin/servers/join`
pub async fn join(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let (url, token) = (fields.text("url").trim().to_owned(), fields.text("token").trim().to_owned());
    let begun = standby::begin_joining(&context, JoinBody { url: url.clone(), token }).await;
    or_told(
        &context,
        &request,
        &caller,
        &url,
        begun.map(|()| "This server takes a copy of everything and begins anew with it: log in again with the primary's users."),
    )
    .await
}

/// `POST /admin/servers/sync`
pub async fn sync(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    Fields::of_caller(&context, &caller, &request, payload).await?;
    let done = standby::exchange_now(&context).await;
    or_told(&context, &request, &caller, "", done.map(|()| "Both servers hold the same facts.")).await
}

/// `POST /admin/servers/promote`
pub async fn promote(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    Fields::of_caller(&context, &caller, &request, payload).await?;
    let done = standby::make_primary(&context, &caller).await;
    or_told(&context, &request, &caller, "", done.map(|()| "This server is the primary from now on.")).await
}

/// `POST /admin/servers/rehearse`
pub async fn rehearse(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let seconds = fields.text("seconds").trim().parse().unwrap_or(0);
    let done = standby::begin_rehearsal(&context, &caller, seconds).await;
    or_told(&context, &request, &caller, "", done.map(|()| "The failover is rehearsed: what happens is told below, and on the page of the other server.")).await
}

/// `POST /admin/servers/leave`
pub async fn leave(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let done = standby::part(&context, &caller, fields.text("force") == "yes").await;
    or_told(&context, &request, &caller, "", done.map(|()| "The two servers are no pair any more.")).await
}
