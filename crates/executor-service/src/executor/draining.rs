//! Waiting for what was recorded: until it is stored, until it is synced, and the last time of all.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use executor_core::current_execution_id;
use tokio::sync::oneshot;

use crate::drain::Request;
use crate::executor::CommandExecutor;
use crate::lifecycle::report::ShutdownReport;
use crate::lifecycle::shutdown::{Reporting, stop};

/// Records are not known to survive the death of the machine: the executor keeps them in memory, or only
/// from the death of its process, or the disk did not take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the records are not known to survive the death of the machine")]
pub struct NotSynced;

/// Records wait, and nobody carries them to the store: the executor was stopped before it could, its drain was given
/// up, or the runtime on which it was started has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} records wait and nothing carries them to the store any more")]
#[non_exhaustive]
pub struct NotDrained {
    /// How many, those in the spool included.
    pub waiting: u64,
}

impl CommandExecutor {
    /// Waits until every record that was offered before the call is stored or given up, those that an
    /// earlier process left included. While the store is away this lasts as long as the retries do.
    ///
    /// # Errors
    ///
    /// [`NotDrained`]: records wait and nobody carries them to the store any more.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let executor = executor_service::CommandExecutor::builder(executor_testkit::MemoryStore::new())
    /// #     .start()
    /// #     .await?;
    /// # let job = executor.job("lights", "dim").handler_fn(|| async {}).register().await?;
    /// executor.execute(job.run_now()).await?;
    /// executor.flush().await.unwrap();
    /// assert_eq!(executor.ledger().stored, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up waiting, nothing else.
    pub async fn flush(&self) -> Result<(), NotDrained> {
        let (reply, done) = oneshot::channel();
        let asked = self.service.requests.send(Request::Flush(reply));
        if asked.is_ok() && done.await.is_ok() {
            return Ok(());
        }
        // The drain has ended, having finished or not.
        let ledger = self.ledger();
        match ledger.waiting + ledger.spooled {
            0 => Ok(()),
            waiting => Err(NotDrained { waiting }),
        }
    }

    /// Waits until every record that was offered before the call survives the death of the machine:
    /// with [`Durability::Power`](crate::Durability::Power) about 50 ms at most, and what the disk takes.
    ///
    /// # Errors
    ///
    /// [`NotSynced`]: this executor does not sync, or could not.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up waiting, nothing else.
    pub async fn synced(&self) -> Result<(), NotSynced> {
        let synced = self.service.intake.synced().await;
        synced.then_some(()).ok_or(NotSynced)
    }

    /// Stops the service within a deadline: refuses new commands, gives running ones half the
    /// time to end, cancels the rest, writes what waits, closes the session and the store.
    ///
    /// A second call returns the same report; calls at the same time wait for the same shutdown.
    /// An execution that awaits this is not waited for: it is cancelled once the others have ended,
    /// and recorded as such.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up waiting; the shutdown goes on.
    pub async fn shutdown(&self, within: Duration) -> ShutdownReport {
        let mut report = self.service.report.subscribe();
        if !self.service.is_stopping.swap(true, Ordering::SeqCst) {
            let is_inside = current_execution_id().is_some();
            let service = Arc::clone(&self.service);
            let reporting = Reporting::new(Arc::clone(&service));
            // A task of its own: whoever asked may be cancelled by it, or go away.
            tokio::spawn(async move {
                let report = stop(&service, within, is_inside).await;
                reporting.send(report);
            });
        }
        let report = report.wait_for(Option::is_some).await;
        let report = report.expect("the service that sends it is held by this handle");
        report.clone().expect("just waited for")
    }
}
