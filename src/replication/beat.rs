//! What the two servers tell each other about themselves, and how that looks from one of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::partner::{Held, Pairing};
use super::roles::Heartbeat;
use crate::licensing::ServerUuid;

/// What one server tells the other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Beat {
    /// Who tells it.
    pub server: ServerUuid,
    /// What it is and does.
    pub heartbeat: Heartbeat,
    /// What it holds.
    pub held: Vec<Held>,
    /// Where it answers.
    pub urls: Vec<String>,
    /// Its program's version.
    pub version: String,
    /// Its time, seconds since 1970.
    pub time: i64,
}

/// How the two stand, for pages and commands.
#[derive(Debug, Clone)]
pub struct View {
    /// What this server is and does.
    pub heartbeat: Heartbeat,
    /// `primary` or `standby`.
    pub role_name: &'static str,
    /// The partner, if there is one.
    pub pairing: Option<Arc<Pairing>>,
    /// What it said last, and how many seconds ago.
    pub heard: Option<(Beat, i64)>,
    /// Facts of ours that it lacks, and of its that we lack, as last heard.
    pub missing: (u64, u64),
    /// When facts were last taken from it (seconds since 1970), and how that went.
    pub last_sync: Option<(i64, Result<u64, String>)>,
    /// What happened to the roles lately, oldest first: seconds since 1970, and in words.
    pub notes: Vec<(i64, String)>,
}
