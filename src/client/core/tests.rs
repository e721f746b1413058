//! The device's decisions by manual time, against a server of a few lines.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::counting::Key;
use super::*;
use crate::client::settings::{ReleaseOnClose, Settings};
use crate::clock::rfc3339;
use crate::documents::{Authorization, AuthorizedItem, ServerCertificate, SigningKey, authorization};
use crate::licensing::{ChargeWay, CodeId, HandshakeCode, ItemId, ServerUuid, Slot, Unit};
use crate::protocol::authorize::AuthorizeRequest;

const DAY: i64 = 86_400;
/// The start of a slot, in 2026.
const NOON: i64 = 1_795_348_800;

/// A vendor, and a server that grants whatever is asked for a week and takes every report.
struct Site {
    vendor: SigningKey,
    server: SigningKey,
    uuid: ServerUuid,
}

impl Site {
    fn new() -> Self {
        Self { vendor: SigningKey::generate(), server: SigningKey::generate(), uuid: ServerUuid(random_uuid()) }
    }

    fn config(&self, change: impl FnOnce(&mut Settings)) -> Arc<Config> {
        let mut settings = Settings {
            vendor_public_key: self.vendor.verifying_key().to_spki_pem(),
            main_server_url: Some("https://main".into()),
            handshake_code: Some("216998-line4".into()),
            product: "dbr".into(),
            ..Settings::default()
        };
        change(&mut settings);
        Arc::new(settings.check().expect("settings"))
    }

    fn grant(&self, request: &AuthorizeRequest, now: i64) -> Value {
        let hs: HandshakeCode = "216998-line4".parse().expect("code");
        let item = AuthorizedItem {
            item_id: ItemId(7),
            product: "dbr".into(),
            editions: vec![],
            modules: vec![],
            charge_way: ChargeWay::ConcurrentInstance,
            instances: 4,
            domain: None,
            valid_to: "2030-01-01T00:00:00Z".parse().expect("time"),
        };
        let claims = Claims {
            iss: self.uuid,
            sub: request.client_uuid,
            iat: now,
            nbf: now,
            exp: now + 7 * DAY,
            jti: random_uuid(),
            nonce: request.nonce.clone(),
            org: hs.organization(),
            hs,
            hid: CodeId(Uuid::nil()),
            items: vec![item],
            deployment_type: None,
            edition: None,
            product_version: None,
        };
        let certificate = ServerCertificate {
            server_uuid: self.uuid,
            organization_id: "216998".parse().expect("organization"),
            jwk: self.server.verifying_key().jwk(),
            sealing_jwk: None,
            not_before: "2020-01-01T00:00:00Z".parse().expect("time"),
            not_after: "2031-01-01T00:00:00Z".parse().expect("time"),
        };
        let text = authorization::prepared_header(&self.server, &certificate.issue(&self.vendor)).sign(&claims);
        json!({"authorization": text, "expires_at": rfc3339(claims.exp), "refresh_after": rfc3339(now + DAY), "report_interval_seconds": 180, "ticket": "5a",
            "server_time": rfc3339(now), "origin": self.uuid, "safe": {}})
    }

    /// Its answer, at its time `now`.
    fn answer(&self, ask: &Ask, now: i64) -> Event {
        let body: Value = serde_json::from_slice(&ask.body).expect("JSON");
        let (status, answer) = match ask.path {
            AUTHORIZE => (200, self.grant(&serde_json::from_value(body).expect("a request"), now)),
            REPORTS => {
                let ids: Vec<&Value> = body["reports"].as_array().expect("reports").iter().map(|report| &report["report_id"]).collect();
                let safe = BTreeMap::from([(self.uuid.to_string(), 9)]);
                (200, json!({"accepted": ids, "duplicate": [], "rejected": [], "origin": self.uuid, "sequence": 5, "safe": safe, "server_time": rfc3339(now)}))
            }
            _ => (204, Value::Null),
        };
        Event::Answered { status, body: answer.to_string().into_bytes(), retry_after: None }
    }
}

