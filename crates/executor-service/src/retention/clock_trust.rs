//! Judges whether the wall clock may decide what is deleted. A clock that was set may be wrong by days or years
//! and make young rows look old: nothing is pruned by age until the clock has held for an hour of run time.
//!
//! At a start the clock is compared with the newest sign of life in the history, later with the machine's own
//! count of time since boot. All decisions are pure; [`crate::retention`] asks and prunes.

use std::time::Duration;

use executor_core::ports::{ClockTrust, Lifetime};
use executor_core::time::micros;
use executor_core::{Clock, Timestamp};
use tokio::time::Instant;

/// The run time for which the clock is doubted.
pub(crate) const DOUBT: Duration = Duration::from_secs(3_600);

/// The longest gap between the last sign of life and a start at which the clock is still trusted: machines are off
/// for a night, clocks are wrong by years.
const GAP_MAX: Duration = Duration::from_secs(86_400);

/// If the wall clock and the count since boot diverge by more than this, somebody set the clock.
const JUMP_MAX_US: u64 = 3_600_000_000;

/// Returns for how much run time the clock is doubted at a start. `lifetimes` are those of earlier sessions, in
/// the order in which they were opened.
///
/// The clock is doubted if it is behind the newest sign of life or more than a day ahead of it. It is also doubted
/// if that was so at the start of an earlier session and the sessions since then have lasted less than an hour
/// together.
pub(crate) fn doubt_at_start(lifetimes: &[Lifetime], now: Timestamp) -> Duration {
    let Some(first) = first_doubted(lifetimes, now) else {
        return Duration::ZERO;
    };
    let lasted = |it: &Lifetime| it.last_sign_at.saturating_duration_since(it.started_at);
    DOUBT.saturating_sub(lifetimes[first..].iter().map(lasted).sum())
}

/// Returns the index of the first session under a doubted clock; `lifetimes.len()` if that is the session starting
/// now.
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
    /// The remaining run time for which the clock is doubted.
    doubt: Duration,
    looked_at: Instant,
    /// Its lead over the count since boot, in microseconds; `None` if there is no such count.
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

    /// Checks the clock again.
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
