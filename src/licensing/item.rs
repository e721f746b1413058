//! A license item: one product, what it permits, how it is charged, from when to when
//! (domain §1). The fields are those of the license file.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::charge_way::{ChargeWay, DeploymentType, Period};
use super::id::{self, ItemId, MAX_ID};
use super::span::Span;

/// Shortest local license validity a vendor may set.
pub const VALIDITY_MIN: Span = Span::minutes(3);
/// Longest local license validity a vendor may set.
pub const VALIDITY_MAX: Span = Span::days(365);
/// Most entries in a list of modules, editions or versions.
const LIST_MAX: usize = 64;
/// Longest word in such a list, and longest product name.
const WORD_MAX: usize = 64;
/// Largest quota: leaves room for sums in 64 bits.
const QUOTA_MAX: u64 = 1_000_000_000_000;

/// One item of a license.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LicenseItem {
    /// Its number, unique on a server.
    pub item_id: ItemId,
    /// The product it licenses, such as `dbr`.
    pub product: String,
    /// Editions permitted; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub editions: Vec<String>,
    /// Versions permitted: dotted patterns separated by commas (`9.*, 10.*`); empty: any.
    #[serde(default, skip_serializing_if = "VersionPatterns::is_any")]
    pub versions: VersionPatterns,
    /// Deployment types permitted; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deployment_types: Vec<DeploymentType>,
    /// Modules permitted; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
    /// How it is charged.
    pub charge_way: ChargeWay,
    /// For `device` items: how long a seat is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// How much: scans, pages, seats, or devices at once.
    pub quota: u64,
    /// First moment of validity.
    pub valid_from: DateTime<Utc>,
    /// Last moment of validity; grace begins here.
    pub valid_to: DateTime<Utc>,
    /// How long a device may work offline on one authorization, 3 minutes to 365 days.
    pub local_license_validity: Span,
    /// What is allowed beyond quota and end, where it differs from the defaults.
    #[serde(default, skip_serializing_if = "GraceTerms::is_default")]
    pub grace: GraceTerms,
    /// When a seat is taken.
    #[serde(default)]
    pub seat_starts: SeatStarts,
    /// How many seats the admin may free by hand over the item's life.
    #[serde(default = "default_release_allowance")]
    pub release_allowance: u32,
    /// The item without which this one is worth nothing.
    #[serde(default)]
    pub depends_on: Option<ItemId>,
    /// Whether it is the public trial.
    #[serde(default)]
    pub trial: bool,
    /// For `domain` items: the registered domain inside which use is unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The item that this one renews or adds to: it joins that item's handshake codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews: Option<ItemId>,
}

fn default_release_allowance() -> u32 {
    20
}

/// Item options about grace; a missing one takes the default of [`super::grace`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraceTerms {
    /// Percent of the quota allowed beyond it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u32>,
    /// Days allowed after the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// For `concurrent_*` items: excess slot-uses allowed for each unit of the quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<u32>,
    /// For `concurrent_*` items: how much that tolerance grows each day, for each unit of
    /// the quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth_per_day: Option<u32>,
}

impl GraceTerms {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// When a device takes its seat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeatStarts {
    /// With its first authorization.
    #[default]
    Authorization,
    /// With the first use it reports.
    FirstUse,
}

/// What is wrong with an item, and in which field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadItem {
    /// The field.
    pub field: &'static str,
    /// What is wrong and what to write.
    pub detail: String,
}

impl fmt::Display for BadItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.detail)
    }
}

