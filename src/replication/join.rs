//! A new server becomes the standby of another one: it says who it is, gets what both share, takes a
//! copy of the whole database, and begins anew with it. Every step is kept, so that it goes on after
//! a crash where it was.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::keeper::ROLE_ROW;
use super::link::{BASE, Link, LinkError};
use super::partner::{PARTNER_ROW, Pairing, Partner, Pass};
use super::roles::{Assignment, Standing};
use crate::client::transport::{CaPin, Timeouts, Transport};
use crate::commands::restore::make_private_directory;
use crate::commands::{Site, restore};
use crate::documents::secret::SecretKey;
use crate::documents::{RequestServer, VerifyingKey, remove_file, replace_file};
use crate::protocol::Problem;
use crate::store::snapshot::{self, Depth};
use crate::store::{Error, local};

const DIRECTORY: &str = "joining";
const PLAN: &str = "plan.json";
const PART: &str = "snapshot.db";
const PART_BYTES: u64 = 2 << 20;

/// What the new server says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PairRequest {
    /// The token of the invitation.
    pub token: String,
    /// Who asks.
    pub server: RequestServer,
    /// Where it answers.
    pub urls: Vec<String>,
    /// Its program's version.
    pub version: String,
    /// Its time, seconds since 1970.
    pub time: i64,
}

/// What it gets.
#[derive(Clone, Serialize, Deserialize)]
pub struct PairAnswer {
    /// The server that invited.
    pub partner: Partner,
    /// What the new server shows from now on.
    pub pass: Pass,
    /// The site's certificate authority, PEM.
    pub ca_pem: String,
    /// Its key.
    pub ca_key_pem: String,
    /// `secret.key`, base64url: what is sealed on one server opens on the other.
    pub secret: String,
    /// Public keys of the vendors that are trusted, PEM.
    pub vendors: Vec<String>,
    /// The epoch in which the two became a pair.
    pub epoch: u64,
}

/// How the copy stands that the new server is to take.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SnapshotAnswer {
    /// Whether it can be taken.
    pub is_ready: bool,
    /// Its size, once it is ready.
    pub bytes: u64,
    /// Names this very copy.
    pub id: String,
    /// Why there is none.
    #[serde(default)]
    pub error: Option<String>,
}

/// A token with the authority's fingerprint: 32 random bytes and 32 of SHA-256, base64url.
pub fn write_token(secret: &[u8; 32], ca_fingerprint: &str) -> Option<String> {
    let hex = ca_fingerprint.strip_prefix("sha256:")?;
    let digest: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect();
    Some(URL_SAFE_NO_PAD.encode([secret.as_slice(), &digest?].concat()))
}

/// The secret, base64url, and the fingerprint in a token.
pub fn read_token(token: &str) -> Option<(String, String)> {
    let bytes = URL_SAFE_NO_PAD.decode(token.trim()).ok().filter(|bytes| bytes.len() == 64)?;
    let fingerprint = bytes[32..].iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"));
    Some((URL_SAFE_NO_PAD.encode(&bytes[..32]), fingerprint))
}

/// What is kept while it joins. Secret.
#[derive(Clone, Serialize, Deserialize)]
struct Plan {
    answer: PairAnswer,
    /// The copy that is being taken.
    snapshot: String,
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Progress {
    /// `waiting`, `copying`, `checking`, `done` or `failed`; empty where nobody joins.
    pub step: String,
    /// Bytes that were copied.
    pub done: u64,
    /// Of how many.
    pub all: u64,
    /// What went wrong; it is tried again.
    pub error: Option<String>,
}

/// Joining, as the new server does it.
pub struct Joining {
    data: PathBuf,
    progress: Mutex<Progress>,
    is_over: AtomicBool,
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::StorageFull { Error::DiskFull } else { Error::Io(format!("{}: {error}", path.display())) }
}

fn document(error: &crate::documents::Error) -> Error {
    Error::Io(error.to_string())
}

impl Joining {
    /// Of a data directory.
    pub fn of(data: &Path) -> Self {
        Self { data: data.to_owned(), progress: Mutex::default(), is_over: AtomicBool::new(false) }
    }

    fn directory(&self) -> PathBuf {
        self.data.join(DIRECTORY)
    }

    /// Joining is at its end, or was given up: its plan holds secrets.
    pub fn forget(&self) {
        // What cannot be removed is tried again at the next start.
        let _ = fs::remove_dir_all(self.directory());
    }

    /// It is about to begin.
    pub fn announce(&self) {
        self.tell("waiting", 0, 0, None);
    }

    /// Whether it was begun and is not at its end.
    pub fn is_begun(&self) -> bool {
        self.directory().join(PLAN).exists()
    }

