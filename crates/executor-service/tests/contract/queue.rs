//! Clauses C: from the offer to the store, whatever the store does.

use std::sync::Arc;
use std::time::Duration;

use executor_core::{DropReason, ErrorClass, ExecutionId};
use executor_service::Config;
use executor_testkit::Fault;
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use crate::support::{Fixture, Logs};

#[tokio::test(start_paused = true)]
async fn c01_a_full_queue_drops_the_newest_and_counts_each() {
    let config = Config::default().with_queue_max(10);
    let fixture = Fixture::with(config).await;
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::Slow(Duration::from_secs(3))]);
    let (logs, _listening) = Logs::listen();
    let mut ran = Vec::new();
    for _ in 0..4 {
        ran.push(fixture.run_named(&listener).await);
    }
    // The store has the first batch in hand now: it counts against the bound.
    sleep(Duration::from_millis(500)).await;
    for _ in 0..30 {
        let begun = Instant::now();
        ran.push(fixture.run_named(&listener).await);
        assert_eq!(begun.elapsed(), Duration::ZERO, "an offer waited");
        // The episode is longer than what warns of it rests.
        sleep(Duration::from_millis(80)).await;
    }
    assert_eq!(fixture.ledger().dropped(DropReason::Overflow), 24);
    tokio::task::yield_now().await;
    let full = |line: &&crate::support::Line| line.fields["message"].contains("is full");
    assert_eq!(logs.of("WARN").iter().filter(full).count(), 1);
    sleep(Duration::from_secs(4)).await;
    let ends = logs
        .of("WARN")
        .into_iter()
        .filter(|line| line.fields.contains_key("lost"));
    let lost: Vec<String> = ends.map(|line| line.fields["lost"].clone()).collect();
    assert_eq!(lost, ["24"]);
    let stored = fixture.stored().await;
    let stored: Vec<ExecutionId> = stored.iter().map(|record| record.execution_id).collect();
    assert_eq!(stored, ran[..10], "the newest were dropped");
}

