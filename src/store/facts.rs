//! Facts: what the server remembers (architecture §2). A fact is small, never changes,
//! and says from which server it comes; the journal keeps them as a chain of hashes.
//!
//! [`record`] makes a fact of this server's own, [`replay`] takes one of its partner's;
//! both go through one [`apply`], and nothing else ever changes the tables that people
//! read. Applying is insensitive to the order between origins.

use aws_lc_rs::digest;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::ledger::Ledger;
use super::{Error, accounts, alerts, audit, devices, gaps, handshakes, licenses, local, preferences, refusals, reports, seats, statements, trials, usage};
use crate::clock::Micros;
use crate::licensing::ServerUuid;

mod body;

pub use body::*;

/// The hash of a link of the chain, or of the nothing before the first.
pub type Hash = [u8; 32];

/// The nothing before the first fact.
pub const GENESIS: Hash = [0; 32];

/// A row of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The server it comes from.
    pub origin: ServerUuid,
    /// Its number there: 1, 2, 3 … without gaps.
    pub sequence: u64,
    /// When, in microseconds since 1970; grows within an origin.
    pub stamp: Micros,
    /// The kind of body.
    pub kind: String,
    /// The body, JSON.
    pub json: Vec<u8>,
    /// Hash over all this and the hash before.
    pub hash: Hash,
}

impl Fact {
    /// What it says if it is the one kind of fact that does not follow the one before it; no other
    /// body need be read to verify the chain.
    fn read_raised(&self) -> Result<Option<SequenceRaised>, Error> {
        if self.kind != SEQUENCE_RAISED {
            return Ok(None);
        }
        let broken = |error: serde_json::Error| Error::Corrupt(format!("fact {} of {} cannot be read: {error}", self.sequence, self.origin));
        serde_json::from_slice(&self.json).map(Some).map_err(broken)
    }
}

/// The last fact of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 before the first.
    pub sequence: u64,
    /// Its time.
    pub stamp: Micros,
    /// Its hash.
    pub hash: Hash,
}

