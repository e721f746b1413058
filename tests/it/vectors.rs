//! Vectors that the client libraries of all languages share, `tests/vectors/*.json`. They are made
//! from fixed keys and times; `TOLLKEEPER_BLESS=1` writes them anew. What stands in the files is
//! what our own code says about them.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tollkeeper::client::Code;
use tollkeeper::client::core::trust::{self, Expected};
use tollkeeper::client::vectors;
use tollkeeper::clock::rfc3339;
use tollkeeper::documents::carried::{self, Kind};
use tollkeeper::documents::product_key::{ProductKey, VERSION};
use tollkeeper::documents::{AuthorizedItem, Claims, KeyRequest, ProductKeys, ServerCertificate, SigningKey, VerifyingKey, authorization, jws};
use tollkeeper::licensing::{ChargeWay, ClientUuid, CodeId, DeploymentType, HandshakeCode, ItemId, ServerUuid, Slot};
use tollkeeper::protocol::ErrorCode;
use tollkeeper::protocol::license_key::LicenseKey;
use uuid::Uuid;

use crate::support::bless;

/// The time of the vectors: 22 November 2026, 05:04:30.
const NOW: i64 = 1_795_323_870;
const DAY: i64 = 86_400;

/// Compares with the file, or writes it.
pub fn hold(name: &str, made: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    if bless() {
        std::fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        std::fs::write(&path, serde_json::to_string_pretty(made).expect("JSON") + "\n").expect("written");
        return;
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}: write it with TOLLKEEPER_BLESS=1", path.display()));
    let kept: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(&kept, made, "{name} is not what this program says: TOLLKEEPER_BLESS=1 writes it anew");
}

/// A key that is always the same.
pub fn key(number: u8) -> SigningKey {
    let mut der = vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend([number; 32]);
    SigningKey::from_pkcs8_der(&der).expect("a key")
}

fn uuid(number: u8) -> Uuid {
    uuid::Builder::from_random_bytes([number; 16]).into_uuid()
}

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("a time")
}

