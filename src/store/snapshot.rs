//! Copies of the whole database, made by SQLite's online backup while it is in use, and what can
//! be said of such a file before anybody relies on it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::facts::{self, Head};
use super::{Error, local, open};
use crate::licensing::ServerUuid;

/// Pages of one step; between two steps it is asked whether to go on.
const STEP_PAGES: i32 = 2_000;

/// How thoroughly a file is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every page, and every link of the journal's chain.
    Pages,
    /// Every index entry against its row as well.
    Everything,
}

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// How many facts.
    pub facts: u64,
    /// The last fact of each server.
    pub heads: Vec<(ServerUuid, Head)>,
    /// The version of its tables.
    pub version: i64,
}

fn io(error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull => Error::DiskFull,
        std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied => Error::ReadOnly,
        _ => Error::Io(error.to_string()),
    }
}

/// Copies the database `source`, as it is at this moment, into the new file `target`, and waits until
/// that is on disk. Writers go on meanwhile. `go_on` hears how many pages of how many are done, and
/// may end it. After an error a part of `target` may be left.
pub fn copy(source: &Path, target: &Path, mut go_on: impl FnMut(u64, u64) -> bool) -> Result<(), Error> {
    let from = Connection::open_with_flags(source, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    from.busy_timeout(Duration::from_secs(5))?;
    // One moment for all pages: without it every commit of the writer would begin the copy anew.
    from.execute_batch("BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1")?;
    open::make_private(target)?;
    let mut to = Connection::open(target)?;
    to.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF")?;
    {
        let backup = Backup::new(&from, &mut to)?;
        loop {
            match backup.step(STEP_PAGES)? {
                StepResult::Done => break,
                StepResult::Busy | StepResult::Locked => std::thread::sleep(Duration::from_millis(20)),
                _ => {}
            }
            let progress = backup.progress();
            let (left, all) = (progress.remaining.max(0) as u64, progress.pagecount.max(0) as u64);
            if !go_on(all - left.min(all), all) {
                return Err(Error::Stopped);
            }
        }
    }
    // A file on its own: whoever opens it needs no log beside it.
    to.execute_batch("PRAGMA journal_mode = DELETE")?;
    to.close().map_err(|(_, error)| error)?;
    File::open(target).and_then(|file| file.sync_all()).map_err(|error| io(&error))
}

/// The file that SQLite keeps beside a database.
fn log_of(database: &Path, end: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Whether a change of a copy was begun and did not come to its end. Until that is undone, nobody can
/// read it without the right to write.
pub fn is_half_changed(copy: &Path) -> bool {
    log_of(copy, "-journal").exists()
}

/// Removes a copy, if there is one, and what stands beside it, such as what a change that was
/// interrupted left: it would be undone in the next file of this name.
pub fn remove(copy: &Path) -> Result<(), Error> {
    // The copy first: it is worth nothing without what stands beside it.
    for path in [copy.to_owned(), log_of(copy, "-journal"), log_of(copy, "-wal"), log_of(copy, "-shm")] {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(&error)),
            _ => {}
        }
    }
    Ok(())
}

/// Moves a database that nobody has open away, whole: first what its log holds goes into it. One that
/// is damaged moves together with its log.
pub fn set_aside(database: &Path, target: &Path) -> Result<(), Error> {
    let whole = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|connection| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        connection.close().map_err(|(_, error)| error)
    });
    if let Err(error) = whole {
        tracing::warn!(%error, "the old database cannot be opened; it is kept as it is");
    }
    for end in ["-wal", "-shm"] {
        match std::fs::rename(log_of(database, end), log_of(target, end)) {
            Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
                std::fs::copy(log_of(database, end), log_of(target, end)).map_err(|error| io(&error))?;
                std::fs::remove_file(log_of(database, end)).map_err(|error| io(&error))?;
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(&error)),
            _ => {}
        }
    }
    match std::fs::rename(database, target) {
        // Another file system: a copy takes its place.
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
            let copied = std::fs::copy(database, target).and_then(|_| File::open(target)?.sync_all());
            if let Err(error) = copied {
                let _ = std::fs::remove_file(target);
                return Err(io(&error));
            }
            std::fs::remove_file(database).map_err(|error| io(&error))
        }
        renamed => renamed.map_err(|error| io(&error)),
    }
}

/// Opens a copy that nobody writes.
pub fn open_copy(path: &Path) -> Result<Connection, Error> {
    if !path.is_file() {
        return Err(Error::Io(format!("{}: there is no such file", path.display())));
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > open::newest_version() {
        return Err(Error::NewerDatabase { found: version, known: open::newest_version() });
    }
    if version == 0 {
        return Err(Error::Corrupt("this is not a database of a license server".to_owned()));
    }
    Ok(connection)
}

/// Looks at every page of a copy and at every fact in it. `progress` hears how many facts of how many
/// were found to be in order, and may end it.
///
/// # Errors
/// What is wrong with it.
pub fn verify(path: &Path, depth: Depth, mut progress: impl FnMut(u64, u64) -> bool) -> Result<Contents, Error> {
    let connection = open_copy(path)?;
    let pragma = match depth {
        Depth::Pages => "quick_check",
        Depth::Everything => "integrity_check",
    };
    let all = facts::count(&connection)?;
    if !progress(0, all) {
        return Err(Error::Stopped);
    }
    let found: String = connection.pragma_query_value(None, pragma, |row| row.get(0))?;
    if found != "ok" {
        return Err(Error::Corrupt(found));
    }
    let facts = facts::verify_chain_telling(&connection, |done| progress(done, all))?;
    let origins = facts::list_origins(&connection)?;
    let heads = origins.into_iter().map(|origin| Ok((origin, facts::head(&connection, origin)?))).collect::<Result<_, Error>>()?;
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(Contents { facts, heads, version })
}

/// Of what is one machine's alone in a copy, keeps the rows of these names, and puts these in the
/// place of all others.
pub fn replace_local(path: &Path, kept: &[&str], values: &[(&str, &[u8])]) -> Result<(), Error> {
    let mut connection = Connection::open(path)?;
    let transaction = connection.transaction()?;
    let kept: Vec<(&str, Vec<u8>)> = kept.iter().filter_map(|name| Some((*name, local::find(&transaction, name).ok()??))).collect();
    transaction.execute("DELETE FROM local", [])?;
    forget_outbox(&transaction)?;
    for (name, value) in kept.iter().map(|(name, value)| (*name, value.as_slice())).chain(values.iter().copied()) {
        local::put(&transaction, name, value)?;
    }
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)?;
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| io(&error))
}

/// What a copy had still to send when it was made is not sent once more. Old copies have no outbox.
fn forget_outbox(copy: &Connection) -> Result<(), Error> {
    if copy.table_exists(None, "outbox")? {
        copy.execute("DELETE FROM outbox", [])?;
    }
    Ok(())
}

/// Sets values that are one machine's alone in a copy, before it becomes a database.
pub fn put_local(path: &Path, values: &[(&str, &[u8])]) -> Result<(), Error> {
    let mut connection = Connection::open(path)?;
    let transaction = connection.transaction()?;
    forget_outbox(&transaction)?;
    for (name, value) in values {
        local::put(&transaction, name, value)?;
    }
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)?;
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| io(&error))
}
