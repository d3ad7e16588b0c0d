//! Tests of `ledger.rs`.

use super::*;

#[test]
fn a_record_that_went_nowhere_shows() {
    let mut ledger = Ledger {
        offered: 3,
        stored: 1,
        waiting: 1,
        ..Ledger::default()
    };
    assert!(!ledger.is_balanced());
    ledger.add_dropped(DropReason::Shutdown, 1);
    assert!(ledger.is_balanced());
    assert_eq!(
        ledger.to_string(),
        "offered 3, stored 1, waiting 1, dropped[shutdown] 1"
    );
}

#[test]
fn reasons_count_in_their_own_place() {
    for (place, reason) in DropReason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, place);
    }
}
