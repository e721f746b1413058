//! The usage statement: what a server counted in a period, signed by the server, carried to
//! the vendor on a stick (domain §6, protocol §2). It names where the server's journal
//! stood, so that two statements in a row show whether anything was taken out of it
//! ([`super::continuity`]).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::armor::{armor, dearmor};
use super::keys::{SigningKey, VerifyingKey};
use super::server_certificate::{self, ServerCertificate};
use super::{Error, Jws, fields, jws};
use crate::clock::rfc3339;
use crate::licensing::item::is_word;
use crate::licensing::{ChargeWay, ItemId, LicenseId, OrganizationId, Period, ServerUuid};

/// `typ` of its header.
pub const TYP: &str = "tk-usage+jws";
/// Label of its armor.
pub const LABEL: &str = "TOLLKEEPER USAGE STATEMENT";
/// Largest file taken, in bytes.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The one `statement_version` there is.
pub const VERSION: &str = "1";
/// Most items of one statement.
pub const ITEMS_MAX: usize = 1_000;
/// Most types of one item; whoever writes a statement adds up the rest under one name.
pub const TYPES_MAX: usize = 64;
/// Longest name of a type, in bytes.
pub const TYPE_MAX: usize = 160;
/// Most other origins.
pub const HEADS_MAX: usize = 64;
/// Largest count: every JSON reader keeps it exact, and sums have room in 64 bits.
pub const COUNT_MAX: u64 = (1 << 53) - 1;

const WHAT: &str = "usage statement";

/// A usage statement: the payload of the file. Days are UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageStatement {
    /// [`VERSION`].
    pub statement_version: String,
    /// Its own id; the next statement names it.
    pub statement_id: Uuid,
    /// The server that counted.
    pub server_uuid: ServerUuid,
    /// The customer. A server with several makes a statement for each.
    pub organization_id: OrganizationId,
    /// First day.
    pub from: NaiveDate,
    /// Last day, included; not after the day of issue.
    pub to: NaiveDate,
    /// When it was made.
    pub issued_at: DateTime<Utc>,
    /// What was used, item by item; at most 1000.
    pub items: Vec<StatementItem>,
    /// Where the server's own chain of facts stood when the numbers were taken.
    pub head: ChainHead,
    /// Where the chains of other servers stood, as this one had them; by origin.
    #[serde(default)]
    pub other_heads: Vec<ChainHead>,
    /// The statement before. None: this is the first.
    #[serde(default)]
    pub previous: Option<PreviousStatement>,
}

/// What was used of one license item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementItem {
    /// The item.
    pub item_id: ItemId,
    /// Its license.
    pub license_id: LicenseId,
    /// Its product.
    pub product: String,
    /// How it is charged.
    pub charge_way: ChargeWay,
    /// For `device` items: how long a seat is held.
    #[serde(default)]
    pub period: Option<Period>,
    /// How much was bought.
    pub quota: u64,
    /// Units used from first to last day, by type.
    #[serde(default)]
    pub in_period: BTreeMap<String, u64>,
    /// Units beyond quota and grace, all time.
    pub overuse: u64,
    /// Units charged to this item, all time, as of `head`.
    pub total: u64,
    /// The highest use in one slot from first to last day; for seats, how many were held when the
    /// statement was made.
    pub peak: u64,
}

/// The end of a chain of facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// The server whose facts they are.
    pub origin: ServerUuid,
    /// The number of its last fact; 0: none yet.
    pub sequence: u64,
    /// The hash of that fact, 64 hex digits in lower case.
    pub hash: String,
}

/// What a statement says about the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousStatement {
    /// Its id.
    pub statement_id: Uuid,
    /// Its last day.
    pub to: NaiveDate,
    /// Its `head`.
    pub head: ChainHead,
    /// The hash that this server's journal has now at the number of that head. Equal to
    /// the head's hash unless the journal was forked or rolled back.
    pub journal_hash: String,
}

impl StatementItem {
    /// Units of all types in the period.
    pub fn used_in_period(&self) -> u64 {
        self.in_period.values().fold(0, |sum, units| sum.saturating_add(*units))
    }

