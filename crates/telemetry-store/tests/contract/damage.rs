//! Clause C4 where the file itself suffers: deleted, replaced, truncated, damaged, of another shape.
//! Nothing is said to be stored that is not in the file at the path, and nothing is set aside for it.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use executor_core::ports::{Fate, RecordStore, Session, SessionStore};
use executor_core::{DropReason, ExecutionRecord};
use executor_testkit as kit;
use telemetry_store::{OpenError, SqliteStore};

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

/// Persists after a file was taken away: the request that meets it says so and costs no record, and the next
/// one finds the store well.
async fn persist_past_the_loss(
    store: &SqliteStore,
    session: &Arc<Session>,
    batch: Vec<ExecutionRecord>,
) -> Vec<Fate> {
    let error = persist(store, session, batch.clone()).await.unwrap_err();
    passes(&error, false, "deleted or replaced");
    persist(store, session, batch).await.unwrap()
}

#[tokio::test]
async fn c04_a_database_deleted_while_it_is_open_is_noticed_and_made_anew() {
    let database = Database::new();
    let store = database.open().await;
    let session = kit::session();
    store.open_session(session.clone()).await.unwrap();
    persist(&store, &session, records(10)).await.unwrap();
    delete(&database);
    let fates = persist_past_the_loss(&store, &session, records(20)).await;
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
    let fates = persist_past_the_loss(&store, &session, third.clone()).await;
    assert_eq!(fates, vec![Fate::Detached; 5]);
    // What came after the copy was made is not in it, and what is said now is true of it.
    for (batch, fate) in [
        (first, Fate::AlreadyThere),
        (second, Fate::Detached),
        (third, Fate::AlreadyThere),
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
    // Somebody else has it open too: the writer is not the last to close it, who writes the log back.
    let outside = database.outside();
    let rows: i64 = outside.query_row(ROWS, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 500);
    fs::remove_file(format!("{}-wal", database.url())).unwrap();
    persist_past_the_loss(&store, &session, records(20)).await;
    assert_eq!(database.number(ROWS), 520);
    assert_eq!(database.text("PRAGMA integrity_check"), "ok");
}

/// Overwrites the first page of the index by which records are found, in a process of its own. Nothing but
/// storing asks for it.
fn damage(database: &Database) {
    let of = format!("of={}", database.url());
    let root = "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_executions_1'";
    let seek = format!("seek={}", database.number(root) - 1);
    let arguments = [
        "if=/dev/zero",
        &of,
        "bs=4096",
        &seek,
        "count=1",
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
async fn c04_a_damaged_file_costs_no_record_and_passes_with_its_repair() {
    let database = Database::new();
    let session = kit::session();
    let store = database.open().await;
    persist(&store, &session, records(500)).await.unwrap();
    let whole = copy(&database);
    store.close().await.unwrap();
    damage(&database);
    let batch = records(100);
    let store = database.open().await;
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

#[tokio::test]
async fn c04_a_truncated_file_is_not_opened_and_the_reason_is_said() {
    let database = Database::new();
    let store = database.open().await;
    persist(&store, &kit::session(), records(500))
        .await
        .unwrap();
    store.close().await.unwrap();
    truncate(&database);
    let refused = SqliteStore::open(database.url()).await;
    let text = why(&refused.err().unwrap());
    assert!(text.contains("malformed"), "{text}");
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
    let views =
        "SELECT group_concat('DROP VIEW ' || name, ';') FROM sqlite_schema WHERE type = 'view'";
    let drop_views = database.text(views);
    outside
        .execute_batch(&format!(
            "{drop_views}; ALTER TABLE executions DROP COLUMN args_json"
        ))
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

/// SQLite would put what stands in the log into the new database, and damage it.
#[tokio::test]
async fn d05_a_log_whose_database_is_gone_is_moved_aside_and_kept() {
    for leave in [None, Some("")] {
        let database = Database::new();
        let store = database.open().await;
        persist(&store, &kit::session(), records(10)).await.unwrap();
        let beside = |suffix: &str| format!("{}{suffix}", database.url());
        let log = fs::read(beside("-wal")).unwrap();
        store.close().await.unwrap();
        fs::remove_file(&database.path).unwrap();
        // As a kill leaves it, whose database somebody has moved away since.
        fs::write(beside("-wal"), &log).unwrap();
        if let Some(text) = leave {
            fs::write(&database.path, text).unwrap();
        }
        for count in [3, 4] {
            let store = database.open().await;
            persist(&store, &kit::session(), records(count))
                .await
                .unwrap();
            store.close().await.unwrap();
        }
        assert_eq!(database.number("SELECT count(*) FROM executions"), 7);
        assert_eq!(database.text("PRAGMA integrity_check"), "ok");
        let entries = fs::read_dir(database.directory.path()).unwrap().flatten();
        let mut orphans =
            entries.filter(|entry| entry.file_name().to_string_lossy().contains("-wal.orphan-"));
        assert_eq!(fs::read(orphans.next().unwrap().path()).unwrap(), log);
    }
}

#[tokio::test]
async fn d05_damage_where_the_migrations_stand_is_damage_too() {
    let database = Database::new();
    database.open().await.close().await.unwrap();
    let mut bytes = fs::read(&database.path).unwrap();
    // The table, and the index that answers for it.
    for least in ["min", "max"] {
        let root = format!(
            "SELECT {least}(rootpage) FROM sqlite_master WHERE tbl_name = '__diesel_schema_migrations'"
        );
        let root = usize::try_from(database.number(&root)).unwrap();
        bytes[(root - 1) * 4_096..root * 4_096].fill(0x5A);
    }
    fs::write(&database.path, bytes).unwrap();
    let refused = SqliteStore::open(database.url()).await.err().unwrap();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused:?}");
}

/// Its header says that another program keeps something here, if only a version.
#[tokio::test]
async fn d05_an_empty_database_with_a_version_of_its_own_is_left_alone() {
    let database = Database::new();
    let foreign = rusqlite::Connection::open(&database.path).unwrap();
    foreign.pragma_update(None, "user_version", 7).unwrap();
    drop(foreign);
    let before = fs::read(&database.path).unwrap();
    assert!(!before.is_empty());
    assert!(SqliteStore::open(database.url()).await.is_err());
    assert_eq!(fs::read(&database.path).unwrap(), before);
}
