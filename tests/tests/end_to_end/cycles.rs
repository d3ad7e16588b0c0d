//! Clauses F1 and F2, again and again: ten tasks start, use and stop one executor after the other on the same
//! database, and whatever they do to each other, every ledger balances and every record is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use command_executor::{CommandExecutor, Config, ShutdownReport, SpoolPlace};
use executor_testkit::TempDatabase;
use fastrand::Rng;

use crate::support::number;

const CYCLES: u64 = 50;
const TASKS: u64 = 10;

async fn start(database: &TempDatabase, spool: &SpoolPlace) -> CommandExecutor {
    let config = Config::default().with_spool(spool.clone());
    let store = database.open().await.unwrap();
    let builder = CommandExecutor::builder(store).config(config);
    builder.start().await.unwrap()
}

/// What one task does: registers, schedules, executes, waits for the store, and three of ten stop it all.
async fn use_and_stop(executor: CommandExecutor, seed: u64, done: Arc<AtomicU64>) {
    let mut rng = Rng::with_seed(seed);
    let name = format!("job-{}", seed % TASKS);
    let job = executor.job("cycles", &name).handler_fn(|| async {});
    // Somebody else may have stopped it before.
    let Ok(job) = job.register().await else {
        return;
    };
    for _ in 0..rng.u8(1..20) {
        if executor.execute(job.run_now()).await.is_ok() {
            done.fetch_add(1, Ordering::Relaxed);
        }
        if rng.u8(..8) == 0 {
            executor.flush().await.unwrap();
        }
    }
    if rng.u8(..10) < 3 {
        executor.shutdown(Duration::from_secs(20)).await;
    }
}

async fn cycle(database: &TempDatabase, spool: &SpoolPlace, cycle: u64) -> ShutdownReport {
    let executor = start(database, spool).await;
    let done = Arc::new(AtomicU64::new(0));
    let tasks = (0..TASKS).map(|task| {
        let task = use_and_stop(executor.clone(), cycle * TASKS + task, Arc::clone(&done));
        tokio::spawn(task)
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let report = executor.shutdown(Duration::from_secs(20)).await;
    assert_eq!(executor.shutdown(Duration::ZERO).await, report);
    assert!(report.ledger.is_balanced(), "{}", report.ledger);
    let ledger = &report.ledger;
    assert_eq!(
        (ledger.stored, ledger.waiting),
        (done.load(Ordering::Relaxed), 0),
        "{ledger}"
    );
    assert!(report.session_closed);
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f02_started_and_stopped_fifty_times_by_ten_tasks_nothing_is_lost() {
    for spool in [SpoolPlace::Memory, SpoolPlace::Beside] {
        let database = TempDatabase::new();
        let mut stored = 0;
        for turn in 0..CYCLES {
            stored += cycle(&database, &spool, turn).await.ledger.stored;
        }
        let rows = number(&database.path(), "SELECT count(*) FROM executions");
        assert_eq!(rows as u64, stored);
        let open = "SELECT count(*) FROM sessions WHERE status = 'running'";
        assert_eq!(number(&database.path(), open), 0);
    }
}
