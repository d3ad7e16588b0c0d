//! Clauses A and B about the log: which line says what, of whom, and how often.

use std::sync::Arc;
use std::time::Duration;

use executor_core::registration::Overlap;
use executor_core::{Event, HandlerError, HandlerFailure, Status};
use executor_service::{CommandExecutor, Config, ListenerHandle, SpoolPlace};
use executor_testkit::{FaultyStore, MemoryStore};
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::{Fixture, Line, Logs, forever, secs};

on_both_runtimes!(
    a03_the_span_of_a_job_says_so_and_names_its_row,
    a05_the_line_of_a_failed_job_names_the_job,
    a05_every_cause_of_the_chain_is_in_the_report,
    a06_an_announced_error_is_logged_in_one_line_with_its_message,
    a14_each_listener_has_a_warning_of_its_own,
    a15_a_warning_names_the_handler_that_held_its_thread_once_a_minute,
    a15_polls_that_are_not_timed_are_neither_recorded_nor_warned_of,
    a15_many_polls_that_are_short_enough_are_no_long_one,
);

fn messages<'l>(lines: &'l [Line], message: &str) -> Vec<&'l Line> {
    let is_it = |line: &&Line| line.fields["message"] == message;
    lines.iter().filter(is_it).collect()
}

async fn a03_the_span_of_a_job_says_so_and_names_its_row() {
    let fixture = Fixture::new().await;
    let job = fixture.executor.job("lights", "nightly").instance(3);
    let job = job.handler_fn(|| async {}).register().await.unwrap();
    let (logs, _listening) = Logs::listen();
    fixture.executor.execute(job.run_now()).await.unwrap();
    let span = &logs.of("SPAN")[0].fields;
    for (field, value) in [
        ("execution.kind", "job"),
        ("app.key", "lights"),
        ("app.instance", "3"),
        ("job.id", "1"),
    ] {
        assert_eq!(span.get(field).map(String::as_str), Some(value), "{field}");
    }
    assert!(!span.contains_key("listener.id"));
    fixture.stop().await;
}

async fn a05_the_line_of_a_failed_job_names_the_job() {
    let fixture = Fixture::new().await;
    let job = fixture.executor.job("lights", "nightly");
    let job = job.handler(|| async { Err("too dark".into()) });
    let job = job.register().await.unwrap();
    let (logs, _listening) = Logs::listen();
    let result = fixture.executor.execute(job.run_now()).await.unwrap();
    let errors = logs.of("ERROR");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].fields["subject"], "job lights[0].nightly");
    assert_eq!(
        errors[0].fields["execution.id"],
        result.execution_id.to_string()
    );
    assert!(errors[0].fields["report"].ends_with("too dark"));
    fixture.stop().await;
}

/// An error with a cause that has a cause.
#[derive(Debug)]
struct Link(&'static str, Option<Box<Self>>);

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Link {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let cause = self.1.as_deref()?;
        Some(cause)
    }
}

async fn a05_every_cause_of_the_chain_is_in_the_report() {
    let fixture = Fixture::new().await;
    let handler = |_: Arc<Event>| async {
        let root = Link("a storm", None);
        let fuse = Link("a fuse blew", Some(Box::new(root)));
        Err(Link("no light", Some(Box::new(fuse))).into())
    };
    fixture.run_once(handler).await;
    let failure = fixture.only_record().await.failure.unwrap();
    let report = failure.report.as_ref().unwrap();
    let chain = "Link: no light\ncaused by: a fuse blew\ncaused by: a storm";
    assert!(report.ends_with(chain), "{report}");
}

async fn a06_an_announced_error_is_logged_in_one_line_with_its_message() {
    let fixture = Fixture::new().await;
    let (logs, _listening) = Logs::listen();
    fixture
        .run_once(|_: Arc<Event>| async { Err(HandlerError::known("it is day")) })
        .await;
    fixture
        .run_once(|_: Arc<Event>| async { Err(HandlerError::dependency("no database")) })
        .await;
    let errors = logs.of("ERROR");
    let said: Vec<&str> = errors.iter().map(|line| &*line.fields["report"]).collect();
    assert_eq!(said, ["it is day", "no database"]);
    fixture.stop().await;
}

