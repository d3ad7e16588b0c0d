//! Tests of `parts.rs`.

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn the_parts_of_a_window_are_all_of_it_and_nothing_twice(
        from in -400_i64..400, length in 0_i64..400, jitter in 0_i64..HOUR_US,
    ) {
        let window = from * HOUR_US + jitter..(from + length) * HOUR_US + jitter / 2;
        let parts = parts_of(&window);
        let whole = parts.whole.iter().map(|(_, range)| range.clone());
        let mut ranges: Vec<_> = whole.chain(parts.edges.clone()).collect();
        ranges.sort_by_key(|range| range.start);
        let mut at = window.start;
        for range in ranges {
            prop_assert_eq!(range.start, at);
            at = range.end;
        }
        prop_assert!(at == window.end || window.is_empty());
        for (span, range) in parts.whole {
            prop_assert!(range.start % span == 0 && range.end % span == 0);
        }
    }
}
