//! The primary's machine is gone from one moment to the next, its disk with it: devices go on with
//! the standby, and everything that anybody acknowledged is there exactly once (architecture §4).
//!
//! `TOLLKEEPER_FULL=1` plays twenty rounds and two hundred kills; else one and a dozen.
#![expect(clippy::print_stderr, reason = "the figures of a long proof")]

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tollkeeper::client::transport::{Method, Transport};
use tollkeeper::clock::{Clock as _, SystemClock};
use tollkeeper::licensing::LicenseItem;
use tollkeeper::store::rebuild;
use uuid::Uuid;

use crate::support::joint::free_address;
use crate::support::two::{admin, standing, try_admin};
use crate::support::{Device, Process, Two, Vendor, full_strength, tollkeeper, until};

const THREADS: usize = 12;
const REPORTS_A_REQUEST: usize = 3;

/// A device that does what the client library does: keeps what is not safe, and sends it again.
struct Worker {
    device: Device,
    ways: [Transport; 2],
    at: usize,
    /// Reports that are not safe yet: with who took them, and in which of its facts.
    kept: HashMap<String, (Value, Option<(String, u64)>)>,
    units: u64,
    /// The names of the two servers in answers, once they are known.
    origins: [Option<String>; 2],
    /// What was said last to be safe and to be lost.
    told: [Value; 2],
}

impl Worker {
    fn new(ways: [Transport; 2]) -> Self {
        Self {
            device: Device::new(ways[0].clone(), "216998-100"),
            ways,
            at: 0,
            kept: HashMap::new(),
            units: 0,
            origins: [None, None],
            told: [Value::Null, Value::Null],
        }
    }

    fn post(&self, path: &str, body: &Value) -> Option<Value> {
        let reply = self.ways[self.at].post_json(path, body, &[]).ok()?;
        // Not now is an answer; anything else would be one for ever.
        assert!(reply.is_success() || reply.status == 503, "{path}: {}", String::from_utf8_lossy(&reply.body));
        reply.is_success().then(|| reply.json().expect("JSON"))
    }

    fn authorize(&mut self) -> bool {
        let Some(answer) = self.post("/api/v1/authorize", &self.device.request()) else { return false };
        self.device.authorization = answer["authorization"].as_str().map(str::to_owned);
        self.device.ticket = answer["ticket"].as_str().map(str::to_owned);
        self.learn(&answer);
        true
    }

    /// Sends again what was lost, and forgets what is safe.
    fn learn(&mut self, answer: &Value) {
        // Thousands of times a second it is the same.
        if [&answer["safe"], &answer["lost"]] == [&self.told[0], &self.told[1]] {
            return;
        }
        self.told = ["safe", "lost"].map(|name| answer[name].clone());
        let is_lost = |origin: &String, sequence: u64| {
            let ranges = answer["lost"][origin].as_array().into_iter().flatten();
            ranges.into_iter().any(|range| (range[0].as_u64()..=range[1].as_u64()).contains(&Some(sequence)))
        };
        for (_, taken) in self.kept.values_mut() {
            if taken.as_ref().is_some_and(|(origin, sequence)| is_lost(origin, *sequence)) {
                *taken = None;
            }
        }
        let is_safe = |taken: &Option<(String, u64)>| taken.as_ref().is_some_and(|(origin, sequence)| answer["safe"][origin].as_u64() >= Some(*sequence));
        self.kept.retain(|_, (_, taken)| !is_safe(taken));
    }

    fn record(&mut self) {
        for n in 0..REPORTS_A_REQUEST {
            let report = self.device.scans(SystemClock.now_seconds() - 400 - 180 * n as i64, json!({"QR Code": n + 1}));
            self.units += n as u64 + 1;
            self.kept.insert(report["report_id"].as_str().expect("an id").to_owned(), (report, None));
        }
    }

    /// Whether the server that is asked now said that it has this report.
    fn is_here(&self, taken: &Option<(String, u64)>) -> bool {
        taken.as_ref().is_some_and(|(origin, _)| Some(origin) == self.origins[self.at].as_ref())
    }

    /// Sends what this server has not said that it has; whether it has all of it.
    fn send(&mut self) -> bool {
        let mut reports: Vec<Value> = self.kept.values().filter(|(_, taken)| !self.is_here(taken)).map(|(report, _)| report.clone()).collect();
        let is_all = reports.len() <= 500;
        reports.truncate(500);
        reports.is_empty() || (self.send_these(&reports) && is_all)
    }

