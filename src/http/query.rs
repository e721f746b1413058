//! The question behind the `?` of a path, read so that what is wrong is told with its field.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;

use super::problem::Failure;

/// The parts of a query.
#[derive(Debug)]
pub struct Query<T>(T);

impl<T> Query<T> {
    /// What it says.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let parts = serde_urlencoded::Deserializer::new(form_urlencoded::parse(request.query_string().as_bytes()));
        let wrong = |error: serde_path_to_error::Error<serde_urlencoded::de::Error>| {
            let field = error.path().to_string();
            Failure::malformed(if field == "." { "query".to_owned() } else { field }, format!("cannot be read: {}", error.inner()))
        };
        ready(serde_path_to_error::deserialize(parts).map(Self).map_err(wrong))
    }
}
