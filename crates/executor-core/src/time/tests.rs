//! Tests of `time.rs`.

use super::*;

#[test]
fn times_before_the_epoch_are_negative() {
    let before = UNIX_EPOCH - Duration::from_micros(7);
    assert_eq!(Timestamp::from(before), Timestamp::from_micros(-7));
}

#[test]
fn arithmetic_saturates_instead_of_wrapping() {
    let last = Timestamp::from_micros(i64::MAX);
    assert_eq!(last.saturating_add(Duration::MAX), last);
    let first = Timestamp::from_micros(i64::MIN);
    assert_eq!(first.saturating_sub(Duration::MAX), first);
}
