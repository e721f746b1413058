//! A vendor, and a site that runs in this process.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use tollkeeper::app::{App, Extent, StartError};
use tollkeeper::client::transport::{CaPin, Method, Reply, Transport};
use tollkeeper::clock::{Clock, ManualClock};
use tollkeeper::documents::license_file::TEXT_VERSION;
use tollkeeper::documents::{ActivationRequest, Hardware, License, LicenseStatus, SigningKey};
use tollkeeper::licensing::{LicenseId, LicenseItem};
use tollkeeper::settings::Settings;

use super::{Device, NOON};

/// Somebody who sells licenses.
pub struct Vendor {
    pub key: SigningKey,
}

impl Vendor {
    pub fn new() -> Self {
        Self { key: SigningKey::generate() }
    }

    /// A scan item: 100 scans of `dbr`, valid around [`NOON`].
    pub fn scan_item(id: u64) -> LicenseItem {
        Self::item(json!({"item_id": id, "product": "dbr", "charge_way": "scan", "quota": 100}))
    }

    /// A page item: 100 pages of `dwt`.
    pub fn page_item(id: u64) -> LicenseItem {
        Self::item(json!({"item_id": id, "product": "dwt", "charge_way": "page", "quota": 100}))
    }

    /// A device item: 10 seats of `dbr` for a quarter.
    pub fn device_item(id: u64) -> LicenseItem {
        Self::item(json!({"item_id": id, "product": "dbr", "charge_way": "device", "period": "quarter", "quota": 10}))
    }

    /// An item with these fields; validity is 2026-01-01 to 2027-12-31, and a week offline,
    /// unless they say otherwise.
    pub fn item(fields: Value) -> LicenseItem {
        let mut whole = json!({"valid_from": "2026-01-01T00:00:00Z", "valid_to": "2027-12-31T23:59:59Z", "local_license_validity": "7d"});
        whole.as_object_mut().expect("object").extend(fields.as_object().expect("fields").clone());
        serde_json::from_value(whole).expect("a valid item")
    }

    /// A license that is not activated.
    pub fn new_license(&self, id: u64, organization: &str, items: Vec<LicenseItem>, now: i64) -> License {
        License {
            license_text_version: TEXT_VERSION.to_owned(),
            license_id: LicenseId(id),
            alias: format!("License {id}"),
            organization_id: organization.parse().expect("organization"),
            license_status: LicenseStatus::New,
            issued_at: chrono::DateTime::from_timestamp(now, 0).expect("time"),
            servers: vec![],
            items,
        }
    }

    /// The license file for a site.
    pub fn activate(&self, license: License, request: &str, now: i64) -> String {
        let request = ActivationRequest::parse(request).expect("request");
        license.activate(&self.key, &request.servers, now).expect("activated").seal(&self.key)
    }
}

/// A site with one server in this process, on ports of its own, and its administrator.
pub struct Site {
    pub dir: TempDir,
    pub clock: ManualClock,
    pub settings: Settings,
    pub hardware: Hardware,
    app: Option<App>,
    anonymous: Option<Transport>,
    admin: Option<Transport>,
}

impl Site {
    /// A server without any license, its clock at [`NOON`].
    pub fn empty() -> Self {
        Self::with_settings(|_| {})
    }

    /// The same, with settings of the test's own.
    pub fn with_settings(change: impl FnOnce(&mut Settings)) -> Self {
        let hardware = Hardware { machine: Some("machine".into()), board: Some("board".into()), cpu: Some("cpu".into()) };
        Self::on(hardware, ManualClock::at_seconds(NOON), change)
    }

    /// A server on another machine, by the same clock.
    pub fn beside(other: &Self, change: impl FnOnce(&mut Settings)) -> Self {
        let hardware = Hardware { machine: Some("another machine".into()), ..other.hardware.clone() };
        Self::on(hardware, other.clock.clone(), change)
    }

    fn on(hardware: Hardware, clock: ManualClock, change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let mut settings = Settings::for_data(dir.path().join("data"));
        settings.listen = vec!["127.0.0.1:0".to_owned()];
        settings.limits.workers = 2;
        settings.limits.device_requests_per_minute = 0;
        settings.backup.every_minutes = 0;
        change(&mut settings);
        let mut site = Self { dir, clock, settings, hardware, app: None, anonymous: None, admin: None };
        site.start();
        site
    }

