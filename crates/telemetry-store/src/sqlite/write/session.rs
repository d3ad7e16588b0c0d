//! The rows of sessions. [`crate::liveness`] tells whether a session's process is alive.

use std::ops::Range;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use executor_core::ports::{Lifetime, Session, SessionEnd, SessionStatus};
use executor_core::{DropReason, Durability, Ledger, SessionId, Timestamp};

use crate::codes::final_state;
use crate::sqlite::schema::{executions, sessions};
use crate::sqlite::transaction::immediate;
use crate::sqlite::write::row_ids::displacement;

/// A session's row, as far as storing its records needs to know it.
#[derive(Clone, Copy)]
pub(crate) struct SessionRow {
    pub(crate) row: i64,
    pub(crate) is_running: bool,
}

/// Returns the session's row, and writes it if it is missing.
pub(crate) fn ensure(
    connection: &mut SqliteConnection,
    session: &Session,
) -> QueryResult<SessionRow> {
    let known: Option<(i64, String)> = sessions::table
        .filter(sessions::session_uuid.eq(session.id.as_uuid().as_bytes().as_slice()))
        .select((sessions::id, sessions::status))
        .first(connection)
        .optional()?;
    if let Some((row, status)) = known {
        let is_running = status == SessionStatus::Running.as_str();
        return Ok(SessionRow { row, is_running });
    }
    let started_us = session.started_at.as_micros();
    let row = diesel::insert_into(sessions::table)
        .values((
            sessions::session_uuid.eq(session.id.as_uuid().as_bytes().as_slice()),
            sessions::host.eq(&session.host),
            sessions::pid.eq(i64::from(session.pid)),
            sessions::started_us.eq(started_us),
            sessions::heartbeat_us.eq(started_us),
            sessions::status.eq(SessionStatus::Running.as_str()),
            sessions::is_counted.eq(1),
            sessions::program.eq(&session.program),
            sessions::version.eq(&session.version),
            sessions::config_hash.eq(&session.config_hash),
        ))
        .returning(sessions::id)
        .get_result(connection)?;
    Ok(SessionRow {
        row,
        is_running: true,
    })
}

pub(crate) fn row_of(connection: &mut SqliteConnection, id: SessionId) -> QueryResult<Option<i64>> {
    sessions::table
        .filter(sessions::session_uuid.eq(id.as_uuid().as_bytes().as_slice()))
        .select(sessions::id)
        .first(connection)
        .optional()
}

/// Returns the session's row and the range of ids that contains its executions; both ends belong to the range.
pub(crate) fn ids_of(
    connection: &mut SqliteConnection,
    id: SessionId,
) -> QueryResult<Option<(i64, Range<i64>)>> {
    let row: Option<(i64, i64, Option<i64>)> = sessions::table
        .filter(sessions::session_uuid.eq(id.as_uuid().as_bytes().as_slice()))
        .select((sessions::id, sessions::started_us, sessions::stopped_us))
        .first(connection)
        .optional()?;
    let Some((row, started, stopped)) = row else {
        return Ok(None);
    };
    // A session marked as crashed may have written after its last heartbeat.
    let slack = HEARTBEAT_SLACK_US.saturating_add(displacement(connection)?);
    let end = stopped.map_or(i64::MAX, |at| at.saturating_add(slack));
    Ok(Some((row, started.saturating_sub(START_SLACK_US)..end)))
}

/// The lifetimes of the newest sessions, in the order of their rows.
pub(crate) fn lifetimes(connection: &mut SqliteConnection, max: u32) -> QueryResult<Vec<Lifetime>> {
    let rows: Vec<(Vec<u8>, i64, i64, Option<i64>)> = sessions::table
        .order(sessions::id.desc())
        .limit(i64::from(max))
        .select((
            sessions::session_uuid,
            sessions::started_us,
            sessions::heartbeat_us,
            sessions::stopped_us,
        ))
        .load(connection)?;
    let lifetimes = rows
        .into_iter()
        .rev()
        .map(|(name, started, heartbeat, stopped)| Lifetime {
            // A session with a malformed id has lived all the same.
            session: SessionId::from_uuid(uuid::Uuid::from_slice(&name).unwrap_or_default()),
            started_at: Timestamp::from_micros(started),
            last_sign_at: Timestamp::from_micros(stopped.unwrap_or(heartbeat).max(heartbeat)),
        });
    Ok(lifetimes.collect())
}

/// The time by which a session's clock may have been set back right after it began.
const START_SLACK_US: i64 = 2_000_000;

/// The time for which a session may go on after the heartbeat that became its end.
const HEARTBEAT_SLACK_US: i64 = 3_600_000_000;

pub(crate) fn heartbeat(
    connection: &mut SqliteConnection,
    id: SessionId,
    known: Option<&Session>,
    at: Timestamp,
    ledger: &Ledger,
) -> QueryResult<()> {
    // Its row may never have been written, or have gone with the file it was in.
    if let Some(session) = known {
        ensure(connection, session)?;
    }
    let open = sessions::table
        .filter(sessions::session_uuid.eq(id.as_uuid().as_bytes().as_slice()))
        .filter(sessions::status.eq(SessionStatus::Running.as_str()));
    diesel::update(open)
        .set((
            sessions::heartbeat_us.eq(at.as_micros()),
            LedgerColumns::from(ledger),
        ))
        .execute(connection)?;
    Ok(())
}

