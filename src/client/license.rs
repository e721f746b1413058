//! What an application holds: its license. One call gets it, and from then on a thread of its
//! own renews it and reports use.
//!
//! ```no_run
//! use tollkeeper::client::{License, Settings};
//!
//! # fn main() -> Result<(), tollkeeper::client::LicenseError> {
//! # let vendor_public_key = String::new();
//! let settings = Settings { license_key: Some("TK1.…".into()), vendor_public_key, product: "dbr".into(), ..Settings::default() };
//! let license = License::initialize(&settings)?;
//! license.check(None)?;
//! license.record("QR Code", 1)?;
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::core::counting::{Counts, Key};
use super::core::outbox::Submitted;
use super::core::site_time::{Moment, SiteTime};
use super::core::state::Part;
use super::core::{Action, Core, Event, Source, Standing};
use super::error::{Code, LicenseError, ServerFailure};
use super::folder::Folder;
use super::link::Link;
use super::settings::{Config, Settings, UuidMethod};
use super::transport::CaPin;
use super::{device_uuid, transport};
use crate::clock::{Clock as _, SystemClock, rfc3339};
use crate::documents::product_key::VerifiedKeys;
use crate::documents::{Claims, KeyRequest, ProductKeys, carried};
use crate::licensing::item::{permits, same_word};
use crate::licensing::{ClientUuid, Slot, Unit};
use crate::protocol::ErrorCode;
use crate::protocol::authorize::{AuthorizeAnswer, AuthorizeRequest};
use crate::protocol::reports::{COUNT_MAX, ReportsAnswer, TYPE_MAX};

/// Longest sleep of the thread: the end of a slot and of an authorization must be noticed
/// when the machine slept too.
const NAP: Duration = Duration::from_secs(30);

/// Where a license comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A server that answered in this session.
    Server(String),
    /// Kept from before; no server serves now.
    Kept,
    /// Carried here by hand.
    Carried,
    /// Product keys, which need no server.
    ProductKey,
}

/// What an application may do now.
#[derive(Debug, Clone)]
pub struct Status {
    /// The device, where there is a server or was one.
    pub client_uuid: Option<ClientUuid>,
    /// Why not, if it may do nothing.
    pub error: Option<LicenseError>,
    /// Where the license comes from.
    pub origin: Option<Origin>,
    /// When it ends unless it is renewed, seconds since 1970.
    pub expires_at: Option<i64>,
    /// The handshake code that serves, by the name that the application knows.
    pub handshake_code: Option<String>,
    /// Instances that are granted.
    pub instances: u32,
    /// Why servers did not serve before the one that does, or before the kept authorization.
    pub failures: Vec<ServerFailure>,
}

impl Status {
    /// Whether the application may work.
    pub fn is_licensed(&self) -> bool {
        self.error.is_none()
    }
}

/// What the application wants to hear of. Called on the license's own thread; must not wait
/// for the license.
#[derive(Default)]
pub struct Listeners {
    /// The license is another than before.
    pub license_changed: Option<Box<dyn Fn(&Status) + Send + Sync>>,
    /// A server took reports.
    pub reported: Option<Box<dyn Fn(&Submitted) + Send + Sync>>,
    /// Something is wrong that does not stop the application.
    pub warning: Option<Box<dyn Fn(&LicenseError) + Send + Sync>>,
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listeners(…)")
    }
}

/// The license of an application. Dropping it keeps what was counted, and the seat; see
/// [`License::release`].
#[derive(Debug)]
pub struct License {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    config: Arc<Config>,
    kind: Kind,
    listeners: Listeners,
    counter: Mutex<Counter>,
    wake: Condvar,
}

#[derive(Debug)]
enum Kind {
    Served(Mutex<Served>),
    Keys { keys: VerifiedKeys, machine: Option<ClientUuid> },
}

/// What the worker works on.
#[derive(Debug)]
struct Served {
    core: Core,
    folder: Folder,
    links: BTreeMap<String, Link>,
}

/// What the application's threads touch: no file and no network behind it.
#[derive(Debug)]
struct Counter {
    counts: Counts,
    held: u32,
    time: SiteTime,
    status: Status,
    claims: Option<Arc<Claims>>,
    unit: Unit,
    others_hold: u32,
    has_counted: bool,
    wishes: Vec<Wish>,
    /// How many wishes there were, and how many of them are done.
    wished: u64,
    done: u64,
    is_closing: bool,
}

