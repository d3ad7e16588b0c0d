//! The way out: the drain takes records in leases, from memory or from the spool.

use std::sync::Arc;

use executor_core::DropReason;
use executor_core::ports::{Batch, Session};

use crate::intake::Intake;
use crate::intake::lease::Lease;
use crate::intake::queue::{LeaseState, LeasedBatch, Slots, Taken};
use crate::spool::session_spool::SessionSpool;

impl Intake {
    /// Takes a batch of records, the oldest ones.
    pub(crate) fn take(self: &Arc<Self>, session: &Arc<Session>) -> Lease {
        let first = self.oldest_queued();
        let taken = match &self.spool {
            Some(spool) => self.take_from_spool(spool),
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

    /// Takes records from the spool. Records that cannot be read are counted as lost.
    fn take_from_spool(&self, spool: &SessionSpool) -> Taken {
        let mut taken = Taken::default();
        let lost = taken.read(spool, self.limits.batch_max);
        let now = self.now_if(lost > 0);
        let mut state = self.state();
        state.in_hand += taken.records.len();
        state.unread(-(taken.records.len() as isize + lost as isize));
        if let Some(now) = now {
            state.lose(DropReason::Damaged, None, lost, now);
        }
        let wake = state.wants_reporter();
        self.note(&state);
        drop(state);
        self.wake(wake);
        taken
    }

    /// Takes the leases that a crashed drain had in its hands.
    pub(crate) fn take_returned(self: &Arc<Self>) -> Vec<Lease> {
        let returned = std::mem::take(&mut self.state().returned);
        let leases = returned.into_iter();
        leases
            .map(|leased| Lease::new(Arc::clone(self), leased))
            .collect()
    }
}
