//! The data folder: what [`super::core`] keeps, on disk, shared safely by all processes of a
//! machine, or in memory for simulated devices.
//!
//! | file | what |
//! | --- | --- |
//! | `device.json` | UUID, time, tickets |
//! | `authorizations.json` | what servers granted |
//! | `open.json` | use in slots that go on |
//! | `reports-2026-11-22.json` | reports of that day that are not safe at a server yet |
//! | `lock` | held while any of them is read or written |
//! | `asking` | held while a server is asked |
//! | `session-….lock` | held as long as its process lives; says which grant it uses |
//!
//! Every file is replaced in one step: a crash leaves the old one or the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{Days, NaiveDate};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::core::state::{Part, State};
use super::error::{Code, LicenseError};
use crate::documents::{files, random_uuid};

/// The one version of the files there is.
const VERSION: u32 = 1;
/// Largest file that is read.
const FILE_MAX: usize = 64 * 1024 * 1024;

const DAY_PREFIX: &str = "reports-";

#[derive(Serialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    content: T,
}

/// What a file tells first. The content is read after it, from the same text: reading both at
/// once, through what serde buffers for that, would be 25 KB in every application.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Default, Serialize, Deserialize)]
struct Day {
    reports: Vec<super::core::state::StoredReport>,
}

/// By what a file is known to be another than the one that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

/// The data folder of a device, as one process sees it.
#[derive(Debug)]
pub struct Folder {
    disk: Option<Disk>,
    state: State,
    written: BTreeSet<Part>,
    session: Uuid,
}

#[derive(Debug)]
struct Disk {
    path: PathBuf,
    lock: File,
    asking: File,
    /// Held while the process lives.
    alive: File,
    stamps: BTreeMap<PathBuf, Stamp>,
    damaged: Vec<PathBuf>,
    /// What is in memory may not be what is on disk.
    is_torn: bool,
}

/// Held while a server is asked, so that two processes do not show the same ticket.
#[derive(Debug)]
pub struct Asking(Option<File>);

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            // The system does it at the latest when the file is closed.
            let _ = file.unlock();
        }
    }
}

/// A file that is locked until this is dropped.
struct Held<'a>(&'a File);

impl<'a> Held<'a> {
    fn take(file: &'a File) -> io::Result<Self> {
        retry(|| file.lock()).map(|()| Self(file))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // The system does it at the latest when the file is closed.
        let _ = self.0.unlock();
    }
}

