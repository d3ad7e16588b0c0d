//! Clauses C7, C9 and D4: sessions, their ledgers, and the gaps in them.

use std::sync::Arc;

use executor_core::ports::{Gap, Housekeeping, SessionEnd, SessionStatus, SessionStore};
use executor_core::{DropReason, Durability, Failure, Ledger, Timestamp};
use executor_testkit as kit;

use telemetry_store::SqliteStore;

use crate::support::Database;

fn ledger() -> Ledger {
    let mut ledger = Ledger {
        offered: 20,
        recovered: 1,
        stored: 2,
        waiting: 3,
        spooled: 4,
        filtered: 5,
        dropped: [0; 6],
        durability: Some(Durability::Power),
        is_rebuilt: false,
    };
    for (count, reason) in DropReason::ALL.into_iter().enumerate() {
        ledger.add_dropped(reason, 10 + count as u64);
    }
    ledger
}

#[tokio::test]
async fn d04_a_session_ends_with_its_status_its_reason_and_its_ledger() {
    let database = Database::new();
    let store = database.open().await;
    let session = kit::session();
    store.open_session(Arc::clone(&session)).await.unwrap();
    assert_eq!(database.text("SELECT status FROM sessions"), "running");
    let end = SessionEnd {
        at: Timestamp::from_micros(1_767_225_700_000_000),
        status: SessionStatus::Failure,
        failure: Some(Failure::deadline()),
        ledger: ledger(),
    };
    store.close_session(session.id, end).await.unwrap();
    let row = "SELECT concat_ws('|', host, pid, status, error_type, stopped_us, offered, recovered, \
               stored, waiting, spooled, filtered, dropped_overflow, dropped_exhausted, \
               dropped_constraint, dropped_unstorable, dropped_damaged, dropped_shutdown, durability) \
               FROM sessions";
    let expected =
        "testhost|4711|failure|TimeoutError|1767225700000000|20|1|2|3|4|5|10|11|12|13|14|15|power";
    assert_eq!(database.text(row), expected);
}

#[tokio::test]
async fn c08_a_ledger_replaces_the_one_before_with_all_that_it_does_not_know() {
    let database = Database::new();
    let store = database.open().await;
    let session = kit::session();
    store.open_session(Arc::clone(&session)).await.unwrap();
    let level = || database.text("SELECT concat(offered, coalesce(durability, '?')) FROM sessions");
    store
        .heartbeat(session.id, session.started_at, ledger())
        .await
        .unwrap();
    assert_eq!(level(), "20power");
    let unknown = Ledger::default();
    store.amend_ledger(session.id, unknown).await.unwrap();
    assert_eq!(level(), "0?");
}

#[tokio::test]
async fn d04_a_session_is_crashed_only_when_its_process_is_gone() {
    let database = Database::new();
    let (dies, lives) = (database.open().await, database.open().await);
    let (dead, alive) = (kit::session(), kit::session());
    dies.open_session(Arc::clone(&dead)).await.unwrap();
    lives.open_session(Arc::clone(&alive)).await.unwrap();
    let beat = Timestamp::from_micros(1_767_225_609_000_000);
    dies.heartbeat(dead.id, beat, Ledger::default())
        .await
        .unwrap();
    assert_eq!(lives.mark_crashed().await.unwrap(), []);
    drop(dies);
    assert_eq!(lives.mark_crashed().await.unwrap(), [dead.id]);
    assert_eq!(lives.mark_crashed().await.unwrap(), [], "once is enough");
    let crashed = "SELECT stopped_us FROM sessions WHERE status = 'crashed'";
    assert_eq!(
        database.number(crashed),
        beat.as_micros(),
        "the last heartbeat is its end"
    );
    assert_eq!(
        database.number("SELECT count(*) FROM sessions WHERE status = 'running'"),
        1
    );
}

