//! A program's own tests against the executor: in memory, in paused time, with a store that fails.

use std::time::Duration;

use command_executor::{
    CommandExecutor, CompletionEvent, Health, JobHandle, RegisterError, Schedule, Status,
};
use executor_testkit::{FaultyStore, LedgerGuard, MemoryStore, TestClock};

/// The program under test: a backup every hour that takes a minute, and fails on odd days.
async fn register_backup(executor: &CommandExecutor, day: u32) -> Result<JobHandle, RegisterError> {
    let backup = executor
        .job("house", "backup")
        .schedule(Schedule::every(Duration::from_secs(3_600)))
        .timeout(Duration::from_secs(120))
        .handler_fn(move || async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            match day % 2 {
                0 => Ok(()),
                _ => Err("the disk is not mounted"),
            }
        });
    backup.register().await
}

type Store = FaultyStore<MemoryStore>;

async fn started() -> (CommandExecutor, Store, LedgerGuard) {
    let store = FaultyStore::new(MemoryStore::new());
    let builder = CommandExecutor::builder(store.clone()).clock(TestClock::new());
    let executor = builder.start().await.expect("it starts");
    let watched = executor.clone();
    // Checks when the test ends that every record is accounted for.
    let guard = LedgerGuard::new(move || watched.ledger());
    (executor, store, guard)
}

#[tokio::test(start_paused = true)]
async fn it_backs_up_every_hour() {
    let (executor, store, _guard) = started().await;
    register_backup(&executor, 2).await.unwrap();
    // A day passes at once.
    tokio::time::sleep(Duration::from_secs(24 * 3_600 + 90)).await;
    executor.shutdown(Duration::from_secs(5)).await;
    let records = store.inner().records();
    assert_eq!(records.len(), 24);
    assert!(
        records
            .iter()
            .all(|record| record.duration == Duration::from_secs(60))
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_to_subscribers() {
    let (executor, _store, _guard) = started().await;
    let backup = register_backup(&executor, 3).await.unwrap();
    let mut completions = executor.completions();
    let result = executor.execute(backup.run_now()).await.unwrap();
    assert_eq!(result.status(), Status::Error);
    executor.flush().await.unwrap();
    let Some(CompletionEvent::Completed(completion)) = completions.try_next() else {
        panic!("nobody was told");
    };
    assert_eq!(completion.execution_id, result.execution_id);
    executor.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_for_a_while_loses_nothing() {
    let (executor, store, _guard) = started().await;
    let backup = register_backup(&executor, 2).await.unwrap();
    store.go_away();
    executor.execute(backup.run_now()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(matches!(executor.health(), Health::Degraded(_)));
    assert!(store.batches().len() > 1, "it was tried again");
    store.come_back();
    executor.flush().await.unwrap();
    assert_eq!(
        (executor.ledger().stored, executor.health()),
        (1, Health::Healthy)
    );
    executor.shutdown(Duration::from_secs(5)).await;
}
