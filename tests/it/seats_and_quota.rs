//! Seats, quotas and handshake codes over a site's life (domain §2, §4).

use serde_json::{Value, json};
use tollkeeper::client::transport::Method;
use tollkeeper::clock::{ManualClock, rfc3339};
use tollkeeper::licensing::LicenseItem;

use crate::support::{Device, Site, Vendor};

const DAY: i64 = 86_400;

/// One seat for a quarter and no grace.
fn one_seat(terms: Value) -> LicenseItem {
    let mut fields = json!({"item_id": 1, "product": "dbr", "charge_way": "device", "period": "quarter", "quota": 1, "grace": {"percent": 0}});
    fields.as_object_mut().expect("object").extend(terms.as_object().expect("terms").clone());
    Vendor::item(fields)
}

fn scan_item(id: u64, terms: Value) -> LicenseItem {
    let mut fields = json!({"item_id": id, "product": "dbr", "charge_way": "scan", "quota": 10});
    fields.as_object_mut().expect("object").extend(terms.as_object().expect("terms").clone());
    Vendor::item(fields)
}

/// The device asks and is refused with this code.
fn refused(device: &mut Device) -> Value {
    device.authorize().expect_err("refused")["code"].clone()
}

fn release(device: &Device) -> u16 {
    let body = json!({"client_uuid": device.client, "authorization": device.authorization});
    device.transport.post_json("/api/v1/release", &body, &[]).expect("the server answers").status
}

/// The device used the product just now.
fn use_it(site: &Site, device: &Device) -> Value {
    device.report(&[device.scans(site.now() - 600, json!({"QR Code": 1}))]).expect("taken")
}

/// The columns of an item in the listing.
fn columns<const N: usize>(site: &Site, item: u64, names: [&str; N]) -> [u64; N] {
    let row = site.item(item);
    names.map(|name| row[name].as_u64().expect("a number"))
}

fn seats_of(site: &Site, device: &Device) -> Value {
    let listing = site.admin_get("devices");
    let devices = listing.as_array().expect("list");
    devices.iter().find(|row| row["client_uuid"] == device.client.to_string()).expect("the device is listed")["seats"].clone()
}

fn code(site: &Site, name: &str) -> Value {
    site.admin_get(&format!("handshakes/{name}"))
}

fn import_into(site: &Site, vendor: &Vendor, id: u64, code: &str, items: Vec<LicenseItem>) -> Value {
    let license = vendor.new_license(id, "216998", items, site.now());
    let file = vendor.activate(license, &site.admin_get_text("request"), site.now());
    site.admin(Method::Post, "licenses", Some(json!({"file": file, "into": code})))
}

// Seats.

#[test]
fn a_seat_that_its_device_gives_back_is_free_for_another() {
    let (site, _) = Site::licensed(vec![one_seat(json!({}))]);
    let (mut first, mut second) = (site.device("216998-100"), site.device("216998-100"));
    first.authorize().expect("authorized");
    assert_eq!(refused(&mut second), 120);
    assert_eq!(release(&first), 204);
    assert_eq!(seats_of(&site, &first), json!([]));
    second.authorize().expect("the seat is free");
    assert_eq!(refused(&mut first), 120);
}

#[test]
fn giving_a_seat_back_twice_changes_nothing_not_even_for_whoever_has_it_now() {
    let (site, _) = Site::licensed(vec![one_seat(json!({}))]);
    let (mut first, mut second) = (site.device("216998-100"), site.device("216998-100"));
    first.authorize().expect("authorized");
    assert_eq!((release(&first), release(&first)), (204, 204));
    second.authorize().expect("the seat is free");
    assert_eq!(release(&first), 204);
    assert_eq!(columns(&site, 1, ["used"]), [1]);
    assert_eq!(refused(&mut first), 120);
    second.authorize().expect("still has its seat");
}

