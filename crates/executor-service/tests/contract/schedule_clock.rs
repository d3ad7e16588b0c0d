//! Clause F6: schedules where the wall clock is set, and where a time zone changes it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use executor_core::Status;
use executor_core::registration::Overlap;
use executor_core::time::{Clock, Moment, Timestamp};
use executor_service::{JobHandle, Missed, Schedule};
use tokio::time::{Instant, sleep};

use crate::schedules::{job, reporting};
use crate::support::{Fixture, assert_took, secs, statuses};

/// Follows tokio's time, and can be set.
#[derive(Clone)]
struct SetClock {
    origin: Instant,
    /// What the wall clock showed at the origin, or would have, in microseconds.
    wall: Arc<AtomicI64>,
}

impl SetClock {
    /// Shows this time now, such as `2026-03-29T00:30:00Z`.
    fn at(text: &str) -> Self {
        let wall: jiff::Timestamp = text.parse().unwrap();
        Self {
            origin: Instant::now(),
            wall: Arc::new(AtomicI64::new(wall.as_microsecond())),
        }
    }

    fn set(&self, seconds: i64) {
        self.wall.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    fn text(&self) -> String {
        let now = jiff::Timestamp::from_microsecond(self.now().wall.as_micros()).unwrap();
        // The timer wheel counts in milliseconds.
        now.round(jiff::Unit::Second)
            .unwrap()
            .strftime("%dT%H:%M")
            .to_string()
    }
}

impl Clock for SetClock {
    fn now(&self) -> Moment {
        let monotonic = Instant::now();
        let wall = Timestamp::from_micros(self.wall.load(Ordering::SeqCst));
        Moment {
            wall: wall.saturating_add(monotonic - self.origin),
            monotonic,
        }
    }
}

/// A service whose wall clock can be set, and what ran at which time of it.
struct OnClock {
    fixture: Fixture,
    clock: SetClock,
    ran: Arc<Mutex<Vec<String>>>,
}

impl OnClock {
    async fn at(text: &str) -> Self {
        let clock = SetClock::at(text);
        let its_own = clock.clone();
        Self {
            fixture: Fixture::start(|builder| builder.clock(its_own)).await,
            clock,
            ran: Arc::default(),
        }
    }

    async fn schedule(&self, schedule: Schedule) -> JobHandle {
        let (clock, ran) = (self.clock.clone(), Arc::clone(&self.ran));
        let job = job(&self.fixture, schedule).overlap(Overlap::Parallel);
        let job = job.handler_fn(move || {
            ran.lock().unwrap().push(clock.text());
            async {}
        });
        job.register().await.unwrap()
    }

