//! Clause H4: days are made before they come, and go as a whole.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use executor_core::ports::{
    Batch, Fate, Housekeeping, PruneRule, PruneSlice, RecordStore, Session, SessionStore,
};
use executor_core::{ErrorClass, Ledger, Timestamp};
use executor_testkit as kit;
use telemetry_store::PostgresStore;

use crate::{server, server_with_socket};

const DAY: Duration = Duration::from_secs(86_400);

/// The beginning of the day of the samples.
fn begun() -> Timestamp {
    let day = DAY.as_micros() as i64;
    let at = kit::record(&kit::listener("hall"), None, 0).started_at;
    Timestamp::from_micros(at.as_micros() / day * day)
}

/// Stores executions of a session on each of some days, one each quarter of an hour.
async fn fill(store: &PostgresStore, session: &Arc<Session>, days: u32, each: u32) {
    let hall = kit::listener("hall");
    let quarter = Duration::from_secs(900);
    let records = (0..days).flat_map(|day| (0..each).map(move |at| (day, at)));
    let records = records.map(|(day, at)| {
        let mut record = kit::record(&hall, None, 0);
        record.started_at = begun().saturating_add(DAY * day + quarter * (at % 90));
        let body = "1 o [] quiet\n";
        record.lines = (at % 3 == 0).then(|| {
            Arc::new(executor_core::lines::Lines::from_parts(
                1, 1, 5, false, body,
            ))
        });
        record
    });
    let batch = Batch {
        session: Arc::clone(session),
        records: records.collect(),
    };
    let fates = store.persist(Arc::new(batch)).await.unwrap();
    assert!(
        fates.iter().all(|fate| *fate == Fate::Detached),
        "{fates:?}"
    );
}

const BALANCE: &str = "SELECT (SELECT count(*) FROM executor.executions), \
    (SELECT sum(stored - pruned) FROM executor.session_hours), \
    (SELECT sum(pruned) FROM executor.sessions), (SELECT coalesce(sum(count), 0) FROM executor.prunes), \
    (SELECT count(*) FROM executor.execution_lines)";

const LINES_DAYS: &str =
    "SELECT count(*) FROM pg_inherits WHERE inhparent = 'executor.execution_lines'::regclass";

const DAYS: &str =
    "SELECT count(*) FROM pg_inherits WHERE inhparent = 'executor.executions'::regclass";

#[tokio::test]
async fn h04_a_day_of_which_nothing_is_kept_goes_at_once_and_is_counted() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let seen = Arc::new(Mutex::new(0));
    let sees = Arc::clone(&seen);
    let hook = move |rows: &[_]| *sees.lock().unwrap() += rows.len();
    store.on_prune(hook).unwrap();
    let (one, other) = (kit::session(), kit::session());
    fill(&store, &one, 3, 1_500).await;
    fill(&store, &other, 3, 300).await;
    assert_eq!(
        server.ask(BALANCE, &database).unwrap(),
        "5400|5400|0|0|1800"
    );
    assert_eq!(server.ask(DAYS, &database).unwrap(), "5");
    // A slice of ten rows takes the whole day, and the rest of another one by rows.
    let noon = begun().saturating_add(DAY + DAY / 2);
    let slice = PruneSlice::new(PruneRule::EndedBefore(noon), 10);
    assert_eq!(store.prune(slice).await.unwrap(), 1_800);
    assert_eq!(
        server.ask(BALANCE, &database).unwrap(),
        "3600|3600|1800|1800|1200"
    );
    assert_eq!(server.ask(DAYS, &database).unwrap(), "4");
    assert_eq!(server.ask(LINES_DAYS, &database).unwrap(), "4");
    assert_eq!(store.prune(slice).await.unwrap(), 10);
    let mut gone = 1_810;
    while let more @ 1.. = store.prune(slice).await.unwrap() {
        gone += more;
    }
    assert_eq!(*seen.lock().unwrap() as u64, gone);
    let balance = server.ask(BALANCE, &database).unwrap();
    let left = 5_400 - gone;
    assert!(
        balance.starts_with(&format!("{left}|{left}|{gone}|{gone}|")),
        "{balance}"
    );
    // A late row of a day that is gone finds its place, and goes with the next slice.
    fill(&store, &one, 1, 1).await;
    assert_eq!(store.prune(slice).await.unwrap(), 1);
}

#[tokio::test]
async fn h04_lines_go_by_whole_days_and_their_executions_stay() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    fill(&store, &kit::session(), 2, 90).await;
    let rule = PruneRule::LinesBefore(begun().saturating_add(DAY));
    assert_eq!(store.prune(PruneSlice::new(rule, 5)).await.unwrap(), 30);
    assert_eq!(store.prune(PruneSlice::new(rule, 5)).await.unwrap(), 0);
    assert_eq!(server.ask(BALANCE, &database).unwrap(), "180|180|0|30|30");
}

