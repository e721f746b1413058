//! The product key: an offline license that the client library checks by itself, with the
//! vendor's public key and no server (domain §1, protocol §2). One line of text; several
//! may be given, separated by `;`. It has no grace: what it says is what it is.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::keys::{SigningKey, VerifyingKey};
use super::{Error, Jws, fields, jws};
use crate::clock::rfc3339;
use crate::licensing::decision::Reason;
use crate::licensing::item::{VersionPatterns, is_word, permits, same_word};
use crate::licensing::{ClientUuid, DeploymentType, OrganizationId, domain};
use crate::protocol::ErrorCode;

/// `typ` of its header.
pub const TYP: &str = "tk-product-key+jws";
/// Largest key taken, in bytes: more than all its fields at their limits.
pub const MAX_BYTES: usize = 64 * 1024;
/// Most keys given together.
pub const KEYS_MAX: usize = 16;
/// The one `product_key_version` there is.
pub const VERSION: &str = "1";

const WHAT: &str = "product key";
const LIST_MAX: usize = 64;

/// An offline license: the payload of the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductKey {
    /// [`VERSION`].
    pub product_key_version: String,
    /// Its number, as the vendor gave it.
    pub product_key_id: u64,
    /// The customer, if it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<OrganizationId>,
    /// The product it licenses, such as `dbr`.
    pub product: String,
    /// Editions permitted; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub editions: Vec<String>,
    /// Versions permitted; empty: any.
    #[serde(default, skip_serializing_if = "VersionPatterns::is_any")]
    pub versions: VersionPatterns,
    /// Deployment types permitted; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deployment_types: Vec<DeploymentType>,
    /// Modules permitted; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
    /// First moment of validity.
    pub valid_from: DateTime<Utc>,
    /// Last moment of validity; there is no grace.
    pub valid_to: DateTime<Utc>,
    /// The one machine it works on: its client UUID by hard binding. None: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<ClientUuid>,
    /// The registered domain that it works in. None: anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// When it was made.
    pub issued_at: DateTime<Utc>,
}

/// What an application runs, where.
#[derive(Debug, Clone, Copy)]
pub struct KeyRequest<'a> {
    /// The product.
    pub product: &'a str,
    /// Its version.
    pub version: Option<&'a str>,
    /// Its edition.
    pub edition: Option<&'a str>,
    /// The kind of machine.
    pub deployment_type: Option<DeploymentType>,
    /// Modules it needs: all of them, or nothing is permitted.
    pub modules: &'a [String],
    /// The client UUID that follows from the machine, where it can be told.
    pub machine: Option<ClientUuid>,
    /// The host that the page comes from, in a browser.
    pub host: Option<&'a str>,
}

/// Why no key fits. The order is the order of the checks: a later one got further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyReason {
    /// What it permits, or its dates; as for a license item.
    License(Reason),
    /// The key is for another machine.
    Machine,
    /// The key is for another domain.
    Domain,
}

impl KeyReason {
    /// The code of domain §9 that says it: 113 (invalid here) for another machine, 103
    /// for another domain.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::License(reason) => reason.into(),
            Self::Machine => ErrorCode::Revoked,
            Self::Domain => ErrorCode::DomainMismatch,
        }
    }
}

/// A refusal: the reason of the key that got furthest, and what stood against what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRefusal {
    /// Why.
    pub reason: KeyReason,
    /// The key, if there was any.
    pub product_key_id: Option<u64>,
    /// What the key permits, in words.
    pub expected: String,
    /// What the request said, in words.
    pub given: String,
}

impl fmt::Display for KeyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.reason {
            KeyReason::License(reason) => ErrorCode::from(reason).title(),
            KeyReason::Machine => "It is for another machine",
            KeyReason::Domain => "It is for another domain",
        };
        match self.product_key_id {
            Some(id) => write!(f, "product key {id}: {what} (expected {}, given {})", self.expected, self.given),
            None => write!(f, "{what} (expected {}, given {})", self.expected, self.given),
        }
    }
}

