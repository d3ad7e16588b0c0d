//! Rows of executions as they are read back.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use executor_core::lines::Lines;
use executor_core::ports::{Order, StoredExecution};
use executor_core::record::{RecordFlags, SYNTHETIC_ORIGIN, TriggerMode};
use executor_core::{
    Entity, EntityKind, ExecutionId, ExecutionRecord, Failure, RowId, SessionId, SourceTier,
    Status, Subject, Timestamp, Trigger,
};

use crate::codes::{BINARY, TIMEOUT_ORIGINS, flag, kind_of};
use crate::sqlite::classify::is_damage;
use crate::sqlite::read::paging::direction;
use crate::sqlite::read::question::{Asked, LeftOut, QueryError};
use crate::sqlite::schema::execution_lines;

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
    let rows: Vec<Row> = match diesel::sql_query(question).load(asked.connection) {
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
fn one_by_one(asked: &mut Asked<'_>, ids: &[i64]) -> QueryResult<Vec<Row>> {
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
fn readable_part(asked: &mut Asked<'_>, id: i64) -> QueryResult<Option<Row>> {
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
fn note_absent(left_out: &LeftOut, ids: &[i64], rows: &[Row]) {
    let read: HashSet<i64> = rows.iter().map(|row| row.id).collect();
    for id in ids.iter().filter(|id| !read.contains(*id)) {
        let what = format!("row {id} of executions, or the row of its session, cannot be read");
        left_out.note(what);
    }
}

/// Reads a row with its error, topic and session.
fn whole_row(connection: &mut SqliteConnection, id: i64) -> QueryResult<Option<Row>> {
    let row = diesel::sql_query(format!("{STORED} e.id = ?1")).bind::<BigInt, _>(id);
    row.get_result(connection).optional()
}

/// What every question for rows begins with.
macro_rules! executions_with {
    ($rest:literal) => {
        concat!(
            "SELECT e.id, e.execution_id, e.kind, e.status, e.listener_id, e.job_id, e.start_us, e.duration_us, ",
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
    type LinesRow = (i64, i64, i64, i64, String);
    let row: Option<LinesRow> = execution_lines::table
        .find(id)
        .select((
            execution_lines::lines,
            execution_lines::total_lines,
            execution_lines::total_bytes,
            execution_lines::flags,
            execution_lines::body,
        ))
        .first(connection)
        .optional()?;
    Ok(row.map(|(kept, total, bytes, flags, body)| {
        Lines::from_parts(
            kept.unsigned_abs(),
            total.unsigned_abs(),
            bytes.unsigned_abs(),
            flags & BINARY != 0,
            body,
        )
    }))
}

pub(crate) fn by_row(
    connection: &mut SqliteConnection,
    id: i64,
) -> Result<Option<StoredExecution>, QueryError> {
    let row = whole_row(connection, id)?;
    row.map(Row::into_execution).transpose()
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Binary)]
    execution_id: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    kind: i64,
    #[diesel(sql_type = BigInt)]
    status: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    listener_id: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    job_id: Option<i64>,
    #[diesel(sql_type = BigInt)]
    start_us: i64,
    #[diesel(sql_type = BigInt)]
    duration_us: i64,
    #[diesel(sql_type = BigInt)]
    flags: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    blocked_us: Option<i64>,
    #[diesel(sql_type = BigInt)]
    retry_count: i64,
    #[diesel(sql_type = BigInt)]
    attempt_number: i64,
    #[diesel(sql_type = Nullable<Text>)]
    trigger_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    trigger_origin: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    trigger_mode: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    args_json: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    due_us: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    exit_code: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    own_topic: Option<String>,
    #[diesel(sql_type = Binary)]
    session_uuid: Vec<u8>,
    #[diesel(sql_type = Nullable<Text>)]
    error_type: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    error_message: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    error_report: Option<String>,
    #[diesel(sql_type = Text)]
    app_key: String,
    #[diesel(sql_type = BigInt)]
    instance: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    topic: String,
}

impl Row {
    fn into_execution(self) -> Result<StoredExecution, QueryError> {
        let status =
            Status::from_code(self.status).ok_or_else(|| self.unknown("status", &self.status))?;
        let session = self.uuid("a session", &self.session_uuid)?;
        let execution_id = self.uuid("an id", &self.execution_id)?;
        let record = ExecutionRecord {
            execution_id: ExecutionId::from_uuid(execution_id),
            subject: self.subject()?,
            source_tier: if self.flags & flag::FRAMEWORK == 0 {
                SourceTier::App
            } else {
                SourceTier::Framework
            },
            status,
            started_at: Timestamp::from_micros(self.start_us),
            duration: self.duration(self.duration_us)?,
            failure: self.failure().map(Arc::new),
            flags: self.flags()?,
            trigger: self.trigger()?,
            topic: self.own_topic.as_deref().map(Arc::from),
            due_at: self.due_us.map(Timestamp::from_micros),
            exit_code: self.exit_code()?,
            lines: None,
            generation: 0,
            retry_count: self.small("retry count", self.retry_count)?,
            attempt_number: self.small("attempt number", self.attempt_number)?,
            arguments_json: self.args_json.map(Box::from),
        };
        Ok(StoredExecution {
            session: SessionId::from_uuid(session),
            record,
        })
    }

    fn subject(&self) -> Result<Subject, QueryError> {
        let kind = kind_of(self.kind).ok_or_else(|| self.unknown("kind", &self.kind))?;
        let row = match kind {
            EntityKind::Listener => self.listener_id,
            EntityKind::Job => self.job_id,
        };
        Ok(Subject {
            entity: Arc::new(Entity {
                kind,
                app_key: self.app_key.clone(),
                instance: self.small("instance", self.instance)?,
                name: self.name.clone(),
                topic: self.topic.clone(),
            }),
            row: row.map(RowId::new),
        })
    }

    fn failure(&self) -> Option<Failure> {
        Some(Failure {
            error_type: self.error_type.clone()?,
            message: self.error_message.clone().unwrap_or_default(),
            report: self.error_report.clone(),
        })
    }

    fn flags(&self) -> Result<RecordFlags, QueryError> {
        let is_set = |bit| self.flags & bit != 0;
        let timeout_origin = TIMEOUT_ORIGINS.into_iter().find(|(_, bit)| is_set(*bit));
        let timeout_origin = timeout_origin.map(|(origin, _)| origin);
        Ok(RecordFlags {
            is_di_failure: is_set(flag::DI_FAILURE),
            thread_leaked: is_set(flag::THREAD_LEAKED),
            overran: is_set(flag::OVERRAN),
            timeout_origin,
            blocked: self.blocked_us.map(|us| self.duration(us)).transpose()?,
        })
    }

    fn trigger(&self) -> Result<Trigger, QueryError> {
        match (self.trigger_mode.as_deref(), &self.trigger_origin) {
            (Some("manual"), _) => Ok(Trigger::Job(TriggerMode::Manual)),
            (Some("schedule"), _) => Ok(Trigger::Job(TriggerMode::Schedule)),
            (Some(mode), _) => Err(self.unknown("trigger mode", &mode)),
            (None, Some(origin)) if origin == SYNTHETIC_ORIGIN && self.trigger_id.is_none() => {
                Ok(Trigger::Synthetic)
            }
            (None, origin) => Ok(Trigger::Event {
                id: self.trigger_id.as_deref().map(Arc::from),
                origin: Arc::from(origin.as_deref().unwrap_or_default()),
            }),
        }
    }

    fn exit_code(&self) -> Result<Option<i32>, QueryError> {
        let small = |code: i64| i32::try_from(code).map_err(|_| self.unknown("exit code", &code));
        self.exit_code.map(small).transpose()
    }

    fn duration(&self, us: i64) -> Result<Duration, QueryError> {
        let micros = u64::try_from(us).map_err(|_| self.unknown("duration", &us))?;
        Ok(Duration::from_micros(micros))
    }

    fn small(&self, what: &'static str, value: i64) -> Result<u32, QueryError> {
        u32::try_from(value).map_err(|_| self.unknown(what, &value))
    }

    fn uuid(&self, what: &str, bytes: &[u8]) -> Result<uuid::Uuid, QueryError> {
        let malformed = format!("row {} of executions has {what} that is no UUID", self.id);
        uuid::Uuid::from_slice(bytes).map_err(|_| QueryError::Damaged(malformed))
    }

    fn unknown(&self, what: &'static str, value: &impl ToString) -> QueryError {
        QueryError::unknown("executions", self.id, what, value)
    }
}

pub(crate) fn uuid_of(bytes: &[u8], what: &'static str) -> Result<uuid::Uuid, QueryError> {
    uuid::Uuid::from_slice(bytes).map_err(|_| QueryError::Damaged(what.into()))
}

/// Formats ids as an SQL list.
pub(crate) fn listed(ids: &[i64]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(", ")
}