#[test]
fn the_last_authorization_gives_the_seat_back_even_when_the_second_ended_while_it_was_made() {
    let (mut site, _) = Site::licensed(vec![Vendor::device_item(1)]);
    site.stop();
    // Each fact is a microsecond later than the one before, wherever the clock stands.
    site.clock = ManualClock::at("2026-11-22T13:00:00.999999Z".parse().expect("time"));
    site.start();
    let (mut first, mut second) = (site.device("216998-100"), site.device("216998-100"));
    first.authorize().expect("in the last microsecond of the second");
    second.authorize().expect("in the first one of the next");
    assert_eq!((release(&first), release(&second)), (204, 204));
    assert_eq!(columns(&site, 1, ["used"]), [0]);
}

#[test]
fn releases_by_the_admin_are_limited_by_the_items_allowance() {
    let (site, _) = Site::licensed(vec![one_seat(json!({"release_allowance": 2}))]);
    let path = |device: &Device| format!("devices/{}/seats/1", device.client);
    for left in [1, 0] {
        let mut device = site.device("216998-100");
        device.authorize().expect("authorized");
        assert_eq!(site.admin(Method::Delete, &path(&device), None), json!({"releases_left": left}));
    }
    let mut third = site.device("216998-100");
    third.authorize().expect("authorized");
    let reply = site.try_admin(Method::Delete, &path(&third), None);
    assert_eq!(reply.status, 409);
    let problem: Value = reply.json().expect("a problem");
    assert!(problem["detail"].as_str().expect("detail").contains("all 2 releases"), "{problem}");
    assert_eq!(columns(&site, 1, ["used"]), [1]);
    assert_eq!(release(&third), 204);
    assert_eq!(site.try_admin(Method::Delete, &path(&third), None).status, 404);
}

#[test]
fn a_seat_expires_when_its_period_is_over() {
    let (site, _) = Site::licensed(vec![one_seat(json!({}))]);
    let (mut first, mut second) = (site.device("216998-100"), site.device("216998-100"));
    first.authorize().expect("authorized");
    assert_eq!(seats_of(&site, &first), json!([{"item_id": 1, "active_until": rfc3339(site.now() + 90 * DAY)}]));
    site.clock.advance_seconds(90 * DAY - 1);
    assert_eq!(refused(&mut second), 120);
    site.clock.advance_seconds(1);
    assert_eq!(columns(&site, 1, ["used"]), [0]);
    second.authorize().expect("the seat is free");
    assert_eq!(refused(&mut first), 120);
}

#[test]
fn a_seat_is_refreshed_by_an_authorization() {
    let (site, _) = Site::licensed(vec![one_seat(json!({}))]);
    let (mut first, mut second) = (site.device("216998-100"), site.device("216998-100"));
    first.authorize().expect("authorized");
    site.clock.advance_seconds(89 * DAY);
    first.authorize().expect("has its seat");
    site.clock.advance_seconds(90 * DAY - 1);
    assert_eq!(refused(&mut second), 120);
    site.clock.advance_seconds(1);
    second.authorize().expect("the seat is free");
}

#[test]
fn a_seat_is_refreshed_by_an_accepted_report_and_not_by_any_other() {
    let (site, _) = Site::licensed(vec![one_seat(json!({}))]);
    let (mut first, mut second) = (site.device("216998-100"), site.device("216998-100"));
    first.authorize().expect("authorized");
    site.clock.advance_seconds(30 * DAY);
    let report = first.scans(site.now() - 600, json!({"QR Code": 1}));
    first.report(std::slice::from_ref(&report)).expect("taken");
    let until = json!([{"item_id": 1, "active_until": rfc3339(site.now() + 90 * DAY)}]);
    assert_eq!(seats_of(&site, &first), until);

    site.clock.advance_seconds(DAY);
    let again = first.report(&[report.clone(), first.scans(site.now() + 600, json!({"QR Code": 1}))]).expect("answered");
    assert_eq!((&again["duplicate"], &again["accepted"], &again["rejected"][0]["code"]), (&json!([report["report_id"]]), &json!([]), &json!(202)));
    assert_eq!(seats_of(&site, &first), until);

    site.clock.advance_seconds(89 * DAY - 1);
    assert_eq!(refused(&mut second), 120);
    site.clock.advance_seconds(1);
    second.authorize().expect("the seat is free");
}

