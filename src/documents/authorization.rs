//! The signed local license of a device (domain §3, protocol §3). It works offline until
//! `exp`, and its header carries all that is needed to check it with the vendor's key only.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::{SigningKey, VerifyingKey};
use super::server_certificate::ServerCertificate;
use super::{Error, Jws, PreparedHeader};
use crate::licensing::{ChargeWay, ClientUuid, CodeId, DeploymentType, HandshakeCode, ItemId, OrganizationId, ServerUuid};

/// `typ` of its header.
pub const TYP: &str = "tk-authorization+jws";
/// Largest authorization taken, in bytes.
pub const MAX_BYTES: usize = 32 * 1024;

/// What an authorization says. Times are whole seconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// The server that gave it.
    pub iss: ServerUuid,
    /// The device it is for.
    pub sub: ClientUuid,
    /// When it was given.
    pub iat: i64,
    /// First second at which it works.
    pub nbf: i64,
    /// The second at which it ends.
    pub exp: i64,
    /// Its own id, so that no two are alike.
    pub jti: Uuid,
    /// What the device sent, so that no old answer is taken for this one.
    pub nonce: String,
    /// The organization.
    pub org: OrganizationId,
    /// The handshake code, as the device knows it.
    pub hs: HandshakeCode,
    /// The code's inner identity: reports find it after a change of name.
    pub hid: CodeId,
    /// What it permits.
    pub items: Vec<AuthorizedItem>,
    /// The kind of machine that asked. This and the next two tell which items its reports may
    /// be charged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_type: Option<DeploymentType>,
    /// The edition that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<String>,
    /// The version that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_version: Option<String>,
}

/// One license item that serves the device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuthorizedItem {
    /// The item.
    pub item_id: ItemId,
    /// Its product.
    pub product: String,
    /// Editions permitted; empty: any.
    #[serde(default)]
    pub editions: Vec<String>,
    /// Modules permitted; empty: any.
    #[serde(default)]
    pub modules: Vec<String>,
    /// How use is charged.
    pub charge_way: ChargeWay,
    /// Instances granted.
    pub instances: u32,
    /// For `domain` items: the registered domain inside which the page must lie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Last moment of the item, without its grace.
    pub valid_to: DateTime<Utc>,
}

/// The header of all authorizations that a server signs under this certificate: make it
/// once, then [`PreparedHeader::sign`] each [`Claims`].
pub fn prepared_header(server: &SigningKey, certificate: &str) -> PreparedHeader {
    PreparedHeader::new(server, TYP, Some(certificate))
}

/// An authorization that was read but is not believed yet.
#[derive(Debug, Clone)]
pub struct Authorization {
    jws: Jws,
}

