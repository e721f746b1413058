//! Random but valid license files and request sequences: whatever they are, nothing panics,
//! nothing is answered with 500, every reported unit is charged, no quota is passed beyond
//! its grace but as recorded overuse, and the journal verifies. 1,000 license files at full
//! strength, 60 otherwise; the seed is printed with a failure.

use serde_json::{Value, json};
use tollkeeper::client::transport::Method;
use tollkeeper::clock::rfc3339;
use tollkeeper::documents::{Revocation, revocation};
use tollkeeper::licensing::item::LicenseItem;
use tollkeeper::licensing::{ChargeWay, ItemId, LicenseId, OrganizationId, Slot, grace};
use tollkeeper::store::rebuild;
use uuid::Uuid;

use crate::support::{Device, Site, Vendor, full_strength};

const DAY: i64 = 86_400;
/// License files that one site gets.
const LICENSES_OF_A_SITE: u64 = 20;
/// Steps that follow each import.
const STEPS: usize = 24;

/// A generator whose numbers follow from its seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to one less than this.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn in_percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }

    fn some_of(&mut self, list: &[&str]) -> Vec<String> {
        let percent = *self.pick(&[0, 0, 30, 60]);
        list.iter().filter(|_| self.in_percent(percent)).map(|word| (*word).to_owned()).collect()
    }
}

const PRODUCTS: &[&str] = &["dbr", "dwt"];
const MODULES: &[&str] = &["core", "ocr", "webcam"];
const EDITIONS: &[&str] = &["mobile", "desktop"];
const DEPLOYMENTS: &[&str] = &["browser", "mobile", "server", "desktop", "embedded"];
const VERSIONS: &[&str] = &["9.6.30", "8.1", "10"];
const CHARGE_WAYS: &[&str] = &["scan", "page", "device", "concurrent_device", "concurrent_instance", "server", "domain"];
const ORIGINS: &[&str] = &["https://example.com", "https://shop.example.com:8443", "https://acme.github.io", "null", "nonsense"];

/// An item that begins or ends somewhere around `now`.
fn any_item(dice: &mut Dice, id: u64, known: &[u64], now: i64) -> LicenseItem {
    let way = *dice.pick(CHARGE_WAYS);
    let mut item = json!({
        "item_id": id, "product": dice.pick(PRODUCTS), "charge_way": way, "quota": 1 + dice.below(12),
        "modules": dice.some_of(MODULES), "editions": dice.some_of(EDITIONS), "deployment_types": dice.some_of(DEPLOYMENTS),
        "versions": dice.pick(&["", "", "9.*", "9.6, 10.*", "8"]),
        "valid_from": rfc3339(now + DAY - dice.below(500) as i64 * DAY), "valid_to": rfc3339(now + (2 + dice.below(300) as i64) * DAY),
        "local_license_validity": dice.pick(&["3m", "24h", "7d", "365d"]),
        "seat_starts": dice.pick(&["authorization", "first_use"]), "release_allowance": dice.below(3), "trial": dice.in_percent(8),
        "grace": if dice.in_percent(50) { json!({}) } else { json!({"percent": dice.below(50), "days": dice.below(20)}) },
    });
    match way {
        "device" => item["period"] = json!(dice.pick(&["year", "quarter", "month", "day"])),
        "domain" => item["domain"] = json!(dice.pick(&["example.com", "acme.github.io", "intranet"])),
        "concurrent_device" | "concurrent_instance" if dice.in_percent(70) => {
            item["grace"] = json!({"tolerance": dice.below(4), "growth_per_day": dice.below(2)});
        }
        _ => {}
    }
    if dice.in_percent(15) && !known.is_empty() {
        item["depends_on"] = json!(dice.pick(known));
    }
    if dice.in_percent(25) && !known.is_empty() {
        item["renews"] = json!(dice.pick(known));
    }
    Vendor::item(item)
}

