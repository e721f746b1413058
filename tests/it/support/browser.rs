//! Browsers and programs with a token, byte by byte, as they come over the network.

use serde_json::json;
use tollkeeper::client::transport::Method;

use super::Site;
use super::wire::{Answer, once};

/// Of the user `admin`.
pub const PASSWORD: &str = "four words are enough";
/// Of whoever gets another one.
pub const ANOTHER: &str = "five words are even better";

/// A browser with a session, or without.
pub struct Browser<'s> {
    pub site: &'s Site,
    pub cookie: String,
}

impl<'s> Browser<'s> {
    pub fn of(site: &'s Site) -> Self {
        Self { site, cookie: String::new() }
    }

    /// A new site's first visit: the user `admin`.
    pub fn set_up(site: &'s Site) -> Self {
        let mut browser = Self::of(site);
        let answer = browser.post("/admin/setup", &[("name", "admin"), ("password", PASSWORD), ("again", PASSWORD)]);
        assert_eq!(answer.header("location"), Some("/admin/"), "{answer:?}");
        browser
    }

    pub fn log_in(site: &'s Site, name: &str, password: &str) -> (Self, Answer) {
        let mut browser = Self::of(site);
        let answer = browser.post("/admin/login", &[("name", name), ("password", password)]);
        (browser, answer)
    }

    pub fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let cookie = if self.cookie.is_empty() { String::new() } else { format!("Cookie: {}\r\n", self.cookie) };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{cookie}{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        let answer = once(self.site, request.as_bytes());
        let set = answer.head.lines().filter_map(|line| line.split_once(": ")).filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        for (_, value) in set.filter(|(_, value)| value.starts_with("__Host-tollkeeper=")) {
            self.cookie = value.split(';').next().expect("a cookie").to_owned();
        }
        answer
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, "", "")
    }

    pub fn text(&mut self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.head);
        String::from_utf8(answer.body).expect("text")
    }

    /// What forms of this session bring along.
    pub fn csrf(&mut self) -> String {
        let page = self.text("/admin/security/password");
        page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token in the page").to_owned()
    }

    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let encode =
            |text: &str| text.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect::<String>();
        let body = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&");
        self.send("POST", path, "Content-Type: application/x-www-form-urlencoded\r\n", &body)
    }

    /// Sends a form as the pages do.
    pub fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.csrf();
        self.post(path, &[&[("csrf", csrf.as_str())], fields].concat())
    }

    pub fn is_in(&mut self) -> bool {
        self.get("/admin/security/password").status == 200
    }
}

pub fn page_of(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).expect("text")
}

/// A request of a program with a token.
pub fn with_token(site: &Site, method: &str, path: &str, token: &str, body: &str) -> Answer {
    let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
    Browser::of(site).send(method, path, &headers, body)
}

pub fn token(site: &Site, name: &str, scope: &str) -> String {
    site.admin(Method::Post, "tokens", Some(json!({"name": name, "scope": scope})))["token"].as_str().expect("a token").to_owned()
}
