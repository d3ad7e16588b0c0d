//! How things stand with a schedule.

use executor_core::Timestamp;

/// How things stand with a job's schedule; see [`schedule_of`](crate::CommandExecutor::schedule_of).
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
    /// When the next run begins, jitter included; `None` if none does any more, or while it is paused.
    pub next_run: Option<Timestamp>,
    /// How many runs were missed and left out.
    pub missed: u64,
    /// Whether it is paused.
    pub is_paused: bool,
}
