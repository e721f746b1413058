//! Which certificate a new connection gets. Open connections keep theirs.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;

use super::partners::PartnerVerifier;
use super::{Leaf, TlsError, crypto};

/// Whoever trusts exactly the site's authority offers this protocol beside the one that it speaks,
/// and gets a certificate of that authority, whatever others get.
pub const SITE_PROTOCOL: &[u8] = crate::protocol::server::SITE_PROTOCOL.as_bytes();

/// TLS 1.2 sessions kept for resumption; TLS 1.3 resumes by tickets.
const SESSION_CACHE: usize = 16_384;

#[derive(Debug)]
struct Faces {
    site: Arc<CertifiedKey>,
    /// The administrator's, with the names that it is for.
    own: Option<(Arc<CertifiedKey>, Vec<String>)>,
}

/// See the module.
#[derive(Debug)]
pub struct Shown(RwLock<Arc<Faces>>);

impl Shown {
    /// Starts with the certificate `site` of the site's authority.
    ///
    /// # Errors
    /// [`TlsError::Unusable`] when certificate and key cannot be used.
    pub fn new(site: &Leaf) -> Result<Self, TlsError> {
        Ok(Self(RwLock::new(Arc::new(Faces { site: Arc::new(site.certified_key()?), own: None }))))
    }

    /// From now on new connections get these.
    ///
    /// # Errors
    /// [`TlsError::Unusable`] when a certificate and its key cannot be used; those of before stay.
    pub fn show(&self, site: &Leaf, own: Option<&Leaf>) -> Result<(), TlsError> {
        let own = own.map(|own| Ok::<_, TlsError>((Arc::new(own.certified_key()?), own.describe()?.names))).transpose()?;
        let fresh = Arc::new(Faces { site: Arc::new(site.certified_key()?), own });
        // A poisoned lock still holds a whole Arc: nothing panics while it is written.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

/// Whether a certificate for `names` is what somebody wants who asks for `asked`. Who comes by an
/// address asks for nothing.
fn is_meant(names: &[String], asked: Option<&str>) -> bool {
    names.iter().any(|name| match (asked, name.strip_prefix("*.")) {
        (None, _) => name.parse::<std::net::IpAddr>().is_ok(),
        (Some(asked), Some(domain)) => asked.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain)),
        (Some(asked), None) => asked.eq_ignore_ascii_case(name),
    })
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let faces = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let wants_site = || hello.alpn().into_iter().flatten().any(|protocol| protocol == SITE_PROTOCOL);
        let own = faces.own.as_ref().filter(|(_, names)| is_meant(names, hello.server_name()) && !wants_site());
        Some(own.map_or_else(|| Arc::clone(&faces.site), |(own, _)| Arc::clone(own)))
    }
}

/// How the server speaks TLS: 1.2 and 1.3, post-quantum key exchange preferred, HTTP/2 and
/// HTTP/1.1, resumption by tickets and by a session cache. Certificates of clients are asked for
/// as `partners` says.
///
/// # Errors
/// [`TlsError::Crypto`] when the ticket keys cannot be made.
pub fn rustls_config(certificate: Arc<Shown>, partners: Option<Arc<PartnerVerifier>>) -> Result<ServerConfig, TlsError> {
    let crypto_provider: Arc<CryptoProvider> = Arc::new(provider::default_provider());
    let config =
        ServerConfig::builder_with_provider(crypto_provider).with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12]).map_err(crypto)?;
    let mut config = match partners {
        Some(partners) => config.with_client_cert_verifier(partners),
        None => config.with_no_client_auth(),
    }
    .with_cert_resolver(certificate);
    // Of what both can do the strongest, whatever order the client has.
    config.ignore_client_order = true;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = provider::Ticketer::new().map_err(crypto)?;
    config.session_storage = ServerSessionMemoryCache::new(SESSION_CACHE);
    Ok(config)
}
