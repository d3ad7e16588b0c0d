//! A database of its own for each test, and a look at it from outside.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use executor_core::ports::{
    Batch, Fate, HistoryError, Housekeeping, PruneRule, PruneSlice, RecordStore, Session,
};
use executor_core::{ExecutionRecord, StoreError, Timestamp};
use rusqlite::Connection;
use telemetry_store::{SqliteHistory, SqliteStore};
use tempfile::TempDir;

pub(crate) struct Database {
    pub(crate) directory: TempDir,
    pub(crate) path: PathBuf,
}

impl Database {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("telemetry.db");
        Self { directory, path }
    }

    /// With the tables in it, copied from one that was migrated once.
    pub(crate) fn migrated() -> Self {
        let database = Self::new();
        std::fs::write(&database.path, template()).unwrap();
        database
    }

    pub(crate) fn url(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// Opens it, and waits until what an earlier store left is rolled up: nobody knows what that meets
    /// of what a test does next.
    pub(crate) async fn open(&self) -> SqliteStore {
        let store = SqliteStore::open(self.url()).await.unwrap();
        let nothing = PruneSlice::new(PruneRule::EndedBefore(Timestamp::from_micros(0)), 1);
        // Comes after it, whatever comes of it.
        let _ = store.prune(nothing).await;
        store
    }

    pub(crate) fn history(&self) -> SqliteHistory {
        SqliteHistory::new(self.url()).unwrap()
    }

    /// A connection that knows nothing of this project.
    pub(crate) fn outside(&self) -> Connection {
        let connection = Connection::open(&self.path).unwrap();
        connection
            .pragma_update(None, "foreign_keys", true)
            .unwrap();
        connection
    }

    pub(crate) fn number(&self, query: &str) -> i64 {
        self.outside()
            .query_row(query, [], |row| row.get(0))
            .unwrap()
    }

    pub(crate) fn text(&self, query: &str) -> String {
        self.outside()
            .query_row(query, [], |row| row.get(0))
            .unwrap()
    }
}

pub(crate) async fn persist(
    store: &SqliteStore,
    session: &Arc<Session>,
    records: Vec<ExecutionRecord>,
) -> Result<Vec<Fate>, StoreError> {
    let session = Arc::clone(session);
    store.persist(Arc::new(Batch { session, records })).await
}

/// The bytes of a database that was just migrated.
pub(crate) fn template() -> &'static [u8] {
    static TEMPLATE: OnceLock<Vec<u8>> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let database = Database::new();
        let mut migrator = telemetry_store::migrate::Migrator::open(database.url()).unwrap();
        migrator.up().unwrap();
        drop(migrator);
        std::fs::read(&database.path).unwrap()
    })
}

/// A file system of its own, in memory and as small as asked for.
pub(crate) struct Tmpfs {
    directory: TempDir,
}

impl Tmpfs {
    /// `None`, said aloud, where mounting is not permitted.
    pub(crate) fn mount(megabytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mounted = run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(directory.path()));
        if !mounted {
            eprintln!("SKIPPED: mounting a tmpfs is not permitted here; run this test as root");
            return None;
        }
        Some(Self { directory })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn remount(&self, option: &str) {
        let option = format!("remount,{option}");
        // Refused while somebody has a file open for writing, such as the writer that is rolling up.
        let mut tries = 0;
        while !run(Command::new("mount").args(["-o", &option]).arg(self.path())) {
            tries += 1;
            assert!(tries < 100, "the file system stays busy");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Takes all the space that is left, until [`Self::empty`].
    pub(crate) fn fill(&self) {
        use std::io::Write;
        let mut filler = std::fs::File::create(self.path().join("filler")).unwrap();
        let block = vec![0; 4_096];
        while filler.write_all(&block).is_ok() {}
    }

    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a writer's thread may still be closing its files.
        run(Command::new("umount").arg("-l").arg(self.path()));
    }
}

/// Runs a command in a process of its own: files that it closes keep this process's locks.
pub(crate) fn run(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// What a history says of a question that it does not answer, below what was asked of it.
pub(crate) fn cause(error: &HistoryError) -> String {
    error.source.to_string()
}
