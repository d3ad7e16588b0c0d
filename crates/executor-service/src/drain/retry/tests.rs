//! Tests of `retry.rs`.

use std::sync::Arc;

use executor_core::{Batch, SystemClock};
use executor_testkit as kit;

use super::*;
use crate::intake::queue::{LeaseState, LeasedBatch, Slots};
use crate::intake::{Intake, Limits};
use crate::recording::Policy;

/// A batch of so many records, the first of them with this number.
fn lease(first: u64, count: u64) -> Lease {
    let limits = Limits {
        queue_max: 10,
        batch_max: 10,
        ripe_at: 10,
        retry_max_records: 10,
        retry_max_attempts: 10,
        policy: Policy::default(),
    };
    let intake = Arc::new(Intake::new(limits, Arc::new(SystemClock), None));
    let hall = kit::listener("hall");
    let batch = Batch {
        session: kit::session(),
        records: (0..count).map(|at| kit::record(&hall, None, at)).collect(),
    };
    let leased = LeasedBatch {
        batch: Arc::new(batch),
        first,
        slots: Slots::default(),
        state: LeaseState::Deferred,
        failures: 1,
        refusals: 0,
    };
    Lease::new(intake, leased)
}

fn firsts(heap: &mut RetryHeap) -> Vec<u64> {
    let popped = std::iter::from_fn(|| heap.pop());
    popped.map(|lease| lease.first()).collect()
}

#[test]
fn c04_what_is_due_first_comes_first_and_of_equals_the_oldest() {
    let (mut heap, now) = (RetryHeap::default(), Instant::now());
    assert_eq!(
        (heap.next_due(), heap.oldest(), heap.records()),
        (None, None, 0)
    );
    let at = |seconds| now + Duration::from_secs(seconds);
    for (first, seconds) in [(30, 2), (10, 3), (20, 2), (40, 1)] {
        heap.push(lease(first, 2), at(seconds));
    }
    assert_eq!(heap.next_due(), Some(at(1)));
    assert_eq!((heap.oldest(), heap.records()), (Some(10), 8));
    assert_eq!(firsts(&mut heap), [40, 20, 30, 10]);
}

#[test]
fn c04_what_is_made_due_comes_in_the_order_of_its_age() {
    let (mut heap, now) = (RetryHeap::default(), Instant::now());
    let past = now.checked_sub(Duration::from_secs(1)).unwrap();
    for (first, due) in [
        (1, now + Duration::from_secs(9)),
        (3, now + Duration::from_secs(5)),
        (2, past),
    ] {
        heap.push(lease(first, 1), due);
    }
    heap.make_due(now);
    assert_eq!(heap.next_due(), Some(past), "it was due already");
    assert_eq!(firsts(&mut heap), [2, 1, 3]);
}

#[test]
fn c04_waits_grow_to_five_seconds_and_are_up_to_a_tenth_shorter() {
    for (failures, seconds) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 5), (1_000, 5)] {
        let most = Duration::from_secs(seconds);
        let drawn: Vec<Duration> = (0..100)
            .map(|_| with_jitter(delay_after(failures)))
            .collect();
        let is_within = |wait: &Duration| *wait <= most && *wait >= most * 9 / 10;
        assert!(drawn.iter().all(is_within), "{failures}: {drawn:?}");
        assert!(drawn.iter().any(|wait| *wait != drawn[0]), "no jitter");
    }
}
