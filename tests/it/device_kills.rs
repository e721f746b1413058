//! A device's process is killed again and again while it counts: the server ends with what
//! was done but for the seconds that may be lost, and never with more.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::support::driver::Driver;
use crate::support::{Site, Vendor, full_strength};

/// Seconds of counts that a kill may cost: as the application set it, and where it sets nothing.
const FLUSH: Duration = Duration::from_secs(1);
const DEFAULT_FLUSH: Duration = Duration::from_secs(10);
/// What a machine that does other things too may add.
const SLACK: Duration = Duration::from_millis(1_500);

#[test]
#[expect(clippy::print_stdout, reason = "a test that tells its figures")]
fn a_killed_device_loses_at_most_the_promised_seconds_and_counts_nothing_twice() {
    let mut item = Vendor::scan_item(1);
    item.quota = 1_000_000_000;
    let (site, vendor) = Site::licensed(vec![item]);
    let folder = tempfile::tempdir().expect("dir");
    let kills = if full_strength() { 200 } else { 12 };
    // Connections are taken, and nothing is said: TLS waits until its time is over.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = (silent.local_addr().expect("bound"), silent);
    let configure = |driver: &mut Driver| driver.configure(&site, &vendor, folder.path());
    let (mut done, mut promised) = (0u64, 0u64);
    for round in 0..kills {
        let mut driver = Driver::start();
        configure(&mut driver);
        let is_default = round % 10 == 3;
        let flush = if is_default { DEFAULT_FLUSH } else { FLUSH };
        if !is_default {
            driver.done(&format!("set flushSeconds {}", flush.as_secs()));
        }
        let is_silent = round % 4 == 2;
        if is_silent {
            driver.done(&format!("set mainServerURL https://{}", silent.0));
        }
        driver.done("initialize");
        let (mut child, mut output) = driver.work(is_silent);
        // What it did, and when we heard of it.
        let heard = Arc::new(Mutex::new(Vec::<(Instant, u64)>::new()));
        let list = Arc::clone(&heard);
        let reader = std::thread::spawn(move || {
            let (mut buffer, mut count) = ([0; 4096], 0);
            while let Ok(more @ 1..) = output.read(&mut buffer) {
                count += more as u64;
                list.lock().expect("lock").push((Instant::now(), count));
            }
        });
        // Any moment: before, within and after its first writes.
        let life = Duration::from_millis(u64::from(uuid::Uuid::new_v4().as_bytes()[0]) * 14) + if is_default { DEFAULT_FLUSH } else { Duration::ZERO };
        let kill_at = Instant::now() + life;
        std::thread::park_timeout(kill_at.saturating_duration_since(Instant::now()));
        child.kill().expect("killed");
        let killed = Instant::now();
        child.wait().expect("gone");
        reader.join().expect("read");
        let heard = heard.lock().expect("lock");
        done += heard.last().map_or(0, |(_, count)| *count);
        let kept = killed.checked_sub(flush + SLACK).expect("a time");
        promised += heard.iter().rev().find(|(at, _)| *at <= kept).map_or(0, |(_, count)| *count);
        if round % 3 == 2 {
            site.clock.advance_seconds(180);
        }
    }
    site.clock.advance_seconds(360);
    let mut driver = Driver::start();
    configure(&mut driver);
    driver.done("initialize");
    driver.end();
    let used = site.item(1)["used"].as_u64().expect("a number");
    println!("{kills} kills: {done} done, {used} counted, at least {promised} promised");
    assert!(used <= done, "{used} counted, {done} done");
    assert!(used >= promised, "{used} counted, {promised} promised of {done}");
    assert!(promised > 0, "some lived long enough to be promised something");
    let usage = site.admin_get("statistics?handshake=216998-100");
    assert_eq!(usage["total"], used);
}

#[test]
fn a_device_that_is_killed_while_it_renews_is_no_clone() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let folder = tempfile::tempdir().expect("dir");
    for _ in 0..if full_strength() { 100 } else { 20 } {
        let mut driver = Driver::start();
        driver.configure(&site, &vendor, folder.path());
        driver.done("initialize");
        let (mut child, mut output) = driver.work(true);
        // Any moment of some renewals.
        let mut units = vec![0; 8 + usize::from(uuid::Uuid::new_v4().as_bytes()[0]) / 4];
        output.read_exact(&mut units).expect("it works");
        child.kill().expect("killed");
        child.wait().expect("gone");
    }
    let devices = site.admin_get("devices");
    assert_eq!(devices.as_array().expect("devices").len(), 1);
}
