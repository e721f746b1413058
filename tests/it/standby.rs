//! Two servers of a site: whatever breaks, devices go on, nothing is lost, and nothing is counted
//! twice (architecture §4).

use serde_json::{Value, json};
use tollkeeper::client::transport::Method;
use tollkeeper::clock::ManualClock;
use tollkeeper::licensing::LicenseItem;

use crate::support::two::are_equal;
use crate::support::{Company, Device, Line, Site, Vendor, until};

/// A primary `a` and a standby `b`, each reached by the other over a line.
struct Pair {
    a: Site,
    b: Site,
    lines: [Line; 2],
}

impl Pair {
    /// Both are licensed for these items; the code is `216998-100`.
    fn licensed(items: Vec<LicenseItem>) -> Self {
        let lines = [Line::new(), Line::new()];
        let mut a = Site::with_settings(|settings| settings.server_urls = vec![lines[0].url()]);
        lines[0].lead_to(a.app().https_addresses()[0]);
        // The names of its certificate are those that it listens on.
        a.restart();
        lines[0].lead_to(a.app().https_addresses()[0]);
        let vendor = a.trust(Vendor::new());
        let mut b = Site::beside(&a, |settings| settings.server_urls = vec![lines[1].url()]);
        lines[1].lead_to(b.app().https_addresses()[0]);
        join(&a, &mut b, &lines);
        let mut pair = Self { a, b, lines };
        pair.settle();
        let imported = pair.a.import(&vendor, 100, "216998", items);
        assert_eq!(imported["handshake_code"], json!("216998-100"));
        pair.exchange();
        pair
    }

    /// Lets a little time go by, second by second, as both servers see it.
    fn wait(&self, seconds: i64) {
        for _ in 0..seconds {
            self.a.clock.advance_seconds(1);
            for site in [&self.a, &self.b] {
                if let Some(app) = site.running() {
                    app.context().keeper.tick();
                    app.context().keeper.tell_when_due();
                    app.context().keeper.sync_when_due();
                }
            }
        }
    }

    /// Time stands still until the primary, just started, has met its partner: one that cannot reach it serves after
    /// five seconds.
    fn meet(&self) {
        until("its partner", 60, || self.a.admin_get("standby")["partner"]["heard_seconds_ago"].as_i64());
    }

    /// Until one serves and the other follows.
    fn settle(&mut self) {
        for _ in 0..200 {
            self.wait(1);
            let serving = [&self.a, &self.b].map(|site| site.admin_get("standby")["this"]["serving"] == json!(true));
            let heard = [&self.a, &self.b].iter().all(|site| site.admin_get("standby")["partner"]["heard_seconds_ago"].as_i64().is_some_and(|ago| ago < 10));
            if heard && serving[0] != serving[1] {
                return;
            }
        }
        panic!("they do not settle: {} {}", self.a.admin_get("standby"), self.b.admin_get("standby"));
    }

    fn exchange(&self) {
        self.a.admin(Method::Post, "standby/sync", None);
    }

    fn cut(&self) {
        self.lines.iter().for_each(Line::cut);
    }

    fn mend(&self) {
        self.lines.iter().for_each(Line::mend);
    }

    fn start_a(&mut self) {
        self.a.start();
        self.lines[0].lead_to(self.a.app().https_addresses()[0]);
    }

    fn start_b(&mut self) {
        self.b.start();
        self.lines[1].lead_to(self.b.app().https_addresses()[0]);
    }

    /// Both hold the same, row for row, and it follows from their journals.
    fn are_equal(&self) {
        are_equal([self.a.data(), self.b.data()], || self.exchange());
    }
}

/// `b` joins `a` and begins anew as its standby.
fn join(a: &Site, b: &mut Site, lines: &[Line; 2]) {
    let invitation = a.admin(Method::Post, "standby/invite", None);
    b.admin(Method::Post, "standby/join", Some(json!({"url": lines[0].url(), "token": invitation["token"]})));
    until("the copy", 60, || (b.admin_get("standby")["joining"]["step"] == json!("done")).then_some(()));
    b.restart();
    lines[1].lead_to(b.app().https_addresses()[0]);
}

