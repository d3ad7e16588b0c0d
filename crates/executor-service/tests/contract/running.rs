//! Clauses A: one command, one execution, one record.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use executor_core::context::inherit;
use executor_core::registration::Overlap;
use executor_core::{
    Clock, Command, Event, ExecutionRecord, HandlerError, Outcome, Refused, SourceTier, Status,
    TimeoutOrigin, Timestamp, Trigger, TriggerMode, current_execution_id,
};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{
    Fixture, Logs, assert_took, event, forever, is_paused, millis, secs, statuses,
};

on_both_runtimes!(
    a01_every_way_to_end_yields_exactly_one_record,
    a01_an_execution_begins_at_the_first_poll,
    a01_what_is_refused_neither_runs_nor_is_recorded,
    a02_the_builders_resolve_tier_and_deadline,
    a03_overlapping_executions_each_see_their_own_id,
    a03_a_span_says_what_runs,
    a04_the_record_has_the_status_of_the_outcome,
    a05_an_error_is_recorded_with_type_message_and_the_chain_of_its_causes,
    a07_a_panic_is_caught_wherever_it_happens_and_the_next_execution_runs,
    a08_an_execution_past_its_deadline_is_timed_out,
    a08_a_handler_done_at_its_deadline_is_done,
    a11_the_duration_is_monotonic_and_the_start_taken_once,
    a12_long_texts_are_cut_in_the_middle_and_keep_the_last_line,
    a12_an_error_whose_display_panics_still_yields_a_record,
    a12_whatever_an_errors_code_does_its_record_is_made,
    a16_the_record_says_what_triggered_it,
);

