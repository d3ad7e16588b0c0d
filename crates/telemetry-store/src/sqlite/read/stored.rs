//! Rows of executions as they are read back.

use std::collections::HashSet;
use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};
use diesel::sqlite::SqliteConnection;
use executor_core::ExecutionId;
use executor_core::lines::Lines;
use executor_core::ports::{Order, StoredExecution};

use crate::read::paging::direction;
use crate::read::question::{LeftOut, QueryError};
use crate::read::rows::execution::{ExecutionRow, LinesRow};
use crate::sqlite::classify::is_damage;
use crate::sqlite::read::asked::Asked;

/// The number of rows in one query, because the length of its text is limited.
pub(crate) const ROWS_AT_ONCE: usize = 1_000;

/// Reads those of these rows that can be read, in this order.
pub(crate) fn by_rows(
    asked: &mut Asked<'_>,
    ids: &[i64],
    order: Order,
) -> Result<Vec<StoredExecution>, QueryError> {
    let (list, direction) = (listed(ids), direction(order));
    let question = format!("{STORED} e.id IN ({list}) ORDER BY e.id {direction}");
    let rows: Vec<ExecutionRow> = match diesel::sql_query(question).load(asked.connection) {
        Err(error) if is_unreadable(&error) => one_by_one(asked, ids)?,
        rows => rows?,
    };
    if rows.len() != ids.len() {
        note_absent(asked.left_out, ids, &rows);
    }
    let rows = rows.into_iter();
    let rows = rows.filter_map(|row| asked.left_out.readable(row.into_execution()).transpose());
    rows.collect()
}

/// Reads rows of which at least one is on a damaged page, or has its error there.
fn one_by_one(asked: &mut Asked<'_>, ids: &[i64]) -> QueryResult<Vec<ExecutionRow>> {
    let mut rows = Vec::new();
    for id in ids {
        match whole_row(asked.connection, *id) {
            Err(error) if is_unreadable(&error) => rows.extend(readable_part(asked, *id)?),
            row => rows.extend(row?),
        }
    }
    Ok(rows)
}

/// Reads what can be read of a row without the tables beside it.
fn readable_part(asked: &mut Asked<'_>, id: i64) -> QueryResult<Option<ExecutionRow>> {
    for (without, lacks) in [
        (WITHOUT_ERROR, "the error or topic"),
        (WITHOUT_NAME, "the error, topic or name"),
    ] {
        let row = diesel::sql_query(format!("{without} e.id = ?1")).bind::<BigInt, _>(id);
        match row.get_result(asked.connection).optional() {
            Err(error) if is_unreadable(&error) => {}
            row => {
                let what = format!("{lacks} of row {id} of executions cannot be read");
                asked.left_out.note(what);
                return row;
            }
        }
    }
    Ok(None)
}

/// Whether the row, or the page that it is on, is to blame: damage also makes columns empty that never are.
fn is_unreadable(error: &diesel::result::Error) -> bool {
    is_damage(error) || matches!(error, diesel::result::Error::DeserializationError(_))
}

/// All of them are read in one transaction, so nobody has pruned them meanwhile.
fn note_absent(left_out: &LeftOut, ids: &[i64], rows: &[ExecutionRow]) {
    let read: HashSet<i64> = rows.iter().map(|row| row.place).collect();
    for id in ids.iter().filter(|id| !read.contains(*id)) {
        let what = format!("row {id} of executions, or the row of its session, cannot be read");
        left_out.note(what);
    }
}

/// Reads a row with its error, topic and session.
fn whole_row(connection: &mut SqliteConnection, id: i64) -> QueryResult<Option<ExecutionRow>> {
    let row = diesel::sql_query(format!("{STORED} e.id = ?1")).bind::<BigInt, _>(id);
    row.get_result(connection).optional()
}

/// What every question for rows begins with.
macro_rules! executions_with {
    ($rest:literal) => {
        concat!(
            "SELECT e.id AS place, e.execution_id, e.kind, e.status, e.listener_id, e.job_id, e.start_us, e.duration_us, ",
            "e.flags, e.blocked_us, e.retry_count, e.attempt_number, e.trigger_id, e.trigger_origin, ",
            "e.trigger_mode, e.args_json, e.due_us, e.exit_code, s.session_uuid, ",
            $rest
        )
    };
}

