//! Every error code of domain §9, provoked over HTTPS, in the form of protocol §3.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Value, json};
use tollkeeper::client::transport::{Method, Reply};
use tollkeeper::clock::rfc3339;
use tollkeeper::documents::{Authorization, Hardware, PreparedHeader, SigningKey, authorization};
use tollkeeper::licensing::Slot;
use tollkeeper::protocol::ErrorCode;

use crate::charge_ways;
use crate::clones;
use crate::malformed;
use crate::revocations;
use crate::support::{Device, NOON, Site, Vendor};

const DAY: i64 = 86_400;

thread_local! {
    /// The codes that the server has answered to this thread.
    static SEEN: RefCell<BTreeSet<u16>> = const { RefCell::new(BTreeSet::new()) };
}

fn saw(code: u16) {
    SEEN.with_borrow_mut(|seen| seen.insert(code));
}

/// The HTTP status that protocol §3 gives a code.
fn status_of(code: u16) -> u16 {
    match code {
        200 => 400,
        102 => 401,
        103 | 104 | 106..=109 | 111..=115 | 120 | 122 | 124 | 151 | 203 | 204 => 403,
        101 | 121 | 123 => 404,
        130 => 429,
        100 | 210 => 503,
        other => panic!("protocol §3 has no status for a request refused with {other}"),
    }
}

/// The reply is a refusal with this code, in the form of protocol §3. Gives the problem.
pub(crate) fn refused(reply: &Reply, code: u16) -> Value {
    let problem: Value = reply.json().expect("a problem");
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(reply.status, status_of(code), "{problem}");
    assert_eq!(problem["status"], reply.status, "{problem}");
    assert_eq!(problem["sdk_code"], -(20_000 + i64::from(code)), "{problem}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    for field in ["type", "title", "detail"] {
        assert_ne!(problem[field].as_str().unwrap_or_default(), "", "{field} of {problem}");
    }
    let waits = reply.header("retry-after").map(|seconds| seconds.parse::<u64>().expect("whole seconds"));
    assert_eq!(waits.is_some_and(|seconds| seconds > 0), matches!(reply.status, 429 | 503), "Retry-After of {problem}");
    saw(code);
    problem
}

pub(crate) fn post(device: &Device, path: &str, body: &Value) -> Reply {
    device.transport.post_json(path, body, &[]).expect("the server answers")
}

/// The device's request with these fields changed.
pub(crate) fn ask(device: &Device, fields: Value) -> Reply {
    post(device, "/api/v1/authorize", &device.request_with(fields))
}

/// The same from a page of a website.
pub(crate) fn ask_from(origin: &str, device: &Device, fields: Value) -> Reply {
    device.transport.post_json("/api/v1/authorize", &device.request_with(fields), &[("origin", origin)]).expect("the server answers")
}

pub(crate) fn granted(reply: &Reply) -> Value {
    let answer: Value = reply.json().expect("JSON");
    assert_eq!(reply.status, 200, "{answer}");
    answer
}

fn detail(problem: &Value) -> &str {
    problem["detail"].as_str().expect("a detail")
}

/// The reports of a request that was taken, but not all of them.
fn rejected(answer: &Value) -> Vec<(String, u64)> {
    let rejected: Vec<_> = answer["rejected"].as_array().expect("rejected").clone();
    let told = |report: &Value| {
        assert_ne!(report["detail"].as_str().unwrap_or_default(), "", "{report}");
        let code = report["code"].as_u64().expect("code");
        saw(u16::try_from(code).expect("a code"));
        (report["report_id"].as_str().expect("id").to_owned(), code)
    };
    rejected.iter().map(told).collect()
}

fn edit(site: &Site, code: &str, changes: Value) {
    site.admin(Method::Patch, &format!("handshakes/{code}"), Some(changes));
}

fn add_code(site: &Site, code: &str, fields: Value) -> Device {
    let mut body = fields;
    body["handshake_code"] = json!(code);
    site.admin(Method::Post, "handshakes", Some(body));
    site.device(code)
}

// Service.

