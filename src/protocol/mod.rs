//! The wire: what devices send and what they are answered, shared by server and client
//! (`design/protocol.md` §2, §3). Names here are fixed; fields are only ever added.
//!
//! | file | what |
//! | --- | --- |
//! | [`error_code`] | the error codes of domain §9 with their HTTP status |
//! | [`problem`] | the body of every failure (RFC 9457) |
//! | [`authorize`] | `POST /authorize` |
//! | [`reports`] | `POST /reports` |
//! | [`lost`] | `lost` in answers, `seen` in requests: what a restored server lost |
//! | [`release`] | `POST /release` |
//! | [`server`] | `GET /server` and `GET /health` |
//! | [`object`] | objects are objects, not lists of their values |
//! | [`license_key`] | the one string that a developer pastes |

pub mod authorize;
pub mod error_code;
pub mod license_key;
pub mod lost;
pub mod object;
pub mod problem;
pub mod release;
pub mod reports;
pub mod server;

pub use error_code::ErrorCode;
pub use problem::{BadField, Problem};

/// A request that a device sends.
pub trait FromDevice: serde::de::DeserializeOwned {
    /// The device.
    fn client_uuid(&self) -> crate::licensing::ClientUuid;

    /// Checks lengths and ranges, and brings values into the form that is worked with.
    fn validate(&mut self) -> Result<(), BadField>;
}

/// Where the API lives.
pub const BASE_PATH: &str = "/api/v1";

/// Seconds between two reports of a device, and length of a slot (domain §5).
pub const REPORT_INTERVAL_SECONDS: u32 = 180;

/// Most bytes in the body of a request.
pub const BODY_MAX_BYTES: usize = 1024 * 1024;

/// Most reports in one request.
pub const REPORTS_MAX: usize = 1_000;
