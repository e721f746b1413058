//! The admin pages: server-rendered, working without a script (pages). They do nothing that the
//! admin API cannot.
//!
//! | file | page |
//! | --- | --- |
//! | [`chart`] | charts as SVG |
//! | [`chrome`] | what every page has around it |
//! | [`form`] | what a browser sends: fields, files, and the token that proves where it comes from |
//! | [`guard`] | who may come in |
//! | [`entrance`] | set-up, login, logout |
//! | [`statistics`] [`day_details`] | what was used |
//! | [`item_use`] | items with their use, as several pages show them |
//! | [`home`] | is everything well? |
//! | [`listing`] | tables: sorted, searched, paged |
//! | [`licenses`] | license items, an item, a license file |
//! | [`license_import`] | import with a look before it; the activation request |
//! | [`vendors`] | whose licenses can be imported |
//! | [`handshakes`] | handshake codes, and a new one |
//! | [`handshake`] | one handshake code: key, snippets, everything that can be edited |
//! | [`snippets`] | what a developer pastes into an application |
//! | [`api`] | what programs can call |
//! | [`devices`] [`offline`] | devices, their seats, why they were refused; those without network |
//! | [`alerts`] [`alert_ways`] | what is over a threshold, what was told; how that leaves |
//! | [`servers`] [`backups`] | this server, its partner, its backups |
//! | [`audit`] | who did what when |
//! | [`security`] [`users`] | who may come in, who is in |
//! | [`certificate`] | what HTTPS shows |
//! | [`settings`] | what is set while the server runs |
//! | [`shown`] | ready-made values for templates |

pub mod alert_ways;
pub mod alerts;
pub mod api;
pub mod audit;
pub mod backups;
pub mod certificate;
pub mod chart;
pub mod chrome;
mod day_details;
pub mod devices;
pub mod entrance;
pub mod form;
pub mod guard;
pub mod handshake;
pub mod handshakes;
pub mod home;
mod item_use;
pub mod license_import;
pub mod licenses;
pub mod listing;
pub mod offline;
pub mod security;
pub mod servers;
pub mod settings;
pub mod shown;
pub mod snippets;
pub mod statistics;
pub mod users;
pub mod vendors;

use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig, get, post};

/// Puts the pages into an application.
pub fn configure(config: &mut ServiceConfig) {
    config.route("/admin/setup", get().to(entrance::show_setup)).route("/admin/setup", post().to(entrance::set_up));
    config.route("/admin/login", get().to(entrance::show_login)).route("/admin/login", post().to(entrance::log_in));
    let pages = web::scope("/admin")
        .wrap(from_fn(guard::let_in))
        .route("/logout", post().to(entrance::log_out))
        .route("", get().to(home::show))
        .route("/", get().to(home::show))
        .route("/licenses", get().to(licenses::show))
        .route("/licenses/import", get().to(license_import::show))
        .route("/licenses/import", post().to(license_import::post))
        .route("/licenses/request", get().to(license_import::show_request))
        .route("/licenses/request/file", get().to(license_import::download_request))
        .route("/licenses/vendors", get().to(vendors::show))
        .route("/licenses/vendors", post().to(vendors::add))
        .route("/licenses/vendors/{kid}/delete", post().to(vendors::delete))
        .route("/licenses/items/{id}", get().to(licenses::show_item))
        .route("/licenses/{id}", get().to(licenses::show_license))
        .route("/licenses/{id}/file", get().to(licenses::download))
        .route("/handshakes", get().to(handshakes::show))
        .route("/handshakes/new", get().to(handshakes::show_new))
        .route("/handshakes/new", post().to(handshakes::add))
        .route("/handshakes/{code}", get().to(handshake::show))
        .route("/handshakes/{code}", post().to(handshake::edit))
        .route("/handshakes/{code}/default", post().to(handshakes::choose_default))
        .route("/handshakes/{code}/password", post().to(handshake::change_password))
        .route("/handshakes/{code}/order", post().to(handshake::change_order))
        .route("/handshakes/{code}/aliases", post().to(handshake::remove_alias))
        .route("/handshakes/{code}/delete", post().to(handshake::delete))
        .route("/api", get().to(api::show))
        .route("/statistics", get().to(statistics::show))
        .route("/devices", get().to(devices::list))
        .route("/devices/refusals", get().to(devices::latest))
        .route("/devices/offline", get().to(offline::show))
        .route("/devices/offline/authorize", post().to(offline::authorize))
        .route("/devices/offline/reports", post().to(offline::take_reports))
        .route("/devices/offline/save", post().to(offline::save))
        .route("/devices/{uuid}", get().to(devices::show))
        .route("/devices/{uuid}/release", post().to(devices::release))
        .route("/devices/{uuid}/reset", post().to(devices::reset))
        .route("/alerts", get().to(alerts::show))
        .route("/alerts", post().to(alerts::set))
        .route("/alerts/history", get().to(alerts::show_history))
        .route("/alerts/ways", get().to(alert_ways::show))
        .route("/alerts/ways", post().to(alert_ways::set))
        .route("/alerts/test", post().to(alert_ways::test))
        .route("/servers", get().to(servers::show))
        .route("/servers/invite", post().to(servers::invite))
        .route("/servers/join", post().to(servers::join))
        .route("/servers/sync", post().to(servers::sync))
        .route("/servers/promote", post().to(servers::promote))
        .route("/servers/rehearse", post().to(servers::rehearse))
        .route("/servers/leave", post().to(servers::leave))
        .route("/servers/backups", get().to(backups::show))
        .route("/servers/backups", post().to(backups::make))
        .route("/servers/backups/{name}/file", get().to(crate::http::admin_api::backups::file))
        .route("/servers/backups/{name}/verify", post().to(backups::verify))
        .route("/servers/backups/{name}/restore", post().to(backups::restore))
        .route("/audit", get().to(audit::show))
        .route("/audit/export", get().to(audit::export))
        .route("/audit/check", post().to(audit::check))
        .route("/security", get().to(users::list))
        .route("/security/users", post().to(users::add))
        .route("/security/users/{name}", get().to(users::show))
        .route("/security/users/{name}", post().to(users::change))
        .route("/security/users/{name}/delete", post().to(users::delete))
        .route("/security/sessions", get().to(security::list_sessions))
        .route("/security/sessions/{id}/end", post().to(security::end_session))
        .route("/security/tokens", get().to(security::list_tokens))
        .route("/security/tokens", post().to(security::add_token))
        .route("/security/tokens/{name}/delete", post().to(security::delete_token))
        .route("/security/certificate", get().to(certificate::show))
        .route("/security/certificate", post().to(certificate::set))
        .route("/security/certificate/remove", post().to(certificate::remove))
        .route("/security/ca.pem", get().to(certificate::authority))
        .route("/security/password", get().to(users::show_password))
        .route("/security/password", post().to(users::change_password))
        .route("/settings", get().to(settings::show))
        .route("/settings", post().to(settings::change))
        .default_service(web::route().to(chrome::nowhere));
    config.service(pages);
}
