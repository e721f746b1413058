//! The vendor's word that a key belongs to a server of an organization. It travels in the
//! header of every authorization, so that a device needs only the vendor's public key.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::keys::{Jwk, SigningKey, VerifyingKey};
use super::sealed::SealingJwk;
use super::{Error, Jws, jws};
use crate::licensing::{OrganizationId, ServerUuid};

/// `typ` of its header.
pub const TYP: &str = "tk-server+jws";
/// Largest certificate, in bytes: it must fit into the header of an authorization.
pub const MAX_BYTES: usize = 8 * 1024;

/// A server's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerCertificate {
    /// The server.
    pub server_uuid: ServerUuid,
    /// The organization it serves.
    pub organization_id: OrganizationId,
    /// The key it signs authorizations with.
    pub jwk: Jwk,
    /// The key that devices may seal requests to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing_jwk: Option<SealingJwk>,
    /// First moment at which it may sign.
    pub not_before: DateTime<Utc>,
    /// Last moment at which it may sign.
    pub not_after: DateTime<Utc>,
}

impl ServerCertificate {
    /// Signs it with the vendor's key; the result is a compact JWS.
    pub fn issue(&self, vendor: &SigningKey) -> String {
        jws::sign(vendor, TYP, None, self)
    }

    /// Reads a certificate and checks that one of these vendors signed it.
    ///
    /// Its time is not checked here; see [`ServerCertificate::is_valid_at`].
    pub fn verify(jws_text: &str, vendors: &[VerifyingKey]) -> Result<Self, Error> {
        let parsed = Jws::parse(jws_text, TYP, MAX_BYTES)?;
        let (_, payload) = parsed.verify_any(vendors)?;
        let certificate: Self = jws::parse_json(payload, "server certificate")?;
        if certificate.server_uuid.0.is_nil() {
            return Err(Error::field("server_uuid", "must not be all zeros"));
        }
        if certificate.not_after <= certificate.not_before {
            return Err(Error::field("not_after", "must be later than not_before"));
        }
        certificate.key()?;
        certificate.sealing_jwk.as_ref().map(SealingJwk::key).transpose()?;
        Ok(certificate)
    }

    /// The server's public key.
    pub fn key(&self) -> Result<VerifyingKey, Error> {
        self.jwk.verifying_key()
    }

    /// Whether the server may sign at this moment (seconds since 1970).
    pub fn is_valid_at(&self, seconds: i64) -> bool {
        (self.not_before.timestamp()..=self.not_after.timestamp()).contains(&seconds)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A certificate of this server for 216998, valid 2020 to 2031.
    pub(crate) fn certificate(server: ServerUuid, key: &SigningKey) -> ServerCertificate {
        ServerCertificate {
            server_uuid: server,
            organization_id: "216998".parse().expect("organization"),
            jwk: key.verifying_key().jwk(),
            sealing_jwk: None,
            not_before: "2020-01-01T00:00:00Z".parse().expect("time"),
            not_after: "2031-01-01T00:00:00Z".parse().expect("time"),
        }
    }

    #[test]
    fn a_certificate_is_believed_only_from_a_known_vendor() {
        let (vendor, server) = (SigningKey::generate(), SigningKey::generate());
        let made = certificate(ServerUuid(uuid::Uuid::new_v4()), &server);
        let text = made.issue(&vendor);
        let trusted = [SigningKey::generate().verifying_key().clone(), vendor.verifying_key().clone()];
        assert_eq!(ServerCertificate::verify(&text, &trusted), Ok(made.clone()));
        assert!(matches!(ServerCertificate::verify(&text, &trusted[..1]), Err(Error::UnknownSigner { .. })));
        assert!(text.len() < 1_000, "it rides in every authorization");
        assert!(made.is_valid_at(made.not_after.timestamp()) && !made.is_valid_at(made.not_after.timestamp() + 1));
    }

    #[test]
    fn a_certificate_that_makes_no_sense_is_refused() {
        let (vendor, server) = (SigningKey::generate(), SigningKey::generate());
        let trusted = [vendor.verifying_key().clone()];
        let mut made = certificate(ServerUuid(uuid::Uuid::nil()), &server);
        assert!(ServerCertificate::verify(&made.issue(&vendor), &trusted).is_err());
        made.server_uuid = ServerUuid(uuid::Uuid::new_v4());
        let sealing_jwk = SealingJwk { kty: "OKP".into(), crv: "X25519".into(), x: "AA".into() };
        let unsealable = ServerCertificate { sealing_jwk: Some(sealing_jwk), ..made.clone() };
        assert!(matches!(ServerCertificate::verify(&unsealable.issue(&vendor), &trusted), Err(Error::Field { field, .. }) if field == "sealing_jwk"));
        made.jwk.x = "AA".into();
        assert!(ServerCertificate::verify(&made.issue(&vendor), &trusted).is_err());
    }
}