fn code_of(answer: Result<Value, Value>) -> i64 {
    answer.expect_err("refused")["code"].as_i64().expect("a code")
}

/// The device goes to another server.
fn at(device: &Device, site: &Site) -> Device {
    Device { transport: site.anonymous().clone(), ..device.clone() }
}

#[test]
fn servers_of_a_pair_know_each_other_whatever_certificate_browsers_are_shown() {
    let pair = Pair::licensed(vec![Vendor::scan_item(1)]);
    let own = Company::new().issue_for(&["127.0.0.1"]);
    for site in [&pair.a, &pair.b] {
        assert_eq!(site.admin(Method::Put, "certificate", Some(own.body()))["source"], "own", "each has its own");
    }
    // New connections, which see the new certificates.
    pair.cut();
    pair.mend();
    pair.a.device("216998-100").authorize().expect("granted");
    pair.are_equal();
    let of_b = pair.b.admin_get("audit").to_string();
    assert_eq!(of_b.matches("certificate_set").count(), 2, "{of_b}");
}

#[test]
fn a_new_server_joins_takes_everything_and_refuses_devices_while_the_primary_serves() {
    let pair = Pair::licensed(vec![Vendor::scan_item(1)]);
    let (a, b) = (&pair.a, &pair.b);
    let uuid = |site: &Site| site.app().context().site.uuid().to_string();
    assert_ne!(uuid(a), uuid(b));
    assert_eq!(a.app().context().ca_fingerprint, b.app().context().ca_fingerprint);
    assert_eq!(a.admin_get("licenses"), b.admin_get("licenses"));
    let partner = a.admin_get("standby")["partner"].clone();
    assert_eq!((&partner["server_uuid"], &partner["doing"], &partner["is_licensed"]), (&json!(uuid(b)), &json!("following"), &json!(true)), "{partner}");
    // License keys name both, the primary first, whoever is asked.
    assert_eq!(a.admin_get("handshakes")[0]["license_key"], b.admin_get("handshakes")[0]["license_key"]);

    let mut device = a.device("216998-100");
    assert_eq!(code_of(at(&device, b).authorize()), 100);
    device.authorize().expect("granted");
    let taken = device.report(&[device.scans(a.now() - 400, json!({"QR Code": 3}))]).expect("taken");
    let safe = |answer: &Value| answer["safe"][uuid(a)].as_u64().unwrap_or(0);
    assert!(safe(&taken) < taken["sequence"].as_u64().expect("a number"), "{taken}");
    pair.exchange();
    let answer = device.authorize().expect("granted");
    assert!(safe(&answer) >= taken["sequence"].as_u64().expect("a number"), "{answer}");
    assert_eq!(b.item(1)["used"], json!(3));
    // What is set up is set up on the primary.
    let refused = b.try_admin(Method::Post, "handshakes", Some(json!({"handshake_code": "216998-x", "items": [1]})));
    assert_eq!(refused.status, 409, "{}", String::from_utf8_lossy(&refused.body));
    a.admin(Method::Post, "handshakes", Some(json!({"handshake_code": "216998-x", "items": [1]})));
    pair.are_equal();
}

