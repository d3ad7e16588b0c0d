//! Clause G1: what runs now and what waits, of this process and of the others of this machine.

use executor_core::ports::{LiveSession, LiveState};
use executor_core::{Event, TriggerMode};
use executor_service::inspect::MachineSpools;
use executor_service::{CommandExecutor, Config, SpoolPlace};
use executor_testkit::MemoryStore;
use std::time::Duration;

use crate::support::forever;

async fn only(state: &impl LiveState) -> LiveSession {
    let mut sessions = state.sessions().await.unwrap();
    assert_eq!(sessions.len(), 1);
    sessions.remove(0)
}

#[tokio::test]
async fn g01_what_runs_and_what_waits_is_seen_from_within_and_from_beside() {
    let root = tempfile::tempdir().unwrap();
    let beside = MachineSpools::new(root.path().join("spools"));
    assert!(beside.sessions().await.unwrap().is_empty());
    let store = MemoryStore::new();
    let config = Config::default().with_spool(SpoolPlace::At(root.path().join("spools")));
    let builder = CommandExecutor::builder(store.clone()).config(config);
    let executor = builder.start().await.unwrap();
    let dim = executor
        .job("lights", "dim")
        .handler_fn(|| async {})
        .register()
        .await
        .unwrap();
    let wait = executor
        .listener("lights", "wait")
        .topic("motion")
        .handler_fn(forever);
    let wait = wait.register().await.unwrap();
    store.go_away();
    executor.execute(dim.run_now()).await.unwrap();
    let event = Event::new("motion").with_id("m-1");
    let running = executor.submit(wait.invoke(event)).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    for live in [only(&beside).await, only(&executor).await] {
        assert!(live.is_alive && live.unreadable.is_none(), "{live:?}");
        assert_eq!(live.session.id, executor.session_id());
        assert_eq!((live.waiting, live.unlisted, live.running.len()), (1, 0, 1));
        let seen = &live.running[0];
        assert_eq!(seen.execution_id, running.execution_id());
        assert_eq!(
            (&*seen.entity.name, seen.trigger.id()),
            ("wait", Some("m-1"))
        );
        assert_eq!(live.ledger.unwrap().offered, 1);
    }
    store.come_back();
    running.cancel();
    executor.shutdown(Duration::from_secs(5)).await;
    assert!(beside.sessions().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn g01_without_a_spool_it_is_known_how_many_run() {
    let fixture = crate::support::Fixture::new().await;
    let job = fixture.executor.job("lights", "wait").handler_fn(forever);
    let job = job.register().await.unwrap();
    let running = fixture.executor.submit(job.run_now()).unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let live = only(&fixture.executor).await;
    assert_eq!((live.running.len(), live.unlisted, live.waiting), (0, 1, 0));
    running.cancel();
    fixture.stop().await;
    assert_eq!(job.run_now().trigger().mode(), Some(TriggerMode::Manual));
}
