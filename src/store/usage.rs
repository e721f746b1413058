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
use crate::licensing::{CodeId, ItemId, ServerUuid, Slot};

/// Changes of counters that are not written yet.
#[derive(Debug, Default)]
pub struct Deltas {
    items: HashMap<(ItemId, ServerUuid), (i64, i64)>,
    slots: HashMap<UsageKey, i64>,
    authorizations: HashMap<(CodeId, ItemId, i64, u16, ServerUuid), i64>,
    activity: HashMap<(CodeId, ItemId, Slot, ServerUuid), Activity>,
}

/// Units of one type in one slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct UsageKey {
    code: CodeId,
    item: ItemId,
    slot: Slot,
    kind: String,
    module: String,
    origin: ServerUuid,
}

/// What happened in a slot.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Activity {
    reports: i64,
    granted: i64,
    refused: i64,
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
pub(super) const REQUESTS: ItemId = ItemId(0);

const ADD_ITEM: &str = "INSERT INTO item_usage (item_id, origin, used, overuse) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (item_id, origin) DO UPDATE SET used = used + ?3, overuse = overuse + ?4";
const ADD_DAY: &str = "INSERT INTO usage_days (code_id, day, item_id, type, module, origin, units) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (code_id, item_id, day, type, module, origin) DO UPDATE SET units = units + ?7";
const ADD_SLOT: &str = "INSERT INTO usage_slots (code_id, slot, item_id, type, module, origin, units) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (code_id, slot, item_id, type, module, origin) DO UPDATE SET units = units + ?7";
const ADD_ACTIVITY: &str = "INSERT INTO slot_activity (code_id, item_id, slot, origin, reports, granted, refused) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (code_id, item_id, slot, origin) DO UPDATE SET reports = reports + ?5, granted = granted + ?6, refused = refused + ?7";
const ADD_AUTHORIZATIONS: &str = "INSERT INTO authorization_days (code_id, item_id, day, outcome, origin, count) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (code_id, item_id, day, outcome, origin) DO UPDATE SET count = count + ?6";
// A counter that was taken back to nothing leaves no row, as if it had never been.
const DROP_ITEM: &str = "DELETE FROM item_usage WHERE item_id = ?1 AND origin = ?2 AND used = 0 AND overuse = 0";
const DROP_DAY: &str = "DELETE FROM usage_days WHERE code_id = ?1 AND day = ?2 AND item_id = ?3 AND type = ?4 AND module = ?5 AND origin = ?6 AND units = 0";
const DROP_SLOT: &str = "DELETE FROM usage_slots WHERE code_id = ?1 AND slot = ?2 AND item_id = ?3 AND type = ?4 AND module = ?5 AND origin = ?6 AND units = 0";
const DROP_ACTIVITY: &str =
    "DELETE FROM slot_activity WHERE code_id = ?1 AND item_id = ?2 AND slot = ?3 AND origin = ?4 AND reports = 0 AND granted = 0 AND refused = 0";
const USED: &str = "SELECT COALESCE(SUM(used), 0), COALESCE(SUM(overuse), 0) FROM item_usage WHERE item_id = ?1";
const BY_TYPE: &str = "SELECT type, SUM(units) FROM usage_days
    WHERE (?1 IS NULL OR code_id = ?1) AND (?2 IS NULL OR item_id = ?2) AND day BETWEEN ?3 AND ?4 GROUP BY type HAVING SUM(units) <> 0";
const BY_MODULE: &str = "SELECT module, SUM(units) FROM usage_days
    WHERE (?1 IS NULL OR code_id = ?1) AND (?2 IS NULL OR item_id = ?2) AND day BETWEEN ?3 AND ?4 AND module <> '' GROUP BY module HAVING SUM(units) <> 0";
const DEVICES: &str = "SELECT COUNT(DISTINCT client_uuid) FROM device_days
    WHERE (?1 IS NULL OR code_id = ?1) AND item_id = COALESCE(?2, 0) AND day BETWEEN ?3 AND ?4";
