//! Which of two servers serves: primary and standby, and how that changes (domain §8).
//!
//! Pure: events go in with their time, actions come out; the shell has the clock, the wire and the disk.
//!
//! - **Lasting**, on disk: the [`Assignment`], the epoch it was made in and the latest epoch. The *later* assignment is
//!   true for both servers, and the other one takes the opposite: primary and standby, alone and retired. When both
//!   claim the same in the same epoch, their ids decide who is the primary.
//! - **For now**: the [`Role`]. The servers know of each other by heartbeats only.
//! - **A handover**: who must stop serving ([`Role::HandingOver`]) goes on until both hold the facts of both, then
//!   refuses and says so. The other ([`Role::CatchingUp`]) exchanges facts once more, for those that came meanwhile,
//!   and then serves, at the latest after [`SHORTLY`]. So it misses nothing, unless that last exchange fails.
//! - **Silence** of [`SILENCE`] ends all waiting for the other. Cut off from each other both may serve.
//!
//! What an event may lead to, as assignment and role; a test holds this table to the code. `stays`: the role stays, other
//! things may change; `–`: nothing; `refused`: [`Action::Refused`]. A tick means one of many.
//!
//! | is and does | Tick | Heard | FactsExchanged | Promote | Left | Paired | RehearsalBegins | Stopping |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | Alone Serving | – | – | – | refused | refused | Primary Serving, Standby Following, refused | refused | Stopped |
//! | Primary CatchingUp | Primary Serving | Alone Serving, Primary Serving, Retired Following, Standby Following, Standby Serving, stays | Primary Serving | refused | Alone Serving | refused | refused | Stopped |
//! | Primary HandingOver | Primary Serving | Alone Serving, Primary Serving, Retired Following | Standby Following | refused | Alone Serving | refused | refused | Stopping |
//! | Primary Rehearsing | Primary CatchingUp | Alone Serving, Primary CatchingUp, Retired Following, Standby Following, Standby Serving, stays | – | refused | Alone Serving | refused | refused | Stopped |
//! | Primary Serving | stays | Alone Serving, Primary HandingOver, Retired Following, stays | – | refused | Alone Serving | refused | Primary Rehearsing, refused | Stopped, Stopping |
//! | Retired Following | – | – | – | Alone Serving | refused | Standby Following, refused | refused | Stopped |
//! | Standby Following | Standby Serving | Alone Serving, Primary CatchingUp, Primary Serving, Retired Following, Standby Serving, stays | – | Primary CatchingUp | Retired Following | refused | refused | Stopped |
//! | Standby HandingOver | Standby Serving | Alone Serving, Primary Serving, Retired Following, Standby Serving, stays | Standby Following | Primary Serving | Alone Serving | refused | refused | Stopping |
//! | Standby Serving | stays | Alone Serving, Primary Serving, Retired Following, Standby HandingOver, stays | – | Primary Serving | Alone Serving | refused | refused | Stopped, Stopping |
//! | Stopped | – | – | – | refused | refused | refused | refused | – |
//! | Stopping | Stopped | – | Stopped | refused | refused | refused | refused | – |

use Assignment::{Alone, Primary, Retired, Standby};
use serde::{Deserialize, Serialize};

/// Seconds without a heartbeat after which the partner counts as gone.
pub const SILENCE: i64 = 30;
/// Seconds that a starting primary listens for its partner, and that a last exchange of facts may take.
pub const SHORTLY: i64 = 5;
/// The shortest and the longest rehearsal in seconds: the standby takes over in it and serves for a while.
pub const REHEARSAL: (i64, i64) = (60, 300);
/// After so many seconds without any event this server was asleep itself, and its partner not silent.
const ASLEEP: i64 = 10;

/// What a server is until an admin changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assignment {
    /// Serves, without a partner.
    Alone,
    /// Serves whenever it can.
    Primary,
    /// Serves while the primary cannot.
    Standby,
    /// Has left its partner, which goes on with the license of both: does not serve.
    Retired,
}

