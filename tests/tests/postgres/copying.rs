//! A history that moves to a server and back.

use std::path::Path;
use std::time::Duration;

use command_executor::ports::{HistoryErrorClass, PageRequest, Window};
use command_executor::{Event, History as _, PostgresHistory, SqliteHistory};
use executor_testkit::TempDatabase;
use telemetry_store::{Copied, CopyEnd, CopyError, PostgresStore, ServerError, copy_history};

use crate::everything::{assert_same, dump, fill};
use crate::{options, recorder, server};

fn to_server(from: &Path, to: &str) -> Result<Copied, CopyError> {
    let from = from.to_str().unwrap();
    copy_history(CopyEnd::File(from), CopyEnd::Server(to), &mut |_| {})
}

fn to_file(from: &str, to: &Path) -> Result<Copied, CopyError> {
    let to = to.to_str().unwrap();
    copy_history(CopyEnd::Server(from), CopyEnd::File(to), &mut |_| {})
}

fn filled() -> TempDatabase {
    let database = TempDatabase::new();
    fill(&database.path());
    database
}

#[test]
fn h07_every_column_of_every_table_moves_to_a_server_and_back() {
    let Some(server) = server() else { return };
    let (file, back) = (filled(), TempDatabase::absent());
    let [there, elsewhere] = [(); 2].map(|()| server.url(&server.database()));
    to_server(&file.path(), &there).unwrap();
    copy_history(
        CopyEnd::Server(&there),
        CopyEnd::Server(&elsewhere),
        &mut |_| {},
    )
    .unwrap();
    to_file(&elsewhere, &back.path()).unwrap();
    assert_same(&dump(&back.path()), &dump(&file.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn h07_an_interrupted_copy_to_a_server_goes_on() {
    let Some(server) = server() else { return };
    let (file, back) = (filled(), TempDatabase::absent());
    let name = server.database();
    let url = server.url(&name);
    // The copy ends where the program panics.
    let (from, to) = (file.path(), url.clone());
    let cut = std::thread::spawn(move || {
        let from = from.to_str().unwrap();
        let _ = copy_history(CopyEnd::File(from), CopyEnd::Server(&to), &mut |_| {
            panic!("the copy is cut off")
        });
    });
    assert!(cut.join().is_err());
    let history = PostgresHistory::new(&url).unwrap();
    let refused = history.sessions(PageRequest::first(9)).await.unwrap_err();
    assert_eq!(refused.class, HistoryErrorClass::Unavailable);
    let (options, _home) = options();
    let refused = PostgresStore::open_with(&url, options).await.err().unwrap();
    assert!(
        matches!(refused, ServerError::Unfinished { .. }),
        "{refused}"
    );
    let change = "UPDATE executor.executions SET status = 4 WHERE status = 0; \
                  DELETE FROM executor.execution_lines; UPDATE executor.sessions SET stored = 0";
    server.run(change, &name).unwrap();
    let copied = to_server(&file.path(), &url).unwrap();
    assert!(copied.is_resumed);
    assert!(history.sessions(PageRequest::first(9)).await.is_ok());
    to_file(&url, &back.path()).unwrap();
    assert_same(&dump(&back.path()), &dump(&file.path()));
}

#[test]
fn h07_a_text_that_a_server_cannot_hold_is_replaced() {
    let Some(server) = server() else { return };
    let (file, back) = (filled(), TempDatabase::absent());
    let outside = rusqlite::Connection::open(file.path()).unwrap();
    let change = "UPDATE execution_errors SET error_message = ?1";
    outside.execute(change, ["a\0b"]).unwrap();
    let url = server.url(&server.database());
    to_server(&file.path(), &url).unwrap();
    to_file(&url, &back.path()).unwrap();
    outside.execute(change, ["a\u{fffd}b"]).unwrap();
    drop(outside);
    assert_same(&dump(&back.path()), &dump(&file.path()));
}

#[test]
fn h07_a_server_with_a_history_takes_no_other() {
    let Some(server) = server() else { return };
    let (file, other) = (filled(), filled());
    let url = server.url(&server.database());
    to_server(&file.path(), &url).unwrap();
    let refused = to_server(&other.path(), &url).unwrap_err();
    assert!(matches!(refused, CopyError::Taken), "{refused}");
    let refused = copy_history(CopyEnd::Server(&url), CopyEnd::Server(&url), &mut |_| {});
    assert!(matches!(refused, Err(CopyError::Same)));
}

#[tokio::test(flavor = "multi_thread")]
async fn h07_a_store_goes_on_with_a_copy_and_its_rollups_become_one() {
    let Some(server) = server() else { return };
    let file = TempDatabase::absent();
    let url = server.url(&server.database());
    for _ in 0..2 {
        let (options, home) = options();
        let store = PostgresStore::open_with(&url, options).await.unwrap();
        ran(store, home.path()).await;
    }
    to_file(&url, &file.path()).unwrap();
    let (there, here) = (
        PostgresHistory::new(&url).unwrap(),
        SqliteHistory::new(file.path().to_str().unwrap()).unwrap(),
    );
    let [of_server, of_file] = [
        there.summaries(Window::default()).await.unwrap(),
        here.summaries(Window::default()).await.unwrap(),
    ];
    assert_eq!(of_server, of_file);
    assert_eq!(of_file[0].stats.runs(), 2);
    // And back, and on: the next session counts too.
    let moved = server.url(&server.database());
    to_server(&file.path(), &moved).unwrap();
    let (options, home) = options();
    let store = PostgresStore::open_with(&moved, options).await.unwrap();
    ran(store, home.path()).await;
    let moved = PostgresHistory::new(&moved).unwrap();
    let summaries = moved.summaries(Window::default()).await.unwrap();
    assert_eq!((summaries.len(), summaries[0].stats.runs()), (1, 3));
    let sessions = moved.sessions(PageRequest::first(9)).await.unwrap();
    assert_eq!(sessions.items.len(), 3);
}

/// Records one execution in a session of its own.
async fn ran(store: PostgresStore, home: &Path) {
    let (executor, listener) = recorder(store, home).await;
    let event = Event::new("hall");
    executor.execute(listener.invoke(event)).await.unwrap();
    let report = executor.shutdown(Duration::from_secs(30)).await;
    assert_eq!(report.ledger.stored, 1, "{}", report.ledger);
}
