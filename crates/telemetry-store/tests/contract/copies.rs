//! A copy of a history into another file.

use std::path::Path;

use executor_core::ports::{
    History as _, HistoryErrorClass, PageRequest, RecordStore as _, SessionStore as _, Window,
};
use executor_testkit::session;
use rusqlite::Connection;
use telemetry_store::migrate::{Migrator, pending};
use telemetry_store::{
    Copied, CopyEnd, CopyError, OpenError, SqliteHistory, SqliteStore, copy_history,
};

use crate::everything::{assert_same, dump, fill};
use crate::support::Database;

fn copy(from: &Path, to: &Path) -> Result<Copied, CopyError> {
    let end = |path: &Path| path.to_str().unwrap().to_owned();
    copy_history(
        CopyEnd::File(&end(from)),
        CopyEnd::File(&end(to)),
        &mut |_| {},
    )
}

/// A database with everything, and a path for its copy.
fn filled() -> (Database, std::path::PathBuf) {
    let database = Database::migrated();
    fill(&database.path);
    let copy = database.directory.path().join("copy.db");
    (database, copy)
}

#[test]
fn h07_a_copy_has_every_column_of_every_table() {
    let (database, to) = filled();
    let before = std::fs::read(&database.path).unwrap();
    let copied = copy(&database.path, &to).unwrap();
    assert_same(&dump(&to), &dump(&database.path));
    assert_eq!(std::fs::read(&database.path).unwrap(), before);
    assert_eq!(
        (copied.executions, copied.with_lines, copied.rollups),
        (4, 1, 2)
    );
    assert!(!copied.is_resumed);
    let sessions: Vec<u64> = copied.sessions.iter().map(|(_, count)| *count).collect();
    assert_eq!(sessions, [2, 2]);
}

#[test]
fn h07_a_text_may_hold_anything() {
    let (database, to) = filled();
    let outside = database.outside();
    let odd = "a\0b\u{1b}[31m\u{202e}\u{fffd}\u{10ffff}";
    let statement = "UPDATE execution_errors SET error_message = ?1";
    outside.execute(statement, [odd]).unwrap();
    drop(outside);
    copy(&database.path, &to).unwrap();
    assert_same(&dump(&to), &dump(&database.path));
}