/// What the disk keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What this server is.
    pub assignment: Assignment,
    /// The epoch in which that was decided.
    pub assigned_in: u64,
    /// The latest epoch: it grows when the other server begins to serve and when an assignment is made.
    pub epoch: u64,
}

/// What a server does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Serves. A standby that does has taken over.
    Serving,
    /// Serves until facts are exchanged: a standby whose primary is back, or a primary whose standby was promoted.
    HandingOver,
    /// Standby, or retired: refuses.
    Following,
    /// Primary that does not serve yet: it listens for its partner and gets its facts.
    CatchingUp,
    /// Primary that plays dead; its heartbeats do not count.
    Rehearsing,
    /// Refuses and gives its last facts away.
    Stopping,
    /// Has nothing left to do but end.
    Stopped,
}

impl Role {
    /// Whether devices are served.
    pub const fn serves(self) -> bool {
        matches!(self, Self::Serving | Self::HandingOver)
    }

    /// Whether nothing can be handed over to who does this.
    const fn leaves(self) -> bool {
        matches!(self, Self::Rehearsing | Self::Stopping | Self::Stopped)
    }
}

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// What it is.
    pub standing: Standing,
    /// What it does.
    pub role: Role,
}

/// What happens to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Another second.
    Tick,
    /// The partner said this; and whether this server is the primary when both claim the same in the same epoch.
    Heard(Heartbeat, bool),
    /// Both servers hold all facts that either held when [`Action::ExchangeFacts`] came with this number.
    FactsExchanged(u64),
    /// An admin makes this standby the primary, or lets a retired server serve.
    Promote,
    /// An admin ends the pairing here; facts are exchanged before, because nobody hands them over after.
    Left,
    /// Two servers become a pair, this one as the given assignment, the other one being in the given epoch.
    Paired(Assignment, u64),
    /// An admin lets the primary play dead for so many seconds, within [`REHEARSAL`].
    RehearsalBegins(i64),
    /// The server shuts down: it ends when its role is [`Role::Stopped`], after at most [`SHORTLY`].
    Stopping,
}

/// What to do, in the order given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Have this on disk before going on.
    Save(Standing),
    /// Serve devices, and record facts under this epoch.
    Serve(u64),
    /// Refuse devices with 100.
    Refuse,
    /// Exchange facts both ways; again until it works or another number comes.
    ExchangeFacts(u64),
    /// Send a heartbeat now, if there is a partner.
    TellPartner,
    /// For the log and the audit trail.
    Note(&'static str),
    /// What was asked for makes no sense now.
    Refused,
}

/// The roles of one server.
#[derive(Debug, Clone)]
pub struct Roles {
    standing: Standing,
    role: Role,
    since: i64,
    now: i64,
    /// What the partner said last.
    theirs: Option<Heartbeat>,
    /// When it was last heard, or waiting for it began.
    heard_at: i64,
    /// When catching up, rehearsing or stopping ends.
    deadline: i64,
    exchange: u64,
    /// Whether the end of that exchange is waited for.
    waiting: bool,
    actions: Vec<Action>,
}

impl Roles {
    /// A server that starts with what the disk keeps, and what it does first. Times are seconds of one clock that never
    /// goes back.
    pub fn start(now: i64, standing: Standing) -> (Self, Vec<Action>) {
        let (role, first) = match standing.assignment {
            Alone => (Role::Serving, Action::Serve(standing.epoch)),
            Primary => (Role::CatchingUp, Action::Refuse),
            Standby | Retired => (Role::Following, Action::Refuse),
        };
        let (since, heard_at, deadline) = (now, now, now + SHORTLY);
        let roles = Self { standing, role, since, now, theirs: None, heard_at, deadline, exchange: 0, waiting: false, actions: Vec::new() };
        (roles, vec![first, Action::TellPartner])
    }

    /// Whether devices are served.
    pub fn serving(&self) -> bool {
        self.role.serves()
    }

