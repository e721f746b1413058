//! The license's two threads. One puts counts on disk and waits for no server; the other renews,
//! reports, calls the application's listeners, and at the end gives back what is to be given back. Both
//! publish what is so for the application's threads to read.
//!
//! [`Shared::counter`] is held for moments only. [`Shared::kind`]'s [`Served`] is held while the
//! data folder is read or written, never while a server is asked or a listener is called; whoever
//! needs both takes it first.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::core::counting::{Counts, Key};
use super::core::outbox::Submitted;
use super::core::site_time::{Moment, SiteTime};
use super::core::state::Part;
use super::core::{Action, Core, Event};
use super::error::{Code, LicenseError};
use super::folder::{Asking, Folder};
use super::link::{Link, TIMEOUTS};
use super::settings::{CLOSE_WAIT, Config, ReleaseOnClose};
use super::status::{Listeners, Status, status_of};
use super::transport::{self, CaPin};
use crate::clock::{Clock as _, SystemClock};
use crate::documents::Claims;
use crate::documents::product_key::VerifiedKeys;
use crate::licensing::{ClientUuid, Slot, Unit};

/// Longest sleep of the threads: the end of a slot and of an authorization must be noticed
/// when the machine slept too.
const NAP: Duration = Duration::from_secs(30);
/// How long an application that has an authorization waits for another process of the machine
/// that asks the servers.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) kind: Kind,
    pub(super) listeners: Listeners,
    pub(super) counter: Mutex<Counter>,
    pub(super) wake: Condvar,
}

#[derive(Debug)]
pub(super) enum Kind {
    Served(Box<Mutex<Served>>),
    Keys { keys: VerifiedKeys, machine: Option<ClientUuid> },
}

/// What the threads work on.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) core: Core,
    pub(super) folder: Folder,
}

/// What the application's threads touch: no file and no network behind it.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) counts: Counts,
    /// By when they must be on disk: since they are here, and the end of their slot.
    pub(super) due: Option<(Instant, i64)>,
    pub(super) held: u32,
    pub(super) time: SiteTime,
    pub(super) status: Status,
    pub(super) claims: Option<Arc<Claims>>,
    pub(super) unit: Unit,
    pub(super) others_hold: u32,
    pub(super) has_counted: bool,
    /// Each with the number by which its answer is known; 0 where nobody waits for that.
    pub(super) wishes: Vec<(Wish, u64)>,
    pub(super) wished: u64,
    pub(super) answers: Vec<(u64, Result<(), LicenseError>)>,
    /// What listeners are to hear, the next one last.
    pub(super) news: Vec<News>,
    /// A listener is being called.
    pub(super) is_telling: bool,
    /// No listener is called any more.
    pub(super) is_silent: bool,
    pub(super) is_closing: bool,
    /// Nothing is to be given back at the end: the application did, or wanted to.
    pub(super) was_released: bool,
    /// When whoever closes has waited long enough for servers.
    pub(super) give_up_at: Option<Instant>,
    /// The thread that asks is through.
    pub(super) has_ended: bool,
}

/// What the thread that asks is to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Start,
    Release,
}

/// Something for a listener.
#[derive(Debug)]
pub(super) enum News {
    Changed(Box<Status>),
    Reported(Submitted),
    Warning(LicenseError),
}

type Links = BTreeMap<String, Link>;