#[test]
fn slots() {
    let cases = [
        ("2026-11-22T05:03:00Z", "2026-11-22T05:03:00Z"),
        ("2026-11-22T05:04:59.999Z", "2026-11-22T05:03:00Z"),
        ("2026-11-22T05:05:59.999Z", "2026-11-22T05:03:00Z"),
        ("2026-11-22T05:06:00Z", "2026-11-22T05:06:00Z"),
        ("2026-11-22T00:00:00Z", "2026-11-22T00:00:00Z"),
        ("2026-11-22T23:59:59.999Z", "2026-11-22T23:57:00Z"),
        ("2028-02-29T12:00:01+02:00", "2028-02-29T10:00:00Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
    ];
    let told = |at: &str| rfc3339(Slot::containing(DateTime::parse_from_rfc3339(at).expect("a time").timestamp()).start());
    for (at, slot) in cases {
        assert_eq!(told(at), *slot, "{at}");
    }
    let cases: Vec<Value> = cases.iter().map(|(at, slot)| json!({"at": at, "slot": slot})).collect();
    hold("slots.json", &json!({"cases": cases}));
}

#[test]
fn license_keys() {
    let full = LicenseKey {
        servers: vec!["https://main.example.com:48443".into(), "https://standby.example.com:48443".into()],
        organization_id: "216998".into(),
        handshake_code: "216998-vehicleCode".into(),
        session_password: Some("öffne dich".into()),
        ca: Some(format!("sha256:{}", "5a".repeat(32))),
    };
    let bare = LicenseKey { servers: vec!["https://10.0.0.7:48443".into()], session_password: None, ca: None, ..full.clone() };
    let good: Vec<Value> = [full.clone(), bare]
        .iter()
        .map(|key| {
            json!({"text": key.to_string(), "servers": key.servers, "organization_id": key.organization_id, "handshake_code": key.handshake_code,
                "session_password": key.session_password, "ca": key.ca})
        })
        .collect();
    let of = |json: &str| format!("TK1.{}", URL_SAFE_NO_PAD.encode(json));
    let text = full.to_string();
    let bad = [
        (String::new(), "nothing"),
        (text.replacen("TK1.", "TK2.", 1), "another version"),
        (text[..text.len() - 7].to_owned(), "cut off"),
        (text.replacen("TK1.e", "TK1.!", 1), "a letter that is none of base64url"),
        (of("{\"servers\":[],\"organization_id\":\"1\",\"handshake_code\":\"1-a\"}"), "no server"),
        (of("{\"servers\":[\"https://a\"],\"organization_id\":\"1\"}"), "no handshake code"),
        (of("[]"), "no object"),
    ];
    for (text, why) in &bad {
        assert!(text.parse::<LicenseKey>().is_err(), "{why}");
    }
    let bad: Vec<Value> = bad.iter().map(|(text, why)| json!({"text": text, "why": why})).collect();
    hold("license_keys.json", &json!({"good": good, "bad": bad}));
}

/// An authorization of seven days, and what was asked for.
fn chain() -> (Claims, ServerCertificate) {
    let hs: HandshakeCode = "216998-vehicleCode".parse().expect("a code");
    let item = AuthorizedItem {
        item_id: ItemId(100_955_015),
        product: "dbr".into(),
        editions: vec!["mobile".into()],
        modules: vec!["qr-code".into(), "1d".into()],
        charge_way: ChargeWay::Scan,
        instances: 1,
        domain: None,
        valid_to: time(NOW + 300 * DAY),
    };
    let claims = Claims {
        iss: ServerUuid(uuid(1)),
        sub: ClientUuid(uuid(2)),
        iat: NOW,
        nbf: NOW,
        exp: NOW + 7 * DAY,
        jti: uuid(3),
        nonce: "bm9uY2Vub25jZW5vbmNlbm9uY2U".into(),
        org: hs.organization(),
        hs,
        hid: CodeId(uuid(4)),
        items: vec![item],
        deployment_type: Some(DeploymentType::Mobile),
        edition: Some("mobile".into()),
        product_version: Some("9.6.30".into()),
    };
    let certificate = ServerCertificate {
        server_uuid: claims.iss,
        organization_id: claims.org.clone(),
        jwk: key(2).verifying_key().jwk(),
        sealing_jwk: None,
        not_before: time(NOW - 100 * DAY),
        not_after: time(NOW + 300 * DAY),
    };
    (claims, certificate)
}

#[test]
fn chains() {
    let (vendor, server, stranger) = (key(1), key(2), key(3));
    let (claims, certificate) = chain();
    let sign = |key: &SigningKey, certificate: &str, claims: &Claims| authorization::prepared_header(key, certificate).sign(claims);
    let good = sign(&server, &certificate.issue(&vendor), &claims);
    let with = |change: &dyn Fn(&mut Claims)| {
        let mut changed = claims.clone();
        change(&mut changed);
        sign(&server, &certificate.issue(&vendor), &changed)
    };
    let under = |change: &dyn Fn(&mut ServerCertificate)| {
        let mut changed = certificate.clone();
        change(&mut changed);
        sign(&server, &changed.issue(&vendor), &claims)
    };
    let parts: Vec<&str> = good.split('.').collect();
    let (head, body, tail) = (parts[0], parts[1], parts[2]);
    let forged_body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&Claims { exp: NOW + 999 * DAY, ..claims.clone() }).expect("JSON"));
    let header = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let svr = certificate.issue(&vendor);
    let none = header(json!({"alg": "none", "kid": server.kid(), "typ": "tk-authorization+jws", "svr": svr}));
    let key_in_header =
        header(json!({"alg": "EdDSA", "kid": stranger.kid(), "typ": "tk-authorization+jws", "svr": svr, "jwk": stranger.verifying_key().jwk()}));
    let self_made = {
        let certificate = ServerCertificate { jwk: stranger.verifying_key().jwk(), ..certificate.clone() };
        sign(&stranger, &certificate.issue(&stranger), &claims)
    };
    let cases: Vec<(&str, String, &str, i64)> = vec![
        ("as it should be", good.clone(), "ok", NOW + DAY),
        ("in its first second", good.clone(), "ok", NOW),
        ("in its last second", good.clone(), "ok", NOW + 7 * DAY - 1),
        ("ended", good.clone(), "expired", NOW + 7 * DAY),
        ("not begun", good.clone(), "not_yet", NOW - 1),
        ("the content changed after signing", format!("{head}.{forged_body}.{tail}"), "bad_signature", NOW),
        ("the signature changed", format!("{head}.{body}.{}{}", if tail.starts_with('A') { "B" } else { "A" }, &tail[1..]), "bad_signature", NOW),
        ("signed by a key that the certificate does not name", sign(&stranger, &svr, &claims), "bad_signature", NOW),
        ("a key in the header helps nobody", format!("{key_in_header}.{body}.{tail}"), "bad_signature", NOW),
        ("a certificate of an unknown vendor", sign(&server, &certificate.issue(&stranger), &claims), "unknown_vendor", NOW),
        ("everything made by a stranger", self_made, "unknown_vendor", NOW),
        ("a certificate whose content was changed", sign(&server, &forge(&svr, "216998", "216999"), &claims), "bad_signature_of_certificate", NOW),
        ("given by another server than the certificate's", with(&|c| c.iss = ServerUuid(uuid(9))), "wrong_server", NOW),
        ("a certificate of another server", under(&|c| c.server_uuid = ServerUuid(uuid(9))), "wrong_server", NOW),
        ("a certificate of another organization", under(&|c| c.organization_id = "7".parse().expect("id")), "wrong_organization", NOW),
        ("a certificate that had ended", under(&|c| c.not_after = time(NOW - 1)), "certificate_not_valid", NOW),
        ("a certificate that had not begun", under(&|c| c.not_before = time(NOW + 1)), "certificate_not_valid", NOW),
        ("the answer to another request", with(&|c| c.nonce = "YW5vdGhlcmFub3RoZXJhbm90aGVy".into()), "wrong_nonce", NOW),
        ("for another device", with(&|c| c.sub = ClientUuid(uuid(8))), "wrong_device", NOW),
        ("for another handshake code", with(&|c| c.hs = "216998-other".parse().expect("code")), "wrong_code", NOW),
        ("no algorithm", format!("{none}.{body}."), "malformed", NOW),
        ("no algorithm, but a signature", format!("{none}.{body}.{tail}"), "malformed", NOW),
        ("another kind of document", svr.clone(), "malformed", NOW),
        ("no certificate in it", jws::sign(&server, authorization::TYP, None, &claims), "malformed", NOW),
        ("two parts", format!("{head}.{body}"), "malformed", NOW),
        ("padding", format!("{head}.{body}.{tail}=="), "malformed", NOW),
        ("nothing", String::new(), "malformed", NOW),
    ];
    let vendors: [VerifyingKey; 1] = [vendor.verifying_key().clone()];
    let cases: Vec<Value> = cases
        .into_iter()
        .map(|(name, authorization, result, now)| {
            // The vendor is known, and did not sign this.
            let result = if result == "bad_signature_of_certificate" { "bad_signature" } else { result };
            let expected = Expected {
                client_uuid: ClientUuid(uuid(2)),
                nonce: Some("bm9uY2Vub25jZW5vbmNlbm9uY2U".into()),
                organization_id: Some("216998".into()),
                handshake_code: Some("216998-vehiclecode".into()),
            };
            let checked = trust::check(&authorization, &vendors, &expected).and_then(|claims| trust::check_time(&claims, now).map(|()| claims));
            let told = checked.as_ref().map_or_else(|distrust| distrust.name(), |_| "ok");
            assert_eq!(told, result, "{name}");
            let mut case = json!({"name": name, "authorization": authorization, "now": rfc3339(now), "result": result, "expected": {
                "client_uuid": expected.client_uuid, "nonce": expected.nonce, "organization_id": expected.organization_id, "handshake_code": expected.handshake_code}});
            if let Ok(claims) = checked {
                case["expires_at"] = rfc3339(claims.exp).into();
            }
            case
        })
        .collect();
    hold("chains.json", &json!({"vendor_public_key": vendor.verifying_key().to_spki_pem(), "cases": cases}));
}

