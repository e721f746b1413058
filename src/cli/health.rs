//! `tollkeeper health`: is the server well?

use super::connect::find_running;
use super::output::{self, Column};
use super::{DataArg, Failure};
use crate::protocol::server::Health;

/// Flags of `health`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tollkeeper health --data /var/lib/tollkeeper\n\nStatus 0: every part works. 1: one does not, or no server runs.")]
pub struct HealthArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The server it is about
    #[command(flatten)]
    data: DataArg,
}

/// Asks the server that runs.
pub fn run(args: &HealthArgs) -> Result<(), Failure> {
    let data = args.data.settings()?.data;
    let none = || Failure(format!("no server runs on {}: start it, for instance with `systemctl start tollkeeper`", data.display()));
    let transport = find_running(&data).ok_or_else(none)?;
    let reply = transport.get("/api/v1/health").map_err(|error| Failure(error.to_string()))?;
    let health: Health = reply.json().map_err(|error| Failure(error.to_string()))?;
    if args.json {
        output::json(&health)?;
    } else {
        let row = |(name, part): (&String, &crate::protocol::server::Part)| {
            vec![name.clone(), if part.ok { "works".to_owned() } else { "FAILS".to_owned() }, part.detail.clone()]
        };
        let rows: Vec<_> = health.parts.iter().map(row).collect();
        output::table(&[Column::Text("PART"), Column::Text("STATE"), Column::Text("DETAIL")], &rows, "nothing was looked at");
    }
    let failing: Vec<_> = health.parts.iter().filter(|(_, part)| !part.ok).map(|(name, part)| format!("{name}: {}", part.detail)).collect();
    if failing.is_empty() { Ok(()) } else { Err(Failure(failing.join("; "))) }
}
