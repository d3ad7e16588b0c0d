//! Clauses C4, D2 and H5: what becomes of records when the server or the connection goes, and of rows that it refuses.

use std::sync::Arc;

use executor_core::ports::{Batch, Fate, RecordStore, RegistrationStore};
use executor_core::registration::Registration;
use executor_core::{DropReason, ErrorClass, ExecutionRecord, Failure, Status};
use executor_testkit as kit;
use telemetry_store::PostgresStore;

use crate::server;

async fn persist(
    store: &PostgresStore,
    records: Vec<ExecutionRecord>,
) -> Result<Vec<Fate>, executor_core::StoreError> {
    let session = kit::session();
    store.persist(Arc::new(Batch { session, records })).await
}

async fn records(store: &PostgresStore, count: u64) -> Vec<ExecutionRecord> {
    let hall: Registration = kit::listener("hall");
    let row = store.register(hall.clone()).await.unwrap();
    (0..count)
        .map(|at| kit::record(&hall, Some(row), at))
        .collect()
}

#[tokio::test]
async fn h05_a_connection_that_was_cut_is_replaced_and_nothing_is_stored_twice() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let records = records(&store, 100).await;
    persist(&store, records[..50].to_vec()).await.unwrap();
    server.cut(&database);
    let error = persist(&store, records.clone()).await.unwrap_err();
    assert_eq!(
        (error.class, error.answered),
        (ErrorClass::Transient, false),
        "{error:?}"
    );
    let fates = persist(&store, records).await.unwrap();
    let known = fates
        .iter()
        .filter(|fate| **fate == Fate::AlreadyThere)
        .count();
    assert_eq!((known, fates.len()), (50, 100));
    let counts = "SELECT (SELECT count(*) FROM executor.executions), (SELECT sum(stored) FROM executor.session_hours)";
    assert_eq!(server.ask(counts, &database).unwrap(), "100|100");
}

#[tokio::test]
async fn c04_a_bad_row_costs_no_other() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let refuses = "ALTER TABLE executor.executions ADD CHECK (trigger_id IS DISTINCT FROM 'bad')";
    server.ask(refuses, &database).unwrap();
    let mut records = records(&store, 10).await;
    records[3].trigger = executor_core::record::Trigger::Event {
        id: Some("bad".into()),
        origin: "LOCAL".into(),
    };
    let fates = persist(&store, records).await.unwrap();
    for (place, fate) in fates.iter().enumerate() {
        match (place, fate) {
            (3, Fate::SetAside { reason, .. }) => assert_eq!(*reason, DropReason::Constraint),
            (3, other) => panic!("{other:?}"),
            (_, fate) => assert_eq!(*fate, Fate::Stored),
        }
    }
}

/// Whatever the message says, and in whatever language: if a good row cannot be written either, it is not this one.
#[tokio::test]
async fn c04_a_row_is_not_blamed_for_what_the_server_refuses_to_everybody() {
    let Some(server) = server() else { return };
    for (table, error) in [
        ("executions", "an odd failure"),
        ("executions_20454", "storniere Anfrage"),
        ("execution_lines_20454", "encore autre chose"),
    ] {
        let database = server.database();
        let store = server.open(&database).await.unwrap();
        let mut records = records(&store, 3).await;
        let body = "1500 o [] copying\n";
        let said = executor_core::lines::Lines::from_parts(1, 1, 8, false, body);
        records[1].lines = Some(Arc::new(said));
        persist(&store, records[..1].to_vec()).await.unwrap();
        let fails = format!(
            "CREATE FUNCTION executor.fails() RETURNS trigger LANGUAGE plpgsql \
             AS 'BEGIN RAISE EXCEPTION ''{error}''; END'; \
             CREATE TRIGGER fails BEFORE INSERT ON executor.{table} FOR EACH ROW EXECUTE FUNCTION executor.fails()"
        );
        server.ask(&fails, &database).unwrap();
        let error = persist(&store, records.clone()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Transient, "{table}: {error:?}");
        let mends = format!("DROP TRIGGER fails ON executor.{table}");
        server.ask(&mends, &database).unwrap();
        let fates = persist(&store, records).await.unwrap();
        let expected = [Fate::AlreadyThere, Fate::Stored, Fate::Stored];
        assert_eq!(fates, expected, "{table}");
    }
}

