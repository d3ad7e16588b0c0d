//! One command to one record, whatever happens.
//!
//! The record is made in exactly two places: `Execution::end` when the handler ended by itself,
//! by deadline or by token, and `Drop` when somebody dropped the future of [`Runner::run`].

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{Span, info_span};

use crate::command::Command;
use crate::identity::ExecutionId;
use crate::outcome::{ExecutionResult, Outcome};
use crate::panics;
use crate::ports::{ExecutionStart, RecordSink};
use crate::record::{ExecutionRecord, Marks, Subject};
use crate::time::{Clock, Moment};
use crate::trouble::HandlerFailure;
use crate::verdict::{Terms, Times, Verdict, judge};
use crate::voice::Voice;
use crate::watch::{Ending, Stopwatch, Watched};

/// What is configured about running, for all executions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// A poll that holds its thread longer than this is recorded, and its handler is named in a
    /// warning. Default 100 ms; `None` does not time polls at all, which saves two clock reads a
    /// poll.
    pub slow_poll: Option<Duration>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            slow_poll: Some(Duration::from_millis(100)),
        }
    }
}

/// An execution that has ended.
#[derive(Debug)]
pub struct Ended {
    /// For the caller.
    pub result: ExecutionResult,
    /// For an error handler, where the outcome is `error`, `panicked` or `timed_out`. The record has
    /// been offered and the failure logged by then.
    pub failure: Option<HandlerFailure>,
}

/// Runs commands. Knows a sink for the records, a clock, and a token that cancels what runs.
pub struct Runner {
    sink: Arc<dyn RecordSink>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    options: RunOptions,
    voice: Voice,
}

impl Runner {
    /// A runner whose executions all end as `cancelled` once `stop` is cancelled.
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
            options,
            voice: Voice::new(),
        }
    }

    /// Runs a command to its outcome. The execution begins at the first poll, and from then on
    /// exactly one record is offered to the sink.
    ///
    /// # Cancel safety
    ///
    /// Dropping this future drops the handler's and records the execution as `cancelled`. A
    /// future passed to [`std::mem::forget`] records nothing.
    pub async fn run(&self, command: Command) -> Ended {
        let mut execution = Execution::begin(self, command);
        let deadline = execution.deadline();
        let ending = execution.watched.wait(deadline, &self.stop).await;
        execution.end(ending)
    }
}

/// An execution that has begun. While `subject` is there, its record is still owed.
struct Execution<'r> {
    runner: &'r Runner,
    begun: Moment,
    subject: Option<Subject>,
    watched: Watched,
}

impl<'r> Execution<'r> {
    fn begin(runner: &'r Runner, command: Command) -> Self {
        let begun = runner.clock.now();
        let id = ExecutionId::new(begun.wall);
        let subject = command.subject();
        runner.sink.begin(ExecutionStart {
            execution_id: id,
            subject: &subject,
            started_at: begun.wall,
        });
        let span = span_of(&command, id);
        let stopwatch = runner.options.slow_poll.map(|_| Stopwatch::default());
        Self {
            runner,
            begun,
            subject: Some(subject),
            watched: Watched::new(command, id, span, stopwatch),
        }
    }

    /// When the time is up. A deadline too far away for the clock to tell is none.
    fn deadline(&self) -> Option<tokio::time::Instant> {
        let timeout = self.watched.command().effective_timeout()?;
        self.begun.monotonic.checked_add(timeout)
    }

    fn end(mut self, ending: Ending) -> Ended {
        let duration = self.duration();
        let stopwatch = self.watched.stopwatch();
        let times = Times {
            duration,
            real: stopwatch.total,
            longest_poll: stopwatch.longest,
        };
        let in_drop = self.watched.discard();
        let verdict = judge(ending, in_drop, &self.terms(), &times);
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

    fn terms(&self) -> Terms {
        let command = self.watched.command();
        Terms {
            tier: command.source_tier(),
            timeout: command.effective_timeout(),
            slow_poll: self.runner.options.slow_poll,
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

    fn duration(&self) -> Duration {
        let now = self.runner.clock.monotonic();
        now.saturating_duration_since(self.begun.monotonic)
    }

    /// Pays the record that is owed; a second call pays nothing.
    fn offer(&mut self, outcome: &Outcome, marks: Marks, duration: Duration) {
        let Some(subject) = self.subject.take() else {
            return;
        };
        let command = self.watched.command();
        self.runner.sink.offer(ExecutionRecord {
            execution_id: self.watched.id(),
            subject,
            source_tier: command.source_tier(),
            status: outcome.status(),
            started_at: self.begun.wall,
            duration,
            failure: outcome.failure().map(Arc::clone),
            marks,
            trigger: command.trigger(),
            generation: command.generation(),
            retry_count: 0,
            attempt_number: 1,
            arguments_json: arguments_of(command),
        });
    }
}

impl Drop for Execution<'_> {
    /// Reached with a record owed only when the future of [`Runner::run`] is dropped half-way.
    /// The handler's future goes first, so that what it does while it is dropped still belongs
    /// to the execution and to its duration.
    fn drop(&mut self) {
        if self.subject.is_some() {
            if let Some(caught) = self.watched.discard() {
                panics::drop_quietly(caught.payload);
            }
            self.offer(&Outcome::Cancelled, Marks::default(), self.duration());
        }
    }
}

fn arguments_of(command: &Command) -> Option<Box<str>> {
    match command {
        Command::InvokeHandler(_) => None,
        Command::ExecuteJob(command) => {
            let arguments = command.job.registration.arguments_json.as_deref();
            arguments.map(Box::from)
        }
    }
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
