//! The tables of the settings file.

use std::path::PathBuf;

use serde::Deserialize;

use super::MAX_BODY_BYTES;

/// `[tls]`: the server's HTTPS certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// DNS names and IP addresses the certificate carries, besides those the machine knows of itself.
    pub names: Vec<String>,
    /// The file of a certificate of one's own, with those of its authorities, PEM. Empty: none.
    pub certificate: PathBuf,
    /// The file of its private key, PEM.
    pub key: PathBuf,
}

impl Tls {
    /// The files of the certificate and its key, if they are set.
    pub fn files(&self) -> Option<(PathBuf, PathBuf)> {
        (!self.certificate.as_os_str().is_empty()).then(|| (self.certificate.clone(), self.key.clone()))
    }
}

/// `[limits]`: what one server takes on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Threads that answer requests.
    pub workers: usize,
    /// Commands that may wait for the writer; more are refused with 503.
    pub queue: usize,
    /// The largest request body, in bytes.
    pub body_bytes: usize,
    /// The time to send a whole body, in seconds.
    pub body_seconds: u64,
    /// The time to send a request's head, in seconds.
    pub head_seconds: u64,
    /// How long a kept connection may go without a complete request.
    pub idle_seconds: u64,
    /// Connections open at the same time.
    pub connections: usize,
    /// Requests of one device in a minute; 0: no limit.
    pub device_requests_per_minute: u32,
    /// Requests from one IP address in a minute; 0: no limit.
    pub address_requests_per_minute: u32,
    /// The time running requests get to finish at shutdown, in seconds.
    pub shutdown_seconds: u64,
}

/// `[log]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least important kind of line that is written.
    pub level: LogLevel,
    /// How lines are written.
    pub format: LogFormat,
}

/// How the log's lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// JSON where systemd's journal listens, else text.
    #[default]
    Auto,
    /// For people.
    Text,
    /// For programs: one object a line.
    Json,
}

impl LogFormat {
    /// The format of this name, whatever its case.
    pub fn find(name: &str) -> Option<Self> {
        [("auto", Self::Auto), ("text", Self::Text), ("json", Self::Json)]
            .into_iter()
            .find(|(known, _)| name.trim().eq_ignore_ascii_case(known))
            .map(|(_, format)| format)
    }
}

/// `[metrics]`: what Prometheus scrapes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Plain HTTP listeners for `/metrics` and `/health` alone, as "host:port". Empty: none; with a token they are
    /// answered beside everything else.
    pub listen: Vec<String>,
}

/// How much the log tells, from least to most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the five names are the log's own")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// What can be given, in words.
    pub const NAMES: &str = "error, warn, info, debug or trace";

    /// The name as settings write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// The level of this name, whatever its case.
    pub fn find(name: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace].into_iter().find(|level| name.trim().eq_ignore_ascii_case(level.as_str()))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            queue: 4096,
            body_bytes: MAX_BODY_BYTES,
            body_seconds: 10,
            head_seconds: 5,
            idle_seconds: 120,
            connections: 25_000,
            device_requests_per_minute: 600,
            address_requests_per_minute: 0,
            shutdown_seconds: 20,
        }
    }
}

/// `[backup]`: copies of the database (domain §8).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backup {
    /// Minutes from one to the next; 0: none is made by itself.
    pub every_minutes: u32,
    /// Where they go. Empty: `backups` in the data directory.
    pub directory: PathBuf,
    /// How many of the latest ones are kept.
    pub keep_latest: usize,
    /// Of how many hours the last one is kept.
    pub keep_hours: usize,
    /// Of how many days the last one is kept.
    pub keep_days: usize,
    /// How many of those are kept that were made before an upgrade, and of those that a restore replaced.
    pub keep_others: usize,
}

impl Default for Backup {
    fn default() -> Self {
        Self { every_minutes: 12, directory: PathBuf::new(), keep_latest: 10, keep_hours: 24, keep_days: 30, keep_others: 3 }
    }
}

/// `[standby]`: what two servers tell each other (architecture §4).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Standby {
    /// Seconds between two exchanges of facts.
    pub sync_seconds: u32,
}

impl Default for Standby {
    fn default() -> Self {
        Self { sync_seconds: 120 }
    }
}
