//! A service on a database in a file, and other processes to disturb it.

use std::path::Path;
use std::process::Stdio;

use command_executor::{CommandExecutor, Config};
use executor_testkit::{LedgerGuard, TempDatabase};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A running service. Its ledger is checked when the test ends.
pub(crate) struct House {
    pub(crate) executor: CommandExecutor,
    pub(crate) database: TempDatabase,
    _guard: LedgerGuard,
}

impl House {
    pub(crate) async fn new(config: Config) -> Self {
        let database = TempDatabase::new();
        let store = database.open().await.unwrap();
        let executor = CommandExecutor::builder(store)
            .config(config)
            .start()
            .await
            .unwrap();
        let watched = executor.clone();
        Self {
            executor,
            database,
            _guard: LedgerGuard::new(move || watched.ledger()),
        }
    }

    /// A number that a query finds, asked by a connection that knows nothing of this project.
    pub(crate) fn number(&self, query: &str) -> i64 {
        number(&self.database.path(), query)
    }
}

pub(crate) fn number(path: &Path, query: &str) -> i64 {
    let outside = rusqlite::Connection::open(path).unwrap();
    outside.query_row(query, [], |row| row.get(0)).unwrap()
}

/// A helper process that has said its first line. Killed when it is dropped.
pub(crate) struct Helper {
    pub(crate) child: Child,
    pub(crate) said: String,
}

impl Helper {
    pub(crate) async fn start(program: &str, database: &Path) -> Self {
        let mut child = Command::new(program)
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = String::new();
        let output = child.stdout.as_mut().unwrap();
        BufReader::new(output).read_line(&mut said).await.unwrap();
        Self {
            child,
            said: said.trim().to_owned(),
        }
    }

    /// Lets it end by itself.
    pub(crate) async fn finish(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().await.unwrap().success());
    }
}

/// How many, as the environment asks for; otherwise so many.
pub(crate) fn env_or(name: &str, otherwise: usize) -> usize {
    let asked = std::env::var(name).ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(otherwise)
}