    /// Sends these; whether it got an answer.
    fn send_these(&mut self, reports: &[Value]) -> bool {
        let Some(answer) = self.post("/api/v1/reports", &self.device.report_body(reports)) else { return false };
        assert_eq!(answer["rejected"], json!([]));
        let (origin, sequence) = (answer["origin"].as_str().expect("a server").to_owned(), answer["sequence"].as_u64().expect("a number"));
        self.origins[self.at] = Some(origin.clone());
        for id in ["accepted", "duplicate"].iter().flat_map(|list| answer[*list].as_array().expect("a list")) {
            if let Some((_, taken)) = self.kept.get_mut(id.as_str().expect("an id")) {
                *taken = Some((origin.clone(), sequence));
            }
        }
        self.learn(&answer);
        true
    }
}

/// `tollkeeper simulate` under way. It ends with the value.
struct Simulation(Child);

impl Simulation {
    /// Devices of both servers, for so many seconds; what is acknowledged goes into that file.
    fn start(two: &Two, seconds: u64, acknowledged: &Path) -> Self {
        let codes = admin(&two.data[0], Method::Get, "handshakes", None);
        let key = codes[0]["license_key"].as_str().expect("a license key");
        let mut command = tollkeeper(&["simulate", "--product", "dbr", "--json", "--license-key", key]);
        // The standby is the one that can be asked in the end.
        command.args(["--load", &seconds.to_string()]).arg("--data").arg(&two.data[1]).arg("--acknowledged").arg(acknowledged);
        Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts"))
    }

