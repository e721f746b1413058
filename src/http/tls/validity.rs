//! When a certificate is valid. Read here, by hand, because rustls tells it to nobody and
//! rcgen forgets it: five fields into the certificate (RFC 5280 §4.1) it stands.

use chrono::NaiveDateTime;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The first and the last second of a certificate's life, since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

impl Validity {
    /// Reads it out of a certificate's DER. The error says what is missing.
    pub(super) fn of(certificate: &[u8]) -> Result<Self, &'static str> {
        Self::find(certificate).ok_or("it is not an X.509 certificate with a readable validity")
    }

    fn find(certificate: &[u8]) -> Option<Self> {
        let (_, certificate, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
        let (_, mut fields, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
        if let Some((VERSION, _, rest)) = element(fields) {
            fields = rest;
        }
        // Serial number, signature algorithm, issuer.
        for _ in 0..3 {
            (_, _, fields) = element(fields)?;
        }
        let (_, times, _) = element(fields).filter(|(tag, ..)| *tag == SEQUENCE)?;
        let (tag, value, rest) = element(times)?;
        let not_before = seconds(tag, value)?;
        let (tag, value, _) = element(rest)?;
        Some(Self { not_before, not_after: seconds(tag, value)? })
    }
}

/// The first DER element: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = der else { return None };
    let (length, rest) = match length {
        short @ 0..=0x7f => (usize::from(*short), rest),
        long @ 0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long - 0x80))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

fn seconds(tag: u8, value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?.strip_suffix('Z')?;
    let full = match tag {
        // RFC 5280 §4.1.2.5.1: two digits of the year stand for 1950 to 2049.
        UTC_TIME if text.get(..2)? >= "50" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    Some(NaiveDateTime::parse_from_str(&full, "%Y%m%d%H%M%S").ok()?.and_utc().timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_time_are_read() {
        assert_eq!(seconds(UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(seconds(UTC_TIME, b"491231235959Z"), Some(2_524_607_999));
        assert_eq!(seconds(GENERALIZED_TIME, b"20500101000000Z"), Some(2_524_608_000));
        assert_eq!(seconds(GENERALIZED_TIME, b"20500101000000"), None);
        assert_eq!(seconds(UTC_TIME, b"991301000000Z"), None);
    }

    #[test]
    fn a_certificate_cut_anywhere_is_refused_and_never_panics() {
        let pem = super::super::SiteAuthority::create("Site", 1_700_000_000).expect("created");
        let der = pem.der().expect("DER").to_vec();
        let whole = Validity::of(&der).expect("readable");
        assert_eq!(whole.not_before, 1_700_000_000 - 86_400);
        for length in 0..der.len() {
            assert!(Validity::of(&der[..length]).is_err());
        }
        for at in 0..der.len() {
            let mut bent = der.clone();
            bent[at] ^= 0xff;
            let _ = Validity::of(&bent);
        }
    }
}
