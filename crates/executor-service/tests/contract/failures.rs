//! Clauses A and B about failures: what kinds there are, what is said of them, who is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use executor_core::{
    ErrorKind, Event, HandlerError, HandlerFailure, Outcome, SourceTier, Status, TimeoutOrigin,
    current_execution_id,
};
use executor_service::ListenerHandle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Fixture, Logs, event, forever, millis, secs};

on_both_runtimes!(
    a09_a_handler_that_comes_back_after_its_deadline_overran,
    a14_of_two_timeouts_in_a_row_one_is_warned_of,
    a15_the_record_says_how_long_a_poll_held_its_thread,
    a06_an_announced_error_has_no_report_in_the_app_tier_and_one_in_the_other,
    a08_deadline_and_own_timeout_are_told_apart,
    b01_error_handlers_run_after_failures_and_after_nothing_else,
    b02_the_registrations_own_goes_first_else_the_apps_as_of_dispatch,
    b03_the_context_says_everything_also_what_the_record_leaves_out,
    b04_an_error_handler_that_fails_panics_or_hangs_is_counted_and_nothing_else,
    b05_of_one_entity_one_runs_and_one_waits_and_of_all_no_more_than_sixty_four,
    b05_the_earliest_failure_is_the_one_that_waits,
);

async fn of_tier(
    fixture: &Fixture,
    tier: SourceTier,
    make: fn() -> HandlerError,
) -> ListenerHandle {
    let builder = fixture
        .executor
        .listener("lights", tier.as_str())
        .topic("motion.hall");
    let builder = builder.details(|details| details.source_tier = tier);
    let handler = move |_: Arc<Event>| async move { Err(make()) };
    builder.handler(handler).register().await.unwrap()
}

async fn a06_an_announced_error_has_no_report_in_the_app_tier_and_one_in_the_other() {
    let fixture = Fixture::new().await;
    let known = || HandlerError::known("the lamp is unplugged");
    let dependency = || HandlerError::dependency("no database");
    let expected = [
        (SourceTier::App, known as fn() -> HandlerError, false, false),
        (SourceTier::App, dependency, false, true),
        (SourceTier::Framework, known, true, false),
        (SourceTier::Framework, dependency, true, true),
    ];
    for (tier, make, _, _) in expected {
        let listener = of_tier(&fixture, tier, make).await;
        assert_eq!(fixture.run(&listener).await.status(), Status::Error);
    }
    for (record, (tier, make, has_report, is_di_failure)) in
        fixture.stored().await.iter().zip(expected)
    {
        let failure = record.failure.as_ref().unwrap();
        assert_eq!(
            failure.report.is_some(),
            has_report,
            "{tier:?} {:?}",
            make()
        );
        assert_eq!(
            record.flags.is_di_failure,
            is_di_failure,
            "{tier:?} {:?}",
            make()
        );
    }
}

async fn a08_deadline_and_own_timeout_are_told_apart() {
    async fn own_timeout() -> Result<(), HandlerError> {
        timeout(secs(1), forever()).await?
    }
    let fixture = Fixture::new().await;
    let (logs, _listening) = Logs::listen();
    let io = || std::io::Error::from(std::io::ErrorKind::TimedOut);
    let outcomes = [
        fixture.run_once(|_: Arc<Event>| own_timeout()).await,
        fixture
            .run_once(move |_: Arc<Event>| async move { Err(io().into()) })
            .await,
        fixture
            .run_once(|_: Arc<Event>| async { Err(HandlerError::timed_out("too late")) })
            .await,
    ];
    for outcome in &outcomes {
        let Outcome::TimedOut(TimeoutOrigin::Handler, failure) = outcome else {
            panic!("{outcome:?}");
        };
        assert_ne!(failure.error_type, "TimeoutError");
        assert!(failure.report.is_some());
    }
    assert!(
        outcomes[0]
            .failure()
            .unwrap()
            .error_type
            .ends_with("Elapsed")
    );
    let claims = logs
        .of("WARN")
        .into_iter()
        .filter(|line| line.fields["message"] == "execution timed out");
    assert_eq!(claims.count(), 0, "no deadline passed");
    let record = &fixture.stored().await[0];
    assert_eq!(record.flags.timeout_origin, Some(TimeoutOrigin::Handler));
    assert_eq!(HandlerError::from(io()).kind(), ErrorKind::TimedOut);
}

