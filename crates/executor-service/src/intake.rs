//! The queue between the executions and the drain, and the ledger that accounts for every record.
//!
//! One short lock guards both, so the ledger balances whenever it is read. Records that were taken stay counted as
//! waiting until they are settled, deferred or given up. Nothing in here logs: a slow log subscriber would block
//! the offering thread. The loss reporter logs instead.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use executor_core::ports::Gap;
use executor_core::time::Moment;
use executor_core::{Clock, DropReason, Entity, Fate, Ledger, SessionId, SourceTier};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::intake::losses::Losses;
use crate::intake::queue::{LeasedBatch, Queue};
#[cfg(feature = "metrics")]
use crate::metering::tally::Tally;
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

/// Accepts records and hands them out in leases.
pub(crate) struct Intake {
    state: Mutex<State>,
    /// Rung when the first record arrives and when enough records wait. It remembers one ring, so none is lost
    /// between checking and waiting.
    pub(crate) bell: Notify,
    /// Rung when the loss reporter has something to report.
    pub(crate) alarm: Notify,
    clock: Arc<dyn Clock>,
    limits: Limits,
    /// The spool, in which records survive the process; without it they wait in memory.
    spool: Option<Arc<SessionSpool>>,
    #[cfg(feature = "metrics")]
    tally: Mutex<Tally>,
}

/// Limits that never change while the intake runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) queue_max: usize,
    /// The maximum number of records taken at once.
    pub(crate) batch_max: usize,
    pub(crate) ripe_at: usize,
    /// The maximum number of records that wait for a retry.
    pub(crate) retry_max_records: usize,
    /// The number of retries that the store may refuse.
    pub(crate) retry_max_attempts: u32,
    pub(crate) policy: Policy,
}

impl Limits {
    /// The number of waiting records at which the queue counts as crowded.
    const fn crowded_at(&self) -> usize {
        self.queue_max - self.queue_max / 4
    }
}

#[derive(Default)]
struct State {
    queue: Queue,
    /// Records taken from the queue and not settled: they count against the queue's bound.
    in_hand: usize,
    /// Records deferred for a retry and not settled: they have their own bound, even while they are being tried.
    deferred: usize,
    /// Batches returned by leases that were dropped unsettled.
    returned: Vec<LeasedBatch>,
    /// `waiting` stays 0 in here: it is computed on demand.
    counts: Ledger,
    /// Records left out by the recording policy.
    filtered: HashMap<Arc<Entity>, u64>,
    /// The number of records accepted so far, which numbers them from 0.
    accepted: u64,
    /// The number of records that were waiting, retries included, when a record last found no room.
    full_at: usize,
    losses: Losses,
    news: News,
    /// The time of the last report that the queue was crowded.
    crowded_at: Option<Instant>,
    /// The time since which records have been waiting without any being settled; `None` if none waits.
    waits_since: Option<Instant>,
    /// The loss reporter was woken and has not looked yet.
    alarmed: bool,
    closed: bool,
}

/// Events for the loss reporter to log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// The number of records that waited when the queue was found crowded.
    pub(crate) crowded: Option<usize>,
    /// An episode of overflow has begun.
    pub(crate) overflow_began: bool,
    /// Episodes of overflow have ended; they cost this many records.
    pub(crate) overflow_ended: Option<u64>,
    /// Losses were noted that the store does not know of.
    pub(crate) lost: bool,
}

/// The tasks to wake after the lock is released.
#[derive(Clone, Copy, Default)]
struct Wake {
    drain: bool,
    loss_reporter: bool,
}

impl Intake {
    /// Returns whether the policy has every execution of a tier recorded.
    pub(crate) fn records_all(&self, tier: SourceTier) -> bool {
        self.limits.policy.keeps_all(tier)
    }

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
            #[cfg(feature = "metrics")]
            tally: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code under this lock leaves a count half-changed, so poison means nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what metrics have not counted yet.
    #[cfg(feature = "metrics")]
    pub(crate) fn take_tally(&self) -> Tally {
        std::mem::take(&mut *self.tally())
    }

