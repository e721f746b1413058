//! `tollkeeper certificate`: what HTTPS shows.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::connect::{Admin, Create};
use super::{DataArg, Failure, output};
use crate::client::transport::Method;
use crate::http::admin_api::certificate::{CertificateRow, OwnCertificateBody};

/// The commands about the HTTPS certificate.
#[derive(Debug, Subcommand)]
pub enum CertificateCommand {
    /// Show the certificate in use
    ///
    /// Example:
    ///   tollkeeper certificate show --json
    #[command(verbatim_doc_comment)]
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Use a certificate of your own instead of the site's authority's
    ///
    /// It is looked at first: whether the key belongs to it, whether the chain is whole and in order,
    /// dates, strength, and whether it is for the addresses in license keys. Open connections go
    /// on; license keys stay as they are. For files that something else renews, set
    /// [tls] certificate and key in tollkeeper.toml instead.
    ///
    /// Example:
    ///   tollkeeper certificate set --cert fullchain.pem --key privkey.pem
    #[command(verbatim_doc_comment)]
    Set {
        /// The certificate, followed by those of its authorities, PEM
        #[arg(long, value_name = "FILE")]
        cert: PathBuf,
        /// Its private key without a passphrase, PEM
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Go back to the certificate of the site's authority
    ///
    /// Example:
    ///   tollkeeper certificate remove
    #[command(verbatim_doc_comment)]
    Remove {
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
}

/// Runs one of them.
pub fn run(command: CertificateCommand) -> Result<(), Failure> {
    match command {
        CertificateCommand::Show { json, data } => {
            let row: CertificateRow = Admin::open(&data, Create::Refused)?.get("certificate")?;
            if json {
                return output::json(&row);
            }
            show(&row);
        }
        CertificateCommand::Set { cert, key, data } => {
            let body = OwnCertificateBody { certificate: read(&cert)?, key: read(&key)? };
            let row: CertificateRow = Admin::open(&data, Create::Refused)?.change(Method::Put, "certificate", Some(&body))?;
            output::line(format!("In use for new connections: {}, valid to {}.", row.names.join(", "), row.not_after));
        }
        CertificateCommand::Remove { data } => {
            let row: CertificateRow = Admin::open(&data, Create::Refused)?.change(Method::Delete, "certificate", None::<&()>)?;
            output::line(format!("Removed; new connections get the certificate of the site's authority, valid to {}.", row.not_after));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure(format!("{} cannot be read: {error}", path.display())))?;
    let way = "openssl turns a .p12, .pfx or .der file into PEM, which is text";
    String::from_utf8(bytes).map_err(|_| Failure(format!("{} is not text: {way}", path.display())))
}

fn show(row: &CertificateRow) {
    let source = match row.source.as_str() {
        "site_ca" => "the site's own authority",
        "own_files" => "the files that the settings name",
        _ => "brought by the administrator",
    };
    let mut lines = vec![
        ("from", source.to_owned()),
        ("issued by", row.issuer.clone()),
        ("for", row.names.join(", ")),
        ("valid", format!("{} to {}", row.not_before, row.not_after)),
        ("fingerprint", row.fingerprint.clone()),
        ("site authority", format!("{}, valid to {}", row.ca_fingerprint, row.ca_not_after)),
    ];
    if !row.uncovered.is_empty() {
        lines.push(("not for", format!("{}, to which license keys lead", row.uncovered.join(", "))));
    }
    if let Some(problem) = &row.problem {
        lines.push(("own one unused", problem.clone()));
    }
    for (name, value) in lines {
        output::line(format!("{name:<15}{value}"));
    }
}
