//! One day of the statistics in detail (domain §6): by time, by device, by authorizations or by
//! reports, in pages, and as CSV.

use std::fmt::Write as _;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Bytes, Data};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::trend::Subject;
use crate::clock::rfc3339;
use crate::http::Context;
use crate::http::problem::Failure;
use crate::http::query::Query;
use crate::licensing::{ClientUuid, CodeId, ServerUuid, Slot};
use crate::store::Error;
use crate::store::catalog::Catalog;
use crate::store::statistics::{self, AuthorizationRow, DeviceRow, ReportRow, Scope, SlotRow};

/// Rows of a page.
pub const PAGE_ROWS: usize = 100;
/// Rows that are read at once for a CSV file.
const CSV_ROWS: usize = 2_000;

/// What the rows are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// Slots of three minutes.
    #[default]
    Time,
    /// Devices.
    Device,
    /// Requests for authorizations.
    Authorizations,
    /// Reports.
    Reports,
}

impl GroupBy {
    /// All, with their names for people.
    pub const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Time, "time", "By time"),
        (Self::Device, "device", "By device"),
        (Self::Authorizations, "authorizations", "Authorizations"),
        (Self::Reports, "reports", "Reports"),
    ];
}

/// Which day of whose use, how.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::IntoParams)]
pub struct DetailsQuestion {
    /// Only this handshake code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake: Option<String>,
    /// Only this item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u64>,
    /// The day, UTC.
    pub day: NaiveDate,
    /// What the rows are.
    #[serde(default)]
    #[param(inline)]
    pub by: GroupBy,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// `csv`: everything as a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// A page of rows, whatever they are.
pub enum Rows {
    /// By slot.
    Time(Vec<(Slot, SlotRow)>),
    /// By device.
    Device(Vec<DeviceRow>),
    /// Authorizations.
    Authorizations(Vec<AuthorizationRow>),
    /// Reports.
    Reports(Vec<ReportRow>),
}

/// A page and where the next one begins.
pub struct Details {
    /// Its rows.
    pub rows: Rows,
    /// For `after`.
    pub next: Option<String>,
}

/// Reads a page. `day` in days since 1970; `after` is the `next` of the page before, anything
/// else counts as the beginning.
pub fn read(reader: &crate::store::Reader, scope: &Scope, day: i64, by: GroupBy, after: Option<&str>, limit: usize) -> Result<Details, Error> {
    let parts: Vec<&str> = after.map(|text| text.split('_').collect()).unwrap_or_default();
    Ok(match by {
        GroupBy::Time => Details { rows: Rows::Time(statistics::read_slots(reader, scope, day)?.into_iter().collect()), next: None },
        GroupBy::Device => {
            let after = if let [code, client] = parts[..] { uuid(code).map(CodeId).zip(uuid(client).map(ClientUuid)) } else { None };
            let page = statistics::list_devices(reader, scope, day, after, limit)?;
            Details { rows: Rows::Device(page.rows), next: page.next.map(|(code, client)| format!("{code}_{client}")) }
        }
        GroupBy::Authorizations => {
            let after = if let [origin, sequence] = parts[..] { uuid(origin).map(ServerUuid).zip(sequence.parse().ok()) } else { None };
            let page = statistics::list_authorizations(reader, scope, day, after, limit)?;
            Details { rows: Rows::Authorizations(page.rows), next: page.next.map(|(origin, sequence)| format!("{origin}_{sequence}")) }
        }
        GroupBy::Reports => {
            let after = if let [code, slot, client, id] = parts[..] { read_report_cursor(code, slot, client, id) } else { None };
            let page = statistics::list_reports(reader, scope, day, after, limit)?;
            let next = page.next.map(|(code, (slot, client, id))| format!("{code}_{}_{client}_{id}", slot.start()));
            Details { rows: Rows::Reports(page.rows), next }
        }
    })
}

fn uuid(text: &str) -> Option<uuid::Uuid> {
    text.parse().ok()
}

fn read_report_cursor(code: &str, slot: &str, client: &str, id: &str) -> Option<statistics::ReportCursor> {
    Some((CodeId(uuid(code)?), (Slot::containing(slot.parse().ok()?), ClientUuid(uuid(client)?), uuid(id)?)))
}

/// Details as programs read them. Which fields a row has depends on `by`.
#[derive(Debug, Serialize, ToSchema)]
pub struct DetailsAnswer {
    /// By time: `slot`, `by_type`, `devices`, `reports`, `granted`, `refused`. By device:
    /// `client_uuid`, `units`, `reports`. Authorizations: `at`, `client_uuid`, `code` (0: granted), `items`,
    /// `detail`. Reports: `report_id`, `slot`, `client_uuid`, `charges`.
    pub rows: Vec<serde_json::Value>,
    /// Send it as `after` for the next page; absent at the end. A page may be empty and not the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `GET /statistics/details`: one day, in pages or as CSV.
#[utoipa::path(get, path = "/api/v1/admin/statistics/details", tag = "statistics", security(("bearer" = [])), params(DetailsQuestion), responses((status = 200, description = "One day in detail, in pages or as CSV", body = DetailsAnswer)))]
pub async fn details(context: Data<Context>, question: Query<DetailsQuestion>) -> Result<HttpResponse, Failure> {
    let DetailsQuestion { handshake, item, day, by, after, format } = question.into_inner();
    let subject = context.read(move |reader| Ok(Subject::find(&Catalog::load(reader)?, handshake.as_deref(), item))).await??;
    let day_number = i64::from(day.to_epoch_days());
    match format.as_deref() {
        Some("csv") => Ok(csv(context, subject, day, by)),
        Some(other) => {
            Err(Failure::malformed("format", format!("'{}' is not offered: leave it out for JSON, or ask for csv", crate::licensing::id::shorten(other))))
        }
        None => {
            let found = context.read(move |reader| read(reader, &subject.scope, day_number, by, after.as_deref(), PAGE_ROWS)).await?;
            Ok(HttpResponse::Ok().json(DetailsAnswer { rows: json_rows(&found.rows), next: found.next }))
        }
    }
}

fn json_rows(rows: &Rows) -> Vec<serde_json::Value> {
    use serde_json::json;
    match rows {
        Rows::Time(rows) => rows
            .iter()
            .map(|(slot, row)| {
                json!({"slot": rfc3339(slot.start()), "by_type": row.by_type, "devices": row.devices, "reports": row.reports, "granted": row.granted, "refused": row.refused})
            })
            .collect(),
        Rows::Device(rows) => rows.iter().map(|row| json!({"client_uuid": row.client.to_string(), "units": row.units, "reports": row.reports})).collect(),
        Rows::Authorizations(rows) => rows
            .iter()
            .map(|row| json!({"at": rfc3339(row.at), "client_uuid": row.client.to_string(), "code": row.outcome, "items": row.items, "detail": row.detail}))
            .collect(),
        Rows::Reports(rows) => rows
            .iter()
            .map(|row| json!({"report_id": row.id, "slot": rfc3339(row.slot.start()), "client_uuid": row.client.to_string(), "charges": row.charges}))
            .collect(),
    }
}

/// Everything of a day as a file, read and sent piece by piece: a day may have a million rows.
fn csv(context: Data<Context>, subject: Subject, day: NaiveDate, by: GroupBy) -> HttpResponse {
    let of = subject.handshake.clone().or_else(|| subject.item.map(|item| format!("item-{item}"))).unwrap_or_else(|| "all".to_owned());
    let name = GroupBy::ALL.iter().find(|(known, ..)| *known == by).map_or("", |(_, name, _)| name);
    let file = format!("attachment; filename=\"{of}-{day}-{name}.csv\"");
    let pieces = futures_util::stream::unfold(Piece::First, move |piece| {
        let (context, scope) = (context.clone(), subject.scope.clone());
        async move {
            let after = match piece {
                Piece::End => return None,
                Piece::First => None,
                Piece::After(after) => Some(after),
            };
            let is_first = after.is_none();
            let day = i64::from(day.to_epoch_days());
            let found = context.read(move |reader| read(reader, &scope, day, by, after.as_deref(), CSV_ROWS)).await;
            Some(match found {
                Ok(found) => (Ok(Bytes::from(csv_rows(&found.rows, is_first))), found.next.map_or(Piece::End, Piece::After)),
                Err(failure) => (Err(actix_web::Error::from(failure)), Piece::End),
            })
        }
    });
    HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((header::CONTENT_DISPOSITION, file))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(Box::pin(pieces))
}

enum Piece {
    First,
    After(String),
    End,
}

/// A value of a CSV file: quoted where it must be, and never taken for a formula.
pub fn csv_value(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn csv_rows(rows: &Rows, with_head: bool) -> String {
    let mut out = String::new();
    let head = match rows {
        Rows::Time(_) => "slot,type,units,devices,reports,granted,refused",
        Rows::Device(_) => "client_uuid,units,reports",
        Rows::Authorizations(_) => "at,client_uuid,code,items,detail",
        Rows::Reports(_) => "report_id,slot,client_uuid,item_id,module,type,units,overuse",
    };
    if with_head {
        out.push_str(head);
        out.push_str("\r\n");
    }
    // Nothing can go wrong on a text.
    match rows {
        Rows::Time(rows) => {
            for (slot, row) in rows {
                let time = rfc3339(slot.start());
                let _ = write!(out, "{time},,{},{},{},{},{}\r\n", row.by_type.values().sum::<u64>(), row.devices, row.reports, row.granted, row.refused);
                for (kind, units) in &row.by_type {
                    let _ = write!(out, "{time},{},{units},,,,\r\n", csv_value(kind));
                }
            }
        }
        Rows::Device(rows) => {
            for row in rows {
                let _ = write!(out, "{},{},{}\r\n", row.client, row.units, row.reports);
            }
        }
        Rows::Authorizations(rows) => {
            for row in rows {
                let items = row.items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                let _ = write!(out, "{},{},{},{items},{}\r\n", rfc3339(row.at), row.client, row.outcome, csv_value(&row.detail));
            }
        }
        Rows::Reports(rows) => {
            for row in rows {
                for charge in &row.charges {
                    let module = csv_value(charge.module.as_deref().unwrap_or_default());
                    for (kind, units) in &charge.counts {
                        let (time, item) = (rfc3339(row.slot.start()), charge.item_id);
                        let _ = write!(out, "{},{time},{},{item},{module},{},{units},{}\r\n", row.id, row.client, csv_value(kind), charge.overuse);
                    }
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_and_no_formulas() {
        assert_eq!(csv_value("QR Code"), "QR Code");
        assert_eq!(csv_value("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv_value("=1+1"), "'=1+1");
    }
}
