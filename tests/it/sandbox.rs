//! `tollkeeper sandbox` (protocol §1), as the program: its clock, its faults, what it refuses.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;
use tollkeeper::client::transport::{CaPin, Timeouts, Transport, TransportError};
use tollkeeper::clock::{Clock as _, SystemClock, rfc3339};

use crate::support::wire::{PATIENCE, Wire, post_json};
use crate::support::{Desk, Device, Process, Site, run, tollkeeper};

const CODE: &str = "216998-scan";

fn sandbox() -> (TempDir, Process) {
    let dir = tempfile::tempdir().expect("directory");
    let server = Process::sandbox(&dir.path().join("data"), &[]);
    (dir, server)
}

fn tell(transport: &Transport, path: &str, body: Value) -> Value {
    let reply = transport.post_json(path, &body, &[]).expect("the sandbox answers");
    assert!(reply.is_success(), "{}", String::from_utf8_lossy(&reply.body));
    reply.json().expect("JSON")
}

fn state(transport: &Transport) -> Value {
    transport.get("/sandbox").expect("the sandbox answers").json().expect("JSON")
}

fn seconds(time: &Value) -> i64 {
    time.as_str().and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok()).expect("a time").timestamp()
}

fn used(data: &Path) -> u64 {
    let told = run(tollkeeper(&["license", "list", "--json", "--data", &data.display().to_string()]), "");
    let listing: Value = serde_json::from_str(&told.stdout).expect("JSON");
    listing[0]["items"][0]["used"].as_u64().expect("a number")
}

#[test]
fn its_clock_stands_still_until_it_is_moved_and_everything_follows_it() {
    let (_dir, server) = sandbox();
    let transport = server.transport();
    let began = state(&transport)["time"].clone();
    assert!((SystemClock.now_seconds() - seconds(&began)).abs() < 60, "{began}");
    let mut device = Device::new(transport.clone(), CODE);
    device.authorize().expect("authorized");
    assert_eq!(tell(&transport, "/sandbox/clock", json!({"advance": "6d"})), json!({"time": rfc3339(seconds(&began) + 6 * 86_400)}));
    let answer = device.authorize().expect("authorized");
    assert_eq!(answer["server_time"], rfc3339(seconds(&began) + 6 * 86_400));
    assert_eq!(tell(&transport, "/sandbox/clock", json!({"set": "2050-01-01T00:00:00Z"})), json!({"time": "2050-01-01T00:00:00Z"}));
    assert_eq!(device.authorize().expect("authorized")["expires_at"], "2050-01-08T00:00:00Z");
    for (body, field) in [(json!({"advance": 3}), "advance"), (json!({"set": "now"}), "set"), (json!({}), "body"), (json!({"advanse": "3m"}), "advanse")] {
        let problem: Value = transport.post_json("/sandbox/clock", &body, &[]).expect("answered").json().expect("JSON");
        assert_eq!((&problem["code"], &problem["field"]), (&json!(200), &json!(field)), "{problem}");
    }
    assert_eq!(state(&transport)["time"], "2050-01-01T00:00:00Z");
}

#[test]
fn a_clock_that_is_set_back_is_explained_and_refuses_from_five_minutes_on() {
    let (_dir, server) = sandbox();
    let transport = server.transport();
    tell(&transport, "/sandbox/clock", json!({"set": "2050-01-01T00:00:00Z"}));
    let mut device = Device::new(transport.clone(), CODE);
    device.authorize().expect("authorized");
    let answer = tell(&transport, "/sandbox/clock", json!({"set": "2049-12-31T23:55:00Z"}));
    assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains("300 s before the latest fact, of 2050-01-01T00:00:00Z")), "{answer}");
    assert_eq!(device.authorize().expect("decided by the time of the latest fact")["server_time"], "2050-01-01T00:00:00Z");
    tell(&transport, "/sandbox/clock", json!({"set": "2049-12-31T23:54:59Z"}));
    assert_eq!(device.authorize().expect_err("refused")["code"], 210);
    assert_eq!(tell(&transport, "/sandbox/clock", json!({"advance": "6m"})), json!({"time": "2050-01-01T00:00:59Z"}));
    device.authorize().expect("authorized");
}