/// A signal to the application, which may come at any time, is no reason to give up.
fn retry(mut work: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match work() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

impl Folder {
    /// Opens the folder, and makes it if it is missing.
    ///
    /// # Errors
    /// 306, naming the path.
    pub fn open(path: &Path) -> Result<Self, LicenseError> {
        let session = random_uuid();
        make(path).map_err(|error| unusable(path, &error))?;
        let lock = open_lock(&path.join("lock"))?;
        let asking = open_lock(&path.join("asking"))?;
        let held = Held::take(&lock).map_err(|error| unusable(path, &error))?;
        sweep(path);
        // Locked before it has its name: nobody takes it for one of a process that is gone.
        let (new, name) = (path.join(format!("session-{session}.new")), session_file(path, session));
        let alive = open_lock(&new)?;
        retry(|| alive.lock()).and_then(|()| fs::rename(&new, &name)).map_err(|error| unusable(&name, &error))?;
        drop(held);
        let disk = Disk { path: path.to_owned(), lock, asking, alive, stamps: BTreeMap::new(), damaged: Vec::new(), is_torn: false };
        Ok(Self { disk: Some(disk), state: State::default(), written: BTreeSet::new(), session })
    }

    /// A folder that is gone with the process.
    pub fn in_memory(state: State) -> Self {
        Self { disk: None, state, written: BTreeSet::new(), session: random_uuid() }
    }

    /// The name of this process.
    pub fn session(&self) -> Uuid {
        self.session
    }

    /// Works on the state while no other process does. What `work` touched is on disk when
    /// this returns.
    ///
    /// # Errors
    /// 306: the folder cannot be read or written. Then nothing that `work` did holds, but for
    /// the parts that [`Folder::has_written`] names.
    pub fn with<R>(&mut self, work: impl FnOnce(&mut State) -> R) -> Result<R, LicenseError> {
        let Some(disk) = &mut self.disk else {
            let done = work(&mut self.state);
            self.state.touched.clear();
            return Ok(done);
        };
        self.written.clear();
        // Through a handle of its own, so that it is given back even when `work` panics.
        let lock = disk.lock.try_clone().map_err(|error| unusable(&disk.path, &error))?;
        let held = Held::take(&lock).map_err(|error| unusable(&disk.path, &error))?;
        if std::mem::replace(&mut disk.is_torn, true) {
            disk.stamps.clear();
            self.state = State::default();
        }
        let done = disk.read(&mut self.state).map(|()| work(&mut self.state)).and_then(|done| disk.write(&mut self.state, &mut self.written).map(|()| done));
        disk.is_torn = done.is_err();
        drop(held);
        done
    }

    /// Whether the last [`Folder::with`] put this part on disk, even if it failed later.
    pub fn has_written(&self, part: Part) -> bool {
        self.written.contains(&part)
    }

    /// The right to ask a server, or `None` while another process asks.
    ///
    /// # Errors
    /// 306.
    pub fn try_ask_alone(&self) -> Result<Option<Asking>, LicenseError> {
        let Some(disk) = &self.disk else { return Ok(Some(Asking(None))) };
        let file = disk.asking.try_clone().map_err(|error| unusable(&disk.path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Asking(Some(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(unusable(&disk.path, &error)),
        }
    }

    /// The processes of this machine that live; what those that are gone left is removed.
    pub fn alive(&self) -> Vec<Uuid> {
        let mut alive = vec![self.session];
        let Some(disk) = &self.disk else { return alive };
        for (path, session) in list(&disk.path, "session-", ".lock").filter_map(|(path, name)| Some((path, Uuid::try_parse(&name).ok()?))) {
            if session == self.session {
                continue;
            }
            let is_gone = OpenOptions::new().write(true).open(&path).is_ok_and(|file| file.try_lock().is_ok());
            if is_gone {
                // Whoever else finds it gone removes it as well.
                let _ = fs::remove_file(&path);
            } else {
                alive.push(session);
            }
        }
        alive
    }

    /// Tells the other processes which grant this one uses.
    ///
    /// # Errors
    /// 306.
    pub fn note_use(&mut self, grant: &str) -> Result<(), LicenseError> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        disk.alive.write_all(grant.as_bytes()).map_err(|error| unusable(&session_file(&disk.path, self.session), &error))
    }

    /// Which grants the other processes use that live; `None` of one that does not tell.
    pub fn used_by_others(&self) -> Vec<Option<String>> {
        let Some(disk) = &self.disk else { return Vec::new() };
        let others = self.alive().into_iter().filter(|session| *session != self.session);
        let told = others.filter_map(|session| match fs::read_to_string(session_file(&disk.path, session)) {
            // It ended just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            told => Some(told.ok().filter(|grant| !grant.is_empty())),
        });
        told.collect()
    }

    /// Files that could not be read, and were put aside.
    pub fn take_damaged(&mut self) -> Vec<PathBuf> {
        self.disk.as_mut().map(|disk| std::mem::take(&mut disk.damaged)).unwrap_or_default()
    }

    /// Lets others know that this process is gone.
    pub fn leave(&mut self) {
        if let Some(disk) = &self.disk {
            let _ = fs::remove_file(session_file(&disk.path, self.session));
        }
    }
}

impl Disk {
    /// Reads what changed since it was last read.
    fn read(&mut self, state: &mut State) -> Result<(), LicenseError> {
        // The small files are read each time: a file that was replaced twice in one tick of the
        // file system's clock may look the same from outside.
        for name in ["device.json", "authorizations.json", "open.json"] {
            if let Some(stamp) = self.stamps.get_mut(&self.path.join(name)) {
                stamp.length = u64::MAX;
            }
        }
        if let Some(device) = self.read_if_changed("device.json")? {
            state.device = device;
        }
        if let Some(grants) = self.read_if_changed("authorizations.json")? {
            state.grants = grants;
        }
        let mut is_other = false;
        if let Some(open) = self.read_if_changed("open.json")? {
            state.open = open;
            is_other = true;
        }
        let mut there = Vec::new();
        for (name, day) in
            list(&self.path, DAY_PREFIX, ".json").filter_map(|(_, name)| Some((format!("{DAY_PREFIX}{name}.json"), number_of(&name)?))).collect::<Vec<_>>()
        {
            there.push(day);
            if let Some(Day { reports }) = self.read_if_changed(&name)? {
                state.days.insert(day, reports);
                is_other = true;
            }
        }
        let before = state.days.len();
        state.days.retain(|day, _| there.contains(day));
        if is_other || state.days.len() < before {
            state.reconcile();
        }
        Ok(())
    }

    /// The content of a file, unless it is the one that was read last. A file that is gone is
    /// an empty one.
    fn read_if_changed<T: DeserializeOwned + Default>(&mut self, name: &str) -> Result<Option<T>, LicenseError> {
        let path = self.path.join(name);
        let stamp = match fs::metadata(&path) {
            Ok(meta) => stamp_of(&meta),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self.stamps.remove(&path).map(|_| T::default())),
            Err(error) => return Err(unusable(&path, &error)),
        };
        if self.stamps.get(&path) == Some(&stamp) {
            return Ok(None);
        }
        let text = files::read_text(&path, FILE_MAX).map_err(|error| LicenseError::new(Code::Cache, error.to_string()))?;
        let version = serde_json::from_str::<Version>(&text).map(|told| told.version);
        let content = match version.and_then(|version| if version == VERSION { serde_json::from_str::<T>(&text).map(Ok) } else { Ok(Err(version)) }) {
            Ok(Ok(content)) => content,
            Ok(Err(version)) => {
                let message = format!(
                    "{} is of version {version}, this library knows {VERSION}: update the application, or give it a data folder of its own",
                    path.display()
                );
                return Err(LicenseError::new(Code::Cache, message));
            }
            Err(_) => {
                // It was replaced in one step, so the disk lost it, or somebody wrote into it. The
                // application goes on with what is left.
                let aside = path.with_extension("damaged");
                fs::rename(&path, &aside).map_err(|error| unusable(&path, &error))?;
                self.damaged.push(aside);
                self.stamps.remove(&path);
                return Ok(Some(T::default()));
            }
        };
        self.stamps.insert(path, stamp);
        Ok(Some(content))
    }

    fn write(&mut self, state: &mut State, written: &mut BTreeSet<Part>) -> Result<(), LicenseError> {
        // In their order, so that a report leaves the open ones only when its day has it.
        while let Some(part) = state.touched.first().copied() {
            match part {
                Part::Day(day) => self.write_day(day, state.days.get(&day))?,
                Part::Open => self.write_file("open.json", &state.open)?,
                Part::Grants => self.write_file("authorizations.json", &state.grants)?,
                Part::Device => self.write_file("device.json", &state.device)?,
            }
            state.touched.remove(&part);
            written.insert(part);
        }
        Ok(())
    }

    fn write_day(&mut self, day: i64, reports: Option<&Vec<super::core::state::StoredReport>>) -> Result<(), LicenseError> {
        let Some(name) = name_of(day) else { return Ok(()) };
        match reports {
            Some(reports) => self.write_file(&name, &Day { reports: reports.clone() }),
            None => {
                let path = self.path.join(name);
                self.stamps.remove(&path);
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(&path, &error)),
                    _ => Ok(()),
                }
            }
        }
    }

    fn write_file(&mut self, name: &str, content: &impl Serialize) -> Result<(), LicenseError> {
        let path = self.path.join(name);
        let json = serde_json::to_vec(&Versioned { version: VERSION, content }).map_err(|error| LicenseError::new(Code::Cache, error.to_string()))?;
        files::replace_file(&path, &json, 0o600).map_err(|error| LicenseError::new(Code::Cache, error.to_string()))?;
        let meta = fs::metadata(&path).map_err(|error| unusable(&path, &error))?;
        self.stamps.insert(path, stamp_of(&meta));
        Ok(())
    }
}

