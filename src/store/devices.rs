//! Devices under handshake codes, and the tickets that tell a device from its copy.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::facts::{AuthorizationGranted, DeviceReset};
use super::ledger::Ledger;
use super::refusals::{self, Refusal};
use super::{Error, clients};
use crate::clock::Micros;
use crate::licensing::{ClientUuid, CodeId, ItemId};

/// The tickets of a device under a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tickets {
    /// The one it must show next.
    pub current: String,
    /// The one before.
    pub previous: String,
    /// The nonce of the request that got the current one.
    pub nonce: String,
    /// When the current one was given, seconds since 1970.
    pub given_at: i64,
    /// Whether the admin reset the device since.
    pub reset: bool,
}

/// A device as listings show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its UUID.
    pub client: ClientUuid,
    /// When it was first authorized or refused, seconds since 1970.
    pub first_seen_at: i64,
    /// When it was last authorized or refused, or reported, seconds since 1970.
    pub last_seen_at: i64,
    /// Its active seats: item and end.
    pub seats: Vec<(ItemId, i64)>,
    /// Its latest refusals, newest first.
    pub refusals: Vec<Refusal>,
}

/// Which devices are asked for, by their UUIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    from: Vec<u8>,
    to: [u8; 16],
}

impl Range {
    /// All of them.
    pub fn all() -> Self {
        Self { from: Vec::new(), to: [0xff; 16] }
    }

    /// Those whose UUIDs begin with these hexadecimal digits, with or without hyphens; `None` when
    /// the text is not the beginning of a UUID.
    pub fn with_prefix(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
        if digits.len() > 32 {
            return None;
        }
        let (mut from, mut to) = ([0; 16], [0xff; 16]);
        for (n, digit) in digits.into_iter().enumerate() {
            let shift = if n % 2 == 0 { 4 } else { 0 };
            from[n / 2] |= digit << shift;
            to[n / 2] &= !(0xf << shift) | digit << shift;
        }
        Some(Self { from: from.to_vec(), to })
    }

    /// Of these, those that come after a UUID.
    pub fn after(self, client: ClientUuid) -> Self {
        // Longer than any UUID, and so between this one and the next.
        let next = [client.bytes().as_slice(), &[0]].concat();
        Self { from: self.from.max(next), to: self.to }
    }
}

/// Another order than that of the UUIDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// By when they were last seen, not first.
    pub is_by_last: bool,
    /// The latest first.
    pub is_down: bool,
}

/// Most devices that are sorted: more would take a page more than its tenth of a second, and an index by
/// time would cost every authorization a page of the disk.
pub const SORTABLE: usize = 20_000;
/// Most refusals of one device in a listing.
const REFUSALS_LISTED: usize = 5;

const UPSERT: &str = "INSERT INTO devices (client_id, code_id, first_seen_at, last_seen_at, ticket, ticket_stamp, nonce, previous_ticket, previous_stamp)
    VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6, '', 0)
    ON CONFLICT (client_id, code_id) DO UPDATE SET
        first_seen_at = MIN(first_seen_at, ?3), last_seen_at = MAX(last_seen_at, ?3),
        previous_ticket = CASE WHEN ?4 = ticket THEN previous_ticket WHEN (?5, ?4) > (ticket_stamp, ticket) THEN ticket WHEN (?5, ?4) > (previous_stamp, previous_ticket) THEN ?4 ELSE previous_ticket END,
        previous_stamp = CASE WHEN ?4 = ticket THEN previous_stamp WHEN (?5, ?4) > (ticket_stamp, ticket) THEN ticket_stamp WHEN (?5, ?4) > (previous_stamp, previous_ticket) THEN ?5 ELSE previous_stamp END,
        nonce = CASE WHEN (?5, ?4) > (ticket_stamp, ticket) THEN ?6 ELSE nonce END,
        ticket = CASE WHEN (?5, ?4) > (ticket_stamp, ticket) THEN ?4 ELSE ticket END,
        ticket_stamp = MAX(ticket_stamp, ?5)";
const RESET: &str = "INSERT INTO device_resets (client_uuid, reset_stamp) VALUES (?1, ?2)
    ON CONFLICT (client_uuid) DO UPDATE SET reset_stamp = MAX(reset_stamp, ?2)";
const TICKETS: &str =
    "SELECT ticket, previous_ticket, nonce, ticket_stamp, ticket_stamp <= COALESCE((SELECT reset_stamp FROM device_resets AS r WHERE r.client_uuid = ?1), 0)
    FROM devices WHERE client_id = ?2 AND code_id = ?3";
