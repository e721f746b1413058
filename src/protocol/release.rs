//! `POST /release`: a device gives its seat back.

use serde::{Deserialize, Serialize};

use super::{BadField, FromDevice};
use crate::licensing::{ClientUuid, ItemId};

/// Most items in a request.
const ITEMS_MAX: usize = 1_000;

/// What a device sends; the answer is 204 without a body.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ReleaseRequest {
    /// The device's UUID.
    #[cfg_attr(feature = "server", schema(value_type = uuid::Uuid))]
    pub client_uuid: ClientUuid,
    /// The last authorization that it got under the handshake code, be it for another of its applications.
    pub authorization: String,
    /// The items whose seats or instances it gives back; those of the authorization when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<Vec<u64>>))]
    pub items: Option<Vec<ItemId>>,
}

impl FromDevice for ReleaseRequest {
    fn client_uuid(&self) -> ClientUuid {
        self.client_uuid
    }

    /// The authorization is checked by its signature.
    fn validate(&mut self) -> Result<(), BadField> {
        let count = self.items.as_ref().map_or(0, Vec::len);
        if count > ITEMS_MAX {
            return Err(BadField::new("items", format!("{count} are too many: at most {ITEMS_MAX}")));
        }
        Ok(())
    }
}
