//! The site's own certificate authority and the HTTPS certificates it issues
//! (architecture §5). Native clients trust exactly this authority, by the fingerprint in
//! their license key, so a site needs no public or corporate one.
//!
//! Nothing is stored here: the caller keeps [`SiteAuthority`] and [`Leaf`] encrypted.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::{digest, rand};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    SerialNumber,
};
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use names::{plain_name, subject_name};
use validity::Validity;

pub use certificates::{AUTHORITY_ROW, Certificates, Found, LEAF_ROW, Means, OWN_ROW, Source, Standing};
pub use description::Certificate;
pub use names::{default_names, host_name};
pub use partners::{PartnerVerifier, fingerprint_of};
pub use shown::{SITE_PROTOCOL, Shown, rustls_config};

mod certificates;
mod description;
mod names;
mod own;
mod partners;
mod shown;
mod validity;

const DAY_SECONDS: i64 = 86_400;
const AUTHORITY_DAYS: i64 = 20 * 365 + 5;
/// With less of its time left than this, an authority's certificate is renewed: people have that
/// long to give the new one to browsers.
const AUTHORITY_RENEWAL_DAYS: i64 = 2 * 365;
/// What browsers still take from an authority, rounded down.
const LEAF_DAYS: i64 = 397;
/// How long two servers know each other by their passes. What ends a pair is that it is parted.
const PASS_DAYS: i64 = 100 * 365;
/// X.520's upper bound for names, in characters.
const NAME_CHARACTERS: usize = 64;

/// Why a certificate or key cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The text is not what it should be.
    #[error("the {what} cannot be used: {reason}")]
    Unusable {
        /// Which text: "CA certificate", "private key", …
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate cannot carry this name.
    #[error("\"{name}\" is neither a DNS name nor an IP address; correct it in [tls] names")]
    Name {
        /// The name as given.
        name: String,
    },
    /// No certificate without a name.
    #[error("a server certificate needs at least one name")]
    NoNames,
    /// The cryptography itself failed.
    #[error("making a certificate failed: {0}")]
    Crypto(String),
}

fn unusable(what: &'static str, reason: impl fmt::Display) -> TlsError {
    TlsError::Unusable { what, reason: reason.to_string() }
}

fn crypto(error: impl fmt::Display) -> TlsError {
    TlsError::Crypto(error.to_string())
}

/// The site's certificate authority: both servers of a site share it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteAuthority {
    /// The certificate, PEM. Public.
    pub ca_pem: String,
    /// The private key, PKCS#8 PEM. Secret.
    pub ca_key_pem: String,
    /// A later certificate over the same name and key, for whoever looks at the authority's own
    /// dates. License keys go on naming the first one, by which devices know the site.
    #[serde(default)]
    pub renewed_pem: Option<String>,
}

impl fmt::Debug for SiteAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteAuthority").field("ca_pem", &self.ca_pem).finish_non_exhaustive()
    }
}

