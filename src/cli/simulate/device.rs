//! One simulated device: the real core of the client library, with a memory for a disk, a
//! clock of its own, and whatever goes wrong with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use uuid::Uuid;

use crate::client::core::counting::{Counts, Key};
use crate::client::core::site_time::Moment;
use crate::client::core::state::{Progress, State};
use crate::client::core::{Action, Ask, Core, Event, Source, Standing};
use crate::client::error::Code;
use crate::client::link::Link;
use crate::client::settings::Config;
use crate::documents::random_uuid;
use crate::licensing::slot::SLOT_SECONDS;
use crate::licensing::{Slot, Unit};
use crate::protocol::reports::ReportsAnswer;

/// Ways to servers, which devices of one thread share.
pub type Links = BTreeMap<String, Link>;

/// What a device runs.
#[derive(Debug)]
pub struct Trade {
    /// Its settings.
    pub config: Arc<Config>,
    /// Scans or pages.
    pub unit: Unit,
    /// Types that it counts.
    pub types: &'static [&'static str],
    /// Whether the ids of reports that a server acknowledged are remembered.
    pub notes_acknowledged: bool,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// It has no network for hours on end.
    pub offline: bool,
    /// Its clock is wrong, and is set back in the middle of the day.
    pub skew: bool,
    /// What it sends arrives twice.
    pub duplicates: bool,
    /// Its process is killed while it waits for an answer, or before what it counted last is on
    /// disk, and begins anew.
    pub kills: bool,
    /// The main server does not answer now and then.
    pub failover: bool,
}

/// What it did and what became of it.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// What the server must have counted in the end, by UTC day (numbered from 1970).
    pub days: BTreeMap<i64, Day>,
    /// Units that were not on disk yet when the process was killed: those of its last seconds.
    pub lost: u64,
    /// Authorizations that it got.
    pub granted: u64,
    /// Refusals by code.
    pub refused: BTreeMap<u16, u64>,
    /// Rounds in which no server answered.
    pub unanswered: u64,
    /// Reports that a server took, and those it had already.
    pub accepted: u64,
    /// Reports that the server had already.
    pub duplicate: u64,
    /// Reports that the server will not take, with the reason.
    pub rejected: Vec<(u16, String)>,
    /// How often it was killed.
    pub kills: u64,
    /// Requests that a server answered; that it does not serve now is no answer.
    pub answered: u64,
    /// The longest time from a request that no server answered to the next that one did.
    pub longest_wait: Duration,
    /// Reports that a server said it has, in the order in which it said so; see [`Trade`].
    pub acknowledged: Vec<Uuid>,
}

/// What was done in one day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Day {
    /// Units by type.
    pub by_type: BTreeMap<String, u64>,
    /// Devices that did something.
    pub devices: u64,
}

impl Tally {
    /// Both together.
    pub fn add(&mut self, other: &Self) {
        for (day, done) in &other.days {
            let sum = self.days.entry(*day).or_default();
            sum.devices += done.devices;
            for (kind, count) in &done.by_type {
                *sum.by_type.entry(kind.clone()).or_default() += count;
            }
        }
        self.lost += other.lost;
        for (code, count) in &other.refused {
            *self.refused.entry(*code).or_default() += count;
        }
        self.granted += other.granted;
        self.unanswered += other.unanswered;
        self.accepted += other.accepted;
        self.duplicate += other.duplicate;
        self.rejected.extend(other.rejected.iter().cloned());
        self.kills += other.kills;
        self.answered += other.answered;
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.acknowledged.extend(&other.acknowledged);
    }

    /// Units of all types.
    pub fn units(&self) -> u64 {
        self.days.values().flat_map(|day| day.by_type.values()).sum()
    }
}

/// See the module.
pub struct Device {
    trade: Arc<Trade>,
    core: Core,
    state: State,
    rng: Rng,
    faults: Faults,
    clock_offset: i64,
    began: i64,
    is_cut_off: bool,
    is_killed: bool,
    is_started: bool,
    waits_since: Option<Instant>,
    /// In how many slots before it was switched on it was at work.
    slots_before: i64,
    /// What became of it.
    pub tally: Tally,
}

