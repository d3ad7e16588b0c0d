//! Encodes and decodes records, starts and ends of sessions for the spool; [`super::encoder`] encodes those that
//! are written for each execution. Every payload begins with its version, and a reader knows every version ever
//! written. Numbers are little-endian; a text is its length in four bytes, then its bytes.

use std::sync::Arc;
use std::time::Duration;

use executor_core::lines::Lines;
#[cfg(feature = "process")]
use executor_core::ports::Orphan;
use executor_core::ports::{ProgramGroup, Session, SessionEnd, SessionStatus};
use executor_core::record::RecordFlags;
use executor_core::{
    ExecutionId, ExecutionRecord, Failure, Ledger, SessionId, SourceTier, Status, Subject,
    TimeoutOrigin, Timestamp, Trigger,
};

use crate::spool::decoder::Decoder;

pub(super) use crate::spool::decoder::VERSION;
pub(crate) use crate::spool::decoder::{Malformed, Read};

/// The start of an execution, as read back from the spool.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) execution_id: ExecutionId,
    pub(crate) subject: Subject,
    pub(crate) source_tier: SourceTier,
    pub(crate) started_at: Timestamp,
    pub(crate) trigger: Trigger,
    pub(crate) topic: Option<Arc<str>>,
    pub(crate) due_at: Option<Timestamp>,
}

impl Start {
    /// Returns the record of an execution that was interrupted by the death of its process.
    pub(crate) fn interrupted(self) -> ExecutionRecord {
        ExecutionRecord {
            execution_id: self.execution_id,
            subject: self.subject,
            source_tier: self.source_tier,
            status: Status::Interrupted,
            started_at: self.started_at,
            duration: Duration::ZERO,
            failure: None,
            flags: RecordFlags::default(),
            trigger: self.trigger,
            topic: self.topic,
            due_at: self.due_at,
            exit_code: None,
            lines: None,
            generation: 0,
            retry_count: 0,
            attempt_number: 1,
            arguments_json: None,
        }
    }
}

pub(crate) fn read_start(bytes: &[u8]) -> Read<Start> {
    let mut input = Decoder::of(bytes)?;
    let start = Start {
        execution_id: ExecutionId::from_uuid(input.uuid()?),
        source_tier: input.tier()?,
        started_at: Timestamp::from_micros(input.i64()?),
        subject: input.subject()?,
        trigger: input.trigger()?,
        topic: input.topic()?,
        due_at: input.due_at()?,
    };
    input.end(start)
}

pub(super) const DI_FAILURE: u8 = 1;
pub(super) const LEAKED: u8 = 2;
pub(super) const OVERRAN: u8 = 4;
pub(super) const BY_DEADLINE: u8 = 8;
pub(super) const BY_HANDLER: u8 = 16;
pub(super) const BLOCKED: u8 = 32;
pub(super) const FAILURE: u8 = 64;
pub(super) const ARGUMENTS: u8 = 128;

/// The second byte of flags, since version 2.
pub(super) const EXIT_CODE: u8 = 1;
pub(super) const LINES: u8 = 2;

pub(crate) fn read_record(bytes: &[u8]) -> Read<ExecutionRecord> {
    let mut input = Decoder::of(bytes)?;
    let execution_id = ExecutionId::from_uuid(input.uuid()?);
    let source_tier = input.tier()?;
    let status = input.status()?;
    let flags = input.u8()?;
    let more_flags = if input.version() < 2 { 0 } else { input.u8()? };
    let generation = input.u8()?;
    let started_at = Timestamp::from_micros(input.i64()?);
    let duration = input.duration()?;
    let retry_count = input.u32()?;
    let attempt_number = input.u32()?;
    let subject = input.subject()?;
    let trigger = input.trigger()?;
    let (topic, due_at) = (input.topic()?, input.due_at()?);
    let has = |flag: u8| flags & flag != 0;
    let timeout_origin = match (has(BY_DEADLINE), has(BY_HANDLER)) {
        (false, false) => None,
        (true, false) => Some(TimeoutOrigin::Deadline),
        (false, true) => Some(TimeoutOrigin::Handler),
        (true, true) => Some(TimeoutOrigin::Queue),
    };
    let blocked = has(BLOCKED).then(|| input.duration()).transpose()?;
    let exit_code = (more_flags & EXIT_CODE != 0).then(|| input.i32());
    let failure = has(FAILURE).then(|| input.failure()).transpose()?;
    let lines = (more_flags & LINES != 0)
        .then(|| input.lines())
        .transpose()?;
    let arguments = has(ARGUMENTS).then(|| input.text()).transpose()?;
    let record = ExecutionRecord {
        execution_id,
        subject,
        source_tier,
        status,
        started_at,
        duration,
        failure: failure.map(Arc::new),
        flags: RecordFlags {
            is_di_failure: has(DI_FAILURE),
            thread_leaked: has(LEAKED),
            overran: has(OVERRAN),
            timeout_origin,
            blocked,
        },
        trigger,
        topic,
        due_at,
        exit_code: exit_code.transpose()?,
        lines: lines.map(Arc::new),
        generation,
        retry_count,
        attempt_number,
        arguments_json: arguments.map(String::into_boxed_str),
    };
    input.end(record)
}

