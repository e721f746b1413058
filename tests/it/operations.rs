//! What operations staff see from outside: metrics, the log, health, and what systemd hears.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tollkeeper::client::transport::{Method, Timeouts, Transport};
use tollkeeper::documents::jws;

use crate::support::wire::{Wire, plain_site};
use crate::support::{Desk, Process, until};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PASSWORD: &str = "a-session-password-of-line-4";

fn request(password: &str) -> Value {
    json!({"client_uuid": "6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88", "handshake_code": "216998-line4", "session_password": password, "product": "dbr",
        "product_version": "9.6", "nonce": "AAAAAAAAAAAAAAAAAAAAAA"})
}

/// The value of one series, as `promtool` would read it.
fn series(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// The address that a log line names before this path.
fn address_before(process: &Process, path: &str) -> String {
    let line = until("the log names the address", 10, || process.log().lines().find(|line| line.contains(path)).map(str::to_owned));
    let at = line.find("http://").expect("an address");
    line[at..].split(path).next().expect("an address").to_owned()
}

fn check_metrics(text: &str) {
    let mut child =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("promtool");
    child.stdin.take().expect("stdin").write_all(text.as_bytes()).expect("written");
    let told = child.wait_with_output().expect("ends");
    let complaints = [told.stdout, told.stderr].concat();
    assert!(told.status.success() && complaints.is_empty(), "{}\n{text}", String::from_utf8_lossy(&complaints));
}

#[test]
fn metrics_tell_what_is_counted_and_how_things_stand_and_promtool_finds_no_fault() {
    let site = plain_site(|settings| settings.metrics.listen = vec!["127.0.0.1:0".to_owned()]);
    let mut device = site.device("216998-100");
    device.authorize().expect("authorized");
    device.report(&[device.scans(site.now(), json!({"QR Code": 7}))]).expect("taken");
    let _ = device.authorize_with(json!({"product": "other"}));
    let address = site.app().metrics_addresses()[0];
    let scrape = |path: &str| {
        let mut wire = Wire::plain(address);
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        wire.expect_answer()
    };
    let text = String::from_utf8(scrape("/metrics").body).expect("text");
    for (name, value) in [
        ("tollkeeper_denials_total{code=\"106\"}", 1.0),
        ("tollkeeper_http_requests_total{route=\"/api/v1/authorize\",status=\"200\"}", 1.0),
        ("tollkeeper_http_requests_total{route=\"/api/v1/authorize\",status=\"403\"}", 1.0),
        ("tollkeeper_http_request_duration_seconds_count{route=\"/api/v1/authorize\"}", 2.0),
        ("tollkeeper_item_used{charge_way=\"scan\",item_id=\"1\",product=\"dbr\"}", 7.0),
        ("tollkeeper_serving", 1.0),
        ("tollkeeper_role{role=\"primary\"}", 1.0),
        ("tollkeeper_exception{name=\"backup_failing\"}", 0.0),
        ("tollkeeper_writer_queue_commands", 0.0),
    ] {
        assert_eq!(series(&text, name), Some(value), "{name} in\n{text}");
    }
    let facts = series(&text, &format!("tollkeeper_facts{{origin=\"{}\"}}", site.app().context().site.uuid())).expect("facts");
    assert!(facts >= 4.0 && series(&text, "tollkeeper_commit_batch_commands_count").is_some_and(|count| count > 3.0), "{text}");
    check_metrics(&text);
    // Nothing else is answered there, and nothing of this without a token elsewhere.
    for path in ["/", "/api/v1/server", "/admin/", "/api/v1/admin/licenses"] {
        assert_eq!(scrape(path).status, 404, "{path}");
    }
    assert_eq!((scrape("/health").status, scrape("/health/live").status), (200, 200));
    let transport = site.anonymous();
    for path in ["/metrics", "/api/v1/metrics"] {
        assert_eq!(transport.get(path).expect("an answer").status, 401, "{path}");
        let token =
            site.admin(Method::Post, "tokens", Some(json!({"name": path.replace('/', "-"), "scope": "read"})))["token"].as_str().expect("a token").to_owned();
        let answer = transport.send(Method::Get, path, None, &[("Authorization", &format!("Bearer {token}"))]).expect("an answer");
        assert_eq!(answer.status, 200);
        assert!(String::from_utf8(answer.body).expect("text").contains("tollkeeper_build_info{"), "{path}");
    }
}

#[test]
fn the_sample_rules_and_their_scrape_are_in_order() {
    for (words, file) in [(["check", "rules"], "rules.yml"), (["check", "config"], "prometheus.yml")] {
        let told = Command::new("promtool").args(words).arg(format!("{ROOT}/install/prometheus/{file}")).output().expect("promtool");
        assert!(told.status.success(), "{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    }
    let told = Command::new("promtool").args(["test", "rules", &format!("{ROOT}/tests/prometheus/rules.test.yml")]).output().expect("promtool");
    assert!(told.status.success(), "{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    // The dashboard asks for nothing that is not there.
    let site = plain_site(|settings| settings.metrics.listen = vec!["127.0.0.1:0".to_owned()]);
    site.device("216998-100").authorize_with(json!({"product": "other"})).expect_err("refused");
    let mut wire = Wire::plain(site.app().metrics_addresses()[0]);
    wire.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let text = String::from_utf8(wire.expect_answer().body).expect("text");
    // What only a site with a partner or a backup has.
    let elsewhere = ["tollkeeper_partner_lacking_facts", "tollkeeper_last_backup_timestamp_seconds"];
    let dashboard = std::fs::read_to_string(format!("{ROOT}/install/grafana/dashboard.json")).expect("the dashboard");
    serde_json::from_str::<Value>(&dashboard).expect("JSON");
    let names = dashboard.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("tollkeeper_"));
    let mut seen = 0;
    for name in names {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(text.contains(&format!("# TYPE {family} ")) || elsewhere.contains(&family), "{name}");
        seen += 1;
    }
    assert!(seen > 10, "the dashboard asks for {seen} series");
}

/// A Prometheus that was started by this test.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn prometheus_scrapes_the_server_and_fires_the_rules() {
    let desk = Desk::licensed();
    // A backup cannot be written into a file.
    desk.write("no-directory", "");
    let server = desk.serve_with(&[("TOLLKEEPER_METRICS_LISTEN", "127.0.0.1:0"), ("TOLLKEEPER_BACKUP_DIRECTORY", "no-directory")]);
    let target = address_before(&server, "/metrics").replace("http://", "");
    let config = json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [format!("{ROOT}/install/prometheus/rules.yml")],
        "scrape_configs": [{"job_name": "tollkeeper", "static_configs": [{"targets": [target]}]}],
    });
    desk.write("prometheus.yml", &config.to_string());
    let mut child = Command::new("prometheus")
        .current_dir(desk.path())
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=series", "--web.listen-address=127.0.0.1:0"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("prometheus");
    let log = child.stderr.take().expect("its log");
    let _prometheus = Prometheus(child);
    let mut lines = BufReader::new(log).lines().map_while(Result::ok);
    // It says twice where: as it was told, and as it is.
    let address = lines.find_map(|line| {
        let port: u16 = line.split("address=127.0.0.1:").nth(1)?.split_whitespace().next()?.parse().ok()?;
        (port != 0).then(|| format!("http://127.0.0.1:{port}"))
    });
    std::thread::spawn(move || lines.for_each(drop));
    let api = Transport::plain(&address.expect("prometheus listens"), Timeouts::default()).expect("transport");
    let fired = until("the rule fires", 60, || {
        let answer: Value = api.get("/api/v1/alerts").ok()?.json().ok()?;
        let alerts = answer["data"]["alerts"].as_array()?.clone();
        alerts.into_iter().find(|alert| alert["labels"]["alertname"] == "TollkeeperException" && alert["state"] == "firing")
    });
    assert_eq!(fired["labels"]["name"], "backup_failing", "{fired}");
}

