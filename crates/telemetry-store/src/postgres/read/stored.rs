//! Rows of executions as they are read back.

use std::collections::HashSet;
use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Uuid as SqlUuid};
use executor_core::ports::{Order, StoredExecution};
use executor_core::time::micros;
use executor_core::{ExecutionId, Status};
use std::time::Duration;
use uuid::Uuid;

use crate::postgres::key::{Key, Keys};
use crate::postgres::read::asked::Asked;
use crate::read::paging::direction;
use crate::read::question::QueryError;
use crate::read::rows::execution::{ExecutionRow, LinesRow};

/// The columns of a row, by its key.
const STORED: &str = "SELECT e.ended_us AS place, uuid_send(e.execution_id) AS execution_id, e.kind::bigint AS kind, \
    e.status::bigint AS status, l.id AS listener_id, j.id AS job_id, e.start_us, e.duration_us, e.flags::bigint AS flags, \
    e.blocked_us, coalesce(e.retry_count, 0) AS retry_count, coalesce(e.attempt_number, 1) AS attempt_number, \
    e.trigger_id, e.trigger_origin, e.trigger_mode, e.args_json, e.due_us, e.exit_code::bigint AS exit_code, \
    uuid_send(s.session_uuid) AS session_uuid, e.topic AS own_topic, e.error_type, e.error_message, e.error_report, \
    coalesce(n.app_key, '?') AS app_key, coalesce(n.instance, 0) AS instance, coalesce(n.name, '?') AS name, \
    coalesce(n.topic, '') AS topic \
    FROM unnest($1, $2) AS k(ended_us, execution_id) \
    JOIN executor.executions e ON e.ended_us = k.ended_us AND e.execution_id = k.execution_id \
    JOIN executor.sessions s ON s.id = e.session_id \
    LEFT JOIN executor.entities n ON n.id = e.entity_id \
    LEFT JOIN executor.listeners l ON l.id = e.entity_id \
    LEFT JOIN executor.scheduled_jobs j ON j.id = e.entity_id \
    WHERE e.ended_us BETWEEN $3 AND $4";

/// Reads those of these rows that can be read, in this order.
pub(crate) fn by_keys(
    asked: &mut Asked<'_>,
    keys: &[Key],
    order: Order,
) -> Result<Vec<StoredExecution>, QueryError> {
    let rows = rows_of(asked.connection, keys, order)?;
    if rows.len() != keys.len() {
        note_absent(asked, keys, &rows);
    }
    let rows = rows.into_iter();
    let rows = rows.filter_map(|row| asked.left_out.readable(row.into_execution()).transpose());
    rows.collect()
}

pub(crate) fn rows_of(
    connection: &mut PgConnection,
    keys: &[Key],
    order: Order,
) -> QueryResult<Vec<ExecutionRow>> {
    let (keys, direction) = (Keys::of(keys), direction(order));
    let question = format!("{STORED} ORDER BY e.ended_us {direction}, e.execution_id {direction}");
    diesel::sql_query(question)
        .bind::<Array<BigInt>, _>(keys.ended_us)
        .bind::<Array<SqlUuid>, _>(keys.names)
        .bind::<BigInt, _>(keys.first)
        .bind::<BigInt, _>(keys.last)
        .load(connection)
}

/// All of them are read of one snapshot, so nobody has pruned them meanwhile.
fn note_absent(asked: &Asked<'_>, keys: &[Key], rows: &[ExecutionRow]) {
    let read: HashSet<&[u8]> = rows.iter().map(|row| &*row.execution_id).collect();
    for key in keys {
        let name = key.execution_id;
        if !read.contains(&name.as_bytes()[..]) {
            let what = format!("the execution {name}, or the row of its session, cannot be read");
            asked.left_out.note(what);
        }
    }
}

/// The time around an id's own in which most executions end.
const BEFORE: Duration = Duration::from_secs(86_400);
const AFTER: Duration = Duration::from_secs(2 * 86_400);

pub(crate) fn by_execution_id(
    asked: &mut Asked<'_>,
    id: ExecutionId,
) -> Result<Option<StoredExecution>, QueryError> {
    let Some(key) = key_of(asked, *id.as_uuid())? else {
        return Ok(None);
    };
    let Some(mut execution) = by_keys(asked, &[key], Order::LatestFirst)?.pop() else {
        let damage = format!("the execution {} cannot be read", key.execution_id);
        return Err(QueryError::Damaged(damage));
    };
    execution.record.lines = lines(asked.connection, key)?
        .map(LinesRow::into_lines)
        .map(Arc::new);
    Ok(Some(execution))
}

#[derive(QueryableByName)]
struct Place {
    #[diesel(embed)]
    key: Key,
    #[diesel(sql_type = Bool)]
    is_interrupted: bool,
}

/// Where an execution is. What a dead process left may have been recorded as interrupted before its own record came, which
/// may be far away.
fn key_of(asked: &mut Asked<'_>, name: Uuid) -> QueryResult<Option<Key>> {
    let made = name.get_timestamp().map(|at| at.to_unix());
    let made = made.map(|(seconds, nanos)| micros(Duration::new(seconds, nanos)));
    let near = made.map(|at| at.saturating_sub(micros(BEFORE))..at.saturating_add(micros(AFTER)));
    let interrupted = Status::Interrupted.code();
    let question = format!(
        "SELECT ended_us, execution_id, status = {interrupted} AS is_interrupted FROM executor.executions \
         WHERE execution_id = $1 AND ended_us >= $2 AND ended_us < $3 ORDER BY status = {interrupted}, ended_us LIMIT 1"
    );
    let mut last = None;
    for window in near.into_iter().chain(std::iter::once(i64::MIN..i64::MAX)) {
        let found: Option<Place> = diesel::sql_query(&question)
            .bind::<SqlUuid, _>(name)
            .bind::<BigInt, _>(window.start)
            .bind::<BigInt, _>(window.end)
            .get_result(asked.connection)
            .optional()?;
        match found {
            Some(found) if !found.is_interrupted => return Ok(Some(found.key)),
            found => last = found.or(last),
        }
    }
    Ok(last.map(|found| found.key))
}

/// Returns what an execution said. Only for one at a time: they may be large.
fn lines(connection: &mut PgConnection, key: Key) -> QueryResult<Option<LinesRow>> {
    let question = "SELECT lines, total_lines, total_bytes, flags::bigint AS flags, body FROM executor.execution_lines \
                    WHERE ended_us = $1 AND execution_id = $2";
    diesel::sql_query(question)
        .bind::<BigInt, _>(key.ended_us)
        .bind::<SqlUuid, _>(key.execution_id)
        .get_result(connection)
        .optional()
}
