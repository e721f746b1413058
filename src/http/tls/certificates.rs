//! The certificates of this server while it runs: those of the site's authority are renewed in time
//! and follow the names by which the server is reached; the administrator's own comes from files
//! that somebody else renews, or was brought by the page. What goes wrong is told, and what worked
//! goes on.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::own::check;
use super::shown::Shown;
use super::{Certificate, DAY_SECONDS, Leaf, SiteAuthority, TlsError, default_names};
use crate::clock::rfc3339;
use crate::commands::certificate::KeepCertificate;
use crate::commands::exceptions::{Exceptions, Trouble};
use crate::commands::{Refusal, Site};
use crate::documents::replace_file;
use crate::replication::keeper::Keeper;
use crate::store::audit::AdminActed;
use crate::store::{Error, Store};

/// The row of the database that holds the site's authority, sealed.
pub const AUTHORITY_ROW: &str = "site authority";
/// The row with this server's certificate of that authority, sealed.
pub const LEAF_ROW: &str = "server certificate";
/// The row with the administrator's own certificate, sealed; empty: there is none.
pub const OWN_ROW: &str = "own certificate";

/// Days before its end at which the administrator's own certificate is spoken of.
const WARNING_DAYS: [i64; 5] = [30, 14, 7, 1, 0];
/// Files are replaced one after the other: what does not fit together now may in a minute.
const FILE_MISSES: u32 = 2;

/// What this works with.
pub struct Means {
    /// The site.
    pub site: Arc<Site>,
    /// The database.
    pub store: Arc<Store>,
    /// Its partner's addresses are not its own.
    pub keeper: Arc<Keeper>,
    /// Where it is told what goes wrong.
    pub exceptions: Arc<Exceptions>,
    /// The data directory.
    pub data: PathBuf,
    /// Where HTTPS is answered.
    pub listen: Vec<SocketAddr>,
    /// Further names of this server, from the settings.
    pub names: Vec<String>,
    /// URLs of this server, for license keys.
    pub server_urls: Vec<String>,
    /// The files of the administrator's own certificate and its key, if the settings name any.
    pub files: Option<(PathBuf, PathBuf)>,
}

/// What is in the database.
pub struct Found {
    /// The site's authority.
    pub authority: SiteAuthority,
    /// This server's certificate of it.
    pub leaf: Option<Leaf>,
    /// The administrator's own.
    pub own: Option<Leaf>,
}

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Issued by the site's own authority.
    Site,
    /// The administrator brought it, by page, API or command.
    Brought,
    /// The files that the settings name.
    Files,
}

impl Source {
    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Site => "site_ca",
            Self::Brought => "own",
            Self::Files => "own_files",
        }
    }
}

struct State {
    authority: SiteAuthority,
    leaf: Leaf,
    own: Option<Leaf>,
    /// Why the administrator's own certificate is not in use.
    problem: Option<String>,
    misses: u32,
}

/// How it stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Where the certificate comes from that browsers see.
    pub source: Source,
    /// That certificate.
    pub shown: Certificate,
    /// The one of the site's authority.
    pub site: Certificate,
    /// The last second of the authority's certificate, since 1970.
    pub authority_not_after: i64,
    /// Whether an own certificate was brought, in use or not.
    pub is_brought: bool,
    /// The file of the own certificate that the settings name, if they do.
    pub file: Option<PathBuf>,
    /// Why the own certificate is not in use.
    pub problem: Option<String>,
    /// Names and addresses that license keys lead to and the shown certificate is not for.
    pub uncovered: Vec<String>,
}

/// See the module.
pub struct Certificates {
    means: Means,
    shown: Arc<Shown>,
    state: Mutex<State>,
}

