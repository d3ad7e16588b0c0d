//! The rows of sessions.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::BoxedSqlQuery;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use executor_core::ports::{Lifetime, Session, SessionEnd};
use executor_core::{Clock, DropReason, Durability, Ledger, SessionId, SystemClock, Timestamp};
use uuid::Uuid;

use crate::codes::final_state;
use crate::periods::DAY_US;
use crate::postgres::open::Open;
use crate::postgres::sql::{NOW, text};
use crate::postgres::transaction::Connected;
use crate::postgres::write::{Number, count};

/// A session's row, as far as storing its records needs to know it.
#[derive(Clone, Copy, QueryableByName)]
pub(crate) struct SessionRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
    #[diesel(sql_type = Bool)]
    pub(crate) is_running: bool,
    /// Whether it was taken for crashed because nobody had heard of it for a day.
    #[diesel(sql_type = Bool)]
    pub(crate) is_given_up: bool,
}

/// Returns the session's row, and writes it if it is missing.
pub(crate) fn ensure(open: &mut Open, session: &Session) -> QueryResult<SessionRow> {
    if let Some(row) = find(open, session.id)? {
        return Ok(row);
    }
    // Only where it is missing: a conflict costs a number of the sequence each time.
    let insert = "INSERT INTO executor.sessions \
                  (session_uuid, host, pid, started_us, heartbeat_us, status, program, version, config_hash, home) \
                  VALUES ($1, $2, $3, $4, $4, 'running', $5, $6, $7, $8) ON CONFLICT (session_uuid) DO NOTHING";
    let optional = |word: &Option<String>| word.as_deref().map(|word| text(word).into_owned());
    diesel::sql_query(insert)
        .bind::<SqlUuid, _>(*session.id.as_uuid())
        .bind::<Text, _>(text(&session.host))
        .bind::<BigInt, _>(i64::from(session.pid))
        .bind::<BigInt, _>(session.started_at.as_micros())
        .bind::<Nullable<Text>, _>(optional(&session.program))
        .bind::<Nullable<Text>, _>(optional(&session.version))
        .bind::<Nullable<Text>, _>(optional(&session.config_hash))
        .bind::<Nullable<SqlUuid>, _>(open.home)
        .execute(open.connection())?;
    find(open, session.id)?.ok_or(diesel::result::Error::NotFound)
}

fn find(open: &mut Open, id: SessionId) -> QueryResult<Option<SessionRow>> {
    let question = "SELECT id, status = 'running' AS is_running, status = 'crashed' AND ledger_state IS NULL AS is_given_up \
                    FROM executor.sessions WHERE session_uuid = $1";
    diesel::sql_query(question)
        .bind::<SqlUuid, _>(*id.as_uuid())
        .get_result(open.connection())
        .optional()
}

pub(crate) fn row_of(open: &mut Open, id: SessionId) -> QueryResult<Option<i64>> {
    Ok(find(open, id)?.map(|it| it.id))
}

/// Makes a session that was taken for crashed running again: its process has given a sign of life.
pub(crate) fn revive(open: &mut Open, row: SessionRow) -> QueryResult<()> {
    let revive = "UPDATE executor.sessions SET status = 'running', stopped_us = NULL \
                  WHERE id = $1 AND status = 'crashed' AND ledger_state IS NULL";
    diesel::sql_query(revive)
        .bind::<BigInt, _>(row.id)
        .execute(open.connection())
        .map(drop)
}

/// Marks sessions as crashed of which nobody has heard for a day, wherever they are. Who has only just reached the server
/// may have been cut off itself.
fn give_up_silent_ones(open: &mut Open) -> QueryResult<()> {
    if open.since.elapsed() < open.judges_after {
        return Ok(());
    }
    let mark = format!(
        "UPDATE executor.sessions SET status = 'crashed', stopped_us = heartbeat_us \
         WHERE status = 'running' AND seen_us < {NOW} - {DAY_US}"
    );
    let gone = diesel::sql_query(mark).execute(open.connection())?;
    if gone > 0 {
        tracing::warn!(
            sessions = gone,
            "marked as crashed what was silent for a day"
        );
    }
    Ok(())
}

/// Columns of a ledger; `$1` is the session's name.
const LEDGER: &str = "offered = $2, recovered = $3, stored = $4, waiting = $5, spooled = $6, filtered = $7, \
    dropped_overflow = $8, dropped_exhausted = $9, dropped_constraint = $10, dropped_unstorable = $11, \
    dropped_damaged = $12, dropped_shutdown = $13, durability = $14";

/// An update of a session with a ledger; the next bind is `$15`.
fn update<'q>(
    more: &str,
    id: SessionId,
    ledger: &Ledger,
) -> BoxedSqlQuery<'q, Pg, diesel::query_builder::SqlQuery> {
    let dropped = |reason| count(ledger.dropped(reason));
    let counts = [
        count(ledger.offered),
        count(ledger.recovered),
        count(ledger.stored),
        count(ledger.waiting),
        count(ledger.spooled),
        count(ledger.filtered),
        dropped(DropReason::Overflow),
        dropped(DropReason::Exhausted),
        dropped(DropReason::Constraint),
        dropped(DropReason::Unstorable),
        dropped(DropReason::Damaged),
        dropped(DropReason::Shutdown),
    ];
    let update = format!("UPDATE executor.sessions SET {LEDGER}, seen_us = {NOW}, {more}");
    let update = diesel::sql_query(update).into_boxed::<Pg>();
    let mut update = update.bind::<SqlUuid, _>(*id.as_uuid());
    for count in counts {
        update = update.bind::<BigInt, _>(count);
    }
    update.bind::<Nullable<Text>, _>(ledger.durability.map(Durability::as_str))
}

