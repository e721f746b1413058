//! The site's authority and its certificates, by real handshakes.

use std::sync::Arc;

use rustls::pki_types::UnixTime;
use rustls::{ClientConfig, ClientConnection, NamedGroup, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection};

use super::*;

const NOW: i64 = 1_800_000_000;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn site() -> SiteAuthority {
    SiteAuthority::create("Line 4", NOW).expect("created")
}

#[derive(Debug)]
struct At(i64);

impl rustls::time_provider::TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.unsigned_abs())))
    }
}

fn client(ca: &SiteAuthority, versions: &[&'static rustls::SupportedProtocolVersion]) -> Arc<ClientConfig> {
    client_at(ca, versions, NOW)
}

fn client_at(ca: &SiteAuthority, versions: &[&'static rustls::SupportedProtocolVersion], now: i64) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().expect("DER")).expect("a trust anchor");
    let mut config = ClientConfig::builder_with_details(Arc::new(provider::default_provider()), Arc::new(At(now)))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

fn server(leaf: &Leaf) -> (Arc<Shown>, Arc<ServerConfig>) {
    let certificate = Arc::new(Shown::new(leaf).expect("usable"));
    (Arc::clone(&certificate), Arc::new(rustls_config(certificate, None).expect("a configuration")))
}

fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, name: &str) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::clone(client), name)?;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        let mut arriving = wire.as_slice();
        while !arriving.is_empty() {
            server.read_tls(&mut arriving).expect("memory");
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        let mut arriving = wire.as_slice();
        while !arriving.is_empty() {
            client.read_tls(&mut arriving).expect("memory");
            client.process_new_packets()?;
        }
    }
    Ok((client, server))
}

#[test]
fn a_client_that_trusts_only_the_site_reaches_every_name_over_tls_1_2_and_1_3() {
    let ca = site();
    let leaf = ca.issue(&names(&["localhost", "127.0.0.1", "::1", "*.scan.example"]), NOW).expect("issued");
    let (_, server) = server(&leaf);
    for (version, negotiated) in [(&rustls::version::TLS12, ProtocolVersion::TLSv1_2), (&rustls::version::TLS13, ProtocolVersion::TLSv1_3)] {
        let client = client(&ca, &[version]);
        for name in ["localhost", "127.0.0.1", "::1", "line4.scan.example"] {
            let (client, _) = handshake(&client, &server, name).expect(name);
            assert_eq!(client.protocol_version(), Some(negotiated));
            assert_eq!(client.alpn_protocol(), Some(&b"h2"[..]));
        }
        handshake(&client, &server, "main.example").expect_err("a name it was not given");
        handshake(&client, &server, "192.0.2.7").expect_err("an address it was not given");
    }
    handshake(&client(&site(), rustls::ALL_VERSIONS), &server, "localhost").expect_err("another site's authority");
}

#[test]
fn the_key_exchange_is_post_quantum_when_both_offer_it() {
    let ca = site();
    let (_, server) = server(&ca.issue(&names(&["localhost"]), NOW).expect("issued"));
    let (client, _) = handshake(&client(&ca, rustls::ALL_VERSIONS), &server, "localhost").expect("handshake");
    let group = client.negotiated_key_exchange_group().expect("a group").name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
}

#[test]
fn a_second_connection_is_resumed() {
    let ca = site();
    let (_, server) = server(&ca.issue(&names(&["localhost"]), NOW).expect("issued"));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = client(&ca, &[version]);
        handshake(&client, &server, "localhost").expect("first");
        let (second, _) = handshake(&client, &server, "localhost").expect("second");
        assert_eq!(second.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    }
}

#[test]
fn a_replaced_certificate_serves_new_connections_and_a_bad_one_changes_nothing() {
    let ca = site();
    let (certificate, server) = server(&ca.issue(&names(&["old.example"]), NOW).expect("issued"));
    let client = client(&ca, rustls::ALL_VERSIONS);
    certificate.show(&ca.issue(&names(&["new.example"]), NOW).expect("issued"), None).expect("replaced");
    handshake(&client, &server, "new.example").expect("the new one");
    handshake(&client, &server, "old.example").expect_err("the old one is gone");
    let garbage = Leaf { chain_pem: "x".into(), key_pem: "y".into() };
    certificate.show(&garbage, None).expect_err("refused");
    handshake(&client, &server, "new.example").expect("still the new one");
}

