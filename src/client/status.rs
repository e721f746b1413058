//! What an application may do now, and what it wants to hear of.

use super::core::outbox::Submitted;
use super::core::{Core, Source, Standing};
use super::error::{LicenseError, ServerFailure};
use crate::licensing::ClientUuid;

/// Where a license comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A server that answered in this session.
    Server(String),
    /// Kept from before; no server serves now.
    Kept,
    /// Carried here by hand.
    Carried,
    /// Product keys, which need no server.
    ProductKey,
}

/// What an application may do now.
#[derive(Debug, Clone)]
pub struct Status {
    /// The device, where there is a server or was one.
    pub client_uuid: Option<ClientUuid>,
    /// Why not, if it may do nothing.
    pub error: Option<LicenseError>,
    /// Where the license comes from.
    pub origin: Option<Origin>,
    /// When it ends unless it is renewed, seconds since 1970.
    pub expires_at: Option<i64>,
    /// The handshake code that serves, by the name that the application knows.
    pub handshake_code: Option<String>,
    /// Instances that are granted.
    pub instances: u32,
    /// Why servers did not serve before the one that does, or before the kept authorization.
    pub failures: Vec<ServerFailure>,
}

impl Status {
    /// Whether the application may work.
    pub fn is_licensed(&self) -> bool {
        self.error.is_none()
    }
}

/// Something that an application does with what happened.
pub type Listener<T> = Box<dyn Fn(&T) + Send + Sync>;

/// What the application wants to hear of. Called on the license's own thread; must not wait
/// for the license. None is called any more when the license is dropped; one that drops it is the last.
#[derive(Default)]
pub struct Listeners {
    /// The license is another than before.
    pub license_changed: Option<Listener<Status>>,
    /// A server took reports.
    pub reported: Option<Listener<Submitted>>,
    /// Something is wrong that does not stop the application.
    pub warning: Option<Listener<LicenseError>>,
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listeners(…)")
    }
}

/// The core's standing as applications see it.
pub(super) fn status_of(core: &Core, client_uuid: Option<ClientUuid>) -> Status {
    match core.standing() {
        Standing::Licensed { claims, source, failures } => Status {
            client_uuid,
            error: None,
            origin: Some(match source {
                Source::Server(url) => Origin::Server(url.clone()),
                Source::Kept => Origin::Kept,
                Source::Carried => Origin::Carried,
            }),
            expires_at: Some(claims.exp),
            handshake_code: Some(claims.hs.to_string()),
            instances: claims.items.iter().map(|item| item.instances).max().unwrap_or(1),
            failures: failures.clone(),
        },
        Standing::Unlicensed(error) => Status {
            client_uuid,
            failures: error.failures.clone(),
            error: Some(error.clone()),
            origin: None,
            expires_at: None,
            handshake_code: None,
            instances: 0,
        },
    }
}
