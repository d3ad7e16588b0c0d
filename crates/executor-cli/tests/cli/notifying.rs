//! Commands that tell of failures, recoveries, and that all is well.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Place, ended, until};

/// A job that fails while there is a file `broken`.
const JOB: &str = "[[job]]\napp = \"house\"\nname = \"backup\"\nevery = \"50ms\"\n\
    run = [\"sh\", \"-c\", \"test ! -e broken || { echo disk gone >&2; exit 3; }\"]\n";

fn lines(place: &Place, name: &str) -> Vec<String> {
    let text = fs::read_to_string(place.directory.path().join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn until_lines(place: &Place, name: &str, count: usize) -> Vec<String> {
    until("somebody was told", || {
        let lines = lines(place, name);
        (lines.len() >= count).then_some(lines)
    })
}

#[test]
fn a_failure_and_a_recovery_are_told_once_and_on_error_each_time() {
    let place = Place::new();
    let note = |name: &str| {
        format!(
            "[\"sh\", \"-c\", \"cat >> {name}; echo $EXECUTOR_OCCASION $EXECUTOR_APP/$EXECUTOR_NAME $EXECUTOR_STATUS >> {name}.env\"]"
        )
    };
    let notify = format!(
        "[notify]\nfailure = {}\nrecovery = {}\n",
        note("failed"),
        note("recovered")
    );
    let job = format!("{JOB}on_error = {}\n", note("each"));
    place.file("c.toml", &format!("{notify}{job}"));
    place.file("broken", "");
    let running = place.start(&["run", "c.toml"]);
    until_lines(&place, "each.env", 3);
    assert_eq!(lines(&place, "failed.env"), ["failure house/backup error"]);
    let told: Value = serde_json::from_str(&lines(&place, "failed")[0]).unwrap();
    assert_eq!(told["error_type"], "exit status 3");
    let report = told["report"].as_str().unwrap();
    assert!(report.contains("disk gone"), "{report}");
    assert_eq!(lines(&place, "recovered.env"), [""; 0]);

    fs::remove_file(place.directory.path().join("broken")).unwrap();
    let recovered = until_lines(&place, "recovered.env", 1);
    assert_eq!(recovered, ["recovery house/backup success"]);
    place.file("broken", "");
    let failed = until_lines(&place, "failed.env", 2);
    assert_eq!(failed.len(), 2, "told once more, after the recovery");
    let pid = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(ended(running).code, Some(0));
    assert_eq!(lines(&place, "recovered.env").len(), 1);
}

#[test]
fn a_heartbeat_goes_on_and_a_command_that_cannot_tell_is_logged() {
    let place = Place::new();
    let notify = "[notify]\nfailure = [\"./no-such-program\"]\nheartbeat = { every = \"50ms\", run = [\"sh\", \"-c\", \"echo $EXECUTOR_OCCASION >> beats\"] }\n";
    place.file("c.toml", &format!("{notify}{JOB}"));
    place.file("broken", "");
    let checked = place.run(&["check", "c.toml"]);
    assert_eq!(checked.code, Some(3), "{}", checked.out);
    assert!(
        checked.out.contains("no-such-program (not found)"),
        "{}",
        checked.out
    );
    let running = place.start(&["run", "c.toml"]);
    let beats = until_lines(&place, "beats", 3);
    assert!(beats.iter().all(|it| it == "heartbeat"), "{beats:?}");
    let pid = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let said = ended(running);
    assert_eq!(said.code, Some(0));
    assert!(
        said.err.contains("could not tell of this failure"),
        "{}",
        said.err
    );
}

#[test]
fn a_failure_is_told_again_after_a_success_that_nobody_is_told_of() {
    let place = Place::new();
    let notify = "[notify]\nfailure = [\"sh\", \"-c\", \"echo told >> failed\"]\n";
    // Its own command takes all the time there is.
    let job = format!("{JOB}on_error = [\"sleep\", \"1000\"]\n");
    let service = "[service]\nerror_handler_timeout = \"200ms\"\n";
    place.file("c.toml", &format!("{service}{notify}{job}"));
    place.file("broken", "");
    let running = place.start(&["run", "c.toml"]);
    until_lines(&place, "failed", 1);
    fs::remove_file(place.directory.path().join("broken")).unwrap();
    until("a success is stored", || {
        let rows = place.run(&["ls", "--status", "success", "--json"]).out;
        (rows.lines().count() > 3).then_some(())
    });
    place.file("broken", "");
    until_lines(&place, "failed", 2);
    let pid = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(ended(running).code, Some(0));
}
