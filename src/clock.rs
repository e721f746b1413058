//! Time is an argument. The system's clock is read here and nowhere else; everything
//! that depends on time takes a [`Clock`], and tests move a [`ManualClock`] by hand.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use chrono::{DateTime, Utc};

/// Microseconds since 1970-01-01 UTC: the resolution in which facts are ordered.
pub type Micros = i64;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The time now, in microseconds since 1970-01-01 UTC.
    fn now_micros(&self) -> Micros;

    /// The time now, in whole seconds since 1970-01-01 UTC.
    fn now_seconds(&self) -> i64 {
        self.now_micros().div_euclid(1_000_000)
    }

    /// Seconds of a count that never goes back nor leaps, whoever sets the clock: for what lasts,
    /// not for when.
    fn steady_seconds(&self) -> i64 {
        self.now_seconds()
    }
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_micros(&self) -> Micros {
        Utc::now().timestamp_micros()
    }

    fn steady_seconds(&self) -> i64 {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        BEGAN.get_or_init(Instant::now).elapsed().as_secs() as i64
    }
}

/// A clock that stands still until somebody moves it. Clones share the same time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    micros: Arc<AtomicI64>,
}

impl ManualClock {
    /// A clock standing at `seconds` since 1970-01-01 UTC.
    pub fn at_seconds(seconds: i64) -> Self {
        Self { micros: Arc::new(AtomicI64::new(seconds * 1_000_000)) }
    }

    /// A clock standing at the given time.
    pub fn at(time: DateTime<Utc>) -> Self {
        Self { micros: Arc::new(AtomicI64::new(time.timestamp_micros())) }
    }

    /// Sets the clock to `seconds` since 1970-01-01 UTC.
    pub fn set_seconds(&self, seconds: i64) {
        self.micros.store(seconds * 1_000_000, Ordering::SeqCst);
    }

    /// Moves the clock forward, or back when `seconds` is negative.
    pub fn advance_seconds(&self, seconds: i64) {
        self.micros.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_micros(&self) -> Micros {
        self.micros.load(Ordering::SeqCst)
    }
}

/// Seconds since 1970 as RFC 3339 in UTC ending in `Z`, as every interface writes times.
pub fn rfc3339(seconds: i64) -> String {
    match DateTime::<Utc>::from_timestamp(seconds, 0) {
        Some(time) => time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        None => "9999-12-31T23:59:59Z".to_owned(),
    }
}

/// Seconds since 1970 of a time in RFC 3339.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand_and_is_shared_by_its_clones() {
        let clock = ManualClock::at_seconds(1_000);
        let other = clock.clone();
        clock.advance_seconds(180);
        assert_eq!(other.now_seconds(), 1_180);
        assert_eq!(rfc3339(other.now_seconds()), "1970-01-01T00:19:40Z");
        other.set_seconds(60);
        assert_eq!(clock.now_micros(), 60_000_000);
    }
}
