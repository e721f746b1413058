//! Is it well, how is it used, what is it: health, the API's reference, the front page.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::problem::Failure;
use super::request_id::RequestId;
use super::{Context, assets};
use crate::commands::site::HARDWARE_GRACE_DAYS;
use crate::commands::turn::Turn;
use crate::protocol::server::{Health, Part};
use crate::protocol::{ErrorCode, Problem};
use crate::store::catalog::Catalog;
use crate::store::facts;
use crate::store::{Command, Error, Ledger};

/// Asks the writer for a sign of life.
struct Ping;

impl Command for Ping {
    type Answer = i64;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<i64, Error> {
        // Only what was written shows that there is room to write.
        ledger.put_local("last health check", &ledger.now().to_be_bytes())?;
        Ok(ledger.clock_lag_seconds())
    }
}

/// `GET /health`, `GET /health/ready`: whether it does its work, part by part.
#[utoipa::path(get, path = "/api/v1/health", tag = "operations", responses(
    (status = 200, description = "Every part works", body = Health),
    (status = 503, description = "Some part does not", body = Health),
))]
pub async fn health(context: Data<Context>) -> HttpResponse {
    let mut parts = BTreeMap::new();
    let mut part = |name: &str, ok: bool, detail: String| {
        parts.insert(name.to_owned(), Part { ok, detail });
    };
    match context.writer().submit(Ping).await {
        Ok(lag) => {
            part("database", true, "takes and keeps what it is given".into());
            part("clock", lag <= 300, if lag == 0 { "in order".into() } else { format!("{lag} s behind the latest recorded fact") });
        }
        Err(error) => part("database", false, error.to_string()),
    }
    match context.read(|reader| Ok((Catalog::load(reader)?.licenses().count(), facts::latest_stamp(reader)?))).await {
        Ok((0, _)) => part("licenses", true, "none is installed yet: import one with `license import`".into()),
        Ok((count, _)) => part("licenses", true, format!("{count} installed")),
        Err(failure) => part("licenses", false, failure.to_string()),
    }
    let now = context.clock.now_seconds();
    match (context.site.find_hardware_problem(now), context.site.hardware().changed_since) {
        (Some(problem), _) => part("hardware", false, problem),
        (None, Some(since)) => {
            let end = crate::clock::rfc3339(since + HARDWARE_GRACE_DAYS * 86_400);
            part("hardware", true, format!("changed; serves until {end}, have the license activated for this machine before"));
        }
        (None, None) => part("hardware", true, "the machine it was set up on".into()),
    }
    answer(parts)
}

fn answer(parts: BTreeMap<String, Part>) -> HttpResponse {
    let ok = parts.values().all(|part| part.ok);
    let body = Health { status: if ok { "ok" } else { "failing" }.to_owned(), parts };
    let mut response = if ok { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

/// `GET /health/live`: whether the process works at all. A full disk is no reason to start it anew.
#[utoipa::path(get, path = "/api/v1/health/live", tag = "operations", responses(
    (status = 200, description = "The writer comes round", body = Health),
    (status = 503, description = "It does not, for seconds: start the service anew", body = Health),
))]
pub async fn live(context: Data<Context>) -> HttpResponse {
    let turn = tokio::time::timeout(LIVE_PATIENCE, context.writer().submit(Turn)).await;
    let (ok, detail) = match turn {
        Ok(Err(Error::Stopped)) => (false, "has ended".to_owned()),
        Ok(Err(Error::QueueFull)) | Err(_) => (false, format!("did not come round within {} s", LIVE_PATIENCE.as_secs())),
        Ok(_) => (true, "comes round".to_owned()),
    };
    answer(BTreeMap::from([("writer".to_owned(), Part { ok, detail })]))
}

/// How long the writer may take to come round.
const LIVE_PATIENCE: Duration = Duration::from_secs(10);

/// `GET /openapi.json`
pub async fn openapi_json(request: HttpRequest) -> Result<HttpResponse, Failure> {
    assets::answer("openapi.json", "no-cache", &request)
}

#[derive(Template)]
#[template(path = "front.html")]
struct FrontPage {
    server_uuid: String,
    version: &'static str,
    has_license: bool,
}

/// `GET /`: what somebody sees who types the address into a browser.
pub async fn front_page(context: Data<Context>) -> Result<HttpResponse, Failure> {
    let has_license = context.read(|reader| Ok(Catalog::load(reader)?.licenses().next().is_some())).await?;
    page(&FrontPage { server_uuid: context.site.uuid().to_string(), version: env!("CARGO_PKG_VERSION"), has_license })
}

#[derive(Template)]
#[template(path = "reference.html")]
struct ReferencePage {
    codes: Vec<CodeRow>,
}

struct CodeRow {
    number: u16,
    sdk_code: i32,
    status: u16,
    title: &'static str,
}

/// `GET /docs`: the API in short, with every error code.
pub async fn reference_page() -> Result<HttpResponse, Failure> {
    let codes =
        ErrorCode::ALL.iter().map(|code| CodeRow { number: code.number(), sdk_code: code.sdk_code(), status: code.status(), title: code.title() }).collect();
    page(&ReferencePage { codes })
}

/// A page for a browser.
pub(super) fn page(template: &impl Template) -> Result<HttpResponse, Failure> {
    let html = template.render().map_err(|error| broken("a page", &error))?;
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'self'"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"))
        .body(html))
}

/// What can only fail when this program itself is wrong.
pub(super) fn broken(what: &str, error: &dyn std::error::Error) -> Failure {
    let request_id = RequestId::current().map(tracing::field::display);
    tracing::error!(request_id, %error, "{what} could not be made");
    Failure::new(ErrorCode::NotServing, format!("{what} could not be made; the server's log says why"))
}

/// Nothing lives at this path.
pub fn not_found() -> Failure {
    let problem = Problem { field: Some("path".to_owned()), ..Problem::new(ErrorCode::Malformed, "nothing lives at this path: /docs lists the paths") };
    Failure::from(problem).with_status(actix_web::http::StatusCode::NOT_FOUND)
}
