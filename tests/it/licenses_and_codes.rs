//! The admin API and pages for licenses, items, vendors and handshake codes: over HTTPS, as an
//! administrator, as somebody who may only look, and as nobody.

use serde_json::{Value, json};
use tollkeeper::client::transport::{Method, Reply};
use tollkeeper::commands::tokens::{AddToken, TokenText};
use tollkeeper::commands::users::{AddUser, HashedPassword};
use tollkeeper::store::accounts::Role;
use tollkeeper::store::audit::{self, Filter};

use crate::support::{Site, Vendor};

const PASSWORD: &str = "correct horse battery staple";

fn renewing(id: u64, old: u64) -> tollkeeper::licensing::LicenseItem {
    Vendor::item(json!({"item_id": id, "product": "dbr", "charge_way": "scan", "quota": 500, "renews": old}))
}

fn file(site: &Site, vendor: &Vendor, id: u64, items: Vec<tollkeeper::licensing::LicenseItem>) -> String {
    vendor.activate(vendor.new_license(id, "216998", items, site.now()), &site.admin_get_text("request"), site.now())
}

fn import(site: &Site, body: Value) -> Value {
    site.admin(Method::Post, "licenses", Some(body))
}

fn code(site: &Site, name: &str) -> Value {
    site.admin_get(&format!("handshakes/{name}"))
}

fn problem(reply: &Reply) -> (u16, Option<String>, String) {
    let problem: Value = reply.json().expect("a problem");
    (reply.status, problem["field"].as_str().map(str::to_owned), problem["detail"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_preview_says_what_an_import_then_does_and_does_nothing_itself() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1), Vendor::device_item(2)]);
    let file = file(&site, &vendor, 101, vec![renewing(3, 1), Vendor::page_item(4)]);
    let before = (site.admin_get("licenses"), site.admin_get("handshakes"));
    let preview = import(&site, json!({"file": file, "preview": true}));
    assert_eq!((site.admin_get("licenses"), site.admin_get("handshakes")), before);
    assert_eq!(
        (&preview["kind"], &preview["license_id"], &preview["was_installed"], &preview["replaces"]),
        (&json!("license"), &json!(101), &json!(false), &json!(false))
    );
    assert_eq!(preview["joins"], json!([{"handshake_code": "216998-100", "item_id": 3}]));
    assert_eq!((&preview["handshake_code"], &preview["makes_code"], &preview["added"]), (&json!("216998-101"), &json!(true), &json!([4])));
    assert_eq!((&preview["items"][0]["renews"], &preview["items"][0]["is_new"], &preview["items"][1]["quota"]), (&json!(1), &json!(true), &json!(100)));
    let done = import(&site, json!({"file": file}));
    assert_eq!((&done["handshake_code"], &done["renewed"]), (&json!("216998-101"), &json!(["216998-100"])));
    assert_eq!(code(&site, "216998-100")["items"], json!([2, 1, 3]), "the default order, the renewal in it");
    assert_eq!(code(&site, "216998-101")["items"], json!([4]));
    assert_eq!(import(&site, json!({"file": file, "preview": true}))["was_installed"], json!(true));
}

#[test]
fn items_go_into_a_new_code_where_that_is_asked_for() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let file = file(&site, &vendor, 101, vec![renewing(2, 1)]);
    let refuse = |body: Value| problem(&site.try_admin(Method::Post, "licenses", Some(body)));
    for (name, status) in [("216998-100", 400), ("216999-x", 400), ("216998-a b", 400)] {
        let (was, field, detail) = refuse(json!({"file": file, "new_code": name, "preview": true}));
        assert_eq!((was, field.as_deref()), (status, Some("new_code")), "{detail}");
    }
    assert_eq!(refuse(json!({"file": file, "new_code": "216998-x", "into": "216998-100"})).1.as_deref(), Some("new_code"));
    assert_eq!(refuse(json!({"file": file, "into": "216998-nowhere"})).0, 404);
    let preview = import(&site, json!({"file": file, "new_code": "216998-line4", "preview": true}));
    assert_eq!(
        (&preview["handshake_code"], &preview["makes_code"], &preview["added"], &preview["joins"]),
        (&json!("216998-line4"), &json!(true), &json!([2]), &json!([]))
    );
    import(&site, json!({"file": file, "new_code": "216998-line4"}));
    assert_eq!((&code(&site, "216998-line4")["items"], &code(&site, "216998-100")["items"]), (&json!([2]), &json!([1])));
    site.admin(Method::Patch, "handshakes/216998-line4", Some(json!({"handshake_code": "216998-line5"})));
}

#[test]
fn a_new_issue_that_renews_and_adds_loses_neither() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    site.clock.advance_seconds(60);
    let file = file(&site, &vendor, 100, vec![Vendor::scan_item(1), renewing(2, 1), Vendor::page_item(3)]);
    assert_eq!(import(&site, json!({"file": file, "preview": true}))["replaces"], json!(true));
    import(&site, json!({"file": file}));
    assert_eq!(code(&site, "216998-100")["items"], json!([3, 1, 2]), "the page item before the scan items");
}

