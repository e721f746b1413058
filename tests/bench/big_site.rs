//! Makes the site of a large customer, for looking at pages and for measuring: 90 days of
//! a million devices and ten million reports, all of it facts that verify.
//!
//! ```text
//! cargo bench --bench big_site -- DIR [DEVICES] [REPORTS]       (1,000,000 and 10,000,000; ten minutes)
//! tollkeeper serve --data DIR
//! ```

#![expect(clippy::print_stdout, reason = "a program that tells how far it is")]

use std::path::PathBuf;
use std::sync::Arc;

use tollkeeper::app::{App, Extent};
use tollkeeper::cli::connect::Admin;
use tollkeeper::cli::throwaway::Home;
use tollkeeper::clock::{Clock as _, ManualClock, SystemClock};
use tollkeeper::licensing::charging::Charge;
use tollkeeper::licensing::{ClientUuid, CodeId, ItemId, Slot, Unit};
use tollkeeper::settings::Settings;
use tollkeeper::store::facts::{AuthorizationGranted, Body, ChargedReport, ItemSeat, ReportsAccepted};
use tollkeeper::store::{Command, Error, Ledger};
use uuid::Uuid;

const DAYS: i64 = 90;
const REPORTS_A_FACT: u64 = 5;
const FACTS_A_TRANSACTION: u64 = 4_000;
const TYPES: [&str; 6] = ["QR Code", "Code 128", "EAN-13", "Data Matrix", "PDF417", "Aztec"];

const ITEMS: &str = r#"
organization_id = "216998"
alias = "Large customer"

[[items]]
item_id = 1
product = "dbr"
charge_way = "scan"
quota = 900000000
valid_from = 2020-01-01
valid_to = 2099-12-31
local_license_validity = "7d"

[[items]]
item_id = 2
product = "dwt"
charge_way = "device"
period = "year"
quota = 2000000
valid_from = 2020-01-01
valid_to = 2099-12-31
local_license_validity = "30d"

[[items]]
item_id = 3
product = "ddn"
charge_way = "concurrent_device"
quota = 100000
valid_from = 2020-01-01
valid_to = 2099-12-31
local_license_validity = "7d"
"#;

/// A device by its number, always the same.
fn device(number: u64) -> ClientUuid {
    ClientUuid(scattered(number, 1))
}

/// Numbers that lie about like random ones, and are the same each time.
fn scattered(number: u64, salt: u64) -> Uuid {
    let mix = |mut x: u64| {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    let high = mix(number.wrapping_add(salt << 56));
    uuid::Builder::from_random_bytes((u128::from(high) << 64 | u128::from(mix(high ^ salt))).to_be_bytes()).into_uuid()
}

/// Some facts of one moment.
struct Batch {
    code: CodeId,
    first_device: u64,
    devices: u64,
    first_report: u64,
    reports: u64,
    known: u64,
    now: i64,
}

impl Command for Batch {
    type Answer = ();

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<(), Error> {
        for number in self.first_device..self.first_device + self.devices {
            let until = Some(self.now + 365 * 86_400);
            ledger.record(&Body::AuthorizationGranted(AuthorizationGranted {
                client: device(number),
                code: self.code,
                items: vec![ItemSeat { id: ItemId(1), until: None, instances: 1 }, ItemSeat { id: ItemId(2), until, instances: 1 }],
                ticket: scattered(number, 2).simple().to_string(),
                nonce: scattered(number, 3).simple().to_string(),
                exp: self.now + 7 * 86_400,
                trial: None,
            }))?;
        }
        for first in (self.first_report..self.first_report + self.reports).step_by(REPORTS_A_FACT as usize) {
            let who = scattered(first, 4).as_u128() as u64 % self.known.max(1);
            let reports = (first..first + REPORTS_A_FACT)
                .map(|number| {
                    let slot = Slot::containing(self.now - 180 * (1 + (number - first) as i64));
                    let count = 1 + number % 17;
                    let kind = TYPES[scattered(number, 5).as_bytes()[0] as usize % TYPES.len()];
                    let paid = Charge { item_id: ItemId(1), counts: [(kind.to_owned(), count)].into(), overuse: 0, module: None, slot_use: None };
                    ChargedReport {
                        id: scattered(number, 6),
                        slot,
                        code: self.code,
                        product: "dbr".into(),
                        unit: Unit::Scan,
                        module: None,
                        instances: 1,
                        charges: vec![paid],
                    }
                })
                .collect();
            ledger.record(&Body::ReportsAccepted(ReportsAccepted { client: device(who), reports, seats: vec![] }))?;
        }
        Ok(())
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let Some(dir) = args.first().map(PathBuf::from) else {
        println!("usage: cargo bench --bench big_site -- DIR [DEVICES] [REPORTS]");
        return;
    };
    let number = |n: usize, default: u64| args.get(n).map_or(default, |text| text.parse().expect("a whole number"));
    let (devices, reports) = (number(1, 1_000_000), number(2, 10_000_000));

    let today = SystemClock.now_seconds();
    let clock = ManualClock::at_seconds(today - DAYS * 86_400);
    let home = Home::prepare("demo", Some(dir.clone())).unwrap_or_else(|failure| panic!("{}", failure.0));
    std::fs::create_dir_all(dir.join("vendors")).expect("directory");
    std::fs::copy(home.vendor_public_key(), dir.join("vendors/demo.pub")).expect("copied");
    let settings = Settings { listen: vec![], ..Settings::for_data(&dir) };
    let app = App::start(&settings, Arc::new(clock.clone()), Extent::Server).unwrap_or_else(|error| panic!("{error}"));
    let admin = Admin::of(&settings).unwrap_or_else(|failure| panic!("{}", failure.0));
    home.license(ITEMS, &admin, clock.now_seconds()).unwrap_or_else(|failure| panic!("{}", failure.0));
    drop(admin);
    let code = app.context().writer().catalog().codes().first().map(|code| code.code_id).expect("the import made a code");

    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let steps = (devices + reports / REPORTS_A_FACT).div_ceil(FACTS_A_TRANSACTION).max(1);
    let share = |whole: u64, step: u64| u64::try_from(u128::from(whole) * u128::from(step) / u128::from(steps)).expect("a share");
    for step in 0..steps {
        let now = today - DAYS * 86_400 + i64::try_from(step).expect("a step") * DAYS * 86_400 / i64::try_from(steps).expect("steps");
        clock.set_seconds(now.max(clock.now_seconds()));
        let first_report = share(reports / REPORTS_A_FACT, step) * REPORTS_A_FACT;
        let batch = Batch {
            code,
            first_device: share(devices, step),
            devices: share(devices, step + 1) - share(devices, step),
            first_report,
            reports: share(reports / REPORTS_A_FACT, step + 1) * REPORTS_A_FACT - first_report,
            known: share(devices, step + 1),
            now,
        };
        runtime.block_on(app.context().writer().submit(batch)).expect("written");
        if step % (steps / 20).max(1) == 0 {
            println!("{} % of {devices} devices and {reports} reports", step * 100 / steps);
        }
    }
    app.stop();
    println!("done: tollkeeper serve --data {}", dir.display());
}
