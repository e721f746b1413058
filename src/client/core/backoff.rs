//! Pauses between tries that fail. They grow, and each has a random length, so that a server
//! that comes back is not asked by all devices at once.
//!
//! A device that works asks once in [`crate::protocol::REPORT_INTERVAL_SECONDS`]; one that is
//! licensed and waits for a server never asks more often. So a million devices that lost their server are no
//! greater load for it than the same devices at work.

/// Longest pause while an authorization is in force.
const LICENSED_MOST: i64 = 3_600;
/// First pause without one: somebody waits before the application.
const BARE_FIRST: i64 = 10;
/// Longest pause without one.
const BARE_MOST: i64 = 600;

/// How often in a row it failed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It went well.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Seconds to wait after a further failure. `random` is from 0 to 1; `at_least` is what the
    /// server asked for.
    pub fn next_pause(&mut self, is_licensed: bool, random: f64, at_least: i64) -> i64 {
        let first = i64::from(crate::protocol::REPORT_INTERVAL_SECONDS);
        let (first, most) = if is_licensed { (first, LICENSED_MOST) } else { (BARE_FIRST, BARE_MOST) };
        let pause = first.saturating_mul(1 << self.failures.min(10)).min(most);
        self.failures = self.failures.saturating_add(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "at most 5400")]
        let jittered = (pause as f64 * (0.5 + random.clamp(0.0, 1.0))) as i64;
        // Devices that were told the same pause must not come back in the same second.
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a fraction of what a server asked for")]
        let asked = at_least.clamp(0, 86_400) + (at_least.clamp(0, 86_400) as f64 * 0.5 * random) as i64;
        jittered.max(asked).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_their_limit_and_begin_anew() {
        let mut backoff = Backoff::default();
        let pauses: Vec<i64> = (0..8).map(|_| backoff.next_pause(true, 0.5, 0)).collect();
        assert_eq!(pauses, [180, 360, 720, 1_440, 2_880, 3_600, 3_600, 3_600]);
        backoff.reset();
        assert_eq!(backoff.next_pause(true, 0.0, 0), 90);
        backoff.reset();
        let pauses: Vec<i64> = (0..8).map(|_| backoff.next_pause(false, 0.5, 0)).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600]);
    }

    #[test]
    fn what_the_server_asks_for_is_the_least() {
        assert_eq!(Backoff::default().next_pause(false, 0.0, 120), 120);
        assert_eq!(Backoff::default().next_pause(false, 1.0, 120), 180);
    }
}
