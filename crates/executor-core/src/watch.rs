//! Watches one handler's future: polls it where panics cannot escape, and waits for whichever
//! comes first, its end, the deadline or a cancellation. What the ending means is decided in
//! [`crate::verdict`].

use std::future::pending;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::unconstrained;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::command::Command;
use crate::context;
use crate::handler::{HandlerFuture, HandlerResult};
use crate::identity::ExecutionId;
use crate::panics::{Caught, catch};

/// How the watching ended.
pub(crate) enum Ending {
    Returned(HandlerResult),
    Panicked(Caught),
    DeadlinePassed,
    Cancelled,
}

/// User code under watch. It runs, and is dropped, with its execution id and span set.
pub(crate) struct Watched {
    command: Command,
    /// Made at the first poll: a handler may panic before it returns its future.
    future: Option<HandlerFuture>,
    id: ExecutionId,
    span: Span,
    stopwatch: Option<Stopwatch>,
}

/// Times polls by the machine's clock, which neither paused time nor a blocked thread stops.
#[derive(Clone, Copy, Default)]
pub(crate) struct Stopwatch {
    first: Option<Instant>,
    pub(crate) longest: Duration,
    /// From the beginning of the first poll to the end of the last one.
    pub(crate) total: Duration,
}

impl Stopwatch {
    fn add(&mut self, begun: Instant, ended: Instant) {
        let first = *self.first.get_or_insert(begun);
        self.longest = self.longest.max(ended - begun);
        self.total = ended - first;
    }
}

impl Watched {
    pub(crate) const fn new(
        command: Command,
        id: ExecutionId,
        span: Span,
        stopwatch: Option<Stopwatch>,
    ) -> Self {
        Self {
            command,
            future: None,
            id,
            span,
            stopwatch,
        }
    }

    pub(crate) const fn command(&self) -> &Command {
        &self.command
    }

    pub(crate) const fn id(&self) -> ExecutionId {
        self.id
    }

    /// What the polls took; nothing where they are not timed.
    pub(crate) fn stopwatch(&self) -> Stopwatch {
        self.stopwatch.unwrap_or_default()
    }

    /// Waits for the first of the three. The handler is asked first each time, so that one that
    /// is done when its deadline passes counts as done. Dropping this future leaves the handler's
    /// where it is; [`Self::discard`] ends it.
    pub(crate) async fn wait(
        &mut self,
        deadline: Option<tokio::time::Instant>,
        stop: &CancellationToken,
    ) -> Ending {
        tokio::select! {
            biased;
            ending = std::future::poll_fn(|cx| self.poll(cx)) => ending,
            () = passed(deadline) => Ending::DeadlinePassed,
            // Lazily, so that a handler that never waits costs no registration.
            () = async { unconstrained(stop.cancelled()).await } => Ending::Cancelled,
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
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(returned)) => Poll::Ready(Ending::Returned(returned)),
            Err(caught) => Poll::Ready(Ending::Panicked(caught)),
        }
    }

    fn poll_handler(&mut self, cx: &mut Context<'_>) -> Result<Poll<HandlerResult>, Caught> {
        let Self {
            command,
            future,
            id,
            span,
            ..
        } = self;
        let _execution = context::enter(Some(*id));
        let _span = span.enter();
        catch(|| {
            future
                .get_or_insert_with(|| command.start())
                .as_mut()
                .poll(cx)
        })
    }

    /// Drops the handler's future. If that panics, the panic ends here and is returned.
    pub(crate) fn discard(&mut self) -> Option<Caught> {
        let _execution = context::enter(Some(self.id));
        let _span = self.span.enter();
        let future = self.future.take();
        catch(move || drop(future)).err()
    }
}

/// Ends when the deadline passes; never without one. The timer is made at the first poll, so a
/// handler that is done by then costs none.
async fn passed(deadline: Option<tokio::time::Instant>) {
    match deadline {
        // Outside of the handler's budget: a handler that has used it up is the one to cut off.
        Some(at) => unconstrained(sleep_until(at)).await,
        None => pending().await,
    }
}
