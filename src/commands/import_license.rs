//! The admin brings a license file (domain §2.3, §2.4). It must be activated for this
//! server by a vendor that is trusted here; importing it twice changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::handshake::{alias_note, find, new_code, save};
use super::site::{HARDWARE_ROW, HardwareBinding};
use super::{Refusal, Site};
use crate::documents::{License, LicenseFile, LicenseStatus, ServerCertificate};
use crate::licensing::{HandshakeCode, ItemId, LicenseItem};
use crate::store::catalog::{Catalog, CatalogItem};
use crate::store::facts::{Body, LicenseImported};
use crate::store::handshakes::Handshake;
use crate::store::{Command, Error, Ledger};

/// See the module.
pub struct ImportLicense {
    site: Arc<Site>,
    license: License,
    document: String,
    vendor_kid: String,
    target: Target,
    by: String,
}

/// Which handshake code gets the items.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Target {
    /// The codes of what they renew; the others one of their own, `{organization}-{license id}`.
    #[default]
    Own,
    /// All go into the code of this name.
    Existing(String),
    /// All go into a code that is made for them.
    New(HandshakeCode),
}

/// What an import does: found out before anything is done, so that what was shown is what
/// happens.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the import will tell.
    pub imported: Imported,
    /// Whether `imported.handshake_code` is made for it.
    pub makes_code: bool,
    /// The items that `imported.handshake_code` gets.
    pub added: Vec<ItemId>,
    /// Codes in use, each with an item that joins it because it renews one of its items.
    pub joins: Vec<(String, ItemId)>,
    /// Codes in use as they will be.
    changed: Vec<Handshake>,
}

