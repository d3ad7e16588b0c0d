//! Shuts a service down, step by step.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use executor_core::failure::{MESSAGE_MAX_CHARS, storable};
use executor_core::ports::{SessionEnd, SessionStatus};
use executor_core::{DropReason, ErrorClass, Failure, LeakedThread, Ledger};
use tokio::time::{Instant, timeout_at};

use crate::drain::Request;
use crate::drain::guarded::guarded;
use crate::intake::loss_reporter::write_gaps;
use crate::lifecycle::report::ShutdownReport;
use crate::lifecycle::shared::Service;
use crate::schedule::missed_reporter::write_missed;
use crate::sources::reporter::write_sources;

/// Stops the service: refuses commands, waits for half the time, cancels executions, writes until the deadline,
/// and closes. `inside` says that an execution of this service called it; that execution is not waited for.
pub(crate) async fn stop(service: &Service, within: Duration, inside: bool) -> ShutdownReport {
    let begun = Instant::now();
    // Ten years is as good as for ever, and within the clock's range.
    let within = within.min(Duration::from_secs(10 * 365 * 86_400));
    let deadline = begun + within;
    service.scheduler.stop();
    service.running.close();
    service.submitted.close();
    service.acting.close();
    service.error_handlers.tasks.close();
    let soft = begun + within / 2;
    let still_running = end_executions(service, soft, deadline, inside).await;
    // Scheduled runs have ended by now, unless one holds its thread.
    let patience = deadline.min(Instant::now() + GRACE);
    service.scheduler.join(patience).await;
    let (leaked_threads, ()) = tokio::join!(
        end_threads_and_drain(service, soft, deadline),
        end_programs(service, deadline),
    );
    let patience = deadline.max(Instant::now() + GRACE);
    if timeout_at(patience, service.acting.wait()).await.is_err() {
        tracing::warn!("what somebody asked for may not have been recorded");
    }
    let end = session_end(service);
    let note = service.intake.note_end(&end);
    let session_closed = close_session(service, end, deadline).await;
    let patience = deadline.max(Instant::now() + GRACE);
    let closing = guarded("closing the store", || service.store.close());
    if timeout_at(patience, closing).await.is_err() {
        tracing::warn!("the store did not close in time");
    }
    service.intake.leave(note, session_closed);
    service.end_completions();
    let ledger = service.intake.ledger();
    #[cfg(feature = "metrics")]
    crate::metering::publish(&service.intake, &service.health);
    say_what_is_left(&ledger);
    ShutdownReport {
        elapsed: begun.elapsed(),
        ledger,
        cancelled: service.cut_off.load(Ordering::Relaxed),
        still_running,
        leaked_threads,
        session_closed,
    }
}

/// Logs the records that this process will not store.
fn say_what_is_left(ledger: &Ledger) {
    let lost = ledger.dropped(DropReason::Shutdown);
    if lost > 0 {
        tracing::error!(lost, "shutdown gave up records");
    }
    if ledger.spooled > 0 {
        let records = ledger.spooled;
        tracing::warn!(records, "records stay in the spool for the next start");
    }
}

/// Waits until the deadline for the process groups that were ended with their executions, then kills them.
async fn end_programs(service: &Service, deadline: Instant) {
    let have_ended = || service.runner.programs_ended();
    if timeout_at(deadline, have_ended()).await.is_err() {
        service.runner.kill_programs();
        let patience = Instant::now() + LAST_ANSWER;
        if timeout_at(patience, have_ended()).await.is_err() {
            tracing::warn!("killed programs have not exited yet");
        }
    }
}

/// Sends a report even if the task that stops the service is dropped midway with its runtime; otherwise callers
/// would wait for it for ever.
pub(crate) struct Reporting {
    service: Arc<Service>,
    begun: Instant,
}

impl Reporting {
    pub(crate) fn new(service: Arc<Service>) -> Self {
        let begun = Instant::now();
        Self { service, begun }
    }

    pub(crate) fn send(&self, report: ShutdownReport) {
        self.service.report.send_if_modified(|sent| {
            let is_first = sent.is_none();
            sent.get_or_insert(report);
            is_first
        });
    }
}

impl Drop for Reporting {
    fn drop(&mut self) {
        if self.service.report.borrow().is_some() {
            return;
        }
        self.service.flushing.stop();
        self.service.intake.close();
        self.service.end_completions();
        self.service.subscriptions.close();
        self.send(ShutdownReport {
            elapsed: self.begun.elapsed(),
            ledger: self.service.intake.ledger(),
            cancelled: self.service.cut_off.load(Ordering::Relaxed),
            still_running: self.service.running.len(),
            leaked_threads: self.service.blocking.leaked(),
            session_closed: false,
        });
    }
}

