//! Between the executions and the drain: the queue, and the counts of where every record went.
//!
//! One short lock guards both, so the ledger balances at every moment at which it can be read.
//! What is taken stays counted as waiting until it is settled, deferred or given up. Nothing is logged
//! in here: whoever listens to the log would have the offering thread wait for it. The loss reporter does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use executor_core::ports::Gap;
use executor_core::time::Moment;
use executor_core::{Clock, DropReason, Entity, Fate, Ledger, SessionId};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::intake::losses::Losses;
use crate::intake::queue::{LeasedBatch, Queue};
use crate::recording::Policy;
use crate::spool::session_spool::SessionSpool;

pub(crate) mod losses;

pub(crate) mod queue;

mod state;

pub(crate) mod lease;

mod offer;

mod take;

mod place;

pub(crate) mod loss_reporter;

/// Takes in records, and gives them out in leases.
pub(crate) struct Intake {
    state: Mutex<State>,
    /// Rung when the first record arrives and when enough of them wait. It remembers one ring,
    /// so none is missed between looking and waiting.
    pub(crate) bell: Notify,
    /// Rung when there is something to say.
    pub(crate) alarm: Notify,
    clock: Arc<dyn Clock>,
    limits: Limits,
    /// Where records survive the process; without it they wait in memory.
    spool: Option<Arc<SessionSpool>>,
}

/// What never changes while it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) queue_max: usize,
    /// How many are taken at once.
    pub(crate) batch_max: usize,
    pub(crate) ripe_at: usize,
    /// How many records may wait for another try.
    pub(crate) retry_max_records: usize,
    /// How many retries the store may refuse.
    pub(crate) retry_max_attempts: u32,
    pub(crate) policy: Policy,
}

impl Limits {
    /// From so many waiting records on the queue is said to be crowded.
    const fn crowded_at(&self) -> usize {
        self.queue_max - self.queue_max / 4
    }
}

#[derive(Default)]
struct State {
    queue: Queue,
    /// Taken from the queue and not settled: counts against the queue's bound.
    in_hand: usize,
    /// Deferred for another try, and not settled: has a bound of its own, also while it is tried.
    deferred: usize,
    /// Loads whose holder died.
    returned: Vec<LeasedBatch>,
    /// `waiting` stays 0 in here: it is measured when somebody asks.
    counts: Ledger,
    /// Left out by the recording policy.
    filtered: HashMap<Arc<Entity>, u64>,
    /// How many records the queue has accepted, ever. Numbers them from 0.
    accepted: u64,
    /// How many waited, retries included, when the last one found no room.
    full_at: usize,
    losses: Losses,
    news: News,
    /// When the queue was said to be crowded last.
    crowded_at: Option<Instant>,
    /// Since when records wait without one of them having come to its end; `None` where none waits.
    waits_since: Option<Instant>,
    /// The loss reporter was woken and has not come yet.
    alarmed: bool,
    closed: bool,
}

/// What the loss reporter is to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// So many records waited when the queue was found crowded.
    pub(crate) crowded: Option<usize>,
    /// An episode of overflow has begun.
    pub(crate) overflow_began: bool,
    /// Episodes of overflow are over; they cost so many records.
    pub(crate) overflow_ended: Option<u64>,
    /// Losses were noted of which the store does not know.
    pub(crate) lost: bool,
}

/// Whom to wake after the lock is released.
#[derive(Clone, Copy, Default)]
struct Wake {
    drain: bool,
    loss_reporter: bool,
}

