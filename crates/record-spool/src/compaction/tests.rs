//! Tests of `compaction.rs`.

use super::*;

const SPARSE: Occupancy = Occupancy {
    sealed_for: SETTLE_GRACE,
    read: true,
    failed: false,
    live_bytes: 25,
    capacity: 100,
};

#[test]
fn only_what_is_sparse_read_and_old_is_moved() {
    let worth = |occupancy| is_worth_moving(occupancy, false);
    assert!(worth(SPARSE));
    assert!(!worth(Occupancy {
        live_bytes: 26,
        ..SPARSE
    }));
    assert!(!worth(Occupancy {
        read: false,
        ..SPARSE
    }));
    assert!(!worth(Occupancy {
        sealed_for: SETTLE_GRACE / 2,
        ..SPARSE
    }));
    assert!(!worth(Occupancy {
        live_bytes: 0,
        failed: true,
        ..SPARSE
    }));
}

#[test]
fn want_of_room_does_not_wait_and_a_failed_sync_asks_for_nothing() {
    let young = Occupancy {
        sealed_for: Duration::ZERO,
        ..SPARSE
    };
    assert!(is_worth_moving(young, true));
    assert!(!is_worth_moving(
        Occupancy {
            read: false,
            ..young
        },
        true
    ));
    let failed = Occupancy {
        failed: true,
        read: false,
        live_bytes: 90,
        ..young
    };
    assert!(is_worth_moving(failed, false));
}
