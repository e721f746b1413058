//! Getting the authorization: main server first, then the standby, then what was kept.

use aws_lc_rs::digest::{SHA256, digest};
use std::sync::Arc;
use uuid::Uuid;

use super::site_time::Moment;
use super::state::{Grant, Part, State};
use super::trust::{self, Distrust, Expected};
use super::{AUTHORIZE, Action, Ask, Core, Source, Standing, Work, fraction, outbox};
use crate::client::error::{Code, LicenseError, ServerFailure};
use crate::client::settings::Config;
use crate::clock::parse_rfc3339;
use crate::documents::{Claims, jws, random_uuid};
use crate::licensing::ClientUuid;
use crate::protocol::authorize::{AuthorizeAnswer, AuthorizeRequest, Validation};
use crate::protocol::lost::Seen;

impl Core {
    /// The request as it would be sent now, with a nonce that stays until it is answered.
    pub fn request(&self, server: &str, state: &mut State) -> AuthorizeRequest {
        let nonce = state.grants.pending.entry(self.asked_for.clone()).or_insert_with(|| {
            state.touched.insert(Part::Grants);
            jws::encode(&[random_uuid().into_bytes(), random_uuid().into_bytes()].concat())
        });
        let nonce = nonce.clone();
        let naming = self.naming();
        let known = state.device.codes.get(server).and_then(|codes| codes.get(&naming));
        let known = known.or_else(|| state.device.codes.values().find_map(|codes| codes.get(&naming)));
        let ticket = known.and_then(|code| state.device.tickets.get(code)).cloned();
        AuthorizeRequest { client_uuid: self.client(state), ticket, seen: state.seen(), nonce, ..bare_request(&self.config) }
    }

    pub(super) fn naming(&self) -> String {
        format!("{}|{}", self.config.organization_id.as_deref().unwrap_or_default(), self.config.handshake_code.as_deref().unwrap_or_default())
    }

    /// Another process of the machine may have got an authorization for the same request just
    /// now: then nobody need be asked.
    pub(super) fn ask_or_adopt(&mut self, state: &mut State, site: i64, actions: &mut Vec<Action>) {
        if !self.adopt(state, site, actions) {
            self.ask_next(0, Vec::new(), 0, state, site, actions);
        }
    }

    /// From here on an authorization that another process gets is one to adopt. Whether the one
    /// of before would do until then.
    pub fn note_known(&mut self, state: &State, now: Moment) -> bool {
        self.known = state.grants.granted.get(&self.asked_for).map(|grant| grant.authorization.clone());
        let site = self.time.tell(now);
        self.find_kept(state, site).is_ok()
    }

    fn adopt(&mut self, state: &mut State, site: i64, actions: &mut Vec<Action>) -> bool {
        let is_news = |grant: &&Grant| {
            self.known.as_ref() != Some(&grant.authorization) && !grant.server.is_empty() && grant.servers == self.config.servers && site < grant.refresh_after
        };
        let Some(grant) = state.grants.granted.get(&self.asked_for).filter(is_news).cloned() else { return false };
        let Ok((claims, _)) = self.find_kept(state, site) else { return false };
        self.known = Some(grant.authorization);
        self.backoff.reset();
        self.plan_renewal(grant.refresh_after, claims.exp, site);
        self.stand(Standing::Licensed { claims: Arc::new(claims), source: Source::Server(grant.server), failures: Vec::new() }, actions);
        self.begin_reports(state, site, actions);
        true
    }

    /// No server can be asked, because another process does and does not come to an end: the
    /// authorization of before may do.
    pub(super) fn do_without(&mut self, state: &mut State, site: i64, actions: &mut Vec<Action>) {
        if self.standing.claims().is_some() {
            self.renew_at = self.renew_at.min(site + 1);
        } else {
            self.fail(Vec::new(), 0, state, site, actions);
        }
    }

    /// Devices that began together do not all renew in the same second.
    fn plan_renewal(&mut self, refresh_after: i64, ends_at: i64, site: i64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a tenth of an authorization's time")]
        let spread = ((ends_at - refresh_after) as f64 * 0.1 * fraction()) as i64;
        self.renew_at = (refresh_after + spread).max(site + 1);
    }

