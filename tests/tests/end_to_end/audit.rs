//! Clause G3: histories that were damaged in known ways, each of which an audit names. That histories are complete
//! after crashes is judged where processes are killed (`torture.rs`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use command_executor::diagnosis::{Audit, Cause, NotLookedAt, Verdict, audit};
use command_executor::{
    DropReason, History, LiveSession, PageRequest, Progress, SqliteHistory, Window,
};
use fastrand::Rng;

use crate::torture::{Cell, setting};

/// Audits a whole database, as somebody who sees this live state.
pub(crate) fn audited(database: &Path, live: &[LiveSession]) -> Audit {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let history = SqliteHistory::new(database.to_str().unwrap()).unwrap();
    let evidence = history.evidence(Window::default(), Progress::ignored());
    let evidence = runtime.block_on(evidence).unwrap();
    audit(&evidence, live, &Window::default())
}

fn sessions(database: &Path) -> Vec<LiveSession> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let history = SqliteHistory::new(database.to_str().unwrap()).unwrap();
    let page = runtime.block_on(history.sessions(PageRequest::default()));
    let sessions = page.unwrap().items.into_iter();
    let live = sessions.map(|it| {
        let mut live = LiveSession::new(it.session, true);
        live.ledger = Some(it.ledger);
        live
    });
    live.collect()
}

/// A kind of damage: what is done to the database, with a number that varies, and what must be said of it.
struct Damage {
    does: &'static str,
    says: Says,
}

/// What an audit must say of so many records.
enum Says {
    Hole(Cause),
    NotKnown(fn(&NotLookedAt) -> bool),
}

/// `#` is replaced by a small number. Sessions that stored nothing are left alone.
const DAMAGES: [Damage; 12] = [
    Damage {
        does: "DELETE FROM executions WHERE id IN (SELECT id FROM executions ORDER BY id LIMIT #)",
        says: Says::Hole(Cause::RowsGone),
    },
    Damage {
        does: "DELETE FROM executions WHERE id IN (SELECT id FROM executions ORDER BY id DESC LIMIT #)",
        says: Says::Hole(Cause::RowsGone),
    },
    Damage {
        does: "INSERT INTO executions (id, execution_id, kind, status, session_id, start_us, duration_us) \
               SELECT -id, randomblob(16), kind, status, session_id, start_us, duration_us FROM executions \
               ORDER BY id LIMIT #",
        says: Says::Hole(Cause::RowsAppeared),
    },
    Damage {
        does: "UPDATE session_hours SET stored = stored + # WHERE rowid_of_first",
        says: Says::Hole(Cause::RowsGone),
    },
    Damage {
        does: "UPDATE session_hours SET pruned = pruned + # WHERE rowid_of_first",
        says: Says::Hole(Cause::RowsAppeared),
    },
    Damage {
        does: "UPDATE sessions SET offered = offered + #, stored = stored + # WHERE id = (SELECT max(session_id) FROM session_hours)",
        says: Says::Hole(Cause::NeverStored),
    },
    Damage {
        does: "UPDATE sessions SET offered = offered + # WHERE id = (SELECT max(id) FROM sessions)",
        says: Says::Hole(Cause::Unaccounted),
    },
    Damage {
        does: "UPDATE sessions SET stored = stored + # WHERE id = (SELECT session_id FROM session_hours LIMIT 1)",
        says: Says::Hole(Cause::Unaccounted),
    },
    Damage {
        does: "UPDATE sessions SET offered = offered + #, dropped_overflow = # WHERE id = (SELECT max(id) FROM sessions)",
        says: Says::Hole(Cause::Dropped(DropReason::Overflow)),
    },
    Damage {
        does: "INSERT INTO gaps (session_id, reason, count, first_us, last_us) \
               SELECT id, 'damaged', #, started_us, heartbeat_us FROM sessions LIMIT 1",
        says: Says::Hole(Cause::Dropped(DropReason::Damaged)),
    },
    Damage {
        does: "UPDATE rollups SET success = success + # WHERE span_us = 3600000000",
        says: Says::Hole(Cause::RollupsDiffer),
    },
    Damage {
        does: "UPDATE sessions SET status = 'crashed', ledger_state = NULL, durability = 'process' WHERE id = (SELECT max(id) - # % 2 FROM sessions)",
        says: Says::NotKnown(|what| matches!(what, NotLookedAt::Spool { .. })),
    },
];

