//! The site's own certificate authority and the HTTPS certificates it issues
//! (architecture §5). Native clients trust exactly this authority, by the fingerprint in
//! their license key, so a site needs no public or corporate one.
//!
//! Nothing is stored here: the caller keeps [`SiteAuthority`] and [`Leaf`] encrypted.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::{digest, rand};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    SerialNumber,
};
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use names::{plain_name, subject_name};
use validity::Validity;

pub use description::Certificate;
pub use names::{default_names, host_name};
pub use partners::{PartnerVerifier, fingerprint_of};

mod description;
mod names;
mod partners;
mod validity;

const DAY_SECONDS: i64 = 86_400;
const AUTHORITY_DAYS: i64 = 20 * 365 + 5;
/// What browsers still take from an authority, rounded down.
const LEAF_DAYS: i64 = 397;
/// TLS 1.2 sessions kept for resumption; TLS 1.3 resumes by tickets.
const SESSION_CACHE: usize = 16_384;
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
        let serial = random_serial()?;
        let short_id: String = serial[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let organization: String = site_name.trim().chars().take(NAME_CHARACTERS).collect();
        if !organization.is_empty() {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        params.distinguished_name.push(DnType::CommonName, format!("Tollkeeper site CA {short_id}"));
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, AUTHORITY_DAYS);
        let certificate = params.self_signed(&key).map_err(crypto)?;
        Ok(Self { ca_pem: certificate.pem(), ca_key_pem: key.serialize_pem() })
    }

    /// An authority from its stored certificate and key.
    ///
    /// # Errors
    /// [`TlsError::Unusable`] when either is not PEM, they do not belong together, or the
    /// certificate is not one that may sign others.
    pub fn from_pem(ca_pem: &str, ca_key_pem: &str) -> Result<Self, TlsError> {
        let authority = Self { ca_pem: ca_pem.to_owned(), ca_key_pem: ca_key_pem.to_owned() };
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
        let ca_end = Validity::of(&self.der()?).map_err(|reason| unusable("CA certificate", reason))?.not_after;
        let days_left = (ca_end - now).div_euclid(DAY_SECONDS);
        if days_left < 1 {
            return Err(unusable("CA certificate", "it has expired; make a new one and renew the license keys"));
        }
        set_validity(&mut params, now, LEAF_DAYS.min(days_left));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto)?;
        let certificate = params.signed_by(&key, &self.issuer()?).map_err(crypto)?;
        Ok(Leaf { chain_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// A certificate by which one server of the site is known to the other, for as long as the
    /// authority lasts.
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
        let ca_end = Validity::of(&self.der()?).map_err(|reason| unusable("CA certificate", reason))?.not_after;
        set_validity(&mut params, now, (ca_end - now).div_euclid(DAY_SECONDS).max(1));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto)?;
        let certificate = params.signed_by(&key, &self.issuer()?).map_err(crypto)?;
        Ok(Leaf { chain_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    fn der(&self) -> Result<CertificateDer<'static>, TlsError> {
        let mut chain = certificates("CA certificate", &self.ca_pem)?;
        match (chain.pop(), chain.is_empty()) {
            (Some(der), true) => Ok(der),
            _ => Err(unusable("CA certificate", "there must be exactly one")),
        }
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
        let chain = certificates("server certificate", &self.chain_pem)?;
        CertifiedKey::from_der(chain, private_key(&self.key_pem)?, &provider::default_provider())
            .map_err(|error| unusable("server certificate and its key", error))
    }
}

/// The certificate new connections get. Replacing it leaves open connections alone.
#[derive(Debug)]
pub struct SwappableCertificate(RwLock<Arc<CertifiedKey>>);

impl SwappableCertificate {
    /// Starts with `leaf`.
    ///
    /// # Errors
    /// [`TlsError::Unusable`] when certificate and key cannot be used.
    pub fn new(leaf: &Leaf) -> Result<Self, TlsError> {
        Ok(Self(RwLock::new(Arc::new(leaf.certified_key()?))))
    }

    /// From now on new connections get `leaf`.
    ///
    /// # Errors
    /// [`TlsError::Unusable`] when certificate and key cannot be used; the old one stays.
    pub fn replace(&self, leaf: &Leaf) -> Result<(), TlsError> {
        let fresh = Arc::new(leaf.certified_key()?);
        // A poisoned lock still holds a whole Arc: nothing panics while it is written.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl ResolvesServerCert for SwappableCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// How the server speaks TLS: 1.2 and 1.3, post-quantum key exchange preferred, HTTP/2 and
/// HTTP/1.1, resumption by tickets and by a session cache. Certificates of clients are asked for
/// as `partners` says.
///
/// # Errors
/// [`TlsError::Crypto`] when the ticket keys cannot be made.
pub fn rustls_config(certificate: Arc<SwappableCertificate>, partners: Option<Arc<PartnerVerifier>>) -> Result<ServerConfig, TlsError> {
    let crypto_provider: Arc<CryptoProvider> = Arc::new(provider::default_provider());
    let config =
        ServerConfig::builder_with_provider(crypto_provider).with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12]).map_err(crypto)?;
    let mut config = match partners {
        Some(partners) => config.with_client_cert_verifier(partners),
        None => config.with_no_client_auth(),
    }
    .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = provider::Ticketer::new().map_err(crypto)?;
    config.session_storage = ServerSessionMemoryCache::new(SESSION_CACHE);
    Ok(config)
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
mod tests {
    use rustls::pki_types::UnixTime;
    use rustls::{ClientConfig, ClientConnection, NamedGroup, ProtocolVersion, RootCertStore, ServerConnection};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn site() -> SiteAuthority {
        SiteAuthority::create("Line 4", NOW).expect("created")
    }

    #[derive(Debug)]
    struct At(i64);

    impl rustls::time_provider::TimeProvider for At {
        fn current_time(&self) -> Option<UnixTime> {
            Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.unsigned_abs())))
        }
    }

    fn client(ca: &SiteAuthority, versions: &[&'static rustls::SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().expect("DER")).expect("a trust anchor");
        let mut config = ClientConfig::builder_with_details(Arc::new(provider::default_provider()), Arc::new(At(NOW)))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }

    fn server(leaf: &Leaf) -> (Arc<SwappableCertificate>, Arc<ServerConfig>) {
        let certificate = Arc::new(SwappableCertificate::new(leaf).expect("usable"));
        (Arc::clone(&certificate), Arc::new(rustls_config(certificate, None).expect("a configuration")))
    }

    fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, name: &str) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut client = ClientConnection::new(Arc::clone(client), name)?;
        let mut server = ServerConnection::new(Arc::clone(server))?;
        while client.is_handshaking() || server.is_handshaking() || client.wants_write() || server.wants_write() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).expect("memory");
            }
            let mut arriving = wire.as_slice();
            while !arriving.is_empty() {
                server.read_tls(&mut arriving).expect("memory");
                server.process_new_packets()?;
            }
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).expect("memory");
            }
            let mut arriving = wire.as_slice();
            while !arriving.is_empty() {
                client.read_tls(&mut arriving).expect("memory");
                client.process_new_packets()?;
            }
        }
        Ok((client, server))
    }

    #[test]
    fn a_client_that_trusts_only_the_site_reaches_every_name_over_tls_1_2_and_1_3() {
        let ca = site();
        let leaf = ca.issue(&names(&["localhost", "127.0.0.1", "::1", "*.scan.example"]), NOW).expect("issued");
        let (_, server) = server(&leaf);
        for (version, negotiated) in [(&rustls::version::TLS12, ProtocolVersion::TLSv1_2), (&rustls::version::TLS13, ProtocolVersion::TLSv1_3)] {
            let client = client(&ca, &[version]);
            for name in ["localhost", "127.0.0.1", "::1", "line4.scan.example"] {
                let (client, _) = handshake(&client, &server, name).expect(name);
                assert_eq!(client.protocol_version(), Some(negotiated));
                assert_eq!(client.alpn_protocol(), Some(&b"h2"[..]));
            }
            handshake(&client, &server, "main.example").expect_err("a name it was not given");
            handshake(&client, &server, "192.0.2.7").expect_err("an address it was not given");
        }
        handshake(&client(&site(), rustls::ALL_VERSIONS), &server, "localhost").expect_err("another site's authority");
    }

    #[test]
    fn the_key_exchange_is_post_quantum_when_both_offer_it() {
        let ca = site();
        let (_, server) = server(&ca.issue(&names(&["localhost"]), NOW).expect("issued"));
        let (client, _) = handshake(&client(&ca, rustls::ALL_VERSIONS), &server, "localhost").expect("handshake");
        let group = client.negotiated_key_exchange_group().expect("a group").name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
    }

    #[test]
    fn a_second_connection_is_resumed() {
        let ca = site();
        let (_, server) = server(&ca.issue(&names(&["localhost"]), NOW).expect("issued"));
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let client = client(&ca, &[version]);
            handshake(&client, &server, "localhost").expect("first");
            let (second, _) = handshake(&client, &server, "localhost").expect("second");
            assert_eq!(second.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
        }
    }

    #[test]
    fn a_replaced_certificate_serves_new_connections_and_a_bad_one_changes_nothing() {
        let ca = site();
        let (certificate, server) = server(&ca.issue(&names(&["old.example"]), NOW).expect("issued"));
        let client = client(&ca, rustls::ALL_VERSIONS);
        certificate.replace(&ca.issue(&names(&["new.example"]), NOW).expect("issued")).expect("replaced");
        handshake(&client, &server, "new.example").expect("the new one");
        handshake(&client, &server, "old.example").expect_err("the old one is gone");
        let garbage = Leaf { chain_pem: "x".into(), key_pem: "y".into() };
        certificate.replace(&garbage).expect_err("refused");
        handshake(&client, &server, "new.example").expect("still the new one");
    }

    #[test]
    fn a_leaf_knows_its_names_and_the_last_third_of_its_life() {
        let given = names(&["Main.Example.", "[::1]", "10.0.0.7", "*.scan.example"]);
        let leaf = site().issue(&given, NOW).expect("issued");
        assert!(leaf.covers(&given));
        assert!(leaf.covers(&names(&["main.example", "a.scan.example"])));
        assert!(!leaf.covers(&names(&["main.example", "*.example"])));
        assert!(!leaf.covers(&names(&["10.0.0.8"])));
        let end = leaf.not_after().expect("readable");
        assert_eq!(end, NOW - DAY_SECONDS + 397 * DAY_SECONDS);
        let third = 397 * DAY_SECONDS / 3;
        assert!(!leaf.needs_renewal(end - third));
        assert!(leaf.needs_renewal(end - third + 1));
    }

    #[test]
    fn a_leaf_never_outlives_its_authority() {
        let ca = site();
        let ca_end = Validity::of(&ca.der().expect("DER")).expect("readable").not_after;
        let leaf = ca.issue(&names(&["localhost"]), ca_end - 10 * DAY_SECONDS).expect("issued");
        assert!(leaf.not_after().expect("readable") <= ca_end);
        ca.issue(&names(&["localhost"]), ca_end).expect_err("expired");
    }

    #[test]
    fn a_stored_authority_comes_back_and_goes_on_issuing_under_the_same_fingerprint() {
        let ca = site();
        let again = SiteAuthority::from_pem(&ca.ca_pem, &ca.ca_key_pem).expect("loaded");
        let fingerprint = again.fingerprint().expect("fingerprint");
        assert_eq!(fingerprint, ca.fingerprint().expect("fingerprint"));
        assert_eq!(fingerprint.len(), "sha256:".len() + 64);
        assert_eq!(fingerprint, fingerprint.to_lowercase());
        let (_, server) = server(&again.issue(&names(&["localhost"]), NOW).expect("issued"));
        handshake(&client(&ca, rustls::ALL_VERSIONS), &server, "localhost").expect("trusted");
        assert_ne!(fingerprint, site().fingerprint().expect("fingerprint"));
    }

    #[test]
    fn garbage_is_refused_with_a_reason() {
        let ca = site();
        let other = site();
        let leaf = ca.issue(&names(&["localhost"]), NOW).expect("issued");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (error, told) in [
            (SiteAuthority::from_pem("hello", &ca.ca_key_pem), "holds no"),
            (SiteAuthority::from_pem(broken, &ca.ca_key_pem), "not an X.509 certificate"),
            (SiteAuthority::from_pem(&ca.ca_pem, "hello"), "CA key"),
            (SiteAuthority::from_pem(&ca.ca_pem, &other.ca_key_pem), "keys may not be consistent: KeyMismatch"),
            (SiteAuthority::from_pem(&leaf.chain_pem, &leaf.key_pem), "may not sign"),
            (SiteAuthority::from_pem(&format!("{}{}", ca.ca_pem, ca.ca_pem), &ca.ca_key_pem), "exactly one"),
        ] {
            let error = error.expect_err(told).to_string();
            assert!(error.contains(told), "{error}");
        }
        Leaf::from_pem(&leaf.chain_pem, &other.ca_key_pem).expect_err("another key");
        Leaf::from_pem(&leaf.chain_pem, &leaf.key_pem).expect("its own key");
        for name in ["", "a b", "*", "x.*.y", "http://main"] {
            let error = ca.issue(&names(&[name]), NOW).expect_err(name).to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(matches!(ca.issue(&[], NOW), Err(TlsError::NoNames)));
        assert!(!Leaf { chain_pem: String::new(), key_pem: String::new() }.covers(&names(&["localhost"])));
    }

    #[test]
    fn secrets_do_not_reach_the_log() {
        let ca = site();
        let leaf = ca.issue(&names(&["localhost"]), NOW).expect("issued");
        assert!(!format!("{ca:?}{leaf:?}").contains("PRIVATE KEY"));
    }

    /// Strict as Python 3.13 is by default. Skipped where there is no Python.
    #[test]
    fn the_standard_clients_of_other_languages_accept_the_chain() {
        let folder = tempfile::tempdir().expect("a folder");
        // Python looks at the machine's clock.
        let now = crate::clock::Clock::now_seconds(&crate::clock::SystemClock);
        let ca = SiteAuthority::create("Line 4", now).expect("created");
        let leaf = ca.issue(&names(&["localhost", "127.0.0.1"]), now).expect("issued");
        for (file, text) in [("ca.pem", &ca.ca_pem), ("leaf.pem", &leaf.chain_pem), ("key.pem", &leaf.key_pem)] {
            std::fs::write(folder.path().join(file), text).expect("written");
        }
        let script = r"
import ssl
c = ssl.create_default_context(cafile='ca.pem')
c.verify_flags |= ssl.VERIFY_X509_STRICT | getattr(ssl, 'VERIFY_X509_PARTIAL_CHAIN', 0x80000)
s = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH); s.load_cert_chain('leaf.pem', 'key.pem')
ci, co, si, so = (ssl.MemoryBIO() for _ in range(4))
client = c.wrap_bio(ci, co, server_hostname='localhost'); server = s.wrap_bio(si, so, server_side=True)
for _ in range(6):
    for side, out, into in ((client, co, si), (server, so, ci)):
        try: side.do_handshake()
        except ssl.SSLWantReadError: pass
        into.write(out.read())
print('accepted', client.version(), client.getpeercert()['subjectAltName'])
";
        let Ok(python) = std::process::Command::new("python3").args(["-c", script]).current_dir(folder.path()).output() else {
            return;
        };
        let told = String::from_utf8_lossy(&python.stdout).into_owned() + &String::from_utf8_lossy(&python.stderr);
        assert!(told.contains("accepted TLSv1.3"), "{told}");
    }
}
