//! Derives the executor's health from the facts that its parts report.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use executor_core::{StoreError, StoreFault, Timestamp};

/// The health of the executor.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), executor_service::StartError> {
/// # let executor = executor_service::CommandExecutor::builder(executor_testkit::MemoryStore::new())
/// #     .start()
/// #     .await?;
/// use executor_service::Health;
///
/// match executor.health() {
///     Health::Healthy => {}
///     Health::Degraded(reasons) => reasons.iter().for_each(|reason| eprintln!("{reason}")),
///     Health::Failed { service, fault } => eprintln!("{service} is gone: {fault}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Everything is as it should be.
    Healthy,
    /// It works, but not as it should.
    Degraded(Vec<Degradation>),
    /// A part of the executor failed too often and was given up. Executions still run, and their records are
    /// counted.
    Failed {
        /// The part that failed.
        service: &'static str,
        /// Its last failure.
        fault: String,
    },
}

impl Health {
    /// Returns its name in logs and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded(_) => "degraded",
            Self::Failed { .. } => "failed",
        }
    }
}

/// A reason why the executor is degraded. Its text is a sentence for people.
///
/// ```
/// let reason = executor_service::Degradation::LeakedThreads { count: 2 };
/// assert_eq!(reason.to_string(), "2 blocking threads were left behind and still run");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Degradation {
    /// The last request to the store failed.
    StoreUnavailable {
        /// The time of the first failure since the last success.
        since: Timestamp,
        /// The store's last error.
        error: String,
        /// The kind of fault, where it is known.
        fault: StoreFault,
    },
    /// Records are waiting, and none has been settled for ten seconds or more, though the store is not known to
    /// be unavailable: the part that writes them is blocked, or its runtime has ended.
    Stalled {
        /// The time since which they have been waiting.
        since: Timestamp,
    },
    /// Three quarters of the queue are full.
    Backlog {
        /// Records that wait for their first try.
        waiting: usize,
        /// The queue's bound.
        queue_max: usize,
    },
    /// Records were given up in the last minute.
    Losses {
        /// How many.
        last_minute: u64,
    },
    /// Three quarters of the spool are full.
    SpoolFilling {
        /// The size of its files.
        bytes: u64,
        /// The limit on their size.
        max_bytes: u64,
    },
    /// A spool was configured but is missing: records that wait in memory die with the process.
    NoSpool {
        /// The reason.
        error: String,
    },
    /// The spool cannot be synced: records survive the process, but not a crash of the machine.
    NotSynced {
        /// The last error of the disk.
        error: String,
    },
    /// Blocking handlers are still running although their executions have ended.
    LeakedThreads {
        /// How many.
        count: usize,
    },
}

impl fmt::Display for Degradation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StoreUnavailable { since, error, .. } => {
                let since = shown(*since);
                write!(f, "the store has taken nothing since {since:.0}: {error}")
            }
            Self::Stalled { since } => {
                let since = shown(*since);
                write!(
                    f,
                    "records have been waiting since {since:.0} and none has been settled"
                )
            }
            Self::Backlog { waiting, queue_max } => {
                write!(
                    f,
                    "{waiting} of at most {queue_max} records wait for the store"
                )
            }
            Self::Losses { last_minute } => {
                write!(f, "{last_minute} records were given up in the last minute")
            }
            Self::SpoolFilling { bytes, max_bytes } => {
                write!(f, "the spool uses {bytes} of at most {max_bytes} bytes")
            }
            Self::NoSpool { error } => {
                write!(
                    f,
                    "records die with the process because there is no spool: {error}"
                )
            }
            Self::NotSynced { error } => {
                write!(f, "records do not reach the disk: {error}")
            }
            Self::LeakedThreads { count } => {
                write!(f, "{count} blocking threads were left behind and still run")
            }
        }
    }
}

/// Converts a time for display. A time outside the calendar shows as the earliest one.
fn shown(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or(jiff::Timestamp::MIN)
}

/// The facts that the parts report.
#[derive(Default)]
pub(crate) struct HealthState(Mutex<Facts>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The current outage of the store, if any.
    outage: Option<Outage>,
    /// The first service that was given up; the first fault wins.
    failed: Option<(&'static str, String)>,
    restarts: u64,
    /// The reason why a configured spool is missing.
    no_spool: Option<String>,
}

/// A period in which the store accepts nothing.
#[derive(Clone, Debug)]
struct Outage {
    since: Timestamp,
    /// The store's last error.
    error: String,
    fault: StoreFault,
    /// The number of failed requests.
    failures: u64,
}

/// Values that are measured on demand.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) waiting: usize,
    pub(crate) queue_max: usize,
    pub(crate) lost_lately: u64,
    /// The time since which records have been waiting without any being settled, if that is long ago.
    pub(crate) stalled: Option<Timestamp>,
    pub(crate) leaked: usize,
    /// The size of the spool and its limit, in bytes.
    pub(crate) spool: Option<(u64, u64)>,
    /// The error of its last sync.
    pub(crate) sync_error: Option<String>,
}

