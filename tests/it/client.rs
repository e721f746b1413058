//! The client library against real servers: an application's license from its first start to
//! the day the server is gone, and back.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tollkeeper::client::core::outbox::Submitted;
use tollkeeper::client::status::{Listeners, Origin, Status};
use tollkeeper::client::transport::Method;
use tollkeeper::client::{Code, License, LicenseError, Settings};
use tollkeeper::clock::{Clock as _, SystemClock};
use tollkeeper::licensing::ChargeWay;
use tollkeeper::protocol::ErrorCode;

use crate::support::wire::granted;
use crate::support::{Site, Vendor};

/// Settings of an application of this site, by fields.
pub fn settings(site: &Site, vendor: &Vendor, folder: &Path) -> Settings {
    Settings {
        vendor_public_key: vendor.key.verifying_key().to_spki_pem(),
        main_server_url: Some(format!("https://{}", site.app().https_addresses()[0])),
        certificate_authority: Some(site.app().context().ca_pem.clone()),
        handshake_code: Some("216998-100".into()),
        product: "dbr".into(),
        data_folder: Some(folder.to_owned()),
        ..Settings::default()
    }
}

/// The server keeps its address when it starts again.
fn keep_address(site: &mut Site) {
    site.settings.listen = vec![site.app().https_addresses()[0].to_string()];
}

/// Moves the device's clock, as far as its data folder goes: the site's time is as given.
fn set_clock(folder: &Path, site_time: i64) {
    let path = folder.join("device.json");
    let mut device: serde_json::Value = match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).expect("JSON"),
        Err(_) => json!({"version": 1, "time": {"last_site": 0, "last_local": 0, "skew": 0}}),
    };
    device["time"]["skew"] = json!(site_time - SystemClock.now_seconds());
    std::fs::write(&path, device.to_string()).expect("written");
}

fn code_of(error: &LicenseError) -> u16 {
    error.code.number()
}

fn used(site: &Site) -> u64 {
    site.item(1)["used"].as_u64().expect("a number")
}

#[test]
fn a_start_asks_once() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    for start in 1..=40 {
        let folder = tempfile::tempdir().expect("dir");
        drop(License::start(&settings(&site, &vendor, folder.path()), Listeners::default()).expect("licensed"));
        assert_eq!(granted(&site), json!(start));
    }
}

#[test]
fn an_application_is_licensed_goes_on_without_the_server_and_reports_when_it_is_back() {
    let (mut site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    keep_address(&mut site);
    let folder = tempfile::tempdir().expect("dir");
    let settings = settings(&site, &vendor, folder.path());
    let license = License::initialize(&settings).expect("licensed");
    assert!(matches!(license.status().origin, Some(Origin::Server(_))));
    assert_eq!(license.status().handshake_code.as_deref(), Some("216998-100"));
    license.check(None).expect("covered");
    license.record("QR Code", 3).expect("counted");
    drop(license);

    site.stop();
    let license = License::initialize(&settings).expect("licensed offline");
    let status = license.status();
    assert_eq!((status.origin, status.failures.len(), code_of_failure(&status.failures)), (Some(Origin::Kept), 1, 302));
    license.record("Code 128", 4).expect("counted");
    license.record("QR Code", 1).expect("counted");
    drop(license);

    // The slot is over when the application starts again.
    site.clock.advance_seconds(360);
    site.start();
    let license = License::initialize(&settings).expect("licensed again");
    drop(license);
    assert_eq!(used(&site), 8);
    let by_type = site.admin_get("statistics?handshake=216998-100")["by_type"].clone();
    assert_eq!(by_type, json!({"Code 128": 4, "QR Code": 4}));
    let left = std::fs::read_dir(folder.path()).expect("list").flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("reports-")).count();
    assert_eq!(left, 0, "what is safe at the server is not kept");
}

fn code_of_failure(failures: &[tollkeeper::client::ServerFailure]) -> u16 {
    failures[0].code.number()
}

