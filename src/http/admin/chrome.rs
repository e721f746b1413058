//! What every page has around it: navigation, who is logged in, what just happened. Also the
//! answers that are pages: a rendered template, a way on, a failure told to a person.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use askama::Template;

use crate::commands::preferences::{Display, names};
use crate::http::Context;
use crate::http::assets;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::store::preferences;

/// The cookie that tells the next page what just happened.
const FLASH: &str = "tollkeeper-flash";

/// What a page may load and do: nothing from elsewhere, no inline script or style.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// A link of the navigation.
pub struct Link {
    /// Where to.
    pub href: &'static str,
    /// Its text.
    pub text: &'static str,
    /// Whether it is where we are.
    pub is_here: bool,
}

/// Something that just happened, told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flash {
    /// Whether it went wrong.
    pub is_error: bool,
    /// What happened.
    pub text: String,
}

/// What is around a page. `page` in the templates.
pub struct Chrome {
    /// The page's own title.
    pub title: String,
    /// The navigation; empty before login.
    pub links: Vec<Link>,
    /// Who is logged in.
    pub user: String,
    /// Whether this one may change things.
    pub may_change: bool,
    /// For forms.
    pub csrf: String,
    /// What just happened.
    pub flash: Option<Flash>,
    /// The site's name, as the admin gave it.
    pub site_name: String,
    /// Where the style and the script are.
    pub style: String,
    /// See `style`.
    pub script: String,
    /// Minutes that the site's clock is ahead of UTC.
    pub utc_offset_minutes: i32,
}

/// The pages, in the order of the navigation: path, name.
const PAGES: &[(&str, &str)] = &[
    ("/admin/", "Home"),
    ("/admin/licenses", "License items"),
    ("/admin/handshakes", "Handshake codes"),
    ("/admin/statistics", "Statistics"),
    ("/admin/devices", "Devices"),
    ("/admin/alerts", "Alerts"),
    ("/admin/servers", "Servers"),
    ("/admin/audit", "Audit"),
    ("/admin/security", "Security"),
    ("/admin/settings", "Settings"),
    ("/admin/api", "API"),
];

impl Chrome {
    /// Around a page for somebody who is logged in. `section` is the path of the page's link.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn of(context: &Context, request: &HttpRequest, caller: &Caller, section: &str, title: impl Into<String>) -> Result<Self, Failure> {
        let display = context.read(|reader| preferences::read::<Display>(reader, names::DISPLAY)).await?;
        let (site_name, utc_offset_minutes) = display.map(|display| (display.site_name, display.utc_offset_minutes)).unwrap_or_default();
        Ok(Self {
            title: title.into(),
            links: PAGES.iter().map(|(href, text)| Link { href, text, is_here: *href == section }).collect(),
            user: caller.name.clone(),
            may_change: caller.may_change(),
            csrf: caller.session.as_ref().map(|session| session.csrf.clone()).unwrap_or_default(),
            flash: take_flash(request),
            site_name,
            style: assets::link("admin.css"),
            script: assets::link("admin.js"),
            utc_offset_minutes,
        })
    }

    /// Around a page that is for everybody.
    pub fn outside(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            links: Vec::new(),
            user: String::new(),
            may_change: false,
            csrf: String::new(),
            flash: None,
            site_name: String::new(),
            style: assets::link("admin.css"),
            script: assets::link("admin.js"),
            utc_offset_minutes: 0,
        }
    }

    /// A time for people: UTC, with the site's own on hover where the template says so.
    pub fn local_time(&self, seconds: i64) -> String {
        let sign = if self.utc_offset_minutes < 0 { '-' } else { '+' };
        let (hours, minutes) = (self.utc_offset_minutes.abs() / 60, self.utc_offset_minutes.abs() % 60);
        format!("{} UTC{sign}{hours:02}:{minutes:02}", utc_time(seconds + i64::from(self.utc_offset_minutes) * 60))
    }
}

