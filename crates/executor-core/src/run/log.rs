//! Logs executions: each failure in one line, timeouts and blocked threads at most once per entity and
//! minute.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, warn};

use crate::command::Command;
use crate::identity::{Entity, ExecutionId};
use crate::limiter::RateLimiter;
use crate::outcome::{Outcome, TimeoutOrigin};
use crate::redact::{Redactor, TextKind};
use crate::run::verdict::Verdict;

/// The interval between an entity's warnings about the same thing.
const PERIOD: Duration = Duration::from_secs(60);
/// The number of entities that are remembered for that.
const REMEMBERED_MAX: usize = 1_000;

pub(crate) struct RunLog {
    redactor: Redactor,
    timeouts: RateLimiter<Arc<Entity>>,
    blocked: RateLimiter<Arc<Entity>>,
}

impl RunLog {
    pub(crate) fn new(redactor: Redactor) -> Self {
        Self {
            redactor,
            timeouts: RateLimiter::new(PERIOD, REMEMBERED_MAX),
            blocked: RateLimiter::new(PERIOD, REMEMBERED_MAX),
        }
    }

    /// Logs the failure or the blocked thread, if any, of an execution that ended `now`.
    pub(crate) fn ended(
        &self,
        id: ExecutionId,
        command: &Command,
        verdict: &Verdict,
        duration: Duration,
        now: Instant,
    ) {
        match &verdict.outcome {
            Outcome::Success | Outcome::Cancelled | Outcome::Skipped(_) => {}
            Outcome::Error(failure) => {
                let what = self.label(command);
                let report = failure.report.as_deref().unwrap_or(&failure.message);
                error!(execution.id = %id, subject = what, report, "execution failed");
            }
            Outcome::Panicked(failure) => {
                let (what, message) = (self.label(command), failure.message.as_str());
                let place = failure.report.as_deref();
                error!(execution.id = %id, subject = what, error = message, place, "execution panicked");
            }
            Outcome::TimedOut(origin, failure) => {
                let limited = command.effective_timeout().is_some();
                if !limited || self.timeouts.allows(command.entity(), now) {
                    self.timed_out(id, command, *origin, &failure.message, duration);
                }
            }
        }
        if let Some(held) = verdict.flags.blocked
            && self.blocked.allows(command.entity(), now)
        {
            let what = self.label(command);
            warn!(
                execution.id = %id, subject = what, ?held,
                "a handler blocked its runtime thread during one poll"
            );
        }
    }

    /// Names the thread of a blocking handler that outlived its execution.
    pub(crate) fn leaked(&self, id: ExecutionId, command: &Command, thread: &str) {
        let what = self.label(command);
        warn!(
            execution.id = %id, subject = what, thread,
            "a blocking handler is still running after its execution has ended"
        );
    }

    /// Logs a timeout; its origin decides what the line may claim.
    fn timed_out(
        &self,
        id: ExecutionId,
        command: &Command,
        origin: TimeoutOrigin,
        message: &str,
        duration: Duration,
    ) {
        let what = self.label(command);
        match (origin, command.effective_timeout()) {
            (TimeoutOrigin::Deadline, deadline) => {
                warn!(execution.id = %id, subject = what, ?deadline, ?duration, "execution timed out");
            }
            (TimeoutOrigin::Queue, deadline) => {
                warn!(execution.id = %id, subject = what, ?deadline, "execution timed out while it waited for a blocking thread");
            }
            (TimeoutOrigin::Handler, Some(_)) => {
                warn!(execution.id = %id, subject = what, error = message, "a handler reported a timeout of its own");
            }
            (TimeoutOrigin::Handler, None) => {
                warn!(execution.id = %id, subject = what, error = message, "a handler reported a timeout of its own; no deadline is set for it");
            }
        }
    }

    fn label(&self, command: &Command) -> String {
        let entity = command.entity();
        match command.event() {
            Some(event) => {
                let topic = self.redactor.apply(TextKind::Topic, &event.topic);
                format!("listener {entity}, topic {topic}")
            }
            None => format!("job {entity}"),
        }
    }
}
