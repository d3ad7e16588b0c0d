//! May a run begin while an earlier one of the same registration still goes on? What the answer
//! is decides a pure function; the gate keeps count and lets the waiting ones in, in order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::registration::Overlap;

/// How many runs wait under [`Overlap::Queued`] unless a limit is set.
pub(crate) const QUEUED_MAX: u32 = 10;

/// An overlap rule with its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Single,
    Restart,
    Queued { waiting_max: u32 },
    Parallel { running_max: u32 },
}

/// What happens to a run that wants to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Begin,
    Wait,
    /// Cancel what runs, send whoever waits away, and wait in their place.
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

/// What a skipped run's record gives as its reason.
fn reason(rule: Rule) -> Arc<str> {
    match rule {
        Rule::Single => Arc::from("overlap: an earlier run still goes on"),
        Rule::Restart => Arc::from("overlap: a later run took its place"),
        Rule::Queued { waiting_max } => {
            Arc::from(format!("overlap: {waiting_max} runs are waiting already"))
        }
        Rule::Parallel { running_max } => {
            Arc::from(format!("overlap: {running_max} runs go on already"))
        }
    }
}

/// Lets the runs of one registration in, by its overlap rule.
#[derive(Debug)]
pub(crate) struct Gate {
    rule: Rule,
    /// How many run, under the rules that know no waiting.
    running: AtomicU32,
    /// Who runs and who waits, under the others.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: u32,
    waiting: VecDeque<oneshot::Sender<Turn>>,
    /// Ends the one that runs, under [`Overlap::Restart`].
    current: Option<CancellationToken>,
}

/// What a waiting run is told.
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

