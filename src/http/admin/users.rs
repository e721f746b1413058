//! Who may log in, and one's own password (pages, "Security").

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::chrome::{Chrome, PageFailure, PageResult, go, go_with_error, page, page_with, send_on};
use super::form::Fields;
use super::security::{PASSWORD, SECTION, around, place, segment};
use super::shown::{Errors, Tab, When};
use crate::commands::Refusal;
use crate::commands::users::{DeleteUser, HashedPassword, PASSWORD_MIN};
use crate::http::Context;
use crate::http::admin_api::users::{UserBody, UserChanges, edit, make};
use crate::http::caller::{Caller, address_of};
use crate::http::problem::Failure;
use crate::http::session::cookie;
use crate::store::accounts::{self, Role, User};

struct UserLine {
    name: String,
    href: String,
    role: &'static str,
    created: When,
    sessions: usize,
    is_own: bool,
}

#[derive(Template)]
#[template(path = "admin/security/users.html")]
struct UsersPage {
    page: Chrome,
    tabs: Vec<Tab>,
    users: Vec<UserLine>,
    name: String,
    is_admin: bool,
    errors: Errors,
    password_min: usize,
}

async fn list_page(caller: &Caller, context: &Context, request: &HttpRequest) -> Result<UsersPage, Failure> {
    let (page, tabs) = around(caller, context, request, SECTION, "Users").await?;
    let now = context.clock.now_seconds();
    let (users, sessions) = (context.read(|reader| accounts::list_users(reader)).await?, context.sessions.list(now));
    let own = caller.session.as_ref().map(|session| session.user_id);
    let line = |user: User| UserLine {
        href: format!("{SECTION}/users/{}", segment(&user.name)),
        role: user.role.name(),
        created: When::of(&page, user.created_stamp.div_euclid(1_000_000), now),
        sessions: sessions.iter().filter(|session| session.belongs_to(&user)).count(),
        is_own: Some(user.user_id) == own,
        name: user.name,
    };
    let users = users.into_iter().map(line).collect();
    Ok(UsersPage { page, tabs, users, name: String::new(), is_admin: false, errors: Errors::default(), password_min: PASSWORD_MIN })
}

/// `GET /admin/security`
pub async fn list(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    Ok(page(&list_page(&caller, &context, &request).await?)?)
}

const DIFFER: &str = "and its repetition differ: type the same twice";

/// `POST /admin/security/users`
pub async fn add(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let (name, password) = (fields.trimmed("name").to_owned(), fields.text("password").to_owned());
    let outcome = match Role::from_name(fields.text("role")) {
        None => Err(Refusal::Invalid("role", "must be 'admin' or 'viewer'".to_owned())),
        Some(_) if password != fields.text("again") => Err(Refusal::Invalid("password", DIFFER.to_owned())),
        Some(role) => make(&context, &caller, UserBody { name: name.clone(), role, password }).await?,
    };
    match outcome {
        Ok(user) => Ok(go(SECTION, format!("{} may log in as {}. Tell {0} the password in person.", user.name, user.role.name()))),
        Err(refusal) => {
            let mut template = list_page(&caller, &context, &request).await?;
            template.errors = place(&mut template.page, &refusal);
            template.name = name;
            template.is_admin = fields.text("role") == "admin";
            Ok(page_with(StatusCode::BAD_REQUEST, &template)?)
        }
    }
}

#[derive(Template)]
#[template(path = "admin/security/user.html")]
struct UserPage {
    page: Chrome,
    name: String,
    href: String,
    role: &'static str,
    created: When,
    sessions: usize,
    is_own: bool,
    errors: Errors,
    password_min: usize,
}

async fn user_page(caller: &Caller, context: &Context, request: &HttpRequest, name: String) -> Result<UserPage, Failure> {
    let asked = name.clone();
    let missing = || Refusal::NotFound(format!("There is no user '{}'.", crate::licensing::id::shorten(&name)));
    let user = context.read(move |reader| accounts::find_user(reader, &asked)).await?.ok_or_else(missing)?;
    let (page, _) = around(caller, context, request, SECTION, &format!("User {}", user.name)).await?;
    let now = context.clock.now_seconds();
    Ok(UserPage {
        href: format!("{SECTION}/users/{}", segment(&user.name)),
        role: user.role.name(),
        created: When::of(&page, user.created_stamp.div_euclid(1_000_000), now),
        sessions: context.sessions.list(now).iter().filter(|session| session.belongs_to(&user)).count(),
        is_own: caller.session.as_ref().is_some_and(|session| session.user_id == user.user_id),
        name: user.name,
        errors: Errors::default(),
        password_min: PASSWORD_MIN,
        page,
    })
}

/// `GET /admin/security/users/{name}`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest, name: Path<String>) -> PageResult {
    Ok(page(&user_page(&caller, &context, &request, name.into_inner()).await?)?)
}

