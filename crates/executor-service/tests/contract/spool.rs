//! Clauses E, as far as the service keeps them: the spool as its intake, and what the next start makes
//! of what an earlier one left. Real kills are in the integration tests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::SessionStatus;
use executor_core::{DropReason, Event, ExecutionId, SessionId, Status};
use executor_service::{
    CommandExecutor, Config, Degradation, Durability, Health, ListenerHandle, Recording, SpoolPlace,
};
use executor_testkit::{Fault, MemoryStore, TestClock};
use tokio::time::sleep;

use crate::support::{Logs, event, forever, is_pending, statuses};

/// A runtime with paused time: dropping it is as sudden as a kill, for what it ran.
pub(crate) fn life<F: Future>(work: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

pub(crate) fn config(root: &Path) -> Config {
    Config::default()
        .with_spool(SpoolPlace::At(root.to_owned()))
        .with_wait_for_store(false)
}

pub(crate) async fn start(store: &MemoryStore, config: Config) -> CommandExecutor {
    let builder = CommandExecutor::builder(store.clone()).clock(TestClock::new());
    builder.config(config).start().await.unwrap()
}

pub(crate) async fn noop(executor: &CommandExecutor) -> ListenerHandle {
    let listener = executor.listener("lights", "noop").topic("#");
    listener.handler_fn(|| async {}).register().await.unwrap()
}

pub(crate) async fn run(executor: &CommandExecutor, listener: &ListenerHandle) -> ExecutionId {
    let result = executor.execute(listener.invoke(event())).await;
    result.unwrap().execution_id
}

fn is_empty(root: &Path) -> bool {
    std::fs::read_dir(root).unwrap().next().is_none()
}

/// A life that ends suddenly, with the store away: so many executions have ended, one had begun. What a
/// kill would leave is what its files hold while it lives.
pub(crate) fn crashed(
    store: &MemoryStore,
    root: &Path,
    count: usize,
) -> (SessionId, Vec<ExecutionId>) {
    store.go_away();
    let alive = tempfile::tempdir().unwrap();
    let left = life(async {
        let executor = start(store, config(alive.path())).await;
        let listener = noop(&executor).await;
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(run(&executor, &listener).await);
        }
        let hangs = executor.listener("lights", "hangs").topic("#");
        let hangs = hangs.handler(|_: Arc<Event>| forever()).register().await;
        let mut running = Box::pin(executor.execute(hangs.unwrap().invoke(event())));
        assert!(is_pending(&mut running).await);
        // One heartbeat, and half a second one.
        sleep(Duration::from_secs(45)).await;
        copy(alive.path(), root);
        (executor.session_id(), ids)
    });
    store.come_back();
    left
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn e01_the_ledger_says_which_level_holds_in_memory_and_in_the_row_after_a_crash_too() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let in_memory = config(root.path()).with_spool(SpoolPlace::Memory);
    let level = |config: Config| {
        life(async {
            let executor = start(&store, config).await;
            executor.flush().await.unwrap();
            let level = executor.ledger().durability;
            executor.shutdown(Duration::from_secs(5)).await;
            level
        })
    };
    assert_eq!(level(in_memory), None);
    let power = config(root.path()).with_durability(Durability::Power);
    assert_eq!(level(power), Some(Durability::Power));
    let (dead, _) = crashed(&store, root.path(), 1);
    assert_eq!(level(config(root.path())), Some(Durability::Process));
    assert_eq!(
        store.session(dead).unwrap().1.durability,
        Some(Durability::Process)
    );
}

/// In real time: the file system knows no other.
#[tokio::test]
async fn e01_with_power_records_are_synced_and_the_store_is_asked_to_sync_its_commits() {
    let root = tempfile::tempdir().unwrap();
    for (durability, is_synced) in [(Durability::Process, false), (Durability::Power, true)] {
        let store = MemoryStore::new();
        let config = config(root.path()).with_durability(durability);
        let executor = start(&store, config).await;
        let listener = noop(&executor).await;
        run(&executor, &listener).await;
        assert_eq!(executor.synced().await.is_ok(), is_synced);
        assert_eq!(store.syncs_commits(), is_synced);
        executor.shutdown(Duration::from_secs(5)).await;
    }
}