async fn a01_every_way_to_end_yields_exactly_one_record() {
    let fixture = Fixture::new().await;
    fixture.run_once(|_: Arc<Event>| async { Ok(()) }).await;
    fixture
        .run_once(|_: Arc<Event>| async { Err("no".into()) })
        .await;
    fixture.run_once(|_: Arc<Event>| forever()).await;
    fixture
        .run_once(|_: Arc<Event>| async { panic!("oh") })
        .await;
    let hanging = fixture.listener("hanging", |_: Arc<Event>| forever()).await;
    let dropped = timeout(secs(1), fixture.run(&hanging)).await;
    assert!(dropped.is_err());
    let expected = [
        Status::Success,
        Status::Error,
        Status::TimedOut,
        Status::Panicked,
        Status::Cancelled,
    ];
    assert_eq!(statuses(&fixture.stored().await), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a01_holds_on_the_multi_thread_runtime() {
    let fixture = Arc::new(Fixture::new().await);
    let listener = fixture.noop().await;
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (fixture, listener) = (Arc::clone(&fixture), listener.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..50 {
                fixture.run(&listener).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(fixture.stored().await.len(), 400);
}

async fn a01_an_execution_begins_at_the_first_poll() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    drop(fixture.executor.execute(listener.invoke(event())));
    assert_eq!(fixture.stop().await.ledger.offered, 0);
}

async fn a01_what_is_refused_neither_runs_nor_is_recorded() {
    let fixture = Fixture::new().await;
    let ran = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ran);
    let count = move |_: Arc<Event>| {
        counter.fetch_add(1, Ordering::Relaxed);
        async { Ok(()) }
    };
    let listener = fixture.listener("counted", count).await;
    fixture.run(&listener).await;
    fixture.stop().await;
    let refused = fixture.executor.execute(listener.invoke(event())).await;
    assert_eq!(refused.unwrap_err(), Refused::Stopping);
    assert_eq!(ran.load(Ordering::Relaxed), 1);
    assert_eq!(fixture.ledger().offered, 1);
}

async fn a02_the_builders_resolve_tier_and_deadline() {
    let fixture = Fixture::new().await;
    let executor = &fixture.executor;
    let ok = |_: Arc<Event>| async { Ok(()) };
    let default = executor.listener("a", "default").topic("t").handler(ok);
    let default = default.register().await.unwrap().invoke(event());
    assert_eq!(default.source_tier(), SourceTier::App);
    assert_eq!(
        default.effective_timeout(),
        Some(std::time::Duration::from_secs(600))
    );
    let framework = executor.framework_job("a", "core").no_timeout();
    let framework = framework.handler_fn(|| async {}).register().await.unwrap();
    assert_eq!(framework.run_now().source_tier(), SourceTier::Framework);
    assert_eq!(framework.run_now().effective_timeout(), None);
    fixture.stop().await;
}

async fn a03_overlapping_executions_each_see_their_own_id() {
    let fixture = Fixture::new().await;
    let handler = |_: Arc<Event>| async {
        let before = current_execution_id();
        sleep(millis(10)).await;
        let spawned = tokio::spawn(inherit(async { current_execution_id() }));
        assert_eq!(spawned.await?, before);
        assert_eq!(current_execution_id(), before);
        Err(before.expect("inside an execution").to_string().into())
    };
    let builder = fixture.builder("id").overlap(Overlap::Parallel);
    let listener = builder.handler(handler).register().await.unwrap();
    let one = fixture.executor.execute(listener.invoke(event()));
    let two = fixture.executor.execute(listener.invoke(event()));
    let (one, two) = tokio::join!(one, two);
    for result in [one.unwrap(), two.unwrap()] {
        let seen = &result.outcome.failure().unwrap().message;
        assert_eq!(*seen, result.execution_id.to_string());
    }
    assert_eq!(current_execution_id(), None);
    assert_ne!(
        fixture.stored().await[0].execution_id,
        fixture.store.records()[1].execution_id
    );
}

async fn a03_a_span_says_what_runs() {
    let fixture = Fixture::new().await;
    let builder = fixture
        .executor
        .listener("lights", "hall")
        .instance(2)
        .topic("motion.hall");
    let builder = builder.details(|details| details.instance_name = Some("upstairs".into()));
    let listener = builder
        .handler(|_: Arc<Event>| async { Ok(()) })
        .register()
        .await
        .unwrap();
    let (logs, _listening) = Logs::listen();
    let result = fixture
        .executor
        .execute(listener.invoke(event()))
        .await
        .unwrap();
    let span = &logs.of("SPAN")[0].fields;
    let expected = [
        ("execution.id", result.execution_id.to_string()),
        ("execution.kind", "handler".into()),
        ("app.key", "lights".into()),
        ("app.instance", "2".into()),
        ("app.instance_name", "upstairs".into()),
        ("listener.id", "1".into()),
    ];
    for (field, value) in expected {
        assert_eq!(span.get(field), Some(&value), "{field}");
    }
    fixture.stop().await;
}

async fn a04_the_record_has_the_status_of_the_outcome() {
    let fixture = Fixture::new().await;
    let outcome = fixture
        .run_once(|_: Arc<Event>| async { Err("no".into()) })
        .await;
    let record = fixture.only_record().await;
    assert_eq!(record.status, outcome.status());
    assert_eq!(record.failure.as_ref(), outcome.failure());
}

#[derive(Debug)]
struct Outer(std::num::ParseIntError);
impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cannot read the brightness")
    }
}
impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

async fn a05_an_error_is_recorded_with_type_message_and_the_chain_of_its_causes() {
    let fixture = Fixture::new().await;
    let (logs, _listening) = Logs::listen();
    fixture
        .run_once(|_: Arc<Event>| async {
            "bright".parse::<u32>().map_err(Outer)?;
            Ok(())
        })
        .await;
    let record = fixture.only_record().await;
    let failure = record.failure.unwrap();
    assert!(
        failure.error_type.ends_with("Outer"),
        "{}",
        failure.error_type
    );
    assert_eq!(failure.message, "cannot read the brightness");
    let report = failure.report.clone().unwrap();
    assert!(report.contains("caused by: invalid digit"), "{report}");
    let errors = logs.of("ERROR");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].fields["report"], report);
    assert_eq!(
        errors[0].fields["execution.id"],
        record.execution_id.to_string()
    );
    assert!(errors[0].fields["subject"].contains("motion.hall"));
}

