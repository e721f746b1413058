//! The way to the other server: HTTPS on which both sides show certificates of the site's authority.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::page;
use super::partner::{Held, Holding, Pairing};
use crate::client::transport::{Method, Reply, Timeouts, Transport};
use crate::protocol::Problem;
use crate::store::facts::Fact;

/// Below it lies what the two say to each other.
pub const BASE: &str = "/api/v1/replication";

const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(4), whole: Duration::from_secs(60) };

/// Connections to the partner, by each of its URLs.
#[derive(Clone)]
pub struct Link {
    ways: Arc<[Transport]>,
}

/// Why the partner gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkError {
    /// It is not to be reached.
    Silent(String),
    /// It refused.
    Refused(String),
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silent(why) | Self::Refused(why) => f.write_str(why),
        }
    }
}

impl Link {
    /// To the partner of a pairing.
    pub fn to(pairing: &Pairing, ca_pem: &str) -> Result<Self, LinkError> {
        let way = |url: &String| Transport::mutual(url, ca_pem, &pairing.pass.chain_pem, &pairing.pass.key_pem, TIMEOUTS);
        let ways: Vec<Transport> = pairing.partner.urls.iter().map(way).collect::<Result<_, _>>().map_err(|error| LinkError::Silent(error.to_string()))?;
        Ok(Self { ways: ways.into() })
    }

    /// Tries each way until one answers.
    fn ask(&self, method: Method, path: &str, body: Option<&serde_json::Value>) -> Result<Reply, LinkError> {
        let mut last = LinkError::Silent("the partner has no URL: pair the two anew".to_owned());
        for way in self.ways.iter() {
            match way.request(method, &format!("{BASE}{path}"), body) {
                Ok(reply) if reply.is_success() => return Ok(reply),
                Ok(reply) => {
                    let told =
                        reply.json::<Problem>().map_or_else(|_| format!("{} answered with status {}", way.base_url(), reply.status), |problem| problem.detail);
                    return Err(LinkError::Refused(told));
                }
                Err(error) => last = LinkError::Silent(error.to_string()),
            }
        }
        Err(last)
    }

    /// Says something and hears the answer.
    pub fn say<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, LinkError> {
        let body = serde_json::to_value(body).map_err(|error| LinkError::Refused(error.to_string()))?;
        let reply = self.ask(Method::Post, path, Some(&body))?;
        reply.json().map_err(|error| LinkError::Silent(error.to_string()))
    }

    /// The facts that come after those that are held here.
    pub fn facts_after(&self, held: &[Held]) -> Result<Vec<Fact>, LinkError> {
        let body = serde_json::to_value(Holding { held: held.to_vec() }).map_err(|error| LinkError::Refused(error.to_string()))?;
        let reply = self.ask(Method::Post, "/facts", Some(&body))?;
        page::read(&reply.body).map_err(LinkError::Refused)
    }

    /// A part of a file; shorter than asked for at its end.
    pub fn part(&self, path: &str, from: u64, bytes: u64) -> Result<Vec<u8>, LinkError> {
        let reply = self.ask(Method::Get, &format!("{path}?from={from}&bytes={bytes}"), None)?;
        Ok(reply.body)
    }
}