    /// Asks the servers from `index` on; when there is none left, the round has failed.
    pub(super) fn ask_next(&mut self, index: usize, failures: Vec<ServerFailure>, least_pause: i64, state: &mut State, site: i64, actions: &mut Vec<Action>) {
        let Some(server) = self.config.servers.get(index).cloned() else {
            return self.fail(failures, least_pause, state, site, actions);
        };
        let request = self.request(&server, state);
        let body = serde_json::to_vec(&request).unwrap_or_default();
        self.work = Work::Authorizing { failures, server: index, nonce: request.nonce, least_pause };
        actions.push(Action::Ask(Ask { server, path: AUTHORIZE, body }));
    }

    /// No server granted: the authorization of before may do.
    pub(super) fn fail(&mut self, failures: Vec<ServerFailure>, least_pause: i64, state: &mut State, site: i64, actions: &mut Vec<Action>) {
        self.work = Work::Nothing;
        let verdict = failures.iter().rev().find(|failure| !failure.code.is_temporary()).cloned();
        let kept = match &verdict {
            Some(_) => {
                self.withdraw(state);
                Err(None)
            }
            None => self.find_kept(state, site).map_err(Some),
        };
        let standing = match (kept, verdict) {
            (Ok((claims, source)), _) => Standing::Licensed { claims: Arc::new(claims), source, failures: failures.clone() },
            (Err(_), Some(verdict)) => Standing::Unlicensed(LicenseError {
                code: verdict.code,
                message: format!("{}: {}", verdict.server, verdict.message),
                failures: failures.clone(),
            }),
            (Err(why), None) => Standing::Unlicensed(self.explain(why.flatten(), failures.clone())),
        };
        let pause = self.backoff.next_pause(standing.claims().is_some(), fraction(), least_pause);
        // Where there is no server, nothing is ever due.
        self.renew_at = if self.config.servers.is_empty() { i64::MAX } else { site + pause };
        self.stand(standing, actions);
        // A server that says no still takes what was done.
        if failures.iter().any(|failure| !failure.code.is_temporary()) {
            self.begin_reports(state, site, actions);
        } else if self.report_at == i64::MAX {
            self.report_at = site + self.report_interval(state);
        }
    }

    pub(super) fn explain(&self, why: Option<Distrust>, failures: Vec<ServerFailure>) -> LicenseError {
        let told = failures.iter().map(|failure| format!("{}: {}", failure.server, failure.message)).collect::<Vec<_>>().join("; ");
        if self.config.servers.is_empty() && failures.is_empty() {
            let message = match why {
                Some(Distrust::Expired) => "the authorization that was carried here has ended: carry a new request to the license server",
                Some(_) => "the authorization that was carried here cannot be used: carry a new request to the license server",
                None => "no server is set, and no authorization was carried here: write a request file and carry it to the license server",
            };
            return LicenseError { code: if why == Some(Distrust::Expired) { Code::EndedOffline } else { Code::NoServer }, message: message.into(), failures };
        }
        if failures.is_empty() {
            let message = "another process of this machine has been asking the servers for long, and got no authorization yet: try again";
            return LicenseError { code: Code::NoServer, message: message.into(), failures };
        }
        let same = failures.first().map(|first| first.code).filter(|code| failures.iter().all(|failure| failure.code == *code));
        let (code, what) = match (why, same) {
            (Some(Distrust::Expired), _) => (Code::EndedOffline, "the authorization of before has ended, and no server renewed it"),
            (_, Some(code)) => (code, "no server gave an authorization"),
            _ => (Code::NoServer, "no server gave an authorization"),
        };
        LicenseError { code, message: format!("{what}: {told}"), failures }
    }

    /// The authorization of before, if it is genuine and in force; else what is wrong with it.
    pub(super) fn find_kept(&self, state: &State, site: i64) -> Result<(Claims, Source), Option<Distrust>> {
        let grant = state.grants.granted.get(&self.asked_for).filter(|grant| !grant.withdrawn).ok_or(None)?;
        let claims = trust::check(&grant.authorization, &self.config.vendors, &self.expected(state, None)).map_err(Some)?;
        trust::check_time(&claims, site).map_err(Some)?;
        let source = if grant.server.is_empty() { Source::Carried } else { Source::Kept };
        Ok((claims, source))
    }

