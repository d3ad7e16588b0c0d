//! A store that accepts everything and keeps only counts, for measuring everything except the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use executor_core::ports::{
    ActionStore, Batch, Evidence, Fate, Filter, Gap, History, HistoryFuture, Housekeeping, InForce,
    Lifetime, MissedRuns, PageOf, PageRequest, Pause, Progress, PruneSlice, Reconcile, Reconciled,
    RecordStore, RegistrationFilter, RegistrationStore, ScheduleStore, Scope, Session, SessionEnd,
    SessionStore, SourceCounts, SourceStore, SpoolHome, Stats, StoreFuture, StoredExecution,
    StoredPrune, StoredRegistration, StoredSession, Summary, Window,
};
use executor_core::{
    ExecutionId, Ledger, Registration, RegistrationId, RowId, SessionId, Status, Timestamp,
};

/// Counts records by status and discards them. Clones share their counts.
///
/// ```
/// use executor_testkit::DiscardStore;
///
/// let store = DiscardStore::default();
/// assert_eq!(store.count(executor_core::Status::Success), 0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct DiscardStore {
    counts: Arc<[AtomicU64; Status::ALL.len()]>,
}

impl DiscardStore {
    /// Returns the number of records with this status.
    pub fn count(&self, status: Status) -> u64 {
        self.counts[usize::from(status.code())].load(Ordering::Relaxed)
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> StoreFuture<'a, T> {
    Box::pin(std::future::ready(Ok(value)))
}

impl RecordStore for DiscardStore {
    fn persist(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Fate>> {
        for record in &batch.records {
            let count = &self.counts[usize::from(record.status.code())];
            count.fetch_add(1, Ordering::Relaxed);
        }
        ready(vec![Fate::Stored; batch.records.len()])
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        ready(())
    }
}

impl RegistrationStore for DiscardStore {
    fn register(&self, _: Registration) -> StoreFuture<'_, RowId> {
        ready(RowId::new(1))
    }

    fn mark_cancelled(&self, _: RegistrationId, _: Timestamp) -> StoreFuture<'_, bool> {
        ready(true)
    }

    fn reconcile(&self, _: Reconcile) -> StoreFuture<'_, Reconciled> {
        ready(Reconciled::default())
    }
}

impl ScheduleStore for DiscardStore {}

impl ActionStore for DiscardStore {}

impl SourceStore for DiscardStore {}

impl SessionStore for DiscardStore {
    fn open_session(&self, _: Arc<Session>) -> StoreFuture<'_, ()> {
        ready(())
    }

    fn heartbeat(&self, _: SessionId, _: Timestamp, _: Ledger) -> StoreFuture<'_, ()> {
        ready(())
    }

    fn close_session(&self, _: SessionId, _: SessionEnd) -> StoreFuture<'_, ()> {
        ready(())
    }

    fn amend_ledger(&self, _: SessionId, _: Ledger) -> StoreFuture<'_, ()> {
        ready(())
    }

    fn stored_count(&self, _: SessionId) -> StoreFuture<'_, u64> {
        ready(0)
    }

    fn mark_crashed(&self) -> StoreFuture<'_, Vec<SessionId>> {
        ready(Vec::new())
    }
}

impl Housekeeping for DiscardStore {
    fn prune(&self, _: PruneSlice) -> StoreFuture<'_, u64> {
        ready(0)
    }

    fn lifetimes(&self, _: u32) -> StoreFuture<'_, Vec<Lifetime>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn record_gaps(&self, _: Vec<Gap>) -> StoreFuture<'_, ()> {
        ready(())
    }

    fn health(&self) -> StoreFuture<'_, ()> {
        ready(())
    }

    fn spool_home(&self) -> SpoolHome {
        SpoolHome::InMemory
    }
}

/// An empty history.
impl History for DiscardStore {
    fn executions(&self, _: Filter, _: PageRequest) -> HistoryFuture<'_, PageOf<StoredExecution>> {
        nothing()
    }

    fn execution(&self, _: ExecutionId) -> HistoryFuture<'_, Option<StoredExecution>> {
        answer(None)
    }

    fn find(&self, _: String, _: u32) -> HistoryFuture<'_, Vec<StoredExecution>> {
        answer(Vec::new())
    }

    fn schedules(&self, _: RegistrationId) -> HistoryFuture<'_, Vec<InForce>> {
        answer(Vec::new())
    }

    fn count(&self, _: Window) -> HistoryFuture<'_, u64> {
        answer(0)
    }

    fn summaries(&self, _: Window) -> HistoryFuture<'_, Vec<Summary>> {
        answer(Vec::new())
    }

    fn overall(&self, _: Window) -> HistoryFuture<'_, Stats> {
        answer(Stats::default())
    }

    fn series(&self, _: Scope, bounds: Vec<Timestamp>) -> HistoryFuture<'_, Vec<Stats>> {
        answer(vec![Stats::default(); bounds.len().saturating_sub(1)])
    }

    fn sessions(&self, _: PageRequest) -> HistoryFuture<'_, PageOf<StoredSession>> {
        nothing()
    }

    fn gaps(&self, _: Window, _: PageRequest) -> HistoryFuture<'_, PageOf<Gap>> {
        nothing()
    }

    fn evidence(&self, _: Window, _: Progress) -> HistoryFuture<'_, Evidence> {
        answer(Evidence::default())
    }

    fn prunes(&self, _: Window, _: PageRequest) -> HistoryFuture<'_, PageOf<StoredPrune>> {
        nothing()
    }

    fn missed_runs(&self, _: Window, _: PageRequest) -> HistoryFuture<'_, PageOf<MissedRuns>> {
        nothing()
    }

    fn pauses(&self, _: Window, _: PageRequest) -> HistoryFuture<'_, PageOf<Pause>> {
        nothing()
    }

    fn sources(&self, _: Window, _: PageRequest) -> HistoryFuture<'_, PageOf<SourceCounts>> {
        nothing()
    }

    fn registrations(
        &self,
        _: RegistrationFilter,
        _: PageRequest,
    ) -> HistoryFuture<'_, PageOf<StoredRegistration>> {
        nothing()
    }
}

fn answer<'a, T: Send + 'a>(value: T) -> HistoryFuture<'a, T> {
    Box::pin(std::future::ready(Ok(value)))
}

fn nothing<'a, T: Send + 'a>() -> HistoryFuture<'a, PageOf<T>> {
    answer(PageOf {
        items: Vec::new(),
        next: None,
        searched_to: None,
    })
}

#[cfg(test)]
mod tests;
