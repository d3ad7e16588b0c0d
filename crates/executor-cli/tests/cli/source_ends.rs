//! Clause I4: how sources end, and what becomes of what is read meanwhile.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::support::{Place, ended, listener, until};

const IN_ORDER: &str = "overlap = \"queued\"\noverlap_limit = 10000";
const NOTE_TOPIC: &str = "[\"sh\", \"-c\", \"echo $EXECUTOR_TOPIC >> got\"]";

fn lines(place: &Place, name: &str) -> Vec<String> {
    let text = fs::read_to_string(place.directory.path().join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn until_lines(place: &Place, name: &str, count: usize) -> Vec<String> {
    until("enough lines are there", || {
        let lines = lines(place, name);
        (lines.len() >= count).then_some(lines)
    })
}

fn pid_of(child: &std::process::Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

/// Programs that note their process ids and do not end by themselves.
fn stubborn(count: usize, trap: &str) -> String {
    let source = |number| {
        format!(
            "[[source]]\nname = \"s{number}\"\nformat = \"text\"\ntopic = \"t\"\n\
             run = [\"sh\", \"-c\", \"{trap} sleep 1000 & echo $! >> pids; wait; while :; do sleep 1; done\"]\n"
        )
    };
    (0..count).map(source).collect::<String>() + &listener("all", "[\"@noop\"]", "")
}

fn pids(place: &Place) -> Vec<Pid> {
    let pids = lines(place, "pids").into_iter();
    pids.map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap())
        .collect()
}

#[test]
fn i04_programs_end_side_by_side_with_all_that_they_have_started() {
    let place = Place::new();
    // One after the other they would take twenty-four seconds.
    place.file("c.toml", &stubborn(12, "trap '' TERM;"));
    let running = place.start(&["run", "c.toml"]);
    until_lines(&place, "pids", 12);
    let begun = Instant::now();
    kill_process(pid_of(&running), Signal::TERM).unwrap();
    let said = ended(running);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "one grace for all"
    );
    for pid in pids(&place) {
        until("it is dead", || {
            test_kill_process(pid).is_err().then_some(())
        });
    }
}

#[test]
fn i05_a_second_signal_kills_the_programs_of_sources() {
    let place = Place::new();
    place.file("c.toml", &stubborn(2, "trap '' TERM;"));
    let running = place.start(&["run", "c.toml"]);
    until_lines(&place, "pids", 2);
    let pid = pid_of(&running);
    // The second one counts once the first was taken.
    until("it has ended", || {
        let _ = kill_process(pid, Signal::TERM);
        std::thread::sleep(Duration::from_millis(100));
        (fs::read_to_string(format!("/proc/{}/stat", running.id())).is_err()
            || is_zombie(running.id()))
        .then_some(())
    });
    assert_eq!(ended(running).code, Some(130));
    for pid in pids(&place) {
        until("it is dead", || {
            test_kill_process(pid).is_err().then_some(())
        });
    }
}

fn is_zombie(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.contains(") Z ")
}

#[test]
fn i04_what_a_program_leaves_behind_ends_before_it_is_started_again() {
    let place = Place::new();
    let source = "[[source]]\nname = \"s\"\nformat = \"text\"\ntopic = \"t\"\n\
        run = [\"sh\", \"-c\", \"sleep 1000 & echo $! >> pids; echo 'it is \\\\033[31mred' >&2; exit 3\"]\n";
    place.file(
        "c.toml",
        &(source.to_owned() + &listener("all", "[\"@noop\"]", "")),
    );
    let running = place.start(&["run", "c.toml"]);
    until_lines(&place, "pids", 2);
    let first = pids(&place)[0];
    assert!(test_kill_process(first).is_err(), "it held the output");
    kill_process(pid_of(&running), Signal::TERM).unwrap();
    let said = ended(running);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.err.contains("the source `s` says: it is"),
        "{}",
        said.err
    );
    assert!(!said.err.contains('\u{1b}'), "{:?}", said.err);
}

#[test]
fn i04_a_pipe_and_a_file_may_take_each_others_place() {
    let place = Place::new();
    let source = "[[source]]\nname = \"p\"\npath = \"p\"\n";
    place.file(
        "c.toml",
        &format!("{source}{}", listener("all", NOTE_TOPIC, IN_ORDER)),
    );
    let path = place.directory.path().join("p");
    let make_pipe = || {
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    };
    let write = |topic: &str| {
        let mut pipe = OpenOptions::new().write(true).open(&path).unwrap();
        writeln!(pipe, "{{\"topic\":\"{topic}\"}}").unwrap();
    };
    make_pipe();
    let running = place.start(&["run", "c.toml"]);
    write("pipe.1");
    until_lines(&place, "got", 1);
    fs::rename(&path, place.directory.path().join("old")).unwrap();
    fs::write(&path, "{\"topic\":\"file.1\"}\n").unwrap();
    until_lines(&place, "got", 2);
    fs::remove_file(&path).unwrap();
    make_pipe();
    write("pipe.2");
    until_lines(&place, "got", 3);
    fs::remove_file(&path).unwrap();
    make_pipe();
    write("pipe.3");
    let got = until_lines(&place, "got", 4);
    assert_eq!(got, ["pipe.1", "file.1", "pipe.2", "pipe.3"]);
    kill_process(pid_of(&running), Signal::TERM).unwrap();
    assert_eq!(ended(running).code, Some(0));
    assert_eq!(lines(&place, "got").len(), 4, "each line once");
}

