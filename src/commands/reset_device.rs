//! The admin lets a device in again after a clone alarm: one that was restored from a
//! backup shows an old ticket through no fault of its own (domain §3, "Clones").

use super::Refusal;
use crate::licensing::ClientUuid;
use crate::store::facts::{Body, DeviceReset};
use crate::store::{Command, Error, Ledger, devices};

/// See the module.
pub struct ResetDevice {
    /// The device.
    pub client: ClientUuid,
    /// Who asks.
    pub by: String,
}

impl Command for ResetDevice {
    type Answer = Result<(), Refusal>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        if !devices::is_known(ledger, self.client)? {
            return Ok(Err(Refusal::NotFound(format!("device {} was never authorized here: `device list` shows the devices", self.client))));
        }
        ledger.record(&Body::DeviceReset(DeviceReset { client: self.client, by: self.by.clone() }))?;
        Ok(Ok(()))
    }
}