    fn validate(&self) -> Result<(), Error> {
        let bad = |field: &str, detail: String| Err(Error::field(format!("item {}, {field}", self.item_id), detail));
        fields::check_id("item_id", self.item_id.0)?;
        fields::check_id(&format!("item {}, license_id", self.item_id), self.license_id.0)?;
        if !is_word(&self.product) {
            return bad("product", "must be 1 to 64 printable characters".into());
        }
        if self.in_period.len() > TYPES_MAX {
            return bad("in_period", format!("has {} types, at most {TYPES_MAX} are allowed", self.in_period.len()));
        }
        if self.in_period.keys().any(|name| name.len() > TYPE_MAX || name.chars().any(char::is_control)) {
            return bad("in_period", format!("a type must be at most {TYPE_MAX} printable bytes"));
        }
        let counts = [("quota", self.quota), ("overuse", self.overuse), ("total", self.total), ("peak", self.peak), ("in_period", self.used_in_period())];
        match counts.iter().find(|(_, count)| *count > COUNT_MAX) {
            Some((field, count)) => bad(field, format!("{count} is more than {COUNT_MAX}")),
            None => Ok(()),
        }
    }
}

impl ChainHead {
    fn validate(&self, field: &str) -> Result<(), Error> {
        if self.origin.0.is_nil() {
            return Err(Error::field(format!("{field}.origin"), "must not be all zeros"));
        }
        if self.sequence > COUNT_MAX {
            return Err(Error::field(format!("{field}.sequence"), format!("{} is more than {COUNT_MAX}", self.sequence)));
        }
        check_hash(&format!("{field}.hash"), &self.hash)
    }
}

fn check_hash(field: &str, hash: &str) -> Result<(), Error> {
    if hash.len() != 64 || !hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Error::field(field, "must be 64 hex digits in lower case"));
    }
    Ok(())
}

fn check_day(field: &str, day: NaiveDate) -> Result<(), Error> {
    if !(1970..=9999).contains(&day.year()) {
        return Err(Error::field(field, "must lie between 1970 and 9999"));
    }
    Ok(())
}

impl UsageStatement {
    /// Checks every field against its limits; sealing and verifying call this. The error
    /// names the field.
    pub fn validate(&self) -> Result<(), Error> {
        fields::check_time("issued_at", self.issued_at)?;
        check_day("from", self.from)?;
        check_day("to", self.to)?;
        if self.statement_id.is_nil() {
            return Err(Error::field("statement_id", "must not be all zeros"));
        }
        if self.to < self.from {
            return Err(Error::field("to", format!("{} lies before {}, the first day", self.to, self.from)));
        }
        if self.to > self.issued_at.date_naive() {
            return Err(Error::field("to", format!("{} lies after the day of issue: nobody knows yet what will be used", self.to)));
        }
        if self.items.len() > ITEMS_MAX {
            return Err(Error::field("items", format!("has {} entries, at most {ITEMS_MAX} are allowed", self.items.len())));
        }
        let mut ids = BTreeSet::new();
        for item in &self.items {
            item.validate()?;
            if !ids.insert(item.item_id) {
                return Err(Error::field("items", format!("names item {} twice", item.item_id)));
            }
        }
        self.head.validate("head")?;
        if self.head.origin != self.server_uuid {
            return Err(Error::field("head.origin", "must be the server whose statement it is"));
        }
        if self.other_heads.len() > HEADS_MAX {
            return Err(Error::field("other_heads", format!("has {} entries, at most {HEADS_MAX} are allowed", self.other_heads.len())));
        }
        for head in &self.other_heads {
            head.validate("other_heads")?;
        }
        let is_sorted = self.other_heads.windows(2).all(|pair| pair[0].origin < pair[1].origin);
        if !is_sorted || self.other_heads.iter().any(|head| head.origin == self.head.origin) {
            return Err(Error::field("other_heads", "must name other servers than its own, each once, sorted by UUID"));
        }
        let Some(previous) = &self.previous else { return Ok(()) };
        check_day("previous.to", previous.to)?;
        previous.head.validate("previous.head")?;
        check_hash("previous.journal_hash", &previous.journal_hash)?;
        if previous.statement_id == self.statement_id {
            return Err(Error::field("previous.statement_id", "must be another statement"));
        }
        Ok(())
    }

