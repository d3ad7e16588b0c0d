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

    #[test]
    fn g02_spans_of_many_periods_are_joined_and_stay_the_same_spans(
        lengths in proptest::collection::vec((1_i64..40, 0_i64..3), 1..60),
    ) {
        let (mut at, mut joined) = (-2_400, Vec::new());
        let mut separate = Vec::new();
        for (length, gap) in lengths {
            for span in [HOUR_US, DAY_US] {
                let starts = at * span..(at + length) * span;
                separate.push((span, starts.clone()));
                join(&mut joined, span, starts);
            }
            at += length + gap;
        }
        let each = |ranges: &[(i64, Range<i64>)]| {
            let mut all: Vec<(i64, i64)> = ranges
                .iter()
                .flat_map(|(span, starts)| starts.clone().step_by(*span as usize).map(|at| (*span, at)))
                .collect();
            all.sort_unstable();
            all
        };
        prop_assert_eq!(each(&joined), each(&separate));
        prop_assert!(joined.iter().all(|(span, it)| it.end - it.start <= SPANS_MAX * span));
    }
}

#[test]
fn g02_a_week_of_hours_is_two_statements() {
    let mut joined = Vec::new();
    for hour in 0..168 {
        join(&mut joined, HOUR_US, hour * HOUR_US..(hour + 1) * HOUR_US);
    }
    let expected =
        [0..128, 128..168].map(|it: Range<i64>| (HOUR_US, it.start * HOUR_US..it.end * HOUR_US));
    assert_eq!(joined, expected);
    // Those of days between them do not part them.
    let mut joined = vec![(HOUR_US, 0..HOUR_US)];
    join(&mut joined, DAY_US, DAY_US..2 * DAY_US);
    join(&mut joined, HOUR_US, HOUR_US..2 * HOUR_US);
    join(&mut joined, HOUR_US, 3 * HOUR_US..4 * HOUR_US);
    assert_eq!(joined.len(), 3, "{joined:?}");
}
