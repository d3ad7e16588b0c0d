//! Adds faults to any store, to test a program against the store that it really uses.

use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use executor_core::ports::{
    ActionStore, Batch, Earlier, Fate, Followed, Gap, Housekeeping, Lifetime, LinesBound,
    MissedRuns, Pause, PruneSlice, Reconcile, Reconciled, RecordStore, RecordedAction, Registered,
    RegistrationStore, ScheduleStore, Session, SessionEnd, SessionStore, SourceCounts, SourceStore,
    SpoolHome, Store, StoreFuture,
};
use executor_core::{
    Ledger, Registration, RegistrationId, RowId, SessionId, StoreError, Timestamp,
};

use crate::faults::{Fault, Faults};

/// Wraps a store, injects faults into its batches, and can make it unreachable. Clones share one store, so a test can
/// keep one clone and pass on another.
///
/// ```
/// use std::sync::Arc;
/// use executor_core::{Batch, RecordStore};
/// use executor_testkit::{Fault, FaultyStore, MemoryStore, listener, record, session};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = FaultyStore::new(MemoryStore::new());
/// store.inject([Fault::Full, Fault::LostReply]);
/// let records = vec![record(&listener("hall"), None, 0)];
/// let batch = Arc::new(Batch { session: session(), records });
/// assert!(store.persist(batch.clone()).await.is_err()); // nothing is stored
/// assert_eq!(store.inner().records().len(), 0);
/// assert!(store.persist(batch.clone()).await.is_err()); // it is stored, and nobody is told
/// assert_eq!(store.inner().records().len(), 1);
/// assert!(store.persist(batch).await.is_ok());
/// # }
/// ```
pub struct FaultyStore<S> {
    inner: Arc<S>,
    faults: Arc<Faults>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    is_away: AtomicBool,
    slow_by: Mutex<Duration>,
    hangs_in: Mutex<Option<&'static str>>,
    refuses_in: Mutex<Option<&'static str>>,
    batches: Mutex<Vec<Arc<Batch>>>,
}

impl<S> Clone for FaultyStore<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            faults: Arc::clone(&self.faults),
            seen: Arc::clone(&self.seen),
        }
    }
}

impl<S> FaultyStore<S> {
    /// Wraps a store. There are no faults yet.
    pub fn new(inner: S) -> Self {
        Self {
            inner: Arc::new(inner),
            faults: Arc::default(),
            seen: Arc::default(),
        }
    }

