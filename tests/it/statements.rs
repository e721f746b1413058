//! Usage statements: what the vendor can prove from them (domain §6).

use chrono::{DateTime, NaiveDate};
use serde_json::{Value, json};
use tollkeeper::client::transport::Method;
use tollkeeper::documents::usage_statement::{StatementFile, UsageStatement};
use tollkeeper::documents::{Finding, compare};

use crate::support::{Site, Vendor};

const DAY: i64 = 86_400;

fn today(site: &Site) -> NaiveDate {
    DateTime::from_timestamp(site.now(), 0).expect("time").date_naive()
}

/// A statement from this many days ago to today, as the vendor reads it.
fn statement(site: &Site, vendor: &Vendor, days: i64) -> UsageStatement {
    let from = today(site) - chrono::Duration::days(days);
    let answer = site.admin(Method::Post, "statistics/statements", Some(json!({"from": from, "to": today(site)})));
    let file = StatementFile::parse(answer["file"].as_str().expect("a file")).expect("armored");
    let (statement, certificate) = file.verify_chain(std::slice::from_ref(vendor.key.verifying_key())).expect("the vendor's chain");
    assert_eq!(certificate.server_uuid, statement.server_uuid);
    statement
}

fn failures(findings: &[Finding]) -> Vec<&str> {
    findings.iter().filter(|finding| finding.is_failure).map(|finding| finding.text.as_str()).collect()
}

#[test]
fn statements_follow_each_other_and_whatever_is_missing_between_them_is_named() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1), Vendor::device_item(2)]);
    let mut device = site.device("216998-100");
    device.authorize_with(json!({"charge_way": "scan"})).expect("authorized");
    let report = |device: &crate::support::Device, counts: Value| drop(device.report(&[device.scans(site.now() - 600, counts)]).expect("taken"));
    report(&device, json!({"QR Code": 12, "EAN-13": 3}));
    let first = statement(&site, &vendor, 7);
    let item = first.items.iter().find(|item| item.item_id.0 == 1).expect("listed");
    assert_eq!((item.in_period["QR Code"], item.in_period["EAN-13"], item.total, item.quota), (12, 3, 15, 100));
    assert_eq!(first.previous, None);
    assert_eq!(failures(&compare(None, &first)), [""; 0]);

    // A week later.
    site.clock.advance_seconds(7 * DAY);
    device.authorize_with(json!({"charge_way": "scan"})).expect("authorized");
    report(&device, json!({"QR Code": 5}));
    let second = statement(&site, &vendor, 6);
    assert_eq!(second.items.iter().find(|item| item.item_id.0 == 1).expect("listed").total, 20);
    assert_eq!(failures(&compare(Some(&first), &second)), [""; 0]);
    assert!(second.head.sequence > first.head.sequence);

    // One that is kept back, days that are left out, a journal that was rolled back.
    site.clock.advance_seconds(3 * DAY);
    let third = statement(&site, &vendor, 1);
    let gap = compare(Some(&second), &third);
    assert!(failures(&gap).iter().any(|text| text.contains("2026-11-30")), "{gap:?}");
    let kept_back = compare(Some(&first), &third);
    assert!(!failures(&kept_back).is_empty(), "the second is missing: {kept_back:?}");
    let mut forked = second.clone();
    forked.previous.as_mut().expect("a link").journal_hash = "0".repeat(64);
    assert!(!failures(&compare(Some(&first), &forked)).is_empty());
}

#[test]
fn a_statement_of_the_future_or_of_nobody_is_refused() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let ask = |from: &str, to: &str, organization: Value| {
        site.try_admin(Method::Post, "statistics/statements", Some(json!({"from": from, "to": to, "organization_id": organization}))).status
    };
    assert_eq!(ask("2026-11-22", "2026-11-22", Value::Null), 200);
    assert_eq!(ask("2026-11-22", "2026-11-23", Value::Null), 400);
    assert_eq!(ask("2026-11-22", "2026-11-21", Value::Null), 400);
    assert_eq!(ask("2026-11-01", "2026-11-21", json!("nobody")), 404);
    site.import(&vendor, 101, "acme", vec![Vendor::scan_item(9)]);
    assert_eq!(ask("2026-11-01", "2026-11-21", Value::Null), 400, "which of two?");
    assert_eq!(ask("2026-11-01", "2026-11-21", json!("acme")), 200);
}

#[test]
fn a_statement_that_cannot_be_signed_is_not_remembered_as_one() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let first = statement(&site, &vendor, 7);
    let reply = site.try_admin(Method::Post, "statistics/statements", Some(json!({"from": "1969-12-31", "to": "2026-11-22"})));
    assert_eq!((reply.status, reply.json::<Value>().expect("a problem")["field"].clone()), (400, json!("statement")));
    let second = statement(&site, &vendor, 0);
    assert_eq!(second.previous.expect("a link").statement_id, first.statement_id);
}

#[test]
fn each_vendor_gets_a_statement_of_its_own_items() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let other = site.trust(Vendor::new());
    site.import(&other, 101, "216998", vec![Vendor::scan_item(2)]);
    let ask = |vendor: Value| {
        let reply = site.try_admin(Method::Post, "statistics/statements", Some(json!({"from": "2026-11-01", "to": "2026-11-22", "vendor": vendor})));
        (reply.status, reply.json::<Value>().expect("JSON"))
    };
    let (status, problem) = ask(Value::Null);
    assert!(status == 400 && problem["detail"].as_str().expect("detail").contains(other.key.kid()), "{problem}");
    for (vendor, item) in [(&vendor, 1), (&other, 2), (&other, 2)] {
        let (status, answer) = ask(json!(vendor.key.kid()));
        assert_eq!(status, 200, "{answer}");
        let file = StatementFile::parse(answer["file"].as_str().expect("a file")).expect("armored");
        let (statement, _) = file.verify_chain(std::slice::from_ref(vendor.key.verifying_key())).expect("this vendor's chain");
        assert_eq!(statement.items.iter().map(|item| item.item_id.0).collect::<Vec<_>>(), [item]);
    }
}