#[test]
fn the_standby_takes_over_after_thirty_seconds_and_hands_back() {
    let mut pair = Pair::licensed(vec![Vendor::scan_item(1)]);
    let mut device = pair.a.device("216998-100");
    device.authorize().expect("granted");
    let report = |device: &Device, site: &Site, count: u64| device.scans(site.now() - 400, json!({"QR Code": count}));
    let (first, second) = (report(&device, &pair.a, 3), report(&device, &pair.a, 4));
    device.report(std::slice::from_ref(&first)).expect("taken");
    pair.exchange();
    device.report(std::slice::from_ref(&second)).expect("taken, and on this server alone");
    pair.a.break_down();
    pair.wait(25);
    assert_eq!(code_of(at(&device, &pair.b).authorize()), 100);
    pair.wait(10);
    let mut device = at(&device, &pair.b);
    device.authorize().expect("the standby serves");
    // What the primary took with it is not safe, so the device sends it again.
    let third = report(&device, &pair.b, 5);
    let answer = device.report(&[first.clone(), second.clone(), third.clone()]).expect("taken");
    assert_eq!((answer["accepted"].as_array().map(Vec::len), answer["duplicate"].as_array().map(Vec::len)), (Some(2), Some(1)), "{answer}");
    assert_eq!(pair.b.item(1)["used"], json!(12));
    assert!(pair.b.admin_get("standby")["notes"].to_string().contains("took over"));

    pair.start_a();
    assert_eq!(code_of(at(&device, &pair.a).authorize()), 100, "not before it has the facts of both");
    pair.settle();
    let mut device = at(&device, &pair.a);
    device.authorize().expect("the primary serves again");
    assert_eq!(code_of(at(&device, &pair.b).authorize()), 100);
    assert_eq!(pair.a.item(1)["used"], json!(12), "the report that both took counts once");
    let again = device.report(&[first, second, third]).expect("taken");
    assert_eq!(again["duplicate"].as_array().map(Vec::len), Some(3), "{again}");
    pair.are_equal();
}

#[test]
fn cut_off_from_each_other_both_serve_and_nothing_is_lost_or_counted_twice() {
    let mut pair = Pair::licensed(vec![LicenseItem { quota: 100_000, ..Vendor::scan_item(1) }]);
    let mut devices: Vec<Device> = (0..6).map(|_| pair.a.device("216998-100")).collect();
    for device in &mut devices {
        device.authorize().expect("granted");
    }
    pair.exchange();
    pair.cut();
    pair.wait(40);
    let mut sum = 0;
    let mut sent: Vec<(usize, Value)> = Vec::new();
    for minute in 0..10 {
        for (n, device) in devices.iter_mut().enumerate() {
            // Each reaches now this one, now that one, and some send to both what one has taken.
            let site = if (n + minute) % 2 == 0 { &pair.a } else { &pair.b };
            *device = at(device, site);
            device.authorize().expect("both serve");
            let report = device.scans(site.now() - 400, json!({"QR Code": n + 1}));
            sum += n as u64 + 1;
            device.report(std::slice::from_ref(&report)).expect("taken");
            sent.push((n, report));
        }
        for n in 0..6 {
            let (of, report) = sent[(minute * 7 + n * 3) % sent.len()].clone();
            at(&devices[of], if minute % 3 == 0 { &pair.a } else { &pair.b }).report(&[report]).expect("taken");
        }
        pair.wait(60);
    }
    pair.a.admin(Method::Post, "handshakes", Some(json!({"handshake_code": "216998-a", "items": [1]})));
    pair.b.admin(Method::Post, "handshakes", Some(json!({"handshake_code": "216998-b", "items": [1]})));
    pair.mend();
    pair.settle();
    pair.wait(20);
    pair.are_equal();
    for site in [&pair.a, &pair.b] {
        assert_eq!(site.item(1)["used"], json!(sum));
        assert_eq!(site.admin_get("handshakes").as_array().map(Vec::len), Some(3));
    }
    assert_eq!(pair.a.admin_get("standby")["this"]["serving"], json!(true));
}

#[test]
fn a_quota_that_both_gave_away_is_told_after_the_merge() {
    let mut pair = Pair::licensed(vec![LicenseItem { quota: 2, ..Vendor::device_item(1) }]);
    pair.cut();
    pair.wait(40);
    for site in [&pair.a, &pair.b] {
        for _ in 0..2 {
            site.device("216998-100").authorize().expect("granted");
        }
    }
    pair.mend();
    pair.settle();
    pair.are_equal();
    assert_eq!(pair.a.item(1)["used"], json!(4));
    let alerts = pair.a.admin_get("alerts").to_string();
    assert!(alerts.contains("4 of 2 seats are taken"), "{alerts}");
}

