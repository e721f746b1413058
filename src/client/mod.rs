//! The device's side: what an application links (feature `client`, a small dependency set).
//!
//! | file | what |
//! | --- | --- |
//! | [`transport`] | one kept-alive way to a server, over HTTPS that trusts exactly one authority |
//! | [`unix_socket`] | the same over the socket of a server on this machine |

pub mod transport;

#[cfg(unix)]
mod unix_socket;
