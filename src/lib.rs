//! wip
pub mod clock;
pub mod licensing;
pub mod protocol;
pub mod documents;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod commands;
