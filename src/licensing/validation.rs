//! Is this the genuine application? (domain §1 "validation field", codes 103 and 114.)

use serde::{Deserialize, Serialize};

use super::domain;

/// The validation fields of a handshake code. A request must match one of them, if there
/// are any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationFields {
    /// Website domains: `scan.example.com` (exactly that) or `*.example.com` (it and all
    /// below it). No case, no port.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Application ids such as `com.example.scanner`. Case matters, as in the stores.
    #[serde(default)]
    pub application_ids: Vec<String>,
    /// Process names such as `scanner.exe`. Case does not matter, as on Windows.
    #[serde(default)]
    pub process_names: Vec<String>,
}

/// What a request says about its application.
#[derive(Debug, Clone, Copy, Default)]
pub struct Characteristics<'a> {
    /// The host the page came from, without scheme and port.
    pub domain: Option<&'a str>,
    /// The application's id.
    pub application_id: Option<&'a str>,
    /// The name of its process.
    pub process_name: Option<&'a str>,
    /// Whether it runs in a browser: then only the domain counts, because it alone is not
    /// the page's own word.
    pub is_browser: bool,
}

/// Which field a request failed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// The domain (103).
    Domain,
    /// The application id or process name (114).
    Application,
}

impl ValidationFields {
    /// Whether the code asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty() && self.application_ids.is_empty() && self.process_names.is_empty()
    }

    /// Whether a page of this host may read the answers: the domains decide, and where there
    /// are none, any page may.
    pub fn allows_page(&self, host: &str) -> bool {
        self.domains.is_empty() || self.domains.iter().any(|pattern| domain_matches(pattern, host))
    }

    /// Whether the request matches one of the fields.
    pub fn check(&self, given: Characteristics<'_>) -> Result<(), Mismatch> {
        let domain = || given.domain.is_some_and(|domain| self.domains.iter().any(|pattern| domain_matches(pattern, domain)));
        let application = || given.application_id.is_some_and(|id| self.application_ids.iter().any(|wanted| wanted == id));
        let process = || given.process_name.is_some_and(|name| self.process_names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)));
        // A page can write anything into its body, but not its origin: for browsers only the domain counts.
        let matched = self.is_empty() || domain() || (!given.is_browser && (application() || process()));
        let only_domains = self.application_ids.is_empty() && self.process_names.is_empty();
        match matched {
            true => Ok(()),
            false if only_domains || (given.is_browser && !self.domains.is_empty()) => Err(Mismatch::Domain),
            false => Err(Mismatch::Application),
        }
    }
}

fn domain_matches(pattern: &str, domain: &str) -> bool {
    let domain = domain.trim_end_matches('.');
    match pattern.strip_prefix("*.") {
        None => pattern.eq_ignore_ascii_case(domain),
        Some(base) => {
            base.eq_ignore_ascii_case(domain)
                || domain.len().checked_sub(base.len()).filter(|cut| *cut > 1 && domain.is_char_boundary(*cut)).is_some_and(|cut| {
                    let (front, tail) = domain.split_at(cut);
                    front.ends_with('.') && tail.eq_ignore_ascii_case(base)
                })
        }
    }
}

/// Brings a domain that an admin typed into the form that is compared, or says what is
/// wrong with it. A port is dropped, because none is compared; a scheme or path is refused
/// rather than guessed away, and so is `*.` over a public suffix such as `github.io`.
pub fn clean_domain(text: &str) -> Result<String, String> {
    let lower = text.trim().to_ascii_lowercase();
    let shown = super::id::shorten(text);
    if let Some(host) = origin_host(&lower) {
        return Err(format!("'{shown}' has a scheme: write {}, the domain alone", super::id::shorten(&host)));
    }
    if !lower.is_ascii() {
        return Err(format!("'{shown}' has letters beyond ASCII: write the domain's punycode form, such as xn--bcher-kva.example"));
    }
    let is_port = |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok();
    let name = lower.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(lower.as_str(), |(name, _)| name);
    let base = name.strip_prefix("*.");
    if let Some(base) = base.filter(|base| domain::is_public_suffix(base)) {
        return Err(format!("'{shown}' would let in other people's sites, because anybody may have one under {base}: write the domain that is yours"));
    }
    if domain::is_host_name(base.unwrap_or(name)) && !base.is_some_and(domain::is_address) {
        Ok(name.to_owned())
    } else {
        Err(format!("'{shown}' is not a domain: write scan.example.com or *.example.com, without https:// and path"))
    }
}

/// Checks an application id or process name that an admin typed.
pub fn clean_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    if (1..=128).contains(&name.len()) && !name.chars().any(|c| c.is_control() || c == '/' || c == '\\') {
        Ok(name.to_owned())
    } else {
        Err(format!("'{}' is not an application id or process name: 1 to 128 characters, without path", super::id::shorten(text)))
    }
}

