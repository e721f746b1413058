//! The composition root: opens the data directory, puts the rooms together, starts the
//! server, and stops it in order. The only place that knows everybody.

use std::fs::{self, File, TryLockError};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::{Clock, SystemClock};
use crate::commands::Site;
use crate::commands::backup::{Backups, Policy, Reason};
use crate::commands::exceptions::Exceptions;
use crate::commands::preferences::names;
use crate::commands::restore::{self, RaiseSequence};
use crate::commands::site::{HARDWARE_ROW, HardwareBinding, IDENTITY_ROW, VendorFiles};
use crate::documents::secret::SecretKey;
use crate::documents::{Hardware, SealingKey, ServerIdentity, SigningKey, random_uuid};
use crate::http::Context;
use crate::http::admin_api::standby::go_on_joining;
use crate::http::caller::{CONSOLE, TOKEN_USES_ROW};
use crate::http::chain_check::ChainCheck;
use crate::http::metrics::Metrics;
use crate::http::rate_limit::{self, RateLimit};
use crate::http::replication::{Outgoing, remove_leftover};
use crate::http::restart::Restart;
use crate::http::sandbox::Sandbox;
use crate::http::server::{self, Listeners, Running};
use crate::http::session::Sessions;
use crate::http::tls::{self, AUTHORITY_ROW, Certificates, Found, LEAF_ROW, OWN_ROW, PartnerVerifier, SiteAuthority};
use crate::jobs::alerts::AlertJob;
use crate::jobs::backup::BackupJob;
use crate::jobs::certificate::CertificateJob;
use crate::jobs::standby::{HeartbeatJob, RolesJob, SyncJob};
use crate::jobs::watch::{self, WatchJob};
use crate::jobs::watchdog::WatchdogJob;
use crate::jobs::{Job, Jobs};
use crate::licensing::ServerUuid;
use crate::replication::join::Joining;
use crate::replication::keeper::{Keeper, Means};
use crate::replication::partner::PARTNER_ROW;
use crate::settings::Settings;
use crate::store::catalog::Catalog;
use crate::store::{self, Store, facts, local, open, preferences};

/// Where the server does not start, and why.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the data directory.
    #[error("{0} is in use by another tollkeeper process: stop it first, or use another --data")]
    InUse(PathBuf),
    /// Something in the data directory cannot be used.
    #[error("{0}")]
    Data(String),
    /// The database cannot be used.
    #[error("{}: {error}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        error: store::Error,
    },
    /// An address cannot be listened on, or a socket cannot be made.
    #[error("{0}")]
    Listen(String),
}

impl From<tls::TlsError> for StartError {
    fn from(error: tls::TlsError) -> Self {
        Self::Data(error.to_string())
    }
}

/// Whether the whole server starts, or only what a command needs that runs without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// HTTPS, HTTP and the admin socket.
    Server,
    /// The admin socket only.
    AdminOnly,
}

/// A running server.
pub struct App {
    http: Running,
    jobs: Jobs,
    context: Data<Context>,
    https: Vec<SocketAddr>,
    plain: Vec<SocketAddr>,
    metrics: Vec<SocketAddr>,
    admin_socket: PathBuf,
    patience: Duration,
    // Held until the end: whoever has it may write.
    _lock: File,
}

/// The server's identity as the database keeps it, sealed.
#[derive(Serialize, Deserialize)]
struct StoredIdentity {
    uuid: Uuid,
    key_pkcs8: Vec<u8>,
    /// Installations of before sealed bodies lack it.
    #[serde(default)]
    sealing: Option<Vec<u8>>,
}

const URLS_ROW: &str = "server urls";

impl App {
    /// Starts on this machine's hardware.
    pub fn start(settings: &Settings, clock: Arc<dyn Clock>, extent: Extent) -> Result<Self, StartError> {
        Self::start_on(settings, clock, extent, &Hardware::read())
    }

