//! What commands, pages and programs with a token call: the same questions and answers for
//! all of them (protocol §4).
//!
//! | file | what |
//! | --- | --- |
//! | [`licenses`] | license files: list, import, download; this server's activation request |
//! | [`items`] | license items and what of them is used |
//! | [`vendors`] | whose licenses can be imported |
//! | [`handshakes`] | handshake codes and their license keys |
//! | [`devices`] | devices and the seats they hold |
//! | [`carried`] | what is carried to and from devices without network |
//! | [`statistics`] [`trend`] [`details`] | what was used: in sum, day by day, one day in detail |
//! | [`alerts`] [`alert_ways`] | what is over a threshold now and what was told; how that leaves |
//! | [`audit`] | who did what when, and whether the journal is in order |
//! | [`users`] [`sessions`] [`tokens`] | who may come in, and who is in |
//! | [`certificate`] | what HTTPS shows |
//! | [`doctor`] | what the server finds when it looks at itself |
//! | [`servers`] | this server and its partner |
//! | [`standby`] | two servers become a pair, change their roles, and part |
//! | [`backups`] | copies of the database, and the way back from one |
//! | [`log_level`] | how much the log tells |
//! | [`settings`] | what the admin sets while it runs |
//! | `description` | the description of these last ones |

pub mod alert_ways;
pub mod alerts;
pub mod audit;
pub mod backups;
pub mod carried;
pub mod certificate;
#[cfg(test)]
pub(super) mod description;
pub mod details;
pub mod devices;
pub mod doctor;
pub mod handshakes;
pub mod items;
pub mod licenses;
pub mod log_level;
pub mod servers;
pub mod sessions;
pub mod settings;
pub mod standby;
pub mod statistics;
pub mod tokens;
pub mod trend;
pub mod users;
pub mod vendors;
