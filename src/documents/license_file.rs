//! The license file: what the vendor issues and the admin imports (domain §2, protocol §2).

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::armor::{armor, dearmor};
use super::fields::{self, TIME_MAX};
use super::keys::{SigningKey, VerifyingKey};
use super::request::{RequestServer, SERVERS_MAX};
use super::server_certificate::{self, ServerCertificate};
use super::{Error, Jws, jws};
use crate::licensing::id::{MAX_ID, shorten};
use crate::licensing::{LicenseId, LicenseItem, OrganizationId, ServerUuid, grace};

/// `typ` of its header.
pub const TYP: &str = "tk-license+jws";
/// Label of its armor.
pub const LABEL: &str = "TOLLKEEPER LICENSE";
/// Largest file taken, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;
/// The one `license_text_version` there is.
pub const TEXT_VERSION: &str = "2.0";
/// Most items of one license.
pub const ITEMS_MAX: usize = 100;

const WHAT: &str = "license file";
const ALIAS_MAX: usize = 128;
const DAY_SECONDS: i64 = 86_400;

/// A license: the payload of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct License {
    /// [`TEXT_VERSION`].
    pub license_text_version: String,
    /// Its number, as the vendor gave it.
    pub license_id: LicenseId,
    /// Its name for people, at most 128 characters. Empty while `New`: activation sets it.
    #[serde(default)]
    pub alias: String,
    /// The customer.
    pub organization_id: OrganizationId,
    /// Whether it is bound to servers yet.
    pub license_status: LicenseStatus,
    /// When this file was made.
    pub issued_at: DateTime<Utc>,
    /// The servers it is bound to: none while `New`, then 1 to 8.
    #[serde(default)]
    pub servers: Vec<BoundServer>,
    /// What was bought, 1 to 100 items.
    pub items: Vec<LicenseItem>,
}

/// Where a license is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LicenseStatus {
    /// Issued, not bound to any server.
    New,
    /// Bound to its servers; can be imported there.
    Activated,
}

/// A server that the license is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundServer {
    /// The server.
    pub uuid: ServerUuid,
    /// Its certificate, a compact JWS.
    pub certificate: String,
}

impl License {
    /// Checks every field against its limits; [`LicenseFile::verify`] calls this. The
    /// error names the field.
    pub fn validate(&self) -> Result<(), Error> {
        fields::check_id("license_id", self.license_id.0)?;
        fields::check_text("alias", &self.alias, ALIAS_MAX)?;
        fields::check_time("issued_at", self.issued_at)?;
        match (self.license_status, self.servers.len()) {
            (LicenseStatus::New, 0) | (LicenseStatus::Activated, 1..=SERVERS_MAX) => {}
            (LicenseStatus::New, _) => return Err(Error::field("servers", "a New license is bound to no server yet")),
            (LicenseStatus::Activated, count) => {
                return Err(Error::field("servers", format!("an Activated license is bound to 1 to {SERVERS_MAX} servers, not {count}")));
            }
        }
        let mut uuids = BTreeSet::new();
        for server in &self.servers {
            if server.uuid.0.is_nil() || !uuids.insert(server.uuid) {
                return Err(Error::field("servers", format!("the UUID {} is all zeros or listed twice", server.uuid)));
            }
        }
        if !(1..=ITEMS_MAX).contains(&self.items.len()) {
            return Err(Error::field("items", format!("has {} entries, 1 to {ITEMS_MAX} are allowed", self.items.len())));
        }
        let mut ids = BTreeSet::new();
        for item in &self.items {
            let bad = |field: &str, detail: String| Error::field(format!("item {} ({}), {field}", item.item_id, shorten(&item.product)), detail);
            item.validate().map_err(|error| bad(error.field, error.detail))?;
            if !ids.insert(item.item_id) {
                return Err(bad("item_id", "is used by two items; give each its own".into()));
            }
            if item.depends_on.is_some_and(|id| id.0 == 0 || id.0 > MAX_ID) {
                return Err(bad("depends_on", format!("must be the id of another item, from 1 to {MAX_ID}")));
            }
        }
        Ok(())
    }

