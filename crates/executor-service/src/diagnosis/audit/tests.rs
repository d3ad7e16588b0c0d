//! Tests of `audit.rs` on evidence made by hand: sessions that cannot be made in a test, and edges of windows.

use std::time::Duration;

use executor_core::Durability;
use executor_core::ports::{Gap, RolledUpHour, Session, SessionCounts};

use super::*;

const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

fn at(seconds: u64) -> Timestamp {
    START.saturating_add(Duration::from_secs(seconds))
}

/// A session of ten seconds that was closed after `stored` records.
fn closed(from: u64, stored: u64) -> StoredSession {
    StoredSession {
        by_server: None,
        session: Session::new(SessionId::new(at(from)), "attic", at(from)),
        heartbeat_at: at(from + 10),
        stopped_at: Some(at(from + 10)),
        status: SessionStatus::Success,
        failure: None,
        ledger: Ledger {
            offered: stored,
            stored,
            durability: Some(Durability::Process),
            ..Ledger::default()
        },
        counts: SessionCounts {
            is_counted: true,
            is_final: true,
            stored,
            ..SessionCounts::default()
        },
    }
}

fn hour(session: &StoredSession, stored: u64) -> SessionHour {
    SessionHour {
        session: session.session.id,
        hour_at: START,
        stored,
        pruned: 0,
        rows: stored,
    }
}

/// The evidence of sessions within one hour, in which all rows are there.
fn of(sessions: Vec<StoredSession>) -> Evidence {
    let hours: Vec<_> = sessions
        .iter()
        .map(|session| hour(session, session.counts.stored))
        .collect();
    let count = hours.iter().map(|hour| hour.stored).sum();
    Evidence {
        rollups: vec![RolledUpHour {
            hour_at: START,
            count,
        }],
        hours,
        sessions,
        gaps: Vec::new(),
    }
}

fn whole(evidence: &Evidence) -> Audit {
    audit(evidence, &[], &Window::default())
}

#[test]
fn g03_what_adds_up_is_complete_and_time_without_a_session_is_no_hole() {
    let audit = whole(&of(vec![closed(0, 5), closed(100, 2), closed(40, 1)]));
    assert_eq!((audit.verdict, audit.stored), (Verdict::Complete, 8));
    // Half a minute may be a pause between two heartbeats.
    assert_eq!(audit.idle, []);
    let audit = whole(&of(vec![closed(0, 5), closed(500, 2)]));
    assert_eq!(audit.verdict, Verdict::Complete);
    assert_eq!(audit.idle, [(at(10), at(500))]);
    assert_eq!(whole(&Evidence::default()).verdict, Verdict::Complete);
}

#[test]
fn g03_a_window_that_begins_before_the_first_session_says_so() {
    let evidence = of(vec![closed(500, 2)]);
    let window = Window::since(START);
    assert_eq!(audit(&evidence, &[], &window).idle, [(START, at(500))]);
}

#[test]
fn g03_a_session_that_died_with_its_records_in_memory_cannot_be_told() {
    for (durability, is_memory) in [(None, true), (Some(Durability::Process), false)] {
        let mut session = closed(0, 5);
        session.status = SessionStatus::Crashed;
        session.counts.is_final = false;
        session.ledger.durability = durability;
        let mut live = LiveSession::new(session.session.clone(), false);
        live.waiting = 7;
        let live: &[LiveSession] = if is_memory { &[] } else { &[live] };
        let audit = audit(&of(vec![session]), live, &Window::default());
        assert_eq!(audit.verdict, Verdict::CannotTell);
        let spool = NotLookedAt::Spool {
            host: "attic".into(),
            waiting: Some(7),
        };
        let expected = if is_memory {
            NotLookedAt::Memory
        } else {
            spool
        };
        assert_eq!(audit.not_known[0].what, expected);
        assert_eq!(audit.not_known[0].from, at(10));
    }
}