    /// Whether whoever waits for it may stop: the server ends.
    pub fn is_given_up(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// The server ends; joining goes on at its next start.
    pub fn give_up(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, step: &str, done: u64, all: u64, error: Option<String>) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Progress { step: step.to_owned(), done, all, error };
    }

    /// Shows the token to the server that invited, and keeps what it answers.
    ///
    /// # Errors
    /// In words: it is not reached, not trusted, or it refuses.
    pub fn begin(&self, url: &str, token: &str, request: PairRequest) -> Result<(), String> {
        let (secret, fingerprint) = read_token(token).ok_or("the token is not whole: copy it as `standby invite` printed it")?;
        let transport = Transport::pinned_within(url, CaPin::Fingerprint(fingerprint), Timeouts::default()).map_err(|error| error.to_string())?;
        let body = serde_json::to_value(PairRequest { token: secret, ..request }).map_err(|error| error.to_string())?;
        let reply = transport.post_json(&format!("{BASE}/pair"), &body, &[]).map_err(|error| error.to_string())?;
        if !reply.is_success() {
            return Err(reply.json::<Problem>().map_or_else(|error| error.to_string(), |problem| problem.detail));
        }
        let mut answer: PairAnswer = reply.json().map_err(|error| error.to_string())?;
        // The way that was found to lead there comes first.
        let url = transport.base_url().to_owned();
        answer.partner.urls.retain(|known| *known != url);
        answer.partner.urls.insert(0, url);
        self.keep(&Plan { answer, snapshot: String::new() }).map_err(|error| error.to_string())
    }

    fn keep(&self, plan: &Plan) -> Result<(), Error> {
        let directory = self.directory();
        make_private_directory(&directory)?;
        let json = serde_json::to_vec(plan).map_err(|error| Error::Other(error.to_string()))?;
        replace_file(&directory.join(PLAN), &json, 0o600).map_err(|error| document(&error))
    }

    /// Takes the copy and lays it ready as this server's next database; `identity` is this server's
    /// own, as its database keeps it, opened, and `rows` what else stays its own. Blocks until it is
    /// done, or fails.
    ///
    /// # Errors
    /// In words. It may be tried again, and goes on where it was.
    pub fn run(&self, identity: (&str, &[u8]), rows: &[(&str, &[u8])]) -> Result<(), String> {
        let done = self.try_run(identity, rows);
        match &done {
            Ok(()) => self.tell("done", 1, 1, None),
            Err(error) => {
                let Progress { done, all, .. } = self.progress();
                self.tell("failed", done, all, Some(error.clone()));
            }
        }
        done
    }

    fn try_run(&self, identity: (&str, &[u8]), rows: &[(&str, &[u8])]) -> Result<(), String> {
        let directory = self.directory();
        let json = fs::read(directory.join(PLAN)).map_err(|error| failed(&directory, &error).to_string())?;
        let mut plan: Plan = serde_json::from_slice(&json).map_err(|error| format!("the plan of joining cannot be read ({error}): invite this server anew"))?;
        let pairing = Pairing { partner: plan.answer.partner.clone(), pass: plan.answer.pass.clone() };
        let link = Link::to(&pairing, &plan.answer.ca_pem).map_err(|error| error.to_string())?;
        let part = directory.join(PART);
        if snapshot::is_half_changed(&part) {
            // Killed while the copy was made this server's own: it is not the partner's any more.
            snapshot::remove(&part).map_err(|error| error.to_string())?;
        }
        self.take_copy(&link, &mut plan, &part)?;
        self.tell("checking", 0, 0, None);
        if let Err(error) = snapshot::verify(&part, Depth::Pages, |_, _| true) {
            // It was damaged on its way: once more from the beginning.
            snapshot::remove(&part).map_err(|error| error.to_string())?;
            return Err(error.to_string());
        }
        self.lay_ready(&plan.answer, &pairing, &part, identity, rows).map_err(|error| error.to_string())
    }