impl SiteAuthority {
    /// A new authority named after the site, valid for 20 years. `now` in seconds since 1970.
    ///
    /// # Errors
    /// [`TlsError::Crypto`] when the system's randomness or the signing fails.
    pub fn create(site_name: &str, now: i64) -> Result<Self, TlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto)?;
        let short_id: String = random_serial()?[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        let organization = site_name.trim().chars().take(NAME_CHARACTERS).collect();
        let ca_pem = certify_authority(&key, organization, format!("Tollkeeper site CA {short_id}"), now)?;
        Ok(Self { ca_pem, ca_key_pem: key.serialize_pem(), renewed_pem: None })
    }

    /// The same authority with a later certificate over its name and key, when the end of the present
    /// one is near: certificates that it issued, and those that trust its key, notice nothing.
    ///
    /// # Errors
    /// The authority cannot be read.
    pub fn renew(&self, now: i64) -> Result<Option<Self>, TlsError> {
        if self.not_after()? - now >= AUTHORITY_RENEWAL_DAYS * DAY_SECONDS {
            return Ok(None);
        }
        let der = self.der()?;
        let (_, read) = x509_parser::parse_x509_certificate(&der).map_err(|error| unusable("CA certificate", error))?;
        let text = |mut found: Box<dyn Iterator<Item = &x509_parser::x509::AttributeTypeAndValue<'_>> + '_>| {
            found.next().and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned()
        };
        let (organization, name) = (text(Box::new(read.subject().iter_organization())), text(Box::new(read.subject().iter_common_name())));
        let key = KeyPair::from_pem(&self.ca_key_pem).map_err(|error| unusable("CA key", error))?;
        Ok(Some(Self { renewed_pem: Some(certify_authority(&key, organization, name, now)?), ..self.clone() }))
    }

    /// The certificate for browsers and programs to trust: the latest one.
    pub fn current_pem(&self) -> &str {
        self.renewed_pem.as_deref().unwrap_or(&self.ca_pem)
    }

    /// The last second of [`Self::current_pem`], since 1970.
    ///
    /// # Errors
    /// [`TlsError::Unusable`] when it is not one certificate.
    pub fn not_after(&self) -> Result<i64, TlsError> {
        let current = single(self.current_pem())?;
        Ok(Validity::of(&current).map_err(|reason| unusable("CA certificate", reason))?.not_after)
    }

    /// An authority from its stored certificate and key.
    ///
    /// # Errors
    /// [`TlsError::Unusable`] when either is not PEM, they do not belong together, or the
    /// certificate is not one that may sign others.
    pub fn from_pem(ca_pem: &str, ca_key_pem: &str) -> Result<Self, TlsError> {
        let authority = Self { ca_pem: ca_pem.to_owned(), ca_key_pem: ca_key_pem.to_owned(), renewed_pem: None };
        let der = authority.der()?;
        Validity::of(&der).map_err(|reason| unusable("CA certificate", reason))?;
        if !authority.issuer()?.key_usages().contains(&KeyUsagePurpose::KeyCertSign) {
            return Err(unusable("CA certificate", "it may not sign other certificates"));
        }
        CertifiedKey::from_der(vec![der], private_key(ca_key_pem)?, &provider::default_provider())
            .map_err(|error| unusable("CA certificate and its key", error))?;
        Ok(authority)
    }

    /// "sha256:" and the SHA-256 of the certificate's DER in lower-case hex, as license keys carry it.
    ///
    /// # Errors
    /// [`TlsError::Unusable`] when `ca_pem` is not one certificate.
    pub fn fingerprint(&self) -> Result<String, TlsError> {
        let hash = digest::digest(&digest::SHA256, &self.der()?);
        Ok(hash.as_ref().iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}")))
    }

    /// A server certificate for `names` (DNS names, also `*.` ones, and IP addresses), valid
    /// from a day ago for 397 days, but never longer than the authority itself.
    ///
    /// # Errors
    /// [`TlsError::Name`] for the first name a certificate cannot carry.
    pub fn issue(&self, names: &[String], now: i64) -> Result<Leaf, TlsError> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(|name| subject_name(name)).collect::<Result<_, _>>()?;
        if params.subject_alt_names.is_empty() {
            return Err(TlsError::NoNames);
        }
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Tollkeeper server");
        params.serial_number = Some(SerialNumber::from_slice(&random_serial()?));
        // ExplicitNoCa is what makes rcgen write a subject key identifier, which strict clients ask for.
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let days_left = (self.not_after()? - now).div_euclid(DAY_SECONDS);
        if days_left < 1 {
            return Err(unusable("CA certificate", "it has expired, and was not renewed in time: restart the server, which does that"));
        }
        set_validity(&mut params, now, LEAF_DAYS.min(days_left));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto)?;
        let certificate = params.signed_by(&key, &self.issuer()?).map_err(crypto)?;
        Ok(Leaf { chain_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// A certificate by which one server of the site is known to the other, for as long as they are
    /// a pair.
    ///
    /// # Errors
    /// [`TlsError::Crypto`] when making it fails.
    pub fn issue_pass(&self, server: &str, now: i64) -> Result<Leaf, TlsError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("Tollkeeper {server}"));
        params.serial_number = Some(SerialNumber::from_slice(&random_serial()?));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, PASS_DAYS);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto)?;
        let certificate = params.signed_by(&key, &self.issuer()?).map_err(crypto)?;
        Ok(Leaf { chain_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    fn der(&self) -> Result<CertificateDer<'static>, TlsError> {
        single(&self.ca_pem)
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, TlsError> {
        let key = KeyPair::from_pem(&self.ca_key_pem).map_err(|error| unusable("CA key", error))?;
        Issuer::from_ca_cert_der(&self.der()?, key).map_err(|error| unusable("CA certificate", error))
    }
}

/// A server certificate with its key: issued by the site's authority, or brought by the administrator.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// The certificate and any intermediates, PEM, the server's own first.
    pub chain_pem: String,
    /// The private key, PEM. Secret.
    pub key_pem: String,
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").field("chain_pem", &self.chain_pem).finish_non_exhaustive()
    }
}

