//! Quotas are exact, whatever the concurrency (domain §4): 64 clients race over HTTPS for
//! the last seat and the last units. Never one too many, never one too few.
#![expect(clippy::print_stderr, reason = "the figures of a long proof")]

use std::sync::Barrier;
use std::time::Instant;

use serde_json::{Value, json};
use tollkeeper::client::transport::{CaPin, Method, Transport};
use tollkeeper::licensing::LicenseItem;
use tollkeeper::store::facts;

use crate::support::{Device, Site, Vendor, full_strength};

const CLIENTS: usize = 64;
const ITEMS_PER_LICENSE: usize = 100;

fn rounds() -> usize {
    if full_strength() { 200 } else { 10 }
}

fn scans(id: u64, quota: u64, grace_percent: u32) -> LicenseItem {
    Vendor::item(json!({"item_id": id, "product": "dbr", "charge_way": "scan", "quota": quota, "grace": {"percent": grace_percent}}))
}

/// A site for many rounds: each takes fresh items, of licenses as large as they may be.
struct Arena {
    site: Site,
    clients: Vec<Transport>,
}

impl Arena {
    /// `items` makes the items of a round from the first number that they may have; every
    /// round gets a code of its own, `216998-r{round}`, that holds them in this order.
    fn new(rounds: usize, items: impl Fn(usize, u64) -> Vec<LicenseItem>) -> Self {
        let site = Site::empty();
        let vendor = site.trust(Vendor::new());
        let mut next = 1;
        let all: Vec<Vec<LicenseItem>> = (0..rounds)
            .map(|round| {
                let made = items(round, next);
                next += made.len() as u64;
                made
            })
            .collect();
        let mut general = all.concat();
        general.push(Vendor::item(json!({"item_id": next, "product": "dbr", "charge_way": "scan", "quota": 1_000_000_000u64})));
        for (number, part) in general.chunks(ITEMS_PER_LICENSE).enumerate() {
            site.import(&vendor, 100 + number as u64, "216998", part.to_vec());
        }
        add_code(&site, "216998-all", &[next]);
        for (round, items) in all.iter().enumerate() {
            let ids: Vec<u64> = items.iter().map(|item| item.item_id.0).collect();
            add_code(&site, &code(round), &ids);
            site.admin(Method::Put, &format!("handshakes/{}/order", code(round)), Some(json!({"items": ids})));
        }
        // A connection for each client: shared ones are opened and closed all the time.
        let url = format!("https://{}", site.app().https_addresses()[0]);
        let pin = || CaPin::Pem(site.app().context().ca_pem.clone());
        let clients = (0..CLIENTS).map(|_| Transport::pinned(&url, pin()).expect("transport")).collect();
        Self { site, clients }
    }

    /// New devices, one a client, that ask for the code of this round.
    fn devices(&self, round: usize) -> Vec<Device> {
        self.clients.iter().map(|transport| Device::new(transport.clone(), &code(round))).collect()
    }

    /// Devices that are authorized under a code with plenty, and may report use under any.
    fn reporters(&self) -> Vec<Device> {
        let mut devices: Vec<Device> = self.clients.iter().map(|transport| Device::new(transport.clone(), "216998-all")).collect();
        race(&mut devices, |_, device| device.authorize().map(drop).expect("authorized"));
        devices
    }

    fn used(&self, listing: &Value, item: u64) -> u64 {
        let mut items = listing.as_array().expect("licenses").iter().flat_map(|license| license["items"].as_array().expect("items"));
        items.find(|row| row["item_id"] == item).expect("listed")["used"].as_u64().expect("number")
    }
}

fn code(round: usize) -> String {
    format!("216998-r{round}")
}

fn add_code(site: &Site, name: &str, items: &[u64]) {
    site.admin(Method::Post, "handshakes", Some(json!({"handshake_code": name, "items": items})));
}

/// All do it at the same moment, each on a thread and a connection of its own.
fn race<T: Send, D: Send>(devices: &mut [D], act: impl Fn(usize, &mut D) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(devices.len());
    let (barrier, act) = (&barrier, &act);
    std::thread::scope(|scope| {
        let run = |(number, device): (usize, _)| {
            scope.spawn(move || {
                barrier.wait();
                act(number, device)
            })
        };
        let running: Vec<_> = devices.iter_mut().enumerate().map(run).collect();
        running.into_iter().map(|thread| thread.join().expect("a client")).collect()
    })
}

/// A device reports only under codes that it was authorized for.
fn authorize_for(device: &mut Device, round: usize) {
    (device.code, device.ticket) = (code(round), None);
    device.authorize().expect("there is something left");
}

/// A report of use under the code of this round.
fn use_of(device: &Device, round: usize, now: i64, units: u64) -> Value {
    let mut report = device.scans(now, json!({"QR Code": units}));
    report["handshake_code"] = json!(code(round));
    report
}

