//! Logs what the intake has noticed, and makes the store record losses. It is a separate service: neither the
//! threads that offer records nor the drain should wait for a log, and the drain may be stuck in the store when
//! there is something to report.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::Store;
use executor_core::{Clock, SessionId, StoreError};
use tokio::time::{Instant, sleep_until};

use crate::drain::guarded::guarded;
use crate::intake::{Intake, News};
use crate::lifecycle::supervise::{Fault, Supervised};

/// The minimum time between two looks, however much is lost.
const PACE: Duration = Duration::from_secs(1);

/// The delay before a store that failed to record gaps is asked again.
const RETRY: Duration = Duration::from_secs(5);

pub(crate) struct LossReporter {
    pub(crate) intake: Arc<Intake>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) session: SessionId,
    pub(crate) clock: Arc<dyn Clock>,
    retry_at: Option<Instant>,
    looked_at: Option<Instant>,
}

impl Supervised for LossReporter {
    const NAME: &'static str = "loss_reporter";

    async fn run(&mut self) -> Result<(), Fault> {
        loop {
            // Look first: the alarm of an earlier, failed run does not ring again.
            self.look().await;
            let next = self.next_look();
            tokio::select! {
                () = self.intake.alarm.notified() => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
            self.pace().await;
        }
    }
}

impl LossReporter {
    pub(crate) fn new(
        intake: Arc<Intake>,
        store: Arc<dyn Store>,
        session: SessionId,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            intake,
            store,
            session,
            clock,
            retry_at: None,
            looked_at: None,
        }
    }

    /// Waits until the next look is allowed.
    async fn pace(&mut self) {
        let now = self.clock.monotonic();
        if let Some(last) = self.looked_at.replace(now)
            && now.saturating_duration_since(last) < PACE
        {
            sleep_until(last + PACE).await;
            self.looked_at = Some(last + PACE);
        }
    }

    /// Returns when to look even if no alarm rings; `None` for never.
    fn next_look(&self) -> Option<Instant> {
        let quiet = self.intake.losses(|losses| losses.next_quiet());
        [quiet, self.retry_at].into_iter().flatten().min()
    }

    async fn look(&mut self) {
        let now = self.clock.monotonic();
        let news = self.intake.news();
        self.say(news);
        self.intake.losses(|losses| losses.end_quiet(now));
        self.retry_at = None;
        if write_gaps(&self.intake, self.store.as_ref(), self.session)
            .await
            .is_err()
        {
            self.retry_at = Some(self.clock.monotonic() + RETRY);
        }
    }

    fn say(&self, news: News) {
        if let Some(waiting) = news.crowded {
            let (_, queue_max) = self.intake.fill();
            tracing::warn!(waiting, queue_max, "record queue is filling up");
        }
        if news.overflow_began {
            tracing::warn!(
                "record queue is full; new records are dropped and counted until there is room"
            );
        }
        if let Some(lost) = news.overflow_ended {
            tracing::warn!(lost, "record queue recovered");
        }
    }
}

/// Writes losses that the store does not know of yet. Idempotent.
pub(crate) async fn write_gaps(
    intake: &Intake,
    store: &dyn Store,
    session: SessionId,
) -> Result<(), StoreError> {
    let gaps = intake.unwritten_gaps(session);
    if gaps.is_empty() {
        return Ok(());
    }
    guarded("recording gaps", || store.record_gaps(gaps.clone())).await?;
    intake.losses(|losses| losses.written(&gaps));
    Ok(())
}
