//! `tollkeeper backup`: copies of the database, and the way back from one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;

use super::connect::{Admin, Create, find_running, segment};
use super::output::{self, Column};
use super::{DataArg, Failure};
use crate::app::{self, App, Extent};
use crate::client::transport::Method;
use crate::clock::SystemClock;
use crate::commands::backup;
use crate::http::admin_api::backups::{BackupBody, BackupRow, BackupsAnswer, PASSPHRASE_MIN, RestoreBody};
use crate::store::snapshot::{self, Depth};

/// The commands about backups.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Make one now, check it, and print its path
    ///
    /// The server goes on meanwhile. With --passphrase-stdin a second file, FILE.key, holds the
    /// server's secret.key under the passphrase; both together can be restored on another machine.
    ///
    /// Example:
    ///   tollkeeper backup now
    ///   tollkeeper backup now --passphrase-stdin < passphrase.txt
    #[command(verbatim_doc_comment)]
    Now {
        /// Read a passphrase from standard input, and let the secrets travel with the backup
        #[arg(long)]
        passphrase_stdin: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// List them, newest first
    ///
    /// Example:
    ///   tollkeeper backup list
    #[command(verbatim_doc_comment)]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Look at every page and every fact of a backup
    ///
    /// Needs no server, only the file.
    ///
    /// Example:
    ///   tollkeeper backup verify data/backups/tollkeeper-20261125T180000Z-scheduled.db
    #[command(verbatim_doc_comment)]
    Verify {
        /// The file
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Put a backup in the place of the database
    ///
    /// It is checked first. The database of now is kept among the backups. A server that runs
    /// begins anew by itself. On another machine, in an empty data directory, give the passphrase
    /// that the backup was made with, or put that server's secret.key there before.
    ///
    /// Example:
    ///   tollkeeper backup restore data/backups/tollkeeper-20261125T180000Z-scheduled.db
    #[command(verbatim_doc_comment)]
    Restore {
        /// The file, or its name in the list
        file: PathBuf,
        /// Read the passphrase of FILE.key from standard input
        #[arg(long)]
        passphrase_stdin: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
}

/// Runs one of them.
pub fn run(command: BackupCommand) -> Result<(), Failure> {
    match command {
        BackupCommand::Now { passphrase_stdin, json, data } => make(passphrase_stdin, json, &data),
        BackupCommand::List { json, data } => list(json, &data),
        BackupCommand::Verify { file, json } => verify(&file, json),
        BackupCommand::Restore { file, passphrase_stdin, data } => put_back(&file, passphrase_stdin, &data),
    }
}

fn read_passphrase(is_asked: bool) -> Result<Option<String>, Failure> {
    if !is_asked {
        return Ok(None);
    }
    let passphrase = super::read_secret_line("passphrase")?;
    if passphrase.chars().count() < PASSPHRASE_MIN {
        return Err(Failure(format!("the passphrase is too short: give at least {PASSPHRASE_MIN} characters")));
    }
    Ok(Some(passphrase))
}

fn make(passphrase_stdin: bool, json: bool, data: &DataArg) -> Result<(), Failure> {
    let passphrase = read_passphrase(passphrase_stdin)?;
    let admin = Admin::open(data, Create::Refused)?;
    let before: BackupsAnswer = admin.get("backups")?;
    admin.tell(Method::Post, "backups", Some(&BackupBody { passphrase }))?;
    loop {
        let now: BackupsAnswer = admin.get("backups")?;
        let fresh = |row: &&BackupRow| row.reason == backup::Reason::Admin.name() && !before.files.iter().any(|known| known.name == row.name);
        if now.running.is_none() {
            if let Some(error) = now.last.and_then(|last| last.error) {
                return Err(Failure(format!("no backup was made: {error}")));
            }
            if let Some(made) = now.files.iter().find(fresh) {
                let path = Path::new(&now.directory).join(&made.name);
                if json {
                    return output::json(made);
                }
                output::line(path.display().to_string());
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn list(json: bool, data: &DataArg) -> Result<(), Failure> {
    let answer: BackupsAnswer = Admin::open(data, Create::Refused)?.get("backups")?;
    if json {
        return output::json(&answer.files);
    }
    let row = |row: &BackupRow| vec![row.made_at.clone(), row.reason.clone(), output::number(row.bytes), row.name.clone()];
    let rows: Vec<Vec<String>> = answer.files.iter().map(row).collect();
    let empty = format!("There is no backup yet in {}.", answer.directory);
    output::table(&[Column::Text("MADE"), Column::Text("WHY"), Column::Number("BYTES"), Column::Text("FILE")], &rows, &empty);
    Ok(())
}

fn verify(file: &Path, json: bool) -> Result<(), Failure> {
    let contents = snapshot::verify(file, Depth::Everything, |_, _| true).map_err(|error| Failure(format!("{}: {error}", file.display())))?;
    let heads: std::collections::BTreeMap<String, u64> = contents.heads.iter().map(|(origin, head)| (origin.to_string(), head.sequence)).collect();
    if json {
        return output::json(&serde_json::json!({"facts": contents.facts, "version": contents.version, "heads": heads}));
    }
    output::line(format!("In order: {}, every page and every link of the journal's chain was checked", output::count(contents.facts, "fact")));
    Ok(())
}

fn put_back(file: &Path, passphrase_stdin: bool, data: &DataArg) -> Result<(), Failure> {
    let passphrase = read_passphrase(passphrase_stdin)?;
    let settings = data.settings()?;
    let directory = settings.backup_directory();
    let path = if file.is_file() { file.to_owned() } else { directory.join(file) };
    if !path.is_file() {
        return Err(Failure(format!("there is no file {}: `tollkeeper backup list` names the backups", file.display())));
    }
    if find_running(&settings.data).is_some() {
        let is_here =
            std::fs::canonicalize(&path).ok().zip(std::fs::canonicalize(&directory).ok()).is_some_and(|(path, directory)| path.parent() == Some(&directory));
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !is_here {
            return Err(Failure(format!("a server runs on {}: copy the backup to {} first, or stop the server", settings.data.display(), directory.display())));
        }
        Admin::open(data, Create::Refused)?.tell(Method::Post, &format!("backups/{}/restore", segment(&name)), Some(&RestoreBody { passphrase }))?;
        output::line(format!("Restored {name}; the server begins anew with it."));
        return Ok(());
    }
    app::restore(&settings, &path, passphrase.as_deref()).map_err(|error| Failure(error.to_string()))?;
    // It counts on from above what was lost before anybody else asks it for anything.
    App::start(&settings, Arc::new(SystemClock), Extent::AdminOnly).map_err(|error| Failure(error.to_string()))?.stop_at_once();
    output::line(format!("Restored {}. Start the server.", path.display()));
    Ok(())
}
