//! `tollkeeper usage`: what was used.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::Subcommand;

use super::connect::{Admin, Create, segment};
use super::output::{self, Column};
use super::{DataArg, Failure};
use crate::client::transport::Method;
use crate::documents::files;
use crate::http::admin_api::statistics::{StatementAnswer, StatementRequest, UsageRow};
use crate::licensing::OrganizationId;

/// The commands about use.
#[derive(Debug, Subcommand)]
pub enum UsageCommand {
    /// Show what was used, in all or under one handshake code or item
    ///
    /// Days are UTC; both ends are included.
    ///
    /// Example:
    ///   tollkeeper usage show --handshake 216998-line4 --from 2026-11-01 --to 2026-11-30
    #[command(verbatim_doc_comment)]
    Show {
        /// Only this handshake code
        #[arg(long, value_name = "CODE")]
        handshake: Option<String>,
        /// Only this item
        #[arg(long, value_name = "ID", conflicts_with = "handshake")]
        item: Option<u64>,
        /// First day, such as 2026-11-01
        #[arg(long, value_name = "DATE")]
        from: Option<NaiveDate>,
        /// Last day
        #[arg(long, value_name = "DATE")]
        to: Option<NaiveDate>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Write a signed usage statement for the vendor
    ///
    /// It states what every item used in these days (UTC, both included), and where the
    /// journal stands. Each names the one before it, so that the vendor sees a gap. The vendor
    /// checks it with `vendor verify-usage`.
    ///
    /// Example:
    ///   tollkeeper usage statement --from 2026-10-01 --to 2026-10-31 --out october.usage
    #[command(verbatim_doc_comment)]
    Statement {
        /// First day, such as 2026-10-01
        #[arg(long, value_name = "DATE")]
        from: NaiveDate,
        /// Last day
        #[arg(long, value_name = "DATE")]
        to: NaiveDate,
        /// The organization, where the server holds several
        #[arg(long, value_name = "ID")]
        organization: Option<OrganizationId>,
        /// The key (kid) of the vendor, where the organization has licenses of several
        #[arg(long, value_name = "KID")]
        vendor: Option<String>,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
}

/// Runs one of them.
pub fn run(command: UsageCommand) -> Result<(), Failure> {
    match command {
        UsageCommand::Show { handshake, item, from, to, json, data } => show(handshake, item, from, to, json, &data),
        UsageCommand::Statement { from, to, organization, vendor, out, data } => {
            // A statement that is made and then lost would be missed by the vendor.
            files::check_document_target(&out).map_err(|error| Failure(error.to_string()))?;
            let request = StatementRequest { from, to, organization_id: organization, vendor };
            let answer: StatementAnswer = Admin::open(&data, Create::Refused)?.change(Method::Post, "statistics/statements", Some(&request))?;
            files::write_document(&out, answer.file.as_bytes(), &[]).map_err(|error| Failure(error.to_string()))?;
            output::line(format!(
                "Wrote {}. Send it to your vendor, who checks it with `tollkeeper vendor verify-usage {} --vendor vendor.pub`.",
                out.display(),
                out.display()
            ));
            Ok(())
        }
    }
}

fn show(handshake: Option<String>, item: Option<u64>, from: Option<NaiveDate>, to: Option<NaiveDate>, json: bool, data: &DataArg) -> Result<(), Failure> {
    let question: Vec<String> = [
        handshake.map(|code| format!("handshake={}", segment(&code))),
        item.map(|item| format!("item={item}")),
        from.map(|day| format!("from={day}")),
        to.map(|day| format!("to={day}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let usage: UsageRow = Admin::open(data, Create::Refused)?.get(&format!("statistics?{}", question.join("&")))?;
    if json {
        return output::json(&usage);
    }
    let mut rows: Vec<Vec<String>> = usage.by_type.iter().map(|(name, units)| vec![name.clone(), output::number(*units)]).collect();
    rows.push(vec!["total".to_owned(), output::number(usage.total)]);
    output::table(&[Column::Text("TYPE"), Column::Number("UNITS")], &rows, "");
    output::line(format!(
        "{} {} reported use; authorizations: {} granted, {} refused.",
        output::number(usage.devices),
        if usage.devices == 1 { "device" } else { "devices" },
        output::number(usage.authorizations.granted),
        output::number(usage.authorizations.refused)
    ));
    Ok(())
}
