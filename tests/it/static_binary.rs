//! The file that customers get: one static program that needs nothing around it.
//!
//! `tests/run` builds it static and says so with `TOLLKEEPER_EXPECT_STATIC=1`. A plain
//! `cargo test` builds a dynamic one; then these tests say that they prove nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tollkeeper::client::transport::{CaPin, Transport};

use crate::support::{Process, program, run};

/// The budget of architecture §6.
const BYTES_MAX: u64 = 20_000_000;

/// Whether the program names no loader in its ELF header, read by hand.
fn is_static(program: &Path) -> bool {
    const PT_INTERP: u32 = 3;
    let bytes = std::fs::read(program).expect("the program");
    assert!(bytes.starts_with(b"\x7fELF\x02\x01"), "a 64-bit little-endian ELF file");
    let number = |at: usize, length: usize| bytes[at..at + length].iter().rev().fold(0, |sum: usize, byte| sum << 8 | usize::from(*byte));
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).all(|n| number(table + n * size, 4) != PT_INTERP as usize)
}

/// The static program; `None`, with a notice, when this build is not one.
fn find_static() -> Option<std::path::PathBuf> {
    let program = program();
    if is_static(&program) {
        return Some(program);
    }
    let is_expected = std::env::var_os("TOLLKEEPER_EXPECT_STATIC").is_some_and(|value| value != "0");
    assert!(!is_expected, "{} is not static: build with RUSTFLAGS='-C target-feature=+crt-static' and --target x86_64-unknown-linux-gnu", program.display());
    #[expect(clippy::print_stderr, reason = "a skipped proof must not go unnoticed")]
    {
        eprintln!("NOT PROVEN: {} is not a static build; `bash tests/run` makes and tests one", program.display());
    }
    None
}

/// What a tool of the system says about the program.
fn asked(tool: &str, program: &Path) -> String {
    let output = Command::new(tool).arg(program).output().unwrap_or_else(|error| panic!("`{tool}` is needed for this test, install it: {error}"));
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_program_is_one_static_file_within_its_budget() {
    let Some(program) = find_static() else { return };
    let kind = asked("file", &program);
    assert!(kind.contains("static-pie linked") || kind.contains("statically linked"), "{kind}");
    let libraries = asked("ldd", &program);
    assert!(libraries.contains("statically linked") || libraries.contains("not a dynamic executable"), "{libraries}");
    let bytes = std::fs::metadata(&program).expect("metadata").len();
    #[expect(clippy::print_stderr, reason = "the figure is a result")]
    {
        eprintln!("the program has {bytes} bytes of {BYTES_MAX}");
    }
    assert!(bytes <= BYTES_MAX, "the program has {bytes} bytes, its budget is {BYTES_MAX}");
}

/// A root directory with the program and a data directory, and nothing else.
struct Jail {
    dir: TempDir,
}

impl Jail {
    fn with(program: &Path) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        std::fs::copy(program, dir.path().join("tollkeeper")).expect("copied");
        std::fs::create_dir(dir.path().join("data")).expect("data");
        Self { dir }
    }

    /// A command in there. Only root may change its root directory, or who is root in a
    /// user namespace of its own.
    fn command(&self, args: &[&str]) -> Command {
        let output = Command::new("id").arg("-u").output().expect("id runs");
        let mut command = if output.stdout == b"0\n" { Command::new("chroot") } else { Command::new("unshare") };
        if output.stdout != b"0\n" {
            command.args(["-r", "chroot"]);
        }
        command.arg(self.dir.path()).arg("/tollkeeper").args(args);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    fn serve(&self, listen: &str) -> Process {
        Process::start(self.command(&["serve", "--data", "/data", "--listen", listen]), &self.dir.path().join("data"))
    }

    /// What a command prints in there.
    fn done(&self, args: &[&str]) -> String {
        let told = run(self.command(args), "");
        assert_eq!((told.status, told.stderr.as_str()), (0, ""), "{args:?}");
        told.stdout
    }
}

#[test]
fn it_serves_from_an_empty_root_directory_and_resolves_names_there() {
    let Some(program) = find_static() else { return };
    let jail = Jail::with(&program);
    let mode = std::fs::metadata(jail.dir.path().join("tollkeeper")).expect("metadata").permissions().mode();
    assert!(mode & 0o111 != 0, "the copy is executable");

    let server = jail.serve("127.0.0.1:0");
    let health = server.transport().get("/api/v1/health").expect("answers over TLS");
    assert_eq!(health.json::<serde_json::Value>().expect("JSON")["status"], "ok");
    assert_eq!(jail.done(&["license", "list", "--data", "/data", "--json"]), "[]\n");
    assert!(jail.done(&["license", "request", "--data", "/data"]).contains("-----BEGIN TOLLKEEPER ACTIVATION REQUEST-----"));
    assert!(server.terminate().success());
    let whole: Vec<_> = std::fs::read_dir(jail.dir.path()).expect("the root").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(whole.len(), 2, "nothing else was there: {whole:?}");

    std::fs::create_dir(jail.dir.path().join("etc")).expect("etc");
    std::fs::write(jail.dir.path().join("etc/hosts"), "127.0.0.1 license.plant.example\n").expect("hosts");
    let server = jail.serve("license.plant.example:0");
    assert!(server.address.ip().is_loopback());
    let ca = std::fs::read_to_string(server.data.join("tls/ca.pem")).expect("the same authority");
    let transport = Transport::pinned(&format!("https://{}", server.address), CaPin::Pem(ca)).expect("transport");
    assert!(transport.get("/api/v1/health").expect("answers").is_success());
    assert!(server.terminate().success());
}
