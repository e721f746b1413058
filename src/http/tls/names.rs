//! The names a server certificate carries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rcgen::SanType;
use rustls::pki_types::ServerName;

use super::TlsError;

/// The names this machine is reached by, as far as it knows them itself: localhost, its host
/// name, the addresses it listens on, the addresses it would speak to others from, and
/// `extra`. Without duplicates; names no certificate can carry are left out, except in `extra`.
pub fn default_names(listen: &[SocketAddr], extra: &[String]) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    names.extend(host_name());
    names.extend(listen.iter().map(|address| address.ip()).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string()));
    names.extend(primary_addresses().map(|ip| ip.to_string()));
    names.extend(extra.iter().map(|name| plain_name(name)));
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| !name.is_empty() && seen.insert(name.clone()));
    names
}

/// The name of this machine, when it has one that a certificate can carry.
pub fn host_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(plain_name(&text)).filter(|name| !name.is_empty() && subject_name(name).is_ok())
}

/// The addresses this machine speaks from. Connecting a UDP socket only looks up the route; no packet is sent.
fn primary_addresses() -> impl Iterator<Item = IpAddr> {
    // Addresses reserved for documentation: nobody's, but routed like anybody's.
    let v4 = (IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)));
    let v6 = (IpAddr::from(Ipv6Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)));
    [v4, v6].into_iter().filter_map(|(from, to)| {
        let socket = UdpSocket::bind((from, 0)).ok()?;
        socket.connect((to, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
    })
}

/// `name` as certificates compare it: lower case, no dot at the end, no brackets around IPv6.
pub(super) fn plain_name(name: &str) -> String {
    name.trim().trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

/// How a certificate carries `name`.
pub(super) fn subject_name(name: &str) -> Result<SanType, TlsError> {
    let plain = plain_name(name);
    let refused = || TlsError::Name { name: name.to_owned() };
    match ServerName::try_from(plain.strip_prefix("*.").unwrap_or(&plain)).map_err(|_| refused())? {
        ServerName::IpAddress(_) => plain.parse().map(SanType::IpAddress).map_err(|_| refused()),
        _ => plain.try_into().map(SanType::DnsName).map_err(|_| refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::SiteAuthority;
    use super::*;

    #[test]
    fn the_default_names_can_all_be_certified_and_appear_once() {
        let listen: Vec<SocketAddr> = ["127.0.0.1:1", "10.9.8.7:1", "0.0.0.0:1", "[::]:1"].iter().map(|a| a.parse().expect("address")).collect();
        let found = default_names(&listen, &["Main.Example", "main.example.", "localhost"].map(str::to_owned));
        assert_eq!(found[..3], ["localhost", "127.0.0.1", "::1"]);
        for once in ["localhost", "127.0.0.1", "10.9.8.7", "main.example"] {
            assert_eq!(found.iter().filter(|name| *name == once).count(), 1, "{once} in {found:?}");
        }
        assert!(!found.iter().any(|name| name == "0.0.0.0" || name == "::"));
        let leaf = SiteAuthority::create("Line 4", 1_800_000_000).expect("created").issue(&found, 1_800_000_000).expect("issued");
        assert!(leaf.covers(&found));
    }
}
