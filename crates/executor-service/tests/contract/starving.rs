//! Clauses A1 and F4: whoever loops over executions starves nobody, and whatever stands still is seen to.

use std::sync::Arc;
use std::time::Duration;

use executor_core::{DropReason, Event, Status};
use executor_service::{Config, Degradation, Health, RegisterError, Schedule};
use executor_testkit::Fault;
use tokio::time::sleep;

use crate::support::{Fixture, event, secs};

fn runtime(workers: usize) -> tokio::runtime::Runtime {
    let mut builder = match workers {
        0 => tokio::runtime::Builder::new_current_thread(),
        workers => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(workers);
            builder
        }
    };
    builder.enable_all().build().unwrap()
}

/// On the current thread, on one worker, and beside an idle one.
#[test]
fn a01_a_task_that_loops_over_ready_executions_leaves_the_drain_its_turn() {
    for workers in [0, 1, 2] {
        runtime(workers).block_on(async {
            let fixture = Fixture::with(Config::default().with_queue_max(10_000)).await;
            let noop = fixture.noop().await;
            let (executor, command) = (fixture.executor.clone(), noop.invoke(event()));
            let looping = tokio::spawn(async move {
                for _ in 0..60_000 {
                    executor.execute(command.clone()).await.unwrap();
                }
                executor.ledger()
            });
            let ledger = looping.await.unwrap();
            let lost = ledger.dropped(DropReason::Overflow);
            assert!(ledger.stored > 5_000, "{workers} workers: {ledger}");
            assert!(lost < 50_000, "{workers} workers: {ledger}");
            fixture.stop().await;
        });
    }
}

/// What is refused or skipped never comes to a handler, and gives way all the same.
#[test]
fn a01_a_loop_of_refusals_or_of_skipped_ones_leaves_others_their_turn() {
    runtime(0).block_on(async {
        let fixture = Fixture::new().await;
        let never = fixture
            .builder("never")
            .only_if(|_: &Event| false)
            .handler_fn(|| async {});
        let never = never.register().await.unwrap();
        let paused = fixture.noop().await;
        paused.pause();
        for listener in [&never, &paused] {
            let (executor, command) = (fixture.executor.clone(), listener.invoke(event()));
            let looping = tokio::spawn(async move {
                loop {
                    let _ = executor.execute(command.clone()).await;
                }
            });
            // Its turn would never come.
            tokio::task::yield_now().await;
            looping.abort();
            assert!(looping.await.unwrap_err().is_cancelled());
        }
        fixture.stop().await;
    });
}

#[test]
fn a01_the_future_of_an_execution_holds_nothing_of_its_caller() {
    fn is_static<T: Send + 'static>(future: T) -> T {
        future
    }
    runtime(0).block_on(async {
        let fixture = Fixture::new().await;
        let noop = fixture.noop().await;
        let (executor, cancel) = (fixture.executor.clone(), Default::default());
        let one = is_static(executor.execute(noop.invoke(event())));
        let other = is_static(executor.execute_until(noop.invoke(event()), &cancel));
        drop((executor, cancel));
        let (one, other) = tokio::join!(tokio::spawn(one), tokio::spawn(other));
        assert_eq!(one.unwrap().unwrap().status(), Status::Success);
        assert_eq!(other.unwrap().unwrap().status(), Status::Success);
        fixture.stop().await;
    });
}

fn is_stalled(health: &Health) -> bool {
    let Health::Degraded(reasons) = health else {
        return false;
    };
    reasons
        .iter()
        .any(|reason| matches!(reason, Degradation::Stalled { .. }))
}