/// Hash of a fact: SHA-256 over the hash before it, origin, number, time, kind and body.
pub fn link(previous: &Hash, origin: ServerUuid, sequence: u64, stamp: Micros, kind: &str, json: &[u8]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(previous);
    context.update(origin.bytes());
    context.update(&sequence.to_be_bytes());
    context.update(&stamp.to_be_bytes());
    context.update(&(kind.len() as u64).to_be_bytes());
    context.update(kind.as_bytes());
    context.update(json);
    let mut hash = GENESIS;
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Makes a fact of this server's own: appends it to the journal and applies it. Returns
/// its sequence.
pub fn record(ledger: &mut Ledger<'_>, body: &Body) -> Result<u64, Error> {
    let sequence = ledger.head().sequence + 1;
    record_as(ledger, sequence, body)
}

/// Facts of this server were lost, such as by a restored backup: counts on from far above them, so
/// that no number is ever used twice. Returns the sequence of the fact that says so.
pub fn raise(ledger: &mut Ledger<'_>, reason: &str, above: u64) -> Result<u64, Error> {
    let after = ledger.head().sequence;
    // No server records more than one fact in a microsecond, so the time is above every number that
    // was ever given, also where the same backup was restored a moment ago.
    let sequence = (ledger.next_stamp().max(0) as u64).max(after + 1).max(above.saturating_add(1));
    record_as(ledger, sequence, &Body::SequenceRaised(SequenceRaised { after, reason: reason.to_owned() }))
}

fn record_as(ledger: &mut Ledger<'_>, sequence: u64, body: &Body) -> Result<u64, Error> {
    let (head, origin, stamp) = (ledger.head(), ledger.origin(), ledger.next_stamp());
    let json = body.to_json()?;
    let hash = link(&head.hash, origin, sequence, stamp, body.kind(), &json);
    insert(ledger.connection(), origin, sequence, stamp, body.kind(), &json, &hash)?;
    apply(ledger, origin, sequence, stamp, body)?;
    ledger.set_head(Head { sequence, stamp, hash });
    Ok(sequence)
}

/// Takes a fact of another server, or one of this server's own that was lost here: checks that it
/// follows the one before it, appends and applies it. A fact that is held already changes nothing.
pub fn replay(ledger: &mut Ledger<'_>, fact: &Fact) -> Result<(), Error> {
    let (connection, origin) = (ledger.connection(), fact.origin);
    let head = head(connection, origin)?;
    let raised = fact.read_raised()?;
    let before = match &raised {
        Some(raised) if fact.sequence > head.sequence => find_or_start(connection, origin, raised.after)?,
        _ if fact.sequence > head.sequence => Some(head),
        _ => match find(connection, origin, fact.sequence)? {
            Some(held) if held.hash == fact.hash => return Ok(()),
            Some(_) => return Err(Error::Chain(format!("there are two facts {} of {origin}: one of its copies was changed", fact.sequence))),
            None => find_or_start(connection, origin, raised.as_ref().map_or(fact.sequence - 1, |raised| raised.after))?,
        },
    };
    let before = before.ok_or_else(|| Error::Chain(format!("fact {} of {origin} follows one that is not here", fact.sequence)))?;
    check_link(&before, fact, raised.as_ref())?;
    insert(connection, origin, fact.sequence, fact.stamp, &fact.kind, &fact.json, &fact.hash)?;
    if Body::is_known(&fact.kind) {
        let body = Body::from_json(&fact.kind, &fact.json)?;
        apply(ledger, origin, fact.sequence, fact.stamp, &body)?;
        // What is set here from now on comes after this.
        ledger.enter_epoch(body.epoch())?;
    } else {
        // Of a partner with a newer program: what it means is made up for when this one is as new.
        local::put_unapplied(connection, true)?;
    }
    if fact.sequence < head.sequence {
        // A gap became smaller.
        ledger.forget_catalog();
    } else if origin == ledger.origin() {
        ledger.set_head(Head { sequence: fact.sequence, stamp: fact.stamp, hash: fact.hash });
    }
    Ok(())
}

/// Applies a fact that the journal holds already, for tables that are filled anew.
pub(super) fn reapply(ledger: &mut Ledger<'_>, fact: &Fact) -> Result<(), Error> {
    if !Body::is_known(&fact.kind) {
        return Ok(());
    }
    let body = Body::from_json(&fact.kind, &fact.json)?;
    apply(ledger, fact.origin, fact.sequence, fact.stamp, &body)
}

fn check_link(before: &Head, fact: &Fact, raised: Option<&SequenceRaised>) -> Result<(), Error> {
    let follows = match raised {
        Some(raised) => raised.after == before.sequence && fact.sequence > raised.after,
        _ => fact.sequence == before.sequence + 1,
    };
    let expected = link(&before.hash, fact.origin, fact.sequence, fact.stamp, &fact.kind, &fact.json);
    if !follows {
        Err(Error::Chain(format!("fact {} of {} follows fact {}", fact.sequence, fact.origin, before.sequence)))
    } else if expected != fact.hash {
        Err(Error::Chain(format!("fact {} of {} does not match its hash", fact.sequence, fact.origin)))
    } else if fact.stamp <= before.stamp {
        Err(Error::Chain(format!("fact {} of {} is not later than the one before it", fact.sequence, fact.origin)))
    } else {
        Ok(())
    }
}

fn apply(ledger: &mut Ledger<'_>, origin: ServerUuid, sequence: u64, stamp: Micros, body: &Body) -> Result<(), Error> {
    audit::apply(ledger, origin, sequence, stamp, body)?;
    match body {
        Body::LicenseImported(body) => licenses::apply_imported(ledger, stamp, body),
        Body::LicenseRevoked(body) => licenses::apply_revoked(ledger, body),
        Body::StatementIssued(body) => statements::apply(ledger, origin, stamp, body),
        Body::HandshakeChanged(body) => handshakes::apply_changed(ledger, origin, body),
        Body::DefaultChosen(body) => handshakes::apply_default(ledger, origin, body),
        Body::AuthorizationGranted(body) => {
            devices::apply_granted(ledger, stamp, body)?;
            trials::apply(ledger, origin, stamp, body)?;
            seats::apply_refreshed(ledger, body.client, &body.items, stamp)?;
            usage::count_authorization(ledger, origin, stamp, body.code, 0, body.items.iter().map(|seat| seat.id));
            Ok(())
        }
        Body::AuthorizationRefused(body) => {
            if let Some(code) = body.code {
                usage::count_authorization(ledger, origin, stamp, code, body.reason, body.item.into_iter());
            }
            refusals::apply(ledger, origin, stamp, body)
        }
        Body::ReportsAccepted(body) => {
            reports::apply_accepted(ledger, origin, sequence, body)?;
            devices::apply_reported(ledger, stamp, body.client)?;
            seats::apply_refreshed(ledger, body.client, &body.seats, stamp)
        }
        Body::SeatReleased(body) => seats::apply_released(ledger, origin, stamp, body),
        Body::DeviceReset(body) => devices::apply_reset(ledger, stamp, body),
        Body::UserChanged(body) => accounts::apply_user(ledger, origin, body),
        Body::TokenChanged(body) => accounts::apply_token(ledger, origin, body),
        Body::PreferenceChanged(body) => preferences::apply(ledger, origin, body),
        // Its line of the audit is all that it leaves.
        Body::AdminActed(_) => Ok(()),
        Body::AlertsRaised(body) => alerts::apply(ledger, origin, sequence, stamp, body),
        Body::SequenceRaised(body) => gaps::apply(ledger, origin, sequence, stamp, body),
    }
}

const INSERT: &str = "INSERT INTO journal (origin, sequence, stamp, kind, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const HEAD: &str = "SELECT sequence, stamp, hash FROM journal WHERE origin = ?1 ORDER BY sequence DESC LIMIT 1";
const COUNT: &str = "SELECT COUNT(*) FROM journal";
const KINDS_HELD: &str = "SELECT DISTINCT kind FROM journal";
const FIND: &str = "SELECT sequence, stamp, hash FROM journal WHERE origin = ?1 AND sequence = ?2";
const PAGE: &str = "SELECT origin, sequence, stamp, kind, body, hash FROM journal WHERE origin = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3";
// From one origin to the next: there are few, and millions of facts of each.
const ORIGINS: &str = "WITH RECURSIVE o (origin) AS (SELECT MIN(origin) FROM journal
    UNION ALL SELECT (SELECT MIN(j.origin) FROM journal AS j WHERE j.origin > o.origin) FROM o WHERE o.origin IS NOT NULL)
    SELECT origin FROM o WHERE origin IS NOT NULL";