#[tokio::test(start_paused = true)]
async fn c03_a_lone_record_waits_for_no_longer_than_the_flush_interval() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    fixture.run(&listener).await;
    sleep(Duration::from_millis(240)).await;
    assert_eq!(fixture.ledger().stored, 0, "it was not gathered");
    sleep(Duration::from_millis(20)).await;
    assert_eq!(fixture.ledger().stored, 1);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c03_a_burst_goes_in_few_transactions_and_does_not_wait() {
    let fixture = Fixture::with(Config::default().with_queue_max(100_000)).await;
    let listener = fixture.noop().await;
    // One more than full batches: it is the flush that hurries it.
    for _ in 0..5_001 {
        fixture.run(&listener).await;
    }
    let begun = Instant::now();
    fixture.executor.flush().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(fixture.ledger().stored, 5_001);
    assert_eq!(fixture.store.batches(), 6, "of a thousand each");
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c03_a_quarter_of_the_queue_is_not_gathered_any_longer() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    fixture.run(&listener).await;
    // The drain has seen the first one and waits for more.
    sleep(Duration::from_millis(10)).await;
    for _ in 1..250 {
        fixture.run(&listener).await;
    }
    sleep(Duration::from_millis(10)).await;
    assert_eq!(fixture.ledger().stored, 250);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c04_what_a_busy_store_refuses_is_kept_and_tried_again() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::Busy, Fault::Busy]);
    fixture.run(&listener).await;
    sleep(Duration::from_millis(1_000)).await;
    assert_eq!(fixture.ledger().waiting, 1);
    sleep(Duration::from_millis(2_500)).await;
    assert_eq!(fixture.ledger().stored, 1);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c04_each_class_of_failure_ends_where_it_should() {
    let ends = [
        (ErrorClass::Unstorable, DropReason::Unstorable),
        (ErrorClass::Constraint, DropReason::Constraint),
        (ErrorClass::Closed, DropReason::Shutdown),
    ];
    for (class, reason) in ends {
        let fixture = Fixture::new().await;
        let listener = fixture.noop().await;
        fixture.store.inject([Fault::Fails(class)]);
        fixture.run(&listener).await;
        fixture.executor.flush().await.unwrap();
        assert_eq!(fixture.ledger().dropped(reason), 1, "{class:?}");
        fixture.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn c05_a_batch_that_is_refused_again_and_again_is_given_up_and_counted() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::Busy; 4]);
    fixture.run(&listener).await;
    fixture.executor.flush().await.unwrap();
    assert_eq!(fixture.ledger().dropped(DropReason::Exhausted), 1);
    assert_eq!(
        fixture.store.batches(),
        4,
        "the first try and three retries"
    );
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c05_an_absent_store_uses_up_no_attempts() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::Lost; 50]);
    // Of these it has three.
    fixture.store.inject([Fault::Busy; 2]);
    fixture.run(&listener).await;
    fixture.executor.flush().await.unwrap();
    assert_eq!(fixture.ledger().stored, 1);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c05_a_waiting_batch_does_not_delay_fresh_records() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::Busy]);
    fixture.run(&listener).await;
    sleep(Duration::from_millis(300)).await;
    fixture.run(&listener).await;
    sleep(Duration::from_millis(300)).await;
    let ledger = fixture.ledger();
    assert_eq!((ledger.stored, ledger.waiting), (1, 1), "{ledger}");
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c05_retries_have_a_bound_of_their_own() {
    let config = Config::default().with_retry_max_records(5);
    let fixture = Fixture::with(config).await;
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::Lost, Fault::Lost]);
    for _ in 0..2 {
        for _ in 0..4 {
            fixture.run(&listener).await;
        }
        sleep(Duration::from_millis(300)).await;
    }
    let ledger = fixture.ledger();
    assert_eq!(
        (ledger.waiting, ledger.dropped(DropReason::Exhausted)),
        (4, 4),
        "{ledger}"
    );
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c05_a_batch_on_its_retry_takes_no_room_from_the_queue() {
    let config = Config::default().with_queue_max(10);
    let fixture = Fixture::with(config).await;
    let listener = fixture.noop().await;
    fixture
        .store
        .inject([Fault::Lost, Fault::Slow(Duration::from_secs(2))]);
    for _ in 0..10 {
        fixture.run(&listener).await;
    }
    // The retry is in the store's hands from about 1 s to 3 s.
    sleep(Duration::from_millis(1_500)).await;
    for _ in 0..10 {
        fixture.run(&listener).await;
    }
    assert_eq!(fixture.ledger().total_dropped(), 0, "{}", fixture.ledger());
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c05_retries_of_a_slow_store_do_not_starve_the_queue() {
    let config = Config::default().with_queue_max(40);
    let fixture = Fixture::with(config).await;
    let listener = fixture.noop().await;
    // Each answer takes longer than any wait between tries, and says no.
    fixture
        .store
        .inject((0..400).flat_map(|_| [Fault::SlowlyLost(Duration::from_secs(6))]));
    for _ in 0..200 {
        fixture.run(&listener).await;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(fixture.ledger().total_dropped(), 0, "{}", fixture.ledger());
    fixture.executor.shutdown(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn c04_a_store_that_panics_is_asked_again() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    // More often than the drain itself may fail.
    fixture.store.inject([Fault::Panics; 6]);
    fixture.run(&listener).await;
    fixture.executor.flush().await.unwrap();
    assert_eq!(fixture.ledger().stored, 1);
    assert_eq!(
        fixture.executor.restarts(),
        0,
        "its panic is not the drain's"
    );
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c04_what_the_schema_cannot_take_is_called_a_regression() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    let (logs, _listening) = Logs::listen();
    let faults = [
        Fault::SetsAside(0),
        Fault::CannotStore(1),
        Fault::Fails(ErrorClass::Unstorable),
    ];
    for fault in faults {
        fixture.store.inject([fault]);
        for _ in 0..3 {
            fixture.run(&listener).await;
        }
        fixture.executor.flush().await.unwrap();
    }
    let is_regression =
        |line: &&crate::support::Line| line.fields["message"].contains("REGRESSION");
    let errors = logs.of("ERROR");
    assert_eq!(
        (errors.len(), errors.iter().filter(is_regression).count()),
        (3, 2)
    );
    let ledger = fixture.ledger();
    let dropped = [DropReason::Constraint, DropReason::Unstorable].map(|it| ledger.dropped(it));
    assert_eq!((ledger.stored, dropped), (4, [1, 4]), "{ledger}");
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c06_a_commit_whose_reply_was_lost_stores_nothing_twice_and_loses_nothing() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::LostReply]);
    for _ in 0..20 {
        fixture.run(&listener).await;
    }
    fixture.executor.flush().await.unwrap();
    let ledger = fixture.ledger();
    assert_eq!((ledger.stored, ledger.total_dropped()), (20, 0), "{ledger}");
    assert_eq!(fixture.stored().await.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn c07_the_process_names_its_session_before_the_store_has_answered() {
    let fixture = Fixture::new().await;
    let id = fixture.executor.session_id();
    assert_eq!(id.as_uuid().get_version_num(), 7);
    fixture.stop().await;
    let (_, ledger) = fixture.store.session(id).unwrap();
    assert_eq!(
        ledger,
        fixture.ledger(),
        "the session's row has the final ledger"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c08_the_ledger_balances_at_every_moment_at_which_it_is_read() {
    let config = Config::default()
        .with_queue_max(50)
        .with_flush_interval(Duration::from_millis(1));
    let fixture = Arc::new(Fixture::with(config).await);
    let listener = fixture.noop().await;
    fixture
        .store
        .inject([Fault::Fails(ErrorClass::Unstorable), Fault::LostReply]);
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (fixture, listener) = (Arc::clone(&fixture), listener.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..500 {
                fixture.run(&listener).await;
                let ledger = fixture.ledger();
                assert!(ledger.is_balanced(), "{ledger}");
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let ledger = fixture.stop().await.ledger;
    assert_eq!(ledger.offered, 4_000);
    assert_eq!(ledger.stored, fixture.store.records().len() as u64);
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Busy),
        Just(Fault::Lost),
        Just(Fault::LostReply),
        (1_u64..3_000).prop_map(|ms| Fault::Slow(Duration::from_millis(ms))),
        Just(Fault::Fails(ErrorClass::Unstorable)),
        Just(Fault::Fails(ErrorClass::Constraint)),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Run(usize),
    Fault(Fault),
    Wait(Duration),
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_usize..80).prop_map(Step::Run),
        2 => fault().prop_map(Step::Fault),
        3 => (1_u64..4_000).prop_map(|ms| Step::Wait(Duration::from_millis(ms))),
        1 => Just(Step::Flush),
    ]
}

async fn walk(steps: Vec<Step>) {
    let config = Config::default()
        .with_queue_max(60)
        .with_retry_max_records(100);
    let fixture = Fixture::with(config).await;
    let listener = fixture.noop().await;
    let mut offered = 0;
    for step in steps {
        match step {
            Step::Run(times) => {
                for _ in 0..times {
                    fixture.run(&listener).await;
                }
                offered += times as u64;
            }
            Step::Fault(fault) => fixture.store.inject([fault]),
            Step::Wait(time) => sleep(time).await,
            Step::Flush => fixture.executor.flush().await.unwrap(),
        }
        let ledger = fixture.ledger();
        assert!(ledger.is_balanced(), "{ledger}");
        assert_eq!(ledger.offered, offered);
    }
    let ledger = fixture.stop().await.ledger;
    let rows = fixture.store.records().len() as u64;
    // A batch whose reply was lost stands in the store even where the queue has given it up.
    assert!(
        ledger.stored <= rows && rows <= offered,
        "{ledger}, {rows} rows"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn c08_no_schedule_of_faults_unbalances_the_ledger(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(walk(steps));
    }
}
