//! Whatever is fed to them, the parsers of this room answer; and a license in which one
//! character was changed is refused, as every other document is.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::armor::dearmor;
use super::authorization::{prepared_header, tests::claims};
use super::license_file::tests::new_license;
use super::product_key::tests::product_key;
use super::request::tests::identity;
use super::revocation::tests::revocation;
use super::server_certificate::tests::certificate;
use super::usage_statement::tests::statement;
use super::*;
use crate::licensing::ServerUuid;

struct Samples {
    vendor: SigningKey,
    license: String,
    texts: Vec<String>,
}

static SAMPLES: LazyLock<Samples> = LazyLock::new(|| {
    let (vendor, server) = (SigningKey::generate(), identity());
    let request = ActivationRequest::seal(&server, "main", &[], 1_795_305_600).expect("request");
    let license = new_license().activate(&vendor, &[RequestServer::of(&server, "")], 1_795_305_600).expect("license").seal(&vendor);
    let cert = certificate(server.uuid, &server.key).issue(&vendor);
    let authorization = prepared_header(&server.key, &cert).sign(&claims(ServerUuid(random_uuid())));
    let usage = statement(server.uuid).seal(&server.key, &cert).expect("statement");
    let keys = format!("{};\n{}", product_key().seal(&vendor), product_key().seal(&vendor));
    let (private, public) = (vendor.to_pkcs8_pem(), vendor.verifying_key().to_spki_pem());
    let texts = vec![license.clone(), request, cert, authorization, private, public, revocation().seal(&vendor), keys, usage];
    Samples { vendor, license, texts }
});

/// Feeds a text to every parser; returns how many took it.
fn feed(text: &str) -> usize {
    let trusted = [SAMPLES.vendor.verifying_key().clone()];
    [
        dearmor(license_file::LABEL, text, 100_000).is_ok(),
        LicenseFile::parse(text).and_then(|file| file.unverified_license().and(file.verify(&trusted))).is_ok(),
        LicenseFile::from_jws(text).and_then(|file| file.unverified_license()).is_ok(),
        ActivationRequest::parse(text).is_ok(),
        ServerCertificate::verify(text, &trusted).is_ok(),
        Authorization::parse(text).and_then(|read| read.verify_chain(&trusted)).is_ok(),
        RevocationFile::parse(text).and_then(|file| file.unverified_revocation().and(file.verify(&trusted))).is_ok(),
        RevocationFile::from_jws(text).and_then(|file| file.unverified_revocation()).is_ok(),
        ProductKeys::parse(text).and_then(|keys| keys.verify(&trusted)).is_ok(),
        StatementFile::parse(text).and_then(|file| file.vendor_kid().and(file.unverified_statement()).and(file.verify_chain(&trusted))).is_ok(),
        StatementFile::from_jws(text).and_then(|file| file.unverified_statement()).is_ok(),
        SigningKey::from_pkcs8_pem(text).is_ok(),
        VerifyingKey::from_spki_pem(text).is_ok(),
    ]
    .into_iter()
    .filter(|taken| *taken)
    .count()
}

