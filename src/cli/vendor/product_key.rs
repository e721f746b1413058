//! `vendor product-key`: an offline license in one line.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chrono::{NaiveDate, NaiveTime};

use super::{end_of, free_id, time_of, told};
use crate::cli::Failure;
use crate::documents::{ProductKey, SigningKey, files, product_key as key_file};
use crate::licensing::item::VersionPatterns;
use crate::licensing::{ClientUuid, DeploymentType, OrganizationId};

/// Flags of `vendor product-key`.
#[derive(Debug, clap::Args)]
pub struct ProductKeyArgs {
    /// The vendor's private key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The product
    #[arg(long, value_name = "P")]
    product: String,
    /// Edition permitted; may be repeated [default: any]
    #[arg(long = "edition", value_name = "E")]
    editions: Vec<String>,
    /// Versions permitted, such as "9.*, 10.2" [default: any]
    #[arg(long, value_name = "V", value_parser = versions)]
    versions: Option<VersionPatterns>,
    /// browser, mobile, server, desktop or embedded; may be repeated [default: any]
    #[arg(long = "deployment-type", value_name = "D", value_parser = deployment_type)]
    deployment_types: Vec<DeploymentType>,
    /// Module permitted; may be repeated [default: any]
    #[arg(long = "module", value_name = "M")]
    modules: Vec<String>,
    /// First day [default: today]
    #[arg(long, value_name = "DATE")]
    valid_from: Option<NaiveDate>,
    /// Last day; there is no grace
    #[arg(long, value_name = "DATE")]
    valid_to: NaiveDate,
    /// The one machine it works on: the client UUID that the application shows there [default: any]
    #[arg(long, value_name = "UUID")]
    machine: Option<ClientUuid>,
    /// The registered domain it works in, with all its subdomains [default: any]
    #[arg(long, value_name = "D")]
    domain: Option<String>,
    /// The customer
    #[arg(long, value_name = "O")]
    organization_id: Option<OrganizationId>,
    /// File to write; without it the key is printed
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn versions(text: &str) -> Result<VersionPatterns, String> {
    VersionPatterns::try_from(text.to_owned())
}

fn deployment_type(text: &str) -> Result<DeploymentType, String> {
    serde_json::from_value(text.into()).map_err(|_| "write browser, mobile, server, desktop or embedded".to_owned())
}

/// Makes the key; returns it, or what to tell when it is in a file.
pub(super) fn product_key(args: ProductKeyArgs, now: i64) -> Result<Vec<String>, Failure> {
    let vendor = SigningKey::load(&args.key).map_err(told)?;
    let issued_at = time_of(now)?;
    let key = ProductKey {
        product_key_version: key_file::VERSION.into(),
        product_key_id: free_id(&mut BTreeSet::new())?,
        organization_id: args.organization_id,
        product: args.product,
        editions: args.editions,
        versions: args.versions.unwrap_or_default(),
        deployment_types: args.deployment_types,
        modules: args.modules,
        // Whole days: the machine's clock may be some minutes behind.
        valid_from: args.valid_from.unwrap_or(issued_at.date_naive()).and_time(NaiveTime::MIN).and_utc(),
        valid_to: end_of(args.valid_to),
        machine: args.machine,
        domain: args.domain.map(|domain| domain.to_ascii_lowercase()),
        issued_at,
    };
    key.validate().map_err(told)?;
    if key.valid_to <= issued_at {
        return Err(Failure(format!("valid_to: {} is over already; give a later day", args.valid_to)));
    }
    let line = key.seal(&vendor);
    match args.out {
        None => Ok(vec![line]),
        Some(out) => {
            files::write_document(&out, format!("{line}\n").as_bytes(), &[]).map_err(told)?;
            Ok(vec![
                format!("Wrote {}: product key {} for {} until {}", out.display(), key.product_key_id, key.product, args.valid_to),
                "Next: give it to the developer, who pastes it into the application".to_owned(),
            ])
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::documents::{KeyRequest, ProductKeys};

    const NOW: i64 = 1_795_305_600;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ProductKeyArgs,
    }

    #[test]
    fn one_line_says_all_that_was_asked_for() {
        let (dir, vendor) = (tempfile::tempdir().expect("dir"), SigningKey::generate());
        let path = dir.path().join("vendor.key");
        vendor.save_new(&path).expect("key");
        let made = |flags: &str| {
            let path = path.display().to_string();
            let words = ["product-key", "--key", path.as_str(), "--product", "dbr"].into_iter().chain(flags.split(' '));
            let Line { args } = Line::try_parse_from(words).map_err(|error| error.to_string())?;
            product_key(args, NOW).map_err(|Failure(text)| text)
        };
        let lines = made("--valid-to 2027-11-30 --edition mobile --versions 9.*,10.* --deployment-type mobile --module qr --module 1d --machine 6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88 --domain Example.com --organization-id 216998").expect("made");
        let [line] = &lines[..] else { panic!("{lines:?}") };
        let keys = ProductKeys::parse(line).and_then(|keys| keys.verify(&[vendor.verifying_key().clone()])).expect("verifies");
        let key = &keys.keys()[0];
        assert_eq!((key.valid_from.to_rfc3339(), key.valid_to.to_rfc3339()), ("2026-11-22T00:00:00+00:00".into(), "2027-11-30T23:59:59+00:00".into()));
        assert_eq!((key.domain.as_deref(), key.organization_id.as_ref().map(OrganizationId::as_str)), (Some("example.com"), Some("216998")));
        let request = KeyRequest {
            product: "dbr",
            version: Some("10.1"),
            edition: Some("mobile"),
            deployment_type: Some(DeploymentType::Mobile),
            modules: &["1d".to_owned()],
            machine: key.machine,
            host: Some("scan.example.com"),
        };
        assert_eq!(keys.check(&request, NOW).map(|keys| keys.len()), Ok(1));
        let out = dir.path().join("a.key").display().to_string();
        assert!(made(&format!("--valid-to 2027-11-30 --out {out}")).expect("written")[0].contains("for dbr until 2027-11-30"));
        assert!(ProductKeys::parse(&std::fs::read_to_string(out).expect("written")).is_ok());
        assert!(made("--valid-to 2026-11-21 --valid-from 2026-01-01").expect_err("over").contains("is over already"));
        assert!(made("--valid-to 2027-11-30 --valid-from 2028-01-01").expect_err("backwards").starts_with("valid_to: must be later"));
        assert!(made("--valid-to 2027-11-30 --deployment-type toaster").expect_err("unknown").contains("write browser, mobile"));
        assert!(made("--valid-to 2027-11-30 --versions 9..1").expect_err("no pattern").contains("dotted patterns"));
    }
}
