//! The statements of a copy that only SQLite has.

use diesel::QueryResult;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use executor_core::Timestamp;
use serde_json::json;

use crate::copy::dialect::Dialect;
use crate::copy::row::{Row, number};
use crate::copy::side::{Span, execution};
use crate::copy::table::ColumnType;
use crate::sqlite::write::row_ids;

pub(super) const DIALECT: Dialect = Dialect {
    layout: |table| &table.sqlite,
    table: |table| table.name.to_owned(),
    array: "json_array",
    read: |expression, sort| match sort {
        ColumnType::Uuid => format!("hex({expression})"),
        ColumnType::Number | ColumnType::Text | ColumnType::Flag => expression.to_owned(),
    },
    write: |at, sort| match sort {
        ColumnType::Uuid => format!("unhex(value ->> {at})"),
        ColumnType::Number | ColumnType::Text | ColumnType::Flag => format!("value ->> {at}"),
    },
    rows: "jsonb_each(?1)",
    // A row names what it is about by itself.
    about: |_| "NULL".to_owned(),
};

/// Executions. The columns are in the order of [`execution`].
pub(super) const EXECUTIONS: &str = "\
SELECT json_array(hex(e.execution_id), e.session_id, e.kind, e.status, \
    coalesce(l.app_key, j.app_key, o.app_key, '?'), coalesce(l.instance, j.instance, o.instance, 0), \
    coalesce(l.name, j.name, o.name, '?'), coalesce(l.topic, o.topic, ''), \
    e.start_us, e.duration_us, e.flags, e.blocked_us, e.retry_count, e.attempt_number, e.trigger_id, \
    e.trigger_origin, e.trigger_mode, e.args_json, t.text, e.due_us, e.exit_code, \
    x.error_type, x.error_message, x.error_report, n.lines, n.total_lines, n.total_bytes, n.flags, n.body, \
    l.id IS NULL AND j.id IS NULL) AS line \
FROM executions e \
LEFT JOIN topics t ON t.id = e.topic_id \
LEFT JOIN listeners l ON l.id = e.listener_id \
LEFT JOIN scheduled_jobs j ON j.id = e.job_id \
LEFT JOIN execution_orphans o ON o.id = e.id \
LEFT JOIN execution_errors x ON x.id = e.id \
LEFT JOIN execution_lines n ON n.id = e.id";

/// Ids are digits, so they can go into the SQL as they are.
pub(super) fn of_span(span: Span<'_>) -> String {
    let bound = |operator: &str, id: &str| match id {
        "" => "true".to_owned(),
        id => format!("execution_id {operator} x'{id}'"),
    };
    format!("{} AND {}", bound(">", span.after), bound("<=", span.up_to))
}

pub(super) const NEXT_ROLLUP: &str =
    "SELECT min(start_us) AS number FROM rollups WHERE span_us = ?1 AND start_us >= ?2";

pub(super) const ROLLUPS: &str = "\
SELECT json_array(t.span_us, t.start_us, p.kind, p.app_key, p.instance, p.name, p.topic, t.success, t.error, \
    t.timed_out, t.cancelled, t.panicked, t.skipped, t.interrupted, t.sum_us, t.max_us, t.last_error_us, \
    t.last_error, hex(t.sketch)) AS line \
FROM rollups t JOIN rollup_entities p ON p.id = t.entity_id";

/// Runs a statement over rows, some at a time.
pub(super) fn write(
    connection: &mut SqliteConnection,
    statement: &str,
    rows: &[Row],
) -> QueryResult<()> {
    const AT_ONCE: usize = 1_000;
    for some in rows.chunks(AT_ONCE) {
        let query = diesel::sql_query(statement).bind::<Text, _>(json!(some).to_string());
        query.execute(connection)?;
    }
    Ok(())
}

pub(super) fn insert_rollups(connection: &mut SqliteConnection, rows: &[Row]) -> QueryResult<()> {
    write(
        connection,
        "INSERT OR IGNORE INTO rollup_entities (kind, app_key, instance, name, topic) \
         SELECT DISTINCT value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 FROM jsonb_each(?1)",
        rows,
    )?;
    write(
        connection,
        "INSERT INTO rollups (span_us, start_us, entity_id, success, error, timed_out, cancelled, panicked, skipped, \
           interrupted, sum_us, max_us, last_error_us, last_error, sketch) \
         SELECT value ->> 0, value ->> 1, (SELECT p.id FROM rollup_entities p \
             WHERE (p.kind, p.app_key, p.instance, p.name, p.topic) \
                 = (value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6)), \
           value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, \
           value ->> 14, value ->> 15, value ->> 16, value ->> 17, unhex(value ->> 18) FROM jsonb_each(?1)",
        rows,
    )
}

