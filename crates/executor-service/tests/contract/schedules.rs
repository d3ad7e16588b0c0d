//! Clause F6: schedules, through the service. What a schedule says at which time is tested beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use executor_core::registration::Overlap;
use executor_core::{Status, TriggerMode};
use executor_service::registration::JobBuilder;
use executor_service::{CommandExecutor, Config, JobHandle, Schedule};
use executor_testkit::{Fault, MemoryStore, TestClock};
use tokio::sync::mpsc;
use tokio::time::{Instant, advance, sleep, timeout};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::support::{Fixture, assert_took, is_paused, millis, secs, statuses};

on_both_runtimes!(
    f06_a_job_runs_at_intervals_and_its_records_say_why,
    f06_what_comes_once_comes_once,
    f06_a_schedule_does_not_wait_for_a_store_that_is_away,
    f06_a_schedule_does_not_wait_for_a_store_that_never_answers,
    f06_a_run_that_takes_long_delays_no_other_schedule,
    f06_when_runs_overlap_the_overlap_rule_decides,
    f06_when_the_service_stops_nothing_begins_any_more,
    f06_a_service_that_is_dropped_leaves_nothing_behind,
    f06_the_same_job_registered_again_runs_on_its_new_schedule_only,
);

pub(crate) fn job(fixture: &Fixture, schedule: Schedule) -> JobBuilder {
    fixture.executor.job("lights", "dim").schedule(schedule)
}

/// A job that reports each of its runs.
pub(crate) async fn reporting(job: JobBuilder) -> (JobHandle, mpsc::UnboundedReceiver<Instant>) {
    let (report, runs) = mpsc::unbounded_channel();
    let job = job.handler_fn(move || {
        let _ = report.send(Instant::now());
        async {}
    });
    (job.register().await.unwrap(), runs)
}

async fn f06_a_job_runs_at_intervals_and_its_records_say_why() {
    let fixture = Fixture::new().await;
    let begun = Instant::now();
    let (job, mut runs) = reporting(job(&fixture, Schedule::every(secs(10)))).await;
    let of_job = job.job().registration.job.as_ref().unwrap();
    assert_eq!(of_job.schedule.trigger_type, "interval");
    for number in 1..=5 {
        let run = runs.recv().await.unwrap();
        // None drifts: each is counted from the start.
        assert_took(run - begun, secs(10) * number);
    }
    let records = fixture.stored().await;
    assert!(records.len() >= 5);
    let first = records[0].due_at.expect("a schedule began it");
    for (record, number) in records.iter().zip(0_u32..) {
        assert_eq!(record.trigger.mode(), Some(TriggerMode::Schedule));
        assert_eq!(record.status, Status::Success);
        assert_eq!(record.due_at, Some(first.saturating_add(secs(10) * number)));
        assert!(record.started_at >= first, "no run begins before it is due");
    }
}

/// Jitter delays a run, and the clock may go by elapsed time: what is recorded is the planned time of the wall clock.
#[tokio::test(start_paused = true)]
async fn a16_a_scheduled_run_is_recorded_with_the_time_at_which_it_was_due() {
    let fixture = Fixture::new().await;
    let hourly = Schedule::cron("0 * * * *", "UTC").unwrap();
    let (_hourly, mut runs) = reporting(job(&fixture, hourly.jitter(secs(600)))).await;
    runs.recv().await.unwrap();
    let record = &fixture.stored().await[0];
    let due = record.due_at.expect("a schedule began it");
    assert_eq!(due.as_micros() % 3_600_000_000, 0, "the full hour");
    let late = record.started_at.saturating_duration_since(due);
    assert!(late > secs(0) && late < secs(600), "{late:?}");
}

async fn f06_what_comes_once_comes_once() {
    let fixture = Fixture::new().await;
    let begun = Instant::now();
    let (job, mut runs) = reporting(job(&fixture, Schedule::after(secs(5)))).await;
    assert_took(runs.recv().await.unwrap() - begun, secs(5));
    assert!(timeout(secs(60), runs.recv()).await.is_err());
    let state = fixture.executor.schedule_of(&job).unwrap();
    assert_eq!((state.next_run, state.missed), (None, 0));
    fixture.stop().await;
}

/// Store away for 3 s while a job runs every second: no run missed, all recorded.
async fn f06_a_schedule_does_not_wait_for_a_store_that_is_away() {
    let fixture = Fixture::with(Config::default().with_flush_interval(millis(100)));
    let fixture = fixture.await;
    let begun = Instant::now();
    fixture.store.inject([Fault::SlowlyLost(secs(3))]);
    let (job, mut runs) = reporting(job(&fixture, Schedule::every(secs(1)))).await;
    for number in 1..=6 {
        let run = runs.recv().await.unwrap();
        assert_took(run - begun, secs(1) * number);
        if is_paused() && number <= 3 {
            assert_eq!(fixture.ledger().stored, 0, "the store is away");
        }
    }
    let missed = fixture.executor.schedule_of(&job).unwrap().missed;
    if is_paused() {
        assert_eq!(missed, 0);
    }
    let report = fixture.stop().await;
    assert_eq!(report.ledger.total_dropped(), 0);
    let records = fixture.store.records();
    assert_eq!(records.len() as u64, report.ledger.offered, "all recorded");
    assert!(records.len() >= 6 && records.iter().all(|r| r.status == Status::Success));
}