#[test]
fn a_seat_that_starts_with_first_use_is_taken_by_the_first_report() {
    let (site, _) = Site::licensed(vec![one_seat(json!({"seat_starts": "first_use"}))]);
    let (mut idle, mut busy, mut late) = (site.device("216998-100"), site.device("216998-100"), site.device("216998-100"));
    idle.authorize().expect("authorized");
    busy.authorize().expect("nobody has used the seat yet");
    assert_eq!((columns(&site, 1, ["used"]), seats_of(&site, &busy)), ([0], json!([])));
    use_it(&site, &busy);
    assert_eq!((columns(&site, 1, ["used"]), seats_of(&site, &idle)), ([1], json!([])));
    assert_eq!(refused(&mut late), 120);
    assert_eq!(refused(&mut idle), 120);
    busy.authorize().expect("has the seat");
    assert_eq!(seats_of(&site, &busy), json!([{"item_id": 1, "active_until": rfc3339(site.now() + 90 * DAY)}]));
}

#[test]
fn seats_are_the_same_after_a_restart() {
    let (mut site, _) = Site::licensed(vec![one_seat(json!({"release_allowance": 1}))]);
    let mut first = site.device("216998-100");
    first.authorize().expect("authorized");
    site.admin(Method::Delete, &format!("devices/{}/seats/1", first.client), None);
    let mut second = site.device("216998-100");
    second.authorize().expect("authorized");
    site.restart();
    (first.transport, second.transport) = (site.anonymous().clone(), site.anonymous().clone());
    assert_eq!(refused(&mut first), 120);
    second.authorize().expect("has the seat");
    assert_eq!(site.try_admin(Method::Delete, &format!("devices/{}/seats/1", second.client), None).status, 409);
}

// Quotas.

#[test]
fn use_spills_from_one_item_to_the_next_within_one_report_and_nothing_is_dropped() {
    let (site, _) = Site::licensed(vec![
        scan_item(1, json!({"valid_to": "2027-06-30T00:00:00Z", "quota": 20})),
        scan_item(2, json!({"valid_to": "2027-03-31T00:00:00Z", "quota": 10})),
    ]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    let used = |site: &Site| (columns(site, 2, ["used", "grace_left", "overuse"]), columns(site, 1, ["used", "grace_left", "overuse"]));
    let report = |counts: Value| device.report(&[device.scans(site.now() - 600, counts)]).expect("taken");
    report(json!({"Code 128": 6, "QR Code": 8}));
    assert_eq!(used(&site), ([10, 1, 0], [4, 1, 0]), "the item that ends first pays first");
    report(json!({"QR Code": 17}));
    assert_eq!(used(&site), ([11, 0, 0], [20, 1, 0]), "all quotas, then grace");
    report(json!({"QR Code": 9, "Code 128": 1}));
    assert_eq!(used(&site), ([11, 0, 0], [30, 0, 9]), "what is left when nothing is left is overuse of the last item");
    assert_eq!(site.admin_get("statistics?handshake=216998-100")["by_type"], json!({"Code 128": 7, "QR Code": 34}));
    let of_item = |item: u64| site.admin_get(&format!("statistics?item={item}"))["total"].as_u64().expect("total");
    assert_eq!((of_item(2), of_item(1)), (11, 30));
    assert_eq!(refused(&mut site.device("216998-100")), 120);
}

#[test]
fn reports_of_many_devices_at_once_are_all_counted_and_the_sum_is_exact() {
    let (site, _) = Site::licensed(vec![scan_item(1, json!({"quota": 100})), scan_item(2, json!({"quota": 100}))]);
    let reports_of_each = 10;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let mut device = site.device("216998-100");
            let now = site.now();
            scope.spawn(move || {
                device.authorize().expect("authorized");
                for slot in 0..reports_of_each {
                    device.report(&[device.scans(now - 180 * slot, json!({"QR Code": 3, "Code 128": 1}))]).expect("taken");
                }
            });
        }
    });
    let [first, second] = [1, 2].map(|item| columns(&site, item, ["used", "overuse"]));
    assert_eq!((first, second), ([105, 0], [215, 110]), "80 reports of 4 scans");
    assert_eq!(site.admin_get("statistics")["by_type"], json!({"Code 128": 80, "QR Code": 240}));
    assert_eq!(site.admin_get("statistics")["devices"], 8);
}

