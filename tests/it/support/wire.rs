//! One connection, byte by byte: what broken and hostile clients need.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tollkeeper::settings::Settings;

use super::{Device, Site, Vendor};

/// Nothing here may take longer; whatever does has hung.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A licensed site that serves plain HTTP too.
pub fn plain_site(change: impl FnOnce(&mut Settings)) -> Site {
    let site = Site::with_settings(|settings| {
        settings.http = vec!["127.0.0.1:0".to_owned()];
        change(settings);
    });
    let vendor = site.trust(Vendor::new());
    site.import(&vendor, 100, "216998", vec![Vendor::scan_item(1)]);
    site
}

pub fn plain_address(site: &Site) -> SocketAddr {
    site.app().http_addresses()[0]
}

pub fn https_address(site: &Site) -> SocketAddr {
    site.app().https_addresses()[0]
}

/// How many facts the server has written, read past it from the file.
pub fn journal_length(site: &Site) -> i64 {
    let database = rusqlite::Connection::open(site.data().join("tollkeeper.db")).expect("the database");
    database.query_row("SELECT COUNT(*) FROM journal", [], |row| row.get(0)).expect("the journal")
}

pub fn granted(site: &Site) -> Value {
    site.admin_get("statistics?handshake=216998-100")["authorizations"]["granted"].clone()
}

pub fn is_well(site: &Site) {
    site.device("216998-100").authorize().expect("the server still works");
}

/// One connection on which a test says byte by byte what it wants.
pub struct Wire<S> {
    pub stream: S,
    /// What came and was not yet looked at.
    pub unread: Vec<u8>,
}

/// One answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// It is a problem with this status, code 200, and this field.
    pub fn is_malformed(&self, status: u16, field: &str) {
        let problem = self.json();
        assert_eq!((self.status, &problem["code"], &problem["field"]), (status, &json!(200), &json!(field)), "{problem}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(problem["status"], status);
    }
}

pub fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

impl Wire<TcpStream> {
    pub fn plain(address: SocketAddr) -> Self {
        Self { stream: dial(address), unread: Vec::new() }
    }
}

impl<S: Read + Write> Wire<S> {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush()).expect("sent");
    }

    /// Reads more; false at the end of the connection, however it ended.
    pub fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                count > 0
            }
            Err(error) => {
                assert!(!matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "the server neither answers nor hangs up");
                false
            }
        }
    }

    /// The next answer, whole; `None` when the server hung up instead.
    pub fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            match self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end,
                None if self.more() => {}
                None => return None,
            }
        };
        let head = String::from_utf8(self.unread[..end].to_vec()).expect("a head in ASCII");
        let mut answer = Answer { status: head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), head, body: Vec::new() };
        self.unread.drain(..end + 4);
        assert_eq!(answer.header("transfer-encoding"), None, "the server tells how long its answers are");
        let length: usize = if answer.status == 100 { 0 } else { answer.header("content-length").map_or(0, |length| length.parse().expect("a length")) };
        while self.unread.len() < length {
            assert!(self.more(), "the connection ended within an answer: {answer:?}");
        }
        answer.body = self.unread.drain(..length).collect();
        Some(answer)
    }

    pub fn expect_answer(&mut self) -> Answer {
        self.answer().expect("an answer")
    }

    /// Everything until the server hangs up.
    pub fn rest(mut self) -> Vec<u8> {
        while self.more() {}
        self.unread
    }
}

pub fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

pub const JSON: &str = "Content-Type: application/json\r\n";

pub fn post_json(path: &str, body: &[u8]) -> Vec<u8> {
    post(path, JSON, body)
}

pub fn request_of(device: &Device) -> Vec<u8> {
    device.request().to_string().into_bytes()
}

/// One request on a connection of its own.
pub fn once(site: &Site, bytes: &[u8]) -> Answer {
    let mut wire = Wire::plain(plain_address(site));
    // The server may answer and hang up before it has read all of it.
    let _ = wire.stream.write_all(bytes);
    wire.expect_answer()
}

/// A JSON request over HTTPS from this address of the machine's own, on a connection of its own.
pub fn post_from(source: IpAddr, server: SocketAddr, ca: &str, path: &str, body: &Value) -> Answer {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(source, 0).into()).expect("an address of this machine");
    socket.connect(&server.into()).expect("connected");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let config = config_of(ca, &[&rustls::version::TLS13], &["http/1.1"]);
    let name = ServerName::IpAddress(server.ip().into());
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut wire = Wire { stream: StreamOwned::new(connection, TcpStream::from(socket)), unread: Vec::new() };
    wire.send(post_json(path, body.to_string().as_bytes()));
    wire.expect_answer()
}

pub fn client_config(site: &Site, versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> ClientConfig {
    config_of(&site.app().context().ca_pem, versions, protocols)
}

fn config_of(ca: &str, versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("PEM")).expect("an authority");
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

pub fn tls(site: &Site, versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> Wire<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let connection = ClientConnection::new(Arc::new(client_config(site, versions, protocols)), name).expect("a client");
    Wire { stream: StreamOwned::new(connection, dial(https_address(site))), unread: Vec::new() }
}

pub const GET_SERVER: &str = "GET /api/v1/server HTTP/1.1\r\nHost: localhost\r\n\r\n";