    /// Signs it with the server's key; `certificate` is the server's, a compact JWS. The
    /// result is the file, a readable summary before the armor.
    ///
    /// Errors: a field makes no sense, or the file would be too large to be read again.
    pub fn seal(&self, server: &SigningKey, certificate: &str) -> Result<String, Error> {
        self.validate()?;
        let text = armor(LABEL, &jws::sign(server, TYP, Some(certificate), self), &self.summary());
        if text.len() > MAX_BYTES {
            return Err(Error::field("to", format!("a statement of these days is larger than {MAX_BYTES} bytes: make one for fewer days")));
        }
        Ok(text)
    }

    /// The statement in a few lines for people. Control characters are left out, so that
    /// even an unverified one may be printed.
    pub fn summary(&self) -> String {
        let mut lines = vec![
            format!("Tollkeeper usage statement {}", self.statement_id),
            format!("Organization: {}", self.organization_id),
            format!("Server:       {}", self.server_uuid),
            format!("Days:         {} to {} (UTC, both included)", self.from, self.to),
            format!("Issued:       {}", rfc3339(self.issued_at.timestamp())),
            match &self.previous {
                Some(previous) => format!("Follows:      {} (until {})", previous.statement_id, previous.to),
                None => "Follows:      none, it is the first".to_owned(),
            },
            String::new(),
        ];
        let mut rows = vec![["Item", "License", "Product", "Charged by", "In period", "All time", "Quota", "Overuse", "Peak"].map(str::to_owned)];
        rows.extend(self.items.iter().map(|item| {
            [
                item.item_id.to_string(),
                item.license_id.to_string(),
                item.product.clone(),
                item.charged_by(),
                item.used_in_period().to_string(),
                item.total.to_string(),
                item.quota.to_string(),
                item.overuse.to_string(),
                item.peak.to_string(),
            ]
        }));
        lines.extend(fields::table(&rows));
        fields::printable(&lines)
    }
}

impl StatementItem {
    /// The charge way with its period, such as `device/quarter`.
    pub fn charged_by(&self) -> String {
        match self.period {
            Some(period) => format!("{}/{period}", self.charge_way),
            None => self.charge_way.to_string(),
        }
    }
}

/// A usage statement that was read but is not believed yet.
#[derive(Debug, Clone)]
pub struct StatementFile {
    jws: Jws,
}

impl StatementFile {
    /// Reads the armored file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::from_jws(&dearmor(LABEL, text, MAX_BYTES)?)
    }

    /// Reads the compact JWS inside.
    pub fn from_jws(jws_text: &str) -> Result<Self, Error> {
        Ok(Self { jws: Jws::parse(jws_text, TYP, MAX_BYTES)? })
    }

    /// The thumbprint of the server's key that it names.
    pub fn kid(&self) -> &str {
        self.jws.kid()
    }

    /// The thumbprint of the vendor's key that the server certificate inside names.
    ///
    /// Errors: there is no certificate, or it is damaged.
    pub fn vendor_kid(&self) -> Result<String, Error> {
        Ok(Jws::parse(self.svr()?, server_certificate::TYP, server_certificate::MAX_BYTES)?.kid().to_owned())
    }

    fn svr(&self) -> Result<&str, Error> {
        self.jws.svr().ok_or_else(|| Error::field("svr", "the usage statement carries no server certificate; have the server make a new one"))
    }

    /// Checks the whole chain from the vendors' keys: the certificate in the header is
    /// signed by one of them, names the server and organization of the statement, was
    /// valid when it was made, and its key signed the statement; then every field.
    pub fn verify_chain(&self, vendors: &[VerifyingKey]) -> Result<(UsageStatement, ServerCertificate), Error> {
        let certificate = ServerCertificate::verify(self.svr()?, vendors)?;
        let statement = read(self.jws.verify(&certificate.key()?)?)?;
        let wrong = |field: &str, detail: &str| Err(Error::field(field, format!("{detail}; have that server make a new one")));
        if certificate.server_uuid != statement.server_uuid {
            return wrong("server_uuid", "the usage statement names another server than its certificate");
        }
        if certificate.organization_id != statement.organization_id {
            return wrong("organization_id", "the usage statement names another organization than its server's certificate");
        }
        if !certificate.is_valid_at(statement.issued_at.timestamp()) {
            return wrong("issued_at", "the usage statement was made while the server's certificate was not valid");
        }
        statement.validate()?;
        Ok((statement, certificate))
    }

    /// The statement without any check of the signature: for showing it. Never act on it.
    pub fn unverified_statement(&self) -> Result<UsageStatement, Error> {
        read(self.jws.unverified_payload())
    }
}