    /// Signs it with the vendor's key: the file, a readable summary before the armor.
    pub fn seal(&self, vendor: &SigningKey) -> String {
        armor(LABEL, &jws::sign(vendor, TYP, None, self), &self.summary())
    }

    /// Binds a `New` license to these servers at `now` (seconds since 1970): a certificate
    /// for each, valid from a day ago (clocks differ) to the latest end of an item, grace
    /// included. An empty alias becomes `DM_{license id}_Date{YYYYMMDD}` (domain §2).
    ///
    /// Errors: it is activated already, every item is over, or the result is not valid.
    pub fn activate(mut self, vendor: &SigningKey, servers: &[RequestServer], now: i64) -> Result<Self, Error> {
        if self.license_status != LicenseStatus::New {
            return Err(Error::field("license_status", "this license is activated already; use the New file it was made from"));
        }
        let time = |seconds: i64| DateTime::from_timestamp(seconds, 0).ok_or_else(|| Error::field("issued_at", "is beyond every calendar; set the clock"));
        let last = self.items.iter().map(grace::end_at).max().unwrap_or(0).min(TIME_MAX);
        if last <= now {
            return Err(Error::field("valid_to", "every item of this license is over; issue one that is not"));
        }
        self.issued_at = time(now)?;
        let (not_before, not_after) = (time(now - DAY_SECONDS)?, time(last)?);
        self.license_status = LicenseStatus::Activated;
        if self.alias.is_empty() {
            self.alias = format!("DM_{}_Date{}", self.license_id, self.issued_at.format("%Y%m%d"));
        }
        self.servers = servers
            .iter()
            .map(|server| {
                let certificate = ServerCertificate {
                    server_uuid: server.uuid,
                    organization_id: self.organization_id.clone(),
                    jwk: server.jwk.clone(),
                    sealing_jwk: server.sealing_jwk.clone(),
                    not_before,
                    not_after,
                };
                BoundServer { uuid: server.uuid, certificate: certificate.issue(vendor) }
            })
            .collect();
        self.validate()?;
        Ok(self)
    }

    /// The certificate of this server, a compact JWS; `None`: the license is not for it.
    pub fn certificate_for(&self, server: ServerUuid) -> Option<&str> {
        self.servers.iter().find(|bound| bound.uuid == server).map(|bound| bound.certificate.as_str())
    }

    /// The license in a few lines for people. Control characters are left out, so that
    /// even an unverified license may be printed.
    pub fn summary(&self) -> String {
        let alias = if self.alias.is_empty() { "(set by activation)" } else { &self.alias };
        let mut lines = vec![
            format!("Tollkeeper license {}", self.license_id),
            format!("Alias:        {alias}"),
            format!("Organization: {}", self.organization_id),
            format!("Status:       {:?}", self.license_status),
            format!("Issued:       {}", crate::clock::rfc3339(self.issued_at.timestamp())),
        ];
        lines.extend(self.servers.iter().map(|server| format!("Server:       {}", server.uuid)));
        lines.push(String::new());
        lines.extend(item_table(&self.items));
        fields::printable(&lines)
    }
}

fn item_table(items: &[LicenseItem]) -> Vec<String> {
    let list = |words: &[String]| if words.is_empty() { "any".to_owned() } else { words.join(",") };
    let date = |time: DateTime<Utc>| time.format("%Y-%m-%d").to_string();
    let mut rows = vec![["Item", "Product", "Editions", "Modules", "Charged by", "Quota", "From", "To", "Offline"].map(str::to_owned)];
    rows.extend(items.iter().map(|item| {
        let charged = match item.period {
            Some(period) => format!("{}/{period}", item.charge_way),
            None => item.charge_way.to_string(),
        };
        [
            item.item_id.to_string(),
            item.product.clone(),
            list(&item.editions),
            list(&item.modules),
            charged,
            item.quota.to_string(),
            date(item.valid_from),
            date(item.valid_to),
            item.local_license_validity.to_string(),
        ]
    }));
    fields::table(&rows)
}

/// A license file that was read but is not believed yet.
#[derive(Debug, Clone)]
pub struct LicenseFile {
    jws: Jws,
}

