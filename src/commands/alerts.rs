//! What is worth telling is found out, told once, and kept in the history (domain §7). What it takes
//! to send it waits in the outbox, written in the same transaction: a message is neither lost nor
//! made twice, whenever the server ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Site;
use super::exceptions::{Exception, Exceptions, Trouble};
use super::preferences::{Display, names};
use super::site::HARDWARE_GRACE_DAYS;
use crate::clock::rfc3339;
use crate::licensing::thresholds::{Alert, AlertKind, CodeFigures, ItemFigures, Levels, Snapshot, Subject, Thresholds, crossed, levels};
use crate::licensing::{HandshakeCode, ServerUuid, grace};
use crate::store::alerts::{self, AlertsRaised, Raised, Severity};
use crate::store::facts::Body;
use crate::store::{Command, Error, Ledger, outbox, preferences, seats, slots, usage};

/// Seconds that the clock may stand behind the latest fact before that is told.
const CLOCK_LAG_SECONDS: i64 = 300;
/// How far back requests of handshake codes are looked at.
const REQUESTS_SECONDS: i64 = 86_400;
/// After so long a message that cannot be sent is given up.
const PATIENCE_SECONDS: i64 = 86_400;
/// The first pause before another try, and the longest: each is twice the one before it.
const PAUSE_SECONDS: (i64, i64) = (30, 3_600);
/// Minutes from one look at the thresholds to the next where nothing is set.
pub const CHECK_MINUTES: u32 = 10;
/// Longest answer of the other side that is kept, in characters.
const ANSWER_MAX: usize = 500;

/// A way by which alerts leave the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// E-mail.
    Mail,
    /// HTTP to a program of the site.
    Webhook,
    /// The site's log.
    Syslog,
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Mail, Self::Webhook, Self::Syslog];

    /// Its name in answers and paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Webhook => "webhook",
            Self::Syslog => "syslog",
        }
    }

    /// The way of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }

    fn row(self) -> String {
        format!("alert way {}", self.name())
    }
}

/// What is sent: everything that is new at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its id, the same at every try.
    pub id: Uuid,
    /// When it was made, seconds since 1970.
    pub made_at: i64,
    /// The server that tells it.
    pub server: ServerUuid,
    /// The site's name, as the admin gave it.
    pub site: String,
    /// Whether somebody only wants to see that it arrives.
    pub is_test: bool,
    /// What it tells.
    pub alerts: Vec<Raised>,
}

/// How it went with a way the last times.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayState {
    /// When a message was sent last, seconds since 1970.
    pub sent_at: Option<i64>,
    /// What the other side answered then.
    pub answer: String,
    /// When a message could not be sent, seconds since 1970.
    pub failed_at: Option<i64>,
    /// Why.
    pub error: String,
}

/// How it went with a way the last times, and how many messages wait for it.
pub fn read_state(reader: &rusqlite::Connection, way: Way) -> Result<(WayState, u64), Error> {
    let kept = crate::store::local::find(reader, &way.row())?;
    let state = kept.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    Ok((state, outbox::count(reader, way.name())?))
}

/// Reads every figure, on the writer thread, which remembers counts that would take a walk over a
/// million seats elsewhere.
fn read_figures(ledger: &mut Ledger<'_>) -> Result<Snapshot, Error> {
    let (catalog, now) = (ledger.catalog()?, ledger.now());
    let mut items = BTreeMap::new();
    for entry in catalog.items().filter(|entry| entry.revoked.is_none()) {
        let item = &entry.item;
        let used = if item.charge_way.takes_seats() { seats::count_active(ledger, item.item_id, now)? } else { usage::used(ledger, item.item_id)? };
        let mut figures = ItemFigures::of(item, used);
        if item.charge_way.is_concurrent() {
            figures.tolerance = grace::tolerance(item, now);
            figures.tolerance_spent = slots::excess(ledger, item.item_id, item.quota)?;
        }
        items.insert(item.item_id, figures);
    }
    ledger.flush()?;
    let mut codes = BTreeMap::new();
    for code in catalog.codes() {
        let Ok(name) = code.name().parse::<HandshakeCode>() else { continue };
        let (granted, failed) = usage::read_requests_since(ledger.reading(), code.code_id, now - REQUESTS_SECONDS)?;
        codes.insert(code.code_id, CodeFigures { name, requests: granted + failed, failed });
    }
    Ok(Snapshot { at: now, items, codes })
}

