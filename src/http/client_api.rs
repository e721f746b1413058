//! What devices call (protocol §3).

use std::net::{IpAddr, Ipv6Addr};

use actix_web::http::header::{self, ContentType};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, ResponseError as _};
use serde_json::json;

use super::Context;
use super::body::read_json;
use super::cors;
use super::problem::Failure;
use crate::clock::rfc3339;
use crate::commands::accept_reports::AcceptReports;
use crate::commands::authorize::Authorize;
use crate::commands::release_seat::ReleaseByDevice;
use crate::documents::Claims;
use crate::licensing::ClientUuid;
use crate::licensing::slot::REPORT_MAX_AGE_SECONDS;
use crate::protocol::authorize::{AuthorizeAnswer, AuthorizeRequest};
use crate::protocol::release::ReleaseRequest;
use crate::protocol::reports::{ReportsAnswer, ReportsRequest};
use crate::protocol::server::ServerInfo;
use crate::protocol::{ErrorCode, FromDevice, Problem, REPORT_INTERVAL_SECONDS};

/// `GET /server`
#[utoipa::path(get, path = "/api/v1/server", tag = "client", responses((status = 200, description = "Who answers", body = ServerInfo)))]
pub async fn server(context: Data<Context>, request: HttpRequest) -> HttpResponse {
    let identity = context.site.identity();
    let signing = identity.key.verifying_key().jwk();
    let sealing = identity.sealing.public().jwk();
    let role = context.keeper.role_name();
    let info = HttpResponse::Ok().json(ServerInfo {
        server_uuid: identity.uuid.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        role: role.to_owned(),
        serving: context.site.find_refusal().is_none(),
        time: context.time(),
        keys: vec![
            json!({"kty": signing.kty, "crv": signing.crv, "x": signing.x, "kid": identity.key.kid(), "use": "sig"}),
            json!({"kty": sealing.kty, "crv": sealing.crv, "x": sealing.x, "use": "enc"}),
        ],
        certificates: context.site.list_certificates(),
        ca_pem: context.ca_pem.clone(),
        peers: context.keeper.pairing().map(|pairing| pairing.partner.urls.clone()).unwrap_or_default(),
    });
    cors::answer(&context, &request, None, Ok(info))
}

/// `POST /authorize`
#[utoipa::path(post, path = "/api/v1/authorize", tag = "client", request_body = AuthorizeRequest, responses(
    (status = 200, description = "The device may work", body = AuthorizeAnswer),
    (status = "4XX", description = "It may not; `code` says why", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Not now: try the other server, or again after `Retry-After`", body = Problem, content_type = "application/problem+json"),
))]
pub async fn authorize(context: Data<Context>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let body = match receive::<AuthorizeRequest>(&context, &request, payload).await {
        Ok(body) => body,
        Err(failure) => return cors::answer(&context, &request, None, Err(failure)),
    };
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        let address = trial_address(&request, &body);
        return send_grant(grant(&context, body, None, address).await).unwrap_or_else(|failure| failure.error_response());
    };
    let catalog = context.writer().catalog();
    let named = (body.handshake_code.clone(), body.organization_id.clone());
    let address = trial_address(&request, &body);
    let answer = send_grant(grant(&context, body, origin.to_str().ok().map(str::to_owned), address).await);
    let code = match named {
        (Some(name), _) => catalog.find_code_by_name(&name),
        (None, Some(organization)) => catalog.find_default_code(&organization),
        (None, None) => None,
    };
    cors::answer(&context, &request, code, answer)
}

/// Decides, and signs; whom it refuses is counted.
pub(super) async fn grant(context: &Context, request: AuthorizeRequest, origin_header: Option<String>, address: String) -> Result<AuthorizeAnswer, Failure> {
    decide(context, request, origin_header, address).await.inspect_err(|failure| context.metrics.denied(failure.problem().code))
}

async fn decide(context: &Context, request: AuthorizeRequest, origin_header: Option<String>, address: String) -> Result<AuthorizeAnswer, Failure> {
    context.check_duty()?;
    let command = Authorize::new(context.site.clone(), request, origin_header, address);
    let granted = context.writer().submit(command).await??;
    Ok(AuthorizeAnswer {
        authorization: granted.sign(),
        expires_at: rfc3339(granted.expires_at),
        refresh_after: rfc3339(granted.refresh_after()),
        report_interval_seconds: REPORT_INTERVAL_SECONDS,
        ticket: granted.ticket.clone(),
        server_time: rfc3339(granted.now),
        origin: context.site.uuid().to_string(),
        safe: context.safe(granted.sequence),
        lost: context.lost(),
    })
}

