//! Every path in one table.

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::{Compress, from_fn};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Route};

use super::problem::Failure;
use super::replication::ShownCertificate;
use super::tls::fingerprint_of;
use super::{admin, admin_api, assets, caller, client_api, cors, metrics, ops, replication, sandbox, sdk, sealed};

/// Marks connections that came in through the admin socket.
#[derive(Debug, Clone, Copy)]
pub struct AdminSocket;

/// Puts the table into an application.
pub fn configure(config: &mut ServiceConfig) {
    config.app_data(web::QueryConfig::default().error_handler(|error, _| Failure::malformed("query", error.to_string()).into()));
    // Devices. Those that are browsers ask first (`OPTIONS`).
    let mut device_route = |path: &str, method: &'static str, route: Route| {
        let wrong_method = web::route().to(move |request| wrong_method(request, method));
        let preflight = web::method(Method::OPTIONS).to(cors::preflight);
        config.service(web::resource(path).wrap(from_fn(sealed::unseal)).route(route).route(preflight).default_service(wrong_method));
    };
    device_route("/api/v1/server", "GET", web::get().to(client_api::server));
    device_route("/api/v1/authorize", "POST", web::post().to(client_api::authorize));
    device_route("/api/v1/reports", "POST", web::post().to(client_api::reports));
    device_route("/api/v1/release", "POST", web::post().to(client_api::release));

    // The other server of the site.
    let partner = web::scope("/api/v1/replication")
        .route("/pair", web::post().to(replication::pair))
        .route("/heartbeat", web::post().to(replication::heartbeat))
        .route("/facts", web::post().to(replication::facts))
        .route("/sync", web::post().to(replication::sync))
        .route("/leave", web::post().to(replication::leave))
        .route("/snapshot", web::post().to(replication::begin_snapshot))
        .route("/snapshot/{id}", web::get().to(replication::snapshot_part))
        .default_service(web::route().to(nowhere));
    config.service(partner);

    // Pages come as they are: somebody who makes a browser ask for one with a secret in it must not
    // guess that by how well it compresses (BREACH).
    let wrong_method = web::route().to(|request| wrong_method(request, "GET"));
    config.service(web::resource("/").route(web::get().to(ops::front_page)).default_service(wrong_method));
    admin::configure(config);

    // All else is for programs of people: it is large, and it compresses well.
    config.service(web::scope("").wrap(Compress::default()).configure(configure_compressed));
}

