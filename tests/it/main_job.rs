//! The main job: a device is licensed, and its use is counted.

use serde_json::json;

use crate::support::{Site, Vendor};

#[test]
fn a_device_is_authorized_reports_and_is_counted_once() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    let report = device.scans(site.now() - 600, json!({"QR Code": 10, "Code 128": 2}));
    let first = device.report(std::slice::from_ref(&report)).expect("taken");
    assert_eq!(first["accepted"], json!([report["report_id"]]));
    let again = device.report(std::slice::from_ref(&report)).expect("taken");
    assert_eq!((&again["duplicate"], &again["accepted"]), (&json!([report["report_id"]]), &json!([])));
    assert_eq!(site.item(1)["used"], 12);
    let usage = site.admin_get("statistics?handshake=216998-100");
    assert_eq!(usage["by_type"], json!({"Code 128": 2, "QR Code": 10}));
    assert_eq!(usage["devices"], 1);
    assert_eq!(usage["authorizations"], json!({"granted": 1, "refused": 0}));
}
