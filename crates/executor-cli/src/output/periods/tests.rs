//! Tests of `periods.rs`.

use proptest::prelude::*;

use super::*;

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

#[test]
fn a_week_has_days_and_a_day_has_hours() {
    let zone = Zone::new(true);
    // 2026-11-22T03:43:00Z to 2026-11-29T03:43:00Z.
    let (from, to) = (at(1_795_318_980), at(1_795_923_780));
    let week = Periods::of(&zone, from, to);
    assert_eq!(
        week.bounds.len() - 1,
        8,
        "parts of the first and last day count"
    );
    assert_eq!(week.name(), "DAY");
    assert_eq!(week.bounds[0], at(1_795_305_600), "midnight");
    let day = Periods::of(&zone, to.saturating_sub(DAY), to);
    assert_eq!((day.bounds.len() - 1, day.name()), (25, "HOUR"));
    let year = Periods::of(&zone, to.saturating_sub(365 * DAY), to);
    assert_eq!((year.bounds.len() - 1, year.name()), (53, "WEEK FROM"));
}

proptest! {
    #[test]
    fn periods_ascend_and_cover_the_time(from in -1_000_000_000_i64..4_000_000_000, length in 0_i64..60_000_000_000) {
        let (from, to) = (at(from), at(from + length));
        let periods = Periods::of(&Zone::new(true), from, to);
        prop_assert!(periods.bounds.is_sorted_by(|one, next| one < next));
        prop_assert!(periods.bounds[0] <= from);
        let last = periods.bounds[periods.bounds.len() - 1];
        prop_assert!(last >= to);
        prop_assert!(periods.bounds.len() <= 502);
    }
}
