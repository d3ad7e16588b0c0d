//! Clause F6: a year of a hundred schedules, in seconds, through the service.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use executor_core::{Clock, Timestamp};
use executor_service::{CommandExecutor, Config, Retention, Schedule};
use executor_testkit::{DiscardStore, TestClock};
use fastrand::Rng;
use tokio::time::sleep;

const YEAR: Duration = Duration::from_secs(365 * 86_400);
const ZONES: [&str; 6] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "UTC",
];

/// A schedule of any kind, and how much jitter it has.
fn any_schedule(rng: &mut Rng, began: Timestamp) -> (Schedule, Duration) {
    let (minute, hour, day) = (rng.u8(0..60), rng.u8(0..24), rng.u8(1..29));
    let zone = ZONES[rng.usize(0..ZONES.len())];
    let cron = |line: String| Schedule::cron(&line, zone).unwrap();
    let some_days = |rng: &mut Rng| Duration::from_secs(rng.u64(86_400..300 * 86_400));
    let schedule = match rng.u8(0..20) {
        0..4 => cron(format!("{minute} {hour} * * *")),
        4 => cron("30 2 * * *".to_owned()),
        // Every hour, in the months in which clocks are changed.
        5 => cron(format!("{minute} * * 3,4,10,11 *")),
        6 => cron(format!("*/30 {hour} * * *")),
        7 => cron(format!("{minute} */4 * * MON-FRI")),
        8 => cron(format!("{minute} {hour} {day} * *")),
        9..16 => Schedule::every(Duration::from_secs(rng.u64(43_200..5 * 86_400))),
        16 | 17 => Schedule::once(began.saturating_add(some_days(rng))),
        _ => Schedule::after(some_days(rng)),
    };
    let jitter = Duration::from_secs(rng.u64(0..2) * rng.u64(1..900));
    (schedule.jitter(jitter).seed(rng.u64(..)), jitter)
}

/// What ran when, in order; each by the number of its schedule.
type Runs = Vec<(usize, Timestamp)>;

/// A year of the service.
async fn a_year(schedules: &[(Schedule, Duration)], clock: TestClock) -> Runs {
    // Nothing but the schedules wakes anybody up.
    let config = Config::default()
        .with_heartbeat_interval(YEAR * 2)
        .with_retention(Retention {
            every: YEAR * 2,
            ..Retention::FOR_EVER
        });
    let builder = CommandExecutor::builder(DiscardStore::default())
        .config(config)
        .clock(clock);
    let executor = builder.start().await.unwrap();
    let runs = Arc::new(Mutex::new(Runs::new()));
    let mut jobs = Vec::new();
    for (number, (schedule, _)) in schedules.iter().enumerate() {
        let job = executor
            .job("year", number.to_string())
            .schedule(schedule.clone());
        let runs = Arc::clone(&runs);
        let job = job.handler_fn(move || {
            runs.lock().unwrap().push((number, clock.now().wall));
            async {}
        });
        jobs.push(job.register().await.unwrap());
    }
    sleep(YEAR).await;
    for job in &jobs {
        assert_eq!(executor.schedule_of(job).unwrap().missed, 0);
    }
    let report = executor.shutdown(Duration::from_secs(5)).await;
    let runs = std::mem::take(&mut *runs.lock().unwrap());
    assert_eq!(report.ledger.stored, runs.len() as u64);
    runs
}

/// Each ran at its planned times, delayed by no more than its jitter and a tick of the timer.
fn assert_as_planned(schedules: &[(Schedule, Duration)], runs: &Runs, began: Timestamp) {
    let tick = Duration::from_millis(2);
    let end = began.saturating_add(YEAR);
    for (number, (schedule, jitter)) in schedules.iter().enumerate() {
        let mut ran = runs.iter().filter(|run| run.0 == number).map(|run| run.1);
        for planned in schedule.upcoming(began) {
            let latest = planned.saturating_add(*jitter).saturating_add(tick);
            if latest >= end {
                break;
            }
            let ran = ran.next().expect("no run is missing");
            assert!(
                planned <= ran && ran <= latest,
                "{schedule:?}: {planned:?} {ran:?}"
            );
        }
        assert!(
            ran.count() <= 1,
            "only one that was delayed beyond the end may be over"
        );
    }
}

/// The seed of the schedules, and what came of them.
fn run_a_year(seed: u64) -> (usize, u64) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let clock = TestClock::new();
        let began = clock.now().wall;
        let mut rng = Rng::with_seed(seed);
        let schedules: Vec<_> = (0..100).map(|_| any_schedule(&mut rng, began)).collect();
        let runs = a_year(&schedules, clock).await;
        assert_as_planned(&schedules, &runs, began);
        let mut digest = DefaultHasher::new();
        runs.hash(&mut digest);
        (runs.len(), digest.finish())
    })
}

#[test]
fn f06_a_year_of_a_hundred_schedules_is_the_same_for_the_same_seed() {
    let seed = std::env::var("SCHEDULE_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("SCHEDULE_SEED={seed}");
    let (runs, digest) = run_a_year(seed);
    println!("{runs} runs, digest {digest:016x}");
    assert!(runs > 10_000, "{runs}");
    assert_eq!(run_a_year(seed), (runs, digest));
    assert_ne!(run_a_year(seed ^ 1).1, digest);
}
