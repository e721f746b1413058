//! Handshake codes and which one is an organization's default.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::Error;
use super::facts::{DefaultChosen, HandshakeChanged};
use super::ledger::Ledger;
use crate::clock::Micros;
use crate::licensing::validation::ValidationFields;
use crate::licensing::{CodeId, ItemId, OrganizationId, ServerUuid};

/// What an admin sets on a code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its items.
    #[serde(default)]
    pub items: Vec<ItemId>,
    /// The order of use, where the admin chose one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_order: Option<Vec<ItemId>>,
    /// Former custom strings that still lead here.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Validation fields.
    #[serde(flatten)]
    pub validation: ValidationFields,
    /// The session password, sealed under the site's secret key, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_password: Option<String>,
    /// Whether it was made by an import; its name then stays.
    #[serde(default)]
    pub automatic: bool,
}

/// A handshake code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// Its identity, whatever it is called.
    pub code_id: CodeId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// The custom string of its name.
    pub custom: String,
    /// Whether it was deleted; its history stays.
    pub deleted: bool,
    /// When it was made, microseconds since 1970.
    pub created_stamp: Micros,
    /// See [`HandshakeChanged::epoch`].
    pub epoch: u64,
    /// See [`HandshakeChanged::version`].
    pub version: u64,
    /// Everything else.
    pub state: State,
}

impl Handshake {
    /// Its name: `{organization ID}-{custom string}`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.organization_id, self.custom)
    }
}

const UPSERT: &str = "INSERT INTO handshake_codes (code_id, organization_id, custom, deleted, created_stamp, epoch, version, origin, state)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT (code_id) DO UPDATE SET custom = ?3, deleted = ?4, epoch = ?6, version = ?7, origin = ?8, state = ?9
    WHERE (excluded.epoch, excluded.version, excluded.origin) > (epoch, version, origin)";
const UPSERT_DEFAULT: &str = "INSERT INTO default_codes (organization_id, code_id, epoch, version, origin) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (organization_id) DO UPDATE SET code_id = ?2, epoch = ?3, version = ?4, origin = ?5
    WHERE (excluded.epoch, excluded.version, excluded.origin) > (epoch, version, origin)";
const LIST: &str = "SELECT code_id, organization_id, custom, deleted, created_stamp, epoch, version, state FROM handshake_codes";
const LIST_DEFAULTS: &str = "SELECT organization_id, code_id FROM default_codes";
const DEFAULT_VERSION: &str = "SELECT COALESCE(MAX(version), 0) FROM default_codes WHERE organization_id = ?1";

pub(super) const STATEMENTS: &[&str] = &[UPSERT, UPSERT_DEFAULT, LIST, LIST_DEFAULTS, DEFAULT_VERSION];

/// The last writer wins, by (epoch, version, origin).
pub(super) fn apply_changed(ledger: &mut Ledger<'_>, origin: ServerUuid, body: &HandshakeChanged) -> Result<(), Error> {
    let state = serde_json::to_string(&body.state).map_err(|error| Error::Other(error.to_string()))?;
    ledger.connection().prepare_cached(UPSERT)?.execute(params![
        body.code_id.bytes(),
        body.organization_id.as_str(),
        body.custom,
        body.deleted,
        body.created_stamp,
        body.epoch as i64,
        body.version as i64,
        origin.bytes(),
        state
    ])?;
    ledger.forget_catalog();
    Ok(())
}

/// The last writer wins, by (epoch, version, origin).
pub(super) fn apply_default(ledger: &mut Ledger<'_>, origin: ServerUuid, body: &DefaultChosen) -> Result<(), Error> {
    ledger.connection().prepare_cached(UPSERT_DEFAULT)?.execute(params![
        body.organization_id.as_str(),
        body.code_id.bytes(),
        body.epoch as i64,
        body.version as i64,
        origin.bytes()
    ])?;
    ledger.forget_catalog();
    Ok(())
}

/// How often the default of this organization was chosen.
pub fn default_version(ledger: &Ledger<'_>, organization: &OrganizationId) -> Result<u64, Error> {
    let version: i64 = ledger.connection().prepare_cached(DEFAULT_VERSION)?.query_row(params![organization.as_str()], |row| row.get(0))?;
    Ok(version as u64)
}

/// All codes, deleted ones included.
pub fn list(connection: &Connection) -> Result<Vec<Handshake>, Error> {
    let mut statement = connection.prepare_cached(LIST)?;
    let mut rows = statement.query([])?;
    let mut codes = Vec::new();
    while let Some(row) = rows.next()? {
        let state: String = row.get(7)?;
        let organization: String = row.get(1)?;
        codes.push(Handshake {
            code_id: CodeId::from_bytes(row.get(0)?),
            organization_id: organization.parse().map_err(|error| Error::Corrupt(format!("a handshake code: {error}")))?,
            custom: row.get(2)?,
            deleted: row.get(3)?,
            created_stamp: row.get(4)?,
            epoch: row.get::<_, i64>(5)? as u64,
            version: row.get::<_, i64>(6)? as u64,
            state: serde_json::from_str(&state).map_err(|error| Error::Corrupt(format!("a handshake code: {error}")))?,
        });
    }
    Ok(codes)
}

/// The codes that were chosen as default, by organization.
pub fn list_defaults(connection: &Connection) -> Result<Vec<(OrganizationId, CodeId)>, Error> {
    let mut statement = connection.prepare_cached(LIST_DEFAULTS)?;
    let mut rows = statement.query([])?;
    let mut defaults = Vec::new();
    while let Some(row) = rows.next()? {
        let organization: String = row.get(0)?;
        defaults.push((organization.parse().map_err(|error| Error::Corrupt(format!("a default code: {error}")))?, CodeId::from_bytes(row.get(1)?)));
    }
    Ok(defaults)
}
