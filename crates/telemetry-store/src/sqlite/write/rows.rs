//! The rows of the tables, and their conversion from domain types. Nothing here queries the database.

use std::sync::LazyLock;

use diesel::prelude::*;
use executor_core::record::ExecutionRecord;
use executor_core::registration::{Details, JobDetails};
use executor_core::time::micros;
use executor_core::{Entity, EntityKind, Timestamp, TriggerMode};

use crate::codes::{BINARY, code_of, flags};
use crate::sqlite::schema;
use crate::sqlite::write::upsert::{self, Binder, Column, Text, Upsert};

/// A row of `executions`, borrowing its strings from the record.
pub(crate) struct ExecutionRow<'a> {
    pub(crate) id: i64,
    pub(crate) execution_id: &'a [u8],
    pub(crate) kind: i64,
    pub(crate) status: i64,
    pub(crate) session_id: i64,
    pub(crate) listener_id: Option<i64>,
    pub(crate) job_id: Option<i64>,
    pub(crate) start_us: i64,
    pub(crate) duration_us: i64,
    pub(crate) flags: i64,
    pub(crate) blocked_us: Option<i64>,
    pub(crate) retry_count: i64,
    pub(crate) attempt_number: i64,
    pub(crate) trigger_id: Option<&'a str>,
    pub(crate) trigger_origin: Option<&'a str>,
    pub(crate) trigger_mode: Option<&'a str>,
    pub(crate) args_json: Option<&'a str>,
    pub(crate) topic_id: Option<i64>,
    pub(crate) due_us: Option<i64>,
    pub(crate) exit_code: Option<i64>,
}

/// The ids that the transaction has found for a row.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) id: i64,
    pub(crate) session_id: i64,
    /// False for what a later process stores.
    pub(crate) session_runs: bool,
    /// The row of its listener or job; `None` where there is none.
    pub(crate) parent: Option<i64>,
    /// The row of its event's topic, if it has one of its own.
    pub(crate) topic: Option<i64>,
}

impl<'a> ExecutionRow<'a> {
    /// Returns the id that makes storing idempotent.
    pub(crate) const fn name(&self) -> &'a [u8] {
        self.execution_id
    }

    pub(crate) fn new(record: &'a ExecutionRecord, place: Place) -> Self {
        let kind = record.subject.entity.kind;
        let parent_of = |wanted| place.parent.filter(|_| kind == wanted);
        Self {
            id: place.id,
            execution_id: record.execution_id.as_uuid().as_bytes(),
            kind: code_of(kind),
            status: i64::from(record.status.code()),
            session_id: place.session_id,
            listener_id: parent_of(EntityKind::Listener),
            job_id: parent_of(EntityKind::Job),
            start_us: record.started_at.as_micros(),
            duration_us: micros(record.duration),
            flags: flags(record),
            blocked_us: record.flags.blocked.map(micros),
            retry_count: i64::from(record.retry_count),
            attempt_number: i64::from(record.attempt_number),
            trigger_id: record.trigger.id(),
            trigger_origin: record.trigger.origin(),
            trigger_mode: record.trigger.mode().map(TriggerMode::as_str),
            args_json: record.arguments_json.as_deref(),
            topic_id: place.topic,
            due_us: record.due_at.map(Timestamp::as_micros),
            exit_code: record.exit_code.map(i64::from),
        }
    }
}

/// A row of `execution_errors`.
#[derive(Insertable)]
#[diesel(table_name = schema::execution_errors)]
pub(crate) struct ErrorRow<'a> {
    id: i64,
    error_type: &'a str,
    error_message: &'a str,
    error_report: Option<&'a str>,
}

impl<'a> ErrorRow<'a> {
    /// Returns `None` for a record without a failure.
    pub(crate) fn new(record: &'a ExecutionRecord, id: i64) -> Option<Self> {
        let failure = record.failure.as_deref()?;
        Some(Self {
            id,
            error_type: &failure.error_type,
            error_message: &failure.message,
            error_report: failure.report.as_deref(),
        })
    }
}

/// A row of `execution_lines`.
#[derive(Insertable)]
#[diesel(table_name = schema::execution_lines)]
pub(crate) struct LinesRow<'a> {
    id: i64,
    lines: i64,
    total_lines: i64,
    total_bytes: i64,
    flags: i64,
    body: &'a str,
}

impl<'a> LinesRow<'a> {
    /// Returns `None` for a record without lines.
    pub(crate) fn new(record: &'a ExecutionRecord, id: i64) -> Option<Self> {
        let lines = record.lines.as_deref()?;
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Some(Self {
            id,
            lines: number(lines.kept()),
            total_lines: number(lines.total()),
            total_bytes: number(lines.total_bytes()),
            flags: if lines.is_binary() { BINARY } else { 0 },
            body: lines.body(),
        })
    }
}