/// What the import did.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
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
    /// Reads and checks a license file against the vendors and this server.
    pub fn prepare(site: &Arc<Site>, text: &str, target: Target, by: &str) -> Result<Self, Refusal> {
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
        Ok(Self { site: Arc::clone(site), license, document: file.jws().to_owned(), vendor_kid: file.kid().to_owned(), target, by: by.to_owned() })
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
        let plan = match self.plan(&*ledger.catalog()?) {
            Ok(plan) => plan,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let license = &self.license;
        if !plan.imported.was_installed {
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
        for code in plan.changed {
            save(ledger, code, &self.by)?;
        }
        if let Some(name) = plan.imported.handshake_code.as_deref().filter(|_| plan.makes_code) {
            let name: HandshakeCode = name.parse().map_err(|error: crate::licensing::id::BadName| Error::Other(error.to_string()))?;
            let mut code = new_code(&name, ledger, self.target == Target::Own);
            code.state.items = plan.added;
            save(ledger, code, &self.by)?;
        }
        Ok(Ok(plan.imported))
    }
}

impl ImportLicense {
    /// The license in the file.
    pub fn license(&self) -> &License {
        &self.license
    }

    /// The vendor who signed it.
    pub fn vendor_kid(&self) -> &str {
        &self.vendor_kid
    }

    /// What the import will do with what is installed now.
    pub fn plan(&self, catalog: &Catalog) -> Result<Plan, Refusal> {
        let was_installed = self.check(catalog)?;
        let license = &self.license;
        let is_own = self.target == Target::Own;
        // What an earlier issue brought is where the admin wants it; into a code that is asked
        // for go all.
        let new: Vec<&LicenseItem> = license.items.iter().filter(|item| !is_own || catalog.find_item(item.item_id).is_none()).collect();
        let (mut changed, joins) = if is_own { self.renew(catalog, &new) } else { Default::default() };
        let homeless: Vec<ItemId> = new.iter().map(|item| item.item_id).filter(|id| !joins.iter().any(|(_, joined)| joined == id)).collect();
        // A renewal may have come before what it renews.
        let renews_ours = |entry: &&CatalogItem| {
            *entry.vendor_kid == *self.vendor_kid
                && entry.organization_id == license.organization_id
                && entry.item.renews.is_some_and(|old| new.iter().any(|item| item.item_id == old))
        };
        let early = catalog.items().filter(renews_ours).map(|entry| entry.item.item_id).filter(|id| !homeless.contains(id));
        let wanted: Vec<ItemId> = homeless.iter().copied().chain(early).collect();
        let (name, existing) = self.find_target(catalog)?;
        let mut added = Vec::new();
        let (handshake_code, makes_code) = match existing {
            Some(code) => {
                // It may have got a renewal just now.
                let place = changed.iter().position(|other| other.code_id == code.code_id);
                let mut code = place.map_or_else(|| code.clone(), |at| changed.swap_remove(at));
                added.extend(wanted.into_iter().filter(|id| !code.state.items.contains(id)));
                code.state.items.extend(&added);
                let name = code.name();
                if place.is_some() || !added.is_empty() {
                    changed.push(code);
                }
                (Some(name), false)
            }
            None if is_own && homeless.is_empty() => (None, false),
            None => {
                added = wanted;
                (Some(name), true)
            }
        };
        let renewed = joins.iter().map(|(code, _)| code.clone()).collect::<BTreeSet<_>>().into_iter().collect();
        let imported = Imported {
            license_id: license.license_id.0,
            alias: license.alias.clone(),
            organization_id: license.organization_id.to_string(),
            items: license.items.len(),
            was_installed,
            handshake_code,
            renewed,
        };
        Ok(Plan { imported, makes_code, added, joins, changed })
    }

    /// The name of the code that gets the items, and the code if there is one.
    fn find_target<'c>(&self, catalog: &'c Catalog) -> Result<(String, Option<&'c Handshake>), Refusal> {
        let license = &self.license;
        match &self.target {
            Target::Own => {
                let name = format!("{}-{}", license.organization_id, license.license_id);
                let code = catalog.find_code_by_name(&name);
                Ok((name, code))
            }
            Target::Existing(name) => {
                let code = find(catalog, name)?;
                if code.organization_id != license.organization_id {
                    return Err(Refusal::Invalid(
                        "into",
                        format!("{} belongs to organization {}, the license to {}", code.name(), code.organization_id, license.organization_id),
                    ));
                }
                Ok((code.name(), Some(code)))
            }
            Target::New(name) => {
                if name.organization() != license.organization_id {
                    return Err(Refusal::Invalid(
                        "new_code",
                        format!("the code's name must begin with the license's organization: {}-", license.organization_id),
                    ));
                }
                if let Some(taken) = catalog.find_code_by_name(name.as_str()) {
                    return Err(Refusal::Invalid("new_code", format!("{name} exists already{}: choose another name", alias_note(taken, name))));
                }
                Ok((name.to_string(), None))
            }
        }
    }

    /// New items that renew others join their handshake codes, so that no application changes
    /// (domain §2.5). Returns the codes as they will be, and each code's name with the item it
    /// gets.
    fn renew(&self, catalog: &Catalog, new: &[&LicenseItem]) -> (Vec<Handshake>, Vec<(String, ItemId)>) {
        let (mut changed, mut joins) = (Vec::new(), Vec::new());
        for code in catalog.codes().into_iter().filter(|code| code.organization_id == self.license.organization_id) {
            // Only its own vendor renews an item.
            let is_ours = |old| catalog.vendor_of(old) == Some(self.vendor_kid.as_str()) || self.license.items.iter().any(|item| item.item_id == old);
            let is_joining = |item: &&&LicenseItem| {
                item.renews.is_some_and(|old| code.state.items.contains(&old) && is_ours(old)) && !code.state.items.contains(&item.item_id)
            };
            let joining: Vec<ItemId> = new.iter().filter(is_joining).map(|item| item.item_id).collect();
            if joining.is_empty() {
                continue;
            }
            let mut code = code.clone();
            code.state.items.extend(&joining);
            joins.extend(joining.into_iter().map(|id| (code.name(), id)));
            changed.push(code);
        }
        (changed, joins)
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