/// A JWS with a word of its content exchanged for one of the same length.
fn forge(text: &str, from: &str, to: &str) -> String {
    let parts: Vec<&str> = text.split('.').collect();
    let content = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).expect("base64")).expect("text").replace(from, to);
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(content), parts[2])
}

#[test]
fn product_keys() {
    let vendor = key(1);
    let plain = ProductKey {
        product_key_version: VERSION.into(),
        product_key_id: 7,
        organization_id: None,
        product: "dbr".into(),
        editions: vec![],
        versions: "9.*".to_owned().try_into().expect("patterns"),
        deployment_types: vec![],
        modules: vec!["core".into()],
        valid_from: time(NOW - DAY),
        valid_to: time(NOW + DAY),
        machine: None,
        domain: None,
        issued_at: time(NOW - DAY),
    };
    let seal = |key: &ProductKey| key.seal(&vendor);
    let second = ProductKey { product_key_id: 8, modules: vec!["ocr".into()], ..plain.clone() };
    let narrow =
        ProductKey { editions: vec!["mobile".into()], deployment_types: vec![DeploymentType::Browser], domain: Some("example.com".into()), ..plain.clone() };
    let both = format!("{}; {}", seal(&plain), seal(&second));
    let ask = json!({"product": "dbr", "version": "9.6.30", "edition": null, "deployment_type": null, "modules": [], "machine": null, "host": null});
    let asking = |changes: Value| {
        let mut request = ask.clone();
        for (name, value) in changes.as_object().expect("object") {
            request[name] = value.clone();
        }
        request
    };
    let in_page = json!({"edition": "Mobile", "deployment_type": "browser", "host": "shop.example.com"});
    let bound = ProductKey { machine: Some(ClientUuid(uuid(5))), ..plain.clone() };
    let cases: Vec<(&str, String, Value, i64, Value)> = vec![
        ("as it should be", seal(&plain), asking(json!({"modules": ["CORE"]})), NOW, json!("ok")),
        ("its last second", seal(&plain), ask.clone(), NOW + DAY, json!("ok")),
        ("over", seal(&plain), ask.clone(), NOW + DAY + 1, json!(111)),
        ("not begun", seal(&plain), ask.clone(), NOW - DAY - 1, json!(112)),
        ("another product", seal(&plain), asking(json!({"product": "dwt"})), NOW, json!(106)),
        ("another version", seal(&plain), asking(json!({"version": "10.0"})), NOW, json!(107)),
        ("a module that is not in it", seal(&plain), asking(json!({"modules": ["ocr"]})), NOW, json!(204)),
        ("two keys cover together", both.clone(), asking(json!({"modules": ["core", "ocr"]})), NOW, json!("ok")),
        ("a page of its domain", seal(&narrow), asking(in_page.clone()), NOW, json!("ok")),
        ("a page of another domain", seal(&narrow), asking(json!({"edition": "mobile", "deployment_type": "browser", "host": "example.org"})), NOW, json!(103)),
        ("another edition", seal(&narrow), asking(json!({"edition": "server", "deployment_type": "browser"})), NOW, json!(109)),
        ("another deployment type", seal(&narrow), asking(json!({"edition": "mobile", "deployment_type": "desktop"})), NOW, json!(108)),
        ("its own machine", seal(&bound), asking(json!({"machine": uuid(5)})), NOW, json!("ok")),
        ("another machine", seal(&bound), asking(json!({"machine": uuid(6)})), NOW, json!(113)),
        ("signed by a stranger", plain.seal(&key(3)), ask.clone(), NOW, json!(307)),
        ("changed after signing", forge(&seal(&plain), "\"dbr\"", "\"dbx\""), ask.clone(), NOW, json!(307)),
        ("one of two is a stranger's", format!("{};{}", seal(&plain), second.seal(&key(3))), ask.clone(), NOW, json!(307)),
        ("no key", " ; ".into(), ask.clone(), NOW, json!(307)),
        ("damaged", seal(&plain)[3..].to_owned(), ask, NOW, json!(307)),
    ];
    let cases: Vec<Value> = cases
        .into_iter()
        .map(|(name, text, request, now, result)| {
            let word = |field: &str| request[field].as_str();
            let modules: Vec<String> = serde_json::from_value(request["modules"].clone()).expect("modules");
            let asked = KeyRequest {
                product: word("product").expect("a product"),
                version: word("version"),
                edition: word("edition"),
                deployment_type: serde_json::from_value(request["deployment_type"].clone()).expect("a type"),
                modules: &modules,
                machine: word("machine").map(|text| text.parse().expect("a UUID")),
                host: word("host"),
            };
            let told = match ProductKeys::parse(&text).and_then(|keys| keys.verify(&[vendor.verifying_key().clone()])) {
                Err(_) => (json!(Code::ProductKey.number()), vec![]),
                Ok(keys) => match keys.check(&asked, now) {
                    Ok(covering) => (json!("ok"), covering.iter().map(|key| key.product_key_id).collect()),
                    Err(refusal) => (json!(refusal.reason.code().number()), vec![]),
                },
            };
            assert_eq!(told.0, result, "{name}");
            let mut case = json!({"name": name, "text": text, "request": request, "now": rfc3339(now), "result": result});
            if result == "ok" {
                case["keys"] = json!(told.1);
            }
            case
        })
        .collect();
    hold("product_keys.json", &json!({"vendor_public_key": vendor.verifying_key().to_spki_pem(), "cases": cases}));
}

