//! The way in: what an execution leaves behind is taken over here, on the thread that ran it, by a push
//! under a short lock or by a frame in the spool.

use executor_core::DropReason;
use executor_core::ports::{ExecutionEnd, ExecutionStart, RecordSink, Ticket};

use crate::intake::{Intake, State, Wake};
use crate::spool::session_spool::{SessionSpool, with_encoder};

impl Intake {
    /// The record is made before the lock is taken, and inlined with what it calls: a record is too large
    /// to be moved more often than it must.
    #[inline]
    fn offer_to_memory(&self, end: &ExecutionEnd<'_>) {
        let record = end.to_record();
        let mut state = self.state();
        state.counts.offered += 1;
        if state.closed {
            self.refuse(state, DropReason::Shutdown, &record.subject.entity);
        } else if state.queue.len() + state.in_hand >= self.limits.queue_max {
            self.refuse(state, DropReason::Overflow, &record.subject.entity);
        } else {
            let wake = state.push(record, &self.limits, self.clock.as_ref());
            drop(state);
            self.wake(wake);
        }
    }

    /// The frame and the counts change under one lock, so that the page beside the spool tells of what
    /// is in it. First the record, then it replaces its start, then the page counts it: a record that the page
    /// does not count is counted by whoever finds it.
    fn offer_to_spool(&self, spool: &SessionSpool, end: &ExecutionEnd<'_>, start: Ticket) {
        with_encoder(|encoder| {
            let bytes = encoder.record(end);
            let mut state = self.state();
            state.counts.offered += 1;
            if let Err(start) = spool.append(bytes, start) {
                let reason = state.no_room();
                self.refuse(state, reason, end.start.subject.entity);
                return spool.release(start);
            }
            if state.closed {
                state.counts.spooled += 1;
            } else {
                state.unread(1);
            }
            spool.note_offered(&state.counts);
            let wake = state.accepted(Wake::default(), &self.limits, self.clock.as_ref());
            drop(state);
            self.wake(wake);
        });
    }

    /// Counts what the recording policy does not keep.
    fn leave_out(&self, end: &ExecutionEnd<'_>) {
        let mut state = self.state();
        state.counts.offered += 1;
        state.filter(end.start.subject.entity);
        self.note(&state);
    }
}

impl State {
    /// Why there is no room in the spool.
    const fn no_room(&self) -> DropReason {
        if self.closed {
            DropReason::Shutdown
        } else {
            DropReason::Overflow
        }
    }
}

impl RecordSink for Intake {
    /// A start is worth nothing in memory: it dies with the process.
    fn begin(&self, start: &ExecutionStart<'_>) -> Ticket {
        let spool = self.spool.as_ref();
        spool.map_or(Ticket::NONE, |spool| spool.begin(start))
    }

    fn offer(&self, end: &ExecutionEnd<'_>, ticket: Ticket) {
        let keeps = self.limits.policy.keeps(end);
        match &self.spool {
            None if keeps => self.offer_to_memory(end),
            Some(spool) if keeps => self.offer_to_spool(spool, end, ticket),
            spool => {
                self.leave_out(end);
                if let Some(spool) = spool {
                    spool.release(ticket);
                }
            }
        }
    }
}