#[test]
fn a_server_without_a_license_answers_100_and_serves_after_the_import() {
    let site = Site::empty();
    let vendor = site.trust(Vendor::new());
    let device = site.device("216998-100");
    refused(&ask(&device, json!({})), 100);
    site.import(&vendor, 100, "216998", vec![Vendor::scan_item(1)]);
    granted(&ask(&device, json!({})));
}

#[test]
fn a_clock_that_was_set_back_more_than_five_minutes_is_210_until_it_is_right_again() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let device = site.device("216998-100");
    granted(&ask(&device, json!({"client_uuid": "6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88"})));
    site.clock.advance_seconds(-300);
    granted(&ask(&device, json!({"client_uuid": "6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a89"})));
    site.clock.advance_seconds(-2);
    let problem = refused(&ask(&device, json!({})), 210);
    assert!(detail(&problem).contains("302 s"), "{problem}");
    let health = site.anonymous().get("/health").expect("health");
    assert_eq!(health.status, 503);
    assert_eq!(health.json::<Value>().expect("JSON")["parts"]["clock"]["ok"], false);
    site.clock.advance_seconds(302);
    granted(&ask(&device, json!({})));
    assert_eq!(site.anonymous().get("/health").expect("health").status, 200);
}

fn another_machine() -> Hardware {
    Hardware { machine: Some("another".into()), board: Some("another board".into()), cpu: Some("another cpu".into()) }
}

fn hardware_part(site: &Site) -> (u16, Value) {
    let reply = site.anonymous().get("/api/v1/health").expect("health");
    (reply.status, reply.json::<Value>().expect("JSON")["parts"]["hardware"].clone())
}

#[test]
fn on_changed_hardware_the_server_works_for_14_days_and_says_so_then_it_is_210_until_a_new_license_mends_it() {
    let (mut site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    site.stop();
    site.hardware = another_machine();
    site.start();
    site.clock.advance_seconds(14 * DAY);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized within the 14 days");
    let (status, part) = hardware_part(&site);
    assert_eq!((status, &part["ok"]), (200, &json!(true)));
    let told = part["detail"].as_str().expect("detail");
    assert!(told.contains("changed") && told.contains(&rfc3339(NOON + 14 * DAY)), "{told}");

    site.clock.advance_seconds(1);
    refused(&ask(&device, json!({})), 210);
    let (status, part) = hardware_part(&site);
    assert_eq!((status, &part["ok"]), (503, &json!(false)));

    site.import(&vendor, 100, "216998", vec![Vendor::scan_item(1)]);
    device.authorize().expect("authorized under the license for this machine");
    assert_eq!(hardware_part(&site).0, 200);
    site.restart();
    assert_eq!(hardware_part(&site).1["ok"], true);
    granted(&ask(&site.device("216998-100"), json!({})));
}

#[test]
fn one_exchanged_part_is_still_the_same_machine_and_so_is_the_old_one_after_a_trial_elsewhere() {
    let (mut site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let own = site.hardware.clone();
    for (hardware, expected) in [(Hardware { cpu: Some("faster".into()), ..own.clone() }, false), (another_machine(), true), (own, false)] {
        site.stop();
        site.hardware = hardware;
        site.start();
        let changed = hardware_part(&site).1["detail"].as_str().expect("detail").contains("changed");
        assert_eq!(changed, expected, "{:?}", site.hardware);
    }
}

#[test]
fn the_fourth_request_of_a_device_within_a_minute_is_130_and_others_go_on() {
    let site = Site::with_settings(|settings| settings.limits.device_requests_per_minute = 3);
    let vendor = site.trust(Vendor::new());
    site.import(&vendor, 100, "216998", vec![Vendor::scan_item(1)]);
    let device = site.device("216998-100");
    for _ in 0..3 {
        granted(&ask(&device, json!({})));
    }
    let reply = ask(&device, json!({}));
    refused(&reply, 130);
    granted(&ask(&site.device("216998-100"), json!({})));
    let seconds: i64 = reply.header("retry-after").expect("told when").parse().expect("seconds");
    site.clock.advance_seconds(seconds - 1);
    refused(&ask(&device, json!({})), 130);
    site.clock.advance_seconds(1);
    granted(&ask(&device, json!({})));
}

// Names.

#[test]
fn names_that_lead_nowhere_are_101_121_122_and_123() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    site.import(&vendor, 200, "377001", vec![Vendor::scan_item(2)]);
    site.import(&vendor, 300, "555555", vec![Vendor::scan_item(3)]);
    site.admin(Method::Delete, "handshakes/555555-300", None);
    let device = site.device("216998-100");
    for (code, organization, handshake_code) in [
        (101, json!(null), json!("216998-nobody")),
        (101, json!("216998"), json!("216998-nobody")),
        (101, json!(null), json!("555555-300")),
        (101, json!(null), json!("no code at all")),
        (121, json!("999999"), json!(null)),
        (121, json!("999999"), json!("")),
        (121, json!("555555"), json!(null)),
        (122, json!("377001"), json!("216998-100")),
        (122, json!("999999"), json!("216998-100")),
        (123, json!(null), json!(null)),
        (123, json!(""), json!("")),
    ] {
        refused(&ask(&device, json!({"organization_id": organization, "handshake_code": handshake_code})), code);
    }
    for (organization, handshake_code) in [(json!("216998"), json!("216998-100")), (json!("216998"), json!(null)), (json!(""), json!("377001-200"))] {
        granted(&ask(&device, json!({"organization_id": organization, "handshake_code": handshake_code})));
    }
}

// Password and validation.

#[test]
fn a_missing_or_wrong_session_password_is_102_and_the_right_one_is_granted() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let device = add_code(&site, "216998-locked", json!({"items": [1], "session_password": "open sesame"}));
    for wrong in [json!(null), json!(""), json!("Open sesame"), json!("open sesame "), json!("open")] {
        refused(&ask(&device, json!({"session_password": wrong})), 102);
    }
    granted(&ask(&device, json!({"session_password": "open sesame"})));
    edit(&site, "216998-locked", json!({"remove_session_password": true}));
    granted(&ask(&device, json!({})));
}

