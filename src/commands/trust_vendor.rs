//! The admin brings a vendor's public key: from then on licenses of this vendor can be imported
//! (architecture §5), until the trust is taken back. The key is a file in `DATA/vendors/`, as if
//! it had been put there by hand; like there, it is this machine's alone.

use std::path::PathBuf;

use super::{Refusal, Site};
use crate::documents::{VerifyingKey, remove_file, replace_file};
use crate::store::audit::AdminActed;
use crate::store::facts::Body;
use crate::store::{Command, Error, Ledger};

/// See the module.
pub struct TrustVendor {
    key: VerifyingKey,
    was_trusted: bool,
    by: String,
    address: String,
}

impl TrustVendor {
    /// Reads the key from the text of a `vendor.pub`.
    pub fn prepare(site: &Site, text: &str, by: &str, address: &str) -> Result<Self, Refusal> {
        if text.contains("PRIVATE KEY-----") {
            let detail = "is a private key, which belongs to the vendor alone: bring the vendor.pub, and tell the vendor that the other file came out";
            return Err(Refusal::Invalid("public_key", detail.to_owned()));
        }
        let key = VerifyingKey::from_spki_pem(text).map_err(|error| {
            Refusal::Invalid(
                "public_key",
                format!("is not a vendor's public key ({error}): choose the vendor.pub that the vendor sent, it begins with -----BEGIN PUBLIC KEY-----"),
            )
        })?;
        let was_trusted = site.reload_vendors().contains(&key);
        Ok(Self { key, was_trusted, by: by.to_owned(), address: address.to_owned() })
    }

    /// The thumbprint of the key.
    pub fn kid(&self) -> &str {
        self.key.kid()
    }

    /// Whether the vendor was trusted before.
    pub fn was_trusted(&self) -> bool {
        self.was_trusted
    }

    /// After the commit: what is in the audit is done. In this order, because a vendor who is
    /// trusted without anybody's having said so would be worse than a line too many.
    pub fn finish(&self, site: &Site) -> Result<(), crate::documents::Error> {
        if !self.was_trusted {
            let path = site.vendor_directory().join(format!("{}.pub", self.key.kid()));
            replace_file(&path, self.key.to_spki_pem().as_bytes(), 0o644)?;
            site.reload_vendors();
        }
        Ok(())
    }
}

/// Puts it into the audit.
pub struct RecordTrust(pub std::sync::Arc<TrustVendor>);

impl Command for RecordTrust {
    type Answer = ();

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<(), Error> {
        let TrustVendor { key, was_trusted, by, address } = &*self.0;
        if *was_trusted {
            return Ok(());
        }
        let act = AdminActed {
            by: by.clone(),
            action: "vendor_trusted".to_owned(),
            subject: format!("vendor {}", key.kid()),
            detail: "licenses of this vendor can be imported".to_owned(),
            address: address.clone(),
        };
        ledger.record(&Body::AdminActed(act)).map(drop)
    }
}

/// A vendor is trusted no longer. Its licenses would end with the trust, so there must be none.
pub struct DistrustVendor {
    kid: String,
    files: Vec<PathBuf>,
    by: String,
    address: String,
}

impl DistrustVendor {
    /// Finds the files that say that the vendor is trusted.
    pub fn prepare(site: &Site, kid: &str, by: &str, address: &str) -> Result<Self, Refusal> {
        let (inside, outside): (Vec<PathBuf>, Vec<PathBuf>) = site.vendor_files_of(kid).into_iter().partition(|path| path.starts_with(site.vendor_directory()));
        if let Some(path) = outside.first() {
            let path = path.display();
            return Err(Refusal::Conflict(format!(
                "the settings name this vendor's key ({path}): take it out of 'trusted_vendors' there, then start the server again"
            )));
        }
        if inside.is_empty() {
            return Err(Refusal::NotFound(format!("no vendor with the key '{kid}' is trusted: the list of vendors names those that are")));
        }
        Ok(Self { kid: kid.to_owned(), files: inside, by: by.to_owned(), address: address.to_owned() })
    }

    /// After the commit, see [`TrustVendor::finish`].
    pub fn finish(&self, site: &Site) -> Result<(), crate::documents::Error> {
        let removed = self.files.iter().try_for_each(|path| remove_file(path));
        site.reload_vendors();
        removed
    }
}

/// Puts it into the audit, if it can be done.
pub struct RecordDistrust(pub std::sync::Arc<DistrustVendor>);

impl Command for RecordDistrust {
    type Answer = Result<(), Refusal>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let DistrustVendor { kid, by, address, .. } = &*self.0;
        let ids: Vec<String> =
            ledger.catalog()?.licenses().filter(|license| license.vendor_kid == *kid).map(|license| license.license_id.to_string()).collect();
        if !ids.is_empty() {
            let detail = format!(
                "licenses of this vendor are installed ({}), and they would end with the trust: it can be taken back only before the first import",
                ids.join(", ")
            );
            return Ok(Err(Refusal::Conflict(detail)));
        }
        let act = AdminActed {
            by: by.clone(),
            action: "vendor_distrusted".to_owned(),
            subject: format!("vendor {kid}"),
            detail: "licenses of this vendor can be imported no longer".to_owned(),
            address: address.clone(),
        };
        ledger.record(&Body::AdminActed(act))?;
        Ok(Ok(()))
    }
}
