//! Why requests were refused: the latest of each device, for 30 days.

use rusqlite::{Connection, params};

use super::Error;
use super::facts::{AuthorizationRefused, TriedItem};
use super::ledger::Ledger;
use crate::clock::Micros;
use crate::licensing::{ClientUuid, CodeId, ServerUuid};

/// How long a refusal is kept, in microseconds.
pub const KEPT: Micros = 30 * 86_400 * 1_000_000;
/// How many are kept of one device.
pub const KEPT_OF_A_DEVICE: usize = 20;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The device.
    pub client: ClientUuid,
    /// When, seconds since 1970.
    pub at: i64,
    /// The code it was refused under, if there is such a code.
    pub code: Option<CodeId>,
    /// The code or organization that the request named.
    pub asked: String,
    /// The error code of domain §9.
    pub reason: u16,
    /// In words.
    pub detail: String,
    /// How far each item got.
    pub tried: Vec<TriedItem>,
}

const LATEST: &str = "SELECT COALESCE(MAX(stamp), 0) FROM refusals";
const INSERT: &str = "INSERT INTO refusals (client_uuid, stamp, origin, code_id, asked, reason, detail, tried) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const PURGE: &str = "DELETE FROM refusals WHERE stamp < ?1";
const PURGE_OF_DEVICE: &str = "DELETE FROM refusals WHERE client_uuid = ?1 AND (stamp, origin) NOT IN
    (SELECT stamp, origin FROM refusals WHERE client_uuid = ?1 ORDER BY stamp DESC, origin DESC LIMIT ?2)";
const LIST: &str = "SELECT client_uuid, stamp, code_id, asked, reason, detail, tried FROM refusals
    WHERE client_uuid = ?1 AND stamp >= ?2 ORDER BY stamp DESC, origin DESC LIMIT ?3";
const LIST_LATEST: &str = "SELECT client_uuid, stamp, code_id, asked, reason, detail, tried FROM refusals WHERE stamp >= ?1 ORDER BY stamp DESC LIMIT ?2";

pub(super) const STATEMENTS: &[&str] = &[LATEST, INSERT, PURGE, PURGE_OF_DEVICE, LIST, LIST_LATEST];

/// Keeps a refusal and drops what is too old beside it. What stays does not depend on the
/// order in which refusals come.
pub(super) fn apply(ledger: &mut Ledger<'_>, origin: ServerUuid, stamp: Micros, body: &AuthorizationRefused) -> Result<(), Error> {
    let Some(tried) = &body.tried else { return Ok(()) };
    let connection = ledger.connection();
    let latest: Micros = connection.prepare_cached(LATEST)?.query_row([], |row| row.get(0))?;
    if stamp < latest - KEPT {
        return Ok(());
    }
    let tried = serde_json::to_string(tried).map_err(|error| Error::Other(error.to_string()))?;
    let code = body.code.map(|code| code.bytes().to_vec());
    connection.prepare_cached(INSERT)?.execute(params![body.client.bytes(), stamp, origin.bytes(), code, body.asked, body.reason, body.detail, tried])?;
    if stamp > latest {
        connection.prepare_cached(PURGE)?.execute(params![stamp - KEPT])?;
    }
    connection.prepare_cached(PURGE_OF_DEVICE)?.execute(params![body.client.bytes(), KEPT_OF_A_DEVICE as i64])?;
    Ok(())
}

/// The latest refusals of a device since a time (seconds), newest first.
pub fn list(connection: &Connection, client: ClientUuid, since: i64, limit: usize) -> Result<Vec<Refusal>, Error> {
    let mut statement = connection.prepare_cached(LIST)?;
    let rows = statement.query(params![client.bytes(), since * 1_000_000, limit as i64])?;
    read(rows)
}

/// The latest refusals of all devices since a time (seconds), newest first.
pub fn list_latest(connection: &Connection, since: i64, limit: usize) -> Result<Vec<Refusal>, Error> {
    let mut statement = connection.prepare_cached(LIST_LATEST)?;
    let rows = statement.query(params![since * 1_000_000, limit as i64])?;
    read(rows)
}

fn read(mut rows: rusqlite::Rows<'_>) -> Result<Vec<Refusal>, Error> {
    let mut refusals = Vec::new();
    while let Some(row) = rows.next()? {
        let tried: String = row.get(6)?;
        refusals.push(Refusal {
            client: ClientUuid::from_bytes(row.get(0)?),
            at: row.get::<_, Micros>(1)?.div_euclid(1_000_000),
            code: row.get::<_, Option<[u8; 16]>>(2)?.map(CodeId::from_bytes),
            asked: row.get(3)?,
            reason: row.get(4)?,
            detail: row.get(5)?,
            tried: serde_json::from_str(&tried).map_err(|error| Error::Corrupt(format!("a refusal: {error}")))?,
        });
    }
    Ok(refusals)
}