async fn f06_a_schedule_does_not_wait_for_a_store_that_never_answers() {
    let fixture = Fixture::new().await;
    let begun = Instant::now();
    fixture.store.inject([Fault::Hangs]);
    let (_job, mut runs) = reporting(job(&fixture, Schedule::every(secs(1)))).await;
    for number in 1..=60 {
        assert_took(runs.recv().await.unwrap() - begun, secs(1) * number);
    }
    // What the store has in hand then is lost, and said to be.
    let report = fixture.executor.shutdown(millis(500)).await;
    assert_eq!(report.ledger.offered, report.ledger.total_dropped());
}

async fn f06_a_run_that_takes_long_delays_no_other_schedule() {
    let fixture = Fixture::new().await;
    let slow = fixture.executor.job("lights", "slow");
    let slow = slow.schedule(Schedule::every(secs(1)));
    let slow = slow.handler_fn(std::future::pending::<()>).register().await;
    let begun = Instant::now();
    let (_job, mut runs) = reporting(job(&fixture, Schedule::every(secs(1)))).await;
    for number in 1..=5 {
        assert_took(runs.recv().await.unwrap() - begun, secs(1) * number);
    }
    drop(slow);
    fixture.executor.shutdown(millis(100)).await;
}

async fn f06_when_runs_overlap_the_overlap_rule_decides() {
    let fixture = Fixture::new().await;
    let takes_long = millis(1_500);
    let (report, mut runs) = mpsc::unbounded_channel();
    let handler = move || {
        let _ = report.send(());
        sleep(takes_long)
    };
    let single = job(&fixture, Schedule::every(secs(1))).handler_fn(handler.clone());
    let single = single.register().await.unwrap();
    for _ in 0..3 {
        runs.recv().await.unwrap();
    }
    fixture.executor.remove_schedule(&single);
    let parallel = fixture.executor.job("lights", "parallel");
    let parallel = parallel
        .overlap(Overlap::Parallel)
        .schedule(Schedule::every(secs(1)));
    let parallel = parallel.handler_fn(handler).register().await.unwrap();
    for _ in 0..3 {
        runs.recv().await.unwrap();
    }
    fixture.executor.remove_schedule(&parallel);
    let records = fixture.stored().await;
    let of = |job: &JobHandle| {
        let its = &job.job().registration.entity;
        let of_job = records
            .iter()
            .filter(|record| record.subject.entity == *its);
        statuses(&of_job.cloned().collect::<Vec<_>>())
    };
    let mut by_rule = of(&single);
    by_rule.sort_by_key(|status| status.code());
    if is_paused() {
        let expected = [
            Status::Success,
            Status::Success,
            Status::Success,
            Status::Skipped,
            Status::Skipped,
        ];
        assert_eq!(by_rule, expected);
    }
    assert!(by_rule.contains(&Status::Skipped));
    assert!(!of(&parallel).contains(&Status::Skipped));
}

async fn f06_when_the_service_stops_nothing_begins_any_more() {
    let fixture = Fixture::new().await;
    let begun = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&begun);
    let (entered, mut entries) = mpsc::unbounded_channel();
    let second = secs(1);
    let job = job(&fixture, Schedule::every(millis(100))).overlap(Overlap::Parallel);
    let job = job.handler_fn(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        let _ = entered.send(());
        sleep(second)
    });
    let _job = job.register().await.unwrap();
    entries.recv().await.unwrap();
    // Longer than what runs needs to end by itself: it is let, and none begins meanwhile.
    let report = fixture.executor.shutdown(secs(20)).await;
    let began = begun.load(Ordering::SeqCst);
    assert_eq!((report.cancelled, report.still_running), (0, 0));
    assert_eq!(report.ledger.offered, began as u64);
    if is_paused() {
        assert_eq!(began, 1);
        assert_took(report.elapsed, secs(1));
    }
    sleep(secs(5)).await;
    assert_eq!(begun.load(Ordering::SeqCst), began);
    let records = fixture.store.records();
    assert!(
        records
            .iter()
            .all(|record| record.status == Status::Success)
    );
}

async fn f06_a_service_that_is_dropped_leaves_nothing_behind() {
    let store = MemoryStore::new();
    let builder = CommandExecutor::builder(store).clock(TestClock::new());
    let executor = builder.start().await.unwrap();
    let alive = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&alive);
    let job = executor
        .job("lights", "dim")
        .schedule(Schedule::every(secs(1)));
    let job = job.handler_fn(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        async {}
    });
    drop(job.register().await.unwrap());
    sleep(millis(2_500)).await;
    drop(executor);
    sleep(secs(1)).await;
    let ran = alive.load(Ordering::SeqCst);
    assert!(ran > 0);
    sleep(secs(5)).await;
    assert_eq!(alive.load(Ordering::SeqCst), ran);
    assert_eq!(
        Arc::strong_count(&alive),
        1,
        "the handler is gone, so the task is"
    );
}

