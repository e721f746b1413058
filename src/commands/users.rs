//! Who may administer the site, with a password (pages, "Security"). The last admin cannot be
//! taken away by accident; the server's own console can always make a new one.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

use super::Refusal;
use crate::documents::random_uuid;
use crate::store::accounts::{self, Role, User, UserChanged};
use crate::store::facts::Body;
use crate::store::{Command, Error, Ledger};

/// Shortest password, in characters.
pub const PASSWORD_MIN: usize = 12;
/// Longest password, in bytes: hashing a longer one would only cost time.
pub const PASSWORD_MAX: usize = 256;
const NAME_MAX: usize = 64;

/// Words that whoever guesses tries first; a password must be more than one of them with a few
/// characters around it.
const COMMON: &[&str] = &[
    "password",
    "passwort",
    "kennwort",
    "motdepasse",
    "contraseña",
    "tollkeeper",
    "administrator",
    "admin",
    "letmein",
    "welcome",
    "willkommen",
    "qwerty",
    "qwertz",
    "azerty",
    "iloveyou",
    "monkey",
    "dragon",
    "football",
    "baseball",
    "superman",
    "sunshine",
    "princess",
    "changeme",
    "secret",
    "geheim",
    "default",
    "licence",
    "license",
    "server",
    "master",
    "hello",
    "hallo",
    "abcdef",
    "123456",
    "654321",
    "111111",
    "000000",
    "asdfgh",
    "yxcvbn",
    "zxcvbn",
];

/// A password as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct HashedPassword(String);

impl std::fmt::Debug for HashedPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashedPassword(…)")
    }
}

fn hasher() -> Argon2<'static> {
    // What OWASP asks for: 19 MiB, two passes.
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19 * 1_024, 2, 1, None).unwrap_or_default())
}

impl HashedPassword {
    /// Checks a new password and hashes it, which takes tens of milliseconds: not on an event
    /// loop.
    ///
    /// # Errors
    /// The password is too short, too long, or one that is guessed first.
    pub fn of(password: &str) -> Result<Self, Refusal> {
        check(password)?;
        let broken = |error: argon2::password_hash::Error| Refusal::Conflict(format!("the password cannot be hashed: {error}"));
        let salt = SaltString::encode_b64(random_uuid().as_bytes()).map_err(broken)?;
        Ok(Self(hasher().hash_password(password.as_bytes(), &salt).map_err(broken)?.to_string()))
    }

    /// Whether `password` is the one of this hash. With no hash it takes the same time and says
    /// no, so that nobody learns which users exist.
    pub fn verify(hash: Option<&str>, password: &str) -> bool {
        // The hash of a password that nobody knows.
        const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGtub3dzIGl0$KmRVgQ2m3XyJf0rXQGdQ1hVQx0y6pC1mUO6b8n4e3dE";
        let Ok(parsed) = PasswordHash::new(hash.unwrap_or(NOBODY)) else { return false };
        password.len() <= PASSWORD_MAX && hasher().verify_password(password.as_bytes(), &parsed).is_ok() && hash.is_some()
    }
}

