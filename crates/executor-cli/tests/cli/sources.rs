//! Clauses I4 and D11: several sources of events, and what is kept of what was read from them.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use crate::support::{Place, Said, ended, listener, until};

/// Handles what comes in its order, in one line.
const IN_ORDER: &str = "overlap = \"queued\"\noverlap_limit = 10000";
/// Leaves the topics in the order in which they were handled.
const NOTE_TOPIC: &str = "[\"sh\", \"-c\", \"echo $EXECUTOR_TOPIC >> got\"]";

fn got(place: &Place) -> Vec<String> {
    let text = fs::read_to_string(place.directory.path().join("got")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn until_got(place: &Place, count: usize) -> Vec<String> {
    until("the events were handled", || {
        let got = got(place);
        (got.len() >= count).then_some(got)
    })
}

fn stop(child: Child) -> Said {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    ended(child)
}

fn until_recorded(place: &Place) {
    until("it runs", || {
        let spool = place.directory.path().join("telemetry.db.sessions");
        fs::read_dir(spool).ok()?.next().map(drop)
    });
}

#[test]
fn i04_a_file_is_followed_over_rotation_from_its_end() {
    let place = Place::new();
    place.file(
        "c.toml",
        &format!(
            "[[source]]\nname = \"log\"\npath = \"log.ndjson\"\n{}",
            listener("all", NOTE_TOPIC, IN_ORDER)
        ),
    );
    let path = place.file("log.ndjson", "{\"topic\":\"before\"}\n");
    let running = place.start(&["run", "c.toml"]);
    until_recorded(&place);
    // It begins at the end, whenever that is looked up.
    let mut number = 0;
    until("the file is followed", || {
        number += 1;
        let mut log = OpenOptions::new().append(true).open(&path).unwrap();
        writeln!(log, "{{\"topic\":\"early.{number}\"}}").unwrap();
        (!got(&place).is_empty()).then_some(())
    });
    let early = until_got(&place, 1)[0].clone();
    assert!(early.starts_with("early."), "{early}");

    let mut log = OpenOptions::new().append(true).open(&path).unwrap();
    write!(log, "{{\"topic\":\"last.of.the.old\"}}").unwrap();
    fs::rename(&path, place.directory.path().join("log.1")).unwrap();
    place.file(
        "log.ndjson",
        "{\"topic\":\"first.of.the.new\"}\n{\"topic\":\"second\"}\n",
    );
    let all = until("what stands in the new file was handled", || {
        let got = got(&place);
        got.iter().any(|topic| topic == "second").then_some(got)
    });
    assert_eq!(
        all[all.len() - 3..],
        ["last.of.the.old", "first.of.the.new", "second"]
    );

    // Cut to nothing, as `copytruncate` does.
    fs::write(&path, "").unwrap();
    until("what comes after the cut was handled", || {
        let mut log = OpenOptions::new().append(true).open(&path).unwrap();
        writeln!(log, "{{\"topic\":\"cut\"}}").unwrap();
        got(&place).iter().any(|topic| topic == "cut").then_some(())
    });
    let said = stop(running);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!got(&place).iter().any(|topic| topic == "before"));
}

#[test]
fn i04_whoever_connects_to_a_socket_writes_lines() {
    let place = Place::new();
    let source =
        "[[source]]\nname = \"doors\"\nsocket = \"s\"\nformat = \"text\"\ntopic = \"door\"\n";
    let cat = "[\"sh\", \"-c\", \"cat >> got\"]";
    place.file(
        "c.toml",
        &format!("{source}{}", listener("all", cat, IN_ORDER)),
    );
    let path = place.directory.path().join("s");
    // A dead one is replaced.
    drop(UnixListener::bind(&path).unwrap());
    let running = place.start(&["run", "c.toml"]);
    let connect = || until("it listens", || UnixStream::connect(&path).ok());
    let (mut one, mut two) = (connect(), connect());
    writeln!(one, "front").unwrap();
    until_got(&place, 1);
    write!(two, "back, without an end").unwrap();
    drop(two);
    until_got(&place, 2);
    writeln!(one, "\nfront again").unwrap();
    assert_eq!(
        until_got(&place, 3),
        ["front", "back, without an end", "front again"]
    );
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let said = stop(running);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!path.exists(), "it is removed");
}

