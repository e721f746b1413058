//! What the admin sets in the pages, for both servers (pages, "Settings", "Alerts").

use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::store::audit::AdminActed;
use crate::store::facts::Body;
use crate::store::preferences::{self, PreferenceChanged};
use crate::store::{Command, Error, Ledger};

/// Names of preferences.
pub mod names {
    /// URLs that go into license keys, a list of texts.
    pub const SERVER_URLS: &str = crate::store::preferences::SERVER_URLS;
    /// What the pages show, [`super::Display`].
    pub const DISPLAY: &str = "display";
    /// When alerts are raised, as `licensing::thresholds` has them.
    pub const THRESHOLDS: &str = "alert_thresholds";
    /// Minutes from one look at the thresholds to the next, a number.
    pub const ALERT_MINUTES: &str = "alert_minutes";
    /// How alerts leave by mail, webhook and syslog: `crate::alerts::ways`.
    pub const ALERT_MAIL: &str = "alert_mail";
    /// See [`ALERT_MAIL`].
    pub const ALERT_WEBHOOK: &str = "alert_webhook";
    /// See [`ALERT_MAIL`].
    pub const ALERT_SYSLOG: &str = "alert_syslog";
    /// Days that reports are kept, a number.
    pub const RETENTION_DAYS: &str = "retention_days";
    /// Requests a minute, [`super::RateLimits`].
    pub const RATE_LIMITS: &str = "rate_limits";
}

/// What the pages show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Display {
    /// The site's name.
    #[serde(default)]
    pub site_name: String,
    /// Minutes that the site's clock is ahead of UTC, shown beside it.
    #[serde(default)]
    pub utc_offset_minutes: i32,
}

/// Requests a minute; 0: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimits {
    /// Of one device.
    pub device_requests_per_minute: u32,
    /// From one network address.
    pub address_requests_per_minute: u32,
}

/// Sets a preference, or takes it back.
pub struct SetPreference {
    /// Its name.
    pub name: &'static str,
    /// Its value, JSON text; checked by whoever asks.
    pub value: Option<String>,
    /// What changes, in words for the audit.
    pub told: String,
    /// Who asks.
    pub by: String,
}

impl Command for SetPreference {
    type Answer = Result<(), Refusal>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let (value, version) = preferences::find(ledger.reading(), self.name)?;
        if value == self.value {
            return Ok(Ok(()));
        }
        ledger.record(&Body::PreferenceChanged(PreferenceChanged {
            name: self.name.to_owned(),
            value: self.value.clone(),
            told: self.told.clone(),
            epoch: ledger.epoch(),
            version: version + 1,
            by: self.by.clone(),
        }))?;
        Ok(Ok(()))
    }
}

/// Remembers an act that changes nothing else: a login, an export.
pub struct Remember(pub AdminActed);

impl Command for Remember {
    type Answer = ();

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<(), Error> {
        ledger.record(&Body::AdminActed(self.0.clone())).map(drop)
    }
}