const LATEST: &str = "WITH RECURSIVE o (origin) AS (SELECT MIN(origin) FROM journal
    UNION ALL SELECT (SELECT MIN(j.origin) FROM journal AS j WHERE j.origin > o.origin) FROM o WHERE o.origin IS NOT NULL)
    SELECT COALESCE(MAX((SELECT stamp FROM journal WHERE origin = o.origin ORDER BY sequence DESC LIMIT 1)), 0) FROM o WHERE origin IS NOT NULL";

// The tenth before the last one, say.
const NEAR_END: &str = "SELECT sequence, stamp, hash FROM journal WHERE origin = ?1 ORDER BY sequence DESC LIMIT 1 OFFSET ?2";

/// Every statement of this file, for the test that prepares them.
pub(super) const STATEMENTS: &[&str] = &[INSERT, HEAD, COUNT, KINDS_HELD, FIND, PAGE, ORIGINS, LATEST, NEAR_END];

fn insert(connection: &Connection, origin: ServerUuid, sequence: u64, stamp: Micros, kind: &str, json: &[u8], hash: &Hash) -> Result<(), Error> {
    connection.prepare_cached(INSERT)?.execute(params![origin.bytes(), sequence as i64, stamp, kind, json, hash])?;
    Ok(())
}

/// Before the first fact.
const START: Head = Head { sequence: 0, stamp: 0, hash: GENESIS };

fn read_head(row: &rusqlite::Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head { sequence: row.get::<_, i64>(0)? as u64, stamp: row.get(1)?, hash: row.get(2)? })
}

/// The last fact of an origin.
pub fn head(connection: &Connection, origin: ServerUuid) -> Result<Head, Error> {
    Ok(connection.prepare_cached(HEAD)?.query_row(params![origin.bytes()], read_head).optional()?.unwrap_or(START))
}