    #[cfg(feature = "metrics")]
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many records wait in the queue.
    pub(crate) fn queued(&self) -> usize {
        self.state().queue.len()
    }

    /// Returns how many records the queue has accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.state().accepted
    }

    /// Returns the number of the oldest record still in the queue.
    pub(crate) fn oldest_queued(&self) -> u64 {
        let state = self.state();
        state.accepted - state.queue.len() as u64
    }

    /// Moves `count` records in hand to those that wait for a retry. Returns `false`, and moves nothing, if more
    /// than `max` would then wait.
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

    /// Ends an episode of overflow once the fill has dropped to half. In a spool all waiting records count, in
    /// memory only those that wait for their first try.
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

    /// Counts the fate of each record of a lease.
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

    /// Settles the frames after counting: if the process dies in between, the next one only repeats stored
    /// records.
    fn settle_slots(&self, leased: &LeasedBatch) {
        if let Some(spool) = &self.spool {
            leased.slots.settle(spool);
        }
    }

    /// Writes the counts to where they outlive the process.
    fn note(&self, state: &State) {
        if let Some(spool) = &self.spool {
            spool.note(&state.counts, state.losses.told());
        }
    }

    /// Counts records of an earlier process as taken over and, at once, as stored or dropped. The code that took
    /// them over records their losses.
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

    /// Keeps a batch from a dropped lease for the next holder.
    pub(crate) fn take_back(&self, leased: LeasedBatch) {
        let mut state = self.state();
        if !state.closed {
            state.returned.push(leased);
        }
    }

    /// Closes the intake: waiting records, and all that are offered from now on, stay in the spool or are given
    /// up. Idempotent.
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

    /// Returns the ledger, which accounts for every record.
    pub(crate) fn ledger(&self) -> Ledger {
        let state = self.state();
        Ledger {
            waiting: state.waiting() as u64,
            ..state.counts
        }
    }

    /// Returns how many records the recording policy has left out, by listener and job.
    pub(crate) fn filtered(&self) -> Vec<(Arc<Entity>, u64)> {
        let state = self.state();
        state
            .filtered
            .iter()
            .map(|(entity, count)| (Arc::clone(entity), *count))
            .collect()
    }

    /// Takes the pending events.
    pub(crate) fn news(&self) -> News {
        let mut state = self.state();
        state.alarmed = false;
        std::mem::take(&mut state.news)
    }

    /// Runs `work` on the losses, then notes the counts.
    pub(crate) fn losses<T>(&self, work: impl FnOnce(&mut Losses) -> T) -> T {
        let mut state = self.state();
        let done = work(&mut state.losses);
        self.note(&state);
        done
    }

    /// Returns the episodes that the store does not know of yet.
    pub(crate) fn unwritten_gaps(&self, session: SessionId) -> Vec<Gap> {
        self.state().losses.unwritten(session)
    }

    /// Returns how many records wait, and how many the store has in hand.
    pub(crate) fn unsettled(&self) -> (u64, u64) {
        let state = self.state();
        let in_hand = state.in_hand as u64;
        (state.waiting() as u64 - in_hand, in_hand)
    }

    /// Returns the time since which records have been waiting without any being settled.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        self.state().waits_since
    }

    /// Returns the number of records that count against the queue's bound, and the bound. A spool has its own
    /// bound.
    pub(crate) fn fill(&self) -> (usize, usize) {
        if self.spool.is_some() {
            return (0, self.limits.queue_max);
        }
        let state = self.state();
        (state.queue.len() + state.in_hand, self.limits.queue_max)
    }

    /// Returns how many records were lost in the last minute.
    pub(crate) fn lost_lately(&self, now: Instant) -> u64 {
        self.state().losses.lately(now)
    }

    /// Reads both clocks only if needed: most batches lose nothing.
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

    /// Counts a record that was not accepted as lost.
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