/// A listener that hangs for a second and is timed out then.
async fn hangs(fixture: &Fixture, name: &str) -> ListenerHandle {
    let builder = fixture.builder(name).timeout(secs(1));
    let builder = builder.overlap(Overlap::Parallel);
    let listener = builder.handler(|_: Arc<Event>| forever()).register().await;
    listener.unwrap()
}

async fn a14_each_listener_has_a_warning_of_its_own() {
    let fixture = Fixture::new().await;
    let (one, other) = (hangs(&fixture, "one").await, hangs(&fixture, "other").await);
    let (logs, _listening) = Logs::listen();
    for listener in [&one, &other, &one, &other] {
        assert_eq!(fixture.run(listener).await.status(), Status::TimedOut);
    }
    let lines = logs.of("WARN");
    let warned = messages(&lines, "execution timed out");
    let named: Vec<&str> = warned.iter().map(|line| &*line.fields["subject"]).collect();
    assert_eq!(named.len(), 2, "{named:?}");
    assert!(named[0].contains("lights[0].one") && named[1].contains("lights[0].other"));
    fixture.stop().await;
}

/// Whether the second of two timeouts is warned of that lie so far apart.
async fn is_warned_of_again_after(apart: Duration) -> bool {
    let fixture = Fixture::new().await;
    let listener = hangs(&fixture, "hangs").await;
    let (logs, _listening) = Logs::listen();
    fixture.run(&listener).await;
    let first = Instant::now();
    // Each ends a second after it begins.
    sleep_until(first + apart - secs(1)).await;
    fixture.run(&listener).await;
    assert_eq!(first.elapsed(), apart);
    fixture.stop().await;
    messages(&logs.of("WARN"), "execution timed out").len() == 2
}

#[tokio::test(start_paused = true)]
async fn a14_a_minute_is_over_at_sixty_seconds_and_not_before() {
    assert!(!is_warned_of_again_after(Duration::from_millis(59_900)).await);
    assert!(is_warned_of_again_after(Duration::from_secs(60)).await);
}

#[tokio::test(start_paused = true)]
async fn a14_a_thousand_listeners_are_remembered_and_one_more_makes_not_all_of_them_warn() {
    let fixture = Fixture::new().await;
    let mut listeners = Vec::new();
    for number in 0..=1_000 {
        let builder = fixture.builder(&format!("hangs {number}"));
        let builder = builder.timeout(Duration::from_millis(1));
        let listener = builder.handler(|_: Arc<Event>| forever()).register().await;
        listeners.push(listener.unwrap());
    }
    let (logs, _listening) = Logs::listen();
    let warnings = || messages(&logs.of("WARN"), "execution timed out").len();
    let begun = Instant::now();
    for listener in &listeners {
        fixture.run(listener).await;
    }
    assert_eq!(warnings(), 1_001);
    // One of them was forgotten when the last one came. In turn, those that are forgotten are few.
    for _ in 0..5 {
        for listener in &listeners {
            fixture.run(listener).await;
        }
    }
    let again = warnings() - 1_001;
    assert!((1..250).contains(&again), "{again} of five thousand");
    assert!(begun.elapsed() < Duration::from_secs(60));
    fixture.stop().await;
}

/// A listener that holds its thread for longer than it may.
async fn blocks(fixture: &Fixture, name: &str) -> ListenerHandle {
    let handler = |_: Arc<Event>| async {
        std::thread::sleep(Duration::from_millis(130));
        Ok(())
    };
    fixture.listener(name, handler).await
}

const HELD: &str = "a handler blocked its runtime thread during one poll";

