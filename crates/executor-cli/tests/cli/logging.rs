//! The log of `executor run`.

use serde_json::Value;

use crate::support::{Place, Said, ended, listener};

/// Runs a listener that fails, with an event whose topic would turn the reading direction.
fn run(arguments: &[&str], wanted: Option<&str>) -> Said {
    let place = Place::new();
    place.file("c.toml", &listener("fails", "[\"false\"]", ""));
    place.file("events", "{\"topic\":\"\u{202e}a\"}\n[\n");
    let mut program = place.program(&["run", "c.toml", "--events", "events"]);
    program.args(arguments).stdout(std::process::Stdio::piped());
    program.stderr(std::process::Stdio::piped());
    if let Some(wanted) = wanted {
        program.env("RUST_LOG", wanted);
    }
    ended(program.spawn().unwrap())
}

#[test]
fn log_lines_can_be_json_and_are_then_safe_for_a_terminal_too() {
    let said = run(&["--log-format", "json", "--verbose"], None);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let objects = said.err.lines();
    let read = |line| serde_json::from_str::<Value>(line).unwrap();
    let objects: Vec<Value> = objects.map(read).collect();
    let failure = objects
        .iter()
        .find(|it| it["target"] == "executor_core::run::log");
    let failure = failure.unwrap_or_else(|| panic!("{}", said.err));
    assert_eq!(failure["level"], "ERROR");
    assert!(failure.to_string().contains("exit status 1"), "{failure}");
    let bad = objects
        .iter()
        .find(|it| it["message"].as_str().unwrap().contains("skipped the line"));
    assert!(bad.is_some(), "{}", said.err);
    assert!(!said.err.contains('\u{202e}'), "{}", said.err);
    assert!(said.err.contains("\\u202ea"), "{}", said.err);
}

#[test]
fn rust_log_chooses_the_lines() {
    let is_told = |said: &Said| said.err.contains("skipped the line");
    assert!(is_told(&run(&[], None)));
    assert!(!is_told(&run(&[], Some("error"))));
    assert!(
        run(&[], Some("executor_core=warn"))
            .err
            .contains("exit status 1")
    );
    let said = run(&[], Some("executor_core=loud"));
    assert!(
        is_told(&said)
            && said
                .err
                .contains("ignored RUST_LOG, which is `executor_core=loud`")
    );
}