#[tokio::test]
async fn d04_a_heartbeat_brings_the_ledger_and_comes_too_late_for_what_has_ended() {
    let database = Database::new();
    let store = database.open().await;
    let session = kit::session();
    store.open_session(Arc::clone(&session)).await.unwrap();
    let at = Timestamp::from_micros;
    store
        .heartbeat(session.id, at(1_767_225_630_000_000), ledger())
        .await
        .unwrap();
    let row = "SELECT concat_ws('|', status, heartbeat_us, coalesce(stopped_us, '-'), offered, stored, \
               waiting, dropped_shutdown) FROM sessions";
    assert_eq!(database.text(row), "running|1767225630000000|-|20|2|3|15");
    let end = SessionEnd {
        at: at(1_767_225_631_000_000),
        status: SessionStatus::Success,
        failure: None,
        ledger: Ledger::default(),
    };
    store.close_session(session.id, end).await.unwrap();
    let closed = database.text(row);
    store
        .heartbeat(session.id, at(1_767_225_660_000_000), ledger())
        .await
        .unwrap();
    assert_eq!(database.text(row), closed);
}

#[tokio::test]
async fn d04_a_living_session_is_found_by_whatever_name_its_database_has() {
    let database = Database::new();
    drop(database.open().await);
    let link = database.directory.path().join("link.db");
    std::os::unix::fs::symlink(&database.path, &link).unwrap();
    let by_link = SqliteStore::open(link.to_str().unwrap()).await.unwrap();
    by_link.open_session(kit::session()).await.unwrap();
    assert_eq!(database.open().await.mark_crashed().await.unwrap(), []);
}

#[tokio::test]
async fn c09_an_episode_of_loss_is_a_row_and_writing_it_again_replaces_it() {
    let database = Database::new();
    let store = database.open().await;
    let session = kit::session();
    store.open_session(Arc::clone(&session)).await.unwrap();
    let entity = kit::listener("hall").entity;
    let gap = |count| Gap {
        session: session.id,
        reason: DropReason::Overflow.into(),
        count,
        first_at: Timestamp::from_micros(1),
        last_at: Timestamp::from_micros(2),
        entities: vec![(Arc::clone(&entity), count)],
    };
    store.record_gaps(vec![gap(3)]).await.unwrap();
    store.record_gaps(vec![gap(5)]).await.unwrap();
    let row = "SELECT concat_ws('|', reason, g.count, first_us, last_us, name, topic, e.count) \
               FROM gaps g JOIN gap_entities e ON e.gap_id = g.id";
    assert_eq!(database.text(row), "overflow|5|1|2|hall|motion.hall|5");
    let nobody = Gap {
        session: kit::session().id,
        ..gap(1)
    };
    assert!(
        store.record_gaps(vec![nobody]).await.is_err(),
        "no session, no row"
    );
    assert_eq!(database.number("SELECT count(*) FROM gaps"), 1);
}

#[tokio::test]
async fn d04_a_session_whose_name_is_damaged_keeps_no_other_from_ending() {
    let database = Database::new();
    let dies = database.open().await;
    let dead = kit::session();
    dies.open_session(Arc::clone(&dead)).await.unwrap();
    drop(dies);
    let damaged = "INSERT INTO sessions (session_uuid, host, pid, started_us, heartbeat_us, status) \
                   VALUES (x'0102', 'attic', 1, 1, 1, 'running')";
    database.outside().execute(damaged, []).unwrap();
    let store = database.open().await;
    assert_eq!(store.mark_crashed().await.unwrap(), [dead.id]);
    let left = "SELECT hex(session_uuid) FROM sessions WHERE status = 'running'";
    assert_eq!(database.text(left), "0102");
}

#[tokio::test]
async fn d04_a_session_without_a_row_is_not_closed_unless_it_was_opened_here() {
    let database = Database::new();
    let store = database.open().await;
    let (opened, unknown) = (kit::session(), kit::session());
    let end = SessionEnd {
        at: opened.started_at,
        status: SessionStatus::Success,
        failure: None,
        ledger: ledger(),
    };
    let error = store
        .close_session(unknown.id, end.clone())
        .await
        .unwrap_err();
    assert_eq!(error.class, executor_core::ErrorClass::Dangling);
    // It was opened while the file was another one.
    store.open_session(Arc::clone(&opened)).await.unwrap();
    database
        .outside()
        .execute("DELETE FROM sessions", [])
        .unwrap();
    let beat = store.heartbeat(opened.id, opened.started_at, ledger());
    beat.await.unwrap();
    assert_eq!(database.text("SELECT status FROM sessions"), "running");
    database
        .outside()
        .execute("DELETE FROM sessions", [])
        .unwrap();
    store.close_session(opened.id, end).await.unwrap();
    assert_eq!(database.text("SELECT status FROM sessions"), "success");
}
