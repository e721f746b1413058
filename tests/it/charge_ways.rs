//! How the charge ways beyond scan, page and device count (domain §4), and what else the
//! engine decides: trials, renewals, why a request was refused, which pages may read.

use serde_json::{Value, json};
use tollkeeper::client::transport::Method;
use tollkeeper::clock::rfc3339;
use tollkeeper::licensing::LicenseItem;

use crate::error_codes::{ask, ask_from, granted, refused};
use crate::support::{Device, Site, Vendor};

const DAY: i64 = 86_400;
const SLOT: i64 = 180;

fn item(fields: Value) -> LicenseItem {
    let mut whole = json!({"item_id": 1, "product": "dbr"});
    whole.as_object_mut().expect("object").extend(fields.as_object().expect("fields").clone());
    Vendor::item(whole)
}

/// The device used the product in this slot.
fn use_in(device: &Device, slot: i64, fields: Value) {
    let mut report = device.scans(slot, json!({"QR Code": 1}));
    report.as_object_mut().expect("object").extend(fields.as_object().expect("fields").clone());
    let answer = device.report(&[report.clone()]).expect("taken");
    assert_eq!(answer["accepted"], json!([report["report_id"]]), "{answer}");
}

fn code_of(outcome: Result<Value, Value>) -> u64 {
    outcome.expect_err("refused")["code"].as_u64().expect("a code")
}

fn number(site: &Site, column: &str) -> u64 {
    site.item(1)[column].as_u64().expect("a number")
}

#[test]
fn any_number_of_concurrent_devices_is_authorized_until_the_tolerance_is_spent() {
    let (site, _) = Site::licensed(vec![item(json!({"charge_way": "concurrent_device", "quota": 2, "grace": {"tolerance": 3, "growth_per_day": 0}}))]);
    let mut devices: Vec<Device> = (0..5).map(|_| site.device("216998-100")).collect();
    for device in &mut devices {
        device.authorize().expect("any number");
    }
    // Two at once are what was bought; a second report of the same device changes nothing.
    for device in [&devices[0], &devices[1], &devices[1]] {
        use_in(device, site.now() - SLOT, json!({}));
    }
    assert_eq!((number(&site, "used"), number(&site, "grace_left"), number(&site, "overuse")), (2, 6, 0));
    // Five at once are three too many: the tolerance of 3 x 2 lasts for two such slots.
    for slot in [2, 3] {
        assert!(site.device("216998-100").authorize().is_ok(), "tolerance is left");
        for device in &devices {
            use_in(device, site.now() - slot * SLOT, json!({"instances": 7}));
        }
    }
    assert_eq!((number(&site, "used"), number(&site, "grace_left"), number(&site, "overuse")), (5, 0, 0));
    assert_eq!(site.item(1)["status"], "used_up");
    assert_eq!(code_of(site.device("216998-100").authorize()), 120);
    use_in(&devices[0], site.now() - 4 * SLOT, json!({}));
    for device in &devices {
        use_in(device, site.now() - 4 * SLOT, json!({}));
    }
    assert_eq!((number(&site, "grace_left"), number(&site, "overuse")), (0, 3), "what is beyond the tolerance is recorded");
    // Seven devices hold authorizations. When those have ended, two may work again.
    site.clock.advance_seconds(8 * DAY);
    devices[0].authorize().expect("the first of two");
    devices[1].authorize().expect("the second of two");
    assert_eq!(code_of(devices[2].authorize()), 120);
    devices[0].authorize().expect("whoever has one may renew it");
}

#[test]
fn the_tolerance_grows_with_time() {
    let (site, _) = Site::licensed(vec![item(json!({
        "charge_way": "concurrent_device", "quota": 1, "valid_from": rfc3339(crate::support::NOON), "grace": {"tolerance": 0, "growth_per_day": 2}
    }))]);
    assert_eq!(number(&site, "grace_left"), 0);
    site.clock.advance_seconds(DAY - 1);
    assert_eq!(number(&site, "grace_left"), 0);
    site.clock.advance_seconds(1);
    assert_eq!(number(&site, "grace_left"), 2);
    site.clock.advance_seconds(9 * DAY);
    assert_eq!(number(&site, "grace_left"), 20);
}

