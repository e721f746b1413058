//! One way to a server: HTTPS that trusts exactly one certificate authority, or the Unix
//! socket of a server on this machine. Blocking, with kept-alive connections. A refusal by
//! the server (`application/problem+json`) is an answer here, not an error.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aws_lc_rs::digest;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::{HeaderMap, Request, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Connector as _, NextTimeout, TcpConnector};

use super::tls::TlsConnector;
#[cfg(unix)]
use super::unix_socket::{NoResolver, UnixConnector};

/// The largest answer that is read, in bytes.
pub const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// Where a server tells its certificate authority (protocol §3).
const SERVER_PATH: &str = "/api/v1/server";

const JSON: &str = "application/json";

/// The one certificate authority that is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaPin {
    /// Its certificate, PEM.
    Pem(String),
    /// "sha256:" and the SHA-256 of its DER in hex, as a license key carries it.
    Fingerprint(String),
}

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection, TLS included. Default 5 s.
    pub connect: Duration,
    /// For the whole request until the answer's last byte. Default 30 s.
    pub whole: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), whole: Duration::from_secs(30) }
    }
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "HTTP's own names")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Options => "OPTIONS",
            Self::Delete => "DELETE",
        }
    }
}

/// Why there is no answer. Each says what failed and at which URL.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The URL or the path cannot be used.
    #[error("{url} cannot be used: {reason}")]
    Address {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The pin is neither a certificate nor a fingerprint.
    #[error("the certificate authority to trust cannot be used: {reason}")]
    Pin {
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers there, or the connection broke.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// The request's URL.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// It took too long.
    #[error("{url} did not answer in time ({phase})")]
    Timeout {
        /// The request's URL.
        url: String,
        /// What was waited for.
        phase: String,
    },
    /// The server's certificate is not from the trusted authority, or TLS failed otherwise.
    #[error("{url} is not trusted: {reason}")]
    Untrusted {
        /// The request's URL.
        url: String,
        /// What TLS said.
        reason: String,
    },
    /// The server has another certificate authority than the license key names.
    #[error("{url} belongs to another site: its certificate authority is {found}, the license key names {expected}")]
    OtherAuthority {
        /// The request's URL.
        url: String,
        /// The fingerprint in the license key.
        expected: String,
        /// The fingerprint of what the server sent.
        found: String,
    },
    /// What came back is not HTTP, too large, or not what was expected.
    #[error("{url} gave an answer that cannot be read: {reason}")]
    Answer {
        /// The request's URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl TransportError {
    /// Whether asking another server, or the same one later, may help.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Timeout { .. } | Self::Answer { .. })
    }
}

/// What the server answered, whether it granted or refused.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body as it came.
    pub body: Vec<u8>,
    url: String,
    headers: HeaderMap,
}

impl Reply {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body read as JSON.
    ///
    /// # Errors
    /// [`TransportError::Answer`] when it is not JSON of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, TransportError> {
        serde_json::from_slice(&self.body).map_err(|error| TransportError::Answer { url: self.url.clone(), reason: format!("status {}, {error}", self.status) })
    }

    /// A header of the answer, when it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A way to one server. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Transport {
    agent: Agent,
    base: String,
    ca_pem: Option<String>,
}

impl Transport {
    /// HTTPS to `base_url` ("https://host:port"), trusting only the pinned authority, with
    /// the default [`Timeouts`].
    ///
    /// A [`CaPin::Fingerprint`] costs one request now: the authority's certificate is fetched
    /// over a connection that is not trusted yet and nothing else is sent over it.
    ///
    /// # Errors
    /// [`TransportError::Address`] and [`TransportError::Pin`] for what was given;
    /// [`TransportError::OtherAuthority`] when the fingerprint is another; whatever the fetch may give.
    pub fn pinned(base_url: &str, pin: CaPin) -> Result<Self, TransportError> {
        Self::pinned_within(base_url, pin, Timeouts::default())
    }

    /// [`Transport::pinned`] with other timeouts.
    ///
    /// # Errors
    /// As [`Transport::pinned`].
    pub fn pinned_within(base_url: &str, pin: CaPin, timeouts: Timeouts) -> Result<Self, TransportError> {
        Self::pinned_since(base_url, pin, timeouts, 0)
    }