pub(crate) fn heartbeat(
    open: &mut Open,
    id: SessionId,
    known: Option<&Session>,
    at: Timestamp,
    ledger: &Ledger,
) -> QueryResult<()> {
    // Its row may never have been written, or have gone with the server that it was on.
    if let Some(session) = known {
        let row = ensure(open, session)?;
        if row.is_given_up {
            revive(open, row)?;
        }
    }
    let more = format!(
        "heartbeat_us = $15, clock_off_us = $16 - {NOW} WHERE session_uuid = $1 AND status = 'running'"
    );
    // The heartbeat may have waited in line.
    let own_time = SystemClock.now().wall;
    update(&more, id, ledger)
        .bind::<BigInt, _>(at.as_micros())
        .bind::<BigInt, _>(own_time.as_micros())
        .execute(open.connection())?;
    give_up_silent_ones(open)
}

/// Ends a session. It is an error if the session has no row and is not `known`, so that none can be written.
pub(crate) fn close(
    open: &mut Open,
    id: SessionId,
    known: Option<&Session>,
    end: &SessionEnd,
) -> QueryResult<()> {
    if let Some(session) = known {
        ensure(open, session)?;
    }
    let failure = end.failure.as_ref();
    let of_failure = |word: Option<&str>| word.map(|word| text(word).into_owned());
    let more = "stopped_us = $15, heartbeat_us = $15, status = $16, ledger_state = $17, error_type = $18, \
                error_message = $19, error_report = $20 WHERE session_uuid = $1";
    let changed = update(more, id, &end.ledger)
        .bind::<BigInt, _>(end.at.as_micros())
        .bind::<Text, _>(end.status.as_str())
        .bind::<Text, _>(final_state(&end.ledger))
        .bind::<Nullable<Text>, _>(of_failure(failure.map(|it| &*it.error_type)))
        .bind::<Nullable<Text>, _>(of_failure(failure.map(|it| &*it.message)))
        .bind::<Nullable<Text>, _>(of_failure(failure.and_then(|it| it.report.as_deref())))
        .execute(open.connection())?;
    match changed {
        0 => Err(diesel::result::Error::NotFound),
        _ => Ok(()),
    }
}

/// Replaces the ledger of a session, whatever its status.
pub(crate) fn amend(open: &mut Open, id: SessionId, ledger: &Ledger) -> QueryResult<()> {
    update("ledger_state = $15 WHERE session_uuid = $1", id, ledger)
        .bind::<Text, _>(final_state(ledger))
        .execute(open.connection())?;
    Ok(())
}

/// Returns how many of a session's own records are known to be stored: its rows, or its ledger's count if greater.
pub(crate) fn stored_count(open: &mut Open, id: SessionId) -> QueryResult<u64> {
    let question = "SELECT greatest((SELECT coalesce(sum(h.stored - h.pruned), 0) FROM executor.session_hours h \
                    WHERE h.session_id = s.id), s.stored - s.recovered)::bigint AS number \
                    FROM executor.sessions s WHERE s.session_uuid = $1";
    let known: Option<Number> = diesel::sql_query(question)
        .bind::<SqlUuid, _>(*id.as_uuid())
        .get_result(open.connection())
        .optional()?;
    Ok(known.map_or(0, |it| u64::try_from(it.number).unwrap_or(0)))
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = SqlUuid)]
    name: Uuid,
}

/// Returns the sessions of this home that nobody has ended.
pub(crate) fn open_ones(open: &mut Open) -> QueryResult<Vec<SessionId>> {
    let question =
        "SELECT session_uuid AS name FROM executor.sessions WHERE status = 'running' AND home = $1";
    let names: Vec<Name> = diesel::sql_query(question)
        .bind::<Nullable<SqlUuid>, _>(open.home)
        .load(open.connection())?;
    Ok(names
        .into_iter()
        .map(|it| SessionId::from_uuid(it.name))
        .collect())
}

/// Marks sessions as crashed that nobody has ended meanwhile. Their last heartbeats become their ends.
pub(crate) fn mark_crashed(open: &mut Open, gone: &[SessionId]) -> QueryResult<()> {
    let mark = "UPDATE executor.sessions SET status = 'crashed', stopped_us = heartbeat_us \
                WHERE status = 'running' AND session_uuid = ANY ($1)";
    let names: Vec<Uuid> = gone.iter().map(|id| *id.as_uuid()).collect();
    diesel::sql_query(mark)
        .bind::<Array<SqlUuid>, _>(names)
        .execute(open.connection())?;
    Ok(())
}

#[derive(QueryableByName)]
struct Life {
    #[diesel(sql_type = SqlUuid)]
    name: Uuid,
    #[diesel(sql_type = BigInt)]
    started_us: i64,
    #[diesel(sql_type = BigInt)]
    heartbeat_us: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    stopped_us: Option<i64>,
}

/// The lifetimes of the newest sessions, in the order of their rows.
pub(crate) fn lifetimes(open: &mut Open, max: u32) -> QueryResult<Vec<Lifetime>> {
    let question = "SELECT session_uuid AS name, started_us, heartbeat_us, stopped_us FROM executor.sessions \
                    ORDER BY id DESC LIMIT $1";
    let lives: Vec<Life> = diesel::sql_query(question)
        .bind::<BigInt, _>(i64::from(max))
        .load(open.connection())?;
    let lifetimes = lives.into_iter().rev().map(|it| Lifetime {
        session: SessionId::from_uuid(it.name),
        started_at: Timestamp::from_micros(it.started_us),
        last_sign_at: Timestamp::from_micros(
            it.stopped_us
                .unwrap_or(it.heartbeat_us)
                .max(it.heartbeat_us),
        ),
    });
    Ok(lifetimes.collect())
}
