//! The port for what has not reached the history yet: what runs now, and what waits.

use std::sync::Arc;

use crate::identity::{Entity, ExecutionId, SourceTier};
use crate::ledger::Ledger;
use crate::ports::history::HistoryFuture;
use crate::ports::sessions::Session;
use crate::record::Trigger;
use crate::time::Timestamp;

/// Shows what recording processes do now. Looking changes nothing.
pub trait LiveState: Send + Sync + 'static {
    /// Returns the sessions that have something to show, the oldest first. One whose state cannot be read is there
    /// with `unreadable`.
    ///
    /// # Errors
    ///
    /// It is not known which sessions there are.
    fn sessions(&self) -> HistoryFuture<'_, Vec<LiveSession>>;
}

/// What one session does now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LiveSession {
    /// The session.
    pub session: Session,
    /// Whether its process lives. What a dead one has left waits for the next start.
    pub is_alive: bool,
    /// The executions that have begun and not ended, the oldest first. Those of a dead process were interrupted.
    pub running: Vec<RunningExecution>,
    /// How many run of which no more is known, because the process keeps its records in memory.
    pub unlisted: usize,
    /// How many records wait for the store.
    pub waiting: u64,
    /// Where its records went so far; `None` if its counters are gone or damaged.
    pub ledger: Option<Ledger>,
    /// Why nothing more is known of it.
    pub unreadable: Option<String>,
}

impl LiveSession {
    /// A session of which nothing else is known yet.
    pub const fn new(session: Session, is_alive: bool) -> Self {
        Self {
            session,
            is_alive,
            running: Vec::new(),
            unlisted: 0,
            waiting: 0,
            ledger: None,
            unreadable: None,
        }
    }
}

/// An execution that has begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningExecution {
    /// Its id.
    pub execution_id: ExecutionId,
    /// The listener or job that runs.
    pub entity: Arc<Entity>,
    /// The tier of the code that runs.
    pub source_tier: SourceTier,
    /// When it began.
    pub started_at: Timestamp,
    /// What started it.
    pub trigger: Trigger,
}

impl RunningExecution {
    /// An execution that has begun.
    pub const fn new(
        execution_id: ExecutionId,
        entity: Arc<Entity>,
        source_tier: SourceTier,
        started_at: Timestamp,
        trigger: Trigger,
    ) -> Self {
        Self {
            execution_id,
            entity,
            source_tier,
            started_at,
            trigger,
        }
    }
}
