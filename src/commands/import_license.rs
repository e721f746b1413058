//! The admin brings a license file (domain §2.3, §2.4). It must be activated for this
//! server by a vendor that is trusted here; importing it twice changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::handshake::{find, new_code, save};
use super::site::{HARDWARE_ROW, HardwareBinding};
use super::{Refusal, Site};
use crate::documents::{License, LicenseFile, LicenseStatus, ServerCertificate};
use crate::licensing::{HandshakeCode, ItemId, LicenseItem};
use crate::store::catalog::{Catalog, CatalogItem};
use crate::store::facts::{Body, LicenseImported};
use crate::store::{Command, Error, Ledger};

/// See the module.
pub struct ImportLicense {
    site: Arc<Site>,
    license: License,
    document: String,
    vendor_kid: String,
    into: Option<String>,
    by: String,
}

/// What the import did.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Imported {
    /// The license.
    pub license_id: u64,
    /// Its alias.
    pub alias: String,
    /// Its organization.
    pub organization_id: String,
    /// How many items it has.
    pub items: usize,
    /// Whether this very file was there already.
    pub was_installed: bool,
    /// The code that has its items now, when the import put them there.
    pub handshake_code: Option<String>,
    /// Codes in use that got items which renew one of theirs, or add to it.
    #[serde(default)]
    pub renewed: Vec<String>,
}

impl ImportLicense {
    /// Reads and checks a license file against the vendors and this server. `into`: the
    /// code that shall get the items, instead of one of their own.
    pub fn prepare(site: &Arc<Site>, text: &str, into: Option<String>, by: &str) -> Result<Self, Refusal> {
        let invalid = |detail: String| Refusal::Invalid("file", detail);
        let file = LicenseFile::parse(text).map_err(|error| invalid(error.to_string()))?;
        let vendors = site.reload_vendors();
        let license = file.verify(&vendors).map_err(|error| invalid(error.to_string()))?;
        if license.license_status == LicenseStatus::New {
            return Err(invalid(format!(
                "license {} is New: it is not activated yet. Make an activation request (`license request`), send it to the vendor, and import the file that comes back",
                license.license_id
            )));
        }
        let Some(certificate) = license.certificate_for(site.uuid()) else {
            let bound: Vec<_> = license.servers.iter().map(|server| server.uuid.to_string()).collect();
            return Err(invalid(format!(
                "license {} is activated for another server ({}), this one is {}: have the vendor activate it with this server's request (`license request`)",
                license.license_id,
                bound.join(", "),
                site.uuid()
            )));
        };
        let certificate = ServerCertificate::verify(certificate, &vendors).map_err(|error| invalid(error.to_string()))?;
        if certificate.jwk.verifying_key().ok().as_ref() != Some(site.identity().key.verifying_key()) {
            return Err(invalid(format!(
                "license {} certifies another key of server {}: it was made for an earlier installation. Have the vendor activate it with a new request (`license request`)",
                license.license_id,
                site.uuid()
            )));
        }
        Ok(Self { site: Arc::clone(site), license, document: file.jws().to_owned(), vendor_kid: file.kid().to_owned(), into, by: by.to_owned() })
    }

    fn check(&self, catalog: &Catalog) -> Result<bool, Refusal> {
        let license = &self.license;
        if let Some(known) = catalog.find_license(license.license_id) {
            if known.vendor_kid != self.vendor_kid {
                return Err(Refusal::Conflict(format!("license {} of another vendor is installed already", license.license_id)));
            }
            if known.document == self.document {
                return Ok(true);
            }
            if (known.issued_at, known.document.as_str()) > (license.issued_at.timestamp(), self.document.as_str()) {
                return Err(Refusal::Conflict(format!(
                    "a newer issue of license {} is installed (of {}, this file is of {}): import the newest file",
                    license.license_id,
                    crate::clock::rfc3339(known.issued_at),
                    crate::clock::rfc3339(license.issued_at.timestamp())
                )));
            }
        }
        for item in &license.items {
            match catalog.find_item(item.item_id) {
                Some(entry) if entry.license_id != license.license_id => {
                    return Err(Refusal::Conflict(format!(
                        "item {} belongs to license {} already: ask the vendor for a file with item numbers of its own",
                        item.item_id, entry.license_id
                    )));
                }
                _ => {}
            }
        }
        Ok(false)
    }
}