impl Certificates {
    /// Takes what is in the database, makes what is missing, looks at the files. `today`, seconds since
    /// 1970, is the machine's: clients judge certificates by their own clocks.
    ///
    /// # Errors
    /// There is no usable certificate of the site's authority, and none can be made.
    pub fn start(means: Means, found: Found, today: i64) -> Result<Self, TlsError> {
        let Found { authority, leaf, own } = found;
        let leaf = match leaf {
            Some(leaf) => leaf,
            None => authority.issue(&means.site_names(), today)?,
        };
        let shown = Arc::new(Shown::new(&leaf)?);
        let own = own.filter(|_| means.files.is_none());
        // The first look tells at once what is wrong with the files.
        let state = State { authority, leaf, own, problem: None, misses: FILE_MISSES };
        let certificates = Self { means, shown, state: Mutex::new(state) };
        certificates.tick(today);
        Ok(certificates)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What HTTPS shows.
    pub fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.shown)
    }

    /// The authority's certificate for browsers and programs to trust, PEM.
    pub fn authority_pem(&self) -> String {
        self.lock().authority.current_pem().to_owned()
    }

    /// Looks whether something is to be renewed, was changed, or ends. Blocks while it is written.
    pub fn tick(&self, today: i64) {
        let mut state = self.lock();
        if let Err(error) = self.renew(&mut state, today) {
            let detail = format!("the HTTPS certificate cannot be renewed: {error}; it is valid to {}", told_end(state.leaf.not_after()));
            self.means.exceptions.raise(Trouble::CertificateNotRenewed, today, detail);
        } else {
            match self.look_at_files(&mut state, today) {
                Ok(()) => self.means.exceptions.clear(Trouble::CertificateNotRenewed),
                Err(detail) if state.misses >= FILE_MISSES => self.means.exceptions.raise(Trouble::CertificateNotRenewed, today, detail),
                Err(_) => {}
            }
        }
        self.show(&mut state, today);
        self.warn(&state, today);
    }

    /// The site's own: the authority's certificate, then the server's.
    fn renew(&self, state: &mut State, today: i64) -> Result<(), String> {
        let told = |error: TlsError| error.to_string();
        if let Some(renewed) = state.authority.renew(today).map_err(told)? {
            self.keep(AUTHORITY_ROW, &renewed, None).map_err(|error| error.to_string())?;
            tracing::info!("the certificate of the site's authority was renewed, over the same key: license keys stay as they are");
            state.authority = renewed;
        }
        let path = self.means.data.join("tls/ca.pem");
        if fs::read(&path).ok().as_deref() != Some(state.authority.current_pem().as_bytes()) {
            replace_file(&path, state.authority.current_pem().as_bytes(), 0o644).map_err(|error| error.to_string())?;
        }
        let names = self.means.site_names();
        if state.leaf.needs_renewal(today) || !state.leaf.covers(&names) {
            let leaf = state.authority.issue(&names, today).map_err(told)?;
            // In use even if it cannot be kept: then the next start makes another.
            state.leaf = leaf.clone();
            self.keep(LEAF_ROW, &leaf, None).map_err(|error| error.to_string())?;
            tracing::info!(names = names.join(", "), "the HTTPS certificate of the site's authority was renewed");
        }
        Ok(())
    }

    /// Takes what the files hold, when that is new and in order.
    fn look_at_files(&self, state: &mut State, today: i64) -> Result<(), String> {
        let Some((certificate, key)) = &self.means.files else { return Ok(()) };
        let taken = read_file(certificate).and_then(|chain| Ok((chain, read_file(key)?))).and_then(|(chain_pem, key_pem)| {
            if state.own.as_ref().is_some_and(|own| own.chain_pem == chain_pem && own.key_pem == key_pem) {
                return Ok(None);
            }
            let told = |refusal: Refusal| match refusal {
                Refusal::Invalid("key", text) => format!("the key in {} {text}", key.display()),
                refusal => format!("the certificate in {} {}", certificate.display(), refusal.detail()),
            };
            check(&chain_pem, &key_pem, &self.means.hosts_of_keys(), today).map(Some).map_err(told)
        });
        match taken {
            Ok(fresh) => {
                if let Some(leaf) = fresh {
                    tracing::info!(file = %certificate.display(), "the HTTPS certificate was taken from its file");
                    state.own = Some(leaf);
                }
                (state.problem, state.misses) = (None, 0);
                Ok(())
            }
            Err(detail) => {
                state.misses += 1;
                state.problem = Some(detail.clone());
                Err(format!("{detail}; what was in use before goes on"))
            }
        }
    }

    /// Whoever connects from now on gets what is right now.
    fn show(&self, state: &mut State, today: i64) {
        let own = state.own.as_ref().filter(|own| own.not_after().is_ok_and(|end| today <= end));
        if let Err(error) = self.shown.show(&state.leaf, own) {
            tracing::error!(%error, "a certificate cannot be shown; the one of before goes on");
        }
    }

    fn warn(&self, state: &State, today: i64) {
        let end = state.own.as_ref().unwrap_or(&state.leaf).not_after().unwrap_or(today);
        // One that renews itself is spoken of when it did not.
        let days = if state.own.is_some() { &WARNING_DAYS[..] } else { &WARNING_DAYS[2..] };
        let Some(threshold) = days.iter().rev().find(|days| end - today <= **days * DAY_SECONDS) else {
            return self.means.exceptions.clear(Trouble::Certificate);
        };
        let way = match (&state.own, &self.means.files) {
            (None, _) => "the server renews it by itself, and could not: its log says why".to_owned(),
            (Some(_), Some((file, _))) => format!("have it renewed and put into {}, where the server takes it by itself", file.display()),
            (Some(_), None) => "have it renewed and bring it on the page 'HTTPS certificate', or with `tollkeeper certificate set`".to_owned(),
        };
        let end = rfc3339(end);
        let detail = match threshold {
            0 => format!("the HTTPS certificate ended at {end}: {way}"),
            1 => format!("the HTTPS certificate ends within a day, at {end}: {way}"),
            days => format!("the HTTPS certificate ends within {days} days, at {end}: {way}"),
        };
        self.means.exceptions.raise(Trouble::Certificate, today, detail);
    }

    /// Takes the administrator's own certificate, for this server alone. Blocks while it is written.
    ///
    /// # Errors
    /// Why it is not taken; nothing was changed.
    pub fn set(&self, chain_pem: &str, key_pem: &str, today: i64, by: AdminActed) -> Result<Result<(), Refusal>, Error> {
        if let Some(refusal) = self.find_conflict() {
            return Ok(Err(refusal));
        }
        let leaf = match check(chain_pem, key_pem, &self.means.hosts_of_keys(), today) {
            Ok(leaf) => leaf,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut state = self.lock();
        let told = leaf.describe().map(|told| format!("{}; by {}, to {}", told.names.join(", "), told.issuer, rfc3339(told.not_after))).unwrap_or_default();
        self.keep(OWN_ROW, &leaf, Some(AdminActed { detail: told, ..by }))?;
        (state.own, state.problem) = (Some(leaf), None);
        self.show(&mut state, today);
        self.warn(&state, today);
        Ok(Ok(()))
    }

    /// Goes back to the certificate of the site's authority. Blocks while it is written.
    ///
    /// # Errors
    /// There is no own one to remove.
    pub fn remove(&self, today: i64, by: AdminActed) -> Result<Result<(), Refusal>, Error> {
        if let Some(refusal) = self.find_conflict() {
            return Ok(Err(refusal));
        }
        let mut state = self.lock();
        if state.own.is_none() {
            return Ok(Err(Refusal::NotFound("there is no own certificate: the server uses that of the site's authority".to_owned())));
        }
        self.means.store.writer().submit_blocking(KeepCertificate { row: OWN_ROW, sealed: Vec::new(), act: Some(by) })?;
        (state.own, state.problem) = (None, None);
        self.show(&mut state, today);
        self.warn(&state, today);
        Ok(Ok(()))
    }

    fn find_conflict(&self) -> Option<Refusal> {
        let (file, _) = self.means.files.as_ref()?;
        Some(Refusal::Conflict(format!(
            "the settings name the certificate's file, {}: put another one there, which the server takes by itself within a minute, or remove [tls] certificate and key from the settings",
            file.display()
        )))
    }

    fn keep(&self, row: &'static str, value: &impl serde::Serialize, act: Option<AdminActed>) -> Result<(), Error> {
        let json = serde_json::to_vec(value).map_err(|error| Error::Other(error.to_string()))?;
        let sealed = self.means.site.secret().seal(row, &json);
        self.means.store.writer().submit_blocking(KeepCertificate { row, sealed, act })
    }

    /// How it stands at `today`.
    ///
    /// # Errors
    /// A certificate in use cannot be read.
    pub fn standing(&self, today: i64) -> Result<Standing, TlsError> {
        let state = self.lock();
        let own = state.own.as_ref().filter(|own| own.not_after().is_ok_and(|end| today <= end));
        let source = match (own, &self.means.files) {
            (None, _) => Source::Site,
            (Some(_), Some(_)) => Source::Files,
            (Some(_), None) => Source::Brought,
        };
        let shown = own.unwrap_or(&state.leaf);
        let ended = state.own.as_ref().filter(|_| own.is_none()).map(|ended| format!("it ended at {}", told_end(ended.not_after())));
        Ok(Standing {
            source,
            shown: shown.describe()?,
            site: state.leaf.describe()?,
            authority_not_after: state.authority.not_after()?,
            is_brought: state.own.is_some() && self.means.files.is_none(),
            file: self.means.files.as_ref().map(|(file, _)| file.clone()),
            problem: state.problem.clone().or(ended),
            uncovered: self.means.hosts_of_keys().into_iter().filter(|host| !shown.covers(std::slice::from_ref(host))).collect(),
        })
    }
}

