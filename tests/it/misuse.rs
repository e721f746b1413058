//! Ways to get more than was bought, each tried once and found shut.

use serde_json::json;
use tollkeeper::client::transport::Method;

use crate::support::{Site, Vendor};

#[test]
fn a_repeated_request_that_asks_for_something_else_is_decided_and_counted_like_any() {
    let seats = Vendor::item(json!({"item_id": 2, "product": "ocr", "charge_way": "device", "period": "quarter", "quota": 1}));
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1), seats]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    let old_ticket = device.ticket.clone();
    let request = device.request();
    device.authorize_with(json!({"nonce": request["nonce"]})).expect("authorized again");
    let current = device.ticket.clone();
    device.authorize_with(json!({"ticket": old_ticket, "nonce": request["nonce"], "product": "ocr"})).expect("the repeat is tolerated");
    assert_eq!(device.ticket, current, "a repeat gets the same ticket");
    assert_eq!(site.item(2)["used"], 1, "and the seat it got is counted");
    let refused = site.device("216998-100").authorize_with(json!({"product": "ocr"})).expect_err("no seat is left");
    assert_eq!(refused["code"], 120);
    // The lost answer may be asked for once more.
    device.authorize_with(json!({"ticket": old_ticket, "nonce": request["nonce"], "product": "ocr"})).expect("tolerated again");
}

#[test]
fn a_device_reports_only_under_codes_it_was_authorized_for() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1), Vendor::device_item(2)]);
    site.admin(Method::Patch, "handshakes/216998-100", Some(json!({"items": [1]})));
    site.admin(Method::Post, "handshakes", Some(json!({"handshake_code": "216998-other", "items": [2]})));
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    let mut report = device.scans(site.now() - 600, json!({"QR Code": 5}));
    report["handshake_code"] = json!("216998-other");
    let answer = device.report(std::slice::from_ref(&report)).expect("answered");
    assert_eq!(answer["rejected"][0]["code"], 203);
    assert_eq!(answer["accepted"], json!([]));
}

#[test]
fn an_alias_of_a_deleted_code_does_not_hide_that_of_a_living_one() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    for (second, deleted) in [("216998-b", true), ("216998-c", false)] {
        site.admin(Method::Post, "handshakes", Some(json!({"handshake_code": "216998-a", "items": [1]})));
        site.admin(Method::Patch, "handshakes/216998-a", Some(json!({"handshake_code": second})));
        if deleted {
            site.admin(Method::Delete, &format!("handshakes/{second}"), None);
        }
    }
    site.device("216998-a").authorize().expect("the alias leads to the living code");
}

#[test]
fn a_mismatch_does_not_tell_what_would_match() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    site.admin(Method::Patch, "handshakes/216998-100", Some(json!({"process_names": ["secret-scanner.exe"]})));
    let refused = site.device("216998-100").authorize_with(json!({"validation": {"process_name": "evil.exe"}})).expect_err("refused");
    assert_eq!(refused["code"], 114);
    let detail = refused["detail"].as_str().expect("detail");
    assert!(detail.contains("evil.exe") && !detail.contains("secret-scanner"), "{detail}");
}

#[test]
fn reports_wait_while_the_clock_stands_behind_what_was_recorded() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    site.clock.advance_seconds(-3_600);
    let report = device.scans(site.now() - 600, json!({"QR Code": 5}));
    let refused = device.report(std::slice::from_ref(&report)).expect_err("not now");
    assert_eq!((&refused["code"], &refused["status"]), (&json!(210), &json!(503)));
    site.clock.advance_seconds(3_600);
    assert_eq!(device.report(&[report]).expect("taken")["accepted"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_seat_is_given_back_only_with_the_last_authorization() {
    let (site, _) = Site::licensed(vec![Vendor::device_item(1)]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    let old = device.authorization.clone();
    site.clock.advance_seconds(60);
    device.authorize().expect("authorized again");
    let release = |authorization: &Option<String>| {
        let body = json!({"client_uuid": device.client, "authorization": authorization});
        site.anonymous().post_json("/api/v1/release", &body, &[]).expect("answered")
    };
    let refused = release(&old);
    assert_eq!((refused.status, refused.json::<serde_json::Value>().expect("JSON")["code"].clone()), (403, json!(203)));
    assert_eq!(site.item(1)["used"], 1);
    assert_eq!(release(&device.authorization).status, 204);
    assert_eq!(site.item(1)["used"], 0);
}
