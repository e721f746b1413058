//! What every command knows of this installation: who it is, whom it trusts, and the
//! vendor's certificates under which it signs (architecture §5).

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use uuid::Uuid;

use crate::documents::secret::SecretKey;
use crate::documents::{
    Authorization, Claims, Error, HardwareFingerprint, LicenseFile, PreparedHeader, ServerCertificate, ServerIdentity, VerifyingKey, authorization,
    load_vendor_dir, load_vendor_key,
};
use crate::licensing::{ClientUuid, OrganizationId, ServerUuid};
use crate::store::catalog::Catalog;

/// Days that a server goes on after its hardware changed, while the admin carries a new
/// request to the vendor.
pub const HARDWARE_GRACE_DAYS: i64 = 14;

/// Name of the row in `local` that holds [`HardwareBinding`].
pub const HARDWARE_ROW: &str = "hardware";
/// The row of the database that holds this server's keys, sealed.
pub const IDENTITY_ROW: &str = "identity";

/// The machine that this installation is bound to.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct HardwareBinding {
    /// The machine it was bound to last.
    pub bound_to: HardwareFingerprint,
    /// Since when it runs on another one, seconds since 1970.
    pub changed_since: Option<i64>,
}

/// Where the vendors' public keys are.
#[derive(Debug, Clone, Default)]
pub struct VendorFiles {
    /// `DATA/vendors/`: every `*.pub` in it.
    pub directory: PathBuf,
    /// Further files, from the settings.
    pub files: Vec<PathBuf>,
}

/// A certificate of this server, ready to sign under.
pub struct Certified {
    /// The vendor's word.
    pub certificate: ServerCertificate,
    /// The same, signed: a compact JWS.
    pub document: String,
    /// The header of every authorization under it.
    pub header: PreparedHeader,
}

#[derive(Default)]
struct Certificates {
    /// By organization and the vendor's key.
    own: HashMap<OrganizationId, HashMap<String, Arc<Certified>>>,
    servers: HashSet<ServerUuid>,
}

/// See the module.
pub struct Site {
    identity: ServerIdentity,
    secret: SecretKey,
    vendor_files: VendorFiles,
    vendors: RwLock<Arc<[VerifyingKey]>>,
    certificates: RwLock<Arc<Certificates>>,
    hardware: RwLock<HardwareBinding>,
    /// Why devices are not served here now; `None`: they are.
    duty: RwLock<Option<String>>,
    is_behind: AtomicBool,
    doubted_until: AtomicI64,
}

impl Site {
    /// A site; vendors' keys are read now, and warnings tell which could not be.
    pub fn new(identity: ServerIdentity, secret: SecretKey, vendor_files: VendorFiles, hardware: HardwareBinding) -> (Self, Vec<Error>) {
        let (vendors, problems) = load_vendors(&vendor_files);
        let site = Self {
            identity,
            secret,
            vendor_files,
            vendors: RwLock::new(vendors.into()),
            certificates: RwLock::default(),
            hardware: RwLock::new(hardware),
            duty: RwLock::default(),
            is_behind: AtomicBool::new(false),
            doubted_until: AtomicI64::new(0),
        };
        (site, problems)
    }

    /// Serves devices from now on, or tells them why not (100).
    pub fn set_duty(&self, refusal: Option<String>) {
        *self.duty.write().unwrap_or_else(PoisonError::into_inner) = refusal;
    }