impl Authorization {
    /// Reads the compact JWS.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(Self { jws: Jws::parse(text, TYP, MAX_BYTES)? })
    }

    /// The thumbprint of the server's key that it names.
    pub fn kid(&self) -> &str {
        self.jws.kid()
    }

    /// The server certificate that it carries, unverified.
    pub fn svr(&self) -> Option<&str> {
        self.jws.svr()
    }

    /// Checks it with a server's key that is known already: the way of that server itself
    /// and of its partner.
    pub fn verify_with_key(&self, server: &VerifyingKey) -> Result<Claims, Error> {
        self.jws.verify_into(server)
    }

    /// Checks the whole chain from the vendors' keys: the certificate in the header is
    /// signed by one of them, names the server and organization of the claims, was valid
    /// when the authorization was given, and its key signed the authorization.
    ///
    /// Whether the authorization has begun or ended is for the caller, who has the time.
    pub fn verify_chain(&self, vendors: &[VerifyingKey]) -> Result<(Claims, ServerCertificate), Error> {
        let svr = self.svr().ok_or_else(|| Error::field("svr", "the authorization carries no server certificate; get a new one from the server"))?;
        let certificate = ServerCertificate::verify(svr, vendors)?;
        let claims = self.verify_with_key(&certificate.key()?)?;
        let wrong = |field: &str, detail: &str| Err(Error::field(field, format!("{detail}; get a new authorization from the server")));
        if certificate.server_uuid != claims.iss {
            return wrong("iss", "the authorization names another server than its certificate");
        }
        if certificate.organization_id != claims.org {
            return wrong("org", "the authorization names another organization than its server's certificate");
        }
        if !certificate.is_valid_at(claims.iat) {
            return wrong("iat", "the authorization was given while the server's certificate was not valid");
        }
        Ok((claims, certificate))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::server_certificate::tests::certificate;
    use super::*;

    /// Claims of a week for one scan item, given on 2026-11-22.
    pub(crate) fn claims(server: ServerUuid) -> Claims {
        let hs: HandshakeCode = "216998-line4".parse().expect("code");
        let item = AuthorizedItem {
            item_id: ItemId(7),
            product: "dbr".into(),
            editions: vec![],
            modules: vec![],
            charge_way: ChargeWay::Scan,
            instances: 1,
            domain: None,
            valid_to: "2030-01-01T00:00:00Z".parse().expect("time"),
        };
        Claims {
            iss: server,
            sub: ClientUuid(Uuid::new_v4()),
            iat: 1_795_305_600,
            nbf: 1_795_305_600,
            exp: 1_795_910_400,
            jti: Uuid::new_v4(),
            nonce: "bm9uY2Vub25jZW5vbmNl".into(),
            org: hs.organization(),
            hs,
            hid: CodeId(Uuid::new_v4()),
            items: vec![item],
            deployment_type: None,
            edition: None,
            product_version: None,
        }
    }

    #[test]
    fn a_device_needs_nothing_but_the_vendors_key() {
        let (vendor, server, uuid) = (SigningKey::generate(), SigningKey::generate(), ServerUuid(Uuid::new_v4()));
        let cert = certificate(uuid, &server);
        let header = prepared_header(&server, &cert.issue(&vendor));
        let given = claims(uuid);
        let read = Authorization::parse(&header.sign(&given)).expect("parsed");
        assert_eq!(read.verify_chain(&[vendor.verifying_key().clone()]), Ok((given.clone(), cert)));
        assert_eq!(read.verify_with_key(server.verifying_key()), Ok(given));
        assert!(matches!(read.verify_chain(&[server.verifying_key().clone()]), Err(Error::UnknownSigner { .. })));
    }

    #[test]
    fn a_certificate_of_another_server_organization_or_time_does_not_help() {
        let (vendor, server, uuid) = (SigningKey::generate(), SigningKey::generate(), ServerUuid(Uuid::new_v4()));
        let trusted = [vendor.verifying_key().clone()];
        let good = certificate(uuid, &server);
        let field_of = |cert: &ServerCertificate, given: &Claims| {
            let text = prepared_header(&server, &cert.issue(&vendor)).sign(given);
            match Authorization::parse(&text).expect("parsed").verify_chain(&trusted) {
                Err(Error::Field { field, .. }) => field,
                other => format!("{other:?}"),
            }
        };
        assert_eq!(field_of(&good, &claims(ServerUuid(Uuid::new_v4()))), "iss");
        assert_eq!(field_of(&ServerCertificate { organization_id: "7".parse().expect("org"), ..good.clone() }, &claims(uuid)), "org");
        assert_eq!(field_of(&good, &Claims { iat: 0, ..claims(uuid) }), "iat");
        let thief = SigningKey::generate();
        let stolen = prepared_header(&thief, &good.issue(&vendor)).sign(&claims(uuid));
        assert!(Authorization::parse(&stolen).expect("parsed").verify_chain(&trusted).is_err());
        let bare = super::super::jws::sign(&server, TYP, None, &claims(uuid));
        assert!(matches!(Authorization::parse(&bare).expect("parsed").verify_chain(&trusted), Err(Error::Field { field, .. }) if field == "svr"));
    }
}
