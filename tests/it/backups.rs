//! Backups and the way back from one: nothing half made, nothing half restored, and no number of a
//! fact used twice (domain §8).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use tollkeeper::client::transport::{Method, Transport};
use tollkeeper::clock::{Clock as _, SystemClock};
use tollkeeper::store::facts;
use tollkeeper::store::snapshot::{self, Depth};
use tollkeeper::store::{open, rebuild};

use crate::support::{Desk, Device, Site, Vendor, full_strength, tollkeeper, until};

/// No server of these tests records so many facts.
const GAP: u64 = 1_000_000_000;

fn names(site: &Site) -> Vec<String> {
    let listing = site.admin_get("backups");
    listing["files"].as_array().expect("files").iter().map(|file| file["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_backup_is_made_every_twelve_minutes_and_is_whole() {
    let site = Site::with_settings(|settings| settings.backup.every_minutes = 12);
    let vendor = site.trust(Vendor::new());
    site.import(&vendor, 100, "216998", vec![Vendor::scan_item(1)]);
    let first = until("the first backup", 60, || names(&site).pop());
    assert!(first.ends_with("-scheduled.db"), "{first}");
    site.device("216998-100").authorize().expect("granted");
    site.clock.advance_seconds(719);
    assert_eq!(names(&site), [first.as_str()]);
    site.clock.advance_seconds(1);
    let second = until("the second backup", 60, || Some(names(&site)).filter(|names| names.len() == 2))[0].clone();
    let path = site.data().join("backups").join(&second);
    let contents = snapshot::verify(&path, Depth::Everything, |_, _| true).expect("in order");
    assert!(contents.facts >= 3, "{contents:?}");
    assert_eq!(site.admin(Method::Post, &format!("backups/{second}/verify"), None)["facts"], json!(contents.facts));
    assert_eq!(rebuild::verify(&snapshot::open_copy(&path).expect("opens")).expect("its tables follow from its journal"), contents.facts);
    assert_eq!(site.try_admin(Method::Post, "backups/tollkeeper-20200101T000000Z-manual.db/verify", None).status, 404);
    assert_eq!(site.try_admin(Method::Get, "backups/..%2Ftollkeeper.db/file", None).status, 404);
    assert!(site.try_admin(Method::Get, &format!("backups/{second}/file"), None).body.starts_with(b"SQLite format 3\0"));
}

#[test]
fn what_keeps_a_backup_from_being_made_is_told_until_one_is() {
    let site = Site::with_settings(|settings| {
        settings.backup.every_minutes = 12;
        settings.backup.directory = settings.data.join("nowhere/backups");
        fs::create_dir_all(&settings.data).expect("made");
        fs::write(settings.data.join("nowhere"), "a file where a directory should be").expect("written");
    });
    let kinds = || {
        site.admin_get("alerts")["current"]
            .as_array()
            .expect("alerts")
            .iter()
            .map(|alert| alert["kind"].as_str().expect("a kind").to_owned())
            .collect::<Vec<_>>()
    };
    until("the alert", 60, || kinds().contains(&"backup_failing".to_owned()).then_some(()));
    fs::remove_file(site.data().join("nowhere")).expect("removed");
    site.clock.advance_seconds(20);
    until("its end", 60, || (!kinds().contains(&"backup_failing".to_owned())).then_some(()));
    assert_eq!(names(&site).len(), 1);
}

#[test]
fn a_backup_is_one_moment_of_a_database_that_is_written_all_the_while() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    site.device("216998-100").authorize().expect("granted");
                }
            });
        }
        let target = site.data().join("copy.db");
        for _ in 0..10 {
            let mut steps = 0;
            snapshot::copy(&site.data().join("tollkeeper.db"), &target, |_, _| {
                steps += 1;
                steps < 10_000
            })
            .expect("copied, and not begun anew with every commit");
            snapshot::verify(&target, Depth::Everything, |_, _| true).expect("in order");
            rebuild::verify(&snapshot::open_copy(&target).expect("opens")).expect("one moment");
            fs::remove_file(&target).expect("removed");
        }
        stop.store(true, Ordering::SeqCst);
    });
}

/// The last fact that a server recorded.
fn head(data: &Path) -> u64 {
    let database = open::open(&data.join("tollkeeper.db")).expect("opens");
    rebuild::verify(&database).expect("the journal and the tables agree");
    let origin = facts::list_origins(&database).expect("origins")[0];
    facts::head(&database, origin).expect("head").sequence
}

