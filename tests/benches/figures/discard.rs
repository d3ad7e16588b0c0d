//! A store that takes everything and keeps nothing, so that only the caller's side is measured.

use std::path::PathBuf;
use std::sync::Arc;

use executor_core::ports::{
    Batch, Fate, Gap, Housekeeping, PruneSlice, Reconcile, Reconciled, RecordStore, RegistrationId,
    RegistrationStore, Session, SessionEnd, SessionStore, StoreFuture,
};
use executor_core::{
    JobId, JobRegistration, Ledger, ListenerId, ListenerRegistration, SessionId, Timestamp,
};

pub(crate) struct Discard;

fn ready<'a, T: Send + 'a>(value: T) -> StoreFuture<'a, T> {
    Box::pin(std::future::ready(Ok(value)))
}

impl RecordStore for Discard {
    fn persist(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Fate>> {
        ready(vec![Fate::Stored; batch.records.len()])
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        ready(())
    }
}

impl RegistrationStore for Discard {
    fn register_listener(&self, _: ListenerRegistration) -> StoreFuture<'_, ListenerId> {
        ready(ListenerId(1))
    }

    fn register_job(&self, _: JobRegistration) -> StoreFuture<'_, JobId> {
        ready(JobId(1))
    }

    fn mark_cancelled(&self, _: RegistrationId, _: Timestamp) -> StoreFuture<'_, bool> {
        ready(true)
    }

    fn reconcile(&self, _: Reconcile) -> StoreFuture<'_, Reconciled> {
        ready(Reconciled::default())
    }
}

impl SessionStore for Discard {
    fn open_session(&self, _: Arc<Session>) -> StoreFuture<'_, ()> {
        ready(())
    }

    fn heartbeat(&self, _: SessionId, _: Timestamp, _: Ledger) -> StoreFuture<'_, ()> {
        ready(())
    }

    fn close_session(&self, _: SessionId, _: SessionEnd) -> StoreFuture<'_, ()> {
        ready(())
    }

    fn mark_crashed(&self) -> StoreFuture<'_, Vec<SessionId>> {
        ready(Vec::new())
    }
}

impl Housekeeping for Discard {
    fn prune(&self, _: PruneSlice) -> StoreFuture<'_, u64> {
        ready(0)
    }

    fn record_gaps(&self, _: Vec<Gap>) -> StoreFuture<'_, ()> {
        ready(())
    }

    fn health(&self) -> StoreFuture<'_, ()> {
        ready(())
    }

    fn spool_dir(&self) -> Option<PathBuf> {
        None
    }
}