/// What the worker is asked to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Flush,
    Renew,
    Release,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn moment() -> Moment {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let monotonic = BEGAN.get_or_init(Instant::now).elapsed().as_secs();
    Moment { local: SystemClock.now_seconds(), monotonic: i64::try_from(monotonic).unwrap_or(i64::MAX) }
}

impl License {
    /// Gets the license: from the main server, else the standby, else the authorization of
    /// before, else by product keys. Waits for the servers, at most 20 s each.
    ///
    /// # Errors
    /// 301 for settings that cannot be; 306 for the data folder; else why there is no license. What
    /// counted before is reported all the same.
    pub fn initialize(settings: &Settings) -> Result<Self, LicenseError> {
        Self::initialize_with(settings, Listeners::default())
    }

    /// The same, with listeners.
    ///
    /// # Errors
    /// As [`License::initialize`].
    pub fn initialize_with(settings: &Settings, listeners: Listeners) -> Result<Self, LicenseError> {
        let license = Self::start(settings, listeners)?;
        match license.status().error {
            None => Ok(license),
            Some(error) => Err(error),
        }
    }

    /// The same, for an application that goes on and waits when there is no license yet: it is
    /// asked for again and again, and [`Listeners::license_changed`] tells.
    ///
    /// # Errors
    /// 301 and 306 only.
    pub fn start(settings: &Settings, listeners: Listeners) -> Result<Self, LicenseError> {
        let mut license = Self::open(settings, listeners)?;
        if let Kind::Served(served) = &license.shared.kind {
            let shared = Arc::clone(&license.shared);
            {
                let mut served = lock(served);
                let asking = served.folder.ask_alone()?;
                shared.step(&mut served, Event::Start)?;
                drop(asking);
            }
            let worker = std::thread::Builder::new().name("tollkeeper".to_owned()).spawn(move || shared.work());
            license.worker = Some(worker.map_err(|error| LicenseError::new(Code::Cache, format!("no thread can be started: {error}")))?);
        }
        Ok(license)
    }

    /// Without asking anybody.
    fn open(settings: &Settings, listeners: Listeners) -> Result<Self, LicenseError> {
        let mut config = settings.check()?;
        if config.settings.process_name.is_none() {
            config.settings.process_name = std::env::current_exe().ok().and_then(|path| path.file_name()?.to_str().map(str::to_owned));
        }
        let config = Arc::new(config);
        let bound = match config.settings.uuid_method {
            UuidMethod::Random => None,
            UuidMethod::Hardware => Some(device_uuid::of_this_machine().ok_or_else(|| {
                LicenseError::new(Code::Settings, "uuidMethod is hardware, but this machine's system tells no id (/etc/machine-id): use random, or give it one")
            })?),
        };
        let now = moment();
        let (kind, status, time) = match &config.settings.product_key {
            Some(text) => {
                let (keys, machine, status) = open_keys(&config, text, now.local)?;
                (Kind::Keys { keys, machine }, status, SiteTime::new(Default::default(), now))
            }
            None => {
                let path = config.settings.data_folder.clone().map_or_else(default_folder, Ok)?;
                let mut folder = Folder::open(&path)?;
                let session = folder.session();
                let core = folder.with(|state| Core::new(Arc::clone(&config), session, bound, state, now))?;
                let client = folder.with(|state| state.device.client_uuid)?;
                let (status, time) = (status_of(&core, client), core.site_time());
                (Kind::Served(Mutex::new(Served { core, folder, links: BTreeMap::new() })), status, time)
            }
        };
        let counter = Counter {
            counts: Counts::new(),
            held: 0,
            time,
            status,
            claims: None,
            unit: Unit::Scan,
            others_hold: 0,
            has_counted: false,
            wishes: Vec::new(),
            wished: 0,
            done: 0,
            is_closing: false,
        };
        let shared = Shared { config, kind, listeners, counter: Mutex::new(counter), wake: Condvar::new() };
        Ok(Self { shared: Arc::new(shared), worker: None })
    }

    /// What the application may do now.
    pub fn status(&self) -> Status {
        lock(&self.shared.counter).status.clone()
    }

