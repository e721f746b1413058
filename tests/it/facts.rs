//! Facts: the tables follow from the journal, in whatever order two servers' facts come,
//! and nobody changes the journal unnoticed (architecture §2).

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::subsequence;
use rusqlite::{Connection, OpenFlags, params};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollkeeper::client::transport::Method;
use tollkeeper::clock::ManualClock;
use tollkeeper::licensing::charging::{Charge, Counts};
use tollkeeper::licensing::thresholds::{AlertKind, Aspect, Subject};
use tollkeeper::licensing::validation::ValidationFields;
use tollkeeper::licensing::{ClientUuid, CodeId, ItemId, LicenseId, LicenseItem, OrganizationId, ServerUuid, Slot, Unit};
use tollkeeper::store::alerts::{AlertsRaised, LevelChange, Raised, Severity};
use tollkeeper::store::facts::{
    self, AuthorizationGranted, AuthorizationRefused, Body, ChargedReport, DefaultChosen, DeviceReset, Fact, HandshakeChanged, ItemSeat, LicenseImported,
    LicenseRevoked, ReportsAccepted, SeatReleased, StatementIssued, TrialStart, TriedItem,
};
use tollkeeper::store::handshakes::State;
use tollkeeper::store::{Command, Error, Ledger, Store, open, rebuild, seats, usage};
use uuid::Uuid;

use crate::support::{NOON, Site, Vendor, full_strength};

/// A store of one server, without the server around it.
struct Server {
    clock: ManualClock,
    origin: ServerUuid,
    store: Store,
    _dir: TempDir,
}

impl Server {
    fn new(number: u8) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("tollkeeper.db");
        let (clock, origin) = (ManualClock::at_seconds(NOON), ServerUuid::from_bytes([number; 16]));
        let store = Store::start(&path, open::open(&path).expect("opens"), origin, Arc::new(clock.clone()), 64).expect("starts");
        Self { clock, origin, store, _dir: dir }
    }

    fn record(&self, bodies: Vec<Body>) {
        self.store.writer().submit_blocking(Record(bodies)).expect("recorded");
    }

    /// Takes what another server holds of itself and this one does not, as the
    /// synchronisation does.
    fn follow(&self, other: &Self) {
        let held = facts::head(&self.reader(), other.origin).expect("head").sequence;
        let new = facts::list_after(&other.reader(), other.origin, held, 10_000).expect("facts");
        self.replay(new).expect("taken");
    }

    fn replay(&self, facts: Vec<Fact>) -> Result<(), Error> {
        self.store.writer().submit_blocking(Replay(facts))
    }

    fn facts(&self) -> Vec<Fact> {
        facts::list_after(&self.reader(), self.origin, 0, 10_000).expect("facts")
    }

    fn reader(&self) -> tollkeeper::store::Reader {
        self.store.reader().expect("reader")
    }

    fn used(&self, item: u64) -> (u64, u64) {
        usage::read_used(&self.reader(), ItemId(item)).expect("read")
    }

    /// Whether what the writer remembers is what the tables say.
    fn check_memory(&self) -> Result<(), TestCaseError> {
        let remembered = self.store.writer().submit_blocking(Remember).expect("answered");
        let reader = self.reader();
        for (item, used, active, as_of) in remembered {
            let tables = (usage::read_used(&reader, item).expect("read").0, seats::read_active(&reader, item, as_of).expect("read"));
            prop_assert_eq!((used, active), tables, "item {} at {}", item, as_of);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.store.close();
    }
}

struct Record(Vec<Body>);

impl Command for Record {
    type Answer = ();

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<(), Error> {
        // What is asked for is remembered, and must be kept up by what is recorded after.
        remember(ledger)?;
        self.0.iter().try_for_each(|body| ledger.record(body).map(drop))
    }
}

struct Replay(Vec<Fact>);

impl Command for Replay {
    type Answer = ();

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<(), Error> {
        self.0.iter().try_for_each(|fact| ledger.replay(fact))
    }
}

struct Remember;

impl Command for Remember {
    type Answer = Vec<(ItemId, u64, u64, i64)>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        remember(ledger)
    }
}

