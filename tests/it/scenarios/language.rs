//! What a line of a scenario may say. `#` begins a comment; four spaces put a line below the
//! one before it. WHO is a device such as `A`, or `each of S1 to S10`. Times are UTC.
//!
//! ```text
//! the time is 2050-01-01 08:00
//! 3 minutes later                                    also seconds, hours, days
//! license 200 of 216998 with                         also: … into 216998-line4 with
//!     item 1: dbr, device per quarter, quota 2, from 2050-01-01 to 2050-12-31
//!         further terms: scan, page, server, concurrent devices, concurrent instances,
//!         modules core ocr, grace 0 %, tolerance 1000, growth 0 a day, offline for 7 days,
//!         renews item 1, public trial
//! code 216998-line4 with item 1                      or: with items 1, 2
//! code 216998-line4 has items 1, 2                   it must, in the order of use
//! device A runs dbr under 216998-line4               or: without a code
//! devices S1 to S10 run dbr under 216998-line4
//! WHO asks: granted                                  until 2050-04-01, for 7 days, or: refused 120
//! WHO asks for 10 instances: …                       also: from 127.0.0.7, without a code
//! WHO reports 12 scans of QR Code: accepted          or: rejected 202, refused 203
//! WHO reports 1 scan of QR Code with 10 instances: …  also: from 1 day ago
//! WHO releases its seat
//! WHO may still work                                 its authorization has not ended
//! WHO may no longer work
//! B is a copy of A
//! A forgets everything but its UUID
//! A is reinstalled
//! the administrator resets A
//! item 1 shows used 2, grace left 0, overuse 0, status active
//! 12 times:                                          the lines below it
//! ```

use std::net::IpAddr;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde_json::{Value, json};
use tollkeeper::licensing::LicenseItem;

/// A step with its line.
pub type Step = (usize, Does);
/// The line, and what is wrong there.
pub type Wrong = (usize, String);

/// What a step does.
#[derive(Debug)]
pub enum Does {
    SetTime(i64),
    Wait(i64),
    Import { license: u64, organization: String, into: Option<String>, items: Vec<LicenseItem> },
    AddCode { code: String, items: Vec<u64> },
    HasItems { code: String, items: Vec<u64> },
    Install { devices: Vec<String>, product: String, code: Option<String> },
    Ask { who: Vec<String>, how: Asking, expected: Asked },
    Report { who: Vec<String>, report: Report, expected: Taken },
    Release { who: Vec<String> },
    MayWork { who: Vec<String>, expected: bool },
    Copy { new: String, old: String },
    Forget { device: String },
    Reinstall { device: String },
    Reset { device: String },
    Shows { item: u64, columns: Vec<(String, Value)> },
    Repeat { times: u64, steps: Vec<Step> },
}

/// How a device asks.
#[derive(Debug, Default)]
pub struct Asking {
    pub instances: Option<u64>,
    pub from: Option<IpAddr>,
    pub without_code: bool,
}

/// What it should be answered.
#[derive(Debug)]
pub enum Asked {
    Granted,
    GrantedUntil(i64),
    GrantedFor(i64),
    Refused(u16),
}

/// What a device reports.
#[derive(Debug)]
pub struct Report {
    pub count: u64,
    pub unit: &'static str,
    pub kind: String,
    pub instances: Option<u64>,
    pub ago: i64,
}

/// What should become of it: the report is rejected, or the request refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    Accepted,
    Rejected(u16),
    Refused(u16),
}

struct Line<'t> {
    number: usize,
    text: &'t str,
    below: Vec<Line<'t>>,
}

/// Reads a scenario; every line must be known.
pub fn parse(text: &str) -> Result<Vec<Step>, Wrong> {
    let mut rest: Vec<(usize, &str)> = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end())).collect();
    rest.retain(|(_, line)| !line.is_empty() && !line.trim_start().starts_with('#'));
    let mut rest = rest.as_slice();
    let lines = block(&mut rest, 0)?;
    if let Some((number, _)) = rest.first() {
        return Err((*number, "is not indented by four spaces for each step down".to_owned()));
    }
    steps(&lines)
}

