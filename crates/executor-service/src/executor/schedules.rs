//! Asking after the schedule of a job, and holding it up.

use super::CommandExecutor;
use crate::registration::handle::JobHandle;
use crate::schedule::ScheduleState;

impl CommandExecutor {
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