fn configure_compressed(config: &mut ServiceConfig) {
    let mut route = |path: &str, method: &'static str, route: Route| {
        let wrong_method = web::route().to(move |request| wrong_method(request, method));
        config.service(web::resource(path).route(route).default_service(wrong_method));
    };

    // Developers: 404 on any server but a sandbox.
    route("/sandbox", "GET", web::get().to(sandbox::show));
    route("/sandbox/clock", "POST", web::post().to(sandbox::move_clock));
    route("/sandbox/faults", "POST", web::post().to(sandbox::switch_faults));

    // Operations and reference.
    for base in ["", "/api/v1"] {
        route(&format!("{base}/health"), "GET", web::get().to(ops::health));
        route(&format!("{base}/health/ready"), "GET", web::get().to(ops::health));
        route(&format!("{base}/health/live"), "GET", web::get().to(ops::live));
        route(&format!("{base}/openapi.json"), "GET", web::get().to(ops::openapi_json));
        route(&format!("{base}/docs"), "GET", web::get().to(ops::reference_page));
    }
    route("/static/{path:.*}", "GET", web::get().to(assets::asset));
    for path in ["/sdk", "/sdk/"] {
        route(path, "GET", web::get().to(sdk::languages));
    }
    route("/sdk/{path:.+}", "GET", web::get().to(sdk::file));

    for path in ["/metrics", "/api/v1/metrics"] {
        config.service(web::resource(path).wrap(from_fn(caller::identify)).route(web::get().to(metrics::show)));
    }

    // Administration: who asks is found out before anything is done.
    let api = web::scope("/api/v1/admin")
        .wrap(from_fn(caller::identify))
        .route("/request", web::get().to(admin_api::licenses::activation_request))
        .route("/licenses", web::get().to(admin_api::licenses::list))
        .route("/licenses", web::post().to(admin_api::licenses::import))
        .route("/licenses/{id}", web::get().to(admin_api::licenses::show))
        .route("/licenses/{id}/file", web::get().to(admin_api::licenses::file))
        .route("/items", web::get().to(admin_api::items::list))
        .route("/items/{id}", web::get().to(admin_api::items::show))
        .route("/vendors", web::get().to(admin_api::vendors::list))
        .route("/vendors", web::post().to(admin_api::vendors::add))
        .route("/vendors/{kid}", web::delete().to(admin_api::vendors::delete))
        .route("/handshakes", web::get().to(admin_api::handshakes::list))
        .route("/handshakes", web::post().to(admin_api::handshakes::add))
        .route("/handshakes/{code}", web::get().to(admin_api::handshakes::show))
        .route("/handshakes/{code}", web::patch().to(admin_api::handshakes::edit))
        .route("/handshakes/{code}", web::delete().to(admin_api::handshakes::delete))
        .route("/handshakes/{code}/key", web::get().to(admin_api::handshakes::key))
        .route("/handshakes/{code}/order", web::put().to(admin_api::handshakes::order))
        .route("/handshakes/{code}/default", web::put().to(admin_api::handshakes::choose_default))
        .route("/devices", web::get().to(admin_api::devices::list))
        .route("/devices/authorize", web::post().to(admin_api::carried::authorize))
        .route("/devices/reports", web::post().to(admin_api::carried::take_reports))
        .route("/devices/{uuid}/refusals", web::get().to(admin_api::devices::refusals))
        .route("/refusals", web::get().to(admin_api::devices::latest_refusals))
        .route("/devices/{uuid}/seats/{item}", web::delete().to(admin_api::devices::release))
        .route("/devices/{uuid}/reset", web::post().to(admin_api::devices::reset))
        .route("/devices/{uuid}", web::get().to(admin_api::devices::show))
        .route("/alerts", web::get().to(admin_api::alerts::list))
        .route("/alerts/history", web::get().to(admin_api::alerts::list_history))
        .route("/alerts/test", web::post().to(admin_api::alerts::send_test))
        .route("/alerts/ways", web::get().to(admin_api::alert_ways::show))
        .route("/alerts/ways", web::patch().to(admin_api::alert_ways::change))
        .route("/audit", web::get().to(admin_api::audit::list))
        .route("/audit/export", web::get().to(admin_api::audit::export))
        .route("/audit/check", web::get().to(admin_api::audit::show_check))
        .route("/audit/check", web::post().to(admin_api::audit::begin_check))
        .route("/users", web::get().to(admin_api::users::list))
        .route("/users", web::post().to(admin_api::users::add))
        .route("/users/{name}", web::patch().to(admin_api::users::change))
        .route("/users/{name}", web::delete().to(admin_api::users::delete))
        .route("/users/{name}/reset", web::post().to(admin_api::users::reset))
        .route("/tokens", web::get().to(admin_api::tokens::list))
        .route("/tokens", web::post().to(admin_api::tokens::add))
        .route("/tokens/{name}", web::delete().to(admin_api::tokens::delete))
        .route("/sessions", web::get().to(admin_api::sessions::list))
        .route("/sessions/{id}", web::delete().to(admin_api::sessions::end))
        .route("/certificate", web::get().to(admin_api::certificate::show))
        .route("/certificate", web::put().to(admin_api::certificate::set))
        .route("/certificate", web::delete().to(admin_api::certificate::remove))
        .route("/certificate/ca.pem", web::get().to(admin_api::certificate::authority))
        .route("/doctor", web::get().to(admin_api::doctor::show))
        .route("/standby", web::get().to(admin_api::servers::show))
        .route("/standby/invite", web::post().to(admin_api::standby::invite))
        .route("/standby/join", web::post().to(admin_api::standby::join))
        .route("/standby/sync", web::post().to(admin_api::standby::sync))
        .route("/standby/promote", web::post().to(admin_api::standby::promote))
        .route("/standby/rehearse", web::post().to(admin_api::standby::rehearse))
        .route("/standby/leave", web::post().to(admin_api::standby::leave))
        .route("/backups", web::get().to(admin_api::backups::list))
        .route("/backups", web::post().to(admin_api::backups::make))
        .route("/backups/{name}/file", web::get().to(admin_api::backups::file))
        .route("/backups/{name}/verify", web::post().to(admin_api::backups::verify))
        .route("/backups/{name}/restore", web::post().to(admin_api::backups::restore_one))
        .route("/log-level", web::get().to(admin_api::log_level::show))
        .route("/log-level", web::put().to(admin_api::log_level::change))
        .route("/settings", web::get().to(admin_api::settings::show))
        .route("/settings", web::patch().to(admin_api::settings::change))
        .route("/statistics/statements", web::post().to(admin_api::statistics::issue_statement))
        .route("/statistics/days", web::get().to(admin_api::trend::days))
        .route("/statistics/details", web::get().to(admin_api::details::details))
        .route("/statistics", web::get().to(admin_api::statistics::show))
        .default_service(web::route().to(nowhere));
    config.service(api);

    config.service(utoipa_swagger_ui::SwaggerUi::new("/reference/{_:.*}").config(utoipa_swagger_ui::Config::from("/openapi.json")));
    config.default_service(web::route().to(nowhere));
}

/// The table of the listeners for Prometheus: whoever reaches them may look.
pub fn configure_metrics(config: &mut ServiceConfig) {
    config
        .route("/metrics", web::get().to(metrics::show))
        .route("/health", web::get().to(ops::health))
        .route("/health/ready", web::get().to(ops::health))
        .route("/health/live", web::get().to(ops::live))
        .default_service(web::route().to(nowhere));
}

/// Remembers how a connection came in.
pub fn on_connect(connection: &dyn std::any::Any, data: &mut Extensions) {
    if connection.is::<actix_web::rt::net::UnixStream>() {
        data.insert(AdminSocket);
    }
    if let Some(tls) = connection.downcast_ref::<TlsStream<actix_web::rt::net::TcpStream>>()
        && let Some(certificate) = tls.get_ref().1.peer_certificates().and_then(<[_]>::first)
    {
        data.insert(ShownCertificate(fingerprint_of(certificate)));
    }
}

async fn nowhere() -> Result<HttpResponse, Failure> {
    Err(ops::not_found())
}

async fn wrong_method(request: HttpRequest, allowed: &'static str) -> Result<HttpResponse, Failure> {
    let detail = format!("{} does not take {}, only {allowed}: /docs lists the paths", request.path(), request.method());
    Err(Failure::malformed("method", detail).with_status(StatusCode::METHOD_NOT_ALLOWED).allow(allowed))
}
