//! The HTTPS certificates of a server that runs: renewed, replaced, refused, over real TLS.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use tollkeeper::client::transport::{CaPin, Method, Transport};
use tollkeeper::clock::{Clock as _, SystemClock};
use tollkeeper::http::tls::{SITE_PROTOCOL, fingerprint_of};

use crate::support::company::{Issued, server};
use crate::support::wire::{GET_SERVER, Wire, dial, https_address, journal_length};
use crate::support::{Company, Desk, Site, Vendor, until};

/// Where license keys of these sites lead to.
const NAME: &str = "license.plant.example";
const DAY: i64 = 86_400;

fn site() -> Site {
    Site::with_settings(|settings| settings.server_urls = vec![format!("https://{NAME}:48443")])
}

fn today() -> i64 {
    SystemClock.now_seconds()
}

#[derive(Debug)]
struct At(i64);

impl rustls::time_provider::TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.unsigned_abs())))
    }
}

/// Somebody who trusts one authority, comes by a name, and lives on some day.
struct Visitor<'a> {
    trusts: &'a str,
    asks_for: &'a str,
    protocols: &'a [&'a [u8]],
    now: i64,
}

impl<'a> Visitor<'a> {
    fn trusting(trusts: &'a str) -> Self {
        Self { trusts, asks_for: NAME, protocols: &[b"http/1.1"], now: today() }
    }

    /// A connection, its hands shaken, or why not.
    fn connect(&self, site: &Site) -> Result<Wire<StreamOwned<ClientConnection, TcpStream>>, String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.trusts.as_bytes()).expect("PEM")).expect("an authority");
        let mut config = ClientConfig::builder_with_details(Arc::new(provider::default_provider()), Arc::new(At(self.now)))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = self.protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from(self.asks_for.to_owned()).expect("a name");
        let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).expect("a client"), dial(https_address(site)));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|error| error.to_string())?;
        }
        Ok(Wire { stream, unread: Vec::new() })
    }

    /// SHA-256 of the certificate that it is shown.
    fn sees(&self, site: &Site) -> String {
        let wire = self.connect(site).expect("trusted");
        fingerprint_of(&wire.stream.conn.peer_certificates().expect("a certificate")[0])
    }
}

