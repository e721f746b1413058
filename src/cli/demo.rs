//! `tollkeeper demo`: everything at once on an empty machine, so that somebody who has
//! five minutes sees licenses used.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::connect::Admin;
use super::throwaway::{self, Home};
use super::{Failure, output, serve};
use crate::app::{App, Extent};
use crate::client::transport::{CaPin, Transport};
use crate::clock::{Clock as _, SystemClock};
use crate::http::admin_api::handshakes::{HandshakeBody, HandshakeRow};
use crate::settings::{Flags, LogLevel, Settings};

mod fleet;

/// How many devices are simulated.
const DEVICES: usize = 50;

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
    serve::start_log(LogLevel::Warn);
    let stop = serve::wait_for_stop()?;
    let home = Home::prepare("demo", args.data.clone())?;
    let mut settings = Settings::load(&Flags { data: Some(home.path.clone()), listen: vec![args.listen.clone()], ..Flags::default() }, [])
        .map_err(|error| Failure(error.to_string()))?;
    settings.trusted_vendors = vec![home.vendor_public_key()];
    let app = App::start(&settings, Arc::new(SystemClock), Extent::Server).map_err(|error| Failure(error.to_string()))?;
    let result = present(&home, &settings, &app, stop);
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
    output::line(format!("  curl --cacert {ca} {url}/api/v1/authorize --json '{}'", fleet::sample_request(&code)));
    output::line(format!("  {program} license list --data {shown}"));
    output::line(format!("  {program} usage show --data {shown}"));
    output::line(format!("  {program} device list --data {shown}"));
    output::line(format!("For developers: {url}/docs (your browser will ask: trust {ca})"));
    output::line("Stop with Ctrl-C.");

    let working = Arc::new(AtomicBool::new(true));
    let fleet = fleet::Fleet::new(DEVICES, &code, transport);
    let flag = Arc::clone(&working);
    let thread = std::thread::Builder::new().name("fleet".to_owned()).spawn(move || fleet.work(&flag)).map_err(|error| Failure(error.to_string()))?;
    stop();
    working.store(false, Ordering::SeqCst);
    let summary = thread.join().map_err(|_| Failure("the simulated devices ended badly".to_owned()))?;
    output::line(format!(
        "Stopped. The devices got {} authorizations ({} refused) and reported {} units.",
        output::number(summary.granted),
        output::number(summary.refused),
        output::number(summary.units)
    ));
    Ok(())
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
