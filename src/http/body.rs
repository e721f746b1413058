//! Reading a request's JSON: type, encoding, size and time are limited, and what is wrong
//! is told with the field (200).

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpMessage as _, HttpRequest};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::Context;
use super::problem::Failure;
use crate::protocol::object::Object;

/// Reads and parses a JSON body. Unknown fields are the type's business.
pub async fn read_json<T: DeserializeOwned>(context: &Context, request: &HttpRequest, payload: Payload) -> Result<T, Failure> {
    read_json_within(context, request, payload, context.limits.body_bytes).await
}

/// The same with another limit: an admin may bring files that no device sends.
pub async fn read_json_within<T: DeserializeOwned>(context: &Context, request: &HttpRequest, payload: Payload, limit: usize) -> Result<T, Failure> {
    if let Some(Opened(bytes)) = request.extensions_mut().remove::<Opened>() {
        return parse(&bytes);
    }
    check_headers(request, limit)?;
    let bytes = read_bytes_within(context, payload, limit).await?;
    parse(&bytes)
}

/// The JSON of a body that came sealed (`http::sealed`).
pub struct Opened(pub Vec<u8>);

fn check_headers(request: &HttpRequest, limit: usize) -> Result<(), Failure> {
    match header_text(request, header::CONTENT_TYPE) {
        Some(kind) if is_json(kind) => {}
        Some(kind) => {
            return Err(Failure::malformed("Content-Type", format!("'{}' is not taken: send application/json in UTF-8", crate::licensing::id::shorten(kind))));
        }
        None => return Err(Failure::malformed("Content-Type", "is missing: send application/json")),
    }
    check_transfer(request, limit)
}

fn header_text(request: &HttpRequest, name: header::HeaderName) -> Option<&str> {
    request.headers().get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Encoding and length, whatever the body is.
pub fn check_transfer(request: &HttpRequest, limit: usize) -> Result<(), Failure> {
    match header_text(request, header::CONTENT_ENCODING) {
        None | Some("identity") => {}
        Some(encoding) => {
            return Err(Failure::malformed("Content-Encoding", format!("'{}' is not taken: send the body as it is", crate::licensing::id::shorten(encoding))));
        }
    }
    match header_text(request, header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > limit as u64 => Err(too_large(limit)),
        _ => Ok(()),
    }
}

fn is_json(kind: &str) -> bool {
    let mut parts = kind.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case("application/json")
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.eq_ignore_ascii_case("charset") => value.trim_matches('"').eq_ignore_ascii_case("utf-8"),
            _ => true,
        })
}

fn too_large(limit: usize) -> Failure {
    Failure::malformed("body", format!("has more than {limit} bytes: send less at once"))
}

/// Reads the body within its limits of size and time.
pub async fn read_bytes(context: &Context, payload: Payload) -> Result<Bytes, Failure> {
    read_bytes_within(context, payload, context.limits.body_bytes).await
}

/// The same with another limit of size.
pub async fn read_bytes_within(context: &Context, payload: Payload, limit: usize) -> Result<Bytes, Failure> {
    let seconds = context.limits.body_seconds;
    match tokio::time::timeout(Duration::from_secs(seconds), payload.to_bytes_limited(limit)).await {
        Ok(Ok(Ok(bytes))) => Ok(bytes),
        Ok(Ok(Err(error))) => Err(Failure::malformed("body", format!("could not be read to its end: {error}"))),
        Ok(Err(_)) => Err(too_large(limit)),
        Err(_) => Err(Failure::malformed("body", format!("did not arrive within {seconds} s"))),
    }
}

/// Parses JSON; the complaint names the field.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    // The quick way first: the path to a wrong field is looked for only when there is one.
    serde_json::from_slice::<Object<T>>(bytes).map(|object| object.0).map_err(|_| complain::<T>(bytes))
}

fn complain<T: DeserializeOwned>(bytes: &[u8]) -> Failure {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let Err(error) = serde_path_to_error::deserialize::<_, Object<T>>(&mut reader) else {
        return Failure::malformed("body", "is followed by something that is not JSON");
    };
    let path = error.path().to_string();
    let inner = error.into_inner();
    let text = inner.to_string();
    // serde_json calls a number in place of a word an error of syntax too. Where the JSON
    // itself breaks, the path leads to wherever the reader was just then.
    if !inner.is_data() && serde_json::from_slice::<IgnoredAny>(bytes).is_err() {
        return Failure::malformed("body", format!("is not JSON: {text}"));
    }
    let field = match (path.as_str(), named_in(&text)) {
        ("." | "", Some(name)) => name.to_owned(),
        (".", None) => "body".to_owned(),
        (path, Some(name)) if text.starts_with("missing field") => format!("{path}.{name}"),
        (path, _) => path.to_owned(),
    };
    Failure::malformed(field, text)
}

/// The name that serde put between backticks, in "missing field `product`".
fn named_in(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("field `")?;
    rest.split('`').next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::authorize::AuthorizeRequest;
    use crate::protocol::reports::ReportsRequest;

    fn field_of<T: DeserializeOwned>(text: &str) -> Option<String> {
        parse::<T>(text.as_bytes()).err().and_then(|failure| failure.problem().field.clone())
    }

    #[test]
    fn the_complaint_names_the_field() {
        let good = r#"{"client_uuid":"6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88","product":"dbr","nonce":"n"}"#;
        assert!(parse::<AuthorizeRequest>(good.as_bytes()).is_ok());
        for (text, field) in [
            (good.replace("\"dbr\"", "7"), "product"),
            (good.replace("6f1c2b9e", "xyz"), "client_uuid"),
            (good.replace("\"product\":\"dbr\",", ""), "product"),
            (good.replace("\"nonce\":\"n\"", "\"nonce\":\"n\",\"deployment_type\":\"toaster\""), "deployment_type"),
            (good.replace("\"nonce\":\"n\"", "\"nonce\":\"n\",\"validation\":{\"domain\":1}"), "validation.domain"),
            (good.replace("\"nonce\":\"n\"", "\"nonce\":\"n\",\"nonce\":\"n\""), "nonce"),
            ("{\"client_uuid\":".to_owned(), "body"),
            ("[]".to_owned(), "body"),
            (good.replace("\"nonce\":\"n\"", "\"nonce\":\"n\",\"validation\":[\"a.b\"]"), "validation"),
            (format!("{good} x"), "body"),
        ] {
            assert_eq!(field_of::<AuthorizeRequest>(&text).as_deref(), Some(field), "{text}");
        }
        let reports = r#"{"client_uuid":"6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88","authorization":"a","reports":[{"report_id":"6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88","slot":"yesterday"}]}"#;
        assert_eq!(field_of::<ReportsRequest>(reports).as_deref(), Some("reports[0].slot"));
        let listed = r#"{"client_uuid":"6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88","authorization":"a","reports":[["6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88"]]}"#;
        assert_eq!(field_of::<ReportsRequest>(listed).as_deref(), Some("reports[0]"));
    }

    #[test]
    fn json_means_application_json_in_utf_8() {
        assert!(is_json("application/json") && is_json("Application/JSON; charset=UTF-8"));
        assert!(!is_json("text/json") && !is_json("application/json; charset=latin1") && !is_json(""));
    }
}
