//! What was used (domain §6): rings, trend, and any day in detail, of a handshake code or of a
//! license item.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::{Data, Query};
use askama::Template;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::chart::{self, Point};
use super::chrome::{Chrome, PageResult, number, page, utc_day};
use super::day_details::{self, DayDetails};
use super::item_use::{self, ItemUse};
use crate::http::Context;
use crate::http::admin_api::details::{self, GroupBy};
use crate::http::admin_api::items::Stock;
use crate::http::admin_api::trend::{Subject, check_span, date, read_span};
use crate::http::caller::Caller;
use crate::store::catalog::Catalog;
use crate::store::statistics::{self, Day};

/// What the page is asked to show: its address has all of it, so that it can be kept and sent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ask {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) handshake: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) item: Option<u64>,
    /// `7`, `30`, `90`, `all` or `custom`.
    #[serde(skip_serializing_if = "String::is_empty")]
    range: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    from: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    to: String,
    /// `units`, `devices` or `concurrent`.
    #[serde(skip_serializing_if = "String::is_empty")]
    measure: String,
    /// `split` or `accumulative`.
    #[serde(skip_serializing_if = "String::is_empty")]
    mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) day: Option<NaiveDate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<GroupBy>,
    /// The two-hour row that is open, 0 to 11.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) open: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<String>,
}

impl Ask {
    /// The address of the page with this changed.
    pub(super) fn link(&self, change: impl FnOnce(&mut Self)) -> String {
        let mut other = self.clone();
        change(&mut other);
        format!("/admin/statistics?{}", serde_urlencoded::to_string(&other).unwrap_or_default())
    }

    /// The same for another day or view of it: a page of the old one means nothing there.
    pub(super) fn day_link(&self, change: impl FnOnce(&mut Self)) -> String {
        let link = self.link(|ask| {
            (ask.after, ask.open) = (None, None);
            change(ask);
        });
        format!("{link}#day")
    }
}

/// A choice that is a link.
pub(super) struct Choice {
    pub(super) text: &'static str,
    pub(super) href: String,
    pub(super) is_chosen: bool,
}

/// An entry of the list of codes and items.
struct Entry {
    value: String,
    text: String,
    is_chosen: bool,
}

/// A ring and the list beside it.
struct Ring {
    title: String,
    svg: String,
    id: &'static str,
    parts: Vec<Part>,
}

struct Part {
    class: String,
    name: String,
    units: String,
    share: String,
}

struct DayRow {
    day: String,
    href: String,
    units: String,
    devices: String,
    first: String,
    peak: String,
}

#[derive(Template)]
#[template(path = "admin/statistics.html")]
struct StatisticsPage {
    page: Chrome,
    subject: String,
    codes: Vec<Entry>,
    items: Vec<Entry>,
    rows: Vec<ItemUse>,
    item_title: String,
    rings: Vec<Ring>,
    ranges: Vec<Choice>,
    measures: Vec<Choice>,
    modes: Vec<Choice>,
    from: String,
    to: String,
    range_error: String,
    hidden: Vec<(String, String)>,
    chart_title: String,
    chart: String,
    days: Vec<DayRow>,
    has_peaks: bool,
    details: Option<DayDetails>,
}

/// What is read from the database for one view.
struct Found {
    catalog: Arc<Catalog>,
    subject: Subject,
    rows: Vec<ItemUse>,
    types: [BTreeMap<String, u64>; 3],
    days: Vec<(i64, Day)>,
    details: details::Details,
}

