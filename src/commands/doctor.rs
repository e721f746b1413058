//! What can be said of an installation by looking at its files and its machine, whether or not a
//! server runs; and the bundle that an administrator sends to whoever helps.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::process::{Resource, geteuid, getrlimit};
use serde::{Deserialize, Serialize};

use super::backup::free_bytes;

/// Less room than this on the disk is trouble soon, in bytes; twice the size of the database counts
/// as well, for a backup.
const ROOM_WANTED: u64 = 2 << 30;
/// Less than this is trouble now.
const ROOM_NEEDED: u64 = 512 << 20;
/// What is for the server alone, with the rights that it may have at most.
const PRIVATE: &[(&str, u32)] = &[
    ("", 0o700),
    ("secret.key", 0o600),
    ("tollkeeper.db", 0o600),
    ("tollkeeper.db-wal", 0o600),
    ("tollkeeper.db-shm", 0o600),
    ("admin.sock", 0o600),
    ("backups", 0o755),
    ("tls", 0o755),
    ("vendors", 0o755),
];

/// What findings are about, in the order in which people read them.
const AREAS: &[&str] =
    &["server", "settings", "ports", "limits", "data", "disk", "database", "backups", "clock", "certificate", "licenses", "hardware", "partner", "alerts"];

/// Puts findings into the order of their areas.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| AREAS.iter().position(|area| *area == finding.area));
}

/// How much a finding presses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// In order.
    Ok,
    /// Good to know.
    Note,
    /// Should be mended before it becomes an error.
    Warning,
    /// To be mended now.
    Error,
}

impl Level {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    /// What it is about: `server`, `settings`, `ports`, `limits`, `data`, `disk`, `database`,
    /// `backups`, `clock`, `certificate`, `licenses`, `hardware`, `partner` or `alerts`.
    pub area: String,
    /// How much it presses.
    pub level: Level,
    /// What was found.
    pub text: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    /// In order, or good to know.
    pub fn told(area: &str, level: Level, text: impl Into<String>) -> Self {
        Self { area: area.to_owned(), level, text: text.into(), advice: None }
    }

    /// Something to mend, and how.
    pub fn to_mend(area: &str, level: Level, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..Self::told(area, level, text) }
    }
}

/// The data directory: who may read it, whose it is, whether the disk has room.
pub fn look_at_installation(data: &Path) -> Vec<Finding> {
    let shown = std::path::absolute(data).unwrap_or_else(|_| data.to_owned()).display().to_string();
    let owner = match fs::metadata(data) {
        Ok(metadata) => metadata.uid(),
        Err(error) => {
            let advice = "name the directory with --data, give its owner's rights, or start a server there";
            return vec![Finding::to_mend("data", Level::Error, format!("{shown} cannot be looked at: {error}"), advice)];
        }
    };
    let mut findings = Vec::new();
    for (name, most) in PRIVATE {
        let path = if name.is_empty() { data.to_owned() } else { data.join(name) };
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & !most != 0 {
            let text = format!("{} has the rights {mode:03o}: others may get at it", path.display());
            findings.push(Finding::to_mend("data", Level::Error, text, format!("chmod {most:03o} {}", path.display())));
        }
        if metadata.uid() != owner {
            let text = format!("{} belongs to user {}, the directory to user {owner}", path.display(), metadata.uid());
            findings.push(Finding::to_mend("data", Level::Error, text, format!("chown --reference={shown} {}", path.display())));
        }
    }
    if data.join("tollkeeper.db").exists() && !data.join("secret.key").exists() {
        let text = "secret.key is missing: the keys and passwords in the database cannot be opened";
        findings.push(Finding::to_mend("data", Level::Error, text, "bring it back from where you keep a copy"));
    }
    let user = geteuid().as_raw();
    if user != owner {
        let text = format!("{shown} belongs to user {owner}, and this is user {user}");
        findings.push(Finding::to_mend("data", Level::Warning, text, format!("run commands and the server as its owner: sudo -u '#{owner}' tollkeeper …")));
    }
    if findings.is_empty() {
        findings.push(Finding::told("data", Level::Ok, format!("{shown}, for its owner alone")));
    }
    findings.push(look_at_disk(data));
    findings
}

