//! Who may administer what: users, passwords, sessions, tokens. Over the network, byte by byte, as
//! browsers and programs with a token come.

use serde_json::{Value, json};
use tollkeeper::client::transport::Method;

use crate::support::Desk;
use crate::support::browser::{ANOTHER, Browser, PASSWORD, page_of, token, with_token};
use crate::support::wire::{journal_length, plain_site};

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
