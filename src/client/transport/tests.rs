//! The transport against small TLS servers of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use super::*;

struct Site {
    ca_pem: String,
    config: Arc<ServerConfig>,
}

fn site() -> Site {
    site_of(1975, 4096)
}

/// Its certificates are good in these years.
fn site_of(from: i32, to: i32) -> Site {
    let mut ca = CertificateParams::default();
    (ca.not_before, ca.not_after) = (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(to, 1, 1));
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().expect("a key")).expect("a CA");
    let key = KeyPair::generate().expect("a key");
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
    (leaf.not_before, leaf.not_after) = (rcgen::date_time_ymd(from, 1, 2), rcgen::date_time_ymd(to, 1, 1));
    let leaf = leaf.signed_by(&key, &ca).expect("signed");
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("a certificate");
    Site { ca_pem: ca.pem(), config: Arc::new(config) }
}

struct Server {
    url: String,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Answers every request with the bytes `answer` makes of its head and body.
fn serve(site: &Site, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = Server { url: format!("https://localhost:{port}/"), connections: Arc::default(), requests: Arc::default() };
    let (connections, requests) = (Arc::clone(&server.connections), Arc::clone(&server.requests));
    let (config, answer) = (Arc::clone(&site.config), Arc::new(answer));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            connections.fetch_add(1, Ordering::SeqCst);
            let tls = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let (requests, answer) = (Arc::clone(&requests), Arc::clone(&answer));
            std::thread::spawn(move || {
                let mut reader = BufReader::new(StreamOwned::new(tls, stream));
                while let Some(request) = read_request(&mut reader) {
                    requests.lock().expect("not poisoned").push(request.clone());
                    let told = answer(&request);
                    if reader.get_mut().write_all(&told).and_then(|()| reader.get_mut().flush()).is_err() {
                        break;
                    }
                    if !told.starts_with(b"HTTP/1.1") {
                        break;
                    }
                }
            });
        }
    });
    server
}

