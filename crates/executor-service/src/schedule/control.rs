//! Asking after the schedule of a job, and holding it up.

use executor_core::Timestamp;

use super::Schedule;
use crate::handle::JobHandle;
use crate::service::CommandExecutor;

/// How things stand with a job's schedule; see [`CommandExecutor::schedule_of`].
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

impl CommandExecutor {
    /// A job was registered, with a schedule or without one.
    pub(crate) fn enter(&self, job: JobHandle, schedule: Option<Schedule>) -> JobHandle {
        self.service.scheduler.enter(&self.service, &job, schedule);
        job
    }

    /// How things stand with a job's schedule; `None` if it has none.
    pub fn schedule_of(&self, job: &JobHandle) -> Option<ScheduleState> {
        self.service.scheduler.state(&job.job().registration.entity)
    }

    /// Has a job run by itself no more until it is resumed; what runs goes on. Its runs until then are
    /// neither missed nor made up for. Whether it has a schedule.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let executor = executor_service::CommandExecutor::builder(executor_testkit::MemoryStore::new())
    /// #     .start()
    /// #     .await?;
    /// # use executor_service::Schedule;
    /// let dim = executor.job("lights", "dim").schedule(Schedule::cron("@hourly", "UTC")?);
    /// let dim = dim.handler_fn(|| async {}).register().await?;
    /// assert!(executor.pause_schedule(&dim));
    /// assert_eq!(executor.schedule_of(&dim).and_then(|state| state.next_run), None);
    /// assert!(executor.resume_schedule(&dim));
    /// assert!(executor.remove_schedule(&dim));
    /// assert_eq!(executor.schedule_of(&dim), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn pause_schedule(&self, job: &JobHandle) -> bool {
        self.service.scheduler.pause(&job.job().registration.entity)
    }

    /// Has a paused job run by itself again, at the times that are planned from now on; one that is not
    /// paused goes on as it is. Whether it has a schedule.
    pub fn resume_schedule(&self, job: &JobHandle) -> bool {
        self.service
            .scheduler
            .resume(&job.job().registration.entity)
    }

    /// Ends a job's schedule; what runs goes on. Whether it had one.
    pub fn remove_schedule(&self, job: &JobHandle) -> bool {
        self.service
            .scheduler
            .remove(&job.job().registration.entity)
    }
}
