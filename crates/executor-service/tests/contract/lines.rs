//! Clause A22: what executions say is kept with their records.

use executor_core::lines::{LineKind, LinePolicy, Lines};
use executor_core::ports::{LiveState, RunningExecution};
use executor_core::process::CommandLine;
use executor_core::redact::{Redact, TextKind};
use executor_core::{HandlerError, Status, context};
use executor_service::{CommandExecutor, Config, Retention};
use executor_testkit::{MemoryStore, TestClock};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::spool::{config, life, start};
use crate::support::{Fixture, event, forever, is_pending, millis, secs};

fn texts(lines: &Lines) -> Vec<&str> {
    lines.iter().map(|line| line.text).collect()
}

#[tokio::test(start_paused = true)]
async fn a22_what_a_handler_says_is_kept_with_its_failure_in_order_and_time() {
    let fixture = Fixture::new().await;
    let failing = fixture.listener("failing", |_| async {
        context::line("opening the valve");
        tokio::time::sleep(secs(2)).await;
        // What it spawns says it too.
        let spawned = tokio::spawn(context::inherit(async { context::line("still closed") }));
        spawned.await?;
        Err::<(), _>(HandlerError::known("stuck"))
    });
    let failing = failing.await;
    let well = fixture.listener("well", |_| async {
        context::line("nobody wants to know");
        Ok(())
    });
    let well = well.await;
    fixture.run(&failing).await;
    fixture.run(&well).await;
    context::line("outside of an execution, said to nobody");
    let records = fixture.stored().await;
    let lines = records[0].lines.as_deref().expect("it failed");
    let said: Vec<_> = lines
        .iter()
        .map(|line| (line.after, line.kind, line.text))
        .collect();
    let expected = [
        (secs(0), LineKind::Info, "opening the valve"),
        (secs(2), LineKind::Info, "still closed"),
    ];
    assert_eq!(said, expected);
    assert_eq!(records[1].lines, None, "a success, by default");
}

#[tokio::test(start_paused = true)]
async fn a22_every_outcome_but_success_and_skipped_keeps_its_lines() {
    let fixture = Fixture::new().await;
    let slow = fixture.builder("slow").timeout(secs(1)).handler(|_| {
        context::line("waiting");
        forever()
    });
    let slow = slow.register().await.unwrap();
    let panicking = fixture.listener("panicking", |_| async {
        context::line("about to break");
        if context::cancellation().is_cancelled() {
            return Ok(());
        }
        panic!("broken")
    });
    let panicking = panicking.await;
    assert_eq!(fixture.run(&slow).await.status(), Status::TimedOut);
    assert_eq!(fixture.run(&panicking).await.status(), Status::Panicked);
    let stop = CancellationToken::new();
    let command = slow.invoke(event());
    let cancelled = fixture.executor.execute_until(command, &stop);
    let (cancelled, ()) = tokio::join!(cancelled, async {
        tokio::time::sleep(millis(10)).await;
        stop.cancel();
    });
    assert_eq!(cancelled.unwrap().status(), Status::Cancelled);
    // Dropped half-way.
    let dropped = fixture.executor.execute(slow.invoke(event()));
    assert!(tokio::time::timeout(millis(10), dropped).await.is_err());
    let records = fixture.stored().await;
    let said: Vec<_> = records
        .iter()
        .map(|record| record.lines.as_deref().map(texts).unwrap_or_default())
        .collect();
    let expected: [&[&str]; 4] = [
        &["waiting"],
        &["about to break"],
        &["waiting"],
        &["waiting"],
    ];
    assert_eq!(said, expected);
}

