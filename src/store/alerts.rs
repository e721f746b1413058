//! What was told of alerts, and which thresholds were reached when it was (domain §7). Both follow
//! from facts, so that whichever of two servers serves goes on where the other one was.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::Error;
use super::ledger::Ledger;
use crate::clock::Micros;
use crate::licensing::thresholds::{AlertKind, Aspect, Levels, Subject};
use crate::licensing::{ItemId, ServerUuid};

/// Alerts were raised, in one message, or figures fell below thresholds again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertsRaised {
    /// What is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Raised>,
    /// Subjects that are at another threshold than before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<LevelChange>,
    /// Counts changes of role between the servers.
    pub epoch: u64,
}

/// How much an alert presses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Devices are refused, or will be within a day.
    Urgent,
    /// Something will have to be done.
    Warning,
}

impl Severity {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Warning => "warning",
        }
    }
}

/// An alert. It is about an item, a handshake code, or else the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    /// How much it presses.
    pub severity: Severity,
    /// The item, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<ItemId>,
    /// The name of the handshake code, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What was crossed or is wrong, such as `seats_80_percent`.
    pub kind: String,
    /// How things stand, what happens next, and what to do.
    pub text: String,
}

impl Raised {
    /// `item`, `handshake_code` or `server`.
    pub const fn about(&self) -> &'static str {
        match (self.item, &self.code) {
            (Some(_), _) => "item",
            (None, Some(_)) => "handshake_code",
            (None, None) => "server",
        }
    }
}

/// A subject is at another threshold than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelChange {
    /// Of what.
    pub subject: Subject,
    /// Which aspect of it.
    pub aspect: Aspect,
    /// The threshold; absent: below all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<AlertKind>,
    /// Counts changes of this level.
    pub version: u64,
}

/// A line of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, microseconds since 1970.
    pub stamp: Micros,
    /// The server that raised it.
    pub origin: ServerUuid,
    /// What it told.
    pub alert: Raised,
}

const INSERT: &str =
    "INSERT INTO alert_history (stamp, origin, sequence, position, severity, item_id, code, kind, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const PUT_LEVEL: &str = "INSERT INTO alert_levels (subject, level, epoch, version, origin) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (subject) DO UPDATE SET level = ?2, epoch = ?3, version = ?4, origin = ?5
    WHERE (excluded.epoch, excluded.version, excluded.origin) > (epoch, version, origin)";
const LEVELS: &str = "SELECT subject, level, version FROM alert_levels";
const HISTORY: &str = "SELECT stamp, origin, severity, item_id, code, kind, text FROM alert_history
    WHERE ?1 IS NULL OR stamp < ?1 ORDER BY stamp DESC, origin DESC, sequence DESC, position LIMIT ?2";
const LAST_TOLD: &str = "SELECT kind, MAX(stamp) FROM alert_history WHERE origin = ?1 AND item_id IS NULL AND code = '' GROUP BY kind";

pub(super) const STATEMENTS: &[&str] = &[INSERT, PUT_LEVEL, LEVELS, HISTORY, LAST_TOLD];

fn json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Other(format!("an alert cannot be written as JSON: {error}")))
}

/// The history gets its lines; of each level the last writer wins.
pub(super) fn apply(ledger: &mut Ledger<'_>, origin: ServerUuid, sequence: u64, stamp: Micros, body: &AlertsRaised) -> Result<(), Error> {
    let connection = ledger.connection();
    for (position, alert) in body.alerts.iter().enumerate() {
        let item = alert.item.map(|item| item.0 as i64);
        let code = alert.code.as_deref().unwrap_or_default();
        let row = params![stamp, origin.bytes(), sequence as i64, position as i64, alert.severity.name(), item, code, alert.kind, alert.text];
        connection.prepare_cached(INSERT)?.execute(row)?;
    }
    for change in &body.levels {
        let level = change.level.as_ref().map(json).transpose()?;
        let subject = json(&(change.subject, change.aspect))?;
        connection.prepare_cached(PUT_LEVEL)?.execute(params![subject, level, body.epoch as i64, change.version as i64, origin.bytes()])?;
    }
    Ok(())
}

/// What changes when the thresholds that were reached become these.
pub fn changes(connection: &Connection, levels: &Levels) -> Result<(Levels, Vec<LevelChange>), Error> {
    let mut statement = connection.prepare_cached(LEVELS)?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, i64>(2)? as u64)))?;
    let broken = |error: serde_json::Error| Error::Corrupt(format!("a level of alerts cannot be read: {error}"));
    let (mut before, mut versions) = (Levels::new(), std::collections::BTreeMap::new());
    for row in rows {
        let (subject, level, version) = row?;
        let key: (Subject, Aspect) = serde_json::from_str(&subject).map_err(broken)?;
        versions.insert(key, version);
        if let Some(level) = level {
            before.insert(key, serde_json::from_str(&level).map_err(broken)?);
        }
    }
    let keys: std::collections::BTreeSet<_> = before.keys().chain(levels.keys()).copied().collect();
    let changed = keys.into_iter().filter(|key| before.get(key) != levels.get(key)).map(|key| LevelChange {
        subject: key.0,
        aspect: key.1,
        level: levels.get(&key).copied(),
        version: versions.get(&key).copied().unwrap_or(0) + 1,
    });
    let changed = changed.collect();
    Ok((before, changed))
}

/// At most `limit` lines of the history, newest first; with `before` only older ones.
pub fn list(connection: &Connection, before: Option<Micros>, limit: usize) -> Result<Vec<Entry>, Error> {
    let mut statement = connection.prepare_cached(HISTORY)?;
    let rows = statement.query_map(params![before, limit as i64], |row| {
        let severity: String = row.get(2)?;
        let code: String = row.get(4)?;
        Ok(Entry {
            stamp: row.get(0)?,
            origin: ServerUuid::from_bytes(row.get(1)?),
            alert: Raised {
                severity: if severity == Severity::Urgent.name() { Severity::Urgent } else { Severity::Warning },
                item: row.get::<_, Option<i64>>(3)?.map(|id| ItemId(id as u64)),
                code: Some(code).filter(|code| !code.is_empty()),
                kind: row.get(5)?,
                text: row.get(6)?,
            },
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// When this server last told each kind of trouble of its own, seconds since 1970.
pub fn list_told(connection: &Connection, origin: ServerUuid) -> Result<Vec<(String, i64)>, Error> {
    let mut statement = connection.prepare_cached(LAST_TOLD)?;
    let rows = statement.query_map(params![origin.bytes()], |row| Ok((row.get(0)?, row.get::<_, Micros>(1)?.div_euclid(1_000_000))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
