//! A vendor's and an administrator's desk: a directory, and commands run in it as somebody
//! at a terminal would.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{Process, tollkeeper};

/// The items of every desk's license: 100 scans of `dbr`, 10 devices with `dwt`.
pub const ITEMS: &str = r#"organization_id = "216998"
license_id = 100
alias = "Line 4"

[[items]]
item_id = 100000001
product = "dbr"
charge_way = "scan"
quota = 100
valid_from = 2026-01-01
valid_to = 2099-12-31

[[items]]
item_id = 100000002
product = "dwt"
charge_way = "device"
period = "quarter"
quota = 10
valid_from = 2026-01-01
valid_to = 2099-12-31
"#;

/// A desk with `items.toml` and the vendor's keys in `vendor/`; the server's data is in `data/`.
pub struct Desk {
    dir: TempDir,
}

/// What a command told.
pub struct Told {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Desk {
    /// A desk without any server.
    pub fn new() -> Self {
        let desk = Self { dir: tempfile::tempdir().expect("directory") };
        desk.write("items.toml", ITEMS);
        desk.done(&["vendor", "keygen", "--out", "vendor"]);
        desk
    }

    /// A desk whose server has the license 100 of organization 216998.
    pub fn licensed() -> Self {
        let desk = Self::new();
        desk.done(&["license", "request", "--out", "site.req"]);
        desk.done(&["vendor", "issue", "--key", "vendor/vendor.key", "--items", "items.toml", "--out", "new.lic"]);
        desk.done(&["vendor", "activate", "--key", "vendor/vendor.key", "--license", "new.lic", "--request", "site.req", "--out", "site.lic"]);
        desk.done(&["license", "import", "site.lic"]);
        desk
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("written");
    }

    /// A command line at this desk. License keys name one address, whoever writes them.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = tollkeeper(args);
        command.current_dir(self.path());
        command.env("TOLLKEEPER_SERVER_URLS", "https://license.plant.example:48443").env("TOLLKEEPER_TRUSTED_VENDORS", "vendor/vendor.pub");
        command
    }

    pub fn run(&self, args: &[&str]) -> Told {
        self.run_with(args, "")
    }

    /// Runs a command that reads this from standard input.
    pub fn run_with(&self, args: &[&str], stdin: &str) -> Told {
        run(self.command(args), stdin)
    }

    /// What a command that must succeed printed; it warns of nothing.
    pub fn done(&self, args: &[&str]) -> String {
        self.done_with(args, "")
    }

    pub fn done_with(&self, args: &[&str], stdin: &str) -> String {
        let told = self.run_with(args, stdin);
        assert_eq!((told.status, told.stderr.as_str()), (0, ""), "{args:?}");
        told.stdout
    }

    /// Why a command that must be refused was: one line, and nothing else.
    pub fn refused(&self, args: &[&str]) -> String {
        let told = self.run(args);
        assert_eq!((told.status, told.stdout.as_str()), (1, ""), "{args:?}: {}", told.stderr);
        assert!(told.stderr.ends_with('\n') && told.stderr.lines().count() == 1, "{args:?} told more than a line:\n{}", told.stderr);
        told.stderr.trim_end().strip_prefix("tollkeeper: ").expect("it says who complains").to_owned()
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.done(args)).expect("JSON")
    }

    /// Starts the server of `data/`.
    pub fn serve(&self) -> Process {
        self.serve_with(&[])
    }

    /// The same with variables of the test's own.
    pub fn serve_with(&self, variables: &[(&str, &str)]) -> Process {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.envs(variables.iter().copied());
        Process::start(command, &self.path().join("data"))
    }
}

/// Runs a command to its end.
pub fn run(mut command: Command, stdin: &str) -> Told {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    // A command that reads nothing may have ended already.
    let _ = child.stdin.take().expect("stdin").write_all(stdin.as_bytes());
    let output = child.wait_with_output().expect("ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Told { status: output.status.code().expect("a status"), stdout: text(output.stdout), stderr: text(output.stderr) }
}
