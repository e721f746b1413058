//! The command line: one file per command group, each a thin face over `commands/`, by way
//! of the admin API.
//!
//! | file | commands |
//! | --- | --- |
//! | [`serve`] | `serve` |
//! | [`demo`] | `demo` |
//! | [`sandbox`] | `sandbox` |
//! | [`vendor`] | `vendor keygen`, `issue`, `activate`, `renew`, `revoke`, `product-key`, `verify-usage` |
//! | [`license`] [`license_show`] | `license request`, `import`, `list`, `show` |
//! | [`handshake`] | `handshake add`, `list`, `edit`, `delete`, `key`, `default`, `order` |
//! | [`device`] | `device list`, `why`, `release`, `reset`, `authorize-file`, `import-reports` |
//! | [`usage`] | `usage show` |
//! | [`admin`] | `admin reset-password`, `user add`, `list`, `delete`, `token add`, `list`, `delete` |
//! | [`alert`] | `alert list`, `test` |
//! | [`backup`] | `backup now`, `list`, `verify`, `restore` |
//! | [`certificate`] | `certificate show`, `set`, `remove` |
//! | [`standby`] | `standby invite`, `join`, `status`, `sync`, `promote`, `rehearse`, `leave` |
//! | [`health`] [`log_level`] | `health`, `log-level` |
//! | [`doctor`] | `doctor` |
//! | [`simulate`] | `simulate` |
//! | [`throwaway`] | the site that `demo` and `sandbox` stand on |
//! | [`connect`] | the way to a server that runs, or to its data when none does |
//! | [`output`] | tables and lines |

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::clock::SystemClock;
use crate::settings::{Flags, Settings};

pub mod admin;
pub mod alert;
pub mod backup;
pub mod certificate;
pub mod connect;
pub mod demo;
pub mod device;
pub mod doctor;
pub mod handshake;
pub mod health;
pub mod license;
pub mod license_show;
pub mod log_level;
pub mod output;
pub mod sandbox;
pub mod serve;
pub mod simulate;
pub mod standby;
pub mod throwaway;
pub mod usage;
pub mod vendor;

/// Why a command ended with status 1: one line that says what happened and what to do.
#[derive(Debug)]
pub struct Failure(pub String);

/// The license server for sites without internet.
///
/// Exact quotas, signed offline authorizations, usage proven: everything the vendor, the
/// site and the application developer need is in this one program.
///
/// See it at work:   tollkeeper demo
/// Run it:           tollkeeper serve --data /var/lib/tollkeeper
#[derive(Debug, Parser)]
#[command(name = "tollkeeper", version, verbatim_doc_comment, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Group,
}

#[derive(Debug, Subcommand)]
enum Group {
    /// Show everything at once: throwaway vendor, license, server, 50 live devices
    Demo(demo::DemoArgs),
    /// Run a server for application developers: a clock to move, faults to switch on
    Sandbox(sandbox::SandboxArgs),
    /// Play a day of many devices, and check that the server counted exactly what they did
    Simulate(simulate::SimulateArgs),
    /// Run the license server
    Serve(serve::ServeArgs),
    /// For the vendor: make keys, issue, renew and revoke licenses, verify use (works offline)
    #[command(subcommand)]
    Vendor(vendor::VendorCommand),
    /// Licenses of this site: request activation, import, list
    #[command(subcommand)]
    License(license::LicenseCommand),
    /// Handshake codes: what applications present to get their license
    #[command(subcommand)]
    Handshake(handshake::HandshakeCommand),
    /// Devices and the seats they hold
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// What was used
    #[command(subcommand)]
    Usage(usage::UsageCommand),
    /// Who may administer this site: users, tokens, a lost password
    #[command(subcommand)]
    Admin(admin::AdminCommand),
    /// Alerts: what is wrong, what was told, whether it gets out
    #[command(subcommand)]
    Alert(alert::AlertCommand),
    /// Copies of the database, and the way back from one
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// The HTTPS certificate: show it, use your own
    #[command(subcommand)]
    Certificate(certificate::CertificateCommand),
    /// Two servers: invite, join, status, promote, rehearse a failover, leave
    #[command(subcommand)]
    Standby(standby::StandbyCommand),
    /// Is the server well? Asks it part by part
    Health(health::HealthArgs),
    /// How much the running server's log tells
    LogLevel(log_level::LogLevelArgs),
    /// Look whether this installation is well, and say what to mend
    Doctor(doctor::DoctorArgs),
    /// Print a completion script for a shell
    ///
    /// Example:
    ///   tollkeeper completions bash > /etc/bash_completion.d/tollkeeper
    #[command(verbatim_doc_comment)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// The data directory of the server that a command is about.
#[derive(Debug, Clone, clap::Args)]
pub struct DataArg {
    /// Data directory [default: ./data, or as TOLLKEEPER_DATA or tollkeeper.toml say]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl DataArg {
    /// The settings with this data directory.
    pub fn settings(&self) -> Result<Settings, Failure> {
        let flags = Flags { data: self.data.clone(), ..Flags::default() };
        Settings::load(&flags, environment()).map_err(|error| Failure(error.to_string()))
    }
}

/// The environment, without what is not text: such a variable is none of ours.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The first line of standard input: a `password`, a `passphrase`.
fn read_secret_line(what: &str) -> Result<String, Failure> {
    use std::io::BufRead as _;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| Failure(format!("the {what} cannot be read: {error}")))?;
    let secret = line.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(Failure(format!("no {what} came on standard input: send it as one line")));
    }
    Ok(secret.to_owned())
}

/// Runs what was asked for.
pub fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Group::Demo(args) => demo::run(&args),
        Group::Sandbox(args) => sandbox::run(&args),
        Group::Simulate(args) => simulate::run(&args),
        Group::Serve(args) => serve::run(&args),
        Group::Vendor(command) => vendor::run(command, &SystemClock),
        Group::License(command) => license::run(command),
        Group::Handshake(command) => handshake::run(command),
        Group::Device(command) => device::run(command),
        Group::Usage(command) => usage::run(command),
        Group::Admin(command) => admin::run(command),
        Group::Alert(command) => alert::run(command),
        Group::Backup(command) => backup::run(command),
        Group::Certificate(command) => certificate::run(command),
        Group::Standby(command) => standby::run(command),
        Group::Health(args) => health::run(&args),
        Group::LogLevel(args) => log_level::run(&args),
        Group::Doctor(args) => doctor::run(&args),
        Group::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tollkeeper", &mut script);
            output::raw(&script);
            Ok(())
        }
    }
}
