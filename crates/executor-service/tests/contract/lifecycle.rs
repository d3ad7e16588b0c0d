//! Clauses F: starting and stopping.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use executor_core::ports::{Batch, RecordStore, SessionStatus, SessionStore};
use executor_core::{DropReason, ErrorClass, Event, HandlerFailure, Status};
use executor_service::{CommandExecutor, Config, SpoolPlace, StartError};
use executor_testkit::{self as kit, Fault, MemoryStore, TestClock};
use tokio::time::{Instant, sleep};

use crate::support::{Fixture, Logs, event, forever, statuses};

#[tokio::test(start_paused = true)]
async fn f01_start_returns_with_the_reason_why_not() {
    let closed = MemoryStore::new();
    closed.close().await.unwrap();
    let refused = CommandExecutor::builder(closed).start().await.err();
    let Some(StartError::Store(error)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(error.class, ErrorClass::Closed);
    let senseless = Config::default().with_batch_max(0);
    let builder = CommandExecutor::builder(MemoryStore::new()).config(senseless);
    let refused = builder.start().await.err().unwrap().to_string();
    assert_eq!(
        refused,
        "invalid configuration: batch_max must be more than zero"
    );
}

#[tokio::test(start_paused = true)]
async fn f01_a_store_that_is_away_is_waited_for_until_it_is_back_or_thirty_seconds_have_passed() {
    let root = tempfile::tempdir().unwrap();
    // With a spool it waits too, unless it is told not to.
    for spool in [SpoolPlace::Memory, SpoolPlace::At(root.path().to_owned())] {
        let store = MemoryStore::new();
        store.go_away();
        let start = || {
            let spool = spool.clone();
            let config = Config::default().with_spool(spool);
            CommandExecutor::builder(store.clone())
                .config(config)
                .start()
        };
        let is_empty = || std::fs::read_dir(root.path()).unwrap().next().is_none();
        let dropped = tokio::time::timeout(Duration::from_secs(1), start()).await;
        assert!(dropped.is_err() && is_empty(), "it is given up half-way");
        let begun = Instant::now();
        let refused = start().await.err();
        assert_eq!(begun.elapsed().as_secs(), 30);
        let Some(StartError::Timeout { last, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(last.unwrap().class, ErrorClass::Transient);
        assert!(is_empty(), "the spool of a start that failed");
        let returns = async {
            sleep(Duration::from_secs(10)).await;
            store.come_back();
        };
        let begun = Instant::now();
        let (started, ()) = tokio::join!(start(), returns);
        assert_eq!(begun.elapsed().as_secs(), 10);
        started.unwrap().shutdown(Duration::from_secs(5)).await;
    }
}

/// The contract's numbers.
#[test]
fn f01_the_defaults() {
    let seconds = Duration::from_secs;
    let config = Config::default();
    let counts = (config.queue_max, config.batch_max, config.retry_max_records);
    assert_eq!(counts, (1_000, 1_000, 10_000));
    assert_eq!(
        (config.retry_max_attempts, config.completions_max),
        (3, 1_024)
    );
    assert_eq!(config.flush_interval, Duration::from_millis(250));
    assert_eq!(config.startup_timeout, seconds(30));
    assert_eq!(config.heartbeat_interval, seconds(30));
    assert_eq!(config.error_handler_timeout, seconds(5));
    assert_eq!(config.slow_poll, Some(Duration::from_millis(100)));
    assert_eq!(config.cancel_grace, Duration::ZERO);
    assert_eq!(config.spool_max_bytes, 1 << 30);
    assert!(config.wait_for_store);
    assert_eq!(config.retention.max_age, Some(seconds(7 * 86_400)));
    assert_eq!(config.retention.max_bytes, Some(500_000_000));
    assert_eq!(config.retention.every, seconds(3_600));
}

#[tokio::test(start_paused = true)]
async fn f02_running_executions_get_half_the_time_and_are_cancelled_then() {
    let fixture = Arc::new(Fixture::new().await);
    let ends = fixture
        .listener("ends", |_: Arc<Event>| async {
            sleep(Duration::from_secs(2)).await;
            Ok(())
        })
        .await;
    let hangs = fixture.listener("hangs", |_: Arc<Event>| forever()).await;
    let mut tasks = Vec::new();
    for listener in [ends, hangs] {
        let executor = fixture.executor.clone();
        tasks.push(tokio::spawn(async move {
            executor
                .execute(listener.invoke(event()))
                .await
                .unwrap()
                .status()
        }));
    }
    tokio::task::yield_now().await;
    let report = fixture.executor.shutdown(Duration::from_secs(6)).await;
    assert_eq!(tasks.remove(0).await.unwrap(), Status::Success);
    assert_eq!(tasks.remove(0).await.unwrap(), Status::Cancelled);
    assert_eq!((report.cancelled, report.still_running), (1, 0));
    assert_eq!(report.elapsed.as_secs(), 3, "half of the six seconds");
    assert_eq!(report.ledger.stored, 2);
    assert!(report.session_closed);
    assert_eq!(
        statuses(&fixture.store.records()),
        [Status::Success, Status::Cancelled]
    );
    let (status, ledger) = fixture
        .store
        .session(fixture.executor.session_id())
        .unwrap();
    assert_eq!((status, ledger), (SessionStatus::Success, report.ledger));
    let closed = fixture.store.mark_crashed().await.unwrap_err();
    assert_eq!(closed.class, ErrorClass::Closed, "the store, last of all");
}

#[tokio::test(start_paused = true)]
async fn f02_error_handlers_are_let_end_like_executions() {
    let fixture = Fixture::new().await;
    let told = Arc::new(AtomicBool::new(false));
    let tells = Arc::clone(&told);
    let handler = move |_: HandlerFailure| {
        let tells = Arc::clone(&tells);
        async move {
            sleep(Duration::from_secs(2)).await;
            tells.store(true, Ordering::SeqCst);
        }
    };
    fixture.executor.on_app_error("lights", handler);
    fixture
        .run_once(|_: Arc<Event>| async { Err("no".into()) })
        .await;
    let report = fixture.executor.shutdown(Duration::from_secs(6)).await;
    assert!(told.load(Ordering::SeqCst));
    assert_eq!(report.elapsed.as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn f02_a_store_that_is_back_in_time_learns_how_the_session_ended() {
    let fixture = Fixture::new().await;
    fixture.store.go_away();
    let returns = async {
        sleep(Duration::from_secs(2)).await;
        fixture.store.come_back();
    };
    let (report, ()) = tokio::join!(fixture.stop(), returns);
    assert!(report.session_closed);
    assert_eq!(report.elapsed.as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn f02_what_cannot_be_written_in_time_is_counted() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::Hangs]);
    for _ in 0..7 {
        fixture.run(&listener).await;
    }
    let (logs, _listening) = Logs::listen();
    let begun = Instant::now();
    let report = fixture.stop().await;
    assert!(begun.elapsed() <= Duration::from_millis(5_250));
    assert_eq!(report.ledger.dropped(DropReason::Shutdown), 7);
    assert_eq!(report.ledger.waiting, 0);
    let errors = logs.of("ERROR");
    let lost: Vec<_> = errors
        .iter()
        .filter_map(|line| line.fields.get("lost"))
        .collect();
    assert_eq!(lost, ["7"], "{errors:?}");
}

#[tokio::test(start_paused = true)]
async fn f02_retries_go_on_until_the_deadline() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::Lost, Fault::Lost]);
    fixture.run(&listener).await;
    let report = fixture.stop().await;
    assert_eq!(report.ledger.stored, 1, "{}", report.ledger);
    assert!(report.elapsed <= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn f02_a_batch_that_the_store_commits_just_after_the_deadline_is_not_lost() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    fixture
        .store
        .inject([Fault::Slow(Duration::from_millis(5_100))]);
    fixture.run(&listener).await;
    let report = fixture.stop().await;
    assert_eq!(
        (report.ledger.stored, report.ledger.total_dropped()),
        (1, 0)
    );
    assert!(
        report.elapsed <= Duration::from_millis(5_250),
        "{:?}",
        report.elapsed
    );
}

#[tokio::test(start_paused = true)]
async fn f02_a_retry_that_is_due_after_the_deadline_is_tried_all_the_same() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::Lost; 5]);
    fixture.run(&listener).await;
    // After the fifth failure, at about 10 s, the next try is some 5 s away.
    sleep(Duration::from_millis(11_000)).await;
    assert_eq!(fixture.store.batches(), 5);
    let report = fixture.executor.shutdown(Duration::from_secs(1)).await;
    assert_eq!(report.ledger.stored, 1, "{}", report.ledger);
}