#[test]
fn a_browser_of_a_foreign_domain_is_103_whatever_its_body_says() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let device = add_code(&site, "216998-web", json!({"items": [1], "domains": ["scan.example.com", "*.plant.example"]}));
    let browser = |domain: &str| json!({"deployment_type": "browser", "validation": {"domain": domain}});
    for origin in ["https://evil.example", "https://scan.example.com.evil.example", "https://ascan.example.com", "https://deep.scan.example.com", "null"] {
        refused(&ask_from(origin, &device, browser("scan.example.com")), 103);
        refused(&ask_from(origin, &device, json!({"deployment_type": "mobile", "validation": {"domain": "scan.example.com"}})), 103);
    }
    refused(&ask(&device, browser("scan.example.com")), 103);
    for origin in ["https://scan.example.com", "https://scan.example.com:8443", "http://SCAN.example.com", "https://line4.plant.example:444"] {
        granted(&ask_from(origin, &device, json!({"deployment_type": "browser"})));
    }
}

#[test]
fn an_application_that_is_not_the_genuine_one_is_114() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let device = add_code(&site, "216998-app", json!({"items": [1], "application_ids": ["com.example.scanner"], "process_names": ["scanner.exe"]}));
    for wrong in
        [json!(null), json!({}), json!({"application_id": "com.example.other"}), json!({"process_name": "evil.exe"}), json!({"domain": "com.example.scanner"})]
    {
        refused(&ask(&device, json!({"validation": wrong})), 114);
    }
    for right in [
        json!({"application_id": "com.example.scanner"}),
        json!({"process_name": "Scanner.exe"}),
        json!({"application_id": "com.example.other", "process_name": "scanner.exe"}),
    ] {
        granted(&ask(&device, json!({"validation": right})));
    }
}

// Items.