fn block<'t>(rest: &mut &[(usize, &'t str)], indent: usize) -> Result<Vec<Line<'t>>, Wrong> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut lines = Vec::new();
    while let Some(((number, line), after)) = rest.split_first().filter(|((_, line), _)| depth(line) == indent) {
        *rest = after;
        lines.push(Line { number: *number, text: line.trim_start(), below: block(rest, indent + 4)? });
    }
    Ok(lines)
}

fn steps(lines: &[Line<'_>]) -> Result<Vec<Step>, Wrong> {
    lines.iter().map(|line| Ok((line.number, step(line)?))).collect()
}

fn step(line: &Line<'_>) -> Result<Does, Wrong> {
    let wrong = |what: &str| (line.number, format!("'{}' {what}", line.text));
    let below_is_meant = line.text.ends_with(" with") || line.text.ends_with(" times:");
    match (below_is_meant, line.below.first()) {
        (false, Some(first)) => return Err((first.number, "stands below a line that takes none".to_owned())),
        (true, None) => return Err(wrong("needs lines below it")),
        _ => {}
    }
    if let Some([times]) = fill("{} times:", line.text) {
        let times = times.parse().map_err(|_| wrong("begins with no number"))?;
        return Ok(Does::Repeat { times, steps: steps(&line.below)? });
    }
    if let Some([license, whose]) = fill("license {} of {} with", line.text) {
        let license = license.parse().map_err(|_| wrong("names a license that is no number"))?;
        let (organization, into) = fill("{} into {}", whose).map_or((whose, None), |[organization, into]| (organization, Some(into.to_owned())));
        let items = line.below.iter().map(|line| item(line.text).ok_or_else(|| (line.number, format!("'{}' is no license item", line.text))));
        return Ok(Does::Import { license, organization: organization.to_owned(), into, items: items.collect::<Result<_, _>>()? });
    }
    simple(line.text).ok_or_else(|| wrong("is nothing that a scenario says: tests/it/scenarios/language.rs lists what it may"))
}

/// A line with nothing below it.
fn simple(text: &str) -> Option<Does> {
    if let Some([time]) = fill("the time is {}", text) {
        return Some(Does::SetTime(moment(time, NaiveTime::MIN)?));
    }
    if let Some([time]) = fill("{} later", text) {
        return Some(Does::Wait(length(time)?));
    }
    if let Some([code, items]) = fill("code {} with {}", text) {
        return Some(Does::AddCode { code: code.to_owned(), items: numbers(items)? });
    }
    if let Some([code, items]) = fill("code {} has {}", text) {
        return Some(Does::HasItems { code: code.to_owned(), items: numbers(items)? });
    }
    for (begin, verb) in [("device ", " runs "), ("devices ", " run ")] {
        if let Some((devices, what)) = text.strip_prefix(begin).and_then(|rest| rest.split_once(verb)) {
            let (product, code) = what.strip_suffix(" without a code").map(|product| (product, None)).or_else(|| {
                let (product, code) = what.split_once(" under ")?;
                Some((product, Some(code.to_owned())))
            })?;
            return Some(Does::Install { devices: names(devices)?, product: product.to_owned(), code });
        }
    }
    if let Some([item, columns]) = fill("item {} shows {}", text) {
        return Some(Does::Shows { item: item.parse().ok()?, columns: columns.split(", ").map(column).collect::<Option<_>>()? });
    }
    if let Some([new, old]) = fill("{} is a copy of {}", text) {
        return Some(Does::Copy { new: one(new)?, old: one(old)? });
    }
    if let Some([device]) = fill("{} forgets everything but its UUID", text) {
        return Some(Does::Forget { device: one(device)? });
    }
    if let Some([device]) = fill("{} is reinstalled", text) {
        return Some(Does::Reinstall { device: one(device)? });
    }
    if let Some([device]) = fill("the administrator resets {}", text) {
        return Some(Does::Reset { device: one(device)? });
    }
    let (who, does) = match text.strip_prefix("each of ") {
        Some(rest) => {
            let end = rest.match_indices(' ').nth(2)?.0;
            (names(&rest[..end])?, &rest[end + 1..])
        }
        None => {
            let (who, does) = text.split_once(' ')?;
            (vec![one(who)?], does)
        }
    };
    match does {
        "releases its seat" => return Some(Does::Release { who }),
        "may still work" => return Some(Does::MayWork { who, expected: true }),
        "may no longer work" => return Some(Does::MayWork { who, expected: false }),
        _ => {}
    }
    let (does, expected) = does.split_once(": ")?;
    if let Some(how) = does.strip_prefix("asks") {
        return Some(Does::Ask { who, how: asking(how)?, expected: asked(expected)? });
    }
    Some(Does::Report { who, report: report(does.strip_prefix("reports ")?)?, expected: taken(expected)? })
}

/// The texts at the places of `{}` in the pattern, when the rest of it is as it stands.
fn fill<'t, const N: usize>(pattern: &str, text: &'t str) -> Option<[&'t str; N]> {
    let mut parts = pattern.split("{}");
    let mut rest = text.strip_prefix(parts.next()?)?;
    let mut found = Vec::with_capacity(N);
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        let (taken, after) = if parts.peek().is_none() { (rest.strip_suffix(part)?, "") } else { rest.split_once(part)? };
        found.push(taken);
        rest = after;
    }
    found.try_into().ok().filter(|found: &[&str; N]| found.iter().all(|text| !text.is_empty()))
}

