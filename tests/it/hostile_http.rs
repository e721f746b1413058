//! What strangers, broken clients and bad networks send: raw bytes over TCP and TLS.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use serde_json::{Value, json};
use tollkeeper::client::transport::Method;
use tollkeeper::settings::Settings;

use crate::support::{Device, Site, Vendor};

/// Nothing here may take longer; whatever does has hung.
const PATIENCE: Duration = Duration::from_secs(30);

/// A licensed site that serves plain HTTP too.
fn plain_site(change: impl FnOnce(&mut Settings)) -> Site {
    let site = Site::with_settings(|settings| {
        settings.http = vec!["127.0.0.1:0".to_owned()];
        change(settings);
    });
    let vendor = site.trust(Vendor::new());
    site.import(&vendor, 100, "216998", vec![Vendor::scan_item(1)]);
    site
}

fn plain_address(site: &Site) -> SocketAddr {
    site.app().http_addresses()[0]
}

fn https_address(site: &Site) -> SocketAddr {
    site.app().https_addresses()[0]
}

/// How many facts the server has written, read past it from the file.
fn journal_length(site: &Site) -> i64 {
    let database = rusqlite::Connection::open(site.data().join("tollkeeper.db")).expect("the database");
    database.query_row("SELECT COUNT(*) FROM journal", [], |row| row.get(0)).expect("the journal")
}

fn granted(site: &Site) -> Value {
    site.admin_get("statistics?handshake=216998-100")["authorizations"]["granted"].clone()
}

fn is_well(site: &Site) {
    site.device("216998-100").authorize().expect("the server still works");
}

/// One connection on which a test says byte by byte what it wants.
struct Wire<S> {
    stream: S,
    /// What came and was not yet looked at.
    unread: Vec<u8>,
}

/// One answer as it came.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// It is a problem with this status, code 200, and this field.
    fn is_malformed(&self, status: u16, field: &str) {
        let problem = self.json();
        assert_eq!((self.status, &problem["code"], &problem["field"]), (status, &json!(200), &json!(field)), "{problem}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(problem["status"], status);
    }
}

fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

impl Wire<TcpStream> {
    fn plain(address: SocketAddr) -> Self {
        Self { stream: dial(address), unread: Vec::new() }
    }
}

impl<S: Read + Write> Wire<S> {
    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush()).expect("sent");
    }

    /// Reads more; false at the end of the connection, however it ended.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                count > 0
            }
            Err(error) => {
                assert!(!matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "the server neither answers nor hangs up");
                false
            }
        }
    }

    /// The next answer, whole; `None` when the server hung up instead.
    fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            match self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end,
                None if self.more() => {}
                None => return None,
            }
        };
        let head = String::from_utf8(self.unread[..end].to_vec()).expect("a head in ASCII");
        let mut answer = Answer { status: head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), head, body: Vec::new() };
        self.unread.drain(..end + 4);
        assert_eq!(answer.header("transfer-encoding"), None, "the server tells how long its answers are");
        let length: usize = if answer.status == 100 { 0 } else { answer.header("content-length").map_or(0, |length| length.parse().expect("a length")) };
        while self.unread.len() < length {
            assert!(self.more(), "the connection ended within an answer: {answer:?}");
        }
        answer.body = self.unread.drain(..length).collect();
        Some(answer)
    }

    fn expect_answer(&mut self) -> Answer {
        self.answer().expect("an answer")
    }

    /// Everything until the server hangs up.
    fn rest(mut self) -> Vec<u8> {
        while self.more() {}
        self.unread
    }
}

fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

const JSON: &str = "Content-Type: application/json\r\n";

fn post_json(path: &str, body: &[u8]) -> Vec<u8> {
    post(path, JSON, body)
}

fn request_of(device: &Device) -> Vec<u8> {
    device.request().to_string().into_bytes()
}

