//! The operations under the intake's lock: counting, losing, and deciding whom to wake.

use std::time::Duration;

use std::sync::Arc;

use executor_core::time::Moment;
use executor_core::{Clock, DropReason, Entity, ExecutionRecord};
use tokio::time::Instant;

use super::{Limits, State, Wake};
use crate::intake::queue::{LeaseState, LeasedBatch, Queue};

/// The minimum time between two reports that the queue is crowded.
const CROWDED_EVERY: Duration = Duration::from_secs(30);

impl State {
    /// Changes the count of records that lie in the spool and were not taken yet.
    pub(super) fn unread(&mut self, change: isize) {
        if let Queue::Spool { unread, .. } = &mut self.queue {
            *unread = unread.saturating_add_signed(change);
        }
    }

    pub(super) fn give_up_all(&mut self, left: u64, now: Moment) {
        let returned = std::mem::take(&mut self.returned);
        let batches =
            std::iter::from_fn(|| Some(self.queue.take()).filter(|batch| !batch.is_empty()));
        let queued: Vec<_> = batches.collect();
        let known = returned.iter().flat_map(LeasedBatch::records);
        let mut named = 0;
        for record in known.chain(queued.iter().flatten()) {
            self.lose(DropReason::Shutdown, Some(&record.subject.entity), 1, now);
            named += 1;
        }
        // Records in leases that are still held cannot be seen from here.
        if left > named {
            self.lose(DropReason::Shutdown, None, left - named, now);
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len() + self.in_hand + self.deferred
    }

    /// Returns `false` if the intake is closed: everything was given up, so nothing is left to count.
    pub(super) fn release(&mut self, leased: &LeasedBatch) -> bool {
        if self.closed {
            return false;
        }
        match leased.state {
            LeaseState::InHand => self.in_hand -= leased.len(),
            LeaseState::Deferred => self.deferred -= leased.len(),
        }
        true
    }

    pub(super) fn filter(&mut self, entity: &Arc<Entity>) {
        self.counts.filtered += 1;
        *self.filtered.entry(Arc::clone(entity)).or_default() += 1;
    }

    pub(super) fn lose(
        &mut self,
        reason: DropReason,
        entity: Option<&Arc<Entity>>,
        count: u64,
        now: Moment,
    ) {
        self.counts.add_dropped(reason, count);
        let begins = self.losses.note(reason, entity, count, now);
        self.news.lost = true;
        self.news.overflow_began |= begins && reason == DropReason::Overflow;
    }

    pub(super) fn end_overflow(&mut self) {
        if let Some(lost) = self.losses.end(DropReason::Overflow) {
            *self.news.overflow_ended.get_or_insert_default() += lost;
        }
    }

    /// Asks to wake the loss reporter if there is news, once until it looks.
    pub(super) fn wants_reporter(&mut self) -> Wake {
        let news = &self.news;
        let is_news = news.lost
            || news.crowded.is_some()
            || news.overflow_began
            || news.overflow_ended.is_some();
        let loss_reporter = is_news && !self.alarmed;
        self.alarmed |= loss_reporter;
        Wake {
            loss_reporter,
            ..Wake::default()
        }
    }

    /// Counts an accepted record. Reads the clock only if no other record is waiting.
    #[inline]
    pub(super) fn accepted(
        &mut self,
        loss_reporter: Wake,
        limits: &Limits,
        clock: &dyn Clock,
    ) -> Wake {
        self.accepted += 1;
        let queued = self.queue.len();
        if self.waits_since.is_none() {
            self.waits_since = Some(clock.monotonic());
        }
        Wake {
            drain: queued == 1 || queued == limits.ripe_at,
            ..loss_reporter
        }
    }

    #[inline]
    pub(super) fn push(
        &mut self,
        record: ExecutionRecord,
        limits: &Limits,
        clock: &dyn Clock,
    ) -> Wake {
        let is_news = self.look_whether_crowded(limits, || clock.monotonic());
        if let Queue::Memory(batches) = &mut self.queue {
            batches.push(record);
        }
        let wake = if is_news {
            self.wants_reporter()
        } else {
            Wake::default()
        };
        self.accepted(wake, limits, clock)
    }

    /// Notes that the queue is crowded, unless that was noted lately. Reads the clock only if it is crowded.
    pub(super) fn look_whether_crowded(
        &mut self,
        limits: &Limits,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        let held = self.queue.len() + self.in_hand;
        if held < limits.crowded_at() || !matches!(self.queue, Queue::Memory(_)) {
            return false;
        }
        let now = now();
        let is_news = self
            .crowded_at
            .is_none_or(|at| now.saturating_duration_since(at) >= CROWDED_EVERY);
        if is_news {
            self.crowded_at = Some(now);
            self.news.crowded = Some(held);
        }
        is_news
    }

    /// Restarts the waiting time of the remaining records after some were settled.
    pub(super) fn has_moved(&mut self, clock: &dyn Clock) {
        self.waits_since = (self.waiting() > 0).then(|| clock.monotonic());
    }
}
