//! The writer's thread: what panics, fills the disk or is locked out costs itself, and nobody else.

use super::*;
use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;

async fn writer(directory: &tempfile::TempDir) -> Writer {
    let path = directory.path().join("telemetry.db");
    let target = Target::parse(path.to_str().unwrap()).unwrap();
    Writer::start(target, crate::liveness::FILE_MODE)
        .await
        .unwrap()
        .0
}

#[tokio::test]
async fn commits_wait_for_the_medium_once_that_is_asked_for() {
    #[derive(diesel::QueryableByName)]
    struct Level {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        synchronous: i64,
    }
    let directory = tempfile::tempdir().unwrap();
    let writer = writer(&directory).await;
    let level = async || {
        let asked = writer.call("asking", |connection| {
            diesel::sql_query("PRAGMA synchronous").get_result::<Level>(connection)
        });
        asked.await.unwrap().synchronous
    };
    assert_eq!(level().await, 1);
    writer.sync_commits();
    assert_eq!(level().await, 2);
}

/// As long as somebody else holds the lock each try is turned away, and one in four waits for a gap.
#[tokio::test]
async fn c05_of_a_lock_that_is_held_for_long_one_try_in_four_waits_for_a_gap() {
    #[derive(diesel::QueryableByName)]
    struct Timeout {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        timeout: i64,
    }
    let directory = tempfile::tempdir().unwrap();
    let writer = writer(&directory).await;
    let (waits, waited) = std::sync::mpsc::channel();
    let attempt = async || {
        let waits = waits.clone();
        let tried = writer.call("trying", move |connection| {
            let timeout = diesel::sql_query("PRAGMA busy_timeout");
            waits
                .send(timeout.get_result::<Timeout>(connection)?.timeout)
                .unwrap();
            connection.batch_execute("BEGIN IMMEDIATE; COMMIT")
        });
        tried.await.map_err(|error| error.class)
    };
    assert_eq!(attempt().await, Ok(()));
    let outside = rusqlite::Connection::open(directory.path().join("telemetry.db")).unwrap();
    outside.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..9 {
        assert_eq!(attempt().await, Err(ErrorClass::Transient));
    }
    outside.execute_batch("ROLLBACK").unwrap();
    assert_eq!((attempt().await, attempt().await), (Ok(()), Ok(())));
    let waited: Vec<i64> = waited.try_iter().collect();
    assert_eq!(waited, [200, 200, 200, 0, 0, 100, 0, 0, 0, 100, 0, 200]);
}

#[tokio::test]
async fn a_request_that_panics_inside_a_transaction_costs_only_itself() {
    let directory = tempfile::tempdir().unwrap();
    let writer = writer(&directory).await;
    for _ in 0..3 {
        let panicked = writer
            .call("panicking", |connection| -> QueryResult<()> {
                connection.batch_execute("BEGIN IMMEDIATE; DELETE FROM sessions")?;
                panic!("half-way");
            })
            .await;
        assert!(!panicked.unwrap_err().answered);
        let next = writer.call("going on", |connection| {
            connection.batch_execute("BEGIN IMMEDIATE; COMMIT")
        });
        next.await.unwrap();
    }
}

#[tokio::test]
async fn c04_a_full_disk_inside_a_transaction_is_transient_and_passes() {
    use executor_core::Fate;
    use executor_core::ports::Batch;
    let directory = tempfile::tempdir().unwrap();
    let writer = writer(&directory).await;
    let listener = executor_testkit::listener("hall");
    let records = (0..2_000).map(|at| executor_testkit::record(&listener, None, at));
    let batch = std::sync::Arc::new(Batch {
        session: executor_testkit::session(),
        records: records.collect(),
    });
    let full = std::sync::Arc::clone(&batch);
    let refused = writer
        .call("storing a batch", move |connection| {
            connection.batch_execute("PRAGMA max_page_count = 60")?;
            crate::sqlite::write::persist::persist(connection, &full)
        })
        .await;
    assert_eq!(refused.unwrap_err().class, ErrorClass::Transient);
    let again = writer.call("storing a batch", move |connection| {
        crate::sqlite::write::persist::persist(connection, &batch)
    });
    assert_eq!(again.await.unwrap(), vec![Fate::Detached; 2_000]);
}
/// Stores of one process share a writer: two of them stand for two processes.
#[tokio::test]
async fn d07_writers_of_two_processes_take_turns_and_take_no_id_twice() {
    use crate::sqlite::schema::executions;
    use diesel::QueryDsl;
    use executor_core::Fate;
    use executor_core::ports::Batch;
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (writer(&directory).await, writer(&directory).await);
    let listener = executor_testkit::listener("hall");
    for turn in 0..20_u64 {
        for writer in [&one, &two] {
            let record = |at| executor_testkit::record(&listener, None, turn * 10 + at);
            let batch = Batch {
                session: executor_testkit::session(),
                records: (0..10).map(record).collect(),
            };
            let stored = writer.call("storing a batch", move |connection| {
                crate::sqlite::write::persist::persist(connection, &batch)
            });
            assert_eq!(stored.await.unwrap(), vec![Fate::Detached; 10]);
        }
    }
    let counted = one.call("counting", |connection| {
        executions::table.count().get_result::<i64>(connection)
    });
    assert_eq!(counted.await.unwrap(), 400);
}
