//! What the two servers of a site ask each other. All but the first are answered only to the
//! partner, who shows a certificate of the site's authority that was given to it when they paired.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Mutex;

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Context;
use super::body::read_json;
use super::problem::Failure;
use super::tls::fingerprint_of;
use crate::commands::preferences::Remember;
use crate::documents::random_uuid;
use crate::protocol::ErrorCode;
use crate::replication::beat::Beat;
use crate::replication::join::{PairAnswer, PairRequest, SnapshotAnswer};
use crate::replication::keeper::CLOCKS_APART_SECONDS;
use crate::replication::partner::{Holding, INVITATION_ROW, Invitation, Keep, Pairing, Partner, Pass};
use crate::replication::roles::Heartbeat;
use crate::replication::{exchange, page};
use crate::store::audit::AdminActed;
use crate::store::{Error, snapshot};

/// The fingerprint of the certificate that came with a connection.
#[derive(Debug, Clone)]
pub struct ShownCertificate(pub String);

/// The largest part of a copy that is sent at once.
const PART_MAX: u64 = 4 << 20;

fn refuse(status: StatusCode, detail: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::NotAuthorized, detail).with_status(status)
}

/// The pairing, if the request comes from the partner.
fn partner_of(context: &Context, request: &HttpRequest) -> Result<std::sync::Arc<Pairing>, Failure> {
    let pairing = context.keeper.pairing().ok_or_else(|| refuse(StatusCode::FORBIDDEN, "this server has no partner: pair the two anew"))?;
    let shown = request.conn_data::<ShownCertificate>().map(|shown| shown.0.as_str());
    if shown != Some(pairing.partner.certificate_sha256.as_str()) {
        return Err(refuse(StatusCode::FORBIDDEN, "only the partner of this server may ask this: pair the two anew if you are it"));
    }
    Ok(pairing)
}

/// A former partner, who shows a certificate of the site that is not the partner's, hears how this
/// server stands: so it learns that the two are no pair any more.
fn farewell(context: &Context, request: &HttpRequest) -> Option<HttpResponse> {
    let shown = request.conn_data::<ShownCertificate>()?;
    let is_partner = context.keeper.pairing().is_some_and(|pairing| pairing.partner.certificate_sha256 == shown.0);
    (!is_partner).then(|| HttpResponse::Gone().json(context.keeper.farewell()))
}

/// SHA-256 of a token, hex.
pub fn digest_of(token: &str) -> String {
    fingerprint_of(token.as_bytes())
}

/// `POST /pair`: a new server shows the token of an invitation.
pub async fn pair(context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: PairRequest = read_json(&context, &request, payload).await?;
    let now = context.clock.now_seconds();
    let invitation = context.read(|reader| Invitation::load(reader)).await?;
    let stands = invitation.is_some_and(|invitation| now < invitation.until && super::caller::is_same(&invitation.token_sha256, &digest_of(&body.token)));
    if !stands {
        return Err(refuse(
            StatusCode::FORBIDDEN,
            "the token is unknown, was used, or is older than an hour: run `tollkeeper standby invite` on this server again",
        ));
    }
    if body.server.uuid == context.site.uuid() {
        return Err(Failure::malformed("server", "is this server itself: run `standby join` on the other machine"));
    }
    if (body.time - now).abs() > CLOCKS_APART_SECONDS {
        return Err(Failure::malformed("time", "of the new server is more than a minute from this one's: set the clocks of both machines right"));
    }
    if body.urls.is_empty() {
        return Err(Failure::malformed("urls", "is empty: set 'server_urls' on the new server"));
    }
    let mut body = body;
    body.urls.extend(seen_url(&request, &body.urls));
    let answer = pair_with(&context, &body, now).await?;
    let act = AdminActed {
        by: "console".to_owned(),
        action: "standby_joined".to_owned(),
        subject: format!("server {}", body.server.uuid),
        detail: body.urls.join(", "),
        address: super::caller::address_of(&request),
    };
    context.writer().submit(Remember(act)).await?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(answer))
}

/// Where the new server is seen from here, in case its name is not known here.
fn seen_url(request: &HttpRequest, urls: &[String]) -> Option<String> {
    let address = request.peer_addr()?.ip();
    let port = urls.first()?.rsplit_once(':')?.1.parse::<u16>().ok()?;
    let url = format!("https://{}", std::net::SocketAddr::new(address, port));
    (!urls.contains(&url)).then_some(url)
}

