//! What an admin changes: two servers become a pair, the other one serves for good or for a rehearsal,
//! the two part.

use std::sync::Arc;

use super::{Keeper, State};
use crate::commands::exceptions::Trouble;
use crate::replication::link::Link;
use crate::replication::partner::{INVITATION_ROW, Invitation, Keep, PARTNER_ROW, Pairing};
use crate::replication::roles::{Assignment, Event, Heartbeat};
use crate::store::Error;

/// Why somebody who is not in the license is not made to serve.
const NOT_LICENSED: &str = "no installed license names the standby, so it could not serve: run `tollkeeper license request` on the primary, send the file to the vendor, and import what comes back";

impl Keeper {
    /// A new server showed the token: the two are a pair from now on, this one as the primary.
    ///
    /// # Errors
    /// It has a partner, or is a standby itself.
    pub fn begin_as_primary(&self, pairing: Pairing, token_sha256: &str) -> Result<(), String> {
        let told = |error: Error| error.to_string();
        let link = Link::to(&pairing, &self.ca_pem).map_err(|error| error.to_string())?;
        // The first one who shows the token uses it up, unless it is refused.
        let rows = vec![(PARTNER_ROW, pairing.seal(&self.site).map_err(told)?), (INVITATION_ROW, Vec::new())];
        let mut state = self.lock();
        let open = self.store.reader().and_then(|reader| Invitation::load(&reader)).map_err(told)?;
        if open.is_none_or(|open| open.token_sha256 != token_sha256) {
            return Err("the token was used already: run `tollkeeper standby invite` again".to_owned());
        }
        if self.step(&mut state, Event::Paired(Assignment::Primary, 0)).map_err(told)? {
            return Err("this server has a partner already, or is a standby: `tollkeeper standby leave` ends that".to_owned());
        }
        self.store.writer().submit_blocking(Keep { rows, epoch: 0 }).map_err(told)?;
        (state.pairing, state.link, state.theirs) = (Some(Arc::new(pairing)), Some(link), None);
        self.publish(&state);
        drop(state);
        self.count_safe();
        Ok(())
    }

    /// The admin makes this standby the primary.
    ///
    /// # Errors
    /// It is no standby.
    pub fn promote(&self) -> Result<(), String> {
        if !self.site.is_licensed(self.site.uuid()) {
            return Err(NOT_LICENSED.to_owned());
        }
        let mut state = self.lock();
        if self.step(&mut state, Event::Promote).map_err(|error| error.to_string())? {
            return Err("only a standby can be promoted, and this server is none".to_owned());
        }
        Ok(())
    }

    /// The admin rehearses a failover: for so many seconds this primary plays dead.
    ///
    /// # Errors
    /// It is no primary with a standby that follows.
    pub fn rehearse(&self, seconds: i64) -> Result<(), String> {
        if self.pairing().is_some_and(|pairing| !self.site.is_licensed(pairing.partner.server.uuid)) {
            return Err(NOT_LICENSED.to_owned());
        }
        let mut state = self.lock();
        if self.step(&mut state, Event::RehearsalBegins(seconds)).map_err(|error| error.to_string())? {
            return Err("a failover can be rehearsed only on a primary that serves and whose standby follows: look at `tollkeeper standby status`".to_owned());
        }
        Ok(())
    }

    /// The admin ends the pairing. Facts are exchanged before; with `force` also when that fails.
    ///
    /// # Errors
    /// There is no partner, or it does not answer.
    pub fn leave(&self, force: bool) -> Result<(), String> {
        let link = self.lock().link.clone().ok_or("this server has no partner")?;
        let exchanged = self.exchange();
        if let (Err(error), false) = (&exchanged, force) {
            return Err(format!("facts cannot be exchanged with the partner before it is left ({error}): mend that, or leave with --force"));
        }
        let mut state = self.lock();
        if self.step(&mut state, Event::Left).map_err(|error| error.to_string())? {
            return Err("this server has no partner, or is stopping".to_owned());
        }
        let said = state.roles.heartbeat();
        self.forget(&mut state).map_err(|error| error.to_string())?;
        drop(state);
        self.count_safe();
        match link.say_quickly::<serde_json::Value>("/leave", &said) {
            Ok(_) => Ok(()),
            Err(_) if force => Ok(()),
            Err(error) => Err(format!("this server has left, but its partner was not told ({error}): run `tollkeeper standby leave --force` there too")),
        }
    }

    /// The partner ended the pairing, and is now as it says.
    ///
    /// # Errors
    /// That cannot be kept.
    pub fn end(&self, theirs: Heartbeat) -> Result<(), Error> {
        let mut state = self.lock();
        let Some(pairing) = state.pairing.clone() else { return Ok(()) };
        let wins_ties = self.site.uuid().bytes() < pairing.partner.server.uuid.bytes();
        self.step(&mut state, Event::Heard(theirs, wins_ties))?;
        if matches!(state.roles.heartbeat().standing.assignment, Assignment::Primary | Assignment::Standby) {
            // It has taken another partner.
            self.step(&mut state, Event::Left)?;
        }
        self.forget(&mut state)?;
        drop(state);
        self.count_safe();
        self.exceptions.clear(Trouble::Partner);
        self.exceptions.clear(Trouble::Sync);
        Ok(())
    }

    fn forget(&self, state: &mut State) -> Result<(), Error> {
        self.store.writer().submit_blocking(Keep { rows: vec![(PARTNER_ROW, Vec::new())], epoch: 0 })?;
        (state.pairing, state.link, state.theirs, state.exchange) = (None, None, None, None);
        self.publish(state);
        Ok(())
    }
}
