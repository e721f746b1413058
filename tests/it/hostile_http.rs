//! What strangers, broken clients and bad networks send: raw bytes over TCP and TLS.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollkeeper::client::transport::Method;

use crate::support::wire::*;
use crate::support::{Device, Site};

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
fn admin_paths_are_401_without_data_for_whoever_comes_over_the_network_without_a_token() {
    let site = plain_site(|_| {});
    let claims = "Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\nAuthorization: Bearer x\r\nConnection: close\r\n";
    let ours = site.app().context().site.uuid().to_string();
    let leads_nowhere = ["//api/v1/admin/licenses", "/api/v1/./admin/licenses", "/api/v1/admin%2flicenses"];
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
            if leads_nowhere.contains(&path) {
                answer.is_malformed(404, "path");
            } else {
                let problem = answer.json();
                assert_eq!((answer.status, &problem["status"], &problem["code"]), (401, &json!(401), &json!(203)), "{path}");
                assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
            }
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
        assert_eq!(once(&site, request.as_bytes()).status, 401, "{method} {path}");
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
fn a_sender_who_drips_a_later_head_on_a_kept_connection_is_cut_off_too_and_busy_ones_are_not() {
    let site = plain_site(|settings| settings.limits.idle_seconds = 1);
    let mut busy = tls(&site, &[&rustls::version::TLS13], &[]);
    let mut kept = Wire::plain(plain_address(&site));
    kept.send(GET_SERVER);
    assert_eq!(kept.expect_answer().status, 200);
    kept.send("GET /api/v1/server HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
    let dripping = std::thread::spawn(move || trickle(kept.stream));
    // Whoever goes on asking is served all the while.
    let mut answered = 0;
    while !dripping.is_finished() {
        busy.send(GET_SERVER);
        assert_eq!(busy.expect_answer().status, 200);
        answered += 1;
    }
    let (said, took) = dripping.join().expect("joined");
    assert_eq!(said, "");
    assert!((Duration::from_millis(900)..Duration::from_secs(10)).contains(&took), "{took:?}");
    assert!(answered > 1);
    // An idle connection over TLS ends the same way.
    assert!(busy.rest().is_empty());
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