#[test]
fn instances_are_counted_as_asked_for_and_shared_by_the_applications_of_a_machine() {
    let (site, _) = Site::licensed(vec![item(json!({"charge_way": "concurrent_instance", "quota": 10, "grace": {"tolerance": 0, "growth_per_day": 0}}))]);
    let mut one = site.device("216998-100");
    assert_eq!(code_of(one.authorize_with(json!({"instances": 11}))), 120, "no more than was bought");
    one.authorize_with(json!({"instances": 6})).expect("6 of 10");
    let (mut scanner, mut printer) = (site.device("216998-100"), site.device("216998-100"));
    printer.client = scanner.client;
    assert_eq!(code_of(scanner.authorize_with(json!({"instances": 5}))), 120, "there is no tolerance, so 4 are left");
    scanner.authorize_with(json!({"instances": 4})).expect("4 of 10");
    printer.ticket.clone_from(&scanner.ticket);
    printer.authorize_with(json!({"instances": 2})).expect("shares the 4 of its machine");
    assert_eq!(number(&site, "granted"), 10);
    assert_eq!(code_of(site.device("216998-100").authorize()), 120);
    // In a slot the machine counts once, with the most that one of its applications has.
    for device in [&scanner, &printer, &one] {
        use_in(device, site.now() - SLOT, json!({"instances": 1}));
    }
    assert_eq!((number(&site, "used"), number(&site, "overuse")), (10, 0));
    // What is given back is free at once.
    let body = json!({"client_uuid": one.client, "authorization": one.authorization});
    assert_eq!(one.transport.post_json("/api/v1/release", &body, &[]).expect("answered").status, 204);
    site.device("216998-100").authorize_with(json!({"instances": 6})).expect("6 are free again");
}

#[test]
fn concurrent_use_spills_to_the_next_item_of_the_code() {
    let concurrent = |id: u64, quota: u64| item(json!({"item_id": id, "charge_way": "concurrent_device", "quota": quota}));
    let (site, _) = Site::licensed(vec![concurrent(1, 1), concurrent(2, 2)]);
    for _ in 0..4 {
        let mut device = site.device("216998-100");
        device.authorize().expect("authorized");
        use_in(&device, site.now() - SLOT, json!({}));
    }
    let used = |id: u64| site.item(id)["used"].as_u64().expect("a number");
    assert_eq!((used(1), used(2)), (2, 2), "quotas first, then the tolerance of the first");
}

#[test]
fn a_server_item_is_for_servers_and_ten_percent_more() {
    let (site, _) = Site::licensed(vec![item(json!({"charge_way": "server", "quota": 5}))]);
    assert_eq!(code_of(site.device("216998-100").authorize()), 108, "a phone is no server");
    let mut servers: Vec<Device> = (0..7).map(|_| site.device("216998-100")).collect();
    let as_server = || json!({"deployment_type": "server"});
    for server in &mut servers[..6] {
        server.authorize_with(as_server()).expect("5 and round(10 %)");
    }
    assert_eq!(code_of(servers[6].authorize_with(as_server())), 120);
    site.clock.advance_seconds(300 * DAY);
    servers[0].authorize_with(as_server()).expect("its seat lasts as long as the item");
    assert_eq!(code_of(servers[6].authorize_with(as_server())), 120);
}

