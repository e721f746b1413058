//! The description of the API (OpenAPI 3.1), made from the types that are served.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

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
        super::ops::live,
        super::metrics::show,
        super::admin_api::licenses::list,
        super::admin_api::licenses::import,
        super::admin_api::licenses::show,
        super::admin_api::licenses::file,
        super::admin_api::licenses::activation_request,
        super::admin_api::items::list,
        super::admin_api::items::show,
        super::admin_api::vendors::list,
        super::admin_api::vendors::add,
        super::admin_api::vendors::delete,
        super::admin_api::handshakes::list,
        super::admin_api::handshakes::add,
        super::admin_api::handshakes::show,
        super::admin_api::handshakes::edit,
        super::admin_api::handshakes::delete,
        super::admin_api::handshakes::key,
        super::admin_api::handshakes::order,
        super::admin_api::handshakes::choose_default,
        super::admin_api::devices::list,
        super::admin_api::devices::refusals,
        super::admin_api::devices::latest_refusals,
        super::admin_api::devices::release,
        super::admin_api::devices::reset,
        super::admin_api::carried::authorize,
        super::admin_api::carried::take_reports,
        super::admin_api::statistics::show,
        super::admin_api::trend::days,
        super::admin_api::details::details,
        super::admin_api::statistics::issue_statement,
        super::sandbox::show,
        super::sandbox::move_clock,
        super::sandbox::switch_faults,
    ),
    // The preview is what `POST /licenses` answers when it is asked for one.
    components(schemas(super::admin_api::licenses::ImportPreview)),
    modifiers(&Bearer),
    tags(
        (name = "client", description = "What a device calls: it asks for its license, tells what it did, gives its seat back."),
        (name = "operations", description = "Is the server well?"),
        (name = "licenses", description = "Administration: license files, items, the vendors who sign them."),
        (name = "handshake codes", description = "Administration: what applications present, and their license keys."),
        (name = "devices", description = "Administration: devices and the seats they hold; devices without network."),
        (name = "statistics", description = "Administration: what was used."),
        (name = "sandbox", description = "Only with `tollkeeper sandbox`, for application developers: a clock to move, faults to switch on. 404 on any other server."),
    )
)]
struct Description;

/// How programs show who they are.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description =
            Some("A token from the page 'Security' or `tollkeeper admin token add`; the scope `write` is needed for all that changes something.".to_owned());
        api.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The description, with the table of error codes in its introduction.
pub fn describe() -> utoipa::openapi::OpenApi {
    let mut api = Description::openapi();
    api.merge(super::admin_api::description::describe());
    let mut text = String::from(
        "The license server's API: what devices call, and what administrators' programs call. Times are RFC 3339 in UTC; unknown fields are ignored; a field of the wrong type is error 200, naming it. \
         Every failure is `application/problem+json` with `code` and `sdk_code`.\n\n| code | SDK code | status | meaning |\n| --- | --- | --- | --- |\n",
    );
    for code in ErrorCode::ALL {
        text.push_str(&format!("| {} | {} | {} | {} |\n", code.number(), code.sdk_code(), code.status(), code.title()));
    }
    api.info.description = Some(text);
    api.info.version = env!("CARGO_PKG_VERSION").to_owned();
    api
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The routes of the administration, as `routes.rs` writes them: method and path.
    fn admin_routes() -> BTreeSet<(String, String)> {
        let table = include_str!("routes.rs").split("web::scope(\"/api/v1/admin\")").nth(1).expect("the scope");
        let table = table.split(".default_service").next().expect("its routes");
        let route = |text: &str| {
            let (path, rest) = text.split_once('"')?;
            let (_, rest) = rest.split_once("web::")?;
            let (method, _) = rest.split_once('(')?;
            Some((method.to_owned(), format!("/api/v1/admin{path}")))
        };
        table.split(".route(").skip(1).map(|text| route(text.trim_start().trim_start_matches('"')).expect(text)).collect()
    }

    #[test]
    fn every_route_of_the_administration_is_described_and_needs_a_token() {
        let api = serde_json::to_value(describe()).expect("JSON");
        let mut described = BTreeSet::new();
        for (path, methods) in api["paths"].as_object().expect("paths").iter().filter(|(path, _)| path.starts_with("/api/v1/admin/")) {
            for (method, operation) in methods.as_object().expect("methods") {
                assert_eq!(operation["security"][0]["bearer"], serde_json::json!([]), "{method} {path}");
                described.insert((method.clone(), path.clone()));
            }
        }
        let routes = admin_routes();
        assert!(routes.len() > 20, "{routes:?}");
        assert_eq!(routes, described, "routes.rs on the left, the description on the right");
        assert_eq!(api["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    }
}
