//! Who may administer what, and what that leaves behind: users, tokens, sessions, the audit. Over
//! the network, byte by byte, as browsers and programs with a token come.

use serde_json::{Value, json};
use tollkeeper::client::transport::Method;

use crate::support::wire::{Answer, Wire, journal_length, once, plain_address, plain_site};
use crate::support::{Desk, Site};

const PASSWORD: &str = "four words are enough";
const ANOTHER: &str = "five words are even better";

/// A browser with a session, or without.
struct Browser<'s> {
    site: &'s Site,
    cookie: String,
}

impl<'s> Browser<'s> {
    fn of(site: &'s Site) -> Self {
        Self { site, cookie: String::new() }
    }

    /// A new site's first visit: the user `admin`.
    fn set_up(site: &'s Site) -> Self {
        let mut browser = Self::of(site);
        let answer = browser.post("/admin/setup", &[("name", "admin"), ("password", PASSWORD), ("again", PASSWORD)]);
        assert_eq!(answer.header("location"), Some("/admin/"), "{answer:?}");
        browser
    }

    fn log_in(site: &'s Site, name: &str, password: &str) -> (Self, Answer) {
        let mut browser = Self::of(site);
        let answer = browser.post("/admin/login", &[("name", name), ("password", password)]);
        (browser, answer)
    }

    fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let cookie = if self.cookie.is_empty() { String::new() } else { format!("Cookie: {}\r\n", self.cookie) };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{cookie}{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        let answer = once(self.site, request.as_bytes());
        let set = answer.head.lines().filter_map(|line| line.split_once(": ")).filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        for (_, value) in set.filter(|(_, value)| value.starts_with("__Host-tollkeeper=")) {
            self.cookie = value.split(';').next().expect("a cookie").to_owned();
        }
        answer
    }

    fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, "", "")
    }

    fn text(&mut self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.head);
        String::from_utf8(answer.body).expect("text")
    }

    /// What forms of this session bring along.
    fn csrf(&mut self) -> String {
        let page = self.text("/admin/security/password");
        page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token in the page").to_owned()
    }

    fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let encode =
            |text: &str| text.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect::<String>();
        let body = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&");
        self.send("POST", path, "Content-Type: application/x-www-form-urlencoded\r\n", &body)
    }

    /// Sends a form as the pages do.
    fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.csrf();
        self.post(path, &[&[("csrf", csrf.as_str())], fields].concat())
    }

    fn is_in(&mut self) -> bool {
        self.get("/admin/security/password").status == 200
    }
}

fn page_of(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).expect("text")
}

/// A request of a program with a token.
fn with_token(site: &Site, method: &str, path: &str, token: &str, body: &str) -> Answer {
    let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
    Browser::of(site).send(method, path, &headers, body)
}

fn token(site: &Site, name: &str, scope: &str) -> String {
    site.admin(Method::Post, "tokens", Some(json!({"name": name, "scope": scope})))["token"].as_str().expect("a token").to_owned()
}

/// Every route of a table in the sources: method and path, with something in place of its
/// variables.
fn routes(file: &str, prefix: &str, from: &str) -> Vec<(String, String)> {
    let source = std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).expect("the table");
    let scope = source.split(from).nth(1).expect("the scope");
    let scope = scope.split(".default_service").next().expect("its end");
    let parts = scope.split(".route(").skip(1).map(|part| {
        let path = part.split('"').nth(1).expect("a path");
        let call = part.split_once(',').expect("a method").1.trim();
        let method = call.trim_start_matches("web::").split('(').next().expect("a method").to_ascii_uppercase();
        let path =
            path.replace("{code}", "216998-100").replace("{uuid}", "6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88").replace("{item}", "1").replace("{name}", "admin");
        let path: String = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect::<Vec<_>>().join("/");
        (method, format!("{prefix}{path}"))
    });
    parts.collect()
}

fn api_routes() -> Vec<(String, String)> {
    let routes = routes("src/http/routes.rs", "/api/v1/admin", "web::scope(\"/api/v1/admin\")");
    assert!(routes.len() > 30, "{routes:?}");
    routes
}

fn page_routes() -> Vec<(String, String)> {
    let routes = routes("src/http/admin/mod.rs", "/admin", "web::scope(\"/admin\")");
    assert!(routes.len() > 20, "{routes:?}");
    routes
}

