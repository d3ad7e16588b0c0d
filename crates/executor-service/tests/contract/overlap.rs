//! Clauses A17 and A18: who may run while another one does, and who may run at all.

use std::future::{poll_fn, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use executor_core::registration::Overlap;
use executor_core::{Event, ExecutionResult, HandlerError, HandlerFailure, Status, Timestamp};
use executor_service::ListenerHandle;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{Fixture, assert_took, event, millis, secs, statuses};

on_both_runtimes!(
    a17_single_skips_while_one_runs,
    a17_the_default_is_single_for_apps_and_parallel_for_the_framework,
    a17_restart_cancels_the_one_that_runs_and_waits_for_it,
    a17_of_those_that_wait_to_restart_only_the_last_runs,
    a17_queued_runs_in_order_and_skips_the_newest_past_ten,
    a17_one_that_goes_away_while_it_waits_is_cancelled_and_holds_up_nobody,
    a17_one_that_is_cancelled_while_it_waits_has_no_duration,
    a17_waiting_is_no_part_of_the_deadline_or_the_duration,
    a17_parallel_has_no_limit_unless_one_is_set,
    a18_a_guard_that_says_no_skips,
    a18_a_guard_that_fails_is_an_error_and_the_error_handler_is_told,
);

/// A listener whose runs take a second each.
async fn takes_a_second(fixture: &Fixture, overlap: Overlap, limit: Option<u32>) -> ListenerHandle {
    let second = secs(1);
    let builder = fixture.builder("takes a second").overlap(overlap);
    let builder = builder.details(|details| details.overlap_limit = limit);
    let handler = move |_: Arc<Event>| async move {
        sleep(second).await;
        Ok(())
    };
    builder.handler(handler).register().await.unwrap()
}

/// Starts so many runs, 10 ms apart, and waits for all of them.
async fn run_many(
    fixture: &Fixture,
    listener: &ListenerHandle,
    count: usize,
) -> Vec<ExecutionResult> {
    let mut tasks = Vec::new();
    for number in 0..count {
        let executor = fixture.executor.clone();
        let command = listener.invoke(event().with_id(number.to_string()));
        let mut run = Box::pin(async move { executor.execute(command).await });
        // Polled once, so that it has its place before the next one comes.
        let first = poll_fn(|cx| Poll::Ready(run.as_mut().poll(cx))).await;
        tasks.push(match first {
            Poll::Ready(result) => tokio::spawn(ready(result)),
            Poll::Pending => tokio::spawn(run),
        });
        sleep(millis(10)).await;
    }
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap().unwrap());
    }
    results
}

fn of(results: &[ExecutionResult]) -> Vec<Status> {
    results.iter().map(ExecutionResult::status).collect()
}

async fn a17_single_skips_while_one_runs() {
    let fixture = Fixture::new().await;
    let listener = takes_a_second(&fixture, Overlap::Single, None).await;
    let results = run_many(&fixture, &listener, 3).await;
    let expected = [Status::Success, Status::Skipped, Status::Skipped];
    assert_eq!(of(&results), expected);
    let again = run_many(&fixture, &listener, 1).await;
    assert_eq!(of(&again), [Status::Success], "nothing runs any more");
    let records = fixture.stored().await;
    let skipped = records
        .iter()
        .find(|r| r.status == Status::Skipped)
        .unwrap();
    let failure = skipped.failure.as_ref().unwrap();
    assert_eq!(failure.error_type, "skipped");
    assert_eq!(
        failure.message,
        "overlap: an earlier run is still in progress"
    );
    assert!(skipped.duration.is_zero());
    assert_eq!(records.len(), 4);
}

async fn a17_the_default_is_single_for_apps_and_parallel_for_the_framework() {
    let fixture = Fixture::new().await;
    let second = secs(1);
    let handler = move |_: Arc<Event>| async move {
        sleep(second).await;
        Ok(())
    };
    let app = fixture.listener("app", handler).await;
    let framework = fixture.executor.framework_listener("core", "watch");
    let framework = framework.topic("motion.hall").handler(handler);
    let framework = framework.register().await.unwrap();
    let results = run_many(&fixture, &app, 2).await;
    assert_eq!(of(&results), [Status::Success, Status::Skipped]);
    let results = run_many(&fixture, &framework, 2).await;
    assert_eq!(of(&results), [Status::Success, Status::Success]);
    fixture.stop().await;
}

