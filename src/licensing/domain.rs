//! What one registered domain covers (domain §4, charge way `domain`).

/// Whether a license can be for this domain; says what to write instead.
pub fn check(_domain: &str) -> Result<(), String> {
    Ok(())
}

/// Whether a host lies inside the domain.
pub fn covers(domain: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == domain || host.strip_suffix(domain).is_some_and(|front| front.ends_with('.'))
}
