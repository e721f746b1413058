//! `tollkeeper doctor`: what is wrong is found, with what to do; what is well is not complained of;
//! and the support bundle holds no secret.

use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use tollkeeper::client::transport::Method;
use tollkeeper::documents::Hardware;

use crate::support::{Company, Desk, Site, Vendor};

/// The findings of an area that press at least so much: level and text.
fn pressing(answer: &Value, area: &str) -> Vec<(String, String)> {
    let findings = answer["findings"].as_array().expect("findings").iter();
    let text = |finding: &Value, name: &str| finding[name].as_str().expect(name).to_owned();
    let found = findings.filter(|finding| finding["area"] == area && (finding["level"] == "warning" || finding["level"] == "error"));
    found
        .map(|finding| {
            assert!(finding["advice"].is_string() || finding["text"].as_str().is_some_and(|text| text.starts_with("since ")), "{finding}");
            (text(finding, "level"), text(finding, "text"))
        })
        .collect()
}

/// The one of an area.
fn only(answer: &Value, area: &str) -> (String, String) {
    let found = pressing(answer, area);
    assert_eq!(found.len(), 1, "{area}: {found:?}");
    found.into_iter().next().expect("one")
}

#[test]
fn a_server_that_is_well_has_nothing_to_mend_and_names_what_it_looked_at() {
    let site = Site::with_settings(|settings| settings.limits.connections = 100);
    let vendor = site.trust(Vendor::new());
    site.import(&vendor, 100, "216998", vec![Vendor::scan_item(1)]);
    site.admin(Method::Post, "backups", Some(json!({})));
    crate::support::until("a backup", 20, || site.admin_get("backups")["files"].as_array().is_some_and(|files| !files.is_empty()).then_some(()));
    let answer = site.admin_get("doctor");
    for area in ["settings", "data", "database", "clock", "certificate", "licenses", "hardware", "partner", "ports", "alerts", "limits"] {
        assert_eq!(pressing(&answer, area), [], "{area}");
        assert!(answer["findings"].as_array().expect("findings").iter().any(|finding| finding["area"] == area), "{area} was looked at");
    }
    // Tests make none by themselves.
    assert_eq!(only(&answer, "backups"), ("warning".to_owned(), "none is made by itself".to_owned()));
}

#[test]
fn what_goes_wrong_on_a_server_is_found() {
    let item = |id: u64, fields: Value| {
        let mut whole = json!({"item_id": id, "product": "dbr", "charge_way": "scan", "quota": 100});
        whole.as_object_mut().expect("object").extend(fields.as_object().expect("fields").clone());
        Vendor::item(whole)
    };
    let mut site = Site::empty();
    let answer = site.admin_get("doctor");
    let none = answer["findings"].as_array().expect("findings").iter().find(|finding| finding["area"] == "licenses").expect("licenses");
    assert!(none["level"] == "note" && none["advice"].as_str().is_some_and(|advice| advice.contains("license request")), "{none}");

    let vendor = site.trust(Vendor::new());
    site.import(&vendor, 100, "216998", vec![item(1, json!({"valid_to": "2026-12-01T00:00:00Z"})), item(2, json!({"valid_to": "2026-11-01T00:00:00Z"}))]);
    let found = pressing(&site.admin_get("doctor"), "licenses");
    assert_eq!(found.iter().map(|(level, _)| level.as_str()).collect::<Vec<_>>(), ["warning", "error"], "{found:?}");
    assert!(found[0].1.contains("item 1 (dbr, scan, license 100) ends at 2026-12-01") && found[1].1.contains("ended at 2026-11-01"), "{found:?}");

    site.admin(Method::Patch, "settings", Some(json!({"server_urls": ["https://license.plant.example"]})));
    site.admin(Method::Put, "certificate", Some(Company::new().issue_for(&["license.plant.example"]).body()));
    site.admin(Method::Patch, "settings", Some(json!({"server_urls": ["https://other.plant.example"]})));
    assert!(only(&site.admin_get("doctor"), "certificate").1.contains("license keys lead to other.plant.example"));

    site.hardware = Hardware { machine: Some("another".into()), board: Some("another".into()), cpu: Some("another".into()) };
    site.restart();
    assert_eq!(only(&site.admin_get("doctor"), "hardware").0, "warning");
    site.clock.advance_seconds(15 * 86_400);
    assert_eq!(only(&site.admin_get("doctor"), "hardware").0, "error");
    site.clock.advance_seconds(-30 * 86_400);
    let (level, text) = only(&site.admin_get("doctor"), "clock");
    assert!(level == "error" && text.contains("behind the latest recorded fact"), "{text}");

    let secret = site.data().join("secret.key");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).expect("set");
    assert!(only(&site.admin_get("doctor"), "data").1.contains("secret.key has the rights 644"));

    let database = rusqlite::Connection::open(site.data().join("tollkeeper.db")).expect("the database");
    database.execute("UPDATE journal SET body = x'7b7d' WHERE sequence = 2", []).expect("forged");
    let (level, text) = only(&site.admin_get("doctor"), "database");
    assert!(level == "error" && text.contains("fact 2"), "{text}");
}

