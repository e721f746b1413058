//! The program itself, as a process.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tollkeeper::client::transport::{CaPin, Transport};

/// The program under test: cargo's own build, or the file that `TOLLKEEPER_PROGRAM` names.
/// Its file name is `tollkeeper`.
pub fn program() -> PathBuf {
    std::env::var_os("TOLLKEEPER_PROGRAM").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_tollkeeper")), PathBuf::from)
}

/// A command line of it, without this process's settings.
pub fn tollkeeper(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).env_clear().env("PATH", "/usr/bin:/bin");
    command
}

/// A running `tollkeeper serve` or `sandbox`.
pub struct Process {
    pub child: Child,
    pub address: SocketAddr,
    pub data: PathBuf,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts `serve` on a free port and waits until it says that it is ready.
    pub fn serve(data: &Path, vendors: &[&Path]) -> Self {
        let trusted: Vec<_> = vendors.iter().map(|path| path.display().to_string()).collect();
        let mut command = tollkeeper(&["serve", "--data", &data.display().to_string(), "--listen", "127.0.0.1:0"]);
        command.env("TOLLKEEPER_TRUSTED_VENDORS", trusted.join(":")).env("TOLLKEEPER_LIMITS_DEVICE_REQUESTS_PER_MINUTE", "0");
        Self::start(command, data)
    }

    /// Starts a `serve` of the test's own making; `data` is where its data is seen from here.
    pub fn start(mut command: Command, data: &Path) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts");
        let log = child.stderr.take().expect("log");
        Self::watch(child, log, "https://", data)
    }

    /// Starts `sandbox` on a free port, with further flags.
    pub fn sandbox(data: &Path, flags: &[&str]) -> Self {
        let mut command = tollkeeper(&["sandbox", "--data", &data.display().to_string(), "--listen", "127.0.0.1:0"]);
        command.args(flags);
        Self::start_sandbox(command, data)
    }

    /// Starts a `sandbox` of the test's own making.
    pub fn start_sandbox(mut command: Command, data: &Path) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("starts");
        let lines = child.stdout.take().expect("lines");
        Self::watch(child, lines, "Stop with Ctrl-C.", data)
    }

    /// Waits for the line that says it is ready, and keeps what it tells. The first URL is its address.
    fn watch(child: Child, told: impl Read + Send + 'static, ready: &str, data: &Path) -> Self {
        let mut lines = BufReader::new(told);
        let mut seen = String::new();
        let mut address = None;
        let address = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).expect("log") > 0, "the server ended: {seen}");
            seen.push_str(&line);
            let read = |(_, rest): (&str, &str)| rest.split([' ', ',', '\n']).next().and_then(|text| text.parse().ok()).expect("an address");
            address = address.or_else(|| line.split_once("https://").map(read));
            if let Some(address) = address.filter(|_| line.contains(ready)) {
                break address;
            }
        };
        let log = Arc::new(Mutex::new(seen));
        let kept = Arc::clone(&log);
        // The log must be read on, or the server would stand still when the pipe is full.
        std::thread::spawn(move || lines.lines().map_while(Result::ok).for_each(|line| kept.lock().expect("log").push_str(&(line + "\n"))));
        Self { child, address, data: data.to_owned(), log }
    }

    /// What it wrote to its log so far; for a sandbox, to its terminal.
    pub fn log(&self) -> String {
        self.log.lock().expect("log").clone()
    }

    /// Waits until it says so for the `times`th time, and takes the address where it answers since.
    pub fn wait_until_ready(&mut self, times: usize) {
        let began = Instant::now();
        while self.log().matches("Tollkeeper is ready").count() < times
            || !self.log().rsplit("Tollkeeper is ready").next().is_some_and(|log| log.contains("https://"))
        {
            assert!(began.elapsed() < Duration::from_secs(60), "it is not ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = self.log();
        let told = log.rsplit("https://").next().and_then(|rest| rest.split(' ').next()).expect("an address");
        self.address = told.parse().expect("an address");
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

impl Process {
    /// SIGTERM, as a service manager sends it; waits for the orderly end.
    pub fn terminate(mut self) -> ExitStatus {
        signal(&self.child, "TERM");
        self.child.wait().expect("ended")
    }
}

/// Sends a signal, such as `TERM`, to a process that this test started.
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success(), "SIG{name} was not sent");
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended when the test was a good one.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
