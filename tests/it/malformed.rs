//! Malformed requests: each is code 200 and names its field.

use serde_json::{Value, json};

use crate::error_codes::{granted, post, refused};
use crate::support::{Device, NOON, Site, Vendor};

/// Sends `good` with one field changed at a time (`null` takes it away) and expects 200
/// that names the field. A field is written as in the answers: `reports[0].slot`.
fn each_names_its_field(device: &Device, path: &str, good: &Value, cases: &[(&str, &str, Value)]) {
    for (pointer, named, value) in cases {
        let mut body = good.clone();
        let (parent, last) = pointer.rsplit_once('/').expect("a pointer");
        let parent = body.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
        match value {
            Value::Null => assert!(parent.remove(last).is_some(), "{pointer} is there to be taken away"),
            value => drop(parent.insert(last.to_owned(), value.clone())),
        }
        let problem = refused(&post(device, path, &body), 200);
        assert_eq!(problem["field"], *named, "{pointer} = {value}: {problem}");
    }
}

#[test]
pub(crate) fn a_malformed_authorization_request_is_200_and_names_the_field() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let device = site.device("216998-100");
    let good = device.request_with(json!({"validation": {"domain": "scan.example.com"}, "instances": 1, "max_buffer_days": 30}));
    let long = "x".repeat(201);
    each_names_its_field(
        &device,
        "/api/v1/authorize",
        &good,
        &[
            ("/client_uuid", "client_uuid", json!(null)),
            ("/client_uuid", "client_uuid", json!(7)),
            ("/client_uuid", "client_uuid", json!("not-a-uuid")),
            ("/client_uuid", "client_uuid", json!("00000000-0000-0000-0000-000000000000")),
            ("/product", "product", json!(null)),
            ("/product", "product", json!(7)),
            ("/product", "product", json!("")),
            ("/product", "product", json!(long)),
            ("/nonce", "nonce", json!(null)),
            ("/nonce", "nonce", json!(12345)),
            ("/nonce", "nonce", json!("too-short")),
            ("/nonce", "nonce", json!("not base64url but long enough")),
            ("/organization_id", "organization_id", json!(216998)),
            ("/handshake_code", "handshake_code", json!(["216998-100"])),
            ("/handshake_code", "handshake_code", json!(long)),
            ("/session_password", "session_password", json!(true)),
            ("/product_version", "product_version", json!(9.6)),
            ("/edition", "edition", json!({})),
            ("/deployment_type", "deployment_type", json!("toaster")),
            ("/deployment_type", "deployment_type", json!(1)),
            ("/modules", "modules", json!("qr-code")),
            ("/modules", "modules[1]", json!(["qr-code", 7])),
            ("/modules", "modules", json!([""])),
            ("/charge_way", "charge_way", json!("free")),
            ("/instances", "instances", json!("1")),
            ("/instances", "instances", json!(0)),
            ("/instances", "instances", json!(-1)),
            ("/instances", "instances", json!(1.5)),
            ("/max_buffer_days", "max_buffer_days", json!(366)),
            ("/max_buffer_days", "max_buffer_days", json!("30")),
            ("/validation", "validation", json!("scan.example.com")),
            ("/validation/domain", "validation.domain", json!(1)),
            ("/validation/process_name", "validation.process_name", json!(long)),
            ("/ticket", "ticket", json!(1)),
        ],
    );
    granted(&post(&device, "/api/v1/authorize", &good));
}

#[test]
pub(crate) fn a_malformed_report_or_release_is_200_and_names_the_field() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    let good = device.report_body(&[device.scans(NOON - 600, json!({"QR Code": 1}))]);
    each_names_its_field(
        &device,
        "/api/v1/reports",
        &good,
        &[
            ("/client_uuid", "client_uuid", json!(null)),
            ("/client_uuid", "client_uuid", json!([])),
            ("/authorization", "authorization", json!(null)),
            ("/authorization", "authorization", json!({})),
            ("/reports", "reports", json!(null)),
            ("/reports", "reports", json!({})),
            ("/reports", "reports[0]", json!(["x"])),
            ("/reports/0/report_id", "reports[0].report_id", json!(null)),
            ("/reports/0/report_id", "reports[0].report_id", json!("first")),
            ("/reports/0/report_id", "reports[0].report_id", json!("00000000-0000-0000-0000-000000000000")),
            ("/reports/0/slot", "reports[0].slot", json!(null)),
            ("/reports/0/slot", "reports[0].slot", json!("yesterday")),
            ("/reports/0/slot", "reports[0].slot", json!(1_795_348_800)),
            ("/reports/0/slot", "reports[0].slot", json!("2026-11-22T05:01:00Z")),
            ("/reports/0/handshake_code", "reports[0].handshake_code", json!(null)),
            ("/reports/0/handshake_code", "reports[0].handshake_code", json!("")),
            ("/reports/0/product", "reports[0].product", json!(null)),
            ("/reports/0/product", "reports[0].product", json!(1)),
            ("/reports/0/unit", "reports[0].unit", json!(null)),
            ("/reports/0/unit", "reports[0].unit", json!("pixel")),
            ("/reports/0/module", "reports[0].module", json!("")),
            ("/reports/0/instances", "reports[0].instances", json!("1")),
            ("/reports/0/counts", "reports[0].counts", json!(null)),
            ("/reports/0/counts", "reports[0].counts", json!([])),
            ("/reports/0/counts", "reports[0].counts", json!({"": 1})),
            ("/reports/0/counts", "reports[0].counts", json!({"QR Code": 1_000_000_001})),
            ("/reports/0/counts", "reports[0].counts.QR Code", json!({"QR Code": -1})),
            ("/reports/0/counts", "reports[0].counts.QR Code", json!({"QR Code": 1.5})),
            ("/reports/0/counts", "reports[0].counts.QR Code", json!({"QR Code": "1"})),
        ],
    );
    assert_eq!(site.item(1)["used"], 0);
    granted(&post(&device, "/api/v1/reports", &good));

    let release = json!({"client_uuid": device.client, "authorization": device.authorization});
    each_names_its_field(
        &device,
        "/api/v1/release",
        &release,
        &[
            ("/client_uuid", "client_uuid", json!(null)),
            ("/client_uuid", "client_uuid", json!("x")),
            ("/authorization", "authorization", json!(null)),
            ("/authorization", "authorization", json!(1)),
        ],
    );
    assert_eq!(post(&device, "/api/v1/release", &release).status, 204);
}

#[test]
pub(crate) fn a_request_must_be_an_object_not_a_list_of_values_in_the_right_order() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let device = site.device("216998-100");
    let release = json!([device.client, "authorization"]);
    assert_eq!(refused(&post(&device, "/api/v1/release", &release), 200)["field"], "body");
    for other in [json!("text"), json!(1), json!(null), json!(true), json!([])] {
        assert_eq!(refused(&post(&device, "/api/v1/authorize", &other), 200)["field"], "body", "{other}");
    }
}
