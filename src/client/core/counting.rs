//! Use, from the moment the application tells of it to the report of its slot (domain §5).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::state::{OpenReport, Part, State};
use crate::licensing::Unit;
use crate::licensing::slot::{REPORT_MAX_AGE_SECONDS, SLOT_SECONDS, Slot};
use crate::protocol::reports::{COUNT_MAX, TYPES_MAX, UsageReport};

/// What is counted together: all that becomes one report, but for its types.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The slot of its time stamp.
    pub slot: Slot,
    /// Scans or pages.
    pub unit: Unit,
    /// For pages: the module.
    pub module: Option<String>,
}

/// Use that is not on disk yet: by what becomes one report, and by type.
pub type Counts = BTreeMap<Key, BTreeMap<String, u64>>;

/// Under what it was done.
#[derive(Debug, Clone, Copy)]
pub struct Under<'a> {
    /// The fingerprint of the grant.
    pub grant: &'a str,
    /// The handshake code as the authorization names it.
    pub handshake_code: &'a str,
    /// The product.
    pub product: &'a str,
}

/// Adds use to the open reports. `instances` is how many all processes of the machine hold.
pub fn add(state: &mut State, counts: &Counts, under: Under<'_>, instances: u32) {
    for (key, types) in counts {
        let mut rest = types.iter().map(|(name, count)| (name.clone(), *count)).collect::<Vec<_>>();
        while let Some(report) = find_open(state, key, under, rest.first().map(|(name, _)| name.as_str())) {
            report.instances = report.instances.max(Some(instances.max(1)));
            let mut left = Vec::new();
            for (name, count) in rest {
                let has_room = report.counts.len() < TYPES_MAX || report.counts.contains_key(&name);
                let room = if has_room { COUNT_MAX - report.counts.get(&name).copied().unwrap_or(0) } else { 0 };
                let taken = count.min(room);
                if taken > 0 {
                    *report.counts.entry(name.clone()).or_default() += taken;
                }
                if taken < count {
                    left.push((name, count - taken));
                }
            }
            rest = left;
            if rest.is_empty() {
                break;
            }
        }
        state.touch(Part::Open);
    }
}

/// The open report that takes this type, made when there is none.
fn find_open<'s>(state: &'s mut State, key: &Key, under: Under<'_>, name: Option<&str>) -> Option<&'s mut UsageReport> {
    let fits = |open: &OpenReport| {
        let report = &open.report;
        let takes = |name: &str| report.counts.get(name).map_or(report.counts.len() < TYPES_MAX, |count| *count < COUNT_MAX);
        report.slot.timestamp() == key.slot.start()
            && report.unit == key.unit
            && report.module == key.module
            && open.grant == under.grant
            && report.handshake_code == under.handshake_code
            && report.product == under.product
            && name.is_none_or(takes)
    };
    let index = match state.open.reports.iter().position(fits) {
        Some(index) => index,
        None => {
            let report = UsageReport {
                report_id: report_id(key.slot.start()),
                slot: DateTime::<Utc>::from_timestamp(key.slot.start(), 0)?,
                handshake_code: under.handshake_code.to_owned(),
                product: under.product.to_owned(),
                unit: key.unit,
                module: key.module.clone(),
                counts: BTreeMap::new(),
                instances: None,
            };
            state.open.reports.push(OpenReport { report, grant: under.grant.to_owned() });
            state.open.reports.len() - 1
        }
    };
    state.open.reports.get_mut(index).map(|open| &mut open.report)
}

/// Makes reports of the slots that ended before `until` (seconds since 1970), and forgets
/// those that nobody takes any more at `now`. Whether there was one.
pub fn close(state: &mut State, until: i64, now: i64) -> bool {
    let is_any = store(state, &|open| open.report.slot.timestamp() + SLOT_SECONDS <= until);
    state.drop_stored(|stored| now - (stored.report.slot.timestamp() + SLOT_SECONDS) > REPORT_MAX_AGE_SECONDS);
    is_any
}

/// Makes reports of what was done under this grant, also in slots that go on: nothing more is done.
pub fn close_of(state: &mut State, grant: &str) {
    store(state, &|open| open.grant == grant);
}

