//! Two machines with one client UUID: told apart by tickets (151), and mended by the admin.

use serde_json::json;
use tollkeeper::client::transport::Method;

use crate::error_codes::{ask, granted, post, refused};
use crate::support::{Site, Vendor};

#[test]
pub(crate) fn a_copy_of_a_device_shows_an_older_ticket_and_is_151_until_the_admin_resets_it() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    let mut copy = device.clone();
    device.authorize().expect("the original goes on");
    refused(&ask(&copy, json!({})), 151);
    device.authorize().expect("the original is not hurt by its copy");
    refused(&ask(&copy, json!({})), 151);
    refused(&ask(&copy, json!({"ticket": "never given out"})), 151);

    site.admin(Method::Post, &format!("devices/{}/reset", device.client), None);
    copy.authorize().expect("let in after the reset");
    copy.authorize().expect("and goes on");
    refused(&ask(&device, json!({})), 151);
}

#[test]
pub(crate) fn a_request_repeated_because_its_answer_was_lost_gets_the_same_ticket() {
    let (site, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    let request = device.request();
    let first = granted(&post(&device, "/api/v1/authorize", &request));
    let again = granted(&post(&device, "/api/v1/authorize", &request));
    assert_eq!(first["ticket"], again["ticket"]);
    assert_ne!(first["ticket"], request["ticket"]);
    assert_eq!(site.admin_get("statistics?handshake=216998-100")["authorizations"], json!({"granted": 3, "refused": 0}), "each answer was a grant");
    refused(&ask(&device, json!({})), 151);
    granted(&ask(&device, json!({"ticket": first["ticket"]})));
    refused(&post(&device, "/api/v1/authorize", &request), 151);
}
