//! The part of the API's description that looks after the site itself.

use utoipa::OpenApi;

use super::{alert_ways, alerts, audit, backups, certificate, devices, doctor, log_level, servers, sessions, settings, standby, tokens, users};

#[derive(OpenApi)]
#[openapi(
    paths(
        devices::show,
        alerts::list,
        alerts::list_history,
        alerts::send_test,
        alert_ways::show,
        alert_ways::change,
        audit::list,
        audit::export,
        audit::show_check,
        audit::begin_check,
        users::list,
        users::add,
        users::change,
        users::delete,
        users::reset,
        tokens::list,
        tokens::add,
        tokens::delete,
        sessions::list,
        sessions::end,
        certificate::show,
        certificate::set,
        certificate::remove,
        certificate::authority,
        doctor::show,
        servers::show,
        standby::invite,
        standby::join,
        standby::sync,
        standby::promote,
        standby::rehearse,
        standby::leave,
        backups::list,
        backups::make,
        backups::file,
        backups::verify,
        backups::restore_one,
        log_level::show,
        log_level::change,
        settings::show,
        settings::change,
    ),
    tags(
        (name = "alerts", description = "Administration: what is over a threshold or wrong, what was told, and how that leaves."),
        (name = "audit", description = "Administration: who did what when, and whether the journal is in order."),
        (name = "users", description = "Administration: users, tokens, sessions."),
        (name = "servers", description = "Administration: this server, its partner, its backups, its certificate."),
        (name = "settings", description = "Administration: what is set while the server runs."),
    )
)]
struct Description;

/// That part.
pub fn describe() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
