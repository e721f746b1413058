//! License items with their use, as several pages show them.

use super::chart::share;
use super::chrome::{number, utc_day};
use crate::http::admin_api::items::Stock;
use crate::http::admin_api::trend::{Subject, read_forecast};
use crate::licensing::grace;
use crate::store::catalog::CatalogItem;
use crate::store::{Error, Reader};

/// An item with its use, ready to be shown.
pub(super) struct ItemUse {
    pub(super) item_id: u64,
    pub(super) product: String,
    pub(super) charge_way: String,
    pub(super) modules: String,
    pub(super) used: String,
    pub(super) quota: String,
    pub(super) percent: String,
    /// 0 to 100: the width of the bar.
    pub(super) bar: u64,
    /// ``, `warn` or `bad`.
    pub(super) level: &'static str,
    pub(super) overuse: String,
    pub(super) valid_from: String,
    pub(super) valid_to: String,
    pub(super) license_id: u64,
    pub(super) license: String,
    pub(super) status: &'static str,
    /// `good`, `warn` or `bad`.
    pub(super) status_class: &'static str,
    pub(super) forecast: String,
}

/// What a status is called, and how it is coloured.
pub(super) fn name_status(status: &str) -> (&'static str, &'static str) {
    match status {
        "active" => ("active", "good"),
        "grace" => ("in grace", "warn"),
        "not_yet_effective" => ("not yet in force", "warn"),
        "expired" => ("expired", "bad"),
        "used_up" => ("used up", "bad"),
        "revoked" => ("revoked", "bad"),
        _ => ("unknown", "warn"),
    }
}

/// The items of a code in the order of use, or the one item.
pub(super) fn of_subject(reader: &Reader, stock: &Stock, subject: &Subject, now: i64) -> Result<Vec<ItemUse>, Error> {
    let catalog = &stock.catalog;
    let items: Vec<_> = match (subject.item, &subject.handshake) {
        (Some(item), _) => vec![item],
        (None, Some(name)) => {
            catalog.find_code_by_name(name).map(|code| catalog.items_in_order(code).iter().map(|item| item.item_id).collect()).unwrap_or_default()
        }
        (None, None) => catalog.items().map(|entry| entry.item.item_id).collect(),
    };
    items.into_iter().filter_map(|id| catalog.find_item(id)).map(|entry| read(reader, stock, entry, now)).collect()
}

/// One item.
pub(super) fn read(reader: &Reader, stock: &Stock, entry: &CatalogItem, now: i64) -> Result<ItemUse, Error> {
    let catalog = &stock.catalog;
    let row = stock.row(reader, entry)?;
    let item = &entry.item;
    let has_quota = item.charge_way.has_quota();
    let limit = row.quota.max(1);
    let bar = (row.used.saturating_mul(100) / limit).min(100);
    let level = match row.status.as_str() {
        "used_up" | "expired" | "revoked" => "bad",
        _ if has_quota && row.used >= row.quota => "bad",
        _ if has_quota && bar >= 80 => "warn",
        _ => "",
    };
    let (status, status_class) = name_status(&row.status);
    let license = catalog.find_license(entry.license_id);
    let forecast = match read_forecast(reader, &catalog.all_codes(), entry, now.div_euclid(86_400))? {
        Some(forecast) if row.status == "active" || row.status == "grace" => tell_forecast(&forecast, now, grace::end_at(item)),
        _ => String::new(),
    };
    Ok(ItemUse {
        item_id: row.item_id,
        product: row.product,
        charge_way: item.charge_way.to_string(),
        modules: if item.modules.is_empty() { "all".to_owned() } else { item.modules.join(", ") },
        used: number(row.used),
        quota: if has_quota { number(row.quota) } else { "unlimited".to_owned() },
        percent: if has_quota { share(row.used, row.quota) } else { String::new() },
        bar,
        level,
        overuse: if row.overuse > 0 { number(row.overuse) } else { String::new() },
        valid_from: utc_day(item.starts_at()),
        valid_to: utc_day(item.valid_to.timestamp()),
        license_id: entry.license_id.0,
        license: license.map(|license| license.alias.clone()).unwrap_or_default(),
        status,
        status_class,
        forecast,
    })
}

fn tell_forecast(forecast: &crate::licensing::forecast::Forecast, now: i64, end: i64) -> String {
    let basis = format!("{:.1} a day over the last {} days", forecast.per_day, forecast.basis_days);
    match forecast.days_left {
        None if forecast.per_day > 0.0 => format!("lasts for ages at {basis}"),
        None => format!("nothing was used in the last {} days", forecast.basis_days),
        Some(days) if now + days.saturating_mul(86_400) > end => format!("lasts to its end at {basis}"),
        Some(days) => format!("the quota ends about {} at {basis}", utc_day(now + days * 86_400)),
    }
}
