//! Selects which executions are recorded: all, or only the remarkable ones.

use std::time::Duration;

use executor_core::ports::ExecutionEnd;
use executor_core::{SourceTier, Status};

/// Selects which executions of a tier are recorded. The others are counted exactly, per listener and job, as
/// `filtered`.
///
/// ```
/// use std::time::Duration;
/// use executor_service::{Config, Recording};
///
/// let config = Config::default().with_record_framework(Recording::Anomalies {
///     slower_than: Duration::from_secs(1),
///     sample_one_in: 100,
/// });
/// assert_eq!(config.record_app, Recording::All);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Recording {
    /// Every execution. The default.
    #[default]
    All,
    /// Every outcome except `success`, every success slower than a threshold, and a sample of the other successes.
    Anomalies {
        /// Records a success that took longer than this.
        #[cfg_attr(
            feature = "serde",
            serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")
        )]
        slower_than: Duration,
        /// Records one in this many of the other successes, at random; 0 records none.
        sample_one_in: u32,
    },
}

impl Recording {
    /// Returns whether to keep the record of this end. `drawn` returns a random number below its argument.
    pub(crate) fn keeps(self, end: &ExecutionEnd<'_>, drawn: impl FnOnce(u32) -> u32) -> bool {
        match self {
            Self::All => true,
            Self::Anomalies {
                slower_than,
                sample_one_in,
            } => {
                end.status != Status::Success
                    || end.duration > slower_than
                    || (sample_one_in > 0 && drawn(sample_one_in) == 0)
            }
        }
    }
}

/// The policies of both tiers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Policy {
    pub(crate) app: Recording,
    pub(crate) framework: Recording,
}

impl Policy {
    const fn of(self, tier: SourceTier) -> Recording {
        match tier {
            SourceTier::App => self.app,
            SourceTier::Framework => self.framework,
        }
    }

    /// Returns whether every execution of a tier is recorded.
    pub(crate) fn keeps_all(self, tier: SourceTier) -> bool {
        self.of(tier) == Recording::All
    }

    pub(crate) fn keeps(self, end: &ExecutionEnd<'_>) -> bool {
        let recording = self.of(end.start.source_tier);
        recording.keeps(end, |below| fastrand::u32(..below))
    }
}
