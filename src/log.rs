//! The log, on standard error: lines for people on a terminal, JSON where the system's journal
//! listens. How much it tells can be changed while the server runs. Never in it: passwords,
//! tickets, tokens, keys, license keys.

use std::io::IsTerminal as _;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{Handle, Layer as Reloadable};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::settings::{LogFormat, LogLevel};

struct Valve {
    handle: Handle<Targets, Registry>,
    level: Mutex<LogLevel>,
}

// The log belongs to the process.
static VALVE: OnceLock<Valve> = OnceLock::new();

/// Writes the log to standard error from now on. A second call keeps the first log: only tests do that.
pub fn start(level: LogLevel, format: LogFormat) {
    let is_json = match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        // systemd says so where standard error leads to its journal.
        LogFormat::Auto => !std::io::stderr().is_terminal() && std::env::var_os("JOURNAL_STREAM").is_some(),
    };
    let (filter, handle) = Reloadable::new(targets(level));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if is_json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).with_target(false).boxed()
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed()
    };
    if tracing_subscriber::registry().with(lines.with_filter(filter)).try_init().is_ok() {
        // The first call is the only one that gets here.
        let _ = VALVE.set(Valve { handle, level: Mutex::new(level) });
    }
}

/// How much the log tells; `None` where there is none.
pub fn level() -> Option<LogLevel> {
    VALVE.get().map(|valve| *valve.level.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Has the log tell so much, until the next start. Whether there is a log.
pub fn set_level(level: LogLevel) -> bool {
    let Some(valve) = VALVE.get() else { return false };
    let mut current = valve.level.lock().unwrap_or_else(PoisonError::into_inner);
    if *current == level {
        return true;
    }
    // Told on the side where it is heard.
    tracing::warn!(from = current.as_str(), to = level.as_str(), "the log's level changes");
    *current = level;
    valve.handle.reload(targets(level)).is_ok()
}

/// Of the libraries only what went wrong, unless somebody looks for a fault; and never their traces, in
/// which what they carry stands in full.
fn targets(level: LogLevel) -> Targets {
    let filter = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let libraries = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn | LogLevel::Info => LevelFilter::WARN,
        LogLevel::Debug | LogLevel::Trace => LevelFilter::INFO,
    };
    Targets::new().with_default(libraries).with_target("tollkeeper", filter)
}