    /// The same for a device whose clock may stand back: certificates are judged by no earlier
    /// time than `proven`, seconds since 1970, and one that has not begun is taken.
    ///
    /// # Errors
    /// As [`Transport::pinned`].
    pub fn pinned_since(base_url: &str, pin: CaPin, timeouts: Timeouts, proven: i64) -> Result<Self, TransportError> {
        let base = checked_base(base_url, "https")?;
        let ca_pem = match pin {
            CaPin::Pem(pem) => pem,
            CaPin::Fingerprint(expected) => fetch_authority(&base, &expected, timeouts)?,
        };
        let der = single_certificate(&ca_pem).map_err(|reason| TransportError::Pin { reason })?;
        let mut root = RootCertStore::empty();
        root.add(der).map_err(unusable)?;
        let agent = agent(config(timeouts).https_only(true).build(), TlsConnector::trusting(root, Some(proven)).map_err(unusable)?);
        Ok(Self { agent, base, ca_pem: Some(ca_pem) })
    }

    /// HTTPS to the other server of a site: each trusts only the site's authority `ca_pem`, and this
    /// side shows the certificate `chain_pem` that the authority gave it.
    ///
    /// # Errors
    /// [`TransportError::Address`] and [`TransportError::Pin`] for what was given.
    #[cfg(feature = "server")]
    pub fn mutual(base_url: &str, ca_pem: &str, chain_pem: &str, key_pem: &str, timeouts: Timeouts) -> Result<Self, TransportError> {
        use rustls::pki_types::PrivateKeyDer;
        let base = checked_base(base_url, "https")?;
        let pin = |reason: String| TransportError::Pin { reason };
        let mut root = RootCertStore::empty();
        root.add(single_certificate(ca_pem).map_err(pin)?).map_err(unusable)?;
        let chain = vec![single_certificate(chain_pem).map_err(pin)?];
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|error| pin(error.to_string()))?;
        let agent = agent(config(timeouts).https_only(true).build(), TlsConnector::mutual(root, chain, key).map_err(unusable)?);
        Ok(Self { agent, base, ca_pem: Some(ca_pem.to_owned()) })
    }

    /// HTTPS to `base_url`, trusting whom this machine's system trusts: for a site that
    /// brings a certificate of a public or company authority.
    ///
    /// # Errors
    /// [`TransportError::Address`]; [`TransportError::Pin`] when the system trusts nobody.
    pub fn system(base_url: &str, timeouts: Timeouts) -> Result<Self, TransportError> {
        let base = checked_base(base_url, "https")?;
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let reason = found.errors.first().map_or_else(|| "the system has no list of trusted authorities".to_owned(), ToString::to_string);
            return Err(TransportError::Pin { reason: format!("{reason}; use a license key that names the site's authority") });
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        let agent = agent(config(timeouts).https_only(true).build(), TlsConnector::trusting(roots, None).map_err(unusable)?);
        Ok(Self { agent, base, ca_pem: None })
    }

    /// Plain HTTP to `base_url` ("http://host:port"): for a server on a private line that was
    /// asked to serve it.
    ///
    /// # Errors
    /// [`TransportError::Address`].
    pub fn plain(base_url: &str, timeouts: Timeouts) -> Result<Self, TransportError> {
        let base = checked_base(base_url, "http")?;
        let agent = Agent::with_parts(config(timeouts).build(), TcpConnector::default(), Addresses::default());
        Ok(Self { agent, base, ca_pem: None })
    }

    /// HTTP over the Unix domain socket at `path`. Nothing is connected yet; a socket nobody
    /// listens at shows at the first request as [`TransportError::Unreachable`].
    #[cfg(unix)]
    pub fn unix(path: impl Into<std::path::PathBuf>) -> Self {
        let agent = Agent::with_parts(config(Timeouts::default()).build(), UnixConnector(path.into()), NoResolver);
        Self { agent, base: "http://localhost".to_owned(), ca_pem: None }
    }

    /// Ends all requests that are under way here, as if the connection broke, and takes no further ones: whoever waits
    /// for somebody who is silent need not wait to the end.
    #[cfg(feature = "server")]
    pub fn close(&self) {
        self.agent.clone().shutdown();
    }

    /// The server's URL, without a trailing `/`.
    pub fn base_url(&self) -> &str {
        &self.base
    }

    /// The authority that is trusted, PEM: worth keeping, it spares the fetch the next time.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// GET `path`, which starts with `/`.
    ///
    /// # Errors
    /// When there is no answer; a refusal is a [`Reply`].
    pub fn get(&self, path: &str) -> Result<Reply, TransportError> {
        self.send(Method::Get, path, None, &[])
    }

    /// POST `body` as JSON to `path`, with further `headers`.
    ///
    /// # Errors
    /// When there is no answer; a refusal is a [`Reply`].
    pub fn post_json(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Result<Reply, TransportError> {
        self.send(Method::Post, path, Some((JSON, body.to_string().into_bytes())), headers)
    }

    /// Any method, with a JSON body or none.
    ///
    /// # Errors
    /// When there is no answer; a refusal is a [`Reply`].
    pub fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, TransportError> {
        self.send(method, path, body.map(|body| (JSON, body.to_string().into_bytes())), &[])
    }

    /// Any method, with a body of any content type and further headers.
    ///
    /// # Errors
    /// When there is no answer; a refusal is a [`Reply`].
    pub fn send(&self, method: Method, path: &str, body: Option<(&str, Vec<u8>)>, headers: &[(&str, &str)]) -> Result<Reply, TransportError> {
        let url = format!("{}{path}", self.base);
        if !path.starts_with('/') {
            return Err(TransportError::Address { url, reason: "the path must start with /".to_owned() });
        }
        let mut request = Request::builder().method(method.as_str()).uri(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let refused = |error: ureq::http::Error| TransportError::Address { url: url.clone(), reason: error.to_string() };
        let answer = match (body, method) {
            (Some((content_type, bytes)), _) => {
                let request = request.header("content-type", content_type).body(bytes).map_err(refused)?;
                self.agent.run(request)
            }
            // Without this a POST with nothing to say has no length, and some servers wait for one.
            (None, Method::Post | Method::Put | Method::Patch) => self.agent.run(request.body(Vec::new()).map_err(refused)?),
            (None, Method::Get | Method::Delete | Method::Options) => self.agent.run(request.body(()).map_err(refused)?),
        };
        let (parts, mut body) = answer.map_err(|error| explain(&url, error))?.into_parts();
        let body = body.with_config().limit(MAX_ANSWER_BYTES).read_to_vec().map_err(|error| explain(&url, error))?;
        Ok(Reply { status: parts.status.as_u16(), body, url, headers: parts.headers })
    }
}

/// Looks names up; an address is one already, and needs no thread that waits for an answer.
#[derive(Debug, Default)]
struct Addresses(DefaultResolver);

impl Resolver for Addresses {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().or_else(|| uri.scheme().map(|scheme| if scheme.as_str() == "https" { 443 } else { 80 }));
        match (host.parse::<IpAddr>(), port) {
            (Ok(address), Some(port)) => {
                let mut found = self.empty();
                found.push(SocketAddr::new(address, port));
                Ok(found)
            }
            _ => self.0.resolve(uri, config, timeout),
        }
    }
}

