//! What the statistics show (domain §6): reads of the tables that were rolled up when facts were
//! applied. Nothing here walks over all reports or all devices.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::facts::{self, Body, Fact};
use super::{Error, reports};
use crate::clock::Micros;
use crate::licensing::charging::Charge;
use crate::licensing::{ClientUuid, CodeId, ItemId, ServerUuid, Slot};

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Most facts of the journal that one page of authorizations looks at.
const FACTS_LOOKED_AT: usize = 20_000;

/// Whose use is shown: that of a code, or that of an item through all codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The codes.
    pub codes: Vec<CodeId>,
    /// Only this item; all of the codes where absent.
    pub item: Option<ItemId>,
    /// Whether the item counts concurrent use, which is then shown instead of the code's.
    pub is_concurrent: bool,
}

impl Scope {
    fn item_number(&self) -> i64 {
        self.item.unwrap_or(super::usage::REQUESTS).0 as i64
    }
}

/// What was used on a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Day {
    /// Scans or pages.
    pub units: u64,
    /// Devices at work.
    pub devices: u64,
    /// Of those, the ones that were never at work before.
    pub first: u64,
    /// The most devices (or instances, of an item that counts them) at work in one slot.
    pub peak: u64,
}

/// What happened in a slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotRow {
    /// Units by type.
    pub by_type: BTreeMap<String, u64>,
    /// Devices at work.
    pub devices: u64,
    /// Reports of it.
    pub reports: u64,
    /// Authorizations granted in it.
    pub granted: u64,
    /// Authorizations refused in it.
    pub refused: u64,
}

/// What a device did on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRow {
    /// The device.
    pub client: ClientUuid,
    /// Scans or pages.
    pub units: u64,
    /// Reports.
    pub reports: u64,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRow {
    /// Its id.
    pub id: Uuid,
    /// Its slot.
    pub slot: Slot,
    /// The device.
    pub client: ClientUuid,
    /// Who paid what.
    pub charges: Vec<Charge>,
}

/// A request for an authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRow {
    /// When, seconds since 1970.
    pub at: i64,
    /// The device.
    pub client: ClientUuid,
    /// The error code; 0 when it was granted.
    pub outcome: u16,
    /// The items it was granted with, or the one that got furthest.
    pub items: Vec<ItemId>,
    /// Why it was refused.
    pub detail: String,
}

/// A page of rows and where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<Row, Cursor> {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where to go on; absent at the end.
    pub next: Option<Cursor>,
}

const BY_TYPE: &str = "SELECT type, SUM(units) FROM usage_days WHERE code_id = ?1 AND (?2 = 0 OR item_id = ?2) AND day BETWEEN ?3 AND ?4 GROUP BY type";
const BY_DAY: &str = "SELECT day, SUM(units) FROM usage_days WHERE code_id = ?1 AND (?2 = 0 OR item_id = ?2) AND day BETWEEN ?3 AND ?4 GROUP BY day";
const DEVICES_BY_DAY: &str = "SELECT day, devices, first FROM day_devices WHERE code_id = ?1 AND item_id = ?2 AND day BETWEEN ?3 AND ?4";
const PEAKS: &str = "SELECT day, devices FROM day_peaks WHERE code_id = ?1 AND day BETWEEN ?2 AND ?3";
const ITEM_PEAKS: &str = "SELECT slot / 86400, MAX(active) FROM slot_totals WHERE item_id = ?1 AND slot >= ?2 AND slot < ?3 GROUP BY slot / 86400";
const FIRST_DAY: &str = "SELECT MIN(day) FROM usage_days WHERE code_id = ?1 AND (?2 = 0 OR item_id = ?2)";
const SLOT_TYPES: &str = "SELECT slot, type, SUM(units) FROM usage_slots
    WHERE code_id = ?1 AND slot >= ?3 AND slot < ?4 AND (?2 = 0 OR item_id = ?2) GROUP BY slot, type";
