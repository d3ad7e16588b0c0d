//! Running jobs at intervals. The first run is one interval after the start; runs of one job do
//! not overlap, and intervals that pass during a run are left out.

use std::sync::Arc;
use std::time::Duration;

use command_executor::{CommandExecutor, JobHandle};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::progress::Counts;

/// Runs a job until told to stop; a run that has begun then is the shutdown's to end.
pub(crate) async fn repeat(
    executor: CommandExecutor,
    job: JobHandle,
    every: Duration,
    stop: CancellationToken,
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
        if executor.execute(job.run_scheduled()).await.is_err() {
            return;
        }
    }
}