const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM devices WHERE client_id = ?1)";
const REPORTED: &str = "INSERT INTO device_reports (client_uuid, last_reported_at) VALUES (?1, ?2)
    ON CONFLICT (client_uuid) DO UPDATE SET last_reported_at = MAX(last_reported_at, ?2)";
const LIST: &str = "SELECT client_uuid, first_seen_at, MAX(last_seen_at, COALESCE((SELECT last_reported_at FROM device_reports AS r WHERE r.client_uuid = d.client_uuid), 0))
    FROM (SELECT client_uuid, MIN(first_seen_at) AS first_seen_at, MAX(last_seen_at) AS last_seen_at FROM clients CROSS JOIN devices USING (client_id) WHERE client_uuid >= ?1 AND client_uuid <= ?3 GROUP BY client_uuid ORDER BY client_uuid LIMIT ?2) AS d";
const LIST_REFUSED: &str = "SELECT client_uuid, MIN(stamp) / 1000000, MAX(stamp) / 1000000 FROM refusals
    WHERE client_uuid >= ?1 AND client_uuid <= ?4 AND stamp >= ?3 GROUP BY client_uuid ORDER BY client_uuid LIMIT ?2";
const RESET_AT: &str = "SELECT reset_stamp FROM device_resets WHERE client_uuid = ?1";
const LIST_SEATS: &str =
    "SELECT item_id, active_until FROM seats WHERE client_id = (SELECT client_id FROM clients WHERE client_uuid = ?1) AND active_until > ?2 ORDER BY item_id";

pub(super) const STATEMENTS: &[&str] = &[UPSERT, RESET, TICKETS, EXISTS, REPORTED, LIST, LIST_REFUSED, RESET_AT, LIST_SEATS];

/// Keeps the two latest tickets, whatever order they come in. Two servers may give them at
/// the same microsecond: then the text decides. A repeated request gets the same ticket
/// again, and the one before it stays.
pub(super) fn apply_granted(ledger: &mut Ledger<'_>, stamp: Micros, body: &AuthorizationGranted) -> Result<(), Error> {
    let number = clients::number(ledger, body.client)?;
    ledger.connection().prepare_cached(UPSERT)?.execute(params![number, body.code.bytes(), stamp.div_euclid(1_000_000), body.ticket, stamp, body.nonce])?;
    Ok(())
}

/// The device was heard of.
pub(super) fn apply_reported(ledger: &mut Ledger<'_>, stamp: Micros, client: ClientUuid) -> Result<(), Error> {
    ledger.connection().prepare_cached(REPORTED)?.execute(params![client.bytes(), stamp.div_euclid(1_000_000)])?;
    Ok(())
}

/// From now on any ticket of before is taken again.
pub(super) fn apply_reset(ledger: &mut Ledger<'_>, stamp: Micros, body: &DeviceReset) -> Result<(), Error> {
    ledger.connection().prepare_cached(RESET)?.execute(params![body.client.bytes(), stamp])?;
    Ok(())
}

/// The tickets of a device under a code, if it was ever authorized there.
pub fn find_tickets(ledger: &Ledger<'_>, client: ClientUuid, code: CodeId) -> Result<Option<Tickets>, Error> {
    let Some(number) = clients::find(ledger, client)? else { return Ok(None) };
    let row = ledger
        .connection()
        .prepare_cached(TICKETS)?
        .query_row(params![client.bytes(), number, code.bytes()], |row| {
            let given_at = row.get::<_, Micros>(3)?.div_euclid(1_000_000);
            Ok(Tickets { current: row.get(0)?, previous: row.get(1)?, nonce: row.get(2)?, given_at, reset: row.get(4)? })
        })
        .optional()?;
    Ok(row)
}

/// Whether this device was ever authorized.
pub fn is_known(ledger: &Ledger<'_>, client: ClientUuid) -> Result<bool, Error> {
    let Some(number) = clients::find(ledger, client)? else { return Ok(false) };
    Ok(ledger.connection().prepare_cached(EXISTS)?.query_row(params![number], |row| row.get(0))?)
}

/// At most `limit` devices of a range, in order of their UUIDs, with the seats that are
/// active at `now` (seconds) and the refusals of the last 30 days; devices that were only
/// refused are among them.
pub fn list(connection: &Connection, range: &Range, limit: usize, now: i64) -> Result<Vec<Device>, Error> {
    list_sightings(connection, range, limit, now)?.into_iter().map(|sighting| complete(connection, sighting, now)).collect()
}

