//! What one registered domain covers (domain §4, charge way `domain`).
//!
//! The public suffix list says where one owner's names end and the next one's begin:
//! `example.com` is somebody's, `co.uk` is nobody's, and under `github.io` every tenant is
//! an owner. The list is Mozilla's, compiled in, so that nothing is ever fetched. Sites
//! without internet have names that it does not know: there the last label counts as the
//! suffix (`plant.local` is a registered domain), and a single label is a host of its own.
//! A device does without the list (feature `server`): what it reads, the vendor signed, who has it.

use super::id::shorten;

/// Longest name in the domain name system.
const NAME_MAX: usize = 253;
/// Stands for any label when a rule such as `*.ck` is looked for; no exception bears it.
const ANY_LABEL: &str = "any--label";

/// Whether a license can be for this domain; says what to write instead. It is the
/// registered domain itself, in any case, without scheme, port, path and `*.`; an
/// international name in its ASCII form (`xn--…`).
pub fn check(domain: &str) -> Result<(), String> {
    let shown = shorten(domain);
    let bare = bare(domain);
    if !bare.is_ascii() {
        return Err(format!("'{shown}' has letters beyond ASCII: write its punycode form, such as xn--bcher-kva.example for bücher.example"));
    }
    if is_address(bare) {
        return Err(format!("'{shown}' is an address, not a domain: write the name of the site, such as example.com"));
    }
    if !is_host_name(bare) {
        return Err(format!("'{shown}' is not a domain: write one such as example.com, without https://, port and path"));
    }
    if !cfg!(feature = "server") {
        return Ok(());
    }
    let Some(registered) = registered(bare) else {
        let own = bare.to_ascii_lowercase();
        return Err(format!("'{shown}' is a public suffix, under which anybody may have a site: write the customer's own domain, such as acme.{own}"));
    };
    if !registered.eq_ignore_ascii_case(bare) || domain.starts_with("*.") {
        return Err(format!("'{shown}' is not a registered domain: write {registered}: it covers every subdomain"));
    }
    if bare != domain {
        return Err(format!("'{shown}' is more than a domain: write {registered}, without https://, port, path and final dot"));
    }
    Ok(())
}

/// Whether a host, such as that of a page's origin, lies inside a licensed domain: equal
/// to it or below it, in any case, with or without a final dot. A domain of one label
/// covers exactly itself, and so does an address.
pub fn covers(domain: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if domain.is_empty() || host.eq_ignore_ascii_case(domain) {
        return !domain.is_empty();
    }
    let below = || host.len().checked_sub(domain.len() + 1).filter(|cut| *cut > 0 && host.is_char_boundary(*cut)).map(|cut| host.split_at(cut));
    domain.contains('.') && !is_address(host) && below().and_then(|(_, tail)| tail.strip_prefix('.')).is_some_and(|tail| tail.eq_ignore_ascii_case(domain))
}

/// The registered domain that a host lies in, lower case: `example.com` for
/// `shop.example.com`. A single label that is no public suffix is its own. `None` for
/// addresses, public suffixes, and what is no host name.
pub fn registered(host: &str) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if !is_host_name(&host) || is_address(&host) || is_public_suffix(&host) {
        return None;
    }
    let (suffix, _) = suffix(&host);
    let own = host.strip_suffix(suffix).and_then(|rest| rest.strip_suffix('.')).and_then(|rest| rest.rsplit('.').next());
    Some(own.map_or_else(|| host.clone(), |own| format!("{own}.{suffix}")))
}

/// Whether the list knows this name as one under which anybody may register: `com`,
/// `co.uk`, `github.io`; also the head of a rule for every name below it, such as `ck`.
pub fn is_public_suffix(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let is_rule = |name: &str| suffix(name) == (name, true);
    is_host_name(&name) && (is_rule(&name) || is_rule(&format!("{ANY_LABEL}.{name}")))
}

/// The suffix of a name in lower case, and whether the list knows it; if it does not, the
/// last label.
#[cfg(feature = "server")]
fn suffix(name: &str) -> (&str, bool) {
    let (length, is_known) = psl2::lookup(name).map_or((0, false), |found| (found.suffix().len(), found.is_known()));
    (&name[name.len() - length..], is_known)
}

#[cfg(not(feature = "server"))]
fn suffix(name: &str) -> (&str, bool) {
    (name.rsplit('.').next().unwrap_or(name), false)
}

/// Whether this could be the name of a host, in ASCII and without a final dot.
pub fn is_host_name(text: &str) -> bool {
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= NAME_MAX && text.split('.').all(label)
}

/// Whether a host is an IP address. A last label of digits is enough: no domain has one,
/// and browsers read `10.1` as an address.
pub fn is_address(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok() || (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()))
}

