//! The revocation: the vendor takes items of a license back (domain §2.6, protocol §2).
//! The admin imports it like a license file.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::armor::{armor, dearmor};
use super::keys::{SigningKey, VerifyingKey};
use super::license_file::ITEMS_MAX;
use super::{Error, Jws, fields, jws};
use crate::licensing::{ItemId, LicenseId, OrganizationId};

/// `typ` of its header.
pub const TYP: &str = "tk-revocation+jws";
/// Label of its armor.
pub const LABEL: &str = "TOLLKEEPER REVOCATION";
/// Largest file taken, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;
/// The one `revocation_version` there is.
pub const VERSION: &str = "1";
/// Longest reason, in characters.
pub const REASON_MAX: usize = 200;

const WHAT: &str = "revocation";

/// A revocation: the payload of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// [`VERSION`].
    pub revocation_version: String,
    /// The license that the items are of.
    pub license_id: LicenseId,
    /// The customer.
    pub organization_id: OrganizationId,
    /// The items that are no longer valid, 1 to 100, each once.
    pub item_ids: Vec<ItemId>,
    /// Why, for people: at most 200 characters, may be empty.
    #[serde(default)]
    pub reason: String,
    /// When it was made.
    pub issued_at: DateTime<Utc>,
}

impl Revocation {
    /// Checks every field against its limits; [`RevocationFile::verify`] calls this. The
    /// error names the field.
    pub fn validate(&self) -> Result<(), Error> {
        fields::check_id("license_id", self.license_id.0)?;
        fields::check_text("reason", &self.reason, REASON_MAX)?;
        fields::check_time("issued_at", self.issued_at)?;
        if !(1..=ITEMS_MAX).contains(&self.item_ids.len()) {
            return Err(Error::field("item_ids", format!("has {} entries, 1 to {ITEMS_MAX} are allowed", self.item_ids.len())));
        }
        let mut seen = BTreeSet::new();
        for id in &self.item_ids {
            fields::check_id("item_ids", id.0)?;
            if !seen.insert(id) {
                return Err(Error::field("item_ids", format!("names item {id} twice; name it once")));
            }
        }
        Ok(())
    }

    /// Signs it with the vendor's key: the file, a readable summary before the armor.
    pub fn seal(&self, vendor: &SigningKey) -> String {
        armor(LABEL, &jws::sign(vendor, TYP, None, self), &self.summary())
    }

    /// The revocation in a few lines for people. Control characters are left out, so that
    /// even an unverified one may be printed.
    pub fn summary(&self) -> String {
        let items: Vec<_> = self.item_ids.iter().map(ItemId::to_string).collect();
        let mut lines = vec![
            format!("Tollkeeper revocation for license {}", self.license_id),
            format!("Organization: {}", self.organization_id),
            format!("Items:        {}", items.join(", ")),
            format!("Issued:       {}", crate::clock::rfc3339(self.issued_at.timestamp())),
        ];
        if !self.reason.is_empty() {
            lines.push(format!("Reason:       {}", self.reason));
        }
        fields::printable(&lines)
    }
}

/// A revocation that was read but is not believed yet.
#[derive(Debug, Clone)]
pub struct RevocationFile {
    jws: Jws,
}

impl RevocationFile {
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
    /// every field. That the same vendor made the license is for the caller to check, who
    /// has the license.
    pub fn verify(&self, vendors: &[VerifyingKey]) -> Result<Revocation, Error> {
        let (_, payload) = self.jws.verify_any(vendors)?;
        let revocation = read(payload)?;
        revocation.validate()?;
        Ok(revocation)
    }

    /// The revocation without any check of the signature: for showing it. Never act on it.
    pub fn unverified_revocation(&self) -> Result<Revocation, Error> {
        read(self.jws.unverified_payload())
    }
}

