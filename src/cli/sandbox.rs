//! `tollkeeper sandbox`: a server for application developers, with a sample of everything,
//! on a clock that stands still until they move it (`http::sandbox`).

use std::path::PathBuf;

use super::connect::Admin;
use super::throwaway::{self, Home};
use super::{Failure, output, serve};
use crate::app::App;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::documents::{files, load_vendor_key};
use crate::http::admin_api::handshakes::{HandshakeBody, HandshakeRow};
use crate::http::restart::Restart;
use crate::http::sandbox::{Place, Sandbox};
use crate::log;
use crate::settings::{LogFormat, LogLevel, Settings, SettingsError};
use crate::store::catalog::Catalog;
use crate::store::{facts, open};

/// Flags of `sandbox`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  tollkeeper sandbox --data sandbox &
  curl --cacert sandbox/tls/ca.pem https://localhost:48443/sandbox
  curl --cacert sandbox/tls/ca.pem https://localhost:48443/sandbox/clock --json '{\"advance\":\"7d\"}'
  curl --cacert sandbox/tls/ca.pem https://localhost:48443/sandbox/faults --json '{\"refuse\":120}'

The vendor and the license are throwaway, and so is, unless --data is given, the data directory.
Whoever reaches the server may move its clock: keep it to yourself.")]
pub struct SandboxArgs {
    /// Keep the data in this directory, which must be empty or hold an earlier sandbox
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Answer HTTPS on this address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:48443")]
    listen: String,
    /// Answer plain HTTP on this address too; may be repeated [default: none]
    #[arg(long, value_name = "ADDR")]
    http: Vec<String>,
}

/// What the sandbox's vendor sells.
const ITEMS: &str = include_str!("sandbox.toml");

/// The longest public key file, in bytes.
const PUBLIC_KEY_MAX: usize = 4_096;

/// A handshake code: its name, its items by their last digits, what it is for.
const CODES: &[(&str, &[u64], &str)] = &[
    ("216998-100", &[], "the default code of organization 216998: all items together, the one that ends first used first"),
    (SCAN, &[1], "100 scans of dbr and 5 of grace; then 120"),
    ("216998-page", &[2], "100 pages of dwt with the modules core, webcam and ocr; any other module is 204"),
    ("216998-quarter", &[3], "2 devices with dbr; a seat lasts 90 days after the last use, a third device is 120"),
    ("216998-day", &[4], "2 devices with dbr; a seat lasts 24 hours after the last use, and so does an authorization"),
    ("216998-devices", &[5], "2 devices with dbr at work in the same 3 minutes, and 10 too many before 120"),
    ("216998-instances", &[6], "4 instances of dbr in the same 3 minutes, on any number of devices, and 20 too many before 120"),
    ("216998-server", &[7], "1 server (deployment_type server) with dbr; any other deployment type is 108"),
    ("216998-domain", &[8], "dbr without limit on example.com and below it; another Origin is 103"),
    ("216998-addon", &[1, 10], "scans of dbr, and the add-on for its module dpm"),
    ("216998-addon-alone", &[10], "the add-on without the item that it depends on: always 124"),
    (FLEET, &[11], "scans of the product 'load' without end, for `tollkeeper simulate`"),
    (LOCKED, &[1], "needs the session password 'open sesame' (102) and the application ID com.example.scanner (114)"),
];

const SCAN: &str = "216998-scan";
/// The handshake code for load.
pub const FLEET: &str = "216998-fleet";
/// The product that is licensed under it.
pub const LOAD: &str = "load";
const LOCKED: &str = "216998-locked";

/// A sandbox at work.
pub struct Started {
    app: App,
    clock: ManualClock,
    admin: Admin,
    home: Home,
}

impl Started {
    /// What to paste into an application that uses this handshake code.
    pub fn license_key(&self, code: &str) -> Result<String, Failure> {
        let row: HandshakeRow = self.admin.get(&format!("handshakes/{code}"))?;
        Ok(row.license_key)
    }

    /// The URLs at which it answers HTTPS.
    pub fn urls(&self) -> Vec<String> {
        self.app.https_addresses().iter().map(|address| format!("https://{address}")).collect()
    }

    /// Ends it.
    pub fn stop(self) {
        drop(self.admin);
        self.app.stop();
    }
}

/// Runs the sandbox until Ctrl-C.
pub fn run(args: &SandboxArgs) -> Result<(), Failure> {
    log::start(LogLevel::Warn, LogFormat::Text);
    let mut stop = serve::wait_for_stop()?;
    let started = start(args.data.clone(), std::slice::from_ref(&args.listen), &args.http)?;
    let presented = present(&started);
    if presented.is_ok() {
        stop(&Restart::default());
    }
    started.stop();
    presented
}

