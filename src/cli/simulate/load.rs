//! Load in real time: devices ask one after the other, as fast as the machine can, whatever becomes
//! of the servers meanwhile. Nothing is put in the client's way: it is the servers that may fail.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::fleet::Fleet;
use crate::clock::{Clock as _, SystemClock};

/// What the servers stood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Requests that were answered in each second of it; that a server does not serve now is no answer.
    pub answered_per_second: Vec<u64>,
    /// The longest time from a request of a device that no server answered to its next one that was.
    pub longest_wait_seconds: f64,
}

impl Load {
    /// The most that were answered in one second.
    pub fn most(&self) -> u64 {
        self.answered_per_second.iter().copied().max().unwrap_or(0)
    }

    /// All that were answered.
    pub fn answered(&self) -> u64 {
        self.answered_per_second.iter().sum()
    }
}

/// Each device in turn works in one of so many slots that lie behind, asks for its license and reports, again and
/// again for so many seconds. Returns what was answered in each of them.
pub fn press(fleet: &mut Fleet, seconds: u32, slots: i64, show: impl Fn(&str) + Sync) -> Vec<u64> {
    let meter: Vec<AtomicU64> = (0..seconds).map(|_| AtomicU64::new(0)).collect();
    let began = Instant::now();
    fleet.until(began + Duration::from_secs(seconds.into()), |device, links| {
        let (now, before) = (SystemClock.now_seconds(), device.tally.answered);
        device.work_before(now, slots);
        device.initialize(now, links);
        let (answered, second) = (device.tally.answered - before, usize::try_from(began.elapsed().as_secs()).unwrap_or(usize::MAX));
        // What is answered after the end is counted, but not as a part of the load.
        if let Some(count) = meter.get(second) {
            // Whoever is the first in a second tells of the one before.
            if count.fetch_add(answered, Ordering::Relaxed) == 0
                && let Some(whole) = second.checked_sub(1).and_then(|second| meter.get(second))
            {
                show(&format!("{} requests a second", whole.load(Ordering::Relaxed)));
            }
        }
        answered > 0
    });
    meter.into_iter().map(AtomicU64::into_inner).collect()
}
