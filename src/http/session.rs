//! Who is logged in: sessions in memory, their cookie, and the growing pause after failed
//! logins. A restart logs everybody out; the console is never locked out, because it does not
//! come this way.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use actix_web::cookie::{Cookie, SameSite};
use uuid::Uuid;

use crate::commands::tokens::TokenText;
use crate::documents::{jws, random_uuid};
use crate::store::accounts::User;
use crate::store::facts::Hash;

/// The longest a session lasts.
const LIFE_SECONDS: i64 = 12 * 3_600;
/// The longest it lasts while nothing is done.
const IDLE_SECONDS: i64 = 30 * 60;
/// Most sessions: more than a site has administrators, less than fills the memory.
const SESSIONS_MAX: usize = 1_000;
/// Most names and addresses of which failed logins are remembered.
const LOCKS_MAX: usize = 10_000;

/// `__Host-`: for this host alone, over HTTPS alone.
pub const COOKIE: &str = "__Host-tollkeeper";

/// Somebody who is logged in.
#[derive(Debug, Clone)]
pub struct Session {
    /// Names it where it can be ended; not what the cookie has.
    pub id: Uuid,
    /// The user.
    pub user_id: Uuid,
    /// The user's password when the session began: another one ends it.
    password_hash: String,
    /// What every form must bring along.
    pub csrf: String,
    /// When it began, seconds since 1970.
    pub began_at: i64,
    /// When it was last used, seconds since 1970.
    pub used_at: i64,
    /// Where it was begun.
    pub address: String,
    /// The browser, as it calls itself.
    pub browser: String,
}

impl Session {
    /// Whether it belongs to this user as the user is now.
    pub fn belongs_to(&self, user: &User) -> bool {
        self.user_id == user.user_id && self.password_hash == user.password_hash
    }

    fn is_over(&self, now: i64) -> bool {
        now >= self.began_at + LIFE_SECONDS || now >= self.used_at + IDLE_SECONDS
    }
}

/// Failed logins under one name or from one address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Lock {
    failures: u32,
    until: i64,
}

impl Lock {
    const FREE: u32 = 5;
    const LONGEST_SECONDS: i64 = 15 * 60;

    /// After the first five failures each further one doubles the pause, from a second to a
    /// quarter of an hour.
    fn fail(self, now: i64) -> Self {
        let failures = if now > self.until + 3_600 { 1 } else { self.failures.saturating_add(1) };
        let pause = match failures.checked_sub(Self::FREE) {
            None => 0,
            Some(more) => (1_i64 << more.min(20)).min(Self::LONGEST_SECONDS),
        };
        Self { failures, until: now + pause }
    }

    fn seconds_left(self, now: i64) -> i64 {
        (self.until - now).max(0)
    }
}

/// See the module.
#[derive(Default)]
pub struct Sessions {
    open: Mutex<HashMap<Hash, Session>>,
    locks: Mutex<HashMap<String, Lock>>,
    /// When tokens were last used, seconds since 1970.
    token_uses: Mutex<HashMap<Uuid, i64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    /// Begins a session; the text is for the cookie.
    pub fn begin(&self, user: &User, address: String, browser: String, now: i64) -> String {
        let secret = jws::encode(&[random_uuid().into_bytes(), random_uuid().into_bytes()].concat());
        let session = Session {
            id: random_uuid(),
            user_id: user.user_id,
            password_hash: user.password_hash.clone(),
            csrf: jws::encode(&[random_uuid().into_bytes(), random_uuid().into_bytes()].concat()),
            began_at: now,
            used_at: now,
            address,
            browser,
        };
        let mut open = lock(&self.open);
        open.retain(|_, session| !session.is_over(now));
        while open.len() >= SESSIONS_MAX {
            let Some(oldest) = open.iter().min_by_key(|(_, session)| session.used_at).map(|(key, _)| *key) else { break };
            open.remove(&oldest);
        }
        open.insert(TokenText::digest(&secret), session);
        secret
    }

    /// The session of a cookie, used now. `touch` keeps it from ending; what a page asks for by
    /// itself does not.
    pub fn find(&self, secret: &str, now: i64, touch: bool) -> Option<Session> {
        let key = TokenText::digest(secret);
        let mut open = lock(&self.open);
        let session = open.get_mut(&key)?;
        if session.is_over(now) {
            open.remove(&key);
            return None;
        }
        if touch {
            session.used_at = session.used_at.max(now);
        }
        Some(session.clone())
    }

    /// Ends the session of a cookie.
    pub fn end(&self, secret: &str) {
        lock(&self.open).remove(&TokenText::digest(secret));
    }

    /// Ends a session by its id.
    pub fn end_by_id(&self, id: Uuid) -> Option<Session> {
        let mut open = lock(&self.open);
        let key = open.iter().find(|(_, session)| session.id == id).map(|(key, _)| *key)?;
        open.remove(&key)
    }

    /// Ends all sessions of a user but one.
    pub fn end_others(&self, user_id: Uuid, but: Option<Uuid>) {
        lock(&self.open).retain(|_, session| session.user_id != user_id || Some(session.id) == but);
    }

