//! Watches one handler's future: polls it where panics cannot escape, and waits for whichever comes
//! first: its end, the deadline or a cancellation. [`crate::run::verdict`] decides what the ending
//! means.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::coop::{has_budget_remaining, poll_proceed, unconstrained};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::command::Command;
use crate::context::{EndingProgram, Scope, Traits};
use crate::guard::Guard;
use crate::handler::{BorrowingFuture, HandlerResult};
use crate::identity::ExecutionId;
use crate::lines::buffer::LineBuffer;
use crate::panics::{Caught, catch, drop_quietly};
use crate::run::halt::Halt;

/// The way in which a run ended.
pub(crate) enum Ending {
    Returned(HandlerResult),
    Panicked(Box<Caught>),
    DeadlinePassed,
    Cancelled,
    /// The handler did not run, for this reason.
    Skipped(Arc<str>),
}

/// The limits that may end a run before it ends by itself.
pub(crate) struct Limits<'l> {
    pub(crate) deadline: Option<tokio::time::Instant>,
    pub(crate) stop: Stop<'l>,
    /// The time that a cancelled handler has to return.
    pub(crate) grace: Duration,
}

/// What may end a run from outside: its runner, and its caller.
#[derive(Clone, Copy)]
pub(crate) struct Stop<'l> {
    pub(crate) halt: &'l Halt,
    pub(crate) id: ExecutionId,
    pub(crate) caller: Option<&'l CancellationToken>,
}

impl Stop<'_> {
    /// Completes when one of them ends it.
    pub(crate) async fn cancelled(self) {
        match self.caller {
            None => self.halt.of(self.id).await,
            Some(caller) => tokio::select! {
                () = self.halt.of(self.id) => {}
                () = caller.cancelled() => {}
            },
        }
    }
}

/// User code under watch. It runs, and is dropped, with its execution id and span set.
pub(crate) struct Watched<'f> {
    /// `Some` until this is dropped.
    command: Option<Command>,
    /// Created at the first poll unless it was given: a handler may panic before it returns its future.
    future: Option<BorrowingFuture<'f>>,
    is_finished: bool,
    /// The panic of the future while it was dropped.
    in_drop: Option<Box<Caught>>,
    scope: Scope,
    id: ExecutionId,
    span: Span,
    stopwatch: Option<Stopwatch>,
}

/// Times polls by the machine's clock, which neither paused time nor a blocked thread stops.
#[derive(Clone, Copy, Default)]
pub(crate) struct Stopwatch {
    first: Option<Instant>,
    polls: u32,
    pub(crate) longest: Duration,
    /// From the beginning of the first poll to the end of the last one.
    pub(crate) total: Duration,
}

impl Stopwatch {
    fn add(&mut self, begun: Instant, ended: Instant) {
        let first = *self.first.get_or_insert(begun);
        self.longest = self.longest.max(ended - begun);
        self.total = ended - first;
        self.polls = self.polls.saturating_add(1);
    }

    /// Returns the duration if the handler was done at its first poll: then these times cover all of it.
    pub(crate) fn without_waiting(self, ending: &Ending) -> Option<Duration> {
        let is_done = matches!(ending, Ending::Returned(_) | Ending::Panicked(_));
        (self.polls == 1 && is_done).then_some(self.total)
    }
}

impl<'f> Watched<'f> {
    pub(crate) const fn new(
        command: Command,
        id: ExecutionId,
        span: Span,
        stopwatch: Option<Stopwatch>,
        traits: Traits,
        future: Option<BorrowingFuture<'f>>,
    ) -> Self {
        Self {
            command: Some(command),
            future,
            is_finished: false,
            in_drop: None,
            scope: Scope::of(id, traits),
            id,
            span,
            stopwatch,
        }
    }

    pub(crate) const fn command(&self) -> &Command {
        self.command.as_ref().expect("there until it is dropped")
    }

