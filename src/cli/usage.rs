//! `tollkeeper usage`: what was used.

use chrono::NaiveDate;
use clap::Subcommand;

use super::connect::{Admin, Create, segment};
use super::output::{self, Column};
use super::{DataArg, Failure};
use crate::http::admin_api::statistics::UsageRow;

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
}

/// Runs it.
pub fn run(command: UsageCommand) -> Result<(), Failure> {
    let UsageCommand::Show { handshake, item, from, to, json, data } = command;
    let question: Vec<String> = [
        handshake.map(|code| format!("handshake={}", segment(&code))),
        item.map(|item| format!("item={item}")),
        from.map(|day| format!("from={day}")),
        to.map(|day| format!("to={day}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let usage: UsageRow = Admin::open(&data, Create::Refused)?.get(&format!("statistics?{}", question.join("&")))?;
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