#[test]
fn what_a_server_says_reaches_the_developer() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    site.admin(Method::Patch, "handshakes/216998-100", Some(json!({"session_password": "open sesame"})));
    let folder = tempfile::tempdir().expect("dir");
    let locked = settings(&site, &vendor, folder.path());
    let error = License::initialize(&locked).expect_err("no password");
    assert_eq!((code_of(&error), error.sdk_code()), (102, -20_102));
    assert!(error.message.contains("session password") && !error.user_message().is_empty(), "{error}");
    let open = Settings { session_password: Some("open sesame".into()), ..locked.clone() };
    drop(License::initialize(&open).expect("licensed"));
    // The refusal of other settings takes nothing from these.
    let error = License::initialize(&Settings { session_password: Some("guess".into()), ..locked }).expect_err("wrong password");
    assert_eq!(code_of(&error), 102);
    let unknown = Settings { handshake_code: Some("216998-nothing".into()), ..open.clone() };
    assert_eq!(code_of(&License::initialize(&unknown).expect_err("unknown")), 101);
    let other = Settings { product: "ocr".into(), ..open };
    assert_eq!(code_of(&License::initialize(&other).expect_err("another product")), 106);
}

#[test]
fn another_server_takes_over_and_the_one_that_failed_is_told() {
    let (mut main, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let standby = Site::empty();
    let vendor = standby.trust(vendor);
    standby.import(&vendor, 100, "216998", vec![Vendor::scan_item(1)]);
    let folder = tempfile::tempdir().expect("dir");
    // Two sites of their own have two authorities; the pin is one of a pair's.
    let settings = Settings {
        standby_server_url: Some(format!("https://{}", standby.app().https_addresses()[0])),
        certificate_authority: Some(standby.app().context().ca_pem.clone()),
        ..settings(&main, &vendor, folder.path())
    };
    let license = License::initialize(&settings).expect("licensed by the standby");
    let status = license.status();
    assert_eq!(status.origin, settings.standby_server_url.clone().map(Origin::Server));
    assert_eq!(code_of_failure(&status.failures), 303, "main has another authority");
    drop(license);
    main.stop();
    let license = License::initialize(&settings).expect("licensed by the standby");
    assert_eq!(code_of_failure(&license.status().failures), 302);
}

#[test]
fn a_refusal_ends_the_authorization_of_before_and_a_server_that_is_not_well_does_not() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let folder = tempfile::tempdir().expect("dir");
    let settings = settings(&site, &vendor, folder.path());
    let license = License::initialize(&settings).expect("licensed");
    license.record("QR Code", 106).expect("counted");
    license.flush();
    // The clock of the server stands far behind: nobody is authorized (210).
    site.clock.advance_seconds(-3_600);
    license.renew().expect("goes on with what it has");
    assert_eq!((license.status().origin, code_of_failure(&license.status().failures)), (Some(Origin::Kept), 210));
    site.clock.advance_seconds(3_600 + 360);
    license.renew().expect("renewed");
    assert_eq!(used(&site), 106, "quota and grace are used up");
    let error = license.renew().expect_err("refused");
    assert_eq!(code_of(&error), 120);
    assert_eq!(license.check(None).expect_err("ended").code, Code::Server(ErrorCode::LimitReached));
    drop(license);
    let error = License::initialize(&settings).expect_err("still refused");
    assert_eq!(code_of(&error), 120);
}

#[test]
fn an_authorization_ends_offline_whatever_the_clock_says() {
    let mut item = Vendor::scan_item(1);
    item.local_license_validity = "1h".parse().expect("a duration");
    let (mut site, vendor) = Site::licensed(vec![item]);
    let folder = tempfile::tempdir().expect("dir");
    let settings = settings(&site, &vendor, folder.path());
    drop(License::initialize(&settings).expect("licensed"));
    site.stop();
    drop(License::initialize(&settings).expect("kept"));
    let time = |name: &str| {
        let text = std::fs::read_to_string(folder.path().join("device.json")).expect("read");
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["time"][name].as_i64().expect("a number")
    };
    let given = time("proven");
    set_clock(folder.path(), given + 3_590);
    drop(License::initialize(&settings).expect("kept to the end"));
    set_clock(folder.path(), given + 3_800);
    let error = License::initialize(&settings).expect_err("ended");
    assert_eq!((code_of(&error), error.failures.len()), (305, 1));
    // Turned back, to before it was given.
    set_clock(folder.path(), given - 86_400);
    assert_eq!(code_of(&License::initialize(&settings).map(drop).expect_err("ended for good")), 305);
}

#[test]
fn a_copied_data_folder_is_a_clone() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let (one, other) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let first = settings(&site, &vendor, one.path());
    drop(License::initialize(&first).expect("licensed"));
    for name in ["device.json", "authorizations.json"] {
        std::fs::copy(one.path().join(name), other.path().join(name)).expect("copied");
    }
    let second = Settings { data_folder: Some(other.path().to_owned()), ..first.clone() };
    drop(License::initialize(&second).expect("the first of the two to ask"));
    assert_eq!(code_of(&License::initialize(&first).expect_err("noticed")), 151);
}

