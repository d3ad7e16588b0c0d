//! The statements of a copy that only PostgreSQL has.

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use serde_json::json;

use crate::copy::dialect::Dialect;
use crate::copy::row::Row;
use crate::copy::side::Span;
use crate::copy::table::{ColumnType, Table};

pub(super) const DIALECT: Dialect = Dialect {
    layout: |table| &table.postgres,
    table: |table| format!("executor.{}", table.name),
    array: "json_build_array",
    read: |expression, sort| match sort {
        ColumnType::Uuid => format!("upper(encode(uuid_send({expression}), 'hex'))"),
        ColumnType::Flag => format!("{expression}::integer"),
        ColumnType::Number | ColumnType::Text => expression.to_owned(),
    },
    write: |at, sort| match sort {
        ColumnType::Text => format!("(value ->> {at})"),
        ColumnType::Number => format!("(value ->> {at})::bigint"),
        ColumnType::Uuid => format!("(value ->> {at})::uuid"),
        ColumnType::Flag => format!("(value ->> {at})::integer::boolean"),
    },
    rows: ROWS,
    about: |subject| {
        format!(
            "(SELECT n.id FROM executor.entities n WHERE {} = {})",
            digest(["n.kind", "n.app_key", "n.instance", "n.name", "n.topic"]),
            digest(subject)
        )
    },
};

const ROWS: &str = "jsonb_array_elements($1::jsonb) AS r(value)";

fn digest([kind, app, instance, name, topic]: [&str; 5]) -> String {
    format!("executor.entity_digest(({kind})::smallint, {app}, {instance}, {name}, {topic})")
}

