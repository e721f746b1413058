//! Counters: what each item was charged, what was used each day, how authorizations went.
//!
//! Counters are kept per origin and summed on reading. While a transaction runs they are
//! gathered in [`Deltas`] and written once before the commit: a batch of a thousand
//! reports under one code touches a handful of rows.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, params};

use super::Error;
use super::ledger::Ledger;
use crate::clock::Micros;
use crate::licensing::charging::Charge;
use crate::licensing::{ClientUuid, CodeId, ItemId, ServerUuid, Slot};

/// Changes of counters that are not written yet.
#[derive(Debug, Default)]
pub struct Deltas {
    items: HashMap<(ItemId, ServerUuid), (i64, i64)>,
    days: HashMap<(CodeId, ItemId, i64, String, String, ServerUuid), i64>,
    authorizations: HashMap<(CodeId, ItemId, i64, u16, ServerUuid), i64>,
}

/// Whether use is added or taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Added.
    Charge,
    /// Taken back, because the other server's copy of the report counts.
    TakeBack,
}

/// Requests are counted under this item number, which no item has.
const REQUESTS: ItemId = ItemId(0);

const ADD_ITEM: &str = "INSERT INTO item_usage (item_id, origin, used, overuse) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (item_id, origin) DO UPDATE SET used = used + ?3, overuse = overuse + ?4";
const ADD_DAY: &str = "INSERT INTO usage_days (code_id, item_id, day, type, module, origin, units) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (code_id, item_id, day, type, module, origin) DO UPDATE SET units = units + ?7";
const ADD_AUTHORIZATIONS: &str = "INSERT INTO authorization_days (code_id, item_id, day, outcome, origin, count) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (code_id, item_id, day, outcome, origin) DO UPDATE SET count = count + ?6";
// A counter that was taken back to nothing leaves no row, as if it had never been.
const DROP_ITEM: &str = "DELETE FROM item_usage WHERE item_id = ?1 AND origin = ?2 AND used = 0 AND overuse = 0";
const DROP_DAY: &str = "DELETE FROM usage_days WHERE code_id = ?1 AND item_id = ?2 AND day = ?3 AND type = ?4 AND module = ?5 AND origin = ?6 AND units = 0";
const SEE_DEVICE: &str = "INSERT INTO device_days (code_id, item_id, day, client_uuid) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
const USED: &str = "SELECT COALESCE(SUM(used), 0), COALESCE(SUM(overuse), 0) FROM item_usage WHERE item_id = ?1";
const BY_TYPE: &str = "SELECT type, SUM(units) FROM usage_days
    WHERE (?1 IS NULL OR code_id = ?1) AND (?2 IS NULL OR item_id = ?2) AND day BETWEEN ?3 AND ?4 GROUP BY type HAVING SUM(units) <> 0";
const BY_MODULE: &str = "SELECT module, SUM(units) FROM usage_days
    WHERE (?1 IS NULL OR code_id = ?1) AND (?2 IS NULL OR item_id = ?2) AND day BETWEEN ?3 AND ?4 AND module <> '' GROUP BY module HAVING SUM(units) <> 0";
const DEVICES: &str = "SELECT COUNT(DISTINCT client_uuid) FROM device_days
    WHERE (?1 IS NULL OR code_id = ?1) AND (?2 IS NULL OR item_id = ?2) AND day BETWEEN ?3 AND ?4";
const AUTHORIZATIONS: &str =
    "SELECT COALESCE(SUM(count) FILTER (WHERE outcome = 0), 0), COALESCE(SUM(count) FILTER (WHERE outcome <> 0), 0) FROM authorization_days
    WHERE (?1 IS NULL OR code_id = ?1) AND item_id = ?2 AND day BETWEEN ?3 AND ?4";

pub(super) const STATEMENTS: &[&str] =
    &[ADD_ITEM, ADD_DAY, ADD_AUTHORIZATIONS, DROP_ITEM, DROP_DAY, SEE_DEVICE, USED, BY_TYPE, BY_MODULE, DEVICES, AUTHORIZATIONS];

/// Counts what a report was charged to.
pub(super) fn count(ledger: &mut Ledger<'_>, origin: ServerUuid, code: CodeId, slot: Slot, charges: &[Charge], direction: Direction) {
    let sign = if direction == Direction::Charge { 1 } else { -1 };
    let memory = ledger.memory();
    for charge in charges {
        let units: u64 = charge.counts.values().sum();
        let item = memory.deltas.items.entry((charge.item_id, origin)).or_default();
        item.0 += sign * units as i64;
        item.1 += sign * charge.overuse as i64;
        if let Some(used) = memory.used.get_mut(&charge.item_id) {
            *used = used.saturating_add_signed(sign * units as i64);
        }
        for (name, units) in &charge.counts {
            *memory.deltas.days.entry((code, charge.item_id, slot.day(), name.clone(), charge.module.clone().unwrap_or_default(), origin)).or_default() +=
                sign * *units as i64;
        }
    }
}

