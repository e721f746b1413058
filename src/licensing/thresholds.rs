//! What is worth an alert, and what it says (domain §7).
//!
//! [`levels`] tells which threshold each item and code has reached, and [`crossed`] compares
//! that with what they had reached before. Nothing else is remembered: a threshold fires when
//! it was not reached before and is now, and so it fires once per crossing and again only
//! after the figures fell below it. When several thresholds of one kind are jumped at once
//! there is one alert, for the highest: an admin wants the news, not its history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::charge_way::{ChargeWay, Period};
use super::grace;
use super::id::{CodeId, HandshakeCode, ItemId};
use super::item::LicenseItem;

const DAY_SECONDS: i64 = 86_400;

/// At which figures an alert is sent. Percentages are whole and at least 1; a list may
/// stand in any order, and an empty one sends nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Seats taken of a `device` or `server` item, in percent of its quota.
    pub seats: Vec<u32>,
    /// The same for `device` items of period `day`, which fill up every morning.
    pub day_seats: Vec<u32>,
    /// Scans or pages used of an item, in percent of its quota.
    pub units: Vec<u32>,
    /// Tolerance of a `concurrent_*` item that is spent, in percent.
    pub tolerance: Vec<u32>,
    /// Days left to the end of an item; 0 is its last moment.
    pub days_to_end: Vec<u32>,
    /// Whether the end of an item's grace is told.
    pub grace_end: bool,
    /// Failed requests of a handshake code, in percent of all.
    pub failures: Vec<u32>,
    /// From how many requests on the share of failed ones means anything.
    pub failures_from_requests: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            seats: vec![60, 80, 100, 110],
            day_seats: vec![100, 110],
            units: vec![60, 80, 100, 105],
            tolerance: vec![60, 80, 100],
            days_to_end: vec![30, 14, 7, 1, 0],
            grace_end: true,
            failures: vec![10, 20, 40, 60, 80, 100],
            failures_from_requests: 20,
        }
    }
}

/// The figures of all items and codes at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// When, in seconds since 1970.
    pub at: i64,
    /// Every item that is not revoked.
    pub items: BTreeMap<ItemId, ItemFigures>,
    /// Every handshake code.
    pub codes: BTreeMap<CodeId, CodeFigures>,
}

/// What is known of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemFigures {
    /// How it is charged.
    pub charge_way: ChargeWay,
    /// For `device` items: how long a seat is held.
    pub period: Option<Period>,
    /// Units, seats, or devices at once that were bought; at 0 nothing is told of use.
    pub quota: u64,
    /// Quota and grace: where refusals begin.
    pub limit: u64,
    /// Units charged, or seats held now.
    pub used: u64,
    /// For `concurrent_*` items: excess slot-uses tolerated up to now; 0 is told as nothing.
    pub tolerance: u64,
    /// How much of the tolerance is spent.
    pub tolerance_spent: u64,
    /// Its last moment without grace, in seconds since 1970.
    pub valid_to: i64,
    /// The last second at which it works, grace included.
    pub grace_ends: i64,
}

impl ItemFigures {
    /// The figures of an item of which this much is used, and no tolerance.
    pub fn of(item: &LicenseItem, used: u64) -> Self {
        Self {
            charge_way: item.charge_way,
            period: item.period,
            quota: item.quota,
            limit: grace::limit(item),
            used,
            tolerance: 0,
            tolerance_spent: 0,
            valid_to: item.valid_to.timestamp(),
            grace_ends: grace::end_at(item),
        }
    }
}

/// What is known of one handshake code, from the last 24 hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeFigures {
    /// What it is called now.
    pub name: HandshakeCode,
    /// Authorization requests.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
}

/// One piece of news.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// What it is about.
    pub subject: Subject,
    /// Which threshold was crossed.
    pub kind: AlertKind,
    /// How things stand, what happens next, and what to do.
    pub text: String,
}

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A license item.
    Item(ItemId),
    /// A handshake code.
    Code(CodeId),
}

/// A threshold that was crossed: its number, not the figure of the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// Seats taken, of the quota.
    Seats {
        /// The threshold.
        percent: u32,
    },
    /// Scans or pages used, of the quota.
    Units {
        /// The threshold.
        percent: u32,
    },
    /// Tolerance spent.
    Tolerance {
        /// The threshold.
        percent: u32,
    },
    /// The end is no farther than this.
    EndsIn {
        /// The threshold; 0: the end has come.
        days: u32,
    },
    /// The grace after the end is over.
    GraceEnded,
    /// Failed requests, of all.
    Failures {
        /// The threshold.
        percent: u32,
    },
}