fn unusable(error: rustls::Error) -> TransportError {
    TransportError::Pin { reason: error.to_string() }
}

fn agent(config: Config, tls: TlsConnector) -> Agent {
    Agent::with_parts(config, ().chain(TcpConnector::default()).chain(tls), Addresses::default())
}

/// No redirects: they would carry a handshake code to a server nobody named. No proxy from
/// the environment: the license server stands on the site's own network.
fn config(timeouts: Timeouts) -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("tollkeeper/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(timeouts.connect))
        .timeout_global(Some(timeouts.whole))
}

fn checked_base(base_url: &str, scheme: &str) -> Result<String, TransportError> {
    let refused = |reason: String| TransportError::Address { url: base_url.to_owned(), reason };
    let base = base_url.trim().trim_end_matches('/');
    let uri: Uri = base.parse().map_err(|error| refused(format!("it is not a URL ({error})")))?;
    if uri.scheme_str() != Some(scheme) {
        return Err(refused(format!("it must start with {scheme}://")));
    }
    let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
        return Err(refused("it names no host".to_owned()));
    };
    if authority.as_str().contains('@') || uri.query().is_some() {
        return Err(refused("it must hold no user name and no query".to_owned()));
    }
    Ok(base.to_owned())
}

/// The authority's certificate, once it has proven to be the one with this fingerprint.
fn fetch_authority(base: &str, fingerprint: &str, timeouts: Timeouts) -> Result<String, TransportError> {
    let expected = fingerprint.trim().to_ascii_lowercase();
    let hex = expected.strip_prefix("sha256:").unwrap_or("");
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(TransportError::Pin { reason: format!("{fingerprint:?} is not \"sha256:\" and 64 hex digits") });
    }
    #[derive(Deserialize)]
    struct Told {
        ca_pem: String,
    }
    // The only connection of ours that trusts nobody in particular: it carries this one GET
    // and is dropped with its agent. What comes back is proven by the fingerprint.
    let agent = agent(config(timeouts).https_only(true).build(), TlsConnector::unverified());
    let reply = Transport { agent, base: base.to_owned(), ca_pem: None }.get(SERVER_PATH)?;
    let answer = |reason: String| TransportError::Answer { url: reply.url.clone(), reason };
    if !reply.is_success() {
        return Err(answer(format!("status {} where the site's certificate authority was expected", reply.status)));
    }
    let ca_pem = reply.json::<Told>()?.ca_pem;
    let der = single_certificate(&ca_pem).map_err(|reason| answer(format!("its ca_pem: {reason}")))?;
    let found = hash_of(&der);
    if found != expected {
        return Err(TransportError::OtherAuthority { url: reply.url, expected, found });
    }
    Ok(ca_pem)
}

