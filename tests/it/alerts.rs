//! Alerts (domain §7): each threshold is told once per crossing, all news in one message; a message is
//! neither lost nor sent by both servers; mail, webhook and syslog against real servers.

use aws_lc_rs::hmac;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tollkeeper::client::transport::Method;
use tollkeeper::commands::alerts::{CheckThresholds, Way};
use tollkeeper::commands::exceptions::Trouble;
use tollkeeper::licensing::LicenseItem;

use crate::support::inbox::{Authority, LogServer, MailServer, Posted, Webhook};
use crate::support::{Desk, Device, Line, Site, Vendor, tollkeeper, until};

const PASSWORD: &str = "correct horse battery";

fn set(site: &Site, ways: Value) -> Value {
    site.admin(Method::Patch, "alerts/ways", Some(ways))
}

/// What a look at the thresholds finds that was not told.
fn check(site: &Site) -> Vec<String> {
    let look = CheckThresholds { ways: vec![Way::Webhook], id: uuid::Uuid::new_v4() };
    site.app().context().store.writer().submit_blocking(look).expect("looked").into_iter().map(|alert| alert.kind).collect()
}

fn history(site: &Site) -> Vec<String> {
    let told = site.admin_get("alerts/history");
    told.as_array().expect("a list").iter().map(|row| row["alert"]["kind"].as_str().expect("a kind").to_owned()).collect()
}

fn way(site: &Site, name: &str) -> Value {
    let answer = site.admin_get("alerts");
    answer["ways"].as_array().expect("ways").iter().find(|way| way["way"] == name).cloned().expect("the way is listed")
}

/// Waits until nothing is on its way: a clock that leaps meanwhile would make it late.
fn settled(site: &Site, name: &str) {
    until("nothing waits", 20, || (way(site, name)["waiting"] == json!(0)).then_some(()));
}

fn test(site: &Site, name: &str) -> Value {
    site.admin(Method::Post, "alerts/test", Some(json!({"way": name})))[0].clone()
}

fn authorized(site: &Site, count: usize) -> Vec<Device> {
    let mut devices: Vec<_> = (0..count).map(|_| site.device("216998-100")).collect();
    for device in &mut devices {
        device.authorize().expect("authorized");
    }
    devices
}

fn release(site: &Site, device: &Device) {
    site.admin(Method::Delete, &format!("devices/{}/seats/1", device.client), None);
}

/// A device item with ten seats, all of which the admin may release.
fn seats() -> LicenseItem {
    Vendor::item(json!({"item_id": 1, "product": "dbr", "charge_way": "device", "period": "quarter", "quota": 10, "release_allowance": 100}))
}

fn mail_to(server: &MailServer, authority: &Authority, user: &str) -> Value {
    json!({
        "on": true, "host": "127.0.0.1", "port": server.port, "security": "starttls", "user": user, "ca_pem": authority.ca_pem,
        "from": "Lizenz Süd <license@plant.example>", "to": "Anna <anna@plant.example>; bert@plant.example", "bcc": "night@plant.example",
    })
}

#[test]
fn every_threshold_is_told_once_per_crossing() {
    let (site, _) = Site::licensed(vec![seats()]);
    let mut devices = authorized(&site, 6);
    // The server looks by itself, and then not again while the clock stands still.
    site.clock.advance_seconds(600);
    until("the server looks", 20, || (history(&site) == ["seats_60_percent"]).then_some(()));
    assert_eq!(check(&site), [""; 0], "it was told");
    devices.extend(authorized(&site, 1));
    assert_eq!(check(&site), [""; 0], "70 % is still the same threshold");
    devices.extend(authorized(&site, 3));
    assert_eq!(check(&site), ["seats_100_percent"], "two thresholds at once are one alert");
    for device in devices.drain(..5) {
        release(&site, &device);
    }
    assert_eq!(check(&site), [""; 0], "it fell to 50 %");
    devices.extend(authorized(&site, 1));
    assert_eq!(check(&site), ["seats_60_percent"], "and is crossed again");
    site.admin(Method::Patch, "settings", Some(json!({"alert_thresholds": {"seats": [55, 90]}})));
    assert_eq!(check(&site), [""; 0], "a lower threshold than the one that was told is no news");
    assert_eq!(history(&site), ["seats_60_percent", "seats_100_percent", "seats_60_percent"]);
}

