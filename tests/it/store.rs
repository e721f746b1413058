//! The database file: how it is opened, who may have it, what happens when it is not what
//! it should be, and that one command never takes its neighbours with it.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;
use tollkeeper::app::{App, Extent};
use tollkeeper::clock::ManualClock;
use tollkeeper::licensing::{ClientUuid, ServerUuid};
use tollkeeper::store::facts::{self, Body, DeviceReset};
use tollkeeper::store::{self, Command, Error, Ledger, Store, catalog, devices, licenses, open, rebuild};

use crate::support::{NOON, Process, Site, Vendor, tollkeeper};

fn pragma(connection: &Connection, name: &str) -> String {
    match connection.pragma_query_value(None, name, |row| row.get::<_, Value>(0)).expect(name) {
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => text,
        other => panic!("{name} is {other:?}"),
    }
}

fn start_store(path: &Path) -> Store {
    start_store_on(path, open::open(path).expect("opens"))
}

fn start_store_on(path: &Path, connection: Connection) -> Store {
    Store::start(path, connection, ServerUuid::from_bytes([1; 16]), Arc::new(ManualClock::at_seconds(NOON)), 256).expect("starts")
}

#[test]
fn every_connection_runs_with_the_pragmas_and_readers_cannot_write() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("tollkeeper.db");
    let writer = open::open(&path).expect("opens");
    for (name, expected) in [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1")] {
        assert!(open::PRAGMAS.contains(&(name, expected)), "{name} is one of the pragmas");
    }
    for (name, expected) in open::PRAGMAS {
        assert_eq!(&pragma(&writer, name), expected, "{name} of the writer");
    }
    assert_eq!(pragma(&writer, "query_only"), "0");
    let store = start_store_on(&path, writer);
    let readers: Vec<_> = (0..4).map(|_| store.reader().expect("reader")).collect();
    for reader in &readers {
        for (name, expected) in open::PRAGMAS {
            assert_eq!(&pragma(reader, name), expected, "{name} of a reader");
        }
        assert_eq!(pragma(reader, "query_only"), "1");
        reader.execute("DELETE FROM local", []).expect_err("a reader does not write");
    }
    drop(readers);
    store.close();
}

#[test]
fn every_statement_prepares_on_a_migrated_database() {
    let connection = open::open_in_memory().expect("migrated");
    for (file, sql) in store::list_statements() {
        connection.prepare(sql).unwrap_or_else(|error| panic!("{file}.rs: {error}: {sql}"));
    }
}

#[test]
fn every_file_of_the_store_lists_all_its_statements() {
    let listed: BTreeSet<_> = store::list_statements().into_iter().map(|(file, _)| file).collect();
    let mut with_sql = BTreeSet::new();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/store")).expect("the store's files") {
        let path = entry.expect("entry").path();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let file = path.file_stem().expect("name").to_string_lossy().into_owned();
        let list = text.split("STATEMENTS: &[&str] =").nth(1).and_then(|rest| rest.split(['[', ']']).nth(1)).unwrap_or_default();
        let listed_here: BTreeSet<&str> = list.split(',').map(str::trim).collect();
        for name in text.lines().filter_map(|line| line.strip_prefix("const ")?.split_once(": &str =")).map(|(name, _)| name) {
            assert!(listed_here.contains(name), "{file}.rs does not list {name} in STATEMENTS");
            with_sql.insert(file.clone());
        }
    }
    assert_eq!(with_sql.iter().map(String::as_str).collect::<BTreeSet<_>>(), listed);
}

fn tables(connection: &Connection) -> BTreeSet<String> {
    let mut statement = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").expect("prepared");
    statement.query_map([], |row| row.get(0)).expect("listed").collect::<Result<_, _>>().expect("read")
}

fn rows(connection: &Connection, table: &str) -> i64 {
    connection.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0)).expect("counted")
}