/// "sha256:" and the SHA-256 of a certificate's DER in hex; `None` when the text is no
/// certificate.
pub fn fingerprint_of(pem: &str) -> Option<String> {
    single_certificate(pem).ok().map(|der| hash_of(&der))
}

fn hash_of(der: &CertificateDer<'_>) -> String {
    digest::digest(&digest::SHA256, der).as_ref().iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn single_certificate(pem: &str) -> Result<CertificateDer<'static>, String> {
    let mut found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|error| format!("it is not PEM ({error})"))?;
    match (found.pop(), found.is_empty()) {
        (Some(der), true) => Ok(der),
        _ => Err("it must be exactly one certificate".to_owned()),
    }
}

fn explain(url: &str, error: ureq::Error) -> TransportError {
    use ureq::Error;
    let url = url.to_owned();
    match error {
        Error::Timeout(phase) => TransportError::Timeout { url, phase: phase.to_string() },
        Error::Rustls(error) => TransportError::Untrusted { url, reason: error.to_string() },
        Error::Tls(reason) => TransportError::Untrusted { url, reason: reason.to_owned() },
        Error::HostNotFound => TransportError::Unreachable { url, reason: "the host is not known".to_owned() },
        Error::ConnectionFailed => TransportError::Unreachable { url, reason: "the connection failed".to_owned() },
        Error::BodyExceedsLimit(limit) => TransportError::Answer { url, reason: format!("it is larger than {limit} bytes") },
        // rustls reports some failures of the handshake through the stream it reads from.
        Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(inner) => TransportError::Untrusted { url, reason: inner.to_string() },
            None => TransportError::Unreachable { url, reason: error.to_string() },
        },
        Error::Http(error) => TransportError::Address { url, reason: error.to_string() },
        Error::BadUri(reason) | Error::RequireHttpsOnly(reason) => TransportError::Address { url, reason },
        other => TransportError::Answer { url, reason: other.to_string() },
    }
}

// Gated because the certificates of these tests are made by the server's rcgen.
#[cfg(all(test, feature = "server"))]
mod tests;