    /// Starts on hardware that is given: tests move a data directory to "another machine".
    pub fn start_on(settings: &Settings, clock: Arc<dyn Clock>, extent: Extent, hardware: &Hardware) -> Result<Self, StartError> {
        Self::assemble(settings, clock, extent, hardware, None)
    }

    /// Starts a sandbox, on its own clock.
    pub fn start_sandbox(settings: &Settings, sandbox: Sandbox) -> Result<Self, StartError> {
        Self::assemble(settings, Arc::new(sandbox.clock().clone()), Extent::Server, &Hardware::read(), Some(sandbox))
    }

    fn assemble(settings: &Settings, clock: Arc<dyn Clock>, extent: Extent, hardware: &Hardware, sandbox: Option<Sandbox>) -> Result<Self, StartError> {
        let data = settings.data.as_path();
        prepare_directory(data)?;
        let lock = take_lock(data)?;
        // Addresses first: a port that is taken should not leave a half-made installation.
        let mut listeners = Listeners::default();
        let (mut https_addresses, mut http_addresses) = (settings_addresses(settings.listen_addresses())?, settings_addresses(settings.http_addresses())?);
        let mut metrics_addresses = settings_addresses(settings.metrics_addresses())?;
        if extent == Extent::Server {
            let listen = |addresses: &[SocketAddr]| server::bind(addresses).map_err(|error| StartError::Listen(error.to_string()));
            listeners.https = listen(&https_addresses)?;
            listeners.http = listen(&http_addresses)?;
            let local = |listeners: &[std::net::TcpListener]| listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect::<Vec<_>>();
            listeners.metrics = listen(&metrics_addresses)?;
            (https_addresses, http_addresses) = (local(&listeners.https), local(&listeners.http));
            metrics_addresses = local(&listeners.metrics);
        }

        let path = data.join("tollkeeper.db");
        let broken = |error: store::Error| StartError::Store { path: path.clone(), error };
        let backups = backups_of(settings, &clock);
        if restore::take_staged(data, &backups).map_err(broken)? {
            tracing::warn!("another database was put in place of this server's; the old one is among the backups");
        }
        remove_leftover(data);
        if open::needs_migration(&path).map_err(broken)? {
            let copy = backups.make(Reason::Upgrade).map_err(broken)?;
            tracing::info!(backup = copy.name, "the database is brought to a newer version; this is how it was");
        }
        let connection = open::open(&path).map_err(broken)?;
        let is_new = local::find(&connection, IDENTITY_ROW).map_err(broken)?.is_none();
        let secret = SecretKey::load_or_create(&data.join("secret.key"), is_new).map_err(|error| StartError::Data(error.to_string()))?;
        let vault = Vault { connection: &connection, secret: &secret };

        let now = clock.now_seconds();
        let identity = vault.load_identity(hardware)?;
        let binding = load_hardware_binding(&connection, &identity, now)?;
        // Clients check certificates by their own clocks, so a manual clock must not date them.
        let today = SystemClock.now_seconds();
        let authority = vault.load_authority(identity.uuid, today)?;
        let listen_names = settings.public_endpoints().into_iter().map(|(host, _)| host).filter(|host| host.parse::<IpAddr>().is_err()).map(str::to_owned);
        let tls_names = settings.tls.names.iter().cloned().chain(listen_names).collect();
        let found = Found { authority: authority.clone(), leaf: vault.find(LEAF_ROW)?, own: vault.find(OWN_ROW)? };
        let ca_fingerprint = authority.fingerprint()?;
        let partners = Arc::new(PartnerVerifier::of(&authority)?);

        let origin = identity.uuid;
        let vendor_files = VendorFiles { directory: data.join("vendors"), files: settings.trusted_vendors.clone() };
        let (site, problems) = Site::new(identity, secret, vendor_files, binding);
        for problem in problems {
            tracing::warn!(%problem, "a vendor's public key cannot be read: licenses of this vendor cannot be imported");
        }
        site.refresh_certificates(&Catalog::load(&connection).map_err(broken)?);
        let bound = if https_addresses.is_empty() { &http_addresses } else { &https_addresses };
        let server_urls = find_urls(settings, extent, bound, &connection)?;
        let sessions = load_sessions(&connection)?;
        let partner = local::find(&connection, PARTNER_ROW).map_err(broken)?;
        local::put_unsure(&connection, partner.as_ref().is_some_and(|sealed| !sealed.is_empty())).map_err(broken)?;
        let rate_limits = preferences::read(&connection, names::RATE_LIMITS).map_err(broken)?.unwrap_or(rate_limit::of_settings(&settings.limits));
        let loss = restore::find_loss(&connection, facts::head(&connection, origin).map_err(broken)?.sequence, watch::read_mark(data)).map_err(broken)?;
        let store = Arc::new(Store::start(&path, connection, origin, Arc::clone(&clock), settings.limits.queue).map_err(broken)?);
        if let Some(reason) = loss {
            store.writer().submit_blocking(RaiseSequence { reason, above: watch::read_mark(data) }).map_err(broken)?;
        }

        let admin_socket = match extent {
            Extent::Server => server::socket_path(data),
            Extent::AdminOnly => server::command_socket_path(data),
        };
        listeners.admin = Some(server::bind_admin_socket(data, &admin_socket).map_err(|error| StartError::Listen(error.to_string()))?);
        let exceptions = Arc::<Exceptions>::default();
        let limits = match extent {
            Extent::Server => settings.limits.clone(),
            Extent::AdminOnly => crate::settings::Limits { workers: 1, ..settings.limits.clone() },
        };
        let site = Arc::new(site);
        let keeper = Keeper::start(Means {
            site: Arc::clone(&site),
            store: Arc::clone(&store),
            exceptions: Arc::clone(&exceptions),
            clock: Arc::clone(&clock),
            ca_pem: authority.ca_pem.clone(),
            urls: server_urls.clone(),
            sync_seconds: settings.standby.sync_seconds,
        })
        .map_err(broken)?;
        let means = tls::Means {
            site: Arc::clone(&site),
            store: Arc::clone(&store),
            keeper: Arc::clone(&keeper),
            exceptions: Arc::clone(&exceptions),
            data: data.to_owned(),
            listen: https_addresses.clone(),
            names: tls_names,
            server_urls: server_urls.clone(),
            files: settings.tls.files(),
        };
        let certificates = Arc::new(Certificates::start(means, found, today)?);
        let tls_config = tls::rustls_config(certificates.shown(), Some(Arc::clone(&partners)))?;
        // Also one that has left: it is told so when it comes back.
        partners.ask(partner.is_some());
        if extent == Extent::AdminOnly && keeper.role_name() == "primary" {
            // Nobody ticks here, and there are no devices to be served: commands need not wait.
            site.set_duty(None);
        }
        let context = Data::new(Context {
            site,
            keeper: Arc::clone(&keeper),
            joining: Arc::new(Joining::of(data)),
            partners,
            outgoing: Outgoing::default(),
            ca_pem: authority.ca_pem.clone(),
            authority,
            store: Arc::clone(&store),
            backups: Arc::clone(&backups),
            exceptions: Arc::clone(&exceptions),
            restart: Restart::default(),
            importing: tokio::sync::Mutex::new(()),
            rate: RateLimit::new(rate_limits, Arc::clone(&clock)),
            clock: Arc::clone(&clock),
            limits,
            ca_fingerprint,
            listening: if extent == Extent::Server { urls_of(&https_addresses, &http_addresses) } else { Vec::new() },
            settings: settings.clone(),
            server_urls,
            sessions,
            chain_check: ChainCheck::default(),
            certificates: Arc::clone(&certificates),
            data: data.to_owned(),
            sdk_packages: settings.sdk_packages.clone(),
            metrics: Metrics::new(store.writer()).map_err(|error| StartError::Listen(format!("nothing can be counted: {error}")))?,
            started_at: now,
            sandbox,
        });
        let mut work: Vec<Box<dyn Job>> = Vec::new();
        if extent == Extent::Server && context.sandbox.is_none() {
            if settings.backup.every_minutes > 0 {
                let period = i64::from(settings.backup.every_minutes) * 60;
                work.push(Box::new(BackupJob { backups, exceptions: Arc::clone(&exceptions), period }));
            }
            work.push(Box::new(RolesJob(Arc::clone(&keeper))));
            work.push(Box::new(HeartbeatJob(Arc::clone(&keeper))));
            work.push(Box::new(SyncJob(keeper)));
            if let Some(job) = WatchdogJob::of(Arc::clone(&store)) {
                work.push(Box::new(job));
            }
            work.push(Box::new(CertificateJob(move || certificates.tick(SystemClock.now_seconds()))));
            work.push(Box::new(AlertJob::new(Arc::clone(&context.site), Arc::clone(&store), Arc::clone(&exceptions), Arc::clone(&clock))));
            work.push(Box::new(WatchJob { data: data.to_owned(), store, origin, exceptions, marked: 0, is_first: true }));
        }
        let jobs = Jobs::start(work, &clock).map_err(|error| StartError::Listen(format!("a thread cannot be started: {error}")))?;
        let patience = Duration::from_secs(settings.limits.shutdown_seconds);
        let http = server::start(context.clone(), listeners, Some(tls_config)).map_err(|error| StartError::Listen(error.to_string()))?;
        if context.keeper.pairing().is_some() {
            context.joining.forget();
        }
        if extent == Extent::Server && context.joining.is_begun() {
            go_on_joining(&context).map_err(|failure| StartError::Listen(failure.detail().to_owned()))?;
        }
        Ok(Self { http, jobs, context, https: https_addresses, plain: http_addresses, metrics: metrics_addresses, admin_socket, patience, _lock: lock })
    }

