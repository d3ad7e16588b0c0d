//! The store is locked by another process.

use std::time::Duration;

use command_executor::Config;

use crate::support::{Helper, House};

const LOCK_HOLDER: &str = env!("CARGO_BIN_EXE_lock-holder");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c04_what_is_offered_while_the_database_is_locked_for_two_seconds_is_there_afterwards() {
    let house = House::new(Config::default()).await;
    let job = house
        .executor
        .job("tests", "during")
        .handler_fn(|| async {})
        .register()
        .await
        .unwrap();
    let lock = Helper::start(LOCK_HOLDER, &house.database.path()).await;
    assert_eq!(lock.said, "locked");
    // The lock's length is what this test is about, so it is measured in real time.
    let release = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        lock.finish().await;
    };
    let offer = async {
        for _ in 0..200 {
            house.executor.execute(job.run_now()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(9)).await;
        }
    };
    tokio::join!(release, offer);
    house.executor.flush().await.unwrap();
    assert_eq!(house.number("SELECT count(*) FROM executions"), 200);
    let report = house.executor.shutdown(Duration::from_secs(5)).await;
    assert_eq!(
        (report.ledger.stored, report.ledger.total_dropped()),
        (200, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d01_what_is_registered_while_the_database_is_locked_is_applied_later() {
    let house = House::new(Config::default()).await;
    let lock = Helper::start(LOCK_HOLDER, &house.database.path()).await;
    let job = house
        .executor
        .job("tests", "early")
        .handler_fn(|| async {})
        .register()
        .await
        .unwrap();
    assert!(
        job.job().row.get().is_none(),
        "the store could not have answered"
    );
    house.executor.execute(job.run_now()).await.unwrap();
    lock.finish().await;
    house.executor.flush().await.unwrap();
    while job.job().row.get().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    house.executor.execute(job.run_now()).await.unwrap();
    house.executor.shutdown(Duration::from_secs(5)).await;
    assert_eq!(
        house.number("SELECT count(*) FROM executions_v WHERE name = 'early' AND NOT orphaned"),
        2
    );
    assert_eq!(house.number("SELECT count(*) FROM scheduled_jobs"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f02_a_locked_database_does_not_hold_up_the_shutdown() {
    let house = House::new(Config::default()).await;
    let job = house
        .executor
        .job("tests", "late")
        .handler_fn(|| async {})
        .register()
        .await
        .unwrap();
    let lock = Helper::start(LOCK_HOLDER, &house.database.path()).await;
    for _ in 0..10 {
        house.executor.execute(job.run_now()).await.unwrap();
    }
    let report = house.executor.shutdown(Duration::from_secs(1)).await;
    assert_eq!(
        (report.ledger.waiting, report.ledger.spooled),
        (0, 10),
        "{}",
        report.ledger
    );
    assert!(!report.session_closed);
    lock.finish().await;
}
