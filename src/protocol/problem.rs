//! The body of every failure: `application/problem+json` (RFC 9457).

use serde::{Deserialize, Serialize};

use super::ErrorCode;

/// A failure as the caller sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A URI reference that names the kind of failure: `/docs#code-120`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of failure in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This failure in words: what was asked, what stood against it, what to do.
    pub detail: String,
    /// The error code of domain §9.
    pub code: u16,
    /// The number that SDKs show: −(20000 + code).
    pub sdk_code: i32,
    /// For code 200: the field that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The request, as the server's log names it and the header `X-Request-Id` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Problem {
    /// A failure with this code.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/docs#code-{}", code.number()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code: code.number(),
            sdk_code: code.sdk_code(),
            field: None,
            request_id: None,
        }
    }
}

/// A field of a request that is missing or wrong (code 200).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadField {
    /// Its path, such as `reports[3].slot`.
    pub field: String,
    /// What is wrong and what is expected.
    pub detail: String,
}

impl BadField {
    /// A complaint about a field.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into() }
    }
}

impl From<BadField> for Problem {
    fn from(bad: BadField) -> Self {
        Self { field: Some(bad.field.clone()), ..Self::new(ErrorCode::Malformed, format!("{}: {}", bad.field, bad.detail)) }
    }
}
