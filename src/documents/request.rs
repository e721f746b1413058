//! The activation request: a server tells the vendor its UUID and key (domain §2). It is
//! signed by the first server's own key, which proves that the sender holds that key; the
//! keys of partners are vouched for by that server.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::armor::{armor, dearmor};
use super::identity::ServerIdentity;
use super::keys::Jwk;
use super::sealed::SealingJwk;
use super::{Error, Jws, jws};
use crate::clock::rfc3339;
use crate::licensing::ServerUuid;

/// `typ` of its header.
pub const TYP: &str = "tk-request+jws";
/// Label of its armor.
pub const LABEL: &str = "TOLLKEEPER ACTIVATION REQUEST";
/// Largest file taken, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;
/// Most servers one license is bound to.
pub const SERVERS_MAX: usize = 8;
/// The one version there is.
pub const VERSION: &str = "1.0";

/// An activation request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivationRequest {
    /// [`VERSION`].
    pub request_version: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The servers to bind to, 1 to 8; the first one signs.
    pub servers: Vec<RequestServer>,
}

/// A server that asks to be bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestServer {
    /// Its UUID.
    pub uuid: ServerUuid,
    /// Its public key.
    pub jwk: Jwk,
    /// The public key that devices may seal requests to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing_jwk: Option<SealingJwk>,
    /// The hex digest of its hardware's fingerprint.
    pub hardware: String,
    /// What its admin calls it, at most 128 characters; may be empty.
    #[serde(default)]
    pub name: String,
}

impl RequestServer {
    /// What this server says about itself.
    pub fn of(identity: &ServerIdentity, name: &str) -> Self {
        Self {
            uuid: identity.uuid,
            jwk: identity.key.verifying_key().jwk(),
            sealing_jwk: Some(identity.sealing.public().jwk()),
            hardware: identity.hardware.digest(),
            name: name.to_owned(),
        }
    }
}

impl ActivationRequest {
    /// The request of `identity`, called `name`, and its partners, made at `now` (seconds
    /// since 1970): the armored file, ready to send to the vendor.
    ///
    /// Errors: more than 8 servers, the same one twice, an unprintable name.
    pub fn seal(identity: &ServerIdentity, name: &str, partners: &[RequestServer], now: i64) -> Result<String, Error> {
        let mut servers = vec![RequestServer::of(identity, name)];
        servers.extend_from_slice(partners);
        let created_at = DateTime::from_timestamp(now, 0).ok_or_else(|| Error::field("created_at", "is beyond every calendar; set the clock"))?;
        let request = Self { request_version: VERSION.into(), created_at, servers };
        request.validate()?;
        let mut summary = format!("Tollkeeper activation request of {}\nSend this file to the vendor; it holds no secret.\n", rfc3339(now));
        for server in &request.servers {
            summary.push_str(&format!("Server: {} {}\n", server.uuid, server.name));
        }
        Ok(armor(LABEL, &jws::sign(&identity.key, TYP, None, &request), &summary))
    }

    /// Reads an armored request and checks that the first server's key signed it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let body = dearmor(LABEL, text, MAX_BYTES)?;
        let parsed = Jws::parse(&body, TYP, MAX_BYTES)?;
        #[derive(Deserialize)]
        struct Version {
            request_version: String,
        }
        let what = "activation request";
        let Version { request_version: found } = jws::parse_json(parsed.unverified_payload(), what)?;
        if found != VERSION {
            return Err(Error::UnknownVersion { what, field: "request_version", found: crate::licensing::id::shorten(&found), known: VERSION });
        }
        let request: Self = jws::parse_json(parsed.unverified_payload(), what)?;
        let first = request.servers.first().ok_or_else(|| Error::field("servers", "is empty; make a new request with 'tollkeeper license request'"))?;
        parsed.verify(&first.jwk.verifying_key()?)?;
        request.validate()?;
        Ok(request)
    }

    fn validate(&self) -> Result<(), Error> {
        if !(1..=SERVERS_MAX).contains(&self.servers.len()) {
            return Err(Error::field("servers", format!("has {} entries, 1 to {SERVERS_MAX} are allowed", self.servers.len())));
        }
        for (index, server) in self.servers.iter().enumerate() {
            let bad = |field: &str, detail: &str| Err(Error::field(format!("servers[{index}].{field}"), detail));
            if server.uuid.0.is_nil() {
                return bad("uuid", "must not be all zeros");
            }
            if self.servers[..index].iter().any(|other| other.uuid == server.uuid || other.jwk == server.jwk) {
                return bad("uuid", "the same server or key is listed twice");
            }
            if server.hardware.len() != 64 || !server.hardware.bytes().all(|b| b.is_ascii_hexdigit()) {
                return bad("hardware", "must be 64 hex digits");
            }
            if server.name.chars().count() > 128 || server.name.chars().any(char::is_control) {
                return bad("name", "must be at most 128 printable characters");
            }
            server.jwk.verifying_key()?;
            server.sealing_jwk.as_ref().map(SealingJwk::key).transpose()?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::identity::Hardware;
    use super::super::keys::SigningKey;
    use super::*;

    /// A server of its own, with no hardware known.
    pub(crate) fn identity() -> ServerIdentity {
        ServerIdentity {
            uuid: ServerUuid(uuid::Uuid::new_v4()),
            key: SigningKey::generate(),
            sealing: super::super::sealed::SealingKey::generate(),
            hardware: Hardware::default().fingerprint(),
        }
    }

    #[test]
    fn a_request_names_all_its_servers() {
        let (main, standby) = (identity(), identity());
        let text = ActivationRequest::seal(&main, "main", &[RequestServer::of(&standby, "standby")], 1_800_000_000).expect("sealed");
        assert!(text.starts_with("Tollkeeper activation request of 2027-01-15T08:00:00Z\n"), "{text}");
        let request = ActivationRequest::parse(&text).expect("parsed");
        assert_eq!(request.servers.iter().map(|s| s.uuid).collect::<Vec<_>>(), [main.uuid, standby.uuid]);
        assert_eq!(request.created_at.timestamp(), 1_800_000_000);
    }

    #[test]
    fn a_request_signed_by_another_key_than_its_own_is_refused() {
        let (main, thief) = (identity(), identity());
        let forged = ActivationRequest { request_version: VERSION.into(), created_at: DateTime::UNIX_EPOCH, servers: vec![RequestServer::of(&main, "")] };
        let text = armor(LABEL, &jws::sign(&thief.key, TYP, None, &forged), "");
        assert!(matches!(ActivationRequest::parse(&text), Err(Error::UnknownSigner { .. })));
    }

    #[test]
    fn too_many_servers_the_same_twice_and_other_versions_are_refused() {
        let main = identity();
        let many: Vec<_> = (0..8).map(|_| RequestServer::of(&identity(), "")).collect();
        assert!(ActivationRequest::seal(&main, "", &many, 0).is_err());
        assert!(ActivationRequest::seal(&main, "", &many[..7], 0).is_ok());
        assert!(ActivationRequest::seal(&main, "", &[RequestServer::of(&main, "")], 0).is_err());
        let future = ActivationRequest { request_version: "2.0".into(), created_at: DateTime::UNIX_EPOCH, servers: vec![RequestServer::of(&main, "")] };
        let text = armor(LABEL, &jws::sign(&main.key, TYP, None, &future), "");
        assert!(matches!(ActivationRequest::parse(&text), Err(Error::UnknownVersion { .. })));
    }
}
