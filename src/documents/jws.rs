//! Compact JWS (RFC 7515) with EdDSA, written and strictly read: one algorithm, one form of
//! base64, one `typ` for each kind of document. What a lenient reader would take and
//! another would not is refused here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};

use super::Error;
use super::keys::{SigningKey, VerifyingKey};
use crate::licensing::id::shorten;

/// Largest decoded header, in bytes. A header holds at most a server certificate.
const HEADER_MAX: usize = 16 * 1024;
/// Room for the payload of an authorization of a few items, so that it is written without moving.
const PAYLOAD_USUAL: usize = 1_024;
/// Deepest nesting of JSON; the documents need five.
const DEPTH_MAX: usize = 16;

const ALG: &str = "EdDSA";

/// base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Strict base64url without padding: no white space, no stray bits at the end.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The name people know a document by.
pub(super) fn name_of(typ: &str) -> &'static str {
    match typ {
        super::license_file::TYP => "license file",
        super::server_certificate::TYP => "server certificate",
        super::request::TYP => "activation request",
        super::authorization::TYP => "authorization",
        super::revocation::TYP => "revocation",
        super::product_key::TYP => "product key",
        super::usage_statement::TYP => "usage statement",
        _ => "document",
    }
}

#[derive(Serialize)]
struct HeaderOut<'a> {
    alg: &'a str,
    kid: &'a str,
    typ: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    svr: Option<&'a str>,
}

#[derive(Debug, Clone, Deserialize)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
    #[serde(default, deserialize_with = "given_string")]
    svr: Option<String>,
    #[serde(default, deserialize_with = "given")]
    crit: bool,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

// `svr: null` is not the same header to every reader, so it is none to us.
fn given_string<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// Signs one document. For many with the same header use [`PreparedHeader`].
///
/// # Panics
///
/// When the payload cannot be JSON at all (a map with keys that are not text).
pub fn sign(key: &SigningKey, typ: &str, svr: Option<&str>, payload: &impl Serialize) -> String {
    PreparedHeader::new(key, typ, svr).sign(payload)
}

/// A key with its header encoded once, for the hot path.
#[derive(Debug, Clone)]
pub struct PreparedHeader {
    key: SigningKey,
    encoded: String,
}

impl PreparedHeader {
    /// A header with this `typ` and, for authorizations, the server certificate `svr`.
    pub fn new(key: &SigningKey, typ: &str, svr: Option<&str>) -> Self {
        let header = HeaderOut { alg: ALG, kid: key.kid(), typ, svr };
        let json = serde_json::to_vec(&header).expect("a header of texts is JSON");
        Self { key: key.clone(), encoded: encode(&json) + "." }
    }

    /// The thumbprint of the key that signs.
    pub fn kid(&self) -> &str {
        self.key.kid()
    }

    /// Signs one payload; the result is the compact JWS.
    ///
    /// # Panics
    ///
    /// When the payload cannot be JSON at all (a map with keys that are not text).
    pub fn sign(&self, payload: &impl Serialize) -> String {
        let mut json = Vec::with_capacity(PAYLOAD_USUAL);
        serde_json::to_writer(&mut json, payload).expect("documents are structs that JSON can hold");
        let mut text = String::with_capacity(self.encoded.len() + json.len() * 4 / 3 + 96);
        text.push_str(&self.encoded);
        URL_SAFE_NO_PAD.encode_string(&json, &mut text);
        let signature = self.key.sign(text.as_bytes());
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        text
    }
}

/// A JWS that has the right form and kind, but is not believed yet: its payload is behind
/// [`Jws::verify`].
#[derive(Debug, Clone)]
pub struct Jws {
    text: String,
    signed_length: usize,
    header: Header,
    payload: Vec<u8>,
    signature: Vec<u8>,
    what: &'static str,
}

impl Jws {
    /// Reads a compact JWS of kind `expected_typ`, at most `max_bytes` long.
    ///
    /// Errors: too large; not exactly three parts in strict base64url; `alg` other than
    /// `EdDSA`; another `typ`; no `kid`; a `crit`; JSON nested deeper than 16.
    pub fn parse(text: &str, expected_typ: &str, max_bytes: usize) -> Result<Self, Error> {
        let what = name_of(expected_typ);
        if text.len() > max_bytes {
            return Err(Error::TooLarge { what, limit: max_bytes });
        }
        let damaged = |detail| Error::Base64 { what, detail };
        let mut parts = text.split('.');
        let (Some(head), Some(body), Some(tail), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(damaged("it does not have three parts"));
        };
        if head.len() > HEADER_MAX * 4 / 3 {
            return Err(Error::TooLarge { what: "header", limit: HEADER_MAX });
        }
        let header_json = decode(head).ok_or_else(|| damaged("its header is not base64url"))?;
        let payload = decode(body).ok_or_else(|| damaged("its content is not base64url"))?;
        let signature = decode(tail).filter(|bytes| bytes.len() == 64).ok_or_else(|| damaged("its signature is not 64 bytes of base64url"))?;
        check_object(&header_json, "header")?;
        check_object(&payload, what)?;
        let header: Header = parse_json(&header_json, "header")?;
        for (field, expected, found) in [("alg", ALG, &header.alg), ("typ", expected_typ, &header.typ)] {
            if found != expected {
                return Err(Error::Header { what, field, expected: expected.to_owned(), found: shorten(found) });
            }
        }
        if header.crit {
            return Err(Error::Header { what, field: "crit", expected: "nothing".into(), found: "an extension".into() });
        }
        Ok(Self { signed_length: head.len() + 1 + body.len(), text: text.to_owned(), header, payload, signature, what })
    }

