//! Turns one command into one record, whatever happens.
//!
//! This file holds the runner and its options; `execution` holds the execution, which owes the record.

mod aftermath;
mod execution;
mod log;
mod poll;
mod verdict;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio_util::sync::CancellationToken;

use crate::command::Command;
use crate::error_handler::HandlerFailure;
use crate::handler::BorrowingFuture;
use crate::identity::ExecutionId;
use crate::outcome::ExecutionResult;
use crate::panics;
use crate::ports::RecordSink;
use crate::redact::Redactor;
use crate::run::log::RunLog;
use crate::run::poll::Stop;
use crate::time::{Clock, Timestamp};

use aftermath::Aftermath;
use execution::Execution;

/// The options of a runner, for all executions.
///
/// ```
/// use std::time::Duration;
/// use executor_core::RunOptions;
///
/// let options = RunOptions { cancel_grace: Duration::from_secs(1), ..RunOptions::default() };
/// assert_eq!(options.slow_poll, Some(Duration::from_millis(100)));
/// ```
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The limit for one poll. A poll that holds its thread longer is recorded, and a warning names its
    /// handler. Default 100 ms; `None` does not time polls at all, which saves two clock reads per
    /// poll.
    pub slow_poll: Option<Duration>,
    /// The time that a handler has to return after a token cancelled its execution; if it returns in
    /// time, its own result is the outcome. Default 0.
    pub cancel_grace: Duration,
    /// Whether errors created inside executions capture a backtrace, with which their reports then begin. Default:
    /// no, whatever the environment says: rendering the first backtrace of a process takes half a second, on the
    /// thread that runs the handler.
    pub record_backtraces: bool,
    /// The hook that every text passes before it is kept or logged. Default: none.
    pub redactor: Redactor,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            slow_poll: Some(Duration::from_millis(100)),
            cancel_grace: Duration::ZERO,
            record_backtraces: false,
            redactor: Redactor::NONE,
        }
    }
}

/// An execution that has ended.
///
/// ```
/// # use executor_core::{RecordSink, ports::{ExecutionEnd, ExecutionStart, Ticket}};
/// # struct Printer;
/// # impl RecordSink for Printer {
/// #     fn begin(&self, _: &ExecutionStart<'_>) -> Ticket { Ticket::NONE }
/// #     fn offer(&self, end: &ExecutionEnd<'_>, _: Ticket) { println!("{:?}", end.status) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # use std::sync::Arc;
/// # use executor_core::registration::{Details, Registration};
/// # use executor_core::{Entity, Job, SourceTier};
/// # let registration = Registration::new(Entity::job("lights", 0, "dim"), Details::new(SourceTier::App));
/// # let job = Arc::new(Job::new(registration, Arc::new(|| async { Ok(()) }), Default::default()));
/// # let command = executor_core::Command::from(executor_core::ExecuteJob {
/// #     job,
/// #     trigger_mode: executor_core::TriggerMode::Manual,
/// #     source_tier: SourceTier::App,
/// #     effective_timeout: None,
/// # });
/// use executor_core::{Ended, RunOptions, Runner, SystemClock};
///
/// # let (clock, stop) = (Arc::new(SystemClock), tokio_util::sync::CancellationToken::new());
/// let runner = Runner::new(Arc::new(Printer), clock, stop, RunOptions::default());
/// let Ended { result, failure, .. } = runner.run(command, None).await;
/// assert_eq!(result.status().as_str(), "success");
/// assert!(failure.is_none()); // nothing for an error handler
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Ended {
    /// The result for the caller.
    pub result: ExecutionResult,
    /// The failure for an error handler, if the outcome is `error`, `panicked` or `timed_out`. By then
    /// the record has been offered and the failure logged.
    pub failure: Option<Box<HandlerFailure>>,
}

/// Runs commands. Holds a sink for the records, a clock, and a token that cancels running executions.
///
/// ```
/// # use executor_core::{RecordSink, ports::{ExecutionEnd, ExecutionStart, Ticket}};
/// # struct Printer;
/// # impl RecordSink for Printer {
/// #     fn begin(&self, _: &ExecutionStart<'_>) -> Ticket { Ticket::NONE }
/// #     fn offer(&self, end: &ExecutionEnd<'_>, _: Ticket) { println!("{:?}", end.status) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # use std::sync::Arc;
/// # use executor_core::registration::{Details, Registration};
/// # use executor_core::{Entity, Job, SourceTier};
/// # let registration = Registration::new(Entity::job("lights", 0, "dim"), Details::new(SourceTier::App));
/// # let job = Arc::new(Job::new(registration, Arc::new(|| async { Ok(()) }), Default::default()));
/// # let command = executor_core::Command::from(executor_core::ExecuteJob {
/// #     job,
/// #     trigger_mode: executor_core::TriggerMode::Manual,
/// #     source_tier: SourceTier::App,
/// #     effective_timeout: None,
/// # });
/// use executor_core::{RunOptions, Runner, Status, SystemClock};
/// use tokio_util::sync::CancellationToken;
///
/// let (clock, stop) = (Arc::new(SystemClock), CancellationToken::new());
/// let runner = Runner::new(Arc::new(Printer), clock, stop, RunOptions::default());
/// let ended = runner.run(command, None).await;
/// assert_eq!(ended.result.status(), Status::Success);
/// # }
/// ```
pub struct Runner {
    sink: Arc<dyn RecordSink>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    options: RunOptions,
    log: RunLog,
    aftermath: Aftermath,
}