const AUTHORIZATIONS: &str =
    "SELECT COALESCE(SUM(count) FILTER (WHERE outcome = 0), 0), COALESCE(SUM(count) FILTER (WHERE outcome <> 0), 0) FROM authorization_days
    WHERE (?1 IS NULL OR code_id = ?1) AND item_id = ?2 AND day BETWEEN ?3 AND ?4";

pub(super) const STATEMENTS: &[&str] = &[
    ADD_ITEM,
    ADD_DAY,
    ADD_SLOT,
    ADD_ACTIVITY,
    ADD_AUTHORIZATIONS,
    DROP_ITEM,
    DROP_DAY,
    DROP_SLOT,
    DROP_ACTIVITY,
    USED,
    BY_TYPE,
    BY_MODULE,
    DEVICES,
    AUTHORIZATIONS,
];

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
        for (kind, units) in &charge.counts {
            let module = charge.module.clone().unwrap_or_default();
            let key = UsageKey { code, item: charge.item_id, slot, kind: kind.clone(), module, origin };
            *memory.deltas.slots.entry(key).or_default() += sign * *units as i64;
        }
        memory.deltas.activity.entry((code, charge.item_id, slot, origin)).or_default().reports += sign;
    }
    memory.deltas.activity.entry((code, REQUESTS, slot, origin)).or_default().reports += sign;
}

/// Counts an authorization (`outcome` 0) or a refusal (its error code).
pub(super) fn count_authorization(ledger: &mut Ledger<'_>, origin: ServerUuid, stamp: Micros, code: CodeId, outcome: u16, items: impl Iterator<Item = ItemId>) {
    let (day, slot) = (stamp.div_euclid(86_400_000_000), Slot::containing(stamp.div_euclid(1_000_000)));
    let deltas = &mut ledger.memory().deltas;
    for item in std::iter::once(REQUESTS).chain(items) {
        *deltas.authorizations.entry((code, item, day, outcome, origin)).or_default() += 1;
        let activity = deltas.activity.entry((code, item, slot, origin)).or_default();
        *(if outcome == 0 { &mut activity.granted } else { &mut activity.refused }) += 1;
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
    let mut days: HashMap<UsageKey, i64> = HashMap::new();
    for (key, units) in deltas.slots.drain().filter(|(_, units)| *units != 0) {
        write_units(connection, (ADD_SLOT, DROP_SLOT), &key, key.slot.start(), units)?;
        *days.entry(UsageKey { slot: Slot::containing(key.slot.day() * 86_400), ..key }).or_default() += units;
    }
    for (key, units) in days.into_iter().filter(|(_, units)| *units != 0) {
        write_units(connection, (ADD_DAY, DROP_DAY), &key, key.slot.day(), units)?;
    }
    for ((code, item, slot, origin), Activity { reports, granted, refused }) in deltas.activity.drain().filter(|(_, activity)| *activity != Activity::default())
    {
        let (code, item, slot, origin) = (code.bytes(), item.0 as i64, slot.start(), origin.bytes());
        connection.prepare_cached(ADD_ACTIVITY)?.execute(params![code, item, slot, origin, reports, granted, refused])?;
        if reports < 0 {
            connection.prepare_cached(DROP_ACTIVITY)?.execute(params![code, item, slot, origin])?;
        }
    }
    for ((code, item, day, outcome, origin), count) in deltas.authorizations.drain() {
        connection.prepare_cached(ADD_AUTHORIZATIONS)?.execute(params![code.bytes(), item.0 as i64, day, outcome, origin.bytes(), count])?;
    }
    Ok(())
}

/// Adds units to a row of a slot or a day; one that comes to nothing goes.
fn write_units(connection: &Connection, (add, drop): (&str, &str), key: &UsageKey, time: i64, units: i64) -> Result<(), Error> {
    let (code, item, origin) = (key.code.bytes(), key.item.0 as i64, key.origin.bytes());
    connection.prepare_cached(add)?.execute(params![code, time, item, key.kind, key.module, origin, units])?;
    if units < 0 {
        connection.prepare_cached(drop)?.execute(params![code, time, item, key.kind, key.module, origin])?;
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
