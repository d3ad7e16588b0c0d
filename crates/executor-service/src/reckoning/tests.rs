//! Reckonings beside a model that knows what was lost.

use proptest::prelude::*;

use super::*;

/// Counters of a session that has counted this ledger.
fn noted(ledger: &Ledger) -> Noted {
    let dropped = DropReason::ALL.map(|reason| Some(ledger.dropped(reason)));
    Noted {
        offered: Some(ledger.offered),
        recovered: Some(ledger.recovered),
        stored: Some(ledger.stored),
        filtered: Some(ledger.filtered),
        dropped,
        told: dropped,
        durability: None,
        heartbeat: None,
    }
}

fn after(noted: &Noted, stored_since: u64) -> Ledger {
    let mut counted = noted.ledger();
    counted.stored += stored_since;
    counted
}

/// What has truly happened to a session's records, and how its process died.
#[derive(Clone, Copy, Debug)]
struct Truth {
    appended: u64,
    overflow: u64,
    filtered: u64,
    stored: u64,
    constraint: u64,
    recovered: u64,
    /// Of those that were not stored then: found now, and lost for good.
    found: u64,
    lost: u64,
}

fn truths() -> impl Strategy<Value = Truth> {
    (
        0_u64..50,
        0_u64..50,
        0_u64..50,
        0_u64..5,
        0_u64..5,
        0_u64..5,
        0_u64..9,
    )
        .prop_map(
            |(stored, found, lost, constraint, overflow, filtered, recovered)| Truth {
                appended: stored + constraint + found + lost,
                overflow,
                filtered,
                stored,
                constraint,
                recovered,
                found,
                lost,
            },
        )
}

/// Nothing was lost.
fn whole_truths() -> impl Strategy<Value = Truth> {
    truths().prop_map(|truth| Truth {
        appended: truth.appended - truth.lost,
        lost: 0,
        ..truth
    })
}

impl Truth {
    fn ledger(&self) -> Ledger {
        let mut ledger = Ledger {
            offered: self.appended + self.overflow + self.filtered,
            recovered: self.recovered,
            stored: self.stored + self.recovered,
            filtered: self.filtered,
            ..Ledger::default()
        };
        ledger.add_dropped(DropReason::Overflow, self.overflow);
        ledger.add_dropped(DropReason::Constraint, self.constraint);
        ledger
    }

    /// How it has to come out.
    fn expected(&self) -> Ledger {
        let mut ledger = self.ledger();
        ledger.stored += self.found;
        ledger.add_dropped(DropReason::Damaged, self.lost);
        ledger
    }
}

proptest! {
    #[test]
    fn e04_what_is_not_found_is_damaged_and_never_stored(truth in truths(), segments_tell in any::<bool>()) {
        let noted = noted(&truth.ledger());
        let appended = if segments_tell { truth.appended } else { 0 };
        let reckoned = reckon(&noted, Found { appended, damaged: 1 }, after(&noted, truth.found));
        prop_assert_eq!(reckoned.ledger, truth.expected());
        prop_assert_eq!((reckoned.damaged, reckoned.is_rebuilt), (truth.lost, false));
        prop_assert!(reckoned.ledger.is_balanced());
    }

    /// It was counted, and its frame was not marked before the process died.
    #[test]
    fn c08_what_was_counted_and_is_found_again_counts_once(truth in whole_truths(), again in 0_u64..30) {
        let again = again.min(truth.stored);
        let noted = noted(&truth.ledger());
        let found = Found { appended: truth.appended, damaged: 0 };
        let reckoned = reckon(&noted, found, after(&noted, truth.found + again));
        prop_assert_eq!(reckoned.ledger, truth.expected());
        prop_assert_eq!(reckoned.damaged, 0);
    }

    /// It was appended, and the process died before it was counted.
    #[test]
    fn c08_a_record_that_was_not_counted_is_offered_all_the_same(truth in whole_truths(), segments_tell in any::<bool>()) {
        prop_assume!(truth.found > 0);
        let mut counted = truth.ledger();
        counted.offered -= 1;
        let noted = noted(&counted);
        let appended = if segments_tell { truth.appended } else { 0 };
        let reckoned = reckon(&noted, Found { appended, damaged: 0 }, after(&noted, truth.found));
        prop_assert_eq!(reckoned.ledger, truth.expected());
    }

    /// One counter is damaged, and nothing else is.
    #[test]
    fn c08_a_damaged_counter_is_rebuilt_and_said_to_be(truth in whole_truths(), which in 0_usize..16) {
        let mut noted = noted(&truth.ledger());
        match which {
            0 => noted.offered = None,
            1 => noted.recovered = None,
            2 => noted.stored = None,
            3 => noted.filtered = None,
            4..10 => noted.dropped[which - 4] = None,
            _ => noted.told[which - 10] = None,
        }
        let found = Found { appended: truth.appended, damaged: 0 };
        let counted = after(&noted, truth.found);
        let reckoned = reckon(&noted, found, counted);
        prop_assert!(reckoned.is_rebuilt && reckoned.ledger.is_balanced(), "{:?}", reckoned);
        prop_assert_eq!(reckoned.damaged, 0);
        let mut expected = truth.expected();
        if which == 3 {
            // How many were left out nobody can count.
            (expected.filtered, expected.offered) = (0, expected.offered - truth.filtered);
        }
        prop_assert_eq!(reckoned.ledger, expected);
        // Nothing is told twice.
        prop_assert_eq!(noted.told(), self::noted(&truth.ledger()).told());
    }
}

#[test]
fn c08_without_any_counter_the_segments_tell() {
    let found = Found {
        appended: 100,
        damaged: 7,
    };
    let noted = Noted::default();
    let reckoned = reckon(&noted, found, after(&noted, 60));
    // Sixty were stored now; seven are known to be damaged; of the others nobody knows but that they had an end.
    assert_eq!((reckoned.ledger.offered, reckoned.ledger.stored), (100, 93));
    assert_eq!((reckoned.damaged, reckoned.is_rebuilt), (7, true));
}

#[test]
fn where_neither_counters_nor_segments_tell_what_was_found_is_all_there_was() {
    let noted = Noted::default();
    let reckoned = reckon(&noted, Found::default(), after(&noted, 60));
    assert_eq!((reckoned.ledger.offered, reckoned.ledger.stored), (60, 60));
    assert!(reckoned.ledger.is_balanced());
}