    /// Why devices are not served here now, if they are not.
    pub fn find_refusal(&self) -> Option<String> {
        self.duty.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What makes a ticket of this site and this device of eight random bytes: either server knows it
    /// again, whichever made it.
    pub fn mark_ticket(&self, client: ClientUuid, random: Uuid) -> String {
        let mut bytes = *random.as_bytes();
        let mark = self.secret.mark("ticket", &[client.bytes().as_slice(), &bytes[..8]].concat());
        bytes[8..].copy_from_slice(&mark);
        Uuid::from_bytes(bytes).simple().to_string()
    }

    /// Whether a server of this site gave this ticket to this device.
    pub fn is_own_ticket(&self, client: ClientUuid, ticket: &str) -> bool {
        Uuid::try_parse(ticket).is_ok_and(|uuid| self.mark_ticket(client, uuid) == ticket)
    }

    /// Whether the partner may have given tickets that this server has not heard of.
    pub fn set_behind(&self, is_behind: bool) {
        self.is_behind.store(is_behind, Ordering::SeqCst);
    }

    /// See [`Self::set_behind`].
    pub fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::SeqCst)
    }

    /// The clocks of the two servers were apart: which ticket of a device is the later one cannot be
    /// told from times up to this one (seconds since 1970). Whether that was not known yet.
    pub fn doubt_tickets(&self, until: i64) -> bool {
        self.doubted_until.fetch_max(until, Ordering::SeqCst) < until
    }

    /// See [`Self::doubt_tickets`].
    pub fn tickets_doubted_until(&self) -> i64 {
        self.doubted_until.load(Ordering::SeqCst)
    }

    /// Who this server is.
    pub fn identity(&self) -> &ServerIdentity {
        &self.identity
    }

    /// This server's UUID.
    pub fn uuid(&self) -> ServerUuid {
        self.identity.uuid
    }

    /// The key that seals secrets at rest.
    pub fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// The vendors that are trusted, as last read.
    pub fn vendors(&self) -> Arc<[VerifyingKey]> {
        Arc::clone(&self.vendors.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the vendors' keys again: an admin adds one while the server runs.
    pub fn reload_vendors(&self) -> Arc<[VerifyingKey]> {
        let (vendors, problems) = load_vendors(&self.vendor_files);
        for problem in problems {
            tracing::warn!(%problem, "a vendor's public key cannot be read");
        }
        let vendors: Arc<[VerifyingKey]> = vendors.into();
        *self.vendors.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&vendors);
        vendors
    }

    /// The vendors that are trusted, each with the file that says so.
    pub fn list_vendors(&self) -> Vec<(PathBuf, VerifyingKey)> {
        let mut list: Vec<(PathBuf, VerifyingKey)> = Vec::new();
        for (path, key) in self.all_vendor_files() {
            if !list.iter().any(|(_, known)| *known == key) {
                list.push((path, key));
            }
        }
        list
    }

    /// All files that say that a vendor is trusted.
    pub fn vendor_files_of(&self, kid: &str) -> Vec<PathBuf> {
        self.all_vendor_files().into_iter().filter(|(_, key)| key.kid() == kid).map(|(path, _)| path).collect()
    }

    fn all_vendor_files(&self) -> Vec<(PathBuf, VerifyingKey)> {
        let in_directory = std::fs::read_dir(&self.vendor_files.directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let mut paths: Vec<PathBuf> = in_directory.filter(|path| path.extension().is_some_and(|extension| extension == "pub")).collect();
        paths.sort();
        paths.extend(self.vendor_files.files.iter().cloned());
        let load = |path: PathBuf| match load_vendor_key(&path) {
            Ok(key) => Some((path, key)),
            Err(problem) => {
                tracing::warn!(%problem, "a vendor's public key cannot be read");
                None
            }
        };
        paths.into_iter().filter_map(load).collect()
    }

    /// Where an admin puts a vendor's public key.
    pub fn vendor_directory(&self) -> &PathBuf {
        &self.vendor_files.directory
    }

    /// Takes the certificates of the installed licenses; called at the start and whenever
    /// a license was imported.
    pub fn refresh_certificates(&self, catalog: &Catalog) {
        let mut fresh = Certificates::default();
        for license in catalog.licenses() {
            // The file was verified when it was imported, and the journal keeps it unchanged.
            let Ok(payload) = LicenseFile::from_jws(&license.document).and_then(|file| file.unverified_license()) else {
                tracing::error!(license_id = %license.license_id, "an installed license cannot be read");
                continue;
            };
            fresh.servers.extend(payload.servers.iter().map(|server| server.uuid));
            let Some(text) = payload.certificate_for(self.uuid()) else { continue };
            let Some(certificate) = read_certificate(text) else { continue };
            let of_vendors = fresh.own.entry(license.organization_id.clone()).or_default();
            if of_vendors.get(&license.vendor_kid).is_none_or(|known| known.certificate.not_after < certificate.not_after) {
                let header = authorization::prepared_header(&self.identity.key, text);
                of_vendors.insert(license.vendor_kid.clone(), Arc::new(Certified { certificate, document: text.to_owned(), header }));
            }
        }
        *self.certificates.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
    }

    /// The certificate to sign under for an organization's items of a vendor.
    pub fn find_certificate(&self, organization: &OrganizationId, vendor_kid: &str) -> Option<Arc<Certified>> {
        let certificates = Arc::clone(&self.certificates.read().unwrap_or_else(PoisonError::into_inner));
        certificates.own.get(organization)?.get(vendor_kid).cloned()
    }

    /// Whether an installed license names this server.
    pub fn is_licensed(&self, server: ServerUuid) -> bool {
        self.certificates.read().unwrap_or_else(PoisonError::into_inner).servers.contains(&server)
    }

    /// Everything that vendors signed for this server.
    pub fn list_certificates(&self) -> Vec<String> {
        let certificates = Arc::clone(&self.certificates.read().unwrap_or_else(PoisonError::into_inner));
        let mut list: Vec<String> = certificates.own.values().flat_map(HashMap::values).map(|certified| certified.document.clone()).collect();
        list.sort();
        list
    }

    /// Checks an authorization that a device shows: signed by this server, or by a server
    /// that a license installed here names and its vendor certified.
    pub fn verify_authorization(&self, text: &str) -> Result<Claims, Error> {
        let authorization = Authorization::parse(text)?;
        let own = self.identity.key.verifying_key();
        if authorization.kid() == own.kid() {
            return authorization.verify_with_key(own);
        }
        let (claims, _) = authorization.verify_chain(&self.vendors())?;
        let certificates = Arc::clone(&self.certificates.read().unwrap_or_else(PoisonError::into_inner));
        if certificates.servers.contains(&claims.iss) {
            Ok(claims)
        } else {
            Err(Error::field("iss", "the authorization is from a server of another site; get a new one here"))
        }
    }

    /// The machine this installation is bound to.
    pub fn hardware(&self) -> HardwareBinding {
        self.hardware.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The vendor has certified this server on the machine where it runs now.
    pub fn rebind_hardware(&self) {
        *self.hardware.write().unwrap_or_else(PoisonError::into_inner) = HardwareBinding { bound_to: self.identity.hardware.clone(), changed_since: None };
    }

    /// Why this server may not authorize anybody at `now` (seconds), if it may not.
    pub fn find_hardware_problem(&self, now: i64) -> Option<String> {
        let since = self.hardware.read().unwrap_or_else(PoisonError::into_inner).changed_since?;
        (now - since > HARDWARE_GRACE_DAYS * 86_400).then(|| {
            format!(
                "this server runs on other hardware than it was licensed for since {}, and the {HARDWARE_GRACE_DAYS} days of grace are over: make an activation request (`license request`), have the vendor activate the license for it, and import that",
                crate::clock::rfc3339(since)
            )
        })
    }
}

fn read_certificate(text: &str) -> Option<ServerCertificate> {
    let jws = crate::documents::Jws::parse(text, crate::documents::server_certificate::TYP, crate::documents::server_certificate::MAX_BYTES).ok()?;
    serde_json::from_slice(jws.unverified_payload()).ok()
}

fn load_vendors(files: &VendorFiles) -> (Vec<VerifyingKey>, Vec<Error>) {
    let mut problems = Vec::new();
    let mut vendors = load_vendor_dir(&files.directory).unwrap_or_else(|problem| {
        problems.push(problem);
        Vec::new()
    });
    for path in &files.files {
        match load_vendor_key(path) {
            Ok(key) if vendors.contains(&key) => {}
            Ok(key) => vendors.push(key),
            Err(problem) => problems.push(problem),
        }
    }
    (vendors, problems)
}
