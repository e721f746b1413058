//! `tollkeeper vendor`: what the vendor does, offline: make a key, issue licenses, bind
//! them to a customer's servers, and everything that comes after.
//!
//! | file | commands |
//! | --- | --- |
//! | here | `keygen`, `issue`, `activate` |
//! | [`items`] | the TOML that `issue` reads |
//! | [`renew`] | `renew` |
//! | [`revoke`] | `revoke` |
//! | [`product_key`] | `product-key` |
//! | [`verify_usage`] | `verify-usage` |
#![expect(clippy::print_stderr, reason = "warnings go to standard error")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use super::{Failure, output};
use crate::clock::Clock;
use crate::documents::license_file;
use crate::documents::{ActivationRequest, License, LicenseFile, LicenseStatus, RequestServer, SigningKey, files, request, write_new_file};
use crate::licensing::{ItemId, LicenseItem};

mod items;
mod product_key;
mod renew;
mod revoke;
mod verify_usage;

/// The last moment of a day that this house's tools write.
const LAST_MOMENT: NaiveTime = match NaiveTime::from_hms_opt(23, 59, 59) {
    Some(time) => time,
    None => NaiveTime::MIN,
};
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
    /// Renew a license, or add quota to it
    ///
    /// The result is a license of its own, with a new item for each one renewed. When the
    /// customer imports it, the new items join the handshake codes of the old ones: no
    /// application changes. Unused quota does not roll over.
    ///
    /// With --until the new term begins when the old one ends, or now if it has ended.
    /// With --add-quota it is the old term, from now on. The new license is bound to the
    /// servers of the old one, or to those of --request.
    ///
    /// Examples:
    ///   tollkeeper vendor renew --key vendor.key --license line4.lic --until 2028-11-30 --out line4-2028.lic
    ///   tollkeeper vendor renew --key vendor.key --license line4.lic --add-quota 5000 --item 100955015 --out more.lic
    #[command(verbatim_doc_comment)]
    Renew(renew::RenewArgs),
    /// Take items of a license back
    ///
    /// The customer imports the revocation like a license file; from then on nobody is
    /// authorized by these items.
    ///
    /// Example:
    ///   tollkeeper vendor revoke --key vendor.key --license line4.lic --reason "Returned" --out line4.rev
    #[command(verbatim_doc_comment)]
    Revoke(revoke::RevokeArgs),
    /// Make a product key: an offline license that needs no server
    ///
    /// Prints one line, for the developer to paste into the application; several keys are
    /// separated by `;`. What is not named is permitted: any edition, any machine. A
    /// product key cannot be taken back, so let it end soon enough.
    ///
    /// Example:
    ///   tollkeeper vendor product-key --key vendor.key --product dbr --versions "9.*" --valid-to 2027-11-30 --domain example.com
    #[command(verbatim_doc_comment)]
    ProductKey(product_key::ProductKeyArgs),
    /// Verify a usage statement that a customer's server made
    ///
    /// Checks the signatures from the vendor's key down, then that the statement goes on
    /// from the one before: every day told once, nothing taken out of the journal. Needs
    /// no network and no server. Fails when anything is missing or contradicts.
    ///
    /// Example:
    ///   tollkeeper vendor verify-usage november.usage --vendor vendor.pub --previous october.usage
    #[command(verbatim_doc_comment)]
    VerifyUsage(verify_usage::VerifyUsageArgs),
}

