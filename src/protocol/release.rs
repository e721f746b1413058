//! `POST /release`: a device gives its seat back.

use serde::{Deserialize, Serialize};

use super::{BadField, FromDevice};
use crate::licensing::ClientUuid;

/// What a device sends; the answer is 204 without a body.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ReleaseRequest {
    /// The device's UUID.
    #[cfg_attr(feature = "server", schema(value_type = uuid::Uuid))]
    pub client_uuid: ClientUuid,
    /// The authorization whose seats or instances it gives back.
    pub authorization: String,
}

impl FromDevice for ReleaseRequest {
    fn client_uuid(&self) -> ClientUuid {
        self.client_uuid
    }

    /// The authorization says all, and is checked by its signature.
    fn validate(&mut self) -> Result<(), BadField> {
        Ok(())
    }
}
