//! The port for what has not reached the history yet: running executions and waiting records.

use std::sync::Arc;

use crate::identity::{Entity, ExecutionId, SourceTier};
use crate::ledger::Ledger;
use crate::lines::Lines;
use crate::ports::history::HistoryFuture;
use crate::ports::sessions::Session;
use crate::ports::sink::ProgramGroup;
use crate::record::Trigger;
use crate::time::Timestamp;

/// Shows what recording processes are doing now. Reading it changes nothing.
pub trait LiveState: Send + Sync + 'static {
    /// Returns the sessions that have something to show, the oldest first. If the state of a session cannot be read,
    /// `unreadable` says why.
    ///
    /// # Errors
    ///
    /// The sessions could not be listed.
    fn sessions(&self) -> HistoryFuture<'_, Vec<LiveSession>>;

    /// Returns the programs of dead processes that are still running. None, unless implemented.
    ///
    /// # Errors
    ///
    /// They could not be looked for.
    fn orphans(&self) -> HistoryFuture<'_, Vec<Orphan>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

/// A program that is still running although the process of its execution is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Orphan {
    /// The execution that started it.
    pub execution_id: ExecutionId,
    /// The listener or job of that execution.
    pub entity: Arc<Entity>,
    /// Its process group.
    pub group: ProgramGroup,
}

impl Orphan {
    /// Creates one.
    pub const fn new(execution_id: ExecutionId, entity: Arc<Entity>, group: ProgramGroup) -> Self {
        Self {
            execution_id,
            entity,
            group,
        }
    }
}

/// The current state of one session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LiveSession {
    /// The session.
    pub session: Session,
    /// True if its process is alive. Records that a dead process left wait for the next start.
    pub is_alive: bool,
    /// The executions that have begun and not ended, the oldest first. Those of a dead process were interrupted.
    pub running: Vec<RunningExecution>,
    /// The number of unfinished executions that are not in `running`, because they wait in line or their process has
    /// no spool.
    pub unlisted: usize,
    /// The number of records that wait for the store.
    pub waiting: u64,
    /// Its ledger so far; `None` if its counters are missing or damaged.
    pub ledger: Option<Ledger>,
    /// The reason, if its state could not be read.
    pub unreadable: Option<String>,
}

impl LiveSession {
    /// Creates a session without any other data.
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
    /// The time at which it began.
    pub started_at: Timestamp,
    /// The trigger.
    pub trigger: Trigger,
    /// What it had said by half a second ago, as far as it is kept; `None` if that is nothing or not known.
    pub lines: Option<Lines>,
    /// The programs that it has started and not seen the end of.
    pub programs: Vec<ProgramGroup>,
}

impl RunningExecution {
    /// Creates an execution that has begun.
    pub fn new(
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
            lines: None,
            programs: Vec::new(),
        }
    }
}
