//! The port for recording executions. The runner lends a sink the data of an execution, so a sink that serialises it
//! at once needs no record of its own.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;
use crate::identity::{ExecutionId, SourceTier};
use crate::lines::Lines;
use crate::outcome::Status;
use crate::record::{ExecutionRecord, RecordFlags, SubjectRef, TriggerRef};
use crate::time::Timestamp;

/// The facts about an execution that are known when it begins.
#[derive(Clone, Copy, Debug)]
pub struct ExecutionStart<'a> {
    /// Its id.
    pub execution_id: ExecutionId,
    /// The listener or job that runs.
    pub subject: SubjectRef<'a>,
    /// The author of the code that runs.
    pub source_tier: SourceTier,
    /// The time at which it began.
    pub started_at: Timestamp,
    /// The trigger.
    pub trigger: TriggerRef<'a>,
    /// As [`ExecutionRecord::topic`].
    pub topic: Option<&'a Arc<str>>,
    /// As [`ExecutionRecord::due_at`].
    pub due_at: Option<Timestamp>,
}

/// The facts about an execution that has ended: everything that its record says. A sink that serialises them at once
/// needs no record of its own.
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
    /// The facts from its beginning, and the subject's row if the store has assigned it meanwhile.
    pub start: ExecutionStart<'a>,
    /// The status in which it ended.
    pub status: Status,
    /// The time that it took, by the monotonic clock.
    pub duration: Duration,
    /// The failure.
    pub failure: Option<&'a Arc<Failure>>,
    /// Other notable facts.
    pub flags: RecordFlags,
    /// As [`ExecutionRecord::exit_code`].
    pub exit_code: Option<i32>,
    /// As [`ExecutionRecord::lines`].
    pub lines: Option<&'a Arc<Lines>>,
    /// As [`ExecutionRecord::generation`].
    pub generation: u8,
    /// As [`ExecutionRecord::retry_count`].
    pub retry_count: u32,
    /// As [`ExecutionRecord::attempt_number`].
    pub attempt_number: u32,
    /// Its arguments as JSON, if the author asked for them.
    pub arguments_json: Option<&'a str>,
}

impl ExecutionEnd<'_> {
    /// Creates its record.
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
            topic: self.start.topic.map(Arc::clone),
            due_at: self.start.due_at,
            exit_code: self.exit_code,
            lines: self.lines.map(Arc::clone),
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
                topic: record.topic.as_ref(),
                due_at: record.due_at,
            },
            status: record.status,
            duration: record.duration,
            failure: record.failure.as_ref(),
            flags: record.flags,
            exit_code: record.exit_code,
            lines: record.lines.as_ref(),
            generation: record.generation,
            retry_count: record.retry_count,
            attempt_number: record.attempt_number,
            arguments_json: record.arguments_json.as_deref(),
        }
    }
}

/// A sink's own note about the beginning of an execution, which it gets back with the end. Only the sink knows what
/// it means.
///
/// ```
/// use executor_core::ports::Ticket;
/// let ticket = Ticket::new([1, 2, 3]);
/// assert_eq!(ticket.words(), [1, 2, 3]);
/// assert_eq!(Ticket::NONE, Ticket::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket([u64; 3]);

impl Ticket {
    /// An empty ticket: no handler began, or the sink has no use for one.
    pub const NONE: Self = Self([0; 3]);

    /// Creates a ticket with these words; three zeros are [`NONE`](Self::NONE).
    pub const fn new(words: [u64; 3]) -> Self {
        Self(words)
    }

    /// Returns its words.
    pub const fn words(self) -> [u64; 3] {
        self.0
    }
}

/// The process group of a program that an execution runs. It may outlive this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramGroup {
    /// The boot of the machine, as the system names it: after another boot the group is gone.
    pub boot: [u8; 16],
    /// The id of the group, which is the process id of its leader.
    pub id: u32,
    /// The time at which the leader began, in the system's ticks since the boot. It tells the leader apart from a
    /// later process with the same id.
    pub started: u64,
    /// The program, as it was started.
    pub program: Arc<str>,
}

/// Receives the beginning and the end of each execution. The runner knows nothing else about the layers above it.
///
/// Its methods return at once, never fail and never panic; they may be called from `Drop`, and
/// while a thread unwinds. The sink counts records that it cannot keep.
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
    /// Receives the beginning of an execution's handler. Exactly one [`offer`](Self::offer) with the same id and the
    /// returned ticket follows, unless the process dies or the future is forgotten.
    fn begin(&self, start: &ExecutionStart<'_>) -> Ticket;

    /// Receives the end of an execution. On return its record is accounted for: kept, or counted as lost. If the
    /// handler never ran (skipped, a guard that failed, cancelled in line), there was no [`begin`](Self::begin), and
    /// the ticket is [`Ticket::NONE`].
    fn offer(&self, end: &ExecutionEnd<'_>, ticket: Ticket);

    /// Receives what a running execution has said since the last call, in case it does not live to its end. The time
    /// is that of the first of the lines, from which their times count. All lines that are to be kept come once more
    /// with the end. Returns [`Ticket::NONE`] if it cannot keep them; they are then offered again with the next ones.
    /// The default suits a sink that does not outlive the process.
    fn said(&self, _execution_id: ExecutionId, _at: Timestamp, _lines: &Lines) -> Ticket {
        Ticket::NONE
    }

    /// Receives the program that an execution has just started, in case the program outlives this process. Called
    /// before the program's end is waited for. The default suits a sink that does not outlive the process.
    fn program_began(&self, _execution_id: ExecutionId, _group: &ProgramGroup) -> Ticket {
        Ticket::NONE
    }

    /// Forgets what it was given by [`said`](Self::said) or [`program_began`](Self::program_began): the execution or
    /// the program has ended, or so much has been said since then that it is no longer kept.
    fn unsaid(&self, _tickets: &[Ticket]) {}
}
