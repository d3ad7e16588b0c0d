//! Clause H5: a server that is away, and one that stands still.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::{Duration, Instant};

use executor_core::ErrorClass;
use executor_core::ports::{Batch, Fate, History, HistoryErrorClass, RecordStore, Window};
use executor_testkit as kit;
use rustix::process::{Pid, Signal, kill_process};
use telemetry_store::{PostgresHistory, PostgresStore, ServerError};

use crate::{options, server, server_with_socket};

/// Processes of a server that stand still until this is dropped.
struct Stopped(Vec<Pid>);

impl Stopped {
    fn of(server: &kit::TempPostgres, database: &str) -> Self {
        let question = format!("SELECT pid FROM pg_stat_activity WHERE datname = '{database}'");
        let answer = server.ask(&question, "postgres").unwrap();
        let pids = answer
            .lines()
            .map(|it| it.parse().ok().and_then(Pid::from_raw));
        let pids: Option<Vec<Pid>> = pids.collect();
        let stopped = Self(pids.unwrap());
        for pid in &stopped.0 {
            kill_process(*pid, Signal::STOP).unwrap();
        }
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

fn batch(count: u64) -> Arc<Batch> {
    let hall = kit::listener("hall");
    let records = (0..count).map(|at| kit::record(&hall, None, at)).collect();
    let session = kit::session();
    Arc::new(Batch { session, records })
}

#[tokio::test]
async fn h05_a_server_that_stands_still_keeps_nobody_waiting() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    store.persist(batch(1)).await.unwrap();
    let stopped = Stopped::of(server, &database);
    assert!(!stopped.0.is_empty());
    let (begun, five) = (Instant::now(), batch(5));
    let error = store.persist(Arc::clone(&five)).await.unwrap_err();
    let took = begun.elapsed();
    assert_eq!(
        (error.class, error.answered),
        (ErrorClass::Transient, false)
    );
    assert_eq!(error.source.to_string(), "the server does not answer");
    assert!(took < Duration::from_secs(20), "{took:?}");
    // Another connection goes on, whatever becomes of the first.
    let fates = store.persist(Arc::clone(&five)).await.unwrap();
    assert_eq!(fates, [const { Fate::Detached }; 5]);
    drop(stopped);
    // The first one may do it now: then it finds that it is done.
    store.persist(five).await.unwrap();
    let counts = "SELECT (SELECT count(*) FROM executor.executions), (SELECT sum(stored) FROM executor.session_hours)";
    assert_eq!(server.ask(counts, &database).unwrap(), "6|6");
    store.close().await.unwrap();
}

/// Readers too: the server cannot keep their time limit then.
#[tokio::test]
async fn g02_a_query_of_a_server_that_stands_still_ends_after_its_time() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    store.persist(batch(1)).await.unwrap();
    let history = PostgresHistory::new(&server.url(&database)).unwrap();
    let history = history.with_time_limit(Duration::from_secs(1));
    assert_eq!(history.count(Window::default()).await.unwrap(), 1);
    let _stopped = Stopped::of(server, &database);
    let error = history.count(Window::default()).await.unwrap_err();
    assert_eq!(error.class, HistoryErrorClass::TimedOut);
}

/// A lock that somebody has forgotten is told before the time for the query is over.
#[tokio::test]
async fn g02_a_lock_on_the_history_is_named() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    store.persist(batch(1)).await.unwrap();
    let history = PostgresHistory::new(&server.url(&database)).unwrap();
    assert_eq!(history.count(Window::default()).await.unwrap(), 1);
    let holder = std::thread::spawn(move || {
        let lock = "BEGIN; LOCK TABLE executor.executions; SELECT pg_sleep(12); ROLLBACK";
        server.ask(lock, &database)
    });
    let error = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Err(error) = history.count(Window::default()).await {
                return error;
            }
        }
    });
    let error = error.await.unwrap();
    assert_eq!(error.class, HistoryErrorClass::Unavailable);
    let reason = error.source.to_string();
    assert!(reason.contains("holds a lock"), "{reason}");
    drop(holder.join());
}

#[tokio::test]
async fn h05_a_store_opens_while_its_server_is_away_if_it_may() {
    let Some(server) = server_with_socket() else {
        return;
    };
    let database = server.database();
    let directory = tempfile::tempdir().unwrap();
    // The directory of the server's socket, which comes later.
    let socket = directory.path().join("socket");
    let host = socket.to_str().unwrap().replace('/', "%2F");
    let url = format!("postgres://postgres@{host}/{database}");
    let (mut options, _home) = options();
    let refused = PostgresStore::open_with(&url, options.clone()).await;
    let refused = refused.err().unwrap();
    assert!(
        matches!(refused, ServerError::Unreachable { .. }),
        "{refused}"
    );
    options.may_be_away = true;
    let store = PostgresStore::open_with(&url, options).await.unwrap();
    let error = store.persist(batch(3)).await.unwrap_err();
    assert_eq!(
        (error.class, error.answered),
        (ErrorClass::Transient, false)
    );
    symlink(server.socket_directory(), &socket).unwrap();
    let stored = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            if let Ok(fates) = store.persist(batch(3)).await {
                return fates;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(stored.await.unwrap().len(), 3);
    let tables = "SELECT count(*) FROM executor.executions";
    assert_eq!(server.ask(tables, &database).unwrap(), "3", "migrated, too");
}

#[tokio::test]
async fn h05_what_only_a_person_can_mend_is_an_error_even_if_the_server_may_be_away() {
    let Some(server) = server() else { return };
    let (mut options, _home) = options();
    options.may_be_away = true;
    let url = server.url("no_such_database");
    let refused = PostgresStore::open_with(&url, options).await.err().unwrap();
    assert!(refused.to_string().contains("does not exist"), "{refused}");
}
