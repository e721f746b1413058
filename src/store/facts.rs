//! Facts: what the server remembers (architecture §2). A fact is small, never changes,
//! and says from which server it comes; the journal keeps them as a chain of hashes.
//!
//! [`record`] makes a fact of this server's own, [`replay`] takes one of its partner's;
//! both go through one [`apply`], and nothing else ever changes the tables that people
//! read. Applying is insensitive to the order between origins.

use aws_lc_rs::digest;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::accounts::{TokenChanged, UserChanged};
use super::audit::AdminActed;
use super::ledger::Ledger;
use super::preferences::PreferenceChanged;
use super::{Error, accounts, audit, devices, handshakes, licenses, preferences, refusals, reports, seats, statements, trials, usage};
use crate::clock::Micros;
use crate::licensing::charging::Charge;
use crate::licensing::{ClientUuid, CodeId, ItemId, LicenseId, OrganizationId, ServerUuid, Slot, Unit};

/// What happened. The kind of a fact is the name of its variant in `snake_case`; bodies
/// only ever gain optional fields, so that old journals stay readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body", rename_all = "snake_case")]
pub enum Body {
    /// A license file was imported.
    LicenseImported(LicenseImported),
    /// A revocation was imported.
    LicenseRevoked(LicenseRevoked),
    /// A handshake code was made, edited or deleted.
    HandshakeChanged(HandshakeChanged),
    /// The admin starred a code as its organization's default.
    DefaultChosen(DefaultChosen),
    /// A device was authorized.
    AuthorizationGranted(AuthorizationGranted),
    /// A device was refused under a code.
    AuthorizationRefused(AuthorizationRefused),
    /// Usage reports were taken.
    ReportsAccepted(ReportsAccepted),
    /// A device or the admin freed a seat.
    SeatReleased(SeatReleased),
    /// The admin reset a device after a clone alarm.
    DeviceReset(DeviceReset),
    /// A usage statement was made.
    StatementIssued(StatementIssued),
    /// A user was made, changed or deleted.
    UserChanged(UserChanged),
    /// A token was made or deleted.
    TokenChanged(TokenChanged),
    /// The admin set something.
    PreferenceChanged(PreferenceChanged),
    /// Somebody did something that changes nothing but is to be remembered.
    AdminActed(AdminActed),
}

/// See [`Body::LicenseImported`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LicenseImported {
    /// The license.
    pub license_id: LicenseId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// Its alias.
    pub alias: String,
    /// When the vendor issued it, seconds since 1970.
    pub issued_at: i64,
    /// The vendor's key.
    pub vendor_kid: String,
    /// The signed file, compact JWS.
    pub document: String,
    /// Its items, as in the file.
    pub items: Vec<crate::licensing::LicenseItem>,
    /// Who imported it.
    pub by: String,
}

/// See [`Body::LicenseRevoked`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LicenseRevoked {
    /// The license.
    pub license_id: LicenseId,
    /// Its items that are revoked.
    pub items: Vec<ItemId>,
    /// When the vendor made the revocation, seconds since 1970.
    pub issued_at: i64,
    /// The vendor's key.
    pub vendor_kid: String,
    /// Why, in the vendor's words.
    pub reason: String,
    /// The signed file, compact JWS.
    pub document: String,
    /// Who imported it.
    pub by: String,
}

/// See [`Body::StatementIssued`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementIssued {
    /// Its id.
    pub statement_id: Uuid,
    /// The organization it is about.
    pub organization_id: OrganizationId,
    /// The key of the vendor whom it is for.
    #[serde(default)]
    pub vendor_kid: String,
    /// Its first day.
    pub from: chrono::NaiveDate,
    /// Its last day.
    pub to: chrono::NaiveDate,
    /// The last fact of this server that it counts.
    pub head_sequence: u64,
    /// The hash of that fact.
    pub head_hash: Hash,
    /// Who made it.
    pub by: String,
}

/// See [`Body::HandshakeChanged`]: the whole state after the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandshakeChanged {
    /// The code.
    pub code_id: CodeId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// The custom string of its name.
    pub custom: String,
    /// When it was made.
    pub created_stamp: Micros,
    /// Counts changes of role between the servers; orders concurrent changes.
    pub epoch: u64,
    /// Counts changes of this code.
    pub version: u64,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Everything else.
    pub state: handshakes::State,
    /// Who changed it.
    pub by: String,
}

