//! The rows of executions and of what they said.

use std::borrow::Cow;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Uuid as SqlUuid};
use executor_core::record::TriggerMode;
use executor_core::time::micros;
use executor_core::{ExecutionRecord, Timestamp};
use uuid::Uuid;

use crate::codes::{BINARY, code_of, flags};
use crate::postgres::schema::{execution_lines, executions};
use crate::postgres::sql::text;
use crate::postgres::write::account::Bound;
use crate::postgres::write::count;

/// An execution, with its failure.
#[derive(Insertable)]
#[diesel(table_name = executions, treat_none_as_default_value = false)]
pub(super) struct Execution<'r> {
    ended_us: i64,
    start_us: i64,
    duration_us: i64,
    entity_id: i64,
    session_id: i64,
    flags: i32,
    kind: i16,
    status: i16,
    execution_id: Uuid,
    trigger_id: Option<Cow<'r, str>>,
    trigger_origin: Option<Cow<'r, str>>,
    trigger_mode: Option<&'static str>,
    due_us: Option<i64>,
    exit_code: Option<i32>,
    blocked_us: Option<i64>,
    retry_count: Option<i64>,
    attempt_number: Option<i64>,
    topic: Option<Cow<'r, str>>,
    args_json: Option<Cow<'r, str>>,
    error_type: Option<Cow<'r, str>>,
    error_message: Option<Cow<'r, str>>,
    error_report: Option<Cow<'r, str>>,
}

impl<'r> Execution<'r> {
    pub(super) fn of(record: &'r ExecutionRecord, entity: i64, session: i64) -> Self {
        let (trigger, failure) = (&record.trigger, record.failure.as_deref());
        // What is usual takes no room.
        let unless = |number: u32, usual| (number != usual).then_some(i64::from(number));
        Self {
            ended_us: record.ended_at().as_micros(),
            start_us: record.started_at.as_micros(),
            duration_us: micros(record.duration),
            entity_id: entity,
            session_id: session,
            flags: flags(record) as i32,
            kind: code_of(record.subject.entity.kind) as i16,
            status: i16::from(record.status.code()),
            execution_id: *record.execution_id.as_uuid(),
            trigger_id: trigger.id().map(text),
            trigger_origin: trigger.origin().map(text),
            trigger_mode: trigger.mode().map(TriggerMode::as_str),
            due_us: record.due_at.map(Timestamp::as_micros),
            exit_code: record.exit_code,
            blocked_us: record.flags.blocked.map(micros),
            retry_count: unless(record.retry_count, 0),
            attempt_number: unless(record.attempt_number, 1),
            topic: record.topic.as_deref().map(text),
            args_json: record.arguments_json.as_deref().map(text),
            error_type: failure.map(|it| text(&it.error_type)),
            error_message: failure.map(|it| text(&it.message)),
            error_report: failure.and_then(|it| it.report.as_deref()).map(text),
        }
    }
}

/// What an execution said.
#[derive(Insertable)]
#[diesel(table_name = execution_lines, treat_none_as_default_value = false)]
pub(super) struct LinesOf<'r> {
    ended_us: i64,
    execution_id: Uuid,
    entity_id: i64,
    lines: i64,
    total_lines: i64,
    total_bytes: i64,
    flags: i32,
    body: Cow<'r, str>,
}

impl<'r> LinesOf<'r> {
    /// `None` if it said nothing.
    pub(super) fn of(record: &'r ExecutionRecord, entity: i64) -> Option<Self> {
        let lines = record.lines.as_deref()?;
        Some(Self {
            ended_us: record.ended_at().as_micros(),
            execution_id: *record.execution_id.as_uuid(),
            entity_id: entity,
            lines: count(lines.kept()),
            total_lines: count(lines.total()),
            total_bytes: count(lines.total_bytes()),
            flags: if lines.is_binary() { BINARY as i32 } else { 0 },
            body: text(lines.body()),
        })
    }
}

