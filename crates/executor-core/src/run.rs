//! One command to one record, whatever happens.
//!
//! The record is owed from the first poll on and paid in exactly two places: `Execution::end` when the
//! handler ended by itself, by deadline or by token, and `Drop` when somebody dropped the future of
//! [`Runner::run`].

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{Span, info_span};

use crate::command::Command;
use crate::failure::{
    ARGUMENTS_MAX_CHARS, Failure, MESSAGE_MAX_CHARS, is_storable, storable, storable_shared,
};
use crate::gate::Admission;
use crate::identity::ExecutionId;
use crate::outcome::{ExecutionResult, Outcome};
use crate::panics;
use crate::ports::{ExecutionEnd, ExecutionStart, RecordSink, Ticket, TriggerRef};
use crate::record::{Marks, Trigger};
use crate::redact::{Redactor, TextKind};
use crate::time::{Clock, Moment};
use crate::trouble::HandlerFailure;
use crate::verdict::{Terms, Times, Verdict, judge};
use crate::voice::Voice;
use crate::watch::{Ending, Limits, Stop, Stopwatch, Watched};

/// What is configured about running, for all executions.
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
    /// A poll that holds its thread longer than this is recorded, and its handler is named in a
    /// warning. Default 100 ms; `None` does not time polls at all, which saves two clock reads a
    /// poll.
    pub slow_poll: Option<Duration>,
    /// How long a handler whose execution is cancelled by a token may take to return; if it does,
    /// its own result is the outcome. Default 0.
    pub cancel_grace: Duration,
    /// Through which every text goes before it is kept or logged. Default: none.
    pub redactor: Redactor,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            slow_poll: Some(Duration::from_millis(100)),
            cancel_grace: Duration::ZERO,
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
/// # use executor_core::{Job, JobKey, JobRegistration, SourceTier, registration};
/// # let registration = JobRegistration {
/// #     key: Arc::new(JobKey { app_key: "lights".into(), instance: 0, name: "dim".into() }),
/// #     details: registration::Details::new(SourceTier::App),
/// #     handler_name: None,
/// #     schedule: registration::ScheduleText::manual(),
/// #     group: None,
/// #     arguments_json: None,
/// # };
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
    /// For the caller.
    pub result: ExecutionResult,
    /// For an error handler, where the outcome is `error`, `panicked` or `timed_out`. The record has
    /// been offered and the failure logged by then.
    pub failure: Option<HandlerFailure>,
}

/// Runs commands. Knows a sink for the records, a clock, and a token that cancels what runs.
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
/// # use executor_core::{Job, JobKey, JobRegistration, SourceTier, registration};
/// # let registration = JobRegistration {
/// #     key: Arc::new(JobKey { app_key: "lights".into(), instance: 0, name: "dim".into() }),
/// #     details: registration::Details::new(SourceTier::App),
/// #     handler_name: None,
/// #     schedule: registration::ScheduleText::manual(),
/// #     group: None,
/// #     arguments_json: None,
/// # };
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
    voice: Voice,
}

impl Runner {
    /// A runner whose executions end as `cancelled` once `stop` is cancelled, but for those that are done
    /// without waiting.
    ///
    /// The first one of the process puts a hook in front of the program's panic hook: it is
    /// silent about panics inside executions and passes all others on.
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
            voice: Voice::new(options.redactor.clone()),
            options,
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
    pub async fn run(&self, command: Command, cancel: Option<&CancellationToken>) -> Ended {
        let stop = Stop {
            service: &self.stop,
            caller: cancel,
        };
        let mut execution = Execution::begin(self, command);
        let ending = match execution.admit(stop).await {
            Err(refusal) => refusal,
            Ok(()) => {
                let limits = execution.start(stop);
                execution.watched.wait(limits).await
            }
        };
        execution.end(ending)
    }
}

/// An execution that has begun.
struct Execution<'r> {
    runner: &'r Runner,
    begun: Moment,
    /// Its record is still owed.
    is_owed: bool,
    /// What the sink remembers of its beginning.
    ticket: Ticket,
    /// What may be kept of its trigger, where that is not all of it.
    kept_trigger: Option<Trigger>,
    /// It has a place under its overlap rule, which it must give back.
    is_inside: bool,
    watched: Watched,
}

// Where a function is inlined here, it is because what it returns would be moved twice otherwise.
impl<'r> Execution<'r> {
    #[inline]
    fn begin(runner: &'r Runner, command: Command) -> Self {
        let begun = runner.clock.now();
        let id = ExecutionId::new(begun.wall);
        let span = span_of(&command, id);
        let stopwatch = runner.options.slow_poll.map(|_| Stopwatch::default());
        Self {
            runner,
            begun,
            is_owed: true,
            ticket: Ticket::NONE,
            kept_trigger: kept_of(command.trigger_ref(), &runner.options.redactor),
            is_inside: false,
            watched: Watched::new(command, id, span, stopwatch),
        }
    }

