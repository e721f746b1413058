//! The admin brings a vendor's public key: from then on licenses of this vendor can be imported
//! (architecture §5). The key is a file in `DATA/vendors/`, as if it had been put there by hand;
//! like there, it is this machine's alone.

use super::{Refusal, Site};
use crate::documents::{VerifyingKey, replace_file};
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
