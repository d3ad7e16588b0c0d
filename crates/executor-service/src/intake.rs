//! Between the executions and the drain: the queue, and the counts of where every record went.
//!
//! One short lock guards both, so the ledger balances at every moment at which it can be read.
//! What is taken stays counted as waiting until it is settled, deferred or given up. Nothing is logged
//! in here: whoever listens to the log would have the offering thread wait for it. The watchman does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use executor_core::ports::{Batch, ExecutionStart, Gap, RecordSink, Session};
use executor_core::time::Moment;
use executor_core::{Clock, DropReason, ExecutionRecord, Fate, Ledger, SessionId, Subject};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::losses::Losses;
use crate::parcel::{Held, Load, Origin, Parcel};
use crate::queue::{Queue, Slots};
use crate::recording::Policy;

/// How many records are moved under one lock.
const SLICE: usize = 32;

/// Takes in records, and gives them out in parcels.
pub(crate) struct Intake {
    state: Mutex<State>,
    /// Rung when the first record arrives and when enough of them wait. It remembers one ring,
    /// so none is missed between looking and waiting.
    pub(crate) bell: Notify,
    /// Rung when there is something to say.
    pub(crate) alarm: Notify,
    clock: Arc<dyn Clock>,
    limits: Limits,
}

/// What never changes while it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) queue_max: usize,
    pub(crate) ripe_at: usize,
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
    returned: Vec<Load>,
    /// `waiting` stays 0 in here: it is measured when somebody asks.
    counts: Ledger,
    /// Left out by the recording policy.
    filtered: HashMap<Subject, u64>,
    /// How many records the queue has accepted, ever. Numbers them from 0.
    accepted: u64,
    losses: Losses,
    news: News,
    /// The watchman was woken and has not come yet.
    alarmed: bool,
    closed: bool,
}

/// What the watchman is to say.
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
    watchman: bool,
}

