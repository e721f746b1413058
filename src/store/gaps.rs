//! Facts that a server lost, such as by a restored backup. It counts on from far above them
//! ([`super::facts::raise`]); what the partner has of them comes back, and devices are told of the
//! rest, so that they send again what they reported then. Where a loss is only possible it does so, too:
//! see [`UNHEARD`].

use rusqlite::{Connection, params};

use super::facts::SequenceRaised;
use super::ledger::Ledger;
use super::{Error, facts};
use crate::clock::Micros;
use crate::licensing::ServerUuid;

/// Numbers of facts between two that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The server whose facts they are.
    pub origin: ServerUuid,
    /// The last one before the gap.
    pub after: u64,
    /// The last one of those in the gap that came back, or `after`.
    pub held: u64,
    /// The first one above the gap.
    pub resumed: u64,
    /// When it was found out, seconds since 1970.
    pub at: i64,
    /// Whether nobody knows that there was anything: see [`UNHEARD`].
    pub is_precaution: bool,
}

/// Why a server counts on from far above its last fact although nobody told it of a loss.
pub const UNHEARD: &str = "this server was started anew and began to record before it heard its partner, which may hold more of its facts";

/// How long devices are told of lost facts: they keep their reports no longer (domain §5).
pub const TOLD_SECONDS: i64 = 31 * 86_400;

const INSERT: &str = "INSERT INTO gaps (origin, resumed, after, stamp, reason) VALUES (?1, ?2, ?3, ?4, ?5)";
const LIST: &str = "SELECT origin, after, resumed, stamp, reason,
    (SELECT sequence FROM journal AS j WHERE j.origin = g.origin AND j.sequence < g.resumed ORDER BY sequence DESC LIMIT 1) FROM gaps AS g ORDER BY origin, resumed";

pub(super) const STATEMENTS: &[&str] = &[INSERT, LIST];

pub(super) fn apply(ledger: &mut Ledger<'_>, origin: ServerUuid, sequence: u64, stamp: Micros, body: &SequenceRaised) -> Result<(), Error> {
    let values = params![origin.bytes(), sequence as i64, body.after as i64, stamp, body.reason];
    ledger.connection().prepare_cached(INSERT)?.execute(values)?;
    ledger.forget_catalog();
    Ok(())
}

/// All of them.
pub fn list(connection: &Connection) -> Result<Vec<Gap>, Error> {
    let mut statement = connection.prepare_cached(LIST)?;
    let rows = statement.query_map([], |row| {
        let (after, held): (i64, Option<i64>) = (row.get(1)?, row.get(5)?);
        Ok(Gap {
            origin: ServerUuid::from_bytes(row.get(0)?),
            after: after as u64,
            held: held.unwrap_or(0).max(after) as u64,
            resumed: row.get::<_, i64>(2)? as u64,
            at: row.get::<_, Micros>(3)?.div_euclid(1_000_000),
            is_precaution: row.get::<_, String>(4)? == UNHEARD,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is held of each origin, gap by gap: the number from which it is counted, and the last one
/// held from there on without a gap.
pub fn list_held(connection: &Connection) -> Result<Vec<(ServerUuid, u64, u64)>, Error> {
    let gaps = list(connection)?;
    let mut held = Vec::new();
    for origin in facts::list_origins(connection)? {
        let mut from = 0;
        for gap in gaps.iter().filter(|gap| gap.origin == origin) {
            held.push((origin, from, gap.held));
            from = gap.resumed;
        }
        held.push((origin, from, facts::head(connection, origin)?.sequence));
    }
    Ok(held)
}
