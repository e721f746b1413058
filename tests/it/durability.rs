//! What was acknowledged is on disk (architecture §3): the real program is killed at random
//! moments under load, and loses nothing and doubles nothing.
//!
//! `TOLLKEEPER_SEED` repeats the random moments of a run; every run prints its seed.
#![expect(clippy::print_stderr, reason = "the seed to repeat a run with, and the figures of a long proof")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollkeeper::client::transport::{Method, Transport, TransportError};
use tollkeeper::clock::{Clock as _, SystemClock};
use tollkeeper::licensing::LicenseItem;
use tollkeeper::store::rebuild;
use uuid::Uuid;

use crate::support::{Device, Process, Vendor, full_strength, tollkeeper};

const THREADS: usize = 6;
/// So many that a server which is told to stop is never idle for a moment.
const CROWD: usize = 48;
/// Rounds on one data directory, before a new one keeps the proofs quick.
const ROUNDS_PER_SITE: usize = 10;
/// Most requests acknowledged in a round before the kill.
const REQUESTS_MAX: u64 = 300;

/// Random numbers that can be had again.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let seed = std::env::var("TOLLKEEPER_SEED").ok().map(|text| text.parse().expect("TOLLKEEPER_SEED is a number"));
        let seed = seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0).max(1);
        eprintln!("TOLLKEEPER_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn micros_below(&mut self, limit: u64) -> Duration {
        Duration::from_micros(self.below(limit))
    }
}

fn now() -> i64 {
    SystemClock.now_seconds()
}

fn item(id: u64, quota: u64) -> LicenseItem {
    Vendor::item(
        json!({"item_id": id, "product": "dbr", "charge_way": "scan", "quota": quota, "valid_from": "2020-01-01T00:00:00Z", "valid_to": "2099-12-31T23:59:59Z"}),
    )
}

/// A data directory, and what its devices know they did.
struct Site {
    dir: TempDir,
    units: u64,
    granted: u64,
}

/// The first item of the code; what does not fit it goes to the second.
const FIRST_QUOTA: u64 = 500;

impl Site {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("directory"), units: 0, granted: 0 }
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    fn start(&self) -> Process {
        Process::serve(&self.data(), &[])
    }

    fn license(&self, process: &Process) {
        let vendor = Vendor::new();
        std::fs::write(process.data.join("vendors/vendor.pub"), vendor.key.verifying_key().to_spki_pem()).expect("written");
        let request = String::from_utf8(admin(process, Method::Get, "request", None)).expect("text");
        let license = vendor.new_license(100, "216998", vec![item(1, FIRST_QUOTA), item(2, 1_000_000_000)], now());
        admin(process, Method::Post, "licenses", Some(json!({"file": vendor.activate(license, &request, now())})));
    }
}

fn admin(process: &Process, method: Method, path: &str, body: Option<Value>) -> Vec<u8> {
    let reply = Transport::unix(process.data.join("admin.sock")).request(method, &format!("/api/v1/admin/{path}"), body.as_ref()).expect("answered");
    assert!(reply.is_success(), "{path}: {}", String::from_utf8_lossy(&reply.body));
    reply.body
}

/// Units charged to the two items.
fn used(process: &Process) -> (u64, u64) {
    let listing: Value = serde_json::from_slice(&admin(process, Method::Get, "licenses", None)).expect("JSON");
    let item = |index: usize| listing[0]["items"][index]["used"].as_u64().expect("number");
    (item(0), item(1))
}

/// Authorizations granted so far.
fn granted(process: &Process) -> u64 {
    let statistics: Value = serde_json::from_slice(&admin(process, Method::Get, "statistics", None)).expect("JSON");
    statistics["authorizations"]["granted"].as_u64().expect("number")
}

/// What a device did until the server was gone.
struct Work {
    device: Device,
    /// Authorizations that it has.
    authorized: u64,
    /// Reports that the server said it has.
    acknowledged: Vec<Value>,
    /// Reports sent without an answer.
    in_flight: Vec<Value>,
    /// An authorization asked for without an answer.
    asked: Option<Value>,
}

impl Work {
    fn new(transport: &Transport) -> Self {
        Self { device: Device::new(transport.clone(), "216998-100"), authorized: 0, acknowledged: vec![], in_flight: vec![], asked: None }
    }

    /// Asks for an authorization; whether there was an answer.
    fn authorize(&mut self) -> bool {
        let request = self.device.request();
        match post(&self.device.transport, "/api/v1/authorize", &request) {
            Some(answer) => {
                self.device.authorization = Some(answer["authorization"].as_str().expect("authorized").to_owned());
                self.device.ticket = Some(answer["ticket"].as_str().expect("a ticket").to_owned());
                self.authorized += 1;
                true
            }
            None => {
                self.asked = Some(request);
                false
            }
        }
    }