/// Starts a sandbox with its license and handshake codes, in this directory or in one that is
/// gone with it.
pub fn start(data: Option<PathBuf>, listen: &[String], http: &[String]) -> Result<Started, Failure> {
    let refused = |error: SettingsError| Failure(error.to_string());
    let mut settings = Settings::for_data(data.clone().unwrap_or_else(|| "sandbox".into()));
    settings.backup.every_minutes = 0;
    settings.listen = listen.to_vec();
    settings.http = http.to_vec();
    // Where the clock stands still, a minute never ends.
    settings.limits.device_requests_per_minute = 0;
    // Before anything is made: a slip of the hand must leave nothing behind.
    settings.validate().map_err(refused)?;
    settings.listen_addresses().and(settings.http_addresses()).map_err(refused)?;
    let home = Home::prepare("sandbox", data)?;
    settings.data.clone_from(&home.path);
    settings.trusted_vendors = vec![home.vendor_public_key()];

    let clock = ManualClock::at_seconds(SystemClock.now_seconds().max(find_latest_second(&home)?));
    let told = |error: crate::documents::Error| Failure(error.to_string());
    let place = Place {
        data: throwaway::anywhere(&home.path),
        vendor_key_file: throwaway::anywhere(&home.vendor_key()),
        vendor_public_key: files::read_text(&home.vendor_public_key(), PUBLIC_KEY_MAX).map_err(told)?,
        purposes: CODES.iter().map(|(name, _, purpose)| ((*name).to_owned(), (*purpose).to_owned())).collect(),
    };
    let app = App::start_sandbox(&settings, Sandbox::new(clock.clone(), place)).map_err(|error| Failure(error.to_string()))?;
    let filled = Admin::of(&settings).and_then(|admin| {
        home.license(ITEMS, &admin, clock.now_seconds())?;
        throwaway::add_codes(&admin, CODES.iter().filter(|(_, items, _)| !items.is_empty()).map(|(name, items, _)| code(name, items)).collect())?;
        Ok(admin)
    });
    match filled {
        Ok(admin) => Ok(Started { app, clock, admin, home }),
        Err(failure) => {
            app.stop();
            Err(failure)
        }
    }
}

/// The second from which on an earlier sandbox can go on: not before the latest of its
/// facts. A directory that got a real license since then is refused.
fn find_latest_second(home: &Home) -> Result<i64, Failure> {
    let path = home.path.join("tollkeeper.db");
    if !path.exists() {
        return Ok(0);
    }
    let own = load_vendor_key(&home.vendor_public_key()).map_err(|error| Failure(error.to_string()))?;
    let failed = |error: crate::store::Error| Failure(format!("{}: {error}", path.display()));
    let connection = open::open(&path).map_err(failed)?;
    if let Some(real) = Catalog::load(&connection).map_err(failed)?.licenses().find(|license| license.vendor_kid != own.kid()) {
        let shown = home.path.display();
        return Err(Failure(format!("{shown} holds license {} of a real vendor: give the sandbox another --data, or none", real.license_id)));
    }
    // Rounded up: a fact may lie within its second.
    Ok((facts::latest_stamp(&connection).map_err(failed)? + 999_999).div_euclid(1_000_000))
}

fn present(started: &Started) -> Result<(), Failure> {
    let Started { app, clock, home, .. } = started;
    let key = started.license_key(SCAN)?;
    let address = app.https_addresses().first().ok_or_else(|| Failure("the sandbox has no address".to_owned()))?;
    let ca = throwaway::anywhere(&home.path.join("tls/ca.pem"));
    let curl = format!("curl --cacert {} https://{address}", ca.display());
    output::line(format!("Tollkeeper sandbox: a license server on https://{address}, its clock at {}.", crate::clock::rfc3339(clock.now_seconds())));
    for address in app.http_addresses() {
        output::line(format!("The same without encryption: http://{address}"));
    }
    output::line(format!("License key of handshake code {SCAN}, for 100 scans of dbr:"));
    output::line(format!("  {key}"));
    output::line("All handshake codes with their license keys, what each is for, and the vendor's public key:");
    output::line(format!("  {curl}/sandbox"));
    output::line("Move the clock, which stands still until then; switch faults on; more is told at /reference/:");
    output::line(format!("  {curl}/sandbox/clock --json '{{\"advance\":\"3m\"}}'"));
    output::line(format!("  {curl}/sandbox/faults --json '{{\"refuse\":120}}'"));
    output::line(format!("Issue licenses of your own with the vendor key {}", throwaway::anywhere(&home.vendor_key()).display()));
    output::line("Stop with Ctrl-C.");
    Ok(())
}

fn code(name: &str, items: &[u64]) -> HandshakeBody {
    let body = HandshakeBody {
        handshake_code: Some(name.to_owned()),
        items: Some(items.iter().map(|digits| 100_000_000 + digits).collect()),
        ..HandshakeBody::default()
    };
    if name != LOCKED {
        return body;
    }
    HandshakeBody { session_password: Some("open sesame".to_owned()), application_ids: Some(vec!["com.example.scanner".to_owned()]), ..body }
}