/// A program's output is lines, whatever becomes of it; before, a deadline threw it away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a22_what_a_program_prints_is_kept_whatever_becomes_of_it() {
    let fixture = Fixture::new().await;
    let script = |text: &str| CommandLine::new("sh").args(["-c", text]);
    let well = script("echo one; echo two");
    let failed = script("printf 'half' ; echo oh no >&2; exit 3");
    let late = script("echo begun; exec sleep 60");
    let ends = [
        (well, 10, Status::Success, vec!["one", "two"]),
        (failed, 10, Status::Error, vec!["oh no", "half"]),
        (late, 1, Status::TimedOut, vec!["begun"]),
    ];
    for (line, seconds, status, expected) in ends {
        let name = format!("{status:?}");
        let builder = fixture.builder(&name).timeout(secs(seconds));
        let listener = builder.handler(line).register().await.unwrap();
        assert_eq!(fixture.run(&listener).await.status(), status);
        fixture.executor.flush().await.unwrap();
        let records = fixture.store.records();
        let lines = records.last().unwrap().lines.clone().expect("it printed");
        assert_eq!(texts(&lines), expected);
        let half = lines.iter().find(|line| line.text == "half");
        assert!(half.is_none_or(|half| half.is_unfinished && half.kind == LineKind::Stdout));
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a22_a_program_that_prints_100_mb_keeps_its_first_and_last_lines() {
    let fixture = Fixture::new().await;
    let much = "echo first; yes 'a line that nobody reads, and that goes on for a while' | head -c 100000000; echo; echo last";
    let builder = fixture
        .builder("much")
        .timeout(secs(60))
        .lines(LinePolicy::All);
    let line = CommandLine::new("sh").args(["-c", much]);
    let listener = builder.handler(line).register().await.unwrap();
    assert_eq!(fixture.run(&listener).await.status(), Status::Success);
    let record = fixture.only_record().await;
    let lines = record.lines.expect("it printed");
    assert!(lines.body().len() <= 66_000 && lines.total_bytes() >= 100_000_000);
    let texts = texts(&lines);
    assert_eq!((texts[0], *texts.last().unwrap()), ("first", "last"));
    assert!(lines.kept() < lines.total());
    assert!(texts.iter().any(|text| text.ends_with("lines left out")));
}

struct Secrets;

impl Redact for Secrets {
    fn redact<'t>(&self, kind: TextKind, text: &'t str) -> std::borrow::Cow<'t, str> {
        match kind {
            TextKind::Line => text.replace("hunter2", "…").into(),
            // A target stays one word, whatever is put into it.
            TextKind::Target => text.replace("at hunter2", "at …]").into(),
            _ => text.into(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a20_lines_pass_the_redaction_before_they_are_kept() {
    let fixture = Fixture::redacting(Secrets).await;
    let outcome = fixture.run_once(|_| async {
        context::line("password=hunter2");
        context::log(
            LineKind::Info,
            &format!("at hunter2 {}", "ä".repeat(999)),
            "x",
        );
        Err::<(), _>(HandlerError::known("denied"))
    });
    assert_eq!(outcome.await.status(), Status::Error);
    let record = fixture.only_record().await;
    let lines = record.lines.unwrap();
    assert_eq!(texts(&lines), ["password=…", "x"]);
    let target = lines.iter().nth(1).unwrap().target;
    assert!(
        target.starts_with("at_…__ä") && target.len() <= 256,
        "{target}"
    );
}

/// What the executor's running executions have said, once at least `count` have said something: a thread of its own
/// reads it, in real time.
async fn live(executor: &CommandExecutor, count: usize) -> Vec<RunningExecution> {
    for _ in 0..500 {
        let mut sessions = executor.sessions().await.unwrap();
        let running = sessions.remove(0).running;
        if running
            .iter()
            .filter(|running| running.lines.is_some())
            .count()
            >= count
        {
            return running;
        }
        std::thread::sleep(millis(20));
    }
    panic!("nothing is heard of {count} executions after ten seconds");
}

#[test]
fn a22_what_running_executions_say_is_in_the_spool_but_for_those_that_keep_none() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    life(async {
        let builder = CommandExecutor::builder(store.clone()).redact(Secrets);
        let builder = builder.clock(TestClock::new()).config(config(root.path()));
        let executor = builder.start().await.unwrap();
        let mut running = Vec::new();
        for (name, policy) in [
            ("talks", LinePolicy::Failures),
            ("keeps silent", LinePolicy::None),
        ] {
            let job = executor.job("house", name).lines(policy);
            let job = job.handler_fn(|| {
                context::line("the password is hunter2");
                forever()
            });
            let job = job.register().await.unwrap();
            let mut execution = Box::pin(executor.execute(job.run_now()));
            assert!(is_pending(&mut execution).await);
            running.push(execution);
        }
        let live = live(&executor, 1).await;
        let mut said: Vec<_> = live
            .iter()
            .map(|running| {
                (
                    &*running.entity.name,
                    running.lines.as_ref().map(Lines::to_string),
                )
            })
            .collect();
        // They began at the same time.
        said.sort_unstable();
        let talks = ("talks", Some("the password is …\n".to_owned()));
        assert_eq!(said, [("keeps silent", None), talks]);
        drop(running);
        executor.flush().await.unwrap();
        let report = executor.shutdown(secs(5)).await;
        assert!(report.ledger.is_balanced(), "{}", report.ledger);
    });
    let left = std::fs::read_dir(root.path()).unwrap().count();
    assert_eq!(left, 0, "what was said of executions that have ended goes");
}

#[test]
fn a22_a_full_spool_takes_a_record_without_its_lines_rather_than_not() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    life(async {
        let config = config(root.path()).with_spool_max_bytes(32 << 20);
        store.go_away();
        let executor = start(&store, config).await;
        let job = executor
            .job("house", "talks")
            .lines(LinePolicy::All)
            .handler_fn(|| {
                for number in 0..60 {
                    context::line(format!("{number} {}", "x".repeat(1_000)));
                }
                std::future::ready(())
            });
        let job = job.register().await.unwrap();
        while executor.ledger().total_dropped() == 0 {
            executor.execute(job.run_now()).await.unwrap();
        }
        store.come_back();
        executor.flush().await.unwrap();
        let records = store.records();
        let without = records.iter().filter(|record| record.lines.is_none());
        let (without, all) = (without.count(), records.len());
        assert!((5..all / 2).contains(&without), "{without} of {all}");
        executor.shutdown(secs(5)).await;
    });
}

/// Half of the size is for lines, an eighth for those of one listener; by age they go before their executions.
#[tokio::test(start_paused = true)]
async fn a22_lines_go_before_executions_beyond_their_share_and_their_age() {
    let retention = |max_bytes, lines_max_age| Retention {
        max_bytes,
        lines_max_age,
        ..Retention::FOR_EVER
    };
    let half_a_day = secs(43_200);
    let ways = [
        (retention(Some(1_600), None), 2),
        (retention(None, Some(half_a_day)), 0),
        (retention(None, None), 6),
    ];
    for (retention, expected) in ways {
        let fixture = Fixture::with(Config::default().with_retention(retention)).await;
        let builder = fixture.executor.listener("a", "talkative").topic("t");
        let builder = builder.lines(LinePolicy::All);
        let listener = builder.handler(|_| async {
            context::line("x".repeat(80));
            Ok(())
        });
        let listener = listener.register().await.unwrap();
        for _ in 0..6 {
            fixture.run(&listener).await;
            sleep(millis(1)).await;
        }
        sleep(half_a_day * 2).await;
        let records = fixture.store.records();
        assert_eq!(records.len(), 6, "all executions stay");
        let said: Vec<bool> = records.iter().map(|it| it.lines.is_some()).collect();
        assert_eq!(said.iter().filter(|it| **it).count(), expected, "{said:?}");
        assert!(said.is_sorted(), "the newest stay: {said:?}");
        fixture.stop().await;
    }
}
