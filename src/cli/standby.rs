//! `tollkeeper standby`: two servers of a site.

use std::time::Duration;

use clap::Subcommand;

use super::connect::{Admin, Create};
use super::output;
use super::{DataArg, Failure};
use crate::client::transport::Method;
use crate::http::admin_api::servers::StandbyAnswer;
use crate::http::admin_api::standby::{InvitationAnswer, JoinBody, LeaveBody, RehearsalBody};

/// The commands about two servers.
#[derive(Debug, Subcommand)]
pub enum StandbyCommand {
    /// On the primary: print a token with which another server may join, once, within the hour
    ///
    /// Example:
    ///   tollkeeper standby invite
    #[command(verbatim_doc_comment)]
    Invite {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// On the new server: join the primary, take a copy of everything, and follow it
    ///
    /// The new server must have an empty data directory. While it follows it refuses devices; it
    /// takes over when the primary has been silent for 30 seconds.
    ///
    /// Example:
    ///   tollkeeper standby join https://license1.plant.example:48443 TOKEN
    #[command(verbatim_doc_comment)]
    Join {
        /// Where the primary answers
        url: String,
        /// What `standby invite` printed there
        token: String,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Tell how the two stand, and what would be lost now
    ///
    /// Example:
    ///   tollkeeper standby status
    #[command(verbatim_doc_comment)]
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Exchange facts with the partner now, not only every two minutes
    ///
    /// Example:
    ///   tollkeeper standby sync
    #[command(verbatim_doc_comment)]
    Sync {
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// On the standby: make it the primary, lastingly
    ///
    /// Example:
    ///   tollkeeper standby promote
    #[command(verbatim_doc_comment)]
    Promote {
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// On the primary: play dead for a while, and watch the standby take over and hand back
    ///
    /// Devices go on with the standby; for up to 35 seconds some are refused and ask again.
    ///
    /// Example:
    ///   tollkeeper standby rehearse --seconds 60
    #[command(verbatim_doc_comment)]
    Rehearse {
        /// How long, 60 to 300
        #[arg(long, default_value_t = 60, value_name = "N")]
        seconds: i64,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// End the pairing: who serves goes on alone, the other one does not serve any more
    ///
    /// Example:
    ///   tollkeeper standby leave
    #[command(verbatim_doc_comment)]
    Leave {
        /// Also when the partner does not answer
        #[arg(long)]
        force: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
}

/// Runs one of them.
pub fn run(command: StandbyCommand) -> Result<(), Failure> {
    match command {
        StandbyCommand::Invite { json, data } => invite(json, &data),
        StandbyCommand::Join { url, token, data } => join(url, token, &data),
        StandbyCommand::Status { json, data } => status(json, &data),
        StandbyCommand::Sync { data } => {
            open(&data)?.tell(Method::Post, "standby/sync", None::<&()>)?;
            output::line("Both servers hold the same facts.");
            Ok(())
        }
        StandbyCommand::Promote { data } => {
            open(&data)?.tell(Method::Post, "standby/promote", None::<&()>)?;
            output::line("This server is the primary from now on; it serves as soon as it has the facts of both.");
            Ok(())
        }
        StandbyCommand::Rehearse { seconds, data } => rehearse(seconds, &data),
        StandbyCommand::Leave { force, data } => {
            open(&data)?.tell(Method::Post, "standby/leave", Some(&LeaveBody { force }))?;
            output::line("The two servers are no pair any more.");
            if force {
                output::line("If the other one was not reached, it learns that when it reaches this server again; else run");
                output::line("`tollkeeper standby leave --force` there before it serves anybody.");
            }
            Ok(())
        }
    }
}

fn open(data: &DataArg) -> Result<Admin, Failure> {
    Admin::open(data, Create::Refused)
}

fn invite(json: bool, data: &DataArg) -> Result<(), Failure> {
    let answer: InvitationAnswer = open(data)?.change(Method::Post, "standby/invite", None::<&()>)?;
    if json {
        return output::json(&answer);
    }
    let url = answer.urls.first().cloned().unwrap_or_default();
    output::line(format!("On the other machine, with an empty data directory, until {}:", answer.until));
    output::line("");
    output::line(format!("  tollkeeper standby join {url} {}", answer.token));
    Ok(())
}

fn join(url: String, token: String, data: &DataArg) -> Result<(), Failure> {
    let admin = Admin::open(data, Create::Allowed)?;
    admin.tell(Method::Post, "standby/join", Some(&JoinBody { url, token }))?;
    let mut told = String::new();
    // One that does not answer is beginning anew at this very moment.
    while let Ok(answer) = admin.get::<StandbyAnswer>("standby") {
        let Some(progress) = answer.joining else { break };
        let line = match progress.step.as_str() {
            "done" => break,
            "copying" if progress.all > 0 => format!("copying: {} %", progress.done * 100 / progress.all),
            "failed" => progress.error.unwrap_or_default(),
            step => step.to_owned(),
        };
        if line != told {
            output::line(&line);
            told = line;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    output::line("This server is a standby now. If it does not run yet, start it: tollkeeper serve");
    output::line("For it to serve when the primary fails, the license must name it: on the primary, run");
    output::line("`tollkeeper license request`, send the file to the vendor, and import what comes back.");
    Ok(())
}

fn status(json: bool, data: &DataArg) -> Result<(), Failure> {
    let answer: StandbyAnswer = open(data)?.get("standby")?;
    if json {
        return output::json(&answer);
    }
    let this = &answer.this;
    output::line(format!("This server  {}  {}, {}", this.server_uuid, this.role, this.doing.replace('_', " ")));
    if let Some(progress) = &answer.joining {
        output::line(format!("Joining      {} {}", progress.step, progress.error.as_deref().unwrap_or_default()).trim_end());
    }
    let Some(partner) = &answer.partner else {
        output::line("Partner      none: `tollkeeper standby invite` lets another server join");
        return Ok(());
    };
    let heard = partner.heard_seconds_ago.map_or_else(|| "not heard yet".to_owned(), |ago| format!("heard {ago} s ago"));
    let doing = partner.doing.as_deref().unwrap_or("unknown").replace('_', " ");
    output::line(format!("Partner      {}  {}, {doing}, {heard}", partner.server_uuid, partner.role.as_deref().unwrap_or("unknown")));
    output::line(format!("             {}", partner.urls.join("  ")));
    if !partner.is_licensed {
        output::line("             no installed license names it: send the vendor a new `license request`");
    }
    let sync = match (&partner.last_sync_at, &partner.last_sync_error) {
        (Some(at), Some(error)) => format!("failed at {at}: {error}"),
        (Some(at), None) => format!("at {at}"),
        (None, _) => "not since this server started".to_owned(),
    };
    output::line(format!("Last sync    {sync}"));
    let lost = if answer.facts_at_risk == 0 { "nothing".to_owned() } else { format!("{}, until the next sync", output::count(answer.facts_at_risk, "fact")) };
    output::line(format!("Lost if this server's disk fails now: {lost}"));
    Ok(())
}

fn rehearse(seconds: i64, data: &DataArg) -> Result<(), Failure> {
    let admin = open(data)?;
    let before = admin.get::<StandbyAnswer>("standby")?.notes.len();
    admin.tell(Method::Post, "standby/rehearse", Some(&RehearsalBody { seconds }))?;
    let mut told = before;
    loop {
        let answer: StandbyAnswer = admin.get("standby")?;
        for note in answer.notes.iter().skip(told) {
            output::line(format!("{}  this server: {}", note.at, note.text));
        }
        let has_begun = answer.notes.len() > before;
        told = answer.notes.len();
        if has_begun && answer.this.serving {
            output::line(format!("This server serves again; on it alone: {}.", output::count(answer.facts_at_risk, "fact")));
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