fn remember(ledger: &mut Ledger<'_>) -> Result<Vec<(ItemId, u64, u64, i64)>, Error> {
    let now = ledger.now();
    (1..=ITEMS).map(ItemId).map(|item| Ok((item, usage::used(ledger, item)?, seats::count_active(ledger, item, now)?, now))).collect()
}

// A small world, so that the two servers meet in it all the time.
const ITEMS: u64 = 4;

fn client(number: u8) -> ClientUuid {
    ClientUuid::from_bytes([0xc0 | number; 16])
}

fn code(number: u8) -> CodeId {
    CodeId::from_bytes([0xd0 | number; 16])
}

fn organization(number: u8) -> OrganizationId {
    format!("org{}", number % 2).parse().expect("organization")
}

fn license_item(id: u64, quota: u64) -> LicenseItem {
    Vendor::item(json!({"item_id": id, "product": "dbr", "charge_way": "scan", "quota": quota}))
}

/// An issue of a license; the document settles everything in it, as it does in life.
fn license(id: u64, issue: i64, items: &[u64]) -> Body {
    Body::LicenseImported(LicenseImported {
        license_id: LicenseId(id),
        organization_id: organization(id as u8),
        alias: format!("issue {issue}"),
        issued_at: issue,
        vendor_kid: "kid".into(),
        document: format!("{id} {issue} {items:?}"),
        items: items.iter().map(|item| license_item(*item, 10 + issue as u64)).collect(),
        by: "admin".into(),
    })
}

fn reports(device: u8, reports: Vec<ChargedReport>) -> Body {
    Body::ReportsAccepted(ReportsAccepted { client: client(device), reports, seats: vec![] })
}

fn report(id: u128, charges: &[(u64, u64, u64)]) -> ChargedReport {
    let charges = charges.iter().map(|(item, units, overuse)| Charge {
        item_id: ItemId(*item),
        counts: Counts::from([("QR Code".to_owned(), *units)]),
        overuse: *overuse,
        module: None,
        slot_use: None,
    });
    ChargedReport {
        id: Uuid::from_u128(id),
        slot: Slot::containing(NOON),
        code: code(1),
        product: "dbr".into(),
        unit: Unit::Scan,
        module: None,
        instances: 1,
        charges: charges.collect(),
    }
}

fn released(device: u8, item: u64, by_admin: bool) -> Body {
    Body::SeatReleased(SeatReleased { client: client(device), item: ItemId(item), by_admin, by: None })
}

fn any_seats() -> impl Strategy<Value = Vec<ItemSeat>> {
    prop::collection::vec((1..=ITEMS, prop::option::of(-20i64..60), 1u32..5), 0..3).prop_map(|seats| {
        seats.into_iter().map(|(item, until, instances)| ItemSeat { id: ItemId(item), until: until.map(|after| NOON + after), instances }).collect()
    })
}

fn any_charge() -> impl Strategy<Value = Charge> {
    let counts = prop::collection::btree_map("[AB]", 1u64..5, 0..3);
    (1..=ITEMS, counts, any::<bool>(), prop::option::of("[mn]"), prop::option::of(1u32..20)).prop_map(|(item, counts, over, module, slot_use)| {
        let overuse = if over { counts.values().sum::<u64>() / 2 } else { 0 };
        Charge { item_id: ItemId(item), counts, overuse, module, slot_use }
    })
}

fn any_report() -> impl Strategy<Value = ChargedReport> {
    (1u128..7, 0i64..3, 1u8..4, prop::collection::vec(any_charge(), 1..3)).prop_map(|(id, day, number, charges)| ChargedReport {
        slot: Slot::containing(NOON - day * 86_400),
        code: code(number),
        charges,
        ..report(id, &[])
    })
}

fn any_state() -> impl Strategy<Value = State> {
    (subsequence((1..=ITEMS).map(ItemId).collect::<Vec<_>>(), 0..=4), any::<bool>(), prop::option::of("[a-z]{1,3}")).prop_map(|(items, automatic, alias)| {
        State {
            custom_order: automatic.then(|| items.clone()),
            items,
            aliases: alias.into_iter().collect(),
            validation: ValidationFields::default(),
            sealed_password: None,
            automatic,
        }
    })
}

