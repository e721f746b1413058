//! What administrators do and what that leaves behind: the audit, settings, alerts, devices. Over the
//! network, byte by byte, as browsers and programs with a token come.

use serde_json::{Value, json};
use tollkeeper::client::transport::Method;

use crate::support::Site;
use crate::support::browser::{ANOTHER, Browser, page_of, token, with_token};
use crate::support::wire::{Wire, journal_length, plain_address, plain_site};

#[test]
fn every_change_leaves_a_line_in_the_audit_with_who_made_it() {
    let site = plain_site(|_| {});
    let mut admin = Browser::set_up(&site);
    let write = token(&site, "writing", "write");
    let change = |method: &str, path: &str, body: Value| {
        let answer = with_token(&site, method, &format!("/api/v1/admin/{path}"), &write, &body.to_string());
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
    };
    change("POST", "handshakes", json!({"handshake_code": "216998-line4", "items": [1]}));
    change("PATCH", "handshakes/216998-line4", json!({"process_names": ["scanner.exe"]}));
    change("PUT", "handshakes/216998-line4/order", json!({"items": [1]}));
    change("PUT", "handshakes/216998-line4/default", json!({}));
    change("DELETE", "handshakes/216998-line4", json!({}));
    change("POST", "users", json!({"name": "vera", "role": "viewer", "password": ANOTHER}));
    change("PATCH", "users/vera", json!({"role": "admin"}));
    change("DELETE", "users/vera", json!({}));
    change("POST", "tokens", json!({"name": "more", "scope": "read"}));
    change("DELETE", "tokens/more", json!({}));
    change("PATCH", "settings", json!({"site_name": "Plant 3", "retention_days": 500, "server_urls": ["https://main:48443"], "device_requests_per_minute": 7}));
    change("POST", "audit/check", json!({}));
    change("POST", "statistics/statements", json!({"from": "2026-11-01", "to": "2026-11-21"}));
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    change("POST", &format!("devices/{}/reset", device.client), json!({}));
    let audit = site.admin_get("audit?actor=token%20writing");
    let mut actions: Vec<&str> = audit["entries"].as_array().expect("lines").iter().map(|line| line["action"].as_str().expect("an action")).collect();
    actions.reverse();
    assert_eq!(
        actions,
        [
            "handshake_added",
            "handshake_edited",
            "handshake_edited",
            "default_chosen",
            "handshake_deleted",
            "user_added",
            "user_changed",
            "user_deleted",
            "token_added",
            "token_deleted",
            "setting_changed",
            "setting_changed",
            "setting_changed",
            "setting_changed",
            "journal_check_begun",
            "statement_issued",
            "device_reset",
        ]
    );
    admin.submit(
        "/admin/settings",
        &[
            ("site_name", "Plant 4"),
            ("utc_offset_minutes", "60"),
            ("retention_days", "500"),
            ("device_requests_per_minute", "7"),
            ("address_requests_per_minute", "0"),
            ("server_urls", "https://main:48443"),
        ],
    );
    let latest = site.admin_get("audit?action=setting_changed")["entries"][0].clone();
    assert_eq!((&latest["actor"], &latest["subject"]), (&json!("admin"), &json!("display")), "what was not changed leaves no line: {latest}");
}

