//! Who did what when. Every fact that somebody caused leaves one line here; acts that change
//! nothing else (a login, an export) are facts of their own.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::facts::Body;
use super::ledger::Ledger;
use super::{Error, gaps};
use crate::clock::Micros;
use crate::licensing::ServerUuid;

/// Somebody did something that is to be remembered and changes no table but the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminActed {
    /// Who: a user's name, `token NAME`, or `console`.
    pub by: String,
    /// What, such as `logged_in`.
    pub action: String,
    /// With what.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// More, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The network address it came from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
}

/// A line of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, microseconds since 1970.
    pub stamp: Micros,
    /// The server that recorded it.
    pub origin: ServerUuid,
    /// Its fact number there.
    pub sequence: u64,
    /// Who.
    pub actor: String,
    /// What, such as `license_imported`.
    pub action: String,
    /// With what.
    pub subject: String,
    /// More, in words.
    pub detail: String,
    /// The network address it came from, where that is known.
    pub address: String,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only lines before this one (stamp, origin, sequence).
    pub before: Option<(Micros, ServerUuid, u64)>,
    /// Only by this actor.
    pub actor: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only lines that have this text in subject or detail.
    pub text: Option<String>,
    /// From this time on, microseconds since 1970.
    pub from: Option<Micros>,
    /// Before this time, microseconds since 1970.
    pub to: Option<Micros>,
}

const INSERT: &str = "INSERT INTO audit (stamp, origin, sequence, actor, action, subject, detail, address) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const LIST: &str = "SELECT stamp, origin, sequence, actor, action, subject, detail, address FROM audit
    WHERE (?1 IS NULL OR (stamp, origin, sequence) < (?1, ?2, ?3)) AND (?4 IS NULL OR actor = ?4) AND (?5 IS NULL OR action = ?5)
    AND (?6 IS NULL OR instr(lower(subject), lower(?6)) > 0 OR instr(lower(detail), lower(?6)) > 0) AND stamp >= ?7 AND stamp < ?8
    ORDER BY stamp DESC, origin DESC, sequence DESC LIMIT ?9";
const ACTORS: &str = "SELECT DISTINCT actor FROM audit ORDER BY actor";
const ACTIONS: &str = "SELECT DISTINCT action FROM audit ORDER BY action";

const COUNTS: &str = "SELECT action, COUNT(*) FROM audit GROUP BY action ORDER BY action";

pub(super) const STATEMENTS: &[&str] = &[INSERT, LIST, ACTORS, ACTIONS, COUNTS];

