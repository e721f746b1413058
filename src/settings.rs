//! What the site's administrator decides: flag, then environment `TOLLKEEPER_*`, then
//! `tollkeeper.toml`, then default (protocol §1). A misspelt key in the file is refused,
//! because a setting that silently does nothing is found out on the worst day.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use keys::{ENV_PREFIX, KEYS};

mod keys;
mod sections;

pub use sections::{Backup, Limits, Log, LogFormat, LogLevel, Metrics, Standby, Tls};

/// The largest request body the server ever takes, in bytes (protocol §3).
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// Where a settings file is looked for when none is named, in this order.
const DEFAULT_FILES: [&str; 2] = ["tollkeeper.toml", "/etc/tollkeeper/tollkeeper.toml"];

/// Where an installation puts the built packages of the client libraries.
const SDK_PACKAGES: &str = "/usr/local/share/tollkeeper/sdk";

/// Names the settings file; the only variable of ours that is not a setting.
const ENV_CONFIG: &str = "TOLLKEEPER_CONFIG";

/// What the command line may say about settings.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`: the settings file.
    pub config: Option<PathBuf>,
    /// `--data`: the data directory.
    pub data: Option<PathBuf>,
    /// `--listen`, repeatable: HTTPS on "host:port". Empty: not given.
    pub listen: Vec<String>,
    /// `--http`, repeatable: plain HTTP on "host:port". Empty: not given.
    pub http: Vec<String>,
}

