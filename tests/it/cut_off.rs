//! Two servers that are cut off from each other while devices reach both: both serve, nothing is
//! lost, and nothing is counted twice (architecture §4).
//!
//! Real processes by the system's clock. `TOLLKEEPER_FULL=1` cuts them apart for ten minutes; else
//! for one, in which they exchange facts ten times as often.
#![expect(clippy::print_stderr, reason = "tells where no networks can be made, and the figures of a long proof")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollkeeper::client::transport::Method;
use tollkeeper::clock::{Clock as _, SystemClock};

use crate::support::joint::Joint;
use crate::support::two::{admin, are_equal, database, standing};
use crate::support::{Device, Two, full_strength, until};

/// Turns of all devices while the two are cut off.
const TURNS: usize = 120;

fn by_networks() -> Joint {
    Joint::by_networks().unwrap_or_else(|why| {
        eprintln!("no networks can be made here ({why}): silent proxies cut the two apart instead");
        Joint::by_silent_lines()
    })
}

/// By a network that drops what the one sends the other: whoever waits for an answer waits.
#[test]
fn cut_off_by_a_network_that_is_silent() {
    live_apart(by_networks());
}

/// By connections that end, and are refused.
#[test]
fn cut_off_by_connections_that_break() {
    live_apart(Joint::by_lines());
}

/// Its partner neither answers nor lets go of what is under way, and it is not waited for.
#[test]
fn a_server_that_is_cut_off_stops_all_the_same() {
    // Something is always asked of the partner.
    let mut two = Two::joined(by_networks(), vec![("TOLLKEEPER_STANDBY_SYNC_SECONDS", "1".to_owned())]);
    two.joint.cut();
    for which in [0, 1] {
        let heard_ago = || standing(&two.data[which])?["partner"]["heard_seconds_ago"].as_i64();
        until("the partner is silent", 30, || heard_ago().filter(|ago| *ago >= 7));
    }
    for which in [0, 1] {
        let began = Instant::now();
        assert!(two.processes[which].take().expect("runs").terminate().success());
        let stopped = began.elapsed();
        eprintln!("cut off, server {which} stopped in {:.1} s", stopped.as_secs_f64());
        assert!(stopped <= Duration::from_secs(20), "{stopped:?}");
    }
}

fn live_apart(joint: Joint) {
    let (seconds, exchange) = if full_strength() { (600, 120) } else { (60, 12) };
    let two = Two::joined(joint, vec![("TOLLKEEPER_STANDBY_SYNC_SECONDS", exchange.to_string())]);
    let sent = two.joint.among_devices(|| work_at_both(&two, Duration::from_secs(seconds)));
    let sum: u64 = sent.iter().map(|report| report["counts"]["QR Code"].as_u64().expect("a number")).sum();

    let began = Instant::now();
    two.joint.mend();
    until("one serves and the other follows", 60, || (two.are_settled() && two.serves(0)).then_some(()));
    let settled = began.elapsed();
    are_equal([&two.data[0], &two.data[1]], || two.exchange());
    for data in &two.data {
        assert_eq!(admin(data, Method::Get, "statistics", None)["total"].as_u64(), Some(sum), "each report exactly once");
        assert_eq!(admin(data, Method::Get, "handshakes", None).as_array().map(Vec::len), Some(3));
        let database = database(data);
        let count: i64 = database.query_row("SELECT COUNT(DISTINCT report_id) FROM reports", [], |row| row.get(0)).expect("counted");
        assert_eq!(usize::try_from(count), Ok(sent.len()));
    }
    eprintln!("cut off for {seconds} s: {} reports, {sum} units; {:.1} s after the end the primary served alone", sent.len(), settled.as_secs_f64());
}

/// Cuts the two apart and has devices go now to this one, now to that one. The reports that they made.
fn work_at_both(two: &Two, cut: Duration) -> Vec<Value> {
    let ways = [two.transport(0), two.transport(1)];
    let mut devices: Vec<Device> = (0..6).map(|_| Device::new(ways[0].clone(), "216998-100")).collect();
    devices.iter_mut().for_each(|device| drop(device.authorize().expect("granted")));
    two.exchange();
    let at = |device: &Device, which: usize| Device { transport: ways[which].clone(), ..device.clone() };

    two.joint.cut();
    let began = Instant::now();
    assert_eq!(at(&devices[0], 1).authorize().expect_err("the standby does not know yet")["code"], 100);
    until("the standby serves, too", 40, || at(&devices[0], 1).authorize().ok());
    let taken_over = began.elapsed();
    assert!(taken_over <= Duration::from_secs(35), "{taken_over:?}");

    let mut sent: Vec<(usize, Value)> = Vec::new();
    let left = cut.saturating_sub(taken_over);
    for turn in 0..TURNS {
        let due = taken_over + left * turn as u32 / TURNS as u32;
        until("the next turn", 60, || (began.elapsed() >= due).then_some(()));
        for (n, device) in devices.iter_mut().enumerate() {
            *device = at(device, (n + turn) % 2);
            device.authorize().expect("both serve");
            let now = SystemClock.now_seconds();
            let report = device.scans(now - 400 - 180 * (turn % 20) as i64, json!({"QR Code": n + 1}));
            device.report(std::slice::from_ref(&report)).expect("taken");
            sent.push((n, report));
        }
        // Some send to both what one has taken.
        for n in 0..6 {
            let (of, report) = sent[(turn * 7 + n * 3) % sent.len()].clone();
            at(&devices[of], turn % 2).report(&[report]).expect("taken");
        }
    }
    for (which, code) in [(0, "216998-a"), (1, "216998-b")] {
        admin(&two.data[which], Method::Post, "handshakes", Some(json!({"handshake_code": code, "items": [1]})));
    }
    for data in &two.data {
        let told = standing(data).expect("told");
        assert_eq!(told["this"]["serving"], true, "{told}");
        assert!(told["partner"]["heard_seconds_ago"].as_u64() >= Some(30), "{told}");
    }
    sent.into_iter().map(|(_, report)| report).collect()
}
