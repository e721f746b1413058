//! What was used day by day, and when a quota runs out (domain §6): what the statistics page
//! shows, and programs read.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::Data;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::commands::Refusal;
use crate::commands::handshake;
use crate::http::Context;
use crate::http::problem::Failure;
use crate::http::query::Query;
use crate::licensing::forecast::{self, BASIS_DAYS, Forecast};
use crate::licensing::{CodeId, ItemId};
use crate::store::catalog::{Catalog, CatalogItem};
use crate::store::statistics::{self, Day, Scope};
use crate::store::{Error, Reader, usage};

/// Longest span of days in one answer: ten years.
pub const DAYS_MAX: i64 = 3_660;

/// Whose use is shown.
#[derive(Debug, Clone)]
pub struct Subject {
    /// For the store.
    pub scope: Scope,
    /// The code's name, of a code.
    pub handshake: Option<String>,
    /// The item's number, of an item.
    pub item: Option<ItemId>,
}

impl Subject {
    /// A code by its name or alias, or an item.
    ///
    /// # Errors
    /// There is no such code or item.
    pub fn find(catalog: &Catalog, handshake: Option<&str>, item: Option<u64>) -> Result<Self, Refusal> {
        let item = item.map(ItemId);
        let entry = item
            .map(|id| catalog.find_item(id).ok_or_else(|| Refusal::NotFound(format!("item {id} is not installed: `license list` shows the items"))))
            .transpose()?;
        let is_concurrent = entry.is_some_and(|entry| entry.item.charge_way.is_concurrent());
        let Some(name) = handshake else {
            return Ok(Self { scope: Scope { codes: catalog.all_codes(), item, is_concurrent }, handshake: None, item });
        };
        let code = handshake::find(catalog, name)?;
        Ok(Self { scope: Scope { codes: vec![code.code_id], item, is_concurrent }, handshake: Some(code.name()), item })
    }
}

/// Which days of whose use.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::IntoParams)]
pub struct TrendQuestion {
    /// Only this handshake code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake: Option<String>,
    /// Only this item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u64>,
    /// First day, UTC; 30 days ago where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NaiveDate>,
    /// Last day, UTC; today where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<NaiveDate>,
}

/// A day.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TrendDay {
    /// The day, UTC.
    pub day: NaiveDate,
    /// Scans or pages.
    pub units: u64,
    /// Devices at work.
    pub devices: u64,
    /// Of those, the ones that were never at work before.
    pub new_devices: u64,
    /// The most devices, or instances, at work in one slot of three minutes.
    pub concurrent: u64,
}

/// `GET /statistics/days`: every day of a span.
#[utoipa::path(get, path = "/api/v1/admin/statistics/days", tag = "statistics", security(("bearer" = [])), params(TrendQuestion), responses((status = 200, description = "Every day of the span", body = Vec<TrendDay>)))]
pub async fn days(context: Data<Context>, question: Query<TrendQuestion>) -> Result<HttpResponse, Failure> {
    let question = question.into_inner();
    let today = context.clock.now_seconds().div_euclid(86_400);
    let day = |date: NaiveDate| i64::from(date.to_epoch_days());
    let to = question.to.map_or(today, day);
    let from = question.from.map_or(to - 29, day);
    check_span(from, to)?;
    let rows = context
        .read(move |reader| {
            let catalog = Catalog::load(reader)?;
            let subject = match Subject::find(&catalog, question.handshake.as_deref(), question.item) {
                Ok(subject) => subject,
                Err(refusal) => return Ok(Err(refusal)),
            };
            read_span(reader, &subject.scope, from, to).map(Ok)
        })
        .await??;
    let row =
        |(day, found): (i64, Day)| TrendDay { day: date(day), units: found.units, devices: found.devices, new_devices: found.first, concurrent: found.peak };
    Ok(HttpResponse::Ok().json(rows.into_iter().map(row).collect::<Vec<_>>()))
}

/// Days are shown in spans that a page and a program can bear.
///
/// # Errors
/// The first day is after the last, or the span is too long.
pub fn check_span(from: i64, to: i64) -> Result<(), Failure> {
    if from > to {
        return Err(Failure::malformed("from", "is later than `to`: exchange them"));
    }
    if to - from > DAYS_MAX {
        return Err(Failure::malformed("from", format!("is more than {DAYS_MAX} days before `to`: ask for less at once")));
    }
    Ok(())
}

/// A day since 1970 as a date.
pub fn date(day: i64) -> NaiveDate {
    chrono::DateTime::from_timestamp(day.saturating_mul(86_400), 0).unwrap_or_default().date_naive()
}

/// Every day of a span (since 1970, both included), also those on which nothing was used.
pub fn read_span(reader: &Reader, scope: &Scope, from: i64, to: i64) -> Result<Vec<(i64, Day)>, Error> {
    let found: BTreeMap<i64, Day> = statistics::read_days(reader, scope, from, to)?;
    Ok((from..=to).map(|day| (day, found.get(&day).copied().unwrap_or_default())).collect())
}

/// When the quota of an item runs out at the rate of the last days, for items that count units.
/// `today` in days since 1970.
pub fn read_forecast(reader: &Reader, codes: &[CodeId], entry: &CatalogItem, today: i64) -> Result<Option<Forecast>, Error> {
    let item = &entry.item;
    if item.charge_way.quota_unit().is_none() {
        return Ok(None);
    }
    let scope = Scope { codes: codes.to_vec(), item: Some(item.item_id), is_concurrent: false };
    let Some(first) = statistics::read_first_day(reader, &scope)? else { return Ok(None) };
    // Today is not over: it would make the rate too low.
    let basis = (today - first).min(BASIS_DAYS);
    let lately = statistics::read_units_of_item(reader, codes, item.item_id, today - basis, today - 1)?;
    let (used, _) = usage::read_used(reader, item.item_id)?;
    Ok(forecast::forecast(item.quota.saturating_sub(used), lately, basis))
}
