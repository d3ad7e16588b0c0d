//! Queries, pauses, resumes and removes the schedules of jobs.

use std::sync::Arc;

use super::CommandExecutor;
use crate::registration::handle::JobHandle;
use crate::schedule::ScheduleState;

impl CommandExecutor {
    /// Returns the state of a job's schedule; `None` if the job has none, or after a shutdown.
    pub fn schedule_of(&self, job: &JobHandle) -> Option<ScheduleState> {
        self.service.scheduler.state(&job.job().registration.entity)
    }

    /// Pauses a job's schedule until it is resumed; a run in progress continues. Runs that fall into the pause are
    /// not made up for; the history records them as missed, and the pause too. Returns whether the job has a
    /// schedule.
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

    /// Resumes a paused schedule at the times planned from now on; a schedule that is not paused is left alone.
    /// Returns whether the job has a schedule.
    pub fn resume_schedule(&self, job: &JobHandle) -> bool {
        self.service
            .scheduler
            .resume(&job.job().registration.entity)
    }

    /// Ends a job's schedule; a run in progress continues. Returns whether the job had one.
    pub fn remove_schedule(&self, job: &JobHandle) -> bool {
        let entity = &job.job().registration.entity;
        let had_one = self.service.scheduler.remove(entity, None);
        if had_one {
            self.service
                .registrar
                .unscheduled(Arc::clone(job.job()) as _);
        }
        had_one
    }
}
