//! Questions to the history. Each opens a connection of its own, so no reader stands in the
//! writer's way.

use std::time::Duration;

use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use executor_core::{SessionId, Status};
use thiserror::Error;

use crate::open::{OpenError, Target, open_reader};
use crate::schema::{executions, sessions};

/// Why a question was not answered.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The database could not be opened for reading.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database could not be read.
    #[error("cannot read the history")]
    Read(#[from] diesel::result::Error),
    /// A row holds what no version of this program up to this one writes.
    #[error("the execution with id {row} has the {what} {value}, which this program does not know")]
    Unknown {
        /// The row's id in `executions`.
        row: i64,
        /// Which column.
        what: &'static str,
        /// Its value.
        value: i64,
    },
    /// The task that read was ended with its runtime.
    #[error("reading the history was cut off")]
    CutOff(#[from] tokio::task::JoinError),
}

/// How one listener or job fared.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// `handler` or `job`.
    pub kind: &'static str,
    /// The app it belongs to.
    pub app_key: String,
    /// Which instance of the app.
    pub instance: u32,
    /// Its name.
    pub name: String,
    /// The topic, of a listener.
    pub topic: Option<String>,
    /// How many executions ended in each status, in the order of [`Status::ALL`].
    pub by_status: [u64; Status::ALL.len()],
    /// The average duration; zero without executions.
    pub average: Duration,
    /// 95 of 100 executions took no longer than this.
    pub p95: Duration,
    /// What went wrong last, `type: message`.
    pub last_error: Option<String>,
}

impl Summary {
    /// How many executions there were.
    pub fn runs(&self) -> u64 {
        self.by_status.iter().sum()
    }

    /// How many ended in this status.
    pub fn count(&self, status: Status) -> u64 {
        self.by_status[usize::from(status.code())]
    }
}

/// Reads the history of one database. Cheap: it holds an address, not a connection.
#[derive(Clone, Debug)]
pub struct SqliteReader {
    target: Target,
}

impl SqliteReader {
    /// A reader for the database at this address, which is understood as by
    /// [`SqliteStore::open`](crate::SqliteStore::open). Nothing is opened yet.
    ///
    /// # Errors
    ///
    /// The address names no SQLite database.
    pub fn new(url: &str) -> Result<Self, OpenError> {
        Ok(Self {
            target: Target::parse(url)?,
        })
    }

    /// Whether the database is in memory, where no second connection reaches it.
    pub const fn is_in_memory(&self) -> bool {
        matches!(self.target, Target::Memory)
    }

    /// A summary per listener and job, in order of kind, app, instance and name; of one session,
    /// or of all.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer; nothing was changed by the question.
    pub async fn summaries(&self, session: Option<SessionId>) -> Result<Vec<Summary>, QueryError> {
        self.ask(move |connection| summaries(connection, session))
            .await
    }

    /// How many executions are stored, of one session or of all.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer; nothing was changed by the question.
    pub async fn count(&self, session: Option<SessionId>) -> Result<u64, QueryError> {
        self.ask(move |connection| {
            let all = executions::table
                .inner_join(sessions::table)
                .select(count_star());
            let counted: i64 = match session {
                None => executions::table
                    .select(count_star())
                    .get_result(connection)?,
                Some(id) => all
                    .filter(sessions::session_uuid.eq(id.0.as_bytes().to_vec()))
                    .get_result(connection)?,
            };
            Ok(counted.unsigned_abs())
        })
        .await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut SqliteConnection) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let target = self.target.clone();
        tokio::task::spawn_blocking(move || question(&mut open_reader(&target)?)).await?
    }
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    kind: i64,
    #[diesel(sql_type = Text)]
    app_key: String,
    #[diesel(sql_type = BigInt)]
    instance: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    topic: Option<String>,
    #[diesel(sql_type = BigInt)]
    status: i64,
    #[diesel(sql_type = BigInt)]
    runs: i64,
    #[diesel(sql_type = BigInt)]
    total_us: i64,
    #[diesel(sql_type = BigInt)]
    p95_us: i64,
    #[diesel(sql_type = BigInt)]
    last_row: i64,
    #[diesel(sql_type = Nullable<Text>)]
    last_error: Option<String>,
}

