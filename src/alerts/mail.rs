//! Mail by SMTP: in clear, by STARTTLS or TLS, with or without a login.

use std::time::{Duration, SystemTime};

use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes, header};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use lettre::{SmtpTransport, Transport as _};

use super::TIMEOUT;
use super::ways::{MailSettings, Security};
use crate::clock::rfc3339;
use crate::commands::alerts::Message;
use crate::store::alerts::Severity;

/// Longest piece of an alert in a subject, in characters.
const SUBJECT_MAX: usize = 90;

/// Addresses separated by `;`.
///
/// # Errors
/// The first that is none.
pub fn parse(text: &str) -> Result<Vec<Mailbox>, String> {
    let parts = text.split([';', '\n']).map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| part.parse().map_err(|_| format!("has '{part}', which is no mail address: write anna@plant.example, several separated by ;"))).collect()
}

/// Sends a message, to whoever the server takes it for.
///
/// # Errors
/// Nobody got it; in the server's own words.
pub fn send(settings: &MailSettings, password: &str, message: &Message) -> Result<String, String> {
    let from = parse(&settings.from)?.into_iter().next().ok_or("the sender's address is missing")?;
    let transport = connect(settings, password, &from)?;
    let mail = compose(settings, from, message)?;
    let (envelope, bytes) = (mail.envelope().clone(), mail.formatted());
    let error = match transport.send_raw(&envelope, &bytes) {
        Ok(answer) => return Ok(words(&answer)),
        Err(error) => error,
    };
    // One address that is no more must not keep the others from hearing. A login that was refused
    // would only be refused again.
    let is_login = error.status().is_some_and(|code| (530..540).contains(&u16::from(code)));
    if !error.is_permanent() || is_login || envelope.to().len() < 2 {
        return Err(error.to_string());
    }
    let (mut answers, mut refused) = (Vec::new(), Vec::new());
    for address in envelope.to() {
        let alone = Envelope::new(envelope.from().cloned(), vec![address.clone()]).map_err(|error| error.to_string())?;
        match transport.send_raw(&alone, &bytes) {
            Ok(answer) => answers.push(format!("{address}: {}", words(&answer))),
            Err(error) => refused.push(format!("{address}: {error}")),
        }
    }
    if answers.is_empty() { Err(refused.join("; ")) } else { Ok([answers, refused].concat().join("; ")) }
}

/// `250 OK`.
fn words(answer: &Response) -> String {
    format!("{} {}", answer.code(), answer.message().collect::<Vec<_>>().join(" "))
}

fn connect(settings: &MailSettings, password: &str, from: &Mailbox) -> Result<SmtpTransport, String> {
    let trusted = || {
        let mut tls = TlsParameters::builder(settings.host.clone());
        if !settings.ca_pem.is_empty() {
            tls = tls.certificate_store(CertificateStore::None);
            tls = tls.add_root_certificate(Certificate::from_pem(settings.ca_pem.as_bytes()).map_err(|error| error.to_string())?);
        }
        tls.build().map_err(|error| error.to_string())
    };
    let tls = match settings.security {
        Security::None => Tls::None,
        Security::Starttls => Tls::Required(trusted()?),
        Security::Tls => Tls::Wrapper(trusted()?),
    };
    let mut transport = SmtpTransport::builder_dangerous(settings.host.as_str()).port(settings.port).tls(tls).timeout(Some(TIMEOUT));
    transport = transport.hello_name(ClientId::Domain(from.email.domain().to_owned()));
    if !settings.user.is_empty() {
        transport = transport.credentials(Credentials::new(settings.user.clone(), password.to_owned()));
    }
    Ok(transport.build())
}

