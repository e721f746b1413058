//! A C program that does what it is told through the C interface (`tests/c/driver.c`), linked
//! to the client library as an application is.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{Site, Vendor};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn run(command: &mut Command) {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// The directory with `libtollkeeper.a` and `libtollkeeper.so`, built as for applications.
pub fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let flags = ["rustc", "--profile", "sdk", "--lib", "--no-default-features", "--features", "capi", "--crate-type", "staticlib,cdylib"];
        let mut command = Command::new(cargo);
        command.current_dir(root()).args(flags);
        // A shared library cannot be made with a static C library in it.
        run(command.env_remove("RUSTFLAGS").env_remove("CARGO_BUILD_TARGET").env("CARGO_INCREMENTAL", "0"));
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        target.join("sdk")
    })
}

/// Compiles a C program with the static library, every warning an error.
pub fn compile(source: &str, program: &Path) {
    let mut command = Command::new("cc");
    command.args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wl,--gc-sections"]);
    command.arg("-I").arg(root().join("static/sdk/c")).arg(root().join(source)).arg(library().join("libtollkeeper.a"));
    run(command.args(["-lpthread", "-ldl", "-lm", "-o"]).arg(program));
}

fn program() -> &'static Path {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("driver");
        compile("tests/c/driver.c", &path);
        (dir, path)
    });
    &built.1
}

/// A process of the program.
pub struct Driver {
    pub child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// What its listeners heard.
    pub events: Vec<String>,
}

impl Driver {
    pub fn start() -> Self {
        Self::spawn(Command::new(program()))
    }

    /// Under valgrind, which ends it with status 99 when anything is wrong with its memory.
    pub fn under_valgrind() -> Self {
        let mut command = Command::new("valgrind");
        command.args(["--quiet", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect,possible"]).arg(program());
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts: is valgrind installed?");
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().expect("output")));
        Self { child, input, output, events: Vec::new() }
    }

    /// Tells it the settings of an application of this site, by fields.
    pub fn configure(&mut self, site: &Site, vendor: &Vendor, folder: &Path) {
        let file = |name: &str, text: &str| {
            let path = site.dir.path().join(name);
            std::fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        self.done(&format!("set-file vendorPublicKey {}", file("vendor.pub", &vendor.key.verifying_key().to_spki_pem())));
        self.done(&format!("set-file certificateAuthority {}", file("ca.pem", &site.app().context().ca_pem)));
        self.done(&format!("set mainServerURL https://{}", site.app().https_addresses()[0]));
        self.done("set handshakeCode 216998-100");
        self.done("set product dbr");
        self.done(&format!("set dataFolder {}", folder.display()));
    }

    fn say(&mut self, command: &str) {
        let input = self.input.as_mut().expect("input");
        input.write_all(format!("{command}\n").as_bytes()).and_then(|()| input.flush()).expect("it listens");
    }

    /// Its answer to a command.
    pub fn tell(&mut self, command: &str) -> String {
        self.say(command);
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).expect("text") > 0, "it ended at '{command}'");
            let line = line.trim_end().to_owned();
            match line.strip_prefix("event ") {
                Some(event) => self.events.push(event.to_owned()),
                None => return line,
            }
        }
    }

    /// Waits until its listeners heard this: they are called on a thread of the library's own.
    pub fn hears(&mut self, event: &str) {
        let began = std::time::Instant::now();
        while !self.events.iter().any(|heard| heard == event) {
            assert!(began.elapsed().as_secs() < 60, "no '{event}' among {:?}", self.events);
            self.tell("idle");
        }
    }

    /// It must answer that this was done; the text that came along.
    pub fn done(&mut self, command: &str) -> String {
        let answer = self.tell(command);
        let (code, text) = answer.split_once(' ').unwrap_or((&answer, ""));
        assert_eq!(code, "0", "{command}: {answer}");
        text.to_owned()
    }

    /// It must answer with this code, such as 120; what it says.
    pub fn refused(&mut self, command: &str, code: i32) -> String {
        let answer = self.tell(command);
        assert!(answer.starts_with(&format!("{} ", -20_000 - code)), "{command}: {answer}");
        answer
    }

    /// Has it count for ever, a byte each, while it asks its servers all the time or not, and
    /// hands out what it writes.
    pub fn work(mut self, is_renewing: bool) -> (Child, impl std::io::Read) {
        self.say(if is_renewing { "work renewing" } else { "work" });
        (self.child, self.output)
    }

    /// Ends it, and says whether it ended well.
    pub fn end(mut self) {
        drop(self.input.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("text");
        let status = self.child.wait().expect("ended");
        assert!(status.success(), "{status}: {rest}");
    }
}