#[test]
fn the_admins_order_decides_which_item_pays_first() {
    let (site, _) = Site::licensed(vec![scan_item(1, json!({"valid_to": "2027-03-31T00:00:00Z"})), scan_item(2, json!({}))]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    let report = || device.report(&[device.scans(site.now() - 600, json!({"QR Code": 1}))]).expect("taken");
    site.admin(Method::Put, "handshakes/216998-100/order", Some(json!({"items": [2, 1]})));
    report();
    assert_eq!([1, 2].map(|item| columns(&site, item, ["used"])), [[0], [1]]);
    site.admin(Method::Put, "handshakes/216998-100/order", Some(json!({})));
    report();
    assert_eq!([1, 2].map(|item| columns(&site, item, ["used"])), [[1], [1]]);
}

#[test]
fn pages_are_counted_on_page_items_and_scans_are_not() {
    let (site, _) = Site::licensed(vec![Vendor::page_item(1), Vendor::scan_item(2)]);
    let mut device = site.device("216998-100");
    let answer = device.authorize_with(json!({"product": "dwt"})).expect("authorized");
    let claims = site.app().context().site.verify_authorization(answer["authorization"].as_str().expect("JWS")).expect("genuine");
    assert_eq!(claims.items.iter().map(|item| item.item_id.0).collect::<Vec<_>>(), [1]);
    let report = |unit: &str, module: &str, counts: Value| {
        let mut report = device.scans(site.now() - 600, counts);
        for (field, value) in [("product", "dwt"), ("unit", unit), ("module", module)] {
            report[field] = json!(value);
        }
        report
    };
    let answer = device
        .report(&[
            report("page", "core", json!({"scanned": 40, "imported": 2})),
            report("page", "webcam", json!({"captured": 8})),
            report("scan", "core", json!({"QR Code": 5})),
        ])
        .expect("answered");
    assert_eq!(answer["accepted"].as_array().map(Vec::len), Some(2), "{answer}");
    assert_eq!(answer["rejected"].as_array().map(Vec::len), Some(1), "{answer}");
    assert_eq!((columns(&site, 1, ["used"]), columns(&site, 2, ["used"])), ([50], [0]));
    assert_eq!(site.admin_get("statistics?item=1")["by_type"], json!({"captured": 8, "imported": 2, "scanned": 40}));
}

#[test]
fn a_thousand_reports_in_one_request_are_taken_and_one_more_is_200() {
    let (site, _) = Site::licensed(vec![scan_item(1, json!({"quota": 10_000}))]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    let reports: Vec<Value> = (0..1001).map(|slot| device.scans(site.now() - 180 * slot, json!({"QR Code": 2}))).collect();
    let problem = device.report(&reports).expect_err("refused");
    assert_eq!((&problem["code"], &problem["field"]), (&json!(200), &json!("reports")));
    assert_eq!(columns(&site, 1, ["used"]), [0], "none of them was taken");
    let answer = device.report(&reports[..1000]).expect("taken");
    assert_eq!(answer["accepted"].as_array().map(Vec::len), Some(1000));
    assert_eq!(columns(&site, 1, ["used"]), [2000]);
}

// Handshake codes.

#[test]
fn after_a_rename_the_old_name_goes_on_until_the_admin_removes_it_and_its_reports_still_count() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    site.admin(Method::Post, "handshakes", Some(json!({"handshake_code": "216998-line4", "items": [1]})));
    let mut device = site.device("216998-line4");
    device.authorize().expect("authorized");

    site.admin(Method::Patch, "handshakes/216998-line4", Some(json!({"handshake_code": "216998-line5"})));
    assert_eq!(code(&site, "216998-line5")["aliases"], json!(["216998-line4"]));
    device.authorize().expect("authorized under the old name");
    site.device("216998-line5").authorize().expect("authorized under the new name");
    use_it(&site, &device);

    site.admin(Method::Patch, "handshakes/216998-line5", Some(json!({"remove_aliases": ["216998-line4"]})));
    assert_eq!(refused(&mut device), 101);
    let answer = use_it(&site, &device);
    assert_eq!(answer["accepted"].as_array().map(Vec::len), Some(1), "{answer}");
    assert_eq!(columns(&site, 1, ["used"]), [2]);
    assert_eq!(site.admin_get("statistics?handshake=216998-line5")["total"], 2);
}

#[test]
fn the_name_of_a_code_that_came_with_its_license_stays() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let reply = site.try_admin(Method::Patch, "handshakes/216998-100", Some(json!({"handshake_code": "216998-line5"})));
    assert_eq!(reply.status, 409);
    site.device("216998-100").authorize().expect("authorized");
}

