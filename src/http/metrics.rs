//! What Prometheus scrapes: counted where it happens, or read when somebody asks. Names are
//! listed in the README; rules and a dashboard over them are under `install/`.

use std::collections::HashSet;
use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use prometheus::core::Collector;
use prometheus::{Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use super::Context;
use super::admin_api::certificate;
use super::admin_api::items::Stock;
use super::admin_api::servers::standing;
use super::ops::broken;
use super::problem::Failure;
use crate::clock::parse_rfc3339;
use crate::commands::exceptions::Trouble;
use crate::store::{Writer, gaps};

/// What devices ask for: found without a look at the table of routes.
const DEVICE_ROUTES: [&str; 4] = ["/api/v1/server", "/api/v1/authorize", "/api/v1/reports", "/api/v1/release"];
/// Seconds; an authorization should take a hundredth.
const BUCKETS: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];

/// What is counted while requests are answered.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    device_durations: [Histogram; DEVICE_ROUTES.len()],
    device_successes: [IntCounter; DEVICE_ROUTES.len()],
    denials: IntCounterVec,
}

impl Metrics {
    /// Counts from now on; the writer counts for itself.
    pub fn new(writer: &Writer) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(Opts::new("tollkeeper_http_requests_total", "Requests that were answered."), &["route", "status"])?;
        let options = HistogramOpts::new("tollkeeper_http_request_duration_seconds", "From a request's head until its answer's head.");
        let durations = HistogramVec::new(options.buckets(BUCKETS.to_vec()), &["route"])?;
        let denials = IntCounterVec::new(Opts::new("tollkeeper_denials_total", "Requests of devices that were refused, by the error's code."), &["code"])?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(denials.clone()))?;
        let pace = writer.pace();
        registry.register(Box::new(pace.waiting.clone()))?;
        registry.register(Box::new(pace.batches.clone()))?;
        registry.register(Box::new(pace.commits.clone()))?;
        Ok(Self {
            device_durations: DEVICE_ROUTES.map(|route| durations.with_label_values(&[route])),
            device_successes: DEVICE_ROUTES.map(|route| requests.with_label_values(&[route, "200"])),
            registry,
            requests,
            durations,
            denials,
        })
    }

    /// A request was answered after so long.
    pub fn answered(&self, request: &HttpRequest, status: StatusCode, took: Duration) {
        let took = took.as_secs_f64();
        if let Some(n) = DEVICE_ROUTES.iter().position(|route| *route == request.path()) {
            self.device_durations[n].observe(took);
            match status {
                StatusCode::OK => self.device_successes[n].inc(),
                _ => self.requests.with_label_values(&[DEVICE_ROUTES[n], status.as_str()]).inc(),
            }
            return;
        }
        let route = request.match_pattern().unwrap_or_else(|| "none".to_owned());
        self.durations.with_label_values(&[route.as_str()]).observe(took);
        self.requests.with_label_values(&[route.as_str(), status.as_str()]).inc();
    }

    /// A request was refused before its route was looked for.
    pub fn refused(&self, status: StatusCode, took: Duration) {
        self.durations.with_label_values(&["refused"]).observe(took.as_secs_f64());
        self.requests.with_label_values(&["refused", status.as_str()]).inc();
    }

    /// A device was refused.
    pub fn denied(&self, code: u16) {
        self.denials.with_label_values(&[code.to_string()]).inc();
    }
}

/// What is read when somebody asks.
struct Readings(Registry);

impl Readings {
    fn put(&self, collector: impl Collector + 'static) -> Result<(), prometheus::Error> {
        self.0.register(Box::new(collector))
    }

    fn number(&self, name: &str, help: &str, value: f64) -> Result<(), prometheus::Error> {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        self.put(gauge)
    }