#[test]
fn pages_are_counted_per_module() {
    let page = |id: u64, module: &str| item(json!({"item_id": id, "product": "dwt", "charge_way": "page", "quota": 100, "modules": [module]}));
    let (site, _) = Site::licensed(vec![page(1, "core"), page(2, "ocr")]);
    let mut device = site.device("216998-100");
    let answer = device.authorize_with(json!({"product": "dwt", "modules": ["core", "ocr"]})).expect("both items together");
    let payload = answer["authorization"].as_str().expect("signed").split('.').nth(1).expect("payload").to_owned();
    let claims: Value =
        serde_json::from_slice(&base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload).expect("base64")).expect("JSON");
    assert_eq!(claims["items"].as_array().expect("items").len(), 2);
    for (module, pages) in [("core", 7), ("ocr", 3)] {
        use_in(&device, site.now() - SLOT, json!({"product": "dwt", "unit": "page", "module": module, "counts": {"scanned": pages}}));
    }
    assert_eq!((site.item(1)["used"].clone(), site.item(2)["used"].clone()), (json!(7), json!(3)));
    assert_eq!(site.admin_get("statistics")["by_module"], json!({"core": 7, "ocr": 3}));
    let mut other = device.scans(site.now(), json!({"scanned": 1}));
    other.as_object_mut().expect("object").extend(json!({"product": "dwt", "unit": "page", "module": "webcam"}).as_object().expect("fields").clone());
    assert_eq!(device.report(&[other]).expect("answered")["rejected"][0]["code"], 204);
}

#[test]
fn seats_that_begin_with_first_use_may_pass_the_limit_and_are_recorded_as_overuse() {
    let (site, _) =
        Site::licensed(vec![item(json!({"charge_way": "device", "period": "month", "quota": 1, "seat_starts": "first_use", "grace": {"percent": 0}}))]);
    let mut devices: Vec<Device> = (0..3).map(|_| site.device("216998-100")).collect();
    for device in &mut devices {
        device.authorize().expect("no seat is taken yet");
    }
    assert_eq!(number(&site, "used"), 0);
    for device in &devices {
        use_in(device, site.now() - SLOT, json!({}));
    }
    assert_eq!((number(&site, "used"), number(&site, "overuse")), (3, 2));
    assert_eq!(code_of(site.device("216998-100").authorize()), 120);
}

#[test]
pub(crate) fn a_domain_item_serves_pages_of_its_domain_and_others_are_103() {
    let (site, _) = Site::licensed(vec![Vendor::item(json!({"item_id": 1, "product": "dbr", "charge_way": "domain", "domain": "example.com", "quota": 0}))]);
    let device = site.device("216998-100");
    let browser = || json!({"deployment_type": "browser"});
    for origin in ["https://example.com", "https://scan.example.com:8443", "http://a.b.Example.com"] {
        granted(&ask_from(origin, &device, browser()));
    }
    for origin in ["https://example.org", "https://evilexample.com", "null"] {
        refused(&ask_from(origin, &device, browser()), 103);
    }
    refused(&ask(&device, browser()), 103);
    refused(&ask(&device, json!({"validation": {"domain": "example.com"}})), 103);
}

// Who pays.

#[test]
fn use_is_charged_to_items_that_could_have_served_the_device() {
    let scan = |id: u64, quota: u64, kind: &str| item(json!({"item_id": id, "charge_way": "scan", "quota": quota, "deployment_types": [kind]}));
    let mut browser = scan(1, 100, "browser");
    browser.valid_to = "2027-01-01T00:00:00Z".parse().expect("time");
    let (site, _) = Site::licensed(vec![browser, scan(2, 100, "mobile")]);
    let mut device = site.device("216998-100");
    device.authorize().expect("as a phone");
    let mut report = device.scans(site.now() - SLOT, json!({"QR Code": 105}));
    device.report(&[report.clone()]).expect("taken");
    assert_eq!((site.item(1)["used"].clone(), site.item(2)["used"].clone()), (json!(0), json!(105)));
    // The same in one request of many, with another id.
    report["report_id"] = json!(uuid::Uuid::new_v4());
    device.report(&[report]).expect("taken");
    assert_eq!((site.item(2)["used"].clone(), site.item(2)["overuse"].clone()), (json!(210), json!(105)));
}

