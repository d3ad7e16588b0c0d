//! Judges an ending: decides the outcome, the flags, and the failure for an error handler. Pure:
//! [`crate::run::poll`] gathers the facts, and [`crate::run`] acts on the verdict.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::{ErrorKind, Failure, HandlerError};
use crate::identity::SourceTier;
use crate::outcome::{Outcome, TimeoutOrigin};
use crate::panics::{Caught, drop_quietly};
use crate::record::RecordFlags;
use crate::redact::{Redactor, TextKind};
use crate::run::poll::Ending;

/// The terms on which the verdict depends.
pub(crate) struct Terms<'t> {
    pub(crate) tier: SourceTier,
    pub(crate) timeout: Option<Duration>,
    /// Polls longer than this are held against the handler.
    pub(crate) slow_poll: Option<Duration>,
    /// It was still waiting for a blocking thread when it was ended.
    pub(crate) got_no_thread: bool,
    /// The hook that redacts texts.
    pub(crate) redactor: &'t Redactor,
}

/// The measured times of an execution.
pub(crate) struct Times {
    /// From the first poll to the end, by the clock that tests can pause.
    pub(crate) duration: Duration,
    /// The same by the machine's clock, which a blocked thread cannot stop.
    pub(crate) real: Duration,
    /// The longest single poll, by the machine's clock.
    pub(crate) longest_poll: Duration,
}

pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    pub(crate) flags: RecordFlags,
    /// The error that the handler returned, for an error handler.
    pub(crate) error: Option<Arc<HandlerError>>,
    /// The failure with its full report, even if the record leaves that out.
    pub(crate) full: Option<Arc<Failure>>,
}

impl Verdict {
    fn plain(outcome: Outcome) -> Self {
        Self {
            full: outcome.failure().cloned(),
            outcome,
            flags: RecordFlags::default(),
            error: None,
        }
    }
}

/// Judges how an execution ended. `in_drop` is a panic of the handler's future while it was dropped: it
/// turns a success into `panicked` and leaves every other outcome as it was.
pub(crate) fn judge(
    ending: Ending,
    in_drop: Option<Box<Caught>>,
    terms: &Terms<'_>,
    times: &Times,
) -> Verdict {
    let finished = matches!(ending, Ending::Returned(_) | Ending::Panicked(_));
    let mut verdict = match ending {
        Ending::Returned(Ok(())) => Verdict::plain(Outcome::Success),
        Ending::Returned(Err(error)) => returned(error, terms),
        Ending::Panicked(caught) => Verdict::plain(panicked(*caught, terms.redactor)),
        Ending::DeadlinePassed if terms.got_no_thread => {
            let failure = Arc::new(Failure::no_thread());
            Verdict::plain(Outcome::TimedOut(TimeoutOrigin::Queue, failure))
        }
        Ending::DeadlinePassed => {
            let failure = Arc::new(Failure::deadline());
            Verdict::plain(Outcome::TimedOut(TimeoutOrigin::Deadline, failure))
        }
        Ending::Cancelled => Verdict::plain(Outcome::Cancelled),
        Ending::Skipped(reason) => {
            let reason = terms.redactor.apply_shared(TextKind::Message, reason);
            Verdict::plain(Outcome::Skipped(reason))
        }
    };
    if let Some(caught) = in_drop {
        let outcome = panicked(*caught, terms.redactor);
        if verdict.outcome == Outcome::Success {
            verdict = Verdict::plain(outcome);
        }
    }
    let took = times.duration.max(times.real);
    verdict.flags.overran = finished && terms.timeout.is_some_and(|timeout| took > timeout);
    verdict.flags.blocked = terms
        .slow_poll
        .filter(|most| times.longest_poll > *most)
        .map(|_| times.longest_poll);
    if let Outcome::TimedOut(origin, _) = verdict.outcome {
        verdict.flags.timeout_origin = Some(origin);
    }
    verdict
}

fn returned(error: HandlerError, terms: &Terms<'_>) -> Verdict {
    let kind = error.kind();
    let full = Failure::from_error(&error, terms.redactor);
    let is_announced = matches!(kind, ErrorKind::Known | ErrorKind::Dependency);
    let failure = Arc::new(match terms.tier {
        SourceTier::App if is_announced => full.clone().without_report(),
        SourceTier::App | SourceTier::Framework => full.clone(),
    });
    let outcome = match kind {
        ErrorKind::TimedOut => Outcome::TimedOut(TimeoutOrigin::Handler, failure),
        ErrorKind::Unexpected | ErrorKind::Known | ErrorKind::Dependency => Outcome::Error(failure),
    };
    Verdict {
        outcome,
        flags: RecordFlags {
            is_di_failure: kind == ErrorKind::Dependency,
            ..RecordFlags::default()
        },
        error: Some(Arc::new(error)),
        full: Some(Arc::new(full)),
    }
}

fn panicked(caught: Caught, redactor: &Redactor) -> Outcome {
    let place = caught.place.as_deref();
    let failure = Failure::from_panic(caught.payload.as_ref(), place, redactor);
    drop_quietly(caught.payload);
    Outcome::Panicked(Arc::new(failure))
}
