//! The ways in which an execution can end. The set is closed, so a `match` on it covers every case.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::failure::Failure;
use crate::identity::ExecutionId;
use crate::time::Timestamp;

/// The status in which an execution ended, as a row stores it. The tables use these numbers, which never change.
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
    /// It was dropped or cancelled before it was done.
    Cancelled = 3,
    /// The handler panicked.
    Panicked = 4,
    /// A guard or an overlap rule rejected the run; the handler did not run.
    Skipped = 5,
    /// The process died before the execution ended.
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

    /// Returns its name in logs, tables, metrics and views.
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

    /// Returns its number in the tables.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Returns the status with this number, if there is one.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|status| i64::from(status.code()) == code)
    }
}

/// The origin of a timeout.
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

/// The outcome of an execution, as its caller sees it. A caller never sees
/// [`Status::Interrupted`], because the caller died with the execution.
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
    /// The deadline passed, or the handler reported a timeout.
    TimedOut(TimeoutOrigin, Arc<Failure>),
    /// It was cancelled before it was done.
    Cancelled,
    /// The handler did not run, for this reason.
    Skipped(Arc<str>),
}

impl Outcome {
    /// Returns the status that the record carries.
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

    /// Returns the failure, if there is one.
    pub const fn failure(&self) -> Option<&Arc<Failure>> {
        match self {
            Self::Error(failure) | Self::Panicked(failure) | Self::TimedOut(_, failure) => {
                Some(failure)
            }
            Self::Success | Self::Cancelled | Self::Skipped(_) => None,
        }
    }
}

/// The result that the caller of an execution gets. Errors, panics and timeouts are outcomes inside it.
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
    /// The execution's id, the same as in its row.
    pub execution_id: ExecutionId,
    /// The outcome.
    pub outcome: Outcome,
    /// The time at which it began, by the wall clock.
    pub started_at: Timestamp,
    /// The time that it took, by the monotonic clock.
    pub duration: Duration,
}

impl ExecutionResult {
    /// Returns the status that the record carries.
    pub const fn status(&self) -> Status {
        self.outcome.status()
    }
}

/// The refusal of a command: nothing ran and nothing is recorded.
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
    #[error("refused: the executor, listener or job is paused")]
    Paused,
    /// The limit of unfinished submitted commands is reached.
    #[error("refused: too many submitted commands are waiting or running")]
    Busy,
    /// The listener or job was cancelled.
    #[error("refused: the listener or job was removed")]
    Removed,
}

#[cfg(test)]
mod tests;
