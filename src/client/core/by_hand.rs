//! What is carried between device and server where there is no network.

use super::outbox::Submitted;
use super::site_time::Moment;
use super::state::State;
use super::trust::Distrust;
use super::{Action, Core, counting, outbox, trust};
use crate::client::error::{Code, LicenseError};
use crate::protocol::authorize::AuthorizeAnswer;
use crate::protocol::reports::{CarriedReports, ReportsAnswer, ReportsGroup};

impl Core {
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

    /// Everything that was done and not acknowledged, to be carried to the server: what was done
    /// under this grant first, then what was done under others, before settings were changed or by
    /// other applications of the device. `None` when there is nothing.
    pub fn carried_reports(&mut self, state: &mut State, now: Moment) -> Option<CarriedReports> {
        self.time.merge(state.device.time, now);
        let stamp = self.time.stamp(now);
        counting::close(state, stamp, stamp);
        let (granted, ours) = (&state.grants.granted, &self.asked_for);
        let names = granted.keys().filter(|name| *name == ours).chain(granted.keys().filter(|name| *name != ours));
        let mut groups = names.filter_map(|name| {
            let reports: Vec<_> = state.stored().filter(|stored| stored.grant == *name).map(|stored| stored.report.clone()).collect();
            (!reports.is_empty()).then(|| ReportsGroup { authorization: granted[name].authorization.clone(), reports })
        });
        let ReportsGroup { authorization, reports } = groups.next()?;
        Some(CarriedReports { client_uuid: self.client(state), authorization, reports, further: groups.collect(), seen: state.seen() })
    }

    /// The receipt for carried reports.
    pub fn take_receipt(&mut self, answer: &ReportsAnswer, state: &mut State) -> Submitted {
        outbox::take_answer(state, answer)
    }
}