fn any_body() -> impl Strategy<Value = Body> {
    let device = 1u8..4;
    prop_oneof![
        2 => (1u64..4, 0i64..3, 0u64..2).prop_map(|(id, issue, variant)| {
            let items: Vec<u64> = (1..=ITEMS).filter(|item| !(item * 7 + id * 3 + issue as u64 * 5 + variant).is_multiple_of(3)).collect();
            license(id, issue, &items)
        }),
        3 => (1u8..4, 0u64..2, 1u64..4, any::<bool>(), "[a-c]", any_state()).prop_map(|(number, epoch, version, deleted, custom, state)| {
            Body::HandshakeChanged(HandshakeChanged {
                code_id: code(number), organization_id: organization(number), custom, created_stamp: i64::from(number), epoch, version, deleted, state, by: "admin".into(),
            })
        }),
        1 => (1u8..4, 0u64..2, 1u64..4).prop_map(|(number, epoch, version)| {
            Body::DefaultChosen(DefaultChosen { organization_id: organization(number), code_id: code(number), epoch, version, by: "admin".into() })
        }),
        4 => (device.clone(), 1u8..3, any_seats(), "[a-f]", prop::option::of((1..=ITEMS, 0i64..9))).prop_map(|(device, number, items, ticket, trial)| {
            let nonce = format!("of {ticket}");
            let trial = trial.map(|(item, after)| TrialStart { item: ItemId(item), ends_at: NOON + after, address: format!("10.0.0.{after}") });
            Body::AuthorizationGranted(AuthorizationGranted { client: client(device), code: code(number), items, ticket, nonce, exp: NOON, trial })
        }),
        3 => (device.clone(), prop::option::of(1u8..3), prop::option::of(1..=ITEMS)).prop_map(|(device, number, item)| {
            let tried = item.map(|item| vec![TriedItem { item: ItemId(item), reason: 120, expected: "10".into(), given: "11".into() }]);
            Body::AuthorizationRefused(AuthorizationRefused {
                client: client(device), code: number.map(code), asked: "org1-a".into(), reason: 120, item: item.map(ItemId), detail: "full".into(), tried,
            })
        }),
        1 => (1u64..4, 1..=ITEMS, 0i64..3).prop_map(|(id, item, issued_at)| {
            let (vendor_kid, reason) = ("kid".into(), format!("at {issued_at}"));
            Body::LicenseRevoked(LicenseRevoked {
                license_id: LicenseId(id), items: vec![ItemId(item)], issued_at, vendor_kid, reason, document: "signed".into(), by: "admin".into(),
            })
        }),
        1 => (1u8..4, 1u64..9).prop_map(|(number, head_sequence)| {
            let day = chrono::NaiveDate::from_ymd_opt(2026, 11, 22).expect("a day");
            Body::StatementIssued(StatementIssued {
                statement_id: Uuid::from_bytes([number; 16]), organization_id: organization(1), vendor_kid: "kid".into(), from: day, to: day, head_sequence, head_hash: [number; 32], by: "admin".into(),
            })
        }),
        5 => (device.clone(), prop::collection::vec(any_report(), 1..4), any_seats()).prop_map(|(device, reports, seats)| {
            Body::ReportsAccepted(ReportsAccepted { client: client(device), reports, seats })
        }),
        3 => (device.clone(), 1..=ITEMS, any::<bool>()).prop_map(|(device, item, by_admin)| released(device, item, by_admin)),
        1 => device.prop_map(|device| Body::DeviceReset(DeviceReset { client: client(device), by: "admin".into() })),
        2 => (1..=ITEMS, prop::option::of(1u32..4), 0u64..2, 1u64..4).prop_map(|(item, percent, epoch, version)| {
            let level = percent.map(|percent| AlertKind::Units { percent });
            let alert = Raised { severity: Severity::Warning, item: Some(ItemId(item)), code: None, kind: "units".into(), text: "used".into() };
            let change = LevelChange { subject: Subject::Item(ItemId(item)), aspect: Aspect::Use, level, version };
            Body::AlertsRaised(AlertsRaised { alerts: percent.map(|_| alert).into_iter().collect(), levels: vec![change], epoch })
        }),
    ]
}

