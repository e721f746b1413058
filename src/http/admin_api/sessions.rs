//! Who is logged in to the pages.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::remember;
use crate::clock::rfc3339;
use crate::http::Context;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::http::session::Session;
use crate::protocol::Problem;
use crate::store::accounts;

/// A session in a listing.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionRow {
    /// Names it where it can be ended.
    pub id: Uuid,
    /// Whose it is.
    pub user: String,
    /// When it began.
    pub began_at: String,
    /// When it was last used.
    pub used_at: String,
    /// The network address it was begun from.
    pub address: String,
    /// The browser, as it calls itself.
    pub browser: String,
    /// Whether it is the one that asks.
    pub is_own: bool,
}

/// The sessions there are, with their users, latest use first.
pub async fn find_all(context: &Context) -> Result<Vec<(Session, String)>, Failure> {
    let users = context.read(|reader| accounts::list_users(reader)).await?;
    let sessions = context.sessions.list(context.clock.now_seconds());
    let whose = |session: Session| Some((users.iter().find(|user| session.belongs_to(user))?.name.clone(), session));
    Ok(sessions.into_iter().filter_map(whose).map(|(user, session)| (session, user)).collect())
}

/// `GET /sessions`
#[utoipa::path(get, path = "/api/v1/admin/sessions", tag = "users", security(("bearer" = [])), responses(
    (status = 200, description = "Who is logged in, latest use first", body = Vec<SessionRow>),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(caller: Caller, context: Data<Context>) -> Result<HttpResponse, Failure> {
    let own = caller.session.map(|session| session.id);
    let row = |(session, user): (Session, String)| SessionRow {
        id: session.id,
        user,
        began_at: rfc3339(session.began_at),
        used_at: rfc3339(session.used_at),
        address: session.address,
        browser: session.browser,
        is_own: Some(session.id) == own,
    };
    Ok(HttpResponse::Ok().json(find_all(&context).await?.into_iter().map(row).collect::<Vec<_>>()))
}

/// Ends a session.
///
/// # Errors
/// There is none with this id.
pub async fn end_one(context: &Context, caller: &Caller, id: Uuid) -> Result<(), Failure> {
    let whose = find_all(context).await?.into_iter().find(|(session, _)| session.id == id).map(|(_, user)| user);
    let (Some(user), Some(_)) = (whose, context.sessions.end_by_id(id)) else {
        return Err(crate::commands::Refusal::NotFound("this session is over already".to_owned()).into());
    };
    remember(context, caller, "session_ended", format!("user {user}"), String::new()).await
}

/// `DELETE /sessions/{id}`
#[utoipa::path(delete, path = "/api/v1/admin/sessions/{id}", tag = "users", security(("bearer" = [])), params(("id" = String, Path, description = "The id of the session")), responses(
    (status = 204, description = "The session is over"),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn end(caller: Caller, context: Data<Context>, id: Path<String>) -> Result<HttpResponse, Failure> {
    let id = Uuid::try_parse(&id).map_err(|_| Failure::malformed("id", "is not the id of a session: GET /sessions lists them"))?;
    end_one(&context, &caller, id).await?;
    Ok(HttpResponse::NoContent().finish())
}
