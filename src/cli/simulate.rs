//! `tollkeeper simulate`: a day of many devices, through the real client library, and whether
//! the server counted exactly what they did.
//!
//! On a sandbox the day goes by as fast as the machine can: the server's clock is moved. Any
//! other server gets what the devices did in the hours before, as from devices that were offline;
//! with `--load` slot by slot, in real time and under load.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use self::device::{Day, Faults, Tally, Trade};
use self::fleet::Fleet;
use self::load::Load;
use super::connect::{Admin, Create, find_running, segment};
use super::{DataArg, Failure, output, sandbox};
use crate::client::settings::{Config, Settings};
use crate::client::transport::{CaPin, Method, Reply, Timeouts, Transport};
use crate::clock::{Clock as _, SystemClock, rfc3339};
use crate::documents::files;
use crate::http::admin_api::statistics::UsageRow;
use crate::http::sandbox::{ClockAnswer, SandboxState};
use crate::licensing::slot::SLOT_SECONDS;
use crate::licensing::{DeploymentType, Unit};
use crate::log;
use crate::protocol::license_key::LicenseKey;
use crate::settings::{LogFormat, LogLevel};

pub mod device;
pub mod fleet;
pub mod load;

/// Most devices in one process.
const DEVICES_MAX: u64 = 1_000_000;
/// Largest public key file, in bytes.
const KEY_FILE_MAX: usize = 64 * 1024;
/// How often what is left is sent at the end.
const LAST_ROUNDS: usize = 20;
/// From one of these times to the next, where time goes by itself: a standby may have to take over first.
const LAST_PAUSE: Duration = Duration::from_secs(3);
/// The longest load, in seconds.
const LOAD_MAX: i64 = 86_400;

/// Flags of `simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tollkeeper simulate --devices 1000                     a sandbox of its own, a day in a minute
  tollkeeper simulate --license-key TK1.… --devices 50 --product dbr --data /var/lib/tollkeeper
  tollkeeper simulate --license-key TK1.… --product dbr --load 120 --data /var/lib/tollkeeper

In the end it compares, for each UTC day, the units of each type and the number of devices that did
something with what the server's statistics tell (they have no smaller part than a day). A device
that is killed may lose what it counted in its last seconds; those units are told, and not compared.

With --load the devices ask in real time, as fast as this machine can: each in turn works in the next of
the slots of its --hours, asks for its license and reports. Kill the main server meanwhile: the devices
go on with the standby as soon as that serves, and send it what the main server may have taken with it.
It tells how many requests were answered a second, and for how long at most a device asked in vain. Give
the --data of the server that will be alive in the end.

The server of its own has two addresses, so that devices find another one when the main server does
not answer (failover); a license key of yours must name two servers for that.

Exit status 1 when the server did not count exactly what the devices did.")]
pub struct SimulateArgs {
    /// The license key of the handshake code to use [default: a sandbox is started for it]
    #[arg(long, value_name = "KEY")]
    license_key: Option<String>,
    /// How many devices
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=DEVICES_MAX))]
    devices: u64,
    /// The product they run
    #[arg(long, value_name = "NAME", default_value = sandbox::LOAD)]
    product: String,
    /// How many hours of their life
    #[arg(long, value_name = "H", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=600))]
    hours: u16,
    /// In how many slots of three minutes each of them is at work, on the average
    #[arg(long, value_name = "N", default_value_t = 20)]
    active_slots: u64,
    /// Ask in real time for so many seconds, as fast as this machine can
    #[arg(long, value_name = "SECONDS", requires = "license_key", conflicts_with_all = ["faults", "active_slots"], value_parser = clap::value_parser!(u32).range(1..=LOAD_MAX))]
    load: Option<u32>,
    /// What goes wrong, separated by commas, or all
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    faults: Vec<Fault>,
    /// Makes the same day again
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// The vendor's public key [default: what a sandbox tells, or the vendors of --data]
    #[arg(long, value_name = "FILE")]
    vendor_public_key: Option<PathBuf>,
    /// The server's data directory: what it counted is read there [default: what a sandbox tells]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Write the ids of all reports that a server acknowledged to this file, one a line
    #[arg(long, value_name = "FILE")]
    acknowledged: Option<PathBuf>,
    /// Encrypt requests to the server itself, as where a proxy ends TLS
    #[arg(long)]
    sealed: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What can go wrong with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Fault {
    /// No network for hours
    Offline,
    /// A clock that is wrong, and is set back
    Skew,
    /// What is sent arrives twice
    Duplicates,
    /// Killed while an answer is on its way or before a count is on disk, and started again
    Kills,
    /// The main server does not answer now and then, the other one does
    Failover,
    /// All of them
    All,
}

