//! The suite that every store must pass, on SQLite: in a file and in memory.

use std::sync::atomic::{AtomicU32, Ordering};

use executor_testkit::conformance;
use telemetry_store::{SqliteHistory, SqliteStore};

#[tokio::test]
async fn a_database_file_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let made = AtomicU32::new(0);
    conformance::all(async || {
        let name = format!("{}.db", made.fetch_add(1, Ordering::Relaxed));
        let path = directory.path().join(name);
        SqliteStore::open(path.to_str().unwrap()).await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn a_database_in_memory_conforms() {
    conformance::all(async || SqliteStore::open(":memory:").await.unwrap()).await;
}

#[tokio::test]
async fn g01_what_a_database_was_given_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let made = AtomicU32::new(0);
    conformance::reading(async || {
        let name = format!("{}.db", made.fetch_add(1, Ordering::Relaxed));
        let path = directory.path().join(name);
        let url = path.to_str().unwrap();
        let store = SqliteStore::open(url).await.unwrap();
        (store, SqliteHistory::new(url).unwrap())
    })
    .await;
}
