//! Tests of `memory.rs`.

use executor_core::Status;

use super::*;
use crate::rollup::tally::Run;

fn one() -> Tally {
    let mut tally = Tally::default();
    tally.add(&Run {
        status: Status::Success,
        ended_us: 1,
        duration_us: 5,
        error: None,
    });
    tally
}

#[test]
fn h02_each_write_of_a_rollup_has_the_next_version_and_the_whole_total() {
    let (mut rollups, place) = (Rollups::default(), (1, 2, 3));
    for expected in 1..=3 {
        let (version, total) = rollups.add(7, place, &one());
        assert_eq!((version, total.by_status[0]), (expected, expected));
    }
    rollups.stands(7, place, 40, one());
    let (version, total) = rollups.add(7, place, &one());
    assert_eq!((version, total.by_status[0], total.sum_us), (41, 2, 10));
    // Another session has its own.
    assert_eq!(rollups.add(8, place, &one()).0, 1);
    rollups.forget();
    assert_eq!(rollups.add(7, place, &one()).0, 1);
}

#[test]
fn h02_so_many_rollups_are_remembered_and_no_more() {
    let mut rollups = Rollups::default();
    for start in 0..ROLLUPS_MAX as i64 {
        rollups.add(7, (1, start, 3), &one());
    }
    rollups.bound();
    assert_eq!(
        rollups.add(7, (1, 0, 3), &one()).0,
        2,
        "they are within bounds"
    );
    let last = (1, ROLLUPS_MAX as i64, 3);
    rollups.add(7, last, &one());
    rollups.bound();
    assert_eq!(
        rollups.add(7, (1, 0, 3), &one()).0,
        1,
        "its time has passed"
    );
    assert_eq!(rollups.add(7, last, &one()).0, 2, "its time goes on");
    for entity in 10..ROLLUPS_MAX as i64 + 20 {
        rollups.add(7, (1, last.1, entity), &one());
    }
    rollups.bound();
    assert_eq!(
        rollups.add(7, last, &one()).0,
        1,
        "they are too many at once"
    );
}
