//! Stopping, in order.

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

/// Stops: refuses, waits for half the time, cancels, writes until the deadline, closes. `inside` says
/// that an execution of this service asks for it: that one is not waited for.
pub(crate) async fn stop(service: &Service, within: Duration, inside: bool) -> ShutdownReport {
    let begun = Instant::now();
    // Longer than any program runs is as good as for ever, and the clock can tell it.
    let within = within.min(Duration::from_secs(10 * 365 * 86_400));
    let deadline = begun + within;
    service.scheduler.stop();
    service.running.close();
    service.submitted.close();
    service.error_handlers.tasks.close();
    let soft = begun + within / 2;
    let still_running = end_executions(service, soft, deadline, inside).await;
    // Its runs are among those that have ended, but for one that holds its thread.
    let patience = deadline.min(Instant::now() + GRACE);
    service.scheduler.join(patience).await;
    let (leaked_threads, ()) = tokio::join!(
        end_threads_and_drain(service, soft, deadline),
        end_programs(service, deadline),
    );
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
    crate::metering::publish(&ledger, &service.health);
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

/// Records that do not come to the store any more, by this process.
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

/// Waits for the groups of programs that were ended with their executions, until the deadline; then they are killed.
async fn end_programs(service: &Service, deadline: Instant) {
    let have_ended = || service.runner.programs_ended();
    if timeout_at(deadline, have_ended()).await.is_err() {
        service.runner.kill_programs();
        let patience = Instant::now() + LAST_ANSWER;
        if timeout_at(patience, have_ended()).await.is_err() {
            tracing::warn!("programs that were killed have not ended yet");
        }
    }
}

/// Reports even where the task that stops is dropped half-way, because its runtime is: whoever waits
/// for the report would wait for ever.
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
        self.service.intake.close();
        self.service.end_completions();
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

/// Joins the blocking threads that end in time, while the drain works; returns those that do not.
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

/// How long past the deadline an answer is awaited that was asked for before it. Together with what
/// closing takes it stays below a quarter of a second.
const LAST_ANSWER: Duration = Duration::from_millis(180);

/// What closing takes even when everything before it used up the time.
const GRACE: Duration = Duration::from_millis(30);

async fn end_executions(service: &Service, soft: Instant, hard: Instant, inside: bool) -> usize {
    let all_ended = async {
        // Whoever asks from inside waits for this in turn, and is cancelled once it is the last.
        service.running.wait(usize::from(inside)).await;
        service.error_handlers.tasks.wait().await;
    };
    if timeout_at(soft, all_ended).await.is_ok() && service.running.len() == 0 {
        return 0;
    }
    service.cancel.cancel();
    // They end at their next poll. One that holds its thread does not, and nobody waits for it.
    let patience = (soft + (hard - soft) / 2).max(Instant::now() + GRACE);
    match timeout_at(patience, service.running.wait(0)).await {
        Ok(()) => 0,
        Err(_) => service.running.len(),
    }
}

async fn end_drain(service: &Service, deadline: Instant) {
    let _ = service.requests.send(Request::Stop);
    // What an earlier process left can wait for the next one; the records of this one come first now.
    service.recovering.send_replace(false);
    let drain = &service.tasks.drain;
    if timeout_at(deadline, drain.wait()).await.is_err() {
        // What the store has in hand it may well commit: to count that as lost would be wrong.
        service.time_is_up.cancel();
        let patience = Instant::now() + LAST_ANSWER;
        if timeout_at(patience, drain.wait()).await.is_err() {
            service.tasks.abort_drain.abort();
            drain.wait().await;
        }
    }
    // Whatever is left now stays in the spool or is lost, and is counted.
    service.intake.close();
    service.tasks.end_others().await;
    let patience = deadline.max(Instant::now() + GRACE);
    let writing = write_gaps(&service.intake, service.store.as_ref(), service.session.id);
    if !matches!(timeout_at(patience, writing).await, Ok(Ok(()))) {
        tracing::warn!("could not write the lost records down in the store");
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

/// Why a session failed.
fn given_up(service: &str, fault: &str) -> Failure {
    Failure {
        error_type: "service given up".into(),
        message: storable(&format!("{service}: {fault}"), MESSAGE_MAX_CHARS),
        report: None,
    }
}

/// Asks again while the store is away; the caller sets the time limit.
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

/// How often a store that is away is asked again to close the session.
const CLOSE_RETRY: Duration = Duration::from_millis(100);
