//! Clauses A about single fields of a record: tiers, times, texts.

use std::sync::Arc;

use executor_core::time::{Clock, Moment};
use executor_core::{Event, HandlerError, Outcome, SourceTier, TimeoutOrigin, Timestamp};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Fixture, assert_took, event, forever, millis};

on_both_runtimes!(
    a02_each_builder_has_its_tier_and_the_same_deadline,
    a08_a_timeout_anywhere_in_the_chain_keeps_its_own_words,
    a11_a_clock_that_is_set_back_makes_no_duration_shorter,
    a12_what_comes_with_a_trigger_or_as_arguments_is_storable_too,
    a12_the_cut_says_how_many_characters_are_missing,
);

async fn a02_each_builder_has_its_tier_and_the_same_deadline() {
    let fixture = Fixture::new().await;
    let executor = &fixture.executor;
    let listeners = [
        (executor.listener("a", "l"), SourceTier::App),
        (executor.framework_listener("a", "f"), SourceTier::Framework),
    ];
    let jobs = [
        (executor.job("a", "j"), SourceTier::App),
        (executor.framework_job("a", "k"), SourceTier::Framework),
    ];
    let mut commands = Vec::new();
    for (builder, tier) in listeners {
        let listener = builder.topic("t").handler_fn(|| async {});
        let listener = listener.register().await.unwrap();
        commands.push((listener.invoke(event()), tier));
    }
    for (builder, tier) in jobs {
        let job = builder.handler_fn(|| async {}).register().await.unwrap();
        commands.push((job.run_now(), tier));
    }
    let tiers: Vec<SourceTier> = commands.iter().map(|(_, tier)| *tier).collect();
    let ten_minutes = std::time::Duration::from_secs(600);
    for (command, tier) in commands {
        assert_eq!(command.source_tier(), tier);
        assert_eq!(command.effective_timeout(), Some(ten_minutes));
        executor.execute(command).await.unwrap();
    }
    let records = fixture.stored().await;
    let recorded: Vec<SourceTier> = records.iter().map(|record| record.source_tier).collect();
    assert_eq!(recorded, tiers);
}

/// An error whose cause is another one.
#[derive(Debug)]
struct Around(Box<dyn std::error::Error + Send + Sync>);

impl std::fmt::Display for Around {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the bridge does not answer")
    }
}

impl std::error::Error for Around {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

async fn a08_a_timeout_anywhere_in_the_chain_keeps_its_own_words() {
    let fixture = Fixture::new().await;
    let io = || std::io::Error::from(std::io::ErrorKind::TimedOut);
    let of_io = move |_: Arc<Event>| async move {
        let inner = Around(Box::new(io()));
        Err(Around(Box::new(inner)).into())
    };
    let soon = millis(10);
    let of_tokio = move |_: Arc<Event>| async move {
        let elapsed = timeout(soon, forever())
            .await
            .expect_err("it is never done");
        Err(Around(Box::new(elapsed)).into())
    };
    let declared = |_: Arc<Event>| async { Err(HandlerError::timed_out("too late")) };
    let ends = [
        (fixture.run_once(of_io).await, "the bridge does not answer"),
        (
            fixture.run_once(of_tokio).await,
            "the bridge does not answer",
        ),
        (fixture.run_once(declared).await, "too late"),
    ];
    for (outcome, message) in ends {
        let Outcome::TimedOut(TimeoutOrigin::Handler, failure) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(failure.message, message);
        let report = failure.report.as_ref().unwrap();
        assert!(report.contains(message), "{report}");
        assert_ne!(failure.error_type, "TimeoutError");
    }
    let other = |_: Arc<Event>| async {
        let inner = std::io::Error::from(std::io::ErrorKind::NotFound);
        Err(Around(Box::new(inner)).into())
    };
    let outcome = fixture.run_once(other).await;
    assert!(matches!(outcome, Outcome::Error(_)), "{outcome:?}");
    fixture.stop().await;
}

/// Its wall time runs backwards.
struct SetBack(Instant);

impl Clock for SetBack {
    fn now(&self) -> Moment {
        let monotonic = Instant::now();
        let start = Timestamp::from_micros(1_767_225_600_000_000);
        Moment {
            wall: start.saturating_sub(monotonic - self.0),
            monotonic,
        }
    }
}

async fn a11_a_clock_that_is_set_back_makes_no_duration_shorter() {
    let clock = SetBack(Instant::now());
    let fixture = Fixture::start(|builder| builder.clock(clock)).await;
    let while_it_lasts = millis(1_500);
    let sleeps = move |_: Arc<Event>| async move {
        sleep(while_it_lasts).await;
        Ok(())
    };
    fixture.run_once(sleeps).await;
    assert_took(fixture.only_record().await.duration, millis(1_500));
}

async fn a12_the_cut_says_how_many_characters_are_missing() {
    let fixture = Fixture::new().await;
    let text = format!("{}\nthe cause", "é".repeat(10_000));
    let total = text.chars().count();
    let handler = move |_: Arc<Event>| {
        let text = text.clone();
        async move { Err(text.into()) }
    };
    fixture.run_once(handler).await;
    let failure = fixture.only_record().await.failure.unwrap();
    let (head, rest) = failure.message.split_once("\n… ").unwrap();
    let (missing, tail) = rest.split_once(" characters left out …\n").unwrap();
    let missing: usize = missing.parse().unwrap();
    let kept = head.chars().count() + tail.chars().count();
    assert_eq!(kept + missing, total, "{missing}");
    assert!(head.chars().all(|c| c == 'é') && tail.ends_with("é\nthe cause"));
}

async fn a12_what_comes_with_a_trigger_or_as_arguments_is_storable_too() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    let strange = event().with_origin("a\0b".repeat(2_000));
    let executed = fixture.executor.execute(listener.invoke(strange)).await;
    executed.unwrap();
    let job = fixture.executor.job("lights", "dim");
    let job = job.record_arguments(format!("\"{}\"", "x".repeat(100_000)));
    let job = job.handler_fn(|| async {}).register().await.unwrap();
    fixture.executor.execute(job.run_now()).await.unwrap();
    let records = fixture.stored().await;
    let origin = records[0].trigger.origin().unwrap();
    assert!(origin.chars().count() <= 2_048 && !origin.contains('\0'));
    let arguments = records[1].arguments_json.as_ref().unwrap();
    assert!(arguments.chars().count() <= 65_536, "{}", arguments.len());
}