/// What happens at a site of two servers.
#[derive(Debug, Clone)]
enum Step {
    /// The first (or second) server records these in one transaction.
    Record(bool, Vec<Body>),
    /// The first (or second) takes what the other has.
    Sync(bool),
    /// Time goes on at both.
    Wait(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<bool>(), prop::collection::vec(any_body(), 1..5)).prop_map(|(first, bodies)| Step::Record(first, bodies)),
        1 => any::<bool>().prop_map(Step::Sync),
        2 => (0i64..15).prop_map(Step::Wait),
        1 => (1i64..40).prop_map(|days| Step::Wait(days * 86_400)),
    ]
}

/// A closure that picks origins at random.
fn shuffle(mut state: u64) -> impl FnMut(usize) -> usize {
    move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize
    }
}

fn check_same(one: &Connection, other: &Connection, what: &str) -> Result<(), TestCaseError> {
    let different = rebuild::differences(one, other).expect("compared");
    prop_assert!(different.is_empty(), "{what}: {different:#?}");
    Ok(())
}

fn assert_same(one: &Connection, other: &Connection, what: &str) {
    check_same(one, other, what).expect("the same rows");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if full_strength() { 400 } else { 64 }, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn facts_of_two_servers_make_the_same_tables_in_any_order(steps in prop::collection::vec(any_step(), 1..14), seed in 1u64..) {
        let (a, b) = (Server::new(1), Server::new(2));
        for step in steps {
            match step {
                Step::Record(true, bodies) => a.record(bodies),
                Step::Record(false, bodies) => b.record(bodies),
                Step::Sync(true) => a.follow(&b),
                Step::Sync(false) => b.follow(&a),
                Step::Wait(seconds) => [&a, &b].iter().for_each(|server| server.clock.advance_seconds(seconds)),
            }
        }
        a.follow(&b);
        b.follow(&a);
        a.check_memory()?;
        b.check_memory()?;
        let (a, b) = (a.reader(), b.reader());
        check_same(&a, &b, "the servers after exchanging facts")?;
        prop_assert_eq!(facts::verify_chain(&a).expect("whole"), facts::verify_chain(&b).expect("whole"));
        check_same(&a, &rebuild::replay_into_memory(&a, |_| 0).expect("replayed"), "one origin after the other")?;
        check_same(&a, &rebuild::replay_into_memory(&a, |open| open - 1).expect("replayed"), "the other origin first")?;
        for round in 0..6 {
            check_same(&a, &rebuild::replay_into_memory(&a, shuffle(seed ^ (round << 40))).expect("replayed"), "a random order")?;
        }
    }
}

#[test]
fn a_report_taken_by_both_servers_counts_once_and_the_lower_server_wins() {
    let (low, high) = (Server::new(1), Server::new(2));
    low.record(vec![reports(1, vec![report(7, &[(1, 5, 0)])])]);
    high.record(vec![reports(1, vec![report(7, &[(1, 3, 0), (2, 2, 1)]), report(8, &[(2, 4, 0)])])]);
    assert_eq!((high.used(1), high.used(2)), ((3, 0), (6, 1)));

    high.follow(&low);
    assert_eq!((high.used(1), high.used(2)), ((5, 0), (4, 0)), "the lower server's charge stands, the higher's was taken back");
    low.follow(&high);
    assert_eq!((low.used(1), low.used(2)), ((5, 0), (4, 0)));
    let scope = usage::Scope { code: Some(code(1)), item: None, from_day: 0, to_day: i64::MAX };
    for server in [&low, &high] {
        let seen = usage::read(&server.reader(), scope).expect("read");
        assert_eq!((seen.by_type, seen.devices), (BTreeMap::from([("QR Code".to_owned(), 9)]), 1));
        rebuild::verify(&server.reader()).expect("proven");
    }
    assert_same(&low.reader(), &high.reader(), "both servers");
}

#[test]
fn a_license_that_both_servers_imported_shows_the_earlier_import() {
    let (low, high) = (Server::new(1), Server::new(2));
    high.record(vec![license(1, 1, &[1])]);
    low.clock.advance_seconds(3_600);
    low.record(vec![license(1, 1, &[1])]);
    low.follow(&high);
    high.follow(&low);
    for server in [&low, &high] {
        let licenses = tollkeeper::store::licenses::list(&server.reader()).expect("read");
        assert_eq!(licenses.iter().map(|(license, items)| (license.imported_at, items.len())).collect::<Vec<_>>(), [(NOON, 1)]);
    }
}