impl Device {
    /// A device that was just switched on; `seed` makes its day.
    pub fn new(trade: &Arc<Trade>, faults: Faults, seed: u64, now: i64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let clock_offset = if faults.skew { rng.i64(-10_800..=10_800) } else { 0 };
        let mut state = State::default();
        let moment = Moment { local: now + clock_offset, monotonic: 0 };
        let core = Core::new(Arc::clone(&trade.config), random_uuid(), None, &mut state, moment);
        let trade = Arc::clone(trade);
        Self {
            trade,
            core,
            state,
            rng,
            faults,
            clock_offset,
            began: now,
            is_cut_off: false,
            is_killed: false,
            is_started: false,
            waits_since: None,
            slots_before: 0,
            tally: Tally::default(),
        }
    }

    fn moment(&self, now: i64) -> Moment {
        Moment { local: now + self.clock_offset, monotonic: now - self.began }
    }

    /// Whether it is licensed.
    pub fn is_licensed(&self) -> bool {
        self.core.standing().claims().is_some()
    }

    /// Whether it has something that no server has.
    pub fn has_unsent(&self) -> bool {
        !self.state.open.reports.is_empty() || self.state.stored().any(|stored| !matches!(stored.progress, Progress::Accepted { .. }))
    }

    /// Whether it keeps something, be it that one server has it and a single loss could still take it.
    pub fn keeps_any(&self) -> bool {
        !self.state.open.reports.is_empty() || self.state.stored().next().is_some()
    }

