//! What closing a license gives back, and what it never does: hang, fail, or take from others (domain §4).

use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollkeeper::client::core::outbox::Submitted;
use tollkeeper::client::settings::CLOSE_WAIT;
use tollkeeper::client::status::{Listeners, Origin, Status};
use tollkeeper::client::{License, LicenseError, ReleaseOnClose, Settings};

use crate::client::settings;
use crate::support::driver::Driver;
use crate::support::{Line, Site, Vendor, until};

/// What a machine that does other things too may add to [`CLOSE_WAIT`].
const SLACK: Duration = Duration::from_secs(3);

/// Three instances, and not one more for a moment.
fn floating() -> (Site, Vendor) {
    licensed(json!({"charge_way": "concurrent_instance", "quota": 3, "grace": {"tolerance": 0, "growth_per_day": 0}}))
}

/// One seat of a device, without grace.
fn single() -> (Site, Vendor) {
    licensed(json!({"charge_way": "device", "period": "quarter", "quota": 1, "grace": {"percent": 0}}))
}

fn licensed(fields: Value) -> (Site, Vendor) {
    let mut item = json!({"item_id": 1, "product": "dbr", "valid_from": "2020-01-01T00:00:00Z", "valid_to": "2099-12-31T00:00:00Z"});
    item.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    Site::licensed(vec![Vendor::item(item)])
}

/// Settings of a device that wants all three instances, under the closing rule.
fn device(site: &Site, vendor: &Vendor, folder: &Path, release_on_close: ReleaseOnClose) -> Settings {
    Settings { instances: 3, release_on_close, ..settings(site, vendor, folder) }
}

fn code(got: Result<License, LicenseError>) -> u16 {
    got.map(drop).expect_err("refused").code.number()
}

/// Whether the server holds something for a device.
fn is_held(site: &Site) -> bool {
    site.admin_get("devices").as_array().expect("devices").iter().any(|device| device["seats"] != json!([]))
}

/// Sessions of a data folder that say that they live.
fn sessions(folder: &Path) -> usize {
    std::fs::read_dir(folder).expect("list").flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("session-")).count()
}

#[test]
fn instances_are_free_for_another_device_when_the_last_application_closes() {
    let (mut site, vendor) = floating();
    let (one, other) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let [one_wants, other_wants] = [&one, &other].map(|folder| device(&site, &vendor, folder.path(), ReleaseOnClose::default()));
    let first = License::initialize(&one_wants).expect("all three");
    let second = License::initialize(&one_wants).expect("shared by the machine");
    // Another application of the machine, under the same item.
    let third = License::initialize(&Settings { edition: Some("pro".into()), ..one_wants.clone() }).expect("shared as well");
    first.take_instances(2).expect("granted");
    first.record("QR Code", 7).expect("counted");
    drop(first);
    drop(third);
    assert_eq!(code(License::initialize(&other_wants)), 120, "the second is still at work");
    assert!(is_held(&site));
    drop(second);
    assert!(!is_held(&site));
    assert_eq!(site.admin_get("statistics?handshake=216998-100")["total"], 7, "what was done is reported first");
    drop(License::initialize(&other_wants).expect("free at once"));
    let next = License::initialize(&one_wants).expect("free again");
    drop(next);
    // What was given back does not let the machine work, whatever application asks.
    site.stop();
    for settings in [&one_wants, &other_wants, &Settings { edition: Some("pro".into()), ..one_wants.clone() }] {
        assert_eq!(code(License::initialize(settings)), 302);
    }
}

/// Two products and an add-on for one of them, all under one code.
fn suite() -> (Site, Vendor) {
    let item = |fields: Value| {
        let mut item = json!({"valid_from": "2020-01-01T00:00:00Z", "valid_to": "2099-12-31T00:00:00Z", "quota": 3, "grace": {"percent": 0}});
        item.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        Vendor::item(item)
    };
    Site::licensed(vec![
        item(
            json!({"item_id": 1, "product": "dbr", "modules": ["qr-code"], "charge_way": "concurrent_instance", "grace": {"tolerance": 0, "growth_per_day": 0}}),
        ),
        item(json!({"item_id": 2, "product": "dbr", "modules": ["ocr"], "charge_way": "device", "period": "quarter"})),
        item(json!({"item_id": 3, "product": "dcv", "charge_way": "concurrent_instance", "grace": {"tolerance": 0, "growth_per_day": 0}})),
    ])
}

