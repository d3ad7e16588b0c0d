//! Limits the history: derives pruning rules from the settings, and runs the task that makes the store apply them
//! at the start and every hour, one slice at a time.

mod clock_trust;

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{ClockTrust, Lifetime, LinesBound, PruneRule, PruneSlice, Store};
use executor_core::{Clock, SessionId, Timestamp};

use crate::drain::guarded::guarded;
use crate::lifecycle::supervise::{Fault, Supervised};
use crate::retention::clock_trust::{ClockWatch, doubt_at_start};

/// Limits on the history.
///
/// ```
/// use std::time::Duration;
/// use executor_service::Retention;
///
/// let retention = Retention {
///     max_age: Some(Duration::from_secs(86_400)),
///     max_age_of_failures: Some(Duration::from_secs(30 * 86_400)),
///     ..Retention::default()
/// };
/// assert_eq!(retention.max_bytes, Some(500_000_000));
/// assert_eq!(Retention::FOR_EVER.max_age, None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Retention {
    /// The time for which executions are kept after they ended. Default 7 days; `None` for ever.
    #[cfg_attr(
        feature = "serde",
        serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")
    )]
    pub max_age: Option<Duration>,
    /// The time for which executions are kept that neither succeeded nor were skipped. Default `None`: as long as
    /// the others. A shorter time than `max_age` has no effect.
    #[cfg_attr(
        feature = "serde",
        serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")
    )]
    pub max_age_of_failures: Option<Duration>,
    /// The time for which the history keeps everything else that is older than its executions: sessions, losses, missed
    /// runs, pauses, prunes, sources and rollups. Default 400 days; `None` for ever.
    #[cfg_attr(
        feature = "serde",
        serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")
    )]
    pub history_max_age: Option<Duration>,
    /// The time for which what executions said is kept after they ended. Default `None`: as long as the executions.
    #[cfg_attr(
        feature = "serde",
        serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")
    )]
    pub lines_max_age: Option<Duration>,
    /// The number of newest executions kept for each listener and job. Default `None`: all.
    pub max_per_entity: Option<u32>,
    /// The maximum size of the database in bytes, including the write-ahead log. Default 500 MB; `None` without
    /// limit. What executions said takes at most half of that, and that of one listener or job an eighth; the oldest
    /// goes first, and its executions stay.
    pub max_bytes: Option<u64>,
    /// The interval at which the rules are applied. Default one hour.
    #[cfg_attr(
        feature = "serde",
        serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")
    )]
    pub every: Duration,
    /// The number of rows deleted per transaction. Default 500, which takes some ten milliseconds.
    pub slice_rows: u32,
}

impl Retention {
    /// Keeps everything.
    pub const FOR_EVER: Self = Self {
        max_age: None,
        max_age_of_failures: None,
        history_max_age: None,
        lines_max_age: None,
        max_per_entity: None,
        max_bytes: None,
        every: Duration::from_secs(3_600),
        slice_rows: 500,
    };

    /// Returns the rules as of `now`; those that delete most with least work come first, and `lines` beyond their share
    /// go before executions make room.
    fn rules(&self, now: Timestamp, lines: &[LinesBound]) -> Vec<PruneRule> {
        let before = |age: Duration| now.saturating_sub(age);
        let of_failures = self.max_age_of_failures.or(self.max_age);
        let of_all = match (self.max_age, of_failures) {
            (Some(age), Some(failures)) => Some(age.max(failures)),
            _ => None,
        };
        let well = self.max_age.filter(|age| of_all != Some(*age));
        let rules = [
            of_all.map(|age| PruneRule::EndedBefore(before(age))),
            well.map(|age| PruneRule::WentWellBefore(before(age))),
            self.max_age.map(|age| PruneRule::GoneBefore(before(age))),
            self.history_max_age
                .map(|age| PruneRule::HistoryBefore(before(age))),
            self.max_per_entity.map(PruneRule::AllButNewest),
            self.lines_max_age
                .map(|age| PruneRule::LinesBefore(before(age))),
        ];
        let lines = lines.iter().copied().map(PruneRule::LinesUntil);
        let of_size = self.max_bytes.map(PruneRule::LargerThan);
        let rules = rules.into_iter().flatten();
        rules.chain(lines).chain(of_size).collect()
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            max_age: Some(Duration::from_secs(7 * 86_400)),
            max_bytes: Some(500_000_000),
            history_max_age: Some(Duration::from_secs(400 * 86_400)),
            ..Self::FOR_EVER
        }
    }
}