/// A domain as an application tells it, without the port that it may have.
pub fn without_port(domain: &str) -> &str {
    match domain.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => domain,
    }
}

/// The host of an `Origin` header (`https://scan.example.com:8443`), lower case.
pub fn origin_host(origin: &str) -> Option<String> {
    let (_, rest) = origin.split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = if authority.starts_with('[') { authority.split_inclusive(']').next()? } else { authority.split(':').next()? };
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> ValidationFields {
        ValidationFields {
            domains: vec!["*.example.com".into(), "line4.plant".into()],
            application_ids: vec!["com.example.Scanner".into()],
            process_names: vec!["scanner.exe".into()],
        }
    }

    #[test]
    fn one_matching_field_is_enough() {
        let none = Characteristics::default();
        for good in [
            Characteristics { domain: Some("a.b.example.com"), ..none },
            Characteristics { domain: Some("EXAMPLE.com"), ..none },
            Characteristics { domain: Some("line4.plant"), ..none },
            Characteristics { application_id: Some("com.example.Scanner"), ..none },
            Characteristics { process_name: Some("Scanner.EXE"), ..none },
        ] {
            assert_eq!(fields().check(good), Ok(()), "{good:?}");
        }
        assert_eq!(ValidationFields::default().check(none), Ok(()));
    }

    #[test]
    fn a_mismatch_says_domain_for_browsers_and_application_otherwise() {
        let none = Characteristics::default();
        for (given, expected) in [
            (Characteristics { domain: Some("evilexample.com"), is_browser: true, ..none }, Mismatch::Domain),
            (Characteristics { domain: Some("sub.line4.plant"), is_browser: true, ..none }, Mismatch::Domain),
            (Characteristics { application_id: Some("com.example.scanner"), ..none }, Mismatch::Application),
            (Characteristics { process_name: Some("evil.exe"), ..none }, Mismatch::Application),
            (Characteristics { domain: Some("evil.com"), process_name: Some("scanner.exe"), is_browser: true, ..none }, Mismatch::Domain),
            (none, Mismatch::Application),
        ] {
            assert_eq!(fields().check(given), Err(expected), "{given:?}");
        }
        let domains_only = ValidationFields { application_ids: vec![], process_names: vec![], ..fields() };
        assert_eq!(domains_only.check(none), Err(Mismatch::Domain));
    }

    #[test]
    fn the_host_of_an_origin_has_no_scheme_and_no_port() {
        assert_eq!(origin_host("https://Scan.Example.com:8443").as_deref(), Some("scan.example.com"));
        assert_eq!(origin_host("http://[::1]:80").as_deref(), Some("[::1]"));
        assert_eq!(origin_host("null"), None);
    }

    #[test]
    fn typed_domains_are_cleaned_or_refused() {
        for (typed, clean) in [
            (" *.Example.COM ", "*.example.com"),
            ("scan.example.com:8443", "scan.example.com"),
            ("*.example.com:443", "*.example.com"),
            ("localhost:3000", "localhost"),
            ("line4", "line4"),
            ("*.plant", "*.plant"),
            ("*.acme.github.io", "*.acme.github.io"),
            ("github.io", "github.io"),
            ("192.168.1.10:443", "192.168.1.10"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(clean_domain(typed), Ok(clean.into()), "{typed}");
        }
        for (bad, advice) in [
            ("https://scan.example.com", "write scan.example.com, the domain alone"),
            ("HTTPS://scan.example.com:8443/a", "write scan.example.com, the domain alone"),
            ("https://", "write scan.example.com or"),
            ("scan.example.com/a", "without https:// and path"),
            ("a.b:port", "write scan.example.com or"),
            ("a.b:", "write scan.example.com or"),
            ("a.b:+80", "write scan.example.com or"),
            ("a.b:99999", "write scan.example.com or"),
            (":80", "write scan.example.com or"),
            ("a b", "write scan.example.com or"),
            ("", "write scan.example.com or"),
            ("*", "write scan.example.com or"),
            ("*.", "write scan.example.com or"),
            ("a..b", "write scan.example.com or"),
            ("*.1.10", "write scan.example.com or"),
            ("bücher.example", "punycode"),
            ("*.com", "other people's sites"),
            ("*.CO.uk", "anybody may have one under co.uk"),
            ("*.github.io", "anybody may have one under github.io"),
            ("*.github.io:443", "anybody may have one under github.io"),
            ("*.ck", "anybody may have one under ck"),
        ] {
            let complaint = clean_domain(bad).expect_err(bad);
            assert!(complaint.contains(advice), "{bad}: {complaint}");
        }
    }
}