/// One request on a connection of its own.
fn once(site: &Site, bytes: &[u8]) -> Answer {
    let mut wire = Wire::plain(plain_address(site));
    // The server may answer and hang up before it has read all of it.
    let _ = wire.stream.write_all(bytes);
    wire.expect_answer()
}

// Bodies.

#[test]
fn a_body_of_more_than_one_mebibyte_is_refused_whether_its_length_is_told_or_not() {
    let site = plain_site(|_| {});
    let before = journal_length(&site);
    let mut body = request_of(&site.device("216998-100"));
    body.resize((1 << 20) + 1, b' ');
    once(&site, &post_json("/api/v1/authorize", &body)).is_malformed(400, "body");

    let mut chunked = format!("POST /api/v1/authorize HTTP/1.1\r\nHost: localhost\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(32 * 1024) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    once(&site, &chunked).is_malformed(400, "body");
    assert_eq!(journal_length(&site), before);

    body.pop();
    assert_eq!(once(&site, &post_json("/api/v1/authorize", &body)).status, 200, "exactly one mebibyte is taken");
}

#[test]
fn a_chunked_body_of_a_normal_size_is_taken() {
    let site = plain_site(|_| {});
    let body = request_of(&site.device("216998-100"));
    let (first, second) = body.split_at(40);
    let mut wire = Wire::plain(plain_address(&site));
    wire.send(format!("POST /api/v1/authorize HTTP/1.1\r\nHost: localhost\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n"));
    for chunk in [first, second, b""] {
        wire.send(format!("{:x}\r\n", chunk.len()));
        wire.send(chunk);
        wire.send("\r\n");
    }
    assert_eq!(wire.expect_answer().status, 200);
}

#[test]
fn a_body_of_another_type_or_encoding_is_refused_and_the_header_named() {
    let site = plain_site(|_| {});
    let body = request_of(&site.device("216998-100"));
    for (headers, field) in [
        ("", "Content-Type"),
        ("Content-Type: text/plain\r\n", "Content-Type"),
        ("Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type"),
        ("Content-Type: application/json; charset=iso-8859-1\r\n", "Content-Type"),
        ("Content-Type: \u{fc}\r\n", "Content-Type"),
        ("Content-Type: application/json\r\nContent-Encoding: gzip\r\n", "Content-Encoding"),
        ("Content-Type: application/json\r\nContent-Encoding: br\r\n", "Content-Encoding"),
    ] {
        once(&site, &post("/api/v1/authorize", headers, &body)).is_malformed(400, field);
    }
    for headers in ["Content-Type: application/json; charset=utf-8\r\n", "Content-Type: APPLICATION/JSON\r\nContent-Encoding: identity\r\n"] {
        assert_eq!(once(&site, &post("/api/v1/authorize", headers, &body)).status, 200, "{headers}");
    }
}

#[test]
fn a_body_that_is_not_json_is_200_for_the_whole_body() {
    let site = plain_site(|_| {});
    let good = String::from_utf8(request_of(&site.device("216998-100"))).expect("text");
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000)).into_bytes();
    for body in [
        b"".to_vec(),
        b"{".to_vec(),
        b"{\"client_uuid\"".to_vec(),
        b"\0\0\0\0".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        format!("{good}{good}").into_bytes(),
        deep("[", "]"),
        deep("{\"a\":", "}"),
        good.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        good.replace("\"dbr\"", "\"d\u{1}r\"").into_bytes(),
        good.replace("\"dbr\"", "NaN").into_bytes(),
    ] {
        once(&site, &post_json("/api/v1/authorize", &body)).is_malformed(400, "body");
    }
    is_well(&site);
}

#[test]
fn text_that_is_not_utf_8_is_200() {
    let site = plain_site(|_| {});
    let good = request_of(&site.device("216998-100"));
    let at = good.windows(5).position(|five| five == b"\"dbr\"").expect("the product") + 1;
    for bad in [0xff, 0xc3, 0x80] {
        let mut body = good.clone();
        body[at] = bad;
        let answer = once(&site, &post_json("/api/v1/authorize", &body));
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(200)), "{answer:?}");
    }
}

