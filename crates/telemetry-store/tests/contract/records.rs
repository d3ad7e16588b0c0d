//! Clauses C and D about rows: what a record becomes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{Fate, RegistrationStore};
use executor_core::{Failure, RowId, SourceTier, Status, TimeoutOrigin, Timestamp};
use executor_testkit as kit;

use crate::support::{Database, persist};

#[tokio::test]
async fn c06_storing_a_batch_again_adds_nothing() {
    let database = Database::new();
    let store = database.open().await;
    let listener = kit::listener("hall");
    let session = kit::session();
    let records: Vec<_> = (0..100)
        .map(|at| {
            let mut record = kit::record(&listener, None, at);
            record.failure = Some(Arc::new(Failure::deadline()));
            record
        })
        .collect();
    persist(&store, &session, records.clone()).await.unwrap();
    let again = persist(&store, &session, records).await.unwrap();
    assert_eq!(again, vec![Fate::AlreadyThere; 100]);
    for table in ["executions", "execution_errors", "execution_orphans"] {
        let count = format!("SELECT count(*) FROM {table}");
        assert_eq!(database.number(&count), 100, "{table}");
    }
}

#[tokio::test]
async fn c07_the_batch_brings_its_session_along() {
    let database = Database::new();
    let store = database.open().await;
    let session = kit::session();
    let record = kit::record(&kit::listener("hall"), None, 0);
    persist(&store, &session, vec![record]).await.unwrap();
    let id = database.text("SELECT session_id FROM executions_v");
    assert_eq!(id, session.id.to_string());
}

#[tokio::test]
async fn d06_a_row_whose_listener_is_missing_says_what_it_belonged_to() {
    let database = Database::new();
    let store = database.open().await;
    let records = vec![
        kit::record(&kit::listener("gone"), Some(RowId::new(7)), 0),
        kit::record(&kit::job("never"), None, 1),
    ];
    let fates = persist(&store, &kit::session(), records).await.unwrap();
    assert_eq!(fates, [Fate::Detached, Fate::Detached]);
    let names = "SELECT group_concat(app_key || '/' || name || '/' || coalesce(topic, '-'), ' ') \
                 FROM executions_v WHERE orphaned";
    assert_eq!(
        database.text(names),
        "lights/gone/motion.hall lights/never/-"
    );
}

#[tokio::test]
async fn d06_whoever_deletes_a_registration_its_rows_go_on_saying_the_same() {
    let database = Database::new();
    let store = database.open().await;
    let listener = kit::listener("hall");
    let job = kit::job("nightly");
    let id = store.register(listener.clone()).await.unwrap();
    let job_id = store.register(job.clone()).await.unwrap();
    let records = vec![
        kit::record(&listener, Some(id), 0),
        kit::record(&job, Some(job_id), 1),
    ];
    persist(&store, &kit::session(), records).await.unwrap();
    let names = "SELECT group_concat(name || coalesce(topic, ''), ' ') FROM executions_v";
    let before = database.text(names);
    let outside = database.outside();
    outside
        .execute_batch("DELETE FROM listeners; DELETE FROM scheduled_jobs;")
        .unwrap();
    assert_eq!(database.text(names), before);
    assert_eq!(database.number("SELECT sum(orphaned) FROM executions_v"), 2);
    assert_eq!(
        database.number("SELECT count(*) FROM pragma_foreign_key_check"),
        0
    );
    // Its id is nobody else's: a late record of the old one is not taken for the newcomer's.
    let newcomer = store.register(kit::listener("new")).await.unwrap();
    assert_ne!(newcomer, id);
}

