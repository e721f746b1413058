//! Parse, run, exit code: 0 done, 1 refused or failed, 2 wrong usage (which clap says).
#![expect(clippy::print_stderr, reason = "the one line that says why a command failed")]

use std::process::ExitCode;

use clap::Parser as _;
use tollkeeper::cli::{self, Cli, Failure};

/// Thousands of small answers a second: the C library's allocator is the slower one, and
/// gives memory back late.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(text)) => {
            eprintln!("tollkeeper: {text}");
            ExitCode::FAILURE
        }
    }
}