#[tokio::test(start_paused = true)]
async fn f04_records_that_wait_for_ten_seconds_without_any_end_are_stalled_unless_the_store_is_away()
 {
    let fixture = Fixture::new().await;
    let noop = fixture.noop().await;
    fixture.run(&noop).await;
    fixture.executor.flush().await.unwrap();
    // Nothing waits.
    sleep(Duration::from_secs(60)).await;
    assert_eq!(fixture.executor.health(), Health::Healthy);
    // The store neither answers nor fails.
    fixture.store.inject([Fault::Hangs]);
    fixture.run(&noop).await;
    sleep(Duration::from_millis(9_999)).await;
    assert_eq!(fixture.executor.health(), Health::Healthy);
    sleep(Duration::from_millis(1)).await;
    let health = fixture.executor.health();
    assert!(is_stalled(&health), "{health:?}");
    let Health::Degraded(reasons) = health else {
        unreachable!()
    };
    assert!(
        reasons[0]
            .to_string()
            .contains("records have been waiting since 2026-01-01T00:01:00Z"),
        "{}",
        reasons[0]
    );
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f04_a_store_that_is_away_is_no_stall() {
    let fixture = Fixture::new().await;
    let noop = fixture.noop().await;
    fixture.store.go_away();
    fixture.run(&noop).await;
    sleep(Duration::from_secs(30)).await;
    let health = fixture.executor.health();
    assert!(!is_stalled(&health), "{health:?}");
    let Health::Degraded(reasons) = health else {
        panic!("it is away")
    };
    assert!(matches!(reasons[0], Degradation::StoreUnavailable { .. }));
    fixture.store.come_back();
    fixture.stop().await;
}

/// As where a `static` executor outlives the runtime of the test that started it.
#[test]
fn f04_an_executor_whose_runtime_is_gone_says_so_and_takes_nothing_more() {
    let first = runtime(1);
    let (fixture, noop) = first.block_on(async {
        let fixture = Fixture::new().await;
        let noop = fixture.noop().await;
        (fixture, noop)
    });
    drop(first);
    runtime(0).block_on(async {
        fixture.executor.flush().await.expect("nothing waits");
        fixture.run(&noop).await;
        fixture.run(&noop).await;
        assert_eq!(fixture.executor.flush().await.unwrap_err().waiting, 2);
        let late = fixture
            .builder("late")
            .handler_fn(|| async {})
            .register()
            .await;
        assert!(matches!(late, Err(RegisterError::Stopped)));
        let started = std::time::Instant::now();
        while !is_stalled(&fixture.executor.health()) {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "{:?}",
                fixture.executor.health()
            );
            sleep(Duration::from_millis(100)).await;
        }
        assert!(started.elapsed() >= Duration::from_secs(9));
        assert_eq!(fixture.stop().await.ledger.dropped(DropReason::Shutdown), 2);
    });
}

#[tokio::test(start_paused = true)]
async fn d01_nothing_is_registered_after_a_stop() {
    let fixture = Fixture::new().await;
    fixture.stop().await;
    let job = fixture
        .executor
        .job("lights", "late")
        .schedule(Schedule::every(secs(1)));
    let job = job.handler_fn(|| async {}).register().await;
    assert!(matches!(job, Err(RegisterError::Stopped)));
    let listener = fixture
        .builder("late")
        .handler_fn(|| async {})
        .register()
        .await;
    assert!(matches!(listener, Err(RegisterError::Stopped)));
    fixture.executor.flush().await.expect("nothing waits");
}

#[tokio::test(start_paused = true)]
async fn d01_arguments_that_are_no_json_are_bad_input() {
    let fixture = Fixture::new().await;
    let register = async |arguments: &str| {
        let job = fixture
            .executor
            .job("lights", "dim")
            .record_arguments(arguments);
        job.handler_fn(|| async {}).register().await
    };
    let refused = register("not json {").await.unwrap_err().to_string();
    assert!(
        refused.contains("arguments of job `dim` are not JSON"),
        "{refused}"
    );
    for fine in ["{\"to\": 20}", "null", "[1, \"\u{e9}\"]"] {
        register(fine).await.unwrap();
    }
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn b06_what_error_handlers_start_ends_with_the_second_generation() {
    let fixture = Fixture::new().await;
    let executor = fixture.executor.clone();
    // Handled again by itself, for ever.
    let again: Arc<std::sync::OnceLock<executor_service::ListenerHandle>> = Arc::default();
    let itself = Arc::clone(&again);
    let builder = fixture.builder("again").on_error(move |_| {
        let (executor, itself) = (executor.clone(), itself.get().unwrap().clone());
        async move {
            // In a task of its own as well.
            let command = itself.invoke(event());
            let running = async move { executor.execute(command).await.map(drop) };
            tokio::spawn(executor_core::context::inherit(running))
                .await?
                .map_err(executor_core::HandlerError::from)
        }
    });
    let listener = builder
        .handler(|_: Arc<Event>| async { Err("no".into()) })
        .register()
        .await;
    again.set(listener.unwrap()).unwrap();
    fixture.run(again.get().unwrap()).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(
        fixture.ledger().offered,
        3,
        "the first, and two generations"
    );
    assert_eq!(fixture.executor.error_handlers_suppressed(), 1);
    fixture.stop().await;
}
