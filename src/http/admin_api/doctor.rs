//! What a server finds when it looks at itself (`tollkeeper doctor`). Nothing here takes long: what
//! needs every page of the database is done by backups, and by the check of the journal.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::items::{self, ItemDetail};
use super::{alerts, backups, certificate, licenses, servers};
use crate::clock::{Clock as _, SystemClock, parse_rfc3339, rfc3339};
use crate::commands::doctor::{Finding, Level, look_at_installation, look_at_limits, sort};
use crate::commands::exceptions::{Exception, Trouble};
use crate::commands::site::HARDWARE_GRACE_DAYS;
use crate::http::Context;
use crate::http::problem::Failure;
use crate::http::tls::Source;
use crate::protocol::Problem;
use crate::store::{Command, Error, Ledger, Reader, audit, facts, open};

const DAY_SECONDS: i64 = 86_400;
/// Days before the end of something that a person must renew.
const ENDING_DAYS: i64 = 30;
/// Seconds that a partner may be silent.
const SILENT_SECONDS: i64 = 30;
/// So many of the latest facts are checked at once.
const FACTS_CHECKED: u64 = 10_000;
/// Seconds that the clock may stand behind the latest fact.
const CLOCK_LAG_SECONDS: i64 = 300;

/// What was found.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct DoctorAnswer {
    /// The program's version.
    pub version: String,
    /// The server's UUID.
    pub server_uuid: String,
    /// When it looked.
    pub checked_at: String,
    /// Area by area.
    pub findings: Vec<Finding>,
    /// Texts by the names of their files, without secrets, where they are asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

/// Asks the writer whether it lives, and how far the clock is behind.
struct ReadLag;

impl Command for ReadLag {
    type Answer = i64;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<i64, Error> {
        Ok(ledger.clock_lag_seconds())
    }
}

/// Looks at everything.
async fn examine(context: &Data<Context>) -> DoctorAnswer {
    let mut findings = vec![about_settings(context)];
    findings.extend(context.settings.warnings.iter().map(|text| Finding::to_mend("settings", Level::Warning, text, "correct its name, or remove it")));
    findings.extend(look_at_installation(&context.data));
    about_database(context, &mut findings).await;
    about_certificate(context, &mut findings);
    about_licenses(context, &mut findings).await;
    about_hardware(context, &mut findings);
    about_partner(context, &mut findings).await;
    findings.extend(context.listening.iter().map(|url| {
        let told = format!("listens on {url}");
        if url.starts_with("https://") {
            return Finding::told("ports", Level::Ok, told);
        }
        Finding::to_mend("ports", Level::Warning, format!("{told}, unencrypted"), "remove --http or `http` unless everything on the way is trusted")
    }));
    about_backups(context, &mut findings).await;
    about_ways_out(context, &mut findings).await;
    findings.push(look_at_limits(context.limits.connections));
    findings.extend(context.exceptions.list().into_iter().map(about_exception));
    sort(&mut findings);
    DoctorAnswer {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        server_uuid: context.site.uuid().to_string(),
        checked_at: context.time(),
        findings,
        details: BTreeMap::new(),
    }
}

fn broken(area: &str, error: &impl std::fmt::Display) -> Finding {
    Finding::to_mend(area, Level::Error, format!("cannot be looked at: {error}"), "look into the server's log")
}

fn about_settings(context: &Context) -> Finding {
    let file = context.settings.config_file.as_ref();
    let text = file.map_or_else(|| "no settings file: flags, environment and defaults".to_owned(), |file| format!("from {}", file.display()));
    Finding::told("settings", Level::Ok, text)
}

/// What is wrong right now anyway, and told everywhere.
fn about_exception(exception: Exception) -> Finding {
    let area = match exception.trouble {
        Trouble::Backup => "backups",
        Trouble::Disk => "disk",
        Trouble::Journal | Trouble::FactsLost => "database",
        Trouble::Partner | Trouble::Sync => "partner",
        Trouble::Clock => "clock",
        Trouble::Certificate | Trouble::CertificateNotRenewed => "certificate",
    };
    let level = if exception.trouble == Trouble::Certificate { Level::Warning } else { Level::Error };
    Finding::told(area, level, format!("since {}: {}", rfc3339(exception.since), exception.detail))
}

