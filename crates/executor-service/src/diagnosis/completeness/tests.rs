//! Tests of `completeness.rs`.

use executor_core::ports::{Session, SessionCounts};
use executor_core::{Ledger, SessionId};

use super::*;

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// A session from 1,000 to 2,000 seconds.
fn session(status: SessionStatus, is_final: bool) -> StoredSession {
    StoredSession {
        by_server: None,
        session: Session::new(SessionId::new(at(1)), "here", at(1_000)),
        heartbeat_at: at(2_000),
        stopped_at: None,
        status,
        failure: None,
        ledger: Ledger::default(),
        counts: SessionCounts {
            is_counted: true,
            is_final,
            ..SessionCounts::default()
        },
    }
}

#[test]
fn g02_only_a_dead_process_whose_ledger_is_open_hides_records() {
    let hides = |status, is_final, now| {
        may_hide_records(&session(status, is_final), &Window::default(), &[], at(now))
    };
    assert!(hides(SessionStatus::Crashed, false, 2_000));
    assert!(!hides(SessionStatus::Crashed, true, 2_000));
    assert!(!hides(SessionStatus::Running, false, 2_060), "it may live");
    assert!(hides(SessionStatus::Running, false, 2_061), "it is silent");
    for closed in [SessionStatus::Success, SessionStatus::Failure] {
        assert!(!hides(closed, false, 9_000));
    }
    let mut old = session(SessionStatus::Crashed, false);
    old.counts.is_counted = false;
    assert!(
        !may_hide_records(&old, &Window::default(), &[], at(2_000)),
        "nothing is known"
    );
}

#[test]
fn g02_a_dead_process_hides_records_of_its_own_time_only() {
    let dead = session(SessionStatus::Crashed, false);
    let hides = |from: i64, to: i64| {
        let window = Window {
            from: Some(at(from)),
            to: Some(at(to)),
            session: None,
        };
        may_hide_records(&dead, &window, &[], at(9_000))
    };
    assert!(!hides(0, 1_000), "before it");
    assert!(hides(0, 1_001));
    assert!(
        hides(2_060, 3_000),
        "it may have died shortly before a sign of life"
    );
    assert!(!hides(2_061, 3_000));
    let of = |id| may_hide_records(&dead, &Window::of_session(id), &[], at(9_000));
    assert!(of(dead.session.id) && !of(SessionId::new(at(1))));
}

#[test]
fn g02_of_a_process_of_this_machine_it_is_known_at_once() {
    let running = session(SessionStatus::Running, false);
    let here = |is_alive| [LiveSession::new(running.session.clone(), is_alive)];
    let hides = |window: &Window, is_alive, now| {
        may_hide_records(&running, window, &here(is_alive), at(now))
    };
    let all = Window::default();
    assert!(hides(&all, false, 2_001), "it has just died");
    assert!(!hides(&all, true, 9_000), "it lives, and its store is away");
    let before = Window {
        to: Some(at(1_000)),
        ..Window::default()
    };
    assert!(!hides(&before, false, 2_001), "not of a time before it");
}