#[test]
fn a_running_server_goes_back_to_a_backup_and_gets_again_what_devices_have() {
    let desk = Desk::licensed();
    let mut server = desk.serve();
    let data = desk.path().join("data");
    let mut device = Device::new(server.transport(), "216998-100");
    device.authorize().expect("granted");
    let now = SystemClock.now_seconds() - 400;
    let (before, after) = (device.scans(now, json!({"QR Code": 5})), device.scans(now - 180, json!({"QR Code": 7})));
    device.report(std::slice::from_ref(&before)).expect("taken");
    let backup = PathBuf::from(desk.done(&["backup", "now"]).trim_end());
    assert!(desk.done(&["backup", "verify", &backup.display().to_string()]).starts_with("In order: "));

    let taken = device.report(std::slice::from_ref(&after)).expect("taken");
    desk.done(&["handshake", "add", "216998-late", "--items", "100000001"]);
    assert_eq!(desk.json(&["usage", "show", "--json"])["total"], json!(12));
    let told = desk.done(&["backup", "restore", backup.file_name().expect("name").to_str().expect("text")]);
    assert!(told.contains("begins anew"), "{told}");
    server.wait_until_ready(2);
    let audit = Transport::unix(data.join("admin.sock")).request(Method::Get, "/api/v1/admin/audit?action=facts_lost", None).expect("answered");
    assert!(String::from_utf8_lossy(&audit.body).contains("was restored by console"));

    device.transport = server.transport();
    assert_eq!(desk.json(&["usage", "show", "--json"])["total"], json!(5), "as it was");
    assert!(!desk.done(&["handshake", "list"]).contains("216998-late"));
    // The device hears which facts were lost, and sends again what it reported in them.
    let answer = device.authorize().expect("granted");
    let (origin, sequence) = (taken["origin"].as_str().expect("a server"), taken["sequence"].as_u64().expect("a number"));
    let lost = answer["lost"][origin][0].as_array().expect("a range").iter().map(|n| n.as_u64().expect("a number")).collect::<Vec<_>>();
    assert!((lost[0]..=lost[1]).contains(&sequence), "{answer}");
    let again = device.report(&[before, after]).expect("taken");
    assert_eq!((again["accepted"].as_array().map(Vec::len), again["duplicate"].as_array().map(Vec::len)), (Some(1), Some(1)), "{again}");
    assert!(again["sequence"].as_u64().expect("a number") > GAP, "{again}");
    assert_eq!(desk.json(&["usage", "show", "--json"])["total"], json!(12));
    assert!(desk.done(&["backup", "list"]).contains("replaced"), "the other database is kept");
    assert!(server.terminate().success());
    assert!(head(&data) > GAP);
}