const SLOT_ACTIVITY: &str = "SELECT slot, SUM(reports), SUM(granted), SUM(refused) FROM slot_activity
    WHERE code_id = ?1 AND item_id = ?2 AND slot >= ?3 AND slot < ?4 GROUP BY slot";
const SLOT_DEVICES: &str = "SELECT slot, devices FROM slot_devices WHERE code_id = ?1 AND slot >= ?2 AND slot < ?3";
const SLOT_TOTALS: &str = "SELECT slot, active FROM slot_totals WHERE item_id = ?1 AND slot >= ?2 AND slot < ?3";
const DEVICES_OF_DAY: &str = "SELECT client_uuid, units, reports FROM device_days
    WHERE code_id = ?1 AND item_id = ?2 AND day = ?3 AND client_uuid > ?4 ORDER BY client_uuid LIMIT ?5";
const REPORTS_OF_DAY: &str = "SELECT report_id, slot, client_uuid, charges FROM reports INDEXED BY reports_by_slot
    WHERE code_id = ?1 AND slot < ?3 AND (slot, client_uuid, report_id) > (?2, ?4, ?5) ORDER BY slot, client_uuid, report_id LIMIT ?6";
const AT_OR_AFTER: &str = "SELECT sequence, stamp FROM journal WHERE origin = ?1 AND sequence >= ?2 ORDER BY sequence LIMIT 1";
const USED_SINCE: &str = "SELECT COALESCE(SUM(units), 0) FROM usage_days WHERE code_id = ?1 AND item_id = ?2 AND day BETWEEN ?3 AND ?4";
const ANSWERED: &str =
    "SELECT COALESCE(SUM(granted), 0), COALESCE(SUM(refused), 0) FROM slot_activity WHERE code_id = ?1 AND item_id = 0 AND slot >= ?2 AND slot < ?3";
const ACTIVE_NOW: &str = "SELECT COALESCE(SUM(devices), 0) FROM slot_devices WHERE code_id = ?1 AND slot = ?2";

pub(super) const STATEMENTS: &[&str] = &[
    BY_TYPE,
    BY_DAY,
    DEVICES_BY_DAY,
    PEAKS,
    ITEM_PEAKS,
    FIRST_DAY,
    SLOT_TYPES,
    SLOT_ACTIVITY,
    SLOT_DEVICES,
    SLOT_TOTALS,
    DEVICES_OF_DAY,
    REPORTS_OF_DAY,
    AT_OR_AFTER,
    USED_SINCE,
    ANSWERED,
    ACTIVE_NOW,
];

fn count(value: i64) -> u64 {
    value.max(0) as u64
}

/// Units by type, of these days (since 1970, both included).
pub fn read_types(connection: &Connection, scope: &Scope, from: i64, to: i64) -> Result<BTreeMap<String, u64>, Error> {
    let mut types = BTreeMap::new();
    for code in &scope.codes {
        let mut statement = connection.prepare_cached(BY_TYPE)?;
        let mut rows = statement.query(params![code.bytes(), item_filter(scope), from, to])?;
        while let Some(row) = rows.next()? {
            *types.entry(row.get(0)?).or_insert(0) += count(row.get(1)?);
        }
    }
    types.retain(|_, units| *units > 0);
    Ok(types)
}

/// 0 stands for every item.
fn item_filter(scope: &Scope) -> i64 {
    scope.item.map_or(0, |item| item.0 as i64)
}