#[test]
fn a_report_keeps_the_seat_of_its_own_authorization() {
    let seat = |id: u64| item(json!({"item_id": id, "charge_way": "device", "period": "day", "quota": 1, "grace": {"percent": 0}}));
    let (site, _) = Site::licensed(vec![seat(1), seat(2)]);
    let (mut x, mut y) = (site.device("216998-100"), site.device("216998-100"));
    x.authorize().expect("the seat of item 1");
    y.authorize().expect("the seat of item 2");
    site.clock.advance_seconds(20 * 3_600);
    use_in(&y, site.now() - SLOT, json!({}));
    site.clock.advance_seconds(5 * 3_600);
    assert_eq!((site.item(1)["used"].clone(), site.item(2)["used"].clone()), (json!(0), json!(1)));
    y.authorize().expect("it moves to item 1, which is free");
    assert_eq!((site.item(1)["used"].clone(), site.item(2)["used"].clone()), (json!(1), json!(0)), "and does not keep two seats");
}

#[test]
fn a_device_that_works_without_a_seat_takes_one_again_and_is_counted_as_overuse() {
    let (site, _) = Site::licensed(vec![item(json!({"charge_way": "device", "period": "day", "quota": 1, "grace": {"percent": 0}}))]);
    let (mut first, mut second) = (site.device("216998-100"), site.device("216998-100"));
    first.authorize().expect("the only seat");
    let body = json!({"client_uuid": first.client, "authorization": first.authorization});
    assert_eq!(first.transport.post_json("/api/v1/release", &body, &[]).expect("answered").status, 204);
    second.authorize().expect("the seat was given back");
    // What was done before the release is taken and takes no seat.
    use_in(&first, site.now() - SLOT, json!({}));
    assert_eq!((number(&site, "used"), number(&site, "overuse")), (1, 0));
    site.clock.advance_seconds(3_600);
    use_in(&first, site.now() - SLOT, json!({}));
    assert_eq!((number(&site, "used"), number(&site, "overuse")), (2, 1), "it went on working");
}

#[test]
fn a_seat_that_was_given_back_is_taken_by_use_in_later_slots_only() {
    for starts in ["first_use", "authorization"] {
        let (site, _) =
            Site::licensed(vec![item(json!({"charge_way": "device", "period": "month", "quota": 1, "seat_starts": starts, "grace": {"percent": 0}}))]);
        let mut device = site.device("216998-100");
        device.authorize().expect("authorized");
        use_in(&device, site.now() - SLOT, json!({}));
        assert_eq!(number(&site, "used"), 1, "{starts}");
        site.clock.advance_seconds(60);
        let body = json!({"client_uuid": device.client, "authorization": device.authorization});
        assert_eq!(device.transport.post_json("/api/v1/release", &body, &[]).expect("answered").status, 204);
        // Applications give their seats back when they end: in the middle of a slot, with reports of it yet to come.
        for slot in [2 * SLOT, 60] {
            use_in(&device, site.now() - slot, json!({}));
            assert_eq!(number(&site, "used"), 0, "{starts}, {slot} s before the release");
        }
        site.clock.advance_seconds(SLOT);
        use_in(&device, site.now(), json!({}));
        assert_eq!(number(&site, "used"), 1, "{starts}: it went on working");
    }
}