async fn a07_a_panic_is_caught_wherever_it_happens_and_the_next_execution_runs() {
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("while dropping");
        }
    }
    async fn hold(bomb: PanicsInDrop) -> Result<(), HandlerError> {
        forever().await?;
        drop(bomb);
        Ok(())
    }
    let fixture = Fixture::new().await;
    let while_polled = fixture
        .run_once(|_: Arc<Event>| async { panic!("at {}", 1) })
        .await;
    assert_eq!(while_polled.failure().unwrap().message, "at 1");
    assert_eq!(while_polled.failure().unwrap().error_type, "panic");
    let place = while_polled.failure().unwrap().report.clone().unwrap();
    assert!(
        place.starts_with("panicked at ") && place.contains("running.rs:"),
        "{place}"
    );
    let when_called: fn(Arc<Event>) -> std::future::Ready<Result<(), HandlerError>> =
        |_| panic!("when called");
    assert_eq!(
        fixture.run_once(when_called).await.status(),
        Status::Panicked
    );
    let timed_out = fixture.run_once(|_: Arc<Event>| hold(PanicsInDrop)).await;
    assert_eq!(timed_out.status(), Status::TimedOut);
    let hanging = fixture
        .listener("hold", |_: Arc<Event>| hold(PanicsInDrop))
        .await;
    let dropped = timeout(secs(1), fixture.run(&hanging)).await;
    assert!(dropped.is_err());
    assert_eq!(
        fixture.run_once(|_: Arc<Event>| async { Ok(()) }).await,
        Outcome::Success
    );
    let expected = [
        Status::Panicked,
        Status::Panicked,
        Status::TimedOut,
        Status::Cancelled,
        Status::Success,
    ];
    assert_eq!(statuses(&fixture.stored().await), expected);
}

async fn a08_an_execution_past_its_deadline_is_timed_out() {
    let fixture = Fixture::new().await;
    let begun = Instant::now();
    let outcome = fixture.run_once(|_: Arc<Event>| forever()).await;
    let Outcome::TimedOut(TimeoutOrigin::Deadline, failure) = outcome else {
        panic!("{outcome:?}");
    };
    assert_took(begun.elapsed(), secs(10));
    assert_eq!(failure.error_type, "TimeoutError");
    assert_eq!(failure.message, "execution timed out");
    let record = fixture.only_record().await;
    assert_eq!(record.flags.timeout_origin, Some(TimeoutOrigin::Deadline));
    assert_took(record.duration, secs(10));
}

#[tokio::test]
async fn a08_a_handler_that_is_always_busy_and_yields_is_cut_off_too() {
    let fixture = Fixture::new().await;
    let builder = fixture
        .executor
        .listener("lights", "busy")
        .topic("motion.hall");
    let busy = |_: Arc<Event>| async {
        loop {
            tokio::task::coop::consume_budget().await;
        }
    };
    let builder = builder.timeout(millis(400));
    let listener = builder.handler(busy).register().await.unwrap();
    assert_eq!(fixture.run(&listener).await.status(), Status::TimedOut);
    fixture.stop().await;
}

/// A task has a budget, and whoever finds it used up cannot see that what it waits for is there.
#[tokio::test(start_paused = true)]
async fn a08_what_is_done_in_time_is_done_however_many_share_its_task() {
    let fixture = Fixture::new().await;
    let handler = |_: Arc<Event>| async {
        sleep(secs(10)).await;
        Ok(())
    };
    let builder = fixture.builder("crowd").overlap(Overlap::Parallel);
    let listener = builder.handler(handler).register().await.unwrap();
    let executions = (0..300).map(|_| fixture.executor.execute(listener.invoke(event())));
    let mut crowd: Vec<_> = executions.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        crowd.retain_mut(|execution| execution.as_mut().poll(cx).is_pending());
        if crowd.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    let records = fixture.stored().await;
    assert_eq!(records.len(), 300);
    let is_done = |record: &ExecutionRecord| record.status == Status::Success;
    assert!(records.iter().all(is_done), "some were cut off");
}

async fn a08_a_handler_done_at_its_deadline_is_done() {
    let fixture = Fixture::new().await;
    // In real time the handler begins a moment after its deadline was set, and that moment may end a millisecond.
    let work = if is_paused() { secs(10) } else { secs(9) };
    let outcome = fixture
        .run_once(move |_: Arc<Event>| async move {
            sleep(work).await;
            Ok(())
        })
        .await;
    assert_eq!(outcome, Outcome::Success);
    fixture.stop().await;
}

async fn a11_the_duration_is_monotonic_and_the_start_taken_once() {
    let fixture = Fixture::new().await;
    let before = executor_testkit::TestClock::new().now().wall;
    let listener = fixture
        .listener("sleeps", |_: Arc<Event>| async {
            sleep(millis(1_500)).await;
            Ok(())
        })
        .await;
    let result = fixture
        .executor
        .execute(listener.invoke(event()))
        .await
        .unwrap();
    assert_took(result.duration, millis(1_500));
    let record = fixture.only_record().await;
    assert!(!is_paused() || record.started_at == before);
    assert_eq!(record.started_at, result.started_at);
    assert_eq!(record.duration, result.duration);
}