/// A JWS signed by the vendor around any bytes: what a parser sees behind the signature.
fn signed(typ: &str, payload: &[u8]) -> String {
    let vendor = &SAMPLES.vendor;
    let header = serde_json::json!({"alg": "EdDSA", "typ": typ, "kid": vendor.kid()}).to_string();
    let text = format!("{}.{}", jws::encode(header.as_bytes()), jws::encode(payload));
    format!("{text}.{}", jws::encode(&vendor.sign(text.as_bytes())))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_parser_panic(text in any::<String>()) {
        feed(&text);
        for label in [license_file::LABEL, revocation::LABEL, usage_statement::LABEL] {
            feed(&armor::armor(label, &text, &text));
        }
        let _ = armor::find_label(&text);
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        feed(&String::from_utf8_lossy(&bytes));
        let _ = SigningKey::from_pkcs8_der(&bytes);
        let _ = VerifyingKey::from_spki_der(&bytes);
        for typ in [license_file::TYP, request::TYP, server_certificate::TYP, authorization::TYP, revocation::TYP, product_key::TYP, usage_statement::TYP] {
            feed(&signed(typ, &bytes));
            feed(&armor::armor(license_file::LABEL, &signed(typ, &bytes), ""));
            feed(&signed(typ, &[b"{", &bytes[..]].concat()));
        }
    }

    #[test]
    fn no_change_of_a_genuine_document_makes_a_parser_panic(which in 0..SAMPLES.texts.len(), at in any::<prop::sample::Index>(), bytes in proptest::collection::vec(any::<u8>(), 0..4), cut in 0_usize..8) {
        let mut text = SAMPLES.texts[which].clone().into_bytes();
        let at = at.index(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, bytes);
        feed(&String::from_utf8_lossy(&text));
    }

    #[test]
    fn no_change_of_a_signed_payload_makes_a_parser_panic(at in any::<prop::sample::Index>(), with in any::<u8>(), cut in 0_usize..8) {
        let file = LicenseFile::parse(&SAMPLES.license).expect("sample");
        let mut payload = serde_json::to_vec(&file.unverified_license().expect("sample")).expect("json");
        let at = at.index(payload.len());
        let end = (at + cut).min(payload.len());
        payload.splice(at..end, [with]);
        if let Ok(file) = LicenseFile::from_jws(&signed(license_file::TYP, &payload)) {
            let _ = file.verify(&[SAMPLES.vendor.verifying_key().clone()]).map(|license| license.summary());
        }
    }

    #[test]
    fn no_change_of_what_a_vendor_or_server_signs_makes_a_summary_panic(at in any::<prop::sample::Index>(), with in any::<u8>(), cut in 0_usize..8) {
        let spoil = |mut payload: Vec<u8>| {
            let at = at.index(payload.len());
            payload.splice(at..(at + cut).min(payload.len()), [with]);
            payload
        };
        let payload = spoil(serde_json::to_vec(&revocation()).expect("json"));
        if let Ok(file) = RevocationFile::from_jws(&signed(revocation::TYP, &payload)) {
            let _ = file.unverified_revocation().map(|read| read.summary());
        }
        let payload = spoil(serde_json::to_vec(&statement(ServerUuid(random_uuid()))).expect("json"));
        if let Ok(read) = StatementFile::from_jws(&signed(usage_statement::TYP, &payload)).and_then(|file| file.unverified_statement()) {
            let _ = (read.summary(), read.validate(), compare(Some(&read), &statement(read.server_uuid)), compare(Some(&statement(read.server_uuid)), &read));
        }
    }

    #[test]
    fn one_changed_character_anywhere_in_the_armor_is_refused(at in any::<prop::sample::Index>(), with in 1_u8..128) {
        let trusted = [SAMPLES.vendor.verifying_key().clone()];
        let mut text = SAMPLES.license.clone().into_bytes();
        let start = SAMPLES.license.find("-----BEGIN").expect("armor") + "-----BEGIN TOLLKEEPER LICENSE-----\n".len();
        let end = SAMPLES.license.find("\n-----END").expect("armor");
        let at = start + at.index(end - start);
        prop_assume!(text[at] != with);
        let line_end = text[at] == b'\n';
        text[at] = with;
        let text = String::from_utf8(text).expect("ascii");
        let verified = LicenseFile::parse(&text).and_then(|file| file.verify(&trusted));
        prop_assert!(verified.is_err(), "byte {at} (a line end: {line_end}) became {with}");
    }
}

#[test]
fn every_genuine_document_is_taken_by_its_parser() {
    for text in &SAMPLES.texts {
        // The authorization is of another server than its certificate on purpose.
        let authorization = Authorization::parse(text).is_ok();
        assert!(authorization || feed(text) > 0, "{text}");
    }
}

#[test]
fn every_single_character_of_a_revocation_and_of_a_product_key_counts() {
    let trusted = [SAMPLES.vendor.verifying_key().clone()];
    let revoked = RevocationFile::parse(&revocation().seal(&SAMPLES.vendor)).expect("sample");
    let key = product_key().seal(&SAMPLES.vendor);
    let changed = |text: &str, at: usize| {
        let mut text = text.as_bytes().to_vec();
        text[at] = if text[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(text).expect("ascii")
    };
    for at in 0..revoked.jws().len() {
        assert!(RevocationFile::from_jws(&changed(revoked.jws(), at)).and_then(|file| file.verify(&trusted)).is_err(), "byte {at}");
    }
    for at in 0..key.len() {
        assert!(ProductKeys::parse(&changed(&key, at)).and_then(|keys| keys.verify(&trusted)).is_err(), "byte {at}");
    }
}

#[test]
fn every_single_character_of_the_body_counts() {
    let trusted = [SAMPLES.vendor.verifying_key().clone()];
    let file = LicenseFile::parse(&SAMPLES.license).expect("sample");
    for at in 0..file.jws().len() {
        let mut text = file.jws().as_bytes().to_vec();
        text[at] = if text[at] == b'A' { b'B' } else { b'A' };
        let text = String::from_utf8(text).expect("ascii");
        assert!(LicenseFile::from_jws(&text).and_then(|file| file.verify(&trusted)).is_err(), "byte {at}");
    }
}