fn at(local: i64, monotonic: i64) -> Moment {
    Moment { local, monotonic }
}

/// What was asked, and what came of it.
#[derive(Default)]
struct Course {
    asked: Vec<(String, &'static str)>,
    reported: u64,
    not_released: Option<LicenseError>,
}

/// Carries out an event; `answer` is what servers say.
fn run(core: &mut Core, state: &mut State, event: Event, now: Moment, mut answer: impl FnMut(&Ask) -> Event) -> Course {
    let (mut course, mut next) = (Course::default(), Some(event));
    while let Some(event) = next.take() {
        for action in core.handle(event, state, now) {
            match action {
                Action::Ask(ask) => {
                    course.asked.push((ask.server.clone(), ask.path));
                    next = Some(answer(&ask));
                }
                Action::Reported(submitted) => course.reported += submitted.accepted,
                Action::NotReleased(error) => course.not_released = Some(error),
                Action::LicenseChanged => {}
            }
        }
    }
    course
}

fn silence(_: &Ask) -> Event {
    Event::Unanswered { code: Code::NoServer, message: "silent".into(), retry_after: None }
}

fn count(core: &mut Core, state: &mut State, units: u64, now: Moment) {
    let key = Key { slot: Slot::containing(core.stamp(now)), unit: Unit::Scan, module: None };
    let counts = Counts::from([(key, BTreeMap::from([("QR".to_owned(), units)]))]);
    core.handle(Event::Count { counts, held: 1, alive: vec![core.session] }, state, now);
}

fn new_core(config: &Arc<Config>, state: &mut State, now: Moment) -> Core {
    Core::new(Arc::clone(config), random_uuid(), None, state, now)
}

/// Has an authorization that was given at `given` carried to the device.
fn carry(site: &Site, core: &mut Core, state: &mut State, given: i64, now: Moment) {
    let request = core.request("", state);
    let answer = serde_json::from_value(site.grant(&request, given)).expect("an answer");
    core.take_carried(&answer, state, now).expect("taken");
}

#[test]
fn what_travelled_for_days_does_not_last_longer_for_it() {
    let site = Site::new();
    let config = site.config(|settings| settings.main_server_url = None);
    let mut state = State::default();
    let mut core = new_core(&config, &mut state, at(NOON, 0));
    // Given at noon, it comes five days later.
    let arrived = NOON + 5 * DAY;
    carry(&site, &mut core, &mut state, NOON, at(arrived, 5 * DAY));
    count(&mut core, &mut state, 3, at(arrived, 5 * DAY));
    assert_eq!(state.open.reports[0].report.slot.timestamp(), arrived, "the slot in which it was done");
    let mut core = new_core(&config, &mut state, at(NOON + 7 * DAY - 1, 0));
    run(&mut core, &mut state, Event::Start, at(NOON + 7 * DAY - 1, 0), silence);
    assert!(core.standing().claims().is_some(), "to the last second");
    run(&mut core, &mut state, Event::Tick, at(NOON + 7 * DAY, 1), silence);
    assert!(matches!(core.standing(), Standing::Unlicensed(error) if error.code == Code::EndedOffline));
}

#[test]
fn nothing_is_due_where_there_is_no_server() {
    let site = Site::new();
    let config = site.config(|settings| settings.main_server_url = None);
    let mut state = State::default();
    let mut core = new_core(&config, &mut state, at(NOON, 0));
    let course = run(&mut core, &mut state, Event::Start, at(NOON, 0), silence);
    assert!(course.asked.is_empty() && core.standing().claims().is_none());
    let mut wakes = 0;
    for second in 0..3_600 {
        if core.is_due(at(NOON + second, second)) {
            wakes += 1;
            run(&mut core, &mut state, Event::Tick, at(NOON + second, second), silence);
            assert!(!core.is_due(at(NOON + second, second)), "at {second} s it is due again at once");
        }
    }
    assert!(wakes <= 20, "{wakes} times in an hour");
    carry(&site, &mut core, &mut state, NOON, at(NOON + 3_600, 3_600));
    run(&mut core, &mut state, Event::Tick, at(NOON + 3_600, 3_600), silence);
    assert!(core.wake_at() > NOON + 3_600);
}

#[test]
fn what_was_done_under_other_settings_is_carried_too() {
    let site = Site::new();
    let mut state = State::default();
    for (version, units) in [("1", 3), ("2", 4)] {
        let config = site.config(|settings| {
            settings.main_server_url = None;
            settings.product_version = Some(version.into());
        });
        let mut core = new_core(&config, &mut state, at(NOON, 0));
        carry(&site, &mut core, &mut state, NOON, at(NOON, 0));
        count(&mut core, &mut state, units, at(NOON, 0));
    }
    // And an update that was not authorized yet.
    let config = site.config(|settings| {
        settings.main_server_url = None;
        settings.product_version = Some("3".into());
    });
    let mut core = new_core(&config, &mut state, at(NOON + 180, 180));
    let carried = core.carried_reports(&mut state, at(NOON + 180, 180)).expect("reports");
    let units = |reports: &[crate::protocol::reports::UsageReport]| reports.iter().flat_map(|report| report.counts.values()).sum::<u64>();
    assert_eq!(units(&carried.reports) + carried.further.iter().map(|group| units(&group.reports)).sum::<u64>(), 7);
    assert!(carried.further.len() == 1 && carried.further[0].authorization != carried.authorization);
    // Without anything further it is what older servers read.
    state.drop_stored(|stored| stored.report.counts["QR"] == 3);
    let carried = core.carried_reports(&mut state, at(NOON + 180, 180)).expect("reports");
    assert_eq!(serde_json::to_value(&carried).expect("JSON").as_object().expect("object").len(), 3);
}

#[test]
fn a_clock_that_jumps_is_set_right_at_once() {
    let site = Site::new();
    let config = site.config(|_| {});
    let mut state = State::default();
    let mut core = new_core(&config, &mut state, at(NOON, 0));
    run(&mut core, &mut state, Event::Start, at(NOON, 0), |ask| site.answer(ask, NOON));
    assert!(!core.is_due(at(NOON + 60, 60)));
    // A day ahead for a moment: use lies there, and the server is asked.
    assert!(core.is_due(at(NOON + DAY + 61, 61)));
    let course = run(&mut core, &mut state, Event::Tick, at(NOON + DAY + 61, 61), |ask| site.answer(ask, NOON + 61));
    assert_eq!(course.asked, [("https://main".to_owned(), AUTHORIZE)]);
    count(&mut core, &mut state, 1, at(NOON + DAY + 62, 62));
    // Set right, with no server to ask.
    run(&mut core, &mut state, Event::Tick, at(NOON + 63, 63), silence);
    count(&mut core, &mut state, 1, at(NOON + 64, 64));
    let slots: Vec<i64> = state.open.reports.iter().map(|open| open.report.slot.timestamp() - NOON).collect();
    assert_eq!(slots, [0], "both in the slot in which they were done");
}

#[test]
fn another_process_older_time_changes_nothing_that_a_server_told_this_one() {
    let site = Site::new();
    let config = site.config(|_| {});
    let mut state = State::default();
    let (mut one, mut other) = (new_core(&config, &mut state, at(NOON, 0)), new_core(&config, &mut state, at(NOON, 0)));
    run(&mut one, &mut state, Event::Start, at(NOON, 0), |ask| site.answer(ask, NOON));
    run(&mut other, &mut state, Event::Start, at(NOON, 0), |ask| site.answer(ask, NOON));
    for core in [&mut one, &mut other] {
        count(core, &mut state, 1, at(NOON + DAY, 1));
    }
    // The clock is right again; one hears it from the server, the other counts.
    run(&mut one, &mut state, Event::Start, at(NOON + 2, 2), |ask| site.answer(ask, NOON + 2));
    count(&mut other, &mut state, 1, at(NOON + 3, 3));
    assert!(state.device.time.last_site < NOON + 200, "{:?}", state.device.time);
    count(&mut one, &mut state, 1, at(NOON + 4, 4));
    assert_eq!(one.site_time().tell(at(NOON + 4, 4)), NOON + 4);
}

#[test]
fn a_license_is_given_back_when_all_is_reported_and_else_stays() {
    let site = Site::new();
    let config = site.config(|settings| settings.standby_server_url = Some("https://standby".into()));
    let mut state = State::default();
    let mut core = new_core(&config, &mut state, at(NOON, 0));
    run(&mut core, &mut state, Event::Start, at(NOON, 0), |ask| site.answer(ask, NOON));
    count(&mut core, &mut state, 2, at(NOON, 0));
    count(&mut core, &mut state, 3, at(NOON + 180, 180));
    let course = run(&mut core, &mut state, Event::Release, at(NOON + 181, 181), silence);
    assert_eq!(course.not_released.map(|error| error.code), Some(Code::NoServer));
    assert!(core.standing().claims().is_some() && !state.grants.granted.values().any(|grant| grant.withdrawn));
    assert_eq!(state.stored().count() + state.open.reports.len(), 2);
    // Later a server answers, but not to the release.
    run(&mut core, &mut state, Event::Start, at(NOON + 185, 185), |ask| site.answer(ask, NOON + 185));
    count(&mut core, &mut state, 4, at(NOON + 186, 186));
    let answer = |ask: &Ask| if ask.path == RELEASE { silence(ask) } else { site.answer(ask, NOON + 186) };
    let course = run(&mut core, &mut state, Event::Release, at(NOON + 186, 186), answer);
    assert!(course.not_released.is_some() && core.standing().claims().is_some());
    assert_eq!(course.asked.iter().filter(|(_, path)| *path == RELEASE).count(), 2, "both servers");
    count(&mut core, &mut state, 5, at(NOON + 187, 187));
    let course = run(&mut core, &mut state, Event::Release, at(NOON + 187, 187), |ask| site.answer(ask, NOON + 187));
    assert_eq!((course.reported, course.not_released), (1, None));
    assert_eq!(course.asked.iter().map(|(_, path)| *path).collect::<Vec<_>>(), [REPORTS, RELEASE]);
    assert!(core.standing().claims().is_none() && state.grants.granted.values().all(|grant| grant.withdrawn));
    assert_eq!(state.stored().count() + state.open.reports.len(), 0);
}

#[test]
fn closing_gives_back_what_nobody_else_of_the_machine_needs() {
    let site = Site::new();
    // What is asked, and the grants that still let the device work.
    let close = |policy: ReleaseOnClose, others: fn(ours: &str, another: &str) -> Vec<Option<String>>| {
        let mut state = State::default();
        let mut cores: Vec<Core> = ["pro", "basic"]
            .map(|edition| {
                let config = site.config(|settings| (settings.edition, settings.release_on_close) = (Some(edition.into()), policy));
                let mut core = new_core(&config, &mut state, at(NOON, 0));
                run(&mut core, &mut state, Event::Start, at(NOON, 0), |ask| site.answer(ask, NOON + i64::from(edition == "basic")));
                core
            })
            .into();
        count(&mut cores[0], &mut state, 2, at(NOON, 0));
        let others = others(cores[0].asked_for(), cores[1].asked_for());
        let course = run(&mut cores[0], &mut state, Event::Close { others }, at(NOON, 0), |ask| {
            if ask.path == RELEASE {
                // The last one that the server gave, although it is of another application.
                let told = Authorization::parse(content(ask)["authorization"].as_str().expect("one")).expect("parsed");
                assert_eq!(told.verify_chain(&[site.vendor.verifying_key().clone()]).expect("genuine").0.iat, NOON + 1);
            }
            site.answer(ask, NOON)
        });
        let paths: Vec<&str> = course.asked.iter().map(|(_, path)| *path).collect();
        (paths, state.grants.granted.values().filter(|grant| !grant.withdrawn).count())
    };
    let given_back = (vec![REPORTS, RELEASE], 0);
    for policy in [ReleaseOnClose::Instances, ReleaseOnClose::Seat] {
        assert_eq!(close(policy, |_, _| vec![]), given_back);
        assert_eq!(close(policy, |_, _| vec![Some("of something else".into())]), given_back);
        assert_eq!(close(policy, |ours, _| vec![Some(ours.into())]), (vec![], 2), "another process of the same application");
        assert_eq!(close(policy, |_, another| vec![Some(another.into())]), (vec![], 2), "another application under the same item");
        assert_eq!(close(policy, |_, _| vec![None]), (vec![], 2), "one that does not tell");
    }
    assert_eq!(close(ReleaseOnClose::Nothing, |_, _| vec![]), (vec![], 2));
}

#[test]
fn what_was_carried_cannot_be_given_back_without_a_server() {
    let site = Site::new();
    let config = site.config(|settings| settings.main_server_url = None);
    let mut state = State::default();
    let mut core = new_core(&config, &mut state, at(NOON, 0));
    carry(&site, &mut core, &mut state, NOON, at(NOON, 0));
    let course = run(&mut core, &mut state, Event::Release, at(NOON, 0), silence);
    assert!(course.not_released.expect("an error").message.contains("report file"));
    assert!(core.standing().claims().is_some());
}

#[test]
fn who_waited_for_another_process_takes_what_that_one_got() {
    let site = Site::new();
    let config = site.config(|_| {});
    let mut state = State::default();
    let (mut one, mut other) = (new_core(&config, &mut state, at(NOON, 0)), new_core(&config, &mut state, at(NOON, 0)));
    assert!(!other.note_known(&state, at(NOON, 0)), "nothing to go on with");
    run(&mut one, &mut state, Event::Start, at(NOON, 0), |ask| site.answer(ask, NOON));
    let course = run(&mut other, &mut state, Event::Start, at(NOON + 1, 1), |ask| site.answer(ask, NOON));
    assert!(course.asked.is_empty(), "{:?}", course.asked);
    assert!(matches!(other.standing(), Standing::Licensed { source: Source::Server(_), .. }));
    // The next time it asks, as does whoever starts anew.
    assert!(other.note_known(&state, at(NOON + 2, 2)));
    let course = run(&mut other, &mut state, Event::Start, at(NOON + 2, 2), |ask| site.answer(ask, NOON + 2));
    assert_eq!(course.asked.len(), 1);
    // And whoever must not wait any longer goes on with what there is.
    let mut third = new_core(&config, &mut state, at(NOON + 3, 3));
    run(&mut third, &mut state, Event::Occupied, at(NOON + 3, 3), silence);
    assert!(matches!(third.standing(), Standing::Licensed { source: Source::Kept, .. }));
    let mut bare = State::default();
    let mut fourth = new_core(&config, &mut bare, at(NOON, 0));
    run(&mut fourth, &mut bare, Event::Occupied, at(NOON, 0), silence);
    assert!(matches!(fourth.standing(), Standing::Unlicensed(error) if error.message.contains("another process")));
}

#[test]
fn grants_that_nobody_needs_any_more_are_forgotten() {
    let site = Site::new();
    let mut state = State::default();
    let ask = |state: &mut State, version: &str, now: i64, uses: bool| {
        let config = site.config(|settings| settings.product_version = Some(version.into()));
        let mut core = new_core(&config, state, at(now, 0));
        run(&mut core, state, Event::Start, at(now, 0), |ask| if ask.path == AUTHORIZE { site.answer(ask, now) } else { silence(ask) });
        if uses {
            count(&mut core, state, 1, at(now, 0));
        }
    };
    ask(&mut state, "1", NOON, false);
    ask(&mut state, "2", NOON, true);
    // Asked, and never answered.
    let config = site.config(|settings| settings.product_version = Some("3".into()));
    let mut core = new_core(&config, &mut state, at(NOON, 0));
    run(&mut core, &mut state, Event::Start, at(NOON, 0), silence);
    ask(&mut state, "4", NOON + 30 * DAY, false);
    assert_eq!((state.grants.granted.len(), state.grants.pending.len()), (3, 1));
    ask(&mut state, "4", NOON + 38 * DAY, false);
    assert_eq!((state.grants.granted.len(), state.grants.pending.len()), (2, 1), "that of the report stays");
    ask(&mut state, "4", NOON + 70 * DAY, false);
    assert_eq!((state.grants.granted.len(), state.grants.pending.len()), (1, 0));
}

/// Counts a unit in the slot before `now`, and runs what is due then.
fn use_and_report(core: &mut Core, state: &mut State, now: i64, answer: impl FnMut(&Ask) -> Event) -> Course {
    count(core, state, 1, at(now - 180, now - 180 - NOON));
    run(core, state, Event::Tick, at(now, now - NOON), answer)
}

/// What `site` answers, with something else in it.
fn changed(site: &Site, ask: &Ask, now: i64, change: impl FnOnce(&mut Value)) -> Event {
    let Event::Answered { status, body, retry_after } = site.answer(ask, now) else { return silence(ask) };
    let mut answer: Value = serde_json::from_slice(&body).expect("JSON");
    change(&mut answer);
    Event::Answered { status, body: answer.to_string().into_bytes(), retry_after }
}

fn content(ask: &Ask) -> Value {
    serde_json::from_slice(&ask.body).expect("JSON")
}

fn ids(ask: &Ask) -> Vec<String> {
    content(ask)["reports"].as_array().expect("reports").iter().map(|report| report["report_id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn what_a_restored_server_lost_is_sent_to_it_again_before_it_is_forgotten_as_safe() {
    let site = Site::new();
    let config = site.config(|settings| settings.standby_server_url = Some("https://standby".into()));
    let (uuid, mut state) = (site.uuid.to_string(), State::default());
    let mut core = new_core(&config, &mut state, at(NOON, 0));
    run(&mut core, &mut state, Event::Start, at(NOON, 0), |ask| site.answer(ask, NOON));
    let mut sent = Vec::new();
    // Fact 70 and fact 71; neither is safe yet.
    for (number, sequence) in [(1, 70), (2, 71)] {
        let now = NOON + number * 200;
        use_and_report(&mut core, &mut state, now, |ask| {
            sent.extend(ids(ask));
            changed(&site, ask, now, |answer| (answer["sequence"], answer["safe"]) = (json!(sequence), json!({&uuid: 60})))
        });
    }
    assert_eq!((sent.len(), state.stored().count()), (2, 2));
    // The server came back without the facts from 71 on.
    let mut again = Vec::new();
    let now = NOON + 600;
    let course = run(&mut core, &mut state, Event::Start, at(now, 600), |ask| {
        if ask.path == REPORTS {
            again.extend(ids(ask));
        }
        changed(&site, ask, now, |answer| {
            (answer["lost"], answer["safe"]) = (json!({&uuid: [[71, 90]]}), json!({&uuid: 95}));
            answer["sequence"] = json!(96);
        })
    });
    assert_eq!(course.asked, [("https://main".to_owned(), AUTHORIZE), ("https://main".to_owned(), REPORTS)], "the same server");
    assert_eq!(again, sent[1..], "under the same id, and the other one was safe");
    let progress: Vec<_> = state.stored().map(|stored| stored.progress.clone()).collect();
    assert_eq!(progress, [Progress::Accepted { origin: uuid.clone(), sequence: 96 }], "kept until it is safe");
    // The same word again concerns what was lost then only.
    let course = run(&mut core, &mut state, Event::Start, at(now + 1, 601), |ask| {
        changed(&site, ask, now + 1, |answer| (answer["lost"], answer["safe"]) = (json!({&uuid: [[71, 90]]}), json!({&uuid: 95})))
    });
    assert_eq!((course.asked.len(), state.stored().count()), (1, 1));
    // The standby tells it too.
    let mut standby = Vec::new();
    run(&mut core, &mut state, Event::Start, at(now + 2, 602), |ask| {
        if ask.server == "https://main" {
            return silence(ask);
        }
        if ask.path == REPORTS {
            standby.extend(ids(ask));
        }
        changed(&site, ask, now + 2, |answer| {
            (answer["lost"], answer["safe"]) = (json!({&uuid: [[71, 90], [96, 99]]}), json!({&uuid: 200}));
            answer["origin"] = json!(random_uuid());
        })
    });
    assert_eq!(standby, sent[1..]);
}

#[test]
fn what_was_lost_is_heard_in_an_answer_to_reports_and_in_a_receipt_too() {
    let site = Site::new();
    let config = site.config(|_| {});
    let (uuid, mut state) = (site.uuid.to_string(), State::default());
    let mut core = new_core(&config, &mut state, at(NOON, 0));
    run(&mut core, &mut state, Event::Start, at(NOON, 0), |ask| site.answer(ask, NOON));
    let accepted = |ask: &Ask, now: i64, sequence: u64, lost: Value| {
        changed(&site, ask, now, |answer| (answer["sequence"], answer["safe"], answer["lost"]) = (json!(sequence), json!({&uuid: 9}), lost))
    };
    use_and_report(&mut core, &mut state, NOON + 200, |ask| accepted(ask, NOON + 200, 70, json!({})));
    let mut sent = Vec::new();
    use_and_report(&mut core, &mut state, NOON + 400, |ask| {
        sent.push(ids(ask));
        accepted(ask, NOON + 400, 100 + sent.len() as u64, json!({&uuid: [[61, 100]]}))
    });
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1], "first the new one, then the lost one");
    assert!(sent[0] != sent[1] && state.stored().count() == 2);
    // A server that says at once that it lost what it just took is not asked for ever.
    let mut asked = 0;
    use_and_report(&mut core, &mut state, NOON + 600, |ask| {
        asked += 1;
        accepted(ask, NOON + 600, 110, json!({&uuid: [[0, 200]]}))
    });
    assert!(asked <= 3 && state.stored().all(|stored| stored.progress == Progress::Failed), "{asked}");
    let receipt = json!({"accepted": [], "duplicate": [], "rejected": [], "origin": uuid, "sequence": 120, "safe": {&uuid: 120}, "lost": {&uuid: [[1, 119]]},
        "server_time": rfc3339(NOON)});
    let lost = state.stored().next().expect("a report").report.report_id;
    outbox::set_progress(&mut state, &[lost], &Progress::Accepted { origin: uuid.clone(), sequence: 110 });
    core.take_receipt(&serde_json::from_value(receipt).expect("a receipt"), &mut state);
    assert!(state.stored().any(|stored| stored.report.report_id == lost && stored.progress == Progress::Pending));
}

#[test]
fn what_makes_no_sense_in_lost_costs_neither_a_license_nor_a_report() {
    let site = Site::new();
    let config = site.config(|_| {});
    let uuid = site.uuid.to_string();
    let nonsense = [
        json!(null),
        json!("all"),
        json!([[1, 100]]),
        json!({&uuid: null}),
        json!({&uuid: 7}),
        json!({&uuid: [1, 100]}),
        json!({&uuid: [[100, 1], ["1", "100"], [1], [1, 2, 100], [1.5, 100], [-1, 100], {"from": 1}]}),
        json!({"constructor": [[1, 100]]}),
    ];
    for lost in nonsense {
        let mut state = State::default();
        let mut core = new_core(&config, &mut state, at(NOON, 0));
        let answer = |ask: &Ask, now| changed(&site, ask, now, |answer| (answer["safe"], answer["lost"]) = (json!({}), lost.clone()));
        run(&mut core, &mut state, Event::Start, at(NOON, 0), |ask| answer(ask, NOON));
        assert!(core.standing().claims().is_some(), "{lost}");
        let course = use_and_report(&mut core, &mut state, NOON + 200, |ask| answer(ask, NOON + 200));
        assert_eq!((course.asked.len(), course.reported), (1, 1), "{lost}");
        let course = run(&mut core, &mut state, Event::Start, at(NOON + 300, 300), |ask| answer(ask, NOON + 300));
        assert_eq!((course.asked.len(), state.stored().count()), (1, 1), "{lost}: it stays accepted");
    }
}

#[test]
fn requests_tell_the_highest_fact_that_each_server_told() {
    let (site, other) = (Site::new(), Uuid::from_u128(7).to_string());
    let config = site.config(|_| {});
    let (uuid, mut state) = (site.uuid.to_string(), State::default());
    let mut core = new_core(&config, &mut state, at(NOON, 0));
    let mut seen = Vec::new();
    run(&mut core, &mut state, Event::Start, at(NOON, 0), |ask| {
        seen.push(content(ask).get("seen").cloned());
        site.answer(ask, NOON)
    });
    let told = [(1, &uuid, 5), (2, &uuid, 8), (3, &uuid, 6), (4, &other, 3)];
    for (number, origin, sequence) in told {
        let now = NOON + number * 200;
        use_and_report(&mut core, &mut state, now, |ask| {
            seen.push(content(ask).get("seen").cloned());
            changed(&site, ask, now, |answer| (answer["origin"], answer["sequence"], answer["safe"]) = (json!(origin), json!(sequence), json!({origin: 9})))
        });
    }
    run(&mut core, &mut state, Event::Start, at(NOON + 1_000, 1_000), |ask| {
        seen.push(content(ask).get("seen").cloned());
        site.answer(ask, NOON + 1_000)
    });
    let all = json!({&uuid: 8, &other: 3});
    let expected = [None, None, Some(json!({&uuid: 5})), Some(json!({&uuid: 8})), Some(json!({&uuid: 8})), Some(all.clone())];
    assert_eq!(seen, expected);
    // What is carried tells it too, and it outlives the process.
    let kept: state::Device = serde_json::from_value(serde_json::to_value(&state.device).expect("JSON")).expect("the same");
    assert_eq!(kept, state.device);
    assert_eq!(serde_json::to_value(core.request("", &mut state)).expect("JSON")["seen"], all);
    count(&mut core, &mut state, 1, at(NOON + 1_000, 1_000));
    let carried = core.carried_reports(&mut state, at(NOON + 1_200, 1_200)).expect("reports");
    assert_eq!(serde_json::to_value(&carried).expect("JSON")["seen"], all);
    // What is asked for stays the same: a kept authorization fits.
    assert_eq!(fingerprint(&config), core.asked_for);
}

#[test]
fn what_was_seen_of_servers_has_an_end_and_older_states_have_none() {
    let old: state::Device = serde_json::from_value(json!({"client_uuid": random_uuid(), "tickets": {"a": "b"}})).expect("an older state");
    assert!(old.seen.is_empty() && serde_json::to_value(&old).expect("JSON").get("seen").is_none());
    let mut state = State::default();
    let server = |number: u64| Uuid::from_u128(u128::from(number)).to_string();
    for number in 1..=8 {
        state.note_seen(&server(number), 1_000 - number);
    }
    state.note_seen(&server(1), 2);
    assert_eq!((state.seen().len(), state.seen().get(&server(1))), (8, Some(&999)));
    state.note_seen(&server(9), 4);
    state.touched.clear();
    for origin in ["", "no server", &server(9)] {
        state.note_seen(origin, 3);
    }
    assert!(state.touched.is_empty());
    let seen = state.seen();
    assert_eq!((seen.len(), seen.get(&server(9))), (1, Some(&4)));
}