#[test]
fn of_64_devices_exactly_one_gets_the_last_seat() {
    let rounds = rounds();
    let (began, mut granted) = (Instant::now(), 0);
    // Quotas 1 to 4, with one seat of grace each beyond the quota.
    let quota = |round: usize| round as u64 % 4 + 1;
    let arena = Arena::new(rounds, |round, id| {
        let percent = 100 / quota(round);
        vec![Vendor::item(
            json!({"item_id": id, "product": "dbr", "charge_way": "device", "period": "quarter", "quota": quota(round), "grace": {"percent": percent}}),
        )]
    });
    for round in 0..rounds {
        let limit = quota(round) + 1;
        let mut early: Vec<Device> = (1..limit).map(|_| arena.site.device(&code(round))).collect();
        early.iter_mut().for_each(|device| device.authorize().map(drop).expect("there is room"));
        let answers = race(&mut arena.devices(round), |_, device| device.authorize());
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(won, 1, "round {round}: one seat was left");
        let lost = answers.iter().filter(|answer| answer.as_ref().is_err_and(|problem| problem["code"] == 120)).count();
        assert_eq!(lost, CLIENTS - 1, "round {round}");
        early.iter_mut().for_each(|device| device.authorize().map(drop).expect("whoever has a seat goes on"));
        granted += limit;
    }
    let listing = arena.site.admin_get("licenses");
    for round in 0..rounds {
        assert_eq!(arena.used(&listing, round as u64 + 1), quota(round) + 1, "seats of round {round}");
    }
    eprintln!("last seat: {rounds} rounds of {CLIENTS} clients, {granted} seats given, none too many, none too few, {:.1} s", began.elapsed().as_secs_f64());
}

#[test]
fn of_64_units_exactly_those_that_do_not_fit_spill_to_the_next_item() {
    let rounds = rounds();
    let (began, mut units) = (Instant::now(), 0);
    // What is left of the first item: from nothing to more than is asked for.
    let left = |round: usize| [1, 0, 7, 31, 63, 64, 70, 2][round % 8];
    let quota = |round: usize| 100 + left(round);
    let arena = Arena::new(rounds, |round, id| vec![scans(id, quota(round), 5), scans(id + 1, 1_000, 5)]);
    let mut reporters = arena.reporters();
    for round in 0..rounds {
        race(&mut reporters, |_, device| authorize_for(device, round));
        let first = &reporters[0];
        first.report(&[use_of(first, round, arena.site.now(), 100)]).expect("taken");
        let answers = race(&mut reporters, |_, device| device.report(&[use_of(device, round, arena.site.now(), 1)]).expect("taken"));
        assert!(answers.iter().all(|answer| answer["accepted"].as_array().expect("list").len() == 1), "round {round}");
        units += 100 + CLIENTS as u64;
    }
    let listing = arena.site.admin_get("licenses");
    let mut sum = 0;
    for round in 0..rounds {
        let (one, two) = (arena.used(&listing, 2 * round as u64 + 1), arena.used(&listing, 2 * round as u64 + 2));
        let fits = left(round).min(CLIENTS as u64);
        assert_eq!((one, two), (100 + fits, CLIENTS as u64 - fits), "round {round}, in which {} were left", left(round));
        sum += one + two;
    }
    assert_eq!(sum, units);
    assert_eq!(arena.site.admin_get("statistics")["total"], units, "the statistics say the same");
    eprintln!("last units: {rounds} rounds of {CLIENTS} clients, {units} units charged exactly, {:.1} s", began.elapsed().as_secs_f64());
}

#[test]
fn nobody_is_authorized_after_the_last_unit_was_charged_and_nobody_refused_before() {
    let rounds = rounds();
    let began = Instant::now();
    let quota = |round: usize| 20 + round as u64 % 5;
    let grace = |round: usize| (quota(round) * 5 + 50) / 100;
    let arena = Arena::new(rounds, |round, id| vec![scans(id, quota(round), 5)]);
    let mut reporter = arena.reporters().remove(0);
    let store = &arena.site.app().context().store;
    let origin = arena.site.app().context().site.uuid();
    let (mut granted, mut refused) = (0, 0);
    for round in 0..rounds {
        authorize_for(&mut reporter, round);
        let reporter = &reporter;
        reporter.report(&[use_of(reporter, round, arena.site.now(), quota(round) + grace(round) - 1)]).expect("taken");
        let before = facts::head(&store.reader().expect("reader"), origin).expect("head").sequence;
        let mut devices = arena.devices(round);
        let charging = round % CLIENTS;
        let answers = race(&mut devices, |number, device| {
            if number == charging {
                reporter.report(&[use_of(reporter, round, arena.site.now(), 1)]).expect("taken");
            }
            device.authorize()
        });
        // The journal says in which order it was: granted, then charged, then refused.
        let after = facts::list_after(&store.reader().expect("reader"), origin, before, 1_000).expect("facts");
        let kinds: Vec<&str> = after.iter().map(|fact| fact.kind.as_str()).collect();
        let charged = kinds.iter().position(|kind| *kind == "reports_accepted").expect("charged");
        assert!(kinds[..charged].iter().all(|kind| *kind == "authorization_granted"), "round {round}: {kinds:?}");
        assert!(kinds[charged + 1..].iter().all(|kind| *kind == "authorization_refused"), "round {round}: {kinds:?}");
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!((won, kinds.len()), (charged, CLIENTS + 1), "round {round}: what was answered is what was recorded");
        assert!(answers[charging].is_err(), "round {round}: whoever saw the last unit charged is refused");
        assert!(answers.iter().flat_map(|answer| answer.as_ref().err()).all(|problem| problem["code"] == 120), "round {round}");
        granted += won;
        refused += CLIENTS - won;
    }
    let listing = arena.site.admin_get("licenses");
    for round in 0..rounds {
        assert_eq!(arena.used(&listing, round as u64 + 1), quota(round) + grace(round), "round {round}");
    }
    assert!(granted > 0 && refused > rounds, "the race was one: {granted} before the last unit, {refused} after it");
    eprintln!(
        "authorizations against the last unit: {rounds} rounds of {CLIENTS} clients, {granted} granted before it, {refused} refused after it, {:.1} s",
        began.elapsed().as_secs_f64()
    );
}
