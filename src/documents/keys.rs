//! Ed25519 keys: PEM files that OpenSSL reads, JWKs, and the `kid` by which documents
//! name their signer (RFC 7638 thumbprint).

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::armor::{dearmor, push_block};
use super::files::{read_text, write_new_file};
use super::{Error, jws};

/// Largest PEM file taken, in bytes.
const PEM_MAX: usize = 16 * 1024;
const PRIVATE_LABEL: &str = "PRIVATE KEY";
const PUBLIC_LABEL: &str = "PUBLIC KEY";
/// SubjectPublicKeyInfo of Ed25519 up to the 32 bytes of the key (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A private Ed25519 key. Clones share it; it never appears in debug output.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Ed25519KeyPair>,
    public: VerifyingKey,
}

impl SigningKey {
    /// A new random key.
    pub fn generate() -> Self {
        Self::from_pair(Ed25519KeyPair::generate().expect("aws-lc gives random bytes or aborts"))
    }

    fn from_pair(pair: Ed25519KeyPair) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(pair.public_key().as_ref());
        Self { pair: Arc::new(pair), public: VerifyingKey::from_bytes(bytes) }
    }

    /// From PKCS#8 DER, version 1 (as OpenSSL writes it) or 2.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, Error> {
        let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|reason| Error::Key { detail: format!("no PKCS#8 Ed25519 private key in it ({reason})") })?;
        Ok(Self::from_pair(pair))
    }

    /// From a PEM text with `-----BEGIN PRIVATE KEY-----`.
    pub fn from_pkcs8_pem(text: &str) -> Result<Self, Error> {
        Self::from_pkcs8_der(&pem_body(PRIVATE_LABEL, text)?)
    }

    /// Reads a private key file; errors name the path.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::from_pkcs8_pem(&read_text(path, PEM_MAX)?).map_err(|error| error.in_file(path))
    }

    /// Writes the private key as PEM with mode 0600. An existing file is never overwritten.
    pub fn save_new(&self, path: &Path) -> Result<(), Error> {
        write_new_file(path, self.to_pkcs8_pem().as_bytes(), 0o600)
    }

    /// PKCS#8 version 1 DER.
    pub fn to_pkcs8_der(&self) -> Vec<u8> {
        self.pair.to_pkcs8v1().expect("a loaded key can be written").as_ref().to_vec()
    }

    /// PKCS#8 version 1 PEM. Keep it secret.
    pub fn to_pkcs8_pem(&self) -> String {
        to_pem(PRIVATE_LABEL, &self.to_pkcs8_der())
    }

    /// The public half.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// The thumbprint of the public half.
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    /// The Ed25519 signature of a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.pair.sign(message).as_ref());
        bytes
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.kid())
    }
}

/// A public Ed25519 key with its thumbprint.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifyingKey {
    bytes: [u8; 32],
    kid: Arc<str>,
}

impl VerifyingKey {
    /// From the 32 bytes of RFC 8032.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(bytes));
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()));
        Self { bytes, kid: kid.into() }
    }

    /// From SubjectPublicKeyInfo DER.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, Error> {
        let bytes = der.strip_prefix(&SPKI_PREFIX).and_then(|rest| <[u8; 32]>::try_from(rest).ok());
        bytes.map(Self::from_bytes).ok_or_else(|| Error::Key { detail: "it is a public key of another kind (RSA, EC?)".into() })
    }

    /// From a PEM text with `-----BEGIN PUBLIC KEY-----`.
    pub fn from_spki_pem(text: &str) -> Result<Self, Error> {
        Self::from_spki_der(&pem_body(PUBLIC_LABEL, text)?)
    }

    /// SubjectPublicKeyInfo DER, 44 bytes.
    pub fn to_spki_der(&self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.bytes[..]].concat()
    }

    /// SubjectPublicKeyInfo PEM.
    pub fn to_spki_pem(&self) -> String {
        to_pem(PUBLIC_LABEL, &self.to_spki_der())
    }

    /// The 32 bytes of RFC 8032.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// RFC 7638 thumbprint (SHA-256, base64url): how documents name this key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// As a JSON Web Key.
    pub fn jwk(&self) -> Jwk {
        Jwk { kty: "OKP".into(), crv: "Ed25519".into(), x: URL_SAFE_NO_PAD.encode(self.bytes) }
    }

    /// Whether this key made that signature of the message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.bytes).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.kid)
    }
}

/// A public Ed25519 key as JSON Web Key (RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    pub crv: String,
    /// The 32 bytes, base64url.
    pub x: String,
}

impl Jwk {
    /// The key it describes; an error when it describes another kind.
    pub fn verifying_key(&self) -> Result<VerifyingKey, Error> {
        let bytes = (self.kty == "OKP" && self.crv == "Ed25519").then(|| jws::decode(&self.x)).flatten().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(VerifyingKey::from_bytes).ok_or_else(|| Error::field("jwk", "must have kty OKP, crv Ed25519 and x of 32 bytes in base64url"))
    }
}

fn to_pem(label: &str, der: &[u8]) -> String {
    let mut text = String::new();
    push_block(&mut text, label, &STANDARD.encode(der));
    text
}

fn pem_body(label: &str, text: &str) -> Result<Vec<u8>, Error> {
    let body = dearmor(label, text, PEM_MAX)?;
    STANDARD.decode(body).map_err(|_| Error::Key { detail: "its base64 is damaged; get a fresh copy".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_pem_and_its_jwk() {
        let key = SigningKey::generate();
        let again = SigningKey::from_pkcs8_pem(&key.to_pkcs8_pem()).expect("private");
        assert_eq!(key.to_pkcs8_der().len(), 48, "PKCS#8 version 1, as OpenSSL reads it");
        let public = VerifyingKey::from_spki_pem(&key.verifying_key().to_spki_pem()).expect("public");
        assert_eq!(public.jwk().verifying_key().as_ref(), Ok(&public));
        let signature = again.sign(b"message");
        assert!(public.verify(b"message", &signature) && !public.verify(b"massage", &signature));
        assert!(!public.verify(b"message", b""));
    }

    #[test]
    fn the_kid_is_the_thumbprint_of_rfc_8037() {
        let jwk = Jwk { kty: "OKP".into(), crv: "Ed25519".into(), x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".into() };
        assert_eq!(jwk.verifying_key().expect("key").kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_key_of_another_kind_is_told_apart() {
        let key = SigningKey::generate();
        let message = VerifyingKey::from_spki_pem(&key.to_pkcs8_pem()).expect_err("private").to_string();
        assert!(message.contains("this is a PRIVATE KEY, but a PUBLIC KEY is needed"), "{message}");
        assert!(VerifyingKey::from_spki_der(&[0; 44]).is_err());
        assert!(SigningKey::from_pkcs8_der(&key.verifying_key().to_spki_der()).is_err());
        let other = Jwk { crv: "X25519".into(), ..key.verifying_key().jwk() };
        assert!(other.verifying_key().is_err());
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let key = SigningKey::generate();
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.kid()));
    }

    #[test]
    fn openssl_reads_both_files() {
        let dir = tempfile::tempdir().expect("dir");
        let key = SigningKey::generate();
        let path = dir.path().join("k.pem");
        key.save_new(&path).expect("saved");
        // Machines without OpenSSL have nothing to compare with.
        let Ok(output) = std::process::Command::new("openssl").arg("pkey").arg("-in").arg(&path).arg("-pubout").output() else { return };
        assert_eq!(String::from_utf8_lossy(&output.stdout), key.verifying_key().to_spki_pem());
    }
}