impl AlertKind {
    /// What crosses later is greater: a higher percentage, fewer days.
    fn rank(self) -> (bool, i64) {
        match self {
            Self::Seats { percent } | Self::Units { percent } | Self::Tolerance { percent } | Self::Failures { percent } => (false, percent.into()),
            Self::EndsIn { days } => (false, -i64::from(days)),
            Self::GraceEnded => (true, 0),
        }
    }
}

/// What of a subject has thresholds of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// How much of an item is used.
    Use,
    /// How near its end is.
    End,
    /// How many requests of a code fail.
    Failures,
}

/// The highest threshold that each subject has reached; those that reached none are absent.
pub type Levels = BTreeMap<(Subject, Aspect), AlertKind>;

/// Which thresholds these figures have reached.
pub fn levels(figures: &Snapshot, thresholds: &Thresholds) -> Levels {
    let mut levels = Levels::new();
    for (&id, item) in &figures.items {
        let subject = Subject::Item(id);
        levels.extend(use_level(item, thresholds).map(|kind| ((subject, Aspect::Use), kind)));
        levels.extend(end_level(item, figures.at, thresholds).map(|kind| ((subject, Aspect::End), kind)));
    }
    for (&id, code) in &figures.codes {
        levels.extend(failure_level(code, thresholds).map(|percent| ((Subject::Code(id), Aspect::Failures), AlertKind::Failures { percent })));
    }
    levels
}

/// What was crossed since `before`, items first, each with its use before its end.
///
/// An item or code that `before` does not have counts as unused, and as far from its end.
/// An item that is imported when it already ended therefore gives one alert, for the
/// latest of its days.
pub fn crossed(before: &Levels, after: &Snapshot, thresholds: &Thresholds) -> Vec<Alert> {
    let is_news = |(key, kind): &(_, AlertKind)| before.get(key).is_none_or(|known| kind.rank() > known.rank());
    let text = |subject, aspect| match (subject, aspect) {
        (Subject::Item(id), Aspect::End) => after.items.get(&id).map(|item| end_text(id, item, after.at)),
        (Subject::Item(id), _) => after.items.get(&id).map(|item| use_text(id, item)),
        (Subject::Code(id), _) => after.codes.get(&id).map(failure_text),
    };
    let news = levels(after, thresholds).into_iter().filter(is_news);
    news.filter_map(|((subject, aspect), kind)| Some(Alert { subject, kind, text: text(subject, aspect)? })).collect()
}

/// The highest percentage of the list that `part` of `whole` has reached.
fn reached(list: &[u32], part: u64, whole: u64) -> Option<u32> {
    let is_reached = |percent: u32| whole > 0 && percent > 0 && u128::from(part) * 100 >= u128::from(whole) * u128::from(percent);
    list.iter().copied().filter(|percent| is_reached(*percent)).max()
}

fn use_level(item: &ItemFigures, thresholds: &Thresholds) -> Option<AlertKind> {
    match item.charge_way {
        ChargeWay::Device | ChargeWay::Server => {
            let list = if item.period == Some(Period::Day) { &thresholds.day_seats } else { &thresholds.seats };
            reached(list, item.used, item.quota).map(|percent| AlertKind::Seats { percent })
        }
        ChargeWay::Scan | ChargeWay::Page => reached(&thresholds.units, item.used, item.quota).map(|percent| AlertKind::Units { percent }),
        ChargeWay::ConcurrentDevice | ChargeWay::ConcurrentInstance => {
            reached(&thresholds.tolerance, item.tolerance_spent, item.tolerance).map(|percent| AlertKind::Tolerance { percent })
        }
        ChargeWay::Domain => None,
    }
}

fn failure_level(code: &CodeFigures, thresholds: &Thresholds) -> Option<u32> {
    let enough = code.requests >= thresholds.failures_from_requests;
    reached(&thresholds.failures, code.failed, code.requests).filter(|_| enough)
}

fn end_level(item: &ItemFigures, at: i64, thresholds: &Thresholds) -> Option<AlertKind> {
    if thresholds.grace_end && at > item.grace_ends {
        return Some(AlertKind::GraceEnded);
    }
    let left = days_left(item.valid_to, at);
    thresholds.days_to_end.iter().copied().filter(|days| left <= i64::from(*days)).min().map(|days| AlertKind::EndsIn { days })
}