#[test]
fn an_item_that_two_licenses_name_belongs_to_the_lower_one_on_both_servers() {
    let (low, high) = (Server::new(1), Server::new(2));
    low.record(vec![license(1, 1, &[1, 2])]);
    high.record(vec![license(2, 1, &[2, 3])]);
    low.record(vec![license(1, 2, &[1])]);
    low.follow(&high);
    high.follow(&low);
    assert_same(&low.reader(), &high.reader(), "both servers");
    for server in [&low, &high] {
        let catalog = tollkeeper::store::catalog::Catalog::load(&server.reader()).expect("read");
        let owner = |item| catalog.find_item(ItemId(item)).map(|entry| entry.license_id.0);
        assert_eq!((owner(1), owner(2), owner(3)), (Some(1), Some(2), Some(2)), "the new issue of license 1 gave item 2 up");
    }
}

#[test]
fn a_fact_taken_twice_changes_nothing() {
    let (a, b) = (Server::new(1), Server::new(2));
    a.record(vec![license(1, 1, &[1]), reports(1, vec![report(1, &[(1, 5, 0)])]), released(1, 1, true)]);
    b.follow(&a);
    let before = rebuild::replay_into_memory(&b.reader(), |_| 0).expect("replayed");
    b.replay(a.facts()).expect("taken again");
    a.replay(a.facts()).expect("its own, taken again");
    assert_same(&b.reader(), &before, "after the second time");
    assert_same(&a.reader(), &before, "the server they come from");
    assert_eq!(facts::verify_chain(&b.reader()).expect("whole"), 3);
}

#[test]
fn a_gap_and_a_wrong_hash_are_refused_and_leave_no_trace() {
    let (a, b) = (Server::new(1), Server::new(2));
    a.record(vec![released(1, 1, true), released(2, 1, true), released(3, 1, true)]);
    let good = a.facts();
    let changed = |change: fn(&mut Fact)| {
        let mut fact = good[0].clone();
        change(&mut fact);
        fact
    };
    let last = good.last().expect("three");
    let rehashed = |mut fact: Fact, previous: &facts::Hash| {
        fact.hash = facts::link(previous, fact.origin, fact.sequence, fact.stamp, &fact.kind, &fact.json);
        fact
    };
    let earlier = rehashed(Fact { stamp: good[0].stamp, ..good[1].clone() }, &good[0].hash);
    let wrong: Vec<(&str, Vec<Fact>)> = vec![
        ("the beginning is missing", vec![good[1].clone()]),
        ("a fact is missing between two", vec![good[0].clone(), last.clone()]),
        ("another body", vec![changed(|fact| fact.json = fact.json.to_ascii_uppercase())]),
        ("another kind", vec![changed(|fact| fact.kind = "device_reset".into())]),
        ("another time", vec![changed(|fact| fact.stamp += 1)]),
        ("another server", vec![changed(|fact| fact.origin = ServerUuid::from_bytes([3; 16]))]),
        ("another hash", vec![changed(|fact| fact.hash[31] ^= 1)]),
        ("no later than the one before", vec![good[0].clone(), earlier]),
    ];
    for (what, facts) in wrong {
        let error = b.replay(facts).expect_err(what);
        assert!(matches!(error, Error::Chain(_)), "{what}: {error}");
        assert_eq!(facts::verify_chain(&b.reader()).expect("empty"), 0, "{what}");
        assert!(rebuild::differences(&b.reader(), &open::open_in_memory().expect("empty")).expect("compared").is_empty(), "{what}");
    }
    b.replay(good).expect("the right ones are taken all the same");
    assert_same(&b.reader(), &a.reader(), "after the right ones");
}

