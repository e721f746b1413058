//! Where alerts arrive: a real mail server, a program behind a webhook, a log server. Each keeps what it got.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use serde_json::{Value, json};
use tollkeeper::http::tls::SiteAuthority;

use super::until;

type Kept<T> = Arc<Mutex<Vec<T>>>;

/// A certificate for `127.0.0.1`, and the authority that it is from.
pub struct Authority {
    pub ca_pem: String,
    pub files: [PathBuf; 2],
    chain_pem: String,
    key_pem: String,
}

impl Authority {
    pub fn in_directory(directory: &Path, now: i64) -> Self {
        let authority = SiteAuthority::create("mail", now).expect("an authority");
        let leaf = authority.issue(&["127.0.0.1".to_owned()], now).expect("a certificate");
        let files = ["mail.crt", "mail.key"].map(|name| directory.join(name));
        std::fs::write(&files[0], &leaf.chain_pem).expect("written");
        std::fs::write(&files[1], &leaf.key_pem).expect("written");
        Self { ca_pem: authority.ca_pem.clone(), files, chain_pem: leaf.chain_pem.clone(), key_pem: leaf.key_pem.clone() }
    }

    fn config(&self) -> Arc<rustls::ServerConfig> {
        use rustls::pki_types::pem::PemObject as _;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let chain = CertificateDer::pem_slice_iter(self.chain_pem.as_bytes()).collect::<Result<Vec<_>, _>>().expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).expect("PEM");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
        Arc::new(config.with_no_client_auth().with_single_cert(chain, key).expect("they fit"))
    }
}

/// A Python that has aiosmtpd; `tests/run` sees to it.
fn python() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    let usable = |python: &PathBuf| Command::new(python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    let mut candidates = [std::env::var_os("TOLLKEEPER_PYTHON").map(PathBuf::from), Some(own), Some("python3".into())].into_iter().flatten();
    candidates.find(usable).expect("no Python has aiosmtpd: run tests/run, which installs it, or `python3 -m pip install aiosmtpd`")
}

/// aiosmtpd as a process.
pub struct MailServer {
    child: Child,
    pub port: u16,
    lines: Kept<Value>,
}

impl MailServer {
    pub fn start(arguments: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/smtp_server.py");
        let mut child =
            Command::new(python()).arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
        let mut told = BufReader::new(child.stdout.take().expect("its lines"));
        let mut first = String::new();
        told.read_line(&mut first).expect("its port");
        let port = serde_json::from_str::<Value>(&first).expect("it starts")["port"].as_u64().expect("a port") as u16;
        let lines = Kept::default();
        let kept = Arc::clone(&lines);
        std::thread::spawn(move || {
            told.lines().map_while(Result::ok).for_each(|line| kept.lock().expect("lines").push(serde_json::from_str(&line).expect("JSON")));
        });
        Self { child, port, lines }
    }

    /// One that speaks STARTTLS and wants a login.
    pub fn with_login(authority: &Authority, user: &str, password: &str) -> Self {
        let [cert, key] = authority.files.each_ref().map(|path| path.to_str().expect("a path"));
        Self::start(&["--starttls", cert, key, "--login", user, password])
    }

    /// Has it behave differently from now on.
    pub fn behave(&mut self, how: &Value) {
        let count = |lines: &[Value]| lines.iter().filter(|line| line.get("behaves").is_some()).count();
        let before = count(&self.lines.lock().expect("lines"));
        writeln!(self.child.stdin.as_mut().expect("stdin"), "{how}").expect("told");
        until("the mail server behaves differently", 20, || (count(&self.lines.lock().expect("lines")) > before).then_some(()));
    }

    /// The mails that it took.
    pub fn mails(&self) -> Vec<Value> {
        self.lines.lock().expect("lines").iter().filter(|line| line.get("text").is_some()).cloned().collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request to a webhook.
#[derive(Clone, Debug)]
pub struct Posted {
    pub head: String,
    pub body: Vec<u8>,
}

impl Posted {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|line| line.split_once(": ")).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The kinds of its alerts.
    pub fn kinds(&self) -> Vec<String> {
        let body = self.json();
        body["alerts"].as_array().expect("alerts").iter().map(|alert| alert["kind"].as_str().expect("a kind").to_owned()).collect()
    }
}

/// A program behind a webhook.
pub struct Webhook {
    pub url: String,
    pub posted: Kept<Posted>,
    pub status: Arc<AtomicU16>,
}

impl Webhook {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/hook?from=tollkeeper", listener.local_addr().expect("an address"));
        let hook = Self { url, posted: Kept::default(), status: Arc::new(AtomicU16::new(204)) };
        let (posted, status) = (Arc::clone(&hook.posted), Arc::clone(&hook.status));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(request) = read_request(&stream) else { continue };
                let status = status.load(Ordering::SeqCst);
                posted.lock().expect("posted").push(request);
                let body = if status < 300 { "" } else { "not now" };
                let _ = write!(&stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            }
        });
        hook
    }

    pub fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub fn posted(&self) -> Vec<Posted> {
        self.posted.lock().expect("posted").clone()
    }

    /// Waits until so many requests came.
    pub fn wait_for(&self, count: usize) -> Vec<Posted> {
        until("the webhook is called", 30, || Some(self.posted()).filter(|posted| posted.len() >= count))
    }

    /// What an administrator sets for it.
    pub fn settings(&self) -> Value {
        json!({"webhook": {"on": true, "url": self.url}, "webhook_secret": "open sesame"})
    }
}

fn read_request(stream: &TcpStream) -> Option<Posted> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut request = Posted { head, body: Vec::new() };
    request.body = vec![0; request.header("content-length")?.parse().ok()?];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// A log server: what came by UDP as datagrams, by TCP or TLS as one text.
pub struct LogServer {
    pub port: u16,
    received: mpsc::Receiver<String>,
}

impl LogServer {
    pub fn udp() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("an address").port();
        let (sender, received) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(length) = socket.recv(&mut buffer) {
                if sender.send(String::from_utf8_lossy(&buffer[..length]).into_owned()).is_err() {
                    return;
                }
            }
        });
        Self { port, received }
    }

    pub fn tcp(authority: Option<&Authority>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (sender, received) = mpsc::channel();
        let config = authority.map(Authority::config);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut text = String::new();
                let read = match &config {
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(Arc::clone(config)).expect("a connection");
                        rustls::StreamOwned::new(connection, stream).read_to_string(&mut text)
                    }
                    None => stream.read_to_string(&mut text),
                };
                if read.is_ok() && sender.send(text).is_err() {
                    return;
                }
            }
        });
        Self { port, received }
    }

    pub fn next(&self) -> String {
        self.received.recv_timeout(std::time::Duration::from_secs(20)).expect("a line")
    }
}
