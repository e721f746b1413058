//! Every sentence with a number in domain §3, §4 and §5, beside what the engine makes of it.

use serde_json::{Value, json};
use tollkeeper::documents::License;
use tollkeeper::licensing::charging::{SlotState, pick_slot};
use tollkeeper::licensing::item::{VALIDITY_MAX, VALIDITY_MIN};
use tollkeeper::licensing::slot::{REPORT_MAX_AGE_SECONDS, SLOT_SECONDS, SlotError};
use tollkeeper::licensing::{HandshakeCode, LicenseItem, Period, Slot, Span, grace, seat};
use tollkeeper::protocol::{REPORT_INTERVAL_SECONDS, REPORTS_MAX};

use crate::support::{NOON, Vendor};

const DAY: i64 = 86_400;

fn item(fields: Value) -> LicenseItem {
    let mut whole = json!({"item_id": 1, "product": "dbr"});
    whole.as_object_mut().expect("object").extend(fields.as_object().expect("fields").clone());
    Vendor::item(whole)
}

fn counted(way: &str, quota: u64) -> LicenseItem {
    let mut fields = json!({"charge_way": way, "quota": quota});
    if way == "device" {
        fields["period"] = json!("quarter");
    }
    item(fields)
}

fn lasts(period: &str) -> i64 {
    let item = item(json!({"charge_way": "device", "period": period, "quota": 1, "valid_to": "2099-01-01T00:00:00Z"}));
    (seat::active_until(&item, NOON).expect("a seat") - NOON) / DAY
}

fn with_validity(validity: &str) -> bool {
    item(json!({"charge_way": "scan", "quota": 1, "local_license_validity": validity})).validate().is_ok()
}

fn is_code(custom: &str) -> bool {
    format!("216998-{custom}").parse::<HandshakeCode>().is_ok()
}

/// What slot-uses are charged to the tolerance when so many are active.
fn excess(active: u64, quota: u64) -> u64 {
    active.saturating_sub(quota)
}

#[test]
fn every_sentence_with_a_number_holds() {
    let scan = counted("scan", 100);
    let end = scan.valid_to.timestamp();
    let table: Vec<(&str, Value, Value)> = vec![
        // §1, §3
        (
            "custom string of 1 to 64 of [A-Za-z0-9._-]",
            json!([is_code(""), is_code("a"), is_code(&"x".repeat(64)), is_code(&"x".repeat(65)), is_code("Az0._-"), is_code("a b")]),
            json!([false, true, true, false, true, false]),
        ),
        ("validity is from 3 minutes …", json!([VALIDITY_MIN.to_string(), with_validity("3m"), with_validity("2m")]), json!(["3m", true, false])),
        ("… to 365 days", json!([VALIDITY_MAX == Span::days(365), with_validity("365d"), with_validity("366d")]), json!([true, true, false])),
        // §4, periods
        ("year 365 d", json!([lasts("year"), Period::Year.seconds()]), json!([365, 365 * DAY])),
        ("quarter 90 d", json!([lasts("quarter"), Period::Quarter.seconds()]), json!([90, 90 * DAY])),
        ("month 30 d", json!([lasts("month"), Period::Month.seconds()]), json!([30, 30 * DAY])),
        ("day 24 h", json!([lasts("day"), Period::Day.seconds()]), json!([1, 24 * 3_600])),
        // §4, grace
        ("scan: round(5 % of quota)", json!([100, 90, 29, 9].map(|quota| grace::units(&counted("scan", quota)))), json!([5, 5, 1, 0])),
        ("page: round(5 % of quota)", json!([5_000, 50, 49].map(|quota| grace::units(&counted("page", quota)))), json!([250, 3, 2])),
        ("device: round(10 % of quota) new devices", json!([200, 15, 14, 4].map(|quota| grace::units(&counted("device", quota)))), json!([20, 2, 1, 0])),
        ("server: round(10 % of quota)", json!([10, 5, 4].map(|quota| grace::units(&counted("server", quota)))), json!([1, 1, 0])),
        (
            "concurrent: a tolerance of 1000 x quota",
            json!([1, 10].map(|quota| grace::tolerance(&counted("concurrent_device", quota), 0))),
            json!([1_000, 10_000]),
        ),
        (
            "growth: quota x 10 a day since the item began",
            json!([0, 1, 30].map(|days| {
                let item = counted("concurrent_instance", 10);
                grace::tolerance(&item, item.starts_at() + days * DAY)
            })),
            json!([10_000, 10_100, 13_000]),
        ),
        ("7 days after the item's end", json!([grace::end_at(&scan) - end, grace::DAYS]), json!([7 * DAY, 7])),
        ("excess of a slot = max(0, active in slot - quota)", json!([excess(100, 10), excess(10, 10), excess(3, 10)]), json!([90, 0, 0])),
        ("10 instances, 10 servers x 10: 112 slots", json!(10_000u64.div_ceil(excess(100, 10))), json!(112)),
        (
            "a report counts where its slot has room",
            json!(pick_slot(&[(1, 9), (0, 0)].map(|(active, tolerance_left)| SlotState { quota: 1, active, of_machine: 0, wanted: 1, tolerance_left }))),
            json!(1),
        ),
        // §5
        ("the day has 480 fixed slots of 3 minutes", json!([DAY / SLOT_SECONDS, SLOT_SECONDS]), json!([480, 180])),
        (
            "[00:00:00, 00:03:00), [00:03:00, 00:06:00)",
            json!([0, 179, 180, 359].map(|second| Slot::containing(NOON - NOON % DAY + second).start() % DAY)),
            json!([0, 0, 180, 180]),
        ),
        ("reports its use every 3 minutes", json!(REPORT_INTERVAL_SECONDS), json!(180)),
        (
            "slots older than 30 days are refused",
            json!([REPORT_MAX_AGE_SECONDS, i64::from(Slot::containing(NOON).check(NOON + 31 * DAY) == Err(SlotError::TooOld))]),
            json!([30 * DAY, 1]),
        ),
        (
            "slots in the future are refused",
            json!([Slot::containing(NOON).check(NOON).is_ok(), Slot::containing(NOON).check(NOON - 1).is_ok()]),
            json!([true, false]),
        ),
        ("at most 1,000 reports a request", json!(REPORTS_MAX), json!(1_000)),
    ];
    for (sentence, found, expected) in table {
        assert_eq!(found, expected, "{sentence}");
    }
}

#[test]
fn a_certificate_covers_its_items_to_the_end_of_their_grace() {
    // 7 days after the end a device may still be authorized, so the server must still be able to sign.
    let vendor = Vendor::new();
    let license: License = vendor.new_license(1, "216998", vec![counted("scan", 1)], NOON);
    let site = crate::support::Site::empty();
    let request = tollkeeper::documents::ActivationRequest::parse(&site.admin_get_text("request")).expect("request");
    let activated = license.activate(&vendor.key, &request.servers, NOON).expect("activated");
    let text = &activated.servers[0].certificate;
    let certificate = tollkeeper::documents::ServerCertificate::verify(text, std::slice::from_ref(vendor.key.verifying_key())).expect("certificate");
    assert_eq!(certificate.not_after.timestamp(), grace::end_at(&activated.items[0]));
}
