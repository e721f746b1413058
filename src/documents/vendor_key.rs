//! The vendors this installation trusts: `.pub` files in `DATA/vendors/`, or named in the
//! settings.

use std::path::{Path, PathBuf};

use super::Error;
use super::files::read_text;
use super::keys::VerifyingKey;

/// Largest public key file taken, in bytes.
const MAX_BYTES: usize = 16 * 1024;

/// What to do when the signer of a vendor's document is unknown.
pub(super) const WHAT_TO_DO: &str = "put the vendor's .pub file into DATA/vendors/ and try again, or ask the vendor which key they sign with";

/// Loads one vendor's public key. Errors name the path.
pub fn load_vendor_key(path: &Path) -> Result<VerifyingKey, Error> {
    let text = read_text(path, MAX_BYTES)?;
    VerifyingKey::from_spki_pem(&text).map_err(|error| Error::File {
        path: path.display().to_string(),
        detail: format!("is not a vendor's public key ({error}); put the vendor.pub there that 'tollkeeper vendor keygen' wrote"),
    })
}

/// Loads every `*.pub` in a directory, in the order of their names. A directory that does
/// not exist holds none.
pub fn load_vendor_dir(dir: &Path) -> Result<Vec<VerifyingKey>, Error> {
    let trouble = |error: std::io::Error| Error::File { path: dir.display().to_string(), detail: format!("cannot list the directory: {error}") };
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        other => other.map_err(trouble)?,
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(trouble)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pub"));
    paths.sort();
    paths.iter().map(|path| load_vendor_key(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::keys::SigningKey;
    use super::*;

    #[test]
    fn a_directory_of_vendors_is_loaded_and_a_bad_file_is_named() {
        let dir = tempfile::tempdir().expect("dir");
        assert_eq!(load_vendor_dir(&dir.path().join("missing")), Ok(vec![]));
        let key = SigningKey::generate();
        std::fs::write(dir.path().join("a.pub"), key.verifying_key().to_spki_pem()).expect("written");
        std::fs::write(dir.path().join("README"), "no key").expect("written");
        assert_eq!(load_vendor_dir(dir.path()), Ok(vec![key.verifying_key().clone()]));
        std::fs::write(dir.path().join("b.pub"), key.to_pkcs8_pem()).expect("written");
        let message = load_vendor_dir(dir.path()).expect_err("private key").to_string();
        assert!(message.contains("b.pub: is not a vendor's public key"), "{message}");
    }
}
