//! Clause I5: nothing that the program waits for holds up a stop, and nobody who does not listen changes anything.

use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags, fcntl_setfl, mknodat};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::support::{Place, Said, ended, listener, until};

fn tell(child: &Child, signal: Signal) {
    kill_process(pid_of(child.id()), signal).unwrap();
}

fn pid_of(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn wait_for(what: &Path) {
    until("something is written", || (size(what) > 0).then_some(()));
}

fn pipe(place: &Place) {
    let path = place.directory.path().join("pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

#[test]
fn i05_a_named_pipe_without_a_writer_stops_neither_the_time_nor_a_signal() {
    let place = Place::new();
    pipe(&place);
    place.file("c.toml", &listener("all", "[\"@noop\"]", ""));
    let said = place.run(&["run", "c.toml", "--events", "pipe", "--for", "100ms"]);
    assert_eq!(said.code, Some(0), "{}", said.err);

    let job = "[[job]]\napp = \"a\"\nname = \"j\"\nafter = \"1ms\"\nrun = [\"sh\", \"-c\", \"echo > begun\"]\n";
    place.file("c.toml", job);
    let child = place.start(&["run", "c.toml", "--events", "pipe"]);
    wait_for(&place.directory.path().join("begun"));
    tell(&child, Signal::TERM);
    let said = ended(child);
    assert_eq!(said.code, Some(0), "{}", said.err);
}

#[test]
fn i05_a_named_pipe_is_read_once_somebody_writes_to_it() {
    let place = Place::new();
    pipe(&place);
    place.file("c.toml", &listener("all", "[\"@noop\"]", ""));
    let child = place.start(&["run", "c.toml", "--events", "pipe"]);
    fs::write(place.directory.path().join("pipe"), "{\"topic\":\"t\"}\n").unwrap();
    let said = ended(child);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("1 events, 0 bad lines"), "{}", said.err);
}

/// A program that says who it is and would live for long.
const LONG: &str = "[[job]]\napp = \"a\"\nname = \"long\"\nafter = \"1ms\"\n\
                    run = [\"sh\", \"-c\", \"echo $$ > pid; exec sleep 300\"]\n";

/// A signal that this process was started to ignore, as `nohup` does it, its children ignore as well.
fn can_hang_up() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let ignored = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap());
    let can = ignored & 1 == 0;
    if !can {
        let why = "SIGHUP is ignored here: run the tests without `nohup`";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("SKIPPED: {why}");
    }
    can
}

#[test]
fn i05_a_hang_up_stops_in_order_and_leaves_no_program_behind() {
    if !can_hang_up() {
        return;
    }
    let place = Place::new();
    place.file(
        "c.toml",
        &format!("[run]\nshutdown_timeout = \"1s\"\n{LONG}"),
    );
    let child = place.start(&["run", "c.toml"]);
    let pid = place.directory.path().join("pid");
    wait_for(&pid);
    tell(&child, Signal::HUP);
    let said = ended(child);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let sessions = "SELECT status FROM sessions";
    assert_eq!(place.text("telemetry.db", sessions), "success");
    let id = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    assert!(
        test_kill_process(pid_of(id)).is_err(),
        "its program lives on"
    );
}

#[test]
fn i05_a_hang_up_that_was_ignored_from_the_start_is_ignored() {
    let place = Place::new();
    place.file("c.toml", LONG);
    let script = "trap '' HUP; exec \"$0\" run c.toml --for 1500ms";
    let mut shell = Command::new("sh");
    let shell = shell
        .args(["-c", script, env!("CARGO_BIN_EXE_executor")])
        .current_dir(place.directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let begun = Instant::now();
    let child = shell.spawn().unwrap();
    wait_for(&place.directory.path().join("pid"));
    tell(&child, Signal::HUP);
    let said = ended(child);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        begun.elapsed() >= Duration::from_millis(1500),
        "it was stopped"
    );
    assert!(!said.err.contains("stopping"), "{}", said.err);
}

#[test]
fn i05_a_full_or_closed_standard_error_changes_nothing() {
    let place = Place::new();
    place.file("c.toml", &listener("all", "[\"@panic\"]", ""));
    place.file("e.ndjson", "bad\n{\"topic\":\"t\"}\nbad\n");
    let run = [
        "run",
        "c.toml",
        "--events",
        "e.ndjson",
        "--json",
        "--verbose",
    ];
    let ended = |stderr: Stdio| {
        let said: Said = place.program(&run).stderr(stderr).output().unwrap().into();
        assert_eq!(said.code, Some(0));
        assert!(said.out.contains("\"panicked\": 1"), "{}", said.out);
    };
    ended(File::create("/dev/full").unwrap().into());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    ended(writer.into());
    // A mistake has its exit code all the same.
    let full = File::create("/dev/full").unwrap();
    let code = place.program(&["run", "none.toml"]).stderr(full).status();
    assert_eq!(code.unwrap().code(), Some(3));
}

