//! Devices and their seats.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::commands::release_seat::ReleaseByAdmin;
use crate::commands::reset_device::ResetDevice;
use crate::http::Context;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::licensing::{ClientUuid, ItemId};
use crate::protocol::{ErrorCode, Problem};
use crate::store::catalog::Catalog;
use crate::store::devices::{Device, Range, Sort};
use crate::store::refusals::Refusal;
use crate::store::{Error, Reader, devices, refusals, seats};

/// Most devices in one answer.
pub const PAGE_MAX: usize = 1_000;
/// Most refusals in the listing of all devices'.
pub const LATEST_MAX: usize = 200;

/// A device in a listing.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TriedRow {
    /// The item.
    pub item_id: u64,
    /// The error code at which it stopped.
    pub code: u16,
    /// What that code means.
    pub reason: String,
    /// The field at which it stopped, such as `version`.
    #[serde(default)]
    pub field: String,
    /// What the item permits.
    pub expected: String,
    /// What was asked for or found.
    pub given: String,
}

impl DeviceRow {
    /// A device for a listing.
    pub fn of(catalog: &Catalog, device: Device) -> Self {
        Self {
            client_uuid: device.client.to_string(),
            first_seen: rfc3339(device.first_seen_at),
            last_seen: rfc3339(device.last_seen_at),
            refusals: device.refusals.into_iter().map(|refusal| refusal_row(catalog, refusal)).collect(),
            seats: device.seats.into_iter().map(|(item, until)| SeatRow { item_id: item.0, active_until: rfc3339(until), releases_left: None }).collect(),
        }
    }
}

/// Which field an error code of domain §9 is about.
const fn field_of(code: u16) -> &'static str {
    match code {
        102 => "session password",
        103 => "domain",
        106 => "product",
        107 => "version",
        108 => "deployment type",
        109 => "edition",
        111 => "end of validity",
        112 => "begin of validity",
        113 => "revocation",
        114 => "application ID or process name",
        115 => "charge way",
        120 => "quota and grace",
        124 => "needed item",
        151 => "ticket",
        204 => "module",
        _ => "",
    }
}

