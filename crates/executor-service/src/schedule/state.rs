//! The state of a schedule.

use executor_core::Timestamp;

/// The state of a job's schedule; see [`schedule_of`](crate::CommandExecutor::schedule_of).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let executor = executor_service::CommandExecutor::builder(executor_testkit::MemoryStore::new())
/// #     .start()
/// #     .await?;
/// use std::time::Duration;
/// use executor_service::Schedule;
///
/// let dim = executor.job("lights", "dim").schedule(Schedule::every(Duration::from_secs(10)));
/// let dim = dim.handler_fn(|| async {}).register().await?;
/// let state = executor.schedule_of(&dim).expect("it has one");
/// assert!(state.next_run.is_some() && state.missed == 0 && !state.is_paused);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduleState {
    /// The time of the next run, jitter included; `None` if none follows, or while paused.
    pub next_run: Option<Timestamp>,
    /// The number of runs that were missed and skipped.
    pub missed: u64,
    /// True while it is paused.
    pub is_paused: bool,
}
