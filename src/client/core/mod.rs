//! The device's decisions, without files, network, threads or a clock: an event and the time
//! go in, actions come out, and the [`State`] that processes share is changed on the way.
//!
//! | file | what |
//! | --- | --- |
//! | [`state`] | what is kept on disk |
//! | [`site_time`] | the time by which a license is judged |
//! | [`trust`] | whether an authorization is genuine |
//! | [`counting`] | from a count to the report of its slot |
//! | [`outbox`] | reports on their way |
//! | [`backoff`] | pauses between tries that fail |
//!
//! Whoever carries out the actions answers every [`Action::Ask`] with one [`Event::Answered`]
//! or [`Event::Unanswered`], writes the touched parts of the state before it asks, and lets no
//! other process of the machine ask meanwhile.

pub mod backoff;
pub mod counting;
pub mod outbox;
pub mod site_time;
pub mod state;
pub mod trust;

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use uuid::Uuid;

use self::backoff::Backoff;
use self::counting::{Counts, Under};
use self::outbox::Submitted;
use self::site_time::{Moment, SiteTime};
use self::state::{Grant, Part, Progress, State};
use self::trust::{Distrust, Expected};
use super::error::{Code, LicenseError, ServerFailure};
use super::settings::Config;
use crate::documents::{Claims, jws, random_uuid};
use crate::licensing::item::same_word;
use crate::licensing::{ChargeWay, ClientUuid, Unit};
use crate::protocol::authorize::{AuthorizeAnswer, AuthorizeRequest, Validation};
use crate::protocol::release::ReleaseRequest;
use crate::protocol::reports::{ReportsAnswer, ReportsRequest};
use crate::protocol::{ErrorCode, Problem, REPORT_INTERVAL_SECONDS};

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The application initializes.
    Start,
    /// Time passed.
    Tick,
    /// A server answered the last [`Action::Ask`].
    Answered {
        /// The HTTP status.
        status: u16,
        /// The body, opened if it was sealed.
        body: Vec<u8>,
        /// Seconds that the server asks to wait.
        retry_after: Option<i64>,
    },
    /// No usable answer came to the last [`Action::Ask`].
    Unanswered {
        /// Why.
        code: Code,
        /// In words.
        message: String,
    },
    /// The application used its license.
    Count {
        /// What it did since the last time.
        counts: Counts,
        /// Instances that this process holds.
        held: u32,
        /// Processes of this machine that live.
        alive: Vec<Uuid>,
    },
    /// The application gives its license back.
    Release,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// POST this to that server.
    Ask(Ask),
    /// The license is another than before: see [`Core::standing`].
    LicenseChanged,
    /// Reports were taken.
    Reported(Submitted),
}

/// A request to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The server's URL.
    pub server: String,
    /// Such as `/api/v1/authorize`.
    pub path: &'static str,
    /// JSON.
    pub body: Vec<u8>,
}

/// Where the license comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// This server gave it in this session.
    Server(String),
    /// It was kept from before; no server serves now.
    Kept,
    /// It was carried here by hand.
    Carried,
}

/// What the application may do now.
#[derive(Debug, Clone)]
pub enum Standing {
    /// Work, until the authorization ends.
    Licensed {
        /// What is permitted.
        claims: Arc<Claims>,
        /// Where it comes from.
        source: Source,
        /// Why servers did not serve before that one.
        failures: Vec<ServerFailure>,
    },
    /// Nothing.
    Unlicensed(LicenseError),
}

impl Standing {
    /// The authorization, if there is one.
    pub fn claims(&self) -> Option<&Arc<Claims>> {
        match self {
            Self::Licensed { claims, .. } => Some(claims),
            Self::Unlicensed(_) => None,
        }
    }
}

/// What is under way.
#[derive(Debug)]
enum Work {
    Nothing,
    /// An authorization: servers that were asked in vain, and the one that is asked now.
    Authorizing {
        failures: Vec<ServerFailure>,
        server: usize,
        nonce: String,
        least_pause: i64,
    },
    /// Reports: what is sent, and the servers still to be asked.
    Reporting {
        ids: Vec<Uuid>,
        batch: Vec<u8>,
        servers: Vec<String>,
    },
    Releasing,
}

const AUTHORIZE: &str = "/api/v1/authorize";
const REPORTS: &str = "/api/v1/reports";
const RELEASE: &str = "/api/v1/release";