async fn a09_a_handler_that_comes_back_after_its_deadline_overran() {
    let fixture = Fixture::new().await;
    let builder = fixture
        .executor
        .listener("lights", "blocks")
        .topic("motion.hall");
    let blocks = |_: Arc<Event>| async {
        std::thread::sleep(Duration::from_millis(60));
        Ok(())
    };
    let builder = builder.timeout(Duration::from_millis(20));
    let listener = builder.handler(blocks).register().await.unwrap();
    assert_eq!(fixture.run(&listener).await, Outcome::Success);
    let in_time = fixture.noop().await;
    fixture.run(&in_time).await;
    let records = fixture.stored().await;
    assert!(records[0].flags.overran && !records[1].flags.overran);
    assert!(records[0].duration >= Duration::from_millis(60));
}

#[tokio::test(start_paused = true)]
async fn a14_a_timeout_warns_once_a_minute_and_always_where_no_deadline_is_set() {
    let fixture = Fixture::new().await;
    let hangs = fixture.listener("hangs", |_: Arc<Event>| forever()).await;
    let (logs, _listening) = Logs::listen();
    let warnings = || logs.of("WARN").len();
    // Ten seconds each: at 10, 20, .. 60 and, a minute after the first, at 70.
    for _ in 0..6 {
        fixture.run(&hangs).await;
    }
    assert_eq!(warnings(), 1);
    fixture.run(&hangs).await;
    assert_eq!(warnings(), 2);
    let builder = fixture
        .executor
        .listener("lights", "free")
        .topic("motion.hall")
        .no_timeout();
    let late = |_: Arc<Event>| async { Err(HandlerError::timed_out("late")) };
    let free = builder.handler(late).register().await.unwrap();
    for _ in 0..3 {
        fixture.run(&free).await;
    }
    assert_eq!(warnings(), 5);
    assert!(logs.of("WARN")[4].fields["message"].contains("no deadline is set"));
    fixture.stop().await;
}

async fn a14_of_two_timeouts_in_a_row_one_is_warned_of() {
    let fixture = Fixture::new().await;
    let builder = fixture.builder("hangs").timeout(secs(1));
    let hangs = builder.handler(|_: Arc<Event>| forever()).register().await;
    let hangs = hangs.unwrap();
    let (logs, _listening) = Logs::listen();
    fixture.run(&hangs).await;
    fixture.run(&hangs).await;
    let warnings = logs.of("WARN");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].fields["message"], "execution timed out");
    fixture.stop().await;
}

async fn a15_the_record_says_how_long_a_poll_held_its_thread() {
    let fixture = Fixture::new().await;
    let blocks = |_: Arc<Event>| async {
        tokio::task::yield_now().await;
        std::thread::sleep(Duration::from_millis(130));
        Ok(())
    };
    fixture.run_once(blocks).await;
    let waits = |_: Arc<Event>| async {
        sleep(Duration::from_millis(130)).await;
        Ok(())
    };
    fixture.run_once(waits).await;
    let records = fixture.stored().await;
    assert!(records[0].flags.blocked.unwrap() >= Duration::from_millis(130));
    assert_eq!(records[1].flags.blocked, None, "waiting holds nothing");
}

/// A listener whose handler ends as it is told, and what its error handler was told.
async fn told(
    fixture: &Fixture,
    name: &str,
) -> (ListenerHandle, mpsc::UnboundedReceiver<HandlerFailure>) {
    let (sender, told) = mpsc::unbounded_channel();
    let builder = fixture
        .executor
        .listener("lights", name)
        .topic("motion.hall");
    let builder = builder
        .timeout(secs(1))
        .on_error(move |failure: HandlerFailure| {
            let sender = sender.clone();
            async move {
                assert_eq!(current_execution_id(), Some(failure.execution_id));
                sender.send(failure)
            }
        });
    let handler = |event: Arc<Event>| async move {
        match event.payload::<&str>().copied() {
            Some("error") => Err(HandlerError::known("no")),
            Some("panic") => panic!("oh"),
            Some("hang") => forever().await,
            _ => Ok(()),
        }
    };
    (builder.handler(handler).register().await.unwrap(), told)
}

