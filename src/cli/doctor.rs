//! `tollkeeper doctor`: is this installation well, and what is to be mended?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::connect::{Admin, find_running};
use super::{DataArg, Failure, output};
use crate::clock::{Clock as _, SystemClock, rfc3339};
use crate::commands::doctor::{Finding, Level, look_at_installation, look_at_port, pack, sort};
use crate::documents::replace_file;
use crate::http::admin_api::doctor::DoctorAnswer;
use crate::settings::Settings;
use crate::store::snapshot::{self, Depth};

/// Where lines end.
const WIDTH: usize = 110;
/// What stands before the text of a finding.
const INDENT: usize = 23;
const README: &str = "Support bundle of a Tollkeeper license server, made by `tollkeeper doctor --bundle`.

doctor.txt, doctor.json  what doctor found
about.txt                version, start, time, kernel, memory, processors
settings.txt             settings; whatever is called like a secret is left out
licenses.json            the terms of the installed items, and how much is used
servers.json             this server and its partner
backups.json             which backups there are
journal.txt              number, time and hash of the last fact of each server
audit.txt                how often each kind of act was recorded
schema.sql               how the tables of the database were made

There is no password, ticket, token, private key, license key, handshake code or user's name in it,
and nothing about devices.
";

/// Flags of `doctor`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tollkeeper doctor --data /var/lib/tollkeeper\n  tollkeeper doctor --bundle support.tar.gz\n\nEnds with 0 when there is no error, else with 1."
)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Also pack what helps others to help into this file (tar.gz); no secret is in it
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// The server it is about
    #[command(flatten)]
    data: DataArg,
}

/// Looks at everything.
pub fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let mut answer = examine(args);
    let details = std::mem::take(&mut answer.details);
    if args.json {
        output::json(&answer)?;
    } else {
        output::raw(told(&answer).as_bytes());
    }
    if let Some(path) = &args.bundle {
        write_bundle(path, &answer, details)?;
        if !args.json {
            output::line(format!("\nWrote {}. Its README.txt tells what is in it; look before you send it.", path.display()));
        }
    }
    match count(&answer, Level::Error) {
        0 => Ok(()),
        errors => Err(Failure(format!("doctor found {}: see what to do above", counted(errors, "error")))),
    }
}

/// The server's own findings where one runs or can be opened, and what only shows from outside.
fn examine(args: &DoctorArgs) -> DoctorAnswer {
    let mut findings = Vec::new();
    let settings = args.data.settings().unwrap_or_else(|Failure(text)| {
        findings.push(Finding::to_mend("settings", Level::Error, text, "correct it there: the server does not start with it"));
        Settings::for_data(args.data.data.clone().unwrap_or_else(|| Settings::default().data))
    });
    let is_running = find_running(&settings.data).is_some();
    if is_running {
        findings.push(Finding::told("server", Level::Ok, "runs and answers"));
    } else {
        look_from_outside(&settings, &mut findings);
    }
    let question = if args.bundle.is_some() { "doctor?details=true" } else { "doctor" };
    let is_there = settings.data.join("tollkeeper.db").exists();
    let asked = is_there.then(|| Admin::of(&settings).and_then(|admin| admin.get::<DoctorAnswer>(question)));
    let mut answer = match asked {
        Some(Ok(answer)) => answer,
        failed => {
            if settings.data.exists() {
                findings.extend(look_at_installation(&settings.data));
            }
            if let Some(Err(Failure(text))) = failed {
                findings.push(Finding::to_mend("server", Level::Error, format!("it cannot start: {text}"), "mend what that says, or restore a backup"));
            }
            let version = env!("CARGO_PKG_VERSION").to_owned();
            DoctorAnswer { version, checked_at: rfc3339(SystemClock.now_seconds()), ..DoctorAnswer::default() }
        }
    };
    answer.findings.splice(0..0, findings);
    sort(&mut answer.findings);
    answer
}

