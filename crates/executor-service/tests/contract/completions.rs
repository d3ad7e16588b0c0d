//! Clause C10: completion events.

use std::sync::Arc;
use std::time::Duration;

use executor_core::registration::Details;
use executor_core::runnable::Hooks;
use executor_core::{
    DropReason, Entity, Event, HandlerError, InvokeHandler, Listener, Registration, SourceTier,
    Status,
};
use executor_service::{Completion, CompletionEvent, Completions, Config};
use executor_testkit::Fault;
use tokio::time::sleep;

use crate::support::{Fixture, Logs, event, forever};

/// Everything that a subscriber is told until the executor has stopped.
async fn all(mut completions: Completions) -> (Vec<Arc<Completion>>, u64) {
    let (mut completed, mut missed) = (Vec::new(), 0);
    while let Some(told) = completions.next().await {
        match told {
            CompletionEvent::Completed(completion) => completed.push(completion),
            CompletionEvent::Lagged(count) => missed += count,
        }
    }
    (completed, missed)
}

async fn ends(_: Arc<Event>) -> Result<(), HandlerError> {
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn c10_each_stored_record_of_the_app_tier_is_told_in_order_with_every_outcome() {
    let fixture = Fixture::new().await;
    let completions = fixture.executor.completions();
    let framework = fixture.executor.framework_listener("house", "all");
    let framework = framework.topic("#").handler(ends).register().await.unwrap();
    fixture.run(&framework).await;
    fixture.run_once(ends).await;
    fixture
        .run_once(|_: Arc<Event>| async { Err(HandlerError::named("NoLamp", "gone")) })
        .await;
    fixture
        .run_once(|_: Arc<Event>| async { panic!("the lamp") })
        .await;
    fixture.run_once(|_: Arc<Event>| forever()).await;
    let never = fixture.builder("never").only_if(|_| false);
    let never = never.handler(ends).register().await.unwrap();
    fixture.run(&never).await;
    let records = fixture.stored().await;
    let (completed, missed) = all(completions).await;
    let statuses: Vec<Status> = completed.iter().map(|one| one.status).collect();
    let expected = [
        Status::Success,
        Status::Error,
        Status::Panicked,
        Status::TimedOut,
        Status::Skipped,
    ];
    assert_eq!((statuses.as_slice(), missed), (&expected[..], 0));
    for (completion, record) in completed.iter().zip(&records[1..]) {
        assert_eq!(completion.execution_id, record.execution_id);
        assert_eq!(completion.duration, record.duration);
        assert_eq!((completion.app_key(), completion.instance()), ("lights", 0));
    }
    assert_eq!(completed[1].error_type.as_deref(), Some("NoLamp"));
}

#[tokio::test(start_paused = true)]
async fn c10_a_row_whose_commit_was_not_heard_of_is_told_once() {
    let fixture = Fixture::new().await;
    let completions = fixture.executor.completions();
    fixture.store.inject([Fault::LostReply]);
    let listener = fixture.noop().await;
    for _ in 0..3 {
        fixture.run(&listener).await;
    }
    fixture.stop().await;
    assert_eq!(all(completions).await.0.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn c10_a_row_that_is_set_aside_silences_none_of_its_neighbours() {
    let fixture = Fixture::new().await;
    let completions = fixture.executor.completions();
    fixture.store.inject([Fault::SetsAside(1)]);
    let listener = fixture.noop().await;
    for _ in 0..3 {
        fixture.run(&listener).await;
    }
    let records = fixture.stored().await;
    let (completed, _) = all(completions).await;
    let told: Vec<_> = completed.iter().map(|one| one.execution_id).collect();
    let stored: Vec<_> = records.iter().map(|one| one.execution_id).collect();
    assert_eq!((told.len(), told), (2, stored));
    assert_eq!(fixture.ledger().dropped(DropReason::Constraint), 1);
}

#[tokio::test(start_paused = true)]
async fn c10_a_slow_subscriber_costs_nothing_and_learns_how_many_it_missed() {
    let config = Config::default().with_completions_max(4);
    let fixture = Fixture::with(config).await;
    let slow = fixture.executor.completions();
    drop(fixture.executor.completions());
    let listener = fixture.noop().await;
    for _ in 0..10 {
        fixture.run(&listener).await;
    }
    assert_eq!(fixture.stored().await.len(), 10);
    let (completed, missed) = all(slow).await;
    assert_eq!((completed.len(), missed), (4, 6));
    let (after_the_end, _) = all(fixture.executor.completions()).await;
    assert!(after_the_end.is_empty());
}

#[tokio::test(start_paused = true)]
async fn c10_what_a_completion_triggers_causes_no_further_one() {
    let fixture = Fixture::new().await;
    let mut completions = fixture.executor.completions();
    let listener = fixture.noop().await;
    fixture.run(&listener).await;
    let Some(CompletionEvent::Completed(first)) = completions.next().await else {
        panic!("nothing was told");
    };
    let event = first.event("execution.completed");
    assert!(event.payload::<Arc<Completion>>().is_some());
    fixture
        .executor
        .execute(listener.invoke(event))
        .await
        .unwrap();
    assert_eq!(fixture.stored().await.len(), 2);
    assert!(all(completions).await.0.is_empty());
}

/// In real time: the thread is a real one.
#[tokio::test]
async fn c10_the_instance_and_a_leaked_thread_are_told_of() {
    let fixture = Fixture::new().await;
    let mut completions = fixture.executor.completions();
    let release = fixture.leak(fixture.builder("blocks").instance(3)).await;
    let Some(CompletionEvent::Completed(completion)) = completions.next().await else {
        panic!("nothing was told");
    };
    assert_eq!((completion.instance(), completion.thread_leaked), (3, true));
    drop(release);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c10_an_app_without_a_key_is_warned_of_at_most_every_thirty_seconds() {
    let fixture = Fixture::new().await;
    let (logs, _listening) = Logs::listen();
    let entity = Entity::listener("", 0, "made by hand", "#");
    let registration = Registration::new(entity, Details::new(SourceTier::App));
    let listener = Listener::new(registration, Arc::new(ends), Hooks::default());
    let listener = Arc::new(listener);
    let invoke = || InvokeHandler {
        listener: Arc::clone(&listener),
        event: Arc::new(event()),
        source_tier: SourceTier::App,
        effective_timeout: None,
    };
    for _ in 0..3 {
        fixture.executor.execute(invoke()).await.unwrap();
        fixture.executor.flush().await.unwrap();
        sleep(Duration::from_secs(14)).await;
    }
    let nameless = |line: &crate::support::Line| line.fields["message"].contains("has no app key");
    assert_eq!(logs.of("WARN").into_iter().filter(nameless).count(), 1);
    fixture.executor.execute(invoke()).await.unwrap();
    fixture.executor.flush().await.unwrap();
    assert_eq!(logs.of("WARN").into_iter().filter(nameless).count(), 2);
    fixture.stop().await;
}
