//! The admin brings a revocation (domain §2.6): a signed file of the vendor who issued the
//! license. Its items stop at the next authorization; what runs already goes on to its end.

use std::sync::Arc;

use super::{Refusal, Site};
use crate::documents::{Revocation, RevocationFile};
use crate::store::catalog::Catalog;
use crate::store::facts::{Body, LicenseRevoked};
use crate::store::{Command, Error, Ledger};

/// See the module.
pub struct RevokeLicense {
    revocation: Revocation,
    document: String,
    vendor_kid: String,
    by: String,
}

/// What the import of a revocation did.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Revoked {
    /// The license.
    pub license_id: u64,
    /// Items that are revoked now, by this file.
    pub revoked_items: Vec<u64>,
    /// Whether all of them were revoked already.
    pub was_installed: bool,
}

impl RevokeLicense {
    /// Reads a revocation and checks it against the vendors that are trusted here.
    pub fn prepare(site: &Arc<Site>, text: &str, by: &str) -> Result<Self, Refusal> {
        let invalid = |error: crate::documents::Error| Refusal::Invalid("file", error.to_string());
        let file = RevocationFile::parse(text).map_err(invalid)?;
        let revocation = file.verify(&site.reload_vendors()).map_err(invalid)?;
        Ok(Self { revocation, document: file.jws().to_owned(), vendor_kid: file.kid().to_owned(), by: by.to_owned() })
    }
}

impl RevokeLicense {
    /// What the file says.
    pub fn revocation(&self) -> &Revocation {
        &self.revocation
    }

    /// What the import will do with what is installed now.
    pub fn plan(&self, catalog: &Catalog) -> Result<Revoked, Refusal> {
        let revocation = &self.revocation;
        let refuse = |detail: String| Err(Refusal::Conflict(detail));
        let Some(license) = catalog.find_license(revocation.license_id) else {
            return refuse(format!("license {} is not installed on this server: `license list` shows those that are", revocation.license_id));
        };
        if license.vendor_kid != self.vendor_kid {
            return refuse(format!("license {} is of another vendor than this revocation: only its own vendor can revoke it", license.license_id));
        }
        if license.organization_id != revocation.organization_id {
            return refuse(format!(
                "license {} belongs to organization {}, the revocation names {}",
                license.license_id, license.organization_id, revocation.organization_id
            ));
        }
        let of_license = |id| catalog.find_item(id).is_some_and(|entry| entry.license_id == license.license_id);
        if let Some(foreign) = revocation.item_ids.iter().find(|id| !of_license(**id)) {
            return refuse(format!(
                "item {foreign} is not in license {} as it is installed here: ask the vendor for a revocation of what is",
                license.license_id
            ));
        }
        let was_installed = revocation.item_ids.iter().all(|id| catalog.is_revoked(*id));
        let revoked_items = revocation.item_ids.iter().map(|id| id.0).collect();
        Ok(Revoked { license_id: revocation.license_id.0, revoked_items, was_installed })
    }
}

impl Command for RevokeLicense {
    type Answer = Result<Revoked, Refusal>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let revoked = match self.plan(&*ledger.catalog()?) {
            Ok(revoked) => revoked,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if !revoked.was_installed {
            ledger.record(&Body::LicenseRevoked(LicenseRevoked {
                license_id: self.revocation.license_id,
                items: self.revocation.item_ids.clone(),
                issued_at: self.revocation.issued_at.timestamp(),
                vendor_kid: self.vendor_kid.clone(),
                reason: self.revocation.reason.clone(),
                document: self.document.clone(),
                by: self.by.clone(),
            }))?;
        }
        Ok(Ok(revoked))
    }
}