    fn ran(&self) -> Vec<String> {
        std::mem::take(&mut *self.ran.lock().unwrap())
    }
}

async fn one_day(from: &str, line: &str, zone: &str) -> Vec<String> {
    let running = OnClock::at(from).await;
    running.schedule(Schedule::cron(line, zone).unwrap()).await;
    sleep(Duration::from_secs(24 * 3_600 - 60)).await;
    running.fixture.stop().await;
    running.ran()
}

#[tokio::test(start_paused = true)]
async fn f06_jobs_run_through_both_changes_of_the_clock_in_berlin_and_in_new_york() {
    let (berlin, new_york) = ("Europe/Berlin", "America/New_York");
    // From midnight of the zone on. The clock is set forward at 01:00 UTC, and at 07:00.
    let spring = [
        ("2026-03-28T23:00:00Z", berlin, "29T01:00"),
        ("2026-03-08T05:00:00Z", new_york, "08T07:00"),
    ];
    for (from, zone, change) in spring {
        assert_eq!(one_day(from, "30 2 * * *", zone).await, [change], "{zone}");
        assert_eq!(
            one_day(from, "*/15 * * * *", zone).await.len(),
            24 * 4 - 1,
            "{zone}"
        );
        assert_eq!(one_day(from, "@hourly", zone).await.len(), 23, "{zone}");
    }
    let autumn = [
        ("2026-10-24T22:00:00Z", berlin, "25T00:30"),
        ("2026-11-01T04:00:00Z", new_york, "01T07:30"),
    ];
    for (from, zone, at) in autumn {
        assert_eq!(one_day(from, "30 2 * * *", zone).await, [at], "{zone}");
        assert_eq!(
            one_day(from, "*/15 * * * *", zone).await.len(),
            24 * 4 - 1,
            "{zone}"
        );
        assert_eq!(one_day(from, "@hourly", zone).await.len(), 23, "{zone}");
    }
    // 01:30 is what New York has twice.
    assert_eq!(
        one_day("2026-11-01T04:00:00Z", "30 1 * * *", new_york).await,
        ["01T05:30"]
    );
}

#[tokio::test(start_paused = true)]
async fn f06_intervals_go_by_elapsed_time_whatever_becomes_of_the_wall_clock() {
    let running = OnClock::at("2026-10-25T00:00:00Z").await;
    let begun = Instant::now();
    let (_job, mut runs) = reporting(job(
        &running.fixture,
        Schedule::every(Duration::from_secs(5_400)),
    ))
    .await;
    for number in 1..=4 {
        running.clock.set(if number % 2 == 0 {
            7 * 3_600
        } else {
            -9 * 3_600
        });
        let took = runs.recv().await.unwrap() - begun;
        assert_took(took, Duration::from_secs(5_400) * number);
    }
    running.fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f06_a_wall_clock_that_is_set_forward_is_noticed_and_what_was_missed_is_up_to_the_schedule()
{
    let all = Missed::RunAll { at_most: 3 };
    let expected = [
        (Missed::Skip, vec![], 5),
        (Missed::RunOnce, vec!["01T05:30"], 4),
        (all, vec!["01T05:30"; 3], 2),
    ];
    for (missed, ran, left_out) in expected {
        let running = OnClock::at("2026-01-01T00:30:00Z").await;
        let hourly = Schedule::cron("@hourly", "UTC").unwrap().missed(missed);
        let job = running.schedule(hourly).await;
        sleep(secs(1)).await;
        running.clock.set(5 * 3_600);
        sleep(secs(31)).await;
        assert_eq!(running.ran(), ran, "{missed:?}");
        let state = running.fixture.executor.schedule_of(&job).unwrap();
        assert_eq!(state.missed, left_out, "{missed:?}");
        sleep(secs(3_600)).await;
        assert_eq!(running.ran(), ["01T06:00"], "{missed:?}");
        running.fixture.stop().await;
    }
}

/// Runs that are made up for come one after the other: no overlap rule has one of them skip another.
#[tokio::test(start_paused = true)]
async fn f06_runs_that_are_made_up_for_do_not_skip_each_other() {
    let running = OnClock::at("2026-01-01T00:30:00Z").await;
    let hourly = Schedule::cron("@hourly", "UTC").unwrap();
    let hourly = hourly.missed(Missed::RunAll { at_most: 3 });
    let job = job(&running.fixture, hourly).overlap(Overlap::Single);
    let job = job.handler_fn(|| sleep(secs(5))).register().await.unwrap();
    sleep(secs(1)).await;
    running.clock.set(5 * 3_600);
    sleep(secs(60)).await;
    let state = running.fixture.executor.schedule_of(&job).unwrap();
    assert_eq!(state.missed, 2);
    let records = running.fixture.stored().await;
    assert_eq!(statuses(&records), [Status::Success; 3]);
    let executor = &running.fixture.executor;
    assert_eq!(executor.schedule_of(&job), None, "it was stopped");
}

#[tokio::test(start_paused = true)]
async fn f06_a_wall_clock_that_is_set_back_repeats_no_run_or_begins_anew() {
    let running = OnClock::at("2026-01-01T00:00:30Z").await;
    running
        .schedule(Schedule::cron("@hourly", "UTC").unwrap())
        .await;
    sleep(secs(2 * 3_600 + 30)).await;
    assert_eq!(running.ran(), ["01T01:00", "01T02:00"]);
    running.clock.set(-3_600);
    sleep(secs(2 * 3_600)).await;
    assert_eq!(running.ran(), ["01T03:00"], "02:00 has been");
    running.clock.set(-10 * 3_600);
    sleep(secs(3_600)).await;
    assert_eq!(running.ran(), ["31T18:00"], "another time altogether");
    running.fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f06_once_at_a_time_of_the_wall_clock() {
    let running = OnClock::at("2026-01-01T00:00:00Z").await;
    let at = running.clock.now().wall.saturating_add(secs(90));
    running.schedule(Schedule::once(at)).await;
    sleep(secs(3_600)).await;
    assert_eq!(running.ran(), ["01T00:01"], "half a minute past it");
    // Set back below it, by little and by much: it has been.
    running.clock.set(-3_600);
    sleep(secs(7_200)).await;
    running.clock.set(-5 * 3_600);
    sleep(secs(6 * 3_600)).await;
    assert_eq!(running.ran(), Vec::<String>::new());
    running.fixture.stop().await;
}
