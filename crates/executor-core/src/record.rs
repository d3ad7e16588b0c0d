//! The record of one execution: plain, self-contained data. The store decides how to keep it, and the batch
//! that carries it names its session.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;
use crate::identity::{Entity, ExecutionId, RowId, SourceTier};
use crate::lines::Lines;
use crate::outcome::{Status, TimeoutOrigin};
use crate::time::Timestamp;

/// The listener or job that ran. The entity is shared with the registration, not copied.
///
/// ```
/// use std::sync::Arc;
/// use executor_core::{Entity, Subject};
///
/// let subject = Subject { entity: Arc::new(Entity::job("lights", 0, "dim")), row: None };
/// assert_eq!(subject.entity.name, "dim");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The identity of the listener or job.
    pub entity: Arc<Entity>,
    /// The row of its registration, if the store has assigned one.
    pub row: Option<RowId>,
}

/// The trigger of a job's run.
///
/// ```
/// assert_eq!(executor_core::TriggerMode::Manual.as_str(), "manual");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TriggerMode {
    /// Its schedule.
    Schedule,
    /// A request to run it now.
    Manual,
}

impl TriggerMode {
    /// Returns its name in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Manual => "manual",
        }
    }
}

/// The trigger of an execution.
///
/// ```
/// use executor_core::{Trigger, TriggerMode};
///
/// let from_outside = Trigger::Event { id: Some("e-1".into()), origin: "sensor-3".into() };
/// assert_eq!((from_outside.id(), from_outside.origin()), (Some("e-1"), Some("sensor-3")));
/// assert_eq!(Trigger::Synthetic.origin(), Some("SYNTHETIC"));
/// assert_eq!(Trigger::Job(TriggerMode::Manual).mode(), Some(TriggerMode::Manual));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// An event from outside.
    Event {
        /// The sender's name for it.
        id: Option<Arc<str>>,
        /// Where it came from.
        origin: Arc<str>,
    },
    /// An event that the program made itself.
    Synthetic,
    /// A job's own trigger.
    Job(TriggerMode),
}

/// The origin that is recorded for a synthetic event.
pub const SYNTHETIC_ORIGIN: &str = "SYNTHETIC";

impl Trigger {
    /// Returns the triggering event's id.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Event { id, .. } => id.as_deref(),
            Self::Synthetic | Self::Job(_) => None,
        }
    }

    /// Returns the triggering event's origin.
    pub fn origin(&self) -> Option<&str> {
        match self {
            Self::Event { origin, .. } => Some(origin),
            Self::Synthetic => Some(SYNTHETIC_ORIGIN),
            Self::Job(_) => None,
        }
    }

    /// Returns the job's trigger mode.
    pub const fn mode(&self) -> Option<TriggerMode> {
        match self {
            Self::Job(mode) => Some(*mode),
            Self::Event { .. } | Self::Synthetic => None,
        }
    }
}

/// Notable facts about an execution besides its status.
///
/// ```
/// let flags = executor_core::record::RecordFlags::default(); // nothing is remarkable
/// assert!(!flags.overran && flags.blocked.is_none());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordFlags {
    /// Something the handler needed could not be provided.
    pub is_di_failure: bool,
    /// Its blocking thread was still running when the execution ended.
    pub thread_leaked: bool,
    /// It was polled to completion only after its deadline.
    pub overran: bool,
    /// The origin of the timeout, if the status is `timed_out`.
    pub timeout_origin: Option<TimeoutOrigin>,
    /// The duration of its longest poll, if that held the runtime's thread for too long.
    pub blocked: Option<Duration>,
}

