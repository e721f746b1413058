//! Secrets at rest: sealed with AES-256-GCM under the key in `DATA/secret.key`, which
//! backups do not contain (architecture §5).

use std::fs;
use std::io;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};

/// The key that seals passwords and private keys of this site.
pub struct SecretKey {
    key: LessSafeKey,
    mac: hmac::Key,
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl SecretKey {
    /// From its 32 bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, bytes).expect("AES-256 takes 32 bytes");
        Self { key: LessSafeKey::new(key), mac: hmac::Key::new(hmac::HMAC_SHA256, bytes) }
    }

    /// Reads `secret.key`, or makes it (mode 0600, in one step, so that no crash leaves half
    /// a key) when it is missing and `may_create`.
    /// When sealed secrets exist already, a new key could not open them: then a missing
    /// file is an error that says so.
    pub fn load_or_create(path: &Path, may_create: bool) -> io::Result<Self> {
        match fs::read(path) {
            Ok(bytes) => {
                let bytes: [u8; 32] = bytes.try_into().map_err(|_| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("{} is damaged: it must hold exactly 32 bytes; bring it back from a copy", path.display()),
                    )
                })?;
                Ok(Self::new(&bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_create => {
                let mut bytes = [0; 32];
                rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random numbers"))?;
                super::replace_file(path, &bytes, 0o600).map_err(|error| io::Error::other(error.to_string()))?;
                Ok(Self::new(&bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} is missing, and without it this server's keys and passwords cannot be opened: bring it back from a copy", path.display()),
            )),
            Err(error) => Err(error),
        }
    }

    /// Eight bytes by which whoever has this key knows again what it made. `context` names what for.
    pub fn mark(&self, context: &str, bytes: &[u8]) -> [u8; 8] {
        let tag = hmac::sign(&self.mac, &[context.as_bytes(), &[0], bytes].concat());
        let mut mark = [0; 8];
        mark.copy_from_slice(&tag.as_ref()[..8]);
        mark
    }

    /// Seals a secret. `context` names what it is for; it must be given again to open it.
    pub fn seal(&self, context: &str, secret: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).expect("the system gives random numbers");
        let mut sealed = secret.to_vec();
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut sealed).expect("secrets are short");
        [&nonce[..], &sealed].concat()
    }

    /// Opens what [`SecretKey::seal`] sealed; `None` when the key, the context or the
    /// bytes are others.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN)?;
        let mut body = body.to_vec();
        let opened = self.key.open_in_place(Nonce::try_assume_unique_for_key(nonce).ok()?, Aad::from(context), &mut body).ok()?;
        Some(opened.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_with_its_key_and_context() {
        let key = SecretKey::new(&[7; 32]);
        let sealed = key.seal("ca", b"open sesame");
        assert_eq!(key.open("ca", &sealed).as_deref(), Some(&b"open sesame"[..]));
        assert_eq!(key.open("tls", &sealed), None);
        assert_eq!(SecretKey::new(&[8; 32]).open("ca", &sealed), None);
        assert_eq!(key.open("ca", &sealed[..5]), None);
        assert_ne!(key.seal("ca", b"open sesame"), sealed, "every sealing has its own nonce");
    }
}
