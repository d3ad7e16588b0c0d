//! What a set clock does to decisions, on clocks that are told what to say.

use std::sync::{Arc, Mutex};

use executor_core::SessionId;
use executor_core::time::Moment;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const NOON: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

fn lived(from: Timestamp, length: Duration) -> Lifetime {
    Lifetime {
        session: SessionId::new(from),
        started_at: from,
        last_sign_at: from.saturating_add(length),
    }
}

#[test]
fn a_first_start_and_one_within_a_day_are_not_doubted() {
    assert_eq!(doubt_at_start(&[], NOON), Duration::ZERO);
    let before = [lived(NOON, HOUR)];
    let end = before[0].last_sign_at;
    assert_eq!(doubt_at_start(&before, end), Duration::ZERO);
    assert_eq!(
        doubt_at_start(&before, end.saturating_add(DAY)),
        Duration::ZERO
    );
}

#[test]
fn a_start_before_the_last_sign_of_life_or_more_than_a_day_after_it_is_doubted_for_an_hour() {
    let before = [lived(NOON.saturating_sub(DAY * 3), HOUR), lived(NOON, HOUR)];
    let end = before[1].last_sign_at;
    let just_after_a_day = end.saturating_add(DAY + Duration::from_micros(1));
    assert_eq!(doubt_at_start(&before, just_after_a_day), HOUR);
    let just_before = end.saturating_sub(Duration::from_micros(1));
    assert_eq!(doubt_at_start(&before, just_before), HOUR);
    assert_eq!(doubt_at_start(&before, Timestamp::from_micros(0)), HOUR);
}

#[test]
fn an_hour_of_run_time_may_be_made_up_of_several_sessions() {
    // A clock that is eight days ahead, and two sessions by it.
    let wrong = NOON.saturating_add(DAY * 8);
    let mut all = vec![lived(NOON, HOUR), lived(wrong, MINUTE * 20)];
    let again = wrong.saturating_add(MINUTE * 30);
    assert_eq!(doubt_at_start(&all, again), MINUTE * 40);
    all.push(lived(again, MINUTE * 39));
    let last = again.saturating_add(MINUTE * 50);
    assert_eq!(doubt_at_start(&all, last), MINUTE);
    all.push(lived(last, MINUTE));
    assert_eq!(
        doubt_at_start(&all, last.saturating_add(HOUR)),
        Duration::ZERO
    );
}

#[test]
fn a_clock_that_went_back_is_doubted_until_an_hour_by_it_has_passed() {
    let back = NOON.saturating_sub(DAY);
    let all = [lived(NOON, HOUR), lived(back, MINUTE * 25)];
    assert_eq!(
        doubt_at_start(&all, back.saturating_add(MINUTE * 30)),
        MINUTE * 35
    );
    let all = [lived(NOON, HOUR), lived(back, HOUR)];
    assert_eq!(
        doubt_at_start(&all, back.saturating_add(HOUR)),
        Duration::ZERO
    );
}

#[test]
fn processes_side_by_side_do_not_make_each_other_doubt() {
    // The older one goes on until after the younger one has ended.
    let all = [
        lived(NOON, HOUR * 50),
        lived(NOON.saturating_add(HOUR), HOUR),
    ];
    let now = NOON.saturating_add(HOUR * 50);
    assert_eq!(doubt_at_start(&all, now), Duration::ZERO);
}

/// A wall clock and a count since boot that are set by hand.
#[derive(Clone)]
struct SetClock(Arc<Mutex<(Timestamp, Option<Duration>)>>);

impl Clock for SetClock {
    fn now(&self) -> Moment {
        Moment {
            wall: self.0.lock().unwrap().0,
            monotonic: Instant::now(),
        }
    }

    fn since_boot(&self) -> Option<Duration> {
        self.0.lock().unwrap().1
    }
}

impl SetClock {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((NOON, Some(DAY)))))
    }

    fn pass(&self, wall: i64, boot: Duration) {
        let mut clock = self.0.lock().unwrap();
        clock.0 = Timestamp::from_micros(clock.0.as_micros() + wall);
        clock.1 = clock.1.map(|since| since + boot);
    }
}

const HOUR_US: i64 = 3_600_000_000;

#[tokio::test(start_paused = true)]
async fn a_jump_of_more_than_an_hour_is_doubted_for_an_hour_and_a_sleep_is_none() {
    let clock = SetClock::new();
    let mut watch = ClockWatch::new(&clock, Duration::ZERO);
    assert_eq!(watch.look(&clock), ClockTrust::Trusted);
    // The machine slept for ten hours: both went on.
    clock.pass(10 * HOUR_US, HOUR * 10);
    assert_eq!(watch.look(&clock), ClockTrust::Trusted);
    clock.pass(HOUR_US, Duration::ZERO);
    assert_eq!(
        watch.look(&clock),
        ClockTrust::Trusted,
        "an hour is not more than one"
    );
    for jump in [HOUR_US + 1, -HOUR_US - 1, -1_000 * HOUR_US] {
        clock.pass(jump, Duration::ZERO);
        assert_eq!(watch.look(&clock), ClockTrust::Doubted);
        tokio::time::advance(HOUR - Duration::from_millis(1)).await;
        assert_eq!(watch.look(&clock), ClockTrust::Doubted);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(watch.look(&clock), ClockTrust::Trusted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_doubt_from_the_start_passes_with_run_time_and_without_a_count_since_boot_too() {
    let clock = SetClock::new();
    clock.0.lock().unwrap().1 = None;
    let mut watch = ClockWatch::new(&clock, MINUTE);
    assert_eq!(watch.look(&clock), ClockTrust::Doubted);
    tokio::time::advance(MINUTE).await;
    clock.pass(HOUR_US * 100, Duration::ZERO);
    assert_eq!(watch.look(&clock), ClockTrust::Trusted);
}