/// One execution, from its first poll to its end.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use executor_core::record::{ExecutionRecord, RecordFlags, Subject, Trigger, TriggerMode};
/// use executor_core::{Entity, ExecutionId, SourceTier, Status, Timestamp};
///
/// let started_at = Timestamp::from_micros(1_767_225_600_000_000);
/// let record = ExecutionRecord {
///     execution_id: ExecutionId::new(started_at),
///     subject: Subject { entity: Arc::new(Entity::job("lights", 0, "dim")), row: None },
///     source_tier: SourceTier::App,
///     status: Status::Success,
///     started_at,
///     duration: Duration::from_millis(5),
///     // …
/// #   failure: None, flags: RecordFlags::default(), trigger: Trigger::Job(TriggerMode::Manual),
/// #   topic: None, due_at: None, exit_code: None, lines: None, generation: 0, retry_count: 0, attempt_number: 1, arguments_json: None,
/// };
/// assert_eq!(record.ended_at().as_micros(), 1_767_225_600_005_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionRecord {
    /// The id of the execution; storing is idempotent by it.
    pub execution_id: ExecutionId,
    /// The listener or job that ran.
    pub subject: Subject,
    /// The author of the code that ran.
    pub source_tier: SourceTier,
    /// The status in which it ended.
    pub status: Status,
    /// The time at which it began, by the wall clock.
    pub started_at: Timestamp,
    /// The time that it took, by the monotonic clock.
    pub duration: Duration,
    /// The failure, shared with the caller's result.
    pub failure: Option<Arc<Failure>>,
    /// Other notable facts.
    pub flags: RecordFlags,
    /// The trigger.
    pub trigger: Trigger,
    /// The topic of the event, if it differs from the listener's own, which is then a pattern.
    pub topic: Option<Arc<str>>,
    /// The time at which the run was due, before jitter, if a schedule began it; or at which its event happened, if its
    /// sender says so.
    pub due_at: Option<Timestamp>,
    /// The exit status of the program that it ran, if that exited by itself.
    pub exit_code: Option<i32>,
    /// What it said, as far as that is kept. Pages of the history leave it out; see
    /// [`execution`](crate::ports::History::execution).
    pub lines: Option<Arc<Lines>>,
    /// The number of completion events between it and an event from outside.
    pub generation: u8,
    /// The number of failed runs of the same work before this one; 0 if nothing re-runs it.
    pub retry_count: u32,
    /// The number of this run of the same work, from 1.
    pub attempt_number: u32,
    /// Its arguments as JSON, if the author asked for them.
    pub arguments_json: Option<Box<str>>,
}

impl ExecutionRecord {
    /// Returns the time at which it ended; queries go by this time.
    pub fn ended_at(&self) -> Timestamp {
        self.started_at.saturating_add(self.duration)
    }
}

/// A borrowed [`Subject`].
///
/// ```
/// # use std::sync::Arc;
/// use executor_core::{Entity, record::SubjectRef};
///
/// let dim = Arc::new(Entity::job("lights", 0, "dim"));
/// let shown = SubjectRef { entity: &dim, row: None };
/// assert!(Arc::ptr_eq(&shown.to_subject().entity, &dim));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SubjectRef<'a> {
    /// The identity of the listener or job.
    pub entity: &'a Arc<Entity>,
    /// The row of its registration, if the store has assigned one.
    pub row: Option<RowId>,
}

impl SubjectRef<'_> {
    /// Returns an owned subject, which shares the entity.
    pub fn to_subject(self) -> Subject {
        Subject {
            entity: Arc::clone(self.entity),
            row: self.row,
        }
    }
}

impl<'a> From<&'a Subject> for SubjectRef<'a> {
    fn from(subject: &'a Subject) -> Self {
        Self {
            entity: &subject.entity,
            row: subject.row,
        }
    }
}

/// A borrowed [`Trigger`].
///
/// ```
/// use executor_core::{Trigger, TriggerMode, record::TriggerRef};
///
/// let trigger = Trigger::Job(TriggerMode::Manual);
/// assert_eq!(TriggerRef::from(&trigger).to_trigger(), trigger);
/// ```
#[derive(Clone, Copy, Debug)]
pub enum TriggerRef<'a> {
    /// An event from outside.
    Event {
        /// The sender's name for it.
        id: Option<&'a Arc<str>>,
        /// Where it came from.
        origin: &'a Arc<str>,
    },
    /// An event that the program made itself.
    Synthetic,
    /// A job's own trigger.
    Job(TriggerMode),
}

impl TriggerRef<'_> {
    /// Returns an owned trigger, which shares the texts.
    pub fn to_trigger(self) -> Trigger {
        match self {
            Self::Event { id, origin } => Trigger::Event {
                id: id.map(Arc::clone),
                origin: Arc::clone(origin),
            },
            Self::Synthetic => Trigger::Synthetic,
            Self::Job(mode) => Trigger::Job(mode),
        }
    }
}

impl<'a> From<&'a Trigger> for TriggerRef<'a> {
    fn from(trigger: &'a Trigger) -> Self {
        match trigger {
            Trigger::Event { id, origin } => Self::Event {
                id: id.as_ref(),
                origin,
            },
            Trigger::Synthetic => Self::Synthetic,
            Trigger::Job(mode) => Self::Job(*mode),
        }
    }
}