#[test]
fn a_code_whose_items_were_all_taken_out_is_104() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let device = site.device("216998-100");
    granted(&ask(&device, json!({})));
    edit(&site, "216998-100", json!({"items": []}));
    refused(&ask(&device, json!({})), 104);
    edit(&site, "216998-100", json!({"items": [1]}));
    granted(&ask(&device, json!({})));
}

#[test]
fn a_request_outside_of_what_the_item_permits_has_the_code_of_that_check_and_one_inside_is_granted() {
    let site = Site::empty();
    let vendor = site.trust(Vendor::new());
    let cases = [
        (106, json!({"product": "dbr"}), json!({"product": "dlr"}), json!({"product": "DBR"})),
        (107, json!({"versions": "8.*, 10.*"}), json!({"product_version": "9.6.30"}), json!({"product_version": "10.2"})),
        (107, json!({"versions": "9.*"}), json!({"product_version": null}), json!({"product_version": "9"})),
        (108, json!({"deployment_types": ["desktop", "server"]}), json!({"deployment_type": "mobile"}), json!({"deployment_type": "server"})),
        (108, json!({"deployment_types": ["desktop"]}), json!({"deployment_type": null}), json!({"deployment_type": "desktop"})),
        (109, json!({"editions": ["javascript"]}), json!({"edition": "mobile"}), json!({"edition": "JavaScript"})),
        (115, json!({}), json!({"charge_way": "page"}), json!({"charge_way": "scan"})),
        (204, json!({"modules": ["qr-code", "1d"]}), json!({"modules": ["ocr"]}), json!({"modules": ["1D"]})),
        (204, json!({"modules": ["qr-code", "1d"]}), json!({"modules": ["1d", "ocr"]}), json!({"modules": ["1d", "qr-code"]})),
    ];
    for (number, (code, terms, outside, inside)) in (1..).zip(cases) {
        let mut fields = json!({"item_id": number, "product": "dbr", "charge_way": "scan", "quota": 100});
        fields.as_object_mut().expect("object").extend(terms.as_object().expect("terms").clone());
        site.import(&vendor, 500 + number, "216998", vec![Vendor::item(fields)]);
        let device = site.device(&format!("216998-{}", 500 + number));
        let problem = refused(&ask(&device, outside), code);
        assert!(detail(&problem).contains(&format!("item {number}:")), "{problem}");
        granted(&ask(&device, inside));
    }
}

#[test]
fn an_item_is_111_once_the_seven_days_after_its_end_are_over() {
    let end = NOON + 8 * DAY;
    let item = Vendor::item(json!({"item_id": 1, "product": "dbr", "charge_way": "scan", "quota": 100, "valid_to": rfc3339(end)}));
    let (site, _) = Site::licensed(vec![item]);
    let device = site.device("216998-100");
    for (moment, advance) in [(end, 8 * DAY), (end + DAY, DAY), (end + 7 * DAY - 60, 6 * DAY - 60)] {
        site.clock.advance_seconds(advance);
        assert_eq!(site.now(), moment);
        let answer = granted(&ask(&device, json!({})));
        assert!(answer["expires_at"].as_str().expect("end") <= rfc3339(end + 7 * DAY).as_str(), "{answer}");
    }
    site.clock.advance_seconds(61);
    refused(&ask(&device, json!({})), 111);
    assert_eq!(site.item(1)["status"], "expired");
}

#[test]
fn an_item_is_112_until_its_first_moment() {
    let start = NOON + DAY;
    let item = Vendor::item(json!({"item_id": 1, "product": "dbr", "charge_way": "scan", "quota": 100, "valid_from": rfc3339(start)}));
    let (site, _) = Site::licensed(vec![item]);
    let device = site.device("216998-100");
    refused(&ask(&device, json!({})), 112);
    site.clock.advance_seconds(DAY - 1);
    refused(&ask(&device, json!({})), 112);
    site.clock.advance_seconds(1);
    granted(&ask(&device, json!({})));
}