fn faults_of(list: &[Fault]) -> Faults {
    let has = |fault| list.contains(&fault) || list.contains(&Fault::All);
    Faults {
        offline: has(Fault::Offline),
        skew: has(Fault::Skew),
        duplicates: has(Fault::Duplicates),
        kills: has(Fault::Kills),
        failover: has(Fault::Failover),
    }
}

/// What came out.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    devices: u64,
    granted: u64,
    refused: BTreeMap<u16, u64>,
    unanswered: u64,
    kills: u64,
    /// Units of the last seconds before a kill.
    lost: u64,
    /// Whether devices had another server to go to; `None` when that was not asked for.
    failover: Option<bool>,
    reports: u64,
    duplicates: u64,
    rejected: u64,
    units: u64,
    /// What the server counted, if it could be asked.
    server_units: Option<u64>,
    /// Whether that is the same, for each day, type by type, and in the number of devices.
    exact: Option<bool>,
    /// Devices that still have something to send.
    unsent: usize,
    /// What the servers stood; `None` when that was not asked for.
    load: Option<Load>,
    seconds: f64,
}

/// What was done, by UTC day.
type Days = BTreeMap<i64, Day>;

/// The server that the devices use.
struct Server {
    config: Config,
    code: String,
    sandbox: Option<Transport>,
    data: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: &SimulateArgs) -> Result<(), Failure> {
    match &args.license_key {
        Some(key) => play(args, key),
        None => {
            log::start(LogLevel::Warn, LogFormat::Text);
            // Two addresses: one of them may be the main server that does not answer.
            let started = sandbox::start(None, &["127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned()], &[])?;
            let played = started.license_key(sandbox::FLEET).and_then(|key| {
                let key: LicenseKey = key.parse().map_err(Failure)?;
                play(args, &LicenseKey { servers: started.urls(), ..key }.to_string())
            });
            started.stop();
            played
        }
    }
}

fn play(args: &SimulateArgs, license_key: &str) -> Result<(), Failure> {
    let server = find_server(args, license_key)?;
    if args.faults.contains(&Fault::Failover) && server.config.servers.len() < 2 {
        return Err(Failure("the license key names one server, so there is none to go to: leave out the fault failover, or give the key of a pair".to_owned()));
    }
    if args.load.is_some() && server.sandbox.is_some() {
        return Err(Failure("the license key is a sandbox's, whose time stands still: leave out --load, or give the license key of a real server".to_owned()));
    }
    let began = Instant::now();
    let trade = Arc::new(Trade {
        config: Arc::new(server.config.clone()),
        unit: Unit::Scan,
        types: &["QR Code", "Code 128", "EAN-13", "Data Matrix"],
        notes_acknowledged: args.acknowledged.is_some(),
    });
    let count = usize::try_from(args.devices).unwrap_or(usize::MAX);
    let start = server.now()?;
    let hours = i64::from(args.hours) * 3_600;
    let around = (start - hours).div_euclid(86_400) - 1..=(start + hours).div_euclid(86_400) + 2;
    let before = server.usage(around.clone())?;
    // A file that cannot be written is better told of now.
    args.acknowledged.as_deref().map_or(Ok(()), |path| write_ids(path, &[]))?;
    let mut fleet = Fleet::new(count, &[trade], faults_of(&args.faults), args.seed, start);
    let bar = Bar::new(!args.json);
    let mut answered = Vec::new();
    if server.sandbox.is_some() {
        live(args, &server, &mut fleet, start, &bar)?
    } else if let Some(seconds) = args.load {
        let show = |told: &str| bar.show(began.elapsed().as_secs().cast_signed(), seconds.into(), told);
        answered = load::press(&mut fleet, seconds, slots_of(args), show);
    } else {
        catch_up(args, &mut fleet, start, &bar)
    }
    settle(&server, &mut fleet, &bar)?;
    bar.clear();
    let tally = fleet.tally();
    args.acknowledged.as_deref().map_or(Ok(()), |path| write_ids(path, &tally.acknowledged))?;
    server.catch_up_with_partner();
    // The server of --data may be gone by now, and what was found out be told all the same.
    let (after, trouble) = match server.usage(around) {
        Ok(after) => (after, Ok(())),
        Err(Failure(reason)) => (None, Err(Failure(format!("what the server counted cannot be read, give the --data of a server that is alive: {reason}")))),
    };
    let mut outcome = judge(args, &server, &tally, &fleet, before.zip(after), began);
    outcome.load = args.load.map(|_| Load { answered_per_second: answered, longest_wait_seconds: tally.longest_wait.as_secs_f64() });
    report(args, &server, &tally, &outcome)?;
    trouble
}

/// How many slots of its life a device has.
fn slots_of(args: &SimulateArgs) -> i64 {
    i64::from(args.hours) * 3_600 / SLOT_SECONDS
}

fn write_ids(path: &Path, ids: &[Uuid]) -> Result<(), Failure> {
    let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
    files::replace_file(path, text.as_bytes(), 0o600).map_err(|error| Failure(format!("the acknowledged reports cannot be written: {error}")))
}

/// The day of a sandbox, slot by slot.
fn live(args: &SimulateArgs, server: &Server, fleet: &mut Fleet, start: i64, bar: &Bar) -> Result<(), Failure> {
    let slots = slots_of(args);
    for step in 0..slots {
        let now = server.move_on(SLOT_SECONDS)?;
        bar.show(step, slots, &format!("{} of {}", rfc3339(now), rfc3339(start + slots * SLOT_SECONDS)));
        fleet.each(|device, links| {
            // They do not all begin in the same minute.
            let begins = device.random(20) == 0 || step > 20;
            if begins || device.is_licensed() {
                device.live(now, links);
            }
            if device.random(slots.cast_unsigned()) < args.active_slots {
                let units = device.random(12) + 1;
                device.work(now, 0, units);
            }
        });
    }
    Ok(())
}

/// Hours that lie behind, of devices that come back.
fn catch_up(args: &SimulateArgs, fleet: &mut Fleet, now: i64, bar: &Bar) {
    let slots = slots_of(args);
    bar.show(0, 2, "authorizing");
    fleet.each(|device, links| device.initialize(now, links));
    bar.show(1, 2, "reporting");
    fleet.each(|device, links| {
        for slot in 1..=slots {
            if device.random(slots.cast_unsigned()) < args.active_slots {
                let units = device.random(12) + 1;
                device.work(now, slot * SLOT_SECONDS, units);
            }
        }
        device.initialize(now, links);
    });
}

/// Nothing goes wrong any more, and everything that is left is sent. What one server has and a single loss could still
/// take is told to the one that answers now, which asks for it if it must.
fn settle(server: &Server, fleet: &mut Fleet, bar: &Bar) -> Result<(), Failure> {
    fleet.each(|device, _| device.end_faults());
    for round in 0..LAST_ROUNDS {
        let left = fleet.unsent();
        if left == 0 && round > 0 {
            break;
        }
        bar.show(0, 1, &format!("{left} devices send what is left"));
        let now = match &server.sandbox {
            Some(_) if round > 0 => server.move_on(3_600)?,
            None if round > 0 => {
                std::thread::sleep(LAST_PAUSE);
                server.now()?
            }
            _ => server.now()?,
        };
        fleet.each(|device, links| {
            if device.has_unsent() || (round == 0 && device.keeps_any()) {
                device.initialize(now, links);
            }
        });
    }
    Ok(())
}

fn judge(args: &SimulateArgs, server: &Server, tally: &Tally, fleet: &Fleet, usage: Option<(Days, Days)>, began: Instant) -> Outcome {
    let counted = usage.map(|(before, after)| {
        let mut new = Days::new();
        for (day, after) in after {
            let earlier = before.get(&day).cloned().unwrap_or_default();
            let by_type = after.by_type.iter().map(|(kind, count)| (kind.clone(), count - earlier.by_type.get(kind).copied().unwrap_or(0)));
            let done = Day { by_type: by_type.filter(|(_, count)| *count > 0).collect(), devices: after.devices - earlier.devices };
            if done != Day::default() {
                new.insert(day, done);
            }
        }
        new
    });
    Outcome {
        devices: args.devices,
        granted: tally.granted,
        refused: tally.refused.clone(),
        unanswered: tally.unanswered,
        kills: tally.kills,
        lost: tally.lost,
        failover: faults_of(&args.faults).failover.then_some(server.config.servers.len() > 1),
        reports: tally.accepted,
        duplicates: tally.duplicate,
        rejected: tally.rejected.len() as u64,
        units: tally.units(),
        server_units: counted.as_ref().map(|counted| counted.values().flat_map(|day| day.by_type.values()).sum()),
        exact: counted.map(|counted| counted == tally.days),
        unsent: fleet.unsent(),
        load: None,
        seconds: began.elapsed().as_secs_f64(),
    }
}

fn report(args: &SimulateArgs, server: &Server, tally: &Tally, outcome: &Outcome) -> Result<(), Failure> {
    if args.json {
        output::json(outcome)?;
    } else {
        let refused: Vec<String> = outcome.refused.iter().map(|(code, count)| format!("{} with {code}", output::number(*count))).collect();
        let refused = if refused.is_empty() { "none refused".to_owned() } else { format!("refused: {}", refused.join(", ")) };
        let line = |name: &str, text: String| output::line(format!("{name:<15}{text}"));
        line("Devices", format!("{} under {}, {} h of their life in {:.1} s", output::number(outcome.devices), server.code, args.hours, outcome.seconds));
        if let Some(load) = &outcome.load {
            let (seconds, most) = (load.answered_per_second.len() as u64, load.most());
            line(
                "Load",
                format!(
                    "{} requests answered in {} s, at most {} in one of them; no device asked in vain for longer than {:.1} s",
                    output::number(load.answered()),
                    output::number(seconds),
                    output::number(most),
                    load.longest_wait_seconds
                ),
            );
        }
        line(
            "Authorizations",
            format!("{} granted, {refused}; {} times no server answered", output::number(outcome.granted), output::number(outcome.unanswered)),
        );
        line(
            "Reports",
            format!(
                "{} taken, {} were there already, {} rejected",
                output::number(outcome.reports),
                output::number(outcome.duplicates),
                output::number(outcome.rejected)
            ),
        );
        if outcome.kills > 0 {
            line("Kills", format!("{}; {} units of the last seconds before them were lost", output::number(outcome.kills), output::number(outcome.lost)));
        }
        if outcome.failover == Some(false) {
            line("Failover", "did not happen: the license key names one server".to_owned());
        }
        line("Units", format!("{} counted by the devices", output::number(outcome.units)));
        match (outcome.server_units, outcome.exact) {
            (Some(units), Some(true)) => line("Server", format!("{} counted: equal, for each day, type by type, and in devices", output::number(units))),
            (Some(units), _) => line("Server", format!("{} counted: NOT EQUAL", output::number(units))),
            (None, _) => line("Server", "was not asked what it counted: give its --data directory".to_owned()),
        }
    }
    if let Some((code, detail)) = tally.rejected.first() {
        return Err(Failure(format!("{} reports were rejected, the first with {code}: {detail}", tally.rejected.len())));
    }
    match (outcome.exact, outcome.unsent) {
        (Some(false), _) => Err(Failure("the server did not count what the devices did: compare usage show with the figures above".to_owned())),
        (_, 1..) => Err(Failure(format!("{} devices could not send all they did: is the server well?", outcome.unsent))),
        _ => Ok(()),
    }
}

/// What the license key and the server tell.
fn find_server(args: &SimulateArgs, license_key: &str) -> Result<Server, Failure> {
    let told = |error: crate::client::LicenseError| Failure(error.message);
    let mut settings = Settings {
        license_key: Some(license_key.to_owned()),
        product: args.product.clone(),
        deployment_type: Some(DeploymentType::Desktop),
        sealed: args.sealed,
        ..Settings::default()
    };
    let key: LicenseKey = license_key.parse().map_err(Failure)?;
    let (transport, reply) = connect(&key)?;
    let state: Option<SandboxState> = if reply.is_success() { reply.json().ok() } else { None };
    let data = args.data.clone().or_else(|| state.as_ref().map(|state| PathBuf::from(&state.data)).filter(|path| path.exists()));
    settings.vendor_public_key = match (&args.vendor_public_key, &state, &args.data) {
        (Some(path), _, _) => read_key(path)?,
        (None, Some(state), _) => state.vendor_public_key.clone(),
        (None, None, Some(data)) => vendors_of(data)?,
        (None, None, None) => {
            return Err(Failure("whom shall the devices trust? give --vendor-public-key FILE, or --data with the server's data directory".to_owned()));
        }
    };
    let mut config = settings.check().map_err(told)?;
    // Fetched once for all devices.
    config.authority = transport.ca_pem().map(|pem| CaPin::Pem(pem.to_owned())).or(config.authority);
    Ok(Server { config, code: key.handshake_code, sandbox: state.is_some().then_some(transport), data })
}

/// The first of its servers that can be reached, and what it says of its being a sandbox.
fn connect(key: &LicenseKey) -> Result<(Transport, Reply), Failure> {
    let mut told = Vec::new();
    for url in &key.servers {
        let transport = match &key.ca {
            _ if url.starts_with("http://") => Transport::plain(url, Timeouts::default()),
            Some(fingerprint) => Transport::pinned(url, CaPin::Fingerprint(fingerprint.clone())),
            None => Transport::system(url, Timeouts::default()),
        };
        match transport.and_then(|transport| transport.get("/sandbox").map(|reply| (transport, reply))) {
            Ok(found) => return Ok(found),
            Err(error) => told.push(error.to_string()),
        }
    }
    Err(Failure(told.join("; ")))
}

fn read_key(path: &Path) -> Result<String, Failure> {
    files::read_text(path, KEY_FILE_MAX).map_err(|error| Failure(error.to_string()))
}

fn vendors_of(data: &Path) -> Result<String, Failure> {
    let keys = crate::documents::load_vendor_dir(&data.join("vendors")).map_err(|error| Failure(error.to_string()))?;
    Ok(keys.iter().map(crate::documents::VerifyingKey::to_spki_pem).collect())
}

impl Server {
    /// Of two servers the one that is asked may lack the last of what the other one counted. Where there is no other
    /// one, or it is gone, there is nothing to be had from it.
    fn catch_up_with_partner(&self) {
        if self.sandbox.is_none()
            && let Some(transport) = self.data.as_deref().and_then(find_running)
        {
            let _ = transport.request(Method::Post, "/api/v1/admin/standby/sync", None);
        }
    }

    /// What was counted under the code so far in these days, if that can be read.
    fn usage(&self, days: RangeInclusive<i64>) -> Result<Option<Days>, Failure> {
        let Some(data) = &self.data else { return Ok(None) };
        let admin = Admin::open(&DataArg { data: Some(data.clone()) }, Create::Refused)?;
        let mut used = Days::new();
        for day in days {
            let date = rfc3339(day * 86_400);
            let date = date.split('T').next().unwrap_or_default();
            let UsageRow { by_type, devices, .. } = admin.get(&format!("statistics?handshake={}&from={date}&to={date}", segment(&self.code)))?;
            used.insert(day, Day { by_type, devices });
        }
        Ok(Some(used))
    }

    fn now(&self) -> Result<i64, Failure> {
        self.sandbox.as_ref().map_or_else(|| Ok(SystemClock.now_seconds()), |_| self.move_on(0))
    }

    /// Moves the sandbox's clock; its time then.
    fn move_on(&self, seconds: i64) -> Result<i64, Failure> {
        let Some(sandbox) = &self.sandbox else { return Ok(SystemClock.now_seconds()) };
        let reply = sandbox.post_json("/sandbox/clock", &json!({"advance": format!("{seconds}s")}), &[]).map_err(|error| Failure(error.to_string()))?;
        let answer: ClockAnswer = reply.json().map_err(|error| Failure(error.to_string()))?;
        let time = chrono::DateTime::parse_from_rfc3339(&answer.time).map_err(|error| Failure(format!("the sandbox's time: {error}")))?;
        Ok(time.timestamp())
    }
}

/// A line on the terminal that tells how far it is.
struct Bar {
    is_shown: bool,
}

impl Bar {
    fn new(is_wanted: bool) -> Self {
        Self { is_shown: is_wanted && std::io::stderr().is_terminal() }
    }

    fn show(&self, done: i64, of: i64, what: &str) {
        if self.is_shown {
            let filled = usize::try_from(30 * done / of.max(1)).unwrap_or(0).min(30);
            // A terminal that is gone is no reason to stop.
            let _ = write!(std::io::stderr(), "\r[{}{}] {:>3} %  {what}\x1b[K", "#".repeat(filled), " ".repeat(30 - filled), 100 * done / of.max(1));
        }
    }

    fn clear(&self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
