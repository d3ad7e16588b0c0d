//! Clauses F3 and F4: parts that fail, and what the executor says of itself.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::SessionStatus;
use executor_core::{DropReason, Event, Status};
use executor_service::{CommandExecutor, Config, Degradation, Health};
use executor_testkit::{FailingPart, Fault, FaultyStore, MemoryStore};
use tokio::time::{sleep, timeout};

use crate::support::{Fixture, forever};

#[tokio::test(start_paused = true)]
async fn f03_a_part_that_fails_is_started_again_and_finds_what_it_had() {
    let fixture = Fixture::new().await;
    let _listening = FailingPart::new("drain", 3);
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::Lost; 3]);
    fixture.run(&listener).await;
    fixture.executor.flush().await.unwrap();
    assert_eq!(fixture.executor.restarts(), 3);
    assert_eq!(fixture.executor.health(), Health::Healthy);
    let report = fixture.stop().await;
    assert_eq!(
        (report.ledger.stored, report.ledger.total_dropped()),
        (1, 0)
    );
    let (status, _) = fixture
        .store
        .session(fixture.executor.session_id())
        .unwrap();
    assert_eq!(status, SessionStatus::Success);
}

#[tokio::test(start_paused = true)]
async fn f03_one_that_fails_too_often_is_given_up_and_nobody_hangs_on_it() {
    let fixture = Fixture::new().await;
    let _listening = FailingPart::new("drain", 4);
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::Lost; 4]);
    fixture.run(&listener).await;
    let waiting = fixture.executor.flush().await.unwrap_err().waiting;
    assert_eq!(waiting, 1, "nothing carries it to the store any more");
    let health = fixture.executor.health();
    let Health::Failed { service, fault } = health else {
        panic!("{health:?}");
    };
    assert_eq!(
        (service, fault.as_str()),
        ("drain", "panicked: the log is full")
    );
    // Executions run all the same.
    assert_eq!(fixture.run(&listener).await.status(), Status::Success);
    let report = fixture.stop().await;
    assert_eq!(report.ledger.dropped(DropReason::Shutdown), 2);
    let (status, _) = fixture
        .store
        .session(fixture.executor.session_id())
        .unwrap();
    assert_eq!(status, SessionStatus::Failure);
}

#[tokio::test(start_paused = true)]
async fn f03_only_staying_up_for_two_minutes_forgives() {
    for (pause, gives_up) in [(110, true), (130, false)] {
        let fixture = Fixture::new().await;
        let _listening = FailingPart::new("drain", 4);
        let listener = fixture.noop().await;
        for _ in 0..4 {
            fixture.store.inject([Fault::Lost]);
            fixture.run(&listener).await;
            sleep(Duration::from_secs(pause)).await;
        }
        let failed = matches!(fixture.executor.health(), Health::Failed { .. });
        assert_eq!(failed, gives_up, "{pause} s apart");
        fixture.stop().await;
    }
}

fn reasons(fixture: &Fixture) -> Vec<Degradation> {
    match fixture.executor.health() {
        Health::Healthy => Vec::new(),
        Health::Degraded(reasons) => reasons,
        health @ Health::Failed { .. } => panic!("{health:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn f04_health_says_since_when_the_store_is_away_and_when_it_is_back() {
    let fixture = Fixture::new().await;
    assert_eq!(reasons(&fixture), []);
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::Lost, Fault::Lost]);
    fixture.run(&listener).await;
    sleep(Duration::from_millis(300)).await;
    let first = reasons(&fixture);
    let [Degradation::StoreUnavailable { .. }] = first.as_slice() else {
        panic!("{first:?}");
    };
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(reasons(&fixture), first, "since the first time");
    fixture.executor.flush().await.unwrap();
    assert_eq!(reasons(&fixture), []);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f04_a_heartbeat_notices_a_store_that_is_away_where_nothing_is_recorded() {
    let fixture = Fixture::new().await;
    fixture.store.go_away();
    sleep(Duration::from_secs(29)).await;
    assert_eq!(reasons(&fixture), [], "nobody has asked it");
    sleep(Duration::from_secs(2)).await;
    let away = reasons(&fixture);
    assert!(
        matches!(away[..], [Degradation::StoreUnavailable { .. }]),
        "{away:?}"
    );
    fixture.store.come_back();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(reasons(&fixture), []);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f04_backlog_and_losses_are_reasons_for_as_long_as_they_last() {
    let config = Config::default().with_queue_max(8);
    let fixture = Fixture::with(config).await;
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::Slow(Duration::from_secs(10))]);
    for _ in 0..11 {
        fixture.run(&listener).await;
    }
    sleep(Duration::from_millis(100)).await;
    let (waiting, queue_max) = (8, 8);
    let expected = [
        Degradation::Backlog { waiting, queue_max },
        Degradation::Losses { last_minute: 3 },
    ];
    assert_eq!(reasons(&fixture), expected);
    sleep(Duration::from_secs(11)).await;
    assert_eq!(reasons(&fixture), expected[1..]);
    sleep(Duration::from_secs(50)).await;
    assert_eq!(reasons(&fixture), []);
    fixture.stop().await;
}

#[tokio::test]
async fn f04_leaked_threads_are_a_reason() {
    let fixture = Fixture::new().await;
    let release = fixture.leak(fixture.builder("blocks")).await;
    assert_eq!(reasons(&fixture), [Degradation::LeakedThreads { count: 1 }]);
    drop(release);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f02_refusals_are_counted_beside_the_ledger() {
    let fixture = Arc::new(Fixture::new().await);
    let listener = fixture.noop().await;
    let hangs = fixture.listener("hangs", |_: Arc<Event>| forever()).await;
    let running = {
        let (executor, command) = (
            fixture.executor.clone(),
            hangs.invoke(crate::support::event()),
        );
        tokio::spawn(async move { executor.execute(command).await })
    };
    tokio::task::yield_now().await;
    fixture.executor.pause();
    let refused = fixture
        .executor
        .execute(listener.invoke(crate::support::event()));
    assert!(refused.await.is_err());
    fixture.executor.resume();
    fixture.run(&listener).await;
    fixture.stop().await;
    let refused = fixture
        .executor
        .execute(listener.invoke(crate::support::event()));
    assert!(refused.await.is_err());
    assert_eq!(running.await.unwrap().unwrap().status(), Status::Cancelled);
    assert_eq!(
        (fixture.executor.refused(), fixture.ledger().offered),
        (2, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn i06_a_ping_is_answered_only_while_records_can_move() {
    let store = FaultyStore::new(MemoryStore::new());
    let executor = CommandExecutor::builder(store.clone());
    let executor = executor.start().await.unwrap();
    let soon = Duration::from_secs(5);
    assert_eq!(timeout(soon, executor.ping()).await, Ok(true));
    store.hang_in(Some("storing a batch"));
    let job = executor.job("lights", "dim").handler_fn(|| async {});
    let job = job.register().await.unwrap();
    executor.execute(job.run_now()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(
        timeout(soon, executor.ping()).await.is_err(),
        "the store hangs"
    );
    executor.shutdown(Duration::from_secs(1)).await;
    assert_eq!(timeout(soon, executor.ping()).await, Ok(false));
}