#[test]
fn all_news_goes_into_one_signed_message_every_ten_minutes() {
    let item = LicenseItem { valid_to: chrono_at(crate::support::NOON + 30 * 86_400 + 300), ..seats() };
    let (site, _) = Site::licensed(vec![item]);
    let hook = Webhook::start();
    set(&site, hook.settings());
    assert_eq!(site.admin_get("settings")["alert_check_minutes"], json!(10));
    authorized(&site, 8);
    site.clock.advance_seconds(599);
    assert_eq!(hook.posted().len(), 0, "not before ten minutes are over");
    site.clock.advance_seconds(1);
    let posted = hook.wait_for(1).remove(0);
    assert_eq!(posted.kinds(), ["seats_80_percent", "ends_in_30_days"]);
    let told = posted.json();
    assert_eq!((&told["test"], &told["made_at"]), (&json!(false), &json!("2026-11-22T12:10:00Z")));
    assert_eq!((&told["alerts"][0]["item_id"], &told["alerts"][0]["severity"]), (&json!(1), &json!("warning")));
    is_signed(&posted, "open sesame");
    assert!(posted.head.starts_with("POST /hook?from=tollkeeper HTTP/1.1\r\n"), "{}", posted.head);
    settled(&site, "webhook");
    // The same figures are no news at the next look; the next threshold is.
    site.clock.advance_seconds(600);
    authorized(&site, 2);
    site.admin(Method::Patch, "settings", Some(json!({"alert_check_minutes": 1})));
    site.clock.advance_seconds(60);
    assert_eq!(hook.wait_for(2).iter().flat_map(Posted::kinds).collect::<Vec<_>>(), ["seats_80_percent", "ends_in_30_days", "seats_100_percent"]);
    until("the way knows", 20, || (way(&site, "webhook")["answer"] == "status 204").then_some(()));
}

/// How much what doctor says of the ways out presses, and what it says.
fn doctor(site: &Site) -> (String, String) {
    let answer = site.admin_get("doctor");
    let finding = answer["findings"].as_array().expect("findings").iter().find(|finding| finding["area"] == "alerts").expect("alerts");
    let text = |name: &str| finding[name].as_str().expect("a text").to_owned();
    (text("level"), text("text"))
}

fn chrono_at(seconds: i64) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp(seconds, 0).expect("a time")
}

fn is_signed(posted: &Posted, secret: &str) {
    let timestamp = posted.header("tollkeeper-timestamp").expect("a time");
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, &[timestamp.as_bytes(), b".", &posted.body].concat());
    let expected: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(posted.header("tollkeeper-signature"), Some(format!("sha256={expected}").as_str()));
}

