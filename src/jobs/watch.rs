//! Looks every ten seconds whether something is going wrong, so that it is told within thirty
//! (domain §7), and keeps a mark of how far the journal is, so that a database that was put back by
//! hand is noticed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Job;
use crate::commands::backup::free_bytes;
use crate::commands::exceptions::{Exceptions, Trouble};
use crate::documents::replace_file;
use crate::licensing::ServerUuid;
use crate::store::gaps::Gap;
use crate::store::{Command, Error, Ledger, Store, facts, gaps, seats};

const PERIOD_SECONDS: i64 = 10;
/// Less room than this on the disk of the database is told, in bytes.
const ROOM_WANTED: u64 = 512 << 20;
/// The file that tells how far the journal was; it lies beside the database, and not in it.
const MARK: &str = "sequence.mark";

/// A file that is written for no other reason than to see whether it can be.
const PROBE: &str = ".writable";

/// How far the journal was when that was last written down; 0: nobody knows.
pub fn read_mark(data: &Path) -> u64 {
    std::fs::read_to_string(data.join(MARK)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Writes down how far the journal is.
pub fn write_mark(data: &Path, sequence: u64) {
    if let Err(error) = replace_file(&data.join(MARK), format!("{sequence}\n").as_bytes(), 0o600) {
        tracing::debug!(%error, "the mark of the journal cannot be written");
    }
}

/// Has the writer count every item's seats once, so that nobody waits for that later.
struct WarmUp;

impl Command for WarmUp {
    type Answer = ();

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<(), Error> {
        let (catalog, now) = (ledger.catalog()?, ledger.now());
        for entry in catalog.items().filter(|entry| entry.item.charge_way.takes_seats()) {
            seats::count_active(ledger, entry.item.item_id, now)?;
        }
        Ok(())
    }
}

/// See the module.
pub struct WatchJob {
    /// The data directory.
    pub data: PathBuf,
    /// The database.
    pub store: Arc<Store>,
    /// This server.
    pub origin: ServerUuid,
    /// Where it is told.
    pub exceptions: Arc<Exceptions>,
    /// What was written down last.
    pub marked: u64,
    /// Whether it did not tick yet.
    pub is_first: bool,
}

impl WatchJob {
    fn look_at_disk(&self, now: i64) {
        // A file system that failed is read-only whatever its free room.
        if let Err(error) = std::fs::write(self.data.join(PROBE), b"") {
            let detail = format!("nothing can be written into {}: {error}; devices are refused until that is mended", self.data.display());
            return self.exceptions.raise(Trouble::Disk, now, detail);
        }
        match free_bytes(&self.data) {
            Ok(free) if free < ROOM_WANTED => {
                let detail = format!("the disk of {} has {} MB left: make room there, devices are refused when it is full", self.data.display(), free >> 20);
                self.exceptions.raise(Trouble::Disk, now, detail);
            }
            Ok(_) => self.exceptions.clear(Trouble::Disk),
            Err(error) => self.exceptions.raise(Trouble::Disk, now, format!("{} cannot be looked at: {error}", self.data.display())),
        }
    }

    fn look_at_journal(&mut self, now: i64) -> Result<(), Error> {
        let reader = self.store.reader()?;
        let head = facts::head(&reader, self.origin)?;
        if head.sequence > self.marked {
            write_mark(&self.data, head.sequence);
            self.marked = head.sequence;
        }
        // What was a precaution was none, once the partner gave something back.
        let is_lost = |gap: &Gap| gap.origin == self.origin && now - gap.at < gaps::TOLD_SECONDS && (!gap.is_precaution || gap.held > gap.after);
        let lost = gaps::list(&reader)?.into_iter().rev().find(is_lost);
        match lost {
            Some(gap) => {
                let detail = format!(
                    "facts of this server after number {} were lost: devices send again what they reported then; check what was set up after that",
                    gap.held
                );
                self.exceptions.raise(Trouble::FactsLost, gap.at, detail);
            }
            None => self.exceptions.clear(Trouble::FactsLost),
        }
        Ok(())
    }
}

impl Job for WatchJob {
    fn name(&self) -> &'static str {
        "watch"
    }

    fn tick(&mut self, now: i64) -> i64 {
        if self.is_first {
            self.is_first = false;
            // Whatever is wrong with it, somebody who waits for an answer will be told.
            let _ = self.store.writer().submit_blocking(WarmUp);
        }
        self.look_at_disk(now);
        if let Err(error) = self.look_at_journal(now) {
            self.exceptions.raise(Trouble::Journal, now, format!("the journal cannot be read: {error}"));
        }
        now + PERIOD_SECONDS
    }
}
