//! What a store is asked to let go, and what it is told is missing.

use crate::identity::SessionId;
use crate::ledger::DropReason;
use crate::record::Subject;
use crate::time::Timestamp;

/// Which rows may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneRule {
    /// Those that ended before this.
    EndedBefore(Timestamp),
    /// Those that succeeded or were skipped, and ended before this: what went wrong may be kept
    /// for longer.
    WentWellBefore(Timestamp),
    /// Of each listener and job all but so many, the newest.
    AllButNewest(u32),
    /// As many of the oldest as the database is larger than this, in bytes.
    LargerThan(u64),
}

/// One slice of pruning: small, so that whoever waits for the store waits for no more than one.
///
/// ```
/// use executor_core::ports::{PruneRule, PruneSlice};
/// let slice = PruneSlice { rule: PruneRule::LargerThan(500_000_000), max_rows: 1_000 };
/// # assert_eq!(slice.max_rows, 1_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneSlice {
    /// Which rows may go.
    pub rule: PruneRule,
    /// At most so many in this slice, oldest first.
    pub max_rows: u32,
}

/// An episode of loss, as the history shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Whose records.
    pub session: SessionId,
    /// Why they were given up.
    pub reason: DropReason,
    /// How many.
    pub count: u64,
    /// When the first was given up.
    pub first_at: Timestamp,
    /// When the last was given up.
    pub last_at: Timestamp,
    /// How many of each entity, as far as it was kept.
    pub entities: Vec<(Subject, u64)>,
}