#[test]
fn a_message_waits_through_a_restart_and_is_tried_again_with_growing_pauses() {
    let (mut site, _) = Site::licensed(vec![seats()]);
    let hook = Webhook::start();
    hook.answer_with(503);
    set(&site, hook.settings());
    authorized(&site, 6);
    site.clock.advance_seconds(600);
    hook.wait_for(1);
    until("the failure is known", 20, || (way(&site, "webhook")["failed_at"] != Value::Null).then_some(()));
    let failing = way(&site, "webhook");
    assert_eq!(failing["waiting"], json!(1), "{failing}");
    assert!(failing["error"].as_str().expect("an error").ends_with("answered with status 503: not now"), "{failing}");
    assert_eq!(doctor(&site), ("error".to_owned(), "by webhook: 1 wait, the last could not be sent at 2026-11-22T12:10:00Z".to_owned()));
    site.clock.advance_seconds(29);
    assert_eq!(hook.posted().len(), 1);
    site.clock.advance_seconds(1);
    hook.wait_for(2);
    until("the second failure is known", 20, || (way(&site, "webhook")["failed_at"] == "2026-11-22T12:10:30Z").then_some(()));
    site.restart();
    assert_eq!(way(&site, "webhook")["waiting"], json!(1), "it survives");
    site.clock.advance_seconds(59);
    assert_eq!(hook.posted().len(), 2, "the second pause is a minute");
    hook.answer_with(200);
    site.clock.advance_seconds(1);
    let posted = hook.wait_for(3);
    assert_eq!(posted[0].json()["id"], posted[2].json()["id"], "the same message");
    settled(&site, "webhook");
    let (level, text) = doctor(&site);
    assert!(level == "ok" && text.ends_with("answered \"status 200\""), "{text}");
    assert_eq!(history(&site), ["seats_60_percent"], "one crossing, whoever was restarted");
}

#[test]
fn a_message_that_nobody_takes_is_given_up_after_a_day_and_the_history_says_so() {
    let (site, _) = Site::licensed(vec![seats()]);
    let hook = Webhook::start();
    hook.answer_with(500);
    set(&site, hook.settings());
    authorized(&site, 6);
    site.clock.advance_seconds(600);
    hook.wait_for(1);
    until("the failure is known", 20, || (way(&site, "webhook")["failed_at"] != Value::Null).then_some(()));
    site.clock.advance_seconds(86_400);
    hook.wait_for(2);
    until("it is given up", 20, || (way(&site, "webhook")["waiting"] == json!(0)).then_some(()));
    let told = site.admin_get("alerts/history");
    let given_up = &told[0]["alert"];
    assert_eq!((&given_up["kind"], &given_up["severity"], &given_up["about"]), (&json!("webhook_given_up"), &json!("urgent"), &json!("server")), "{told}");
    assert!(given_up["text"].as_str().expect("a text").contains("given up after 2 tries"), "{told}");
}

#[test]
fn of_two_servers_the_one_that_serves_tells_and_a_failover_tells_nothing_twice() {
    let lines = [Line::new(), Line::new()];
    let mut a = Site::with_settings(|settings| settings.server_urls = vec![lines[0].url()]);
    lines[0].lead_to(a.app().https_addresses()[0]);
    a.restart();
    lines[0].lead_to(a.app().https_addresses()[0]);
    let vendor = a.trust(Vendor::new());
    let mut b = Site::beside(&a, |settings| settings.server_urls = vec![lines[1].url()]);
    lines[1].lead_to(b.app().https_addresses()[0]);
    let invitation = a.admin(Method::Post, "standby/invite", None);
    b.admin(Method::Post, "standby/join", Some(json!({"url": lines[0].url(), "token": invitation["token"]})));
    until("the copy", 60, || (b.admin_get("standby")["joining"]["step"] == json!("done")).then_some(()));
    b.restart();
    lines[1].lead_to(b.app().https_addresses()[0]);
    let serves = |site: &Site| site.admin_get("standby")["this"]["serving"] == json!(true);
    let go_on = |sites: &[&Site], seconds: i64| {
        for _ in 0..seconds {
            a_clock(sites).advance_seconds(1);
            for site in sites {
                let keeper = &site.app().context().keeper;
                keeper.tick();
                keeper.tell_when_due();
                keeper.sync_when_due();
            }
        }
    };
    until("they settle", 60, || {
        go_on(&[&a, &b], 1);
        (serves(&a) && !serves(&b)).then_some(())
    });
    a.import(&vendor, 100, "216998", vec![seats()]);
    let hook = Webhook::start();
    set(&a, hook.settings());
    let mut devices = authorized(&a, 6);
    a.admin(Method::Post, "standby/sync", None);
    go_on(&[&a, &b], 601);
    hook.wait_for(1);
    settled(&a, "webhook");
    a.admin(Method::Post, "standby/sync", None);
    assert_eq!(history(&b), ["seats_60_percent"], "the standby knows what was told");
    // The secret opens on the standby too, which may send a test although it does not serve.
    assert_eq!(test(&b, "webhook")["ok"], json!(true));
    is_signed(&hook.wait_for(2)[1], "open sesame");
    assert_eq!(b.try_admin(Method::Patch, "alerts/ways", Some(json!({"syslog": {"on": false}}))).status, 409, "what is set is set on the primary");

    a.break_down();
    until("the standby serves", 60, || {
        go_on(&[&b], 1);
        serves(&b).then_some(())
    });
    // It looks every few seconds.
    go_on(&[&b], 6);
    let partner = hook.wait_for(3).remove(2);
    assert_eq!(partner.kinds(), ["partner_silent"], "the standby tells by itself what it notices");
    settled(&b, "webhook");
    for device in &mut devices {
        device.transport = b.anonymous().clone();
        device.authorize().expect("the standby serves");
    }
    for _ in 0..2 {
        let mut device = b.device("216998-100");
        device.authorize().expect("authorized");
    }
    go_on(&[&b], 601);
    let posted = hook.wait_for(4);
    assert_eq!(posted[3].kinds(), ["seats_80_percent"], "only what is new");
    assert_eq!(hook.posted().len(), 4);
}

