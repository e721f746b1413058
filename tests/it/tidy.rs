//! The house's arrows and habits, held by reading `src/` as text (`design/architecture.md`
//! §1, `design/style.md`). A complaint names file, line, and the rule.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Who may import whom. A room may always import itself. `clock::rfc3339` stands for that
/// function alone: writing a time down is pure, reading the clock is not.
const ARROWS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("settings", &[]),
    ("log", &["settings"]),
    ("licensing", &["clock::rfc3339"]),
    ("protocol", &["licensing"]),
    ("documents", &["licensing", "protocol", "clock::rfc3339"]),
    ("store", &["licensing", "clock"]),
    ("commands", &["store", "licensing", "documents", "protocol", "clock"]),
    ("client", &["protocol", "licensing", "documents", "clock"]),
    ("replication", &["commands", "store", "documents", "protocol", "licensing", "client", "clock"]),
    ("alerts", &["commands", "store", "documents", "client", "clock", "licensing"]),
    ("jobs", &["alerts", "replication", "commands", "store", "documents", "protocol", "licensing", "clock"]),
    ("http", &["alerts", "replication", "commands", "store", "protocol", "documents", "licensing", "settings", "log", "clock"]),
    ("app", &["alerts", "licensing", "protocol", "documents", "store", "commands", "client", "http", "jobs", "replication", "settings", "clock"]),
    ("cli", &["app", "alerts", "licensing", "protocol", "documents", "store", "commands", "client", "http", "jobs", "replication", "settings", "log", "clock"]),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// Rooms that stay pure: the only crates they may name, outside their tests.
const CRATES: &[(&str, &[&str])] =
    &[("licensing", &["serde", "chrono", "uuid"]), ("protocol", &["serde", "serde_json", "chrono", "uuid", "base64", "thiserror"])];

/// The one file that may name a further crate: the public suffix list is a table, compiled in.
const CRATE_IN_FILE: (&str, &str) = ("psl2", "licensing/domain.rs");

const SOURCE_LINES_MAX: usize = 600;
const TEMPLATE_LINES_MAX: usize = 150;

/// A source file, split into what is code and what is text.
struct Source {
    /// Such as `store/writer.rs`.
    name: String,
    text: String,
    /// The text with comments and the insides of strings blanked; the same lines.
    code: String,
    /// The insides of its strings, with their lines.
    strings: Vec<(usize, String)>,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a source file in UTF-8");
        let name = path.strip_prefix(root).expect("under src").display().to_string();
        let (code, strings) = lex(&text);
        Self { name, text, code, strings }
    }

    /// The room it belongs to.
    fn room(&self) -> &str {
        self.name.split(['/', '.']).next().unwrap_or_default()
    }

    /// How many modules lie between it and the crate: 0 for the room itself.
    fn depth(&self) -> usize {
        let steps = self.name.matches('/').count();
        if self.name.ends_with("/mod.rs") { steps - 1 } else { steps }
    }

    /// Its code without `mod tests`, which this house writes at the end of a file.
    fn code_without_tests(&self) -> &str {
        let begins = |(at, _): &(usize, &str)| self.code[*at..].lines().nth(2).is_some_and(|line| line.ends_with("mod tests {"));
        let end = self.code.match_indices("\n#[cfg(test)]\n").find(begins).map_or(self.code.len(), |(at, _)| at);
        &self.code[..end]
    }

    fn complain(&self, line: usize, what: impl std::fmt::Display) -> String {
        format!("src/{}:{line}: {what}", self.name)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files_below(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|known| known == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let found: Vec<_> = files_below(&root(), "rs").iter().map(|path| Source::read(&root(), path)).collect();
    assert!(found.len() > 50, "the sources are not where this test looks for them");
    found
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Blanks comments and strings; gathers the strings.
fn lex(text: &str) -> (String, Vec<(usize, String)>) {
    let (mut code, mut strings) = (String::with_capacity(text.len()), Vec::new());
    let mut rest = text;
    let line_of = |code: &str| code.matches('\n').count() + 1;
    // Keeps the line breaks of what is blanked.
    let blank = |code: &mut String, skipped: &str| code.extend(skipped.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
    while let Some(first) = rest.chars().next() {
        let raw = rest.strip_prefix('r').map(|after| after.len() - after.trim_start_matches('#').len());
        let in_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let taken = if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            blank(&mut code, &rest[..end]);
            end
        } else if rest.starts_with("/*") {
            let end = rest.find("*/").map_or(rest.len(), |at| at + 2);
            blank(&mut code, &rest[..end]);
            end
        } else if let Some(hashes) = raw.filter(|hashes| !in_word && rest[1 + hashes..].starts_with('"')) {
            let close = format!("\"{}", "#".repeat(hashes));
            let inside = &rest[hashes + 2..];
            let length = inside.find(&close).unwrap_or(inside.len());
            strings.push((line_of(&code), inside[..length].to_owned()));
            let end = (hashes + 2 + length + close.len()).min(rest.len());
            blank(&mut code, &rest[..end]);
            end
        } else if first == '"' {
            let mut escaped = false;
            let length = rest[1..].find(|c: char| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let length = length.unwrap_or(rest.len() - 2);
            strings.push((line_of(&code), rest[1..=length].to_owned()));
            blank(&mut code, &rest[..length + 2]);
            length + 2
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\") {
            // A character that would look like the start of a string, or an escaped one.
            let end = rest[2..].find('\'').map_or(rest.len(), |at| at + 3);
            let end = if rest.starts_with(r"'\''") { 4 } else { end };
            blank(&mut code, &rest[..end]);
            end
        } else {
            code.push(first);
            first.len_utf8()
        };
        rest = &rest[taken..];
    }
    (code, strings)
}

/// Every place in `code` where `word` stands by itself, as (line, what follows).
fn find_word<'a>(code: &'a str, word: &str) -> Vec<(usize, &'a str)> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .filter(|(at, _)| !(code[..*at].ends_with(is_name) || word.ends_with(is_name) && code[at + word.len()..].starts_with(is_name)))
        .map(|(at, _)| (code[..at].matches('\n').count() + 1, &code[at + word.len()..]))
        .collect()
}

/// The paths that stand after `crate::`, those of a braced list one by one.
fn imported(after: &str) -> Vec<String> {
    let after = after.trim_start();
    let head: String = after.chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
    let Some(list) = after[head.len()..].strip_prefix('{') else { return vec![head] };
    let (mut depth, mut part, mut parts) = (0, String::new(), Vec::new());
    for c in list.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => parts.push(std::mem::take(&mut part)),
            c => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                part.push(c);
            }
        }
    }
    parts.push(part);
    parts.iter().filter(|part| !part.trim().is_empty()).flat_map(|part| imported(part)).map(|path| format!("{head}{path}")).collect()
}