/// A database that somebody is restoring has no tables for a while.
#[tokio::test]
async fn c04_a_batch_waits_while_the_tables_are_away() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let records = records(&store, 3).await;
    server
        .ask("ALTER SCHEMA executor RENAME TO away", &database)
        .unwrap();
    let error = persist(&store, records.clone()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error:?}");
    server
        .ask("ALTER SCHEMA away RENAME TO executor", &database)
        .unwrap();
    assert_eq!(
        persist(&store, records).await.unwrap(),
        [const { Fate::Stored }; 3]
    );
}

#[tokio::test]
async fn c04_of_two_with_one_name_the_one_that_can_be_stored_is() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let refuses = "ALTER TABLE executor.executions ADD CHECK (trigger_id IS DISTINCT FROM 'bad')";
    server.ask(refuses, &database).unwrap();
    let records = records(&store, 1).await;
    let mut bad = records[0].clone();
    bad.trigger = executor_core::record::Trigger::Event {
        id: Some("bad".into()),
        origin: "LOCAL".into(),
    };
    let fates = persist(&store, vec![bad, records[0].clone()])
        .await
        .unwrap();
    assert_eq!(
        fates.iter().filter(|fate| **fate == Fate::Stored).count(),
        1,
        "{fates:?}"
    );
    let counts = "SELECT (SELECT count(*) FROM executor.executions), (SELECT sum(stored) FROM executor.session_hours)";
    assert_eq!(server.ask(counts, &database).unwrap(), "1|1");
}

#[tokio::test]
async fn d02_every_text_is_stored_with_what_was_said() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let hall = kit::listener(&format!("a\0b{}", "long".repeat(3_000)));
    let mut record = kit::record(&hall, None, 1);
    record.status = Status::Error;
    record.failure = Some(Arc::new(Failure {
        error_type: "odd\0".into(),
        message: "ends here\0".into(),
        report: Some("\u{10ffff}".into()),
    }));
    let body = "1500 o [] copying\n";
    record.lines = Some(Arc::new(executor_core::lines::Lines::from_parts(
        1, 1, 8, false, body,
    )));
    let fates = persist(&store, vec![record]).await.unwrap();
    assert_eq!(fates, [Fate::Detached]);
    let row = "SELECT length(name), error_type, error_message, body FROM executor.executions_v v \
               JOIN executor.execution_lines l ON l.execution_id = v.execution_id";
    let expected = "12003|odd\u{fffd}|ends here\u{fffd}|1500 o [] copying";
    assert_eq!(server.ask(row, &database).unwrap(), expected);
    let days = "SELECT count(*) FROM executor.executions_default";
    assert_eq!(
        server.ask(days, &database).unwrap(),
        "0",
        "it is in a day of its own"
    );
}

/// Rows that came before their day was made move when it is.
#[tokio::test]
async fn h04_a_day_takes_what_was_dated_in_it() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let records = records(&store, 4).await;
    // What is in the way of a day is no failure.
    let day = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'executor.executions'::regclass";
    let refuses = "CREATE TABLE executor.executions_20454 (id int)";
    server.ask(refuses, &database).unwrap();
    persist(&store, records[..2].to_vec()).await.unwrap();
    let of_default = "SELECT count(*) FROM executor.executions_default";
    assert_eq!(server.ask(of_default, &database).unwrap(), "2");
    let mends = "DROP TABLE executor.executions_20454";
    server.ask(mends, &database).unwrap();
    // Another recorder has not been turned away by it.
    let store = server.open(&database).await.unwrap();
    let fates = persist(&store, records).await.unwrap();
    let known = [Fate::AlreadyThere, Fate::AlreadyThere];
    assert_eq!(fates[..2], known);
    assert_eq!(fates[2..], [Fate::Stored, Fate::Stored]);
    assert_eq!(
        server.ask(day, &database).unwrap(),
        "3",
        "the day, the next one and the default"
    );
    let counts = "SELECT (SELECT count(*) FROM executor.executions_20454), \
                  (SELECT count(*) FROM executor.executions_default)";
    assert_eq!(server.ask(counts, &database).unwrap(), "4|0");
}

#[tokio::test]
async fn h04_a_date_that_no_clock_shows_makes_no_day() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let mut records = records(&store, 3).await;
    records[0].started_at = executor_core::Timestamp::from_micros(0);
    records[1].started_at = executor_core::Timestamp::from_micros(i64::MAX / 2);
    records[2].started_at = executor_core::Timestamp::from_micros(i64::MIN / 2);
    assert_eq!(
        persist(&store, records).await.unwrap(),
        [const { Fate::Stored }; 3]
    );
    let days = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'executor.executions'::regclass";
    assert_eq!(
        server.ask(days, &database).unwrap(),
        "1",
        "the default partition alone"
    );
}
