//! The way to the other server: HTTPS on which both sides show certificates of the site's authority.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::page;
use super::partner::{Held, Holding, Pairing};
use super::roles::Heartbeat;
use crate::client::transport::{Method, Reply, Timeouts, Transport};
use crate::protocol::Problem;
use crate::store::facts::Fact;

/// Below it lies what the two say to each other.
pub const BASE: &str = "/api/v1/replication";

const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(4), whole: Duration::from_secs(60) };
/// For what is small, and when this server stops: a partner that hangs must not hold it.
const QUICK: Timeouts = Timeouts { connect: Duration::from_secs(2), whole: Duration::from_secs(4) };

/// Connections to the partner, by each of its URLs.
#[derive(Clone)]
pub struct Link {
    ways: Arc<[Transport]>,
    quick: Arc<[Transport]>,
    /// The way that answered last.
    best: Arc<AtomicUsize>,
}

/// Why the partner gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkError {
    /// It is not to be reached.
    Silent(String),
    /// It refused.
    Refused(String),
    /// It is not the partner of this server any more, and stands like this.
    Gone(Heartbeat),
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silent(why) | Self::Refused(why) => f.write_str(why),
            Self::Gone(_) => f.write_str("the partner has left this server"),
        }
    }
}

impl Link {
    /// To the partner of a pairing.
    pub fn to(pairing: &Pairing, ca_pem: &str) -> Result<Self, LinkError> {
        let ways = |timeouts: Timeouts| {
            let way = |url: &String| Transport::mutual(url, ca_pem, &pairing.pass.chain_pem, &pairing.pass.key_pem, timeouts);
            let ways: Result<Vec<Transport>, _> = pairing.partner.urls.iter().map(way).collect();
            ways.map(Arc::<[Transport]>::from).map_err(|error| LinkError::Silent(error.to_string()))
        };
        Ok(Self { ways: ways(TIMEOUTS)?, quick: ways(QUICK)?, best: Arc::default() })
    }

    /// The same, which waits for nothing long; what is waited for now is given up. A partner that is cut off says nothing
    /// for a minute.
    pub fn in_a_hurry(self) -> Self {
        self.ways.iter().for_each(Transport::close);
        Self { ways: Arc::clone(&self.quick), ..self }
    }

    /// Tries each way until one answers, first the one that did last.
    fn ask(&self, ways: &[Transport], method: Method, path: &str, body: Option<&serde_json::Value>) -> Result<Reply, LinkError> {
        let mut last = LinkError::Silent("the partner has no URL: pair the two anew".to_owned());
        let best = self.best.load(Ordering::Relaxed);
        for at in (0..ways.len()).map(|n| (best + n) % ways.len()) {
            let way = &ways[at];
            let reply = match way.request(method, &format!("{BASE}{path}"), body) {
                Ok(reply) => reply,
                Err(error) => {
                    last = LinkError::Silent(error.to_string());
                    continue;
                }
            };
            self.best.store(at, Ordering::Relaxed);
            if reply.is_success() {
                return Ok(reply);
            }
            if let (410, Ok(theirs)) = (reply.status, reply.json()) {
                return Err(LinkError::Gone(theirs));
            }
            let told = reply.json::<Problem>().map_or_else(|_| format!("{} answered with status {}", way.base_url(), reply.status), |problem| problem.detail);
            return Err(LinkError::Refused(told));
        }
        Err(last)
    }

    /// Says something and hears the answer.
    pub fn say<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, LinkError> {
        let body = serde_json::to_value(body).map_err(|error| LinkError::Refused(error.to_string()))?;
        let reply = self.ask(&self.ways, Method::Post, path, Some(&body))?;
        reply.json().map_err(|error| LinkError::Silent(error.to_string()))
    }

    /// The same for what takes no time to answer.
    pub fn say_quickly<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, LinkError> {
        Self { ways: Arc::clone(&self.quick), ..self.clone() }.say(path, body)
    }

    /// The facts that come after those that are held here.
    pub fn facts_after(&self, held: &[Held]) -> Result<Vec<Fact>, LinkError> {
        let body = serde_json::to_value(Holding { held: held.to_vec() }).map_err(|error| LinkError::Refused(error.to_string()))?;
        let reply = self.ask(&self.ways, Method::Post, "/facts", Some(&body))?;
        page::read(&reply.body).map_err(LinkError::Refused)
    }

    /// A part of a file; shorter than asked for at its end.
    pub fn part(&self, path: &str, from: u64, bytes: u64) -> Result<Vec<u8>, LinkError> {
        let reply = self.ask(&self.ways, Method::Get, &format!("{path}?from={from}&bytes={bytes}"), None)?;
        Ok(reply.body)
    }
}