/// `tests/it/migrations/0001_….sql`: what a site had written at that version.
fn sample(version: i64) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/migrations");
    let begins = format!("{version:04}_");
    let mut files = fs::read_dir(folder).expect("samples").map(|entry| entry.expect("entry").path());
    let path = files.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&begins)));
    let path = path.unwrap_or_else(|| panic!("migration {version} has no sample data: add {folder}/{begins}….sql with a row for every table it makes"));
    fs::read_to_string(path).expect("read")
}

#[test]
fn every_migration_has_sample_data_for_every_table_it_makes() {
    let mut connection = Connection::open_in_memory().expect("opens");
    connection.pragma_update(None, "foreign_keys", true).expect("set");
    for (number, (version, _)) in open::MIGRATIONS.iter().enumerate() {
        assert_eq!(*version, number as i64 + 1, "migrations are numbered without gaps");
        let before = tables(&connection);
        open::migrate(&mut connection, *version).expect("migrated");
        assert_eq!(pragma(&connection, "user_version"), version.to_string());
        connection.execute_batch(&format!("BEGIN; {} COMMIT;", sample(*version))).expect("the sample fits the tables of its version");
        for table in tables(&connection).difference(&before) {
            assert!(rows(&connection, table) > 0, "the sample of migration {version} has no row for table {table}");
        }
    }
}