fn read(payload: &[u8]) -> Result<Revocation, Error> {
    jws::parse_versioned(payload, WHAT, "revocation_version", VERSION)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::licensing::id::MAX_ID;

    /// A revocation of the items 1 and 2 of license 100028117 of 216998.
    pub(crate) fn revocation() -> Revocation {
        Revocation {
            revocation_version: VERSION.into(),
            license_id: LicenseId(100_028_117),
            organization_id: "216998".parse().expect("organization"),
            item_ids: vec![ItemId(1), ItemId(2)],
            reason: "Returned".into(),
            issued_at: "2026-11-22T00:00:00Z".parse().expect("time"),
        }
    }

    #[test]
    fn a_revocation_is_believed_only_from_a_known_vendor() {
        let (vendor, other) = (SigningKey::generate(), SigningKey::generate());
        let text = revocation().seal(&vendor);
        assert!(text.starts_with(
            "Tollkeeper revocation for license 100028117\nOrganization: 216998\nItems:        1, 2\nIssued:       2026-11-22T00:00:00Z\nReason:       Returned\n\n-----BEGIN TOLLKEEPER REVOCATION-----\n"
        ), "{text}");
        let file = RevocationFile::parse(&text).expect("parsed");
        assert_eq!(file.verify(&[other.verifying_key().clone(), vendor.verifying_key().clone()]), Ok(revocation()));
        assert_eq!(RevocationFile::from_jws(file.jws()).expect("again").kid(), vendor.kid());
        assert_eq!(file.unverified_revocation(), Ok(revocation()));
        let message = file.verify(&[other.verifying_key().clone()]).expect_err("unknown").to_string();
        assert!(message.contains("this revocation is signed by the unknown key") && message.contains("DATA/vendors/"), "{message}");
    }

    #[test]
    fn a_license_is_no_revocation_whatever_its_armor_says() {
        let vendor = SigningKey::generate();
        let license = super::super::license_file::tests::new_license().seal(&vendor);
        assert!(matches!(RevocationFile::parse(&license), Err(Error::WrongArmor { .. })));
        let relabelled = license.replace("TOLLKEEPER LICENSE", LABEL);
        assert!(matches!(RevocationFile::parse(&relabelled), Err(Error::Header { field: "typ", .. })));
    }

    #[test]
    fn versions_of_the_future_are_refused_but_fields_are_ignored() {
        let vendor = SigningKey::generate();
        let trusted = [vendor.verifying_key().clone()];
        let verify = |change: fn(&mut serde_json::Value)| {
            let mut payload = serde_json::to_value(revocation()).expect("json");
            change(&mut payload);
            RevocationFile::from_jws(&jws::sign(&vendor, TYP, None, &payload)).expect("parsed").verify(&trusted)
        };
        assert!(verify(|p| p["future"] = 1.into()).is_ok());
        assert!(matches!(verify(|p| p["revocation_version"] = "2".into()), Err(Error::UnknownVersion { .. })));
        assert!(matches!(verify(|p| p["revocation_version"] = 1.into()), Err(Error::Json { .. })));
        assert!(matches!(verify(|p| p["item_ids"][0] = "1".into()), Err(Error::Json { .. })));
    }

    #[test]
    fn a_revocation_that_makes_no_sense_is_refused_naming_the_field() {
        assert_eq!(revocation().validate(), Ok(()));
        assert_eq!(Revocation { reason: String::new(), ..revocation() }.validate(), Ok(()));
        type Spoil = fn(&mut Revocation);
        let cases: [(&str, Spoil); 8] = [
            ("license_id", |r| r.license_id.0 = 0),
            ("item_ids", |r| r.item_ids.clear()),
            ("item_ids", |r| r.item_ids = (1..=101).map(ItemId).collect()),
            ("item_ids", |r| r.item_ids[1] = ItemId(1)),
            ("item_ids", |r| r.item_ids[1] = ItemId(MAX_ID + 1)),
            ("reason", |r| r.reason = "x".repeat(201)),
            ("reason", |r| r.reason = "a\nb".into()),
            ("issued_at", |r| r.issued_at = DateTime::<Utc>::MAX_UTC),
        ];
        for (expected, spoil) in cases {
            let mut spoilt = revocation();
            spoil(&mut spoilt);
            assert!(matches!(spoilt.validate(), Err(Error::Field { field, .. }) if field == expected), "{expected}");
        }
    }
}
