//! `tollkeeper alert`: what is wrong, what was told, and whether that gets out.

use clap::{Subcommand, ValueEnum};

use super::connect::{Admin, Create};
use super::output::{self, Column};
use super::{DataArg, Failure};
use crate::client::transport::Method;
use crate::http::admin_api::alerts::{AlertRow, AlertsAnswer, Severity, TestBody, TestRow, ToldRow};

/// The commands about alerts.
#[derive(Debug, Subcommand)]
pub enum AlertCommand {
    /// List what is over a threshold or wrong now, or what was told before
    ///
    /// Examples:
    ///   tollkeeper alert list
    ///   tollkeeper alert list --history
    #[command(verbatim_doc_comment)]
    List {
        /// What was told, newest first
        #[arg(long)]
        history: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Send a test by every way that is switched on, and print what the other side answers
    ///
    /// Mail, webhook and syslog are set up on the page 'Alerts'. The status is 1 when one of them fails.
    ///
    /// Examples:
    ///   tollkeeper alert test
    ///   tollkeeper alert test --way mail
    #[command(verbatim_doc_comment)]
    Test {
        /// Only this way
        #[arg(long)]
        way: Option<WayArg>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
}

/// A way by which alerts leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WayArg {
    /// E-mail
    Mail,
    /// HTTP to a program of the site
    Webhook,
    /// The site's log
    Syslog,
}

/// Runs one of them.
pub fn run(command: AlertCommand) -> Result<(), Failure> {
    match command {
        AlertCommand::List { history: false, json, data } => list(json, &data),
        AlertCommand::List { history: true, json, data } => history(json, &data),
        AlertCommand::Test { way, json, data } => test(way, json, &data),
    }
}

fn cells(alert: AlertRow) -> [String; 3] {
    let presses = if alert.severity == Severity::Urgent { "urgent" } else { "soon" };
    let about = alert.item_id.map(|id| format!("item {id}")).or(alert.handshake_code).unwrap_or_else(|| "server".to_owned());
    [presses.to_owned(), about, alert.text]
}

const COLUMNS: [Column; 3] = [Column::Text("PRESSES"), Column::Text("ABOUT"), Column::Text("HOW IT STANDS")];

fn list(json: bool, data: &DataArg) -> Result<(), Failure> {
    let answer: AlertsAnswer = Admin::open(data, Create::Refused)?.get("alerts")?;
    if json {
        return output::json(&answer);
    }
    let rows: Vec<_> = answer.current.into_iter().map(|alert| cells(alert).to_vec()).collect();
    output::table(&COLUMNS, &rows, "All is well: nothing is over a threshold.");
    for way in answer.ways.iter().filter(|way| way.on && way.is_failing()) {
        output::line(format!("Alerts do not leave by {}: {}", way.way, way.error));
    }
    Ok(())
}

fn history(json: bool, data: &DataArg) -> Result<(), Failure> {
    let told: Vec<ToldRow> = Admin::open(data, Create::Refused)?.get("alerts/history")?;
    if json {
        return output::json(&told);
    }
    let rows: Vec<_> = told.into_iter().map(|row| [vec![row.at], cells(row.alert).to_vec()].concat()).collect();
    output::table(&[&[Column::Text("TOLD")], &COLUMNS[..]].concat(), &rows, "Nothing was told yet.");
    Ok(())
}

fn test(way: Option<WayArg>, json: bool, data: &DataArg) -> Result<(), Failure> {
    let name = |way: WayArg| way.to_possible_value().map(|value| value.get_name().to_owned());
    let body = TestBody { way: way.and_then(name) };
    let rows: Vec<TestRow> = Admin::open(data, Create::Refused)?.change(Method::Post, "alerts/test", Some(&body))?;
    if json {
        output::json(&rows)?;
    } else {
        for row in rows.iter().filter(|row| row.ok) {
            output::line(format!("{}: {}", row.way, row.answer));
        }
    }
    let failed: Vec<_> = rows.iter().filter(|row| !row.ok).map(|row| format!("the test by {} failed: {}", row.way, row.answer)).collect();
    if failed.is_empty() { Ok(()) } else { Err(Failure(failed.join("; "))) }
}
