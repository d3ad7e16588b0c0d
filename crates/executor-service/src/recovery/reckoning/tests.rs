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

/// Segments that tell of so many records, none of them damaged.
fn told(appended: u64) -> Segments {
    Segments {
        appended,
        damaged: 0,
    }
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
        let reckoned = reckon(&noted, told(appended), after(&noted, truth.found));
        prop_assert_eq!(reckoned.ledger, truth.expected());
        prop_assert_eq!(reckoned.damaged, truth.lost);
        prop_assert!(reckoned.ledger.is_balanced());
    }

    /// It was counted, and its frame was not marked before the process died.
    #[test]
    fn c08_what_was_counted_and_is_found_again_counts_once(truth in whole_truths(), again in 0_u64..30) {
        let again = again.min(truth.stored);
        let noted = noted(&truth.ledger());
        let reckoned = reckon(&noted, told(truth.appended), after(&noted, truth.found + again));
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
        let reckoned = reckon(&noted, told(appended), after(&noted, truth.found));
        prop_assert_eq!(reckoned.ledger, truth.expected());
    }

    /// One counter is damaged, or all of them are, and records are lost besides.
    #[test]
    fn c08_a_damaged_counter_is_rebuilt_without_inferring_that_anything_is_stored(truth in truths(), which in 0_usize..17) {
        let mut noted = noted(&truth.ledger());
        match which {
            0 => noted.offered = None,
            1 => noted.recovered = None,
            2 => noted.stored = None,
            3 => noted.filtered = None,
            4..10 => noted.dropped[which - 4] = None,
            10..16 => noted.told[which - 10] = None,
            _ => noted = Noted::default(),
        }
        prop_assert!(!noted.is_whole());
        if noted.needs_stored() {
            noted = noted.with_stored(truth.stored);
        }
        let said = noted.told();
        let reckoned = reckon(&noted, told(truth.appended), after(&noted, truth.found));
        prop_assert!(reckoned.ledger.is_balanced(), "{:?}", reckoned);
        let mut expected = truth.expected();
        let mut lost = truth.lost;
        if which == 3 {
            // How many were left out nobody can count.
            (expected.filtered, expected.offered) = (0, expected.offered - truth.filtered);
        }
        if which == 16 {
            // Nor what else did not come into the spool, nor what was taken over; what was refused by the store is gone.
            lost += truth.constraint;
            expected = Ledger { offered: truth.appended, stored: truth.stored + truth.found, ..Ledger::default() };
            expected.add_dropped(DropReason::Damaged, lost);
        } else {
            // Nothing is told twice.
            prop_assert_eq!(said, self::noted(&truth.ledger()).told());
        }
        prop_assert_eq!(reckoned.ledger, expected);
        prop_assert_eq!(reckoned.damaged, lost);
    }
}

#[test]
fn where_neither_counters_nor_segments_tell_what_was_found_is_all_there_was() {
    let noted = Noted::default().with_stored(40);
    let reckoned = reckon(&noted, told(0), after(&noted, 60));
    assert_eq!(
        (reckoned.ledger.offered, reckoned.ledger.stored),
        (100, 100)
    );
    assert!(reckoned.ledger.is_balanced());
}

/// Sixty are found, seven of the others are damaged to be seen, and thirty-three are neither in the store nor there.
#[test]
fn c08_without_any_counter_the_segments_and_the_store_tell() {
    let segments = Segments {
        appended: 93,
        damaged: 7,
    };
    for (in_store, damaged) in [(0, 40), (33, 7), (40, 0)] {
        let noted = Noted::default().with_stored(in_store);
        let reckoned = reckon(&noted, segments, after(&noted, 60));
        let ledger = reckoned.ledger;
        assert_eq!((ledger.offered, ledger.stored), (100, 60 + in_store));
        assert_eq!(reckoned.damaged, damaged);
    }
}

/// Ten were offered and two taken over; three of them are stored, one was left out and one refused.
fn some() -> Noted {
    let mut ledger = Ledger {
        offered: 10,
        recovered: 2,
        stored: 3,
        filtered: 1,
        ..Ledger::default()
    };
    ledger.add_dropped(DropReason::Overflow, 1);
    Noted {
        durability: Some(Durability::Power),
        ..noted(&ledger)
    }
}

#[test]
fn c08_whole_counters_are_a_ledger_whose_rest_is_spooled() {
    let noted = some();
    assert!(noted.is_whole() && !noted.needs_stored());
    let ledger = noted.ledger();
    assert_eq!(
        (ledger.offered, ledger.recovered, ledger.stored),
        (10, 2, 3)
    );
    assert_eq!(
        (ledger.filtered, ledger.dropped(DropReason::Overflow)),
        (1, 1)
    );
    assert_eq!(
        (ledger.spooled, ledger.durability),
        (7, Some(Durability::Power))
    );
    assert!(ledger.is_balanced());
}

#[test]
fn c08_the_store_is_asked_where_only_it_knows() {
    let whole = some();
    for (noted, is_needed) in [
        (
            Noted {
                stored: None,
                ..whole
            },
            true,
        ),
        (
            Noted {
                recovered: None,
                ..whole
            },
            true,
        ),
        (
            Noted {
                offered: None,
                ..whole
            },
            false,
        ),
        (
            Noted {
                filtered: None,
                ..whole
            },
            false,
        ),
    ] {
        assert_eq!(noted.needs_stored(), is_needed, "{noted:?}");
        assert!(!noted.is_whole());
    }
}

#[test]
fn c08_losses_of_which_the_store_knows_are_told_apart_from_the_others() {
    let mut noted = some();
    let place = DropReason::Overflow as usize;
    (noted.dropped[place], noted.told[place]) = (Some(9), Some(4));
    assert_eq!(noted.told()[place], 4);
    assert_eq!(noted.ledger().dropped(DropReason::Overflow), 9);
    noted.told[place] = None;
    assert_eq!(noted.told()[place], 9);
    (noted.dropped[place], noted.told[place]) = (None, Some(4));
    assert_eq!(noted.ledger().dropped(DropReason::Overflow), 4);
}

/// More ends were counted than there are records, and none of them is `stored`: then they were taken over.
#[test]
fn c08_ends_that_are_not_of_this_session_were_taken_over() {
    let mut ledger = Ledger {
        offered: 1,
        ..Ledger::default()
    };
    ledger.add_dropped(DropReason::Constraint, 5);
    let noted = noted(&ledger);
    let reckoned = reckon(&noted, told(1), noted.ledger());
    let ledger = reckoned.ledger;
    assert_eq!((ledger.offered, ledger.recovered, ledger.stored), (1, 4, 0));
    assert!(ledger.is_balanced() && reckoned.damaged == 0);
}
