//! This server and its partner, as they truly stand.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::http::Context;
use crate::http::problem::Failure;
use crate::protocol::Problem;
use crate::replication::join::Progress;
use crate::replication::roles::{Assignment, Role};
use crate::store::{Command, Error, Ledger};

/// What is known of this server.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServerRow {
    /// Its UUID.
    pub server_uuid: String,
    /// `primary` or `standby`.
    pub role: String,
    /// What it does: `serving`, `handing_over`, `following`, `catching_up`, `rehearsing`, `stopping`.
    pub doing: String,
    /// Whether it serves devices.
    pub serving: bool,
    /// Counts changes of who serves.
    pub epoch: u64,
    /// Its version.
    pub version: String,
    /// Since when it runs.
    pub started_at: String,
    /// Where its data is.
    pub data_directory: String,
    /// How large its database is on the disk, in bytes.
    pub database_bytes: u64,
    /// How many facts it recorded.
    pub facts: u64,
    /// When it recorded the last one, if any.
    pub last_fact_at: Option<String>,
}

/// What is known of the partner.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PartnerRow {
    /// Its UUID.
    pub server_uuid: String,
    /// Where it answers.
    pub urls: Vec<String>,
    /// Seconds since it was last heard; `null`: not since this server started.
    pub heard_seconds_ago: Option<i64>,
    /// `primary` or `standby`, as it last said.
    pub role: Option<String>,
    /// What it does, as it last said.
    pub doing: Option<String>,
    /// Its version, as it last said.
    pub version: Option<String>,
    /// Facts that this server holds and it lacks.
    pub lacks: u64,
    /// Facts that it holds and this server lacks.
    pub ahead: u64,
    /// Whether the installed licenses name it: until they do, it holds a copy but cannot serve.
    pub is_licensed: bool,
    /// When facts were last taken from it.
    pub last_sync_at: Option<String>,
    /// What went wrong then.
    pub last_sync_error: Option<String>,
}

/// Something that happened to the roles.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NoteRow {
    /// When.
    pub at: String,
    /// What.
    pub text: String,
}

/// The servers of the site.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StandbyAnswer {
    /// This server.
    pub this: ServerRow,
    /// Its partner; `null`: none is paired.
    pub partner: Option<PartnerRow>,
    /// Facts that are on this server alone.
    pub facts_at_risk: u64,
    /// What happened to the roles since this server started, oldest first.
    pub notes: Vec<NoteRow>,
    /// How far this server is with joining another one.
    pub joining: Option<Progress>,
}

/// Asks the writer, which knows without looking.
struct ReadHead;

impl Command for ReadHead {
    type Answer = (u64, i64);

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let catalog = ledger.catalog()?;
        let missing: u64 = catalog.gaps().iter().filter(|gap| gap.origin == ledger.origin()).map(|gap| gap.resumed - gap.held - 1).sum();
        Ok((ledger.sequence() - missing, ledger.recorded_at()))
    }
}

const fn doing_of(role: Role) -> &'static str {
    match role {
        Role::Serving => "serving",
        Role::HandingOver => "handing_over",
        Role::Following => "following",
        Role::CatchingUp => "catching_up",
        Role::Rehearsing => "rehearsing",
        Role::Stopping | Role::Stopped => "stopping",
    }
}

const fn role_of(assignment: Assignment) -> &'static str {
    match assignment {
        Assignment::Alone | Assignment::Primary => "primary",
        Assignment::Standby | Assignment::Retired => "standby",
    }
}

/// How the servers of the site stand.
pub async fn standing(context: &Data<Context>) -> Result<StandbyAnswer, Failure> {
    let (facts, recorded_at) = context.writer().submit(ReadHead).await?;
    let keeper = context.keeper.clone();
    let view = actix_web::web::block(move || keeper.view()).await.map_err(|_| Error::Stopped)??;
    let database = context.data.join("tollkeeper.db");
    let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let this = ServerRow {
        server_uuid: context.site.uuid().to_string(),
        role: view.role_name.to_owned(),
        doing: doing_of(view.heartbeat.role).to_owned(),
        serving: view.heartbeat.role.serves(),
        epoch: view.heartbeat.standing.epoch,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: rfc3339(context.started_at),
        data_directory: std::path::absolute(&context.data).unwrap_or_else(|_| context.data.clone()).display().to_string(),
        database_bytes: size(&database) + size(&database.with_extension("db-wal")),
        facts,
        last_fact_at: (facts > 0).then(|| rfc3339(recorded_at)),
    };
    let partner = view.pairing.as_ref().map(|pairing| {
        let heard = view.heard.as_ref();
        let sync = view.last_sync.as_ref();
        PartnerRow {
            server_uuid: pairing.partner.server.uuid.to_string(),
            urls: pairing.partner.urls.clone(),
            heard_seconds_ago: heard.map(|(_, ago)| *ago),
            role: heard.map(|(beat, _)| role_of(beat.heartbeat.standing.assignment).to_owned()),
            doing: heard.map(|(beat, _)| doing_of(beat.heartbeat.role).to_owned()),
            version: heard.map(|(beat, _)| beat.version.clone()),
            lacks: view.missing.0,
            ahead: view.missing.1,
            is_licensed: context.site.is_licensed(pairing.partner.server.uuid),
            last_sync_at: sync.map(|(at, _)| rfc3339(*at)),
            last_sync_error: sync.and_then(|(_, result)| result.clone().err()),
        }
    });
    let joining = Some(context.joining.progress()).filter(|progress| !progress.step.is_empty());
    let facts_at_risk = if partner.is_some() { view.missing.0 } else { facts };
    let notes = view.notes.iter().map(|(at, text)| NoteRow { at: rfc3339(*at), text: text.clone() }).collect();
    Ok(StandbyAnswer { this, partner, facts_at_risk, notes, joining })
}

/// `GET /standby`
#[utoipa::path(get, path = "/api/v1/admin/standby", tag = "servers", security(("bearer" = [])), responses(
    (status = 200, description = "This server, its partner, and what would be lost now", body = StandbyAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(context: Data<Context>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(standing(&context).await?))
}