#[test]
fn deep_nesting_inside_of_a_field_harms_nobody() {
    let site = plain_site(|_| {});
    let good = String::from_utf8(request_of(&site.device("216998-100"))).expect("text");
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let known = good.replace("\"modules\":[]", &format!("\"modules\":{deep}"));
    let answer = once(&site, &post_json("/api/v1/authorize", known.as_bytes()));
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(200)));
    let unknown = good.replace("\"modules\":[]", &format!("\"later\":{deep}"));
    let answer = once(&site, &post_json("/api/v1/authorize", unknown.as_bytes()));
    assert_eq!(answer.status, 200, "unknown fields are ignored");
    is_well(&site);
}

// Paths and methods.

#[test]
fn a_wrong_method_is_405_and_an_unknown_path_404_both_as_problems() {
    let site = plain_site(|_| {});
    for (method, path) in [
        ("GET", "/api/v1/authorize"),
        ("PUT", "/api/v1/reports"),
        ("DELETE", "/api/v1/release"),
        ("POST", "/api/v1/server"),
        ("PATCH", "/health"),
        ("BREW", "/api/v1/health"),
    ] {
        let answer = once(&site, format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").as_bytes());
        answer.is_malformed(405, "method");
        let allowed = answer.header("allow").unwrap_or_default();
        assert!(allowed == if path.contains("server") || path.contains("health") { "GET" } else { "POST" }, "{method} {path}: Allow is '{allowed}'");
    }
    for path in [
        "/nothing",
        "/api/v1",
        "/api/v1/authorize/",
        "/api/v2/authorize",
        "/api/v1/authorize/../reports",
        "/static/../Cargo.toml",
        "/static/nothing.css",
        "/%00",
        "/api/v1/%ff",
    ] {
        once(&site, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).is_malformed(404, "path");
    }
}

#[test]
fn admin_paths_are_404_without_data_for_whoever_comes_over_the_network() {
    let site = plain_site(|_| {});
    let claims = "Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\nAuthorization: Bearer x\r\nConnection: close\r\n";
    let ours = site.app().context().site.uuid().to_string();
    for path in [
        "/api/v1/admin/request",
        "/api/v1/admin/licenses",
        "/api/v1/admin/handshakes",
        "/api/v1/admin/handshakes/216998-100",
        "/api/v1/admin/devices",
        "/api/v1/admin/statistics",
        "/api/v1/admin/",
        "/api/v1/admin",
        "//api/v1/admin/licenses",
        "/api/v1/./admin/licenses",
        "/api/v1/%61dmin/licenses",
        "/api/v1/admin%2flicenses",
        "http://localhost/api/v1/admin/licenses",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\n{claims}\r\n");
        let mut tls = tls(&site, &[&rustls::version::TLS13], &[]);
        tls.send(&request);
        for answer in [once(&site, request.as_bytes()), tls.expect_answer()] {
            assert_eq!(answer.status, 404, "{path}");
            answer.is_malformed(404, "path");
            let body = String::from_utf8(answer.body).expect("text");
            assert!(!body.contains("216998") && !body.contains("License") && !body.contains(&ours), "{path}: {body}");
        }
    }
    let before = journal_length(&site);
    for (method, path) in [
        ("POST", "handshakes"),
        ("PATCH", "handshakes/216998-100"),
        ("DELETE", "handshakes/216998-100"),
        ("PUT", "handshakes/216998-100/default"),
        ("POST", "licenses"),
    ] {
        let body = r#"{"handshake_code":"216998-mine","items":[]}"#;
        let request = format!("{method} /api/v1/admin/{path} HTTP/1.1\r\n{claims}{JSON}Content-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(once(&site, request.as_bytes()).status, 404, "{method} {path}");
    }
    assert_eq!(journal_length(&site), before);
    assert_eq!(site.admin_get("handshakes").as_array().map(Vec::len), Some(1));
}

#[test]
fn a_wrong_question_of_the_admin_is_a_problem_too() {
    let site = plain_site(|_| {});
    for path in ["statistics?from=yesterday", "statistics?item=none", "devices?after=x", "devices/x/seats/1"] {
        let method = if path.ends_with("/1") { Method::Delete } else { Method::Get };
        let reply = site.try_admin(method, path, None);
        assert_eq!((reply.status, reply.header("content-type")), (400, Some("application/problem+json")), "{path}: {}", String::from_utf8_lossy(&reply.body));
    }
}

#[test]
fn two_ways_to_tell_the_length_of_a_body_smuggle_no_second_request() {
    let site = plain_site(|_| {});
    let inner = post_json("/api/v1/authorize", &request_of(&site.device("216998-100")));
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: identity, chunked, identity\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
    ] {
        let mut wire = Wire::plain(plain_address(&site));
        let mut bytes = format!("POST /api/v1/release HTTP/1.1\r\nHost: localhost\r\n{JSON}{headers}\r\n0\r\n\r\n").into_bytes();
        bytes.extend_from_slice(&inner);
        // The server may hang up at the first line it does not like.
        let _ = wire.stream.write_all(&bytes);
        let answers = String::from_utf8_lossy(&wire.rest()).into_owned();
        assert!(answers.is_empty() || answers.starts_with("HTTP/1.1 400"), "{headers}: {answers}");
        assert!(!answers.contains("\"authorization\""), "{headers}: {answers}");
    }
    assert_eq!(granted(&site), 0);
}

// Time.

#[test]
fn a_body_that_stops_half_way_leaves_nothing_behind() {
    let mut site = plain_site(|_| {});
    let before = journal_length(&site);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    let report = device.report_body(&[device.scans(site.now() - 600, json!({"QR Code": 7}))]).to_string().into_bytes();
    for (path, body) in [("/api/v1/authorize", request_of(&site.device("216998-100"))), ("/api/v1/reports", report)] {
        let bytes = post(path, &format!("{JSON}Expect: 100-continue\r\n"), &body);
        let mut wire = Wire::plain(plain_address(&site));
        let head = bytes.len() - body.len();
        wire.send(&bytes[..head]);
        assert_eq!(wire.expect_answer().status, 100, "the server waits for the body");
        wire.send(&bytes[head..bytes.len() - 1]);
        wire.stream.shutdown(Shutdown::Both).expect("hung up");
    }
    assert_eq!(columns(&site), (1, 0));
    // The stop waits until both requests are through.
    site.stop();
    assert_eq!(journal_length(&site), before + 1, "only the authorization that was asked for whole");
}

/// Authorizations granted and scans counted.
fn columns(site: &Site) -> (u64, u64) {
    let usage = site.admin_get("statistics?handshake=216998-100");
    (usage["authorizations"]["granted"].as_u64().expect("granted"), usage["total"].as_u64().expect("total"))
}

/// Sends a byte whenever the server has been silent for a moment, until it answers or hangs
/// up. Gives what it said and how long that took.
fn trickle(mut stream: TcpStream) -> (String, Duration) {
    let (began, mut said) = (Instant::now(), Vec::new());
    stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    let mut buffer = [0; 4096];
    while began.elapsed() < PATIENCE {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => said.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                if said.is_empty() && stream.write_all(b"x").is_err() {
                    break;
                }
            }
            Err(_) => break,
        }
        if said.windows(4).any(|four| four == b"\r\n\r\n") {
            break;
        }
    }
    (String::from_utf8_lossy(&said).into_owned(), began.elapsed())
}

