//! Clause D7: the writer's thread dies, a request panics, a request is given up. Nobody hangs on it.

use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use executor_core::ports::{Fate, Housekeeping, RecordStore, Session};
use executor_core::{ErrorClass, ExecutionRecord, StoreError};
use executor_testkit as kit;
use telemetry_store::SqliteStore;

use crate::faults::{passes, prune_all, records};
use crate::support::{Database, persist};

/// A panic's payload that panics again when it is dropped, which is the end of a thread that had
/// contained the first one.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload's own panic");
    }
}

/// How often the environment asks for it.
fn asked() -> Option<u32> {
    std::env::var("DEATHS").ok()?.parse().ok()
}

fn times() -> u32 {
    asked().unwrap_or(90)
}

/// Nobody waits longer than this, whatever happens. Whoever asks for deaths by the number asks for the
/// second that the contract grants, too; otherwise a slow day is no failure, and hanging is.
fn noticed() -> Duration {
    Duration::from_secs(if asked().is_some() { 1 } else { 60 })
}

/// A writer that is on its way down may take one more request with it; that is asked again.
async fn asked_again(
    store: &SqliteStore,
    session: &Arc<Session>,
    batch: Vec<ExecutionRecord>,
) -> Result<Vec<Fate>, StoreError> {
    match persist(store, session, batch.clone()).await {
        Err(error) if !error.answered => persist(store, session, batch).await,
        result => result,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d07_a_dead_writer_is_noticed_within_a_second_and_started_again() {
    for _ in 0..times() / 3 {
        let database = Database::migrated();
        let store = database.open().await;
        let session = kit::session();
        store.on_prune(|_| panic_any(Bomb)).unwrap();
        // Three deaths are what the budget grants.
        for _ in 0..3 {
            let batch = records(5);
            persist(&store, &session, batch.clone()).await.unwrap();
            let begun = Instant::now();
            // One request kills it, others wait behind it.
            let (dies, one, two) = tokio::join!(
                prune_all(&store),
                persist(&store, &session, records(2)),
                persist(&store, &session, records(2)),
            );
            assert!(begun.elapsed() < noticed(), "{:?}", begun.elapsed());
            passes(&dies.unwrap_err(), false, "");
            for error in [one, two].into_iter().filter_map(Result::err) {
                passes(&error, false, "");
            }
            let again = asked_again(&store, &session, batch).await.unwrap();
            assert_eq!(again, vec![Fate::AlreadyThere; 5]);
            assert!(begun.elapsed() < noticed(), "{:?}", begun.elapsed());
            store.health().await.unwrap();
        }
    }
}

#[tokio::test]
async fn d07_a_writer_that_dies_again_and_again_is_left_for_a_while_and_closes_all_the_same() {
    let database = Database::migrated();
    let store = database.open().await;
    store.on_prune(|_| panic_any(Bomb)).unwrap();
    let session = kit::session();
    for _ in 0..4 {
        let stored = asked_again(&store, &session, records(1)).await;
        stored.unwrap();
        prune_all(&store).await.unwrap_err();
    }
    let error = asked_again(&store, &session, records(1)).await.unwrap_err();
    passes(&error, false, "died too often");
    passes(&store.health().await.unwrap_err(), false, "died too often");
    store.close().await.unwrap();
    let closed = store.health().await.unwrap_err();
    assert_eq!(closed.class, ErrorClass::Closed);
    assert_eq!(database.number("SELECT count(*) FROM executions"), 4);
}

#[tokio::test]
async fn d07_a_database_in_memory_dies_with_its_writer_and_says_so() {
    let store = SqliteStore::open(":memory:").await.unwrap();
    store.on_prune(|_| panic_any(Bomb)).unwrap();
    persist(&store, &kit::session(), records(1)).await.unwrap();
    prune_all(&store).await.unwrap_err();
    // It may still be on its way down.
    let _ = store.health().await.unwrap_err();
    let error = store.health().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d07_a_request_that_panics_costs_itself_and_nobody_hangs() {
    let database = Database::migrated();
    let store = database.open().await;
    let session = kit::session();
    let is_calm = Arc::new(AtomicBool::new(false));
    let calm = Arc::clone(&is_calm);
    let hook = move |_: &[_]| assert!(calm.load(Ordering::Relaxed), "not yet");
    store.on_prune(hook).unwrap();
    for number in 0..times() {
        let begun = Instant::now();
        persist(&store, &session, records(1)).await.unwrap();
        let (panics, one, two) = tokio::join!(
            prune_all(&store),
            persist(&store, &session, records(2)),
            persist(&store, &session, records(2)),
        );
        passes(&panics.unwrap_err(), false, "half-way");
        assert!(one.is_ok() && two.is_ok());
        let rows = database.number("SELECT count(*) FROM executions");
        assert_eq!(rows, 5 * i64::from(number + 1));
        assert!(begun.elapsed() < noticed() * 2);
    }
    is_calm.store(true, Ordering::Relaxed);
    assert_eq!(prune_all(&store).await.unwrap(), 5 * u64::from(times()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d07_a_request_that_is_given_up_is_done_or_not_done_and_costs_nobody_else() {
    let database = Database::migrated();
    let store = database.open().await;
    let session = kit::session();
    for number in 0..times() {
        let batch = records(3);
        {
            let mut given_up = std::pin::pin!(persist(&store, &session, batch.clone()));
            // Polled once: the request is on its way, and its caller goes.
            let waker = std::task::Waker::noop();
            let mut context = std::task::Context::from_waker(waker);
            let _ = std::future::Future::poll(given_up.as_mut(), &mut context);
        }
        let begun = Instant::now();
        let fates = persist(&store, &session, batch).await.unwrap();
        assert!(begun.elapsed() < noticed());
        assert_eq!(fates, vec![Fate::AlreadyThere; 3]);
        let rows = database.number("SELECT count(*) FROM executions");
        assert_eq!(rows, 3 * i64::from(number + 1));
    }
}
