//! The vendor takes items back (domain §2.6).

use serde_json::{Value, json};
use tollkeeper::client::transport::Method;
use tollkeeper::documents::{Revocation, revocation};
use tollkeeper::licensing::{ItemId, LicenseId};

use crate::error_codes::{ask, granted, refused};
use crate::support::{Site, Vendor};

/// The vendor takes these items of license 100 back.
fn revocation_of(items: &[u64]) -> Revocation {
    Revocation {
        revocation_version: revocation::VERSION.to_owned(),
        license_id: LicenseId(100),
        organization_id: "216998".parse().expect("organization"),
        item_ids: items.iter().copied().map(ItemId).collect(),
        reason: "returned".to_owned(),
        issued_at: "2026-11-22T12:00:00Z".parse().expect("time"),
    }
}

#[test]
pub(crate) fn a_revoked_item_is_113_from_the_next_authorization_on() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let device = site.device("216998-100");
    granted(&ask(&device, json!({})));
    let revocation = revocation_of(&[1]);
    // Another vendor's word is not enough, even of one who is trusted here.
    let stranger = site.trust(Vendor::new());
    let import = |file: String| site.try_admin(Method::Post, "licenses", Some(json!({"file": file})));
    let refused_import = import(revocation.seal(&stranger.key));
    assert_eq!(refused_import.status, 409, "{}", String::from_utf8_lossy(&refused_import.body));
    let foreign = import(Revocation { item_ids: vec![ItemId(1), ItemId(9)], ..revocation.clone() }.seal(&vendor.key));
    assert_eq!(foreign.status, 409, "an item that is not there: all or nothing");
    granted(&ask(&device, json!({})));
    for was_installed in [false, true] {
        let answer: Value = import(revocation.seal(&vendor.key)).json().expect("JSON");
        assert_eq!(answer, json!({"license_id": 100, "revoked_items": [1], "was_installed": was_installed}));
    }
    refused(&ask(&device, json!({})), 113);
    assert_eq!((&site.item(1)["status"], &site.item(1)["revoked"]), (&json!("revoked"), &json!("returned")));
}

#[test]
fn a_revocation_is_of_the_item_of_its_license_and_not_of_another_license_that_has_the_number_now() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1), Vendor::scan_item(2)]);
    site.admin(Method::Post, "licenses", Some(json!({"file": revocation_of(&[2]).seal(&vendor.key)})));
    assert_eq!(site.item(2)["status"], "revoked");
    site.clock.advance_seconds(60);
    site.import(&vendor, 100, "216998", vec![Vendor::scan_item(1)]);
    site.import(&site.trust(Vendor::new()), 101, "216998", vec![Vendor::scan_item(2)]);
    assert_eq!((&site.item(2)["status"], &site.item(2)["revoked"]), (&json!("active"), &Value::Null));
    granted(&ask(&site.device("216998-101"), json!({})));
}
