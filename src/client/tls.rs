//! TLS below HTTP, as a connector for ureq: like ureq's own, but with verifiers of ours.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs as provider};
#[cfg(feature = "server")]
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned};
use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport, TransportAdapter};

use crate::protocol::server::SITE_PROTOCOL;

/// Wraps a connection in TLS.
pub(super) struct TlsConnector(Arc<ClientConfig>);

/// Derived, these would bring along how all of rustls shows itself, in every application.
macro_rules! shown_by_name {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

shown_by_name!(TlsConnector, TlsTransport, Trusted, Anybody);

impl TlsConnector {
    /// Trusts these authorities, by the device's clock. With `proven`, seconds since 1970, by no
    /// earlier time than that, and it does not matter whether a certificate has begun.
    pub(super) fn trusting(roots: RootCertStore, proven: Option<i64>) -> Result<Self, rustls::Error> {
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider::default_provider())).build();
        let inner = inner.map_err(|error| rustls::Error::General(error.to_string()))?;
        let proven = proven.map(|proven| UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(proven).unwrap_or(0))));
        let mut config = verified_by(Arc::new(Trusted { inner, proven }));
        if proven.is_some() {
            name_site(&mut config);
        }
        Ok(Self(Arc::new(config)))
    }

    /// Trusts these authorities and shows a certificate of its own.
    #[cfg(feature = "server")]
    pub(super) fn mutual(roots: RootCertStore, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, rustls::Error> {
        let config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider())).with_safe_default_protocol_versions()?;
        let mut config = config.with_root_certificates(roots).with_client_auth_cert(chain, key)?;
        name_site(&mut config);
        Ok(Self(Arc::new(config)))
    }

    /// Trusts whoever answers: for a question whose answer proves itself.
    pub(super) fn unverified() -> Self {
        Self(Arc::new(verified_by(Arc::new(Anybody(provider::default_provider().signature_verification_algorithms)))))
    }
}

fn verified_by(verifier: Arc<dyn ServerCertVerifier>) -> ClientConfig {
    let config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider())).with_safe_default_protocol_versions();
    let config = config.expect("this provider has cipher suites for the default versions");
    config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
}

/// Tells a server that has several certificates which one is wanted: that of the site's authority.
fn name_site(config: &mut ClientConfig) {
    config.alpn_protocols = [b"http/1.1", SITE_PROTOCOL.as_bytes()].map(<[u8]>::to_vec).into();
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = TlsTransport;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<TlsTransport>, Error> {
        let Some(below) = chained else { return Ok(None) };
        let host = details.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| Error::Tls("the host is no name that a certificate may hold"))?;
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name)?;
        let mut below = TransportAdapter::new(below.boxed(), Arc::clone(&details.current_time));
        below.set_timeout(details.timeout);
        connection.complete_io(&mut below)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(TlsTransport { buffers, stream: StreamOwned { conn: connection, sock: below } }))
    }
}

pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Chain and name as ever. With `proven`, for a device whose clock may stand years back, as without
/// a battery after a cold start: it must reach its server to learn the time, and it trusts one
/// authority only, so a certificate of that authority which has not begun has begun.
struct Trusted {
    inner: Arc<WebPkiServerVerifier>,
    proven: Option<UnixTime>,
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut now = self.proven.map_or(now, |proven| now.max(proven));
        loop {
            match self.inner.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
                Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }))
                    if self.proven.is_some() && not_before > now =>
                {
                    now = not_before;
                }
                verified => return verified,
            }
        }
    }

    fn verify_tls12_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
