//! What an application sets, in the words its developers know: by one license key, by fields,
//! or by product keys that need no server.

use std::path::PathBuf;
use std::time::Duration;

use super::error::{Code, LicenseError};
use super::transport::CaPin;
use crate::documents::VerifyingKey;
use crate::licensing::{ChargeWay, DeploymentType};
use crate::protocol::license_key::LicenseKey;

/// Seconds of counts that a crash may cost, unless set otherwise.
pub const FLUSH_SECONDS: u32 = 10;
/// The longest that closing waits for servers, in all: a person waits for the application to end.
pub const CLOSE_WAIT: Duration = Duration::from_secs(3);

/// How the device is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UuidMethod {
    /// Random, kept in the data folder.
    #[default]
    Random,
    /// Follows from the machine: survives a lost data folder, and a copied one does not help.
    Hardware,
}

/// What is given back to the server when the last process of the machine that uses a license closes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReleaseOnClose {
    /// Instances, of a license of `concurrent_instance`: another machine may have them at once. Named
    /// seats are kept: they last for their period, and the device must be able to start again with no network.
    #[default]
    Instances,
    /// Whatever the license is charged by.
    Seat,
    /// Nothing: all is kept until the authorization ends, for machines that start with no network.
    Nothing,
}

/// What an application sets. Everything is optional but the vendor's public key, and either a
/// way to a server or product keys.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The vendor's public key, PEM; several may follow each other. An SDK has it compiled in.
    pub vendor_public_key: String,
    /// `TK1.…` from the handshake code's page: server, organization, code, password, authority.
    pub license_key: Option<String>,
    /// `https://host:48443`; `http://…` only on a line of its own.
    pub main_server_url: Option<String>,
    /// Asked when the main server does not serve.
    pub standby_server_url: Option<String>,
    /// Such as `216998`.
    pub organization_id: Option<String>,
    /// Such as `216998-vehicleCode`.
    pub handshake_code: Option<String>,
    /// Of the handshake code.
    pub session_password: Option<String>,
    /// The site's certificate authority: PEM, or `sha256:` and its fingerprint. None: the one of
    /// the license key; with neither, the authorities that the system trusts.
    pub certificate_authority: Option<String>,
    /// Offline licenses, separated by `;`. Not together with a handshake code.
    pub product_key: Option<String>,
    /// Such as `dbr`.
    pub product: String,
    /// Such as `9.6.30`.
    pub product_version: Option<String>,
    /// Such as `mobile`.
    pub edition: Option<String>,
    /// The kind of machine.
    pub deployment_type: Option<DeploymentType>,
    /// The modules it needs, all of them.
    pub limited_modules: Vec<String>,
    /// The charge way it insists on.
    pub charge_way: Option<ChargeWay>,
    /// How many instances it wants at most; 1 when 0.
    pub instances: u32,
    /// The longest it wants to work offline.
    pub max_buffer_days: Option<u32>,
    /// How the device is named. All applications that share a data folder set the same: where it
    /// changes, the device is another one, and what was granted to it before is forgotten.
    pub uuid_method: UuidMethod,
    /// Where authorization and unsent reports are kept. None: `.tollkeeper` in the user's home.
    pub data_folder: Option<PathBuf>,
    /// Such as `com.example.scanner`.
    pub application_id: Option<String>,
    /// Such as `scanner.exe`; None: the name of this program.
    pub process_name: Option<String>,
    /// Whether requests are encrypted to the server itself, for sites where a proxy ends TLS.
    pub sealed: bool,
    /// Seconds of counts that a crash may cost; [`FLUSH_SECONDS`] when 0.
    pub flush_seconds: u32,
    /// What closing gives back to the server.
    pub release_on_close: ReleaseOnClose,
}

/// Settings that make sense together.
#[derive(Debug, Clone)]
pub struct Config {
    /// The vendors whose word counts.
    pub vendors: Vec<VerifyingKey>,
    /// Main server first; none with product keys, or where everything is carried by hand.
    pub servers: Vec<String>,
    /// Whom to trust on the way.
    pub authority: Option<CaPin>,
    /// As set or in the license key.
    pub organization_id: Option<String>,
    /// As set or in the license key.
    pub handshake_code: Option<String>,
    /// As set or in the license key.
    pub session_password: Option<String>,
    /// As set, with defaults filled in.
    pub settings: Settings,
}

