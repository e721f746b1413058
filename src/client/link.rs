//! The way to one server of an application: connects when there is something to say, trusts
//! the site's authority, seals what is said where the application wants that.

use std::time::Duration;

use super::core::Event;
use super::error::Code;
use super::settings::Config;
use super::transport::{CaPin, Method, Reply, Timeouts, Transport, TransportError};
use crate::documents::sealed::{CONTENT_TYPE, SealingPublicKey};
use crate::documents::{SealingJwk, ServerCertificate};
use crate::protocol::server::ServerInfo;

/// How long a device waits for a server. It has another one to ask, and a person waits.
pub(super) const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(5), whole: Duration::from_secs(20) };

/// See the module.
#[derive(Debug)]
pub struct Link {
    url: String,
    transport: Option<Transport>,
    /// What requests are sealed to, once it is known.
    sealing: Option<SealingPublicKey>,
}

impl Link {
    /// To the server with this URL. Nothing is connected yet.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), transport: None, sealing: None }
    }

    /// The authority that is trusted, PEM, once it is known.
    pub fn ca_pem(&self) -> Option<&str> {
        self.transport.as_ref()?.ca_pem()
    }

    /// Sends, and tells what became of it, within `limit` where there is one. `known` is the authority's
    /// certificate from an earlier time; `proven` a time that is past, whatever the device's clock says.
    pub fn ask(&mut self, path: &str, body: &[u8], config: &Config, known: Option<&str>, proven: i64, limit: Option<Duration>) -> Event {
        match self.send(path, body, config, known, proven, limit) {
            Ok((reply, body)) => {
                let retry_after = retry_after(&reply);
                Event::Answered { status: reply.status, body, retry_after }
            }
            Err(Trouble { code, message, retry_after }) => Event::Unanswered { code, message, retry_after },
        }
    }

    fn send(
        &mut self,
        path: &str,
        body: &[u8],
        config: &Config,
        known: Option<&str>,
        proven: i64,
        limit: Option<Duration>,
    ) -> Result<(Reply, Vec<u8>), Trouble> {
        let transport = match (&self.transport, limit) {
            (Some(transport), None) => transport,
            // A connection has its timeouts from the beginning.
            (before, _) => {
                let known = before.as_ref().and_then(Transport::ca_pem).or(known);
                let transport = connect(&self.url, config.authority.as_ref(), known, proven, limit)?;
                self.transport.insert(transport)
            }
        };
        if !config.settings.sealed {
            let mut reply = transport.send(Method::Post, path, Some(("application/json", body.to_vec())), &[])?;
            let body = std::mem::take(&mut reply.body);
            return Ok((reply, body));
        }
        let key = match &self.sealing {
            Some(key) => key,
            None => self.sealing.insert(find_key(transport, config)?),
        };
        let (sealed, opener) = key.seal(path, body).map_err(|error| not_sealable(error.to_string()))?;
        let reply = transport.send(Method::Post, path, Some((CONTENT_TYPE, sealed)), &[])?;
        if reply.body.is_empty() && reply.is_success() {
            return Ok((reply, Vec::new()));
        }
        let is_sealed = reply.header("content-type") == Some(CONTENT_TYPE);
        let opened = if is_sealed { opener.open(reply.status, &reply.body) } else { None };
        match opened {
            Some(body) => Ok((reply, body)),
            // Whoever answers before the server is busy cannot seal: the pause that it asks for is taken,
            // nothing else is.
            None if !is_sealed && [429, 503].contains(&reply.status) => Err(busy(&self.url, &reply)),
            None => {
                // It may have another key now, or somebody on the way answered in its place.
                self.sealing = None;
                let what = if is_sealed { "an answer that cannot be opened" } else { "an answer that is not sealed" };
                Err(not_sealable(format!("{} gave {what} (status {}) to a sealed request", self.url, reply.status)))
            }
        }
    }
}

