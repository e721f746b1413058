//! A new server joins: whatever interrupts that, it goes on, and a refusal costs nothing.

use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::{Value, json};
use tollkeeper::client::transport::{Method, Reply};
use tollkeeper::clock::ManualClock;

use crate::support::{Site, Vendor, until};

/// Two servers that know nothing of each other, by the same clock.
fn two() -> (Site, Site) {
    let a = Site::empty();
    let b = Site::beside(&a, |_| {});
    (a, b)
}

/// What `b` shows to join `a`.
fn invite(a: &Site) -> Value {
    let token = a.admin(Method::Post, "standby/invite", None)["token"].clone();
    json!({"url": format!("https://{}", a.app().https_addresses()[0]), "token": token})
}

fn try_join(b: &Site, invitation: &Value) -> Reply {
    b.try_admin(Method::Post, "standby/join", Some(invitation.clone()))
}

fn step(b: &Site) -> String {
    b.admin_get("standby")["joining"]["step"].as_str().unwrap_or_default().to_owned()
}

fn follows(b: &mut Site) {
    until("the copy", 60, || (step(b) == "done").then_some(()));
    b.restart();
    assert_eq!(b.admin_get("standby")["this"]["role"], json!("standby"));
    assert!(!joining(b).exists());
}

fn joining(b: &Site) -> PathBuf {
    b.data().join("joining")
}

#[test]
fn a_copy_that_was_being_changed_when_the_server_was_killed_is_taken_anew() {
    let (a, mut b) = two();
    // What a kill leaves in the middle of a transaction: the file, and beside it how to undo what was done to it.
    std::fs::create_dir(joining(&b)).expect("made");
    let other = b.dir.path().join("other.db");
    let open = Connection::open(&other).expect("opens");
    open.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1); BEGIN; UPDATE t SET x = 2").expect("begun");
    for end in ["", "-journal"] {
        std::fs::copy(b.dir.path().join(format!("other.db{end}")), joining(&b).join(format!("snapshot.db{end}"))).expect("copied");
    }
    assert_eq!(try_join(&b, &invite(&a)).status, 202);
    follows(&mut b);
}

#[test]
fn a_copy_that_the_partner_has_not_any_more_is_taken_anew() {
    let (a, mut b) = two();
    // For a while no copy can be made.
    let blocked = a.data().join("outgoing.db");
    std::fs::create_dir(&blocked).expect("made");
    assert_eq!(try_join(&b, &invite(&a)).status, 202);
    until("the failure", 60, || (step(&b) == "failed").then_some(()));
    // It had begun one that was made before its partner was started anew.
    let path = joining(&b).join("plan.json");
    let mut plan: Value = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
    plan["snapshot"] = json!("6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88");
    std::fs::write(joining(&b).join("snapshot.db"), "the beginning of it").expect("written");
    std::fs::write(&path, plan.to_string()).expect("written");
    std::fs::remove_dir(&blocked).expect("removed");
    follows(&mut b);
}

#[test]
fn a_join_that_is_refused_leaves_the_token_as_it_was() {
    let (mut a, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    // It was killed in another joining, before it had kept whose: it is alone, and may be joined.
    a.stop();
    let role = json!({"assignment": "primary", "assigned_in": 1, "epoch": 1}).to_string();
    let database = Connection::open(a.data().join("tollkeeper.db")).expect("opens");
    database.execute("INSERT INTO local (name, value) VALUES ('role', ?1)", [role.as_bytes()]).expect("written");
    drop(database);
    a.start();
    a.device("216998-100").authorize().expect("granted");
    let mut b = Site::beside(&a, |_| {});
    let token = a.admin(Method::Post, "standby/invite", None)["token"].clone();
    let url = format!("https://{}", a.app().https_addresses()[0]);
    let join = |b: &Site| b.try_admin(Method::Post, "standby/join", Some(json!({"url": url, "token": token})));
    b.stop();
    b.clock = ManualClock::at_seconds(a.now() + 3_600);
    b.start();
    let refused = join(&b);
    assert!(refused.status == 409 && String::from_utf8_lossy(&refused.body).contains("set the clocks"), "{}", refused.status);
    b.clock.advance_seconds(-3_600);
    assert_eq!(join(&b).status, 202);
    assert!(String::from_utf8_lossy(&join(&Site::beside(&a, |_| {})).body).contains("was used"), "now it is used up");
}