/// Encodes what an execution has said, and the time of the first of its lines.
pub(crate) fn write_lines(id: ExecutionId, at: Timestamp, lines: &Lines) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(id.as_uuid().as_bytes());
    put_i64(&mut out, at.as_micros());
    put_lines(&mut out, lines);
    out
}

pub(crate) fn read_lines(bytes: &[u8]) -> Read<(ExecutionId, Timestamp, Lines)> {
    let mut input = Decoder::of(bytes)?;
    let id = ExecutionId::from_uuid(input.uuid()?);
    let said = (id, Timestamp::from_micros(input.i64()?), input.lines()?);
    input.end(said)
}

/// Encodes the process group of a program that an execution has started.
pub(crate) fn write_program(id: ExecutionId, group: &ProgramGroup) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(id.as_uuid().as_bytes());
    out.extend_from_slice(&group.boot);
    out.extend_from_slice(&group.id.to_le_bytes());
    out.extend_from_slice(&group.started.to_le_bytes());
    put_text(&mut out, &group.program);
    out
}

pub(crate) fn read_program(bytes: &[u8]) -> Read<(ExecutionId, ProgramGroup)> {
    let mut input = Decoder::of(bytes)?;
    let program = input.program()?;
    input.end(program)
}

/// Reads what [`write_orphan`](super::encoder::write_orphan) has written.
#[cfg(feature = "process")]
pub(crate) fn read_orphan(bytes: &[u8]) -> Read<Orphan> {
    let mut input = Decoder::of(bytes)?;
    let (id, group) = input.program()?;
    let orphan = Orphan::new(id, input.subject()?.entity, group);
    input.end(orphan)
}

pub(crate) fn write_session(session: &Session) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(session.id.as_uuid().as_bytes());
    out.extend_from_slice(&session.pid.to_le_bytes());
    put_i64(&mut out, session.started_at.as_micros());
    put_text(&mut out, &session.host);
    for text in [&session.program, &session.version, &session.config_hash] {
        out.push(u8::from(text.is_some()));
        put_text(&mut out, text.as_deref().unwrap_or_default());
    }
    out
}

pub(crate) fn read_session(bytes: &[u8]) -> Read<Session> {
    let mut input = Decoder::of(bytes)?;
    let session = Session {
        id: SessionId::from_uuid(input.uuid()?),
        pid: input.u32()?,
        started_at: Timestamp::from_micros(input.i64()?),
        host: input.text()?,
        program: input.later_text("program")?,
        version: input.later_text("version")?,
        config_hash: input.later_text("hash of the configuration")?,
    };
    input.end(session)
}

/// Encodes a session's end without its ledger, which is kept elsewhere because it keeps changing.
pub(crate) fn write_end(end: &SessionEnd) -> Vec<u8> {
    let is_failure = u8::from(end.status == SessionStatus::Failure);
    let mut out = vec![VERSION, is_failure, u8::from(end.failure.is_some())];
    put_i64(&mut out, end.at.as_micros());
    if let Some(failure) = &end.failure {
        put_failure(&mut out, failure);
    }
    out
}

pub(crate) fn read_end(bytes: &[u8]) -> Read<SessionEnd> {
    let mut input = Decoder::of(bytes)?;
    let status = match input.u8()? {
        0 => SessionStatus::Success,
        1 => SessionStatus::Failure,
        _ => return Err(Malformed::Value("status")),
    };
    let has_failure = input.u8()? != 0;
    let at = Timestamp::from_micros(input.i64()?);
    let failure = has_failure.then(|| input.failure()).transpose()?;
    let end = SessionEnd {
        at,
        status,
        failure,
        ledger: Ledger::default(),
    };
    input.end(end)
}

pub(super) const fn tier_code(tier: SourceTier) -> u8 {
    match tier {
        SourceTier::App => 0,
        SourceTier::Framework => 1,
    }
}

fn put_i64(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Returns the nanoseconds, saturating after 584 years.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn put_duration(out: &mut Vec<u8>, duration: Duration) {
    out.extend_from_slice(&nanos(duration).to_le_bytes());
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).expect("no text of a record is that long");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn put_failure(out: &mut Vec<u8>, failure: &Failure) {
    put_text(out, &failure.error_type);
    put_text(out, &failure.message);
    out.push(u8::from(failure.report.is_some()));
    if let Some(report) = &failure.report {
        put_text(out, report);
    }
}

pub(super) fn put_lines(out: &mut Vec<u8>, lines: &Lines) {
    for number in [lines.kept(), lines.total(), lines.total_bytes()] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.push(u8::from(lines.is_binary()));
    put_text(out, lines.body());
}

#[cfg(test)]
mod tests;