#[test]
fn a_vendor_who_is_brought_by_the_api_is_trusted_from_then_on_and_stands_in_the_audit() {
    let (site, vendor) = (Site::empty(), Vendor::new());
    let file = file(&site, &vendor, 100, vec![Vendor::scan_item(1)]);
    assert_eq!(site.admin_get("vendors"), json!([]));
    assert_eq!(problem(&site.try_admin(Method::Post, "licenses", Some(json!({"file": file})))).0, 400);
    let add = |text: &str| site.try_admin(Method::Post, "vendors", Some(json!({"public_key": text})));
    for bad in ["nonsense", &vendor.key.to_pkcs8_pem()] {
        let (status, field, detail) = problem(&add(bad));
        assert_eq!((status, field.as_deref()), (400, Some("public_key")), "{detail}");
    }
    let pem = vendor.key.verifying_key().to_spki_pem();
    assert_eq!([add(&pem).status, add(&pem).status], [201, 200]);
    let vendors = site.admin_get("vendors");
    assert_eq!((vendors.as_array().map(Vec::len), &vendors[0]["kid"], &vendors[0]["licenses"]), (Some(1), &json!(vendor.key.kid()), &json!(0)));
    // The trust can be taken back, until licenses hang on it.
    let path = format!("vendors/{}", vendor.key.kid());
    let remove = |path: &str| site.try_admin(Method::Delete, path, None);
    assert_eq!([remove(&path).status, remove(&path).status, remove("vendors/x").status], [204, 404, 404]);
    assert_eq!(site.admin_get("vendors"), json!([]));
    assert_eq!(problem(&site.try_admin(Method::Post, "licenses", Some(json!({"file": file})))).0, 400);
    assert_eq!(add(&pem).status, 201);
    assert_eq!(import(&site, json!({"file": file}))["handshake_code"], json!("216998-100"));
    assert_eq!(site.admin_get("vendors")[0]["licenses"], json!(1));
    let (status, _, detail) = problem(&remove(&path));
    assert!(status == 409 && detail.contains("installed (100)"), "{status} {detail}");
    let reader = site.app().context().store.reader().expect("reader");
    for (action, times) in [("vendor_trusted", 2), ("vendor_distrusted", 1)] {
        let lines = audit::list(&reader, &Filter { action: Some(action.to_owned()), ..Filter::default() }, 10).expect("audit");
        let told: Vec<_> = lines.iter().map(|line| (line.actor.as_str(), line.subject.clone())).collect();
        assert_eq!(told, vec![("console", format!("vendor {}", vendor.key.kid())); times]);
    }
}

#[test]
fn items_licenses_files_and_keys_are_read_one_by_one() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1), Vendor::device_item(2)]);
    site.import(&vendor, 101, "216998", vec![renewing(3, 1)]);
    site.device("216998-100").authorize().expect("granted");
    let items = site.admin_get("items");
    assert_eq!(items.as_array().map(Vec::len), Some(3));
    assert_eq!(items[0], site.admin_get("items/1"));
    let item = &items[0];
    assert_eq!(
        (&item["renewed_by"], &item["handshake_codes"], &item["license_id"], &item["status"]),
        (&json!([3]), &json!(["216998-100"]), &json!(100), &json!("active"))
    );
    let license = site.admin_get("licenses/100");
    assert_eq!((&license["items"][1]["period"], &license["servers"][0]), (&json!("quarter"), &json!(site.app().context().site.uuid().to_string())));
    let file = site.admin_get_text("licenses/100/file");
    assert!(file.starts_with("Tollkeeper license 100\n"), "{file}");
    assert_eq!(import(&site, json!({"file": file}))["was_installed"], json!(true));
    assert_eq!(site.admin_get("handshakes/216998-100/key"), json!({"license_key": code(&site, "216998-100")["license_key"]}));
    for path in ["items/9", "items/x", "licenses/9", "licenses/x/file", "handshakes/216998-x/key"] {
        assert_eq!(site.try_admin(Method::Get, path, None).status, 404, "{path}");
    }
}

#[test]
fn held_seats_are_counted_as_they_come_and_go() {
    let (site, _) = Site::licensed(vec![Vendor::device_item(2)]);
    let used = || site.admin_get("items/2")["used"].clone();
    assert_eq!(used(), json!(0));
    let mut device = site.device("216998-100");
    device.authorize().expect("granted");
    site.device("216998-100").authorize().expect("granted");
    assert_eq!(used(), json!(2));
    site.admin(Method::Delete, &format!("devices/{}/seats/2", device.client), None);
    assert_eq!((used(), &site.item(2)["used"]), (json!(1), &json!(1)));
    site.clock.advance_seconds(100 * 86_400);
    assert_eq!(used(), json!(0));
}

/// Everybody who may only look, and what they send along.
fn lookers(site: &Site) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let writer = site.app().context().writer();
    let token = TokenText::generate();
    let added = AddToken { name: "reader".into(), role: Role::Viewer, digest: TokenText::digest(token.text()), by: "test".into() };
    writer.submit_blocking(added).expect("writer").expect("token");
    let added = AddUser { name: "vera".into(), role: Role::Viewer, password: HashedPassword::of(PASSWORD).expect("password"), by: "test".into() };
    writer.submit_blocking(added).expect("writer").expect("user");
    vec![("a token", vec![("authorization", format!("Bearer {}", token.text()))]), ("a viewer", vec![("cookie", log_in(site, "vera"))])]
}