#[test]
fn an_own_certificate_is_for_whoever_asks_for_its_names_and_does_not_name_the_sites_authority() {
    let (ca, company) = (site(), site());
    let site_leaf = ca.issue(&names(&["main.example", "localhost"]), NOW).expect("issued");
    let (certificate, server) = server(&site_leaf);
    let own = company.issue(&names(&["main.example", "*.scan.example"]), NOW).expect("issued");
    certificate.show(&site_leaf, Some(&own)).expect("shown");
    let (pinning, trusting) = (client(&ca, rustls::ALL_VERSIONS), client(&company, rustls::ALL_VERSIONS));
    for name in ["main.example", "a.scan.example"] {
        handshake(&trusting, &server, name).expect(name);
    }
    handshake(&pinning, &server, "main.example").expect_err("the own certificate");
    handshake(&pinning, &server, "localhost").expect("a name that is not the own certificate's");
    let mut naming = (*pinning).clone();
    naming.alpn_protocols = vec![b"http/1.1".to_vec(), SITE_PROTOCOL.to_vec()];
    let (client, _) = handshake(&Arc::new(naming), &server, "main.example").expect("the site's");
    assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn a_leaf_knows_its_names_and_the_last_third_of_its_life() {
    let given = names(&["Main.Example.", "[::1]", "10.0.0.7", "*.scan.example"]);
    let leaf = site().issue(&given, NOW).expect("issued");
    assert!(leaf.covers(&given));
    assert!(leaf.covers(&names(&["main.example", "a.scan.example"])));
    assert!(!leaf.covers(&names(&["main.example", "*.example"])));
    assert!(!leaf.covers(&names(&["10.0.0.8"])));
    let end = leaf.not_after().expect("readable");
    assert_eq!(end, NOW - DAY_SECONDS + 397 * DAY_SECONDS);
    let third = 397 * DAY_SECONDS / 3;
    assert!(!leaf.needs_renewal(end - third));
    assert!(leaf.needs_renewal(end - third + 1));
}

#[test]
fn an_authority_near_its_end_goes_on_under_the_same_key_and_whoever_trusts_the_first_certificate_notices_nothing() {
    let ca = site();
    let end = ca.not_after().expect("readable");
    let leaf = ca.issue(&names(&["localhost"]), end - 10 * DAY_SECONDS).expect("issued");
    assert!(leaf.not_after().expect("readable") <= end, "a leaf never outlives its authority");
    ca.issue(&names(&["localhost"]), end).expect_err("expired");
    assert_eq!(ca.renew(end - AUTHORITY_RENEWAL_DAYS * DAY_SECONDS).expect("readable"), None);

    let later = end + 365 * DAY_SECONDS;
    let renewed = ca.renew(later).expect("readable").expect("renewed");
    assert_eq!((&renewed.ca_pem, renewed.fingerprint().ok()), (&ca.ca_pem, ca.fingerprint().ok()), "license keys stay as they are");
    assert!(renewed.not_after().expect("readable") > later + 19 * 365 * DAY_SECONDS);
    let (_, server) = server(&renewed.issue(&names(&["localhost"]), later).expect("issued"));
    let by_new = SiteAuthority { ca_pem: renewed.current_pem().to_owned(), ..ca.clone() };
    assert_ne!(by_new.fingerprint().ok(), ca.fingerprint().ok());
    for trusted in [&ca, &by_new] {
        handshake(&client_at(trusted, rustls::ALL_VERSIONS, later), &server, "localhost").expect("trusted");
    }
    assert_eq!(renewed.renew(later).expect("readable"), None);
}

#[test]
fn a_stored_authority_comes_back_and_goes_on_issuing_under_the_same_fingerprint() {
    let ca = site();
    let again = SiteAuthority::from_pem(&ca.ca_pem, &ca.ca_key_pem).expect("loaded");
    let fingerprint = again.fingerprint().expect("fingerprint");
    assert_eq!(fingerprint, ca.fingerprint().expect("fingerprint"));
    assert_eq!(fingerprint.len(), "sha256:".len() + 64);
    assert_eq!(fingerprint, fingerprint.to_lowercase());
    let (_, server) = server(&again.issue(&names(&["localhost"]), NOW).expect("issued"));
    handshake(&client(&ca, rustls::ALL_VERSIONS), &server, "localhost").expect("trusted");
    assert_ne!(fingerprint, site().fingerprint().expect("fingerprint"));
}

#[test]
fn garbage_is_refused_with_a_reason() {
    let ca = site();
    let other = site();
    let leaf = ca.issue(&names(&["localhost"]), NOW).expect("issued");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (error, told) in [
        (SiteAuthority::from_pem("hello", &ca.ca_key_pem), "holds no"),
        (SiteAuthority::from_pem(broken, &ca.ca_key_pem), "not an X.509 certificate"),
        (SiteAuthority::from_pem(&ca.ca_pem, "hello"), "CA key"),
        (SiteAuthority::from_pem(&ca.ca_pem, &other.ca_key_pem), "keys may not be consistent: KeyMismatch"),
        (SiteAuthority::from_pem(&leaf.chain_pem, &leaf.key_pem), "may not sign"),
        (SiteAuthority::from_pem(&format!("{}{}", ca.ca_pem, ca.ca_pem), &ca.ca_key_pem), "exactly one"),
    ] {
        let error = error.expect_err(told).to_string();
        assert!(error.contains(told), "{error}");
    }
    Leaf::from_pem(&leaf.chain_pem, &other.ca_key_pem).expect_err("another key");
    Leaf::from_pem(&leaf.chain_pem, &leaf.key_pem).expect("its own key");
    for name in ["", "a b", "*", "x.*.y", "http://main"] {
        let error = ca.issue(&names(&[name]), NOW).expect_err(name).to_string();
        assert!(error.contains(name), "{error}");
    }
    assert!(matches!(ca.issue(&[], NOW), Err(TlsError::NoNames)));
    assert!(!Leaf { chain_pem: String::new(), key_pem: String::new() }.covers(&names(&["localhost"])));
}

#[test]
fn secrets_do_not_reach_the_log() {
    let ca = site();
    let leaf = ca.issue(&names(&["localhost"]), NOW).expect("issued");
    assert!(!format!("{ca:?}{leaf:?}").contains("PRIVATE KEY"));
}

/// Strict as Python 3.13 is by default. Skipped where there is no Python.
#[test]
fn the_standard_clients_of_other_languages_accept_the_chain() {
    let folder = tempfile::tempdir().expect("a folder");
    // Python looks at the machine's clock.
    let now = crate::clock::Clock::now_seconds(&crate::clock::SystemClock);
    let ca = SiteAuthority::create("Line 4", now).expect("created");
    let leaf = ca.issue(&names(&["localhost", "127.0.0.1"]), now).expect("issued");
    for (file, text) in [("ca.pem", &ca.ca_pem), ("leaf.pem", &leaf.chain_pem), ("key.pem", &leaf.key_pem)] {
        std::fs::write(folder.path().join(file), text).expect("written");
    }
    let script = r"
import ssl
c = ssl.create_default_context(cafile='ca.pem')
c.verify_flags |= ssl.VERIFY_X509_STRICT | getattr(ssl, 'VERIFY_X509_PARTIAL_CHAIN', 0x80000)
s = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH); s.load_cert_chain('leaf.pem', 'key.pem')
ci, co, si, so = (ssl.MemoryBIO() for _ in range(4))
client = c.wrap_bio(ci, co, server_hostname='localhost'); server = s.wrap_bio(si, so, server_side=True)
for _ in range(6):
    for side, out, into in ((client, co, si), (server, so, ci)):
        try: side.do_handshake()
        except ssl.SSLWantReadError: pass
        into.write(out.read())
print('accepted', client.version(), client.getpeercert()['subjectAltName'])
";
    let Ok(python) = std::process::Command::new("python3").args(["-c", script]).current_dir(folder.path()).output() else {
        return;
    };
    let told = String::from_utf8_lossy(&python.stdout).into_owned() + &String::from_utf8_lossy(&python.stderr);
    assert!(told.contains("accepted TLSv1.3"), "{told}");
}
