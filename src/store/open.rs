//! Opening the file: pragmas on every connection, migrations, and the refusal of a
//! database that is newer than the program.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{Error, facts, local, rebuild};

/// Numbered, forward only. The number is SQLite's `user_version` afterwards.
pub const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("migrations/0001_initial.sql")),
    (2, include_str!("migrations/0002_whole_engine.sql")),
    (3, include_str!("migrations/0003_administration.sql")),
    (4, include_str!("migrations/0004_two_servers.sql")),
    (5, include_str!("migrations/0005_alerts.sql")),
];

/// From this version on the tables have what they had not before: they are filled anew.
const REFILLED_AT: i64 = 3;

/// The newest version this program knows.
pub fn newest_version() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, _)| *version)
}

/// The pragmas that every connection runs with, and the value each reads back as.
/// `synchronous` 2 is FULL: a commit is on disk before anybody is told. Checkpoints come
/// every 64 MB, not every 4: under load the same pages are written again and again.
pub const PRAGMAS: &[(&str, &str)] = &[
    ("journal_mode", "wal"),
    ("synchronous", "2"),
    ("foreign_keys", "1"),
    ("busy_timeout", "5000"),
    ("temp_store", "2"),
    ("cache_size", "-32000"),
    ("trusted_schema", "0"),
    ("wal_autocheckpoint", "16000"),
];

/// Sets the pragmas.
pub fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    for (name, value) in PRAGMAS {
        connection.pragma_update(None, name, value)?;
    }
    connection.set_prepared_statement_cache_capacity(256);
    Ok(())
}

/// Makes the file readable for its owner only, before SQLite opens it: its log files get
/// the mode that the database has then.
pub(super) fn make_private(path: &Path) -> Result<(), Error> {
    let made = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::set_permissions(path, Permissions::from_mode(0o600)),
        made => made.map(drop),
    };
    made.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Error::ReadOnly,
        io::ErrorKind::StorageFull => Error::DiskFull,
        _ => Error::Io(error.to_string()),
    })
}

/// Opens for writing, makes the file if it is missing, and brings it to the newest version.
pub fn open(path: &Path) -> Result<Connection, Error> {
    make_private(path)?;
    let mut connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    prepare(&connection)?;
    check_size(&connection, path)?;
    migrate(&mut connection, newest_version())?;
    apply_what_waits(&mut connection)?;
    Ok(connection)
}

/// Facts that came from a newer partner, once this program knows what they mean.
fn apply_what_waits(connection: &mut Connection) -> Result<(), Error> {
    if !local::has_unapplied(connection)? || !facts::are_all_known(connection)? {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    rebuild::refill(&transaction)?;
    local::put_unapplied(&transaction, false)?;
    transaction.commit()?;
    Ok(())
}

/// The version of a database's tables.
pub fn read_version(connection: &Connection) -> Result<i64, Error> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// How its tables were made, SQL.
pub fn read_schema(connection: &Connection) -> Result<String, Error> {
    let mut statement = connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(lines.join(";\n\n") + ";\n")
}

/// The version of SQLite itself.
pub fn library_version() -> &'static str {
    rusqlite::version()
}

/// Whether opening this file would change its tables.
pub fn needs_migration(path: &Path) -> Result<bool, Error> {
    if !path.exists() {
        return Ok(false);
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok((1..newest_version()).contains(&version))
}

/// A file that was cut off opens as long as nobody reads what is missing: better to hear of
/// it now. While a log file is there, pages may still be in that.
fn check_size(connection: &Connection, path: &Path) -> Result<(), Error> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        return Ok(());
    }
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let wanted = pragma("page_count")? * pragma("page_size")?;
    let found = fs::metadata(path).map_err(|error| Error::Io(error.to_string()))?.len();
    if wanted as u64 > found {
        return Err(Error::Corrupt(format!("the file has {found} bytes, its contents need {wanted}")));
    }
    Ok(())
}

/// An empty database in memory, at the newest version.
pub fn open_in_memory() -> Result<Connection, Error> {
    let mut connection = Connection::open_in_memory()?;
    connection.set_prepared_statement_cache_capacity(256);
    migrate(&mut connection, newest_version())?;
    Ok(connection)
}

/// Runs the migrations that are missing up to `target`, each in a transaction of its own.
pub fn migrate(connection: &mut Connection, target: i64) -> Result<(), Error> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > newest_version() {
        return Err(Error::NewerDatabase { found, known: newest_version() });
    }
    for (version, sql) in MIGRATIONS.iter().filter(|(version, _)| *version > found && *version <= target) {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        if *version == REFILLED_AT {
            rebuild::refill(&transaction)?;
        }
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}
