//! How an item is charged, and what kind of machine a device is (domain §3, §4).

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$vdoc])* $variant),+
        }

        impl $name {
            /// As files and the API write it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(
    /// What is counted, and when it is used up (domain §4).
    ChargeWay {
        /// Successful unique barcode scans.
        Scan = "scan",
        /// Document pages processed.
        Page = "page",
        /// Devices that hold a seat.
        Device = "device",
        /// Devices that reported use in one slot.
        ConcurrentDevice = "concurrent_device",
        /// Instances in use in one slot.
        ConcurrentInstance = "concurrent_instance",
        /// Servers that hold a seat.
        Server = "server",
        /// Unlimited use inside one registered domain.
        Domain = "domain",
    }
);

words!(
    /// How long the seat of a `device` item is held without being refreshed.
    Period {
        /// 365 days.
        Year = "year",
        /// 90 days.
        Quarter = "quarter",
        /// 30 days.
        Month = "month",
        /// 24 hours.
        Day = "day",
    }
);

words!(
    /// What kind of machine the application runs on; "one device" follows from it.
    DeploymentType {
        /// A browser on one origin.
        Browser = "browser",
        /// A phone or tablet.
        Mobile = "mobile",
        /// A server.
        Server = "server",
        /// A desktop computer.
        Desktop = "desktop",
        /// An embedded board.
        Embedded = "embedded",
    }
);

words!(
    /// What a usage report counts.
    Unit {
        /// Barcode scans.
        Scan = "scan",
        /// Document pages.
        Page = "page",
    }
);

impl ChargeWay {
    /// Whether a device takes one of a limited number of seats.
    pub const fn takes_seats(self) -> bool {
        matches!(self, Self::Device | Self::Server)
    }

    /// Whether a quota limits it; inside a domain use is unlimited.
    pub const fn has_quota(self) -> bool {
        !matches!(self, Self::Domain)
    }

    /// The unit of a report that uses up the item's quota, if reports do.
    pub const fn quota_unit(self) -> Option<Unit> {
        match self {
            Self::Scan => Some(Unit::Scan),
            Self::Page => Some(Unit::Page),
            Self::Device | Self::ConcurrentDevice | Self::ConcurrentInstance | Self::Server | Self::Domain => None,
        }
    }

    /// Whether use at the same time is counted, slot by slot. Authorizations of these are
    /// counted as well: their sum is limited once the tolerance is spent.
    pub const fn is_concurrent(self) -> bool {
        matches!(self, Self::ConcurrentDevice | Self::ConcurrentInstance)
    }
}

impl Period {
    /// Its length in seconds.
    pub const fn seconds(self) -> i64 {
        86_400
            * match self {
                Self::Year => 365,
                Self::Quarter => 90,
                Self::Month => 30,
                Self::Day => 1,
            }
    }
}