#[test]
fn an_add_on_without_the_item_it_depends_on_is_124() {
    let core = Vendor::item(json!({"item_id": 1, "product": "dbr", "charge_way": "scan", "quota": 100, "modules": ["core"]}));
    let add_on = Vendor::item(json!({"item_id": 2, "product": "dbr", "charge_way": "scan", "quota": 100, "modules": ["ocr"], "depends_on": 1}));
    let (site, _) = Site::licensed(vec![core, add_on]);
    let device = site.device("216998-100");
    granted(&ask(&device, json!({"modules": ["core", "ocr"]})));
    edit(&site, "216998-100", json!({"items": [2]}));
    let problem = refused(&ask(&device, json!({"modules": ["ocr"]})), 124);
    assert!(detail(&problem).contains("item 2:") && detail(&problem).contains("item 1 "), "{problem}");
}

#[test]
fn a_scan_item_is_120_when_quota_and_grace_are_used_up_and_not_one_scan_earlier() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    device.report(&[device.scans(site.now() - 600, json!({"QR Code": 104}))]).expect("taken");
    device.authorize().expect("one scan of grace is left");
    device.report(&[device.scans(site.now() - 600, json!({"QR Code": 1}))]).expect("taken");
    refused(&ask(&device, json!({})), 120);
    refused(&ask(&site.device("216998-100"), json!({})), 120);
    assert_eq!((&site.item(1)["used"], &site.item(1)["grace_left"], &site.item(1)["status"]), (&json!(105), &json!(0), &json!("used_up")));
}

#[test]
fn a_device_item_is_120_for_new_devices_when_all_seats_and_grace_are_taken_and_the_others_go_on() {
    let (site, _) = Site::licensed(vec![Vendor::device_item(1)]);
    let mut devices: Vec<_> = (0..11).map(|_| site.device("216998-100")).collect();
    for device in &mut devices {
        device.authorize().expect("10 seats and 1 of grace");
    }
    refused(&ask(&site.device("216998-100"), json!({})), 120);
    for device in &mut devices {
        device.authorize().expect("who has a seat goes on");
    }
    assert_eq!((&site.item(1)["used"], &site.item(1)["grace_left"]), (&json!(11), &json!(0)));
}

#[test]
fn when_several_items_fail_the_answer_is_that_of_the_item_that_got_furthest_and_names_it() {
    let item = |id: u64, terms: Value| {
        let mut fields = json!({"item_id": id, "product": "dbr", "charge_way": "scan", "quota": 10});
        fields.as_object_mut().expect("object").extend(terms.as_object().expect("terms").clone());
        Vendor::item(fields)
    };
    let (site, _) = Site::licensed(vec![
        item(1, json!({"product": "dlr"})),
        item(2, json!({"versions": "8.*"})),
        item(3, json!({"deployment_types": ["browser"]})),
        item(4, json!({"editions": ["javascript"]})),
        item(5, json!({"valid_from": "2027-01-01T00:00:00Z"})),
        item(6, json!({"valid_from": "2024-01-01T00:00:00Z", "valid_to": "2025-01-01T00:00:00Z"})),
        item(7, json!({"depends_on": 999})),
    ]);
    let device = site.device("216998-100");
    for (furthest, code) in [(7, 124), (6, 111), (5, 112), (4, 109), (3, 108), (2, 107), (1, 106)] {
        let items: Vec<u64> = (1..=furthest).collect();
        edit(&site, "216998-100", json!({"items": items}));
        let problem = refused(&ask(&device, json!({})), code);
        assert!(detail(&problem).starts_with(&format!("item {furthest}:")), "{problem}");
    }
}

