//! The findings of an audit.

use executor_core::{DropReason, SessionId, Timestamp};

/// The findings of an audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The answer in one word.
    pub verdict: Verdict,
    /// The records that are missing, or do not add up, in the order of time.
    pub holes: Vec<Hole>,
    /// The things that could not be looked at, in the order of time.
    pub not_known: Vec<NotKnown>,
    /// The times in which no session lived. They are reported and are not holes.
    pub idle: Vec<(Timestamp, Timestamp)>,
    /// The number of rows that were stored in the window's hours, pruned ones included.
    pub stored: u64,
    /// The number of those that were pruned.
    pub pruned: u64,
    /// The number of records that were given up.
    pub dropped: u64,
    /// The number of records that living processes have not handed to the store yet.
    pub waiting: u64,
}

/// The answer of an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every record is stored, pruned by a rule, left out by the recording policy, or waits in a living process.
    Complete,
    /// Records are missing; the holes say which.
    Incomplete,
    /// Nothing is known to be missing, but not everything could be looked at.
    CannotTell,
}

impl Verdict {
    /// Returns it in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::CannotTell => "cannot tell",
        }
    }
}

/// A hole in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The session whose records are missing; `None` for rollups, which belong to all.
    pub session: Option<SessionId>,
    /// The beginning of the stretch in which they are missing.
    pub from: Timestamp,
    /// The end of that stretch.
    pub to: Timestamp,
    /// The number of missing or surplus records.
    pub count: u64,
    /// The cause, as far as it is known.
    pub cause: Cause,
}

/// The cause of a hole, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// They were given up, for this reason.
    Dropped(DropReason),
    /// The server that had stored them was replaced by one that did not have them yet.
    RolledBack,
    /// Rows were stored and not pruned, and are not there: somebody else deleted them, or the file was damaged.
    RowsGone,
    /// Rows are there that this store has not stored.
    RowsAppeared,
    /// The session's process was told that more were stored than the store has counted: the database was replaced, or
    /// set back to an earlier state.
    NeverStored,
    /// The ledger of an ended session does not balance.
    Unaccounted,
    /// The rollups do not count the same executions as were stored.
    RollupsDiffer,
}

impl Cause {
    /// Returns it in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dropped(reason) => reason.as_str(),
            Self::RolledBack => "rolled back",
            Self::RowsGone => "rows deleted",
            Self::RowsAppeared => "rows of unknown origin",
            Self::NeverStored => "database replaced or set back",
            Self::Unaccounted => "ledger does not balance",
            Self::RollupsDiffer => "rollups differ",
        }
    }
}

/// A stretch of a session about which nothing is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotKnown {
    /// The session.
    pub session: SessionId,
    /// The beginning of the stretch about which nothing is known.
    pub from: Timestamp,
    /// The end of that stretch.
    pub to: Timestamp,
    /// The thing itself.
    pub what: NotLookedAt,
}

/// A thing that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotLookedAt {
    /// The session is older than the counting of rows.
    Older,
    /// Its counters were damaged, and its ledger was rebuilt from what could be counted.
    Rebuilt,
    /// It died with its records in memory; what it had offered since its last heartbeat is not known.
    Memory,
    /// Its records wait in a spool.
    Spool {
        /// The machine with the spool.
        host: String,
        /// Their number, if that is known.
        waiting: Option<u64>,
    },
}

impl Audit {
    /// Sorts what was found and draws the conclusion.
    pub(super) fn conclude(mut self) -> Self {
        self.holes.sort_by_key(|hole| (hole.from, hole.to));
        self.not_known.sort_by_key(|it| (it.from, it.to));
        self.verdict = match (self.holes.is_empty(), self.not_known.is_empty()) {
            (false, _) => Verdict::Incomplete,
            (true, false) => Verdict::CannotTell,
            (true, true) => Verdict::Complete,
        };
        self
    }
}
