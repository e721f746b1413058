//! What a device keeps on disk. Several processes of one machine share it: each takes it, has
//! [`super::Core`] change it, and puts it back before anybody else takes it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::site_time::KeptTime;
use crate::licensing::ClientUuid;
use crate::licensing::slot::{REPORT_MAX_AGE_SECONDS, Slot};
use crate::protocol::lost::Seen;
use crate::protocol::reports::UsageReport;

/// The device: who it is, what it knows of the time and of its servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Made on first use.
    pub client_uuid: Option<ClientUuid>,
    /// The site's time.
    #[serde(default)]
    pub time: KeptTime,
    /// The ticket of the last answer, by the handshake code's identity.
    #[serde(default)]
    pub tickets: BTreeMap<String, String>,
    /// Which handshake code a server means (its identity), by the server's URL and by what the
    /// request names.
    #[serde(default)]
    pub codes: BTreeMap<String, BTreeMap<String, String>>,
    /// The certificate authority of a site, PEM, by its fingerprint: fetched once.
    #[serde(default)]
    pub authorities: BTreeMap<String, String>,
    /// For each server, the highest number of a fact that it told in an answer to reports.
    #[serde(default, skip_serializing_if = "Seen::is_empty")]
    pub seen: Seen,
}

/// Most servers of which [`Device::seen`] tells.
const SEEN_MAX: usize = 8;

/// What servers granted, by the fingerprint of what was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// The last authorization of each.
    #[serde(default)]
    pub granted: BTreeMap<String, Grant>,
    /// The nonce of a request that may have been sent and was not answered yet. It is used
    /// again: to the server a repeat is no second device.
    #[serde(default)]
    pub pending: BTreeMap<String, String>,
    /// When such a request was first seen to be waiting, seconds since 1970.
    #[serde(default)]
    pub waiting_since: BTreeMap<String, u64>,
}

/// An authorization with what came along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The compact JWS.
    pub authorization: String,
    /// From when on to renew it, seconds since 1970.
    pub refresh_after: i64,
    /// When it ends, seconds since 1970.
    #[serde(default)]
    pub ends_at: i64,
    /// Seconds between two submissions of reports.
    pub report_interval: u32,
    /// The URL of the server that gave it; empty when it was carried by hand.
    pub server: String,
    /// The servers of the application that asked: whoever knows them may send its reports.
    pub servers: Vec<String>,
    /// A server took it back: it is good for reporting only.
    #[serde(default)]
    pub withdrawn: bool,
}

/// Use in a slot that is not over, or not known to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenReport {
    /// What it will be.
    pub report: UsageReport,
    /// Under which grant.
    pub grant: String,
}

/// Use in slots that go on, of all processes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// By slot, product, code, unit and module.
    #[serde(default)]
    pub reports: Vec<OpenReport>,
    /// Instances that each process holds.
    #[serde(default)]
    pub held: BTreeMap<Uuid, u32>,
}

/// A report of a slot that is over. It does not change any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredReport {
    /// What is sent.
    pub report: UsageReport,
    /// Under which grant.
    pub grant: String,
    /// How far it got.
    pub progress: Progress,
}

/// How far a report got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// To be sent.
    Pending,
    /// It could not be sent, or not be taken: again after the next authorization.
    Failed,
    /// On disk at one server, as part of its fact `sequence`; kept until no single loss can
    /// take that any more.
    Accepted {
        /// The server's UUID.
        origin: String,
        /// The number of the fact.
        sequence: u64,
    },
}

/// One part of the state: a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Reports of one UTC day, numbered from 1970. Written before [`Part::Open`].
    Day(i64),
    /// [`Open`].
    Open,
    /// [`Device`]. Written before [`Part::Grants`]: a new ticket is kept before the nonce of its request is
    /// forgotten, because an old ticket with a new nonce is what a copied device shows.
    Device,
    /// [`Grants`].
    Grants,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// See [`Device`].
    pub device: Device,
    /// See [`Grants`].
    pub grants: Grants,
    /// See [`Open`].
    pub open: Open,
    /// Reports that are over, by UTC day.
    pub days: BTreeMap<i64, Vec<StoredReport>>,
    /// The parts that changed since they were read. In the order of [`Part`] they are written,
    /// so that a process may die in between.
    pub touched: BTreeSet<Part>,
}

