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
//! | [`authorizing`] | getting the authorization |
//! | [`giving_back`] | giving it back, also at the end |
//! | [`reporting`] | from counts to the reports that servers take |
//! | [`by_hand`] | what is carried where there is no network |
//! | [`backoff`] | pauses between tries that fail |
//!
//! Whoever carries out the actions answers every [`Action::Ask`] with one [`Event::Answered`]
//! or [`Event::Unanswered`], writes the touched parts of the state before it asks, and lets no
//! other process of the machine ask meanwhile.

mod authorizing;
pub mod backoff;
mod by_hand;
pub mod counting;
mod giving_back;
pub mod outbox;
mod reporting;
pub mod site_time;
pub mod state;
pub mod trust;

use std::sync::Arc;

use uuid::Uuid;

use self::authorizing::fingerprint;
use self::backoff::Backoff;
use self::counting::Counts;
use self::outbox::Submitted;
use self::site_time::{Moment, SiteTime};
use self::state::{Part, Progress, State};
use super::error::{Code, LicenseError, ServerFailure};
use super::settings::Config;
use crate::documents::{Claims, random_uuid};
use crate::licensing::ClientUuid;
use crate::protocol::authorize::AuthorizeAnswer;
use crate::protocol::reports::ReportsAnswer;
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
        /// Seconds that whoever stands in the way asks to wait.
        retry_after: Option<i64>,
    },
    /// The application initializes while another process of the machine asks the servers, and
    /// does not come to an end.
    Occupied,
    /// The application used its license.
    Count {
        /// What it did since the last time.
        counts: Counts,
        /// Instances that this process holds.
        held: u32,
        /// Processes of this machine that live.
        alive: Vec<Uuid>,
    },
    /// The application gives its license back: what it did is reported first.
    Release,
    /// The application closes its license, and gives it back if it wants that and none of these needs it: see
    /// [`Core::is_given_back_at_the_end`].
    Close {
        /// What the other processes of this machine use that live; `None` of one that does not tell.
        others: Vec<Option<String>>,
    },
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
    /// The license was not given back: it is held as before.
    NotReleased(LicenseError),
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
    /// Reports: what is sent, who is asked, and the servers still to be asked.
    Reporting {
        ids: Vec<Uuid>,
        batch: Vec<u8>,
        server: String,
        servers: Vec<String>,
    },
    /// Giving back, and the servers still to be asked.
    Releasing {
        body: Vec<u8>,
        servers: Vec<String>,
    },
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
    /// When the event came that is worked on.
    now: Moment,
    asked_for: String,
    /// The authorization that this process knows: another one comes from another process.
    known: Option<String>,
    standing: Standing,
    work: Work,
    backoff: Backoff,
    renew_at: i64,
    report_at: i64,
    others_hold: u32,
    /// Once all is reported, the license is given back.
    is_leaving: bool,
    /// The server that took reports last while the license is being given back.
    took_reports: Option<String>,
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
            now,
            known: state.grants.granted.get(&asked_for).map(|grant| grant.authorization.clone()),
            config,
            session,
            asked_for,
            standing: Standing::Unlicensed(not_yet),
            work: Work::Nothing,
            backoff: Backoff::default(),
            renew_at: 0,
            report_at: i64::MAX,
            others_hold: 0,
            is_leaving: false,
            took_reports: None,
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

    /// What is asked for, in few characters: of two processes with the same they are the same license.
    pub fn asked_for(&self) -> &str {
        &self.asked_for
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

    /// Whether [`Event::Tick`] does something now.
    pub fn is_due(&self, now: Moment) -> bool {
        let mut time = self.time;
        self.wake_at() <= time.tell(now) || (self.time.has_jumped(now) && self.renew_at < i64::MAX)
    }

    /// The time of something that is done now.
    pub fn stamp(&mut self, now: Moment) -> i64 {
        self.time.stamp(now)
    }

    /// Decides. With the state that no other process holds now.
    pub fn handle(&mut self, event: Event, state: &mut State, now: Moment) -> Vec<Action> {
        self.now = now;
        let has_jumped = self.time.has_jumped(now);
        let went_back = self.time.merge(state.device.time, now);
        let mut actions = Vec::new();
        let site = self.time.tell(now);
        if (has_jumped || went_back) && self.renew_at < i64::MAX {
            // Which clock is right, only a server can tell. And what was planned was planned by
            // a time that is not so any more.
            self.renew_at = self.renew_at.min(site);
            self.report_at = self.report_at.min(site);
        }
        match event {
            Event::Start => self.ask_or_adopt(state, site, &mut actions),
            Event::Occupied => self.do_without(state, site, &mut actions),
            Event::Tick => self.tick(state, site, &mut actions),
            Event::Count { counts, held, alive } => self.count(&counts, held, &alive, state),
            Event::Release => self.release(state, &mut actions),
            Event::Close { others } => {
                if self.is_given_back_at_the_end(&others, state) {
                    self.release(state, &mut actions);
                }
            }
            Event::Answered { status, body, retry_after } => self.answered(status, &body, retry_after.unwrap_or(0), state, now, &mut actions),
            Event::Unanswered { code, message, retry_after } => self.unanswered(code, message, retry_after.unwrap_or(0), state, site, &mut actions),
        }
        self.keep_time(state);
        actions
    }

    /// What was asked cannot be carried on: it is begun anew after a pause.
    pub fn abandon(&mut self, now: Moment) {
        self.is_leaving = false;
        if self.is_asking() {
            self.work = Work::Nothing;
            self.renew_at = self.time.tell(now) + self.backoff.next_pause(self.standing.claims().is_some(), fraction(), 0);
        }
    }

    /// The time is kept when something is written anyway, and once a slot.
    fn keep_time(&self, state: &mut State) {
        let kept = self.time.kept();
        let told = |time: site_time::KeptTime| (time.skew, time.learned, time.proven);
        let is_old = kept.last_site - state.device.time.last_site >= i64::from(REPORT_INTERVAL_SECONDS) || told(kept) != told(state.device.time);
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
        if site >= self.renew_at {
            self.ask_or_adopt(state, site, actions);
        } else if site >= self.report_at {
            self.report_at = site + self.report_interval(state);
            self.report(state, actions);
        }
    }

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
            Work::Releasing { .. } => {
                self.is_leaving = false;
                self.withdraw_all(state);
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
            Work::Reporting { ids, batch, server, servers } => match serde_json::from_slice::<ReportsAnswer>(body) {
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
                    self.took_reports = Some(server);
                    self.report(state, actions);
                }
                Err(_) => {
                    self.work = Work::Reporting { ids, batch, server, servers };
                    self.unanswered(Code::NoServer, "the answer is none of a license server's".into(), 0, state, site, actions);
                }
            },
        }
    }

    fn unanswered(&mut self, code: Code, message: String, retry_after: i64, state: &mut State, site: i64, actions: &mut Vec<Action>) {
        match std::mem::replace(&mut self.work, Work::Nothing) {
            Work::Nothing => {}
            Work::Releasing { body, mut servers } => match servers.pop().filter(|_| code.is_temporary()) {
                Some(server) => {
                    actions.push(Action::Ask(Ask { server, path: RELEASE, body: body.clone() }));
                    self.work = Work::Releasing { body, servers };
                }
                None => self.not_released(LicenseError::new(code, message), actions),
            },
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
            Work::Reporting { ids, batch, mut servers, .. } => {
                if code == Code::Server(ErrorCode::Malformed)
                    && let Some(bad) = report_named_in(&message).and_then(|index| ids.get(index))
                {
                    // One report that no server can read must not hold up all others.
                    state.drop_stored(|stored| stored.report.report_id == *bad);
                    actions.push(Action::Reported(Submitted { rejected: vec![(ErrorCode::Malformed.number(), message)], ..Submitted::default() }));
                    return self.report(state, actions);
                }
                if code.is_temporary()
                    && let Some(server) = servers.pop()
                {
                    actions.push(Action::Ask(Ask { server: server.clone(), path: REPORTS, body: batch.clone() }));
                    self.work = Work::Reporting { ids, batch, server, servers };
                    return;
                }
                // Not again in this session, but after the next authorization, which is due earlier now.
                outbox::set_progress(state, &ids, &Progress::Failed);
                let pause = self.backoff.next_pause(self.standing.claims().is_some(), fraction(), retry_after);
                self.renew_at = self.renew_at.min(site + pause);
                self.report_at = self.report_at.min(site + self.report_interval(state));
                if self.is_leaving && code.is_temporary() {
                    self.not_released(LicenseError::new(code, format!("what was done could not be reported: {message}")), actions);
                } else if self.is_leaving {
                    // A server that does not take reports may take the license.
                    self.report(state, actions);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

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