#[test]
fn promoting_and_leaving_last() {
    let mut pair = Pair::licensed(vec![Vendor::scan_item(1)]);
    assert_eq!(pair.a.try_admin(Method::Post, "standby/promote", None).status, 409, "it is the primary");
    pair.b.admin(Method::Post, "standby/promote", None);
    pair.wait(10);
    pair.settle();
    let role = |site: &Site| site.admin_get("standby")["this"].clone();
    assert_eq!((&role(&pair.a)["role"], &role(&pair.b)["role"]), (&json!("standby"), &json!("primary")));
    pair.b.restart();
    pair.lines[1].lead_to(pair.b.app().https_addresses()[0]);
    pair.settle();
    assert_eq!((&role(&pair.a)["role"], &role(&pair.b)["serving"]), (&json!("standby"), &json!(true)), "it lasts");
    pair.b.device("216998-100").authorize().expect("granted");

    pair.b.admin(Method::Post, "standby/leave", Some(json!({})));
    pair.wait(60);
    assert_eq!(pair.a.admin_get("standby")["partner"], Value::Null);
    assert_eq!((&role(&pair.a)["serving"], &role(&pair.b)["serving"]), (&json!(false), &json!(true)));
    assert_eq!(code_of(pair.a.device("216998-100").authorize()), 100);
    pair.a.restart();
    assert_eq!(code_of(pair.a.device("216998-100").authorize()), 100, "the license of both is with the other one");
    let answer = pair.b.device("216998-100").authorize().expect("granted");
    let origin = pair.b.app().context().site.uuid().to_string();
    assert!(answer["safe"][origin].is_u64(), "with one server, what is on its disk is safe: {answer}");
}

#[test]
fn an_orderly_stop_hands_over_at_once_and_a_rehearsal_comes_back() {
    let mut pair = Pair::licensed(vec![Vendor::scan_item(1)]);
    let mut device = pair.a.device("216998-100");
    device.authorize().expect("granted");
    device.report(&[device.scans(pair.a.now() - 400, json!({"QR Code": 3}))]).expect("taken");
    pair.a.stop();
    pair.wait(1);
    let mut device = at(&device, &pair.b);
    device.authorize().expect("the standby serves at once");
    assert_eq!(pair.b.item(1)["used"], json!(3), "and has everything");
    pair.start_a();
    pair.wait(10);
    pair.settle();
    at(&device, &pair.a).authorize().expect("granted");

    assert_eq!(pair.b.try_admin(Method::Post, "standby/rehearse", Some(json!({"seconds": 60}))).status, 409);
    assert_eq!(pair.a.try_admin(Method::Post, "standby/rehearse", Some(json!({"seconds": 5}))).status, 400);
    pair.a.admin(Method::Post, "standby/rehearse", Some(json!({"seconds": 60})));
    pair.wait(35);
    let serving = |site: &Site| site.admin_get("standby")["this"]["serving"] == json!(true);
    assert_eq!([serving(&pair.a), serving(&pair.b)], [false, true]);
    pair.wait(60);
    assert_eq!([serving(&pair.a), serving(&pair.b)], [true, false]);
    let notes = pair.a.admin_get("standby")["notes"].to_string();
    assert!(notes.contains("rehearsal began") && notes.contains("serves with the facts of both"), "{notes}");
    pair.are_equal();
}

