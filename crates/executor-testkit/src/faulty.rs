//! Any store, with faults: for tests of a program against the very store that it uses.

use std::path::PathBuf;
use std::sync::Arc;

use executor_core::ports::{
    Batch, Fate, Gap, Housekeeping, Lifetime, PruneSlice, Reconcile, Reconciled, RecordStore,
    RegistrationStore, Session, SessionEnd, SessionStore, Store, StoreFuture,
};
use executor_core::{Ledger, Registration, RegistrationId, RowId, SessionId, Timestamp};

use crate::faults::{Fault, Faults};

/// A store whose batches meet faults on their way. Everything else goes through untouched. Clones
/// are the same store, so a test keeps one and gives one away.
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
}

impl<S> Clone for FaultyStore<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            faults: Arc::clone(&self.faults),
        }
    }
}

impl<S> FaultyStore<S> {
    /// The store as it is, without faults so far.
    pub fn new(inner: S) -> Self {
        Self {
            inner: Arc::new(inner),
            faults: Arc::default(),
        }
    }

    /// Has the next batches meet these faults, one each, after those that were given before.
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.add(faults);
    }

    /// The store behind the faults.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: Store> RecordStore for FaultyStore<S> {
    fn persist(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Fate>> {
        Box::pin(async move {
            let persist = |batch| self.inner.persist(batch);
            self.faults.around(batch, persist).await
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
        self.inner.register(registration)
    }

    fn mark_cancelled(&self, id: RegistrationId, at: Timestamp) -> StoreFuture<'_, bool> {
        self.inner.mark_cancelled(id, at)
    }

    fn reconcile(&self, wanted: Reconcile) -> StoreFuture<'_, Reconciled> {
        self.inner.reconcile(wanted)
    }
}

impl<S: Store> SessionStore for FaultyStore<S> {
    fn open_session(&self, session: Arc<Session>) -> StoreFuture<'_, ()> {
        self.inner.open_session(session)
    }

    fn heartbeat(&self, id: SessionId, at: Timestamp, ledger: Ledger) -> StoreFuture<'_, ()> {
        self.inner.heartbeat(id, at, ledger)
    }

    fn close_session(&self, id: SessionId, end: SessionEnd) -> StoreFuture<'_, ()> {
        self.inner.close_session(id, end)
    }

    fn amend_ledger(&self, id: SessionId, ledger: Ledger) -> StoreFuture<'_, ()> {
        self.inner.amend_ledger(id, ledger)
    }

    fn stored_count(&self, id: SessionId) -> StoreFuture<'_, u64> {
        self.inner.stored_count(id)
    }

    fn mark_crashed(&self) -> StoreFuture<'_, Vec<SessionId>> {
        self.inner.mark_crashed()
    }
}

impl<S: Store> Housekeeping for FaultyStore<S> {
    fn prune(&self, slice: PruneSlice) -> StoreFuture<'_, u64> {
        self.inner.prune(slice)
    }

    fn lifetimes(&self, max: u32) -> StoreFuture<'_, Vec<Lifetime>> {
        self.inner.lifetimes(max)
    }

    fn record_gaps(&self, gaps: Vec<Gap>) -> StoreFuture<'_, ()> {
        self.inner.record_gaps(gaps)
    }

    fn health(&self) -> StoreFuture<'_, ()> {
        self.inner.health()
    }

    fn spool_dir(&self) -> Option<PathBuf> {
        self.inner.spool_dir()
    }
}