    /// The sessions there are, latest use first.
    pub fn list(&self, now: i64) -> Vec<Session> {
        let mut list: Vec<_> = lock(&self.open).values().filter(|session| !session.is_over(now)).cloned().collect();
        list.sort_by_key(|session| (std::cmp::Reverse(session.used_at), session.id));
        list
    }

    /// Seconds until a login may be tried under this name or from this address.
    pub fn find_pause(&self, name: &str, address: &str, now: i64) -> i64 {
        let locks = lock(&self.locks);
        lock_names(name, address).iter().filter_map(|key| locks.get(key)).map(|lock| lock.seconds_left(now)).max().unwrap_or(0)
    }

    /// A login failed.
    pub fn fail(&self, name: &str, address: &str, now: i64) {
        let mut locks = lock(&self.locks);
        if locks.len() >= LOCKS_MAX {
            locks.retain(|_, lock| lock.seconds_left(now) > 0);
        }
        for key in lock_names(name, address) {
            let lock = locks.entry(key).or_default();
            *lock = lock.fail(now);
        }
    }

    /// A login went well.
    pub fn succeed(&self, name: &str, address: &str) {
        let mut locks = lock(&self.locks);
        for key in lock_names(name, address) {
            locks.remove(&key);
        }
    }

    /// Remembers that a token was used; tells whether that is worth keeping on disk.
    pub fn use_token(&self, token_id: Uuid, now: i64) -> bool {
        lock(&self.token_uses).insert(token_id, now).is_none_or(|before| now - before >= 60)
    }

    /// When tokens were last used, seconds since 1970.
    pub fn token_uses(&self) -> HashMap<Uuid, i64> {
        lock(&self.token_uses).clone()
    }

    /// What is known of that from before the start.
    pub fn learn_token_uses(&self, known: HashMap<Uuid, i64>) {
        lock(&self.token_uses).extend(known);
    }
}

fn lock_names(name: &str, address: &str) -> [String; 2] {
    [format!("user {}", crate::licensing::id::shorten(&name.to_ascii_lowercase())), format!("address {address}")]
}

/// The cookie with a session; with `None` the one that takes it away.
pub fn cookie(secret: Option<String>) -> Cookie<'static> {
    let is_end = secret.is_none();
    let mut cookie = Cookie::build(COOKIE, secret.unwrap_or_default()).path("/").secure(true).http_only(true).same_site(SameSite::Strict).finish();
    if is_end {
        cookie.make_removal();
    }
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::accounts::Role;

    fn user() -> User {
        User { user_id: random_uuid(), name: "anna".into(), role: Role::Admin, password_hash: "h".into(), created_stamp: 0, version: 1 }
    }

    #[test]
    fn a_session_ends_after_half_an_hour_of_rest_and_after_twelve_hours() {
        let sessions = Sessions::default();
        let secret = sessions.begin(&user(), "10.0.0.1".into(), String::new(), 0);
        assert!(sessions.find(&secret, IDLE_SECONDS - 1, true).is_some());
        assert!(sessions.find(&secret, 2 * IDLE_SECONDS - 2, false).is_some());
        assert!(sessions.find(&secret, 2 * IDLE_SECONDS - 1, false).is_none(), "what pages ask for by themselves keeps no session");
        let secret = sessions.begin(&user(), "10.0.0.1".into(), String::new(), 0);
        for now in (0..LIFE_SECONDS).step_by(600) {
            assert!(sessions.find(&secret, now, true).is_some());
        }
        assert!(sessions.find(&secret, LIFE_SECONDS, true).is_none());
        assert!(sessions.find("other", 0, true).is_none());
    }

    #[test]
    fn another_password_ends_a_session() {
        let sessions = Sessions::default();
        let user = user();
        let session = sessions.find(&sessions.begin(&user, String::new(), String::new(), 0), 0, true).expect("there");
        assert!(session.belongs_to(&user));
        assert!(!session.belongs_to(&User { password_hash: "other".into(), ..user }));
    }

    #[test]
    fn the_pause_after_failed_logins_grows_and_passes() {
        let sessions = Sessions::default();
        let pauses: Vec<i64> = (0..20)
            .map(|_| {
                sessions.fail("Anna", "10.0.0.1", 100);
                sessions.find_pause("anna", "10.0.0.2", 100)
            })
            .collect();
        assert_eq!(pauses[..8], [0, 0, 0, 0, 1, 2, 4, 8]);
        assert_eq!(pauses[19], 900);
        assert_eq!(sessions.find_pause("bert", "10.0.0.1", 100), 900, "the address is known as well");
        assert_eq!(sessions.find_pause("bert", "10.0.0.2", 100), 0);
        assert_eq!(sessions.find_pause("anna", "10.0.0.1", 1_000), 0);
        sessions.succeed("anna", "10.0.0.1");
        sessions.fail("anna", "10.0.0.1", 1_000);
        assert_eq!(sessions.find_pause("anna", "10.0.0.1", 1_000), 0);
    }
}
