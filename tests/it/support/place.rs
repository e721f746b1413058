//! A network of its own: one that nobody else sees, and that goes with the value.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace. It lasts as long as the process that holds it, and that ends with this process, whatever
/// becomes of it.
pub struct Place {
    holder: Child,
}

impl Place {
    /// A place without any way out. What the system said where it lets nobody make one.
    pub fn new() -> Result<Self, String> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "echo here && exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut place = Self { holder: command.spawn().map_err(|error| format!("unshare: {error}"))? };
        let (mut said, mut trouble) = (String::new(), String::new());
        let heard = BufReader::new(place.holder.stdout.take().expect("its output")).read_line(&mut said);
        if heard.is_ok() && said == "here\n" {
            return Ok(place);
        }
        place.holder.stderr.take().expect("its errors").read_to_string(&mut trouble).map_err(|error| error.to_string())?;
        Err(trouble.trim().to_owned())
    }

    /// The process that holds it.
    pub fn id(&self) -> u32 {
        self.holder.id()
    }

    fn file(&self) -> String {
        format!("/proc/{}/ns/net", self.id())
    }

    /// A command that is run in it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.file())).arg(program);
        command
    }

    /// Runs a command in it, such as `ip link set lo up`. What it said where it fails.
    pub fn run(&self, line: &str) -> Result<(), String> {
        let mut words = line.split_whitespace();
        let done = self.command(words.next().expect("a program")).args(words).output().map_err(|error| format!("nsenter: {error}"))?;
        done.status.success().then_some(()).ok_or_else(|| format!("{line}: {}", String::from_utf8_lossy(&done.stderr).trim()))
    }

    /// Does something in it, on a thread of its own.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(self.file()).expect("the place is there");
        let done = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("entered");
                work()
            });
            thread.join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Already ended when it could not be made.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