fn store(state: &mut State, is_over: &dyn Fn(&OpenReport) -> bool) -> bool {
    let (over, open): (Vec<_>, Vec<_>) = state.open.reports.drain(..).partition(is_over);
    state.open.reports = open;
    let is_any = !over.is_empty();
    if is_any {
        state.touch(Part::Open);
    }
    for open in over {
        state.store(open.report, open.grant);
    }
    is_any
}

/// UUID version 7 with the slot's time: ids that grow are the quickest for a server to take.
fn report_id(seconds: i64) -> Uuid {
    let random = crate::documents::random_uuid().into_bytes();
    let mut tail = [0; 10];
    tail.copy_from_slice(&random[6..]);
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(seconds.max(0)).unwrap_or(0) * 1_000, &tail).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::super::state::Progress;
    use super::*;

    const UNDER: Under<'_> = Under { grant: "g", handshake_code: "216998-line4", product: "dbr" };

    fn counts(slot: i64, types: &[(&str, u64)]) -> Counts {
        let key = Key { slot: Slot::containing(slot), unit: Unit::Scan, module: None };
        Counts::from([(key, types.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect())])
    }

    fn total(state: &State) -> u64 {
        state.open.reports.iter().map(|open| &open.report).chain(state.stored().map(|stored| &stored.report)).flat_map(|report| report.counts.values()).sum()
    }

    #[test]
    fn a_slot_becomes_one_report_whoever_counted_in_it() {
        let mut state = State::default();
        add(&mut state, &counts(1_000, &[("QR", 2)]), UNDER, 1);
        add(&mut state, &counts(1_010, &[("QR", 1), ("EAN", 5)]), UNDER, 3);
        add(&mut state, &counts(1_090, &[("QR", 1)]), UNDER, 1);
        assert_eq!((state.open.reports.len(), total(&state), state.open.reports[0].report.instances), (2, 9, Some(3)));
        assert!(close(&mut state, 1_080, 1_080));
        assert_eq!((state.open.reports.len(), state.stored().count(), total(&state)), (1, 1, 9));
        let stored = state.stored().next().expect("stored").clone();
        assert_eq!((stored.report.counts["QR"], stored.progress, stored.report.report_id.get_version_num()), (3, Progress::Pending, 7));
    }

    #[test]
    fn more_types_or_units_than_a_report_holds_go_into_a_further_one() {
        let mut state = State::default();
        let types: Vec<String> = (0..150).map(|n| format!("T{n:03}")).collect();
        let many: Vec<(&str, u64)> = types.iter().map(|name| (name.as_str(), 1)).collect();
        add(&mut state, &counts(0, &many), UNDER, 1);
        add(&mut state, &counts(0, &[("T000", COUNT_MAX + 5)]), UNDER, 1);
        assert_eq!(total(&state), 150 + COUNT_MAX + 5);
        let sizes: Vec<usize> = state.open.reports.iter().map(|open| open.report.counts.len()).collect();
        assert!(sizes.iter().all(|size| *size <= TYPES_MAX) && sizes.len() <= 4, "{sizes:?}");
        assert!(state.open.reports.iter().all(|open| open.report.counts.values().all(|count| *count <= COUNT_MAX)));
    }

    #[test]
    fn a_report_that_died_between_its_day_and_the_open_ones_counts_once() {
        let mut state = State::default();
        add(&mut state, &counts(0, &[("QR", 4)]), UNDER, 1);
        let open = state.open.clone();
        close(&mut state, 180, 180);
        state.open = open;
        state.reconcile();
        assert_eq!((state.open.reports.len(), total(&state)), (0, 4));
    }

    #[test]
    fn reports_are_kept_for_thirty_days() {
        let mut state = State::default();
        add(&mut state, &counts(0, &[("QR", 4)]), UNDER, 1);
        close(&mut state, 180, 180 + REPORT_MAX_AGE_SECONDS);
        assert_eq!(state.stored().count(), 1);
        close(&mut state, 180, 181 + REPORT_MAX_AGE_SECONDS);
        assert_eq!((state.stored().count(), state.days.len()), (0, 0));
    }
}
