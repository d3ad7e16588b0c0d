//! A database that goes when the test does.

use std::path::PathBuf;

use telemetry_store::{OpenError, SqliteReader, SqliteStore};
use tempfile::TempDir;

/// A directory of its own with the place for a database in it; removed when it is dropped.
pub struct TempDatabase {
    directory: TempDir,
}

impl TempDatabase {
    /// A new directory. The database is made when it is first opened.
    ///
    /// # Panics
    ///
    /// The system has no room for a temporary directory.
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// Where the database is, or will be.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("telemetry.db")
    }

    /// The same as text.
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

    /// A reader of the database.
    ///
    /// # Panics
    ///
    /// Never: the path is known to be one.
    pub fn reader(&self) -> SqliteReader {
        SqliteReader::new(&self.url()).expect("a path names a database")
    }
}

impl Default for TempDatabase {
    fn default() -> Self {
        Self::new()
    }
}