#[test]
fn modules_and_instances_are_checked_without_asking_anybody() {
    let mut item = Vendor::scan_item(1);
    item.charge_way = ChargeWay::ConcurrentInstance;
    item.quota = 5;
    item.modules = vec!["core".into(), "pdf".into()];
    let (mut site, vendor) = Site::licensed(vec![item]);
    let folder = tempfile::tempdir().expect("dir");
    let settings = Settings { instances: 4, ..settings(&site, &vendor, folder.path()) };
    let license = License::initialize(&settings).expect("licensed");
    let other = License::initialize(&settings).expect("licensed");
    site.stop();
    license.check(Some("PDF")).expect("covered");
    assert_eq!(code_of(&license.check(Some("ocr")).expect_err("not covered")), 204);
    license.take_instances(3).expect("granted");
    assert_eq!((license.idle_instances(), other.idle_instances()), (1, 1));
    assert_eq!(code_of(&other.take_instances(2).expect_err("too many")), 120);
    other.take_instances(1).expect("the last");
    license.give_back_instances(2);
    other.take_instances(2).expect("given back");
    // Who comes later knows what the others hold, and who is gone holds nothing.
    let third = License::initialize(&settings).expect("kept");
    assert_eq!((third.idle_instances(), code_of(&third.take_instances(1).expect_err("none is left"))), (0, 120));
    drop(other);
    third.take_instances(3).expect("those of the one that ended");
    assert_eq!(code_of(&license.take_instances(1).expect_err("none is left")), 120);
}

#[test]
fn of_processes_that_take_at_the_same_moment_only_one_gets_the_last() {
    let mut item = Vendor::scan_item(1);
    item.charge_way = ChargeWay::ConcurrentInstance;
    let (site, vendor) = Site::licensed(vec![item]);
    let folder = tempfile::tempdir().expect("dir");
    let settings = Settings { instances: 4, ..settings(&site, &vendor, folder.path()) };
    let licenses: Vec<License> = (0..4).map(|_| License::initialize(&settings).expect("licensed")).collect();
    let got: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = licenses.iter().map(|license| scope.spawn(|| license.take_instances(3).is_ok())).collect();
        threads.into_iter().map(|thread| thread.join().expect("taken or not")).collect()
    });
    assert_eq!(got.iter().filter(|got| **got).count(), 1, "{got:?}");
}

#[test]
fn two_processes_of_a_machine_count_into_one_report() {
    let (mut site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    keep_address(&mut site);
    let folder = tempfile::tempdir().expect("dir");
    let settings = settings(&site, &vendor, folder.path());
    let told = Arc::new(Mutex::new(Vec::<Submitted>::new()));
    let heard = Arc::clone(&told);
    let reported = Box::new(move |submitted: &Submitted| heard.lock().expect("lock").push(submitted.clone()));
    let one = License::initialize_with(&settings, Listeners { reported: Some(reported), ..Listeners::default() }).expect("licensed");
    let other = License::initialize(&settings).expect("licensed too, and no clone");
    assert_eq!(one.status().client_uuid, other.status().client_uuid);
    one.record("QR Code", 2).expect("counted");
    other.record("QR Code", 5).expect("counted");
    one.flush();
    other.flush();
    site.clock.advance_seconds(400);
    one.renew().expect("renewed");
    assert_eq!(used(&site), 7);
    assert_eq!(told.lock().expect("lock").iter().map(|submitted| submitted.accepted).sum::<u64>(), 1);
    other.renew().expect("renewed");
    assert_eq!(used(&site), 7);
}

#[test]
fn a_device_without_any_network_is_licensed_by_hand() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let folder = tempfile::tempdir().expect("dir");
    let settings = Settings { main_server_url: None, certificate_authority: None, ..settings(&site, &vendor, folder.path()) };
    set_clock(folder.path(), site.now());
    let error = License::initialize(&settings).expect_err("nothing was carried yet");
    assert!(code_of(&error) == 302 && error.message.contains("request file"), "{error}");
    let request = License::request_file(&settings).expect("request");
    assert!(License::request_line(&settings).expect("line").starts_with("TKR1."));
    let answer = site.admin(Method::Post, "devices/authorize", Some(json!({"request": request})));
    let answer = answer["authorization"].as_str().expect("a file");
    // It travels for five days.
    site.clock.advance_seconds(5 * 86_400);
    set_clock(folder.path(), site.now());
    License::import_authorization(&settings, answer).expect("imported");
    let license = License::initialize(&settings).expect("licensed");
    assert_eq!(license.status().origin, Some(Origin::Carried));
    license.record("QR Code", 9).expect("counted");
    license.flush();
    let error = License::import_authorization(&settings, answer).expect_err("an old answer");
    assert_eq!(code_of(&error), 304);
    assert_eq!(license.report_file().expect("none yet"), None, "the slot goes on");
    drop(license);
    // A slot later.
    site.clock.advance_seconds(360);
    set_clock(folder.path(), site.now());
    let license = License::initialize(&settings).expect("licensed");
    let reports = license.report_file().expect("written").expect("a report");
    assert!(reports.contains(": 1 report\n"), "{reports}");
    let taken = site.admin(Method::Post, "devices/reports", Some(json!({"reports": reports})));
    assert_eq!((taken["accepted"].as_u64(), used(&site)), (Some(1), 9));
    let again = site.admin(Method::Post, "devices/reports", Some(json!({"reports": reports})));
    assert_eq!((again["duplicate"].as_u64(), used(&site)), (Some(1), 9));
    license.import_receipt(taken["receipt"].as_str().expect("a receipt")).expect("taken");
    assert_eq!(license.report_file().expect("read"), None);
    drop(license);
    // It ends a week after it was given, not after it came.
    set_clock(folder.path(), site.now() + 2 * 86_400);
    assert_eq!(code_of(&License::initialize(&settings).expect_err("ended")), 305);
}

