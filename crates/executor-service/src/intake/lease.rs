//! A linear handle to records in the drain's hands: a lease can only be settled, given up, or deferred for a
//! retry. A lease that is merely dropped, because its task died, returns its records to the intake. So no path
//! leads out of the ledger.

use std::sync::Arc;

use executor_core::{Batch, DropReason, Fate};

use crate::intake::Intake;
use crate::intake::queue::{LeaseState, LeasedBatch};

/// Records that were taken from the intake and are not settled yet.
#[must_use = "its records must be settled, deferred or given up"]
pub(crate) struct Lease {
    /// `None` once the lease has ended.
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

    /// Counts a failed try; if the store answered a retry, also counts a refusal.
    pub(crate) fn failed(&mut self, answered: bool) {
        if let Some(leased) = &mut self.leased {
            leased.refusals += u32::from(answered && leased.failures > 0);
            leased.failures += 1;
        }
    }

    /// Defers the lease for a retry. Returns `false`, and changes nothing, if more than `max` records would then
    /// wait.
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

    /// Ends the lease with a fate for each record.
    pub(crate) fn settle(mut self, fates: &[Fate]) {
        if let Some(leased) = self.leased.take() {
            self.intake.settle(&leased, fates);
        }
    }

    /// Ends the lease: none of its records will be stored.
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
