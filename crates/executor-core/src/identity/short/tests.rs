//! Tests of `short.rs`.

use proptest::prelude::*;

use super::*;

/// 2026-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_767_225_600_000_000;
const DAY: i64 = 86_400_000_000;

fn at(days: i64) -> Timestamp {
    Timestamp::from_micros(NEW_YEAR + days * DAY)
}

proptest! {
    #[test]
    fn g01_every_beginning_of_a_short_id_finds_its_execution_and_few_others(
        day in 0..400_i64, micros in 0..DAY, digits in SHORT_ID_DIGITS_MIN..=SHORT_ID_DIGITS,
    ) {
        let id = ExecutionId::new(Timestamp::from_micros(NEW_YEAR + day * DAY + micros));
        let short = id.short();
        prop_assert_eq!(short.len(), SHORT_ID_DIGITS);
        let ranges = IdRanges::of(&short[..digits], at(0), at(400)).unwrap();
        prop_assert!(ranges.contains(id));
        prop_assert!(ranges.ranges().len() <= 10, "one for each 49.7 days");
        let other = ExecutionId::new(Timestamp::from_micros(NEW_YEAR + day * DAY + micros + 3_600_000_000));
        prop_assert!(digits < 6 || !ranges.contains(other));
    }

    #[test]
    fn g01_beginnings_of_whole_ids_find_their_execution(day in 0..400_i64, length in 9..=36_usize) {
        let id = ExecutionId::new(at(day));
        let text = &id.to_string()[..length];
        let ranges = IdRanges::of(text, at(0), at(1)).unwrap();
        prop_assert_eq!(ranges.ranges().len(), 1);
        prop_assert!(ranges.contains(id), "{}", text);
    }

    #[test]
    fn g01_whatever_is_typed_nobody_panics(text in any::<String>()) {
        let _ = IdRanges::of(&text, at(0), at(400));
    }
}

#[test]
fn g01_what_is_no_id_is_none() {
    for text in ["", "abc", "house/backup", "12345g", &"0".repeat(33)] {
        assert_eq!(IdRanges::of(text, at(0), at(1)), None, "{text}");
    }
}