#[test]
fn what_was_done_before_an_update_is_carried_with_what_was_done_after_it() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let folder = tempfile::tempdir().expect("dir");
    set_clock(folder.path(), site.now());
    let bare = Settings { main_server_url: None, certificate_authority: None, ..settings(&site, &vendor, folder.path()) };
    for (version, count) in [("1.0", 3), ("2.0", 4), ("3.0", 5)] {
        let settings = Settings { product_version: Some(version.into()), ..bare.clone() };
        let request = License::request_file(&settings).expect("request");
        let answer = site.admin(Method::Post, "devices/authorize", Some(json!({"request": request})));
        License::import_authorization(&settings, answer["authorization"].as_str().expect("a file")).expect("imported");
        let license = License::initialize(&settings).expect("licensed");
        license.record("QR Code", count).expect("counted");
    }
    site.clock.advance_seconds(360);
    set_clock(folder.path(), site.now());
    // The application was updated once more, and is not even licensed.
    let license = License::start(&Settings { product_version: Some("4.0".into()), ..bare }, Listeners::default()).expect("started");
    let reports = license.report_file().expect("written").expect("reports");
    assert!(reports.contains(": 3 reports\n"), "{reports}");
    let taken = site.admin(Method::Post, "devices/reports", Some(json!({"reports": reports})));
    assert_eq!((taken["accepted"].as_u64(), used(&site)), (Some(3), 12));
    license.import_receipt(taken["receipt"].as_str().expect("a receipt")).expect("taken");
    assert_eq!(license.report_file().expect("read"), None);
}

#[test]
fn one_authorization_that_is_not_good_here_holds_up_no_other() {
    use tollkeeper::documents::carried::{self, Kind};
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    let (good, bad) = (device.scans(site.now() - 180, json!({"QR Code": 3})), device.scans(site.now() - 180, json!({"QR Code": 4})));
    let content = json!({"client_uuid": device.client, "authorization": "of another server", "reports": [bad],
        "further": [{"authorization": device.authorization, "reports": [good]}]});
    let file = |content: &serde_json::Value| json!({"reports": carried::line(Kind::Reports, content)});
    let taken = site.admin(Method::Post, "devices/reports", Some(file(&content)));
    assert_eq!((&taken["accepted"], &taken["rejected"][0]["code"], used(&site)), (&json!(1), &json!(203), 3));
    let alone = json!({"client_uuid": device.client, "authorization": "of another server", "reports": [bad]});
    let reply = site.try_admin(Method::Post, "devices/reports", Some(file(&alone)));
    assert_eq!(reply.json::<serde_json::Value>().expect("a problem")["code"], 203);
}

/// A server that accepts connections and says nothing.
fn silent_server() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("bound"));
    (listener, url)
}