#[test]
fn e01_what_had_ended_is_stored_by_the_next_start_under_its_own_session() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let (session, ids) = crashed(&store, root.path(), 2_500);
    life(async {
        let executor = start(&store, config(root.path())).await;
        executor.flush().await.unwrap();
        let listener = noop(&executor).await;
        let new = run(&executor, &listener).await;
        executor.flush().await.unwrap();
        let ledger = executor.ledger();
        assert_eq!((ledger.offered, ledger.recovered), (1, 2_501), "{ledger}");
        assert!(ledger.is_balanced());
        let records = store.records();
        let stored: Vec<ExecutionId> = records.iter().map(|record| record.execution_id).collect();
        // E3: before new ones, and in their order.
        assert_eq!(stored[..2_500], ids);
        assert_eq!((records.len(), stored[2_501]), (2_502, new));
        assert!(
            store.sessions_of_records()[..2_501]
                .iter()
                .all(|id| *id == session)
        );
        executor.shutdown(Duration::from_secs(5)).await;
    });
    assert!(is_empty(root.path()));
}

#[test]
fn e06_what_had_begun_and_not_ended_is_interrupted_with_its_start_and_identity() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let (session, _) = crashed(&store, root.path(), 3);
    life(async {
        let executor = start(&store, config(root.path())).await;
        executor.flush().await.unwrap();
        executor.shutdown(Duration::from_secs(5)).await;
    });
    let records = store.records();
    let expected = [
        Status::Success,
        Status::Success,
        Status::Success,
        Status::Interrupted,
    ];
    assert_eq!(statuses(&records), expected);
    let interrupted = &records[3];
    assert_eq!(interrupted.subject.entity.name, "hangs");
    assert_eq!(interrupted.trigger.id(), Some("e-1"));
    assert!(interrupted.started_at >= records[2].started_at);
    assert_eq!(interrupted.duration.as_secs(), 30, "its last sign of life");
    let (status, ledger) = store.session(session).unwrap();
    assert_eq!(status, SessionStatus::Crashed);
    let counts = (
        ledger.offered,
        ledger.recovered,
        ledger.stored,
        ledger.spooled,
    );
    assert_eq!(counts, (3, 1, 4, 0), "{ledger}");
    assert!(ledger.is_balanced());
}

#[test]
fn e06_a_clean_stop_while_the_store_is_away_does_not_look_like_a_crash() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    store.go_away();
    let session = life(async {
        let executor = start(&store, config(root.path())).await;
        let listener = noop(&executor).await;
        for _ in 0..5 {
            run(&executor, &listener).await;
        }
        let report = executor.shutdown(Duration::from_secs(2)).await;
        assert_eq!(
            (report.ledger.spooled, report.ledger.total_dropped()),
            (5, 0)
        );
        assert!(report.ledger.is_balanced() && !report.session_closed);
        executor.session_id()
    });
    store.come_back();
    life(async {
        let executor = start(&store, config(root.path())).await;
        executor.flush().await.unwrap();
        executor.shutdown(Duration::from_secs(2)).await;
    });
    let (status, ledger) = store.session(session).unwrap();
    assert_eq!(status, SessionStatus::Success);
    let counts = (ledger.offered, ledger.stored, ledger.spooled);
    assert_eq!(counts, (5, 5, 0), "{ledger}");
    assert!(is_empty(root.path()));
}

#[test]
fn e03_a_recovery_that_fails_again_and_again_holds_up_nothing_new() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    crashed(&store, root.path(), 3);
    life(async {
        let _listening = executor_testkit::FailingPart::new("recovery", usize::MAX);
        let executor = start(&store, config(root.path())).await;
        let listener = noop(&executor).await;
        let new = run(&executor, &listener).await;
        let flushed = tokio::time::timeout(Duration::from_secs(60), executor.flush());
        flushed
            .await
            .expect("the new record waits for nothing")
            .unwrap();
        let mut records = store.records().into_iter();
        assert!(records.any(|record| record.execution_id == new));
        executor.shutdown(Duration::from_secs(5)).await;
    });
}