/// The span of days that is shown (since 1970, both included), and what is wrong with the one
/// that was asked for.
fn span(ask: &Ask, today: i64, first: Option<i64>) -> (i64, i64, String) {
    let lately = |days: i64| (today - days + 1, today, String::new());
    match ask.range.as_str() {
        "7" => lately(7),
        "90" => lately(90),
        "all" => (first.unwrap_or(today - 29).min(today), today, String::new()),
        "custom" => {
            let day = |text: &str| text.parse::<NaiveDate>().ok().map(|date| i64::from(date.to_epoch_days()));
            match (day(&ask.from), day(&ask.to)) {
                (Some(from), Some(to)) => match check_span(from, to) {
                    Ok(()) => (from, to, String::new()),
                    Err(failure) => (today - 29, today, format!("The first day {}.", failure.problem().detail.trim_start_matches("from "))),
                },
                _ => (today - 29, today, "Give both days as YYYY-MM-DD; the last 30 days are shown.".to_owned()),
            }
        }
        _ => lately(30),
    }
}

/// `GET /admin/statistics`
pub async fn show(caller: Caller, context: Data<Context>, request: HttpRequest, ask: Query<Ask>) -> PageResult {
    let mut ask = ask.into_inner();
    let now = context.clock.now_seconds();
    let today = now.div_euclid(86_400);
    let chrome = Chrome::of(&context, &request, &caller, "/admin/statistics", "Statistics").await?;
    if ask.handshake.as_deref() == Some("") {
        ask.handshake = None;
    }
    let (asked, by) = (ask.clone(), ask.by.unwrap_or_default());
    let day = ask.day.map_or(today, |day| i64::from(day.to_epoch_days()));
    let stock = Stock::take(&context).await?;
    let found = context
        .read(move |reader| {
            let catalog = Arc::clone(&stock.catalog);
            // Without a wish: the code that was used most today.
            let first = find_busiest(reader, &catalog, today)?;
            let wished = if asked.item.is_some() { asked.handshake.clone() } else { asked.handshake.clone().or(first) };
            if wished.is_none() && asked.item.is_none() {
                return Ok(None);
            }
            let subject = match Subject::find(&catalog, wished.as_deref(), asked.item) {
                Ok(subject) => subject,
                Err(refusal) => return Ok(Some(Err(refusal))),
            };
            let first_day = statistics::read_first_day(reader, &subject.scope)?;
            let (from, to, _) = span(&asked, today, first_day);
            let types = [(i64::MIN / 86_400, i64::MAX / 86_400), (from, to), (today, today)];
            let types = types.map(|(from, to)| statistics::read_types(reader, &subject.scope, from, to));
            let [all, period, of_today] = types;
            Ok(Some(Ok(Found {
                rows: item_use::of_subject(reader, &stock, &subject, now)?,
                types: [all?, period?, of_today?],
                days: read_span(reader, &subject.scope, from, to)?,
                details: details::read(reader, &subject.scope, day, by, asked.after.as_deref(), details::PAGE_ROWS)?,
                catalog,
                subject,
            })))
        })
        .await?;
    let Some(found) = found.transpose()? else {
        return Ok(page(&nothing(chrome))?);
    };
    if ask.handshake.is_none() && ask.item.is_none() {
        ask.handshake.clone_from(&found.subject.handshake);
    }
    Ok(page(&build(chrome, &ask, found, today, day, by))?)
}

/// Most codes among which the busiest is looked for.
const CODES_COMPARED: usize = 50;

fn find_busiest(reader: &crate::store::Reader, catalog: &Catalog, today: i64) -> Result<Option<String>, crate::store::Error> {
    let mut best: Option<(u64, String)> = None;
    for code in catalog.codes().into_iter().take(CODES_COMPARED) {
        let (granted, refused) = statistics::read_answered(reader, &[code.code_id], today)?;
        if best.as_ref().is_none_or(|(most, _)| granted + refused > *most) {
            best = Some((granted + refused, code.name()));
        }
    }
    Ok(best.map(|(_, name)| name))
}

fn nothing(page: Chrome) -> StatisticsPage {
    StatisticsPage {
        page,
        subject: String::new(),
        codes: vec![],
        items: vec![],
        rows: vec![],
        item_title: String::new(),
        rings: vec![],
        ranges: vec![],
        measures: vec![],
        modes: vec![],
        from: String::new(),
        to: String::new(),
        range_error: String::new(),
        hidden: vec![],
        chart_title: String::new(),
        chart: String::new(),
        days: vec![],
        has_peaks: false,
        details: None,
    }
}

