//! Deletes what the history knows of times long past: sessions without rows and all that belongs to them, and hours of
//! which no row is left.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use diesel::sqlite::SqliteConnection;
use executor_core::Timestamp;

use crate::periods::{DAY_US, HOUR_US};
use crate::sqlite::transaction::immediate;
use crate::sqlite::write::row_ids::displacement;

/// Deletes a slice of it and returns the number of rows deleted.
///
/// No index leads from a session to its executions, so the check of that reference would read all of them for each
/// session: it is switched off. The counts of its hours say that a session has none.
pub(crate) fn forget(
    connection: &mut SqliteConnection,
    before: Timestamp,
    max: u32,
) -> QueryResult<u64> {
    connection.batch_execute("PRAGMA foreign_keys = OFF")?;
    let done = immediate(connection, |connection| {
        let cut = cut(connection, before)?;
        let gone = sessions(connection, cut, max)? + of_no_session(connection, cut, max)?;
        Ok(gone + hours(connection, cut)?)
    });
    connection.batch_execute("PRAGMA foreign_keys = ON")?;
    done
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = Nullable<BigInt>)]
    number: Option<i64>,
}

fn number(connection: &mut SqliteConnection, question: &str) -> QueryResult<Option<i64>> {
    let row: Number = diesel::sql_query(question).get_result(connection)?;
    Ok(row.number)
}

/// Returns the beginning of the day from which on everything stays, because of its age or because of a row.
fn cut(connection: &mut SqliteConnection, before: Timestamp) -> QueryResult<i64> {
    let oldest = number(connection, "SELECT min(id) AS number FROM executions")?;
    // An id is never before the end of its execution, and never further after it than this.
    let displacement = displacement(connection)?;
    let ended = oldest.map_or(i64::MAX, |id| id.saturating_sub(displacement));
    let cut = before.as_micros().min(ended);
    Ok(day_of(cut))
}

/// Deletes sessions that ended before, and all that belongs to them.
fn sessions(connection: &mut SqliteConnection, cut: i64, max: u32) -> QueryResult<u64> {
    connection.batch_execute(&format!(
        "CREATE TEMP TABLE IF NOT EXISTS gone (id INTEGER PRIMARY KEY); DELETE FROM temp.gone; \
         INSERT INTO temp.gone SELECT s.id FROM sessions s \
         WHERE coalesce(s.stopped_us, s.heartbeat_us) < {cut} AND s.is_counted = 1 \
         AND NOT EXISTS (SELECT 1 FROM session_hours h WHERE h.session_id = s.id \
                         AND (h.hour_us >= {cut} OR h.stored > h.pruned)) LIMIT {max}"
    ))?;
    connection.batch_execute(
        "DELETE FROM gap_entities WHERE gap_id IN \
             (SELECT id FROM gaps WHERE session_id IN (SELECT id FROM temp.gone)); \
         DELETE FROM gaps WHERE session_id IN (SELECT id FROM temp.gone); \
         DELETE FROM source_topics WHERE source_id IN \
             (SELECT id FROM sources WHERE session_id IN (SELECT id FROM temp.gone)); \
         DELETE FROM source_bad_lines WHERE source_id IN \
             (SELECT id FROM sources WHERE session_id IN (SELECT id FROM temp.gone)); \
         DELETE FROM sources WHERE session_id IN (SELECT id FROM temp.gone); \
         DELETE FROM session_hours WHERE session_id IN (SELECT id FROM temp.gone); \
         DELETE FROM session_registrations WHERE session_id IN (SELECT id FROM temp.gone); \
         DELETE FROM pauses WHERE session_id IN (SELECT id FROM temp.gone); \
         DELETE FROM prunes WHERE session_id IN (SELECT id FROM temp.gone); \
         UPDATE missed_runs SET session_id = NULL WHERE session_id IN (SELECT id FROM temp.gone); \
         UPDATE actions SET session_id = NULL WHERE session_id IN (SELECT id FROM temp.gone)",
    )?;
    let gone = diesel::sql_query("DELETE FROM sessions WHERE id IN (SELECT id FROM temp.gone)");
    Ok(gone.execute(connection)? as u64)
}

/// Deletes what ended before, whoever noted it.
fn of_no_session(connection: &mut SqliteConnection, cut: i64, max: u32) -> QueryResult<u64> {
    let mut gone = 0;
    for (table, end) in [
        ("missed_runs", "last_due_us"),
        ("prunes", "last_us"),
        ("pauses", "until_us"),
        ("actions", "at_us"),
        ("schedules", "until_us"),
    ] {
        gone += diesel::sql_query(format!(
            "DELETE FROM {table} WHERE id IN \
             (SELECT id FROM {table} WHERE {end} < {cut} ORDER BY id LIMIT {max})"
        ))
        .execute(connection)? as u64;
    }
    let registered = "DELETE FROM session_registrations WHERE until_us < ?1";
    gone += diesel::sql_query(registered)
        .bind::<BigInt, _>(cut)
        .execute(connection)? as u64;
    // By the table's key: it may be the largest of all.
    let topics = "DELETE FROM source_topics \
                  WHERE source_id IN (SELECT id FROM sources) AND hour_us < ?1";
    let topics = diesel::sql_query(topics).bind::<BigInt, _>(cut);
    Ok(gone + topics.execute(connection)? as u64)
}

/// Deletes the rollups of the oldest day. The counts of sessions go with their sessions: a session that stays is compared
/// with all of its hours, and an hour that has counts keeps its rollups, so that the two never differ.
fn hours(connection: &mut SqliteConnection, cut: i64) -> QueryResult<u64> {
    let counted = number(
        connection,
        "SELECT min(hour_us) AS number FROM session_hours",
    )?;
    let oldest = format!(
        "SELECT min(start_us) AS number FROM rollups WHERE span_us IN ({HOUR_US}, {DAY_US})"
    );
    let Some(oldest) = number(connection, &oldest)? else {
        return Ok(0);
    };
    let until = day_of(counted.unwrap_or(cut)).min(cut);
    let end = day_of(oldest).saturating_add(DAY_US).min(until);
    let question =
        format!("DELETE FROM rollups WHERE span_us IN ({HOUR_US}, {DAY_US}) AND start_us < ?1");
    let gone = diesel::sql_query(question).bind::<BigInt, _>(end);
    Ok(gone.execute(connection)? as u64)
}

const fn day_of(time: i64) -> i64 {
    time.saturating_sub(time.rem_euclid(DAY_US))
}