#[test]
fn it_refuses_with_the_code_that_was_asked_for_until_that_is_ended() {
    let (_dir, server) = sandbox();
    let transport = server.transport();
    let mut device = Device::new(transport.clone(), CODE);
    device.authorize().expect("authorized");
    let release = json!({"client_uuid": device.client, "authorization": device.authorization});
    for (code, status, retry_after) in [(100, 503, true), (102, 401, false), (120, 403, false), (130, 429, true), (200, 400, false), (210, 503, true)] {
        assert_eq!(tell(&transport, "/sandbox/faults", json!({"refuse": code}))["refuse"], code);
        for (path, body) in [("authorize", device.request()), ("reports", device.report_body(&[])), ("release", release.clone())] {
            let reply = transport.post_json(&format!("/api/v1/{path}"), &body, &[]).expect("answered");
            let problem: Value = reply.json().expect("a problem");
            assert_eq!((reply.status, &problem["code"]), (status, &json!(code)), "{path}: {problem}");
            assert_eq!(reply.header("retry-after").is_some(), retry_after, "{path} {code}");
        }
        assert!(transport.get("/api/v1/server").expect("answered").is_success(), "who answers is always told");
    }
    let unknown: Value = transport.post_json("/sandbox/faults", &json!({"refuse": 99}), &[]).expect("answered").json().expect("JSON");
    assert_eq!((&unknown["code"], &unknown["field"]), (&json!(200), &json!("refuse")));
    assert_eq!(tell(&transport, "/sandbox/faults", json!({"delay_ms": 0}))["refuse"], 210, "a missing field keeps its value");
    assert_eq!(tell(&transport, "/sandbox/faults", json!({"refuse": null})), json!({"refuse": null, "delay_ms": 0, "drop_reports": false, "silent": false}));
    device.authorize().expect("as if nothing had been");
}

#[test]
fn answers_wait_as_long_as_they_were_told_to() {
    let (_dir, server) = sandbox();
    let transport = server.transport();
    tell(&transport, "/sandbox/faults", json!({"delay_ms": 300}));
    let began = Instant::now();
    Device::new(transport.clone(), CODE).authorize().expect("authorized");
    assert!(began.elapsed().as_millis() >= 300);
    let too_long: Value = transport.post_json("/sandbox/faults", &json!({"delay_ms": 60_001}), &[]).expect("answered").json().expect("JSON");
    assert_eq!(too_long["field"], "delay_ms");
}

#[test]
fn a_report_whose_answer_is_lost_counts_once_when_it_is_sent_again() {
    let (dir, server) = sandbox();
    let transport = server.transport();
    let mut device = Device::new(transport.clone(), CODE);
    device.authorize().expect("authorized");
    let report = device.scans(seconds(&state(&transport)["time"]), json!({"QR Code": 12}));
    tell(&transport, "/sandbox/faults", json!({"drop_reports": true}));
    let lost = transport.post_json("/api/v1/reports", &device.report_body(std::slice::from_ref(&report)), &[]).expect_err("no answer");
    assert!(lost.is_temporary(), "{lost}");
    assert_eq!(used(&dir.path().join("data")), 12);
    device.authorize().expect("only reports are lost");
    tell(&transport, "/sandbox/faults", json!({"drop_reports": false}));
    assert_eq!(device.report(std::slice::from_ref(&report)).expect("answered")["duplicate"], json!([report["report_id"]]));
    assert_eq!(used(&dir.path().join("data")), 12);
}

#[test]
fn a_silent_server_takes_connections_and_answers_nothing_on_them() {
    let (_dir, server) = sandbox();
    let transport = server.transport();
    tell(&transport, "/sandbox/faults", json!({"silent": true}));
    let impatient = Timeouts { whole: std::time::Duration::from_millis(300), ..Timeouts::default() };
    let ca = transport.ca_pem().expect("the authority").to_owned();
    let client = Transport::pinned_within(transport.base_url(), CaPin::Pem(ca), impatient).expect("transport");
    for path in ["authorize", "reports", "release"] {
        let gave_up = client.post_json(&format!("/api/v1/{path}"), &json!({}), &[]).expect_err("silence");
        assert!(matches!(gave_up, TransportError::Timeout { .. }), "{path}: {gave_up}");
    }
    assert!(transport.get("/health").expect("answered").is_success());
    assert_eq!(state(&transport)["faults"]["silent"], true);
    tell(&transport, "/sandbox/faults", json!({"silent": false}));
    Device::new(transport, CODE).authorize().expect("as if nothing had been");
}

/// A request that hangs in a silent sandbox, and the sandbox.
fn hanging() -> (TempDir, Process, Wire<std::net::TcpStream>) {
    let dir = tempfile::tempdir().expect("directory");
    let server = Process::sandbox(&dir.path().join("data"), &["--http", "127.0.0.1:0"]);
    let told = server.log();
    let plain = told.lines().find_map(|line| line.strip_prefix("The same without encryption: http://")).expect("the plain address");
    let mut wire = Wire::plain(plain.parse().expect("an address"));
    tell(&server.transport(), "/sandbox/faults", json!({"silent": true}));
    wire.send(post_json("/api/v1/authorize", b"{}"));
    let transport = server.transport();
    assert!((0..10_000).any(|_| state(&transport)["waiting"] == 1), "the request never came");
    (dir, server, wire)
}

#[test]
fn it_stops_cleanly_while_silent_requests_hang() {
    let (_dir, server, wire) = hanging();
    let began = Instant::now();
    assert!(server.terminate().success());
    assert!(began.elapsed() < PATIENCE / 2, "it waited for those that hang");
    assert_eq!(wire.rest(), b"", "a silent server says nothing to its end");
}

