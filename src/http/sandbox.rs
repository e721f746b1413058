//! What an application developer may do with `tollkeeper sandbox`: move the server's clock,
//! and switch faults on, to see what the application makes of them (protocol §1). No other
//! server has these paths.

use std::path::PathBuf;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::Next;
use actix_web::web::{Data, Payload};
use actix_web::{Error, HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

use super::Context;
use super::admin_api::handshakes::{self, HandshakeRow};
use super::body::{read_bytes, read_json};
use super::cors;
use super::idle;
use super::ops::not_found;
use super::problem::Failure;
use crate::clock::{Clock as _, ManualClock, rfc3339};
use crate::documents::{LicenseFile, RevocationFile, VerifyingKey};
use crate::licensing::Span;
use crate::protocol::{BadField, ErrorCode, Problem};
use crate::store::facts;

/// The longest delay, in milliseconds.
const DELAY_MAX_MILLIS: u64 = 60_000;
/// The clock goes from 1 January 2000 …
const TIME_MIN: i64 = 946_684_800;
/// … to 31 December 2999.
const TIME_MAX: i64 = 32_503_679_999;

/// What makes a server a sandbox.
pub struct Sandbox {
    clock: ManualClock,
    place: Place,
    state: watch::Sender<State>,
}

/// Where the sandbox is, and what is in it.
pub struct Place {
    /// Its data directory.
    pub data: PathBuf,
    /// The key of its throwaway vendor, to issue more licenses with.
    pub vendor_key_file: PathBuf,
    /// That vendor's public key, PEM: what an application under test trusts.
    pub vendor_public_key: String,
    /// Handshake codes, each with a sentence what it is for.
    pub purposes: Vec<(String, String)>,
}

#[derive(Debug, Clone, Default)]
struct State {
    faults: Faults,
    closing: bool,
}

/// What the client API does wrong. `/sandbox`, `/health` and the admin socket always work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Faults {
    /// Every authorization, report and release is refused with this code.
    pub refuse: Option<u16>,
    /// Every answer waits so long, in milliseconds.
    pub delay_ms: u64,
    /// Reports are taken, and the answer is lost: the connection closes without one.
    pub drop_reports: bool,
    /// Connections are taken, and nothing is ever answered on them. When this is switched
    /// off, they close.
    pub silent: bool,
}

/// Faults to switch; a missing field keeps its value.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultChange {
    /// A code of the table, or `null`: refuse nothing any more.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u16>)]
    refuse: Option<Option<u64>>,
    /// How long every answer waits, in milliseconds: at most 60000.
    delay_ms: Option<u64>,
    /// Whether the answers to reports are lost.
    drop_reports: Option<bool>,
    /// Whether nothing is answered any more.
    silent: Option<bool>,
}

/// Tells `null` from a missing field.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Where to move the clock: exactly one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClockChange {
    /// Forward by so much, such as `3m`, `24h` or `7d`.
    #[schema(value_type = Option<String>)]
    advance: Option<Span>,
    /// To this time, even back.
    #[schema(value_type = Option<String>, format = DateTime)]
    set: Option<DateTime<Utc>>,
}

/// The sandbox's time.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ClockAnswer {
    /// The time now. It stands still.
    pub time: String,
    /// What a clock that was set back means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The sandbox as it stands.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SandboxState {
    /// The time now. It stands still.
    pub time: String,
    /// The faults that are on.
    pub faults: Faults,
    /// How many requests are made to wait now.
    pub waiting: usize,
    /// What to try the application with.
    pub handshake_codes: Vec<SandboxCode>,
    /// The throwaway vendor's public key, PEM: let the application under test trust it.
    pub vendor_public_key: String,
    /// The vendor's private key, a file on the server's machine: issue more licenses with it.
    pub vendor_key_file: String,
    /// The data directory, for the commands' `--data`.
    pub data: String,
    /// The admin socket.
    pub admin_socket: String,
}

/// A handshake code of the sandbox.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SandboxCode {
    /// Its name.
    pub handshake_code: String,
    /// What it is for.
    pub purpose: String,
    /// What to paste into the application.
    pub license_key: String,
}

impl Sandbox {
    /// A license of a real vendor has no business on a clock that anybody may move.
    pub fn check_vendor(&self, file: &str) -> Result<(), Failure> {
        let named = LicenseFile::parse(file).map(|file| file.kid().to_owned()).or_else(|_| RevocationFile::parse(file).map(|file| file.kid().to_owned()));
        let own = VerifyingKey::from_spki_pem(&self.place.vendor_public_key).map(|key| key.kid().to_owned());
        match (named, own) {
            (Ok(named), Ok(own)) if named != own => Err(Failure::malformed(
                "file",
                format!("it is signed by another vendor than this sandbox's own: issue licenses for it with {}", self.place.vendor_key_file.display()),
            )),
            // What cannot be read at all is refused with more words further on.
            _ => Ok(()),
        }
    }

    /// A sandbox without faults.
    pub fn new(clock: ManualClock, place: Place) -> Self {
        Self { clock, place, state: watch::Sender::default() }
    }

