//! This server, its partner and its backups, as they truly stand (pages, "Servers").

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload};
use askama::Template;

use super::chrome::{Chrome, PageResult, go, number, page, page_with};
use super::form::Fields;
use super::shown::{Tab, When, size, tabs};
use crate::commands::backup::{Copy, Policy, Progress, Reason};
use crate::http::Context;
use crate::http::admin_api::backups::{self, BackupBody, ContentsRow, RestoreBody};
use crate::http::admin_api::servers::standing;
use crate::http::caller::Caller;
use crate::http::problem::Failure;

const SECTION: &str = "/admin/servers";
const BACKUPS: &str = "/admin/servers/backups";
/// The parts of the page.
const TABS: &[(&str, &str)] = &[(SECTION, "Servers"), (BACKUPS, "Backups")];

#[derive(Template)]
#[template(path = "admin/servers/servers.html")]
struct ServersPage {
    page: Chrome,
    tabs: Vec<Tab>,
    server_uuid: String,
    version: String,
    started: When,
    data_directory: String,
    database_size: String,
    facts: String,
    last_fact: String,
    last_backup: Option<When>,
}

/// `GET /admin/servers`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    let page_around = Chrome::of(&context, &request, &caller, SECTION, "Servers").await?;
    let (this, now) = (standing(&context).await?.this, context.clock.now_seconds());
    let latest = backups::latest(&context).await?;
    let template = ServersPage {
        tabs: tabs(TABS, SECTION),
        server_uuid: this.server_uuid,
        version: this.version,
        started: When::of(&page_around, context.started_at, now),
        data_directory: this.data_directory,
        database_size: size(this.database_bytes),
        facts: number(this.facts),
        last_fact: this.last_fact_at.map_or_else(String::new, |time| time.replace('T', " ").replace('Z', "")),
        last_backup: latest.map(|copy| When::of(&page_around, copy.made_at, now)),
        page: page_around,
    };
    Ok(page(&template)?)
}

struct Backup {
    name: String,
    size: String,
    made: When,
    reason: &'static str,
}

#[derive(Template)]
#[template(path = "admin/servers/backups.html")]
struct BackupsPage {
    page: Chrome,
    tabs: Vec<Tab>,
    directory: String,
    every_minutes: u32,
    keep: Policy,
    running: Option<String>,
    failure: Option<(When, String)>,
    backups: Vec<Backup>,
    checked: Option<ContentsRow>,
    error: String,
}

const fn reason_text(reason: Reason) -> &'static str {
    match reason {
        Reason::Schedule => "schedule",
        Reason::Admin => "by hand",
        Reason::Upgrade => "before an upgrade",
        Reason::Replaced => "replaced by a restore",
    }
}

fn progress_text(work: &Progress) -> String {
    match (work.step, work.all) {
        ("copying", 0) => "is beginning".to_owned(),
        ("copying", all) => format!("is being copied: {} %", work.done * 100 / all),
        (_, 0) if work.done > 0 => format!("is being checked: {} facts so far", number(work.done)),
        _ => "is being checked".to_owned(),
    }
}

async fn backups_page(context: &Data<Context>, request: &HttpRequest, caller: &Caller, checked: Option<ContentsRow>, error: String) -> PageResult {
    let page_around = Chrome::of(context, request, caller, SECTION, "Backups").await?;
    let (standing, now) = (context.backups.standing(), context.clock.now_seconds());
    let found = backups::find(context).await?;
    let copies = backups::copies(context).await?;
    let row =
        |copy: Copy| Backup { size: size(copy.bytes), made: When::of(&page_around, copy.made_at, now), reason: reason_text(copy.reason), name: copy.name };
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::CONFLICT };
    let template = BackupsPage {
        tabs: tabs(TABS, BACKUPS),
        directory: found.directory,
        every_minutes: found.every_minutes,
        keep: context.backups.policy(),
        running: standing.running.as_ref().map(progress_text),
        failure: standing.last.and_then(|(at, result)| Some((When::of(&page_around, at, now), result.err()?))),
        backups: copies.into_iter().map(row).collect(),
        checked,
        error,
        page: page_around,
    };
    Ok(page_with(status, &template)?)
}

/// `GET /admin/servers/backups`
pub async fn show_backups(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    backups_page(&context, &request, &caller, None, String::new()).await
}

/// `POST /admin/servers/backups`
pub async fn make_backup(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let passphrase = Some(fields.text("passphrase")).filter(|text| !text.is_empty()).map(str::to_owned);
    match backups::begin(&context, &caller, BackupBody { passphrase }).await {
        Ok(()) => Ok(go(BACKUPS, "A backup is being made; it is in the list below when it is whole and checked.")),
        Err(failure) if failure.problem().status < 500 => backups_page(&context, &request, &caller, None, told(&failure)).await,
        Err(failure) => Err(failure.into()),
    }
}

/// `POST /admin/servers/backups/{name}/verify`
pub async fn verify_backup(caller: Caller, context: Data<Context>, request: HttpRequest, name: Path<String>, payload: Payload) -> PageResult {
    Fields::of_caller(&context, &caller, &request, payload).await?;
    match backups::check(&context, &name).await {
        Ok(contents) => backups_page(&context, &request, &caller, Some(contents), String::new()).await,
        Err(failure) if failure.problem().status < 500 => backups_page(&context, &request, &caller, None, told(&failure)).await,
        Err(failure) => Err(failure.into()),
    }
}

/// `POST /admin/servers/backups/{name}/restore`
pub async fn restore_backup(caller: Caller, context: Data<Context>, request: HttpRequest, name: Path<String>, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let passphrase = Some(fields.text("passphrase")).filter(|text| !text.is_empty()).map(str::to_owned);
    match backups::put_back(&context, &caller, &name, RestoreBody { passphrase }).await {
        Ok(()) => Ok(go(BACKUPS, format!("The backup {name} was checked, and the server begins anew with it: log in again in a moment."))),
        Err(failure) if failure.problem().status < 500 => backups_page(&context, &request, &caller, None, told(&failure)).await,
        Err(failure) => Err(failure.into()),
    }
}

fn told(failure: &Failure) -> String {
    let problem = failure.problem();
    match &problem.field {
        Some(field) => format!("The {field} {}.", problem.detail),
        None => format!("{}.", problem.detail),
    }
}
