//! Does what the roles say: serves devices or refuses them, tells the partner, exchanges facts with
//! it, and keeps what must outlive the process. The shell around [`super::roles`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use super::beat::{Beat, View};
use super::exchange::{self, ExchangeError};
use super::link::{Link, LinkError};
use super::partner::{Held, Keep, PARTNER_ROW, Pairing, count_missing, list_held, safe};
use super::roles::{Action, Assignment, Event, Heartbeat, Role, Roles, Standing};
use crate::clock::Clock;
use crate::commands::Site;
use crate::commands::authorize::CLOCK_LAG_MAX_SECONDS;
use crate::commands::exceptions::{Exceptions, Trouble};
use crate::commands::preferences::Remember;
use crate::commands::restore::{BeSure, RaiseSequence};
use crate::store::audit::AdminActed;
use crate::store::{Error, Store, facts, local};

mod changes;

/// The row of the database that holds this server's [`Standing`].
pub const ROLE_ROW: &str = "role";
/// The row that holds up to which time tickets are doubted; see [`Site::doubt_tickets`].
const DOUBT_ROW: &str = "tickets doubted until";
/// Seconds between two heartbeats.
const HEARTBEAT_SECONDS: i64 = 5;
/// Facts that the partner is ahead by at which they are taken before the next exchange is due.
const LAG_FACTS: u64 = 5_000;
/// How far the clocks of the two may be apart.
pub const CLOCKS_APART_SECONDS: i64 = 60;
/// Notes that are remembered.
const NOTES_MAX: usize = 100;

struct State {
    roles: Roles,
    pairing: Option<Arc<Pairing>>,
    link: Option<Link>,
    theirs: Option<(Beat, i64)>,
    last_sync: Option<(i64, Result<u64, String>)>,
    synced_at: i64,
    told_at: i64,
    is_telling: bool,
    exchange: Option<u64>,
    notes: Vec<(i64, String)>,
    /// Whether the partner was heard, and nothing of this server is missing.
    is_sure: bool,
    undone: VecDeque<Action>,
}

struct Published {
    role_name: &'static str,
    pairing: Option<Arc<Pairing>>,
}

/// What a keeper works with.
pub struct Means {
    /// The site.
    pub site: Arc<Site>,
    /// The database.
    pub store: Arc<Store>,
    /// Where it is told what goes wrong.
    pub exceptions: Arc<Exceptions>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The site's authority, PEM.
    pub ca_pem: String,
    /// Where this server answers.
    pub urls: Vec<String>,
    /// Seconds between two exchanges of facts.
    pub sync_seconds: u32,
}

/// See the module.
pub struct Keeper {
    site: Arc<Site>,
    store: Arc<Store>,
    exceptions: Arc<Exceptions>,
    clock: Arc<dyn Clock>,
    ca_pem: String,
    urls: Vec<String>,
    sync_seconds: i64,
    state: Mutex<State>,
    published: RwLock<Arc<Published>>,
    safe: RwLock<Option<Arc<BTreeMap<String, u64>>>>,
    /// Held while facts are taken: once at a time is enough.
    taking: Mutex<()>,
}

