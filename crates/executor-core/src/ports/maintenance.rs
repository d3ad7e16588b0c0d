//! The port for the maintenance of a store: pruning old rows and recording gaps.

use std::path::PathBuf;
use std::sync::Arc;

use crate::identity::{Entity, RegistrationId, SessionId};
use crate::ledger::DropReason;
use crate::ports::error::StoreFuture;
use crate::time::Timestamp;

/// Selects the rows to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneRule {
    /// Those that ended before this.
    EndedBefore(Timestamp),
    /// Those that succeeded or were skipped, and ended before this: the others may be kept for
    /// longer.
    WentWellBefore(Timestamp),
    /// All rows of each listener and job except the newest ones, of which this many stay. Rows dated in the future do
    /// not count, and stay.
    AllButNewest(u32),
    /// Just enough to shrink the database to this size, in bytes: rows dated in the future first, if the clock is
    /// trusted, then the oldest.
    LargerThan(u64),
    /// Registrations that were retired or removed before this and have no rows.
    GoneBefore(Timestamp),
    /// What the history holds besides executions and registrations, if it ended before the day (UTC) of this: sessions
    /// without rows, gaps, missed runs, pauses, prunes, sources and rollups. Nothing of a day that has rows.
    HistoryBefore(Timestamp),
    /// What executions said that ended before this. The executions stay.
    LinesBefore(Timestamp),
    /// What executions said, up to a bound that [`Housekeeping::lines_beyond`] has found. The executions stay.
    LinesUntil(LinesBound),
}

impl PruneRule {
    /// Returns its name in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndedBefore(_) => "age",
            Self::WentWellBefore(_) => "age_of_successes",
            Self::AllButNewest(_) => "number",
            Self::LargerThan(_) => "size",
            Self::GoneBefore(_) => "gone",
            Self::HistoryBefore(_) => "history_age",
            Self::LinesBefore(_) => "lines_age",
            Self::LinesUntil(_) => "lines_size",
        }
    }
}

/// What is too much of what executions said: all of these executions up to a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinesBound {
    /// The listener or job whose executions it is about; `None` for all.
    pub of: Option<RegistrationId>,
    /// The time of the latest execution whose lines are too much, as the store orders them.
    pub until: Timestamp,
}

/// Says whether the wall clock may decide which rows are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockTrust {
    /// It may.
    Trusted,
    /// It was set, or seems to have been: it may be wrong by years.
    Doubted,
}

/// One slice of pruning: small, so that other requests to the store wait for at most one.
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
    /// The rule that selects rows.
    pub rule: PruneRule,
    /// The maximum number of rows in this slice, oldest first. A store may take fewer if they are large.
    pub max_rows: u32,
    /// The wall-clock time: a row that ended later than this is dated in the future.
    pub now: Timestamp,
    /// Whether to trust that time.
    pub clock: ClockTrust,
    /// The session that prunes; `None` for a person.
    pub session: Option<SessionId>,
}

impl PruneSlice {
    /// Creates a slice with a trusted clock and with no rows dated in the future.
    pub const fn new(rule: PruneRule, max_rows: u32) -> Self {
        Self {
            rule,
            max_rows,
            now: Timestamp::MAX,
            clock: ClockTrust::Trusted,
            session: None,
        }
    }
}

/// The place for the spools of a store's records, unless the service is configured otherwise.
///
/// ```
/// use executor_core::ports::SpoolHome;
///
/// let of_a_server = SpoolHome::OfMachine { name: "metrics.example.org".into() };
/// assert_ne!(of_a_server, SpoolHome::InMemory);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpoolHome {
    /// In this directory, which belongs to the store.
    Beside(PathBuf),
    /// In this machine's state directory, below a directory of this name: for a store that has no files here.
    OfMachine {
        /// A file name that identifies the store, because records of two stores never share a spool.
        name: String,
    },
    /// Nowhere: the store's own data dies with the process, too.
    InMemory,
}

