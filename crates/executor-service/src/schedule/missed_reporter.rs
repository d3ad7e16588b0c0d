//! Tells the store of missed runs and pauses, and asks it what was planned before a job was registered.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{MissedRuns, Pause, Store};
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
    /// Runs that make up for others, which the store is to know of first.
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

    /// A job that cannot be read keeps no other waiting; the first error is returned.
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
        write_runs(missed, store, runs).await?;
    }
    if !pauses.is_empty() {
        write_pauses(missed, store, pauses).await?;
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

/// Writes episodes; what the store refuses for good is told in the log, and keeps no other waiting.
async fn write_runs(
    missed: &MissedLog,
    store: &dyn Store,
    runs: Vec<MissedRuns>,
) -> Result<(), StoreError> {
    const RECORDING: &str = "recording missed runs";
    let all = guarded(RECORDING, || store.record_missed(runs.clone())).await;
    let Err(error) = all else { return Ok(()) };
    if !is_refusal(&error) {
        return Err(error);
    }
    for episode in runs {
        match guarded(RECORDING, || store.record_missed(vec![episode.clone()])).await {
            Ok(()) => {}
            Err(error) if is_refusal(&error) => {
                missed.refused(&episode);
                let (job, count) = (&*episode.entity, episode.count);
                tracing::error!(%job, missed = count, %error, "the store refuses to record missed runs");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes pauses, in the same way.
async fn write_pauses(
    missed: &MissedLog,
    store: &dyn Store,
    pauses: Vec<Pause>,
) -> Result<(), StoreError> {
    const RECORDING: &str = "recording pauses";
    let all = guarded(RECORDING, || store.record_pauses(pauses.clone())).await;
    let Err(error) = all else { return Ok(()) };
    if !is_refusal(&error) {
        return Err(error);
    }
    for pause in pauses {
        match guarded(RECORDING, || store.record_pauses(vec![pause.clone()])).await {
            Ok(()) => {}
            Err(error) if is_refusal(&error) => {
                missed.refused_pause(&pause);
                let job = pause.entity.map(|entity| entity.to_string());
                tracing::error!(?job, %error, "the store refuses to record a pause");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_refusal(error: &StoreError) -> bool {
    matches!(error.class, ErrorClass::Constraint | ErrorClass::Unstorable)
}
