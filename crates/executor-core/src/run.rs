//! Turns one command into one record, whatever happens.
//!
//! `runner` holds the runner and its options; `execution` holds the execution, which owes the record.

mod aftermath;
mod execution;
mod flusher;
mod halt;
mod log;
mod poll;
mod runner;
mod verdict;

use std::ops::Deref;
use std::sync::Arc;

use tokio::task::coop::consume_budget;
use tokio_util::sync::CancellationToken;

use crate::command::Command;
use crate::handler::BorrowingFuture;
use crate::identity::ExecutionId;
use crate::run::execution::Execution;
use crate::run::poll::Stop;
use crate::time::Timestamp;

pub use self::flusher::LineFlusher;
pub use self::runner::{Ended, RunOptions, Runner};

impl Runner {
    /// Runs a command to its outcome, or until `cancel` is cancelled. The execution begins at the
    /// first poll, and from then on exactly one record is offered to the sink.
    ///
    /// # Cancel safety
    ///
    /// Dropping this future drops the handler's and records the execution as `cancelled`. A
    /// future passed to [`std::mem::forget`] records nothing, and keeps its place under the
    /// overlap rule for good.
    // This function and the next one are not async, because the result of an execution would be moved through one
    // more future.
    pub fn run(
        &self,
        command: Command,
        cancel: Option<&CancellationToken>,
    ) -> impl Future<Output = Ended> + Send {
        self.run_to_end(command, None, cancel)
    }

    /// Runs `future` in place of the command's handler, with the guard, overlap rule, deadline and record of the
    /// command. The future may borrow from its caller.
    ///
    /// # Cancel safety
    ///
    /// As for [`run`](Self::run): dropping the returned future drops `future`.
    pub fn run_future(
        &self,
        command: Command,
        future: BorrowingFuture<'_>,
        cancel: Option<&CancellationToken>,
    ) -> impl Future<Output = Ended> + Send {
        self.run_to_end(command, Some(future), cancel)
    }

    async fn run_to_end(
        &self,
        command: Command,
        future: Option<BorrowingFuture<'_>>,
        cancel: Option<&CancellationToken>,
    ) -> Ended {
        let mut execution = Execution::begin(self, command, future);
        let stop = Stop {
            halt: &self.halt,
            id: execution.id(),
            caller: cancel,
        };
        if let Err(refusal) = execution.enter() {
            let ended = execution.refuse(refusal);
            // This path awaits nothing else, so a loop of refused commands yields to other tasks here.
            consume_budget().await;
            return *ended;
        }
        let ending = execution.work(stop).await;
        execution.end(ending)
    }

    /// Begins an execution now: asks its guard and takes its place in line, in the order of the calls. Awaiting
    /// [`Begun::finish`] then runs it on the runner behind `runner`.
    ///
    /// # Errors
    ///
    /// The execution has already ended: its guard or its overlap rule rejected it, or the guard failed. Its record
    /// was offered.
    pub fn submit<R: Deref<Target = Self>>(
        runner: R,
        command: Command,
    ) -> Result<Begun<R>, Box<Ended>> {
        let mut execution = Execution::begin(runner, command, None);
        match execution.enter() {
            Ok(()) => Ok(Begun(execution)),
            Err(refusal) => Err(execution.refuse(refusal)),
        }
    }
}

/// An execution that has begun and has its place in line. Dropping it records it as `cancelled`.
#[must_use = "it is run by `finish`"]
pub struct Begun<R: Deref<Target = Runner>>(Execution<'static, R>);

impl<R: Deref<Target = Runner>> Begun<R> {
    /// Returns the execution's id.
    pub const fn execution_id(&self) -> ExecutionId {
        self.0.id()
    }

    /// Returns the time at which it was begun. Its handler begins later, when [`finish`](Self::finish) is first
    /// polled or its turn comes.
    pub const fn begun_at(&self) -> Timestamp {
        self.0.begun_at()
    }

    /// Runs it to its outcome, or until `cancel` is cancelled.
    ///
    /// # Cancel safety
    ///
    /// As for [`Runner::run`].
    pub async fn finish(self, cancel: &CancellationToken) -> Ended {
        let mut execution = self.0;
        let halt = Arc::clone(&execution.runner().halt);
        let stop = Stop {
            halt: &halt,
            id: execution.id(),
            caller: Some(cancel),
        };
        execution.begin_anew();
        let ending = execution.work(stop).await;
        execution.end(ending)
    }
}