/// See [`Body::DefaultChosen`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultChosen {
    /// The organization.
    pub organization_id: OrganizationId,
    /// Its default code from now on.
    pub code_id: CodeId,
    /// See [`HandshakeChanged::epoch`].
    pub epoch: u64,
    /// Counts changes of this choice.
    pub version: u64,
    /// Who chose.
    pub by: String,
}

/// See [`Body::AuthorizationGranted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationGranted {
    /// The device.
    pub client: ClientUuid,
    /// The code it used.
    pub code: CodeId,
    /// The items it got.
    pub items: Vec<ItemSeat>,
    /// The ticket it must show next time.
    pub ticket: String,
    /// The nonce of its request.
    pub nonce: String,
    /// When the authorization ends, seconds since 1970.
    pub exp: i64,
    /// The public trial that began with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialStart>,
}

/// A public trial that begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialStart {
    /// The trial item.
    pub item: ItemId,
    /// When it ends, seconds since 1970.
    pub ends_at: i64,
    /// The network address that it was asked from.
    pub address: String,
}

/// An item, and the end of the seat that the device now holds of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemSeat {
    /// The item.
    pub id: ItemId,
    /// End of the seat, seconds since 1970; absent for items without seats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// Instances that the seat holds, for `concurrent_instance` items.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub instances: u32,
}

/// See [`Body::AuthorizationRefused`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRefused {
    /// The device.
    pub client: ClientUuid,
    /// The code it used; absent when there is no such code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeId>,
    /// The code or organization that the request named.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub asked: String,
    /// The error code of domain §9.
    pub reason: u16,
    /// The item that got furthest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<ItemId>,
    /// What was permitted against what was asked.
    pub detail: String,
    /// How far each item got. Facts of before version 2 of the database have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Vec<TriedItem>>,
}

/// How far an item got before a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriedItem {
    /// The item.
    pub item: ItemId,
    /// The error code of domain §9 at which it stopped.
    pub reason: u16,
    /// What it permits.
    pub expected: String,
    /// What was asked for or found.
    pub given: String,
}

/// See [`Body::ReportsAccepted`]: the new reports of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportsAccepted {
    /// The device.
    pub client: ClientUuid,
    /// The reports, each with what it was charged to.
    pub reports: Vec<ChargedReport>,
    /// Seats that the device refreshed or took by reporting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seats: Vec<ItemSeat>,
}

/// A usage report with who pays for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargedReport {
    /// Its id.
    pub id: Uuid,
    /// Its slot.
    pub slot: Slot,
    /// The code it was done under.
    pub code: CodeId,
    /// The product.
    pub product: String,
    /// What it counts.
    pub unit: Unit,
    /// The module, for pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Instances in use.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub instances: u32,
    /// Which item pays what.
    pub charges: Vec<Charge>,
}

fn one() -> u32 {
    1
}

fn is_one(number: &u32) -> bool {
    *number == 1
}

/// See [`Body::SeatReleased`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatReleased {
    /// The device.
    pub client: ClientUuid,
    /// The item.
    pub item: ItemId,
    /// Whether the admin did it, which counts against the item's allowance.
    pub by_admin: bool,
    /// Which admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// See [`Body::DeviceReset`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReset {
    /// The device.
    pub client: ClientUuid,
    /// Who reset it.
    pub by: String,
}