/// Ends a session. It is an error if the session has no row and is not `known`, so that none can be written.
pub(crate) fn close(
    connection: &mut SqliteConnection,
    id: SessionId,
    known: Option<&Session>,
    end: &SessionEnd,
) -> QueryResult<()> {
    if let Some(session) = known {
        ensure(connection, session)?;
    }
    let failure = end.failure.as_ref();
    let row = sessions::table.filter(sessions::session_uuid.eq(id.as_uuid().as_bytes().as_slice()));
    diesel::update(row)
        .set((
            sessions::stopped_us.eq(end.at.as_micros()),
            sessions::heartbeat_us.eq(end.at.as_micros()),
            sessions::status.eq(end.status.as_str()),
            sessions::ledger_state.eq(final_state(&end.ledger)),
            sessions::error_type.eq(failure.map(|failure| &failure.error_type)),
            sessions::error_message.eq(failure.map(|failure| &failure.message)),
            sessions::error_report.eq(failure.and_then(|failure| failure.report.as_ref())),
            LedgerColumns::from(&end.ledger),
        ))
        .execute(connection)
        .and_then(|rows| {
            if rows == 0 {
                Err(diesel::result::Error::NotFound)
            } else {
                Ok(())
            }
        })
}

/// Replaces the ledger of a session, whatever its status.
pub(crate) fn amend(
    connection: &mut SqliteConnection,
    id: SessionId,
    ledger: &Ledger,
) -> QueryResult<()> {
    let row = sessions::table.filter(sessions::session_uuid.eq(id.as_uuid().as_bytes().as_slice()));
    diesel::update(row)
        .set((
            LedgerColumns::from(ledger),
            sessions::ledger_state.eq(final_state(ledger)),
        ))
        .execute(connection)?;
    Ok(())
}

/// Returns how many of a session's own records are known to be stored: its rows, or its ledger's count if greater.
pub(crate) fn stored_count(connection: &mut SqliteConnection, id: SessionId) -> QueryResult<u64> {
    let row: Option<(i64, i64, i64)> = sessions::table
        .filter(sessions::session_uuid.eq(id.as_uuid().as_bytes().as_slice()))
        .select((sessions::id, sessions::stored, sessions::recovered))
        .first(connection)
        .optional()?;
    let Some((row, stored, recovered)) = row else {
        return Ok(0);
    };
    let rows: i64 = executions::table
        .filter(executions::session_id.eq(row))
        .count()
        .get_result(connection)?;
    Ok(u64::try_from(rows.max(stored.saturating_sub(recovered))).unwrap_or(0))
}

/// Returns the sessions that nobody has ended. Skips a row with a malformed id, which is no reason to leave
/// the others open.
fn open_ones(connection: &mut SqliteConnection) -> QueryResult<Vec<SessionId>> {
    let names: Vec<(i64, Vec<u8>)> = sessions::table
        .filter(sessions::status.eq(SessionStatus::Running.as_str()))
        .select((sessions::id, sessions::session_uuid))
        .load(connection)?;
    let named = names
        .iter()
        .filter_map(|(row, name)| match uuid::Uuid::from_slice(name) {
            Ok(uuid) => Some(SessionId::from_uuid(uuid)),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, row, "skipped a session with a malformed id");
                None
            }
        });
    Ok(named.collect())
}

/// Marks all open sessions without a live process as crashed, or none, and returns them.
pub(crate) fn mark_all_crashed(
    connection: &mut SqliteConnection,
    is_alive: impl Fn(SessionId) -> bool,
) -> QueryResult<Vec<SessionId>> {
    immediate(connection, |connection| {
        let mut gone = open_ones(connection)?;
        gone.retain(|id| !is_alive(*id));
        for id in &gone {
            mark_crashed(connection, *id)?;
        }
        Ok(gone)
    })
}

/// Marks a session as crashed. Its last heartbeat becomes its end.
fn mark_crashed(connection: &mut SqliteConnection, id: SessionId) -> QueryResult<()> {
    let open = sessions::table
        .filter(sessions::session_uuid.eq(id.as_uuid().as_bytes().as_slice()))
        .filter(sessions::status.eq(SessionStatus::Running.as_str()));
    diesel::update(open)
        .set((
            sessions::stopped_us.eq(sessions::heartbeat_us.nullable()),
            sessions::status.eq(SessionStatus::Crashed.as_str()),
        ))
        .execute(connection)?;
    Ok(())
}

#[derive(AsChangeset)]
#[diesel(table_name = sessions, treat_none_as_null = true)]
struct LedgerColumns {
    offered: i64,
    recovered: i64,
    stored: i64,
    waiting: i64,
    spooled: i64,
    filtered: i64,
    dropped_overflow: i64,
    dropped_exhausted: i64,
    dropped_constraint: i64,
    dropped_unstorable: i64,
    dropped_damaged: i64,
    dropped_shutdown: i64,
    durability: Option<&'static str>,
}

impl From<&Ledger> for LedgerColumns {
    fn from(ledger: &Ledger) -> Self {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let dropped = |reason| count(ledger.dropped(reason));
        Self {
            offered: count(ledger.offered),
            recovered: count(ledger.recovered),
            stored: count(ledger.stored),
            waiting: count(ledger.waiting),
            spooled: count(ledger.spooled),
            filtered: count(ledger.filtered),
            dropped_overflow: dropped(DropReason::Overflow),
            dropped_exhausted: dropped(DropReason::Exhausted),
            dropped_constraint: dropped(DropReason::Constraint),
            dropped_unstorable: dropped(DropReason::Unstorable),
            dropped_damaged: dropped(DropReason::Damaged),
            dropped_shutdown: dropped(DropReason::Shutdown),
            durability: ledger.durability.map(Durability::as_str),
        }
    }
}