fn on_disk(folder: &Path) -> u64 {
    let Ok(text) = std::fs::read_to_string(folder.join("open.json")) else { return 0 };
    let open: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    open["reports"].as_array().expect("reports").iter().filter_map(|open| open["report"]["counts"]["QR Code"].as_u64()).sum()
}

#[test]
fn counts_come_to_disk_in_time_while_a_server_is_silent() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let folder = tempfile::tempdir().expect("dir");
    let settings = Settings { flush_seconds: 1, ..settings(&site, &vendor, folder.path()) };
    drop(License::initialize(&settings).expect("licensed"));
    let (_listener, url) = silent_server();
    let settings = Settings { main_server_url: Some(url), ..settings };
    let license = Arc::new(License::initialize(&settings).expect("kept"));
    let began = Instant::now();
    let renewing = {
        let license = Arc::clone(&license);
        std::thread::spawn(move || license.renew())
    };
    // The first count after an idle time, by the promise that nobody wakes for.
    license.record("QR Code", 1).expect("counted");
    while on_disk(folder.path()) < 1 {
        assert!(began.elapsed() < Duration::from_secs(4), "it is not on disk after {:?}", began.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    license.record("QR Code", 2).expect("counted");
    license.flush();
    assert_eq!(on_disk(folder.path()), 3);
    assert!(!renewing.is_finished(), "the server is silent all the time");
    renewing.join().expect("ended").expect("kept");
}

#[test]
fn processes_do_not_wait_for_each_other_in_turn() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let folder = tempfile::tempdir().expect("dir");
    let settings = settings(&site, &vendor, folder.path());
    drop(License::initialize(&settings).expect("licensed"));
    let (_listener, url) = silent_server();
    let settings = Settings { main_server_url: Some(url), ..settings };
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_eq!(License::initialize(&settings).expect("kept").status().origin, Some(Origin::Kept)));
        }
    });
    // One after the other they would take 5 s each.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn one_slot_gives_one_report_however_seldom_is_flushed() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let folder = tempfile::tempdir().expect("dir");
    let settings = Settings { flush_seconds: 3_600, ..settings(&site, &vendor, folder.path()) };
    let license = License::initialize(&settings).expect("licensed");
    license.record("QR Code", 1).expect("counted");
    license.flush();
    license.record("QR Code", 2).expect("counted");
    site.clock.advance_seconds(360);
    license.renew().expect("renewed");
    site.clock.advance_seconds(360);
    license.renew().expect("renewed");
    assert_eq!(used(&site), 3);
    let journal = site.admin_get("statistics?handshake=216998-100");
    assert_eq!(journal["total"], 3);
    assert_eq!(code_of(&license.record("QR Code", 0).expect_err("nothing was done")), 200);
}

/// What a listener that calls the license back does, and hears.
#[derive(Default)]
struct Calls {
    license: Mutex<Option<Arc<License>>>,
    done: Mutex<Vec<&'static str>>,
    changed: Condvar,
}

impl Calls {
    fn note(&self, what: &'static str) {
        self.done.lock().expect("lock").push(what);
        self.changed.notify_all();
    }

    /// Until it did this.
    fn wait_for(&self, what: &str) {
        let done = self.done.lock().expect("lock");
        let (done, waited) = self.changed.wait_timeout_while(done, Duration::from_secs(30), |done| !done.contains(&what)).expect("lock");
        assert!(!waited.timed_out(), "no '{what}' among {done:?}");
    }
}

#[test]
fn a_listener_may_call_the_license_back() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let folder = tempfile::tempdir().expect("dir");
    let calls = Arc::new(Calls::default());
    let heard = Arc::clone(&calls);
    let license_changed = Box::new(move |_: &Status| {
        let Some(license) = heard.license.lock().expect("lock").take() else { return heard.note("no license yet") };
        license.record("QR Code", 1).expect("counted");
        license.flush();
        license.report_file().expect("none");
        license.take_instances(1).expect("taken");
        license.renew().expect("afterwards");
        heard.note("called back");
        drop(license);
        heard.note("dropped");
    });
    let license =
        License::initialize_with(&settings(&site, &vendor, folder.path()), Listeners { license_changed: Some(license_changed), ..Listeners::default() });
    let license = Arc::new(license.expect("licensed"));
    calls.wait_for("no license yet");
    *calls.license.lock().expect("lock") = Some(Arc::clone(&license));
    license.renew().expect("renewed");
    // Whoever is the last to hold it drops it.
    drop(license);
    calls.wait_for("dropped");
    assert_eq!(on_disk(folder.path()), 1);
}

