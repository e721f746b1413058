//! What every test begins with.

pub mod browser;
pub mod company;
mod desk;
mod device;
pub mod driver;
pub mod forger;
pub mod inbox;
pub mod joint;
mod line;
mod place;
mod process;
mod site;
pub mod two;
pub mod wire;

pub use company::Company;
pub use desk::{Desk, ITEMS, run};
pub use device::Device;
pub use line::Line;
pub use process::{Process, program, signal, tollkeeper};
pub use site::{Site, Vendor};
pub use two::Two;

/// Midday of 22 November 2026: where manual clocks start.
pub const NOON: i64 = 1_795_348_800;

/// Waits for what another thread or process does, at most so many seconds.
pub fn until<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let began = std::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed().as_secs() < seconds, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Whether long proofs run at full strength.
pub fn full_strength() -> bool {
    std::env::var_os("TOLLKEEPER_FULL").is_some_and(|value| value != "0")
}

/// Whether golden files and scripts are written anew instead of compared.
pub fn bless() -> bool {
    std::env::var_os("TOLLKEEPER_BLESS").is_some_and(|value| value != "0")
}