    /// Asks the guard and waits for a place under the overlap rule. What took time is no part of the
    /// handler's own run, which begins after it.
    async fn admit(&mut self, stop: Stop<'_>) -> Result<(), Ending> {
        let guard = self.watched.command().conduct().guard.clone();
        if let Some(guard) = guard {
            if let Some(refusal) = self.watched.ask(&guard) {
                return Err(refusal);
            }
            self.begun = self.runner.clock.now();
        }
        let entry = match self.watched.command().gate().enter() {
            Admission::Begin(entry) => entry,
            Admission::Skip(reason) => return Err(Ending::Skipped(reason)),
            Admission::Wait(ticket) => {
                let turn = self.watched.command().gate().turn(ticket);
                let entry = tokio::select! {
                    biased;
                    () = stop.cancelled() => return Err(Ending::Cancelled),
                    turn = turn => turn.map_err(Ending::Skipped)?,
                };
                self.begun = self.runner.clock.now();
                entry
            }
        };
        self.is_inside = true;
        self.watched.may_be_ended_by(entry.cancel);
        Ok(())
    }

    /// The handler's own run begins.
    #[inline]
    fn start<'l>(&mut self, stop: Stop<'l>) -> Limits<'l> {
        self.ticket = self.runner.sink.begin(&self.told());
        // A deadline too far away for the clock to tell is none.
        let timeout = self.watched.command().effective_timeout();
        Limits {
            deadline: timeout.and_then(|timeout| self.begun.monotonic.checked_add(timeout)),
            stop,
            grace: self.runner.options.cancel_grace,
        }
    }

    /// What the sink is told of it, first when the handler begins and again at its end.
    fn told(&self) -> ExecutionStart<'_> {
        let command = self.watched.command();
        let kept = self.kept_trigger.as_ref();
        ExecutionStart {
            execution_id: self.watched.id(),
            subject: command.subject_ref(),
            source_tier: command.source_tier(),
            started_at: self.begun.wall,
            trigger: kept.map_or_else(|| command.trigger_ref(), TriggerRef::from),
        }
    }

    #[inline]
    fn end(&mut self, ending: Ending) -> Ended {
        let stopwatch = self.watched.stopwatch();
        let duration = self.duration_until(&ending, stopwatch);
        let times = Times {
            duration,
            real: stopwatch.total,
            longest_poll: stopwatch.longest,
        };
        let in_drop = self.watched.discard();
        let mut verdict = judge(ending, in_drop, &self.terms(), &times);
        // Where time is paused only the machine's clock knows how long a thread was blocked.
        let duration = if verdict.marks.overran {
            duration.max(times.real)
        } else {
            duration
        };
        verdict.marks.thread_leaked = self.watched.leaked().is_some();
        // The record first: whoever listens to the log may panic.
        self.offer(&verdict.outcome, verdict.marks, duration);
        self.say(&verdict, duration);
        let failure = self.failure(&verdict);
        Ended {
            result: ExecutionResult {
                execution_id: self.watched.id(),
                outcome: verdict.outcome,
                started_at: self.begun.wall,
                duration,
            },
            failure,
        }
    }

    fn terms(&self) -> Terms<'r> {
        let command = self.watched.command();
        Terms {
            tier: command.source_tier(),
            timeout: command.effective_timeout(),
            slow_poll: self.runner.options.slow_poll,
            redactor: &self.runner.options.redactor,
        }
    }

    fn say(&self, verdict: &Verdict, duration: Duration) {
        let now = self.begun.monotonic + duration;
        let Self {
            runner, watched, ..
        } = self;
        runner
            .voice
            .speak(watched.id(), watched.command(), verdict, duration, now);
        self.say_what_leaked();
    }

    fn say_what_leaked(&self) {
        if let Some(thread) = self.watched.leaked() {
            let (id, command) = (self.watched.id(), self.watched.command());
            self.runner.voice.leaked(id, command, thread);
        }
    }

    fn failure(&self, verdict: &Verdict) -> Option<HandlerFailure> {
        let full = verdict.full.as_ref()?;
        Some(HandlerFailure {
            execution_id: self.watched.id(),
            status: verdict.outcome.status(),
            error: verdict.error.clone(),
            failure: Arc::clone(full),
            command: self.watched.command().clone(),
        })
    }

    fn duration_until(&self, ending: &Ending, stopwatch: Stopwatch) -> Duration {
        if matches!(ending, Ending::Skipped(_)) {
            return Duration::ZERO;
        }
        // Reading a clock costs as much as all the bookkeeping around it.
        let measured = stopwatch.without_waiting(ending);
        let measured = measured.filter(|_| self.runner.clock.is_machine_time());
        measured.unwrap_or_else(|| self.duration())
    }

    fn duration(&self) -> Duration {
        let now = self.runner.clock.monotonic();
        now.saturating_duration_since(self.begun.monotonic)
    }

    /// Pays the record that is owed; a second call pays nothing.
    fn offer(&mut self, outcome: &Outcome, marks: Marks, duration: Duration) {
        if !std::mem::take(&mut self.is_owed) {
            return;
        }
        let (skipped, arguments) = (skipped(outcome), self.arguments());
        let end = ExecutionEnd {
            start: self.told(),
            status: outcome.status(),
            duration,
            failure: skipped.as_ref().or_else(|| outcome.failure()),
            marks,
            generation: self.watched.command().generation(),
            retry_count: 0,
            attempt_number: 1,
            arguments_json: arguments.as_deref(),
        };
        self.runner.sink.offer(&end, self.ticket);
        // Only now may the next one begin: their records come in their order.
        if std::mem::take(&mut self.is_inside) {
            self.watched.command().gate().leave();
        }
    }

    /// Of a job, where its author asked for them.
    fn arguments(&self) -> Option<Cow<'_, str>> {
        let Command::ExecuteJob(command) = self.watched.command() else {
            return None;
        };
        let arguments = command.job.registration.arguments_json.as_deref()?;
        let redactor = &self.runner.options.redactor;
        let arguments = redactor.apply(TextKind::Arguments, arguments);
        Some(if is_storable(&arguments, ARGUMENTS_MAX_CHARS) {
            arguments
        } else {
            storable(&arguments, ARGUMENTS_MAX_CHARS).into()
        })
    }
}

