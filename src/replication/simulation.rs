//! Two servers and what is between them, second by second: what [`super::roles`] promises, as stories and by chance.

use super::roles::Assignment::{Primary, Retired, Standby};
use super::roles::{Action, Assignment, Event, Heartbeat, Role, Roles, Standing};

/// Numbers that look random (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }
}

/// An exchange of facts under way: its number, when it is through, and how many facts of each server it carries.
type Exchange = (u64, i64, [u64; 2]);

struct Site {
    now: i64,
    disks: [Standing; 2],
    servers: [Option<Roles>; 2],
    /// The epochs under which they were told to serve, if they were.
    told: [Option<u64>; 2],
    heartbeats: Vec<(usize, Heartbeat)>,
    exchanges: [Option<Exchange>; 2],
    /// How many facts of each server each server holds.
    facts: [[u64; 2]; 2],
    /// Whether the servers do not reach each other.
    cut: bool,
    /// How many heartbeats in a hundred get lost; if any do, others are late.
    lost: u64,
    /// Whether all was well before the latest command.
    strict: bool,
    /// Seconds that nobody has served, and the longest of such times.
    idle: i64,
    longest: i64,
    notes: Vec<(usize, &'static str)>,
    random: Random,
}

impl Site {
    fn new(assignments: [Assignment; 2]) -> Self {
        let mut site = Self {
            now: 0,
            disks: assignments.map(|assignment| Standing { assignment, assigned_in: 1, epoch: 1 }),
            servers: [None, None],
            told: [None; 2],
            heartbeats: Vec::new(),
            exchanges: [None; 2],
            facts: [[0; 2]; 2],
            cut: false,
            lost: 0,
            strict: true,
            idle: 0,
            longest: 0,
            notes: Vec::new(),
            random: Random(3),
        };
        site.play("start:0 start:1");
        site
    }

    fn step(&mut self, server: usize, event: Event) {
        if let Some(roles) = &mut self.servers[server] {
            let actions = roles.step(self.now, event);
            self.obey(server, &actions);
        }
    }

    fn obey(&mut self, server: usize, actions: &[Action]) {
        let all = [self.facts[0][0], self.facts[1][1]];
        for action in actions {
            match action {
                Action::Save(standing) => {
                    assert!(standing.epoch >= self.disks[server].epoch, "epochs never go down");
                    self.disks[server] = *standing;
                }
                Action::Serve(epoch) => {
                    assert_eq!(*epoch, self.disks[server].epoch, "the epoch is on disk first");
                    assert_ne!(self.told[server].replace(*epoch), Some(*epoch), "told once");
                }
                Action::Refuse => self.told[server] = None,
                Action::Refused => {}
                Action::ExchangeFacts(number) => {
                    let longest = if self.lost > 0 { 40 } else { 4 };
                    self.exchanges[server] = Some((*number, self.now + 1 + self.random.below(longest) as i64, all));
                }
                Action::TellPartner => self.say(server),
                Action::Note(note) => {
                    assert!(!self.strict || *note != "serves with the facts of both" || self.facts[server] == all, "no fact is missed in a handover");
                    self.notes.push((server, note));
                }
            }
        }
        let serves = self.servers[server].as_ref().filter(|roles| roles.serving());
        assert_eq!(self.told[server], serves.map(Roles::epoch), "what it was told is what it does");
    }

    fn say(&mut self, server: usize) {
        self.heartbeats.extend(self.servers[server].as_ref().map(|roles| (server, roles.heartbeat())));
    }

    /// Such as `0` or `01`.
    fn serving(&self) -> String {
        (0..2).filter(|server| self.servers[*server].as_ref().is_some_and(Roles::serving)).map(|server| server.to_string()).collect()
    }

    fn second(&mut self) {
        self.now += 1;
        for server in 0..2 {
            self.facts[server][server] += u64::from(self.servers[server].as_ref().is_some_and(Roles::serving));
            self.step(server, Event::Tick);
            if self.now % 5 == server as i64 {
                self.say(server);
            }
            if let Some((number, ..)) = self.exchanges[server] {
                self.step(server, Event::FactsExchanged(number - 1));
            }
            let linked = !self.cut && self.servers.iter().all(Option::is_some);
            if let Some((number, _, carried)) = self.exchanges[server].take_if(|(_, due, _)| linked && *due <= self.now) {
                self.facts = self.facts.map(|[one, other]| [one.max(carried[0]), other.max(carried[1])]);
                self.step(server, Event::FactsExchanged(number));
            }
            self.servers[server].take_if(|roles| roles.heartbeat().role == Role::Stopped);
        }
        for (from, said) in std::mem::take(&mut self.heartbeats) {
            let to = 1 - from;
            if self.lost > 0 && self.random.below(3) == 0 {
                self.heartbeats.push((from, said));
            } else if !self.cut && self.random.below(100) >= self.lost {
                self.step(to, Event::Heard(said, to == 0));
                if let Some(answer) = self.servers[to].as_ref().map(Roles::heartbeat).filter(|_| self.random.below(100) >= self.lost) {
                    self.step(from, Event::Heard(answer, from == 0));
                }
            }
        }
        let living = self.servers.iter().any(Option::is_some);
        self.idle = if living && self.serving().is_empty() { self.idle + 1 } else { 0 };
        self.longest = self.longest.max(self.idle);
        assert!(!self.strict || self.idle <= 40, "one of the living serves soon");
        assert!(!self.strict || self.cut || self.serving() != "01", "one serves at a time");
    }