    /// For how long no server answered it, if it asks in vain now.
    pub fn waits_for(&self) -> Duration {
        self.waits_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// From here on nothing goes wrong any more.
    pub fn end_faults(&mut self) {
        self.faults = Faults::default();
        self.is_cut_off = false;
    }

    /// A few minutes of its life, at true time `now`.
    pub fn live(&mut self, now: i64, links: &mut Links) {
        if self.faults.offline && self.rng.u32(..200) == 0 {
            self.is_cut_off = !self.is_cut_off;
        }
        if self.faults.skew && self.rng.u32(..300) == 0 {
            self.clock_offset -= self.rng.i64(60..=7_200);
        }
        if !self.is_started {
            self.initialize(now, links);
        } else if self.core.is_due(self.moment(now)) {
            self.handle(Event::Tick, now, links);
        }
    }

    /// The application starts, or wants its license renewed at once.
    pub fn initialize(&mut self, now: i64, links: &mut Links) {
        self.is_started = true;
        self.handle(Event::Start, now, links);
    }

    /// Uses its license, if it has one, in a slot before it was switched on: each time in the one before that, at most
    /// in so many. Not while it asks in vain: that would only be more to send later.
    pub fn work_before(&mut self, now: i64, slots: i64) {
        if self.is_licensed() && self.waits_since.is_none() && self.slots_before < slots {
            self.slots_before += 1;
            let units = self.random(12) + 1;
            self.work(now, now - self.began + self.slots_before * SLOT_SECONDS, units);
        }
    }

    /// Uses its license, if it has one: `seconds_ago`, so many units of one type.
    pub fn work(&mut self, now: i64, seconds_ago: i64, units: u64) {
        if !self.is_licensed() || units == 0 {
            return;
        }
        let kind = self.trade.types[self.rng.usize(..self.trade.types.len())];
        let moment = self.moment(now);
        if self.faults.kills && self.rng.u32(..100) == 0 {
            // Before its next flush: that much may be lost, and nothing else.
            self.tally.lost += units;
            return self.begin_anew(moment);
        }
        let slot = Slot::containing(self.core.stamp(moment) - seconds_ago);
        let key = Key { slot, unit: self.trade.unit, module: None };
        let counts = Counts::from([(key, BTreeMap::from([(kind.to_owned(), units)]))]);
        let day = self.tally.days.entry(slot.day()).or_default();
        day.devices = 1;
        *day.by_type.entry(kind.to_owned()).or_default() += units;
        self.core.handle(Event::Count { counts, held: 1, alive: Vec::new() }, &mut self.state, moment);
    }

    /// What its disk has is all that is left of it.
    fn begin_anew(&mut self, moment: Moment) {
        self.is_killed = false;
        self.is_started = false;
        self.tally.kills += 1;
        self.core = Core::new(Arc::clone(&self.trade.config), random_uuid(), None, &mut self.state, moment);
    }

    /// A random number below `limit`, of its own.
    pub fn random(&mut self, limit: u64) -> u64 {
        self.rng.u64(..limit)
    }

    fn handle(&mut self, event: Event, now: i64, links: &mut Links) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let moment = self.moment(now);
            let actions = self.core.handle(event, &mut self.state, moment);
            self.state.touched.clear();
            for action in actions {
                match action {
                    Action::Ask(ask) => next = self.ask(&ask, links),
                    Action::LicenseChanged => self.note(),
                    Action::Reported(submitted) => {
                        self.tally.accepted += submitted.accepted;
                        self.tally.duplicate += submitted.duplicate;
                        self.tally.rejected.extend(submitted.rejected);
                    }
                    // It never gives its license back.
                    Action::NotReleased(_) => {}
                }
            }
            if self.is_killed {
                self.begin_anew(moment);
                break;
            }
        }
    }

    fn note(&mut self) {
        match self.core.standing() {
            Standing::Licensed { source: Source::Server(_), .. } => self.tally.granted += 1,
            Standing::Licensed { .. } => self.tally.unanswered += 1,
            Standing::Unlicensed(error) => match error.code {
                Code::Server(code) => *self.tally.refused.entry(code.number()).or_default() += 1,
                _ => self.tally.unanswered += 1,
            },
        }
    }

    /// Counts an answer, and for how long there was none.
    fn take_note(&mut self, ask: &Ask, asked_at: Instant, answer: &Event) {
        match answer {
            Event::Answered { status, body, .. } if *status < 500 => {
                self.tally.answered += 1;
                if let Some(since) = self.waits_since.take() {
                    self.tally.longest_wait = self.tally.longest_wait.max(since.elapsed());
                }
                if self.trade.notes_acknowledged
                    && ask.path.ends_with("/reports")
                    && let Ok(told) = serde_json::from_slice::<ReportsAnswer>(body)
                {
                    self.tally.acknowledged.extend(told.accepted.iter().chain(&told.duplicate));
                }
            }
            _ => {
                self.waits_since.get_or_insert(asked_at);
            }
        }
    }

    /// `None`: the process was killed before the answer came.
    fn ask(&mut self, ask: &Ask, links: &mut Links) -> Option<Event> {
        let is_main = self.trade.config.servers.first() == Some(&ask.server);
        let has_other = self.trade.config.servers.len() > 1;
        if self.is_cut_off || (self.faults.failover && is_main && has_other && self.rng.u32(..5) == 0) {
            return Some(Event::Unanswered { code: Code::NoServer, message: "the simulated network is down".to_owned(), retry_after: None });
        }
        let link = links.entry(ask.server.clone()).or_insert_with(|| Link::new(&ask.server));
        let asked_at = Instant::now();
        let answer = link.ask(ask.path, &ask.body, &self.trade.config, None, self.state.device.time.proven, None);
        if self.faults.duplicates && ask.path.ends_with("/reports") && self.rng.u32(..3) == 0 {
            // A retry somewhere on the way: the device hears of the first answer only.
            link.ask(ask.path, &ask.body, &self.trade.config, None, self.state.device.time.proven, None);
        }
        self.is_killed = self.faults.kills && self.rng.u32(..40) == 0;
        if self.is_killed {
            return None;
        }
        self.take_note(ask, asked_at, &answer);
        Some(answer)
    }
}
