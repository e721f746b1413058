//! Licenses that need no server: product keys, checked on the device alone.

use super::device_uuid;
use super::error::{Code, LicenseError};
use super::settings::Config;
use super::status::{Origin, Status};
use crate::documents::product_key::VerifiedKeys;
use crate::documents::{KeyRequest, ProductKeys};
use crate::licensing::ClientUuid;

/// Opens the keys of the settings.
///
/// # Errors
/// 307: damaged or not genuine; else why they do not cover what is asked for.
pub(super) fn open_keys(config: &Config, text: &str, now: i64) -> Result<(VerifiedKeys, Option<ClientUuid>, Status), LicenseError> {
    let keys =
        ProductKeys::parse(text).and_then(|keys| keys.verify(&config.vendors)).map_err(|error| LicenseError::new(Code::ProductKey, error.to_string()))?;
    let machine = device_uuid::of_this_machine();
    let expires_at = check_keys(&keys, config, &config.settings.limited_modules, machine, now)?;
    let status = Status {
        client_uuid: None,
        error: None,
        origin: Some(Origin::ProductKey),
        expires_at: Some(expires_at),
        handshake_code: None,
        instances: config.settings.instances,
        failures: Vec::new(),
    };
    Ok((keys, machine, status))
}

/// Whether the keys cover these modules now; until when.
pub(super) fn check_keys(keys: &VerifiedKeys, config: &Config, modules: &[String], machine: Option<ClientUuid>, now: i64) -> Result<i64, LicenseError> {
    let settings = &config.settings;
    let request = KeyRequest {
        product: &settings.product,
        version: settings.product_version.as_deref(),
        edition: settings.edition.as_deref(),
        deployment_type: settings.deployment_type,
        modules,
        machine,
        host: None,
    };
    let covering = keys.check(&request, now).map_err(|refusal| LicenseError::new(refusal.reason.code(), refusal.to_string()))?;
    Ok(covering.iter().map(|key| key.valid_to.timestamp()).min().unwrap_or(now))
}
