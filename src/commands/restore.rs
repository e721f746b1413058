//! A backup takes the place of the database. It is checked and laid ready while the old database
//! still serves, and put in its place at the next start, in steps that a crash may interrupt
//! anywhere. What the server recorded after the backup was made is lost with the old database; so
//! the server counts on from far above its numbers ([`crate::store::gaps`]), and what the partner
//! and the devices have comes back.

use std::fs;
use std::path::{Path, PathBuf};

use argon2::Argon2;
use serde::{Deserialize, Serialize};

use super::backup::{Backups, Reason};
use super::site::IDENTITY_ROW;
use crate::documents::secret::SecretKey;
use crate::documents::{random_uuid, remove_file, replace_file};
use crate::licensing::ClientUuid;
use crate::protocol::lost::Seen;
use crate::store::snapshot::{self, Contents, Depth};
use crate::store::{Command, Error, Ledger, devices, local};

/// The directory in which the next database lies ready.
const INCOMING: &str = "incoming";
/// The file in it that says that everything is there.
const READY: &str = "ready";
/// In the database: why it lacks facts of its own server.
const RESTORED_ROW: &str = "restored";
/// What the passphrase's key seals.
const SECRET_CONTEXT: &str = "secret.key of a backup";

fn failed(path: &Path, error: &std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::StorageFull { Error::DiskFull } else { Error::Io(format!("{}: {error}", path.display())) }
}

fn document(error: &crate::documents::Error) -> Error {
    Error::Io(error.to_string())
}

/// Makes a directory into which only its owner may look.
pub fn make_private_directory(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| failed(path, &error))
}

/// `secret.key` beside a backup, under a passphrase.
#[derive(Serialize, Deserialize)]
struct SealedSecret {
    version: u32,
    salt: Vec<u8>,
    sealed: Vec<u8>,
}

fn passphrase_key(passphrase: &str, salt: &[u8]) -> Option<SecretKey> {
    let mut key = [0; 32];
    Argon2::default().hash_password_into(passphrase.as_bytes(), salt, &mut key).ok()?;
    Some(SecretKey::new(&key))
}

/// The file that belongs to a backup when its secrets are to travel with it.
pub fn secret_path(backup: &Path) -> PathBuf {
    backup.with_extension("key")
}

/// Writes `secret.key`, under a passphrase, beside a backup.
pub fn seal_secret(data: &Path, backup: &Path, passphrase: &str) -> Result<PathBuf, Error> {
    let path = data.join("secret.key");
    let secret = fs::read(&path).map_err(|error| failed(&path, &error))?;
    let salt = random_uuid().as_bytes().to_vec();
    let key = passphrase_key(passphrase, &salt).ok_or_else(|| Error::Other("the passphrase cannot be used: give at least 8 characters".to_owned()))?;
    let sealed = SealedSecret { version: 1, sealed: key.seal(SECRET_CONTEXT, &secret), salt };
    let json = serde_json::to_vec(&sealed).map_err(|error| Error::Other(error.to_string()))?;
    let target = secret_path(backup);
    replace_file(&target, &json, 0o600).map_err(|error| document(&error))?;
    Ok(target)
}

fn open_secret(backup: &Path, passphrase: &str) -> Result<Vec<u8>, Error> {
    let path = secret_path(backup);
    let json = fs::read(&path).map_err(|error| failed(&path, &error))?;
    let damaged = || Error::Other(format!("{} is damaged: bring it from another copy of the backup", path.display()));
    let sealed: SealedSecret = serde_json::from_slice(&json).map_err(|_| damaged())?;
    let key = passphrase_key(passphrase, &sealed.salt).ok_or_else(damaged)?;
    key.open(SECRET_CONTEXT, &sealed.sealed)
        .ok_or_else(|| Error::Other(format!("the passphrase does not open {}: give the one that the backup was made with", path.display())))
}