/// The items that the server holds something of.
fn held(site: &Site) -> Vec<u64> {
    let devices = site.admin_get("devices");
    let seats = devices.as_array().expect("devices").iter().flat_map(|device| device["seats"].as_array().expect("seats").clone());
    let mut items: Vec<u64> = seats.map(|seat| seat["item_id"].as_u64().expect("an item")).collect();
    items.sort_unstable();
    items
}

#[test]
fn each_application_of_a_machine_gives_back_what_it_used_itself() {
    let (site, vendor) = suite();
    let folder = tempfile::tempdir().expect("dir");
    let usual = device(&site, &vendor, folder.path(), ReleaseOnClose::default());
    let [reading, viewing] = ["dbr", "dcv"].map(|product| Settings { product: product.into(), limited_modules: Vec::new(), ..usual.clone() });
    let reading = Settings { limited_modules: vec!["qr-code".into()], ..reading };
    let reader = License::initialize(&reading).expect("licensed");
    // Its authorization is the later one, which a server wants to see.
    site.clock.advance_seconds(60);
    let viewer = License::initialize(&viewing).expect("licensed");
    assert_eq!(held(&site), [1, 3]);
    drop(reader);
    assert_eq!(held(&site), [3]);
    drop(viewer);
    assert_eq!(held(&site), [0_u64; 0]);
}

#[test]
fn an_application_that_starts_with_no_network_keeps_what_it_needs_for_that() {
    let (mut site, vendor) = suite();
    let folder = tempfile::tempdir().expect("dir");
    let usual = Settings { limited_modules: vec!["qr-code".into()], ..device(&site, &vendor, folder.path(), ReleaseOnClose::default()) };
    let whole = Settings { limited_modules: vec!["qr-code".into(), "ocr".into()], ..usual.clone() };
    let reader = License::initialize(&usual).expect("licensed");
    site.clock.advance_seconds(60);
    drop(License::initialize(&whole).expect("licensed"));
    assert_eq!(held(&site), [1, 2], "it holds a named seat, and is to start again with no network");
    drop(reader);
    assert_eq!(held(&site), [1, 2]);
    // Where the application insists, its own item is given back, and nothing else.
    drop(License::initialize(&Settings { release_on_close: ReleaseOnClose::Seat, ..usual.clone() }).expect("licensed"));
    assert_eq!(held(&site), [2]);
    drop(License::initialize(&whole).expect("licensed"));
    site.stop();
    assert_eq!(License::initialize(&whole).expect("it starts with no network").status().origin, Some(Origin::Kept));
}

#[test]
fn a_seat_is_given_back_only_where_the_application_wants_that() {
    let (mut site, vendor) = single();
    let folders = [(); 3].map(|()| tempfile::tempdir().expect("dir"));
    let [usual, keeping, giving] = [(0, ReleaseOnClose::Instances), (1, ReleaseOnClose::Nothing), (2, ReleaseOnClose::Seat)]
        .map(|(index, policy)| device(&site, &vendor, folders[index].path(), policy));
    drop(License::initialize(&giving).expect("the seat"));
    drop(License::initialize(&usual).expect("free again"));
    assert_eq!(code(License::initialize(&giving)), 120, "a named seat is kept");
    License::initialize(&usual).expect("its own").release().expect("given back");
    drop(License::initialize(&keeping).expect("free again"));
    assert_eq!(code(License::initialize(&giving)), 120, "nothing was given back");
    site.stop();
    assert_eq!(License::initialize(&keeping).expect("it starts with no network").status().origin, Some(Origin::Kept));
    assert_eq!(code(License::initialize(&usual)), 302);
}