#[test]
fn errors() {
    let codes = ErrorCode::ALL.iter().map(|code| Code::Server(*code)).chain(Code::OWN.iter().copied());
    let cases: Vec<Value> = codes
        .map(|code| {
            assert_eq!(Code::from_number(code.number()), code);
            json!({"code": code.number(), "sdk_code": code.sdk_code(), "title": code.title(), "user_message": code.user_message()})
        })
        .collect();
    hold("errors.json", &json!({"cases": cases}));
}

#[test]
fn carried_by_hand() {
    let request = json!({"client_uuid": uuid(2), "handshake_code": "216998-vehicleCode", "product": "dbr", "nonce": "bm9uY2Vub25jZW5vbmNlbm9uY2U"});
    let (claims, certificate) = chain();
    let authorization = authorization::prepared_header(&key(2), &certificate.issue(&key(1))).sign(&claims);
    let answer = json!({"authorization": authorization, "expires_at": rfc3339(claims.exp), "refresh_after": rfc3339(NOW + DAY), "report_interval_seconds": 180,
        "ticket": "5a5a", "server_time": rfc3339(NOW), "origin": uuid(1), "safe": {uuid(1).to_string(): 12}});
    let reports = json!({"client_uuid": uuid(2), "authorization": authorization, "reports": [{"report_id": uuid(6), "slot": "2026-11-22T05:03:00Z",
        "handshake_code": "216998-vehicleCode", "product": "dbr", "unit": "scan", "counts": {"QR Code": 12, "Code 128": 3}, "instances": 1}]});
    let mut earlier = claims.clone();
    (earlier.jti, earlier.product_version) = (uuid(7), Some("9.6.20".into()));
    let earlier = authorization::prepared_header(&key(2), &certificate.issue(&key(1))).sign(&earlier);
    // What was done under another authorization, before an update.
    let mut two = reports.clone();
    two["further"] = json!([{"authorization": earlier, "reports": [{"report_id": uuid(8), "slot": "2026-11-22T05:00:00Z",
        "handshake_code": "216998-vehicleCode", "product": "dbr", "unit": "scan", "counts": {"QR Code": 5}, "instances": 1}]}]);
    let receipt = json!({"accepted": [uuid(6)], "duplicate": [], "rejected": [], "origin": uuid(1), "sequence": 13, "safe": {uuid(1).to_string(): 13}, "server_time": rfc3339(NOW)});
    let cases = [
        (Kind::Request, "request", request),
        (Kind::Authorization, "authorization", answer),
        (Kind::Reports, "reports", reports),
        (Kind::Receipt, "receipt", receipt),
        (Kind::Reports, "reports", two),
    ];
    let cases: Vec<Value> = cases
        .into_iter()
        .map(|(kind, name, content)| {
            let (line, file) = (carried::line(kind, &content), carried::file(kind, &content, "For people to read"));
            assert_eq!(carried::read::<Value>(kind, &line), Ok(content.clone()));
            assert_eq!(carried::read::<Value>(kind, &file), Ok(content.clone()));
            json!({"kind": name, "line": line, "file": file, "json": content})
        })
        .collect();
    hold("carried.json", &json!({"cases": cases}));
}

