//! The description of the API (OpenAPI 3.1), made from the types that are served: by a test,
//! which holds `static/openapi.json` to it. The program carries that file alone; what makes it
//! would be a megabyte of code.

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
fn describe() -> utoipa::openapi::OpenApi {
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

    /// A line for each path and each schema: so a change of one is a change of one line.
    fn write(api: &serde_json::Value) -> String {
        fn lines(value: &serde_json::Value, depth: usize, text: &mut String) {
            match value.as_object() {
                Some(object) if depth > 0 && !object.is_empty() => {
                    for (index, (name, value)) in object.iter().enumerate() {
                        text.push_str(if index == 0 { "{\n" } else { ",\n" });
                        text.push_str(&format!("{}:", serde_json::json!(name)));
                        lines(value, depth - 1, text);
                    }
                    text.push_str("\n}");
                }
                _ => text.push_str(&value.to_string()),
            }
        }
        let mut text = String::new();
        lines(api, 3, &mut text);
        text + "\n"
    }

    #[test]
    fn the_file_that_is_served_is_what_the_types_say() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("static/openapi.json");
        let made = write(&serde_json::to_value(describe()).expect("JSON"));
        if std::env::var_os("TOLLKEEPER_BLESS").is_some_and(|value| value != "0") {
            std::fs::write(&path, &made).expect("written");
        }
        let kept = std::fs::read_to_string(&path).expect("static/openapi.json: write it with TOLLKEEPER_BLESS=1");
        assert!(kept == made, "static/openapi.json is not what the types say: TOLLKEEPER_BLESS=1 writes it anew");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&kept).expect("JSON"), serde_json::to_value(describe()).expect("JSON"));
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