#[test]
fn a_request_has_one_name_in_its_answer_and_in_the_log() {
    let desk = Desk::licensed();
    let server = desk.serve_with(&[("TOLLKEEPER_LOG_LEVEL", "debug")]);
    let (first, second) = (server.transport().get("/nowhere").expect("an answer"), server.transport().get("/api/v1/server").expect("an answer"));
    let (name, other) = (first.header("x-request-id").expect("a name").to_owned(), second.header("x-request-id").expect("a name").to_owned());
    assert_ne!(name, other);
    assert_eq!(first.json::<Value>().expect("a problem")["request_id"], json!(name));
    // Those who stand before the handlers name it too.
    let refused = server.transport().get("/api/v1/admin/licenses").expect("an answer");
    assert_eq!((refused.status, refused.json::<Value>().expect("a problem")["request_id"].as_str()), (401, refused.header("x-request-id")));
    let log = until("the log tells of it", 10, || Some(server.log()).filter(|log| log.contains(&other)));
    let line = log.lines().find(|line| line.contains(&name)).expect("a line");
    assert!(line.contains("/nowhere") && line.contains("404"), "{line}");
}

#[test]
fn the_log_is_json_where_that_is_asked_for_and_its_level_changes_while_it_runs() {
    let desk = Desk::licensed();
    let server = desk.serve_with(&[("TOLLKEEPER_LOG_FORMAT", "json")]);
    for line in server.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')) && line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    let name = server.transport().get("/quiet").expect("an answer").header("x-request-id").expect("a name").to_owned();
    assert_eq!(desk.done(&["log-level"]), "info\n");
    desk.done(&["log-level", "DEBUG"]);
    assert_eq!(desk.done(&["log-level"]), "debug\n");
    let loud = server.transport().get("/loud").expect("an answer").header("x-request-id").expect("a name").to_owned();
    let log = until("the log tells of it", 10, || Some(server.log()).filter(|log| log.contains(&loud)));
    assert!(!log.contains(&name), "{log}");
    assert!(desk.refused(&["log-level", "loud"]).contains("error, warn, info, debug or trace"));
}

