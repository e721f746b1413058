//! One handshake code: its key, what a developer pastes, everything that can be edited (pages,
//! "Handshake codes").

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::chrome::{Chrome, Flash, PageResult, go, go_with_error, number, page_with};
use super::form::Fields;
use super::handshakes::PATH;
use super::licenses::ItemLine;
use super::snippets::{self, Filling, Setting, Snippet};
use crate::commands::Refusal;
use crate::commands::handshake::{self, Changes, DeleteHandshake, EditHandshake, OrderItems};
use crate::documents::{jws, random_uuid};
use crate::http::Context;
use crate::http::admin_api::handshakes::HandshakeRow;
use crate::http::admin_api::items;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::licensing::order::{self, Why};
use crate::licensing::{HandshakeCode, ItemId, LicenseItem};
use crate::store::catalog::Catalog;
use crate::store::handshakes::Handshake;
use crate::store::{Error, presence};

/// What was typed into the fields that all codes have.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// The items that are ticked.
    pub items: Vec<u64>,
    /// One domain a line.
    pub domains: String,
    /// One application id a line.
    pub application_ids: String,
    /// One process name a line.
    pub process_names: String,
}

impl Entry {
    /// From a form.
    pub fn read(fields: &Fields) -> Self {
        Self {
            items: fields.all("item").iter().filter_map(|id| id.parse().ok()).collect(),
            domains: fields.text("domains").to_owned(),
            application_ids: fields.text("application_ids").to_owned(),
            process_names: fields.text("process_names").to_owned(),
        }
    }

    fn of(row: &HandshakeRow) -> Self {
        let lines = |list: &[String]| list.join("\n");
        Self { items: row.items.clone(), domains: lines(&row.domains), application_ids: lines(&row.application_ids), process_names: lines(&row.process_names) }
    }

    /// What it changes.
    pub fn changes(&self) -> Changes {
        let lines = |text: &str| Some(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect());
        Changes {
            items: Some(self.items.iter().copied().map(ItemId).collect()),
            domains: lines(&self.domains),
            application_ids: lines(&self.application_ids),
            process_names: lines(&self.process_names),
            ..Changes::default()
        }
    }
}

