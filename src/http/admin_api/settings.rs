//! What the admin sets while the server runs. What is not set here is as `tollkeeper.toml`, the
//! environment and the flags said at the start.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::alerts;
use crate::commands::preferences::{Display, RateLimits, SetPreference, names};
use crate::http::Context;
use crate::http::body::read_json;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::http::rate_limit;
use crate::licensing::thresholds::Thresholds;
use crate::protocol::Problem;
use crate::store::preferences;

/// Days that reports are kept where nothing is set (architecture §2).
pub const RETENTION_DAYS: u32 = 400;
/// Fewest and most days that reports are kept.
pub const RETENTION_RANGE: (u32, u32) = (30, 3_650);
/// Fewest and most minutes from one look at the thresholds to the next.
pub const CHECK_MINUTES_RANGE: (u32, u32) = (1, 1_440);
/// Most requests a minute that can be set as a limit.
const RATE_MAX: u32 = 1_000_000;
const URLS_MAX: usize = 10;
const URL_BYTES: usize = 256;
const SITE_NAME_MAX: usize = 64;
/// The clocks of the world lie between these, in minutes from UTC.
const OFFSET_RANGE: (i32, i32) = (-12 * 60, 14 * 60);

/// What is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SettingsAnswer {
    /// The URLs that go into license keys.
    pub server_urls: Vec<String>,
    /// Whether they were set here; else they come from the server's settings and listeners.
    pub server_urls_are_set: bool,
    /// The site's name, shown on every page.
    pub site_name: String,
    /// Minutes that the site's clock is ahead of UTC.
    pub utc_offset_minutes: i32,
    /// Days that reports are kept.
    pub retention_days: u32,
    /// Requests of one device in a minute; 0: no limit.
    pub device_requests_per_minute: u32,
    /// Requests from one network address in a minute; 0: no limit.
    pub address_requests_per_minute: u32,
    /// Minutes from one look at the thresholds to the next.
    pub alert_check_minutes: u32,
    /// When alerts are raised.
    #[schema(value_type = Object)]
    pub alert_thresholds: Thresholds,
}

/// What changes; absent fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SettingsChanges {
    /// URLs for license keys; an empty list goes back to those of the server's settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_urls: Option<Vec<String>>,
    /// The site's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site_name: Option<String>,
    /// Minutes that the site's clock is ahead of UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utc_offset_minutes: Option<i32>,
    /// Days that reports are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// Requests of one device in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_requests_per_minute: Option<u32>,
    /// Requests from one network address in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_requests_per_minute: Option<u32>,
    /// Minutes from one look at the thresholds to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert_check_minutes: Option<u32>,
    /// When alerts are raised.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub alert_thresholds: Option<Thresholds>,
}

/// A field that is wrong, and what to do.
pub type FieldError = (&'static str, String);

impl SettingsChanges {
    /// Brings values into their usual form and names every field that is wrong.
    pub fn check(&mut self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(urls) = &mut self.server_urls {
            for url in &mut *urls {
                url.truncate(url.trim_end().trim_end_matches('/').len());
            }
            if let Some(error) = check_urls(urls) {
                errors.push(("server_urls", error));
            }
        }
        if let Some(name) = &mut self.site_name {
            *name = name.trim().to_owned();
            if name.chars().count() > SITE_NAME_MAX || name.chars().any(char::is_control) {
                errors.push(("site_name", format!("must be at most {SITE_NAME_MAX} characters on one line")));
            }
        }
        if self.utc_offset_minutes.is_some_and(|minutes| !(OFFSET_RANGE.0..=OFFSET_RANGE.1).contains(&minutes)) {
            errors.push(("utc_offset_minutes", "must lie between UTC-12:00 and UTC+14:00".to_owned()));
        }
        let (least, most) = RETENTION_RANGE;
        if self.retention_days.is_some_and(|days| !(least..=most).contains(&days)) {
            errors.push(("retention_days", format!("must be a whole number from {least} to {most}")));
        }
        for (field, value) in
            [("device_requests_per_minute", self.device_requests_per_minute), ("address_requests_per_minute", self.address_requests_per_minute)]
        {
            if value.is_some_and(|value| value > RATE_MAX) {
                errors.push((field, format!("must be a whole number from 0 to {RATE_MAX}; 0 is no limit")));
            }
        }
        let (least, most) = CHECK_MINUTES_RANGE;
        if self.alert_check_minutes.is_some_and(|minutes| !(least..=most).contains(&minutes)) {
            errors.push(("alert_check_minutes", format!("must be a whole number from {least} to {most}")));
        }
        if let Some(thresholds) = &mut self.alert_thresholds {
            errors.extend(check_thresholds(thresholds));
        }
        errors
    }
}

fn check_urls(urls: &[String]) -> Option<String> {
    if urls.len() > URLS_MAX {
        return Some(format!("are more than {URLS_MAX}: keep those that devices can reach"));
    }
    for (n, url) in urls.iter().enumerate() {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let is_ok = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':', '?', '#']) && !rest.contains(['?', '#']));
        let shown = crate::licensing::id::shorten(url);
        if !is_ok || url.len() > URL_BYTES || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Some(format!("'{shown}' is no address of a server: write it as https://license.plant.example:48443"));
        }
        if urls[..n].contains(url) {
            return Some(format!("'{shown}' stands there twice: remove one"));
        }
    }
    None
}

