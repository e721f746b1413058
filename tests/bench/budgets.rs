//! The budgets of architecture §6 that can be measured as ratios: durable authorizations
//! against an empty handler of the same stack, and accepted reports against raw inserts.
//! Both sides of a ratio run in turns in this one process, on this one machine.
//!
//! ```text
//! cargo bench --bench budgets            (2 workers; 3 rounds of 4 s a measure)
//! cargo bench --bench budgets -- new     (one measure only, for a profiler: empty, bytes, new, known, reports)
//! cargo bench --bench budgets -- serve   (no measure: for a load generator of your own, until Enter)
//! ```

#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::{App as ActixApp, HttpResponse, HttpServer, web};
use rusqlite::params;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tollkeeper::app::{App, Extent};
use tollkeeper::client::transport::{Method, Transport};
use tollkeeper::clock::{Clock as _, SystemClock, rfc3339};
use tollkeeper::documents::license_file::TEXT_VERSION;
use tollkeeper::documents::{ActivationRequest, License, LicenseStatus, SigningKey};
use tollkeeper::http::tls::{Shown, SiteAuthority, rustls_config};
use tollkeeper::licensing::{LicenseId, Slot};
use tollkeeper::settings::Settings;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Connections, unless the environment's TOLLKEEPER_BENCH_CONNECTIONS says otherwise.
const CONNECTIONS: usize = 256;
const REPORTS_A_REQUEST: usize = 20;
const WORKERS: usize = 2;
const MEASURE: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;

fn main() {
    let dir = tempfile::Builder::new()
        .prefix("budgets")
        .tempdir_in(std::env::var_os("TOLLKEEPER_BENCH_DIR").unwrap_or_else(|| "target".into()))
        .expect("a directory");
    let load = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    let (app, port, ca) = start_tollkeeper(dir.path());
    let answer = load.block_on(async {
        let mut stream = connect(&connector(&[&ca]), port).await;
        let (path, body) = authorize_known();
        exchange(&mut stream, &mut Vec::new(), &path, &body).await
    });
    let empty = start_empty_handler(answer);
    let connector = connector(&[&empty.1, &ca]);
    if let Some(only) = std::env::args().nth(1).filter(|name| !name.starts_with('-')) {
        if only == "serve" {
            println!("empty handler: https://localhost:{}/empty\nauthorizations: https://localhost:{port}/api/v1/authorize\nEnter ends it.", empty.0);
            let _ = std::io::stdin().read_line(&mut String::new());
            return app.stop();
        }
        // For a profiler: one measure, over and over.
        let authorization = authorize_once(&connector, port, &load);
        let (port, make): (u16, Make) = match only.as_str() {
            "empty" => (empty.0, Arc::new(|| ("/empty".to_owned(), "{}".to_owned()))),
            "bytes" => (empty.0, Arc::new(as_many_bytes)),
            "new" => (port, Arc::new(authorize_new)),
            "known" => (port, Arc::new(authorize_known)),
            _ => (port, Arc::new(move || report(&authorization))),
        };
        for _ in 0..ROUNDS {
            load.block_on(drive(&connector, port, Arc::clone(&make), 1));
        }
        return app.stop();
    }
    let mut raw = RawInserts::open(&dir.path().join("raw.db"));

    let mut authorizations = Vec::new();
    let mut refreshes = Vec::new();
    let mut reports = Vec::new();
    println!("{} keep-alive TLS connections, {WORKERS} workers, {} s a measure, all on this machine", connections(), MEASURE.as_secs());
    for round in 1..=ROUNDS {
        let handler = load.block_on(drive(&connector, empty.0, Arc::new(|| ("/empty".to_owned(), "{}".to_owned())), 1));
        let bytes = load.block_on(drive(&connector, empty.0, Arc::new(as_many_bytes), 1));
        let fresh = load.block_on(drive(&connector, port, Arc::new(authorize_new), 1));
        let known = load.block_on(drive(&connector, port, Arc::new(authorize_known), 1));
        let inserts = raw.run();
        let authorization = authorize_once(&connector, port, &load);
        let taken = load.block_on(drive(&connector, port, Arc::new(move || report(&authorization)), REPORTS_A_REQUEST as u64));
        println!(
            "round {round}: empty handler {handler:.0}/s, one that moves as many bytes {bytes:.0}/s, new devices {fresh:.0}/s, known devices {known:.0}/s, raw inserts {inserts:.0}/s, reports {taken:.0}/s"
        );
        authorizations.push(fresh / handler);
        refreshes.push(known / handler);
        reports.push(taken / inserts);
    }
    println!("authorizations of new devices / empty handler: {:.2} (budget 0.35)", median(&mut authorizations));
    println!("authorizations of known devices / empty handler: {:.2}", median(&mut refreshes));
    println!("accepted reports, {REPORTS_A_REQUEST} a request / raw inserts: {:.2} (budget 0.30)", median(&mut reports));
    app.stop();
}

