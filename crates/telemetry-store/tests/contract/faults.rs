//! Clause C4: what passes. Each fault is a real one, and whatever it hits is stored when it is over.

use executor_core::ports::{Fate, History, Window};
use executor_core::{ErrorClass, ExecutionRecord, StoreError};
use executor_testkit as kit;
use telemetry_store::SqliteStore;

use crate::support::{Database, Tmpfs, persist, template};

pub(crate) fn records(count: u64) -> Vec<ExecutionRecord> {
    let listener = kit::listener("hall");
    (0..count)
        .map(|at| kit::record(&listener, None, at))
        .collect()
}

/// The chain of an error in one line.
pub(crate) fn why(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Whether it passes, whether the store answered, and what it said.
#[track_caller]
pub(crate) fn passes(error: &StoreError, answered: bool, says: &str) {
    let text = why(error);
    assert_eq!(error.class, ErrorClass::Transient, "{text}");
    assert_eq!(error.answered, answered, "{text}");
    assert!(text.contains(says), "{text}");
}

const ROWS: &str = "SELECT count(*) FROM executions";

#[tokio::test]
async fn c04_a_lock_that_somebody_else_holds_passes_and_is_soon_answered() {
    let database = Database::migrated();
    let store = database.open().await;
    let outside = database.outside();
    outside.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (session, batch) = (kit::session(), records(100));
    let error = persist(&store, &session, batch.clone()).await.unwrap_err();
    passes(&error, true, "database is locked");
    outside.execute_batch("COMMIT").unwrap();
    let fates = persist(&store, &session, batch).await.unwrap();
    assert_eq!(fates, vec![Fate::Detached; 100]);
    assert_eq!(database.number(ROWS), 100);
}

#[tokio::test]
async fn c04_a_full_disk_passes_and_what_it_held_up_is_stored_when_there_is_room() {
    let Some(small) = Tmpfs::mount(3) else { return };
    let path = small.path().join("telemetry.db");
    std::fs::write(&path, template()).unwrap();
    let store = SqliteStore::open(path.to_str().unwrap()).await.unwrap();
    let session = kit::session();
    persist(&store, &session, records(10)).await.unwrap();
    small.fill();
    let batch = records(5_000);
    for _ in 0..3 {
        let error = persist(&store, &session, batch.clone()).await.unwrap_err();
        passes(&error, true, "database or disk is full");
    }
    small.empty();
    let fates = persist(&store, &session, batch).await.unwrap();
    assert_eq!(fates, vec![Fate::Detached; 5_000]);
    let rows = rusqlite::Connection::open(&path).unwrap();
    let rows: i64 = rows.query_row(ROWS, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 5_010);
}

#[tokio::test]
async fn c04_a_file_that_became_read_only_passes() {
    let Some(small) = Tmpfs::mount(4) else { return };
    let path = small.path().join("telemetry.db");
    let store = SqliteStore::open(path.to_str().unwrap()).await.unwrap();
    let session = kit::session();
    let (first, second) = (records(10), records(10));
    persist(&store, &session, first).await.unwrap();
    // The writer lets go of its files and finds them read-only.
    let panicky = store.on_prune(|_| panic!("let go"));
    panicky.unwrap();
    assert!(prune_all(&store).await.is_err());
    small.remount("ro");
    let error = persist(&store, &session, second.clone()).await.unwrap_err();
    passes(&error, false, "not writable");
    small.remount("rw");
    persist(&store, &session, second).await.unwrap();
}

#[tokio::test]
async fn d05_a_file_that_may_not_be_written_is_refused_and_the_reason_is_said() {
    let Some(small) = Tmpfs::mount(4) else { return };
    let path = small.path().join("telemetry.db");
    std::fs::write(&path, template()).unwrap();
    small.remount("ro");
    let refused = SqliteStore::open(path.to_str().unwrap()).await;
    let text = why(&refused.err().unwrap());
    assert!(text.contains("not writable"), "{text}");
    let reader = telemetry_store::SqliteHistory::new(path.to_str().unwrap()).unwrap();
    assert_eq!(
        reader.count(Window::default()).await.unwrap(),
        0,
        "but it can be read"
    );
}

pub(crate) async fn prune_all(store: &SqliteStore) -> Result<u64, StoreError> {
    use executor_core::ports::{Housekeeping, PruneRule, PruneSlice};
    let all = PruneSlice::new(
        PruneRule::EndedBefore(executor_core::Timestamp::from_micros(i64::MAX)),
        100_000,
    );
    store.prune(all).await
}
