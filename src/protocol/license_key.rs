//! The license key: one string with everything an application needs (protocol §2).
//!
//! `TK1.` + base64url of a JSON object. It is not signed: it grants nothing, it only says
//! where to ask and whom to trust on the way.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

const PREFIX: &str = "TK1.";
/// Longest key that is read, in bytes.
const MAX_BYTES: usize = 8 * 1024;

/// What a license key holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LicenseKey {
    /// URLs of the servers, main first.
    pub servers: Vec<String>,
    /// The organization.
    pub organization_id: String,
    /// The handshake code.
    pub handshake_code: String,
    /// The session password of the code, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_password: Option<String>,
    /// Fingerprint of the site's certificate authority: `sha256:` and hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

impl fmt::Display for LicenseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(self).map_err(|_| fmt::Error)?;
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }
}

impl FromStr for LicenseKey {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let body = text.strip_prefix(PREFIX).ok_or_else(|| format!("a license key begins with {PREFIX}: copy it whole from the handshake code's page"))?;
        if text.len() > MAX_BYTES {
            return Err(format!("a license key has at most {MAX_BYTES} characters"));
        }
        let broken = "the license key is damaged: copy it whole from the handshake code's page";
        let json = URL_SAFE_NO_PAD.decode(body).map_err(|_| broken)?;
        let key: Self = serde_json::from_slice(&json).map_err(|_| broken)?;
        if key.servers.is_empty() {
            return Err("the license key names no server".into());
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_the_round_trip_and_damage_is_told() {
        let key = LicenseKey {
            servers: vec!["https://main:48443".into()],
            organization_id: "216998".into(),
            handshake_code: "216998-lock".into(),
            session_password: Some("open sesame".into()),
            ca: Some("sha256:00".into()),
        };
        let text = key.to_string();
        assert!(text.starts_with("TK1."));
        assert_eq!(text.parse(), Ok(key));
        for bad in ["", "TK2.abc", "TK1.", "TK1.!!!", &text[..text.len() - 3]] {
            assert!(bad.parse::<LicenseKey>().is_err(), "{bad}");
        }
    }
}