/// Days to the end, begun ones counted whole; 0 once the last moment has come.
fn days_left(valid_to: i64, at: i64) -> i64 {
    let seconds = valid_to.saturating_sub(at).max(0);
    seconds / DAY_SECONDS + i64::from(seconds % DAY_SECONDS > 0)
}

/// Whole percent, rounded down: 199 of 200 is not yet all.
fn percent(part: u64, whole: u64) -> u128 {
    u128::from(part) * 100 / u128::from(whole.max(1))
}

fn use_text(id: ItemId, item: &ItemFigures) -> String {
    let ItemFigures { charge_way, quota, limit, used, tolerance, tolerance_spent, .. } = *item;
    let head = format!("Item {id} ({charge_way})");
    // What stands beyond the quota, whom it hits, and what else helps.
    let (taken, who, remedy) = match charge_way {
        ChargeWay::Device => ("seats are taken", "new devices are refused", "release idle seats or ask your vendor for more quota"),
        ChargeWay::Server => ("seats are taken", "new servers are refused", "release idle seats or ask your vendor for more quota"),
        ChargeWay::Scan => ("scans are used", "nobody is authorized any more", "ask your vendor for more quota"),
        ChargeWay::Page => ("pages are used", "nobody is authorized any more", "ask your vendor for more quota"),
        ChargeWay::ConcurrentDevice | ChargeWay::ConcurrentInstance | ChargeWay::Domain => {
            let next = if tolerance_spent >= tolerance { "From now on" } else { "When all is spent," };
            return format!(
                "{head}: {tolerance_spent} of {tolerance} slot-uses tolerated beyond {quota} at once are spent ({} %). \
                 {next} no more than {quota} at once are granted; spread the use or ask your vendor for more quota.",
                percent(tolerance_spent, tolerance)
            );
        }
    };
    let state = format!("{head}: {used} of {quota} {taken} ({} %)", percent(used, quota));
    if used >= limit {
        format!("{state}, all grace included. From now on {who}; {remedy}.")
    } else if used >= quota {
        format!("{state}; {} of grace are left. At {limit} {who}; {remedy}.", limit - used)
    } else {
        format!("{state}. At {limit} {who}; {remedy}.")
    }
}

fn end_text(id: ItemId, item: &ItemFigures, at: i64) -> String {
    let head = format!("Item {id} ({})", item.charge_way);
    let (end, last) = (crate::clock::rfc3339(item.valid_to), crate::clock::rfc3339(item.grace_ends));
    if at > item.grace_ends {
        return format!("{head} ended on {end} and its grace on {last}. From now on it authorizes nobody; ask your vendor for a renewal and import it.");
    }
    let state = match days_left(item.valid_to, at) {
        0 => format!("{head} ended on {end}"),
        1 => format!("{head} ends within 1 day, on {end}"),
        days => format!("{head} ends in {days} days, on {end}"),
    };
    let next = if item.grace_ends > item.valid_to { format!("It goes on in grace until {last} and then") } else { "It has no grace: then it".to_owned() };
    format!("{state}. {next} authorizes nobody; ask your vendor for a renewal and import it.")
}

