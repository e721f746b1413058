//! One day of the statistics in detail, as the page shows it (domain §6).

use super::chrome::{number, utc_day, utc_time};
use super::statistics::{Ask, Choice};
use crate::http::admin_api::details::{Details, GroupBy, Rows};
use crate::http::admin_api::trend::{Subject, date};
use crate::protocol::ErrorCode;
use crate::store::statistics::SlotRow;

/// Slots of a two-hour row.
const SLOTS_OF_ROW: i64 = 40;

/// A day in detail.
pub(super) struct DayDetails {
    pub(super) day: String,
    pub(super) before: String,
    pub(super) next_day: String,
    pub(super) has_next_day: bool,
    pub(super) tabs: Vec<Choice>,
    pub(super) csv: String,
    pub(super) heads: &'static [(&'static str, bool)],
    pub(super) rows: Vec<DetailRow>,
    /// Where the next page is.
    pub(super) more: String,
    pub(super) empty: &'static str,
}

/// A row: its cells, and whether it stands below a two-hour row.
pub(super) struct DetailRow {
    pub(super) is_inner: bool,
    pub(super) cells: Vec<Cell>,
}

/// A cell; `href` where it leads somewhere.
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) href: String,
    pub(super) is_number: bool,
    pub(super) class: &'static str,
}

impl Cell {
    fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), href: String::new(), is_number: false, class: "" }
    }

    fn number(value: u64) -> Self {
        Self { is_number: true, ..Self::text(number(value)) }
    }

    fn device(client: crate::licensing::ClientUuid) -> Self {
        Self { href: format!("/admin/devices/{client}"), class: "mono", ..Self::text(client.to_string()) }
    }
}

/// What to show of a day.
pub(super) fn build(ask: &Ask, subject: &Subject, details: Details, day: i64, by: GroupBy, today: i64) -> DayDetails {
    let tabs = GroupBy::ALL.map(|(value, _, text)| Choice { text, href: ask.day_link(|ask| ask.by = Some(value)), is_chosen: value == by });
    let (heads, rows): (&'static [(&'static str, bool)], Vec<DetailRow>) = match &details.rows {
        Rows::Time(slots) => (
            &[("Time (UTC)", false), ("Units", true), ("By type", false), ("Devices", true), ("Submissions", true), ("Authorized", true), ("Refused", true)],
            time_rows(ask, slots, day),
        ),
        Rows::Device(rows) => {
            let row = |row: &crate::store::statistics::DeviceRow| plain(vec![Cell::device(row.client), Cell::number(row.units), Cell::number(row.reports)]);
            (&[("Device", false), ("Units", true), ("Submissions", true)], rows.iter().map(row).collect())
        }
        Rows::Authorizations(rows) => {
            let row = |row: &crate::store::statistics::AuthorizationRow| {
                let outcome = match ErrorCode::from_number(row.outcome) {
                    _ if row.outcome == 0 => Cell { class: "tag good", ..Cell::text("authorized") },
                    Some(code) => Cell { class: "tag bad", ..Cell::text(format!("{} {}", code.number(), code.title())) },
                    None => Cell { class: "tag bad", ..Cell::text(row.outcome.to_string()) },
                };
                let items = row.items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                plain(vec![Cell::text(utc_time(row.at)), Cell::device(row.client), outcome, Cell::text(items), Cell::text(row.detail.clone())])
            };
            (&[("Time (UTC)", false), ("Device", false), ("Outcome", false), ("Items", false), ("Why", false)], rows.iter().map(row).collect())
        }
        Rows::Reports(rows) => {
            let row = |row: &crate::store::statistics::ReportRow| {
                let units = row.charges.iter().flat_map(|charge| charge.counts.values()).sum();
                let kinds = row.charges.iter().flat_map(|charge| &charge.counts).map(|(kind, units)| format!("{kind} {}", number(*units)));
                let mut items: Vec<String> = row.charges.iter().map(|charge| charge.item_id.to_string()).collect();
                items.dedup();
                plain(vec![
                    Cell::text(utc_time(row.slot.start())),
                    Cell::device(row.client),
                    Cell::number(units),
                    Cell::text(kinds.collect::<Vec<_>>().join(", ")),
                    Cell::text(items.join(", ")),
                ])
            };
            (&[("Slot (UTC)", false), ("Device", false), ("Units", true), ("By type", false), ("Items", false)], rows.iter().map(row).collect())
        }
    };
    let query = [
        ("handshake", subject.handshake.clone()),
        ("item", subject.item.map(|item| item.to_string())),
        ("day", Some(utc_day(day * 86_400))),
        ("by", GroupBy::ALL.iter().find(|(known, ..)| *known == by).map(|(_, name, _)| (*name).to_owned())),
        ("format", Some("csv".to_owned())),
    ];
    let query: Vec<(&str, String)> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    DayDetails {
        day: utc_day(day * 86_400),
        before: ask.day_link(|ask| ask.day = Some(date(day - 1))),
        next_day: ask.day_link(|ask| ask.day = Some(date(day + 1))),
        has_next_day: day < today,
        tabs: tabs.into(),
        csv: format!("/api/v1/admin/statistics/details?{}", serde_urlencoded::to_string(&query).unwrap_or_default()),
        heads,
        empty: if details.next.is_some() { "Nothing on this page; the day goes on." } else { "Nothing on this day." },
        rows,
        more: details.next.map(|next| ask.day_link(|ask| ask.after = Some(next))).unwrap_or_default(),
    }
}

