//! Decides what the drain does next, as a pure function of its view: no clock, no store, no queue.

use std::time::Duration;

use tokio::time::Instant;

/// The state from which the drain decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Records in the queue.
    pub(crate) queued: usize,
    /// The time since which records have been waiting there, as far as the drain has noticed.
    pub(crate) since: Option<Instant>,
    /// The time at which the first retry is due, if one is waiting.
    pub(crate) next_retry: Option<Instant>,
    /// Somebody waits for everything to be written.
    pub(crate) flushing: bool,
    /// No new records will come: finish.
    pub(crate) stopping: bool,
    /// The last action was a retry: if both have work, it is the queue's turn.
    pub(crate) retried: bool,
    /// Records may be taken from the queue now.
    pub(crate) may_take: bool,
}

/// Limits that never change while the drain runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The number of queued records at which gathering stops.
    pub(crate) ripe_at: usize,
    /// The longest time that records are gathered.
    pub(crate) flush_interval: Duration,
}

/// The drain's next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Try the first waiting batch again.
    Retry,
    /// Write a batch from the queue.
    Write,
    /// Wait for the bell, a request, or this time.
    Wait(Option<Instant>),
    /// End: the drain is stopping and nothing is left.
    Finish,
}

/// Decides the next action. Due retries and a ripe queue take turns, so that neither starves the other, however
/// slow the store is. While stopping, nothing is gathered.
pub(crate) fn plan(view: &View, limits: &Limits, now: Instant) -> Action {
    let ripe_at = ripe_at(view, limits);
    let is_ripe = is_in_a_hurry(view, limits) || ripe_at.is_some_and(|at| at <= now);
    let is_due = view.next_retry.is_some_and(|due| due <= now);
    match (is_ripe, is_due) {
        (true, true) if view.retried => Action::Write,
        (_, true) => Action::Retry,
        (true, false) => Action::Write,
        (false, false) => match [view.next_retry, ripe_at].into_iter().flatten().min() {
            None if view.stopping && view.queued == 0 => Action::Finish,
            next => Action::Wait(next),
        },
    }
}

/// Returns when the queued records have been gathered for long enough. A time beyond the clock's range counts as
/// now.
fn ripe_at(view: &View, limits: &Limits) -> Option<Instant> {
    let since = view.since.filter(|_| view.queued > 0 && view.may_take)?;
    Some(since.checked_add(limits.flush_interval).unwrap_or(since))
}

const fn is_in_a_hurry(view: &View, limits: &Limits) -> bool {
    view.queued > 0
        && view.may_take
        && (view.flushing || view.stopping || view.queued >= limits.ripe_at)
}

#[cfg(test)]
mod tests;