/// Uses a cross join, so that SQLite begins with the requested rows, however many sessions there are.
const STORED: &str = executions_with!(
    "t.text AS own_topic, x.error_type, x.error_message, x.error_report,
       coalesce(l.app_key, j.app_key, o.app_key, '?') AS app_key,
       coalesce(l.instance, j.instance, o.instance, 0) AS instance,
       coalesce(l.name, j.name, o.name, '?') AS name,
       coalesce(l.topic, o.topic, '') AS topic
FROM executions e
CROSS JOIN sessions s ON s.id = e.session_id
LEFT JOIN topics t ON t.id = e.topic_id
LEFT JOIN listeners l ON l.id = e.listener_id
LEFT JOIN scheduled_jobs j ON j.id = e.job_id
LEFT JOIN execution_orphans o ON o.id = e.id
LEFT JOIN execution_errors x ON x.id = e.id
WHERE "
);

/// The same without the tables of what only some executions have.
const WITHOUT_ERROR: &str = executions_with!(
    "NULL AS own_topic, NULL AS error_type, NULL AS error_message, NULL AS error_report,
       coalesce(l.app_key, j.app_key, '?') AS app_key,
       coalesce(l.instance, j.instance, 0) AS instance,
       coalesce(l.name, j.name, '?') AS name,
       coalesce(l.topic, '') AS topic
FROM executions e
CROSS JOIN sessions s ON s.id = e.session_id
LEFT JOIN listeners l ON l.id = e.listener_id
LEFT JOIN scheduled_jobs j ON j.id = e.job_id
WHERE "
);

/// The same without the registrations too.
const WITHOUT_NAME: &str = executions_with!(
    "NULL AS own_topic, NULL AS error_type, NULL AS error_message, NULL AS error_report,
       '?' AS app_key, 0 AS instance, '?' AS name, '' AS topic
FROM executions e
CROSS JOIN sessions s ON s.id = e.session_id
WHERE "
);

pub(crate) fn by_execution_id(
    asked: &mut Asked<'_>,
    id: ExecutionId,
) -> Result<Option<StoredExecution>, QueryError> {
    asked.transaction(|asked| {
        let Some(row) = row_of(asked.connection, id)? else {
            return Ok(None);
        };
        let damage = LeftOut::default();
        let found = by_rows(&mut asked.noting_in(&damage), &[row], Order::LatestFirst)?.pop();
        let mut damage = damage.all();
        let Some(mut execution) = found else {
            return Err(QueryError::Damaged(damage.pop().unwrap_or_default()));
        };
        damage
            .into_iter()
            .for_each(|what| asked.left_out.note(what));
        let lines = match lines(asked.connection, row) {
            Err(error) if is_unreadable(&error) => {
                let what = format!("what row {row} of executions said cannot be read");
                asked.left_out.note(what);
                None
            }
            lines => lines?,
        };
        execution.record.lines = lines.map(Arc::new);
        Ok(Some(execution))
    })
}

/// The row of an execution. Where the index cannot be read, the table is searched.
fn row_of(connection: &mut SqliteConnection, id: ExecutionId) -> QueryResult<Option<i64>> {
    let mut look_in = |table: &str| {
        let question = format!("SELECT id FROM {table} WHERE execution_id = ?1");
        let name = id.as_uuid().as_bytes().to_vec();
        let row = diesel::sql_query(question).bind::<Binary, _>(name);
        row.get_result::<RowOf>(connection).optional()
    };
    let row = match look_in("executions") {
        Err(error) if is_damage(&error) => look_in("executions NOT INDEXED"),
        row => row,
    };
    Ok(row?.map(|row| row.id))
}

#[derive(QueryableByName)]
struct RowOf {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Returns what an execution said. Only for one at a time: they may be large.
fn lines(connection: &mut SqliteConnection, id: i64) -> QueryResult<Option<Lines>> {
    let question =
        "SELECT lines, total_lines, total_bytes, flags, body FROM execution_lines WHERE id = ?1";
    let row = diesel::sql_query(question).bind::<BigInt, _>(id);
    let row: Option<LinesRow> = row.get_result(connection).optional()?;
    Ok(row.map(LinesRow::into_lines))
}

pub(crate) fn by_row(
    connection: &mut SqliteConnection,
    id: i64,
) -> Result<Option<StoredExecution>, QueryError> {
    let row = whole_row(connection, id)?;
    row.map(ExecutionRow::into_execution).transpose()
}

/// Formats ids as an SQL list.
pub(crate) fn listed(ids: &[i64]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(", ")
}
