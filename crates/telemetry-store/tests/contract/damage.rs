//! Clause C4 where the file itself suffers: deleted, replaced, truncated, damaged, of another shape.
//! Nothing is said to be stored that is not in the file at the path, and nothing is set aside for it.

use std::fs;
use std::process::Command;

use executor_core::DropReason;
use executor_core::ports::{Fate, SessionStore};
use executor_testkit as kit;

use crate::faults::{passes, records, why};
use crate::support::{Database, persist, run};

const ROWS: &str = "SELECT count(*) FROM executions";

/// Takes the database away as a person would: with what lies beside it.
fn delete(database: &Database) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", database.url()));
    }
}

/// A copy that is whole, beside the database.
fn copy(database: &Database) -> String {
    let copy = format!("{}.copy", database.url());
    database
        .outside()
        .execute("VACUUM INTO ?1", [&copy])
        .unwrap();
    copy
}

#[tokio::test]
async fn c04_a_database_deleted_while_it_is_open_is_noticed_and_made_anew() {
    let database = Database::new();
    let store = database.open().await;
    let session = kit::session();
    store.open_session(session.clone()).await.unwrap();
    persist(&store, &session, records(10)).await.unwrap();
    delete(&database);
    let batch = records(20);
    // The roll-up of the first batch, which nobody waits for, may have noticed it before.
    let fates = match persist(&store, &session, batch.clone()).await {
        Ok(fates) => fates,
        Err(error) => {
            passes(&error, false, "deleted or replaced");
            persist(&store, &session, batch).await.unwrap()
        }
    };
    assert_eq!(fates, vec![Fate::Detached; 20]);
    assert_eq!(database.number(ROWS), 20);
    assert_eq!(database.text("PRAGMA integrity_check"), "ok");
}

#[tokio::test]
async fn c04_a_database_replaced_while_it_is_open_is_written_on_in_the_new_file() {
    let database = Database::new();
    let store = database.open().await;
    let session = kit::session();
    let first = records(10);
    persist(&store, &session, first.clone()).await.unwrap();
    let copied = copy(&database);
    let second = records(20);
    persist(&store, &session, second.clone()).await.unwrap();
    delete(&database);
    fs::rename(copied, &database.path).unwrap();
    let third = records(5);
    let error = persist(&store, &session, third.clone()).await.unwrap_err();
    passes(&error, false, "deleted or replaced");
    // What came after the copy was made is not in it, and what is said now is true of it.
    for (batch, fate) in [
        (first, Fate::AlreadyThere),
        (second, Fate::Detached),
        (third, Fate::Detached),
    ] {
        let expected = vec![fate; batch.len()];
        assert_eq!(persist(&store, &session, batch).await.unwrap(), expected);
    }
    assert_eq!(database.number(ROWS), 35);
}

#[tokio::test]
async fn c04_a_database_replaced_by_another_programs_is_not_written_to() {
    let database = Database::new();
    let store = database.open().await;
    let session = kit::session();
    let batch = records(10);
    persist(&store, &session, batch.clone()).await.unwrap();
    let ours = copy(&database);
    delete(&database);
    let foreign = rusqlite::Connection::open(&database.path).unwrap();
    foreign.execute_batch("CREATE TABLE cats (name)").unwrap();
    drop(foreign);
    let before = fs::read(&database.path).unwrap();
    for _ in 0..3 {
        let error = persist(&store, &session, batch.clone()).await.unwrap_err();
        passes(&error, false, "");
    }
    assert_eq!(fs::read(&database.path).unwrap(), before);
    fs::rename(ours, &database.path).unwrap();
    let fates = persist(&store, &session, batch).await.unwrap();
    assert_eq!(fates, vec![Fate::AlreadyThere; 10]);
}

