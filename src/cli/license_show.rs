//! `tollkeeper license show`: what a license file says, and whether it may be believed.
#![expect(clippy::print_stdout, reason = "commands talk on standard output")]

use std::path::Path;

use super::Failure;
use crate::documents::license_file::MAX_BYTES;
use crate::documents::{Error, License, LicenseFile, VerifyingKey, files};

/// Whether the file may be believed.
#[derive(Debug, PartialEq)]
enum Verdict {
    Valid,
    UnknownVendor,
    Invalid(Error),
}

/// Prints the license file at `path`: for people, or with `json` its payload and
/// `"signature": "valid" | "unknown vendor" | "invalid"`. Works without any trusted key.
///
/// Errors: it cannot be read, or it was changed after signing or makes no sense; the
/// latter is printed before it fails.
pub fn show(path: &Path, trusted: &[VerifyingKey], json: bool) -> Result<(), Failure> {
    let failed = |error: Error| Failure(error.in_file(path).to_string());
    let file = files::read_text(path, MAX_BYTES).and_then(|text| LicenseFile::parse(&text)).map_err(failed)?;
    let license = file.unverified_license().map_err(failed)?;
    let verdict = judge(&file, trusted);
    println!("{}", if json { as_json(&license, &verdict)? } else { as_text(&license, &verdict, file.kid()) });
    match verdict {
        Verdict::Valid | Verdict::UnknownVendor => Ok(()),
        Verdict::Invalid(error) => Err(failed(error)),
    }
}

fn judge(file: &LicenseFile, trusted: &[VerifyingKey]) -> Verdict {
    // Asked before verifying, because a server certificate may have an unknown signer too.
    if !trusted.iter().any(|key| key.kid() == file.kid()) {
        return Verdict::UnknownVendor;
    }
    match file.verify(trusted) {
        Ok(_) => Verdict::Valid,
        Err(error) => Verdict::Invalid(error),
    }
}

fn as_text(license: &License, verdict: &Verdict, kid: &str) -> String {
    let kid = crate::licensing::id::shorten(kid);
    let signature = match verdict {
        Verdict::Valid => format!("Signature:    valid, by the vendor with key {kid}"),
        Verdict::UnknownVendor => format!("Signature:    signature not checked: vendor unknown (key {kid})"),
        Verdict::Invalid(error) => format!("Signature:    INVALID: {error}"),
    };
    format!("{}\n{signature}", license.summary())
}

fn as_json(license: &License, verdict: &Verdict) -> Result<String, Failure> {
    let word = match verdict {
        Verdict::Valid => "valid",
        Verdict::UnknownVendor => "unknown vendor",
        Verdict::Invalid(_) => "invalid",
    };
    let broken = |error: serde_json::Error| Failure(format!("cannot write the license as JSON: {error}"));
    let mut value = serde_json::to_value(license).map_err(broken)?;
    value["signature"] = word.into();
    serde_json::to_string_pretty(&value).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::SigningKey;
    use crate::documents::license_file::tests::new_license;

    #[test]
    fn a_license_of_an_unknown_vendor_is_shown_with_a_warning() {
        let (vendor, other) = (SigningKey::generate(), SigningKey::generate());
        let file = LicenseFile::parse(&new_license().seal(&vendor)).expect("parsed");
        let verdict = judge(&file, &[other.verifying_key().clone()]);
        assert_eq!(verdict, Verdict::UnknownVendor);
        let text = as_text(&new_license(), &verdict, file.kid());
        assert!(text.contains("signature not checked: vendor unknown") && text.contains("Item  Product"), "{text}");
    }

    #[test]
    fn the_json_tells_whether_the_signature_is_valid() {
        let vendor = SigningKey::generate();
        let trusted = [vendor.verifying_key().clone()];
        let mut bad = new_license();
        bad.items.clear();
        for (license, word) in [(new_license(), "valid"), (bad, "invalid")] {
            let file = LicenseFile::parse(&license.seal(&vendor)).expect("parsed");
            let json = as_json(&license, &judge(&file, &trusted)).unwrap_or_default();
            let value: serde_json::Value = serde_json::from_str(&json).expect("json");
            assert_eq!((value["signature"].as_str(), value["license_id"].as_u64()), (Some(word), Some(100_028_117)));
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