fn build(chrome: Chrome, ask: &Ask, found: Found, today: i64, day: i64, by: GroupBy) -> StatisticsPage {
    let Found { catalog, subject, rows, types, days, details } = found;
    let has_peaks = subject.item.is_none() || subject.scope.is_concurrent;
    let (from, to) = (days.first().map_or(today, |(day, _)| *day), days.last().map_or(today, |(day, _)| *day));
    let (_, _, range_error) = span(ask, today, None);
    let measure = match ask.measure.as_str() {
        "devices" => "devices",
        "concurrent" if has_peaks => "concurrent",
        _ => "units",
    };
    let is_added_up = ask.mode == "accumulative";
    let has = |way: &str| rows.iter().any(|row| row.charge_way == way);
    let unit = match (has("page"), has("scan")) {
        (true, true) => "Scans and pages",
        (true, false) => "Pages",
        _ => "Scans",
    };
    let chart_title = match (measure, is_added_up) {
        ("devices", false) => "Devices at work each day".to_owned(),
        ("devices", true) => "Devices that were never at work before, added up".to_owned(),
        ("concurrent", false) => "Most at work in one slot of each day".to_owned(),
        ("concurrent", true) => "Most at work in one slot so far".to_owned(),
        (_, false) => format!("{unit} each day"),
        (_, true) => format!("{unit}, added up"),
    };
    let mut so_far = 0_u64;
    let points: Vec<Point> = days
        .iter()
        .map(|(day, row)| {
            let value = match (measure, is_added_up) {
                ("devices", false) => row.devices,
                ("devices", true) => row.first,
                ("concurrent", _) => row.peak,
                _ => row.units,
            };
            so_far = if measure == "concurrent" { so_far.max(value) } else { so_far + value };
            Point { day: *day, value: if is_added_up { so_far } else { value }, href: ask.day_link(|ask| ask.day = Some(date(*day))) }
        })
        .collect();
    let [all, period, of_today] = types;
    let rings = vec![
        ring("ring-all", "All history".to_owned(), &all),
        ring("ring-period", format!("{} to {}", utc_day(from * 86_400), utc_day(to * 86_400)), &period),
        ring("ring-today", format!("Today, {}", utc_day(today * 86_400)), &of_today),
    ];
    let choice = |text: &'static str, is_chosen: bool, href: String| Choice { text, href, is_chosen };
    let range = if ["7", "90", "all", "custom"].contains(&ask.range.as_str()) { ask.range.as_str() } else { "30" };
    let ranges = [("7 days", "7"), ("30 days", "30"), ("90 days", "90"), ("All history", "all")];
    let measures = [(unit, "units"), ("Devices", "devices"), ("Concurrent", "concurrent")];
    let modes = [("Per day", "split"), ("Accumulative", "accumulative")];
    let hidden = [
        ("handshake", ask.handshake.clone()),
        ("item", ask.item.map(|item| item.to_string())),
        ("measure", Some(measure.to_owned())),
        ("mode", Some(ask.mode.clone())),
    ];
    StatisticsPage {
        subject: match (&subject.handshake, subject.item) {
            (Some(code), None) => format!("Handshake code {code}"),
            (Some(code), Some(item)) => format!("Item {item} through handshake code {code}"),
            (None, Some(item)) => format!("License item {item}"),
            (None, None) => "Everything".to_owned(),
        },
        codes: catalog
            .codes()
            .iter()
            .map(|code| Entry { value: code.name(), text: code.name(), is_chosen: subject.item.is_none() && subject.handshake.as_ref() == Some(&code.name()) })
            .collect(),
        items: catalog
            .items()
            .map(|entry| Entry {
                value: entry.item.item_id.to_string(),
                text: format!("{} · {} · {}", entry.item.item_id, entry.item.product, entry.item.charge_way),
                is_chosen: subject.item == Some(entry.item.item_id),
            })
            .collect(),
        item_title: if subject.item.is_some() { "The item".to_owned() } else { "Its license items, in the order of use".to_owned() },
        rows,
        rings,
        ranges: ranges.map(|(text, value)| choice(text, range == value, ask.link(|ask| value.clone_into(&mut ask.range)))).into(),
        measures: measures
            .into_iter()
            .filter(|(_, value)| has_peaks || *value != "concurrent")
            .map(|(text, value)| choice(text, measure == value, ask.link(|ask| value.clone_into(&mut ask.measure))))
            .collect(),
        modes: modes.map(|(text, value)| choice(text, (value == "accumulative") == is_added_up, ask.link(|ask| value.clone_into(&mut ask.mode)))).into(),
        from: if ask.range == "custom" { ask.from.clone() } else { utc_day(from * 86_400) },
        to: if ask.range == "custom" { ask.to.clone() } else { utc_day(to * 86_400) },
        range_error,
        hidden: hidden.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.filter(|value| !value.is_empty())?))).collect(),
        chart: chart::trend("trend", &chart_title, &points),
        chart_title,
        days: days
            .iter()
            .rev()
            .map(|(day, row)| DayRow {
                day: utc_day(day * 86_400),
                href: ask.day_link(|ask| ask.day = Some(date(*day))),
                units: number(row.units),
                devices: number(row.devices),
                first: number(row.first),
                peak: number(row.peak),
            })
            .collect(),
        has_peaks,
        details: Some(day_details::build(ask, &subject, details, day, by, today)),
        page: chrome,
    }
}