/// What goes with executions, and then they themselves.
const DELETE: [&str; 4] = [
    "execution_errors",
    "execution_orphans",
    "execution_lines",
    "executions",
];

/// What is inserted with executions: `30` is the row's id.
const INSERT: [&str; 5] = [
    "INSERT OR IGNORE INTO topics (text) SELECT DISTINCT value ->> 18 FROM jsonb_each(?1) WHERE value ->> 18 IS NOT NULL",
    "INSERT INTO executions (id, execution_id, session_id, kind, status, listener_id, job_id, start_us, duration_us, \
       flags, blocked_us, retry_count, attempt_number, trigger_id, trigger_origin, trigger_mode, args_json, topic_id, \
       due_us, exit_code) \
     SELECT value ->> 30, unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, \
       CASE WHEN value ->> 2 = 0 AND NOT value ->> 29 THEN (SELECT l.id FROM listeners l \
         WHERE (l.app_key, l.instance, l.name, l.topic) = (value ->> 4, value ->> 5, value ->> 6, value ->> 7)) END, \
       CASE WHEN value ->> 2 = 1 AND NOT value ->> 29 THEN (SELECT j.id FROM scheduled_jobs j \
         WHERE (j.app_key, j.instance, j.name) = (value ->> 4, value ->> 5, value ->> 6)) END, \
       value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14, value ->> 15, \
       value ->> 16, value ->> 17, (SELECT t.id FROM topics t WHERE t.text = value ->> 18), value ->> 19, \
       value ->> 20 FROM jsonb_each(?1)",
    "INSERT INTO execution_errors (id, error_type, error_message, error_report) \
     SELECT value ->> 30, value ->> 21, value ->> 22, value ->> 23 FROM jsonb_each(?1) WHERE value ->> 21 IS NOT NULL",
    "INSERT INTO execution_orphans (id, app_key, instance, name, topic) \
     SELECT value ->> 30, value ->> 4, value ->> 5, value ->> 6, CASE WHEN value ->> 2 <> 1 THEN value ->> 7 END \
     FROM jsonb_each(?1) WHERE value ->> 29",
    "INSERT INTO execution_lines (id, lines, total_lines, total_bytes, flags, body) \
     SELECT value ->> 30, value ->> 24, value ->> 25, value ->> 26, value ->> 27, value ->> 28 FROM jsonb_each(?1) \
     WHERE value ->> 24 IS NOT NULL",
];

/// Deletes the executions in a span of ids.
pub(super) fn delete(connection: &mut SqliteConnection, span: Span<'_>) -> QueryResult<()> {
    let of_span = of_span(span);
    for table in DELETE {
        let statement = match table {
            "executions" => format!("DELETE FROM executions WHERE {of_span}"),
            beside => format!(
                "DELETE FROM {beside} WHERE id IN (SELECT id FROM executions WHERE {of_span})"
            ),
        };
        diesel::sql_query(statement).execute(connection)?;
    }
    Ok(())
}

/// Writes executions. Runs in a transaction that holds the write lock.
pub(super) fn insert(connection: &mut SqliteConnection, rows: &[Row]) -> QueryResult<()> {
    let recorded = rows.iter().map(|row| Timestamp::from_micros(ended(row)));
    let ids = row_ids::give_out(connection, recorded)?;
    let with_ids: Vec<Row> = rows
        .iter()
        .zip(ids)
        .map(|(row, id)| row.iter().cloned().chain([json!(id)]).collect())
        .collect();
    INSERT
        .iter()
        .try_for_each(|statement| write(connection, statement, &with_ids))
}

/// Deletes the registrations that are not among these. A trigger keeps the names that their executions need.
pub(super) fn delete_others(
    connection: &mut SqliteConnection,
    table: &str,
    rows: &[&Row],
) -> QueryResult<()> {
    let (key, values, parent) = match table {
        "listeners" => (
            "app_key, instance, name, topic",
            "value ->> 0, value ->> 1, value ->> 2, value ->> 3",
            "listener_id",
        ),
        _ => (
            "app_key, instance, name",
            "value ->> 0, value ->> 1, value ->> 2",
            "job_id",
        ),
    };
    let statement =
        format!("DELETE FROM {table} WHERE ({key}) NOT IN (SELECT {values} FROM jsonb_each(?1))");
    diesel::sql_query(statement)
        .bind::<Text, _>(json!(rows).to_string())
        .execute(connection)?;
    // The keys that would do this are off.
    let statement = format!(
        "UPDATE executions SET {parent} = NULL WHERE {parent} IS NOT NULL AND {parent} NOT IN (SELECT id FROM {table})"
    );
    diesel::sql_query(statement).execute(connection).map(drop)
}

fn ended(row: &Row) -> i64 {
    let column = |at| number(row, at).unwrap_or_default();
    column(execution::START).saturating_add(column(execution::DURATION))
}