/// Runs a statement over rows, some at a time.
pub(super) fn write(
    connection: &mut PgConnection,
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

/// Makes the entities that rows of a table are about.
pub(super) fn entities_of(table: &Table) -> Option<String> {
    let subject = DIALECT.subject(table)?;
    Some(entities(subject.each_ref().map(String::as_str)))
}

fn entities([kind, app, instance, name, topic]: [&str; 5]) -> String {
    format!(
        "INSERT INTO executor.entities (kind, app_key, instance, name, topic) \
         SELECT DISTINCT ({kind})::smallint, {app}, {instance}, {name}, {topic} FROM {ROWS} \
         WHERE {app} IS NOT NULL ORDER BY 1, 2, 3, 4, 5 ON CONFLICT DO NOTHING"
    )
}

/// The columns in the order of [`execution`](crate::copy::side::execution). The page is taken first: what goes with it
/// is looked up by its keys.
pub(super) fn executions(span: Span<'_>, limit: i64) -> String {
    format!(
        "WITH e AS MATERIALIZED (SELECT * FROM executor.executions WHERE {} ORDER BY execution_id LIMIT {limit}) \
         SELECT json_build_array(upper(encode(uuid_send(e.execution_id), 'hex')), e.session_id, e.kind, e.status, \
           coalesce(p.app_key, '?'), coalesce(p.instance, 0), coalesce(p.name, '?'), coalesce(p.topic, ''), \
           e.start_us, e.duration_us, e.flags, e.blocked_us, coalesce(e.retry_count, 0), \
           coalesce(e.attempt_number, 1), e.trigger_id, e.trigger_origin, e.trigger_mode, e.args_json, e.topic, \
           e.due_us, e.exit_code, e.error_type, e.error_message, e.error_report, \
           n.lines, n.total_lines, n.total_bytes, n.flags, n.body, \
           (NOT EXISTS (SELECT FROM executor.listeners l WHERE l.id = e.entity_id) \
            AND NOT EXISTS (SELECT FROM executor.scheduled_jobs j WHERE j.id = e.entity_id))::integer) AS line \
         FROM e LEFT JOIN executor.entities p ON p.id = e.entity_id \
         LEFT JOIN LATERAL (SELECT * FROM executor.execution_lines n WHERE n.ended_us = e.ended_us \
           AND n.execution_id = e.execution_id) n ON true \
         ORDER BY e.execution_id",
        of_span(span)
    )
}

/// Ids are digits, so they can go into the SQL as they are.
fn of_span(span: Span<'_>) -> String {
    let bound = |operator: &str, id: &str| match id {
        "" => "true".to_owned(),
        id => format!("execution_id {operator} '{id}'::uuid"),
    };
    format!("{} AND {}", bound(">", span.after), bound("<=", span.up_to))
}

pub(super) const NEXT_ROLLUP: &str =
    "SELECT min(start_us) AS number FROM executor.rollups WHERE span_us = $1 AND start_us >= $2";

/// Those of the sessions of one listener or job stay together.
pub(super) const ROLLUPS: &str = "\
SELECT json_build_array(t.span_us, t.start_us, p.kind, p.app_key, p.instance, p.name, p.topic, t.success, t.error, \
    t.timed_out, t.cancelled, t.panicked, t.skipped, t.interrupted, t.sum_us, t.max_us, t.last_error_us, \
    t.last_error, upper(encode(t.sketch, 'hex'))) AS line \
FROM executor.rollups t JOIN executor.entities p ON p.id = t.entity_id";

/// Adds rollups that are of no session.
pub(super) fn add_rollups(connection: &mut PgConnection, rows: &[Row]) -> QueryResult<()> {
    let subject = [
        "value ->> 2",
        "value ->> 3",
        "(value ->> 4)::bigint",
        "value ->> 5",
        "value ->> 6",
    ];
    write(connection, &entities(subject), rows)?;
    let numbers: Vec<String> = (7..=16)
        .map(|at| format!("(value ->> {at})::bigint"))
        .collect();
    let statement = format!(
        "INSERT INTO executor.rollups (span_us, start_us, entity_id, session_id, success, error, timed_out, cancelled, \
           panicked, skipped, interrupted, sum_us, max_us, last_error_us, last_error, sketch) \
         SELECT (value ->> 0)::bigint, (value ->> 1)::bigint, {}, 0, {}, value ->> 17, decode(value ->> 18, 'hex') \
         FROM {ROWS}",
        (DIALECT.about)(subject),
        numbers.join(", ")
    );
    write(connection, &statement, rows)
}

/// Deletes the executions in a span of ids. Lines are looked up by the keys of their executions: they have no index of
/// ids.
pub(super) fn delete(connection: &mut PgConnection, span: Span<'_>) -> QueryResult<()> {
    let of_span = of_span(span);
    connection.batch_execute(&format!(
        "DELETE FROM executor.execution_lines n USING (SELECT ended_us, execution_id FROM executor.executions \
           WHERE {of_span}) e WHERE n.ended_us = e.ended_us AND n.execution_id = e.execution_id; \
         DELETE FROM executor.executions WHERE {of_span}"
    ))
}

/// Writes executions, with when each ended. Runs in a transaction.
pub(super) fn insert(
    connection: &mut PgConnection,
    rows: &[Row],
    ended_us: &[i64],
) -> QueryResult<()> {
    let with_ends: Vec<Row> = rows
        .iter()
        .zip(ended_us)
        .map(|(row, ended)| row.iter().cloned().chain([json!(ended)]).collect())
        .collect();
    write(connection, &entities(SUBJECT), &with_ends)?;
    write(connection, &insert_executions(), &with_ends)?;
    write(connection, &insert_lines(), &with_ends)
}

const SUBJECT: [&str; 5] = [
    "value ->> 2",
    "value ->> 4",
    "(value ->> 5)::bigint",
    "value ->> 6",
    "value ->> 7",
];

/// `30` is when the execution ended. What is usual takes no room.
fn insert_executions() -> String {
    format!(
        "INSERT INTO executor.executions (ended_us, start_us, duration_us, entity_id, session_id, flags, kind, status, \
           execution_id, trigger_id, trigger_origin, trigger_mode, due_us, exit_code, blocked_us, retry_count, \
           attempt_number, topic, args_json, error_type, error_message, error_report) \
         SELECT (value ->> 30)::bigint, (value ->> 8)::bigint, (value ->> 9)::bigint, {}, (value ->> 1)::bigint, \
           (value ->> 10)::integer, (value ->> 2)::smallint, (value ->> 3)::smallint, (value ->> 0)::uuid, \
           value ->> 14, value ->> 15, value ->> 16, (value ->> 19)::bigint, (value ->> 20)::integer, \
           (value ->> 11)::bigint, nullif((value ->> 12)::bigint, 0), nullif((value ->> 13)::bigint, 1), \
           value ->> 18, value ->> 17, value ->> 21, value ->> 22, value ->> 23 FROM {ROWS}",
        (DIALECT.about)(SUBJECT)
    )
}

fn insert_lines() -> String {
    format!(
        "INSERT INTO executor.execution_lines (ended_us, execution_id, entity_id, lines, total_lines, total_bytes, flags, \
           body) SELECT (value ->> 30)::bigint, (value ->> 0)::uuid, {}, (value ->> 24)::bigint, \
           (value ->> 25)::bigint, (value ->> 26)::bigint, (value ->> 27)::integer, value ->> 28 FROM {ROWS} \
         WHERE value ->> 24 IS NOT NULL",
        (DIALECT.about)(SUBJECT)
    )
}