/// A refusal for a listing.
pub fn refusal_row(catalog: &Catalog, refusal: Refusal) -> RefusalRow {
    let code = refusal.code.and_then(|code| catalog.find_code(code));
    let tried = refusal.tried.into_iter().map(|tried| TriedRow {
        item_id: tried.item.0,
        code: tried.reason,
        reason: ErrorCode::from_number(tried.reason).map_or(String::new(), |code| code.title().to_owned()),
        field: field_of(tried.reason).to_owned(),
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
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SeatRow {
    /// The item.
    pub item_id: u64,
    /// When the seat is free again, unless it is refreshed.
    pub active_until: String,
    /// How often seats of the item may still be freed by hand; only where one device is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releases_left: Option<u64>,
}

/// How often seats of an item may still be freed by hand.
pub fn releases_left(reader: &Reader, catalog: &Catalog, item: ItemId) -> Result<u64, Error> {
    let allowance = catalog.find_item(item).map_or(0, |entry| u64::from(entry.item.release_allowance));
    Ok(allowance.saturating_sub(seats::count_admin_releases(reader, item)?))
}

/// Which page of the listing.
#[derive(Debug, Deserialize)]
pub struct Page {
    after: Option<String>,
    search: Option<String>,
    sort: Option<String>,
}

/// In which order, `None` for that of the UUIDs.
///
/// # Errors
/// The field that is wrong.
pub fn sort_of(sort: &str) -> Result<Option<Sort>, (&'static str, String)> {
    let (by, is_down) = sort.strip_prefix('-').map_or((sort, false), |by| (by, true));
    match by {
        "" => Ok(None),
        "first_seen" | "last_seen" => Ok(Some(Sort { is_by_last: by == "last_seen", is_down })),
        _ => {
            Err(("sort", format!("'{}' is no order: give first_seen or last_seen, with - before it for the latest first", crate::licensing::id::shorten(sort))))
        }
    }
}

/// Which devices a question is about.
///
/// # Errors
/// The field that is wrong.
pub fn range_of(search: &str, after: &str) -> Result<Range, (&'static str, String)> {
    let told = || ("search", format!("'{}' is not the beginning of a UUID: give hexadecimal digits such as 6f1c2b9e", crate::licensing::id::shorten(search)));
    let range = Range::with_prefix(search.trim()).ok_or_else(told)?;
    match after {
        "" => Ok(range),
        after => Ok(range.after(after.parse().map_err(|bad: crate::licensing::id::BadName| ("after", bad.to_string()))?)),
    }
}

/// `GET /devices?search=PREFIX&after=UUID&sort=-last_seen`: at most [`PAGE_MAX`] devices, in order of their UUIDs or as asked for.
#[utoipa::path(get, path = "/api/v1/admin/devices", tag = "devices", security(("bearer" = [])), params(("search" = Option<String>, Query, description = "What the UUID begins with"), ("after" = Option<String>, Query, description = "The last UUID of the page before; not with `sort`"), ("sort" = Option<String>, Query, description = "`first_seen` or `last_seen`, with `-` before it for the latest first; at most 20,000 devices are sorted")), responses(
    (status = 200, description = "At most 1,000 devices, in order of their UUIDs or as asked for", body = Vec<DeviceRow>),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(context: Data<Context>, page: Query<Page>) -> Result<HttpResponse, Failure> {
    let (search, after) = (page.search.as_deref().unwrap_or_default(), page.after.as_deref().unwrap_or_default());
    let range = range_of(search, after).map_err(|(field, text)| Failure::malformed(field, text))?;
    let sort = sort_of(page.sort.as_deref().unwrap_or_default()).map_err(|(field, text)| Failure::malformed(field, text))?;
    let now = context.clock.now_seconds();
    let found = match sort {
        None => context.read(move |reader| devices::list(reader, &range, PAGE_MAX, now)).await?,
        Some(_) if !after.is_empty() => {
            return Err(Failure::malformed("after", "only the order of the UUIDs can be continued: leave 'sort' or 'after' out"));
        }
        Some(sort) => {
            let sorted = context.read(move |reader| devices::list_sorted(reader, &range, sort, 0, PAGE_MAX, now)).await?;
            let told = || format!("more than {} devices cannot be sorted: give the first digits of their UUIDs as 'search'", devices::SORTABLE);
            sorted.ok_or_else(|| Failure::malformed("sort", told()))?.1
        }
    };
    let catalog = context.writer().catalog();
    Ok(HttpResponse::Ok().json(found.into_iter().map(|device| DeviceRow::of(&catalog, device)).collect::<Vec<_>>()))
}

/// `GET /devices/{uuid}`
#[utoipa::path(get, path = "/api/v1/admin/devices/{uuid}", tag = "devices", security(("bearer" = [])), params(("uuid" = String, Path, description = "The device's client UUID")), responses(
    (status = 200, description = "The device, with how often its seats may still be freed by hand", body = DeviceRow),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(context: Data<Context>, client: Path<String>) -> Result<HttpResponse, Failure> {
    let client: ClientUuid = parse("uuid", &client)?;
    let (device, left) = find(&context, client).await?.ok_or_else(|| unknown(client))?;
    let mut row = DeviceRow::of(&context.writer().catalog(), device);
    for (seat, left) in row.seats.iter_mut().zip(left) {
        seat.releases_left = Some(left);
    }
    Ok(HttpResponse::Ok().json(row))
}

/// Nothing is known of a device.
pub fn unknown(client: ClientUuid) -> Failure {
    crate::commands::Refusal::NotFound(format!("device {client} never asked this server: `device list` shows the devices")).into()
}

/// A device, and for each of its seats how often seats of that item may still be freed by hand.
pub async fn find(context: &Context, client: ClientUuid) -> Result<Option<(Device, Vec<u64>)>, Failure> {
    let (now, catalog) = (context.clock.now_seconds(), context.writer().catalog());
    context
        .read(move |reader| {
            let Some(device) = devices::find(reader, client, now)? else { return Ok(None) };
            let left = device.seats.iter().map(|(item, _)| releases_left(reader, &catalog, *item)).collect::<Result<_, _>>()?;
            Ok(Some((device, left)))
        })
        .await
}

/// `GET /devices/{uuid}/refusals`: why a device was refused in the last 30 days, newest first.
#[utoipa::path(get, path = "/api/v1/admin/devices/{uuid}/refusals", tag = "devices", security(("bearer" = [])), params(("uuid" = String, Path, description = "The device's client UUID")), responses(
    (status = 200, description = "Why the device was refused in the last 30 days, newest first", body = Vec<RefusalRow>),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn refusals(context: Data<Context>, client: Path<String>) -> Result<HttpResponse, Failure> {
    let client: ClientUuid = parse("uuid", &client)?;
    let since = context.clock.now_seconds() - refusals::KEPT / 1_000_000;
    let found = context.read(move |reader| refusals::list(reader, client, since, refusals::KEPT_OF_A_DEVICE)).await?;
    Ok(rows_of(&context, found))
}

/// `GET /refusals`: the latest refusals of all devices, at most 200, newest first.
#[utoipa::path(get, path = "/api/v1/admin/refusals", tag = "devices", security(("bearer" = [])), responses(
    (status = 200, description = "The latest refusals of all devices, at most 200, newest first", body = Vec<RefusalRow>),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
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
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Released {
    /// Further releases by hand that the item allows.
    pub releases_left: u64,
}

/// `DELETE /devices/{uuid}/seats/{item}`
#[utoipa::path(delete, path = "/api/v1/admin/devices/{uuid}/seats/{item}", tag = "devices", security(("bearer" = [])), params(("uuid" = String, Path, description = "The device's client UUID"), ("item" = u64, Path, description = "The item's number")), responses(
    (status = 200, description = "The seat is free; what is left of the allowance", body = Released),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn release(caller: Caller, context: Data<Context>, path: Path<(String, String)>) -> Result<HttpResponse, Failure> {
    let (client, item) = path.into_inner();
    let command = ReleaseByAdmin { client: parse("uuid", &client)?, item: parse::<ItemId>("item", &item)?, by: caller.name };
    let releases_left = context.writer().submit(command).await??;
    Ok(HttpResponse::Ok().json(Released { releases_left }))
}

/// `POST /devices/{uuid}/reset`
#[utoipa::path(post, path = "/api/v1/admin/devices/{uuid}/reset", tag = "devices", security(("bearer" = [])), params(("uuid" = String, Path, description = "The device's client UUID")), responses(
    (status = 204, description = "The device may come in again after a clone alarm"),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn reset(caller: Caller, context: Data<Context>, client: Path<String>) -> Result<HttpResponse, Failure> {
    context.writer().submit(ResetDevice { client: parse("uuid", &client)?, by: caller.name }).await??;
    Ok(HttpResponse::NoContent().finish())
}

fn parse<T: std::str::FromStr<Err = crate::licensing::id::BadName>>(field: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|bad: T::Err| Failure::malformed(field, bad.to_string()))
}
