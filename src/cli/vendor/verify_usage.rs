//! `vendor verify-usage`: is a customer's usage statement genuine, and is anything missing?

use std::path::{Path, PathBuf};

use super::told;
use crate::cli::Failure;
use crate::cli::output::{self, Column};
use crate::documents::{Error, Finding, StatementFile, UsageStatement, VerifyingKey, compare, files, load_vendor_key, usage_statement};

/// Flags of `vendor verify-usage`.
#[derive(Debug, clap::Args)]
pub struct VerifyUsageArgs {
    /// The usage statement
    file: PathBuf,
    /// The vendor's public key; may be repeated
    #[arg(long = "vendor", value_name = "PUB", required = true)]
    vendors: Vec<PathBuf>,
    /// The statement before this one
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints what the statement says and what a comparison showed.
///
/// Errors: it is not genuine, or something is missing; the latter is printed before.
pub(super) fn verify_usage(args: &VerifyUsageArgs) -> Result<(), Failure> {
    let vendors = args.vendors.iter().map(|path| load_vendor_key(path).map_err(told)).collect::<Result<Vec<_>, _>>()?;
    let (statement, vendor_kid) = verified(&args.file, &vendors)?;
    let previous = args.previous.as_ref().map(|path| verified(path, &vendors)).transpose()?;
    let findings = compare(previous.as_ref().map(|(previous, _)| previous), &statement);
    if args.json {
        output::json(&serde_json::json!({"signature": "valid", "vendor": vendor_kid, "statement": statement, "findings": findings}))?;
    } else {
        print(&statement, &vendor_kid, &findings);
    }
    match findings.iter().filter(|finding| finding.is_failure).count() {
        0 => Ok(()),
        count => Err(Failure(format!(
            "{}: {count} {}, listed above: ask the customer for an explanation, or for the statement that is missing",
            args.file.display(),
            if count == 1 { "thing is wrong" } else { "things are wrong" }
        ))),
    }
}

/// A statement with the thumbprint of the vendor's key at the root of its chain.
fn verified(path: &Path, vendors: &[VerifyingKey]) -> Result<(UsageStatement, String), Failure> {
    let text = files::read_text(path, usage_statement::MAX_BYTES).map_err(told)?;
    let read = || {
        let file = StatementFile::parse(&text)?;
        let vendor_kid = file.vendor_kid()?;
        Ok((file.verify_chain(vendors)?.0, vendor_kid))
    };
    read().map_err(|error| match error {
        Error::UnknownSigner { what, kid, .. } if !vendors.iter().any(|vendor| vendor.kid() == kid) => {
            told(Error::UnknownSigner { what, kid, advice: "give that vendor's .pub file with --vendor" }.in_file(path))
        }
        error => told(error.in_file(path)),
    })
}

fn print(statement: &UsageStatement, vendor_kid: &str, findings: &[Finding]) {
    output::line(format!("Usage statement {} of organization {}", statement.statement_id, statement.organization_id));
    output::line(format!("Server {}, {} to {} (UTC, both included)", statement.server_uuid, statement.from, statement.to));
    output::line(format!("Signature: valid, by this server, which the vendor with key {vendor_kid} certified\n"));
    let columns = [
        Column::Number("ITEM"),
        Column::Number("LICENSE"),
        Column::Text("PRODUCT"),
        Column::Text("CHARGED BY"),
        Column::Number("IN PERIOD"),
        Column::Number("ALL TIME"),
        Column::Number("QUOTA"),
        Column::Number("OVERUSE"),
        Column::Number("PEAK"),
    ];
    let rows: Vec<Vec<String>> = statement
        .items
        .iter()
        .map(|item| {
            vec![
                item.item_id.to_string(),
                item.license_id.to_string(),
                item.product.clone(),
                item.charged_by(),
                output::number(item.used_in_period()),
                output::number(item.total),
                output::number(item.quota),
                output::number(item.overuse),
                output::number(item.peak),
            ]
        })
        .collect();
    output::table(&columns, &rows, "No item is installed for this organization.");
    output::line("");
    for finding in findings {
        output::line(format!("{}: {}", if finding.is_failure { "WRONG" } else { "Note" }, finding.text));
    }
    if findings.is_empty() {
        output::line("It goes on from the statement before: no day is missing, nothing was taken out.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::server_certificate::tests::certificate;
    use crate::documents::usage_statement::PreviousStatement;
    use crate::documents::usage_statement::tests::statement;
    use crate::documents::{SigningKey, random_uuid};
    use crate::licensing::ServerUuid;

    #[test]
    fn a_genuine_statement_passes_and_a_gap_or_a_stranger_fails() {
        let (dir, vendor, server) = (tempfile::tempdir().expect("dir"), SigningKey::generate(), SigningKey::generate());
        let at = |name: &str| dir.path().join(name);
        for (name, key) in [("vendor.pub", &vendor), ("other.pub", &SigningKey::generate())] {
            std::fs::write(at(name), key.verifying_key().to_spki_pem()).expect("written");
        }
        let uuid = ServerUuid(random_uuid());
        let cert = certificate(uuid, &server).issue(&vendor);
        let november = statement(uuid);
        let mut december = UsageStatement {
            statement_id: random_uuid(),
            from: "2026-12-01".parse().expect("day"),
            to: "2026-12-02".parse().expect("day"),
            previous: Some(PreviousStatement {
                statement_id: november.statement_id,
                to: november.to,
                head: november.head.clone(),
                journal_hash: november.head.hash.clone(),
            }),
            ..november.clone()
        };
        let write = |name: &str, statement: &UsageStatement| std::fs::write(at(name), statement.seal(&server, &cert).expect("sealed")).expect("written");
        write("november", &november);
        write("december", &december);
        december.from = december.to;
        write("gap", &december);
        let verify = |file: &str, key: &str, previous: Option<&str>, json: bool| {
            let args = VerifyUsageArgs { file: at(file), vendors: vec![at(key)], previous: previous.map(at), json };
            verify_usage(&args).map_err(|Failure(text)| text)
        };
        assert_eq!(verify("november", "vendor.pub", None, false), Ok(()));
        assert_eq!(verify("december", "vendor.pub", Some("november"), false), Ok(()));
        assert_eq!(verify("december", "vendor.pub", None, true), Ok(()));
        assert!(verify("gap", "vendor.pub", Some("november"), false).expect_err("a day").contains("1 thing is wrong, listed above"));
        assert!(verify("gap", "vendor.pub", None, true).is_err(), "its own link shows the gap too");
        assert!(verify("november", "other.pub", None, false).expect_err("stranger").contains("give that vendor's .pub file with --vendor"));
        assert!(verify("december", "vendor.pub", Some("vendor.pub"), false).expect_err("no statement").contains("vendor.pub: "));
    }
}
