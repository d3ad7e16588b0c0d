//! The ports: what this layer needs from others, and what the service needs from a store.
//!
//! Every future of a port may be dropped at any time. The request it stands for is then either
//! carried out completely or not at all; which of the two is unknown to the caller, and because
//! every request is idempotent, asking again is always safe.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use crate::identity::{RegistrationId, RowId, SessionId};
use crate::ledger::{DropReason, Ledger};
use crate::record::ExecutionRecord;
use crate::registration::Registration;
use crate::time::Timestamp;

mod history;
mod shared;

pub use self::history::{
    Filter, History, HistoryError, HistoryErrorClass, HistoryFuture, Order, PageOf, PageRequest,
    PageToken, RegistrationFilter, RegistrationState, Scope, Stats, StoredExecution,
    StoredRegistration, StoredSession, Summary, Window,
};
pub use crate::housekeeping::{ClockTrust, Gap, Lifetime, PruneRule, PruneSlice};
pub use crate::record::{SubjectRef, TriggerRef};
pub use crate::sink::{ExecutionEnd, ExecutionStart, RecordSink, Ticket};

/// How a request to a store can go wrong. Callers match on it exhaustively.
///
/// ```
/// let is_worth_a_retry = |class| matches!(class, executor_core::ErrorClass::Transient);
/// assert!(!is_worth_a_retry(executor_core::ErrorClass::Constraint));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Busy, locked, disk full, connection lost, store restarting: worth trying again.
    Transient,
    /// A row names a parent that does not exist.
    Dangling,
    /// A row breaks a rule of the tables.
    Constraint,
    /// Schema and code disagree, or a value cannot be bound.
    Unstorable,
    /// The store is gone for good.
    Closed,
}

/// What a store is known to suffer from, where somebody can do something about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StoreFault {
    /// Nothing in particular.
    #[default]
    Other,
    /// Its disk is full: whoever holds space there can give it back.
    NoSpace,
    /// What it holds is damaged: no waiting mends that, only a person does.
    Damaged,
}

/// A request to a store failed.
///
/// ```
/// let error = executor_core::StoreError::unreachable("storing a batch", "no route to host");
/// assert_eq!(error.to_string(), "storing a batch failed");
/// assert!(!error.answered); // whoever retries does not count this as a refusal
/// ```
#[derive(Debug)]
pub struct StoreError {
    /// What kind of failure it is, and so what to do.
    pub class: ErrorClass,
    /// Whether a store was there to refuse: being lost or absent uses up no attempts.
    pub answered: bool,
    /// What the store suffers from.
    pub fault: StoreFault,
    /// What was being done, as a fragment such as `storing a batch`.
    pub operation: &'static str,
    /// The error underneath.
    pub source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// A store that could not be asked; nothing is known of it.
    pub fn unreachable(
        operation: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            class: ErrorClass::Transient,
            answered: false,
            fault: StoreFault::Other,
            operation,
            source: source.into(),
        }
    }

    /// A store that was closed and answers nothing any more.
    pub fn closed(operation: &'static str) -> Self {
        Self {
            class: ErrorClass::Closed,
            answered: false,
            fault: StoreFault::Other,
            operation,
            source: "the store was closed".into(),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed", self.operation)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// The future of a request to a store.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// One run of a recording process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Made by the process itself.
    pub id: SessionId,
    /// The machine's name.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// When it began.
    pub started_at: Timestamp,
}

/// Records that travel together, all of one session.
///
/// ```
/// use executor_core::{Batch, SessionId, Timestamp, ports::Session};
///
/// let started_at = Timestamp::from_micros(1_767_225_600_000_000);
/// let (id, host) = (SessionId::new(started_at), "attic".into());
/// let session = Session { id, host, pid: std::process::id(), started_at };
/// let batch = Batch { session: session.into(), records: Vec::new() };
/// assert_eq!(batch.session.host, "attic");
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    /// Their session; the batch brings its row along if it is not there yet.
    pub session: Arc<Session>,
    /// The records, in the order in which they were offered.
    pub records: Vec<ExecutionRecord>,
}

