//! Says what the intake has noticed, and has the store write down what was lost. A service of its own:
//! neither whoever offers a record nor the drain waits for a log, and the drain may be stuck in the
//! store while there is something to say.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::Store;
use executor_core::{Clock, SessionId, StoreError};
use tokio::time::{Instant, sleep_until};

use crate::guarded::guarded;
use crate::intake::{Intake, News};
use crate::supervise::{Fault, Supervised};

/// How often it is said that the queue is crowded.
const CROWDED_EVERY: Duration = Duration::from_secs(30);

/// It looks no more often than this, however much is lost.
const PACE: Duration = Duration::from_secs(1);

/// How long a store that does not take the gaps is left alone.
const RETRY: Duration = Duration::from_secs(5);

pub(crate) struct Watchman {
    pub(crate) intake: Arc<Intake>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) session: SessionId,
    pub(crate) clock: Arc<dyn Clock>,
    /// When a crowded queue may be spoken of again.
    said_crowded: Option<Instant>,
    retry_at: Option<Instant>,
    looked_at: Option<Instant>,
}

impl Supervised for Watchman {
    const NAME: &'static str = "watchman";

    async fn run(&mut self) -> Result<(), Fault> {
        loop {
            // Looking first: what an earlier run was called for rings no alarm any more.
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

impl Watchman {
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
            said_crowded: None,
            retry_at: None,
            looked_at: None,
        }
    }

    /// Waits until it may look again.
    async fn pace(&mut self) {
        let now = self.clock.monotonic();
        if let Some(last) = self.looked_at.replace(now)
            && now.saturating_duration_since(last) < PACE
        {
            sleep_until(last + PACE).await;
            self.looked_at = Some(last + PACE);
        }
    }

    /// When to look without being called; `None`: only when called.
    fn next_look(&self) -> Option<Instant> {
        let crowded_again = self.said_crowded.map(|at| at + CROWDED_EVERY);
        let quiet = self.intake.losses(|losses| losses.next_quiet());
        [crowded_again, quiet, self.retry_at]
            .into_iter()
            .flatten()
            .min()
    }

    async fn look(&mut self) {
        let now = self.clock.monotonic();
        let news = self.intake.news();
        self.say(news, now);
        self.intake.losses(|losses| losses.end_quiet(now));
        self.retry_at = None;
        if write_gaps(&self.intake, self.store.as_ref(), self.session)
            .await
            .is_err()
        {
            self.retry_at = Some(self.clock.monotonic() + RETRY);
        }
    }

    fn say(&mut self, news: News, now: Instant) {
        self.say_crowded(news.crowded, now);
        if news.overflow_began {
            tracing::warn!(
                "the queue of records is full; new ones are dropped and counted until it has room"
            );
        }
        if let Some(lost) = news.overflow_ended {
            tracing::warn!(lost, "the queue of records drops no more");
        }
    }

    fn say_crowded(&mut self, crowded: Option<usize>, now: Instant) {
        let may_speak = self.said_crowded.is_none_or(|at| now >= at + CROWDED_EVERY);
        if !may_speak {
            return;
        }
        if self.said_crowded.take().is_some() {
            // What was noticed meanwhile may be over. The next offer says whether it is.
            self.intake.look_again();
        } else if let Some(waiting) = crowded {
            self.said_crowded = Some(now);
            let (_, queue_max) = self.intake.fill();
            tracing::warn!(waiting, queue_max, "the queue of records is filling up");
        }
    }
}

/// Has the store write what it does not know yet. Idempotent.
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
