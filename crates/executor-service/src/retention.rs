//! How long the history is kept: which rules follow from the settings, and the task that has the store
//! apply them, at the start and every hour, a slice at a time.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{PruneRule, PruneSlice, Store};
use executor_core::{Clock, Timestamp};

use crate::guarded::guarded;
use crate::supervise::{Fault, Supervised};

/// How long the history is kept. Its rollups are kept for good.
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
    /// How long executions are kept after they ended. Default 7 days; `None` for ever.
    #[cfg_attr(
        feature = "serde",
        serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")
    )]
    pub max_age: Option<Duration>,
    /// How long those are kept that neither succeeded nor were skipped. Default `None`: as long as the
    /// others. A shorter time than `max_age` has no effect.
    #[cfg_attr(
        feature = "serde",
        serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")
    )]
    pub max_age_of_failures: Option<Duration>,
    /// How many executions of each listener and job are kept, the newest. Default `None`: all.
    pub max_per_entity: Option<u32>,
    /// How large the database may be, in bytes, write-ahead log included. Default 500 MB; `None`
    /// without limit.
    pub max_bytes: Option<u64>,
    /// How often this is looked after. Default every hour.
    #[cfg_attr(
        feature = "serde",
        serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")
    )]
    pub every: Duration,
    /// How many rows are deleted in one transaction. Default 500: some ten milliseconds.
    pub slice_rows: u32,
}

impl Retention {
    /// Nothing is ever let go.
    pub const FOR_EVER: Self = Self {
        max_age: None,
        max_age_of_failures: None,
        max_per_entity: None,
        max_bytes: None,
        every: Duration::from_secs(3_600),
        slice_rows: 500,
    };

    /// The rules at this time, those first that let most go with least work.
    fn rules(&self, now: Timestamp) -> Vec<PruneRule> {
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
            self.max_per_entity.map(PruneRule::AllButNewest),
            self.max_bytes.map(PruneRule::LargerThan),
        ];
        rules.into_iter().flatten().collect()
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            max_age: Some(Duration::from_secs(7 * 86_400)),
            max_bytes: Some(500_000_000),
            ..Self::FOR_EVER
        }
    }
}

/// Has the store keep to the rules. What fails is tried again the next time.
pub(crate) struct Pruning {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) retention: Retention,
}

impl Supervised for Pruning {
    const NAME: &'static str = "pruning";

    async fn run(&mut self) -> Result<(), Fault> {
        loop {
            for rule in self.retention.rules(self.clock.now().wall) {
                prune(self.store.as_ref(), rule, self.retention.slice_rows).await;
            }
            tokio::time::sleep(self.retention.every).await;
        }
    }
}

async fn prune(store: &dyn Store, rule: PruneRule, max_rows: u32) {
    let slice = PruneSlice { rule, max_rows };
    let mut gone = 0_u64;
    loop {
        match guarded("pruning old records", || store.prune(slice)).await {
            Ok(0) => break,
            Ok(rows) => gone += rows,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, ?rule, "old records could not be pruned; next time");
                break;
            }
        }
    }
    if gone > 0 {
        tracing::info!(gone, ?rule, "old records were pruned");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn the_rules_follow_from_the_settings() {
        let now = Timestamp::from_micros(1_767_225_600_000_000);
        let ago = |days: u32| now.saturating_sub(DAY * days);
        let rules = |max_age, max_age_of_failures| {
            let retention = Retention {
                max_age,
                max_age_of_failures,
                ..Retention::FOR_EVER
            };
            retention.rules(now)
        };
        assert_eq!(rules(None, None), []);
        assert_eq!(rules(None, Some(DAY)), [], "all are kept for ever");
        assert_eq!(rules(Some(DAY), None), [PruneRule::EndedBefore(ago(1))]);
        let both = [
            PruneRule::EndedBefore(ago(9)),
            PruneRule::WentWellBefore(ago(1)),
        ];
        assert_eq!(rules(Some(DAY), Some(DAY * 9)), both);
        assert_eq!(
            rules(Some(DAY * 9), Some(DAY)),
            [PruneRule::EndedBefore(ago(9))]
        );
        let by_default = Retention::default().rules(now);
        let expected = [
            PruneRule::EndedBefore(ago(7)),
            PruneRule::LargerThan(500_000_000),
        ];
        assert_eq!(by_default, expected);
    }
}