/// What can be looked at only while no server runs: ports, and every page of the database.
fn look_from_outside(settings: &Settings, findings: &mut Vec<Finding>) {
    let database = settings.data.join("tollkeeper.db");
    if !database.exists() {
        let text = format!("there is no installation in {}", settings.data.display());
        findings.push(Finding::to_mend("server", Level::Error, text, "start one with `tollkeeper serve`, or name another directory with --data"));
        return;
    }
    findings.push(Finding::to_mend("server", Level::Note, "does not run", "`tollkeeper serve`, or start its service"));
    let addresses = [settings.listen_addresses(), settings.http_addresses()];
    for found in addresses {
        match found {
            Ok(addresses) => findings.extend(addresses.into_iter().filter(|address| address.port() != 0).map(look_at_port)),
            Err(error) => findings.push(Finding::to_mend("ports", Level::Error, error.to_string(), "correct the setting")),
        }
    }
    findings.push(match snapshot::verify(&database, Depth::Pages, |_, _| true) {
        Ok(contents) => Finding::told("database", Level::Ok, format!("every page and every link of its {} facts was checked", contents.facts)),
        Err(error) => Finding::to_mend("database", Level::Error, error.to_string(), "restore a backup: `tollkeeper backup list`, `tollkeeper backup restore`"),
    });
}

fn count(answer: &DoctorAnswer, level: Level) -> usize {
    answer.findings.iter().filter(|finding| finding.level == level).count()
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// For people: a line a finding, what to do below it.
fn told(answer: &DoctorAnswer) -> String {
    let server = if answer.server_uuid.is_empty() { String::new() } else { format!(", server {}", answer.server_uuid) };
    let mut text = format!("Tollkeeper {}{server}, {}\n\n", answer.version, answer.checked_at);
    for Finding { area, level, text: what, advice } in &answer.findings {
        let head = format!("  {:<8} {area:<12}", level.name());
        wrap(&mut text, &head, what);
        if let Some(advice) = advice {
            wrap(&mut text, &" ".repeat(INDENT), &format!("→ {advice}"));
        }
    }
    let (errors, warnings) = (count(answer, Level::Error), count(answer, Level::Warning));
    text += &match (errors, warnings) {
        (0, 0) => "\nAll is well.\n".to_owned(),
        _ => format!("\n{}, {}.\n", counted(errors, "error"), counted(warnings, "warning")),
    };
    text
}

/// Adds words after `head`, in lines that end before [`WIDTH`].
fn wrap(text: &mut String, head: &str, words: &str) {
    let mut line = format!("{head:<INDENT$}");
    let mut is_begun = false;
    for word in words.split_whitespace() {
        if is_begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(line.trim_end());
            text.push('\n');
            line = " ".repeat(INDENT);
            is_begun = false;
        }
        if is_begun {
            line.push(' ');
        }
        line.push_str(word);
        is_begun = true;
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

fn write_bundle(path: &Path, answer: &DoctorAnswer, details: BTreeMap<String, String>) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure(format!("{} cannot be written: {error}", path.display()));
    let json = serde_json::to_string_pretty(answer).map_err(|error| failed(&error))?;
    let mut files = vec![("README.txt".to_owned(), README.to_owned()), ("doctor.txt".to_owned(), told(answer)), ("doctor.json".to_owned(), json)];
    files.extend(details);
    let packed = pack("tollkeeper-support", &files, SystemClock.now_seconds()).map_err(|error| failed(&error))?;
    replace_file(path, &packed, 0o600).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_aligned_and_wrapped() {
        let finding = Finding::to_mend("disk", Level::Warning, "word ".repeat(30), "make room");
        let answer = DoctorAnswer { version: "1".to_owned(), checked_at: "now".to_owned(), findings: vec![finding], ..DoctorAnswer::default() };
        let text = told(&answer);
        assert!(text.starts_with("Tollkeeper 1, now\n\n  warning  disk        word word"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("\n                       word") && text.contains("\n                       → make room\n"), "{text}");
        assert!(text.ends_with("\n0 errors, 1 warning.\n"), "{text}");
    }
}
