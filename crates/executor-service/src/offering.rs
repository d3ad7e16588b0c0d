//! The way in: what an execution leaves behind is taken over here, on the thread that ran it, by a push
//! under a short lock or by a frame in the spool.

use executor_core::ports::{ExecutionStart, RecordSink, Ticket};
use executor_core::{DropReason, ExecutionRecord};

use crate::intake::Intake;
use crate::spooling::{Spooling, with_buffer, write_record};

impl Intake {
    /// Inlined, as what it calls: a record is too large to be moved more often than it must.
    #[inline]
    fn offer_to_memory(&self, record: ExecutionRecord) {
        let keeps = self.limits.policy.keeps(&record);
        let mut state = self.state();
        state.counts.offered += 1;
        if !keeps {
            state.filter(&record.subject);
        } else if state.closed {
            self.refuse(state, DropReason::Shutdown, &record.subject);
        } else if state.queue.len() + state.in_hand >= self.limits.queue_max {
            self.refuse(state, DropReason::Overflow, &record.subject);
        } else {
            let wake = state.push(record, &self.limits);
            drop(state);
            self.wake(wake);
        }
    }

    /// The frame and the counts change under one lock, so that the page beside the spool tells of what
    /// is in it.
    fn offer_to_spool(&self, spooling: &Spooling, record: &ExecutionRecord) {
        let keeps = self.limits.policy.keeps(record);
        with_buffer(|bytes| {
            if keeps {
                write_record(bytes, record);
            }
            let mut state = self.state();
            state.counts.offered += 1;
            if !keeps {
                state.filter(&record.subject);
                self.note(&state);
                return;
            }
            if spooling.append(bytes).is_err() {
                let reason = if state.closed {
                    DropReason::Shutdown
                } else {
                    DropReason::Overflow
                };
                self.refuse(state, reason, &record.subject);
                return;
            }
            if state.closed {
                state.counts.spooled += 1;
            } else {
                state.unread(1);
            }
            self.note(&state);
            let wake = state.accepted(false, &self.limits);
            drop(state);
            self.wake(wake);
        });
    }
}

impl RecordSink for Intake {
    /// A start is worth nothing in memory: it dies with the process.
    fn begin(&self, start: ExecutionStart<'_>) -> Ticket {
        let spooling = self.spooling();
        spooling.map_or(Ticket::NONE, |spooling| spooling.begin(&start))
    }

    fn offer(&self, record: ExecutionRecord, ticket: Ticket) {
        match self.spooling() {
            None => self.offer_to_memory(record),
            Some(spooling) => {
                self.offer_to_spool(spooling, &record);
                // Only now: whoever dies in between leaves both, and the record is the truth.
                spooling.release(ticket);
            }
        }
    }
}
