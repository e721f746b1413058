//! `tollkeeper log-level`: how much the running server's log tells.

use super::connect::{Admin, Create};
use super::{DataArg, Failure, output};
use crate::client::transport::Method;
use crate::http::admin_api::log_level::LevelBody;

/// Flags of `log-level`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tollkeeper log-level debug\n\nIt holds until the server's next start; [log] level in tollkeeper.toml holds longer.")]
pub struct LogLevelArgs {
    /// error, warn, info, debug or trace; without it the level of now is printed
    level: Option<String>,
    /// The server it is about
    #[command(flatten)]
    data: DataArg,
}

/// Asks the server that runs, or tells it.
pub fn run(args: &LogLevelArgs) -> Result<(), Failure> {
    let admin = Admin::open(&args.data, Create::Refused)?;
    match &args.level {
        Some(level) => admin.tell(Method::Put, "log-level", Some(&LevelBody { level: level.clone() })),
        None => {
            output::line(admin.get::<LevelBody>("log-level")?.level);
            Ok(())
        }
    }
}
