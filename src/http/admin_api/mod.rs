//! What commands, pages and programs with a token call: the same questions and answers for
//! all of them (protocol §4).
//!
//! | file | what |
//! | --- | --- |
//! | [`licenses`] | license files, their items, this server's activation request |
//! | [`handshakes`] | handshake codes and their license keys |
//! | [`devices`] | devices and the seats they hold |
//! | [`carried`] | what is carried to and from devices without network |
//! | [`statistics`] [`trend`] [`details`] | what was used: in sum, day by day, one day in detail |

pub mod carried;
pub mod details;
pub mod devices;
pub mod handshakes;
pub mod licenses;
pub mod statistics;
pub mod trend;
