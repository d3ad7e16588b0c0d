//! A directory of its own for each test, and the program in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Nothing here takes as long: what is waited for in vain fails, rather than hang.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Place {
    pub(crate) directory: TempDir,
}

/// What the program said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_executor"));
        program
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        // As if nobody had set anything.
        for name in ["RUST_LOG", "EXECUTOR_PAGER", "PAGER", "LESS"] {
            program.env_remove(name);
        }
        program
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        ended(self.start(arguments))
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut program = self.program(arguments);
        program
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub(crate) fn number(&self, database: &str, query: &str) -> i64 {
        self.ask(database, query)
    }

    pub(crate) fn text(&self, database: &str, query: &str) -> String {
        self.ask(database, query)
    }

    fn ask<T: rusqlite::types::FromSql>(&self, database: &str, query: &str) -> T {
        let path = self.directory.path().join(database);
        let outside = rusqlite::Connection::open(path).unwrap();
        outside.query_row(query, [], |row| row.get(0)).unwrap()
    }
}

/// How the program ended. One that does not is killed, and has no exit code.
pub(crate) fn ended(child: Child) -> Said {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let (is_over, over) = mpsc::channel::<()>();
    let watching = thread::spawn(move || {
        if over.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            kill_process(pid, Signal::KILL).unwrap();
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(is_over);
    watching.join().unwrap();
    output.into()
}

/// Asks until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A file of the repository's `examples`.
pub(crate) fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name);
    path.to_str().unwrap().to_owned()
}

/// A listener to everything.
pub(crate) fn listener(name: &str, run: &str, more: &str) -> String {
    format!("[[listener]]\napp = \"a\"\nname = \"{name}\"\ntopic = \"#\"\nrun = {run}\n{more}\n")
}
