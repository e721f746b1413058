//! What the admin set in the pages: a value under a name, for both servers. The last writer wins
//! by (epoch, version, origin). What a value means is the business of who reads it.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::Error;
use super::ledger::Ledger;
use crate::licensing::ServerUuid;

/// A preference was set or, with no value, taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreferenceChanged {
    /// Its name, such as `server_urls`.
    pub name: String,
    /// Its value, JSON text.
    pub value: Option<String>,
    /// What changed, in words for the audit.
    pub told: String,
    /// Counts changes of role between the servers.
    pub epoch: u64,
    /// Counts changes of this preference.
    pub version: u64,
    /// Who changed it.
    pub by: String,
}

const PUT: &str = "INSERT INTO preferences (name, value, epoch, version, origin) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (name) DO UPDATE SET value = ?2, epoch = ?3, version = ?4, origin = ?5
    WHERE (excluded.epoch, excluded.version, excluded.origin) > (epoch, version, origin)";
const FIND: &str = "SELECT value, version FROM preferences WHERE name = ?1";

pub(super) const STATEMENTS: &[&str] = &[PUT, FIND];

/// The last writer wins.
pub(super) fn apply(ledger: &mut Ledger<'_>, origin: ServerUuid, body: &PreferenceChanged) -> Result<(), Error> {
    let row = params![body.name, body.value, body.epoch as i64, body.version as i64, origin.bytes()];
    ledger.connection().prepare_cached(PUT)?.execute(row)?;
    Ok(())
}

/// The value under a name, JSON text, and how often it was set.
pub fn find(connection: &Connection, name: &str) -> Result<(Option<String>, u64), Error> {
    let row = connection.prepare_cached(FIND)?.query_row(params![name], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64))).optional()?;
    Ok(row.unwrap_or_default())
}

/// The value under a name. One that cannot be read counts as none.
pub fn read<T: for<'de> Deserialize<'de>>(connection: &Connection, name: &str) -> Result<Option<T>, Error> {
    let (value, _) = find(connection, name)?;
    Ok(value.and_then(|json| serde_json::from_str(&json).inspect_err(|error| tracing::warn!(name, %error, "a preference cannot be read")).ok()))
}
