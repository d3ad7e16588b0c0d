//! What a shutdown did.

use std::time::Duration;

use executor_core::{LeakedThread, Ledger};

/// What a shutdown did.
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
    /// How long it took.
    pub elapsed: Duration,
    /// Where every record of this session went. Nothing is waiting any more.
    pub ledger: Ledger,
    /// How many executions ended as `cancelled` because they did not end by themselves. One that returned in its
    /// grace is none of them.
    pub cancelled: usize,
    /// How many executions did not even end when they were cancelled.
    pub still_running: usize,
    /// Threads of blocking handlers that had not come back by then.
    pub leaked_threads: Vec<LeakedThread>,
    /// Whether the session's row was closed with this ledger.
    pub session_closed: bool,
}
