//! Two servers become a pair, change their roles, and part.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::commands::preferences::Remember;
use crate::commands::site::IDENTITY_ROW;
use crate::documents::RequestServer;
use crate::http::Context;
use crate::http::body::read_json;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::http::replication::{digest_of, keep_invitation};
use crate::protocol::{ErrorCode, Problem};
use crate::replication::join::{self, PairRequest};
use crate::replication::partner::{INVITATION_SECONDS, Invitation};
use crate::store::audit::AdminActed;
use crate::store::{Error, local};

/// How to join this server.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct InvitationAnswer {
    /// What the new server shows, once. It names this site's certificate authority, too.
    pub token: String,
    /// Until when.
    pub until: String,
    /// Where this server answers.
    pub urls: Vec<String>,
}

/// Whom to join.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JoinBody {
    /// Where the primary answers: `https://host:port`.
    pub url: String,
    /// What it printed.
    pub token: String,
}

/// How long to rehearse.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RehearsalBody {
    /// Seconds that this server plays dead: 60 to 300.
    pub seconds: i64,
}

/// How to leave.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct LeaveBody {
    /// Also when the partner does not answer.
    #[serde(default)]
    pub force: bool,
}

fn conflict(detail: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::Malformed, detail).with_status(StatusCode::CONFLICT)
}

async fn remember(context: &Data<Context>, caller: &Caller, action: &str, detail: String) -> Result<(), Failure> {
    let subject = context.keeper.pairing().map_or_else(String::new, |pairing| format!("server {}", pairing.partner.server.uuid));
    let act = AdminActed { by: caller.name.clone(), action: action.to_owned(), subject, detail, address: caller.address.clone() };
    Ok(context.writer().submit(Remember(act)).await?)
}

/// Does something that may take a while, off the event loops.
async fn with_keeper<T: Send + 'static>(
    context: &Data<Context>,
    work: impl FnOnce(&crate::replication::keeper::Keeper) -> Result<T, String> + Send + 'static,
) -> Result<T, Failure> {
    let keeper = context.keeper.clone();
    actix_web::web::block(move || work(&keeper)).await.map_err(|_| Error::Stopped)?.map_err(conflict)
}

/// Lets another server join, once, within the hour.
pub async fn make_invitation(context: &Data<Context>, caller: &Caller) -> Result<InvitationAnswer, Failure> {
    if let Some(detail) = context.site.find_refusal() {
        return Err(conflict(format!("only a server that serves can invite another one: {detail}")));
    }
    if context.keeper.pairing().is_some() {
        return Err(conflict("this server has a partner already: `tollkeeper standby leave` ends that, with --force if that one never came"));
    }
    let mut secret = [0; 32];
    rand::fill(&mut secret).map_err(|_| Failure::new(ErrorCode::NotServing, "the system gives no random numbers"))?;
    let token =
        join::write_token(&secret, &context.ca_fingerprint).ok_or_else(|| Failure::new(ErrorCode::NotServing, "the site's authority cannot be named"))?;
    let until = context.clock.now_seconds() + INVITATION_SECONDS;
    keep_invitation(context, Some(&Invitation { token_sha256: digest_of(&URL_SAFE_NO_PAD.encode(secret)), until })).await?;
    remember(context, caller, "standby_invited", String::new()).await?;
    Ok(InvitationAnswer { token, until: rfc3339(until), urls: context.server_urls.clone() })
}