async fn pair_with(context: &Data<Context>, body: &PairRequest, now: i64) -> Result<PairAnswer, Failure> {
    let broken = |error: &dyn std::fmt::Display| Failure::new(ErrorCode::NotServing, format!("the certificates of the two servers cannot be made: {error}"));
    let pass = |server: String| {
        let leaf = context.authority.issue_pass(&server, crate::clock::Clock::now_seconds(&crate::clock::SystemClock)).map_err(|error| broken(&error))?;
        let sha256 = leaf.fingerprint().map_err(|error| broken(&error))?;
        Ok::<_, Failure>((Pass { chain_pem: leaf.chain_pem, key_pem: leaf.key_pem }, sha256))
    };
    let (ours, our_sha256) = pass(context.site.uuid().to_string())?;
    let (theirs, their_sha256) = pass(body.server.uuid.to_string())?;
    let secret = std::fs::read(context.data.join("secret.key")).map_err(|error| Error::Io(error.to_string()))?;
    let partner = Partner { server: body.server.clone(), urls: body.urls.clone(), certificate_sha256: their_sha256, paired_at: now };
    let pairing = Pairing { partner, pass: ours };
    let keeper = context.keeper.clone();
    let token = digest_of(&body.token);
    let begun = actix_web::web::block(move || keeper.begin_as_primary(pairing, &token)).await.map_err(|_| Error::Stopped)?;
    begun.map_err(|detail| refuse(StatusCode::CONFLICT, detail))?;
    context.partners.ask(true);
    let this = crate::documents::RequestServer::of(context.site.identity(), "");
    let urls = context.server_urls.clone();
    Ok(PairAnswer {
        partner: Partner { server: this, urls, certificate_sha256: our_sha256, paired_at: now },
        pass: theirs,
        ca_pem: context.authority.ca_pem.clone(),
        ca_key_pem: context.authority.ca_key_pem.clone(),
        secret: URL_SAFE_NO_PAD.encode(secret),
        vendors: context.site.list_vendors().iter().map(|(_, key)| key.to_spki_pem()).collect(),
        epoch: context.keeper.assigned_in(),
    })
}

/// `POST /heartbeat`
pub async fn heartbeat(context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    if let Some(farewell) = farewell(&context, &request) {
        return Ok(farewell);
    }
    partner_of(&context, &request)?;
    let theirs: Beat = read_json(&context, &request, payload).await?;
    // It follows: the copy that it took is not needed any more.
    forget_snapshot(&context);
    let keeper = context.keeper.clone();
    let ours = actix_web::web::block(move || {
        keeper.hear(theirs);
        keeper.beat()
    });
    Ok(HttpResponse::Ok().json(ours.await.map_err(|_| Error::Stopped)??))
}

/// `POST /facts`
pub async fn facts(context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    partner_of(&context, &request)?;
    let Holding { held } = read_json(&context, &request, payload).await?;
    let keeper = context.keeper.clone();
    // Before a reading connection is taken here: it takes one of its own.
    let held = actix_web::web::block(move || {
        keeper.hear_held(&held);
        held
    });
    let held = held.await.map_err(|_| Error::Stopped)?;
    let bytes = context
        .read(move |reader| {
            let facts = exchange::page_for(reader, &held)?;
            page::write(&facts).map_err(|error| Error::Io(error.to_string()))
        })
        .await?;
    Ok(HttpResponse::Ok().content_type("application/octet-stream").insert_header(header::ContentEncoding::Identity).body(bytes))
}

/// `POST /sync`: the partner wants this server to take what it lacks, now.
pub async fn sync(context: Data<Context>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    partner_of(&context, &request)?;
    let keeper = context.keeper.clone();
    let taken = actix_web::web::block(move || keeper.sync()).await.map_err(|_| Error::Stopped)?;
    let taken = taken.map_err(|error| Failure::new(ErrorCode::NotServing, error))?;
    Ok(HttpResponse::Ok().json(json!({ "taken": taken })))
}

/// `POST /leave`: the partner ends the pairing.
pub async fn leave(context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    partner_of(&context, &request)?;
    let theirs: Heartbeat = read_json(&context, &request, payload).await?;
    let keeper = context.keeper.clone();
    actix_web::web::block(move || keeper.end(theirs)).await.map_err(|_| Error::Stopped)??;
    Ok(HttpResponse::Ok().json(json!({})))
}

/// The copy that a new standby takes.
#[derive(Debug, Default)]
pub struct Outgoing(Mutex<OutgoingState>);

#[derive(Debug, Default, Clone)]
enum OutgoingState {
    #[default]
    None,
    Making,
    Ready {
        id: String,
        bytes: u64,
    },
    Failed(String),
}