fn raised(alert: Alert, figures: &Snapshot) -> Raised {
    let (item, code) = match alert.subject {
        Subject::Item(id) => (Some(id), None),
        Subject::Code(id) => (None, figures.codes.get(&id).map(|code| code.name.as_str().to_owned())),
    };
    let severity = if is_urgent(alert.kind) { Severity::Urgent } else { Severity::Warning };
    Raised { severity, item, code, kind: kind_name(alert.kind), text: alert.text }
}

fn is_urgent(kind: AlertKind) -> bool {
    match kind {
        AlertKind::Seats { percent } | AlertKind::Units { percent } | AlertKind::Tolerance { percent } => percent >= 100,
        AlertKind::Failures { percent } => percent >= 80,
        AlertKind::EndsIn { days } => days <= 1,
        AlertKind::GraceEnded => true,
    }
}

fn kind_name(kind: AlertKind) -> String {
    match kind {
        AlertKind::Seats { percent } => format!("seats_{percent}_percent"),
        AlertKind::Units { percent } => format!("units_{percent}_percent"),
        AlertKind::Tolerance { percent } => format!("tolerance_{percent}_percent"),
        AlertKind::Failures { percent } => format!("failures_{percent}_percent"),
        AlertKind::EndsIn { days } => format!("ends_in_{days}_days"),
        AlertKind::GraceEnded => "grace_ended".to_owned(),
    }
}

/// What is over a threshold now, whether or not that was told.
pub struct ReadCurrent;

impl Command for ReadCurrent {
    type Answer = Vec<Raised>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let thresholds: Thresholds = preferences::read(ledger.reading(), names::THRESHOLDS)?.unwrap_or_default();
        let figures = read_figures(ledger)?;
        Ok(crossed(&Levels::new(), &figures, &thresholds).into_iter().map(|alert| raised(alert, &figures)).collect())
    }
}

/// Looks at every threshold, and tells by these ways what was crossed since the last time.
pub struct CheckThresholds {
    /// Ways that are open.
    pub ways: Vec<Way>,
    /// The message's id, if there will be one.
    pub id: Uuid,
}

impl Command for CheckThresholds {
    type Answer = Vec<Raised>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let thresholds: Thresholds = preferences::read(ledger.reading(), names::THRESHOLDS)?.unwrap_or_default();
        let figures = read_figures(ledger)?;
        let (before, levels) = alerts::changes(ledger.reading(), &levels(&figures, &thresholds))?;
        let news: Vec<_> = crossed(&before, &figures, &thresholds).into_iter().map(|alert| raised(alert, &figures)).collect();
        if !levels.is_empty() {
            ledger.record(&Body::AlertsRaised(AlertsRaised { alerts: news.clone(), levels, epoch: ledger.epoch() }))?;
        }
        queue(ledger, self.id, &self.ways, &news)?;
        Ok(news)
    }
}

/// Tells by these ways what is wrong with this server.
pub struct RaiseAlerts {
    /// What is wrong.
    pub alerts: Vec<Raised>,
    /// Ways that are open.
    pub ways: Vec<Way>,
    /// The message's id.
    pub id: Uuid,
}

impl Command for RaiseAlerts {
    type Answer = ();

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<(), Error> {
        ledger.record(&Body::AlertsRaised(AlertsRaised { alerts: self.alerts.clone(), levels: Vec::new(), epoch: ledger.epoch() }))?;
        queue(ledger, self.id, &self.ways, &self.alerts)
    }
}

fn queue(ledger: &mut Ledger<'_>, id: Uuid, ways: &[Way], news: &[Raised]) -> Result<(), Error> {
    if news.is_empty() {
        return Ok(());
    }
    let site = site_name(ledger.reading())?;
    let message = Message { id, made_at: ledger.now(), server: ledger.origin(), site, is_test: false, alerts: news.to_vec() };
    let body = serde_json::to_string(&message).map_err(|error| Error::Other(format!("a message cannot be written as JSON: {error}")))?;
    ways.iter().try_for_each(|way| outbox::put(ledger, way.name(), message.made_at, &body))
}

/// The site's name, as the admin gave it.
pub fn site_name(reader: &rusqlite::Connection) -> Result<String, Error> {
    Ok(preferences::read::<Display>(reader, names::DISPLAY)?.map(|display| display.site_name).unwrap_or_default())
}