    /// Injects these faults into the next batches, one each, after those injected before.
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.add(faults);
    }

    /// Makes the store unreachable, until [`come_back`](Self::come_back).
    ///
    /// ```
    /// use executor_core::Housekeeping;
    /// use executor_testkit::{FaultyStore, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let store = FaultyStore::new(MemoryStore::new());
    /// store.go_away();
    /// assert!(!store.health().await.unwrap_err().answered);
    /// store.come_back();
    /// assert!(store.health().await.is_ok());
    /// # }
    /// ```
    pub fn go_away(&self) {
        self.seen.is_away.store(true, Ordering::SeqCst);
    }

    /// Makes the store answer again.
    pub fn come_back(&self) {
        self.seen.is_away.store(false, Ordering::SeqCst);
    }

    /// Makes the store answer each request this much later from now on; zero ends it.
    ///
    /// ```
    /// # use std::time::{Duration, Instant};
    /// use executor_core::Housekeeping;
    /// use executor_testkit::{FaultyStore, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let store = FaultyStore::new(MemoryStore::new());
    /// store.slow_down(Duration::from_millis(20));
    /// let begun = Instant::now();
    /// assert!(store.health().await.is_ok());
    /// assert!(begun.elapsed() >= Duration::from_millis(20));
    /// # }
    /// ```
    pub fn slow_down(&self, by: Duration) {
        *self.slow_by() = by;
    }

    /// Makes the store answer no request of one operation from now on. The operation is named as in errors, such as
    /// `reading a schedule`; `None` ends it.
    pub fn hang_in(&self, operation: Option<&'static str>) {
        *self.hangs_in() = operation;
    }

    /// Makes the store refuse every request of one operation for good from now on, as if its rows broke a rule of the
    /// tables; `None` ends it.
    pub fn refuse_in(&self, operation: Option<&'static str>) {
        *self.refuses_in() = operation;
    }

    fn refuses_in(&self) -> MutexGuard<'_, Option<&'static str>> {
        let refuses_in = self.seen.refuses_in.lock();
        refuses_in.unwrap_or_else(PoisonError::into_inner)
    }

    fn hangs_in(&self) -> MutexGuard<'_, Option<&'static str>> {
        let hangs_in = self.seen.hangs_in.lock();
        hangs_in.unwrap_or_else(PoisonError::into_inner)
    }

    fn slow_by(&self) -> MutexGuard<'_, Duration> {
        let slow_by = self.seen.slow_by.lock();
        slow_by.unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns every batch that was handed over, in order, including retries and batches that met a fault.
    pub fn batches(&self) -> Vec<Arc<Batch>> {
        self.lock_batches().clone()
    }

    fn lock_batches(&self) -> MutexGuard<'_, Vec<Arc<Batch>>> {
        self.seen
            .batches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the store, unless it is unreachable.
    fn ask<'s, T: Send + 's>(
        &'s self,
        operation: &'static str,
        ask: impl FnOnce(&'s S) -> StoreFuture<'s, T>,
    ) -> StoreFuture<'s, T> {
        if self.seen.is_away.load(Ordering::SeqCst) {
            let away = StoreError::unreachable(operation, "the store is away");
            return Box::pin(ready(Err(away)));
        }
        if *self.hangs_in() == Some(operation) {
            return Box::pin(std::future::pending());
        }
        if *self.refuses_in() == Some(operation) {
            let refused = StoreError {
                class: executor_core::ErrorClass::Constraint,
                answered: true,
                ..StoreError::unreachable(operation, "it breaks a rule of the tables")
            };
            return Box::pin(ready(Err(refused)));
        }
        let (slow_by, asked) = (*self.slow_by(), ask(&self.inner));
        if slow_by.is_zero() {
            return asked;
        }
        Box::pin(async move {
            tokio::time::sleep(slow_by).await;
            asked.await
        })
    }

    /// Returns the wrapped store.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: Store> RecordStore for FaultyStore<S> {
    fn persist(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Fate>> {
        self.lock_batches().push(Arc::clone(&batch));
        self.ask("storing a batch", |inner| {
            Box::pin(async move {
                let persist = |batch| inner.persist(batch);
                self.faults.around(batch, persist).await
            })
        })
    }

    fn sync_commits(&self) {
        self.inner.sync_commits();
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.inner.close()
    }
}

impl<S: Store> RegistrationStore for FaultyStore<S> {
    fn register(&self, registration: Registration) -> StoreFuture<'_, RowId> {
        self.ask("registering", |inner| inner.register(registration))
    }

    fn mark_cancelled(&self, id: RegistrationId, at: Timestamp) -> StoreFuture<'_, bool> {
        self.ask("marking a removal", |inner| inner.mark_cancelled(id, at))
    }

    fn reconcile(&self, wanted: Reconcile) -> StoreFuture<'_, Reconciled> {
        self.ask("reconciling registrations", |inner| inner.reconcile(wanted))
    }
}

