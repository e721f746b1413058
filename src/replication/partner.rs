//! Who the other server is, what the two say to each other, and what of that is kept: sealed, and on
//! this machine alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::commands::Site;
use crate::documents::RequestServer;
use crate::licensing::ServerUuid;
use crate::store::gaps;
use crate::store::{Command, Error, Ledger, local};

/// The row of the database that holds the partner, sealed.
pub const PARTNER_ROW: &str = "partner";
/// The row of the database that holds an open invitation.
pub const INVITATION_ROW: &str = "invitation";
/// How long an invitation stands, in seconds.
pub const INVITATION_SECONDS: i64 = 3_600;

/// The other server of the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partner {
    /// What the vendor must know of it.
    pub server: RequestServer,
    /// Where it answers.
    pub urls: Vec<String>,
    /// SHA-256 of the certificate that it shows, hex.
    pub certificate_sha256: String,
    /// When the two were paired, seconds since 1970.
    pub paired_at: i64,
}

/// A certificate of the site's authority by which this server is known to its partner. PEM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// The certificate.
    pub chain_pem: String,
    /// Its key. Secret.
    pub key_pem: String,
}

/// What pairing leaves on each of the two.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairing {
    /// The other one.
    pub partner: Partner,
    /// What this one shows.
    pub pass: Pass,
}

impl std::fmt::Debug for Pairing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pairing").field("partner", &self.partner).finish_non_exhaustive()
    }
}

impl Pairing {
    /// The pairing in a database, if there is one.
    pub fn load(connection: &rusqlite::Connection, site: &Site) -> Result<Option<Self>, Error> {
        let Some(sealed) = local::find(connection, PARTNER_ROW)?.filter(|sealed| !sealed.is_empty()) else { return Ok(None) };
        let json = site.secret().open(PARTNER_ROW, &sealed).ok_or_else(|| Error::Corrupt("the partner's record does not open with secret.key".to_owned()))?;
        serde_json::from_slice(&json).map(Some).map_err(|error| Error::Corrupt(format!("the partner's record cannot be read: {error}")))
    }

    /// As the database keeps it.
    pub fn seal(&self, site: &Site) -> Result<Vec<u8>, Error> {
        let json = serde_json::to_vec(self).map_err(|error| Error::Other(error.to_string()))?;
        Ok(site.secret().seal(PARTNER_ROW, &json))
    }
}

/// Somebody may join who shows the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// SHA-256 of the token, hex.
    pub token_sha256: String,
    /// When it ends, seconds since 1970.
    pub until: i64,
}

impl Invitation {
    /// The open one, if there is one.
    pub fn load(connection: &rusqlite::Connection) -> Result<Option<Self>, Error> {
        Ok(local::find(connection, INVITATION_ROW)?.and_then(|json| serde_json::from_slice(&json).ok()))
    }
}

/// Keeps a value of this machine's own; an empty one takes it away.
pub struct Keep {
    /// Its name and value.
    pub rows: Vec<(&'static str, Vec<u8>)>,
    /// The epoch that begins with it.
    pub epoch: u64,
}

impl Command for Keep {
    type Answer = ();

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<(), Error> {
        for (name, value) in &self.rows {
            ledger.put_local(name, value)?;
        }
        ledger.enter_epoch(self.epoch)
    }
}

/// What a server holds of an origin from a number on, up to another, without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Whose facts.
    pub origin: ServerUuid,
    /// 0, or the first fact above a gap.
    pub from: u64,
    /// The last one.
    pub last: u64,
}

/// What one side asks the other for facts with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Holding {
    /// What it holds already.
    pub held: Vec<Held>,
}

/// Everything that this server holds.
pub fn list_held(connection: &rusqlite::Connection) -> Result<Vec<Held>, Error> {
    Ok(gaps::list_held(connection)?.into_iter().map(|(origin, from, last)| Held { origin, from, last }).collect())
}

/// For each server, the last of its facts that both hold, with all before it.
pub fn safe(ours: &[Held], theirs: &[Held]) -> BTreeMap<String, u64> {
    let mut safe: BTreeMap<String, u64> = BTreeMap::new();
    let mut is_open: BTreeMap<ServerUuid, bool> = BTreeMap::new();
    for held in ours {
        // Above a gap nothing is safe while the gap differs.
        if is_open.get(&held.origin).is_some_and(|open| !open) {
            continue;
        }
        let known = theirs.iter().find(|other| other.origin == held.origin && other.from == held.from).map_or(0, |other| other.last);
        let last = held.last.min(known);
        if last >= held.from && last > 0 {
            safe.insert(held.origin.to_string(), last);
        }
        is_open.insert(held.origin, held.last == known);
    }
    safe
}

/// How many facts of ours the other side lacks.
pub fn count_missing(ours: &[Held], theirs: &[Held]) -> u64 {
    let missing = |held: &Held| {
        let known = theirs.iter().find(|other| other.origin == held.origin && other.from == held.from);
        let begin = if held.from == 0 { 0 } else { held.from - 1 };
        held.last.saturating_sub(known.map_or(begin, |other| other.last.max(begin)))
    };
    ours.iter().map(missing).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(origin: u8, from: u64, last: u64) -> Held {
        Held { origin: ServerUuid::from_bytes([origin; 16]), from, last }
    }

    #[test]
    fn what_both_hold_is_safe() {
        let name = |origin: u8| ServerUuid::from_bytes([origin; 16]).to_string();
        assert_eq!(safe(&[held(1, 0, 9), held(2, 0, 4)], &[held(1, 0, 7)]), BTreeMap::from([(name(1), 7)]));
        assert_eq!(safe(&[held(1, 0, 9)], &[]), BTreeMap::new());
        // Above a gap only when what came back of it is the same on both sides.
        let ours = [held(1, 0, 9), held(1, 109, 120)];
        assert_eq!(safe(&ours, &[held(1, 0, 9), held(1, 109, 115)]), BTreeMap::from([(name(1), 115)]));
        assert_eq!(safe(&ours, &[held(1, 0, 12), held(1, 109, 115)]), BTreeMap::from([(name(1), 9)]));
        assert_eq!(safe(&ours, &[held(1, 0, 9)]), BTreeMap::from([(name(1), 9)]));
    }

    #[test]
    fn what_the_other_side_lacks_is_counted() {
        assert_eq!(count_missing(&[held(1, 0, 9), held(2, 0, 4)], &[held(1, 0, 7)]), 6);
        assert_eq!(count_missing(&[held(1, 0, 9), held(1, 109, 120)], &[held(1, 0, 12)]), 12);
        assert_eq!(count_missing(&[], &[held(1, 0, 12)]), 0);
    }
}