#[test]
fn without_session_or_token_no_route_of_the_administration_tells_or_changes_anything() {
    let site = plain_site(|_| {});
    Browser::set_up(&site);
    let before = journal_length(&site);
    let ours = site.app().context().site.uuid().to_string();
    for (method, path) in api_routes() {
        for headers in ["", "Authorization: Bearer tka_unknown\r\n", "Authorization: Basic YWRtaW46YWRtaW4=\r\n", "Cookie: __Host-tollkeeper=unknown\r\n"] {
            let answer = Browser::of(&site).send(&method, &path, &format!("{headers}Content-Type: application/json\r\n"), "{}");
            assert_eq!((answer.status, answer.header("content-type")), (401, Some("application/problem+json")), "{method} {path} {headers}");
            let text = page_of(&answer);
            assert!(!text.contains("216998") && !text.contains(&ours), "{method} {path}: {text}");
        }
    }
    for (method, path) in page_routes() {
        let answer = Browser::of(&site).send(&method, &path, "", "");
        assert_eq!((answer.status, answer.body.len()), (303, 0), "{method} {path}");
        assert!(answer.header("location").expect("a way").starts_with("/admin/login"), "{method} {path}");
    }
    assert_eq!(journal_length(&site), before);
}

#[test]
fn viewers_and_read_tokens_change_nothing_on_any_route() {
    let site = plain_site(|_| {});
    Browser::set_up(&site);
    site.admin(Method::Post, "users", Some(json!({"name": "vera", "role": "viewer", "password": ANOTHER})));
    let read = token(&site, "reading", "read");
    let (mut vera, _) = Browser::log_in(&site, "vera", ANOTHER);
    let csrf = vera.csrf();
    assert_eq!(with_token(&site, "GET", "/api/v1/admin/licenses", &read, "").status, 200);
    assert_eq!(vera.get("/api/v1/admin/licenses").status, 200);
    let before = journal_length(&site);
    for (method, path) in api_routes().into_iter().filter(|(method, _)| method != "GET") {
        let answer = with_token(&site, &method, &path, &read, "{}");
        assert_eq!((answer.status, answer.header("content-type")), (403, Some("application/problem+json")), "{method} {path}");
        let answer = vera.send(&method, &path, &format!("X-CSRF-Token: {csrf}\r\nContent-Type: application/json\r\n"), "{}");
        assert_eq!(answer.status, 403, "{method} {path}");
    }
    for (_, path) in page_routes().into_iter().filter(|(method, _)| method == "POST") {
        // Everybody may leave, and change their own password.
        if ["/admin/logout", "/admin/security/password"].contains(&path.as_str()) {
            continue;
        }
        let answer = vera.post(&path, &[("csrf", &csrf), ("role", "admin"), ("name", "x"), ("item", "1")]);
        assert_eq!(answer.status, 403, "{path}");
        assert!(page_of(&answer).contains("may look but not change"), "{path}");
    }
    assert_eq!(journal_length(&site), before);
    for (_, path) in page_routes().into_iter().filter(|(method, path)| method == "GET" && !path.ends_with("/export")) {
        let page = String::from_utf8_lossy(&vera.get(&path).body).into_owned();
        assert!(!page.contains("class=\"danger\""), "{path} offers a viewer to destroy something");
    }
}