fn a_clock<'s>(sites: &[&'s Site]) -> &'s tollkeeper::clock::ManualClock {
    &sites[0].clock
}

#[test]
fn mail_is_sent_by_starttls_with_a_login_to_everybody() {
    let (site, _) = Site::licensed(vec![seats()]);
    let authority = Authority::in_directory(site.dir.path(), 1_790_000_000);
    let mut server = MailServer::with_login(&authority, "tollkeeper", PASSWORD);
    let mail = mail_to(&server, &authority, "tollkeeper");
    let answer = set(&site, json!({"mail": mail, "mail_password": PASSWORD}));
    assert_eq!((&answer["has_mail_password"], &answer["mail"]["user"]), (&json!(true), &json!("tollkeeper")));
    let tested = test(&site, "mail");
    assert_eq!(tested, json!({"way": "mail", "ok": true, "answer": "250 2.0.0 taken as number 7"}));

    site.admin(Method::Patch, "settings", Some(json!({"site_name": "Werk Süd"})));
    authorized(&site, 10);
    site.clock.advance_seconds(600);
    let mails = until("the mail", 30, || Some(server.mails()).filter(|mails| mails.len() == 2));
    let told = &mails[1];
    assert_eq!(told["to"], json!(["anna@plant.example", "bert@plant.example", "night@plant.example"]));
    assert_eq!((&told["from"], &told["user"], &told["encrypted"]), (&json!("license@plant.example"), &json!("tollkeeper"), &json!(true)));
    let text = told["text"].as_str().expect("text");
    for part in ["To: Anna <anna@plant.example>, bert@plant.example\r\n", "Auto-Submitted: auto-generated\r\n", "10 of 10 seats", "Subject: "] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(!text.contains("night@"), "{text}");

    // One mailbox that is no more does not keep the others from hearing.
    server.behave(&json!({"refuse": "bert@plant.example"}));
    let tested = test(&site, "mail");
    let answer = tested["answer"].as_str().expect("an answer");
    assert_eq!(tested["ok"], json!(true));
    assert!(answer.contains("anna@plant.example: 250 2.0.0") && answer.contains("bert@plant.example: permanent error (550)"), "{answer}");
    assert!(answer.contains("no such mailbox"), "{answer}");
    let heard: Vec<_> = server.mails()[2..].iter().map(|mail| mail["to"].clone()).collect();
    assert_eq!(heard, [json!(["anna@plant.example"]), json!(["night@plant.example"])]);

    // The secret is nowhere to be seen.
    let settings = site.admin_get("alerts/ways").to_string();
    let audit = site.admin_get("audit").to_string();
    assert!(audit.contains("alert_mail") && audit.contains("with a new secret") && audit.contains("alert_tested"), "{audit}");
    assert!(![settings, audit].concat().contains(PASSWORD));
    site.app().context().store.reader().expect("a reader").execute_batch("SELECT 1").expect("it reads");
    for file in ["tollkeeper.db", "tollkeeper.db-wal"] {
        let bytes = std::fs::read(site.data().join(file)).unwrap_or_default();
        assert!(!bytes.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes()), "{file} holds the password in clear");
    }
}

