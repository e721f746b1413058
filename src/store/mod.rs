//! SQLite, and the facts in it (architecture §2, §3). Nobody else writes SQL.
//!
//! | file | what |
//! | --- | --- |
//! | [`facts`] | the journal: record, replay, apply, the chain of hashes |
//! | [`writer`] | the one thread that writes, and group commit |
//! | [`ledger`] | what a command sees inside its transaction |
//! | [`catalog`] | licenses, items and codes in memory |
//! | [`clients`] | the short numbers of client UUIDs |
//! | [`licenses`] [`handshakes`] [`devices`] [`seats`] [`reports`] [`usage`] | a noun each: its SQL and how facts change it |
//! | [`slots`] [`trials`] [`refusals`] [`statements`] | the same for concurrent use, public trials, why requests were refused, usage statements |
//! | [`statistics`] | what the statistics show |
//! | [`presence`] | which devices were at work in a slot, on a day |
//! | [`accounts`] [`preferences`] [`audit`] | who administers, what they set, and what they did |
//! | [`alerts`] | what was told of alerts, and which thresholds are reached |
//! | [`gaps`] | facts that a server lost |
//! | [`local`] [`outbox`] | what is this machine's alone; messages that it has still to send |
//! | [`snapshot`] | copies of the whole database, made while it is in use |
//! | [`open`] | pragmas and migrations |
//! | [`rebuild`] | proof that the tables follow from the journal |
//! | [`error`] | what can be wrong |

pub mod accounts;
pub mod alerts;
pub mod audit;
pub mod catalog;
mod clients;
pub mod devices;
pub mod error;
pub mod facts;
pub mod gaps;
pub mod handshakes;
pub mod ledger;
pub mod licenses;
pub mod local;
pub mod open;
pub mod outbox;
pub mod preferences;
pub mod presence;
pub mod rebuild;
pub mod refusals;
pub mod reports;
pub mod seats;
pub mod slots;
pub mod snapshot;
pub mod statements;
pub mod statistics;
pub mod trials;
pub mod usage;
pub mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use r2d2_sqlite::SqliteConnectionManager;

use crate::clock::Clock;
use crate::licensing::ServerUuid;

pub use error::Error;
pub use ledger::Ledger;
pub use writer::{Command, Writer};

/// A connection that only reads, on a snapshot of its own.
pub type Reader = r2d2::PooledConnection<SqliteConnectionManager>;

/// Every statement that is prepared by name, with its file: for the test that prepares
/// them all on a migrated database.
pub fn list_statements() -> Vec<(&'static str, &'static str)> {
    [
        ("facts", facts::STATEMENTS),
        ("licenses", licenses::STATEMENTS),
        ("handshakes", handshakes::STATEMENTS),
        ("clients", clients::STATEMENTS),
        ("devices", devices::STATEMENTS),
        ("seats", seats::STATEMENTS),
        ("reports", reports::STATEMENTS),
        ("usage", usage::STATEMENTS),
        ("slots", slots::STATEMENTS),
        ("trials", trials::STATEMENTS),
        ("refusals", refusals::STATEMENTS),
        ("statements", statements::STATEMENTS),
        ("accounts", accounts::STATEMENTS),
        ("audit", audit::STATEMENTS),
        ("preferences", preferences::STATEMENTS),
        ("presence", presence::STATEMENTS),
        ("statistics", statistics::STATEMENTS),
        ("alerts", alerts::STATEMENTS),
        ("gaps", gaps::STATEMENTS),
        ("local", local::STATEMENTS),
        ("outbox", outbox::STATEMENTS),
    ]
    .into_iter()
    .flat_map(|(file, statements)| statements.iter().map(move |sql| (file, *sql)))
    .collect()
}

/// The open database: one writer, several readers.
pub struct Store {
    writer: Writer,
    readers: r2d2::Pool<SqliteConnectionManager>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Starts the writer on an open connection, and readers beside it.
    pub fn start(path: &Path, connection: rusqlite::Connection, origin: ServerUuid, clock: Arc<dyn Clock>, queue: usize) -> Result<Self, Error> {
        let manager = SqliteConnectionManager::file(path).with_init(|connection| {
            open::prepare(connection)?;
            connection.pragma_update(None, "query_only", true)
        });
        let readers = r2d2::Pool::builder().max_size(4).min_idle(Some(1)).test_on_check_out(false).build(manager)?;
        let (writer, thread) = Writer::start(connection, origin, clock, queue)?;
        Ok(Self { writer, readers, thread: Mutex::new(Some(thread)) })
    }

    /// The way to write.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// A connection that only reads. Blocks while all are in use.
    pub fn reader(&self) -> Result<Reader, Error> {
        Ok(self.readers.get()?)
    }

    /// Writes everything that is queued and closes the file. Whoever still holds a
    /// [`Writer`] gets [`Error::Stopped`] from then on.
    pub fn close(&self) {
        self.writer.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer thread had panicked");
        }
    }
}