/// What is wrong with a form, field by field.
#[derive(Debug, Clone, Default)]
pub struct Errors(Vec<(&'static str, String)>);

impl Errors {
    /// One error.
    pub fn at(field: &'static str, text: String) -> Self {
        Self(vec![(field, text)])
    }

    /// What a command refused. Only a name stands against what is there.
    pub fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(field, text) => Self::at(field, text),
            Refusal::Conflict(text) => Self::at("handshake_code", text),
            Refusal::NotFound(text) => Self::at("form", text),
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with this field; empty when nothing is.
    pub fn of(&self, field: &str) -> String {
        self.0.iter().find(|(known, _)| *known == field).map(|(_, text)| text.clone()).unwrap_or_default()
    }
}

/// An item that a code may have.
pub struct Choice {
    /// What it is.
    pub line: ItemLine,
    /// Whether the code has it.
    pub is_chosen: bool,
}

/// The items of an organization.
pub async fn choices(context: &Context, organization: &str, chosen: &[u64]) -> Result<Vec<Choice>, Failure> {
    let (all, now) = (items::read_all(context).await?, context.clock.now_seconds());
    let chrome = Chrome::outside("");
    let ours = all.iter().filter(|item| item.organization_id == organization);
    Ok(ours.map(|item| Choice { line: ItemLine::of(item, now, &chrome), is_chosen: chosen.contains(&item.row.item_id) }).collect())
}

/// An item in the order of use.
struct Place {
    id: u64,
    product: String,
    terms: String,
    why: &'static str,
    is_first: bool,
    is_last: bool,
}

fn why(first: &LicenseItem, second: Option<&&LicenseItem>, explicit: Option<&[ItemId]>) -> &'static str {
    let Some(second) = second else { return "last: used when none before it serves" };
    match order::why_before(first, second, explicit) {
        Why::Chosen => "here because of your order",
        Why::EndsEarlier => "before the next because it ends earlier",
        Why::MoreSpecific => "before the next because it covers less",
        Why::LessRestrictive => "before the next because its charge way restricts less",
        Why::LowerNumber => "before the next because its number is lower",
    }
}

fn places(catalog: &Catalog, code: &Handshake) -> Vec<Place> {
    let (items, explicit) = (catalog.items_in_order(code), code.state.custom_order.as_deref());
    let place = |(n, item): (usize, &&LicenseItem)| {
        let ends = item.valid_to.format("%Y-%m-%d");
        let charged = super::licenses::charged(item.charge_way.as_str(), item.period.map(|period| period.as_str()));
        Place {
            id: item.item_id.0,
            product: item.product.clone(),
            terms: format!("{charged}, until {ends}"),
            why: why(item, items.get(n + 1), explicit),
            is_first: n == 0,
            is_last: n + 1 == items.len(),
        }
    };
    items.iter().enumerate().map(place).collect()
}

#[derive(Template)]
#[template(path = "admin/handshake.html")]
struct CodePage {
    page: Chrome,
    row: HandshakeRow,
    custom: String,
    custom_error: String,
    is_automatic: bool,
    items: Vec<Choice>,
    entry: Entry,
    errors: Errors,
    places: Vec<Place>,
    snippets: Vec<Snippet>,
    new_password: String,
    password_error: String,
    devices_told: String,
    knows_vendor: bool,
}

/// What a page of a code shows besides the code as it stands.
#[derive(Default)]
struct Shown {
    entry: Option<(Entry, String)>,
    errors: Errors,
    new_password: String,
    flash: Option<Flash>,
}

fn filling(context: &Context, catalog: &Catalog, code: &Handshake, row: &HandshakeRow) -> Result<Filling, Failure> {
    let items = catalog.items_in_order(code);
    let mut kids: Vec<&str> = items.iter().filter_map(|item| catalog.vendor_of(item.item_id)).collect();
    kids.sort_unstable();
    kids.dedup();
    let vendors = context.site.vendors();
    let vendor_keys = vendors.iter().filter(|vendor| kids.contains(&vendor.kid())).map(|vendor| vendor.to_spki_pem()).collect();
    let first = |name, list: &[String]| list.first().map(|value| Setting { name, value: value.clone() });
    let more = [first("applicationId", &row.application_ids), first("processName", &row.process_names)];
    Ok(Filling {
        license_key: row.license_key.clone(),
        vendor_keys,
        product: items.first().map_or_else(|| "PRODUCT".to_owned(), |item| item.product.clone()),
        more: more.into_iter().flatten().take(1).collect(),
        server: context.server_urls.first().cloned().unwrap_or_default(),
        handshake_code: row.handshake_code.clone(),
        organization_id: row.organization_id.clone(),
        session_password: handshake::open_password(&context.site, code)?,
        client_uuid: random_uuid().to_string(),
        nonce: jws::encode(random_uuid().as_bytes()),
    })
}

/// Snippets for whoever has no code in mind: with the license key of a default code, if there is one,
/// else of any; else with a gap to be filled. And whose key it is.
pub fn examples(context: &Context) -> Result<(Option<String>, Vec<Snippet>), Failure> {
    let catalog = context.writer().catalog();
    let rows = catalog.codes().into_iter().map(|code| Ok((code, HandshakeRow::of(context, &catalog, code)?))).collect::<Result<Vec<_>, Error>>()?;
    let chosen = rows.iter().find(|(_, row)| row.default).or(rows.first());
    let filling = match chosen {
        Some((code, row)) => filling(context, &catalog, code, row)?,
        None => Filling {
            license_key: "TK1.…".to_owned(),
            vendor_keys: Vec::new(),
            product: "PRODUCT".to_owned(),
            more: Vec::new(),
            server: context.server_urls.first().cloned().unwrap_or_default(),
            handshake_code: "HANDSHAKE-CODE".to_owned(),
            organization_id: "ORGANIZATION-ID".to_owned(),
            session_password: None,
            client_uuid: random_uuid().to_string(),
            nonce: jws::encode(random_uuid().as_bytes()),
        },
    };
    let snippets = snippets::all(&filling).map_err(|error| crate::http::ops::broken("a snippet", &error))?;
    Ok((chosen.map(|(_, row)| row.handshake_code.clone()), snippets))
}

async fn code_page(context: &Data<Context>, request: &HttpRequest, caller: &Caller, name: &str, shown: Shown) -> Result<HttpResponse, Failure> {
    let catalog = context.writer().catalog();
    let code = handshake::find(&catalog, name)?;
    let row = HandshakeRow::of(context, &catalog, code)?;
    let mut page = Chrome::of(context, request, caller, PATH, row.handshake_code.clone()).await?;
    page.flash = shown.flash.or(page.flash);
    let code_id = code.code_id;
    let devices = context.read(move |reader| presence::read_devices_ever(reader, code_id)).await?;
    let (entry, custom) = shown.entry.unwrap_or_else(|| (Entry::of(&row), code.custom.clone()));
    let filling = filling(context, &catalog, code, &row)?;
    let status = if shown.errors.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let template = CodePage {
        page,
        custom,
        custom_error: shown.errors.of("handshake_code"),
        password_error: shown.errors.of("session_password"),
        is_automatic: code.state.automatic,
        items: choices(context, &row.organization_id, &entry.items).await?,
        entry,
        errors: shown.errors,
        places: places(&catalog, code),
        knows_vendor: !filling.vendor_keys.is_empty(),
        snippets: snippets::all(&filling).map_err(|error| crate::http::ops::broken("a snippet", &error))?,
        new_password: shown.new_password,
        devices_told: tell_devices(devices),
        row,
    };
    page_with(status, &template)
}

/// How many are concerned.
fn tell_devices(count: u64) -> String {
    match count {
        0 => "No device has worked under this code so far.".to_owned(),
        1 => "1 device has worked under this code so far.".to_owned(),
        count => format!("{} devices have worked under this code so far.", number(count)),
    }
}

/// `GET /admin/handshakes/{code}`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest, code: Path<String>) -> PageResult {
    Ok(code_page(&context, &request, &caller, &code, Shown::default()).await?)
}