#[test]
fn the_first_failing_check_wins_in_the_order_service_names_password_validation_items() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    site.import(&vendor, 200, "377001", vec![Vendor::scan_item(2)]);
    add_code(&site, "216998-strict", json!({"items": [1], "session_password": "open sesame", "application_ids": ["com.example.scanner"]}));
    let device = site.device("216998-typo");
    // Everything is wrong with it; then one thing after the other is put right.
    let mut request = device.request_with(json!({
        "organization_id": "377001", "session_password": "wrong", "validation": {"application_id": "wrong"}, "product": "wrong", "edition": "wrong"
    }));
    let mut expect = |code: u16, field: &str, right: Value| {
        refused(&post(&device, "/api/v1/authorize", &request), code);
        request[field] = right;
    };
    site.clock.advance_seconds(-600);
    expect(210, "later", json!("is ignored"));
    site.clock.advance_seconds(600);
    expect(101, "handshake_code", json!("216998-strict"));
    expect(122, "organization_id", json!("216998"));
    expect(102, "session_password", json!("open sesame"));
    expect(114, "validation", json!({"application_id": "com.example.scanner"}));
    expect(106, "product", json!("dbr"));
    granted(&post(&device, "/api/v1/authorize", &request));
}

// Reports.

#[test]
fn a_report_is_taken_up_to_30_days_later_then_it_is_201_and_one_from_the_future_is_202() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    let now = Slot::containing(site.now()).start();
    let old = device.scans(now - 30 * DAY - 180, json!({"QR Code": 1}));
    let too_old = device.scans(now - 30 * DAY - 360, json!({"QR Code": 2}));
    let current = device.scans(now, json!({"QR Code": 4}));
    let future = device.scans(now + 180, json!({"QR Code": 8}));
    let answer = device.report(&[old.clone(), too_old.clone(), current.clone(), future.clone()]).expect("taken");
    assert_eq!(answer["accepted"], json!([old["report_id"], current["report_id"]]));
    let id = |report: &Value| report["report_id"].as_str().expect("id").to_owned();
    assert_eq!(rejected(&answer), [(id(&too_old), 201), (id(&future), 202)]);
    assert_eq!(site.item(1)["used"], 5);
}

#[test]
fn a_report_or_release_without_an_authorization_of_this_site_for_this_device_is_203() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    let own = device.authorization.clone().expect("an authorization");
    let claims = site.app().context().site.verify_authorization(&own).expect("genuine");
    let certificate = Authorization::parse(&own).expect("parsed").svr().expect("a certificate").to_owned();

    let mut other = site.device("216998-100");
    other.authorize().expect("authorized");
    let (stranger, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let mut there = stranger.device("216998-100");
    there.client = device.client;
    there.authorize().expect("authorized there");
    let (sister, vendor) = (Site::empty(), vendor);
    let vendor = sister.trust(vendor);
    sister.import(&vendor, 100, "216998", vec![Vendor::scan_item(1)]);
    let mut at_sister = sister.device("216998-100");
    at_sister.client = device.client;
    at_sister.authorize().expect("authorized there");

    let mut tampered = own.clone();
    let last = tampered.pop().expect("a signature");
    tampered.push(if last == 'A' { 'Q' } else { 'A' });
    let thief = SigningKey::generate();
    for (what, shown) in [
        ("nothing", Some(String::new())),
        ("no authorization at all", Some("hello".to_owned())),
        ("a tampered signature", Some(tampered)),
        ("one signed by another key under the server's certificate", Some(authorization::prepared_header(&thief, &certificate).sign(&claims))),
        ("one signed by another key", Some(PreparedHeader::new(&thief, authorization::TYP, None).sign(&claims))),
        ("another device's", other.authorization.clone()),
        ("one of a stranger's server", there.authorization.clone()),
        ("one of a server of another site of the same vendor", at_sister.authorization.clone()),
    ] {
        let mut reporting = device.clone();
        reporting.authorization = shown;
        let body = reporting.report_body(&[reporting.scans(NOON - 600, json!({"QR Code": 1}))]);
        let problem = refused(&post(&reporting, "/api/v1/reports", &body), 203);
        assert_ne!(detail(&problem), "", "{what}");
        refused(&post(&reporting, "/api/v1/release", &json!({"client_uuid": device.client, "authorization": reporting.authorization})), 203);
    }
    assert_eq!(site.item(1)["used"], 0);
    device.report(&[device.scans(NOON - 600, json!({"QR Code": 1}))]).expect("its own is taken");
}

