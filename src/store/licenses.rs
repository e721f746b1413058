//! Licenses and their items.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::Error;
use super::facts::{LicenseImported, LicenseRevoked};
use super::ledger::Ledger;
use crate::clock::Micros;
use crate::licensing::{ItemId, LicenseId, LicenseItem, OrganizationId};

/// A license as imported.
#[derive(Debug, Clone)]
pub struct License {
    /// Its number.
    pub license_id: LicenseId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// Its alias.
    pub alias: String,
    /// When the vendor issued it, seconds since 1970.
    pub issued_at: i64,
    /// When it was imported, seconds since 1970.
    pub imported_at: i64,
    /// The vendor's key.
    pub vendor_kid: String,
    /// The signed file, compact JWS.
    pub document: String,
}

const UPSERT: &str = "INSERT INTO licenses (license_id, organization_id, alias, issued_at, imported_at, vendor_kid, document)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (license_id) DO UPDATE SET organization_id = ?2, alias = ?3, issued_at = ?4, vendor_kid = ?6, document = ?7,
        imported_at = CASE WHEN document = ?7 THEN MIN(imported_at, ?5) ELSE ?5 END
    WHERE (excluded.issued_at, excluded.document) >= (issued_at, document)";
const REMOVE_ITEMS: &str = "DELETE FROM items WHERE license_id = ?1";
const INSERT_ITEM: &str = "INSERT INTO items (license_id, item_id, position, terms) VALUES (?1, ?2, ?3, ?4)";
const LIST: &str = "SELECT license_id, organization_id, alias, issued_at, imported_at, vendor_kid, document FROM licenses ORDER BY license_id";
const LIST_ITEMS: &str = "SELECT terms FROM items WHERE license_id = ?1 ORDER BY position";
const REVOKE: &str = "INSERT INTO revocations (license_id, item_id, vendor_kid, revoked_at, reason) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (license_id, item_id, vendor_kid) DO UPDATE SET revoked_at = ?4, reason = ?5 WHERE (excluded.revoked_at, excluded.reason) < (revoked_at, reason)";
const LIST_REVOCATIONS: &str = "SELECT license_id, item_id, revoked_at, reason FROM revocations NATURAL JOIN licenses";

pub(super) const STATEMENTS: &[&str] = &[UPSERT, REMOVE_ITEMS, INSERT_ITEM, LIST, LIST_ITEMS, REVOKE, LIST_REVOCATIONS];

/// An item that the vendor revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// When the vendor did, seconds since 1970.
    pub at: i64,
    /// Why, in the vendor's words.
    pub reason: String,
}

/// The latest issue of a license wins; when both servers imported it, the earlier import is
/// the one to show.
pub(super) fn apply_imported(ledger: &mut Ledger<'_>, stamp: Micros, body: &LicenseImported) -> Result<(), Error> {
    let connection = ledger.connection();
    let id = body.license_id.0 as i64;
    let changed = connection.prepare_cached(UPSERT)?.execute(params![
        id,
        body.organization_id.as_str(),
        body.alias,
        body.issued_at,
        stamp.div_euclid(1_000_000),
        body.vendor_kid,
        body.document
    ])?;
    if changed > 0 {
        connection.prepare_cached(REMOVE_ITEMS)?.execute(params![id])?;
        for (position, item) in body.items.iter().enumerate() {
            let terms = serde_json::to_string(item).map_err(|error| Error::Other(error.to_string()))?;
            connection.prepare_cached(INSERT_ITEM)?.execute(params![id, item.item_id.0 as i64, position as i64, terms])?;
        }
        ledger.forget_catalog();
    }
    Ok(())
}

/// Keeps the earliest revocation of each item.
pub(super) fn apply_revoked(ledger: &mut Ledger<'_>, body: &LicenseRevoked) -> Result<(), Error> {
    for item in &body.items {
        ledger.connection().prepare_cached(REVOKE)?.execute(params![body.license_id.0 as i64, item.0 as i64, body.vendor_kid, body.issued_at, body.reason])?;
    }
    ledger.forget_catalog();
    Ok(())
}

/// The items of installed licenses that their own vendor revoked, each with its license:
/// another license may have the number by now.
pub fn list_revoked(connection: &Connection) -> Result<HashMap<(LicenseId, ItemId), Revoked>, Error> {
    let mut statement = connection.prepare_cached(LIST_REVOCATIONS)?;
    let rows = statement.query_map([], |row| {
        let (license, item) = (LicenseId(row.get::<_, i64>(0)? as u64), ItemId(row.get::<_, i64>(1)? as u64));
        Ok(((license, item), Revoked { at: row.get(2)?, reason: row.get(3)? }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All licenses with their items.
pub fn list(connection: &Connection) -> Result<Vec<(License, Vec<LicenseItem>)>, Error> {
    let mut statement = connection.prepare_cached(LIST)?;
    let mut rows = statement.query([])?;
    let mut licenses = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let organization: String = row.get(1)?;
        let license = License {
            license_id: LicenseId(id as u64),
            organization_id: organization.parse().map_err(|error| Error::Corrupt(format!("license {id}: {error}")))?,
            alias: row.get(2)?,
            issued_at: row.get(3)?,
            imported_at: row.get(4)?,
            vendor_kid: row.get(5)?,
            document: row.get(6)?,
        };
        licenses.push((license, list_items(connection, id)?));
    }
    Ok(licenses)
}

fn list_items(connection: &Connection, license_id: i64) -> Result<Vec<LicenseItem>, Error> {
    let mut statement = connection.prepare_cached(LIST_ITEMS)?;
    let rows = statement.query_map(params![license_id], |row| row.get::<_, String>(0))?;
    rows.map(|terms| serde_json::from_str(&terms?).map_err(|error| Error::Corrupt(format!("an item of license {license_id}: {error}")))).collect()
}