fn connections() -> usize {
    std::env::var("TOLLKEEPER_BENCH_CONNECTIONS").map_or(CONNECTIONS, |text| text.parse().expect("a number of connections"))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A request for an authorization, to a handler that has the answer.
fn as_many_bytes() -> (String, String) {
    ("/bytes".to_owned(), authorize_known().1)
}

/// An empty handler behind the same TLS, on the same number of workers; and one that gives this answer to everybody.
fn start_empty_handler(answer: Vec<u8>) -> (u16, String) {
    let now = SystemClock.now_seconds();
    let authority = SiteAuthority::create("bench", now).expect("authority");
    let leaf = authority.issue(&["localhost".to_owned()], now).expect("certificate");
    let tls = rustls_config(Arc::new(Shown::new(&leaf).expect("certificate")), None).expect("TLS");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let port = listener.local_addr().expect("address").port();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let answer = web::Bytes::from(answer);
            HttpServer::new(move || {
                let answer = answer.clone();
                ActixApp::new()
                    .route("/empty", web::post().to(async |_: web::Bytes| HttpResponse::Ok().finish()))
                    .route("/bytes", web::post().to(move |_: web::Bytes| std::future::ready(HttpResponse::Ok().body(answer.clone()))))
            })
            .workers(WORKERS)
            .disable_signals()
            .listen_rustls_0_23(listener, tls)
            .expect("listens")
            .run()
            .await
        })
    });
    (port, authority.ca_pem)
}

/// The product, with items of a quota that no run reaches.
fn start_tollkeeper(dir: &Path) -> (App, u16, String) {
    let mut settings = Settings::for_data(dir.join("data"));
    settings.listen = vec!["127.0.0.1:0".to_owned()];
    settings.limits.workers = WORKERS;
    settings.limits.device_requests_per_minute = 0;
    let app = App::start(&settings, Arc::new(SystemClock), Extent::Server).expect("starts");
    let vendor = SigningKey::generate();
    std::fs::write(settings.data.join("vendors/bench.pub"), vendor.verifying_key().to_spki_pem()).expect("key");
    let admin = Transport::unix(settings.data.join("admin.sock"));
    let request = admin.get("/api/v1/admin/request").expect("request");
    let request = ActivationRequest::parse(&String::from_utf8_lossy(&request.body)).expect("request");
    let common =
        json!({"quota": 1_000_000_000_000u64, "valid_from": "2020-01-01T00:00:00Z", "valid_to": "2099-01-01T00:00:00Z", "local_license_validity": "7d"});
    let item = |fields: serde_json::Value| {
        let mut whole = common.clone();
        whole.as_object_mut().expect("object").extend(fields.as_object().expect("object").clone());
        serde_json::from_value(whole).expect("item")
    };
    let license = License {
        license_text_version: TEXT_VERSION.to_owned(),
        license_id: LicenseId(100),
        alias: "bench".to_owned(),
        organization_id: "216998".parse().expect("organization"),
        license_status: LicenseStatus::New,
        issued_at: chrono::DateTime::from_timestamp(SystemClock.now_seconds(), 0).expect("time"),
        servers: vec![],
        items: vec![
            item(json!({"item_id": 1, "product": "dbr", "charge_way": "device", "period": "quarter"})),
            item(json!({"item_id": 2, "product": "dcs", "charge_way": "scan"})),
        ],
    };
    let file = license.activate(&vendor, &request.servers, SystemClock.now_seconds()).expect("activated").seal(&vendor);
    let imported = admin.request(Method::Post, "/api/v1/admin/licenses", Some(&json!({"file": file}))).expect("imported");
    assert!(imported.is_success(), "{}", String::from_utf8_lossy(&imported.body));
    let (port, ca) = (app.https_addresses()[0].port(), app.context().ca_pem.clone());
    (app, port, ca)
}

/// One journal row and one report row each, a thousand a transaction, as durable as ours.
struct RawInserts {
    connection: rusqlite::Connection,
    next: i64,
}

impl RawInserts {
    fn open(path: &Path) -> Self {
        let connection = rusqlite::Connection::open(path).expect("database");
        tollkeeper::store::open::prepare(&connection).expect("pragmas");
        connection
            .execute_batch(
                "CREATE TABLE journal (origin BLOB, sequence INTEGER, stamp INTEGER, kind TEXT, body BLOB, hash BLOB, PRIMARY KEY (origin, sequence)) WITHOUT ROWID;
                 CREATE TABLE reports (report_id BLOB PRIMARY KEY, origin BLOB, sequence INTEGER, slot INTEGER, client_uuid BLOB, code_id BLOB, charges TEXT) WITHOUT ROWID;",
            )
            .expect("tables");
        Self { connection, next: 0 }
    }

