//! Deletes what the history knows of times long past: sessions without rows and all that belongs to them, and hours of
//! which no row is left.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable};
use executor_core::Timestamp;

use crate::periods::{DAY_US, HOUR_US, day_of};
use crate::postgres::open::Open;
use crate::postgres::transaction::Connected;
use crate::postgres::write::Number;

/// Deletes a slice of it, inside the caller's transaction, and returns the number of rows deleted.
pub(super) fn forget(open: &mut Open, before: Timestamp, max: u32) -> QueryResult<u64> {
    let cut = cut(open, before)?;
    let gone = sessions(open, cut, max)? + of_no_session(open, cut, max)?;
    Ok(gone + hours(open, cut)?)
}

#[derive(QueryableByName)]
struct Time {
    #[diesel(sql_type = Nullable<BigInt>)]
    at: Option<i64>,
}

fn time(open: &mut Open, question: &str) -> QueryResult<Option<i64>> {
    let row: Time = diesel::sql_query(question).get_result(open.connection())?;
    Ok(row.at)
}

const fn begin_of_day(at: i64) -> i64 {
    day_of(at).saturating_mul(DAY_US)
}

/// Returns the beginning of the day from which on everything stays, because of its age or because of a row.
fn cut(open: &mut Open, before: Timestamp) -> QueryResult<i64> {
    let oldest = time(open, "SELECT min(ended_us) AS at FROM executor.executions")?;
    Ok(begin_of_day(
        before.as_micros().min(oldest.unwrap_or(i64::MAX)),
    ))
}

/// Deletes sessions that ended before, and all that belongs to them. What refers to them goes with them.
fn sessions(open: &mut Open, cut: i64, max: u32) -> QueryResult<u64> {
    let question = "SELECT s.id AS number FROM executor.sessions s \
                    WHERE coalesce(s.stopped_us, s.heartbeat_us) < $1 AND s.is_counted \
                    AND NOT EXISTS (SELECT FROM executor.session_hours h WHERE h.session_id = s.id \
                                    AND (h.hour_us >= $1 OR h.stored > h.pruned)) ORDER BY s.id LIMIT $2";
    let gone: Vec<Number> = diesel::sql_query(question)
        .bind::<BigInt, _>(cut)
        .bind::<BigInt, _>(i64::from(max))
        .load(open.connection())?;
    let gone: Vec<i64> = gone.into_iter().map(|it| it.number).collect();
    if gone.is_empty() {
        return Ok(0);
    }
    let of_gone = |open: &mut Open, table: &str, column: &str| {
        let delete = format!("DELETE FROM executor.{table} WHERE {column} = ANY ($1)");
        diesel::sql_query(delete)
            .bind::<Array<BigInt>, _>(&gone)
            .execute(open.connection())
    };
    for table in ["gaps", "session_hours"] {
        of_gone(open, table, "session_id")?;
    }
    Ok(of_gone(open, "sessions", "id")? as u64)
}

/// Deletes what ended before, whoever noted it.
fn of_no_session(open: &mut Open, cut: i64, max: u32) -> QueryResult<u64> {
    let mut gone = 0;
    for (table, end) in [
        ("missed_runs", "last_due_us"),
        ("prunes", "last_us"),
        ("pauses", "until_us"),
        ("actions", "at_us"),
        ("schedules", "until_us"),
    ] {
        let delete = format!(
            "DELETE FROM executor.{table} WHERE id IN \
             (SELECT id FROM executor.{table} WHERE {end} < $1 ORDER BY id LIMIT $2)"
        );
        gone += diesel::sql_query(delete)
            .bind::<BigInt, _>(cut)
            .bind::<BigInt, _>(i64::from(max))
            .execute(open.connection())? as u64;
    }
    for (table, end) in [
        ("session_registrations", "until_us"),
        ("source_topics", "hour_us"),
    ] {
        let delete = format!("DELETE FROM executor.{table} WHERE {end} < $1");
        gone += diesel::sql_query(delete)
            .bind::<BigInt, _>(cut)
            .execute(open.connection())? as u64;
    }
    Ok(gone)
}

/// Deletes the rollups of the oldest day. The counts of sessions go with their sessions: a session that stays is compared
/// with all of its hours, and an hour that has counts keeps its rollups, so that the two never differ.
fn hours(open: &mut Open, cut: i64) -> QueryResult<u64> {
    let counted = time(
        open,
        "SELECT min(hour_us) AS at FROM executor.session_hours",
    )?;
    let spans = format!("span_us IN ({HOUR_US}, {DAY_US})");
    let oldest = format!("SELECT min(start_us) AS at FROM executor.rollups WHERE {spans}");
    let Some(oldest) = time(open, &oldest)? else {
        return Ok(0);
    };
    let until = begin_of_day(counted.unwrap_or(cut)).min(cut);
    let end = begin_of_day(oldest).saturating_add(DAY_US).min(until);
    let gone = format!("DELETE FROM executor.rollups WHERE {spans} AND start_us < $1");
    let gone = diesel::sql_query(gone);
    Ok(gone.bind::<BigInt, _>(end).execute(open.connection())? as u64)
}