/// The largest types have a part each, the others one together.
fn ring(id: &'static str, title: String, types: &BTreeMap<String, u64>) -> Ring {
    let mut sorted: Vec<(String, u64)> =
        types.iter().map(|(name, units)| (if name.is_empty() { "no type".to_owned() } else { name.clone() }, *units)).collect();
    sorted.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    if sorted.len() > chart::PARTS_MAX {
        let others = sorted.split_off(chart::PARTS_MAX - 1);
        sorted.push((format!("{} others", others.len()), others.iter().map(|(_, units)| units).sum()));
    }
    let total: u64 = sorted.iter().map(|(_, units)| units).sum();
    let parts = sorted.iter().enumerate().map(|(n, (name, units))| Part {
        class: format!("part{}", n + 1),
        name: name.clone(),
        units: number(*units),
        share: chart::share(*units, total),
    });
    Ring { svg: chart::ring(id, &title, &sorted), parts: parts.collect(), title, id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_what_was_asked_for_or_the_last_month() {
        let ask = |range: &str, from: &str, to: &str| Ask { range: range.into(), from: from.into(), to: to.into(), ..Ask::default() };
        assert_eq!(span(&ask("7", "", ""), 100, None), (94, 100, String::new()));
        assert_eq!(span(&ask("", "", ""), 100, None), (71, 100, String::new()));
        assert_eq!(span(&ask("all", "", ""), 100, Some(12)), (12, 100, String::new()));
        assert_eq!(span(&ask("custom", "1970-01-02", "1970-01-04"), 100, None), (1, 3, String::new()));
        assert!(span(&ask("custom", "1970-01-04", "1970-01-02"), 100, None).2.contains("later"));
        assert!(span(&ask("custom", "x", ""), 100, None).2.contains("YYYY-MM-DD"));
    }

    #[test]
    fn many_types_share_the_last_part() {
        let types = (1..=12_u64).map(|n| (format!("t{n}"), n)).collect();
        let ring = ring("r", "x".into(), &types);
        assert_eq!(ring.parts.len(), chart::PARTS_MAX);
        assert_eq!(ring.parts.last().expect("there").name, "5 others");
        assert!(ring.svg.contains("x: 78"));
    }
}