#[test]
fn an_authorization_may_have_ended_30_days_ago_for_reporting_then_it_is_203() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    site.clock.advance_seconds((7 + 30) * DAY);
    let answer = device.report(&[device.scans(site.now() - 600, json!({"QR Code": 1}))]).expect("taken");
    assert_eq!(answer["accepted"].as_array().map(Vec::len), Some(1));
    site.clock.advance_seconds(1);
    let body = device.report_body(&[device.scans(site.now() - 600, json!({"QR Code": 1}))]);
    refused(&post(&device, "/api/v1/reports", &body), 203);
}

#[test]
fn pages_of_a_module_that_no_item_covers_are_204_and_of_another_product_106() {
    let item = Vendor::item(json!({"item_id": 1, "product": "dwt", "charge_way": "page", "quota": 100, "modules": ["core", "webcam"]}));
    let (site, _) = Site::licensed(vec![item]);
    let mut device = site.device("216998-100");
    device.authorize_with(json!({"product": "dwt"})).expect("authorized");
    let pages = |product: &str, module: &str| {
        let mut report = device.scans(NOON - 600, json!({"scanned": 3}));
        for (field, value) in [("product", product), ("module", module), ("unit", "page")] {
            report[field] = json!(value);
        }
        report
    };
    let reports = [pages("dwt", "core"), pages("dwt", "ocr"), pages("dbr", "core")];
    let answer = device.report(&reports).expect("taken");
    assert_eq!(answer["accepted"], json!([reports[0]["report_id"]]));
    let id = |report: &Value| report["report_id"].as_str().expect("id").to_owned();
    assert_eq!(rejected(&answer), [(id(&reports[1]), 204), (id(&reports[2]), 106)]);
    assert_eq!(site.item(1)["used"], 3);
}

// Nothing is forgotten.

/// Reserved in domain §9: no version answers it.
const NEVER: [u16; 1] = [105];

/// Tests that together provoke every code. The next one runs them and compares what the
/// server really answered, so a code that is added and never provoked fails here.
const PROVOKERS: &[fn()] = &[
    a_server_without_a_license_answers_100_and_serves_after_the_import,
    names_that_lead_nowhere_are_101_121_122_and_123,
    a_missing_or_wrong_session_password_is_102_and_the_right_one_is_granted,
    a_browser_of_a_foreign_domain_is_103_whatever_its_body_says,
    a_code_whose_items_were_all_taken_out_is_104,
    a_request_outside_of_what_the_item_permits_has_the_code_of_that_check_and_one_inside_is_granted,
    when_several_items_fail_the_answer_is_that_of_the_item_that_got_furthest_and_names_it,
    revocations::a_revoked_item_is_113_from_the_next_authorization_on,
    charge_ways::a_domain_item_serves_pages_of_its_domain_and_others_are_103,
    the_first_failing_check_wins_in_the_order_service_names_password_validation_items,
    a_device_item_is_120_for_new_devices_when_all_seats_and_grace_are_taken_and_the_others_go_on,
    the_fourth_request_of_a_device_within_a_minute_is_130_and_others_go_on,
    clones::a_copy_of_a_device_shows_an_older_ticket_and_is_151_until_the_admin_resets_it,
    malformed::a_request_must_be_an_object_not_a_list_of_values_in_the_right_order,
    a_report_is_taken_up_to_30_days_later_then_it_is_201_and_one_from_the_future_is_202,
    an_authorization_may_have_ended_30_days_ago_for_reporting_then_it_is_203,
];

#[test]
fn every_error_code_that_can_occur_is_provoked_by_these_tests() {
    let runs: Vec<_> = PROVOKERS
        .iter()
        .map(|test| {
            std::thread::spawn(move || {
                test();
                SEEN.take()
            })
        })
        .collect();
    let provoked: BTreeSet<u16> = runs.into_iter().flat_map(|run| run.join().expect("the test passes")).collect();
    let expected: BTreeSet<u16> = ErrorCode::ALL.iter().map(|code| code.number()).filter(|number| !NEVER.contains(number)).collect();
    assert_eq!(provoked, expected);
}
