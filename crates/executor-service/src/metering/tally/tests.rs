//! Tests of `tally.rs`.

use super::*;

#[test]
fn a_duration_comes_back_within_three_percent() {
    for micros in [
        1,
        2,
        3,
        10,
        999,
        123_456,
        5_000_000,
        86_400_000_000_u64,
        u64::MAX / 2,
    ] {
        let published = seconds_of(bucket_of(Duration::from_micros(micros)));
        let off = published / (micros as f64 / 1e6) - 1.0;
        assert!(off.abs() < 0.03, "{micros}: {off}");
    }
    assert_eq!(seconds_of(bucket_of(Duration::from_nanos(10))), 0.0);
}