impl Command for ImportLicense {
    type Answer = Result<Imported, Refusal>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let catalog = ledger.catalog()?;
        let was_installed = match self.check(&catalog) {
            Ok(was_installed) => was_installed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let license = &self.license;
        let target = match &self.into {
            None => None,
            Some(name) => match find(&catalog, name) {
                Err(refusal) => return Ok(Err(refusal)),
                Ok(code) if code.organization_id != license.organization_id => {
                    return Ok(Err(Refusal::Invalid(
                        "into",
                        format!("{} belongs to organization {}, the license to {}", code.name(), code.organization_id, license.organization_id),
                    )));
                }
                Ok(code) => Some(code.clone()),
            },
        };
        if !was_installed {
            ledger.record(&Body::LicenseImported(LicenseImported {
                license_id: license.license_id,
                organization_id: license.organization_id.clone(),
                alias: license.alias.clone(),
                issued_at: license.issued_at.timestamp(),
                vendor_kid: self.vendor_kid.clone(),
                document: self.document.clone(),
                items: license.items.clone(),
                by: self.by.clone(),
            }))?;
            self.bind_hardware(ledger)?;
        }
        // What an earlier issue brought is where the admin wants it; into a code that is asked
        // for go all.
        let is_new = |item: &&LicenseItem| self.into.is_some() || catalog.find_item(item.item_id).is_none();
        let new: Vec<&LicenseItem> = license.items.iter().filter(is_new).collect();
        let renewed = if self.into.is_some() { Vec::new() } else { self.renew(ledger, &catalog, &new)? };
        let homeless: Vec<ItemId> = new.iter().map(|item| item.item_id).filter(|id| !renewed.iter().any(|(_, joined)| joined == id)).collect();
        let own_name = HandshakeCode::new(&license.organization_id, &license.license_id.to_string()).map_err(|error| Error::Other(error.to_string()))?;
        let code = match target.or_else(|| catalog.find_code_by_name(own_name.as_str()).cloned()) {
            Some(code) => Some(code),
            None if homeless.is_empty() => None,
            None => Some(new_code(&own_name, ledger, true)),
        };
        let handshake_code = match code {
            Some(mut code) => {
                // A renewal may have come before what it renews.
                let renews_ours = |entry: &&CatalogItem| {
                    *entry.vendor_kid == *self.vendor_kid
                        && entry.organization_id == license.organization_id
                        && entry.item.renews.is_some_and(|old| new.iter().any(|item| item.item_id == old))
                };
                let early = catalog.items().filter(renews_ours).map(|entry| entry.item.item_id);
                let known = code.state.items.len();
                for id in homeless.into_iter().chain(early) {
                    if !code.state.items.contains(&id) {
                        code.state.items.push(id);
                    }
                }
                if code.state.items.len() > known {
                    code = save(ledger, code, &self.by)?;
                }
                Some(code.name())
            }
            None => None,
        };
        Ok(Ok(Imported {
            license_id: license.license_id.0,
            alias: license.alias.clone(),
            organization_id: license.organization_id.to_string(),
            items: license.items.len(),
            was_installed,
            handshake_code,
            renewed: renewed.into_iter().map(|(code, _)| code).collect::<BTreeSet<_>>().into_iter().collect(),
        }))
    }
}

impl ImportLicense {
    /// New items that renew others join their handshake codes, so that no application changes
    /// (domain §2.5). Returns each code's name with the item it got.
    fn renew(&self, ledger: &mut Ledger<'_>, catalog: &Catalog, new: &[&LicenseItem]) -> Result<Vec<(String, ItemId)>, Error> {
        let mut renewed = Vec::new();
        for code in catalog.codes().into_iter().filter(|code| code.organization_id == self.license.organization_id) {
            // Only its own vendor renews an item.
            let is_ours = |old| catalog.vendor_of(old) == Some(self.vendor_kid.as_str()) || self.license.items.iter().any(|item| item.item_id == old);
            let joins = |item: &&&LicenseItem| {
                item.renews.is_some_and(|old| code.state.items.contains(&old) && is_ours(old)) && !code.state.items.contains(&item.item_id)
            };
            let joining: Vec<ItemId> = new.iter().filter(joins).map(|item| item.item_id).collect();
            if joining.is_empty() {
                continue;
            }
            let mut code = code.clone();
            code.state.items.extend(&joining);
            let code = save(ledger, code, &self.by)?;
            renewed.extend(joining.into_iter().map(|id| (code.name(), id)));
        }
        Ok(renewed)
    }

    /// A license that was issued after the hardware changed binds the server to the new one.
    fn bind_hardware(&self, ledger: &mut Ledger<'_>) -> Result<(), Error> {
        match self.site.hardware().changed_since {
            Some(since) if self.license.issued_at.timestamp() >= since => {
                let binding = HardwareBinding { bound_to: self.site.identity().hardware.clone(), changed_since: None };
                let json = serde_json::to_vec(&binding).map_err(|error| Error::Other(error.to_string()))?;
                ledger.put_local(HARDWARE_ROW, &json)
            }
            _ => Ok(()),
        }
    }

    /// After the commit: certificates and binding in memory follow what is on disk.
    pub fn refresh(site: &Site, catalog: &Catalog) {
        site.refresh_certificates(catalog);
        let newest = catalog.licenses().map(|license| license.issued_at).max().unwrap_or(0);
        if site.hardware().changed_since.is_some_and(|since| newest >= since) {
            site.rebind_hardware();
        }
    }
}