impl Runner {
    /// Creates a runner. Cancelling `stop` ends its executions as `cancelled`, except for those that finish
    /// without waiting.
    ///
    /// The first runner of the process installs a hook in front of the program's panic hook. It prints
    /// nothing for panics inside executions and passes all others on.
    pub fn new(
        sink: Arc<dyn RecordSink>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
        options: RunOptions,
    ) -> Self {
        panics::install_hook();
        Self {
            sink,
            clock,
            stop,
            log: RunLog::new(options.redactor.clone()),
            options,
            aftermath: Aftermath::default(),
        }
    }

    /// Runs a command to its outcome, or until `cancel` is cancelled. The execution begins at the
    /// first poll, and from then on exactly one record is offered to the sink.
    ///
    /// # Cancel safety
    ///
    /// Dropping this future drops the handler's and records the execution as `cancelled`. A
    /// future passed to [`std::mem::forget`] records nothing, and keeps its place under the
    /// overlap rule for good.
    // This function and the next one are not async, because the result of an execution would be moved through one
    // more future.
    pub fn run(
        &self,
        command: Command,
        cancel: Option<&CancellationToken>,
    ) -> impl Future<Output = Ended> + Send {
        self.run_to_end(command, None, cancel)
    }

    /// Runs `future` in place of the command's handler, with the guard, overlap rule, deadline and record of the
    /// command. The future may borrow from its caller.
    ///
    /// # Cancel safety
    ///
    /// As for [`run`](Self::run): dropping the returned future drops `future`.
    pub fn run_future(
        &self,
        command: Command,
        future: BorrowingFuture<'_>,
        cancel: Option<&CancellationToken>,
    ) -> impl Future<Output = Ended> + Send {
        self.run_to_end(command, Some(future), cancel)
    }

    async fn run_to_end(
        &self,
        command: Command,
        future: Option<BorrowingFuture<'_>>,
        cancel: Option<&CancellationToken>,
    ) -> Ended {
        let stop = Stop {
            service: &self.stop,
            caller: cancel,
        };
        let mut execution = Execution::begin(self, command, future);
        if let Err(refusal) = execution.enter() {
            let ended = execution.refuse(refusal);
            // This path awaits nothing else, so a loop of refused commands yields to other tasks here.
            consume_budget().await;
            return *ended;
        }
        let ending = execution.work(stop).await;
        execution.end(ending)
    }

    /// Begins an execution now: asks its guard and takes its place in line, in the order of the calls. Awaiting
    /// [`Begun::finish`] then runs it on the runner behind `runner`.
    ///
    /// # Errors
    ///
    /// The execution has already ended: its guard or its overlap rule rejected it, or the guard failed. Its record
    /// was offered.
    pub fn submit<R: Deref<Target = Self>>(
        runner: R,
        command: Command,
    ) -> Result<Begun<R>, Box<Ended>> {
        let mut execution = Execution::begin(runner, command, None);
        match execution.enter() {
            Ok(()) => Ok(Begun(execution)),
            Err(refusal) => Err(execution.refuse(refusal)),
        }
    }

    /// Waits until the programs of all ended executions are gone: each has ended with its group, or was given up five
    /// seconds after it was killed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops the wait.
    pub async fn programs_ended(&self) {
        self.aftermath.is_over().await;
    }

    /// Kills the programs that are being ended, without further grace.
    pub fn kill_programs(&self) {
        self.aftermath.kill();
    }
}

/// An execution that has begun and has its place in line. Dropping it records it as `cancelled`.
#[must_use = "it is run by `finish`"]
pub struct Begun<R: Deref<Target = Runner>>(Execution<'static, R>);

impl<R: Deref<Target = Runner>> Begun<R> {
    /// Returns the execution's id.
    pub const fn execution_id(&self) -> ExecutionId {
        self.0.id()
    }

    /// Returns the time at which it was begun. Its handler begins later, when [`finish`](Self::finish) is first
    /// polled or its turn comes.
    pub const fn begun_at(&self) -> Timestamp {
        self.0.begun_at()
    }

    /// Runs it to its outcome, or until `cancel` is cancelled.
    ///
    /// # Cancel safety
    ///
    /// As for [`Runner::run`].
    pub async fn finish(self, cancel: &CancellationToken) -> Ended {
        let mut execution = self.0;
        let service = execution.runner().stop.clone();
        let stop = Stop {
            service: &service,
            caller: Some(cancel),
        };
        execution.begin_anew();
        let ending = execution.work(stop).await;
        execution.end(ending)
    }
}
