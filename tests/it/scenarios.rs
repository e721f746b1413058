//! Runs `tests/scenarios/*.txt`: stories of a site's life that a support engineer can read and
//! write. Each is played by devices against `tollkeeper sandbox`, whose clock the story moves.
//! What a line may say stands in [`language`]; who acts, in [`stage`].

use std::path::{Path, PathBuf};

mod language;
mod stage;

/// Scenarios that tell what the license says and the server does not do yet. One that goes
/// as written must be taken out of this list.
const PENDING: &[&str] = &[];

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut found: Vec<_> = std::fs::read_dir(folder).expect("tests/scenarios").map(|entry| entry.expect("an entry").path()).collect();
    found.sort();
    found
}

fn name(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).expect("a name")
}

fn play(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).expect("a scenario");
    let place = |(line, what): (usize, String)| format!("{}:{line}: {what}", path.display());
    let steps = language::parse(&text).map_err(place)?;
    stage::Stage::open().play(&steps).map_err(place)
}

#[test]
#[expect(clippy::print_stderr, reason = "the output of the tests tells what is still missing")]
fn every_scenario_goes_as_written() {
    let paths = scenarios();
    let names: Vec<&str> = paths.iter().map(|path| name(path)).collect();
    assert!(PENDING.iter().all(|pending| names.contains(pending)), "PENDING names a scenario that is not there");
    let outcomes: Vec<(&str, Result<(), String>)> = std::thread::scope(|scope| {
        let playing: Vec<_> = paths.iter().map(|path| scope.spawn(|| (name(path), play(path)))).collect();
        playing.into_iter().map(|thread| thread.join().expect("a scenario is played to its end")).collect()
    });
    let complaints: Vec<String> = outcomes
        .into_iter()
        .filter_map(|(name, outcome)| match outcome {
            Ok(()) => PENDING.contains(&name).then(|| format!("{name} goes as written now: take it out of PENDING in tests/it/scenarios.rs")),
            Err(what) if PENDING.contains(&name) => {
                eprintln!("pending: {what}");
                None
            }
            Err(what) => Some(what),
        })
        .collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn a_line_that_says_nothing_known_is_refused_with_its_number() {
    for (text, line) in [
        ("# a comment\n\nA dances: granted", 3),
        ("3 minutes ago", 1),
        ("A asks", 1),
        ("A asks: perhaps", 1),
        ("A asks quickly: granted", 1),
        ("license 1 of 216998 with\n    item 1: dbr, scan, quota ten, from 2050-01-01 to 2050-12-31", 2),
        ("license 1 of 216998 with\n    item 1: dbr, scan, from 2050-01-01 to 2050-12-31", 2),
        ("license 1 of 216998 with", 1),
        ("2 times:\n    3 minutes later\n  3 minutes later", 3),
        ("3 minutes later\n    3 minutes later", 2),
        ("each of S1 to T3 asks: granted", 1),
        ("item 1 shows wear 7", 1),
        ("the time is tomorrow", 1),
    ] {
        assert_eq!(language::parse(text).map(|_| ()).map_err(|(line, _)| line), Err(line), "{text}");
    }
}

#[test]
fn a_story_that_the_server_does_not_follow_is_told_with_its_line() {
    let story = "the time is 2050-01-01\ndevice A runs dbr under 216998-scan\nA asks: granted\nA asks for 1 instance: refused 120";
    let steps = language::parse(story).expect("every line is known");
    let (line, what) = stage::Stage::open().play(&steps).expect_err("the server does not follow");
    assert_eq!((line, what.as_str()), (4, "A: expected refused 120, the server granted until 2050-01-08T00:00:00Z"));
}