/// What became of one record of a batch.
///
/// ```
/// use executor_core::Fate;
/// let has_row = |fate: &Fate| !matches!(fate, Fate::SetAside { .. });
/// assert!(has_row(&Fate::AlreadyThere));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A new row.
    Stored,
    /// A row with this execution id stood there already; nothing was changed.
    AlreadyThere,
    /// A new row whose listener or job does not exist: it says what that was instead.
    Detached,
    /// No row, and none to be expected: the reason is in the record itself.
    SetAside {
        /// [`DropReason::Constraint`] or [`DropReason::Unstorable`].
        reason: DropReason,
        /// What the store said.
        detail: String,
    },
}

/// Keeps records.
///
/// ```
/// use std::sync::Arc;
/// use executor_core::{Batch, Fate, RecordStore, ports::StoreFuture};
///
/// /// Prints records and keeps none.
/// struct Print;
/// impl RecordStore for Print {
///     fn persist(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Fate>> {
///         batch.records.iter().for_each(|record| println!("{record:?}"));
///         Box::pin(async move { Ok(vec![Fate::Stored; batch.records.len()]) })
///     }
///     fn close(&self) -> StoreFuture<'_, ()> {
///         Box::pin(async { Ok(()) })
///     }
/// }
/// ```
pub trait RecordStore: Send + Sync + 'static {
    /// Stores a batch in one transaction and says what became of each record, in order.
    ///
    /// On return with fates, all rows they speak of are committed. Idempotent by execution id.
    /// A dangling reference is the store's to resolve, and a bad record costs no other one.
    ///
    /// # Errors
    ///
    /// Nothing of the batch is known to be stored. The store does not retry; the caller does,
    /// if the class is [`ErrorClass::Transient`].
    fn persist(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Fate>>;

    /// From now on nothing is said to be stored before it is on the medium, where it survives the loss of
    /// power. Asked for once, before the first batch, by a service whose records are to survive
    /// that. The default does nothing: for stores that do so anyway, or keep nothing.
    fn sync_commits(&self) {}

    /// Finishes what was asked before and lets go of everything. Later requests fail with
    /// [`ErrorClass::Closed`]. Idempotent; nobody retries.
    ///
    /// # Errors
    ///
    /// The store could not be closed cleanly; what was committed is safe all the same.
    fn close(&self) -> StoreFuture<'_, ()>;
}

/// Whether to do a thing or only to say what would be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apply {
    /// Do it.
    Now,
    /// Only say what would be done.
    DryRun,
}

/// What an app has registered, to be compared with what is stored.
///
/// ```
/// use executor_core::{RegistrationId, RowId, Timestamp, ports::{Apply, Reconcile}};
///
/// let wanted = Reconcile {
///     app_key: "lights".into(),
///     live: vec![RegistrationId::listener(RowId(1))], // every job is stale
///     session: None,
///     at: Timestamp::from_micros(0),
///     apply: Apply::DryRun,
/// };
/// # assert_eq!(wanted.apply, Apply::DryRun);
/// ```
#[derive(Clone, Debug)]
pub struct Reconcile {
    /// Whose registrations; those of other apps and of the framework tier are never touched.
    pub app_key: String,
    /// Its live listeners and jobs. An empty list means that all stored ones are stale.
    pub live: Vec<RegistrationId>,
    /// The session in which once-listeners may have run; without it their rule is skipped.
    pub session: Option<SessionId>,
    /// What stale rows get as their time of retirement.
    pub at: Timestamp,
    /// Whether to do it.
    pub apply: Apply,
}

/// What reconciling did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Stale and without history: deleted.
    pub deleted: Vec<RegistrationId>,
    /// Stale but with history: retired.
    pub retired: Vec<RegistrationId>,
}