/// Carries out a vendor's command; prints what was written and the next step.
pub fn run(command: VendorCommand, clock: &dyn Clock) -> Result<(), Failure> {
    let now = clock.now_seconds();
    let lines = match command {
        VendorCommand::Keygen { out } => keygen(&out)?,
        VendorCommand::Issue { key, items, request, out } => issue(&key, &items, request.as_deref(), &out, now)?,
        VendorCommand::Activate { key, license, request, out } => activate(&key, &license, &request, &out, now)?,
        VendorCommand::Renew(args) => renew::renew(args, now)?,
        VendorCommand::Revoke(args) => revoke::revoke(args, now)?,
        VendorCommand::ProductKey(args) => product_key::product_key(args, now)?,
        VendorCommand::VerifyUsage(args) => return verify_usage::verify_usage(&args),
    };
    output::line(lines.join("\n"));
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
    // A key without its public half is what a crash may have left: nobody has used it yet.
    let key = if private.exists() {
        SigningKey::load(&private).map_err(told)?
    } else {
        let key = SigningKey::generate();
        key.save_new(&private).map_err(told)?;
        key
    };
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
    let license = items::read_items(&text, now).map_err(|Failure(text)| Failure(format!("{}, {text}", items.display())))?;
    for warning in items::warnings(&license) {
        eprintln!("warning: {warning}");
    }
    match request {
        Some(request) => bind(license, &vendor, request, out, &[key, items, request], now),
        None => {
            write_license(&license, &vendor, out, &[key, items])?;
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
    let new = read_license(license, key, &vendor)?;
    if new.license_status != LicenseStatus::New {
        return Err(Failure(format!("{} is activated already: give the New license it was made from", license.display())));
    }
    bind(new, &vendor, request, out, &[key, license, request], now)
}

fn bind(license: License, vendor: &SigningKey, request: &Path, out: &Path, inputs: &[&Path], now: i64) -> Result<Vec<String>, Failure> {
    let servers = read_request(request)?;
    let license = license.activate(vendor, &servers, now).map_err(told)?;
    write_license(&license, vendor, out, inputs)?;
    let servers: Vec<_> = servers.iter().map(|server| format!("{} {}", server.uuid, server.name).trim_end().to_owned()).collect();
    Ok(vec![
        format!("Wrote {}: license {} ({}), Activated for organization {}", out.display(), license.license_id, license.alias, license.organization_id),
        format!("Bound to {}", servers.join(", ")),
        next_import(out),
    ])
}

/// What the customer does with a file.
fn next_import(file: &Path) -> String {
    format!("Next: send it to the customer, who runs: tollkeeper license import {}", file.file_name().map_or(file, Path::new).display())
}

/// The servers that ask to be bound.
fn read_request(path: &Path) -> Result<Vec<RequestServer>, Failure> {
    let text = files::read_text(path, request::MAX_BYTES).map_err(told)?;
    Ok(ActivationRequest::parse(&text).map_err(|error| told(error.in_file(path)))?.servers)
}

/// A license that this vendor's key, which is in the file `key`, signed.
fn read_license(path: &Path, key: &Path, vendor: &SigningKey) -> Result<License, Failure> {
    let text = files::read_text(path, license_file::MAX_BYTES).map_err(told)?;
    let file = LicenseFile::parse(&text).map_err(|error| told(error.in_file(path)))?;
    if file.kid() != vendor.kid() {
        return Err(Failure(format!("{} was signed by another key than {}: give the key it was issued with", path.display(), key.display())));
    }
    file.verify(std::slice::from_ref(vendor.verifying_key())).map_err(|error| told(error.in_file(path)))
}

/// The named items of a license, in its order; all when none is named.
fn pick<'a>(license: &'a License, named: &[ItemId]) -> Result<Vec<&'a LicenseItem>, Failure> {
    if let Some(unknown) = named.iter().find(|id| !license.items.iter().any(|item| item.item_id == **id)) {
        let known: Vec<_> = license.items.iter().map(|item| item.item_id.to_string()).collect();
        return Err(Failure(format!("license {} has no item {unknown}: it has {}", license.license_id, known.join(", "))));
    }
    Ok(license.items.iter().filter(|item| named.is_empty() || named.contains(&item.item_id)).collect())
}

/// The last second of a day, UTC.
fn end_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(LAST_MOMENT).and_utc()
}

/// The clock's time as a date.
fn time_of(now: i64) -> Result<DateTime<Utc>, Failure> {
    DateTime::from_timestamp(now, 0).ok_or_else(|| Failure("the clock shows no date; set the clock".into()))
}

fn write_license(license: &License, vendor: &SigningKey, out: &Path, inputs: &[&Path]) -> Result<(), Failure> {
    files::write_document(out, license.seal(vendor).as_bytes(), inputs).map_err(told)
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
    use super::items::tests::ITEMS;
    use super::*;
    use crate::clock::ManualClock;
    use crate::documents::load_vendor_key;
    use crate::documents::request::tests::identity;

    const NOW: i64 = 1_795_305_600;

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
}
