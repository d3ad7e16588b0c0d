//! A directory of its own for each test, and the program in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

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
        program
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.program(arguments).output().unwrap().into()
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