#[test]
fn a_backup_goes_to_another_machine_under_a_passphrase_and_not_without() {
    let desk = Desk::licensed();
    let passphrase = "seven dwarfs and a mirror";
    let told = desk.done_with(&["backup", "now", "--passphrase-stdin"], &format!("{passphrase}\n"));
    let backup = told.trim_end();
    let elsewhere = |args: &[&'static str]| [&["backup", "restore", backup, "--data", "other"], args].concat();
    assert!(desk.refused(&elsewhere(&[])).contains("secret.key is missing"), "no secret");
    let wrong = desk.run_with(&elsewhere(&["--passphrase-stdin"]), "eight dwarfs\n");
    assert!(wrong.status == 1 && wrong.stderr.contains("does not open"), "{}", wrong.stderr);
    fs::write(desk.path().join("other/secret.key"), [7; 32]).expect("written");
    assert!(desk.refused(&elsewhere(&[])).contains("another secret.key"));
    assert!(!desk.path().join("other/tollkeeper.db").exists(), "nothing is half done");
    let told = desk.done_with(&elsewhere(&["--passphrase-stdin"]), &format!("{passphrase}\n"));
    assert!(told.starts_with("Restored "), "{told}");
    assert_eq!(desk.json(&["license", "list", "--json", "--data", "other"]), desk.json(&["license", "list", "--json"]));
    assert!(head(&desk.path().join("other")) > GAP, "the two never use the same number");
}

#[test]
fn a_backup_that_is_damaged_or_none_is_refused_and_nothing_is_touched() {
    let desk = Desk::licensed();
    let backup = PathBuf::from(desk.done(&["backup", "now"]).trim_end());
    let bytes = fs::read(&backup).expect("read");
    let at = |text: &[u8]| bytes.windows(text.len()).position(|window| window == text).expect("in the file");
    let mut one_letter = bytes.clone();
    one_letter[at(b"\"license_id\":100,") + 14] = b'7';
    let mut cut_off = bytes.clone();
    cut_off.truncate(bytes.len() / 2);
    let mut newer = bytes.clone();
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
    for (what, bytes, why) in
        [("changed", one_letter, "hash"), ("cut off", cut_off, ""), ("newer", newer, "version 99"), ("no database", b"hello".to_vec(), "")]
    {
        desk.write("bad.db", "");
        fs::write(desk.path().join("bad.db"), bytes).expect("written");
        for command in ["verify", "restore"] {
            let refusal = desk.refused(&["backup", command, "bad.db"]);
            assert!(refusal.contains("bad.db") && refusal.contains(why), "{what}: {refusal}");
        }
    }
    assert!(desk.refused(&["backup", "restore", "missing.db"]).contains("no file missing.db"));
    assert!(head(&desk.path().join("data")) < GAP);
    assert_eq!(desk.json(&["license", "list", "--json"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn an_older_database_that_somebody_put_back_by_hand_is_noticed() {
    let desk = Desk::licensed();
    let data = desk.path().join("data");
    let old = fs::read(data.join("tollkeeper.db")).expect("read");
    desk.done(&["handshake", "add", "216998-late", "--items", "100000001"]);
    let server = desk.serve();
    until("the mark", 60, || fs::read_to_string(data.join("sequence.mark")).ok());
    assert!(server.terminate().success());
    let last = head(&data);
    fs::write(data.join("tollkeeper.db"), &old).expect("written");
    assert!(!desk.done(&["handshake", "list"]).contains("216998-late"));
    let now = head(&data);
    assert!(now > GAP && now > last, "{now}");
}

#[test]
fn a_device_that_knows_more_than_the_journal_is_believed_once() {
    let (mut site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let mut device = site.device("216998-100");
    device.authorize().expect("granted");
    site.stop();
    let old = fs::read(site.data().join("tollkeeper.db")).expect("read");
    site.start();
    device.transport = site.anonymous().clone();
    let report = device.scans(site.now() - 400, json!({"QR Code": 3}));
    let taken = device.report(std::slice::from_ref(&report)).expect("taken");
    site.stop();
    fs::write(site.data().join("tollkeeper.db"), old).expect("written");
    let _ = fs::remove_file(site.data().join("sequence.mark"));
    site.start();
    device.transport = site.anonymous().clone();

    let (origin, sequence) = (taken["origin"].as_str().expect("a server").to_owned(), taken["sequence"].as_u64().expect("a number"));
    let seen = |number: u64| json!({"seen": {origin.as_str(): number}});
    let mut stranger = site.device("216998-100");
    let answer = stranger.authorize_with(seen(sequence + 5)).expect("granted");
    assert_eq!(answer["lost"], Value::Null, "nobody knows this device");
    let answer = device.authorize_with(seen(9_000_000_000_000_000)).expect("granted");
    assert_eq!(answer["lost"], Value::Null, "that cannot be");
    let ahead = sequence + 100;
    let answer = device.authorize_with(seen(ahead)).expect("granted");
    let range = &answer["lost"][origin.as_str()][0];
    assert!(range[0].as_u64().expect("a number") <= ahead && range[1].as_u64().expect("a number") > ahead, "{answer}");
    let mut body = device.report_body(&[report]);
    body["seen"] = json!({origin.as_str(): ahead});
    let again: Value = device.transport.post_json("/api/v1/reports", &body, &[]).expect("answered").json().expect("JSON");
    assert_eq!(again["accepted"].as_array().map(Vec::len), Some(1), "{again}");
    assert!(again["sequence"].as_u64().expect("a number") > GAP, "{again}");
    let kinds = site.admin_get("audit?action=facts_lost");
    assert_eq!(kinds["entries"].as_array().map(Vec::len), Some(1), "{kinds}");
}

#[test]
fn an_older_database_is_copied_before_it_is_brought_up_to_date_whenever_that_is_interrupted() {
    let desk = Desk::licensed();
    let data = desk.path().join("data");
    let licenses = desk.json(&["license", "list", "--json"]);
    let to_older = || {
        let database = Connection::open(data.join("tollkeeper.db")).expect("opens");
        database
            .execute_batch(
                "DROP TABLE gaps; DROP TABLE IF EXISTS alert_history; DROP TABLE IF EXISTS alert_levels; DROP TABLE IF EXISTS outbox; PRAGMA user_version = 3",
            )
            .expect("as the version before left it");
    };
    let copies = || -> Vec<PathBuf> {
        let entries = fs::read_dir(data.join("backups")).into_iter().flatten().map(|entry| entry.expect("an entry").path());
        entries.filter(|path| path.to_string_lossy().ends_with("-before-upgrade.db")).collect()
    };
    to_older();
    let rounds = if full_strength() { 60 } else { 8 };
    for _ in 0..rounds {
        let mut child = tollkeeper(&["serve", "--data", &data.display().to_string(), "--listen", "127.0.0.1:0"]).stderr(Stdio::null()).spawn().expect("starts");
        std::thread::sleep(Duration::from_micros(uuid::Uuid::new_v4().as_u64_pair().0 % 60_000));
        child.kill().expect("killed");
        child.wait().expect("ended");
        let database = Connection::open(data.join("tollkeeper.db")).expect("opens");
        let version: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0)).expect("read");
        drop(database);
        assert!((3..=open::newest_version()).contains(&version));
        if version != 3 {
            assert!(!copies().is_empty(), "first the copy, then the change");
            to_older();
        }
    }
    assert_eq!(desk.json(&["license", "list", "--json"]), licenses);
    let copies = copies();
    assert!(!copies.is_empty());
    for copy in copies {
        let contents = snapshot::verify(&copy, Depth::Everything, |_, _| true).expect("whole");
        assert_eq!(contents.version, 3);
    }
    assert!(!fs::read_dir(data.join("backups")).expect("read").any(|entry| entry.expect("entry").path().extension().is_some_and(|end| end == "part")));
}
