//! The client library against real servers: an application's license from its first start to
//! the day the server is gone, and back.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tollkeeper::client::core::outbox::Submitted;
use tollkeeper::client::status::{Listeners, Origin};
use tollkeeper::client::transport::Method;
use tollkeeper::client::{Code, License, LicenseError, Settings};
use tollkeeper::licensing::ChargeWay;
use tollkeeper::protocol::ErrorCode;

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

fn code_of(error: &LicenseError) -> u16 {
    error.code.number()
}

fn used(site: &Site) -> u64 {
    site.item(1)["used"].as_u64().expect("a number")
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
    // As if an hour had gone by since then: the device knows the site's time of its last moment.
    let path = folder.path().join("device.json");
    let text = std::fs::read_to_string(&path).expect("read");
    let mut device: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let last = device["time"]["last_site"].as_i64().expect("a time");
    device["time"]["last_site"] = json!(last + 3_601);
    std::fs::write(&path, device.to_string()).expect("written");
    let error = License::initialize(&settings).expect_err("ended");
    assert_eq!((code_of(&error), error.failures.len()), (305, 1));
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
    license.flush();
    other.flush();
    assert_eq!((license.idle_instances(), other.idle_instances()), (1, 1));
    assert_eq!(code_of(&other.take_instances(2).expect_err("too many")), 120);
    other.take_instances(1).expect("the last");
    license.give_back_instances(2);
    license.flush();
    other.flush();
    other.take_instances(2).expect("given back");
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
    let error = License::initialize(&settings).expect_err("nothing was carried yet");
    assert!(code_of(&error) == 302 && error.message.contains("request file"), "{error}");
    let request = License::request_file(&settings).expect("request");
    assert!(License::request_line(&settings).expect("line").starts_with("TKR1."));
    let answer = site.admin(Method::Post, "devices/authorize", Some(json!({"request": request})));
    let answer = answer["authorization"].as_str().expect("a file");
    License::import_authorization(&settings, answer).expect("imported");
    let license = License::initialize(&settings).expect("licensed");
    assert_eq!(license.status().origin, Some(Origin::Carried));
    license.record("QR Code", 9).expect("counted");
    license.flush();
    let error = License::import_authorization(&settings, answer).expect_err("an old answer");
    assert_eq!(code_of(&error), 304);
    assert_eq!(license.report_file().expect("none yet"), None, "the slot goes on");
    drop(license);
    // A slot later, by the device's own time.
    let path = folder.path().join("device.json");
    let mut device: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).expect("read")).expect("JSON");
    device["time"]["last_site"] = json!(device["time"]["last_site"].as_i64().expect("time") + 360);
    std::fs::write(&path, device.to_string()).expect("written");
    site.clock.advance_seconds(360);
    let license = License::initialize(&settings).expect("licensed");
    let reports = license.report_file().expect("written").expect("a report");
    let taken = site.admin(Method::Post, "devices/reports", Some(json!({"reports": reports})));
    assert_eq!((taken["accepted"].as_u64(), used(&site)), (Some(1), 9));
    let again = site.admin(Method::Post, "devices/reports", Some(json!({"reports": reports})));
    assert_eq!((again["duplicate"].as_u64(), used(&site)), (Some(1), 9));
    license.import_receipt(taken["receipt"].as_str().expect("a receipt")).expect("taken");
    assert_eq!(license.report_file().expect("read"), None);
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
    let license = License::initialize(&settings(&site, &vendor, folder.path())).expect("licensed");
    license.release();
    let seats = site.admin_get("devices")[0]["seats"].clone();
    assert_eq!(seats, json!([]));
}