impl Body {
    /// The name of the kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::LicenseImported(_) => "license_imported",
            Self::LicenseRevoked(_) => "license_revoked",
            Self::HandshakeChanged(_) => "handshake_changed",
            Self::DefaultChosen(_) => "default_chosen",
            Self::AuthorizationGranted(_) => "authorization_granted",
            Self::AuthorizationRefused(_) => "authorization_refused",
            Self::ReportsAccepted(_) => "reports_accepted",
            Self::SeatReleased(_) => "seat_released",
            Self::DeviceReset(_) => "device_reset",
            Self::StatementIssued(_) => "statement_issued",
            Self::UserChanged(_) => "user_changed",
            Self::TokenChanged(_) => "token_changed",
            Self::PreferenceChanged(_) => "preference_changed",
            Self::AdminActed(_) => "admin_acted",
        }
    }

    fn to_json(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::LicenseImported(body) => serde_json::to_vec(body),
            Self::LicenseRevoked(body) => serde_json::to_vec(body),
            Self::HandshakeChanged(body) => serde_json::to_vec(body),
            Self::DefaultChosen(body) => serde_json::to_vec(body),
            Self::AuthorizationGranted(body) => serde_json::to_vec(body),
            Self::AuthorizationRefused(body) => serde_json::to_vec(body),
            Self::ReportsAccepted(body) => serde_json::to_vec(body),
            Self::SeatReleased(body) => serde_json::to_vec(body),
            Self::DeviceReset(body) => serde_json::to_vec(body),
            Self::StatementIssued(body) => serde_json::to_vec(body),
            Self::UserChanged(body) => serde_json::to_vec(body),
            Self::TokenChanged(body) => serde_json::to_vec(body),
            Self::PreferenceChanged(body) => serde_json::to_vec(body),
            Self::AdminActed(body) => serde_json::to_vec(body),
        }
        .map_err(|error| Error::Other(format!("a fact cannot be written as JSON: {error}")))
    }

    /// Reads a body of this kind.
    pub(super) fn from_json(kind: &str, json: &[u8]) -> Result<Self, Error> {
        let broken = |error: serde_json::Error| Error::Corrupt(format!("a fact of kind {kind} cannot be read: {error}"));
        Ok(match kind {
            "license_imported" => Self::LicenseImported(serde_json::from_slice(json).map_err(broken)?),
            "license_revoked" => Self::LicenseRevoked(serde_json::from_slice(json).map_err(broken)?),
            "handshake_changed" => Self::HandshakeChanged(serde_json::from_slice(json).map_err(broken)?),
            "default_chosen" => Self::DefaultChosen(serde_json::from_slice(json).map_err(broken)?),
            "authorization_granted" => Self::AuthorizationGranted(serde_json::from_slice(json).map_err(broken)?),
            "authorization_refused" => Self::AuthorizationRefused(serde_json::from_slice(json).map_err(broken)?),
            "reports_accepted" => Self::ReportsAccepted(serde_json::from_slice(json).map_err(broken)?),
            "seat_released" => Self::SeatReleased(serde_json::from_slice(json).map_err(broken)?),
            "device_reset" => Self::DeviceReset(serde_json::from_slice(json).map_err(broken)?),
            "statement_issued" => Self::StatementIssued(serde_json::from_slice(json).map_err(broken)?),
            "user_changed" => Self::UserChanged(serde_json::from_slice(json).map_err(broken)?),
            "token_changed" => Self::TokenChanged(serde_json::from_slice(json).map_err(broken)?),
            "preference_changed" => Self::PreferenceChanged(serde_json::from_slice(json).map_err(broken)?),
            "admin_acted" => Self::AdminActed(serde_json::from_slice(json).map_err(broken)?),
            other => return Err(Error::Corrupt(format!("facts of kind {other} are unknown to this version"))),
        })
    }
}

/// The hash of a link of the chain, or of the nothing before the first.
pub type Hash = [u8; 32];

/// The nothing before the first fact.
pub const GENESIS: Hash = [0; 32];

/// A row of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The server it comes from.
    pub origin: ServerUuid,
    /// Its number there: 1, 2, 3 … without gaps.
    pub sequence: u64,
    /// When, in microseconds since 1970; grows within an origin.
    pub stamp: Micros,
    /// The kind of body.
    pub kind: String,
    /// The body, JSON.
    pub json: Vec<u8>,
    /// Hash over all this and the hash before.
    pub hash: Hash,
}

/// The last fact of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 before the first.
    pub sequence: u64,
    /// Its time.
    pub stamp: Micros,
    /// Its hash.
    pub hash: Hash,
}

