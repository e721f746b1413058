//! How much the server's log tells, until its next start.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit::remember;
use crate::http::Context;
use crate::http::body::read_json;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::log;
use crate::protocol::{ErrorCode, Problem};
use crate::settings::LogLevel;

/// A level.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LevelBody {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
}

/// `GET /log-level`
#[utoipa::path(get, path = "/api/v1/admin/log-level", tag = "settings", security(("bearer" = [])), responses(
    (status = 200, description = "How much the log tells", body = LevelBody),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show() -> Result<HttpResponse, Failure> {
    let level = log::level().ok_or_else(no_log)?;
    Ok(HttpResponse::Ok().json(LevelBody { level: level.as_str().to_owned() }))
}

/// `PUT /log-level`
#[utoipa::path(put, path = "/api/v1/admin/log-level", tag = "settings", security(("bearer" = [])), request_body = LevelBody, responses(
    (status = 204, description = "The log tells so much until the server's next start"),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn change(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: LevelBody = read_json(&context, &request, payload).await?;
    let told = || Failure::malformed("level", format!("'{}' is no level: give {}", crate::licensing::id::shorten(&body.level), LogLevel::NAMES));
    let level = LogLevel::find(&body.level).ok_or_else(told)?;
    if !log::set_level(level) {
        return Err(no_log());
    }
    remember(&context, &caller, "log_level_changed", "log".to_owned(), level.as_str().to_owned()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A server inside another program writes no log of its own.
fn no_log() -> Failure {
    Failure::new(ErrorCode::Malformed, "no server runs here that writes a log").with_status(actix_web::http::StatusCode::CONFLICT)
}
