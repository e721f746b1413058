//! What people are told of the server's certificate: from when to when it is valid, for which
//! names, and by what they know it again.

use aws_lc_rs::digest;
use x509_parser::extensions::GeneralName;

use super::{Leaf, TlsError, unusable, validity::Validity};

/// The certificate that browsers and devices see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// DNS names and IP addresses it is for.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// Its first second, since 1970.
    pub not_before: i64,
    /// Its last second, since 1970.
    pub not_after: i64,
    /// `sha256:` and the SHA-256 of its DER in lower-case hex.
    pub fingerprint: String,
}

impl Leaf {
    /// Reads what it says.
    ///
    /// # Errors
    /// [`TlsError::Unusable`] when it is not a certificate.
    pub fn describe(&self) -> Result<Certificate, TlsError> {
        let der = self.der()?;
        let Validity { not_before, not_after } = self.validity()?;
        let hash = digest::digest(&digest::SHA256, &der);
        let (_, read) = x509_parser::parse_x509_certificate(&der).map_err(|error| unusable("server certificate", error))?;
        let names = read.subject_alternative_name().map_err(|error| unusable("server certificate", error))?;
        let names = names.map(|names| names.value.general_names.iter().filter_map(text_of).collect()).unwrap_or_default();
        let issuer = read.issuer().iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned();
        let fingerprint = hash.as_ref().iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"));
        Ok(Certificate { names, issuer, not_before, not_after, fingerprint })
    }
}

fn text_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match *bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::SiteAuthority;

    #[test]
    fn a_certificate_is_described_by_its_names_its_issuer_and_its_end() {
        let names = ["main.example", "10.0.0.7", "::1"].map(str::to_owned);
        let leaf = SiteAuthority::create("Line 4", 1_800_000_000).expect("created").issue(&names, 1_800_000_000).expect("issued");
        let told = leaf.describe().expect("described");
        assert_eq!(told.names, names);
        assert_eq!(told.not_before, 1_800_000_000 - 86_400);
        assert_eq!(told.not_after, leaf.not_after().expect("an end"));
        assert!(told.issuer.starts_with("Tollkeeper site CA ") && told.fingerprint.len() == 7 + 64, "{told:?}");
    }
}
