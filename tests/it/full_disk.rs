//! A disk that is full or cannot be written: devices are told so, nothing that was acknowledged is
//! lost, and the server goes on by itself when there is room again.
#![expect(clippy::print_stderr, reason = "tells where a file system cannot be mounted")]

use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use serde_json::{Value, json};
use tollkeeper::client::transport::{Method, Transport};
use tollkeeper::clock::{Clock as _, SystemClock};
use tollkeeper::store::rebuild;

use crate::support::{Device, Process, Vendor, tollkeeper};

/// A small file system of its own; it goes with the value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this machine lets nobody mount.
    fn new(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("directory");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir.path()).output().expect("mount runs");
        if !mounted.status.success() {
            eprintln!("no file system can be mounted here: {}", String::from_utf8_lossy(&mounted.stderr));
            return None;
        }
        Some(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn serve(data: &Path) -> Process {
    let mut command = tollkeeper(&["serve", "--data", &data.display().to_string(), "--listen", "127.0.0.1:0"]);
    command.env("TOLLKEEPER_LIMITS_DEVICE_REQUESTS_PER_MINUTE", "0").env("TOLLKEEPER_BACKUP_EVERY_MINUTES", "1");
    Process::start(command, data)
}

fn admin(data: &Path, method: Method, path: &str, body: Option<Value>) -> Vec<u8> {
    let reply = Transport::unix(data.join("admin.sock")).request(method, &format!("/api/v1/admin/{path}"), body.as_ref()).expect("answered");
    assert!(reply.is_success(), "{path}: {}", String::from_utf8_lossy(&reply.body));
    reply.body
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_is_over_when_there_is_room() {
    let Some(disk) = SmallDisk::new("size=24m") else { return };
    let data = disk.path().join("data");
    let process = serve(&data);
    let vendor = Vendor::new();
    std::fs::write(data.join("vendors/vendor.pub"), vendor.key.verifying_key().to_spki_pem()).expect("written");
    let request = String::from_utf8(admin(&data, Method::Get, "request", None)).expect("text");
    let now = SystemClock.now_seconds();
    let item = Vendor::item(json!({"item_id": 1, "product": "dbr", "charge_way": "scan", "quota": 1_000_000_000_u64,
        "valid_from": "2020-01-01T00:00:00Z", "valid_to": "2099-12-31T23:59:59Z"}));
    let file = vendor.activate(vendor.new_license(100, "216998", vec![item], now), &request, now);
    admin(&data, Method::Post, "licenses", Some(json!({"file": file})));
    let mut device = Device::new(process.transport(), "216998-100");
    device.authorize().expect("granted");
    let mut taken = 0;
    for round in 0..3 {
        // Somebody else fills the disk while devices work.
        let ballast = disk.path().join("ballast");
        let fill = Command::new("sh").arg("-c").arg(format!("cat /dev/zero > {}", ballast.display())).output().expect("runs");
        assert!(String::from_utf8_lossy(&fill.stderr).contains("No space left"));
        let mut refusal = None;
        for _ in 0..2_000 {
            match device.report(&[device.scans(now - 400, json!({"QR Code": 1}))]) {
                Ok(answer) => taken += answer["accepted"].as_array().map_or(0, Vec::len) as u64,
                Err(problem) => {
                    refusal = Some(problem);
                    break;
                }
            }
        }
        let refusal = refusal.expect("the log grows until there is no room");
        assert_eq!(refusal["status"], json!(503), "round {round}: {refusal}");
        assert!(refusal["detail"].as_str().expect("words").contains("disk is full"), "{refusal}");
        std::fs::remove_file(ballast).expect("room");
        let answer = device.report(&[device.scans(now - 400, json!({"QR Code": 1}))]).expect("the server goes on by itself");
        taken += answer["accepted"].as_array().map_or(0, Vec::len) as u64;
    }
    let usage: Value = serde_json::from_slice(&admin(&data, Method::Get, "statistics", None)).expect("JSON");
    assert_eq!(usage["total"].as_u64(), Some(taken));
    process.kill();
    rebuild::verify(&Connection::open(data.join("tollkeeper.db")).expect("opens")).expect("the journal and the tables agree");
}

#[test]
fn a_file_system_that_cannot_be_written_is_told_at_the_start() {
    let Some(disk) = SmallDisk::new("size=8m") else { return };
    let data = disk.path().join("data");
    assert!(serve(&data).terminate().success());
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.path()).status().expect("mount runs");
    assert!(remounted.success());
    let output = tollkeeper(&["serve", "--data", &data.display().to_string(), "--listen", "127.0.0.1:0"]).output().expect("runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && (told.contains("read-only") || told.contains("Read-only")), "{told}");
}