impl Means {
    /// Everything that the certificate of the site's authority is for.
    fn site_names(&self) -> Vec<String> {
        let mut names = self.names.clone();
        names.extend(self.hosts_of_keys());
        default_names(&self.listen, &names)
    }

    /// The names and addresses by which license keys lead to this server.
    fn hosts_of_keys(&self) -> Vec<String> {
        let catalog = self.store.writer().catalog();
        let own = || hosts_of(&self.server_urls);
        let Some(set) = catalog.server_urls() else { return own() };
        let set = hosts_of(set);
        let Some(pairing) = self.keeper.pairing() else { return set };
        // Of the addresses of two servers, those that are known to be this one's.
        let (own, partners) = (own(), hosts_of(&pairing.partner.urls));
        let meant: Vec<String> = set.iter().filter(|host| own.contains(host)).cloned().collect();
        if meant.is_empty() { set.into_iter().filter(|host| !partners.contains(host)).collect() } else { meant }
    }
}

fn hosts_of(urls: &[String]) -> Vec<String> {
    let host = |url: &String| {
        let rest = url.strip_prefix("https://")?;
        let authority = rest.split('/').next()?;
        let host = authority.rsplit_once(':').map_or(authority, |(host, port)| if port.ends_with(']') { authority } else { host });
        Some(host.trim_matches(['[', ']']).to_owned())
    };
    let mut hosts: Vec<String> = urls.iter().filter_map(host).collect();
    hosts.dedup();
    hosts
}

fn read_file(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => format!("the user of the server may not read {}: give it that right", path.display()),
        _ => format!("{} cannot be read: {error}", path.display()),
    })
}

fn told_end(end: Result<i64, TlsError>) -> String {
    end.map_or_else(|error| error.to_string(), rfc3339)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_of_urls_are_names_and_addresses_without_ports() {
        let urls = ["https://a.example:48443", "https://10.0.0.7", "https://[::1]:1/x", "https://[::1]", "http://plain:1"].map(str::to_owned);
        assert_eq!(hosts_of(&urls), ["a.example", "10.0.0.7", "::1"]);
    }
}
