//! `tollkeeper admin`: who may administer this site, and the way back in.

use std::io::IsTerminal as _;

use clap::{Subcommand, ValueEnum};

use super::connect::{Admin, Create, segment};
use super::output::{self, Column};
use super::{DataArg, Failure};
use crate::client::transport::Method;
use crate::http::admin_api::tokens::{MadeToken, Scope, TokenBody, TokenRow};
use crate::http::admin_api::users::{PasswordBody, UserBody, UserRow};
use crate::store::accounts::Role;

/// The commands about administration.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Set a new password for an administrator who lost it
    ///
    /// Asks for it twice without showing it. A user who does not exist is made; the user is an
    /// administrator from then on. Failed logins never lock this command out.
    ///
    /// Example:
    ///   tollkeeper admin reset-password
    #[command(verbatim_doc_comment)]
    ResetPassword {
        /// The user
        #[arg(default_value = "admin")]
        name: String,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Users: who may log in to the pages
    #[command(subcommand)]
    User(UserCommand),
    /// Tokens: what programs use the admin API with
    #[command(subcommand)]
    Token(TokenCommand),
}

/// The commands about users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user; asks for the password twice without showing it
    ///
    /// Example:
    ///   tollkeeper admin user add anna --role viewer
    #[command(verbatim_doc_comment)]
    Add {
        /// The name to log in with
        name: String,
        /// What the user may do
        #[arg(long)]
        role: RoleArg,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// List users
    ///
    /// Example:
    ///   tollkeeper admin user list --json
    #[command(verbatim_doc_comment)]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Delete a user, whose sessions end at once
    ///
    /// Example:
    ///   tollkeeper admin user delete anna
    #[command(verbatim_doc_comment)]
    Delete {
        /// The name
        name: String,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
}

/// The commands about tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it: the only time that it is shown
    ///
    /// Example:
    ///   tollkeeper admin token add monitoring --scope read
    #[command(verbatim_doc_comment)]
    Add {
        /// What it is for
        name: String,
        /// What may be done with it
        #[arg(long)]
        scope: ScopeArg,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// List tokens
    ///
    /// Example:
    ///   tollkeeper admin token list --json
    #[command(verbatim_doc_comment)]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
    /// Delete a token: programs that use it are refused from then on
    ///
    /// Example:
    ///   tollkeeper admin token delete monitoring
    #[command(verbatim_doc_comment)]
    Delete {
        /// Its name
        name: String,
        /// The server it is about
        #[command(flatten)]
        data: DataArg,
    },
}

/// See [`Role`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Changes everything
    Admin,
    /// Looks at everything
    Viewer,
}

/// See [`Scope`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeArg {
    /// Looks at everything
    Read,
    /// Changes everything
    Write,
}

/// Runs one of them.
pub fn run(command: AdminCommand) -> Result<(), Failure> {
    match command {
        AdminCommand::ResetPassword { name, password_stdin, data } => {
            let admin = Admin::open(&data, Create::Refused)?;
            let body = PasswordBody { password: read_password(&name, password_stdin)? };
            let user: UserRow = admin.change(Method::Post, &format!("users/{}/reset", segment(&name)), Some(&body))?;
            output::line(format!("{} has a new password and is an administrator. Sessions with the old one are over.", user.name));
            Ok(())
        }
        AdminCommand::User(command) => user(command),
        AdminCommand::Token(command) => token(command),
    }
}

fn user(command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add { name, role, password_stdin, data } => {
            let admin = Admin::open(&data, Create::Refused)?;
            let role = if role == RoleArg::Admin { Role::Admin } else { Role::Viewer };
            let body = UserBody { password: read_password(&name, password_stdin)?, name, role };
            let user: UserRow = admin.change(Method::Post, "users", Some(&body))?;
            output::line(format!("{} may log in as {}.", user.name, user.role.name()));
            Ok(())
        }
        UserCommand::List { json, data } => {
            let users: Vec<UserRow> = Admin::open(&data, Create::Refused)?.get("users")?;
            if json {
                return output::json(&users);
            }
            let rows: Vec<_> = users.into_iter().map(|user| vec![user.name, user.role.name().to_owned(), user.created_at]).collect();
            output::table(
                &[Column::Text("NAME"), Column::Text("ROLE"), Column::Text("MADE")],
                &rows,
                "There is no user yet. The first visit to /admin/ makes one, or: tollkeeper admin reset-password",
            );
            Ok(())
        }
        UserCommand::Delete { name, data } => {
            Admin::open(&data, Create::Refused)?.tell(Method::Delete, &format!("users/{}", segment(&name)), None::<&()>)?;
            output::line(format!("Deleted {name} and ended all sessions of that name."));
            Ok(())
        }
    }
}

fn token(command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Add { name, scope, json, data } => {
            let scope = if scope == ScopeArg::Read { Scope::Read } else { Scope::Write };
            let made: MadeToken = Admin::open(&data, Create::Refused)?.change(Method::Post, "tokens", Some(&TokenBody { name, scope }))?;
            if json {
                return output::json(&made);
            }
            output::line(made.token);
            Ok(())
        }
        TokenCommand::List { json, data } => {
            let tokens: Vec<TokenRow> = Admin::open(&data, Create::Refused)?.get("tokens")?;
            if json {
                return output::json(&tokens);
            }
            let row =
                |token: TokenRow| vec![token.name, token.scope.name().to_owned(), token.created_at, token.last_used_at.unwrap_or_else(|| "never".to_owned())];
            let rows: Vec<_> = tokens.into_iter().map(row).collect();
            output::table(
                &[Column::Text("NAME"), Column::Text("SCOPE"), Column::Text("MADE"), Column::Text("LAST USED")],
                &rows,
                "There is no token. Make one with: tollkeeper admin token add NAME --scope read",
            );
            Ok(())
        }
        TokenCommand::Delete { name, data } => {
            Admin::open(&data, Create::Refused)?.tell(Method::Delete, &format!("tokens/{}", segment(&name)), None::<&()>)?;
            output::line(format!("Deleted the token '{name}'."));
            Ok(())
        }
    }
}

/// The first line of standard input, or what somebody types twice at a terminal.
fn read_password(name: &str, from_stdin: bool) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure(format!("the password cannot be read: {error}"));
    if from_stdin {
        return super::read_secret_line("password");
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure("there is no terminal to ask for the password on: send it as one line with --password-stdin".to_owned()));
    }
    let password = rpassword::prompt_password(format!("New password of {name}: ")).map_err(failed)?;
    if rpassword::prompt_password("The same once more: ").map_err(failed)? != password {
        return Err(Failure("the two passwords differ: nothing was changed, try again".to_owned()));
    }
    Ok(password)
}