    /// Whether this module is licensed now, or with `None` the product at all. Asks nobody: it
    /// may be called at every use.
    ///
    /// # Errors
    /// 204: the module is not in the license; else why there is none.
    pub fn check(&self, module: Option<&str>) -> Result<(), LicenseError> {
        if let Kind::Keys { keys, machine } = &self.shared.kind {
            let wanted: Vec<String> = module.map(str::to_owned).into_iter().collect();
            return check_keys(keys, &self.shared.config, &wanted, *machine, moment().local).map(drop);
        }
        let mut counter = lock(&self.shared.counter);
        if let Some(error) = &counter.status.error {
            return Err(error.clone());
        }
        let site = counter.time.tell(moment());
        let Some(claims) = counter.claims.clone() else { return Err(LicenseError::new(Code::NoServer, "there is no license")) };
        if site >= claims.exp {
            let message = format!("the authorization ended at {} and could not be renewed: connect this device to its license server", rfc3339(claims.exp));
            return Err(LicenseError { code: Code::EndedOffline, message, failures: counter.status.failures.clone() });
        }
        let Some(module) = module else { return Ok(()) };
        let product = &self.shared.config.settings.product;
        let covers = |item: &&crate::documents::AuthorizedItem| same_word(&item.product, product) && permits(&item.modules, Some(module));
        match claims.items.iter().find(covers) {
            Some(_) => Ok(()),
            None => Err(LicenseError::new(
                ErrorCode::ModuleNotCovered,
                format!("the module '{module}' of '{product}' is not in this license: name it in limitedModules, or ask the vendor for an item that has it"),
            )),
        }
    }

    /// Counts use, now, in the unit that the license is about.
    ///
    /// # Errors
    /// As [`License::record_at`].
    pub fn record(&self, kind: &str, count: u64) -> Result<(), LicenseError> {
        self.record_at(kind, count, None, None, None)
    }

    /// Counts use: `kind` is the barcode's format, or `scanned`, `captured`, `imported` of
    /// pages; `module` the one that processed the pages; `at` its own time by the device's clock,
    /// seconds since 1970, when it was not just now.
    ///
    /// # Errors
    /// 200 for values that no report can hold; why there is no license, when there never was
    /// one. Use after the end of a license is counted: it was really done.
    pub fn record_at(&self, kind: &str, count: u64, unit: Option<Unit>, module: Option<&str>, at: Option<i64>) -> Result<(), LicenseError> {
        let bad = |what: String| Err(LicenseError::new(ErrorCode::Malformed, what));
        if kind.is_empty() || kind.len() > TYPE_MAX || kind.chars().any(char::is_control) {
            return bad(format!("a type must be 1 to {TYPE_MAX} printable bytes, such as 'QR Code'"));
        }
        if module.is_some_and(|module| module.is_empty() || module.len() > TYPE_MAX) {
            return bad(format!("a module must be 1 to {TYPE_MAX} bytes"));
        }
        if count > COUNT_MAX {
            return bad(format!("{count} at once are more than {COUNT_MAX}"));
        }
        if matches!(self.shared.kind, Kind::Keys { .. }) {
            return Ok(());
        }
        let mut counter = lock(&self.shared.counter);
        if let (Some(error), false) = (&counter.status.error, counter.has_counted || counter.claims.is_some()) {
            return Err(error.clone());
        }
        let now = moment();
        let site = counter.time.tell(now);
        // By the device's clock it was so long ago; by the site's as well.
        let stamp = at.map_or(site, |at| site - now.local.saturating_sub(at).clamp(0, crate::licensing::slot::REPORT_MAX_AGE_SECONDS));
        let key = Key { slot: Slot::containing(stamp), unit: unit.unwrap_or(counter.unit), module: module.map(str::to_owned) };
        *counter.counts.entry(key).or_default().entry(kind.to_owned()).or_default() += count;
        counter.has_counted = true;
        Ok(())
    }

    /// Takes instances, as many as are granted to this machine and not held by another of its
    /// processes. They are reported in every slot in which they are held.
    ///
    /// # Errors
    /// 120: there are not so many; else why there is no license.
    pub fn take_instances(&self, number: u32) -> Result<(), LicenseError> {
        self.check(None)?;
        let mut counter = lock(&self.shared.counter);
        let wanted = counter.held.saturating_add(number);
        let granted = counter.status.instances;
        if wanted.saturating_add(counter.others_hold) > granted && !matches!(self.shared.kind, Kind::Keys { .. }) {
            let message = format!(
                "{number} more instances are too many: {granted} are granted to this machine, {} are held here and {} by other processes; set 'instances' higher, or give some back",
                counter.held, counter.others_hold
            );
            return Err(LicenseError::new(ErrorCode::LimitReached, message));
        }
        counter.held = wanted;
        drop(counter);
        self.shared.wish(Wish::Flush);
        Ok(())
    }