#[test]
fn the_audit_is_paged_filtered_and_exported() {
    let site = plain_site(|_| {});
    for n in 0..130 {
        site.admin(Method::Patch, "settings", Some(json!({"site_name": format!("=Plant {n}, \"new\"")})));
    }
    let first = site.admin_get("audit?action=setting_changed");
    let next = first["next"].as_str().expect("more").to_owned();
    let second = site.admin_get(&format!("audit?action=setting_changed&before={next}"));
    let counts = [&first, &second].map(|answer| answer["entries"].as_array().expect("lines").len());
    assert_eq!((counts, &second["next"]), ([100, 30], &Value::Null));
    assert_eq!(site.admin_get("audit?text=plant%207,")["entries"].as_array().map(Vec::len), Some(1));
    assert_eq!(site.admin_get("audit?from=2026-11-23")["entries"], json!([]));
    assert_eq!(site.try_admin(Method::Get, "audit?from=x", None).status, 400);
    let csv = site.admin_get_text("audit/export?action=setting_changed");
    assert_eq!(csv.lines().count(), 131);
    assert!(csv.starts_with("at,actor,action,subject,detail,address,origin,sequence\r\n") && csv.contains(",console,setting_changed,display,"), "{csv}");
    let latest = site.admin_get("audit")["entries"][0].clone();
    assert_eq!(latest["action"], "audit_exported");
}

#[test]
fn the_journal_is_checked_beside_everything_else_and_its_result_stays() {
    let mut site = plain_site(|_| {});
    assert_eq!(site.admin_get("audit/check")["state"], "never");
    site.admin(Method::Post, "audit/check", None);
    let wait = |site: &Site| loop {
        let state = site.admin_get("audit/check");
        if state["state"] != "running" {
            return state;
        }
        std::thread::yield_now();
    };
    let state = wait(&site);
    assert_eq!((&state["state"], &state["checked"]), (&json!("in_order"), &json!(journal_length(&site))));
    site.stop();
    let database = rusqlite::Connection::open(site.data().join("tollkeeper.db")).expect("the database");
    database.execute("UPDATE journal SET body = CAST('{\"by\":\"nobody\"}' AS BLOB) WHERE sequence = 1", []).expect("changed");
    drop(database);
    site.start();
    site.admin(Method::Post, "audit/check", None);
    let state = wait(&site);
    assert_eq!(state["state"], "broken");
    assert!(state["detail"].as_str().expect("text").contains("fact 1 of "), "{state}");
}

#[test]
fn settings_hold_at_once() {
    let site = plain_site(|_| {});
    let key = |site: &Site| site.admin_get("handshakes/216998-100")["license_key"].clone();
    let before = key(&site);
    let told = site.admin(Method::Patch, "settings", Some(json!({"server_urls": ["https://main.example:48443/"], "device_requests_per_minute": 2})));
    assert_eq!((&told["server_urls"], &told["server_urls_are_set"]), (&json!(["https://main.example:48443"]), &json!(true)));
    assert_ne!(key(&site), before);
    let mut device = site.device("216998-100");
    for _ in 0..2 {
        device.authorize().expect("authorized");
    }
    assert_eq!(device.authorize().expect_err("too many")["code"], 130);
    site.admin(Method::Patch, "settings", Some(json!({"server_urls": [], "device_requests_per_minute": 0})));
    assert_eq!(key(&site), before);
    device.authorize().expect("no limit any more");
    for (field, value) in
        [("server_urls", json!(["main"])), ("retention_days", json!(29)), ("utc_offset_minutes", json!(900)), ("site_name", json!("x".repeat(65)))]
    {
        let reply = site.try_admin(Method::Patch, "settings", Some(json!({field: value})));
        assert_eq!((reply.status, reply.json::<Value>().expect("a problem")["field"].clone()), (400, json!(field)));
    }
}

#[test]
fn rate_limits_that_were_set_hold_after_a_restart() {
    let mut site = plain_site(|_| {});
    site.admin(Method::Patch, "settings", Some(json!({"device_requests_per_minute": 1})));
    site.restart();
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    assert_eq!(device.authorize().expect_err("too many")["code"], 130);
}

