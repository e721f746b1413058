//! Tokens with which programs use the admin API: shown once, kept as a hash.

use aws_lc_rs::digest::{SHA256, digest};

use super::Refusal;
use crate::documents::{jws, random_uuid};
use crate::store::accounts::{self, Role, Token, TokenChanged};
use crate::store::facts::{Body, Hash};
use crate::store::{Command, Error, Ledger};

/// What every token begins with, so that it is known when it turns up somewhere.
const PREFIX: &str = "tka_";
const NAME_MAX: usize = 64;

/// A token's text: whoever has it may use it, so it is shown once.
pub struct TokenText(String);

impl TokenText {
    /// A new one, of 256 random bits.
    pub fn generate() -> Self {
        Self(format!("{PREFIX}{}", jws::encode(&[random_uuid().into_bytes(), random_uuid().into_bytes()].concat())))
    }

    /// As it is shown.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// As it is kept.
    pub fn digest(text: &str) -> Hash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        hash
    }
}

/// A new token.
pub struct AddToken {
    /// What it is for.
    pub name: String,
    /// What may be done with it.
    pub role: Role,
    /// See [`TokenText::digest`].
    pub digest: Hash,
    /// Who asks.
    pub by: String,
}

/// Deletes a token.
pub struct DeleteToken {
    /// Its name.
    pub name: String,
    /// Who asks.
    pub by: String,
}

fn save(ledger: &mut Ledger<'_>, token: Token, deleted: bool, by: &str) -> Result<Token, Error> {
    let token = Token { version: token.version + 1, ..token };
    ledger.record(&Body::TokenChanged(TokenChanged {
        token_id: token.token_id,
        name: token.name.clone(),
        role: token.role,
        digest: token.digest,
        deleted,
        created_stamp: token.created_stamp,
        epoch: ledger.epoch(),
        version: token.version,
        by: by.to_owned(),
    }))?;
    Ok(token)
}

fn find(ledger: &Ledger<'_>, name: &str) -> Result<Option<Token>, Error> {
    Ok(accounts::list_tokens(ledger.reading())?.into_iter().find(|token| accounts::is_same_name(&token.name, name)))
}

impl Command for AddToken {
    type Answer = Result<Token, Refusal>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let name = self.name.trim();
        if !(1..=NAME_MAX).contains(&name.len()) || name.chars().any(char::is_control) {
            return Ok(Err(Refusal::Invalid("name", format!("must be 1 to {NAME_MAX} characters: say what the token is for"))));
        }
        if find(ledger, name)?.is_some() {
            return Ok(Err(Refusal::Invalid("name", format!("there is a token '{name}': choose another name, or delete that one"))));
        }
        let created_stamp = ledger.next_stamp();
        let token = Token { token_id: random_uuid(), name: name.to_owned(), role: self.role, digest: self.digest, created_stamp, version: 0 };
        save(ledger, token, false, &self.by).map(Ok)
    }
}

impl Command for DeleteToken {
    type Answer = Result<Token, Refusal>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        match find(ledger, &self.name)? {
            Some(token) => save(ledger, token, true, &self.by).map(Ok),
            None => {
                Ok(Err(Refusal::NotFound(format!("there is no token '{}': `admin token list` shows the tokens", crate::licensing::id::shorten(&self.name)))))
            }
        }
    }
}
