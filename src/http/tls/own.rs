//! The administrator's own certificate, looked at before it is taken: what browsers would refuse on
//! the worst day is refused here, with the reason.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

use super::Leaf;
use crate::clock::rfc3339;
use crate::commands::Refusal;

/// Fewer bits than this are no key.
const RSA_BITS: usize = 2048;
/// Signature algorithms that nobody takes any more: with MD5, with SHA-1.
const WEAK: &[&str] = &["1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.10045.4.1"];

fn of_certificate(text: impl Into<String>) -> Refusal {
    Refusal::Invalid("certificate", text.into())
}

fn of_key(text: impl Into<String>) -> Refusal {
    Refusal::Invalid("key", text.into())
}

/// A certificate with its key, once everything about it is in order at `now`, seconds since 1970.
/// `hosts` are the names and addresses that it must be for.
pub(super) fn check(chain_pem: &str, key_pem: &str, hosts: &[String], now: i64) -> Result<Leaf, Refusal> {
    let chain = read_chain(chain_pem)?;
    let parsed = chain.iter().enumerate().map(|(at, der)| parse(der, at)).collect::<Result<Vec<_>, _>>()?;
    let key = read_key(key_pem)?;
    check_strength(&parsed)?;
    check_key(&chain, &parsed, &key)?;
    let root = check_order(&chain, &parsed)?;
    check_dates(&parsed, now)?;
    let leaf = Leaf { chain_pem: chain_pem.to_owned(), key_pem: key_pem.to_owned() };
    let names = leaf.describe().map_err(|error| of_certificate(error.to_string()))?.names;
    let Some(first) = names.first() else {
        return Err(of_certificate("is for no name: browsers look at its subjectAltName only, so have it issued with one"));
    };
    check_as_browsers_do(&chain, root, first, now)?;
    let missing: Vec<&str> = hosts.iter().filter(|host| !leaf.covers(std::slice::from_ref(host))).map(String::as_str).collect();
    if !missing.is_empty() {
        return Err(of_certificate(format!(
            "is for {}, but license keys lead to {}: have it issued for that too, or change the server's addresses on the page Settings first",
            names.join(", "),
            missing.join(", ")
        )));
    }
    Ok(leaf)
}

fn read_chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|error| of_certificate(format!("is damaged PEM: {error}")))?;
    if !chain.is_empty() {
        return Ok(chain);
    }
    Err(of_certificate(if pem.trim().is_empty() {
        "is empty: choose the file with the certificate and those of its authorities"
    } else if pem.contains("PRIVATE KEY-----") {
        "is a private key: choose the certificate here, and the key below"
    } else if pem.contains("CERTIFICATE REQUEST-----") {
        "is a request: send it to the authority, and choose here what comes back"
    } else {
        "is not PEM, it holds no '-----BEGIN CERTIFICATE-----'; `openssl pkcs12 -in FILE -nokeys -out chain.pem` takes it out of a .p12 or .pfx file"
    }))
}

fn parse<'a>(der: &'a CertificateDer<'static>, at: usize) -> Result<X509Certificate<'a>, Refusal> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(of_certificate(format!("holds something that is no certificate, as number {} of it", at + 1))),
    }
}

fn read_key(pem: &str) -> Result<PrivateKeyDer<'static>, Refusal> {
    if pem.contains("ENCRYPTED") {
        return Err(of_key("is protected by a passphrase: `openssl pkey -in FILE -out key.pem` takes that away; it is kept encrypted here"));
    }
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
        of_key(if pem.trim().is_empty() {
            "is empty: choose the file with the private key"
        } else if pem.contains("CERTIFICATE-----") {
            "is a certificate: choose the private key that belongs to it"
        } else if pem.contains("PUBLIC KEY-----") {
            "is a public key: choose the private one"
        } else {
            "is not PEM, it holds no '-----BEGIN PRIVATE KEY-----'; `openssl pkcs12 -in FILE -nocerts -nodes -out key.pem` takes it out of a .p12 or .pfx file"
        })
    })
}

/// How people call whom a certificate is of, or from.
fn name_of(name: &X509Name<'_>) -> String {
    let text = name.iter_common_name().chain(name.iter_organizational_unit()).chain(name.iter_organization()).find_map(|part| part.as_str().ok());
    text.unwrap_or("a certificate without a name").to_owned()
}

fn called(certificate: &X509Certificate<'_>) -> String {
    name_of(certificate.subject())
}

/// Whether it is an authority's own word for itself.
pub(super) fn is_root(der: &CertificateDer<'static>) -> bool {
    x509_parser::parse_x509_certificate(der).is_ok_and(|(_, parsed)| is_self_issued(&parsed))
}

fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