fn look_at_disk(data: &Path) -> Finding {
    let size = |name: &str| fs::metadata(data.join(name)).map_or(0, |metadata| metadata.len());
    let wanted = ROOM_WANTED.max(2 * (size("tollkeeper.db") + size("tollkeeper.db-wal")));
    let is_read_only = rustix::fs::statvfs(data).is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    match free_bytes(data) {
        _ if is_read_only => Finding::to_mend("disk", Level::Error, "it can only be read", "mount it for writing; look at the kernel's log for why it is not"),
        Err(error) => Finding::to_mend("disk", Level::Error, format!("it cannot be looked at: {error}"), "look at the kernel's log"),
        Ok(free) => {
            let text = format!("{} MB free", free >> 20);
            let advice = format!("make room: {} MB are wanted, for backups too", wanted >> 20);
            match free {
                free if free < ROOM_NEEDED => Finding::to_mend("disk", Level::Error, text, advice),
                free if free < wanted => Finding::to_mend("disk", Level::Warning, text, advice),
                _ => Finding::told("disk", Level::Ok, text),
            }
        }
    }
}

/// How many files may be open; `connections` take two each.
pub fn look_at_limits(connections: usize) -> Finding {
    let wanted = connections as u64 * 2 + 256;
    let limit = getrlimit(Resource::Nofile);
    // The server raises its limit as far as it may.
    match limit.maximum {
        Some(most) if most < wanted => {
            let text = format!("the system allows {most} open files; limits.connections = {connections} needs {wanted}");
            Finding::to_mend("limits", Level::Warning, text, "raise LimitNOFILE of the service, or lower limits.connections")
        }
        most => {
            let told = most.map_or_else(|| "as many open files as one likes".to_owned(), |most| format!("{most} open files, {wanted} are needed at most"));
            Finding::told("limits", Level::Ok, told)
        }
    }
}

/// Whether a server that is to listen there could, while none runs.
pub fn look_at_port(address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::told("ports", Level::Ok, format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let who = find_listener(address.port()).unwrap_or_else(|| "another program".to_owned());
            let advice = "stop that program, or choose another address with --listen or `listen` in tollkeeper.toml";
            Finding::to_mend("ports", Level::Error, format!("{address} is taken by {who}"), advice)
        }
        Err(error) => {
            let advice = "choose an address of this machine; ports below 1024 need CAP_NET_BIND_SERVICE";
            Finding::to_mend("ports", Level::Error, format!("{address} cannot be listened on: {error}"), advice)
        }
    }
}

/// The program that listens on a port, as far as this user may see it.
fn find_listener(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    // Local address, remote address, state (0A: listening), …, inode in the tenth place.
    let inode = tables.iter().flat_map(|table| table.lines().skip(1)).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(1)?.ends_with(&format!(":{port:04X}")) && *fields.get(3)? == "0A";
        is_it.then(|| fields.get(9).map(|inode| format!("socket:[{inode}]"))).flatten()
    })?;
    let processes = fs::read_dir("/proc").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let has_it = |process: &std::path::PathBuf| {
        let files = fs::read_dir(process.join("fd")).into_iter().flatten().filter_map(Result::ok);
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target.as_os_str() == inode.as_str())
    };
    // Not `self`, which is one of the others.
    let is_number = |path: &std::path::PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
    let process = processes.filter(is_number).find(has_it)?;
    let name = fs::read_to_string(process.join("comm")).ok()?;
    Some(format!("{} (process {})", name.trim(), process.file_name()?.to_string_lossy()))
}

/// Texts under their names, as a `.tar.gz`. `now` in seconds since 1970.
///
/// # Errors
/// There is no memory for it.
pub fn pack(folder: &str, files: &[(String, String)], now: i64) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o600);
        header.set_mtime(now.unsigned_abs());
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, format!("{folder}/{name}"), text.as_bytes())?;
    }
    let mut packed = tar.into_inner()?;
    packed.flush()?;
    packed.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_that_are_too_wide_and_a_key_that_is_gone_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
        set(data, 0o700);
        fs::write(data.join("tollkeeper.db"), "").expect("written");
        set(&data.join("tollkeeper.db"), 0o600);
        let found = look_at_installation(data);
        assert!(found.iter().any(|finding| finding.text.starts_with("secret.key is missing")), "{found:?}");
        fs::write(data.join("secret.key"), "").expect("written");
        set(&data.join("secret.key"), 0o644);
        let found = look_at_installation(data);
        let advice = format!("chmod 600 {}", data.join("secret.key").display());
        assert_eq!((found[0].level, found[0].advice.as_deref()), (Level::Error, Some(advice.as_str())));
        set(&data.join("secret.key"), 0o600);
        assert_eq!(look_at_installation(data)[0].level, Level::Ok);
        assert_eq!(look_at_installation(&data.join("nowhere"))[0].level, Level::Error);
    }

    #[test]
    fn whoever_has_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let finding = look_at_port(address);
        assert!(finding.level == Level::Error && finding.text.contains(&format!("(process {})", std::process::id())), "{finding:?}");
        drop(listener);
        assert_eq!(look_at_port(address).level, Level::Ok);
    }
}