fn check_thresholds(thresholds: &mut Thresholds) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let lists: [(&'static str, &mut Vec<u32>, u32, u32); 6] = [
        ("seats", &mut thresholds.seats, 1, 1_000),
        ("day_seats", &mut thresholds.day_seats, 1, 1_000),
        ("units", &mut thresholds.units, 1, 1_000),
        ("tolerance", &mut thresholds.tolerance, 1, 100),
        ("failures", &mut thresholds.failures, 1, 100),
        ("days_to_end", &mut thresholds.days_to_end, 0, 365),
    ];
    for (field, list, least, most) in lists {
        list.sort_unstable();
        list.dedup();
        if list.len() > 20 || list.iter().any(|value| !(least..=most).contains(value)) {
            errors.push((field, format!("must be at most 20 whole numbers from {least} to {most}, separated by commas")));
        }
    }
    // Days are told from far to near, as they come.
    thresholds.days_to_end.reverse();
    if !(1..=1_000_000).contains(&thresholds.failures_from_requests) {
        errors.push(("failures_from_requests", "must be a whole number from 1 to 1000000".to_owned()));
    }
    errors
}

/// What is set.
///
/// # Errors
/// The database cannot be read.
pub async fn read(context: &Context) -> Result<SettingsAnswer, Failure> {
    let (display, retention, rates) = context
        .read(|reader| {
            Ok((
                preferences::read::<Display>(reader, names::DISPLAY)?,
                preferences::read::<u32>(reader, names::RETENTION_DAYS)?,
                preferences::read::<RateLimits>(reader, names::RATE_LIMITS)?,
            ))
        })
        .await?;
    let catalog = context.writer().catalog();
    let (site_name, utc_offset_minutes) = display.map(|display| (display.site_name, display.utc_offset_minutes)).unwrap_or_default();
    let rates = rates.unwrap_or_else(|| rate_limit::of_settings(&context.limits));
    Ok(SettingsAnswer {
        server_urls: context.urls(),
        server_urls_are_set: catalog.server_urls().is_some(),
        site_name,
        utc_offset_minutes,
        retention_days: retention.unwrap_or(RETENTION_DAYS),
        device_requests_per_minute: rates.device_requests_per_minute,
        address_requests_per_minute: rates.address_requests_per_minute,
        alert_check_minutes: alerts::check_minutes(context).await?,
        alert_thresholds: alerts::thresholds(context).await?,
    })
}

