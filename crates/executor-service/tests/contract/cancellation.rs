//! Clause A10: cancelled by dropping, by token, by the shutdown.

use std::sync::Arc;

use executor_core::context::{cancellation, inherit};
use executor_core::{Event, HandlerError, Outcome, Status};
use executor_service::{Config, ListenerHandle};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{Fixture, assert_took, event, forever, millis, secs, statuses};

on_both_runtimes!(
    a10_a_dropped_execution_is_cancelled_with_its_duration,
    a10_without_grace_a_token_ends_the_handler_at_once,
    a10_a_handler_that_returns_within_its_grace_has_the_last_word,
    a10_grace_ends,
    a10_the_deadline_holds_in_grace_but_the_cancellation_came_first,
    a10_what_is_spawned_and_inherits_sees_the_cancellation,
    a10_the_shutdown_gives_the_grace_too,
    a10_an_execution_that_was_cancelled_before_it_began_is_recorded,
);

/// Runs until the token is cancelled after one second.
async fn cancelled_after_a_second(fixture: &Fixture, listener: &ListenerHandle) -> Outcome {
    let token = CancellationToken::new();
    let execution = fixture
        .executor
        .execute_until(listener.invoke(event()), &token);
    let (result, ()) = tokio::join!(execution, async {
        sleep(secs(1)).await;
        token.cancel();
    });
    result.unwrap().outcome
}

async fn with_grace() -> Fixture {
    let cancel_grace = secs(2);
    Fixture::with(Config::default().with_cancel_grace(cancel_grace)).await
}

/// Waits for the cancellation, then for `then`, and fails.
async fn says_goodbye(then: std::time::Duration) -> Result<(), HandlerError> {
    cancellation().cancelled().await;
    sleep(then).await;
    Err("goodbye".into())
}

async fn a10_a_dropped_execution_is_cancelled_with_its_duration() {
    let fixture = Fixture::new().await;
    let hanging = fixture.listener("hanging", |_: Arc<Event>| forever()).await;
    let dropped = timeout(secs(2), fixture.run(&hanging)).await;
    assert!(dropped.is_err());
    let record = fixture.only_record().await;
    assert_eq!(record.status, Status::Cancelled);
    assert_took(record.duration, secs(2));
    assert_eq!(record.failure, None);
}

async fn a10_without_grace_a_token_ends_the_handler_at_once() {
    let fixture = Fixture::new().await;
    let told = fixture
        .builder("polite")
        .on_error(|_| async { Err::<(), _>("nobody is told of this") });
    let polite = told.handler(|_: Arc<Event>| says_goodbye(secs(0)));
    let polite = polite.register().await.unwrap();
    let outcome = cancelled_after_a_second(&fixture, &polite).await;
    assert_eq!(outcome, Outcome::Cancelled);
    let record = fixture.only_record().await;
    assert_took(record.duration, secs(1));
    assert_eq!(fixture.executor.error_handler_failures(), 0);
}

async fn a10_a_handler_that_returns_within_its_grace_has_the_last_word() {
    let fixture = with_grace().await;
    let then = secs(1);
    let polite = fixture.listener("polite", move |_: Arc<Event>| says_goodbye(then));
    let outcome = cancelled_after_a_second(&fixture, &polite.await).await;
    assert_eq!(outcome.status(), Status::Error);
    let record = fixture.only_record().await;
    assert_took(record.duration, secs(2));
    assert_eq!(record.failure.unwrap().message, "goodbye");
}

async fn a10_grace_ends() {
    let fixture = with_grace().await;
    let deaf = fixture.listener("deaf", |_: Arc<Event>| forever()).await;
    let outcome = cancelled_after_a_second(&fixture, &deaf).await;
    assert_eq!(outcome, Outcome::Cancelled);
    assert_took(fixture.only_record().await.duration, secs(3));
}

async fn a10_the_deadline_holds_in_grace_but_the_cancellation_came_first() {
    let fixture = with_grace().await;
    let deaf = fixture.builder("deaf").timeout(secs(2));
    let deaf = deaf.handler(|_: Arc<Event>| forever()).register().await;
    let outcome = cancelled_after_a_second(&fixture, &deaf.unwrap()).await;
    assert_eq!(outcome, Outcome::Cancelled);
    assert_took(fixture.only_record().await.duration, secs(2));
}

async fn a10_what_is_spawned_and_inherits_sees_the_cancellation() {
    let fixture = with_grace().await;
    let handler = |_: Arc<Event>| async {
        let spawned = tokio::spawn(inherit(async { cancellation().cancelled().await }));
        Ok(spawned.await?)
    };
    let listener = fixture.listener("spawns", handler).await;
    let outcome = cancelled_after_a_second(&fixture, &listener).await;
    assert_eq!(outcome, Outcome::Success);
    assert!(!cancellation().is_cancelled(), "outside nothing is");
    fixture.stop().await;
}

async fn a10_the_shutdown_gives_the_grace_too() {
    let fixture = with_grace().await;
    let then = millis(500);
    let polite = fixture.listener("polite", move |_: Arc<Event>| says_goodbye(then));
    let command = polite.await.invoke(event());
    let (result, report) = tokio::join!(fixture.executor.execute(command), async {
        fixture.executor.shutdown(secs(8)).await
    });
    assert_eq!(result.unwrap().status(), Status::Error);
    // It was told to end, and ended by itself.
    assert_eq!((report.cancelled, report.still_running), (0, 0));
    assert_eq!(statuses(&fixture.store.records()), [Status::Error]);
}

async fn a10_an_execution_that_was_cancelled_before_it_began_is_recorded() {
    let fixture = Fixture::new().await;
    let hanging = fixture.listener("hanging", |_: Arc<Event>| forever()).await;
    let token = CancellationToken::new();
    token.cancel();
    let command = hanging.invoke(event());
    let result = fixture.executor.execute_until(command, &token).await;
    assert_eq!(result.unwrap().outcome, Outcome::Cancelled);
    assert_eq!(fixture.only_record().await.status, Status::Cancelled);
}