async fn b01_error_handlers_run_after_failures_and_after_nothing_else() {
    let fixture = Fixture::new().await;
    let (listener, mut told) = told(&fixture, "told").await;
    for what in ["ok", "error", "panic", "hang"] {
        let command = listener.invoke(event().with_payload(what));
        fixture.executor.execute(command).await.unwrap();
        // One of an entity runs at a time; this lets it.
        sleep(millis(1)).await;
    }
    let hanging = fixture
        .executor
        .execute(listener.invoke(event().with_payload("hang")));
    assert!(timeout(millis(10), hanging).await.is_err(), "cancelled");
    fixture.stop().await;
    let mut statuses = Vec::new();
    while let Ok(failure) = told.try_recv() {
        statuses.push(failure.status);
    }
    assert_eq!(
        statuses,
        [Status::Error, Status::Panicked, Status::TimedOut]
    );
}

async fn b02_the_registrations_own_goes_first_else_the_apps_as_of_dispatch() {
    let fixture = Fixture::new().await;
    let (sender, mut of_app) = mpsc::unbounded_channel();
    let app_handler = |word: &'static str| {
        let sender = sender.clone();
        move |_: HandlerFailure| {
            let _ = sender.send(word);
            async {}
        }
    };
    fixture
        .executor
        .on_app_error("lights", app_handler("first"));
    let (own, mut told_own) = told(&fixture, "own").await;
    fixture
        .executor
        .execute(own.invoke(event().with_payload("error")))
        .await
        .unwrap();
    let slow = |_: Arc<Event>| async {
        sleep(millis(5)).await;
        Err("late".into())
    };
    let without = fixture.listener("without", slow).await;
    let (outcome, ()) = tokio::join!(fixture.run(&without), async {
        sleep(millis(2)).await;
        fixture
            .executor
            .on_app_error("lights", app_handler("second"));
    });
    assert_eq!(outcome.status(), Status::Error);
    fixture.stop().await;
    assert!(told_own.try_recv().is_ok());
    assert_eq!(
        of_app.try_recv(),
        Ok("first"),
        "the one it was dispatched under"
    );
    assert!(of_app.try_recv().is_err());
}

async fn b03_the_context_says_everything_also_what_the_record_leaves_out() {
    let fixture = Fixture::new().await;
    let (listener, mut told) = told(&fixture, "told").await;
    let command = listener.invoke(event().with_payload("error"));
    let result = fixture.executor.execute(command).await.unwrap();
    assert_eq!(result.outcome.failure().unwrap().report, None);
    // One that panics tells nobody.
    let failure = timeout(secs(60), told.recv()).await.unwrap().unwrap();
    assert_eq!(failure.execution_id, result.execution_id);
    assert_eq!(
        (failure.topic(), failure.name()),
        (Some("motion.hall"), "told")
    );
    assert_eq!(failure.event.as_ref().unwrap().id.as_deref(), Some("e-1"));
    assert!(failure.failure.report.as_ref().unwrap().contains("no"));
    assert_eq!(failure.error.as_ref().unwrap().kind(), ErrorKind::Known);
    assert_eq!(fixture.ledger().offered, 1, "the record was offered before");

    let (sender, mut of_job) = mpsc::unbounded_channel();
    let job = fixture
        .executor
        .job("lights", "nightly")
        .group("night")
        .record_arguments("[1]");
    let job = job.on_error(move |failure: HandlerFailure| {
        let _ = sender.send(failure);
        async {}
    });
    let job = job
        .handler(|| async { Err("dark".into()) })
        .register()
        .await
        .unwrap();
    fixture.executor.execute(job.run_now()).await.unwrap();
    let failure = timeout(secs(60), of_job.recv()).await.unwrap().unwrap();
    assert_eq!(
        (
            failure.name(),
            failure.group.as_deref(),
            failure.arguments_json.as_deref()
        ),
        ("nightly", Some("night"), Some("[1]"))
    );
    fixture.stop().await;
}

