//! Clauses I4 and A21: what a line is, in which order events are handled, and how much waits.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;

use rustix::fs::{OFlags, fcntl_setfl};

use crate::support::{Place, Said, ended, listener, until};

/// Handles the events in their order, so that what they leave can be compared.
const IN_ORDER: &str = "overlap = \"queued\"\noverlap_limit = 10000";

fn case(name: &str) -> Vec<u8> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    fs::read(data.join(name)).unwrap()
}

/// What programs got on standard input, and how the run ended.
fn handled(place: &Place, stream: &[u8]) -> (Vec<u8>, Said) {
    place.file(
        "c.toml",
        &listener("all", "[\"sh\", \"-c\", \"cat >> got\"]", IN_ORDER),
    );
    fs::write(place.directory.path().join("e.ndjson"), stream).unwrap();
    let said = place.run(&["run", "c.toml", "--events", "e.ndjson"]);
    let got = fs::read(place.directory.path().join("got")).unwrap_or_default();
    (got, said)
}

#[test]
fn i04_a_line_of_any_depth_and_any_number_is_an_event_and_its_bytes_are_passed_on() {
    for name in ["json-valid.ndjson", "big-ids.ndjson"] {
        let place = Place::new();
        let (got, said) = handled(&place, &case(name));
        assert_eq!(said.code, Some(0), "{name}: {}", said.err);
        assert!(said.err.contains(" 0 bad lines"), "{name}: {}", said.err);
        assert!(got == case(name), "{name}: other bytes arrived");
    }
}

