//! The device's side: what an application links (feature `client`, a small dependency set).
//!
//! | file | what |
//! | --- | --- |
//! | [`license`] | what an application holds: initialize, check, record, report, give back |
//! | [`status`] | what it may do now, and what it wants to hear of |
//! | [`worker`] | the license's own threads |
//! | [`product_key`] | licenses that need no server |
//! | [`by_hand`] | files carried to and from devices without network |
//! | [`settings`] | what it sets, by license key, by fields or by product keys |
//! | [`error`] | why something failed, for developer and end user |
//! | [`core`] | the decisions, without files, network or clock |
//! | [`folder`] | the data folder that the processes of a machine share |
//! | [`link`] | the way to one server, sealed where asked for |
//! | [`ffi`] | the C interface (feature `capi`) |
//! | [`transport`] | one kept-alive connection, over HTTPS that trusts exactly one authority |
//! | [`tls`] | TLS below it, by a time of our own |
//! | [`unix_socket`] | the same over the socket of a server on this machine |
//! | [`device_uuid`] | the UUID that follows from the machine |
//! | [`deduplicator`] | which barcodes of a video stream count |
//! | [`vectors`] | what is said about the vectors that all languages share |

mod by_hand;
pub mod core;
pub mod deduplicator;
pub mod device_uuid;
pub mod error;
#[cfg(feature = "capi")]
pub mod ffi;
pub mod folder;
pub mod license;
pub mod link;
mod product_key;
pub mod settings;
pub mod status;
mod tls;
pub mod transport;
pub mod vectors;
mod worker;

#[cfg(unix)]
mod unix_socket;

pub use deduplicator::Deduplicator;
pub use error::{Code, LicenseError, ServerFailure};
pub use license::License;
pub use settings::{ReleaseOnClose, Settings, UuidMethod};
pub use status::{Listeners, Origin, Status};