/// Makes the store apply the rules. A rule that fails is tried again the next time.
pub(crate) struct Pruning {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) retention: Retention,
    pub(crate) session: SessionId,
    /// `None` until the history was asked for earlier clock readings.
    pub(crate) watch: Option<ClockWatch>,
}

/// The number of sessions to ask for what the clock showed: enough for an hour of run time, unless each lasts less
/// than a few seconds.
const SESSIONS_ASKED: u32 = 1_000;

/// The delay before an unavailable store is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The interval at which a doubted clock is checked, so that it is not doubted longer than necessary.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(60);

impl Supervised for Pruning {
    const NAME: &'static str = "pruning";

    async fn run(&mut self) -> Result<(), Fault> {
        loop {
            let clock = self.look_at_clock().await;
            self.apply_rules(clock).await;
            self.rest(clock).await;
        }
    }
}

impl Pruning {
    async fn look_at_clock(&mut self) -> ClockTrust {
        if self.watch.is_none() {
            let lifetimes = self.lifetimes().await;
            let doubt = doubt_at_start(&lifetimes, self.clock.now().wall);
            if !doubt.is_zero() {
                tracing::warn!(
                    ?doubt,
                    "the clock is far from the newest sign of life in the history; nothing is pruned by age for now"
                );
            }
            self.watch = Some(ClockWatch::new(self.clock.as_ref(), doubt));
        }
        let watch = self.watch.as_mut().expect("just set");
        watch.look(self.clock.as_ref())
    }

    /// Returns the lifetimes of earlier sessions. Asks until the store answers: without it nothing can be pruned
    /// either.
    async fn lifetimes(&self) -> Vec<Lifetime> {
        loop {
            let ask = || self.store.lifetimes(SESSIONS_ASKED);
            match guarded("reading the lifetimes of sessions", ask).await {
                Ok(mut lifetimes) => {
                    lifetimes.retain(|lifetime| lifetime.session != self.session);
                    return lifetimes;
                }
                Err(_) => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }

    async fn apply_rules(&self, clock: ClockTrust) {
        let now = self.clock.now().wall;
        let lines = self.lines_beyond(now).await;
        for rule in self.retention.rules(now, &lines) {
            if clock == ClockTrust::Doubted && goes_by_age(rule) {
                continue;
            }
            let slice = PruneSlice {
                now,
                clock,
                session: Some(self.session),
                ..PruneSlice::new(rule, self.retention.slice_rows)
            };
            prune(self.store.as_ref(), slice).await;
        }
    }

    /// Returns what executions said beyond its share of the size.
    async fn lines_beyond(&self, now: Timestamp) -> Vec<LinesBound> {
        let Some(max) = self.retention.max_bytes else {
            return Vec::new();
        };
        let ask = || self.store.lines_beyond(now, max / 2, max / 8);
        match guarded("measuring lines", ask).await {
            Ok(bounds) => bounds,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "could not measure lines, will try again next time");
                Vec::new()
            }
        }
    }

    /// Rests until the next time. Checks a doubted clock more often, because rules by age wait for it.
    async fn rest(&mut self, was: ClockTrust) {
        let until = self.clock.monotonic() + self.retention.every;
        while self.clock.monotonic() < until {
            let left = until.saturating_duration_since(self.clock.monotonic());
            tokio::time::sleep(left.min(LOOK_AT_CLOCK)).await;
            if was == ClockTrust::Doubted && self.look_at_clock().await == ClockTrust::Trusted {
                return;
            }
        }
    }
}

/// Returns whether a rule depends on the wall clock.
const fn goes_by_age(rule: PruneRule) -> bool {
    match rule {
        PruneRule::EndedBefore(_)
        | PruneRule::WentWellBefore(_)
        | PruneRule::GoneBefore(_)
        | PruneRule::HistoryBefore(_)
        | PruneRule::LinesBefore(_) => true,
        PruneRule::AllButNewest(_) | PruneRule::LargerThan(_) | PruneRule::LinesUntil(_) => false,
    }
}

async fn prune(store: &dyn Store, slice: PruneSlice) {
    let rule = slice.rule;
    let mut gone = 0_u64;
    loop {
        match guarded("pruning old records", || store.prune(slice)).await {
            Ok(0) => break,
            Ok(rows) => gone += rows,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    error,
                    ?rule,
                    "could not prune old records, will try again next time"
                );
                break;
            }
        }
    }
    if gone > 0 {
        tracing::info!(gone, ?rule, "pruned old records");
    }
}

#[cfg(test)]
mod tests;