#[test]
fn what_one_application_did_is_taken_with_the_authorization_of_another_on_the_same_device() {
    let line =
        |id: u64, versions: &str, edition: &str| item(json!({"item_id": id, "charge_way": "scan", "quota": 10, "versions": versions, "editions": [edition]}));
    let (site, _) = Site::licensed(vec![line(1, "8.*", "mobile"), line(2, "9.*", "desktop")]);
    for (code, id) in [("216998-old", 1), ("216998-new", 2)] {
        site.admin(Method::Post, "handshakes", Some(json!({"handshake_code": code, "items": [id]})));
    }
    let (mut old, mut new) = (site.device("216998-old"), site.device("216998-new"));
    new.client = old.client;
    old.authorize_with(json!({"product_version": "8.1"})).expect("authorized");
    new.authorize_with(json!({"edition": "desktop"})).expect("authorized");
    let report = new.scans(site.now() - SLOT, json!({"QR Code": 3}));
    assert_eq!(old.report(std::slice::from_ref(&report)).expect("answered")["accepted"], json!([report["report_id"]]));
    assert_eq!((site.item(1)["used"].clone(), site.item(2)["used"].clone()), (json!(0), json!(3)));
}

#[test]
fn seats_units_and_slots_are_counted_apart() {
    let core = item(json!({"item_id": 1, "charge_way": "device", "period": "year", "quota": 9, "modules": ["core"], "valid_to": "2027-01-01T00:00:00Z"}));
    let ocr = item(json!({"item_id": 2, "charge_way": "scan", "quota": 100, "modules": ["ocr"]}));
    let dpm = item(json!({"item_id": 3, "charge_way": "concurrent_instance", "quota": 5, "modules": ["dpm"]}));
    let (site, _) = Site::licensed(vec![core, ocr, dpm]);
    let mut device = site.device("216998-100");
    device.authorize_with(json!({"modules": ["core", "ocr", "dpm"], "instances": 4})).expect("all three");
    use_in(&device, site.now() - SLOT, json!({"counts": {"QR Code": 50}}));
    assert_eq!([1, 2, 3].map(|id| site.item(id)["used"].as_u64().expect("a number")), [1, 50, 4]);
}

#[test]
fn a_code_that_was_deleted_and_made_again_still_takes_the_reports_of_before() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    site.admin(Method::Post, "handshakes", Some(json!({"handshake_code": "216998-line4", "items": [1]})));
    let mut device = site.device("216998-line4");
    device.authorize().expect("authorized");
    site.admin(Method::Delete, "handshakes/216998-line4", None);
    site.admin(Method::Post, "handshakes", Some(json!({"handshake_code": "216998-line4", "items": []})));
    use_in(&device, site.now() - SLOT, json!({}));
    assert_eq!(number(&site, "used"), 1);
}

#[test]
fn one_request_of_many_slots_spends_a_tolerance_no_further_than_many_requests_would() {
    let concurrent = |id: u64, grace: Value| item(json!({"item_id": id, "charge_way": "concurrent_device", "quota": 1, "grace": grace}));
    let (site, _) =
        Site::licensed(vec![concurrent(1, json!({"tolerance": 1, "growth_per_day": 0})), concurrent(2, json!({"tolerance": 0, "growth_per_day": 0}))]);
    let mut devices: Vec<Device> = (0..3).map(|_| site.device("216998-100")).collect();
    for device in &mut devices {
        device.authorize().expect("authorized");
    }
    for device in &devices {
        let reports: Vec<Value> = (1..=10).map(|slot| device.scans(site.now() - slot * SLOT, json!({"QR Code": 1}))).collect();
        device.report(&reports).expect("taken");
    }
    // 10 slots with 3 devices on 1 + 1: one excess each, one of them tolerated.
    assert_eq!((site.item(1)["overuse"].clone(), site.item(2)["overuse"].clone()), (json!(0), json!(9)));
}