/// SHA-256 of a certificate, PEM.
fn hash(pem: &str) -> String {
    fingerprint_of(&CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM"))
}

fn answers<S: std::io::Read + std::io::Write>(wire: &mut Wire<S>) -> bool {
    wire.send(GET_SERVER);
    wire.expect_answer().status == 200
}

fn exceptions(site: &Site) -> Vec<(String, String)> {
    site.app().context().exceptions.list().into_iter().map(|exception| (exception.trouble.name().to_owned(), exception.detail)).collect()
}

#[test]
fn an_own_certificate_is_for_new_connections_while_open_ones_and_devices_go_on() {
    let (mut site, company) = (site(), Company::new());
    let vendor = site.trust(Vendor::new());
    site.import(&vendor, 100, "216998", vec![Vendor::scan_item(1)]);
    let (root, ca) = (company.root.pem(), site.app().context().ca_pem.clone());
    let key = site.admin_get_text("handshakes/216998-100/key");
    let mut open = Visitor::trusting(&ca).connect(&site).expect("the site's authority");
    assert!(answers(&mut open));
    Visitor::trusting(&root).connect(&site).map(drop).expect_err("nothing of the company's yet");

    let own = company.issue_for(&[NAME]);
    let told = site.admin(Method::Put, "certificate", Some(own.body()));
    assert_eq!((&told["source"], &told["issuer"], &told["names"]), (&json!("own"), &json!("Plant issuing"), &json!([NAME])));
    assert_eq!(Visitor::trusting(&root).sees(&site), hash(&own.leaf));
    assert!(answers(&mut open), "a connection that was open");
    let shown = Visitor::trusting(&root).connect(&site).expect("trusted").stream.conn.peer_certificates().expect("a chain").len();
    assert_eq!(shown, 2, "the root is not sent along");

    // Devices trust exactly the site's authority: their license keys hold, and so does what they get.
    Visitor::trusting(&ca).connect(&site).map(drop).expect_err("a browser that trusts only the site");
    assert_eq!(site.admin_get_text("handshakes/216998-100/key"), key);
    let fingerprint = site.app().context().ca_fingerprint.clone();
    let device = Transport::pinned(&format!("https://{}", https_address(&site)), CaPin::Fingerprint(fingerprint)).expect("a device");
    assert!(device.get("/api/v1/server").is_ok());
    let naming = Visitor { protocols: &[b"http/1.1", SITE_PROTOCOL], ..Visitor::trusting(&ca) };
    let mut wire = naming.connect(&site).expect("the site's authority");
    assert!(answers(&mut wire));
    let by_address = Visitor { asks_for: "127.0.0.1", ..Visitor::trusting(&ca) };
    by_address.connect(&site).expect("the own certificate is for no address");

    site.restart();
    assert_eq!(Visitor::trusting(&root).sees(&site), hash(&own.leaf), "it is kept");
    let database = std::fs::read(site.data().join("tollkeeper.db")).expect("the database");
    let secret = own.key.lines().nth(1).expect("a line of the key");
    assert!(!database.windows(secret.len()).any(|window| window == secret.as_bytes()), "the key is sealed");
    let told = site.admin(Method::Delete, "certificate", None);
    assert_eq!((&told["source"], &told["problem"]), (&json!("site_ca"), &Value::Null));
    Visitor::trusting(&ca).connect(&site).expect("the site's authority again");
    assert_eq!(site.try_admin(Method::Delete, "certificate", None).status, 404);
    let audit = site.admin_get("audit");
    let acts: Vec<_> = audit["entries"].as_array().expect("entries").iter().map(|entry| entry["action"].as_str().expect("an action")).take(2).collect();
    assert_eq!(acts, ["certificate_removed", "certificate_set"]);
}

/// A certificate whose parameters are bent.
fn bent(company: &Company, bend: impl FnOnce(&mut CertificateParams)) -> Issued {
    let mut params = server(&[NAME]);
    bend(&mut params);
    company.issue(&params)
}

#[test]
fn what_browsers_would_refuse_is_refused_with_the_reason_and_nothing_is_changed() {
    let (site, company, other) = (site(), Company::new(), Company::new());
    let good = company.issue_for(&[NAME]);
    let (between, root) = (company.between.pem(), company.root.pem());
    let key = KeyPair::generate().expect("a key");
    let alone = server(&[NAME]).self_signed(&key).expect("signed");
    let (ended, begins) =
        (bent(&company, |params| params.not_after = date_time_ymd(2026, 1, 1)), bent(&company, |params| params.not_before = date_time_ymd(2050, 1, 1)));
    let client = bent(&company, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    let nameless = bent(&company, |params| params.subject_alt_names.clear());
    let authority = Issued { leaf: String::new(), chain: format!("{between}{root}"), key: company.between.key().serialize_pem() };
    let weak = include_str!("golden/rsa-1024.pem");
    let damaged = good.leaf.replacen("MII", "MIJ", 1);
    let cases: Vec<(&str, String, &str, &str, &str)> = vec![
        ("nothing", String::new(), &good.key, "certificate", "is empty"),
        ("garbage", "hello".to_owned(), &good.key, "certificate", "is not PEM"),
        ("the two in each other's place", good.key.clone(), &good.chain, "certificate", "is a private key"),
        ("half of a file", good.leaf[..200].to_owned(), &good.key, "certificate", "PEM"),
        ("what is no certificate inside", damaged, &good.key, "certificate", "number 1"),
        ("no key", good.chain.clone(), "", "key", "is empty"),
        ("a certificate as the key", good.chain.clone(), &good.chain, "key", "is a certificate"),
        (
            "a key with a passphrase",
            good.chain.clone(),
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "key",
            "passphrase",
        ),
        ("another one's key", good.chain.clone(), &ended.key, "key", "is not the one that belongs"),
        ("the end long ago", ended.chain.clone(), &ended.key, "certificate", "was valid to 2026-01-01"),
        ("the beginning far off", begins.chain.clone(), &begins.key, "certificate", "is valid from 2050-01-01"),
        (
            "no authority in between",
            format!("{}{root}", good.leaf),
            &good.key,
            "certificate",
            "in the wrong order: 'license.plant.example' was not issued by 'Plant root'",
        ),
        ("the certificate alone", good.leaf.clone(), &good.key, "certificate", "is incomplete: 'license.plant.example' was issued by 'Plant issuing'"),
        ("no root", format!("{}{between}", good.leaf), &good.key, "certificate", "is incomplete: 'Plant issuing' was issued by 'Plant root'"),
        ("authorities first", format!("{between}{root}{}", good.leaf), &good.key, "certificate", "must come first"),
        ("the others turned round", format!("{}{root}{between}", good.leaf), &good.key, "certificate", "in the wrong order"),
        ("signed by itself", alone.pem(), "", "key", "is empty"),
        ("authorities that only have the names", format!("{}{}{}", good.leaf, other.between.pem(), other.root.pem()), &good.key, "certificate", "forged"),
        ("an authority's", authority.chain.clone(), &authority.key, "certificate", "that of an authority"),
        ("for clients", client.chain.clone(), &client.key, "certificate", "is not for servers"),
        ("for no name", nameless.chain.clone(), &nameless.key, "certificate", "is for no name"),
        ("too weak", weak.to_owned(), &good.key, "certificate", "RSA key of 1024 bits"),
    ];
    let before = (site.admin_get("certificate"), journal_length(&site));
    for (case, chain, key, field, told) in &cases {
        let reply = site.try_admin(Method::Put, "certificate", Some(json!({"certificate": chain, "key": key})));
        let problem: Value = reply.json().expect("a problem");
        assert_eq!((reply.status, problem["field"].as_str()), (400, Some(*field)), "{case}: {problem}");
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.starts_with(&format!("the {field} ")) && detail.contains(told), "{case}: {detail}");
    }
    let itself = site.try_admin(Method::Put, "certificate", Some(json!({"certificate": alone.pem(), "key": key.serialize_pem()})));
    assert!(itself.json::<Value>().expect("a problem")["detail"].as_str().is_some_and(|detail| detail.contains("signed by itself")));
    let elsewhere = company.issue_for(&["www.plant.example", "*.scan.plant.example"]);
    let reply: Value = site.try_admin(Method::Put, "certificate", Some(elsewhere.body())).json().expect("a problem");
    assert!(reply["detail"].as_str().is_some_and(|detail| detail.contains("license keys lead to license.plant.example")), "{reply}");
    assert_eq!((site.admin_get("certificate"), journal_length(&site)), before, "nothing was changed");
    Visitor::trusting(&site.app().context().ca_pem).connect(&site).expect("the site's authority");
    site.admin(Method::Put, "certificate", Some(good.body()));
}

#[test]
fn files_that_something_else_renews_are_taken_within_a_minute_and_bad_ones_are_told() {
    let (company, dir) = (Company::new(), tempfile::tempdir().expect("a directory"));
    let (certificate, key) = (dir.path().join("fullchain.pem"), dir.path().join("privkey.pem"));
    let write = |issued: &Issued| {
        std::fs::write(&certificate, &issued.chain).expect("written");
        std::fs::write(&key, &issued.key).expect("written");
    };
    let first = company.issue_for(&[NAME]);
    write(&first);
    let mut site = Site::with_settings(|settings| {
        settings.server_urls = vec![format!("https://{NAME}:48443")];
        (settings.tls.certificate, settings.tls.key) = (certificate.clone(), key.clone());
    });
    let root = company.root.pem();
    let visitor = Visitor::trusting(&root);
    let mut open = visitor.connect(&site).expect("the company's");
    assert_eq!(visitor.sees(&site), hash(&first.leaf));
    assert_eq!(site.admin_get("certificate")["source"], "own_files");
    let reply = site.try_admin(Method::Put, "certificate", Some(first.body()));
    assert_eq!(reply.status, 409, "{}", String::from_utf8_lossy(&reply.body));

    let second = company.issue_for(&[NAME, "second.plant.example"]);
    write(&second);
    site.clock.advance_seconds(60);
    until("the new file", 20, || (visitor.sees(&site) == hash(&second.leaf)).then_some(()));
    assert!(answers(&mut open), "a connection that was open");

    // One of the two files is written, the other one not yet: that may be over in a minute.
    std::fs::write(&certificate, &first.chain).expect("written");
    let certificates = &site.app().context().certificates;
    certificates.tick(today());
    assert_eq!(exceptions(&site), []);
    certificates.tick(today());
    let (name, detail) = exceptions(&site).pop().expect("it is told");
    assert!(name == "certificate_not_renewed" && detail.contains("privkey.pem is not the one that belongs"), "{detail}");
    assert_eq!(visitor.sees(&site), hash(&second.leaf), "what was in use goes on");
    assert!(site.admin_get("alerts")["current"].to_string().contains("certificate_not_renewed"));
    write(&first);
    certificates.tick(today());
    assert_eq!((exceptions(&site), visitor.sees(&site)), (vec![], hash(&first.leaf)));

    // A server that starts with files that it cannot use serves all the same.
    std::fs::remove_file(&key).expect("removed");
    site.restart();
    assert_eq!(exceptions(&site)[0].0, "certificate_not_renewed");
    Visitor::trusting(&site.app().context().ca_pem).connect(&site).expect("the site's authority");
    let told = site.admin_get("certificate");
    assert!(told["source"] == "site_ca" && told["problem"].as_str().is_some_and(|problem| problem.contains("privkey.pem cannot be read")), "{told}");
}

#[test]
fn the_sites_certificate_is_renewed_while_a_connection_lives_on_and_follows_the_names() {
    let site = site();
    let ca = site.app().context().ca_pem.clone();
    let visitor = Visitor::trusting(&ca);
    let (mut open, first) = (visitor.connect(&site).expect("trusted"), visitor.sees(&site));
    let certificates = &site.app().context().certificates;
    let (now, end) = (today(), today() - DAY + 397 * DAY);
    certificates.tick(end - 397 * DAY / 3 - DAY);
    assert_eq!(visitor.sees(&site), first, "a third of its life is left");
    let later = end - 397 * DAY / 3 + DAY;
    certificates.tick(later);
    let renewed = Visitor { now: later, ..Visitor::trusting(&ca) };
    assert_ne!(renewed.sees(&site), first);
    assert!(answers(&mut open), "a connection that was open");
    assert_eq!(exceptions(&site), []);

    // The administrator gives devices another address: browsers that come by it are not warned.
    let moved = Visitor { asks_for: "new.plant.example", now: later, ..Visitor::trusting(&ca) };
    moved.connect(&site).map(drop).expect_err("not yet its name");
    site.admin(Method::Patch, "settings", Some(json!({"server_urls": ["https://new.plant.example:48443"]})));
    certificates.tick(later);
    moved.connect(&site).expect("its name");

    // The authority itself, years on: the file for browsers is new, license keys are not.
    let fingerprint = site.app().context().ca_fingerprint.clone();
    let years = now + 19 * 365 * DAY;
    certificates.tick(years);
    let file = std::fs::read_to_string(site.data().join("tls/ca.pem")).expect("ca.pem");
    assert!(file != ca && file == site.admin_get_text("certificate/ca.pem"));
    assert_eq!(site.admin_get("certificate")["ca_fingerprint"], fingerprint);
    assert_eq!(site.anonymous().get("/api/v1/server").expect("an answer").json::<Value>().expect("JSON")["ca_pem"], ca);
    for trusts in [&file, &ca] {
        Visitor { asks_for: "localhost", now: years, ..Visitor::trusting(trusts) }.connect(&site).expect("either is trusted");
    }
    assert!(answers(&mut open));
}

#[test]
fn the_end_of_an_own_certificate_is_told_from_30_days_before_and_then_the_sites_takes_its_place() {
    let (site, company) = (site(), Company::new());
    site.admin(Method::Put, "certificate", Some(company.issue_for(&[NAME]).body()));
    let end = chrono::DateTime::parse_from_rfc3339(site.admin_get("certificate")["not_after"].as_str().expect("its end")).expect("a time").timestamp();
    let certificates = &site.app().context().certificates;
    let told = |days: i64| {
        certificates.tick(end - days * DAY + 60);
        exceptions(&site).into_iter().find(|(name, _)| name == "certificate_ending").map_or_else(String::new, |(_, detail)| detail)
    };
    assert_eq!(told(31), "");
    for (days, words) in [(30, "within 30 days"), (29, "within 30 days"), (14, "within 14 days"), (7, "within 7 days"), (1, "within a day"), (0, "ended at")] {
        let detail = told(days);
        assert!(detail.contains(words) && detail.contains("tollkeeper certificate set"), "{days}: {detail}");
    }
    assert!(site.admin_get("alerts")["current"].to_string().contains("\"certificate_ending\""));
    // Nobody takes one that has ended: the other one is better than none.
    let ca = site.app().context().ca_pem.clone();
    Visitor { now: end + DAY, ..Visitor::trusting(&ca) }.connect(&site).expect("the site's authority");
    site.admin(Method::Delete, "certificate", None);
    assert_eq!(exceptions(&site), []);
}

#[test]
fn viewers_look_at_the_certificate_and_change_nothing() {
    let site = crate::support::wire::plain_site(|settings| settings.server_urls = vec![format!("https://{NAME}:48443")]);
    let token = site.admin(Method::Post, "tokens", Some(json!({"name": "monitoring", "scope": "read"})))["token"].as_str().expect("a token").to_owned();
    let ask = |method: &str, body: &str| {
        let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        crate::support::wire::once(&site, format!("{method} /api/v1/admin/certificate HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}").as_bytes())
    };
    assert_eq!(ask("GET", "").status, 200);
    assert_eq!(ask("PUT", &Company::new().issue_for(&[NAME]).body().to_string()).status, 403);
    assert_eq!(ask("DELETE", "").status, 403);
    assert_eq!(site.admin_get("certificate")["source"], "site_ca");
}

#[test]
fn the_console_sets_shows_and_removes_a_certificate() {
    let (desk, company) = (Desk::licensed(), Company::new());
    let own = company.issue_for(&[NAME]);
    desk.write("chain.pem", &own.chain);
    desk.write("key.pem", &own.key);
    let told = desk.done(&["certificate", "set", "--cert", "chain.pem", "--key", "key.pem"]);
    assert_eq!(told, format!("In use for new connections: {NAME}, valid to 2060-12-31T00:00:00Z.\n"));
    assert!(desk.done(&["certificate", "show"]).starts_with("from           brought by the administrator\nissued by      Plant issuing\n"));
    assert_eq!(desk.json(&["certificate", "show", "--json"])["names"], json!([NAME]));
    let refused = desk.run(&["certificate", "set", "--cert", "key.pem", "--key", "key.pem"]);
    assert!(refused.status == 1 && refused.stderr.contains("the certificate is a private key"), "{}", refused.stderr);
    assert!(desk.done(&["certificate", "remove"]).starts_with("Removed; new connections get the certificate of the site's authority"));
}