impl Drop for Execution<'_> {
    /// Reached with a record owed only when the future of [`Runner::run`] is dropped half-way.
    /// The handler's future goes first, so that what it does while it is dropped still belongs
    /// to the execution and to its duration.
    fn drop(&mut self) {
        if self.is_owed {
            if let Some(caught) = self.watched.discard() {
                panics::drop_quietly(caught.payload);
            }
            let marks = Marks {
                thread_leaked: self.watched.leaked().is_some(),
                ..Marks::default()
            };
            self.offer(&Outcome::Cancelled, marks, self.duration());
            // Whoever listens to the log may panic, and this thread may be unwinding already.
            panics::drop_quietly(panics::catch(|| self.say_what_leaked()).err());
        }
    }
}

/// Why it did not run, as its record says it.
fn skipped(outcome: &Outcome) -> Option<Arc<Failure>> {
    match outcome {
        Outcome::Skipped(reason) => Some(Arc::new(Failure::skipped(reason))),
        _ => None,
    }
}

/// What may be kept of a trigger, where that is not all of it.
fn kept_of(trigger: TriggerRef<'_>, redactor: &Redactor) -> Option<Trigger> {
    let TriggerRef::Event { id, origin } = trigger else {
        return None;
    };
    let is_storable = |text: &Arc<str>| is_storable(text, MESSAGE_MAX_CHARS);
    if redactor.keeps_all() && is_storable(origin) && id.is_none_or(is_storable) {
        return None;
    }
    let keep = |kind, text| storable_shared(redactor.apply_shared(kind, Arc::clone(text)));
    Some(Trigger::Event {
        id: id.map(|id| keep(TextKind::TriggerId, id)),
        origin: keep(TextKind::TriggerOrigin, origin),
    })
}

fn span_of(command: &Command, id: ExecutionId) -> Span {
    match command {
        Command::InvokeHandler(command) => {
            let registration = &command.listener.registration;
            info_span!(
                "execution",
                execution.id = %id,
                execution.kind = "handler",
                app.key = %registration.key.app_key,
                app.instance = registration.key.instance,
                app.instance_name = registration.details.instance_name,
                listener.id = command.listener.row_id.get().map(|id| id.0),
            )
        }
        Command::ExecuteJob(command) => {
            let registration = &command.job.registration;
            info_span!(
                "execution",
                execution.id = %id,
                execution.kind = "job",
                app.key = %registration.key.app_key,
                app.instance = registration.key.instance,
                app.instance_name = registration.details.instance_name,
                job.id = command.job.row_id.get().map(|id| id.0),
            )
        }
    }
}