impl ProductKey {
    /// Checks every field against its limits; [`ProductKeys::verify`] calls this. The error
    /// names the field.
    pub fn validate(&self) -> Result<(), Error> {
        fields::check_id("product_key_id", self.product_key_id)?;
        if !is_word(&self.product) {
            return Err(Error::field("product", "must be 1 to 64 printable characters"));
        }
        for (field, list) in [("editions", &self.editions), ("modules", &self.modules)] {
            if list.len() > LIST_MAX || !list.iter().all(|word| is_word(word)) {
                return Err(Error::field(field, format!("must be at most {LIST_MAX} words of 1 to 64 printable characters")));
            }
        }
        if self.deployment_types.len() > LIST_MAX {
            return Err(Error::field("deployment_types", format!("has {} entries, at most {LIST_MAX} are allowed", self.deployment_types.len())));
        }
        for (field, time) in [("valid_from", self.valid_from), ("valid_to", self.valid_to), ("issued_at", self.issued_at)] {
            fields::check_time(field, time)?;
        }
        if self.valid_to <= self.valid_from {
            return Err(Error::field("valid_to", "must be later than valid_from"));
        }
        if self.machine.is_some_and(|machine| machine.0.is_nil()) {
            return Err(Error::field("machine", "must not be all zeros"));
        }
        match &self.domain {
            Some(domain) => domain::check(domain).map_err(|detail| Error::field("domain", detail)),
            None => Ok(()),
        }
    }

    /// Signs it with the vendor's key: the key, one line without a line end.
    pub fn seal(&self, vendor: &SigningKey) -> String {
        jws::sign(vendor, TYP, None, self)
    }

    fn permits_module(&self, module: &str) -> bool {
        permits(&self.modules, Some(module))
    }

    fn refusal(&self, reason: KeyReason, expected: String, given: String) -> KeyRefusal {
        KeyRefusal { reason, product_key_id: Some(self.product_key_id), expected, given }
    }

    /// Whether it fits but for modules that another key may cover.
    fn fit(&self, request: &KeyRequest<'_>, now: i64) -> Result<(), KeyRefusal> {
        let fail = |reason, expected: String, given: String| Err(self.refusal(reason, expected, given));
        let text = |given: Option<&str>| given.unwrap_or("none given").to_owned();
        if !same_word(&self.product, request.product) {
            return fail(KeyReason::License(Reason::Product), self.product.clone(), request.product.to_owned());
        }
        if !self.versions.cover(request.version) {
            return fail(KeyReason::License(Reason::Version), self.versions.to_string(), text(request.version));
        }
        if !self.deployment_types.is_empty() && !request.deployment_type.is_some_and(|given| self.deployment_types.contains(&given)) {
            let permitted: Vec<_> = self.deployment_types.iter().map(|kind| kind.as_str()).collect();
            return fail(KeyReason::License(Reason::DeploymentType), permitted.join(", "), text(request.deployment_type.map(DeploymentType::as_str)));
        }
        if !permits(&self.editions, request.edition) {
            return fail(KeyReason::License(Reason::Edition), self.editions.join(", "), text(request.edition));
        }
        if !request.modules.is_empty() && !request.modules.iter().any(|module| self.permits_module(module)) {
            return fail(KeyReason::License(Reason::Module), self.modules.join(", "), request.modules.join(", "));
        }
        let (from, to) = (self.valid_from.timestamp(), self.valid_to.timestamp());
        if now < from {
            return fail(KeyReason::License(Reason::NotYetEffective), format!("from {}", rfc3339(from)), rfc3339(now));
        }
        if now > to {
            return fail(KeyReason::License(Reason::Expired), format!("until {}", rfc3339(to)), rfc3339(now));
        }
        if let Some(machine) = self.machine.filter(|machine| request.machine != Some(*machine)) {
            let given = request.machine.map_or_else(|| "none given".to_owned(), |given| given.to_string());
            return fail(KeyReason::Machine, format!("machine {machine}"), given);
        }
        if let Some(domain) = self.domain.as_ref().filter(|domain| !request.host.is_some_and(|host| domain::covers(domain, host))) {
            return fail(KeyReason::Domain, format!("{domain} or a host in it"), text(request.host));
        }
        Ok(())
    }
}