async fn b04_an_error_handler_that_fails_panics_or_hangs_is_counted_and_nothing_else() {
    let fixture = Fixture::new().await;
    let begun = Instant::now();
    for what in ["fails", "panics", "hangs", "is fine"] {
        let builder = fixture
            .executor
            .listener("lights", what)
            .topic("motion.hall");
        let builder = builder.on_error(move |_: HandlerFailure| async move {
            match what {
                "fails" => Err(HandlerError::from("again")),
                "panics" => panic!("again"),
                "hangs" => forever().await,
                _ => Ok(()),
            }
        });
        let listener = builder
            .handler(|_: Arc<Event>| async { Err("no".into()) })
            .register()
            .await
            .unwrap();
        assert_eq!(fixture.run(&listener).await.status(), Status::Error);
    }
    // Whatever it is that the hanging one fails by, it comes after its five seconds.
    while fixture.executor.error_handler_failures() < 3 {
        sleep(millis(10)).await;
    }
    assert!(begun.elapsed() >= secs(5));
    sleep(millis(100)).await;
    assert_eq!(fixture.executor.error_handler_failures(), 3);
    assert_eq!(fixture.stored().await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn b04_an_error_handler_has_five_seconds_unless_told_otherwise() {
    let fixture = Fixture::start(|builder| builder).await;
    let builder = fixture.builder("hangs");
    let builder = builder.on_error(|_: HandlerFailure| forever());
    let fails = builder.handler(|_: Arc<Event>| async { Err("no".into()) });
    let fails = fails.register().await.unwrap();
    fixture.run(&fails).await;
    sleep(millis(4_900)).await;
    assert_eq!(fixture.executor.error_handler_failures(), 0);
    sleep(millis(200)).await;
    assert_eq!(fixture.executor.error_handler_failures(), 1);
    fixture.stop().await;
}

/// Listeners whose error handlers take a second, and how many of those run at once at most.
async fn b05_of_one_entity_one_runs_and_one_waits_and_of_all_no_more_than_sixty_four() {
    let fixture = Fixture::new().await;
    let (running, most, told) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let second = secs(1);
    let (now, peak, all) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&told));
    fixture
        .executor
        .on_app_error("lights", move |_: HandlerFailure| {
            let (now, peak, all) = (Arc::clone(&now), Arc::clone(&peak), Arc::clone(&all));
            async move {
                let at_once = now.fetch_add(1, Ordering::SeqCst) + 1;
                peak.fetch_max(at_once, Ordering::SeqCst);
                sleep(second).await;
                now.fetch_sub(1, Ordering::SeqCst);
                all.fetch_add(1, Ordering::SeqCst);
            }
        });
    let one = fixture
        .listener("one", |_: Arc<Event>| async { Err("no".into()) })
        .await;
    for _ in 0..10 {
        fixture.run(&one).await;
    }
    sleep(secs(3)).await;
    assert_eq!(
        (told.load(Ordering::SeqCst), most.load(Ordering::SeqCst)),
        (2, 1)
    );
    assert_eq!(fixture.executor.error_handlers_suppressed(), 8);

    for number in 0..100 {
        let name = format!("listener {number}");
        let listener = fixture
            .listener(&name, |_: Arc<Event>| async { Err("no".into()) })
            .await;
        fixture.run(&listener).await;
    }
    sleep(secs(3)).await;
    assert_eq!(told.load(Ordering::SeqCst), 102);
    let most = most.load(Ordering::SeqCst);
    // In real time a second is short, and the first may have ended when the last begins.
    assert!(
        most == 64 || (!crate::support::is_paused() && most < 64),
        "{most} at once"
    );
    assert_eq!(
        fixture.executor.error_handlers_suppressed(),
        8,
        "each of the hundred could wait"
    );
    fixture.stop().await;
}

async fn b05_the_earliest_failure_is_the_one_that_waits() {
    let fixture = Fixture::new().await;
    let (sender, mut told) = mpsc::unbounded_channel();
    let second = secs(1);
    let builder = fixture.builder("fails");
    let builder = builder.on_error(move |failure: HandlerFailure| {
        let _ = sender.send(failure.event.as_ref().and_then(|event| event.id.clone()));
        sleep(second)
    });
    let fails = builder.handler(|_: Arc<Event>| async { Err("no".into()) });
    let fails = fails.register().await.unwrap();
    for id in ["0", "1", "2", "3"] {
        let command = fails.invoke(event().with_id(id));
        fixture.executor.execute(command).await.unwrap();
    }
    sleep(secs(4)).await;
    let mut ids = Vec::new();
    while let Ok(id) = told.try_recv() {
        ids.extend(id);
    }
    assert_eq!(ids.iter().map(|id| &**id).collect::<Vec<_>>(), ["0", "1"]);
    assert_eq!(fixture.executor.error_handlers_suppressed(), 2);
    fixture.stop().await;
}
