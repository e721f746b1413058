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
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use super::core::counting::{Counts, Key};
use super::core::site_time::SiteTime;
use super::core::{Core, Event};
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

/// The license of an application. Dropping it keeps what was counted, and the seat; see
/// [`License::release`].
#[derive(Debug)]
pub struct License {
    pub(super) shared: Arc<Shared>,
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
                let client = folder.with(|state| state.device.client_uuid)?;
                let (status, time) = (status_of(&core, client), core.site_time());
                (Kind::Served(Box::new(Mutex::new(Served { core, folder, links: BTreeMap::new() }))), status, time)
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
}

impl Drop for License {
    fn drop(&mut self) {
        lock(&self.shared.counter).is_closing = true;
        self.shared.wake.notify_all();
        // A listener that drops the license runs on the worker itself.
        if let Some(worker) = self.worker.take().filter(|_| !self.shared.is_worker()) {
            // It flushes first. If it panicked, what it had is lost as in a crash.
            let _ = worker.join();
        }
        if let Kind::Served(served) = &self.shared.kind {
            lock(served).folder.leave();
        }
    }
}

fn default_folder() -> Result<PathBuf, LicenseError> {
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    home.map(|home| home.join(".tollkeeper")).ok_or_else(|| LicenseError::new(Code::Settings, "this user has no home directory: set dataFolder"))
}