impl<S: Store> ScheduleStore for FaultyStore<S> {
    fn note_schedule(&self, registered: Registered) -> StoreFuture<'_, ()> {
        self.ask("noting a schedule", |inner| inner.note_schedule(registered))
    }

    fn take_charge(&self, registered: Vec<Registered>) -> StoreFuture<'_, ()> {
        self.ask("taking charge", |inner| inner.take_charge(registered))
    }

    fn leave_charge(&self, session: SessionId, at: Timestamp) -> StoreFuture<'_, ()> {
        self.ask("leaving charge", |inner| inner.leave_charge(session, at))
    }

    fn note_followed(&self, followed: Vec<Followed>) -> StoreFuture<'_, ()> {
        self.ask("noting how far schedules were followed", |inner| {
            inner.note_followed(followed)
        })
    }

    fn earlier(&self, registered: Registered) -> StoreFuture<'_, Earlier> {
        self.ask("reading a schedule", |inner| inner.earlier(registered))
    }

    fn record_missed(&self, missed: Vec<MissedRuns>) -> StoreFuture<'_, ()> {
        self.ask("recording missed runs", |inner| inner.record_missed(missed))
    }

    fn record_pauses(&self, pauses: Vec<Pause>) -> StoreFuture<'_, ()> {
        self.ask("recording pauses", |inner| inner.record_pauses(pauses))
    }
}

impl<S: Store> ActionStore for FaultyStore<S> {
    fn record_action(&self, action: RecordedAction) -> StoreFuture<'_, ()> {
        self.ask("recording an action", |inner| inner.record_action(action))
    }
}

impl<S: Store> SessionStore for FaultyStore<S> {
    fn open_session(&self, session: Arc<Session>) -> StoreFuture<'_, ()> {
        self.ask("opening a session", |inner| inner.open_session(session))
    }

    fn heartbeat(&self, id: SessionId, at: Timestamp, ledger: Ledger) -> StoreFuture<'_, ()> {
        self.ask("writing a heartbeat", |inner| {
            inner.heartbeat(id, at, ledger)
        })
    }

    fn close_session(&self, id: SessionId, end: SessionEnd) -> StoreFuture<'_, ()> {
        self.ask("closing a session", |inner| inner.close_session(id, end))
    }

    fn amend_ledger(&self, id: SessionId, ledger: Ledger) -> StoreFuture<'_, ()> {
        self.ask("amending a ledger", |inner| inner.amend_ledger(id, ledger))
    }

    fn heartbeat_at_least_every(&self) -> Option<Duration> {
        self.inner.heartbeat_at_least_every()
    }

    fn stored_count(&self, id: SessionId) -> StoreFuture<'_, u64> {
        self.ask("counting records", |inner| inner.stored_count(id))
    }

    fn mark_crashed(&self) -> StoreFuture<'_, Vec<SessionId>> {
        self.ask("marking crashed sessions", |inner| inner.mark_crashed())
    }
}

impl<S: Store> SourceStore for FaultyStore<S> {
    fn note_sources(&self, sources: Vec<SourceCounts>) -> StoreFuture<'_, ()> {
        self.ask("noting sources", |inner| inner.note_sources(sources))
    }
}

impl<S: Store> Housekeeping for FaultyStore<S> {
    fn prune(&self, slice: PruneSlice) -> StoreFuture<'_, u64> {
        self.ask("pruning", |inner| inner.prune(slice))
    }

    fn lines_beyond(
        &self,
        now: Timestamp,
        all: u64,
        of_one: u64,
    ) -> StoreFuture<'_, Vec<LinesBound>> {
        self.ask("measuring lines", |inner| {
            inner.lines_beyond(now, all, of_one)
        })
    }

    fn lifetimes(&self, max: u32) -> StoreFuture<'_, Vec<Lifetime>> {
        self.ask("reading lifetimes", |inner| inner.lifetimes(max))
    }

    fn record_gaps(&self, gaps: Vec<Gap>) -> StoreFuture<'_, ()> {
        self.ask("recording gaps", |inner| inner.record_gaps(gaps))
    }

    fn health(&self) -> StoreFuture<'_, ()> {
        self.ask("checking the store", |inner| inner.health())
    }

    fn spool_home(&self) -> SpoolHome {
        self.inner.spool_home()
    }
}