/// The time during which a session is known to have been alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// The session.
    pub session: SessionId,
    /// The time at which it began.
    pub started_at: Timestamp,
    /// Its last sign of life: its end, or its last heartbeat.
    pub last_sign_at: Timestamp,
}

/// Why records are not in the history.
///
/// ```
/// use executor_core::DropReason;
/// use executor_core::ports::GapReason;
///
/// let reason = GapReason::from(DropReason::Overflow);
/// assert_eq!(reason.as_str(), "overflow");
/// assert_eq!(GapReason::parse("rolled_back"), Some(GapReason::RolledBack));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// They were given up; the ledger of the session counts them.
    Dropped(DropReason),
    /// The store had acknowledged them, and its server has taken that back: another one has taken over, and did not have
    /// them yet. To the ledger they are stored.
    RolledBack,
}

impl GapReason {
    /// Returns its name in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dropped(reason) => reason.as_str(),
            Self::RolledBack => "rolled_back",
        }
    }

    /// Returns the reason with this name.
    pub fn parse(name: &str) -> Option<Self> {
        let dropped = DropReason::ALL.into_iter().map(Self::Dropped);
        let mut all = dropped.chain([Self::RolledBack]);
        all.find(|reason| reason.as_str() == name)
    }
}

impl From<DropReason> for GapReason {
    fn from(reason: DropReason) -> Self {
        Self::Dropped(reason)
    }
}

/// An episode of loss, as the history shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The session that lost records.
    pub session: SessionId,
    /// The reason why they are not there.
    pub reason: GapReason,
    /// The number of lost records.
    pub count: u64,
    /// The time of the first loss.
    pub first_at: Timestamp,
    /// The time of the last loss.
    pub last_at: Timestamp,
    /// The number of lost records of each entity, as far as it is known.
    pub entities: Vec<(Arc<Entity>, u64)>,
}

/// Maintains the store itself. The service decides when; the store schedules nothing.
pub trait Housekeeping: Send + Sync + 'static {
    /// Deletes one slice of the rows that a rule selects, oldest first, and returns their number.
    /// Idempotent; call again until it returns 0. A store without a size deletes nothing by size. A store that keeps days
    /// apart may delete a whole one, however many rows it has, and by size deletes only whole ones.
    ///
    /// # Errors
    ///
    /// Nothing of the slice was deleted.
    fn prune(&self, slice: PruneSlice) -> StoreFuture<'_, u64>;

    /// Returns what is to go so that all that executions said takes no more than `all` bytes, and what each listener or
    /// job said no more than `of_one`: the oldest first. Executions dated beyond `now` do not count. Changes nothing. By
    /// default nothing is too much.
    ///
    /// # Errors
    ///
    /// The sizes could not be read.
    fn lines_beyond(
        &self,
        now: Timestamp,
        all: u64,
        of_one: u64,
    ) -> StoreFuture<'_, Vec<LinesBound>> {
        let _ = (now, all, of_one);
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Returns the lifetimes of the newest sessions, at most `max`, in the order in which they were opened. They show
    /// the wall-clock times at which a process was alive. Changes nothing.
    ///
    /// # Errors
    ///
    /// The lifetimes could not be read.
    fn lifetimes(&self, max: u32) -> StoreFuture<'_, Vec<Lifetime>>;

    /// Writes episodes of loss, all or none. An episode is identified by session, reason and first time; writing it
    /// again replaces its counts. The caller retries.
    ///
    /// # Errors
    ///
    /// Nothing was written.
    fn record_gaps(&self, gaps: Vec<Gap>) -> StoreFuture<'_, ()>;

    /// Checks whether the store can be reached and written to. Changes nothing.
    ///
    /// # Errors
    ///
    /// The store cannot be reached or written to; the class says what to expect.
    fn health(&self) -> StoreFuture<'_, ()>;

    /// Returns the place for the spools of this store's records.
    fn spool_home(&self) -> SpoolHome;
}
