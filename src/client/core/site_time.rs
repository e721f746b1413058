//! The time by which a license is judged: the site's, as far as this device can tell. Turning
//! the device's clock back does not lengthen a license. And the time by which use is stamped:
//! the same without that ratchet, because a clock that ran ahead for a moment must not push use
//! into slots that have not begun.

use serde::{Deserialize, Serialize};

use crate::licensing::slot::SLOT_SECONDS;

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
    /// How often a server's time was learned: of two processes, the one that knows more is right.
    #[serde(default)]
    pub learned: u64,
    /// The latest time that a server signed: whatever the device's clock says, it is later.
    #[serde(default)]
    pub proven: i64,
}

/// Tells the site's time.
#[derive(Debug, Clone, Copy)]
pub struct SiteTime {
    kept: KeptTime,
    /// The monotonic clock when `kept.last_site` was told.
    since: i64,
    /// The monotonic clock when `kept.proven` was heard of, or the process began.
    proven_since: i64,
    /// Both clocks when they were last read in this process.
    seen: Moment,
}

impl SiteTime {
    /// Goes on from what was kept.
    pub fn new(kept: KeptTime, now: Moment) -> Self {
        Self { kept, since: now.monotonic, proven_since: now.monotonic, seen: now }
    }

    /// What another process of this machine kept meanwhile counts too: what it learned from a
    /// server in place of all that was thought before, else whatever is later. Whether this set
    /// the time back by more than a slot.
    pub fn merge(&mut self, kept: KeptTime, now: Moment) -> bool {
        let before = self.tell(now);
        if kept.learned > self.kept.learned || (kept.learned == self.kept.learned && kept.last_site > before) {
            let proven = kept.proven.max(self.kept.proven);
            if proven > self.kept.proven {
                self.proven_since = now.monotonic;
            }
            self.kept = KeptTime { proven, ..kept };
            self.since = now.monotonic;
        }
        before - self.tell(now) > SLOT_SECONDS
    }

    /// The site's time now, seconds since 1970. Never earlier than it told before.
    pub fn tell(&mut self, now: Moment) -> i64 {
        let jump = self.jump(now);
        if jump.abs() > SLOT_SECONDS && (jump - self.kept.skew).abs() <= SLOT_SECONDS {
            // The clock was wrong by just that much: now it is right.
            self.kept.skew = 0;
        } else if now.local < self.kept.last_local {
            // Somebody set the clock back: what was measured before tells nothing any more, and
            // must not make the time even earlier.
            self.kept.skew = self.kept.skew.max(0);
        }
        let floor = self.kept.last_site + (now.monotonic - self.since).max(0);
        let site = floor.max(now.local.saturating_add(self.kept.skew));
        self.kept = KeptTime { last_site: site, last_local: now.local, ..self.kept };
        (self.since, self.seen) = (now.monotonic, now);
        site
    }

    /// The time of something that is done now. May be earlier than before; never than what a
    /// server signed.
    pub fn stamp(&mut self, now: Moment) -> i64 {
        self.tell(now);
        let proven = self.kept.proven + (now.monotonic - self.proven_since).max(0);
        now.local.saturating_add(self.kept.skew).max(proven)
    }

    /// Whether the device's clock was set, or the machine slept, since it was last read here.
    pub fn has_jumped(&self, now: Moment) -> bool {
        self.jump(now).abs() > SLOT_SECONDS
    }

    fn jump(&self, now: Moment) -> i64 {
        now.local.saturating_sub(self.seen.local).saturating_sub(now.monotonic - self.seen.monotonic)
    }

    /// A genuine answer told the server's time, just now. This may set the time back: a clock
    /// that ran ahead once must not end licenses for ever.
    pub fn learn(&mut self, server: i64, now: Moment) {
        let learned = self.kept.learned.saturating_add(1);
        self.kept = KeptTime { last_site: server, last_local: now.local, skew: server.saturating_sub(now.local), learned, proven: server };
        (self.since, self.proven_since, self.seen) = (now.monotonic, now.monotonic, now);
    }