/// Changes a code.
async fn change(context: &Data<Context>, caller: &Caller, name: &str, changes: Changes) -> Result<Result<Handshake, Refusal>, Failure> {
    Ok(context.writer().submit(EditHandshake { site: context.site.clone(), name: name.to_owned(), changes, by: caller.name.clone() }).await?)
}

/// `POST /admin/handshakes/{code}`: name, items, validation fields.
pub async fn edit(caller: Caller, context: Data<Context>, request: HttpRequest, code: Path<String>, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let entry = Entry::read(&fields);
    let catalog = context.writer().catalog();
    let known = handshake::find(&catalog, &code)?;
    let custom = fields.find("custom").map_or(known.custom.clone(), |custom| custom.trim().to_owned());
    let outcome = match HandshakeCode::new(&known.organization_id, &custom) {
        Err(bad) => Err(Errors::at(
            "handshake_code",
            if custom.is_empty() { "It needs a name: letters, digits, dots, underscores or hyphens.".to_owned() } else { bad.to_string() },
        )),
        Ok(name) => change(&context, &caller, &code, Changes { rename: Some(name), ..entry.changes() }).await?.map_err(Errors::of_refusal),
    };
    match outcome {
        Ok(fresh) => {
            let renamed = if fresh.custom == known.custom { "" } else { " The license key is another one now; the old name goes on as an alias." };
            Ok(go(&format!("{PATH}/{}", fresh.name()), format!("Saved.{renamed}")))
        }
        Err(errors) => Ok(code_page(&context, &request, &caller, &code, Shown { entry: Some((entry, custom)), errors, ..Shown::default() }).await?),
    }
}