    /// Gives instances back.
    pub fn give_back_instances(&self, number: u32) {
        {
            let mut counter = lock(&self.shared.counter);
            counter.held = counter.held.saturating_sub(number);
        }
        self.shared.wish(Wish::Flush);
    }

    /// Instances that are granted to this machine and that nobody holds, as last heard.
    pub fn idle_instances(&self) -> u32 {
        let counter = lock(&self.shared.counter);
        counter.status.instances.saturating_sub(counter.held).saturating_sub(counter.others_hold)
    }

    /// Puts what was counted on disk now.
    pub fn flush(&self) {
        self.shared.ask_worker(Wish::Flush);
    }

    /// Asks the servers now, as at the start, and sends what was not sent.
    ///
    /// # Errors
    /// Why there is no license.
    pub fn renew(&self) -> Result<(), LicenseError> {
        self.shared.ask_worker(Wish::Renew);
        self.status().error.map_or(Ok(()), Err)
    }

    /// Gives the license back: its seat or its instances are free for another device. The
    /// application must initialize again to go on.
    pub fn release(self) {
        self.shared.ask_worker(Wish::Flush);
        self.shared.ask_worker(Wish::Release);
    }

    /// Everything that was done and not acknowledged, as a file to be carried to the server
    /// (`device import-reports`). `None` when there is nothing.
    ///
    /// # Errors
    /// 306.
    pub fn report_file(&self) -> Result<Option<String>, LicenseError> {
        self.flush();
        let Kind::Served(served) = &self.shared.kind else { return Ok(None) };
        let Served { core, folder, .. } = &mut *lock(served);
        let Some(request) = folder.with(|state| core.carried_reports(state, moment()))? else { return Ok(None) };
        let summary = format!(
            "Tollkeeper usage reports of device {}: {} reports\nOn the server: tollkeeper device import-reports FILE\n",
            request.client_uuid,
            request.reports.len()
        );
        Ok(Some(carried::file(carried::Kind::Reports, &request, &summary)))
    }

    /// Takes the receipt for carried reports: what the server has need not be kept here.
    ///
    /// # Errors
    /// 304: it is none; 306.
    pub fn import_receipt(&self, text: &str) -> Result<Submitted, LicenseError> {
        let answer: ReportsAnswer = read_carried(carried::Kind::Receipt, text)?;
        let Kind::Served(served) = &self.shared.kind else { return Ok(Submitted::default()) };
        let Served { core, folder, .. } = &mut *lock(served);
        folder.with(|state| core.take_receipt(&answer, state))
    }

    /// The request of a device without network, to be carried to the server
    /// (`device authorize-file`).
    ///
    /// # Errors
    /// 301 and 306.
    pub fn request_file(settings: &Settings) -> Result<String, LicenseError> {
        let request = Self::carried_request(settings)?;
        let summary = format!(
            "Tollkeeper authorization request of device {} for '{}'\nOn the server: tollkeeper device authorize-file FILE --out ANSWER\n",
            request.client_uuid, request.product
        );
        Ok(carried::file(carried::Kind::Request, &request, &summary))
    }

    /// The same on one line, for a QR code.
    ///
    /// # Errors
    /// As [`License::request_file`].
    pub fn request_line(settings: &Settings) -> Result<String, LicenseError> {
        Ok(carried::line(carried::Kind::Request, &Self::carried_request(settings)?))
    }

    fn carried_request(settings: &Settings) -> Result<AuthorizeRequest, LicenseError> {
        let license = Self::open(settings, Listeners::default())?;
        let Kind::Served(served) = &license.shared.kind else {
            return Err(LicenseError::new(Code::Settings, "productKey is set: product keys need no request"));
        };
        let Served { core, folder, .. } = &mut *lock(served);
        folder.with(|state| core.request("", state))
    }