/// Keeps listeners and jobs.
pub trait RegistrationStore: Send + Sync + 'static {
    /// Writes a registration's row and returns it. The same entity keeps its row, has every other
    /// column replaced, and is live again if it had been retired or removed. Idempotent; the
    /// caller retries.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn register(&self, registration: Registration) -> StoreFuture<'_, RowId>;

    /// Sets the time at which a registration was removed. Returns `false` if there is no such
    /// row. Idempotent: the first time stands.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn mark_cancelled(&self, id: RegistrationId, at: Timestamp) -> StoreFuture<'_, bool>;

    /// Deletes or retires what an app no longer has, in one transaction. Running it again
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn reconcile(&self, wanted: Reconcile) -> StoreFuture<'_, Reconciled>;
}

/// How a session ended, or that it has not.
///
/// ```
/// assert_eq!(executor_core::ports::SessionStatus::Crashed.as_str(), "crashed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionStatus {
    /// Goes on.
    Running,
    /// Stopped in order.
    Success,
    /// A service died and took it along.
    Failure,
    /// Its process is gone and never said goodbye.
    Crashed,
}

impl SessionStatus {
    /// The word for it in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Crashed => "crashed",
        }
    }
}

/// The last words of a session.
///
/// ```
/// use executor_core::{Ledger, Timestamp, ports::{SessionEnd, SessionStatus}};
///
/// let (at, status) = (Timestamp::from_micros(0), SessionStatus::Success);
/// let end = SessionEnd { at, status, failure: None, ledger: Ledger::default() };
/// # assert!(end.ledger.is_balanced());
/// ```
#[derive(Clone, Debug)]
pub struct SessionEnd {
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub status: SessionStatus,
    /// Why, where it failed.
    pub failure: Option<crate::failure::Failure>,
    /// Where its records went.
    pub ledger: Ledger,
}

/// Keeps sessions.
pub trait SessionStore: Send + Sync + 'static {
    /// Writes the session's row and holds whatever proves that its process lives. Idempotent; the
    /// caller retries.
    ///
    /// # Errors
    ///
    /// The row may be missing; the next batch brings it along.
    fn open_session(&self, session: Arc<Session>) -> StoreFuture<'_, ()>;

    /// Says that the session's process is alive. Idempotent; nobody retries, the next one comes.
    ///
    /// # Errors
    ///
    /// The last heartbeat stands.
    fn heartbeat(&self, id: SessionId, at: Timestamp, ledger: Ledger) -> StoreFuture<'_, ()>;

    /// Ends the session's row. Idempotent; the caller retries until its own deadline.
    ///
    /// # Errors
    ///
    /// The session is still open and will be found `crashed`.
    fn close_session(&self, id: SessionId, end: SessionEnd) -> StoreFuture<'_, ()>;

    /// Replaces the ledger of a session that has ended: what it left behind was taken over since.
    /// One that is not there is left alone. Idempotent; the caller retries.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn amend_ledger(&self, id: SessionId, ledger: Ledger) -> StoreFuture<'_, ()>;

    /// How many records a session is known to have had stored, those that it took over from others left out: as many
    /// as it has rows, or as its row's ledger says if that is more, since rows are let go. 0 for one that is not
    /// there. Changes nothing.
    ///
    /// # Errors
    ///
    /// They could not be counted.
    fn stored_count(&self, id: SessionId) -> StoreFuture<'_, u64>;

    /// Ends open sessions whose process is gone, with their last heartbeat as the end, and
    /// returns them. Sessions of living processes are left alone. Idempotent.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn mark_crashed(&self) -> StoreFuture<'_, Vec<SessionId>>;
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

/// Everything that the service asks of a store.
///
/// A whole one is `executor_testkit::MemoryStore`; `executor_testkit::conformance` checks any.
pub trait Store: RecordStore + RegistrationStore + SessionStore + Housekeeping {}

impl<S: RecordStore + RegistrationStore + SessionStore + Housekeeping> Store for S {}
