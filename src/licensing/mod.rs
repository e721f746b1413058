//! What a license means. Pure: no clock, no database, no network; time and state are
//! arguments, and the answers are decisions that others carry out (`design/domain.md`).
//!
//! | file | rule |
//! | --- | --- |
//! | [`id`] | names of organizations, licenses, items, devices, handshake codes |
//! | [`span`] | durations as the license file writes them (`7d`) |
//! | [`slot`] | the 480 three-minute slots of a day (domain §5) |
//! | [`charge_way`] | how an item is charged (domain §4) |
//! | [`item`] | a license item and what it permits (domain §1, §3) |
//! | [`grace`] | what is allowed beyond quota and end (domain §4) |
//! | [`seat`] | how long a seat is held (domain §4) |
//! | [`order`] | which item is used first (domain §3) |
//! | [`validation`] | is this the genuine application (domain §1, codes 103 and 114) |
//! | [`domain`] | what one registered domain covers (domain §4, charge way `domain`) |
//! | [`decision`] | may this device work, and until when (domain §3) |
//! | [`charging`] | which item pays for a report (domain §4) |
//! | [`forecast`] | when a quota runs out at the present rate (domain §6) |
//! | [`thresholds`] | what is worth an alert, and what it says (domain §7) |

pub mod charge_way;
pub mod charging;
pub mod decision;
pub mod domain;
pub mod forecast;
pub mod grace;
pub mod id;
pub mod item;
pub mod order;
pub mod seat;
pub mod slot;
pub mod span;
pub mod thresholds;
pub mod validation;

pub use charge_way::{ChargeWay, DeploymentType, Period, Unit};
pub use id::{ClientUuid, CodeId, HandshakeCode, ItemId, LicenseId, OrganizationId, ServerUuid};
pub use item::LicenseItem;
pub use slot::Slot;
pub use span::Span;
