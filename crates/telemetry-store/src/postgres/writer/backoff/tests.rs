//! Tests of `backoff.rs`.

use super::*;

#[test]
fn h05_each_failure_doubles_the_wait_up_to_five_seconds_and_chance_halves_it_at_most() {
    let longest: Vec<u128> = (1..9).map(|it| wait(it, 1.0).as_millis()).collect();
    assert_eq!(longest, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    assert_eq!(wait(3, 0.0), Duration::from_millis(200));
    assert_eq!(wait(u32::MAX, 0.5), Duration::from_millis(3_750));
}

#[test]
fn h05_nothing_waits_before_a_failure_and_everything_after_one() {
    let (mut backoff, now) = (Backoff::default(), Instant::now());
    assert!(!backoff.waits(now));
    backoff.failed(now);
    assert!(backoff.waits(now + Duration::from_millis(49)));
    assert!(!backoff.waits(now + Duration::from_millis(101)));
}
