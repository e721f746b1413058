//! What an application holds: its license. One call gets it, and from then on threads of its
//! own renew it and report use.
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

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use super::core::Core;
use super::core::counting::{Counts, Key};
use super::core::site_time::SiteTime;
use super::device_uuid;
use super::error::{Code, LicenseError};
use super::folder::Folder;
use super::product_key::{check_keys, open_keys};
use super::settings::{Settings, UuidMethod};
use super::status::{Listeners, Status, status_of};
use super::worker::{Counter, Kind, Served, Shared, Wish, lock, moment};
use crate::clock::rfc3339;
use crate::licensing::item::{permits, same_word};
use crate::licensing::{Slot, Unit};
use crate::protocol::ErrorCode;
use crate::protocol::reports::{COUNT_MAX, TYPE_MAX};

/// The license of an application. Dropping it closes it: what was counted is on disk then, and what
/// [`Settings::release_on_close`] says is given back, usually the instances of a floating license, if no other process of
/// the machine needs it and a server takes it within [`CLOSE_WAIT`]; when none can be reached, everything stays as it was.
/// If only its answer is lost, the server may have taken it back all the same. See [`License::release`], too.
///
/// [`CLOSE_WAIT`]: super::settings::CLOSE_WAIT
#[derive(Debug)]
pub struct License {
    pub(super) shared: Arc<Shared>,
    /// The thread that puts counts on disk, and the one that asks.
    keeper: Option<JoinHandle<()>>,
    worker: Option<JoinHandle<()>>,
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
        if let Kind::Served(_) = &license.shared.kind {
            // What other processes of the machine hold is known from the first moment on.
            license.shared.flush()?;
            let (keeper, worker) = (Arc::clone(&license.shared), Arc::clone(&license.shared));
            // Before the thread looks for something to do: else it might ask by itself first, and twice in all.
            let start = license.shared.wish(Wish::Start);
            license.keeper = Some(spawn("tollkeeper-disk", move || keeper.keep())?);
            license.worker = Some(spawn("tollkeeper", move || worker.work())?);
            license.shared.wait_for(start)?;
        }
        Ok(license)
    }

    /// Without asking anybody.
    pub(super) fn open(settings: &Settings, listeners: Listeners) -> Result<Self, LicenseError> {
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
                folder.note_use(core.asked_for())?;
                let client = folder.with(|state| state.device.client_uuid)?;
                let (status, time) = (status_of(&core, client), core.site_time());
                (Kind::Served(Box::new(Mutex::new(Served { core, folder }))), status, time)
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
            due: None,
            wishes: Vec::new(),
            wished: 0,
            answers: Vec::new(),
            news: Vec::new(),
            is_telling: false,
            is_silent: false,
            is_closing: false,
            was_released: false,
            give_up_at: None,
            has_ended: false,
        };
        let shared = Shared { config, kind, listeners, counter: Mutex::new(counter), wake: Condvar::new() };
        Ok(Self { shared: Arc::new(shared), keeper: None, worker: None })
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
        if count == 0 || count > COUNT_MAX {
            return bad(format!("{count} at once: a count is a whole number from 1 to {COUNT_MAX}"));
        }
        if matches!(self.shared.kind, Kind::Keys { .. }) {
            return Ok(());
        }
        let mut counter = lock(&self.shared.counter);
        if let (Some(error), false) = (&counter.status.error, counter.has_counted || counter.claims.is_some()) {
            return Err(error.clone());
        }
        let now = moment();
        let stamp = counter.time.stamp(now);
        // By the device's clock it was so long ago; by the site's as well.
        let stamp = at.map_or(stamp, |at| stamp - now.local.saturating_sub(at).clamp(0, crate::licensing::slot::REPORT_MAX_AGE_SECONDS));
        let key = Key { slot: Slot::containing(stamp), unit: unit.unwrap_or(counter.unit), module: module.map(str::to_owned) };
        counter.has_counted = true;
        if counter.add(key, kind.to_owned(), count, now) {
            self.shared.wake.notify_all();
        }
        Ok(())
    }

    /// Takes instances, as many as are granted to this machine and not held by another of its
    /// processes. They are reported in each slot in which this machine reports use (domain §4):
    /// whoever holds them and does nothing needs none.
    ///
    /// # Errors
    /// 120: there are not so many; 306; else why there is no license.
    pub fn take_instances(&self, number: u32) -> Result<(), LicenseError> {
        self.check(None)?;
        self.hold(|held| held.saturating_add(number)).map_err(|told| match told {
            Told::Folder(error) => error,
            Told::TooMany { granted, held, others } => LicenseError::new(
                ErrorCode::LimitReached,
                format!(
                    "{number} more instances are too many: {granted} are granted to this machine, {held} are held here and {others} by other processes; set 'instances' higher, or give some back"
                ),
            ),
        })
    }

    /// Gives instances back.
    pub fn give_back_instances(&self, number: u32) {
        if let Err(Told::Folder(error)) = self.hold(|held| held.saturating_sub(number)) {
            self.shared.warn(error);
        }
    }

    /// Holds so many, in the one step in which it is seen what all processes hold.
    fn hold(&self, change: impl FnOnce(u32) -> u32) -> Result<(), Told> {
        let Kind::Served(served) = &self.shared.kind else {
            let mut counter = lock(&self.shared.counter);
            counter.held = change(counter.held);
            return Ok(());
        };
        let Served { core, folder } = &mut *lock(served);
        let (held, granted, has_counted) = {
            let counter = lock(&self.shared.counter);
            (counter.held, counter.status.instances, counter.has_counted)
        };
        let wanted = change(held);
        let most = if wanted > held { granted } else { u32::MAX };
        let alive = folder.alive();
        let others = folder.with(|state| core.hold(wanted.max(u32::from(has_counted)), most, &alive, state)).map_err(Told::Folder)?;
        let mut counter = lock(&self.shared.counter);
        counter.others_hold = others;
        if wanted.saturating_add(others) > most {
            return Err(Told::TooMany { granted, held, others });
        }
        counter.held = wanted;
        Ok(())
    }

    /// Instances that are granted to this machine and that nobody holds.
    pub fn idle_instances(&self) -> u32 {
        // Looks what others hold. If the folder cannot be read, it is what was last heard.
        let _ = self.hold(|held| held);
        let counter = lock(&self.shared.counter);
        counter.status.instances.saturating_sub(counter.held).saturating_sub(counter.others_hold)
    }

    /// Puts what was counted on disk now.
    pub fn flush(&self) {
        // A failure is told as a warning, and what was counted is kept for the next time.
        let _ = self.shared.flush();
    }

    /// Asks the servers now, as at the start, and sends what was not sent. Waits for them; from
    /// within a listener it returns at once, and it is done afterwards.
    ///
    /// # Errors
    /// 306; else why there is no license.
    pub fn renew(&self) -> Result<(), LicenseError> {
        self.shared.ask_worker(Wish::Start)?;
        self.status().error.map_or(Ok(()), Err)
    }

    /// Gives the license back: reports what was done, the slot that goes on included, then frees
    /// the seat or the instances for another device. The application must initialize again to go on.
    /// From within a listener it returns at once, and it is done afterwards.
    ///
    /// # Errors
    /// Why it was not given back, such as 302: then it is held as before, and what was counted is
    /// kept. Initialize again, and give it back when a server can be reached.
    pub fn release(self) -> Result<(), LicenseError> {
        lock(&self.shared.counter).was_released = true;
        self.shared.flush()?;
        self.shared.ask_worker(Wish::Release)
    }
}

/// Why instances are not held.
enum Told {
    TooMany { granted: u32, held: u32, others: u32 },
    Folder(LicenseError),
}

fn spawn(name: &str, life: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LicenseError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(life);
    spawned.map_err(|error| LicenseError::new(Code::Cache, format!("no thread can be started: {error}")))
}

impl Drop for License {
    fn drop(&mut self) {
        let is_listener = self.shared.is_worker();
        self.shared.close();
        // It flushes for the last time, and waits for no server.
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
        let worker = self.worker.take();
        if is_listener {
            // It runs on the other one itself, which then ends by itself.
            return;
        }
        // So it does when a server that it asks is silent.
        if worker.is_some() && self.shared.wait_for_end() {
            let _ = worker.map(JoinHandle::join);
        }
        if let Kind::Served(served) = &self.shared.kind {
            lock(served).folder.leave();
        }
        self.shared.silence();
    }
}

fn default_folder() -> Result<PathBuf, LicenseError> {
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    home.map(|home| home.join(".tollkeeper")).ok_or_else(|| LicenseError::new(Code::Settings, "this user has no home directory: set dataFolder"))
}