#[test]
fn a_restored_server_gets_back_from_its_partner_what_it_lost() {
    let mut pair = Pair::licensed(vec![Vendor::scan_item(1)]);
    let device = {
        let mut device = pair.a.device("216998-100");
        device.authorize().expect("granted");
        device
    };
    pair.a.admin(Method::Post, "backups", Some(json!({})));
    let name = until("the backup", 60, || pair.a.admin_get("backups")["files"][0]["name"].as_str().map(str::to_owned));
    until("its end", 60, || pair.a.admin_get("backups")["running"].is_null().then_some(()));
    let taken = device.report(&[device.scans(pair.a.now() - 400, json!({"QR Code": 7}))]).expect("taken");
    pair.a.admin(Method::Post, "handshakes", Some(json!({"handshake_code": "216998-late", "items": [1]})));
    pair.exchange();
    pair.a.admin(Method::Post, &format!("backups/{name}/restore"), Some(json!({})));
    pair.a.stop();
    pair.start_a();
    pair.settle();
    pair.wait(5);
    pair.are_equal();
    assert_eq!(pair.a.item(1)["used"], json!(7));
    assert!(pair.a.admin_get("handshakes").to_string().contains("216998-late"));
    let answer = at(&device, &pair.a).authorize().expect("granted");
    let (origin, sequence) = (taken["origin"].as_str().expect("a server"), taken["sequence"].as_u64().expect("a number"));
    assert!(answer["lost"][origin][0][0].as_u64().expect("the range that nobody has") > sequence, "{answer}");
    assert!(pair.a.admin_get("audit?action=facts_lost").to_string().contains("facts_lost"));
}