    /// Its clock.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Holds nobody any more, so that the server can stop.
    pub fn close(&self) {
        self.state.send_modify(|state| state.closing = true);
    }

    fn faults(&self) -> Faults {
        self.state.borrow().faults.clone()
    }

    /// Ends when silence is switched off, or the server stops.
    async fn wait_while_silent(&self) {
        // Fails only when the sandbox is gone.
        let _ = self.state.subscribe().wait_for(|state| !state.faults.silent || state.closing).await;
    }

    /// Ends after the time, or when the server stops.
    async fn delay(&self, time: Duration) {
        let mut state = self.state.subscribe();
        // Running out of time is what it is for.
        let _ = tokio::time::timeout(time, state.wait_for(|state| state.closing)).await;
    }
}

impl FaultChange {
    fn apply(self, faults: &mut Faults) -> Result<(), BadField> {
        let known = |number: u64| u16::try_from(number).ok().and_then(ErrorCode::from_number);
        if let Some(wanted) = self.refuse {
            let code = wanted.map(|number| known(number).ok_or_else(|| BadField::new("refuse", format!("{number} is no error code: /docs lists them"))));
            faults.refuse = code.transpose()?.map(ErrorCode::number);
        }
        if let Some(millis) = self.delay_ms {
            if millis > DELAY_MAX_MILLIS {
                return Err(BadField::new("delay_ms", format!("{millis} is more than {DELAY_MAX_MILLIS}, a minute")));
            }
            faults.delay_ms = millis;
        }
        faults.drop_reports = self.drop_reports.unwrap_or(faults.drop_reports);
        faults.silent = self.silent.unwrap_or(faults.silent);
        Ok(())
    }
}

impl ClockChange {
    fn apply(self, clock: &ManualClock) -> Result<(), BadField> {
        let limited = |field: &'static str, seconds: i64| {
            let fits = (TIME_MIN..=TIME_MAX).contains(&seconds);
            fits.then_some(seconds).ok_or_else(|| BadField::new(field, "leads out of the years 2000 to 2999"))
        };
        match (self.advance, self.set) {
            (Some(span), None) => {
                limited("advance", clock.now_seconds() + span.seconds())?;
                clock.advance_seconds(span.seconds());
            }
            (None, Some(time)) => clock.set_seconds(limited("set", time.timestamp())?),
            _ => return Err(BadField::new("body", "give either advance, such as {\"advance\":\"3m\"}, or set, such as {\"set\":\"2030-01-01T00:00:00Z\"}")),
        }
        Ok(())
    }
}

fn get(context: &Context) -> Result<&Sandbox, Failure> {
    context.sandbox.as_ref().ok_or_else(not_found)
}

/// `GET /sandbox`
#[utoipa::path(get, path = "/sandbox", tag = "sandbox", responses((status = 200, description = "The sandbox as it stands", body = SandboxState)))]
pub async fn show(context: Data<Context>) -> Result<HttpResponse, Failure> {
    let sandbox = get(&context)?;
    let place = &sandbox.place;
    let describe = |row: HandshakeRow| {
        let known = place.purposes.iter().find(|(name, _)| *name == row.handshake_code);
        let purpose = known.map_or("made by you or by an import", |(_, purpose)| purpose).to_owned();
        SandboxCode { handshake_code: row.handshake_code, purpose, license_key: row.license_key }
    };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(SandboxState {
        time: context.time(),
        faults: sandbox.faults(),
        waiting: sandbox.state.receiver_count(),
        handshake_codes: handshakes::rows(&context).await?.into_iter().map(describe).collect(),
        vendor_public_key: place.vendor_public_key.clone(),
        vendor_key_file: place.vendor_key_file.display().to_string(),
        data: place.data.display().to_string(),
        admin_socket: super::server::socket_path(&place.data).display().to_string(),
    }))
}

/// `POST /sandbox/clock`
#[utoipa::path(post, path = "/sandbox/clock", tag = "sandbox", request_body = ClockChange, responses(
    (status = 200, description = "The time now", body = ClockAnswer),
    (status = 400, description = "`field` says what is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub async fn move_clock(context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let sandbox = get(&context)?;
    let change: ClockChange = read_json(&context, &request, payload).await?;
    change.apply(&sandbox.clock)?;
    let latest = context.read(|reader| facts::latest_stamp(reader)).await?.div_euclid(1_000_000);
    let behind = latest - sandbox.clock.now_seconds();
    let detail = (behind > 0).then(|| {
        format!(
            "the clock stands {behind} s before the latest fact, of {}: the server never decides by a time before that, and from 5 minutes on it answers 210",
            rfc3339(latest)
        )
    });
    Ok(HttpResponse::Ok().json(ClockAnswer { time: context.time(), detail }))
}