/// Everything that can be set before the server starts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The data directory (protocol §1).
    #[serde(default = "PathBuf::new")]
    pub data: PathBuf,
    /// HTTPS listeners as "host:port"; port 0 takes a free one.
    pub listen: Vec<String>,
    /// Plain HTTP listeners as "host:port". Empty unless asked for.
    pub http: Vec<String>,
    /// Vendor public key files, besides those in `DATA/vendors/`.
    pub trusted_vendors: Vec<PathBuf>,
    /// The URLs written into license keys, without a trailing `/`. Empty: derived from the listeners.
    pub server_urls: Vec<String>,
    /// Where the built packages of the client libraries are, a folder for each language, to be handed out at `/sdk/`.
    pub sdk_packages: PathBuf,
    /// `[tls]`
    pub tls: Tls,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[backup]`
    pub backup: Backup,
    /// `[standby]`
    pub standby: Standby,
    /// What the administrator should hear of at start, one sentence each.
    #[serde(skip)]
    pub warnings: Vec<String>,
    /// The settings file that was read, if any.
    #[serde(skip)]
    pub config_file: Option<PathBuf>,
}

/// Why the settings cannot be used. Every message says which value and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A settings file was named and is not there, or cannot be read.
    #[error("cannot read the settings file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds a key nobody knows.
    #[error("{}, line {line}: unknown key \"{key}\"{}; remove it or correct its name", path.display(),
        suggestion.as_ref().map(|known| format!(", did you mean \"{known}\"?")).unwrap_or_default())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key as written.
        key: String,
        /// The known key nearest to it, its table before a dot.
        suggestion: Option<String>,
    },
    /// The file is not TOML, or a value has the wrong type.
    #[error("{}, line {line}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A value is not allowed.
    #[error("{key} is {value:?}, but it must be {allowed}")]
    Value {
        /// The key, or the environment variable it came from.
        key: String,
        /// The value as given.
        value: String,
        /// What is allowed, as the end of a sentence "it must be …".
        allowed: String,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self { listen: vec!["0.0.0.0:48443".to_owned()], ..Self::for_data("data") }
    }
}

impl Settings {
    /// Defaults over the data directory `dir`, listening nowhere: for commands and tests.
    pub fn for_data(dir: impl Into<PathBuf>) -> Self {
        Self {
            data: dir.into(),
            listen: Vec::new(),
            http: Vec::new(),
            trusted_vendors: Vec::new(),
            server_urls: Vec::new(),
            sdk_packages: PathBuf::from(SDK_PACKAGES),
            tls: Tls::default(),
            limits: Limits::default(),
            log: Log::default(),
            metrics: Metrics::default(),
            backup: Backup::default(),
            standby: Standby::default(),
            warnings: Vec::new(),
            config_file: None,
        }
    }

    /// The settings of this process: `flags`, then the variables `env`, then the settings
    /// file, then defaults. The file is `--config`, else `TOLLKEEPER_CONFIG`, else
    /// `./tollkeeper.toml`, else `/etc/tollkeeper/tollkeeper.toml`; its relative paths start
    /// at its own folder.
    ///
    /// # Errors
    /// A named file that is missing, an unknown key in the file, a value that is not allowed.
    pub fn load(flags: &Flags, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, SettingsError> {
        Self::load_among(flags, env, &DEFAULT_FILES)
    }

    fn load_among(flags: &Flags, env: impl IntoIterator<Item = (String, String)>, default_files: &[&str]) -> Result<Self, SettingsError> {
        let (config, mut variables): (Vec<_>, Vec<_>) =
            env.into_iter().filter(|(name, _)| name.starts_with(ENV_PREFIX)).partition(|(name, _)| name == ENV_CONFIG);
        // The environment has no order; errors and warnings should.
        variables.sort();
        let named = config.into_iter().map(|(_, path)| PathBuf::from(path)).find(|path| !path.as_os_str().is_empty());
        let file = flags.config.clone().or(named).or_else(|| default_files.iter().map(PathBuf::from).find(|path| path.exists()));
        let mut settings = match file {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        for (name, value) in variables {
            settings.take_variable(&name, &value)?;
        }
        if let Some(data) = &flags.data {
            settings.data.clone_from(data);
        }
        if !flags.listen.is_empty() {
            settings.listen.clone_from(&flags.listen);
        }
        if !flags.http.is_empty() {
            settings.http.clone_from(&flags.http);
        }
        for url in &mut settings.server_urls {
            url.truncate(url.trim_end_matches('/').len());
        }
        settings.validate()?;
        if settings.listen.is_empty() && settings.http.is_empty() {
            return Err(refused("listen", "[]", "at least one \"host:port\" when http is empty too"));
        }
        Ok(settings)
    }

    fn read(path: PathBuf) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(&path).map_err(|source| SettingsError::Unreadable { path: path.clone(), source })?;
        let mut settings: Self = toml::from_str(&text).map_err(|error| keys::explain(&path, &text, &error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        if settings.data.as_os_str().is_empty() {
            settings.data = Self::default().data;
        } else {
            settings.data = folder.join(&settings.data);
        }
        for vendor in &mut settings.trusted_vendors {
            *vendor = folder.join(&*vendor);
        }
        settings.sdk_packages = folder.join(&settings.sdk_packages);
        for path in [&mut settings.backup.directory, &mut settings.tls.certificate, &mut settings.tls.key] {
            if !path.as_os_str().is_empty() {
                *path = folder.join(&*path);
            }
        }
        settings.config_file = Some(path);
        Ok(settings)
    }

    /// Takes one environment variable. An empty one empties a list and leaves any other
    /// setting alone, because service managers and compose files pass unset variables as empty.
    fn take_variable(&mut self, name: &str, value: &str) -> Result<(), SettingsError> {
        let value = value.trim();
        let list = || value.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
        match keys::find_by_variable(name) {
            Some("listen") => self.listen = list(),
            Some("http") => self.http = list(),
            Some("server_urls") => self.server_urls = list(),
            Some("tls.names") => self.tls.names = list(),
            Some("metrics.listen") => self.metrics.listen = list(),
            Some("trusted_vendors") => {
                self.trusted_vendors = value.split(':').filter(|part| !part.is_empty()).map(PathBuf::from).collect();
            }
            Some(_) if value.is_empty() => {}
            Some("data") => self.data = PathBuf::from(value),
            Some("tls.certificate") => self.tls.certificate = PathBuf::from(value),
            Some("tls.key") => self.tls.key = PathBuf::from(value),
            Some("sdk_packages") => self.sdk_packages = PathBuf::from(value),
            Some("limits.workers") => self.limits.workers = number(name, value)?,
            Some("limits.queue") => self.limits.queue = number(name, value)?,
            Some("limits.body_bytes") => self.limits.body_bytes = number(name, value)?,
            Some("limits.body_seconds") => self.limits.body_seconds = number(name, value)?,
            Some("limits.idle_seconds") => self.limits.idle_seconds = number(name, value)?,
            Some("limits.head_seconds") => self.limits.head_seconds = number(name, value)?,
            Some("limits.connections") => self.limits.connections = number(name, value)?,
            Some("limits.device_requests_per_minute") => {
                self.limits.device_requests_per_minute = number(name, value)?;
            }
            Some("limits.address_requests_per_minute") => {
                self.limits.address_requests_per_minute = number(name, value)?;
            }
            Some("limits.shutdown_seconds") => self.limits.shutdown_seconds = number(name, value)?,
            Some("log.level") => {
                self.log.level = LogLevel::find(value).ok_or_else(|| refused(name, value, LogLevel::NAMES))?;
            }
            Some("log.format") => self.log.format = LogFormat::find(value).ok_or_else(|| refused(name, value, "auto, text or json"))?,
            Some("backup.every_minutes") => self.backup.every_minutes = number(name, value)?,
            Some("backup.directory") => self.backup.directory = PathBuf::from(value),
            Some("backup.keep_latest") => self.backup.keep_latest = number(name, value)?,
            Some("backup.keep_hours") => self.backup.keep_hours = number(name, value)?,
            Some("backup.keep_days") => self.backup.keep_days = number(name, value)?,
            Some("backup.keep_others") => self.backup.keep_others = number(name, value)?,
            Some("standby.sync_seconds") => self.standby.sync_seconds = number(name, value)?,
            _ => {
                let known: Vec<String> = KEYS.iter().map(|key| keys::variable(key)).collect();
                let hint = keys::nearest(name, known.iter().map(String::as_str)).map(|known| format!("; did you mean {known}?")).unwrap_or_default();
                self.warnings.push(format!("the environment variable {name} is not a setting and is ignored{hint}"));
            }
        }
        Ok(())
    }

    /// Says which value is out of its range, and what the range is.
    ///
    /// # Errors
    /// [`SettingsError::Value`] for the first such value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if self.data.as_os_str().is_empty() {
            return Err(refused("data", "", "the path of a directory"));
        }
        for (key, entries) in [("listen", &self.listen), ("http", &self.http), ("metrics.listen", &self.metrics.listen)] {
            for entry in entries {
                split_host_port(entry).ok_or_else(|| refused(key, entry, "\"host:port\" with a port from 0 to 65535, an IPv6 address in brackets"))?;
            }
        }
        for url in &self.server_urls {
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            let host_is_there = |rest: &str| !rest.is_empty() && !rest.starts_with(['/', ':', '?', '#']);
            if !rest.is_some_and(host_is_there) || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
                return Err(refused("server_urls", url, "a URL that starts with https:// or http://"));
            }
        }
        for name in &self.tls.names {
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:*[]".contains(c)) {
                return Err(refused("tls.names", name, "a DNS name or an IP address"));
            }
        }
        if self.tls.certificate.as_os_str().is_empty() != self.tls.key.as_os_str().is_empty() {
            let (set, missing) = if self.tls.key.as_os_str().is_empty() { ("tls.key", "tls.certificate") } else { ("tls.certificate", "tls.key") };
            return Err(refused(set, "", &format!("the path of a file, because {missing} is set")));
        }
        let limits = &self.limits;
        for (key, value, least, most) in [
            ("limits.workers", limits.workers as u64, 1, 1024),
            ("limits.queue", limits.queue as u64, 1, 1_000_000),
            ("limits.body_bytes", limits.body_bytes as u64, 1024, MAX_BODY_BYTES as u64),
            ("limits.body_seconds", limits.body_seconds, 1, 3600),
            ("limits.head_seconds", limits.head_seconds, 1, 3600),
            ("limits.idle_seconds", limits.idle_seconds, 1, 3600),
            ("limits.connections", limits.connections as u64, 1, 1_000_000),
            ("limits.device_requests_per_minute", limits.device_requests_per_minute.into(), 0, 1_000_000),
            ("limits.address_requests_per_minute", limits.address_requests_per_minute.into(), 0, 100_000_000),
            ("limits.shutdown_seconds", limits.shutdown_seconds, 0, 3600),
            ("backup.every_minutes", self.backup.every_minutes.into(), 0, 1_440),
            ("backup.keep_latest", self.backup.keep_latest as u64, 1, 1_000),
            ("backup.keep_hours", self.backup.keep_hours as u64, 0, 1_000),
            ("backup.keep_days", self.backup.keep_days as u64, 0, 4_000),
            ("backup.keep_others", self.backup.keep_others as u64, 1, 1_000),
            ("standby.sync_seconds", self.standby.sync_seconds.into(), 1, 3_600),
        ] {
            if !(least..=most).contains(&value) {
                return Err(SettingsError::Value { key: key.to_owned(), value: value.to_string(), allowed: format!("a whole number from {least} to {most}") });
            }
        }
        Ok(())
    }

    /// Where backups go.
    pub fn backup_directory(&self) -> PathBuf {
        if self.backup.directory.as_os_str().is_empty() { self.data.join("backups") } else { self.backup.directory.clone() }
    }

    /// The addresses to serve HTTPS on; host names are looked up.
    ///
    /// # Errors
    /// [`SettingsError::Value`] when an entry is no "host:port" or its host is unknown.
    pub fn listen_addresses(&self) -> Result<Vec<SocketAddr>, SettingsError> {
        addresses("listen", &self.listen)
    }

    /// The listeners as (host, port), HTTPS first; plain HTTP only when there is no HTTPS.
    /// Hosts are as written: a name, or an IP address without brackets.
    pub fn public_endpoints(&self) -> Vec<(&str, u16)> {
        let entries = if self.listen.is_empty() { &self.http } else { &self.listen };
        entries.iter().filter_map(|entry| split_host_port(entry)).collect()
    }

    /// The addresses to serve plain HTTP on; host names are looked up.
    ///
    /// # Errors
    /// [`SettingsError::Value`] when an entry is no "host:port" or its host is unknown.
    pub fn http_addresses(&self) -> Result<Vec<SocketAddr>, SettingsError> {
        addresses("http", &self.http)
    }

    /// The addresses to answer Prometheus on; host names are looked up.
    ///
    /// # Errors
    /// [`SettingsError::Value`] when an entry is no "host:port" or its host is unknown.
    pub fn metrics_addresses(&self) -> Result<Vec<SocketAddr>, SettingsError> {
        addresses("metrics.listen", &self.metrics.listen)
    }
}

fn addresses(key: &str, entries: &[String]) -> Result<Vec<SocketAddr>, SettingsError> {
    let mut found = Vec::new();
    for entry in entries {
        let (host, port) = split_host_port(entry).ok_or_else(|| refused(key, entry, "\"host:port\""))?;
        let looked_up = (host, port).to_socket_addrs().map_err(|error| refused(key, entry, &format!("an address of this machine ({error})")))?;
        // A name may be listed twice; whoever asks for any port (0) twice wants two.
        let mut of_entry: Vec<SocketAddr> = looked_up.collect();
        of_entry.dedup();
        of_entry.retain(|address| address.port() == 0 || !found.contains(address));
        found.extend(of_entry);
    }
    Ok(found)
}

fn split_host_port(entry: &str) -> Option<(&str, u16)> {
    let (host, port) = entry.rsplit_once(':')?;
    // `u16::from_str` would take "+80".
    let port = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok())??;
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()).then_some((inner, port));
    }
    let is_name = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
    is_name.then_some((host, port))
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, SettingsError> {
    value.parse().map_err(|_| refused(name, value, "a whole number that is not negative"))
}

fn refused(key: &str, value: &str, allowed: &str) -> SettingsError {
    SettingsError::Value { key: key.to_owned(), value: value.to_owned(), allowed: allowed.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str, env: &[(&str, &str)], flags: &Flags) -> Result<Settings, SettingsError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("tollkeeper.toml");
        std::fs::write(&file, toml).expect("the file is written");
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::load_among(flags, env, &[file.to_str().expect("the path is text")])
    }

    fn load_file(toml: &str) -> Result<Settings, SettingsError> {
        load(toml, &[], &Flags::default())
    }

    fn message(result: Result<Settings, SettingsError>) -> String {
        result.expect_err("refused").to_string()
    }

    #[test]
    fn nothing_said_means_the_documented_defaults() {
        let settings = Settings::load_among(&Flags::default(), [], &[]).expect("defaults load");
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.data, Path::new("data"));
        assert_eq!(settings.listen, ["0.0.0.0:48443"]);
        assert!(settings.http.is_empty());
        assert_eq!(settings.limits.queue, 4096);
        assert_eq!(settings.limits.body_bytes, 1_048_576);
        assert_eq!(settings.limits.device_requests_per_minute, 600);
        assert_eq!(settings.log.level, LogLevel::Info);
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
        let toml = "listen = [\"127.0.0.1:1\"]\nhttp = [\"127.0.0.1:4\"]\n[limits]\nqueue = 7\nconnections = 9\n";
        let env = [("TOLLKEEPER_LISTEN", "127.0.0.1:2, [::1]:2"), ("TOLLKEEPER_LIMITS_QUEUE", "8"), ("PATH", "/bin")];
        let settings = load(toml, &env, &Flags::default()).expect("loads");
        assert_eq!(settings.listen, ["127.0.0.1:2", "[::1]:2"]);
        assert_eq!((settings.limits.queue, settings.limits.connections), (8, 9));
        let flags = Flags { listen: vec!["127.0.0.1:3".to_owned()], data: Some("elsewhere".into()), ..Flags::default() };
        let settings = load(toml, &env, &flags).expect("loads");
        assert_eq!(settings.listen, ["127.0.0.1:3"]);
        assert_eq!(settings.http, ["127.0.0.1:4"]);
        assert_eq!(settings.data, Path::new("elsewhere"));
        assert!(settings.warnings.is_empty());
    }

    #[test]
    fn every_key_can_be_set_in_the_file_and_in_the_environment() {
        let values = |key: &str| match key {
            "data" | "trusted_vendors" => "/srv/a",
            "listen" | "http" => "127.0.0.1:5",
            "server_urls" => "https://main:5",
            "tls.names" => "main.example",
            "limits.body_bytes" => "2048",
            "backup.directory" | "tls.certificate" | "tls.key" => "/backups",
            "sdk_packages" => "/packages",
            "log.level" => "debug",
            "log.format" => "json",
            "metrics.listen" => "127.0.0.1:6",
            _ => "11",
        };
        let env: Vec<_> = KEYS.iter().map(|key| (keys::variable(key), values(key))).collect();
        let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let by_env = load("", &env, &Flags::default()).expect("loads");
        assert!(by_env.warnings.is_empty(), "{:?}", by_env.warnings);

        let mut toml = String::new();
        for key in KEYS {
            let value = match key {
                "listen" | "http" | "server_urls" | "trusted_vendors" | "tls.names" | "metrics.listen" => format!("[{:?}]", values(key)),
                "data" | "log.level" | "log.format" | "backup.directory" | "tls.certificate" | "tls.key" | "sdk_packages" => {
                    format!("{:?}", values(key))
                }
                _ => values(key).to_owned(),
            };
            toml += &format!("{key} = {value}\n");
        }
        let by_file = load_file(&toml).expect("loads");
        assert_eq!(Settings { config_file: None, ..by_file }, Settings { config_file: None, ..by_env });
    }

    #[test]
    fn a_misspelt_key_is_refused_with_file_line_and_the_nearest_known_key() {
        let error = message(load_file("data = \"d\"\n\nlisten_ = []\n"));
        assert!(error.contains("tollkeeper.toml, line 3: unknown key \"listen_\", did you mean \"listen\"?"), "{error}");
        let error = message(load_file("[limits]\nqueue = 1\nworker = 4\n"));
        assert!(error.contains("line 3: unknown key \"worker\", did you mean \"limits.workers\"?"), "{error}");
        let error = message(load_file("workers = 4\n"));
        assert!(error.contains("did you mean \"limits.workers\"?"), "{error}");
        let error = message(load_file("colour = 4\n"));
        assert!(error.contains("unknown key \"colour\"; remove"), "{error}");
        for internal in ["warnings = []", "config_file = \"x\""] {
            assert!(message(load_file(internal)).contains("unknown key"));
        }
    }

    #[test]
    fn a_value_of_the_wrong_type_names_the_line_and_what_stands_there() {
        for (toml, told) in [
            ("data = \"d\"\nlisten = \"127.0.0.1:1\"\n", "line 2: "),
            ("[limits]\nqueue = -1\n", "in `queue = -1`"),
            ("[log]\nlevel = \"loud\"\n", "line 2: unknown variant `loud`"),
            ("data = \n", "line 1: "),
            ("= = =", "line 1: "),
        ] {
            let error = message(load_file(toml));
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_value_out_of_range_says_key_value_and_range() {
        let error = message(load_file("[limits]\nbody_bytes = 1048577\n"));
        assert_eq!(error, "limits.body_bytes is \"1048577\", but it must be a whole number from 1024 to 1048576");
        for bad in ["localhost", ":1", "::1:80", "a b:1", "[127.0.0.1]:1", "h:70000", "h:+1", "h:", ""] {
            assert!(message(load_file(&format!("listen = [{bad:?}]"))).starts_with("listen is"), "{bad}");
        }
        for good in ["localhost:1", "[::1]:0", "scan_1.example.com:65535"] {
            load_file(&format!("listen = [{good:?}]")).expect(good);
        }
        for bad in ["main:48443", "ftp://main", "https://", "https:///x", "https://a b"] {
            assert!(message(load_file(&format!("server_urls = [{bad:?}]"))).starts_with("server_urls is"), "{bad}");
        }
        let error = message(load("", &[("TOLLKEEPER_LIMITS_QUEUE", "many")], &Flags::default()));
        assert!(error.starts_with("TOLLKEEPER_LIMITS_QUEUE is \"many\""), "{error}");
        assert!(message(load_file("listen = []")).contains("at least one"));
    }

    #[test]
    fn relative_paths_in_the_file_start_at_its_folder_and_the_default_does_not() {
        let settings = load_file("data = \"d\"\ntrusted_vendors = [\"v.pub\", \"/abs.pub\"]").expect("loads");
        let folder = settings.config_file.as_deref().and_then(Path::parent).expect("a folder").to_owned();
        assert_eq!(settings.data, folder.join("d"));
        assert_eq!(settings.trusted_vendors, [folder.join("v.pub"), "/abs.pub".into()]);
        assert_eq!(load_file("http = []").expect("loads").data, Path::new("data"));
    }

    #[test]
    fn a_named_file_that_is_missing_is_an_error() {
        let flags = Flags { config: Some("/nowhere/tollkeeper.toml".into()), ..Flags::default() };
        assert!(message(load("", &[], &flags)).contains("/nowhere/tollkeeper.toml"));
        let env = [("TOLLKEEPER_CONFIG", "/nowhere/else.toml")];
        assert!(message(load("", &env, &Flags::default())).contains("/nowhere/else.toml"));
    }

    #[test]
    fn an_unknown_variable_is_a_warning_and_an_empty_one_is_not_given() {
        let env = [("TOLLKEEPER_LISTENS", "x"), ("TOLLKEEPER_DATA", ""), ("TOLLKEEPER_CONFIG", ""), ("TOLLKEEPER_HTTP", "")];
        let settings = load("http = [\"127.0.0.1:1\"]", &env, &Flags::default()).expect("loads");
        assert_eq!(settings.data, Path::new("data"));
        assert!(settings.http.is_empty());
        assert_eq!(settings.warnings.len(), 1);
        assert!(settings.warnings[0].contains("TOLLKEEPER_LISTENS"), "{:?}", settings.warnings);
        assert!(settings.warnings[0].contains("did you mean TOLLKEEPER_LISTEN?"), "{:?}", settings.warnings);
    }

    #[test]
    fn listeners_resolve_to_socket_addresses() {
        let settings = Settings { listen: vec!["127.0.0.1:0".into(), "[::1]:7".into()], ..Settings::for_data("d") };
        let expected: Vec<SocketAddr> = vec!["127.0.0.1:0".parse().expect("v4"), "[::1]:7".parse().expect("v6")];
        assert_eq!(settings.listen_addresses().expect("they resolve"), expected);
        assert!(settings.http_addresses().expect("none").is_empty());
    }
}
