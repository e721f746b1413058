//! Giving the license back: when the application wants it, and at its end (domain §4, "Seats").

use super::state::{Grant, Part, State};
use super::trust::{self, Expected};
use super::{Action, Ask, Core, RELEASE, Standing, Work, outbox};
use crate::client::error::{Code, LicenseError};
use crate::client::settings::ReleaseOnClose;
use crate::documents::Claims;
use crate::licensing::{ChargeWay, ItemId};
use crate::protocol::release::ReleaseRequest;

/// A grant that is kept, and what it says.
struct Kept<'s> {
    name: &'s String,
    grant: &'s Grant,
    claims: Claims,
}

/// Whether a license is about instances only, which nobody needs while nobody works.
fn is_floating(claims: &Claims) -> bool {
    !claims.items.is_empty() && claims.items.iter().all(|item| item.charge_way == ChargeWay::ConcurrentInstance)
}

impl Core {
    /// Whether closing gives the license back: what the application wants, and what no other process needs.
    /// `others` is what those of the machine use that live, each as [`Core::asked_for`] of it says; `None` of one
    /// that does not tell.
    pub fn is_given_back_at_the_end(&mut self, others: &[Option<String>], state: &State) -> bool {
        let site = self.time.tell(self.now);
        let Some(claims) = self.standing.claims() else { return false };
        let mut sharing = self.find_sharing(state);
        sharing.retain(|kept| !kept.grant.withdrawn && kept.claims.exp > site);
        let is_wanted = match self.config.settings.release_on_close {
            // Another application, which is closed, may start with no network by a grant that holds a named seat
            // as well: then this one may not take its instances away.
            ReleaseOnClose::Instances => is_floating(claims) && sharing.iter().all(|kept| is_floating(&kept.claims)),
            ReleaseOnClose::Seat => true,
            ReleaseOnClose::Nothing => false,
        };
        let uses_it = |other: &Option<String>| match other {
            Some(name) => *name == self.asked_for || sharing.iter().any(|kept| kept.name == name),
            None => true,
        };
        is_wanted && !self.config.servers.is_empty() && !others.iter().any(uses_it)
    }

    /// The genuine grants of this device.
    fn find_genuine<'s>(&self, state: &'s State) -> Vec<Kept<'s>> {
        let expected = Expected { client_uuid: self.client(state), nonce: None, organization_id: None, handshake_code: None };
        let genuine = state.grants.granted.iter().filter_map(|(name, grant)| {
            let claims = trust::check(&grant.authorization, &self.config.vendors, &expected).ok()?;
            Some(Kept { name, grant, claims })
        });
        genuine.collect()
    }

    /// Those of them that are about an item that ours is about as well; ours is one of them.
    fn find_sharing<'s>(&self, state: &'s State) -> Vec<Kept<'s>> {
        let mut sharing = self.find_genuine(state);
        let ours = self.find_items(state);
        sharing.retain(|kept| kept.claims.items.iter().any(|item| ours.contains(&item.item_id)));
        sharing
    }

    /// The items that our grant is about.
    fn find_items(&self, state: &State) -> Vec<ItemId> {
        let genuine = self.find_genuine(state);
        let ours = genuine.iter().find(|kept| *kept.name == self.asked_for);
        ours.map_or_else(Vec::new, |kept| kept.claims.items.iter().map(|item| item.item_id).collect())
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
                self.took_reports = None;
                outbox::retry_failed(state);
                self.report(state, actions);
            }
        }
    }

    /// All is reported.
    pub(super) fn ask_release(&mut self, state: &State, actions: &mut Vec<Action>) {
        let Some(grant) = state.grants.granted.get(&self.asked_for) else { return self.released(actions) };
        let items = self.find_items(state);
        if items.is_empty() {
            let message = "the authorization that is kept here is not genuine: initialize again to get one that can be given back";
            return self.not_released(LicenseError::new(Code::NotGenuine, message), actions);
        }
        let request = ReleaseRequest { client_uuid: self.client(state), authorization: self.find_latest(grant, state).to_owned(), items: Some(items) };
        let body = serde_json::to_vec(&request).unwrap_or_default();
        // Whoever took the reports answers.
        let mut servers = self.servers_to_ask(self.took_reports.as_ref().unwrap_or(&grant.server));
        let Some(server) = servers.pop() else { return self.released(actions) };
        self.work = Work::Releasing { body: body.clone(), servers };
        actions.push(Action::Ask(Ask { server, path: RELEASE, body }));
    }

    /// A server takes the last authorization that it gave under this code, which may be another
    /// application's of this device.
    fn find_latest<'s>(&self, ours: &'s Grant, state: &'s State) -> &'s str {
        let genuine = self.find_genuine(state);
        let hid = genuine.iter().find(|kept| *kept.name == self.asked_for).map(|kept| kept.claims.hid);
        let latest = genuine.iter().filter(|kept| Some(kept.claims.hid) == hid).max_by_key(|kept| kept.claims.iat);
        latest.map_or(&ours.authorization, |kept| &kept.grant.authorization)
    }

    /// A server took the license back: nothing that is about the same items lets this device work any more.
    pub(super) fn withdraw_all(&mut self, state: &mut State) {
        let names: Vec<String> = self.find_sharing(state).into_iter().filter(|kept| !kept.grant.withdrawn).map(|kept| kept.name.clone()).collect();
        self.withdraw(state);
        for name in names {
            if let Some(grant) = state.grants.granted.get_mut(&name) {
                grant.withdrawn = true;
                state.touch(Part::Grants);
            }
        }
    }

    /// How many servers may still be asked, the present one included, until a license that is being given back is
    /// given back.
    pub fn tries_left(&self) -> u32 {
        let count = match &self.work {
            Work::Reporting { servers, .. } => servers.len() + 1 + usize::from(self.is_leaving),
            Work::Releasing { servers, .. } => servers.len() + 1,
            Work::Authorizing { .. } | Work::Nothing => 1,
        };
        u32::try_from(count).unwrap_or(1)
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