/// A row per entity and status. An entity is named by its key, so that rows whose registration is
/// gone stand with those that were written before it went.
const SUMMARIES: &str = "
WITH named AS (
    SELECT e.id, e.kind, e.status, e.duration_us,
           coalesce(l.app_key, j.app_key, o.app_key, '?') AS app_key,
           coalesce(l.instance, j.instance, o.instance, 0) AS instance,
           coalesce(l.name, j.name, o.name, '?') AS name,
           coalesce(l.topic, o.topic) AS topic
    FROM executions e
    LEFT JOIN listeners l ON l.id = e.listener_id
    LEFT JOIN scheduled_jobs j ON j.id = e.job_id
    LEFT JOIN execution_orphans o ON o.id = e.id
    WHERE ?1 IS NULL OR e.session_id = (SELECT id FROM sessions WHERE session_uuid = ?1)
), ranked AS (
    SELECT *,
           row_number() OVER (PARTITION BY kind, app_key, instance, name, topic ORDER BY duration_us) AS place,
           count(*) OVER (PARTITION BY kind, app_key, instance, name, topic) AS entity_runs
    FROM named
), counted AS (
    SELECT kind, app_key, instance, name, topic, status,
           count(*) AS runs, sum(duration_us) AS total_us,
           coalesce(min(CASE WHEN place * 100 >= entity_runs * 95 THEN duration_us END), -1) AS p95_us,
           max(id) AS last_row
    FROM ranked GROUP BY kind, app_key, instance, name, topic, status
)
SELECT c.*, x.error_type || ': ' || x.error_message AS last_error
FROM counted c LEFT JOIN execution_errors x ON x.id = c.last_row
ORDER BY c.kind, c.app_key, c.instance, c.name, c.topic, c.status";

fn summaries(
    connection: &mut SqliteConnection,
    session: Option<SessionId>,
) -> Result<Vec<Summary>, QueryError> {
    let name = session.map(|id| id.0.as_bytes().to_vec());
    let rows: Vec<Counted> = diesel::sql_query(SUMMARIES)
        .bind::<Nullable<diesel::sql_types::Binary>, _>(name)
        .load(connection)?;
    let mut summaries = Vec::new();
    for entity in rows.chunk_by(|a, b| a.entity() == b.entity()) {
        summaries.push(summary_of(entity)?);
    }
    Ok(summaries)
}

impl Counted {
    fn entity(&self) -> (i64, &str, i64, &str, Option<&str>) {
        let topic = self.topic.as_deref();
        (self.kind, &self.app_key, self.instance, &self.name, topic)
    }
}

/// One entity's rows, one per status, as one summary.
fn summary_of(rows: &[Counted]) -> Result<Summary, QueryError> {
    let first = &rows[0];
    let mut by_status = [0; Status::ALL.len()];
    for row in rows {
        let status =
            Status::from_code(row.status).ok_or_else(|| row.unknown("status", row.status))?;
        by_status[usize::from(status.code())] = row.runs.unsigned_abs();
    }
    let runs: u64 = by_status.iter().sum();
    let total: u64 = rows.iter().map(|row| row.total_us.unsigned_abs()).sum();
    // The entity's percentile stands in whichever status has that execution; the others have a
    // later one or none (-1).
    let p95 = rows
        .iter()
        .map(|row| row.p95_us)
        .filter(|us| *us >= 0)
        .min();
    let skipped = i64::from(Status::Skipped.code());
    let last_failure = rows
        .iter()
        .filter(|row| row.last_error.is_some() && row.status != skipped)
        .max_by_key(|row| row.last_row);
    Ok(Summary {
        kind: kind_of(first)?,
        app_key: first.app_key.clone(),
        instance: u32::try_from(first.instance)
            .map_err(|_| first.unknown("instance", first.instance))?,
        name: first.name.clone(),
        topic: first.topic.clone(),
        by_status,
        average: Duration::from_micros(total.checked_div(runs).unwrap_or(0)),
        p95: Duration::from_micros(p95.unwrap_or(0).unsigned_abs()),
        last_error: last_failure.and_then(|row| row.last_error.clone()),
    })
}

fn kind_of(row: &Counted) -> Result<&'static str, QueryError> {
    match row.kind {
        crate::rows::KIND_HANDLER => Ok("handler"),
        crate::rows::KIND_JOB => Ok("job"),
        kind => Err(row.unknown("kind", kind)),
    }
}

impl Counted {
    const fn unknown(&self, what: &'static str, value: i64) -> QueryError {
        QueryError::Unknown {
            row: self.last_row,
            what,
            value,
        }
    }
}
