//! Licenses, items and handshake codes in memory: few, read with every request, changed
//! twice a month.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::Connection;

use super::Error;
use super::gaps::{self, Gap};
use super::handshakes::{self, Handshake};
use super::licenses::{self, License, Revoked};
use super::preferences;
use crate::licensing::{CodeId, ItemId, LicenseId, LicenseItem, OrganizationId, order};

/// An item and the license it came in.
#[derive(Debug, Clone)]
pub struct CatalogItem {
    /// What it permits.
    pub item: LicenseItem,
    /// Its license.
    pub license_id: LicenseId,
    /// The organization of its license.
    pub organization_id: OrganizationId,
    /// The vendor who signed it.
    pub vendor_kid: Arc<str>,
    /// Since when and why it is revoked, if it is.
    pub revoked: Option<Revoked>,
}

/// Everything an admin set up, as it stands.
#[derive(Debug, Default)]
pub struct Catalog {
    licenses: BTreeMap<LicenseId, License>,
    items: BTreeMap<ItemId, CatalogItem>,
    codes: BTreeMap<CodeId, Handshake>,
    names: HashMap<String, CodeId>,
    defaults: BTreeMap<OrganizationId, CodeId>,
    server_urls: Option<Vec<String>>,
    gaps: Vec<Gap>,
}

impl Catalog {
    /// Reads it from the tables.
    pub fn load(connection: &Connection) -> Result<Self, Error> {
        let server_urls = preferences::read(connection, preferences::SERVER_URLS)?;
        let mut catalog = Self { server_urls, gaps: gaps::list(connection)?, ..Self::default() };
        let mut revoked = licenses::list_revoked(connection)?;
        for (license, items) in licenses::list(connection)? {
            let vendor_kid: Arc<str> = license.vendor_kid.as_str().into();
            for item in items {
                let revoked = revoked.remove(&(license.license_id, item.item_id));
                let entry = CatalogItem {
                    item,
                    license_id: license.license_id,
                    organization_id: license.organization_id.clone(),
                    vendor_kid: Arc::clone(&vendor_kid),
                    revoked,
                };
                // Licenses come by number: the lower one keeps an item that two of them name.
                catalog.items.entry(entry.item.item_id).or_insert(entry);
            }
            catalog.licenses.insert(license.license_id, license);
        }
        let mut codes = handshakes::list(connection)?;
        // The oldest code keeps a name that two servers gave out at the same time; a name in
        // use goes before an alias.
        codes.sort_by_key(|code| (code.created_stamp, code.code_id));
        for code in codes.iter().filter(|code| !code.deleted) {
            catalog.names.entry(code.name()).or_insert(code.code_id);
            catalog.defaults.entry(code.organization_id.clone()).or_insert(code.code_id);
        }
        for code in codes.iter().filter(|code| !code.deleted) {
            for alias in &code.state.aliases {
                catalog.names.entry(format!("{}-{alias}", code.organization_id)).or_insert(code.code_id);
            }
        }
        for (organization, chosen) in handshakes::list_defaults(connection)? {
            if codes.iter().any(|code| code.code_id == chosen && !code.deleted && code.organization_id == organization) {
                catalog.defaults.insert(organization, chosen);
            }
        }
        catalog.codes = codes.into_iter().map(|code| (code.code_id, code)).collect();
        Ok(catalog)
    }

    /// All licenses, by number.
    pub fn licenses(&self) -> impl Iterator<Item = &License> {
        self.licenses.values()
    }

    /// A license by its number.
    pub fn find_license(&self, id: LicenseId) -> Option<&License> {
        self.licenses.get(&id)
    }

    /// An item by its number.
    pub fn find_item(&self, id: ItemId) -> Option<&CatalogItem> {
        self.items.get(&id)
    }

    /// All items, by number.
    pub fn items(&self) -> impl Iterator<Item = &CatalogItem> {
        self.items.values()
    }

    /// Whose item it is.
    pub fn vendor_of(&self, id: ItemId) -> Option<&str> {
        self.items.get(&id).map(|entry| entry.vendor_kid.as_ref())
    }

    /// Whether the vendor revoked an item.
    pub fn is_revoked(&self, id: ItemId) -> bool {
        self.items.get(&id).is_some_and(|entry| entry.revoked.is_some())
    }

    /// The items of a license, in the order of the file.
    pub fn items_of_license(&self, id: LicenseId) -> impl Iterator<Item = &CatalogItem> {
        self.items.values().filter(move |entry| entry.license_id == id)
    }

    /// Facts that were lost.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// The URLs for license keys, if the admin set any in the pages.
    pub fn server_urls(&self) -> Option<&[String]> {
        self.server_urls.as_deref().filter(|urls| !urls.is_empty())
    }

    /// Codes that are not deleted, oldest first.
    pub fn codes(&self) -> Vec<&Handshake> {
        let mut codes: Vec<_> = self.codes.values().filter(|code| !code.deleted).collect();
        codes.sort_by_key(|code| (code.created_stamp, code.code_id));
        codes
    }

    /// Every code there ever was: what was used under a deleted one was used.
    pub fn all_codes(&self) -> Vec<CodeId> {
        self.codes.keys().copied().collect()
    }

    /// A code by its identity, deleted ones included.
    pub fn find_code(&self, id: CodeId) -> Option<&Handshake> {
        self.codes.get(&id)
    }

    /// The code that goes by this name or alias and is not deleted.
    pub fn find_code_by_name(&self, name: &str) -> Option<&Handshake> {
        self.names.get(name).and_then(|id| self.codes.get(id)).filter(|code| !code.deleted)
    }

    /// The default code of an organization.
    pub fn find_default_code(&self, organization: &str) -> Option<&Handshake> {
        self.defaults.iter().find(|(id, _)| id.as_str() == organization).and_then(|(_, code)| self.codes.get(code))
    }

    /// Whether this code is its organization's default.
    pub fn is_default(&self, code: &Handshake) -> bool {
        self.defaults.get(&code.organization_id) == Some(&code.code_id)
    }

    /// The items of a code in the order of use.
    pub fn items_in_order(&self, code: &Handshake) -> Vec<&LicenseItem> {
        let mut items: Vec<&LicenseItem> = code.state.items.iter().filter_map(|id| self.items.get(id)).map(|entry| &entry.item).collect();
        order::sort(&mut items, code.state.custom_order.as_deref());
        items
    }
}
