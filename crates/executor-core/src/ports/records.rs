//! The port for storing records.

use std::sync::Arc;

use crate::ledger::DropReason;
use crate::ports::error::StoreFuture;
use crate::ports::sessions::Session;
use crate::record::ExecutionRecord;

/// Records that are stored together, all from one session.
///
/// ```
/// use executor_core::{Batch, SessionId, Timestamp, ports::Session};
///
/// let started_at = Timestamp::from_micros(1_767_225_600_000_000);
/// let (id, host) = (SessionId::new(started_at), "attic");
/// let session = Session::new(id, host, started_at);
/// let batch = Batch { session: session.into(), records: Vec::new() };
/// assert_eq!(batch.session.host, "attic");
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    /// Their session; storing the batch also writes its row if that is missing.
    pub session: Arc<Session>,
    /// The records, in the order in which they were offered.
    pub records: Vec<ExecutionRecord>,
}

/// The result for one record of a batch.
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
    /// A row with this execution id already existed; nothing was changed.
    AlreadyThere,
    /// A new row without a reference, because its listener or job does not exist; the row itself names it instead.
    Detached,
    /// No row, now or later: the reason is in the record itself.
    SetAside {
        /// [`DropReason::Constraint`] or [`DropReason::Unstorable`].
        reason: DropReason,
        /// The store's message.
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
    /// Stores a batch in one transaction and returns the fate of each record, in order.
    ///
    /// When it returns fates, all their rows are committed. Idempotent by execution id. The store resolves dangling
    /// references, and a bad record does not affect the others.
    ///
    /// # Errors
    ///
    /// Nothing of the batch is known to be stored. The store does not retry; the caller does,
    /// if the class is [`ErrorClass::Transient`](crate::ErrorClass::Transient).
    fn persist(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Fate>>;

    /// Makes the store report a row as stored only once it is on the medium, where it survives a power failure. A
    /// service with records that must survive a power failure calls this once, before the first batch. The default
    /// does nothing; it suits stores that always do so, and stores that keep nothing.
    fn sync_commits(&self) {}

    /// Finishes earlier requests and releases everything. Later requests fail with
    /// [`ErrorClass::Closed`](crate::ErrorClass::Closed). Idempotent; nobody retries.
    ///
    /// # Errors
    ///
    /// The store could not be closed cleanly; what was committed is safe all the same.
    fn close(&self) -> StoreFuture<'_, ()>;
}
