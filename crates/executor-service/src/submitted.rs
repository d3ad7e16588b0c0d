//! Runs commands in tasks of the service. The call itself claims room, asks the guard and takes the place in line,
//! so commands run in the order of the calls, whenever their tasks are polled.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use executor_core::run::Begun;
use executor_core::{
    Command, Ended, ExecutionId, ExecutionResult, Outcome, Refused, Runner, Status, Timestamp,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::sync::CancellationToken;

use crate::error_handlers::AppErrorHandlers;
use crate::executor::CommandExecutor;
use crate::lifecycle::shared::{Inside, Service};

/// A submitted command. Await it for the result; dropping it neither ends nor hides the execution.
///
/// ```
/// # use executor_service::CommandExecutor;
/// # async fn example(executor: CommandExecutor, job: executor_service::JobHandle) -> Result<(), Box<dyn std::error::Error>> {
/// let submitted = executor.submit(job.run_now())?;
/// println!("{} has its place in line", submitted.execution_id());
/// let result = submitted.await;
/// println!("{}", result.status().as_str());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Submitted {
    execution_id: ExecutionId,
    begun_at: Timestamp,
    cancel: CancellationToken,
    state: State,
}

#[derive(Debug)]
enum State {
    /// `None` once the result was taken.
    Ended(Option<ExecutionResult>),
    Runs(oneshot::Receiver<ExecutionResult>),
}

impl Submitted {
    /// Returns the execution's id.
    pub const fn execution_id(&self) -> ExecutionId {
        self.execution_id
    }

    /// The status in which it ended at once, without a task: its guard or its overlap rule sent it away.
    pub(crate) fn ended_as(&self) -> Option<Status> {
        match &self.state {
            State::Ended(result) => result.as_ref().map(ExecutionResult::status),
            State::Runs(_) => None,
        }
    }

    /// Cancels the execution, as the token of [`execute_until`](CommandExecutor::execute_until) does. Idempotent.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }
}

impl Future for Submitted {
    type Output = ExecutionResult;

    /// # Panics
    ///
    /// If polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ExecutionResult> {
        let lost = self.lost();
        Poll::Ready(match &mut self.state {
            State::Ended(result) => result.take().expect("polled after it was ready"),
            // Its task was dropped with the runtime, which recorded the execution as cancelled.
            State::Runs(result) => ready!(Pin::new(result).poll(cx)).unwrap_or(lost),
        })
    }
}

impl Submitted {
    fn lost(&self) -> ExecutionResult {
        ExecutionResult {
            execution_id: self.execution_id,
            outcome: Outcome::Cancelled,
            started_at: self.begun_at,
            duration: Duration::ZERO,
        }
    }
}

/// Dereferences to the service's runner and keeps the service alive.
struct Owned(Arc<Service>);

impl Deref for Owned {
    type Target = Runner;

    fn deref(&self) -> &Runner {
        &self.0.runner
    }
}

/// The work of one task. Its fields drop in this order: the record is offered while the execution still counts as
/// running.
struct Work {
    begun: Begun<Owned>,
    of_apps: Option<AppErrorHandlers>,
    cancel: CancellationToken,
    tell: oneshot::Sender<ExecutionResult>,
    room: OwnedSemaphorePermit,
    inside: Inside,
}

impl Work {
    async fn run(self) {
        let Self {
            inside,
            room,
            tell,
            cancel,
            of_apps,
            begun,
        } = self;
        let ended = begun.finish(&cancel).await;
        let result = inside.service().conclude(ended, of_apps.as_ref());
        // Free the room before sending the result.
        drop((room, inside));
        // The submitter may have dropped its handle.
        let _ = tell.send(result);
    }
}

impl CommandExecutor {
    /// Runs a command in a task of the service. The call claims room, asks the guard on this thread, and then
    /// takes the place under the overlap rule, so commands of one registration run in the order of these calls.
    /// From then on one record is owed, even if the runtime ends.
    ///
    /// # Errors
    ///
    /// Like [`execute`](Self::execute), and [`Refused::Busy`] if `submitted_max` submitted commands have not
    /// finished: [`room`](Self::room) waits until fewer are left. Nothing ran, and nothing is recorded.
    pub fn submit(&self, command: impl Into<Command>) -> Result<Submitted, Refused> {
        let service = &self.service;
        let command = command.into();
        let inside = service.enter(&command)?;
        let Ok(room) = Arc::clone(&service.room).try_acquire_owned() else {
            return Err(service.running.refuse(Refused::Busy));
        };
        let of_apps = service.error_handlers.as_of_now();
        let cancel = CancellationToken::new();
        let begun = match Runner::submit(Owned(Arc::clone(service)), command) {
            Ok(begun) => begun,
            Err(ended) => return Ok(service.ended_at_once(*ended, of_apps.as_ref(), cancel)),
        };
        let (tell, told) = oneshot::channel();
        let submitted = Submitted {
            execution_id: begun.execution_id(),
            begun_at: begun.begun_at(),
            cancel: cancel.clone(),
            state: State::Runs(told),
        };
        let work = Work {
            begun,
            of_apps,
            cancel,
            tell,
            room,
            inside,
        };
        service.submitted.spawn_on(work.run(), &service.runtime);
        Ok(submitted)
    }

    /// Waits until fewer than `submitted_max` submitted commands are waiting or running. Another caller may take
    /// the room first.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops the wait.
    pub async fn room(&self) {
        // The semaphore is never closed.
        let _ = self.service.room.acquire().await;
    }
}

impl Service {
    fn ended_at_once(
        self: &Arc<Self>,
        ended: Ended,
        of_apps: Option<&AppErrorHandlers>,
        cancel: CancellationToken,
    ) -> Submitted {
        let result = self.conclude(ended, of_apps);
        Submitted {
            execution_id: result.execution_id,
            begun_at: result.started_at,
            cancel,
            state: State::Ended(Some(result)),
        }
    }
}
