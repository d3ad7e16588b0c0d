//! The state that all handles of a service share.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use executor_core::ports::{MissedReason, Session, Store};
use executor_core::registration::Overlap;
use executor_core::time::Moment;
use executor_core::{
    BlockingPool, BorrowingFuture, Clock, Command, Ended, ExecutionResult, Job, Listener, Outcome,
    Refused, Runner, Timestamp,
};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::consume_budget;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::completions::CompletionBuffer;
use crate::drain::Request;
use crate::error_handlers::{AppErrorHandlers, ErrorHandlers};
use crate::intake::Intake;
use crate::lifecycle::flushing::Flushing;
use crate::lifecycle::health::HealthState;
use crate::lifecycle::report::ShutdownReport;
use crate::lifecycle::tasks::Tasks;
use crate::registration::handle::JobHandle;
use crate::registration::registrar::Registrar;
use crate::registration::subscriptions::Subscriptions;
use crate::registration::wrapped::RunsFutures;
use crate::running::Running;
use crate::schedule::Schedule;
use crate::schedule::missed_log::{MissedLog, Span};
use crate::schedule::scheduler::{Due, Scheduler};
use crate::sources::SourceLog;

/// The time without progress after which the service counts as stalled: a store needs a second at worst, or is
/// known to be unavailable.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// One service.
pub(crate) struct Service {
    pub(crate) runner: Runner,
    pub(crate) intake: Arc<Intake>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) session: Arc<Session>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Counts running executions; closed once nothing new may begin.
    pub(crate) running: Running,
    pub(crate) blocking: BlockingPool,
    pub(crate) cancel: CancellationToken,
    pub(crate) requests: mpsc::UnboundedSender<Request>,
    pub(crate) error_handlers: Arc<ErrorHandlers>,
    pub(crate) scheduler: Scheduler,
    pub(crate) missed: Arc<MissedLog>,
    /// What is read from sources of events.
    pub(crate) sources: Arc<SourceLog>,
    pub(crate) registrar: Arc<Registrar>,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) health: Arc<HealthState>,
    /// True while recovery takes over the records of earlier processes.
    pub(crate) recovering: watch::Sender<bool>,
    /// `None` once the last record was settled.
    pub(crate) completions: Mutex<Option<CompletionBuffer>>,
    pub(crate) tasks: Tasks,
    /// Hands lines to the spool, if there is one.
    pub(crate) flushing: Flushing,
    /// Makes the drain end after the try in hand.
    pub(crate) time_is_up: CancellationToken,
    pub(crate) is_stopping: AtomicBool,
    pub(crate) report: watch::Sender<Option<ShutdownReport>>,
    /// The runtime on which it was started, and on which its tasks run.
    pub(crate) runtime: Handle,
    /// Room for submitted commands, and the tasks in which they run.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) submitted: TaskTracker,
    /// Tasks that do what people ask for, and have it recorded.
    pub(crate) acting: TaskTracker,
    /// Executions that the shutdown has cancelled.
    pub(crate) cut_off: AtomicUsize,
}

impl Service {
    /// Ends every subscription; each subscriber still gets the events already published.
    pub(crate) fn end_completions(&self) {
        self.completions().take();
    }

    pub(crate) fn completions(&self) -> MutexGuard<'_, Option<CompletionBuffer>> {
        self.completions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Counts an execution that the shutdown cancelled, reports a failure to its error handler, and returns the
    /// result.
    #[inline]
    pub(crate) fn conclude(
        &self,
        ended: Ended,
        of_apps: Option<&AppErrorHandlers>,
    ) -> ExecutionResult {
        if ended.result.outcome == Outcome::Cancelled && self.cancel.is_cancelled() {
            self.cut_off.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(failure) = ended.failure {
            self.error_handlers.start(*failure, of_apps, &self.runtime);
        }
        ended.result
    }

    /// Returns the time since which records have been waiting, if none has been settled for long.
    pub(crate) fn stalled_since(&self) -> Option<Timestamp> {
        let now = self.clock.now();
        let waits = now
            .monotonic
            .saturating_duration_since(self.intake.waits_since()?);
        (waits >= STALLED_AFTER).then(|| now.wall.saturating_sub(waits))
    }

    /// Returns whether the tasks are gone because the service was stopped or its runtime has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst) || self.tasks.are_gone()
    }
}

impl Service {
    /// Counts a command as running until the returned guard, which also holds the service, is dropped.
    pub(crate) fn enter(self: &Arc<Self>, command: &Command) -> Result<Inside, Refused> {
        let inside = self.running.enter_for(command)?;
        // The returned guard counts it out instead.
        std::mem::forget(inside);
        Ok(Inside(Arc::clone(self)))
    }