    /// Commands and expectations, such as `crash:0 run:29 serves:1`.
    fn play(&mut self, script: &str) {
        for (word, value) in script.split(' ').map(|command| command.split_once(':').expect("as the script says")) {
            let number = value.parse().unwrap_or(0);
            match word {
                "run" => (0..number).for_each(|_| self.second()),
                "serves" => assert_eq!(self.serving(), value, "after {} s of {script}", self.now),
                "primary" => assert_eq!(self.primary(), Some(number), "after {} s of {script}", self.now),
                "idle" => assert!(std::mem::take(&mut self.longest) <= number as i64, "at most {number} s of nobody in {script}"),
                "start" if self.servers[number].is_none() => {
                    let (roles, actions) = Roles::start(self.now, self.disks[number]);
                    (self.servers[number], self.told[number], self.exchanges[number]) = (Some(roles), None, None);
                    self.obey(number, &actions);
                }
                "start" => {}
                "crash" => self.servers[number] = None,
                "cut" => self.cut = true,
                "heal" => (self.cut, self.strict) = (false, false),
                "promote" => self.step(number, Event::Promote),
                "rehearse" => self.step(number, Event::RehearsalBegins(90)),
                "stop" => self.step(number, Event::Stopping),
                "leave" => self.step(number, Event::Left),
                _ => panic!("what is {word}?"),
            }
        }
    }

