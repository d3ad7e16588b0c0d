//! What a killed process leaves, and a database that is damaged: `executor spool`, and exit codes 4 and 6.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, Said, ended, listener, until};

const EVENTS: usize = 200;

/// A program whose spool holds records that the database `house.db` does not take while the connection lives.
fn spooled(place: &Place) -> (Child, rusqlite::Connection) {
    place.file("c.toml", &listener("all", "[\"@noop\"]", ""));
    let mut program = place.program(&["run", "c.toml", "--events", "-", "--db", "house.db"]);
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let directory = place.directory.path();
    let is_registered = || {
        let outside = rusqlite::Connection::open(directory.join("house.db")).ok()?;
        outside.busy_timeout(Duration::from_secs(5)).ok()?;
        let count = "SELECT count(*) FROM listeners";
        let count: i64 = outside.query_row(count, [], |row| row.get(0)).ok()?;
        (count > 0).then_some(outside)
    };
    let exists = || directory.join("house.db").exists();
    let outside = until("the listener has a row", || exists().then(is_registered)?);
    outside.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut input = child.stdin.take().unwrap();
    (0..EVENTS).for_each(|id| writeln!(input, "{{\"topic\":\"t\",\"id\":{id}}}").unwrap());
    until("all are spooled", || {
        (frames(place) >= EVENTS).then_some(())
    });
    (child, outside)
}