#[test]
fn nothing_is_given_back_where_the_application_wants_that() {
    let (mut site, vendor) = floating();
    let folder = tempfile::tempdir().expect("dir");
    let settings = device(&site, &vendor, folder.path(), ReleaseOnClose::Nothing);
    drop(License::initialize(&settings).expect("licensed"));
    assert!(is_held(&site));
    site.stop();
    assert_eq!(License::initialize(&settings).expect("kept").status().origin, Some(Origin::Kept));
}

#[test]
fn closing_waits_for_a_silent_server_a_short_time_only_and_keeps_everything() {
    let (site, vendor) = floating();
    let line = Line::new();
    line.lead_to(site.app().https_addresses()[0]);
    let folder = tempfile::tempdir().expect("dir");
    let settings = Settings { main_server_url: Some(line.url()), ..device(&site, &vendor, folder.path(), ReleaseOnClose::default()) };
    let close = |license: License| {
        let began = Instant::now();
        drop(license);
        assert!(began.elapsed() < CLOSE_WAIT + SLACK, "{:?}", began.elapsed());
        assert_eq!(sessions(folder.path()), 0);
    };
    let (told, heard) = channel();
    let warning = Box::new(move |error: &LicenseError| told.send(error.message.clone()).expect("heard"));
    let license = License::initialize_with(&settings, Listeners { warning: Some(warning), ..Listeners::default() }).expect("licensed");
    license.record("QR Code", 5).expect("counted");
    line.silence();
    close(license);
    assert!(heard.try_recv().expect("a warning").contains("could not be given back"));
    assert!(is_held(&site));
    // Nobody is there at all.
    line.cut();
    let license = License::initialize(&settings).expect("kept");
    assert_eq!(license.status().origin, Some(Origin::Kept));
    close(license);
    // A server that is being asked just now, and for longer than anybody waits who closes.
    let asking = Arc::<OnceLock<Weak<License>>>::default();
    let listening = Arc::clone(&asking);
    let warning = Box::new(move |_: &LicenseError| {
        let license = listening.get().and_then(Weak::upgrade).expect("a license");
        license.renew().expect("afterwards");
    });
    let license = Arc::new(License::start(&settings, Listeners { warning: Some(warning), ..Listeners::default() }).expect("kept"));
    asking.set(Arc::downgrade(&license)).expect("once");
    line.silence();
    std::fs::write(folder.path().join("reports-2020-01-01.json"), "damaged").expect("written");
    license.flush();
    until("a question that nobody answers", 30, || (line.calls() > 0).then_some(()));
    close(Arc::into_inner(license).expect("the last"));
    line.mend();
    site.clock.advance_seconds(360);
    drop(License::initialize(&settings).expect("licensed"));
    assert!(!is_held(&site), "given back at last");
    assert_eq!(site.admin_get("statistics?handshake=216998-100")["total"], 5);
}

#[test]
fn closing_goes_to_the_standby_when_the_main_server_is_silent() {
    let (site, vendor) = floating();
    let line = Line::new();
    line.lead_to(site.app().https_addresses()[0]);
    let folder = tempfile::tempdir().expect("dir");
    let usual = device(&site, &vendor, folder.path(), ReleaseOnClose::default());
    let settings = Settings { standby_server_url: usual.main_server_url.clone(), main_server_url: Some(line.url()), ..usual };
    let license = License::initialize(&settings).expect("licensed");
    license.record("QR Code", 2).expect("counted");
    line.silence();
    drop(license);
    assert!(!is_held(&site));
    assert_eq!(site.admin_get("statistics?handshake=216998-100")["total"], 2);
}