#[test]
fn a_sender_who_drips_his_body_is_answered_when_the_time_for_it_is_over() {
    let site = plain_site(|settings| settings.limits.body_seconds = 1);
    let mut stream = dial(plain_address(&site));
    stream.write_all(format!("POST /api/v1/authorize HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 1000\r\n\r\n{{").as_bytes()).expect("sent");
    let (said, took) = trickle(stream);
    assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("application/problem+json"), "{said}");
    assert!((Duration::from_millis(900)..Duration::from_secs(10)).contains(&took), "{took:?}");
    is_well(&site);
}

#[test]
fn a_sender_who_drips_his_head_or_says_nothing_is_cut_off() {
    let site = plain_site(|settings| settings.limits.head_seconds = 1);
    for begin in ["POST /api/v1/authorize HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", "GET", "\r\n"] {
        let mut stream = dial(plain_address(&site));
        stream.write_all(begin.as_bytes()).expect("sent");
        let (said, took) = trickle(stream);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 ") || said.starts_with("HTTP/1.1 400 "), "{said}");
        assert!(took < Duration::from_secs(10), "{begin:?}: {took:?}");
    }
    for address in [plain_address(&site), https_address(&site)] {
        let (stream, began) = (dial(address), Instant::now());
        let said = Wire { stream, unread: Vec::new() }.rest();
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&said));
        assert!(began.elapsed() < Duration::from_secs(10), "who says nothing is cut off too");
    }
    is_well(&site);
}

