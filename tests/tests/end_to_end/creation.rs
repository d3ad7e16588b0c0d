//! Clause D5: a kill, or a failing call, at any instant of creation leaves a path that the next start opens. Every
//! call that changes something in the file system is tried, through a library that is loaded in front of C's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use executor_testkit::TempDatabase;

use crate::support::{env_or, number};

const OPENER: &str = env!("CARGO_BIN_EXE_opener");

/// The library, built once; `None`, said aloud, without a C compiler.
fn shim() -> Option<&'static Path> {
    static SHIM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("shim/file_calls.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("file_calls.so");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source);
        let built = cc.status().is_ok_and(|status| status.success());
        if !built {
            assert!(
                std::env::var_os("CI").is_none(),
                "the library could not be built"
            );
            eprintln!("SKIPPED: no C compiler that builds a library to be loaded in front of C's");
        }
        built.then_some(library)
    };
    SHIM.get_or_init(build).as_deref()
}

/// Opens the database, or starts a service on it.
fn opener(database: &Path, what: &str) -> Command {
    let mut opener = Command::new(OPENER);
    opener
        .arg(database)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if what == "service" {
        opener.arg("service");
    }
    opener
}

/// Has every call of a creation end in one way, from `first` in steps of `step`. Returns how many there were.
fn every_call(shim: &Path, what: &str, ends: &str, first: usize, step: usize) -> usize {
    for (tries, call) in (first..).step_by(step).enumerate() {
        let database = TempDatabase::absent();
        let reached = database.path().with_extension("reached");
        let mut victim = opener(&database.path(), what);
        victim
            .env("LD_PRELOAD", shim)
            .env("FILE_CALL", call.to_string());
        victim
            .env("FILE_CALL_ENDS", ends)
            .env("FILE_CALL_LOG", &reached);
        let _ = victim.status().unwrap();
        if !reached.exists() {
            return tries;
        }
        let next = opener(&database.path(), what).status().unwrap();
        assert!(
            next.success(),
            "{what}: after call {call} ended in {ends} the next start fails"
        );
        let whose = "SELECT application_id FROM pragma_application_id";
        assert_eq!(number(&database.path(), whose), 0x6378_7263);
        let sound = "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'";
        assert_eq!(number(&database.path(), sound), 1);
    }
    unreachable!("creations end")
}

#[test]
fn d05_whatever_call_of_a_creation_fails_or_kills_the_next_start_opens_the_path() {
    let Some(shim) = shim() else { return };
    // All of them where it is asked for; the others another time.
    let step = env_or("CALL_STEP", 9);
    let first = 1 + fastrand::usize(..step);
    for what in ["store", "service"] {
        for ends in ["fail", "kill"] {
            let tries = every_call(shim, what, ends, first, step);
            eprintln!("{what}, {ends}: {tries} calls, from the {first}. in steps of {step}");
            assert!(tries * step > 20, "a creation makes more calls than that");
        }
    }
}

#[test]
fn d05_killed_at_any_moment_of_a_creation_the_next_start_opens_the_path() {
    let database = TempDatabase::absent();
    let begun = std::time::Instant::now();
    assert!(
        opener(&database.path(), "service")
            .status()
            .unwrap()
            .success()
    );
    let takes = begun.elapsed();
    for _ in 0..env_or("CREATIONS", 20) {
        let database = TempDatabase::absent();
        let mut victim = opener(&database.path(), "service").spawn().unwrap();
        std::thread::sleep(takes.mul_f64(fastrand::f64()));
        victim.kill().unwrap();
        victim.wait().unwrap();
        assert!(
            opener(&database.path(), "service")
                .status()
                .unwrap()
                .success()
        );
    }
}