#[test]
fn g03_a_spool_that_cannot_be_read_says_nothing_of_its_records() {
    let mut session = closed(0, 5);
    session.ledger.spooled = 3;
    session.ledger.offered = 8;
    let mut live = LiveSession::new(session.session.clone(), false);
    live.unreadable = Some("denied".into());
    let audit = audit(&of(vec![session]), &[live], &Window::default());
    let waiting = Some(3);
    let host = "attic".to_owned();
    let expected = NotLookedAt::Spool { host, waiting };
    assert_eq!(audit.not_known[0].what, expected, "as its ledger says");
}

#[test]
fn g03_a_session_that_is_older_than_the_counting_cannot_be_told_nor_can_its_rollups() {
    let mut older = closed(0, 0);
    older.counts.is_counted = false;
    let mut evidence = of(vec![older, closed(20, 4)]);
    evidence.rollups[0].count = 99;
    let audit = whole(&evidence);
    assert_eq!(audit.verdict, Verdict::CannotTell);
    assert_eq!(audit.not_known[0].what, NotLookedAt::Older);
    // Two hours later nothing of it is left.
    let later = Timestamp::from_micros(START.as_micros() + 2 * HOUR_US);
    evidence.rollups[0].hour_at = later;
    let audit = whole(&evidence);
    let differs = audit.holes.iter().filter(|hole| hole.from == later);
    assert_eq!(differs.map(|hole| hole.count).sum::<u64>(), 99);
}

#[test]
fn g03_a_running_session_is_judged_by_its_last_write() {
    let mut session = closed(0, 5);
    session.status = SessionStatus::Running;
    session.counts.is_final = false;
    session.stopped_at = None;
    session.ledger.waiting = 2;
    assert_eq!(whole(&of(vec![session.clone()])).verdict, Verdict::Complete);
    // Its own counters are newer than its row.
    let mut live = LiveSession::new(session.session.clone(), true);
    live.waiting = 4;
    let whole = super::audit(
        &of(vec![session.clone()]),
        &[live.clone()],
        &Window::default(),
    );
    assert_eq!((whole.verdict, whole.waiting), (Verdict::Complete, 4));
    live.ledger = Some(Ledger {
        offered: 9,
        stored: 9,
        recovered: 3,
        ..Ledger::default()
    });
    let audit = audit(&of(vec![session]), &[live], &Window::default());
    assert_eq!(audit.holes[0].cause, Cause::NeverStored);
    assert_eq!(audit.holes[0].count, 1, "three of the nine were others'");
}

#[test]
fn g03_losses_are_told_once_and_only_looked_for_where_all_of_them_are_in_the_window() {
    let mut session = closed(0, 5);
    session.ledger.add_dropped(DropReason::Overflow, 4);
    session.ledger.offered += 4;
    let id = session.session.id;
    let mut evidence = of(vec![session]);
    evidence.gaps.push(Gap {
        session: id,
        reason: DropReason::Overflow.into(),
        count: 3,
        first_at: at(1),
        last_at: at(2),
        entities: Vec::new(),
    });
    let audit = |window: &Window| {
        let audit = super::audit(&evidence, &[], window);
        let counts = audit.holes.iter().map(|hole| hole.count);
        (audit.dropped, counts.collect::<Vec<_>>())
    };
    assert_eq!(audit(&Window::default()), (4, vec![1, 3]));
    assert_eq!(audit(&Window::since(at(0))), (4, vec![1, 3]));
    assert_eq!(audit(&Window::since(at(1))), (3, vec![3]));
    let until = |to| Window {
        to: Some(to),
        ..Window::default()
    };
    assert_eq!(audit(&until(at(10))), (3, vec![3]));
    assert_eq!(audit(&until(at(11))), (4, vec![1, 3]));
}

#[test]
fn g03_each_cause_has_words_of_its_own() {
    let causes = [
        Cause::Dropped(DropReason::Overflow),
        Cause::RowsGone,
        Cause::RowsAppeared,
        Cause::NeverStored,
        Cause::Unaccounted,
        Cause::RollupsDiffer,
    ];
    let mut words = causes.map(Cause::as_str).to_vec();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), causes.len());
    assert_eq!(Verdict::CannotTell.as_str(), "cannot tell");
}