    /// Sets or removes the schedule of a newly registered job; either way the schedule of an earlier job with the
    /// same key ends.
    /// It applies from `at`, the time of the registration: what falls due while the store notes the registration is
    /// not forgotten.
    pub(crate) fn schedule(
        self: &Arc<Self>,
        job: &JobHandle,
        schedule: Option<Schedule>,
        at: Moment,
    ) {
        let Some(schedule) = schedule else {
            let entity = &job.job().registration.entity;
            self.scheduler.remove(entity, None);
            return;
        };
        let service = Arc::downgrade(self);
        self.scheduler.enter(job, (schedule, at), &self.health, || {
            Box::new(move |due| Some(Box::pin(run_due(service.upgrade()?, due))))
        });
    }
}

impl RunsFutures for Service {
    fn run_future<'f>(
        self: Arc<Self>,
        command: Command,
        future: BorrowingFuture<'f>,
    ) -> Pin<Box<dyn Future<Output = Result<ExecutionResult, Refused>> + Send + 'f>> {
        Box::pin(async move {
            let _inside = match self.running.enter_for(&command) {
                Ok(inside) => inside,
                Err(refused) => {
                    // A loop of refusals yields to other tasks, too.
                    consume_budget().await;
                    return Err(refused);
                }
            };
            let of_apps = self.error_handlers.as_of_now();
            let ended = self.runner.run_future(command, future, None).await;
            Ok(self.conclude(ended, of_apps.as_ref()))
        })
    }

    fn unsubscribe(&self, listener: &Arc<Listener>) {
        self.subscriptions.remove(listener);
    }

    fn unschedule(&self, job: &Arc<Job>) {
        self.scheduler.remove(&job.registration.entity, Some(job));
    }
}

/// Counts one running command until it is dropped.
pub(crate) struct Inside(Arc<Service>);

impl Inside {
    pub(crate) const fn service(&self) -> &Arc<Service> {
        &self.0
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.running.leave();
    }
}

impl Drop for Service {
    /// Only warns: without `shutdown` waiting records are lost. The store may still commit what it has in hand.
    fn drop(&mut self) {
        let (waiting, in_hand) = self.intake.unsettled();
        if waiting + in_hand > 0 && !self.intake.outlives_process() {
            tracing::warn!(
                lost = waiting,
                perhaps_stored = in_hand,
                "the executor was dropped without shutdown; records are lost"
            );
        }
    }
}

/// Runs a command where it is awaited.
pub(crate) async fn run(
    service: Arc<Service>,
    command: Command,
    cancel: Option<CancellationToken>,
) -> Result<ExecutionResult, Refused> {
    let _inside = match service.running.enter_for(&command) {
        Ok(inside) => inside,
        Err(refused) => {
            // Yield, so that a loop of refused calls does not starve other tasks.
            consume_budget().await;
            return Err(refused);
        }
    };
    let of_apps = service.error_handlers.as_of_now();
    let ended = service.runner.run(command, cancel.as_ref()).await;
    Ok(service.conclude(ended, of_apps.as_ref()))
}

/// Returns why a planned run that was refused counts as missed, if it does.
const fn missed_by(refused: Refused) -> Option<MissedReason> {
    match refused {
        Refused::Paused => Some(MissedReason::Paused),
        Refused::Stopping | Refused::Removed => Some(MissedReason::NoProcess),
        Refused::Busy => None,
    }
}

async fn run_due(service: Arc<Service>, due: Due) {
    let last = due.due_at.last().copied();
    let entity = Arc::clone(due.entity());
    let mut owed = due.takes_charge;
    let details = &due.job.job().registration.details;
    // Whether such a run has begun or waits cannot be seen from here, so it counts once it has ended.
    let may_wait = matches!(
        details.effective_overlap(),
        Overlap::Queued | Overlap::Restart
    );
    let is_recorded = service.intake.records_all(details.source_tier);
    // There are several runs if missed ones are made up for; in sequence, no overlap rule skips them.
    if may_wait || due.due_at.len() > 1 {
        for due_at in &due.due_at {
            service.missed.waits(&entity, *due_at);
        }
    }
    for due_at in due.due_at {
        // One that has replaced it since has taken over what it owes.
        let replaced = due
            .job
            .is_cancelled()
            .then(|| service.scheduler.job(&entity));
        let job = replaced.flatten().unwrap_or_else(|| due.job.clone());
        let mut running = pin!(run(Arc::clone(&service), job.run_scheduled(due_at), None));
        let begun = poll_fn(|context| Poll::Ready(running.as_mut().poll(context))).await;
        if owed.is_some() && matches!(begun, Poll::Ready(Err(Refused::Stopping))) {
            return;
        }
        let is_last = Some(due_at) == last;
        if let Some(registered) = owed.take_if(|_| is_last && !may_wait) {
            service.missed.took(&entity, registered);
        }
        let ran = match begun {
            Poll::Ready(ran) => ran,
            Poll::Pending => running.await,
        };
        match ran.map_or_else(missed_by, |_| None) {
            Some(reason) => service.missed.note(&entity, reason, Span::of(due_at)),
            None if is_recorded => {}
            None => service.missed.ran_unrecorded(&entity, due_at),
        }
        service.missed.ended(&entity, due_at);
        if let Some(registered) = owed.take_if(|_| is_last) {
            service.missed.took(&entity, registered);
        }
    }
}
