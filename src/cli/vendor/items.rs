//! The vendor's TOML for `vendor issue`: what was bought, item by item.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{LAST_MOMENT, free_id, time_of, told};
use crate::cli::Failure;
use crate::documents::license_file::TEXT_VERSION;
use crate::documents::{License, LicenseStatus};
use crate::licensing::item::{GraceTerms, SeatStarts, VersionPatterns};
use crate::licensing::{ChargeWay, DeploymentType, ItemId, LicenseId, LicenseItem, OrganizationId, Period, Span};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LicenseToml {
    organization_id: OrganizationId,
    #[serde(default)]
    alias: String,
    license_id: Option<LicenseId>,
    items: Vec<ItemToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemToml {
    item_id: Option<ItemId>,
    product: String,
    #[serde(default)]
    editions: Vec<String>,
    #[serde(default)]
    versions: VersionPatterns,
    #[serde(default)]
    deployment_types: Vec<DeploymentType>,
    #[serde(default)]
    modules: Vec<String>,
    charge_way: ChargeWay,
    period: Option<Period>,
    // Missing is right for domain items only; validate() tells the others.
    #[serde(default)]
    quota: u64,
    #[serde(deserialize_with = "first_moment")]
    valid_from: DateTime<Utc>,
    #[serde(deserialize_with = "last_moment")]
    valid_to: DateTime<Utc>,
    #[serde(default = "default_validity")]
    local_license_validity: Span,
    #[serde(default)]
    grace: GraceToml,
    #[serde(default)]
    seat_starts: SeatStarts,
    #[serde(default = "default_release_allowance")]
    release_allowance: u32,
    depends_on: Option<ItemId>,
    #[serde(default)]
    trial: bool,
    domain: Option<String>,
    renews: Option<ItemId>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GraceToml {
    percent: Option<u32>,
    days: Option<u32>,
    tolerance: Option<u32>,
    growth_per_day: Option<u32>,
}

fn default_validity() -> Span {
    Span::days(7)
}

fn default_release_allowance() -> u32 {
    20
}

fn first_moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    moment(deserializer, NaiveTime::MIN)
}

fn last_moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    moment(deserializer, LAST_MOMENT)
}

fn moment<'de, D: Deserializer<'de>>(deserializer: D, of_plain_date: NaiveTime) -> Result<DateTime<Utc>, D::Error> {
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        toml::Value::Datetime(time) => time.to_string(),
        other => return Err(D::Error::custom(format!("expected a date or time, found {}", other.type_str()))),
    };
    let with_zone = DateTime::parse_from_rfc3339(&text).map(|time| time.to_utc());
    let without_zone = NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S").map(|time| time.and_utc());
    let plain = NaiveDate::parse_from_str(&text, "%Y-%m-%d").map(|date| date.and_time(of_plain_date).and_utc());
    with_zone.or(without_zone).or(plain).map_err(|_| {
        let shown = crate::licensing::id::shorten(&text);
        D::Error::custom(format!("'{shown}' is not a date such as 2026-12-31 or a time such as 2026-12-31T12:00:00Z"))
    })
}

/// Reads the vendor's TOML into a `New` license. An error tells line and key.
pub(super) fn read_items(text: &str, now: i64) -> Result<License, Failure> {
    let wanted: LicenseToml = toml::from_str(text).map_err(|error| {
        let before = error.span().map_or(0, |span| span.start).min(text.len());
        let line = text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count() + 1;
        Failure(format!("line {line}: {}", error.message().replace('\n', " ")))
    })?;
    let mut taken: BTreeSet<u64> = wanted.items.iter().filter_map(|item| item.item_id).map(|id| id.0).collect();
    let mut items = Vec::with_capacity(wanted.items.len());
    for item in wanted.items {
        let item_id = item.item_id.map_or_else(|| free_id(&mut taken).map(ItemId), Ok)?;
        items.push(LicenseItem {
            item_id,
            product: item.product,
            editions: item.editions,
            versions: item.versions,
            deployment_types: item.deployment_types,
            modules: item.modules,
            charge_way: item.charge_way,
            period: item.period,
            quota: item.quota,
            valid_from: item.valid_from,
            valid_to: item.valid_to,
            local_license_validity: item.local_license_validity,
            grace: GraceTerms {
                percent: item.grace.percent,
                days: item.grace.days,
                tolerance: item.grace.tolerance,
                growth_per_day: item.grace.growth_per_day,
            },
            seat_starts: item.seat_starts,
            release_allowance: item.release_allowance,
            depends_on: item.depends_on,
            trial: item.trial,
            domain: item.domain.map(|domain| domain.to_ascii_lowercase()),
            renews: item.renews,
        });
    }
    let license = License {
        license_text_version: TEXT_VERSION.into(),
        license_id: wanted.license_id.map_or_else(|| free_id(&mut BTreeSet::new()).map(LicenseId), Ok)?,
        alias: wanted.alias,
        organization_id: wanted.organization_id,
        license_status: LicenseStatus::New,
        issued_at: time_of(now)?,
        servers: vec![],
        items,
    };
    license.validate().map_err(told)?;
    Ok(license)
}

