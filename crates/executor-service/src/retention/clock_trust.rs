//! Whether the wall clock may decide what is deleted. One that was set is wrong by days or years, and then what is
//! young looks old: nothing is pruned by age until the clock has held for an hour of run time.
//!
//! At a start the clock is compared with the newest sign of life in the history, later on with the machine's own
//! count of time since it booted. Pure decisions; who asks and who prunes is in [`crate::retention`].

use std::time::Duration;

use executor_core::Clock;
use executor_core::Timestamp;
use executor_core::ports::{ClockTrust, Lifetime};
use executor_core::time::micros;
use tokio::time::Instant;

/// How long the clock is doubted, in run time.
pub(crate) const DOUBT: Duration = Duration::from_secs(3_600);

/// A start so long after the last sign of life is one at which the clock is doubted: machines are off for a night,
/// clocks are wrong by years.
const GAP_MAX: Duration = Duration::from_secs(86_400);

/// What the wall clock does otherwise than the count since boot by more than this, somebody has set.
const JUMP_MAX_US: u64 = 3_600_000_000;

/// For how much run time the clock is doubted at a start. `lifetimes` are those of earlier sessions, in the order
/// in which they were opened.
///
/// It is doubted where it shows a time before the newest sign of life, or one more than a day after it; and where
/// it did so at the start of an earlier session, as long as the sessions since then have not lasted for an hour
/// together.
pub(crate) fn doubt_at_start(lifetimes: &[Lifetime], now: Timestamp) -> Duration {
    let Some(first) = first_doubted(lifetimes, now) else {
        return Duration::ZERO;
    };
    let lasted = |it: &Lifetime| it.last_sign_at.saturating_duration_since(it.started_at);
    DOUBT.saturating_sub(lifetimes[first..].iter().map(lasted).sum())
}

/// Which was the first session by a clock that is doubted; as many as there are if it is the one that starts now.
fn first_doubted(lifetimes: &[Lifetime], now: Timestamp) -> Option<usize> {
    let newest = lifetimes.iter().map(|it| it.last_sign_at).max()?;
    if newest > now {
        let holder = lifetimes.iter().rposition(|it| it.last_sign_at == newest);
        return holder.map(|holder| holder + 1);
    }
    let starts = lifetimes.iter().map(|it| it.started_at).chain([now]);
    let (mut seen, mut first) = (None, None);
    for (place, start) in starts.enumerate() {
        let is_late = |seen: Timestamp| start.saturating_duration_since(seen) > GAP_MAX;
        if seen.is_some_and(is_late) {
            first = Some(place);
        }
        seen = seen.max(lifetimes.get(place).map(|it| it.last_sign_at));
    }
    first
}

/// Looks at the wall clock while the program runs.
pub(crate) struct ClockWatch {
    /// For how much run time it is still doubted.
    doubt: Duration,
    looked_at: Instant,
    /// How far it was ahead of the count since boot, in microseconds; `None` where there is no such count.
    ahead_us: Option<i64>,
}

impl ClockWatch {
    pub(crate) fn new(clock: &dyn Clock, doubt: Duration) -> Self {
        Self {
            doubt,
            looked_at: clock.monotonic(),
            ahead_us: ahead_us(clock),
        }
    }

    /// Looks at it once more.
    pub(crate) fn look(&mut self, clock: &dyn Clock) -> ClockTrust {
        let now = clock.monotonic();
        let passed = now.saturating_duration_since(self.looked_at);
        (self.doubt, self.looked_at) = (self.doubt.saturating_sub(passed), now);
        let (was, is) = (self.ahead_us, ahead_us(clock));
        self.ahead_us = is;
        if let (Some(was), Some(is)) = (was, is)
            && was.abs_diff(is) > JUMP_MAX_US
        {
            self.doubt = DOUBT;
            let by_seconds = is.saturating_sub(was) / 1_000_000;
            tracing::warn!(
                by_seconds,
                "the wall clock was set by more than an hour; nothing is pruned by age for an hour"
            );
        }
        if self.doubt.is_zero() {
            ClockTrust::Trusted
        } else {
            ClockTrust::Doubted
        }
    }
}

fn ahead_us(clock: &dyn Clock) -> Option<i64> {
    let since_boot = clock.since_boot()?;
    Some(
        clock
            .now()
            .wall
            .as_micros()
            .saturating_sub(micros(since_boot)),
    )
}

#[cfg(test)]
mod tests;