/// Hash of a fact: SHA-256 over the hash before it, origin, number, time, kind and body.
pub fn link(previous: &Hash, origin: ServerUuid, sequence: u64, stamp: Micros, kind: &str, json: &[u8]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(previous);
    context.update(origin.bytes());
    context.update(&sequence.to_be_bytes());
    context.update(&stamp.to_be_bytes());
    context.update(&(kind.len() as u64).to_be_bytes());
    context.update(kind.as_bytes());
    context.update(json);
    let mut hash = GENESIS;
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Makes a fact of this server's own: appends it to the journal and applies it. Returns
/// its sequence.
pub fn record(ledger: &mut Ledger<'_>, body: &Body) -> Result<u64, Error> {
    let head = ledger.head();
    let origin = ledger.origin();
    let (sequence, stamp) = (head.sequence + 1, ledger.next_stamp());
    let json = body.to_json()?;
    let hash = link(&head.hash, origin, sequence, stamp, body.kind(), &json);
    insert(ledger.connection(), origin, sequence, stamp, body.kind(), &json, &hash)?;
    apply(ledger, origin, sequence, stamp, body)?;
    ledger.set_head(Head { sequence, stamp, hash });
    Ok(sequence)
}

/// Takes a fact of another server: checks that it follows the last one held of its
/// origin, appends and applies it. A fact that is held already changes nothing.
pub fn replay(ledger: &mut Ledger<'_>, fact: &Fact) -> Result<(), Error> {
    let head = head(ledger.connection(), fact.origin)?;
    if fact.sequence <= head.sequence {
        return Ok(());
    }
    check_link(&head, fact)?;
    let body = Body::from_json(&fact.kind, &fact.json)?;
    insert(ledger.connection(), fact.origin, fact.sequence, fact.stamp, &fact.kind, &fact.json, &fact.hash)?;
    apply(ledger, fact.origin, fact.sequence, fact.stamp, &body)?;
    if fact.origin == ledger.origin() {
        ledger.set_head(Head { sequence: fact.sequence, stamp: fact.stamp, hash: fact.hash });
    }
    Ok(())
}

/// Applies a fact that the journal holds already, for tables that are filled anew.
pub(super) fn reapply(ledger: &mut Ledger<'_>, fact: &Fact) -> Result<(), Error> {
    let body = Body::from_json(&fact.kind, &fact.json)?;
    apply(ledger, fact.origin, fact.sequence, fact.stamp, &body)
}

fn check_link(head: &Head, fact: &Fact) -> Result<(), Error> {
    let expected = link(&head.hash, fact.origin, fact.sequence, fact.stamp, &fact.kind, &fact.json);
    if fact.sequence != head.sequence + 1 {
        Err(Error::Chain(format!("fact {} of {} follows fact {}", fact.sequence, fact.origin, head.sequence)))
    } else if expected != fact.hash {
        Err(Error::Chain(format!("fact {} of {} does not match its hash", fact.sequence, fact.origin)))
    } else if fact.stamp <= head.stamp {
        Err(Error::Chain(format!("fact {} of {} is not later than the one before it", fact.sequence, fact.origin)))
    } else {
        Ok(())
    }
}

fn apply(ledger: &mut Ledger<'_>, origin: ServerUuid, sequence: u64, stamp: Micros, body: &Body) -> Result<(), Error> {
    audit::apply(ledger, origin, sequence, stamp, body)?;
    match body {
        Body::LicenseImported(body) => licenses::apply_imported(ledger, stamp, body),
        Body::LicenseRevoked(body) => licenses::apply_revoked(ledger, body),
        Body::StatementIssued(body) => statements::apply(ledger, origin, stamp, body),
        Body::HandshakeChanged(body) => handshakes::apply_changed(ledger, origin, body),
        Body::DefaultChosen(body) => handshakes::apply_default(ledger, origin, body),
        Body::AuthorizationGranted(body) => {
            devices::apply_granted(ledger, stamp, body)?;
            trials::apply(ledger, origin, stamp, body)?;
            seats::apply_refreshed(ledger, body.client, &body.items, stamp)?;
            usage::count_authorization(ledger, origin, stamp, body.code, 0, body.items.iter().map(|seat| seat.id));
            Ok(())
        }
        Body::AuthorizationRefused(body) => {
            if let Some(code) = body.code {
                usage::count_authorization(ledger, origin, stamp, code, body.reason, body.item.into_iter());
            }
            refusals::apply(ledger, origin, stamp, body)
        }
        Body::ReportsAccepted(body) => {
            reports::apply_accepted(ledger, origin, sequence, body)?;
            devices::apply_reported(ledger, stamp, body.client)?;
            seats::apply_refreshed(ledger, body.client, &body.seats, stamp)
        }
        Body::SeatReleased(body) => seats::apply_released(ledger, origin, stamp, body),
        Body::DeviceReset(body) => devices::apply_reset(ledger, stamp, body),
        Body::UserChanged(body) => accounts::apply_user(ledger, origin, body),
        Body::TokenChanged(body) => accounts::apply_token(ledger, origin, body),
        Body::PreferenceChanged(body) => preferences::apply(ledger, origin, body),
        // Its line of the audit is all that it leaves.
        Body::AdminActed(_) => Ok(()),
    }
}

const INSERT: &str = "INSERT INTO journal (origin, sequence, stamp, kind, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const HEAD: &str = "SELECT sequence, stamp, hash FROM journal WHERE origin = ?1 ORDER BY sequence DESC LIMIT 1";
const PAGE: &str = "SELECT origin, sequence, stamp, kind, body, hash FROM journal WHERE origin = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3";
// From one origin to the next: there are few, and millions of facts of each.
const ORIGINS: &str = "WITH RECURSIVE o (origin) AS (SELECT MIN(origin) FROM journal
    UNION ALL SELECT (SELECT MIN(j.origin) FROM journal AS j WHERE j.origin > o.origin) FROM o WHERE o.origin IS NOT NULL)
    SELECT origin FROM o WHERE origin IS NOT NULL";