/// Checks a backup and lays it ready. Nothing of the running database is touched. `by` is who wants
/// it, for the audit of the database that goes on; `tell` hears what is done, how far that is and of
/// how much, and may end it.
///
/// # Errors
/// The backup is damaged or newer than this program, its secrets cannot be opened here, or there is
/// no room.
pub fn stage(data: &Path, backup: &Path, passphrase: Option<&str>, by: &str, tell: impl Fn(&'static str, u64, u64) -> bool) -> Result<Contents, Error> {
    let secret = find_secret(data, backup, passphrase)?;
    let contents = snapshot::verify(backup, Depth::Everything, |done, all| tell("checking", done, all))?;
    check_secret(backup, &secret)?;
    let incoming = data.join(INCOMING);
    discard(&incoming)?;
    make_private_directory(&incoming)?;
    let database = incoming.join("tollkeeper.db");
    snapshot::copy(backup, &database, |done, all| tell("copying", done, all))?;
    let kept = rows_of_this_machine(data, &secret)?;
    let name = backup.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let reason = format!("the backup {name} was restored by {by}");
    let mut rows: Vec<(&str, &[u8])> = kept.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    rows.push((RESTORED_ROW, reason.as_bytes()));
    snapshot::put_local(&database, &rows)?;
    replace_file(&incoming.join("secret.key"), &secret, 0o600).map_err(|error| document(&error))?;
    replace_file(&incoming.join(READY), b"", 0o600).map_err(|error| document(&error))?;
    Ok(contents)
}

/// Lays a database ready that was made for this server: it moves.
pub fn stage_as_it_is(data: &Path, database: &Path, secret: &[u8]) -> Result<(), Error> {
    let incoming = data.join(INCOMING);
    discard(&incoming)?;
    make_private_directory(&incoming)?;
    replace_file(&incoming.join("secret.key"), secret, 0o600).map_err(|error| document(&error))?;
    let next = incoming.join("tollkeeper.db");
    fs::rename(database, &next).map_err(|error| failed(database, &error))?;
    replace_file(&incoming.join(READY), b"", 0o600).map_err(|error| document(&error))
}

/// What does not go back with the database: who the partner is, which of the two serves, and this
/// machine's HTTPS certificates. Nothing where there is no database yet, or another server's.
fn rows_of_this_machine(data: &Path, secret: &[u8]) -> Result<Vec<(&'static str, Vec<u8>)>, Error> {
    let Ok(connection) = snapshot::open_copy(&data.join("tollkeeper.db")) else { return Ok(Vec::new()) };
    let Ok(secret) = <&[u8; 32]>::try_from(secret).map(SecretKey::new) else { return Ok(Vec::new()) };
    let is_own = local::find(&connection, IDENTITY_ROW)?.is_some_and(|sealed| secret.open(IDENTITY_ROW, &sealed).is_some());
    if !is_own {
        return Ok(Vec::new());
    }
    let mut rows = Vec::new();
    for name in ["partner", "role", "epoch", "server certificate", "own certificate"] {
        if let Some(value) = local::find(&connection, name)? {
            rows.push((name, value));
        }
    }
    Ok(rows)
}

fn find_secret(data: &Path, backup: &Path, passphrase: Option<&str>) -> Result<Vec<u8>, Error> {
    if let Some(passphrase) = passphrase {
        return open_secret(backup, passphrase);
    }
    let path = data.join("secret.key");
    fs::read(&path).map_err(|_| {
        let file = secret_path(backup);
        let way = if file.exists() { format!("give the passphrase of {}", file.display()) } else { "bring the secret.key of that server".to_owned() };
        Error::Other(format!("{} is missing, and without it the keys and passwords in the backup cannot be opened: {way}", path.display()))
    })
}

fn check_secret(backup: &Path, secret: &[u8]) -> Result<(), Error> {
    let sealed =
        local::find(&snapshot::open_copy(backup)?, IDENTITY_ROW)?.ok_or_else(|| Error::Corrupt("the backup holds no identity of a server".to_owned()))?;
    let opens = <&[u8; 32]>::try_from(secret).is_ok_and(|bytes| SecretKey::new(bytes).open(IDENTITY_ROW, &sealed).is_some());
    if opens {
        return Ok(());
    }
    Err(Error::Other("the backup was made with another secret.key: bring that one, or the passphrase of the .key file beside the backup".to_owned()))
}

fn discard(directory: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(directory, &error)),
        _ => Ok(()),
    }
}

