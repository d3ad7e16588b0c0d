//! Running jobs at intervals. The first run is one interval after the start; what happens when an
//! interval passes while an earlier run still goes on is the overlap rule's to say.

use std::sync::Arc;
use std::time::Duration;

use command_executor::{CommandExecutor, JobHandle};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::progress::Counts;

/// Runs a job until told to stop; a run that has begun then is the shutdown's to end.
pub(crate) async fn repeat(
    executor: CommandExecutor,
    job: JobHandle,
    every: Duration,
    stop: CancellationToken,
    tasks: TaskTracker,
    counts: Arc<Counts>,
) {
    let Some(first) = Instant::now().checked_add(every) else {
        return;
    };
    let mut ticks = interval_at(first, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        Counts::add(&counts.started);
        let (executor, command) = (executor.clone(), job.run_scheduled());
        // Refused only when the service stops, and then nothing is owed.
        tasks.spawn(async move { executor.execute(command).await });
    }
}