    /// What came out.
    fn outcome(mut self) -> Value {
        let (mut told, mut trouble) = (String::new(), String::new());
        self.0.stdout.take().expect("its output").read_to_string(&mut told).expect("text");
        self.0.stderr.take().expect("its errors").read_to_string(&mut trouble).expect("text");
        assert!(self.0.wait().expect("ended").success(), "{told}{trouble}");
        serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}{trouble}"))
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        // Already ended when the test was a good one.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Longer than it takes to notice that the primary is gone, so that devices work with the standby, too.
const LOAD_SECONDS: u64 = 46;

/// One round; how long devices waited, and how many requests a second there were before the kill.
fn play_round(seed: u64) -> (f64, u64) {
    let mut two = Two::new();
    let ids = two.data[1].with_file_name("acknowledged");
    let total = |data: &Path| admin(data, Method::Get, "statistics", None)["total"].as_u64().expect("a number");
    let simulation = Simulation::start(&two, LOAD_SECONDS, &ids);
    until("the primary is under load", 60, || (total(&two.data[0]) > 0).then_some(()));
    std::thread::sleep(Duration::from_millis(3_000 + seed % 5_000));
    two.processes[0].take().expect("runs").kill();
    std::fs::remove_dir_all(&two.data[0]).expect("the disk is gone");

    let outcome = simulation.outcome();
    assert_eq!((&outcome["exact"], &outcome["unsent"], &outcome["rejected"]), (&json!(true), &json!(0), &json!(0)), "each report exactly once: {outcome}");
    assert_eq!(outcome["units"].as_u64(), Some(total(&two.data[1])), "{outcome}");
    let seconds: Vec<u64> = outcome["load"]["answered_per_second"].as_array().expect("a list").iter().map(|count| count.as_u64().expect("a number")).collect();
    // Neither the second in which it began, nor the one in which the primary was killed, is a whole one.
    let killed = seconds.iter().position(|count| *count == 0).expect("nobody served for a time") - 1;
    let (before, after) = (&seconds[1..killed], &seconds[killed..]);
    assert!(after.iter().any(|count| *count > 0), "the standby did not get any load: {seconds:?}");

    two.processes[1].take().expect("runs").kill();
    let database = Connection::open_with_flags(two.data[1].join("tollkeeper.db"), OpenFlags::SQLITE_OPEN_READ_WRITE).expect("opens");
    let text = std::fs::read_to_string(&ids).expect("what was acknowledged");
    let acknowledged: HashSet<Uuid> = text.lines().map(|id| id.parse().expect("an id")).collect();
    assert!(acknowledged.len() as u64 >= before.iter().sum::<u64>() / 3, "{} are acknowledged: {outcome}", acknowledged.len());
    let mut find = database.prepare("SELECT COUNT(*) FROM reports WHERE report_id = ?1").expect("prepared");
    for id in acknowledged {
        assert_eq!(find.query_row([id.as_bytes()], |row| row.get::<_, i64>(0)).expect("counted"), 1, "{id} was acknowledged");
    }
    drop(find);
    rebuild::verify(&database).expect("the journal and the tables agree");
    (outcome["load"]["longest_wait_seconds"].as_f64().expect("a number"), before.iter().sum::<u64>() / before.len() as u64)
}

#[test]
fn the_primary_and_its_disk_are_gone_and_every_acknowledged_report_is_there_exactly_once() {
    let rounds = if full_strength() { 20 } else { 1 };
    let results: Vec<(f64, u64)> = (0..rounds).map(|_| play_round(Uuid::new_v4().as_u64_pair().0)).collect();
    let longest = results.iter().map(|(waited, _)| *waited).fold(0.0, f64::max);
    let rates: Vec<u64> = results.iter().map(|(_, rate)| *rate).collect();
    eprintln!("{rounds} failovers: a device waited at most {longest:.1} s; requests a second before the kill: {rates:?}");
    assert!(longest <= 35.0, "{longest}");
    assert!(rates.iter().all(|rate| *rate >= 2_000), "{rates:?}");
}

/// Waits, and tells how the two stand when that is in vain.
fn until_of<T>(two: &Two, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    until(what, 600, || {
        let found = look();
        if found.is_none() && began.elapsed() > Duration::from_secs(60) {
            if let Some(folder) = std::env::var_os("TOLLKEEPER_KEEP") {
                std::process::Command::new("cp").arg("-r").arg(two.data[0].parent().expect("a folder")).arg(folder).status().expect("copied");
            }
            let log = |which: usize| two.processes[which].as_ref().map(Process::log).unwrap_or_default();
            panic!("never: {what}\n{:?}\n{:?}\n{}\n{}", standing(&two.data[0]), standing(&two.data[1]), log(0), log(1));
        }
        found
    })
}

/// What is under way when a server is killed.
const WORKS: &[&str] = &["backup", "sync", "restore", "serve"];

#[test]
fn whatever_is_under_way_when_a_server_is_killed_it_goes_on_whole() {
    let rounds = if full_strength() { 200 } else { 12 };
    let mut two = Two::new();
    let mut worker = Worker::new([two.transport(0), two.transport(1)]);
    let mut killed: HashMap<&str, u32> = HashMap::new();
    for round in 0..rounds {
        // Who serves may change at any moment.
        until_of(&two, "the device is served", || {
            worker.at = two.find_serving()?;
            worker.authorize().then_some(())
        });
        // Two disks that are lost at the same time are lost.
        until_of(&two, "both hold the same", || {
            let reply = Transport::unix(two.data[two.find_serving()?].join("admin.sock")).request(Method::Post, "/api/v1/admin/standby/sync", None).ok()?;
            reply.is_success().then_some(())
        });
        for _ in 0..20 {
            worker.record();
            until_of(&two, "its reports are taken", || {
                worker.at = two.find_serving()?;
                worker.send().then_some(())
            });
        }
        let work = WORKS[round % WORKS.len()];
        let victim = (Uuid::new_v4().as_u64_pair().0 % 2) as usize;
        let data = two.data[victim].clone();
        let pause = Duration::from_micros(Uuid::new_v4().as_u64_pair().0 % 120_000);
        let begun = std::thread::spawn(move || match work {
            "backup" => drop(Transport::unix(data.join("admin.sock")).request(Method::Post, "/api/v1/admin/backups", Some(&json!({})))),
            "sync" => drop(Transport::unix(data.join("admin.sock")).request(Method::Post, "/api/v1/admin/standby/sync", None)),
            "restore" => {
                let listing = try_admin(&data, Method::Get, "backups", None);
                let name = listing
                    .and_then(|listing| listing["files"].as_array()?.iter().find(|file| file["reason"] != "replaced")?["name"].as_str().map(str::to_owned));
                if let Some(name) = name {
                    drop(Transport::unix(data.join("admin.sock")).request(Method::Post, &format!("/api/v1/admin/backups/{name}/restore"), Some(&json!({}))));
                }
            }
            _ => {}
        });
        std::thread::sleep(pause);
        two.processes[victim].take().expect("runs").kill();
        begun.join().expect("asked");
        *killed.entry(work).or_default() += 1;
        two.start(victim);
    }
    until_of(&two, "one serves and the other follows", || two.are_settled().then_some(()));
    worker.at = two.find_serving().expect("one serves");
    until_of(&two, "the device is served", || worker.authorize().then_some(()));
    // A restored server tells what it lost; this device sends again whatever it has still.
    worker.kept.values_mut().for_each(|(_, taken)| *taken = None);
    until_of(&two, "its reports are taken", || worker.send().then_some(()));
    admin(&two.data[worker.at], Method::Post, "standby/sync", None);
    for which in 0..2 {
        let usage = admin(&two.data[which], Method::Get, "statistics", None);
        assert_eq!(usage["total"].as_u64(), Some(worker.units), "server {which}");
    }
    for which in 0..2 {
        assert!(two.processes[which].take().expect("runs").terminate().success());
    }
    let open = |which: usize| Connection::open(two.data[which].join("tollkeeper.db")).expect("opens");
    let (a, b) = (open(0), open(1));
    rebuild::verify(&a).expect("the journal and the tables agree");
    rebuild::verify(&b).expect("the journal and the tables agree");
    eprintln!("{rounds} kills, by what was under way: {killed:?}");
}

#[test]
fn a_server_that_is_killed_while_it_joins_or_is_joined_goes_on_joining() {
    let rounds = if full_strength() { 25 } else { 2 };
    for round in 0..rounds {
        let dir = tempfile::tempdir().expect("directory");
        let (data, addresses) = (["a", "b"].map(|name| dir.path().join(name)), [free_address(), free_address()]);
        let serve = |which: usize| {
            let (folder, address) = (&data[which], addresses[which].to_string());
            let mut command = tollkeeper(&["serve", "--data", &folder.display().to_string(), "--listen", &address]);
            command.env("TOLLKEEPER_SERVER_URLS", format!("https://{address}"));
            Process::start(command, folder)
        };
        let mut processes = [0, 1].map(|which| Some(serve(which)));
        let vendor = Vendor::new();
        std::fs::write(data[0].join("vendors/vendor.pub"), vendor.key.verifying_key().to_spki_pem()).expect("written");
        let now = SystemClock.now_seconds();
        let request = admin(&data[0], Method::Get, "request", None);
        let item: LicenseItem = Vendor::item(json!({"item_id": 1, "product": "dbr", "charge_way": "scan", "quota": 1_000}));
        let file = vendor.activate(vendor.new_license(100, "216998", vec![item], now), request.as_str().expect("text"), now);
        admin(&data[0], Method::Post, "licenses", Some(json!({"file": file})));
        let invitation = admin(&data[0], Method::Post, "standby/invite", None);
        admin(&data[1], Method::Post, "standby/join", Some(json!({"url": format!("https://{}", addresses[0]), "token": invitation["token"]})));
        for _ in 0..3 {
            std::thread::sleep(Duration::from_micros(Uuid::new_v4().as_u64_pair().0 % 250_000));
            let victim = (Uuid::new_v4().as_u64_pair().0 % 2) as usize;
            processes[victim].take().expect("runs").kill();
            processes[victim] = Some(serve(victim));
        }
        let began = Instant::now();
        until("the new server follows", 90, || {
            let told = standing(&data[1]).filter(|told| told["this"]["doing"] == "following" && told["partner"]["heard_seconds_ago"].is_i64());
            let log = |which: usize| processes[which].as_ref().map(Process::log).unwrap_or_default();
            assert!(told.is_some() || began.elapsed() < Duration::from_secs(40), "{:?}\n{:?}\n{}\n{}", standing(&data[0]), standing(&data[1]), log(0), log(1));
            told
        });
        until("both hold the same", 60, || {
            let reply = Transport::unix(data[1].join("admin.sock")).request(Method::Post, "/api/v1/admin/standby/sync", None).ok()?;
            reply.is_success().then_some(())
        });
        assert_eq!(admin(&data[0], Method::Get, "licenses", None), admin(&data[1], Method::Get, "licenses", None), "round {round}");
        let left: Vec<_> = std::fs::read_dir(&data[1]).expect("read").map(|entry| entry.expect("entry").file_name()).collect();
        assert!(!left.iter().any(|name| name == "joining" || name == "incoming"), "{left:?}");
    }
}

/// A standby keeps up with a primary under full load: two minutes of it are synchronised in ten
/// seconds after their end.
#[test]
fn after_a_time_of_full_load_the_standby_has_everything_in_ten_seconds() {
    let load = Duration::from_secs(if full_strength() { 120 } else { 5 });
    let two = Two::new();
    let told = |which: usize| standing(&two.data[which]).expect("told");
    let facts = || told(0)["this"]["facts"].as_u64().expect("a number");
    let (before, ways) = (facts(), [two.transport(0), two.transport(1)]);
    let most = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let mut worker = Worker::new(ways.clone());
                scope.spawn(move || {
                    let began = Instant::now();
                    while !worker.authorize() {}
                    while began.elapsed() < load {
                        worker.record();
                        assert!(worker.send());
                        worker.kept.clear();
                    }
                })
            })
            .collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            most.fetch_max(told(0)["partner"]["lacks"].as_u64().unwrap_or(0), Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let (came, began) = (facts() - before, Instant::now());
    admin(&two.data[0], Method::Post, "standby/sync", None);
    let taken = began.elapsed();
    assert_eq!((&told(1)["partner"]["ahead"], &told(0)["facts_at_risk"]), (&json!(0), &json!(0)));
    let rate = came as f64 / load.as_secs_f64();
    eprintln!(
        "{came} facts came in {load:?}, {rate:.0}/s; at most {} were on one server alone; {taken:?} after the end both had all",
        most.load(Ordering::Relaxed)
    );
    assert!(taken <= Duration::from_secs(10), "{taken:?}");
}