#[test]
fn a_killed_process_gives_nothing_back_and_does_not_count_as_one_at_work() {
    let (site, vendor) = floating();
    let folder = tempfile::tempdir().expect("dir");
    let mut killed = Driver::start();
    killed.configure(&site, &vendor, folder.path());
    killed.done("set instances 3");
    killed.done("set processName driver");
    killed.done("initialize");
    killed.child.kill().expect("killed");
    killed.child.wait().expect("gone");
    assert!(is_held(&site));
    let settings = Settings { process_name: Some("driver".into()), ..device(&site, &vendor, folder.path(), ReleaseOnClose::default()) };
    drop(License::initialize(&settings).expect("the machine's own"));
    assert!(!is_held(&site));
}

#[test]
fn of_two_that_close_at_the_same_moment_the_last_gives_back() {
    let (site, vendor) = floating();
    let folder = tempfile::tempdir().expect("dir");
    let settings = device(&site, &vendor, folder.path(), ReleaseOnClose::default());
    for _ in 0..5 {
        let licenses: Vec<License> = (0..3).map(|_| License::initialize(&settings).expect("licensed")).collect();
        std::thread::scope(|scope| {
            for license in licenses {
                scope.spawn(move || drop(license));
            }
        });
        assert!(!is_held(&site));
    }
}

/// Has a listener close the license that was asked for anew, with more to be heard: what was heard, until the license is no more.
fn close_in_a_listener(site: &Site, settings: &Settings, folder: &Path) -> Vec<&'static str> {
    let license: Arc<Mutex<Option<Arc<License>>>> = Arc::default();
    let (told, heard) = channel();
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let [changed, reported, warned] = [(); 3].map(|()| told.clone());
    let [closing, renewing] = [(); 2].map(|()| Arc::clone(&license));
    let license_changed = Box::new(move |_: &Status| {
        // The first word of all comes before anybody has a license.
        if closing.lock().expect("lock").is_none() {
            return;
        }
        changed.send("changed").expect("heard");
        wait.lock().expect("lock").recv().expect("told");
        let last = closing.lock().expect("lock").take();
        drop(Arc::into_inner(last.expect("a license")).expect("the last"));
        changed.send("closed").expect("heard");
    });
    let reported = Box::new(move |_: &Submitted| reported.send("reported").expect("heard"));
    let warning = Box::new(move |_: &LicenseError| {
        warned.send("warned").expect("heard");
        if let Some(license) = &*renewing.lock().expect("lock") {
            license.renew().expect("afterwards");
        }
    });
    let listeners = Listeners { license_changed: Some(license_changed), reported: Some(reported), warning: Some(warning) };
    let mine = Arc::new(License::initialize_with(settings, listeners).expect("licensed"));
    mine.record("QR Code", 3).expect("counted");
    mine.flush();
    site.clock.advance_seconds(360);
    // What is not to be read gives a warning, whose listener asks the server.
    let damage = |day: &str| std::fs::write(folder.join(format!("reports-2020-01-{day}.json")), "damaged").expect("written");
    // The first word was heard before: the next ones come in turn.
    mine.renew().expect("renewed");
    while heard.try_recv().is_ok() {}
    *license.lock().expect("lock") = Some(Arc::clone(&mine));
    damage("01");
    mine.flush();
    assert_eq!((heard.recv(), heard.recv()), (Ok("warned"), Ok("changed")));
    mine.record("QR Code", 1).expect("counted");
    damage("02");
    mine.flush();
    drop(mine);
    go.send(()).expect("told");
    assert_eq!(heard.recv(), Ok("closed"));
    // Until nobody is left who could tell: the listeners are gone with the license.
    drop(told);
    heard.iter().collect()
}

#[test]
fn a_listener_that_closes_is_the_last_that_is_called_and_what_is_to_be_given_back_is() {
    let (site, vendor) = floating();
    let folder = tempfile::tempdir().expect("dir");
    let settings = device(&site, &vendor, folder.path(), ReleaseOnClose::default());
    assert_eq!(close_in_a_listener(&site, &settings, folder.path()), [""; 0], "neither the warning nor the reports of the end");
    assert!(!is_held(&site));
    assert_eq!(site.admin_get("statistics?handshake=216998-100")["total"], 4, "the reports of the end arrived");
}