#[test]
fn every_room_imports_only_the_rooms_it_may() {
    let mut complaints = Vec::new();
    for source in sources() {
        let room = source.room();
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            complaints.push(source.complain(1, format!("the room '{room}' is not in the arrows of tests/it/tidy.rs")));
            continue;
        };
        let may = |path: &str| {
            let other = path.split("::").next().unwrap_or_default();
            other == room || allowed.contains(&other) || allowed.contains(&path)
        };
        let prefix = if room == "main" { "tollkeeper::" } else { "crate::" };
        for (line, after) in find_word(&source.code, prefix) {
            for path in imported(after).iter().filter(|path| !may(path)) {
                complaints.push(source.complain(line, format!("{room} may not import {path}")));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn no_path_leaves_its_room_by_way_of_super() {
    let mut complaints = Vec::new();
    for source in sources() {
        let tests_begin = source.code_without_tests().matches('\n').count() + 2;
        for (line, after) in find_word(&source.code, "super::") {
            let steps = 1 + (after.len() - after.trim_start_matches("super::").len()) / "super::".len();
            // A chain is judged where it begins; `find_word` finds each of its links.
            if steps > source.depth() + usize::from(line > tests_begin) {
                complaints.push(source.complain(line, "`super` leads out of the room: write crate::room"));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn pure_rooms_name_no_foreign_crate() {
    let manifest = std::fs::read_to_string(root().with_file_name("Cargo.toml")).expect("Cargo.toml");
    let crates: BTreeSet<String> = manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .take_while(|line| *line != "[dev-dependencies]")
        .filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_")))
        .collect();
    assert!(crates.contains("actix_web") && crates.contains("serde"), "{crates:?}");
    let mut complaints = Vec::new();
    for source in sources() {
        let Some((room, allowed)) = CRATES.iter().find(|(room, _)| *room == source.room()) else { continue };
        let code = source.code_without_tests();
        for name in crates.iter().filter(|name| !allowed.contains(&name.as_str())) {
            for (line, _) in find_word(code, &format!("{name}::")) {
                // The description of the API is made from the wire types, in the server only.
                let is_description = name == "utoipa"
                    && *room == "protocol"
                    && code.lines().nth(line - 1).is_some_and(|text| text.trim_start().starts_with("#[cfg_attr(feature ="));
                if !is_description && (name.as_str(), source.name.as_str()) != CRATE_IN_FILE {
                    complaints.push(source.complain(line, format!("{room} may not use the crate {name}")));
                }
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn the_time_is_read_in_one_place() {
    let mut complaints = Vec::new();
    for source in sources() {
        for call in ["SystemTime::now", "Utc::now", "Local::now"] {
            if source.name != "clock.rs" {
                complaints
                    .extend(find_word(&source.code, call).iter().map(|(line, _)| source.complain(*line, format!("{call} outside clock.rs: take a Clock"))));
            }
        }
        // How long to wait for a thread or a peer is no date that anybody keeps.
        let may_measure = ["clock.rs", "http/server.rs", "cli/connect.rs"].contains(&source.name.as_str())
            || source.name.starts_with("cli/simulate")
            || source.room() == "client";
        if !may_measure {
            complaints.extend(find_word(&source.code, "Instant::now").iter().map(|(line, _)| source.complain(*line, "Instant::now: take a Clock")));
        }
    }
    assert_none(&complaints);
}

#[test]
fn sql_stands_in_the_store_only() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| source.room() != "store") {
        for (line, text) in &source.strings {
            let begins = |verb: &str| text.trim_start().starts_with(verb);
            let is_sql = begins("SELECT ")
                || begins("INSERT INTO ")
                || begins("INSERT OR ")
                || begins("DELETE FROM ")
                || begins("CREATE TABLE ")
                || begins("PRAGMA ")
                || (begins("UPDATE ") && text.contains(" SET "))
                || (begins("WITH ") && text.contains(" SELECT "));
            if is_sql {
                complaints.push(source.complain(*line, "SQL outside store/"));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn nothing_is_left_unsafe_undone_or_unexplained() {
    let mut complaints = Vec::new();
    for source in sources() {
        let mut ban = |word: &str, why: &str| complaints.extend(find_word(&source.code, word).iter().map(|(line, _)| source.complain(*line, why)));
        if source.name != "client/ffi.rs" {
            ban("unsafe", "unsafe outside client/ffi.rs");
        }
        ban("todo!", "todo! is left");
        ban("unimplemented!", "unimplemented! is left");
        ban("dbg!", "dbg! is left");
        if source.code_without_tests().contains("new_v4") {
            complaints.push(source.complain(1, "Uuid::new_v4 needs /dev/urandom in the static program: documents::random_uuid does not"));
        }
        for lint in ["[allow(", "[expect("] {
            for (line, after) in find_word(&source.code, lint) {
                let attribute = after.split(")]").next().unwrap_or_default();
                if !attribute.contains("reason =") {
                    complaints.push(source.complain(line, format!("#{lint}…)] without a reason")));
                }
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn files_are_short_enough_to_read() {
    let mut complaints = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > SOURCE_LINES_MAX {
            complaints.push(source.complain(lines, format!("{lines} lines, at most {SOURCE_LINES_MAX}")));
        }
    }
    for path in files_below(&root().with_file_name("templates"), "html") {
        let lines = std::fs::read_to_string(&path).expect("a template").lines().count();
        if lines > TEMPLATE_LINES_MAX {
            complaints.push(format!("{}: {lines} lines, at most {TEMPLATE_LINES_MAX}", path.display()));
        }
    }
    assert_none(&complaints);
}

#[test]
fn the_map_of_every_room_names_its_modules_and_nothing_else() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| source.name == "lib.rs" || source.name.ends_with("/mod.rs")) {
        // `mod x;` without those that exist in tests only.
        let mut declared = BTreeSet::new();
        let mut before = "";
        for line in source.code.lines().map(str::trim) {
            let name =
                line.strip_prefix("pub mod ").or(line.strip_prefix("mod ")).or(line.strip_prefix("pub(crate) mod ")).and_then(|rest| rest.strip_suffix(';'));
            if let Some(name) = name.filter(|_| before != "#[cfg(test)]") {
                declared.insert(name.to_owned());
            }
            before = line;
        }
        // The first cell of each row of the table in the head of the file.
        let rows = source.text.lines().take_while(|line| line.starts_with("//!")).filter_map(|line| line.strip_prefix("//! | ")?.split(" | ").next());
        let named: BTreeSet<String> = rows.flat_map(|cell| cell.split("[`").skip(1)).filter_map(|rest| Some(rest.split_once("`]")?.0.to_owned())).collect();
        complaints.extend(declared.difference(&named).map(|name| source.complain(1, format!("the map does not name [`{name}`]"))));
        complaints.extend(named.difference(&declared).map(|name| source.complain(1, format!("the map names [`{name}`], which is not a module here"))));
    }
    assert_none(&complaints);
}

#[test]
fn this_test_reads_code_as_it_is_meant() {
    let (code, strings) = lex("let a = \"x // \\\" y\"; // unsafe\nlet b = r#\"SELECT \"1\"\"#; let c = '\"'; let d: &'static str = \"z\";");
    assert_eq!(strings, [(1, "x // \\\" y".to_owned()), (2, "SELECT \"1\"".to_owned()), (2, "z".to_owned())]);
    assert!(!code.contains("unsafe") && code.contains("&'static str = "), "{code}");
    assert_eq!(imported("{clock::{Clock, rfc3339}, store}; x"), ["clock::Clock", "clock::rfc3339", "store"]);
    assert_eq!(imported("clock::rfc3339(1)"), ["clock::rfc3339"]);
    assert_eq!(find_word("dbg!(1); xdbg!(2)", "dbg!").len(), 1);
}
