//! `tollkeeper license`: request an activation, import what comes back, see what is there.

use std::path::PathBuf;

use clap::Subcommand;

use super::connect::{Admin, Create};
use super::output::{self, Column};
use super::{DataArg, Failure, license_show};
use crate::client::transport::Method;
use crate::commands::revoke_license::Revoked;
use crate::documents::license_file::MAX_BYTES;
use crate::documents::{VerifyingKey, files, load_vendor_dir, load_vendor_key};
use crate::http::admin_api::licenses::{ImportAnswer, ImportRequest, LicenseRow};

/// The commands about licenses.
#[derive(Debug, Subcommand)]
pub enum LicenseCommand {
    /// Write this server's activation request, for the vendor
    ///
    /// Example:
    ///   tollkeeper license request --data /var/lib/tollkeeper --out site.req
    #[command(verbatim_doc_comment)]
    Request {
        /// File to write; without it the request is printed
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Import a license file that the vendor activated for this server
    ///
    /// Makes a handshake code of its own for the items, or puts them into the code that
    /// --into names: applications that use it notice nothing. Importing a file twice
    /// changes nothing.
    ///
    /// Example:
    ///   tollkeeper license import renewal.lic --into 216998-line4
    #[command(verbatim_doc_comment)]
    Import {
        /// The license file
        file: PathBuf,
        /// Handshake code that shall get the items
        #[arg(long, value_name = "CODE")]
        into: Option<String>,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// List licenses and their items with what is used
    ///
    /// Example:
    ///   tollkeeper license list --json
    #[command(verbatim_doc_comment)]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Show what a license file contains; needs no server
    ///
    /// Shows revocations and usage statements as well.
    ///
    /// Example:
    ///   tollkeeper license show renewal.lic
    #[command(verbatim_doc_comment)]
    Show {
        /// The license file, revocation or usage statement
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
}

/// Runs one of them.
pub fn run(command: LicenseCommand) -> Result<(), Failure> {
    match command {
        LicenseCommand::Request { out, data } => {
            let text = Admin::open(&data, Create::Allowed)?.get_text("request")?;
            match out {
                None => output::raw(text.as_bytes()),
                Some(path) => {
                    files::write_document(&path, text.as_bytes(), &[]).map_err(|error| Failure(error.to_string()))?;
                    output::line(format!(
                        "Wrote {}. Send it to your vendor; import the file that comes back with `tollkeeper license import FILE`.",
                        path.display()
                    ));
                }
            }
            Ok(())
        }
        LicenseCommand::Import { file, into, data } => import(&file, into, &data),
        LicenseCommand::List { json, data } => list(json, &data),
        LicenseCommand::Show { file, json, data } => license_show::show(&file, &trusted_vendors(&data)?, json),
    }
}

fn import(path: &std::path::Path, into: Option<String>, data: &DataArg) -> Result<(), Failure> {
    let file = files::read_text(path, MAX_BYTES).map_err(|error| Failure(error.in_file(path).to_string()))?;
    let admin = Admin::open(data, Create::Refused)?;
    let answer = admin.change(Method::Post, "licenses", Some(&ImportRequest { file, into, ..ImportRequest::default() }));
    let imported = match answer.map_err(|Failure(text)| Failure(format!("{}: {text}", path.display())))? {
        ImportAnswer::License(imported) => imported,
        ImportAnswer::Revoked(revoked) => {
            tell_revoked(&revoked);
            return Ok(());
        }
    };
    if imported.was_installed {
        output::line(format!("License {} was installed already; nothing changed in it.", imported.license_id));
    } else {
        output::line(format!(
            "Imported license {} ({}) of organization {} with {} item{}.",
            imported.license_id,
            imported.alias,
            imported.organization_id,
            imported.items,
            if imported.items == 1 { "" } else { "s" }
        ));
    }
    if !imported.renewed.is_empty() {
        output::line(format!("Renewed {}: applications go on without any change.", imported.renewed.join(", ")));
    }
    if let Some(code) = imported.handshake_code {
        output::line(format!("Applications use it with handshake code {code}; `tollkeeper handshake key {code}` prints the license key to paste into them."));
    }
    Ok(())
}

fn tell_revoked(revoked: &Revoked) {
    let items: Vec<String> = revoked.revoked_items.iter().map(u64::to_string).collect();
    if revoked.was_installed {
        output::line(format!("Items {} of license {} were revoked already; nothing changed.", items.join(", "), revoked.license_id));
    } else {
        output::line(format!(
            "Revoked items {} of license {}: devices are refused with 113 when they next ask; what they were given before works to its end.",
            items.join(", "),
            revoked.license_id
        ));
    }
}

fn list(json: bool, data: &DataArg) -> Result<(), Failure> {
    let licenses: Vec<LicenseRow> = Admin::open(data, Create::Refused)?.get("licenses")?;
    if json {
        return output::json(&licenses);
    }
    let columns = [
        Column::Number("LICENSE"),
        Column::Number("ITEM"),
        Column::Text("PRODUCT"),
        Column::Text("CHARGED BY"),
        Column::Number("USED"),
        Column::Number("QUOTA"),
        Column::Number("GRACE LEFT"),
        Column::Number("OVERUSE"),
        Column::Text("FROM"),
        Column::Text("TO"),
        Column::Text("STATUS"),
    ];
    let day = |time: &str| time.get(..10).unwrap_or(time).to_owned();
    let rows: Vec<Vec<String>> = licenses
        .iter()
        .flat_map(|license| license.items.iter().map(move |item| (license, item)))
        .map(|(license, item)| {
            vec![
                license.license_id.to_string(),
                item.item_id.to_string(),
                item.product.clone(),
                item.charge_way.clone(),
                output::number(item.used),
                output::number(item.quota),
                output::number(item.grace_left),
                output::number(item.overuse),
                day(&item.valid_from),
                day(&item.valid_to),
                item.status.replace('_', " "),
            ]
        })
        .collect();
    output::table(
        &columns,
        &rows,
        "No license is installed. Make a request with `tollkeeper license request`, send it to your vendor, import what comes back.",
    );
    Ok(())
}

fn trusted_vendors(data: &DataArg) -> Result<Vec<VerifyingKey>, Failure> {
    let settings = data.settings()?;
    let failed = |error: crate::documents::Error| Failure(error.to_string());
    let mut vendors = load_vendor_dir(&settings.data.join("vendors")).map_err(failed)?;
    for path in &settings.trusted_vendors {
        vendors.push(load_vendor_key(path).map_err(failed)?);
    }
    Ok(vendors)
}
