//! Builds a complete store from one that only keeps records.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::identity::{Entity, RegistrationId, RowId, SessionId};
use crate::ledger::Ledger;
use crate::ports::actions::ActionStore;
use crate::ports::error::{StoreError, StoreFuture};
use crate::ports::maintenance::{Gap, Housekeeping, Lifetime, PruneSlice, SpoolHome};
use crate::ports::records::{Batch, Fate, RecordStore};
use crate::ports::registrations::{Reconcile, Reconciled, RegistrationStore};
use crate::ports::schedules::ScheduleStore;
use crate::ports::sessions::{Session, SessionEnd, SessionStore};
use crate::ports::sources::SourceStore;
use crate::registration::Registration;
use crate::time::Timestamp;

/// Makes a complete store from one that only keeps records, such as a log shipper or a message broker.
///
/// Records reach `inner` in batches, with their entities; a record's row numbers mean nothing there. Registrations
/// get a number that is valid until the process ends. Sessions, heartbeats and ledgers are not stored, and nothing is
/// pruned. Losses are logged as warnings, since there is no table for them.
///
/// ```
/// use std::sync::Arc;
/// use executor_core::ports::{Batch, Fate, RecordStore, RecordsOnly, Store, StoreFuture};
///
/// /// Prints records.
/// struct Print;
/// impl RecordStore for Print {
///     fn persist(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Fate>> {
///         batch.records.iter().for_each(|record| println!("{}", record.subject.entity));
///         Box::pin(async move { Ok(vec![Fate::Stored; batch.records.len()]) })
///     }
///     fn close(&self) -> StoreFuture<'_, ()> {
///         Box::pin(async { Ok(()) })
///     }
/// }
///
/// fn whole() -> impl Store {
///     RecordsOnly::new("printer", Print)
/// }
/// # drop(whole());
/// ```
#[derive(Debug)]
pub struct RecordsOnly<S> {
    inner: S,
    name: String,
    rows: Mutex<HashMap<Arc<Entity>, RowId>>,
}

impl<S> RecordsOnly<S> {
    /// Wraps `inner`. Its spool is kept in the machine's state directory under this name, which must be a file name,
    /// stay the same after a restart, and differ for every store on the machine: two stores that share it would each
    /// store the other's records.
    pub fn new(name: impl Into<String>, inner: S) -> Self {
        Self {
            inner,
            name: name.into(),
            rows: Mutex::default(),
        }
    }

    /// Returns the store that keeps the records.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<Arc<Entity>, RowId>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn done<'s, T: Send + 's>(answer: T) -> StoreFuture<'s, T> {
    Box::pin(ready(Ok::<T, StoreError>(answer)))
}

impl<S: RecordStore> RecordStore for RecordsOnly<S> {
    fn persist(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Fate>> {
        self.inner.persist(batch)
    }

    fn sync_commits(&self) {
        self.inner.sync_commits();
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.inner.close()
    }
}

impl<S: RecordStore> RegistrationStore for RecordsOnly<S> {
    fn register(&self, registration: Registration) -> StoreFuture<'_, RowId> {
        let mut rows = self.rows();
        let next = RowId::new(i64::try_from(rows.len()).unwrap_or(i64::MAX - 1) + 1);
        let row = *rows.entry(registration.entity).or_insert(next);
        done(row)
    }

    fn mark_cancelled(&self, id: RegistrationId, _: Timestamp) -> StoreFuture<'_, bool> {
        let is_known = self.rows().values().any(|row| *row == id.row);
        done(is_known)
    }

    fn reconcile(&self, _: Reconcile) -> StoreFuture<'_, Reconciled> {
        done(Reconciled::default())
    }
}

impl<S: RecordStore> ScheduleStore for RecordsOnly<S> {}

impl<S: RecordStore> SourceStore for RecordsOnly<S> {}

impl<S: RecordStore> ActionStore for RecordsOnly<S> {}

impl<S: RecordStore> SessionStore for RecordsOnly<S> {
    fn open_session(&self, _: Arc<Session>) -> StoreFuture<'_, ()> {
        done(())
    }

    fn heartbeat(&self, _: SessionId, _: Timestamp, _: Ledger) -> StoreFuture<'_, ()> {
        done(())
    }

    fn close_session(&self, _: SessionId, _: SessionEnd) -> StoreFuture<'_, ()> {
        done(())
    }

    fn amend_ledger(&self, _: SessionId, _: Ledger) -> StoreFuture<'_, ()> {
        done(())
    }

    fn stored_count(&self, _: SessionId) -> StoreFuture<'_, u64> {
        done(0)
    }

    fn mark_crashed(&self) -> StoreFuture<'_, Vec<SessionId>> {
        done(Vec::new())
    }
}

impl<S: RecordStore> Housekeeping for RecordsOnly<S> {
    fn prune(&self, _: PruneSlice) -> StoreFuture<'_, u64> {
        done(0)
    }

    fn lifetimes(&self, _: u32) -> StoreFuture<'_, Vec<Lifetime>> {
        done(Vec::new())
    }

    fn record_gaps(&self, gaps: Vec<Gap>) -> StoreFuture<'_, ()> {
        for gap in gaps {
            let reason = gap.reason.as_str();
            tracing::warn!(session.id = %gap.session, count = gap.count, reason, "records were lost");
        }
        done(())
    }

    fn health(&self) -> StoreFuture<'_, ()> {
        done(())
    }

    fn spool_home(&self) -> SpoolHome {
        SpoolHome::OfMachine {
            name: self.name.clone(),
        }
    }
}
