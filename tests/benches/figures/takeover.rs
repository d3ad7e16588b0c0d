//! What a start makes of three million records that an earlier one left in its spool, while it records a thousand
//! executions a second itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use command_executor::{CommandExecutor, Config, Event, ListenerHandle, Told};
use executor_testkit::TempDatabase;
use rusqlite::Connection;
use tokio::runtime::Runtime;

use crate::Figures;
use crate::load::start;

const LEFT: u64 = 3_000_000;
const WINDOW: Duration = Duration::from_secs(5);
/// So many at once, and as many milliseconds until the next: a thousand a second.
const AT_ONCE: u64 = 10;

pub(crate) fn takeover() {
    let database = TempDatabase::new();
    Runtime::new().unwrap().block_on(leave(&database));
    Runtime::new().unwrap().block_on(take_over(&database));
}

fn config() -> Config {
    Config {
        spool_max_bytes: 4 << 30,
        ..Config::default()
    }
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

async fn take_over(database: &TempDatabase) {
    let begun = Instant::now();
    let (executor, listener) = start(database, config()).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let waits = tokio::spawn(waits(executor.clone()));
    let records = tokio::spawn(record(executor.clone(), listener, Arc::clone(&is_over)));
    let reader = Connection::open(database.path()).unwrap();
    let rows = || {
        let count = "SELECT count(*) FROM executions";
        let count: i64 = reader.query_row(count, [], |row| row.get(0)).unwrap();
        count.unsigned_abs()
    };
    let (mut windows, mut before) = (Figures::default(), 0);
    loop {
        tokio::time::sleep_until((begun + WINDOW * (windows.0.len() as u32 + 1)).into()).await;
        let (taken, now) = (executor.ledger().recovered, rows());
        windows.push((now - before) as f64);
        before = now;
        if taken >= LEFT {
            break;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    is_over.store(true, Ordering::Relaxed);
    records.await.unwrap();
    executor.flush().await.unwrap();
    let ledger = executor.shutdown(Duration::from_secs(60)).await.ledger;
    let waits = waits.await.unwrap();
    assert_eq!((rows(), ledger.recovered), (ledger.stored, LEFT));
    // The last window is not a whole one.
    windows.0.pop();
    let (median, least) = (windows.median(), windows.sorted()[0]);
    let sorted = waits.sorted();
    println!(
        "takeover    {LEFT} records in {took:.0} s; {median:.0} rows in the median 5 s, {least:.0} in the least of {} ({:.2}); \
         its own {ledger}: waited {:.3} s in the median, {:.3} at p99, {:.3} at most",
        windows.0.len(),
        least / median,
        waits.median(),
        sorted[sorted.len() * 99 / 100],
        sorted[sorted.len() - 1],
    );
}

async fn record(executor: CommandExecutor, listener: ListenerHandle, is_over: Arc<AtomicBool>) {
    let event = Arc::new(Event::new("t"));
    let mut due = tokio::time::interval(Duration::from_millis(AT_ONCE));
    while !is_over.load(Ordering::Relaxed) {
        due.tick().await;
        for _ in 0..AT_ONCE {
            let command = listener.invoke(Arc::clone(&event));
            executor.execute(command).await.unwrap();
        }
    }
}

/// Seconds from the start of each execution to its row, by the time in its id.
async fn waits(executor: CommandExecutor) -> Figures {
    let (mut completions, mut waits) = (executor.completions(), Figures::default());
    drop(executor);
    while let Some(told) = completions.next().await {
        let Told::Completed(completion) = told else {
            panic!("this listens too slowly");
        };
        let id = completion.execution_id.0;
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        let at = Duration::new(seconds, nanos);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        waits.push(now.saturating_sub(at).as_secs_f64());
    }
    waits
}