#[test]
fn a_listener_that_panics_ends_nothing() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let folder = tempfile::tempdir().expect("dir");
    let calls = Arc::new(Calls::default());
    let heard = Arc::clone(&calls);
    let warning = Box::new(move |error: &LicenseError| {
        assert_eq!(code_of(error), 300);
        heard.note("warned");
        panic!("of this nobody hears");
    });
    let license_changed = Box::new(|_: &Status| panic!("on purpose"));
    let listeners = Listeners { license_changed: Some(license_changed), warning: Some(warning), ..Listeners::default() };
    let license = License::initialize_with(&settings(&site, &vendor, folder.path()), listeners).expect("licensed");
    license.renew().expect("renewed");
    calls.wait_for("warned");
    license.record("QR Code", 1).expect("counted");
    license.release().expect("given back");
}

#[test]
fn product_keys_need_no_server() {
    use tollkeeper::documents::product_key::{ProductKey, VERSION};
    let vendor = Vendor::new();
    let folder = tempfile::tempdir().expect("dir");
    let key = ProductKey {
        product_key_version: VERSION.into(),
        product_key_id: 7,
        organization_id: None,
        product: "dbr".into(),
        editions: vec![],
        versions: Default::default(),
        deployment_types: vec![],
        modules: vec!["core".into()],
        valid_from: "2020-01-01T00:00:00Z".parse().expect("time"),
        valid_to: "2099-01-01T00:00:00Z".parse().expect("time"),
        machine: None,
        domain: None,
        issued_at: "2020-01-01T00:00:00Z".parse().expect("time"),
    };
    let settings = Settings {
        vendor_public_key: vendor.key.verifying_key().to_spki_pem(),
        product: "dbr".into(),
        product_key: Some(key.seal(&vendor.key)),
        data_folder: Some(folder.path().to_owned()),
        ..Settings::default()
    };
    let license = License::initialize(&settings).expect("licensed");
    assert_eq!(license.status().origin, Some(Origin::ProductKey));
    license.check(Some("core")).expect("covered");
    assert_eq!(code_of(&license.check(Some("ocr")).expect_err("not covered")), 204);
    license.record("QR Code", 1).expect("nobody counts");
    let ended = ProductKey { valid_to: "2021-01-01T00:00:00Z".parse().expect("time"), ..key.clone() };
    let old = Settings { product_key: Some(ended.seal(&vendor.key)), ..settings.clone() };
    assert_eq!(code_of(&License::initialize(&old).expect_err("ended")), 111);
    let forged = Settings { product_key: Some(key.seal(&Vendor::new().key)), ..settings.clone() };
    assert_eq!(code_of(&License::initialize(&forged).expect_err("forged")), 307);
    let both = Settings { handshake_code: Some("216998-100".into()), ..settings };
    assert_eq!(code_of(&License::initialize(&both).expect_err("both")), 301);
}

#[test]
fn releasing_frees_the_seat() {
    let mut item = Vendor::scan_item(1);
    item.charge_way = ChargeWay::Device;
    item.period = Some(tollkeeper::licensing::Period::Quarter);
    item.quota = 1;
    let (site, vendor) = Site::licensed(vec![item]);
    let folder = tempfile::tempdir().expect("dir");
    let settings = settings(&site, &vendor, folder.path());
    let license = License::initialize(&settings).expect("licensed");
    license.record("QR Code", 7).expect("counted");
    license.release().expect("given back");
    let seats = site.admin_get("devices")[0]["seats"].clone();
    assert_eq!(seats, json!([]));
    assert_eq!(site.admin_get("statistics?handshake=216998-100")["total"], 7, "the slot that goes on is reported too");
    assert!(matches!(License::initialize(&settings).expect("a seat again").status().origin, Some(Origin::Server(_))));
}

#[test]
fn a_license_that_cannot_be_given_back_is_kept() {
    let (mut site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    keep_address(&mut site);
    let folder = tempfile::tempdir().expect("dir");
    let settings = settings(&site, &vendor, folder.path());
    let license = License::initialize(&settings).expect("licensed");
    license.record("QR Code", 7).expect("counted");
    site.stop();
    assert_eq!(code_of(&license.release().expect_err("nobody takes it")), 302);
    let license = License::initialize(&settings).expect("kept");
    assert_eq!(license.status().origin, Some(Origin::Kept));
    site.start();
    license.release().expect("given back");
    assert_eq!(used(&site), 7);
}