fn read(payload: &[u8]) -> Result<UsageStatement, Error> {
    jws::parse_versioned(payload, WHAT, "statement_version", VERSION)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::server_certificate::tests::certificate;
    use super::*;

    /// November 2026 of this server, at its fact 100: item 1, 30 scans of 130 all time.
    pub(crate) fn statement(server: ServerUuid) -> UsageStatement {
        let item = StatementItem {
            item_id: ItemId(1),
            license_id: LicenseId(100_028_117),
            product: "dbr".into(),
            charge_way: ChargeWay::Scan,
            period: None,
            quota: 100,
            in_period: [("QR Code".to_owned(), 20), ("Code 128".to_owned(), 10)].into(),
            overuse: 25,
            total: 130,
            peak: 3,
        };
        UsageStatement {
            statement_version: VERSION.into(),
            statement_id: Uuid::from_u128(11),
            server_uuid: server,
            organization_id: "216998".parse().expect("organization"),
            from: "2026-11-01".parse().expect("day"),
            to: "2026-11-30".parse().expect("day"),
            issued_at: "2026-12-02T08:00:00Z".parse().expect("time"),
            items: vec![item],
            head: ChainHead { origin: server, sequence: 100, hash: "a".repeat(64) },
            other_heads: vec![],
            previous: None,
        }
    }

    fn server() -> ServerUuid {
        ServerUuid(Uuid::from_u128(5))
    }

    #[test]
    fn the_vendor_needs_nothing_but_its_own_key() {
        let (vendor, key) = (SigningKey::generate(), SigningKey::generate());
        let cert = certificate(server(), &key);
        let text = statement(server()).seal(&key, &cert.issue(&vendor)).expect("sealed");
        assert!(text.starts_with("Tollkeeper usage statement 00000000-0000-0000-0000-00000000000b\nOrganization: 216998\n"), "{text}");
        assert!(
            text.contains("\n1     100028117  dbr      scan        30         130       100    25       3\n\n-----BEGIN TOLLKEEPER USAGE STATEMENT"),
            "{text}"
        );
        let file = StatementFile::parse(&text).expect("parsed");
        assert_eq!((file.kid(), file.vendor_kid()), (key.kid(), Ok(vendor.kid().to_owned())));
        assert_eq!(file.verify_chain(&[vendor.verifying_key().clone()]), Ok((statement(server()), cert)));
        assert_eq!(file.unverified_statement(), Ok(statement(server())));
        assert!(matches!(file.verify_chain(&[key.verifying_key().clone()]), Err(Error::UnknownSigner { .. })));
    }

    #[test]
    fn a_certificate_of_another_server_organization_or_time_does_not_help() {
        let (vendor, key, thief) = (SigningKey::generate(), SigningKey::generate(), SigningKey::generate());
        let good = certificate(server(), &key);
        let field_of = |cert: &ServerCertificate, given: &UsageStatement| {
            let text = given.seal(&key, &cert.issue(&vendor)).expect("sealed");
            match StatementFile::parse(&text).expect("parsed").verify_chain(&[vendor.verifying_key().clone()]) {
                Err(Error::Field { field, .. }) => field,
                other => format!("{other:?}"),
            }
        };
        assert_eq!(field_of(&good, &statement(ServerUuid(Uuid::from_u128(6)))), "server_uuid");
        assert_eq!(field_of(&ServerCertificate { organization_id: "7".parse().expect("org"), ..good.clone() }, &statement(server())), "organization_id");
        let late = UsageStatement { issued_at: "2032-01-01T00:00:00Z".parse().expect("time"), ..statement(server()) };
        assert_eq!(field_of(&good, &late), "issued_at");
        let stolen = statement(server()).seal(&thief, &good.issue(&vendor)).expect("sealed");
        assert!(StatementFile::parse(&stolen).expect("parsed").verify_chain(&[vendor.verifying_key().clone()]).is_err());
        let bare = StatementFile::from_jws(&jws::sign(&key, TYP, None, &statement(server()))).expect("parsed");
        assert!(matches!(bare.verify_chain(&[vendor.verifying_key().clone()]), Err(Error::Field { field, .. }) if field == "svr"));
        assert!(bare.vendor_kid().is_err());
    }

    #[test]
    fn versions_of_the_future_are_refused_but_fields_are_ignored() {
        let (vendor, key) = (SigningKey::generate(), SigningKey::generate());
        let cert = certificate(server(), &key).issue(&vendor);
        let verify = |change: fn(&mut serde_json::Value)| {
            let mut payload = serde_json::to_value(statement(server())).expect("json");
            change(&mut payload);
            let file = StatementFile::from_jws(&jws::sign(&key, TYP, Some(&cert), &payload)).expect("parsed");
            file.verify_chain(&[vendor.verifying_key().clone()])
        };
        assert!(verify(|p| p["future"] = 1.into()).is_ok());
        assert!(matches!(verify(|p| p["statement_version"] = "2".into()), Err(Error::UnknownVersion { .. })));
        assert!(matches!(verify(|p| p["items"][0]["charge_way"] = "smile".into()), Err(Error::UnknownValue { .. })));
        assert!(matches!(verify(|p| p["from"] = "yesterday".into()), Err(Error::Json { .. })));
        assert!(matches!(verify(|p| p["from"] = "2026-12-01".into()), Err(Error::Field { .. })));
    }

    #[test]
    fn a_statement_that_makes_no_sense_is_refused_naming_the_field() {
        assert_eq!(statement(server()).validate(), Ok(()));
        let other = |n| ChainHead { origin: ServerUuid(Uuid::from_u128(n)), sequence: 1, hash: "b".repeat(64) };
        let previous = PreviousStatement {
            statement_id: Uuid::from_u128(10),
            to: "2026-10-31".parse().expect("day"),
            head: ChainHead { origin: server(), sequence: 50, hash: "c".repeat(64) },
            journal_hash: "c".repeat(64),
        };
        let linked = UsageStatement { previous: Some(previous.clone()), other_heads: vec![other(6), other(7)], ..statement(server()) };
        assert_eq!(linked.validate(), Ok(()));
        type Spoil<'a> = &'a dyn Fn(&mut UsageStatement);
        let cases: [(&str, Spoil<'_>); 17] = [
            ("statement_id", &|s| s.statement_id = Uuid::nil()),
            ("to", &|s| s.to = "2026-10-31".parse().expect("day")),
            ("to", &|s| s.to = "2026-12-03".parse().expect("day")),
            ("from", &|s| s.from = NaiveDate::MIN),
            ("items", &|s| s.items.push(s.items[0].clone())),
            ("items", &|s| s.items = vec![s.items[0].clone(); ITEMS_MAX + 1]),
            ("item 1, license_id", &|s| s.items[0].license_id.0 = 0),
            ("item 1, product", &|s| s.items[0].product = "a\n".into()),
            ("item 1, in_period", &|s| s.items[0].in_period = (0..65).map(|n| (n.to_string(), 1)).collect()),
            ("item 1, in_period", &|s| s.items[0].in_period = [("x".repeat(161), 1)].into()),
            ("item 1, in_period", &|s| s.items[0].in_period = [("a".into(), u64::MAX), ("b".into(), 1)].into()),
            ("item 1, total", &|s| s.items[0].total = COUNT_MAX + 1),
            ("head.hash", &|s| s.head.hash = "A".repeat(64)),
            ("head.origin", &|s| s.head.origin = ServerUuid(Uuid::from_u128(6))),
            ("other_heads", &|s| s.other_heads = vec![other(7), other(6)]),
            ("other_heads", &|s| s.other_heads = vec![s.head.clone()]),
            ("previous.journal_hash", &|s| s.previous = Some(PreviousStatement { journal_hash: String::new(), ..previous.clone() })),
        ];
        for (expected, spoil) in cases {
            let mut spoilt = statement(server());
            spoil(&mut spoilt);
            assert!(matches!(spoilt.validate(), Err(Error::Field { field, .. }) if field == expected), "{expected}");
            assert!(spoilt.seal(&SigningKey::generate(), "").is_err(), "{expected}");
        }
    }
}
