//! Public trials: one for each device, and one for each address in 30 days (domain §3).

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Error;
use super::facts::AuthorizationGranted;
use super::ledger::Ledger;
use crate::clock::Micros;
use crate::licensing::{ClientUuid, ItemId, ServerUuid};

/// A trial that began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The device.
    pub client: ClientUuid,
    /// The item.
    pub item: ItemId,
    /// When it began, seconds since 1970.
    pub started_at: i64,
    /// When it ends, seconds since 1970.
    pub ends_at: i64,
    /// Where its device asked from.
    pub address: String,
}

const UPSERT: &str = "INSERT INTO trials (client_uuid, item_id, started_stamp, origin, ends_at, address) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (client_uuid) DO UPDATE SET item_id = ?2, started_stamp = ?3, origin = ?4, ends_at = ?5, address = ?6
    WHERE (excluded.started_stamp, excluded.origin) < (started_stamp, origin)";
const FIND: &str = "SELECT client_uuid, item_id, started_stamp, ends_at, address FROM trials WHERE client_uuid = ?1";
const FIND_FROM: &str = "SELECT client_uuid, item_id, started_stamp, ends_at, address FROM trials
    WHERE address = ?1 AND started_stamp >= ?2 ORDER BY started_stamp DESC LIMIT 1";

pub(super) const STATEMENTS: &[&str] = &[UPSERT, FIND, FIND_FROM];

/// The earliest beginning counts.
pub(super) fn apply(ledger: &mut Ledger<'_>, origin: ServerUuid, stamp: Micros, body: &AuthorizationGranted) -> Result<(), Error> {
    let Some(trial) = &body.trial else { return Ok(()) };
    let connection: &Connection = ledger.connection();
    connection.prepare_cached(UPSERT)?.execute(params![body.client.bytes(), trial.item.0 as i64, stamp, origin.bytes(), trial.ends_at, trial.address])?;
    Ok(())
}

/// The trial of a device, if it ever had one.
pub fn find(ledger: &Ledger<'_>, client: ClientUuid) -> Result<Option<Trial>, Error> {
    Ok(ledger.connection().prepare_cached(FIND)?.query_row(params![client.bytes()], read).optional()?)
}

/// The latest trial that began at an address in a later second than this, if there is one.
pub fn find_from(ledger: &Ledger<'_>, address: &str, after: i64) -> Result<Option<Trial>, Error> {
    Ok(ledger.connection().prepare_cached(FIND_FROM)?.query_row(params![address, (after + 1) * 1_000_000], read).optional()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Trial> {
    Ok(Trial {
        client: ClientUuid::from_bytes(row.get(0)?),
        item: ItemId(row.get::<_, i64>(1)? as u64),
        started_at: row.get::<_, Micros>(2)?.div_euclid(1_000_000),
        ends_at: row.get(3)?,
        address: row.get(4)?,
    })
}