/// `POST /reports`
#[utoipa::path(post, path = "/api/v1/reports", tag = "client", request_body = ReportsRequest, responses(
    (status = 200, description = "What became of each report", body = ReportsAnswer),
    (status = "4XX", description = "None was taken; `code` says why", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Not now: keep the reports and send them again", body = Problem, content_type = "application/problem+json"),
))]
pub async fn reports(context: Data<Context>, request: HttpRequest, payload: Payload) -> HttpResponse {
    match proven::<ReportsRequest>(&context, &request, payload).await {
        Err(failure) => cors::answer(&context, &request, None, Err(failure)),
        Ok((body, claims)) => {
            let code = claims.hid;
            let answer = send(take_reports(&context, body, claims).await);
            cors::answer(&context, &request, context.writer().catalog().find_code(code), answer)
        }
    }
}

/// Takes what a device did.
pub(super) async fn take_reports(context: &Context, body: ReportsRequest, claims: Claims) -> Result<ReportsAnswer, Failure> {
    context.check_duty()?;
    let command = AcceptReports { site: context.site.clone(), request: body, claims };
    let taken = context.writer().submit(command).await??;
    Ok(ReportsAnswer {
        accepted: taken.accepted,
        duplicate: taken.duplicate,
        rejected: taken.rejected,
        origin: context.site.uuid().to_string(),
        sequence: taken.sequence,
        safe: context.safe(taken.sequence),
        lost: context.lost(),
        server_time: rfc3339(taken.now),
    })
}

/// `POST /release`
#[utoipa::path(post, path = "/api/v1/release", tag = "client", request_body = ReleaseRequest, responses(
    (status = 204, description = "The seats are free"),
    (status = "4XX", description = "`code` says why not", body = Problem, content_type = "application/problem+json"),
))]
pub async fn release(context: Data<Context>, request: HttpRequest, payload: Payload) -> HttpResponse {
    match proven::<ReleaseRequest>(&context, &request, payload).await {
        Err(failure) => cors::answer(&context, &request, None, Err(failure)),
        Ok((body, claims)) => {
            let code = claims.hid;
            let answer = give_back(&context, body, claims).await;
            cors::answer(&context, &request, context.writer().catalog().find_code(code), answer)
        }
    }
}

async fn give_back(context: &Context, body: ReleaseRequest, claims: Claims) -> Result<HttpResponse, Failure> {
    context.check_duty()?;
    context.writer().submit(ReleaseByDevice { claims, items: body.items }).await??;
    Ok(HttpResponse::NoContent().finish())
}

/// Reads a request that carries an authorization, and what that says.
async fn proven<T: FromDevice + Authorized>(context: &Context, request: &HttpRequest, payload: Payload) -> Result<(T, Claims), Failure> {
    let body: T = receive(context, request, payload).await?;
    let claims = check_authorization(context, body.authorization(), body.client_uuid())?;
    Ok((body, claims))
}

/// A request that carries an authorization.
trait Authorized {
    /// The compact JWS.
    fn authorization(&self) -> &str;
}

impl Authorized for ReportsRequest {
    fn authorization(&self) -> &str {
        &self.authorization
    }
}

impl Authorized for ReleaseRequest {
    fn authorization(&self) -> &str {
        &self.authorization
    }
}

/// Where a public trial is asked from: only who names nothing asks for one.
fn trial_address(request: &HttpRequest, body: &AuthorizeRequest) -> String {
    let peer = request.peer_addr().filter(|_| body.handshake_code.is_none() && body.organization_id.is_none());
    peer.map_or_else(String::new, |address| address_of(address.ip()))
}

/// The address that counts as one place: an IPv6 network has 2^64 of them.
fn address_of(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// Reads a request of a device: within the limits, and with values that make sense.
async fn receive<T: FromDevice>(context: &Context, request: &HttpRequest, payload: Payload) -> Result<T, Failure> {
    read(context, request, payload).await.inspect_err(|failure| context.metrics.denied(failure.problem().code))
}

async fn read<T: FromDevice>(context: &Context, request: &HttpRequest, payload: Payload) -> Result<T, Failure> {
    context.rate.check_address(request.peer_addr().map(|address| address.ip()))?;
    let mut body: T = read_json(context, request, payload).await?;
    body.validate()?;
    context.rate.check_device(body.client_uuid())?;
    Ok(body)
}

/// An authorization proves that the device was let in here, up to 30 days after its end.
pub(super) fn check_authorization(context: &Context, text: &str, client: ClientUuid) -> Result<Claims, Failure> {
    let refuse = |detail: String| Failure::new(ErrorCode::NotAuthorized, detail);
    let claims = context.site.verify_authorization(text).map_err(|error| refuse(format!("the authorization is not valid here: {error}")))?;
    if claims.sub != client {
        return Err(refuse(format!("the authorization belongs to device {}, not to {client}", claims.sub)));
    }
    if context.clock.now_seconds() - claims.exp > REPORT_MAX_AGE_SECONDS {
        return Err(refuse(format!("the authorization ended at {}, more than 30 days ago: get a new one first", rfc3339(claims.exp))));
    }
    Ok(claims)
}

fn send_grant(answer: Result<AuthorizeAnswer, Failure>) -> Result<HttpResponse, Failure> {
    let json = answer?.into_json();
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).insert_header(ContentType::json()).body(json))
}

fn send(answer: Result<impl serde::Serialize, Failure>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(answer?))
}