impl LicenseFile {
    /// Reads the armored file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::from_jws(&dearmor(LABEL, text, MAX_BYTES)?)
    }

    /// Reads the compact JWS inside, as a server keeps it.
    pub fn from_jws(jws_text: &str) -> Result<Self, Error> {
        Ok(Self { jws: Jws::parse(jws_text, TYP, MAX_BYTES)? })
    }

    /// The thumbprint of the vendor's key that it names.
    pub fn kid(&self) -> &str {
        self.jws.kid()
    }

    /// The compact JWS.
    pub fn jws(&self) -> &str {
        self.jws.text()
    }

    /// Checks the signature with whichever of these vendors' keys the file names, then
    /// every field, then that the servers' certificates come from the same vendor and name
    /// the same server and organization.
    ///
    /// An unknown vendor is told by the `kid`, with what to do.
    pub fn verify(&self, vendors: &[VerifyingKey]) -> Result<License, Error> {
        let (vendor, payload) = self.jws.verify_any(vendors)?;
        let license = read(payload)?;
        license.validate()?;
        for server in &license.servers {
            let bad = |detail: String| {
                Error::field(format!("certificate of server {}", server.uuid), format!("{detail}; ask the vendor to activate the license again"))
            };
            let certificate = ServerCertificate::verify(&server.certificate, std::slice::from_ref(vendor)).map_err(|error| bad(error.to_string()))?;
            if certificate.server_uuid != server.uuid || certificate.organization_id != license.organization_id {
                return Err(bad("names another server or organization".into()));
            }
        }
        Ok(license)
    }

    /// The license without any check of the signature: for showing it. Never act on it.
    pub fn unverified_license(&self) -> Result<License, Error> {
        read(self.jws.unverified_payload())
    }
}

fn read(payload: &[u8]) -> Result<License, Error> {
    jws::parse_versioned(payload, WHAT, "license_text_version", TEXT_VERSION)
}

// A certificate longer than this could be sealed but never verified.
const _: () = assert!(server_certificate::MAX_BYTES * SERVERS_MAX < MAX_BYTES);

#[cfg(test)]
pub(crate) mod tests {
    use super::super::request::tests::identity;
    use super::*;
    use crate::licensing::item::tests::scan_item;

    /// A `New` license 100028117 of 216998 with two scan items, 1 and 2.
    pub(crate) fn new_license() -> License {
        License {
            license_text_version: TEXT_VERSION.into(),
            license_id: LicenseId(100_028_117),
            alias: String::new(),
            organization_id: "216998".parse().expect("organization"),
            license_status: LicenseStatus::New,
            issued_at: "2026-11-01T00:00:00Z".parse().expect("time"),
            servers: vec![],
            items: vec![scan_item(1), scan_item(2)],
        }
    }

    const NOW: i64 = 1_795_305_600;

    #[test]
    fn an_activated_license_names_its_servers_and_their_keys() {
        let (vendor, server) = (SigningKey::generate(), identity());
        let trusted = [vendor.verifying_key().clone()];
        let license = new_license().activate(&vendor, &[RequestServer::of(&server, "main")], NOW).expect("activated");
        assert_eq!(license.alias, "DM_100028117_Date20261122");
        let text = license.seal(&vendor);
        let file = LicenseFile::parse(&text).expect("parsed");
        assert_eq!(file.verify(&trusted), Ok(license.clone()));
        assert_eq!(LicenseFile::from_jws(file.jws()).expect("again").kid(), vendor.kid());
        let certificate = ServerCertificate::verify(license.certificate_for(server.uuid).expect("bound"), &trusted).expect("certificate");
        assert_eq!((certificate.not_before.timestamp(), certificate.not_after.timestamp()), (NOW - 86_400, grace::end_at(&license.items[0])));
        assert_eq!(certificate.jwk, server.key.verifying_key().jwk());
        assert_eq!(license.certificate_for(identity().uuid), None);
        assert!(matches!(license.activate(&vendor, &[], NOW), Err(Error::Field { field, .. }) if field == "license_status"));
    }