#[test]
fn a_fact_of_a_newer_partner_waits_in_the_journal_and_those_after_it_are_taken() {
    let (a, b) = (Server::new(1), Server::new(2));
    a.record(vec![released(1, 1, true), released(2, 1, true)]);
    let mut known = a.facts();
    let last = known.pop().expect("two");
    let json = br#"{"of":"tomorrow"}"#.to_vec();
    let (sequence, stamp) = (last.sequence, last.stamp);
    let hash = facts::link(&known.last().expect("one").hash, last.origin, sequence, stamp, "made_tomorrow", &json);
    let newer = Fact { kind: "made_tomorrow".to_owned(), json, hash, ..last.clone() };
    let after = Fact { sequence: sequence + 1, stamp: stamp + 1, ..last };
    let after = Fact { hash: facts::link(&newer.hash, after.origin, after.sequence, after.stamp, &after.kind, &after.json), ..after };
    known.extend([newer, after]);
    let count = known.len() as u64;
    b.replay(known).expect("an older server goes on");
    assert_eq!(facts::verify_chain(&b.reader()).expect("in order"), count);
    assert_eq!(rebuild::verify(&b.reader()).expect("the tables follow from what is understood"), count);
}

/// Everything that a site can live through in a day.
fn varied_day() -> Site {
    let mut first_use = Vendor::device_item(4);
    first_use.product = "ddn".into();
    first_use.seat_starts = tollkeeper::licensing::item::SeatStarts::FirstUse;
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1), Vendor::scan_item(2), Vendor::page_item(3), first_use]);
    site.import(&vendor, 101, "216998", vec![Vendor::device_item(5)]);
    let code = |method, path: &str, body: Value| site.admin(method, path, Some(body));
    code(Method::Post, "handshakes", json!({"handshake_code": "216998-line4", "items": [1, 2, 5], "domains": ["example.com"], "session_password": "secret"}));
    code(Method::Patch, "handshakes/216998-line4", json!({"handshake_code": "216998-line5", "domains": [], "remove_session_password": true}));
    code(Method::Post, "handshakes", json!({"handshake_code": "216998-old", "items": [5]}));
    site.admin(Method::Put, "handshakes/216998-line5/default", None);
    site.admin(Method::Put, "handshakes/216998-line5/order", Some(json!({"items": [5, 2, 1]})));
    let mut devices: Vec<_> = (0..14).map(|number| site.device(if number % 2 == 0 { "216998-line4" } else { "216998-100" })).collect();
    for (number, device) in devices.iter_mut().enumerate() {
        device.authorize().expect("authorized");
        let _ = device.authorize_with(json!({"product": "dwt", "modules": []}));
        let reports: Vec<_> = (0..3).map(|slot| device.scans(site.now() - 180 * (number as i64 + slot), json!({"QR Code": 3, "Code 128": slot}))).collect();
        device.report(&reports).expect("taken");
        device.report(&reports).expect("taken again");
    }
    // Spill from one item to the next, and overuse in the end; seats by first use; refusals.
    let spill = devices[1].scans(site.now(), json!({"QR Code": 150, "EAN": 80}));
    devices[1].report(&[spill]).expect("taken");
    assert!(site.item(2)["overuse"].as_u64() > Some(0), "{}", site.item(2));
    let mut other = site.device("216998-100");
    other.authorize_with(json!({"product": "ddn"})).expect("authorized");
    let mut use_of = other.scans(site.now(), json!({"scanned": 1}));
    use_of["product"] = json!("ddn");
    assert_eq!(other.report(&[use_of.clone()]).expect("taken")["accepted"], json!([use_of["report_id"]]));
    assert_eq!(site.item(4)["used"], 1, "the seat began with the first use");
    assert_eq!(site.device("216998-100").authorize().expect_err("used up")["code"], 120);
    assert_eq!(site.device("216998-line5").authorize_with(json!({"product": "none"})).expect_err("no such product")["code"], 106);
    site.admin(Method::Delete, &format!("devices/{}/seats/5", devices[0].client), None);
    let authorization = devices[2].authorization.clone().expect("authorized");
    let release = json!({"client_uuid": devices[2].client, "authorization": authorization});
    assert!(site.anonymous().post_json("/api/v1/release", &release, &[]).expect("answered").is_success());
    devices[4].ticket = Some("of a restored backup".into());
    assert_eq!(devices[4].authorize().expect_err("a clone")["code"], 151);
    site.admin(Method::Post, &format!("devices/{}/reset", devices[4].client), None);
    devices[4].authorize().expect("authorized after the reset");
    site.admin(Method::Delete, "handshakes/216998-old", None);
    site.clock.advance_seconds(100 * 86_400);
    site.import(&vendor, 100, "216998", vec![license_item(1, 5_000), Vendor::page_item(3)]);
    let mut late = site.device("216998-100");
    late.authorize().expect("authorized after more was bought");
    late.report(&[late.scans(site.now(), json!({"QR Code": 1}))]).expect("taken");
    site
}