async fn a12_long_texts_are_cut_in_the_middle_and_keep_the_last_line() {
    let fixture = Fixture::new().await;
    let text = format!("first\n{}\0\nthe cause", "é".repeat(100_000));
    fixture
        .run_once(move |_: Arc<Event>| {
            let text = text.clone();
            async move { Err(text.into()) }
        })
        .await;
    let failure = fixture.only_record().await.failure.unwrap();
    let report = failure.report.as_deref().unwrap();
    assert!(failure.message.chars().count() <= 2_048);
    assert!(report.chars().count() <= 8_192);
    for text in [failure.message.as_str(), report] {
        assert!(text.contains("characters left out"));
        assert!(text.ends_with("\nthe cause"), "{text}");
        assert!(!text.contains('\0'));
    }
}

async fn a12_an_error_whose_display_panics_still_yields_a_record() {
    #[derive(Debug)]
    struct Rude;
    impl std::fmt::Display for Rude {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("not telling");
        }
    }
    impl std::error::Error for Rude {}
    let fixture = Fixture::new().await;
    fixture
        .run_once(|_: Arc<Event>| async { Err(Rude.into()) })
        .await;
    let record = fixture.only_record().await;
    assert_eq!(record.status, Status::Error);
    assert!(record.failure.unwrap().error_type.ends_with("Rude"));
}

async fn a12_whatever_an_errors_code_does_its_record_is_made() {
    #[derive(Debug)]
    struct Hostile;
    impl std::fmt::Display for Hostile {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("hostile")
        }
    }
    impl std::error::Error for Hostile {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            panic!("no cause for you");
        }
    }
    impl Drop for Hostile {
        fn drop(&mut self) {
            panic!("not going");
        }
    }
    let fixture = Fixture::new().await;
    let outcome = fixture
        .run_once(|_: Arc<Event>| async { Err(Hostile.into()) })
        .await;
    assert_eq!(outcome.failure().unwrap().message, "hostile");
    let payload = fixture
        .run_once(|_: Arc<Event>| async { std::panic::panic_any(Hostile) })
        .await;
    assert_eq!(payload.status(), Status::Panicked);
    assert_eq!(
        statuses(&fixture.stored().await),
        [Status::Error, Status::Panicked]
    );
}

async fn a16_the_record_says_what_triggered_it() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    let synthetic = Event::synthetic("motion.hall").with_id("hidden");
    let all = fixture.executor.listener("lights", "all").topic("motion.*");
    let all = all.handler_fn(|| async {}).register().await.unwrap();
    let job = fixture
        .executor
        .job("lights", "nightly")
        .handler_fn(|| async {});
    let job = job.register().await.unwrap();
    let due = Timestamp::from_micros(7);
    let commands: [Command; 5] = [
        listener.invoke(event()),
        listener.invoke(synthetic),
        job.run_now(),
        job.run_scheduled(due),
        all.invoke(Event::new("motion.attic")),
    ];
    for command in commands {
        fixture.executor.execute(command).await.unwrap();
    }
    let records = fixture.stored().await;
    let triggers: Vec<&Trigger> = records.iter().map(|record| &record.trigger).collect();
    assert_eq!(
        (triggers[0].id(), triggers[0].origin()),
        (Some("e-1"), Some("REMOTE"))
    );
    assert_eq!(
        (triggers[1].id(), triggers[1].origin()),
        (None, Some("SYNTHETIC"))
    );
    assert_eq!(triggers[2].mode(), Some(TriggerMode::Manual));
    assert_eq!(triggers[3].mode(), Some(TriggerMode::Schedule));
    let due_at: Vec<_> = records.iter().map(|record| record.due_at).collect();
    assert_eq!(due_at, [None, None, None, Some(due), None]);
    // The listener's own topic says it, unless that is a pattern.
    let topics: Vec<_> = records
        .iter()
        .map(|record| record.topic.as_deref())
        .collect();
    assert_eq!(topics, [None, None, None, None, Some("motion.attic")]);
}