#[test]
fn nobody_joins_without_the_token_or_with_licenses_of_his_own() {
    let mut pair = Pair::licensed(vec![Vendor::scan_item(1)]);
    let site = Site::beside(&pair.a, |_| {});
    let join = |url: String, token: &str| site.try_admin(Method::Post, "standby/join", Some(json!({"url": url, "token": token})));
    let told = |reply: tollkeeper::client::transport::Reply| {
        assert_eq!(reply.status, 409);
        String::from_utf8_lossy(&reply.body).into_owned()
    };
    assert!(told(join(pair.lines[0].url(), "nonsense")).contains("token is not whole"));
    assert!(told(pair.a.try_admin(Method::Post, "standby/invite", None)).contains("partner already"));
    let (lone, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let token = lone.admin(Method::Post, "standby/invite", None)["token"].as_str().expect("a token").to_owned();
    let lone_url = format!("https://{}", lone.app().https_addresses()[0]);
    assert!(told(join(pair.lines[0].url(), &token)).contains("belongs to another site"));
    lone.clock.advance_seconds(3_600);
    assert!(told(join(lone_url.clone(), &token)).contains("older than an hour"));
    let (own, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    assert!(told(own.try_admin(Method::Post, "standby/join", Some(json!({"url": lone_url, "token": token})))).contains("licenses or handshake codes"));
    // Nobody but the partner is told anything.
    for path in ["heartbeat", "facts", "sync", "leave", "snapshot"] {
        let reply = pair.a.anonymous().post_json(&format!("/api/v1/replication/{path}"), &json!({}), &[]).expect("answered");
        assert_eq!(reply.status, 403, "{path}");
    }
    pair.start_b_again();
}

#[test]
fn a_partner_whose_clock_is_ahead_stops_nobody() {
    let mut pair = Pair::licensed(vec![Vendor::scan_item(1)]);
    let mut device = pair.a.device("216998-100");
    device.authorize().expect("granted");
    device.report(&[device.scans(pair.a.now() - 400, json!({"QR Code": 3}))]).expect("taken");
    pair.exchange();
    pair.b.stop();
    pair.b.clock = ManualClock::at_seconds(pair.a.now() + 3_600);
    pair.start_b();
    let wait = |pair: &Pair, seconds: i64| {
        for _ in 0..seconds {
            pair.b.clock.advance_seconds(1);
            pair.wait(1);
        }
    };
    pair.cut();
    wait(&pair, 40);
    let mut device = at(&device, &pair.b);
    device.authorize().expect("the standby serves");
    device.report(&[device.scans(pair.b.now() - 400, json!({"QR Code": 4}))]).expect("taken");
    pair.mend();
    wait(&pair, 20);
    assert_eq!(pair.a.try_admin(Method::Post, "standby/sync", None).status, 409);
    assert!(pair.a.admin_get("standby")["partner"]["last_sync_error"].to_string().contains("ahead of this server's clock"));
    let alerts = pair.a.admin_get("alerts")["current"].to_string();
    assert!(alerts.contains("clocks_apart") && alerts.contains("sync_failing"), "{alerts}");
    let mut device = at(&device, &pair.a);
    device.authorize().expect("granted by the clock that is right");
    device.report(&[device.scans(pair.a.now() - 400, json!({"QR Code": 5}))]).expect("taken");
    // Once its time has come, what it recorded is taken.
    pair.a.clock.advance_seconds(3_600);
    wait(&pair, 20);
    pair.are_equal();
    assert_eq!(pair.a.item(1)["used"], json!(12));
    assert!(!pair.a.admin_get("alerts")["current"].to_string().contains("sync_failing"));
    device.authorize().expect("granted");
}

impl Pair {
    /// A standby that is started anew goes on following.
    fn start_b_again(&mut self) {
        self.b.stop();
        self.start_b();
        self.settle();
        assert_eq!(self.b.admin_get("standby")["this"]["doing"], json!("following"));
    }
}

#[test]
fn a_backup_that_is_restored_twice_gives_no_number_twice() {
    let mut pair = Pair::licensed(vec![Vendor::scan_item(1)]);
    let mut device = pair.a.device("216998-100");
    device.authorize().expect("granted");
    pair.a.admin(Method::Post, "backups", Some(json!({})));
    until("the backup", 60, || pair.a.admin_get("backups")["running"].is_null().then_some(()));
    let listing = until("the backup", 60, || Some(pair.a.admin_get("backups")).filter(|listing| listing["files"][0]["name"].is_string()));
    let name = listing["files"][0]["name"].as_str().expect("a name").to_owned();
    let mut sum = 0;
    for round in 1..=3 {
        device = at(&device, &pair.a);
        device.authorize().expect("granted");
        device.report(&[device.scans(pair.a.now() - 400, json!({"QR Code": round}))]).expect("taken");
        sum += round;
        pair.exchange();
        pair.a.admin(Method::Post, &format!("backups/{name}/restore"), Some(json!({})));
        // Not even the time to be told of the one before.
        pair.a.break_down();
        pair.start_a();
        pair.wait(5);
        pair.settle();
        pair.are_equal();
        assert_eq!(pair.a.item(1)["used"], json!(sum), "round {round}");
    }
}

#[test]
fn a_partner_that_was_left_while_it_was_down_learns_that_and_does_not_serve() {
    let mut pair = Pair::licensed(vec![Vendor::scan_item(1)]);
    pair.b.break_down();
    assert_eq!(pair.a.try_admin(Method::Post, "standby/leave", Some(json!({}))).status, 409, "its partner does not answer");
    pair.a.admin(Method::Post, "standby/leave", Some(json!({"force": true})));
    pair.a.restart();
    pair.lines[0].lead_to(pair.a.app().https_addresses()[0]);
    pair.start_b();
    pair.wait(60);
    assert_eq!(pair.b.admin_get("standby")["partner"], Value::Null);
    pair.a.device("216998-100").authorize().expect("granted");
    assert_eq!(code_of(pair.b.device("216998-100").authorize()), 100);
}

/// A pair whose primary is down and was put back to how it was before it took a report of 7 and a new
/// code, both of which the standby has; and the device.
fn put_back_without_a_word() -> (Pair, Device) {
    let mut pair = Pair::licensed(vec![Vendor::scan_item(1)]);
    let mut device = pair.a.device("216998-100");
    device.authorize().expect("granted");
    pair.exchange();
    pair.a.break_down();
    let kept = ["tollkeeper.db", "tollkeeper.db-wal", "sequence.mark"].map(|name| (name, std::fs::read(pair.a.data().join(name)).ok()));
    pair.start_a();
    pair.meet();
    pair.settle();
    let mut device = at(&device, &pair.a);
    device.authorize().expect("granted");
    device.report(&[device.scans(pair.a.now() - 400, json!({"QR Code": 7}))]).expect("taken");
    pair.a.admin(Method::Post, "handshakes", Some(json!({"handshake_code": "216998-late", "items": [1]})));
    pair.exchange();
    // The whole machine goes back to how it was, as from a snapshot: nothing beside the database tells.
    pair.a.break_down();
    for name in ["tollkeeper.db", "tollkeeper.db-wal", "tollkeeper.db-shm", "sequence.mark"] {
        let _ = std::fs::remove_file(pair.a.data().join(name));
    }
    for (name, bytes) in kept {
        if let Some(bytes) = bytes {
            std::fs::write(pair.a.data().join(name), bytes).expect("written");
        }
    }
    (pair, device)
}

#[test]
fn a_primary_that_was_put_back_without_a_word_learns_from_its_partner_what_it_lost() {
    let (mut pair, _) = put_back_without_a_word();
    pair.start_a();
    pair.meet();
    pair.wait(10);
    pair.settle();
    pair.are_equal();
    assert_eq!(pair.a.item(1)["used"], json!(7));
    assert!(pair.a.admin_get("audit?action=facts_lost").to_string().contains("the partner holds fact"));
}

#[test]
fn a_primary_that_was_put_back_and_serves_before_it_hears_its_partner_gives_no_number_twice() {
    let (mut pair, device) = put_back_without_a_word();
    pair.cut();
    pair.start_a();
    pair.wait(10);
    let mut device = at(&device, &pair.a);
    device.authorize().expect("it serves without its partner");
    for count in [5, 6] {
        device.report(&[device.scans(pair.a.now() - 400, json!({"QR Code": count}))]).expect("taken");
    }
    pair.a.admin(Method::Post, "handshakes", Some(json!({"handshake_code": "216998-new", "items": [1]})));
    assert_eq!(pair.a.item(1)["used"], json!(11));
    assert!(!pair.a.admin_get("alerts")["current"].to_string().contains("facts_lost"), "nobody knows yet");
    pair.mend();
    pair.settle();
    pair.wait(10);
    pair.are_equal();
    for site in [&pair.a, &pair.b] {
        assert_eq!(site.item(1)["used"], json!(18));
        let codes = site.admin_get("handshakes").to_string();
        assert!(codes.contains("216998-late") && codes.contains("216998-new"), "{codes}");
        let audit = site.admin_get("audit?action=numbers_skipped");
        assert_eq!(audit["entries"].as_array().map(Vec::len), Some(1), "{audit}");
    }
    until("what the partner gave back tells of the loss", 60, || {
        pair.wait(1);
        pair.a.admin_get("alerts")["current"].to_string().contains("facts_lost").then_some(())
    });
    // Started anew beside its partner, it is sure again.
    pair.a.restart();
    pair.lines[0].lead_to(pair.a.app().https_addresses()[0]);
    pair.meet();
    pair.wait(10);
    pair.settle();
    at(&device, &pair.a).authorize().expect("granted");
    pair.are_equal();
    assert_eq!(pair.a.admin_get("audit?action=numbers_skipped")["entries"].as_array().map(Vec::len), Some(1));
}

#[test]
fn whoever_is_not_in_the_license_is_not_made_to_serve() {
    let lines = [Line::new(), Line::new()];
    let mut a = Site::with_settings(|settings| settings.server_urls = vec![lines[0].url()]);
    let vendor = a.trust(Vendor::new());
    a.import(&vendor, 100, "216998", vec![Vendor::scan_item(1)]);
    a.restart();
    lines[0].lead_to(a.app().https_addresses()[0]);
    let mut b = Site::beside(&a, |settings| settings.server_urls = vec![lines[1].url()]);
    lines[1].lead_to(b.app().https_addresses()[0]);
    join(&a, &mut b, &lines);
    let mut pair = Pair { a, b, lines };
    pair.settle();
    for (site, path, body) in [(&pair.b, "standby/promote", json!({})), (&pair.a, "standby/rehearse", json!({"seconds": 60}))] {
        let refused = site.try_admin(Method::Post, path, Some(body));
        assert_eq!(refused.status, 409, "{path}");
        assert!(String::from_utf8_lossy(&refused.body).contains("no installed license names the standby"));
    }
    assert_eq!(pair.a.try_admin(Method::Post, "standby/invite", None).status, 409);
}