/// What the vendor should know about a license that is allowed all the same.
pub(super) fn warnings(license: &License) -> Vec<String> {
    let warned = license.items.iter().filter_map(|item| {
        let period = item.period?;
        (item.local_license_validity.seconds() > period.seconds()).then(|| {
            format!(
                "item {} ({}): local_license_validity {} is longer than its period {period}; a device may work offline after its seat was given to another",
                item.item_id, item.product, item.local_license_validity
            )
        })
    });
    let known = |id: ItemId| license.items.iter().any(|item| item.item_id == id);
    let alone = license.items.iter().filter_map(|item| {
        let needed = item.depends_on.filter(|needed| !known(*needed))?;
        Some(format!(
            "item {} ({}) depends on item {needed}, which is not in this license: the site must have it in the same handshake code",
            item.item_id, item.product
        ))
    });
    warned.chain(alone).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const NOW: i64 = 1_795_305_600;
    /// 200 devices of `dbr` and 5000 pages of `dwt`, item 7, from 2026-11-01.
    pub(in crate::cli::vendor) const ITEMS: &str = r#"
organization_id = "216998"

[[items]]
product = "dbr"
charge_way = "device"
period = "day"
quota = 200
valid_from = 2026-11-01
valid_to = 2027-10-31
versions = "9.*"
grace = { percent = 10 }

[[items]]
item_id = 7
product = "dwt"
charge_way = "page"
quota = 5000
valid_from = 2026-11-01T00:00:00+01:00
valid_to = "2027-01-01T00:00:00Z"
local_license_validity = "24h"
"#;

    fn refusal(text: &str) -> String {
        read_items(text, NOW).map(|_| ()).expect_err("refused").0
    }

    #[test]
    fn dates_are_read_in_every_form_and_a_plain_end_lasts_the_day() {
        let Ok(license) = read_items(ITEMS, NOW) else { panic!("items") };
        let times: Vec<_> =
            license.items.iter().flat_map(|item| [item.valid_from, item.valid_to]).map(|time| crate::clock::rfc3339(time.timestamp())).collect();
        assert_eq!(times, ["2026-11-01T00:00:00Z", "2027-10-31T23:59:59Z", "2026-10-31T23:00:00Z", "2027-01-01T00:00:00Z"]);
        assert!((100_000_000..1_000_000_000).contains(&license.license_id.0));
        assert_eq!(license.items[1].item_id, ItemId(7));
        assert_eq!(license.items[0].local_license_validity, Span::days(7), "7 days offline where nothing is said");
        assert_eq!(warnings(&license).len(), 1, "7 days offline on a seat of one day");
    }

    #[test]
    fn a_mistake_in_the_items_file_is_told_with_its_line() {
        for (good, bad, line, word) in [
            ("product = \"dwt\"", "product = \"dwt\"\nqouta = 5", "line 17:", "qouta"),
            ("quota = 5000", "quota = \"many\"", "line 18:", "invalid type"),
            ("valid_to = 2027-10-31", "valid_to = \"soon\"", "line 10:", "'soon' is not a date"),
            ("grace = { percent = 10 }", "grace = { perzent = 10 }", "line 12:", "perzent"),
            ("charge_way = \"page\"", "charge_way = \"smile\"", "line 17:", "smile"),
            ("organization_id = \"216998\"", "organization_id = \"21-69\"", "line 2:", "organization ID"),
            ("quota = 200", "quota = 0", "item ", "quota: must be at least 1"),
            ("period = \"day\"\n", "", "item ", "period"),
        ] {
            let message = refusal(&ITEMS.replacen(good, bad, 1));
            assert!(message.starts_with(line) && message.contains(word) && !message.contains('\n'), "{message}");
        }
    }
}
