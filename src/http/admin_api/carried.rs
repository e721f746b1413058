//! Devices without any network: what the admin carries to the server and back (domain §3).
//! The same checks, seats and charges as over HTTP.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit::remember;
use crate::documents::carried::{self, Kind};
use crate::http::body::{read_json, read_json_within};
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::http::{Context, client_api};
use crate::protocol::authorize::AuthorizeRequest;
use crate::protocol::reports::{CarriedReports as Carried, RejectedReport, ReportsAnswer, ReportsGroup, ReportsRequest, UsageReport};
use crate::protocol::{ErrorCode, FromDevice as _, Problem, REPORTS_MAX};

/// A public trial begins once for all devices whose requests are carried here.
const ADDRESS: &str = "carried by hand";

/// What a device wrote.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CarriedRequest {
    /// The file, or its one line.
    pub request: String,
}

/// What to carry back to the device.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CarriedAnswer {
    /// The device.
    pub client_uuid: String,
    /// When its authorization ends.
    pub expires_at: String,
    /// The file.
    pub authorization: String,
    /// The same on one line, for a QR code.
    pub line: String,
}

/// Reports that a device wrote.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CarriedReports {
    /// The file, or its one line.
    pub reports: String,
}

/// What became of them.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TakenReports {
    /// The device.
    pub client_uuid: String,
    /// Taken now.
    pub accepted: usize,
    /// Taken before.
    pub duplicate: usize,
    /// Not taken, each with its reason.
    pub rejected: Vec<RejectedReport>,
    /// The receipt: the device need not keep what is in it.
    pub receipt: String,
}

/// `POST /devices/authorize`
#[utoipa::path(post, path = "/api/v1/admin/devices/authorize", tag = "devices", security(("bearer" = [])), request_body = CarriedRequest, responses(
    (status = 200, description = "The authorization, to be carried back to the device", body = CarriedAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn authorize(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: CarriedRequest = read_json(&context, &request, payload).await?;
    Ok(HttpResponse::Ok().json(answer_request(&context, &caller, &body.request).await?))
}

/// Answers what a device wrote.
///
/// # Errors
/// It is no request, or the device is refused.
pub async fn answer_request(context: &Context, caller: &Caller, text: &str) -> Result<CarriedAnswer, Failure> {
    let mut request: AuthorizeRequest = read(Kind::Request, "request", text)?;
    request.validate()?;
    let client_uuid = request.client_uuid.to_string();
    let answer = client_api::grant(context, request, None, ADDRESS.to_owned()).await?;
    remember(context, caller, "device_authorized_by_hand", format!("device {client_uuid}"), format!("until {}", answer.expires_at)).await?;
    let summary = format!(
        "Tollkeeper authorization of device {client_uuid}, until {}\nIt answers the last request that the device wrote; carry it there.\n",
        answer.expires_at
    );
    Ok(CarriedAnswer {
        client_uuid,
        expires_at: answer.expires_at.clone(),
        authorization: carried::file(Kind::Authorization, &answer, &summary),
        line: carried::line(Kind::Authorization, &answer),
    })
}

/// `POST /devices/reports`
#[utoipa::path(post, path = "/api/v1/admin/devices/reports", tag = "devices", security(("bearer" = [])), request_body = CarriedReports, responses(
    (status = 200, description = "What became of the reports, with the receipt for the device", body = TakenReports),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn take_reports(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: CarriedReports = read_json_within(&context, &request, payload, 2 * carried::MAX_BYTES).await?;
    Ok(HttpResponse::Ok().json(take_file(&context, &caller, &body.reports).await?))
}

/// Takes the reports that a device wrote.
///
/// # Errors
/// It is no file of reports, something in it makes no sense, or the device was never let in here.
pub async fn take_file(context: &Context, caller: &Caller, text: &str) -> Result<TakenReports, Failure> {
    let carried: Carried = read(Kind::Reports, "reports", text)?;
    let client_uuid = carried.client_uuid;
    let seen = carried.seen;
    let first = ReportsGroup { authorization: carried.authorization, reports: carried.reports };
    let mut requests: Vec<ReportsRequest> = std::iter::once(first)
        .chain(carried.further)
        .flat_map(|ReportsGroup { authorization, reports }| {
            let request =
                |chunk: &[UsageReport]| ReportsRequest { client_uuid, authorization: authorization.clone(), reports: chunk.to_vec(), seen: seen.clone() };
            reports.chunks(REPORTS_MAX).map(request).collect::<Vec<_>>()
        })
        .collect();
    // Nothing is taken of a file in which something makes no sense.
    requests.iter_mut().try_for_each(ReportsRequest::validate)?;
    let (mut whole, mut refused): (Option<ReportsAnswer>, Vec<(ReportsRequest, Failure)>) = (None, Vec::new());
    for request in requests {
        let claims = match client_api::check_authorization(context, &request.authorization, client_uuid) {
            Ok(claims) => claims,
            // What was done under another authorization is not held up by this one.
            Err(failure) => {
                refused.push((request, failure));
                continue;
            }
        };
        let answer = client_api::take_reports(context, request, claims).await?;
        match &mut whole {
            None => whole = Some(answer),
            Some(whole) => {
                let ReportsAnswer { accepted, duplicate, rejected, origin, sequence, safe, lost, server_time } = answer;
                whole.accepted.extend(accepted);
                whole.duplicate.extend(duplicate);
                whole.rejected.extend(rejected);
                (whole.origin, whole.sequence, whole.safe, whole.lost, whole.server_time) = (origin, sequence, safe, lost, server_time);
            }
        }
    }
    if let Some(whole) = &mut whole {
        for (request, failure) in refused {
            let reject = |report: &UsageReport| RejectedReport {
                report_id: report.report_id,
                code: ErrorCode::NotAuthorized.number(),
                detail: failure.detail().to_owned(),
            };
            whole.rejected.extend(request.reports.iter().map(reject));
        }
    } else if let Some((_, failure)) = refused.into_iter().next() {
        return Err(failure);
    }
    let answer = whole.ok_or_else(|| Failure::malformed("reports", "there is no report in this file"))?;
    let here = carried::counted_reports(answer.accepted.len() + answer.duplicate.len());
    let summary = format!("Tollkeeper receipt for device {client_uuid}: {here} on this server\n");
    let told = format!("{} taken, {} were here already, {} not taken", answer.accepted.len(), answer.duplicate.len(), answer.rejected.len());
    remember(context, caller, "reports_carried", format!("device {client_uuid}"), told).await?;
    Ok(TakenReports {
        client_uuid: client_uuid.to_string(),
        accepted: answer.accepted.len(),
        duplicate: answer.duplicate.len(),
        rejected: answer.rejected.clone(),
        receipt: carried::file(Kind::Receipt, &answer, &summary),
    })
}

fn read<T: serde::de::DeserializeOwned>(kind: Kind, field: &str, text: &str) -> Result<T, Failure> {
    carried::read(kind, text).map_err(|error| Failure::malformed(field, error.to_string()))
}