/// What is left of a typed URL or pattern when all but the name is taken away, in order to
/// say what was probably meant.
fn bare(text: &str) -> &str {
    let text = text.trim();
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.split(['/', '?', '#']).next().unwrap_or_default();
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let text = text.rsplit_once(':').filter(|(host, port)| is_port(port) && !host.contains(':')).map_or(text, |(host, _)| host);
    let text = text.strip_prefix("*.").unwrap_or(text);
    text.strip_suffix('.').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_license_is_for_a_registered_domain() {
        for good in [
            "example.com",
            "EXAMPLE.com",
            "example.co.uk",
            "acme.github.io",
            "xn--bcher-kva.example",
            "xn--85x722f.com.cn",
            "intranet",
            "localhost",
            "plant.local",
            "scanner.internal",
            "city.kawasaki.jp",
            "www.ck",
            "my_site.com",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write() {
        for (bad, advice) in [
            ("shop.example.com", "write example.com: it covers every subdomain"),
            ("a.b.example.co.uk", "write example.co.uk: it covers every subdomain"),
            ("*.example.com", "write example.com: it covers every subdomain"),
            ("*.shop.example.com", "write example.com: it covers every subdomain"),
            ("app.acme.github.io", "write acme.github.io: it covers every subdomain"),
            ("line4.plant.local", "write plant.local: it covers every subdomain"),
            ("https://example.com", "write example.com, without https://"),
            ("https://shop.example.com:8443/a?b", "write example.com: it covers"),
            ("example.com:8443", "write example.com, without https://, port"),
            ("example.com/shop", "write example.com, without https://, port, path"),
            ("example.com.", "write example.com, without https://, port, path and final dot"),
            (" example.com", "write example.com, without"),
            ("com", "such as acme.com"),
            ("co.uk", "such as acme.co.uk"),
            ("CO.UK", "such as acme.co.uk"),
            ("github.io", "such as acme.github.io"),
            ("*.github.io", "such as acme.github.io"),
            ("ck", "such as acme.ck"),
            ("anything.ck", "such as acme.anything.ck"),
            ("kawasaki.jp", "such as acme.kawasaki.jp"),
            ("xn--55qx5d.cn", "such as acme.xn--55qx5d.cn"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("公司.cn", "punycode"),
            ("192.168.1.10", "write the name of the site"),
            ("https://192.168.1.10:443", "write the name of the site"),
            ("[::1]", "write the name of the site"),
            ("::1", "write the name of the site"),
            ("10.1", "write the name of the site"),
            ("", "write one such as example.com"),
            ("*", "write one such as example.com"),
            ("a..b", "write one such as example.com"),
            ("-a.com", "write one such as example.com"),
            ("exam ple.com", "write one such as example.com"),
            ("user@example.com", "write one such as example.com"),
            ("a.com,b.com", "write one such as example.com"),
        ] {
            let complaint = check(bad).expect_err(bad);
            assert!(complaint.contains(advice), "{bad}: {complaint}");
        }
        assert!(check(&format!("{}com", "a.".repeat(130))).is_err(), "longer than a name can be");
    }

    #[test]
    fn a_domain_covers_itself_and_all_below_it() {
        for (domain, host, expected) in [
            ("example.com", "example.com", true),
            ("example.com", "EXAMPLE.COM", true),
            ("Example.com", "shop.example.com", true),
            ("example.com", "a.b.Example.com.", true),
            ("example.com", "example.com.", true),
            ("example.com", "evilexample.com", false),
            ("example.com", "example.com.evil.net", false),
            ("example.com", "example.org", false),
            ("example.com", "com", false),
            ("example.com", "", false),
            ("example.com", ".example.com", false),
            ("example.com", "éexample.com", false),
            ("acme.github.io", "acme.github.io", true),
            ("acme.github.io", "docs.acme.github.io", true),
            ("acme.github.io", "other.github.io", false),
            ("acme.github.io", "github.io", false),
            ("plant.local", "line4.plant.local", true),
            ("intranet", "intranet", true),
            ("intranet", "INTRANET.", true),
            ("intranet", "shop.intranet", false),
            ("1.10", "192.168.1.10", false),
            ("", "example.com", false),
            ("", "", false),
        ] {
            assert_eq!(covers(domain, host), expected, "{domain} covers {host}");
        }
    }

    #[test]
    fn the_registered_domain_of_a_host() {
        for (host, expected) in [
            ("shop.Example.com.", Some("example.com")),
            ("example.com", Some("example.com")),
            ("a.b.c.example.co.uk", Some("example.co.uk")),
            ("docs.acme.github.io", Some("acme.github.io")),
            ("line4.plant.local", Some("plant.local")),
            ("intranet", Some("intranet")),
            ("a.city.kawasaki.jp", Some("city.kawasaki.jp")),
            // Named by a rule, and by the one for all names of its kind, too.
            ("a.b.oci.customer-oci.com", Some("a.b.oci.customer-oci.com")),
            ("oci.customer-oci.com", None),
            ("co.uk", None),
            ("com", None),
            ("192.168.1.10", None),
            ("[::1]", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(registered(host).as_deref(), expected, "{host}");
        }
    }

    #[test]
    fn only_known_suffixes_are_public() {
        for known in ["com", "CO.uk", "github.io", "github.io.", "ck", "x.ck", "kawasaki.jp", "xn--55qx5d.cn", "home.arpa"] {
            assert!(is_public_suffix(known), "{known}");
        }
        for other in ["example.com", "local", "intranet", "plant.local", "acme.github.io", "city.kawasaki.jp", "www.ck", "10", "", ".com", "*.com"] {
            assert!(!is_public_suffix(other), "{other}");
        }
    }

    #[test]
    fn every_covered_host_has_a_domain_that_a_license_can_be_for() {
        for host in ["a.b.example.com", "docs.acme.github.io", "intranet", "x.y.z.plant.local", "a.b.c.kawasaki.jp"] {
            let domain = registered(host).expect("registered");
            assert_eq!(check(&domain), Ok(()), "{domain}");
            assert!(covers(&domain, host), "{domain} covers {host}");
        }
    }
}