    fn take_copy(&self, link: &Link, plan: &mut Plan, part: &Path) -> Result<(), String> {
        self.tell("waiting", 0, 0, None);
        let mut wanted = plan.snapshot.clone();
        let copy = loop {
            let copy: SnapshotAnswer = link.say("/snapshot", &serde_json::json!({"id": wanted})).map_err(|error| error.to_string())?;
            match copy {
                SnapshotAnswer { error: Some(error), .. } => return Err(format!("the partner has no copy of its database to give: {error}")),
                copy if copy.is_ready => break copy,
                _ if self.is_given_up() => return Err("the server ends; joining goes on at its next start".to_owned()),
                _ => {
                    // The one that was begun is not there any more: whichever is made now.
                    wanted.clear();
                    std::thread::sleep(std::time::Duration::from_millis(200));
                }
            }
        };
        if plan.snapshot != copy.id {
            // Another copy than the one that was begun.
            snapshot::remove(part).map_err(|error| error.to_string())?;
            plan.snapshot.clone_from(&copy.id);
            self.keep(plan).map_err(|error| error.to_string())?;
        }
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(part).map_err(|error| failed(part, &error).to_string())?;
        let mut done = file.metadata().map_err(|error| failed(part, &error).to_string())?.len();
        while done < copy.bytes {
            if self.is_given_up() {
                return Err("the server ends; joining goes on at its next start".to_owned());
            }
            self.tell("copying", done, copy.bytes, None);
            let bytes = link.part(&format!("/snapshot/{}", copy.id), done, PART_BYTES).map_err(|error: LinkError| error.to_string())?;
            if bytes.is_empty() {
                return Err("the partner's copy ends early: it is taken anew".to_owned());
            }
            file.write_all(&bytes).map_err(|error| failed(part, &error).to_string())?;
            done += bytes.len() as u64;
        }
        file.sync_all().map_err(|error| failed(part, &error).to_string())
    }

    fn lay_ready(&self, answer: &PairAnswer, pairing: &Pairing, part: &Path, identity: (&str, &[u8]), rows: &[(&str, &[u8])]) -> Result<(), Error> {
        let bytes = URL_SAFE_NO_PAD.decode(&answer.secret).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let bytes = bytes.ok_or_else(|| Error::Other("the partner's secret is not whole: invite this server anew".to_owned()))?;
        let secret = SecretKey::new(&bytes);
        let sealed = secret.seal(identity.0, identity.1);
        let json = serde_json::to_vec(pairing).map_err(|error| Error::Other(error.to_string()))?;
        let partner = secret.seal(PARTNER_ROW, &json);
        let standing = Standing { assignment: Assignment::Standby, assigned_in: answer.epoch, epoch: answer.epoch };
        let standing = serde_json::to_vec(&standing).map_err(|error| Error::Other(error.to_string()))?;
        let mut own: Vec<(&str, &[u8])> = vec![(identity.0, &sealed), (PARTNER_ROW, &partner), (ROLE_ROW, &standing)];
        own.extend_from_slice(rows);
        // The authority is the site's, and sealed under the secret that both have.
        snapshot::replace_local(part, &["site authority"], &own)?;
        let vendors = self.data.join("vendors");
        for pem in &answer.vendors {
            let key = VerifyingKey::from_spki_pem(pem).map_err(|error| document(&error))?;
            replace_file(&vendors.join(format!("{}.pub", key.kid())), key.to_spki_pem().as_bytes(), 0o644).map_err(|error| document(&error))?;
        }
        // Nobody has seen the few facts of before: it begins to count with the copy.
        match fs::remove_file(self.data.join("sequence.mark")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&self.data, &error)),
            _ => {}
        }
        restore::stage_as_it_is(&self.data, part, &bytes)?;
        remove_file(&self.directory().join(PLAN)).map_err(|error| document(&error))?;
        // What is left of it is in nobody's way.
        let _ = fs::remove_dir_all(self.directory());
        Ok(())
    }
}

/// Whether a database may become a standby's: nothing was set up in it.
pub fn find_obstacle(connection: &rusqlite::Connection, site: &Site) -> Result<Option<String>, Error> {
    let catalog = crate::store::catalog::Catalog::load(connection)?;
    let is_paired = local::find(connection, PARTNER_ROW)?.is_some_and(|sealed| !sealed.is_empty());
    Ok(if is_paired {
        Some("this server has a partner already: `tollkeeper standby leave` ends that".to_owned())
    } else if catalog.licenses().next().is_some() || !catalog.codes().is_empty() {
        Some(format!(
            "this server ({}) has licenses or handshake codes of its own, which would be lost: a standby begins with an empty data directory",
            site.uuid()
        ))
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_carries_its_secret_and_the_fingerprint() {
        let fingerprint = format!("sha256:{}", "0a".repeat(32));
        let token = write_token(&[7; 32], &fingerprint).expect("a token");
        assert_eq!(read_token(&format!(" {token}\n")), Some((URL_SAFE_NO_PAD.encode([7; 32]), fingerprint)));
        for wrong in ["", "abc", &token[1..], &format!("{token}A"), &token.replace('B', "*")] {
            assert_eq!(read_token(wrong), None, "{wrong}");
        }
        assert_eq!(write_token(&[7; 32], "md5:00"), None);
    }
}