#[test]
fn who_hung_in_silence_is_hung_up_on_when_it_ends() {
    let (_dir, server, wire) = hanging();
    tell(&server.transport(), "/sandbox/faults", json!({"silent": false}));
    assert_eq!(wire.rest(), b"");
}

#[test]
fn it_goes_on_where_it_stopped_and_never_before_its_latest_fact() {
    let (dir, server) = sandbox();
    let transport = server.transport();
    let first = state(&transport);
    tell(&transport, "/sandbox/clock", json!({"set": "2050-01-01T00:00:00Z"}));
    Device::new(transport, CODE).authorize().expect("authorized");
    assert!(server.terminate().success());
    let server = Process::sandbox(&dir.path().join("data"), &[]);
    let second = state(&server.transport());
    assert_eq!(second["vendor_public_key"], first["vendor_public_key"]);
    let codes = |state: &Value| state["handshake_codes"].as_array().expect("codes").iter().map(|code| code["handshake_code"].clone()).collect::<Vec<_>>();
    assert_eq!(codes(&second), codes(&first));
    assert!((0..=1).contains(&(seconds(&second["time"]) - seconds(&json!("2050-01-01T00:00:00Z")))), "{}", second["time"]);
}

#[test]
fn every_code_has_a_purpose_and_a_license_key_and_the_terminal_stays_short() {
    let (_dir, server) = sandbox();
    let told = server.log();
    assert!(told.lines().count() <= 15 && told.contains("TK1.") && told.contains("vendor.key"), "{told}");
    let state = state(&server.transport());
    let codes = state["handshake_codes"].as_array().expect("codes");
    assert!(codes.len() > 10);
    for code in codes {
        let text = |field: &str| code[field].as_str().unwrap_or_default().to_owned();
        assert!(text("license_key").starts_with("TK1.") && !text("purpose").starts_with("made by"), "{code}");
    }
    assert!(state["vendor_public_key"].as_str().is_some_and(|key| key.starts_with("-----BEGIN PUBLIC KEY-----")));
    for path in ["data", "vendor_key_file", "admin_socket"] {
        assert!(Path::new(state[path].as_str().expect("a path")).exists(), "{path}");
    }
}

#[test]
fn an_address_that_makes_no_sense_leaves_nothing_behind() {
    let desk = Desk::new();
    for address in ["nonsense", "127.0.0.1:70000"] {
        let refusal = desk.refused(&["sandbox", "--data", "data", "--listen", address]);
        assert!(refusal.contains(address), "{refusal}");
        assert!(!desk.path().join("data").exists(), "{address}");
    }
}

#[test]
fn it_refuses_the_data_of_a_real_installation() {
    let desk = Desk::licensed();
    assert_eq!(desk.refused(&["sandbox", "--data", "data"]), "data holds a real installation: give the sandbox another --data, or none");
    // A sandbox's directory into which somebody has brought a real license since.
    std::fs::rename(desk.path().join("vendor"), desk.path().join("data/other")).expect("moved");
    desk.done(&["vendor", "keygen", "--out", "data/sandbox-vendor"]);
    assert_eq!(desk.refused(&["sandbox", "--data", "data"]), "data holds license 100 of a real vendor: give the sandbox another --data, or none");
}

#[test]
fn a_real_server_has_no_sandbox_and_trusts_no_sandbox_vendor() {
    let (dir, server) = sandbox();
    let file = std::fs::read_to_string(dir.path().join("data/sandbox-vendor/sandbox.lic")).expect("the sandbox's license");
    assert!(server.terminate().success());
    let site = Site::empty();
    let reply = site.try_admin(tollkeeper::client::transport::Method::Post, "licenses", Some(json!({"file": file})));
    let problem: Value = reply.json().expect("a problem");
    assert!(reply.status == 400 && problem["detail"].as_str().is_some_and(|detail| detail.contains("unknown key")), "{problem}");
    assert_eq!(site.anonymous().get("/sandbox").expect("answered").status, 404);
    for path in ["/sandbox/clock", "/sandbox/faults"] {
        assert_eq!(site.anonymous().post_json(path, &json!({"advance": "3m"}), &[]).expect("answered").status, 404);
    }
}

#[test]
fn without_a_directory_of_its_own_it_leaves_nothing_behind() {
    let home = tempfile::tempdir().expect("directory");
    let mut command = tollkeeper(&["sandbox", "--listen", "127.0.0.1:0"]);
    command.env("TMPDIR", home.path());
    let server = Process::start_sandbox(command, home.path());
    assert_eq!(std::fs::read_dir(home.path()).expect("directory").count(), 1);
    assert!(server.terminate().success());
    assert_eq!(std::fs::read_dir(home.path()).expect("directory").count(), 0);
}