/// Joins the blocking threads that end in time, while the drain works. Returns the others.
async fn end_threads_and_drain(
    service: &Service,
    soft: Instant,
    hard: Instant,
) -> Vec<LeakedThread> {
    let patience = soft + (hard - soft) / 2;
    let joined = timeout_at(patience, service.blocking.close());
    let _ = tokio::join!(joined, end_drain(service, hard));
    service.blocking.leaked()
}

/// The time past the deadline to wait for an answer requested before it. Including the time for closing, this
/// stays below a quarter of a second.
const LAST_ANSWER: Duration = Duration::from_millis(180);

/// The minimum time for closing, even if earlier steps used up the deadline.
const GRACE: Duration = Duration::from_millis(30);

async fn end_executions(service: &Service, soft: Instant, hard: Instant, inside: bool) -> usize {
    let all_ended = async {
        // An execution that called shutdown waits for this, and is cancelled once it is the last.
        service.running.wait(usize::from(inside)).await;
        service.error_handlers.tasks.wait().await;
    };
    if timeout_at(soft, all_ended).await.is_ok() && service.running.len() == 0 {
        return 0;
    }
    service.cancel.cancel();
    // Executions end at their next poll. One that holds its thread does not, and is not waited for.
    let patience = (soft + (hard - soft) / 2).max(Instant::now() + GRACE);
    match timeout_at(patience, service.running.wait(0)).await {
        Ok(()) => 0,
        Err(_) => service.running.len(),
    }
}

async fn end_drain(service: &Service, deadline: Instant) {
    let _ = service.requests.send(Request::Stop);
    // An earlier process's records can wait for the next start; this one's come first now.
    service.recovering.send_replace(false);
    let drain = &service.tasks.drain;
    if timeout_at(deadline, drain.wait()).await.is_err() {
        // The store may still commit what it has in hand, so counting that as lost would be wrong.
        service.time_is_up.cancel();
        let patience = Instant::now() + LAST_ANSWER;
        if timeout_at(patience, drain.wait()).await.is_err() {
            service.tasks.abort_drain.abort();
            drain.wait().await;
        }
    }
    service.flushing.stop();
    // The remaining records stay in the spool or are lost; either way they are counted.
    service.intake.close();
    service.tasks.end_others().await;
    let patience = deadline.max(Instant::now() + GRACE);
    let writing = write_gaps(&service.intake, service.store.as_ref(), service.session.id);
    if !matches!(timeout_at(patience, writing).await, Ok(Ok(()))) {
        tracing::warn!("could not record the losses in the store");
    }
    service.missed.resume_all(service.clock.now().wall);
    let writing = write_missed(&service.missed, service.store.as_ref());
    if !matches!(timeout_at(patience, writing).await, Ok(Ok(()))) {
        tracing::warn!("could not record missed runs and pauses in the store");
    }
    let writing = write_sources(&service.sources, service.store.as_ref(), &*service.clock);
    if !matches!(timeout_at(patience, writing).await, Ok(Ok(()))) {
        tracing::warn!("could not record the counts of sources of events in the store");
    }
}

fn session_end(service: &Service) -> SessionEnd {
    let (status, failure) = match service.health.failed() {
        None => (SessionStatus::Success, None),
        Some((service, fault)) => (SessionStatus::Failure, Some(given_up(service, &fault))),
    };
    SessionEnd {
        at: service.clock.now().wall,
        status,
        failure,
        ledger: service.intake.ledger(),
    }
}

async fn close_session(service: &Service, end: SessionEnd, deadline: Instant) -> bool {
    let patience = deadline.max(Instant::now() + GRACE);
    let closed = timeout_at(patience, close_until_it_holds(service, end)).await;
    closed.unwrap_or(false)
}

/// Describes why a session failed.
fn given_up(service: &str, fault: &str) -> Failure {
    Failure {
        error_type: "service given up".into(),
        message: storable(&format!("{service}: {fault}"), MESSAGE_MAX_CHARS),
        report: None,
    }
}

/// Closes the session, retrying while the store is unavailable; the caller sets the time limit.
async fn close_until_it_holds(service: &Service, end: SessionEnd) -> bool {
    loop {
        let Err(error) = guarded("closing the session", || {
            service.store.close_session(service.session.id, end.clone())
        })
        .await
        else {
            return true;
        };
        if error.class != ErrorClass::Transient {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the session could not be closed");
            return false;
        }
        tokio::time::sleep(CLOSE_RETRY).await;
    }
}

/// The interval between tries to close the session.
const CLOSE_RETRY: Duration = Duration::from_millis(100);