fn compose(settings: &MailSettings, from: Mailbox, message: &Message) -> Result<lettre::Message, String> {
    let made = SystemTime::UNIX_EPOCH + Duration::from_secs(message.made_at.try_into().unwrap_or(0));
    let id = format!("<{}@{}>", message.id, from.email.domain());
    let mut mail = lettre::Message::builder().from(from).subject(subject(message)).date(made).message_id(Some(id));
    for (text, kind) in [(&settings.to, 0), (&settings.cc, 1), (&settings.bcc, 2)] {
        let list: Mailboxes = parse(text)?.into_iter().collect();
        if list.iter().next().is_some() {
            mail = match kind {
                0 => mail.mailbox(header::To::from(list)),
                1 => mail.mailbox(header::Cc::from(list)),
                _ => mail.mailbox(header::Bcc::from(list)),
            };
        }
    }
    // Nobody's holiday is to answer it.
    let name = HeaderName::new_from_ascii_str("Auto-Submitted");
    mail = mail.raw_header(HeaderValue::new(name, "auto-generated".to_owned()));
    mail.header(ContentType::TEXT_PLAIN).body(text(message)).map_err(|error| error.to_string())
}

/// `[Tollkeeper, Plant 3] urgent: Item 100000002 (device): 10 of 10 seats are taken …`
fn subject(message: &Message) -> String {
    let site = if message.site.is_empty() { String::new() } else { format!(", {}", message.site) };
    let urgent = message.alerts.iter().filter(|alert| alert.severity == Severity::Urgent).count();
    let told = match (message.alerts.as_slice(), urgent) {
        (_, _) if message.is_test => "a test".to_owned(),
        ([alert], _) => {
            let short: String = alert.text.chars().take(SUBJECT_MAX).collect();
            format!("{}: {short}{}", alert.severity.name(), if short.len() < alert.text.len() { "…" } else { "" })
        }
        (several, 0) => format!("{} warnings", several.len()),
        (several, urgent) => format!("{} alerts, {urgent} of them urgent", several.len()),
    };
    format!("[Tollkeeper{site}] {told}")
}

fn text(message: &Message) -> String {
    let mut text = String::new();
    let mut alerts: Vec<_> = message.alerts.iter().collect();
    alerts.sort_by_key(|alert| alert.severity);
    for alert in alerts {
        let mark = if message.is_test { "" } else { alert.severity.name() };
        text += &format!("{mark}{}{}\r\n\r\n", if mark.is_empty() { "" } else { ": " }, alert.text);
    }
    let site = if message.site.is_empty() { String::new() } else { format!(" of the site '{}'", message.site) };
    text + &format!(
        "-- \r\nTold by the license server {}{site} at {}.\r\nHow things stand now: its page 'Alerts'.\r\n",
        message.server,
        rfc3339(message.made_at)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::licensing::ServerUuid;
    use crate::store::alerts::Raised;

    fn message(texts: &[&str]) -> Message {
        let alert = |text: &&str| Raised { severity: Severity::Urgent, item: None, code: None, kind: "x".into(), text: (*text).into() };
        let server = ServerUuid::from_bytes([1; 16]);
        Message { id: uuid::Uuid::nil(), made_at: 1_795_348_800, server, site: "Werk Süd".into(), is_test: false, alerts: texts.iter().map(alert).collect() }
    }

    #[test]
    fn a_mail_names_the_site_and_hides_who_gets_a_blind_copy() {
        let settings = MailSettings {
            from: "license@plant.example".into(),
            to: "Anna <anna@plant.example>; bert@plant.example".into(),
            cc: "chief@plant.example".into(),
            bcc: "night@plant.example".into(),
            ..MailSettings::default()
        };
        let from = parse(&settings.from).expect("an address").remove(0);
        let mail = compose(&settings, from, &message(&["Item 1: 10 of 10 seats are taken."])).expect("composed");
        assert_eq!(mail.envelope().to().len(), 4);
        let text = String::from_utf8(mail.formatted()).expect("ASCII");
        assert!(text.is_ascii() && !text.contains("night@"), "{text}");
        for part in ["To: Anna <anna@plant.example>, bert@plant.example", "Cc: chief@plant.example", "Auto-Submitted: auto-generated", "10 of 10 seats"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn a_subject_is_short_and_says_how_much_it_presses() {
        assert_eq!(subject(&message(&["Item 1 ends."])), "[Tollkeeper, Werk Süd] urgent: Item 1 ends.");
        assert_eq!(subject(&message(&["a", "b"])), "[Tollkeeper, Werk Süd] 2 alerts, 2 of them urgent");
        assert!(subject(&message(&[&"x".repeat(500)])).chars().count() < 130);
    }
}