    /// Sends new reports; whether there was an answer.
    fn report(&mut self, count: usize) -> bool {
        let reports: Vec<Value> = (0..count).map(|number| self.device.scans(now() - 180 * number as i64, json!({"QR Code": number + 1, "EAN": 1}))).collect();
        match post(&self.device.transport, "/api/v1/reports", &self.device.report_body(&reports)) {
            Some(answer) => {
                assert_eq!(answer["accepted"].as_array().expect("list").len(), count, "{answer}");
                self.acknowledged.extend(reports);
                true
            }
            None => {
                self.in_flight = reports;
                false
            }
        }
    }
}

/// The answer, or `None` when the server went away.
fn post(transport: &Transport, path: &str, body: &Value) -> Option<Value> {
    match transport.post_json(path, body, &[]) {
        Ok(reply) => {
            assert!(reply.is_success(), "{path}: {} {}", reply.status, String::from_utf8_lossy(&reply.body));
            Some(reply.json().expect("JSON"))
        }
        Err(TransportError::Unreachable { .. } | TransportError::Answer { .. } | TransportError::Untrusted { .. }) => None,
        Err(error) => panic!("{path}: {error}"),
    }
}

fn units(reports: &[Value]) -> u64 {
    reports.iter().flat_map(|report| report["counts"].as_object().expect("counts").values()).map(|count| count.as_u64().expect("number")).sum()
}

/// New devices are authorized, report, report again and renew, on several threads, until
/// the server is gone. `end` runs once this many requests have been answered.
fn work_until(process: Process, threads: usize, requests: u64, end: impl FnOnce(Process)) -> Vec<Work> {
    let (tell, told) = channel();
    let transports: Vec<Transport> = (0..threads).map(|_| process.transport()).collect();
    std::thread::scope(|scope| {
        let running: Vec<_> = transports
            .iter()
            .map(|transport| {
                let tell = tell.clone();
                scope.spawn(move || {
                    // Nobody listens any more once the end has begun.
                    let answered = |went_well: bool| {
                        let _ = tell.send(());
                        went_well
                    };
                    let mut done = Vec::new();
                    loop {
                        let mut work = Work::new(transport);
                        let goes_on = answered(work.authorize()) && (1..=4).all(|count| answered(work.report(count))) && answered(work.authorize());
                        done.push(work);
                        if !goes_on {
                            return done;
                        }
                    }
                })
            })
            .collect();
        drop(tell);
        for _ in 0..requests {
            told.recv().expect("the devices go on working");
        }
        end(process);
        drop(told);
        running.into_iter().flat_map(|thread| thread.join().expect("a device")).collect()
    })
}

/// What a round came to.
#[derive(Default)]
struct Settled {
    acknowledged: u64,
    in_flight: u64,
    lost: u64,
    doubled: u64,
}

/// After the restart: what a device was told is there, what it was not told may be.
fn settle(process: &Process, works: Vec<Work>, site: &mut Site) -> Settled {
    let transport = process.transport();
    let mut settled = Settled::default();
    let told: u64 = works.iter().map(|work| units(&work.acknowledged)).sum();
    let untold: u64 = works.iter().map(|work| units(&work.in_flight)).sum();
    let (first, second) = used(process);
    let found = first + second - site.units;
    assert!((told..=told + untold).contains(&found), "{found} units are charged; {told} were acknowledged, {untold} more were sent");
    let authorized: u64 = works.iter().map(|work| work.authorized).sum();
    let asked = works.iter().filter(|work| work.asked.is_some()).count() as u64;
    let found = granted(process) - site.granted;
    assert!((authorized..=authorized + asked).contains(&found), "{found} authorizations are there; {authorized} were given, {asked} more were asked for");
    for mut work in works {
        work.device.transport = transport.clone();
        if !work.acknowledged.is_empty() {
            let answer = work.device.report(&work.acknowledged).expect("answered");
            settled.lost += (work.acknowledged.len() - answer["duplicate"].as_array().expect("list").len()) as u64;
            settled.acknowledged += work.acknowledged.len() as u64;
        }
        if !work.in_flight.is_empty() {
            let answer = work.device.report(&work.in_flight).expect("answered");
            assert_eq!(answer["rejected"], json!([]));
            settled.in_flight += work.in_flight.len() as u64;
        }
        // A request whose answer was lost may be repeated; so it is no clone.
        match work.asked {
            Some(request) => drop(post(&transport, "/api/v1/authorize", &request).expect("answered")),
            None => drop(work.device.authorize().expect("no clone")),
        }
    }
    site.units += told + untold;
    site.granted = granted(process);
    let (first, second) = used(process);
    settled.doubled = (first + second).saturating_sub(site.units);
    assert_eq!((settled.lost, settled.doubled), (0, 0), "reports lost, units doubled");
    assert_eq!((first, first + second), (site.units.min(FIRST_QUOTA), site.units), "everything is charged once and to the right item");
    settled
}