fn read_request(reader: &mut impl BufRead) -> Option<String> {
    let (mut text, mut length) = (String::new(), 0);
    while !text.ends_with("\r\n\r\n") {
        let start = text.len();
        if reader.read_line(&mut text).ok()? == 0 {
            return None;
        }
        if let Some(value) = text[start..].to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(text + &String::from_utf8_lossy(&body))
}

fn ok(body: &str) -> Vec<u8> {
    answer("200 OK", body)
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nretry-after: 7\r\n\r\n{body}", body.len()).into_bytes()
}

fn fingerprint(pem: &str) -> String {
    let hash = digest::digest(&digest::SHA256, &single_certificate(pem).expect("one"));
    hash.as_ref().iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn pem(site: &Site) -> CaPin {
    CaPin::Pem(site.ca_pem.clone())
}

#[test]
fn requests_and_refusals_travel_over_one_kept_alive_connection() {
    let site = site();
    let server = serve(&site, |request| match request.contains("\"refuse\"") {
        true => answer("503 Service Unavailable", r#"{"code":100}"#),
        false => ok(r#"{"granted":true}"#),
    });
    let transport = Transport::pinned(&server.url, pem(&site)).expect("a transport");
    let reply = transport.post_json("/api/v1/authorize", &json!({"a": 1}), &[("authorization", "Bearer t")]).expect("an answer");
    assert!(reply.is_success());
    assert_eq!(reply.json::<Value>().expect("JSON")["granted"], true);
    let refused = transport.post_json("/api/v1/authorize", &json!("refuse"), &[]).expect("an answer too");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("7")));
    assert_eq!(transport.get("/api/v1/server").expect("an answer").status, 200);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    let first = server.requests.lock().expect("not poisoned")[0].to_ascii_lowercase();
    for told in ["post /api/v1/authorize http/1.1", "authorization: bearer t", "application/json", "{\"a\":1}"] {
        assert!(first.contains(told), "{first}");
    }
}

#[test]
fn another_sites_authority_or_a_name_not_in_the_certificate_is_not_trusted() {
    let here = site();
    let server = serve(&here, |_| ok("{}"));
    let transport = Transport::pinned(&server.url, pem(&site())).expect("a transport");
    let error = transport.get("/api/v1/server").expect_err("another CA");
    assert!(matches!(&error, TransportError::Untrusted { url, .. } if url.starts_with(&server.url)), "{error:?}");
    let by_address = server.url.replace("localhost", "127.0.0.1");
    let error = Transport::pinned(&by_address, pem(&here)).expect("a transport").get("/").expect_err("other name");
    assert!(matches!(error, TransportError::Untrusted { .. }), "{error:?}");
    assert!(server.requests.lock().expect("not poisoned").is_empty(), "nothing was said to a stranger");
}

#[test]
fn a_fingerprint_fetches_the_authority_once_and_then_trusts_only_it() {
    let here = site();
    let ca_pem = here.ca_pem.clone();
    let server = serve(&here, move |_| ok(&json!({ "ca_pem": ca_pem }).to_string()));
    let pin = CaPin::Fingerprint(fingerprint(&here.ca_pem).to_uppercase().replace("SHA", "sha"));
    let transport = Transport::pinned(&server.url, pin).expect("a transport");
    assert_eq!(transport.ca_pem(), Some(here.ca_pem.as_str()));
    transport.post_json("/api/v1/authorize", &json!({}), &[]).expect("trusted");
    let requests = server.requests.lock().expect("not poisoned");
    assert!(requests[0].starts_with("GET /api/v1/server HTTP/1.1"));
    assert_eq!(requests.len(), 2);
    assert_eq!(server.connections.load(Ordering::SeqCst), 2, "the untrusted connection is not used again");
}

#[test]
fn a_wrong_fingerprint_is_refused_before_anything_else_is_sent() {
    let here = site();
    let ca_pem = here.ca_pem.clone();
    let server = serve(&here, move |_| ok(&json!({ "ca_pem": ca_pem }).to_string()));
    let expected = fingerprint(&site().ca_pem);
    let error = Transport::pinned(&server.url, CaPin::Fingerprint(expected.clone())).expect_err("refused");
    assert!(error.to_string().contains(&expected), "{error}");
    assert!(matches!(error, TransportError::OtherAuthority { .. }));
    assert_eq!(server.requests.lock().expect("not poisoned").len(), 1);
}

#[test]
fn a_stranger_who_repeats_the_sites_authority_is_not_trusted() {
    let (here, stranger) = (site(), site());
    let ca_pem = here.ca_pem.clone();
    let server = serve(&stranger, move |_| ok(&json!({ "ca_pem": ca_pem }).to_string()));
    let pin = CaPin::Fingerprint(fingerprint(&here.ca_pem));
    let transport = Transport::pinned(&server.url, pin).expect("the certificate itself is public");
    let error = transport.post_json("/api/v1/authorize", &json!({}), &[]).expect_err("not trusted");
    assert!(matches!(error, TransportError::Untrusted { .. }), "{error:?}");
    assert_eq!(server.requests.lock().expect("not poisoned").len(), 1);
}

#[test]
fn garbage_answers_are_errors_and_never_panics() {
    let here = site();
    for told in [
        &b""[..],
        b"\xff\xfe\x00garbage\r\n\r\n",
        b"HTTP/1.1 999999 Hm\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let server = serve(&here, move |_| told.to_vec());
        let timeouts = Timeouts { whole: Duration::from_millis(1500), ..Timeouts::default() };
        let transport = Transport::pinned_within(&server.url, pem(&here), timeouts).expect("a transport");
        let error = transport.get("/x").expect_err("refused");
        assert!(error.to_string().contains("/x"), "{error}");
        Transport::pinned_within(&server.url, CaPin::Fingerprint(fingerprint(&here.ca_pem)), timeouts).expect_err("refused");
    }
    for told in ["", "[]", "{\"ca_pem\":7}", "{\"ca_pem\":\"x\"}", "\u{0}"] {
        let server = serve(&here, move |_| ok(told));
        let error = Transport::pinned(&server.url, CaPin::Fingerprint(fingerprint(&here.ca_pem)));
        assert!(matches!(error, Err(TransportError::Answer { .. })), "{told}");
    }
}

#[test]
fn an_answer_over_the_limit_is_refused_and_one_below_is_read() {
    let here = site();
    let server = serve(&here, |request| ok(&"x".repeat(MAX_ANSWER_BYTES as usize + usize::from(request.starts_with("GET /large")))));
    let transport = Transport::pinned(&server.url, pem(&here)).expect("a transport");
    assert_eq!(transport.get("/fits").expect("read").body.len() as u64, MAX_ANSWER_BYTES);
    let error = transport.get("/large").expect_err("too large");
    assert!(error.to_string().contains("larger than 4194304 bytes"), "{error}");
}

#[test]
fn a_redirect_is_not_followed() {
    let here = site();
    let server = serve(&here, |_| b"HTTP/1.1 307 X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n".to_vec());
    let transport = Transport::pinned(&server.url, pem(&here)).expect("a transport");
    assert_eq!(transport.post_json("/a", &json!({}), &[]).expect("an answer").status, 307);
    assert_eq!(transport.get("/b").expect("an answer").status, 307);
    assert_eq!(server.requests.lock().expect("not poisoned").len(), 2);
}

#[test]
fn a_silent_server_and_an_absent_one_are_told_apart() {
    let here = site();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://localhost:{}", listener.local_addr().expect("bound").port());
    let timeouts = Timeouts { connect: Duration::from_millis(200), whole: Duration::from_millis(300) };
    let transport = Transport::pinned_within(&url, pem(&here), timeouts).expect("a transport");
    let error = transport.get("/x").expect_err("silent");
    assert!(matches!(error, TransportError::Timeout { .. }), "{error:?}");
    drop(listener);
    let error = transport.get("/x").expect_err("absent");
    assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
}

#[test]
fn what_cannot_be_an_address_or_a_pin_is_refused_at_once() {
    let here = site();
    for url in ["", "main:48443", "http://main", "https://", "https://a b", "https://u:p@main", "https://main?x=1"] {
        let error = Transport::pinned(url, pem(&here)).expect_err(url);
        assert!(matches!(error, TransportError::Address { .. }), "{url}: {error:?}");
    }
    let twice = format!("{0}{0}", here.ca_pem);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
    for pin in [String::new(), "x".to_owned(), twice, broken] {
        let error = Transport::pinned("https://localhost:1", CaPin::Pem(pin)).expect_err("refused");
        assert!(matches!(error, TransportError::Pin { .. }), "{error:?}");
    }
    for pin in ["", "sha256:", "md5:00", "sha256:zz"] {
        let error = Transport::pinned("https://localhost:1", CaPin::Fingerprint(pin.to_owned())).expect_err(pin);
        assert!(matches!(error, TransportError::Pin { .. }), "{error:?}");
    }
    let transport = Transport::pinned("https://localhost:1", pem(&here)).expect("a transport");
    for (path, headers) in [("x", &[][..]), ("/a b", &[]), ("/", &[("bad name", "x")]), ("/", &[("x", "a\nb")])] {
        let error = transport.send(Method::Get, path, None, headers).expect_err(path);
        assert!(matches!(error, TransportError::Address { .. }), "{path}: {error:?}");
    }
}

#[test]
fn a_device_whose_clock_stands_back_reaches_its_server_and_no_other() {
    // The clock of this device stands centuries back.
    let here = site_of(2600, 2610);
    let server = serve(&here, |_| ok("{}"));
    let since = |proven| Transport::pinned_since(&server.url, pem(&here), Timeouts::default(), proven).expect("a transport");
    assert_eq!(since(0).get("/x").expect("reached").status, 200);
    // Chain and name are checked as ever.
    let error = Transport::pinned(&server.url, pem(&site_of(2600, 2610))).expect("a transport").get("/x").expect_err("another CA");
    assert!(matches!(error, TransportError::Untrusted { .. }), "{error:?}");
    let error = Transport::pinned(&server.url.replace("localhost", "127.0.0.1"), pem(&here)).expect("a transport").get("/x").expect_err("another name");
    assert!(matches!(error, TransportError::Untrusted { .. }), "{error:?}");
    // And what a server proved once is not forgotten: by then the certificate has ended.
    let (in_2605, in_2611) = (20_039_011_200, 20_228_400_000);
    assert_eq!(since(in_2605).get("/x").expect("reached").status, 200);
    let error = since(in_2611).get("/x").expect_err("ended");
    assert!(matches!(error, TransportError::Untrusted { .. }), "{error:?}");
    let ended = site_of(1975, 2001);
    let server = serve(&ended, |_| ok("{}"));
    Transport::pinned(&server.url, pem(&ended)).expect("a transport").get("/x").expect_err("ended long ago");
}