    /// Takes the authorization that was carried here. [`License::initialize`] with the same
    /// settings then finds it.
    ///
    /// # Errors
    /// 304: it is not genuine, or the answer to another request; 301 and 306.
    pub fn import_authorization(settings: &Settings, text: &str) -> Result<(), LicenseError> {
        let answer: AuthorizeAnswer = read_carried(carried::Kind::Authorization, text)?;
        let license = Self::open(settings, Listeners::default())?;
        let Kind::Served(served) = &license.shared.kind else {
            return Err(LicenseError::new(Code::Settings, "productKey is set: product keys need no authorization"));
        };
        let Served { core, folder, .. } = &mut *lock(served);
        folder.with(|state| core.take_carried(&answer, state, moment()))?.map(drop)
    }
}

impl Drop for License {
    fn drop(&mut self) {
        lock(&self.shared.counter).is_closing = true;
        self.shared.wake.notify_all();
        // A listener that drops the license runs on the worker itself.
        if let Some(worker) = self.worker.take().filter(|worker| worker.thread().id() != std::thread::current().id()) {
            // It flushes first. If it panicked, what it had is lost as in a crash.
            let _ = worker.join();
        }
        if let Kind::Served(served) = &self.shared.kind {
            lock(served).folder.leave();
        }
    }
}

impl Shared {
    /// Has the worker do it; the number by which it is known when it is done.
    fn wish(&self, wish: Wish) -> u64 {
        let mut counter = lock(&self.counter);
        counter.wishes.push(wish);
        counter.wished += 1;
        self.wake.notify_all();
        counter.wished
    }

    /// Has the worker do it, and waits until it is done.
    fn ask_worker(&self, wish: Wish) {
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
    fn work(&self) {
        let Kind::Served(served) = &self.kind else { return };
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
    fn step(&self, served: &mut Served, event: Event) -> Result<(), LicenseError> {
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

fn status_of(core: &Core, client_uuid: Option<ClientUuid>) -> Status {
    match core.standing() {
        Standing::Licensed { claims, source, failures } => Status {
            client_uuid,
            error: None,
            origin: Some(match source {
                Source::Server(url) => Origin::Server(url.clone()),
                Source::Kept => Origin::Kept,
                Source::Carried => Origin::Carried,
            }),
            expires_at: Some(claims.exp),
            handshake_code: Some(claims.hs.to_string()),
            instances: claims.items.iter().map(|item| item.instances).max().unwrap_or(1),
            failures: failures.clone(),
        },
        Standing::Unlicensed(error) => Status {
            client_uuid,
            failures: error.failures.clone(),
            error: Some(error.clone()),
            origin: None,
            expires_at: None,
            handshake_code: None,
            instances: 0,
        },
    }
}

fn open_keys(config: &Config, text: &str, now: i64) -> Result<(VerifiedKeys, Option<ClientUuid>, Status), LicenseError> {
    let keys =
        ProductKeys::parse(text).and_then(|keys| keys.verify(&config.vendors)).map_err(|error| LicenseError::new(Code::ProductKey, error.to_string()))?;
    let machine = device_uuid::of_this_machine();
    let expires_at = check_keys(&keys, config, &config.settings.limited_modules, machine, now)?;
    let status = Status {
        client_uuid: None,
        error: None,
        origin: Some(Origin::ProductKey),
        expires_at: Some(expires_at),
        handshake_code: None,
        instances: config.settings.instances,
        failures: Vec::new(),
    };
    Ok((keys, machine, status))
}

/// Whether the keys cover these modules now; until when.
fn check_keys(keys: &VerifiedKeys, config: &Config, modules: &[String], machine: Option<ClientUuid>, now: i64) -> Result<i64, LicenseError> {
    let settings = &config.settings;
    let request = KeyRequest {
        product: &settings.product,
        version: settings.product_version.as_deref(),
        edition: settings.edition.as_deref(),
        deployment_type: settings.deployment_type,
        modules,
        machine,
        host: None,
    };
    let covering = keys.check(&request, now).map_err(|refusal| LicenseError::new(refusal.reason.code(), refusal.to_string()))?;
    Ok(covering.iter().map(|key| key.valid_to.timestamp()).min().unwrap_or(now))
}

fn default_folder() -> Result<PathBuf, LicenseError> {
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    home.map(|home| home.join(".tollkeeper")).ok_or_else(|| LicenseError::new(Code::Settings, "this user has no home directory: set dataFolder"))
}

fn read_carried<T: serde::de::DeserializeOwned>(kind: carried::Kind, text: &str) -> Result<T, LicenseError> {
    carried::read(kind, text).map_err(|error| LicenseError::new(Code::NotGenuine, error.to_string()))
}