/// Beside the server that runs, on a snapshot.
fn verify(data: &Path) -> u64 {
    let connection = Connection::open_with_flags(data.join("tollkeeper.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens");
    connection.execute_batch("BEGIN").expect("a snapshot");
    rebuild::verify(&connection).expect("the chain is whole and the tables follow from it")
}

#[test]
fn what_was_acknowledged_survives_kill_9_exactly_once() {
    let rounds = if full_strength() { 200 } else { 5 };
    let mut chance = Chance::new();
    let began = Instant::now();
    let (mut sum, mut facts) = (Settled::default(), 0);
    let mut round = 0;
    while round < rounds {
        let mut site = Site::new();
        let mut process = site.start();
        site.license(&process);
        let here = ROUNDS_PER_SITE.min(rounds - round);
        for _ in 0..here {
            let (requests, moment) = (1 + chance.below(REQUESTS_MAX), chance.micros_below(3_000));
            let works = work_until(process, THREADS, requests, |process| {
                // The moment of the kill lies anywhere between two answers.
                std::thread::sleep(moment);
                process.kill();
            });
            process = site.start();
            let settled = settle(&process, works, &mut site);
            sum.acknowledged += settled.acknowledged;
            sum.in_flight += settled.in_flight;
            sum.lost += settled.lost;
            sum.doubled += settled.doubled;
            facts += verify(&site.data());
        }
        round += here;
        process.kill();
    }
    let Settled { acknowledged, in_flight, lost, doubled } = sum;
    eprintln!(
        "kill -9: {rounds} rounds, {acknowledged} reports acknowledged, {in_flight} in flight and sent again, {lost} lost, {doubled} doubled, {facts} facts proven, {:.1} s",
        began.elapsed().as_secs_f64()
    );
}

#[test]
fn a_first_start_that_is_killed_at_any_moment_never_hinders_the_next() {
    let rounds = if full_strength() { 20 } else { 3 };
    let mut chance = Chance::new();
    let measure = Instant::now();
    Site::new().start().kill();
    let whole_start = u64::try_from(measure.elapsed().as_micros()).expect("short");
    let mut unready = 0;
    for _ in 0..rounds {
        let site = Site::new();
        // Killed up to four times before it is let alone.
        for _ in 0..=chance.below(4) {
            let mut child =
                tollkeeper(&["serve", "--data", &site.data().display().to_string(), "--listen", "127.0.0.1:0"]).stderr(Stdio::null()).spawn().expect("starts");
            std::thread::sleep(chance.micros_below(whole_start));
            child.kill().expect("killed");
            child.wait().expect("ended");
            if !site.data().join("tls/ca.pem").exists() {
                unready += 1;
            }
        }
        let process = site.start();
        site.license(&process);
        let mut work = Work::new(&process.transport());
        assert!(work.authorize() && work.report(3), "the server works");
        assert_eq!(verify(&site.data()), 4, "license, handshake code, authorization, reports");
        let server = |process: &Process| process.transport().get("/api/v1/server").expect("answered").json::<Value>().expect("JSON")["server_uuid"].clone();
        let before = server(&process);
        process.kill();
        assert_eq!(server(&site.start()), before, "it knows who it is");
    }
    eprintln!("first starts killed: {rounds} sites, {unready} kills before the identity was complete; every next start worked");
}

#[test]
fn sigterm_under_load_finishes_what_is_in_flight_and_ends_well() {
    let rounds = if full_strength() { 20 } else { 2 };
    let (mut site, mut slowest, mut acknowledged) = (Site::new(), Duration::ZERO, 0);
    for _ in 0..rounds {
        let process = site.start();
        if site.units == 0 {
            site.license(&process);
        }
        let mut status = None;
        let works = work_until(process, CROWD, 100, |mut process| {
            let began = Instant::now();
            let sent = Command::new("kill").args(["-TERM", &process.child.id().to_string()]).status().expect("kill");
            assert!(sent.success());
            status = Some(process.child.wait().expect("ended"));
            slowest = slowest.max(began.elapsed());
        });
        assert_eq!(status.and_then(|status| status.code()), Some(0));
        assert!(slowest < Duration::from_secs(5), "devices that go on asking do not keep it from stopping: {slowest:?}");
        let process = site.start();
        acknowledged += settle(&process, works, &mut site).acknowledged;
        verify(&site.data());
        process.kill();
    }
    eprintln!("SIGTERM under load: {rounds} rounds, {acknowledged} reports acknowledged, none lost; the slowest stop took {slowest:.1?}");
}