/// How often each action was done.
pub fn count_actions(connection: &Connection) -> Result<std::collections::BTreeMap<String, u64>, Error> {
    let mut statement = connection.prepare_cached(COUNTS)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Actor, action, subject, detail and address of what somebody caused; `None` for what devices do.
fn describe(body: &Body) -> Option<(&str, &str, String, String, &str)> {
    let list = |items: &[crate::licensing::ItemId]| items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Some(match body {
        Body::LicenseImported(body) => {
            let items: Vec<_> = body.items.iter().map(|item| item.item_id).collect();
            let detail = format!("{}; organization {}, items {}", body.alias, body.organization_id, list(&items));
            (&body.by, "license_imported", format!("license {}", body.license_id), detail, "")
        }
        Body::LicenseRevoked(body) => {
            (&body.by, "license_revoked", format!("license {}", body.license_id), format!("items {}: {}", list(&body.items), body.reason), "")
        }
        Body::HandshakeChanged(body) => {
            let action = match (body.deleted, body.version) {
                (true, _) => "handshake_deleted",
                (false, 0 | 1) => "handshake_added",
                (false, _) => "handshake_edited",
            };
            let fields = &body.state.validation;
            let mut detail = format!("items {}", if body.state.items.is_empty() { "none".to_owned() } else { list(&body.state.items) });
            for (name, values) in [("domains", &fields.domains), ("application IDs", &fields.application_ids), ("process names", &fields.process_names)] {
                if !values.is_empty() {
                    detail += &format!("; {name} {}", values.join(", "));
                }
            }
            if let Some(order) = &body.state.custom_order {
                detail += &format!("; order {}", list(order));
            }
            if body.state.sealed_password.is_some() {
                detail += "; with a session password";
            }
            (&body.by, action, format!("{}-{}", body.organization_id, body.custom), detail, "")
        }
        Body::DefaultChosen(body) => (&body.by, "default_chosen", format!("organization {}", body.organization_id), format!("code {}", body.code_id), ""),
        Body::SeatReleased(body) => {
            if !body.by_admin {
                return None;
            }
            (body.by.as_deref().unwrap_or("console"), "seat_released", format!("device {}", body.client), format!("item {}", body.item), "")
        }
        Body::SequenceRaised(body) => {
            let action = if body.reason == gaps::UNHEARD { "numbers_skipped" } else { "facts_lost" };
            ("server", action, format!("facts after {}", body.after), body.reason.clone(), "")
        }
        Body::DeviceReset(body) => (&body.by, "device_reset", format!("device {}", body.client), String::new(), ""),
        Body::StatementIssued(body) => {
            (&body.by, "statement_issued", format!("organization {}", body.organization_id), format!("{} to {}", body.from, body.to), "")
        }
        Body::UserChanged(body) => {
            let action = match (body.deleted, body.version) {
                (true, _) => "user_deleted",
                (false, 1) => "user_added",
                (false, _) => "user_changed",
            };
            (&body.by, action, format!("user {}", body.name), body.role.name().to_owned(), "")
        }
        Body::TokenChanged(body) => {
            let action = if body.deleted { "token_deleted" } else { "token_added" };
            (&body.by, action, format!("token {}", body.name), body.role.name().to_owned(), "")
        }
        Body::PreferenceChanged(body) => (&body.by, "setting_changed", body.name.clone(), body.told.clone(), ""),
        Body::AdminActed(body) => (&body.by, &body.action, body.subject.clone(), body.detail.clone(), &body.address),
        // Alerts have a history of their own.
        Body::AuthorizationGranted(_) | Body::AuthorizationRefused(_) | Body::ReportsAccepted(_) | Body::AlertsRaised(_) => return None,
    })
}

/// Writes the line of a fact, if it has one.
pub(super) fn apply(ledger: &mut Ledger<'_>, origin: ServerUuid, sequence: u64, stamp: Micros, body: &Body) -> Result<(), Error> {
    let Some((actor, action, subject, detail, address)) = describe(body) else { return Ok(()) };
    ledger.connection().prepare_cached(INSERT)?.execute(params![stamp, origin.bytes(), sequence as i64, actor, action, subject, detail, address])?;
    Ok(())
}

/// At most `limit` lines, newest first.
pub fn list(connection: &Connection, filter: &Filter, limit: usize) -> Result<Vec<Entry>, Error> {
    let mut statement = connection.prepare_cached(LIST)?;
    let (stamp, origin, sequence) = match filter.before {
        Some((stamp, origin, sequence)) => (Some(stamp), Some(origin.bytes().to_vec()), Some(sequence as i64)),
        None => (None, None, None),
    };
    let (from, to) = (filter.from.unwrap_or(Micros::MIN), filter.to.unwrap_or(Micros::MAX));
    let rows = statement.query_map(params![stamp, origin, sequence, filter.actor, filter.action, filter.text, from, to, limit as i64], |row| {
        Ok(Entry {
            stamp: row.get(0)?,
            origin: ServerUuid::from_bytes(row.get(1)?),
            sequence: row.get::<_, i64>(2)? as u64,
            actor: row.get(3)?,
            action: row.get(4)?,
            subject: row.get(5)?,
            detail: row.get(6)?,
            address: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Everybody who is named in the audit.
pub fn list_actors(connection: &Connection) -> Result<Vec<String>, Error> {
    names(connection, ACTORS)
}

/// Every action that is named in the audit.
pub fn list_actions(connection: &Connection) -> Result<Vec<String>, Error> {
    names(connection, ACTIONS)
}

fn names(connection: &Connection, sql: &str) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
