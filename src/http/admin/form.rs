//! What a browser sends: the fields of a form, files among them. Every form of somebody who is
//! logged in must bring along the session's token, so that no other site can fill one in.

use actix_multipart::Multipart;
use actix_web::HttpRequest;
use actix_web::http::{StatusCode, header};
use actix_web::web::Payload;
use futures_util::TryStreamExt as _;

use crate::http::Context;
use crate::http::body::{check_transfer, read_bytes_within};
use crate::http::caller::{Caller, is_same};
use crate::http::problem::Failure;
use crate::protocol::ErrorCode;

/// Largest form, in bytes: a license file fits many times.
const FORM_BYTES: usize = 4 * 1_024 * 1_024;

/// The fields of a form, in the order in which they were sent.
#[derive(Debug, Default, Clone)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads a form. Text files count as fields.
    ///
    /// # Errors
    /// It is no form, too large, or not text.
    pub async fn read(context: &Context, request: &HttpRequest, payload: Payload) -> Result<Self, Failure> {
        check_transfer(request, FORM_BYTES)?;
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if kind.starts_with("multipart/form-data") {
            let limit = std::time::Duration::from_secs(context.limits.body_seconds);
            let reading = Self::read_parts(Multipart::new(request.headers(), payload));
            return tokio::time::timeout(limit, reading).await.map_err(|_| Failure::malformed("body", "came too slowly: send it again"))?;
        }
        let bytes = read_bytes_within(context, payload, FORM_BYTES).await?;
        serde_urlencoded::from_bytes(&bytes).map(Self).map_err(|error| Failure::malformed("body", format!("is no form: {error}")))
    }

    async fn read_parts(mut parts: Multipart) -> Result<Self, Failure> {
        let broken = |error: actix_multipart::MultipartError| Failure::malformed("body", format!("is no form: {error}"));
        let (mut fields, mut left) = (Vec::new(), FORM_BYTES);
        while let Some(mut part) = parts.try_next().await.map_err(broken)? {
            let name = part.name().unwrap_or_default().to_owned();
            let mut value = Vec::new();
            while let Some(chunk) = part.try_next().await.map_err(broken)? {
                left = left
                    .checked_sub(chunk.len())
                    .ok_or_else(|| Failure::malformed("body", format!("has more than {FORM_BYTES} bytes: choose a smaller file")))?;
                value.extend_from_slice(&chunk);
            }
            let value = String::from_utf8(value).map_err(|_| Failure::malformed(name.clone(), "is not text: choose the file that the vendor sent"))?;
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    /// Reads the form of somebody who is logged in and may change things.
    ///
    /// # Errors
    /// As [`Fields::read`]; the session's token is missing; the user may only look.
    pub async fn of_caller(context: &Context, caller: &Caller, request: &HttpRequest, payload: Payload) -> Result<Self, Failure> {
        let fields = Self::of_anybody(context, caller, request, payload).await?;
        if !caller.may_change() {
            let detail = format!("{} may look but not change anything: ask an administrator", caller.name);
            return Err(Failure::new(ErrorCode::NotAuthorized, detail).with_status(StatusCode::FORBIDDEN));
        }
        Ok(fields)
    }

    /// Reads the form of somebody who is logged in, for what viewers may do too: log out, change
    /// their own password.
    ///
    /// # Errors
    /// As [`Fields::read`]; the session's token is missing.
    pub async fn of_anybody(context: &Context, caller: &Caller, request: &HttpRequest, payload: Payload) -> Result<Self, Failure> {
        let fields = Self::read(context, request, payload).await?;
        let wanted = caller.session.as_ref().map(|session| session.csrf.as_str()).unwrap_or_default();
        if wanted.is_empty() || !is_same(fields.text("csrf"), wanted) {
            let detail = "this form is from an earlier session: go back, reload the page and try again";
            return Err(Failure::new(ErrorCode::NotAuthorized, detail).with_status(StatusCode::FORBIDDEN));
        }
        Ok(fields)
    }

    /// The value of a field; empty when it was not sent.
    pub fn text(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    /// The value of a field without blanks around it; empty when it was not sent.
    pub fn trimmed(&self, name: &str) -> &str {
        self.text(name).trim()
    }

    /// The value of a field.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of a field that may be sent several times.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The lines of a field, without blanks around them and without empty ones.
    pub fn lines(&self, name: &str) -> Vec<String> {
        self.text(name).lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Whether a box was ticked, or a button pressed.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}
