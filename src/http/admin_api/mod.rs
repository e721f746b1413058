//! What the commands call, and later the admin pages: the same questions and answers for
//! both (protocol §4). Today it is served on the admin socket only.
//!
//! | file | what |
//! | --- | --- |
//! | [`licenses`] | license files, their items, this server's activation request |
//! | [`handshakes`] | handshake codes and their license keys |
//! | [`devices`] | devices and the seats they hold |
//! | [`carried`] | what is carried to and from devices without network |
//! | [`statistics`] | what was used |

pub mod carried;
pub mod devices;
pub mod handshakes;
pub mod licenses;
pub mod statistics;

/// Who asks, for the record: whoever may open the socket acts for the console.
const CONSOLE: &str = "console";
