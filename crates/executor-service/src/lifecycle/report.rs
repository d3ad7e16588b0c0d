//! The report of a shutdown.

use std::time::Duration;

use executor_core::{LeakedThread, Ledger};

/// The report of a shutdown.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let executor = executor_service::CommandExecutor::builder(executor_testkit::MemoryStore::new())
/// #     .start()
/// #     .await?;
/// use std::time::Duration;
///
/// let report = executor.shutdown(Duration::from_secs(5)).await;
/// assert_eq!((report.cancelled, report.still_running), (0, 0));
/// assert!(report.session_closed && report.leaked_threads.is_empty());
/// println!("stopped after {:?}: {}", report.elapsed, report.ledger);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The time that the shutdown took.
    pub elapsed: Duration,
    /// The final ledger of this session. No record is waiting any more.
    pub ledger: Ledger,
    /// The number of executions that ended as `cancelled` because they did not end by themselves. An execution
    /// that returned within its grace period is not counted.
    pub cancelled: usize,
    /// The number of executions that did not end even after they were cancelled.
    pub still_running: usize,
    /// Threads of blocking handlers that had not returned by then.
    pub leaked_threads: Vec<LeakedThread>,
    /// True if the session's row was closed with this ledger.
    pub session_closed: bool,
}