    pub(crate) const fn id(&self) -> ExecutionId {
        self.id
    }

    /// Returns the times of the polls; zero if they are not timed.
    pub(crate) fn stopwatch(&self) -> Stopwatch {
        self.stopwatch.unwrap_or_default()
    }

    /// Asks a guard and catches its panic; `None` means yes.
    pub(crate) fn ask(&mut self, guard: &Guard) -> Option<Ending> {
        let _execution = self.scope.enter();
        let _span = self.span.enter();
        let command = self.command.as_ref().expect("there until it is dropped");
        match catch(|| guard.ask(command.event().map(Arc::as_ref))) {
            Ok(Ok(true)) => None,
            Ok(Ok(false)) => Some(Ending::Skipped(reason_of(command))),
            Ok(Err(error)) => Some(Ending::Returned(Err(error))),
            Err(caught) => Some(Ending::Panicked(caught)),
        }
    }

    /// Sets the token with which a later run ends this one.
    pub(crate) fn may_be_ended_by(&mut self, token: Option<CancellationToken>) {
        self.scope.cancel = token;
    }

    /// The thread that a blocking handler left behind, after [`Self::discard`].
    pub(crate) fn leaked(&self) -> Option<&Arc<str>> {
        self.scope.leaked()
    }

    /// Whether it was still waiting for a blocking thread, after [`Self::discard`].
    pub(crate) fn got_no_thread(&self) -> bool {
        self.scope.got_no_thread()
    }

    /// Whether programs are still being ended, after [`Self::discard`].
    pub(crate) fn has_programs(&self) -> bool {
        self.scope.has_programs()
    }

    /// Takes the programs that are still being ended, after [`Self::discard`].
    pub(crate) fn take_programs(&mut self) -> Vec<EndingProgram> {
        self.scope.take_programs()
    }