impl Leaf {
    /// A certificate and key from their PEM texts.
    ///
    /// # Errors
    /// [`TlsError::Unusable`] when either is not PEM or they do not belong together.
    pub fn from_pem(chain_pem: &str, key_pem: &str) -> Result<Self, TlsError> {
        let leaf = Self { chain_pem: chain_pem.to_owned(), key_pem: key_pem.to_owned() };
        leaf.certified_key()?;
        leaf.validity()?;
        Ok(leaf)
    }

    /// SHA-256 of the certificate, hex.
    ///
    /// # Errors
    /// [`TlsError::Unusable`] when `chain_pem` is not a certificate.
    pub fn fingerprint(&self) -> Result<String, TlsError> {
        Ok(fingerprint_of(&self.der()?))
    }

    /// The last second it is valid, since 1970.
    ///
    /// # Errors
    /// [`TlsError::Unusable`] when `chain_pem` is not a certificate.
    pub fn not_after(&self) -> Result<i64, TlsError> {
        Ok(self.validity()?.not_after)
    }

    /// Whether the certificate carries every one of `names`; false also when it cannot be read.
    pub fn covers(&self, names: &[String]) -> bool {
        let Ok(der) = self.der() else { return false };
        let Ok(parsed) = ParsedCertificate::try_from(&der) else { return false };
        names.iter().all(|name| {
            // Only a wildcard certificate covers a label that nobody has.
            let probe = plain_name(name).replacen("*.", "tollkeeper-wildcard-probe.", 1);
            ServerName::try_from(probe).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
        })
    }

    /// Whether less than a third of its life is left at `now` (seconds), or it cannot be read.
    pub fn needs_renewal(&self, now: i64) -> bool {
        self.validity()
            .map_or(true, |Validity { not_before, not_after }| not_after.saturating_sub(now).saturating_mul(3) < not_after.saturating_sub(not_before))
    }

    fn der(&self) -> Result<CertificateDer<'static>, TlsError> {
        let mut chain = certificates("server certificate", &self.chain_pem)?;
        Ok(chain.swap_remove(0))
    }

    fn validity(&self) -> Result<Validity, TlsError> {
        Validity::of(&self.der()?).map_err(|reason| unusable("server certificate", reason))
    }

    fn certified_key(&self) -> Result<CertifiedKey, TlsError> {
        let mut chain = certificates("server certificate", &self.chain_pem)?;
        // Whoever trusts the root has it, and nobody trusts one that is sent along.
        if chain.len() > 1 && chain.last().is_some_and(own::is_root) {
            chain.pop();
        }
        CertifiedKey::from_der(chain, private_key(&self.key_pem)?, &provider::default_provider())
            .map_err(|error| unusable("server certificate and its key", error))
    }
}

/// The certificate of an authority over its key.
fn certify_authority(key: &KeyPair, organization: String, name: String, now: i64) -> Result<String, TlsError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if !organization.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&random_serial()?));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, AUTHORITY_DAYS);
    Ok(params.self_signed(key).map_err(crypto)?.pem())
}

fn single(ca_pem: &str) -> Result<CertificateDer<'static>, TlsError> {
    let mut chain = certificates("CA certificate", ca_pem)?;
    match (chain.pop(), chain.is_empty()) {
        (Some(der), true) => Ok(der),
        _ => Err(unusable("CA certificate", "there must be exactly one")),
    }
}

/// Backdated by a day: devices' clocks run late more often than not.
fn set_validity(params: &mut CertificateParams, now: i64, days: i64) {
    // Beyond the year 5138 the date type overflows; a clock that far off must not stop the server.
    let start = now.clamp(DAY_SECONDS, 100_000_000_000) - DAY_SECONDS;
    let date = |seconds: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.unsigned_abs());
    params.not_before = date(start);
    params.not_after = date(start + days * DAY_SECONDS);
}

fn random_serial() -> Result<[u8; 16], TlsError> {
    let mut serial = [0; 16];
    rand::fill(&mut serial).map_err(|_| crypto("the system gives no randomness"))?;
    // Positive, and of the full length.
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

/// At least one certificate, or an error.
fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|error| unusable(what, format!("it is not PEM ({error})")))?;
    if chain.is_empty() {
        return Err(unusable(what, "the text holds no \"-----BEGIN CERTIFICATE-----\""));
    }
    Ok(chain)
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| unusable("private key", format!("it is not a PEM private key ({error})")))
}

#[cfg(test)]
mod tests;
