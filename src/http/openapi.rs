//! The description of the API (OpenAPI 3.1), made from the types that are served.

use utoipa::OpenApi;

use crate::protocol::ErrorCode;

#[derive(OpenApi)]
#[openapi(
    info(title = "Tollkeeper"),
    paths(
        super::client_api::server,
        super::client_api::authorize,
        super::client_api::reports,
        super::client_api::release,
        super::ops::health,
        super::sandbox::show,
        super::sandbox::move_clock,
        super::sandbox::switch_faults,
    ),
    tags(
        (name = "client", description = "What a device calls: it asks for its license, tells what it did, gives its seat back."),
        (name = "operations", description = "Is the server well?"),
        (name = "sandbox", description = "Only with `tollkeeper sandbox`, for application developers: a clock to move, faults to switch on. 404 on any other server."),
    )
)]
struct Description;

/// The description, with the table of error codes in its introduction.
pub fn describe() -> utoipa::openapi::OpenApi {
    let mut api = Description::openapi();
    api.merge(super::admin_api::description::describe());
    let mut text = String::from(
        "The license server's client API. Times are RFC 3339 in UTC; unknown fields are ignored; a field of the wrong type is error 200, naming it. \
         Every failure is `application/problem+json` with `code` and `sdk_code`.\n\n| code | SDK code | status | meaning |\n| --- | --- | --- | --- |\n",
    );
    for code in ErrorCode::ALL {
        text.push_str(&format!("| {} | {} | {} | {} |\n", code.number(), code.sdk_code(), code.status(), code.title()));
    }
    api.info.description = Some(text);
    api.info.version = env!("CARGO_PKG_VERSION").to_owned();
    api
}