#[test]
fn sealed_bodies() {
    use tollkeeper::documents::SealingKey;
    use tollkeeper::documents::sealed::seal_for_vectors;
    let key = SealingKey::from_bytes(&[7; 32]).expect("a key");
    let other = SealingKey::from_bytes(&[8; 32]).expect("a key");
    let path = "/api/v1/authorize";
    let plain = r#"{"client_uuid":"02020202-0202-4202-8202-020202020202","product":"dbr","nonce":"bm9uY2Vub25jZW5vbmNlbm9uY2U"}"#;
    let (body, _) = seal_for_vectors(key.public(), path, plain.as_bytes(), 9);
    let mut damaged = body.clone();
    *damaged.last_mut().expect("bytes") ^= 1;
    let mut other_enc = body.clone();
    other_enc[0] ^= 1;
    let cases = [
        ("an authorization", path, body.clone()),
        ("usage reports", "/api/v1/reports", seal_for_vectors(key.public(), "/api/v1/reports", b"{}", 10).0),
        ("nothing", "/api/v1/release", seal_for_vectors(key.public(), "/api/v1/release", b"", 11).0),
        ("for another path", "/api/v1/reports", body.clone()),
        ("to another key", path, seal_for_vectors(other.public(), path, plain.as_bytes(), 9).0),
        ("the ciphertext changed", path, damaged),
        ("the encapsulated key changed", path, other_enc),
        ("cut off", path, body[..40].to_vec()),
        ("shorter than a key", path, body[..20].to_vec()),
        ("no byte", path, Vec::new()),
    ];
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let cases: Vec<Value> = cases
        .iter()
        .map(|(name, path, body)| {
            let opened = |status: u16, text: &str| {
                let (plain, sealer) = key.open(path, body)?;
                Some((plain, json!({"status": status, "body": encode(&sealer.seal(status, text.as_bytes())), "plaintext": text})))
            };
            match opened(200, r#"{"ticket":"5a"}"#) {
                None => json!({"name": name, "path": path, "body": encode(body), "result": "refused"}),
                Some((plain, granted)) => {
                    let (_, refused) = opened(403, r#"{"code":120}"#).expect("opened again");
                    let plain = String::from_utf8(plain).expect("text");
                    json!({"name": name, "path": path, "body": encode(body), "result": "ok", "plaintext": plain, "answers": [granted, refused]})
                }
            }
        })
        .collect();
    assert_eq!(cases.iter().filter(|case| case["result"] == "ok").count(), 3);
    hold("sealed.json", &json!({"private_key": encode(&key.to_bytes()), "jwk": key.public().jwk(), "cases": cases}));
}

/// What faces over C are asked about each case is what the files say.
#[test]
fn every_case_is_what_the_library_says_of_it() {
    if bless() {
        return;
    }
    for kind in vectors::KINDS {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/vectors/{kind}.json"));
        let file: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("vectors")).expect("JSON");
        let mut number = 0;
        for (list, result) in [("cases", json!("ok")), ("good", json!("ok")), ("bad", json!(301))] {
            for case in file[list].as_array().into_iter().flatten() {
                let mut given = file.clone();
                given.as_object_mut().expect("an object").extend(case.as_object().expect("an object").clone());
                let told = vectors::check_case(kind, &given.to_string()).expect("a case");
                for (name, said) in told.as_object().expect("an object") {
                    let wanted = if name == "result" { case.get(name).unwrap_or(&result) } else { &given[name] };
                    assert_eq!(said, wanted, "{kind}: {name} of {case}");
                }
                let said = |name: &str| told.get(name).is_some();
                let needed = match (*kind, told["result"] == "ok") {
                    (_, false) => true,
                    ("carried", _) => said("json"),
                    ("chains", _) => said("expires_at"),
                    ("errors", _) => said("title") && said("user_message") && said("sdk_code"),
                    ("license_keys", _) => said("servers") && said("ca"),
                    ("product_keys", _) => said("keys"),
                    ("sealed", _) => said("plaintext") && said("answers"),
                    _ => said("slot"),
                };
                assert!(needed, "{kind}: {told}");
                number += 1;
            }
        }
        assert!(number >= 5, "{kind}");
    }
    for (kind, case) in [("chains", "{}"), ("chains", "no JSON"), ("nothing", "{}"), ("sealed", "{\"private_key\":\"\",\"path\":\"\",\"body\":\"\"}")] {
        assert_eq!(vectors::check_case(kind, case).expect_err("no case").code, Code::Settings);
    }
}