impl Intake {
    pub(crate) fn new(
        limits: Limits,
        clock: Arc<dyn Clock>,
        spool: Option<Arc<SessionSpool>>,
    ) -> Self {
        let queue = match &spool {
            Some(_) => Queue::default(),
            None => Queue::in_memory(limits.batch_max),
        };
        let counts = Ledger {
            durability: spool.as_ref().map(|spool| spool.durability()),
            ..Ledger::default()
        };
        Self {
            state: Mutex::new(State {
                queue,
                counts,
                ..State::default()
            }),
            bell: Notify::new(),
            alarm: Notify::new(),
            clock,
            limits,
            spool,
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

    /// Moves what was taken to those that wait for another try. `false` if they are more than
    /// `max` then; nothing has moved.
    pub(crate) fn defer(&self, count: usize, max: usize) -> bool {
        let mut state = self.state();
        if state.closed || state.deferred + count > max {
            return false;
        }
        state.in_hand -= count;
        state.deferred += count;
        let wake = self.look_for_room(&mut state);
        drop(state);
        self.wake(wake);
        true
    }

    /// An episode of overflow is over at half of what was full. A spool is full of all that waits, the
    /// queue in memory of what waits for its first try.
    fn look_for_room(&self, state: &mut State) -> Wake {
        let (waiting, full_at) = match self.spool {
            Some(_) => (state.waiting(), state.full_at),
            None => (state.queue.len(), self.limits.queue_max),
        };
        if waiting <= full_at / 2 {
            state.end_overflow();
        }
        state.wants_reporter()
    }

    /// Counts the ends of a lease.
    pub(crate) fn settle(&self, leased: &LeasedBatch, fates: &[Fate]) {
        let now = self.now_if(
            fates
                .iter()
                .any(|fate| matches!(fate, Fate::SetAside { .. })),
        );
        let mut state = self.state();
        if !state.release(leased) {
            return;
        }
        for (record, fate) in leased.records().iter().zip(fates) {
            match (fate, now) {
                (Fate::SetAside { reason, .. }, Some(now)) => {
                    state.lose(*reason, Some(&record.subject.entity), 1, now);
                }
                _ => state.counts.stored += 1,
            }
        }
        state.has_moved(self.clock.as_ref());
        let wake = self.look_for_room(&mut state);
        self.note(&state);
        drop(state);
        self.settle_slots(leased);
        self.wake(wake);
    }

    /// Counted first: a process that dies in between repeats what the store knows already.
    fn settle_slots(&self, leased: &LeasedBatch) {
        if let Some(spool) = &self.spool {
            leased.slots.settle(spool);
        }
    }

    /// Puts the counts where they outlive the process.
    fn note(&self, state: &State) {
        if let Some(spool) = &self.spool {
            spool.note(&state.counts, state.losses.told());
        }
    }

    /// Counts what an earlier process left: taken over, and come to an end at once. Its losses are
    /// written down by whoever took it over.
    pub(crate) fn recovered(&self, stored: u64, dropped: &[(DropReason, u64)]) {
        let mut state = self.state();
        state.has_moved(self.clock.as_ref());
        state.counts.add_recovered(stored, dropped);
        for (reason, count) in dropped {
            state.losses.told_elsewhere(*reason, *count);
        }
        self.note(&state);
    }

    /// Counts a lease as given up.
    pub(crate) fn give_up(&self, leased: &LeasedBatch, reason: DropReason) {
        let now = self.clock.now();
        let mut state = self.state();
        if !state.release(leased) {
            return;
        }
        for record in leased.records() {
            state.lose(reason, Some(&record.subject.entity), 1, now);
        }
        state.has_moved(self.clock.as_ref());
        let wake = self.look_for_room(&mut state);
        self.note(&state);
        drop(state);
        self.settle_slots(leased);
        self.wake(wake);
    }

    /// Keeps what its holder has dropped, for the next one.
    pub(crate) fn take_back(&self, leased: LeasedBatch) {
        let mut state = self.state();
        if !state.closed {
            state.returned.push(leased);
        }
    }

    /// Ends it: what waits stays in the spool, or is given up, as does everything that is offered from
    /// now on. Idempotent.
    pub(crate) fn close(&self) {
        let now = self.clock.now();
        let deleted = self.spool.as_deref().map(SessionSpool::deleted);
        let mut state = self.state();
        state.closed = true;
        let left = state.waiting() as u64;
        if let Some(deleted) = deleted {
            let lost = left.min(deleted);
            if lost > 0 {
                state.lose(DropReason::Shutdown, None, lost, now);
            }
            state.counts.spooled += left - lost;
            let unread = state.queue.len() as isize;
            state.unread(-unread);
        } else {
            state.give_up_all(left, now);
        }
        state.returned.clear();
        state.in_hand = 0;
        state.deferred = 0;
        state.waits_since = None;
        state.end_overflow();
        let wake = state.wants_reporter();
        drop(state);
        self.wake(wake);
    }

    /// Where every record is now.
    pub(crate) fn ledger(&self) -> Ledger {
        let state = self.state();
        Ledger {
            waiting: state.waiting() as u64,
            ..state.counts
        }
    }

    /// What the recording policy has left out, by listener and job.
    pub(crate) fn filtered(&self) -> Vec<(Arc<Entity>, u64)> {
        let state = self.state();
        state
            .filtered
            .iter()
            .map(|(entity, count)| (Arc::clone(entity), *count))
            .collect()
    }

    /// What there is to say.
    pub(crate) fn news(&self) -> News {
        let mut state = self.state();
        state.alarmed = false;
        std::mem::take(&mut state.news)
    }

    /// Does something with the losses.
    pub(crate) fn losses<T>(&self, work: impl FnOnce(&mut Losses) -> T) -> T {
        let mut state = self.state();
        let done = work(&mut state.losses);
        self.note(&state);
        done
    }

    /// Episodes that the store does not know yet.
    pub(crate) fn unwritten_gaps(&self, session: SessionId) -> Vec<Gap> {
        self.state().losses.unwritten(session)
    }

    /// How many wait, and how many the store has in hand.
    pub(crate) fn unsettled(&self) -> (u64, u64) {
        let state = self.state();
        let in_hand = state.in_hand as u64;
        (state.waiting() as u64 - in_hand, in_hand)
    }

    /// Since when records wait without one having come to its end.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        self.state().waits_since
    }

    /// How full the queue is: records that count against its bound, and the bound. A spool has another.
    pub(crate) fn fill(&self) -> (usize, usize) {
        if self.spool.is_some() {
            return (0, self.limits.queue_max);
        }
        let state = self.state();
        (state.queue.len() + state.in_hand, self.limits.queue_max)
    }

    /// How many were lost in the last minute.
    pub(crate) fn lost_lately(&self, now: Instant) -> u64 {
        self.state().losses.lately(now)
    }

    /// Both clocks, where they are needed: most batches lose nothing.
    fn now_if(&self, needed: bool) -> Option<Moment> {
        needed.then(|| self.clock.now())
    }

    fn wake(&self, wake: Wake) {
        if wake.drain {
            self.bell.notify_one();
        }
        if wake.loss_reporter {
            self.alarm.notify_one();
        }
    }

    /// A record that finds no room.
    fn refuse(&self, mut state: MutexGuard<'_, State>, reason: DropReason, entity: &Arc<Entity>) {
        let now = self.clock.now();
        state.full_at = state.waiting();
        state.lose(reason, Some(entity), 1, now);
        state.look_whether_crowded(&self.limits, || now.monotonic);
        let wake = state.wants_reporter();
        self.note(&state);
        drop(state);
        self.wake(wake);
    }
}
