//! How alerts leave: mail, webhook, syslog, each with a test (pages, "Alerts").

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use askama::Template;

use super::alerts::{SECTION, WAYS, WayLine, alert_tabs};
use super::chrome::{Chrome, PageResult, go, go_with_error, page, page_with};
use super::form::Fields;
use super::shown::{Errors, Tab};
use crate::alerts::ways::{MailSettings, Security, SyslogSettings, SyslogTransport, WebhookSettings};
use crate::commands::alerts::Way;
use crate::http::Context;
use crate::http::admin_api::alert_ways::{WaysAnswer, WaysChanges, read, write};
use crate::http::admin_api::alerts;
use crate::http::caller::Caller;
use crate::http::problem::Failure;

type Choices = &'static [(&'static str, &'static str)];

const SECURITY: Choices = &[("starttls", "STARTTLS (usual at port 587)"), ("tls", "TLS (usual at port 465)"), ("none", "not encrypted (usual at port 25)")];
const TRANSPORT: Choices = &[("udp", "UDP"), ("tcp", "TCP"), ("tls", "TLS (usual at port 6514)")];
/// Longest answer that is told at the top of the page, in characters.
const ANSWER_MAX: usize = 400;

#[derive(Default)]
struct Field {
    name: &'static str,
    label: &'static str,
    kind: &'static str,
    value: String,
    placeholder: &'static str,
    hint: &'static str,
    options: Choices,
    is_wide: bool,
    error: String,
}

impl Field {
    fn text(name: &'static str, label: &'static str, value: &str, placeholder: &'static str, hint: &'static str) -> Self {
        Self { name, label, kind: "text", value: value.to_owned(), placeholder, hint, ..Self::default() }
    }

    fn port(name: &'static str, value: u16) -> Self {
        Self { name, label: "Port", kind: "number", value: value.to_string(), ..Self::default() }
    }

    fn choice(name: &'static str, label: &'static str, options: Choices, value: &str) -> Self {
        Self { name, label, kind: "text", value: value.to_owned(), options, ..Self::default() }
    }

    fn secret(name: &'static str, label: &'static str, hint: &'static str, is_set: bool) -> Self {
        Self { name, label, kind: "password", placeholder: if is_set { "kept as it is" } else { "" }, hint, ..Self::default() }
    }

    fn authority(name: &'static str, value: &str) -> Self {
        let hint = "PEM, for a server whose certificate this machine does not trust by itself. Empty: the machine's own list.";
        Self { name, label: "Own certificate authority", kind: "area", value: value.to_owned(), hint, is_wide: true, ..Self::default() }
    }

    /// What an input says of itself. Names are from here, not from elsewhere.
    fn aria(&self) -> String {
        let told: Vec<_> = [("error", self.error.as_str()), ("hint", self.hint)]
            .iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(end, _)| format!("{}-{end}", self.name))
            .collect();
        let described = if told.is_empty() { String::new() } else { format!(" aria-describedby=\"{}\"", told.join(" ")) };
        described + if self.error.is_empty() { "" } else { " aria-invalid=\"true\"" }
    }
}

struct Card {
    way: &'static str,
    what: &'static str,
    lead: &'static str,
    on: bool,
    line: WayLine,
    fields: Vec<Field>,
    has_secret: bool,
    secret_name: &'static str,
}

#[derive(Template)]
#[template(path = "admin/alert-ways.html")]
struct WaysPage {
    page: Chrome,
    tabs: Vec<Tab>,
    cards: Vec<Card>,
}

fn mail_fields(mail: &MailSettings, has_password: bool) -> Vec<Field> {
    let security = match mail.security {
        Security::None => "none",
        Security::Starttls => "starttls",
        Security::Tls => "tls",
    };
    vec![
        Field::text("mail_host", "Mail server", &mail.host, "mail.plant.example", ""),
        Field::port("mail_port", mail.port),
        Field::choice("mail_security", "Encryption", SECURITY, security),
        Field::text("mail_from", "From", &mail.from, "license@plant.example", ""),
        Field::text("mail_user", "User", &mail.user, "", "Empty: without a login."),
        Field::secret("mail_password", "Password", "", has_password),
        Field::text("mail_to", "To", &mail.to, "anna@plant.example; bert@plant.example", "Several addresses are separated by ;"),
        Field::text("mail_cc", "CC", &mail.cc, "", ""),
        Field::text("mail_bcc", "BCC", &mail.bcc, "", "The others do not see these."),
        Field::authority("mail_ca_pem", &mail.ca_pem),
    ]
}

fn webhook_fields(webhook: &WebhookSettings, has_secret: bool) -> Vec<Field> {
    let hint = "Both sides know it. Each message carries an HMAC-SHA256 of its time and its body under it; empty: none.";
    vec![
        Field::text("webhook_url", "URL", &webhook.url, "https://alerts.plant.example/hook", ""),
        Field::secret("webhook_secret", "Secret", hint, has_secret),
        Field::authority("webhook_ca_pem", &webhook.ca_pem),
    ]
}

fn syslog_fields(syslog: &SyslogSettings) -> Vec<Field> {
    let transport = match syslog.transport {
        SyslogTransport::Udp => "udp",
        SyslogTransport::Tcp => "tcp",
        SyslogTransport::Tls => "tls",
    };
    vec![
        Field::text("syslog_host", "Log server", &syslog.host, "log.plant.example", ""),
        Field::port("syslog_port", syslog.port),
        Field::choice("syslog_transport", "Transport", TRANSPORT, transport),
        Field::authority("syslog_ca_pem", &syslog.ca_pem),
    ]
}

