//! Restarts services that fail, within a budget.
//!
//! A table ([`State::next`]) decides what a failure means; a loop around the service acts on it. A service keeps
//! its state across failures: it runs by reference, and a panic unwinds only its run.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use executor_core::Clock;
use tokio::time::{Instant, sleep};

use crate::lifecycle::health::HealthState;

/// The number of failures after which a service is still restarted.
const RESTARTS_MAX: u32 = 3;

/// A run of at least this length clears a service's earlier failures.
const PERIOD: Duration = Duration::from_secs(120);

/// The rest after a service's first failure; it doubles with each further one.
const FIRST_REST: Duration = Duration::from_millis(100);

/// The reason why a service ended unexpectedly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) String);

/// Something that runs for as long as the executor does, or until its work is done.
pub(crate) trait Supervised: Send + 'static {
    /// Its name in logs and health reports.
    const NAME: &'static str;

    /// Runs the service. `Ok` is an ordinary exit; an error or a panic is a failure, after which this is called
    /// again with the state as it was.
    fn run(&mut self) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// The state of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Running since `since`, after this many failures that are not forgiven.
    Up { since: Instant, failures: u32 },
    /// It failed and restarts after `rest`.
    Resting { rest: Duration, failures: u32 },
    /// It ended as it should. Final.
    Ended,
    /// It failed too often. Final.
    Exhausted,
}

/// An event in the life of a service.
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

    /// The transition table. An event that cannot happen in a state changes nothing.
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
            // The log subscriber may be the part that failed.
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

/// Runs the service once. A panic counts as a failure and goes no further.
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
        text.unwrap_or("with a payload that is not text")
    )
}

#[cfg(test)]
mod tests;
