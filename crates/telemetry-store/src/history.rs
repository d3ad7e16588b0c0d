//! Single executions out of the history: by whose they are, how and when they ended; page by page.
//!
//! A page is found in two steps: first the ids, from an index or the primary key, then the rows.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use executor_core::record::{RecordFlags, SYNTHETIC_ORIGIN, TriggerMode};
use executor_core::{
    Entity, EntityKind, ExecutionId, ExecutionRecord, Failure, RegistrationId, RowId, SessionId,
    SourceTier, Status, Subject, Timestamp, Trigger,
};

use crate::query::QueryError;
use crate::registration::Table;
use crate::rollup::damaged;
use crate::row_ids::displacement;
use crate::rows::{TIMEOUT_ORIGINS, flag, kind_of};
use crate::schema::{listeners, scheduled_jobs};
use crate::session;

/// Whose executions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// Everybody's.
    #[default]
    All,
    /// One listener's or job's.
    Registration(RegistrationId),
    /// One app's, also of listeners and jobs that are gone.
    App(String),
    /// One session's.
    Session(SessionId),
}

/// Which executions. Default: all.
///
/// ```
/// use executor_core::Status;
/// use telemetry_store::{Filter, Scope};
///
/// let filter = Filter {
///     scope: Scope::App("lights".into()),
///     status: Some(Status::TimedOut),
///     ..Filter::default()
/// };
/// assert_ne!(filter, Filter::default());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Whose they are.
    pub scope: Scope,
    /// How they ended.
    pub status: Option<Status>,
    /// Those that ended at or after this.
    pub from: Option<Timestamp>,
    /// Those that ended before this.
    pub to: Option<Timestamp>,
}

/// Which page. Default: the first, of 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// How many at most.
    pub limit: u32,
    /// Those before this one: [`PageOf::next`] of the page before.
    pub before: Option<i64>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self {
            limit: 100,
            before: None,
        }
    }
}

/// A page of something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageOf<T> {
    /// The latest first.
    pub items: Vec<T>,
    /// Where the next page begins, for [`PageRequest::before`]; `None` if there is none.
    pub next: Option<i64>,
}

impl<T> PageOf<T> {
    /// Of rows in the order of their ids, the greatest first.
    pub(crate) fn new<R>(
        rows: Vec<R>,
        page: PageRequest,
        id: impl Fn(&R) -> i64,
        item: impl FnMut(R) -> Result<T, QueryError>,
    ) -> Result<Self, QueryError> {
        let is_full = rows.len() == page.limit as usize;
        let next = rows.last().filter(|_| is_full).map(id);
        let items = rows.into_iter().map(item).collect::<Result<_, _>>()?;
        Ok(Self { items, next })
    }
}

/// One execution as it is stored.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoredExecution {
    /// Its row in `executions`.
    pub row: i64,
    /// Its session.
    pub session: SessionId,
    /// What was recorded. Its failure's strings are those of the row, its generation is not kept.
    pub record: ExecutionRecord,
}

pub(crate) fn executions(
    connection: &mut SqliteConnection,
    filter: &Filter,
    page: PageRequest,
) -> Result<PageOf<StoredExecution>, QueryError> {
    connection.transaction(|connection| {
        let ids = ids(connection, filter, page)?;
        let next = (ids.len() == page.limit as usize).then(|| ids.last().copied());
        let mut items = Vec::with_capacity(ids.len());
        for ids in ids.chunks(ROWS_AT_ONCE) {
            items.extend(by_rows(connection, ids)?);
        }
        Ok(PageOf {
            items,
            next: next.flatten(),
        })
    })
}

pub(crate) fn execution(
    connection: &mut SqliteConnection,
    id: ExecutionId,
) -> Result<Option<StoredExecution>, QueryError> {
    let name = id.0.as_bytes().to_vec();
    let row = diesel::sql_query(format!("{STORED} e.execution_id = ?1")).bind::<Binary, _>(name);
    let row: Option<Row> = row.get_result(connection).optional()?;
    row.map(Row::into_execution).transpose()
}

/// How many rows one question is asked for: its text has a limit.
const ROWS_AT_ONCE: usize = 1_000;

/// Those of these ids that are there, the greatest id first.
fn by_rows(
    connection: &mut SqliteConnection,
    ids: &[i64],
) -> Result<Vec<StoredExecution>, QueryError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let question = format!("{STORED} e.id IN ({}) ORDER BY e.id DESC", ids.join(", "));
    let rows: Vec<Row> = diesel::sql_query(question).load(connection)?;
    rows.into_iter().map(Row::into_execution).collect()
}

/// The ids of a page, the greatest first.
fn ids(
    connection: &mut SqliteConnection,
    filter: &Filter,
    page: PageRequest,
) -> QueryResult<Vec<i64>> {
    let wanted = Wanted::new(filter, page, displacement(connection)?);
    let mut found = match &filter.scope {
        Scope::All => wanted.load(connection, "1")?,
        Scope::Registration(id) => {
            let column = Table::of(id.kind).column;
            wanted.load(connection, &format!("e.{column} = {}", id.row.0))?
        }
        Scope::Session(session) => match session::ids_of(connection, *session)? {
            None => Vec::new(),
            // A session is a stretch of the primary key.
            Some((row, ids)) => {
                let (first, last) = (ids.start, ids.end);
                let stretch = format!("e.id BETWEEN {first} AND {last} AND +e.session_id = {row}");
                wanted.load(connection, &stretch)?
            }
        },
        Scope::App(app) => of_app(connection, app, &wanted)?,
    };
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.truncate(page.limit as usize);
    Ok(found)
}

