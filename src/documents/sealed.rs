//! Sealed bodies (protocol §3): a request encrypted to the server itself, for sites where a
//! proxy ends TLS. HPKE (RFC 9180) in base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! AES-128-GCM.
//!
//! A sealed request is the encapsulated key (32 bytes) and the ciphertext; the path is bound
//! into it. The answer is encrypted under secrets that both sides export, its status bound
//! into it, so that nobody on the way can change either.

use std::convert::Infallible;
use std::fmt;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hpke::aead::AesGcm128;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use serde::{Deserialize, Serialize};

use super::Error;

/// `Content-Type` of a sealed body.
pub const CONTENT_TYPE: &str = "application/tk-sealed";
/// Bytes that sealing adds to a request.
pub const OVERHEAD: usize = ENCAPSULATED + TAG;

const ENCAPSULATED: usize = 32;
const TAG: usize = 16;
const INFO: &str = "tollkeeper sealed v1 ";
const ANSWER_KEY: &[u8] = b"tollkeeper answer key";
const ANSWER_NONCE: &[u8] = b"tollkeeper answer nonce";

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type Encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey;

/// The generator that makes the keys; see [`super::random`].
struct System;

impl TryRng for System {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        aws_lc_rs::rand::fill(bytes).expect("the system gives random numbers");
        Ok(())
    }
}

impl TryCryptoRng for System {}

/// A server's private sealing key. It never appears in debug output.
#[derive(Clone)]
pub struct SealingKey {
    private: PrivateKey,
    public: SealingPublicKey,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.public.jwk().x)
    }
}

impl SealingKey {
    /// A new random key.
    ///
    /// # Panics
    /// When the system gives no random numbers.
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random numbers");
        Self::from_bytes(&bytes).expect("32 bytes are a key")
    }

    /// From its 32 bytes; `None` when they are not so many.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let private = PrivateKey::from_bytes(bytes).ok()?;
        let public = SealingPublicKey(X25519HkdfSha256::sk_to_pk(&private));
        Some(Self { private, public })
    }

    /// Its 32 bytes. Keep them secret.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.private.to_bytes().to_vec()
    }

    /// The public half.
    pub fn public(&self) -> &SealingPublicKey {
        &self.public
    }

    /// Opens a request that was sealed to this key for this path.
    pub fn open(&self, path: &str, body: &[u8]) -> Option<(Vec<u8>, AnswerSealer)> {
        let (encapsulated, ciphertext) = body.split_at_checked(ENCAPSULATED)?;
        let encapsulated = Encapsulated::from_bytes(encapsulated).ok()?;
        let info = format!("{INFO}{path}");
        let mut context =
            hpke::setup_receiver::<AesGcm128, HkdfSha256, X25519HkdfSha256>(&OpModeR::Base, &self.private, &encapsulated, info.as_bytes()).ok()?;
        let plaintext = context.open(ciphertext, b"").ok()?;
        let secrets = Secrets::exported(|label, out| context.export(label, out))?;
        Some((plaintext, AnswerSealer(secrets)))
    }
}

/// A server's public sealing key.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingPublicKey(PublicKey);

impl fmt::Debug for SealingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingPublicKey({})", self.jwk().x)
    }
}

/// A public X25519 key as JSON Web Key (RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealingJwk {
    /// `OKP`.
    pub kty: String,
    /// `X25519`.
    pub crv: String,
    /// The 32 bytes, base64url.
    pub x: String,
}

impl SealingJwk {
    /// The key it describes; an error when it describes another kind.
    pub fn key(&self) -> Result<SealingPublicKey, Error> {
        let bytes = (self.kty == "OKP" && self.crv == "X25519").then(|| super::jws::decode(&self.x)).flatten();
        let key = bytes.and_then(|bytes| PublicKey::from_bytes(&bytes).ok());
        key.map(SealingPublicKey).ok_or_else(|| Error::field("sealing_jwk", "must have kty OKP, crv X25519 and x of 32 bytes in base64url"))
    }
}

impl SealingPublicKey {
    /// As a JSON Web Key.
    pub fn jwk(&self) -> SealingJwk {
        SealingJwk { kty: "OKP".into(), crv: "X25519".into(), x: URL_SAFE_NO_PAD.encode(self.0.to_bytes()) }
    }

    /// Seals a request for this path; the opener is for its answer.
    ///
    /// # Errors
    /// The key is none that anything can be sealed to.
    pub fn seal(&self, path: &str, plaintext: &[u8]) -> Result<(Vec<u8>, AnswerOpener), Error> {
        self.seal_with(path, plaintext, &mut System)
    }

    fn seal_with(&self, path: &str, plaintext: &[u8], rng: &mut impl TryCryptoRng<Error = Infallible>) -> Result<(Vec<u8>, AnswerOpener), Error> {
        let unusable = || Error::field("sealing_jwk", "is no key that anything can be sealed to");
        let info = format!("{INFO}{path}");
        let (encapsulated, mut context) =
            hpke::setup_sender_with_rng::<AesGcm128, HkdfSha256, X25519HkdfSha256>(&OpModeS::Base, &self.0, info.as_bytes(), rng).map_err(|_| unusable())?;
        let ciphertext = context.seal(plaintext, b"").map_err(|_| unusable())?;
        let secrets = Secrets::exported(|label, out| context.export(label, out)).ok_or_else(unusable)?;
        Ok(([encapsulated.to_bytes().as_slice(), &ciphertext].concat(), AnswerOpener(secrets)))
    }
}

