//! Seats: who holds one, until when, and how many are held (domain §4).

use std::cmp::Ordering;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::facts::{ItemSeat, SeatReleased};
use super::ledger::Ledger;
use super::{Error, clients};
use crate::clock::Micros;
use crate::licensing::{ClientUuid, ItemId, ServerUuid};

/// How many seats of an item are active at a time; kept up to date by the writer, so that
/// a new device does not cost a walk over all seats.
#[derive(Debug, Clone, Copy)]
pub struct Count {
    active: u64,
    as_of: i64,
}

const FIND: &str = "SELECT held_until, refreshed_stamp, released_stamp, active_until, instances FROM seats WHERE client_id = ?1 AND item_id = ?2";
const WRITE: &str =
    "INSERT INTO seats (client_id, item_id, held_until, refreshed_stamp, released_stamp, active_until, instances) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (client_id, item_id) DO UPDATE SET held_until = ?3, refreshed_stamp = ?4, released_stamp = ?5, active_until = ?6, instances = ?7";
const COUNT: &str = "SELECT COALESCE(SUM(instances), 0) FROM seats WHERE item_id = ?1 AND active_until > ?2";
const COUNT_ENDED: &str = "SELECT COALESCE(SUM(instances), 0) FROM seats WHERE item_id = ?1 AND active_until > ?2 AND active_until <= ?3";
const RELEASES: &str = "SELECT COALESCE(SUM(count), 0) FROM seat_releases WHERE item_id = ?1";
const COUNT_RELEASE: &str =
    "INSERT INTO seat_releases (item_id, origin, count) VALUES (?1, ?2, 1) ON CONFLICT (item_id, origin) DO UPDATE SET count = count + 1";

pub(super) const STATEMENTS: &[&str] = &[FIND, WRITE, COUNT, COUNT_ENDED, RELEASES, COUNT_RELEASE];

/// A seat merges by taking the latest end, the latest refresh with its instances, and the
/// latest release; it is active when it was refreshed after it was released.
#[derive(Debug, Clone, Copy, Default)]
struct Seat {
    held_until: i64,
    refreshed_stamp: Micros,
    released_stamp: Micros,
    active_until: i64,
    instances: u64,
}

/// Each seat is held until the later of two ends.
pub(super) fn apply_refreshed(ledger: &mut Ledger<'_>, client: ClientUuid, seats: &[ItemSeat], stamp: Micros) -> Result<(), Error> {
    for ItemSeat { id, until, instances } in seats {
        let Some(until) = *until else { continue };
        change(ledger, client, *id, |seat| {
            seat.held_until = seat.held_until.max(until);
            seat.instances = match stamp.cmp(&seat.refreshed_stamp) {
                Ordering::Greater => u64::from(*instances),
                Ordering::Equal => seat.instances.max(u64::from(*instances)),
                Ordering::Less => seat.instances,
            };
            seat.refreshed_stamp = seat.refreshed_stamp.max(stamp);
        })?;
    }
    Ok(())
}

/// The seat is free, unless it was refreshed later.
pub(super) fn apply_released(ledger: &mut Ledger<'_>, origin: ServerUuid, stamp: Micros, body: &SeatReleased) -> Result<(), Error> {
    if body.by_admin {
        ledger.connection().prepare_cached(COUNT_RELEASE)?.execute(params![body.item.0 as i64, origin.bytes()])?;
    }
    change(ledger, body.client, body.item, |seat| seat.released_stamp = seat.released_stamp.max(stamp))
}

fn change(ledger: &mut Ledger<'_>, client: ClientUuid, item: ItemId, mend: impl FnOnce(&mut Seat)) -> Result<(), Error> {
    let mut seat = find(ledger, client, item)?.unwrap_or_default();
    let before = seat;
    mend(&mut seat);
    seat.active_until = if seat.refreshed_stamp > seat.released_stamp { seat.held_until } else { 0 };
    let number = clients::number(ledger, client)?;
    ledger.connection().prepare_cached(WRITE)?.execute(params![
        number,
        item.0 as i64,
        seat.held_until,
        seat.refreshed_stamp,
        seat.released_stamp,
        seat.active_until,
        seat.instances as i64
    ])?;
    ledger.remembered().last_seat.set(Some(Found { client, item, seat: Some(seat) }));
    if let Some(count) = ledger.memory().seats.get_mut(&item) {
        let held = |seat: Seat| if seat.active_until > count.as_of { seat.instances } else { 0 };
        count.active = count.active + held(seat) - held(before);
    }
    Ok(())
}