async fn around(caller: &Caller, context: &Context, request: &HttpRequest, set: &WaysAnswer) -> Result<WaysPage, Failure> {
    let page = Chrome::of(context, request, caller, SECTION, "Alerts").await?;
    let lines = alerts::ways(context).await?;
    let cards = Way::ALL.into_iter().zip(lines).map(|(way, row)| {
        let line = WayLine::of(row);
        let card = Card { way: way.name(), what: "", lead: "", on: line.on, line, fields: Vec::new(), has_secret: false, secret_name: "" };
        match way {
            Way::Mail => Card {
                what: "mail settings",
                lead: "Each message is one mail to all recipients, by your own mail server.",
                fields: mail_fields(&set.mail, set.has_mail_password),
                has_secret: set.has_mail_password,
                secret_name: "password",
                ..card
            },
            Way::Webhook => Card {
                what: "webhook settings",
                lead: "Each message is posted as JSON to a program of yours, until it answers with a status of 2xx.",
                fields: webhook_fields(&set.webhook, set.has_webhook_secret),
                has_secret: set.has_webhook_secret,
                secret_name: "secret",
                ..card
            },
            Way::Syslog => Card {
                what: "syslog settings",
                lead: "Each alert is a line of RFC 5424 in the log of your site, facility 'daemon'.",
                fields: syslog_fields(&set.syslog),
                ..card
            },
        }
    });
    Ok(WaysPage { cards: cards.collect(), tabs: alert_tabs(WAYS), page })
}

/// `GET /admin/alerts/ways`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest) -> PageResult {
    let set = read(&context).await?;
    Ok(page(&around(&caller, &context, &request, &set).await?)?)
}

fn way_of(fields: &Fields) -> Result<Way, Failure> {
    Way::find(fields.text("way")).ok_or_else(|| Failure::malformed("way", "must be mail, webhook or syslog"))
}

/// What was typed; a port that is no number becomes one that is refused.
fn typed(way: Way, fields: &Fields) -> WaysChanges {
    let text = |name: &str| fields.text(&format!("{}_{name}", way.name())).to_owned();
    let (on, port) = (fields.has(&format!("{}_on", way.name())), text("port").trim().parse().unwrap_or(0));
    let secret = |name: &str| {
        let is_forgotten = fields.has(&format!("{}_forget", way.name()));
        Some(text(name)).filter(|typed| !typed.is_empty() || is_forgotten)
    };
    match way {
        Way::Mail => {
            let security = match text("security").as_str() {
                "none" => Security::None,
                "tls" => Security::Tls,
                _ => Security::Starttls,
            };
            let (host, user, from) = (text("host"), text("user"), text("from"));
            let (to, cc, bcc, ca_pem) = (text("to"), text("cc"), text("bcc"), text("ca_pem"));
            let mail = MailSettings { on, host, port, security, user, from, to, cc, bcc, ca_pem };
            WaysChanges { mail: Some(mail), mail_password: secret("password"), ..WaysChanges::default() }
        }
        Way::Webhook => {
            let webhook = WebhookSettings { on, url: text("url"), ca_pem: text("ca_pem") };
            WaysChanges { webhook: Some(webhook), webhook_secret: secret("secret"), ..WaysChanges::default() }
        }
        Way::Syslog => {
            let transport = match text("transport").as_str() {
                "tcp" => SyslogTransport::Tcp,
                "tls" => SyslogTransport::Tls,
                _ => SyslogTransport::Udp,
            };
            WaysChanges { syslog: Some(SyslogSettings { on, host: text("host"), port, transport, ca_pem: text("ca_pem") }), ..WaysChanges::default() }
        }
    }
}

/// `POST /admin/alerts/ways`
pub async fn set(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let way = way_of(&fields)?;
    let mut changes = typed(way, &fields);
    let mut errors = Errors::default();
    for (field, text) in changes.check() {
        errors.add(&field, text);
    }
    if errors.is_empty() {
        write(&context, &caller, changes).await?;
        let set = read(&context).await?;
        let on = [set.mail.on, set.webhook.on, set.syslog.on];
        let is_on = Way::ALL.into_iter().zip(on).any(|(of, on)| of == way && on);
        let next = if is_on { "Send a test to see that it works." } else { "It is switched off." };
        return Ok(go(WAYS, format!("The settings of {} are saved. {next}", way.name())));
    }
    let mut template = around(&caller, &context, &request, &read(&context).await?).await?;
    for card in template.cards.iter_mut().filter(|card| card.way == way.name()) {
        card.on = fields.has(&format!("{}_on", way.name()));
        for field in &mut card.fields {
            // A secret is not sent back; it is to be typed again.
            if field.kind != "password" {
                field.value = fields.text(field.name).to_owned();
            }
            field.error = errors.at(field.name).to_owned();
        }
    }
    Ok(page_with(StatusCode::BAD_REQUEST, &template)?)
}

/// `POST /admin/alerts/test`
pub async fn test(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> PageResult {
    let fields = Fields::of_caller(&context, &caller, &request, payload).await?;
    let way = way_of(&fields)?;
    let rows = alerts::test(&context, &caller, Some(way)).await?;
    let Some(row) = rows.first() else { return Ok(go(WAYS, "Nothing was sent.")) };
    let answer: String = row.answer.chars().take(ANSWER_MAX).collect();
    if row.ok {
        return Ok(go(WAYS, format!("The test by {} was taken. The answer: {answer}", row.way)));
    }
    Ok(go_with_error(WAYS, format!("The test by {} failed. The answer: {answer}", row.way)))
}
