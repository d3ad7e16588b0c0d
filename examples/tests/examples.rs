//! The examples do what they say.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

/// Runs an example in an empty directory and returns what it printed.
fn run(program: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    run_with(
        program,
        directory.path(),
        &directory.path().display().to_string(),
    )
}

fn run_with(program: &str, directory: &Path, home: &str) -> String {
    let mut example = Command::new(program);
    // A store without files keeps its spool below the home directory.
    example
        .env_remove("STATE_DIRECTORY")
        .env_remove("XDG_STATE_HOME")
        .env("HOME", home);
    let output = example.current_dir(directory).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text
}

#[test]
fn every_webhook_is_an_execution_and_gets_its_answer() {
    let text = run(env!("CARGO_BIN_EXE_webhooks"));
    let expected = "\"passed\": 200 build passed\n\"\": 400 the body is empty\n\
                    \"slow\": 500 timed_out\noffered 3, stored 3, durability process\n";
    assert_eq!(text, expected);
}

#[test]
fn j01_an_application_has_the_dashboard_in_it_and_lets_people_in() {
    let text = run(env!("CARGO_BIN_EXE_in_your_app"));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "HTTP/1.1 200 OK");
    assert_eq!(lines[1], "HTTP/1.1 401 Unauthorized");
    assert_eq!(lines[2], "HTTP/1.1 200 OK, true");
    assert_eq!(lines[3], "offered 1, stored 1, durability process");
}

#[test]
fn a_bots_listeners_come_and_go() {
    let text = run(env!("CARGO_BIN_EXE_bot"));
    let greetings: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("room 7"))
        .collect();
    assert_eq!(greetings, ["room 7: hello", "room 7: welcome"]);
    assert!(text.contains("offered 7, stored 7"), "{text}");
    assert!(text.contains("4 runs of log: never failed"), "{text}");
    assert!(text.contains("3 runs of greeter_7:"), "{text}");
    assert!(text.contains("nothing was said"), "{text}");
}

#[test]
fn a_store_of_ones_own_gets_every_record() {
    let text = run(env!("CARGO_BIN_EXE_own_store"));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "Healthy");
    assert_eq!(lines[1], "offered 3, stored 3, durability process");
    assert!(
        lines[2].contains("water") && lines[2].ends_with("error the tank is empty"),
        "{text}"
    );
    assert!(
        lines[3].contains("sweep") && lines[3].contains("success"),
        "{text}"
    );
}

#[test]
fn e01_where_the_machine_has_no_place_for_a_spool_that_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let text = run_with(env!("CARGO_BIN_EXE_own_store"), directory.path(), "");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].contains("NoSpool") && lines[0].contains("no place for it"),
        "{text}"
    );
    assert_eq!(
        lines[1], "offered 3, stored 3",
        "in memory, which is said: {text}"
    );
}

#[test]
fn lights_records_every_execution() {
    let directory = tempfile::tempdir().unwrap();
    let mut example = Command::new(env!("CARGO_BIN_EXE_lights"));
    let output = example.current_dir(directory.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "motion.hall at 40 lux");
    assert!(lines[1].ends_with(": success"), "{text}");
    assert!(lines[2].ends_with(": error"), "{text}");
    assert_eq!(lines[3], "offered 3, stored 3, durability process");
    assert!(directory.path().join("telemetry.db").exists());
}
