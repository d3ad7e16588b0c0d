//! Services that fail are started again, within a budget.
//!
//! What a failure means is a table ([`State::next`]), doing it is a loop around the service. A service
//! keeps its state across its failures: it is run by reference, and a panic unwinds only its run.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use executor_core::Clock;
use tokio::time::{Instant, sleep};

use crate::lifecycle::health::HealthState;

/// So many failures are followed by another start.
const RESTARTS_MAX: u32 = 3;

/// A service that was up for so long has its earlier failures forgiven.
const PERIOD: Duration = Duration::from_secs(120);

/// How long a service rests after its first failure; twice as long after each further one.
const FIRST_REST: Duration = Duration::from_millis(100);

/// Why a service ended that should have gone on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) String);

/// Something that runs for as long as the executor does, or until its work is done.
pub(crate) trait Supervised: Send + 'static {
    /// Its name in logs and health reports.
    const NAME: &'static str;

    /// Works. `Ok` is an ordinary exit, an error or a panic a failure; after one it is called again
    /// and finds what it had.
    fn run(&mut self) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Where a service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It runs, since then, after so many failures that are not forgiven.
    Up { since: Instant, failures: u32 },
    /// It failed and is started again after `rest`.
    Resting { rest: Duration, failures: u32 },
    /// It ended as it should. Final.
    Ended,
    /// It failed too often. Final.
    Exhausted,
}

/// What may happen to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// Its run ended in order.
    Exited,
    /// Its run failed.
    Failed,
    /// Its rest is over.
    Rested,
}

impl State {
    pub(crate) const fn first(now: Instant) -> Self {
        Self::Up {
            since: now,
            failures: 0,
        }
    }

    /// The table. What cannot happen in a state changes nothing.
    pub(crate) fn next(self, happened: Happened, now: Instant) -> Self {
        match (self, happened) {
            (Self::Up { .. }, Happened::Exited) => Self::Ended,
            (Self::Up { since, failures }, Happened::Failed) => {
                let is_forgiven = now.saturating_duration_since(since) >= PERIOD;
                let failures = if is_forgiven { 1 } else { failures + 1 };
                if failures > RESTARTS_MAX {
                    return Self::Exhausted;
                }
                let rest = FIRST_REST * 2_u32.pow(failures - 1);
                Self::Resting { rest, failures }
            }
            (Self::Resting { failures, .. }, Happened::Rested) => Self::Up {
                since: now,
                failures,
            },
            (state, _) => state,
        }
    }
}

/// Runs a service until it ends in order or has failed too often.
pub(crate) async fn supervise<S: Supervised>(
    mut service: S,
    health: Arc<HealthState>,
    clock: Arc<dyn Clock>,
) {
    let mut state = State::first(clock.monotonic());
    loop {
        let happened = match state {
            State::Up { .. } => run_once(&mut service).await,
            State::Resting { rest, .. } => {
                sleep(rest).await;
                Ok(Happened::Rested)
            }
            State::Ended | State::Exhausted => return,
        };
        let (happened, fault) = match happened {
            Ok(happened) => (happened, None),
            Err(fault) => (Happened::Failed, Some(fault)),
        };
        state = state.next(happened, clock.monotonic());
        if let Some(fault) = fault {
            health.service_failed(S::NAME, &fault.0, state == State::Exhausted);
            // Whoever listens to the log may be what failed.
            let _ = catch_unwind(AssertUnwindSafe(|| say(S::NAME, &fault, state)));
        }
    }
}

fn say(service: &str, Fault(fault): &Fault, state: State) {
    match state {
        State::Resting { rest, failures } => {
            tracing::error!(
                service,
                fault,
                failures,
                ?rest,
                "service failed, restarting"
            );
        }
        _ => tracing::error!(service, fault, "service failed too often and was given up"),
    }
}

/// A panic is a failure of the run and goes no further.
async fn run_once<S: Supervised>(service: &mut S) -> Result<Happened, Fault> {
    let mut run = pin!(service.run());
    let ended = poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(cx))) {
            Ok(polled) => polled,
            Err(payload) => Poll::Ready(Err(Fault(text_of(payload.as_ref())))),
        },
    );
    ended.await.map(|()| Happened::Exited)
}

fn text_of(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!(
        "panicked: {}",
        text.unwrap_or("with something that is no text")
    )
}

#[cfg(test)]
mod tests;