    fn run(&mut self) -> f64 {
        let origin = Uuid::new_v4();
        let client = Uuid::new_v4();
        let charges = r#"[{"item_id":2,"counts":{"Code 128":3,"QR Code":12}}]"#;
        let body = format!(
            r#"{{"client":"{client}","reports":[{{"id":"{client}","slot":1795348800,"code":"{client}","product":"dcs","unit":"scan","charges":{charges}}}]}}"#
        );
        let (began, first) = (Instant::now(), self.next);
        while began.elapsed() < MEASURE {
            self.connection.execute_batch("BEGIN IMMEDIATE").expect("begins");
            for _ in 0..1_000 {
                self.next += 1;
                let id = Uuid::new_v4();
                self.connection
                    .prepare_cached("INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
                    .expect("prepares")
                    .execute(params![origin.as_bytes(), self.next, self.next, "reports_accepted", body, [7u8; 32]])
                    .expect("inserts");
                self.connection
                    .prepare_cached("INSERT INTO reports VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
                    .expect("prepares")
                    .execute(params![id.as_bytes(), origin.as_bytes(), self.next, 1_795_348_800, client.as_bytes(), client.as_bytes(), charges])
                    .expect("inserts");
            }
            self.connection.execute_batch("COMMIT").expect("commits");
        }
        (self.next - first) as f64 / began.elapsed().as_secs_f64()
    }
}

fn authorize_body(client: Uuid, product: &str) -> String {
    let nonce = Uuid::new_v4().simple();
    format!(
        r#"{{"client_uuid":"{client}","organization_id":"216998","handshake_code":"216998-100","product":"{product}","product_version":"9.6.30","edition":"mobile","deployment_type":"mobile","modules":["qr-code"],"nonce":"{nonce}"}}"#
    )
}

fn authorize_new() -> (String, String) {
    ("/api/v1/authorize".to_owned(), authorize_body(Uuid::new_v4(), "dbr"))
}

fn authorize_known() -> (String, String) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let device = NEXT.fetch_add(1, Ordering::Relaxed) % 1_000 + 1;
    ("/api/v1/authorize".to_owned(), authorize_body(Uuid::from_u128(u128::from(device)), "dcs"))
}

struct Authorized {
    client: Uuid,
    jws: String,
}

fn authorize_once(connector: &TlsConnector, port: u16, load: &tokio::runtime::Runtime) -> Authorized {
    let client = Uuid::new_v4();
    let body = load.block_on(async {
        let mut stream = connect(connector, port).await;
        exchange(&mut stream, &mut Vec::new(), "/api/v1/authorize", &authorize_body(client, "dcs")).await
    });
    let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    Authorized { client, jws: answer["authorization"].as_str().expect("authorized").to_owned() }
}

fn report(authorized: &Authorized) -> (String, String) {
    let slot = rfc3339(Slot::containing(SystemClock.now_seconds() - 600).start());
    let reports: Vec<String> = (0..REPORTS_A_REQUEST)
        .map(|_| {
            let id = Uuid::new_v4();
            format!(
                r#"{{"report_id":"{id}","slot":"{slot}","handshake_code":"216998-100","product":"dcs","unit":"scan","counts":{{"QR Code":12,"Code 128":3}}}}"#
            )
        })
        .collect();
    let body = format!(r#"{{"client_uuid":"{}","authorization":"{}","reports":[{}]}}"#, authorized.client, authorized.jws, reports.join(","));
    ("/api/v1/reports".to_owned(), body)
}

fn connector(authorities: &[&str]) -> TlsConnector {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    for pem in authorities {
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("authority");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

type Stream = TlsStream<tokio::net::TcpStream>;

async fn connect(connector: &TlsConnector, port: u16) -> Stream {
    let tcp = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
    tcp.set_nodelay(true).expect("nodelay");
    connector.connect("localhost".try_into().expect("name"), tcp).await.expect("TLS")
}

/// Makes the path and body of the next request.
type Make = Arc<dyn Fn() -> (String, String) + Send + Sync>;

/// Requests a second over all connections, times `worth`. Every answer must be 200.
async fn drive(connector: &TlsConnector, port: u16, make: Make, worth: u64) -> f64 {
    let mut streams = Vec::new();
    for _ in 0..connections() {
        streams.push(connect(connector, port).await);
    }
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let tasks = streams.into_iter().map(|mut stream| {
        let make = Arc::clone(&make);
        tokio::spawn(async move {
            let mut buffer = Vec::with_capacity(8_192);
            let mut done = 0;
            while began.elapsed() < MEASURE {
                let (path, body) = make();
                exchange(&mut stream, &mut buffer, &path, &body).await;
                done += worth;
            }
            done
        })
    });
    let mut done = 0;
    for task in tasks.collect::<Vec<_>>() {
        done += task.await.expect("a connection's work");
    }
    let rate = done as f64 / began.elapsed().as_secs_f64();
    println!("    {rate:.0}/s at {:.1} µs of processor time each, load generator included", (cpu_seconds() - cpu) * 1e6 / done as f64);
    rate
}

/// Processor time of this process so far, all threads.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u64 = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

async fn exchange(stream: &mut Stream, buffer: &mut Vec<u8>, path: &str, body: &str) -> Vec<u8> {
    let request = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.expect("sent");
    buffer.clear();
    loop {
        assert!(stream.read_buf(buffer).await.expect("answer") > 0, "the server closed");
        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).expect("head");
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse::<usize>().expect("length")))
            .unwrap_or(0);
        if buffer.len() >= end + 4 + length {
            assert!(head.starts_with("HTTP/1.1 200"), "{}", String::from_utf8_lossy(buffer));
            return buffer[end + 4..].to_vec();
        }
    }
}