const OUTGOING: &str = "outgoing.db";

impl Outgoing {
    fn lock(&self) -> std::sync::MutexGuard<'_, OutgoingState> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Which copy a new standby has begun.
#[derive(Debug, Deserialize, Serialize)]
struct Begun {
    id: String,
}

fn outgoing_path(context: &Context) -> PathBuf {
    context.data.join(OUTGOING)
}

/// `POST /snapshot`: has a copy made, and tells when it is ready.
pub async fn begin_snapshot(context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    partner_of(&context, &request)?;
    let begun: Begun = read_json(&context, &request, payload).await?;
    let answer = |is_ready, bytes, id: &str, error| HttpResponse::Ok().json(SnapshotAnswer { is_ready, bytes, id: id.to_owned(), error });
    let mut state = context.outgoing.lock();
    match state.clone() {
        OutgoingState::Making => return Ok(answer(false, 0, "", None)),
        OutgoingState::Ready { id, bytes } if begun.id.is_empty() || begun.id == id => return Ok(answer(true, bytes, &id, None)),
        OutgoingState::Failed(error) => {
            *state = OutgoingState::None;
            return Ok(answer(false, 0, "", Some(error)));
        }
        // One that was begun before this server started: its file is not to be trusted.
        _ => *state = OutgoingState::Making,
    }
    drop(state);
    let shared = context.clone();
    let made = std::thread::Builder::new().name("copy for the standby".to_owned()).spawn(move || {
        let path = outgoing_path(&shared);
        // An older one, if any.
        let _ = std::fs::remove_file(&path);
        let copied = shared
            .backups
            .check_room(&shared.data)
            .and_then(|()| snapshot::copy(&shared.data.join("tollkeeper.db"), &path, |_, _| true))
            .and_then(|()| std::fs::metadata(&path).map_err(|error| Error::Io(error.to_string())));
        *shared.outgoing.lock() = match copied {
            Ok(metadata) => OutgoingState::Ready { id: random_uuid().to_string(), bytes: metadata.len() },
            Err(error) => OutgoingState::Failed(error.to_string()),
        };
    });
    made.map_err(|error| Failure::new(ErrorCode::NotServing, format!("a thread cannot be started: {error}")))?;
    Ok(answer(false, 0, "", None))
}

/// Which part of the copy.
#[derive(Debug, Deserialize)]
pub struct Part {
    from: u64,
    bytes: u64,
}

/// `GET /snapshot/{id}?from=…&bytes=…`
pub async fn snapshot_part(context: Data<Context>, request: HttpRequest, id: Path<String>, part: Query<Part>) -> Result<HttpResponse, Failure> {
    partner_of(&context, &request)?;
    let is_this = matches!(&*context.outgoing.lock(), OutgoingState::Ready { id: known, .. } if *known == *id);
    if !is_this {
        return Err(refuse(StatusCode::NOT_FOUND, "this copy is not there any more: another one is made"));
    }
    let path = outgoing_path(&context);
    let bytes = actix_web::web::block(move || {
        let mut file = std::fs::File::open(path)?;
        file.seek(SeekFrom::Start(part.from))?;
        let mut bytes = Vec::new();
        file.take(part.bytes.min(PART_MAX)).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    });
    let bytes = bytes.await.map_err(|_| Error::Stopped)?.map_err(|error| Error::Io(error.to_string()))?;
    Ok(HttpResponse::Ok().content_type("application/octet-stream").insert_header(header::ContentEncoding::Identity).body(bytes))
}

/// Forgets the copy that a standby took, once it follows.
fn forget_snapshot(context: &Context) {
    let mut state = context.outgoing.lock();
    if matches!(*state, OutgoingState::Ready { .. }) {
        *state = OutgoingState::None;
        // One that stays is removed at the next start.
        let _ = std::fs::remove_file(outgoing_path(context));
    }
}

/// At the start: one that was left over.
pub fn remove_leftover(data: &std::path::Path) {
    let _ = std::fs::remove_file(data.join(OUTGOING));
}

/// Keeps an invitation; `None` takes it back.
pub async fn keep_invitation(context: &Context, invitation: Option<&Invitation>) -> Result<(), Failure> {
    let json = invitation.map(serde_json::to_vec).transpose().map_err(|error| Error::Other(error.to_string()))?.unwrap_or_default();
    Ok(context.writer().submit(Keep { rows: vec![(INVITATION_ROW, json)], epoch: 0 }).await?)
}