/// Returns `unnest($first, …)` of so many arrays.
fn unnest(first: usize, arrays: usize) -> String {
    let places: Vec<String> = (first..first + arrays).map(|it| format!("${it}")).collect();
    format!("unnest({})", places.join(", "))
}

/// Inserts executions of the session `$1`, whose columns are bound by [`bind_executions`] from `$first` on.
pub(super) fn insert_executions(first: usize) -> String {
    format!(
        "INSERT INTO executor.executions (ended_us, start_us, duration_us, entity_id, flags, kind, status, execution_id, \
           trigger_id, trigger_origin, trigger_mode, due_us, exit_code, blocked_us, retry_count, attempt_number, topic, \
           args_json, error_type, error_message, error_report, session_id) \
         SELECT t.*, $1 FROM {} AS t",
        unnest(first, EXECUTION_ARRAYS)
    )
}

pub(super) const EXECUTION_ARRAYS: usize = 21;

/// Inserts lines, whose columns are bound by [`bind_lines`] from `$first` on.
pub(super) fn insert_lines(first: usize) -> String {
    format!(
        "INSERT INTO executor.execution_lines (ended_us, execution_id, entity_id, lines, total_lines, total_bytes, flags, \
           body) SELECT * FROM {}",
        unnest(first, 8)
    )
}

/// Moves a column out of rows.
macro_rules! column {
    ($rows:ident, $name:ident) => {
        $rows
            .iter_mut()
            .map(|row| std::mem::take(&mut row.$name))
            .collect::<Vec<_>>()
    };
}

pub(super) fn bind_executions<'q>(query: Bound<'q>, mut rows: Vec<Execution<'q>>) -> Bound<'q> {
    query
        .bind::<Array<BigInt>, _>(column!(rows, ended_us))
        .bind::<Array<BigInt>, _>(column!(rows, start_us))
        .bind::<Array<BigInt>, _>(column!(rows, duration_us))
        .bind::<Array<BigInt>, _>(column!(rows, entity_id))
        .bind::<Array<Integer>, _>(column!(rows, flags))
        .bind::<Array<SmallInt>, _>(column!(rows, kind))
        .bind::<Array<SmallInt>, _>(column!(rows, status))
        .bind::<Array<SqlUuid>, _>(column!(rows, execution_id))
        .bind::<Array<Nullable<Text>>, _>(column!(rows, trigger_id))
        .bind::<Array<Nullable<Text>>, _>(column!(rows, trigger_origin))
        .bind::<Array<Nullable<Text>>, _>(column!(rows, trigger_mode))
        .bind::<Array<Nullable<BigInt>>, _>(column!(rows, due_us))
        .bind::<Array<Nullable<Integer>>, _>(column!(rows, exit_code))
        .bind::<Array<Nullable<BigInt>>, _>(column!(rows, blocked_us))
        .bind::<Array<Nullable<BigInt>>, _>(column!(rows, retry_count))
        .bind::<Array<Nullable<BigInt>>, _>(column!(rows, attempt_number))
        .bind::<Array<Nullable<Text>>, _>(column!(rows, topic))
        .bind::<Array<Nullable<Text>>, _>(column!(rows, args_json))
        .bind::<Array<Nullable<Text>>, _>(column!(rows, error_type))
        .bind::<Array<Nullable<Text>>, _>(column!(rows, error_message))
        .bind::<Array<Nullable<Text>>, _>(column!(rows, error_report))
}

pub(super) fn bind_lines<'q>(query: Bound<'q>, mut rows: Vec<LinesOf<'q>>) -> Bound<'q> {
    query
        .bind::<Array<BigInt>, _>(column!(rows, ended_us))
        .bind::<Array<SqlUuid>, _>(column!(rows, execution_id))
        .bind::<Array<BigInt>, _>(column!(rows, entity_id))
        .bind::<Array<BigInt>, _>(column!(rows, lines))
        .bind::<Array<BigInt>, _>(column!(rows, total_lines))
        .bind::<Array<BigInt>, _>(column!(rows, total_bytes))
        .bind::<Array<Integer>, _>(column!(rows, flags))
        .bind::<Array<Text>, _>(column!(rows, body))
}