#[test]
fn what_is_over_a_threshold_is_an_alert_until_it_is_not() {
    let site = plain_site(|_| {});
    let current = |site: &Site| site.admin_get("alerts")["current"].clone();
    assert_eq!(current(&site), json!([]));
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    device.report(&[device.scans(site.now() - 600, json!({"QR Code": 85}))]).expect("taken");
    let alerts = current(&site);
    assert_eq!((&alerts[0]["item_id"], &alerts[0]["kind"], &alerts[0]["severity"]), (&json!(1), &json!("units_80_percent"), &json!("warning")), "{alerts}");
    site.admin(Method::Patch, "settings", Some(json!({"alert_thresholds": {"units": [90]}})));
    assert_eq!(current(&site), json!([]));
    for _ in 0..20 {
        let _ = site.device("216998-100").authorize_with(json!({"product": "other"}));
    }
    let alerts = current(&site);
    assert_eq!((&alerts[0]["handshake_code"], &alerts[0]["severity"]), (&json!("216998-100"), &json!("urgent")), "{alerts}");
}

#[test]
fn devices_are_found_by_how_their_uuid_begins_and_tell_why_they_were_refused() {
    let site = plain_site(|_| {});
    let mut devices: Vec<_> = (0..5).map(|_| site.device("216998-100")).collect();
    for device in &mut devices {
        device.authorize().expect("authorized");
    }
    let uuid = devices[0].client.to_string();
    for search in [&uuid[..8], &uuid[..11], &uuid, &uuid.to_uppercase()] {
        let found = site.admin_get(&format!("devices?search={search}"));
        assert_eq!((found.as_array().map(Vec::len), &found[0]["client_uuid"]), (Some(1), &json!(uuid)), "{search}");
    }
    let _ = devices[0].authorize_with(json!({"product_version": "99.0", "product": "other"}));
    let device = site.admin_get(&format!("devices/{uuid}"));
    assert_eq!((&device["refusals"][0]["code"], &device["refusals"][0]["tried"][0]["field"]), (&json!(106), &json!("product")), "{device}");
    assert_eq!(site.try_admin(Method::Get, "devices/6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88", None).status, 404);
    assert_eq!(site.try_admin(Method::Get, "devices?search=xyz", None).status, 400);
    let mut admin = Browser::set_up(&site);
    assert_eq!(admin.get(&format!("/admin/devices?search={uuid}")).header("location"), Some(format!("/admin/devices/{uuid}").as_str()));
    let page = admin.text(&format!("/admin/devices/{uuid}"));
    assert!(page.contains(">product</td>") && page.contains("Product does not match"), "{page}");
}

#[test]
fn devices_are_sorted_by_when_they_were_seen() {
    let site = plain_site(|_| {});
    let mut devices: Vec<_> = (0..53).map(|_| site.device("216998-100")).collect();
    for device in &mut devices[..3] {
        device.authorize().expect("a seat, or it is refused and seen too");
        site.clock.advance_seconds(60);
    }
    for device in &mut devices[3..] {
        let _ = device.authorize();
    }
    site.clock.advance_seconds(60);
    devices[1].authorize().expect("again");
    let order = |query: &str| -> Vec<String> {
        let found = site.admin_get(&format!("devices?sort={query}"));
        found.as_array().expect("a list").iter().map(|device| device["client_uuid"].as_str().expect("a UUID").to_owned()).collect()
    };
    let uuid = |n: usize| devices[n].client.to_string();
    let (first, last) = (order("first_seen"), order("last_seen"));
    assert_eq!(first[..3], [uuid(0), uuid(1), uuid(2)]);
    assert_eq!((first.len(), order("-first_seen")[50..].to_vec()), (53, vec![uuid(2), uuid(1), uuid(0)]));
    assert_eq!((last[..2].to_vec(), last[52].clone()), (vec![uuid(0), uuid(2)], uuid(1)));
    assert_eq!(site.try_admin(Method::Get, "devices?sort=colour", None).status, 400);
    assert_eq!(site.try_admin(Method::Get, &format!("devices?sort=last_seen&after={}", uuid(0)), None).status, 400);

    let mut admin = Browser::set_up(&site);
    let page = admin.text("/admin/devices?sort=-last_seen");
    assert!(page.contains("<th scope=\"col\" aria-sort=\"descending\"><a href=\"/admin/devices?sort=last_seen\">Last seen"), "{page}");
    let at = |text: &str| page.find(text);
    assert!(at(&uuid(1)).is_some() && at(&uuid(2)).is_none() && page.contains("page=2"), "{page}");
    let rest = admin.text("/admin/devices?sort=-last_seen&page=2");
    assert!(rest.find(&uuid(2)).expect("the last but one") < rest.find(&uuid(0)).expect("the last"), "{rest}");
    assert!(!rest.contains("Next page") && rest.contains("First page"), "{rest}");
}