#[test]
fn i04_ids_are_kept_as_they_were_written() {
    let place = Place::new();
    let (_, said) = handled(&place, &case("big-ids.ndjson"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let ids =
        "SELECT group_concat(trigger_id) FROM (SELECT trigger_id FROM executions ORDER BY id)";
    let expected = "18446744073709551616,18446744073709551617,1.10";
    assert_eq!(place.text("telemetry.db", ids), expected);
}

#[test]
fn i04_a_byte_order_mark_eats_no_event() {
    let place = Place::new();
    let (got, said) = handled(&place, &case("bom.ndjson"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("2 events, 0 bad lines"), "{}", said.err);
    assert!(
        got == case("bom.ndjson")[3..],
        "the mark is no part of a line"
    );
}

#[test]
fn i04_of_a_stream_without_any_event_the_exit_code_is_5() {
    let place = Place::new();
    let (_, said) = handled(&place, b"{\"topic\":1} x\n{\"topic\":\"\xff\"}\nno\n");
    assert_eq!(said.code, Some(5), "{}", said.err);
    assert!(
        said.err
            .contains("none of the 3 lines could be read as an event"),
        "{}",
        said.err
    );
    let (_, said) = handled(&Place::new(), b"");
    assert_eq!(
        said.code,
        Some(0),
        "nothing is wrong with an empty stream: {}",
        said.err
    );
}

/// The run, reading standard input.
fn reading(place: &Place, config: &str) -> Child {
    place.file("c.toml", config);
    let mut program = place.program(&["run", "c.toml", "--events", "-"]);
    let program = program
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // What is given back goes back at once: without it the allocator's own reserve, up to 90 MiB more, depends
        // on the order in which lines come and go.
        .env("MALLOC_MMAP_THRESHOLD_", "131072");
    program.spawn().unwrap()
}

/// The most memory it has taken, in MiB.
fn peak_mib(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

#[test]
fn i04_at_most_64_mib_of_lines_wait_or_run() {
    let place = Place::new();
    let mut child = reading(&place, &listener("all", "[\"sleep\", \"0.5\"]", ""));
    let mut input = child.stdin.take().unwrap();
    let feeding = thread::spawn(move || {
        let line = format!(
            "{{\"topic\":\"t\",\"text\":\"{}\"}}\n",
            "x".repeat(12_000_000)
        );
        (0..40).for_each(|_| input.write_all(line.as_bytes()).unwrap());
    });
    let mut peak = 0;
    until("it ends", || {
        peak = peak_mib(&child).unwrap_or(0).max(peak);
        child.try_wait().unwrap()
    });
    feeding.join().unwrap();
    // The lines, a copy of each on its way to a program, one that grows, and the program itself: of 480 MB.
    assert!(peak < 180, "{peak} MiB");
    let rows = "SELECT count(*) FROM executions_v WHERE status = 'success'";
    assert_eq!(place.number("telemetry.db", rows), 40);
}

/// Rows of one status, by the ids of their events.
fn ids(place: &Place, status: &str) -> String {
    let rows = format!(
        "SELECT coalesce(group_concat(trigger_id), '') FROM (SELECT trigger_id FROM executions_v \
         WHERE status = '{status}' ORDER BY id)"
    );
    place.text("telemetry.db", &rows)
}

/// A burst of twelve under a rule that lets one run: it may end when all others have.
fn burst(place: &Place, max_concurrent: u16, rule: &str) {
    let waits = "[\"sh\", \"-c\", \"while [ ! -e go ]; do sleep 0.02; done\"]";
    let listener = listener("all", waits, &format!("overlap = \"{rule}\""));
    place.file(
        "c.toml",
        &format!("[run]\nmax_concurrent = {max_concurrent}\n{listener}"),
    );
    place.file("e.ndjson", &numbered(12));
    let child = place.start(&["run", "c.toml", "--events", "e.ndjson"]);
    let database = place.directory.path().join("telemetry.db");
    let rows = "SELECT count(*) FROM executions_v WHERE status IN ('cancelled', 'skipped')";
    let have_ended = || {
        let outside = rusqlite::Connection::open(&database).ok()?;
        outside.query_row(rows, [], |row| row.get::<_, i64>(0)).ok()
    };
    until("eleven have ended", || {
        (database.exists() && have_ended() == Some(11)).then_some(())
    });
    place.file("go", "");
    let said = ended(child);
    assert_eq!(said.code, Some(0), "{}", said.err);
}

fn numbered(count: usize) -> String {
    let line = |id| format!("{{\"topic\":\"x\",\"id\":{id}}}\n");
    (0..count).map(line).collect()
}

fn queued(place: &Place, count: usize, run: &str) {
    place.file("c.toml", &listener("all", run, IN_ORDER));
    place.file("e.ndjson", &numbered(count));
    let said = place.run(&["run", "c.toml", "--events", "e.ndjson"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
}

#[test]
fn a21_under_restart_the_last_event_of_a_burst_survives_also_with_room_for_one() {
    for max_concurrent in [1, 16] {
        let place = Place::new();
        burst(&place, max_concurrent, "restart");
        assert_eq!(ids(&place, "success"), "11");
    }
}

#[test]
fn a21_under_single_the_first_event_of_a_burst_runs() {
    let place = Place::new();
    burst(&place, 1, "single");
    assert_eq!(ids(&place, "success"), "0");
}

#[test]
fn a21_under_queued_events_run_in_the_order_of_the_stream() {
    let place = Place::new();
    queued(&place, 60, "[\"sh\", \"-c\", \"cat >> got\"]");
    let got = fs::read_to_string(place.directory.path().join("got")).unwrap();
    assert_eq!(got, numbered(60));
}

/// Bursts side by side, most of whose time is waiting.
const SIDE_BY_SIDE: usize = 8;

/// How many bursts: as many as `BURSTS` says.
#[test]
fn a21_every_burst_is_in_order() {
    let bursts = std::env::var("BURSTS").map_or(5, |text| text.parse().unwrap());
    thread::scope(|scope| {
        for first in 0..SIDE_BY_SIDE {
            scope.spawn(move || (first..bursts).step_by(SIDE_BY_SIDE).for_each(in_order));
        }
    });
}

fn in_order(number: usize) {
    for (rule, survivor) in [("restart", "11"), ("single", "0")] {
        let place = Place::new();
        burst(&place, 16, rule);
        assert_eq!(ids(&place, "success"), survivor, "{rule}, burst {number}");
    }
    let place = Place::new();
    queued(&place, 12, "[\"@noop\"]");
    let all = "0,1,2,3,4,5,6,7,8,9,10,11";
    assert_eq!(ids(&place, "success"), all, "queued, burst {number}");
}

#[test]
fn a17_a_run_does_not_begin_while_the_program_before_it_cleans_up() {
    let place = Place::new();
    let script = "mkdir held || exit 42; trap 'sleep 0.7; rmdir held; exit 0' TERM; while :; do sleep 0.05; done";
    let job = format!(
        "[[job]]\napp = \"a\"\nname = \"backup\"\nevery = \"500ms\"\noverlap = \"restart\"\n\
         run = [\"sh\", \"-c\", \"{script}\"]\n"
    );
    place.file("c.toml", &job);
    let said = place.run(&["run", "c.toml", "--for", "3s"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let rows = |condition: &str| {
        place.number(
            "telemetry.db",
            &format!("SELECT count(*) FROM executions_v WHERE {condition}"),
        )
    };
    assert_eq!(rows("error_type = 'exit status 42'"), 0, "two ran at once");
    assert!(rows("status = 'cancelled'") >= 2, "it was restarted");
}

#[test]
fn i04_an_input_that_does_not_block_is_waited_for() {
    let place = Place::new();
    place.file("c.toml", &listener("all", "[\"@noop\"]", ""));
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl_setfl(&reader, OFlags::NONBLOCK).unwrap();
    let mut program = place.program(&["run", "c.toml", "--events", "-", "--json"]);
    let program = program
        .stdin(reader)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = program.spawn().unwrap();
    until("it reads", || {
        place
            .directory
            .path()
            .join("telemetry.db")
            .exists()
            .then_some(())
    });
    writer.write_all(b"{\"topic\":\"a\"}\n").unwrap();
    until("it has read", || {
        let path = place.directory.path().join("telemetry.db");
        let outside = rusqlite::Connection::open(path).unwrap();
        let rows = outside.query_row("SELECT count(*) FROM executions", [], |row| row.get(0));
        rows.ok().filter(|rows: &i64| *rows == 1)
    });
    writer.write_all(b"{\"topic\":\"b\"}\n").unwrap();
    drop(writer);
    let said = ended(child);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("\"runs\": 2"), "{}", said.out);
}
