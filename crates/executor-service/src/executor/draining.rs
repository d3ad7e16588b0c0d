//! Waits until records are stored or synced, and shuts the executor down.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use executor_core::current_execution_id;
use tokio::sync::oneshot;

use crate::drain::Request;
use crate::executor::CommandExecutor;
use crate::lifecycle::report::ShutdownReport;
use crate::lifecycle::shutdown::{Reporting, stop};

/// Nothing guarantees that the records survive a crash of the machine: the executor keeps them in memory, protects
/// them only from the death of its process, or could not write them to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the records may not survive a crash of the machine")]
pub struct NotSynced;

/// Records are waiting and will not reach the store: the executor was stopped before it wrote them, its drain was
/// given up, or the runtime on which it was started has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} records are waiting, but the executor no longer writes to the store")]
#[non_exhaustive]
pub struct NotDrained {
    /// The number of waiting records, including those in the spool.
    pub waiting: u64,
}

impl CommandExecutor {
    /// Waits until every record that was offered before the call, including those of earlier processes, is stored
    /// or given up. While the store is unavailable, this takes as long as the retries do.
    ///
    /// # Errors
    ///
    /// [`NotDrained`]: records are waiting and will not reach the store.
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
    /// Dropping the future only stops the wait.
    pub async fn flush(&self) -> Result<(), NotDrained> {
        let (reply, done) = oneshot::channel();
        let asked = self.service.requests.send(Request::Flush(reply));
        if asked.is_ok() && done.await.is_ok() {
            return Ok(());
        }
        // The drain has ended; the ledger tells whether it finished.
        let ledger = self.ledger();
        match ledger.waiting + ledger.spooled {
            0 => Ok(()),
            waiting => Err(NotDrained { waiting }),
        }
    }

    /// Waits until the drain, which writes records to the store, takes note of the call: at once while it has nothing
    /// to do, and otherwise after the call to the store that is in hand. Returns `false` if the drain has ended. A
    /// watchdog can tell by it whether records still move.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), executor_service::StartError> {
    /// # let store = executor_testkit::MemoryStore::new();
    /// # let executor = executor_service::CommandExecutor::builder(store).start().await?;
    /// assert!(executor.ping().await);
    /// executor.shutdown(std::time::Duration::from_secs(1)).await;
    /// assert!(!executor.ping().await);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops the wait.
    pub async fn ping(&self) -> bool {
        let (reply, done) = oneshot::channel();
        let asked = self.service.requests.send(Request::Ping(reply));
        asked.is_ok() && done.await.is_ok()
    }

    /// Waits until every record that was offered before the call survives a crash of the machine. With
    /// [`Durability::Power`](crate::Durability::Power) this takes at most about 50 ms plus the time the disk
    /// needs.
    ///
    /// # Errors
    ///
    /// [`NotSynced`]: this executor does not sync, or syncing failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops the wait.
    pub async fn synced(&self) -> Result<(), NotSynced> {
        let synced = self.service.intake.synced().await;
        synced.then_some(()).ok_or(NotSynced)
    }

    /// Stops the service within a deadline: refuses new commands, gives running executions half the time to end,
    /// cancels the rest, writes the waiting records, and closes the session and the store.
    ///
    /// A second call returns the same report; concurrent calls wait for the same shutdown. An execution that
    /// awaits this call is not waited for: it is cancelled once the others have ended, and recorded as such.
    ///
    /// # Panics
    ///
    /// If called outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops the wait; the shutdown goes on.
    pub async fn shutdown(&self, within: Duration) -> ShutdownReport {
        let mut report = self.service.report.subscribe();
        if !self.service.is_stopping.swap(true, Ordering::SeqCst) {
            let is_inside = current_execution_id().is_some();
            let service = Arc::clone(&self.service);
            let reporting = Reporting::new(Arc::clone(&service));
            // Runs in its own task: the shutdown may cancel its caller, or the caller may go away.
            tokio::spawn(async move {
                let report = stop(&service, within, is_inside).await;
                reporting.send(report);
                // Comes last: handlers are user code, and callers that wait for the report do not wait for them.
                service.subscriptions.close();
            });
        }
        let report = report.wait_for(Option::is_some).await;
        let report = report.expect("the service that sends it is held by this handle");
        report.clone().expect("just waited for")
    }
}
