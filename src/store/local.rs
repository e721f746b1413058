//! What belongs to this machine alone and is never replicated: identity, sealed keys.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Error;

const GET: &str = "SELECT value FROM local WHERE name = ?1";
const PUT: &str = "INSERT INTO local (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";

pub(super) const STATEMENTS: &[&str] = &[GET, PUT];

/// A value by its name.
pub fn find(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>, Error> {
    Ok(connection.prepare_cached(GET)?.query_row(params![name], |row| row.get(0)).optional()?)
}

/// Sets a value.
pub fn put(connection: &Connection, name: &str, value: &[u8]) -> Result<(), Error> {
    connection.prepare_cached(PUT)?.execute(params![name, value])?;
    Ok(())
}

/// See [`super::Ledger::epoch`]; 0 where nothing ever changed.
pub fn read_epoch(connection: &Connection) -> Result<u64, Error> {
    let found = find(connection, "epoch")?;
    Ok(found.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?))).unwrap_or(0))
}

pub(super) fn put_epoch(connection: &Connection, epoch: u64) -> Result<(), Error> {
    put(connection, "epoch", &epoch.to_be_bytes())
}

/// Whether this server may have recorded more than its journal tells: see [`super::Ledger::be_sure`].
pub(super) fn is_unsure(connection: &Connection) -> Result<bool, Error> {
    Ok(find(connection, "unsure")?.is_some_and(|value| !value.is_empty()))
}

/// See [`is_unsure`].
pub fn put_unsure(connection: &Connection, is_unsure: bool) -> Result<(), Error> {
    if self::is_unsure(connection)? == is_unsure {
        return Ok(());
    }
    put(connection, "unsure", if is_unsure { b"1" } else { b"" })
}

/// Whether facts wait in the journal for a newer program to be applied.
pub(super) fn has_unapplied(connection: &Connection) -> Result<bool, Error> {
    Ok(find(connection, "unapplied")?.is_some_and(|value| !value.is_empty()))
}

pub(super) fn put_unapplied(connection: &Connection, are_there: bool) -> Result<(), Error> {
    put(connection, "unapplied", if are_there { b"1" } else { b"" })
}