fn item(text: &str) -> Option<LicenseItem> {
    let [id, terms] = fill("item {}: {}", text)?;
    let mut terms = terms.split(", ");
    let mut item = json!({"item_id": id.parse::<u64>().ok()?, "product": terms.next()?, "local_license_validity": "7d", "grace": {}});
    let number = |text: &str| text.parse::<u64>().ok().map(Value::from);
    for term in terms {
        if let Some([from, to]) = fill("from {} to {}", term) {
            item["valid_from"] = json!(DateTime::<Utc>::from_timestamp(moment(from, NaiveTime::MIN)?, 0));
            item["valid_to"] = json!(DateTime::<Utc>::from_timestamp(moment(to, NaiveTime::from_hms_opt(23, 59, 59)?)?, 0));
        } else if let Some(quota) = term.strip_prefix("quota ") {
            item["quota"] = number(quota)?;
        } else if let Some([percent]) = fill("grace {} %", term) {
            item["grace"]["percent"] = number(percent)?;
        } else if let Some(tolerance) = term.strip_prefix("tolerance ") {
            item["grace"]["tolerance"] = number(tolerance)?;
        } else if let Some([growth]) = fill("growth {} a day", term) {
            item["grace"]["growth_per_day"] = number(growth)?;
        } else if let Some(time) = term.strip_prefix("offline for ") {
            item["local_license_validity"] = json!(format!("{}s", length(time)?));
        } else if let Some(modules) = term.strip_prefix("modules ") {
            item["modules"] = json!(modules.split(' ').collect::<Vec<_>>());
        } else if let Some(renewed) = term.strip_prefix("renews item ") {
            item["renews"] = number(renewed)?;
        } else if let Some(period) = term.strip_prefix("device per ") {
            item["charge_way"] = json!("device");
            item["period"] = json!(period);
        } else {
            match term {
                "scan" | "page" | "server" => item["charge_way"] = json!(term),
                "concurrent devices" => item["charge_way"] = json!("concurrent_device"),
                "concurrent instances" => item["charge_way"] = json!("concurrent_instance"),
                "public trial" => item["trial"] = json!(true),
                _ => return None,
            }
        }
    }
    serde_json::from_value(item).ok().filter(|item: &LicenseItem| item.validate().is_ok())
}

fn column(text: &str) -> Option<(String, Value)> {
    let (name, value) = text.rsplit_once(' ')?;
    match name {
        "used" | "overuse" | "grace left" => Some((name.replace(' ', "_"), json!(value.parse::<u64>().ok()?))),
        "status" => Some((name.to_owned(), json!(value))),
        _ => None,
    }
}

