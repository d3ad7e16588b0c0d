//! A database that is removed when the test ends.

use std::path::PathBuf;
use std::sync::OnceLock;

use executor_core::ExecutionRecord;
use executor_core::ports::{Filter, History, HistoryError, Order, PageRequest};
use telemetry_store::migrate::Migrator;
use telemetry_store::{OpenError, SqliteHistory, SqliteStore};
use tempfile::TempDir;

/// A database in its own directory, which is removed when this value is dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use executor_testkit::{TempDatabase, assert_recorded};
///
/// let database = TempDatabase::new();
/// let store = database.open().await.unwrap(); // and something that records into it
/// # drop(store);
/// assert_recorded!(database.records().await.unwrap(), "hall" => []);
/// # }
/// ```
pub struct TempDatabase {
    directory: TempDir,
}

impl TempDatabase {
    /// Creates a directory with an empty database, copied from one that was migrated once for all of them.
    ///
    /// # Panics
    ///
    /// The system has no room for a temporary directory.
    pub fn new() -> Self {
        let database = Self::absent();
        std::fs::write(database.path(), template()).expect("room for a temporary database");
        database
    }

    /// Creates a directory. The first [`open`](Self::open) creates the database.
    ///
    /// # Panics
    ///
    /// The system has no room for a temporary directory.
    pub fn absent() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// Returns the path of the database, which may not exist yet.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("telemetry.db")
    }

    /// Returns the path as text.
    ///
    /// # Panics
    ///
    /// The system's temporary directory has a name that is not UTF-8.
    pub fn url(&self) -> String {
        let path = self.path();
        path.to_str().expect("a UTF-8 path").to_owned()
    }

    /// Opens the database, creating it the first time.
    ///
    /// # Errors
    ///
    /// Those of [`SqliteStore::open`].
    ///
    /// # Cancel safety
    ///
    /// That of [`SqliteStore::open`].
    pub async fn open(&self) -> Result<SqliteStore, OpenError> {
        SqliteStore::open(&self.url()).await
    }

    /// Returns the history in the database.
    ///
    /// # Panics
    ///
    /// Never: the path is always valid.
    pub fn history(&self) -> SqliteHistory {
        SqliteHistory::new(&self.url()).expect("a path names a database")
    }

    /// Returns all stored executions, in the order in which they ended.
    ///
    /// # Errors
    ///
    /// Those of [`History::executions`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the query.
    pub async fn records(&self) -> Result<Vec<ExecutionRecord>, HistoryError> {
        let history = self.history();
        let mut page = PageRequest {
            order: Order::OldestFirst,
            ..PageRequest::first(1_000)
        };
        let mut records = Vec::new();
        loop {
            let found = history.executions(Filter::default(), page.clone()).await?;
            records.extend(found.items.into_iter().map(|stored| stored.record));
            let Some(next) = found.next else {
                return Ok(records);
            };
            page = page.following(next);
        }
    }
}

/// Returns the bytes of a migrated database that is otherwise empty.
fn template() -> &'static [u8] {
    static TEMPLATE: OnceLock<Vec<u8>> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let database = TempDatabase::absent();
        let mut migrator = Migrator::open(&database.url()).expect("a new database");
        migrator.up().expect("the migrations apply");
        // Closing writes everything back into the file.
        drop(migrator);
        std::fs::read(database.path()).expect("the database that was just made")
    })
}

impl Default for TempDatabase {
    fn default() -> Self {
        Self::new()
    }
}