/// Every day (since 1970, both included) on which something was used.
pub fn read_days(connection: &Connection, scope: &Scope, from: i64, to: i64) -> Result<BTreeMap<i64, Day>, Error> {
    let mut days: BTreeMap<i64, Day> = BTreeMap::new();
    for code in &scope.codes {
        let mut statement = connection.prepare_cached(BY_DAY)?;
        let mut rows = statement.query(params![code.bytes(), item_filter(scope), from, to])?;
        while let Some(row) = rows.next()? {
            days.entry(row.get(0)?).or_default().units += count(row.get(1)?);
        }
        let mut statement = connection.prepare_cached(DEVICES_BY_DAY)?;
        let mut rows = statement.query(params![code.bytes(), scope.item_number(), from, to])?;
        while let Some(row) = rows.next()? {
            let day = days.entry(row.get(0)?).or_default();
            day.devices += count(row.get(1)?);
            day.first += count(row.get(2)?);
        }
        if scope.item.is_none() {
            let mut statement = connection.prepare_cached(PEAKS)?;
            let mut rows = statement.query(params![code.bytes(), from, to])?;
            while let Some(row) = rows.next()? {
                let day = days.entry(row.get(0)?).or_default();
                day.peak = day.peak.max(count(row.get(1)?));
            }
        }
    }
    if let Some(item) = scope.item.filter(|_| scope.is_concurrent) {
        let (from, to) = (from.saturating_mul(DAY), to.saturating_add(1).saturating_mul(DAY));
        let mut statement = connection.prepare_cached(ITEM_PEAKS)?;
        let mut rows = statement.query(params![item.0 as i64, from, to])?;
        while let Some(row) = rows.next()? {
            days.entry(row.get(0)?).or_default().peak = count(row.get(1)?);
        }
    }
    Ok(days)
}

/// The first day on which something was used.
pub fn read_first_day(connection: &Connection, scope: &Scope) -> Result<Option<i64>, Error> {
    let mut first: Option<i64> = None;
    for code in &scope.codes {
        let day: Option<i64> = connection.prepare_cached(FIRST_DAY)?.query_row(params![code.bytes(), item_filter(scope)], |row| row.get(0))?;
        first = [first, day].into_iter().flatten().min();
    }
    Ok(first)
}

/// What happened in each slot of a day (since 1970), where something did.
pub fn read_slots(connection: &Connection, scope: &Scope, day: i64) -> Result<BTreeMap<Slot, SlotRow>, Error> {
    let (from, to) = (day * DAY, (day + 1) * DAY);
    let mut slots: BTreeMap<Slot, SlotRow> = BTreeMap::new();
    for code in &scope.codes {
        let mut statement = connection.prepare_cached(SLOT_TYPES)?;
        let mut rows = statement.query(params![code.bytes(), item_filter(scope), from, to])?;
        while let Some(row) = rows.next()? {
            *slots.entry(Slot::containing(row.get(0)?)).or_default().by_type.entry(row.get(1)?).or_insert(0) += count(row.get(2)?);
        }
        let mut statement = connection.prepare_cached(SLOT_ACTIVITY)?;
        let mut rows = statement.query(params![code.bytes(), scope.item_number(), from, to])?;
        while let Some(row) = rows.next()? {
            let slot = slots.entry(Slot::containing(row.get(0)?)).or_default();
            slot.reports += count(row.get(1)?);
            slot.granted += count(row.get(2)?);
            slot.refused += count(row.get(3)?);
        }
        if scope.item.is_none() {
            add_devices(connection.prepare_cached(SLOT_DEVICES)?, params![code.bytes(), from, to], &mut slots)?;
        }
    }
    if let Some(item) = scope.item.filter(|_| scope.is_concurrent) {
        add_devices(connection.prepare_cached(SLOT_TOTALS)?, params![item.0 as i64, from, to], &mut slots)?;
    }
    Ok(slots)
}

fn add_devices(mut statement: rusqlite::CachedStatement<'_>, values: &[&dyn rusqlite::ToSql], slots: &mut BTreeMap<Slot, SlotRow>) -> Result<(), Error> {
    let mut rows = statement.query(values)?;
    while let Some(row) = rows.next()? {
        slots.entry(Slot::containing(row.get(0)?)).or_default().devices += count(row.get(1)?);
    }
    Ok(())
}