/// Leaves a spool with records that the database `house.db` has not taken.
fn killed(place: &Place) {
    let (mut child, _outside) = spooled(place);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn frames(place: &Place) -> usize {
    let said = place.run(&["spool", "dump", "house.db.spool"]);
    said.out.matches("\"frame\":\"record\"").count()
}

fn rows(place: &Place) -> i64 {
    place.number("house.db", "SELECT count(*) FROM executions")
}

#[test]
fn e07_a_replay_goes_to_the_database_that_the_spool_lies_beside() {
    let place = Place::new();
    killed(&place);
    assert_eq!(rows(&place), 0);
    let said = place.run(&["spool", "replay", "house.db.spool"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(rows(&place), EVENTS as i64);
    assert!(!place.directory.path().join("telemetry.db").exists());
}

#[test]
fn e07_a_replay_makes_no_database_and_guesses_none() {
    let place = Place::new();
    killed(&place);
    let directory = place.directory.path();
    let said = place.run(&["spool", "replay", "house.db.spool", "--db", "other.db"]);
    assert_eq!(said.code, Some(4), "{}", said.err);
    assert!(
        said.err.contains("no database at `other.db`"),
        "{}",
        said.err
    );
    fs::rename(directory.join("house.db.spool"), directory.join("kept")).unwrap();
    let said = place.run(&["spool", "replay", "kept"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("name it with --db"), "{}", said.err);
    let said = place.run(&["spool", "replay", "kept", "--db", "house.db"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(rows(&place), EVENTS as i64);
}

#[test]
fn e04_what_is_missing_is_an_exit_code_of_6() {
    let place = Place::new();
    killed(&place);
    let fsck = ["spool", "fsck", "house.db.spool"];
    let said = place.run(&fsck);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.out.contains("\"missing\":0"), "{}", said.out);
    let spool = fs::read_dir(place.directory.path().join("house.db.spool")).unwrap();
    let spool = spool
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir())
        .unwrap();
    for segment in fs::read_dir(&spool).unwrap() {
        let segment = segment.unwrap().path();
        if segment
            .extension()
            .is_some_and(|extension| extension == "spool")
        {
            fs::remove_file(segment).unwrap();
        }
    }
    let said = place.run(&fsck);
    assert_eq!(said.code, Some(6), "{}{}", said.out, said.err);
    assert!(
        said.out.contains(&format!("\"missing\":{EVENTS}")),
        "{}",
        said.out
    );
    let said = place.run(&["spool", "replay", "house.db.spool"]);
    assert_eq!(said.code, Some(6), "{}{}", said.out, said.err);
}

/// The page beside the only spool.
fn page(place: &Place) -> PathBuf {
    let root = fs::read_dir(place.directory.path().join("house.db.spool")).unwrap();
    let mut paths = root.map(|entry| entry.unwrap().path());
    let page = paths.find(|path| path.extension().is_some_and(|it| it == "page"));
    page.unwrap()
}

#[test]
fn c08_damaged_counters_are_an_exit_code_of_6_and_cost_no_record() {
    let place = Place::new();
    killed(&place);
    let page = page(&place);
    let mut bytes = fs::read(&page).unwrap();
    bytes[3_072..].fill(0);
    fs::write(&page, bytes).unwrap();
    let said = place.run(&["spool", "fsck", "house.db.spool"]);
    assert_eq!(said.code, Some(6), "{}{}", said.out, said.err);
    assert!(said.out.contains("\"missing\":null"), "{}", said.out);
    let said = place.run(&["spool", "replay", "house.db.spool"]);
    assert_eq!(said.code, Some(6), "{}{}", said.out, said.err);
    assert!(said.out.contains("\"rebuilt\":1"), "{}", said.out);
    assert_eq!(rows(&place), EVENTS as i64);
    let ledger = "SELECT concat_ws('|', offered, recovered, stored, dropped_damaged) FROM sessions";
    let expected = format!("{EVENTS}|0|{EVENTS}|0");
    assert_eq!(place.text("house.db", ledger), expected);
}

#[test]
fn e04_a_damaged_file_is_an_exit_code_of_6_though_no_record_is_lost() {
    let place = Place::new();
    killed(&place);
    let spool = page(&place).with_extension("");
    let files = fs::read_dir(spool)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let segment = files
        .filter(|path| path.extension().is_some_and(|it| it == "spool"))
        .min();
    let segment = segment.unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    // Where nothing was written yet.
    let end = bytes.len();
    bytes[end - 100..].fill(0xA5);
    fs::write(segment, bytes).unwrap();
    let said = place.run(&["spool", "fsck", "house.db.spool"]);
    assert_eq!(said.code, Some(6), "{}{}", said.out, said.err);
    let said = place.run(&["spool", "replay", "house.db.spool"]);
    assert_eq!(said.code, Some(6), "{}{}", said.out, said.err);
    assert!(said.out.contains("\"damaged_files\":1"), "{}", said.out);
    assert_eq!(rows(&place), EVENTS as i64);
}

#[test]
fn e04_a_spool_that_was_deleted_is_said_to_be_and_an_exit_code_of_6() {
    let place = Place::new();
    killed(&place);
    let page = page(&place);
    fs::remove_dir_all(page.with_extension("")).unwrap();
    let said = place.run(&["spool", "fsck", "house.db.spool"]);
    assert_eq!(said.code, Some(6), "{}{}", said.out, said.err);
    let expected = format!("\"deleted\":true,\"missing\":{EVENTS}");
    assert!(
        said.out.replace(' ', "").contains(&expected),
        "{}",
        said.out
    );
    assert!(page.exists(), "a look changes nothing");
    let said = place.run(&["spool", "replay", "house.db.spool"]);
    assert_eq!(said.code, Some(6), "{}{}", said.out, said.err);
    assert!(
        said.out.contains(&format!("\"dropped\":{EVENTS}")),
        "{}",
        said.out
    );
    assert!(!page.exists());
}

#[test]
fn e04_a_spool_that_is_deleted_while_its_records_wait_is_an_exit_code_of_6() {
    let place = Place::new();
    let (child, _outside) = spooled(&place);
    fs::remove_dir_all(place.directory.path().join("house.db.spool")).unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let said = ended(child);
    assert_eq!(said.code, Some(6), "{}", said.err);
    let lost = format!("shutdown gave up records lost={EVENTS}\n");
    assert!(said.err.contains(&lost), "{}", said.err);
    assert!(!said.err.contains("stay in the spool"), "{}", said.err);
}

/// A spool like another one under an older name, whose page or lock is a pipe.
fn copy_with_a_pipe(spool: &Path, is_lock: bool) -> PathBuf {
    let number = u8::from(is_lock);
    let copy = spool.with_file_name(format!("00000000-0000-7000-8000-00000000000{number}"));
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(spool).unwrap().flatten() {
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let pipe = match is_lock {
        true => copy.join("lock"),
        false => copy.with_extension("page"),
    };
    if is_lock {
        fs::remove_file(&pipe).unwrap();
        fs::copy(spool.with_extension("page"), copy.with_extension("page")).unwrap();
    }
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    copy
}

#[test]
fn e04_a_spool_that_cannot_be_read_holds_up_no_other() {
    let place = Place::new();
    killed(&place);
    let spool = page(&place).with_extension("");
    let unreadable = [false, true].map(|is_lock| copy_with_a_pipe(&spool, is_lock));
    for (verb, of_whole) in [("fsck", "\"missing\":0"), ("replay", "\"stored\":200")] {
        let said = place.run(&["spool", verb, "house.db.spool"]);
        assert_eq!(said.code, Some(7), "{}{}", said.out, said.err);
        let out = said.out.replace(": ", ":");
        let is_told = said.out.contains("it is no file");
        assert!(out.contains(of_whole) && is_told, "{verb}: {}", said.out);
    }
    assert_eq!(rows(&place), EVENTS as i64);
    assert!(unreadable.iter().all(|it| it.exists()) && !spool.exists());
}

#[test]
fn i02_where_no_spool_is_that_is_said() {
    let place = Place::new();
    for verb in ["fsck", "dump", "replay"] {
        let said = place.run(&["spool", verb, "none.db.spool"]);
        let line = "executor: there is no spool at `none.db.spool`\n";
        assert_eq!((said.code, &*said.err, &*said.out), (Some(0), line, ""));
    }
}

/// Writes over everything but the first page.
fn damage(place: &Place, database: &str) {
    let path = place.directory.path().join(database);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4_096..].fill(0xA5);
    fs::write(path, bytes).unwrap();
}

#[test]
fn d05_a_damaged_database_ends_a_run_and_a_replay_with_the_remedy() {
    let place = Place::new();
    killed(&place);
    // Everything into the file itself.
    place.number("house.db", "PRAGMA wal_checkpoint(TRUNCATE)");
    damage(&place, "house.db");
    let config = format!(
        "[service]\nstartup_timeout = \"500ms\"\n{}",
        listener("all", "[\"@noop\"]", "")
    );
    place.file("c.toml", &config);
    place.file("e.ndjson", "{\"topic\":\"t\"}\n");
    let said = place.run(&["run", "c.toml", "--events", "e.ndjson", "--db", "house.db"]);
    check(&said);
    check(&place.run(&["spool", "replay", "house.db.spool"]));
    assert_eq!(frames(&place), EVENTS, "the records are where they were");
}

/// Only where records go: heartbeats are written all the while.
#[test]
fn d05_a_database_of_which_a_part_is_damaged_ends_a_run_too() {
    let place = Place::new();
    let job = "[[job]]\napp = \"a\"\nname = \"often\"\nevery = \"20ms\"\nrun = [\"@noop\"]\n";
    let config = |service| format!("[service]\n{service}\n{job}");
    place.file("c.toml", &config(""));
    let run = ["run", "c.toml", "--for", "100ms", "--db", "house.db"];
    assert_eq!(place.run(&run).code, Some(0));
    let root = "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_executions_1'";
    let root = usize::try_from(place.number("house.db", root)).unwrap();
    let path = place.directory.path().join("house.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[(root - 1) * 4_096..root * 4_096].fill(0);
    fs::write(&path, bytes).unwrap();
    let often = "startup_timeout = \"1s\"\nheartbeat_interval = \"50ms\"";
    place.file("c.toml", &config(often));
    check(&place.run(&["run", "c.toml", "--for", "15s", "--db", "house.db"]));
}

fn check(said: &Said) {
    assert_eq!(said.code, Some(4), "{}{}", said.out, said.err);
    assert!(
        said.err.contains("damaged") && said.err.contains("house.db"),
        "{}",
        said.err
    );
}

#[test]
fn c04_a_database_that_is_away_is_a_line_when_it_begins_and_a_line_when_it_ends() {
    let replaced = told_of(|path| {
        let aside = path.with_extension("aside");
        fs::rename(path, &aside).unwrap();
        fs::write(path, "these are my notes\n".repeat(500)).unwrap();
        thread::sleep(Duration::from_millis(1_500));
        fs::rename(&aside, path).unwrap();
    });
    assert!(
        replaced.contains("WARN") || replaced.contains("ERROR"),
        "{replaced}"
    );
    let locked = told_of(|path| {
        let outside = rusqlite::Connection::open(path).unwrap();
        outside.busy_timeout(Duration::from_secs(10)).unwrap();
        outside.execute_batch("BEGIN IMMEDIATE").unwrap();
        thread::sleep(Duration::from_millis(1_500));
        outside.execute_batch("COMMIT").unwrap();
    });
    let of = |what: &str| locked.lines().filter(|line| line.contains(what)).count();
    let (begun, ended) = (of("store failed;"), of("store recovered failures="));
    assert_eq!((begun, ended), (1, 1), "{locked}");
}

/// What a run says whose database is away for a while; it loses nothing.
fn told_of(trouble: impl FnOnce(&Path)) -> String {
    let place = Place::new();
    let job = "[[job]]\napp = \"a\"\nname = \"often\"\nevery = \"20ms\"\nrun = [\"@noop\"]\n";
    place.file("c.toml", job);
    let child = place.start(&["run", "c.toml", "--for", "4s", "--json"]);
    let directory = place.directory.path();
    let path = directory.join("telemetry.db");
    let has_rows = || {
        let outside = rusqlite::Connection::open(&path).ok()?;
        let rows = "SELECT count(*) FROM executions";
        outside.query_row(rows, [], |row| row.get::<_, i64>(0)).ok()
    };
    until("there are rows", || {
        (path.exists() && has_rows()? > 0).then_some(())
    });
    trouble(&path);
    let said = ended(child);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.lines().count() <= 8, "{}", said.err);
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let rows = "SELECT count(*) FROM executions";
    assert_eq!(
        report[0]["runs"].as_i64(),
        Some(place.number("telemetry.db", rows))
    );
    said.err
}