#[test]
fn i04_what_is_no_dead_socket_is_left_alone() {
    let place = Place::new();
    let source = "[[source]]\nname = \"doors\"\nsocket = \"s\"\n";
    place.file(
        "c.toml",
        &format!("{source}{}", listener("all", "[\"cat\"]", "")),
    );
    let path = place.file("s", "mine");
    let said = place.run(&["run", "c.toml"]);
    assert_eq!(said.code, Some(5), "{}", said.err);
    assert!(said.err.contains("which is left alone"), "{}", said.err);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");

    fs::remove_file(&path).unwrap();
    let _mine = UnixListener::bind(&path).unwrap();
    let said = place.run(&["run", "c.toml"]);
    assert_eq!(said.code, Some(5), "{}", said.err);
    assert!(said.err.contains("another process listens"), "{}", said.err);
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
}

#[test]
fn i04_a_program_is_read_started_again_and_ended_with_the_run() {
    let place = Place::new();
    let brief = r#"[[source]]
name = "docker"
run = ["sh", "-c", "echo '{\"Type\":\"container\",\"Action\":\"start\"}'; echo '{\"Type\":\"network\",\"Action\":\"start\"}'"]
topic = ["docker", "/Type", "/Action"]
when = { "/Type" = ["container", "image"] }
"#;
    let stubborn = r#"[[source]]
name = "stubborn"
run = ["sh", "-c", "trap '' TERM; echo $$ > pid; echo \"$WORD\"; while :; do sleep 1; done"]
format = "text"
topic = "stubborn"
env = { WORD = "here" }
"#;
    place.file(
        "c.toml",
        &format!("{brief}{stubborn}{}", listener("all", NOTE_TOPIC, "")),
    );
    let running = place.start(&["run", "c.toml"]);
    let topics = until_got(&place, 3);
    let count = |topic: &str| topics.iter().filter(|it| *it == topic).count();
    assert!(
        count("docker.container.start") >= 2,
        "started again: {topics:?}"
    );
    assert_eq!(count("stubborn"), 1, "{topics:?}");
    let pid = fs::read_to_string(place.directory.path().join("pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    assert!(test_kill_process(pid).is_ok());
    let said = stop(running);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.err
            .contains("the program of the source `docker` ended"),
        "{}",
        said.err
    );
    until("it is dead", || {
        test_kill_process(pid).is_err().then_some(())
    });
}

#[test]
fn i04_a_named_pipe_has_one_writer_after_the_other() {
    let place = Place::new();
    let source = "[[source]]\nname = \"pipe\"\npath = \"p\"\n";
    place.file(
        "c.toml",
        &format!("{source}{}", listener("all", NOTE_TOPIC, IN_ORDER)),
    );
    let path = place.directory.path().join("p");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let running = place.start(&["run", "c.toml"]);
    for (number, end) in ["\n", "", "\n"].into_iter().enumerate() {
        let mut pipe = OpenOptions::new().write(true).open(&path).unwrap();
        write!(pipe, "{{\"topic\":\"writer.{number}\"}}{end}").unwrap();
        drop(pipe);
        until_got(&place, number + 1);
    }
    assert_eq!(until_got(&place, 3), ["writer.0", "writer.1", "writer.2"]);
    assert_eq!(stop(running).code, Some(0));
}

/// A history with two sources, of which one has bad lines and events that nobody listened to.
fn read_sources(place: &Place) {
    let source = "[[source]]\nname = \"other\"\npath = \"o\"\nfollow = false\n";
    let config = source.to_owned() + &listener("all", "[\"@noop\"]", "").replace('#', "a.*");
    place.file("c.toml", &config);
    place.file("o", "{\"topic\":\"a.b\"}\n");
    let events = "{\"topic\":\"a.x\"}\n\n{\"topic\":\"rain\"}\n{\"topic\":\"rain\"}\n{\"topic\":\"sn\\u001bow\"}\n}{\n{}\n";
    place.file("e", events);
    let said = place.run(&["run", "c.toml", "--events", "e"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
}

#[test]
fn d11_what_nobody_listened_to_and_what_was_no_event_is_shown() {
    let place = Place::new();
    read_sources(&place);
    let said = place.run(&["sources"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let shown: Vec<Vec<&str>> = said
        .out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        shown[0],
        ["SOURCE", "LINES", "EVENTS", "BAD", "UNHEARD", "MOSTLY"]
    );
    assert_eq!(shown[1], ["e", "7", "4", "2", "3", "rain,", "sn\u{fffd}ow"]);
    assert_eq!(shown[2], ["other", "1", "1", "0", "0"]);

    let said = place.run(&["sources", "e", "--utc"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for part in [
        "  2",
        "rain",
        "no topic at /topic",
        "column 1: not JSON",
        "}{",
    ] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    assert!(!said.out.contains("other"), "{}", said.out);
    let said = place.run(&["sources", "nobody"]);
    assert_eq!(said.code, Some(9), "{}", said.err);
}

#[test]
fn d11_each_session_has_its_own_counts_in_json() {
    let place = Place::new();
    read_sources(&place);
    read_sources(&place);
    let said = place.run(&["sources", "e", "--json"]);
    let all: Vec<Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(all.len(), 2);
    assert_ne!(all[0]["session"], all[1]["session"]);
    for source in &all {
        assert_eq!(
            (&source["lines"], &source["unheard"]),
            (&7.into(), &3.into())
        );
        assert_eq!(source["topics"][0]["topic"], "rain");
        assert_eq!(source["first_bad_lines"][1]["line"], 7);
    }
    let said = place.run(&["sources", "--until", "2020-01-01"]);
    assert_eq!(said.code, Some(9), "{}", said.err);
}

#[test]
fn i04_sources_that_end_end_the_run_and_standard_input_is_one() {
    let place = Place::new();
    let source = "[[source]]\nname = \"in\"\npath = \"-\"\n";
    place.file(
        "c.toml",
        &format!("{source}{}", listener("all", NOTE_TOPIC, IN_ORDER)),
    );
    let input = place.file("in", "{\"topic\":\"a\"}\n{\"topic\":\"b\"}\n");
    let mut program = place.program(&["run", "c.toml"]);
    let program = program.stdin(File::open(input).unwrap());
    let program = program.stdout(Stdio::piped()).stderr(Stdio::piped());
    let said = ended(program.spawn().unwrap());
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(got(&place), ["a", "b"]);
}

/// The configuration under a heading of docs/sources.md, reading a recording to its end and noting every topic.
fn documented(heading: &str, recording: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("../../docs/sources.md")).unwrap();
    let (_, rest) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    let (_, rest) = rest.split_once("```toml\n").unwrap();
    let (config, _) = rest.split_once("```").unwrap();
    let (source, _) = config.split_once("[[listener]]").unwrap();
    let recording = root.join("tests/data/sources").join(recording);
    let is_input = |line: &&str| !line.starts_with("run = ") && !line.starts_with("path = ");
    let source: Vec<&str> = source.lines().filter(is_input).collect();
    let read = format!("path = \"{}\"\nfollow = false\n", recording.display());
    source.join("\n") + "\n" + &read + &listener("all", NOTE_TOPIC, IN_ORDER)
}

#[test]
fn i01_check_shows_what_would_be_read() {
    let place = Place::new();
    let sources = [
        "name = \"log\"\npath = \"log.ndjson\"",
        "name = \"once\"\npath = \"once.ndjson\"\nfollow = false",
        "name = \"in\"\npath = \"-\"",
        "name = \"doors\"\nsocket = \"s\"",
        "name = \"there\"\nrun = [\"sh\"]",
        "name = \"gone\"\nrun = [\"no-such-program\"]",
    ];
    let sources = sources
        .map(|source| format!("[[source]]\n{source}\n"))
        .concat();
    place.file(
        "c.toml",
        &format!("{sources}{}", listener("all", "[\"cat\"]", "")),
    );
    place.file("once.ndjson", "");
    let said = place.run(&["check", "c.toml", "--json"]);
    assert_eq!(said.code, Some(3), "{}", said.err);
    let all: Vec<Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|it: &Value| it["kind"] == "source")
        .collect();
    let column = |key: &str| all.iter().map(|it| it[key].clone()).collect::<Vec<_>>();
    let when = [
        "follows log.ndjson",
        "reads once.ndjson",
        "reads standard input",
        "listens on s",
        "reads its output",
        "reads its output",
    ];
    assert_eq!(column("when"), when);
    assert_eq!(column("is_found"), [true, true, true, true, true, false]);
}

#[test]
fn i04_real_streams_are_read_by_configuration_alone() {
    for (heading, recording, topics) in [
        (
            "The journal of systemd",
            "journal.ndjson",
            &["journal.ssh.service", "journal.kernel", "journal.kernel"][..],
        ),
        (
            "Docker",
            "docker.ndjson",
            &[
                "docker.container.create",
                "docker.network.connect",
                "docker.container.die",
            ],
        ),
        (
            "Home Assistant",
            "home_assistant.ndjson",
            &[
                "homeassistant_started.house",
                "state_changed.light.hall",
                "state_changed.sensor.lux",
            ],
        ),
        (
            "MQTT",
            "mqtt.ndjson",
            &["home.bath.humidity", "home.hall.door", "$SYS.broker.uptime"],
        ),
        ("Lines of a log", "door.log", &["door", "door"]),
    ] {
        let place = Place::new();
        place.file("c.toml", &documented(heading, recording));
        let said = place.run(&["run", "c.toml"]);
        assert_eq!(said.code, Some(0), "{heading}: {}", said.err);
        assert!(said.err.contains(" 0 bad lines"), "{heading}: {}", said.err);
        assert_eq!(got(&place), topics, "{heading}");
    }
}

#[test]
fn i04_the_documented_configurations_are_whole() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("../../docs/sources.md")).unwrap();
    let blocks: Vec<&str> = text.split("```toml\n").skip(1).collect();
    assert_eq!(blocks.len(), 5);
    for block in blocks {
        let place = Place::new();
        place.file("c.toml", block.split_once("```").unwrap().0);
        let said = place.run(&["check", "c.toml"]);
        // Only their programs are not there.
        assert!(said.err.is_empty(), "{}", said.err);
        assert!(said.out.contains("not found"), "{}", said.out);
    }
}

#[test]
fn a16_an_event_with_a_time_of_its_own_is_due_then() {
    let place = Place::new();
    let source =
        "[[source]]\nname = \"all\"\npath = \"log.ndjson\"\nfollow = false\ntime = \"/at\"\n";
    let note = "[\"sh\", \"-c\", \"echo $EXECUTOR_TOPIC $EXECUTOR_DUE_AT >> got\"]";
    place.file(
        "c.toml",
        &format!("{source}{}", listener("all", note, IN_ORDER)),
    );
    let lines = [
        "{\"topic\":\"a\",\"at\":\"2026-01-01T00:00:00.25Z\"}",
        "{\"topic\":\"b\",\"at\":1767225601}",
        "{\"topic\":\"c\",\"at\":\"soon\"}",
        "{\"topic\":\"d\"}",
    ];
    place.file("log.ndjson", &format!("{}\n", lines.join("\n")));
    let said = place.run(&["run", "c.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let expected = [
        "a 2026-01-01T00:00:00.250000Z",
        "b 2026-01-01T00:00:01.000000Z",
        "c",
        "d",
    ];
    assert_eq!(got(&place), expected);
    let due = "SELECT group_concat(coalesce(due_us, '-') , ' ') FROM (SELECT due_us FROM executions ORDER BY start_us)";
    assert_eq!(
        place.text("telemetry.db", due),
        "1767225600250000 1767225601000000 - -"
    );
    let show = place.run(&["show", "a/all", "--utc"]);
    assert!(
        !show.out.contains("late"),
        "the last one has no time: {}",
        show.out
    );
}