#[test]
fn what_was_written_at_any_version_is_read_by_this_one() {
    for (version, _) in open::MIGRATIONS {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("tollkeeper.db");
        let mut old = Connection::open(&path).expect("opens");
        open::prepare(&old).expect("pragmas");
        for (step, _) in open::MIGRATIONS.iter().filter(|(step, _)| step <= version) {
            open::migrate(&mut old, *step).expect("migrated");
            old.execute_batch(&format!("BEGIN; {} COMMIT;", sample(*step))).expect("written");
        }
        let count = rows(&old, "journal");
        drop(old);
        let new = open::open(&path).expect("migrated to the newest");
        assert_eq!(pragma(&new, "user_version"), open::newest_version().to_string());
        assert_eq!(rebuild::verify(&new).expect("the journal and the tables agree"), count as u64, "from version {version}");
        assert!(!licenses::list(&new).expect("read").is_empty());
        assert!(!catalog::Catalog::load(&new).expect("read").codes().is_empty());
        assert!(!devices::list(&new, &devices::Range::all(), 10, NOON).expect("read").is_empty());
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(data: &Path, args: &[&str]) -> Output {
    tollkeeper(&[args, &["--data", &data.display().to_string()]].concat()).output().expect("runs")
}

fn spawn(data: &Path, args: &[&str]) -> Child {
    tollkeeper(&[args, &["--data", &data.display().to_string()]].concat()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs")
}

fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{:?}: {}", output.status, text(&output.stderr));
    text(&output.stdout)
}

/// The one line that a command failed with.
fn fails(output: &Output) -> String {
    let line = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert_eq!(line.lines().count(), 1, "one line, not: {line}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    line
}

const SERVE: &[&str] = &["serve", "--listen", "127.0.0.1:0"];
const LIST: &[&str] = &["license", "list"];

/// A data directory that a server has set up, without a server.
fn installation() -> (TempDir, PathBuf) {
    let mut site = Site::licensed(vec![Vendor::scan_item(1)]).0;
    site.stop();
    let dir = tempfile::tempdir().expect("directory");
    let data = dir.path().join("data");
    // Moved, so that nothing of the site's own hands stays on it.
    fs::rename(site.data(), &data).expect("moved");
    (dir, data)
}

#[test]
fn a_database_of_a_newer_version_is_refused_with_what_to_do() {
    let (_dir, data) = installation();
    let path = data.join("tollkeeper.db");
    let newer = open::newest_version() + 1;
    Connection::open(&path).expect("opens").pragma_update(None, "user_version", newer).expect("set");
    let error = open::open(&path).expect_err("too new");
    assert!(matches!(error, Error::NewerDatabase { found, known } if found == newer && known == open::newest_version()), "{error}");
    for command in [SERVE, LIST] {
        let line = fails(&run(&data, command));
        assert!(line.contains(&format!("the database has version {newer}")) && line.contains("use the newer program"), "{line}");
    }
    assert_eq!(pragma(&Connection::open(&path).expect("opens"), "user_version"), newer.to_string(), "nothing was changed");
}

#[test]
fn only_one_process_has_a_data_directory() {
    let (_dir, data) = installation();
    let process = Process::serve(&data, &[]);
    let line = fails(&run(&data, SERVE));
    assert!(line.contains("is in use by another tollkeeper process"), "{line}");
    let lock = || File::options().write(true).open(data.join("lock")).expect("the lock");
    assert!(matches!(lock().try_lock(), Err(TryLockError::WouldBlock)));
    // Commands go through the server that runs.
    assert!(succeeds(&run(&data, LIST)).contains("dbr"));
    succeeds(&run(&data, &["handshake", "add", "216998-line4", "--items", "1"]));
    assert!(succeeds(&run(&data, &["handshake", "list"])).contains("216998-line4"));
    process.kill();
    // And do the work themselves when none runs, whatever the dead one left behind.
    assert!(succeeds(&run(&data, &["handshake", "list"])).contains("216998-line4"));
    lock().try_lock().expect("the command has let go of it");
}

#[test]
fn a_command_waits_for_whoever_has_the_data_directory() {
    let (_dir, data) = installation();
    let lock = File::options().write(true).open(data.join("lock")).expect("the lock");
    // A process that another test is starting may hold a copy of it for a moment (see `Site::start`).
    lock.lock().expect("free soon");
    let mut waiting = spawn(&data, &["handshake", "add", "216998-line4", "--items", "1"]);
    // However far it has come by now, it has neither given up nor written.
    let database = data.join("tollkeeper.db");
    let before = rows(&Connection::open(&database).expect("opens"), "journal");
    assert!(waiting.try_wait().expect("asked").is_none());
    assert_eq!(rows(&Connection::open(&database).expect("opens"), "journal"), before);
    drop(lock);
    succeeds(&waiting.wait_with_output().expect("ended"));
    assert_eq!(rows(&Connection::open(&database).expect("opens"), "journal"), before + 1);
}

#[test]
fn commands_at_the_same_time_all_work() {
    let (_dir, data) = installation();
    for round in 0..6 {
        let names: Vec<String> = (0..3).map(|number| format!("216998-{round}-{number}")).collect();
        let running: Vec<Child> = names.iter().map(|name| spawn(&data, &["handshake", "add", name, "--items", "1"])).collect();
        for child in running {
            succeeds(&child.wait_with_output().expect("ended"));
        }
        let twice: Vec<Child> = (0..2).map(|_| spawn(&data, &["handshake", "add", &format!("216998-once{round}"), "--items", "1"])).collect();
        let twice: Vec<Output> = twice.into_iter().map(|child| child.wait_with_output().expect("ended")).collect();
        assert_eq!(twice.iter().filter(|output| output.status.success()).count(), 1, "one of two makes it: {twice:?}");
        let listed = succeeds(&run(&data, &["handshake", "list"]));
        assert!(names.iter().all(|name| listed.contains(name)), "{listed}");
    }
    rebuild::verify(&Connection::open(data.join("tollkeeper.db")).expect("opens")).expect("proven");
}

#[test]
fn nobody_but_the_owner_reads_what_is_secret() {
    let mut site = Site::licensed(vec![Vendor::scan_item(1)]).0;
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    for _ in 0..2 {
        assert_eq!(mode(site.data()), 0o700);
        for file in ["tollkeeper.db", "tollkeeper.db-wal", "tollkeeper.db-shm", "secret.key", "admin.sock"] {
            assert_eq!(mode(&site.data().join(file)), 0o600, "{file}");
        }
        site.restart();
    }
    // A directory that was there before keeps its mode; what is in it is as safe.
    let mut open_site = Site::empty();
    open_site.stop();
    fs::remove_dir_all(open_site.data()).expect("removed");
    fs::create_dir(open_site.data()).expect("made");
    fs::set_permissions(open_site.data(), fs::Permissions::from_mode(0o755)).expect("set");
    open_site.start();
    for file in ["tollkeeper.db", "tollkeeper.db-wal", "tollkeeper.db-shm", "secret.key", "admin.sock"] {
        assert_eq!(mode(&open_site.data().join(file)), 0o600, "{file} in an open directory");
    }
}

#[test]
fn a_missing_secret_key_is_refused_and_never_made_anew() {
    let (_dir, data) = installation();
    let secret = data.join("secret.key");
    let aside = data.join("aside");
    fs::rename(&secret, &aside).expect("moved");
    for command in [SERVE, LIST] {
        let line = fails(&run(&data, command));
        assert!(line.contains("secret.key is missing") && line.contains("bring it back from a copy"), "{line}");
        assert!(!secret.exists());
    }
    fs::write(&secret, [7; 32]).expect("another key");
    let line = fails(&run(&data, LIST));
    assert!(line.contains("sealed under another secret.key"), "{line}");
    fs::write(&secret, [7; 31]).expect("half a key");
    let line = fails(&run(&data, LIST));
    assert!(line.contains("secret.key is damaged"), "{line}");
    fs::rename(&aside, &secret).expect("brought back");
    assert!(succeeds(&run(&data, LIST)).contains("dbr"));
}

#[test]
fn a_damaged_database_is_refused_in_words() {
    let (_dir, data) = installation();
    let path = data.join("tollkeeper.db");
    let whole = fs::read(&path).expect("read");
    let garbage = b"This is not a database. ".repeat(whole.len() / 24 + 1);
    let no_pages: Vec<u8> = whole.iter().enumerate().map(|(at, byte)| if at < 4096 { *byte } else { 0xa5 }).collect();
    let broken_schema: Vec<u8> = whole.iter().enumerate().map(|(at, byte)| if (100..4096).contains(&at) { 0xa5 } else { *byte }).collect();
    for (what, bytes) in
        [("garbage", garbage), ("every page but the first", no_pages), ("the schema", broken_schema), ("cut off", whole[..whole.len() / 2].to_vec())]
    {
        fs::write(&path, &bytes).expect("damaged");
        for command in [SERVE, LIST] {
            let line = fails(&run(&data, command));
            assert!(line.contains("tollkeeper.db") && line.contains("damaged") && line.contains("restore a backup"), "{what}: {line}");
            assert!(!line.contains("panick"), "{what}: {line}");
        }
    }
    fs::write(&path, &whole).expect("mended");
    assert!(succeeds(&run(&data, LIST)).contains("dbr"));
}

#[test]
fn a_second_server_in_this_process_is_refused_too() {
    let site = Site::empty();
    let Err(error) = App::start_on(&site.settings, Arc::new(site.clock.clone()), Extent::Server, &site.hardware) else {
        panic!("two servers on one data directory")
    };
    assert!(error.to_string().contains("in use by another tollkeeper process"), "{error}");
}

/// A command of these tests: it records that a device was reset, and then…
struct Act {
    device: u8,
    then: Then,
}

enum Then {
    Succeed,
    Panic,
    Fail,
    /// Succeed once the gate is open.
    WaitFor(Gate),
}

/// Holds the writer until everything that belongs into one batch is queued.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().expect("gate") = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().expect("gate"), |open| !*open).expect("gate"));
    }
}

fn device(number: u8) -> ClientUuid {
    ClientUuid::from_bytes([number; 16])
}

impl Command for Act {
    type Answer = u64;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<u64, Error> {
        let sequence = ledger.record(&Body::DeviceReset(DeviceReset { client: device(self.device), by: "a test".repeat(100) }))?;
        match &self.then {
            Then::Succeed => Ok(sequence),
            Then::Panic => panic!("device {} is cursed", self.device),
            Then::Fail => Err(Error::Other("no luck".into())),
            Then::WaitFor(gate) => {
                gate.wait();
                Ok(sequence)
            }
        }
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(future)
}

#[test]
fn a_command_that_panics_or_fails_undoes_only_itself() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("tollkeeper.db");
    let store = start_store(&path);
    let gate = Gate::default();
    let first = store.writer().submit(Act { device: 0, then: Then::WaitFor(gate.clone()) });
    let fate = |number: u8| match number % 8 {
        3 => Then::Panic,
        6 => Then::Fail,
        _ => Then::Succeed,
    };
    let rest: Vec<_> = (1..100).map(|number| (number, store.writer().submit(Act { device: number, then: fate(number) }))).collect();
    gate.open();
    let mut sequences = vec![block_on(first).expect("done")];
    let mut good = BTreeSet::from([device(0)]);
    for (number, answer) in rest {
        match (fate(number), block_on(answer)) {
            (Then::Succeed, Ok(sequence)) => {
                sequences.push(sequence);
                good.insert(device(number));
            }
            (Then::Panic, Err(Error::Panic(text))) => assert_eq!(text, format!("device {number} is cursed")),
            (Then::Fail, Err(Error::Other(text))) => assert_eq!(text, "no luck"),
            (_, other) => panic!("device {number}: {other:?}"),
        }
    }
    assert_eq!(sequences, (1..=good.len() as u64).collect::<Vec<_>>(), "the good ones have numbers without gaps, in the order they came");
    let reader = store.reader().expect("reader");
    assert_eq!(rebuild::verify(&reader).expect("proven"), good.len() as u64);
    let mut statement = reader.prepare("SELECT client_uuid FROM device_resets").expect("prepared");
    let there: BTreeSet<_> = statement.query_map([], |row| Ok(ClientUuid::from_bytes(row.get(0)?))).expect("read").collect::<Result<_, _>>().expect("read");
    assert_eq!(there, good);
    assert_eq!(store.writer().submit_blocking(Act { device: 200, then: Then::Succeed }).expect("the writer goes on"), good.len() as u64 + 1);
    store.close();
    let after = store.writer().submit_blocking(Act { device: 201, then: Then::Succeed });
    assert!(matches!(after, Err(Error::Stopped)), "{after:?}");
}

#[test]
fn a_full_disk_refuses_and_keeps_what_it_promised() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("tollkeeper.db");
    let connection = open::open(&path).expect("opens");
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).expect("read");
    connection.pragma_update(None, "max_page_count", pages + 8).expect("a small disk");
    let store = start_store_on(&path, connection);
    let gate = Gate::default();
    let mut answers = vec![(0, store.writer().submit(Act { device: 0, then: Then::WaitFor(gate.clone()) }))];
    answers.extend((1..=200).map(|number| (number, store.writer().submit(Act { device: number, then: Then::Succeed }))));
    gate.open();
    let (mut promised, mut refused) = (0, 0);
    for (number, answer) in answers {
        match block_on(answer) {
            Ok(_) => promised += 1,
            Err(Error::DiskFull) => refused += 1,
            Err(other) => panic!("device {number}: {other}"),
        }
    }
    assert!(promised > 0 && refused > 0, "{promised} promised, {refused} refused");
    let reader = store.reader().expect("reader");
    assert_eq!(rebuild::verify(&reader).expect("proven"), promised);
    assert_eq!(facts::verify_chain(&reader).expect("whole"), promised);
    drop(reader);
    store.close();
    assert_eq!(rebuild::verify(&open::open(&path).expect("opens")).expect("proven after a restart"), promised);
}