#[test]
fn a_form_or_request_without_the_sessions_token_is_refused() {
    let site = plain_site(|_| {});
    let mut admin = Browser::set_up(&site);
    let before = journal_length(&site);
    for (_, path) in page_routes().into_iter().filter(|(method, _)| method == "POST") {
        for csrf in [&[][..], &[("csrf", "wrong")][..], &[("csrf", "")][..]] {
            let answer = admin.post(&path, csrf);
            assert_eq!(answer.status, 403, "{path}");
        }
    }
    for (method, path) in api_routes().into_iter().filter(|(method, _)| method != "GET") {
        assert_eq!(admin.send(&method, &path, "Content-Type: application/json\r\n", "{}").status, 403, "{method} {path}");
        assert_eq!(admin.send(&method, &path, "X-CSRF-Token: wrong\r\nContent-Type: application/json\r\n", "{}").status, 403, "{method} {path}");
    }
    assert_eq!(journal_length(&site), before);
    let csrf = admin.csrf();
    let headers = format!("X-CSRF-Token: {csrf}\r\nContent-Type: application/json\r\n");
    assert_eq!(admin.send("POST", "/api/v1/admin/tokens", &headers, r#"{"name":"x","scope":"read"}"#).status, 201);
}

#[test]
fn a_session_ends_after_half_an_hour_of_rest_and_after_twelve_hours() {
    let site = plain_site(|_| {});
    let mut admin = Browser::set_up(&site);
    site.clock.advance_seconds(30 * 60 - 1);
    assert!(admin.is_in());
    site.clock.advance_seconds(30 * 60 - 1);
    // What a program asks for in a page does not keep it open.
    assert_eq!(admin.get("/api/v1/admin/licenses").status, 200);
    site.clock.advance_seconds(1);
    assert!(!admin.is_in());
    let (mut admin, _) = Browser::log_in(&site, "ADMIN", PASSWORD);
    for _ in 0..36 {
        site.clock.advance_seconds(20 * 60 - 1);
        assert!(admin.is_in());
    }
    site.clock.advance_seconds(36);
    assert!(!admin.is_in(), "twelve hours are over");
}

#[test]
fn the_pause_after_failed_logins_grows_and_passes_and_never_holds_up_the_console() {
    let site = plain_site(|_| {});
    Browser::set_up(&site);
    for _ in 0..5 {
        assert_eq!(Browser::log_in(&site, "admin", "wrong").1.status, 401);
    }
    let mut pauses = Vec::new();
    for _ in 0..3 {
        let answer = Browser::log_in(&site, "admin", PASSWORD).1;
        assert_eq!(answer.status, 429, "even with the right password");
        let text = page_of(&answer);
        let seconds: i64 = text.split("Try again in ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|text| text.parse().ok()).expect("seconds");
        pauses.push(seconds);
        site.clock.advance_seconds(seconds);
        assert_eq!(Browser::log_in(&site, "admin", "wrong").1.status, 401);
    }
    assert_eq!(pauses, [1, 2, 4]);
    assert_eq!(site.admin(Method::Post, "users/admin/reset", Some(json!({"password": ANOTHER})))["role"], "admin", "the console comes another way");
    site.clock.advance_seconds(8);
    let (mut admin, _) = Browser::log_in(&site, "admin", ANOTHER);
    assert!(admin.is_in());
}

#[test]
fn a_password_is_reset_on_the_console_alone() {
    let site = plain_site(|_| {});
    Browser::set_up(&site);
    let write = token(&site, "writing", "write");
    let answer = with_token(&site, "POST", "/api/v1/admin/users/admin/reset", &write, &json!({"password": ANOTHER}).to_string());
    assert_eq!(answer.status, 403);
    assert!(answer.json()["detail"].as_str().expect("text").contains("admin reset-password"));
}

#[test]
fn the_sessions_of_a_user_who_is_deleted_or_gets_another_password_end_at_once() {
    let site = plain_site(|_| {});
    let mut admin = Browser::set_up(&site);
    for name in ["vera", "otto"] {
        admin.submit("/admin/security/users", &[("name", name), ("role", "admin"), ("password", ANOTHER), ("again", ANOTHER)]);
    }
    let (mut vera, _) = Browser::log_in(&site, "vera", ANOTHER);
    let (mut otto, _) = Browser::log_in(&site, "otto", ANOTHER);
    assert!(vera.is_in() && otto.is_in());
    assert_eq!(admin.submit("/admin/security/users/vera/delete", &[]).status, 303);
    assert!(!vera.is_in());
    assert_eq!(admin.submit("/admin/security/users/otto", &[("password", PASSWORD), ("again", PASSWORD)]).status, 303);
    assert!(!otto.is_in());
    assert_eq!(Browser::log_in(&site, "vera", ANOTHER).1.status, 401);
    // Another role holds in an open session.
    let (mut otto, _) = Browser::log_in(&site, "otto", PASSWORD);
    admin.submit("/admin/security/users/otto", &[("role", "viewer")]);
    assert_eq!(otto.submit("/admin/settings", &[]).status, 403);
    // Somebody ends it.
    let sessions = site.admin_get("sessions");
    let id = sessions.as_array().expect("a list").iter().find(|session| session["user"] == "otto").expect("his")["id"].as_str().expect("an id").to_owned();
    site.admin(Method::Delete, &format!("sessions/{id}"), None);
    assert!(!otto.is_in());
    assert_eq!(site.try_admin(Method::Delete, &format!("sessions/{id}"), None).status, 404);
    // The last administrator stays.
    assert_eq!(site.try_admin(Method::Delete, "users/admin", None).status, 409);
    assert_eq!(site.try_admin(Method::Patch, "users/admin", Some(json!({"role": "viewer"}))).status, 409);
}

#[test]
fn ones_own_password_needs_the_old_one_and_ends_the_other_sessions() {
    let site = plain_site(|_| {});
    let mut here = Browser::set_up(&site);
    let (mut elsewhere, _) = Browser::log_in(&site, "admin", PASSWORD);
    for (old, new, again, told) in [
        ("wrong", ANOTHER, ANOTHER, "id=\"old-error\">This is not your password"),
        (PASSWORD, "short", "short", "id=\"password-error\">The password is too short"),
        (PASSWORD, ANOTHER, "other", "id=\"password-error\">The password and its repetition differ"),
    ] {
        let answer = here.submit("/admin/security/password", &[("old", old), ("password", new), ("again", again)]);
        assert_eq!(answer.status, 400);
        assert!(page_of(&answer).contains(told), "{}", page_of(&answer));
    }
    let stolen = here.cookie.clone();
    assert_eq!(here.submit("/admin/security/password", &[("old", PASSWORD), ("password", ANOTHER), ("again", ANOTHER)]).status, 303);
    assert!(here.is_in() && !elsewhere.is_in());
    assert!(!Browser { site: &site, cookie: stolen }.is_in());
}

#[test]
fn a_token_is_shown_once_and_its_last_use_is_remembered_over_a_restart() {
    let mut site = plain_site(|_| {});
    let text = token(&site, "monitoring", "write");
    let list = site.admin_get("tokens");
    assert_eq!((&list[0]["name"], &list[0]["scope"], &list[0]["last_used_at"]), (&json!("monitoring"), &json!("write"), &Value::Null));
    assert!(!list.to_string().contains(&text) && !list.to_string().contains("digest"));
    site.clock.advance_seconds(3_600);
    assert_eq!(with_token(&site, "GET", "/api/v1/admin/licenses", &text, "").status, 200);
    let used = site.admin_get("tokens")[0]["last_used_at"].clone();
    assert_eq!(used, "2026-11-22T13:00:00Z");
    site.restart();
    assert_eq!(site.admin_get("tokens")[0]["last_used_at"], used);
    assert_eq!(site.try_admin(Method::Post, "tokens", Some(json!({"name": "Monitoring", "scope": "read"}))).status, 400);
    site.admin(Method::Delete, "tokens/monitoring", None);
    assert_eq!(with_token(&site, "GET", "/api/v1/admin/licenses", &text, "").status, 401);
}

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

#[test]
fn the_console_makes_users_and_tokens_and_resets_a_lost_password() {
    let desk = Desk::licensed();
    let told = desk.done_with(&["admin", "user", "add", "anna", "--role", "viewer", "--password-stdin"], "four words are enough\n");
    assert_eq!(told, "anna may log in as viewer.\n");
    desk.done_with(&["admin", "reset-password", "--password-stdin"], "five words are even better\n");
    let users = desk.json(&["admin", "user", "list", "--json"]);
    let users: Vec<_> = users.as_array().expect("a list").iter().map(|user| (user["name"].as_str(), user["role"].as_str())).collect();
    assert_eq!(users, [(Some("anna"), Some("viewer")), (Some("admin"), Some("admin"))]);
    desk.done(&["admin", "user", "delete", "anna"]);
    assert!(desk.done(&["admin", "token", "add", "monitoring", "--scope", "read"]).starts_with("tka_"));
    assert_eq!(desk.json(&["admin", "token", "list", "--json"])[0]["scope"], "read");
    assert!(desk.done(&["admin", "token", "list"]).contains("monitoring  read"));
    desk.done(&["admin", "token", "delete", "monitoring"]);
    assert!(desk.refused(&["admin", "token", "delete", "monitoring"]).contains("there is no token"));
    assert!(desk.refused(&["admin", "user", "delete", "admin"]).contains("the only administrator"));
    assert!(desk.refused(&["admin", "reset-password"]).contains("--password-stdin"));
    let told = desk.run_with(&["admin", "reset-password", "--password-stdin"], "short\n");
    assert!(told.status == 1 && told.stderr.contains("too short"), "{}", told.stderr);
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
