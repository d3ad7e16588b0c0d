//! What the history answers: executions, sessions, registrations and prunes as they are stored, and statistics.

use std::time::Duration;

use super::{Session, SessionStatus};
use crate::failure::Failure;
use crate::identity::{Entity, RegistrationId, SessionId};
use crate::ledger::Ledger;
use crate::outcome::Status;
use crate::record::ExecutionRecord;
use crate::registration::Registration;
use crate::time::Timestamp;

/// One execution as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredExecution {
    /// Its session.
    pub session: SessionId,
    /// The record. Its generation is not stored.
    pub record: ExecutionRecord,
}

/// One session as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// The session, as its process described it.
    pub session: Session,
    /// The time of its last sign of life.
    pub heartbeat_at: Timestamp,
    /// The time at which it ended; `None` while it is running.
    pub stopped_at: Option<Timestamp>,
    /// Its status.
    pub status: SessionStatus,
    /// The failure, if a service died.
    pub failure: Option<Failure>,
    /// Its ledger, as of its last sign of life.
    pub ledger: Ledger,
    /// What the store itself has counted for it.
    pub counts: SessionCounts,
    /// What the clock of the store's server says of it; `None` for a store that has no clock of its own.
    pub by_server: Option<SeenByServer>,
}

/// What the clock of a store's server says of a session. Clocks of hosts differ; this one is the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenByServer {
    /// The time since its last sign of life.
    pub ago: Duration,
    /// How far its own clock was ahead at its last heartbeat, in microseconds; negative if it was behind.
    pub clock_ahead_us: i64,
}

/// What the store counts for a session in the transactions that store and prune its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// False for a session that is older than this counting: then nothing can be said.
    pub is_counted: bool,
    /// The number of its rows that were pruned.
    pub pruned: u64,
    /// The number of its rows that a later process stored.
    pub taken_over: u64,
    /// True once its ledger is final: it was closed, or its spool was taken over.
    pub is_final: bool,
    /// The number of rows that were stored for it, by whichever process.
    pub stored: u64,
}

/// Executions that were pruned by one rule, in one session and hour, or whose lines were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPrune {
    /// The session that pruned; `None` for a person.
    pub session: Option<SessionId>,
    /// The name of the rule: `age`, `age_of_successes`, `number` or `size`; `lines_age` or `lines_size` if the executions
    /// stay and only what they said is gone.
    pub rule: String,
    /// The beginning of the hour in which they were pruned.
    pub hour_at: Timestamp,
    /// Their number.
    pub count: u64,
    /// The earliest end of such an execution.
    pub first_at: Timestamp,
    /// The latest end of such an execution.
    pub last_at: Timestamp,
}

impl StoredPrune {
    /// Returns whether executions are gone, and not just what they said.
    pub fn is_of_executions(&self) -> bool {
        !self.rule.starts_with("lines_")
    }
}

/// A listener or a job as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRegistration {
    /// Its row.
    pub id: RegistrationId,
    /// Its latest registration.
    pub registration: Registration,
    /// The time at which it was retired, because its app no longer registers it.
    pub retired_at: Option<Timestamp>,
    /// The time at which it was cancelled.
    pub removed_at: Option<Timestamp>,
}

/// Counts and durations of a set of executions.
///
/// Durations cover only executions whose handler ran to its end, not those that were skipped or interrupted. A
/// history may return percentiles that are off by up to 2 %.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// The number of executions that ended in each status, in the order of [`Status::ALL`].
    pub by_status: [u64; Status::ALL.len()],
    /// The average duration; zero without executions.
    pub average: Duration,
    /// Half of them took no longer than this.
    pub p50: Duration,
    /// 95 of 100 took no longer than this.
    pub p95: Duration,
    /// 99 of 100 took no longer than this.
    pub p99: Duration,
    /// The longest duration.
    pub max: Duration,
    /// The latest failure, as `type: message`.
    pub last_error: Option<String>,
}

impl Stats {
    /// Returns the number of executions.
    pub fn runs(&self) -> u64 {
        self.by_status.iter().sum()
    }

    /// Returns how many executions ended in this status.
    pub fn count(&self, status: Status) -> u64 {
        self.by_status[usize::from(status.code())]
    }
}

/// The statistics of one listener or job.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The listener or job.
    pub entity: Entity,
    /// Its statistics.
    pub stats: Stats,
}
