//! Backups: copies of the whole database in the directory of backups, checked before they count,
//! and thinned out with age (domain §8). They hold what the database holds; the key that opens its
//! secrets, `secret.key`, is not in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::store::Error;
use crate::store::snapshot::{self, Contents, Depth};

/// Room that a backup leaves on the disk, in bytes: the server itself must go on.
const ROOM_LEFT: u64 = 64 << 20;
const BEGIN: &str = "tollkeeper-";
const END: &str = ".db";
const PART: &str = ".part";

/// How many backups are kept; settings, `[backup]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Minutes from one to the next; 0: none is made by itself.
    pub every_minutes: u32,
    /// The latest ones.
    pub latest: usize,
    /// Of each of the latest hours that have any, the last one.
    pub hourly: usize,
    /// Of each of the latest days that have any, the last one.
    pub daily: usize,
    /// Of those before an upgrade, and of those that were replaced, the latest ones.
    pub others: usize,
}

/// Why a backup is made; it stands in its name. Those that the admin asked for stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Every 12 minutes.
    Schedule,
    /// The admin asked for it.
    Admin,
    /// The program became newer, and is about to change the tables.
    Upgrade,
    /// Another database takes its place.
    Replaced,
}

impl Reason {
    const ALL: [Self; 4] = [Self::Schedule, Self::Admin, Self::Upgrade, Self::Replaced];

    /// As names and answers have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schedule => "scheduled",
            Self::Admin => "manual",
            Self::Upgrade => "before-upgrade",
            Self::Replaced => "replaced",
        }
    }
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// The name of its file.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// When it was made, seconds since 1970.
    pub made_at: i64,
    /// Why.
    pub reason: Reason,
}

/// Work that goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The backup that is to take the place of the database; `None`: one is made.
    pub restores: Option<String>,
    /// `copying` or `checking`.
    pub step: &'static str,
    /// How far it is.
    pub done: u64,
    /// Of how much; 0 where that is not known.
    pub all: u64,
}

/// How the last backup went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// What goes on now.
    pub running: Option<Progress>,
    /// When the last one was tried, seconds since 1970, and its name or why there is none.
    pub last: Option<(i64, Result<String, String>)>,
    /// When one was to be restored in vain, seconds since 1970, and why.
    pub not_restored: Option<(i64, String)>,
}

/// What goes on with backups, one thing at a time; it ends with this.
pub struct Work(Arc<Backups>);

impl Work {
    /// Says how far it is; whether to go on.
    pub fn tell(&self, step: &'static str, done: u64, all: u64) -> bool {
        if let Some(running) = &mut self.0.standing_now().running {
            (running.step, running.done, running.all) = (step, done, all);
        }
        !self.0.is_over.load(Ordering::SeqCst)
    }

    /// Keeps, for those who ask, why the backup was not restored.
    pub fn fail_to_restore(&self, why: &str) {
        self.0.standing_now().not_restored = Some((self.0.clock.now_seconds(), why.to_owned()));
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.standing_now().running = None;
    }
}

/// Why nothing else can be done with backups now.
pub const BUSY: &str = "a backup is being made or restored already: wait until that is done";

/// The backups of this server.
pub struct Backups {
    database: PathBuf,
    directory: PathBuf,
    policy: Policy,
    clock: Arc<dyn Clock>,
    standing: Mutex<Standing>,
    is_over: AtomicBool,
}

impl Backups {
    /// Those of a data directory. What a crash left half made goes.
    pub fn of(data: &Path, directory: PathBuf, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        let leftovers = fs::read_dir(&directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let is_ours = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().strip_suffix(PART).and_then(read_name).is_some());
        for path in leftovers.filter(is_ours) {
            // Whoever lacks the right to remove it will hear of that from the next backup.
            let _ = fs::remove_file(path);
        }
        Self { database: data.join("tollkeeper.db"), directory, policy, clock, standing: Mutex::default(), is_over: AtomicBool::new(false) }
    }

