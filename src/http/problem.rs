//! The only way from an error to a response. The caller is told what it can mend; what is
//! broken here goes to the log (two messages per error).

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, ContentType};
use actix_web::{HttpResponse, ResponseError};

use super::request_id::RequestId;
use crate::commands::Refusal;
use crate::commands::authorize::Refused;
use crate::protocol::{BadField, ErrorCode, Problem};
use crate::store;

/// Seconds after which a caller should try again when the server is busy or broken.
const RETRY_AFTER_SECONDS: u64 = 5;

/// A request that was not done, ready to be answered.
#[derive(Debug)]
pub struct Failure {
    problem: Box<Problem>,
    retry_after_seconds: Option<u64>,
    allow: Option<&'static str>,
}

impl Failure {
    /// A failure with a code of domain §9.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }

    /// A malformed request (200), naming the field.
    pub fn malformed(field: impl Into<String>, detail: impl Into<String>) -> Self {
        BadField::new(field, detail).into()
    }

    /// A failure that the table of codes has no status for: an unknown path, say.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.problem.status = status.as_u16();
        self
    }

    /// What it says in words.
    pub fn detail(&self) -> &str {
        &self.problem.detail
    }

    /// When to try again.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds.max(1));
        self
    }

    /// Which methods the path takes.
    pub fn allow(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }

    /// What the caller sees.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let retry_after_seconds = (problem.status == 503).then_some(RETRY_AFTER_SECONDS);
        Self { problem: Box::new(problem), retry_after_seconds, allow: None }
    }
}

impl From<BadField> for Failure {
    fn from(bad: BadField) -> Self {
        Problem::from(bad).into()
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::new(refused.code, refused.detail)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::NotFound(_) => StatusCode::NOT_FOUND,
            Refusal::Conflict(_) => StatusCode::CONFLICT,
            Refusal::Invalid(..) => StatusCode::BAD_REQUEST,
        };
        let field = if let Refusal::Invalid(field, _) = &refusal { Some((*field).to_owned()) } else { None };
        let problem = Problem { field, ..Problem::new(ErrorCode::Malformed, refusal.detail()) };
        Self::from(problem).with_status(status)
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        let told = match &error {
            store::Error::QueueFull | store::Error::Stopped | store::Error::DiskFull | store::Error::ReadOnly => error.to_string(),
            store::Error::Io(_) => {
                "the server's disk fails or has become read-only: its administrator has to look at the disk, and to start the server anew".to_owned()
            }
            _ => "the server cannot reach its database; its log says why".to_owned(),
        };
        if !matches!(error, store::Error::QueueFull | store::Error::Stopped) {
            let request_id = RequestId::current().map(tracing::field::display);
            tracing::error!(request_id, %error, "a request failed");
        }
        Self::new(ErrorCode::NotServing, told)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem.code, self.problem.detail)
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(seconds) = self.retry_after_seconds {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Some(methods) = self.allow {
            response.insert_header((header::ALLOW, methods));
        }
        let problem = Problem { request_id: RequestId::current().map(|id| id.to_string()), ..(*self.problem).clone() };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        response
            .insert_header(ContentType("application/problem+json".parse().expect("a media type")))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(body)
    }
}
