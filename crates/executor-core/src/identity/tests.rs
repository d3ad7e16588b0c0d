//! Tests of `identity.rs`.

use super::*;

#[test]
fn ids_carry_the_time_they_were_given() {
    let id = ExecutionId::new(Timestamp::from_micros(1_700_000_000_123_456));
    let (secs, nanos) = id.0.get_timestamp().expect("a v7 has a time").to_unix();
    assert_eq!((secs, nanos / 1_000_000), (1_700_000_000, 123));
    assert_eq!(id.0.get_version_num(), 7);
}

#[test]
fn a_clock_before_the_epoch_still_gives_ids() {
    let early = Timestamp::from_micros(-5);
    assert_ne!(ExecutionId::new(early), ExecutionId::new(early));
}
