//! Names of things (domain §1). Each has a type of its own, so that an item's number is
//! never taken for a license's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a name was not taken; the text says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadName(pub String);

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadName {}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                match text.parse::<u64>() {
                    Ok(number) if number > 0 && number <= MAX_ID => Ok(Self(number)),
                    _ => Err(BadName(format!("'{text}' is not an id: give a whole number from 1 to {MAX_ID}"))),
                }
            }
        }
    };
}

/// The largest id: every JSON reader keeps whole numbers exact up to here (2^53 − 1).
pub const MAX_ID: u64 = (1 << 53) - 1;

number_id!(
    /// A license, as the vendor numbered it.
    LicenseId
);
number_id!(
    /// A license item: the unit of purchase. Unique on a server.
    ItemId
);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The sixteen bytes, as the store keeps them.
            pub fn bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// From the sixteen bytes the store keeps.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                match Uuid::try_parse(text) {
                    Ok(uuid) if !uuid.is_nil() => Ok(Self(uuid)),
                    _ => Err(BadName(format!("'{text}' is not a UUID such as 6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88"))),
                }
            }
        }
    };
}

uuid_id!(
    /// A device, named by the UUID that it made on first use. Holds no personal data.
    ClientUuid
);
uuid_id!(
    /// A server: this one or its partner. The origin of facts.
    ServerUuid
);
uuid_id!(
    /// A handshake code whatever it is called: the name may change, history stays with this.
    CodeId
);

/// A customer, such as `216998`: 1 to 64 of `[A-Za-z0-9._]`. No hyphen, because the
/// hyphen ends it in a handshake code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrganizationId(String);

impl OrganizationId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrganizationId {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        if is_word(text, b"._") {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName(format!("'{}' is not an organization ID: 1 to 64 letters, digits, dots or underscores", shorten(text))))
        }
    }
}

impl TryFrom<String> for OrganizationId {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<OrganizationId> for String {
    fn from(id: OrganizationId) -> Self {
        id.0
    }
}

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an application presents: `{organization ID}-{custom string}`, the custom string
/// 1 to 64 of `[A-Za-z0-9._-]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HandshakeCode {
    text: String,
    hyphen: usize,
}

impl HandshakeCode {
    /// The code of an organization with this custom string.
    pub fn new(organization: &OrganizationId, custom: &str) -> Result<Self, BadName> {
        format!("{organization}-{custom}").parse()
    }

    /// The whole code.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The organization it names.
    pub fn organization(&self) -> OrganizationId {
        OrganizationId(self.text[..self.hyphen].to_owned())
    }

    /// The part that the admin chose.
    pub fn custom(&self) -> &str {
        &self.text[self.hyphen + 1..]
    }
}

impl FromStr for HandshakeCode {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || {
            BadName(format!(
                "'{}' is not a handshake code: write {{organization ID}}-{{custom string}}, the custom string 1 to 64 of A-Z a-z 0-9 . _ -",
                shorten(text)
            ))
        };
        let (organization, custom) = text.split_once('-').ok_or_else(bad)?;
        if is_word(organization, b"._") && is_word(custom, b"._-") { Ok(Self { text: text.to_owned(), hyphen: organization.len() }) } else { Err(bad()) }
    }
}

impl TryFrom<String> for HandshakeCode {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<HandshakeCode> for String {
    fn from(code: HandshakeCode) -> Self {
        code.text
    }
}

impl fmt::Display for HandshakeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_word(text: &str, extra: &[u8]) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
}

/// At most 80 characters of what somebody sent, for use in a message.
pub fn shorten(text: &str) -> String {
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_code_splits_at_its_first_hyphen() {
        let code: HandshakeCode = "216998-line-4.a_b".parse().expect("valid");
        assert_eq!(code.organization().as_str(), "216998");
        assert_eq!(code.custom(), "line-4.a_b");
    }

    #[test]
    fn names_outside_the_rules_are_refused_with_what_is_allowed() {
        for bad in ["", "216998", "216998-", "-x", "21 69-x", "a-ü", &format!("1-{}", "x".repeat(65))] {
            let error = bad.parse::<HandshakeCode>().expect_err(bad);
            assert!(error.to_string().contains("custom string"), "{error}");
        }
        assert!("21-69".parse::<OrganizationId>().is_err());
        assert!("0".parse::<ItemId>().is_err());
        assert!("9007199254740992".parse::<ItemId>().is_err());
        assert!("00000000-0000-0000-0000-000000000000".parse::<ClientUuid>().is_err());
    }
}