/// Product keys that were read but are not believed yet.
#[derive(Debug, Clone)]
pub struct ProductKeys {
    keys: Vec<Jws>,
}

impl ProductKeys {
    /// Reads keys separated by `;`. White space around a key and empty pieces are
    /// tolerated.
    ///
    /// Errors: none or more than 16 of them, or one that is damaged; of several it is told
    /// which.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let limit = MAX_BYTES * KEYS_MAX;
        if text.len() > limit {
            return Err(Error::TooLarge { what: WHAT, limit });
        }
        let pieces: Vec<&str> = text.split(';').map(str::trim).filter(|piece| !piece.is_empty()).collect();
        if !(1..=KEYS_MAX).contains(&pieces.len()) {
            return Err(Error::field("product key", format!("{} were given, 1 to {KEYS_MAX} are allowed, separated by ';'", pieces.len())));
        }
        let keys = pieces.iter().enumerate().map(|(index, piece)| Jws::parse(piece, TYP, MAX_BYTES).map_err(|error| which(error, index, pieces.len())));
        Ok(Self { keys: keys.collect::<Result<_, _>>()? })
    }

    /// Checks each signature with whichever of these vendors' keys the product key names,
    /// then every field. One key that cannot be believed refuses them all, because nobody
    /// gives it on purpose.
    pub fn verify(&self, vendors: &[VerifyingKey]) -> Result<VerifiedKeys, Error> {
        let read = |jws: &Jws| -> Result<ProductKey, Error> {
            let (_, payload) = jws.verify_any(vendors)?;
            let key: ProductKey = jws::parse_versioned(payload, WHAT, "product_key_version", VERSION)?;
            key.validate()?;
            Ok(key)
        };
        let keys = self.keys.iter().enumerate().map(|(index, jws)| read(jws).map_err(|error| which(error, index, self.keys.len())));
        Ok(VerifiedKeys { keys: keys.collect::<Result<_, _>>()? })
    }
}

/// Tells which of several keys an error is about.
fn which(error: Error, index: usize, count: usize) -> Error {
    if count == 1 { error } else { Error::field(format!("product key {} of {count}", index + 1), error.to_string()) }
}

/// Product keys that a trusted vendor signed, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedKeys {
    keys: Vec<ProductKey>,
}

impl VerifiedKeys {
    /// The keys, in the order given.
    pub fn keys(&self) -> &[ProductKey] {
        &self.keys
    }

