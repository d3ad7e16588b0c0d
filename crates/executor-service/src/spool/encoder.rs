//! Encodes the start and the record of an execution. Both are written for every execution, so this must be cheap.

#[cfg(feature = "process")]
use executor_core::ports::Orphan;
use executor_core::ports::{ExecutionEnd, ExecutionStart, SubjectRef, TriggerRef};
use executor_core::{EntityKind, ExecutionId, RowId, TimeoutOrigin, TriggerMode};
use record_spool::MAX_PAYLOAD;

#[cfg(feature = "process")]
use crate::spool::codec;
use crate::spool::codec::{
    ARGUMENTS, BLOCKED, BY_DEADLINE, BY_HANDLER, DI_FAILURE, EXIT_CODE, FAILURE, LEAKED, LINES,
    OVERRAN, VERSION, nanos, put_duration, put_failure, put_lines, put_text, tier_code,
};

const START_HEAD: usize = 26;
const RECORD_HEAD: usize = 46;

/// A reusable buffer for encoding. Starts and records share subject and trigger, behind heads of different
/// lengths: a record that follows its own start puts its head in front of the existing bytes.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// Room for the longer head, then subject and trigger, then the parts that only a record has.
    bytes: Vec<u8>,
    /// The execution that subject and trigger belong to, its row (0 if unknown), and where they end.
    common: Option<(ExecutionId, i64, usize)>,
}

impl Encoder {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            common: None,
        }
    }

    /// Encodes a start.
    pub(crate) fn start(&mut self, start: &ExecutionStart<'_>) -> &[u8] {
        self.put_common(start);
        let bytes = &mut self.bytes[RECORD_HEAD - START_HEAD..];
        bytes[..START_HEAD].copy_from_slice(&join::<START_HEAD, _>([
            &[VERSION],
            start.execution_id.as_uuid().as_bytes(),
            &[tier_code(start.source_tier)],
            &start.started_at.as_micros().to_le_bytes(),
        ]));
        bytes
    }

    /// Encodes a record, without its lines, and then also without its arguments, if they make it too long for a frame.
    /// Reuses subject and trigger of the execution's start if that was encoded last and knew the same row.
    pub(crate) fn record(&mut self, end: &ExecutionEnd<'_>) -> &[u8] {
        self.put_record(end);
        let without_lines = ExecutionEnd {
            lines: None,
            ..*end
        };
        if self.bytes.len() > MAX_PAYLOAD {
            self.put_record(&without_lines);
        }
        if self.bytes.len() > MAX_PAYLOAD {
            self.put_record(&ExecutionEnd {
                arguments_json: None,
                ..without_lines
            });
        }
        &self.bytes
    }

    fn put_record(&mut self, end: &ExecutionEnd<'_>) {
        let (id, row) = (end.start.execution_id, number_of(end.start.subject.row));
        match self.common {
            Some((known, known_row, common_end)) if (known, known_row) == (id, row) => {
                self.bytes.truncate(common_end);
            }
            _ => self.put_common(&end.start),
        }
        let tier = tier_code(end.start.source_tier);
        self.bytes[..RECORD_HEAD].copy_from_slice(&join::<RECORD_HEAD, _>([
            &[VERSION],
            end.start.execution_id.as_uuid().as_bytes(),
            &[
                tier,
                end.status.code(),
                flags_of(end),
                more_flags_of(end),
                end.generation,
            ],
            &end.start.started_at.as_micros().to_le_bytes(),
            &nanos(end.duration).to_le_bytes(),
            &end.retry_count.to_le_bytes(),
            &end.attempt_number.to_le_bytes(),
        ]));
        self.put_rest(end);
    }

    fn put_common(&mut self, start: &ExecutionStart<'_>) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&[0; RECORD_HEAD]);
        put_subject(&mut self.bytes, start.subject);
        put_trigger(&mut self.bytes, start.trigger);
        put_own(&mut self.bytes, start);
        let row = number_of(start.subject.row);
        self.common = Some((start.execution_id, row, self.bytes.len()));
    }

    fn put_rest(&mut self, end: &ExecutionEnd<'_>) {
        if let Some(blocked) = end.flags.blocked {
            put_duration(&mut self.bytes, blocked);
        }
        if let Some(code) = end.exit_code {
            self.bytes.extend_from_slice(&code.to_le_bytes());
        }
        if let Some(failure) = end.failure {
            put_failure(&mut self.bytes, failure);
        }
        if let Some(lines) = end.lines {
            put_lines(&mut self.bytes, lines);
        }
        if let Some(arguments) = end.arguments_json {
            put_text(&mut self.bytes, arguments);
        }
    }
}

