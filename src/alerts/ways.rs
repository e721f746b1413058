//! What the admin sets for each way out. It is kept as preferences, so both servers of a site have it;
//! secrets are sealed under the site's `secret.key` and never leave it again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Channel, mail, webhook};
use crate::commands::alerts::Way;
use crate::commands::preferences::names;
use crate::documents::secret::SecretKey;
use crate::store::{Error, Reader, preferences};

/// Longest value of a field, in bytes; a certificate may be longer.
const TEXT_MAX: usize = 1_000;
const PEM_MAX: usize = 64 * 1_024;

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// Not at all.
    None,
    /// It begins in clear and must become TLS; usual at port 587.
    #[default]
    Starttls,
    /// TLS from the first byte; usual at port 465.
    Tls,
}

/// Mail by SMTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct MailSettings {
    /// Whether alerts go this way.
    pub on: bool,
    /// Name or address of the mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Whom to log in as; empty: nobody.
    pub user: String,
    /// The address that mails come from.
    pub from: String,
    /// Who gets them, several separated by `;`.
    pub to: String,
    /// Who gets a copy.
    pub cc: String,
    /// Who gets a copy that the others do not see.
    pub bcc: String,
    /// The certificate authorities to trust, PEM; empty: those of the machine.
    pub ca_pem: String,
}

impl Default for MailSettings {
    fn default() -> Self {
        let empty = String::new;
        let (security, port) = (Security::Starttls, 587);
        Self { on: false, host: empty(), port, security, user: empty(), from: empty(), to: empty(), cc: empty(), bcc: empty(), ca_pem: empty() }
    }
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct WebhookSettings {
    /// Whether alerts go this way.
    pub on: bool,
    /// Where alerts are posted to.
    pub url: String,
    /// The certificate authority to trust, PEM; empty: those of the machine.
    pub ca_pem: String,
}

/// How syslog messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyslogTransport {
    /// Datagrams (RFC 5426): nobody hears of one that is lost.
    #[default]
    Udp,
    /// A connection, each message with its length before it (RFC 6587).
    Tcp,
    /// The same within TLS (RFC 5425).
    Tls,
}

/// The site's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SyslogSettings {
    /// Whether alerts go this way.
    pub on: bool,
    /// Name or address of the log server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How messages travel.
    pub transport: SyslogTransport,
    /// For TLS: the certificate authorities to trust, PEM; empty: those of the machine.
    pub ca_pem: String,
}

impl Default for SyslogSettings {
    fn default() -> Self {
        Self { on: false, host: String::new(), port: 514, transport: SyslogTransport::Udp, ca_pem: String::new() }
    }
}

/// A way out as it is kept: with its secret sealed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kept<T> {
    /// What is set.
    pub settings: T,
    /// The password or key, sealed, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

/// What the admin sets of a way out.
pub trait WaySettings: DeserializeOwned + Serialize + Default {
    /// The preference that it is kept as.
    const NAME: &'static str;

    /// Brings values into their usual form, and names every field that is wrong.
    fn check(&mut self) -> Vec<(&'static str, String)>;

    /// What is set, in words for the audit: no secret is among them.
    fn told(&self) -> String;
}

fn on_or_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

impl WaySettings for MailSettings {
    const NAME: &'static str = names::ALERT_MAIL;

    fn check(&mut self) -> Vec<(&'static str, String)> {
        let mut errors = Vec::new();
        tidy_up([&mut self.host, &mut self.user, &mut self.from, &mut self.to, &mut self.cc, &mut self.bcc, &mut self.ca_pem]);
        let fields = [("host", &self.host), ("user", &self.user), ("from", &self.from), ("to", &self.to), ("cc", &self.cc), ("bcc", &self.bcc)];
        errors.extend(fields.iter().filter_map(|(field, text)| Some((*field, check_length(text)?))));
        errors.extend(check_host(&self.host, self.on).map(|error| ("host", error)));
        errors.extend(check_port(self.port).map(|error| ("port", error)));
        errors.extend(check_ca(&self.ca_pem, usize::MAX).map(|error| ("ca_pem", error)));
        match mail::parse(&self.from) {
            Ok(list) if list.len() > 1 => errors.push(("from", "must be one address".to_owned())),
            Ok(list) if list.is_empty() && self.on => errors.push(("from", "is missing: give the address that mails shall come from".to_owned())),
            Ok(_) => {}
            Err(error) => errors.push(("from", error)),
        }
        for (field, text) in [("to", &self.to), ("cc", &self.cc), ("bcc", &self.bcc)] {
            match mail::parse(text) {
                Ok(list) if list.is_empty() && field == "to" && self.on => errors.push((field, "is missing: give at least one address".to_owned())),
                Ok(_) => {}
                Err(error) => errors.push((field, error)),
            }
        }
        errors
    }

