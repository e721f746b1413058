//! `POST /reports`: a device tells what it did, slot by slot (domain §5).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::lost::{Lost, Seen};
use super::{BadField, FromDevice, REPORTS_MAX};
use crate::licensing::{ClientUuid, Unit};

/// What a device sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ReportsRequest {
    /// The device's UUID.
    #[cfg_attr(feature = "server", schema(value_type = uuid::Uuid))]
    pub client_uuid: ClientUuid,
    /// Its last authorization; may have expired up to 30 days ago.
    pub authorization: String,
    /// At most 1,000 reports.
    #[serde(deserialize_with = "super::object::list")]
    pub reports: Vec<UsageReport>,
    /// For each server that has answered this device, the highest number of a fact that it told.
    #[serde(default, skip_serializing_if = "Seen::is_empty")]
    #[cfg_attr(feature = "server", schema(value_type = BTreeMap<String, u64>))]
    pub seen: Seen,
}

/// What a device without network has carried to its server: a [`ReportsRequest`] with any number
/// of reports, and what it did under other authorizations.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CarriedReports {
    /// The device's UUID.
    pub client_uuid: ClientUuid,
    /// The authorization under which [`CarriedReports::reports`] were done.
    pub authorization: String,
    /// What was done under it.
    #[serde(deserialize_with = "super::object::list")]
    pub reports: Vec<UsageReport>,
    /// The same for each further authorization. Older programs write none, and leave out what
    /// they read of it: the receipt then does not speak of those reports, and the device keeps them.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "super::object::list")]
    pub further: Vec<ReportsGroup>,
    /// As in [`ReportsRequest::seen`].
    #[serde(default, skip_serializing_if = "Seen::is_empty")]
    pub seen: Seen,
}

/// What a device did under one authorization.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportsGroup {
    /// The authorization.
    pub authorization: String,
    /// What was done under it.
    #[serde(deserialize_with = "super::object::list")]
    pub reports: Vec<UsageReport>,
}

/// One slot of use of one product under one handshake code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct UsageReport {
    /// An id of its own, made by the device. The same id again changes nothing. Ids that
    /// grow with time (UUID version 7) are the quickest to take.
    #[cfg_attr(feature = "server", schema(value_type = uuid::Uuid))]
    pub report_id: Uuid,
    /// Start of the 3-minute slot.
    #[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
    pub slot: DateTime<Utc>,
    /// The handshake code under which it was done.
    pub handshake_code: String,
    /// The product.
    pub product: String,
    /// `scan` or `page`.
    #[cfg_attr(feature = "server", schema(value_type = String))]
    pub unit: Unit,
    /// For pages: the module that processed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// How many, by type: barcode formats for scans; `scanned`, `captured`, `imported` … for pages.
    pub counts: BTreeMap<String, u64>,
    /// Instances in use; 1 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<u32>,
}

/// What became of each report.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ReportsAnswer {
    /// Taken now: on disk here.
    pub accepted: Vec<Uuid>,
    /// Taken before; nothing changed.
    pub duplicate: Vec<Uuid>,
    /// Not taken, each with its reason.
    pub rejected: Vec<RejectedReport>,
    /// The server that answers.
    pub origin: String,
    /// The number of its fact that holds the accepted reports (or, with none accepted, its last fact).
    pub sequence: u64,
    /// For each server of the site, the last of its facts that no single loss can take.
    pub safe: BTreeMap<String, u64>,
    /// For each server that was restored from an older backup, its facts that were lost, as pairs of
    /// the first and the last: what a device reported in them is to be sent again.
    #[serde(default, skip_serializing_if = "Lost::is_empty")]
    #[cfg_attr(feature = "server", schema(value_type = BTreeMap<String, Vec<Vec<u64>>>))]
    pub lost: Lost,
    /// The server's time.
    pub server_time: String,
}

/// A report that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RejectedReport {
    /// Its id.
    pub report_id: Uuid,
    /// The error code of domain §9.
    pub code: u16,
    /// Why, in words.
    pub detail: String,
}

/// Most types in one report.
pub const TYPES_MAX: usize = 64;
/// Longest type name, in bytes.
pub const TYPE_MAX: usize = 64;
/// Most units of one type in a slot of three minutes.
pub const COUNT_MAX: u64 = 1_000_000_000;

impl FromDevice for ReportsRequest {
    fn client_uuid(&self) -> ClientUuid {
        self.client_uuid
    }

    fn validate(&mut self) -> Result<(), BadField> {
        if self.reports.len() > REPORTS_MAX {
            return Err(BadField::new(
                "reports",
                format!("has {} entries, at most {REPORTS_MAX} are taken at once: send the rest in a further request", self.reports.len()),
            ));
        }
        self.reports.iter().enumerate().try_for_each(|(index, report)| report.validate(index))
    }
}

impl UsageReport {
    fn validate(&self, index: usize) -> Result<(), BadField> {
        let bad = |field: &str, detail: String| Err(BadField::new(format!("reports[{index}].{field}"), detail));
        if self.report_id.is_nil() {
            return bad("report_id", "must not be all zeros".into());
        }
        if crate::licensing::Slot::starting_at(self.slot).is_none() {
            return bad("slot", format!("{} is not the start of a 3-minute slot in UTC", self.slot.to_rfc3339()));
        }
        for (field, text) in [("handshake_code", &self.handshake_code), ("product", &self.product)] {
            if text.is_empty() || text.len() > 200 {
                return bad(field, "must be 1 to 200 bytes".into());
            }
        }
        if self.module.as_ref().is_some_and(|module| module.is_empty() || module.len() > TYPE_MAX) {
            return bad("module", format!("must be 1 to {TYPE_MAX} bytes"));
        }
        if self.instances.is_some_and(|n| n > 1_000_000) {
            return bad("instances", "must be at most 1000000".into());
        }
        if self.counts.len() > TYPES_MAX {
            return bad("counts", format!("has {} types, at most {TYPES_MAX} are allowed", self.counts.len()));
        }
        for (name, count) in &self.counts {
            if name.is_empty() || name.len() > TYPE_MAX || name.chars().any(char::is_control) {
                return bad("counts", format!("a type must be 1 to {TYPE_MAX} printable bytes"));
            }
            if *count > COUNT_MAX {
                return bad("counts", format!("{count} of one type in a slot is more than {COUNT_MAX}"));
            }
        }
        Ok(())
    }
}