/// A history with crashes, takeovers and prunes, closed and rolled up.
fn history() -> (Cell, PathBuf) {
    let cell = Cell::new();
    for life in [100, 200, 300] {
        cell.kill_after(500, Duration::from_millis(life));
        cell.recover();
    }
    let database = cell.path("history.db");
    (cell, database)
}

#[test]
fn g03_an_audit_names_each_of_many_damages() {
    let trials = setting("AUDITS").unwrap_or(36);
    let seed = setting("SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed} AUDITS={trials}");
    let mut rng = Rng::with_seed(seed);
    let (_cell, whole) = history();
    let before = audited(&whole, &[]);
    assert_eq!(before.verdict, Verdict::Complete, "{before:#?}");
    assert!(before.stored > 20, "{before:#?}");
    let copies = tempfile::tempdir().unwrap();
    for trial in 0..trials {
        let damage = &DAMAGES[trial as usize % DAMAGES.len()];
        let copy = copies.path().join(format!("{trial}.db"));
        std::fs::copy(&whole, &copy).unwrap();
        let number = rng.u64(1..9);
        spoil(&copy, damage.does, number);
        check(&audited(&copy, &[]), damage, number);
    }
}

fn spoil(database: &Path, does: &str, number: u64) {
    let first = "(session_id, hour_us) = (SELECT session_id, hour_us FROM session_hours WHERE stored > 0 LIMIT 1)";
    let does = does.replace('#', &number.to_string());
    let does = does.replace("rowid_of_first", first);
    let outside = rusqlite::Connection::open(database).unwrap();
    outside.execute_batch(&does).unwrap();
}

fn check(audit: &Audit, damage: &Damage, number: u64) {
    match damage.says {
        Says::Hole(cause) => {
            assert_eq!(audit.verdict, Verdict::Incomplete, "{}", damage.does);
            let of_cause = audit.holes.iter().filter(|hole| hole.cause == cause);
            let count: u64 = of_cause.map(|hole| hole.count).sum();
            assert!(count >= number, "{}: {number} in {audit:#?}", damage.does);
        }
        Says::NotKnown(is_it) => {
            assert_eq!(audit.verdict, Verdict::CannotTell, "{}", damage.does);
            let named = audit.not_known.iter().any(|it| is_it(&it.what));
            assert!(named, "{}: {audit:#?}", damage.does);
        }
    }
}

/// A database that is set back to an earlier copy agrees with itself; the process's own counters do not agree with it.
#[test]
fn g03_a_database_that_was_set_back_is_noticed_by_what_its_process_was_told() {
    let cell = Cell::new();
    cell.kill_after(500, Duration::from_millis(400));
    cell.recover();
    let (database, copy) = (cell.path("history.db"), cell.path("copy.db"));
    let told = sessions(&database);
    assert_eq!(audited(&database, &told).verdict, Verdict::Complete);
    std::fs::copy(&database, &copy).unwrap();
    let lose = "DELETE FROM executions; UPDATE session_hours SET stored = 0; DELETE FROM rollups; \
                UPDATE sessions SET offered = 0, stored = 0, recovered = 0";
    spoil(&copy, lose, 0);
    assert_eq!(audited(&copy, &[]).verdict, Verdict::Complete);
    let audit = audited(&copy, &told);
    assert_eq!(audit.verdict, Verdict::Incomplete);
    let causes = audit.holes.iter().map(|hole| hole.cause);
    assert!(
        causes.clone().all(|cause| cause == Cause::NeverStored),
        "{audit:#?}"
    );
    assert!(causes.count() > 0);
}
