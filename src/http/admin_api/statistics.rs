//! What was used (domain §6).

use std::collections::BTreeMap;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::commands::handshake;
use crate::commands::issue_statement::IssueStatement;
use crate::http::Context;
use crate::http::body::read_json;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::http::query::Query;
use crate::licensing::{ItemId, OrganizationId};
use crate::protocol::Problem;
use crate::store::catalog::Catalog;
use crate::store::usage::{self, Scope};

/// Whose use, and when. Days are UTC, both included.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Question {
    /// Only this handshake code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake: Option<String>,
    /// Only this item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u64>,
    /// First day, `2026-11-22`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NaiveDate>,
    /// Last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<NaiveDate>,
}

/// What was used.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageRow {
    /// Units of all types.
    pub total: u64,
    /// Units by type.
    pub by_type: BTreeMap<String, u64>,
    /// Pages by module, where reports name one.
    #[serde(default)]
    pub by_module: BTreeMap<String, u64>,
    /// Devices that reported use.
    pub devices: u64,
    /// How authorizations went.
    pub authorizations: Authorizations,
}

/// How authorizations went.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Authorizations {
    /// Granted.
    pub granted: u64,
    /// Refused.
    pub refused: u64,
}

/// Which usage statement to make.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StatementRequest {
    /// First day, UTC.
    #[schema(value_type = String, format = Date)]
    pub from: NaiveDate,
    /// Last day, UTC.
    #[schema(value_type = String, format = Date)]
    pub to: NaiveDate,
    /// The organization; may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub organization_id: Option<OrganizationId>,
    /// The key of the vendor; may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
}

/// A usage statement.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StatementAnswer {
    /// The signed file, armored.
    pub file: String,
}

/// `POST /statistics/statements`: makes a usage statement, and remembers it for the next.
#[utoipa::path(post, path = "/api/v1/admin/statistics/statements", tag = "statistics", security(("bearer" = [])), request_body = StatementRequest, responses(
    (status = 200, description = "The signed usage statement", body = StatementAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn issue_statement(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let StatementRequest { from, to, organization_id: organization, vendor } = read_json(&context, &request, payload).await?;
    let command = IssueStatement { site: context.site.clone(), organization, vendor, from, to, by: caller.name };
    let issued = context.writer().submit(command).await??;
    Ok(HttpResponse::Ok().json(StatementAnswer { file: issued.seal()? }))
}

/// `GET /statistics`
#[utoipa::path(get, path = "/api/v1/admin/statistics", tag = "statistics", security(("bearer" = [])), params(
    ("handshake" = Option<String>, Query, description = "Only this handshake code"),
    ("item" = Option<u64>, Query, description = "Only this item"),
    ("from" = Option<String>, Query, description = "First day, UTC, such as 2026-11-22"),
    ("to" = Option<String>, Query, description = "Last day"),
), responses(
    (status = 200, description = "What was used", body = UsageRow),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(context: Data<Context>, question: Query<Question>) -> Result<HttpResponse, Failure> {
    let question = question.into_inner();
    if let (Some(from), Some(to)) = (question.from, question.to)
        && from > to
    {
        return Err(Failure::malformed("from", "is later than `to`: exchange them"));
    }
    let usage = context
        .read(move |reader| {
            let catalog = Catalog::load(reader)?;
            let code = match question.handshake.as_deref().map(|name| handshake::find(&catalog, name)).transpose() {
                Ok(code) => code.map(|code| code.code_id),
                Err(refusal) => return Ok(Err(refusal)),
            };
            let item = question.item.map(ItemId);
            if let Some(id) = item.filter(|id| catalog.find_item(*id).is_none()) {
                return Ok(Err(crate::commands::Refusal::NotFound(format!("item {id} is not installed: `license list` shows the items"))));
            }
            let day = |date: NaiveDate| i64::from(date.to_epoch_days());
            let scope = Scope { code, item, from_day: question.from.map_or(i64::MIN, day), to_day: question.to.map_or(i64::MAX, day) };
            usage::read(reader, scope).map(Ok)
        })
        .await??;
    Ok(HttpResponse::Ok().json(UsageRow {
        total: usage.by_type.values().sum(),
        by_type: usage.by_type,
        by_module: usage.by_module,
        devices: usage.devices,
        authorizations: Authorizations { granted: usage.granted, refused: usage.refused },
    }))
}
