//! Settings, as the program takes them: flag, then environment, then file, then default
//! (protocol §1); a key nobody knows is refused.

use std::path::Path;

use crate::support::{Desk, Process, run};

#[test]
fn a_misspelt_setting_stops_the_server_and_names_its_line() {
    let desk = Desk::new();
    for (text, why) in [
        (
            "data = \"data\"\n\n[limits]\nqueu = 5\n",
            "tollkeeper.toml, line 4: unknown key \"queu\", did you mean \"limits.queue\"?; remove it or correct its name",
        ),
        ("colour = \"red\"\n", "tollkeeper.toml, line 1: unknown key \"colour\"; remove it or correct its name"),
        ("listen = 48443\n", "tollkeeper.toml, line 1: invalid type"),
        ("[limits]\nworkers = 0\n", "limits.workers is \"0\", but it must be a whole number from 1 to 1024"),
        ("listen = [\"nowhere\"]\n", "listen is \"nowhere\", but it must be \"host:port\""),
    ] {
        desk.write("tollkeeper.toml", text);
        for args in [["serve"].as_slice(), &["serve", "--config", "tollkeeper.toml"], &["license", "list"]] {
            let refusal = desk.refused(args);
            assert!(refusal.starts_with(why), "{args:?}: {refusal}");
        }
    }
    assert!(desk.refused(&["serve", "--config", "missing.toml"]).starts_with("cannot read the settings file missing.toml"));
    assert!(!desk.path().join("data").exists(), "nothing was begun");
}

#[test]
fn a_flag_overrides_the_environment_which_overrides_the_file() {
    let desk = Desk::new();
    desk.write("tollkeeper.toml", "data = \"of-file\"\nlisten = [\"127.0.0.2:0\"]\n");
    let start = |variables: &[(&str, &str)], flags: &[&str], data: &str| {
        let mut command = desk.command(&[["serve"].as_slice(), flags].concat());
        command.envs(variables.iter().copied());
        let server = Process::start(command, &desk.path().join(data));
        assert!(server.transport().get("/api/v1/health").expect("answers").is_success());
        let ip = server.address.ip().to_string();
        assert!(server.terminate().success());
        ip
    };
    let variables = [("TOLLKEEPER_DATA", "of-environment"), ("TOLLKEEPER_LISTEN", "127.0.0.3:0")];
    assert_eq!(start(&[], &[], "of-file"), "127.0.0.2");
    assert_eq!(start(&variables, &[], "of-environment"), "127.0.0.3");
    assert_eq!(start(&variables, &["--data", "of-flag", "--listen", "127.0.0.4:0"], "of-flag"), "127.0.0.4");
    let made = |name: &str| Path::new(desk.path()).join(name).join("tollkeeper.db").exists();
    assert!(made("of-file") && made("of-environment") && made("of-flag") && !made("data"));
}

#[test]
fn a_misspelt_variable_is_warned_of_and_a_wrong_value_refused() {
    let desk = Desk::new();
    let server = desk.serve_with(&[("TOLLKEEPER_LIMITS_QUEU", "5")]);
    let log = server.log();
    assert!(log.contains("TOLLKEEPER_LIMITS_QUEU is not a setting and is ignored; did you mean TOLLKEEPER_LIMITS_QUEUE?"), "{log}");
    let mut command = desk.command(&["serve", "--data", "data2"]);
    command.env("TOLLKEEPER_LOG_LEVEL", "loud");
    let told = run(command, "");
    assert_eq!((told.status, told.stderr.as_str()), (1, "tollkeeper: TOLLKEEPER_LOG_LEVEL is \"loud\", but it must be error, warn, info, debug or trace\n"));
}
