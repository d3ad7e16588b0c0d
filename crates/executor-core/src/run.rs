//! One command to one record, whatever happens.
//!
//! The record is made in exactly two places: `Execution::end` when the handler ended by itself,
//! by deadline or by token, and `Drop` when somebody dropped the future of [`Runner::run`].

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{Span, error, info_span, warn};

use crate::command::Command;
use crate::failure::Failure;
use crate::identity::ExecutionId;
use crate::outcome::{ExecutionResult, Outcome, TimeoutOrigin};
use crate::panics::{self, Caught};
use crate::ports::{ExecutionStart, RecordSink};
use crate::record::{ExecutionRecord, Marks, Subject};
use crate::time::{Clock, Moment};
use crate::watch::{Ending, Watched};

/// Runs commands. Knows a sink for the records, a clock, and a token that cancels what runs.
pub struct Runner {
    sink: Arc<dyn RecordSink>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
}

impl Runner {
    /// A runner whose executions all end as `cancelled` once `stop` is cancelled.
    ///
    /// The first one of the process puts a hook in front of the program's panic hook: it is
    /// silent about panics inside executions and passes all others on.
    pub fn new(sink: Arc<dyn RecordSink>, clock: Arc<dyn Clock>, stop: CancellationToken) -> Self {
        panics::install_hook();
        Self { sink, clock, stop }
    }

    /// Runs a command to its outcome. The execution begins at the first poll, and from then on
    /// exactly one record is offered to the sink.
    ///
    /// # Cancel safety
    ///
    /// Dropping this future drops the handler's and records the execution as `cancelled`. A
    /// future passed to [`std::mem::forget`] records nothing.
    pub async fn run(&self, command: Command) -> ExecutionResult {
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
        Self {
            runner,
            begun,
            subject: Some(subject),
            watched: Watched::new(command, id, span),
        }
    }

    /// When the time is up. A deadline too far away for the clock to tell is none.
    fn deadline(&self) -> Option<tokio::time::Instant> {
        let timeout = self.watched.command().effective_timeout()?;
        self.begun.monotonic.checked_add(timeout)
    }

    fn end(mut self, ending: Ending) -> ExecutionResult {
        let duration = self.duration();
        let mut outcome = outcome_of(ending);
        if let Some(caught) = self.watched.discard() {
            // What had ended otherwise stays what it was.
            let in_drop = panicked(caught);
            if outcome == Outcome::Success {
                outcome = in_drop;
            }
        }
        // The record first: whoever listens to the log may panic.
        self.offer(&outcome, duration);
        self.log(&outcome, duration);
        ExecutionResult {
            execution_id: self.watched.id(),
            outcome,
            started_at: self.begun.wall,
            duration,
        }
    }

    fn duration(&self) -> Duration {
        let now = self.runner.clock.monotonic();
        now.saturating_duration_since(self.begun.monotonic)
    }

    /// Pays the record that is owed; a second call pays nothing.
    fn offer(&mut self, outcome: &Outcome, duration: Duration) {
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
            marks: Marks {
                timeout_origin: timeout_origin(outcome),
                ..Marks::default()
            },
            trigger: command.trigger(),
            generation: command.generation(),
            retry_count: 0,
            attempt_number: 1,
            arguments_json: arguments_of(command),
        });
    }

    /// One line per failure.
    fn log(&self, outcome: &Outcome, duration: Duration) {
        let id = self.watched.id();
        let what = || label(self.watched.command());
        let millis = duration.as_millis() as u64;
        match outcome {
            Outcome::Error(failure) => {
                let report = failure.report.as_deref().unwrap_or(&failure.message);
                error!(execution.id = %id, subject = what(), report, "execution failed");
            }
            Outcome::Panicked(failure) => {
                let message = failure.message.as_str();
                let place = failure.report.as_deref();
                error!(execution.id = %id, subject = what(), message, place, "execution panicked");
            }
            Outcome::TimedOut(TimeoutOrigin::Deadline, _) => {
                warn!(execution.id = %id, subject = what(), duration_ms = millis, "execution timed out");
            }
            Outcome::TimedOut(TimeoutOrigin::Handler, failure) => {
                let message = failure.message.as_str();
                warn!(execution.id = %id, subject = what(), message, "handler reported a timeout");
            }
            Outcome::Success | Outcome::Cancelled | Outcome::Skipped(_) => {}
        }
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
            self.offer(&Outcome::Cancelled, self.duration());
        }
    }
}

fn outcome_of(ending: Ending) -> Outcome {
    match ending {
        Ending::Returned(Ok(())) => Outcome::Success,
        Ending::Returned(Err(error)) => {
            let failure = Failure::from_error(&error);
            panics::drop_quietly(error);
            Outcome::Error(Arc::new(failure))
        }
        Ending::Panicked(caught) => panicked(caught),
        Ending::DeadlinePassed => {
            Outcome::TimedOut(TimeoutOrigin::Deadline, Arc::new(Failure::deadline()))
        }
        Ending::Cancelled => Outcome::Cancelled,
    }
}

fn panicked(caught: Caught) -> Outcome {
    let failure = Failure::from_panic(caught.payload.as_ref(), caught.place.as_deref());
    panics::drop_quietly(caught.payload);
    Outcome::Panicked(Arc::new(failure))
}

const fn timeout_origin(outcome: &Outcome) -> Option<TimeoutOrigin> {
    match outcome {
        Outcome::TimedOut(origin, _) => Some(*origin),
        _ => None,
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

fn label(command: &Command) -> String {
    match command {
        Command::InvokeHandler(command) => {
            let key = &command.listener.registration.key;
            format!("listener {key}, topic {}", command.event.topic)
        }
        Command::ExecuteJob(command) => format!("job {}", command.job.registration.key),
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