    /// The server stops: one that is being made is given up, and the next start makes another.
    pub fn give_up(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Where they are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// How many are kept.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    fn standing_now(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the last one went, and how far the next one is.
    pub fn standing(&self) -> Standing {
        self.standing_now().clone()
    }

    /// Begins something, unless something goes on: to restore the backup of this name, or to make one.
    pub fn begin(self: &Arc<Self>, restores: Option<String>) -> Option<Work> {
        let mut standing = self.standing_now();
        if standing.running.is_some() {
            return None;
        }
        standing.running = Some(Progress { restores, step: "copying", ..Progress::default() });
        standing.not_restored = None;
        Some(Work(Arc::clone(self)))
    }

    /// Makes one, checks it, and thins the others out. Blocks for as long as that takes.
    ///
    /// # Errors
    /// There is no room, the directory cannot be written, the copy is damaged, or another one is
    /// being made.
    pub fn make(self: &Arc<Self>, reason: Reason) -> Result<Copy, Error> {
        let work = self.begin(None).ok_or_else(|| Error::Other(BUSY.to_owned()))?;
        self.make_with(&work, reason, |_| Ok(()))
    }

    /// The same, begun already; `finish` is given the path of the copy, and belongs to the work: there is
    /// no backup when it fails.
    ///
    /// # Errors
    /// As [`Self::make`], and what `finish` says.
    pub fn make_with(&self, work: &Work, reason: Reason, finish: impl FnOnce(&Path) -> Result<(), Error>) -> Result<Copy, Error> {
        let now = self.clock.now_seconds();
        let made = self.try_make(work, reason, now, finish);
        self.standing_now().last = Some((now, made.as_ref().map(|copy| copy.name.clone()).map_err(ToString::to_string)));
        made
    }

    fn try_make(&self, work: &Work, reason: Reason, now: i64, finish: impl FnOnce(&Path) -> Result<(), Error>) -> Result<Copy, Error> {
        fs::create_dir_all(&self.directory).map_err(|error| self.trouble(&error))?;
        self.check_room(&self.directory)?;
        let name = self.free_name(reason, now);
        let (part, path) = (self.directory.join(format!("{name}{PART}")), self.directory.join(&name));
        let written = snapshot::copy(&self.database, &part, |done, all| work.tell("copying", done, all));
        let checked = written.and_then(|()| snapshot::verify(&part, Depth::Pages, |done, all| work.tell("checking", done, all))).and_then(|_| finish(&path));
        if let Err(error) = checked {
            // Half a backup is none.
            let _ = fs::remove_file(&part);
            return Err(error);
        }
        let parent = fs::File::open(&self.directory).map_err(|error| self.trouble(&error))?;
        fs::rename(&part, &path).and_then(|()| parent.sync_all()).map_err(|error| self.trouble(&error))?;
        let bytes = fs::metadata(&path).map_err(|error| self.trouble(&error))?.len();
        for copy in thin_out(&self.list()?, self.policy) {
            if let Err(error) = snapshot::remove(&self.directory.join(&copy)) {
                tracing::warn!(%error, backup = copy, "an old backup cannot be removed");
            }
        }
        Ok(Copy { name, bytes, made_at: now, reason })
    }

    fn trouble(&self, error: &std::io::Error) -> Error {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Error::DiskFull;
        }
        Error::Io(format!("{}: {error}", self.directory.display()))
    }

    /// Whether a copy of the database fits into a directory.
    ///
    /// # Errors
    /// It does not.
    pub fn check_room(&self, directory: &Path) -> Result<(), Error> {
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let needed = size(&self.database) + size(&self.database.with_extension("db-wal"));
        let free = free_bytes(directory).map_err(|error| self.trouble(&error))?;
        if free < needed + ROOM_LEFT {
            let megabytes = |bytes: u64| bytes.div_ceil(1 << 20);
            let (directory, free, needed) = (directory.display(), megabytes(free), megabytes(needed + ROOM_LEFT));
            return Err(Error::Io(format!("{directory} has {free} MB free and a copy of the database needs {needed} MB: make room, or keep fewer backups")));
        }
        Ok(())
    }