async fn a15_a_warning_names_the_handler_that_held_its_thread_once_a_minute() {
    let fixture = Fixture::new().await;
    let (one, other) = (
        blocks(&fixture, "one").await,
        blocks(&fixture, "other").await,
    );
    let (logs, _listening) = Logs::listen();
    for listener in [&one, &other, &one] {
        fixture.run(listener).await;
    }
    let lines = logs.of("WARN");
    let warned = messages(&lines, HELD);
    let named: Vec<&str> = warned.iter().map(|line| &*line.fields["subject"]).collect();
    assert_eq!(named.len(), 2, "{named:?}");
    assert!(named[0].contains("lights[0].one") && named[1].contains("lights[0].other"));
    let records = fixture.stored().await;
    assert!(records.iter().all(|record| record.flags.blocked.is_some()));
}

async fn a15_polls_that_are_not_timed_are_neither_recorded_nor_warned_of() {
    let fixture = Fixture::with(Config::default().with_slow_poll(None));
    let fixture = fixture.await;
    let listener = blocks(&fixture, "blocks").await;
    let (logs, _listening) = Logs::listen();
    fixture.run(&listener).await;
    assert_eq!(messages(&logs.of("WARN"), HELD).len(), 0);
    assert_eq!(fixture.only_record().await.flags.blocked, None);
}

async fn a15_many_polls_that_are_short_enough_are_no_long_one() {
    let fixture = Fixture::with(Config::default().with_slow_poll(Some(Duration::from_millis(300))));
    let fixture = fixture.await;
    let handler = |_: Arc<Event>| async {
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(110));
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    fixture.run_once(handler).await;
    assert_eq!(fixture.only_record().await.flags.blocked, None);
}

#[tokio::test(start_paused = true)]
async fn b04_an_error_handler_that_fails_panics_or_hangs_is_logged_by_name() {
    let fixture = Fixture::new().await;
    let (logs, _listening) = Logs::listen();
    for what in ["fails", "panics", "hangs"] {
        let builder = fixture.builder(what);
        let builder = builder.on_error(move |_: HandlerFailure| async move {
            match what {
                "fails" => Err(HandlerError::from("again")),
                "panics" => panic!("at the disco"),
                _ => forever().await,
            }
        });
        let listener = builder.handler(|_: Arc<Event>| async { Err("no".into()) });
        fixture.run(&listener.register().await.unwrap()).await;
    }
    tokio::time::sleep(secs(6)).await;
    let lines = logs.of("ERROR");
    let said: Vec<(&str, &str)> = messages(&lines, "an error handler failed")
        .iter()
        .map(|line| (&*line.fields["name"], &*line.fields["error"]))
        .collect();
    assert_eq!(said, [("fails", "again"), ("panics", "at the disco")]);
    let lines = logs.of("WARN");
    let late = messages(&lines, "an error handler timed out");
    assert_eq!(late.len(), 1, "{lines:?}");
    assert_eq!(late[0].fields["name"], "hangs");
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c08_a_drop_without_shutdown_says_how_many_records_are_lost_and_how_many_may_be() {
    let store = FaultyStore::new(MemoryStore::new());
    let config = Config::default().with_spool(SpoolPlace::Memory);
    let builder = CommandExecutor::builder(store.clone()).config(config);
    let executor = builder.start().await.unwrap();
    let noop = executor.listener("a", "noop").topic("t");
    let noop = noop.handler_fn(|| async {}).register().await.unwrap();
    store.hang_in(Some("storing a batch"));
    for _ in 0..2 {
        executor
            .execute(noop.invoke(Event::new("t")))
            .await
            .unwrap();
    }
    // The two are in the store's hands now, and three more wait.
    sleep(secs(1)).await;
    for _ in 0..3 {
        executor
            .execute(noop.invoke(Event::new("t")))
            .await
            .unwrap();
    }
    let (logs, _listening) = Logs::listen();
    drop((noop, executor));
    sleep(secs(60)).await;
    let told = logs.of("WARN");
    let told = messages(
        &told,
        "the executor was dropped without shutdown; records are lost",
    );
    assert_eq!(told.len(), 1, "{:?}", logs.of("WARN"));
    let count = |field: &str| told[0].fields[field].clone();
    assert_eq!((&*count("lost"), &*count("perhaps_stored")), ("3", "2"));
}
