//! HTTPS: everything that comes in from outside and everything that is answered.
//!
//! | file | what |
//! | --- | --- |
//! | [`routes`] | every path in one table |
//! | [`problem`] | the only way from an error to a response |
//! | [`body`] | reading a request's JSON within its limits |
//! | [`query`] | the question behind the `?` of a path |
//! | [`request_id`] | the name of a request, in its answer and in the log |
//! | [`rate_limit`] | too many requests (130) |
//! | [`client_api`] | what devices call |
//! | [`sealed`] | bodies that only device and server can read |
//! | [`cors`] | which pages may read what devices call |
//! | [`admin`] | the admin pages |
//! | [`assets`] | style, scripts, icons |
//! | [`admin_api`] | what commands, pages and programs with a token call |
//! | [`caller`] | who asks for administration: console, token, user |
//! | [`session`] | who is logged in |
//! | [`chain_check`] | walks the journal beside everything else, and tells how far it is |
//! | [`sandbox`] | what `tollkeeper sandbox` adds: a clock to move, faults to switch on |
//! | [`sdk`] | the client libraries, for developers to load or to take away |
//! | [`replication`] | what the two servers of a site ask each other |
//! | [`restart`] | begins anew where that is asked for |
//! | [`ops`] | health, the API's reference, the front page |
//! | [`metrics`] | what Prometheus scrapes |
//! | `openapi` | the API's description: what makes `static/openapi.json` |
//! | [`tls`] | the site's certificate authority and the server's certificate |
//! | [`idle`] | closes connections on which nothing happens |
//! | [`server`] | listeners, limits, orderly stop |

pub mod admin;
pub mod admin_api;
pub mod assets;
pub mod body;
pub mod caller;
pub mod chain_check;
pub mod client_api;
pub mod cors;
pub mod idle;
pub mod metrics;
#[cfg(test)]
mod openapi;
pub mod ops;
pub mod problem;
pub mod query;
pub mod rate_limit;
pub mod replication;
pub mod request_id;
pub mod restart;
pub mod routes;
pub mod sandbox;
pub mod sdk;
pub mod sealed;
pub mod server;
pub mod session;
pub mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::Clock;
use crate::commands::Site;
use crate::commands::backup::Backups;
use crate::commands::exceptions::Exceptions;
use crate::protocol::ErrorCode;
use crate::protocol::lost::Lost;
use crate::replication::join::Joining;
use crate::replication::keeper::Keeper;
use crate::settings::{Limits, Settings};
use crate::store::{Reader, Store, Writer, gaps};

/// What every handler can reach.
pub struct Context {
    /// The site.
    pub site: Arc<Site>,
    /// The database.
    pub store: Arc<Store>,
    /// Copies of it.
    pub backups: Arc<Backups>,
    /// What is wrong right now.
    pub exceptions: Arc<Exceptions>,
    /// How a request has the server begin anew.
    pub restart: restart::Restart,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Limits of requests.
    pub limits: Limits,
    /// Counts requests against their limits.
    pub rate: rate_limit::RateLimit,
    /// Held while a license is imported: certificates in memory must follow the imports in
    /// their order.
    pub importing: tokio::sync::Mutex<()>,
    /// Which of two servers serves, and what they tell each other.
    pub keeper: Arc<Keeper>,
    /// Joining another server, if this one does.
    pub joining: Arc<Joining>,
    /// Who is asked for a certificate.
    pub partners: Arc<tls::PartnerVerifier>,
    /// The copy that a new standby takes.
    pub outgoing: replication::Outgoing,
    /// The site's certificate authority.
    pub authority: tls::SiteAuthority,
    /// The site's certificate authority, PEM.
    pub ca_pem: String,
    /// Its fingerprint, as license keys carry it.
    pub ca_fingerprint: String,
    /// Where it answers; nothing where a command works without a server.
    pub listening: Vec<String>,
    /// What the administrator decided before it started.
    pub settings: Settings,
    /// URLs of this server, for license keys.
    pub server_urls: Vec<String>,
    /// Who is logged in.
    pub sessions: session::Sessions,
    /// How the check of the journal goes.
    pub chain_check: chain_check::ChainCheck,
    /// The certificates that browsers and devices see.
    pub certificates: Arc<tls::Certificates>,
    /// The data directory.
    pub data: std::path::PathBuf,
    /// Where the built packages of the client libraries are.
    pub sdk_packages: std::path::PathBuf,
    /// What is counted.
    pub metrics: metrics::Metrics,
    /// When it started, seconds since 1970.
    pub started_at: i64,
    /// What makes it a sandbox, if it is one.
    pub sandbox: Option<sandbox::Sandbox>,
}

impl Context {
    /// The way to write.
    pub fn writer(&self) -> &Writer {
        self.store.writer()
    }

    /// Runs something that reads, off the workers' event loops.
    pub async fn read<T, F>(&self, work: F) -> Result<T, problem::Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> Result<T, crate::store::Error> + Send + 'static,
    {
        let store = Arc::clone(&self.store);
        let result = actix_web::web::block(move || work(&store.reader()?)).await;
        Ok(result.map_err(|_| crate::store::Error::Stopped)??)
    }

    /// The time as answers write it.
    pub fn time(&self) -> String {
        crate::clock::rfc3339(self.clock.now_seconds())
    }

    /// The facts that servers of this site lost, as answers tell devices of them.
    pub fn lost(&self) -> Lost {
        let (catalog, now) = (self.writer().catalog(), self.clock.now_seconds());
        let mut lost = Lost::default();
        for gap in catalog.gaps().iter().filter(|gap| gap.held + 1 < gap.resumed && now - gap.at < gaps::TOLD_SECONDS) {
            lost.add(gap.origin.to_string(), gap.held + 1, gap.resumed - 1);
        }
        lost
    }

    /// The last facts that no single loss can take any more. With one server, what is on its disk is
    /// as safe as it gets.
    pub fn safe(&self, sequence: u64) -> BTreeMap<String, u64> {
        match self.keeper.safe() {
            Some(safe) => (*safe).clone(),
            None => BTreeMap::from([(self.site.uuid().to_string(), sequence)]),
        }
    }

    /// Refuses a device where the other server serves.
    pub fn check_duty(&self) -> Result<(), problem::Failure> {
        match self.site.find_refusal() {
            None => Ok(()),
            Some(detail) => Err(problem::Failure::new(ErrorCode::NotServing, detail).retry_after(5)),
        }
    }

    /// Where this site answers, for license keys: as the admin set it, else this server, then its partner.
    pub fn urls(&self) -> Vec<String> {
        let catalog = self.writer().catalog();
        let Some(set) = catalog.server_urls() else { return self.own_urls() };
        set.to_vec()
    }

    fn own_urls(&self) -> Vec<String> {
        let mut urls = self.server_urls.clone();
        if let Some(pairing) = self.keeper.pairing() {
            urls.extend(pairing.partner.urls.iter().filter(|url| !self.server_urls.contains(url)).cloned());
            // The primary comes first, whoever is asked.
            if self.site.find_refusal().is_some() {
                urls.rotate_left(self.server_urls.len());
            }
        }
        urls
    }
}
