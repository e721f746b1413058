//! `tollkeeper simulate`: many devices, through the real client library, and whether servers counted
//! exactly what they did. How it stands a server that dies is in `failovers`.

use serde_json::{Value, json};
use tollkeeper::client::transport::Method;

use crate::support::two::{admin, database};
use crate::support::{Process, Two, run, tollkeeper};

/// The license key of the first handshake code.
fn license_key(data: &std::path::Path) -> String {
    admin(data, Method::Get, "handshakes", None)[0]["license_key"].as_str().expect("a license key").to_owned()
}

#[test]
fn simulated_devices_with_everything_that_goes_wrong_are_counted_exactly() {
    let told = run(tollkeeper(&["simulate", "--devices", "40", "--hours", "12", "--active-slots", "30", "--faults", "all", "--json"]), "");
    let outcome: Value = serde_json::from_str(&told.stdout).unwrap_or_else(|_| panic!("{}{}", told.stdout, told.stderr));
    assert_eq!((&outcome["exact"], &outcome["unsent"], &outcome["failover"]), (&json!(true), &json!(0), &json!(true)), "{outcome}");
    for what in ["kills", "lost", "units", "duplicates", "unanswered"] {
        assert!(outcome[what].as_u64().is_some_and(|number| number > 0), "{what}: {outcome}");
    }
}

#[test]
fn two_servers_under_load_count_what_devices_do_whichever_is_asked() {
    let two = Two::new();
    let (key, standby, ids) = (license_key(&two.data[0]), two.data[1].display().to_string(), two.data[1].with_file_name("ids"));
    let told = run(
        tollkeeper(&[
            "simulate",
            "--license-key",
            &key,
            "--product",
            "dbr",
            "--devices",
            "60",
            "--load",
            "2",
            "--data",
            &standby,
            "--acknowledged",
            &ids.display().to_string(),
        ]),
        "",
    );
    assert_eq!((told.status, told.stderr.as_str()), (0, ""), "{}", told.stdout);
    for what in
        [" requests answered in 2 s, at most ", "no device asked in vain for longer than 0.0 s", "counted: equal, for each day, type by type, and in devices"]
    {
        assert!(told.stdout.contains(what), "{what}: {}", told.stdout);
    }
    let count: i64 = database(&two.data[0]).query_row("SELECT COUNT(*) FROM reports", [], |row| row.get(0)).expect("counted");
    assert_eq!(usize::try_from(count), Ok(std::fs::read_to_string(&ids).expect("what was acknowledged").lines().count()));
}

#[test]
fn load_is_for_real_servers_and_what_cannot_be_written_is_told_at_once() {
    let dir = tempfile::tempdir().expect("directory");
    let server = Process::sandbox(&dir.path().join("data"), &[]);
    let key = license_key(&server.data);
    for (flags, reason) in [
        (["--load", "5"], "the license key is a sandbox's, whose time stands still: leave out --load, or give the license key of a real server"),
        (
            ["--acknowledged", "/nowhere/ids"],
            "the acknowledged reports cannot be written: /nowhere/ids: cannot create the file: no such file or directory; check the path",
        ),
    ] {
        let mut command = tollkeeper(&["simulate", "--license-key", &key, "--devices", "1"]);
        command.args(flags);
        let told = run(command, "");
        assert_eq!((told.status, told.stderr), (1, format!("tollkeeper: {reason}\n")));
    }
    let told = run(tollkeeper(&["simulate", "--load", "5"]), "");
    assert!(told.status == 2 && told.stderr.contains("--license-key <KEY>"), "{}", told.stderr);
}
