//! What people carry between a device without network and its server (domain §3): a request
//! for an authorization, the authorization, usage reports, and the receipt for them.
//!
//! Each is the JSON of the client API behind a prefix, on one line, so that it fits into a QR
//! code; files have the same in armor. None is signed here: an authorization is signed inside,
//! and the others prove what they must by it, as over the network.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::armor::{armor, dearmor};
use super::{Error, jws};
use crate::protocol::object::Object;

/// Largest file taken, in bytes: reports of a month.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// What is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `AuthorizeRequest`, from device to server.
    Request,
    /// `AuthorizeAnswer`, from server to device.
    Authorization,
    /// `ReportsRequest`, from device to server; any number of reports.
    Reports,
    /// `ReportsAnswer`, from server to device.
    Receipt,
}

/// "1 report", "2 reports": for the summary of a file.
pub fn counted_reports(number: usize) -> String {
    format!("{number} report{}", if number == 1 { "" } else { "s" })
}

impl Kind {
    /// With what its line begins.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Request => "TKR1.",
            Self::Authorization => "TKA1.",
            Self::Reports => "TKU1.",
            Self::Receipt => "TKC1.",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Request => "TOLLKEEPER AUTHORIZATION REQUEST",
            Self::Authorization => "TOLLKEEPER AUTHORIZATION",
            Self::Reports => "TOLLKEEPER USAGE REPORTS",
            Self::Receipt => "TOLLKEEPER USAGE RECEIPT",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Request => "authorization request",
            Self::Authorization => "authorization file",
            Self::Reports => "usage report file",
            Self::Receipt => "usage receipt",
        }
    }
}

/// The one line, for a QR code.
///
/// # Panics
/// When the content cannot be JSON at all (a map with keys that are not text).
pub fn line(kind: Kind, content: &impl Serialize) -> String {
    let json = serde_json::to_vec(content).expect("what is carried is structs that JSON can hold");
    format!("{}{}", kind.prefix(), jws::encode(&json))
}

/// The file; `summary` is for people.
pub fn file(kind: Kind, content: &impl Serialize, summary: &str) -> String {
    armor(kind.label(), &line(kind, content), summary)
}

/// Reads a line or a file.
///
/// # Errors
/// Another kind of document, damaged, or too large.
pub fn read<T: DeserializeOwned>(kind: Kind, text: &str) -> Result<T, Error> {
    let what = kind.name();
    let bare = text.trim_start_matches('\u{feff}').trim();
    let line = if bare.starts_with("TK") { bare.split_whitespace().collect() } else { dearmor(kind.label(), text, MAX_BYTES)? };
    if line.len() > MAX_BYTES {
        return Err(Error::TooLarge { what, limit: MAX_BYTES });
    }
    let Some(body) = line.strip_prefix(kind.prefix()) else {
        let other = [Kind::Request, Kind::Authorization, Kind::Reports, Kind::Receipt].into_iter().find(|other| line.starts_with(other.prefix()));
        let found = other.map_or("text of another kind", Kind::name);
        return Err(Error::WrongArmor { expected: what.to_owned(), found: found.to_owned() });
    };
    let json = jws::decode(body).ok_or(Error::Base64 { what, detail: "its content is not base64url" })?;
    jws::check_object(&json, what)?;
    jws::parse_json::<Object<T>>(&json, what).map(|object| object.0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn both_forms_are_read_back() {
        let content = json!({"client_uuid": "6f1c", "counts": {"QR Code": 3}});
        for text in [line(Kind::Reports, &content), file(Kind::Reports, &content, "3 scans"), line(Kind::Reports, &content).replace("eyJ", "eyJ\r\n ")] {
            assert_eq!(read::<Value>(Kind::Reports, &text), Ok(content.clone()), "{text}");
        }
        assert!(file(Kind::Request, &content, "Please").starts_with("Please\n\n-----BEGIN TOLLKEEPER AUTHORIZATION REQUEST-----\nTKR1."));
    }

    #[test]
    fn what_is_something_else_is_told_apart() {
        let text = |kind| line(kind, &json!({}));
        assert!(read::<Value>(Kind::Request, &text(Kind::Reports)).expect_err("other").to_string().contains("usage report file"));
        assert!(read::<Value>(Kind::Request, &file(Kind::Receipt, &json!({}), "")).is_err());
        for bad in ["", "TKR1.", "TKR1.e", "TKR1.W10", "TK", "hello"] {
            assert!(read::<Value>(Kind::Request, bad).is_err(), "{bad}");
        }
    }
}
