//! A company's own certificate authority, as an administrator meets one: a root, an authority
//! between, and certificates for servers.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd};
use serde_json::{Value, json};

/// See the module. Everything is valid to the end of 2060 unless a test says otherwise.
pub struct Company {
    pub root: CertifiedIssuer<'static, KeyPair>,
    pub between: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, PEM.
pub struct Issued {
    pub leaf: String,
    /// With those of its authorities.
    pub chain: String,
    pub key: String,
}

impl Issued {
    /// As the admin API takes it.
    pub fn body(&self) -> Value {
        json!({"certificate": self.chain, "key": self.key})
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2060, 12, 31);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// A server's, not yet issued.
pub fn server(names: &[&str]) -> CertificateParams {
    let mut params = named(names[0]);
    params.subject_alt_names = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names").subject_alt_names;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

impl Company {
    pub fn new() -> Self {
        let key = || KeyPair::generate().expect("a key");
        let root = CertifiedIssuer::self_signed(authority("Plant root"), key()).expect("a root");
        let between = CertifiedIssuer::signed_by(authority("Plant issuing"), key(), &root).expect("an authority");
        Self { root, between }
    }

    pub fn issue(&self, params: &CertificateParams) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.between).expect("issued").pem();
        Issued { chain: format!("{leaf}{}{}", self.between.pem(), self.root.pem()), leaf, key: key.serialize_pem() }
    }

    /// For a server of these names.
    pub fn issue_for(&self, names: &[&str]) -> Issued {
        self.issue(&server(names))
    }
}