impl Intake {
    pub(crate) fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self {
            state: Mutex::default(),
            bell: Notify::new(),
            alarm: Notify::new(),
            clock,
            limits,
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
    pub(crate) fn take(self: &Arc<Self>, max: usize, session: &Arc<Session>) -> Parcel {
        let first = self.oldest_queued();
        let mut records = Vec::with_capacity(self.queued().min(max));
        // In slices: whoever offers waits for no more than one of them.
        loop {
            let mut state = self.state();
            let before = records.len();
            records.extend(state.queue.take(SLICE.min(max - before)));
            let count = records.len() - before;
            state.in_hand += count;
            drop(state);
            if count == 0 {
                break;
            }
        }
        let session = Arc::clone(session);
        let load = Load {
            batch: Arc::new(Batch { session, records }),
            first,
            slots: Slots,
            held: Held::InHand,
            origin: Origin::Offered,
            failures: 0,
            refusals: 0,
        };
        Parcel::new(Arc::clone(self), load)
    }

    /// Takes what a drain that died had in its hands.
    pub(crate) fn take_returned(self: &Arc<Self>) -> Vec<Parcel> {
        let returned = std::mem::take(&mut self.state().returned);
        let parcels = returned.into_iter();
        parcels
            .map(|load| Parcel::new(Arc::clone(self), load))
            .collect()
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
        true
    }

    /// Counts the ends of a parcel.
    pub(crate) fn settle(&self, load: Load, fates: &[Fate]) {
        let now = self.now_if(
            fates
                .iter()
                .any(|fate| matches!(fate, Fate::SetAside { .. })),
        );
        let mut state = self.state();
        if !state.release(&load) {
            return;
        }
        for (record, fate) in load.records().iter().zip(fates) {
            match (fate, now) {
                (Fate::SetAside { reason, .. }, Some(now)) => {
                    state.lose(*reason, Some(&record.subject), 1, now);
                }
                _ => state.counts.stored += 1,
            }
        }
        if state.queue.len() <= self.limits.queue_max / 2 {
            state.end_overflow();
        }
        let wake = state.wants_watchman();
        drop(state);
        self.wake(wake);
    }

    /// Counts a parcel as given up.
    pub(crate) fn give_up(&self, load: Load, reason: DropReason) {
        let now = self.clock.now();
        let mut state = self.state();
        if !state.release(&load) {
            return;
        }
        for record in load.records() {
            state.lose(reason, Some(&record.subject), 1, now);
        }
        let wake = state.wants_watchman();
        drop(state);
        self.wake(wake);
    }

    /// Keeps what its holder has dropped, for the next one.
    pub(crate) fn take_back(&self, load: Load) {
        let mut state = self.state();
        if !state.closed {
            state.returned.push(load);
        }
    }

    /// Gives up whatever waits, and everything that is offered from now on. Idempotent.
    pub(crate) fn close(&self) {
        let now = self.clock.now();
        let mut state = self.state();
        state.closed = true;
        let left = state.waiting();
        let queued = state.queue.len();
        let queued: Vec<ExecutionRecord> = state.queue.take(queued).collect();
        let returned = std::mem::take(&mut state.returned);
        let known = returned.iter().flat_map(Load::records).chain(&queued);
        let mut named = 0;
        for record in known {
            state.lose(DropReason::Shutdown, Some(&record.subject), 1, now);
            named += 1;
        }
        // What somebody still holds is not to be seen from here.
        if left > named {
            state.lose(DropReason::Shutdown, None, (left - named) as u64, now);
        }
        state.in_hand = 0;
        state.deferred = 0;
        state.end_overflow();
        let wake = state.wants_watchman();
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
    pub(crate) fn filtered(&self) -> Vec<(Subject, u64)> {
        let state = self.state();
        state
            .filtered
            .iter()
            .map(|(subject, count)| (subject.clone(), *count))
            .collect()
    }

    /// What there is to say. Until [`look_again`](Self::look_again) a queue that stays crowded is no
    /// news.
    pub(crate) fn news(&self) -> News {
        let mut state = self.state();
        state.alarmed = false;
        let crowded = state.news.crowded;
        let still = News {
            crowded,
            ..News::default()
        };
        std::mem::replace(&mut state.news, still)
    }

    /// Whether the queue is crowded is to be said anew.
    pub(crate) fn look_again(&self) {
        self.state().news.crowded = None;
    }

    /// Does something with the losses.
    pub(crate) fn losses<T>(&self, work: impl FnOnce(&mut Losses) -> T) -> T {
        work(&mut self.state().losses)
    }

    /// Episodes that the store does not know yet.
    pub(crate) fn unwritten_gaps(&self, session: SessionId) -> Vec<Gap> {
        self.state().losses.unwritten(session)
    }

    /// How full the queue is: records that count against its bound, and the bound.
    pub(crate) fn fill(&self) -> (usize, usize) {
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
        if wake.watchman {
            self.alarm.notify_one();
        }
    }

    /// A record that finds no room.
    fn refuse(&self, mut state: MutexGuard<'_, State>, reason: DropReason, subject: &Subject) {
        let now = self.clock.now();
        state.lose(reason, Some(subject), 1, now);
        let wake = state.wants_watchman();
        drop(state);
        self.wake(wake);
    }
}

impl State {
    fn waiting(&self) -> usize {
        self.queue.len() + self.in_hand + self.deferred
    }

    /// `false` once everything was given up: there is nothing left to count.
    fn release(&mut self, load: &Load) -> bool {
        if self.closed {
            return false;
        }
        match load.held {
            Held::InHand => self.in_hand -= load.len(),
            Held::Deferred => self.deferred -= load.len(),
        }
        true
    }

    fn lose(&mut self, reason: DropReason, subject: Option<&Subject>, count: u64, now: Moment) {
        self.counts.add_dropped(reason, count);
        let begins = self.losses.note(reason, subject, count, now);
        self.news.lost = true;
        self.news.overflow_began |= begins && reason == DropReason::Overflow;
    }

    fn end_overflow(&mut self) {
        if let Some(lost) = self.losses.end(DropReason::Overflow) {
            *self.news.overflow_ended.get_or_insert_default() += lost;
        }
    }

    /// Wakes the watchman once until it comes.
    fn wants_watchman(&mut self) -> Wake {
        let news = &self.news;
        let is_news = news.lost || news.overflow_began || news.overflow_ended.is_some();
        let watchman = is_news && !self.alarmed;
        self.alarmed |= watchman;
        Wake {
            watchman,
            ..Wake::default()
        }
    }

    fn push(&mut self, record: ExecutionRecord, limits: &Limits) -> Wake {
        let held = self.queue.len() + self.in_hand;
        let is_news = held >= limits.crowded_at() && self.news.crowded.is_none();
        if is_news {
            self.news.crowded = Some(held);
        }
        self.queue.push(record);
        self.accepted += 1;
        let queued = self.queue.len();
        Wake {
            drain: queued == 1 || queued == limits.ripe_at,
            watchman: is_news,
        }
    }
}

impl RecordSink for Intake {
    /// A start is worth nothing in memory: it dies with the process.
    fn begin(&self, _: ExecutionStart<'_>) {}

    fn offer(&self, record: ExecutionRecord) {
        let keeps = self.limits.policy.keeps(&record);
        let mut state = self.state();
        state.counts.offered += 1;
        if !keeps {
            state.counts.filtered += 1;
            *state.filtered.entry(record.subject).or_default() += 1;
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
}
