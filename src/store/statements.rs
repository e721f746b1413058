//! Usage statements that were made: the next one names the one before.

use chrono::NaiveDate;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::Error;
use super::facts::{Hash, StatementIssued};
use super::ledger::Ledger;
use crate::clock::Micros;
use crate::licensing::{OrganizationId, ServerUuid};

/// A statement that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its id.
    pub id: Uuid,
    /// Its last day.
    pub to: NaiveDate,
    /// Where the journal stood.
    pub head_sequence: u64,
    /// The hash of that fact.
    pub head_hash: Hash,
}

const INSERT: &str = "INSERT INTO statements (statement_id, organization_id, vendor_kid, stamp, origin, to_day, head_sequence, head_hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";
const LATEST: &str = "SELECT statement_id, to_day, head_sequence, head_hash FROM statements
    WHERE organization_id = ?1 AND vendor_kid = ?2 AND origin = ?3 ORDER BY stamp DESC LIMIT 1";
const HASH_AT: &str = "SELECT hash FROM journal WHERE origin = ?1 AND sequence = ?2";

pub(super) const STATEMENTS: &[&str] = &[INSERT, LATEST, HASH_AT];

/// Days from 0001-01-01 to 1970-01-01, as chrono counts.
const EPOCH: i32 = 719_163;

/// Remembers a statement.
pub(super) fn apply(ledger: &mut Ledger<'_>, origin: ServerUuid, stamp: Micros, body: &StatementIssued) -> Result<(), Error> {
    use chrono::Datelike as _;
    ledger.connection().prepare_cached(INSERT)?.execute(params![
        body.statement_id.as_bytes(),
        body.organization_id.as_str(),
        body.vendor_kid,
        stamp,
        origin.bytes(),
        body.to.num_days_from_ce() - EPOCH,
        body.head_sequence as i64,
        body.head_hash
    ])?;
    Ok(())
}

/// The last statement of this server about an organization for a vendor.
pub fn find_latest(connection: &Connection, organization: &OrganizationId, vendor_kid: &str, origin: ServerUuid) -> Result<Option<Statement>, Error> {
    let row = connection
        .prepare_cached(LATEST)?
        .query_row(params![organization.as_str(), vendor_kid, origin.bytes()], |row| {
            let to = NaiveDate::from_num_days_from_ce_opt(row.get::<_, i32>(1)?.saturating_add(EPOCH)).unwrap_or_default();
            Ok(Statement { id: Uuid::from_bytes(row.get(0)?), to, head_sequence: row.get::<_, i64>(2)? as u64, head_hash: row.get(3)? })
        })
        .optional()?;
    Ok(row)
}

/// The hash that the journal has at a fact of an origin.
pub fn hash_at(connection: &Connection, origin: ServerUuid, sequence: u64) -> Result<Option<Hash>, Error> {
    Ok(connection.prepare_cached(HASH_AT)?.query_row(params![origin.bytes(), sequence as i64], |row| row.get(0)).optional()?)
}