/// `POST /standby/invite`
#[utoipa::path(post, path = "/api/v1/admin/standby/invite", tag = "servers", security(("bearer" = [])), responses(
    (status = 201, description = "Another server may join with this, once", body = InvitationAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn invite(caller: Caller, context: Data<Context>) -> Result<HttpResponse, Failure> {
    let invitation = make_invitation(&context, &caller).await?;
    Ok(HttpResponse::Created().insert_header((actix_web::http::header::CACHE_CONTROL, "no-store")).json(invitation))
}

/// Shows the token to the primary, and begins to take a copy of everything.
pub async fn begin_joining(context: &Data<Context>, body: JoinBody) -> Result<(), Failure> {
    let site = context.site.clone();
    let obstacle = context.read(move |reader| join::find_obstacle(reader, &site)).await?;
    if let Some(obstacle) = obstacle {
        return Err(conflict(obstacle));
    }
    let name = crate::http::tls::host_name().unwrap_or_else(|| "standby".to_owned());
    let server = RequestServer::of(context.site.identity(), &name);
    let request = PairRequest {
        token: String::new(),
        server,
        urls: context.server_urls.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time: context.clock.now_seconds(),
    };
    let joining = context.joining.clone();
    let begun = actix_web::web::block(move || joining.begin(&body.url, &body.token, request)).await.map_err(|_| Error::Stopped)?;
    begun.map_err(conflict)?;
    go_on_joining(context)?;
    Ok(())
}

/// Takes the copy on a thread of its own, and has the server begin anew with it. What fails is tried
/// again.
pub fn go_on_joining(context: &Data<Context>) -> Result<(), Failure> {
    context.joining.announce();
    let shared = context.clone();
    let work = move || {
        loop {
            match join_once(&shared) {
                Ok(()) => return shared.restart.ask(),
                Err(error) => tracing::error!(error, "joining failed; it is tried again"),
            }
            for _ in 0..50 {
                if shared.joining.is_given_up() {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        }
    };
    let started = std::thread::Builder::new().name("joining".to_owned()).spawn(work);
    started.map(drop).map_err(|error| Failure::new(ErrorCode::NotServing, format!("a thread cannot be started: {error}")))
}

fn join_once(context: &Data<Context>) -> Result<(), String> {
    let reader = context.store.reader().map_err(|error| error.to_string())?;
    let find = |name: &str| local::find(&reader, name).map_err(|error| error.to_string());
    let sealed = find(IDENTITY_ROW)?.ok_or("this server has no identity")?;
    let identity = context.site.secret().open(IDENTITY_ROW, &sealed).ok_or("this server's identity does not open")?;
    let mut rows = Vec::new();
    for name in [crate::commands::site::HARDWARE_ROW, "server urls"] {
        if let Some(value) = find(name)? {
            rows.push((name, value));
        }
    }
    drop(reader);
    let rows: Vec<(&str, &[u8])> = rows.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    context.joining.run((IDENTITY_ROW, &identity), &rows)
}

/// `POST /standby/join`
#[utoipa::path(post, path = "/api/v1/admin/standby/join", tag = "servers", security(("bearer" = [])), request_body = JoinBody, responses(
    (status = 202, description = "The two are a pair; this server takes a copy of everything and begins anew with it. `GET /standby` tells how far it is"),
    (status = "4XX", description = "Refused, nothing was changed; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn join(context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: JoinBody = read_json(&context, &request, payload).await?;
    begin_joining(&context, body).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// Has both servers take from each other what they lack.
pub async fn exchange_now(context: &Data<Context>) -> Result<(), Failure> {
    with_keeper(context, |keeper| keeper.exchange()).await
}

/// `POST /standby/sync`
#[utoipa::path(post, path = "/api/v1/admin/standby/sync", tag = "servers", security(("bearer" = [])), responses(
    (status = 204, description = "Facts were taken from the partner"),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn sync(context: Data<Context>) -> Result<HttpResponse, Failure> {
    exchange_now(&context).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Makes this standby the primary, lastingly.
pub async fn make_primary(context: &Data<Context>, caller: &Caller) -> Result<(), Failure> {
    with_keeper(context, |keeper| keeper.promote()).await?;
    remember(context, caller, "standby_promoted", String::new()).await
}

/// `POST /standby/promote`
#[utoipa::path(post, path = "/api/v1/admin/standby/promote", tag = "servers", security(("bearer" = [])), responses(
    (status = 204, description = "This server is the primary from now on; it serves as soon as it has the facts of both"),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn promote(caller: Caller, context: Data<Context>) -> Result<HttpResponse, Failure> {
    make_primary(&context, &caller).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Has this primary play dead for a while.
pub async fn begin_rehearsal(context: &Data<Context>, caller: &Caller, seconds: i64) -> Result<(), Failure> {
    use crate::replication::roles::REHEARSAL;
    if !(REHEARSAL.0..=REHEARSAL.1).contains(&seconds) {
        return Err(Failure::malformed("seconds", format!("is {seconds}, but it must be from {} to {}", REHEARSAL.0, REHEARSAL.1)));
    }
    with_keeper(context, move |keeper| keeper.rehearse(seconds)).await?;
    remember(context, caller, "failover_rehearsed", format!("{seconds} seconds")).await
}

/// `POST /standby/rehearse`
#[utoipa::path(post, path = "/api/v1/admin/standby/rehearse", tag = "servers", security(("bearer" = [])), request_body = RehearsalBody, responses(
    (status = 202, description = "This server plays dead; `notes` of `GET /standby` on both servers tell what happens"),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn rehearse(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: RehearsalBody = read_json(&context, &request, payload).await?;
    begin_rehearsal(&context, &caller, body.seconds).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// Ends the pairing.
pub async fn part(context: &Data<Context>, caller: &Caller, force: bool) -> Result<(), Failure> {
    remember(context, caller, "standby_left", if force { "by force".to_owned() } else { String::new() }).await?;
    with_keeper(context, move |keeper| keeper.leave(force)).await
}

/// `POST /standby/leave`
#[utoipa::path(post, path = "/api/v1/admin/standby/leave", tag = "servers", security(("bearer" = [])), request_body = LeaveBody, responses(
    (status = 204, description = "The two are no pair any more: who served serves on, the other one does not"),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn leave(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: LeaveBody = read_json(&context, &request, payload).await?;
    part(&context, &caller, body.force).await?;
    Ok(HttpResponse::NoContent().finish())
}
