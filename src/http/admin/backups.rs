//! Backups: made, checked, downloaded, restored (pages, "Servers").

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload};
use askama::Template;

use super::chrome::{Chrome, PageResult, count, go, number, page_with};
use super::form::Fields;
use super::servers::{SECTION, TABS};
use super::shown::{Tab, When, size, tabs};
use crate::commands::backup::{Copy, Policy, Progress, Reason};
use crate::http::Context;
use crate::http::admin_api::backups::{self, BackupBody, ContentsRow, RestoreBody};
use crate::http::caller::Caller;
use crate::http::problem::Failure;

/// Where they are shown.
pub const PATH: &str = "/admin/servers/backups";

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
    not_restored: Option<(When, String)>,
    backups: Vec<Backup>,
    checked: Option<Checked>,
    error: String,
}

/// A backup that is in order.
struct Checked {
    name: String,
    facts: String,
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
    let far = match (work.step, work.done, work.all) {
        ("copying", _, 0) => "is beginning".to_owned(),
        ("copying", done, all) => format!("is being copied: {} %", done * 100 / all),
        (_, 0, _) => "is being checked: its pages".to_owned(),
        (_, done, all) => format!("is being checked: {} of {}", number(done), count(all, "fact")),
    };
    match &work.restores {
        None => format!("A backup {far}."),
        Some(name) => format!("To be restored: {name} {far}. Then the server begins anew with it: log in again in a moment."),
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
        tabs: tabs(TABS, PATH),
        directory: found.directory,
        every_minutes: found.every_minutes,
        keep: context.backups.policy(),
        running: standing.running.as_ref().map(progress_text),
        failure: standing.last.and_then(|(at, result)| Some((When::of(&page_around, at, now), result.err()?))),
        not_restored: standing.not_restored.map(|(at, error)| (When::of(&page_around, at, now), error)),
        backups: copies.into_iter().map(row).collect(),
        checked: checked.map(|contents| Checked { facts: count(contents.facts, "fact"), name: contents.name }),
        error,
        page: page_around,
    };
    Ok(page_with(status, &template)?)
}

/// `GET /admin/servers/backups`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    backups_page(&context, &request, &caller, None, String::new()).await
}

/// `POST /admin/servers/backups`
pub async fn make(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let passphrase = Some(fields.text("passphrase")).filter(|text| !text.is_empty()).map(str::to_owned);
    match backups::begin(&context, &caller, BackupBody { passphrase }).await {
        Ok(()) => Ok(go(PATH, "A backup is being made; it is in the list below when it is whole and checked.")),
        Err(failure) if failure.problem().status < 500 => backups_page(&context, &request, &caller, None, told(&failure)).await,
        Err(failure) => Err(failure.into()),
    }
}

/// `POST /admin/servers/backups/{name}/verify`
pub async fn verify(caller: Caller, context: Data<Context>, request: HttpRequest, name: Path<String>, payload: Payload) -> PageResult {
    Fields::of_caller(&context, &caller, &request, payload).await?;
    match backups::check(&context, &name).await {
        Ok(contents) => backups_page(&context, &request, &caller, Some(contents), String::new()).await,
        Err(failure) if failure.problem().status < 500 => backups_page(&context, &request, &caller, None, told(&failure)).await,
        Err(failure) => Err(failure.into()),
    }
}

/// `POST /admin/servers/backups/{name}/restore`
pub async fn restore(caller: Caller, context: Data<Context>, request: HttpRequest, name: Path<String>, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let passphrase = Some(fields.text("passphrase")).filter(|text| !text.is_empty()).map(str::to_owned);
    match backups::begin_putting_back(&context, &caller, &name, RestoreBody { passphrase }).await {
        Ok(()) => Ok(go(PATH, format!("The backup {name} is being checked. If it is in order, the server begins anew with it: log in again in a moment."))),
        Err(failure) if failure.problem().status < 500 => backups_page(&context, &request, &caller, None, told(&failure)).await,
        Err(failure) => Err(failure.into()),
    }
}

/// What was refused, as a sentence.
pub fn told(failure: &Failure) -> String {
    let problem = failure.problem();
    let text = match &problem.field {
        // The detail begins with the field's name already.
        Some(field) => problem.detail.strip_prefix(&format!("{field}: ")).map_or_else(|| problem.detail.clone(), |rest| format!("The {field} {rest}")),
        None => problem.detail.clone(),
    };
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str().trim_end_matches('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_how_far_a_check_is() {
        let at = |restores: Option<&str>, step, done, all| progress_text(&Progress { restores: restores.map(str::to_owned), step, done, all });
        assert_eq!(at(None, "copying", 1, 4), "A backup is being copied: 25 %.");
        assert_eq!(at(None, "checking", 1_000, 12_000), "A backup is being checked: 1,000 of 12,000 facts.");
        let restored = at(Some("one.db"), "checking", 0, 12_000);
        assert!(restored.starts_with("To be restored: one.db is being checked: its pages. Then the server begins anew"), "{restored}");
    }
}