#[test]
fn i05_where_the_end_of_children_is_ignored_programs_still_tell_theirs() {
    let place = Place::new();
    place.file(
        "c.toml",
        &listener("all", "[\"sh\", \"-c\", \"exit 3\"]", ""),
    );
    place.file("e.ndjson", "{\"topic\":\"t\"}\n");
    let ignoring = |arguments: &[&str]| {
        let mut env = Command::new("env");
        let env = env.arg("--ignore-signal=CHLD").args(arguments);
        let output = env.current_dir(place.directory.path()).output();
        Said::from(output.unwrap())
    };
    let can = ignoring(&["grep", "SigIgn:.*1....$", "/proc/self/status"]);
    if can.code != Some(0) {
        assert!(std::env::var_os("CI").is_none(), "{can:?}");
        eprintln!("SKIPPED: `env` cannot ignore a signal here");
        return;
    }
    let program = env!("CARGO_BIN_EXE_executor");
    let said = ignoring(&[program, "run", "c.toml", "--events", "e.ndjson"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let row = "SELECT error_type FROM executions_v";
    assert_eq!(place.text("telemetry.db", row), "exit status 3");
}

#[test]
fn i05_what_the_spool_keeps_is_not_waited_for_without_an_end() {
    let place = Place::new();
    let config = "[service]\nstartup_timeout = \"500ms\"\n";
    place.file(
        "c.toml",
        &format!("{config}{}", listener("all", "[\"@noop\"]", "")),
    );
    let mut program = place.program(&["run", "c.toml", "--events", "-"]);
    let program = program
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let path = place.directory.path().join("telemetry.db");
    let outside = until("the listener has a row", || {
        let outside = path
            .exists()
            .then(|| rusqlite::Connection::open(&path).unwrap())?;
        let count = outside.query_row("SELECT count(*) FROM listeners", [], |row| row.get(0));
        count.is_ok_and(|count: i64| count > 0).then_some(outside)
    });
    outside.busy_timeout(Duration::from_secs(10)).unwrap();
    outside.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"{\"topic\":\"t\"}\n").unwrap();
    drop(input);
    let said = ended(child);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.err
            .contains("records stay in the spool for the next start records=1"),
        "{}",
        said.err
    );
    drop(outside);
    place.file("e.ndjson", "");
    place.run(&["run", "c.toml", "--events", "e.ndjson"]);
    assert_eq!(
        place.number("telemetry.db", "SELECT count(*) FROM executions"),
        1
    );
}

/// A pipe that holds as much as it can; nobody reads it.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'x'; 1]).is_ok() {}
    fcntl_setfl(&writer, OFlags::empty()).unwrap();
    (reader, writer)
}

#[test]
fn i05_a_pipe_as_standard_error_that_nobody_reads_changes_nothing() {
    let place = Place::new();
    place.file("c.toml", &listener("all", "[\"@panic\"]", ""));
    let events = "bad\n{\"topic\":\"t\"}\n".repeat(5_000);
    place.file("e.ndjson", &events);
    let (reader, writer) = full_pipe();
    let mut program = place.program(&["run", "c.toml", "--events", "e.ndjson", "--verbose"]);
    let program = program.stdout(Stdio::piped()).stderr(writer);
    let said = ended(program.spawn().unwrap());
    assert_eq!(said.code, Some(0));
    drop(reader);
    let stored = "SELECT count(*) FROM executions";
    assert_eq!(place.number("telemetry.db", stored), 5_000);
}

#[test]
fn i05_a_table_that_nobody_reads_holds_up_no_signal() {
    let place = Place::new();
    place.file("c.toml", &listener("all", "[\"@noop\"]", ""));
    place.file("e.ndjson", "{\"topic\":\"t\"}\n");
    let (_reader, writer) = full_pipe();
    let mut program = place.program(&["run", "c.toml", "--events", "e.ndjson"]);
    let program = program.stdout(writer).stderr(Stdio::piped());
    let child = program.spawn().unwrap();
    let database = place.directory.path().join("telemetry.db");
    until("the session is closed", || {
        let outside = rusqlite::Connection::open(&database).ok()?;
        let closed = "SELECT count(*) FROM sessions WHERE status = 'success'";
        outside
            .query_row(closed, [], |row| row.get::<_, i64>(0))
            .ok()
            .filter(|closed| *closed == 1)
    });
    tell(&child, Signal::TERM);
    let said = ended(child);
    assert_eq!(said.code, Some(130), "{}", said.err);
}

