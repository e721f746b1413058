//! The way to one server of an application: connects when there is something to say, trusts
//! the site's authority, seals what is said where the application wants that.

use super::core::Event;
use super::error::Code;
use super::settings::Config;
use super::transport::{CaPin, Reply, Timeouts, Transport, TransportError};

/// How long a device waits for a server. It has another one to ask, and a person waits.
const TIMEOUTS: Timeouts = Timeouts { connect: std::time::Duration::from_secs(5), whole: std::time::Duration::from_secs(20) };

/// See the module.
#[derive(Debug)]
pub struct Link {
    url: String,
    transport: Option<Transport>,
}

impl Link {
    /// To the server with this URL. Nothing is connected yet.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), transport: None }
    }

    /// The authority that is trusted, PEM, once it is known.
    pub fn ca_pem(&self) -> Option<&str> {
        self.transport.as_ref()?.ca_pem()
    }

    /// Sends, and tells what became of it. `known` is the authority's certificate from an
    /// earlier time.
    pub fn ask(&mut self, path: &str, body: &[u8], config: &Config, known: Option<&str>) -> Event {
        match self.send(path, body, config, known) {
            Ok(reply) => {
                let retry_after = reply.header("retry-after").and_then(|seconds| seconds.trim().parse().ok());
                Event::Answered { status: reply.status, body: reply.body, retry_after }
            }
            Err(Trouble(code, message)) => Event::Unanswered { code, message },
        }
    }

    fn send(&mut self, path: &str, body: &[u8], config: &Config, known: Option<&str>) -> Result<Reply, Trouble> {
        let transport = match &self.transport {
            Some(transport) => transport,
            None => self.transport.insert(connect(&self.url, config.authority.as_ref(), known)?),
        };
        Ok(transport.send(super::transport::Method::Post, path, Some(("application/json", body.to_vec())), &[])?)
    }
}

fn connect(url: &str, authority: Option<&CaPin>, known: Option<&str>) -> Result<Transport, TransportError> {
    if url.starts_with("http://") {
        return Transport::plain(url, TIMEOUTS);
    }
    match (authority, known) {
        (Some(CaPin::Fingerprint(_)), Some(pem)) => Transport::pinned_within(url, CaPin::Pem(pem.to_owned()), TIMEOUTS),
        (Some(pin), _) => Transport::pinned_within(url, pin.clone(), TIMEOUTS),
        (None, _) => Transport::system(url, TIMEOUTS),
    }
}

/// Why there is no answer.
pub(super) struct Trouble(Code, String);

impl From<TransportError> for Trouble {
    fn from(error: TransportError) -> Self {
        let code = match error {
            TransportError::Untrusted { .. } | TransportError::OtherAuthority { .. } | TransportError::Pin { .. } => Code::NotTrusted,
            _ => Code::NoServer,
        };
        Self(code, error.to_string())
    }
}
