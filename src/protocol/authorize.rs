//! `POST /authorize`: a device asks for its license.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lost::{Lost, Seen};
use super::{BadField, FromDevice};
use crate::licensing::id::shorten;
use crate::licensing::{ChargeWay, ClientUuid, DeploymentType};

/// What a device sends. Empty strings count as not given.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AuthorizeRequest {
    /// The device's UUID.
    #[cfg_attr(feature = "server", schema(value_type = uuid::Uuid))]
    pub client_uuid: ClientUuid,
    /// The organization, such as `216998`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<String>,
    /// The handshake code, such as `216998-vehicleCode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake_code: Option<String>,
    /// The session password of the code, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_password: Option<String>,
    /// The product that runs, such as `dbr`.
    pub product: String,
    /// Its version, such as `9.6.30`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_version: Option<String>,
    /// Its edition, such as `mobile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<String>,
    /// The kind of machine: `browser`, `mobile`, `server`, `desktop` or `embedded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>))]
    pub deployment_type: Option<DeploymentType>,
    /// The modules it needs, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modules: Option<Vec<String>>,
    /// The charge way it insists on, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>))]
    pub charge_way: Option<ChargeWay>,
    /// How many instances it wants; 1 when not given. The applications of a machine share the
    /// largest number that one of them asked for; to have fewer, release and ask again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<u32>,
    /// The longest it wants to work offline, in days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_buffer_days: Option<u32>,
    /// What its application is.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "super::object::optional")]
    pub validation: Option<Validation>,
    /// The ticket of its last authorization, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// For each server that has answered this device, the highest number of a fact that it told.
    #[serde(default, skip_serializing_if = "Seen::is_empty")]
    #[cfg_attr(feature = "server", schema(value_type = BTreeMap<String, u64>))]
    pub seen: Seen,
    /// 16 or more random bytes, base64url; comes back inside the authorization.
    pub nonce: String,
}

/// Characteristics of the application (domain §1, "validation field").
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Validation {
    /// The website's domain. For browsers the `Origin` header decides instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The application id, such as `com.example.scanner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_id: Option<String>,
    /// The process name, such as `scanner.exe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_name: Option<String>,
}

/// The answer to a device that may work.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AuthorizeAnswer {
    /// The signed authorization, a compact JWS.
    pub authorization: String,
    /// When it ends.
    pub expires_at: String,
    /// From when on the device should renew it.
    pub refresh_after: String,
    /// Seconds between two reports.
    pub report_interval_seconds: u32,
    /// To be shown with the next request.
    pub ticket: String,
    /// The server's time.
    pub server_time: String,
    /// The server that answers.
    pub origin: String,
    /// For each server of the site, the last of its facts that no single loss can take.
    pub safe: BTreeMap<String, u64>,
    /// For each server that was restored from an older backup, its facts that were lost, as pairs of
    /// the first and the last: what a device reported in them is to be sent again.
    #[serde(default, skip_serializing_if = "Lost::is_empty")]
    #[cfg_attr(feature = "server", schema(value_type = BTreeMap<String, Vec<Vec<u64>>>))]
    pub lost: Lost,
}

impl AuthorizeAnswer {
    /// As JSON. The authorization, which is most of it, goes in as it is: a compact JWS has no
    /// character that JSON would write otherwise, and need not be searched for one.
    pub fn into_json(mut self) -> Vec<u8> {
        const BEFORE: &str = r#"{"authorization":""#;
        const AROUND: usize = 512;
        let authorization = std::mem::take(&mut self.authorization);
        debug_assert!(authorization.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
        let mut around = Vec::with_capacity(AROUND);
        serde_json::to_writer(&mut around, &self).expect("texts and numbers are JSON");
        [BEFORE.as_bytes(), authorization.as_bytes(), &around[BEFORE.len()..]].concat()
    }
}

/// Longest text in a request's field.
const TEXT_MAX: usize = 200;
/// Most modules in a request.
const MODULES_MAX: usize = 64;

impl FromDevice for AuthorizeRequest {
    fn client_uuid(&self) -> ClientUuid {
        self.client_uuid
    }

