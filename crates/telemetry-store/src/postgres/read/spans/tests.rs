//! Tests of `spans.rs`.

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn h04_the_spans_of_a_time_are_all_of_it_and_nothing_twice(
        days in proptest::collection::btree_set(-9_i64..60, 0..40),
        from in -10 * DAY_US..60 * DAY_US, length in 0_i64..70 * DAY_US, is_open: bool, is_latest: bool,
    ) {
        let window = if is_open { i64::MIN..i64::MAX } else { from..from + length };
        let days = Days::of(days.into_iter().collect());
        let order = if is_latest { Order::LatestFirst } else { Order::OldestFirst };
        let mut spans = days.spans(&window, order);
        if is_latest {
            spans.reverse();
        }
        let mut at = window.start;
        for span in &spans {
            prop_assert_eq!(span.start, at);
            prop_assert!(!span.is_empty());
            at = span.end;
        }
        prop_assert!(at == window.end || window.is_empty());
    }
}

#[test]
fn h04_the_first_span_has_few_days_and_the_next_ones_more() {
    let days = Days::of((0..100).collect());
    let spans = days.spans(&(i64::MIN..i64::MAX), Order::LatestFirst);
    let first: Vec<i64> = spans.iter().map(|span| span.start / DAY_US).collect();
    assert_eq!(first[..3], [98, 94, 86]);
    assert_eq!(spans[0].end, i64::MAX);
    assert_eq!(spans.last().map(|span| span.start), Some(i64::MIN));
}

#[test]
fn names_of_partitions_have_the_number_of_their_day() {
    assert_eq!(number_of("_20786"), Some(20_786));
    assert_eq!(number_of("_m3"), Some(-3));
    assert_eq!(number_of("_default"), None);
    assert_eq!(number_of("s_20786"), None);
}
