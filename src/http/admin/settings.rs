//! What the admin sets while the server runs (pages, "Settings").

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use askama::Template;

use super::chrome::{Chrome, PageResult, go, page, page_with};
use super::form::Fields;
use super::shown::Errors;
use crate::http::Context;
use crate::http::admin_api::settings::{RETENTION_RANGE, SettingsAnswer, SettingsChanges, read, write};
use crate::http::caller::Caller;
use crate::http::problem::Failure;

const SECTION: &str = "/admin/settings";

/// Offsets of the world's clocks from UTC, in minutes.
const OFFSETS: [i32; 38] = [
    -720, -660, -600, -570, -540, -480, -420, -360, -300, -240, -210, -180, -150, -120, -60, 0, 60, 120, 180, 210, 240, 270, 300, 330, 345, 360, 390, 420, 480,
    525, 540, 570, 600, 630, 660, 720, 780, 840,
];

struct Offset {
    minutes: i32,
    text: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "admin/settings.html")]
struct SettingsPage {
    page: Chrome,
    errors: Errors,
    server_urls: String,
    server_urls_in_use: Vec<String>,
    server_urls_are_set: bool,
    site_name: String,
    offsets: Vec<Offset>,
    retention_days: String,
    least_days: u32,
    most_days: u32,
    device_requests: String,
    address_requests: String,
}

fn offset_text(minutes: i32) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    let text = format!("UTC{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60);
    if minutes == 0 { "UTC".to_owned() } else { text }
}

fn offsets(chosen: i32) -> Vec<Offset> {
    let mut all = OFFSETS.to_vec();
    if !all.contains(&chosen) {
        all.push(chosen);
        all.sort_unstable();
    }
    all.into_iter().map(|minutes| Offset { minutes, text: offset_text(minutes), is_chosen: minutes == chosen }).collect()
}

async fn around(caller: &Caller, context: &Context, request: &HttpRequest, now: SettingsAnswer) -> Result<SettingsPage, Failure> {
    Ok(SettingsPage {
        page: Chrome::of(context, request, caller, SECTION, "Settings").await?,
        errors: Errors::default(),
        server_urls: if now.server_urls_are_set { now.server_urls.join("\n") } else { String::new() },
        server_urls_in_use: now.server_urls,
        server_urls_are_set: now.server_urls_are_set,
        site_name: now.site_name,
        offsets: offsets(now.utc_offset_minutes),
        retention_days: now.retention_days.to_string(),
        least_days: RETENTION_RANGE.0,
        most_days: RETENTION_RANGE.1,
        device_requests: now.device_requests_per_minute.to_string(),
        address_requests: now.address_requests_per_minute.to_string(),
    })
}

/// `GET /admin/settings`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    let now = read(&context).await?;
    Ok(page(&around(&caller, &context, &request, now).await?)?)
}

/// A number of the form, if it is another than now.
fn changed<T: std::str::FromStr + PartialEq>(fields: &Fields, name: &str, now: T, errors: &mut Errors) -> Option<T> {
    match fields.trimmed(name).parse::<T>() {
        Ok(value) => (value != now).then_some(value),
        Err(_) => {
            errors.add(name, "must be a whole number");
            None
        }
    }
}

/// `POST /admin/settings`
pub async fn change(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let (now, mut errors) = (read(&context).await?, Errors::default());
    let urls = fields.lines("server_urls");
    let urls_now = if now.server_urls_are_set { now.server_urls.clone() } else { Vec::new() };
    let mut changes = SettingsChanges {
        server_urls: Some(urls),
        site_name: Some(fields.trimmed("site_name").to_owned()).filter(|name| *name != now.site_name),
        utc_offset_minutes: changed(&fields, "utc_offset_minutes", now.utc_offset_minutes, &mut errors),
        retention_days: changed(&fields, "retention_days", now.retention_days, &mut errors),
        device_requests_per_minute: changed(&fields, "device_requests_per_minute", now.device_requests_per_minute, &mut errors),
        address_requests_per_minute: changed(&fields, "address_requests_per_minute", now.address_requests_per_minute, &mut errors),
        alert_check_minutes: None,
        alert_thresholds: None,
    };
    for (field, text) in changes.check() {
        errors.add(field, text);
    }
    changes.server_urls = changes.server_urls.filter(|urls| *urls != urls_now);
    if errors.is_empty() {
        if changes == SettingsChanges::default() {
            return Ok(go(SECTION, "Nothing was changed."));
        }
        let are_keys_new = changes.server_urls.is_some();
        write(&context, &caller, changes).await?;
        let more =
            if are_keys_new { " License keys carry the new URLs from now on: give them to the developers of applications that shall use them." } else { "" };
        return Ok(go(SECTION, format!("The settings are saved and hold from now on.{more}")));
    }
    let mut template = around(&caller, &context, &request, now).await?;
    template.errors = errors;
    template.server_urls = fields.text("server_urls").to_owned();
    template.site_name = fields.text("site_name").to_owned();
    if let Ok(minutes) = fields.trimmed("utc_offset_minutes").parse() {
        template.offsets = offsets(minutes);
    }
    template.retention_days = fields.text("retention_days").to_owned();
    template.device_requests = fields.text("device_requests_per_minute").to_owned();
    template.address_requests = fields.text("address_requests_per_minute").to_owned();
    Ok(page_with(StatusCode::BAD_REQUEST, &template)?)
}