#[test]
fn what_the_mail_server_says_is_told_as_it_is() {
    let (site, _) = Site::licensed(vec![seats()]);
    let authority = Authority::in_directory(site.dir.path(), 1_790_000_000);
    let mut server = MailServer::with_login(&authority, "tollkeeper", PASSWORD);
    let failed = |site: &Site| {
        let tested = test(site, "mail");
        assert_eq!(tested["ok"], json!(false), "{tested}");
        tested["answer"].as_str().expect("an answer").to_owned()
    };
    set(&site, json!({"mail": mail_to(&server, &authority, "tollkeeper"), "mail_password": "wrong"}));
    let answer = failed(&site);
    assert!(answer.contains("(535)") && !answer.contains("wrong"), "{answer}");
    set(&site, json!({"mail_password": PASSWORD}));
    server.behave(&json!({"answer": "451 4.3.0 greylisted, come back"}));
    assert_eq!(failed(&site), "transient error (451): 4.3.0 greylisted, come back");
    server.behave(&json!({}));
    let other = SiteAuthorityPem::other();
    let mut untrusted = mail_to(&server, &authority, "tollkeeper");
    untrusted["ca_pem"] = json!(other.0);
    set(&site, json!({"mail": untrusted}));
    assert!(failed(&site).contains("UnknownIssuer"), "{}", failed(&site));
    let mut unencrypted = mail_to(&server, &authority, "");
    unencrypted["security"] = json!("none");
    set(&site, json!({"mail": unencrypted}));
    assert!(failed(&site).contains("(530)"), "a server that wants STARTTLS says so");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let mut nobody = mail_to(&server, &authority, "");
    nobody["port"] = json!(closed);
    set(&site, json!({"mail": nobody}));
    assert!(failed(&site).contains("refused"), "{}", failed(&site));
    assert!(server.mails().is_empty());
}

/// An authority that nobody's certificate is from.
struct SiteAuthorityPem(String);

impl SiteAuthorityPem {
    fn other() -> Self {
        Self(tollkeeper::http::tls::SiteAuthority::create("other", 1_790_000_000).expect("an authority").ca_pem.clone())
    }
}

#[test]
fn a_mail_server_that_never_answers_delays_neither_other_ways_nor_the_end() {
    let (mut site, _) = Site::licensed(vec![seats()]);
    let authority = Authority::in_directory(site.dir.path(), 1_790_000_000);
    let [cert, key] = authority.files.each_ref().map(|path| path.to_str().expect("a path"));
    let mut server = MailServer::start(&["--tls", cert, key]);
    server.behave(&json!({"stall": true}));
    let hook = Webhook::start();
    let mut mail = mail_to(&server, &authority, "");
    mail["security"] = json!("tls");
    let mut ways = hook.settings();
    ways["mail"] = mail;
    set(&site, ways);
    authorized(&site, 6);
    site.clock.advance_seconds(600);
    hook.wait_for(1);
    settled(&site, "webhook");
    assert_eq!(way(&site, "mail")["waiting"], json!(1));
    let began = std::time::Instant::now();
    site.restart();
    assert!(began.elapsed().as_secs() < 7, "the stop waited for the mail server: {:?}", began.elapsed());
    server.behave(&json!({}));
    let mails = until("the mail", 40, || {
        // Its first try may have failed by now, and waits for its second.
        site.clock.advance_seconds(1);
        Some(server.mails()).filter(|mails| !mails.is_empty())
    });
    assert_eq!((&mails[0]["encrypted"], &mails[0]["to"][0]), (&json!(true), &json!("anna@plant.example")));
    assert_eq!(hook.posted().len(), 1, "the webhook had its message");
}