    /// The compact JWS as it was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The thumbprint of the key it says to be signed by.
    pub fn kid(&self) -> &str {
        &self.header.kid
    }

    /// The server certificate in its header, unverified.
    pub fn svr(&self) -> Option<&str> {
        self.header.svr.as_deref()
    }

    /// Checks the signature with this key and gives the payload.
    ///
    /// Errors: the document names another key, or the signature is wrong.
    pub fn verify(&self, key: &VerifyingKey) -> Result<&[u8], Error> {
        if self.header.kid != key.kid() {
            return Err(Error::UnknownSigner {
                what: self.what,
                kid: shorten(self.kid()),
                advice: "it was made by another server or vendor than expected; get one from the right one",
            });
        }
        if !key.verify(&self.text.as_bytes()[..self.signed_length], &self.signature) {
            return Err(Error::Signature { what: self.what });
        }
        Ok(&self.payload)
    }

    /// Checks the signature with whichever of these vendors' keys the document names, and
    /// gives that key with the payload. An unknown signer is told by its `kid`, with what
    /// to do.
    pub fn verify_any<'k>(&self, vendors: &'k [VerifyingKey]) -> Result<(&'k VerifyingKey, &[u8]), Error> {
        let key = vendors.iter().find(|key| key.kid() == self.header.kid);
        let key = key.ok_or_else(|| Error::UnknownSigner { what: self.what, kid: shorten(self.kid()), advice: super::vendor_key::WHAT_TO_DO })?;
        Ok((key, self.verify(key)?))
    }

    /// [`Jws::verify`], and the payload read as `T`.
    pub fn verify_into<T: DeserializeOwned>(&self, key: &VerifyingKey) -> Result<T, Error> {
        parse_json(self.verify(key)?, self.what)
    }

    /// The payload without any check of the signature: for showing a document, and for
    /// finding the key it carries itself. Never act on it.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }
}

/// Reads JSON; an error carries the parser's message with line and column.
pub(super) fn parse_json<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| {
        let detail: String = error.to_string().chars().filter(|c| !c.is_control()).take(300).collect();
        match detail.starts_with("unknown variant") {
            true => Error::UnknownValue { what, detail },
            false => Error::Json { what, detail },
        }
    })
}

/// [`parse_json`] of a document whose `field` tells its version. Another version than
/// `known` is told before anything else in it is judged.
pub(super) fn parse_versioned<T: DeserializeOwned>(bytes: &[u8], what: &'static str, field: &'static str, known: &'static str) -> Result<T, Error> {
    let value: serde_json::Value = parse_json(bytes, what)?;
    match value.get(field).and_then(serde_json::Value::as_str) {
        Some(found) if found != known => Err(Error::UnknownVersion { what, field, found: shorten(found), known }),
        // A missing one, or one that is no text, is refused with all else that has the wrong type.
        _ => parse_json(bytes, what),
    }
}