    fn told(&self) -> String {
        let security = match self.security {
            Security::None => "not encrypted",
            Security::Starttls => "STARTTLS",
            Security::Tls => "TLS",
        };
        let mut told = format!("{}; {}:{}, {security}, from {}, to {}", on_or_off(self.on), self.host, self.port, self.from, self.to);
        for (name, value) in [("user", &self.user), ("cc", &self.cc), ("bcc", &self.bcc)] {
            if !value.is_empty() {
                told += &format!(", {name} {value}");
            }
        }
        told + if self.ca_pem.is_empty() { "" } else { ", own certificate authority" }
    }
}

impl WaySettings for WebhookSettings {
    const NAME: &'static str = names::ALERT_WEBHOOK;

    fn check(&mut self) -> Vec<(&'static str, String)> {
        tidy_up([&mut self.url, &mut self.ca_pem]);
        let mut errors: Vec<_> = check_length(&self.url).map(|error| ("url", error)).into_iter().collect();
        if self.url.is_empty() && self.on {
            errors.push(("url", "is missing: give the address that alerts shall be posted to".to_owned()));
        } else if !self.url.is_empty() && webhook::split(&self.url).is_none() {
            errors.push(("url", "is no address of a program: write it as https://alerts.plant.example/hook".to_owned()));
        }
        errors.extend(check_ca(&self.ca_pem, 1).map(|error| ("ca_pem", error)));
        errors
    }

    fn told(&self) -> String {
        // What stands after the host may be a secret by which the receiver knows its senders.
        let host = webhook::split(&self.url).map_or("", |(base, _)| base);
        format!("{}; {host}{}", on_or_off(self.on), if self.ca_pem.is_empty() { "" } else { ", own certificate authority" })
    }
}

impl WaySettings for SyslogSettings {
    const NAME: &'static str = names::ALERT_SYSLOG;

    fn check(&mut self) -> Vec<(&'static str, String)> {
        tidy_up([&mut self.host, &mut self.ca_pem]);
        let mut errors: Vec<_> = check_length(&self.host).map(|error| ("host", error)).into_iter().collect();
        errors.extend(check_host(&self.host, self.on).map(|error| ("host", error)));
        errors.extend(check_port(self.port).map(|error| ("port", error)));
        errors.extend(check_ca(&self.ca_pem, usize::MAX).map(|error| ("ca_pem", error)));
        errors
    }

