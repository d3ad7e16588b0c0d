//! Tests of `sketch.rs`.

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn percentiles_are_within_the_stated_error(
        durations in proptest::collection::vec(
            prop_oneof![0_u64..50, 0_u64..1_000_000, 0_u64..600_000_000_000], 1..300),
        per_mille in 1_u64..=1_000,
    ) {
        let mut durations = durations;
        let mut sketch = Sketch::default();
        durations.iter().for_each(|micros| sketch.add(*micros));
        durations.sort_unstable();
        let rank = (durations.len() as u64 * per_mille).div_ceil(1_000).max(1);
        let exact = durations[rank as usize - 1] as f64;
        let longest = durations[durations.len() - 1];
        let found = sketch.per_mille(per_mille, longest);
        if rank == durations.len() as u64 {
            prop_assert_eq!(found, longest, "the longest is known");
        }
        let error = (found as f64 - exact).abs();
        prop_assert!(error <= exact * RELATIVE_ERROR * 1.000_001 + 0.5, "{exact} {error}");
    }

    #[test]
    fn merging_encoded_halves_is_the_whole(
        one in proptest::collection::vec(0_u64..1_000_000_000, 0..100),
        other in proptest::collection::vec(0_u64..1_000_000_000, 0..100),
    ) {
        let (mut whole, mut parts) = (Sketch::default(), Sketch::default());
        for half in [&one, &other] {
            let mut sketch = Sketch::default();
            half.iter().for_each(|micros| sketch.add(*micros));
            half.iter().for_each(|micros| whole.add(*micros));
            parts.merge_encoded(&sketch.encode()).unwrap();
        }
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut sketch = Sketch::default();
        for _ in 0..3 {
            let _ = sketch.merge_encoded(&bytes);
        }
        let median = sketch.per_mille(500, u64::MAX);
        prop_assert!(median <= sketch.per_mille(1_000, u64::MAX));
    }
}