    /// A genuine document from `server` time came at last: it is not earlier now, but nobody
    /// knows how long the document travelled.
    pub fn raise(&mut self, server: i64, now: Moment) {
        if server > self.kept.proven {
            (self.kept.proven, self.proven_since) = (server, now.monotonic);
        }
        let site = self.tell(now);
        self.kept.last_site = site.max(server);
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
        time.merge(KeptTime { last_site: 9_000, last_local: 500, skew: 8_500, ..KeptTime::default() }, at(500, 0));
        assert_eq!(time.tell(at(510, 10)), 9_010);
        time.merge(KeptTime { last_site: 100, last_local: 500, ..KeptTime::default() }, at(510, 10));
        assert_eq!(time.tell(at(510, 10)), 9_010);
    }

    #[test]
    fn what_a_server_told_one_process_no_older_ratchet_of_another_pushes_ahead_again() {
        let (real, day) = (1_000_000, 86_400);
        let (mut one, mut other) = (SiteTime::new(KeptTime::default(), at(real, 0)), SiteTime::new(KeptTime::default(), at(real, 0)));
        one.learn(real, at(real, 0));
        // The clock is a day ahead for a moment, and both see it.
        one.tell(at(real + day, 1));
        other.merge(one.kept(), at(real + day, 1));
        one.learn(real + 2, at(real + 2, 2));
        assert!(other.merge(one.kept(), at(real + 3, 3)), "it goes back");
        assert_eq!(other.tell(at(real + 3, 3)), real + 3);
        let old = KeptTime { last_site: real + day, last_local: real, skew: 0, learned: 1, proven: real };
        assert!(!one.merge(old, at(real + 4, 4)));
        assert_eq!(one.tell(at(real + 4, 4)), real + 4);
    }

    #[test]
    fn use_is_stamped_by_the_clock_that_is_right_again_while_the_license_is_not_lengthened() {
        let (real, day) = (1_000_000, 86_400);
        let mut time = SiteTime::new(KeptTime::default(), at(real, 0));
        time.learn(real, at(real, 0));
        assert_eq!(time.stamp(at(real + day, 1)), real + day);
        assert!(time.has_jumped(at(real + 2, 2)));
        assert_eq!((time.stamp(at(real + 2, 2)), time.tell(at(real + 2, 2))), (real + 2, real + day + 1));
    }

    #[test]
    fn a_wrong_clock_that_is_mended_needs_no_correction_any_more() {
        for wrong in [-3_600, 3_600] {
            let mut time = SiteTime::new(KeptTime::default(), at(100_000 + wrong, 0));
            time.learn(100_000, at(100_000 + wrong, 0));
            assert_eq!(time.stamp(at(100_010 + wrong, 10)), 100_010);
            assert_eq!((time.stamp(at(100_020, 20)), time.tell(at(100_020, 20))), (100_020, 100_020), "{wrong}");
        }
        // A machine that slept is something else.
        let mut time = SiteTime::new(KeptTime::default(), at(99_000, 0));
        time.learn(100_000, at(99_000, 0));
        assert_eq!(time.stamp(at(199_000, 20)), 200_000);
    }

    #[test]
    fn what_was_carried_raises_the_time_and_does_not_set_it() {
        let mut time = SiteTime::new(KeptTime::default(), at(500_000, 0));
        time.raise(400_000, at(500_000, 0));
        assert_eq!((time.tell(at(500_001, 1)), time.stamp(at(500_001, 1))), (500_001, 500_001));
        // A device without a clock.
        let mut bare = SiteTime::new(KeptTime::default(), at(10, 0));
        bare.raise(400_000, at(10, 0));
        assert_eq!((bare.tell(at(20, 10)), bare.stamp(at(20, 10))), (400_010, 400_010));
    }
}
