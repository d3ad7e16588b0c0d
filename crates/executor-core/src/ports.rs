//! The ports: what this layer needs from others, and what the service needs from a store.
//!
//! Every future of a port may be dropped at any time. The request it stands for is then either
//! carried out completely or not at all; which of the two is unknown to the caller, and because
//! every request is idempotent, asking again is always safe.

mod error;
mod history;
mod maintenance;
mod records;
mod registrations;
mod sessions;
mod shared;
mod sink;

pub use self::error::{ErrorClass, StoreError, StoreFault, StoreFuture};
pub use self::history::{
    Filter, History, HistoryError, HistoryErrorClass, HistoryFuture, Order, PageOf, PageRequest,
    PageToken, RegistrationFilter, RegistrationState, Scope, Stats, StoredExecution,
    StoredRegistration, StoredSession, Summary, Window,
};
pub use self::maintenance::{ClockTrust, Gap, Housekeeping, Lifetime, PruneRule, PruneSlice};
pub use self::records::{Batch, Fate, RecordStore};
pub use self::registrations::{Apply, Reconcile, Reconciled, RegistrationStore};
pub use self::sessions::{Session, SessionEnd, SessionStatus, SessionStore};
pub use self::sink::{ExecutionEnd, ExecutionStart, RecordSink, Ticket};
pub use crate::record::{SubjectRef, TriggerRef};

/// Everything that the service asks of a store.
///
/// A whole one is `executor_testkit::MemoryStore`; `executor_testkit::conformance` checks any.
pub trait Store: RecordStore + RegistrationStore + SessionStore + Housekeeping {}

impl<S: RecordStore + RegistrationStore + SessionStore + Housekeeping> Store for S {}