/// A fact by its number, if it is held.
pub fn find(connection: &Connection, origin: ServerUuid, sequence: u64) -> Result<Option<Head>, Error> {
    Ok(connection.prepare_cached(FIND)?.query_row(params![origin.bytes(), sequence as i64], read_head).optional()?)
}

fn find_or_start(connection: &Connection, origin: ServerUuid, sequence: u64) -> Result<Option<Head>, Error> {
    if sequence == 0 { Ok(Some(START)) } else { find(connection, origin, sequence) }
}

/// The time of the latest fact of any origin; 0 when there is none.
pub fn latest_stamp(connection: &Connection) -> Result<Micros, Error> {
    Ok(connection.query_row(LATEST, [], |row| row.get(0))?)
}

/// How many facts are held.
pub fn count(connection: &Connection) -> Result<u64, Error> {
    Ok(connection.query_row(COUNT, [], |row| row.get::<_, i64>(0))? as u64)
}

/// The servers of which facts are held.
pub fn list_origins(connection: &Connection) -> Result<Vec<ServerUuid>, Error> {
    let mut statement = connection.prepare_cached(ORIGINS)?;
    let rows = statement.query_map([], |row| Ok(ServerUuid::from_bytes(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// At most `limit` facts of an origin after a sequence, in order.
pub fn list_after(connection: &Connection, origin: ServerUuid, sequence: u64, limit: usize) -> Result<Vec<Fact>, Error> {
    let mut statement = connection.prepare_cached(PAGE)?;
    let rows = statement.query_map(params![origin.bytes(), sequence as i64, limit as i64], |row| {
        Ok(Fact {
            origin: ServerUuid::from_bytes(row.get(0)?),
            sequence: row.get::<_, i64>(1)? as u64,
            stamp: row.get(2)?,
            kind: row.get(3)?,
            json: row.get(4)?,
            hash: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether every fact is of a kind that this version knows.
pub(super) fn are_all_known(connection: &Connection) -> Result<bool, Error> {
    let mut statement = connection.prepare(KINDS_HELD)?;
    let kinds = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(kinds.iter().all(|kind| Body::is_known(kind)))
}

/// Walks the whole chain of every origin. Returns how many facts there are, or where the
/// chain is broken.
pub fn verify_chain(connection: &Connection) -> Result<u64, Error> {
    verify_chain_telling(connection, |_| true)
}

/// Walks the last `limit` facts of every origin. Returns how many it walked, or where the chain is
/// broken.
pub fn verify_latest(connection: &Connection, limit: u64) -> Result<u64, Error> {
    let mut count = 0;
    for origin in list_origins(connection)? {
        let begin = connection.prepare_cached(NEAR_END)?.query_row(params![origin.bytes(), limit as i64], read_head).optional()?;
        count += verify_from(connection, origin, begin.unwrap_or(START), |_| true)?;
    }
    Ok(count)
}

/// The same; `progress` hears now and then how many facts were found to be in order, and may end it.
pub fn verify_chain_telling(connection: &Connection, mut progress: impl FnMut(u64) -> bool) -> Result<u64, Error> {
    let mut count = 0;
    for origin in list_origins(connection)? {
        count += verify_from(connection, origin, START, |walked| progress(count + walked))?;
    }
    Ok(count)
}

/// Walks an origin's facts after one that is taken as it is.
fn verify_from(connection: &Connection, origin: ServerUuid, begin: Head, mut progress: impl FnMut(u64) -> bool) -> Result<u64, Error> {
    let (mut last, mut count) = (begin, 0);
    loop {
        let page = list_after(connection, origin, last.sequence, 1_000)?;
        if page.is_empty() {
            return Ok(count);
        }
        for fact in &page {
            let raised = fact.read_raised()?;
            let before = match &raised {
                Some(raised) => find_or_start(connection, origin, raised.after)?
                    .ok_or_else(|| Error::Chain(format!("fact {} of {origin} follows fact {}, which is not here", fact.sequence, raised.after)))?,
                None => last,
            };
            check_link(&before, fact, raised.as_ref())?;
            last = Head { sequence: fact.sequence, stamp: fact.stamp, hash: fact.hash };
            count += 1;
        }
        if !progress(count) {
            return Err(Error::Stopped);
        }
    }
}
