//! From what the application counted to the reports that servers take.

use uuid::Uuid;

use super::counting::{self, Counts, Under};
use super::state::{Part, State};
use super::{Action, Ask, Core, REPORTS, Source, Standing, Work, outbox, trust};
use crate::licensing::item::same_word;
use crate::licensing::{ChargeWay, Unit};
use crate::protocol::REPORT_INTERVAL_SECONDS;

impl Core {
    /// Says what this process holds, if with that no more is held than `granted`. How many the
    /// others hold.
    pub fn hold(&mut self, held: u32, granted: u32, alive: &[Uuid], state: &mut State) -> u32 {
        let before = state.open.held.clone();
        state.open.held.retain(|session, _| alive.contains(session) && (held > 0 || *session != self.session));
        self.others_hold = state.open.held.iter().filter(|(session, _)| **session != self.session).fold(0, |sum, (_, held)| sum.saturating_add(*held));
        if held > 0 && held.saturating_add(self.others_hold) <= granted {
            state.open.held.insert(self.session, held);
        }
        if state.open.held != before {
            state.touch(Part::Open);
        }
        self.others_hold
    }

    pub(super) fn count(&mut self, counts: &Counts, held: u32, alive: &[Uuid], state: &mut State) {
        self.hold(held, u32::MAX, alive, state);
        let Some(under) = self.find_under(state) else { return };
        let under = Under { grant: &self.asked_for, handshake_code: &under, product: &self.config.settings.product };
        counting::add(state, counts, under, self.others_hold.saturating_add(held));
    }

    /// The handshake code under which is counted: whatever was granted last.
    pub(super) fn find_under(&self, state: &State) -> Option<String> {
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

    pub(super) fn report_interval(&self, state: &State) -> i64 {
        state.grants.granted.get(&self.asked_for).map_or(i64::from(REPORT_INTERVAL_SECONDS), |grant| i64::from(grant.report_interval))
    }

    pub(super) fn begin_reports(&mut self, state: &mut State, site: i64, actions: &mut Vec<Action>) {
        self.report_at = site + self.report_interval(state);
        self.report(state, actions);
    }

    /// Makes reports of the slots that are over for every process, and sends what there is.
    pub(super) fn report(&mut self, state: &mut State, actions: &mut Vec<Action>) {
        let is_alone = state.open.held.keys().all(|session| *session == self.session);
        // What was counted is flushed before this, but for the last moment; another process tells
        // what it counted at the latest when it flushes.
        let lag = if is_alone { 1 } else { i64::from(self.config.settings.flush_seconds) };
        let stamp = self.time.stamp(self.now);
        counting::close(state, stamp - lag, stamp);
        if self.is_leaving {
            counting::close_of(state, &self.asked_for);
        }
        let Some(batch) = outbox::next_batch(state, self.client(state), &self.config.servers) else {
            if self.is_leaving {
                self.ask_release(state, actions);
            }
            return;
        };
        let mut servers = match (&self.took_reports, &self.standing) {
            // The other one may be silent, and there is little time.
            (Some(took), _) if self.is_leaving => self.servers_to_ask(took),
            (_, Standing::Licensed { source: Source::Server(serving), .. }) => self.servers_to_ask(serving),
            _ => self.servers_to_ask(""),
        };
        let Some(server) = servers.pop() else { return };
        let ids = batch.reports.iter().map(|report| report.report_id).collect();
        let body = serde_json::to_vec(&batch).unwrap_or_default();
        self.work = Work::Reporting { ids, batch: body.clone(), server: server.clone(), servers };
        actions.push(Action::Ask(Ask { server, path: REPORTS, body }));
    }
}