impl Settings {
    /// Sets one by the name that applications know it by, such as `handshakeCode`.
    ///
    /// # Errors
    /// 301: no such setting, or not such a value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), LicenseError> {
        let bad = |what: String| wrong(format!("{name}: '{value}' {what}"));
        let text = || (!value.is_empty()).then(|| value.to_owned());
        let number = |most: u32| match value.parse::<u32>() {
            Ok(number) if number <= most => Ok(number),
            _ => Err(bad(format!("is not a whole number from 0 to {most}"))),
        };
        match name {
            "vendorPublicKey" => value.clone_into(&mut self.vendor_public_key),
            "licenseKey" => self.license_key = text(),
            "mainServerURL" => self.main_server_url = text(),
            "standbyServerURL" => self.standby_server_url = text(),
            "organizationId" => self.organization_id = text(),
            "handshakeCode" => self.handshake_code = text(),
            "sessionPassword" => self.session_password = text(),
            "certificateAuthority" => self.certificate_authority = text(),
            "productKey" => self.product_key = text(),
            "product" => value.clone_into(&mut self.product),
            "productVersion" => self.product_version = text(),
            "edition" => self.edition = text(),
            "deploymentType" => self.deployment_type = word(value).map_err(|_| bad("is not browser, mobile, server, desktop or embedded".into()))?,
            "limitedModules" => self.limited_modules = value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            "chargeWay" => {
                self.charge_way = word(value).map_err(|_| bad("is not scan, page, device, concurrent_device, concurrent_instance, server or domain".into()))?;
            }
            "instances" => self.instances = number(1_000_000)?,
            "maxBufferDays" => self.max_buffer_days = Some(number(365)?).filter(|days| *days > 0),
            "uuidMethod" => {
                self.uuid_method = match value {
                    "random" | "" => UuidMethod::Random,
                    "hardware" => UuidMethod::Hardware,
                    _ => return Err(bad("is neither random nor hardware".into())),
                }
            }
            "dataFolder" => self.data_folder = text().map(PathBuf::from),
            "applicationId" => self.application_id = text(),
            "processName" => self.process_name = text(),
            "sealed" => {
                self.sealed = match value {
                    "true" | "1" => true,
                    "false" | "0" | "" => false,
                    _ => return Err(bad("is neither true nor false".into())),
                }
            }
            "flushSeconds" => self.flush_seconds = number(3_600)?,
            "releaseOnClose" => {
                self.release_on_close = match value {
                    "instances" | "" => ReleaseOnClose::Instances,
                    "seat" => ReleaseOnClose::Seat,
                    "nothing" => ReleaseOnClose::Nothing,
                    _ => return Err(bad("is not instances, seat or nothing".into())),
                }
            }
            _ => return Err(wrong(format!("there is no setting '{name}': the settings are {}", Self::NAMES.join(", ")))),
        }
        Ok(())
    }

    /// The names that [`Settings::set`] takes.
    pub const NAMES: &[&str] = &[
        "vendorPublicKey",
        "licenseKey",
        "mainServerURL",
        "standbyServerURL",
        "organizationId",
        "handshakeCode",
        "sessionPassword",
        "certificateAuthority",
        "productKey",
        "product",
        "productVersion",
        "edition",
        "deploymentType",
        "limitedModules",
        "chargeWay",
        "instances",
        "maxBufferDays",
        "uuidMethod",
        "dataFolder",
        "applicationId",
        "processName",
        "sealed",
        "flushSeconds",
        "releaseOnClose",
    ];

    /// Checks that they make sense together, before anything is asked or written.
    ///
    /// # Errors
    /// 301, naming the setting and what to set.
    pub fn check(&self) -> Result<Config, LicenseError> {
        let mut settings = self.clone();
        settings.instances = settings.instances.max(1);
        settings.flush_seconds = if settings.flush_seconds == 0 { FLUSH_SECONDS } else { settings.flush_seconds };
        if settings.product.is_empty() {
            return Err(wrong("product is not set: name the product that runs, such as dbr"));
        }
        let vendors = vendor_keys(&settings.vendor_public_key)?;
        let key = settings.license_key.as_deref().map(str::parse::<LicenseKey>).transpose().map_err(|what| wrong(format!("licenseKey: {what}")))?;
        let named = [
            ("a license key", key.is_some()),
            ("a handshake code", settings.handshake_code.is_some()),
            ("an organization ID", settings.organization_id.is_some()),
        ];
        if let (Some(_), Some((what, _))) = (&settings.product_key, named.iter().find(|(_, given)| *given)) {
            return Err(wrong(format!("productKey cannot be used together with {what}: product keys work without a server; leave one of the two out")));
        }
        let mut servers: Vec<String> = settings.main_server_url.iter().chain(&settings.standby_server_url).cloned().collect();
        if settings.main_server_url.is_none() && settings.standby_server_url.is_some() {
            return Err(wrong("standbyServerURL is set, but mainServerURL is not: set the main server first"));
        }
        let mut authority = settings.certificate_authority.clone();
        let (mut organization_id, mut handshake_code, mut session_password) =
            (settings.organization_id.clone(), settings.handshake_code.clone(), settings.session_password.clone());
        if let Some(key) = key {
            if servers.is_empty() {
                servers = key.servers;
            }
            authority = authority.or(key.ca);
            // An empty text in the key is not given, as over the wire.
            organization_id = organization_id.or(Some(key.organization_id).filter(|text| !text.is_empty()));
            handshake_code = handshake_code.or(Some(key.handshake_code).filter(|text| !text.is_empty()));
            session_password = session_password.or(key.session_password);
        }
        for server in &servers {
            if !server.starts_with("https://") && !server.starts_with("http://") {
                return Err(wrong(format!("the server URL '{server}' must start with https://, such as https://license.example.com:48443")));
            }
        }
        if let (Some(_), Some(plain)) = (&authority, servers.iter().find(|server| server.starts_with("http://"))) {
            return Err(wrong(format!(
                "the server URL '{plain}' is not encrypted, but a certificate authority is set or in the license key, which only https:// can be held to: use https://"
            )));
        }
        let authority = match authority {
            Some(text) if text.starts_with("sha256:") => Some(CaPin::Fingerprint(text)),
            Some(text) if text.contains("-----BEGIN CERTIFICATE-----") => Some(CaPin::Pem(text)),
            Some(text) => {
                return Err(wrong(format!(
                    "certificateAuthority: '{}' is neither sha256: and a fingerprint nor a PEM certificate",
                    crate::licensing::id::shorten(&text)
                )));
            }
            None => None,
        };
        Ok(Config { vendors, servers, authority, organization_id, handshake_code, session_password, settings })
    }
}

