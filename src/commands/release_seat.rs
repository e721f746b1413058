//! A seat is given back, by its device or by the admin (domain §4, "Seats").

use super::Refusal;
use super::authorize::Refused;
use crate::documents::Claims;
use crate::licensing::{ClientUuid, ItemId};
use crate::protocol::ErrorCode;
use crate::store::facts::{Body, SeatReleased};
use crate::store::{Command, Error, Ledger, devices, seats};

/// A device gives back seats: those of its authorization, or of the items that it names. The
/// authorization must be the last one under its code: an old one could be anybody's who found it in a
/// backup. Seats that the device does not hold are passed over, so that the request may be repeated.
pub struct ReleaseByDevice {
    /// What its authorization says, verified.
    pub claims: Claims,
    /// The items it names: of two applications of a device under one code, each gives back its own.
    pub items: Option<Vec<ItemId>>,
}

impl Command for ReleaseByDevice {
    /// How many seats were freed.
    type Answer = Result<usize, Refused>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let client = self.claims.sub;
        let latest = devices::find_tickets(ledger, client, self.claims.hid)?.map_or(0, |tickets| tickets.given_at);
        if self.claims.iat < latest {
            let detail = format!("the device was authorized again at {}: give back the seat with that authorization", crate::clock::rfc3339(latest));
            return Ok(Err(Refused { code: ErrorCode::NotAuthorized, detail }));
        }
        let now = ledger.now();
        let mut freed = 0;
        let items = self.items.clone().unwrap_or_else(|| self.claims.items.iter().map(|item| item.item_id).collect());
        for item in items {
            if seats::holds(ledger, client, item, now)? {
                ledger.record(&Body::SeatReleased(SeatReleased { client, item, by_admin: false, by: None }))?;
                freed += 1;
            }
        }
        Ok(Ok(freed))
    }
}

/// The admin frees a seat. The item's allowance limits how often, so that one seat cannot
/// be shared by hand.
pub struct ReleaseByAdmin {
    /// The device.
    pub client: ClientUuid,
    /// The item.
    pub item: ItemId,
    /// Who asks.
    pub by: String,
}

impl Command for ReleaseByAdmin {
    /// How many releases of the allowance are left.
    type Answer = Result<u64, Refusal>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let catalog = ledger.catalog()?;
        let Some(entry) = catalog.find_item(self.item) else {
            return Ok(Err(Refusal::NotFound(format!("item {} is not installed: `license list` shows the items", self.item))));
        };
        let now = ledger.now();
        if !seats::holds(ledger, self.client, self.item, now)? {
            return Ok(Err(Refusal::NotFound(format!("device {} holds no seat of item {}: `device list` shows who does", self.client, self.item))));
        }
        let allowance = u64::from(entry.item.release_allowance);
        let done = seats::count_admin_releases(ledger.reading(), self.item)?;
        if done >= allowance {
            return Ok(Err(Refusal::Conflict(format!(
                "all {allowance} releases by hand that item {} allows are used: the seat frees itself when the device has been idle for its period, or ask the vendor for a larger quota",
                self.item
            ))));
        }
        ledger.record(&Body::SeatReleased(SeatReleased { client: self.client, item: self.item, by_admin: true, by: Some(self.by.clone()) }))?;
        Ok(Ok(allowance - done - 1))
    }
}
