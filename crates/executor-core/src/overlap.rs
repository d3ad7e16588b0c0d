//! Decides whether a run may begin while an earlier one of the same registration is still running. A pure
//! function decides; the gate counts runs and admits waiters in order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::registration::Overlap;

/// The default limit of waiting runs under [`Overlap::Queued`].
pub(crate) const QUEUED_MAX: u32 = 10;

/// An overlap rule with its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Single,
    Restart,
    Queued { waiting_max: u32 },
    Parallel { running_max: u32 },
}

/// The decision on a run that wants to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Begin,
    Wait,
    /// Cancel the running one, turn away those that wait, and wait in their place.
    TakeOver,
    Skip,
}

const fn decide(rule: Rule, running: u32, waiting: u32) -> Step {
    match rule {
        Rule::Parallel { running_max } if running >= running_max => Step::Skip,
        Rule::Single if running > 0 => Step::Skip,
        Rule::Restart if running > 0 => Step::TakeOver,
        Rule::Queued { waiting_max } if running > 0 && waiting >= waiting_max => Step::Skip,
        Rule::Queued { .. } if running > 0 => Step::Wait,
        Rule::Single | Rule::Restart | Rule::Queued { .. } | Rule::Parallel { .. } => Step::Begin,
    }
}

/// Returns the reason in a skipped run's record.
fn reason(rule: Rule) -> Arc<str> {
    match rule {
        Rule::Single => Arc::from("overlap: an earlier run is still in progress"),
        Rule::Restart => Arc::from("overlap: a later run took its place"),
        Rule::Queued { waiting_max } => {
            Arc::from(format!("overlap: {waiting_max} runs are already waiting"))
        }
        Rule::Parallel { running_max } => Arc::from(format!(
            "overlap: {running_max} runs are already in progress"
        )),
    }
}

/// Admits the runs of one registration by its overlap rule.
#[derive(Debug)]
pub(crate) struct Gate {
    rule: Rule,
    /// The number of running ones, under the rules without waiting.
    running: AtomicU32,
    /// The running and waiting ones, under the other rules.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: u32,
    waiting: VecDeque<oneshot::Sender<Turn>>,
    /// Ends the running one, under [`Overlap::Restart`].
    current: Option<CancellationToken>,
}

/// The message to a waiting run.
#[derive(Debug)]
enum Turn {
    Begin(Entry),
    Superseded,
}

/// A place inside, to be given back with [`Gate::leave`].
#[derive(Debug)]
pub(crate) struct Entry {
    /// Cancelled when a later run wants this one's place.
    pub(crate) cancel: Option<CancellationToken>,
}

pub(crate) enum Admission {
    Begin(Entry),
    Wait(Ticket),
    Skip(Arc<str>),
}

/// A place in line: [`Gate::turn`] waits for its turn, and [`Gate::give_up`] gives it up.
pub(crate) struct Ticket(oneshot::Receiver<Turn>);

impl Gate {
    pub(crate) fn new(overlap: Overlap, limit: Option<u32>) -> Self {
        let rule = match overlap {
            Overlap::Single => Rule::Single,
            Overlap::Restart => Rule::Restart,
            Overlap::Queued => Rule::Queued {
                waiting_max: limit.unwrap_or(QUEUED_MAX),
            },
            Overlap::Parallel => Rule::Parallel {
                running_max: limit.unwrap_or(u32::MAX),
            },
        };
        Self {
            rule,
            running: AtomicU32::new(0),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code under this lock leaves it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns `true` if the gate never keeps a run out, and so need not count.
    const fn is_open(&self) -> bool {
        matches!(
            self.rule,
            Rule::Parallel {
                running_max: u32::MAX
            }
        )
    }

    const fn knows_waiting(&self) -> bool {
        matches!(self.rule, Rule::Restart | Rule::Queued { .. })
    }

    pub(crate) fn enter(&self) -> Admission {
        if self.is_open() {
            return Admission::Begin(Entry { cancel: None });
        }
        if self.knows_waiting() {
            return self.enter_or_wait();
        }
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        let entered = self.running.fetch_update(set, fetch, |running| {
            let step = decide(self.rule, running, 0);
            (step == Step::Begin).then_some(running + 1)
        });
        match entered {
            Ok(_) => Admission::Begin(Entry { cancel: None }),
            Err(_) => Admission::Skip(reason(self.rule)),
        }
    }

    /// Takes a place at once, without sending anybody away or waiting; `None` if there is none.
    pub(crate) fn take_if_free(&self) -> Option<Entry> {
        if self.is_open() {
            return None;
        }
        if !self.knows_waiting() {
            return match self.enter() {
                Admission::Begin(entry) => Some(entry),
                Admission::Wait(_) | Admission::Skip(_) => None,
            };
        }
        let mut state = self.state();
        let is_free = decide(self.rule, state.running, 0) == Step::Begin;
        is_free.then(|| state.begin(self.rule))
    }

    fn enter_or_wait(&self) -> Admission {
        let mut state = self.state();
        // Runs that have given up must not count as waiting.
        state.waiting.retain(|waiting| !waiting.is_closed());
        let waiting = u32::try_from(state.waiting.len()).unwrap_or(u32::MAX);
        match decide(self.rule, state.running, waiting) {
            Step::Begin => Admission::Begin(state.begin(self.rule)),
            Step::Skip => Admission::Skip(reason(self.rule)),
            Step::Wait => Admission::Wait(state.line_up()),
            Step::TakeOver => {
                let current = state.current.take();
                let sent_away = std::mem::take(&mut state.waiting);
                let ticket = state.line_up();
                drop(state);
                // Run wakers here, not under the lock.
                for waiting in sent_away {
                    let _ = waiting.send(Turn::Superseded);
                }
                if let Some(current) = current {
                    current.cancel();
                }
                Admission::Wait(ticket)
            }
        }
    }

    /// Waits in line.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the wait; the ticket keeps the place in line.
    pub(crate) async fn turn(&self, ticket: &mut Ticket) -> Result<Entry, Arc<str>> {
        match (&mut ticket.0).await {
            Ok(Turn::Begin(entry)) => Ok(entry),
            // Only dropping the gate drops the sender, and the gate is borrowed.
            Ok(Turn::Superseded) | Err(_) => Err(reason(self.rule)),
        }
    }

    /// Gives up a place in line, even if its turn has just come.
    pub(crate) fn give_up(&self, mut ticket: Ticket) {
        ticket.0.close();
        if let Ok(Turn::Begin(_)) = ticket.0.try_recv() {
            self.leave();
        }
    }

    /// Gives a place back, and passes it to the first run still in line.
    pub(crate) fn leave(&self) {
        if self.is_open() {
            return;
        }
        if !self.knows_waiting() {
            self.running.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        while let Some((next, entry)) = self.hand_on() {
            if next.send(Turn::Begin(entry)).is_ok() {
                return;
            }
        }
    }

    fn hand_on(&self) -> Option<(oneshot::Sender<Turn>, Entry)> {
        let mut state = self.state();
        state.running -= 1;
        let next = state.waiting.pop_front()?;
        Some((next, state.begin(self.rule)))
    }
}

impl State {
    fn begin(&mut self, rule: Rule) -> Entry {
        self.running += 1;
        if rule == Rule::Restart {
            self.current = Some(CancellationToken::new());
        }
        Entry {
            cancel: self.current.clone(),
        }
    }

    fn line_up(&mut self) -> Ticket {
        let (sender, receiver) = oneshot::channel();
        self.waiting.push_back(sender);
        Ticket(receiver)
    }
}

#[cfg(test)]
mod tests;