fn plain(cells: Vec<Cell>) -> DetailRow {
    DetailRow { is_inner: false, cells }
}

/// Two-hour rows; the open one has its slots below.
fn time_rows(ask: &Ask, slots: &[(crate::licensing::Slot, SlotRow)], day: i64) -> Vec<DetailRow> {
    let begin = day * 86_400;
    let mut rows = Vec::new();
    for hour in 0..12_i64 {
        let of_row = |start: i64| (start - begin).div_euclid(SLOTS_OF_ROW * 180) == hour;
        let inner: Vec<&(crate::licensing::Slot, SlotRow)> = slots.iter().filter(|(slot, _)| of_row(slot.start())).collect();
        if inner.is_empty() {
            continue;
        }
        let mut sum = SlotRow::default();
        for (_, slot) in &inner {
            for (kind, units) in &slot.by_type {
                *sum.by_type.entry(kind.clone()).or_insert(0) += units;
            }
            sum.devices = sum.devices.max(slot.devices);
            (sum.reports, sum.granted, sum.refused) = (sum.reports + slot.reports, sum.granted + slot.granted, sum.refused + slot.refused);
        }
        let number = usize::try_from(hour).unwrap_or(0);
        let is_open = ask.open == Some(number);
        let mark = if is_open { '▾' } else { '▸' };
        let href = ask.day_link(|ask| ask.open = (!is_open).then_some(number));
        let mut cells = slot_cells(&sum);
        cells.insert(0, Cell { href, ..Cell::text(format!("{mark} {:02}:00–{:02}:00", hour * 2, hour * 2 + 2)) });
        rows.push(plain(cells));
        if is_open {
            rows.extend(inner.iter().map(|(slot, row)| {
                let mut cells = slot_cells(row);
                let time = |seconds: i64| utc_time(seconds).get(11..16).unwrap_or_default().to_owned();
                cells.insert(0, Cell::text(format!("{}–{}", time(slot.start()), time(slot.end()))));
                DetailRow { is_inner: true, cells }
            }));
        }
    }
    rows
}

fn slot_cells(row: &SlotRow) -> Vec<Cell> {
    let kinds = row.by_type.iter().map(|(kind, units)| format!("{kind} {}", number(*units))).collect::<Vec<_>>().join(", ");
    vec![
        Cell::number(row.by_type.values().sum()),
        Cell::text(kinds),
        Cell::number(row.devices),
        Cell::number(row.reports),
        Cell::number(row.granted),
        Cell::number(row.refused),
    ]
}
