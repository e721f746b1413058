//! TLS and HTTP/2, as clients of all kinds speak them.

use std::io::Write as _;
use std::net::Shutdown;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::Site;
use crate::support::wire::*;

#[test]
fn clients_with_tls_1_2_and_1_3_are_served_and_the_key_exchange_is_post_quantum_where_possible() {
    let site = plain_site(|_| {});
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut wire = tls(&site, &[version], &[]);
        wire.send(GET_SERVER);
        assert_eq!(wire.expect_answer().json()["server_uuid"], site.app().context().site.uuid().to_string());
        assert_eq!(wire.stream.conn.protocol_version(), Some(version.version));
        let group = wire.stream.conn.negotiated_key_exchange_group().expect("a group").name();
        let expected = if version.version == rustls::ProtocolVersion::TLSv1_3 { rustls::NamedGroup::X25519MLKEM768 } else { rustls::NamedGroup::X25519 };
        assert_eq!(group, expected);
    }
}

#[test]
fn a_site_whose_manual_clock_stands_years_away_still_has_a_certificate_that_clients_take() {
    let mut site = plain_site(|_| {});
    for years in [3, -6] {
        site.stop();
        site.clock.advance_seconds(years * 365 * 86_400);
        site.start();
        assert!(site.anonymous().get("/api/v1/server").is_ok(), "{years} years");
    }
}

#[test]
fn http_2_is_spoken_with_whoever_offers_it() {
    let site = plain_site(|_| {});
    for (offered, chosen) in
        [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1", "h2"][..], Some("h2")), (&["http/1.1"][..], Some("http/1.1")), (&[][..], None)]
    {
        let mut wire = tls(&site, &[&rustls::version::TLS13], offered);
        while wire.stream.conn.is_handshaking() {
            wire.stream.conn.complete_io(&mut wire.stream.sock).expect("shaken hands");
        }
        assert_eq!(wire.stream.conn.alpn_protocol(), chosen.map(str::as_bytes), "{offered:?}");
    }
}

/// A request by curl over HTTP/2: version, status and body of the answer.
fn curl(site: &Site, arguments: &[&str], path: &str) -> (String, String, String) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--http2", "--max-time", "30", "--write-out", "\n%{http_version} %{http_code}"])
        .arg("--cacert")
        .arg(site.data().join("tls/ca.pem"))
        .args(arguments)
        .arg(format!("https://{}{path}", https_address(site)))
        .output()
        .expect("curl is installed: this test makes real HTTP/2 requests with it");
    let told = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (body, written) = told.rsplit_once('\n').expect("what --write-out says");
    let (version, status) = written.split_once(' ').expect("version and status");
    (version.to_owned(), status.to_owned(), body.to_owned())
}

#[test]
fn requests_over_http_2_are_served_like_any_other() {
    let site = plain_site(|_| {});
    let device = site.device("216998-100");
    let body = site.dir.path().join("body.json");
    let post = |bytes: &[u8], path: &str| {
        std::fs::write(&body, bytes).expect("written");
        let data = format!("@{}", body.display());
        curl(&site, &["--header", "Content-Type: application/json", "--data-binary", &data], path)
    };
    let (version, status, answer) = post(&request_of(&device), "/api/v1/authorize");
    assert_eq!((version.as_str(), status.as_str()), ("2", "200"), "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert!(site.app().context().site.verify_authorization(answer["authorization"].as_str().expect("JWS")).is_ok());

    let (_, status, problem) = post(b"{", "/api/v1/authorize");
    assert_eq!((status.as_str(), serde_json::from_str::<Value>(&problem).expect("a problem")["code"].clone()), ("400", json!(200)));
    let (version, status, problem) = curl(&site, &[], "/api/v1/admin/licenses");
    assert_eq!((version.as_str(), status.as_str()), ("2", "401"));
    assert_eq!(serde_json::from_str::<Value>(&problem).expect("a problem")["status"], 401);
    assert!(!problem.contains("216998"), "{problem}");
}

#[test]
fn whoever_does_not_speak_tls_to_the_https_port_is_hung_up_on() {
    let site = plain_site(|_| {});
    let old_hello =
        b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x01".iter().copied().chain([7; 32]).chain(*b"\x00\x00\x04\x00\x2f\x00\x35\x01\x00").collect::<Vec<u8>>();
    for garbage in
        [GET_SERVER.as_bytes().to_vec(), vec![0; 5000], vec![0xff; 5000], b"\x16\x03\x01\xff\xff".to_vec(), b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), old_hello]
    {
        let mut wire = Wire::plain(https_address(&site));
        // The server may hang up before it has read all of it.
        let _ = wire.stream.write_all(&garbage);
        let _ = wire.stream.shutdown(Shutdown::Write);
        let said = wire.rest();
        // At most one alert of TLS.
        assert!(said.len() <= 7 && said.first().is_none_or(|kind| *kind == 21), "{said:?}");
    }
    is_well(&site);
}
