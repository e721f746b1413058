//! `tollkeeper demo`: everything at once on an empty machine, so that somebody who has
//! five minutes sees licenses used.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::connect::Admin;
use super::{Failure, output, serve, vendor};
use crate::app::{App, Extent};
use crate::client::transport::{CaPin, Method, Transport};
use crate::clock::{Clock as _, SystemClock};
use crate::commands::import_license::Imported;
use crate::documents::files;
use crate::documents::license_file::MAX_BYTES;
use crate::http::admin_api::handshakes::{HandshakeBody, HandshakeRow};
use crate::http::admin_api::licenses::ImportRequest;
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
    let home = Home::prepare(args.data.clone())?;
    let mut settings = Settings::load(&Flags { data: Some(home.path.clone()), listen: vec![args.listen.clone()], ..Flags::default() }, [])
        .map_err(|error| Failure(error.to_string()))?;
    settings.trusted_vendors = vec![home.path.join(VENDOR).join("vendor.pub")];
    let app = App::start(&settings, Arc::new(SystemClock), Extent::Server).map_err(|error| Failure(error.to_string()))?;
    let result = present(&home.path, &settings, &app, stop);
    app.stop();
    result
}

fn present(data: &Path, settings: &Settings, app: &App, stop: impl FnOnce()) -> Result<(), Failure> {
    let admin = Admin::of(settings)?;
    let code = set_up(data, &admin)?;
    let key: HandshakeRow = admin.get(&format!("handshakes/{code}"))?;
    let address = app.https_addresses().first().ok_or_else(|| Failure("the demo has no address".to_owned()))?;
    let url = format!("https://{address}");
    let transport = Transport::pinned(&url, CaPin::Pem(app.context().ca_pem.clone())).map_err(|error| Failure(error.to_string()))?;

    let ca = data.join("tls/ca.pem");
    let (ca, shown) = (ca.display(), data.display());
    // Whoever runs this with cargo has no `tollkeeper` in the path.
    let program = std::env::current_exe().map_or_else(|_| "tollkeeper".to_owned(), |path| path.display().to_string());
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

const VENDOR: &str = "demo-vendor";

/// Vendor, license, handshake codes: what vendor and admin would do, in their commands.
/// Returns the code that the devices use. What an earlier demo made, whole or half, is used
/// again.
fn set_up(data: &Path, admin: &Admin) -> Result<String, Failure> {
    let told = |error: crate::documents::Error| Failure(error.to_string());
    let file = |name: &str| data.join(VENDOR).join(name);
    if !file("demo.lic").exists() {
        files::replace_file(&file("items.toml"), ITEMS.as_bytes(), 0o600).map_err(told)?;
        files::replace_file(&file("site.req"), admin.get_text("request")?.as_bytes(), 0o600).map_err(told)?;
        vendor::issue(&file("vendor.key"), &file("items.toml"), Some(&file("site.req")), &file("demo.lic"), SystemClock.now_seconds())?;
    }
    let text = files::read_text(&file("demo.lic"), MAX_BYTES).map_err(told)?;
    let imported: Imported = admin.change(Method::Post, "licenses", Some(&ImportRequest { file: text, into: None }))?;
    let known: Vec<HandshakeRow> = admin.get("handshakes")?;
    let demo = format!("{}-demo", imported.organization_id);
    for (name, items) in [(demo.clone(), vec![100_000_001, 100_000_002, 100_000_003]), (format!("{}-scanners", imported.organization_id), vec![100_000_001])] {
        if !known.iter().any(|code| code.handshake_code == name) {
            let body = HandshakeBody { handshake_code: Some(name), items: Some(items), ..HandshakeBody::default() };
            let _: HandshakeRow = admin.change(Method::Post, "handshakes", Some(&body))?;
        }
    }
    Ok(demo)
}

/// The demo's data directory.
struct Home {
    path: PathBuf,
    throwaway: bool,
}

impl Home {
    fn prepare(given: Option<PathBuf>) -> Result<Self, Failure> {
        let throwaway = given.is_none();
        let path = given.unwrap_or_else(|| std::env::temp_dir().join(format!("tollkeeper-demo-{}", crate::documents::random_uuid().simple())));
        let vendor_dir = path.join(VENDOR);
        if path.join("tollkeeper.db").exists() && !vendor_dir.exists() {
            return Err(Failure(format!("{} holds a real installation: give the demo another --data, or none", path.display())));
        }
        if !vendor_dir.exists() {
            vendor::keygen(&vendor_dir)?;
        }
        Ok(Self { path, throwaway })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.throwaway {
            // What cannot be removed lies in the temporary directory, where it does no harm.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