    /// The keys that cover the request at `now` (seconds since 1970): the first that
    /// covers it alone, or, when none does, several whose modules together are enough.
    ///
    /// The refusal is that of the key that got furthest.
    pub fn check(&self, request: &KeyRequest<'_>, now: i64) -> Result<Vec<&ProductKey>, KeyRefusal> {
        let (mut fitting, mut refusals) = (Vec::new(), Vec::new());
        for key in &self.keys {
            match key.fit(request, now) {
                Ok(()) => fitting.push(key),
                Err(refusal) => refusals.push((key, refusal)),
            }
        }
        if let Some(alone) = fitting.iter().find(|key| request.modules.iter().all(|module| key.permits_module(module))) {
            return Ok(vec![alone]);
        }
        let mut missing: Vec<&String> = request.modules.iter().collect();
        let mut covering = Vec::new();
        for key in &fitting {
            let before = missing.len();
            missing.retain(|module| !key.permits_module(module));
            if missing.len() < before {
                covering.push(*key);
            }
        }
        let lacking = match missing.first() {
            None if !covering.is_empty() => return Ok(covering),
            lacking => lacking,
        };
        // Of keys that fit, one for the missing module may have failed later: it got further.
        let helps = |key: &ProductKey| lacking.is_none_or(|module| fitting.is_empty() || key.permits_module(module));
        let mut furthest: Option<KeyRefusal> = lacking.and_then(|module| {
            let first = fitting.first()?;
            let covered: Vec<&str> = fitting.iter().flat_map(|key| key.modules.iter().map(String::as_str)).collect();
            Some(first.refusal(KeyReason::License(Reason::Module), covered.join(", "), (*module).clone()))
        });
        for (_, refusal) in refusals.into_iter().filter(|(key, _)| helps(key)) {
            if furthest.as_ref().is_none_or(|known| refusal.reason > known.reason) {
                furthest = Some(refusal);
            }
        }
        Err(furthest.unwrap_or_else(|| KeyRefusal {
            reason: KeyReason::License(Reason::NoItem),
            product_key_id: None,
            expected: "at least one product key".into(),
            given: "none".into(),
        }))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const NOW: i64 = 1_795_305_600;
    const MACHINE: &str = "6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88";

    /// Key 7 for any use of `dbr` from 2026 to 2027.
    pub(crate) fn product_key() -> ProductKey {
        ProductKey {
            product_key_version: VERSION.into(),
            product_key_id: 7,
            organization_id: None,
            product: "dbr".into(),
            editions: vec![],
            versions: VersionPatterns::default(),
            deployment_types: vec![],
            modules: vec![],
            valid_from: "2026-01-01T00:00:00Z".parse().expect("time"),
            valid_to: "2027-12-31T23:59:59Z".parse().expect("time"),
            machine: None,
            domain: None,
            issued_at: "2026-01-01T00:00:00Z".parse().expect("time"),
        }
    }

    fn ask() -> KeyRequest<'static> {
        KeyRequest {
            product: "DBR",
            version: Some("9.6.30"),
            edition: Some("mobile"),
            deployment_type: Some(DeploymentType::Mobile),
            modules: &[],
            machine: None,
            host: Some("scan.example.com"),
        }
    }

    fn check(keys: &[ProductKey], request: &KeyRequest<'_>, now: i64) -> Result<Vec<u64>, (KeyReason, Option<u64>)> {
        match (VerifiedKeys { keys: keys.to_vec() }).check(request, now) {
            Ok(covering) => Ok(covering.iter().map(|key| key.product_key_id).collect()),
            Err(refusal) => Err((refusal.reason, refusal.product_key_id)),
        }
    }

    fn of_modules(id: u64, modules: &[&str]) -> ProductKey {
        ProductKey { product_key_id: id, modules: modules.iter().map(|word| (*word).to_owned()).collect(), ..product_key() }
    }

    #[test]
    fn several_keys_are_given_in_one_text() {
        let (vendor, other) = (SigningKey::generate(), SigningKey::generate());
        let trusted = [vendor.verifying_key().clone()];
        let one = product_key().seal(&vendor);
        assert!(!one.contains(['\n', ' ', ';']), "one line: {one}");
        let two = of_modules(8, &["ocr"]).seal(&vendor);
        let keys = ProductKeys::parse(&format!("\n {one} ;\r\n;{two};\n")).expect("parsed").verify(&trusted).expect("verified");
        assert_eq!(keys.keys(), [product_key(), of_modules(8, &["ocr"])]);
        assert!(matches!(ProductKeys::parse(" ; "), Err(Error::Field { .. })));
        assert!(ProductKeys::parse(&[one.as_str(); 16].join(";")).is_ok());
        assert!(matches!(ProductKeys::parse(&[one.as_str(); 17].join(";")), Err(Error::Field { .. })));
        assert!(matches!(ProductKeys::parse(&" ".repeat(MAX_BYTES * KEYS_MAX + 1)), Err(Error::TooLarge { .. })));
        assert!(matches!(ProductKeys::parse("hello"), Err(Error::Base64 { .. })));
        let message = ProductKeys::parse(&format!("{one};hello")).expect_err("damaged").to_string();
        assert!(message.starts_with("product key 2 of 2: this product key is damaged"), "{message}");
        let foreign = product_key().seal(&other);
        assert!(matches!(ProductKeys::parse(&foreign).expect("parsed").verify(&trusted), Err(Error::UnknownSigner { .. })));
        let message = ProductKeys::parse(&format!("{foreign};{one}")).expect("parsed").verify(&trusted).expect_err("foreign").to_string();
        assert!(message.starts_with("product key 1 of 2: this product key is signed by the unknown key"), "{message}");
    }

