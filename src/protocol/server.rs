//! `GET /server` and `GET /health`: who answers, and is it well.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A protocol of TLS (ALPN) that nobody speaks: a client that trusts exactly the site's authority
/// offers it beside its own, so that a server which has another certificate too shows the right one.
pub const SITE_PROTOCOL: &str = "tk-site-ca";

/// Who this server is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ServerInfo {
    /// The server's UUID.
    pub server_uuid: String,
    /// The version of the binary.
    pub version: String,
    /// `primary` or `standby`.
    pub role: String,
    /// Whether it authorizes devices now.
    pub serving: bool,
    /// Its time.
    pub time: String,
    /// Its public keys, as JWK: `use` is `sig` for signing, `enc` for sealing.
    #[cfg_attr(feature = "server", schema(value_type = Vec<Object>))]
    pub keys: Vec<serde_json::Value>,
    /// What vendors signed for it: its server certificates, each a compact JWS. They name the
    /// key to seal requests to.
    #[serde(default)]
    pub certificates: Vec<String>,
    /// The site's certificate authority, PEM.
    pub ca_pem: String,
    /// The URLs of its partners.
    pub peers: Vec<String>,
}

/// Is it well? 200 when every part is, 503 otherwise.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Health {
    /// `ok` or `failing`.
    pub status: String,
    /// Each part with its state.
    pub parts: BTreeMap<String, Part>,
}

/// The state of one part.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Part {
    /// Whether it works.
    pub ok: bool,
    /// In words.
    pub detail: String,
}
