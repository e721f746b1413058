//! The 480 fixed slots of a day, three minutes each, in UTC (domain §5).

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Length of a slot.
pub const SLOT_SECONDS: i64 = 180;

/// How long after its slot a report is taken (domain §5).
pub const REPORT_MAX_AGE_SECONDS: i64 = 30 * 86_400;

/// The start of a slot, in seconds since 1970; a multiple of [`SLOT_SECONDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(i64);

/// What is wrong with the slot of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotError {
    /// Older than 30 days (201).
    TooOld,
    /// Has not begun (202).
    Future,
}

impl Slot {
    /// The slot that holds this moment.
    pub fn containing(seconds: i64) -> Self {
        Self(seconds - seconds.rem_euclid(SLOT_SECONDS))
    }

    /// The slot that starts at exactly this moment, or `None` when no slot does.
    pub fn starting_at(time: DateTime<Utc>) -> Option<Self> {
        let seconds = time.timestamp();
        (seconds.rem_euclid(SLOT_SECONDS) == 0 && time.timestamp_subsec_nanos() == 0).then_some(Self(seconds))
    }

    /// Its start, in seconds since 1970.
    pub fn start(self) -> i64 {
        self.0
    }

    /// Its first moment after the end.
    pub fn end(self) -> i64 {
        self.0 + SLOT_SECONDS
    }

    /// The UTC day it lies in, as days since 1970.
    pub fn day(self) -> i64 {
        self.0.div_euclid(86_400)
    }

    /// Whether a report for this slot may be taken at `now` (seconds).
    pub fn check(self, now: i64) -> Result<(), SlotError> {
        if self.0 > now {
            Err(SlotError::Future)
        } else if now - self.end() > REPORT_MAX_AGE_SECONDS {
            Err(SlotError::TooOld)
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::clock::rfc3339(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_480_slots_that_start_at_midnight() {
        let midnight = 20_000 * 86_400;
        let slots: std::collections::BTreeSet<_> = (midnight..midnight + 86_400).map(Slot::containing).collect();
        assert_eq!(slots.len(), 480);
        assert_eq!(slots.first().map(|s| s.start()), Some(midnight));
        assert_eq!(Slot::containing(midnight + 179), Slot::containing(midnight));
        assert_eq!(Slot::containing(midnight + 180).start(), midnight + 180);
    }

    #[test]
    fn a_report_is_taken_for_thirty_days_and_never_from_the_future() {
        let slot = Slot::containing(1_800_000_000);
        assert_eq!(slot.check(slot.start() - 1), Err(SlotError::Future));
        assert_eq!(slot.check(slot.start()), Ok(()));
        assert_eq!(slot.check(slot.end() + REPORT_MAX_AGE_SECONDS), Ok(()));
        assert_eq!(slot.check(slot.end() + REPORT_MAX_AGE_SECONDS + 1), Err(SlotError::TooOld));
    }
}
