//! Handshake codes.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::commands::handshake::{self, AddHandshake, Changes, ChooseDefault, DeleteHandshake, EditHandshake, OrderItems, Outcome};
use crate::http::Context;
use crate::http::body::read_json;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::licensing::{HandshakeCode, ItemId};
use crate::protocol::Problem;
use crate::protocol::license_key::LicenseKey;
use crate::store::catalog::Catalog;
use crate::store::handshakes::Handshake;
use crate::store::{Command, Error};

/// A code in a listing.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HandshakeRow {
    /// Its name.
    pub handshake_code: String,
    /// Its organization.
    pub organization_id: String,
    /// Whether it is its organization's default.
    pub default: bool,
    /// `default` or `custom`.
    pub order: String,
    /// Its items, in the order of use.
    pub items: Vec<u64>,
    /// Names that still lead here.
    pub aliases: Vec<String>,
    /// Its domains.
    pub domains: Vec<String>,
    /// Its application ids.
    pub application_ids: Vec<String>,
    /// Its process names.
    pub process_names: Vec<String>,
    /// Whether requests need a session password.
    pub has_session_password: bool,
    /// What a developer pastes into an application.
    pub license_key: String,
}

impl HandshakeRow {
    /// A code as it stands.
    pub fn of(context: &Context, catalog: &Catalog, code: &Handshake) -> Result<Self, Error> {
        let key = LicenseKey {
            servers: context.urls(),
            organization_id: code.organization_id.to_string(),
            handshake_code: code.name(),
            session_password: handshake::open_password(&context.site, code)?,
            ca: Some(context.ca_fingerprint.clone()),
        };
        let fields = &code.state.validation;
        Ok(Self {
            handshake_code: code.name(),
            organization_id: code.organization_id.to_string(),
            default: catalog.is_default(code),
            order: if code.state.custom_order.is_some() { "custom" } else { "default" }.to_owned(),
            items: catalog.items_in_order(code).iter().map(|item| item.item_id.0).collect(),
            aliases: code.state.aliases.iter().map(|alias| format!("{}-{alias}", code.organization_id)).collect(),
            domains: fields.domains.clone(),
            application_ids: fields.application_ids.clone(),
            process_names: fields.process_names.clone(),
            has_session_password: code.state.sealed_password.is_some(),
            license_key: key.to_string(),
        })
    }
}

/// Values for a code; absent fields stay as they are, or are empty for a new code.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandshakeBody {
    /// Its name; for an edit, its new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake_code: Option<String>,
    /// Its items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<u64>>,
    /// Its domains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domains: Option<Vec<String>>,
    /// Its application ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_ids: Option<Vec<String>>,
    /// Its process names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_names: Option<Vec<String>>,
    /// Its session password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_password: Option<String>,
    /// Takes the session password away.
    #[serde(default)]
    pub remove_session_password: bool,
    /// Aliases that no longer lead to it.
    #[serde(default)]
    pub remove_aliases: Vec<String>,
}

impl HandshakeBody {
    fn changes(self) -> Changes {
        Changes {
            rename: None,
            items: self.items.map(item_ids),
            domains: self.domains,
            application_ids: self.application_ids,
            process_names: self.process_names,
            session_password: if self.remove_session_password { Some(None) } else { self.session_password.map(Some) },
            remove_aliases: self.remove_aliases,
        }
    }

    fn name(&self) -> Result<Option<HandshakeCode>, Failure> {
        self.handshake_code
            .as_deref()
            .map(|name| name.parse().map_err(|bad: crate::licensing::id::BadName| Failure::malformed("handshake_code", bad.to_string())))
            .transpose()
    }
}

fn item_ids(numbers: Vec<u64>) -> Vec<ItemId> {
    numbers.into_iter().map(ItemId).collect()
}

/// `GET /handshakes`
#[utoipa::path(get, path = "/api/v1/admin/handshakes", tag = "handshake codes", security(("bearer" = [])), responses(
    (status = 200, description = "All handshake codes, oldest first", body = Vec<HandshakeRow>),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(context: Data<Context>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(rows(&context).await?))
}

/// All handshake codes, oldest first.
pub async fn rows(context: &Data<Context>) -> Result<Vec<HandshakeRow>, Failure> {
    let shared = context.clone();
    context
        .read(move |reader| {
            let catalog = Catalog::load(reader)?;
            catalog.codes().into_iter().map(|code| HandshakeRow::of(&shared, &catalog, code)).collect()
        })
        .await
}

/// `GET /handshakes/{code}`
#[utoipa::path(get, path = "/api/v1/admin/handshakes/{code}", tag = "handshake codes", security(("bearer" = [])), params(("code" = String, Path, description = "Its name or an alias")), responses(
    (status = 200, description = "The code as it stands", body = HandshakeRow),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(context: Data<Context>, name: Path<String>) -> Result<HttpResponse, Failure> {
    row(&context, name.into_inner()).await
}