#[test]
fn syslog_goes_by_udp_tcp_and_tls() {
    let (site, _) = Site::licensed(vec![seats()]);
    let authority = Authority::in_directory(site.dir.path(), 1_790_000_000);
    let servers = [("udp", LogServer::udp()), ("tcp", LogServer::tcp(None)), ("tls", LogServer::tcp(Some(&authority)))];
    for (transport, server) in &servers {
        set(&site, json!({"syslog": {"on": true, "host": "127.0.0.1", "port": server.port, "transport": transport, "ca_pem": authority.ca_pem}}));
        assert_eq!(test(&site, "syslog")["ok"], json!(true), "{transport}");
        let text = server.next();
        let line = if *transport == "udp" { text.as_str() } else { text.split_once(' ').expect("its length").1 };
        assert!(line.starts_with("<29>1 2026-11-22T12:00:00Z ") && line.contains(" tollkeeper - test [tollkeeper@32473 server="), "{line}");
        if *transport != "udp" {
            assert_eq!(text.split_once(' ').expect("its length").0, line.len().to_string());
        }
    }
    authorized(&site, 10);
    site.clock.advance_seconds(600);
    let told = servers[2].1.next();
    assert!(told.contains("<26>1 ") && told.contains(" item=\"1\"") && told.contains("\u{feff}Item 1 (device): 10 of 10 seats"), "{told}");
}

#[test]
fn trouble_is_told_once_as_long_as_it_lasts() {
    let (site, _) = Site::licensed(vec![seats()]);
    let hook = Webhook::start();
    set(&site, hook.settings());
    let exceptions = &site.app().context().exceptions;
    exceptions.raise(Trouble::Backup, site.now(), "no backup can be made: the disk is full");
    site.clock.advance_seconds(5);
    assert_eq!(hook.wait_for(1)[0].kinds(), ["backup_failing"]);
    // Other words for the same trouble are no news, nor is trouble that went and came back at once.
    exceptions.raise(Trouble::Backup, site.now(), "no backup can be made: the disk is still full");
    exceptions.raise(Trouble::Journal, site.now(), "the journal cannot be read");
    site.clock.advance_seconds(5);
    assert_eq!(hook.wait_for(2)[1].kinds(), ["journal_broken"]);
    exceptions.clear(Trouble::Backup);
    exceptions.raise(Trouble::Sync, site.now(), "facts cannot be taken from the partner");
    site.clock.advance_seconds(5);
    assert_eq!(hook.wait_for(3)[2].kinds(), ["sync_failing"]);
    exceptions.raise(Trouble::Backup, site.now(), "no backup can be made: the disk is full again");
    exceptions.raise(Trouble::Clock, site.now(), "the clocks of the two servers are 2 minutes apart");
    site.clock.advance_seconds(5);
    assert_eq!(hook.wait_for(4)[3].kinds(), ["clocks_apart"]);
    settled(&site, "webhook");
    site.clock.advance_seconds(600);
    assert_eq!(hook.wait_for(5)[4].kinds(), ["backup_failing"], "it is told when it lasts");
    let told = &site.admin_get("alerts/history")[0]["alert"];
    assert_eq!(told["text"], "No backup can be made: the disk is full again.");
}

