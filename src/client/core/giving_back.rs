//! Giving the license back: when the application wants it, and at its end (domain §4, "Seats").

use super::state::{Grant, Part, State};
use super::trust::{self, Expected};
use super::{Action, Ask, Core, RELEASE, Standing, Work, outbox};
use crate::client::error::{Code, LicenseError};
use crate::client::settings::ReleaseOnClose;
use crate::documents::Claims;
use crate::licensing::ChargeWay;
use crate::protocol::release::ReleaseRequest;

impl Core {
    /// Whether closing gives the license back. `others` is what the other processes of the machine use that
    /// live, each as [`Core::asked_for`] of it says; `None` of one that does not tell.
    pub fn is_given_back_at_the_end(&self, others: &[Option<String>], state: &State) -> bool {
        let Some(claims) = self.standing.claims() else { return false };
        let is_wanted = match self.config.settings.release_on_close {
            ReleaseOnClose::Instances => !claims.items.is_empty() && claims.items.iter().all(|item| item.charge_way == ChargeWay::ConcurrentInstance),
            ReleaseOnClose::Seat => true,
            ReleaseOnClose::Nothing => false,
        };
        let sharing = self.find_sharing(state);
        let uses_it = |other: &Option<String>| match other {
            Some(name) => *name == self.asked_for || sharing.iter().any(|(shared, grant, _)| *shared == name && !grant.withdrawn),
            None => true,
        };
        is_wanted && !self.config.servers.is_empty() && !others.iter().any(uses_it)
    }

    /// The grants of this device that are about an item that ours is about as well; ours is one of them.
    fn find_sharing<'s>(&self, state: &'s State) -> Vec<(&'s String, &'s Grant, Claims)> {
        let expected = Expected { client_uuid: self.client(state), nonce: None, organization_id: None, handshake_code: None };
        let genuine = state.grants.granted.iter().filter_map(|(name, grant)| {
            let claims = trust::check(&grant.authorization, &self.config.vendors, &expected).ok()?;
            Some((name, grant, claims))
        });
        let mut sharing: Vec<_> = genuine.collect();
        let ours = sharing.iter().find(|(name, ..)| **name == self.asked_for).map_or_else(Vec::new, |(_, _, claims)| claims.items.clone());
        sharing.retain(|(_, _, claims)| claims.items.iter().any(|item| ours.iter().any(|our| our.item_id == item.item_id)));
        sharing
    }

    /// What was done is reported first, the slot that goes on included: afterwards nobody may.
    pub(super) fn release(&mut self, state: &mut State, actions: &mut Vec<Action>) {
        match state.grants.granted.get(&self.asked_for).filter(|grant| !grant.withdrawn) {
            None => self.released(actions),
            Some(_) if self.config.servers.is_empty() => {
                let message = "this authorization was carried here, and no server is set: carry the report file to the license server, whose administrator releases the device";
                self.not_released(LicenseError::new(Code::NoServer, message), actions);
            }
            Some(_) => {
                self.is_leaving = true;
                outbox::retry_failed(state);
                self.report(state, actions);
            }
        }
    }

    /// All is reported.
    pub(super) fn ask_release(&mut self, state: &State, actions: &mut Vec<Action>) {
        let Some(grant) = state.grants.granted.get(&self.asked_for) else { return self.released(actions) };
        let request = ReleaseRequest { client_uuid: self.client(state), authorization: self.find_latest(grant, state).to_owned() };
        let body = serde_json::to_vec(&request).unwrap_or_default();
        let mut servers = self.servers_to_ask(&grant.server);
        let Some(server) = servers.pop() else { return self.released(actions) };
        self.work = Work::Releasing { body: body.clone(), servers };
        actions.push(Action::Ask(Ask { server, path: RELEASE, body }));
    }

    /// A server takes the last authorization that it gave under this code, which may be another
    /// application's of this device.
    fn find_latest<'s>(&self, ours: &'s Grant, state: &'s State) -> &'s str {
        let sharing = self.find_sharing(state);
        let hid = sharing.iter().find(|(name, ..)| **name == self.asked_for).map(|(_, _, claims)| claims.hid);
        let latest = sharing.iter().filter(|(_, _, claims)| Some(claims.hid) == hid).max_by_key(|(_, _, claims)| claims.iat);
        latest.map_or(&ours.authorization, |(_, grant, _)| &grant.authorization)
    }

    /// A server took the license back: nothing that is about the same items lets this device work any more.
    pub(super) fn withdraw_all(&mut self, state: &mut State) {
        self.withdraw(state);
        let names: Vec<String> = self.find_sharing(state).into_iter().filter(|(_, grant, _)| !grant.withdrawn).map(|(name, ..)| name.clone()).collect();
        for name in names {
            if let Some(grant) = state.grants.granted.get_mut(&name) {
                grant.withdrawn = true;
                state.touch(Part::Grants);
            }
        }
    }

    /// Everything stays as it was.
    pub(super) fn not_released(&mut self, error: LicenseError, actions: &mut Vec<Action>) {
        self.is_leaving = false;
        actions.push(Action::NotReleased(error));
    }

    pub(super) fn released(&mut self, actions: &mut Vec<Action>) {
        self.renew_at = i64::MAX;
        self.stand(Standing::Unlicensed(LicenseError::new(Code::NoServer, "the license was given back: initialize again to take one")), actions);
    }
}
