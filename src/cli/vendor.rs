//! `tollkeeper vendor`: what the vendor does, offline: make a key, issue licenses, bind
//! them to a customer's servers.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "commands talk on standard output and warn on standard error")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::Failure;
use crate::clock::Clock;
use crate::documents::license_file::{self, TEXT_VERSION};
use crate::documents::{ActivationRequest, License, LicenseFile, LicenseStatus, SigningKey, files, request, write_new_file};
use crate::licensing::item::{GraceTerms, SeatStarts, VersionPatterns};
use crate::licensing::{ChargeWay, DeploymentType, ItemId, LicenseId, LicenseItem, OrganizationId, Period, Span};

/// Largest items file taken, in bytes.
const ITEMS_FILE_MAX: usize = 1024 * 1024;

/// The vendor's commands.
#[derive(Debug, clap::Subcommand)]
pub enum VendorCommand {
    /// Make the vendor's key pair
    ///
    /// Writes vendor.key (keep it secret and backed up: whoever has it can issue licenses)
    /// and vendor.pub (give it to customers and build it into applications). Existing keys
    /// are never overwritten.
    ///
    /// Example:
    ///   tollkeeper vendor keygen --out /secure/acme
    #[command(verbatim_doc_comment)]
    Keygen {
        /// Directory for vendor.key and vendor.pub; made if missing
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Issue a license from a list of items
    ///
    /// Without --request the license is `New`: not bound to a server yet. With the
    /// customer's activation request it is activated at once.
    ///
    /// Example:
    ///   tollkeeper vendor issue --key vendor.key --items line4.toml --out line4.lic
    ///
    /// where line4.toml is:
    ///   organization_id = "216998"
    ///   alias = "Line 4 scanners"
    ///
    ///   [[items]]
    ///   product = "dbr"
    ///   charge_way = "device"
    ///   period = "quarter"
    ///   quota = 200
    ///   valid_from = 2026-12-01
    ///   valid_to = 2027-11-30
    ///   local_license_validity = "7d"
    #[command(verbatim_doc_comment)]
    Issue {
        /// The vendor's private key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// TOML file with the organization and [[items]]
        #[arg(long, value_name = "FILE")]
        items: PathBuf,
        /// The customer's activation request
        #[arg(long, value_name = "FILE")]
        request: Option<PathBuf>,
        /// The license file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Bind a New license to the servers of an activation request
    ///
    /// The result is for the customer to import; it works on those servers only.
    ///
    /// Example:
    ///   tollkeeper vendor activate --key vendor.key --license line4.lic --request site.req --out line4-activated.lic
    #[command(verbatim_doc_comment)]
    Activate {
        /// The vendor's private key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The New license that `vendor issue` wrote
        #[arg(long, value_name = "FILE")]
        license: PathBuf,
        /// The customer's activation request
        #[arg(long, value_name = "FILE")]
        request: PathBuf,
        /// The license file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Carries out a vendor's command; prints what was written and the next step.
pub fn run(command: VendorCommand, clock: &dyn Clock) -> Result<(), Failure> {
    let now = clock.now_seconds();
    let lines = match command {
        VendorCommand::Keygen { out } => keygen(&out)?,
        VendorCommand::Issue { key, items, request, out } => issue(&key, &items, request.as_deref(), &out, now)?,
        VendorCommand::Activate { key, license, request, out } => activate(&key, &license, &request, &out, now)?,
    };
    println!("{}", lines.join("\n"));
    Ok(())
}

fn told(error: crate::documents::Error) -> Failure {
    Failure(error.to_string())
}

/// Makes the key pair in a directory; returns what to tell.
pub(super) fn keygen(dir: &Path) -> Result<Vec<String>, Failure> {
    let (private, public) = (dir.join("vendor.key"), dir.join("vendor.pub"));
    std::fs::create_dir_all(dir).map_err(|error| Failure(format!("{}: cannot make the directory: {error}", dir.display())))?;
    if public.exists() {
        return Err(Failure(format!("{}: exists already and is not overwritten; choose another directory", public.display())));
    }
    let key = SigningKey::generate();
    key.save_new(&private).map_err(told)?;
    write_new_file(&public, key.verifying_key().to_spki_pem().as_bytes(), 0o644).map_err(told)?;
    Ok(vec![
        format!("Wrote {} (secret: back it up, give it to nobody)", private.display()),
        format!("Wrote {} (key {}: customers put it into DATA/vendors/)", public.display(), key.kid()),
        format!("Next: tollkeeper vendor issue --key {} --items FILE.toml --out FILE.lic", private.display()),
    ])
}

/// Issues a license, activated when a request is given; returns what to tell.
pub(super) fn issue(key: &Path, items: &Path, request: Option<&Path>, out: &Path, now: i64) -> Result<Vec<String>, Failure> {
    let vendor = SigningKey::load(key).map_err(told)?;
    let text = files::read_text(items, ITEMS_FILE_MAX).map_err(told)?;
    let license = read_items(&text, now).map_err(|Failure(text)| Failure(format!("{}, {text}", items.display())))?;
    for warning in warnings(&license) {
        eprintln!("warning: {warning}");
    }
    match request {
        Some(request) => bind(license, &vendor, request, out, now),
        None => {
            write_license(&license, &vendor, out)?;
            Ok(vec![
                format!(
                    "Wrote {}: license {} of organization {}, New, {} item(s)",
                    out.display(),
                    license.license_id,
                    license.organization_id,
                    license.items.len()
                ),
                format!("Next: tollkeeper vendor activate --key {} --license {} --request FILE --out FILE.lic", key.display(), out.display()),
            ])
        }
    }
}

fn activate(key: &Path, license: &Path, request: &Path, out: &Path, now: i64) -> Result<Vec<String>, Failure> {
    let vendor = SigningKey::load(key).map_err(told)?;
    let text = files::read_text(license, license_file::MAX_BYTES).map_err(told)?;
    let file = LicenseFile::parse(&text).map_err(|error| told(error.in_file(license)))?;
    if file.kid() != vendor.kid() {
        return Err(Failure(format!("{} was signed by another key than {}: give the key it was issued with", license.display(), key.display())));
    }
    let new = file.verify(std::slice::from_ref(vendor.verifying_key())).map_err(|error| told(error.in_file(license)))?;
    if new.license_status != LicenseStatus::New {
        return Err(Failure(format!("{} is activated already: give the New license it was made from", license.display())));
    }
    bind(new, &vendor, request, out, now)
}

fn bind(license: License, vendor: &SigningKey, request: &Path, out: &Path, now: i64) -> Result<Vec<String>, Failure> {
    let text = files::read_text(request, request::MAX_BYTES).map_err(told)?;
    let wanted = ActivationRequest::parse(&text).map_err(|error| told(error.in_file(request)))?;
    let license = license.activate(vendor, &wanted.servers, now).map_err(told)?;
    write_license(&license, vendor, out)?;
    let servers: Vec<_> = wanted.servers.iter().map(|server| format!("{} {}", server.uuid, server.name).trim_end().to_owned()).collect();
    Ok(vec![
        format!("Wrote {}: license {} ({}), Activated for organization {}", out.display(), license.license_id, license.alias, license.organization_id),
        format!("Bound to {}", servers.join(", ")),
        format!("Next: send it to the customer, who runs: tollkeeper license import {}", out.file_name().map_or(out, Path::new).display()),
    ])
}

fn write_license(license: &License, vendor: &SigningKey, out: &Path) -> Result<(), Failure> {
    files::replace_file(out, license.seal(vendor).as_bytes(), 0o644).map_err(told)
}

fn warnings(license: &License) -> Vec<String> {
    let warned = license.items.iter().filter_map(|item| {
        let period = item.period?;
        (item.local_license_validity.seconds() > period.seconds()).then(|| {
            format!(
                "item {} ({}): local_license_validity {} is longer than its period {period}; a device may work offline after its seat was given to another",
                item.item_id, item.product, item.local_license_validity
            )
        })
    });
    warned.collect()
}

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
    moment(deserializer, NaiveTime::from_hms_opt(23, 59, 59).unwrap_or(NaiveTime::MIN))
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
fn read_items(text: &str, now: i64) -> Result<License, Failure> {
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
        issued_at: DateTime::from_timestamp(now, 0).ok_or_else(|| Failure("the clock shows no date; set the clock".into()))?,
        servers: vec![],
        items,
    };
    license.validate().map_err(told)?;
    Ok(license)
}

/// A random number of nine digits that is not taken yet.
fn free_id(taken: &mut BTreeSet<u64>) -> Result<u64, Failure> {
    loop {
        let mut bytes = [0; 8];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Failure("the system gives no random numbers; write item_id and license_id yourself".into()))?;
        let id = 100_000_000 + u64::from_le_bytes(bytes) % 900_000_000;
        if taken.insert(id) {
            return Ok(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::documents::load_vendor_key;
    use crate::documents::request::tests::identity;

    const NOW: i64 = 1_795_305_600;
    const ITEMS: &str = r#"
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
    fn a_vendor_issues_activates_and_the_license_verifies() {
        let dir = tempfile::tempdir().expect("dir");
        let at = |name: &str| dir.path().join(name);
        let clock = ManualClock::at_seconds(NOW);
        run(VendorCommand::Keygen { out: at("") }, &clock).expect("keygen");
        let server = identity();
        std::fs::write(at("site.req"), ActivationRequest::seal(&server, "main", &[], NOW).expect("request")).expect("written");
        std::fs::write(at("items.toml"), ITEMS).expect("written");
        run(VendorCommand::Issue { key: at("vendor.key"), items: at("items.toml"), request: None, out: at("new.lic") }, &clock).expect("issue");
        run(VendorCommand::Activate { key: at("vendor.key"), license: at("new.lic"), request: at("site.req"), out: at("a.lic") }, &clock).expect("activate");
        run(VendorCommand::Issue { key: at("vendor.key"), items: at("items.toml"), request: Some(at("site.req")), out: at("b.lic") }, &clock)
            .expect("issue bound");
        let trusted = [load_vendor_key(&at("vendor.pub")).expect("public key")];
        for name in ["a.lic", "b.lic"] {
            let text = std::fs::read_to_string(at(name)).expect("license");
            let license = LicenseFile::parse(&text).and_then(|file| file.verify(&trusted)).expect(name);
            assert!(license.certificate_for(server.uuid).is_some());
            assert_eq!(license.alias, format!("DM_{}_Date20261122", license.license_id));
        }
        let again = VendorCommand::Activate { key: at("vendor.key"), license: at("a.lic"), request: at("site.req"), out: at("c.lic") };
        assert!(run(again, &clock).expect_err("activated").0.contains("activated already"));
        assert!(run(VendorCommand::Keygen { out: at("") }, &clock).expect_err("keys exist").0.contains("not overwritten"));
        run(VendorCommand::Keygen { out: at("other") }, &clock).expect("keygen");
        let foreign = VendorCommand::Activate { key: at("other/vendor.key"), license: at("new.lic"), request: at("site.req"), out: at("c.lic") };
        assert!(run(foreign, &clock).expect_err("foreign").0.contains("signed by another key"));
        assert!(!at("c.lic").exists());
    }

    #[test]
    fn dates_are_read_in_every_form_and_a_plain_end_lasts_the_day() {
        let Ok(license) = read_items(ITEMS, NOW) else { panic!("items") };
        let times: Vec<_> =
            license.items.iter().flat_map(|item| [item.valid_from, item.valid_to]).map(|time| crate::clock::rfc3339(time.timestamp())).collect();
        assert_eq!(times, ["2026-11-01T00:00:00Z", "2027-10-31T23:59:59Z", "2026-10-31T23:00:00Z", "2027-01-01T00:00:00Z"]);
        assert!((100_000_000..1_000_000_000).contains(&license.license_id.0));
        assert_eq!(license.items[1].item_id, ItemId(7));
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
