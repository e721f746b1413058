//! The error codes of domain §9. The number is `code` in every failure; SDKs show it as
//! −(20000 + code).

use std::fmt;

use crate::licensing::decision::Reason;
use crate::licensing::slot::SlotError;
use crate::licensing::validation::Mismatch;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $status:literal, $title:literal;)+) => {
        /// Why a request failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $name = $number),+
        }

        impl ErrorCode {
            /// Every code, in order of its number.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The HTTP status that carries it (protocol §3).
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),+ }
            }

            /// A short text that does not depend on the case at hand.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }

            /// The code with this number.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

codes! {
    /// Standby while the primary works; set-up, maintenance or overload.
    NotServing = 100, 503, "This server is not serving now";
    /// The handshake code does not exist.
    UnknownHandshakeCode = 101, 404, "Handshake code does not exist";
    /// The session password is wrong.
    WrongSessionPassword = 102, 401, "Session password is wrong";
    /// The domain is none of the code's.
    DomainMismatch = 103, 403, "Domain does not match the handshake code";
    /// No item of this code fits the request.
    NoItem = 104, 403, "No license item of this handshake code fits";
    /// Reserved: handshake not usable by this protocol version.
    ProtocolVersion = 105, 403, "Handshake code not usable by this protocol version";
    /// Product does not match.
    ProductMismatch = 106, 403, "Product does not match";
    /// Version not covered.
    VersionNotCovered = 107, 403, "Version not covered";
    /// Deployment type not covered.
    DeploymentNotCovered = 108, 403, "Deployment type not covered";
    /// Edition not covered.
    EditionNotCovered = 109, 403, "Edition not covered";
    /// Item expired, grace over; or trial already used.
    Expired = 111, 403, "License item has expired";
    /// Item not yet effective.
    NotYetEffective = 112, 403, "License item is not yet effective";
    /// Item invalid or revoked.
    Revoked = 113, 403, "License item is invalid or revoked";
    /// Application id or process name does not match.
    ApplicationMismatch = 114, 403, "Application does not match the handshake code";
    /// The charge way asked for is not the item's.
    ChargeWayMismatch = 115, 403, "Charge way does not match the license item";
    /// Usage limit reached, grace included.
    LimitReached = 120, 403, "License has exceeded its limit";
    /// Organization unknown, or without a default handshake code.
    UnknownOrganization = 121, 404, "Organization is unknown or has no default handshake code";
    /// The handshake code belongs to another organization.
    ForeignHandshakeCode = 122, 403, "Handshake code belongs to another organization";
    /// Neither handshake code nor organization given, and no trial for this device.
    NothingNamed = 123, 404, "Neither handshake code nor organization given";
    /// A needed item is missing from the code.
    DependencyMissing = 124, 403, "A needed license item is missing";
    /// Too many requests.
    TooManyRequests = 130, 429, "Too many requests";
    /// A clone of this device was seen.
    Clone = 151, 403, "Device clone detected";
    /// Malformed request.
    Malformed = 200, 400, "Malformed request";
    /// Report older than 30 days.
    ReportTooOld = 201, 409, "Usage report is too old";
    /// Report of a slot that has not begun.
    ReportFromFuture = 202, 409, "Usage report is from the future";
    /// Device not authorized to report.
    NotAuthorized = 203, 403, "Device is not authorized to report";
    /// Module not covered.
    ModuleNotCovered = 204, 403, "Module not covered";
    /// The server's license is not valid here.
    ServerNotValid = 210, 503, "The server's license is not valid here";
}

impl ErrorCode {
    /// The number of domain §9.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The number that SDKs show.
    pub const fn sdk_code(self) -> i32 {
        -(20_000 + self as i32)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number(), self.title())
    }
}

impl From<Reason> for ErrorCode {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::NoItem => Self::NoItem,
            Reason::Product => Self::ProductMismatch,
            Reason::Version => Self::VersionNotCovered,
            Reason::DeploymentType => Self::DeploymentNotCovered,
            Reason::Edition => Self::EditionNotCovered,
            Reason::Module => Self::ModuleNotCovered,
            Reason::Domain => Self::DomainMismatch,
            Reason::ChargeWay => Self::ChargeWayMismatch,
            Reason::Revoked => Self::Revoked,
            Reason::NotYetEffective => Self::NotYetEffective,
            Reason::Expired => Self::Expired,
            Reason::Dependency => Self::DependencyMissing,
            Reason::LimitReached => Self::LimitReached,
        }
    }
}

impl From<Mismatch> for ErrorCode {
    fn from(mismatch: Mismatch) -> Self {
        match mismatch {
            Mismatch::Domain => Self::DomainMismatch,
            Mismatch::Application => Self::ApplicationMismatch,
        }
    }
}

impl From<SlotError> for ErrorCode {
    fn from(error: SlotError) -> Self {
        match error {
            SlotError::TooOld => Self::ReportTooOld,
            SlotError::Future => Self::ReportFromFuture,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_statuses_and_sdk_codes_are_those_of_the_design() {
        for code in ErrorCode::ALL {
            let expected = match code.number() {
                200 => 400,
                102 => 401,
                103 | 104 | 105 | 106..=109 | 111..=115 | 120 | 122 | 124 | 151 | 203 | 204 => 403,
                101 | 121 | 123 => 404,
                201 | 202 => 409,
                130 => 429,
                100 | 210 => 503,
                other => panic!("{other} is not in domain §9"),
            };
            assert_eq!(code.status(), expected, "{code}");
            assert_eq!(code.sdk_code(), -20_000 - i32::from(code.number()));
            assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
        }
    }
}