#[test]
fn a_request_that_names_only_the_organization_uses_its_default_code() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    site.admin(Method::Post, "handshakes", Some(json!({"handshake_code": "216998-line4", "items": [1]})));
    let used_code = || {
        let answer = site.device("").authorize_with(json!({"handshake_code": null, "organization_id": "216998"})).expect("authorized");
        site.app().context().site.verify_authorization(answer["authorization"].as_str().expect("JWS")).expect("genuine").hs.to_string()
    };
    assert_eq!(used_code(), "216998-100", "the first one created");
    site.admin(Method::Put, "handshakes/216998-line4/default", None);
    assert_eq!(used_code(), "216998-line4");
    assert_eq!((code(&site, "216998-line4")["default"].clone(), code(&site, "216998-100")["default"].clone()), (json!(true), json!(false)));
    site.admin(Method::Delete, "handshakes/216998-line4", None);
    assert_eq!(used_code(), "216998-100", "the oldest of those left");
}

#[test]
fn a_renewal_imported_into_the_code_in_use_serves_the_same_application_unchanged() {
    let (site, vendor) = Site::licensed(vec![scan_item(1, json!({"valid_to": rfc3339(crate::support::NOON + 10 * DAY), "grace": {"days": 0}}))]);
    let mut device = site.device("216998-100");
    let first = device.authorize().expect("authorized");
    assert!(first["expires_at"].as_str().expect("end") <= rfc3339(site.now() + 10 * DAY).as_str());
    use_it(&site, &device);
    site.clock.advance_seconds(11 * DAY);
    assert_eq!(refused(&mut device), 111);

    let imported = import_into(&site, &vendor, 200, "216998-100", vec![scan_item(2, json!({}))]);
    assert_eq!((&imported["handshake_code"], &imported["was_installed"]), (&json!("216998-100"), &json!(false)));
    assert_eq!(code(&site, "216998-100")["items"], json!([1, 2]));
    assert_eq!(site.admin_get("handshakes").as_array().map(Vec::len), Some(1), "no further code");
    device.authorize().expect("authorized under the renewal");
    use_it(&site, &device);
    assert_eq!([1, 2].map(|item| columns(&site, item, ["used"])), [[1], [1]]);
    assert_eq!(site.admin_get("statistics?handshake=216998-100")["total"], 2);
}

#[test]
fn importing_the_same_file_twice_changes_nothing() {
    let (site, vendor) = Site::licensed(vec![scan_item(1, json!({}))]);
    let license = vendor.new_license(200, "216998", vec![scan_item(2, json!({}))], site.now());
    let file = vendor.activate(license, &site.admin_get_text("request"), site.now());
    let import = || site.admin(Method::Post, "licenses", Some(json!({"file": file})));
    assert_eq!(import()["was_installed"], false);
    site.admin(Method::Patch, "handshakes/216998-200", Some(json!({"items": []})));
    let before = (site.admin_get("licenses"), site.admin_get("handshakes"));
    assert_eq!(import()["was_installed"], true);
    assert_eq!((site.admin_get("licenses"), site.admin_get("handshakes")), before);
}