/// `POST /admin/security/users/{name}`: another role, or another password.
pub async fn change(caller: Caller, context: Data<Context>, request: HttpRequest, name: Path<String>, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let name = name.into_inner();
    let outcome = match (fields.find("role"), fields.find("password")) {
        (None, Some(password)) if password != fields.text("again") => Err(Refusal::Invalid("password", DIFFER.to_owned())),
        (None, Some(password)) => edit(&context, &caller, name.clone(), UserChanges { role: None, password: Some(password.to_owned()) }).await?,
        (role, _) => match role.and_then(Role::from_name) {
            Some(role) => edit(&context, &caller, name.clone(), UserChanges { role: Some(role), password: None }).await?,
            None => Err(Refusal::Invalid("role", "must be 'admin' or 'viewer'".to_owned())),
        },
    };
    match outcome {
        Ok(user) if fields.has("role") => Ok(go(SECTION, format!("{} is {} from now on.", user.name, user.role.name()))),
        Ok(user) => Ok(go(SECTION, format!("{} has another password; sessions with the old one are over.", user.name))),
        Err(refusal) => {
            let mut template = user_page(&caller, &context, &request, name).await?;
            template.errors = place(&mut template.page, &refusal);
            Ok(page_with(StatusCode::BAD_REQUEST, &template)?)
        }
    }
}

/// `POST /admin/security/users/{name}/delete`
pub async fn delete(caller: Caller, context: Data<Context>, request: HttpRequest, name: Path<String>, payload: Payload) -> PageResult {
    Fields::of_caller(&context, &caller, &request, payload).await?;
    Ok(match context.writer().submit(DeleteUser { name: name.into_inner(), by: caller.name }).await? {
        Ok(user) => go(SECTION, format!("{} is deleted and logged out everywhere.", user.name)),
        Err(refusal) => go_with_error(SECTION, refusal.detail()),
    })
}

#[derive(Template)]
#[template(path = "admin/security/password.html")]
struct PasswordPage {
    page: Chrome,
    tabs: Vec<Tab>,
    errors: Errors,
    password_min: usize,
}

async fn password_page(caller: &Caller, context: &Context, request: &HttpRequest) -> Result<PasswordPage, Failure> {
    let (page, tabs) = around(caller, context, request, PASSWORD, "My password").await?;
    Ok(PasswordPage { page, tabs, errors: Errors::default(), password_min: PASSWORD_MIN })
}

/// `GET /admin/security/password`
pub async fn show_password(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    Ok(page(&password_page(&caller, &context, &request).await?)?)
}

/// `POST /admin/security/password`: viewers may do that too. Guessing the old one is slowed down
/// like guessing it at the login.
pub async fn change_password(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_anybody(&context, &caller, &request, payload).await?;
    let (now, address) = (context.clock.now_seconds(), address_of(&request));
    let refuse = async |field: &str, text: String| {
        let mut template = password_page(&caller, &context, &request).await?;
        template.errors = Errors::one(field, text);
        Ok::<HttpResponse, PageFailure>(page_with(StatusCode::BAD_REQUEST, &template)?)
    };
    let pause = context.sessions.find_pause(&caller.name, &address, now);
    if pause > 0 {
        return refuse("old", format!("There were too many wrong passwords: try again in {pause} seconds")).await;
    }
    let asked = caller.name.clone();
    let hash = context.read(move |reader| accounts::find_user(reader, &asked)).await?.map(|user| user.password_hash);
    let old = fields.text("old").to_owned();
    let is_right = actix_web::web::block(move || HashedPassword::verify(hash.as_deref(), &old)).await.map_err(|_| crate::store::Error::Stopped)?;
    if !is_right {
        context.sessions.fail(&caller.name, &address, now);
        return refuse("old", "This is not your password: type the one you logged in with".to_owned()).await;
    }
    if fields.text("password") != fields.text("again") {
        return refuse("password", format!("The password {DIFFER}")).await;
    }
    let changes = UserChanges { role: None, password: Some(fields.text("password").to_owned()) };
    let user = match edit(&context, &caller, caller.name.clone(), changes).await? {
        Ok(user) => user,
        Err(refusal) => return refuse("password", format!("The password {}", refusal.detail())).await,
    };
    // Every session goes, and this browser gets a new one: an old cookie is worth nothing any more.
    context.sessions.succeed(&caller.name, &address);
    context.sessions.end_others(user.user_id, None);
    let browser = caller.session.as_ref().map(|session| session.browser.clone()).unwrap_or_default();
    let secret = context.sessions.begin(&user, address, browser, now);
    let flash = super::chrome::Flash { is_error: false, text: "Your password is changed. Your other sessions are over.".to_owned() };
    let mut response = send_on(PASSWORD, Some(flash));
    response.add_cookie(&cookie(Some(secret))).map_err(|error| PageFailure::from(crate::http::ops::broken("a cookie", &error)))?;
    Ok(response)
}
