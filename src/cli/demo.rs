//! `tollkeeper demo`: everything at once on an empty machine, so that somebody who has
//! five minutes sees licenses used.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::connect::Admin;
use super::simulate::device::{Faults, Tally, Trade};
use super::simulate::fleet::Fleet;
use super::throwaway::{self, Home};
use super::{Failure, output, serve};
use crate::app::{App, Extent};
use crate::client;
use crate::client::transport::{CaPin, Transport};
use crate::clock::{Clock as _, SystemClock};
use crate::documents::{files, random_uuid};
use crate::http::admin_api::handshakes::{HandshakeBody, HandshakeRow};
use crate::licensing::slot::SLOT_SECONDS;
use crate::licensing::{DeploymentType, Unit};
use crate::log;
use crate::settings::{Flags, LogFormat, LogLevel, Settings};

/// How many devices are simulated.
const DEVICES: usize = 50;
/// How far back their first use lies, in slots: eight hours.
const BACKLOG_SLOTS: i64 = 160;
/// Pause between two of them.
const PAUSE: Duration = Duration::from_millis(150);
/// Largest public key file, in bytes.
const KEY_FILE_MAX: usize = 64 * 1024;

/// Flags of `demo`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  tollkeeper demo --listen 127.0.0.1:48443\n\nEverything is throwaway: the vendor, the license, and, unless --data is given, the data directory."
)]
pub struct DemoArgs {
    /// Keep the data in this directory, which must be empty or hold an earlier demo
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Answer HTTPS on this address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:48443")]
    listen: String,
}

/// What the demo's vendor sells.
const ITEMS: &str = r#"organization_id = "216998"
alias = "Demo license"

[[items]]
item_id = 100000001
product = "dbr"
charge_way = "scan"
quota = 500000
valid_from = 2020-01-01
valid_to = 2099-12-31

[[items]]
item_id = 100000002
product = "dwt"
charge_way = "page"
quota = 100000
valid_from = 2020-01-01
valid_to = 2099-12-31

[[items]]
item_id = 100000003
product = "ocr"
deployment_types = ["desktop"]
charge_way = "device"
period = "quarter"
quota = 20
valid_from = 2020-01-01
valid_to = 2099-12-31
"#;

/// Runs the demo until Ctrl-C.
pub fn run(args: &DemoArgs) -> Result<(), Failure> {
    log::start(LogLevel::Warn, LogFormat::Text);
    let mut stop = serve::wait_for_stop()?;
    let home = Home::prepare("demo", args.data.clone())?;
    let mut settings = Settings::load(&Flags { data: Some(home.path.clone()), listen: vec![args.listen.clone()], ..Flags::default() }, [])
        .map_err(|error| Failure(error.to_string()))?;
    settings.trusted_vendors = vec![home.vendor_public_key()];
    let app = App::start(&settings, Arc::new(SystemClock), Extent::Server).map_err(|error| Failure(error.to_string()))?;
    let result = present(&home, &settings, &app, || {
        stop(&app.context().restart);
    });
    app.stop();
    result
}

fn present(home: &Home, settings: &Settings, app: &App, stop: impl FnOnce()) -> Result<(), Failure> {
    let admin = Admin::of(settings)?;
    let code = set_up(home, &admin)?;
    let key: HandshakeRow = admin.get(&format!("handshakes/{code}"))?;
    let address = app.https_addresses().first().ok_or_else(|| Failure("the demo has no address".to_owned()))?;
    let url = format!("https://{address}");
    let transport = Transport::pinned(&url, CaPin::Pem(app.context().ca_pem.clone())).map_err(|error| Failure(error.to_string()))?;

    let ca = home.path.join("tls/ca.pem");
    let (ca, shown, program) = (ca.display(), home.path.display(), throwaway::program());
    output::line(format!("Tollkeeper demo: a license server on {url}, {DEVICES} simulated devices at work."));
    output::line(format!("License key of handshake code {code}:"));
    output::line(format!("  {}", key.license_key));
    output::line("Try, in another terminal:");
    output::line(format!("  curl --cacert {ca} {url}/health"));
    output::line(format!("  curl --cacert {ca} {url}/api/v1/authorize --json '{}'", sample_request(&code)));
    output::line(format!("  {program} license list --data {shown}"));
    output::line(format!("  {program} usage show --data {shown}"));
    output::line(format!("  {program} device list --data {shown}"));
    output::line(format!("For developers: {url}/docs (your browser will ask: trust {ca})"));
    output::line("Stop with Ctrl-C.");

    let working = Arc::new(AtomicBool::new(true));
    let fleet = Fleet::new(DEVICES, &trades(home, &key.license_key, &transport)?, Faults::default(), u64::from(std::process::id()), SystemClock.now_seconds());
    let flag = Arc::clone(&working);
    let thread = std::thread::Builder::new().name("fleet".to_owned()).spawn(move || work(fleet, &flag)).map_err(|error| Failure(error.to_string()))?;
    stop();
    working.store(false, Ordering::SeqCst);
    let tally = thread.join().map_err(|_| Failure("the simulated devices ended badly".to_owned()))?;
    output::line(format!(
        "Stopped. The devices got {} authorizations ({} refused) and did {} units of work.",
        output::number(tally.granted),
        output::number(tally.refused.values().sum()),
        output::number(tally.units())
    ));
    Ok(())
}