#[test]
fn e03_a_recovery_that_is_cut_off_is_finished_by_the_next_start_and_stores_nothing_twice() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let (session, _) = crashed(&store, root.path(), 3_000);
    life(async {
        // Stored, but not heard of; then away.
        store.inject([Fault::LostReply]);
        let executor = start(&store, config(root.path())).await;
        sleep(Duration::from_millis(500)).await;
        // One of the thousand frames is the session's own.
        assert_eq!(store.records().len(), 999);
        drop(executor);
    });
    life(async {
        let executor = start(&store, config(root.path())).await;
        executor.flush().await.unwrap();
        executor.shutdown(Duration::from_secs(5)).await;
    });
    assert_eq!(store.records().len(), 3_001);
    let (_, ledger) = store.session(session).unwrap();
    let counts = (ledger.offered, ledger.recovered, ledger.stored);
    assert_eq!(counts, (3_000, 1, 3_001), "{ledger}");
    assert!(is_empty(root.path()));
}

#[test]
fn e03_what_is_new_waits_for_what_was_left() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    crashed(&store, root.path(), 10);
    life(async {
        // Refuses what was left, which waits for a second then.
        store.inject([Fault::Busy]);
        let executor = start(&store, config(root.path())).await;
        let listener = noop(&executor).await;
        let new = run(&executor, &listener).await;
        sleep(Duration::from_millis(600)).await;
        assert_eq!(store.records().len(), 0, "the new one would be the first");
        executor.flush().await.unwrap();
        let records = store.records();
        assert_eq!((records.len(), records[11].execution_id), (12, new));
        executor.shutdown(Duration::from_secs(5)).await;
    });
}

/// What the policy leaves out has its start in the spool all the same.
#[test]
fn c11_what_is_left_out_leaves_nothing_behind_and_was_not_interrupted() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let alive = tempfile::tempdir().unwrap();
    let session = life(async {
        let config = config(alive.path()).with_record_app(Recording::Anomalies {
            slower_than: Duration::from_secs(1),
            sample_one_in: 0,
        });
        let executor = start(&store, config).await;
        let listener = noop(&executor).await;
        for _ in 0..3 {
            run(&executor, &listener).await;
        }
        copy(alive.path(), root.path());
        let report = executor.shutdown(Duration::from_secs(5)).await;
        assert_eq!(report.ledger.filtered, 3);
        executor.session_id()
    });
    assert!(is_empty(alive.path()));
    let next = MemoryStore::new();
    life(async {
        let executor = start(&next, config(root.path())).await;
        executor.flush().await.unwrap();
        executor.shutdown(Duration::from_secs(5)).await;
    });
    assert_eq!(next.records().len(), 0);
    let (_, ledger) = next.session(session).unwrap();
    assert_eq!((ledger.offered, ledger.filtered), (3, 3), "{ledger}");
}

/// Into the smallest spool there is.
#[test]
fn e02_past_the_limit_of_the_spool_new_records_are_dropped_and_counted() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    life(async {
        let config = config(root.path()).with_spool_max_bytes(32 << 20);
        store.go_away();
        let executor = start(&store, config).await;
        let job = executor.job("lights", "long");
        let arguments = format!("\"{}\"", "x".repeat(65_000));
        let job = job.record_arguments(arguments).handler_fn(|| async {});
        let job = job.register().await.unwrap();
        for _ in 0..600 {
            executor.execute(job.run_now()).await.unwrap();
        }
        let ledger = executor.ledger();
        let lost = ledger.dropped(DropReason::Overflow);
        assert!(lost > 50 && ledger.waiting > 300, "{ledger}");
        assert_eq!(ledger.waiting + lost, 600, "{ledger}");
        let Health::Degraded(reasons) = executor.health() else {
            panic!("a full spool is healthy");
        };
        let is_full = |reason: &Degradation| matches!(reason, Degradation::SpoolFilling { .. });
        assert!(reasons.iter().any(is_full), "{reasons:?}");
        store.come_back();
        executor.flush().await.unwrap();
        executor.execute(job.run_now()).await.unwrap();
        let report = executor.shutdown(Duration::from_secs(5)).await;
        assert_eq!(report.ledger.stored, 601 - lost, "{}", report.ledger);
    });
    assert!(is_empty(root.path()));
}

