//! `tollkeeper device`: devices and the seats they hold.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::connect::{Admin, Create};
use super::output::{self, Column};
use super::{DataArg, Failure};
use crate::client::transport::Method;
use crate::documents::{carried, files};
use crate::http::admin_api::carried::{CarriedAnswer, CarriedReports, CarriedRequest, TakenReports};
use crate::http::admin_api::devices::{DeviceRow, PAGE_MAX, RefusalRow, Released};
use crate::licensing::ClientUuid;

/// The commands about devices.
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// List devices with the seats they hold
    ///
    /// Example:
    ///   tollkeeper device list --json
    #[command(verbatim_doc_comment)]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Say why a device was refused: what every item permits against what it asked for
    ///
    /// Refusals are kept for 30 days, the last 20 of each device. Without a UUID: the latest
    /// of all devices.
    ///
    /// Example:
    ///   tollkeeper device why 6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88
    #[command(verbatim_doc_comment)]
    Why {
        /// The device
        uuid: Option<ClientUuid>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Free the seat that a device holds of an item
    ///
    /// The item limits how often this may be done by hand; seats of idle devices free
    /// themselves.
    ///
    /// Example:
    ///   tollkeeper device release 6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88 --item 100000002
    #[command(verbatim_doc_comment)]
    Release {
        /// The device
        uuid: ClientUuid,
        /// The item
        #[arg(long, value_name = "ID")]
        item: u64,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Answer the request file of a device that has no network
    ///
    /// The device's application writes the file, or shows it as a QR code whose text may be in
    /// the file. The same checks, seats and charges as over the network. Carry the answer back.
    ///
    /// Example:
    ///   tollkeeper device authorize-file request.txt --out authorization.txt
    #[command(verbatim_doc_comment)]
    AuthorizeFile {
        /// The request file
        file: PathBuf,
        /// Where to write the authorization
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Take the use that a device without network reports in a file
    ///
    /// Taking the same file twice changes nothing. With the receipt the device knows what it need not
    /// keep any more.
    ///
    /// Example:
    ///   tollkeeper device import-reports reports.txt --out receipt.txt
    #[command(verbatim_doc_comment)]
    ImportReports {
        /// The report file
        file: PathBuf,
        /// Where to write the receipt for the device
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Let a device in again that was refused as a clone (151)
    ///
    /// For a device that was restored from a backup. If two machines really share the
    /// UUID, give one of them its own instead.
    ///
    /// Example:
    ///   tollkeeper device reset 6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88
    #[command(verbatim_doc_comment)]
    Reset {
        /// The device
        uuid: ClientUuid,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
}

/// Runs one of them.
pub fn run(command: DeviceCommand) -> Result<(), Failure> {
    match command {
        DeviceCommand::List { json, data } => list(json, &data),
        DeviceCommand::Why { uuid, json, data } => why(uuid, json, &data),
        DeviceCommand::Release { uuid, item, data } => {
            let released: Released = Admin::open(&data, Create::Refused)?.change(Method::Delete, &format!("devices/{}/seats/{item}", uuid), None::<&()>)?;
            output::line(format!("Freed the seat of {uuid}. Item {item} allows {} more releases by hand.", released.releases_left));
            Ok(())
        }
        DeviceCommand::AuthorizeFile { file, out, data } => authorize_file(&file, &out, &data),
        DeviceCommand::ImportReports { file, out, json, data } => import_reports(&file, out.as_deref(), json, &data),
        DeviceCommand::Reset { uuid, data } => {
            Admin::open(&data, Create::Refused)?.tell(Method::Post, &format!("devices/{}/reset", uuid), None::<&()>)?;
            output::line(format!("Reset {uuid}: its next request is let in whatever ticket it shows."));
            Ok(())
        }
    }
}

fn authorize_file(file: &Path, out: &Path, data: &DataArg) -> Result<(), Failure> {
    let told = |error: crate::documents::Error| Failure(error.to_string());
    let request = files::read_text(file, carried::MAX_BYTES).map_err(told)?;
    // A seat must not be taken for an authorization that cannot be written.
    files::check_document_target(out).map_err(told)?;
    let answer: CarriedAnswer = Admin::open(data, Create::Refused)?.change(Method::Post, "devices/authorize", Some(&CarriedRequest { request }))?;
    files::write_document(out, answer.authorization.as_bytes(), &[file]).map_err(told)?;
    output::line(format!("Authorized {} until {}. Carry {} to the device.", answer.client_uuid, answer.expires_at, out.display()));
    Ok(())
}

fn import_reports(file: &Path, out: Option<&Path>, json: bool, data: &DataArg) -> Result<(), Failure> {
    let told = |error: crate::documents::Error| Failure(error.to_string());
    let reports = files::read_text(file, carried::MAX_BYTES).map_err(told)?;
    if let Some(out) = out {
        files::check_document_target(out).map_err(told)?;
    }
    let taken: TakenReports = Admin::open(data, Create::Refused)?.change(Method::Post, "devices/reports", Some(&CarriedReports { reports }))?;
    if let Some(out) = out {
        files::write_document(out, taken.receipt.as_bytes(), &[file]).map_err(told)?;
    }
    if json {
        return output::json(&taken);
    }
    output::line(format!(
        "Took {} of {}; {} were here already, {} were not taken.",
        output::count(taken.accepted as u64, "report"),
        taken.client_uuid,
        taken.duplicate,
        taken.rejected.len()
    ));
    for rejected in taken.rejected {
        output::line(format!("  {}: {} {}", rejected.report_id, rejected.code, rejected.detail));
    }
    if let Some(out) = out {
        output::line(format!("Carry {} to the device.", out.display()));
    }
    Ok(())
}

fn list(json: bool, data: &DataArg) -> Result<(), Failure> {
    let admin = Admin::open(data, Create::Refused)?;
    let mut devices: Vec<DeviceRow> = Vec::new();
    loop {
        let after = devices.last().map(|device| format!("?after={}", device.client_uuid)).unwrap_or_default();
        let page: Vec<DeviceRow> = admin.get(&format!("devices{after}"))?;
        let is_last = page.len() < PAGE_MAX;
        devices.extend(page);
        if is_last {
            break;
        }
    }
    if json {
        return output::json(&devices);
    }
    let rows: Vec<Vec<String>> = devices
        .iter()
        .map(|device| {
            let seats: Vec<String> = device.seats.iter().map(|seat| format!("{} until {}", seat.item_id, seat.active_until)).collect();
            let refused = device.refusals.first().map_or_else(String::new, |refusal| format!("{} at {}", refusal.code, refusal.at));
            vec![device.client_uuid.clone(), device.first_seen.clone(), device.last_seen.clone(), seats.join(", "), refused]
        })
        .collect();
    output::table(
        &[Column::Text("DEVICE"), Column::Text("FIRST SEEN"), Column::Text("LAST SEEN"), Column::Text("SEATS"), Column::Text("REFUSED")],
        &rows,
        "No device asked yet.",
    );
    Ok(())
}

fn why(device: Option<ClientUuid>, json: bool, data: &DataArg) -> Result<(), Failure> {
    let path = device.map_or_else(|| "refusals".to_owned(), |uuid| format!("devices/{uuid}/refusals"));
    let refusals: Vec<RefusalRow> = Admin::open(data, Create::Refused)?.get(&path)?;
    if json {
        return output::json(&refusals);
    }
    if refusals.is_empty() {
        output::line("No refusal in the last 30 days.");
    }
    for refusal in refusals {
        let asked = if refusal.asked.is_empty() { "nothing".to_owned() } else { format!("'{}'", refusal.asked) };
        let under = refusal.handshake_code.map_or_else(|| format!("naming {asked}"), |code| format!("under {code}"));
        let whose = if device.is_some() { String::new() } else { format!(" {}", refusal.client_uuid) };
        output::line(format!("{}{whose} {under}: {} {}", refusal.at, refusal.code, refusal.detail));
        for tried in refusal.tried {
            output::line(format!(
                "  item {}: {} {}: permitted is {}, asked for or found was {}",
                tried.item_id, tried.code, tried.reason, tried.expected, tried.given
            ));
        }
    }
    Ok(())
}
