//! Sealed bodies, for sites where a proxy ends TLS: the same as in clear, for whoever holds
//! the key; for everybody else nothing.

use serde_json::{Value, json};
use tollkeeper::client::transport::{Method, Reply, Transport};
use tollkeeper::client::{License, Settings};
use tollkeeper::documents::sealed::{AnswerOpener, CONTENT_TYPE, SealingPublicKey};
use tollkeeper::documents::{SealingJwk, SealingKey, ServerCertificate};

use crate::support::wire::{journal_length, plain_address, plain_site};
use crate::support::{Device, Site, Vendor};

const AUTHORIZE: &str = "/api/v1/authorize";

fn key_of(site: &Site) -> SealingPublicKey {
    let info: Value = site.anonymous().get("/api/v1/server").expect("answers").json().expect("JSON");
    let key = info["keys"].as_array().expect("keys").iter().find(|key| key["use"] == "enc").expect("a key to seal to");
    serde_json::from_value::<SealingJwk>(key.clone()).expect("a JWK").key().expect("a key")
}

fn send(transport: &Transport, path: &str, body: Vec<u8>) -> Reply {
    transport.send(Method::Post, path, Some((CONTENT_TYPE, body)), &[]).expect("the server answers")
}

/// Sends this sealed, and opens the answer.
fn ask(site: &Site, path: &str, body: &Value) -> (u16, Value) {
    let (sealed, opener) = key_of(site).seal(path, body.to_string().as_bytes()).expect("sealed");
    let reply = send(site.anonymous(), path, sealed);
    (reply.status, open(opener, &reply))
}

fn open(opener: AnswerOpener, reply: &Reply) -> Value {
    if reply.body.is_empty() {
        return Value::Null;
    }
    assert_eq!(reply.header("content-type"), Some(CONTENT_TYPE));
    serde_json::from_slice(&opener.open(reply.status, &reply.body).expect("opened")).expect("JSON")
}

#[test]
fn a_sealed_request_does_what_a_clear_one_does() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let device: Device = site.device("216998-100");
    let (status, granted) = ask(&site, AUTHORIZE, &device.request());
    assert_eq!((status, granted["report_interval_seconds"].as_u64()), (200, Some(180)));
    let report = device.scans(site.now() - 180, json!({"QR Code": 3}));
    let reports = json!({"client_uuid": device.request()["client_uuid"], "authorization": granted["authorization"], "reports": [report]});
    let (status, taken) = ask(&site, "/api/v1/reports", &reports);
    assert_eq!((status, taken["accepted"].as_array().map(Vec::len)), (200, Some(1)));
    assert_eq!(site.item(1)["used"], 3);
    let release = json!({"client_uuid": device.request()["client_uuid"], "authorization": granted["authorization"]});
    assert_eq!(ask(&site, "/api/v1/release", &release), (204, Value::Null));
}

#[test]
fn a_refusal_is_sealed_too() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let device = site.device("216998-100");
    let (status, problem) = ask(&site, AUTHORIZE, &device.request_with(json!({"product": "ocr"})));
    assert_eq!((status, &problem["code"]), (403, &json!(106)));
    let (status, problem) = ask(&site, AUTHORIZE, &json!({"product": 7}));
    assert_eq!((status, &problem["code"]), (400, &json!(200)));
}

#[test]
fn what_cannot_be_opened_is_told_in_clear_and_leaves_nothing() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let request = site.device("216998-100").request().to_string();
    let sealed = |path| key_of(&site).seal(path, request.as_bytes()).expect("sealed").0;
    let mut damaged = sealed(AUTHORIZE);
    damaged[60] ^= 1;
    let before = journal_length(&site);
    let foreign = SealingKey::generate().public().seal(AUTHORIZE, request.as_bytes()).expect("sealed").0;
    for (what, body) in [
        ("damaged", damaged),
        ("cut off", sealed(AUTHORIZE)[..50].to_vec()),
        ("empty", Vec::new()),
        ("for another path", sealed("/api/v1/reports")),
        ("to another key", foreign),
        ("in clear", request.clone().into_bytes()),
    ] {
        let reply = send(site.anonymous(), AUTHORIZE, body);
        let problem: Value = reply.json().expect("a problem in clear");
        assert_eq!((reply.status, &problem["code"], &problem["field"]), (400, &json!(200), &json!("body")), "{what}: {problem}");
    }
    let reply = send(site.anonymous(), AUTHORIZE, vec![0; (1 << 20) + 49]);
    assert_eq!((reply.status, reply.json::<Value>().expect("a problem")["field"].clone()), (400, json!("body")));
    assert_eq!(journal_length(&site), before);
}

#[test]
fn the_vendor_vouches_for_the_key_and_an_application_uses_it() {
    let site = plain_site(|_| {});
    let info: Value = site.anonymous().get("/api/v1/server").expect("answers").json().expect("JSON");
    let vendors = std::fs::read_dir(site.data().join("vendors")).expect("vendors").flatten().next().expect("a vendor").path();
    let vendor = tollkeeper::documents::load_vendor_key(&vendors).expect("a key");
    let certificate = ServerCertificate::verify(info["certificates"][0].as_str().expect("a certificate"), std::slice::from_ref(&vendor)).expect("signed");
    assert_eq!(certificate.sealing_jwk.and_then(|jwk| jwk.key().ok()), Some(key_of(&site)));

    let folder = tempfile::tempdir().expect("dir");
    let settings = Settings {
        vendor_public_key: vendor.to_spki_pem(),
        main_server_url: Some(format!("http://{}", plain_address(&site))),
        handshake_code: Some("216998-100".into()),
        product: "dbr".into(),
        sealed: true,
        data_folder: Some(folder.path().to_owned()),
        ..Settings::default()
    };
    let license = License::initialize(&settings).expect("licensed");
    license.record("QR Code", 5).expect("counted");
    license.flush();
    site.clock.advance_seconds(400);
    license.renew().expect("renewed");
    assert_eq!(site.item(1)["used"], 5);
    drop(license);
    let wrong = Settings { product: "ocr".into(), ..settings.clone() };
    assert_eq!(License::initialize(&wrong).expect_err("refused").code.number(), 106);
    let stranger = Settings { vendor_public_key: Vendor::new().key.verifying_key().to_spki_pem(), ..settings };
    assert_eq!(License::initialize(&stranger).expect_err("nobody to seal to").code.number(), 308);
}

#[test]
fn a_server_keeps_its_key_over_a_restart() {
    let (mut site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let key = key_of(&site);
    site.restart();
    assert_eq!(key_of(&site), key);
}