/// A message was tried: it is sent, or tried again after a pause, or given up.
pub struct KeepOutcome {
    /// The way.
    pub way: Way,
    /// The message in the outbox; a test and what never came into it have none.
    pub waiting: Option<outbox::Waiting>,
    /// What the other side answered, or why it failed.
    pub outcome: Result<String, String>,
    /// When, seconds since 1970.
    pub at: i64,
}

impl Command for KeepOutcome {
    type Answer = ();

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<(), Error> {
        let (mut state, _) = read_state(ledger.reading(), self.way)?;
        let short = |text: &str| text.chars().take(ANSWER_MAX).collect::<String>();
        match &self.outcome {
            Ok(answer) => (state.sent_at, state.answer) = (Some(self.at), short(answer)),
            Err(error) => (state.failed_at, state.error) = (Some(self.at), short(error)),
        }
        ledger.put_local(&self.way.row(), &serde_json::to_vec(&state).map_err(|error| Error::Other(error.to_string()))?)?;
        let Some(waiting) = &self.waiting else { return Ok(()) };
        let Err(error) = &self.outcome else { return outbox::remove(ledger, waiting.id) };
        if self.at - waiting.made_at < PATIENCE_SECONDS {
            return outbox::delay(ledger, waiting.id, self.at + pause_after(waiting.tries));
        }
        outbox::remove(ledger, waiting.id)?;
        let text = format!(
            "A message of {} could not be sent by {} for a day and was given up after {} tries. The last time: {}. Send a test on the page 'Alerts'.",
            rfc3339(waiting.made_at),
            self.way.name(),
            waiting.tries + 1,
            short(error).trim_end_matches('.')
        );
        let alerts = vec![Raised { severity: Severity::Urgent, item: None, code: None, kind: format!("{}_given_up", self.way.name()), text }];
        ledger.record(&Body::AlertsRaised(AlertsRaised { alerts, levels: Vec::new(), epoch: ledger.epoch() })).map(drop)
    }
}

/// Seconds to the next try after so many that failed before this one.
fn pause_after(tries: u32) -> i64 {
    let (first, longest) = PAUSE_SECONDS;
    first.saturating_mul(1 << tries.min(16)).min(longest)
}

/// A way was closed: what waits for it is not sent any more.
pub struct CloseWay(pub Way);

impl Command for CloseWay {
    type Answer = ();

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<(), Error> {
        outbox::clear(ledger, self.0.name())
    }
}

/// What is wrong with this server at `now`, seconds since 1970. Its clock stands `lag` seconds behind
/// the latest fact.
pub fn list_troubles(exceptions: &Exceptions, site: &Site, now: i64, lag: i64) -> Vec<Raised> {
    let row = |severity, kind: &str, text: String| Raised { severity, item: None, code: None, kind: kind.to_owned(), text };
    let told = |exception: Exception| {
        // There are weeks left to renew a certificate.
        let severity = if exception.trouble == Trouble::Certificate { Severity::Warning } else { Severity::Urgent };
        row(severity, exception.trouble.name(), sentence(&exception.detail))
    };
    let mut rows: Vec<Raised> = exceptions.list().into_iter().map(told).collect();
    match (site.find_hardware_problem(now), site.hardware().changed_since) {
        (Some(problem), _) => rows.push(row(Severity::Urgent, "hardware_changed", format!("Nobody is authorized: {problem}."))),
        (None, Some(since)) => rows.push(row(
            Severity::Warning,
            "hardware_changed",
            format!(
                "This server runs on other hardware than it was licensed for. It serves until {}. Before that: download an activation request on the page \
                 'License items', have the vendor activate the license for it, and import that.",
                rfc3339(since + HARDWARE_GRACE_DAYS * 86_400)
            ),
        )),
        (None, None) => {}
    }
    if lag > CLOCK_LAG_SECONDS {
        let text = format!(
            "The clock of this server stands {lag} seconds behind the latest fact it recorded. Until it has caught up, every time is counted as that fact's: set the clock of the machine right."
        );
        rows.push(row(Severity::Urgent, "clock_behind", text));
    }
    rows
}

/// `no backup can be made: …` as a sentence of its own.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str().trim_end_matches('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        assert_eq!([0, 1, 2, 6, 7, 40].map(pause_after), [30, 60, 120, 1_920, 3_600, 3_600]);
    }

    #[test]
    fn what_went_wrong_is_told_as_a_sentence() {
        assert_eq!([sentence("no backup can be made: full."), sentence("")], ["No backup can be made: full.".to_owned(), String::new()]);
    }
}