#[tokio::test]
async fn every_field_of_a_record_is_in_its_row() {
    let database = Database::new();
    let store = database.open().await;
    let listener = kit::listener("hall");
    let mut record = kit::record(&listener, None, 250);
    record.status = Status::TimedOut;
    record.source_tier = SourceTier::Framework;
    record.duration = Duration::from_micros(1_500);
    record.failure = Some(Arc::new(Failure::deadline()));
    record.flags.timeout_origin = Some(TimeoutOrigin::Deadline);
    record.flags.overran = true;
    record.flags.is_di_failure = true;
    record.flags.thread_leaked = true;
    record.flags.blocked = Some(Duration::from_millis(150));
    record.arguments_json = Some("[1]".into());
    let name = record.execution_id.to_string();
    store.register(listener).await.unwrap();
    persist(&store, &kit::session(), vec![record])
        .await
        .unwrap();
    let row = "SELECT concat_ws('|', execution_id, kind, status, source_tier, app_key, instance, \
               name, topic, started, ended, duration_ms, error_type, error_message, \
               timeout_origin, is_di_failure, thread_leaked, overran, blocked_ms, trigger_id, \
               trigger_origin, args_json, orphaned) FROM executions_v";
    let expected = format!(
        "{name}|handler|timed_out|framework|lights|0|hall|motion.hall|\
         2026-01-01 00:00:00.250000|2026-01-01 00:00:00.251500|1.5|TimeoutError|\
         execution timed out|deadline|1|1|1|150.0|event-1|LOCAL|[1]|0"
    );
    assert_eq!(database.text(row), expected);
    assert_eq!(
        database.number("SELECT id FROM executions"),
        1_767_225_600_251_500
    );
}

#[tokio::test]
async fn row_ids_follow_the_time_of_recording_and_never_collide() {
    let database = Database::new();
    let store = database.open().await;
    let listener = kit::listener("hall");
    let session = kit::session();
    let at = |ms| kit::record(&listener, None, ms);
    // A minute of records, 70 of them at the same moment, then late ones among them.
    let fresh: Vec<_> = (0..60).map(|second| at(second * 1_000)).collect();
    persist(&store, &session, fresh).await.unwrap();
    let same = (0..70).map(|_| at(60_000)).collect();
    persist(&store, &session, same).await.unwrap();
    let late = (0..90).map(|_| at(5_000)).collect();
    persist(&store, &session, late).await.unwrap();
    let again = vec![at(5_000), at(59_990)];
    persist(&store, &session, again).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM executions"), 222);
    // A clock that was set back within one batch, so that late records meet fresh ones.
    let back = vec![at(200_000), at(300_000), at(200_000), at(200_000)];
    let fates = persist(&store, &session, back).await.unwrap();
    assert_eq!(fates, vec![Fate::Detached; 4]);
    let ended = "SELECT count(*) FROM executions WHERE id - (start_us + duration_us) NOT BETWEEN 0 AND 1000000";
    assert_eq!(
        database.number(ended),
        0,
        "an id is never before its time, nor far after it"
    );
    let exact = "SELECT count(*) FROM executions WHERE id = start_us + duration_us";
    assert!(database.number(exact) >= 61);
}

#[tokio::test]
async fn d07_two_stores_of_one_file_write_side_by_side() {
    let database = Database::new();
    let (one, two) = (database.open().await, database.open().await);
    let listener = kit::listener("hall");
    let mut ids = HashSet::new();
    for turn in 0..20 {
        for store in [&one, &two] {
            let records: Vec<_> = (0..10)
                .map(|at| kit::record(&listener, None, turn * 10 + at))
                .collect();
            ids.extend(records.iter().map(|record| record.execution_id));
            persist(store, &kit::session(), records).await.unwrap();
        }
    }
    assert_eq!(ids.len(), 400);
    assert_eq!(database.number("SELECT count(*) FROM executions"), 400);
}

#[tokio::test]
async fn a_time_before_the_epoch_and_one_without_end_are_stored() {
    let database = Database::new();
    let store = database.open().await;
    let mut early = kit::record(&kit::listener("hall"), None, 0);
    early.started_at = Timestamp::from_micros(-5_000_000);
    let mut endless = kit::record(&kit::listener("hall"), None, 0);
    endless.duration = Duration::MAX;
    let fates = persist(&store, &kit::session(), vec![early, endless])
        .await
        .unwrap();
    assert_eq!(fates[0], Fate::Detached);
    assert_eq!(
        fates[1],
        Fate::Detached,
        "292,000 years are what a row can say at most"
    );
    // Every later one finds an id below that one's.
    let next = kit::record(&kit::listener("hall"), None, 0);
    let fates = persist(&store, &kit::session(), vec![next]).await.unwrap();
    assert_eq!(fates, [Fate::Detached]);
}
