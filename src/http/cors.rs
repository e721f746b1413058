//! Which pages may read the answers (CORS). A browser that runs on one of a handshake code's
//! domains may; where a code has no domains, any page may. Before a request is sent, when the
//! browser asks without telling the code, it is enough that one code allows the page.

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, ResponseError as _};

use super::Context;
use super::problem::Failure;
use crate::licensing::validation::origin_host;
use crate::protocol::ErrorCode;
use crate::store::handshakes::Handshake;

/// Seconds that a browser may remember what it was told.
const REMEMBERED: &str = "600";
/// Headers of an answer that a page may read besides the usual ones.
const EXPOSED: &str = "Retry-After";

const PRIVATE_NETWORK_ASKED: HeaderName = HeaderName::from_static("access-control-request-private-network");
const PRIVATE_NETWORK_ALLOWED: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// `OPTIONS` on what devices call: may a page send such a request?
pub async fn preflight(context: Data<Context>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let Some(origin) = request.headers().get(header::ORIGIN).filter(|origin| is_allowed(&context, origin, None)) else {
        let detail = "no handshake code of this server allows pages of this origin: its administrator can add the domain to a code";
        return Err(Failure::new(ErrorCode::DomainMismatch, detail));
    };
    let mut answer = HttpResponse::NoContent();
    answer
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, format!("{}, {}", Method::GET, Method::POST)))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, REMEMBERED))
        .insert_header((header::VARY, "Origin"));
    if request.headers().contains_key(PRIVATE_NETWORK_ASKED) {
        answer.insert_header((PRIVATE_NETWORK_ALLOWED, "true"));
    }
    Ok(answer.finish())
}

/// Lets the page read an answer, if the code that it is about allows that. `None`: the
/// request got no further than any code would let it.
pub fn answer(context: &Context, request: &HttpRequest, code: Option<&Handshake>, outcome: Result<HttpResponse, Failure>) -> HttpResponse {
    let mut response = outcome.unwrap_or_else(|failure| failure.error_response());
    if let Some(origin) = request.headers().get(header::ORIGIN) {
        let headers = response.headers_mut();
        vary(headers);
        if is_allowed(context, origin, code) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
    }
    response
}

fn vary(headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

fn is_allowed(context: &Context, origin: &HeaderValue, code: Option<&Handshake>) -> bool {
    // A page without an origin of its own (`null`) is nobody's.
    let Some(host) = origin.to_str().ok().and_then(origin_host) else { return false };
    match code {
        Some(code) => code.state.validation.allows_page(&host),
        None => context.writer().catalog().codes().iter().any(|code| code.state.validation.allows_page(&host)),
    }
}