/// `POST /sandbox/faults`
#[utoipa::path(post, path = "/sandbox/faults", tag = "sandbox", request_body = FaultChange, responses(
    (status = 200, description = "The faults that are on now", body = Faults),
    (status = 400, description = "`field` says what is wrong; nothing was changed", body = Problem, content_type = "application/problem+json"),
))]
pub async fn switch_faults(context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let sandbox = get(&context)?;
    let change: FaultChange = read_json(&context, &request, payload).await?;
    let mut outcome = Ok(());
    sandbox.state.send_modify(|state| {
        let mut faults = state.faults.clone();
        outcome = change.apply(&mut faults);
        if outcome.is_ok() {
            state.faults = faults;
        }
    });
    outcome?;
    Ok(HttpResponse::Ok().json(sandbox.faults()))
}

/// Does wrong what the faults say, around every path of the client API.
pub async fn misbehave(
    context: Data<Context>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let call = request.path().strip_prefix("/api/v1/").unwrap_or_default().to_owned();
    let (Some(sandbox), "server" | "authorize" | "reports" | "release") = (&context.sandbox, call.as_str()) else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    let faults = sandbox.faults();
    if faults.silent {
        sandbox.wait_while_silent().await;
        hang_up(request.request());
        return Ok(request.into_response(HttpResponse::ServiceUnavailable()).map_into_right_body());
    }
    if faults.delay_ms > 0 {
        sandbox.delay(Duration::from_millis(faults.delay_ms)).await;
    }
    // A browser whose question whether to ask was refused would never hear why.
    let is_refusable = call != "server" && request.method() != Method::OPTIONS;
    if let Some(code) = faults.refuse.and_then(ErrorCode::from_number).filter(|_| is_refusable) {
        // An answer before the end of the request could be lost with the connection.
        let payload = request.extract::<Payload>().await?;
        let failure = read_bytes(&context, payload).await.map_or_else(|failure| failure, |_| refuse(code));
        // Pages are told like everybody else.
        let response = cors::answer(&context, request.request(), None, Err(failure));
        return Ok(request.into_response(response).map_into_right_body());
    }
    let answer = next.call(request).await?;
    if faults.drop_reports && call == "reports" {
        hang_up(answer.request());
    }
    Ok(answer.map_into_left_body())
}

fn refuse(code: ErrorCode) -> Failure {
    let detail = "the sandbox was told to refuse everything with this code: POST {\"refuse\":null} to /sandbox/faults to end it";
    match code {
        ErrorCode::Malformed => Failure::malformed("body", detail),
        ErrorCode::TooManyRequests => Failure::new(code, detail).retry_after(5),
        _ => Failure::new(code, detail),
    }
}

/// Closes the connection under the answer.
fn hang_up(request: &HttpRequest) {
    if let Some(connection) = request.conn_data::<std::sync::Arc<idle::Connection>>() {
        connection.shut();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_fault_keeps_its_value_and_null_ends_refusing() {
        let mut faults = Faults::default();
        let mut change = |text: &str| serde_json::from_str::<FaultChange>(text).expect("a change").apply(&mut faults).map(|()| faults.clone());
        assert_eq!(change("{\"refuse\":120,\"silent\":true}"), Ok(Faults { refuse: Some(120), silent: true, ..Faults::default() }));
        assert_eq!(change("{\"delay_ms\":60000}"), Ok(Faults { refuse: Some(120), silent: true, delay_ms: 60_000, ..Faults::default() }));
        for (bad, field) in [("{\"refuse\":99}", "refuse"), ("{\"refuse\":65656}", "refuse"), ("{\"delay_ms\":60001}", "delay_ms")] {
            assert_eq!(change(bad).map_err(|bad| bad.field), Err(field.to_owned()));
        }
        let ended = change("{\"refuse\":null,\"silent\":false,\"drop_reports\":true,\"delay_ms\":0}");
        assert_eq!(ended, Ok(Faults { drop_reports: true, ..Faults::default() }));
    }

    #[test]
    fn the_clock_goes_forward_by_spans_and_anywhere_by_times() {
        let clock = ManualClock::at_seconds(1_795_348_800);
        let change = |text: &str| serde_json::from_str::<ClockChange>(text).map_err(|error| error.to_string())?.apply(&clock).map_err(|bad| bad.field);
        assert_eq!(change("{\"advance\":\"3m\"}"), Ok(()));
        assert_eq!(rfc3339(clock.now_seconds()), "2026-11-22T12:03:00Z");
        assert_eq!(change("{\"set\":\"2026-11-22T13:00:00+01:00\"}"), Ok(()));
        assert_eq!(rfc3339(clock.now_seconds()), "2026-11-22T12:00:00Z");
        for bad in ["{}", "{\"advance\":\"3m\",\"set\":\"2026-11-22T12:00:00Z\"}"] {
            assert_eq!(change(bad), Err("body".to_owned()));
        }
        assert_eq!(change("{\"set\":\"1999-12-31T00:00:00Z\"}"), Err("set".to_owned()));
        assert!(change("{\"advance\":\"soon\"}").is_err_and(|error| error.contains("'soon' is not a duration")));
        assert_eq!(clock.now_seconds(), 1_795_348_800);
    }
}