fn check_strength(chain: &[X509Certificate<'_>]) -> Result<(), Refusal> {
    for certificate in chain {
        // What an authority signs of itself proves nothing, and nobody looks at it.
        if !is_self_issued(certificate) && WEAK.contains(&certificate.signature_algorithm.algorithm.to_id_string().as_str()) {
            return Err(of_certificate(format!("is too weak: '{}' is signed with SHA-1 or MD5; have it issued with SHA-256", called(certificate))));
        }
        match certificate.public_key().parsed() {
            Ok(PublicKey::RSA(key)) if key.key_size() < RSA_BITS => {
                return Err(of_certificate(format!(
                    "is too weak: '{}' has an RSA key of {} bits; have one issued for a key of at least {RSA_BITS} bits, or an elliptic one",
                    called(certificate),
                    key.key_size()
                )));
            }
            Ok(PublicKey::RSA(_) | PublicKey::EC(_) | PublicKey::Unknown(_)) => {}
            _ => return Err(of_certificate(format!("has a key of a kind that TLS does not use, in '{}'", called(certificate)))),
        }
    }
    Ok(())
}

fn check_key(chain: &[CertificateDer<'static>], parsed: &[X509Certificate<'_>], key: &PrivateKeyDer<'static>) -> Result<(), Refusal> {
    let fits = |der: &CertificateDer<'static>| CertifiedKey::from_der(vec![der.clone()], key.clone_key(), &provider::default_provider()).map(drop);
    let Err(error) = fits(&chain[0]) else { return Ok(()) };
    if let Some(at) = chain.iter().position(|der| fits(der).is_ok()) {
        let told = format!("is in the wrong order: '{}' is the server's own and stands at place {}, but must come first", called(&parsed[at]), at + 1);
        return Err(of_certificate(told));
    }
    Err(match error {
        rustls::Error::InconsistentKeys(_) => of_key(format!("is not the one that belongs to the certificate of '{}'", called(&parsed[0]))),
        error => of_key(format!("cannot be used: {error}")),
    })
}

/// Every certificate issued by the next one, the last by an authority that is there or that this
/// machine knows. The root.
fn check_order(chain: &[CertificateDer<'static>], parsed: &[X509Certificate<'_>]) -> Result<CertificateDer<'static>, Refusal> {
    let first = &parsed[0];
    if is_self_issued(first) {
        return Err(of_certificate("is signed by itself, which no browser trusts: remove it and use the site's own authority, or have one issued"));
    }
    if first.is_ca() {
        return Err(of_certificate(format!("is that of an authority, '{}', and not of a server", called(first))));
    }
    for (certificate, next) in parsed.iter().zip(&parsed[1..]) {
        if is_self_issued(certificate) || certificate.issuer().as_raw() != next.subject().as_raw() {
            return Err(of_certificate(format!(
                "is in the wrong order: '{}' was not issued by '{}', which follows it; each must be followed by the one that issued it",
                called(certificate),
                called(next)
            )));
        }
    }
    let (last, der) = (&parsed[parsed.len() - 1], &chain[chain.len() - 1]);
    if is_self_issued(last) {
        return Ok(der.clone());
    }
    let known = rustls_native_certs::load_native_certs()
        .certs
        .into_iter()
        .find(|root| x509_parser::parse_x509_certificate(root).is_ok_and(|(_, root)| root.subject().as_raw() == last.issuer().as_raw()));
    known.ok_or_else(|| {
        of_certificate(format!(
            "is incomplete: '{}' was issued by '{}', which is not in the file, and no authority that this machine knows; append its certificate, up to the root",
            called(last),
            name_of(last.issuer())
        ))
    })
}

fn check_dates(chain: &[X509Certificate<'_>], now: i64) -> Result<(), Refusal> {
    for certificate in chain {
        let (begin, end) = (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
        if end < now {
            return Err(of_certificate(format!("has ended: '{}' was valid to {}; have it renewed", called(certificate), rfc3339(end))));
        }
        if begin > now {
            let told = format!("has not begun: '{}' is valid from {}, and it is {} here", called(certificate), rfc3339(begin), rfc3339(now));
            return Err(of_certificate(told));
        }
    }
    Ok(())
}

/// Signatures, what each certificate may be used for, and how long the chain may be.
fn check_as_browsers_do(chain: &[CertificateDer<'static>], root: CertificateDer<'static>, name: &str, now: i64) -> Result<(), Refusal> {
    let refused = |error: &dyn std::fmt::Display| of_certificate(format!("would be refused by browsers and devices: {error}"));
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).map_err(|error| refused(&error))?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider::default_provider())).build();
    let verifier = verifier.map_err(|error| refused(&error))?;
    let name = ServerName::try_from(name.replacen("*.", "any.", 1)).map_err(|_| of_certificate(format!("is for '{name}', which is no name of a server")))?;
    let between: Vec<_> = chain[1..].iter().filter(|der| **der != root).cloned().collect();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.unsigned_abs()));
    match verifier.verify_server_cert(&chain[0], &between, &name, &[], now) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature)) => {
            Err(of_certificate("is forged or mixed up: a signature in it is not by the key of the authority that it names"))
        }
        Err(rustls::Error::InvalidCertificate(rustls::CertificateError::InvalidPurpose | rustls::CertificateError::InvalidPurposeContext { .. })) => {
            Err(of_certificate("is not for servers: its extended key usage lacks 'TLS Web Server Authentication'"))
        }
        Err(error) => Err(refused(&error)),
    }
}