    /// A server with one license (number 100) of organization 216998 that holds these items;
    /// its default handshake code is `216998-100`.
    pub fn licensed(items: Vec<LicenseItem>) -> (Self, Vendor) {
        let site = Self::empty();
        let vendor = site.trust(Vendor::new());
        site.import(&vendor, 100, "216998", items);
        (site, vendor)
    }

    pub fn start(&mut self) {
        // A process that another test is starting holds a copy of every open file, the lock
        // of the server that ended here included, until it has become the program.
        let start = || App::start_on(&self.settings, Arc::new(self.clock.clone()), Extent::Server, &self.hardware);
        let mut tried = std::iter::repeat_with(start).take(5_000).inspect(|_| std::thread::sleep(std::time::Duration::from_millis(2)));
        let app = tried.find(|tried| !matches!(tried, Err(StartError::InUse(_)))).expect("the lock is free").expect("the server starts");
        let address = app.https_addresses()[0];
        let ca = app.context().ca_pem.clone();
        self.anonymous = Some(Transport::pinned(&format!("https://{address}"), CaPin::Pem(ca)).expect("transport"));
        self.admin = Some(Transport::unix(self.settings.data.join("admin.sock")));
        self.app = Some(app);
    }

    pub fn stop(&mut self) {
        self.anonymous = None;
        self.admin = None;
        if let Some(app) = self.app.take() {
            app.stop();
        }
    }

    /// As when the machine loses its power: nobody is told.
    pub fn break_down(&mut self) {
        self.anonymous = None;
        self.admin = None;
        if let Some(app) = self.app.take() {
            app.stop_at_once();
        }
    }

    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    pub fn app(&self) -> &App {
        self.app.as_ref().expect("the server runs")
    }

    /// The server, if it runs.
    pub fn running(&self) -> Option<&App> {
        self.app.as_ref()
    }

    pub fn now(&self) -> i64 {
        self.clock.now_seconds()
    }

    pub fn data(&self) -> &Path {
        &self.settings.data
    }

    /// Puts the vendor's public key where the server looks for it.
    pub fn trust(&self, vendor: Vendor) -> Vendor {
        let path = self.data().join("vendors").join(format!("{}.pub", vendor.key.kid()));
        std::fs::write(path, vendor.key.verifying_key().to_spki_pem()).expect("key written");
        vendor
    }

    /// Issues, activates and imports a license.
    pub fn import(&self, vendor: &Vendor, id: u64, organization: &str, items: Vec<LicenseItem>) -> Value {
        let request = self.admin_get_text("request");
        let file = vendor.activate(vendor.new_license(id, organization, items, self.now()), &request, self.now());
        self.admin(Method::Post, "licenses", Some(json!({"file": file})))
    }

    /// Somebody on the network without any right.
    pub fn anonymous(&self) -> &Transport {
        self.anonymous.as_ref().expect("the server runs")
    }

    /// An admin request that must succeed.
    pub fn admin(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let reply = self.try_admin(method, path, body);
        assert!(reply.is_success(), "{path}: {} {}", reply.status, String::from_utf8_lossy(&reply.body));
        if reply.body.is_empty() { Value::Null } else { reply.json().expect("JSON") }
    }

    /// An admin request.
    pub fn try_admin(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.admin.as_ref().expect("the server runs").request(method, &format!("/api/v1/admin/{path}"), body.as_ref()).expect("the admin socket answers")
    }

    pub fn admin_get(&self, path: &str) -> Value {
        self.admin(Method::Get, path, None)
    }

    pub fn admin_get_text(&self, path: &str) -> String {
        String::from_utf8(self.try_admin(Method::Get, path, None).body).expect("text")
    }

    /// A column of an item in the listing of licenses, such as `used`.
    pub fn item(&self, id: u64) -> Value {
        let listing = self.admin_get("licenses");
        let mut items = listing.as_array().expect("list").iter().flat_map(|license| license["items"].as_array().expect("items"));
        items.find(|item| item["item_id"] == id).cloned().expect("the item is listed")
    }

    /// A new device of this site that runs `dbr`.
    pub fn device(&self, code: &str) -> Device {
        Device::new(self.anonymous().clone(), code)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop();
    }
}
