//! Every request has a name: in the header `X-Request-Id` of its answer, in the problem it is
//! answered with, and in the log, so that what a user saw and what an admin reads are one thing.
//! What came of it is counted on the way out.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::ServiceResponse;
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{Error, HttpRequest};

use super::metrics::Metrics;

/// The header that carries it.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: RequestId;
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The name of a request: unlike that of any other request of this or another start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    start: u32,
    number: u64,
}

impl RequestId {
    /// The next one, in a start that is told from others by a random number.
    pub fn next(start: u32) -> Self {
        Self { start, number: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// The one that is being answered here, if one is.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|id| *id).ok()
    }

    /// Answers under this name.
    pub async fn scope<F: Future>(self, answer: F) -> F::Output {
        CURRENT.scope(self, answer).await
    }

    fn put(self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&self.to_string()) {
            headers.insert(HEADER, value);
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:x}", self.start, self.number)
    }
}

/// Names an answer, writes a line about it and counts it.
pub fn finish<B: MessageBody>(
    id: RequestId,
    began: Instant,
    metrics: &Metrics,
    answer: Result<ServiceResponse<B>, Error>,
) -> Result<ServiceResponse<B>, Error> {
    match answer {
        Ok(mut answer) => {
            let status = answer.status();
            metrics.answered(answer.request(), status, began.elapsed());
            tell(id, Some(answer.request()), status, began);
            id.put(answer.response_mut().headers_mut());
            Ok(answer)
        }
        // What stands before the handlers refused: there is no request to look at any more.
        Err(error) => {
            let mut response = CURRENT.sync_scope(id, || error.error_response());
            metrics.refused(response.status(), began.elapsed());
            tell(id, None, response.status(), began);
            id.put(response.headers_mut());
            Err(InternalError::from_response(error, response).into())
        }
    }
}

fn tell(id: RequestId, request: Option<&HttpRequest>, status: StatusCode, began: Instant) {
    let (method, path) = request.map_or(("", ""), |request| (request.method().as_str(), request.path()));
    let (request_id, status, milliseconds) = (tracing::field::display(id), status.as_u16(), began.elapsed().as_millis() as u64);
    // 503 is said by a server that is not to serve, thousands of times a minute.
    if status >= 500 && status != 503 {
        tracing::warn!(request_id, method, path, status, milliseconds, "a request failed");
    } else {
        tracing::debug!(request_id, method, path, status, milliseconds, "a request");
    }
}
