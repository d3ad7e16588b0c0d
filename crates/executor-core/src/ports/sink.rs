//! What an execution leaves behind, on its way to whoever keeps it. It is shown, not given: a sink that
//! writes it down at once needs no record of its own.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;
use crate::identity::{ExecutionId, SourceTier};
use crate::outcome::Status;
use crate::record::{ExecutionRecord, RecordFlags, SubjectRef, TriggerRef};
use crate::time::Timestamp;

/// What is known of an execution when it begins.
#[derive(Clone, Copy, Debug)]
pub struct ExecutionStart<'a> {
    /// Its name.
    pub execution_id: ExecutionId,
    /// What runs.
    pub subject: SubjectRef<'a>,
    /// Who wrote what runs.
    pub source_tier: SourceTier,
    /// When it began.
    pub started_at: Timestamp,
    /// What started it.
    pub trigger: TriggerRef<'a>,
}

/// What is known of an execution when it has ended: all that its record says. A sink that writes it down
/// at once needs no record of its own.
///
/// ```
/// use executor_core::ports::ExecutionEnd;
///
/// fn line(end: &ExecutionEnd<'_>) -> String {
///     format!("{} {} {:?}", end.start.execution_id, end.status.as_str(), end.duration)
/// }
/// # drop(line);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ExecutionEnd<'a> {
    /// What was known when it began; the subject's row is there too if the store has said meanwhile.
    pub start: ExecutionStart<'a>,
    /// How it ended.
    pub status: Status,
    /// How long it took, by the monotonic clock.
    pub duration: Duration,
    /// What went wrong.
    pub failure: Option<&'a Arc<Failure>>,
    /// What else is remarkable.
    pub flags: RecordFlags,
    /// As [`ExecutionRecord::generation`].
    pub generation: u8,
    /// As [`ExecutionRecord::retry_count`].
    pub retry_count: u32,
    /// As [`ExecutionRecord::attempt_number`].
    pub attempt_number: u32,
    /// Its arguments as JSON, where the author asked for them.
    pub arguments_json: Option<&'a str>,
}

impl ExecutionEnd<'_> {
    /// The record of it.
    #[inline]
    pub fn to_record(&self) -> ExecutionRecord {
        ExecutionRecord {
            execution_id: self.start.execution_id,
            subject: self.start.subject.to_subject(),
            source_tier: self.start.source_tier,
            status: self.status,
            started_at: self.start.started_at,
            duration: self.duration,
            failure: self.failure.map(Arc::clone),
            flags: self.flags,
            trigger: self.start.trigger.to_trigger(),
            generation: self.generation,
            retry_count: self.retry_count,
            attempt_number: self.attempt_number,
            arguments_json: self.arguments_json.map(Box::from),
        }
    }
}

impl<'a> From<&'a ExecutionRecord> for ExecutionEnd<'a> {
    fn from(record: &'a ExecutionRecord) -> Self {
        Self {
            start: ExecutionStart {
                execution_id: record.execution_id,
                subject: (&record.subject).into(),
                source_tier: record.source_tier,
                started_at: record.started_at,
                trigger: (&record.trigger).into(),
            },
            status: record.status,
            duration: record.duration,
            failure: record.failure.as_ref(),
            flags: record.flags,
            generation: record.generation,
            retry_count: record.retry_count,
            attempt_number: record.attempt_number,
            arguments_json: record.arguments_json.as_deref(),
        }
    }
}

/// What a sink remembers of a beginning: it gets it back with the end. What it means is the sink's
/// business.
///
/// ```
/// use executor_core::ports::Ticket;
/// assert_eq!(Ticket::NONE, Ticket([0; 3]));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket(pub [u64; 3]);

impl Ticket {
    /// Nothing is remembered: no handler began, or the sink has no use for it.
    pub const NONE: Self = Self([0; 3]);
}

/// Takes what executions leave behind. All that the runner knows of what comes after it.
///
/// Both methods return at once, never fail and never panic; they may be called from `Drop`, and
/// while a thread unwinds. What cannot be kept is counted by the sink.
///
/// ```
/// use std::sync::Mutex;
/// use executor_core::ports::{ExecutionEnd, ExecutionStart, Ticket};
/// use executor_core::{ExecutionRecord, RecordSink};
///
/// #[derive(Default)]
/// struct Kept(Mutex<Vec<ExecutionRecord>>);
/// impl RecordSink for Kept {
///     fn begin(&self, _: &ExecutionStart<'_>) -> Ticket {
///         Ticket::NONE
///     }
///     fn offer(&self, end: &ExecutionEnd<'_>, _: Ticket) {
///         self.0.lock().unwrap_or_else(|poison| poison.into_inner()).push(end.to_record());
///     }
/// }
/// # assert!(Kept::default().0.into_inner().is_ok_and(|kept| kept.is_empty()));
/// ```
pub trait RecordSink: Send + Sync + 'static {
    /// An execution's handler begins. Exactly one [`offer`](Self::offer) with the same id follows,
    /// with what this returns, unless the process dies or the future is forgotten.
    fn begin(&self, start: &ExecutionStart<'_>) -> Ticket;

    /// An execution has ended. On return its record is accounted for: kept, or counted as lost. One
    /// whose handler never ran (skipped, a guard that failed, cancelled in line) comes without a
    /// [`begin`](Self::begin), with [`Ticket::NONE`].
    fn offer(&self, end: &ExecutionEnd<'_>, ticket: Ticket);
}
