//! Which executions are recorded: everything, or what is remarkable.

use std::time::Duration;

use executor_core::ports::ExecutionEnd;
use executor_core::{SourceTier, Status};

/// Which executions of a tier are recorded. What is left out is counted, exactly and per listener and
/// job, as `filtered`.
///
/// ```
/// use std::time::Duration;
/// use executor_service::{Config, Recording};
///
/// let config = Config {
///     record_framework: Recording::Anomalies {
///         slower_than: Duration::from_secs(1),
///         sample_one_in: 100,
///     },
///     ..Config::default()
/// };
/// assert_eq!(config.record_app, Recording::All);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Recording {
    /// Every execution. The default.
    #[default]
    All,
    /// Every outcome but `success`, every success slower than a threshold, and a sample of the others.
    Anomalies {
        /// A success that took longer is recorded.
        #[cfg_attr(
            feature = "serde",
            serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")
        )]
        slower_than: Duration,
        /// Of the other successes one in so many is recorded, by chance; 0 records none of them.
        sample_one_in: u32,
    },
}

impl Recording {
    /// Whether the record of this end is to be kept. `drawn` is asked for a number below its argument.
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
    pub(crate) fn keeps(self, end: &ExecutionEnd<'_>) -> bool {
        let recording = match end.start.source_tier {
            SourceTier::App => self.app,
            SourceTier::Framework => self.framework,
        };
        recording.keeps(end, |below| fastrand::u32(..below))
    }
}
