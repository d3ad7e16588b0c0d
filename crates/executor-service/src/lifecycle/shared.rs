//! What all handles of a service share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use executor_core::ports::{Session, Store};
use executor_core::{
    BlockingPool, Clock, Command, Ended, ExecutionResult, Outcome, Refused, Runner, Timestamp,
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
use crate::lifecycle::health::HealthState;
use crate::lifecycle::report::ShutdownReport;
use crate::lifecycle::tasks::Tasks;
use crate::registration::handle::JobHandle;
use crate::registration::registrar::Registrar;
use crate::running::Running;
use crate::schedule::Schedule;
use crate::schedule::scheduler::{Due, Scheduler};

/// A store takes a second at the worst, and is known to be away otherwise.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// One service.
pub(crate) struct Service {
    pub(crate) runner: Runner,
    pub(crate) intake: Arc<Intake>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) session: Arc<Session>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Counts what runs, and is closed when nothing may begin any more.
    pub(crate) running: Running,
    pub(crate) blocking: BlockingPool,
    pub(crate) cancel: CancellationToken,
    pub(crate) requests: mpsc::UnboundedSender<Request>,
    pub(crate) error_handlers: Arc<ErrorHandlers>,
    pub(crate) scheduler: Scheduler,
    pub(crate) registrar: Arc<Registrar>,
    pub(crate) health: Arc<HealthState>,
    /// Whether what earlier processes left is being taken over.
    pub(crate) recovering: watch::Sender<bool>,
    /// `None` once the last record has come to its end.
    pub(crate) completions: Mutex<Option<CompletionBuffer>>,
    pub(crate) tasks: Tasks,
    /// Has the drain end after the try in hand.
    pub(crate) time_is_up: CancellationToken,
    pub(crate) is_stopping: AtomicBool,
    pub(crate) report: watch::Sender<Option<ShutdownReport>>,
    /// The runtime on which it was started, and on which its tasks run.
    pub(crate) runtime: Handle,
    /// Room for submitted commands, and the tasks in which they run.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) submitted: TaskTracker,
    /// Executions that the shutdown has cancelled.
    pub(crate) cut_off: AtomicUsize,
}

impl Service {
    /// Ends every subscription, once its subscriber has taken what is there.
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
    /// What follows from an execution's end, for those that began it.
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

    /// Since when records wait, if none has come to its end for long.
    pub(crate) fn stalled_since(&self) -> Option<Timestamp> {
        let now = self.clock.now();
        let waits = now
            .monotonic
            .saturating_duration_since(self.intake.waits_since()?);
        (waits >= STALLED_AFTER).then(|| now.wall.saturating_sub(waits))
    }

    /// Whether its tasks are gone: it was stopped, or its runtime has ended without it.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst) || self.tasks.are_gone()
    }
}

impl Service {
    /// Counts a command in for as long as what is returned is held, which holds the service too.
    pub(crate) fn enter(self: &Arc<Self>, command: &Command) -> Result<Inside, Refused> {
        let inside = self.running.enter_for(command)?;
        // It is counted out by what is returned instead.
        std::mem::forget(inside);
        Ok(Inside(Arc::clone(self)))
    }

    /// A job was registered, with a schedule or without one: what an earlier job with its key had is over.
    pub(crate) fn schedule(self: &Arc<Self>, job: &JobHandle, schedule: Option<Schedule>) {
        let Some(schedule) = schedule else {
            self.scheduler.remove(&job.job().registration.entity);
            return;
        };
        let service = Arc::downgrade(self);
        self.scheduler.enter(job, schedule, &self.health, || {
            Box::new(move |due| Some(Box::pin(run_due(service.upgrade()?, due))))
        });
    }
}

/// One that runs, until this is dropped.
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
    /// Nothing rests on this: without `shutdown` what waits is lost, and said to be. What the store has in hand it
    /// may well commit.
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
            // A loop of refusals gives way to others, too.
            consume_budget().await;
            return Err(refused);
        }
    };
    let of_apps = service.error_handlers.as_of_now();
    let ended = service.runner.run(command, cancel.as_ref()).await;
    Ok(service.conclude(ended, of_apps.as_ref()))
}

async fn run_due(service: Arc<Service>, due: Due) {
    // More than one where missed runs are made up for: no overlap rule makes one of them skip another.
    for _ in 0..due.runs {
        // Refused where the service stops, and then nothing is owed.
        let _ = run(Arc::clone(&service), due.job.run_scheduled(), None).await;
    }
}
