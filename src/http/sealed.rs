//! Sealed bodies on the server's side (protocol §3): what came sealed is opened before a device's
//! request is read, and its answer leaves sealed, whatever the answer is.

use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::{Data, Payload};
use actix_web::{Error, HttpMessage as _};

use super::Context;
use super::body::{Opened, check_transfer, read_bytes_within};
use super::cors;
use super::problem::Failure;
use crate::documents::sealed::{AnswerSealer, CONTENT_TYPE, OVERHEAD};

/// Around what devices POST.
pub async fn unseal(context: Data<Context>, mut request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Result<ServiceResponse<BoxBody>, Error> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case(CONTENT_TYPE) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let sealer = match open(&context, &mut request).await {
        Ok(sealer) => sealer,
        Err(failure) => {
            let answer = cors::answer(&context, request.request(), None, Err(failure));
            return Ok(request.into_response(answer));
        }
    };
    let (request, answer) = next.call(request).await?.into_parts();
    let (mut answer, body) = answer.into_parts();
    let body = to_bytes(body).await.unwrap_or_default();
    if body.is_empty() {
        return Ok(ServiceResponse::new(request, answer.set_body(BoxBody::new(body))));
    }
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    let sealed = sealer.seal(answer.status().as_u16(), &body);
    Ok(ServiceResponse::new(request, answer.set_body(BoxBody::new(sealed))))
}

async fn open(context: &Context, request: &mut ServiceRequest) -> Result<AnswerSealer, Failure> {
    let limit = context.limits.body_bytes + OVERHEAD;
    check_transfer(request.request(), limit)?;
    let payload = request.extract::<Payload>().await.map_err(|error| Failure::malformed("body", error.to_string()))?;
    let bytes = read_bytes_within(context, payload, limit).await?;
    let opened = context.site.identity().sealing.open(request.path(), &bytes);
    let (plain, sealer) = opened.ok_or_else(|| {
        Failure::malformed(
            "body",
            "cannot be opened: seal it for this path to the sealing_jwk of one of the server certificates that GET /api/v1/server gives now",
        )
    })?;
    request.extensions_mut().insert(Opened(plain));
    Ok(sealer)
}
