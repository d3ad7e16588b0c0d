//! The service's settings: one plain struct, every default with its reason.

mod with;

use std::path::PathBuf;
use std::time::Duration;

use executor_core::{Durability, RunOptions};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::recording::Recording;
use crate::recovery::orphans::Orphans;
use crate::retention::Retention;

/// The service's settings. With the feature `serde` they can be read from a configuration file: every field is
/// optional, an unknown field is an error, and durations are written like `250ms` or `2h 30m`.
///
/// Take the defaults and change what matters:
///
/// ```
/// let config = executor_service::Config::default().with_queue_max(100_000);
/// assert_eq!(config.validate(), Ok(()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Config {
    /// The maximum number of records that wait in memory for their first try, including the batch that the drain
    /// holds. Default 1,000.
    pub queue_max: usize,
    /// The maximum number of records per transaction. Default 1,000: larger transactions gain nothing and hold the
    /// store's lock longer.
    pub batch_max: usize,
    /// How long the drain gathers records under low load. Default 250 ms. A record waits this long plus one
    /// commit; a record that arrives while a batch is being written also waits for that commit.
    #[cfg_attr(
        feature = "serde",
        serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")
    )]
    pub flush_interval: Duration,
    /// The maximum number of records that wait for a retry, on top of the queue. Default 10,000.
    pub retry_max_records: usize,
    /// The number of retries that the store may refuse before the batch is given up. Default 3. A store that does
    /// not answer uses up no retries.
    pub retry_max_attempts: u32,
    /// The longest time that `start` waits for the store. Default 30 s.
    #[cfg_attr(
        feature = "serde",
        serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")
    )]
    pub startup_timeout: Duration,
    /// The interval between heartbeats of the session. Default 30 s.
    #[cfg_attr(
        feature = "serde",
        serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")
    )]
    pub heartbeat_interval: Duration,
    /// The time limit for an error handler. Default 5 s.
    #[cfg_attr(
        feature = "serde",
        serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")
    )]
    pub error_handler_timeout: Duration,
    /// A poll that holds its runtime thread longer than this is recorded and named in a warning.
    /// Default 100 ms; `None` does not time polls.
    #[cfg_attr(
        feature = "serde",
        serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")
    )]
    pub slow_poll: Option<Duration>,
    /// How long a handler may take to return once a token or the shutdown has cancelled its execution. Default 0:
    /// it is dropped at once.
    #[cfg_attr(
        feature = "serde",
        serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")
    )]
    pub cancel_grace: Duration,
    /// Captures a backtrace for errors created inside executions and puts it at the start of their reports.
    /// Default no, whatever `RUST_BACKTRACE` says: rendering the first backtrace blocks a runtime thread for half
    /// a second.
    pub record_backtraces: bool,
    /// The maximum number of submitted commands that are waiting or running. Default 10,000.
    pub submitted_max: usize,
    /// The number of threads for blocking handlers. Default `min(32, cores + 4)`.
    pub blocking_threads: usize,
    /// The limits on the history. Default 7 days and 500 MB.
    pub retention: Retention,
    /// Selects which executions of the app tier are recorded. Default all.
    pub record_app: Recording,
    /// Selects which executions of the framework tier are recorded. Default all.
    pub record_framework: Recording,
    /// What becomes of programs that an earlier process left running when it was killed; they are found only with a
    /// spool. Default: they run on, and keep their places.
    pub orphans: Orphans,
    /// The place where records survive the process until they are stored. Default: beside the store.
    pub spool: SpoolPlace,
    /// The maximum size of the spool in bytes. Default 1 GiB; at least 32 MiB.
    pub spool_max_bytes: u64,
    /// The mode of the spool's files, as for `chmod`; whoever may read a directory may also search it. Default
    /// `0o600`, the owner alone. Existing files keep their mode.
    pub file_mode: u32,
    /// The failure that a record survives once its execution has returned. Default: the death of the process. At the
    /// level `power`, [`CommandExecutor::synced`](crate::CommandExecutor::synced) waits until it holds.
    #[cfg_attr(feature = "serde", serde(with = "DurabilityWord"))]
    pub durability: Durability,
    /// Makes `start` wait for the store. Default yes. Without a spool `start` always waits.
    pub wait_for_store: bool,
    /// The separator between the segments of a topic, for [`publish`](crate::CommandExecutor::publish). Default `.`.
    pub topic_separator: char,
    /// The number of completion events that a subscriber may lag behind before it misses some. Default 1,024.
    pub completions_max: usize,
}

