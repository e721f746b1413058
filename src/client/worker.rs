//! The license's own thread: it renews, reports and puts counts on disk, and publishes what is so
//! for the application's threads to read.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ptr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::core::counting::{Counts, Key};
use super::core::site_time::{Moment, SiteTime};
use super::core::state::Part;
use super::core::{Action, Core, Event};
use super::error::{Code, LicenseError};
use super::folder::Folder;
use super::link::Link;
use super::settings::Config;
use super::status::{Listeners, Status, status_of};
use super::transport::{self, CaPin};
use crate::clock::{Clock as _, SystemClock};
use crate::documents::Claims;
use crate::documents::product_key::VerifiedKeys;
use crate::licensing::{ClientUuid, Slot, Unit};

/// Longest sleep of the thread: the end of a slot and of an authorization must be noticed
/// when the machine slept too.
const NAP: Duration = Duration::from_secs(30);

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

/// What the worker works on.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) core: Core,
    pub(super) folder: Folder,
    pub(super) links: BTreeMap<String, Link>,
}

/// What the application's threads touch: no file and no network behind it.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) counts: Counts,
    pub(super) held: u32,
    pub(super) time: SiteTime,
    pub(super) status: Status,
    pub(super) claims: Option<Arc<Claims>>,
    pub(super) unit: Unit,
    pub(super) others_hold: u32,
    pub(super) has_counted: bool,
    pub(super) wishes: Vec<Wish>,
    /// How many wishes there were, and how many of them are done.
    pub(super) wished: u64,
    pub(super) done: u64,
    pub(super) is_closing: bool,
}

/// What the worker is asked to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Flush,
    Renew,
    Release,
}

