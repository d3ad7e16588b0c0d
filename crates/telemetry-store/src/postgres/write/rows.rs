//! The rows of executions, column by column, as statements take arrays.

use std::borrow::Cow;

use executor_core::time::micros;
use executor_core::{ExecutionRecord, Timestamp};
use uuid::Uuid;

use crate::codes::{BINARY, code_of, flags};
use crate::postgres::sql::text;
use crate::postgres::write::count;

/// One column.
type Texts<'r> = Vec<Option<Cow<'r, str>>>;

/// Executions, with their failures.
#[derive(Default)]
pub(super) struct Executions<'r> {
    pub(super) ended_us: Vec<i64>,
    pub(super) start_us: Vec<i64>,
    pub(super) duration_us: Vec<i64>,
    pub(super) entity_id: Vec<i64>,
    pub(super) flags: Vec<i32>,
    pub(super) kind: Vec<i16>,
    pub(super) status: Vec<i16>,
    pub(super) execution_id: Vec<Uuid>,
    pub(super) trigger_id: Texts<'r>,
    pub(super) trigger_origin: Texts<'r>,
    pub(super) trigger_mode: Texts<'r>,
    pub(super) due_us: Vec<Option<i64>>,
    pub(super) exit_code: Vec<Option<i32>>,
    pub(super) blocked_us: Vec<Option<i64>>,
    pub(super) retry_count: Vec<Option<i64>>,
    pub(super) attempt_number: Vec<Option<i64>>,
    pub(super) topic: Texts<'r>,
    pub(super) args_json: Texts<'r>,
    pub(super) error_type: Texts<'r>,
    pub(super) error_message: Texts<'r>,
    pub(super) error_report: Texts<'r>,
}

impl<'r> Executions<'r> {
    /// Collects records and the ids of their entities.
    pub(super) fn of(records: impl Iterator<Item = (&'r ExecutionRecord, i64)>) -> Self {
        let mut rows = Self::default();
        records.for_each(|(record, entity)| rows.add(record, entity));
        rows
    }

    fn add(&mut self, record: &'r ExecutionRecord, entity: i64) {
        self.ended_us.push(record.ended_at().as_micros());
        self.start_us.push(record.started_at.as_micros());
        self.duration_us.push(micros(record.duration));
        self.entity_id.push(entity);
        self.flags.push(flags(record) as i32);
        self.kind.push(code_of(record.subject.entity.kind) as i16);
        self.status.push(i16::from(record.status.code()));
        self.execution_id.push(*record.execution_id.as_uuid());
        let trigger = &record.trigger;
        self.trigger_id.push(trigger.id().map(text));
        self.trigger_origin.push(trigger.origin().map(text));
        let mode = trigger.mode().map(|mode| Cow::Borrowed(mode.as_str()));
        self.trigger_mode.push(mode);
        self.due_us.push(record.due_at.map(Timestamp::as_micros));
        self.exit_code.push(record.exit_code);
        self.blocked_us.push(record.flags.blocked.map(micros));
        // What is usual takes no room.
        let unless = |number: u32, usual| (number != usual).then_some(i64::from(number));
        self.retry_count.push(unless(record.retry_count, 0));
        self.attempt_number.push(unless(record.attempt_number, 1));
        self.topic.push(record.topic.as_deref().map(text));
        self.args_json
            .push(record.arguments_json.as_deref().map(text));
        self.add_failure(record);
    }

    fn add_failure(&mut self, record: &'r ExecutionRecord) {
        let failure = record.failure.as_deref();
        self.error_type.push(failure.map(|it| text(&it.error_type)));
        self.error_message.push(failure.map(|it| text(&it.message)));
        let report = failure.and_then(|it| it.report.as_deref());
        self.error_report.push(report.map(text));
    }
}

/// What executions said.
#[derive(Default)]
pub(super) struct LinesOf<'r> {
    pub(super) ended_us: Vec<i64>,
    pub(super) execution_id: Vec<Uuid>,
    pub(super) entity_id: Vec<i64>,
    pub(super) lines: Vec<i64>,
    pub(super) total_lines: Vec<i64>,
    pub(super) total_bytes: Vec<i64>,
    pub(super) flags: Vec<i32>,
    pub(super) body: Vec<Cow<'r, str>>,
}

impl<'r> LinesOf<'r> {
    /// Collects the lines of records that have some.
    pub(super) fn of(records: impl Iterator<Item = (&'r ExecutionRecord, i64)>) -> Self {
        let mut rows = Self::default();
        for (record, entity) in records {
            let Some(lines) = record.lines.as_deref() else {
                continue;
            };
            rows.ended_us.push(record.ended_at().as_micros());
            rows.execution_id.push(*record.execution_id.as_uuid());
            rows.entity_id.push(entity);
            rows.lines.push(count(lines.kept()));
            rows.total_lines.push(count(lines.total()));
            rows.total_bytes.push(count(lines.total_bytes()));
            let flags = if lines.is_binary() { BINARY as i32 } else { 0 };
            rows.flags.push(flags);
            rows.body.push(text(lines.body()));
        }
        rows
    }
}