#[test]
fn trouble_reaches_a_webhook_within_thirty_seconds() {
    let desk = Desk::licensed();
    let hook = Webhook::start();
    let backups = desk.path().join("data/backups");
    let server = desk.serve();
    let admin = tollkeeper::client::transport::Transport::unix(desk.path().join("data/admin.sock"));
    let answer = admin.request(Method::Patch, "/api/v1/admin/alerts/ways", Some(&hook.settings())).expect("answered");
    assert!(answer.is_success(), "{}", String::from_utf8_lossy(&answer.body));
    assert!(server.terminate().success());
    // A file in the place of the directory: no backup can be made, whoever tries.
    std::fs::remove_dir_all(&backups).expect("removed");
    std::fs::write(&backups, "in the way").expect("written");
    let server = desk.serve();
    let noticed = until("the log tells", 60, || server.log().contains("backup_failing").then(std::time::Instant::now));
    let posted = until("the message", 60, || hook.posted().first().cloned());
    let seconds = noticed.elapsed().as_secs_f64();
    assert_eq!(posted.kinds(), ["backup_failing"]);
    assert!(seconds <= 30.0, "{seconds} s from the exception to the message");
    let list = desk.done(&["alert", "list"]);
    assert!(list.contains("urgent   server  No backup can be made"), "{list}");
    assert!(server.terminate().success());
}

#[test]
fn the_command_line_lists_and_tests() {
    let desk = Desk::licensed();
    assert_eq!(desk.done(&["alert", "list"]), "All is well: nothing is over a threshold.\n");
    assert_eq!(desk.done(&["alert", "list", "--history"]), "Nothing was told yet.\n");
    let refused = desk.refused(&["alert", "test"]);
    assert!(refused.contains("no way for alerts is switched on"), "{refused}");
    let hook = Webhook::start();
    let server = desk.serve();
    let admin = tollkeeper::client::transport::Transport::unix(desk.path().join("data/admin.sock"));
    admin.request(Method::Patch, "/api/v1/admin/alerts/ways", Some(&hook.settings())).expect("answered");
    assert_eq!(desk.done(&["alert", "test", "--way", "webhook"]), "webhook: status 204\n");
    assert!(server.terminate().success());
    hook.answer_with(403);
    let refused = desk.refused(&["alert", "test"]);
    assert!(refused.contains("the test by webhook failed: http://127.0.0.1") && refused.contains("status 403: not now"), "{refused}");
    assert_eq!(tollkeeper(&["alert", "test", "--way", "pigeon"]).output().expect("runs").status.code(), Some(2));
}

#[test]
fn wrong_settings_are_refused_with_their_field() {
    let (site, _) = Site::licensed(vec![seats()]);
    let cases = [
        (json!({"mail": {"on": true, "host": "mail", "from": "license@plant.example", "to": "anna@plant.example; bert"}}), "mail_to", "'bert'"),
        (json!({"mail": {"on": true, "host": "http://mail", "from": "license@plant.example", "to": "anna@plant.example"}}), "mail_host", "write only that"),
        (json!({"webhook": {"on": true, "url": "alerts.plant.example"}}), "webhook_url", "write it as https://"),
        (json!({"syslog": {"on": true}}), "syslog_host", "is missing"),
        (json!({"webhook": {"ca_pem": "nonsense"}}), "webhook_ca_pem", "is no certificate"),
        (json!({"mail_password": "x".repeat(300)}), "mail_password", "at most 256 bytes"),
    ];
    for (body, field, told) in cases {
        let reply = site.try_admin(Method::Patch, "alerts/ways", Some(body));
        let problem: Value = reply.json().expect("a problem");
        assert_eq!((reply.status, &problem["field"]), (400, &json!(field)), "{problem}");
        assert!(problem["detail"].as_str().expect("a detail").contains(told), "{problem}");
    }
    let connection = Connection::open_with_flags(site.data().join("tollkeeper.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens");
    let kept: i64 = connection.query_row("SELECT COUNT(*) FROM preferences WHERE name LIKE 'alert_%'", [], |row| row.get(0)).expect("counted");
    assert_eq!(kept, 0, "nothing of it is kept");
}