/// A place in the line: [`Gate::turn`] waits for its turn, and whoever does not want it any more says so with
/// [`Gate::give_up`].
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

    /// Nobody is counted where nobody is ever kept out.
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

    fn enter_or_wait(&self) -> Admission {
        let mut state = self.state();
        // Those who went away must not be counted as waiting.
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
                // Wakers run here, and not under the lock.
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
    /// Dropping the future gives up waiting; the place in line is the ticket's.
    pub(crate) async fn turn(&self, ticket: &mut Ticket) -> Result<Entry, Arc<str>> {
        match (&mut ticket.0).await {
            Ok(Turn::Begin(entry)) => Ok(entry),
            // The sender is dropped only with the gate, and that is borrowed.
            Ok(Turn::Superseded) | Err(_) => Err(reason(self.rule)),
        }
    }

    /// Gives up a place in line, also one whose turn has just come.
    pub(crate) fn give_up(&self, mut ticket: Ticket) {
        ticket.0.close();
        if let Ok(Turn::Begin(_)) = ticket.0.try_recv() {
            self.leave();
        }
    }

    /// Gives a place back, to the first in line who is still there.
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
mod tests {
    use std::time::Duration;

    use super::*;
    use proptest::prelude::*;

    fn rules() -> impl Strategy<Value = Rule> {
        prop_oneof![
            Just(Rule::Single),
            Just(Rule::Restart),
            (0_u32..5).prop_map(|waiting_max| Rule::Queued { waiting_max }),
            (1_u32..5).prop_map(|running_max| Rule::Parallel { running_max }),
        ]
    }

    proptest! {
        #[test]
        fn no_step_breaks_its_rules_bounds(rule in rules(), running in 0_u32..6, waiting in 0_u32..6) {
            let step = decide(rule, running, waiting);
            if running == 0 {
                prop_assert_eq!(step, Step::Begin, "nothing is in the way");
            }
            match (rule, step) {
                (Rule::Parallel { running_max }, Step::Begin) => prop_assert!(running < running_max),
                (_, Step::Begin) => prop_assert_eq!(running, 0),
                (Rule::Queued { waiting_max }, Step::Wait) => prop_assert!(waiting < waiting_max),
                (Rule::Restart, Step::TakeOver) | (_, Step::Skip) => prop_assert!(running > 0),
                (rule, step) => prop_assert!(false, "{rule:?} never leads to {step:?}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_nobody_takes_goes_to_the_next_in_line() {
        let gate = Gate::new(Overlap::Queued, None);
        assert!(matches!(gate.enter(), Admission::Begin(_)));
        let mut tickets = Vec::new();
        for _ in 0..3 {
            let Admission::Wait(ticket) = gate.enter() else {
                panic!("the first is inside")
            };
            tickets.push(ticket);
        }
        let mut last = tickets.pop().expect("three");
        // One goes away before its turn, one after it was called and before it looked.
        gate.give_up(tickets.pop().expect("two"));
        let called = tickets.pop().expect("one");
        gate.leave();
        gate.give_up(called);
        let entry = turn(&gate, &mut last).await.expect("its turn");
        assert!(entry.is_ok());
        assert_eq!(gate.state().running, 1);
        gate.leave();
        assert_eq!(gate.state().running, 0);
    }

    /// Its turn, if it has come.
    async fn turn(gate: &Gate, ticket: &mut Ticket) -> Option<Result<Entry, Arc<str>>> {
        let turn = gate.turn(ticket);
        tokio::time::timeout(Duration::ZERO, turn).await.ok()
    }

    fn waits(gate: &Gate) -> Ticket {
        match gate.enter() {
            Admission::Wait(ticket) => ticket,
            Admission::Begin(_) => panic!("it begins"),
            Admission::Skip(reason) => panic!("it is skipped: {reason}"),
        }
    }

    #[test]
    fn as_many_run_as_may_and_one_that_leaves_makes_room_for_one() {
        let rules = [
            (Overlap::Single, None, 1, "an earlier run still goes on"),
            (Overlap::Parallel, Some(3), 3, "3 runs go on already"),
        ];
        for (overlap, limit, max, why) in rules {
            let gate = Gate::new(overlap, limit);
            let is_skipped = || match gate.enter() {
                Admission::Begin(entry) => {
                    assert!(entry.cancel.is_none());
                    false
                }
                Admission::Skip(reason) => {
                    assert!(reason.ends_with(why), "{reason}");
                    true
                }
                Admission::Wait(_) => panic!("nobody waits under {overlap:?}"),
            };
            assert_eq!((0..max).filter(|_| is_skipped()).count(), 0);
            assert!(is_skipped() && is_skipped());
            gate.leave();
            assert!(!is_skipped() && is_skipped());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_run_ends_the_one_that_goes_on_and_sends_away_whoever_waits() {
        let gate = Gate::new(Overlap::Restart, None);
        let Admission::Begin(Entry {
            cancel: Some(first),
        }) = gate.enter()
        else {
            panic!("the first begins, and can be ended")
        };
        assert!(!first.is_cancelled());
        let mut second = waits(&gate);
        assert!(first.is_cancelled() && turn(&gate, &mut second).await.is_none());
        let mut third = waits(&gate);
        let sent_away = turn(&gate, &mut second).await.expect("it is told");
        assert!(sent_away.is_err_and(|why| why.ends_with("a later run took its place")));
        assert!(
            turn(&gate, &mut third).await.is_none(),
            "the first is still inside"
        );
        gate.leave();
        let entry = turn(&gate, &mut third)
            .await
            .expect("its turn")
            .expect("it begins");
        assert!(!entry.cancel.expect("it can be ended").is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn who_went_away_is_not_counted_as_waiting() {
        let gate = Gate::new(Overlap::Queued, Some(2));
        assert!(matches!(
            gate.enter(),
            Admission::Begin(Entry { cancel: None })
        ));
        let (mut first, second) = (waits(&gate), waits(&gate));
        assert!(matches!(gate.enter(), Admission::Skip(_)), "two wait");
        drop(second);
        let mut third = waits(&gate);
        assert!(matches!(gate.enter(), Admission::Skip(_)), "two wait again");
        for ticket in [&mut first, &mut third] {
            assert!(turn(&gate, ticket).await.is_none(), "one is inside");
            gate.leave();
            let entry = turn(&gate, ticket).await.expect("in their order");
            assert!(entry.is_ok_and(|entry| entry.cancel.is_none()));
        }
        assert_eq!(gate.state().waiting.len(), 0);
    }
}