/// Each of an app's registrations has an index of its own executions: a page of each holds the page of
/// all of them.
fn of_app(connection: &mut SqliteConnection, app: &str, wanted: &Wanted) -> QueryResult<Vec<i64>> {
    let of_listeners = listeners::table.filter(listeners::app_key.eq(app));
    let of_jobs = scheduled_jobs::table.filter(scheduled_jobs::app_key.eq(app));
    let listeners: Vec<i64> = of_listeners.select(listeners::id).load(connection)?;
    let jobs: Vec<i64> = of_jobs.select(scheduled_jobs::id).load(connection)?;
    let mut found = Vec::new();
    for (column, rows) in [("listener_id", listeners), ("job_id", jobs)] {
        for row in rows {
            found.extend(wanted.load(connection, &format!("e.{column} = {row}"))?);
        }
    }
    let question = wanted.question(
        "execution_orphans o CROSS JOIN executions e ON e.id = o.id",
        "o.app_key = ?1",
    );
    let orphans = diesel::sql_query(question).bind::<Text, _>(app);
    let orphans: Vec<Id> = orphans.load(connection)?;
    found.extend(orphans.into_iter().map(|found| found.id));
    Ok(found)
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// The conditions that are the same whoever they belong to. All of them are numbers, so they stand in the
/// question as they are.
struct Wanted {
    conditions: String,
}

impl Wanted {
    /// The id of a row lies at most so far above the time at which its execution ended.
    fn new(filter: &Filter, page: PageRequest, displacement: i64) -> Self {
        let mut conditions = match filter.status {
            None => String::new(),
            Some(Status::Success) => " AND e.status = 0".into(),
            // Said twice, so that the index of what did not succeed is found.
            Some(status) => format!(" AND e.status = {} AND e.status <> 0", status.code()),
        };
        if let Some(from) = filter.from.map(Timestamp::as_micros) {
            let ended = format!(" AND e.id >= {from} AND e.start_us + e.duration_us >= {from}");
            conditions.push_str(&ended);
        }
        if let Some(to) = filter.to.map(Timestamp::as_micros) {
            let last = to.saturating_add(displacement);
            let ended = format!(" AND e.id <= {last} AND e.start_us + e.duration_us < {to}");
            conditions.push_str(&ended);
        }
        if let Some(before) = page.before {
            conditions.push_str(&format!(" AND e.id < {before}"));
        }
        conditions.push_str(&format!(" ORDER BY e.id DESC LIMIT {}", page.limit));
        Self { conditions }
    }

    fn question(&self, tables: &str, whose: &str) -> String {
        format!("SELECT e.id FROM {tables} WHERE {whose}{}", self.conditions)
    }

    fn load(&self, connection: &mut SqliteConnection, whose: &str) -> QueryResult<Vec<i64>> {
        let found: Vec<Id> =
            diesel::sql_query(self.question("executions e", whose)).load(connection)?;
        Ok(found.into_iter().map(|found| found.id).collect())
    }
}

/// A cross join, so that SQLite begins with the rows that are asked for, however many sessions there are.
const STORED: &str = "
SELECT e.id, e.execution_id, e.kind, e.status, e.listener_id, e.job_id, e.start_us, e.duration_us, e.flags,
       e.blocked_us, e.retry_count, e.attempt_number, e.trigger_id, e.trigger_origin, e.trigger_mode,
       e.args_json, s.session_uuid, x.error_type, x.error_message, x.error_report,
       coalesce(l.app_key, j.app_key, o.app_key, '?') AS app_key,
       coalesce(l.instance, j.instance, o.instance, 0) AS instance,
       coalesce(l.name, j.name, o.name, '?') AS name,
       coalesce(l.topic, o.topic, '') AS topic
FROM executions e
CROSS JOIN sessions s ON s.id = e.session_id
LEFT JOIN listeners l ON l.id = e.listener_id
LEFT JOIN scheduled_jobs j ON j.id = e.job_id
LEFT JOIN execution_orphans o ON o.id = e.id
LEFT JOIN execution_errors x ON x.id = e.id
WHERE ";

pub(crate) fn by_row(
    connection: &mut SqliteConnection,
    id: i64,
) -> Result<Option<StoredExecution>, QueryError> {
    let row = diesel::sql_query(format!("{STORED} e.id = ?1")).bind::<BigInt, _>(id);
    let row: Option<Row> = row.get_result(connection).optional()?;
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
        let session = uuid_of(&self.session_uuid, "a session's uuid is malformed")?;
        let execution_id = uuid_of(&self.execution_id, "an execution's id is malformed")?;
        let record = ExecutionRecord {
            execution_id: ExecutionId(execution_id),
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
            generation: 0,
            retry_count: self.small("retry count", self.retry_count)?,
            attempt_number: self.small("attempt number", self.attempt_number)?,
            arguments_json: self.args_json.map(Box::from),
        };
        Ok(StoredExecution {
            row: self.id,
            session: SessionId(session),
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
            row: row.map(RowId),
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

    fn duration(&self, us: i64) -> Result<Duration, QueryError> {
        let micros = u64::try_from(us).map_err(|_| self.unknown("duration", &us))?;
        Ok(Duration::from_micros(micros))
    }

    fn small(&self, what: &'static str, value: i64) -> Result<u32, QueryError> {
        u32::try_from(value).map_err(|_| self.unknown(what, &value))
    }

    fn unknown(&self, what: &'static str, value: &impl ToString) -> QueryError {
        QueryError::unknown("executions", self.id, what, value)
    }
}

pub(crate) fn uuid_of(bytes: &[u8], what: &'static str) -> Result<uuid::Uuid, QueryError> {
    uuid::Uuid::from_slice(bytes).map_err(|_| damaged(what).into())
}
