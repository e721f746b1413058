//! Tells what is worth telling (domain §7): looks at the thresholds every ten minutes where this server
//! serves, looks every few seconds whether something is wrong with it, and sends what waits in the
//! outbox. Each message is sent on a thread of its own, so that a mail server that takes its time
//! delays neither another way out nor the stop of this server.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use super::Job;
use crate::alerts::Channel;
use crate::alerts::ways::find_channel;
use crate::clock::Clock;
use crate::commands::Site;
use crate::commands::alerts::{CHECK_MINUTES, CheckThresholds, CloseWay, KeepOutcome, Message, RaiseAlerts, Way, list_troubles, site_name};
use crate::commands::exceptions::{Exceptions, Trouble};
use crate::commands::preferences::names;
use crate::documents::random_uuid;
use crate::store::alerts::Raised;
use crate::store::outbox::{self, Waiting};
use crate::store::{Error, Store, alerts, facts, preferences};

/// From one look at what is wrong to the next, in seconds.
const LOOK_SECONDS: i64 = 5;
/// Trouble that comes back sooner is told when this time is over, if it lasts until then.
const AGAIN_SECONDS: i64 = 600;
/// A try that has taken so long has failed.
const TRY_SECONDS: i64 = 60;
/// Messages that wait in memory while the database takes none.
const UNKEPT_MAX: usize = 100;

/// A message on its way.
struct Flight {
    waiting: Option<Waiting>,
    outcome: Receiver<Result<String, String>>,
    began: i64,
}

/// See the module.
pub struct AlertJob {
    site: Arc<Site>,
    store: Arc<Store>,
    exceptions: Arc<Exceptions>,
    clock: Arc<dyn Clock>,
    checked_at: Option<i64>,
    /// Which settings it was looked by: others hold at once.
    checked_by: (u64, u64),
    looked_at: Option<i64>,
    /// Trouble that lasts and was told.
    told: Vec<String>,
    /// When each kind was told last.
    told_at: BTreeMap<String, i64>,
    flights: BTreeMap<Way, Flight>,
    /// What came of messages, until the database takes it: else they would be sent once more.
    unrecorded: BTreeMap<Way, (Waiting, Result<String, String>)>,
    /// What is told although the database takes nothing: that may be the very trouble.
    unkept: VecDeque<(Way, Message)>,
}

impl AlertJob {
    /// A job that begins to look.
    pub fn new(site: Arc<Site>, store: Arc<Store>, exceptions: Arc<Exceptions>, clock: Arc<dyn Clock>) -> Self {
        let told_at = store.reader().and_then(|reader| alerts::list_told(&reader, site.uuid())).unwrap_or_default().into_iter().collect();
        Self {
            site,
            store,
            exceptions,
            clock,
            checked_at: None,
            checked_by: (0, 0),
            looked_at: None,
            told: Vec::new(),
            told_at,
            flights: BTreeMap::new(),
            unrecorded: BTreeMap::new(),
            unkept: VecDeque::new(),
        }
    }

    fn find_channel(&self, way: Way) -> Result<Option<Channel>, Error> {
        find_channel(&self.store.reader()?, self.site.secret(), way)
    }

    /// One that is set up but cannot be used counts: that is told when it is tried.
    fn open_ways(&self) -> Vec<Way> {
        Way::ALL.into_iter().filter(|way| !matches!(self.find_channel(*way), Ok(None))).collect()
    }

    /// Whichever serves looks at the thresholds: two servers must not tell the same.
    fn check_thresholds(&mut self, now: i64) -> Result<(), Error> {
        let reader = self.store.reader()?;
        let minutes = preferences::read::<u32>(&reader, names::ALERT_MINUTES)?.unwrap_or(CHECK_MINUTES);
        let set = (preferences::find(&reader, names::THRESHOLDS)?.1, preferences::find(&reader, names::ALERT_MINUTES)?.1);
        drop(reader);
        let is_due = set != self.checked_by || self.checked_at.is_none_or(|at| now < at || now - at >= i64::from(minutes) * 60);
        if !is_due || self.site.find_refusal().is_some() {
            return Ok(());
        }
        (self.checked_at, self.checked_by) = (Some(now), set);
        for alert in self.store.writer().submit_blocking(CheckThresholds { ways: self.open_ways(), id: random_uuid() })? {
            tracing::warn!(kind = alert.kind, "{}", alert.text);
        }
        Ok(())
    }