    /// What this server is: `primary` or `standby`.
    pub fn role_name(&self) -> &'static str {
        if matches!(self.standing.assignment, Alone | Primary) { "primary" } else { "standby" }
    }

    /// The epoch to record facts under.
    pub fn epoch(&self) -> u64 {
        self.standing.epoch
    }

    /// Since when it has its role, in the seconds of the events.
    pub fn since(&self) -> i64 {
        self.since
    }

    /// What to say to the partner: every 5 s, when told to, and in answer to its heartbeats.
    pub fn heartbeat(&self) -> Heartbeat {
        Heartbeat { standing: self.standing, role: self.role }
    }

    /// What follows from an event.
    pub fn step(&mut self, now: i64, event: Event) -> Vec<Action> {
        let (said, gone, slept) = (self.heartbeat(), self.is_partner_gone(), now - self.now);
        self.now = self.now.max(now);
        if slept > ASLEEP {
            self.heard_at += slept;
        }
        let (Standing { assignment, epoch, .. }, next) = (self.standing, self.next_epoch());
        match event {
            Event::Tick => {}
            Event::Heard(theirs, wins_ties) => self.hear(theirs, wins_ties),
            Event::FactsExchanged(number) => self.facts_are_exchanged(number),
            Event::Stopping if matches!(self.role, Role::Stopping | Role::Stopped) => {}
            Event::Stopping => self.stop(),
            Event::Promote if self.is_paired() && assignment == Standby => self.assign(Primary, next, "promoted"),
            Event::Promote if self.role == Role::Following => self.assign(Alone, next, "promoted"),
            Event::Left if self.is_paired() && (assignment == Primary || self.serving()) => self.assign(Alone, next, "left the pair"),
            Event::Left if self.is_paired() => self.assign(Retired, next, "left the pair"),
            Event::Paired(Primary, theirs) if assignment == Alone && self.serving() => self.assign(Primary, epoch.max(theirs).saturating_add(1), "paired"),
            Event::Paired(Standby, theirs) if !self.is_paired() && !self.role.leaves() => self.assign(Standby, epoch.max(theirs).saturating_add(1), "paired"),
            Event::RehearsalBegins(seconds) if self.is_followed() => {
                self.set_role(Role::Rehearsing);
                self.deadline = self.now + seconds.clamp(REHEARSAL.0, REHEARSAL.1);
                self.actions.extend([Action::Refuse, Action::Note("rehearsal began")]);
            }
            _ => self.actions.push(Action::Refused),
        }
        self.look_at_the_time();
        if self.is_paired() && self.is_partner_gone() != gone {
            self.actions.push(Action::Note(if gone { "the partner is back" } else { "the partner is gone" }));
        }
        if self.heartbeat() != said {
            self.actions.push(Action::TellPartner);
        }
        std::mem::take(&mut self.actions)
    }

    fn is_paired(&self) -> bool {
        matches!(self.standing.assignment, Primary | Standby) && !matches!(self.role, Role::Stopping | Role::Stopped)
    }

    fn is_partner_gone(&self) -> bool {
        self.is_paired() && self.now - self.heard_at >= SILENCE
    }

    fn is_followed(&self) -> bool {
        self.role == Role::Serving && self.is_paired() && !self.is_partner_gone() && self.theirs.is_some_and(|theirs| theirs.role == Role::Following)
    }

    fn hear(&mut self, theirs: Heartbeat, wins_ties: bool) {
        let (mine, their) = (self.standing, theirs.standing);
        let (later, tied) = (their.assigned_in > mine.assigned_in, their.assigned_in == mine.assigned_in && their.assignment == mine.assignment);
        if !self.is_paired() || matches!(their.assignment, Alone | Retired) && !later {
            return;
        }
        self.theirs = Some(theirs);
        match theirs.role {
            Role::Stopped => self.heard_at = self.now - SILENCE,
            Role::Rehearsing => {}
            _ => self.heard_at = self.now,
        }
        let rightful = match their.assignment {
            Alone if later => Retired,
            Primary if later => Standby,
            Standby if later => Primary,
            Retired if later => Alone,
            _ if tied && wins_ties => Primary,
            _ if tied => Standby,
            _ => mine.assignment,
        };
        let deposed = (mine.assignment, rightful) == (Primary, Standby) && self.serving();
        if !deposed && (later || rightful != mine.assignment) {
            self.assign(rightful, their.assigned_in, "assigned by the partner");
        }
        let must_stop = deposed || self.standing.assignment == Standby;
        match self.role {
            Role::Serving if must_stop && !theirs.role.leaves() => {
                self.set_role(Role::HandingOver);
                self.exchange_facts(true);
            }
            Role::Serving if !must_stop && !theirs.role.serves() && their.epoch > self.epoch() => {
                self.serve("serves under a new epoch");
                self.exchange_facts(false);
            }
            Role::HandingOver if !must_stop || theirs.role.leaves() => self.set_role(Role::Serving),
            Role::CatchingUp if theirs.role == Role::Stopped => self.serve("serves: the partner has stopped"),
            Role::CatchingUp if theirs.role.serves() => (self.deadline, self.waiting) = (self.now + SILENCE, false),
            Role::CatchingUp if !self.waiting => {
                self.deadline = self.now + SHORTLY;
                self.exchange_facts(true);
            }
            Role::Following if their.epoch > self.epoch() => {
                self.standing.epoch = their.epoch;
                self.actions.push(Action::Save(self.standing));
            }
            _ => {}
        }
    }

    fn facts_are_exchanged(&mut self, number: u64) {
        match (self.role, self.theirs) {
            _ if !self.waiting || number != self.exchange => {}
            (Role::CatchingUp, _) => self.serve("serves with the facts of both"),
            (Role::Stopping, _) => self.set_role(Role::Stopped),
            (Role::HandingOver, Some(theirs)) if self.standing.assignment == Primary => self.assign(Standby, theirs.standing.assigned_in, "stepped down"),
            (Role::HandingOver, _) => {
                self.set_role(Role::Following);
                self.actions.extend([Action::Refuse, Action::Note("handed back")]);
            }
            _ => {}
        }
    }

    fn look_at_the_time(&mut self) {
        let (gone, late) = (self.is_partner_gone(), self.now >= self.deadline);
        match self.role {
            Role::Following if gone => self.serve("took over"),
            Role::HandingOver if gone => self.set_role(Role::Serving),
            Role::CatchingUp if late => self.serve("serves without the facts of the partner"),
            Role::Rehearsing if late || gone => {
                self.catch_up();
                self.actions.push(Action::Note("rehearsal ended"));
            }
            Role::Stopping if late => self.set_role(Role::Stopped),
            _ => {}
        }
    }

    fn stop(&mut self) {
        let hands_over = self.is_paired() && self.serving() && !self.is_partner_gone() && self.theirs.is_some();
        self.actions.push(Action::Refuse);
        self.set_role(if hands_over { Role::Stopping } else { Role::Stopped });
        if hands_over {
            self.deadline = self.now + SHORTLY;
            self.exchange_facts(true);
        }
    }

    /// Makes a lasting assignment, with the role that it means.
    fn assign(&mut self, assignment: Assignment, assigned_in: u64, note: &'static str) {
        let (before, served) = (self.standing.assignment, self.serving());
        self.standing = Standing { assignment, assigned_in, epoch: self.standing.epoch.max(assigned_in) };
        self.actions.push(Action::Save(self.standing));
        if matches!(before, Alone | Retired) {
            (self.theirs, self.heard_at) = (None, self.now);
        }
        match assignment {
            _ if assignment == before => {}
            Primary if !served => self.catch_up(),
            Primary | Alone => self.set_role(Role::Serving),
            Standby | Retired => self.set_role(Role::Following),
        }
        self.actions.extend([if self.serving() { Action::Serve(self.epoch()) } else { Action::Refuse }, Action::Note(note)]);
        if assignment == Standby && before != Standby {
            self.exchange_facts(false);
        }
    }

    /// Begins to serve, under a new epoch if it is not the one who served last.
    fn serve(&mut self, note: &'static str) {
        if self.standing.assignment == Standby || self.theirs.is_some_and(|theirs| theirs.standing.epoch > self.epoch()) {
            self.standing.epoch = self.next_epoch();
            self.actions.push(Action::Save(self.standing));
        }
        self.set_role(Role::Serving);
        self.actions.extend([Action::Serve(self.epoch()), Action::Note(note)]);
    }

    fn catch_up(&mut self) {
        self.set_role(Role::CatchingUp);
        let serves = self.theirs.is_some_and(|theirs| theirs.role.serves());
        self.deadline = (self.now + SHORTLY).max(if serves { self.heard_at + SILENCE } else { self.now });
    }

    fn set_role(&mut self, role: Role) {
        if role != self.role {
            (self.role, self.since, self.waiting) = (role, self.now, false);
        }
    }

    fn exchange_facts(&mut self, wait: bool) {
        (self.exchange, self.waiting) = (self.exchange + 1, wait);
        self.actions.push(Action::ExchangeFacts(self.exchange));
    }

    fn next_epoch(&self) -> u64 {
        self.theirs.map_or(0, |theirs| theirs.standing.epoch).max(self.epoch()).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::collections::{BTreeMap, BTreeSet};

    /// Tries every event in every role, with all kinds of partners, and compares what happened with the table above.
    #[test]
    fn the_table_says_what_the_code_does() {
        let (number, mut found) = (Cell::new(7_u64), BTreeMap::<String, [BTreeSet<String>; 8]>::new());
        let below = |end: u64| {
            number.set([(13, 64), (64, 7), (17, 64)].iter().fold(number.get(), |it, (left, right)| it ^ it.unbounded_shl(*left) ^ it.unbounded_shr(*right)));
            number.get() % end
        };
        let assignments = [Alone, Primary, Standby, Retired];
        let all = [Role::Serving, Role::HandingOver, Role::Following, Role::CatchingUp, Role::Rehearsing, Role::Stopping, Role::Stopped];
        let name = |roles: &Roles| match roles.role {
            Role::Stopping | Role::Stopped => format!("{:?}", roles.role),
            role => format!("{:?} {role:?}", roles.standing.assignment),
        };
        for _ in 0..12_000 {
            let standing = || Standing { assignment: assignments[below(4) as usize], assigned_in: below(3), epoch: 2 + below(3) };
            let mut roles = Roles::start(0, standing()).0;
            for _ in 0..8 {
                let (here, theirs) = (roles.clone(), Heartbeat { standing: standing(), role: all[below(7) as usize] });
                let paired = Event::Paired(theirs.standing.assignment, theirs.standing.epoch);
                let (heard, exchanged) = (Event::Heard(theirs, below(2) == 0), Event::FactsExchanged(here.exchange.saturating_sub(below(2))));
                let events = [Event::Tick, heard, exchanged, Event::Promote, Event::Left, paired, Event::RehearsalBegins(0), Event::Stopping];
                let chosen = if here.is_followed() { 6 } else { [0, 1, 1, 1, 2, 3, 5, 7][below(8) as usize] };
                for (column, event) in events.into_iter().enumerate() {
                    let mut next = here.clone();
                    for _ in 0..if column == 0 { 2 * SILENCE } else { 1 } {
                        let before = name(&next);
                        let actions = next.step(next.now + i64::from(column == 0), event);
                        let outcome = match name(&next) {
                            _ if actions.contains(&Action::Refused) => "refused".to_owned(),
                            after if after != before => after,
                            _ => if actions.is_empty() { "–" } else { "stays" }.to_owned(),
                        };
                        found.entry(before).or_default()[column].insert(outcome);
                    }
                    if column == chosen {
                        roles = next;
                    }
                }
            }
        }
        let cell = |outcomes: &BTreeSet<String>| outcomes.iter().filter(|it| *it != "–" || outcomes.len() == 1).cloned().collect::<Vec<_>>().join(", ");
        let table: Vec<String> = found.iter().map(|(row, cells)| format!("//! | {row} | {} |", cells.each_ref().map(cell).join(" | "))).collect();
        let written: Vec<&str> = include_str!("roles.rs").lines().filter(|line| line.starts_with("//! | ")).skip(2).collect();
        assert!(written == table, "the table should be:\n{}", table.join("\n"));
    }
}