async fn a17_restart_cancels_the_one_that_runs_and_waits_for_it() {
    let fixture = Fixture::new().await;
    let running = Arc::new(AtomicUsize::new(0));
    let (second, counter) = (secs(1), Arc::clone(&running));
    let handler = move |_: Arc<Event>| {
        let counter = Arc::clone(&counter);
        async move {
            struct Leaves(Arc<AtomicUsize>);
            impl Drop for Leaves {
                fn drop(&mut self) {
                    self.0.fetch_sub(1, Ordering::SeqCst);
                }
            }
            let others = counter.fetch_add(1, Ordering::SeqCst);
            let _leaves = Leaves(counter);
            assert_eq!(others, 0, "the earlier one is gone");
            sleep(second).await;
            Ok(())
        }
    };
    let listener = fixture.builder("restarts").overlap(Overlap::Restart);
    let listener = listener.handler(handler).register().await.unwrap();
    let results = run_many(&fixture, &listener, 3).await;
    let expected = [Status::Cancelled, Status::Cancelled, Status::Success];
    assert_eq!(of(&results), expected);
    assert_eq!(
        statuses(&fixture.stored().await),
        expected,
        "in their order"
    );
}

/// It uses up its task's budget in every poll, and whoever wants its place is seen all the same.
#[tokio::test]
async fn a17_restart_also_cancels_one_that_is_always_busy() {
    let fixture = Fixture::new().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let busy_at_first = move |_: Arc<Event>| {
        let is_first = runs.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if is_first {
                loop {
                    tokio::task::coop::consume_budget().await;
                }
            }
            Ok(())
        }
    };
    let listener = fixture.builder("busy").overlap(Overlap::Restart);
    let listener = listener.no_timeout().handler(busy_at_first);
    let listener = listener.register().await.unwrap();
    let results = run_many(&fixture, &listener, 2);
    let results = tokio::time::timeout(secs(60), results).await;
    assert_eq!(of(&results.unwrap()), [Status::Cancelled, Status::Success]);
    fixture.stop().await;
}

async fn a17_of_those_that_wait_to_restart_only_the_last_runs() {
    let second = secs(1);
    let fixture = Fixture::with(executor_service::Config::default().with_cancel_grace(5 * second));
    let fixture = fixture.await;
    let listener = takes_a_second(&fixture, Overlap::Restart, None).await;
    // The first does not listen to its cancellation and uses its grace; the others wait for it.
    let results = run_many(&fixture, &listener, 3).await;
    let expected = [Status::Success, Status::Skipped, Status::Success];
    assert_eq!(of(&results), expected);
    let records = fixture.stored().await;
    let skipped = records
        .iter()
        .find(|r| r.status == Status::Skipped)
        .unwrap();
    let reason = &skipped.failure.as_ref().unwrap().message;
    assert_eq!(reason, "overlap: a later run took its place");
}

async fn a17_queued_runs_in_order_and_skips_the_newest_past_ten() {
    let fixture = Fixture::new().await;
    let listener = takes_a_second(&fixture, Overlap::Queued, None).await;
    let results = run_many(&fixture, &listener, 13).await;
    let mut expected = vec![Status::Success; 11];
    expected.extend([Status::Skipped, Status::Skipped]);
    assert_eq!(of(&results), expected);
    let records = fixture.stored().await;
    let ran = records.iter().filter(|r| r.status == Status::Success);
    let ids: Vec<&str> = ran.filter_map(|record| record.trigger.id()).collect();
    let in_order: Vec<String> = (0..11).map(|number| number.to_string()).collect();
    assert_eq!(ids, in_order);
    let skipped = records
        .iter()
        .find(|r| r.status == Status::Skipped)
        .unwrap();
    let reason = &skipped.failure.as_ref().unwrap().message;
    assert_eq!(reason, "overlap: 10 runs are already waiting");
}

async fn a17_one_that_goes_away_while_it_waits_is_cancelled_and_holds_up_nobody() {
    let fixture = Fixture::new().await;
    let listener = takes_a_second(&fixture, Overlap::Queued, Some(2)).await;
    let (first, second, third) = tokio::join!(
        fixture.run(&listener),
        timeout(millis(500), fixture.run(&listener)),
        async {
            sleep(millis(600)).await;
            fixture.run(&listener).await
        }
    );
    assert_eq!(first.status(), Status::Success);
    assert!(second.is_err());
    assert_eq!(third.status(), Status::Success);
    let records = fixture.stored().await;
    let expected = [Status::Cancelled, Status::Success, Status::Success];
    assert_eq!(statuses(&records), expected);
    assert_eq!(records[0].duration, Duration::ZERO, "it never began");
}