/// A site, what was bought for it and what its devices did.
struct World {
    site: Site,
    vendor: Vendor,
    dice: Dice,
    items: Vec<LicenseItem>,
    devices: Vec<Device>,
    reported: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let site = Site::empty();
        let vendor = site.trust(Vendor::new());
        Self { site, vendor, dice: Dice(seed), items: Vec::new(), devices: Vec::new(), reported: 0 }
    }

    /// What the admin asked for, done or refused; never broken.
    fn admin(&self, method: Method, path: &str, body: Option<Value>) {
        let reply = self.site.try_admin(method, path, body);
        assert!(reply.status < 500, "{path}: {}", String::from_utf8_lossy(&reply.body));
    }

    fn organization(license: u64) -> &'static str {
        if license.is_multiple_of(4) { "acme" } else { "216998" }
    }

    fn buy(&mut self, license: u64) {
        let known: Vec<u64> = self.items.iter().map(|item| item.item_id.0).collect();
        let items: Vec<LicenseItem> =
            (1..=1 + self.dice.below(4)).map(|number| any_item(&mut self.dice, license * 10 + number, &known, self.site.now())).collect();
        // One whose items are all over cannot be activated.
        if items.iter().all(|item| grace::end_at(item) <= self.site.now()) {
            return;
        }
        self.site.import(&self.vendor, license, Self::organization(license), items.clone());
        self.items.extend(items);
        let code = format!("{}-{license}", Self::organization(license));
        if self.dice.in_percent(30) {
            self.admin(Method::Put, &format!("handshakes/{code}/default"), None);
        }
        if self.dice.in_percent(20) {
            self.admin(Method::Patch, &format!("handshakes/{code}"), Some(json!({"domains": ["*.example.com"], "process_names": ["scanner.exe"]})));
        }
        for _ in 0..2 {
            self.devices.push(self.site.device(&code));
        }
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0..=7 => self.authorize(),
            8..=14 => self.report(),
            15 => self.release(),
            16 => self.site.clock.advance_seconds(*self.dice.pick(&[60, 180, 3_600, 3_600, DAY, 9 * DAY])),
            17 => self.revoke(),
            18 => self.arrange(),
            _ => self.admin_device(),
        }
    }

    /// Some device, one of the newest more often than not.
    fn device(&mut self) -> Option<usize> {
        let count = self.devices.len() as u64;
        let among = if self.dice.in_percent(80) { count.min(6) } else { count };
        if count == 0 { None } else { Some((count - 1 - self.dice.below(among)) as usize) }
    }

    /// An item that the device's own license has.
    fn item_of(&mut self, device: usize) -> Option<LicenseItem> {
        let license: u64 = self.devices[device].code.rsplit('-').next()?.parse().ok()?;
        let items: Vec<&LicenseItem> = self.items.iter().filter(|item| item.item_id.0 / 10 == license).collect();
        if items.is_empty() { None } else { Some((*self.dice.pick(&items)).clone()) }
    }

    fn authorize(&mut self) {
        let Some(index) = self.device() else { return };
        let item = self.item_of(index);
        let dice = &mut self.dice;
        let mut fields = json!({
            "product": dice.pick(PRODUCTS), "product_version": dice.pick(VERSIONS), "edition": dice.pick(EDITIONS), "deployment_type": dice.pick(DEPLOYMENTS),
            "modules": dice.some_of(MODULES), "instances": 1 + dice.below(14), "validation": {"process_name": dice.pick(&["scanner.exe", "other"])},
        });
        if let Some(item) = item.filter(|_| dice.in_percent(80)) {
            // What this item permits, as far as one request can tell.
            let deployment = if item.charge_way == ChargeWay::Server { "server" } else { item.deployment_types.first().map_or("mobile", |way| way.as_str()) };
            let wanted = json!({"product": item.product, "edition": item.editions.first(), "deployment_type": deployment, "modules": item.modules.first().into_iter().collect::<Vec<_>>()});
            fields.as_object_mut().expect("object").extend(wanted.as_object().expect("fields").clone());
        } else if dice.in_percent(20) {
            fields["charge_way"] = json!(dice.pick(CHARGE_WAYS));
        }
        if dice.in_percent(20) {
            fields["max_buffer_days"] = json!(1 + dice.below(30));
        }
        match dice.below(20) {
            0 => fields["handshake_code"] = Value::Null,
            1 => fields["organization_id"] = json!(dice.pick(&["216998", "acme", "nobody"])),
            2 => {
                fields["handshake_code"] = Value::Null;
                fields["organization_id"] = json!(dice.pick(&["216998", "acme"]));
            }
            3 => fields["ticket"] = json!("stale"),
            _ => {}
        }
        let origin = *dice.pick(ORIGINS);
        let headers: &[(&str, &str)] = if dice.in_percent(30) { &[("origin", origin)] } else { &[] };
        let device = &mut self.devices[index];
        let reply = device.transport.post_json("/api/v1/authorize", &device.request_with(fields), headers).expect("the server answers");
        let answer: Value = reply.json().expect("JSON");
        assert!(reply.is_success() || (reply.status < 500 && answer["code"].is_u64()), "{answer}");
        if reply.is_success() {
            device.authorization = answer["authorization"].as_str().map(str::to_owned);
            device.ticket = answer["ticket"].as_str().map(str::to_owned);
        }
    }

    fn report(&mut self) {
        let Some(index) = self.device() else { return };
        if self.devices[index].authorization.is_none() {
            return;
        }
        let now = self.site.now();
        let item = self.item_of(index);
        let mut reports = Vec::new();
        for _ in 0..1 + self.dice.below(3) {
            let dice = &mut self.dice;
            let age = *dice.pick(&[0, 200, 4_000, 2 * DAY, 29 * DAY, 31 * DAY, -400]);
            let mut report = json!({
                "report_id": Uuid::from_u128(u128::from(dice.next()) << 64 | u128::from(dice.next())), "slot": rfc3339(Slot::containing(now - age).start()),
                "handshake_code": self.devices[index].code, "product": dice.pick(PRODUCTS), "unit": dice.pick(&["scan", "page"]),
                "counts": {"QR Code": dice.below(6), "scanned": dice.below(4)}, "instances": dice.below(9),
            });
            if let Some(item) = item.as_ref().filter(|_| dice.in_percent(80)) {
                report["product"] = json!(item.product);
                report["unit"] = json!(if item.charge_way == ChargeWay::Page { "page" } else { "scan" });
            }
            if dice.in_percent(20) {
                report["module"] = json!(dice.pick(MODULES));
            }
            reports.push(report);
        }
        let times = if self.dice.in_percent(20) { 2 } else { 1 };
        for _ in 0..times {
            match self.devices[index].report(&reports) {
                Err(problem) => assert!(problem["status"].as_u64() < Some(500), "{problem}"),
                Ok(answer) => {
                    let accepted = answer["accepted"].as_array().expect("accepted");
                    let units = |report: &Value| report["counts"].as_object().expect("counts").values().filter_map(Value::as_u64).sum::<u64>();
                    self.reported += reports.iter().filter(|report| accepted.contains(&report["report_id"])).map(units).sum::<u64>();
                }
            }
        }
    }

    fn release(&mut self) {
        let Some(index) = self.device() else { return };
        let device = &self.devices[index];
        let Some(authorization) = &device.authorization else { return };
        let body = json!({"client_uuid": device.client, "authorization": authorization});
        let reply = device.transport.post_json("/api/v1/release", &body, &[]).expect("the server answers");
        assert!(reply.status < 500, "{}", String::from_utf8_lossy(&reply.body));
    }

    fn revoke(&mut self) {
        if self.items.is_empty() || self.dice.in_percent(60) {
            return;
        }
        let item = self.dice.pick(&self.items).item_id;
        let license = item.0 / 10;
        let organization: OrganizationId = Self::organization(license).parse().expect("organization");
        let revocation = Revocation {
            revocation_version: revocation::VERSION.to_owned(),
            license_id: LicenseId(license),
            organization_id: organization,
            item_ids: vec![item],
            reason: String::new(),
            issued_at: chrono::DateTime::from_timestamp(self.site.now(), 0).expect("time"),
        };
        self.admin(Method::Post, "licenses", Some(json!({"file": revocation.seal(&self.vendor.key)})));
    }

    fn arrange(&mut self) {
        let Some(index) = self.device() else { return };
        let code = self.devices[index].code.clone();
        let items: Vec<u64> = (0..self.dice.below(4)).map(|_| self.dice.pick(&self.items).item_id.0).collect();
        match self.dice.below(3) {
            0 => self.admin(Method::Patch, &format!("handshakes/{code}"), Some(json!({"items": items}))),
            1 => self.admin(Method::Put, &format!("handshakes/{code}/order"), Some(json!({"items": items}))),
            _ => self.admin(Method::Put, &format!("handshakes/{code}/order"), Some(json!({"items": null}))),
        }
    }

    fn admin_device(&mut self) {
        let Some(index) = self.device() else { return };
        let client = self.devices[index].client;
        let item = self.dice.pick(&self.items).item_id;
        self.admin(Method::Delete, &format!("devices/{client}/seats/{item}"), None);
        if self.dice.in_percent(30) {
            self.admin(Method::Post, &format!("devices/{client}/reset"), None);
        }
        let today = rfc3339(self.site.now())[..10].to_owned();
        self.admin(Method::Post, "statistics/statements", Some(json!({"from": "2026-01-01", "to": today, "organization_id": "216998"})));
    }

    fn check(&self) {
        let mut charged = 0;
        for license in self.site.admin_get("licenses").as_array().expect("licenses") {
            for row in license["items"].as_array().expect("items") {
                let item = self.items.iter().find(|item| item.item_id == ItemId(row["item_id"].as_u64().expect("id"))).expect("bought here");
                let (used, overuse) = (row["used"].as_u64().expect("used"), row["overuse"].as_u64().expect("overuse"));
                if !item.charge_way.is_concurrent() && item.charge_way.has_quota() {
                    assert!(
                        used - overuse <= grace::limit(item),
                        "item {}: {used} used, {overuse} of it overuse, {} allowed",
                        item.item_id,
                        grace::limit(item)
                    );
                }
                if item.charge_way.takes_seats() && item.seat_starts == tollkeeper::licensing::item::SeatStarts::Authorization {
                    assert_eq!(overuse, 0, "seats are never given beyond the limit: {row}");
                }
            }
        }
        charged += self.site.admin_get("statistics")["total"].as_u64().expect("a number");
        assert_eq!(charged, self.reported, "every unit that was accepted is charged, once");
        self.site.admin_get("devices");
        self.site.admin_get("refusals");
        rebuild::verify(&self.site.app().context().store.reader().expect("reader")).expect("the journal verifies and the tables follow from it");
    }
}

#[test]
fn random_licenses_and_requests_break_nothing() {
    let sites = if full_strength() { 1_000 / LICENSES_OF_A_SITE } else { 3 };
    for seed in 0..sites {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for license in 1..=LICENSES_OF_A_SITE {
                world.buy(license);
                for _ in 0..STEPS {
                    world.step();
                }
            }
            world.check();
            let usage = world.site.admin_get("statistics");
            let happened = usage["authorizations"]["granted"].as_u64() > Some(10) && usage["authorizations"]["refused"].as_u64() > Some(10);
            assert!(happened && world.reported > 20, "the dice are no good: {usage}");
        });
        assert!(run.is_ok(), "the site of seed {seed}, see above");
    }
}