    fn told(&self) -> String {
        let transport = match self.transport {
            SyslogTransport::Udp => "UDP",
            SyslogTransport::Tcp => "TCP",
            SyslogTransport::Tls => "TLS",
        };
        format!("{}; {}:{} by {transport}{}", on_or_off(self.on), self.host, self.port, if self.ca_pem.is_empty() { "" } else { ", own certificate authority" })
    }
}

fn tidy_up<const N: usize>(texts: [&mut String; N]) {
    for text in texts {
        *text = text.trim().to_owned();
    }
}

fn check_length(text: &str) -> Option<String> {
    (text.len() > TEXT_MAX || text.chars().any(char::is_control)).then(|| format!("must be at most {TEXT_MAX} characters on one line"))
}

fn check_host(host: &str, is_needed: bool) -> Option<String> {
    if host.is_empty() {
        return is_needed.then(|| "is missing: give the server's name or address".to_owned());
    }
    let is_name = host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
    let is_ok = is_name || host.parse::<std::net::IpAddr>().is_ok();
    (!is_ok).then(|| "is no name or address of a server: write only that, such as mail.plant.example".to_owned())
}

fn check_port(port: u16) -> Option<String> {
    (port == 0).then(|| "must be a whole number from 1 to 65535".to_owned())
}

fn check_ca(pem: &str, most: usize) -> Option<String> {
    if pem.is_empty() {
        return None;
    }
    let found = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap_or_default();
    let is_usable = |der: &CertificateDer<'static>| rustls::RootCertStore::empty().add(der.clone()).is_ok();
    if pem.len() > PEM_MAX || found.is_empty() || !found.iter().all(is_usable) {
        return Some("is no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----".to_owned());
    }
    (found.len() > most).then(|| "must be one certificate, that of the authority".to_owned())
}

/// A way out as it is kept.
///
/// # Errors
/// The database cannot be read.
pub fn read<T: WaySettings>(reader: &Reader) -> Result<Kept<T>, Error> {
    Ok(preferences::read(reader, T::NAME)?.unwrap_or_default())
}

/// Seals a secret for keeping; an empty one is none.
pub fn seal<T: WaySettings>(key: &SecretKey, secret: &str) -> Option<String> {
    (!secret.is_empty()).then(|| URL_SAFE_NO_PAD.encode(key.seal(T::NAME, secret.as_bytes())))
}

fn open<T: WaySettings>(key: &SecretKey, kept: &Kept<T>) -> Result<String, Error> {
    let Some(sealed) = &kept.sealed else { return Ok(String::new()) };
    let opened = URL_SAFE_NO_PAD.decode(sealed).ok().and_then(|sealed| key.open(T::NAME, &sealed)).and_then(|bytes| String::from_utf8(bytes).ok());
    opened.ok_or_else(|| Error::Corrupt(format!("the secret of {} cannot be opened with this server's secret.key: set it again", T::NAME)))
}

/// A way out, ready to be used; `None` while it is switched off.
///
/// # Errors
/// The database cannot be read, or the secret cannot be opened.
pub fn find_channel(reader: &Reader, key: &SecretKey, way: Way) -> Result<Option<Channel>, Error> {
    Ok(match way {
        Way::Mail => {
            let kept = read::<MailSettings>(reader)?;
            if kept.settings.on { Some(Channel::Mail(kept.settings.clone(), open(key, &kept)?)) } else { None }
        }
        Way::Webhook => {
            let kept = read::<WebhookSettings>(reader)?;
            if kept.settings.on { Some(Channel::Webhook(kept.settings.clone(), open(key, &kept)?)) } else { None }
        }
        Way::Syslog => Some(read::<SyslogSettings>(reader)?.settings).filter(|settings| settings.on).map(Channel::Syslog),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields<T: WaySettings>(mut settings: T) -> Vec<&'static str> {
        settings.check().into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn every_field_that_is_wrong_is_named() {
        assert_eq!(fields(MailSettings { on: true, port: 0, ..MailSettings::default() }), ["host", "port", "from", "to"]);
        assert!(fields(MailSettings::default()).is_empty(), "what is off may be empty");
        let mail = MailSettings {
            on: true,
            host: "mail.plant.example".into(),
            from: "license@plant.example".into(),
            to: "Anna <anna@plant.example>; bert@plant.example;".into(),
            ..MailSettings::default()
        };
        assert!(fields(mail.clone()).is_empty());
        let wrong = MailSettings { host: "http://mail".into(), to: "anna".into(), bcc: "a@b c".into(), ca_pem: "x".into(), ..mail };
        assert_eq!(fields(wrong), ["host", "ca_pem", "to", "bcc"]);
        let hook = |url: &str| WebhookSettings { on: true, url: url.into(), ..WebhookSettings::default() };
        assert_eq!(["", "ftp://a", "https://", "https://a b"].map(|url| fields(hook(url))), ["url"; 4].map(|field| vec![field]));
        assert!(fields(hook("https://alerts:8443/hook?key=1")).is_empty());
        assert_eq!(fields(SyslogSettings { on: true, port: 0, ..SyslogSettings::default() }), ["host", "port"]);
        assert!(fields(SyslogSettings { on: true, host: "::1".into(), ..SyslogSettings::default() }).is_empty());
    }

    #[test]
    fn a_secret_opens_with_the_sites_key_only_and_is_not_told() {
        let (key, other) = (SecretKey::new(&[7; 32]), SecretKey::new(&[8; 32]));
        let kept = Kept { settings: MailSettings::default(), sealed: seal::<MailSettings>(&key, "open sesame") };
        assert_eq!(open(&key, &kept).expect("opens"), "open sesame");
        open(&other, &kept).expect_err("another key");
        let json = serde_json::to_string(&kept).expect("JSON");
        assert!(!json.contains("sesame") && !kept.settings.told().contains("sesame"), "{json}");
        assert_eq!(seal::<MailSettings>(&key, ""), None);
        let hook = WebhookSettings { on: true, url: "https://alerts/hook/s3cret".into(), ..WebhookSettings::default() };
        assert_eq!(hook.told(), "on; https://alerts");
    }
}
