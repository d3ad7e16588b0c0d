//! What the drain does next: a pure function of what it sees. No clock, no store, no queue.

use std::time::Duration;

use tokio::time::Instant;

/// What the drain sees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Records in the queue.
    pub(crate) queued: usize,
    /// Since when some have been waiting there, as far as the drain has noticed.
    pub(crate) since: Option<Instant>,
    /// When the first retry is due, if one waits.
    pub(crate) next_retry: Option<Instant>,
    /// Somebody waits for everything to be written.
    pub(crate) flushing: bool,
    /// No new records come: finish.
    pub(crate) stopping: bool,
    /// The last thing done was a retry: it is the queue's turn, if both have something.
    pub(crate) retried: bool,
    /// Records may be taken from the queue now.
    pub(crate) may_take: bool,
}

/// What never changes while it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From so many records on there is no more gathering.
    pub(crate) ripe_at: usize,
    /// The longest that records are gathered.
    pub(crate) flush_interval: Duration,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Try the first waiting batch again.
    Retry,
    /// Write a batch from the queue.
    Write,
    /// Wait for the bell, a request, or this time.
    Wait(Option<Instant>),
    /// Stopping, and nothing is left.
    Finish,
}

/// Decides. Due retries and a ripe queue take turns, so that neither starves the other however
/// slow the store is. Stopping turns gathering off.
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

/// When the records in the queue have been gathered for long enough. A time that the clock cannot
/// tell is now.
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
