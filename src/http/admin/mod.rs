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

pub mod chart;
pub mod chrome;
mod day_details;
pub mod entrance;
pub mod form;
pub mod guard;
pub mod home;
mod item_use;
pub mod statistics;

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
        .route("/statistics", get().to(statistics::show))
        .default_service(web::route().to(chrome::nowhere));
    config.service(pages);
}
