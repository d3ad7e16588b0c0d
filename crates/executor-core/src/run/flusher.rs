//! Hands the lines of running executions to the sink, so that what an execution has said outlives it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::lines::running::{self, RunnerNumber, SharedLines};
use crate::ports::{RecordSink, Ticket};
use crate::redact::Redactor;
use crate::time::Clock;

/// The time between two rounds. A line may have to wait for one, and for its own: together less than a second.
const EVERY: Duration = Duration::from_millis(450);

/// The time after which a waiting flusher checks by itself.
const LOOK_AGAIN: Duration = Duration::from_secs(3_600);

/// Hands the lines of one runner's executions to its sink. Meant for a thread of its own: a handler that never waits
/// may hold all threads of the runtime.
pub struct LineFlusher {
    sink: Arc<dyn RecordSink>,
    clock: Arc<dyn Clock>,
    redactor: Redactor,
    runner: RunnerNumber,
}

impl LineFlusher {
    pub(super) fn new(
        sink: Arc<dyn RecordSink>,
        clock: Arc<dyn Clock>,
        redactor: Redactor,
        runner: RunnerNumber,
    ) -> Self {
        Self {
            sink,
            clock,
            redactor,
            runner,
        }
    }

    /// Hands over what is said, half a second later at most, until it is stopped. Sleeps while no execution says
    /// anything.
    pub fn run(&self, is_stopped: &AtomicBool) {
        while !is_stopped.load(Ordering::Relaxed) {
            running::wait_for_some(LOOK_AGAIN, is_stopped);
            // Unparked when it is stopped.
            thread::park_timeout(EVERY);
            self.flush();
        }
    }

    /// Makes all flushers that run in other threads check whether they are stopped.
    pub fn wake() {
        running::wake();
    }

    /// Hands over what was said since the last call.
    pub fn flush(&self) {
        for lines in running::of_runner(self.runner) {
            self.flush_one(&lines);
        }
    }

    /// Formats and writes without the lock: neither the user's redaction nor a slow disk makes the handler wait.
    fn flush_one(&self, lines: &SharedLines) {
        let fresh = lines.buffer().fresh(Instant::now());
        if let Some(fresh) = fresh {
            let now = self.clock.now();
            let ago = now.monotonic.saturating_duration_since(fresh.first_at());
            let at = now.wall.saturating_sub(ago);
            let ticket = self.sink.said(lines.id(), at, &fresh.lines(&self.redactor));
            if ticket == Ticket::NONE {
                return;
            }
            if let Err(ticket) = lines.buffer().handed_over(&fresh, ticket) {
                self.sink.unsaid(&[ticket]);
            }
        }
        let outdated = lines.buffer().take_outdated();
        if !outdated.is_empty() {
            self.sink.unsaid(&outdated);
        }
    }
}
