//! The program itself, as a process.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tollkeeper::client::transport::{CaPin, Transport};

/// The program under test.
fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_tollkeeper"))
}

/// A command line of it, without this process's settings.
pub fn tollkeeper(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).env_clear().env("PATH", "/usr/bin:/bin");
    command
}

/// A running `tollkeeper serve`.
pub struct Process {
    pub child: Child,
    pub address: SocketAddr,
    pub data: PathBuf,
}

impl Process {
    /// Starts `serve` on a free port and waits until it says that it is ready.
    pub fn serve(data: &Path, vendors: &[&Path]) -> Self {
        let trusted: Vec<_> = vendors.iter().map(|path| path.display().to_string()).collect();
        let mut child = tollkeeper(&["serve", "--data", &data.display().to_string(), "--listen", "127.0.0.1:0"])
            .env("TOLLKEEPER_TRUSTED_VENDORS", trusted.join(":"))
            .env("TOLLKEEPER_LIMITS_DEVICE_REQUESTS_PER_MINUTE", "0")
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut log = BufReader::new(child.stderr.take().expect("log"));
        let mut seen = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).expect("log") > 0, "the server ended: {seen}");
            if let Some((_, rest)) = line.split_once("https://") {
                break rest.split_whitespace().next().and_then(|text| text.parse().ok()).expect("an address");
            }
            seen.push_str(&line);
        };
        // The log must be read on, or the server would stand still when the pipe is full.
        std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(drop));
        Self { child, address, data: data.to_owned() }
    }

    pub fn transport(&self) -> Transport {
        let ca = std::fs::read_to_string(self.data.join("tls/ca.pem")).expect("the site's authority");
        Transport::pinned(&format!("https://{}", self.address), CaPin::Pem(ca)).expect("transport")
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended when the test was a good one.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command that must succeed printed.
#[allow(dead_code, reason = "a part of the harness that not every test uses")]
pub fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
