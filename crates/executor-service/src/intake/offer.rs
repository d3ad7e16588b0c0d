//! The way in: accepts the record of an execution on the thread that ran it, by a push under a short lock or as a
//! frame in the spool.

use executor_core::lines::Lines;
use executor_core::ports::{ExecutionEnd, ExecutionStart, ProgramGroup, RecordSink, Ticket};
use executor_core::{DropReason, ExecutionId, Timestamp};

use crate::intake::{Intake, State, Wake};
use crate::spool::session_spool::{SessionSpool, with_encoder};

impl Intake {
    /// Builds the record before taking the lock. Inlined together with what it calls, because a record is too
    /// large to move more often than necessary.
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

    /// Appends the record under the same lock as the counts, so that the page beside the spool matches its
    /// contents. The record is appended first, then replaces its start, then is counted on the page; recovery
    /// counts a record that the page misses.
    fn offer_to_spool(&self, spool: &SessionSpool, end: &ExecutionEnd<'_>, start: Ticket) {
        with_encoder(|encoder| {
            let bytes = encoder.record(end);
            let mut state = self.state();
            state.counts.offered += 1;
            let appended = spool.append(bytes, start).or_else(|start| match end.lines {
                // Lines go before records.
                Some(_) => spool.append(encoder.record(&without_lines(end)), start),
                None => Err(start),
            });
            if let Err(start) = appended {
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

    /// Counts an execution that the recording policy leaves out.
    fn leave_out(&self, end: &ExecutionEnd<'_>) {
        let mut state = self.state();
        state.counts.offered += 1;
        state.filter(end.start.subject.entity);
        self.note(&state);
    }
}

fn without_lines<'e>(end: &ExecutionEnd<'e>) -> ExecutionEnd<'e> {
    ExecutionEnd {
        lines: None,
        ..*end
    }
}

impl State {
    /// Returns the reason for a loss when the spool has no room.
    const fn no_room(&self) -> DropReason {
        if self.closed {
            DropReason::Shutdown
        } else {
            DropReason::Overflow
        }
    }
}

impl RecordSink for Intake {
    /// Keeps the start in the spool. In memory it would be worthless, because it dies with the process.
    fn begin(&self, start: &ExecutionStart<'_>) -> Ticket {
        let spool = self.spool.as_ref();
        spool.map_or(Ticket::NONE, |spool| spool.begin(start))
    }

    fn offer(&self, end: &ExecutionEnd<'_>, ticket: Ticket) {
        #[cfg(feature = "metrics")]
        self.tally().add(end);
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

    fn said(&self, execution_id: ExecutionId, at: Timestamp, lines: &Lines) -> Ticket {
        let spool = self.spool.as_ref();
        spool.map_or(Ticket::NONE, |spool| {
            spool.keep_lines(execution_id, at, lines)
        })
    }

    fn program_began(&self, execution_id: ExecutionId, group: &ProgramGroup) -> Ticket {
        let spool = self.spool.as_ref();
        spool.map_or(Ticket::NONE, |spool| {
            spool.keep_program(execution_id, group)
        })
    }

    fn unsaid(&self, tickets: &[Ticket]) {
        if let Some(spool) = &self.spool {
            for ticket in tickets {
                spool.release(*ticket);
            }
        }
    }
}