    pub(super) fn expected(&self, state: &State, nonce: Option<String>) -> Expected {
        Expected {
            client_uuid: self.client(state),
            nonce,
            organization_id: self.config.organization_id.clone(),
            handshake_code: self.config.handshake_code.clone(),
        }
    }

    /// A server took the license back.
    pub(super) fn withdraw(&mut self, state: &mut State) {
        if let Some(grant) = state.grants.granted.get_mut(&self.asked_for).filter(|grant| !grant.withdrawn) {
            grant.withdrawn = true;
            state.touch(Part::Grants);
        }
    }

    /// Takes a genuine authorization into use.
    pub(super) fn accept(&mut self, answer: &AuthorizeAnswer, claims: Claims, server: &str, state: &mut State, now: Moment, actions: &mut Vec<Action>) {
        if server.is_empty() {
            self.time.raise(claims.iat, now);
        } else {
            self.time.learn(claims.iat, now);
        }
        let site = self.time.tell(now);
        let refresh_after = parse_rfc3339(&answer.refresh_after).unwrap_or(claims.exp).clamp(claims.iat, claims.exp);
        let grant = Grant {
            authorization: answer.authorization.clone(),
            refresh_after,
            ends_at: claims.exp,
            report_interval: answer.report_interval_seconds.clamp(1, 86_400),
            server: server.to_owned(),
            servers: self.config.servers.clone(),
            withdrawn: false,
        };
        self.known = Some(grant.authorization.clone());
        state.grants.granted.insert(self.asked_for.clone(), grant);
        state.grants.pending.remove(&self.asked_for);
        state.prune(&self.asked_for, claims.iat);
        state.device.tickets.insert(claims.hid.to_string(), answer.ticket.clone());
        let naming = self.naming();
        state.device.codes.entry(server.to_owned()).or_default().insert(naming, claims.hid.to_string());
        state.touch(Part::Grants);
        state.touch(Part::Device);
        outbox::take_news(state, &answer.origin, &answer.lost, &answer.safe);
        outbox::retry_failed(state);
        self.backoff.reset();
        self.plan_renewal(refresh_after, claims.exp, site);
        if self.config.servers.is_empty() {
            self.renew_at = i64::MAX;
        }
        let failures = match std::mem::replace(&mut self.work, Work::Nothing) {
            Work::Authorizing { failures, .. } => failures,
            _ => Vec::new(),
        };
        let source = if server.is_empty() { Source::Carried } else { Source::Server(server.to_owned()) };
        self.stand(Standing::Licensed { claims: Arc::new(claims), source, failures }, actions);
    }

    pub(super) fn stand(&mut self, standing: Standing, actions: &mut Vec<Action>) {
        self.standing = standing;
        actions.push(Action::LicenseChanged);
    }

    /// Every server, the one to be asked first at the end.
    pub(super) fn servers_to_ask(&self, first: &str) -> Vec<String> {
        let mut servers: Vec<String> = self.config.servers.iter().rev().filter(|server| *server != first).cloned().collect();
        servers.extend(self.config.servers.iter().find(|server| *server == first).cloned());
        servers
    }
}

/// The request of an application, but for what differs each time.
pub(super) fn bare_request(config: &Config) -> AuthorizeRequest {
    let settings = &config.settings;
    let validation = Validation { domain: None, application_id: settings.application_id.clone(), process_name: settings.process_name.clone() };
    AuthorizeRequest {
        client_uuid: ClientUuid(Uuid::nil()),
        organization_id: config.organization_id.clone(),
        handshake_code: config.handshake_code.clone(),
        session_password: config.session_password.clone(),
        product: settings.product.clone(),
        product_version: settings.product_version.clone(),
        edition: settings.edition.clone(),
        deployment_type: settings.deployment_type,
        modules: (!settings.limited_modules.is_empty()).then(|| settings.limited_modules.clone()),
        charge_way: settings.charge_way,
        instances: Some(settings.instances.max(1)),
        max_buffer_days: settings.max_buffer_days,
        validation: Some(validation),
        ticket: None,
        seen: Seen::new(),
        nonce: String::new(),
    }
}

/// What is asked for, in few characters: a kept authorization fits only the same request.
pub(super) fn fingerprint(config: &Config) -> String {
    let request = serde_json::to_vec(&bare_request(config)).unwrap_or_default();
    jws::encode(&digest(&SHA256, &request).as_ref()[..16])
}