async fn row(context: &Data<Context>, name: String) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(find_row(context, &name).await?))
}

/// The code of this name or alias.
pub async fn find_row(context: &Data<Context>, name: &str) -> Result<HandshakeRow, Failure> {
    let (shared, name) = (context.clone(), name.to_owned());
    let row = context.read(move |reader| {
        let catalog = Catalog::load(reader)?;
        handshake::find(&catalog, &name).map(|code| HandshakeRow::of(&shared, &catalog, code)).map_or_else(|refusal| Ok(Err(refusal)), |row| row.map(Ok))
    });
    Ok(row.await??)
}

/// A license key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyAnswer {
    /// What a developer pastes into an application.
    pub license_key: String,
}

/// `GET /handshakes/{code}/key`
#[utoipa::path(get, path = "/api/v1/admin/handshakes/{code}/key", tag = "handshake codes", security(("bearer" = [])), params(("code" = String, Path, description = "Its name or an alias")), responses(
    (status = 200, description = "The license key of the code", body = KeyAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn key(context: Data<Context>, name: Path<String>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(KeyAnswer { license_key: find_row(&context, &name).await?.license_key }))
}

/// `POST /handshakes`
#[utoipa::path(post, path = "/api/v1/admin/handshakes", tag = "handshake codes", security(("bearer" = [])), request_body = HandshakeBody, responses(
    (status = 200, description = "The code was made", body = HandshakeRow),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn add(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: HandshakeBody = read_json(&context, &request, payload).await?;
    let name = body.name()?.ok_or_else(|| Failure::malformed("handshake_code", "is missing"))?;
    run(&context, AddHandshake { site: context.site.clone(), name, changes: body.changes(), by: caller.name }).await
}

/// `PATCH /handshakes/{code}`
#[utoipa::path(patch, path = "/api/v1/admin/handshakes/{code}", tag = "handshake codes", security(("bearer" = [])), params(("code" = String, Path, description = "Its name or an alias")), request_body = HandshakeBody, responses(
    (status = 200, description = "The code as it is now; under another name the old one goes on as an alias", body = HandshakeRow),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn edit(caller: Caller, context: Data<Context>, name: Path<String>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: HandshakeBody = read_json(&context, &request, payload).await?;
    let rename = body.name()?;
    let changes = Changes { rename, ..body.changes() };
    run(&context, EditHandshake { site: context.site.clone(), name: name.into_inner(), changes, by: caller.name }).await
}

/// `DELETE /handshakes/{code}`
#[utoipa::path(delete, path = "/api/v1/admin/handshakes/{code}", tag = "handshake codes", security(("bearer" = [])), params(("code" = String, Path, description = "Its name or an alias")), responses(
    (status = 204, description = "The code is gone, its history stays"),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn delete(caller: Caller, context: Data<Context>, name: Path<String>) -> Result<HttpResponse, Failure> {
    context.writer().submit(DeleteHandshake { name: name.into_inner(), by: caller.name }).await??;
    Ok(HttpResponse::NoContent().finish())
}

/// The order of use; absent `items`: the default order.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderBody {
    /// The items, first used first.
    #[serde(default)]
    pub items: Option<Vec<u64>>,
}

/// `PUT /handshakes/{code}/order`
#[utoipa::path(put, path = "/api/v1/admin/handshakes/{code}/order", tag = "handshake codes", security(("bearer" = [])), params(("code" = String, Path, description = "Its name or an alias")), request_body = OrderBody, responses(
    (status = 200, description = "The code with its items in the order of use", body = HandshakeRow),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn order(caller: Caller, context: Data<Context>, name: Path<String>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body: OrderBody = read_json(&context, &request, payload).await?;
    run(&context, OrderItems { name: name.into_inner(), order: body.items.map(item_ids), by: caller.name }).await
}

/// `PUT /handshakes/{code}/default`
#[utoipa::path(put, path = "/api/v1/admin/handshakes/{code}/default", tag = "handshake codes", security(("bearer" = [])), params(("code" = String, Path, description = "Its name or an alias")), responses(
    (status = 200, description = "The code, now the default of its organization", body = HandshakeRow),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn choose_default(caller: Caller, context: Data<Context>, name: Path<String>) -> Result<HttpResponse, Failure> {
    run(&context, ChooseDefault { name: name.into_inner(), by: caller.name }).await
}

/// Runs a command on a code and shows the code as it is afterwards.
async fn run(context: &Data<Context>, command: impl Command<Answer = Outcome>) -> Result<HttpResponse, Failure> {
    let code = context.writer().submit(command).await??;
    row(context, code.name()).await
}
