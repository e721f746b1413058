//! The admin pages: server-rendered, working without a script (pages). They do nothing that the
//! admin API cannot.
//!
//! | file | page |
//! | --- | --- |
//! | [`chrome`] | what every page has around it |
//! | [`form`] | what a browser sends: fields, files, and the token that proves where it comes from |
//! | [`guard`] | who may come in |
//! | [`entrance`] | set-up, login, logout |
//! | [`home`] | is everything well? |
//! | [`devices`] [`offline`] | devices, their seats, why they were refused; those without network |
//! | [`alerts`] | what is over a threshold |
//! | [`servers`] | this server, its partner, its backups |
//! | [`audit`] | who did what when |
//! | [`security`] [`users`] | who may come in, who is in, what HTTPS shows |
//! | [`settings`] | what is set while the server runs |
//! | [`shown`] | ready-made values for templates |

pub mod alerts;
pub mod audit;
pub mod chrome;
pub mod devices;
pub mod entrance;
pub mod form;
pub mod guard;
pub mod home;
pub mod offline;
pub mod security;
pub mod servers;
pub mod settings;
pub mod shown;
pub mod users;

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
        .route("/servers", get().to(servers::show))
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
        .route("/security/certificate", get().to(security::show_certificate))
        .route("/security/ca.pem", get().to(security::authority))
        .route("/security/password", get().to(users::show_password))
        .route("/security/password", post().to(users::change_password))
        .route("/settings", get().to(settings::show))
        .route("/settings", post().to(settings::change))
        .default_service(web::route().to(chrome::nowhere));
    config.service(pages);
}