    /// Whichever server notices trouble of its own tells it.
    fn look_for_trouble(&mut self, now: i64) {
        if self.looked_at.is_some_and(|at| (at..at + LOOK_SECONDS).contains(&now)) {
            return;
        }
        self.looked_at = Some(now);
        let latest = self.store.reader().and_then(|reader| facts::latest_stamp(&reader)).unwrap_or(0);
        let lag = (latest - self.clock.now_micros()).div_euclid(1_000_000);
        let troubles = list_troubles(&self.exceptions, &self.site, now, lag);
        self.told.retain(|told| troubles.iter().any(|trouble| news_of(trouble) == *told));
        let is_early = |kind: &str| self.told_at.get(kind).is_some_and(|at| (*at..at + AGAIN_SECONDS).contains(&now));
        let news: Vec<Raised> =
            troubles.into_iter().filter(|trouble| !self.told.iter().any(|told| *told == news_of(trouble)) && !is_early(&trouble.kind)).collect();
        if news.is_empty() {
            return;
        }
        for trouble in &news {
            self.told.push(news_of(trouble).to_owned());
            self.told_at.insert(trouble.kind.clone(), now);
        }
        let ways = self.open_ways();
        if let Err(error) = self.store.writer().submit_blocking(RaiseAlerts { alerts: news.clone(), ways: ways.clone(), id: random_uuid() }) {
            tracing::error!(%error, "alerts cannot be kept; they are sent all the same");
            let site = self.store.reader().and_then(|reader| site_name(&reader)).unwrap_or_default();
            let message = Message { id: random_uuid(), made_at: now, server: self.site.uuid(), site, is_test: false, alerts: news };
            self.unkept.extend(ways.into_iter().map(|way| (way, message.clone())));
            self.unkept.truncate(UNKEPT_MAX);
        }
    }

    /// Takes what came of a message that is on its way. Tells whether the way is free.
    fn land(&mut self, way: Way, now: i64) -> Result<bool, Error> {
        let Some(flight) = self.flights.get(&way) else { return Ok(true) };
        let outcome = match flight.outcome.try_recv() {
            Ok(outcome) => outcome,
            Err(TryRecvError::Empty) if self.clock.steady_seconds() - flight.began < TRY_SECONDS => return Ok(false),
            Err(TryRecvError::Empty) => Err(format!("there was no answer within {TRY_SECONDS} seconds")),
            Err(TryRecvError::Disconnected) => Err("sending it failed for a reason that stands in the log".to_owned()),
        };
        match &outcome {
            Ok(answer) => tracing::info!(way = way.name(), answer, "an alert was sent"),
            Err(error) => tracing::warn!(way = way.name(), error, "an alert could not be sent"),
        }
        match self.flights.remove(&way).and_then(|flight| flight.waiting) {
            Some(waiting) => _ = self.unrecorded.insert(way, (waiting, outcome)),
            None => self.store.writer().submit_blocking(KeepOutcome { way, waiting: None, outcome, at: now })?,
        }
        Ok(true)
    }

    fn record(&mut self, way: Way, now: i64) -> Result<(), Error> {
        if let Some((waiting, outcome)) = self.unrecorded.get(&way).cloned() {
            self.store.writer().submit_blocking(KeepOutcome { way, waiting: Some(waiting), outcome, at: now })?;
            self.unrecorded.remove(&way);
        }
        Ok(())
    }

    fn next_message(&mut self, way: Way, now: i64) -> Result<Option<(Option<Waiting>, Message)>, Error> {
        if let Some(at) = self.unkept.iter().position(|(of, _)| *of == way) {
            return Ok(self.unkept.remove(at).map(|(_, message)| (None, message)));
        }
        self.record(way, now)?;
        let Some(waiting) = outbox::find_due(&*self.store.reader()?, way.name(), now)? else { return Ok(None) };
        let message = serde_json::from_str(&waiting.body).map_err(|error| Error::Corrupt(format!("a message that waits cannot be read: {error}")))?;
        Ok(Some((Some(waiting), message)))
    }

    fn send(&mut self, way: Way, now: i64) -> Result<(), Error> {
        if !self.land(way, now)? {
            return Ok(());
        }
        let Some((waiting, message)) = self.next_message(way, now)? else { return Ok(()) };
        let (sender, outcome) = channel();
        let began = self.clock.steady_seconds();
        let way_out = match self.find_channel(way) {
            Ok(Some(way_out)) => way_out,
            Ok(None) => return self.store.writer().submit_blocking(CloseWay(way)),
            Err(error) => {
                // The receiver is here.
                let _ = sender.send(Err(error.to_string()));
                self.flights.insert(way, Flight { waiting, outcome, began });
                return Ok(());
            }
        };
        let work = move || {
            // Nobody waits for it any more when the server ends; then it is tried again after the next start.
            let _ = sender.send(way_out.send(&message, now));
        };
        std::thread::Builder::new().name(format!("alert {}", way.name())).spawn(work).map_err(|error| Error::Io(error.to_string()))?;
        self.flights.insert(way, Flight { waiting, outcome, began });
        Ok(())
    }
}

/// What makes trouble news: that it is there. Of a certificate also how near its end is.
fn news_of(trouble: &Raised) -> &str {
    if trouble.kind == Trouble::Certificate.name() { &trouble.text } else { &trouble.kind }
}

impl Job for AlertJob {
    fn name(&self) -> &'static str {
        "alerts"
    }

    fn tick(&mut self, now: i64) -> i64 {
        self.look_for_trouble(now);
        let checked = self.check_thresholds(now);
        let sent: Vec<_> = Way::ALL.into_iter().map(|way| self.send(way, now)).collect();
        for error in [checked].into_iter().chain(sent).filter_map(Result::err) {
            if !matches!(error, Error::Stopped) {
                tracing::error!(%error, "alerts cannot be looked after; that is tried again");
            }
        }
        if self.flights.is_empty() { now + 1 } else { now }
    }
}