fn failure_text(code: &CodeFigures) -> String {
    format!(
        "Handshake code {}: {} of {} authorization requests of the last 24 hours failed ({} %). \
         Devices that are refused stop when their authorization ends; see the reasons on the page of the code.",
        code.name,
        code.failed,
        code.requests,
        percent(code.failed, code.requests)
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::item::tests::scan_item;
    use super::*;

    const ID: ItemId = ItemId(100_955_015);
    /// Far from every end.
    const NOW: i64 = 1_700_000_000;

    fn figures(charge_way: ChargeWay, quota: u64, used: u64) -> ItemFigures {
        let item = LicenseItem { charge_way, quota, ..scan_item(ID.0) };
        let period = (charge_way == ChargeWay::Device).then_some(Period::Quarter);
        ItemFigures { period, tolerance: quota, tolerance_spent: used, ..ItemFigures::of(&item, used) }
    }

    fn snapshot(at: i64, item: ItemFigures) -> Snapshot {
        Snapshot { at, items: BTreeMap::from([(ID, item)]), codes: BTreeMap::new() }
    }

    fn with_code(requests: u64, failed: u64) -> Snapshot {
        let name = "216998-vehicleCode".parse().expect("a code");
        let codes = BTreeMap::from([(CodeId(uuid::Uuid::from_u128(7)), CodeFigures { name, requests, failed })]);
        Snapshot { at: NOW, items: BTreeMap::new(), codes }
    }

    fn kinds(before: &Snapshot, after: &Snapshot) -> Vec<AlertKind> {
        let thresholds = Thresholds::default();
        crossed(&levels(before, &thresholds), after, &thresholds).into_iter().map(|alert| alert.kind).collect()
    }

    #[test]
    fn every_percentage_of_the_table_fires_when_it_is_reached_and_not_before() {
        type Kind = fn(u32) -> AlertKind;
        let seats: Kind = |percent| AlertKind::Seats { percent };
        let units: Kind = |percent| AlertKind::Units { percent };
        let tolerance: Kind = |percent| AlertKind::Tolerance { percent };
        let cases: [(ChargeWay, Option<Period>, Kind, &[u32]); 10] = [
            (ChargeWay::Device, Some(Period::Year), seats, &[60, 80, 100, 110]),
            (ChargeWay::Device, Some(Period::Quarter), seats, &[60, 80, 100, 110]),
            (ChargeWay::Device, Some(Period::Month), seats, &[60, 80, 100, 110]),
            (ChargeWay::Device, Some(Period::Day), seats, &[100, 110]),
            (ChargeWay::Server, None, seats, &[60, 80, 100, 110]),
            (ChargeWay::Scan, None, units, &[60, 80, 100, 105]),
            (ChargeWay::Page, None, units, &[60, 80, 100, 105]),
            (ChargeWay::ConcurrentDevice, None, tolerance, &[60, 80, 100]),
            (ChargeWay::ConcurrentInstance, None, tolerance, &[60, 80, 100]),
            (ChargeWay::Domain, None, units, &[]),
        ];
        for (way, period, kind, expected) in cases {
            // A quota of 1000 has ten steps to the percent.
            let at = |used| snapshot(NOW, ItemFigures { period, ..figures(way, 1_000, used) });
            let fired: Vec<_> = (1..=1_300).flat_map(|used| kinds(&at(used - 1), &at(used)).into_iter().map(move |kind| (used, kind))).collect();
            let wanted: Vec<_> = expected.iter().map(|percent| (u64::from(*percent) * 10, kind(*percent))).collect();
            assert_eq!(fired, wanted, "{way} {period:?}");
        }
    }

    #[test]
    fn days_count_whole_and_the_end_of_grace_is_told_apart() {
        let item = figures(ChargeWay::Domain, 0, 0);
        let hour = 3_600_i64;
        let fired: Vec<_> = (-40 * 24_i64..=10 * 24)
            .flat_map(|h| {
                let at = |h: i64| snapshot(item.valid_to + h * hour, item);
                kinds(&at(h - 1), &at(h)).into_iter().map(move |kind| (h, kind))
            })
            .collect();
        let days = |days| AlertKind::EndsIn { days };
        let wanted = [(-30 * 24, days(30)), (-14 * 24, days(14)), (-7 * 24, days(7)), (-24, days(1)), (0, days(0)), (7 * 24 + 1, AlertKind::GraceEnded)];
        assert_eq!(fired, wanted);
        for (seconds, expected) in [(86_401, 2), (86_400, 1), (1, 1), (0, 0), (-1, 0)] {
            assert_eq!(days_left(NOW + seconds, NOW), expected, "{seconds} seconds before the end");
        }
    }

    #[test]
    fn every_share_of_failed_requests_fires_from_twenty_requests_on() {
        let fired: Vec<_> = (1..=200).flat_map(|failed| kinds(&with_code(200, failed - 1), &with_code(200, failed))).collect();
        let wanted = [10, 20, 40, 60, 80, 100].map(|percent| AlertKind::Failures { percent });
        assert_eq!(fired, wanted);
        assert_eq!(kinds(&with_code(18, 18), &with_code(19, 19)), []);
        assert_eq!(kinds(&with_code(19, 19), &with_code(20, 20)), [AlertKind::Failures { percent: 100 }]);
        assert_eq!(kinds(&Snapshot::default(), &with_code(20, 2)), [AlertKind::Failures { percent: 10 }]);
    }

    #[test]
    fn a_jump_gives_one_alert_and_falling_below_arms_again() {
        let at = |used| snapshot(NOW, figures(ChargeWay::Device, 200, used));
        let seats = |percent| AlertKind::Seats { percent };
        for (before, after, expected) in [
            (0, 119, vec![]),
            (119, 120, vec![seats(60)]),
            (120, 121, vec![]),
            (0, 160, vec![seats(80)]),
            (0, 500, vec![seats(110)]),
            (160, 120, vec![]),
            (159, 160, vec![seats(80)]),
            (220, 220, vec![]),
        ] {
            assert_eq!(kinds(&at(before), &at(after)), expected, "{before} to {after}");
        }
        assert_eq!(kinds(&Snapshot::default(), &at(160)), [seats(80)], "an item that appears was unused");
        assert_eq!(kinds(&at(160), &Snapshot::default()), [], "an item that goes is no news here");
        let more = snapshot(NOW, figures(ChargeWay::Device, 400, 170));
        assert_eq!(kinds(&at(170), &more), [], "more quota is no alert");
        assert_eq!(kinds(&more, &at(170)), [seats(80)]);
    }

    #[test]
    fn an_item_imported_late_tells_its_latest_stage_only() {
        let item = figures(ChargeWay::Scan, 100, 0);
        let day = DAY_SECONDS;
        for (at, expected) in [
            (item.valid_to - 31 * day, vec![]),
            (item.valid_to - 20 * day, vec![AlertKind::EndsIn { days: 30 }]),
            (item.valid_to - 3 * day, vec![AlertKind::EndsIn { days: 7 }]),
            (item.valid_to, vec![AlertKind::EndsIn { days: 0 }]),
            (item.grace_ends, vec![AlertKind::EndsIn { days: 0 }]),
            (item.grace_ends + 1, vec![AlertKind::GraceEnded]),
        ] {
            assert_eq!(kinds(&Snapshot { at: at - 1, ..Snapshot::default() }, &snapshot(at, item)), expected);
        }
    }

    #[test]
    fn nothing_fires_without_a_quota_and_nothing_overflows() {
        for way in [ChargeWay::Scan, ChargeWay::Device, ChargeWay::ConcurrentDevice, ChargeWay::Domain] {
            assert_eq!(kinds(&Snapshot::default(), &snapshot(NOW, figures(way, 0, 50))), [], "{way}");
        }
        let most = ItemFigures { quota: u64::MAX, limit: u64::MAX, used: u64::MAX - 1, valid_to: i64::MAX, ..figures(ChargeWay::Scan, 1, 0) };
        assert_eq!(kinds(&Snapshot::default(), &snapshot(i64::MIN, most)), [AlertKind::Units { percent: 80 }]);
    }

    #[test]
    fn the_admin_decides_at_which_figures() {
        let none = Thresholds { seats: vec![], days_to_end: vec![], grace_end: false, ..Thresholds::default() };
        let item = figures(ChargeWay::Device, 10, 10);
        assert_eq!(crossed(&Levels::new(), &snapshot(item.grace_ends + 1, item), &none), []);
        let mixed = Thresholds { seats: vec![90, 0, 50], ..none };
        let alerts = crossed(&Levels::new(), &snapshot(NOW, figures(ChargeWay::Device, 10, 8)), &mixed);
        assert_eq!(alerts.iter().map(|alert| alert.kind).collect::<Vec<_>>(), [AlertKind::Seats { percent: 50 }], "in any order, and 0 is never crossed");
        let read = |text| serde_json::from_str::<Thresholds>(text);
        assert_eq!(read("{}").expect("defaults"), Thresholds::default());
        assert_eq!(read(r#"{"units": [90]}"#).expect("one"), Thresholds { units: vec![90], ..Thresholds::default() });
        assert!(read(r#"{"unit": [90]}"#).is_err());
    }

    #[test]
    fn the_text_says_how_it_stands_what_comes_and_what_to_do() {
        let device = "Item 100955015 (device)";
        let more = "release idle seats or ask your vendor for more quota.";
        let renewal = "ask your vendor for a renewal and import it.";
        let end = figures(ChargeWay::Device, 200, 0).valid_to;
        let no_grace = ItemFigures { grace_ends: end, ..figures(ChargeWay::Device, 200, 0) };
        for (at, item, expected) in [
            (NOW, figures(ChargeWay::Device, 200, 160), format!("{device}: 160 of 200 seats are taken (80 %). At 220 new devices are refused; {more}")),
            (
                NOW,
                figures(ChargeWay::Device, 200, 205),
                format!("{device}: 205 of 200 seats are taken (102 %); 15 of grace are left. At 220 new devices are refused; {more}"),
            ),
            (
                NOW,
                figures(ChargeWay::Device, 200, 220),
                format!("{device}: 220 of 200 seats are taken (110 %), all grace included. From now on new devices are refused; {more}"),
            ),
            (
                NOW,
                figures(ChargeWay::Page, 1_000, 799),
                "Item 100955015 (page): 799 of 1000 pages are used (79 %). At 1050 nobody is authorized any more; ask your vendor for more quota.".into(),
            ),
            (
                NOW,
                ItemFigures { quota: 5, tolerance: 5_000, ..figures(ChargeWay::ConcurrentDevice, 5, 4_000) },
                "Item 100955015 (concurrent_device): 4000 of 5000 slot-uses tolerated beyond 5 at once are spent (80 %). \
                 When all is spent, no more than 5 at once are granted; spread the use or ask your vendor for more quota."
                    .into(),
            ),
            (
                end - 7 * DAY_SECONDS + 1,
                figures(ChargeWay::Device, 200, 0),
                format!(
                    "{device} ends in 7 days, on 2030-01-01T00:00:00Z. It goes on in grace until 2030-01-08T00:00:00Z and then authorizes nobody; {renewal}"
                ),
            ),
            (end - 60, no_grace, format!("{device} ends within 1 day, on 2030-01-01T00:00:00Z. It has no grace: then it authorizes nobody; {renewal}")),
            (
                end,
                figures(ChargeWay::Device, 200, 0),
                format!("{device} ended on 2030-01-01T00:00:00Z. It goes on in grace until 2030-01-08T00:00:00Z and then authorizes nobody; {renewal}"),
            ),
            (
                end + 8 * DAY_SECONDS,
                figures(ChargeWay::Device, 200, 0),
                format!("{device} ended on 2030-01-01T00:00:00Z and its grace on 2030-01-08T00:00:00Z. From now on it authorizes nobody; {renewal}"),
            ),
        ] {
            let texts: Vec<_> = crossed(&Levels::new(), &snapshot(at, item), &Thresholds::default()).into_iter().map(|alert| alert.text).collect();
            assert_eq!(texts, [expected]);
        }
        assert_eq!(
            crossed(&Levels::new(), &with_code(30, 12), &Thresholds::default())[0].text,
            "Handshake code 216998-vehicleCode: 12 of 30 authorization requests of the last 24 hours failed (40 %). \
             Devices that are refused stop when their authorization ends; see the reasons on the page of the code."
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// A rising path, however it is cut into steps, tells each threshold at most once,
        /// in rising order, and ends with what one jump would have told.
        #[test]
        fn steps_tell_what_a_jump_tells(
            way in prop::sample::select(vec![ChargeWay::Device, ChargeWay::Scan, ChargeWay::Server, ChargeWay::ConcurrentDevice, ChargeWay::Domain]),
            quota in 0u64..300,
            start in 0u64..400,
            steps in prop::collection::vec((0u64..80, 0i64..15 * DAY_SECONDS), 0..12),
        ) {
            let mut path = vec![snapshot(figures(way, quota, 0).valid_to - 50 * DAY_SECONDS, figures(way, quota, start))];
            let (mut used, mut at) = (start, path[0].at);
            for (more, seconds) in steps {
                (used, at) = (used + more, at + seconds);
                path.push(snapshot(at, figures(way, quota, used)));
            }
            let told: Vec<_> = path.windows(2).flat_map(|pair| kinds(&pair[0], &pair[1])).collect();
            let jump = kinds(&path[0], &path[path.len() - 1]);
            let is_end = |kind: &AlertKind| matches!(kind, AlertKind::EndsIn { .. } | AlertKind::GraceEnded);
            for of_end in [false, true] {
                let told: Vec<_> = told.iter().filter(|kind| is_end(kind) == of_end).collect();
                let jump: Vec<_> = jump.iter().filter(|kind| is_end(kind) == of_end).collect();
                prop_assert!(jump.len() <= 1);
                prop_assert_eq!(told.last(), jump.last());
                let rank = |kind: &AlertKind| match *kind {
                    AlertKind::EndsIn { days } => 1_000 - i64::from(days),
                    AlertKind::GraceEnded => 2_000,
                    AlertKind::Seats { percent } | AlertKind::Units { percent } | AlertKind::Tolerance { percent } | AlertKind::Failures { percent } => i64::from(percent),
                };
                prop_assert!(told.windows(2).all(|pair| rank(pair[0]) < rank(pair[1])), "{:?}", told);
            }
        }
    }
}
