//! Devices and their seats.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use serde::{Deserialize, Serialize};

use super::CONSOLE;
use crate::clock::rfc3339;
use crate::commands::release_seat::ReleaseByAdmin;
use crate::commands::reset_device::ResetDevice;
use crate::http::Context;
use crate::http::problem::Failure;
use crate::licensing::{ClientUuid, ItemId};
use crate::store::devices;

/// Most devices in one answer.
pub const PAGE_MAX: usize = 1_000;

/// A device in a listing.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeviceRow {
    /// Its UUID.
    pub client_uuid: String,
    /// When it was first authorized.
    pub first_seen: String,
    /// When it was last authorized or reported.
    pub last_seen: String,
    /// The seats it holds.
    pub seats: Vec<SeatRow>,
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
    let rows: Vec<_> = found
        .into_iter()
        .map(|device| DeviceRow {
            client_uuid: device.client.to_string(),
            first_seen: rfc3339(device.first_seen_at),
            last_seen: rfc3339(device.last_seen_at),
            seats: device.seats.into_iter().map(|(item, until)| SeatRow { item_id: item.0, active_until: rfc3339(until) }).collect(),
        })
        .collect();
    Ok(HttpResponse::Ok().json(rows))
}

/// What a release left of the allowance.
#[derive(Debug, Serialize, Deserialize)]
pub struct Released {
    /// Further releases by hand that the item allows.
    pub releases_left: u64,
}

/// `DELETE /devices/{uuid}/seats/{item}`
pub async fn release(context: Data<Context>, path: Path<(String, String)>) -> Result<HttpResponse, Failure> {
    let (client, item) = path.into_inner();
    let command = ReleaseByAdmin { client: parse("uuid", &client)?, item: parse::<ItemId>("item", &item)? };
    let releases_left = context.writer().submit(command).await??;
    Ok(HttpResponse::Ok().json(Released { releases_left }))
}

/// `POST /devices/{uuid}/reset`
pub async fn reset(context: Data<Context>, client: Path<String>) -> Result<HttpResponse, Failure> {
    context.writer().submit(ResetDevice { client: parse("uuid", &client)?, by: CONSOLE.to_owned() }).await??;
    Ok(HttpResponse::NoContent().finish())
}

fn parse<T: std::str::FromStr<Err = crate::licensing::id::BadName>>(field: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|bad: T::Err| Failure::malformed(field, bad.to_string()))
}
