//! Clause F5: paused time does not run ahead of threads that work for the test, and either runtime will do.

use std::time::Duration;

use command_executor::{Config, Status};

use crate::support::House;

/// A life of blocking work, on a store in a file. Every timeout in it is shorter than the pause of the clock
/// that would come of time running ahead.
async fn life() {
    let house = House::new(Config::default()).await;
    let job = house
        .executor
        .job("tests", "works")
        .timeout(Duration::from_secs(60));
    let job = job.blocking_handler(|| std::thread::sleep(Duration::from_millis(20)));
    let job = job.register().await.unwrap();
    for _ in 0..3 {
        let result = house.executor.execute(job.run_now()).await.unwrap();
        assert_eq!(result.status(), Status::Success);
    }
    house.executor.flush().await.unwrap();
    assert_eq!(house.number("SELECT count(*) FROM executions"), 3);
    house.executor.execute(job.run_now()).await.unwrap();
    let report = house.executor.shutdown(Duration::from_secs(60)).await;
    let ledger = report.ledger;
    assert_eq!(
        (ledger.stored, ledger.spooled, ledger.total_dropped()),
        (4, 0, 0)
    );
    assert!(report.session_closed);
}

#[tokio::test(start_paused = true)]
async fn f05_paused_time_does_not_run_ahead_of_the_writer_or_of_blocking_handlers() {
    for _ in 0..10 {
        life().await;
    }
}

#[tokio::test]
async fn f05_a_whole_life_on_the_current_thread() {
    life().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_a_whole_life_on_several_threads() {
    life().await;
}