/// The devices of a range in another order: how many there are, and `limit` of them after `skip`. `None`
/// where there are more than [`SORTABLE`].
pub fn list_sorted(connection: &Connection, range: &Range, sort: Sort, skip: usize, limit: usize, now: i64) -> Result<Option<(usize, Vec<Device>)>, Error> {
    let mut sightings = list_sightings(connection, range, SORTABLE + 1, now)?;
    if sightings.len() > SORTABLE {
        return Ok(None);
    }
    let time = |sighting: &Sighting| if sort.is_by_last { sighting.last } else { sighting.first };
    // Stable: those of one second stay in the order of their UUIDs.
    if sort.is_down {
        sightings.sort_by_key(|sighting| std::cmp::Reverse(time(sighting)));
    } else {
        sightings.sort_by_key(time);
    }
    let count = sightings.len();
    let devices = sightings.into_iter().skip(skip).take(limit).map(|sighting| complete(connection, sighting, now)).collect::<Result<_, _>>()?;
    Ok(Some((count, devices)))
}

/// When a device was heard of.
struct Sighting {
    client: ClientUuid,
    first: i64,
    last: i64,
    is_refused: bool,
}

fn list_sightings(connection: &Connection, range: &Range, limit: usize, now: i64) -> Result<Vec<Sighting>, Error> {
    let since = now - refusals::KEPT / 1_000_000;
    let mut seen: BTreeMap<ClientUuid, (i64, i64)> = BTreeMap::new();
    let mut statement = connection.prepare_cached(LIST)?;
    let mut rows = statement.query(params![range.from, limit as i64, range.to])?;
    while let Some(row) = rows.next()? {
        seen.insert(ClientUuid::from_bytes(row.get(0)?), (row.get(1)?, row.get(2)?));
    }
    let mut refused = BTreeSet::new();
    let mut statement = connection.prepare_cached(LIST_REFUSED)?;
    let mut rows = statement.query(params![range.from, limit as i64, since * 1_000_000, range.to])?;
    while let Some(row) = rows.next()? {
        let (client, first, last): (_, i64, i64) = (ClientUuid::from_bytes(row.get(0)?), row.get(1)?, row.get(2)?);
        refused.insert(client);
        let times = seen.entry(client).or_insert((first, last));
        *times = (times.0.min(first), times.1.max(last));
    }
    let sighting = |(client, (first, last))| Sighting { client, first, last, is_refused: refused.contains(&client) };
    Ok(seen.into_iter().take(limit).map(sighting).collect())
}

fn complete(connection: &Connection, sighting: Sighting, now: i64) -> Result<Device, Error> {
    let Sighting { client, first, last, is_refused } = sighting;
    let since = now - refusals::KEPT / 1_000_000;
    let refusals = if is_refused { refusals::list(connection, client, since, REFUSALS_LISTED)? } else { Vec::new() };
    Ok(Device { client, first_seen_at: first, last_seen_at: last, seats: list_seats(connection, client, now)?, refusals })
}

fn list_seats(connection: &Connection, client: ClientUuid, now: i64) -> Result<Vec<(ItemId, i64)>, Error> {
    let mut statement = connection.prepare_cached(LIST_SEATS)?;
    let rows = statement.query_map(params![client.bytes(), now], |row| Ok((ItemId(row.get::<_, i64>(0)? as u64), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// When the admin last reset a device, seconds since 1970.
pub fn find_reset(connection: &Connection, client: ClientUuid) -> Result<Option<i64>, Error> {
    let stamp: Option<Micros> = connection.prepare_cached(RESET_AT)?.query_row(params![client.bytes()], |row| row.get(0)).optional()?;
    Ok(stamp.map(|stamp| stamp.div_euclid(1_000_000)))
}

/// A device, if it was ever authorized or refused.
pub fn find(connection: &Connection, client: ClientUuid, now: i64) -> Result<Option<Device>, Error> {
    let range = Range { from: client.bytes().to_vec(), to: *client.bytes() };
    Ok(list(connection, &range, 1, now)?.pop())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_what_begins_with_it_and_a_page_begins_after_the_last() {
        let range = Range::with_prefix("6F1c2b9e-0").expect("it is there");
        assert_eq!(range.from[..6], [0x6f, 0x1c, 0x2b, 0x9e, 0x00, 0x00]);
        assert_eq!(range.to[..6], [0x6f, 0x1c, 0x2b, 0x9e, 0x0f, 0xff]);
        let client: ClientUuid = "6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88".parse().expect("it is there");
        let after = range.after(client);
        assert!(
            after.from > client.bytes().to_vec()
                && after.from < "6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a89".parse::<ClientUuid>().expect("it is there").bytes().to_vec()
        );
        assert_eq!(Range::with_prefix(""), Some(Range { from: vec![0; 16], to: [0xff; 16] }));
        assert!(Range::with_prefix("xyz").is_none() && Range::with_prefix(&"0".repeat(33)).is_none());
    }
}