async fn about_database(context: &Data<Context>, findings: &mut Vec<Finding>) {
    let lag = match context.writer().submit(ReadLag).await {
        Ok(lag) => lag,
        Err(error) => return findings.push(broken("database", &error)),
    };
    let checked = context.read(|reader| Ok((facts::verify_latest(reader, FACTS_CHECKED), open::read_version(reader)?))).await;
    findings.push(match checked {
        Ok((Ok(count), version)) => Finding::told(
            "database",
            Level::Ok,
            format!("takes and keeps what it is given; the latest {count} facts follow from each other; tables of version {version}"),
        ),
        Ok((Err(error), _)) => Finding::to_mend("database", Level::Error, error.to_string(), "stop the server and restore a backup: `tollkeeper backup list`"),
        Err(error) => broken("database", &error),
    });
    findings.push(if lag > CLOCK_LAG_SECONDS {
        let text = format!("it stands {lag} s behind the latest recorded fact: it was moved back");
        Finding::to_mend("clock", Level::Error, text, "set the clock of the machine right; until then devices are refused with 210")
    } else {
        Finding::told("clock", Level::Ok, format!("{}, not behind any recorded fact", context.time()))
    });
}

fn about_certificate(context: &Context, findings: &mut Vec<Finding>) {
    let standing = match certificate::standing(context) {
        Ok(standing) => standing,
        Err(error) => return findings.push(broken("certificate", &error)),
    };
    let shown = &standing.shown;
    let from = if standing.source == Source::Site { "the site's authority" } else { shown.issuer.as_str() };
    let text = format!("from {from}, for {}, valid to {}", shown.names.join(", "), rfc3339(shown.not_after));
    findings.push(Finding::told("certificate", Level::Ok, text));
    if !standing.uncovered.is_empty() {
        let text = format!("license keys lead to {}, which it is not for", standing.uncovered.join(", "));
        findings.push(Finding::to_mend("certificate", Level::Warning, text, "have it issued for that too, or change the addresses on the page Settings"));
    }
    if let Some(problem) = &standing.problem {
        findings.push(Finding::to_mend(
            "certificate",
            Level::Error,
            format!("the own certificate is not in use: {problem}"),
            "bring another one: `tollkeeper certificate set`",
        ));
    }
    // After that long, browsers have the next one.
    if standing.authority_not_after - SystemClock.now_seconds() < ENDING_DAYS * DAY_SECONDS {
        let text = format!("the site's authority ends at {}", rfc3339(standing.authority_not_after));
        findings.push(Finding::to_mend("certificate", Level::Error, text, "look into the server's log: it renews it by itself"));
    }
}

async fn about_licenses(context: &Data<Context>, findings: &mut Vec<Finding>) {
    let items = match items::read_all(context).await {
        Ok(items) => items,
        Err(error) => return findings.push(broken("licenses", &error)),
    };
    if items.is_empty() {
        let advice = "`tollkeeper license request --out site.req`, send that to the vendor, and `tollkeeper license import` what comes back";
        return findings.push(Finding::to_mend("licenses", Level::Note, "none is installed: nobody is authorized", advice));
    }
    if !context.site.is_licensed(context.site.uuid()) {
        let text = "none names this server: it cannot sign authorizations";
        let advice = "`tollkeeper license request --out site.req`, have the vendor activate the license for it, and import that";
        findings.push(Finding::to_mend("licenses", Level::Error, text, advice));
    }
    let before = findings.len();
    findings.extend(items.iter().filter(|item| item.renewed_by.is_empty()).filter_map(|item| about_item(item, context.clock.now_seconds())));
    if findings.len() == before {
        findings.push(Finding::told("licenses", Level::Ok, format!("{} items, none near its end or its quota", items.len())));
    }
}

fn about_item(item: &ItemDetail, now: i64) -> Option<Finding> {
    let row = &item.row;
    let what = format!("item {} ({}, {}, license {})", row.item_id, row.product, row.charge_way, item.license_id);
    let advice = "ask the vendor for a renewal or more quota, and import the file: applications notice nothing";
    let mend = |level, text: String| Some(Finding::to_mend("licenses", level, format!("{what} {text}"), advice));
    let end = parse_rfc3339(&row.valid_to).unwrap_or(i64::MAX);
    match row.status.as_str() {
        "expired" => mend(Level::Error, format!("ended at {}, its grace at {}", row.valid_to, row.grace_ends)),
        "used_up" => mend(Level::Error, format!("is used up, grace included: {} of {}", row.used, row.quota)),
        "revoked" => Some(Finding::told("licenses", Level::Note, format!("{what} was revoked by the vendor"))),
        "grace" if now > end => mend(Level::Warning, format!("ended at {} and goes on in grace to {}", row.valid_to, row.grace_ends)),
        "grace" => mend(Level::Warning, format!("is beyond its quota: {} of {}, {} of grace left", row.used, row.quota, row.grace_left)),
        "active" if end - now < ENDING_DAYS * DAY_SECONDS => mend(Level::Warning, format!("ends at {}", row.valid_to)),
        _ => None,
    }
}

