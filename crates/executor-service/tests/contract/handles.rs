//! Live handles: what is registered can be replaced, paused, cancelled and registered anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use executor_core::{Event, Refused, RegistrationId, Status};
use executor_service::{CommandExecutor, ListenerHandle};
use executor_testkit::Fault;

use crate::support::{Fixture, event};

async fn refusal(fixture: &Fixture, listener: &ListenerHandle) -> Option<Refused> {
    let executed = fixture.executor.execute(listener.invoke(event())).await;
    executed.err()
}

fn row(listener: &ListenerHandle) -> RegistrationId {
    let id = listener.listener().row.get();
    RegistrationId::listener(*id.expect("its row is known"))
}

#[tokio::test(start_paused = true)]
async fn d03_a_cancelled_listener_is_refused_and_its_row_says_when_it_was_removed() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    listener.pause();
    assert_eq!(refusal(&fixture, &listener).await, Some(Refused::Paused));
    listener.resume();
    assert_eq!(refusal(&fixture, &listener).await, None);
    listener.cancel().await.unwrap();
    listener.cancel().await.unwrap();
    listener.resume();
    assert_eq!(refusal(&fixture, &listener).await, Some(Refused::Removed));
    assert!(fixture.store.removed_at(row(&listener)).is_some());
    assert_eq!(fixture.executor.refused(), 2);
    assert_eq!(fixture.stored().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn d01_removed_and_made_again_at_once_lives_in_either_order() {
    for cancel_first in [true, false] {
        let fixture = Fixture::new().await;
        let old = fixture.noop().await;
        let new = if cancel_first {
            old.cancel().await.unwrap();
            fixture.noop().await
        } else {
            let new = fixture.noop().await;
            old.cancel().await.unwrap();
            new
        };
        assert_eq!(row(&old), row(&new));
        assert_eq!(fixture.store.removed_at(row(&new)), None, "{cancel_first}");
        assert_eq!(refusal(&fixture, &old).await, Some(Refused::Removed));
        assert_eq!(refusal(&fixture, &new).await, None);
        fixture.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn d01_what_is_registered_and_cancelled_while_the_store_is_away_is_written_in_order() {
    let fixture = Fixture::new().await;
    let before = fixture.noop().await;
    fixture.store.go_away();
    let listener = fixture
        .listener("late", |_: Arc<Event>| async { Ok(()) })
        .await;
    before.cancel().await.unwrap();
    assert_eq!(listener.listener().row.get(), None);
    fixture.store.come_back();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(listener.listener().row.get().is_some());
    assert!(fixture.store.removed_at(row(&before)).is_some());
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a03_a_replaced_handler_runs_from_the_next_execution_on() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&runs);
    let itself = listener.clone();
    fixture.run(&listener).await;
    listener.replace(move |_: Arc<Event>| {
        counter.fetch_add(1, Ordering::Relaxed);
        // Also from inside.
        itself.replace(|_: Arc<Event>| async { Err("replaced again".into()) });
        async { Ok(()) }
    });
    assert_eq!(fixture.run(&listener).await.status(), Status::Success);
    assert_eq!(fixture.run(&listener).await.status(), Status::Error);
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    fixture.stop().await;
}

/// Registers a listener of its own and executes it.
async fn register_and_execute(
    executor: CommandExecutor,
) -> Result<(), executor_core::HandlerError> {
    let inner = executor.listener("lights", "inner").topic("inner");
    let inner = inner.handler_fn(|| async {}).register().await?;
    let result = executor.execute(inner.invoke(Event::new("inner"))).await?;
    assert_eq!(result.status(), Status::Success);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a03_a_handler_may_register_and_execute() {
    let fixture = Fixture::new().await;
    let executor = fixture.executor.clone();
    let outcome = fixture
        .run_once(move |_: Arc<Event>| register_and_execute(executor.clone()))
        .await;
    assert_eq!(outcome.status(), Status::Success);
    let records = fixture.stored().await;
    assert_eq!(records.len(), 2);
    assert_ne!(records[0].execution_id, records[1].execution_id);
}

#[tokio::test(start_paused = true)]
async fn d02_reconciling_through_the_service_spares_what_is_registered() {
    let fixture = Fixture::new().await;
    let (kept, gone) = (
        fixture.noop().await,
        fixture
            .listener("gone", |_: Arc<Event>| async { Ok(()) })
            .await,
    );
    let spent = fixture
        .listener("spent", |_: Arc<Event>| async { Ok(()) })
        .await;
    fixture.run(&kept).await;
    fixture.run(&spent).await;
    fixture.store.inject([Fault::Lost]);
    fixture.executor.flush().await.unwrap();
    gone.cancel().await.unwrap();
    spent.cancel().await.unwrap();
    let would = fixture.executor.would_reconcile("lights").await.unwrap();
    let done = fixture.executor.reconcile("lights").await.unwrap();
    assert_eq!(would, done);
    assert_eq!(
        (done.deleted, done.retired),
        (vec![row(&gone)], vec![row(&spent)])
    );
    let again = fixture.executor.reconcile("lights").await.unwrap();
    assert!(again.deleted.is_empty() && again.retired.is_empty());
    fixture.stop().await;
}