    /// Which server is the primary for both.
    fn primary(&self) -> Option<usize> {
        match self.disks.map(|disk| disk.assignment) {
            [Primary, Standby] => Some(0),
            [Standby, Primary] => Some(1),
            _ => None,
        }
        .filter(|_| self.disks[0].assigned_in == self.disks[1].assigned_in)
    }
}

/// A pair that works; server 0 is its primary.
fn pair() -> Site {
    let mut site = Site::new([Primary, Standby]);
    site.play("run:60 serves:0 primary:0 idle:6");
    site
}

#[test]
fn the_standby_serves_after_thirty_seconds_of_silence_not_after_twenty_nine() {
    let standing = Standing { assignment: Standby, assigned_in: 1, epoch: 5 };
    let mut roles = Roles::start(100, standing).0;
    let primary = Heartbeat { standing: Standing { assignment: Primary, ..standing }, role: Role::Serving };
    assert_eq!(roles.step(105, Event::Heard(primary, false)), []);
    assert!((106..=134).all(|now| roles.step(now, Event::Tick).is_empty() && !roles.serving()));
    let saved = Action::Save(Standing { epoch: 6, ..standing });
    let note = |text| Action::Note(text);
    assert_eq!(roles.step(135, Event::Tick), [saved, Action::Serve(6), note("took over"), note("the partner is gone"), Action::TellPartner]);
    assert_eq!((roles.serving(), roles.epoch(), roles.since(), roles.role_name()), (true, 6, 135, "standby"));
}

#[test]
fn a_server_that_was_asleep_does_not_blame_its_partner() {
    let mut roles = Roles::start(0, Standing { assignment: Standby, assigned_in: 1, epoch: 1 }).0;
    assert_eq!(roles.step(3_600, Event::Tick), []);
    assert!((3_601..3_630).all(|now| roles.step(now, Event::Tick).is_empty()));
    assert!(!roles.step(3_630, Event::Tick).is_empty() && roles.serving());
}

#[test]
fn a_primary_that_comes_back_waits_for_the_facts_and_serves_again() {
    pair().play("crash:0 run:24 serves: run:7 serves:1 run:100 start:0 run:1 serves:1 run:20 serves:0 primary:0 idle:31");
}

#[test]
fn a_primary_that_restarts_at_once_serves_within_seconds() {
    let mut site = pair();
    site.play("crash:0 run:10 start:0 run:7 serves:0 idle:17 run:100 serves:0 primary:0 idle:0");
    assert_eq!(site.disks[0].epoch, 1, "nobody else has served");
}

#[test]
fn a_primary_that_hears_its_partner_late_still_has_time_for_the_facts() {
    for seed in 1..20 {
        let mut site = pair();
        site.random = Random(seed);
        site.play("crash:0 run:13 cut:0 start:0 run:2 heal:0 run:9 serves:0");
        assert_eq!(site.notes.last(), Some(&(0, "serves with the facts of both")));
    }
}

#[test]
fn a_primary_whose_standby_is_gone_for_good_serves_alone() {
    pair().play("crash:1 run:300 serves:0 crash:0 start:0 run:4 serves: run:2 serves:0 run:300 serves:0 idle:5");
}

#[test]
fn cut_off_from_each_other_both_serve_and_afterwards_one() {
    let mut site = pair();
    site.play("cut:0 run:32 serves:01 run:200 serves:01 heal:0 run:15 serves:0 primary:0 idle:0");
    assert_eq!(site.disks[0].epoch, 3, "one for the standby, one for the primary after it");
    assert_eq!(site.facts[0][1], site.facts[1][1], "the primary has them all, and soon");
}

#[test]
fn a_promoted_standby_serves_when_the_old_primary_has_handed_over() {
    pair().play("promote:1 serves:0 run:1 serves:0 run:15 serves:1 primary:1 idle:6 crash:1 run:32 serves:0 start:1 run:20 serves:1");
}

#[test]
fn a_dead_primary_comes_back_as_standby_when_the_other_was_promoted() {
    let mut site = pair();
    site.play("crash:0 run:32 promote:1 serves:1 run:50 start:0 run:60 serves:1 primary:1 idle:31");
    assert_eq!(site.facts[1][0], site.facts[0][0], "what it had not told before it died");
    pair().play("cut:0 run:32 promote:1 run:50 serves:01 heal:0 run:15 serves:1 primary:1 idle:0");
}

#[test]
fn a_rehearsal_lets_the_standby_serve_and_ends_by_itself() {
    pair().play("rehearse:0 run:31 serves:1 idle:31 run:57 serves:1 run:30 serves:0 primary:0 idle:6");
    pair().play("rehearse:0 run:50 serves:1 crash:1 run:40 serves:0 idle:37");
    let mut alone = pair();
    alone.play("crash:1 run:31 rehearse:0 run:1 serves:0 idle:0");
}

#[test]
fn an_orderly_stop_hands_over_without_waiting_for_silence() {
    let mut site = pair();
    site.play("stop:0 serves: run:6 serves:1");
    assert_eq!(site.facts[1][0], site.facts[0][0], "its last facts went first");
    site.play("run:100 serves:1 start:0 run:20 serves:0 primary:0 idle:6");
}

#[test]
fn of_two_primaries_the_later_one_stays_or_the_one_that_wins_ties() {
    Site::new([Primary, Primary]).play("run:30 serves:0 primary:0");
    Site::new([Standby, Standby]).play("run:30 serves:0 primary:0");
    let mut standbys = Site::new([Standby, Standby]);
    standbys.disks[0].assigned_in = 2;
    standbys.play("crash:0 start:0 run:30 serves:1 primary:1");
    let mut restored = pair();
    restored.play("promote:1 run:20 serves:1 crash:0");
    restored.disks[0] = Standing { assignment: Primary, assigned_in: 1, epoch: 1 };
    restored.play("run:20 start:0 run:20 serves:1 primary:1");
    restored.play("promote:0 run:20 serves:0 crash:1");
    restored.disks[1] = Standing { assignment: Standby, assigned_in: 1, epoch: 1 };
    (restored.strict, restored.told[1]) = (false, None);
    restored.play("crash:0 start:1 run:32 serves:1 start:0 run:20 serves:0 primary:0");
}

#[test]
fn who_leaves_goes_on_only_if_it_was_primary_or_had_taken_over() {
    let mut site = pair();
    site.play("leave:1 run:2 serves:0");
    assert_eq!(site.disks.map(|disk| disk.assignment), [Assignment::Alone, Retired]);
    site.strict = false;
    site.play("crash:0 run:100 serves: promote:1 serves:1");
    let mut site = pair();
    site.play("crash:0 run:32 leave:1 serves:1");
    assert_eq!(site.disks[1].assignment, Assignment::Alone);
}

#[test]
fn two_that_become_a_pair_are_in_the_same_epoch() {
    let mut site = Site::new([Assignment::Alone, Assignment::Alone]);
    site.disks[0].epoch = 7;
    site.strict = false;
    site.play("crash:0 start:0 run:9 serves:01");
    site.step(0, Event::Paired(Primary, 1));
    site.step(1, Event::Paired(Standby, 7));
    site.play("serves:0 primary:0 run:60 serves:0 idle:0");
    assert_eq!(site.disks.map(|disk| disk.epoch), [8, 8]);
}

#[test]
fn whatever_happens_one_serves_soon_and_only_one_when_all_is_well() {
    let failures = ["crash", "stop", "promote", "rehearse", "cut"];
    let anything = ["crash", "stop", "promote", "rehearse", "cut", "heal", "start", "start"];
    let mut random = Random(11);
    let mut site = pair();
    for _ in 0..500 {
        (site.strict, site.lost) = (false, 30);
        for _ in 0..random.below(8) {
            site.play(&format!("{}:{} run:{}", random.one_of(&anything), random.below(2), random.below(80)));
        }
        site.lost = 0;
        site.play("heal:0 run:6 start:0 start:1 run:120");
        (site.strict, site.idle) = (true, 0);
        assert_eq!((site.serving().len(), site.primary().is_some()), (1, true), "{:?}", site.disks);
        assert_eq!(site.disks[0].epoch, site.disks[1].epoch);
        site.play(&format!("run:60 {}:{} run:100", random.one_of(&failures), random.below(2)));
    }
}