/// Files of the folder between prefix and suffix, with what stands between.
fn list(folder: &Path, prefix: &'static str, suffix: &'static str) -> impl Iterator<Item = (PathBuf, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let name = entry.file_name().into_string().ok()?;
        let middle = name.strip_prefix(prefix)?.strip_suffix(suffix)?.to_owned();
        Some((entry.path(), middle))
    })
}

/// Removes what processes left that died while they wrote. Nobody else writes now: the folder is
/// locked.
fn sweep(folder: &Path) {
    for (path, _) in list(folder, ".", ".tmp") {
        // Whatever cannot be removed does no harm.
        let _ = fs::remove_file(path);
    }
    for (path, _) in list(folder, "session-", ".new") {
        if OpenOptions::new().write(true).open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(path);
        }
    }
}

fn session_file(folder: &Path, session: Uuid) -> PathBuf {
    folder.join(format!("session-{session}.lock"))
}

fn name_of(day: i64) -> Option<String> {
    let date = NaiveDate::default().checked_add_days(Days::new(u64::try_from(day).ok()?))?;
    Some(format!("{DAY_PREFIX}{date}.json"))
}

fn number_of(date: &str) -> Option<i64> {
    Some(date.parse::<NaiveDate>().ok()?.signed_duration_since(NaiveDate::default()).num_days())
}