impl LicenseItem {
    /// Checks every field against its limits. Both the vendor's command and the import
    /// call this, so that no server ever holds an item that makes no sense.
    pub fn validate(&self) -> Result<(), BadItem> {
        let bad = |field, detail: String| Err(BadItem { field, detail });
        if self.item_id.0 == 0 || self.item_id.0 > MAX_ID {
            return bad("item_id", format!("must be from 1 to {MAX_ID}"));
        }
        if !is_word(&self.product) {
            return bad("product", format!("'{}' must be 1 to {WORD_MAX} printable characters", id::shorten(&self.product)));
        }
        for (field, list) in [("editions", &self.editions), ("modules", &self.modules)] {
            if list.len() > LIST_MAX {
                return bad(field, format!("has {} entries, at most {LIST_MAX} are allowed", list.len()));
            }
            if let Some(word) = list.iter().find(|word| !is_word(word)) {
                return bad(field, format!("'{}' must be 1 to {WORD_MAX} printable characters", id::shorten(word)));
            }
        }
        if self.deployment_types.len() > LIST_MAX {
            return bad("deployment_types", format!("has {} entries, at most {LIST_MAX} are allowed", self.deployment_types.len()));
        }
        match (self.charge_way, self.period) {
            (ChargeWay::Device, None) => return bad("period", "a device item needs a period: year, quarter, month or day".into()),
            (ChargeWay::Device, Some(_)) | (_, None) => {}
            (other, Some(_)) => return bad("period", format!("only device items have a period, this one is charged by {other}")),
        }
        if self.quota > QUOTA_MAX {
            return bad("quota", format!("{} is more than {QUOTA_MAX}", self.quota));
        }
        if self.quota == 0 && self.charge_way != ChargeWay::Domain {
            return bad("quota", "must be at least 1".into());
        }
        for (field, time) in [("valid_from", self.valid_from), ("valid_to", self.valid_to)] {
            if !(0..=253_402_300_799).contains(&time.timestamp()) {
                return bad(field, "must lie between 1970 and 9999".into());
            }
        }
        if self.valid_to <= self.valid_from {
            return bad("valid_to", "must be later than valid_from".into());
        }
        if !(VALIDITY_MIN..=VALIDITY_MAX).contains(&self.local_license_validity) {
            return bad("local_license_validity", format!("{} is not between {VALIDITY_MIN} and {VALIDITY_MAX}", self.local_license_validity));
        }
        if self.grace.percent.is_some_and(|percent| percent > 1_000) {
            return bad("grace.percent", "must be at most 1000".into());
        }
        if self.grace.days.is_some_and(|days| days > 3_650) {
            return bad("grace.days", "must be at most 3650".into());
        }
        for (field, terms) in [("grace.tolerance", self.grace.tolerance), ("grace.growth_per_day", self.grace.growth_per_day)] {
            if terms.is_some() && !self.charge_way.is_concurrent() {
                return bad(field, format!("only concurrent items have a tolerance, this one is charged by {}", self.charge_way));
            }
            if terms.is_some_and(|terms| terms > 1_000_000) {
                return bad(field, "must be at most 1000000".into());
            }
        }
        for (field, other) in [("depends_on", self.depends_on), ("renews", self.renews)] {
            if other == Some(self.item_id) {
                return bad(field, "must be another item".into());
            }
        }
        match (self.charge_way, &self.domain) {
            (ChargeWay::Domain, None) => return bad("domain", "a domain item needs the domain that it is for, such as example.com".into()),
            (ChargeWay::Domain, Some(domain)) => super::domain::check(domain).map_err(|detail| BadItem { field: "domain", detail })?,
            (_, None) => {}
            (other, Some(_)) => {
                return bad("domain", format!("only domain items name a domain, this one is charged by {other}; a handshake code can ask for domains"));
            }
        }
        Ok(())
    }

    /// First second of validity, since 1970.
    pub fn starts_at(&self) -> i64 {
        self.valid_from.timestamp()
    }

    /// Whether an empty list or a list with this word permits it.
    pub fn permits_edition(&self, edition: Option<&str>) -> bool {
        permits(&self.editions, edition)
    }

    /// Whether the item covers this module.
    pub fn permits_module(&self, module: &str) -> bool {
        permits(&self.modules, Some(module))
    }

    /// Whether the item covers this kind of machine. A `server` item covers servers only
    /// (domain §4), whatever its list says.
    pub fn permits_deployment(&self, deployment: Option<DeploymentType>) -> bool {
        if self.charge_way == ChargeWay::Server && deployment != Some(DeploymentType::Server) {
            return false;
        }
        self.deployment_types.is_empty() || deployment.is_some_and(|given| self.deployment_types.contains(&given))
    }
}

