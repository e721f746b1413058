//! Is everything well, and what comes next? (pages, "Home")

use actix_web::HttpRequest;
use actix_web::web::Data;
use askama::Template;

use super::chrome::{Chrome, PageResult, count, distance, number, page};
use super::item_use;
use crate::http::Context;
use crate::http::admin_api::alerts::{self, AlertRow, Severity};
use crate::http::admin_api::items::Stock;
use crate::http::admin_api::{backups, servers};
use crate::http::caller::Caller;
use crate::licensing::grace;
use crate::store::statistics::{self, Scope};
use crate::store::{Error, Reader};

/// Items that end within so many days are named.
const SOON_DAYS: i64 = 30;

#[derive(Template)]
#[template(path = "admin/home.html")]
struct HomePage {
    page: Chrome,
    server_uuid: String,
    version: &'static str,
    figures: Vec<Figure>,
    next: Option<NextStep>,
    worries: Vec<Worry>,
    ending: Vec<Ending>,
    facts: String,
    /// What this server is and does.
    role: String,
    /// The other one, and when facts were last exchanged.
    partner: String,
    /// How long ago the last backup was made.
    backup: String,
}

/// A number that moves.
struct Figure {
    id: &'static str,
    label: &'static str,
    value: String,
    href: &'static str,
    note: String,
}

/// What the admin does next.
struct NextStep {
    title: &'static str,
    text: String,
    href: &'static str,
    action: &'static str,
}

/// Something that is not well.
struct Worry {
    class: &'static str,
    name: &'static str,
    text: String,
    href: String,
}

impl Worry {
    fn of(alert: AlertRow) -> Self {
        let (class, name) = match alert.severity {
            Severity::Urgent => ("bad", "urgent"),
            Severity::Warning => ("warn", "warning"),
        };
        let href = match (alert.item_id, &alert.handshake_code) {
            (Some(item), _) => format!("/admin/licenses/items/{item}"),
            (None, Some(code)) => format!("/admin/statistics?{}", serde_urlencoded::to_string([("handshake", code)]).unwrap_or_default()),
            (None, None) => "/admin/alerts".to_owned(),
        };
        Self { class, name, text: alert.text, href }
    }
}

/// An item that ends soon, or is not in order.
struct Ending {
    item_id: u64,
    product: String,
    text: String,
    status: &'static str,
    class: &'static str,
}

struct Found {
    active: u64,
    units: u64,
    granted: u64,
    refused: u64,
    licenses: usize,
    codes: usize,
    has_devices: bool,
    ending: Vec<Ending>,
}

fn read(reader: &Reader, stock: &Stock, now: i64) -> Result<Found, Error> {
    let catalog = &stock.catalog;
    let today = now.div_euclid(86_400);
    let scope = Scope { codes: catalog.all_codes(), item: None, is_concurrent: false };
    let (granted, refused) = statistics::read_answered(reader, &scope.codes, today)?;
    let mut ending = Vec::new();
    for entry in catalog.items() {
        let shown = item_use::read(reader, stock, entry, now)?;
        let (end, over) = (entry.item.valid_to.timestamp(), grace::end_at(&entry.item));
        let is_ending = end - now < SOON_DAYS * 86_400;
        // What is long over is history.
        if now > over + SOON_DAYS * 86_400 || (shown.status == "active" && !is_ending) {
            continue;
        }
        let text = if is_ending { format!("ends {} ({})", distance(end - now), shown.valid_to) } else { format!("{} of {} used", shown.used, shown.quota) };
        ending.push(Ending { item_id: shown.item_id, product: shown.product, text, status: shown.status, class: shown.status_class });
    }
    Ok(Found {
        active: statistics::read_active(reader, &scope.codes, now)?,
        units: statistics::read_types(reader, &scope, today, today)?.values().sum(),
        granted,
        refused,
        licenses: catalog.licenses().count(),
        codes: catalog.codes().len(),
        has_devices: granted > 0 || statistics::read_first_day(reader, &scope)?.is_some(),
        ending,
    })
}

/// `GET /admin/`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    let around = Chrome::of(&context, &request, &caller, "/admin/", "Home").await?;
    let now = context.clock.now_seconds();
    let origin = context.site.uuid();
    let stock = Stock::take(&context).await?;
    let found = context.read(move |reader| read(reader, &stock, now)).await?;
    let (standing, backup) = (servers::standing(&context).await?, backups::latest(&context).await?);
    let worries: Vec<Worry> = alerts::current(&context).await?.into_iter().map(Worry::of).collect();
    let figures = vec![
        Figure {
            id: "active",
            label: "Devices at work now",
            value: number(found.active),
            href: "/admin/devices",
            note: "in the last slot that is over".into(),
        },
        Figure { id: "units", label: "Scans and pages today", value: number(found.units), href: "/admin/statistics", note: "reported so far, UTC day".into() },
        Figure { id: "granted", label: "Authorized today", value: number(found.granted), href: "/admin/statistics?by=authorizations#day", note: String::new() },
        Figure { id: "refused", label: "Refused today", value: number(found.refused), href: "/admin/devices/refusals", note: String::new() },
    ];
    Ok(page(&HomePage {
        page: around,
        server_uuid: origin.to_string(),
        version: env!("CARGO_PKG_VERSION"),
        figures,
        next: find_next(&context, &found),
        worries,
        ending: found.ending,
        facts: count(standing.this.facts, "fact"),
        role: format!("{}, {}", standing.this.role, standing.this.doing.replace('_', " ")),
        partner: standing.partner.as_ref().map_or_else(|| "none".to_owned(), partner_text),
        backup: backup.map_or_else(|| "none yet".to_owned(), |copy| distance(copy.made_at - now)),
    })?)
}

fn partner_text(partner: &servers::PartnerRow) -> String {
    match (&partner.doing, partner.heard_seconds_ago) {
        (Some(doing), Some(ago)) if ago < 30 => {
            let sync = partner.last_sync_at.as_deref().map_or_else(String::new, |at| format!(", last sync {} UTC", at.replace('T', " ").replace('Z', "")));
            format!("{}{sync}", doing.replace('_', " "))
        }
        _ => "silent".to_owned(),
    }
}

fn find_next(context: &Context, found: &Found) -> Option<NextStep> {
    let step = |title, text: &str, href, action| Some(NextStep { title, text: text.to_owned(), href, action });
    if found.licenses == 0 && context.site.vendors().is_empty() {
        return step(
            "Trust your vendor, and ask for a license",
            "Upload the vendor's public key (vendor.pub), download this server's activation request and send it to the vendor.",
            "/admin/licenses",
            "Go to License items",
        );
    }
    if found.licenses == 0 {
        return step(
            "Import a license",
            "Send this server's activation request to the vendor, and import the license file that comes back.",
            "/admin/licenses",
            "Go to License items",
        );
    }
    if found.codes == 0 {
        return step("Make a handshake code", "Applications present one to get their license.", "/admin/handshakes/new", "Make a handshake code");
    }
    if !found.has_devices {
        return step(
            "Give developers the license key",
            "Copy the license key of a handshake code, or a whole snippet, into the application. Its first device appears here.",
            "/admin/handshakes",
            "Go to Handshake codes",
        );
    }
    None
}
