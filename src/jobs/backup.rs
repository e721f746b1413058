//! A backup every 12 minutes (domain §8), counted from the last one there is, so that a restart
//! neither skips nor adds one.

use std::sync::Arc;

use super::Job;
use crate::commands::backup::{Backups, Reason};
use crate::commands::exceptions::{Exceptions, Trouble};
use crate::store::Error;

/// Until it is tried again after a failure, in seconds.
const RETRY_SECONDS: i64 = 20;

/// See the module.
pub struct BackupJob {
    /// Where they go.
    pub backups: Arc<Backups>,
    /// Where it is told that none can be made.
    pub exceptions: Arc<Exceptions>,
    /// Seconds from one to the next.
    pub period: i64,
}

impl Job for BackupJob {
    fn name(&self) -> &'static str {
        "backup"
    }

    fn tick(&mut self, now: i64) -> i64 {
        let last = self.backups.list().ok().and_then(|copies| copies.into_iter().find(|copy| copy.reason == Reason::Schedule));
        // A clock that was set back must not keep backups from being made.
        if let Some(last) = last.filter(|last| last.made_at <= now && now < last.made_at + self.period) {
            return last.made_at + self.period;
        }
        if self.backups.standing().running.is_some() {
            return now + RETRY_SECONDS;
        }
        match self.backups.make(Reason::Schedule) {
            Ok(copy) => {
                tracing::debug!(backup = copy.name, bytes = copy.bytes, "made a backup");
                self.exceptions.clear(Trouble::Backup);
                // A backup that was made was checked: every page, and every link of the chain.
                self.exceptions.clear(Trouble::Journal);
                now + self.period
            }
            Err(Error::Stopped) => now + self.period,
            Err(error) => {
                if matches!(error, Error::Chain(_) | Error::Corrupt(_)) {
                    self.exceptions.raise(Trouble::Journal, now, format!("the database is not in order: {error}"));
                }
                self.exceptions.raise(Trouble::Backup, now, format!("no backup can be made: {error}"));
                now + RETRY_SECONDS
            }
        }
    }
}
