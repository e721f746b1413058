//! Every path in one table.

use actix_web::dev::Extensions;
use actix_web::guard::GuardContext;
use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, Route};

use super::problem::Failure;
use super::{admin_api, client_api, openapi, ops};

/// Marks connections that came in through the admin socket.
#[derive(Debug, Clone, Copy)]
pub struct AdminSocket;

/// Puts the table into an application.
pub fn configure(config: &mut ServiceConfig) {
    let mut route = |path: &str, routes: Vec<Route>| {
        let resource = routes.into_iter().fold(web::resource(path), |resource, route| resource.route(route));
        config.service(resource.default_service(web::route().to(wrong_method)));
    };

    // Devices.
    route("/api/v1/server", vec![web::get().to(client_api::server)]);
    route("/api/v1/authorize", vec![web::post().to(client_api::authorize)]);
    route("/api/v1/reports", vec![web::post().to(client_api::reports)]);
    route("/api/v1/release", vec![web::post().to(client_api::release)]);

    // Operations and reference.
    for base in ["", "/api/v1"] {
        route(&format!("{base}/health"), vec![web::get().to(ops::health)]);
        route(&format!("{base}/openapi.json"), vec![web::get().to(ops::openapi_json)]);
        route(&format!("{base}/docs"), vec![web::get().to(ops::reference_page)]);
    }
    route("/", vec![web::get().to(ops::front_page)]);
    route("/static/{path:.*}", vec![web::get().to(ops::asset)]);

    // Administration: over the socket only, until there are users and tokens.
    let admin = web::scope("/api/v1/admin")
        .guard(actix_web::guard::fn_guard(is_admin_socket))
        .route("/request", web::get().to(admin_api::licenses::activation_request))
        .route("/licenses", web::get().to(admin_api::licenses::list))
        .route("/licenses", web::post().to(admin_api::licenses::import))
        .route("/handshakes", web::get().to(admin_api::handshakes::list))
        .route("/handshakes", web::post().to(admin_api::handshakes::add))
        .route("/handshakes/{code}", web::get().to(admin_api::handshakes::show))
        .route("/handshakes/{code}", web::patch().to(admin_api::handshakes::edit))
        .route("/handshakes/{code}", web::delete().to(admin_api::handshakes::delete))
        .route("/handshakes/{code}/order", web::put().to(admin_api::handshakes::order))
        .route("/handshakes/{code}/default", web::put().to(admin_api::handshakes::choose_default))
        .route("/devices", web::get().to(admin_api::devices::list))
        .route("/devices/{uuid}/seats/{item}", web::delete().to(admin_api::devices::release))
        .route("/devices/{uuid}/reset", web::post().to(admin_api::devices::reset))
        .route("/statistics", web::get().to(admin_api::statistics::show))
        .default_service(web::route().to(nowhere));
    config.service(admin);

    config.service(utoipa_swagger_ui::SwaggerUi::new("/reference/{_:.*}").url("/reference.json", openapi::describe()));
    config.default_service(web::route().to(nowhere));
}

/// Remembers how a connection came in.
pub fn on_connect(connection: &dyn std::any::Any, data: &mut Extensions) {
    if connection.is::<actix_web::rt::net::UnixStream>() {
        data.insert(AdminSocket);
    }
}

/// Guards see the request's data only, so the mark is carried over from the connection.
pub fn carry_mark(request: &actix_web::dev::ServiceRequest) {
    if let Some(mark) = request.conn_data::<AdminSocket>().copied() {
        request.extensions_mut().insert(mark);
    }
}

fn is_admin_socket(context: &GuardContext<'_>) -> bool {
    context.req_data().get::<AdminSocket>().is_some()
}

async fn nowhere() -> Result<HttpResponse, Failure> {
    Err(ops::not_found())
}

async fn wrong_method(request: HttpRequest) -> Result<HttpResponse, Failure> {
    Err(Failure::malformed("method", format!("{} does not take {}: /docs lists the paths", request.path(), request.method())).with_status(StatusCode::METHOD_NOT_ALLOWED))
}
