//! Devices and their seats.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use serde::{Deserialize, Serialize};

use crate::clock::rfc3339;
use crate::commands::release_seat::ReleaseByAdmin;
use crate::commands::reset_device::ResetDevice;
use crate::http::Context;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::licensing::{ClientUuid, ItemId};
use crate::protocol::ErrorCode;
use crate::store::catalog::Catalog;
use crate::store::refusals::Refusal;
use crate::store::{devices, refusals};

/// Most devices in one answer.
pub const PAGE_MAX: usize = 1_000;
/// Most refusals in the listing of all devices'.
const LATEST_MAX: usize = 200;

/// A device in a listing.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeviceRow {
    /// Its UUID.
    pub client_uuid: String,
    /// When it was first authorized, or refused.
    pub first_seen: String,
    /// When it was last heard of.
    pub last_seen: String,
    /// The seats it holds.
    pub seats: Vec<SeatRow>,
    /// Why it was refused lately, newest first; all of it in `GET /devices/{uuid}/refusals`.
    #[serde(default)]
    pub refusals: Vec<RefusalRow>,
}

/// A refusal in a listing. Refusals are kept for 30 days.
#[derive(Debug, Serialize, Deserialize)]
pub struct RefusalRow {
    /// The device.
    pub client_uuid: String,
    /// When.
    pub at: String,
    /// The code it was refused under, as it is called now.
    pub handshake_code: Option<String>,
    /// What the request named, where there is no such code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub asked: String,
    /// The error code.
    pub code: u16,
    /// In words, with what the device was not told.
    pub detail: String,
    /// How far each item got.
    pub tried: Vec<TriedRow>,
}

/// How far an item got.
#[derive(Debug, Serialize, Deserialize)]
pub struct TriedRow {
    /// The item.
    pub item_id: u64,
    /// The error code at which it stopped.
    pub code: u16,
    /// What that code means.
    pub reason: String,
    /// What the item permits.
    pub expected: String,
    /// What was asked for or found.
    pub given: String,
}

fn refusal_row(catalog: &Catalog, refusal: Refusal) -> RefusalRow {
    let code = refusal.code.and_then(|code| catalog.find_code(code));
    let tried = refusal.tried.into_iter().map(|tried| TriedRow {
        item_id: tried.item.0,
        code: tried.reason,
        reason: ErrorCode::from_number(tried.reason).map_or(String::new(), |code| code.title().to_owned()),
        expected: tried.expected,
        given: tried.given,
    });
    RefusalRow {
        client_uuid: refusal.client.to_string(),
        at: rfc3339(refusal.at),
        handshake_code: code.map(|code| code.name()),
        asked: if code.is_some() { String::new() } else { refusal.asked },
        code: refusal.reason,
        detail: refusal.detail,
        tried: tried.collect(),
    }
}

/// A seat in a listing.
#[derive(Debug, Serialize, Deserialize)]
pub struct SeatRow {
    /// The item.
    pub item_id: u64,
    /// When the seat is free again, unless it is refreshed.
    pub active_until: String,
}

/// Which page of the listing.
#[derive(Debug, Deserialize)]
pub struct Page {
    after: Option<String>,
}

/// `GET /devices?after=UUID`: at most [`PAGE_MAX`] devices, in order of their UUIDs.
pub async fn list(context: Data<Context>, page: Query<Page>) -> Result<HttpResponse, Failure> {
    let after = page.after.as_deref().map(|text| parse::<ClientUuid>("after", text)).transpose()?;
    let now = context.clock.now_seconds();
    let found = context.read(move |reader| devices::list(reader, after, PAGE_MAX, now)).await?;
    let catalog = context.writer().catalog();
    let rows: Vec<_> = found
        .into_iter()
        .map(|device| DeviceRow {
            client_uuid: device.client.to_string(),
            first_seen: rfc3339(device.first_seen_at),
            last_seen: rfc3339(device.last_seen_at),
            refusals: device.refusals.into_iter().map(|refusal| refusal_row(&catalog, refusal)).collect(),
            seats: device.seats.into_iter().map(|(item, until)| SeatRow { item_id: item.0, active_until: rfc3339(until) }).collect(),
        })
        .collect();
    Ok(HttpResponse::Ok().json(rows))
}

/// `GET /devices/{uuid}/refusals`: why a device was refused in the last 30 days, newest first.
pub async fn refusals(context: Data<Context>, client: Path<String>) -> Result<HttpResponse, Failure> {
    let client: ClientUuid = parse("uuid", &client)?;
    let since = context.clock.now_seconds() - refusals::KEPT / 1_000_000;
    let found = context.read(move |reader| refusals::list(reader, client, since, refusals::KEPT_OF_A_DEVICE)).await?;
    Ok(rows_of(&context, found))
}

/// `GET /refusals`: the latest refusals of all devices, at most 200, newest first.
pub async fn latest_refusals(context: Data<Context>) -> Result<HttpResponse, Failure> {
    let since = context.clock.now_seconds() - refusals::KEPT / 1_000_000;
    let found = context.read(move |reader| refusals::list_latest(reader, since, LATEST_MAX)).await?;
    Ok(rows_of(&context, found))
}

fn rows_of(context: &Context, found: Vec<Refusal>) -> HttpResponse {
    let catalog = context.writer().catalog();
    HttpResponse::Ok().json(found.into_iter().map(|refusal| refusal_row(&catalog, refusal)).collect::<Vec<_>>())
}

/// What a release left of the allowance.
#[derive(Debug, Serialize, Deserialize)]
pub struct Released {
    /// Further releases by hand that the item allows.
    pub releases_left: u64,
}

/// `DELETE /devices/{uuid}/seats/{item}`
pub async fn release(caller: Caller, context: Data<Context>, path: Path<(String, String)>) -> Result<HttpResponse, Failure> {
    let (client, item) = path.into_inner();
    let command = ReleaseByAdmin { client: parse("uuid", &client)?, item: parse::<ItemId>("item", &item)?, by: caller.name };
    let releases_left = context.writer().submit(command).await??;
    Ok(HttpResponse::Ok().json(Released { releases_left }))
}

/// `POST /devices/{uuid}/reset`
pub async fn reset(caller: Caller, context: Data<Context>, client: Path<String>) -> Result<HttpResponse, Failure> {
    context.writer().submit(ResetDevice { client: parse("uuid", &client)?, by: caller.name }).await??;
    Ok(HttpResponse::NoContent().finish())
}

fn parse<T: std::str::FromStr<Err = crate::licensing::id::BadName>>(field: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|bad: T::Err| Failure::malformed(field, bad.to_string()))
}
