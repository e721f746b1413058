//! The statistics of a known history, down to the last number (domain §6).

use serde_json::{Value, json};
use tollkeeper::client::transport::Method;

use crate::support::{Device, NOON, Site, Vendor};

const DAY: i64 = 86_400;

/// Three devices on two days. 22 November 2026: A does 5 in one slot and 2 in another, B 3 in the
/// first of them. 23 November: B does 4, C 10. A stranger is refused once on the first day.
fn history() -> (Site, Vec<Device>) {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    site.import(&vendor, 101, "216998", vec![Vendor::page_item(2)]);
    let mut devices: Vec<Device> = (0..3).map(|_| site.device("216998-100")).collect();
    for device in &mut devices[..2] {
        device.authorize().expect("granted");
    }
    site.device("216998-100").authorize_with(json!({"product": "other"})).expect_err("refused");
    let first = NOON - 3_600;
    devices[0].report(&[devices[0].scans(first, json!({"QR Code": 4, "EAN-13": 1})), devices[0].scans(first + 180, json!({"QR Code": 2}))]).expect("taken");
    devices[1].report(&[devices[1].scans(first, json!({"QR Code": 3}))]).expect("taken");
    site.clock.advance_seconds(DAY);
    devices[2].authorize().expect("granted");
    devices[1].report(&[devices[1].scans(first + DAY, json!({"EAN-13": 4}))]).expect("taken");
    devices[2].report(&[devices[2].scans(first + DAY + 7_200 - 3_600, json!({"Code 128": 10}))]).expect("taken");
    (site, devices)
}

fn rows(site: &Site, path: &str) -> Vec<Value> {
    let answer = site.admin_get(path);
    answer.as_array().or_else(|| answer["rows"].as_array()).expect("rows").clone()
}

#[test]
fn days_have_the_numbers_of_their_history() {
    let (site, _) = history();
    for of in ["handshake=216998-100", "item=1", "handshake=216998-100&item=1"] {
        let days = rows(&site, &format!("statistics/days?{of}&from=2026-11-21&to=2026-11-23"));
        // Only the code knows how many were at work at once: the item does not count that.
        let peak = |number: u64| if of.contains("item") { 0 } else { number };
        assert_eq!(
            days,
            [
                json!({"day": "2026-11-21", "units": 0, "devices": 0, "new_devices": 0, "concurrent": 0}),
                json!({"day": "2026-11-22", "units": 10, "devices": 2, "new_devices": 2, "concurrent": peak(2)}),
                json!({"day": "2026-11-23", "units": 14, "devices": 2, "new_devices": 1, "concurrent": peak(1)}),
            ],
            "{of}"
        );
    }
    assert!(rows(&site, "statistics/days?item=2&from=2026-11-22&to=2026-11-23").iter().all(|day| day["units"] == 0));
    assert_eq!(rows(&site, "statistics/days").len(), 30, "the last 30 days, when nothing is said");
}

#[test]
fn a_day_in_detail_has_every_slot_device_authorization_and_report() {
    let (site, devices) = history();
    let details = |by: &str| rows(&site, &format!("statistics/details?handshake=216998-100&day=2026-11-22&by={by}"));
    let time = details("time");
    let find = |slot: &str| time.iter().find(|row| row["slot"] == slot).unwrap_or_else(|| panic!("{slot} in {time:?}"));
    assert_eq!(
        find("2026-11-22T11:00:00Z"),
        &json!({"slot": "2026-11-22T11:00:00Z", "by_type": {"QR Code": 7, "EAN-13": 1}, "devices": 2, "reports": 2, "granted": 0, "refused": 0})
    );
    assert_eq!(
        find("2026-11-22T11:03:00Z"),
        &json!({"slot": "2026-11-22T11:03:00Z", "by_type": {"QR Code": 2}, "devices": 1, "reports": 1, "granted": 0, "refused": 0})
    );
    assert_eq!(find("2026-11-22T12:00:00Z"), &json!({"slot": "2026-11-22T12:00:00Z", "by_type": {}, "devices": 0, "reports": 0, "granted": 2, "refused": 1}));
    assert_eq!(time.len(), 3);

    let mut of_devices: Vec<Value> =
        vec![json!({"client_uuid": devices[0].client, "units": 7, "reports": 2}), json!({"client_uuid": devices[1].client, "units": 3, "reports": 1})];
    of_devices.sort_by_key(|row| row["client_uuid"].as_str().map(str::to_owned));
    assert_eq!(details("device"), of_devices);

    let authorizations = details("authorizations");
    assert_eq!(authorizations.iter().map(|row| row["code"].as_u64()).collect::<Vec<_>>(), [Some(0), Some(0), Some(106)]);
    assert_eq!(authorizations[0]["client_uuid"], json!(devices[0].client));
    assert_eq!(authorizations[0]["items"], json!([1]));

    let reports = details("reports");
    assert_eq!(reports.len(), 3);
    assert_eq!(reports[2]["charges"], json!([{"item_id": 1, "counts": {"QR Code": 2}}]));
    assert!(rows(&site, "statistics/details?item=2&day=2026-11-22&by=reports").is_empty());
    assert!(rows(&site, "statistics/details?handshake=216998-100&day=2026-11-21&by=authorizations").is_empty());
}