#[tokio::test]
async fn c04_a_log_deleted_while_it_is_open_takes_no_row_along() {
    let database = Database::new();
    let store = database.open().await;
    let session = kit::session();
    persist(&store, &session, records(500)).await.unwrap();
    fs::remove_file(format!("{}-wal", database.url())).unwrap();
    let batch = records(20);
    let error = persist(&store, &session, batch.clone()).await.unwrap_err();
    passes(&error, false, "deleted or replaced");
    persist(&store, &session, batch).await.unwrap();
    assert_eq!(database.number(ROWS), 520);
    assert_eq!(database.text("PRAGMA integrity_check"), "ok");
}

/// Overwrites everything but the first pages, in a process of its own.
fn damage(database: &Database) {
    let of = format!("of={}", database.url());
    let pages = fs::metadata(&database.path).unwrap().len() / 4_096 - 2;
    let count = format!("count={pages}");
    let arguments = [
        "if=/dev/zero",
        &of,
        "bs=4096",
        "seek=2",
        &count,
        "conv=notrunc",
    ];
    assert!(run(Command::new("dd").args(arguments)));
}

fn truncate(database: &Database) {
    assert!(run(Command::new("truncate").args([
        "-s",
        "8192",
        database.url()
    ])));
}

#[tokio::test]
async fn c04_a_damaged_or_truncated_file_costs_no_record_and_passes_with_its_repair() {
    for harm in [damage, truncate] {
        let database = Database::new();
        let session = kit::session();
        let store = database.open().await;
        persist(&store, &session, records(500)).await.unwrap();
        let whole = copy(&database);
        executor_core::ports::RecordStore::close(&store)
            .await
            .unwrap();
        harm(&database);
        // Opening may or may not meet the damage; storing does.
        let batch = records(100);
        let store = match telemetry_store::SqliteStore::open(database.url()).await {
            Ok(store) => store,
            Err(error) => {
                let text = why(&error);
                assert!(text.contains("malformed"), "{text}");
                continue;
            }
        };
        for _ in 0..3 {
            let error = persist(&store, &session, batch.clone()).await.unwrap_err();
            passes(&error, false, "");
        }
        delete(&database);
        fs::rename(whole, &database.path).unwrap();
        let fates = match persist(&store, &session, batch.clone()).await {
            Err(_) => persist(&store, &session, batch).await.unwrap(),
            Ok(fates) => fates,
        };
        assert_eq!(fates, vec![Fate::Detached; 100]);
        assert_eq!(database.number(ROWS), 600);
    }
}

#[tokio::test]
async fn c04_a_file_truncated_while_it_is_open_costs_no_record() {
    let database = Database::new();
    let session = kit::session();
    let store = database.open().await;
    persist(&store, &session, records(500)).await.unwrap();
    let whole = copy(&database);
    // Somebody else writes, so that what the writer remembers of the file is not asked.
    let outside = database.outside();
    outside
        .execute("UPDATE sessions SET host = 'another'", [])
        .unwrap();
    let written_back = "PRAGMA wal_checkpoint(TRUNCATE)";
    outside.query_row(written_back, [], |_| Ok(())).unwrap();
    truncate(&database);
    let batch = records(100);
    let error = persist(&store, &session, batch.clone()).await.unwrap_err();
    passes(&error, false, "");
    drop(outside);
    delete(&database);
    fs::rename(whole, &database.path).unwrap();
    let mut stored = persist(&store, &session, batch.clone()).await;
    if stored.is_err() {
        stored = persist(&store, &session, batch).await;
    }
    assert_eq!(stored.unwrap(), vec![Fate::Detached; 100]);
    assert_eq!(database.number(ROWS), 600);
}

#[tokio::test]
async fn c04_a_missing_column_sets_rows_aside_and_says_which_it_is() {
    let database = Database::new();
    let store = database.open().await;
    let outside = database.outside();
    outside
        .execute_batch("DROP VIEW executions_v; DROP VIEW errors_v; ALTER TABLE executions DROP COLUMN args_json")
        .unwrap();
    let fates = persist(&store, &kit::session(), records(3)).await.unwrap();
    for fate in fates {
        let Fate::SetAside { reason, detail } = fate else {
            panic!("{fate:?}");
        };
        assert_eq!(reason, DropReason::Unstorable);
        assert!(detail.contains("args_json"), "{detail}");
    }
}
