//! Reads what the codec has written, of every version ever written.

use std::sync::Arc;
use std::time::Duration;

use executor_core::lines::Lines;
use executor_core::ports::ProgramGroup;
use executor_core::{
    Entity, ExecutionId, Failure, RowId, SourceTier, Status, Subject, Timestamp, Trigger,
    TriggerMode,
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

pub(crate) type Read<T> = Result<T, Malformed>;

/// The bytes that have not been read yet.
pub(super) struct Decoder<'b> {
    rest: &'b [u8],
    version: u8,
}

impl<'b> Decoder<'b> {
    pub(super) fn of(bytes: &'b [u8]) -> Read<Self> {
        match bytes.split_first() {
            Some((version @ 1..=VERSION, rest)) => Ok(Self {
                rest,
                version: *version,
            }),
            Some((version, _)) => Err(Malformed::Version(*version)),
            None => Err(Malformed::Short),
        }
    }

    pub(super) const fn version(&self) -> u8 {
        self.version
    }

    pub(super) fn end<T>(self, value: T) -> Read<T> {
        match self.rest.len() {
            0 => Ok(value),
            more => Err(Malformed::Long(more)),
        }
    }

    pub(super) fn bytes(&mut self, count: usize) -> Read<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let bytes = self.bytes(N)?;
        bytes.try_into().map_err(|_| Malformed::Short)
    }

    pub(super) fn u8(&mut self) -> Read<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Read<i32> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Read<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn duration(&mut self) -> Read<Duration> {
        self.u64().map(Duration::from_nanos)
    }

    pub(super) fn uuid(&mut self) -> Read<Uuid> {
        self.array().map(Uuid::from_bytes)
    }

    pub(super) fn str(&mut self) -> Read<&'b str> {
        let length = self.u32()? as usize;
        let bytes = self.bytes(length)?;
        std::str::from_utf8(bytes).map_err(|_| Malformed::Value("text"))
    }

    pub(super) fn text(&mut self) -> Read<String> {
        self.str().map(str::to_owned)
    }

    pub(super) fn tier(&mut self) -> Read<SourceTier> {
        match self.u8()? {
            0 => Ok(SourceTier::App),
            1 => Ok(SourceTier::Framework),
            _ => Err(Malformed::Value("tier")),
        }
    }

    pub(super) fn status(&mut self) -> Read<Status> {
        let code = self.u8()?;
        Status::from_code(code.into()).ok_or(Malformed::Value("status"))
    }

    pub(super) fn failure(&mut self) -> Read<Failure> {
        let (error_type, message) = (self.text()?, self.text()?);
        let has_report = self.u8()? != 0;
        Ok(Failure {
            error_type,
            message,
            report: has_report.then(|| self.text()).transpose()?,
        })
    }

    pub(super) fn lines(&mut self) -> Read<Lines> {
        let [kept, total, total_bytes] = [self.u64()?, self.u64()?, self.u64()?];
        let is_binary = self.is_set("kind of output")?;
        let body = self.str()?;
        Ok(Lines::from_parts(kept, total, total_bytes, is_binary, body))
    }

    pub(super) fn program(&mut self) -> Read<(ExecutionId, ProgramGroup)> {
        let id = ExecutionId::from_uuid(self.uuid()?);
        let group = ProgramGroup {
            boot: self.array()?,
            id: self.u32()?,
            started: self.u64()?,
            program: self.text()?.into(),
        };
        Ok((id, group))
    }

    pub(super) fn subject(&mut self) -> Read<Subject> {
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

    pub(super) fn topic(&mut self) -> Read<Option<Arc<str>>> {
        let has_topic = self.version >= 2 && self.is_set("topic")?;
        has_topic.then(|| self.str().map(Arc::from)).transpose()
    }

    /// Reads a text that a session has since version 2, if it has it.
    pub(super) fn later_text(&mut self, what: &'static str) -> Read<Option<String>> {
        if self.version < 2 {
            return Ok(None);
        }
        let is_set = self.is_set(what)?;
        Ok(Some(self.text()?).filter(|_| is_set))
    }

    pub(super) fn due_at(&mut self) -> Read<Option<Timestamp>> {
        let is_due = self.version >= 2 && self.is_set("due time")?;
        let micros = is_due.then(|| self.i64()).transpose()?;
        Ok(micros.map(Timestamp::from_micros))
    }

    pub(super) fn is_set(&mut self, what: &'static str) -> Read<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::Value(what)),
        }
    }

    pub(super) fn trigger(&mut self) -> Read<Trigger> {
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
