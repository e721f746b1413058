//! Whether an authorization is genuine, and the one that was asked for (domain §3,
//! architecture §5). Nothing of an answer is used before this.

use std::fmt;

use crate::documents::{Authorization, Claims, Error, VerifyingKey};
use crate::licensing::ClientUuid;

/// What the device asked for.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Its own UUID.
    pub client_uuid: ClientUuid,
    /// The nonce that it sent; `None` for an authorization that was checked with it before.
    pub nonce: Option<String>,
    /// The organization, if it named one.
    pub organization_id: Option<String>,
    /// The handshake code, if it named one.
    pub handshake_code: Option<String>,
}

/// Why an authorization is not believed. The names are those of the shared vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says itself in words")]
pub enum Distrust {
    Malformed,
    UnknownVendor,
    BadSignature,
    WrongServer,
    WrongOrganization,
    CertificateNotValid,
    WrongNonce,
    WrongDevice,
    WrongCode,
    NotYet,
    Expired,
}

impl Distrust {
    /// Its name in the shared vectors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownVendor => "unknown_vendor",
            Self::BadSignature => "bad_signature",
            Self::WrongServer => "wrong_server",
            Self::WrongOrganization => "wrong_organization",
            Self::CertificateNotValid => "certificate_not_valid",
            Self::WrongNonce => "wrong_nonce",
            Self::WrongDevice => "wrong_device",
            Self::WrongCode => "wrong_code",
            Self::NotYet => "not_yet",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the authorization cannot be read",
            Self::UnknownVendor => "the server's certificate is signed by a vendor that this application does not know",
            Self::BadSignature => "the authorization or its certificate was changed after signing",
            Self::WrongServer => "the authorization names another server than its certificate",
            Self::WrongOrganization => "the authorization is for another organization",
            Self::CertificateNotValid => "the server's certificate was not valid when the authorization was given",
            Self::WrongNonce => "the authorization answers another request",
            Self::WrongDevice => "the authorization is for another device",
            Self::WrongCode => "the authorization is for another handshake code",
            Self::NotYet => "the authorization has not begun",
            Self::Expired => "the authorization has ended",
        })
    }
}

/// Checks the whole chain (vendor, server certificate, authorization), and that it is what was
/// asked for. Whether it is in force is for [`check_time`].
pub fn check(text: &str, vendors: &[VerifyingKey], expected: &Expected) -> Result<Claims, Distrust> {
    let authorization = Authorization::parse(text).map_err(|_| Distrust::Malformed)?;
    let (claims, _) = authorization.verify_chain(vendors).map_err(|error| match error {
        Error::UnknownSigner { what: "server certificate", .. } => Distrust::UnknownVendor,
        Error::UnknownSigner { .. } | Error::Signature { .. } => Distrust::BadSignature,
        Error::Field { field, .. } if field == "iss" => Distrust::WrongServer,
        Error::Field { field, .. } if field == "org" => Distrust::WrongOrganization,
        Error::Field { field, .. } if field == "iat" => Distrust::CertificateNotValid,
        _ => Distrust::Malformed,
    })?;
    if expected.nonce.as_ref().is_some_and(|nonce| *nonce != claims.nonce) {
        return Err(Distrust::WrongNonce);
    }
    if claims.sub != expected.client_uuid {
        return Err(Distrust::WrongDevice);
    }
    if expected.organization_id.as_ref().is_some_and(|id| id != claims.org.as_str()) {
        return Err(Distrust::WrongOrganization);
    }
    if expected.handshake_code.as_ref().is_some_and(|code| !code.eq_ignore_ascii_case(&claims.hs.to_string())) {
        return Err(Distrust::WrongCode);
    }
    Ok(claims)
}

/// Whether the authorization is in force at `now` (seconds since 1970).
pub fn check_time(claims: &Claims, now: i64) -> Result<(), Distrust> {
    match now {
        _ if now < claims.nbf => Err(Distrust::NotYet),
        _ if now >= claims.exp => Err(Distrust::Expired),
        _ => Ok(()),
    }
}