fn about_hardware(context: &Context, findings: &mut Vec<Finding>) {
    let advice = "`tollkeeper license request`, have the vendor activate the license for this machine, and import that";
    findings.push(match (context.site.find_hardware_problem(context.clock.now_seconds()), context.site.hardware().changed_since) {
        (Some(problem), _) => Finding::to_mend("hardware", Level::Error, problem, advice),
        (None, Some(since)) => {
            let text = format!("it is another machine than the one that was licensed; it serves until {}", rfc3339(since + HARDWARE_GRACE_DAYS * DAY_SECONDS));
            Finding::to_mend("hardware", Level::Warning, text, advice)
        }
        (None, None) => Finding::told("hardware", Level::Ok, "the machine it was set up on"),
    });
}

async fn about_partner(context: &Data<Context>, findings: &mut Vec<Finding>) {
    let standing = match servers::standing(context).await {
        Ok(standing) => standing,
        Err(error) => return findings.push(broken("partner", &error)),
    };
    let Some(partner) = standing.partner else {
        let advice = "`tollkeeper standby invite` lets a second server take over when this one fails";
        return findings.push(Finding::to_mend("partner", Level::Note, "there is none: backups are all that protects the data", advice));
    };
    let short: String = partner.server_uuid.chars().take(8).collect();
    // A command without a server hears nobody.
    if !context.listening.is_empty() && partner.heard_seconds_ago.is_none_or(|ago| ago > SILENT_SECONDS) {
        let text = partner.heard_seconds_ago.map_or_else(|| "not since this server started".to_owned(), |ago| format!("for {ago} s"));
        let advice = format!("see whether it runs, and whether {} is reached from here", partner.urls.join(" or "));
        findings.push(Finding::to_mend("partner", Level::Error, format!("{short} was not heard {text}"), advice));
    } else {
        let text = format!("{short}: lacks {} facts of this server's, is {} ahead", partner.lacks, partner.ahead);
        findings.push(Finding::told("partner", Level::Ok, text));
    }
    if let Some(error) = partner.last_sync_error {
        findings.push(Finding::to_mend("partner", Level::Error, format!("facts cannot be exchanged: {error}"), "look into the logs of both servers"));
    }
    if let Some(version) = partner.version.filter(|version| version != env!("CARGO_PKG_VERSION")) {
        let text = format!("{short} runs version {version}, this one {}", env!("CARGO_PKG_VERSION"));
        findings.push(Finding::to_mend("partner", Level::Warning, text, "bring the older one up to the newer one's version"));
    }
    if !partner.is_licensed {
        let advice = "`tollkeeper license request` names both: have the vendor activate the license for it";
        findings.push(Finding::to_mend("partner", Level::Warning, format!("{short} is in no installed license: it holds a copy but cannot serve"), advice));
    }
}

async fn about_backups(context: &Data<Context>, findings: &mut Vec<Finding>) {
    let (standing, newest) = match (backups::find(context).await, backups::latest(context).await) {
        (Ok(standing), Ok(newest)) => (standing, newest),
        (Err(error), _) | (_, Err(error)) => return findings.push(broken("backups", &error)),
    };
    let period = i64::from(standing.every_minutes) * 60;
    if period == 0 {
        let text = "none is made by itself";
        findings.push(Finding::to_mend("backups", Level::Warning, text, "set backup.every_minutes, or run `tollkeeper backup now` from a timer"));
    }
    let now = context.clock.now_seconds();
    match newest {
        None => {
            let advice = "`tollkeeper backup now`";
            findings.push(Finding::to_mend("backups", Level::Warning, format!("there is none in {}", standing.directory), advice));
        }
        Some(copy) => {
            let text = format!(
                "{} in {}; the last, {}, was made and checked {} minutes ago",
                standing.files.len(),
                standing.directory,
                copy.name,
                (now - copy.made_at) / 60
            );
            let is_late = period > 0 && !context.listening.is_empty() && now - copy.made_at > 3 * period.max(600);
            findings.push(if is_late {
                Finding::to_mend("backups", Level::Error, text, "`tollkeeper backup now` tells what keeps it from being made")
            } else {
                Finding::told("backups", Level::Ok, text)
            });
        }
    }
}