    /// What its handlers reach.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Where it answers HTTPS.
    pub fn https_addresses(&self) -> &[SocketAddr] {
        &self.https
    }

    /// Where it answers plain HTTP.
    pub fn http_addresses(&self) -> &[SocketAddr] {
        &self.plain
    }

    /// Where it answers Prometheus without asking who it is.
    pub fn metrics_addresses(&self) -> &[SocketAddr] {
        &self.metrics
    }

    /// The socket on which it answers its administrator.
    pub fn admin_socket(&self) -> &Path {
        &self.admin_socket
    }

    /// Finishes what is in flight, writes everything and lets go of the data directory.
    pub fn stop(self) {
        let Self { http, jobs, context, patience, .. } = self;
        if let Some(sandbox) = &context.sandbox {
            sandbox.close();
        }
        context.joining.give_up();
        context.backups.give_up();
        context.keeper.stop();
        http.stop(patience);
        jobs.stop();
        context.store.close();
    }

    /// The same without waiting for anybody: for commands, which have had their answer.
    pub fn stop_at_once(self) {
        // The lock goes last: whoever waits for it may make a socket at the same place.
        let Self { http, jobs, context, admin_socket, _lock, .. } = self;
        context.joining.give_up();
        http.stop_at_once();
        jobs.stop();
        context.store.close();
        // One that stays is in nobody's way.
        let _ = fs::remove_file(admin_socket);
    }
}

