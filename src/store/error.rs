//! What can be wrong with the store. A refusal is never an error; an error means that
//! something is broken or full, and that nothing was promised.

use rusqlite::ErrorCode as Sqlite;

/// Why the store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No room on the disk.
    #[error("the disk is full: make room on the file system of the data directory")]
    DiskFull,
    /// The file or its file system cannot be written.
    #[error("the database cannot be written: check the owner and mode of the data directory, and whether its file system is read-only")]
    ReadOnly,
    /// The file is damaged.
    #[error("the database is damaged ({0}): stop the server and restore a backup")]
    Corrupt(String),
    /// The disk failed.
    #[error("reading or writing the database failed: {0}")]
    Io(String),
    /// The file was written by a newer version.
    #[error("the database has version {found}, this program knows versions up to {known}: use the newer program again, or restore a backup made with this one")]
    NewerDatabase {
        /// Version of the file.
        found: i64,
        /// Newest version this program knows.
        known: i64,
    },
    /// Too much is waiting to be written.
    #[error("the server is busy: too many requests are waiting")]
    QueueFull,
    /// The writer has stopped.
    #[error("the server is stopping")]
    Stopped,
    /// A fact does not follow from the ones before it.
    #[error("the journal's chain is broken: {0}")]
    Chain(String),
    /// A command panicked; it was undone.
    #[error("an internal error was undone: {0}")]
    Panic(String),
    /// Anything else that SQLite reports.
    #[error("database error: {0}")]
    Other(String),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(Sqlite::DiskFull) => Self::DiskFull,
            Some(Sqlite::ReadOnly | Sqlite::CannotOpen | Sqlite::PermissionDenied) => Self::ReadOnly,
            Some(Sqlite::DatabaseCorrupt | Sqlite::NotADatabase) => Self::Corrupt(text),
            Some(Sqlite::SystemIoFailure) => Self::Io(text),
            _ => Self::Other(text),
        }
    }
}

impl From<r2d2::Error> for Error {
    fn from(error: r2d2::Error) -> Self {
        Self::Io(format!("no reading connection: {error}"))
    }
}
