//! `tollkeeper license show`: what a license file, a revocation or a usage statement says,
//! and whether it may be believed.

use std::path::Path;

use serde::Serialize;

use super::{Failure, output};
use crate::documents::{Error, LicenseFile, RevocationFile, StatementFile, VerifyingKey, armor, files, license_file, revocation, usage_statement};

/// Largest file taken: that of the largest kind. Each kind has a limit of its own.
const MAX_BYTES: usize = usage_statement::MAX_BYTES;
const _: () = assert!(MAX_BYTES >= license_file::MAX_BYTES && MAX_BYTES >= revocation::MAX_BYTES);

/// Whether the file may be believed.
#[derive(Debug, PartialEq)]
enum Verdict {
    Valid,
    UnknownVendor,
    Invalid(Error),
}

/// A document that was read, whatever its kind.
struct Shown {
    /// For people.
    summary: String,
    /// Its payload.
    payload: serde_json::Value,
    /// The thumbprint of the vendor's key at the root.
    vendor_kid: String,
    verdict: Verdict,
}

/// Prints the document at `path`: for people, or with `json` its payload and
/// `"signature": "valid" | "unknown vendor" | "invalid"`. Works without any trusted key.
///
/// Errors: it cannot be read, or it was changed after signing or makes no sense; the
/// latter is printed before it fails.
pub fn show(path: &Path, trusted: &[VerifyingKey], json: bool) -> Result<(), Failure> {
    let failed = |error: Error| Failure(error.in_file(path).to_string());
    let shown = files::read_text(path, MAX_BYTES).and_then(|text| read(&text, trusted)).map_err(failed)?;
    output::line(if json { as_json(&shown)? } else { as_text(&shown) });
    match shown.verdict {
        Verdict::Valid | Verdict::UnknownVendor => Ok(()),
        Verdict::Invalid(error) => Err(failed(error)),
    }
}

/// Reads the kind of document that the armor names; anything else is told to be no license.
fn read(text: &str, trusted: &[VerifyingKey]) -> Result<Shown, Error> {
    match armor::find_label(text) {
        Some(revocation::LABEL) => {
            let file = RevocationFile::parse(text)?;
            let read = file.unverified_revocation()?;
            Ok(Shown::new(read.summary(), &read, file.kid(), trusted, || file.verify(trusted).map(drop)))
        }
        Some(usage_statement::LABEL) => {
            let file = StatementFile::parse(text)?;
            let read = file.unverified_statement()?;
            Ok(Shown::new(read.summary(), &read, &file.vendor_kid()?, trusted, || file.verify_chain(trusted).map(drop)))
        }
        _ => {
            let file = LicenseFile::parse(text)?;
            let read = file.unverified_license()?;
            Ok(Shown::new(read.summary(), &read, file.kid(), trusted, || file.verify(trusted).map(drop)))
        }
    }
}

impl Shown {
    fn new(summary: String, payload: &impl Serialize, vendor_kid: &str, trusted: &[VerifyingKey], verify: impl FnOnce() -> Result<(), Error>) -> Self {
        // Asked before verifying, because a server certificate inside may have an unknown
        // signer too.
        let verdict = match trusted.iter().any(|key| key.kid() == vendor_kid) {
            false => Verdict::UnknownVendor,
            true => verify().map_or_else(Verdict::Invalid, |()| Verdict::Valid),
        };
        // A payload that was read from JSON can be JSON again.
        let payload = serde_json::to_value(payload).unwrap_or_default();
        Self { summary, payload, vendor_kid: vendor_kid.to_owned(), verdict }
    }
}

fn as_text(shown: &Shown) -> String {
    let kid = crate::licensing::id::shorten(&shown.vendor_kid);
    let signature = match &shown.verdict {
        Verdict::Valid => format!("Signature:    valid, by the vendor with key {kid}"),
        Verdict::UnknownVendor => format!("Signature:    signature not checked: vendor unknown (key {kid})"),
        Verdict::Invalid(error) => format!("Signature:    INVALID: {error}"),
    };
    format!("{}\n{signature}", shown.summary)
}

fn as_json(shown: &Shown) -> Result<String, Failure> {
    let word = match shown.verdict {
        Verdict::Valid => "valid",
        Verdict::UnknownVendor => "unknown vendor",
        Verdict::Invalid(_) => "invalid",
    };
    let mut value = shown.payload.clone();
    value["signature"] = word.into();
    serde_json::to_string_pretty(&value).map_err(|error| Failure(format!("cannot write the document as JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::license_file::tests::new_license;
    use crate::documents::revocation::tests::revocation;
    use crate::documents::server_certificate::tests::certificate;
    use crate::documents::usage_statement::tests::statement;
    use crate::documents::{Revocation, SigningKey, random_uuid};
    use crate::licensing::ServerUuid;

    #[test]
    fn a_license_of_an_unknown_vendor_is_shown_with_a_warning() {
        let (vendor, other) = (SigningKey::generate(), SigningKey::generate());
        let shown = read(&new_license().seal(&vendor), &[other.verifying_key().clone()]).expect("read");
        assert_eq!(shown.verdict, Verdict::UnknownVendor);
        let text = as_text(&shown);
        assert!(text.contains("signature not checked: vendor unknown") && text.contains("Item  Product"), "{text}");
    }

    #[test]
    fn the_json_tells_whether_the_signature_is_valid() {
        let vendor = SigningKey::generate();
        let mut bad = new_license();
        bad.items.clear();
        for (license, word) in [(new_license(), "valid"), (bad, "invalid")] {
            let shown = read(&license.seal(&vendor), &[vendor.verifying_key().clone()]).expect("read");
            let value: serde_json::Value = serde_json::from_str(&as_json(&shown).unwrap_or_default()).expect("json");
            assert_eq!((value["signature"].as_str(), value["license_id"].as_u64()), (Some(word), Some(100_028_117)));
        }
    }

    #[test]
    fn revocations_and_usage_statements_are_shown_too() {
        let (vendor, server, uuid) = (SigningKey::generate(), SigningKey::generate(), ServerUuid(random_uuid()));
        let trusted = [vendor.verifying_key().clone()];
        let usage = statement(uuid).seal(&server, &certificate(uuid, &server).issue(&vendor)).expect("sealed");
        let forged = statement(uuid).seal(&vendor, &certificate(uuid, &server).issue(&vendor)).expect("sealed");
        let bad = Revocation { item_ids: vec![], ..revocation() };
        for (text, title, word) in [
            (revocation().seal(&vendor), "Tollkeeper revocation for license 100028117", "valid"),
            (bad.seal(&vendor), "Tollkeeper revocation for license 100028117", "invalid"),
            (revocation().seal(&server), "Tollkeeper revocation for license 100028117", "unknown vendor"),
            (usage, "Tollkeeper usage statement", "valid"),
            (forged, "Tollkeeper usage statement", "invalid"),
        ] {
            let shown = read(&text, &trusted).expect("read");
            let json = as_json(&shown).unwrap_or_default();
            assert!(as_text(&shown).starts_with(title) && json.contains(&format!("\"signature\": \"{word}\"")), "{json}");
        }
    }

    #[test]
    fn a_file_that_is_no_license_is_named() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("a.lic");
        std::fs::write(&path, "hello").expect("written");
        let Failure(message) = show(&path, &[], false).expect_err("no license");
        assert!(message.contains("a.lic: no '-----BEGIN TOLLKEEPER LICENSE-----' line"), "{message}");
    }
}