fn urls_of(https: &[SocketAddr], http: &[SocketAddr]) -> Vec<String> {
    https.iter().map(|address| format!("https://{address}")).chain(http.iter().map(|address| format!("http://{address}"))).collect()
}

fn backups_of(settings: &Settings, clock: &Arc<dyn Clock>) -> Arc<Backups> {
    let set = &settings.backup;
    let policy = Policy { every_minutes: set.every_minutes, latest: set.keep_latest, hourly: set.keep_hours, daily: set.keep_days, others: set.keep_others };
    Arc::new(Backups::of(&settings.data, settings.backup_directory(), policy, Arc::clone(clock)))
}

/// Puts a backup in the place of the database of a server that does not run.
///
/// # Errors
/// One does run, or the backup cannot be used; nothing was changed.
pub fn restore(settings: &Settings, backup: &Path, passphrase: Option<&str>) -> Result<(), StartError> {
    prepare_directory(&settings.data)?;
    let _lock = take_lock(&settings.data)?;
    let broken = |error: store::Error| StartError::Store { path: backup.to_owned(), error };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    restore::stage(&settings.data, backup, passphrase, CONSOLE, |_, _, _| true).map_err(broken)?;
    restore::take_staged(&settings.data, &backups_of(settings, &clock)).map_err(broken)?;
    Ok(())
}

