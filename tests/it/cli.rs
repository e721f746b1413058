//! The command line (protocol §1), on the real program: every command, its JSON, its exit
//! status, its one line when something is refused; with a running server and without.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::CommandFactory as _;
use serde_json::{Value, json};
use tollkeeper::cli::Cli;
use tollkeeper::client::transport::{CaPin, Transport};
use tollkeeper::clock::{Clock as _, SystemClock};

use crate::support::{Desk, Device, ITEMS, Process, bless, signal, tollkeeper};

/// A device that nobody has seen.
const STRANGER: &str = "6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88";

#[test]
fn the_help_of_every_command_is_as_the_golden_file_shows() {
    let mut text = String::new();
    print_help(&Cli::command(), &[], &mut text);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/help.txt");
    if bless() {
        std::fs::write(&path, &text).expect("written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let first = text.lines().zip(golden.lines()).position(|(now, then)| now != then).map_or(golden.lines().count().min(text.lines().count()) + 1, |at| at + 1);
    assert!(text == golden, "{}:{first}: the help changed; if that is meant, run the tests once with TOLLKEEPER_BLESS=1", path.display());
}

/// Appends what `--help` prints, for a command and all below it.
fn print_help(command: &clap::Command, path: &[&str], text: &mut String) {
    let told = Desk::help(path);
    text.push_str(&format!("$ tollkeeper {}\n", [path, &["--help"]].concat().join(" ")));
    for line in told.lines().chain([""]) {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        print_help(below, &[path, &[below.get_name()]].concat(), text);
    }
}

impl Desk {
    fn help(path: &[&str]) -> String {
        let output = tollkeeper(&[path, &["--help"]].concat()).output().expect("runs");
        assert!(output.status.success() && output.stderr.is_empty(), "{path:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

#[test]
fn the_version_is_the_packages() {
    let output = tollkeeper(&["--version"]).output().expect("runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("tollkeeper {}\n", env!("CARGO_PKG_VERSION")));
}

/// Looks at and changes everything, and leaves it as it was; returns all that was told.
fn tour(desk: &Desk) -> String {
    let mut told = String::new();
    let mut step = |args: &str, stdin: &str| {
        let args: Vec<&str> = args.split(' ').collect();
        told.push_str(&format!("$ tollkeeper {}\n{}", args.join(" "), desk.done_with(&args, stdin)));
    };
    for args in ["license list", "license list --json", "license import site.lic", "license show site.lic", "license show site.lic --json"] {
        step(args, "");
    }
    step("handshake add 216998-line4 --items 100000001,100000002 --process-name scanner.exe --domain *.plant.example", "");
    step("handshake edit 216998-line4 --rename 216998-line5 --application-id com.plant.scanner --session-password-stdin", "open sesame\n");
    step("license import site.lic --into 216998-line5", "");
    step("handshake order 216998-line5 --items 100000001,100000002", "");
    for args in ["handshake list", "handshake list --json", "handshake key 216998-line5", "handshake key 216998-line4"] {
        step(args, "");
    }
    step("handshake order 216998-line5 --default-order", "");
    step("handshake default 216998-line5", "");
    step("handshake list", "");
    step("handshake edit 216998-line5 --no-session-password --no-domains --no-application-ids --no-process-names --remove-alias 216998-line4", "");
    step("handshake default 216998-100", "");
    step("handshake delete 216998-line5", "");
    for args in ["handshake list --json", "device list", "device list --json", "usage show", "usage show --json"] {
        step(args, "");
    }
    step("usage show --handshake 216998-100 --from 2026-01-01 --to 2099-12-31", "");
    step("usage show --item 100000001 --json", "");
    told
}

#[test]
fn commands_tell_the_same_with_a_running_server_and_without() {
    let desk = Desk::licensed();
    let server = desk.serve();
    use_it(&server);
    let with = tour(&desk);
    assert!(server.terminate().success());
    let without = tour(&desk);
    for (with, without) in with.lines().zip(without.lines()) {
        assert_eq!(with, without);
    }
    assert_eq!(with, without);
}

/// A device scans, two others hold seats; returns those two.
fn use_it(server: &Process) -> [String; 2] {
    let mut scanner = Device::new(server.transport(), "216998-100");
    scanner.authorize().expect("authorized");
    scanner.report(&[scanner.scans(SystemClock.now_seconds() - 600, json!({"QR Code": 10, "Code 128": 2}))]).expect("taken");
    [(); 2].map(|()| {
        let mut desktop = Device::new(server.transport(), "216998-100");
        desktop.authorize_with(json!({"product": "dwt"})).expect("authorized");
        desktop.client.to_string()
    })
}

#[test]
fn an_administrator_frees_seats_and_resets_devices() {
    let desk = Desk::licensed();
    let server = desk.serve();
    let [first, second] = use_it(&server);
    let release = |uuid: &str| desk.done(&["device", "release", uuid, "--item", "100000002"]);
    assert_eq!(release(&first), format!("Freed the seat of {first}. Item 100000002 allows 19 more releases by hand.\n"));
    assert_eq!(desk.done(&["device", "reset", &first]), format!("Reset {first}: its next request is let in whatever ticket it shows.\n"));
    assert!(server.terminate().success());
    assert_eq!(release(&second), format!("Freed the seat of {second}. Item 100000002 allows 18 more releases by hand.\n"));
    assert_eq!(desk.done(&["device", "reset", &second]), format!("Reset {second}: its next request is let in whatever ticket it shows.\n"));
    let seats: Vec<_> = desk.json(&["device", "list", "--json"]).as_array().expect("list").iter().map(|device| device["seats"].clone()).collect();
    assert_eq!(seats, [json!([]), json!([]), json!([])]);
    assert!(desk.refused(&["device", "release", &first, "--item", "100000002"]).contains(&first));
}

/// Checks that a value has the fields of `like`, with their types. Texts that end in `Z`
/// stand for times, a list for one or more such values.
fn assert_shape(value: &Value, like: &Value, at: &str) {
    match like {
        Value::Number(_) => assert!(value.is_u64(), "{at} is no whole number: {value}"),
        Value::Bool(_) => assert!(value.is_boolean(), "{at} is not true or false: {value}"),
        Value::String(text) => {
            let is_time = |text: &str| text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok();
            assert!(value.as_str().is_some_and(|value| !text.ends_with('Z') || is_time(value)), "{at} is no text such as {text}: {value}");
        }
        Value::Array(likes) => {
            let values = value.as_array().unwrap_or_else(|| panic!("{at} is no list: {value}"));
            assert!(!values.is_empty(), "{at} is empty, so nothing is proven");
            values.iter().for_each(|value| assert_shape(value, &likes[0], &format!("{at}[]")));
        }
        Value::Object(fields) => fields.iter().for_each(|(name, like)| assert_shape(&value[name], like, &format!("{at}.{name}"))),
        Value::Null => {}
    }
}

#[test]
fn json_has_the_fields_that_the_protocol_names() {
    let desk = Desk::licensed();
    let server = desk.serve();
    use_it(&server);
    desk.done_with(
        &["handshake", "edit", "216998-100", "--domain", "a.example", "--application-id", "a.b", "--process-name", "a.exe", "--session-password-stdin"],
        "secret\n",
    );
    let item = json!({"item_id": 1, "product": "dbr", "charge_way": "scan", "quota": 1, "used": 1, "grace_left": 1, "overuse": 1,
        "valid_from": "Z", "valid_to": "Z", "status": "active"});
    assert_shape(
        &desk.json(&["license", "list", "--json"]),
        &json!([{"license_id": 1, "alias": "a", "organization_id": "1", "items": [item]}]),
        "license list",
    );
    let codes = desk.json(&["handshake", "list", "--json"]);
    let code = json!({"handshake_code": "1-a", "organization_id": "1", "default": true, "order": "default", "items": [1], "domains": ["a"],
        "application_ids": ["a"], "process_names": ["a"], "has_session_password": true, "license_key": "TK1."});
    assert_shape(&codes, &json!([code]), "handshake list");
    assert_eq!((&codes[0]["order"], &codes[0]["has_session_password"]), (&json!("default"), &json!(true)));
    let key = codes[0]["license_key"].as_str().and_then(|key| key.strip_prefix("TK1.")).expect("a license key");
    let key: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(key).expect("base64url")).expect("JSON");
    assert_shape(
        &key,
        &json!({"servers": ["https://"], "organization_id": "1", "handshake_code": "1-a", "session_password": "a", "ca": "sha256:"}),
        "license key",
    );
    let devices = desk.json(&["device", "list", "--json"]);
    assert_shape(&devices, &json!([{"client_uuid": "u", "first_seen": "Z", "last_seen": "Z", "seats": null}]), "device list");
    let seats: Vec<_> = devices.as_array().expect("list").iter().flat_map(|device| device["seats"].as_array().expect("seats").clone()).collect();
    assert_eq!(seats.len(), 2);
    assert_shape(&json!(seats), &json!([{"item_id": 1, "active_until": "Z"}]), "seats");
    let usage = desk.json(&["usage", "show", "--json"]);
    assert_shape(&usage, &json!({"total": 1, "by_type": {"QR Code": 1}, "devices": 1, "authorizations": {"granted": 1, "refused": 1}}), "usage show");
    assert_eq!((&usage["total"], &usage["by_type"], &usage["authorizations"]["granted"]), (&json!(12), &json!({"QR Code": 10, "Code 128": 2}), &json!(3)));
    let shown = desk.json(&["license", "show", "site.lic", "--json"]);
    assert_shape(
        &shown,
        &json!({"license_text_version": "2.0", "license_id": 1, "license_status": "Activated", "issued_at": "Z", "items": [{"item_id": 1}],
        "servers": [{"uuid": "u", "certificate": "c"}], "signature": "valid"}),
        "license show",
    );
}

#[test]
fn a_refused_command_says_in_one_line_what_and_what_to_do() {
    let desk = Desk::licensed();
    desk.write("broken.toml", &ITEMS.replace("quota = 10\n", "qouta = 10\n"));
    desk.write("hello.txt", "hello\n");
    desk.done(&["vendor", "keygen", "--out", "other"]);
    let refusals = [
        ("license list --data nowhere", "no installation in nowhere: start one with `tollkeeper serve --data nowhere`"),
        ("license import missing.lic", "missing.lic: cannot read the file: no such file or directory; check the path"),
        ("license import hello.txt", "no '-----BEGIN TOLLKEEPER LICENSE-----' line in it: give the whole file"),
        ("license import site.req", "this is a TOLLKEEPER ACTIVATION REQUEST, but a TOLLKEEPER LICENSE is needed"),
        ("license import new.lic", "license 100 is New: it is not activated yet. Make an activation request"),
        ("license import site.lic --into 216998-nobody", "handshake code '216998-nobody' does not exist: `handshake list` shows the codes"),
        ("license show hello.txt", "hello.txt: no '-----BEGIN TOLLKEEPER LICENSE-----' line in it"),
        ("handshake add 216998-100 --items 100000001", "216998-100 exists already: edit it, or choose another name"),
        ("handshake add 1-line4 --items 100000001", "no license of organization 1 is installed"),
        ("handshake add line4 --items 100000001", "'line4'"),
        ("handshake add 216998-line4 --items 7", "item 7 is not installed: `license list` shows the items"),
        ("handshake add 216998-line4 --items 100000001 --session-password-stdin", "no session password came on standard input: send it as one line"),
        ("handshake edit 216998-nobody --no-domains", "does not exist"),
        ("handshake edit 216998-100 --rename 216998-line4", "keeps its name: add a code of your own instead"),
        ("handshake edit 216998-100 --remove-alias 216998-old", "'216998-old' is not an alias of 216998-100"),
        ("handshake delete 216998-nobody", "does not exist"),
        ("handshake key 216998-nobody", "does not exist"),
        ("handshake key ../../health", "does not exist"),
        ("handshake default 216998-nobody", "does not exist"),
        ("handshake order 216998-nobody --default-order", "does not exist"),
        ("handshake order 216998-100 --items 7", "item 7 is not in 216998-100: add it first"),
        ("usage show --handshake 216998-nobody", "does not exist"),
        ("usage show --item 7", "item 7 is not installed"),
        ("usage show --from 2026-11-30 --to 2026-11-01", "from: is later than `to`: exchange them"),
        ("vendor keygen --out vendor", "vendor/vendor.pub: exists already and is not overwritten; choose another directory"),
        ("vendor issue --key missing.key --items items.toml --out a.lic", "missing.key: cannot read the file"),
        ("vendor issue --key vendor/vendor.key --items broken.toml --out a.lic", "broken.toml, line 18: unknown field `qouta`"),
        ("vendor issue --key vendor/vendor.key --items items.toml --out nowhere/a.lic", "nowhere/a.lic: cannot create the file: no such file or directory"),
        ("vendor activate --key other/vendor.key --license new.lic --request site.req --out a.lic", "new.lic was signed by another key than other/vendor.key"),
        ("vendor activate --key vendor/vendor.key --license site.lic --request site.req --out a.lic", "site.lic is activated already"),
        ("vendor activate --key vendor/vendor.key --license new.lic --request new.lic --out a.lic", "new.lic: this is a TOLLKEEPER LICENSE"),
    ];
    let ask = |when: &str| {
        for (args, words) in refusals {
            let why = desk.refused(&args.split(' ').collect::<Vec<_>>());
            assert!(why.contains(words), "{when}, {args}: {why}");
        }
        for args in [["device", "reset", STRANGER].as_slice(), &["device", "release", STRANGER, "--item", "100000002"]] {
            let why = desk.refused(args);
            assert!(why.contains(STRANGER), "{when}: {why}");
        }
    };
    ask("without a server");
    let server = desk.serve();
    ask("with a server");
    assert!(!desk.path().join("a.lic").exists() && !desk.path().join("nowhere").exists());
    assert!(desk.refused(&["serve", "--listen", "127.0.0.1:0"]).contains("data is in use by another tollkeeper process: stop it first, or use another --data"));
    let taken = desk.refused(&["serve", "--data", "data2", "--listen", &server.address.to_string()]);
    assert!(taken.starts_with(&format!("cannot listen on {}", server.address)) && taken.ends_with("choose another address with --listen"), "{taken}");
    assert!(server.terminate().success());
}

#[test]
fn wrong_usage_is_status_2_and_does_nothing() {
    let desk = Desk::new();
    for args in [
        "",
        "frobnicate",
        "license",
        "license list --frobnicate",
        "license import",
        "handshake add 216998-line4",
        "handshake add 216998-line4 --items one",
        "handshake add 216998-line4 --items 1 --session-password secret",
        "handshake edit 216998-line4",
        "handshake edit 216998-line4 --no-domains --domain a.example",
        "handshake order 216998-line4",
        "handshake order 216998-line4 --items 1 --default-order",
        "device release 6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88",
        "device release line4 --item 1",
        "device reset line4",
        "usage show --from yesterday",
        "usage show --item 1 --handshake 216998-line4",
        "vendor issue --key vendor/vendor.key",
        "vendor keygen",
        "serve --port 1",
        "demo --devices 5",
        "completions perl",
    ] {
        let args: Vec<&str> = args.split_terminator(' ').collect();
        let told = desk.run(&args);
        assert_eq!((told.status, told.stdout.as_str()), (2, ""), "{args:?}");
        assert!(told.stderr.contains("--help"), "{args:?}: {}", told.stderr);
    }
    assert!(!desk.path().join("data").exists());
}

#[test]
fn a_session_password_is_told_to_nobody_but_the_application() {
    const PASSWORD: &str = "correct-horse-battery";
    let desk = Desk::licensed();
    let server = desk.serve_with(&[("TOLLKEEPER_LOG_LEVEL", "trace")]);
    // There is no flag that takes it, so it never stands among a process's arguments.
    assert!(!Desk::help(&["handshake", "add"]).contains("--session-password <") && !Desk::help(&["handshake", "edit"]).contains("--session-password <"));
    desk.done_with(&["handshake", "add", "216998-lock", "--items", "100000001", "--session-password-stdin"], &format!("{PASSWORD}\n"));
    desk.done_with(&["handshake", "edit", "216998-lock", "--session-password-stdin"], &format!("{PASSWORD}2\r\n"));
    let mut device = Device::new(server.transport(), "216998-lock");
    assert_eq!(device.authorize_with(json!({"session_password": PASSWORD})).expect_err("changed")["code"], 102);
    device.authorize_with(json!({"session_password": format!("{PASSWORD}2")})).expect("let in");
    let key = desk.done(&["handshake", "key", "216998-lock"]);
    let listing = desk.done(&["handshake", "list"]);
    assert!(listing.contains("216998-lock") && !listing.contains(PASSWORD) && !listing.contains("TK1."), "{listing}");
    let data = desk.path().join("data");
    let log = server.log();
    assert!(server.terminate().success());
    assert!(log.contains("DEBUG") || log.contains("TRACE"), "the log tells everything it can: {log}");
    assert!(!log.contains(PASSWORD) && !log.contains(key.trim()), "the log tells the password");
    for entry in std::fs::read_dir(data).expect("data").map(|entry| entry.expect("entry").path()).filter(|path| path.is_file()) {
        let bytes = std::fs::read(&entry).expect("read");
        assert!(!bytes.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes()), "{} holds it in the clear", entry.display());
    }
}

#[test]
fn completions_are_scripts_that_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = tollkeeper(&["completions", shell]).output().expect("runs");
        let script = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success() && ["handshake", "keygen", "session-password-stdin"].iter().all(|word| script.contains(word)), "{shell}");
    }
    let check = "eval \"$(tollkeeper completions bash)\" && COMP_WORDS=(tollkeeper license re) COMP_CWORD=2 && _tollkeeper tollkeeper re license && echo \"${COMPREPLY[@]}\"";
    let program = crate::support::program();
    let path = format!("{}:/usr/bin:/bin", program.parent().expect("a directory").display());
    let output = Command::new("bash").args(["-c", check]).env("PATH", path).output().expect("bash runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "request\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_demo_shows_everything_and_leaves_nothing_behind() {
    let home = tempfile::tempdir().expect("directory");
    let mut child = tollkeeper(&["demo", "--listen", "127.0.0.1:0"])
        .env("TMPDIR", home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines().map(|line| line.expect("a line"));
    let intro: Vec<String> = lines.by_ref().take_while(|line| line != "Stop with Ctrl-C.").collect();
    let after = |word: &str| intro.iter().find_map(|line| line.split_once(word)).map(|(_, rest)| rest.split_whitespace().next().expect("a word").to_owned());
    let (url, data) = (after("a license server on ").expect("its URL"), after("license list --data ").expect("its data"));
    let url = url.trim_end_matches(',');
    let ca = std::fs::read_to_string(Path::new(&data).join("tls/ca.pem")).expect("the site's authority");
    assert!(Transport::pinned(url, CaPin::Pem(ca)).expect("transport").get("/health").expect("answers").is_success());
    let listing = tollkeeper(&["license", "list", "--data", &data]).output().expect("runs");
    assert!(String::from_utf8_lossy(&listing.stdout).contains("100000003"), "three items are sold");
    signal(&child, "INT");
    let last = lines.last().expect("a summary");
    assert!(last.starts_with("Stopped. The devices got "), "{last}");
    assert!(child.wait().expect("ended").success());
    assert!(!Path::new(&data).exists(), "the demo cleans up after itself");
}
