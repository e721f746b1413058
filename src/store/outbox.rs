//! Messages that this machine has still to send. They belong to it alone, as [`super::local`] does:
//! neither a partner nor a backup that is put in place sends them once more.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Error;
use super::ledger::Ledger;

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its number.
    pub id: i64,
    /// When it was made, seconds since 1970.
    pub made_at: i64,
    /// How often it was tried.
    pub tries: u32,
    /// The message, JSON.
    pub body: String,
}

const PUT: &str = "INSERT INTO outbox (way, made_at, due_at, tries, body) VALUES (?1, ?2, ?2, 0, ?3)";
// A clock that was set back must not keep a message for longer than it would ever wait.
const NEXT: &str = "SELECT id, made_at, tries, body FROM outbox WHERE way = ?1 AND (due_at <= ?2 OR due_at > ?2 + 3600) ORDER BY due_at, id LIMIT 1";
const DELAY: &str = "UPDATE outbox SET due_at = ?2, tries = tries + 1 WHERE id = ?1";
const REMOVE: &str = "DELETE FROM outbox WHERE id = ?1";
const COUNT: &str = "SELECT COUNT(*) FROM outbox WHERE way = ?1";
const CLEAR: &str = "DELETE FROM outbox WHERE way = ?1";

pub(super) const STATEMENTS: &[&str] = &[PUT, NEXT, DELAY, REMOVE, COUNT, CLEAR];

/// Has a message wait for a way out, to be tried at once.
pub fn put(ledger: &Ledger<'_>, way: &str, now: i64, body: &str) -> Result<(), Error> {
    ledger.connection().prepare_cached(PUT)?.execute(params![way, now, body])?;
    Ok(())
}

/// The message that this way has to try first, if one is due.
pub fn find_due(connection: &Connection, way: &str, now: i64) -> Result<Option<Waiting>, Error> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Waiting { id: row.get(0)?, made_at: row.get(1)?, tries: row.get::<_, i64>(2)?.try_into().unwrap_or(u32::MAX), body: row.get(3)? })
    };
    Ok(connection.prepare_cached(NEXT)?.query_row(params![way, now], read).optional()?)
}

/// It failed once more, and is tried again at `due_at`.
pub fn delay(ledger: &Ledger<'_>, id: i64, due_at: i64) -> Result<(), Error> {
    ledger.connection().prepare_cached(DELAY)?.execute(params![id, due_at])?;
    Ok(())
}

/// It was sent, or is given up.
pub fn remove(ledger: &Ledger<'_>, id: i64) -> Result<(), Error> {
    ledger.connection().prepare_cached(REMOVE)?.execute(params![id])?;
    Ok(())
}

/// How many wait for a way out.
pub fn count(connection: &Connection, way: &str) -> Result<u64, Error> {
    Ok(connection.prepare_cached(COUNT)?.query_row(params![way], |row| row.get::<_, i64>(0))? as u64)
}

/// Forgets what waits for a way that is closed.
pub fn clear(ledger: &Ledger<'_>, way: &str) -> Result<(), Error> {
    ledger.connection().prepare_cached(CLEAR)?.execute(params![way])?;
    Ok(())
}