fn settings_addresses(found: Result<Vec<SocketAddr>, crate::settings::SettingsError>) -> Result<Vec<SocketAddr>, StartError> {
    found.map_err(|error| StartError::Listen(error.to_string()))
}

fn prepare_directory(data: &Path) -> Result<(), StartError> {
    let make = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    for path in [data.to_owned(), data.join("tls"), data.join("vendors")] {
        make(&path).map_err(|error| StartError::Data(format!("cannot make the data directory {}: {error}", path.display())))?;
    }
    Ok(())
}

/// Only one process may have a data directory. The lock goes with the process, however it
/// ends.
fn take_lock(data: &Path) -> Result<File, StartError> {
    let path = data.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| StartError::Data(format!("cannot write {}: {error}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse(data.to_owned())),
        Err(TryLockError::Error(error)) => Err(StartError::Data(format!("cannot lock {}: {error}", path.display()))),
    }
}

/// Reads and makes what is sealed in the database.
struct Vault<'a> {
    connection: &'a Connection,
    secret: &'a SecretKey,
}

impl Vault<'_> {
    fn find<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>, StartError> {
        let sealed = local::find(self.connection, name).map_err(|error| StartError::Data(error.to_string()))?;
        let Some(sealed) = sealed.filter(|sealed| !sealed.is_empty()) else { return Ok(None) };
        let json = self.secret.open(name, &sealed).ok_or_else(|| {
            StartError::Data(format!("the {name} in the database was sealed under another secret.key: bring back the secret.key that belongs to this database"))
        })?;
        serde_json::from_slice(&json).map(Some).map_err(|error| StartError::Data(format!("the {name} in the database cannot be read: {error}")))
    }

    fn put(&self, name: &str, value: &impl Serialize) -> Result<(), StartError> {
        let json = serde_json::to_vec(value).map_err(|error| StartError::Data(error.to_string()))?;
        local::put(self.connection, name, &self.secret.seal(name, &json)).map_err(|error| StartError::Data(error.to_string()))
    }

    fn load_identity(&self, hardware: &Hardware) -> Result<ServerIdentity, StartError> {
        let hardware = hardware.fingerprint();
        let (uuid, key, sealing) = match self.find(IDENTITY_ROW)? {
            Some(StoredIdentity { uuid, key_pkcs8, sealing }) => {
                let key = SigningKey::from_pkcs8_der(&key_pkcs8).map_err(|error| StartError::Data(error.to_string()))?;
                (uuid, key, sealing.and_then(|bytes| SealingKey::from_bytes(&bytes)))
            }
            None => (random_uuid(), SigningKey::generate(), None),
        };
        let is_whole = sealing.is_some();
        let identity = ServerIdentity { uuid: ServerUuid(uuid), key, sealing: sealing.unwrap_or_else(SealingKey::generate), hardware };
        if !is_whole {
            self.put(IDENTITY_ROW, &StoredIdentity { uuid, key_pkcs8: identity.key.to_pkcs8_der(), sealing: Some(identity.sealing.to_bytes()) })?;
        }
        Ok(identity)
    }

    fn load_authority(&self, server: ServerUuid, now: i64) -> Result<SiteAuthority, StartError> {
        if let Some(authority) = self.find(AUTHORITY_ROW)? {
            return Ok(authority);
        }
        let name: String = server.to_string().chars().take(8).collect();
        let authority = SiteAuthority::create(&name, now)?;
        self.put(AUTHORITY_ROW, &authority)?;
        Ok(authority)
    }
}

