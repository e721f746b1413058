//! Concurrent use, slot by slot (domain §4): how many devices or instances reported use of
//! an item in the same three minutes, and how much of that was beyond its quota.

use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::Error;
use super::ledger::Ledger;
use super::usage::Direction;
use crate::licensing::charging::Charge;
use crate::licensing::{ClientUuid, ItemId, Slot};

/// The excess of an item over all slots, kept up to date by the writer.
#[derive(Debug, Clone, Copy)]
pub struct Excess {
    quota: u64,
    sum: u64,
}

const ADD: &str =
    "INSERT INTO slot_uses (item_id, slot, client_uuid, report_id, instances) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET instances = ?5";
const REMOVE: &str = "DELETE FROM slot_uses WHERE item_id = ?1 AND slot = ?2 AND client_uuid = ?3 AND report_id = ?4";
const OF_MACHINE: &str = "SELECT COALESCE(MAX(instances), 0) FROM slot_uses WHERE item_id = ?1 AND slot = ?2 AND client_uuid = ?3";
const ACTIVE: &str = "SELECT active FROM slot_totals WHERE item_id = ?1 AND slot = ?2";
const SET_ACTIVE: &str = "INSERT INTO slot_totals (item_id, slot, active) VALUES (?1, ?2, ?3) ON CONFLICT (item_id, slot) DO UPDATE SET active = ?3";
const DROP_ACTIVE: &str = "DELETE FROM slot_totals WHERE item_id = ?1 AND slot = ?2";
const EXCESS: &str = "SELECT COALESCE(SUM(active - ?2), 0) FROM slot_totals WHERE item_id = ?1 AND active > ?2";
const PEAK: &str = "SELECT COALESCE(MAX(active), 0) FROM slot_totals WHERE item_id = ?1 AND slot BETWEEN ?2 AND ?3";

pub(super) const STATEMENTS: &[&str] = &[ADD, REMOVE, OF_MACHINE, ACTIVE, SET_ACTIVE, DROP_ACTIVE, EXCESS, PEAK];

/// Counts a report in its slot, or takes it back. A machine counts once in a slot, with the
/// largest number that one of its reports has, so the sums do not depend on the order.
pub(super) fn count(ledger: &mut Ledger<'_>, client: ClientUuid, report: Uuid, slot: Slot, charges: &[Charge], direction: Direction) -> Result<(), Error> {
    for charge in charges {
        let Some(instances) = charge.slot_use else { continue };
        let connection = ledger.connection();
        let (item, start) = (charge.item_id.0 as i64, slot.start());
        let before = of_machine(connection, charge.item_id, slot, client)?;
        match direction {
            Direction::Charge => connection.prepare_cached(ADD)?.execute(params![item, start, client.bytes(), report.as_bytes(), instances])?,
            Direction::TakeBack => connection.prepare_cached(REMOVE)?.execute(params![item, start, client.bytes(), report.as_bytes()])?,
        };
        let after = of_machine(connection, charge.item_id, slot, client)?;
        if before == after {
            continue;
        }
        let old = active(connection, charge.item_id, slot)?;
        let new = old + after - before;
        match new {
            0 => connection.prepare_cached(DROP_ACTIVE)?.execute(params![item, start])?,
            new => connection.prepare_cached(SET_ACTIVE)?.execute(params![item, start, new as i64])?,
        };
        if let Some(excess) = ledger.memory().excess.get_mut(&charge.item_id) {
            excess.sum = excess.sum + new.saturating_sub(excess.quota) - old.saturating_sub(excess.quota);
        }
    }
    Ok(())
}

fn of_machine(connection: &Connection, item: ItemId, slot: Slot, client: ClientUuid) -> Result<u64, Error> {
    let instances: i64 = connection.prepare_cached(OF_MACHINE)?.query_row(params![item.0 as i64, slot.start(), client.bytes()], |row| row.get(0))?;
    Ok(instances as u64)
}

fn active(connection: &Connection, item: ItemId, slot: Slot) -> Result<u64, Error> {
    let active: Option<i64> = connection.prepare_cached(ACTIVE)?.query_row(params![item.0 as i64, slot.start()], |row| row.get(0)).optional()?;
    Ok(active.unwrap_or(0) as u64)
}

/// How much is in use in a slot: by all machines, and by this one.
pub fn in_use(ledger: &Ledger<'_>, item: ItemId, slot: Slot, client: ClientUuid) -> Result<(u64, u64), Error> {
    Ok((active(ledger.connection(), item, slot)?, of_machine(ledger.connection(), item, slot, client)?))
}

/// The sum over all slots of what was in use beyond the quota, this transaction included.
pub fn excess(ledger: &mut Ledger<'_>, item: ItemId, quota: u64) -> Result<u64, Error> {
    if let Some(known) = ledger.memory().excess.get(&item).filter(|known| known.quota == quota) {
        return Ok(known.sum);
    }
    let sum = read_excess(ledger.connection(), item, quota)?;
    ledger.memory().excess.insert(item, Excess { quota, sum });
    Ok(sum)
}

/// The same, read from the table: for listings.
pub fn read_excess(connection: &Connection, item: ItemId, quota: u64) -> Result<u64, Error> {
    let sum: i64 = connection.prepare_cached(EXCESS)?.query_row(params![item.0 as i64, quota as i64], |row| row.get(0))?;
    Ok(sum as u64)
}

/// The highest number in use in any slot that starts between two times (seconds, both
/// included).
pub fn read_peak(connection: &Connection, item: ItemId, from: i64, to: i64) -> Result<u64, Error> {
    let peak: i64 = connection.prepare_cached(PEAK)?.query_row(params![item.0 as i64, from, to], |row| row.get(0))?;
    Ok(peak as u64)
}