/// The seat that was looked for or changed last: a command looks for one, then changes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    client: ClientUuid,
    item: ItemId,
    seat: Option<Seat>,
}

fn find(ledger: &Ledger<'_>, client: ClientUuid, item: ItemId) -> Result<Option<Seat>, Error> {
    let last = &ledger.remembered().last_seat;
    if let Some(found) = last.get().filter(|found| found.client == client && found.item == item) {
        return Ok(found.seat);
    }
    let seat = match clients::find(ledger, client)? {
        Some(number) => read(ledger.connection(), number, item)?,
        None => None,
    };
    last.set(Some(Found { client, item, seat }));
    Ok(seat)
}

fn read(connection: &Connection, number: i64, item: ItemId) -> Result<Option<Seat>, Error> {
    let row = connection
        .prepare_cached(FIND)?
        .query_row(params![number, item.0 as i64], |row| {
            Ok(Seat {
                held_until: row.get(0)?,
                refreshed_stamp: row.get(1)?,
                released_stamp: row.get(2)?,
                active_until: row.get(3)?,
                instances: row.get::<_, i64>(4)? as u64,
            })
        })
        .optional()?;
    Ok(row)
}

/// How many seats of the item the device holds at `now` (seconds): one at most, but for the
/// instances of a `concurrent_instance` item.
pub fn held(ledger: &Ledger<'_>, client: ClientUuid, item: ItemId, now: i64) -> Result<u64, Error> {
    Ok(find(ledger, client, item)?.filter(|seat| seat.active_until > now).map_or(0, |seat| seat.instances))
}

/// Since when (seconds) the device holds no seat of the item, because it was released or its
/// time has passed; `None`: it holds one. A device that never had one is long without.
pub fn free_since(ledger: &Ledger<'_>, client: ClientUuid, item: ItemId, now: i64) -> Result<Option<i64>, Error> {
    Ok(match find(ledger, client, item)? {
        None => Some(i64::MIN),
        Some(seat) if seat.active_until > now => None,
        Some(seat) if seat.active_until == 0 => Some(seat.released_stamp.div_euclid(1_000_000)),
        Some(seat) => Some(seat.active_until),
    })
}

/// Whether the device holds a seat of the item at `now` (seconds).
pub fn holds(ledger: &Ledger<'_>, client: ClientUuid, item: ItemId, now: i64) -> Result<bool, Error> {
    Ok(held(ledger, client, item, now)? > 0)
}

/// How many seats of the item are held at `now` (seconds).
pub fn count_active(ledger: &mut Ledger<'_>, item: ItemId, now: i64) -> Result<u64, Error> {
    let connection = ledger.connection();
    let count = match ledger.memory().seats.get(&item).copied() {
        Some(count) if now <= count.as_of => count,
        Some(count) => {
            let ended: i64 = connection.prepare_cached(COUNT_ENDED)?.query_row(params![item.0 as i64, count.as_of, now], |row| row.get(0))?;
            Count { active: count.active - ended as u64, as_of: now }
        }
        None => Count { active: read_active(connection, item, now)?, as_of: now },
    };
    ledger.memory().seats.insert(item, count);
    Ok(count.active)
}

/// The same, read from the table: for listings.
pub fn read_active(connection: &Connection, item: ItemId, now: i64) -> Result<u64, Error> {
    let active: i64 = connection.prepare_cached(COUNT)?.query_row(params![item.0 as i64, now], |row| row.get(0))?;
    Ok(active as u64)
}

/// How many seats of the item the admin has freed by hand.
pub fn count_admin_releases(connection: &Connection, item: ItemId) -> Result<u64, Error> {
    let count: i64 = connection.prepare_cached(RELEASES)?.query_row(params![item.0 as i64], |row| row.get(0))?;
    Ok(count as u64)
}