#[test]
fn two_hundred_pipelined_requests_are_answered_in_order() {
    let site = plain_site(|_| {});
    let devices: Vec<_> = (0..200).map(|_| site.device("216998-100")).collect();
    let bytes: Vec<u8> = devices.iter().flat_map(|device| post_json("/api/v1/authorize", &request_of(device))).collect();
    let mut wire = Wire::plain(plain_address(&site));
    let mut sender = wire.stream.try_clone().expect("a second handle");
    std::thread::scope(|scope| {
        scope.spawn(move || sender.write_all(&bytes).expect("sent"));
        for device in &devices {
            let answer = wire.expect_answer();
            assert_eq!(answer.status, 200);
            let authorization = answer.json()["authorization"].as_str().expect("JWS").to_owned();
            let claims = site.app().context().site.verify_authorization(&authorization).expect("genuine");
            assert_eq!(claims.sub.0, device.client);
        }
    });
    assert_eq!(granted(&site), 200);
}

// TLS.

fn client_config(site: &Site, versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(site.app().context().ca_pem.as_bytes()).expect("PEM")).expect("an authority");
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

fn tls(site: &Site, versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> Wire<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let connection = ClientConnection::new(Arc::new(client_config(site, versions, protocols)), name).expect("a client");
    Wire { stream: StreamOwned::new(connection, dial(https_address(site))), unread: Vec::new() }
}

const GET_SERVER: &str = "GET /api/v1/server HTTP/1.1\r\nHost: localhost\r\n\r\n";

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
    assert_eq!((version.as_str(), status.as_str()), ("2", "404"));
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

#[test]
fn garbage_on_the_http_port_is_refused_and_hung_up_on() {
    let site = plain_site(|_| {});
    let endless = format!("GET / HTTP/1.1\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        endless.as_bytes(),
        many.as_bytes(),
    ] {
        let mut wire = Wire::plain(plain_address(&site));
        // The server may hang up before it has read all of it.
        let _ = wire.stream.write_all(garbage);
        let _ = wire.stream.shutdown(Shutdown::Write);
        let said = String::from_utf8_lossy(&wire.rest()).into_owned();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    is_well(&site);
}

// The server's own limits.

#[test]
fn a_request_that_is_half_sent_when_the_server_stops_is_answered_whole_and_kept() {
    let mut site = plain_site(|_| {});
    let (plain, https) = (plain_address(&site), https_address(&site));
    let body = request_of(&site.device("216998-100"));
    let bytes = post("/api/v1/authorize", &format!("{JSON}Expect: 100-continue\r\n"), &body);
    let head = bytes.len() - body.len();
    let mut wire = Wire::plain(plain);
    wire.send(&bytes[..head]);
    assert_eq!(wire.expect_answer().status, 100, "the server waits for the body");
    wire.send(&bytes[head..head + 10]);

    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| site.stop());
        // The stop has begun when new connections are no longer answered.
        while is_answered(plain) {}
        wire.send(&bytes[head + 10..]);
        let answer = wire.expect_answer();
        assert_eq!(answer.status, 200);
        assert!(answer.json()["authorization"].is_string());
        stopping.join().expect("stopped");
    });
    for address in [plain, https] {
        let refused = TcpStream::connect(address).expect_err("nobody listens any more");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
    site.start();
    assert_eq!(granted(&site), 1);
}

