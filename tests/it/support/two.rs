//! Two servers, each a process of the program: paired and licensed.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollkeeper::client::transport::{CaPin, Method, Timeouts, Transport};
use tollkeeper::clock::{Clock as _, SystemClock};
use tollkeeper::licensing::LicenseItem;
use tollkeeper::store::rebuild;

use super::joint::Joint;
use super::{Process, Vendor, until};

/// Asks the server of a data directory as its administrator; `None` when it does not answer.
pub fn try_admin(data: &Path, method: Method, path: &str, body: Option<Value>) -> Option<Value> {
    let reply = Transport::unix(data.join("admin.sock")).request(method, &format!("/api/v1/admin/{path}"), body.as_ref()).ok()?;
    assert!(reply.is_success(), "{path}: {}", String::from_utf8_lossy(&reply.body));
    Some(if reply.body.is_empty() { Value::Null } else { reply.json().unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&reply.body).into_owned())) })
}

/// The same of one that answers.
pub fn admin(data: &Path, method: Method, path: &str, body: Option<Value>) -> Value {
    try_admin(data, method, path, body).expect("the server answers")
}

/// How it and its partner stand.
pub fn standing(data: &Path) -> Option<Value> {
    try_admin(data, Method::Get, "standby", None)
}

/// The database of a server, to be read.
pub fn database(data: &Path) -> Connection {
    Connection::open_with_flags(data.join("tollkeeper.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens")
}

/// Both databases hold the same, row for row, and it follows from their journals. Either server may have noted
/// something of its own in the very moment after an exchange, so that there may have to be another.
pub fn are_equal(data: [&Path; 2], exchange: impl Fn()) {
    let (a, b) = (database(data[0]), database(data[1]));
    let differences = |_| {
        exchange();
        rebuild::differences(&a, &b).expect("compared")
    };
    let found: Vec<Vec<String>> = (0..20).map(differences).take_while(|found| !found.is_empty()).collect();
    assert!(found.len() < 20, "{:?}", found.last());
    rebuild::verify(&a).expect("the journal and the tables agree");
}

/// The primary is 0 and the standby 1. The code is `216998-100`, for scans of `dbr`.
pub struct Two {
    pub joint: Joint,
    pub data: [PathBuf; 2],
    pub processes: [Option<Process>; 2],
    settings: Vec<(&'static str, String)>,
    ca: String,
    _dir: TempDir,
}

impl Two {
    /// Beside each other on this machine.
    pub fn new() -> Self {
        Self::joined(Joint::direct(), Vec::new())
    }

    /// Joined in this way, with further settings (environment variables).
    pub fn joined(joint: Joint, settings: Vec<(&'static str, String)>) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let data = ["a", "b"].map(|name| dir.path().join(name));
        let mut two = Self { joint, data, processes: [None, None], settings, ca: String::new(), _dir: dir };
        two.start(0);
        two.start(1);
        let vendor = Vendor::new();
        std::fs::write(two.data[0].join("vendors/vendor.pub"), vendor.key.verifying_key().to_spki_pem()).expect("written");
        let invitation = admin(&two.data[0], Method::Post, "standby/invite", None);
        let body = json!({"url": two.joint.url(0), "token": invitation["token"]});
        admin(&two.data[1], Method::Post, "standby/join", Some(body));
        two.processes[1].as_mut().expect("runs").wait_until_ready(2);
        let item: LicenseItem = Vendor::item(json!({"item_id": 1, "product": "dbr", "charge_way": "scan", "quota": 1_000_000_000_u64,
            "valid_from": "2020-01-01T00:00:00Z", "valid_to": "2099-12-31T23:59:59Z"}));
        let request = admin(&two.data[0], Method::Get, "request", None);
        let now = SystemClock.now_seconds();
        let file = vendor.activate(vendor.new_license(100, "216998", vec![item], now), request.as_str().expect("text"), now);
        admin(&two.data[0], Method::Post, "licenses", Some(json!({"file": file})));
        until("the standby follows", 30, || {
            standing(&two.data[1]).filter(|told| told["this"]["doing"] == "following" && told["partner"]["heard_seconds_ago"].is_i64())
        });
        two.exchange();
        two.ca = std::fs::read_to_string(two.data[0].join("tls/ca.pem")).expect("the authority");
        two
    }

    /// Starts a server that does not run.
    pub fn start(&mut self, which: usize) {
        let data = self.data[which].display().to_string();
        let mut command = self.joint.command(which, &["serve", "--data", &data, "--listen", &self.joint.addresses[which].to_string()]);
        command.env("TOLLKEEPER_LIMITS_DEVICE_REQUESTS_PER_MINUTE", "0").env("TOLLKEEPER_SERVER_URLS", self.joint.url(which));
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        self.processes[which] = Some(Process::start(command, &self.data[which]));
    }

    /// Both take what the other one has.
    pub fn exchange(&self) {
        admin(&self.data[0], Method::Post, "standby/sync", None);
    }

    /// The way of a device to a server.
    pub fn transport(&self, which: usize) -> Transport {
        let timeouts = Timeouts { connect: std::time::Duration::from_secs(2), whole: std::time::Duration::from_secs(10) };
        Transport::pinned_within(&format!("https://{}", self.joint.addresses[which]), CaPin::Pem(self.ca.clone()), timeouts).expect("transport")
    }

    /// Whether that server serves devices now.
    pub fn serves(&self, which: usize) -> bool {
        standing(&self.data[which]).is_some_and(|told| told["this"]["serving"] == true)
    }

    /// The one that serves devices now.
    pub fn find_serving(&self) -> Option<usize> {
        (0..2).find(|which| self.serves(*which))
    }

    /// One serves, and each has heard of the other lately.
    pub fn are_settled(&self) -> bool {
        let told = [0, 1].map(|which| standing(&self.data[which]));
        let heard = |told: &Option<Value>| told.as_ref().is_some_and(|told| told["partner"]["heard_seconds_ago"].as_i64().is_some_and(|ago| ago < 10));
        told.iter().all(heard) && self.serves(0) != self.serves(1)
    }
}