/// What both sides know, and use for one answer only.
struct Secrets {
    key: LessSafeKey,
    nonce: [u8; NONCE_LEN],
}

impl Secrets {
    fn exported<E>(export: impl Fn(&[u8], &mut [u8]) -> Result<(), E>) -> Option<Self> {
        let (mut key, mut nonce) = ([0; 16], [0; NONCE_LEN]);
        export(ANSWER_KEY, &mut key).ok()?;
        export(ANSWER_NONCE, &mut nonce).ok()?;
        Some(Self { key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?), nonce })
    }

    fn aad(status: u16) -> Aad<[u8; 3]> {
        let digit = |n: u16| b'0' + u8::try_from(n % 10).unwrap_or(0);
        Aad::from([digit(status / 100), digit(status / 10), digit(status)])
    }
}

/// Seals the one answer to a sealed request.
pub struct AnswerSealer(Secrets);

impl AnswerSealer {
    /// What opens that answer: for vectors, which tell no private key of a device.
    pub fn into_opener(self) -> AnswerOpener {
        AnswerOpener(self.0)
    }

    /// The body of the answer with this status.
    ///
    /// # Panics
    /// When the answer has more bytes than AES-GCM can take (64 GiB).
    pub fn seal(self, status: u16, plaintext: &[u8]) -> Vec<u8> {
        let mut body = plaintext.to_vec();
        let nonce = Nonce::assume_unique_for_key(self.0.nonce);
        self.0.key.seal_in_place_append_tag(nonce, Secrets::aad(status), &mut body).expect("answers are short");
        body
    }
}

/// Opens the one answer to a sealed request.
pub struct AnswerOpener(Secrets);

impl AnswerOpener {
    /// The answer with this status; `None` when it is not the server's, or was changed.
    pub fn open(self, status: u16, body: &[u8]) -> Option<Vec<u8>> {
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(self.0.nonce);
        let opened = self.0.key.open_in_place(nonce, Secrets::aad(status), &mut body).ok()?;
        Some(opened.to_vec())
    }
}

/// Seals with a key that is always the same: for vectors and nothing else, because whoever
/// knows `seed` can open it.
#[doc(hidden)]
pub fn seal_for_vectors(key: &SealingPublicKey, path: &str, plaintext: &[u8], seed: u8) -> (Vec<u8>, AnswerOpener) {
    struct Fixed(u8);
    impl TryRng for Fixed {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(u32::from(self.0))
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(u64::from(self.0))
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            bytes.fill(self.0);
            Ok(())
        }
    }
    impl TryCryptoRng for Fixed {}
    key.seal_with(path, plaintext, &mut Fixed(seed)).expect("a key of ours")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/api/v1/authorize";

    #[test]
    fn a_request_and_its_answer_pass_between_the_two_only() {
        let key = SealingKey::generate();
        let again = SealingKey::from_bytes(&key.to_bytes()).expect("a key");
        let public = again.public().jwk().key().expect("public");
        let (body, opener) = public.seal(PATH, b"{\"product\":\"dbr\"}").expect("sealed");
        assert_eq!(body.len(), 17 + OVERHEAD);
        let (plain, sealer) = key.open(PATH, &body).expect("opened");
        assert_eq!(plain, b"{\"product\":\"dbr\"}");
        let answer = sealer.seal(403, b"no");
        assert_eq!(opener.open(403, &answer).as_deref(), Some(&b"no"[..]));
        assert_ne!(public.seal(PATH, b"x").expect("sealed").0, public.seal(PATH, b"x").expect("sealed").0);
    }

    #[test]
    fn what_was_changed_or_is_for_somebody_else_does_not_open() {
        let key = SealingKey::generate();
        let seal = || key.public().seal(PATH, b"{}").expect("sealed");
        assert!(SealingKey::generate().open(PATH, &seal().0).is_none());
        assert!(key.open("/api/v1/reports", &seal().0).is_none());
        let body = seal().0;
        for index in 0..body.len() {
            let mut changed = body.clone();
            changed[index] ^= 1;
            assert!(key.open(PATH, &changed).is_none(), "byte {index}");
            assert!(key.open(PATH, &body[..index]).is_none());
        }
        let (body, opener) = seal();
        let answer = key.open(PATH, &body).expect("opened").1.seal(200, b"yes");
        assert!(opener.open(201, &answer).is_none(), "the status is part of it");
        assert!(seal().1.open(200, &answer).is_none(), "the answer to another request");
    }

    #[test]
    fn a_key_of_another_kind_is_told_apart() {
        let jwk = SealingKey::generate().public().jwk();
        for bad in [SealingJwk { crv: "Ed25519".into(), ..jwk.clone() }, SealingJwk { x: "AA".into(), ..jwk.clone() }, SealingJwk { kty: "EC".into(), ..jwk }] {
            assert!(matches!(bad.key(), Err(Error::Field { field, .. }) if field == "sealing_jwk"));
        }
        // A point of small order shares no secret.
        let zero = SealingJwk { kty: "OKP".into(), crv: "X25519".into(), x: URL_SAFE_NO_PAD.encode([0; 32]) };
        assert!(zero.key().and_then(|key| key.seal(PATH, b"").map(drop)).is_err());
    }
}