    #[test]
    fn the_file_begins_with_a_summary_for_people() {
        let text = new_license().seal(&SigningKey::generate());
        let expected = "Tollkeeper license 100028117\nAlias:        (set by activation)\nOrganization: 216998\nStatus:       New\nIssued:       2026-11-01T00:00:00Z\n\nItem  Product  Editions  Modules  Charged by  Quota  From        To          Offline\n1     dbr      any       any      scan        100    2020-01-01  2030-01-01  7d\n2     dbr";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn an_unknown_vendor_is_named_with_what_to_do() {
        let (vendor, other) = (SigningKey::generate(), SigningKey::generate());
        let file = LicenseFile::parse(&new_license().seal(&vendor)).expect("parsed");
        let message = file.verify(&[other.verifying_key().clone()]).expect_err("unknown").to_string();
        assert!(message.contains(vendor.kid()) && message.contains("DATA/vendors/"), "{message}");
        assert_eq!(file.unverified_license().expect("shown").license_id.0, 100_028_117);
    }

    #[test]
    fn versions_and_words_of_the_future_are_refused_but_fields_are_ignored() {
        let vendor = SigningKey::generate();
        let trusted = [vendor.verifying_key().clone()];
        let verify = |change: fn(&mut serde_json::Value)| {
            let mut payload = serde_json::to_value(new_license()).expect("json");
            change(&mut payload);
            LicenseFile::from_jws(&jws::sign(&vendor, TYP, None, &payload)).expect("parsed").verify(&trusted)
        };
        assert!(verify(|p| p["future"] = 1.into()).is_ok());
        assert!(matches!(verify(|p| p["license_text_version"] = "2.1".into()), Err(Error::UnknownVersion { .. })));
        assert!(matches!(verify(|p| p["license_status"] = "Sold".into()), Err(Error::UnknownValue { .. })));
        assert!(matches!(verify(|p| p["items"][0]["charge_way"] = "smile".into()), Err(Error::UnknownValue { .. })));
        let message = verify(|p| p["items"][0]["quota"] = "many".into()).expect_err("type").to_string();
        assert!(message.contains("line 1 column"), "{message}");
    }

    #[test]
    fn a_license_that_makes_no_sense_is_refused_naming_the_field() {
        assert_eq!(new_license().validate(), Ok(()));
        type Spoil = fn(&mut License);
        let cases: [(&str, Spoil); 9] = [
            ("license_id", |l| l.license_id.0 = 0),
            ("license_id", |l| l.license_id.0 = MAX_ID + 1),
            ("alias", |l| l.alias = "a\u{1b}[2J".into()),
            ("alias", |l| l.alias = "x".repeat(129)),
            ("servers", |l| l.license_status = LicenseStatus::Activated),
            ("items", |l| l.items.clear()),
            ("item 1 (dbr), item_id", |l| l.items[1].item_id.0 = 1),
            ("item 2 (dbr), quota", |l| l.items[1].quota = 0),
            ("item 1 (dbr), depends_on", |l| l.items[0].depends_on = Some(crate::licensing::ItemId(0))),
        ];
        for (expected, spoil) in cases {
            let mut license = new_license();
            spoil(&mut license);
            assert!(matches!(license.validate(), Err(Error::Field { field, .. }) if field == expected), "{expected}");
        }
    }

    #[test]
    fn a_certificate_of_another_server_is_refused_with_the_license() {
        let (vendor, a, b) = (SigningKey::generate(), identity(), identity());
        let mut license = new_license().activate(&vendor, &[RequestServer::of(&a, ""), RequestServer::of(&b, "")], NOW).expect("activated");
        license.servers[0].certificate = license.servers[1].certificate.clone();
        let file = LicenseFile::parse(&license.seal(&vendor)).expect("parsed");
        assert!(matches!(file.verify(&[vendor.verifying_key().clone()]), Err(Error::Field { .. })));
    }

    #[test]
    fn a_license_whose_items_are_over_is_not_activated() {
        let server = RequestServer::of(&identity(), "");
        let last = grace::end_at(&scan_item(1));
        assert!(new_license().activate(&SigningKey::generate(), std::slice::from_ref(&server), last).is_err());
        assert!(new_license().activate(&SigningKey::generate(), &[server], last - 1).is_ok());
    }
}
