//! Records in the hands of the drain, as a linear thing: a lease can only be turned into one of its
//! ends (settled, given up) or back into one that waits. One that is merely dropped, because the task
//! that held it died, returns to the intake. So no path leads out of the ledger.

use std::sync::Arc;

use executor_core::{Batch, DropReason, Fate};

use crate::intake::Intake;
use crate::intake::queue::{LeaseState, LeasedBatch};

/// Records that were taken from the intake and have not come to an end.
#[must_use = "its records are owed an end"]
pub(crate) struct Lease {
    /// `None` once it has come to an end.
    leased: Option<LeasedBatch>,
    intake: Arc<Intake>,
}

impl Lease {
    pub(crate) fn new(intake: Arc<Intake>, leased: LeasedBatch) -> Self {
        Self {
            leased: Some(leased),
            intake,
        }
    }

    pub(crate) fn leased(&self) -> &LeasedBatch {
        self.leased.as_ref().expect("there until its end")
    }

    pub(crate) fn batch(&self) -> &Arc<Batch> {
        &self.leased().batch
    }

    /// The number of its first record.
    pub(crate) fn first(&self) -> u64 {
        self.leased().first
    }

    /// Counts a failed try, and whether the store itself refused a retry.
    pub(crate) fn failed(&mut self, answered: bool) {
        if let Some(leased) = &mut self.leased {
            leased.refusals += u32::from(answered && leased.failures > 0);
            leased.failures += 1;
        }
    }

    /// Has it wait for another try. `false` if more than `max` records would wait then; it stays as
    /// it is.
    pub(crate) fn defer(&mut self, max: usize) -> bool {
        let Some(leased) = &mut self.leased else {
            return false;
        };
        let deferred = leased.state == LeaseState::Deferred
            || self.intake.defer(leased.batch.records.len(), max);
        if deferred {
            leased.state = LeaseState::Deferred;
        }
        deferred
    }

    /// Its end: a fate for each record.
    pub(crate) fn settle(mut self, fates: &[Fate]) {
        if let Some(leased) = self.leased.take() {
            self.intake.settle(&leased, fates);
        }
    }

    /// Its end: none of it will be stored.
    pub(crate) fn give_up(mut self, reason: DropReason) {
        if let Some(leased) = self.leased.take() {
            self.intake.give_up(&leased, reason);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(leased) = self.leased.take() {
            self.intake.take_back(leased);
        }
    }
}
