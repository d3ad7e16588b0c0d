//! Tests of `restarts.rs`.

use super::*;

#[test]
fn d07_three_restarts_in_two_minutes_and_then_again_when_time_has_passed() {
    let mut restarts = Restarts::default();
    let begun = Instant::now();
    let at = |seconds| begun + Duration::from_secs(seconds);
    let granted = [0, 10, 20, 30, 119, 120, 121, 129, 130].map(|at_s| restarts.grant(at(at_s)));
    let expected = [true, true, true, false, false, true, false, false, true];
    assert_eq!(granted, expected);
}
