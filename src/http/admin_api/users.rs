//! Who may log in to the pages.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::commands::Refusal;
use crate::commands::users::{AddUser, ChangeUser, DeleteUser, HashedPassword, ResetPassword};
use crate::http::Context;
use crate::http::body::read_json;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::http::routes::AdminSocket;
use crate::protocol::{ErrorCode, Problem};
use crate::store::accounts::{self, Role, User};

/// A user in a listing.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UserRow {
    /// The name to log in with.
    pub name: String,
    /// `admin` or `viewer`.
    #[schema(value_type = String)]
    pub role: Role,
    /// When the user was made.
    pub created_at: String,
}

impl UserRow {
    fn of(user: User) -> Self {
        Self { name: user.name, role: user.role, created_at: rfc3339(user.created_stamp.div_euclid(1_000_000)) }
    }
}

/// A user to make.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UserBody {
    /// The name to log in with.
    pub name: String,
    /// What the user may do.
    #[schema(value_type = String)]
    pub role: Role,
    /// The password.
    pub password: String,
}

/// What changes of a user.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct UserChanges {
    /// What the user may do from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub role: Option<Role>,
    /// A new password; it ends the user's sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// A new password.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PasswordBody {
    /// The password.
    pub password: String,
}

/// `GET /users`
#[utoipa::path(get, path = "/api/v1/admin/users", tag = "users", security(("bearer" = [])), responses(
    (status = 200, description = "Who may log in", body = Vec<UserRow>),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(context: Data<Context>) -> Result<HttpResponse, Failure> {
    let users = context.read(|reader| accounts::list_users(reader)).await?;
    Ok(HttpResponse::Ok().json(users.into_iter().map(UserRow::of).collect::<Vec<_>>()))
}

/// Checks and hashes a new password, which takes a while: off the event loop.
///
/// # Errors
/// The server is stopping.
pub async fn hash(password: String) -> Result<Result<HashedPassword, Refusal>, Failure> {
    Ok(actix_web::web::block(move || HashedPassword::of(&password)).await.map_err(|_| crate::store::Error::Stopped)?)
}

/// Makes a user.
pub async fn make(context: &Context, caller: &Caller, body: UserBody) -> Result<Result<User, Refusal>, Failure> {
    match hash(body.password).await? {
        Ok(password) => Ok(context.writer().submit(AddUser { name: body.name, role: body.role, password, by: caller.name.clone() }).await?),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// `POST /users`
#[utoipa::path(post, path = "/api/v1/admin/users", tag = "users", security(("bearer" = [])), request_body = UserBody, responses(
    (status = 201, description = "The user", body = UserRow),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn add(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: UserBody = read_json(&context, &request, payload).await?;
    let user = make(&context, &caller, body).await??;
    Ok(HttpResponse::Created().json(UserRow::of(user)))
}

/// Changes a user.
pub async fn edit(context: &Context, caller: &Caller, name: String, changes: UserChanges) -> Result<Result<User, Refusal>, Failure> {
    let password = match changes.password {
        Some(password) => match hash(password).await? {
            Ok(password) => Some(password),
            Err(refusal) => return Ok(Err(refusal)),
        },
        None => None,
    };
    Ok(context.writer().submit(ChangeUser { name, role: changes.role, password, by: caller.name.clone() }).await?)
}

/// `PATCH /users/{name}`
#[utoipa::path(patch, path = "/api/v1/admin/users/{name}", tag = "users", security(("bearer" = [])), request_body = UserChanges, params(("name" = String, Path, description = "The name")), responses(
    (status = 200, description = "The user as it is now", body = UserRow),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn change(caller: Caller, context: Data<Context>, name: Path<String>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let changes: UserChanges = read_json(&context, &request, payload).await?;
    if changes.role.is_none() && changes.password.is_none() {
        return Err(Failure::malformed("role", "and password are both missing: name at least one of them"));
    }
    let user = edit(&context, &caller, name.into_inner(), changes).await??;
    Ok(HttpResponse::Ok().json(UserRow::of(user)))
}

/// `DELETE /users/{name}`: the user's sessions end at once.
#[utoipa::path(delete, path = "/api/v1/admin/users/{name}", tag = "users", security(("bearer" = [])), params(("name" = String, Path, description = "The name")), responses(
    (status = 204, description = "The user is deleted, all sessions of it are over"),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn delete(caller: Caller, context: Data<Context>, name: Path<String>) -> Result<HttpResponse, Failure> {
    context.writer().submit(DeleteUser { name: name.into_inner(), by: caller.name }).await??;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /users/{name}/reset`: the way back in, for the server's own console alone.
#[utoipa::path(post, path = "/api/v1/admin/users/{name}/reset", tag = "users", security(("bearer" = [])), request_body = PasswordBody, params(("name" = String, Path, description = "The name")), responses(
    (status = 200, description = "The user has this password and is an administrator; on the admin socket only", body = UserRow),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn reset(caller: Caller, context: Data<Context>, name: Path<String>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    if request.conn_data::<AdminSocket>().is_none() {
        let detail = "a lost password is reset on the server itself: tollkeeper admin reset-password";
        return Err(Failure::new(ErrorCode::NotAuthorized, detail).with_status(StatusCode::FORBIDDEN));
    }
    let PasswordBody { password } = read_json(&context, &request, payload).await?;
    let password = hash(password).await??;
    let user = context.writer().submit(ResetPassword { name: name.into_inner(), password, by: caller.name }).await??;
    Ok(HttpResponse::Ok().json(UserRow::of(user)))
}
