//! A database of its own for each test, and a look at it from outside.

use std::path::PathBuf;
use std::sync::Arc;

use executor_core::ports::{Batch, Fate, RecordStore, Session};
use executor_core::{ExecutionRecord, StoreError};
use rusqlite::Connection;
use telemetry_store::{SqliteReader, SqliteStore};
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

    pub(crate) fn url(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub(crate) async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.url()).await.unwrap()
    }

    pub(crate) fn reader(&self) -> SqliteReader {
        SqliteReader::new(self.url()).unwrap()
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
