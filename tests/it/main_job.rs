//! The main job: a device is licensed, and its use is counted.

use serde_json::{Value, json};
use tollkeeper::client::transport::Method;

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

#[test]
fn the_api_is_described_and_its_reference_loads_from_this_server_alone() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let get = |path: &str, headers: &[(&str, &str)]| site.anonymous().send(Method::Get, path, None, headers).expect("an answer");
    let mut tags = Vec::new();
    for path in ["/openapi.json", "/api/v1/openapi.json"] {
        let answer = get(path, &[]);
        assert_eq!((answer.status, answer.header("Content-Type"), answer.header("Cache-Control")), (200, Some("application/json"), Some("no-cache")));
        let api: Value = answer.json().expect("JSON");
        assert!(api["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{path}");
        assert!(api["paths"]["/api/v1/authorize"]["post"].is_object(), "{path}");
        let tag = answer.header("ETag").expect("a tag").to_owned();
        assert_eq!(get(path, &[("If-None-Match", &tag)]).status, 304);
        tags.push(tag);
    }
    assert_eq!(tags[0], tags[1]);
    // What the page loads is whole: none of it is what was left out of the program.
    let unpacked = |path: &str| {
        let answer = get(path, &[]);
        assert_eq!(answer.status, 200, "{path}");
        let is_packed = answer.header("Content-Encoding") == Some("gzip");
        if is_packed { std::io::read_to_string(flate2::read::GzDecoder::new(&*answer.body)).expect(path) } else { String::from_utf8(answer.body).expect(path) }
    };
    let page = unpacked("/reference/index.html");
    let scripts: Vec<&str> = page.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(scripts.len() >= 3, "{page}");
    for script in scripts {
        let text = unpacked(&format!("/reference/{}", script.trim_start_matches("./")));
        assert!(text.len() > 200 && !text.contains("left out of the program"), "{script} has {} bytes", text.len());
        assert!(!script.ends_with("swagger-initializer.js") || text.contains("\"/openapi.json\""), "{text}");
    }
}