#[test]
fn i02_where_the_system_has_nothing_left_to_start_with_it_is_one_line() {
    let place = Place::new();
    place.file("c.toml", &listener("all", "[\"@noop\"]", ""));
    for descriptors in 4..9 {
        let script = format!("ulimit -n {descriptors}; exec \"$0\" run c.toml --for 1s");
        let mut shell = Command::new("sh");
        let shell = shell.args(["-c", &script, env!("CARGO_BIN_EXE_executor")]);
        let output = shell.current_dir(place.directory.path()).output();
        let said: Said = output.unwrap().into();
        assert_eq!(said.code, Some(1), "{descriptors}: {}", said.err);
        let is_a_line = said.err.starts_with("executor: cannot start the runtime: ")
            && said.err.lines().count() == 1;
        assert!(is_a_line, "{descriptors}: {}", said.err);
    }
}

/// Makes whoever loads it the parent of its orphans, as the first process of a container is.
const ADOPTS: &str = "#include <sys/prctl.h>\n\
                      __attribute__((constructor)) static void adopt(void) { prctl(PR_SET_CHILD_SUBREAPER, 1); }\n";

fn adopting() -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, library) = (directory.join("adopts.c"), directory.join("adopts.so"));
    fs::write(&source, ADOPTS).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(source);
    let is_built = cfg!(target_os = "linux") && cc.status().is_ok_and(|status| status.success());
    if !is_built {
        assert!(
            std::env::var_os("CI").is_none(),
            "the library could not be built"
        );
        eprintln!("SKIPPED: no Linux, or no C compiler that builds a library");
    }
    is_built.then_some(library)
}

fn zombies_of(parent: u32) -> usize {
    let processes = fs::read_dir("/proc").unwrap();
    let stats =
        processes.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    let of_parent = format!(") Z {parent} ");
    stats.filter(|stat| stat.contains(&of_parent)).count()
}

#[test]
fn i05_what_it_adopts_is_waited_for() {
    let Some(library) = adopting() else { return };
    let place = Place::new();
    let job = "[[job]]\napp = \"a\"\nname = \"forks\"\nevery = \"100ms\"\n\
               run = [\"sh\", \"-c\", \"(sleep 0.1; echo >> ended) & exit 0\"]\n";
    place.file("c.toml", job);
    let mut program = place.program(&["run", "c.toml", "--for", "60s", "--json"]);
    let program = program
        .env("LD_PRELOAD", library)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = program.spawn().unwrap();
    let ended_file = place.directory.path().join("ended");
    until("ten have ended", || (size(&ended_file) >= 10).then_some(()));
    let mut zombies = Vec::new();
    for _ in 0..20 {
        zombies.push(zombies_of(child.id()));
        thread::sleep(Duration::from_millis(20));
    }
    tell(&child, Signal::TERM);
    let said = ended(child);
    // One may just have ended; ten must not be left.
    assert!(zombies.iter().all(|count| *count < 4), "{zombies:?}");
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let runs = &report[0]["by_status"];
    assert!(
        runs["success"].as_u64() >= Some(10),
        "none of its own was stolen: {report}"
    );
    assert_eq!(runs["error"], 0, "none of its own was stolen: {report}");
}

/// The program, where no file may be larger than so many KiB.
fn limited(place: &Place, kib: u32, arguments: &str) -> Said {
    // A unit of this command is 512 bytes.
    let script = format!("ulimit -f {}; exec \"$0\" {arguments}", kib * 2);
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", &script, env!("CARGO_BIN_EXE_executor")]);
    let output = shell.current_dir(place.directory.path()).output();
    output.unwrap().into()
}

#[test]
fn e05_a_limit_on_the_size_of_files_is_an_error_and_no_end() {
    let place = Place::new();
    let job = "[[job]]\napp = \"a\"\nname = \"large\"\nafter = \"1ms\"\n\
               run = [\"dd\", \"if=/dev/zero\", \"of=large\", \"bs=1M\", \"count=20\"]\n";
    place.file("c.toml", job);
    // Too little for the schema.
    let said = limited(&place, 40, "run c.toml --for 1s");
    assert_eq!(said.code, Some(4), "{}", said.err);
    // Too little for the spool and for the program, which gets the signal as ever.
    for database in ["house.db", ":memory:"] {
        let said = limited(
            &place,
            4_096,
            &format!("run c.toml --for 1s --json --db {database}"),
        );
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
    let row = "SELECT status || ' ' || error_type FROM executions_v";
    assert_eq!(place.text("house.db", row), "error signal 25");
}
