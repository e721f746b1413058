//! The C interface: its header is the one that the code generates, and a compiled C program
//! lives through the whole story under valgrind.

use std::path::PathBuf;

use serde_json::{Value, json};
use tollkeeper::client::transport::Method;
use tollkeeper::licensing::ChargeWay;

use crate::support::driver::{self, Driver};
use crate::support::forger::{forge, lengthen};
use crate::support::{Site, Vendor, bless};

const HEADER: &str = "static/sdk/c/tollkeeper.h";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The header as the source has it now.
fn generate() -> String {
    let preamble = "/* Tollkeeper: the license of an application. Generated from src/client/ffi.rs.\n *\n\
         \x20* Nothing here is global. Every handle belongs to the caller, and one function frees it; NULL is never\n\
         \x20* followed. Texts are UTF-8 ending in zero. A function returns 0, or the negative number that applications show,\n\
         \x20* -(20000 + code); then *error, unless error is NULL, is an error to be freed by tk_error_free. */";
    let config = cbindgen::Config {
        language: cbindgen::Language::C,
        cpp_compat: true,
        include_guard: Some("TOLLKEEPER_H".to_owned()),
        header: Some(preamble.to_owned()),
        no_includes: true,
        sys_includes: vec!["stdint.h".to_owned()],
        documentation_style: cbindgen::DocumentationStyle::C,
        line_length: 140,
        usize_is_size_t: true,
        ..cbindgen::Config::default()
    };
    let source = root().join("src/client/ffi.rs");
    let bindings = cbindgen::Builder::new().with_config(config).with_src(source).generate().expect("the header");
    let mut bytes = Vec::new();
    bindings.write(&mut bytes);
    String::from_utf8(bytes).expect("text")
}

#[test]
fn the_header_is_the_one_that_the_code_generates() {
    let made = generate();
    let path = root().join(HEADER);
    if bless() {
        std::fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        std::fs::write(&path, &made).expect("written");
    }
    let kept = std::fs::read_to_string(&path).expect("the header");
    assert_eq!(kept, made, "{HEADER} is not what src/client/ffi.rs says: TOLLKEEPER_BLESS=1 writes it anew");
}

fn used(site: &Site) -> u64 {
    site.item(1)["used"].as_u64().expect("a number")
}

fn status(driver: &mut Driver) -> Value {
    serde_json::from_str(&driver.done("status")).expect("JSON")
}

