//! HTTP over a Unix domain socket, as a connector for ureq: how our commands talk to the
//! running server's `DATA/admin.sock`.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport as HttpTransport};

/// Connects every request to the one socket, whatever its URL says.
#[derive(Debug)]
pub(super) struct UnixConnector(pub(super) PathBuf);

impl Connector for UnixConnector {
    type Out = UnixTransport;

    fn connect(&self, details: &ConnectionDetails<'_>, _chained: Option<()>) -> Result<Option<UnixTransport>, Error> {
        let stream = UnixStream::connect(&self.0)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(UnixTransport { stream, buffers }))
    }
}

#[derive(Debug)]
pub(super) struct UnixTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl HttpTransport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        self.stream.set_write_timeout(timeout.not_zero().map(|left| *left))?;
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output).map_err(|error| timed_out(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        self.stream.set_read_timeout(timeout.not_zero().map(|left| *left))?;
        let input = self.buffers.input_append_buf();
        let amount = loop {
            match self.stream.read(input) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(|error| timed_out(error, timeout))?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Open means silent: a byte nobody asked for, or the end, makes the connection unusable.
    fn is_open(&mut self) -> bool {
        let silent = |mut stream: &UnixStream| {
            stream.set_nonblocking(true)?;
            let silent = matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
            stream.set_nonblocking(false)?;
            std::io::Result::Ok(silent)
        };
        silent(&self.stream).unwrap_or(false)
    }
}

fn timed_out(error: std::io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}

/// Looks nothing up: ureq asks for an address before it connects, and a socket file has none.
#[derive(Debug)]
pub(super) struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::super::transport::{Method, Transport, TransportError};
    use super::*;

    /// Answers every request on `connections` connections by its method, path and body.
    fn echo(connections: usize) -> (tempfile::TempDir, PathBuf, Arc<Mutex<usize>>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin.sock");
        let listener = UnixListener::bind(&path).expect("bound");
        let accepted = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&accepted);
        std::thread::spawn(move || {
            for stream in listener.incoming().take(connections) {
                *counted.lock().expect("not poisoned") += 1;
                let mut reader = BufReader::new(stream.expect("accepted"));
                while let Some((head, body)) = read_request(&mut reader) {
                    let words: Vec<_> = head.split(' ').take(2).collect();
                    let answer = json!({ "method": words[0], "path": words[1], "body": body }).to_string();
                    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
                    reader.get_mut().write_all(text.as_bytes()).expect("answered");
                }
            }
        });
        (folder, path, accepted)
    }

    fn read_request(reader: &mut BufReader<UnixStream>) -> Option<(String, String)> {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line == "\r\n" {
                break;
            }
            head += &line;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some((head, String::from_utf8(body).ok()?))
    }

    #[test]
    fn every_method_goes_over_one_kept_alive_connection() {
        let (_folder, path, accepted) = echo(1);
        let transport = Transport::unix(path);
        let body = json!({ "alias": "Line 4" });
        for (method, name, body) in [
            (Method::Get, "GET", None),
            (Method::Post, "POST", Some(&body)),
            (Method::Post, "POST", None),
            (Method::Put, "PUT", Some(&body)),
            (Method::Patch, "PATCH", Some(&body)),
            (Method::Delete, "DELETE", None),
            (Method::Delete, "DELETE", Some(&body)),
        ] {
            let reply = transport.request(method, "/api/v1/admin/licenses?json=1", body).expect(name);
            let told: Value = reply.json().expect("JSON");
            assert_eq!(told["method"], name);
            assert_eq!(told["path"], "/api/v1/admin/licenses?json=1");
            assert_eq!(told["body"], body.map(Value::to_string).unwrap_or_default());
        }
        assert_eq!(*accepted.lock().expect("not poisoned"), 1);
    }

    #[test]
    fn a_socket_nobody_listens_at_is_unreachable() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Transport::unix(folder.path().join("admin.sock")).get("/api/v1/server").expect_err("refused");
        assert!(matches!(error, TransportError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("/api/v1/server"), "{error}");
    }

    #[test]
    fn a_closed_connection_is_not_used_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin.sock");
        let listener = UnixListener::bind(&path).expect("bound");
        let server = std::thread::spawn(move || {
            for stream in listener.incoming().take(2) {
                let mut reader = BufReader::new(stream.expect("accepted"));
                read_request(&mut reader).expect("a request");
                reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("answered");
            }
        });
        let transport = Transport::unix(path);
        assert_eq!(transport.get("/a").expect("first").status, 204);
        // The server drops the first connection before it takes the next.
        let second = (0..100).find_map(|_| transport.get("/b").ok()).expect("second");
        assert_eq!(second.status, 204);
        server.join().expect("the server ends");
    }
}
