//! Three million records that a killed process left are taken over by one process into the database of another,
//! which records a thousand executions a second meanwhile: how even it goes, and how long those records wait.

use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use command_executor::{CommandExecutor, CompletionEvent, Config, Event, ListenerHandle, inspect};
use executor_testkit::TempDatabase;
use rusqlite::Connection;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::Samples;
use crate::load::start;

const LEFT: u64 = 3_000_000;
const WINDOW: Duration = Duration::from_secs(5);
/// So many at once, and as many milliseconds until the next: a thousand a second.
const AT_ONCE: u64 = 10;

/// What the process that takes over is told by: a spool's directory, and a database.
const SPOOL: &str = "TAKEOVER_SPOOL";
const DATABASE: &str = "TAKEOVER_DATABASE";

pub(crate) fn takeover() {
    let (left, living) = (TempDatabase::new(), TempDatabase::new());
    Runtime::new().unwrap().block_on(leave(&left));
    Runtime::new().unwrap().block_on(live_on(&living, &left));
}

/// Does what this process was started for, if that is a takeover.
pub(crate) fn is_for_a_takeover() -> bool {
    let (Ok(spool), Ok(database)) = (std::env::var(SPOOL), std::env::var(DATABASE)) else {
        return false;
    };
    Runtime::new().unwrap().block_on(async {
        let store = command_executor::SqliteStore::open(&database)
            .await
            .unwrap();
        let patience = Duration::from_secs(60);
        let replayed = inspect::replay(store, spool.as_ref(), patience)
            .await
            .unwrap();
        assert_eq!(replayed.ledger.stored, LEFT, "{}", replayed.ledger);
    });
    true
}

fn take_over(spool: &str, database: &str) -> Child {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.env(SPOOL, spool).env(DATABASE, database);
    program.spawn().unwrap()
}

fn config() -> Config {
    Config::default().with_spool_max_bytes(4 << 30)
}

/// Another program holds the database's lock until all of it lies in the spool.
async fn leave(database: &TempDatabase) {
    let (executor, listener) = start(database, config()).await;
    let other = Connection::open(database.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let event = Arc::new(Event::new("t"));
    for _ in 0..LEFT {
        let command = listener.invoke(Arc::clone(&event));
        executor.execute(command).await.unwrap();
    }
    let report = executor.shutdown(Duration::ZERO).await;
    assert_eq!(report.ledger.spooled, LEFT, "{}", report.ledger);
    drop(other);
}

async fn live_on(database: &TempDatabase, left: &TempDatabase) {
    let (executor, listener) = start(database, config()).await;
    let (is_over, until) = watch::channel(false);
    let waits = tokio::spawn(waits(executor.clone()));
    let records = tokio::spawn(record(executor.clone(), listener, until));
    let spool = format!("{}.spool", left.path().display());
    let mut child = take_over(&spool, database.path().to_str().unwrap());
    let begun = Instant::now();
    let reader = Connection::open(database.path()).unwrap();
    let rows = || {
        let count = "SELECT count(*) FROM executions";
        let count: i64 = reader.query_row(count, [], |row| row.get(0)).unwrap();
        count.unsigned_abs()
    };
    let (mut windows, mut before) = (Samples::default(), 0);
    let status = loop {
        tokio::time::sleep_until((begun + WINDOW * (windows.0.len() as u32 + 1)).into()).await;
        let now = rows();
        windows.push((now - before) as f64);
        before = now;
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
    };
    assert!(status.success());
    let took = begun.elapsed().as_secs_f64();
    is_over.send_replace(true);
    records.await.unwrap();
    executor.flush().await.unwrap();
    let ledger = executor.shutdown(Duration::from_secs(60)).await.ledger;
    let waits = waits.await.unwrap();
    assert_eq!(rows(), ledger.stored + LEFT);
    // The last window is not a whole one.
    windows.0.pop();
    let (median, least) = (windows.median(), windows.sorted()[0]);
    let sorted = waits.sorted();
    println!(
        "takeover    {LEFT} records in {took:.0} s; {median:.0} rows in the median 5 s, {least:.0} in the least of {} ({:.2}); \
         the living one's, {ledger}: waited {:.3} s in the median, {:.3} at p99, {:.3} at most",
        windows.0.len(),
        least / median,
        waits.median(),
        sorted[sorted.len() * 99 / 100],
        sorted[sorted.len() - 1],
    );
}

async fn record(executor: CommandExecutor, listener: ListenerHandle, until: watch::Receiver<bool>) {
    let event = Arc::new(Event::new("t"));
    let mut due = tokio::time::interval(Duration::from_millis(AT_ONCE));
    while !*until.borrow() {
        due.tick().await;
        for _ in 0..AT_ONCE {
            let command = listener.invoke(Arc::clone(&event));
            executor.execute(command).await.unwrap();
        }
    }
}

/// Seconds from the start of each execution to its row, by the time in its id.
async fn waits(executor: CommandExecutor) -> Samples {
    let (mut completions, mut waits) = (executor.completions(), Samples::default());
    drop(executor);
    while let Some(told) = completions.next().await {
        let CompletionEvent::Completed(completion) = told else {
            panic!("this listens too slowly");
        };
        let id = completion.execution_id.as_uuid();
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        let at = Duration::new(seconds, nanos);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        waits.push(now.saturating_sub(at).as_secs_f64());
    }
    waits
}
