//! The way out: the drain takes records in leases, from memory or from the spool.

use std::sync::Arc;

use executor_core::DropReason;
use executor_core::ports::{Batch, Session};

use crate::intake::Intake;
use crate::lease::{Lease, LeaseState, LeasedBatch};
use crate::queue::{Slots, Taken};
use crate::spooling::Spooling;

impl Intake {
    /// Takes a batch of records, the oldest ones.
    pub(crate) fn take(self: &Arc<Self>, session: &Arc<Session>) -> Lease {
        let first = self.oldest_queued();
        let taken = match self.spooling() {
            Some(spooling) => self.take_from_spool(spooling, self.limits.batch_max),
            None => self.take_from_memory(),
        };
        let session = Arc::clone(session);
        let records = taken.records;
        let leased = LeasedBatch {
            batch: Arc::new(Batch { session, records }),
            first,
            slots: taken.slots,
            state: LeaseState::InHand,
            failures: 0,
            refusals: 0,
        };
        Lease::new(Arc::clone(self), leased)
    }

    fn take_from_memory(&self) -> Taken {
        let mut state = self.state();
        let records = state.queue.take();
        state.in_hand += records.len();
        Taken {
            records,
            slots: Slots::default(),
        }
    }

    /// What lies in the spool and cannot be read is lost, and counted.
    fn take_from_spool(&self, spooling: &Spooling, max: usize) -> Taken {
        let mut taken = Taken::default();
        let unread = self.queued();
        let malformed = taken.read(spooling, max);
        let read = taken.records.len();
        // Everything that is counted as unread was appended before: what is not there is damaged.
        let is_short = read + malformed < max.min(unread) && spooling.usage().unread == 0;
        let damaged = if is_short {
            unread - read - malformed
        } else {
            0
        };
        let lost = malformed + damaged;
        let now = self.now_if(lost > 0);
        let mut state = self.state();
        state.unread(-((read + lost) as isize));
        state.in_hand += read;
        if let Some(now) = now {
            state.lose(DropReason::Damaged, None, lost as u64, now);
        }
        let wake = state.wants_reporter();
        self.note(&state);
        drop(state);
        self.wake(wake);
        taken
    }

    /// Takes what a drain that died had in its hands.
    pub(crate) fn take_returned(self: &Arc<Self>) -> Vec<Lease> {
        let returned = std::mem::take(&mut self.state().returned);
        let leases = returned.into_iter();
        leases
            .map(|leased| Lease::new(Arc::clone(self), leased))
            .collect()
    }
}
