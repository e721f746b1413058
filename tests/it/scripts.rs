//! Runs `tests/scripts/*.txt`: transcripts of a terminal that a support engineer can read,
//! follow by hand and write.
//!
//! - A line that begins with `$ ` is a command for bash, `> ` goes on with it; it runs in an
//!   empty directory with `tollkeeper` on the path.
//! - What follows is what it prints, standard error included; `[exit 1]` tells a status
//!   that is not 0. `#` begins a comment.
//! - `<UUID>`, `<TIME>`, `<KEY>` (a key's thumbprint), `<LICENSE-KEY>`, `<HOST>` and `<ID>` (nine
//!   random digits) stand for what is different every time.
//!
//! Every script goes twice: with commands opening `data/` themselves, and through a server
//! that runs there. `TOLLKEEPER_BLESS=1` writes down what is printed now.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use uuid::Uuid;

use crate::support::{Process, bless, program, run};

/// A command and what it prints.
struct Step {
    line: usize,
    /// As in the script: comments before it and the command itself.
    head: String,
    command: String,
    expected: String,
}

fn parse(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut head = String::new();
    for (index, line) in text.lines().enumerate() {
        let last = steps.last_mut().filter(|_| head.is_empty());
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { line: index + 1, head: std::mem::take(&mut head) + line + "\n", command: command.to_owned(), expected: String::new() });
        } else if let (Some(more), Some(step)) =
            (line.strip_prefix("> ").or((line == ">").then_some("")), last.as_ref().filter(|step| step.expected.is_empty()))
        {
            let (head, command) = (format!("{}{line}\n", step.head), format!("{}\n{more}", step.command));
            let step = last.expect("the same");
            (step.head, step.command) = (head, command);
        } else if line.starts_with('#') || last.is_none() {
            head.push_str(line);
            head.push('\n');
        } else if let Some(step) = last {
            step.expected.push_str(line);
            step.expected.push('\n');
        }
    }
    assert!(head.trim().is_empty() && !steps.is_empty(), "a script ends with a command");
    steps
}

/// What a placeholder at the start of `expected` stands for: its name's length, and the
/// length of what it takes from `actual`.
fn take_placeholder(expected: &str, actual: &str) -> Option<(usize, usize)> {
    let (name, _) = expected.strip_prefix('<')?.split_once('>')?;
    let base64url = |text: &str| text.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)).count();
    let length = match name {
        "UUID" => actual.get(..36).filter(|text| Uuid::try_parse(text).is_ok())?.len(),
        "TIME" => actual.get(..20).filter(|text| text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok())?.len(),
        "KEY" => Some(43).filter(|length| base64url(actual) == *length)?,
        "ID" => actual.get(..9).filter(|text| text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0'))?.len(),
        "LICENSE-KEY" => 4 + base64url(actual.strip_prefix("TK1.")?),
        "HOST" => actual.find(char::is_whitespace).unwrap_or(actual.len()),
        _ => return None,
    };
    Some((name.len() + 2, length))
}

fn is_as_expected(expected: &str, actual: &str) -> bool {
    let (mut expected, mut actual) = (expected, actual);
    while let Some(first) = expected.chars().next() {
        let (of_expected, of_actual) = match take_placeholder(expected, actual) {
            Some(taken) => taken,
            None if actual.starts_with(first) => (first.len_utf8(), first.len_utf8()),
            None => return false,
        };
        (expected, actual) = (&expected[of_expected..], &actual[of_actual..]);
    }
    actual.is_empty()
}

/// Writes placeholders for what is different every time.
fn with_placeholders(actual: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut text = String::new();
    let mut rest = actual;
    while let Some(first) = rest.chars().next() {
        let at_start = !text.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let found =
            ["<UUID>", "<TIME>", "<LICENSE-KEY>", "<KEY>"].into_iter().filter(|_| at_start).find_map(|name| Some((name, take_placeholder(name, rest)?.1)));
        let (written, length) = match found {
            Some((name, length)) => (name.to_owned(), length),
            None if text.ends_with("<UUID> ") && !host.trim().is_empty() && rest.starts_with(host.trim()) => ("<HOST>".to_owned(), host.trim().len()),
            None => (first.to_string(), first.len_utf8()),
        };
        text.push_str(&written);
        rest = &rest[length..];
    }
    text
}

/// Ready for bash: the program on the path, and settings that make outputs alike.
fn prepared(program_and_args: &[&str], home: &Path) -> Command {
    let mut command = Command::new(program_and_args[0]);
    let path = format!("{}:/usr/bin:/bin", program().parent().expect("a directory").display());
    command.args(&program_and_args[1..]).current_dir(home).env_clear().env("PATH", path).stdin(Stdio::null());
    command.env("TOLLKEEPER_SERVER_URLS", "https://license.plant.example:48443");
    command
}

fn follow(script: &Path, with_server: bool) {
    let text = std::fs::read_to_string(script).expect("a script");
    let home = tempfile::tempdir().expect("directory");
    let server = with_server
        .then(|| Process::start(prepared(&[&program().display().to_string(), "serve", "--listen", "127.0.0.1:0"], home.path()), &home.path().join("data")));
    let mut written = String::new();
    for step in parse(&text) {
        let told = run(prepared(&["bash", "-c", &format!("exec 2>&1\n{}", step.command)], home.path()), "");
        let mut actual = told.stdout;
        if told.status != 0 {
            actual.push_str(&format!("[exit {}]\n", told.status));
        }
        let is_right = is_as_expected(step.expected.trim_end(), actual.trim_end());
        let bless = bless() && !with_server;
        assert!(is_right || bless, "{}:{}: $ {}\n--- expected\n{}\n--- printed\n{actual}", script.display(), step.line, step.command, step.expected.trim_end());
        // What is right stays as somebody wrote it, with the empty lines after it.
        let shown = if is_right { step.expected } else { with_placeholders(&actual) + "\n" };
        written.push_str(&step.head);
        written.push_str(&shown);
    }
    if bless() && !with_server && written != text {
        std::fs::write(script, written.trim_end().to_owned() + "\n").expect("written");
    }
    assert!(server.is_none_or(|server| server.terminate().success()));
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut found: Vec<_> = std::fs::read_dir(folder).expect("tests/scripts").map(|entry| entry.expect("an entry").path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    found.sort();
    assert!(!found.is_empty(), "tests/scripts holds no script");
    found
}

#[test]
fn every_script_goes_as_written_without_a_server() {
    scripts().iter().for_each(|script| follow(script, false));
}

#[test]
fn every_script_goes_as_written_through_a_running_server() {
    scripts().iter().for_each(|script| follow(script, true));
}

#[test]
fn placeholders_take_what_they_stand_for_and_nothing_else() {
    let uuid = "6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88";
    assert!(is_as_expected("Server <UUID> <HOST> since <TIME>.", &format!("Server {uuid} main since 2026-11-22T12:00:00Z.")));
    assert!(!is_as_expected("Server <UUID>.", "Server 1."));
    assert!(!is_as_expected("Server <UUID>", &format!("Server {uuid} main")));
    assert!(is_as_expected("<none>", "<none>"));
    assert!(is_as_expected("Item <ID>: <TIME>", "Item 123456789: 2026-11-22T12:00:00Z") && !is_as_expected("Item <ID>", "Item 12345678"));
    assert_eq!(with_placeholders(&format!("{uuid}: TK1.abc-_, {}", "k".repeat(43))), "<UUID>: <LICENSE-KEY>, <KEY>");
}
