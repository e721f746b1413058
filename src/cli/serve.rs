//! `tollkeeper serve`: the server itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::app::{App, Extent, StartError};
use crate::clock::SystemClock;
use crate::http::restart::Restart;
use crate::jobs::watchdog;
use crate::log;
use crate::settings::{Flags, Settings};

/// Flags of `serve`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  tollkeeper serve --data /var/lib/tollkeeper --listen 0.0.0.0:48443\n\nStop it with SIGTERM or Ctrl-C: requests in flight are finished first."
)]
pub struct ServeArgs {
    /// Settings file [default: ./tollkeeper.toml, then /etc/tollkeeper/tollkeeper.toml, if there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory [default: ./data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Answer HTTPS on this address; may be repeated [default: 0.0.0.0:48443]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// Answer plain HTTP on this address too; may be repeated [default: none]
    #[arg(long, value_name = "ADDR")]
    http: Vec<String>,
}

/// Runs the server until it is told to stop.
pub fn run(args: &ServeArgs) -> Result<(), Failure> {
    let flags = Flags { config: args.config.clone(), data: args.data.clone(), listen: args.listen.clone(), http: args.http.clone() };
    let settings = Settings::load(&flags, super::environment()).map_err(|error| Failure(error.to_string()))?;
    log::start(settings.log.level, settings.log.format);
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let missing = raise_descriptor_limit(settings.limits.connections);
    let mut stop = wait_for_stop()?;
    while serve(&settings, missing.as_deref(), &mut stop)? == Ended::ToBeginAnew {
        tracing::info!("beginning anew");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Runs it once, until it is to stop or to begin anew.
fn serve(settings: &Settings, missing: Option<&str>, stop: &mut impl FnMut(&Restart) -> Ended) -> Result<Ended, Failure> {
    let app = start_patiently(settings)?;
    let identity = app.context().site.identity();
    tracing::info!(server_uuid = %identity.uuid, version = env!("CARGO_PKG_VERSION"), data = %settings.data.display(), "Tollkeeper is ready");
    for address in app.https_addresses() {
        tracing::info!("listening on https://{address} (trust {})", settings.data.join("tls/ca.pem").display());
    }
    if let Some(missing) = missing {
        tracing::warn!("{missing}");
    }
    for address in app.http_addresses() {
        tracing::warn!("listening on http://{address}, unencrypted because --http asked for it");
    }
    watchdog::tell(&[NotifyState::Ready]);
    for address in app.metrics_addresses() {
        tracing::info!("listening on http://{address}/metrics");
    }
    let ended = stop(&app.context().restart);
    tracing::info!("stopping: finishing what is in flight");
    if ended == Ended::ToStop {
        watchdog::tell(&[NotifyState::Stopping]);
    }
    app.stop();
    Ok(ended)
}

/// A connection takes two descriptors (see `http::idle`), and shells often allow 1024: asks
/// for as many as the connections need. What to tell the admin when there are fewer to be had
/// comes back, because a start that fails says only why it failed.
fn raise_descriptor_limit(connections: usize) -> Option<String> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let wanted = connections as u64 * 2 + 256;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return None;
    }
    limit.current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
    let allowed = setrlimit(Resource::Nofile, limit).ok().and(limit.current).or(getrlimit(Resource::Nofile).current);
    allowed.filter(|allowed| *allowed < wanted).map(|allowed| {
        format!("the system allows {allowed} open files, {wanted} are needed for limits.connections = {connections}: raise LimitNOFILE, or lower the setting")
    })
}

/// A command that works without a server has the data directory for a moment; a start of
/// the service in that moment should not fail.
fn start_patiently(settings: &Settings) -> Result<App, Failure> {
    for _ in 0..50 {
        match App::start(settings, Arc::new(SystemClock), Extent::Server) {
            Err(StartError::InUse(_)) => std::thread::sleep(Duration::from_millis(100)),
            started => return started.map_err(|error| Failure(error.to_string())),
        }
    }
    App::start(settings, Arc::new(SystemClock), Extent::Server).map_err(|error| Failure(error.to_string()))
}

/// Why a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    ToStop,
    /// Something is to be put in its place first.
    ToBeginAnew,
}

/// Catches SIGTERM and Ctrl-C from now on; the returned function waits for one of them, or until
/// the server asks to begin anew.
pub fn wait_for_stop() -> Result<impl FnMut(&Restart) -> Ended, Failure> {
    let failed = |error: std::io::Error| Failure(format!("cannot wait for signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (mut terminate, mut interrupt) = {
        let _entered = runtime.enter();
        (signal(SignalKind::terminate()).map_err(failed)?, signal(SignalKind::interrupt()).map_err(failed)?)
    };
    Ok(move |restart: &Restart| {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => Ended::ToStop,
                _ = interrupt.recv() => Ended::ToStop,
                () = restart.asked() => Ended::ToBeginAnew,
            }
        })
    })
}