#[test]
fn a_new_issue_of_a_license_brings_its_new_items_only_and_not_those_that_the_admin_took_out() {
    let (site, vendor) = Site::licensed(vec![scan_item(1, json!({})), scan_item(2, json!({})), scan_item(3, json!({"renews": 1}))]);
    site.admin(Method::Post, "handshakes", Some(json!({"handshake_code": "216998-line4", "items": [1, 2]})));
    site.admin(Method::Patch, "handshakes/216998-100", Some(json!({"items": [1]})));
    site.clock.advance_seconds(60);
    let items = || vec![scan_item(1, json!({})), scan_item(2, json!({})), scan_item(3, json!({"renews": 1})), scan_item(4, json!({}))];
    let imported = site.import(&vendor, 100, "216998", items());
    assert_eq!((&imported["was_installed"], &imported["renewed"]), (&json!(false), &json!([])));
    assert_eq!((&code(&site, "216998-100")["items"], &code(&site, "216998-line4")["items"]), (&json!([1, 4]), &json!([1, 2])));

    // A code that was deleted does not come back either, unless there is something new for it.
    site.admin(Method::Delete, "handshakes/216998-100", None);
    site.clock.advance_seconds(60);
    assert_eq!(site.import(&vendor, 100, "216998", items())["handshake_code"], Value::Null);
    assert_eq!(site.admin_get("handshakes").as_array().map(Vec::len), Some(1));
    site.clock.advance_seconds(60);
    assert_eq!(import_into(&site, &vendor, 100, "216998-line4", items())["handshake_code"], "216998-line4");
    assert_eq!(code(&site, "216998-line4")["items"], json!([1, 2, 3, 4]), "what the admin asks for is done");
}

#[test]
fn taking_an_item_out_of_a_code_does_not_change_the_codes_history_and_its_use_is_still_charged() {
    let (site, _) = Site::licensed(vec![scan_item(1, json!({}))]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    use_it(&site, &device);
    site.admin(Method::Patch, "handshakes/216998-100", Some(json!({"items": []})));
    assert_eq!(site.admin_get("statistics?handshake=216998-100")["total"], 1);
    let answer = use_it(&site, &device);
    assert_eq!(answer["accepted"].as_array().map(Vec::len), Some(1), "{answer}");
    assert_eq!((columns(&site, 1, ["used"]), site.admin_get("statistics?handshake=216998-100")["total"].clone()), ([2], json!(2)));
}

#[test]
fn two_organizations_on_one_server_share_nothing() {
    let (site, vendor) = Site::licensed(vec![scan_item(1, json!({}))]);
    let other = site.trust(Vendor::new());
    site.import(&other, 200, "377001", vec![scan_item(2, json!({}))]);
    assert_eq!((&code(&site, "216998-100")["default"], &code(&site, "377001-200")["default"]), (&json!(true), &json!(true)));

    let (mut ours, mut theirs) = (site.device("216998-100"), site.device("377001-200"));
    // The same machine may run applications of both.
    theirs.client = ours.client;
    let answers = [ours.authorize().expect("authorized"), theirs.authorize().expect("authorized")];
    for (answer, organization) in answers.iter().zip(["216998", "377001"]) {
        let claims = site.app().context().site.verify_authorization(answer["authorization"].as_str().expect("JWS")).expect("genuine");
        assert_eq!(claims.org.as_str(), organization);
    }
    use_it(&site, &ours);
    assert_eq!([1, 2].map(|item| columns(&site, item, ["used"])), [[1], [0]]);

    let mut foreign = theirs.scans(site.now() - 600, json!({"QR Code": 1}));
    foreign["handshake_code"] = json!("216998-100");
    let answer = theirs.report(&[foreign]).expect("answered");
    assert_eq!((&answer["accepted"], &answer["rejected"][0]["code"]), (&json!([]), &json!(122)));
    for (item, code) in [(2, "216998-100"), (1, "377001-200")] {
        assert_eq!(site.try_admin(Method::Patch, &format!("handshakes/{code}"), Some(json!({"items": [item]}))).status, 400);
    }
    let license = vendor.new_license(300, "216998", vec![scan_item(3, json!({}))], site.now());
    let file = vendor.activate(license, &site.admin_get_text("request"), site.now());
    assert_eq!(site.try_admin(Method::Post, "licenses", Some(json!({"file": file, "into": "377001-200"}))).status, 400);
    assert_eq!(columns(&site, 1, ["used"]), [1]);
}
