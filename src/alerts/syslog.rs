//! The site's log, by syslog (RFC 5424): one line an alert, by UDP (RFC 5426), TCP (RFC 6587) or TLS
//! (RFC 5425). Syslog has no answers: what is told is that it was handed over.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::TIMEOUT;
use super::ways::{SyslogSettings, SyslogTransport};
use crate::clock::rfc3339;
use crate::commands::alerts::Message;
use crate::store::alerts::{Raised, Severity};

/// The facility `daemon`, as it stands in a priority.
const DAEMON: u8 = 3 << 3;
/// What every receiver must take is shorter, what it should take is this (RFC 5424 §6.1), in bytes.
const DATAGRAM_MAX: usize = 2_048;
/// How long the other side may take to close a connection.
const PARTING: Duration = Duration::from_secs(2);

/// Hands a message over.
///
/// # Errors
/// Why the log server cannot be reached.
pub fn send(settings: &SyslogSettings, message: &Message) -> Result<String, String> {
    let place = format!("{}:{}", settings.host, settings.port);
    let failed = |error: std::io::Error| format!("{place}: {error}");
    let addresses: Vec<SocketAddr> = (settings.host.as_str(), settings.port).to_socket_addrs().map_err(failed)?.collect();
    let lines: Vec<String> = message.alerts.iter().map(|alert| line(message, alert)).collect();
    match settings.transport {
        SyslogTransport::Udp => {
            let address = addresses.first().ok_or_else(|| format!("{place} has no address"))?;
            let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).map_err(failed)?;
            socket.connect(address).map_err(failed)?;
            for line in &lines {
                socket.send(shortened(line).as_bytes()).map_err(failed)?;
            }
            return Ok(format!("sent to {place} by UDP, which tells nobody whether it arrived"));
        }
        SyslogTransport::Tcp => {
            let mut stream = connect(&addresses).map_err(failed)?;
            write(&mut stream, &lines).map_err(failed)?;
            part(stream);
        }
        SyslogTransport::Tls => {
            let host = ServerName::try_from(settings.host.clone()).map_err(|_| format!("{place}: no certificate can hold this name"))?;
            let connection = ClientConnection::new(Arc::new(trusting(&settings.ca_pem)?), host).map_err(|error| format!("{place}: {error}"))?;
            let mut stream = StreamOwned::new(connection, connect(&addresses).map_err(failed)?);
            write(&mut stream, &lines).map_err(failed)?;
            stream.conn.send_close_notify();
            stream.flush().map_err(failed)?;
            part(stream.sock);
        }
    }
    Ok(format!("handed over to {place}; syslog gives no answer"))
}

fn connect(addresses: &[SocketAddr]) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(address, TIMEOUT) {
            Ok(stream) => {
                stream.set_write_timeout(Some(TIMEOUT))?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn write(stream: &mut impl Write, lines: &[String]) -> std::io::Result<()> {
    for line in lines {
        stream.write_all(format!("{} {line}", line.len()).as_bytes())?;
    }
    stream.flush()
}

/// Says that this was all, and waits a moment for the other side to say so too. Closed while something
/// of the other side is still unread, such as the tickets of TLS, a connection is reset, and what
/// was sent on it may be lost.
fn part(mut stream: TcpStream) {
    let said = stream.shutdown(Shutdown::Write).and_then(|()| stream.set_read_timeout(Some(PARTING)));
    // One that keeps its side open has had its time.
    let _ = said.and_then(|()| std::io::copy(&mut stream, &mut std::io::sink()));
}

fn trusting(ca_pem: &str) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let given = CertificateDer::pem_slice_iter(ca_pem.as_bytes()).flatten().collect::<Vec<_>>();
    roots.add_parsable_certificates(if ca_pem.is_empty() { rustls_native_certs::load_native_certs().certs } else { given });
    if roots.is_empty() {
        return Err("this machine has no list of trusted authorities: give that of the log server".to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider())).with_safe_default_protocol_versions();
    Ok(config.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth())
}

/// `<26>1 2026-11-22T12:00:00Z license1 tollkeeper - seats_100_percent [tollkeeper@32473 …] Item 100 …`
fn line(message: &Message, alert: &Raised) -> String {
    let severity = match alert.severity {
        _ if message.is_test => 5,
        Severity::Urgent => 2,
        Severity::Warning => 4,
    };
    let mut data = format!("[tollkeeper@32473 server=\"{}\" about=\"{}\"", message.server, alert.about());
    let item = alert.item.map(|item| item.to_string()).unwrap_or_default();
    for (name, value) in [("item", item.as_str()), ("code", alert.code.as_deref().unwrap_or_default()), ("site", &message.site)] {
        if !value.is_empty() {
            data += &format!(" {name}=\"{}\"", escaped(value));
        }
    }
    let host = host_name().unwrap_or_else(|| "-".to_owned());
    let kind: String = alert.kind.chars().take(32).collect();
    // The mark of UTF-8 belongs before the text (RFC 5424 §6.4).
    format!("<{}>1 {} {host} tollkeeper - {kind} {data}] \u{feff}{}", DAEMON + severity, rfc3339(message.made_at), alert.text)
}

fn escaped(value: &str) -> String {
    value.chars().flat_map(|c| ['\\'].into_iter().filter(move |_| "\\\"]".contains(c)).chain([c])).collect()
}

fn shortened(line: &str) -> &str {
    let end = (0..=DATAGRAM_MAX.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    &line[..end]
}

fn host_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = text.trim();
    (!name.is_empty() && name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_graphic())).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::licensing::{ItemId, ServerUuid};

    #[test]
    fn a_line_is_as_rfc_5424_has_it() {
        let alert = Raised {
            severity: Severity::Urgent,
            item: Some(ItemId(100)),
            code: None,
            kind: "seats_100_percent".into(),
            text: "Item 100 (device): 10 of 10 seats are taken.".into(),
        };
        let message = Message {
            id: uuid::Uuid::nil(),
            made_at: 1_795_348_800,
            server: ServerUuid::from_bytes([1; 16]),
            site: "Plant \"3\" [new]".into(),
            is_test: false,
            alerts: vec![],
        };
        let line = line(&message, &alert);
        let host = host_name().unwrap_or_else(|| "-".to_owned());
        let begins = format!("<26>1 2026-11-22T12:00:00Z {host} tollkeeper - seats_100_percent [tollkeeper@32473 server=\"{}\" about=\"item\"", message.server);
        assert_eq!(line, format!("{begins} item=\"100\" site=\"Plant \\\"3\\\" [new\\]\"] \u{feff}{}", alert.text));
        assert!(shortened(&"ü".repeat(3_000)).len() <= DATAGRAM_MAX);
    }
}