/// From the first start to the last report; with or without valgrind.
fn story(driver: &mut Driver) {
    let mut item = Vendor::scan_item(1);
    item.modules = vec!["core".into(), "dpm".into()];
    let (mut site, vendor) = Site::licensed(vec![item]);
    let standby = Site::empty();
    let vendor = standby.trust(vendor);
    standby.import(&vendor, 100, "216998", vec![Vendor::scan_item(1)]);
    site.settings.listen = vec![site.app().https_addresses()[0].to_string()];
    let folder = tempfile::tempdir().expect("dir");

    driver.refused("nonsense", 301);
    driver.refused("set handshakecode x", 301);
    driver.configure(&site, &vendor, folder.path());

    // Authorized, and asked at every use.
    driver.done("initialize");
    driver.hears(&format!("changed 0 {}", site.now() + 7 * 86_400));
    let told = status(driver);
    assert_eq!((&told["licensed"], &told["origin"], &told["handshake_code"]), (&json!(true), &json!("server"), &json!("216998-100")));
    driver.done("check dpm");
    assert!(driver.refused("check ocr", 204).contains("'ocr'"));
    driver.done("record 3 QR Code");
    driver.refused("record 1 ", 200);
    driver.refused("record 0 QR Code", 200);
    for (command, counts) in [("seen 0 a", "1"), ("seen 0 a", "0"), ("seen 2999 a", "0"), ("seen 3000 a", "1")] {
        assert_eq!(driver.tell(command), counts);
    }
    driver.done("close");

    // Without the server it goes on, and counts.
    site.stop();
    driver.done("initialize");
    let told = status(driver);
    assert_eq!((&told["origin"], &told["failures"][0]["code"]), (&json!("kept"), &json!(302)));
    driver.done("record 4 Code 128");
    driver.done("flush");
    driver.done("close");

    // With the server back, everything arrives.
    site.clock.advance_seconds(360);
    site.start();
    driver.events.clear();
    driver.done("initialize");
    driver.done("close");
    assert!(driver.events.contains(&"report 1 0 0".to_owned()), "{:?}", driver.events);
    assert_eq!(used(&site), 7);

    // Refusals, with their codes.
    site.admin(Method::Patch, "handshakes/216998-100", Some(json!({"session_password": "open sesame"})));
    assert!(driver.refused("initialize", 102).contains("session password"));
    driver.done("set sessionPassword open sesame");
    driver.done("initialize");
    driver.done("close");

    // The other server, when the main one is gone.
    driver.done(&format!("set standbyServerURL https://{}", standby.app().https_addresses()[0]));
    site.stop();
    let ca = site.dir.path().join("standby.pem");
    std::fs::write(&ca, &standby.app().context().ca_pem).expect("written");
    driver.done(&format!("set-file certificateAuthority {}", ca.display()));
    driver.done("initialize");
    assert_eq!(status(driver)["server"], json!(format!("https://{}", standby.app().https_addresses()[0])));
    driver.done("release");
    driver.done("set standbyServerURL");
    driver.done("set sessionPassword");

    // An answer that was changed on the way, and one of a server that another vendor certified.
    let fresh = tempfile::tempdir().expect("dir");
    let forged = forge(standby.anonymous().clone(), lengthen);
    driver.done(&format!("set dataFolder {}", fresh.path().display()));
    driver.done(&format!("set mainServerURL http://{forged}"));
    assert!(driver.refused("initialize", 301).contains("is not encrypted"));
    driver.done("set certificateAuthority");
    assert!(driver.refused("initialize", 304).contains("changed after signing"));
    let (stranger, _) = Site::licensed(vec![Vendor::scan_item(1)]);
    std::fs::write(&ca, &stranger.app().context().ca_pem).expect("written");
    driver.done(&format!("set-file certificateAuthority {}", ca.display()));
    driver.done(&format!("set mainServerURL https://{}", stranger.app().https_addresses()[0]));
    assert!(driver.refused("initialize", 304).contains("does not know"));

    // An item that is over, its grace as well.
    standby.clock.advance_seconds(400 * 86_400 * 10);
    std::fs::write(&ca, &standby.app().context().ca_pem).expect("written");
    driver.done(&format!("set-file certificateAuthority {}", ca.display()));
    driver.done(&format!("set mainServerURL https://{}", standby.app().https_addresses()[0]));
    driver.refused("initialize", 111);
    driver.done("set productKey eyJ");
    driver.refused("initialize", 301);
    driver.done("set handshakeCode");
    driver.refused("initialize", 307);
}

#[test]
fn a_c_program_lives_through_the_story() {
    let mut driver = Driver::start();
    story(&mut driver);
    driver.end();
}

#[test]
fn a_c_program_lives_through_the_story_under_valgrind() {
    let mut driver = Driver::under_valgrind();
    story(&mut driver);
    driver.end();
}

#[test]
fn a_c_program_is_licensed_by_hand() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let folder = tempfile::tempdir().expect("dir");
    let mut driver = Driver::start();
    driver.configure(&site, &vendor, folder.path());
    driver.done("set mainServerURL");
    driver.refused("initialize", 302);
    assert!(driver.done("request-line").starts_with("TKR1."));
    let request = driver.done("request").replace('~', "\n");
    let answer = site.admin(Method::Post, "devices/authorize", Some(json!({"request": request})));
    let path = folder.path().join("answer.txt");
    std::fs::write(&path, answer["authorization"].as_str().expect("a file")).expect("written");
    driver.done(&format!("import {}", path.display()));
    driver.done("initialize");
    assert_eq!(status(&mut driver)["origin"], "carried");
    assert_eq!(driver.done("report-file"), "");
    assert!(driver.refused("release", 302).contains("report file"));
    driver.end();
}

