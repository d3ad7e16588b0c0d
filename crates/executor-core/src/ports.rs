//! The ports: traits through which this layer reaches other layers, and through which the service reaches a store.
//!
//! Every future of a port may be dropped at any time. The request is then carried out either completely
//! or not at all. The caller does not know which, but every request is idempotent, so repeating it is
//! always safe.

mod actions;
mod error;
mod evidence;
mod history;
mod lines_budget;
mod live_state;
mod machine;
mod maintenance;
mod query;
mod records;
mod records_only;
mod registrations;
mod schedules;
mod sessions;
mod shared;
mod sink;
mod sources;
mod stored;

pub use self::actions::{
    Action, ActionError, ActionFuture, ActionOutcome, ActionStore, Actions, RecordedAction,
    Requester,
};
pub use self::error::{ErrorClass, StoreError, StoreFault, StoreFuture};
pub use self::evidence::{Evidence, Progress, RolledUpHour, SessionHour};
pub use self::history::{History, HistoryError, HistoryErrorClass, HistoryFuture, all_pages};
pub use self::lines_budget::LinesBudget;
pub use self::live_state::{LiveSession, LiveState, Orphan, RunningExecution};
pub use self::machine::state_directory_of;
pub use self::maintenance::{
    ClockTrust, Gap, GapReason, Housekeeping, Lifetime, LinesBound, PruneRule, PruneSlice,
    SpoolHome,
};
pub use self::query::{
    Filter, Order, PageOf, PageRequest, PageToken, RegistrationFilter, RegistrationState, Scope,
    Window, says,
};
pub use self::records::{Batch, Fate, RecordStore};
pub use self::records_only::RecordsOnly;
pub use self::registrations::{Apply, Reconcile, Reconciled, RegistrationStore};
pub use self::schedules::{
    Earlier, Followed, InForce, MissedReason, MissedRuns, Pause, Registered, SchedulePlan,
    ScheduleStore,
};
pub use self::sessions::{Session, SessionEnd, SessionStatus, SessionStore};
pub use self::sink::{ExecutionEnd, ExecutionStart, ProgramGroup, RecordSink, Ticket};
pub use self::sources::{BadLine, SourceCounts, SourceStore, UnheardTopic};
pub use self::stored::{
    SeenByServer, SessionCounts, Stats, StoredExecution, StoredPrune, StoredRegistration,
    StoredSession, Summary,
};
pub use crate::record::{SubjectRef, TriggerRef};

/// Everything that the service requires of a store.
///
/// `executor_testkit::MemoryStore` is a complete one; `executor_testkit::conformance` checks any store.
pub trait Store:
    RecordStore
    + RegistrationStore
    + ScheduleStore
    + SessionStore
    + SourceStore
    + ActionStore
    + Housekeeping
{
}

impl<S> Store for S where
    S: RecordStore
        + RegistrationStore
        + ScheduleStore
        + SessionStore
        + SourceStore
        + ActionStore
        + Housekeeping
{
}