/// `POST /admin/handshakes/{code}/password`: generated, given, or taken away.
pub async fn change_password(caller: Caller, context: Data<Context>, request: HttpRequest, code: Path<String>, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let password = match fields.text("do") {
        "remove" => None,
        "generate" => Some(jws::encode(random_uuid().as_bytes())),
        _ => Some(fields.trimmed("password").to_owned()),
    };
    match change(&context, &caller, &code, Changes { session_password: Some(password.clone()), ..Changes::default() }).await? {
        Ok(fresh) => match password {
            // It is in this answer only: a page that is loaded again does not show it.
            Some(new_password) => Ok(code_page(&context, &request, &caller, &fresh.name(), Shown { new_password, ..Shown::default() }).await?),
            None => Ok(go(&format!("{PATH}/{}", fresh.name()), "The session password is gone. The license key is another one now.")),
        },
        Err(refusal) => Ok(code_page(&context, &request, &caller, &code, Shown { errors: Errors::of_refusal(refusal), ..Shown::default() }).await?),
    }
}

/// The order of the form, after its button was pressed.
fn order_of(fields: &Fields) -> Option<Vec<ItemId>> {
    if fields.has("default") {
        return None;
    }
    let mut order: Vec<ItemId> = fields.all("order").iter().filter_map(|id| id.parse().ok()).collect();
    let place = |name: &str, order: &[ItemId]| fields.text(name).parse::<ItemId>().ok().and_then(|id| order.iter().position(|known| *known == id));
    if let Some(at) = place("up", &order).filter(|at| *at > 0) {
        order.swap(at, at - 1);
    }
    if let Some(at) = place("down", &order).filter(|at| at + 1 < order.len()) {
        order.swap(at, at + 1);
    }
    Some(order)
}

/// `POST /admin/handshakes/{code}/order`
pub async fn change_order(caller: Caller, context: Data<Context>, request: HttpRequest, code: Path<String>, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let order = order_of(&fields);
    let told = if order.is_none() { "Items are used in the default order again." } else { "The order of use is saved." };
    let to = format!("{PATH}/{code}#order");
    Ok(match context.writer().submit(OrderItems { name: code.into_inner(), order, by: caller.name }).await? {
        Ok(_) => go(&to, told),
        Err(refusal) => go_with_error(&to, refusal.detail()),
    })
}

/// `POST /admin/handshakes/{code}/aliases`: takes an alias away.
pub async fn remove_alias(caller: Caller, context: Data<Context>, request: HttpRequest, code: Path<String>, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let alias = fields.text("alias").to_owned();
    let outcome = change(&context, &caller, &code, Changes { remove_aliases: vec![alias.clone()], ..Changes::default() }).await?;
    Ok(match outcome {
        Ok(code) => go(&format!("{PATH}/{}", code.name()), format!("{alias} leads here no longer.")),
        Err(refusal) => go_with_error(&format!("{PATH}/{code}"), refusal.detail()),
    })
}

/// `POST /admin/handshakes/{code}/delete`
pub async fn delete(caller: Caller, context: Data<Context>, request: HttpRequest, code: Path<String>, payload: Payload) -> PageResult {
    Fields::of_caller(&context, &caller, &request, payload).await?;
    let name = code.into_inner();
    Ok(match context.writer().submit(DeleteHandshake { name: name.clone(), by: caller.name }).await? {
        Ok(code) => go(PATH, format!("{} is deleted. Its history stays in the statistics.", code.name())),
        Err(refusal) => go_with_error(PATH, refusal.detail()),
    })
}
