//! Every write, whoever asks: one file per intention. A command loads what it needs, asks
//! the pure core in [`crate::licensing`], and records facts; refusals are values.
//!
//! | file | intention |
//! | --- | --- |
//! | [`authorize`] | a device wants to work |
//! | [`trial`] | the public trial of a device that names nothing |
//! | [`accept_reports`] | a device tells what it did |
//! | [`payers`] | which items a report is for |
//! | [`release_seat`] | a device or the admin gives a seat back |
//! | [`reset_device`] | the admin lets a device in again after a clone alarm |
//! | [`import_license`] | the admin brings a license file |
//! | [`revoke_license`] | the admin brings the vendor's revocation |
//! | [`trust_vendor`] | the admin brings a vendor's public key |
//! | [`issue_statement`] | the admin wants a usage statement for the vendor |
//! | [`handshake`] | the admin makes, edits, orders, stars or deletes handshake codes |
//! | [`users`] [`tokens`] | who may administer: people with passwords, programs with tokens |
//! | [`preferences`] | the admin sets something, or did something to be remembered |
//! | [`certificate`] | this server's certificates and their keys are kept |
//! | [`backup`] [`restore`] | copies of the database, and one of them in its place |
//! | [`exceptions`] | what is wrong right now |
//! | [`turn`] | a sign of life of the writer |
//! | [`doctor`] | what files and machine tell of an installation; the support bundle |
//! | [`alerts`] | what is worth telling is told, once |
//! | [`site`] | what all of them know: identity, secret key, vendors, certificates |

pub mod accept_reports;
pub mod alerts;
pub mod authorize;
pub mod backup;
pub mod certificate;
pub mod doctor;
pub mod exceptions;
pub mod handshake;
pub mod import_license;
pub mod issue_statement;
mod payers;
pub mod preferences;
pub mod release_seat;
pub mod reset_device;
pub mod restore;
pub mod revoke_license;
pub mod site;
pub mod tokens;
mod trial;
pub mod trust_vendor;
pub mod turn;
pub mod users;

pub use site::Site;

/// Why something an admin asked for was not done. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// What was named does not exist.
    NotFound(String),
    /// It stands against what is there.
    Conflict(String),
    /// A value is wrong: the field, and what is expected.
    Invalid(&'static str, String),
}

impl Refusal {
    /// What happened and what to do.
    pub fn detail(&self) -> &str {
        match self {
            Self::NotFound(detail) | Self::Conflict(detail) | Self::Invalid(_, detail) => detail,
        }
    }
}
