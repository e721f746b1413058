//! What one registered domain covers (domain §4, charge way `domain`).

/// Whether a license can be for this domain; says what to write instead.
pub fn check(_domain: &str) -> Result<(), String> {
    Ok(())
}

/// Whether the registered domain covers this host: itself and every subdomain.
pub fn covers(domain: &str, host: &str) -> bool {
    let front = host.len().checked_sub(domain.len()).filter(|cut| host.is_char_boundary(*cut)).map(|cut| host.split_at(cut));
    front.is_some_and(|(front, tail)| tail.eq_ignore_ascii_case(domain) && (front.is_empty() || front.ends_with('.') && front.len() > 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_covers_itself_and_its_subdomains() {
        for host in ["example.com", "scan.Example.com", "a.b.example.com"] {
            assert!(covers("example.com", host), "{host}");
        }
        for host in ["", "com", ".example.com", "badexample.com", "example.com.evil.org"] {
            assert!(!covers("example.com", host), "{host}");
        }
    }
}