/// How alerts leave this server.
async fn about_ways_out(context: &Data<Context>, findings: &mut Vec<Finding>) {
    let ways = match alerts::ways(context).await {
        Ok(ways) => ways,
        Err(error) => return findings.push(broken("alerts", &error)),
    };
    if ways.iter().all(|way| !way.on) {
        let text = "they are shown on the pages and in the log; no way out is set up";
        return findings.push(Finding::to_mend("alerts", Level::Note, text, "set mail, a webhook or syslog up on the page Alerts"));
    }
    findings.extend(ways.iter().filter(|way| way.on).map(|way| match (&way.sent_at, way.is_failing()) {
        (_, true) => {
            // Why may name where to, which is for nobody who gets a support bundle.
            let text = format!("by {}: {} wait, the last could not be sent at {}", way.way, way.waiting, way.failed_at.as_deref().unwrap_or_default());
            Finding::to_mend("alerts", Level::Error, text, "the page Alerts tells why; 'Send a test' there shows whether it is mended")
        }
        (Some(at), false) => Finding::told("alerts", Level::Ok, format!("by {}: the last was sent at {at}, answered {:?}", way.way, way.answer)),
        (None, false) => {
            Finding::to_mend("alerts", Level::Note, format!("by {}: none was sent yet", way.way), "'Send a test' on the page Alerts shows whether they arrive")
        }
    }));
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DoctorQuestion {
    details: bool,
}

/// `GET /doctor`
#[utoipa::path(get, path = "/api/v1/admin/doctor", tag = "servers", security(("bearer" = [])), params(("details" = Option<bool>, Query, description = "Also the files of a support bundle")), responses(
    (status = 200, description = "What the server finds when it looks at itself, each with what to do", body = DoctorAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(context: Data<Context>, question: Query<DoctorQuestion>) -> Result<HttpResponse, Failure> {
    let mut answer = examine(&context).await;
    if question.details {
        answer.details = gather(&context).await?;
    }
    Ok(HttpResponse::Ok().json(answer))
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The journal's heads, acts by their kind, and how the tables were made.
fn gather_from(reader: &Reader) -> Result<[(&'static str, String); 3], Error> {
    let mut heads = String::new();
    for origin in facts::list_origins(reader)? {
        let head = facts::head(reader, origin)?;
        let hash: String = head.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        heads += &format!("{origin}: fact {} at {}, hash {hash}\n", head.sequence, rfc3339(head.stamp.div_euclid(1_000_000)));
    }
    let acts: String = audit::count_actions(reader)?.into_iter().map(|(action, count)| format!("{action}: {count}\n")).collect();
    let schema = format!("-- version {}, SQLite {}\n\n{}", open::read_version(reader)?, open::library_version(), open::read_schema(reader)?);
    Ok([("journal.txt", heads), ("audit.txt", acts), ("schema.sql", schema)])
}

/// Files of a support bundle. Nothing that is secret, and nothing about devices, is in them.
async fn gather(context: &Data<Context>) -> Result<BTreeMap<String, String>, Failure> {
    let machine = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let memory: String = machine("/proc/meminfo").lines().take(3).map(|line| format!("{line}\n")).collect();
    let about = format!(
        "Tollkeeper {}\nserver {}\nstarted {}\nnow {}\nkernel {}\nprocessors {}\n{memory}",
        env!("CARGO_PKG_VERSION"),
        context.site.uuid(),
        rfc3339(context.started_at),
        context.time(),
        machine("/proc/sys/kernel/osrelease").trim(),
        std::thread::available_parallelism().map_or(0, usize::from),
    );
    let mut files = vec![
        ("about.txt", about),
        ("settings.txt", without_secrets(&format!("{:#?}", context.settings))),
        ("licenses.json", text(&licenses::read_all(context).await?)),
        ("servers.json", text(&servers::standing(context).await?)),
        ("backups.json", text(&backups::find(context).await?)),
    ];
    files.extend(context.read(gather_from).await?);
    Ok(files.into_iter().map(|(name, text)| (name.to_owned(), text)).collect())
}

/// Whatever is called like a secret is left out.
fn without_secrets(text: &str) -> String {
    let is_open = |line: &&str| !["password", "secret", "token", "passphrase"].iter().any(|word| line.to_ascii_lowercase().contains(word));
    text.lines().filter(is_open).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_like_a_secret_is_left_out() {
        assert_eq!(without_secrets("host: mail\n  smtp_password: \"open sesame\",\nport: 25"), "host: mail\nport: 25\n");
    }
}
