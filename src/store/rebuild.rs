//! Proof that the tables are what the journal says: replay it into an empty database and
//! compare every row.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::ledger::{Ledger, Memory};
use super::{Error, facts, open};
use crate::clock::ManualClock;
use crate::licensing::ServerUuid;

/// Tables that do not follow from the journal, and the journal itself.
const NOT_DERIVED: &[&str] = &["journal", "local", "outbox"];

/// Replays all facts held by `source` into an empty database. The order between origins
/// is that of `interleave`: it picks one of the origins that still have facts.
pub fn replay_into_memory(source: &Connection, mut interleave: impl FnMut(usize) -> usize) -> Result<Connection, Error> {
    let target = open::open_in_memory()?;
    let clock = ManualClock::at_seconds(0);
    let mut open: Vec<(ServerUuid, u64)> = facts::list_origins(source)?.into_iter().map(|origin| (origin, 0)).collect();
    let mut memory = Memory::load(&target, ServerUuid::from_bytes([0xff; 16]))?;
    target.execute_batch("BEGIN")?;
    while !open.is_empty() {
        let pick = interleave(open.len()) % open.len();
        let (origin, done) = open[pick];
        // One page at a time, but one fact when the order is being shuffled.
        let limit = if open.len() > 1 { 1 } else { 1_000 };
        let page = facts::list_after(source, origin, done, limit)?;
        let Some(last) = page.last() else {
            open.remove(pick);
            continue;
        };
        open[pick].1 = last.sequence;
        let mut ledger = Ledger::new(&target, &mut memory, ServerUuid::from_bytes([0xff; 16]), &clock);
        for fact in &page {
            ledger.replay(fact)?;
        }
        ledger.flush()?;
    }
    target.execute_batch("COMMIT")?;
    Ok(target)
}

/// Fills every table that follows from the journal anew, for a migration that changed what
/// follows. Inside the caller's transaction.
pub(super) fn refill(connection: &Connection) -> Result<(), Error> {
    for table in list_tables(connection)? {
        connection.execute(&format!("DELETE FROM {table}"), [])?;
    }
    let clock = ManualClock::at_seconds(0);
    let mut memory = Memory::load(connection, ServerUuid::from_bytes([0xff; 16]))?;
    for origin in facts::list_origins(connection)? {
        let mut done = 0;
        loop {
            let page = facts::list_after(connection, origin, done, 1_000)?;
            let Some(last) = page.last() else { break };
            done = last.sequence;
            let mut ledger = Ledger::new(connection, &mut memory, ServerUuid::from_bytes([0xff; 16]), &clock);
            for fact in &page {
                facts::reapply(&mut ledger, fact)?;
            }
            ledger.flush()?;
        }
    }
    Ok(())
}

/// The tables that differ between two databases, with the first rows that only one has.
pub fn differences(one: &Connection, other: &Connection) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for table in list_tables(one)? {
        let (a, b) = (rows(one, &table)?, rows(other, &table)?);
        if a != b {
            let first = |x: &[String], y: &[String]| x.iter().find(|row| !y.contains(row)).cloned().unwrap_or_default();
            found.push(format!("{table}: {} rows against {}; only here: {}; only there: {}", a.len(), b.len(), first(&a, &b), first(&b, &a)));
        }
    }
    Ok(found)
}

/// Checks a whole database: the chain of hashes, and the tables against a replay of the
/// journal. Returns how many facts there are.
pub fn verify(source: &Connection) -> Result<u64, Error> {
    let count = facts::verify_chain(source)?;
    let replayed = replay_into_memory(source, |_| 0)?;
    match differences(source, &replayed)?.as_slice() {
        [] => Ok(count),
        different => Err(Error::Corrupt(format!("tables differ from the journal: {}", different.join("; ")))),
    }
}

fn list_tables(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(names.into_iter().filter(|name| !NOT_DERIVED.contains(&name.as_str())).collect())
}

/// Reads a whole table, with client UUIDs in place of the numbers that a database gives them.
fn as_meant(connection: &Connection, table: &str) -> Result<String, Error> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let columns = statement.query_map([table], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    if !columns.iter().any(|column| column == "client_id") {
        return Ok(format!("SELECT * FROM {table}"));
    }
    let others: Vec<_> = columns.into_iter().filter(|column| column != "client_id" && column != "client_uuid").collect();
    let columns = [vec!["client_uuid".to_owned()], others].concat().join(", ");
    Ok(if table == "clients" { format!("SELECT {columns} FROM clients") } else { format!("SELECT {columns} FROM {table} LEFT JOIN clients USING (client_id)") })
}

fn rows(connection: &Connection, table: &str) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare(&as_meant(connection, table)?)?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|n| row.get::<_, Value>(n)).collect::<Result<Vec<_>, _>>())?;
    let mut rows: Vec<String> = rows.map(|row| row.map(|values| format!("{values:?}"))).collect::<Result<_, _>>()?;
    rows.sort();
    Ok(rows)
}
