//! Clause A19: programs that outlive a process that is killed.

use std::fs;

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

use crate::support::{Place, ended, until};

/// A job that begins soon and goes on for long; its program notes the id of its group.
fn config(service: &str, overlap: &str) -> String {
    // Under `restart` the next run would end this one.
    let schedule = if overlap == "restart" {
        "after"
    } else {
        "every"
    };
    format!(
        "[service]\n{service}\n[[job]]\napp = \"a\"\nname = \"long\"\n{schedule} = \"100ms\"\noverlap = \"{overlap}\"\n\
         run = [\"sh\", \"-c\", \"echo $$ >> groups; sleep 1000\"]\n"
    )
}

fn groups(place: &Place) -> Vec<Pid> {
    let text = fs::read_to_string(place.directory.path().join("groups")).unwrap_or_default();
    let ids = text.lines().map(|line| line.parse().unwrap());
    ids.map(|id| Pid::from_raw(id).unwrap()).collect()
}

/// Kills what the test has left behind, however it ends.
struct Cleanup<'p>(&'p Place);

impl Drop for Cleanup<'_> {
    fn drop(&mut self) {
        for group in groups(self.0) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn is_alive(group: Pid) -> bool {
    test_kill_process_group(group).is_ok()
}

/// Runs until a program runs, and is killed. Returns the program's group.
fn killed(place: &Place) -> Pid {
    let running = place.start(&["run", "c.toml"]);
    let group = until("its program runs", || groups(place).last().copied());
    // The program may be faster than the note of it.
    until("it is noted", || {
        let frames = place.run(&["spool", "dump", "telemetry.db.spool"]).out;
        frames.contains("\"frame\":\"program\"").then_some(())
    });
    let pid = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    ended(running);
    assert!(is_alive(group), "it outlives its process");
    group
}

const INTERRUPTED: &str = "SELECT count(*) FROM executions_v WHERE status = 'interrupted'";

#[test]
fn a19_a_program_that_outlives_its_process_is_named_and_keeps_its_place() {
    let place = Place::new();
    let _cleanup = Cleanup(&place);
    place.file("c.toml", &config("", "single"));
    let group = killed(&place);
    let doctor = place.run(&["doctor"]);
    let named = format!(
        "is still running (process group {})",
        group.as_raw_nonzero()
    );
    assert!(doctor.out.contains(&named), "{}", doctor.out);
    let said = place.run(&["run", "c.toml", "--for", "2s"]);
    assert!(
        said.err
            .contains("a program of an earlier process is still running"),
        "{}",
        said.err
    );
    assert!(is_alive(group), "it is left alone");
    assert_eq!(groups(&place).len(), 1, "nothing began beside it");
    assert_eq!(place.number("telemetry.db", INTERRUPTED), 1);
    let message = "SELECT error_message FROM executions_v WHERE status = 'interrupted'";
    let expected = format!(
        "its program `sh` (process group {}) is still running",
        group.as_raw_nonzero()
    );
    assert_eq!(place.text("telemetry.db", message), expected);
    let skipped = "SELECT count(*) FROM executions_v WHERE status = 'skipped'";
    assert!(place.number("telemetry.db", skipped) > 0);

    // Once it has ended, its place is free.
    kill_process_group(group, Signal::KILL).unwrap();
    let running = place.start(&["run", "c.toml"]);
    until("another one begins", || {
        (groups(&place).len() == 2).then_some(())
    });
    let pid = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(ended(running).code, Some(0));
}

#[test]
fn a19_programs_of_an_earlier_process_are_ended_if_that_is_wanted() {
    let of_service = ("orphans = \"end\"", "", "single");
    // Of the job alone.
    let of_job = ("orphans = \"leave\"", "orphans = \"end\"\n", "single");
    for (service, job, overlap) in [of_service, of_job, ("", "", "restart")] {
        let place = Place::new();
        let _cleanup = Cleanup(&place);
        place.file("c.toml", &format!("{}{job}", config(service, overlap)));
        let group = killed(&place);
        let running = place.start(&["run", "c.toml"]);
        until("it is gone", || (!is_alive(group)).then_some(()));
        until("another one begins", || {
            groups(&place).iter().any(|it| *it != group).then_some(())
        });
        let pid = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(ended(running).code, Some(0), "{overlap}");
    }
}

#[test]
fn a19_a_program_that_ended_with_its_execution_is_no_orphan() {
    let place = Place::new();
    let job = "[[job]]\napp = \"a\"\nname = \"short\"\nevery = \"20ms\"\nrun = [\"true\"]\n";
    let long = "[[job]]\napp = \"a\"\nname = \"here\"\nevery = \"20ms\"\nrun = [\"@noop\"]\n";
    place.file("c.toml", &format!("{job}{long}"));
    let running = place.start(&["run", "c.toml"]);
    until("some have run", || {
        let path = place.directory.path().join("telemetry.db");
        let rows = path
            .exists()
            .then(|| place.run(&["ls", "--json"]).out.lines().count());
        rows.filter(|rows| *rows > 5)
    });
    let pid = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    ended(running);
    let said = place.run(&["run", "c.toml", "--for", "300ms"]);
    assert!(!said.err.contains("still running"), "{}", said.err);
    let orphaned = "SELECT count(*) FROM executions_v WHERE error_type = 'orphaned'";
    assert_eq!(place.number("telemetry.db", orphaned), 0);
}

/// What `command` makes of a program that has outlived its process, twice over.
fn it_is_remembered_after(command: &[&str]) {
    let place = Place::new();
    let _cleanup = Cleanup(&place);
    place.file("c.toml", &config("", "single"));
    let group = killed(&place);
    let named = format!(
        "is still running (process group {})",
        group.as_raw_nonzero()
    );
    place.run(command);
    for verb in ["doctor", "status"] {
        let said = place.run(&[verb]);
        assert!(said.out.contains(&named), "{verb}: {}", said.out);
    }
    let said = place.run(&["run", "c.toml", "--for", "1s"]);
    let warning = "a program of an earlier process is still running";
    assert!(said.err.contains(warning), "{}", said.err);
    assert_eq!(groups(&place).len(), 1, "nothing began beside it");

    kill_process_group(group, Signal::KILL).unwrap();
    let said = place.run(&["run", "c.toml", "--for", "1s"]);
    assert!(!said.err.contains(warning), "{}", said.err);
    assert_eq!(groups(&place).len(), 2, "its place is free");
    let left = fs::read_dir(place.directory.path().join("telemetry.db.spool"));
    let left: Vec<_> = left.into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a19_a_program_is_remembered_over_more_starts_than_one() {
    it_is_remembered_after(&["run", "c.toml", "--for", "300ms"]);
}

#[test]
fn a19_a_program_is_remembered_when_the_spool_is_replayed() {
    it_is_remembered_after(&["spool", "replay", "telemetry.db.spool"]);
}

#[test]
fn a19_a_program_is_remembered_when_the_doctor_mends() {
    it_is_remembered_after(&["doctor", "--fix"]);
}