#[tokio::test(start_paused = true)]
async fn f02_a_shutdown_without_end_ends_with_the_last_record() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    fixture.run(&listener).await;
    let report = fixture.executor.shutdown(Duration::MAX).await;
    assert_eq!(report.ledger.stored, 1);
}

#[tokio::test(start_paused = true)]
async fn f02_a_handler_may_ask_for_the_shutdown_and_is_cancelled_by_it() {
    let fixture = Fixture::new().await;
    let executor = fixture.executor.clone();
    let outcome = fixture
        .run_once(move |_: Arc<Event>| {
            let executor = executor.clone();
            async move {
                executor.shutdown(Duration::from_secs(4)).await;
                Ok(())
            }
        })
        .await;
    assert_eq!(outcome.status(), Status::Cancelled);
    let report = fixture.stop().await;
    assert_eq!((report.ledger.stored, report.session_closed), (1, true));
    assert_eq!(report.elapsed, Duration::ZERO, "it was not waited for");
}

#[tokio::test(start_paused = true)]
async fn f02_every_call_gets_the_same_report() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    fixture.run(&listener).await;
    let (one, two) = tokio::join!(fixture.stop(), fixture.stop());
    assert_eq!(one, two);
    assert_eq!(fixture.stop().await, one);
}

#[tokio::test(start_paused = true)]
async fn f02_a_shutdown_that_was_given_up_can_be_finished() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::Slow(Duration::from_secs(2))]);
    fixture.run(&listener).await;
    let first = fixture.executor.shutdown(Duration::from_secs(5));
    assert!(
        tokio::time::timeout(Duration::from_secs(1), first)
            .await
            .is_err()
    );
    let report = fixture.stop().await;
    assert_eq!(report.ledger.stored, 1, "{}", report.ledger);
}

