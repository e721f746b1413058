//! wip
#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "client")]
pub mod client;
pub mod clock;
#[cfg(feature = "server")]
pub mod commands;
pub mod documents;
#[cfg(feature = "server")]
pub mod http;
pub mod licensing;
pub mod protocol;
#[cfg(feature = "server")]
pub mod settings;
#[cfg(feature = "server")]
pub mod store;