#[test]
fn an_authorization_holds_items_of_one_vendor() {
    let dpm = |id: u64, modules: Value| item(json!({"item_id": id, "charge_way": "scan", "quota": 10, "modules": modules}));
    let (site, _) = Site::licensed(vec![dpm(1, json!(["qr-code"]))]);
    let other = site.trust(Vendor::new());
    site.import(&other, 101, "216998", vec![dpm(2, json!(["dpm"])), item(json!({"item_id": 3, "charge_way": "scan", "quota": 10, "renews": 1}))]);
    assert_eq!(site.admin_get("handshakes/216998-100")["items"], json!([1]), "nobody renews another vendor's item");
    site.admin(Method::Patch, "handshakes/216998-100", Some(json!({"items": [1, 2]})));
    let mut device = site.device("216998-100");
    assert_eq!(code_of(device.authorize_with(json!({"modules": ["qr-code", "dpm"]}))), 204);
    device.authorize_with(json!({"modules": ["dpm"]})).expect("of the other vendor");
    use_in(&device, site.now() - SLOT, json!({}));
    assert_eq!((site.item(1)["used"].clone(), site.item(2)["used"].clone()), (json!(0), json!(1)));
}

#[test]
fn an_add_on_serves_nobody_alone_and_needs_a_core_in_force() {
    let core = item(json!({"item_id": 1, "charge_way": "scan", "quota": 100, "valid_to": "2026-12-01T00:00:00Z"}));
    let dpm = item(json!({"item_id": 2, "charge_way": "scan", "quota": 100, "modules": ["dpm"], "depends_on": 1}));
    let (site, vendor) = Site::licensed(vec![core, dpm]);
    let mut device = site.device("216998-100");
    device.authorize().expect("on the core");
    use_in(&device, site.now() - SLOT, json!({}));
    assert_eq!((site.item(1)["used"].clone(), site.item(2)["used"].clone()), (json!(1), json!(0)));
    device.authorize_with(json!({"modules": ["dpm"]})).expect("on the add-on");
    site.clock.advance_seconds(30 * DAY);
    assert_eq!(code_of(device.authorize_with(json!({"modules": ["dpm"]}))), 124, "the core has ended");
    // A renewal of the core stands for it, even when the old one is taken out.
    site.import(&vendor, 101, "216998", vec![item(json!({"item_id": 3, "charge_way": "scan", "quota": 100, "renews": 1}))]);
    site.admin(Method::Patch, "handshakes/216998-100", Some(json!({"items": [2, 3]})));
    device.authorize_with(json!({"modules": ["dpm"]})).expect("on the add-on again");
}

// The public trial.

fn trial_site() -> (Site, Vendor) {
    Site::licensed(vec![item(json!({"charge_way": "device", "period": "month", "quota": 100, "trial": true}))])
}

fn nothing_named() -> Value {
    json!({"handshake_code": null})
}

#[test]
fn a_device_that_names_nothing_tries_for_seven_days_once_in_its_life() {
    let (site, vendor) = trial_site();
    let mut device = site.device("216998-100");
    assert_eq!(code_of(device.authorize()), 104, "the trial serves nobody who names a code");
    let mut device = site.device("216998-100");
    let answer = device.authorize_with(nothing_named()).expect("a trial");
    assert_eq!(answer["expires_at"], rfc3339(site.now() + 7 * DAY));
    use_in(&device, site.now() - SLOT, json!({}));
    site.clock.advance_seconds(6 * DAY);
    let answer = device.authorize_with(nothing_named()).expect("it goes on");
    assert_eq!(answer["expires_at"], rfc3339(site.now() + DAY), "and ends when it was to end");
    site.clock.advance_seconds(DAY);
    assert_eq!(code_of(device.authorize_with(nothing_named())), 111);
    site.clock.advance_seconds(60 * DAY);
    assert_eq!(code_of(device.authorize_with(nothing_named())), 111);
    // A device with a license is not offered one.
    site.import(&vendor, 101, "216998", vec![Vendor::scan_item(2)]);
    let mut customer = site.device("216998-101");
    customer.authorize().expect("licensed");
    assert_eq!(code_of(customer.authorize_with(nothing_named())), 123);
}