#[test]
fn without_a_server_doctor_looks_from_outside_and_its_status_says_whether_there_is_an_error() {
    let desk = Desk::new();
    let told = desk.run(&["doctor"]);
    assert!(told.status == 1 && told.stdout.contains("there is no installation in data"), "{}", told.stdout);
    assert_eq!(told.stderr, "tollkeeper: doctor found 1 error: see what to do above\n");

    let desk = Desk::licensed();
    desk.write("tollkeeper.toml", "listen = [\"127.0.0.1:0\"]\n");
    let told = desk.run(&["doctor"]);
    assert_eq!((told.status, told.stderr.as_str()), (0, ""), "{}", told.stdout);
    assert!(told.stdout.contains("\n  note     server      does not run\n                       → `tollkeeper serve`"), "{}", told.stdout);
    assert!(told.stdout.contains("every page and every link of its"), "{}", told.stdout);
    let server = desk.serve();
    let answer = desk.json(&["doctor", "--json"]);
    assert_eq!((&answer["findings"][0]["area"], &answer["findings"][0]["text"]), (&json!("server"), &json!("runs and answers")));
    assert_eq!(pressing(&answer, "database"), []);
    assert!(server.terminate().success());

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound");
    desk.write("tollkeeper.toml", &format!("listen = [\"{address}\"]\n"));
    let told = desk.run(&["doctor", "--json"]);
    let answer: Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!(told.status, 1);
    assert!(only(&answer, "ports").1.contains(&format!("{address} is taken by")), "{answer}");
    drop(taken);

    desk.write("tollkeeper.toml", "listn = []\n");
    let told = desk.run(&["doctor"]);
    assert!(told.status == 1 && told.stdout.contains("unknown key \"listn\", did you mean \"listen\"?"), "{}", told.stdout);

    desk.write("tollkeeper.toml", "");
    let database = desk.path().join("data/tollkeeper.db");
    let mut bytes = std::fs::read(&database).expect("the database");
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0x5a);
    std::fs::write(&database, bytes).expect("damaged");
    let told = desk.run(&["doctor"]);
    assert!(told.status == 1 && told.stdout.contains("error    database"), "{}", told.stdout);
    assert!(told.stdout.contains("restore a backup"), "{}", told.stdout);
}

/// The files of a bundle, one after the other.
fn unpack(path: &std::path::Path) -> (Vec<String>, String) {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(std::fs::File::open(path).expect("the bundle")));
    let (mut names, mut all) = (Vec::new(), String::new());
    for file in archive.entries().expect("a tar") {
        let mut file = file.expect("a file");
        names.push(file.path().expect("a path").display().to_string());
        file.read_to_string(&mut all).expect("text");
    }
    (names, all)
}

#[test]
fn the_support_bundle_holds_what_helps_and_nothing_secret() {
    use base64::Engine as _;
    let desk = Desk::licensed();
    desk.done_with(&["handshake", "add", "216998-kiosk", "--items", "100000001", "--session-password-stdin"], "open sesame 4711\n");
    desk.done_with(&["admin", "user", "add", "wilhelmina", "--role", "viewer", "--password-stdin"], "four words are enough\n");
    let token = desk.done(&["admin", "token", "add", "zabbixprobe", "--scope", "read"]);
    let own = Company::new().issue_for(&["license.plant.example"]);
    desk.write("chain.pem", &own.chain);
    desk.write("key.pem", &own.key);
    desk.done(&["certificate", "set", "--cert", "chain.pem", "--key", "key.pem"]);
    let server = desk.serve();
    let key = desk.done(&["handshake", "key", "216998-kiosk"]);
    let mut device = crate::support::Device::new(server.transport(), "216998-100");
    let authorization = device.authorize().expect("granted");
    let told = desk.run(&["doctor", "--bundle", "support.tar.gz"]);
    assert_eq!(told.status, 0, "{}{}", told.stdout, told.stderr);
    assert!(told.stdout.contains("Wrote support.tar.gz"));
    let path = desk.path().join("support.tar.gz");
    assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    let (names, all) = unpack(&path);
    let files = [
        "README.txt",
        "doctor.txt",
        "doctor.json",
        "about.txt",
        "audit.txt",
        "backups.json",
        "journal.txt",
        "licenses.json",
        "schema.sql",
        "servers.json",
        "settings.txt",
    ];
    assert_eq!(names, files.map(|name| format!("tollkeeper-support/{name}")));
    for useful in ["CREATE TABLE journal", "token_added: 1", "\"quota\":100", "kernel ", ", hash ", "queue: 4096", "runs and answers"] {
        assert!(all.contains(useful), "{useful} is missing in {all}");
    }

    let secret = std::fs::read(desk.path().join("data/secret.key")).expect("secret.key");
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&secret);
    let ticket = authorization["ticket"].as_str().expect("a ticket");
    let (uuid, own_key) = (device.request()["client_uuid"].as_str().expect("a UUID").to_owned(), own.key.lines().nth(1).expect("a line of the key"));
    for hidden in [
        "open sesame",
        "four words",
        "$argon2",
        token.trim(),
        key.trim(),
        hex.as_str(),
        base64.as_str(),
        ticket,
        uuid.as_str(),
        own_key,
        "PRIVATE KEY",
        "TK1.",
        "wilhelmina",
        "zabbixprobe",
        "kiosk",
    ] {
        assert!(!hidden.is_empty() && !all.contains(hidden), "'{hidden}' is in the bundle");
    }
}