thread_local! {
    /// For whose license this thread asks. Asking the standard library which thread this is would have it
    /// remember the thread for ever, also those of a C program.
    static WORKER_OF: Cell<*const Shared> = const { Cell::new(ptr::null()) };
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn moment() -> Moment {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let monotonic = BEGAN.get_or_init(Instant::now).elapsed().as_secs();
    Moment { local: SystemClock.now_seconds(), monotonic: i64::try_from(monotonic).unwrap_or(i64::MAX) }
}

impl Counter {
    /// Keeps a count until it is flushed. Whether it is the first, so that somebody must think of it.
    pub(super) fn add(&mut self, key: Key, kind: String, count: u64, now: Moment) -> bool {
        *self.counts.entry(key).or_default().entry(kind).or_default() += count;
        let is_first = self.due.is_none();
        if is_first {
            self.due = Some((Instant::now(), Slot::containing(self.time.stamp(now)).end()));
        }
        is_first
    }
}

impl Shared {
    /// Whether the calling thread is the one that asks for this license, and calls its listeners.
    pub(super) fn is_worker(self: &Arc<Self>) -> bool {
        WORKER_OF.get() == Arc::as_ptr(self)
    }

    /// Has it done, and waits until it is. From within a listener it is done afterwards, and the
    /// answer is the listener's to hear.
    pub(super) fn ask_worker(self: &Arc<Self>, wish: Wish) -> Result<(), LicenseError> {
        if matches!(self.kind, Kind::Keys { .. }) {
            return Ok(());
        }
        let number = self.wish(wish);
        self.wait_for(number)
    }

    /// Has it done when the thread that asks comes to it. Gives the number of its answer, 0 where none
    /// is waited for.
    pub(super) fn wish(self: &Arc<Self>, wish: Wish) -> u64 {
        let is_listener = self.is_worker();
        let mut counter = lock(&self.counter);
        counter.wished += u64::from(!is_listener);
        let number = if is_listener { 0 } else { counter.wished };
        counter.wishes.push((wish, number));
        self.wake.notify_all();
        number
    }

    /// Waits for what came of a wish.
    pub(super) fn wait_for(&self, number: u64) -> Result<(), LicenseError> {
        if number == 0 {
            return Ok(());
        }
        let mut counter = lock(&self.counter);
        // No channel: it would have the standard library remember the waiting thread for ever.
        loop {
            if let Some(index) = counter.answers.iter().position(|(answered, _)| *answered == number) {
                return counter.answers.swap_remove(index).1;
            }
            counter = self.wake.wait(counter).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Answers a wish.
    fn answer(&self, number: u64, done: Result<(), LicenseError>) {
        if number > 0 {
            lock(&self.counter).answers.push((number, done));
            self.wake.notify_all();
        }
    }

    /// The life of the thread that asks. Whatever fails in one turn, there is a next.
    pub(super) fn work(self: &Arc<Self>) {
        let Kind::Served(served) = &self.kind else { return };
        WORKER_OF.set(Arc::as_ptr(self));
        let (mut links, mut wishes) = (Links::new(), Vec::new());
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.take_turn(served, &mut links, &mut wishes))) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => {
                    lock(served).core.abandon(moment());
                    // Nobody waits for ever.
                    for (_, number) in wishes.drain(..) {
                        self.answer(number, Err(broken()));
                    }
                    self.warn(broken());
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
        }
        if catch_unwind(AssertUnwindSafe(|| self.give_back(served, &mut links))).is_err() {
            self.warn(broken());
        }
        self.tell_news();
        lock(served).folder.leave();
        lock(&self.counter).has_ended = true;
        self.wake.notify_all();
    }

    /// Ends the work. Whoever is no listener waits for servers no longer than [`CLOSE_WAIT`]; a listener does not wait, and
    /// nothing is told any more when it returns.
    pub(super) fn close(self: &Arc<Self>) {
        let is_listener = self.is_worker();
        let mut counter = lock(&self.counter);
        counter.is_closing = true;
        counter.is_silent |= is_listener;
        counter.give_up_at = (!is_listener).then(|| Instant::now() + CLOSE_WAIT);
        self.wake.notify_all();
    }

    /// Waits until the thread that asks is through; false when that takes too long, because a server is silent that it asks.
    pub(super) fn wait_for_end(&self) -> bool {
        let mut counter = lock(&self.counter);
        // What was asked in time is through then, too.
        let until = counter.give_up_at.unwrap_or_else(Instant::now) + 10 * LOOK;
        while !counter.has_ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            counter = self.wake.wait_timeout(counter, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// No listener is called when this returns, nor afterwards.
    pub(super) fn silence(&self) {
        let mut counter = lock(&self.counter);
        counter.is_silent = true;
        while counter.is_telling {
            counter = self.wake.wait(counter).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How long servers may still take; `None` as long as nobody closes.
    fn time_left(&self) -> Option<Duration> {
        lock(&self.counter).give_up_at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Gives the license back at the end, where the application wants that, no other process needs it, and a server
    /// takes it in time. Else everything stays as it was here.
    fn give_back(&self, served: &Mutex<Served>, links: &mut Links) {
        if self.config.settings.release_on_close == ReleaseOnClose::Nothing || lock(&self.counter).was_released {
            return;
        }
        lock(&self.counter).give_up_at.get_or_insert_with(|| Instant::now() + CLOSE_WAIT);
        // Of those that close at the same moment, each is gone before it looks: so the last one sees nobody.
        let is_wanted = self.flush().and_then(|()| {
            let Served { core, folder } = &mut *lock(served);
            folder.leave();
            let others = folder.used_by_others();
            folder.with(|state| core.is_given_back_at_the_end(&others, state))
        });
        if is_wanted != Ok(true) {
            return;
        }
        let asking = self.ask_alone(served, || self.time_left().is_some_and(|left| !left.is_zero()));
        let given_back = match asking {
            Ok(Some(_asking)) => {
                let others = lock(served).folder.used_by_others();
                self.step(served, links, Event::Close { others }).and_then(|done| done)
            }
            Ok(None) => Err(LicenseError::new(Code::NoServer, "another process of this machine asks the servers just now")),
            Err(error) => Err(error),
        };
        if let Err(error) = given_back {
            self.warn(LicenseError { message: format!("the license was closed, and could not be given back: {}", error.message), ..error });
        }
    }

    /// Whether there is another one. Wishes stay in the list until they are answered.
    fn take_turn(&self, served: &Mutex<Served>, links: &mut Links, wishes: &mut Vec<(Wish, u64)>) -> bool {
        let (new, is_closing) = self.wait(served);
        wishes.extend(new);
        self.tell_news();
        while let Some((wish, number)) = wishes.first().copied() {
            let done = match wish {
                // Nobody needs a license any more.
                Wish::Start if is_closing => Ok(()),
                Wish::Start => self.ask(served, links, Event::Start),
                Wish::Release => self.ask(served, links, Event::Release),
            };
            wishes.remove(0);
            self.answer(number, done);
        }
        if !is_closing && lock(served).core.is_due(moment()) {
            // What went wrong was told as a warning.
            let _ = self.ask(served, links, Event::Tick);
        }
        self.tell_news();
        !is_closing
    }

    /// Sleeps until there is something to do.
    fn wait(&self, served: &Mutex<Served>) -> (Vec<(Wish, u64)>, bool) {
        loop {
            let (wake_at, is_due) = {
                let core = &lock(served).core;
                (core.wake_at(), core.is_due(moment()))
            };
            let mut counter = lock(&self.counter);
            let left = wake_at.saturating_sub(counter.time.tell(moment())).clamp(1, NAP.as_secs().cast_signed());
            if is_due || counter.is_closing || !counter.wishes.is_empty() || !counter.news.is_empty() {
                return (std::mem::take(&mut counter.wishes), counter.is_closing);
            }
            drop(self.wake.wait_timeout(counter, Duration::from_secs(left.cast_unsigned())));
        }
    }

    /// The life of the thread that puts counts on disk.
    pub(super) fn keep(&self) {
        loop {
            let is_closing = self.wait_for_counts();
            if catch_unwind(AssertUnwindSafe(|| self.flush())).is_err() {
                self.warn(broken());
                std::thread::sleep(Duration::from_secs(1));
            }
            if is_closing {
                break;
            }
        }
    }

    /// Sleeps until counts must be put on disk: soon after the first came, and at the latest when
    /// its slot ends. Whether it is for the last time.
    fn wait_for_counts(&self) -> bool {
        let longest = Duration::from_secs(u64::from(self.config.settings.flush_seconds));
        let mut counter = lock(&self.counter);
        loop {
            if counter.is_closing {
                return true;
            }
            let Some((since, slot_end)) = counter.due else {
                counter = self.wake.wait(counter).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let until_end = slot_end.saturating_sub(counter.time.stamp(moment())).max(0);
            let pause = longest.saturating_sub(since.elapsed()).min(Duration::from_secs(until_end.cast_unsigned())).min(NAP);
            if pause.is_zero() {
                return false;
            }
            counter = self.wake.wait_timeout(counter, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Puts counts on disk. If that fails they stay for the next time, and a warning tells.
    ///
    /// # Errors
    /// 306.
    pub(super) fn flush(&self) -> Result<(), LicenseError> {
        let Kind::Served(served) = &self.kind else { return Ok(()) };
        let Served { core, folder } = &mut *lock(served);
        let (counts, held) = {
            let mut counter = lock(&self.counter);
            counter.due = None;
            // Whoever ends holds nothing any more.
            let held = if counter.is_closing { 0 } else { counter.held.max(u32::from(counter.has_counted)) };
            (std::mem::take(&mut counter.counts), held)
        };
        let alive = folder.alive();
        let event = Event::Count { counts: counts.clone(), held, alive };
        let done = folder.with(|state| (core.handle(event, state, moment()), state.device.client_uuid));
        self.warn_of_damage(folder);
        match done {
            Ok((_, client)) => {
                self.publish(core, client);
                if core.is_due(moment()) {
                    // The clock was set: whoever asks sleeps by the one of before.
                    self.wake.notify_all();
                }
                Ok(())
            }
            Err(error) => {
                if !folder.has_written(Part::Open) {
                    let mut counter = lock(&self.counter);
                    for (key, types) in counts {
                        for (kind, count) in types {
                            counter.add(key.clone(), kind, count, moment());
                        }
                    }
                    // Not sooner, even if the slot is over.
                    counter.due = counter.due.map(|_| (Instant::now(), i64::MAX));
                }
                self.warn(error.clone());
                Err(error)
            }
        }
    }

    /// Has servers asked, if no other process does just now.
    fn ask(&self, served: &Mutex<Served>, links: &mut Links, event: Event) -> Result<(), LicenseError> {
        // First, so that one slot gives one report. What failed was told.
        let _ = self.flush();
        let is_tick = matches!(event, Event::Tick);
        let outcome = match self.try_ask(served, links, event) {
            Ok(done) => return done,
            Err(error) => error,
        };
        lock(served).core.abandon(moment());
        self.warn(outcome.clone());
        if is_tick {
            std::thread::sleep(Duration::from_secs(1));
        }
        Err(outcome)
    }

    /// The outer error is the data folder's.
    fn try_ask(&self, served: &Mutex<Served>, links: &mut Links, event: Event) -> Result<Result<(), LicenseError>, LicenseError> {
        let patience = {
            let Served { core, folder } = &mut *lock(served);
            match event {
                Event::Tick => Duration::ZERO,
                _ if folder.with(|state| core.note_known(state, moment()))? => PATIENCE,
                // There is nothing to go on with: as long as the other one may take for all servers.
                _ => TIMEOUTS.whole * u32::try_from(self.config.servers.len()).unwrap_or(1) + PATIENCE,
            }
        };
        let began = Instant::now();
        // What is wished is done at the end as well, as far as there is time.
        let is_wished = matches!(event, Event::Release);
        let has_time = || if is_wished { self.time_left().is_none_or(|left| !left.is_zero()) } else { !lock(&self.counter).is_closing };
        match (self.ask_alone(served, || began.elapsed() < patience && has_time())?, event) {
            (Some(_asking), event) => self.step(served, links, event),
            (None, Event::Start) => self.step(served, links, Event::Occupied),
            (None, Event::Release) => {
                Ok(Err(LicenseError::new(Code::NoServer, "another process of this machine asks the servers just now: give the license back again")))
            }
            (None, _) => {
                // The other one asks for the device: what it learns is read next time.
                std::thread::sleep(4 * LOOK);
                Ok(Ok(()))
            }
        }
    }

    /// `None`: another process asked as long as we wait.
    fn ask_alone(&self, served: &Mutex<Served>, waits: impl Fn() -> bool) -> Result<Option<Asking>, LicenseError> {
        loop {
            let asking = lock(served).folder.try_ask_alone()?;
            if asking.is_some() || !waits() {
                return Ok(asking);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// One event with all that follows from it.
    fn step(&self, served: &Mutex<Served>, links: &mut Links, event: Event) -> Result<Result<(), LicenseError>, LicenseError> {
        let (mut next, mut outcome) = (Some(event), Ok(()));
        while let Some(event) = next.take() {
            let (actions, known, proven) = {
                let Served { core, folder } = &mut *lock(served);
                let done = folder.with(|state| {
                    let actions = core.handle(event, state, moment());
                    let known = known_authority(&self.config, &state.device.authorities);
                    (actions, state.device.client_uuid, known, state.device.time.proven)
                });
                self.warn_of_damage(folder);
                let (actions, client, known, proven) = done?;
                self.publish(core, client);
                if actions.iter().any(|action| matches!(action, Action::LicenseChanged)) && self.listeners.license_changed.is_some() {
                    let mut counter = lock(&self.counter);
                    // Whoever closes the license knows that it has none.
                    if !counter.is_closing {
                        counter.news.insert(0, News::Changed(Box::new(status_of(core, client))));
                    }
                }
                (actions, known, proven)
            };
            let (mut to_ask, tries) = (None, lock(served).core.tries_left());
            for action in actions {
                match action {
                    Action::Ask(ask) => to_ask = Some(ask),
                    Action::LicenseChanged => {}
                    Action::Reported(submitted) => {
                        if self.listeners.reported.is_some() {
                            lock(&self.counter).news.insert(0, News::Reported(submitted));
                        }
                    }
                    Action::NotReleased(error) => outcome = Err(error),
                }
            }
            self.tell_news();
            let Some(ask) = to_ask else { continue };
            let left = self.time_left();
            if left.is_some_and(|left| left.is_zero()) {
                let message = format!("{} did not answer before the application closed", ask.server);
                next = Some(Event::Unanswered { code: Code::NoServer, message, retry_after: None });
                continue;
            }
            // One that is silent must leave some of it to the other.
            let limit = left.map(|left| left / tries.max(1));
            let link = links.entry(ask.server.clone()).or_insert_with(|| Link::new(&ask.server));
            next = Some(link.ask(ask.path, &ask.body, &self.config, known.as_deref(), proven, limit));
            if let (None, Some(CaPin::Fingerprint(fingerprint)), Some(pem)) = (&known, &self.config.authority, link.ca_pem()) {
                let (fingerprint, pem) = (fingerprint.clone(), pem.to_owned());
                lock(served).folder.with(|state| {
                    state.device.authorities.insert(fingerprint, pem);
                    state.touch(Part::Device);
                })?;
            }
        }
        Ok(outcome)
    }

    /// Lets the application's threads see what is so now.
    fn publish(&self, core: &Core, client: Option<ClientUuid>) {
        let mut counter = lock(&self.counter);
        counter.status = status_of(core, client);
        if let Some(claims) = core.standing().claims() {
            counter.claims = Some(Arc::clone(claims));
        }
        counter.unit = core.unit();
        counter.others_hold = core.others_hold();
        counter.time = core.site_time();
    }

    fn warn_of_damage(&self, folder: &mut Folder) {
        for path in folder.take_damaged() {
            let message = format!("a file of the data folder was damaged, and put aside as {}: what was in it is lost", path.display());
            self.warn(LicenseError::new(Code::Cache, message));
        }
    }

    pub(super) fn warn(&self, error: LicenseError) {
        tracing::warn!(%error, "license");
        let mut counter = lock(&self.counter);
        if self.listeners.warning.is_some() && !counter.is_silent {
            counter.news.insert(0, News::Warning(error));
            drop(counter);
            self.wake.notify_all();
        }
    }

    /// Calls the listeners, on the thread that asks, while nothing is locked: whatever they do
    /// with the license works.
    fn tell_news(&self) {
        loop {
            let news = {
                let mut counter = lock(&self.counter);
                let news = if counter.is_silent { None } else { counter.news.pop() };
                counter.is_telling = news.is_some();
                news
            };
            self.wake.notify_all();
            let Some(news) = news else { break };
            let is_warning = matches!(news, News::Warning(_));
            let told = catch_unwind(AssertUnwindSafe(|| match &news {
                News::Changed(status) => self.listeners.license_changed.iter().for_each(|listener| listener(status)),
                News::Reported(submitted) => self.listeners.reported.iter().for_each(|listener| listener(submitted)),
                News::Warning(error) => self.listeners.warning.iter().for_each(|listener| listener(error)),
            }));
            if told.is_err() && !is_warning {
                self.warn(LicenseError::new(Code::Internal, "a listener of the application panicked"));
            }
        }
    }
}

fn broken() -> LicenseError {
    LicenseError::new(Code::Internal, "the license library failed: please report this with what was done")
}

/// The authority's certificate that is kept, if it is the one that the license key names.
fn known_authority(config: &Config, kept: &BTreeMap<String, String>) -> Option<String> {
    let Some(CaPin::Fingerprint(fingerprint)) = &config.authority else { return None };
    let pem = kept.get(fingerprint)?;
    (transport::fingerprint_of(pem)? == fingerprint.trim().to_ascii_lowercase()).then(|| pem.clone())
}
