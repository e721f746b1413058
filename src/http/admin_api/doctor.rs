//! What a server finds when it looks at itself (`tollkeeper doctor`). Nothing here takes long: what
//! needs every page of the database is done by backups, and by the check of the journal.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::items::{self, ItemDetail};
use super::{backups, certificate, servers};
use crate::clock::{Clock as _, SystemClock, rfc3339};
use crate::commands::doctor::{Finding, Level, look_at_installation, look_at_limits};
use crate::commands::exceptions::{Exception, Trouble};
use crate::commands::site::HARDWARE_GRACE_DAYS;
use crate::http::Context;
use crate::http::problem::Failure;
use crate::http::tls::Source;
use crate::protocol::Problem;
use crate::store::{Command, Error, Ledger, audit, facts, open};

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
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DoctorAnswer {
    /// The program's version.
    pub version: String,
    /// The server's UUID.
    pub server_uuid: String,
    /// When it looked.
    pub checked_at: String,
    /// Area by area.
    pub findings: Vec<Finding>,
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
    findings.push(about_ways_out());
    findings.push(look_at_limits(context.limits.connections));
    findings.extend(context.exceptions.list().into_iter().map(about_exception));
    DoctorAnswer { version: env!("CARGO_PKG_VERSION").to_owned(), server_uuid: context.site.uuid().to_string(), checked_at: context.time(), findings }
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
    let end = chrono::DateTime::parse_from_rfc3339(&row.valid_to).map_or(i64::MAX, |end| end.timestamp());
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
fn about_ways_out() -> Finding {
    Finding::told("alerts", Level::Note, "they are shown on the pages and in the log; no way out is set up")
}

/// `GET /doctor`
#[utoipa::path(get, path = "/api/v1/admin/doctor", tag = "servers", security(("bearer" = [])), responses(
    (status = 200, description = "What the server finds when it looks at itself, each with what to do", body = DoctorAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(context: Data<Context>) -> HttpResponse {
    HttpResponse::Ok().json(examine(&context).await)
}

/// The terms of an item, for whoever helps: nothing of keys, codes or devices.
#[derive(Serialize)]
struct Terms {
    license_id: u64,
    organization_id: String,
    issued_by: String,
    #[serde(flatten)]
    item: items::ItemRow,
}

/// Files of a support bundle. Nothing that is secret, and nothing about devices, is in them.
async fn gather(context: &Data<Context>) -> Result<BTreeMap<String, String>, Failure> {
    let text = |value: &serde_json::Value| serde_json::to_string_pretty(value).unwrap_or_default();
    let machine = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let (heads, actions, schema, version) = context
        .read(|reader| {
            let mut heads = BTreeMap::new();
            for origin in facts::list_origins(reader)? {
                let head = facts::head(reader, origin)?;
                let hash: String = head.hash.iter().map(|byte| format!("{byte:02x}")).collect();
                heads.insert(origin.to_string(), serde_json::json!({"sequence": head.sequence, "at": rfc3339(head.stamp.div_euclid(1_000_000)), "hash": hash}));
            }
            Ok((heads, audit::count_actions(reader)?, open::read_schema(reader)?, open::read_version(reader)?))
        })
        .await?;
    let terms = items::read_all(context).await?.into_iter().map(|item| Terms {
        license_id: item.license_id,
        organization_id: item.organization_id,
        issued_by: item.vendor_kid,
        item: item.row,
    });
    let terms: Vec<Terms> = terms.collect();
    let standing = servers::standing(context).await?;
    let about = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "server_uuid": context.site.uuid().to_string(),
        "started_at": rfc3339(context.started_at),
        "time": context.time(),
        "tables": version,
        "sqlite": open::library_version(),
        "kernel": machine("/proc/sys/kernel/osrelease"),
        "memory": machine("/proc/meminfo").lines().take(3).collect::<Vec<_>>(),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
    });
    let mut settings = serde_json::to_value(&context.settings).unwrap_or_default();
    hide_secrets(&mut settings);
    let value = |value: Result<serde_json::Value, serde_json::Error>| text(&value.unwrap_or_default());
    Ok(BTreeMap::from([
        ("about.json".to_owned(), text(&about)),
        ("settings.json".to_owned(), text(&settings)),
        ("licenses.json".to_owned(), value(serde_json::to_value(&terms))),
        ("servers.json".to_owned(), value(serde_json::to_value(&standing))),
        ("backups.json".to_owned(), value(serde_json::to_value(backups::find(context).await?))),
        ("journal.json".to_owned(), text(&serde_json::json!(heads))),
        ("audit.json".to_owned(), text(&serde_json::json!(actions))),
        ("schema.sql".to_owned(), schema),
    ]))
}

/// Whatever is called like a secret is not shown.
fn hide_secrets(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                if ["password", "secret", "token", "passphrase"].iter().any(|word| name.contains(word)) {
                    *value = serde_json::json!("(not shown)");
                }
                hide_secrets(value);
            }
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(hide_secrets),
        _ => {}
    }
}

/// `GET /doctor/details`
#[utoipa::path(get, path = "/api/v1/admin/doctor/details", tag = "servers", security(("bearer" = [])), responses(
    (status = 200, description = "What `tollkeeper doctor --bundle` packs: texts by the names of their files, without secrets", body = BTreeMap<String, String>),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn details(context: Data<Context>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(gather(&context).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_like_a_secret_is_hidden_wherever_it_stands() {
        let mut settings = serde_json::json!({"mail": [{"smtp_password": "open sesame", "host": "mail"}], "token": {"x": 1}});
        hide_secrets(&mut settings);
        assert_eq!(settings, serde_json::json!({"mail": [{"smtp_password": "(not shown)", "host": "mail"}], "token": "(not shown)"}));
    }
}