/// The place where records survive the process until they are stored.
///
/// ```
/// use executor_service::{Config, SpoolPlace};
/// let config = Config::default().with_spool(SpoolPlace::At("/var/spool/house".into()));
/// assert_eq!(config.validate(), Ok(()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum SpoolPlace {
    /// Beside the store. A store without files on this machine, such as a server, gets a directory in the state
    /// directory of the unit or user: `$STATE_DIRECTORY`, `$XDG_STATE_HOME` or `~/.local/state`, below
    /// `command-executor`. An in-memory store gets no spool. The default.
    #[default]
    Beside,
    /// In this directory, which other processes that record into the same store may share.
    At(PathBuf),
    /// Nowhere: records that wait in memory die with the process.
    Memory,
}

/// Spells [`Durability`] for configurations; its own crate knows nothing of files.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(remote = "Durability", rename_all = "snake_case")]
enum DurabilityWord {
    Process,
    Power,
}

/// The minimum size of a spool: four segments of 8 MiB.
const SPOOL_BYTES_MIN: u64 = 32 << 20;

impl Default for Config {
    fn default() -> Self {
        Self {
            queue_max: 1_000,
            batch_max: 1_000,
            flush_interval: Duration::from_millis(250),
            retry_max_records: 10_000,
            retry_max_attempts: 3,
            startup_timeout: Duration::from_secs(30),
            heartbeat_interval: Duration::from_secs(30),
            error_handler_timeout: Duration::from_secs(5),
            slow_poll: RunOptions::default().slow_poll,
            cancel_grace: Duration::ZERO,
            record_backtraces: false,
            submitted_max: 10_000,
            blocking_threads: executor_core::blocking::default_threads(),
            retention: Retention::default(),
            record_app: Recording::All,
            record_framework: Recording::All,
            orphans: Orphans::Leave,
            spool: SpoolPlace::Beside,
            spool_max_bytes: 1 << 30,
            file_mode: 0o600,
            durability: Durability::Process,
            wait_for_store: true,
            topic_separator: '.',
            completions_max: 1_024,
        }
    }
}

/// Every problem of a configuration at once.
///
/// ```
/// let config = executor_service::Config::default().with_queue_max(0).with_batch_max(0);
/// let problems = config.validate().unwrap_err().problems;
/// assert_eq!(problems[0], "queue_max must be more than zero");
/// assert_eq!(problems.len(), 2);
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("invalid configuration: {}", problems.join("; "))]
#[non_exhaustive]
pub struct ConfigError {
    /// One sentence per problem, beginning with the field's name.
    pub problems: Vec<String>,
}

impl Config {
    /// Checks that all values make sense.
    ///
    /// # Errors
    ///
    /// Lists every problem, not only the first.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let counts = [
            ("queue_max", self.queue_max),
            ("batch_max", self.batch_max),
            ("retry_max_records", self.retry_max_records),
            ("blocking_threads", self.blocking_threads),
            ("submitted_max", self.submitted_max),
            ("completions_max", self.completions_max),
            ("retention.slice_rows", self.retention.slice_rows as usize),
        ];
        let times = [
            ("startup_timeout", self.startup_timeout),
            ("heartbeat_interval", self.heartbeat_interval),
            ("error_handler_timeout", self.error_handler_timeout),
            ("retention.every", self.retention.every),
        ];
        let zero_counts = counts.iter().filter(|(_, count)| *count == 0);
        let zero_times = times.iter().filter(|(_, time)| time.is_zero());
        let mut problems: Vec<String> = zero_counts
            .map(|(name, _)| *name)
            .chain(zero_times.map(|(name, _)| *name))
            .map(|name| format!("{name} must be more than zero"))
            .collect();
        if self.submitted_max > Semaphore::MAX_PERMITS {
            problems.push(format!(
                "submitted_max must be at most {}",
                Semaphore::MAX_PERMITS
            ));
        }
        if self.spool_max_bytes < SPOOL_BYTES_MIN {
            problems.push(format!(
                "spool_max_bytes must be at least {SPOOL_BYTES_MIN}"
            ));
        }
        if self.file_mode & !0o666 != 0 || self.file_mode & 0o600 != 0o600 {
            problems.push(format!(
                "file_mode must let the owner read and write, and nobody execute, such as 0o640; it is 0o{:o}",
                self.file_mode
            ));
        }
        if matches!(self.topic_separator, '*' | '#') {
            problems
                .push("topic_separator must not be `*` or `#`, which stand for segments".into());
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError { problems })
        }
    }

    /// The number of waiting records at which the drain stops gathering. Well below the queue's bound, to leave
    /// room for records that arrive while a batch is being written.
    pub(crate) fn ripe_at(&self) -> usize {
        self.batch_max.min(self.queue_max / 4).max(1)
    }
}

#[cfg(test)]
mod tests;
