//! The runner, which runs commands: with which sink, clock and options.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::context::sinks;
use crate::error_handler::HandlerFailure;
use crate::identity::ExecutionId;
use crate::lines::running::RunnerNumber;
use crate::outcome::ExecutionResult;
use crate::panics;
use crate::ports::RecordSink;
use crate::redact::Redactor;
use crate::run::aftermath::Aftermath;
use crate::run::flusher::LineFlusher;
use crate::run::halt::Halt;
use crate::run::log::RunLog;
use crate::time::Clock;

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
/// #     due_at: None,
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
/// #     due_at: None,
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
    pub(super) sink: Arc<dyn RecordSink>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) halt: Arc<Halt>,
    pub(super) options: RunOptions,
    pub(super) log: RunLog,
    pub(super) aftermath: Aftermath,
    pub(super) number: RunnerNumber,
}

/// The number of the next runner.
static NEXT: AtomicU32 = AtomicU32::new(1);

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
        let number = RunnerNumber(NEXT.fetch_add(1, Ordering::Relaxed));
        sinks::add(number, &sink);
        Self {
            sink,
            clock,
            halt: Arc::new(Halt::new(stop)),
            log: RunLog::new(options.redactor.clone()),
            options,
            aftermath: Aftermath::default(),
            number,
        }
    }

    /// Returns the flusher that hands the lines of its executions to the sink while they run. It does nothing unless
    /// the caller runs it.
    pub fn line_flusher(&self) -> LineFlusher {
        let (sink, clock) = (Arc::clone(&self.sink), Arc::clone(&self.clock));
        LineFlusher::new(sink, clock, self.options.redactor.clone(), self.number)
    }

    /// Cancels one execution, as a token does, and returns whether it has heard of that in time. It hears when it waits:
    /// not if it has ended, is of another runner, or waits for nothing.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws the request, unless the execution has heard of it.
    pub async fn cancel(&self, id: ExecutionId, patience: Duration) -> bool {
        self.halt.request(id, patience).await
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
