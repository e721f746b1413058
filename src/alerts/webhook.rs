//! A webhook: what is new is posted as JSON, signed so that the receiver knows who sends it.
//!
//! `Tollkeeper-Signature` is `sha256=` and the hex of HMAC-SHA256 over the time in
//! `Tollkeeper-Timestamp` (seconds since 1970), a full stop and the body, under the secret that both
//! know. A receiver that refuses old times cannot be fooled by a copy of an earlier message.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::TIMEOUT;
use super::ways::WebhookSettings;
use crate::client::transport::{CaPin, Method, Timeouts, Transport, TransportError};
use crate::clock::rfc3339;
use crate::commands::alerts::Message;

/// Longest piece of an answer that is told, in characters.
const ANSWER_MAX: usize = 200;

/// The URL's server, and what stands after it.
pub fn split(url: &str) -> Option<(&str, &str)> {
    let start = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).map(|rest| url.len() - rest.len())?;
    let end = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
    let is_ok = end > start && !url.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') && !url[start..end].contains('@');
    is_ok.then(|| url.split_at(end))
}

/// Posts a message; it is taken when the answer's status is 2xx.
///
/// # Errors
/// What the receiver answered, or why it cannot be reached.
pub fn send(settings: &WebhookSettings, secret: &str, message: &Message, now: i64) -> Result<String, String> {
    let (base, rest) = split(&settings.url).ok_or("the URL cannot be used")?;
    let path = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    let timeouts = Timeouts { connect: TIMEOUT, whole: 2 * TIMEOUT };
    let transport = match (base.starts_with("https://"), settings.ca_pem.is_empty()) {
        (false, _) => Transport::plain(base, timeouts),
        (true, false) => Transport::pinned_within(base, CaPin::Pem(settings.ca_pem.clone()), timeouts),
        (true, true) => Transport::system(base, timeouts),
    };
    let transport = transport.map_err(|error| match error {
        TransportError::Pin { .. } => "this machine has no list of trusted authorities: give that of the webhook".to_owned(),
        error => error.to_string(),
    })?;
    let body = body(message).to_string();
    let timestamp = now.to_string();
    let signature = sign(secret, &timestamp, &body);
    let mut headers = vec![("tollkeeper-timestamp", timestamp.as_str())];
    if !secret.is_empty() {
        headers.push(("tollkeeper-signature", &signature));
    }
    let reply = transport.send(Method::Post, &path, Some(("application/json", body.into_bytes())), &headers).map_err(|error| error.to_string())?;
    let text: String = String::from_utf8_lossy(&reply.body).split_whitespace().collect::<Vec<_>>().join(" ").chars().take(ANSWER_MAX).collect();
    let told = format!("status {}{}{text}", reply.status, if text.is_empty() { "" } else { ": " });
    if reply.is_success() { Ok(told) } else { Err(format!("{base} answered with {told}")) }
}

fn sign(secret: &str, timestamp: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{timestamp}.{body}").as_bytes());
    tag.as_ref().iter().fold("sha256=".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn body(message: &Message) -> Value {
    let alert = |alert: &crate::store::alerts::Raised| {
        json!({
            "severity": alert.severity, "about": alert.about(), "item_id": alert.item, "handshake_code": alert.code, "kind": alert.kind, "text": alert.text,
        })
    };
    json!({
        "id": message.id,
        "made_at": rfc3339(message.made_at),
        "server_uuid": message.server,
        "site": message.site,
        "test": message.is_test,
        "alerts": message.alerts.iter().map(alert).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_anybody_who_knows_the_secret() {
        // printf '1795348800.{}' | openssl dgst -sha256 -hmac 'open sesame'
        assert_eq!(sign("open sesame", "1795348800", "{}"), "sha256=9f3195f0f03a9cc30b0d095bcaa0b8033a845a7d1badfdecb9e55ef246f6b618");
    }

    #[test]
    fn a_url_is_split_after_its_server() {
        assert_eq!(split("https://alerts:8443/hook?key=1"), Some(("https://alerts:8443", "/hook?key=1")));
        assert_eq!(split("http://10.0.0.9?key=1"), Some(("http://10.0.0.9", "?key=1")));
        assert_eq!(["https://user@alerts", "https:///x", "alerts/hook", "https://a/#x"].map(split), [None; 4]);
    }
}