    fn free_name(&self, reason: Reason, now: i64) -> String {
        let time = chrono::DateTime::from_timestamp(now, 0).map_or_else(String::new, |time| time.format("%Y%m%dT%H%M%SZ").to_string());
        let name = |number: u32| {
            let number = if number == 1 { String::new() } else { format!("-{number}") };
            format!("{BEGIN}{time}{number}-{}{END}", reason.name())
        };
        (1..).map(name).find(|name| !self.directory.join(name).exists()).unwrap_or_else(|| name(0))
    }

    /// Where a file of our own making goes.
    pub fn place(&self, reason: Reason) -> Result<PathBuf, Error> {
        fs::create_dir_all(&self.directory).map_err(|error| self.trouble(&error))?;
        Ok(self.directory.join(self.free_name(reason, self.clock.now_seconds())))
    }

    /// All of them, newest first.
    pub fn list(&self) -> Result<Vec<Copy>, Error> {
        let mut copies = Vec::new();
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(copies),
            entries => entries.map_err(|error| self.trouble(&error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| self.trouble(&error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // One that is removed meanwhile is no backup any more.
            let (Some((made_at, reason)), Ok(metadata)) = (read_name(&name), entry.metadata()) else { continue };
            copies.push(Copy { name, bytes: metadata.len(), made_at, reason });
        }
        copies.sort_by(|one, other| (other.made_at, &other.name).cmp(&(one.made_at, &one.name)));
        Ok(copies)
    }

    /// The file of a backup, if there is one of this name.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        read_name(name)?;
        Some(self.directory.join(name)).filter(|path| path.is_file())
    }

    /// Looks at everything in a backup.
    pub fn verify(&self, path: &Path) -> Result<Contents, Error> {
        snapshot::verify(path, Depth::Everything, |_, _| true)
    }
}

/// Bytes that are free for us on the file system of a directory.
pub fn free_bytes(directory: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(directory)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// When a backup of this name was made and why, if it is one.
fn read_name(name: &str) -> Option<(i64, Reason)> {
    let middle = name.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let (time, rest) = middle.split_once('-')?;
    let reason = Reason::ALL.into_iter().find(|reason| rest == reason.name() || rest.ends_with(&format!("-{}", reason.name())))?;
    let time = chrono::NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ").ok()?;
    Some((time.and_utc().timestamp(), reason))
}

/// Which backups go. `copies` are in order, newest first.
fn thin_out(copies: &[Copy], policy: Policy) -> Vec<String> {
    let scheduled: Vec<&Copy> = copies.iter().filter(|copy| copy.reason == Reason::Schedule).collect();
    let mut kept: BTreeSet<&str> = scheduled.iter().take(policy.latest).map(|copy| copy.name.as_str()).collect();
    for (seconds, count) in [(3_600, policy.hourly), (86_400, policy.daily)] {
        let mut periods = BTreeSet::new();
        for copy in &scheduled {
            let period = copy.made_at.div_euclid(seconds);
            if periods.len() < count && periods.insert(period) {
                kept.insert(&copy.name);
            }
        }
    }
    for reason in [Reason::Upgrade, Reason::Replaced] {
        kept.extend(copies.iter().filter(|copy| copy.reason == reason).take(policy.others).map(|copy| copy.name.as_str()));
    }
    let goes = |copy: &&Copy| copy.reason != Reason::Admin && !kept.contains(copy.name.as_str());
    copies.iter().filter(goes).map(|copy| copy.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { every_minutes: 12, latest: 10, hourly: 24, daily: 30, others: 3 };

    fn copy(made_at: i64, reason: Reason) -> Copy {
        let time = chrono::DateTime::from_timestamp(made_at, 0).expect("a time").format("%Y%m%dT%H%M%SZ");
        Copy { name: format!("{BEGIN}{time}-{}{END}", reason.name()), bytes: 1, made_at, reason }
    }

    #[test]
    fn a_year_of_backups_is_thinned_out_to_what_the_policy_says() {
        let mut copies: Vec<Copy> = Vec::new();
        let begin = 1_790_000_000 / 86_400 * 86_400;
        for n in 0..(366 * 120) {
            copies.insert(0, copy(begin + n * 720, Reason::Schedule));
            for gone in thin_out(&copies, POLICY) {
                copies.retain(|copy| copy.name != gone);
            }
        }
        let last = copies[0].made_at;
        let ages: Vec<i64> = copies.iter().map(|copy| last - copy.made_at).collect();
        assert_eq!(ages[..10], (0..10).map(|n| n * 720).collect::<Vec<_>>()[..]);
        assert_eq!(ages.iter().filter(|age| **age < 24 * 3_600).count(), 10 + 22, "two of the hours are among the latest ten");
        assert_eq!(copies.iter().map(|copy| copy.made_at / 86_400).collect::<BTreeSet<_>>().len(), 30);
        assert!(copies.len() <= 64, "{}", copies.len());
    }

    #[test]
    fn what_an_admin_made_stays() {
        let copies: Vec<Copy> = (0..50).rev().map(|n| copy(1_790_000_000 + n, if n % 2 == 0 { Reason::Admin } else { Reason::Schedule })).collect();
        let gone = thin_out(&copies, Policy { every_minutes: 12, latest: 1, hourly: 0, daily: 0, others: 1 });
        assert_eq!(gone.len(), 24);
        assert!(gone.iter().all(|name| name.ends_with("-scheduled.db")));
    }

    #[test]
    fn of_those_before_an_upgrade_and_those_replaced_the_latest_three_stay() {
        let copies: Vec<Copy> = (0..20).rev().map(|n| copy(1_790_000_000 + n, if n % 2 == 0 { Reason::Upgrade } else { Reason::Replaced })).collect();
        let gone = thin_out(&copies, POLICY);
        assert_eq!(gone, copies[6..].iter().map(|copy| copy.name.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn one_thing_goes_on_at_a_time_and_tells_how_far_it_is() {
        let clock = Arc::new(crate::clock::ManualClock::at_seconds(7));
        let backups = Arc::new(Backups::of(Path::new("nowhere"), PathBuf::from("nowhere/backups"), POLICY, clock));
        let work = backups.begin(Some("one.db".to_owned())).expect("nothing goes on");
        assert!(work.tell("checking", 3, 9));
        assert_eq!(backups.standing().running, Some(Progress { restores: Some("one.db".to_owned()), step: "checking", done: 3, all: 9 }));
        assert!(backups.begin(None).is_none() && backups.make(Reason::Admin).is_err());
        work.fail_to_restore("no room");
        drop(work);
        assert_eq!((backups.standing().running, backups.standing().not_restored), (None, Some((7, "no room".to_owned()))));
        let work = backups.begin(None).expect("nothing goes on");
        assert_eq!(backups.standing().not_restored, None, "that was before");
        backups.give_up();
        assert!(!work.tell("copying", 1, 2), "the server stops");
    }

    #[test]
    fn names_tell_when_and_why() {
        assert_eq!(read_name("tollkeeper-20261125T180000Z-manual.db"), Some((1_795_629_600, Reason::Admin)));
        assert_eq!(read_name("tollkeeper-20261125T180000Z-2-before-upgrade.db"), Some((1_795_629_600, Reason::Upgrade)));
        for wrong in ["tollkeeper.db", "tollkeeper-20261125T180000Z.db", "tollkeeper-x-manual.db", "../tollkeeper-20261125T180000Z-manual.db", "notes.txt"] {
            assert_eq!(read_name(wrong), None, "{wrong}");
        }
    }
}