/// The database as it stands, in a file of its own that the test may damage.
fn copy_of(site: &Site) -> (TempDir, Connection) {
    let dir = tempfile::tempdir().expect("directory");
    let copy = dir.path().join("copy.db");
    let source = Connection::open_with_flags(site.data().join("tollkeeper.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens");
    source.execute("VACUUM INTO ?1", params![copy.display().to_string()]).expect("copied");
    let copy = Connection::open(copy).expect("opens");
    copy.pragma_update(None, "synchronous", "OFF").expect("a copy needs no disk");
    (dir, copy)
}

#[test]
fn the_tables_of_a_varied_day_follow_from_its_journal() {
    let mut site = varied_day();
    let (_dir, copy) = copy_of(&site);
    let kinds: i64 = copy.query_row("SELECT COUNT(DISTINCT kind) FROM journal", [], |row| row.get(0)).expect("read");
    assert_eq!(kinds, 8, "the day had facts of every kind");
    let count = rebuild::verify(&copy).expect("proven");
    assert_eq!(count as i64, copy.query_row("SELECT COUNT(*) FROM journal", [], |row| row.get::<_, i64>(0)).expect("read"));
    site.restart();
    assert_eq!(rebuild::verify(&site.app().context().store.reader().expect("reader")).expect("proven after a restart"), count);
    copy.execute("UPDATE item_usage SET used = used + 1 WHERE item_id = 1", []).expect("changed");
    let error = rebuild::verify(&copy).expect_err("a table that does not follow").to_string();
    assert!(error.contains("item_usage"), "{error}");
}

#[test]
fn whoever_changes_the_journal_is_noticed() {
    let site = varied_day();
    let (_dir, copy) = copy_of(&site);
    let last: i64 = copy.query_row("SELECT MAX(sequence) FROM journal", [], |row| row.get(0)).expect("read");
    let noticed_after = |what: &str, sequence: i64, change: &dyn Fn()| {
        copy.execute_batch("BEGIN").expect("begun");
        change();
        let error = facts::verify_chain(&copy).expect_err(&format!("{what}, fact {sequence}"));
        assert!(matches!(error, Error::Chain(_)), "{what}, fact {sequence}: {error}");
        copy.execute_batch("ROLLBACK").expect("undone");
    };
    for sequence in 1..=last {
        noticed_after("one byte of the body", sequence, &|| {
            let mut body: Vec<u8> = copy.query_row("SELECT body FROM journal WHERE sequence = ?1", [sequence], |row| row.get(0)).expect("read");
            let at = sequence as usize * 7 % body.len();
            body[at] ^= 1;
            copy.execute("UPDATE journal SET body = ?1 WHERE sequence = ?2", params![body, sequence]).expect("changed");
        });
    }
    let noticed = |what: &str, sql: &str, sequence: i64| {
        noticed_after(what, sequence, &|| copy.execute_batch(&sql.replace(":n", &sequence.to_string())).expect("changed"))
    };
    let middle = last / 2;
    noticed("another time", "UPDATE journal SET stamp = stamp + 1 WHERE sequence = :n", middle);
    noticed("another kind", "UPDATE journal SET kind = kind || 'x' WHERE sequence = :n", middle);
    noticed("another hash", "UPDATE journal SET hash = zeroblob(32) WHERE sequence = :n", middle);
    noticed("another server", "UPDATE journal SET origin = zeroblob(16) WHERE sequence = :n", middle);
    noticed("one fact is gone", "DELETE FROM journal WHERE sequence = :n", middle);
    noticed("the beginning is gone", "DELETE FROM journal WHERE sequence <= :n", middle);
    noticed("many are gone", "DELETE FROM journal WHERE sequence BETWEEN :n - 3 AND :n", middle);
    noticed(
        "two changed places",
        "UPDATE journal SET sequence = -sequence + 10000000 WHERE sequence IN (:n, :n + 1); UPDATE journal SET sequence = 2 * :n + 1 - (10000000 - sequence) WHERE sequence > 1000000",
        middle,
    );
    assert_eq!(facts::verify_chain(&copy).expect("whole again"), last as u64);
}