    fn table(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, prometheus::Error> {
        let table = GaugeVec::new(Opts::new(name, help), labels)?;
        self.put(table.clone())?;
        Ok(table)
    }
}

/// `GET /metrics`
#[utoipa::path(get, path = "/api/v1/metrics", tag = "operations", security(("bearer" = [])), responses((status = 200, description = "What Prometheus scrapes", body = String, content_type = "text/plain")))]
pub async fn show(context: Data<Context>) -> Result<HttpResponse, Failure> {
    let readings = Readings(Registry::new());
    read_items(&context, &readings).await?;
    read_servers(&context, &readings).await?;
    read_upkeep(&context, &readings).await?;
    let mut families = context.metrics.registry.gather();
    families.extend(readings.0.gather());
    families.sort_by(|one, other| one.name().cmp(other.name()));
    let text = TextEncoder::new().encode_to_string(&families).map_err(|error| broken("the metrics", &error))?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").insert_header((header::CACHE_CONTROL, "no-store")).body(text))
}

fn failed(error: prometheus::Error) -> Failure {
    broken("the metrics", &error)
}

/// What of each item is used, and until when it may be.
async fn read_items(context: &Context, readings: &Readings) -> Result<(), Failure> {
    let stock = Stock::take(context).await?;
    let rows = context.read(move |reader| stock.catalog.items().map(|entry| stock.row(reader, entry)).collect::<Result<Vec<_>, _>>()).await?;
    let labels = ["item_id", "product", "charge_way"];
    let table = |name: &str, help: &str| readings.table(name, help, &labels).map_err(failed);
    let quota = table("tollkeeper_item_quota", "Units, seats or instances that the item permits.")?;
    let used = table("tollkeeper_item_used", "Units charged; seats held now; of concurrent items the most in use in one slot of the last hour.")?;
    let grace = table("tollkeeper_item_grace_left", "What is left of the grace beyond the quota.")?;
    let overuse = table("tollkeeper_item_overuse", "Beyond quota and grace.")?;
    let ends = table("tollkeeper_item_end_timestamp_seconds", "The last moment of validity, without grace.")?;
    for row in rows {
        let item = row.item_id.to_string();
        let labels = [item.as_str(), &row.product, &row.charge_way];
        quota.with_label_values(&labels).set(row.quota as f64);
        used.with_label_values(&labels).set(row.used as f64);
        grace.with_label_values(&labels).set(row.grace_left as f64);
        overuse.with_label_values(&labels).set(row.overuse as f64);
        ends.with_label_values(&labels).set(parse_rfc3339(&row.valid_to).unwrap_or(0) as f64);
    }
    Ok(())
}

/// What the two servers of the site hold.
async fn read_servers(context: &Data<Context>, readings: &Readings) -> Result<(), Failure> {
    let standing = standing(context).await?;
    let held = context.read(|reader| gaps::list_held(reader)).await?;
    let write = || -> Result<(), prometheus::Error> {
        let facts = readings.table("tollkeeper_facts", "The last fact that this server holds of each server.", &["origin"])?;
        for (origin, _, last) in held {
            facts.with_label_values(&[origin.to_string().as_str()]).set(last as f64);
        }
        let safe = readings.table("tollkeeper_safe_facts", "The last fact of each server that no single loss can take any more.", &["origin"])?;
        for (origin, sequence) in context.safe(standing.this.facts) {
            safe.with_label_values(&[origin.as_str()]).set(sequence as f64);
        }
        let role = readings.table("tollkeeper_role", "1 for the role that this server has.", &["role"])?;
        role.with_label_values(&[standing.this.role.as_str()]).set(1.0);
        readings.number("tollkeeper_serving", "Whether this server serves devices.", f64::from(u8::from(standing.this.serving)))?;
        readings.number("tollkeeper_facts_at_risk", "Facts that are on this server alone.", standing.facts_at_risk as f64)?;
        readings.number("tollkeeper_database_bytes", "How large the database is on the disk.", standing.this.database_bytes as f64)?;
        if let Some(partner) = &standing.partner {
            readings.number("tollkeeper_partner_lacking_facts", "Facts that this server holds and its partner lacks.", partner.lacks as f64)?;
            readings.number("tollkeeper_partner_ahead_facts", "Facts that the partner holds and this server lacks.", partner.ahead as f64)?;
            if let Some(ago) = partner.heard_seconds_ago {
                readings.number("tollkeeper_partner_silence_seconds", "Since the partner was last heard.", ago as f64)?;
            }
            if let Some(at) = partner.last_sync_at.as_deref().and_then(parse_rfc3339) {
                readings.number("tollkeeper_last_sync_timestamp_seconds", "When facts were last taken from the partner.", at as f64)?;
            }
        }
        Ok(())
    };
    write().map_err(failed)
}

/// Backups, certificate, what is wrong, and who this is.
async fn read_upkeep(context: &Data<Context>, readings: &Readings) -> Result<(), Failure> {
    let (backups, certificate) = (context.backups.standing(), certificate::standing(context)?);
    let write = || -> Result<(), prometheus::Error> {
        if let Some((at, Ok(_))) = backups.last {
            readings.number("tollkeeper_last_backup_timestamp_seconds", "When the last backup was made.", at as f64)?;
        }
        let end = certificate.shown.not_after as f64;
        readings.number("tollkeeper_certificate_end_timestamp_seconds", "The last moment of the HTTPS certificate.", end)?;
        let troubles = IntGaugeVec::new(Opts::new("tollkeeper_exception", "Whether this is wrong right now."), &["name"])?;
        readings.put(troubles.clone())?;
        let raised: HashSet<_> = context.exceptions.list().into_iter().map(|exception| exception.trouble).collect();
        for trouble in Trouble::ALL {
            troubles.with_label_values(&[trouble.name()]).set(i64::from(raised.contains(&trouble)));
        }
        let uuid = context.site.uuid().to_string();
        let build = readings.table("tollkeeper_build_info", "Who answers.", &["version", "server_uuid"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), uuid.as_str()]).set(1.0);
        readings.number("process_start_time_seconds", "When the server started, since 1970.", context.started_at as f64)
    };
    write().map_err(failed)
}
