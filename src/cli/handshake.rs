//! `tollkeeper handshake`: handshake codes.

use std::io::BufRead as _;

use clap::{ArgGroup, Args, Subcommand};

use super::connect::{Admin, Create, segment};
use super::output::{self, Column};
use super::{DataArg, Failure};
use crate::client::transport::Method;
use crate::http::admin_api::handshakes::{HandshakeBody, HandshakeRow, OrderBody};

/// The commands about handshake codes.
#[derive(Debug, Subcommand)]
pub enum HandshakeCommand {
    /// Add a handshake code
    ///
    /// Example:
    ///   tollkeeper handshake add 216998-line4 --items 100000001,100000002 --process-name scanner.exe
    #[command(verbatim_doc_comment)]
    Add {
        /// {organization ID}-{custom string}
        code: String,
        /// Items it leads to, separated by commas
        #[arg(long, value_name = "ID,ID", value_delimiter = ',', required = true)]
        items: Vec<u64>,
        /// Validation fields
        #[command(flatten)]
        fields: Fields,
        /// Read the session password from standard input
        #[arg(long)]
        session_password_stdin: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// List handshake codes
    ///
    /// Example:
    ///   tollkeeper handshake list --json
    #[command(verbatim_doc_comment)]
    List {
        /// Print JSON, license keys included
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Change a handshake code; what is not named stays as it is
    ///
    /// Example:
    ///   tollkeeper handshake edit 216998-line4 --rename 216998-line5 --no-process-names
    #[command(verbatim_doc_comment)]
    Edit(Box<EditArgs>),
    /// Delete a handshake code; its history stays
    ///
    /// Example:
    ///   tollkeeper handshake delete 216998-line4
    #[command(verbatim_doc_comment)]
    Delete {
        /// The code
        code: String,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Print the license key to paste into an application
    ///
    /// Example:
    ///   tollkeeper handshake key 216998-line4
    #[command(verbatim_doc_comment)]
    Key {
        /// The code
        code: String,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Use a code's items in this order, or go back to the default order
    ///
    /// Example:
    ///   tollkeeper handshake order 216998-line4 --items 100000002,100000001
    #[command(verbatim_doc_comment)]
    Order {
        /// The code
        code: String,
        /// Items, first used first
        #[arg(long, value_name = "ID,ID", value_delimiter = ',', required_unless_present = "default_order")]
        items: Vec<u64>,
        /// Nearest expiry, then most specific, then least restrictive
        #[arg(long, conflicts_with = "items")]
        default_order: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Make a code the default of its organization
    ///
    /// Example:
    ///   tollkeeper handshake default 216998-line4
    #[command(verbatim_doc_comment)]
    Default {
        /// The code
        code: String,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
}

/// Validation fields. A request must match one of them, if there are any.
#[derive(Debug, Args)]
pub struct Fields {
    /// Website domain, such as scan.example.com or *.example.com; may be repeated
    #[arg(long = "domain", value_name = "D")]
    domains: Vec<String>,
    /// Application id, such as com.example.scanner; may be repeated
    #[arg(long = "application-id", value_name = "A")]
    application_ids: Vec<String>,
    /// Process name, such as scanner.exe; may be repeated
    #[arg(long = "process-name", value_name = "P")]
    process_names: Vec<String>,
}

/// What `handshake edit` can change: at least one of them is named.
const CHANGES: [&str; 11] = [
    "rename",
    "items",
    "domains",
    "no_domains",
    "application_ids",
    "no_application_ids",
    "process_names",
    "no_process_names",
    "session_password_stdin",
    "no_session_password",
    "remove_aliases",
];

/// Flags of `handshake edit`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").required(true).multiple(true).args(CHANGES)), override_usage = "tollkeeper handshake edit [OPTIONS] <CODE>")]
pub struct EditArgs {
    /// The code
    code: String,
    /// New name; the old one goes on as an alias
    #[arg(long, value_name = "CODE")]
    rename: Option<String>,
    /// Items it leads to, instead of those it has
    #[arg(long, value_name = "ID,ID", value_delimiter = ',')]
    items: Option<Vec<u64>>,
    #[command(flatten)]
    fields: Fields,
    /// Remove all domains
    #[arg(long, conflicts_with = "domains")]
    no_domains: bool,
    /// Remove all application ids
    #[arg(long, conflicts_with = "application_ids")]
    no_application_ids: bool,
    /// Remove all process names
    #[arg(long, conflicts_with = "process_names")]
    no_process_names: bool,
    /// Read a new session password from standard input
    #[arg(long)]
    session_password_stdin: bool,
    /// Remove the session password
    #[arg(long, conflicts_with = "session_password_stdin")]
    no_session_password: bool,
    /// An old name that shall no longer lead here; may be repeated
    #[arg(long = "remove-alias", value_name = "CODE")]
    remove_aliases: Vec<String>,
    #[command(flatten)]
    data: DataArg,
}

/// Runs one of them.
pub fn run(command: HandshakeCommand) -> Result<(), Failure> {
    let path = |code: &str| format!("handshakes/{}", segment(code));
    match command {
        HandshakeCommand::Add { code, items, fields, session_password_stdin, data } => {
            let body = HandshakeBody {
                handshake_code: Some(code),
                items: Some(items),
                domains: Some(fields.domains),
                application_ids: Some(fields.application_ids),
                process_names: Some(fields.process_names),
                session_password: read_password(session_password_stdin)?,
                ..HandshakeBody::default()
            };
            let row: HandshakeRow = Admin::open(&data, Create::Refused)?.change(Method::Post, "handshakes", Some(&body))?;
            told("Added", &row)
        }
        HandshakeCommand::List { json, data } => list(json, &data),
        HandshakeCommand::Edit(args) => {
            let list = |values: Vec<String>, none: bool| if none { Some(vec![]) } else { Some(values).filter(|values| !values.is_empty()) };
            let body = HandshakeBody {
                handshake_code: args.rename,
                items: args.items,
                domains: list(args.fields.domains, args.no_domains),
                application_ids: list(args.fields.application_ids, args.no_application_ids),
                process_names: list(args.fields.process_names, args.no_process_names),
                session_password: read_password(args.session_password_stdin)?,
                remove_session_password: args.no_session_password,
                remove_aliases: args.remove_aliases,
            };
            let row: HandshakeRow = Admin::open(&args.data, Create::Refused)?.change(Method::Patch, &path(&args.code), Some(&body))?;
            told("Changed", &row)
        }
        HandshakeCommand::Delete { code, data } => {
            Admin::open(&data, Create::Refused)?.tell(Method::Delete, &path(&code), None::<&()>)?;
            output::line(format!("Deleted {code}. Its history stays; applications that use it are refused with 101 at their next authorization."));
            Ok(())
        }
        HandshakeCommand::Key { code, data } => {
            let row: HandshakeRow = Admin::open(&data, Create::Refused)?.get(&path(&code))?;
            output::line(row.license_key);
            Ok(())
        }
        HandshakeCommand::Order { code, items, default_order, data } => {
            let body = OrderBody { items: (!default_order).then_some(items) };
            let row: HandshakeRow = Admin::open(&data, Create::Refused)?.change(Method::Put, &format!("{}/order", path(&code)), Some(&body))?;
            output::line(format!("{} uses its items in this order: {}", row.handshake_code, join(&row.items)));
            Ok(())
        }
        HandshakeCommand::Default { code, data } => {
            let row: HandshakeRow = Admin::open(&data, Create::Refused)?.change(Method::Put, &format!("{}/default", path(&code)), None::<&()>)?;
            output::line(format!("{} is the default of organization {}.", row.handshake_code, row.organization_id));
            Ok(())
        }
    }
}

fn told(what: &str, row: &HandshakeRow) -> Result<(), Failure> {
    output::line(format!("{what} {} with items {}.", row.handshake_code, join(&row.items)));
    output::line(format!("License key: {}", row.license_key));
    Ok(())
}

fn list(json: bool, data: &DataArg) -> Result<(), Failure> {
    let codes: Vec<HandshakeRow> = Admin::open(data, Create::Refused)?.get("handshakes")?;
    if json {
        return output::json(&codes);
    }
    let columns = [
        Column::Text("CODE"),
        Column::Text("DEFAULT"),
        Column::Text("ITEMS, FIRST USED FIRST"),
        Column::Text("ORDER"),
        Column::Text("PASSWORD"),
        Column::Text("VALIDATION"),
    ];
    let rows: Vec<Vec<String>> = codes
        .iter()
        .map(|code| {
            let fields: Vec<&str> = [&code.domains, &code.application_ids, &code.process_names].into_iter().flatten().map(String::as_str).collect();
            vec![
                code.handshake_code.clone(),
                if code.default { "*" } else { "" }.to_owned(),
                join(&code.items),
                code.order.clone(),
                if code.has_session_password { "yes" } else { "no" }.to_owned(),
                fields.join(" "),
            ]
        })
        .collect();
    output::table(&columns, &rows, "There is no handshake code. Importing a license makes one.");
    Ok(())
}

fn join(items: &[u64]) -> String {
    items.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}

fn read_password(wanted: bool) -> Result<Option<String>, Failure> {
    if !wanted {
        return Ok(None);
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| Failure(format!("the session password cannot be read from standard input: {error}")))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure("no session password came on standard input: send it as one line".to_owned()));
    }
    Ok(Some(password.to_owned()))
}