impl State {
    /// Marks a part as changed.
    pub fn touch(&mut self, part: Part) {
        self.touched.insert(part);
    }

    /// A server told the number of a fact of its own. Of too many servers all others are forgotten;
    /// what names itself by no UUID is no server.
    pub fn note_seen(&mut self, server: &str, sequence: u64) {
        let seen = &mut self.device.seen;
        if Uuid::try_parse(server).is_err() || seen.get(server).is_some_and(|known| *known >= sequence) {
            return;
        }
        if seen.len() >= SEEN_MAX && !seen.contains_key(server) {
            seen.clear();
        }
        seen.insert(server.to_owned(), sequence);
        self.touch(Part::Device);
    }

    /// What requests tell of [`Device::seen`].
    pub fn seen(&self) -> Seen {
        self.device.seen.clone()
    }

    /// Whoever wrote the day of a report and then died left it open too: it counts once.
    pub fn reconcile(&mut self) {
        if self.open.reports.is_empty() {
            return;
        }
        let stored: BTreeSet<Uuid> = self.days.values().flatten().map(|stored| stored.report.report_id).collect();
        let before = self.open.reports.len();
        self.open.reports.retain(|open| !stored.contains(&open.report.report_id));
        if self.open.reports.len() < before {
            self.touch(Part::Open);
        }
    }

    /// Forgets grants that ended so long ago that no server takes reports under them, and
    /// requests that nobody answers any more: each change of the settings leaves one. `ours` stays.
    /// `proven` is a time that a server signed: a wrong clock must not cost a license.
    pub fn prune(&mut self, ours: &str, proven: i64) {
        let (days, open) = (&self.days, &self.open);
        let is_used = |name: &str| days.values().flatten().any(|stored| stored.grant == name) || open.reports.iter().any(|open| open.grant == name);
        // Older versions kept no end; no authorization lasts longer than a year.
        let end_of = |grant: &Grant| if grant.ends_at > 0 { grant.ends_at } else { grant.refresh_after + 365 * 86_400 };
        let has_ended = |grant: &Grant| proven - end_of(grant) > REPORT_MAX_AGE_SECONDS;
        let Grants { granted, pending, waiting_since } = &mut self.grants;
        granted.retain(|name, grant| name == ours || !has_ended(grant) || is_used(name));
        for name in pending.keys() {
            waiting_since.entry(name.clone()).or_insert(proven.unsigned_abs());
        }
        let is_old = |since: &u64| proven.saturating_sub_unsigned(*since) > REPORT_MAX_AGE_SECONDS;
        pending.retain(|name, _| name == ours || !waiting_since.get(name).is_some_and(is_old));
        waiting_since.retain(|name, _| pending.contains_key(name));
        self.touch(Part::Grants);
    }

    /// Every report that is over, oldest day first.
    pub fn stored(&self) -> impl Iterator<Item = &StoredReport> {
        self.days.values().flatten()
    }

    /// Changes reports that are over: `change` says whether it did.
    pub fn change_stored(&mut self, mut change: impl FnMut(&mut StoredReport) -> bool) {
        for (day, reports) in &mut self.days {
            // Each is to be looked at, whatever the first says.
            if reports.iter_mut().map(&mut change).fold(false, |any, one| any | one) {
                self.touched.insert(Part::Day(*day));
            }
        }
    }

    /// Forgets reports that are over.
    pub fn drop_stored(&mut self, mut is_dropped: impl FnMut(&StoredReport) -> bool) {
        for (day, reports) in &mut self.days {
            let before = reports.len();
            reports.retain(|stored| !is_dropped(stored));
            if reports.len() < before {
                self.touched.insert(Part::Day(*day));
            }
        }
        self.days.retain(|_, reports| !reports.is_empty());
    }

    /// Keeps a report that is over.
    pub fn store(&mut self, report: UsageReport, grant: String) {
        let day = Slot::containing(report.slot.timestamp()).day();
        self.days.entry(day).or_default().push(StoredReport { report, grant, progress: Progress::Pending });
        self.touch(Part::Day(day));
    }
}