impl HealthState {
    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the store answered. Logs one line if that ends an outage.
    pub(crate) fn store_answered(&self) {
        let ended = self.facts().outage.take();
        if let Some(Outage { failures, .. }) = ended {
            // Whoever was told of its beginning is told of its end.
            tracing::warn!(failures, "store recovered");
        }
    }

    /// Notes that a heartbeat was written. It does not end an outage from damage: the damaged pages may be
    /// elsewhere, where records go.
    pub(crate) fn heartbeat_written(&self) {
        let fault = self.facts().outage.as_ref().map(|outage| outage.fault);
        if fault != Some(StoreFault::Damaged) {
            self.store_answered();
        }
    }

    /// Notes a failure of the store. The first of several sets the start of the outage and is logged; the others
    /// are only counted.
    pub(crate) fn store_failed(&self, at: Timestamp, error: &StoreError) {
        let cause = error.source.to_string();
        let mut facts = self.facts();
        let before = facts.outage.take();
        let begins = before.is_none();
        facts.outage = Some(Outage {
            since: before.as_ref().map_or(at, |outage| outage.since),
            error: cause.clone(),
            fault: error.fault,
            failures: before.map_or(0, |outage| outage.failures) + 1,
        });
        drop(facts);
        if begins {
            let error: &dyn std::error::Error = error;
            tracing::warn!(error, cause, "store failed; records are kept and retried");
        }
    }

    pub(crate) fn service_failed(&self, service: &'static str, fault: &str, is_final: bool) {
        let mut facts = self.facts();
        facts.restarts += u64::from(!is_final);
        if is_final {
            facts
                .failed
                .get_or_insert_with(|| (service, fault.to_owned()));
        }
    }

    pub(crate) fn has_no_spool(&self, error: String) {
        self.facts().no_spool = Some(error);
    }

    /// Notes whether the files of the existing spool were deleted.
    pub(crate) fn spool_was_seen(&self, is_deleted: bool) {
        let error = "its files were deleted while in use; restart the program to get a new spool";
        let now = is_deleted.then(|| error.to_owned());
        let before = std::mem::replace(&mut self.facts().no_spool, now);
        if is_deleted && before.is_none() {
            tracing::error!(
                error,
                "spool files were deleted; records die with the process"
            );
        }
    }

    /// Returns the service that was given up, and why.
    pub(crate) fn failed(&self) -> Option<(&'static str, String)> {
        self.facts().failed.clone()
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn store_is_available(&self) -> bool {
        self.facts().outage.is_none()
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.facts().restarts
    }

    pub(crate) fn assess(&self, measured: Measured) -> Health {
        judge(self.facts().clone(), measured)
    }
}

/// Derives the health from the facts.
fn judge(facts: Facts, measured: Measured) -> Health {
    if let Some((service, fault)) = facts.failed {
        return Health::Failed { service, fault };
    }
    let Measured {
        waiting, queue_max, ..
    } = measured;
    let unavailable = facts.outage.map(|outage| Degradation::StoreUnavailable {
        since: outage.since,
        error: outage.error,
        fault: outage.fault,
    });
    let stalled = measured.stalled.filter(|_| unavailable.is_none());
    let stalled = stalled.map(|since| Degradation::Stalled { since });
    let is_crowded = waiting >= queue_max - queue_max / 4;
    let backlog = is_crowded.then_some(Degradation::Backlog { waiting, queue_max });
    let losses = (measured.lost_lately > 0).then_some(Degradation::Losses {
        last_minute: measured.lost_lately,
    });
    let leaked = (measured.leaked > 0).then_some(Degradation::LeakedThreads {
        count: measured.leaked,
    });
    let is_filling = |(bytes, max_bytes): &(u64, u64)| bytes / 3 >= max_bytes / 4;
    let spool = measured.spool.filter(is_filling);
    let filling = spool.map(|(bytes, max_bytes)| Degradation::SpoolFilling { bytes, max_bytes });
    let no_spool = facts.no_spool.map(|error| Degradation::NoSpool { error });
    let not_synced = measured.sync_error;
    let not_synced = not_synced.map(|error| Degradation::NotSynced { error });
    let reasons = [
        unavailable,
        stalled,
        backlog,
        losses,
        filling,
        no_spool,
        not_synced,
        leaked,
    ];
    let reasons: Vec<Degradation> = reasons.into_iter().flatten().collect();
    if reasons.is_empty() {
        Health::Healthy
    } else {
        Health::Degraded(reasons)
    }
}

#[cfg(test)]
mod tests;