#[tokio::test(start_paused = true)]
async fn d04_a_heartbeat_every_thirty_seconds_brings_the_ledger() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    fixture.run(&listener).await;
    let session = fixture.executor.session_id();
    let offered = || {
        let (status, ledger) = fixture.store.session(session).unwrap();
        (status, ledger.offered)
    };
    sleep(Duration::from_millis(29_900)).await;
    assert_eq!(offered(), (SessionStatus::Running, 0));
    sleep(Duration::from_millis(200)).await;
    assert_eq!(offered(), (SessionStatus::Running, 1));
    fixture.run(&listener).await;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(offered(), (SessionStatus::Running, 2));
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn d08_what_is_too_old_already_goes_at_the_start() {
    let store = MemoryStore::new();
    let mut old = kit::record(&kit::listener("hall"), None, 0);
    old.started_at = old.started_at.saturating_sub(Duration::from_secs(3_600));
    let young = kit::record(&kit::listener("hall"), None, 0);
    let batch = Batch {
        session: kit::session(),
        records: vec![old, young.clone()],
    };
    store.persist(Arc::new(batch)).await.unwrap();
    let config = Config::default().with_retention(executor_service::Retention {
        max_age: Some(Duration::from_secs(1_800)),
        ..executor_service::Retention::FOR_EVER
    });
    let builder = CommandExecutor::builder(store.clone()).config(config);
    let executor = builder.clock(TestClock::new()).start().await.unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(store.records(), [young]);
    executor.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn d08_the_service_prunes_at_its_start_and_every_hour() {
    let fixture = Fixture::with(
        Config::default().with_retention(executor_service::Retention {
            max_age: Some(Duration::from_secs(1_800)),
            ..executor_service::Retention::FOR_EVER
        }),
    )
    .await;
    let listener = fixture.noop().await;
    fixture.run(&listener).await;
    sleep(Duration::from_secs(3_500)).await;
    fixture.run(&listener).await;
    fixture.executor.flush().await.unwrap();
    assert_eq!(fixture.store.records().len(), 2, "an hour has not passed");
    sleep(Duration::from_secs(200)).await;
    assert_eq!(fixture.store.records().len(), 1);
    fixture.stop().await;
}