/// Words compare without regard to case, as product, edition and module names do
/// everywhere.
pub fn same_word(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Whether an empty list, or a list with this word, permits it.
pub fn permits(list: &[String], given: Option<&str>) -> bool {
    list.is_empty() || given.is_some_and(|given| list.iter().any(|word| same_word(word, given)))
}

/// Whether it can be the name of a product, edition or module.
pub fn is_word(text: &str) -> bool {
    (1..=WORD_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text.trim() == text
}

/// Version patterns of an item: `9.*, 10.2`. A pattern covers a version when its parts
/// are equal one by one; `*` is any part, and a final `*` is any rest, none included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionPatterns {
    text: String,
    patterns: Vec<Vec<String>>,
}

impl VersionPatterns {
    /// Whether every version is covered.
    pub fn is_any(&self) -> bool {
        self.patterns.is_empty()
    }

    /// How many patterns there are; 0 is any version.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// Whether there is no pattern, which covers every version.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether this version, if one is given, is covered.
    pub fn cover(&self, version: Option<&str>) -> bool {
        self.is_any() || version.is_some_and(|version| self.patterns.iter().any(|pattern| covers(pattern, version)))
    }
}

fn covers(pattern: &[String], version: &str) -> bool {
    let mut parts = version.split('.');
    for (index, part) in pattern.iter().enumerate() {
        let last = index + 1 == pattern.len();
        match (part.as_str(), parts.next()) {
            ("*", None) => return last,
            ("*", Some(_)) if last => return true,
            ("*", Some(_)) => {}
            (wanted, Some(given)) if wanted == given => {}
            _ => return false,
        }
    }
    // A pattern such as `9.6` covers 9.6.30: what is bought is a line, not one build.
    true
}

impl TryFrom<String> for VersionPatterns {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let patterns: Vec<Vec<String>> =
            text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).map(|pattern| pattern.split('.').map(str::to_owned).collect()).collect();
        let good = |part: &String| part == "*" || (!part.is_empty() && part.len() <= 16 && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        if patterns.len() > LIST_MAX || patterns.iter().any(|pattern| pattern.len() > 8 || !pattern.iter().all(good)) {
            return Err(format!("versions '{}' are not dotted patterns separated by commas, such as 9.*, 10.2", id::shorten(&text)));
        }
        Ok(Self { text, patterns })
    }
}

impl From<VersionPatterns> for String {
    fn from(patterns: VersionPatterns) -> Self {
        patterns.text
    }
}

impl fmt::Display for VersionPatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An item for the tests of this room: 100 scans of `dbr`, valid 2020 to 2030.
    pub(crate) fn scan_item(id: u64) -> LicenseItem {
        LicenseItem {
            item_id: ItemId(id),
            product: "dbr".into(),
            editions: vec![],
            versions: VersionPatterns::default(),
            deployment_types: vec![],
            modules: vec![],
            charge_way: ChargeWay::Scan,
            period: None,
            quota: 100,
            valid_from: "2020-01-01T00:00:00Z".parse().expect("time"),
            valid_to: "2030-01-01T00:00:00Z".parse().expect("time"),
            local_license_validity: Span::days(7),
            grace: GraceTerms::default(),
            seat_starts: SeatStarts::Authorization,
            release_allowance: 20,
            depends_on: None,
            trial: false,
            domain: None,
            renews: None,
        }
    }

    fn patterns(text: &str) -> VersionPatterns {
        VersionPatterns::try_from(text.to_owned()).expect("patterns")
    }

    #[test]
    fn version_patterns_cover_what_a_buyer_expects() {
        let two = patterns("9.*, 10.*");
        for covered in ["9", "9.0", "9.6.30", "10.1"] {
            assert!(two.cover(Some(covered)), "{covered}");
        }
        for foreign in ["8.1", "90.1", "11", ""] {
            assert!(!two.cover(Some(foreign)), "{foreign}");
        }
        assert!(!two.cover(None), "an item for certain versions needs to know which one runs");
        assert!(patterns("").cover(None));
        assert!(patterns("9.*.3").cover(Some("9.7.3")) && !patterns("9.*.3").cover(Some("9.7")));
        assert!(patterns("9.6").cover(Some("9.6.30")));
        assert!(VersionPatterns::try_from("9..1".to_owned()).is_err());
    }

    #[test]
    fn an_item_that_makes_no_sense_is_refused_naming_the_field() {
        assert_eq!(scan_item(1).validate(), Ok(()));
        type Spoil = fn(&mut LicenseItem);
        let cases: [(&str, Spoil); 9] = [
            ("item_id", |i| i.item_id = ItemId(0)),
            ("product", |i| i.product.clear()),
            ("modules", |i| i.modules = vec!["a\nb".into()]),
            ("editions", |i| i.editions = vec!["e".into(); 65]),
            ("period", |i| i.charge_way = ChargeWay::Device),
            ("period", |i| i.period = Some(Period::Day)),
            ("quota", |i| i.quota = 0),
            ("valid_to", |i| i.valid_to = i.valid_from),
            ("local_license_validity", |i| i.local_license_validity = Span::minutes(2)),
        ];
        for (field, spoil) in cases {
            let mut item = scan_item(1);
            spoil(&mut item);
            assert_eq!(item.validate().map_err(|bad| bad.field), Err(field));
        }
    }
}