#[test]
fn a_day_of_many_rows_comes_in_pages_and_as_one_file() {
    let (site, _) = Site::licensed(vec![Vendor::item(json!({"item_id": 1, "product": "dbr", "charge_way": "scan", "quota": 10_000}))]);
    for _ in 0..3 {
        let mut device = site.device("216998-100");
        device.authorize().expect("granted");
        let reports: Vec<Value> = (0..80).map(|n| device.scans(NOON - 180 * (n + 2), json!({"QR, \"Code\"": 1}))).collect();
        device.report(&reports).expect("taken");
    }
    let base = "statistics/details?handshake=216998-100&day=2026-11-22&by=reports";
    let (mut ids, mut after, mut pages) = (std::collections::BTreeSet::new(), String::new(), 0);
    loop {
        let answer = site.admin_get(&format!("{base}{after}"));
        let rows = answer["rows"].as_array().expect("rows");
        let mut slots: Vec<_> = rows.iter().map(|row| row["slot"].as_str().map(str::to_owned)).collect();
        assert!(slots.is_sorted());
        slots.clear();
        ids.extend(rows.iter().map(|row| row["report_id"].to_string()));
        pages += 1;
        match answer["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!((ids.len(), pages), (240, 3));
    let csv = site.admin_get_text(&format!("{base}&format=csv"));
    assert_eq!(csv.lines().count(), 241);
    assert!(csv.starts_with("report_id,slot,client_uuid,item_id,module,type,units,overuse\r\n"));
    assert!(csv.contains("\"QR, \"\"Code\"\"\",1,0\r\n"), "{}", &csv[..300]);
}

#[test]
fn what_cannot_be_shown_is_said() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    for (path, status, told) in [
        ("statistics/days?handshake=216998-none", 404, "does not exist"),
        ("statistics/days?item=77", 404, "item 77 is not installed"),
        ("statistics/days?from=2026-11-23&to=2026-11-22", 400, "later"),
        ("statistics/days?from=1900-01-01", 400, "days before"),
        ("statistics/details?day=yesterday", 400, "day"),
        ("statistics/details?day=2026-11-22&by=moon", 400, "by"),
        ("statistics/details?day=2026-11-22&format=xml", 400, "csv"),
    ] {
        let reply = site.try_admin(Method::Get, path, None);
        let body = String::from_utf8_lossy(&reply.body);
        assert_eq!(reply.status, status, "{path}: {body}");
        assert!(body.contains(told), "{path}: {body}");
    }
}

#[test]
fn removing_an_item_from_a_code_keeps_its_history() {
    let (site, _) = history();
    let before = rows(&site, "statistics/days?handshake=216998-100&from=2026-11-22&to=2026-11-23");
    site.admin(Method::Patch, "handshakes/216998-100", Some(json!({"items": []})));
    assert_eq!(rows(&site, "statistics/days?handshake=216998-100&from=2026-11-22&to=2026-11-23"), before);
    site.admin(Method::Delete, "handshakes/216998-100", None);
    assert_eq!(rows(&site, "statistics/days?item=1&from=2026-11-22&to=2026-11-23")[0]["units"], 10);
}