fn make(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path)
}

fn open_lock(path: &Path) -> Result<File, LicenseError> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &io::Error) -> LicenseError {
    LicenseError::new(Code::Cache, format!("{} cannot be used ({error}): set dataFolder to a directory that this application may write", path.display()))
}

#[cfg(unix)]
fn stamp_of(meta: &fs::Metadata) -> Stamp {
    use std::os::unix::fs::MetadataExt as _;
    Stamp { length: meta.len(), modified: meta.modified().ok(), inode: meta.ino() }
}

#[cfg(not(unix))]
fn stamp_of(meta: &fs::Metadata) -> Stamp {
    Stamp { length: meta.len(), modified: meta.modified().ok(), inode: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::core::counting::{self, Counts, Key, Under};
    use crate::licensing::{Slot, Unit};

    const UNDER: Under<'_> = Under { grant: "g", handshake_code: "216998-line4", product: "dbr" };

    fn counts(slot: i64, count: u64) -> Counts {
        Counts::from([(Key { slot: Slot::containing(slot), unit: Unit::Scan, module: None }, BTreeMap::from([("QR".to_owned(), count)]))])
    }

    fn total(folder: &mut Folder) -> u64 {
        let sum = |state: &mut State| {
            state
                .open
                .reports
                .iter()
                .map(|open| &open.report)
                .chain(state.stored().map(|stored| &stored.report))
                .flat_map(|report| report.counts.values())
                .sum()
        };
        folder.with(sum).expect("read")
    }

    #[test]
    fn processes_of_a_machine_add_to_the_same_slots() {
        let dir = tempfile::tempdir().expect("dir");
        let (mut one, mut other) = (Folder::open(dir.path()).expect("open"), Folder::open(dir.path()).expect("open"));
        for _ in 0..3 {
            one.with(|state| counting::add(state, &counts(0, 1), UNDER, 1)).expect("added");
            other.with(|state| counting::add(state, &counts(0, 10), UNDER, 1)).expect("added");
        }
        assert_eq!((total(&mut one), total(&mut other)), (33, 33));
        assert_eq!(one.with(|state| state.open.reports.len()), Ok(1));
        one.with(|state| counting::close(state, 180, 180)).expect("closed");
        assert_eq!(other.with(|state| (state.open.reports.len(), state.stored().count())), Ok((0, 1)));
        other.with(|state| state.drop_stored(|_| true)).expect("dropped");
        assert_eq!(one.with(|state| (state.open.reports.len(), state.stored().count())), Ok((0, 0)));
        let names: Vec<_> = fs::read_dir(dir.path()).expect("list").flatten().map(|entry| entry.file_name().into_string().expect("name")).collect();
        assert!(!names.iter().any(|name| name.ends_with(".tmp") || name.starts_with(DAY_PREFIX)), "{names:?}");
    }

    #[test]
    fn only_those_that_live_are_alive() {
        let dir = tempfile::tempdir().expect("dir");
        let one = Folder::open(dir.path()).expect("open");
        let mut other = Folder::open(dir.path()).expect("open");
        assert_eq!((one.alive().len(), one.used_by_others()), (2, vec![None]));
        other.note_use("g").expect("told");
        assert_eq!((one.used_by_others(), other.used_by_others()), (vec![Some("g".to_owned())], vec![None]));
        let asking = one.try_ask_alone().expect("asking").expect("nobody else asks");
        assert!(other.try_ask_alone().expect("tried").is_none());
        drop(asking);
        assert!(other.try_ask_alone().expect("tried").is_some());
        drop(other);
        assert_eq!(one.alive(), [one.session()]);
        assert_eq!(list(dir.path(), "session-", "").count(), 1);
    }

    #[test]
    fn a_damaged_file_is_put_aside_and_a_newer_one_is_left_alone() {
        let dir = tempfile::tempdir().expect("dir");
        fs::write(dir.path().join("device.json"), "{\"version\":1,\"client").expect("written");
        let mut folder = Folder::open(dir.path()).expect("open");
        assert_eq!(folder.with(|state| state.device.client_uuid), Ok(None));
        assert_eq!(folder.take_damaged(), [dir.path().join("device.damaged")]);
        fs::write(dir.path().join("open.json"), "{\"version\":2}").expect("written");
        let error = folder.with(|_| ()).expect_err("newer");
        assert!(error.code == Code::Cache && error.message.contains("version 2"), "{error}");
        let nowhere = Folder::open(&dir.path().join("device.damaged").join("x")).expect_err("no directory");
        assert!(nowhere.message.contains("dataFolder"), "{nowhere}");
    }

    #[test]
    fn a_signal_while_the_lock_is_waited_for_is_no_failure() {
        let mut answers = [Err(io::ErrorKind::Interrupted.into()), Err(io::ErrorKind::Interrupted.into()), Ok(())].into_iter();
        retry(|| answers.next().expect("no more than needed")).expect("locked at last");
        assert!(answers.next().is_none());
        assert!(retry(|| Err(io::ErrorKind::PermissionDenied.into())).is_err());
    }

    #[test]
    fn what_was_written_before_is_not_taken_for_written_now() {
        let dir = tempfile::tempdir().expect("dir");
        let mut folder = Folder::open(dir.path()).expect("open");
        folder.with(|state| counting::add(state, &counts(0, 1), UNDER, 1)).expect("added");
        assert!(folder.has_written(Part::Open));
        fs::write(dir.path().join("device.json"), "{\"version\":2}").expect("written");
        folder.with(|state| counting::add(state, &counts(0, 1), UNDER, 1)).expect_err("cannot be read");
        assert!(!folder.has_written(Part::Open));
    }

    #[test]
    fn a_panic_leaves_the_folder_to_others() {
        let dir = tempfile::tempdir().expect("dir");
        let (mut one, mut other) = (Folder::open(dir.path()).expect("open"), Folder::open(dir.path()).expect("open"));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one.with(|_| panic!("on purpose"))));
        assert!(panicked.is_err());
        assert_eq!(other.with(|state| state.open.reports.len()), Ok(0));
    }

    #[test]
    fn what_a_crash_left_is_swept_away() {
        let dir = tempfile::tempdir().expect("dir");
        let alive = Folder::open(dir.path()).expect("open");
        for name in [".open.json.0123.tmp", ".device.json.4567.tmp", "session-6f1c.new"] {
            fs::write(dir.path().join(name), "half").expect("written");
        }
        let _other = Folder::open(dir.path()).expect("open");
        let names: Vec<_> = fs::read_dir(dir.path()).expect("list").flatten().map(|entry| entry.file_name().into_string().expect("name")).collect();
        assert!(!names.iter().any(|name| name.ends_with(".tmp") || name.ends_with(".new")), "{names:?}");
        assert_eq!(alive.alive().len(), 2);
    }

    #[test]
    fn a_file_that_looks_the_same_is_read_all_the_same() {
        let dir = tempfile::tempdir().expect("dir");
        let mut folder = Folder::open(dir.path()).expect("open");
        folder.with(|state| counting::add(state, &counts(0, 1), UNDER, 1)).expect("added");
        // The same length, the same file, the same time stamp: as after two replacements in one tick.
        let path = dir.path().join("open.json");
        let text = fs::read_to_string(&path).expect("read");
        let modified = fs::metadata(&path).and_then(|meta| meta.modified()).expect("a time");
        fs::write(&path, text.replace("\"QR\":1", "\"QR\":7")).expect("written");
        File::options().write(true).open(&path).and_then(|file| file.set_modified(modified)).expect("set back");
        assert_eq!(total(&mut folder), 7);
    }
}
