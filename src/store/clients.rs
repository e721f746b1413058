//! The numbers that this database gives to client UUIDs, in the order in which they come, so
//! that the rows of new devices lie side by side. A number means nothing outside of it.

use std::cell::Cell;

use rusqlite::{OptionalExtension as _, params};

use super::Error;
use super::ledger::Ledger;
use crate::licensing::ClientUuid;

const FIND: &str = "SELECT client_id FROM clients WHERE client_uuid = ?1";
// No number is ever without a device or a seat.
const LATEST: &str = "SELECT MAX(COALESCE((SELECT MAX(client_id) FROM devices), 0), COALESCE((SELECT MAX(client_id) FROM seats), 0))";
const INSERT: &str = "INSERT INTO clients (client_uuid, client_id) VALUES (?1, ?2)";

pub(super) const STATEMENTS: &[&str] = &[FIND, LATEST, INSERT];

/// What the writer remembers: the client it looked for last, because one command asks several
/// times for the same, and the last number given.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    last: Cell<Option<(ClientUuid, Option<i64>)>>,
    given: Option<i64>,
}

/// The number of a client that has a device or a seat.
pub(super) fn find(ledger: &Ledger<'_>, client: ClientUuid) -> Result<Option<i64>, Error> {
    let last = &ledger.remembered().clients.last;
    if let Some((_, number)) = last.get().filter(|(known, _)| *known == client) {
        return Ok(number);
    }
    let number = ledger.connection().prepare_cached(FIND)?.query_row(params![client.bytes()], |row| row.get(0)).optional()?;
    last.set(Some((client, number)));
    Ok(number)
}

/// The number of a client, a new one if it has none. The caller writes a device or a seat under it.
pub(super) fn number(ledger: &mut Ledger<'_>, client: ClientUuid) -> Result<i64, Error> {
    if let Some(number) = find(ledger, client)? {
        return Ok(number);
    }
    let connection = ledger.connection();
    let given = match ledger.memory().clients.given {
        Some(given) => given,
        None => connection.prepare_cached(LATEST)?.query_row([], |row| row.get(0))?,
    };
    let number = given + 1;
    connection.prepare_cached(INSERT)?.execute(params![client.bytes(), number])?;
    let numbers = &mut ledger.memory().clients;
    numbers.given = Some(number);
    numbers.last.set(Some((client, Some(number))));
    Ok(number)
}
