//! Clauses D9 and D10: what the history answers.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{History, HistoryErrorClass, RecordStore, RegistrationStore, Window};
use executor_core::{Failure, Status};
use executor_testkit as kit;
use telemetry_store::RELATIVE_ERROR;

use crate::support::{Database, cause, persist};

#[tokio::test]
async fn d09_a_summary_counts_averages_and_ranks_like_the_rows() {
    let database = Database::new();
    let store = database.open().await;
    let listener = kit::listener("hall");
    store.register(listener.clone()).await.unwrap();
    let session = kit::session();
    let mut records: Vec<_> = (0..100)
        .map(|at| kit::record(&listener, None, at * 10))
        .collect();
    for (place, record) in records.iter_mut().enumerate() {
        record.duration = Duration::from_micros(10 * (place as u64 + 1));
        if place % 10 == 9 {
            record.status = Status::TimedOut;
            record.failure = Some(Arc::new(Failure {
                message: format!("number {place}"),
                ..Failure::deadline()
            }));
        }
    }
    persist(&store, &session, records).await.unwrap();
    let one_more = kit::record(&kit::listener("other"), None, 0);
    persist(&store, &kit::session(), vec![one_more])
        .await
        .unwrap();

    let summaries = database
        .history()
        .summaries(Window::of_session(session.id))
        .await
        .unwrap();
    assert_eq!(summaries.len(), 1, "{summaries:?}");
    let hall = &summaries[0];
    assert_eq!(
        (
            hall.stats.runs(),
            hall.stats.count(Status::Success),
            hall.stats.count(Status::TimedOut)
        ),
        (100, 90, 10)
    );
    assert_eq!(hall.stats.average, Duration::from_micros(505));
    assert_eq!(hall.stats.max, Duration::from_micros(1_000));
    let percentiles = [
        (hall.stats.p50, 500.0),
        (hall.stats.p95, 950.0),
        (hall.stats.p99, 990.0),
    ];
    for (found, exact) in percentiles {
        let error = (found.as_micros() as f64 - exact).abs();
        assert!(
            error <= exact * RELATIVE_ERROR + 0.5,
            "{found:?} for {exact}"
        );
    }
    let last_error = hall.stats.last_error.as_deref();
    assert_eq!(last_error, Some("TimeoutError: number 99"));
    assert_eq!(
        (&*hall.entity.name, &*hall.entity.topic),
        ("hall", "motion.hall")
    );
    assert_eq!(
        database
            .history()
            .summaries(Window::default())
            .await
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        database.history().count(Window::default()).await.unwrap(),
        101
    );
}

#[tokio::test]
async fn d09_rows_from_before_and_after_a_deletion_stand_together() {
    let database = Database::new();
    let store = database.open().await;
    let listener = kit::listener("hall");
    for at in 0..2 {
        store.register(listener.clone()).await.unwrap();
        persist(
            &store,
            &kit::session(),
            vec![kit::record(&listener, None, at)],
        )
        .await
        .unwrap();
        database
            .outside()
            .execute("DELETE FROM listeners", [])
            .unwrap();
    }
    let summaries = database
        .history()
        .summaries(Window::default())
        .await
        .unwrap();
    assert_eq!((summaries.len(), summaries[0].stats.runs()), (1, 2));
}

#[tokio::test]
async fn d10_a_value_that_no_enum_knows_is_an_error_that_names_the_row() {
    let database = Database::new();
    let store = database.open().await;
    let session = kit::session();
    let record = kit::record(&kit::listener("hall"), None, 0);
    let id = record.execution_id;
    persist(&store, &session, vec![record]).await.unwrap();
    database
        .outside()
        .execute("UPDATE executions SET status = 42", [])
        .unwrap();
    let row = database.number("SELECT id FROM executions");
    let error = database
        .history()
        .summaries(Window::of_session(session.id))
        .await
        .unwrap_err();
    assert_eq!(error.class, HistoryErrorClass::Damaged);
    let expected =
        format!("row {row} of executions has the status 42, which this program does not know");
    assert_eq!(cause(&error), expected);
    let one = database.history().execution(id).await.unwrap_err();
    assert_eq!(cause(&one), expected);
}

#[tokio::test]
async fn d10_a_kind_that_nobody_knows_is_an_error_that_names_the_row() {
    let database = Database::new();
    let store = database.open().await;
    let record = kit::record(&kit::listener("hall"), None, 0);
    let id = record.execution_id;
    persist(&store, &kit::session(), vec![record])
        .await
        .unwrap();
    let outside = database.outside();
    outside
        .execute("UPDATE executions SET kind = 7", [])
        .unwrap();
    let row = database.number("SELECT id FROM executions");
    let expected =
        format!("row {row} of executions has the kind 7, which this program does not know");
    let reader = database.history();
    let one = reader.execution(id).await.unwrap_err();
    assert_eq!(cause(&one), expected);
    let all = reader.overall(Window::default()).await.unwrap_err();
    assert_eq!(cause(&all), expected);
}

#[tokio::test]
async fn d10_a_row_that_nobody_knows_is_not_rolled_up_as_something_else() {
    let database = Database::new();
    let store = database.open().await;
    let records = (0..10)
        .map(|at| kit::record(&kit::listener("hall"), None, at * 1_000))
        .collect();
    persist(&store, &kit::session(), records).await.unwrap();
    let unknown = "UPDATE executions SET status = 42 WHERE id = (SELECT max(id) FROM executions)";
    database.outside().execute(unknown, []).unwrap();
    // Opening rolls up what is there; closing waits for it.
    drop(store);
    RecordStore::close(&database.open().await).await.unwrap();
    let counted = "SELECT sum(success) FROM rollups WHERE span_us = 3600000000";
    assert_eq!(database.number(counted), 9);
    let all = database.history().overall(Window::default()).await;
    assert!(cause(&all.unwrap_err()).contains("the status 42"));
}

#[tokio::test]
async fn d10_a_trigger_mode_that_nobody_knows_is_an_error() {
    let database = Database::new();
    let store = database.open().await;
    let record = kit::record(&kit::job("nightly"), None, 0);
    let id = record.execution_id;
    persist(&store, &kit::session(), vec![record])
        .await
        .unwrap();
    let outside = database.outside();
    outside
        .execute("UPDATE executions SET trigger_mode = 'whim'", [])
        .unwrap();
    let row = database.number("SELECT id FROM executions");
    let error = database.history().execution(id).await.unwrap_err();
    let expected = format!(
        "row {row} of executions has the trigger mode whim, which this program does not know"
    );
    assert_eq!(cause(&error), expected);
}