#[test]
fn an_address_gives_one_trial_in_thirty_days() {
    let (site, _) = trial_site();
    site.device("").authorize_with(nothing_named()).expect("the first");
    let problem = site.device("").authorize_with(nothing_named()).expect_err("the second");
    assert_eq!(problem["code"], 111);
    assert!(problem["detail"].as_str().expect("detail").contains(&rfc3339(site.now() + 30 * DAY)), "{problem}");
    site.clock.advance_seconds(30 * DAY - 1);
    assert_eq!(code_of(site.device("").authorize_with(nothing_named())), 111);
    site.clock.advance_seconds(1);
    site.device("").authorize_with(nothing_named()).expect("30 days later");
}

#[test]
fn without_a_trial_item_who_names_nothing_is_123() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    assert_eq!(code_of(site.device("").authorize_with(nothing_named())), 123);
}

// Renewal.

#[test]
fn an_item_that_renews_another_joins_its_codes_and_pays_as_soon_as_the_other_has_ended() {
    let end = crate::support::NOON + 10 * DAY;
    let (site, vendor) = Site::licensed(vec![item(json!({"charge_way": "scan", "quota": 100, "valid_to": rfc3339(end)}))]);
    site.admin(Method::Post, "handshakes", Some(json!({"handshake_code": "216998-line4", "items": [1]})));
    let renewal = item(json!({"item_id": 2, "charge_way": "scan", "quota": 50, "valid_from": rfc3339(end + 1), "renews": 1}));
    let imported = site.import(&vendor, 101, "216998", vec![renewal]);
    assert_eq!((&imported["renewed"], &imported["handshake_code"]), (&json!(["216998-100", "216998-line4"]), &Value::Null));
    let mut device = site.device("216998-line4");
    device.authorize().expect("on the old item");
    use_in(&device, site.now() - SLOT, json!({}));
    site.clock.advance_seconds(11 * DAY);
    device.authorize().expect("on the new item, with nothing changed");
    use_in(&device, site.now() - SLOT, json!({}));
    assert_eq!((site.item(1)["used"].clone(), site.item(2)["used"].clone()), (json!(1), json!(1)), "unused quota does not roll over");
}

#[test]
fn a_renewal_may_be_imported_before_what_it_renews() {
    let site = Site::empty();
    let vendor = site.trust(Vendor::new());
    site.import(&vendor, 101, "216998", vec![item(json!({"item_id": 2, "charge_way": "scan", "quota": 50, "renews": 1}))]);
    site.import(&vendor, 100, "216998", vec![item(json!({"charge_way": "scan", "quota": 100}))]);
    assert_eq!(site.admin_get("handshakes/216998-100")["items"], json!([1, 2]));
}

#[test]
fn a_renewal_that_came_before_joins_codes_of_its_own_organization_only() {
    let site = Site::empty();
    let vendor = site.trust(Vendor::new());
    site.import(&vendor, 101, "acme", vec![item(json!({"item_id": 2, "charge_way": "scan", "quota": 50, "renews": 1}))]);
    site.import(&vendor, 100, "216998", vec![item(json!({"charge_way": "scan", "quota": 100}))]);
    assert_eq!(site.admin_get("handshakes/216998-100")["items"], json!([1]));
}

// Why a request was refused.

