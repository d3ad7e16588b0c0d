//! From a command to a row.

use std::sync::Arc;
use std::time::Duration;

use command_executor::{Config, Event, Status};

use crate::support::House;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a04_each_outcome_ends_as_a_row_with_its_status() {
    let house = House::new(Config::default()).await;
    let listener = async |name: &str, what: &'static str| {
        let builder = house
            .executor
            .listener("tests", name)
            .topic("t")
            .timeout(Duration::from_millis(20));
        let handler = move |_: Arc<Event>| async move {
            match what {
                "ok" => Ok(()),
                "error" => Err("no".into()),
                "panic" => panic!("oh"),
                _ => std::future::pending().await,
            }
        };
        builder.handler(handler).register().await.unwrap()
    };
    for what in ["ok", "error", "panic", "hang"] {
        let listener = listener(what, what).await;
        house
            .executor
            .execute(listener.invoke(Event::new("t")))
            .await
            .unwrap();
    }
    let dropped = listener("dropped", "hang").await;
    let executing = house.executor.execute(dropped.invoke(Event::new("t")));
    assert!(
        tokio::time::timeout(Duration::from_millis(1), executing)
            .await
            .is_err()
    );
    house.executor.shutdown(Duration::from_secs(5)).await;

    let expected = [
        ("ok", Status::Success),
        ("error", Status::Error),
        ("panic", Status::Panicked),
        ("hang", Status::TimedOut),
        ("dropped", Status::Cancelled),
    ];
    for (name, status) in expected {
        let status = status.as_str();
        let query = format!(
            "SELECT count(*) FROM executions_v WHERE name = '{name}' AND status = '{status}'"
        );
        assert_eq!(house.number(&query), 1, "{name}");
    }
    let errors = "SELECT count(*) FROM errors_v WHERE error_type IS NOT NULL";
    assert_eq!(house.number(errors), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c08_a_hundred_thousand_executions_from_sixty_four_tasks_balance() {
    let config = Config::default().with_queue_max(1_000_000);
    let house = Arc::new(House::new(config).await);
    let job = house
        .executor
        .job("tests", "load")
        .handler_fn(|| async {})
        .register()
        .await
        .unwrap();
    let mut tasks = Vec::new();
    for _ in 0..64 {
        let (house, job) = (Arc::clone(&house), job.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..100_000 / 64 {
                house.executor.execute(job.run_now()).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let ledger = house
        .executor
        .shutdown(Duration::from_secs(60))
        .await
        .ledger;
    assert_eq!(
        (ledger.offered, ledger.stored),
        (99_968, 99_968),
        "{ledger}"
    );
    assert_eq!(house.number("SELECT count(*) FROM executions"), 99_968);
    let row = "SELECT stored FROM sessions WHERE status = 'success'";
    assert_eq!(house.number(row), 99_968);
}