thread_local! {
    /// Whose worker this thread is. Asking the standard library which thread this is would have it
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

impl Shared {
    /// Whether the calling thread is this license's worker.
    pub(super) fn is_worker(self: &Arc<Self>) -> bool {
        WORKER_OF.get() == Arc::as_ptr(self)
    }

    /// Has the worker do it; the number by which it is known when it is done.
    pub(super) fn wish(&self, wish: Wish) -> u64 {
        let mut counter = lock(&self.counter);
        counter.wishes.push(wish);
        counter.wished += 1;
        self.wake.notify_all();
        counter.wished
    }

    /// Has the worker do it, and waits until it is done.
    pub(super) fn ask_worker(&self, wish: Wish) {
        if matches!(self.kind, Kind::Keys { .. }) {
            return;
        }
        let number = self.wish(wish);
        let mut counter = lock(&self.counter);
        while !counter.is_closing && counter.done < number {
            counter = self.wake.wait(counter).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The worker's life.
    pub(super) fn work(self: &Arc<Self>) {
        let Kind::Served(served) = &self.kind else { return };
        WORKER_OF.set(Arc::as_ptr(self));
        let flush = Duration::from_secs(u64::from(self.config.settings.flush_seconds));
        let mut flushed = Instant::now();
        loop {
            let (wishes, is_closing) = self.wait(served, flush, flushed);
            let mut inner = lock(served);
            if is_closing || !wishes.is_empty() || flushed.elapsed() >= flush {
                self.flush(&mut inner);
                flushed = Instant::now();
            }
            for wish in &wishes {
                match wish {
                    Wish::Flush => {}
                    Wish::Renew => self.ask(&mut inner, Event::Start),
                    Wish::Release => self.ask(&mut inner, Event::Release),
                }
            }
            if !is_closing && self.is_due(&inner) {
                self.ask(&mut inner, Event::Tick);
            }
            drop(inner);
            lock(&self.counter).done += wishes.len() as u64;
            self.wake.notify_all();
            if is_closing {
                break;
            }
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&self, served: &Mutex<Served>, flush: Duration, flushed: Instant) -> (Vec<Wish>, bool) {
        let wake_at = lock(served).core.wake_at();
        let mut counter = lock(&self.counter);
        loop {
            let has_counts = !counter.counts.is_empty() || counter.held > 0;
            let until_due = wake_at.saturating_sub(counter.time.tell(moment())).clamp(0, NAP.as_secs().cast_signed());
            let mut pause = Duration::from_secs(until_due.cast_unsigned());
            if has_counts {
                pause = pause.min(flush.saturating_sub(flushed.elapsed()));
            }
            if counter.is_closing || !counter.wishes.is_empty() || pause.is_zero() {
                return (std::mem::take(&mut counter.wishes), counter.is_closing);
            }
            let (again, timeout) = self.wake.wait_timeout(counter, pause).unwrap_or_else(PoisonError::into_inner);
            counter = again;
            if timeout.timed_out() {
                return (std::mem::take(&mut counter.wishes), counter.is_closing);
            }
        }
    }

    fn is_due(&self, served: &Served) -> bool {
        served.core.wake_at() <= lock(&self.counter).time.tell(moment())
    }

    /// Puts counts on disk. If that fails they stay for the next time.
    fn flush(&self, served: &mut Served) {
        let (counts, held) = {
            let mut counter = lock(&self.counter);
            let mut counts = std::mem::take(&mut counter.counts);
            let held = counter.held;
            if held > 0 {
                // Instances that are held are in use, whether or not something is counted.
                let slot = Slot::containing(counter.time.tell(moment()));
                counts.entry(Key { slot, unit: counter.unit, module: None }).or_default();
            }
            (counts, held.max(u32::from(counter.has_counted)))
        };
        let alive = served.folder.alive();
        if let Err(error) = self.step(served, Event::Count { counts: counts.clone(), held, alive }) {
            if !served.folder.has_written(Part::Open) {
                let mut counter = lock(&self.counter);
                for (kind, count) in counts.into_iter().flat_map(|(key, types)| types.into_iter().map(move |(kind, count)| ((key.clone(), kind), count))) {
                    *counter.counts.entry(kind.0).or_default().entry(kind.1).or_default() += count;
                }
            }
            self.warn(&error);
        }
    }

    /// Has servers asked, if no other process does just now.
    fn ask(&self, served: &mut Served, event: Event) {
        let asking = match &event {
            Event::Tick => served.folder.try_ask_alone(),
            _ => served.folder.ask_alone().map(Some),
        };
        let outcome = match asking {
            Ok(None) => {
                // The other one asks for a device, not for itself: what it learns is read next time.
                std::thread::sleep(Duration::from_millis(200));
                Ok(())
            }
            Ok(Some(_asking)) => self.step(served, event),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            served.core.abandon(moment());
            self.warn(&error);
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// One event with all that follows from it.
    pub(super) fn step(&self, served: &mut Served, event: Event) -> Result<(), LicenseError> {
        let Served { core, folder, links } = served;
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let (actions, client, known) = folder.with(|state| {
                let actions = core.handle(event, state, moment());
                (actions, state.device.client_uuid, known_authority(&self.config, &state.device.authorities))
            })?;
            for path in folder.take_damaged() {
                let message = format!("a file of the data folder was damaged, and put aside as {}: what was in it is lost", path.display());
                self.warn(&LicenseError::new(Code::Cache, message));
            }
            self.publish(core, client);
            for action in actions {
                match action {
                    Action::Ask(ask) => {
                        let link = links.entry(ask.server.clone()).or_insert_with(|| Link::new(&ask.server));
                        next = Some(link.ask(ask.path, &ask.body, &self.config, known.as_deref()));
                        if let (None, Some(CaPin::Fingerprint(fingerprint)), Some(pem)) = (&known, &self.config.authority, link.ca_pem()) {
                            let (fingerprint, pem) = (fingerprint.clone(), pem.to_owned());
                            folder.with(|state| {
                                state.device.authorities.insert(fingerprint, pem);
                                state.touch(Part::Device);
                            })?;
                        }
                    }
                    Action::LicenseChanged => {
                        if let Some(listener) = &self.listeners.license_changed {
                            listener(&status_of(core, client));
                        }
                    }
                    Action::Reported(submitted) => {
                        if let Some(listener) = &self.listeners.reported {
                            listener(&submitted);
                        }
                    }
                }
            }
        }
        Ok(())
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

    fn warn(&self, error: &LicenseError) {
        tracing::warn!(%error, "license");
        if let Some(listener) = &self.listeners.warning {
            listener(error);
        }
    }
}

/// The authority's certificate that is kept, if it is the one that the license key names.
fn known_authority(config: &Config, kept: &BTreeMap<String, String>) -> Option<String> {
    let Some(CaPin::Fingerprint(fingerprint)) = &config.authority else { return None };
    let pem = kept.get(fingerprint)?;
    (transport::fingerprint_of(pem)? == fingerprint.trim().to_ascii_lowercase()).then(|| pem.clone())
}