/// What devices did on a day (since 1970), in the order of their UUIDs. Of an item in several
/// codes a device comes once a code.
pub fn list_devices(
    connection: &Connection,
    scope: &Scope,
    day: i64,
    after: Option<(CodeId, ClientUuid)>,
    limit: usize,
) -> Result<Page<DeviceRow, (CodeId, ClientUuid)>, Error> {
    let mut rows = Vec::new();
    let mut last = None;
    for (code, begin) in codes_from(scope, after) {
        let begin = begin.map_or_else(Vec::new, |client| client.bytes().to_vec());
        let mut statement = connection.prepare_cached(DEVICES_OF_DAY)?;
        let mut found = statement.query(params![code.bytes(), scope.item_number(), day, begin, (limit + 1 - rows.len()) as i64])?;
        while let Some(row) = found.next()? {
            if rows.len() == limit {
                return Ok(Page { rows, next: last });
            }
            let client = ClientUuid::from_bytes(row.get(0)?);
            rows.push(DeviceRow { client, units: count(row.get(1)?), reports: count(row.get(2)?) });
            last = Some((code, client));
        }
    }
    Ok(Page { rows, next: None })
}

/// The codes that are still to be read, the first of them from where a page ended.
fn codes_from<T>(scope: &Scope, after: Option<(CodeId, T)>) -> Vec<(CodeId, Option<T>)> {
    let (skip, mut begin) = match after {
        Some((code, begin)) => (scope.codes.iter().position(|known| *known == code).unwrap_or(0), Some(begin)),
        None => (0, None),
    };
    scope.codes.iter().skip(skip).map(|code| (*code, begin.take())).collect()
}

/// Where a page of reports ends: code, slot, device, id.
pub type ReportCursor = (CodeId, (Slot, ClientUuid, Uuid));

/// Reports of a day (since 1970), by slot.
pub fn list_reports(
    connection: &Connection,
    scope: &Scope,
    day: i64,
    after: Option<ReportCursor>,
    limit: usize,
) -> Result<Page<ReportRow, ReportCursor>, Error> {
    let mut rows = Vec::new();
    let mut last = None;
    for (code, begin) in codes_from(scope, after) {
        // Before the first slot of the day there is the last one of the day before, with every id.
        let (slot, client, id) =
            begin.map_or((day * DAY - 1, vec![], vec![]), |(slot, client, id)| (slot.start(), client.bytes().to_vec(), id.as_bytes().to_vec()));
        let mut statement = connection.prepare_cached(REPORTS_OF_DAY)?;
        let mut found = statement.query(params![code.bytes(), slot, (day + 1) * DAY, client, id, i64::MAX])?;
        while let Some(row) = found.next()? {
            let id = Uuid::from_bytes(row.get(0)?);
            let charges: Vec<Charge> = reports::read_charges(id, &row.get::<_, String>(3)?)?;
            if scope.item.is_some_and(|item| charges.iter().all(|charge| charge.item_id != item)) {
                continue;
            }
            if rows.len() == limit {
                return Ok(Page { rows, next: last });
            }
            let (slot, client) = (Slot::containing(row.get(1)?), ClientUuid::from_bytes(row.get(2)?));
            rows.push(ReportRow { id, slot, client, charges });
            last = Some((code, (slot, client, id)));
        }
    }
    Ok(Page { rows, next: None })
}

/// Where a page of authorizations ends: the fact.
pub type FactCursor = (ServerUuid, u64);

/// Requests for authorizations on a day (since 1970), in the order of the journal. A page may be
/// short, even empty, and there is more all the same: then so many facts were looked at that none
/// of them is about.
pub fn list_authorizations(
    connection: &Connection,
    scope: &Scope,
    day: i64,
    after: Option<FactCursor>,
    limit: usize,
) -> Result<Page<AuthorizationRow, FactCursor>, Error> {
    let (begin, end): (Micros, Micros) = (day * DAY * 1_000_000, (day + 1) * DAY * 1_000_000);
    let origins = facts::list_origins(connection)?;
    let skip = after.and_then(|(origin, _)| origins.iter().position(|known| *known == origin)).unwrap_or(0);
    let mut after = after.map(|(_, sequence)| sequence);
    let mut rows = Vec::new();
    let mut looked_at = 0;
    for origin in origins.into_iter().skip(skip) {
        let mut last = match after.take() {
            Some(sequence) => sequence,
            None => first_at(connection, origin, begin)?.saturating_sub(1),
        };
        'origin: loop {
            let page = facts::list_after(connection, origin, last, 500)?;
            if page.is_empty() {
                break;
            }
            for fact in page {
                if fact.stamp >= end {
                    break 'origin;
                }
                last = fact.sequence;
                looked_at += 1;
                if let Some(row) = authorization_of(scope, &fact)? {
                    rows.push(row);
                }
                if rows.len() >= limit || looked_at >= FACTS_LOOKED_AT {
                    return Ok(Page { rows, next: Some((origin, last)) });
                }
            }
        }
    }
    Ok(Page { rows, next: None })
}

