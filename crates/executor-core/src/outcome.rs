//! How an execution can end. A closed set: a caller that matches on it has thought of everything.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::failure::Failure;
use crate::identity::ExecutionId;
use crate::time::Timestamp;

/// How an execution ended, as a row says it. The numbers are those of the tables and never change.
///
/// ```
/// use executor_core::Status;
///
/// assert_eq!(Status::TimedOut.as_str(), "timed_out");
/// assert_eq!(Status::from_code(2), Some(Status::TimedOut));
/// assert_eq!(Status::from_code(99), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    /// The handler returned `Ok`.
    Success = 0,
    /// The handler returned an error.
    Error = 1,
    /// A deadline passed.
    TimedOut = 2,
    /// Dropped or told to stop before it was done.
    Cancelled = 3,
    /// The handler panicked.
    Panicked = 4,
    /// A guard or an overlap rule said no; the handler did not run.
    Skipped = 5,
    /// Begun by a process that died before the end.
    Interrupted = 6,
}

impl Status {
    /// Every status, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Success,
        Self::Error,
        Self::TimedOut,
        Self::Cancelled,
        Self::Panicked,
        Self::Skipped,
        Self::Interrupted,
    ];

    /// The word for it in logs, tables, metrics and views.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
            Self::Skipped => "skipped",
            Self::Interrupted => "interrupted",
        }
    }

    /// Its number in the tables.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The status with this number, if there is one.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|status| i64::from(status.code()) == code)
    }
}

/// Who said that the time was up.
///
/// ```
/// use std::sync::Arc;
/// use executor_core::{Failure, Outcome, TimeoutOrigin};
///
/// let outcome = Outcome::TimedOut(TimeoutOrigin::Deadline, Arc::new(Failure::deadline()));
/// assert!(matches!(outcome, Outcome::TimedOut(TimeoutOrigin::Deadline, _)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeoutOrigin {
    /// The execution's own deadline passed.
    Deadline,
    /// The handler itself returned a timeout error.
    Handler,
    /// The deadline passed while a blocking handler was waiting for a thread: it never ran.
    Queue,
}

/// How an execution ended, as its caller sees it. A caller never sees
/// [`Status::Interrupted`]: it died with the execution.
///
/// ```
/// use executor_core::Outcome;
///
/// fn describe(outcome: &Outcome) -> String {
///     match outcome {
///         Outcome::Success => "done".into(),
///         Outcome::Error(failure) | Outcome::Panicked(failure) => failure.message.clone(),
///         Outcome::TimedOut(..) | Outcome::Cancelled => "stopped".into(),
///         Outcome::Skipped(why) => format!("did not run: {why}"),
///     }
/// }
/// assert_eq!(describe(&Outcome::Skipped("it is day".into())), "did not run: it is day");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The handler returned `Ok`.
    Success,
    /// The handler returned an error.
    Error(Arc<Failure>),
    /// The handler panicked; the panic went no further.
    Panicked(Arc<Failure>),
    /// The time was up.
    TimedOut(TimeoutOrigin, Arc<Failure>),
    /// Told to stop before it was done.
    Cancelled,
    /// Did not run, and why.
    Skipped(Arc<str>),
}

impl Outcome {
    /// The status that the record carries.
    pub const fn status(&self) -> Status {
        match self {
            Self::Success => Status::Success,
            Self::Error(_) => Status::Error,
            Self::Panicked(_) => Status::Panicked,
            Self::TimedOut(..) => Status::TimedOut,
            Self::Cancelled => Status::Cancelled,
            Self::Skipped(_) => Status::Skipped,
        }
    }

    /// What went wrong, where something did.
    pub const fn failure(&self) -> Option<&Arc<Failure>> {
        match self {
            Self::Error(failure) | Self::Panicked(failure) | Self::TimedOut(_, failure) => {
                Some(failure)
            }
            Self::Success | Self::Cancelled | Self::Skipped(_) => None,
        }
    }
}

/// What the caller of an execution gets back. Errors, panics and timeouts are outcomes in here.
///
/// ```
/// # use executor_core::{ExecutionId, Timestamp};
/// # let started_at = Timestamp::from_micros(0);
/// # let execution_id = ExecutionId::new(started_at);
/// use std::time::Duration;
/// use executor_core::{ExecutionResult, Outcome, Status};
///
/// # let duration = Duration::from_millis(5);
/// let result = ExecutionResult { execution_id, outcome: Outcome::Success, started_at, duration };
/// assert_eq!(result.status(), Status::Success);
/// println!("{} took {:?}", result.execution_id, result.duration);
/// ```
#[derive(Clone, Debug)]
pub struct ExecutionResult {
    /// The execution's name; the same as in its row.
    pub execution_id: ExecutionId,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began, by the wall clock.
    pub started_at: Timestamp,
    /// How long it took, by the monotonic clock.
    pub duration: Duration,
}

impl ExecutionResult {
    /// The status that the record carries.
    pub const fn status(&self) -> Status {
        self.outcome.status()
    }
}

/// Nothing ran and nothing is recorded.
///
/// ```
/// assert_eq!(executor_core::Refused::Stopping.to_string(), "refused: the executor is stopping");
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// The service is stopping or has stopped.
    #[error("refused: the executor is stopping")]
    Stopping,
    /// The service, or the listener or job, is paused.
    #[error("refused: what is to run is paused")]
    Paused,
    /// As many submitted commands as may be are not finished.
    #[error("refused: too many submitted commands are waiting or running")]
    Busy,
    /// The listener or job was cancelled.
    #[error("refused: the listener or job was removed")]
    Removed,
}

#[cfg(test)]
mod tests;