/// Encodes a program that has outlived its process, with the listener or job that it belongs to.
#[cfg(feature = "process")]
pub(crate) fn write_orphan(orphan: &Orphan) -> Vec<u8> {
    let mut out = codec::write_program(orphan.execution_id, &orphan.group);
    let (entity, row) = (&orphan.entity, None);
    put_subject(&mut out, SubjectRef { entity, row });
    out
}

fn flags_of(end: &ExecutionEnd<'_>) -> u8 {
    let flags = &end.flags;
    let origin = match flags.timeout_origin {
        None => 0,
        Some(TimeoutOrigin::Deadline) => BY_DEADLINE,
        Some(TimeoutOrigin::Handler) => BY_HANDLER,
        Some(TimeoutOrigin::Queue) => BY_DEADLINE | BY_HANDLER,
    };
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    origin
        | flag(flags.is_di_failure, DI_FAILURE)
        | flag(flags.thread_leaked, LEAKED)
        | flag(flags.overran, OVERRAN)
        | flag(flags.blocked.is_some(), BLOCKED)
        | flag(end.failure.is_some(), FAILURE)
        | flag(end.arguments_json.is_some(), ARGUMENTS)
}

fn more_flags_of(end: &ExecutionEnd<'_>) -> u8 {
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    flag(end.exit_code.is_some(), EXIT_CODE) | flag(end.lines.is_some(), LINES)
}

/// Joins fields into `N` bytes, so that a buffer grows only once.
#[inline]
fn join<const N: usize, const FIELDS: usize>(fields: [&[u8]; FIELDS]) -> [u8; N] {
    let (mut bytes, mut end) = ([0; N], 0);
    for field in fields {
        bytes[end..end + field.len()].copy_from_slice(field);
        end += field.len();
    }
    debug_assert_eq!(end, N, "the fields do not add up to N bytes");
    bytes
}

/// Returns the row, or 0 if it is unknown: no store assigns 0.
fn number_of(row: Option<RowId>) -> i64 {
    row.map_or(0, RowId::get)
}

fn put_subject(out: &mut Vec<u8>, SubjectRef { entity, row }: SubjectRef<'_>) {
    let kind = match entity.kind {
        EntityKind::Listener => 0,
        EntityKind::Job => 1,
    };
    let (row, instance) = (number_of(row).to_le_bytes(), entity.instance.to_le_bytes());
    out.extend_from_slice(&join::<13, _>([&[kind], &row, &instance]));
    put_text(out, &entity.app_key);
    put_text(out, &entity.name);
    if entity.kind == EntityKind::Listener {
        put_text(out, &entity.topic);
    }
}

/// Puts the topic of the event and the due time; usually there is neither.
fn put_own(out: &mut Vec<u8>, start: &ExecutionStart<'_>) {
    if start.topic.is_none() && start.due_at.is_none() {
        return out.extend_from_slice(&[0, 0]);
    }
    out.push(u8::from(start.topic.is_some()));
    if let Some(topic) = start.topic {
        put_text(out, topic);
    }
    out.push(u8::from(start.due_at.is_some()));
    if let Some(due) = start.due_at {
        out.extend_from_slice(&due.as_micros().to_le_bytes());
    }
}

fn put_trigger(out: &mut Vec<u8>, trigger: TriggerRef<'_>) {
    match trigger {
        TriggerRef::Event { id: None, origin } => {
            out.push(0);
            put_text(out, origin);
        }
        TriggerRef::Event {
            id: Some(id),
            origin,
        } => {
            out.push(1);
            put_text(out, origin);
            put_text(out, id);
        }
        TriggerRef::Synthetic => out.push(2),
        TriggerRef::Job(TriggerMode::Schedule) => out.push(3),
        TriggerRef::Job(TriggerMode::Manual) => out.push(4),
    }
}
