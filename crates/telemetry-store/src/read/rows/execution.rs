//! Rows of executions as every backend selects them, and what they say.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use executor_core::lines::Lines;
use executor_core::ports::StoredExecution;
use executor_core::record::{RecordFlags, SYNTHETIC_ORIGIN, TriggerMode};
use executor_core::{
    Entity, EntityKind, ExecutionId, ExecutionRecord, Failure, RowId, SessionId, SourceTier,
    Status, Subject, Timestamp, Trigger,
};

use crate::codes::{BINARY, TIMEOUT_ORIGINS, flag, kind_of};
use crate::read::question::QueryError;

/// `place` is what rows are ordered by.
#[derive(QueryableByName)]
pub(crate) struct ExecutionRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) place: i64,
    #[diesel(sql_type = Binary)]
    pub(crate) execution_id: Vec<u8>,
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

impl ExecutionRow {
    pub(crate) fn into_execution(self) -> Result<StoredExecution, QueryError> {
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
        let malformed = format!(
            "row {} of executions has {what} that is no UUID",
            self.place
        );
        uuid::Uuid::from_slice(bytes).map_err(|_| QueryError::Damaged(malformed))
    }

    fn unknown(&self, what: &'static str, value: &impl ToString) -> QueryError {
        QueryError::unknown("executions", self.place, what, value)
    }
}

pub(crate) fn uuid_of(bytes: &[u8], what: &'static str) -> Result<uuid::Uuid, QueryError> {
    uuid::Uuid::from_slice(bytes).map_err(|_| QueryError::Damaged(what.into()))
}

/// What an execution said.
#[derive(QueryableByName)]
pub(crate) struct LinesRow {
    #[diesel(sql_type = BigInt)]
    lines: i64,
    #[diesel(sql_type = BigInt)]
    total_lines: i64,
    #[diesel(sql_type = BigInt)]
    total_bytes: i64,
    #[diesel(sql_type = BigInt)]
    flags: i64,
    #[diesel(sql_type = Text)]
    body: String,
}

impl LinesRow {
    pub(crate) fn into_lines(self) -> Lines {
        Lines::from_parts(
            self.lines.unsigned_abs(),
            self.total_lines.unsigned_abs(),
            self.total_bytes.unsigned_abs(),
            self.flags & BINARY != 0,
            self.body,
        )
    }
}