fn is_answered(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    stream.write_all(GET_SERVER.as_bytes()).is_ok() && matches!(stream.read(&mut [0; 12]), Ok(count) if count > 0)
}

#[test]
fn while_the_queue_for_the_database_is_full_requests_are_503_with_retry_after_and_none_is_lost_or_counted_twice() {
    let site = plain_site(|settings| settings.limits.queue = 1);
    let ask = |device: &Device| device.transport.post_json("/api/v1/authorize", &device.request(), &[]).expect("the server answers");
    let devices: Vec<_> = (0..8).map(|_| site.device("216998-100")).collect();
    // Somebody else writes to the database: the writer waits, one command waits in the queue, and there is room for no other.
    let database = rusqlite::Connection::open(site.data().join("tollkeeper.db")).expect("the database");
    database.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let (sender, answers) = channel();
    let replies: Vec<_> = std::thread::scope(|scope| {
        for device in &devices {
            let (sender, ask) = (sender.clone(), &ask);
            scope.spawn(move || sender.send((device, ask(device))).expect("heard"));
        }
        let mut replies: Vec<_> = (0..6).map(|_| answers.recv_timeout(PATIENCE).expect("refused at once")).collect();
        assert!(replies.iter().all(|(_, reply)| reply.status == 503));
        database.execute_batch("ROLLBACK").expect("unlocked");
        replies.extend((6..8).map(|_| answers.recv_timeout(PATIENCE).expect("an answer")));
        replies
    });
    let (taken, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|(_, reply)| reply.status == 200);
    for (_, reply) in &refused {
        assert_eq!((reply.status, reply.json::<Value>().expect("a problem")["code"].clone()), (503, json!(100)));
        assert!(reply.header("retry-after").expect("told when").parse::<u64>().expect("seconds") > 0);
    }
    assert!(!taken.is_empty(), "what was in the queue is done");
    assert_eq!(granted(&site), taken.len());
    for (device, _) in refused {
        assert_eq!(ask(device).status, 200, "later there is room");
    }
    assert_eq!(granted(&site), 8);
}

#[test]
fn under_a_storm_every_answer_is_a_grant_or_a_503_and_the_statistics_know_exactly_the_grants() {
    let site = plain_site(|settings| settings.limits.queue = 1);
    let (sender, answers) = channel();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            let (sender, transport) = (sender.clone(), site.anonymous().clone());
            scope.spawn(move || {
                for _ in 0..20 {
                    let device = Device::new(transport.clone(), "216998-100");
                    let reply = transport.post_json("/api/v1/authorize", &device.request(), &[]).expect("the server answers");
                    sender.send((reply.status, reply.header("retry-after").map(str::to_owned))).expect("heard");
                }
            });
        }
    });
    drop(sender);
    let answers: Vec<_> = answers.iter().collect();
    assert_eq!(answers.len(), 320);
    let grants = answers.iter().filter(|(status, _)| *status == 200).count();
    assert!(answers.iter().all(|(status, wait)| matches!((*status, wait), (200, None) | (503, Some(_)))), "{answers:?}");
    assert_eq!(granted(&site), grants);
}
