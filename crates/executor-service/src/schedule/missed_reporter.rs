//! Tells the store about missed runs and pauses, and asks it what was planned before a job was registered.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{MissedRuns, Pause, Store, StoreFuture};
use executor_core::{ErrorClass, StoreError};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::drain::guarded::guarded;
use crate::lifecycle::supervise::{Fault, Supervised};
use crate::schedule::missed_log::{MissedLog, Unwritten};
use crate::schedule::scheduler::{CatchingUp, Due};

/// The minimum time between two looks, however much is missed.
const PACE: Duration = Duration::from_secs(1);

/// The delay before a store that failed to answer is asked again.
const RETRY: Duration = Duration::from_secs(5);

pub(crate) struct MissedReporter {
    pub(crate) missed: Arc<MissedLog>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) catching_up: CatchingUp,
    /// While recovery takes over the records of earlier processes, nobody knows which of their runs began.
    pub(crate) recovering: watch::Receiver<bool>,
    /// Runs that make up for others, which the store must know of first.
    pub(crate) made_up: Vec<Due>,
}

impl Supervised for MissedReporter {
    const NAME: &'static str = "missed_reporter";

    async fn run(&mut self) -> Result<(), Fault> {
        loop {
            // Look first: the bell of an earlier, failed run does not ring again.
            let retries = self.look().await.is_err();
            sleep(PACE).await;
            tokio::select! {
                () = self.missed.bell.notified() => {}
                Ok(()) = self.recovering.changed() => {}
                () = sleep(RETRY), if retries => {}
            }
        }
    }
}

impl MissedReporter {
    async fn look(&mut self) -> Result<(), StoreError> {
        let is_recovering = *self.recovering.borrow_and_update();
        let looked_back = match is_recovering {
            true => Ok(()),
            false => self.look_back().await,
        };
        // Whatever becomes of one job, what is known of the others is written.
        write_missed(&self.missed, self.store.as_ref()).await?;
        if !self.made_up.is_empty() {
            self.catching_up.begin(std::mem::take(&mut self.made_up));
        }
        looked_back
    }

    /// A job that cannot be read does not keep the others waiting; the first error is returned.
    async fn look_back(&mut self) -> Result<(), StoreError> {
        const READING: &str = "reading a schedule";
        let mut looked_back = Ok(());
        for (job, registered) in self.missed.to_look_at() {
            if registered.plan.is_some() && !self.catching_up.has(&job) {
                continue;
            }
            let ask = || self.store.earlier(registered.clone());
            let earlier = match guarded(READING, ask).await {
                Ok(earlier) => earlier,
                Err(error) => {
                    looked_back = looked_back.and(Err(error));
                    continue;
                }
            };
            // A job may be removed meanwhile.
            if self.missed.looked_at(&job) {
                let made_up = &mut self.made_up;
                self.catching_up
                    .catch_up(&job, &earlier, registered, made_up);
            }
        }
        looked_back
    }
}

/// Writes what the store does not know yet. Idempotent.
pub(crate) async fn write_missed(missed: &MissedLog, store: &dyn Store) -> Result<(), StoreError> {
    let _turn = missed.turn.lock().await;
    let forgotten = missed.take_forgotten();
    if forgotten > 0 {
        tracing::warn!(
            forgotten,
            "missed runs and pauses were forgotten: the store took none for too long"
        );
    }
    let unwritten = missed.unwritten();
    let Unwritten {
        runs,
        pauses,
        taken,
        followed,
        left_at,
    } = unwritten.clone();
    if !runs.is_empty() {
        let record = |runs| store.record_missed(runs);
        let refused = |it: &MissedRuns, error: &StoreError| {
            missed.refused(it);
            let (job, count) = (&*it.entity, it.count);
            tracing::error!(%job, missed = count, %error, "the store refuses to record missed runs");
        };
        write_each("recording missed runs", runs, record, refused).await?;
    }
    if !pauses.is_empty() {
        let record = |pauses| store.record_pauses(pauses);
        let refused = |it: &Pause, error: &StoreError| {
            missed.refused_pause(it);
            let job = it.entity.as_ref().map(ToString::to_string);
            tracing::error!(?job, %error, "the store refuses to record a pause");
        };
        write_each("recording pauses", pauses, record, refused).await?;
    }
    if !taken.is_empty() {
        guarded("taking charge", || store.take_charge(taken)).await?;
    }
    if !followed.is_empty() {
        let note = || store.note_followed(followed);
        guarded("noting how far schedules were followed", note).await?;
    }
    if let Some(at) = left_at {
        let leave = || store.leave_charge(missed.session, at);
        guarded("leaving charge", leave).await?;
    }
    missed.written(&unwritten);
    Ok(())
}

/// Writes rows, all at once or else each by itself: one that the store refuses for good does not keep the
/// others waiting.
async fn write_each<'s, T: Clone>(
    operation: &'static str,
    rows: Vec<T>,
    record: impl Fn(Vec<T>) -> StoreFuture<'s, ()>,
    refused: impl Fn(&T, &StoreError),
) -> Result<(), StoreError> {
    match guarded(operation, || record(rows.clone())).await {
        Err(error) if is_refusal(&error) => {}
        written => return written,
    }
    for row in rows {
        match guarded(operation, || record(vec![row.clone()])).await {
            Err(error) if is_refusal(&error) => refused(&row, &error),
            written => written?,
        }
    }
    Ok(())
}

fn is_refusal(error: &StoreError) -> bool {
    matches!(error.class, ErrorClass::Constraint | ErrorClass::Unstorable)
}
