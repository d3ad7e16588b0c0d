//! Encodes and decodes records, starts and ends of sessions for the spool; [`super::encoder`] encodes those that
//! are written for each execution. Every payload begins with its version, and a reader knows every version ever
//! written. Numbers are little-endian; a text is its length in four bytes, then its bytes.

use std::sync::Arc;
use std::time::Duration;

use executor_core::lines::Lines;
use executor_core::ports::{ProgramGroup, Session, SessionEnd, SessionStatus};
use executor_core::record::RecordFlags;
use executor_core::{
    Entity, ExecutionId, ExecutionRecord, Failure, Ledger, RowId, SessionId, SourceTier, Status,
    Subject, TimeoutOrigin, Timestamp, Trigger, TriggerMode,
};
use thiserror::Error;
use uuid::Uuid;

/// Version 2 added topic, due time and exit status.
pub(super) const VERSION: u8 = 2;

/// An undamaged payload that this program cannot read.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Malformed {
    #[error("payload has version {0}, but this program only knows version {VERSION}")]
    Version(u8),
    #[error("payload is too short")]
    Short,
    #[error("payload has {0} extra bytes at its end")]
    Long(usize),
    #[error("payload has an unknown value in its {0}")]
    Value(&'static str),
}

type Read<T> = Result<T, Malformed>;

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
    let mut input = Input::of(bytes)?;
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
    let mut input = Input::of(bytes)?;
    let execution_id = ExecutionId::from_uuid(input.uuid()?);
    let source_tier = input.tier()?;
    let status = input.status()?;
    let flags = input.u8()?;
    let more_flags = if input.version < 2 { 0 } else { input.u8()? };
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
    let mut input = Input::of(bytes)?;
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
    let mut input = Input::of(bytes)?;
    let id = ExecutionId::from_uuid(input.uuid()?);
    let group = ProgramGroup {
        boot: input.array()?,
        id: input.u32()?,
        started: input.u64()?,
        program: input.text()?.into(),
    };
    input.end((id, group))
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
    let mut input = Input::of(bytes)?;
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
    let mut input = Input::of(bytes)?;
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

/// The bytes that have not been read yet.
struct Input<'b> {
    rest: &'b [u8],
    version: u8,
}

impl<'b> Input<'b> {
    fn of(bytes: &'b [u8]) -> Read<Self> {
        match bytes.split_first() {
            Some((version @ 1..=VERSION, rest)) => Ok(Self {
                rest,
                version: *version,
            }),
            Some((version, _)) => Err(Malformed::Version(*version)),
            None => Err(Malformed::Short),
        }
    }

    fn end<T>(self, value: T) -> Read<T> {
        match self.rest.len() {
            0 => Ok(value),
            more => Err(Malformed::Long(more)),
        }
    }

    fn bytes(&mut self, count: usize) -> Read<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let bytes = self.bytes(N)?;
        bytes.try_into().map_err(|_| Malformed::Short)
    }

    fn u8(&mut self) -> Read<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn i32(&mut self) -> Read<i32> {
        self.array().map(i32::from_le_bytes)
    }

    fn i64(&mut self) -> Read<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn duration(&mut self) -> Read<Duration> {
        self.u64().map(Duration::from_nanos)
    }

    fn uuid(&mut self) -> Read<Uuid> {
        self.array().map(Uuid::from_bytes)
    }

    fn str(&mut self) -> Read<&'b str> {
        let length = self.u32()? as usize;
        let bytes = self.bytes(length)?;
        std::str::from_utf8(bytes).map_err(|_| Malformed::Value("text"))
    }

    fn text(&mut self) -> Read<String> {
        self.str().map(str::to_owned)
    }

    fn tier(&mut self) -> Read<SourceTier> {
        match self.u8()? {
            0 => Ok(SourceTier::App),
            1 => Ok(SourceTier::Framework),
            _ => Err(Malformed::Value("tier")),
        }
    }

    fn status(&mut self) -> Read<Status> {
        let code = self.u8()?;
        Status::from_code(code.into()).ok_or(Malformed::Value("status"))
    }

    fn failure(&mut self) -> Read<Failure> {
        let (error_type, message) = (self.text()?, self.text()?);
        let has_report = self.u8()? != 0;
        Ok(Failure {
            error_type,
            message,
            report: has_report.then(|| self.text()).transpose()?,
        })
    }

    fn lines(&mut self) -> Read<Lines> {
        let [kept, total, total_bytes] = [self.u64()?, self.u64()?, self.u64()?];
        let is_binary = self.is_set("kind of output")?;
        let body = self.str()?;
        Ok(Lines::from_parts(kept, total, total_bytes, is_binary, body))
    }

    fn subject(&mut self) -> Read<Subject> {
        let kind = self.u8()?;
        let row = Some(self.i64()?).filter(|row| *row != 0);
        let instance = self.u32()?;
        let (app_key, name) = (self.text()?, self.text()?);
        let entity = match kind {
            0 => Entity::listener(app_key, instance, name, self.text()?),
            1 => Entity::job(app_key, instance, name),
            _ => return Err(Malformed::Value("kind")),
        };
        Ok(Subject {
            entity: Arc::new(entity),
            row: row.map(RowId::new),
        })
    }

    fn topic(&mut self) -> Read<Option<Arc<str>>> {
        let has_topic = self.version >= 2 && self.is_set("topic")?;
        has_topic.then(|| self.str().map(Arc::from)).transpose()
    }

    /// Reads a text that a session has since version 2, if it has it.
    fn later_text(&mut self, what: &'static str) -> Read<Option<String>> {
        if self.version < 2 {
            return Ok(None);
        }
        let is_set = self.is_set(what)?;
        Ok(Some(self.text()?).filter(|_| is_set))
    }

    fn due_at(&mut self) -> Read<Option<Timestamp>> {
        let is_due = self.version >= 2 && self.is_set("due time")?;
        let micros = is_due.then(|| self.i64()).transpose()?;
        Ok(micros.map(Timestamp::from_micros))
    }

    fn is_set(&mut self, what: &'static str) -> Read<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::Value(what)),
        }
    }

    fn trigger(&mut self) -> Read<Trigger> {
        Ok(match self.u8()? {
            0 => Trigger::Event {
                origin: Arc::from(self.str()?),
                id: None,
            },
            1 => Trigger::Event {
                origin: Arc::from(self.str()?),
                id: Some(Arc::from(self.str()?)),
            },
            2 => Trigger::Synthetic,
            3 => Trigger::Job(TriggerMode::Schedule),
            4 => Trigger::Job(TriggerMode::Manual),
            _ => return Err(Malformed::Value("trigger")),
        })
    }
}

#[cfg(test)]
mod tests;