/// `2026-11-22 05:04:30`.
pub fn utc_time(seconds: i64) -> String {
    chrono::DateTime::from_timestamp(seconds, 0).map_or_else(|| "–".to_owned(), |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// `2026-11-22`.
pub fn utc_day(seconds: i64) -> String {
    chrono::DateTime::from_timestamp(seconds, 0).map_or_else(|| "–".to_owned(), |time| time.format("%Y-%m-%d").to_string())
}

/// `1,234,567`.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut told = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}

/// So many of something: `1 fact`, `1,234 facts`.
pub fn count(value: u64, noun: &str) -> String {
    let plural = if value == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", number(value))
}

/// How long ago or how far ahead, in words: `3 minutes ago`, `in 2 days`.
pub fn distance(from_now: i64) -> String {
    let span = from_now.unsigned_abs();
    let told = match span {
        0..60 => return if from_now <= 0 { "just now".to_owned() } else { "in less than a minute".to_owned() },
        60..3_600 => count(span / 60, "minute"),
        3_600..172_800 => count(span / 3_600, "hour"),
        _ => count(span / 86_400, "day"),
    };
    if from_now < 0 { format!("{told} ago") } else { format!("in {told}") }
}

/// A page.
///
/// # Errors
/// The template cannot be rendered.
pub fn page(template: &impl Template) -> Result<HttpResponse, Failure> {
    page_with(StatusCode::OK, template)
}

/// A page with another status: a form that must be mended, say.
///
/// # Errors
/// The template cannot be rendered.
pub fn page_with(status: StatusCode, template: &impl Template) -> Result<HttpResponse, Failure> {
    let html = template.render().map_err(|error| crate::http::ops::broken("a page", &error))?;
    let mut response = HttpResponse::build(status);
    response
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"))
        .insert_header((header::REFERRER_POLICY, "same-origin"))
        .insert_header(("cross-origin-opener-policy", "same-origin"))
        .insert_header(("permissions-policy", "camera=(), microphone=(), geolocation=()"))
        .insert_header((header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"));
    // What just happened was told: its cookie goes.
    let mut told = actix_web::cookie::Cookie::build(FLASH, "").path("/admin").http_only(true).finish();
    told.make_removal();
    response.cookie(told);
    Ok(response.body(html))
}

/// Sends the browser on, after something was done, and tells there what.
pub fn go(to: &str, text: impl Into<String>) -> HttpResponse {
    send_on(to, Some(Flash { is_error: false, text: text.into() }))
}

/// Sends the browser on, and tells there what went wrong.
pub fn go_with_error(to: &str, text: impl Into<String>) -> HttpResponse {
    send_on(to, Some(Flash { is_error: true, text: text.into() }))
}

/// Sends the browser on.
pub fn send_on(to: &str, flash: Option<Flash>) -> HttpResponse {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((header::LOCATION, to)).insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(flash) = flash {
        let text = serde_urlencoded::to_string([("t", &flash.text)]).unwrap_or_default();
        let value = format!("{}{}", if flash.is_error { '!' } else { '+' }, text.trim_start_matches("t="));
        response.cookie(actix_web::cookie::Cookie::build(FLASH, value).path("/admin").http_only(true).same_site(actix_web::cookie::SameSite::Strict).finish());
    }
    response.finish()
}

fn take_flash(request: &HttpRequest) -> Option<Flash> {
    let cookie = request.cookie(FLASH)?;
    let (mark, text) = cookie.value().split_at_checked(1)?;
    let text: String = serde_urlencoded::from_str::<Vec<(String, String)>>(&format!("t={text}")).ok()?.pop()?.1;
    Some(Flash { is_error: mark == "!", text })
}

/// A failure, told to a person.
#[derive(Template)]
#[template(path = "admin/failure.html")]
struct FailurePage {
    page: Chrome,
    text: String,
}

/// A failure that is answered as a page.
#[derive(Debug)]
pub struct PageFailure(Failure);

impl From<Failure> for PageFailure {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl From<crate::commands::Refusal> for PageFailure {
    fn from(refusal: crate::commands::Refusal) -> Self {
        Self(refusal.into())
    }
}

impl From<crate::store::Error> for PageFailure {
    fn from(error: crate::store::Error) -> Self {
        Self(error.into())
    }
}

impl std::fmt::Display for PageFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for PageFailure {
    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let page = Chrome::outside(failure_title(self.status_code()));
        let template = FailurePage { page, text: self.0.problem().detail.clone() };
        page_with(self.status_code(), &template).unwrap_or_else(|failure| failure.error_response())
    }
}

fn failure_title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::FORBIDDEN => "Not permitted",
        _ => "That did not work",
    }
}

/// A failure told to somebody who is logged in, with the way to all other pages.
///
/// # Errors
/// The database cannot be read.
pub async fn failure_page(context: &Context, request: &HttpRequest, caller: &Caller, failure: &Failure) -> PageResult {
    let status = failure.status_code();
    let page = Chrome::of(context, request, caller, "", failure_title(status)).await?;
    Ok(page_with(status, &FailurePage { page, text: failure.problem().detail.clone() })?)
}

/// What a page's handler gives.
pub type PageResult = Result<HttpResponse, PageFailure>;

/// No page lives here.
pub async fn nowhere() -> PageResult {
    Err(Failure::malformed("path", "there is no such page").with_status(StatusCode::NOT_FOUND).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1, 1_000].map(|value| count(value, "fact")), ["0 facts", "1 fact", "1,000 facts"]);
        assert_eq!(
            [-5, -60, -7_200, -3 * 86_400, 30, 3_600].map(distance),
            ["just now", "1 minute ago", "2 hours ago", "3 days ago", "in less than a minute", "in 1 hour"]
        );
        assert_eq!(utc_time(1_795_323_870), "2026-11-22 05:04:30");
    }
}
