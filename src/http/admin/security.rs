//! Who may come in, and who is in (pages, "Security").

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload};
use askama::Template;

use super::chrome::{Chrome, PageResult, go, go_with_error, page, page_with};
use super::form::Fields;
use super::shown::{Errors, Tab, When, tabs};
use crate::commands::Refusal;
use crate::commands::tokens::DeleteToken;
use crate::http::Context;
use crate::http::admin_api::tokens::{MadeToken, Scope, TokenBody};
use crate::http::admin_api::{sessions, tokens};
use crate::http::caller::Caller;
use crate::http::problem::Failure;

/// The link of the navigation, and the part with the users.
pub const SECTION: &str = "/admin/security";
const SESSIONS: &str = "/admin/security/sessions";
const TOKENS: &str = "/admin/security/tokens";
/// The part with the HTTPS certificate.
pub const CERTIFICATE: &str = "/admin/security/certificate";
/// The part with one's own password.
pub const PASSWORD: &str = "/admin/security/password";
const TABS: &[(&str, &str)] =
    &[(SECTION, "Users"), (SESSIONS, "Sessions"), (TOKENS, "API tokens"), (CERTIFICATE, "HTTPS certificate"), (PASSWORD, "My password")];

/// What is around a part of the page.
pub async fn around(caller: &Caller, context: &Context, request: &HttpRequest, here: &str, title: &str) -> Result<(Chrome, Vec<Tab>), Failure> {
    Ok((Chrome::of(context, request, caller, SECTION, title).await?, tabs(TABS, here)))
}

/// What a refusal says at the fields of a form; what concerns no field of it stands above.
pub fn place(chrome: &mut Chrome, refusal: &Refusal) -> Errors {
    match refusal {
        Refusal::Invalid(field, text) => Errors::one(*field, format!("{} {text}", super::shown::words(field))),
        Refusal::NotFound(text) | Refusal::Conflict(text) => {
            chrome.flash = Some(super::chrome::Flash { is_error: true, text: text.clone() });
            Errors::default()
        }
    }
}

struct SessionLine {
    id: String,
    user: String,
    began: When,
    used: When,
    address: String,
    browser: String,
    is_own: bool,
}

#[derive(Template)]
#[template(path = "admin/security/sessions.html")]
struct SessionsPage {
    page: Chrome,
    tabs: Vec<Tab>,
    sessions: Vec<SessionLine>,
}

/// `GET /admin/security/sessions`
pub async fn list_sessions(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    let (page_around, tabs) = around(&caller, &context, &request, SESSIONS, "Sessions").await?;
    let (own, now) = (caller.session.as_ref().map(|session| session.id), context.clock.now_seconds());
    let lines = sessions::find_all(&context).await?.into_iter().map(|(session, user)| SessionLine {
        id: session.id.to_string(),
        user,
        began: When::of(&page_around, session.began_at, now),
        used: When::of(&page_around, session.used_at, now),
        is_own: Some(session.id) == own,
        address: session.address,
        browser: session.browser,
    });
    let sessions = lines.collect();
    Ok(page(&SessionsPage { page: page_around, tabs, sessions })?)
}

/// `POST /admin/security/sessions/{id}/end`
pub async fn end_session(caller: Caller, context: Data<Context>, request: HttpRequest, id: Path<String>, payload: Payload) -> PageResult {
    Fields::of_caller(&context, &caller, &request, payload).await?;
    let id = uuid::Uuid::try_parse(&id).map_err(|_| Failure::malformed("id", "is not the id of a session"))?;
    sessions::end_one(&context, &caller, id).await?;
    Ok(go(SESSIONS, "The session is over: whoever had it must log in again."))
}

struct TokenLine {
    name: String,
    /// For the path of its forms.
    segment: String,
    scope: &'static str,
    created: When,
    used: Option<When>,
}

#[derive(Template)]
#[template(path = "admin/security/tokens.html")]
struct TokensPage {
    page: Chrome,
    tabs: Vec<Tab>,
    tokens: Vec<TokenLine>,
    name: String,
    is_write: bool,
    errors: Errors,
    made: Option<MadeToken>,
    address: String,
}

async fn tokens_page(caller: &Caller, context: &Context, request: &HttpRequest) -> Result<TokensPage, Failure> {
    let (page, tabs) = around(caller, context, request, TOKENS, "API tokens").await?;
    let now = context.clock.now_seconds();
    let lines = tokens::find_all(context).await?.into_iter().map(|(token, used)| TokenLine {
        segment: segment(&token.name),
        scope: Scope::of(token.role).name(),
        created: When::of(&page, token.created_stamp.div_euclid(1_000_000), now),
        used: used.map(|used| When::of(&page, used, now)),
        name: token.name,
    });
    let tokens = lines.collect();
    let address = context.writer().catalog().server_urls().unwrap_or(&context.server_urls).first().cloned().unwrap_or_default();
    Ok(TokensPage { page, tabs, tokens, name: String::new(), is_write: false, errors: Errors::default(), made: None, address })
}

/// A name for use in a path.
pub fn segment(name: &str) -> String {
    name.bytes().map(|b| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// `GET /admin/security/tokens`
pub async fn list_tokens(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    Ok(page(&tokens_page(&caller, &context, &request).await?)?)
}

/// `POST /admin/security/tokens`: the answer is the only page that ever shows the token.
pub async fn add_token(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let name = fields.trimmed("name").to_owned();
    let made = match Scope::from_name(fields.text("scope")) {
        Some(scope) => tokens::make(&context, &caller, TokenBody { name: name.clone(), scope }).await?,
        None => Err(Refusal::Invalid("scope", "must be 'read' or 'write'".to_owned())),
    };
    let mut template = tokens_page(&caller, &context, &request).await?;
    match made {
        Ok(made) => template.made = Some(made),
        Err(refusal) => {
            template.errors = place(&mut template.page, &refusal);
            template.name = name;
            template.is_write = fields.text("scope") == "write";
            return Ok(page_with(StatusCode::BAD_REQUEST, &template)?);
        }
    }
    Ok(page(&template)?)
}

/// `POST /admin/security/tokens/{name}/delete`
pub async fn delete_token(caller: Caller, context: Data<Context>, request: HttpRequest, name: Path<String>, payload: Payload) -> PageResult {
    Fields::of_caller(&context, &caller, &request, payload).await?;
    Ok(match context.writer().submit(DeleteToken { name: name.into_inner(), by: caller.name }).await? {
        Ok(token) => go(TOKENS, format!("The token '{}' is deleted: programs that use it are refused from now on.", token.name)),
        Err(refusal) => go_with_error(TOKENS, refusal.detail()),
    })
}