/// The device's side of one application.
#[derive(Debug)]
pub struct Core {
    config: Arc<Config>,
    session: Uuid,
    time: SiteTime,
    asked_for: String,
    standing: Standing,
    work: Work,
    backoff: Backoff,
    renew_at: i64,
    report_at: i64,
    others_hold: u32,
}

impl Core {
    /// Of an application with these settings, in the process `session`. The device gets its
    /// UUID now: `bound` where it follows from the machine.
    pub fn new(config: Arc<Config>, session: Uuid, bound: Option<ClientUuid>, state: &mut State, now: Moment) -> Self {
        if bound.is_some() && state.device.client_uuid != bound {
            // Another machine's folder, or a machine that is known by another name now: nothing of
            // what was granted before belongs to this device.
            state.device.client_uuid = bound;
            state.device.tickets.clear();
            state.grants = state::Grants::default();
            state.touch(Part::Grants);
            state.touch(Part::Device);
        }
        if state.device.client_uuid.is_none() {
            state.device.client_uuid = Some(ClientUuid(random_uuid()));
            state.touch(Part::Device);
        }
        let asked_for = fingerprint(&config);
        let not_yet = LicenseError::new(Code::NoServer, "no server was asked yet");
        Self {
            time: SiteTime::new(state.device.time, now),
            config,
            session,
            asked_for,
            standing: Standing::Unlicensed(not_yet),
            work: Work::Nothing,
            backoff: Backoff::default(),
            renew_at: 0,
            report_at: i64::MAX,
            others_hold: 0,
        }
    }

    /// What the application may do.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The site's time, by which the license is judged.
    pub fn site_time(&self) -> SiteTime {
        self.time
    }

    /// Instances that other processes of the machine hold, as last heard.
    pub fn others_hold(&self) -> u32 {
        self.others_hold
    }

    /// Whether an answer is waited for.
    pub fn is_asking(&self) -> bool {
        !matches!(self.work, Work::Nothing)
    }

    /// The next moment at which [`Event::Tick`] does something, in site time.
    pub fn wake_at(&self) -> i64 {
        let end = self.standing.claims().map_or(i64::MAX, |claims| claims.exp);
        self.renew_at.min(self.report_at).min(end)
    }

    /// Decides. With the state that no other process holds now.
    pub fn handle(&mut self, event: Event, state: &mut State, now: Moment) -> Vec<Action> {
        self.time.merge(state.device.time, now);
        let mut actions = Vec::new();
        let site = self.time.tell(now);
        match event {
            Event::Start => self.ask_next(0, Vec::new(), 0, state, site, &mut actions),
            Event::Tick => self.tick(state, site, &mut actions),
            Event::Count { counts, held, alive } => self.count(&counts, held, &alive, state),
            Event::Release => self.release(state, &mut actions),
            Event::Answered { status, body, retry_after } => self.answered(status, &body, retry_after.unwrap_or(0), state, now, &mut actions),
            Event::Unanswered { code, message } => self.unanswered(code, message, 0, state, site, &mut actions),
        }
        self.keep_time(state);
        actions
    }

    /// What was asked cannot be carried on: it is begun anew after a pause.
    pub fn abandon(&mut self, now: Moment) {
        if self.is_asking() {
            self.work = Work::Nothing;
            self.renew_at = self.time.tell(now) + self.backoff.next_pause(self.standing.claims().is_some(), fraction(), 0);
        }
    }

    /// The time is kept when something is written anyway, and once a slot.
    fn keep_time(&self, state: &mut State) {
        let kept = self.time.kept();
        let is_old = kept.last_site - state.device.time.last_site >= i64::from(REPORT_INTERVAL_SECONDS) || kept.skew != state.device.time.skew;
        if is_old || state.touched.contains(&Part::Device) {
            state.device.time = kept;
            state.touch(Part::Device);
        }
    }

    fn client(&self, state: &State) -> ClientUuid {
        state.device.client_uuid.unwrap_or(ClientUuid(self.session))
    }

    fn tick(&mut self, state: &mut State, site: i64, actions: &mut Vec<Action>) {
        if self.is_asking() {
            return;
        }
        if let Standing::Licensed { claims, failures, .. } = &self.standing
            && trust::check_time(claims, site).is_err()
        {
            let message =
                format!("the authorization ended at {} and could not be renewed: connect this device to its license server", crate::clock::rfc3339(claims.exp));
            self.standing = Standing::Unlicensed(LicenseError { code: Code::EndedOffline, message, failures: failures.clone() });
            actions.push(Action::LicenseChanged);
        }
        if site >= self.renew_at && !self.config.servers.is_empty() {
            self.ask_next(0, Vec::new(), 0, state, site, actions);
        } else if site >= self.report_at {
            self.report_at = site + self.report_interval(state);
            self.report(state, site, actions);
        }
    }

