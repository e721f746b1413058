//! Why an application has no license, or something it asked for was not done: told once for
//! the developer and once for whoever sits before the application.

use std::fmt;

use crate::protocol::ErrorCode;

/// A failure with its code: those of domain §9, and the client's own from 300 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// A server said so.
    Server(ErrorCode),
    /// A code that a newer server sent.
    Unknown(u16),
    /// 300: the library itself is broken.
    Internal,
    /// 301: what the application set cannot be.
    Settings,
    /// 302: no server answered, and there is no authorization to go on with.
    NoServer,
    /// 303: what answers is not the server that the license key names.
    NotTrusted,
    /// 304: the answer is not genuine.
    NotGenuine,
    /// 305: the authorization ended while no server could be reached.
    EndedOffline,
    /// 306: the data folder cannot be used.
    Cache,
    /// 307: the product key is damaged or not genuine.
    ProductKey,
    /// 308: the server cannot take sealed bodies.
    NotSealable,
}

impl Code {
    /// Every code of the client's own.
    pub const OWN: &[Self] = &[
        Self::Internal,
        Self::Settings,
        Self::NoServer,
        Self::NotTrusted,
        Self::NotGenuine,
        Self::EndedOffline,
        Self::Cache,
        Self::ProductKey,
        Self::NotSealable,
    ];

    /// The code with this number.
    pub fn from_number(number: u16) -> Self {
        let own = Self::OWN.iter().copied().find(|code| code.number() == number);
        own.or_else(|| ErrorCode::from_number(number).map(Self::Server)).unwrap_or(Self::Unknown(number))
    }

    /// Its number.
    pub fn number(self) -> u16 {
        match self {
            Self::Server(code) => code.number(),
            Self::Unknown(number) => number,
            Self::Internal => 300,
            Self::Settings => 301,
            Self::NoServer => 302,
            Self::NotTrusted => 303,
            Self::NotGenuine => 304,
            Self::EndedOffline => 305,
            Self::Cache => 306,
            Self::ProductKey => 307,
            Self::NotSealable => 308,
        }
    }

    /// The number that applications show: −(20000 + code).
    pub fn sdk_code(self) -> i32 {
        -(20_000 + i32::from(self.number()))
    }

    /// The kind of failure in words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Server(code) => code.title(),
            Self::Unknown(_) => "The license server refused",
            Self::Internal => "The license library failed",
            Self::Settings => "License settings cannot be used",
            Self::NoServer => "No license server could be reached",
            Self::NotTrusted => "The license server is not trusted",
            Self::NotGenuine => "The license server's answer is not genuine",
            Self::EndedOffline => "The authorization has ended",
            Self::Cache => "The data folder cannot be used",
            Self::ProductKey => "The product key is not genuine",
            Self::NotSealable => "The license server cannot take sealed requests",
        }
    }

    /// What to tell the end user, who can do little more than try again or ask somebody.
    pub fn user_message(self) -> &'static str {
        use ErrorCode as E;
        match self {
            Self::Server(E::NotServing | E::TooManyRequests | E::ServerNotValid) => {
                "The license server is busy or being set up. Please try again in a few minutes."
            }
            Self::Server(E::LimitReached) => "All licenses are in use or used up. Please try again later, or ask your administrator for more.",
            Self::Server(E::Expired) | Self::EndedOffline => {
                "The license has ended. Please connect to the network and try again, or ask your administrator to renew it."
            }
            Self::Server(E::NotYetEffective) => "The license has not begun yet. Please ask your administrator when it does.",
            Self::Server(E::Clone) => "This device was copied or restored from a backup. Please ask your administrator to reset it.",
            Self::Server(E::ModuleNotCovered | E::EditionNotCovered | E::VersionNotCovered | E::DependencyMissing) => {
                "This feature is not part of the license. Please ask your administrator."
            }
            Self::NoServer => "The license server cannot be reached. Please check the network connection and try again.",
            Self::NotTrusted | Self::NotGenuine => "The license server could not be verified. Please tell your administrator.",
            Self::Cache => "This application cannot store its license on this device. Please tell your administrator.",
            Self::Server(_) | Self::Unknown(_) | Self::Internal | Self::Settings | Self::ProductKey | Self::NotSealable => {
                "This application is not licensed correctly. Please tell your administrator the code."
            }
        }
    }

    /// Whether a server that says so may say otherwise soon, so that another one is asked and
    /// the authorization in force goes on.
    pub fn is_temporary(self) -> bool {
        match self {
            Self::Server(code) => matches!(code, ErrorCode::NotServing | ErrorCode::TooManyRequests | ErrorCode::ServerNotValid),
            Self::NoServer | Self::NotTrusted | Self::NotGenuine | Self::NotSealable => true,
            Self::Unknown(_) | Self::Internal | Self::Settings | Self::EndedOffline | Self::Cache | Self::ProductKey => false,
        }
    }
}

impl From<ErrorCode> for Code {
    fn from(code: ErrorCode) -> Self {
        Self::Server(code)
    }
}

/// Why one server did not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFailure {
    /// Its URL.
    pub server: String,
    /// Why.
    pub code: Code,
    /// In words.
    pub message: String,
}

/// A failure as the application sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LicenseError {
    /// Why.
    pub code: Code,
    /// For the developer: what happened, which value, what to do.
    pub message: String,
    /// Why each server that was asked did not serve.
    pub failures: Vec<ServerFailure>,
}

impl LicenseError {
    /// A failure without a server in it.
    pub fn new(code: impl Into<Code>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), failures: Vec::new() }
    }

    /// The number that applications show: −(20000 + code).
    pub fn sdk_code(&self) -> i32 {
        self.code.sdk_code()
    }

    /// What to tell the end user.
    pub fn user_message(&self) -> &'static str {
        self.code.user_message()
    }
}

impl fmt::Display for LicenseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.sdk_code())
    }
}

impl std::error::Error for LicenseError {}