fn authorization_of(scope: &Scope, fact: &Fact) -> Result<Option<AuthorizationRow>, Error> {
    if !["authorization_granted", "authorization_refused"].contains(&fact.kind.as_str()) {
        return Ok(None);
    }
    let at = fact.stamp.div_euclid(1_000_000);
    let (code, row) = match Body::from_json(&fact.kind, &fact.json)? {
        Body::AuthorizationGranted(body) => {
            let items = body.items.iter().map(|seat| seat.id).collect();
            (Some(body.code), AuthorizationRow { at, client: body.client, outcome: 0, items, detail: String::new() })
        }
        Body::AuthorizationRefused(body) => {
            (body.code, AuthorizationRow { at, client: body.client, outcome: body.reason, items: body.item.into_iter().collect(), detail: body.detail })
        }
        _ => return Ok(None),
    };
    let is_ours = code.is_some_and(|code| scope.codes.contains(&code)) && scope.item.is_none_or(|item| row.items.contains(&item));
    Ok(is_ours.then_some(row))
}

/// The first fact of an origin at or after a time, by halving: times grow with the sequence.
fn first_at(connection: &Connection, origin: ServerUuid, stamp: Micros) -> Result<u64, Error> {
    let (mut low, mut high) = (0, facts::head(connection, origin)?.sequence + 1);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        let (sequence, found): (i64, Micros) =
            connection.prepare_cached(AT_OR_AFTER)?.query_row(params![origin.bytes(), middle as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if found >= stamp { high = middle } else { low = (sequence as u64).max(middle) }
    }
    Ok(high)
}

/// Units charged to an item in these days (since 1970, both included), through all codes.
pub fn read_units_of_item(connection: &Connection, codes: &[CodeId], item: ItemId, from: i64, to: i64) -> Result<u64, Error> {
    let mut units = 0;
    for code in codes {
        let sum: i64 = connection.prepare_cached(USED_SINCE)?.query_row(params![code.bytes(), item.0 as i64, from, to], |row| row.get(0))?;
        units += count(sum);
    }
    Ok(units)
}

/// Devices that reported use of the slot that is over at `now` (seconds), through these codes.
pub fn read_active(connection: &Connection, codes: &[CodeId], now: i64) -> Result<u64, Error> {
    let slot = Slot::containing(now - 2 * crate::licensing::slot::SLOT_SECONDS);
    let mut devices = 0;
    for code in codes {
        let sum: i64 = connection.prepare_cached(ACTIVE_NOW)?.query_row(params![code.bytes(), slot.start()], |row| row.get(0))?;
        devices += count(sum);
    }
    Ok(devices)
}

/// Authorizations granted and refused on a day (since 1970) through these codes.
pub fn read_answered(connection: &Connection, codes: &[CodeId], day: i64) -> Result<(u64, u64), Error> {
    let mut sums = (0, 0);
    for code in codes {
        let (granted, refused): (i64, i64) =
            connection.prepare_cached(ANSWERED)?.query_row(params![code.bytes(), day * DAY, (day + 1) * DAY], |row| Ok((row.get(0)?, row.get(1)?)))?;
        sums = (sums.0 + count(granted), sums.1 + count(refused));
    }
    Ok(sums)
}