#[test]
fn g03_a_dead_process_that_nobody_has_marked_yet_and_one_without_a_row_cannot_be_told() {
    let mut session = closed(0, 5);
    session.status = SessionStatus::Running;
    session.counts.is_final = false;
    session.stopped_at = None;
    let mut dead = LiveSession::new(session.session.clone(), false);
    dead.waiting = 300;
    let evidence = of(vec![session]);
    let unstored = Session::new(SessionId::new(at(50)), "attic", at(50));
    let mut unstored = LiveSession::new(unstored, true);
    unstored.waiting = 7;
    for (live, waiting, from) in [(dead, 300, at(10)), (unstored, 7, at(50))] {
        let audit = audit(&evidence, &[live], &Window::default());
        let what = NotLookedAt::Spool {
            host: "attic".into(),
            waiting: Some(waiting),
        };
        assert_eq!(audit.verdict, Verdict::CannotTell);
        assert_eq!(
            (audit.not_known[0].what.clone(), audit.not_known[0].from),
            (what, from)
        );
    }
}

#[test]
fn g03_what_is_not_known_of_a_crash_ends_with_the_next_start_on_its_machine() {
    let mut crashed = closed(0, 5);
    crashed.status = SessionStatus::Crashed;
    crashed.counts.is_final = false;
    crashed.ledger.durability = None;
    let evidence = of(vec![crashed, closed(500, 2)]);
    let verdict = |from, to| {
        let window = Window {
            from: Some(at(from)),
            to: Some(at(to)),
            session: None,
        };
        audit(&evidence, &[], &window).verdict
    };
    assert_eq!(verdict(100, 200), Verdict::CannotTell);
    assert_eq!(
        verdict(0, 5),
        Verdict::Complete,
        "before its last heartbeat"
    );
    assert_eq!(verdict(501, 600), Verdict::Complete, "after the next start");
}

#[test]
fn g03_a_rebuilt_ledger_cannot_be_told_and_losses_of_others_are_told_once() {
    let mut rebuilt = closed(0, 5);
    rebuilt.ledger.is_rebuilt = true;
    let audit = whole(&of(vec![rebuilt]));
    assert_eq!(audit.not_known[0].what, NotLookedAt::Rebuilt);
    // It took over seven records of another session, of which five were damaged.
    let mut taker = closed(20, 5);
    taker.ledger.add_recovered(2, &[(DropReason::Damaged, 5)]);
    let dead = closed(0, 3);
    let damaged = Gap {
        session: dead.session.id,
        reason: DropReason::Damaged.into(),
        count: 5,
        first_at: at(21),
        last_at: at(21),
        entities: Vec::new(),
    };
    let counts = |taker: &StoredSession| {
        let mut evidence = of(vec![dead.clone(), taker.clone()]);
        evidence.gaps.push(damaged.clone());
        let audit = whole(&evidence);
        let counts = audit.holes.iter().map(|hole| hole.count);
        (audit.dropped, counts.collect::<Vec<_>>())
    };
    assert_eq!(counts(&taker), (5, vec![5]));
    taker.ledger.add_dropped(DropReason::Overflow, 9);
    taker.ledger.offered += 9;
    assert_eq!(counts(&taker), (14, vec![9, 5]));
}

#[test]
fn g03_idle_time_is_clipped_to_the_window() {
    let evidence = of(vec![closed(500, 2)]);
    let idle = |from, to| {
        let window = Window {
            from: Some(at(from)),
            to: Some(at(to)),
            session: None,
        };
        audit(&evidence, &[], &window).idle
    };
    assert_eq!(idle(0, 300), [(at(0), at(300))]);
    assert_eq!(idle(0, 900), [(at(0), at(500)), (at(510), at(900))]);
    assert_eq!(idle(505, 540), []);
}
