//! The time by which a license is judged: the site's, as far as this device can tell. Turning
//! the device's clock back does not lengthen a license.

use serde::{Deserialize, Serialize};

/// Two readings of the same moment, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The device's clock, since 1970; people may change it.
    pub local: i64,
    /// Since some beginning; never goes back while the process lives.
    pub monotonic: i64,
}

/// What is kept of the time over the end of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptTime {
    /// The latest time known at the site, since 1970.
    pub last_site: i64,
    /// The device's clock at that moment.
    pub last_local: i64,
    /// How far the site's clock is before the device's.
    pub skew: i64,
}

/// Tells the site's time.
#[derive(Debug, Clone, Copy)]
pub struct SiteTime {
    kept: KeptTime,
    /// The monotonic clock when `kept.last_site` was told.
    since: i64,
}

impl SiteTime {
    /// Goes on from what was kept.
    pub fn new(kept: KeptTime, now: Moment) -> Self {
        Self { kept, since: now.monotonic }
    }

    /// What another process of this machine kept meanwhile counts too.
    pub fn merge(&mut self, kept: KeptTime, now: Moment) {
        if kept.last_site > self.tell(now) {
            *self = Self::new(kept, now);
        }
    }

    /// The site's time now, seconds since 1970. Never earlier than it told before.
    pub fn tell(&mut self, now: Moment) -> i64 {
        let floor = self.kept.last_site + (now.monotonic - self.since).max(0);
        if now.local < self.kept.last_local {
            // Somebody set the clock back: what was measured before tells nothing any more, and
            // must not make the time even earlier.
            self.kept.skew = self.kept.skew.max(0);
        }
        let site = floor.max(now.local.saturating_add(self.kept.skew));
        self.kept = KeptTime { last_site: site, last_local: now.local, skew: self.kept.skew };
        self.since = now.monotonic;
        site
    }

    /// A genuine answer told the server's time. This may set the time back: a clock that ran
    /// ahead once must not end licenses for ever.
    pub fn learn(&mut self, server: i64, now: Moment) {
        self.kept = KeptTime { last_site: server, last_local: now.local, skew: server.saturating_sub(now.local) };
        self.since = now.monotonic;
    }

    /// What to keep.
    pub fn kept(&self) -> KeptTime {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(local: i64, monotonic: i64) -> Moment {
        Moment { local, monotonic }
    }

    #[test]
    fn a_clock_that_is_turned_back_stands_still_for_the_license() {
        let mut time = SiteTime::new(KeptTime::default(), at(1_000, 0));
        assert_eq!(time.tell(at(1_000, 0)), 1_000);
        assert_eq!(time.tell(at(400, 50)), 1_050, "the monotonic clock goes on");
        let mut next = SiteTime::new(time.kept(), at(100, 0));
        assert_eq!(next.tell(at(100, 0)), 1_050, "over a restart too");
        assert_eq!(next.tell(at(2_000, 7)), 2_000);
    }

    #[test]
    fn a_clock_that_differs_from_the_servers_is_corrected() {
        for wrong in [-5_000, 5_000] {
            let mut time = SiteTime::new(KeptTime::default(), at(100_000 + wrong, 0));
            time.learn(100_000, at(100_000 + wrong, 0));
            assert_eq!(time.tell(at(100_060 + wrong, 60)), 100_060);
            let mut next = SiteTime::new(time.kept(), at(100_090 + wrong, 5));
            assert_eq!(next.tell(at(100_090 + wrong, 5)), 100_090);
        }
    }

    #[test]
    fn setting_the_clock_ahead_for_the_authorization_and_back_after_it_gains_nothing() {
        let (real, year) = (1_000_000, 365 * 86_400);
        let mut time = SiteTime::new(KeptTime::default(), at(real + year, 0));
        time.learn(real, at(real + year, 0));
        let mut next = SiteTime::new(time.kept(), at(real + 60, 0));
        assert_eq!(next.tell(at(real + 60, 0)), real + 60);
        assert_eq!(next.tell(at(real + 90_000, 5)), real + 90_000);
    }

    #[test]
    fn what_another_process_learned_counts() {
        let mut time = SiteTime::new(KeptTime::default(), at(500, 0));
        time.merge(KeptTime { last_site: 9_000, last_local: 500, skew: 8_500 }, at(500, 0));
        assert_eq!(time.tell(at(510, 10)), 9_010);
        time.merge(KeptTime { last_site: 100, last_local: 500, skew: 0 }, at(510, 10));
        assert_eq!(time.tell(at(510, 10)), 9_010);
    }
}