    /// Empty strings become absent ones.
    fn validate(&mut self) -> Result<(), BadField> {
        if self.client_uuid.0.is_nil() {
            return Err(BadField::new("client_uuid", "must not be all zeros"));
        }
        let optional = [
            ("organization_id", &mut self.organization_id),
            ("handshake_code", &mut self.handshake_code),
            ("session_password", &mut self.session_password),
            ("product_version", &mut self.product_version),
            ("edition", &mut self.edition),
            ("ticket", &mut self.ticket),
        ];
        for (field, value) in optional {
            clean(field, value)?;
        }
        if let Some(validation) = &mut self.validation {
            clean("validation.domain", &mut validation.domain)?;
            clean("validation.application_id", &mut validation.application_id)?;
            clean("validation.process_name", &mut validation.process_name)?;
        }
        if self.product.is_empty() || self.product.len() > TEXT_MAX {
            return Err(BadField::new("product", format!("must be 1 to {TEXT_MAX} bytes")));
        }
        let modules = self.modules.as_deref().unwrap_or_default();
        if modules.len() > MODULES_MAX || modules.iter().any(|module| module.is_empty() || module.len() > TEXT_MAX) {
            return Err(BadField::new("modules", format!("must be at most {MODULES_MAX} names of 1 to {TEXT_MAX} bytes")));
        }
        if self.instances.is_some_and(|n| !(1..=1_000_000).contains(&n)) {
            return Err(BadField::new("instances", "must be from 1 to 1000000"));
        }
        if self.max_buffer_days.is_some_and(|days| !(1..=365).contains(&days)) {
            return Err(BadField::new("max_buffer_days", "must be from 1 to 365"));
        }
        check_nonce(&self.nonce)
    }
}

/// A nonce is 16 to 96 bytes in base64url.
fn check_nonce(nonce: &str) -> Result<(), BadField> {
    let alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (22..=128).contains(&nonce.len()) && nonce.bytes().all(alphabet) {
        Ok(())
    } else {
        Err(BadField::new("nonce", format!("'{}' must be 16 to 96 random bytes in base64url", shorten(nonce))))
    }
}

fn clean(field: &str, value: &mut Option<String>) -> Result<(), BadField> {
    match value {
        Some(text) if text.is_empty() => *value = None,
        Some(text) if text.len() > TEXT_MAX => return Err(BadField::new(field, format!("has {} bytes, at most {TEXT_MAX} are allowed", text.len()))),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> AuthorizeRequest {
        serde_json::from_str(text).expect("parses")
    }

    const LEAST: &str = r#"{"client_uuid":"6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88","product":"dbr","nonce":"AAAAAAAAAAAAAAAAAAAAAA"}"#;

    #[test]
    fn unknown_fields_are_ignored_and_empty_strings_are_absent() {
        let mut request = parse(&LEAST.replace("\"product\"", "\"later\":{\"x\":[1]},\"handshake_code\":\"\",\"product\""));
        assert_eq!(request.validate(), Ok(()));
        assert_eq!(request.handshake_code, None);
    }

    #[test]
    fn the_quick_way_to_json_is_the_same_json() {
        let answer = AuthorizeAnswer {
            authorization: "eyJh-_0.e30.c2ln".into(),
            expires_at: "2026-11-29T00:00:00Z".into(),
            refresh_after: "2026-11-23T00:00:00Z".into(),
            report_interval_seconds: 180,
            ticket: "t".into(),
            server_time: "2026-11-22T00:00:00Z".into(),
            origin: "o".into(),
            safe: BTreeMap::from([("o".into(), 7)]),
            lost: Lost::default(),
        };
        let restored = AuthorizeAnswer { lost: serde_json::from_value(serde_json::json!({"o": [[3, 5]]})).expect("lost"), ..answer.clone() };
        for answer in [answer, restored] {
            assert_eq!(answer.clone().into_json(), serde_json::to_vec(&answer).expect("JSON"));
        }
    }

    #[test]
    fn values_out_of_range_name_their_field() {
        type Spoil = fn(&mut AuthorizeRequest);
        let cases: [(&str, Spoil); 7] = [
            ("nonce", |r| r.nonce = "short".into()),
            ("nonce", |r| r.nonce = "A".repeat(24) + "+"),
            ("product", |r| r.product.clear()),
            ("instances", |r| r.instances = Some(0)),
            ("max_buffer_days", |r| r.max_buffer_days = Some(366)),
            ("edition", |r| r.edition = Some("e".repeat(201))),
            ("modules", |r| r.modules = Some(vec![String::new()])),
        ];
        for (field, spoil) in cases {
            let mut request = parse(LEAST);
            spoil(&mut request);
            assert_eq!(request.validate().map_err(|bad| bad.field), Err(field.to_owned()));
        }
    }
}