#[test]
fn c04_what_is_set_aside_of_what_was_left_is_named_as_well() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let (_, ids) = crashed(&store, root.path(), 3);
    let (logs, _listening) = Logs::listen();
    life(async {
        store.inject([Fault::CannotStore(1)]);
        let executor = start(&store, config(root.path())).await;
        executor.flush().await.unwrap();
        let ledger = executor.ledger();
        assert_eq!(ledger.dropped(DropReason::Unstorable), 1, "{ledger}");
        executor.shutdown(Duration::from_secs(5)).await;
    });
    let errors = logs.of("ERROR");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].fields["message"].contains("REGRESSION"));
    assert_eq!(errors[0].fields["execution.id"], ids[1].to_string());
}

#[test]
fn e03_being_ready_does_not_wait_for_what_was_left() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    crashed(&store, root.path(), 10);
    life(async {
        store.inject([Fault::Slow(Duration::from_secs(60))]);
        let begun = tokio::time::Instant::now();
        let executor = start(&store, config(root.path())).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        executor.flush().await.unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(60));
        executor.shutdown(Duration::from_secs(5)).await;
    });
}

#[test]
fn e01_a_living_process_keeps_its_spool() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    life(async {
        let first = start(&store, config(root.path())).await;
        let listener = noop(&first).await;
        store.go_away();
        run(&first, &listener).await;
        let second = start(&store, config(root.path())).await;
        sleep(Duration::from_secs(3)).await;
        store.come_back();
        second.flush().await.unwrap();
        assert_eq!(second.ledger().recovered, 0);
        first.flush().await.unwrap();
        assert_eq!(first.ledger().stored, 1);
        second.shutdown(Duration::from_secs(5)).await;
        store.come_back();
        first.shutdown(Duration::from_secs(5)).await;
    });
    assert!(is_empty(root.path()));
}

#[test]
fn c05_with_a_spool_nothing_is_given_up_by_count_and_memory_holds_no_more_than_its_bound() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    life(async {
        let config = config(root.path())
            .with_retry_max_records(300)
            .with_batch_max(100)
            .with_queue_max(10);
        let executor = start(&store, config).await;
        let listener = noop(&executor).await;
        store.inject([Fault::Busy; 40]);
        for _ in 0..5_000 {
            run(&executor, &listener).await;
        }
        sleep(Duration::from_secs(30)).await;
        // Three batches of a hundred are in memory; the others were not even tried.
        let tried = store.batches();
        executor.flush().await.unwrap();
        let ledger = executor.ledger();
        assert_eq!(
            (ledger.stored, ledger.total_dropped()),
            (5_000, 0),
            "{ledger}"
        );
        assert!(tried <= 40, "{tried}");
        executor.shutdown(Duration::from_secs(5)).await;
    });
}

#[test]
fn e01_where_no_spool_can_be_made_records_wait_in_memory_and_health_says_so() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let file = root.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    life(async {
        let executor = start(&store, config(&file)).await;
        let health = executor.health();
        let Health::Degraded(reasons) = health else {
            panic!("{health:?}");
        };
        assert!(
            matches!(reasons[..], [Degradation::NoSpool { .. }]),
            "{reasons:?}"
        );
        let listener = noop(&executor).await;
        run(&executor, &listener).await;
        let report = executor.shutdown(Duration::from_secs(5)).await;
        assert_eq!(report.ledger.stored, 1);
    });
}
