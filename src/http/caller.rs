//! Who asks for administration: the server's own console (by the socket), a program with a
//! token, or somebody who is logged in. Viewers look; only administrators change.

use std::future::{Ready, ready};

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest};

use super::Context;
use super::problem::Failure;
use super::routes::AdminSocket;
use super::session::{COOKIE, Session};
use crate::commands::tokens::TokenText;
use crate::protocol::ErrorCode;
use crate::store::accounts::{self, Role};
use crate::store::{Command, Ledger};

/// The row of `local` with the last uses of tokens, JSON.
pub const TOKEN_USES_ROW: &str = "token uses";

/// What whoever may open the socket is called, for the record.
pub const CONSOLE: &str = "console";

/// Whoever asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The name, for the record: `console`, `token NAME`, or a user's.
    pub name: String,
    /// What may be done.
    pub role: Role,
    /// The session of somebody who is logged in.
    pub session: Option<Session>,
    /// The network address; empty for the console.
    pub address: String,
}

impl Caller {
    /// Whoever may open the socket acts for the console.
    pub fn console() -> Self {
        Self { name: CONSOLE.to_owned(), role: Role::Admin, session: None, address: String::new() }
    }

    /// Whether this one may change things.
    pub fn may_change(&self) -> bool {
        self.role == Role::Admin
    }
}

impl FromRequest for Caller {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // Every path of the administration runs behind `identify` or the pages' guard.
        ready(request.extensions().get::<Self>().cloned().ok_or_else(|| unknown("log in, or send a token as 'Authorization: Bearer …'")))
    }
}

fn unknown(detail: &str) -> Failure {
    Failure::new(ErrorCode::NotAuthorized, detail).with_status(StatusCode::UNAUTHORIZED)
}

/// The address of whoever asks, as far as this server sees it.
pub fn address_of(request: &HttpRequest) -> String {
    request.peer_addr().map(|address| address.ip().to_string()).unwrap_or_default()
}

/// Somebody who is logged in.
pub async fn find_user(context: &Context, request: &HttpRequest, touch: bool) -> Result<Option<Caller>, Failure> {
    let Some(cookie) = request.cookie(COOKIE) else { return Ok(None) };
    let Some(session) = context.sessions.find(cookie.value(), context.clock.now_seconds(), touch) else { return Ok(None) };
    let users = context.read(|reader| accounts::list_users(reader)).await?;
    let Some(user) = users.into_iter().find(|user| session.belongs_to(user)) else {
        context.sessions.end(cookie.value());
        return Ok(None);
    };
    Ok(Some(Caller { name: user.name, role: user.role, session: Some(session), address: address_of(request) }))
}

/// Lets in those who may: for every path of the admin API.
pub async fn identify(context: Data<Context>, request: ServiceRequest, next: Next<impl MessageBody>) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let caller = find(&context, request.request()).await?;
    let is_reading = [Method::GET, Method::HEAD].contains(request.method());
    if !is_reading && !caller.may_change() {
        let detail = format!("{} may look but not change anything: ask an administrator, or use a token with the scope 'write'", caller.name);
        return Err(Failure::new(ErrorCode::NotAuthorized, detail).with_status(StatusCode::FORBIDDEN).into());
    }
    if let Some(session) = caller.session.as_ref().filter(|_| !is_reading) {
        let given = request.headers().get("x-csrf-token").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !is_same(given, &session.csrf) {
            return Err(Failure::new(ErrorCode::NotAuthorized, "the header X-CSRF-Token of this session is missing: reload the page")
                .with_status(StatusCode::FORBIDDEN)
                .into());
        }
    }
    if !is_reading {
        check_standby(&context, request.path())?;
    }
    request.extensions_mut().insert(caller);
    next.call(request).await
}

/// What may be changed on a standby while the primary serves: what is this machine's own.
const OF_THIS_MACHINE: &[&str] = &[
    "/api/v1/admin/standby",
    "/api/v1/admin/backups",
    "/api/v1/admin/certificate",
    "/api/v1/admin/sessions",
    "/api/v1/admin/audit",
    "/api/v1/admin/log-level",
    "/api/v1/admin/alerts/test",
    "/admin/alerts/test",
    "/admin/servers",
    "/admin/logout",
    "/admin/security/sessions",
    "/admin/security/certificate",
    "/admin/audit",
];

/// Refuses to change what the primary has to change.
pub fn check_standby(context: &Context, path: &str) -> Result<(), Failure> {
    let Some(refusal) = context.site.find_refusal() else { return Ok(()) };
    if OF_THIS_MACHINE.iter().any(|own| path.starts_with(own)) {
        return Ok(());
    }
    let detail = format!("{refusal}; what is set up is changed on the server that serves, and comes to the other one by itself");
    Err(Failure::new(ErrorCode::NotServing, detail).with_status(StatusCode::CONFLICT))
}

async fn find(context: &Context, request: &HttpRequest) -> Result<Caller, Failure> {
    if request.conn_data::<AdminSocket>().is_some() {
        return Ok(Caller::console());
    }
    if let Some(value) = request.headers().get(header::AUTHORIZATION) {
        let text = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
        let Some(text) = text else { return Err(unknown("send the token as 'Authorization: Bearer …'")) };
        let digest = TokenText::digest(text.trim());
        let tokens = context.read(|reader| accounts::list_tokens(reader)).await?;
        let Some(token) = tokens.into_iter().find(|token| token.digest == digest) else {
            return Err(unknown("this token is unknown or was deleted: make a new one on the page 'Security'"));
        };
        if context.sessions.use_token(token.token_id, context.clock.now_seconds()) {
            context.writer().submit(KeepTokenUses(serde_json::to_vec(&context.sessions.token_uses()).unwrap_or_default())).await?;
        }
        return Ok(Caller { name: format!("token {}", token.name), role: token.role, session: None, address: address_of(request) });
    }
    // What pages ask for by themselves does not keep a session from ending.
    find_user(context, request, false).await?.ok_or_else(|| unknown("log in, or send a token as 'Authorization: Bearer …'"))
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
pub fn is_same(one: &str, other: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

struct KeepTokenUses(Vec<u8>);

impl Command for KeepTokenUses {
    type Answer = ();

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<(), crate::store::Error> {
        ledger.put_local(TOKEN_USES_ROW, &self.0)
    }
}
