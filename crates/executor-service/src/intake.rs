//! The queue between executions and the drain, and the counts of where every record went.
//!
//! One short lock guards both, so the ledger balances at every moment at which it can be read.
//! What is taken stays counted as waiting until it is settled, deferred or given up.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use executor_core::ports::{ExecutionStart, RecordSink};
use executor_core::{DropReason, ExecutionRecord, Fate, Ledger};
use tokio::sync::Notify;

/// How many records are moved under one lock.
const SLICE: usize = 32;

/// The intake that keeps records in memory.
pub(crate) struct Intake {
    state: Mutex<State>,
    /// Rung when the first record arrives and when enough of them wait. It remembers one ring,
    /// so none is missed between looking and waiting.
    pub(crate) bell: Notify,
    queue_max: usize,
    ripe_at: usize,
}

#[derive(Default)]
struct State {
    queue: VecDeque<ExecutionRecord>,
    /// Taken from the queue and not settled: counts against the queue's bound.
    in_hand: usize,
    /// Deferred for another try, and not settled: has a bound of its own, also while it is tried.
    deferred: usize,
    /// `waiting` stays 0 in here: it is measured when somebody asks.
    counts: Ledger,
    /// How many records the queue has accepted, ever. Numbers them from 0.
    accepted: u64,
    /// How many records the current episode of loss has cost; 0 outside of one.
    losing: u64,
    closed: bool,
}

/// A batch out of the queue. `first` is the number of its first record.
pub(crate) struct Taken {
    pub(crate) first: u64,
    pub(crate) records: Vec<ExecutionRecord>,
}

/// Under which count a batch stands while it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    InHand,
    Deferred,
}

/// What to do after the lock is released.
enum After {
    Nothing,
    Ring,
    LossBegins,
}

impl Intake {
    pub(crate) fn new(queue_max: usize, ripe_at: usize) -> Self {
        Self {
            state: Mutex::default(),
            bell: Notify::new(),
            queue_max,
            ripe_at,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code under this lock leaves a count half-changed, so poison means nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait in the queue.
    pub(crate) fn queued(&self) -> usize {
        self.state().queue.len()
    }

    /// How many records the queue has accepted until now.
    pub(crate) fn accepted(&self) -> u64 {
        self.state().accepted
    }

    /// The number of the oldest record that is still in the queue.
    pub(crate) fn oldest_queued(&self) -> u64 {
        let state = self.state();
        state.accepted - state.queue.len() as u64
    }

    /// Takes up to `max` records, the oldest first.
    pub(crate) fn take(&self, max: usize) -> Taken {
        let first = self.oldest_queued();
        let mut records = Vec::with_capacity(self.queued().min(max));
        // In slices: whoever offers waits for no more than one of them.
        loop {
            let mut state = self.state();
            let count = state.queue.len().min(max - records.len()).min(SLICE);
            if count == 0 {
                return Taken { first, records };
            }
            records.extend(state.queue.drain(..count));
            state.in_hand += count;
        }
    }

    /// Moves what was taken to those that wait for another try. `false` if they are more than
    /// `max` then; nothing has moved. What comes from there stays there.
    pub(crate) fn defer(&self, count: usize, from: Held, max: usize) -> bool {
        let mut state = self.state();
        match from {
            Held::Deferred => true,
            Held::InHand if state.deferred + count > max => false,
            Held::InHand => {
                state.in_hand -= count;
                state.deferred += count;
                true
            }
        }
    }

    /// Counts the ends of a batch.
    pub(crate) fn settle(&self, fates: &[Fate], from: Held) {
        let mut state = self.state();
        state.release(fates.len(), from);
        for fate in fates {
            match fate {
                Fate::Stored | Fate::AlreadyThere | Fate::Detached => state.counts.stored += 1,
                Fate::SetAside { reason, .. } => state.counts.add_dropped(*reason, 1),
            }
        }
        let over = state.queue.len() <= self.queue_max / 2;
        let lost = if over {
            std::mem::take(&mut state.losing)
        } else {
            0
        };
        drop(state);
        say_it_is_over(lost);
    }

    /// Counts a batch as given up.
    pub(crate) fn give_up(&self, count: usize, from: Held, reason: DropReason) {
        let mut state = self.state();
        state.release(count, from);
        state.counts.add_dropped(reason, count as u64);
    }

    /// Gives up whatever waits, and everything that is offered from now on. Idempotent.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let left = state.queue.len() + state.in_hand + state.deferred;
        state.queue.clear();
        state.in_hand = 0;
        state.deferred = 0;
        state.counts.add_dropped(DropReason::Shutdown, left as u64);
        let lost = std::mem::take(&mut state.losing);
        drop(state);
        say_it_is_over(lost);
    }

    /// Where every record is now.
    pub(crate) fn ledger(&self) -> Ledger {
        let state = self.state();
        Ledger {
            waiting: (state.queue.len() + state.in_hand + state.deferred) as u64,
            ..state.counts
        }
    }
}

/// The end of an episode of loss, if there was one.
fn say_it_is_over(lost: u64) {
    if lost > 0 {
        tracing::warn!(lost, "the queue of records drops no more");
    }
}

impl State {
    fn release(&mut self, count: usize, from: Held) {
        match from {
            Held::InHand => self.in_hand -= count,
            Held::Deferred => self.deferred -= count,
        }
    }
    fn offer(&mut self, record: ExecutionRecord, queue_max: usize, ripe_at: usize) -> After {
        self.counts.offered += 1;
        if self.closed {
            self.counts.add_dropped(DropReason::Shutdown, 1);
            return After::Nothing;
        }
        if self.queue.len() + self.in_hand >= queue_max {
            self.counts.add_dropped(DropReason::Overflow, 1);
            self.losing += 1;
            return if self.losing == 1 {
                After::LossBegins
            } else {
                After::Nothing
            };
        }
        self.queue.push_back(record);
        self.accepted += 1;
        if self.queue.len() == 1 || self.queue.len() == ripe_at {
            After::Ring
        } else {
            After::Nothing
        }
    }
}

impl RecordSink for Intake {
    /// A start is worth nothing in memory: it dies with the process.
    fn begin(&self, _: ExecutionStart<'_>) {}

    fn offer(&self, record: ExecutionRecord) {
        let after = self.state().offer(record, self.queue_max, self.ripe_at);
        match after {
            After::Nothing => {}
            After::Ring => self.bell.notify_one(),
            After::LossBegins => tracing::warn!(
                queue_max = self.queue_max,
                "the queue of records is full; new ones are dropped and counted until it has room"
            ),
        }
    }
}
