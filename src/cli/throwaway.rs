//! A site that nobody will miss: a data directory with a vendor of its own, a license of
//! that vendor, handshake codes. `demo` and `sandbox` stand on one.

use std::path::{Path, PathBuf};

use super::connect::Admin;
use super::{Failure, vendor};
use crate::client::transport::Method;
use crate::commands::import_license::Imported;
use crate::documents::files;
use crate::documents::license_file::MAX_BYTES;
use crate::http::admin_api::handshakes::{HandshakeBody, HandshakeRow};
use crate::http::admin_api::licenses::ImportRequest;

/// The data directory. It is removed at the end unless it was given.
pub struct Home {
    /// The data directory.
    pub path: PathBuf,
    /// The vendor's directory in it. It also marks the data as throwaway.
    pub vendor: PathBuf,
    kind: &'static str,
    is_removed: bool,
}

impl Home {
    /// Makes the directory and its vendor, or takes what an earlier run of the same `kind`
    /// left. A directory that holds anything else is refused.
    pub fn prepare(kind: &'static str, given: Option<PathBuf>) -> Result<Self, Failure> {
        let is_removed = given.is_none();
        let path = given.unwrap_or_else(|| std::env::temp_dir().join(format!("tollkeeper-{kind}-{}", crate::documents::random_uuid().simple())));
        let vendor = path.join(format!("{kind}-vendor"));
        if path.join("tollkeeper.db").exists() && !vendor.exists() {
            return Err(Failure(format!("{} holds a real installation: give the {kind} another --data, or none", path.display())));
        }
        if !vendor.exists() && std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Failure(format!("{} is not empty: give the {kind} a directory of its own with --data, or none", path.display())));
        }
        if !vendor.join("vendor.pub").exists() {
            use std::os::unix::fs::DirBuilderExt as _;
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(|error| Failure(format!("{}: cannot make the directory: {error}", path.display())))?;
            vendor::keygen(&vendor)?;
        }
        Ok(Self { path, vendor, kind, is_removed })
    }

    /// The vendor's private key.
    pub fn vendor_key(&self) -> PathBuf {
        self.vendor.join("vendor.key")
    }

    /// The vendor's public key.
    pub fn vendor_public_key(&self) -> PathBuf {
        self.vendor.join("vendor.pub")
    }

    /// Has the vendor issue a license of these items (TOML) at `now`, and imports it. What
    /// an earlier run imported stays, unless the items are others today.
    pub fn license(&self, items: &str, admin: &Admin, now: i64) -> Result<Imported, Failure> {
        let told = |error: crate::documents::Error| Failure(error.to_string());
        let file = |name: &str| self.vendor.join(name);
        let (list, request, license) = (file("items.toml"), file("site.req"), file(&format!("{}.lic", self.kind)));
        if !license.exists() || !std::fs::read_to_string(&list).is_ok_and(|known| known == items) {
            // What was issued for other items must not be taken for what these become.
            let _ = std::fs::remove_file(&license);
            files::replace_file(&request, admin.get_text("request")?.as_bytes(), 0o600).map_err(told)?;
            files::replace_file(&list, items.as_bytes(), 0o600).map_err(told)?;
            vendor::issue(&self.vendor_key(), &list, Some(&request), &license, now)?;
        }
        let text = files::read_text(&license, MAX_BYTES).map_err(told)?;
        admin.change(Method::Post, "licenses", Some(&ImportRequest { file: text, ..ImportRequest::default() }))
    }
}

/// Adds those handshake codes that are not there yet.
pub fn add_codes(admin: &Admin, codes: Vec<HandshakeBody>) -> Result<(), Failure> {
    let known: Vec<HandshakeRow> = admin.get("handshakes")?;
    for body in codes {
        if !known.iter().any(|code| Some(&code.handshake_code) == body.handshake_code.as_ref()) {
            let _: HandshakeRow = admin.change(Method::Post, "handshakes", Some(&body))?;
        }
    }
    Ok(())
}

/// How to call this program: whoever runs it with cargo has no `tollkeeper` in the path.
pub fn program() -> String {
    std::env::current_exe().map_or_else(|_| "tollkeeper".to_owned(), |path| path.display().to_string())
}

/// A path as it can be used from any directory.
pub fn anywhere(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.is_removed {
            // What cannot be removed lies in the temporary directory, where it does no harm.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
