//! How alerts leave the house (domain §7), for sites that have somewhere to send them: by mail, to a
//! webhook, into the site's log. Everything here blocks and may take long: it runs on threads of its
//! own. What is sent, and when, is the business of [`crate::jobs`].
//!
//! | file | what |
//! | --- | --- |
//! | [`ways`] | what the admin sets: where to, how, and the secrets for it |
//! | [`mail`] | SMTP |
//! | [`webhook`] | a signed POST |
//! | [`syslog`] | RFC 5424 over UDP, TCP or TLS |

pub mod mail;
pub mod syslog;
pub mod ways;
pub mod webhook;

use std::time::Duration;

use crate::commands::alerts::{Message, Way};
use crate::store::alerts::{Raised, Severity};
use ways::{MailSettings, SyslogSettings, WebhookSettings};

/// For a connection, and for each answer of the other side.
const TIMEOUT: Duration = Duration::from_secs(8);

/// A way that is open, with its secret in clear; empty: none.
#[derive(Clone)]
pub enum Channel {
    /// Mail, and the password.
    Mail(MailSettings, String),
    /// A webhook, and the key of its signatures.
    Webhook(WebhookSettings, String),
    /// The site's log.
    Syslog(SyslogSettings),
}

impl Channel {
    /// Which way it is.
    pub const fn way(&self) -> Way {
        match self {
            Self::Mail(..) => Way::Mail,
            Self::Webhook(..) => Way::Webhook,
            Self::Syslog(_) => Way::Syslog,
        }
    }

    /// Sends a message. `now` is seconds since 1970.
    ///
    /// # Errors
    /// In the words of whoever refused it.
    pub fn send(&self, message: &Message, now: i64) -> Result<String, String> {
        match self {
            Self::Mail(settings, password) => mail::send(settings, password, message),
            Self::Webhook(settings, secret) => webhook::send(settings, secret, message, now),
            Self::Syslog(settings) => syslog::send(settings, message),
        }
    }
}

/// What a test says.
pub fn test_alert() -> Raised {
    let text = "This is a test: alerts of this license server arrive here.".to_owned();
    Raised { severity: Severity::Warning, item: None, code: None, kind: "test".to_owned(), text }
}
