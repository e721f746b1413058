//! The first visit chooses the admin's password; later ones log in (pages, "Set-up").

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

use super::chrome::{Chrome, Flash, PageFailure, PageResult, page, page_with, send_on};
use super::form::Fields;
use crate::commands::Refusal;
use crate::commands::preferences::Remember;
use crate::commands::users::{HashedPassword, PASSWORD_MIN, SetUp};
use crate::http::Context;
use crate::http::caller::{Caller, address_of};
use crate::http::problem::Failure;
use crate::http::session::{COOKIE, cookie};
use crate::store::accounts::{self, User};
use crate::store::audit::AdminActed;

#[derive(Template)]
#[template(path = "admin/setup.html")]
struct SetupPage {
    page: Chrome,
    server_uuid: String,
    name: String,
    name_error: String,
    password_error: String,
    password_min: usize,
}

#[derive(Template)]
#[template(path = "admin/login.html")]
struct LoginPage {
    page: Chrome,
    name: String,
    next: String,
    error: String,
}

/// Where to go after the login.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    #[serde(default)]
    next: String,
}

/// Only pages of this server.
fn check_next(next: &str) -> &str {
    if next.starts_with("/admin") && !next.contains(['\\', '\r', '\n']) && !next.starts_with("/admin/log") { next } else { "/admin/" }
}

async fn has_users(context: &Context) -> Result<bool, Failure> {
    context.read(|reader| Ok(!accounts::list_users(reader)?.is_empty())).await
}

fn setup_page(context: &Context, name: &str, refusal: Option<&Refusal>) -> SetupPage {
    let at = |field: &str| match refusal {
        Some(Refusal::Invalid(of, text)) if *of == field => text.clone(),
        _ => String::new(),
    };
    let (name_error, password_error) = (at("name"), at("password"));
    let mut page = Chrome::outside("Set up this server");
    page.flash = refusal.filter(|refusal| !matches!(refusal, Refusal::Invalid(..))).map(|refusal| Flash { is_error: true, text: refusal.detail().to_owned() });
    SetupPage { page, server_uuid: context.site.uuid().to_string(), name: name.to_owned(), name_error, password_error, password_min: PASSWORD_MIN }
}

/// `GET /admin/setup`
pub async fn show_setup(context: Data<Context>) -> PageResult {
    if has_users(&context).await? {
        return Ok(send_on("/admin/login", None));
    }
    Ok(page(&setup_page(&context, "admin", None))?)
}

/// `POST /admin/setup`
pub async fn set_up(context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::read(&context, &request, payload).await?;
    let (name, password) = (fields.trimmed("name").to_owned(), fields.text("password").to_owned());
    if password != fields.text("again") {
        let refusal = Refusal::Invalid("password", "and its repetition differ: type the same twice".to_owned());
        return Ok(page_with(StatusCode::BAD_REQUEST, &setup_page(&context, &name, Some(&refusal)))?);
    }
    let outcome = match hash(password).await? {
        Ok(password) => context.writer().submit(SetUp { name: name.clone(), password }).await?,
        Err(refusal) => Err(refusal),
    };
    match outcome {
        Ok(user) => begin(&context, &request, &user, "/admin/").await,
        Err(refusal) => Ok(page_with(StatusCode::BAD_REQUEST, &setup_page(&context, &name, Some(&refusal)))?),
    }
}

/// Hashing takes a while: off the event loop.
pub async fn hash(password: String) -> Result<Result<HashedPassword, Refusal>, Failure> {
    Ok(actix_web::web::block(move || HashedPassword::of(&password)).await.map_err(|_| crate::store::Error::Stopped)?)
}

async fn begin(context: &Context, request: &HttpRequest, user: &User, next: &str) -> PageResult {
    let address = address_of(request);
    let browser = request.headers().get("user-agent").and_then(|value| value.to_str().ok()).unwrap_or_default().chars().take(200).collect();
    let secret = context.sessions.begin(user, address.clone(), browser, context.clock.now_seconds());
    remember(context, &user.name, "logged_in", String::new(), address).await?;
    let mut response = send_on(next, None);
    response.add_cookie(&cookie(Some(secret))).map_err(|error| PageFailure::from(crate::http::ops::broken("a cookie", &error)))?;
    Ok(response)
}

/// Puts an act into the audit.
pub async fn remember(context: &Context, by: &str, action: &str, subject: String, address: String) -> Result<(), Failure> {
    let act = AdminActed { by: by.to_owned(), action: action.to_owned(), subject, detail: String::new(), address };
    Ok(context.writer().submit(Remember(act)).await?)
}

/// `GET /admin/login`
pub async fn show_login(context: Data<Context>, wanted: Query<Wanted>) -> PageResult {
    if !has_users(&context).await? {
        return Ok(send_on("/admin/setup", None));
    }
    Ok(page(&LoginPage { page: Chrome::outside("Log in"), name: String::new(), next: check_next(&wanted.next).to_owned(), error: String::new() })?)
}

/// `POST /admin/login`
pub async fn log_in(context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::read(&context, &request, payload).await?;
    let (name, next) = (fields.trimmed("name").to_owned(), check_next(fields.text("next")).to_owned());
    let refuse = |error: String, status: StatusCode| {
        Ok(page_with(status, &LoginPage { page: Chrome::outside("Log in"), name: name.clone(), next: next.clone(), error })?)
    };
    let (now, address) = (context.clock.now_seconds(), address_of(&request));
    let pause = context.sessions.find_pause(&name, &address, now);
    if pause > 0 {
        let text =
            format!("There were too many failed logins. Try again in {pause} seconds, or set a new password on the server: tollkeeper admin reset-password");
        return refuse(text, StatusCode::TOO_MANY_REQUESTS);
    }
    let (asked, password) = (name.clone(), fields.text("password").to_owned());
    let user = context.read(move |reader| accounts::find_user(reader, &asked)).await?;
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let is_right = actix_web::web::block(move || HashedPassword::verify(hash.as_deref(), &password)).await.map_err(|_| crate::store::Error::Stopped)?;
    let Some(user) = user.filter(|_| is_right) else {
        context.sessions.fail(&name, &address, now);
        remember(&context, &crate::licensing::id::shorten(&name), "login_failed", String::new(), address).await?;
        return refuse("Name or password is wrong.".to_owned(), StatusCode::UNAUTHORIZED);
    };
    context.sessions.succeed(&name, &address);
    begin(&context, &request, &user, &next).await
}

/// `POST /admin/logout`
pub async fn log_out(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    Fields::of_anybody(&context, &caller, &request, payload).await?;
    if let Some(cookie) = request.cookie(COOKIE) {
        context.sessions.end(cookie.value());
    }
    remember(&context, &caller.name, "logged_out", String::new(), caller.address).await?;
    let mut response: HttpResponse = send_on("/admin/login", None);
    response.add_cookie(&cookie(None)).map_err(|error| PageFailure::from(crate::http::ops::broken("a cookie", &error)))?;
    Ok(response)
}