fn wrong(message: impl Into<String>) -> LicenseError {
    LicenseError::new(Code::Settings, message)
}

pub(super) fn word<T: serde::de::DeserializeOwned>(value: &str) -> Result<Option<T>, serde_json::Error> {
    if value.is_empty() { Ok(None) } else { serde_json::from_value(value.into()).map(Some) }
}

/// Every public key in the text: PEM, or the base64 of one alone.
pub(super) fn vendor_keys(text: &str) -> Result<Vec<VerifyingKey>, LicenseError> {
    const END: &str = "-----END PUBLIC KEY-----";
    let bare = format!("-----BEGIN PUBLIC KEY-----\n{text}\n{END}");
    let is_bare = !text.trim().is_empty() && !text.contains("-----");
    let text = if is_bare { &bare } else { text };
    let blocks = text.split_inclusive(END).filter(|block| !block.trim().is_empty());
    let keys: Vec<VerifyingKey> =
        blocks.map(|block| VerifyingKey::from_spki_pem(block).map_err(|error| wrong(format!("vendorPublicKey: {error}")))).collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Err(wrong("vendorPublicKey is not set: give the text of the vendor.pub that 'tollkeeper vendor keygen' wrote"));
    }
    Ok(keys)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::documents::SigningKey;

    /// Settings that are taken, by fields.
    pub(in crate::client) fn settings(vendor: &SigningKey) -> Settings {
        Settings {
            vendor_public_key: vendor.verifying_key().to_spki_pem(),
            main_server_url: Some("https://main:48443".into()),
            handshake_code: Some("216998-line4".into()),
            product: "dbr".into(),
            ..Settings::default()
        }
    }

    #[test]
    fn a_license_key_gives_what_the_fields_do_not() {
        let key = LicenseKey {
            servers: vec!["https://a:1".into(), "https://b:1".into()],
            organization_id: "216998".into(),
            handshake_code: "216998-k".into(),
            session_password: Some("open".into()),
            ca: Some(format!("sha256:{}", "0".repeat(64))),
        };
        let vendor = SigningKey::generate();
        let by_key = Settings { license_key: Some(key.to_string()), main_server_url: None, handshake_code: None, ..settings(&vendor) };
        let config = by_key.check().expect("checked");
        assert_eq!((config.servers.len(), config.handshake_code.as_deref(), config.session_password.as_deref()), (2, Some("216998-k"), Some("open")));
        assert!(matches!(config.authority, Some(CaPin::Fingerprint(_))));
        let both = Settings { handshake_code: Some("216998-mine".into()), main_server_url: Some("https://c".into()), ..by_key };
        let config = both.check().expect("checked");
        assert_eq!((config.servers, config.handshake_code), (vec!["https://c".to_owned()], Some("216998-mine".to_owned())));
    }

    #[test]
    fn the_vendors_key_may_be_its_base64_alone() {
        let key = SigningKey::generate();
        let vendor = key.verifying_key();
        let bare: String = vendor.to_spki_pem().lines().filter(|line| !line.starts_with("-----")).collect();
        let told = |text: &str| vendor_keys(text).expect("taken").iter().map(|key| key.kid().to_owned()).collect::<Vec<_>>();
        assert_eq!(told(&bare), [vendor.kid()]);
        assert_eq!(told(&vendor.to_spki_pem().repeat(2)), [vendor.kid(), vendor.kid()]);
        assert_eq!(vendor_keys(&bare[1..]).expect_err("damaged").code, Code::Settings);
    }

    #[test]
    fn what_cannot_be_is_refused_at_once() {
        let good = settings(&SigningKey::generate());
        type Spoil = fn(&mut Settings);
        let cases: [(&str, Spoil); 9] = [
            ("product is not set", |s| s.product.clear()),
            ("vendorPublicKey is not set", |s| s.vendor_public_key.clear()),
            ("vendorPublicKey: ", |s| s.vendor_public_key = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----".into()),
            ("productKey cannot be used together with a handshake code", |s| s.product_key = Some("eyJ".into())),
            ("licenseKey: ", |s| s.license_key = Some("TK1.x".into())),
            ("standbyServerURL is set", |s| s.standby_server_url = s.main_server_url.take()),
            ("must start with https://", |s| s.main_server_url = Some("main:48443".into())),
            ("'http://main:80' is not encrypted", |s| {
                s.main_server_url = Some("http://main:80".into());
                s.certificate_authority = Some(format!("sha256:{}", "0".repeat(64)));
            }),
            ("certificateAuthority: ", |s| s.certificate_authority = Some("abc".into())),
        ];
        for (text, spoil) in cases {
            let mut settings = good.clone();
            spoil(&mut settings);
            let error = settings.check().expect_err(text);
            assert!(error.code == Code::Settings && error.message.contains(text), "{error}");
        }
    }

    #[test]
    fn settings_are_set_by_the_names_that_developers_know() {
        let mut settings = Settings::default();
        let value = |name: &str| match name {
            "deploymentType" => "desktop",
            "chargeWay" => "scan",
            "instances" | "maxBufferDays" | "flushSeconds" => "3",
            "uuidMethod" => "hardware",
            "sealed" => "true",
            "releaseOnClose" => "seat",
            _ => "x",
        };
        for name in Settings::NAMES {
            settings.set(name, value(name)).expect(name);
        }
        assert_eq!((settings.instances, settings.limited_modules.as_slice(), settings.sealed), (3, &["x".to_owned()][..], true));
        for (name, value) in
            [("handshakecode", "x"), ("chargeWay", "free"), ("instances", "-1"), ("sealed", "maybe"), ("maxBufferDays", "366"), ("releaseOnClose", "all")]
        {
            assert_eq!(settings.set(name, value).expect_err(name).code, Code::Settings);
        }
    }
}