fn asking(text: &str) -> Option<Asking> {
    let mut how = Asking::default();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(" without a code") {
            (how.without_code, rest) = (true, after);
        } else if let Some(after) = rest.strip_prefix(" from ") {
            let end = after.find(' ').unwrap_or(after.len());
            (how.from, rest) = (Some(after[..end].parse().ok()?), &after[end..]);
        } else {
            let (number, after) = rest.strip_prefix(" for ")?.split_once(" instance")?;
            (how.instances, rest) = (Some(number.parse().ok()?), after.strip_prefix('s').unwrap_or(after));
        }
    }
    Some(how)
}

fn asked(text: &str) -> Option<Asked> {
    if let Some(time) = text.strip_prefix("granted until ") {
        return Some(Asked::GrantedUntil(moment(time, NaiveTime::MIN)?));
    }
    if let Some(time) = text.strip_prefix("granted for ") {
        return Some(Asked::GrantedFor(length(time)?));
    }
    match text {
        "granted" => Some(Asked::Granted),
        _ => Some(Asked::Refused(text.strip_prefix("refused ")?.parse().ok()?)),
    }
}

fn report(text: &str) -> Option<Report> {
    let (count, rest) = text.split_once(' ')?;
    let (unit, rest) = rest.split_once(" of ")?;
    let (rest, ago) = match rest.split_once(" from ") {
        Some((rest, time)) => (rest, length(time.strip_suffix(" ago")?)?),
        None => (rest, 0),
    };
    let (kind, instances) = match rest.split_once(" with ") {
        Some((kind, instances)) => (kind, Some(instances.strip_suffix(" instances").or(instances.strip_suffix(" instance"))?.parse().ok()?)),
        None => (rest, None),
    };
    let unit = match unit {
        "scan" | "scans" => "scan",
        "page" | "pages" => "page",
        _ => return None,
    };
    Some(Report { count: count.parse().ok()?, unit, kind: kind.to_owned(), instances, ago })
}

fn taken(text: &str) -> Option<Taken> {
    if let Some(code) = text.strip_prefix("rejected ") {
        return Some(Taken::Rejected(code.parse().ok()?));
    }
    match text {
        "accepted" => Some(Taken::Accepted),
        _ => Some(Taken::Refused(text.strip_prefix("refused ")?.parse().ok()?)),
    }
}

/// A device's name: a capital letter, perhaps with a number.
fn one(text: &str) -> Option<String> {
    let is_name = text.starts_with(|c: char| c.is_ascii_uppercase()) && text[1..].bytes().all(|byte| byte.is_ascii_digit());
    is_name.then(|| text.to_owned())
}

/// `A`, or `S1 to S10`.
fn names(text: &str) -> Option<Vec<String>> {
    let Some((first, last)) = text.split_once(" to ") else { return Some(vec![one(text)?]) };
    let (first, last) = (one(first)?, one(last)?);
    let (from, to): (u32, u32) = (first[1..].parse().ok()?, last[1..].parse().ok()?);
    (first[..1] == last[..1] && from < to).then(|| (from..=to).map(|number| format!("{}{number}", &first[..1])).collect())
}

/// `item 1`, or `items 1, 2`.
fn numbers(text: &str) -> Option<Vec<u64>> {
    let list = text.strip_prefix("items ").or(text.strip_prefix("item "))?;
    list.split(", ").map(|number| number.parse().ok()).collect()
}

/// `3 minutes`, in seconds.
fn length(text: &str) -> Option<i64> {
    let (number, unit) = text.split_once(' ')?;
    let seconds = match unit.strip_suffix('s').unwrap_or(unit) {
        "second" => 1,
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        _ => return None,
    };
    Some(number.parse::<u32>().ok().map(i64::from)? * seconds)
}

/// `2050-01-01`, `2050-01-01 08:00` or `2050-01-01 08:00:30`, in seconds since 1970.
fn moment(text: &str, of_plain_date: NaiveTime) -> Option<i64> {
    let with_time = ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"].iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let plain = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|date| date.and_time(of_plain_date));
    Some(with_time.or_else(plain)?.and_utc().timestamp())
}