#[tokio::test]
async fn h04_a_history_that_is_too_large_loses_its_oldest_days_but_never_today() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let session = kit::session();
    fill(&store, &session, 3, 50).await;
    let now = "SELECT (extract(epoch FROM now()) * 1000000)::bigint";
    let now: i64 = server.ask(now, &database).unwrap().parse().unwrap();
    let mut today = kit::record(&kit::listener("hall"), None, 0);
    today.started_at = Timestamp::from_micros(now);
    let records = vec![today];
    store
        .persist(Arc::new(Batch { session, records }))
        .await
        .unwrap();
    let at_most = |bytes| PruneSlice::new(PruneRule::LargerThan(bytes), 10);
    assert_eq!(store.prune(at_most(1 << 40)).await.unwrap(), 0);
    for _ in 0..3 {
        assert_eq!(store.prune(at_most(1)).await.unwrap(), 50);
    }
    assert_eq!(store.prune(at_most(1)).await.unwrap(), 0);
    let balance = server.ask(BALANCE, &database).unwrap();
    assert!(balance.starts_with("1|1|150|150|"), "{balance}");
}

/// A clock that was ahead by years costs no day of the others.
#[tokio::test]
async fn h04_by_size_what_is_dated_in_the_future_goes_first() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let session = kit::session();
    fill(&store, &session, 2, 20).await;
    let mut ahead = kit::record(&kit::listener("hall"), None, 0);
    ahead.started_at = begun().saturating_add(DAY * 3_650);
    let records = vec![ahead];
    let batch = Batch { session, records };
    store.persist(Arc::new(batch)).await.unwrap();
    let slice = PruneSlice::new(PruneRule::LargerThan(1), 10);
    assert_eq!(store.prune(slice).await.unwrap(), 1);
    let left = "SELECT count(*) FROM executor.executions_default";
    assert_eq!(server.ask(left, &database).unwrap(), "0");
    assert_eq!(store.prune(slice).await.unwrap(), 20);
}

#[tokio::test]
async fn h04_two_that_prune_at_once_take_each_row_once() {
    let Some(server) = server() else { return };
    let database = server.database();
    let (one, other) = (
        server.open(&database).await.unwrap(),
        server.open(&database).await.unwrap(),
    );
    fill(&one, &kit::session(), 6, 200).await;
    let slice = PruneSlice::new(PruneRule::EndedBefore(begun().saturating_add(DAY * 9)), 50);
    let all = async |store: &PostgresStore| {
        let mut gone = 0;
        loop {
            match store.prune(slice).await {
                Ok(0) => return gone,
                Ok(more) => gone += more,
                // The other one has the day.
                Err(error) => assert_eq!(error.class, ErrorClass::Transient, "{error:?}"),
            }
        }
    };
    let (first, second) = tokio::join!(all(&one), all(&other));
    assert_eq!(first + second, 1_200);
    assert_eq!(server.ask(BALANCE, &database).unwrap(), "0|0|1200|1200|0");
}

#[tokio::test]
async fn h04_the_days_of_the_coming_week_are_there_before_they_come() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let session = kit::session();
    store.open_session(session.clone()).await.unwrap();
    let beat = store.heartbeat(session.id, session.started_at, Ledger::default());
    beat.await.unwrap();
    let ahead = "SELECT count(*) FROM pg_class, (SELECT extract(epoch FROM now())::bigint / 86400 AS today) t \
                 WHERE relname IN (SELECT 'executions_' || today + n FROM generate_series(0, 7) n)";
    assert_eq!(server.ask(ahead, &database).unwrap(), "8");
}

/// Reads a table for longer than the test takes, as a dump does. It ends with this.
struct Dump(Child);

impl Dump {
    fn of(server: &kit::TempPostgres, database: &str, table: &str) -> Self {
        let reads = format!("BEGIN; SELECT count(*) FROM {table}; SELECT pg_sleep(600)");
        let mut psql = Command::new(server.program("psql"));
        let psql = psql
            .args(["--no-psqlrc", "--username=postgres", "--dbname", database])
            .arg("--host")
            .arg(server.socket_directory())
            .args(["--command", &reads])
            .stdout(Stdio::null());
        let dump = Self(psql.spawn().unwrap());
        let sleeps = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND wait_event = 'PgSleep'"
        );
        server.wait_for(&sleeps, "postgres", "1");
        dump
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn h04_a_dump_keeps_days_from_going_and_nobody_from_writing() {
    let Some(server) = server_with_socket() else {
        return;
    };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let session = kit::session();
    fill(&store, &session, 2, 10).await;
    let dump = Dump::of(server, &database, "executor.executions");
    let slice = PruneSlice::new(PruneRule::EndedBefore(begun().saturating_add(DAY)), 10);
    let error = store.prune(slice).await.unwrap_err();
    assert_eq!((error.class, error.answered), (ErrorClass::Transient, true));
    // Rows are written, to old days and to new ones, which nobody can make now.
    fill(&store, &session, 4, 10).await;
    let of_none = "SELECT count(*) FROM executor.executions_default";
    assert_eq!(server.ask(of_none, &database).unwrap(), "10");
    drop(dump);
    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' AND wait_event = 'PgSleep'"
    );
    server.ask(&cut, "postgres").unwrap();
    assert_eq!(store.prune(slice).await.unwrap(), 20);
    // Another recorder has not been turned away by it.
    let other = server.open(&database).await.unwrap();
    fill(&other, &session, 4, 1).await;
    assert_eq!(server.ask(of_none, &database).unwrap(), "0");
    assert_eq!(server.ask(BALANCE, &database).unwrap(), "44|44|20|20|20");
}
