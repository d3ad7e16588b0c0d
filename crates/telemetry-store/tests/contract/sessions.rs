//! Clauses C7, C9 and D4: sessions, their ledgers, and the gaps in them.

use std::sync::Arc;

use executor_core::ports::{Gap, Housekeeping, SessionEnd, SessionStatus, SessionStore};
use executor_core::{DropReason, Failure, Ledger, Subject, Timestamp};
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
               dropped_constraint, dropped_unstorable, dropped_damaged, dropped_shutdown) \
               FROM sessions";
    let expected =
        "testhost|4711|failure|TimeoutError|1767225700000000|20|1|2|3|4|5|10|11|12|13|14|15";
    assert_eq!(database.text(row), expected);
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
    let subject = Subject::Listener {
        key: kit::listener("hall").key,
        id: None,
    };
    let gap = |count| Gap {
        session: session.id,
        reason: DropReason::Overflow,
        count,
        first_at: Timestamp::from_micros(1),
        last_at: Timestamp::from_micros(2),
        entities: vec![(subject.clone(), count)],
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
