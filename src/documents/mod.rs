//! Signed documents: what vendor, server and device hand to each other, and how each is
//! proven (protocol §2, architecture §5). Nothing here knows the time, a database or a
//! network; times are arguments.
//!
//! | file | document or tool |
//! | --- | --- |
//! | [`armor`] | the `-----BEGIN …-----` wrapping of documents that people carry |
//! | [`secret`] | secrets at rest, sealed under the site's key |
//! | [`random`] | random UUIDs |
//! | [`files`] | writing key files and documents so that a crash leaves no half of one |
//! | [`keys`] | Ed25519 keys as PEM, JWK and `kid` |
//! | [`vendor_key`] | the vendors this installation trusts |
//! | [`jws`] | the signature around every document: compact JWS, strictly read |
//! | [`identity`] | who this server is: UUID, key, hardware |
//! | [`request`] | activation request, from server to vendor |
//! | [`fields`] | limits and summaries that several documents share |
//! | [`license_file`] | license file, from vendor to server |
//! | [`server_certificate`] | the vendor's word for a server's key, inside the license |
//! | [`revocation`] | the vendor takes items back |
//! | [`product_key`] | an offline license that needs no server |
//! | [`authorization`] | the signed local license of a device |
//! | [`sealed`] | requests and answers that only device and server can read |
//! | [`carried`] | what people carry between a device without network and its server |
//! | [`usage_statement`] | what a server counted, for the vendor |
//! | [`continuity`] | whether a usage statement goes on from the one before |
//!
//! Rules that hold in every file: unknown JSON fields are ignored, so that old servers read
//! newer documents; unknown versions are refused; nothing is believed before its signature is
//! checked; arbitrary bytes are refused and never panic.

pub mod armor;
pub mod authorization;
pub mod carried;
pub mod continuity;
mod fields;
pub mod files;
pub mod identity;
pub mod jws;
pub mod keys;
pub mod license_file;
pub mod product_key;
pub mod random;
pub mod request;
pub mod revocation;
pub mod sealed;
pub mod secret;
pub mod server_certificate;
pub mod usage_statement;
pub mod vendor_key;

#[cfg(test)]
mod robustness;

pub use authorization::{Authorization, AuthorizedItem, Claims};
pub use continuity::{Finding, compare};
pub use files::{remove_file, replace_file, write_new_file};
pub use identity::{Hardware, HardwareFingerprint, ServerIdentity};
pub use jws::{Jws, PreparedHeader};
pub use keys::{Jwk, SigningKey, VerifyingKey};
pub use license_file::{BoundServer, License, LicenseFile, LicenseStatus};
pub use product_key::{KeyRefusal, KeyRequest, ProductKey, ProductKeys};
pub use random::{random_uuid, random_uuids};
pub use request::{ActivationRequest, RequestServer};
pub use revocation::{Revocation, RevocationFile};
pub use sealed::{SealingJwk, SealingKey};
pub use server_certificate::ServerCertificate;
pub use usage_statement::{StatementFile, UsageStatement};
pub use vendor_key::{load_vendor_dir, load_vendor_key};

/// Why a document was refused. The text is one line for an admin: what is wrong and what
/// to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than any genuine document of its kind.
    #[error("this {what} is larger than {limit} bytes: it is not one, or it is damaged; get a fresh copy")]
    TooLarge {
        /// The kind of document.
        what: &'static str,
        /// The most it may have, in bytes.
        limit: usize,
    },
    /// No armor was found.
    #[error("no '-----BEGIN {expected}-----' line in it: give the whole file as it was received, including the BEGIN and END lines")]
    NotArmored {
        /// The label looked for.
        expected: String,
    },
    /// Armor of another kind of document was found.
    #[error("this is a {found}, but a {expected} is needed: give the other file")]
    WrongArmor {
        /// The label looked for.
        expected: String,
        /// The label found.
        found: String,
    },
    /// The armor is broken: cut off, or there are several.
    #[error("the {label} is not whole: {detail}")]
    BrokenArmor {
        /// The label of the block.
        label: String,
        /// What is wrong and what to do.
        detail: &'static str,
    },
    /// Not a JWS in strict base64url.
    #[error("this {what} is damaged ({detail}): get a fresh copy, and carry it as a file rather than by copying text")]
    Base64 {
        /// The kind of document.
        what: &'static str,
        /// Which part.
        detail: &'static str,
    },
    /// A header field has another value than this document needs.
    #[error("the header of this {what} says {field} '{found}', expected '{expected}': it is another kind of document, or made by another program")]
    Header {
        /// The kind of document.
        what: &'static str,
        /// The header field.
        field: &'static str,
        /// What it must say.
        expected: String,
        /// What it says.
        found: String,
    },
    /// Not the JSON that this document has.
    #[error("the content of this {what} cannot be read: {detail}; ask whoever made it for a new one")]
    Json {
        /// The kind of document, or its header.
        what: &'static str,
        /// The parser's message with line and column.
        detail: String,
    },
    /// JSON nested deeper than any document needs.
    #[error("the content of this {what} is nested deeper than {limit} levels: it is not a genuine one")]
    TooDeep {
        /// The kind of document, or its header.
        what: &'static str,
        /// The deepest nesting taken.
        limit: usize,
    },
    /// A version this program does not know.
    #[error("this {what} has {field} '{found}', this program knows '{known}': update tollkeeper, or ask for a document in version {known}")]
    UnknownVersion {
        /// The kind of document.
        what: &'static str,
        /// The field that tells the version.
        field: &'static str,
        /// What it says.
        found: String,
        /// What this program reads.
        known: &'static str,
    },
    /// A field holds a word this program does not know.
    #[error("this {what} uses a word unknown to this program ({detail}): update tollkeeper")]
    UnknownValue {
        /// The kind of document.
        what: &'static str,
        /// Which word, and the known ones.
        detail: String,
    },
    /// The signature does not belong to the content.
    #[error("the signature of this {what} is wrong: it was changed or damaged after signing; get a fresh copy from whoever made it")]
    Signature {
        /// The kind of document.
        what: &'static str,
    },
    /// Signed by a key that is not trusted here.
    #[error("this {what} is signed by the unknown key {kid}: {advice}")]
    UnknownSigner {
        /// The kind of document.
        what: &'static str,
        /// The key's RFC 7638 thumbprint.
        kid: String,
        /// What to do.
        advice: &'static str,
    },
    /// A field makes no sense.
    #[error("{field}: {detail}")]
    Field {
        /// The field, as a path.
        field: String,
        /// What is wrong and what to write.
        detail: String,
    },
    /// Not a usable key.
    #[error("not an Ed25519 key: {detail}")]
    Key {
        /// What is wrong.
        detail: String,
    },
    /// A file could not be read or written, or holds something unusable.
    #[error("{path}: {detail}")]
    File {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        detail: String,
    },
}

impl Error {
    /// A field that makes no sense.
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Field { field: field.into(), detail: detail.into() }
    }

    /// The same trouble, told of the file that somebody named.
    pub(crate) fn renamed(self, path: &std::path::Path) -> Self {
        match self {
            Self::File { detail, .. } => Self::File { path: path.display().to_string(), detail },
            other => other,
        }
    }

    /// The same trouble, told with the file it is in.
    pub fn in_file(self, path: &std::path::Path) -> Self {
        match self {
            already @ Self::File { .. } => already,
            other => Self::File { path: path.display().to_string(), detail: other.to_string() },
        }
    }
}
