//! What a store is asked to let go, and what it is told is missing.

use std::path::PathBuf;
use std::sync::Arc;

use crate::identity::{Entity, SessionId};
use crate::ledger::DropReason;
use crate::ports::error::StoreFuture;
use crate::time::Timestamp;

/// Which rows may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneRule {
    /// Those that ended before this.
    EndedBefore(Timestamp),
    /// Those that succeeded or were skipped, and ended before this: what went wrong may be kept
    /// for longer.
    WentWellBefore(Timestamp),
    /// Of each listener and job all but so many, the newest. Rows dated beyond now count for nothing and stay.
    AllButNewest(u32),
    /// As many as the database is larger than this, in bytes, and no more: those dated beyond now first, where
    /// the clock is trusted, then the oldest.
    LargerThan(u64),
    /// Registrations that were retired or removed before this and have no rows.
    GoneBefore(Timestamp),
}

/// Whether what the wall clock says may decide what is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockTrust {
    /// It may.
    Trusted,
    /// It was set, or seems to have been: what it shows may be years from the truth.
    Doubted,
}

/// One slice of pruning: small, so that whoever waits for the store waits for no more than one.
///
/// ```
/// use executor_core::Timestamp;
/// use executor_core::ports::{ClockTrust, PruneRule, PruneSlice};
///
/// let slice = PruneSlice::new(PruneRule::LargerThan(500_000_000), 1_000);
/// assert_eq!(slice.clock, ClockTrust::Trusted);
/// assert_eq!(slice.now, Timestamp::MAX); // no row is dated beyond it
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneSlice {
    /// Which rows may go.
    pub rule: PruneRule,
    /// At most so many in this slice, oldest first. A store may take fewer where they are large.
    pub max_rows: u32,
    /// What the wall clock says: a row that ended later than this is dated beyond now.
    pub now: Timestamp,
    /// Whether that is to be believed.
    pub clock: ClockTrust,
}

impl PruneSlice {
    /// A slice by a clock that is trusted, and beyond which no row is dated.
    pub const fn new(rule: PruneRule, max_rows: u32) -> Self {
        Self {
            rule,
            max_rows,
            now: Timestamp::MAX,
            clock: ClockTrust::Trusted,
        }
    }
}

/// From when to when a session is known to have lived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Which session.
    pub session: SessionId,
    /// When it began.
    pub started_at: Timestamp,
    /// Its last sign of life: its end, or its last heartbeat.
    pub last_sign_at: Timestamp,
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
    pub entities: Vec<(Arc<Entity>, u64)>,
}

/// Keeps the store itself in order. The service decides when; the store schedules nothing.
pub trait Housekeeping: Send + Sync + 'static {
    /// Deletes one slice of what a rule lets go, oldest first, and returns how many rows went.
    /// Idempotent; call again until 0. A store without a size lets nothing go by size.
    ///
    /// # Errors
    ///
    /// Nothing of the slice was deleted.
    fn prune(&self, slice: PruneSlice) -> StoreFuture<'_, u64>;

    /// The lifetimes of the newest sessions, `max` at most, in the order in which they were opened: what the
    /// wall clock showed whenever a process was alive. Changes nothing.
    ///
    /// # Errors
    ///
    /// They could not be read.
    fn lifetimes(&self, max: u32) -> StoreFuture<'_, Vec<Lifetime>>;

    /// Writes episodes of loss, all or none. An episode is named by session, reason and first
    /// time; writing it again replaces its counts. The caller retries.
    ///
    /// # Errors
    ///
    /// Nothing was written.
    fn record_gaps(&self, gaps: Vec<Gap>) -> StoreFuture<'_, ()>;

    /// Asks whether the store can be reached and written to. Changes nothing.
    ///
    /// # Errors
    ///
    /// It cannot, and the class says what to expect.
    fn health(&self) -> StoreFuture<'_, ()>;

    /// Where a spool may keep its files; `None` where the store has no place of its own.
    fn spool_dir(&self) -> Option<PathBuf>;
}