#[test]
fn a_refusal_tells_the_admin_how_far_every_item_got_for_thirty_days() {
    let ocr = item(json!({"item_id": 3, "product": "ocr", "charge_way": "scan", "quota": 5}));
    let old = item(json!({"item_id": 2, "charge_way": "scan", "quota": 5, "versions": "8.*"}));
    let (site, _) = Site::licensed(vec![item(json!({"charge_way": "device", "period": "day", "quota": 1, "grace": {"percent": 0}})), old, ocr]);
    site.device("216998-100").authorize().expect("the only seat");
    let mut device = site.device("216998-100");
    assert_eq!(code_of(device.authorize()), 120);
    let row = |device: &Device| {
        let listing = site.admin_get("devices");
        listing.as_array().expect("list").iter().find(|row| row["client_uuid"] == device.client.to_string()).cloned()
    };
    let refusal = row(&device).expect("listed although it was only refused")["refusals"][0].clone();
    assert_eq!((&refusal["code"], &refusal["handshake_code"]), (&json!(120), &json!("216998-100")));
    let mut tried: Vec<_> = refusal["tried"].as_array().expect("items").iter().map(|tried| (tried["item_id"].as_u64(), tried["code"].as_u64())).collect();
    tried.sort();
    assert_eq!(tried, [(Some(1), Some(120)), (Some(2), Some(107)), (Some(3), Some(106))], "{refusal}");
    let mut stranger = site.device("216998-100");
    assert_eq!(code_of(stranger.authorize_with(json!({"product_version": "7.1", "product": "ocr", "charge_way": "page"}))), 115);
    let refusal = site.admin_get(&format!("devices/{}/refusals", stranger.client))[0].clone();
    assert_eq!(refusal["tried"].as_array().expect("items").len(), 3, "{refusal}");
    assert_eq!(refusal["tried"].as_array().expect("items").iter().find(|tried| tried["item_id"] == 3).expect("tried")["expected"], "scan");
    // A code that does not exist is kept by what was asked for.
    let mut lost = site.device("216998-nowhere");
    assert_eq!(code_of(lost.authorize()), 101);
    assert_eq!(row(&lost).expect("listed")["refusals"][0]["asked"], "216998-nowhere");
    assert_eq!(site.admin_get("refusals").as_array().expect("list").len(), 3);
    site.clock.advance_seconds(30 * DAY + 1);
    assert_eq!(row(&lost), None, "nobody remembers after 30 days");
    assert_eq!(site.admin_get("refusals"), json!([]));
}

// Which pages may read the answers.

#[test]
fn pages_may_read_the_answers_of_codes_that_allow_their_domain() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    site.admin(Method::Patch, "handshakes/216998-100", Some(json!({"domains": ["*.example.com"]})));
    let device = site.device("216998-100");
    let allowed = |origin: &str, body: &Value| {
        let reply = device.transport.post_json("/api/v1/authorize", body, &[("origin", origin)]).expect("answered");
        (reply.status, reply.header("access-control-allow-origin").map(str::to_owned))
    };
    let browser = device.request_with(json!({"deployment_type": "browser"}));
    assert_eq!(allowed("https://scan.example.com", &browser), (200, Some("https://scan.example.com".into())));
    assert_eq!(allowed("https://example.org", &browser), (403, None));
    assert_eq!(allowed("null", &browser), (403, None));
    assert_eq!(
        allowed("https://scan.example.com", &json!({})),
        (400, Some("https://scan.example.com".into())),
        "a page may read what is wrong with its request"
    );
    let asked_first = |origin: &str| {
        let reply = device.transport.send(Method::Options, "/api/v1/authorize", None, &[("origin", origin), ("access-control-request-method", "POST")]);
        let reply = reply.expect("answered");
        (reply.status, reply.header("access-control-allow-origin").map(str::to_owned), reply.header("access-control-allow-headers").map(str::to_owned))
    };
    assert_eq!(asked_first("https://scan.example.com"), (204, Some("https://scan.example.com".into()), Some("Content-Type".into())));
    assert_eq!(asked_first("https://example.org").0, 403);
    // A code without domains is for every page.
    site.admin(Method::Post, "handshakes", Some(json!({"handshake_code": "216998-open", "items": [1]})));
    assert_eq!(asked_first("https://example.org").0, 204);
    assert_eq!(allowed("https://example.org", &browser), (403, None), "but the other code goes on to refuse it");
    let open = Device::new(device.transport.clone(), "216998-open").request_with(json!({"deployment_type": "browser"}));
    assert_eq!(allowed("https://example.org", &open), (200, Some("https://example.org".into())));
}