    #[test]
    fn versions_of_the_future_are_refused_but_fields_are_ignored() {
        let vendor = SigningKey::generate();
        let verify = |change: fn(&mut serde_json::Value)| {
            let mut payload = serde_json::to_value(product_key()).expect("json");
            change(&mut payload);
            ProductKeys::parse(&jws::sign(&vendor, TYP, None, &payload)).expect("parsed").verify(&[vendor.verifying_key().clone()])
        };
        assert!(verify(|p| p["future"] = 1.into()).is_ok());
        assert!(matches!(verify(|p| p["product_key_version"] = "2".into()), Err(Error::UnknownVersion { .. })));
        assert!(matches!(verify(|p| p["deployment_types"] = serde_json::json!(["toaster"])), Err(Error::UnknownValue { .. })));
        assert!(matches!(verify(|p| p["product_key_id"] = 0.into()), Err(Error::Field { .. })));
    }

    #[test]
    fn each_check_has_its_reason() {
        assert_eq!(check(&[product_key()], &ask(), NOW), Ok(vec![7]));
        type Change = fn(&mut ProductKey);
        let license = KeyReason::License;
        let cases: [(KeyReason, u16, Change); 9] = [
            (license(Reason::Product), 106, |k| k.product = "ocr".into()),
            (license(Reason::Version), 107, |k| k.versions = VersionPatterns::try_from("8.*".to_owned()).expect("pattern")),
            (license(Reason::DeploymentType), 108, |k| k.deployment_types = vec![DeploymentType::Browser]),
            (license(Reason::Edition), 109, |k| k.editions = vec!["javascript".into()]),
            (license(Reason::NotYetEffective), 112, |k| k.valid_from = "2026-12-01T00:00:00Z".parse().expect("time")),
            (license(Reason::Expired), 111, |k| k.valid_to = "2026-11-01T00:00:00Z".parse().expect("time")),
            (KeyReason::Machine, 113, |k| k.machine = Some(MACHINE.parse().expect("uuid"))),
            (KeyReason::Domain, 103, |k| k.domain = Some("example.org".into())),
            (KeyReason::Domain, 103, |k| k.domain = Some("ample.com".into())),
        ];
        for (expected, code, change) in cases {
            let mut key = product_key();
            change(&mut key);
            assert_eq!(check(&[key], &ask(), NOW), Err((expected, Some(7))));
            assert_eq!(expected.code().number(), code);
        }
        assert_eq!(check(&[], &ask(), NOW), Err((license(Reason::NoItem), None)));
    }

    #[test]
    fn a_key_ends_with_its_last_second_and_has_no_grace() {
        let end = product_key().valid_to.timestamp();
        assert_eq!(check(&[product_key()], &ask(), end), Ok(vec![7]));
        assert_eq!(check(&[product_key()], &ask(), end + 1), Err((KeyReason::License(Reason::Expired), Some(7))));
    }

    #[test]
    fn a_key_for_a_machine_or_a_domain_works_there_only() {
        let here: ClientUuid = MACHINE.parse().expect("uuid");
        let bound = ProductKey { machine: Some(here), domain: Some("example.com".into()), ..product_key() };
        let request = KeyRequest { machine: Some(here), ..ask() };
        assert_eq!(check(std::slice::from_ref(&bound), &request, NOW), Ok(vec![7]));
        assert_eq!(check(std::slice::from_ref(&bound), &KeyRequest { host: None, ..request }, NOW), Err((KeyReason::Domain, Some(7))));
        let refusal = VerifiedKeys { keys: vec![bound] }.check(&ask(), NOW).expect_err("no machine");
        assert_eq!(refusal.to_string(), format!("product key 7: It is for another machine (expected machine {MACHINE}, given none given)"));
    }