const LATEST: &str = "WITH RECURSIVE o (origin) AS (SELECT MIN(origin) FROM journal
    UNION ALL SELECT (SELECT MIN(j.origin) FROM journal AS j WHERE j.origin > o.origin) FROM o WHERE o.origin IS NOT NULL)
    SELECT COALESCE(MAX((SELECT stamp FROM journal WHERE origin = o.origin ORDER BY sequence DESC LIMIT 1)), 0) FROM o WHERE origin IS NOT NULL";

/// Every statement of this file, for the test that prepares them.
pub(super) const STATEMENTS: &[&str] = &[INSERT, HEAD, PAGE, ORIGINS, LATEST];

fn insert(connection: &Connection, origin: ServerUuid, sequence: u64, stamp: Micros, kind: &str, json: &[u8], hash: &Hash) -> Result<(), Error> {
    connection.prepare_cached(INSERT)?.execute(params![origin.bytes(), sequence as i64, stamp, kind, json, hash])?;
    Ok(())
}

/// The last fact of an origin.
pub fn head(connection: &Connection, origin: ServerUuid) -> Result<Head, Error> {
    let row = connection
        .prepare_cached(HEAD)?
        .query_row(params![origin.bytes()], |row| Ok(Head { sequence: row.get::<_, i64>(0)? as u64, stamp: row.get(1)?, hash: row.get(2)? }))
        .optional()?;
    Ok(row.unwrap_or(Head { sequence: 0, stamp: 0, hash: GENESIS }))
}

/// The time of the latest fact of any origin; 0 when there is none.
pub fn latest_stamp(connection: &Connection) -> Result<Micros, Error> {
    Ok(connection.query_row(LATEST, [], |row| row.get(0))?)
}

/// The servers of which facts are held.
pub fn list_origins(connection: &Connection) -> Result<Vec<ServerUuid>, Error> {
    let mut statement = connection.prepare_cached(ORIGINS)?;
    let rows = statement.query_map([], |row| Ok(ServerUuid::from_bytes(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// At most `limit` facts of an origin after a sequence, in order.
pub fn list_after(connection: &Connection, origin: ServerUuid, sequence: u64, limit: usize) -> Result<Vec<Fact>, Error> {
    let mut statement = connection.prepare_cached(PAGE)?;
    let rows = statement.query_map(params![origin.bytes(), sequence as i64, limit as i64], |row| {
        Ok(Fact {
            origin: ServerUuid::from_bytes(row.get(0)?),
            sequence: row.get::<_, i64>(1)? as u64,
            stamp: row.get(2)?,
            kind: row.get(3)?,
            json: row.get(4)?,
            hash: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Walks the whole chain of every origin. Returns how many facts there are, or where the
/// chain is broken.
pub fn verify_chain(connection: &Connection) -> Result<u64, Error> {
    verify_chain_telling(connection, |_| {})
}

/// The same; `progress` hears now and then how many facts were found to be in order.
pub fn verify_chain_telling(connection: &Connection, mut progress: impl FnMut(u64)) -> Result<u64, Error> {
    let mut count = 0;
    for origin in list_origins(connection)? {
        let mut last = Head { sequence: 0, stamp: 0, hash: GENESIS };
        loop {
            let page = list_after(connection, origin, last.sequence, 1_000)?;
            let Some(end) = page.last() else { break };
            let end = Head { sequence: end.sequence, stamp: end.stamp, hash: end.hash };
            for fact in &page {
                check_link(&last, fact)?;
                last = Head { sequence: fact.sequence, stamp: fact.stamp, hash: fact.hash };
                count += 1;
            }
            last = end;
            progress(count);
        }
    }
    Ok(count)
}