fn log_in(site: &Site, name: &str) -> String {
    let form = format!("name={name}&password={}&next=", PASSWORD.replace(' ', "+"));
    let reply = send(site, Method::Post, "/admin/login", Some(form), &[]);
    assert_eq!(reply.status, 303, "{}", String::from_utf8_lossy(&reply.body));
    reply.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie").to_owned()
}

fn send(site: &Site, method: Method, path: &str, form: Option<String>, headers: &[(&'static str, String)]) -> Reply {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let body = form.map(|form| ("application/x-www-form-urlencoded", form.into_bytes()));
    site.anonymous().send(method, path, body, &headers).expect("an answer")
}

const API: &[&str] = &[
    "request",
    "licenses",
    "licenses/100",
    "licenses/100/file",
    "items",
    "items/1",
    "vendors",
    "handshakes",
    "handshakes/216998-100",
    "handshakes/216998-100/key",
];
const CHANGES: &[(Method, &str)] = &[
    (Method::Post, "licenses"),
    (Method::Post, "vendors"),
    (Method::Post, "handshakes"),
    (Method::Patch, "handshakes/216998-100"),
    (Method::Delete, "handshakes/216998-100"),
    (Method::Put, "handshakes/216998-100/order"),
    (Method::Put, "handshakes/216998-100/default"),
];
const PAGES: &[&str] = &[
    "/admin/licenses",
    "/admin/licenses/import",
    "/admin/licenses/request",
    "/admin/licenses/request/file",
    "/admin/licenses/vendors",
    "/admin/licenses/items/1",
    "/admin/licenses/100",
    "/admin/licenses/100/file",
    "/admin/handshakes",
    "/admin/handshakes/new",
    "/admin/handshakes/216998-100",
    "/admin/api",
];
const FORMS: &[&str] = &[
    "/admin/licenses/import",
    "/admin/licenses/vendors",
    "/admin/handshakes/new",
    "/admin/handshakes/216998-100",
    "/admin/handshakes/216998-100/default",
    "/admin/handshakes/216998-100/password",
    "/admin/handshakes/216998-100/order",
    "/admin/handshakes/216998-100/aliases",
    "/admin/handshakes/216998-100/delete",
];

#[test]
fn whoever_may_only_look_sees_everything_and_changes_nothing() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let lookers = lookers(&site);
    let state = || (site.admin_get("licenses"), site.admin_get("handshakes"), site.admin_get("vendors"));
    let before = state();
    for (who, headers) in &lookers {
        for path in API {
            assert_eq!(send(&site, Method::Get, &format!("/api/v1/admin/{path}"), None, headers).status, 200, "{who}: {path}");
        }
        for (method, path) in CHANGES {
            assert_eq!(send(&site, *method, &format!("/api/v1/admin/{path}"), None, headers).status, 403, "{who}: {path}");
        }
    }
    let (_, viewer) = &lookers[1];
    let mut csrf = String::new();
    for path in PAGES {
        let reply = send(&site, Method::Get, path, None, viewer);
        let text = String::from_utf8(reply.body).expect("text");
        assert_eq!(reply.status, 200, "{path}: {text}");
        // The one form that a viewer has is the way out, and what asks.
        let posts = text.matches("method=\"post\"").count();
        assert_eq!(posts, usize::from(!path.ends_with("/file")), "{path}");
        if let Some((_, rest)) = text.split_once("name=\"csrf\" value=\"") {
            csrf = rest.split('"').next().expect("a value").to_owned();
        }
    }
    for path in FORMS {
        assert_eq!(send(&site, Method::Post, path, Some(format!("csrf={csrf}&custom=x&do=remove")), viewer).status, 403, "{path}");
    }
    assert_eq!(state(), before);
}

#[test]
fn nobody_gets_nothing() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    lookers(&site);
    for headers in [vec![], vec![("authorization", "Bearer tkt_wrong".to_owned())], vec![("cookie", "__Host-tollkeeper=wrong".to_owned())]] {
        for path in API {
            let reply = send(&site, Method::Get, &format!("/api/v1/admin/{path}"), None, &headers);
            assert_eq!(reply.status, 401, "{path}");
        }
        for (method, path) in CHANGES {
            assert_eq!(send(&site, *method, &format!("/api/v1/admin/{path}"), None, &headers).status, 401, "{path}");
        }
        for path in PAGES {
            let reply = send(&site, Method::Get, path, None, &headers);
            assert_eq!((reply.status, reply.body.len()), (303, 0), "{path}");
        }
        for path in FORMS {
            assert_eq!(send(&site, Method::Post, path, Some("custom=x".to_owned()), &headers).status, 303, "{path}");
        }
    }
    assert_eq!(site.admin_get("handshakes").as_array().map(Vec::len), Some(1));
}