// Structs read from JSON lists as well as from objects, so the first byte decides; depth
// is bounded before a recursive parser sees the bytes.
pub(super) fn check_object(json: &[u8], what: &'static str) -> Result<(), Error> {
    if json.first() != Some(&b'{') {
        return Err(Error::Json { what, detail: "it does not start with '{'".into() });
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(Error::TooDeep { what, limit: DEPTH_MAX });
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYP: &str = "tk-license+jws";

    fn raw(key: &SigningKey, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
        format!("{signed}.{}", encode(&key.sign(signed.as_bytes())))
    }

    #[test]
    fn a_signed_document_is_read_back_only_with_its_key() {
        let (key, other) = (SigningKey::generate(), SigningKey::generate());
        let jws = Jws::parse(&sign(&key, TYP, Some("cert"), &serde_json::json!({"a": 1})), TYP, 9_999).expect("parse");
        assert_eq!((jws.kid(), jws.svr()), (key.kid(), Some("cert")));
        assert_eq!(jws.verify(key.verifying_key()), Ok(&br#"{"a":1}"#[..]));
        assert!(matches!(jws.verify(other.verifying_key()), Err(Error::UnknownSigner { .. })));
        assert!(matches!(jws.verify_any(&[other.verifying_key().clone()]), Err(Error::UnknownSigner { .. })));
        let value: serde_json::Value = jws.verify_into(key.verifying_key()).expect("json");
        assert_eq!(value["a"], 1);
    }

    #[test]
    fn a_claimed_kid_without_the_key_does_not_verify() {
        let (key, thief) = (SigningKey::generate(), SigningKey::generate());
        let header = format!(r#"{{"alg":"EdDSA","typ":"{TYP}","kid":"{}"}}"#, key.kid());
        let jws = Jws::parse(&raw(&thief, &header, "{}"), TYP, 9_999).expect("parse");
        assert_eq!(jws.verify(key.verifying_key()), Err(Error::Signature { what: "license file" }));
    }

    #[test]
    fn only_the_one_header_we_write_is_taken() {
        let key = SigningKey::generate();
        let good = format!(r#"{{"alg":"EdDSA","typ":"{TYP}","kid":"k","future":[1]}}"#);
        assert!(Jws::parse(&raw(&key, &good, "{}"), TYP, 9_999).is_ok(), "unknown fields are ignored");
        let mut messages = vec![];
        for header in [
            good.replace("EdDSA", "none"),
            good.replace("EdDSA", "HS256"),
            good.replace(TYP, "tk-request+jws"),
            good.replace(r#""kid":"k""#, r#""kid":7"#),
            good.replace(r#""kid":"k","#, ""),
            good.replace("future", "crit"),
            good.replace(r#""future":[1]"#, r#""crit":null"#),
            good.replace(r#""future":[1]"#, r#""svr":null"#),
            good.replace(r#""future":[1]"#, r#""alg":"EdDSA""#),
            good.replace("[1]", &format!("{}{}", "[".repeat(16), "]".repeat(16))),
            format!(r#"["EdDSA","k","{TYP}","x"]"#),
            String::new(),
        ] {
            messages.push(Jws::parse(&raw(&key, &header, "{}"), TYP, 9_999).expect_err(&header).to_string());
        }
        assert!(messages[0].contains("alg 'none', expected 'EdDSA'"), "{}", messages[0]);
        assert!(messages[2].contains("typ 'tk-request+jws', expected 'tk-license+jws'"), "{}", messages[2]);
        let huge = good.replace("[1]", &format!("\"{}\"", "x".repeat(HEADER_MAX)));
        assert!(matches!(Jws::parse(&raw(&key, &huge, "{}"), TYP, 99_999), Err(Error::TooLarge { what: "header", .. })));
    }

    #[test]
    fn base64_must_be_canonical_and_the_parts_three() {
        let key = SigningKey::generate();
        let good = sign(&key, TYP, None, &serde_json::json!({"a": 12}));
        assert!(Jws::parse(&good, TYP, good.len()).is_ok());
        assert!(matches!(Jws::parse(&good, TYP, good.len() - 1), Err(Error::TooLarge { .. })));
        // 64 bytes end in a character with four spare bits.
        let last = good.chars().last().expect("text");
        let stray = ['A', 'Q', 'g', 'w'].contains(&last).then(|| (last as u8 + 1) as char).expect("canonical end");
        for bad in [
            format!("{}{stray}", &good[..good.len() - 1]),
            format!("{good}="),
            format!("{good}."),
            good.replacen('.', "", 1),
            format!(" {good}"),
            good.replacen('.', "\n.", 1),
        ] {
            assert!(matches!(Jws::parse(&bad, TYP, 9_999), Err(Error::Base64 { .. })), "{bad}");
        }
    }

    #[test]
    fn a_payload_nested_too_deep_or_no_object_is_refused() {
        let key = SigningKey::generate();
        let header = format!(r#"{{"alg":"EdDSA","typ":"{TYP}","kid":"k"}}"#);
        let nested = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert!(Jws::parse(&raw(&key, &header, &nested(15)), TYP, 9_999).is_ok());
        assert!(matches!(Jws::parse(&raw(&key, &header, &nested(16)), TYP, 9_999), Err(Error::TooDeep { .. })));
        assert!(Jws::parse(&raw(&key, &header, r#"{"a":"[[[[[[[[[[[[[[[[[[\"[["}"#), TYP, 9_999).is_ok(), "brackets in text do not count");
        assert!(matches!(Jws::parse(&raw(&key, &header, "[1]"), TYP, 9_999), Err(Error::Json { .. })));
    }
}