    #[test]
    fn modules_may_be_covered_by_several_keys_together() {
        let (core, ocr, all) = (of_modules(1, &["core", "webcam"]), of_modules(2, &["ocr"]), of_modules(3, &[]));
        let wanted = ["Core".to_owned(), "ocr".to_owned()];
        let request = KeyRequest { modules: &wanted, ..ask() };
        assert_eq!(check(&[core.clone(), ocr.clone()], &request, NOW), Ok(vec![1, 2]));
        assert_eq!(check(&[core.clone(), ocr.clone(), all], &request, NOW), Ok(vec![3]), "one that does it alone is preferred");
        assert_eq!(check(&[core.clone(), ocr.clone()], &ask(), NOW), Ok(vec![1]));
        assert_eq!(check(std::slice::from_ref(&core), &request, NOW), Err((KeyReason::License(Reason::Module), Some(1))));
        let over = ProductKey { valid_to: "2026-11-01T00:00:00Z".parse().expect("time"), ..ocr };
        assert_eq!(check(&[core, over], &request, NOW), Err((KeyReason::License(Reason::Expired), Some(2))), "the missing module has a key that is over");
    }

    #[test]
    fn the_answer_is_the_reason_of_the_key_that_got_furthest() {
        let far = ProductKey { product_key_id: 1, valid_to: "2026-11-01T00:00:00Z".parse().expect("time"), ..product_key() };
        let near = ProductKey { product_key_id: 2, product: "ocr".into(), ..product_key() };
        assert_eq!(check(&[near.clone(), far.clone()], &ask(), NOW), Err((KeyReason::License(Reason::Expired), Some(1))));
        assert_eq!(check(&[near, far, product_key()], &ask(), NOW), Ok(vec![7]));
    }

    #[test]
    fn a_key_that_makes_no_sense_is_refused_naming_the_field() {
        assert_eq!(product_key().validate(), Ok(()));
        type Spoil = fn(&mut ProductKey);
        let cases: [(&str, Spoil); 8] = [
            ("product_key_id", |k| k.product_key_id = 0),
            ("product", |k| k.product = " dbr".into()),
            ("editions", |k| k.editions = vec![String::new()]),
            ("modules", |k| k.modules = vec!["x".into(); 65]),
            ("deployment_types", |k| k.deployment_types = vec![DeploymentType::Server; 65]),
            ("valid_to", |k| k.valid_to = k.valid_from),
            ("machine", |k| k.machine = Some(ClientUuid(uuid::Uuid::nil()))),
            ("issued_at", |k| k.issued_at = DateTime::<Utc>::MAX_UTC),
        ];
        for (expected, spoil) in cases {
            let mut key = product_key();
            spoil(&mut key);
            assert!(matches!(key.validate(), Err(Error::Field { field, .. }) if field == expected), "{expected}");
        }
    }

    #[test]
    fn the_largest_key_still_is_read() {
        let words = || (0..64).map(|n| format!("{}{n:02}", "\u{10ffff}".repeat(62))).collect::<Vec<_>>();
        let patterns = vec![["a234567890123456"; 8].join("."); 64].join(",");
        let largest = ProductKey {
            editions: words(),
            modules: words(),
            versions: VersionPatterns::try_from(patterns).expect("patterns"),
            deployment_types: vec![DeploymentType::Embedded; 64],
            ..product_key()
        };
        let vendor = SigningKey::generate();
        let keys = ProductKeys::parse(&largest.seal(&vendor)).expect("parsed").verify(&[vendor.verifying_key().clone()]);
        assert_eq!(keys.expect("verified").keys(), [largest]);
    }
}
