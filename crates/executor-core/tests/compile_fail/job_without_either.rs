//! Both are required of a job.
use std::sync::Arc;

use executor_core::{ExecuteJob, Job, TriggerMode};

fn command(job: Arc<Job>) -> ExecuteJob {
    ExecuteJob {
        job,
        trigger_mode: TriggerMode::Manual,
        due_at: None,
    }
}

fn main() {}
