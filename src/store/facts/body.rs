//! What a fact says: one variant for each kind of thing that happens.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Hash;
use crate::clock::Micros;
use crate::licensing::charging::Charge;
use crate::licensing::{ClientUuid, CodeId, ItemId, LicenseId, OrganizationId, Slot, Unit};
use crate::store::accounts::{TokenChanged, UserChanged};
use crate::store::alerts::AlertsRaised;
use crate::store::audit::AdminActed;
use crate::store::preferences::PreferenceChanged;
use crate::store::{Error, handshakes};

/// Every kind.
const KINDS: &[&str] = &[
    "license_imported",
    "license_revoked",
    "handshake_changed",
    "default_chosen",
    "authorization_granted",
    "authorization_refused",
    "reports_accepted",
    "seat_released",
    "device_reset",
    "statement_issued",
    "user_changed",
    "token_changed",
    "preference_changed",
    "admin_acted",
    "alerts_raised",
    SEQUENCE_RAISED,
];

/// The kind of the one fact whose sequence does not follow the one before it.
pub(super) const SEQUENCE_RAISED: &str = "sequence_raised";

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
    /// Alerts were raised, or are over.
    AlertsRaised(AlertsRaised),
    /// Facts of this server were lost, and it counts on from far above them.
    SequenceRaised(SequenceRaised),
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

/// See [`Body::SequenceRaised`]. Its own sequence lies far above `after`; in between are the facts that
/// were lost, of which the partner may have some. Its hash follows that of `after`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceRaised {
    /// The last fact that was still there.
    pub after: u64,
    /// How it was found out.
    pub reason: String,
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
            Self::AlertsRaised(_) => "alerts_raised",
            Self::SequenceRaised(_) => SEQUENCE_RAISED,
        }
    }

    /// Whether this version knows what a fact of this kind means.
    pub(in crate::store) fn is_known(kind: &str) -> bool {
        KINDS.contains(&kind)
    }

    /// The epoch in which something was set; 0 for what nobody sets.
    pub const fn epoch(&self) -> u64 {
        match self {
            Self::HandshakeChanged(body) => body.epoch,
            Self::DefaultChosen(body) => body.epoch,
            Self::UserChanged(body) => body.epoch,
            Self::TokenChanged(body) => body.epoch,
            Self::PreferenceChanged(body) => body.epoch,
            Self::AlertsRaised(body) => body.epoch,
            _ => 0,
        }
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, Error> {
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
            Self::AlertsRaised(body) => serde_json::to_vec(body),
            Self::SequenceRaised(body) => serde_json::to_vec(body),
        }
        .map_err(|error| Error::Other(format!("a fact cannot be written as JSON: {error}")))
    }

    /// Reads a body of this kind.
    pub(in crate::store) fn from_json(kind: &str, json: &[u8]) -> Result<Self, Error> {
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
            "alerts_raised" => Self::AlertsRaised(serde_json::from_slice(json).map_err(broken)?),
            SEQUENCE_RAISED => Self::SequenceRaised(serde_json::from_slice(json).map_err(broken)?),
            other => return Err(Error::Corrupt(format!("facts of kind {other} are unknown to this version"))),
        })
    }
}
