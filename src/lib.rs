pub mod clock;
pub mod licensing;
pub mod protocol;
#[cfg(feature = "server")]
pub mod store;