    // ---- authorization -------------------------------------------------------------------

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
        AuthorizeRequest { client_uuid: self.client(state), ticket, nonce, ..bare_request(&self.config) }
    }

    fn naming(&self) -> String {
        format!("{}|{}", self.config.organization_id.as_deref().unwrap_or_default(), self.config.handshake_code.as_deref().unwrap_or_default())
    }

    /// Asks the servers from `index` on; when there is none left, the round has failed.
    fn ask_next(&mut self, index: usize, failures: Vec<ServerFailure>, least_pause: i64, state: &mut State, site: i64, actions: &mut Vec<Action>) {
        let Some(server) = self.config.servers.get(index).cloned() else {
            return self.fail(failures, least_pause, state, site, actions);
        };
        let request = self.request(&server, state);
        let body = serde_json::to_vec(&request).unwrap_or_default();
        self.work = Work::Authorizing { failures, server: index, nonce: request.nonce, least_pause };
        actions.push(Action::Ask(Ask { server, path: AUTHORIZE, body }));
    }

    /// No server granted: the authorization of before may do.
    fn fail(&mut self, failures: Vec<ServerFailure>, least_pause: i64, state: &mut State, site: i64, actions: &mut Vec<Action>) {
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
        self.renew_at = site + pause;
        self.stand(standing, actions);
        // A server that says no still takes what was done.
        if failures.iter().any(|failure| !failure.code.is_temporary()) {
            self.begin_reports(state, site, actions);
        } else if self.report_at == i64::MAX {
            self.report_at = site + self.report_interval(state);
        }
    }

    fn explain(&self, why: Option<Distrust>, failures: Vec<ServerFailure>) -> LicenseError {
        let told = failures.iter().map(|failure| format!("{}: {}", failure.server, failure.message)).collect::<Vec<_>>().join("; ");
        if self.config.servers.is_empty() && failures.is_empty() {
            let message = match why {
                Some(Distrust::Expired) => "the authorization that was carried here has ended: carry a new request to the license server",
                Some(_) => "the authorization that was carried here cannot be used: carry a new request to the license server",
                None => "no server is set, and no authorization was carried here: write a request file and carry it to the license server",
            };
            return LicenseError { code: if why == Some(Distrust::Expired) { Code::EndedOffline } else { Code::NoServer }, message: message.into(), failures };
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
    fn find_kept(&self, state: &State, site: i64) -> Result<(Claims, Source), Option<Distrust>> {
        let grant = state.grants.granted.get(&self.asked_for).filter(|grant| !grant.withdrawn).ok_or(None)?;
        let claims = trust::check(&grant.authorization, &self.config.vendors, &self.expected(state, None)).map_err(Some)?;
        trust::check_time(&claims, site).map_err(Some)?;
        let source = if grant.server.is_empty() { Source::Carried } else { Source::Kept };
        Ok((claims, source))
    }

    fn expected(&self, state: &State, nonce: Option<String>) -> Expected {
        Expected {
            client_uuid: self.client(state),
            nonce,
            organization_id: self.config.organization_id.clone(),
            handshake_code: self.config.handshake_code.clone(),
        }
    }

    /// A server took the license back.
    fn withdraw(&mut self, state: &mut State) {
        if let Some(grant) = state.grants.granted.get_mut(&self.asked_for).filter(|grant| !grant.withdrawn) {
            grant.withdrawn = true;
            state.touch(Part::Grants);
        }
    }

    /// Takes a genuine authorization into use.
    fn accept(&mut self, answer: &AuthorizeAnswer, claims: Claims, server: &str, state: &mut State, now: Moment, actions: &mut Vec<Action>) {
        self.time.learn(claims.iat, now);
        let site = self.time.tell(now);
        let refresh_after = seconds_of(&answer.refresh_after).unwrap_or(claims.exp).clamp(claims.iat, claims.exp);
        let grant = Grant {
            authorization: answer.authorization.clone(),
            refresh_after,
            report_interval: answer.report_interval_seconds.clamp(1, 86_400),
            server: server.to_owned(),
            servers: self.config.servers.clone(),
            withdrawn: false,
        };
        state.grants.granted.insert(self.asked_for.clone(), grant);
        state.grants.pending.remove(&self.asked_for);
        state.device.tickets.insert(claims.hid.to_string(), answer.ticket.clone());
        let naming = self.naming();
        state.device.codes.entry(server.to_owned()).or_default().insert(naming, claims.hid.to_string());
        state.touch(Part::Grants);
        state.touch(Part::Device);
        outbox::take_safe(state, &answer.origin, &answer.safe);
        outbox::retry_failed(state);
        self.backoff.reset();
        // Devices that began together do not all renew in the same second.
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a tenth of an authorization's time")]
        let spread = ((claims.exp - refresh_after) as f64 * 0.1 * fraction()) as i64;
        self.renew_at = (refresh_after + spread).max(site + 1);
        let failures = match std::mem::replace(&mut self.work, Work::Nothing) {
            Work::Authorizing { failures, .. } => failures,
            _ => Vec::new(),
        };
        let source = if server.is_empty() { Source::Carried } else { Source::Server(server.to_owned()) };
        self.stand(Standing::Licensed { claims: Arc::new(claims), source, failures }, actions);
    }

    fn stand(&mut self, standing: Standing, actions: &mut Vec<Action>) {
        self.standing = standing;
        actions.push(Action::LicenseChanged);
    }

    // ---- answers ---------------------------------------------------------------------------

    fn answered(&mut self, status: u16, body: &[u8], retry_after: i64, state: &mut State, now: Moment, actions: &mut Vec<Action>) {
        let site = self.time.tell(now);
        if !(200..300).contains(&status) {
            let (code, message) = match serde_json::from_slice::<Problem>(body) {
                Ok(problem) => (Code::from_number(problem.code), problem.detail),
                Err(_) => (Code::NoServer, format!("the answer with status {status} is none of a license server's")),
            };
            // Whatever the code says: a server that is not well says nothing about the license.
            let code = if status >= 500 && !code.is_temporary() { Code::NoServer } else { code };
            return self.unanswered(code, message, retry_after, state, site, actions);
        }
        match std::mem::replace(&mut self.work, Work::Nothing) {
            Work::Nothing => {}
            Work::Releasing => {
                self.withdraw(state);
                self.released(actions);
            }
            Work::Authorizing { failures, server, nonce, least_pause } => {
                let url = self.config.servers.get(server).cloned().unwrap_or_default();
                let answer: Option<AuthorizeAnswer> = serde_json::from_slice(body).ok();
                let Some(answer) = answer else {
                    self.work = Work::Authorizing { failures, server, nonce, least_pause };
                    return self.unanswered(Code::NoServer, "the answer is none of a license server's".into(), 0, state, site, actions);
                };
                let checked = trust::check(&answer.authorization, &self.config.vendors, &self.expected(state, Some(nonce.clone())));
                match checked.and_then(|claims| trust::check_time(&claims, claims.iat).map(|()| claims)) {
                    Ok(claims) => {
                        self.work = Work::Authorizing { failures, server, nonce, least_pause };
                        self.accept(&answer, claims, &url, state, now, actions);
                        let site = self.time.tell(now);
                        self.begin_reports(state, site, actions);
                    }
                    Err(distrust) => {
                        self.work = Work::Authorizing { failures, server, nonce, least_pause };
                        self.unanswered(Code::NotGenuine, format!("{distrust}: it is not used"), 0, state, site, actions);
                    }
                }
            }
            Work::Reporting { ids, batch, servers } => match serde_json::from_slice::<ReportsAnswer>(body) {
                Ok(answer) => {
                    let submitted = outbox::take_answer(state, &answer);
                    // What the answer does not speak of was not taken.
                    state.change_stored(|stored| {
                        let is_left = ids.contains(&stored.report.report_id) && stored.progress == Progress::Pending;
                        if is_left {
                            stored.progress = Progress::Failed;
                        }
                        is_left
                    });
                    actions.push(Action::Reported(submitted));
                    self.report(state, site, actions);
                }
                Err(_) => {
                    self.work = Work::Reporting { ids, batch, servers };
                    self.unanswered(Code::NoServer, "the answer is none of a license server's".into(), 0, state, site, actions);
                }
            },
        }
    }

    fn unanswered(&mut self, code: Code, message: String, retry_after: i64, state: &mut State, site: i64, actions: &mut Vec<Action>) {
        match std::mem::replace(&mut self.work, Work::Nothing) {
            Work::Nothing => {}
            Work::Releasing => self.released(actions),
            Work::Authorizing { mut failures, server, least_pause, .. } => {
                let url = self.config.servers.get(server).cloned().unwrap_or_default();
                failures.push(ServerFailure { server: url, code, message });
                let least_pause = least_pause.max(retry_after);
                // A server that does not know the name may be the wrong one of two; any other refusal is the site's word.
                let may_be_the_wrong_one = [ErrorCode::UnknownHandshakeCode, ErrorCode::UnknownOrganization].map(Code::Server).contains(&code);
                if code.is_temporary() || may_be_the_wrong_one {
                    self.ask_next(server + 1, failures, least_pause, state, site, actions);
                } else {
                    self.fail(failures, least_pause, state, site, actions);
                }
            }
            Work::Reporting { ids, batch, mut servers } => {
                if code == Code::Server(ErrorCode::Malformed)
                    && let Some(bad) = report_named_in(&message).and_then(|index| ids.get(index))
                {
                    // One report that no server can read must not hold up all others.
                    state.drop_stored(|stored| stored.report.report_id == *bad);
                    actions.push(Action::Reported(Submitted { rejected: vec![(ErrorCode::Malformed.number(), message)], ..Submitted::default() }));
                    return self.report(state, site, actions);
                }
                if code.is_temporary()
                    && let Some(server) = servers.pop()
                {
                    actions.push(Action::Ask(Ask { server, path: REPORTS, body: batch.clone() }));
                    self.work = Work::Reporting { ids, batch, servers };
                    return;
                }
                // Not again in this session, but after the next authorization, which is due earlier now.
                outbox::set_progress(state, &ids, &Progress::Failed);
                let pause = self.backoff.next_pause(self.standing.claims().is_some(), fraction(), retry_after);
                self.renew_at = self.renew_at.min(site + pause);
                self.report_at = self.report_at.min(site + self.report_interval(state));
            }
        }
    }

    // ---- use and reports ---------------------------------------------------------------------

    fn count(&mut self, counts: &Counts, held: u32, alive: &[Uuid], state: &mut State) {
        let before = state.open.held.clone();
        state.open.held.retain(|session, _| alive.contains(session) && *session != self.session);
        self.others_hold = state.open.held.values().sum();
        if held > 0 {
            state.open.held.insert(self.session, held);
        }
        if state.open.held != before {
            state.touch(Part::Open);
        }
        let Some(under) = self.find_under(state) else { return };
        let under = Under { grant: &self.asked_for, handshake_code: &under, product: &self.config.settings.product };
        counting::add(state, counts, under, self.others_hold.saturating_add(held));
    }

    /// The handshake code under which is counted: whatever was granted last.
    fn find_under(&self, state: &State) -> Option<String> {
        if let Some(claims) = self.standing.claims() {
            return Some(claims.hs.to_string());
        }
        let grant = state.grants.granted.get(&self.asked_for)?;
        trust::check(&grant.authorization, &self.config.vendors, &self.expected(state, None)).ok().map(|claims| claims.hs.to_string())
    }

    /// What a count is in, where the application does not say: pages if that is what its
    /// license is about.
    pub fn unit(&self) -> Unit {
        let Some(claims) = self.standing.claims() else { return Unit::Scan };
        let ours = claims.items.iter().filter(|item| same_word(&item.product, &self.config.settings.product));
        let ways: Vec<ChargeWay> = ours.map(|item| item.charge_way).collect();
        if ways.contains(&ChargeWay::Page) && !ways.contains(&ChargeWay::Scan) { Unit::Page } else { Unit::Scan }
    }

    fn report_interval(&self, state: &State) -> i64 {
        state.grants.granted.get(&self.asked_for).map_or(i64::from(REPORT_INTERVAL_SECONDS), |grant| i64::from(grant.report_interval))
    }

    fn begin_reports(&mut self, state: &mut State, site: i64, actions: &mut Vec<Action>) {
        self.report_at = site + self.report_interval(state);
        self.report(state, site, actions);
    }

    /// Makes reports of the slots that are over for every process, and sends what there is.
    fn report(&mut self, state: &mut State, site: i64, actions: &mut Vec<Action>) {
        let is_alone = state.open.held.keys().all(|session| *session == self.session);
        // Another process tells what it counted at the latest when it flushes.
        let lag = if is_alone { 0 } else { i64::from(self.config.settings.flush_seconds) };
        counting::close(state, site - lag, site);
        let Some(batch) = outbox::next_batch(state, self.client(state), &self.config.servers) else { return };
        let mut servers: Vec<String> = self.config.servers.iter().rev().cloned().collect();
        if let Standing::Licensed { source: Source::Server(serving), .. } = &self.standing {
            servers.retain(|server| server != serving);
            servers.push(serving.clone());
        }
        let Some(server) = servers.pop() else { return };
        let ids = batch.reports.iter().map(|report| report.report_id).collect();
        let body = serde_json::to_vec(&batch).unwrap_or_default();
        self.work = Work::Reporting { ids, batch: body.clone(), servers };
        actions.push(Action::Ask(Ask { server, path: REPORTS, body }));
    }

    // ---- giving back -------------------------------------------------------------------------

    fn release(&mut self, state: &mut State, actions: &mut Vec<Action>) {
        let grant = state.grants.granted.get(&self.asked_for).filter(|grant| !grant.withdrawn);
        let Some(grant) = grant.filter(|grant| !grant.server.is_empty()) else {
            self.withdraw(state);
            return self.released(actions);
        };
        let request = ReleaseRequest { client_uuid: self.client(state), authorization: grant.authorization.clone() };
        let server = grant.server.clone();
        self.work = Work::Releasing;
        actions.push(Action::Ask(Ask { server, path: RELEASE, body: serde_json::to_vec(&request).unwrap_or_default() }));
    }

    fn released(&mut self, actions: &mut Vec<Action>) {
        self.renew_at = i64::MAX;
        self.stand(Standing::Unlicensed(LicenseError::new(Code::NoServer, "the license was given back: initialize again to take one")), actions);
    }

    // ---- by hand -----------------------------------------------------------------------------

    /// An authorization that somebody carried here from the server.
    ///
    /// # Errors
    /// 304: it is not genuine, or answers another request.
    pub fn take_carried(&mut self, answer: &AuthorizeAnswer, state: &mut State, now: Moment) -> Result<Vec<Action>, LicenseError> {
        let nonce = state.grants.pending.get(&self.asked_for).cloned();
        let refused = |why: Distrust| LicenseError::new(Code::NotGenuine, format!("{why}: carry the answer to the last request that this device wrote"));
        let claims = trust::check(&answer.authorization, &self.config.vendors, &self.expected(state, Some(nonce.unwrap_or_default()))).map_err(refused)?;
        let mut actions = Vec::new();
        trust::check_time(&claims, self.time.tell(now).max(claims.iat)).map_err(refused)?;
        self.accept(answer, claims, "", state, now, &mut actions);
        self.keep_time(state);
        Ok(actions)
    }

    /// Everything that was done and not acknowledged, to be carried to the server. `None` when
    /// there is nothing.
    pub fn carried_reports(&mut self, state: &mut State, now: Moment) -> Option<ReportsRequest> {
        let site = self.time.tell(now);
        counting::close(state, site, site);
        let grant = state.grants.granted.get(&self.asked_for)?;
        let reports: Vec<_> = state.stored().filter(|stored| stored.grant == self.asked_for).map(|stored| stored.report.clone()).collect();
        (!reports.is_empty()).then(|| ReportsRequest { client_uuid: self.client(state), authorization: grant.authorization.clone(), reports })
    }

    /// The receipt for carried reports.
    pub fn take_receipt(&mut self, answer: &ReportsAnswer, state: &mut State) -> Submitted {
        outbox::take_answer(state, answer)
    }
}

/// The request of an application, but for what differs each time.
fn bare_request(config: &Config) -> AuthorizeRequest {
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
        nonce: String::new(),
    }
}

/// What is asked for, in few characters: a kept authorization fits only the same request.
fn fingerprint(config: &Config) -> String {
    let request = serde_json::to_vec(&bare_request(config)).unwrap_or_default();
    jws::encode(&digest(&SHA256, &request).as_ref()[..16])
}

fn seconds_of(time: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(time).ok().map(|time| time.timestamp())
}

/// From 0 to 1.
fn fraction() -> f64 {
    let bytes = random_uuid().into_bytes();
    f64::from(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])) / f64::from(u32::MAX)
}

/// Which report a server complains about: "reports[3].slot: …".
fn report_named_in(message: &str) -> Option<usize> {
    let (_, rest) = message.split_once("reports[")?;
    rest.split(']').next()?.parse().ok()
}