/// Notices a change of hardware, and a return to the old one.
fn load_hardware_binding(connection: &Connection, identity: &ServerIdentity, now: i64) -> Result<HardwareBinding, StartError> {
    let failed = |error: String| StartError::Data(format!("the record of this machine's hardware: {error}"));
    let known: Option<HardwareBinding> = match local::find(connection, HARDWARE_ROW).map_err(|error| failed(error.to_string()))? {
        Some(json) => serde_json::from_slice(&json).map_err(|error| failed(error.to_string()))?,
        None => None,
    };
    let binding = match known.clone() {
        None => HardwareBinding { bound_to: identity.hardware.clone(), changed_since: None },
        Some(binding) if binding.bound_to.matches(&identity.hardware) => HardwareBinding { changed_since: None, ..binding },
        Some(binding) => HardwareBinding { changed_since: binding.changed_since.or(Some(now)), ..binding },
    };
    if let Some(since) = binding.changed_since {
        tracing::warn!(since = crate::clock::rfc3339(since), "this server runs on other hardware than it was licensed for");
    }
    if known.is_none_or(|known| known.changed_since != binding.changed_since) {
        let json = serde_json::to_vec(&binding).map_err(|error| failed(error.to_string()))?;
        local::put(connection, HARDWARE_ROW, &json).map_err(|error| failed(error.to_string()))?;
    }
    Ok(binding)
}

/// Nobody is logged in after a start; when tokens were last used is remembered.
fn load_sessions(connection: &Connection) -> Result<Sessions, StartError> {
    let sessions = Sessions::default();
    let kept = local::find(connection, TOKEN_USES_ROW).map_err(|error| StartError::Data(error.to_string()))?;
    sessions.learn_token_uses(kept.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default());
    Ok(sessions)
}

/// URLs for license keys when the admin set none: a name stays a name, and the host's own
/// name stands for "every address".
fn derive_urls(settings: &Settings, bound: &[SocketAddr]) -> Vec<String> {
    let scheme = if settings.listen.is_empty() { "http" } else { "https" };
    let url = |(host, port): (&str, u16)| {
        let host = match host.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => tls::host_name().unwrap_or_else(|| "localhost".to_owned()),
            Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
            _ => host.to_owned(),
        };
        // Port 0 asked for a free one.
        let port = if port == 0 { bound.first().map_or(0, SocketAddr::port) } else { port };
        format!("{scheme}://{host}:{port}")
    };
    settings.public_endpoints().into_iter().map(url).collect()
}

/// The URLs for license keys: as set, else as the server that last ran here was reached.
fn find_urls(settings: &Settings, extent: Extent, bound: &[SocketAddr], connection: &Connection) -> Result<Vec<String>, StartError> {
    if !settings.server_urls.is_empty() {
        return Ok(settings.server_urls.clone());
    }
    let failed = |error: String| StartError::Data(format!("the record of this server's URLs: {error}"));
    let derived = derive_urls(settings, bound);
    if extent == Extent::Server {
        let json = serde_json::to_vec(&derived).map_err(|error| failed(error.to_string()))?;
        local::put(connection, URLS_ROW, &json).map_err(|error| failed(error.to_string()))?;
        return Ok(derived);
    }
    match local::find(connection, URLS_ROW).map_err(|error| failed(error.to_string()))? {
        Some(json) => serde_json::from_slice(&json).map_err(|error| failed(error.to_string())),
        None => Ok(derived),
    }
}