/// Puts what lies ready in the place of the database, before that is opened. The old database is
/// kept among the backups. Tells whether there was anything.
pub fn take_staged(data: &Path, backups: &Backups) -> Result<bool, Error> {
    let incoming = data.join(INCOMING);
    if !incoming.join(READY).exists() {
        // Half of a restore that was interrupted, if anything.
        discard(&incoming)?;
        return Ok(false);
    }
    let (database, next) = (data.join("tollkeeper.db"), incoming.join("tollkeeper.db"));
    if next.exists() {
        if database.exists() {
            let aside = backups.place(Reason::Replaced).and_then(|place| snapshot::set_aside(&database, &place));
            if let Err(error) = aside {
                // The server must start, whatever is wrong with the directory of backups.
                let place = data.join(format!("tollkeeper-{}-replaced.db", random_uuid().simple()));
                tracing::error!(%error, place = %place.display(), "the old database cannot be kept among the backups; it is kept here");
                snapshot::set_aside(&database, &place)?;
            }
        }
        let secret = incoming.join("secret.key");
        if secret.exists() {
            fs::rename(&secret, data.join("secret.key")).map_err(|error| failed(&secret, &error))?;
        }
        fs::rename(&next, &database).and_then(|()| fs::File::open(data)?.sync_all()).map_err(|error| failed(&database, &error))?;
    }
    remove_file(&incoming.join(READY)).map_err(|error| document(&error))?;
    discard(&incoming)?;
    Ok(true)
}

/// Why facts of this server are missing, if they are: what a restore left in the database, or a mark
/// beside it (`marked`) that is further than the journal.
pub fn find_loss(connection: &rusqlite::Connection, sequence: u64, marked: u64) -> Result<Option<String>, Error> {
    let restored = local::find(connection, RESTORED_ROW)?.filter(|text| !text.is_empty());
    let told = restored.map(|text| String::from_utf8_lossy(&text).into_owned());
    Ok(told.or_else(|| {
        (marked > sequence)
            .then(|| format!("the database ends at fact {sequence}, but this server had recorded fact {marked}: an older copy was put in its place"))
    }))
}

/// Counts on from far above what was lost.
pub struct RaiseSequence {
    /// How it was found out.
    pub reason: String,
    /// A number that is known to have been given.
    pub above: u64,
}

impl Command for RaiseSequence {
    type Answer = u64;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<u64, Error> {
        ledger.put_local(RESTORED_ROW, b"")?;
        let sequence = ledger.raise_sequence(&self.reason, self.above)?;
        tracing::warn!(reason = self.reason, sequence, "facts of this server were lost; it counts on from above them");
        Ok(sequence)
    }
}

/// The partner holds nothing of this server that it lacks.
pub struct BeSure;

impl Command for BeSure {
    type Answer = ();

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<(), Error> {
        ledger.be_sure()
    }
}

/// Seconds in which what devices say raises the sequence once at most.
const PAUSE_SECONDS: i64 = 3_600;

/// A device that this server knows was told of facts which the journal does not have: an older copy
/// of the database was put in its place without anybody's saying so.
pub(super) fn notice_loss(ledger: &mut Ledger<'_>, client: ClientUuid, seen: &Seen) -> Result<(), Error> {
    if seen.is_empty() {
        return Ok(());
    }
    let (origin, head) = (ledger.origin(), ledger.sequence());
    // No server gives a number above the time in microseconds.
    let most = ledger.next_stamp().max(0) as u64;
    let Some(told) = seen.get(&origin.to_string()).copied().filter(|told| *told > head && *told < most) else { return Ok(()) };
    let (catalog, now) = (ledger.catalog()?, ledger.now());
    let is_early = catalog.gaps().iter().any(|gap| gap.origin == origin && now - gap.at < PAUSE_SECONDS);
    if is_early || !devices::is_known(ledger, client)? {
        return Ok(());
    }
    let reason = format!("device {client} was told of fact {told}, but the journal ends at {head}: an older copy of the database was put in its place");
    RaiseSequence { reason, above: told }.execute(ledger).map(drop)
}