fn check(password: &str) -> Result<(), Refusal> {
    let refuse = |text: String| Err(Refusal::Invalid("password", text));
    if password.chars().count() < PASSWORD_MIN {
        return refuse(format!("is too short: take at least {PASSWORD_MIN} characters, for example four words"));
    }
    if password.len() > PASSWORD_MAX {
        return refuse(format!("is too long: take at most {PASSWORD_MAX} bytes"));
    }
    let lower = password.to_lowercase();
    let mut different: Vec<char> = lower.chars().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < 5 {
        return refuse("repeats a few characters, which is guessed first: take for example four words".to_owned());
    }
    let letters: String = lower.chars().filter(|c| c.is_alphanumeric()).collect();
    // What is left when every word that is guessed first is taken out.
    let rest = COMMON.iter().fold(letters.clone(), |rest, word| rest.replace(word, ""));
    if let Some(word) = COMMON.iter().find(|word| letters.contains(**word)).filter(|_| rest.chars().count() < 6) {
        return refuse(format!("is little more than '{word}', which is guessed first: take for example four words"));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let is_ok = (1..=NAME_MAX).contains(&name.len()) && name.chars().all(|c| c.is_alphanumeric() || "._-@".contains(c));
    if is_ok { Ok(()) } else { Err(Refusal::Invalid("name", format!("must be 1 to {NAME_MAX} letters, digits, '.', '_', '-' or '@'"))) }
}

/// The very first user: only where there is none yet.
pub struct SetUp {
    /// The name.
    pub name: String,
    /// The password.
    pub password: HashedPassword,
}

/// A new user.
pub struct AddUser {
    /// The name.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// The password.
    pub password: HashedPassword,
    /// Who asks.
    pub by: String,
}

/// Another role or password.
pub struct ChangeUser {
    /// The name.
    pub name: String,
    /// A new role.
    pub role: Option<Role>,
    /// A new password.
    pub password: Option<HashedPassword>,
    /// Who asks.
    pub by: String,
}

/// The console's way back in: sets the password of a user, who is made if missing, and lets the
/// user be an admin.
pub struct ResetPassword {
    /// The name.
    pub name: String,
    /// The password.
    pub password: HashedPassword,
    /// Who asks.
    pub by: String,
}

/// Deletes a user.
pub struct DeleteUser {
    /// The name.
    pub name: String,
    /// Who asks.
    pub by: String,
}

fn find(ledger: &Ledger<'_>, name: &str) -> Result<Result<User, Refusal>, Error> {
    let missing = || Refusal::NotFound(format!("there is no user '{}': `admin user list` shows the users", crate::licensing::id::shorten(name)));
    Ok(accounts::find_user(ledger.reading(), name)?.ok_or_else(missing))
}

fn save(ledger: &mut Ledger<'_>, user: User, deleted: bool, by: &str) -> Result<User, Error> {
    let user = User { version: user.version + 1, ..user };
    ledger.record(&Body::UserChanged(UserChanged {
        user_id: user.user_id,
        name: user.name.clone(),
        role: user.role,
        password_hash: user.password_hash.clone(),
        deleted,
        created_stamp: user.created_stamp,
        epoch: ledger.epoch(),
        version: user.version,
        by: by.to_owned(),
    }))?;
    Ok(user)
}

fn make(ledger: &mut Ledger<'_>, name: &str, role: Role, password: &HashedPassword, by: &str) -> Result<User, Error> {
    let created_stamp = ledger.next_stamp();
    let user = User { user_id: random_uuid(), name: name.to_owned(), role, password_hash: password.0.clone(), created_stamp, version: 0 };
    save(ledger, user, false, by)
}

/// Somebody must stay who may change things in the browser.
fn check_last_admin(ledger: &Ledger<'_>, user: &User) -> Result<Result<(), Refusal>, Error> {
    let others = accounts::list_users(ledger.reading())?.into_iter().filter(|other| other.role == Role::Admin && other.user_id != user.user_id).count();
    Ok(if user.role == Role::Admin && others == 0 {
        Err(Refusal::Conflict(format!("{} is the only administrator: make another one first", user.name)))
    } else {
        Ok(())
    })
}

impl Command for SetUp {
    type Answer = Result<User, Refusal>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        if let Err(refusal) = check_name(&self.name) {
            return Ok(Err(refusal));
        }
        if !accounts::list_users(ledger.reading())?.is_empty() {
            return Ok(Err(Refusal::Conflict("this server is set up already: log in".to_owned())));
        }
        make(ledger, &self.name, Role::Admin, &self.password, &self.name).map(Ok)
    }
}

impl Command for AddUser {
    type Answer = Result<User, Refusal>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        if let Err(refusal) = check_name(&self.name) {
            return Ok(Err(refusal));
        }
        if accounts::find_user(ledger.reading(), &self.name)?.is_some() {
            return Ok(Err(Refusal::Invalid("name", format!("'{}' is taken: choose another name", self.name))));
        }
        make(ledger, &self.name, self.role, &self.password, &self.by).map(Ok)
    }
}

impl Command for ChangeUser {
    type Answer = Result<User, Refusal>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let mut user = match find(ledger, &self.name)? {
            Ok(user) => user,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if self.role == Some(Role::Viewer)
            && let Err(refusal) = check_last_admin(ledger, &user)?
        {
            return Ok(Err(refusal));
        }
        user.role = self.role.unwrap_or(user.role);
        if let Some(password) = &self.password {
            user.password_hash = password.0.clone();
        }
        save(ledger, user, false, &self.by).map(Ok)
    }
}

impl Command for ResetPassword {
    type Answer = Result<User, Refusal>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        if let Err(refusal) = check_name(&self.name) {
            return Ok(Err(refusal));
        }
        match accounts::find_user(ledger.reading(), &self.name)? {
            Some(user) => save(ledger, User { role: Role::Admin, password_hash: self.password.0.clone(), ..user }, false, &self.by).map(Ok),
            None => make(ledger, &self.name, Role::Admin, &self.password, &self.by).map(Ok),
        }
    }
}

impl Command for DeleteUser {
    type Answer = Result<User, Refusal>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let user = match find(ledger, &self.name)? {
            Ok(user) => user,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(refusal) = check_last_admin(ledger, &user)? {
            return Ok(Err(refusal));
        }
        save(ledger, user, true, &self.by).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_again_and_no_other_one_is() {
        let hash = HashedPassword::of("four words are enough").expect("there");
        assert!(HashedPassword::verify(Some(&hash.0), "four words are enough"));
        assert!(!HashedPassword::verify(Some(&hash.0), "four words are enough "));
        assert!(!HashedPassword::verify(None, "four words are enough"));
        assert!(!HashedPassword::verify(Some("nonsense"), "x"));
        assert_ne!(hash, HashedPassword::of("four words are enough").expect("there"), "every hash has its own salt");
    }

    #[test]
    fn passwords_that_are_guessed_first_are_refused() {
        for (password, told) in [("short", "too short"), ("aaaaaaaaaaaaaaa", "repeats"), ("Password123!!", "'password'"), ("admin123456admin", "guessed")] {
            match check(password) {
                Err(Refusal::Invalid("password", text)) => assert!(text.contains(told), "{password}: {text}"),
                other => panic!("{password}: {other:?}"),
            }
        }
        assert_eq!(check("correct horse battery"), Ok(()));
        assert_eq!(check("the admin likes tea at four"), Ok(()));
    }
}
