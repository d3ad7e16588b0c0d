//! Clauses D4 and H3: sessions of several recorders in one database.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{
    Batch, History, Housekeeping, PageRequest, PruneRule, PruneSlice, RecordStore, Session,
    SessionStore,
};
use executor_core::{Ledger, Timestamp};
use executor_testkit as kit;
use telemetry_store::{PostgresHistory, PostgresOptions, PostgresStore};

use crate::server;

fn statuses(database: &str) -> String {
    let server = server().unwrap();
    let statuses = "SELECT string_agg(status, ' ' ORDER BY id) FROM executor.sessions";
    server.ask(statuses, database).unwrap()
}

#[tokio::test]
async fn h03_only_a_session_whose_process_is_gone_is_marked_as_crashed() {
    let Some(server) = server() else { return };
    let database = server.database();
    let (dead, living) = (kit::session(), kit::session());
    let store = server.open(&database).await.unwrap();
    store.open_session(dead.clone()).await.unwrap();
    // With the store goes what proves that the session lives, as with its process.
    drop(store);
    let first = server.open(&database).await.unwrap();
    first.open_session(living.clone()).await.unwrap();
    let second = server.open(&database).await.unwrap();
    assert_eq!(second.mark_crashed().await.unwrap(), [dead.id]);
    assert_eq!(second.mark_crashed().await.unwrap(), []);
    assert_eq!(statuses(&database), "crashed running");
}

#[tokio::test]
async fn h03_a_session_of_another_machine_is_left_to_that() {
    let Some(server) = server() else { return };
    let database = server.database();
    let theirs = kit::session();
    let store = server.open(&database).await.unwrap();
    store.open_session(theirs).await.unwrap();
    drop(store);
    let mut options = telemetry_store::PostgresOptions::default();
    let elsewhere = tempfile::tempdir().unwrap();
    options.state_dir = Some(elsewhere.path().join("state"));
    let url = server.url(&database);
    let other = telemetry_store::PostgresStore::open_with(&url, options)
        .await
        .unwrap();
    assert_eq!(other.mark_crashed().await.unwrap(), []);
    assert_eq!(statuses(&database), "running");
}

async fn persist(store: &PostgresStore, session: &Arc<Session>) {
    let hall = kit::listener("hall");
    let batch = Batch {
        session: Arc::clone(session),
        records: vec![kit::record(&hall, None, 0)],
    };
    store.persist(Arc::new(batch)).await.unwrap();
}

/// The clock of the server says how long ago that was, not those of the hosts.
#[tokio::test]
async fn h03_a_session_without_a_sign_of_life_is_silent_and_a_batch_is_one() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let session = kit::session();
    store.open_session(session.clone()).await.unwrap();
    let history = PostgresHistory::new(&server.url(&database)).unwrap();
    let ago = async || {
        let all = history.sessions(PageRequest::default()).await.unwrap();
        all.items[0].by_server.unwrap().ago
    };
    assert!(ago().await < Duration::from_secs(30));
    let silent = "UPDATE executor.sessions SET seen_us = seen_us - 61000000";
    server.ask(silent, &database).unwrap();
    assert!(ago().await > Duration::from_secs(60));
    let is_silent = "SELECT is_silent FROM executor.sessions_v";
    assert_eq!(server.ask(is_silent, &database).unwrap(), "t");
    persist(&store, &session).await;
    assert!(ago().await < Duration::from_secs(30));
    assert_eq!(server.ask(is_silent, &database).unwrap(), "f");
    assert_eq!(
        store.heartbeat_at_least_every(),
        Some(Duration::from_secs(10))
    );
}

/// It was cut off for a day: nobody else could know.
#[tokio::test]
async fn h03_a_session_that_was_given_up_runs_again_with_its_own_next_batch() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let session = kit::session();
    store.open_session(session.clone()).await.unwrap();
    let given_up = "UPDATE executor.sessions SET status = 'crashed', stopped_us = heartbeat_us";
    server.ask(given_up, &database).unwrap();
    // Somebody who takes over what it left is no sign of life.
    let other = server.open(&database).await.unwrap();
    persist(&other, &session).await;
    assert_eq!(statuses(&database), "crashed");
    persist(&store, &session).await;
    assert_eq!(statuses(&database), "running");
    let counts = "SELECT taken_over, stopped_us IS NULL FROM executor.sessions";
    assert_eq!(server.ask(counts, &database).unwrap(), "1|t");
}

#[tokio::test]
async fn h03_a_clock_that_is_ahead_by_years_prunes_nothing_that_the_server_takes_for_new() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let hall = kit::listener("hall");
    let mut record = kit::record(&hall, None, 0);
    let now = "SELECT (extract(epoch FROM now()) * 1000000)::bigint";
    let now: i64 = server.ask(now, &database).unwrap().parse().unwrap();
    record.started_at = Timestamp::from_micros(now);
    let session = kit::session();
    let records = vec![record];
    store
        .persist(Arc::new(Batch { session, records }))
        .await
        .unwrap();
    let (years, month) = (
        Duration::from_secs(3 * 365 * 86_400),
        Duration::from_secs(30 * 86_400),
    );
    let theirs = Timestamp::from_micros(now).saturating_add(years);
    let mut slice = PruneSlice::new(PruneRule::EndedBefore(theirs.saturating_sub(month)), 10);
    slice.now = theirs;
    assert_eq!(store.prune(slice).await.unwrap(), 0);
    slice.rule = PruneRule::EndedBefore(theirs.saturating_add(month));
    assert_eq!(store.prune(slice).await.unwrap(), 1);
}

#[tokio::test]
async fn h03_what_is_silent_for_a_day_is_given_up_by_whoever_has_reached_the_server_for_long_enough()
 {
    let Some(server) = server() else { return };
    let database = server.database();
    let mut options = PostgresOptions::default();
    options.state_dir = Some(server.state_dir(&database));
    let url = server.url(&database);
    let store = PostgresStore::open_with(&url, options.clone())
        .await
        .unwrap();
    let (silent, living) = (kit::session(), kit::session());
    for session in [&silent, &living] {
        store.open_session((*session).clone()).await.unwrap();
    }
    let name = silent.id.as_uuid();
    let long_ago = format!(
        "UPDATE executor.sessions SET seen_us = seen_us - 25 * 3600000000 WHERE session_uuid = '{name}'"
    );
    server.ask(&long_ago, &database).unwrap();
    let beat = async |store: &PostgresStore| {
        let beat = store.heartbeat(living.id, living.started_at, Ledger::default());
        beat.await.unwrap();
    };
    // It has only just reached the server.
    beat(&store).await;
    assert_eq!(statuses(&database), "running running");
    options.judges_others_after = Duration::ZERO;
    let other = PostgresStore::open_with(&url, options).await.unwrap();
    beat(&other).await;
    assert_eq!(statuses(&database), "crashed running");
}
