//! Leases that wait for another try, by due time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;

use crate::intake::lease::Lease;

/// Returns the delay after this many failures (from 1): one second per failure, five at most.
pub(crate) fn delay_after(failures: u32) -> Duration {
    Duration::from_secs(u64::from(failures.clamp(1, 5)))
}

/// Shortens `delay` by up to a tenth, so that processes that failed together do not return together. Never
/// lengthens it: the documented delays are upper bounds.
pub(crate) fn with_jitter(delay: Duration) -> Duration {
    delay.mul_f64(1.0 - fastrand::f64() / 10.0)
}

/// Waiting leases, the next one due on top.
#[derive(Default)]
pub(crate) struct RetryHeap {
    heap: BinaryHeap<Reverse<Entry>>,
}

struct Entry {
    due: Instant,
    lease: Lease,
}

impl RetryHeap {
    pub(crate) fn push(&mut self, lease: Lease, due: Instant) {
        self.heap.push(Reverse(Entry { due, lease }));
    }

    /// Returns when the first lease is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.due)
    }

    /// Removes and returns the first lease, due or not.
    pub(crate) fn pop(&mut self) -> Option<Lease> {
        self.heap.pop().map(|Reverse(entry)| entry.lease)
    }

    /// Makes every lease due by `now`, in order of age.
    pub(crate) fn make_due(&mut self, now: Instant) {
        let entries = std::mem::take(&mut self.heap);
        for Reverse(Entry { due, lease }) in entries {
            self.push(lease, due.min(now));
        }
    }

    /// Returns how many records are in the heap.
    pub(crate) fn records(&self) -> usize {
        let leases = self.heap.iter();
        leases
            .map(|Reverse(entry)| entry.lease.batch().records.len())
            .sum()
    }

    /// Returns the number of the oldest record in the heap.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.heap
            .iter()
            .map(|Reverse(entry)| entry.lease.first())
            .min()
    }
}

// Ordered by due time, then by age: equal times keep the order in which records were offered.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.lease.first()).cmp(&(other.due, other.lease.first()))
    }
}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Entry {}

#[cfg(test)]
mod tests;
