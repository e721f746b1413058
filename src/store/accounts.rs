//! Who may administer this site: users with passwords, and tokens for programs. Both go to the
//! other server with everything else; the last writer wins by (epoch, version, origin).

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Error;
use super::facts::Hash;
use super::ledger::Ledger;
use crate::clock::Micros;
use crate::licensing::ServerUuid;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look at everything.
    Viewer,
    /// Change everything.
    Admin,
}

impl Role {
    /// Its name, as the API writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Viewer, Self::Admin].into_iter().find(|role| role.name() == name)
    }
}

/// A user was made, changed or deleted: the whole state after the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserChanged {
    /// The user, whatever the name.
    pub user_id: Uuid,
    /// The name to log in with.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// The password's hash: argon2id, in PHC format.
    pub password_hash: String,
    /// Whether the user was deleted.
    pub deleted: bool,
    /// When the user was made.
    pub created_stamp: Micros,
    /// Counts changes of role between the servers.
    pub epoch: u64,
    /// Counts changes of this user.
    pub version: u64,
    /// Who changed it.
    pub by: String,
}

/// A token was made or deleted: the whole state after the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenChanged {
    /// The token.
    pub token_id: Uuid,
    /// What it is for.
    pub name: String,
    /// What may be done with it.
    pub role: Role,
    /// SHA-256 of the token's text, which nobody keeps.
    pub digest: Hash,
    /// Whether it was deleted.
    pub deleted: bool,
    /// When it was made.
    pub created_stamp: Micros,
    /// Counts changes of role between the servers.
    pub epoch: u64,
    /// Counts changes of this token.
    pub version: u64,
    /// Who changed it.
    pub by: String,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The identity, whatever the name.
    pub user_id: Uuid,
    /// The name to log in with.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// The password's hash, in PHC format.
    pub password_hash: String,
    /// When the user was made, microseconds since 1970.
    pub created_stamp: Micros,
    /// See [`UserChanged::version`].
    pub version: u64,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its identity.
    pub token_id: Uuid,
    /// What it is for.
    pub name: String,
    /// What may be done with it.
    pub role: Role,
    /// SHA-256 of its text.
    pub digest: Hash,
    /// When it was made, microseconds since 1970.
    pub created_stamp: Micros,
    /// See [`TokenChanged::version`].
    pub version: u64,
}

const PUT_USER: &str = "INSERT INTO users (user_id, name, role, password_hash, deleted, created_stamp, epoch, version, origin)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT (user_id) DO UPDATE SET name = ?2, role = ?3, password_hash = ?4, deleted = ?5, epoch = ?7, version = ?8, origin = ?9
    WHERE (excluded.epoch, excluded.version, excluded.origin) > (epoch, version, origin)";
const PUT_TOKEN: &str = "INSERT INTO tokens (token_id, name, role, digest, deleted, created_stamp, epoch, version, origin)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT (token_id) DO UPDATE SET name = ?2, role = ?3, digest = ?4, deleted = ?5, epoch = ?7, version = ?8, origin = ?9
    WHERE (excluded.epoch, excluded.version, excluded.origin) > (epoch, version, origin)";
const LIST_USERS: &str = "SELECT user_id, name, role, password_hash, created_stamp, version FROM users WHERE NOT deleted ORDER BY created_stamp, user_id";
const LIST_TOKENS: &str = "SELECT token_id, name, role, digest, created_stamp, version FROM tokens WHERE NOT deleted ORDER BY created_stamp, token_id";

pub(super) const STATEMENTS: &[&str] = &[PUT_USER, PUT_TOKEN, LIST_USERS, LIST_TOKENS];

/// The last writer wins.
pub(super) fn apply_user(ledger: &mut Ledger<'_>, origin: ServerUuid, body: &UserChanged) -> Result<(), Error> {
    ledger.connection().prepare_cached(PUT_USER)?.execute(params![
        body.user_id.as_bytes(),
        body.name,
        body.role.name(),
        body.password_hash,
        body.deleted,
        body.created_stamp,
        body.epoch as i64,
        body.version as i64,
        origin.bytes()
    ])?;
    Ok(())
}

/// The last writer wins.
pub(super) fn apply_token(ledger: &mut Ledger<'_>, origin: ServerUuid, body: &TokenChanged) -> Result<(), Error> {
    ledger.connection().prepare_cached(PUT_TOKEN)?.execute(params![
        body.token_id.as_bytes(),
        body.name,
        body.role.name(),
        body.digest,
        body.deleted,
        body.created_stamp,
        body.epoch as i64,
        body.version as i64,
        origin.bytes()
    ])?;
    Ok(())
}

fn role(name: &str) -> Result<Role, Error> {
    Role::from_name(name).ok_or_else(|| Error::Corrupt(format!("the role '{name}' is unknown")))
}

/// Users that are not deleted, oldest first. Where two servers gave out the same name, the
/// older user has it.
pub fn list_users(connection: &Connection) -> Result<Vec<User>, Error> {
    let mut statement = connection.prepare_cached(LIST_USERS)?;
    let mut rows = statement.query([])?;
    let mut users = Vec::new();
    while let Some(row) = rows.next()? {
        users.push(User {
            user_id: Uuid::from_bytes(row.get(0)?),
            name: row.get(1)?,
            role: role(&row.get::<_, String>(2)?)?,
            password_hash: row.get(3)?,
            created_stamp: row.get(4)?,
            version: row.get::<_, i64>(5)? as u64,
        });
    }
    Ok(users)
}

/// The user of this name. Names differ in more than case.
pub fn find_user(connection: &Connection, name: &str) -> Result<Option<User>, Error> {
    Ok(list_users(connection)?.into_iter().find(|user| is_same_name(&user.name, name)))
}

/// Whether two names are the same one.
pub fn is_same_name(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Tokens that are not deleted, oldest first.
pub fn list_tokens(connection: &Connection) -> Result<Vec<Token>, Error> {
    let mut statement = connection.prepare_cached(LIST_TOKENS)?;
    let mut rows = statement.query([])?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next()? {
        tokens.push(Token {
            token_id: Uuid::from_bytes(row.get(0)?),
            name: row.get(1)?,
            role: role(&row.get::<_, String>(2)?)?,
            digest: row.get(3)?,
            created_stamp: row.get(4)?,
            version: row.get::<_, i64>(5)? as u64,
        });
    }
    Ok(tokens)
}