#[test]
fn h07_what_is_in_no_rollup_yet_is_in_those_of_the_copy() {
    let (database, to) = filled();
    let outside = database.outside();
    outside
        .execute_batch(
            "DELETE FROM rollups; DELETE FROM rollup_entities; \
             UPDATE rollup_progress SET rolled_up_to = -9223372036854775808",
        )
        .unwrap();
    drop(outside);
    let copied = copy(&database.path, &to).unwrap();
    // Four listeners and jobs, by hour and by day.
    assert_eq!(copied.rollups, 8);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let summaries = |path: &Path| {
        let history = SqliteHistory::new(path.to_str().unwrap()).unwrap();
        let asked = history.summaries(Window::default());
        runtime.as_ref().unwrap().block_on(asked).unwrap()
    };
    assert_eq!(summaries(&to), summaries(&database.path));
    let copy = Connection::open(&to).unwrap();
    let mark: i64 = copy
        .query_row("SELECT rolled_up_to FROM rollup_progress", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(mark, 3_000_003);
}

/// Makes a whole copy look as one that was interrupted.
fn interrupted(database: &Database, to: &Path) -> Connection {
    copy(&database.path, to).unwrap();
    let name: String = database
        .outside()
        .query_row("SELECT lower(hex(history_id)) FROM history", [], |row| {
            row.get(0)
        })
        .unwrap();
    let copy = Connection::open(to).unwrap();
    let mark = "INSERT INTO __diesel_schema_migrations (version) VALUES ('copy-of-' || ?1 || '-an_earlier_one')";
    copy.execute(mark, [name]).unwrap();
    copy
}

#[test]
fn h07_an_interrupted_copy_goes_on_whatever_has_happened_since() {
    let (database, to) = filled();
    let there = interrupted(&database, &to);
    there
        .execute_batch(
            "DELETE FROM execution_lines; UPDATE executions SET status = 4 WHERE id = 3000000; \
             INSERT INTO executions (id, execution_id, kind, status, session_id, start_us, duration_us) \
             VALUES (9, x'ffffffffffffffffffffffffffffffff', 0, 0, 1, 9, 0); \
             INSERT INTO gaps VALUES (9, 7, 'overflow', 9, 9, 9); DELETE FROM rollups",
        )
        .unwrap();
    drop(there);
    // A registration goes, and what it has run stays.
    let source = database.outside();
    source
        .execute_batch(
            "DELETE FROM session_registrations WHERE kind = 1; DELETE FROM scheduled_jobs; \
             UPDATE listeners SET description = 'changed' WHERE id = 2; UPDATE sessions SET heartbeat_us = 30000 WHERE id = 7",
        )
        .unwrap();
    drop(source);
    let copied = copy(&database.path, &to).unwrap();
    assert!(copied.is_resumed);
    assert_same(&dump(&to), &dump(&database.path));
}

#[test]
fn h07_a_registration_that_is_gone_leaves_its_executions_to_the_copy() {
    let (database, to) = filled();
    drop(interrupted(&database, &to));
    let source = database.outside();
    let gone =
        "DELETE FROM session_registrations; DELETE FROM listeners; DELETE FROM scheduled_jobs";
    source.execute_batch(gone).unwrap();
    drop(source);
    let copied = copy(&database.path, &to).unwrap();
    assert_eq!(copied.were_there, 4);
    assert_same(&dump(&to), &dump(&database.path));
}

#[test]
fn h07_of_two_copies_to_one_place_the_later_one_goes_on() {
    let (database, to) = filled();
    let mut later = None;
    let mut begin_another = |_| {
        if later.is_none() {
            later = Some(copy(&database.path, &to));
        }
    };
    let ends = [&database.path, &to].map(|path| CopyEnd::File(path.to_str().unwrap()));
    let earlier = copy_history(ends[0], ends[1], &mut begin_another).unwrap_err();
    let why = std::error::Error::source(&earlier).unwrap().to_string();
    assert!(why.contains("another copy"), "{why}");
    assert!(later.unwrap().unwrap().is_resumed);
    assert_same(&dump(&to), &dump(&database.path));
}

#[test]
fn h07_a_history_of_an_earlier_version_is_not_migrated_by_a_copy_that_it_refuses() {
    let (database, _) = filled();
    let (other, _) = filled();
    let mut migrator = Migrator::open(other.url()).unwrap();
    migrator.down().unwrap();
    let lacking = pending(other.url()).unwrap();
    let refused = copy(&database.path, &other.path).unwrap_err();
    assert!(matches!(refused, CopyError::Taken), "{refused}");
    assert_eq!(pending(other.url()).unwrap(), lacking);
    assert_eq!(lacking.len(), 1);
}

#[test]
fn h07_an_interrupted_copy_leaves_alone_what_is_as_it_should_be() {
    let (database, to) = filled();
    drop(interrupted(&database, &to));
    let copied = copy(&database.path, &to).unwrap();
    assert_eq!((copied.is_resumed, copied.were_there), (true, 4));
    assert_same(&dump(&to), &dump(&database.path));
}

#[tokio::test]
async fn h07_nobody_takes_an_unfinished_copy_for_a_history() {
    let (database, to) = filled();
    drop(interrupted(&database, &to));
    let url = to.to_str().unwrap();
    let history = SqliteHistory::new(url).unwrap();
    let refused = history.sessions(PageRequest::first(9)).await.unwrap_err();
    assert_eq!(refused.class, HistoryErrorClass::Unavailable);
    let refused = SqliteStore::open(url).await.err().unwrap();
    assert!(matches!(refused, OpenError::Unfinished), "{refused}");
    let other = database.directory.path().join("other.db");
    let refused = copy(&to, &other).unwrap_err();
    assert!(matches!(refused, CopyError::OpenSource(_)), "{refused}");
    copy(&database.path, &to).unwrap();
    assert!(history.sessions(PageRequest::first(9)).await.is_ok());
}

#[test]
fn h07_a_copy_never_mixes_histories() {
    let (database, to) = filled();
    let refused = copy(&database.path, &database.path).unwrap_err();
    assert!(matches!(refused, CopyError::Same), "{refused}");
    let (other, _) = filled();
    let before = dump(&other.path);
    let refused = copy(&database.path, &other.path).unwrap_err();
    assert!(matches!(refused, CopyError::Taken), "{refused}");
    assert_same(&dump(&other.path), &before);
    // Nor with an unfinished copy of another one.
    drop(interrupted(&database, &to));
    let refused = copy(&other.path, &to).unwrap_err();
    assert!(matches!(refused, CopyError::OfAnother), "{refused}");
}

#[test]
fn h07_a_copy_knows_its_source_by_whatever_name() {
    let (database, to) = filled();
    std::fs::hard_link(&database.path, &to).unwrap();
    let refused = copy(&database.path, &to).unwrap_err();
    assert!(matches!(refused, CopyError::Same), "{refused}");
}

#[test]
fn h07_what_another_program_records_into_an_unfinished_copy_is_not_deleted() {
    let (database, to) = filled();
    let there = interrupted(&database, &to);
    // It had opened the database before that was marked.
    there
        .execute_batch(
            "INSERT INTO sessions (id, session_uuid, host, pid, started_us, heartbeat_us, status) \
             VALUES (8, x'0192aaaaaaaa7aaa8aaaaaaaaaaaaaa8', 'attic', 1, 1, 1, 'running')",
        )
        .unwrap();
    drop(there);
    let before = dump(&to);
    let refused = copy(&database.path, &to).unwrap_err();
    assert!(matches!(refused, CopyError::Strangers), "{refused}");
    assert_same(&dump(&to), &before);
}

#[test]
fn h07_a_target_that_is_taken_away_is_no_copy() {
    let (database, to) = filled();
    let mut take_away = |_| drop(std::fs::remove_file(&to));
    let ends = [&database.path, &to].map(|path| CopyEnd::File(path.to_str().unwrap()));
    let failed = copy_history(ends[0], ends[1], &mut take_away).unwrap_err();
    assert!(
        failed.to_string().contains("removed or replaced"),
        "{failed}"
    );
}

#[test]
fn h07_nothing_is_copied_to_where_sqlite_would_delete_it() {
    let (database, _) = filled();
    for suffix in ["-wal", "-journal", "-shm"] {
        let to = database.directory.path().join(format!("other.db{suffix}"));
        let refused = copy(&database.path, &to).unwrap_err();
        assert!(matches!(refused, CopyError::OpenTarget(_)), "{refused}");
        assert!(!to.exists());
    }
}

#[test]
fn h07_a_copy_has_what_was_there_when_it_began() {
    let (database, to) = filled();
    let url = |path: &Path| path.to_str().unwrap().to_owned();
    let before = dump(&database.path);
    let mut writes = 0;
    let mut write = |_| {
        writes += 1;
        let later = "INSERT OR IGNORE INTO executions (id, execution_id, kind, status, session_id, start_us, duration_us) \
                     VALUES (4000000, x'ffffffffffffffffffffffffffffffff', 0, 0, 7, 4000000, 0); \
                     DELETE FROM execution_lines; UPDATE sessions SET stored = stored + 1";
        database.outside().execute_batch(later).unwrap();
    };
    let (from, to_url) = (url(&database.path), url(&to));
    copy_history(CopyEnd::File(&from), CopyEnd::File(&to_url), &mut write).unwrap();
    assert!(writes > 0);
    assert_same(&dump(&to), &before);
}

#[tokio::test]
async fn h07_a_copy_is_written_on_by_the_next_program() {
    let (database, to) = filled();
    copy(&database.path, &to).unwrap();
    let store = SqliteStore::open(to.to_str().unwrap()).await.unwrap();
    store.open_session(session()).await.unwrap();
    store.close().await.unwrap();
    let history = SqliteHistory::new(to.to_str().unwrap()).unwrap();
    let sessions = history.sessions(PageRequest::first(9)).await.unwrap();
    assert_eq!(sessions.items.len(), 3);
}