/// A row of `execution_orphans`.
#[derive(Insertable)]
#[diesel(table_name = schema::execution_orphans)]
pub(crate) struct OrphanRow<'a> {
    id: i64,
    app_key: &'a str,
    instance: i64,
    name: &'a str,
    topic: Option<&'a str>,
}

impl<'a> OrphanRow<'a> {
    pub(crate) fn new(entity: &'a Entity, id: i64) -> Self {
        Self {
            id,
            app_key: &entity.app_key,
            instance: i64::from(entity.instance),
            name: &entity.name,
            topic: (entity.kind == EntityKind::Listener).then_some(&entity.topic),
        }
    }
}

/// The columns that listeners and jobs share, in the order in which they are bound. They include the marks
/// `retired_us` and `removed_us`, so registering again clears those in the same write.
macro_rules! registration_row {
    ($row:ident, $table:literal, key $key:literal, { $($field:ident : $type:ty),* $(,)? }) => {
        registration_row!(@all $row, $table, $key, {
            app_key: &'a str, instance: i64, name: &'a str,
            $($field: $type,)*
            instance_name: Option<&'a str>, source_tier: &'a str, timeout_us: Option<i64>,
            description: Option<&'a str>, guard_description: Option<&'a str>,
            source_location: Option<&'a str>, registration_source: Option<&'a str>,
            entity: Option<&'a str>, overlap: Option<&'a str>, overlap_limit: Option<i64>,
            priority: i64, once: i64, program: Option<&'a str>, annotations: Option<&'a str>,
            retired_us: Option<i64>, removed_us: Option<i64>,
        });
        registration_row!(@parts $row, { $($field: $type,)* });
    };
    (@all $row:ident, $table:literal, $key:literal, { $($field:ident : $type:ty,)* }) => {
        pub(crate) struct $row<'a> {
            $($field: $type,)*
        }

        impl Upsert for $row<'_> {
            const TABLE: &'static str = $table;
            const KEY: &'static str = $key;
            const COLUMNS: &'static [&'static str] = &[$(stringify!($field)),*];

            fn text() -> &'static Text {
                static TEXT: LazyLock<Text> = LazyLock::new(Text::of::<$row<'static>>);
                &TEXT
            }

            fn bind<'b>(&'b self, out: &mut Binder<'_, '_, 'b>) -> QueryResult<()> {
                $(self.$field.bind(out)?;)*
                Ok(())
            }
        }

        upsert::query!($row);
    };
    (@parts $row:ident, { $($field:ident : $type:ty,)* }) => {
        impl<'a> $row<'a> {
            fn from_parts(
                entity: &'a Entity,
                details: &'a Details,
                ($($field,)*): ($($type,)*),
            ) -> Self {
                Self {
                    app_key: &entity.app_key,
                    instance: i64::from(entity.instance),
                    name: &entity.name,
                    $($field,)*
                    instance_name: details.instance_name.as_deref(),
                    source_tier: details.source_tier.as_str(),
                    timeout_us: details.timeout.map(micros),
                    description: details.description.as_deref(),
                    guard_description: details.guard_description.as_deref(),
                    source_location: details.source_location.as_deref(),
                    registration_source: details.registration_source.as_deref(),
                    entity: details.entity.as_deref(),
                    overlap: details.overlap.map(|overlap| overlap.as_str()),
                    overlap_limit: details.overlap_limit.map(i64::from),
                    priority: i64::from(details.priority),
                    once: i64::from(details.once),
                    program: details.program.as_deref(),
                    annotations: details.annotations.as_deref(),
                    retired_us: None,
                    removed_us: None,
                }
            }
        }
    };
}

registration_row!(ListenerRow, "listeners", key "app_key, instance, name, topic", {
    topic: &'a str,
});
registration_row!(JobRow, "scheduled_jobs", key "app_key, instance, name", {
    handler_name: Option<&'a str>,
    trigger_type: &'a str,
    trigger_label: Option<&'a str>,
    trigger_detail: Option<&'a str>,
    job_group: Option<&'a str>,
    arguments_json: Option<&'a str>,
});

impl<'a> ListenerRow<'a> {
    pub(crate) fn new(entity: &'a Entity, details: &'a Details) -> Self {
        Self::from_parts(entity, details, (&entity.topic,))
    }
}

impl<'a> JobRow<'a> {
    pub(crate) fn new(entity: &'a Entity, details: &'a Details, job: &'a JobDetails) -> Self {
        let schedule = &job.schedule;
        let of_job = (
            job.handler_name.as_deref(),
            &*schedule.trigger_type,
            schedule.label.as_deref(),
            schedule.detail.as_deref(),
            job.group.as_deref(),
            job.arguments_json.as_deref(),
        );
        Self::from_parts(entity, details, of_job)
    }
}
