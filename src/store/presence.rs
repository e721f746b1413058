//! Which devices were at work, in a slot and on a day: counted when a report is applied, so
//! that pages never count devices themselves (domain §6).
//!
//! A device that once was seen on a day stays seen, whichever server's copy of its report
//! counts; what it did is what the copies that count say.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Error;
use super::ledger::Ledger;
use super::usage::{Direction, REQUESTS};
use crate::licensing::charging::Charge;
use crate::licensing::{ClientUuid, CodeId, ItemId, Slot};

const SEE: &str = "INSERT INTO device_days (code_id, item_id, day, client_uuid, units, reports) VALUES (?1, ?2, ?3, ?4, 0, 0) ON CONFLICT DO NOTHING";
const ADD: &str = "UPDATE device_days SET units = units + ?5, reports = reports + ?6 WHERE code_id = ?1 AND item_id = ?2 AND day = ?3 AND client_uuid = ?4";
const FIRST: &str = "SELECT day FROM device_firsts WHERE code_id = ?1 AND item_id = ?2 AND client_uuid = ?3";
const PUT_FIRST: &str = "INSERT INTO device_firsts (code_id, item_id, client_uuid, day) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (code_id, item_id, client_uuid) DO UPDATE SET day = ?4";
const COUNT_DAY: &str = "INSERT INTO day_devices (code_id, item_id, day, devices, first) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (code_id, item_id, day) DO UPDATE SET devices = devices + ?4, first = first + ?5";
const OTHERS: &str = "SELECT EXISTS (SELECT 1 FROM reports WHERE code_id = ?1 AND slot = ?2 AND client_uuid = ?3 AND report_id <> ?4)";
const COUNT_SLOT: &str = "INSERT INTO slot_devices (code_id, slot, devices) VALUES (?1, ?2, ?3)
    ON CONFLICT (code_id, slot) DO UPDATE SET devices = devices + ?3 RETURNING devices";
const DROP_SLOT: &str = "DELETE FROM slot_devices WHERE code_id = ?1 AND slot = ?2 AND devices <= 0";
const RAISE_PEAK: &str = "INSERT INTO day_peaks (code_id, day, devices) VALUES (?1, ?2, ?3)
    ON CONFLICT (code_id, day) DO UPDATE SET devices = ?3 WHERE ?3 > devices";
const FIND_PEAK: &str = "SELECT COALESCE(MAX(devices), 0) FROM slot_devices WHERE code_id = ?1 AND slot >= ?2 AND slot < ?3";
const PUT_PEAK: &str = "UPDATE day_peaks SET devices = ?3 WHERE code_id = ?1 AND day = ?2";
const DROP_PEAK: &str = "DELETE FROM day_peaks WHERE code_id = ?1 AND day = ?2 AND devices = 0";
const EVER: &str = "SELECT COALESCE(SUM(first), 0) FROM day_devices WHERE code_id = ?1 AND item_id = 0";

pub(super) const STATEMENTS: &[&str] =
    &[SEE, ADD, FIRST, PUT_FIRST, COUNT_DAY, OTHERS, COUNT_SLOT, DROP_SLOT, RAISE_PEAK, FIND_PEAK, PUT_PEAK, DROP_PEAK, EVER];

/// How many devices were ever at work under a code: a sum over days, not over devices.
pub fn read_devices_ever(connection: &Connection, code: CodeId) -> Result<u64, Error> {
    let count: i64 = connection.prepare_cached(EVER)?.query_row(params![code.bytes()], |row| row.get(0))?;
    Ok(count.max(0) as u64)
}

/// Remembers that a device was at work on a day.
pub(super) fn see(ledger: &Ledger<'_>, code: CodeId, day: i64, client: ClientUuid, charges: &[Charge]) -> Result<(), Error> {
    let connection = ledger.connection();
    let (code, client) = (code.bytes(), client.bytes());
    for item in items_of(charges) {
        let item = item.0 as i64;
        if connection.prepare_cached(SEE)?.execute(params![code, item, day, client])? == 0 {
            continue;
        }
        let first: Option<i64> = connection.prepare_cached(FIRST)?.query_row(params![code, item, client], |row| row.get(0)).optional()?;
        let is_first = first.is_none_or(|first| day < first);
        connection.prepare_cached(COUNT_DAY)?.execute(params![code, item, day, 1, i64::from(is_first)])?;
        if is_first {
            connection.prepare_cached(PUT_FIRST)?.execute(params![code, item, client, day])?;
        }
        if let Some(first) = first.filter(|_| is_first) {
            connection.prepare_cached(COUNT_DAY)?.execute(params![code, item, first, 0, -1])?;
        }
    }
    Ok(())
}

/// The items that are counted for: all together, and each that pays.
fn items_of(charges: &[Charge]) -> impl Iterator<Item = ItemId> {
    let paying = charges.iter().enumerate().filter(|(n, charge)| charges[..*n].iter().all(|before| before.item_id != charge.item_id));
    std::iter::once(REQUESTS).chain(paying.map(|(_, charge)| charge.item_id))
}

/// Counts what a device did on a day, or takes it back.
pub(super) fn count(ledger: &Ledger<'_>, code: CodeId, day: i64, client: ClientUuid, charges: &[Charge], direction: Direction) -> Result<(), Error> {
    let sign = if direction == Direction::Charge { 1 } else { -1 };
    for item in items_of(charges) {
        let paid = charges.iter().filter(|charge| item == REQUESTS || charge.item_id == item);
        let units: u64 = paid.flat_map(|charge| charge.counts.values()).sum();
        let row = params![code.bytes(), item.0 as i64, day, client.bytes(), sign * units as i64, sign];
        ledger.connection().prepare_cached(ADD)?.execute(row)?;
    }
    Ok(())
}

/// The report `id` of this slot counts now, or does not any more: whether its device was at work
/// in the slot is what the other reports say.
pub(super) fn change_slot(ledger: &Ledger<'_>, code: CodeId, slot: Slot, client: ClientUuid, id: &[u8; 16], direction: Direction) -> Result<(), Error> {
    let connection = ledger.connection();
    let code = code.bytes();
    let is_there: bool = connection.prepare_cached(OTHERS)?.query_row(params![code, slot.start(), client.bytes(), id], |row| row.get(0))?;
    if is_there {
        return Ok(());
    }
    let sign = if direction == Direction::Charge { 1 } else { -1 };
    let devices: i64 = connection.prepare_cached(COUNT_SLOT)?.query_row(params![code, slot.start(), sign], |row| row.get(0))?;
    if direction == Direction::Charge {
        connection.prepare_cached(RAISE_PEAK)?.execute(params![code, slot.day(), devices])?;
        return Ok(());
    }
    connection.prepare_cached(DROP_SLOT)?.execute(params![code, slot.start()])?;
    let begins = slot.day() * 86_400;
    let peak: i64 = connection.prepare_cached(FIND_PEAK)?.query_row(params![code, begins, begins + 86_400], |row| row.get(0))?;
    connection.prepare_cached(PUT_PEAK)?.execute(params![code, slot.day(), peak])?;
    connection.prepare_cached(DROP_PEAK)?.execute(params![code, slot.day()])?;
    Ok(())
}
