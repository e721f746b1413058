//! This server, its partner and its backups, as they truly stand (pages, "Servers").

use actix_web::HttpRequest;
use actix_web::web::Data;
use askama::Template;

use super::chrome::{Chrome, PageResult, number, page};
use super::shown::{When, size};
use crate::http::Context;
use crate::http::admin_api::servers::{find_backups, standing};
use crate::http::caller::Caller;

const SECTION: &str = "/admin/servers";

struct Backup {
    name: String,
    size: String,
    written: String,
}

#[derive(Template)]
#[template(path = "admin/servers.html")]
struct ServersPage {
    page: Chrome,
    server_uuid: String,
    version: String,
    started: When,
    data_directory: String,
    database_size: String,
    facts: String,
    last_fact: String,
    backup_directory: String,
    backups: Vec<Backup>,
}

/// `GET /admin/servers`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    let page_around = Chrome::of(&context, &request, &caller, SECTION, "Servers").await?;
    let (standing, backups) = (standing(&context).await?, find_backups(&context).await?);
    let this = standing.this;
    let plain = |time: &str| time.replace('T', " ").replace('Z', "");
    let template = ServersPage {
        server_uuid: this.server_uuid,
        version: this.version,
        started: When::of(&page_around, context.started_at, context.clock.now_seconds()),
        data_directory: this.data_directory,
        database_size: size(this.database_bytes),
        facts: number(this.facts),
        last_fact: this.last_fact_at.map_or_else(String::new, |time| plain(&time)),
        backup_directory: backups.directory,
        backups: backups.files.into_iter().map(|file| Backup { name: file.name, size: size(file.bytes), written: plain(&file.written_at) }).collect(),
        page: page_around,
    };
    Ok(page(&template)?)
}