/// Sets what changes, once [`SettingsChanges::check`] found nothing wrong. What holds at once is
/// taken over at once.
///
/// # Errors
/// It cannot be written.
pub async fn write(context: &Context, caller: &Caller, changes: SettingsChanges) -> Result<(), Failure> {
    let now = read(context).await?;
    if let Some(urls) = changes.server_urls {
        let told = if urls.is_empty() { "as the server's settings say".to_owned() } else { urls.join(", ") };
        set(context, caller, names::SERVER_URLS, (!urls.is_empty()).then(|| json(&urls)), told).await?;
    }
    if changes.site_name.is_some() || changes.utc_offset_minutes.is_some() {
        let display =
            Display { site_name: changes.site_name.unwrap_or(now.site_name), utc_offset_minutes: changes.utc_offset_minutes.unwrap_or(now.utc_offset_minutes) };
        let told = format!("site '{}', clock {} minutes ahead of UTC", display.site_name, display.utc_offset_minutes);
        set(context, caller, names::DISPLAY, Some(json(&display)), told).await?;
    }
    if let Some(days) = changes.retention_days {
        set(context, caller, names::RETENTION_DAYS, Some(json(&days)), format!("{days} days")).await?;
    }
    if changes.device_requests_per_minute.is_some() || changes.address_requests_per_minute.is_some() {
        let limits = RateLimits {
            device_requests_per_minute: changes.device_requests_per_minute.unwrap_or(now.device_requests_per_minute),
            address_requests_per_minute: changes.address_requests_per_minute.unwrap_or(now.address_requests_per_minute),
        };
        let told = format!("{} a minute for a device, {} for an address; 0 is no limit", limits.device_requests_per_minute, limits.address_requests_per_minute);
        set(context, caller, names::RATE_LIMITS, Some(json(&limits)), told).await?;
        context.rate.set(limits);
    }
    if let Some(minutes) = changes.alert_check_minutes {
        set(context, caller, names::ALERT_MINUTES, Some(json(&minutes)), format!("every {minutes} minutes")).await?;
    }
    if let Some(thresholds) = changes.alert_thresholds {
        let told = if thresholds == Thresholds::default() { "the usual ones".to_owned() } else { json(&thresholds) };
        set(context, caller, names::THRESHOLDS, Some(json(&thresholds)), told).await?;
    }
    Ok(())
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers, texts and lists of them are JSON")
}

async fn set(context: &Context, caller: &Caller, name: &'static str, value: Option<String>, told: String) -> Result<(), Failure> {
    context.writer().submit(SetPreference { name, value, told, by: caller.name.clone() }).await??;
    Ok(())
}

/// `GET /settings`
#[utoipa::path(get, path = "/api/v1/admin/settings", tag = "settings", security(("bearer" = [])), responses(
    (status = 200, description = "What is set", body = SettingsAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(context: Data<Context>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(read(&context).await?))
}

/// `PATCH /settings`
#[utoipa::path(patch, path = "/api/v1/admin/settings", tag = "settings", security(("bearer" = [])), request_body = SettingsChanges, responses(
    (status = 200, description = "What is set now", body = SettingsAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn change(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let mut changes: SettingsChanges = read_json(&context, &request, payload).await?;
    if let Some((field, text)) = changes.check().into_iter().next() {
        return Err(Failure::malformed(field, text));
    }
    write(&context, &caller, changes).await?;
    show(context).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_is_wrong_is_named() {
        let mut changes = SettingsChanges {
            server_urls: Some(vec!["main:48443".into()]),
            site_name: Some("x".repeat(65)),
            utc_offset_minutes: Some(15 * 60),
            retention_days: Some(29),
            device_requests_per_minute: Some(RATE_MAX + 1),
            alert_check_minutes: Some(0),
            alert_thresholds: Some(Thresholds { seats: vec![0], failures_from_requests: 0, ..Thresholds::default() }),
            ..SettingsChanges::default()
        };
        let fields: Vec<_> = changes.check().into_iter().map(|(field, _)| field).collect();
        assert_eq!(
            fields,
            [
                "server_urls",
                "site_name",
                "utc_offset_minutes",
                "retention_days",
                "device_requests_per_minute",
                "alert_check_minutes",
                "seats",
                "failures_from_requests"
            ]
        );
        let mut good =
            SettingsChanges { server_urls: Some(vec!["https://a:1/".into(), "https://b".into()]), retention_days: Some(30), ..SettingsChanges::default() };
        assert_eq!(good.check(), []);
        assert_eq!(good.server_urls.expect("it is there"), ["https://a:1", "https://b"]);
    }
}
