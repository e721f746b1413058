//! Tells systemd that the server is alive, for as long as its writer comes round: a service that hangs
//! is started anew. A full disk is told elsewhere, and no reason to begin anew.

use std::sync::Arc;
use std::time::Duration;

use super::Job;
use crate::commands::turn::Turn;
use crate::store::{Error, Store};

/// See the module.
pub struct WatchdogJob {
    store: Arc<Store>,
    /// Seconds from one sign of life to the next.
    period: i64,
}

impl WatchdogJob {
    /// The job, where systemd waits for signs of life.
    pub fn of(store: Arc<Store>) -> Option<Self> {
        let patience = sd_notify::watchdog_enabled()?;
        Some(Self { store, period: period_of(patience) })
    }
}

/// A third of what systemd waits: one sign may be late.
fn period_of(patience: Duration) -> i64 {
    (patience.as_secs() / 3).max(1) as i64
}

impl Job for WatchdogJob {
    fn name(&self) -> &'static str {
        "watchdog"
    }

    fn tick(&mut self, now: i64) -> i64 {
        // Whatever the answer says: it came. (Without one this waits, and systemd learns it.)
        if !matches!(self.store.writer().submit_blocking(Turn), Err(Error::Stopped)) {
            tell(&[sd_notify::NotifyState::Watchdog]);
        }
        now + self.period
    }
}

/// Tells systemd something, where it listens.
pub fn tell(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd cannot be told how the server is");
    }
}