/// What the devices run: barcode readers, scanners, text recognition.
fn trades(home: &Home, license_key: &str, transport: &Transport) -> Result<Vec<Arc<Trade>>, Failure> {
    let vendor = files::read_text(&home.vendor_public_key(), KEY_FILE_MAX).map_err(|error| Failure(error.to_string()))?;
    let trade = |(product, deployment_type, unit, types): (&str, DeploymentType, Unit, &'static [&'static str])| {
        let settings = client::Settings {
            vendor_public_key: vendor.clone(),
            license_key: Some(license_key.to_owned()),
            certificate_authority: transport.ca_pem().map(str::to_owned),
            product: product.to_owned(),
            deployment_type: Some(deployment_type),
            ..client::Settings::default()
        };
        let mut config = settings.check().map_err(|error| Failure(error.message))?;
        // The address that is listened on, whatever the key calls this machine.
        config.servers = vec![transport.base_url().to_owned()];
        Ok(Arc::new(Trade { config: Arc::new(config), unit, types, notes_acknowledged: false }))
    };
    let kinds: [(&str, DeploymentType, Unit, &[&str]); 3] = [
        ("dbr", DeploymentType::Mobile, Unit::Scan, &["QR Code", "Code 128", "EAN-13", "Data Matrix"]),
        ("dwt", DeploymentType::Desktop, Unit::Page, &["scanned", "imported", "captured"]),
        ("ocr", DeploymentType::Desktop, Unit::Page, &["scanned"]),
    ];
    kinds.into_iter().map(trade).collect()
}

/// The devices begin eight hours back, as devices do that were offline, so that there is
/// something to see at once. Then each lives on, until the flag falls.
fn work(mut fleet: Fleet, working: &AtomicBool) -> Tally {
    let is_working = || working.load(Ordering::SeqCst);
    fleet.each(|device, links| {
        let now = SystemClock.now_seconds();
        if is_working() {
            device.initialize(now, links);
            for slot in (1..=BACKLOG_SLOTS).filter(|slot| slot % 3 > 0) {
                let units = device.random(12) + 1;
                device.work(now, slot * SLOT_SECONDS, units);
            }
            device.initialize(now, links);
        }
    });
    fleet.in_turn(|device, links| {
        let now = SystemClock.now_seconds();
        let units = device.random(6) + 1;
        device.work(now, 0, units);
        device.live(now, links);
        std::thread::sleep(PAUSE);
        is_working()
    });
    fleet.tally()
}

/// A request that anybody may try with curl.
fn sample_request(code: &str) -> Value {
    let nonce = URL_SAFE_NO_PAD.encode(random_uuid().as_bytes());
    json!({"client_uuid": random_uuid(), "handshake_code": code, "product": "dbr", "deployment_type": "mobile", "nonce": nonce})
}

/// Vendor, license, handshake codes: what vendor and admin would do, in their commands.
/// Returns the code that the devices use. What an earlier demo made, whole or half, is used
/// again.
fn set_up(home: &Home, admin: &Admin) -> Result<String, Failure> {
    let organization = home.license(ITEMS, admin, SystemClock.now_seconds())?.organization_id;
    let demo = format!("{organization}-demo");
    let codes = [(demo.clone(), vec![100_000_001, 100_000_002, 100_000_003]), (format!("{organization}-scanners"), vec![100_000_001])];
    let body = |(name, items)| HandshakeBody { handshake_code: Some(name), items: Some(items), ..HandshakeBody::default() };
    throwaway::add_codes(admin, codes.map(body).into())?;
    Ok(demo)
}