async fn a17_one_that_is_cancelled_while_it_waits_has_no_duration() {
    let fixture = Fixture::new().await;
    let listener = takes_a_second(&fixture, Overlap::Queued, None).await;
    let cancel = CancellationToken::new();
    let (first, second, ()) = tokio::join!(
        fixture.run(&listener),
        fixture
            .executor
            .execute_until(listener.invoke(event()), &cancel),
        async {
            sleep(millis(500)).await;
            cancel.cancel();
        }
    );
    assert_eq!(first.status(), Status::Success);
    let second = second.unwrap();
    assert_eq!(
        (second.status(), second.duration),
        (Status::Cancelled, Duration::ZERO)
    );
    assert_eq!(fixture.stored().await[0].duration, Duration::ZERO);
}

async fn a17_waiting_is_no_part_of_the_deadline_or_the_duration() {
    let fixture = Fixture::new().await;
    let second = secs(1);
    let builder = fixture.builder("patient").overlap(Overlap::Queued);
    let handler = move |_: Arc<Event>| async move {
        sleep(second).await;
        Ok(())
    };
    let listener = builder.timeout(secs(2)).handler(handler);
    let listener = listener.register().await.unwrap();
    let results = run_many(&fixture, &listener, 4).await;
    assert_eq!(of(&results), [Status::Success; 4]);
    let records = fixture.stored().await;
    for record in &records {
        assert_took(record.duration, secs(1));
    }
    let last = records[3].started_at.as_micros() - records[0].started_at.as_micros();
    assert!(
        last >= executor_core::time::micros(secs(3)),
        "its own start"
    );
}

async fn a17_parallel_has_no_limit_unless_one_is_set() {
    let fixture = Fixture::new().await;
    let free = takes_a_second(&fixture, Overlap::Parallel, None).await;
    let results = run_many(&fixture, &free, 30).await;
    assert_eq!(of(&results), [Status::Success; 30]);
    let two = takes_a_second(&fixture, Overlap::Parallel, Some(2)).await;
    let results = run_many(&fixture, &two, 3).await;
    let expected = [Status::Success, Status::Success, Status::Skipped];
    assert_eq!(of(&results), expected);
    fixture.stop().await;
}

async fn a18_a_guard_that_says_no_skips() {
    let fixture = Fixture::new().await;
    let ran = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ran);
    let builder = fixture.builder("at home");
    let builder = builder.only_if(|event: &Event| &*event.origin == "REMOTE");
    let builder = builder.details(|details| details.guard_description = Some("only remote".into()));
    let handler = move |_: Arc<Event>| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Ok(()) }
    };
    let listener = builder.handler(handler).register().await.unwrap();
    fixture.run(&listener).await;
    let local = listener.invoke(Event::new("motion.hall"));
    let result = fixture.executor.execute(local).await.unwrap();
    assert_eq!(result.status(), Status::Skipped);
    let job = fixture.executor.job("lights", "nightly").only_if(|| false);
    let job = job.handler_fn(|| async {}).register().await.unwrap();
    fixture
        .executor
        .execute(job.run_scheduled(Timestamp::from_micros(7)))
        .await
        .unwrap();
    // Whoever wants it now does not ask whether it may.
    fixture.executor.execute(job.run_now()).await.unwrap();
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    let records = fixture.stored().await;
    let expected = [
        Status::Success,
        Status::Skipped,
        Status::Skipped,
        Status::Success,
    ];
    assert_eq!(statuses(&records), expected);
    let reason = |number: usize| records[number].failure.as_ref().unwrap().message.clone();
    assert_eq!(
        (reason(1), reason(2)),
        ("guard: only remote".into(), "guard: not now".into())
    );
    assert!(records[1].duration.is_zero());
}

async fn a18_a_guard_that_fails_is_an_error_and_the_error_handler_is_told() {
    let fixture = Fixture::new().await;
    let (sender, mut told) = mpsc::unbounded_channel();
    type Question = fn(&Event) -> Result<bool, HandlerError>;
    let guards: [Question; 2] = [|_| Err("who knows".into()), |_| panic!("oh")];
    for (number, guard) in guards.into_iter().enumerate() {
        let sender = sender.clone();
        let builder = fixture.builder(&format!("unsure {number}")).only_if(guard);
        let builder = builder.on_error(move |failure: HandlerFailure| {
            let sender = sender.clone();
            async move { sender.send(failure.status) }
        });
        let handler = |_: Arc<Event>| async { panic!("the handler does not run") };
        let listener = builder.handler(handler).register().await.unwrap();
        fixture.run(&listener).await;
    }
    drop(sender);
    let records = fixture.stored().await;
    assert_eq!(statuses(&records), [Status::Error, Status::Panicked]);
    assert_eq!(records[0].failure.as_ref().unwrap().message, "who knows");
    let mut told = [told.recv().await.unwrap(), told.recv().await.unwrap()];
    told.sort();
    assert_eq!(told, [Status::Error, Status::Panicked]);
}