/// The key of a certificate that a trusted vendor signed. Its dates do not matter here: whoever
/// is named in it can open what is sealed to it, and the answer is checked with its dates.
fn find_key(transport: &Transport, config: &Config) -> Result<SealingPublicKey, Trouble> {
    let reply = transport.get("/api/v1/server")?;
    if [429, 503].contains(&reply.status) {
        return Err(busy(transport.base_url(), &reply));
    }
    let info: ServerInfo = reply.json()?;
    let trusted = info.certificates.iter().filter_map(|text| ServerCertificate::verify(text, &config.vendors).ok());
    let organization = config.organization_id.as_deref();
    let ours = trusted.filter(|certificate| organization.is_none_or(|id| id == certificate.organization_id.as_str()));
    let key = ours.filter_map(|certificate| certificate.sealing_jwk).find_map(|jwk: SealingJwk| jwk.key().ok());
    key.ok_or_else(|| {
        let url = transport.base_url();
        not_sealable(format!("{url} has no certificate of this vendor that names a key to seal to: its administrator must have the license activated anew"))
    })
}

fn not_sealable(message: String) -> Trouble {
    Trouble { code: Code::NotSealable, message, retry_after: None }
}

fn busy(url: &str, reply: &Reply) -> Trouble {
    Trouble { code: Code::NoServer, message: format!("{url} is busy (status {})", reply.status), retry_after: retry_after(reply) }
}

fn retry_after(reply: &Reply) -> Option<i64> {
    reply.header("retry-after").and_then(|seconds| seconds.trim().parse().ok())
}

fn connect(url: &str, authority: Option<&CaPin>, known: Option<&str>, proven: i64, limit: Option<Duration>) -> Result<Transport, TransportError> {
    let least = |usual: Duration| limit.map_or(usual, |limit| usual.min(limit));
    let timeouts = Timeouts { connect: least(TIMEOUTS.connect), whole: least(TIMEOUTS.whole) };
    if url.starts_with("http://") {
        return Transport::plain(url, timeouts);
    }
    match (authority, known) {
        (Some(CaPin::Fingerprint(_)), Some(pem)) => Transport::pinned_since(url, CaPin::Pem(pem.to_owned()), timeouts, proven),
        (Some(pin), _) => Transport::pinned_since(url, pin.clone(), timeouts, proven),
        (None, _) => Transport::system(url, timeouts),
    }
}

/// Why there is no answer.
pub(super) struct Trouble {
    code: Code,
    message: String,
    retry_after: Option<i64>,
}

impl From<TransportError> for Trouble {
    fn from(error: TransportError) -> Self {
        let code = match error {
            TransportError::Untrusted { .. } | TransportError::OtherAuthority { .. } | TransportError::Pin { .. } => Code::NotTrusted,
            _ => Code::NoServer,
        };
        Self { code, message: error.to_string(), retry_after: None }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::client::settings::tests::settings;
    use crate::documents::{SealingKey, SigningKey};

    #[test]
    fn whoever_is_busy_before_the_server_is_given_the_pause_that_it_asks_for() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let _ = stream.read(&mut [0; 16 * 1024]);
                let answer = "HTTP/1.1 503 Busy\r\ncontent-type: text/plain\r\nretry-after: 77\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy";
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let settings = crate::client::Settings { sealed: true, main_server_url: Some(url.clone()), ..settings(&SigningKey::generate()) };
        let config = settings.check().expect("settings");
        let pause_of = |event: Event| match event {
            Event::Unanswered { code: Code::NoServer, retry_after, .. } => retry_after,
            other => panic!("{other:?}"),
        };
        let mut link = Link::new(&url);
        assert_eq!(pause_of(link.ask("/api/v1/authorize", b"{}", &config, None, 0, None)), Some(77), "before the key is known");
        link.sealing = Some(SealingKey::generate().public().clone());
        assert_eq!(pause_of(link.ask("/api/v1/authorize", b"{}", &config, None, 0, None)), Some(77), "and after");
        assert!(link.sealing.is_some(), "the key is as good as before");
    }
}