#[test]
fn the_certificate_and_the_servers_are_as_they_are() {
    let site = plain_site(|_| {});
    let certificate = site.admin_get("certificate");
    assert_eq!((&certificate["source"], &certificate["ca_fingerprint"]), (&json!("site_ca"), &json!(site.app().context().ca_fingerprint)));
    assert!(certificate["names"].as_array().expect("names").contains(&json!("127.0.0.1")), "{certificate}");
    assert_eq!(site.admin_get_text("certificate/ca.pem"), site.app().context().ca_pem);
    let standby = site.admin_get("standby");
    assert_eq!((&standby["partner"], &standby["this"]["role"], &standby["facts_at_risk"]), (&Value::Null, &json!("primary"), &json!(journal_length(&site))));
}

/// Where a form goes, what is typed, and what the page says then.
type WrongInput = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

#[test]
fn wrong_input_is_told_at_its_field_and_what_was_typed_stays() {
    let site = plain_site(|_| {});
    let mut admin = Browser::set_up(&site);
    let cases: &[WrongInput] = &[
        (
            "/admin/settings",
            &[
                ("server_urls", "main"),
                ("site_name", "Plant"),
                ("utc_offset_minutes", "9999"),
                ("retention_days", "7"),
                ("device_requests_per_minute", "x"),
                ("address_requests_per_minute", "-1"),
            ],
            &[
                "server_urls-error",
                "utc_offset_minutes-error",
                "retention_days-error",
                "device_requests_per_minute-error",
                "address_requests_per_minute-error",
                "value=\"Plant\"",
                ">main</textarea>",
            ],
        ),
        (
            "/admin/alerts",
            &[("seats", "60, x"), ("units", "0"), ("failures_from_requests", "")],
            &["seats-error", "units-error", "failures_from_requests-error", "value=\"60, x\""],
        ),
        ("/admin/security/users", &[("name", "a b"), ("role", "viewer"), ("password", ANOTHER), ("again", ANOTHER)], &["name-error", "value=\"a b\""]),
        ("/admin/security/users", &[("name", "vera"), ("role", "viewer"), ("password", "short"), ("again", "short")], &["password-error", "value=\"vera\""]),
        ("/admin/security/users", &[("name", "vera"), ("role", "king"), ("password", ANOTHER), ("again", ANOTHER)], &["role-error"]),
        ("/admin/security/tokens", &[("name", ""), ("scope", "write")], &["name-error", "value=\"write\" selected"]),
        ("/admin/devices/offline/authorize", &[("request", "nonsense")], &["request-error", ">nonsense</textarea>"]),
        ("/admin/devices/offline/reports", &[], &["reports-error"]),
    ];
    for (path, fields, expected) in cases {
        let answer = admin.submit(path, fields);
        assert_eq!(answer.status, 400, "{path} {fields:?}");
        let page = page_of(&answer);
        for text in *expected {
            assert!(page.contains(text), "{path}: {text} is not in\n{page}");
        }
    }
    for path in ["/admin/devices?search=xyz", "/admin/audit?from=yesterday"] {
        let answer = admin.get(path);
        assert_eq!(answer.status, 400);
        assert!(page_of(&answer).contains("-error\">"), "{path}");
    }
    let mut wire = Wire::plain(plain_address(&site));
    wire.send("GET /admin/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(wire.expect_answer().status, 303);
}
