//! The certificate that the other server of the site shows. Nobody else is asked for one, and nobody
//! at all while there is no other server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::{SiteAuthority, TlsError, certificates, crypto};

/// See the module. Whose certificate it is must be looked at by whoever relies on it.
#[derive(Debug)]
pub struct PartnerVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    is_asking: AtomicBool,
}

impl PartnerVerifier {
    /// Takes certificates of the site's authority.
    ///
    /// # Errors
    /// The authority cannot be used.
    pub fn of(authority: &SiteAuthority) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for der in certificates("CA certificate", &authority.ca_pem)? {
            roots.add(der).map_err(crypto)?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider::default_provider()));
        Ok(Self { inner: builder.allow_unauthenticated().build().map_err(crypto)?, is_asking: AtomicBool::new(false) })
    }

    /// Whether new connections are asked.
    pub fn ask(&self, is_asking: bool) {
        self.is_asking.store(is_asking, Ordering::SeqCst);
    }
}

impl ClientCertVerifier for PartnerVerifier {
    fn offer_client_auth(&self) -> bool {
        self.is_asking.load(Ordering::SeqCst)
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(&self, end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>], now: UnixTime) -> Result<ClientCertVerified, Error> {
        self.inner.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// SHA-256 of a certificate, hex.
pub fn fingerprint_of(der: &[u8]) -> String {
    digest::digest(&digest::SHA256, der).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