#[test]
fn no_secret_is_in_the_log_however_much_it_tells() {
    let desk = Desk::licensed();
    desk.done_with(&["handshake", "add", "216998-line4", "--items", "100000001", "--session-password-stdin"], PASSWORD);
    let key = desk.done(&["handshake", "key", "216998-line4"]);
    let token: Value = desk.json(&["admin", "token", "add", "robot", "--scope", "write", "--json"]);
    let token = token["token"].as_str().expect("a token").to_owned();
    let server = desk.serve_with(&[("TOLLKEEPER_LOG_LEVEL", "trace")]);
    let transport = server.transport();
    let granted = transport.post_json("/api/v1/authorize", &request(PASSWORD), &[]).expect("an answer");
    assert_eq!(granted.status, 200, "{}", String::from_utf8_lossy(&granted.body));
    let granted: Value = granted.json().expect("JSON");
    assert_eq!(transport.post_json("/api/v1/authorize", &request("another password"), &[]).expect("an answer").status, 401);
    let headers = [("Authorization", format!("Bearer {token}"))];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(transport.send(Method::Get, "/api/v1/admin/handshakes/216998-line4/key", None, &headers).expect("an answer").status, 200);
    // The same by HTTP/2, whose library tells frames and headers if it is let.
    let h2 = Command::new("curl")
        .args(["--silent", "--http2", "--insecure", "-H", &format!("Authorization: Bearer {token}"), "-o", "/dev/null", "-w", "%{http_version}"])
        .arg(format!("https://{}/api/v1/admin/licenses", server.address))
        .output()
        .expect("curl");
    assert_eq!(String::from_utf8_lossy(&h2.stdout), "2");
    let body = json!({"name": "anna", "password": "four words are enough", "role": "viewer"}).to_string();
    let made = transport.send(Method::Post, "/api/v1/admin/users", Some(("application/json", body.into_bytes())), &headers).expect("an answer");
    assert!(made.is_success(), "{}", String::from_utf8_lossy(&made.body));
    let log = server.log();
    assert!(log.contains("/api/v1/admin/users"), "the log tells of requests: {log}");
    let keyfile = std::fs::read(desk.path().join("data/secret.key")).expect("the key");
    let (hex, base64) = (keyfile.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), jws::encode(&keyfile));
    let secrets = [
        ("session password", PASSWORD),
        ("wrong password", "another password"),
        ("token", &token),
        ("license key", key.trim()),
        ("ticket", granted["ticket"].as_str().expect("a ticket")),
        ("authorization", granted["authorization"].as_str().expect("an authorization")),
        ("user's password", "four words are enough"),
        ("secret key in hex", &hex),
        ("secret key in base64", &base64),
    ];
    for (what, secret) in secrets {
        assert!(secret.len() > 8 && !log.contains(secret), "the log has the {what}");
    }
}

#[test]
fn health_is_told_on_the_command_line() {
    let desk = Desk::licensed();
    assert!(desk.refused(&["health"]).starts_with("no server runs on "));
    let server = desk.serve();
    let told = desk.done(&["health"]);
    assert!(told.contains("database") && told.contains("works") && !told.contains("FAILS"), "{told}");
    assert_eq!(desk.json(&["health", "--json"])["status"], "ok");
    assert_eq!(server.transport().get("/api/v1/health/live").expect("an answer").status, 200);
    assert_eq!(server.transport().get("/health/ready").expect("an answer").status, 200);
    assert!(server.terminate().success());
}

/// What systemd would hear next.
fn hear(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 512];
    let count = socket.recv(&mut bytes).expect("systemd hears of it");
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

#[test]
fn systemd_hears_that_the_server_is_ready_alive_and_stopping() {
    let desk = Desk::licensed();
    let path = desk.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    let server = desk.serve_with(&[("NOTIFY_SOCKET", path.to_str().expect("text")), ("WATCHDOG_USEC", "3000000")]);
    let mut heard = vec![hear(&socket), hear(&socket), hear(&socket)];
    assert!(heard.iter().any(|text| text.contains("READY=1")), "{heard:?}");
    assert!(heard.iter().filter(|text| text.contains("WATCHDOG=1")).count() >= 2, "{heard:?}");
    assert!(server.terminate().success());
    while !heard.last().is_some_and(|text| text.contains("STOPPING=1")) {
        heard.push(hear(&socket));
    }
}
