//! Clause D5: who may read and write what is made, and what is done where somebody may not.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::support::{Place, Said, ended, listener, until};

#[test]
fn d05_files_are_their_owners_unless_the_configuration_says_otherwise() {
    for (store, expected) in [("", 0o600), ("[store]\nfile_mode = 0o640\n", 0o640)] {
        let place = Place::new();
        place.file(
            "c.toml",
            &format!("{store}{}", listener("all", "[\"@noop\"]", "")),
        );
        place.file("e.ndjson", "{\"topic\":\"t\"}\n");
        let said = place.run(&["run", "c.toml", "--events", "e.ndjson"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let made = fs::metadata(place.directory.path().join("telemetry.db")).unwrap();
        assert_eq!(made.permissions().mode() & 0o777, expected);
    }
    let place = Place::new();
    place.file(
        "c.toml",
        &format!(
            "[store]\nfile_mode = 640\n{}",
            listener("all", "[\"@noop\"]", "")
        ),
    );
    let said = place.run(&["run", "c.toml"]);
    assert_eq!(said.code, Some(3));
    assert!(
        said.err.contains("c.toml:2:13: ") && said.err.contains("like 0o640"),
        "{}",
        said.err
    );
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn d05_a_group_that_may_read_may_search_whatever_the_mask() {
    let place = Place::new();
    // What is made in it has its group, and keeps it.
    set_mode(place.directory.path(), 0o2750);
    let config = "[store]\nfile_mode = 0o640\n";
    place.file(
        "c.toml",
        &format!("{config}{}", listener("all", "[\"@noop\"]", "")),
    );
    let script = "umask 077; exec \"$0\" run c.toml --for 60s";
    let mut shell = Command::new("sh");
    let shell = shell
        .args(["-c", script, env!("CARGO_BIN_EXE_executor")])
        .current_dir(place.directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let child = shell.spawn().unwrap();
    let [spools, sessions] = ["telemetry.db.spool", "telemetry.db.sessions"]
        .map(|name| place.directory.path().join(name));
    let spool = until("there is a spool and a session", || {
        fs::read_dir(&sessions).ok()?.next()?.ok()?;
        let mut entries = fs::read_dir(&spools).ok()?.flatten();
        entries.find(|entry| {
            entry.path().is_dir() && !entry.file_name().as_encoded_bytes().starts_with(b".")
        })
    });
    for directory in [&spools, &spool.path(), &sessions] {
        assert_eq!(mode_of(directory), 0o2750, "{}", directory.display());
    }
    let files = until("the spool has its files", || {
        let files = fs::read_dir(spool.path()).ok()?.flatten();
        let files: Vec<_> = files.map(|it| it.path()).collect();
        let page = spool.path().with_extension("page");
        (files.len() >= 2 && page.exists()).then(|| [files, vec![page]].concat())
    });
    for file in files.iter().filter(|file| file.is_file()) {
        assert_eq!(mode_of(file), 0o640, "{}", file.display());
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    // It may not even have started.
    let said = ended(child);
    assert!(matches!(said.code, Some(0 | 130)), "{}", said.err);
}

/// The program as somebody whom permissions hold back.
struct Somebody {
    place: Place,
    program: PathBuf,
}

/// Nobody's ids.
const NOBODY: u32 = 65_534;

impl Somebody {
    fn new() -> Self {
        let place = Place::new();
        let program = place.directory.path().join("executor");
        let original = env!("CARGO_BIN_EXE_executor");
        fs::hard_link(original, &program)
            .or_else(|_| fs::copy(original, &program).map(drop))
            .unwrap();
        if geteuid().is_root() {
            chown(place.directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        place.file("c.toml", &listener("all", "[\"@noop\"]", ""));
        place.file("e.ndjson", "{\"topic\":\"t\"}\n");
        for name in ["c.toml", "e.ndjson"] {
            set_mode(&place.directory.path().join(name), 0o644);
        }
        Self { place, program }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let command_ = command
            .args(arguments)
            .current_dir(self.place.directory.path());
        if geteuid().is_root() {
            command_.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.directory.path().join(name)
    }
}

const RUN: [&str; 6] = ["run", "c.toml", "--events", "e.ndjson", "--db", "x.db"];

#[test]
fn d05_a_file_that_may_not_be_written_is_named_with_its_owner() {
    let somebody = Somebody::new();
    let said = somebody.run(&RUN);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let left = somebody.path("x.db-shm");
    fs::write(&left, "").unwrap();
    set_mode(&left, 0o400);
    let said = somebody.run(&RUN);
    assert_eq!(said.code, Some(4), "{}", said.err);
    for part in [
        "x.db-shm` belongs to user ",
        " with mode 400",
        "may be removed",
    ] {
        assert!(said.err.contains(part), "{} lacks {part}", said.err);
    }
    fs::remove_file(left).unwrap();
    assert_eq!(somebody.run(&RUN).code, Some(0));
}

#[test]
fn d05_who_may_only_read_reads_and_leaves_no_files_behind() {
    let somebody = Somebody::new();
    let said = somebody.run(&RUN);
    assert_eq!(said.code, Some(0), "{}", said.err);
    set_mode(&somebody.path("x.db"), 0o440);
    let report = ["report", "--db", "x.db", "--json"];
    let said = somebody.run(&report);
    assert!(said.out.contains("\"runs\": 1"), "{said:?}");
    assert!(!somebody.path("x.db-shm").exists() && !somebody.path("x.db-wal").exists());

    // While it is written to.
    set_mode(&somebody.path("x.db"), 0o600);
    let mut running = somebody.command(&[
        "run", "c.toml", "--events", "e.ndjson", "--db", "x.db", "--for", "60s",
    ]);
    let child = running
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("its record is stored", || {
        let rows = somebody.run(&report);
        rows.out.contains("\"runs\": 2").then_some(())
    });
    set_mode(&somebody.path("x.db"), 0o440);
    let said = somebody.run(&report);
    assert!(said.out.contains("\"runs\": 2"), "{said:?}");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(ended(child).code, Some(0));
}

#[test]
fn d05_what_is_in_the_way_of_the_sessions_is_named_at_once() {
    let place = Place::new();
    place.file("c.toml", &listener("all", "[\"@noop\"]", ""));
    place.file("x.db.sessions", "not a directory");
    let said = place.run(&["run", "c.toml", "--for", "1ms", "--db", "x.db"]);
    assert_eq!(said.code, Some(4), "{}", said.err);
    assert!(said.err.contains("x.db.sessions`: "), "{}", said.err);
}

#[test]
fn g03_spools_that_cannot_be_read_keep_nobody_from_the_history() {
    let somebody = Somebody::new();
    let mut running = somebody.command(&[
        "run", "c.toml", "--events", "e.ndjson", "--db", "x.db", "--for", "60s",
    ]);
    let child = running
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("its record is stored", || {
        let rows = somebody.run(&["report", "--db", "x.db", "--json"]);
        rows.out.contains("\"runs\": 1").then_some(())
    });
    set_mode(&somebody.path("x.db.spool"), 0o000);
    for (verb, code) in [("status", 0), ("timeline", 0), ("ls", 0), ("audit", 8)] {
        let said = somebody.run(&[verb, "--db", "x.db"]);
        assert_eq!(said.code, Some(code), "{verb}: {} {}", said.out, said.err);
        let is_told = said.err.contains("x.db.spool` cannot be read (");
        assert_eq!(is_told, verb != "ls", "{verb}: {}", said.err);
    }
    set_mode(&somebody.path("x.db.spool"), 0o700);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(ended(child).code, Some(0));
}

#[test]
fn d05_a_database_that_may_not_be_read_is_said_to_be_one() {
    let somebody = Somebody::new();
    let said = somebody.run(&["run", "c.toml", "--events", "e.ndjson"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let database = somebody.place.directory.path().join("telemetry.db");
    set_mode(&database, 0o000);
    for verb in ["status", "ls", "report"] {
        let said = somebody.run(&[verb, "--db", "telemetry.db"]);
        assert_eq!(said.code, Some(4), "{verb}: {}", said.err);
        let is_told = said
            .err
            .contains("cannot open `telemetry.db`: Permission denied");
        assert!(is_told, "{verb}: {}", said.err);
    }
}
