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

use crate::support::{Device, Process, Vendor, tollkeeper, until};

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

/// A license, and a device that is authorized by it.
fn licensed(process: &Process, data: &Path, now: i64) -> Device {
    let vendor = Vendor::new();
    std::fs::write(data.join("vendors/vendor.pub"), vendor.key.verifying_key().to_spki_pem()).expect("written");
    let request = String::from_utf8(admin(data, Method::Get, "request", None)).expect("text");
    let item = Vendor::item(json!({"item_id": 1, "product": "dbr", "charge_way": "scan", "quota": 1_000_000_000_u64,
        "valid_from": "2020-01-01T00:00:00Z", "valid_to": "2099-12-31T23:59:59Z"}));
    let file = vendor.activate(vendor.new_license(100, "216998", vec![item], now), &request, now);
    admin(data, Method::Post, "licenses", Some(json!({"file": file})));
    let mut device = Device::new(process.transport(), "216998-100");
    device.authorize().expect("granted");
    device
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_is_over_when_there_is_room() {
    let Some(disk) = SmallDisk::new("size=24m") else { return };
    let data = disk.path().join("data");
    let process = serve(&data);
    let now = SystemClock.now_seconds();
    let device = licensed(&process, &data, now);
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

/// A disk with a file system that can be told to fail.
struct FailingDisk {
    dir: tempfile::TempDir,
    image: tempfile::NamedTempFile,
}

impl FailingDisk {
    /// `None` where this machine lets nobody mount.
    fn new() -> Option<Self> {
        let image = tempfile::NamedTempFile::new().expect("a file");
        image.as_file().set_len(64 << 20).expect("room");
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image.path()).status().expect("mkfs.ext4 runs");
        assert!(made.success());
        let disk = Self { dir: tempfile::tempdir().expect("directory"), image };
        disk.mount().then_some(disk)
    }

    fn mount(&self) -> bool {
        let mounted = Command::new("mount").args(["-o", "loop,errors=remount-ro"]).args([self.image.path(), self.dir.path()]).output().expect("mount runs");
        if !mounted.status.success() {
            eprintln!("no image can be mounted here: {}", String::from_utf8_lossy(&mounted.stderr));
        }
        mounted.status.success()
    }

    /// From now on nothing can be written, by nobody, also into files that are open.
    fn fail(&self) {
        let source = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(self.dir.path()).output().expect("findmnt runs");
        let device = String::from_utf8_lossy(&source.stdout).trim().replace("/dev/", "");
        std::fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").expect("it fails");
    }

    fn unmount(&self) {
        assert!(Command::new("umount").arg(self.dir.path()).status().expect("umount runs").success());
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}

#[test]
fn a_file_system_that_becomes_read_only_refuses_and_loses_nothing() {
    let Some(disk) = FailingDisk::new() else { return };
    let data = disk.dir.path().join("data");
    let process = serve(&data);
    let now = SystemClock.now_seconds();
    let mut device = licensed(&process, &data, now);
    for _ in 0..5 {
        device.report(&[device.scans(now - 400, json!({"QR Code": 1}))]).expect("taken");
    }
    disk.fail();
    let refusal = device.report(&[device.scans(now - 400, json!({"QR Code": 1}))]).expect_err("refused");
    assert_eq!((refusal["status"].clone(), refusal["code"].clone()), (json!(503), json!(100)), "{refusal}");
    assert!(refusal["detail"].as_str().expect("words").contains("read-only"), "{refusal}");
    let refusal = device.authorize().expect_err("refused");
    assert_eq!(refusal["status"], json!(503), "{refusal}");
    until("the trouble is told", 30, || {
        let alerts: Value = serde_json::from_slice(&admin(&data, Method::Get, "alerts", None)).expect("JSON");
        alerts.to_string().contains("othing can be written into").then_some(())
    });
    process.kill();
    disk.unmount();
    assert!(disk.mount());
    let process = serve(&data);
    let usage: Value = serde_json::from_slice(&admin(&data, Method::Get, "statistics", None)).expect("JSON");
    assert_eq!(usage["total"], json!(5));
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