/// Remembers that a device was at work on a day; whichever server's copy of its report
/// counts, the device was there.
pub(super) fn see_device(ledger: &Ledger<'_>, code: CodeId, day: i64, client: ClientUuid, charges: &[Charge]) -> Result<(), Error> {
    for charge in charges {
        ledger.connection().prepare_cached(SEE_DEVICE)?.execute(params![code.bytes(), charge.item_id.0 as i64, day, client.bytes()])?;
    }
    Ok(())
}

/// Counts an authorization (`outcome` 0) or a refusal (its error code).
pub(super) fn count_authorization(ledger: &mut Ledger<'_>, origin: ServerUuid, stamp: Micros, code: CodeId, outcome: u16, items: impl Iterator<Item = ItemId>) {
    let day = stamp.div_euclid(86_400_000_000);
    let deltas = &mut ledger.memory().deltas.authorizations;
    for item in std::iter::once(REQUESTS).chain(items) {
        *deltas.entry((code, item, day, outcome, origin)).or_default() += 1;
    }
}

/// Writes what was gathered.
pub(super) fn write(connection: &Connection, deltas: &mut Deltas) -> Result<(), Error> {
    for ((item, origin), (used, overuse)) in deltas.items.drain().filter(|(_, delta)| *delta != (0, 0)) {
        connection.prepare_cached(ADD_ITEM)?.execute(params![item.0 as i64, origin.bytes(), used, overuse])?;
        if used < 0 {
            connection.prepare_cached(DROP_ITEM)?.execute(params![item.0 as i64, origin.bytes()])?;
        }
    }
    for ((code, item, day, name, module, origin), units) in deltas.days.drain().filter(|(_, units)| *units != 0) {
        connection.prepare_cached(ADD_DAY)?.execute(params![code.bytes(), item.0 as i64, day, name, module, origin.bytes(), units])?;
        if units < 0 {
            connection.prepare_cached(DROP_DAY)?.execute(params![code.bytes(), item.0 as i64, day, name, module, origin.bytes()])?;
        }
    }
    for ((code, item, day, outcome, origin), count) in deltas.authorizations.drain() {
        connection.prepare_cached(ADD_AUTHORIZATIONS)?.execute(params![code.bytes(), item.0 as i64, day, outcome, origin.bytes(), count])?;
    }
    Ok(())
}

/// Units charged to an item so far, this transaction included.
pub fn used(ledger: &mut Ledger<'_>, item: ItemId) -> Result<u64, Error> {
    if let Some(used) = ledger.memory().used.get(&item) {
        return Ok(*used);
    }
    // What is gathered for an item is always in `used` as well, once it was asked for; before that it must be written first.
    ledger.flush()?;
    let (used, _) = read_used(ledger.connection(), item)?;
    ledger.memory().used.insert(item, used);
    Ok(used)
}

/// Units charged to an item, and how many of them are overuse, as committed.
pub fn read_used(connection: &Connection, item: ItemId) -> Result<(u64, u64), Error> {
    let sums: (i64, i64) = connection.prepare_cached(USED)?.query_row(params![item.0 as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((sums.0.max(0) as u64, sums.1.max(0) as u64))
}

/// Whose use is asked for, and in which days (since 1970, both included).
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Only this code.
    pub code: Option<CodeId>,
    /// Only this item.
    pub item: Option<ItemId>,
    /// First day.
    pub from_day: i64,
    /// Last day.
    pub to_day: i64,
}

/// What was used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Units by type.
    pub by_type: BTreeMap<String, u64>,
    /// Pages by module.
    pub by_module: BTreeMap<String, u64>,
    /// Devices that reported use.
    pub devices: u64,
    /// Authorizations granted.
    pub granted: u64,
    /// Authorizations refused.
    pub refused: u64,
}

/// Reads what was used.
pub fn read(connection: &Connection, scope: Scope) -> Result<Usage, Error> {
    let code = scope.code.map(|code| code.bytes().to_vec());
    let item = scope.item.map(|item| item.0 as i64);
    let sums = |sql: &str| -> Result<BTreeMap<String, u64>, Error> {
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![code, item, scope.from_day, scope.to_day], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.max(0) as u64)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    let (by_type, by_module) = (sums(BY_TYPE)?, sums(BY_MODULE)?);
    let devices: i64 = connection.prepare_cached(DEVICES)?.query_row(params![code, item, scope.from_day, scope.to_day], |row| row.get(0))?;
    let counted = item.unwrap_or(REQUESTS.0 as i64);
    let (granted, refused): (i64, i64) =
        connection.prepare_cached(AUTHORIZATIONS)?.query_row(params![code, counted, scope.from_day, scope.to_day], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Usage { by_type, by_module, devices: devices as u64, granted: granted as u64, refused: refused as u64 })
}
