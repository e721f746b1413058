//! Tokens for programs: shown once, kept as a hash.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::commands::Refusal;
use crate::commands::tokens::{AddToken, DeleteToken, TokenText};
use crate::http::Context;
use crate::http::body::read_json;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::protocol::Problem;
use crate::store::accounts::{self, Role};

/// What may be done with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Look at everything.
    Read,
    /// Change everything.
    Write,
}

impl Scope {
    /// Its name, as the API writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    /// The scope of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Read, Self::Write].into_iter().find(|scope| scope.name() == name)
    }

    const fn role(self) -> Role {
        match self {
            Self::Read => Role::Viewer,
            Self::Write => Role::Admin,
        }
    }

    /// The scope that a role stands for.
    pub const fn of(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Read,
            Role::Admin => Self::Write,
        }
    }
}

/// A token in a listing.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenRow {
    /// What it is for.
    pub name: String,
    /// What may be done with it.
    pub scope: Scope,
    /// When it was made.
    pub created_at: String,
    /// When it was last used, if it ever was; whole minutes.
    pub last_used_at: Option<String>,
}

/// A token to make.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenBody {
    /// What it is for.
    pub name: String,
    /// What may be done with it.
    pub scope: Scope,
}

/// A token that was made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MadeToken {
    /// What it is for.
    pub name: String,
    /// What may be done with it.
    pub scope: Scope,
    /// Its text, which nobody can show again.
    pub token: String,
}

/// A token with its last use, seconds since 1970.
pub async fn find_all(context: &Context) -> Result<Vec<(accounts::Token, Option<i64>)>, Failure> {
    let uses = context.sessions.token_uses();
    let tokens = context.read(|reader| accounts::list_tokens(reader)).await?;
    Ok(tokens.into_iter().map(|token| (token.clone(), uses.get(&token.token_id).copied())).collect())
}

/// `GET /tokens`
#[utoipa::path(get, path = "/api/v1/admin/tokens", tag = "users", security(("bearer" = [])), responses(
    (status = 200, description = "The tokens, without their texts", body = Vec<TokenRow>),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(context: Data<Context>) -> Result<HttpResponse, Failure> {
    let row = |(token, used): (accounts::Token, Option<i64>)| TokenRow {
        name: token.name,
        scope: Scope::of(token.role),
        created_at: rfc3339(token.created_stamp.div_euclid(1_000_000)),
        last_used_at: used.map(rfc3339),
    };
    Ok(HttpResponse::Ok().json(find_all(&context).await?.into_iter().map(row).collect::<Vec<_>>()))
}

/// Makes a token.
pub async fn make(context: &Context, caller: &Caller, body: TokenBody) -> Result<Result<MadeToken, Refusal>, Failure> {
    let text = TokenText::generate();
    let command = AddToken { name: body.name, role: body.scope.role(), digest: TokenText::digest(text.text()), by: caller.name.clone() };
    let made = context.writer().submit(command).await?;
    Ok(made.map(|token| MadeToken { name: token.name, scope: body.scope, token: text.text().to_owned() }))
}

/// `POST /tokens`: the answer is the only place where the token's text ever stands.
#[utoipa::path(post, path = "/api/v1/admin/tokens", tag = "users", security(("bearer" = [])), request_body = TokenBody, responses(
    (status = 201, description = "The token with its text, which nobody can show again", body = MadeToken),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn add(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: TokenBody = read_json(&context, &request, payload).await?;
    let made = make(&context, &caller, body).await??;
    Ok(HttpResponse::Created().insert_header((actix_web::http::header::CACHE_CONTROL, "no-store")).json(made))
}

/// `DELETE /tokens/{name}`
#[utoipa::path(delete, path = "/api/v1/admin/tokens/{name}", tag = "users", security(("bearer" = [])), params(("name" = String, Path, description = "The name")), responses(
    (status = 204, description = "The token is refused from now on"),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn delete(caller: Caller, context: Data<Context>, name: Path<String>) -> Result<HttpResponse, Failure> {
    context.writer().submit(DeleteToken { name: name.into_inner(), by: caller.name }).await??;
    Ok(HttpResponse::NoContent().finish())
}