#[test]
fn i04_half_a_line_is_not_glued_to_what_comes_after_a_cut() {
    let place = Place::new();
    let source = "[[source]]\nname = \"f\"\npath = \"f\"\nformat = \"text\"\ntopic = \"t\"\n";
    let cat = "[\"sh\", \"-c\", \"cat >> got\"]";
    place.file(
        "c.toml",
        &format!("{source}{}", listener("all", cat, IN_ORDER)),
    );
    // An unfinished line may be finished while it is followed.
    let path = place.file("f", "before\nbegun");
    let running = place.start(&["run", "c.toml"]);
    until("it is open", || {
        let held = fs::read_dir(format!("/proc/{}/fd", running.id())).ok()?;
        let mut held = held.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
        held.any(|target| target == path).then_some(())
    });
    let append = |text: &str| {
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    append(" and finished\nhal");
    until_lines(&place, "got", 1);
    fs::write(&path, "").unwrap();
    until_lines(&place, "got", 2);
    append("whole\n");
    let got = until_lines(&place, "got", 3);
    assert_eq!(got, ["begun and finished", "hal", "whole"]);
    kill_process(pid_of(&running), Signal::TERM).unwrap();
    assert_eq!(ended(running).code, Some(0));
}

#[test]
fn i05_a_socket_whose_owner_does_not_accept_holds_up_nothing() {
    let place = Place::new();
    let source = "[[source]]\nname = \"doors\"\nsocket = \"s\"\n";
    place.file(
        "c.toml",
        &format!("{source}{}", listener("all", "[\"cat\"]", "")),
    );
    let path = place.directory.path().join("s");
    let _listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&_listener, 0).unwrap();
    let _full = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let said = place.run(&["run", "c.toml"]);
    assert_eq!(said.code, Some(5), "{}", said.err);
    assert!(said.err.contains("another process listens"), "{}", said.err);
    assert!(said.err.contains("the source `doors` (s)"), "{}", said.err);
}

#[test]
fn d11_every_topic_counts_however_many_there_are() {
    let place = Place::new();
    place.file(
        "c.toml",
        &listener("all", "[\"@noop\"]", "").replace('#', "none"),
    );
    let events: String = (0..1_200)
        .map(|number| format!("{{\"topic\":\"t.{number}\"}}\n").repeat(2))
        .collect();
    place.file(
        "e",
        &(events + &format!("{{\"topic\":\"{}\"}}\n", "x".repeat(5_000))),
    );
    let said = place.run(&["run", "c.toml", "--events", "e"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let said = place.run(&["sources", "--json"]);
    let source: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(source["unheard"], 2_401);
    let topics = source["topics"].as_array().unwrap();
    let sum: u64 = topics.iter().map(|it| it["count"].as_u64().unwrap()).sum();
    assert_eq!((topics.len(), sum), (1_001, 2_401));
    assert_eq!(
        (&topics[0]["topic"], &topics[0]["count"]),
        (&"".into(), &401.into())
    );
}

#[test]
fn i04_every_event_that_counts_is_an_execution_also_at_a_stop() {
    let place = Place::new();
    let source = "[[source]]\nname = \"s\"\nrun = [\"yes\", '{\"topic\":\"a\"}']\n";
    place.file(
        "c.toml",
        &(source.to_owned() + &listener("all", "[\"@noop\"]", "")),
    );
    let said = place.run(&["run", "c.toml", "--for", "700ms"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let sources = place.run(&["sources", "--json"]);
    let source: serde_json::Value = serde_json::from_str(&sources.out).unwrap();
    let events = source["events"].as_u64().unwrap();
    assert!(events > 0);
    // Some of the records may wait in the spool still.
    let told = format!("{events} events, 0 bad lines; records: offered {events},");
    assert!(said.err.contains(&told), "{told}: {}", said.err);
}

#[test]
fn i02_no_two_sources_read_the_same() {
    let place = Place::new();
    let source = |name: &str| format!("[[source]]\nname = \"{name}\"\npath = \"-\"\n");
    let all = listener("all", "[\"@noop\"]", "");
    place.file("two.toml", &(source("a") + &source("b") + &all));
    let said = place.run(&["check", "two.toml"]);
    assert_eq!(said.code, Some(3));
    assert!(
        said.err.contains("two.toml:6:8: a second source"),
        "{}",
        said.err
    );
    place.file("one.toml", &(source("a") + &all));
    let said = place.run(&["run", "one.toml", "--events", "-"]);
    assert_eq!(said.code, Some(5), "{}", said.err);
}
