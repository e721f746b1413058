//! This server and its partner, as they truly stand.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::http::Context;
use crate::http::problem::Failure;
use crate::protocol::Problem;
use crate::store::{Command, Error, Ledger};

/// What is known of this server.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServerRow {
    /// Its UUID.
    pub server_uuid: String,
    /// `primary`.
    pub role: String,
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

/// The servers of the site.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StandbyAnswer {
    /// This server.
    pub this: ServerRow,
    /// Its partner; `null`: none is paired.
    pub partner: Option<ServerRow>,
    /// Facts that are on this server alone.
    pub facts_at_risk: u64,
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

/// How the servers of the site stand.
pub async fn standing(context: &Context) -> Result<StandbyAnswer, Failure> {
    let (facts, recorded_at) = context.writer().submit(ReadHead).await?;
    let database = context.data.join("tollkeeper.db");
    let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let this = ServerRow {
        server_uuid: context.site.uuid().to_string(),
        role: "primary".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: rfc3339(context.started_at),
        data_directory: std::path::absolute(&context.data).unwrap_or_else(|_| context.data.clone()).display().to_string(),
        database_bytes: size(&database) + size(&database.with_extension("db-wal")),
        facts,
        last_fact_at: (facts > 0).then(|| rfc3339(recorded_at)),
    };
    Ok(StandbyAnswer { this, partner: None, facts_at_risk: facts })
}

/// `GET /standby`
#[utoipa::path(get, path = "/api/v1/admin/standby", tag = "servers", security(("bearer" = [])), responses(
    (status = 200, description = "This server, its partner, and what would be lost now", body = StandbyAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(context: Data<Context>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(standing(&context).await?))
}