#[test]
fn a_device_without_any_server_costs_no_processor() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let folder = tempfile::tempdir().expect("dir");
    let mut driver = Driver::start();
    driver.configure(&site, &vendor, folder.path());
    driver.done("set mainServerURL");
    driver.done("start");
    let milliseconds = |driver: &mut Driver| driver.tell("cpu").parse::<u64>().expect("a number");
    let before = milliseconds(&mut driver);
    // Beyond the pause after which a device asks its server again.
    std::thread::sleep(std::time::Duration::from_secs(if crate::support::full_strength() { 100 } else { 20 }));
    let spent = milliseconds(&mut driver) - before;
    assert!(spent < 500, "{spent} ms");
    driver.end();
}

#[test]
fn a_signal_costs_no_counts() {
    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let folder = tempfile::tempdir().expect("dir");
    let mut driver = Driver::start();
    driver.configure(&site, &vendor, folder.path());
    driver.done("set flushSeconds 3600");
    driver.done("initialize");
    driver.done("record 1 QR Code");
    driver.done("flush");
    driver.done("record 10 QR Code");
    driver.done(&format!("interrupt {}", folder.path().join("lock").display()));
    let open = std::fs::read_to_string(folder.path().join("open.json")).expect("read");
    assert!(open.contains("\"QR Code\":11"), "{open}");
    assert!(!driver.events.iter().any(|event| event.starts_with("warning")), "{:?}", driver.events);
    driver.end();
}

#[test]
fn instances_are_taken_and_given_back_from_c() {
    let mut item = Vendor::scan_item(1);
    item.charge_way = ChargeWay::ConcurrentInstance;
    let (site, vendor) = Site::licensed(vec![item]);
    let folder = tempfile::tempdir().expect("dir");
    let mut driver = Driver::start();
    driver.configure(&site, &vendor, folder.path());
    driver.done("set instances 3");
    driver.done("start");
    driver.done("take 2");
    assert_eq!(driver.tell("idle"), "1");
    driver.refused("take 2", 120);
    driver.done("give 1");
    assert_eq!(driver.tell("idle"), "2");
    driver.end();
}

#[test]
#[expect(clippy::print_stdout, reason = "a test that tells its figures")]
fn the_library_adds_little_to_a_program_and_starts_at_once() {
    let dir = tempfile::tempdir().expect("dir");
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("empty.c"), "int main(void) { return 0; }\n").expect("written");
    driver::compile("static/sdk/c/example.c", &path("example"));
    driver::compile(path("empty.c").to_str().expect("a path"), &path("empty"));
    let size = |name: &str| {
        let stripped = std::process::Command::new("strip").arg(path(name)).status().expect("strip");
        assert!(stripped.success());
        std::fs::metadata(path(name)).expect("there").len()
    };
    let added = size("example") - size("empty");
    assert!(added <= 3_000_000, "{added} bytes are added to a stripped C program");

    let (site, vendor) = Site::licensed(vec![Vendor::scan_item(1)]);
    let mut driver = Driver::start();
    let mut best = std::time::Duration::MAX;
    for _ in 0..20 {
        // A device that never was here before, each time.
        let folder = tempfile::tempdir().expect("dir");
        driver.configure(&site, &vendor, folder.path());
        let began = std::time::Instant::now();
        driver.done("initialize");
        best = best.min(began.elapsed());
        driver.done("close");
    }
    driver.end();
    println!("the client library adds {added} bytes; from start to authorized it takes {best:?}");
    // The quickest of twenty: others use this machine too.
    assert!(best.as_millis() <= 50, "from start to authorized it takes {best:?}");
}