impl Keeper {
    /// Goes on as the database says.
    ///
    /// # Errors
    /// The record of the partner or of the role cannot be read.
    pub fn start(means: Means) -> Result<Arc<Self>, Error> {
        let Means { site, store, exceptions, clock, ca_pem, urls, sync_seconds } = means;
        let reader = store.reader()?;
        let pairing = Pairing::load(&reader, &site)?.map(Arc::new);
        let kept = local::find(&reader, ROLE_ROW)?;
        let doubted = local::find(&reader, DOUBT_ROW)?.and_then(|bytes| Some(i64::from_be_bytes(bytes.try_into().ok()?)));
        site.doubt_tickets(doubted.unwrap_or(0));
        drop(reader);
        let standing = match kept {
            Some(json) => serde_json::from_slice(&json).map_err(|error| Error::Corrupt(format!("the record of this server's role cannot be read: {error}")))?,
            None => Standing { assignment: Assignment::Alone, assigned_in: 0, epoch: 0 },
        };
        let standing = match standing.assignment {
            // It ended before it knew whose: the other one was told nothing.
            Assignment::Primary if pairing.is_none() => Standing { assignment: Assignment::Alone, ..standing },
            _ => standing,
        };
        let now = clock.steady_seconds();
        let (roles, actions) = Roles::start(now, standing);
        let link = pairing.as_ref().and_then(|pairing| Link::to(pairing, &ca_pem).map_err(|error| tracing::error!(%error, "the partner cannot be asked")).ok());
        let (theirs, last_sync, exchange) = (None, None, None);
        let state = State {
            roles,
            pairing,
            link,
            theirs,
            last_sync,
            synced_at: now,
            told_at: i64::MIN,
            is_telling: false,
            exchange,
            notes: Vec::new(),
            is_sure: false,
            undone: VecDeque::new(),
        };
        let is_paired = state.pairing.is_some();
        let keeper = Self {
            site,
            store,
            exceptions,
            clock,
            ca_pem,
            urls,
            sync_seconds: sync_seconds.into(),
            published: RwLock::new(Arc::new(Published { role_name: state.roles.role_name(), pairing: state.pairing.clone() })),
            state: Mutex::new(state),
            safe: RwLock::new(is_paired.then(Arc::default)),
            taking: Mutex::default(),
        };
        keeper.act(&mut keeper.lock(), actions)?;
        Ok(Arc::new(keeper))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is to be done, in order. What fails is done again at the next tick, before anything
    /// else: the roles rely on it. Tells whether it was refused.
    fn act(&self, state: &mut State, actions: Vec<Action>) -> Result<bool, Error> {
        let is_refused = actions.contains(&Action::Refused);
        state.undone.extend(actions);
        if !state.roles.serving() {
            // Whatever the disk says, devices are not served by who does not serve.
            self.site.set_duty(Some(self.refusal(state)));
        }
        while let Some(action) = state.undone.front().copied() {
            self.do_one(state, action)?;
            state.undone.pop_front();
        }
        self.publish(state);
        Ok(is_refused)
    }

    fn do_one(&self, state: &mut State, action: Action) -> Result<(), Error> {
        match action {
            Action::Save(standing) => {
                let json = serde_json::to_vec(&standing).map_err(|error| Error::Other(error.to_string()))?;
                self.store.writer().submit_blocking(Keep { rows: vec![(ROLE_ROW, json)], epoch: standing.epoch })?;
            }
            Action::Serve(epoch) => {
                self.store.writer().submit_blocking(Keep { rows: Vec::new(), epoch })?;
                if state.roles.serving() {
                    self.site.set_duty(None);
                }
            }
            // What was taken before that is on disk after this.
            Action::Refuse => self.store.writer().submit_blocking(Keep { rows: Vec::new(), epoch: 0 })?,
            Action::ExchangeFacts(number) => state.exchange = Some(number),
            Action::TellPartner => state.is_telling = true,
            Action::Note(text) => self.note(state, text),
            Action::Refused => {}
        }
        Ok(())
    }

    /// What others ask for often, and must not wait for while the roles change.
    fn publish(&self, state: &State) {
        let fresh = Arc::new(Published { role_name: state.roles.role_name(), pairing: state.pairing.clone() });
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn refusal(&self, state: &State) -> String {
        let partner = state.pairing.as_ref().and_then(|pairing| pairing.partner.urls.first().cloned()).unwrap_or_else(|| "the other server".to_owned());
        match state.roles.heartbeat().role {
            Role::CatchingUp => "this server has just started and gets what it missed: try again in a few seconds".to_owned(),
            Role::Stopping | Role::Stopped => format!("this server is stopping: ask {partner}"),
            Role::Rehearsing => format!("a failover is rehearsed: ask {partner}"),
            _ if state.pairing.is_none() => "this server has left its partner, which serves for both".to_owned(),
            _ => format!("this server is the standby, the primary serves: ask {partner}"),
        }
    }

    fn note(&self, state: &mut State, text: &str) {
        let now = self.clock.now_seconds();
        tracing::warn!(role = state.roles.role_name(), epoch = state.roles.epoch(), "{text}");
        if state.notes.len() >= NOTES_MAX {
            state.notes.remove(0);
        }
        state.notes.push((now, text.to_owned()));
        let act = AdminActed {
            by: "server".to_owned(),
            action: "role_changed".to_owned(),
            subject: format!("server {}", self.site.uuid()),
            detail: format!("{} {text}", state.roles.role_name()),
            address: String::new(),
        };
        // It stands in the log in any case.
        if let Err(error) = self.store.writer().submit_blocking(Remember(act)) {
            tracing::error!(%error, "a change of role cannot be put into the audit");
        }
    }

    fn step(&self, state: &mut State, event: Event) -> Result<bool, Error> {
        let now = self.clock.steady_seconds();
        let actions = state.roles.step(now, event);
        let ours = state.roles.heartbeat();
        let is_heard = state.theirs.as_ref().is_some_and(|(beat, at)| now - at < super::roles::SILENCE && !beat.heartbeat.role.serves());
        self.site.set_behind(state.pairing.is_some() && (!is_heard || ours.standing.assignment == Assignment::Standby));
        self.act(state, actions)
    }

    /// The partner, if there is one.
    pub fn pairing(&self) -> Option<Arc<Pairing>> {
        self.published().pairing.clone()
    }

    /// `primary` or `standby`.
    pub fn role_name(&self) -> &'static str {
        self.published().role_name
    }

    /// The epoch in which this server's assignment was made.
    pub fn assigned_in(&self) -> u64 {
        self.lock().roles.heartbeat().standing.assigned_in
    }

    /// For each server, the last of its facts that no single loss can take any more; `None` where
    /// there is one server only.
    pub fn safe(&self) -> Option<Arc<BTreeMap<String, u64>>> {
        self.safe.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How the two stand.
    pub fn view(&self) -> Result<View, Error> {
        let ours = list_held(&*self.store.reader()?)?;
        let state = self.lock();
        let theirs = state.theirs.as_ref().map_or(&[][..], |(beat, _)| &beat.held);
        Ok(View {
            heartbeat: state.roles.heartbeat(),
            role_name: state.roles.role_name(),
            pairing: state.pairing.clone(),
            missing: (count_missing(&ours, theirs), count_missing(theirs, &ours)),
            heard: state.theirs.as_ref().map(|(beat, at)| (beat.clone(), self.clock.steady_seconds() - at)),
            last_sync: state.last_sync.clone(),
            notes: state.notes.clone(),
        })
    }

    /// What this server tells the other one.
    pub fn beat(&self) -> Result<Beat, Error> {
        let held = list_held(&*self.store.reader()?)?;
        let heartbeat = self.lock().roles.heartbeat();
        Ok(Beat {
            server: self.site.uuid(),
            heartbeat,
            held,
            urls: self.urls.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            time: self.clock.now_seconds(),
        })
    }

    /// The other one told this.
    pub fn hear(&self, theirs: Beat) {
        let mut state = self.lock();
        if state.pairing.as_ref().is_none_or(|pairing| pairing.partner.server.uuid != theirs.server) {
            return;
        }
        // Before anything is recorded under a number that was used.
        match self.notice_loss(&theirs.held, state.is_sure) {
            Ok(()) => state.is_sure = true,
            Err(error) => return tracing::error!(%error, "that facts were lost cannot be kept"),
        }
        self.look_at_clock(theirs.time);
        let wins_ties = self.site.uuid().bytes() < theirs.server.bytes();
        let event = Event::Heard(theirs.heartbeat, wins_ties);
        self.learn_urls(&mut state, &theirs);
        state.theirs = Some((theirs, self.clock.steady_seconds()));
        if let Err(error) = self.step(&mut state, event) {
            tracing::error!(%error, "what the partner said cannot be kept");
        }
        drop(state);
        self.count_safe();
    }

    /// The partner holds facts of this server that its own journal does not reach: an older copy of
    /// the database was put in its place.
    fn notice_loss(&self, theirs: &[Held], is_sure: bool) -> Result<(), Error> {
        let origin = self.site.uuid();
        let told = theirs.iter().filter(|held| held.origin == origin).map(|held| held.last).max().unwrap_or(0);
        let head = facts::head(&*self.store.reader()?, origin)?.sequence;
        if told <= head {
            return if is_sure { Ok(()) } else { self.store.writer().submit_blocking(BeSure) };
        }
        let reason =
            format!("the partner holds fact {told} of this server, but the journal ends at {head}: an older copy of the database was put in its place");
        self.store.writer().submit_blocking(RaiseSequence { reason, above: told }).map(drop)
    }

    /// Two servers whose clocks differ would judge by each other's time.
    fn look_at_clock(&self, theirs: i64) {
        let now = self.clock.now_seconds();
        let apart = (theirs - now).abs();
        if apart > CLOCKS_APART_SECONDS {
            self.doubt_tickets(now.max(theirs));
            self.exceptions.raise(Trouble::Clock, now, format!("the clocks of the two servers are {} minutes apart: set both right", (apart + 59) / 60));
        } else {
            self.exceptions.clear(Trouble::Clock);
        }
    }

    fn doubt_tickets(&self, until: i64) {
        let keep = Keep { rows: vec![(DOUBT_ROW, until.to_be_bytes().to_vec())], epoch: 0 };
        if self.site.doubt_tickets(until)
            && let Err(error) = self.store.writer().submit_blocking(keep)
        {
            tracing::error!(%error, "that the clocks were apart cannot be kept");
        }
    }

    /// A partner that moved is found again as long as one of the two finds the other.
    fn learn_urls(&self, state: &mut State, theirs: &Beat) {
        let Some(pairing) = state.pairing.as_ref().filter(|pairing| theirs.urls.iter().any(|url| !pairing.partner.urls.contains(url))) else { return };
        let mut fresh = (**pairing).clone();
        fresh.partner.urls = theirs.urls.iter().chain(&pairing.partner.urls).fold(Vec::new(), |mut urls, url| {
            if !urls.contains(url) && urls.len() < 8 {
                urls.push(url.clone());
            }
            urls
        });
        let kept = fresh.seal(&self.site).and_then(|sealed| self.store.writer().submit_blocking(Keep { rows: vec![(PARTNER_ROW, sealed)], epoch: 0 }));
        match (kept, Link::to(&fresh, &self.ca_pem)) {
            (Ok(()), Ok(link)) => {
                (state.pairing, state.link) = (Some(Arc::new(fresh)), Some(link));
                self.publish(state);
            }
            (Err(error), _) => tracing::error!(%error, "the partner's new URLs cannot be kept"),
            (_, Err(error)) => tracing::warn!(%error, "the partner's new URLs cannot be used"),
        }
    }

    /// The other one holds so much.
    pub fn hear_held(&self, held: &[Held]) {
        if let Some((beat, _)) = &mut self.lock().theirs {
            beat.held = held.to_vec();
        }
        self.count_safe();
    }

    fn count_safe(&self) {
        let ours = match self.store.reader().and_then(|reader| list_held(&reader)) {
            Ok(ours) => ours,
            Err(error) => return tracing::error!(%error, "the journal cannot be read"),
        };
        let state = self.lock();
        let theirs = state.theirs.as_ref().map_or(&[][..], |(beat, _)| &beat.held);
        let counted = state.pairing.is_some().then(|| Arc::new(safe(&ours, theirs)));
        *self.safe.write().unwrap_or_else(PoisonError::into_inner) = counted;
    }

    /// Another second.
    pub fn tick(&self) {
        let mut state = self.lock();
        if let Err(error) = self.step(&mut state, Event::Tick) {
            tracing::error!(%error, "a change of role cannot be kept");
        }
        let Some(pairing) = state.pairing.clone() else {
            self.exceptions.clear(Trouble::Partner);
            return;
        };
        let now = self.clock.steady_seconds();
        let silent = state.theirs.as_ref().map_or(i64::MAX, |(_, at)| now - at);
        drop(state);
        if silent >= super::roles::SILENCE && silent != i64::MAX {
            let partner = &pairing.partner;
            let (server, url) = (partner.server.uuid, partner.urls.first().cloned().unwrap_or_default());
            self.exceptions.raise(
                Trouble::Partner,
                self.clock.now_seconds(),
                format!("the partner {server} ({url}) is silent: look whether it runs and whether this server reaches it"),
            );
        } else if silent < super::roles::SILENCE {
            self.exceptions.clear(Trouble::Partner);
        }
    }

    /// Tells the partner how this server stands, when that is due.
    pub fn tell_when_due(&self) {
        let now = self.clock.steady_seconds();
        let is_due = {
            let mut state = self.lock();
            let is_due = state.pairing.is_some() && (state.is_telling || now >= state.told_at.saturating_add(HEARTBEAT_SECONDS));
            if is_due {
                (state.is_telling, state.told_at) = (false, now);
            }
            is_due
        };
        if is_due {
            self.tell();
        }
    }

    fn tell(&self) {
        let Some(link) = self.lock().link.clone() else { return };
        match self.beat().map_err(|error| LinkError::Silent(error.to_string())).and_then(|beat| link.say_quickly::<Beat>("/heartbeat", &beat)) {
            Ok(theirs) => self.hear(theirs),
            Err(LinkError::Gone(theirs)) => {
                tracing::warn!("the partner has left; this server is not its partner any more");
                if let Err(error) = self.end(theirs) {
                    tracing::error!(%error, "that the partner left cannot be kept");
                }
            }
            Err(error) => tracing::debug!(%error, "the partner does not hear"),
        }
    }

    /// What a former partner is told: how this server stands now.
    pub fn farewell(&self) -> Heartbeat {
        self.lock().roles.heartbeat()
    }

    /// Exchanges facts, when the roles or the time ask for it.
    pub fn sync_when_due(&self) {
        let now = self.clock.steady_seconds();
        let (exchange, is_due) = {
            let state = self.lock();
            // What went wrong in this second is not tried again in it.
            let is_early = state.last_sync.as_ref().is_some_and(|(_, result)| result.is_err()) && now <= state.synced_at;
            if state.pairing.is_none() || is_early {
                return;
            }
            let is_late = state.theirs.as_ref().is_some_and(|(beat, _)| self.lag_behind(beat) > LAG_FACTS);
            (state.exchange, is_late || now >= state.synced_at + self.sync_seconds)
        };
        if let Some(number) = exchange {
            if self.exchange().is_ok() {
                let mut state = self.lock();
                if state.exchange == Some(number) {
                    state.exchange = None;
                }
                if let Err(error) = self.step(&mut state, Event::FactsExchanged(number)) {
                    tracing::error!(%error, "a change of role cannot be kept");
                }
            }
        } else if is_due {
            // What went wrong is told by the exception.
            let _ = self.sync();
        }
    }

    fn lag_behind(&self, beat: &Beat) -> u64 {
        self.store.reader().and_then(|reader| list_held(&reader)).map_or(0, |ours| count_missing(&beat.held, &ours))
    }

    /// Takes what the partner has and has it take what this server has.
    ///
    /// # Errors
    /// In words, as [`Self::sync`].
    pub fn exchange(&self) -> Result<(), String> {
        self.sync()?;
        let link = self.lock().link.clone().ok_or("there is no partner")?;
        link.say::<serde_json::Value>("/sync", &serde_json::json!({})).map(drop).map_err(|error| error.to_string())
    }

    /// Takes what the partner has and this server lacks, now. Returns how many facts came.
    ///
    /// # Errors
    /// In words: there is no partner, it does not answer, or what came cannot be taken.
    pub fn sync(&self) -> Result<u64, String> {
        let _once = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        let link = self.lock().link.clone().ok_or("this server has no partner")?;
        let taken = exchange::pull(&self.store, &self.site, &link);
        let now = self.clock.now_seconds();
        match &taken {
            Ok(_) => {
                self.exceptions.clear(Trouble::Sync);
            }
            Err(ExchangeError::Link(LinkError::Silent(_))) => {}
            Err(ExchangeError::Store(error @ Error::Chain(_))) => {
                let way_out = "one of the two was put back to an older state while it did not reach the other one: restore on it the latest backup of before that (`backup restore`); what it lacks comes back from its partner and from devices";
                self.exceptions.raise(Trouble::Sync, now, format!("facts cannot be taken from the partner: {error}; {way_out}"));
            }
            Err(error) => {
                if let ExchangeError::Ahead(seconds) = error {
                    self.doubt_tickets(now + seconds + CLOCK_LAG_MAX_SECONDS);
                }
                self.exceptions.raise(Trouble::Sync, now, format!("facts cannot be taken from the partner: {error}"));
            }
        }
        let told = taken.map_err(|error| error.to_string());
        let mut state = self.lock();
        (state.synced_at, state.last_sync) = (self.clock.steady_seconds(), Some((now, told.clone())));
        drop(state);
        self.count_safe();
        told
    }

    /// The server stops: gives its last facts away, so that the other one serves at once.
    pub fn stop(&self) {
        {
            let mut state = self.lock();
            if state.pairing.is_none() {
                return;
            }
            state.link = state.link.take().map(|link| link.in_a_hurry());
            if let Err(error) = self.step(&mut state, Event::Stopping) {
                tracing::warn!(%error, "the stop cannot be kept");
            }
        }
        const PAUSE: Duration = Duration::from_millis(20);
        for _ in 0..(super::roles::SHORTLY * 50) {
            if self.lock().roles.heartbeat().role == Role::Stopped {
                break;
            }
            self.sync_when_due();
            self.tick();
            std::thread::sleep(PAUSE);
        }
        self.tell();
    }
}