    /// The exit status of the program that it ran.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        self.scope.exit_code()
    }

    /// Takes what it said.
    pub(crate) fn take_lines(&mut self) -> Option<LineBuffer> {
        self.scope.take_lines()
    }

    pub(crate) const fn generation(&self) -> u8 {
        self.scope.traits.generation
    }

    /// Waits for the handler's end, the deadline, or a cancellation. Each poll tries the handler first,
    /// so a handler that is done when its deadline passes counts as done. Dropping this future leaves
    /// the handler's where it is; [`Self::discard`] ends it.
    pub(crate) async fn wait(&mut self, limits: Limits<'_>) -> Ending {
        let mut passed = pin!(passed(limits.deadline));
        // Lazily, so that a handler that never waits costs no registration.
        let mut cancelled = pin!(cancelled(limits.stop, self.scope.cancel.clone()));
        // Every execution passes here; the moves that `select!` makes would cost more than all the rest.
        let ending = poll_fn(|cx| {
            // Without budget, everything the handler waits for reports that it is pending: the handler would be
            // cut off although it is done.
            if !has_budget_remaining() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let ended = self.poll(cx);
            if ended.is_ready() {
                spend_budget(cx);
                return ended;
            }
            if passed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ending::DeadlinePassed);
            }
            cancelled.as_mut().poll(cx).map(|()| Ending::Cancelled)
        });
        match ending.await {
            Ending::Cancelled => self.wait_in_grace(&limits).await,
            ending => ending,
        }
    }

    /// Waits for a cancelled handler during its grace. The deadline still ends it, but as cancelled.
    async fn wait_in_grace(&mut self, limits: &Limits<'_>) -> Ending {
        if limits.grace.is_zero() {
            return Ending::Cancelled;
        }
        // Create the token if need be: a handler that asks only now must see the cancellation too.
        self.scope.cancel.get_or_insert_default().cancel();
        let until = tokio::time::Instant::now().checked_add(limits.grace);
        let until = [until, limits.deadline].into_iter().flatten().min();
        tokio::select! {
            biased;
            ending = poll_fn(|cx| self.poll(cx)) => ending,
            () = passed(until) => Ending::Cancelled,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let polled = match self.stopwatch {
            None => self.poll_handler(cx),
            Some(_) => {
                let begun = Instant::now();
                let polled = self.poll_handler(cx);
                self.stopwatch
                    .get_or_insert_default()
                    .add(begun, Instant::now());
                polled
            }
        };
        self.is_finished = !matches!(polled, Ok(Poll::Pending));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(returned)) => Poll::Ready(Ending::Returned(returned)),
            Err(caught) => Poll::Ready(Ending::Panicked(caught)),
        }
    }

    fn poll_handler(&mut self, cx: &mut Context<'_>) -> Result<Poll<HandlerResult>, Box<Caught>> {
        let Self {
            command,
            future,
            in_drop,
            scope,
            span,
            ..
        } = self;
        let command = command.as_ref().expect("there until it is dropped");
        let _execution = scope.enter();
        let _span = span.enter();
        let mut returned = None;
        let caught = catch(|| {
            let running = future.get_or_insert_with(|| command.start());
            if let Poll::Ready(result) = running.as_mut().poll(cx) {
                returned = Some(result);
                // Drop it in here: entering all this again would cost as much as the poll.
                drop(future.take());
            }
        });
        match (returned, caught) {
            (None, Ok(())) => Ok(Poll::Pending),
            (None, Err(caught)) => {
                *in_drop = drop_caught(future);
                Err(caught)
            }
            (Some(returned), caught) => {
                *in_drop = caught.err();
                Ok(Poll::Ready(returned))
            }
        }
    }

    /// Drops the handler's future, if it is still there. Catches and returns a panic of this or an earlier drop.
    pub(crate) fn discard(&mut self) -> Option<Box<Caught>> {
        if self.future.is_some() {
            self.scope.forget_waits();
            let _execution = self.scope.enter();
            let _span = self.span.enter();
            self.in_drop = drop_caught(&mut self.future);
        }
        // Tasks that it spawned, and the thread that it leaves behind, may listen.
        if let (false, Some(token)) = (self.is_finished, &self.scope.cancel) {
            token.cancel();
        }
        self.in_drop.take()
    }
}

fn drop_caught(future: &mut Option<BorrowingFuture<'_>>) -> Option<Box<Caught>> {
    let future = future.take();
    catch(move || drop(future)).err()
}

impl Drop for Watched<'_> {
    /// Catches a panic in the destructor of the event's payload, which is user code.
    fn drop(&mut self) {
        drop_quietly(self.command.take());
    }
}

fn reason_of(command: &Command) -> Arc<str> {
    match &command.details().guard_description {
        Some(description) => Arc::from(format!("guard: {description}")),
        None => Arc::from("guard: not now"),
    }
}

/// Spends a unit of the task's budget, if one is left: a loop over executions that are ready at once then yields to
/// other tasks, as at any other await.
fn spend_budget(cx: &mut Context<'_>) {
    if has_budget_remaining()
        && let Poll::Ready(spent) = poll_proceed(cx)
    {
        spent.made_progress();
    }
}

/// Completes when the service, a request, the caller or a later run cancels this one. Like the deadline, it is outside the
/// handler's budget.
async fn cancelled(stop: Stop<'_>, successor: Option<CancellationToken>) {
    let Some(successor) = successor else {
        return unconstrained(stop.cancelled()).await;
    };
    let either = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = successor.cancelled() => {}
        }
    };
    unconstrained(either).await;
}

/// Completes when the deadline passes; never without one. The first poll creates the timer, so a handler
/// that is done by then needs none.
async fn passed(deadline: Option<tokio::time::Instant>) {
    match deadline {
        // Outside the handler's budget, to cut off a handler that has used it up.
        Some(at) => unconstrained(sleep_until(at)).await,
        None => pending().await,
    }
}