async fn f06_the_same_job_registered_again_runs_on_its_new_schedule_only() {
    let fixture = Fixture::new().await;
    let (handle, mut first) = reporting(job(&fixture, Schedule::every(secs(1)))).await;
    drop(handle);
    first.recv().await.unwrap();
    let begun = Instant::now();
    let (second, mut runs) = reporting(job(&fixture, Schedule::every(secs(3)))).await;
    assert_took(runs.recv().await.unwrap() - begun, secs(3));
    // The handler of the first went with its schedule.
    while first.try_recv().is_ok() {}
    let run = timeout(secs(10), first.recv()).await;
    assert!(run.is_ok_and(|run| run.is_none()));
    // And one that has none ends it.
    let by_hand = fixture
        .executor
        .job("lights", "dim")
        .handler_fn(|| async {});
    let by_hand = by_hand.register().await.unwrap();
    assert_eq!(fixture.executor.schedule_of(&by_hand), None);
    drop(second);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f06_a_schedule_is_paused_resumed_and_removed() {
    let fixture = Fixture::new().await;
    let (job, mut runs) = reporting(job(&fixture, Schedule::every(secs(10)))).await;
    let executor = &fixture.executor;
    let next = || executor.schedule_of(&job).unwrap().next_run;
    let began = next().unwrap().saturating_sub(secs(10));
    runs.recv().await.unwrap();
    assert!(executor.pause_schedule(&job));
    assert!(executor.schedule_of(&job).unwrap().is_paused);
    sleep(secs(35)).await;
    assert!(runs.try_recv().is_err());
    assert!(executor.resume_schedule(&job));
    assert_eq!(
        next().unwrap(),
        began.saturating_add(secs(50)),
        "the plan is as it was"
    );
    let resumed = Instant::now();
    assert_took(runs.recv().await.unwrap() - resumed, secs(5));
    assert_eq!(executor.schedule_of(&job).unwrap().missed, 0);
    assert!(executor.resume_schedule(&job), "one that runs goes on");
    assert_eq!(next().unwrap(), began.saturating_add(secs(60)));
    assert!(executor.remove_schedule(&job) && !executor.remove_schedule(&job));
    assert!(!executor.pause_schedule(&job) && !executor.resume_schedule(&job));
    assert!(timeout(secs(60), runs.recv()).await.is_err());
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f06_a_job_that_is_cancelled_has_no_schedule_any_more() {
    let fixture = Fixture::new().await;
    let executor = &fixture.executor;
    let (job, mut runs) = reporting(job(&fixture, Schedule::every(secs(1)))).await;
    runs.recv().await.unwrap();
    job.cancel().await.unwrap();
    assert!(executor.schedule_of(&job).is_none());
    assert!(timeout(secs(60), runs.recv()).await.is_err());
    assert_eq!(executor.refused(), 0, "nothing was even tried");
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f06_a_runtime_that_was_held_up_runs_the_latest_and_counts_the_rest() {
    let fixture = Fixture::new().await;
    let begun = Instant::now();
    let (job, mut runs) = reporting(job(&fixture, Schedule::every(secs(1)))).await;
    sleep(millis(500)).await;
    advance(secs(10)).await;
    assert_took(runs.recv().await.unwrap() - begun, millis(10_500));
    assert_eq!(fixture.executor.schedule_of(&job).unwrap().missed, 9);
    assert_took(runs.recv().await.unwrap() - begun, secs(11));
    fixture.stop().await;
}

/// Listens to the log and panics at what is said of missed runs.
struct Panics;

impl<S: tracing::Subscriber> Layer<S> for Panics {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let target = event.metadata().target();
        assert!(!target.contains("::schedule::"), "asked to by the test");
    }
}

#[tokio::test(start_paused = true)]
async fn f06_when_what_waits_for_the_times_fails_it_is_started_again_and_loses_no_run() {
    let fixture = Fixture::new().await;
    let _panics = tracing::subscriber::set_default(tracing_subscriber::registry().with(Panics));
    let begun = Instant::now();
    let (job, mut runs) = reporting(job(&fixture, Schedule::every(secs(1)))).await;
    sleep(millis(500)).await;
    advance(secs(10)).await;
    assert_took(runs.recv().await.unwrap() - begun, millis(10_500));
    for number in 11..=20 {
        assert_took(runs.recv().await.unwrap() - begun, secs(1) * number);
    }
    assert_eq!(fixture.executor.schedule_of(&job).unwrap().missed, 9);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f06_a_registration_that_the_store_refuses_runs_on_no_schedule() {
    let fixture = Fixture::new().await;
    let nameless = fixture
        .executor
        .job("lights", "")
        .schedule(Schedule::every(secs(1)));
    let (report, mut runs) = mpsc::unbounded_channel();
    let nameless = nameless.handler_fn(move || {
        let _ = report.send(());
        async {}
    });
    assert!(nameless.register().await.is_err());
    assert!(runs.recv().await.is_none(), "the handler is gone");
    fixture.stop().await;
}
